#include "daemon/sdnotify.h"

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
