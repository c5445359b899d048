#include "os/netns.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>

#include "os/fault.h"
#include "os/fs.h"

/* Both sockets, made in <netns_fd>; -1 with *ret_errno where there is none. */
static Err *sockets(int netns_fd, int ret_fd[2], int ret_errno[2])
{
    static const int families[2] = {AF_INET, AF_INET6};
    SCOPED(fd_close) int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return err_new(ERR_SYS, errno, "open our own network namespace");
    if (fault_hit("setns") || setns(netns_fd, CLONE_NEWNET) < 0)
        return err_new(ERR_SYS, errno, "enter the network namespace");
    for (int i = 0; i < 2; i++) {
        ret_fd[i] = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ret_errno[i] = errno;
    }
    if (setns(home, CLONE_NEWNET) < 0) {
        (void)fprintf(stderr, "cannot leave a network namespace: %s\n", strerror(errno));
        abort(); /* in the wrong network everything that follows would be wrong */
    }
    return NULL;
}

/* 0: it stands, or is under way; else its errno. On the loopback device the answer is there as soon as connect() returns, but it does not look. */
static int connect_one(int fd, const void *to, socklen_t size)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (connect(fd, to, size) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (poll(&p, 1, 0) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0)
        return error;
    return 0;
}

Err *netns_connect(int netns_fd, unsigned port, int *ret_fd)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fds[2] = {-EBADF, -EBADF}, errors[2] = {0, 0};
    *ret_fd = -EBADF;
    Err *e = sockets(netns_fd, fds, errors);
    for (int i = 0; !e && i < 2 && *ret_fd < 0; i++) {
        const void *to = i ? (const void *)&six : &four;
        socklen_t size = i ? sizeof six : sizeof four;
        if (fds[i] < 0)
            continue;
        errors[i] = connect_one(fds[i], to, size);
        if (!errors[i])
            *ret_fd = MOVE(fds[i], -EBADF);
    }
    fd_close(fds[0]);
    fd_close(fds[1]);
    if (e || *ret_fd >= 0)
        return e;
    SCOPED(mem_free) char *why4 = err_go_errno(errors[0]);
    SCOPED(mem_free) char *why6 = err_go_errno(errors[1]);
    return err_new(ERR_UNAVAILABLE, 0, "IPv4: dial tcp4 127.0.0.1:%u: connect: %s IPv6 dial tcp6: [::1]:%u: connect: %s", port, why4, port,
                   why6);
}
