// What Swift's Glibc does not show: peer credentials, descriptor passing, and a few file calls of Linux.
//
// Every function returns a value of zero or more, or a negative errno: no caller reads errno. Calls that a signal may interrupt are
// repeated here.
#ifndef HANSA_CLINUX_H
#define HANSA_CLINUX_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "crc32c.h"
#include "writeback.h"

/// The most descriptors one message carries (the kernel's own bound is 253).
#define HANSA_DESCRIPTORS_MAX 64

// Unix sockets (sockets.c).

/// SO_PEERCRED: who connected, as of connect() or socketpair().
int hansa_peer_credentials(int socket, int32_t *pid, uint32_t *uid, uint32_t *gid);

/// SO_PEERGROUPS: the supplementary groups the peer had then. Returns their number; -ERANGE when there are more than capacity.
int hansa_peer_groups(int socket, uint32_t *groups, int capacity);

/// Sends bytes, and with the first of them the descriptors, at most HANSA_DESCRIPTORS_MAX. Never raises SIGPIPE. Returns the bytes sent, which
/// may be fewer; the descriptors went with the first.
ssize_t hansa_send_descriptors(int socket, const void *bytes, size_t count, const int *descriptors, int descriptor_count, int flags);

/// Receives bytes, and any descriptors that came with them, close-on-exec; room must be for HANSA_DESCRIPTORS_MAX. When the peer sent more, all
/// that arrived are closed and the result is -EMSGSIZE. Returns the bytes received, 0 at the end.
ssize_t hansa_receive_descriptors(int socket, void *bytes, size_t count, int *descriptors, int *received, int flags);

/// The next connection, close-on-exec.
int hansa_accept(int socket);

/// An eventfd that starts at zero, close-on-exec and non-blocking: written to wake a thread in poll(2).
int hansa_event(void);

/// bind and connect for any path, also one longer than sockaddr_un holds: the directory is opened and named through /proc/self/fd.
/// The last component must still fit (about 80 bytes): otherwise -ENAMETOOLONG.
int hansa_unix_bind(int socket, const char *path);
int hansa_unix_connect(int socket, const char *path);

// Files (files.c).

/// copy_file_range(2): copies inside the kernel, by reference where the file system can. Offsets are advanced. Returns the bytes copied.
ssize_t hansa_copy_file_range(int from, int64_t *from_offset, int to, int64_t *to_offset, size_t count);

/// renameat2(2) with RENAME_NOREPLACE: -EEXIST when the new name stands already.
int hansa_rename_no_replace(int old_directory, const char *old_name, int new_directory, const char *new_name);

/// fallocate(2); with keep_size the file's length does not change. -EOPNOTSUPP where the file system cannot.
int hansa_allocate(int file, int64_t offset, int64_t length, int keep_size);

/// 1 when the file lies in memory (tmpfs), 0 when not or when nobody can say.
int hansa_is_in_memory(int file);

/// An exclusive lock of the open file description (F_OFD_SETLK) on the whole file: 0, or -EAGAIN while another holds it. It ends with the last
/// descriptor of this description, so a killed process leaves none.
int hansa_lock(int file);

/// flock(2), exclusive, without waiting: the same promise for programs that lock with flock(1).
int hansa_flock(int file);

/// What an errno means, in the C locale's words; always ends with NUL.
void hansa_error_text(int code, char *text, size_t capacity);

/// syncfs(2): everything written to the file's file system is durable when it returns.
int hansa_sync_file_system(int file);

// Accounts (accounts.c).

/// For root: from now on all threads of the process, and those they make, act as this account, files included; the supplementary groups are
/// the account's primary one alone. The real uid stays. A second call changes the calling thread alone. 0, or a negative errno.
int hansa_act_as(uint32_t uid, uint32_t gid);

/// After hansa_act_as: the calling thread alone, and threads it makes, act as root again.
int hansa_thread_act_as_root(void);

// Signals (signals.c).

/// From now on each of these signals, instead of ending the process, writes its number as one byte into a pipe. Returns the pipe's reading end,
/// close-on-exec and blocking; the calling thread no longer blocks them. Once for a process: -EALREADY after that.
int hansa_watch_signals(const int *signals, int count);

/// Blocks of a megabyte come and go: kept in the heap they cost no page faults (reading a block is five times as fast). Call once, early.
void hansa_keep_blocks_in_heap(void);

/// Gives free pages of the heap back to the system where more than `above` bytes of it are free (malloc_trim(3)).
void hansa_trim_heap(size_t above);

#endif
