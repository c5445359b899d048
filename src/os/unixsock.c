#include "os/unixsock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fault.h"
#include "os/fs.h"

/* *ret_dir stays open as long as the address is used. */
static Err *address(const char *path, struct sockaddr_un *a, int *ret_dir)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    *ret_dir = -EBADF;
    if (strlen(path) < sizeof a->sun_path) {
        memcpy(a->sun_path, path, strlen(path) + 1);
        return NULL;
    }
    const char *slash = strrchr(path, '/');
    if (!slash || strlen(slash) > 64)
        return err_new(ERR_INVALID, 0, "socket name %s is too long", path);
    SCOPED(mem_free) char *dir = mem_dup_strn(path, (size_t)(slash - path));
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_new(errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno, "open %s", dir);
    (void)snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d%s", fd, slash);
    *ret_dir = fd;
    return NULL;
}

Err *unix_listen(const char *path, int *ret_fd)
{
    struct sockaddr_un a;
    SCOPED(fd_close) int dir = -EBADF;
    Err *e = address(path, &a, &dir);
    if (e)
        return e;
    SCOPED(fd_close) int fd = fault_hit("socket") ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "make socket %s", path);
    (void)unlink(a.sun_path);
    mode_t old = umask(0177);
    int rc = bind(fd, (struct sockaddr *)&a, sizeof a);
    int bind_errno = errno;
    (void)umask(old);
    if (rc < 0)
        return err_new(ERR_SYS, bind_errno, "bind socket %s", path);
    if (listen(fd, 16) < 0)
        return err_new(ERR_SYS, errno, "listen on %s", path);
    *ret_fd = MOVE(fd, -EBADF);
    return NULL;
}

static Err *connect_with(const char *path, int flags, int *ret_fd)
{
    struct sockaddr_un a;
    SCOPED(fd_close) int dir = -EBADF;
    Err *e = address(path, &a, &dir);
    if (e)
        return e;
    SCOPED(fd_close) int fd = fault_hit("socket") ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "make socket");
    if (fault_hit("connect") || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        ErrKind kind = errno == ENOENT ? ERR_NOT_FOUND : errno == ECONNREFUSED || errno == EAGAIN ? ERR_UNAVAILABLE : ERR_SYS;
        return err_new(kind, errno, "connect to %s", path);
    }
    *ret_fd = MOVE(fd, -EBADF);
    return NULL;
}

Err *unix_connect(const char *path, int *ret_fd)
{
    return connect_with(path, 0, ret_fd);
}

Err *unix_connect_now(const char *path, int *ret_fd)
{
    return connect_with(path, SOCK_NONBLOCK, ret_fd); /* done or refused at once: of unix sockets none is EINPROGRESS */
}

Err *unix_recv_fd(int fd, int *ret_fd)
{
    char byte[128];
    struct iovec iov = {byte, sizeof byte};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control.buf};
    if (recvmsg(fd, &m, MSG_CMSG_CLOEXEC) < 0)
        return err_new(ERR_SYS, errno, "receive a descriptor");
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
        return err_new(ERR_INVALID, 0, "a message without a descriptor");
    memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    return NULL;
}

Err *unix_send_fds(int fd, const void *bytes, size_t n, const int *fds, size_t n_fds)
{
    struct iovec iov;
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(UNIX_MAX_FDS * sizeof(int))];
    } control = {0};
    iov.iov_len = n;
    memcpy(&iov.iov_base, &bytes, sizeof bytes); /* sendmsg's missing const */
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds) {
        m.msg_control = control.buf;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t sent = fault_hit("sendmsg") ? -1 : sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return err_new(ERR_SYS, errno, "send descriptors");
    return (size_t)sent == n ? NULL : err_new(ERR_LIMIT, 0, "send descriptors: the peer does not read");
}

static void take_fds(struct msghdr *m, int *fds, size_t max, size_t *n_fds)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
            if (*n_fds < max)
                fds[(*n_fds)++] = one;
            else
                fd_close(one);
        }
    }
}

ssize_t unix_recv_fds(int fd, void *buf, size_t size, int *fds, size_t max, size_t *n_fds)
{
    struct iovec iov = {buf, size};
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(UNIX_MAX_FDS * sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control.buf};
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n > 0)
        take_fds(&m, fds, max, n_fds);
    return n;
}
