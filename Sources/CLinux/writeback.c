#define _GNU_SOURCE
#include "writeback.h"

#include <errno.h>
#include <fcntl.h>

int hansa_begin_writeback(int file, int64_t offset, int64_t length) {
    return sync_file_range(file, offset, length, SYNC_FILE_RANGE_WRITE) == 0 ? 0 : -errno;
}
