/* volumes_world.h - a private mount namespace with a state directory in it, for tests that mount. */
#ifndef REPRISE_TESTS_VOLUMES_WORLD_H
#define REPRISE_TESTS_VOLUMES_WORLD_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/fs.h"
#include "os/mount.h"
#include "unit/volumes_fixture.h"

static char world[PATH_MAX]; /* the state directory */

/* Nothing here touches the machine's own mounts. false: not root, and the whole program has been skipped. */
static UNUSED bool world_enter(void)
{
    if (geteuid() != 0) {
        puts("1..0 # SKIP needs root: volumes are mounts and owners");
        return false;
    }
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        perror("unshare mount namespace");
        exit(1);
    }
    (void)snprintf(world, sizeof world, "/tmp/reprise-volumes-XXXXXX");
    /* Its own mount, and shared: what a systemd host looks like, where propagation bites. */
    if (!mkdtemp(world) || mount(world, world, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, world, NULL, MS_SHARED, NULL) < 0) {
        perror(world);
        exit(1);
    }
    return true;
}

static UNUSED void world_leave(void)
{
    (void)umount2(world, MNT_DETACH);
    err_free(fs_remove_tree(world));
}

static UNUSED bool no_mounts_left(void)
{
    SCOPED(str_done) Str info = {0};
    err_free(fs_read("/proc/self/mountinfo", (size_t)64 << 20, &info));
    SCOPED(mem_free) char *below = mem_fmt("%s/", world);
    return info.p && !strstr(info.p, below);
}

static UNUSED char *in_world(const char *fmt, ...) PRINTF_LIKE(1, 2);
static UNUSED char *in_world(const char *fmt, ...)
{
    Str s = {0};
    str_fmt(&s, "%s/", world);
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    return str_take(&s);
}

static UNUSED void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        perror(path);
        abort();
    }
    (void)close(fd);
}

static UNUSED void put_dir(const char *path)
{
    SCOPED(err_free) Err *e = fs_mkdirs(path, 0755);
    if (e) {
        perror(path);
        abort();
    }
}

/* NULL if there is none. Caller frees. */
static UNUSED char *file_text(const char *path)
{
    Str s = {0};
    SCOPED(err_free) Err *e = fs_read(path, 1 << 20, &s);
    return e ? NULL : str_take(&s);
}

static UNUSED unsigned mode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) < 0 ? 0 : st.st_mode & 07777;
}

static UNUSED int64_t group_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) < 0 ? -1 : (int64_t)st.st_gid;
}

static UNUSED int name_cmp(const void *a, const void *b)
{
    char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* "a b c": what is in a directory, sorted, without what starts with ".". Caller frees. */
static UNUSED char *names_in(const char *path)
{
    SCOPED(strvec_done) StrVec names = {0};
    DIR *d = opendir(path);
    struct dirent *ent;
    while (d && (ent = readdir(d)))
        if (ent->d_name[0] != '.')
            strvec_add(&names, ent->d_name);
    if (d)
        (void)closedir(d);
    if (names.n > 1)
        qsort(names.v, names.n, sizeof *names.v, name_cmp);
    Str s = {0};
    for (size_t i = 0; i < names.n; i++)
        str_fmt(&s, "%s%s", i ? " " : "", names.v[i]);
    return str_take(&s);
}

#endif
