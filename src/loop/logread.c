#include "loop/logread.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"
#include "os/fs.h"
#include "os/crilog.h"

#define PIECE ((size_t)64 << 10)
#define TURN_PIECES 4     /* one reader does not hold up the others */
#define MAX_FILES 64      /* rotated ones, the newest; the kubelet keeps 5 */

typedef struct {
    int fd;
    ino_t inode;
    dev_t dev;
} File;

struct LogRead {
    uv_idle_t turn; /* active while there is something to do */
    uv_fs_event_t watch;
    unsigned handles;
    const LogReadOps *ops;
    void *arg;
    char *path;
    File files[MAX_FILES + 1]; /* oldest first; those before <at> are closed */
    size_t n, at;
    int64_t tail; /* lines that are still searched for, back from <back> of files[at]; < 0 = reading */
    off_t back, last_size;
    bool follow, finishing, paused, watching, over, closed;
};

static void on_closed(uv_handle_t *h)
{
    LogRead *r = h->data;
    if (--r->handles)
        return;
    free(r->path);
    free(r);
}

void logread_free(LogRead *r)
{
    if (!r || MOVE(r->closed, true))
        return;
    while (r->at < r->n)
        fd_close(r->files[r->at++].fd);
    uv_close((uv_handle_t *)&r->turn, on_closed);
    uv_close((uv_handle_t *)&r->watch, on_closed);
}

/* --- the files ------------------------------------------------------------------------------------------------------ */

