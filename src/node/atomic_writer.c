#include "node/atomic_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "os/fault.h"
#include "os/mount.h"
#include "os/walk.h"

#define DATA "..data"
#define DATA_TMP "..data_tmp"
#define NAME_BYTES_MAX 255 /* atomic_writer.go: maxFileNameLength, maxPathLength */
#define PATH_BYTES_MAX 4096

void payload_put(Payload *p, const char *path, const void *bytes, size_t n, uint32_t mode)
{
    size_t order = p->n;
    *LIST_ADD(p) = (PayloadFile){
        .path = mem_dup_str(path),
        .bytes = n ? mem_dup(bytes, n) : NULL,
        .n = n,
        .mode = mode & 07777,
        .order = order,
    };
}

static void file_done(PayloadFile *f)
{
    free(f->path);
    free(f->bytes);
}

void payload_done(Payload *p)
{
    LIST_EACH(f, p)
        file_done(f);
    free(p->v);
    *p = (Payload){0};
}

Err *payload_path_check(const char *path)
{
    if (str_empty(path))
        return err_new(ERR_INVALID, 0, "invalid path: must not be empty: \"\"");
    if (path[0] == '/')
        return err_new(ERR_INVALID, 0, "invalid path: must be relative path: %s", path);
    if (strlen(path) > PATH_BYTES_MAX)
        return err_new(ERR_INVALID, 0, "invalid path: must be less than or equal to %d characters", PATH_BYTES_MAX);
    for (const char *s = path; s; s = strchr(s, '/')) {
        s += *s == '/';
        size_t n = strcspn(s, "/");
        if (n == 2 && s[0] == '.' && s[1] == '.')
            return err_new(ERR_INVALID, 0, "invalid path: must not contain '..': %s", path);
        if (n > NAME_BYTES_MAX)
            return err_new(ERR_INVALID, 0, "invalid path: filenames must be less than or equal to %d characters",
                           NAME_BYTES_MAX);
    }
    if (str_starts(path, ".."))
        return err_new(ERR_INVALID, 0, "invalid path: must not start with '..': %s", path);
    return NULL;
}

/* "a//b/./c/" -> "a/b/c" in place. */
static void path_clean(char *path)
{
    char *w = path;
    for (const char *s = path; *s;) {
        size_t n = strcspn(s, "/");
        if (n > 0 && !(n == 1 && *s == '.')) {
            if (w != path)
                *w++ = '/';
            memmove(w, s, n);
            w += n;
        }
        s += n;
        s += *s == '/';
    }
    *w = '\0';
}

static int file_cmp(const void *a, const void *b)
{
    const PayloadFile *x = a, *y = b;
    int c = strcmp(x->path, y->path);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static Err *payload_settle(Payload *p)
{
    LIST_EACH(f, p) {
        Err *e = payload_path_check(f->path);
        if (e)
            return e;
        path_clean(f->path);
        /* After cleaning, the front may have changed: "./..x". */
        if (f->path[0] == '\0' || str_starts(f->path, ".."))
            return err_new(ERR_INVALID, 0, "invalid path: must name a file that does not start with '..': %s", f->path);
    }
    if (p->n > 1)
        qsort(p->v, p->n, sizeof *p->v, file_cmp);
    size_t kept = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (i + 1 < p->n && str_eq(p->v[i].path, p->v[i + 1].path))
            file_done(&p->v[i]);
        else
            p->v[kept++] = p->v[i];
    }
    p->n = kept;
    return NULL;
}

