/* pidfd.h - processes that are not our children: told apart by pid and start time, watched by pidfd, their true end learnt
 * where the kernel still knows it. */
#ifndef REPRISE_OS_PIDFD_H
#define REPRISE_OS_PIDFD_H

#include <sys/types.h>

#include "base/err.h"

/* Start time of <pid> in clock ticks since boot (/proc/PID/stat field 22): with the pid it names one process for ever.
 * -1 = no such process. */
int64_t proc_start_ticks(pid_t pid);

/* A CLOEXEC pidfd of the process <pid> that started at <start_ticks>, zombies too. ERR_NOT_FOUND: it is gone (perhaps the
 * number is somebody else's now). Caller closes. */
MUST_USE Err *pidfd_of(pid_t pid, int64_t start_ticks, int *ret_fd);
bool pidfd_alive(int pidfd); /* has not ended; a zombie has */
/* Sends <sig>; true also when the process has ended already. */
bool pidfd_kill(int pidfd, int sig);
/* How an ended process ended, as waitpid() would say: from its zombie (/proc/PID/stat field 52), or from the pidfd once
 * somebody reaped it (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15). false = nobody knows any more. */
bool pidfd_wait_status(int pidfd, pid_t pid, int64_t start_ticks, int *ret_status);

#endif
