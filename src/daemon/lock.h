/* lock.h - one daemon for a state directory: <root>/node.lock, flock()ed while it lives, with its pid in it. */
#ifndef REPRISE_DAEMON_LOCK_H
#define REPRISE_DAEMON_LOCK_H

#include "base/err.h"

/* ERR_EXISTS names the process that has it. *ret is closed to let go. */
MUST_USE Err *daemon_lock(const char *root, int *ret);

#endif
