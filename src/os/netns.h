/* netns.h - sockets in another network namespace. */
#ifndef REPRISE_OS_NETNS_H
#define REPRISE_OS_NETNS_H

#include "base/err.h"

/* A TCP connection to <port> of localhost (127.0.0.1, else ::1) in the network namespace <netns_fd>, as the CRI runtimes make it for
 * port-forward. Our thread is in that namespace only while it makes the sockets. Never blocks: the connection may still be under way when
 * it is returned, and fail then. ERR_UNAVAILABLE: both were refused. *ret_fd is CLOEXEC and does not block. */
MUST_USE Err *netns_connect(int netns_fd, unsigned port, int *ret_fd);

#endif
