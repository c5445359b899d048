/* subpath.h - a path inside a volume that a container may be changing at this moment: never outside of it.
 *
 * The kubelet resolves symlinks, checks, and opens step by step (pkg/volume/util/subpath); here the kernel does all
 * of it at once: openat2 with RESOLVE_BENEATH. What was opened is then mounted by descriptor. */
#ifndef REPRISE_NODE_SUBPATH_H
#define REPRISE_NODE_SUBPATH_H

#include "base/err.h"

#include <sys/types.h>

/* Makes the missing directories of <sub> below the directory <volume>, each with <mode> whatever the umask. Existing
 * ones stay as they are, symlinks that stay inside are followed. err_errno(): EXDEV = it would leave the volume. */
MUST_USE Err *subpath_make_dirs(const char *volume, const char *sub, mode_t mode);
/* O_PATH descriptor of <sub> in <volume>. err_errno(): ENOENT, EXDEV. */
MUST_USE Err *subpath_open(const char *volume, const char *sub, int *ret_fd);
/* The kubelet's rule for a subPath: not absolute, no "..". Its texts. */
MUST_USE Err *subpath_check(const char *sub);

#endif
