/* A container's output goes through FIFOs that both sides hold open both ways (O_RDWR). The container, for reading too: when the shim
 * dies, it gets no SIGPIPE, its writes go into the pipe, and the next shim reads on. We, for writing too: then the end of a
 * container does not wake us twice, by its pipes before it can be waited for; what lies in them is read at its end. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/unixsock.h"
#include "shim/shim.h"

#define READ_BYTES 65536
#define SETTLE_MS 2
#define TURN_READS 4    /* at most this many reads a stream a turn: one chatty container does not starve the others */
#define DRAIN_READS 64  /* at the end of a container: a pipe holds 64 KiB unless somebody enlarged it */

static const char *const fifo_names[3] = {"in", "out", "err"};

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

/* Of a standby: beside the log that it will write, under a name that nobody reads. Caller frees. */
static char *next_path(const Ctr *c)
{
    const char *path = str_or(json_str(ctr_rec(c), "log_path"), ""), *slash = strrchr(path, '/');
    return mem_fmt("%.*s/.next.%.16s", slash ? (int)(slash - path) : 0, path, c->id);
}

static Err *log_open(Ctr *c, const char *path)
{
    const json_t *rec = ctr_rec(c);
    return podlog_open(&c->log, path, json_i64(rec, "log_max_bytes", 0), (int)json_i64(rec, "log_max_files", 5));
}

Err *ctr_log_open(Ctr *c)
{
    if (!ctr_is_standby(c))
        return log_open(c, json_str(ctr_rec(c), "log_path"));
    SCOPED(mem_free) char *next = next_path(c);
    return log_open(c, next);
}

Err *ctr_log_begin(Ctr *c)
{
    const char *path = json_str(ctr_rec(c), "log_path");
    Err *e = podlog_rename(&c->log, path);
    if (!e)
        return NULL;
    err_free(e); /* somebody has tidied up: make it anew */
    podlog_close(&c->log);
    return log_open(c, path);
}

void ctr_log_drop(Ctr *c)
{
    SCOPED(mem_free) char *next = next_path(c);
    (void)unlink(next);
}

static void stream_end(Stream *st)
{
    if (st->poll) {
        (void)uv_poll_stop(st->poll);
        uv_close((uv_handle_t *)st->poll, handle_free);
        st->poll = NULL;
    }
    fd_close(MOVE(st->fd, -EBADF));
}

void ctr_begun(Ctr *c)
{
    if (!MOVE(c->begin_owed, false))
        return;
    shim_log_err(ctr_log_begin(c), "begin the log of a container");
    streams_start(c);
}

/* What can wait: reading what a new one says, closing the pipes of what has ended. */
static void on_settle_timer(uv_timer_t *t)
{
    for (Ctr *c = ((Shim *)t->data)->ctrs; c; c = c->next)
        ctr_begun(c);
    for (Ctr *c = ((Shim *)t->data)->ctrs; c; c = c->next)
        for (int i = 0; c->state == CTR_EXITED && i < PODLOG_STREAMS; i++)
            stream_end(&c->stream[i]);
}

static void settle_later(Ctr *c, uint64_t ms)
{
    uv_timer_t *t = &c->shim->settle_timer;
    if (!uv_is_active((uv_handle_t *)t) || uv_timer_get_due_in(t) > ms)
        (void)uv_timer_start(t, on_settle_timer, ms, 0);
}

void ctr_begin_later(Ctr *c)
{
    c->begin_owed = true;
    settle_later(c, 0);
}

Err *streams_make(Ctr *c)
{
    const json_t *rec = ctr_rec(c);
    if (json_flag(rec, "tty", false))
        return NULL;
    for (int i = json_flag(rec, "stdin", false) ? 0 : 1; i < 3; i++) {
        SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, fifo_names[i]);
        (void)unlink(path);
        if (mkfifo(path, 0600) < 0)
            return err_new(ERR_SYS, errno, "make fifo %s", path);
    }
    return NULL;
}

static Err *fifo_open(const Ctr *c, int which, int flags, int *ret)
{
    SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, fifo_names[which]);
    *ret = fault_hit("open") ? -1 : open(path, flags | O_CLOEXEC);
    return *ret < 0 ? err_new(ERR_SYS, errno, "open fifo %s", path) : NULL;
}

Err *streams_open(Ctr *c, int ret_fds[3])
{
    Err *e = NULL;
    for (int i = 0; i < 2 && !e; i++)
        e = fifo_open(c, i + 1, O_RDWR | O_NONBLOCK, &c->stream[i].fd);
    for (int i = 1; i < 3 && !e; i++)
        e = fifo_open(c, i, O_RDWR, &ret_fds[i]);
    if (!e && json_flag(ctr_rec(c), "stdin", false)) {
        e = fifo_open(c, 0, O_RDWR | O_NONBLOCK, &c->stdin_fd);
        if (!e) /* one that is to see an end of it cannot hold its other side */
            e = fifo_open(c, 0, stdin_is_once(c) ? O_RDONLY : O_RDWR, &ret_fds[0]);
    }
    return e;
}

