/* unixsock.h - stream sockets in the file system. Paths longer than sun_path (107 bytes) work too: the folder is then named
 * by a descriptor. All descriptors are CLOEXEC. */
#ifndef REPRISE_OS_UNIXSOCK_H
#define REPRISE_OS_UNIXSOCK_H

#include "base/err.h"

/* Listens at <path>, mode 0600 from the first moment; a socket file left there by a dead process is replaced. */
MUST_USE Err *unix_listen(const char *path, int *ret_fd);
/* ERR_NOT_FOUND: no such file; ERR_UNAVAILABLE: nobody listens there (any more). Never waits for more than the listener's
 * queue. */
MUST_USE Err *unix_connect(const char *path, int *ret_fd);
/* The same for an event loop: the socket does not block, and a listener whose queue is full is ERR_UNAVAILABLE (EAGAIN). */
MUST_USE Err *unix_connect_now(const char *path, int *ret_fd);
/* Receives one descriptor sent with SCM_RIGHTS over the blocking or non-blocking socket <fd>. */
MUST_USE Err *unix_recv_fd(int fd, int *ret_fd);

#endif
