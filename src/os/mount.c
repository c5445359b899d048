#include "os/mount.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "os/fault.h"

/* openat2 gives EAGAIN when a rename or mount raced with a ".." step: openat2(2) says to try again. Bounded, since a
 * container could keep renaming. */
#define BENEATH_TRIES 128

int open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    if (fault_hit("open"))
        return -1;
    for (int i = 0; i < BENEATH_TRIES; i++) {
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            return (int)fd;
    }
    errno = EAGAIN;
    return -1;
}

bool mount_is_point(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 &&
           (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static Err *mount_fs(const char *type, const char *path, unsigned long flags, const char *options)
{
    if (fault_hit("mount") || mount(type, path, type, flags, options) < 0)
        return err_new(ERR_SYS, errno, "mount %s at %s", type, path);
    if (fault_hit("mount") || mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0) {
        Err *e = err_new(ERR_SYS, errno, "make %s private", path);
        (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
        return e;
    }
    return NULL;
}

Err *mount_tmpfs(const char *path, const char *options, bool noexec)
{
    unsigned long flags = MS_NOSUID | MS_NODEV | (noexec ? MS_NOEXEC : 0);
    SCOPED(mem_free) char *no_swap = mem_fmt("%s%snoswap", options, *options ? "," : "");
    Err *e = mount_fs("tmpfs", path, flags, no_swap);
    if (err_errno(e) != EINVAL)
        return e;
    err_free(e); /* an older kernel does not know the option */
    return mount_fs("tmpfs", path, flags, options);
}

Err *mount_hugetlbfs(const char *path, const char *options)
{
    return mount_fs("hugetlbfs", path, MS_NOSUID | MS_NODEV, options);
}

Err *mount_bind_fd(int fd, const char *target, MountBindOptions opt)
{
    unsigned flags = AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    SCOPED(fd_close) int tree = fault_hit("mount") ? -1 : open_tree(fd, "", flags);
    if (tree < 0)
        return err_new(ERR_SYS, errno, "copy the mount of what goes to %s", target);
    struct mount_attr attr = {
        .attr_set = opt.read_only ? MOUNT_ATTR_RDONLY : 0,
        .propagation = opt.keep_propagation ? 0 : MS_PRIVATE,
    };
    if ((attr.attr_set || attr.propagation) &&
        (fault_hit("mount") || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0))
        return err_new(ERR_SYS, errno, "set mount attributes of %s", target);
    if (fault_hit("mount") || move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_new(ERR_SYS, errno, "mount at %s", target);
    return NULL;
}

/* Several mounts may lie on one path; each call takes the topmost off. */
static Err *detach_point(const char *path)
{
    while (mount_is_point(path)) {
        (void)mount(NULL, path, NULL, MS_REC | MS_PRIVATE, NULL);
        if (fault_hit("umount") || umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return err_new(ERR_SYS, errno, "unmount %s", path);
    }
    return NULL;
}

Err *mount_detach(const char *path)
{
    return detach_point(path);
}

/* Undoes mountinfo's octal escapes (space, tab, newline, backslash) in place. */
static void unescape(char *s)
{
    char *w = s;
    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *w++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *w++ = *s;
        }
    }
    *w = '\0';
}

/* The mount points at and below <real>, in the table's order: parents before children. */
static Err *mount_points(const char *real, StrVec *out)
{
    SCOPED(str_done) Str info = {0};
    Err *e = fs_read("/proc/self/mountinfo", (size_t)64 << 20, &info);
    if (e)
        return e;
    size_t len = strlen(real);
    char *save = NULL;
    for (char *line = strtok_r(info.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *field_save = NULL, *f = strtok_r(line, " ", &field_save);
        for (int i = 0; f && i < 4; i++) /* id parent major:minor root MOUNT-POINT: proc_pid_mountinfo(5) */
            f = strtok_r(NULL, " ", &field_save);
        if (!f)
            continue;
        unescape(f);
        if (strncmp(f, real, len) == 0 && (f[len] == '\0' || f[len] == '/'))
            strvec_add(out, f);
    }
    return NULL;
}

/* Passes over the table: a mount may come while we work (a container with Bidirectional propagation). */
#define DETACH_PASSES 8

Err *mount_detach_tree(const char *path)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return errno == ENOENT || errno == ENOTDIR ? NULL : err_new(ERR_SYS, errno, "resolve %s", path);
    for (int pass = 0; pass < DETACH_PASSES; pass++) {
        SCOPED(strvec_done) StrVec points = {0};
        Err *e = mount_points(real, &points);
        if (e || points.n == 0)
            return e;
        for (size_t i = 0; i < points.n; i++)
            (void)mount(NULL, points.v[i], NULL, MS_PRIVATE, NULL);
        for (size_t i = points.n; i-- > 0;)
            if ((fault_hit("umount") || umount2(points.v[i], MNT_DETACH | UMOUNT_NOFOLLOW) < 0) && errno != EINVAL &&
                errno != ENOENT)
                return err_new(ERR_SYS, errno, "unmount %s", points.v[i]);
    }
    return err_new(ERR_UNAVAILABLE, EBUSY, "unmount %s: new mounts keep appearing below it", path);
}
