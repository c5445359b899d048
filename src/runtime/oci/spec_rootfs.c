/* spec_rootfs.c - reading an image's own files. The image is hostile: a symlink to the host's /etc/shadow, a FIFO, a
 * sparse file of a terabyte. openat2 keeps every step of the walk inside the root; type and size are checked on the
 * open descriptor. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "os/fs.h"
#include "runtime/oci/spec_priv.h"

static int open_resolved(const char *dir, const char *path, int flags, uint64_t resolve)
{
    SCOPED(fd_close) int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
                           .resolve = resolve | RESOLVE_NO_MAGICLINKS};
    if (flags & O_PATH)
        how.flags = O_PATH | O_CLOEXEC | (uint64_t)(flags & O_DIRECTORY);
    while (*path == '/' && (resolve & RESOLVE_BENEATH))
        path++;
    long fd;
    unsigned tries = 0;
    do /* EAGAIN: a rename raced with a ".." of the walk; openat2(2) says to try again */
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < 32);
    return fd < 0 ? -errno : (int)fd;
}

int rootfs_open(const char *rootfs, const char *path, int flags)
{
    return open_resolved(rootfs, path, flags, RESOLVE_IN_ROOT);
}

static Err *read_fd(int fd, const char *path, size_t max, Str *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_new(ERR_SYS, errno, "stat %s", path);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_INVALID, 0, "%s is not a regular file", path);
    SCOPED(str_done) Str s = {0};
    char buf[16384];
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_new(ERR_SYS, errno, "read %s", path);
        if (n == 0)
            break;
        if (s.n + (size_t)n > max)
            return err_new(ERR_LIMIT, 0, "%s is larger than %zu bytes", path, max);
        str_add_n(&s, buf, (size_t)n);
    }
    str_add(&s, ""); /* p is never NULL for the caller */
    *ret = MOVE(s, (Str){0});
    return NULL;
}

static Err *read_resolved(const char *dir, const char *path, size_t max, uint64_t resolve, Str *ret)
{
    SCOPED(fd_close) int fd = open_resolved(dir, path, O_RDONLY, resolve);
    if (fd < 0) {
        int err = -MOVE(fd, -EBADF);
        ErrKind kind = err == ENOENT || err == ENOTDIR ? ERR_NOT_FOUND : ERR_SYS;
        return err_new(kind, err, "open %s", path);
    }
    return read_fd(fd, path, max, ret);
}

Err *rootfs_read(const char *rootfs, const char *path, size_t max, Str *ret)
{
    return read_resolved(rootfs, path, max, RESOLVE_IN_ROOT, ret);
}

Err *dir_read_beneath(const char *dir, const char *path, size_t max, Str *ret)
{
    return read_resolved(dir, path, max, RESOLVE_BENEATH, ret);
}

char *path_clean(const char *path)
{
    SCOPED(str_done) Str s = {0};
    while (*path) {
        size_t n = strcspn(path, "/");
        if (n == 2 && path[0] == '.' && path[1] == '.') {
            while (s.n && s.p[s.n - 1] != '/')
                s.n--;
            if (s.n)
                s.n--;
        } else if (n && !(n == 1 && path[0] == '.')) {
            str_add_c(&s, '/');
            str_add_n(&s, path, n);
        }
        path += n + (path[n] == '/');
    }
    if (!s.n)
        return mem_dup_str("/");
    s.p[s.n] = '\0';
    return str_take(&s);
}
