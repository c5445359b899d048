/* mount.h - mounts by descriptor, so that no path is looked up twice: what was checked is what gets mounted.
 *
 * Uses open_tree / move_mount / mount_setattr (Linux 5.12) and openat2 (5.6). A mount made here is private: it neither
 * receives nor sends mount events, unless a bind is asked to (keep_propagation). Fault points: "open", "mkdir", "mount",
 * "umount". */
#ifndef REPRISE_OS_MOUNT_H
#define REPRISE_OS_MOUNT_H

#include "os/fs.h"

/* Opens <path> under <dirfd>; symlinks are followed as long as they stay beneath it, absolute ones, ".." above it and
 * magic links (/proc) do not. Descriptor, or -1 with errno: EXDEV = it would have left the directory, EAGAIN = the tree
 * kept changing. <mode> only with O_CREAT. */
int open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/* Whether something is mounted at <path> (a symlink there is not followed). Absent: false. */
bool mount_is_point(const char *path);

/* A tmpfs at the existing directory <path>; <options>: "size=65536k,mode=1777". nosuid and nodev; noexec on request.
 * Swap is switched off where the kernel can (6.4): what is put there may be secret. */
MUST_USE Err *mount_tmpfs(const char *path, const char *options, bool noexec);
/* Huge pages at <path>; <options>: "pagesize=2Mi". */
MUST_USE Err *mount_hugetlbfs(const char *path, const char *options);

typedef struct {
    bool read_only;
    bool keep_propagation; /* stay in the source's peer group: for mountPropagation other than None */
} MountBindOptions;
/* Binds what <fd> (O_PATH allowed; file or directory, without mounts below it) refers to onto <target>, which must
 * exist and be of the same sort. It is read-only and private before anybody can see it. */
MUST_USE Err *mount_bind_fd(int fd, const char *target, MountBindOptions opt);

/* Takes off everything that is mounted on <path> and below it, and makes sure that it is gone. Each mount is made
 * private first: taking a shared one off would also take its sub-mounts off where it came from. Nothing mounted, or
 * no such path, is fine. Open files keep working (MNT_DETACH). */
MUST_USE Err *mount_detach_tree(const char *path);
/* The same for <path> alone, without reading the mount table; what is mounted below goes with it. */
MUST_USE Err *mount_detach(const char *path);

#endif
