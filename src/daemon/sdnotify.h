/* sdnotify.h - systemd's notification protocol (sd_notify(3)), without libsystemd: datagrams to $NOTIFY_SOCKET. */
#ifndef REPRISE_DAEMON_SDNOTIFY_H
#define REPRISE_DAEMON_SDNOTIFY_H

#include "base/mem.h"

/* Opens $NOTIFY_SOCKET; -EBADF when there is none. Both variables are taken out of the environment: children are not the service. */
int sd_open(void);
/* $WATCHDOG_USEC, if it is meant for this process ($WATCHDOG_PID): half of it, as sd_watchdog_enabled(3) advises. 0 = no watchdog. */
int64_t sd_watchdog_ns(void);
/* "READY=1", "STATUS=...", several with newlines. Best effort. */
void sd_notify_send(int fd, const char *text);

#endif
