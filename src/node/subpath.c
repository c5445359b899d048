#include "node/subpath.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/str.h"
#include "os/fault.h"
#include "os/mount.h"

Err *subpath_check(const char *sub)
{
    if (sub[0] == '/')
        return err_new(ERR_INVALID, 0, "error SubPath `%s` must not be an absolute path", sub);
    for (const char *s = sub; s; s = strchr(s, '/')) {
        s += *s == '/';
        if (strcspn(s, "/") == 2 && s[0] == '.' && s[1] == '.')
            return err_new(ERR_INVALID, 0, "unable to provision SubPath `%s`: must not contain '..'", sub);
    }
    return NULL;
}

static Err *open_volume(const char *volume, int *ret_fd)
{
    int fd = fault_hit("open") ? -1 : open(volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open volume %s", volume);
    *ret_fd = fd;
    return NULL;
}

/* Makes <name> in <parent> and gives a descriptor of it. What somebody else put there meanwhile is taken if it is a
 * directory, and never followed if it is a symlink: that was judged as a whole path before. */
static Err *make_one(int parent, const char *name, mode_t mode, int *ret_fd)
{
    bool made = !fault_hit("mkdir") && mkdirat(parent, name, mode) == 0;
    if (!made && errno != EEXIST)
        return err_new(ERR_SYS, errno, "create directory %s", name);
    SCOPED(fd_close) int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open directory %s", name);
    if (made && fchmod(fd, mode) < 0)
        return err_new(ERR_SYS, errno, "chmod %s", name);
    *ret_fd = MOVE(fd, -EBADF);
    return NULL;
}

Err *subpath_make_dirs(const char *volume, const char *sub, mode_t mode)
{
    if (strlen(sub) >= PATH_MAX)
        return err_new(ERR_INVALID, ENAMETOOLONG, "subPath is longer than %d bytes", PATH_MAX - 1);
    SCOPED(fd_close) int root = -EBADF;
    Err *e = open_volume(volume, &root);
    if (e)
        return e;
    SCOPED(fd_close) int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    if (at < 0)
        return err_new(ERR_SYS, errno, "open volume %s", volume);
    SCOPED(mem_free) char *path = mem_dup_str(sub);
    bool making = false; /* once one was missing, all below it are, but for races */
    for (char *s = path; *s;) {
        size_t n = strcspn(s, "/");
        char end = s[n];
        s[n] = '\0';
        if (n > 0 && strcmp(s, ".") != 0) {
            if (strcmp(s, "..") == 0)
                return err_new(ERR_INVALID, EXDEV, "%s must not contain '..'", sub);
            /* From the root each time, so that "a/link/../b" means what it means to a container. */
            int fd = making ? -1 : open_beneath(root, path, O_PATH | O_DIRECTORY, 0);
            if (fd < 0 && !making && errno != ENOENT)
                return err_new(ERR_SYS, errno, "open %s in volume %s", path, volume);
            making = fd < 0;
            if (making && (e = make_one(at, s, mode, &fd)))
                return e;
            fd_close(at);
            at = fd;
        }
        s[n] = end;
        s += n + (end != '\0');
    }
    return NULL;
}

Err *subpath_open(const char *volume, const char *sub, int *ret_fd)
{
    SCOPED(fd_close) int root = -EBADF;
    Err *e = open_volume(volume, &root);
    if (e)
        return e;
    int fd = open_beneath(root, sub, O_PATH, 0);
    if (fd < 0)
        return err_new(errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno, "open %s in volume %s", sub, volume);
    *ret_fd = fd;
    return NULL;
}
