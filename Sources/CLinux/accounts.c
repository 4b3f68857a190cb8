// Two identities in one process, for a command that root runs on a home of another account: what the node's handlers write must belong to the home's
// owner, and what the command reads and writes for its user is root's.
//
// glibc changes credentials for all threads (nptl(7)); the kernel keeps them for each, and its bare system calls change one.
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_bool process_changed = 0;

// The kernel's own call, for the calling thread.
static int thread_act_as(uint32_t uid, uint32_t gid) {
    if (syscall(SYS_setresgid, -1, gid, -1) < 0) return -errno;
    if (syscall(SYS_setresuid, -1, uid, -1) < 0) {
        int failed = errno;
        (void)!syscall(SYS_setresgid, -1, 0, -1);
        return -failed;
    }
    return 0;
}

int hansa_act_as(uint32_t uid, uint32_t gid) {
    // A second time the threads have different identities, and glibc would abort when its call succeeds in some only.
    if (atomic_load(&process_changed)) return thread_act_as(uid, gid);
    gid_t group = gid;
    if (setgroups(1, &group) < 0) return -errno;
    if (setresgid((gid_t)-1, gid, (gid_t)-1) < 0) return -errno;
    if (setresuid((uid_t)-1, uid, (uid_t)-1) < 0) {
        int failed = errno;
        (void)!setresgid((gid_t)-1, 0, (gid_t)-1);
        return -failed;
    }
    atomic_store(&process_changed, 1);
    return 0;
}

int hansa_thread_act_as_root(void) {
    if (syscall(SYS_setresuid, -1, 0, -1) < 0) return -errno;
    if (syscall(SYS_setresgid, -1, 0, -1) < 0) return -errno;
    return 0;
}
