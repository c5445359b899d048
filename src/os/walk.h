/* walk.h - visits a directory tree that somebody else may be changing: by descriptor, no symlink followed, no mount
 * crossed. */
#ifndef REPRISE_OS_WALK_H
#define REPRISE_OS_WALK_H

#include <sys/stat.h>

#include "os/fs.h"

/* Called for the root and for everything below it, a directory before what it holds. <fd> is O_PATH|O_NOFOLLOW and
 * refers to exactly what <st> describes. */
typedef Err *WalkVisit(void *arg, int fd, const struct stat *st);
/* Entries that vanish meanwhile are left out. ERR_LIMIT: more than WALK_DEPTH_MAX directories deep (each costs two
 * descriptors; the usual limit is 1024). The first error of <visit> ends it. Fault point: "open". */
#define WALK_DEPTH_MAX 256
MUST_USE Err *fs_walk(const char *root, WalkVisit *visit, void *arg);

/* What O_PATH descriptors cannot do themselves (fchmod gives EBADF): by way of /proc/self/fd. 0 or -1 with errno. */
int fd_chmod(int path_fd, mode_t mode);

#endif