bool stdin_is_once(const Ctr *c)
{
    return json_flag(ctr_rec(c), "stdin_once", false) && !json_flag(ctr_rec(c), "tty", false);
}

Err *stdin_open(Ctr *c, int *ret_fd)
{
    if (c->stdin_fd < 0)
        return err_new(ERR_NOT_FOUND, 0, "container %s has no stdin", c->id);
    return fifo_open(c, 0, O_WRONLY | O_NONBLOCK, ret_fd);
}

void stdin_close(Ctr *c)
{
    if (c->stdin_fd < 0)
        return;
    fd_close(MOVE(c->stdin_fd, -EBADF));
    ctr_set(c, json_pack("{s:b}", "stdin_closed", 1), STORE_LATER);
}

char *streams_take(Ctr *c)
{
    Str out = {0};
    for (int i = 0; i < PODLOG_STREAMS; i++)
        for (int n = 0; n < TURN_READS && c->stream[i].fd >= 0; n++) {
            char buf[4096];
            ssize_t got = read(c->stream[i].fd, buf, sizeof buf);
            if (got <= 0)
                break;
            str_add_n(&out, buf, (size_t)got);
        }
    return str_take(&out);
}

/* false when nothing more comes now. */
static bool stream_read(Stream *st)
{
    static char buf[READ_BYTES];
    Ctr *c = st->ctr;
    PodLogStream which = (PodLogStream)(st - c->stream);
    ssize_t n = fault_hit("read") ? -1 : read(st->fd, buf, sizeof buf);
    if (n > 0) {
        podlog_write(&c->log, which, buf, (size_t)n, os_now_ns());
        if (podlog_take_warning(&c->log))
            shim_log("log of container %s: cannot be written; lines are being dropped", c->id);
        if (c->attached)
            attach_feed(c, which, buf, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    /* 0: no writer is left; EIO: the terminal's other side has gone. */
    podlog_end(&c->log, which, os_now_ns());
    stream_end(st);
    return false;
}

static void on_readable(uv_poll_t *p, int rc, int events)
{
    (void)rc;
    (void)events;
    Stream *st = p->data;
    for (int i = 0; i < TURN_READS && st->fd >= 0 && stream_read(st); i++) {
    }
}

void streams_start(Ctr *c)
{
    for (int i = 0; i < PODLOG_STREAMS; i++) {
        Stream *st = &c->stream[i];
        if (st->fd < 0 || st->poll)
            continue;
        st->poll = NEW(uv_poll_t);
        (void)uv_poll_init(&c->shim->loop, st->poll, st->fd);
        st->poll->data = st;
        (void)uv_poll_start(st->poll, UV_READABLE, on_readable);
    }
}

void streams_drain(Ctr *c)
{
    ctr_begun(c);
    for (int i = 0; i < PODLOG_STREAMS; i++)
        for (int n = 0; n < DRAIN_READS && c->stream[i].fd >= 0 && stream_read(&c->stream[i]); n++) {
        }
    for (int i = 0; i < PODLOG_STREAMS; i++)
        podlog_end(&c->log, (PodLogStream)i, os_now_ns());
    settle_later(c, SETTLE_MS);
}

Err *streams_adopt(Ctr *c)
{
    const json_t *rec = ctr_rec(c);
    Err *e = ctr_log_open(c);
    if (e || json_flag(rec, "tty", false)) /* a terminal died with the shim that held it */
        return e;
    for (int i = 0; i < 2 && !e; i++)
        e = fifo_open(c, i + 1, O_RDWR | O_NONBLOCK, &c->stream[i].fd);
    if (!e && json_flag(rec, "stdin", false) && !json_flag(rec, "stdin_closed", false))
        e = fifo_open(c, 0, O_RDWR | O_NONBLOCK, &c->stdin_fd);
    if (!e)
        streams_start(c);
    return e;
}

void streams_close(Ctr *c)
{
    for (int i = 0; i < PODLOG_STREAMS; i++)
        stream_end(&c->stream[i]);
    fd_close(MOVE(c->stdin_fd, -EBADF));
    fd_close(MOVE(c->console, -EBADF));
    podlog_close(&c->log);
}

/* The runtime connects to this and sends the terminal before `create` returns. */
Err *console_listen(Ctr *c)
{
    SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, CONSOLE_SOCKET);
    return unix_listen(path, &c->console);
}

Err *console_accept(Ctr *c)
{
    SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, CONSOLE_SOCKET);
    SCOPED(fd_close) int conn = fault_hit("accept") ? -1 : accept4(c->console, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int accept_errno = errno;
    fd_close(MOVE(c->console, -EBADF));
    (void)unlink(path);
    if (conn < 0)
        return err_new(ERR_SYS, accept_errno, "receive the terminal");
    int tty;
    Err *e = unix_recv_fd(conn, &tty);
    if (e)
        return err_wrap(e, "receive the terminal");
    (void)fcntl(tty, F_SETFL, O_RDWR | O_NONBLOCK);
    c->stream[PODLOG_STDOUT].fd = tty;
    return NULL;
}
