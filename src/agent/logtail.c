#include "agent/logtail.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "api/codec.h"
#include "base/str.h"
#include "os/fs.h"

/* A writer that is faster than us must not keep the loop: the rest is read in a later turn, since inotify tells again. */
#define READ_BUDGET ((size_t)1 << 20)

typedef struct {
    LogTail *tail;
    char *container, *path;
    uint32_t attempt;
    int fd;
    ino_t inode;
    Str partial; /* of a line that is not whole yet */
    uv_fs_event_t watch;
    bool watching;
} Followed;

struct LogTail {
    uv_loop_t *loop;
    char *dir;
    LogTailLine *fn;
    void *arg;
    LIST_OF(Followed *) files;
    unsigned open_handles;
    bool closed;
};

/* "2026-01-02T15:04:05.123456789Z stdout F content": the content begins after the third blank. P = the line goes on. */
static void emit_line(const Followed *f, char *line, size_t n)
{
    char *p = line, *end = line + n;
    bool partial = false;
    for (int i = 0; i < 3; i++) {
        char *blank = memchr(p, ' ', (size_t)(end - p));
        if (!blank)
            return; /* torn by a full disk */
        partial = i == 2 && *p == 'P';
        p = blank + 1;
    }
    if (!partial)
        *end = '\n'; /* where the line's own newline was */
    f->tail->fn(f->tail->arg, f->container, f->attempt, p, (size_t)(end - p) + !partial);
}

static void read_on(Followed *f)
{
    char buf[16384];
    size_t total = 0;
    for (ssize_t n; total < READ_BUDGET && (n = read(f->fd, buf, sizeof buf)) > 0; total += (size_t)n) {
        str_add_n(&f->partial, buf, (size_t)n);
        size_t start = 0;
        for (char *nl; (nl = memchr(f->partial.p + start, '\n', f->partial.n - start));) {
            size_t len = (size_t)(nl - f->partial.p) - start;
            emit_line(f, f->partial.p + start, len);
            start += len + 1;
        }
        memmove(f->partial.p, f->partial.p + start, f->partial.n - start);
        f->partial.n -= start;
    }
}

/* Reads to the end of the file that is open; when the name has come to mean another file (rotation), goes on there. */
static void poll_file(Followed *f)
{
    for (int i = 0; i < 8; i++) {
        if (f->fd >= 0)
            read_on(f);
        struct stat st;
        if (stat(f->path, &st) < 0 || (f->fd >= 0 && st.st_ino == f->inode))
            return;
        fd_close(f->fd);
        f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (f->fd < 0 || fstat(f->fd, &st) < 0)
            return;
        f->inode = st.st_ino;
        str_clear(&f->partial);
    }
}

static void on_file_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    (void)name, (void)events, (void)status;
    poll_file(h->data);
}

static void tail_release(LogTail *t)
{
    if (t->open_handles || !t->closed)
        return;
    free(t->files.v);
    free(t->dir);
    free(t);
}

static void on_file_closed(uv_handle_t *h)
{
    Followed *f = h->data;
    LogTail *t = f->tail;
    fd_close(f->fd);
    str_done(&f->partial);
    free(f->container);
    free(f->path);
    free(f);
    t->open_handles--;
    tail_release(t);
}

static void let_go(Followed *f)
{
    uv_close((uv_handle_t *)&f->watch, on_file_closed);
}

LogTail *logtail_new(uv_loop_t *loop, const char *dir, LogTailLine *fn, void *arg)
{
    LogTail *t = NEW(LogTail);
    t->loop = loop;
    t->dir = mem_dup_str(dir);
    t->fn = fn;
    t->arg = arg;
    return t;
}

/* The directory is watched, not the file: it tells of growth, of rotation, and of the file's birth. */
static void watch(Followed *f)
{
    if (f->watching)
        return;
    SCOPED(mem_free) char *dir = mem_fmt("%s/%s", f->tail->dir, f->container);
    SCOPED(err_free) Err *e = fs_mkdirs(dir, 0755);
    f->watching = !e && uv_fs_event_start(&f->watch, on_file_event, dir, 0) == 0;
}

void logtail_follow(LogTail *t, const char *container, uint32_t attempt)
{
    for (size_t i = 0; i < t->files.n; i++) {
        Followed *f = t->files.v[i];
        if (strcmp(f->container, container) != 0)
            continue;
        if (f->attempt == attempt) {
            watch(f);
            poll_file(f);
            return;
        }
        poll_file(f);
        /* The last words of the attempt before may still be on their way from a pipe to its file. */
        if (f->attempt + 1 == attempt)
            continue;
        let_go(f);
        t->files.v[i--] = t->files.v[--t->files.n];
    }
    Followed *f = NEW(Followed);
    f->tail = t;
    f->container = mem_dup_str(container);
    f->path = mem_fmt("%s/%s/%u.log", t->dir, container, attempt);
    f->attempt = attempt;
    f->fd = -EBADF;
    f->watch.data = f;
    (void)uv_fs_event_init(t->loop, &f->watch);
    uv_unref((uv_handle_t *)&f->watch);
    t->open_handles++;
    *LIST_ADD(&t->files) = f;
    watch(f);
    poll_file(f);
}

void logtail_drain(LogTail *t)
{
    for (size_t i = 0; i < t->files.n; i++)
        poll_file(t->files.v[i]);
}

void logtail_free(LogTail *t)
{
    if (!t)
        return;
    t->closed = true;
    for (size_t i = 0; i < t->files.n; i++)
        let_go(t->files.v[i]);
    tail_release(t);
}
