/* sdnotify.h - what systemd and a service tell each other, without libsystemd: datagrams to $NOTIFY_SOCKET (sd_notify(3)), and a
 * socket that is passed. */
#ifndef REPRISE_DAEMON_SDNOTIFY_H
#define REPRISE_DAEMON_SDNOTIFY_H

#include "base/err.h"

/* Opens $NOTIFY_SOCKET; -EBADF when there is none. Both variables are taken out of the environment: children are not the service. */
int sd_open(void);
/* The listening unix socket that systemd passed (sd_listen_fds(3)), the caller's; -EBADF when there is none. ERR_INVALID: what it passed is
 * something else, or several; served without TLS would be anything but a unix socket. Out of the environment, too. */
MUST_USE Err *sd_listen_fd(int *ret);
/* $WATCHDOG_USEC, if it is meant for this process ($WATCHDOG_PID): half of it, as sd_watchdog_enabled(3) advises. 0 = no watchdog. */
int64_t sd_watchdog_ns(void);
/* "READY=1", "STATUS=...", several with newlines. Best effort. */
void sd_notify_send(int fd, const char *text);

#endif
