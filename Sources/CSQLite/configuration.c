#include "CSQLite.h"

#include <sqlite3.h>

void hansa_sqlite_keep_no_statistics(void) {
    // SQLITE_MISUSE after the first connection: the statistics are kept then, which costs time and nothing else.
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}
