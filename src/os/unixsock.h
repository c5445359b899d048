/* unixsock.h - stream sockets in the file system. Paths longer than sun_path (107 bytes) work too: the folder is then named
 * by a descriptor. All descriptors are CLOEXEC. */
#ifndef REPRISE_OS_UNIXSOCK_H
#define REPRISE_OS_UNIXSOCK_H

#include <sys/types.h>

#include "base/err.h"

/* Listens at <path>, mode 0600 from the first moment; a socket file left there by a dead process is replaced. */
MUST_USE Err *unix_listen(const char *path, int *ret_fd);
/* ERR_NOT_FOUND: no such file; ERR_UNAVAILABLE: nobody listens there (any more). Never waits for more than the listener's
 * queue. */
MUST_USE Err *unix_connect(const char *path, int *ret_fd);
/* The same for an event loop: the socket does not block, and a listener whose queue is full is ERR_UNAVAILABLE (EAGAIN). */
MUST_USE Err *unix_connect_now(const char *path, int *ret_fd);
#define UNIX_MAX_FDS 4
/* Sends <n> bytes, at least one, with <n_fds> descriptors (at most UNIX_MAX_FDS), or nothing: what does not fit is an error. Theirs stay
 * open here. Does not block. */
MUST_USE Err *unix_send_fds(int fd, const void *bytes, size_t n, const int *fds, size_t n_fds);
/* Receives without blocking, as recv() does: < 0 with errno, 0 at the end. What descriptors came are added to <fds>, of which there
 * is room for <max>; more are closed. */
ssize_t unix_recv_fds(int fd, void *buf, size_t size, int *fds, size_t max, size_t *n_fds);
/* Receives one descriptor sent with SCM_RIGHTS over the blocking or non-blocking socket <fd>. */
MUST_USE Err *unix_recv_fd(int fd, int *ret_fd);

#endif
