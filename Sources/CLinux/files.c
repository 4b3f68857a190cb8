// File calls of Linux that Swift's Glibc lacks.
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

ssize_t hansa_copy_file_range(int from, int64_t *from_offset, int to, int64_t *to_offset, size_t count) {
    off64_t source = *from_offset;
    off64_t target = *to_offset;
    ssize_t copied;
    do copied = copy_file_range(from, &source, to, &target, count, 0);
    while (copied < 0 && errno == EINTR);
    if (copied < 0) return -errno;
    *from_offset = source;
    *to_offset = target;
    return copied;
}

int hansa_rename_no_replace(int old_directory, const char *old_name, int new_directory, const char *new_name) {
    return renameat2(old_directory, old_name, new_directory, new_name, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int hansa_allocate(int file, int64_t offset, int64_t length, int keep_size) {
    int result;
    do result = fallocate(file, keep_size ? FALLOC_FL_KEEP_SIZE : 0, offset, length) < 0 ? -errno : 0;
    while (result == -EINTR);
    return result;
}

int hansa_is_in_memory(int file) {
    struct statfs system;
    return fstatfs(file, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

int hansa_lock(int file) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    int result = fcntl(file, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
    return result == -EACCES ? -EAGAIN : result;
}

int hansa_flock(int file) {
    int result = flock(file, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
    return result == -EWOULDBLOCK ? -EAGAIN : result;
}

int hansa_sync_file_system(int file) { return syncfs(file) < 0 ? -errno : 0; }

void hansa_error_text(int code, char *text, size_t capacity) {
    // The GNU variant, which _GNU_SOURCE selects: it may return a text of its own.
    const char *found = strerror_r(code, text, capacity);
    if (found != text) {
        strncpy(text, found, capacity - 1);
        text[capacity - 1] = 0;
    }
}

#include <malloc.h>

void hansa_keep_blocks_in_heap(void) {
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    // By default eight for each core: every one keeps the megabytes that its threads had at their busiest.
    mallopt(M_ARENA_MAX, 2);
}

void hansa_trim_heap(size_t above) {
    // glibc gives back the end of a heap by itself; what lies free between blocks in use it keeps until it is asked.
    if (mallinfo2().fordblks > above) malloc_trim(0);
}
