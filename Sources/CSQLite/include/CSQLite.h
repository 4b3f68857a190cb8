// What Swift cannot call of SQLite: a function with a variable number of arguments.
#ifndef HANSA_CSQLITE_H
#define HANSA_CSQLITE_H

/// Has SQLite keep no statistics of its memory (SQLITE_CONFIG_MEMSTATUS): with them every allocation of every connection takes one lock of the
/// process. Nobody here asks for them. Works before the first connection of the process only, and does nothing later.
void hansa_sqlite_keep_no_statistics(void);

#endif
