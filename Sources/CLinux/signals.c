// Signals as bytes in a pipe: what a handler may do is little, and a thread that reads may do everything.
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static _Atomic int writing_end = -1;

static void note(int number) {
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    // A full pipe means that nobody reads; the signal is told already.
    ssize_t written = write(atomic_load(&writing_end), &byte, 1);
    (void)written;
    errno = saved;
}

int hansa_watch_signals(const int *signals, int count) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    int expected = -1;
    if (!atomic_compare_exchange_strong(&writing_end, &expected, ends[1])) {
        close(ends[0]);
        close(ends[1]);
        return -EALREADY;
    }
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigset_t watched;
    sigemptyset(&watched);
    for (int index = 0; index < count; index++) {
        if (sigaction(signals[index], &action, NULL) < 0) return -errno;
        sigaddset(&watched, signals[index]);
    }
    // Whoever started us may have had them blocked, and a mask is inherited.
    int failed = pthread_sigmask(SIG_UNBLOCK, &watched, NULL);
    if (failed) return -failed;
    return ends[0];
}
