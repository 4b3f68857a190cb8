// Unix-domain sockets: credentials, descriptors, long paths (unix(7), cmsg(3)).
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// Added in Linux 4.13; Debian 12's glibc has it, older headers do not.
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

int hansa_peer_credentials(int socket, int32_t *pid, uint32_t *uid, uint32_t *gid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    if (length != sizeof credentials) return -EPROTO;
    *pid = credentials.pid;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return 0;
}

int hansa_peer_groups(int socket, uint32_t *groups, int capacity) {
    _Static_assert(sizeof(gid_t) == sizeof(uint32_t), "gid_t is not 32 bits");
    socklen_t length = (socklen_t)capacity * sizeof(uint32_t);
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return -errno;
    return (int)(length / sizeof(uint32_t));
}

ssize_t hansa_send_descriptors(int socket, const void *bytes, size_t count, const int *descriptors, int descriptor_count, int flags) {
    if (descriptor_count < 0 || descriptor_count > HANSA_DESCRIPTORS_MAX) return -EINVAL;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * HANSA_DESCRIPTORS_MAX)];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)descriptor_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)descriptor_count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * (size_t)descriptor_count);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

ssize_t hansa_receive_descriptors(int socket, void *bytes, size_t count, int *descriptors, int *received, int flags) {
    struct iovec part = {.iov_base = bytes, .iov_len = count};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * HANSA_DESCRIPTORS_MAX)];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    *received = 0;
    ssize_t got;
    do got = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    int overflow = (message.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t arrived = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < arrived; index++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof(int));
            // A second control header cannot be sent by Linux, but the room for the descriptors is the caller's: count anyway.
            if (*received < HANSA_DESCRIPTORS_MAX) {
                descriptors[(*received)++] = descriptor;
            } else {
                overflow = 1;
                close(descriptor);
            }
        }
    }
    if (overflow) {
        // The kernel has closed what did not fit; a message of which a part is lost is worth nothing.
        while (*received > 0) close(descriptors[--*received]);
        return -EMSGSIZE;
    }
    return got;
}

int hansa_accept(int socket) {
    int accepted;
    do accepted = accept4(socket, NULL, NULL, SOCK_CLOEXEC);
    while (accepted < 0 && errno == EINTR);
    return accepted < 0 ? -errno : accepted;
}

int hansa_event(void) {
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return event < 0 ? -errno : event;
}

// Fills the address; *directory is the descriptor it leans on, or -1. Returns its length or a negative errno.
static int address_of(const char *path, struct sockaddr_un *address, int *directory) {
    *directory = -1;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    size_t length = strlen(path);
    if (length == 0) return -ENOENT;
    // Debian's limit is 108 with the terminator; other systems' is 104, so above 100 the longer way is taken.
    if (length <= 100) {
        memcpy(address->sun_path, path, length + 1);
        return (int)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (*name == 0) return -EISDIR;
    char parent[4096];
    size_t parent_length = slash ? (size_t)(slash - path) : 0;
    if (parent_length >= sizeof parent) return -ENAMETOOLONG;
    if (!slash) {
        memcpy(parent, ".", 2);
    } else if (parent_length == 0) {
        memcpy(parent, "/", 2);
    } else {
        memcpy(parent, path, parent_length);
        parent[parent_length] = 0;
    }
    int opened;
    do opened = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (opened < 0 && errno == EINTR);
    if (opened < 0) return -errno;
    int written = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", opened, name);
    if (written < 0 || (size_t)written >= sizeof address->sun_path) {
        close(opened);
        return -ENAMETOOLONG;
    }
    *directory = opened;
    return (int)(offsetof(struct sockaddr_un, sun_path) + (size_t)written + 1);
}

int hansa_unix_bind(int socket, const char *path) {
    struct sockaddr_un address;
    int directory;
    int length = address_of(path, &address, &directory);
    if (length < 0) return length;
    int result = bind(socket, (struct sockaddr *)&address, (socklen_t)length) < 0 ? -errno : 0;
    if (directory >= 0) close(directory);
    return result;
}

int hansa_unix_connect(int socket, const char *path) {
    struct sockaddr_un address;
    int directory;
    int length = address_of(path, &address, &directory);
    if (length < 0) return length;
    int result;
    do result = connect(socket, (struct sockaddr *)&address, (socklen_t)length) < 0 ? -errno : 0;
    while (result == -EINTR);
    if (directory >= 0) close(directory);
    return result;
}
