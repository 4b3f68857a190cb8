#ifndef HANSA_WRITEBACK_H
#define HANSA_WRITEBACK_H
#include <stdint.h>
// sync_file_range(2) with SYNC_FILE_RANGE_WRITE: starts to write the dirty pages of a range, and promises nothing. 0 or a negative errno.
int hansa_begin_writeback(int file, int64_t offset, int64_t length);
#endif
