#include "os/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/fault.h"

static int64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t os_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t os_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void os_random_hex(char *buf, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        unsigned char b;
        if (getrandom(&b, 1, 0) != 1)
            abort();
        buf[2 * i] = digits[b >> 4];
        buf[2 * i + 1] = digits[b & 15];
    }
    buf[2 * n] = '\0';
}

char *os_uuid(void)
{
    char h[33];
    os_random_hex(h, 16);
    h[12] = '4'; /* RFC 9562: version 4, variant 10 */
    h[16] = "89ab"[h[16] & 3];
    return mem_fmt("%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
}

const char *os_boot_id(void)
{
    static char id[64];
    if (id[0])
        return id;
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read("/proc/sys/kernel/random/boot_id", sizeof id - 1, &s);
    (void)snprintf(id, sizeof id, "%.*s", e ? 7 : (int)strcspn(s.p, "\n"), e ? "unknown" : s.p);
    return id;
}

static ErrKind open_kind(int e)
{
    return e == ENOENT || e == ENOTDIR ? ERR_NOT_FOUND : ERR_SYS;
}

Err *fs_read(const char *path, size_t max, Str *ret)
{
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_new(open_kind(errno), errno, "open %s", path);
    SCOPED(str_done) Str s = {0};
    char buf[16384];
    for (;;) {
        ssize_t n = fault_hit("read") ? -1 : read(fd, buf, sizeof buf);
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
    str_add_n(&s, "", 0); /* never NULL */
    *ret = MOVE(s, (Str){0});
    return NULL;
}

static Err *write_all(int fd, const char *path, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t w = fault_hit("write") ? -1 : write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_new(ERR_SYS, errno, "write %s", path);
        p += w;
        n -= (size_t)w;
    }
    return NULL;
}

Err *fs_sync_dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? mem_dup_strn(path, slash == path ? 1 : (size_t)(slash - path)) : mem_dup_str(".");
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Err *e = NULL;
    if (fd < 0)
        e = err_new(ERR_SYS, errno, "open %s", dir);
    else if (fault_hit("fsync") || fsync(fd) < 0)
        e = err_new(ERR_SYS, errno, "fsync %s", dir);
    free(dir);
    return e;
}

static Err *write_temporary(const char *tmp, const void *bytes, size_t n, mode_t mode, bool durable)
{
    SCOPED(fd_close) int fd =
        fault_hit("open") ? -1 : open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "create %s", tmp);
    if (fchmod(fd, mode) < 0) /* the umask is not the caller's wish */
        return err_new(ERR_SYS, errno, "chmod %s", tmp);
    Err *e = write_all(fd, tmp, bytes, n);
    if (e)
        return e;
    if (durable && (fault_hit("fsync") || fdatasync(fd) < 0))
        return err_new(ERR_SYS, errno, "fsync %s", tmp);
    int raw = MOVE(fd, -EBADF);
    if (close(raw) < 0) /* some filesystems report a full disk only here */
        return err_new(ERR_SYS, errno, "close %s", tmp);
    return NULL;
}

Err *fs_overwrite(const char *path, Str *text, char pad, mode_t mode)
{
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_new(ERR_SYS, errno, "open %s", path);
    while ((off_t)text->n < st.st_size)
        str_add_c(text, pad);
    return write_all(fd, path, text->p, text->n);
}

Err *fs_write_atomic(const char *path, const void *bytes, size_t n, mode_t mode, bool durable)
{
    SCOPED(mem_free) char *tmp = mem_fmt("%s.tmp", path);
    Err *e = write_temporary(tmp, bytes, n, mode, durable);
    if (!e && (fault_hit("rename") || rename(tmp, path) < 0))
        e = err_new(ERR_SYS, errno, "rename %s to %s", tmp, path);
    if (e) {
        (void)unlink(tmp);
        return e;
    }
    return durable ? fs_sync_dir_of(path) : NULL;
}

Err *fs_write(const char *path, const char *text)
{
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_new(open_kind(errno), errno, "open %s", path);
    return write_all(fd, path, text, strlen(text));
}

