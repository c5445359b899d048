/* fs.h - files: each system call once, each with its fault point (os/fault.h), all descriptors CLOEXEC at birth. */
#ifndef REPRISE_OS_FS_H
#define REPRISE_OS_FS_H

#include <sys/types.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"

static inline UNUSED void fd_close(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* once: on Linux a retry after EINTR may close someone else's descriptor */
}
SCOPED_FN(fd_close, int, -EBADF)

int64_t os_now_ns(void);      /* CLOCK_REALTIME */
int64_t os_monotonic_ns(void);/* CLOCK_MONOTONIC */
/* <n> random bytes as 2n hex digits + NUL into buf. Aborts if the kernel has none. */
void os_random_hex(char *buf, size_t n);
/* A random UUID ("xxxxxxxx-xxxx-4xxx-..."). Caller frees. */
MUST_USE char *os_uuid(void);
/* Names this boot of the machine: /proc/sys/kernel/random/boot_id. Read once. */
const char *os_boot_id(void);

/* Whole file into *ret (NUL-terminated); ERR_NOT_FOUND if absent, ERR_LIMIT over <max>. */
MUST_USE Err *fs_read(const char *path, size_t max, Str *ret);
/* Writes a temporary sibling, fsyncs it when <durable>, renames it over <path>, fsyncs the directory when <durable>: the
 * file is whole, old or new. */
MUST_USE Err *fs_write_atomic(const char *path, const void *bytes, size_t n, mode_t mode, bool durable);
/* Writes <text> over what the file has, in place, with one write; a longer old text is covered with <pad> (which is added to <text>),
 * since cutting a file is work for the file system's journal. Made if absent. Not atomic. */
MUST_USE Err *fs_overwrite(const char *path, Str *text, char pad, mode_t mode);
/* Whether <path>, looked up as a process whose root is <rootfd> would, is a regular file that somebody may execute. */
bool fs_executable_in(int rootfd, const char *path);
/* fsyncs the directory that <path> lies in. */
MUST_USE Err *fs_sync_dir_of(const char *path);
/* Plain write (cgroup and proc files). */
MUST_USE Err *fs_write(const char *path, const char *text);
MUST_USE Err *fs_mkdirs(const char *path, mode_t mode); /* mkdir -p; existing is fine */
/* rm -rf that crosses no mount point, binds of the same file system included, and follows no symlink; absent is fine. A mount
 * in it is an error (EBUSY), with everything behind it untouched. */
MUST_USE Err *fs_remove_tree(const char *path);
/* The same, but at most <max> files and directories of it: *ret_more says that some are left. */
MUST_USE Err *fs_remove_small(const char *path, size_t max, bool *ret_more);
bool fs_exists(const char *path);
/* Makes <path> (0600) where absent, locks it for as long as *ret_fd is open, and writes our process id into it. ERR_EXISTS: another has
 * it (one that has just died is waited for, 1 s at most), <holder> then has that process's id, "(unknown)" if it cannot be read. */
#define FS_LOCK_HOLDER 24
MUST_USE Err *fs_lock(const char *path, int *ret_fd, char holder[FS_LOCK_HOLDER]);

#endif
