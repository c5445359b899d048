#include "daemon/sdnotify.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "os/fs.h"

int sd_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof addr.sun_path || (path[0] != '/' && path[0] != '@'))
        return -EBADF;
    memcpy(addr.sun_path, path, n);
    if (path[0] == '@')
        addr.sun_path[0] = '\0'; /* the abstract namespace */
    (void)unsetenv("NOTIFY_SOCKET");
    SCOPED(fd_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        return -EBADF;
    return MOVE(fd, -EBADF);
}

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */

Err *sd_listen_fd(int *ret)
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    int64_t n = 0, whose = 0;
    bool mine = count && pid && str_to_i64(count, &n) && str_to_i64(pid, &whose) && whose == getpid() && n > 0;
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDNAMES");
    *ret = -EBADF;
    if (!mine)
        return NULL;
    int domain = 0, listening = 0;
    socklen_t n_domain = sizeof domain, n_listening = sizeof listening;
    if (n != 1)
        return err_new(ERR_INVALID, 0, "systemd passed %lld sockets: reprise.socket may have one ListenStream=", (long long)n);
    if (getsockopt(LISTEN_FDS_START, SOL_SOCKET, SO_DOMAIN, &domain, &n_domain) < 0 || domain != AF_UNIX ||
        getsockopt(LISTEN_FDS_START, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n_listening) < 0 || !listening)
        return err_new(ERR_INVALID, 0, "systemd passed no listening unix socket: reprise.socket needs ListenStream= with a path "
                                       "(the API over TCP is --secure-port)");
    if (fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC) < 0 || fcntl(LISTEN_FDS_START, F_SETFL, O_NONBLOCK) < 0)
        return err_new(ERR_SYS, errno, "prepare the socket that systemd passed");
    *ret = LISTEN_FDS_START;
    return NULL;
}

int64_t sd_watchdog_ns(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t us = 0, whose = getpid();
    bool mine = usec && str_to_i64(usec, &us) && us > 0 && us < INT64_MAX / 1000 && (!pid || (str_to_i64(pid, &whose) && whose == getpid()));
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return mine ? us * 1000 / 2 : 0;
}

void sd_notify_send(int fd, const char *text)
{
    if (fd >= 0)
        (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}
