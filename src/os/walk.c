#include "os/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "os/fault.h"

static void dir_close(DIR *d)
{
    if (d)
        (void)closedir(d);
}
SCOPED_FN(dir_close, DIR *, NULL)

typedef struct {
    WalkVisit *visit;
    void *arg;
    const char *root; /* for error texts */
} Walk;

static Err *walk_entry(const Walk *w, int parent, const char *name, uint64_t mount_id, unsigned depth);

static Err *walk_children(const Walk *w, int dirfd, uint64_t mount_id, unsigned depth)
{
    if (depth > WALK_DEPTH_MAX)
        return err_new(ERR_LIMIT, 0, "%s is more than %d directories deep", w->root, WALK_DEPTH_MAX);
    int fd = fault_hit("open") ? -1 : openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "open a directory below %s", w->root);
    SCOPED(dir_close) DIR *d = fdopendir(fd);
    if (!d) {
        int sys = errno;
        fd_close(fd);
        return err_new(ERR_SYS, sys, "read a directory below %s", w->root);
    }
    struct dirent *ent;
    while ((ent = readdir(d))) {
        if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
            continue;
        Err *e = walk_entry(w, dirfd, ent->d_name, mount_id, depth);
        if (e)
            return e;
    }
    return NULL;
}

/* mount_id 0: the root, whose mount is the one to stay on. */
static Err *walk_entry(const Walk *w, int parent, const char *name, uint64_t mount_id, unsigned depth)
{
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "open %s below %s", name, w->root);
    struct statx sx;
    struct stat st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || fstat(fd, &st) < 0)
        return err_new(ERR_SYS, errno, "stat %s below %s", name, w->root);
    if (mount_id != 0 && sx.stx_mnt_id != mount_id)
        return NULL;
    Err *e = w->visit(w->arg, fd, &st);
    if (e || !S_ISDIR(st.st_mode))
        return e;
    return walk_children(w, fd, sx.stx_mnt_id, depth + 1);
}

Err *fs_walk(const char *root, WalkVisit *visit, void *arg)
{
    Walk w = {visit, arg, root};
    return walk_entry(&w, AT_FDCWD, root, 0, 0);
}

int fd_chmod(int path_fd, mode_t mode)
{
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", path_fd);
    return chmod(path, mode);
}