Err *fs_mkdirs(const char *path, mode_t mode)
{
    struct stat there;
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode)) /* nearly always */
        return NULL;
    SCOPED(mem_free) char *p = mem_dup_str(path);
    for (char *s = p + 1;; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char end = *s;
        *s = '\0';
        if ((fault_hit("mkdir") || mkdir(p, mode) < 0) && errno != EEXIST)
            return err_new(ERR_SYS, errno, "create directory %s", p);
        *s = end;
        if (end == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return err_new(ERR_SYS, errno, "stat %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_new(ERR_SYS, ENOTDIR, "create directory %s", path);
    return NULL;
}

/* Depth is bounded by the file system's own path limits only through openat, so recursion could be made deep by a hostile
 * container: past this the tree is reported rather than the stack risked. */
#define REMOVE_DEPTH_MAX 512

static Err *remove_contents(int dirfd, const char *path, unsigned depth, size_t *budget);

static Err *remove_entry(int dirfd, const char *name, const char *path, unsigned depth, size_t *budget)
{
    if (budget && (*budget)-- == 0) {
        *budget = 0;
        return err_new(ERR_LIMIT, 0, "remove %s: there is more", path);
    }
    if (!fault_hit("unlink") && unlinkat(dirfd, name, 0) == 0)
        return NULL;
    if (errno == ENOENT)
        return NULL;
    if (errno != EISDIR && errno != EPERM)
        return err_new(ERR_SYS, errno, "remove %s/%s", path, name);
    /* A bind of the same file system has the same device number: only the kernel's own check keeps us out of it. */
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV};
    SCOPED(fd_close) int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof how);
    if (fd < 0 && errno == EXDEV)
        return err_new(ERR_SYS, EBUSY, "remove %s/%s: something is mounted there", path, name);
    if (fd < 0)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "open %s/%s", path, name);
    SCOPED(mem_free) char *sub = mem_fmt("%s/%s", path, name);
    Err *e = remove_contents(MOVE(fd, -EBADF), sub, depth + 1, budget);
    if (e)
        return e;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_new(ERR_SYS, errno, "remove %s", sub);
    return NULL;
}

/* Takes dirfd. */
static Err *remove_contents(int dirfd, const char *path, unsigned depth, size_t *budget)
{
    DIR *d = fdopendir(dirfd);
    if (!d) {
        int sys = errno;
        fd_close(dirfd);
        return err_new(ERR_SYS, sys, "read directory %s", path);
    }
    if (depth > REMOVE_DEPTH_MAX) {
        (void)closedir(d);
        return err_new(ERR_LIMIT, 0, "remove %s: more than %d directories deep", path, REMOVE_DEPTH_MAX);
    }
    Err *e = NULL;
    struct dirent *ent;
    while (!e && (ent = readdir(d)))
        if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
            e = remove_entry(dirfd, ent->d_name, path, depth, budget);
    (void)closedir(d);
    return e;
}

static Err *remove_tree(const char *path, size_t *budget)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR ? NULL : err_new(ERR_SYS, errno, "stat %s", path);
    if (!S_ISDIR(st.st_mode)) {
        if ((fault_hit("unlink") || unlink(path) < 0) && errno != ENOENT)
            return err_new(ERR_SYS, errno, "remove %s", path);
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open %s", path);
    Err *e = remove_contents(fd, path, 0, budget);
    if (!e && rmdir(path) < 0 && errno != ENOENT)
        e = err_new(ERR_SYS, errno, "remove %s", path);
    return e;
}

Err *fs_remove_tree(const char *path)
{
    return remove_tree(path, NULL);
}

Err *fs_remove_small(const char *path, size_t max, bool *ret_more)
{
    size_t budget = max;
    Err *e = remove_tree(path, &budget);
    *ret_more = e && e->kind == ERR_LIMIT;
    if (!*ret_more)
        return e;
    err_free(e);
    return NULL;
}

bool fs_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool fs_executable_in(int rootfd, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    SCOPED(fd_close) int fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof how);
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

#define LOCK_WAIT_MS 1000
#define LOCK_LOOK_MS 5

/* Who holds the lock of <fd>, as it wrote it there. */
static void lock_holder(int fd, char holder[FS_LOCK_HOLDER])
{
    ssize_t n = pread(fd, holder, FS_LOCK_HOLDER - 1, 0);
    holder[n > 0 ? n : 0] = '\0';
    if (!holder[0])
        memcpy(holder, "(unknown)", sizeof "(unknown)");
}

static bool is_gone(const char *holder)
{
    char *end;
    long pid = strtol(holder, &end, 10);
    return pid > 0 && pid <= INT_MAX && !*end && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* A process that was killed while it started another one (os/spawn.h) leaves its descriptors to that for the moment until it executes
 * its program: a lock whose holder is gone is waited for. */
static bool lock_now(int fd, char holder[FS_LOCK_HOLDER])
{
    for (int left = LOCK_WAIT_MS;; left -= LOCK_LOOK_MS) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        int sys = errno;
        if (sys == EWOULDBLOCK)
            lock_holder(fd, holder);
        bool wait = sys == EWOULDBLOCK && left > 0 && is_gone(holder);
        errno = sys;
        if (!wait)
            return false;
        (void)usleep(LOCK_LOOK_MS * 1000);
    }
}

Err *fs_lock(const char *path, int *ret_fd, char holder[FS_LOCK_HOLDER])
{
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open %s", path);
    if (!lock_now(fd, holder))
        return errno == EWOULDBLOCK ? err_new(ERR_EXISTS, 0, "%s is locked by process %s", path, holder)
                                    : err_new(ERR_SYS, errno, "lock %s", path);
    SCOPED(mem_free) char *me = mem_fmt("%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, me, strlen(me)) < 0)
        return err_new(ERR_SYS, errno, "write %s", path);
    *ret_fd = MOVE(fd, -EBADF);
    return NULL;
}