static bool file_open(const char *path, File *ret)
{
    struct stat st;
    SCOPED(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    *ret = (File){MOVE(fd, -EBADF), st.st_ino, st.st_dev};
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "0.log.20260102-150405" of "0.log": not what compresses it, or is being made. */
static bool is_rotated(const char *name, const char *base)
{
    size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && name[n] == '.' && name[n + 1 + strspn(name + n + 1, "0123456789-")] == '\0' && name[n + 1];
}

static void rotated(const char *path, StrVec *out)
{
    const char *slash = strrchr(path, '/');
    SCOPED(mem_free) char *dir = mem_dup_strn(path, slash ? (size_t)(slash - path) : 0);
    DIR *d = opendir(slash ? (*dir ? dir : "/") : ".");
    for (struct dirent *de; d && (de = readdir(d)) != NULL;)
        if (is_rotated(de->d_name, slash ? slash + 1 : path))
            strvec_fmt(out, "%s%s%s", dir, slash ? "/" : "", de->d_name);
    if (d)
        (void)closedir(d);
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, by_name);
}

static bool same(const File *a, const File *b)
{
    return a->inode == b->inode && a->dev == b->dev;
}

/* Adds those behind <known> (NULL = all), the log itself last. */
static void files_find(LogRead *r, const File *known, int64_t since_ns)
{
    SCOPED(strvec_done) StrVec names = {0};
    rotated(r->path, &names);
    size_t first = names.n > MAX_FILES ? names.n - MAX_FILES : 0;
    size_t begin = r->n;
    strvec_add(&names, r->path);
    for (size_t i = first; i < names.n && r->n < MAX_FILES + 1; i++) {
        File f;
        struct stat st;
        if (!file_open(names.v[i], &f))
            continue;
        bool old = i + 1 < names.n && since_ns != NS_NONE && fstat(f.fd, &st) == 0 &&
                   (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec < since_ns;
        if (known && same(&f, known)) { /* what came before it was read long ago */
            while (r->n > begin)
                fd_close(r->files[--r->n].fd);
            old = true;
        }
        if (old)
            fd_close(f.fd);
        else
            r->files[r->n++] = f;
    }
}

/* --- the end of it, backwards ---------------------------------------------------------------------------------------- */

/* One piece back. The lines may begin in a file before. */
static void search(LogRead *r, char *buf)
{
    if (r->back == 0 && r->at > 0) {
        struct stat st;
        r->at--;
        r->back = fstat(r->files[r->at].fd, &st) == 0 ? st.st_size : 0;
        r->last_size = r->back;
    }
    size_t n = r->back < (off_t)PIECE ? (size_t)r->back : PIECE;
    off_t from = r->back - (off_t)n;
    ssize_t got = n ? pread(r->files[r->at].fd, buf, n, from) : 0;
    size_t before = got == (ssize_t)n && n ? crilog_tail_back(buf, n, r->back == r->last_size, &r->tail) : 0;
    r->back = from;
    /* A file that begins with a line has been counted without its newline before it. */
    if (r->tail > 0 && from == 0 && n)
        r->tail--;
    if (r->tail == 0 || (from == 0 && r->at == 0)) {
        r->tail = -1;
        (void)lseek(r->files[r->at].fd, from + (off_t)before, SEEK_SET);
    }
}

/* --- forwards --------------------------------------------------------------------------------------------------------- */

static void on_change(uv_fs_event_t *h, const char *name, int events, int status);
static void on_turn(uv_idle_t *h);

static void wake(LogRead *r)
{
    if (!r->closed && !r->over && !r->paused)
        (void)uv_idle_start(&r->turn, on_turn);
}

static void on_change(uv_fs_event_t *h, const char *name, int events, int status)
{
    (void)name;
    (void)events;
    (void)status;
    wake(h->data);
}

static void watch_start(LogRead *r)
{
    const char *slash = strrchr(r->path, '/');
    SCOPED(mem_free) char *dir = mem_dup_strn(r->path, slash ? (size_t)(slash - r->path) : 0);
    r->watching = uv_fs_event_start(&r->watch, on_change, slash ? (*dir ? dir : "/") : ".", 0) == 0;
}

/* Another file has its name, which is written to since: what is left of this one was written before. */
static bool is_rotated_away(const LogRead *r)
{
    struct stat st;
    return stat(r->path, &st) == 0 && (st.st_ino != r->files[r->at].inode || st.st_dev != r->files[r->at].dev);
}

static void next_file(LogRead *r)
{
    fd_close(r->files[r->at++].fd);
    r->ops->on_file(r->arg);
}

/* The end of the newest file that is open, twice if need be: it may have been written to before it was rotated. True: there is more. */
static bool at_end(LogRead *r, char *buf)
{
    if (r->follow && !r->watching) {
        watch_start(r);
        return true; /* what came before the watch */
    }
    if (!is_rotated_away(r))
        return false;
    ssize_t n = read(r->files[r->at].fd, buf, PIECE);
    if (n > 0) {
        r->ops->on_bytes(r->arg, buf, (size_t)n);
        return true;
    }
    File known = r->files[r->at];
    known.fd = -EBADF;
    next_file(r);
    if (r->closed)
        return false;
    r->n = r->at = 0;
    files_find(r, &known, NS_NONE);
    return r->n > 0;
}

static void step(LogRead *r, char *buf)
{
    if (r->tail >= 0) {
        search(r, buf);
        return;
    }
    ssize_t n = r->at < r->n ? read(r->files[r->at].fd, buf, PIECE) : 0;
    if (n > 0) {
        r->ops->on_bytes(r->arg, buf, (size_t)n);
        return;
    }
    if (r->at + 1 < r->n) {
        next_file(r);
        return;
    }
    if (r->at < r->n && at_end(r, buf))
        return;
    if (r->closed)
        return;
    (void)uv_idle_stop(&r->turn);
    if (r->follow && !r->finishing && r->at < r->n)
        return;
    r->over = true;
    r->ops->on_over(r->arg);
}

static void on_turn(uv_idle_t *h)
{
    static char buf[PIECE];
    LogRead *r = h->data;
    for (int i = 0; i < TURN_PIECES && uv_is_active((uv_handle_t *)&r->turn) && !r->closed; i++)
        step(r, buf);
}

void logread_pause(LogRead *r, bool pause)
{
    if (r->closed || r->paused == pause)
        return;
    r->paused = pause;
    if (pause)
        (void)uv_idle_stop(&r->turn);
    else
        wake(r);
}

void logread_finish(LogRead *r)
{
    r->finishing = true;
    wake(r);
}

Err *logread_new(const LogReadConfig *c, LogRead **ret)
{
    LogRead *r = NEW(LogRead);
    *r = (LogRead){.ops = c->ops, .arg = c->arg, .path = mem_dup_str(c->path), .tail = c->tail, .follow = c->follow, .handles = 2};
    struct stat st;
    files_find(r, NULL, c->since_ns);
    if (r->n == 0) {
        Err *e = err_new(ERR_NOT_FOUND, 0, "there is no log %s", c->path);
        free(r->path);
        free(r);
        return e;
    }
    if (r->tail >= 0) {
        r->at = r->n - 1;
        r->back = r->last_size = fstat(r->files[r->at].fd, &st) == 0 ? st.st_size : 0;
    }
    (void)uv_idle_init(c->loop, &r->turn);
    (void)uv_fs_event_init(c->loop, &r->watch);
    r->turn.data = r->watch.data = r;
    wake(r);
    *ret = r;
    return NULL;
}