/* Whether <name> is the first component of a file's path. */
static bool payload_has_top(const Payload *p, const char *name)
{
    size_t lo = 0, hi = p->n, len = strlen(name);
    while (lo < hi) { /* the first path that is not less than <name>; "name/..." follows it, but for "name-..." */
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(p->v[mid].path, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < p->n && str_eq(p->v[lo].path, name))
        return true;
    SCOPED(mem_free) char *sub = mem_fmt("%s/", name);
    for (hi = p->n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(p->v[mid].path, sub) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->n && strncmp(p->v[lo].path, sub, len + 1) == 0;
}

typedef struct {
    const char *path; /* of the volume, for texts and for fs_remove_tree() */
    int fd;
    const Payload *p;
    char old[NAME_BYTES_MAX + 1]; /* what ..data points at; "" = nothing */
} Writer;

/* 1 = the same bytes, 0 = not. */
static bool file_is(int dirfd, const PayloadFile *f)
{
    SCOPED(fd_close) int fd = open_beneath(dirfd, f->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != f->n)
        return false;
    char buf[16384];
    size_t at = 0;
    while (at < f->n) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n <= 0 || (size_t)n > f->n - at || memcmp(buf, (const char *)f->bytes + at, (size_t)n) != 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static Err *count_file(void *arg, int fd, const struct stat *st)
{
    (void)fd;
    *(size_t *)arg += !S_ISDIR(st->st_mode);
    return NULL;
}

static bool is_current(const Writer *w)
{
    if (!w->old[0])
        return false;
    SCOPED(fd_close) int old = openat(w->fd, w->old, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (old < 0)
        return false;
    LIST_EACH(f, w->p)
        if (!file_is(old, f))
            return false;
    size_t n = 0;
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->path, w->old);
    SCOPED(err_free) Err *e = fs_walk(path, count_file, &n);
    return !e && n == w->p->n;
}

/* Versions that ..data does not name: the one before, and what writes that died left. */
static Err *remove_leftovers(const Writer *w)
{
    SCOPED(strvec_done) StrVec stale = {0};
    int fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        Err *e = err_new(ERR_SYS, errno, "read %s", w->path);
        fd_close(fd);
        return e;
    }
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (str_starts(ent->d_name, "..") && ent->d_name[2] && !str_eq(ent->d_name, DATA) &&
            !str_eq(ent->d_name, w->old))
            strvec_add(&stale, ent->d_name);
    (void)closedir(d);
    for (size_t i = 0; i < stale.n; i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->path, stale.v[i]);
        Err *e = fs_remove_tree(path);
        if (e)
            return e;
    }
    return NULL;
}

static Err *make_version(const Writer *w, char *name, size_t size)
{
    int64_t now = os_now_ns();
    time_t s = (time_t)(now / NS_PER_S);
    struct tm tm;
    (void)gmtime_r(&s, &tm);
    char at[32];
    (void)strftime(at, sizeof at, "..%Y_%m_%d_%H_%M_%S", &tm);
    /* The random part makes the name new even if the clock went back. */
    char random[9];
    os_random_hex(random, 4);
    (void)snprintf(name, size, "%s.%s", at, random);
    if (fault_hit("mkdir") || mkdirat(w->fd, name, 0755) < 0)
        return err_new(ERR_SYS, errno, "create %s/%s", w->path, name);
    if (fchmodat(w->fd, name, 0755, 0) < 0) /* whatever the umask */
        return err_new(ERR_SYS, errno, "chmod %s/%s", w->path, name);
    return NULL;
}

static Err *make_parents(int dirfd, const char *path)
{
    SCOPED(mem_free) char *p = mem_dup_str(path);
    for (char *s = strchr(p, '/'); s; s = strchr(s + 1, '/')) {
        *s = '\0';
        bool made = !fault_hit("mkdir") && mkdirat(dirfd, p, 0755) == 0;
        if (!made && errno != EEXIST)
            return err_new(ERR_SYS, errno, "mkdir %s", p);
        if (made && fchmodat(dirfd, p, 0755, 0) < 0)
            return err_new(ERR_SYS, errno, "chmod %s", p);
        *s = '/';
    }
    return NULL;
}

static Err *write_file(int dirfd, const PayloadFile *f)
{
    Err *e = make_parents(dirfd, f->path);
    if (e)
        return e;
    SCOPED(fd_close) int fd = open_beneath(dirfd, f->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open %s", f->path);
    for (size_t at = 0; at < f->n;) {
        ssize_t n = fault_hit("write") ? -1 : write(fd, (const char *)f->bytes + at, f->n - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_new(ERR_SYS, errno, "write %s", f->path);
        at += (size_t)n;
    }
    if (fchmod(fd, (mode_t)f->mode) < 0)
        return err_new(ERR_SYS, errno, "chmod %s", f->path);
    return NULL;
}

static Err *write_version(const Writer *w, const char *name, AtomicOwner *owner, void *arg)
{
    SCOPED(fd_close) int fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open %s/%s", w->path, name);
    LIST_EACH(f, w->p) {
        Err *e = write_file(fd, f);
        if (e)
            return err_wrap(e, "write volume content");
    }
    if (!owner)
        return NULL;
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->path, name);
    return owner(arg, path);
}

static Err *swap(const Writer *w, const char *name)
{
    (void)unlinkat(w->fd, DATA_TMP, 0); /* of a write that died */
    if (symlinkat(name, w->fd, DATA_TMP) < 0)
        return err_new(ERR_SYS, errno, "create %s/" DATA_TMP, w->path);
    if (fault_hit("rename") || renameat(w->fd, DATA_TMP, w->fd, DATA) < 0) {
        Err *e = err_new(ERR_SYS, errno, "rename %s/" DATA_TMP, w->path);
        (void)unlinkat(w->fd, DATA_TMP, 0);
        return e;
    }
    return NULL;
}

/* After the swap, so that no link that users see ever dangles. A directory in the way is a nested mount point: it
 * stays. */
static Err *link_files(const Writer *w)
{
    LIST_EACH(f, w->p) {
        SCOPED(mem_free) char *top = mem_dup_strn(f->path, strcspn(f->path, "/"));
        SCOPED(mem_free) char *to = mem_fmt(DATA "/%s", top);
        if (symlinkat(to, w->fd, top) < 0 && errno != EEXIST)
            return err_new(ERR_SYS, errno, "create link %s/%s", w->path, top);
    }
    return NULL;
}

static Err *unlink_stale(const Writer *w)
{
    int fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        Err *e = err_new(ERR_SYS, errno, "read %s", w->path);
        fd_close(fd);
        return e;
    }
    Err *e = NULL;
    struct dirent *ent;
    while (!e && (ent = readdir(d))) {
        char to[PATH_MAX];
        ssize_t n = str_starts(ent->d_name, "..") ? -1 : readlinkat(w->fd, ent->d_name, to, sizeof to - 1);
        if (n < 0 || payload_has_top(w->p, ent->d_name))
            continue;
        to[n] = '\0';
        if (str_starts(to, DATA "/") && (fault_hit("unlink") || unlinkat(w->fd, ent->d_name, 0) < 0) && errno != ENOENT)
            e = err_new(ERR_SYS, errno, "remove link %s/%s", w->path, ent->d_name);
    }
    (void)closedir(d);
    return e;
}

static Err *new_version(const Writer *w, AtomicOwner *owner, void *arg)
{
    char name[NAME_BYTES_MAX + 1];
    Err *e = make_version(w, name, sizeof name);
    if (!e)
        e = write_version(w, name, owner, arg);
    fault_step("volume.written");
    if (!e)
        e = swap(w, name);
    if (e) {
        SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->path, name);
        err_free(fs_remove_tree(path)); /* what cannot be removed now is a leftover for the next write */
        return e;
    }
    fault_step("volume.swapped");
    return NULL;
}

static Err *read_current(Writer *w)
{
    ssize_t n = readlinkat(w->fd, DATA, w->old, sizeof w->old - 1);
    if (n < 0 && errno != ENOENT)
        return err_new(ERR_SYS, errno, "read link %s/" DATA, w->path);
    w->old[n < 0 ? 0 : n] = '\0';
    if (!str_starts(w->old, "..") || strchr(w->old, '/'))
        w->old[0] = '\0'; /* not made by us: never followed, replaced by the swap */
    return NULL;
}

Err *atomic_write(const char *dir, Payload *p, AtomicOwner *owner, void *arg)
{
    Err *e = payload_settle(p);
    if (e)
        return e;
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open %s", dir);
    Writer w = {.path = dir, .fd = fd, .p = p};
    if ((e = read_current(&w)))
        return e;
    if (!is_current(&w)) {
        if ((e = new_version(&w, owner, arg)) || (e = read_current(&w)))
            return e;
    }
    /* Also when nothing changed: the write that made this version may have died before it came here. */
    if ((e = link_files(&w)) || (e = unlink_stale(&w)))
        return e;
    return remove_leftovers(&w);
}
