#include "loop/fdio.h"

#include <sys/stat.h>
#include <sys/socket.h>

#include "os/fs.h"

#define READ_BYTES ((size_t)64 << 10)
#define TURN_READS 4 /* of READ_BYTES: one busy stream does not starve the others */
#define COMPACT_BYTES ((size_t)64 << 10)

struct FdReader {
    uv_poll_t poll;
    int fd;
    FdReaderData *data;
    void *arg;
    bool paused, over, closed;
};

struct FdWriter {
    uv_poll_t poll;
    int fd;
    const FdWriterOps *ops;
    void *arg;
    Str queue;
    size_t done; /* of the queue */
    bool is_socket, polling, ending, broken, over, closed;
};

static void on_reader_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

static void reader_stop(FdReader *r)
{
    (void)uv_poll_stop(&r->poll);
    fd_close(MOVE(r->fd, -EBADF));
}

void fd_reader_free(FdReader *r)
{
    if (!r || r->closed)
        return;
    r->closed = true;
    reader_stop(r);
    uv_close((uv_handle_t *)&r->poll, on_reader_closed); /* our memory lives on until then */
}

static void on_readable(uv_poll_t *p, int rc, int events)
{
    static char buf[READ_BYTES];
    FdReader *r = p->data;
    (void)rc;
    (void)events;
    for (int i = 0; i < TURN_READS && !r->paused && !r->over && !r->closed; i++) {
        ssize_t n = read(r->fd, buf, sizeof buf);
        int error = n < 0 ? errno : 0;
        if (error == EAGAIN || error == EINTR)
            return;
        if (n <= 0) {
            r->over = true;
            reader_stop(r);
        }
        r->data(r->arg, buf, n > 0 ? (size_t)n : 0, error == EIO ? 0 : error);
    }
}

FdReader *fd_reader_new(uv_loop_t *loop, int fd, FdReaderData *data, void *arg)
{
    FdReader *r = NEW(FdReader);
    *r = (FdReader){.fd = fd, .data = data, .arg = arg};
    (void)uv_poll_init(loop, &r->poll, fd);
    r->poll.data = r;
    (void)uv_poll_start(&r->poll, UV_READABLE, on_readable);
    return r;
}

void fd_reader_pause(FdReader *r, bool pause)
{
    if (r->over || r->closed || r->paused == pause)
        return;
    r->paused = pause;
    if (pause)
        (void)uv_poll_stop(&r->poll);
    else
        (void)uv_poll_start(&r->poll, UV_READABLE, on_readable);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void on_writer_closed(uv_handle_t *h)
{
    FdWriter *w = h->data;
    str_done(&w->queue);
    mem_free(w);
}

static void writer_stop(FdWriter *w)
{
    (void)uv_poll_stop(&w->poll);
    w->polling = false;
    fd_close(MOVE(w->fd, -EBADF));
}

void fd_writer_free(FdWriter *w)
{
    if (!w || w->closed)
        return;
    w->closed = true;
    writer_stop(w);
    uv_close((uv_handle_t *)&w->poll, on_writer_closed);
}

size_t fd_writer_queued(const FdWriter *w)
{
    return w->queue.n - w->done;
}

/* Bytes written; <n> when all is gone, or nobody reads them. */
static size_t write_now(FdWriter *w, const char *bytes, size_t n)
{
    size_t done = 0;
    while (done < n && !w->broken) {
        ssize_t k = write(w->fd, bytes + done, n - done);
        if (k > 0)
            done += (size_t)k;
        else if (k < 0 && errno == EAGAIN)
            break;
        else if (k < 0 && errno != EINTR)
            w->broken = true;
    }
    return w->broken ? n : done;
}

static void on_writable(uv_poll_t *p, int rc, int events);

/* The loop comes back when there is room, or at once to tell that it is broken, or over. */
static void poll_start(FdWriter *w)
{
    if (!w->polling && !w->over && !w->closed)
        w->polling = uv_poll_start(&w->poll, UV_WRITABLE, on_writable) == 0;
}

static void flush(FdWriter *w)
{
    if (fd_writer_queued(w))
        w->done += write_now(w, w->queue.p + w->done, fd_writer_queued(w));
    if (w->done == w->queue.n) {
        w->done = 0;
        str_done(&w->queue);
    } else if (w->done > COMPACT_BYTES && w->done > w->queue.n / 2) {
        memmove(w->queue.p, w->queue.p + w->done, fd_writer_queued(w) + 1);
        w->queue.n -= w->done;
        w->done = 0;
    }
}

static void on_writable(uv_poll_t *p, int rc, int events)
{
    FdWriter *w = p->data;
    (void)rc;
    (void)events;
    bool waited = fd_writer_queued(w) > 0;
    flush(w);
    if (fd_writer_queued(w))
        return;
    (void)uv_poll_stop(&w->poll);
    w->polling = false;
    if (w->broken) {
        w->over = true;
        writer_stop(w);
        if (w->ops->on_broken)
            w->ops->on_broken(w->arg);
        return;
    }
    if (waited && w->ops->on_drained)
        w->ops->on_drained(w->arg);
    if (w->closed || w->over || !w->ending || fd_writer_queued(w))
        return;
    w->over = true;
    if (w->is_socket)
        (void)shutdown(w->fd, SHUT_WR);
    writer_stop(w);
    if (w->ops->on_ended)
        w->ops->on_ended(w->arg);
}

FdWriter *fd_writer_new(uv_loop_t *loop, int fd, const FdWriterOps *ops, void *arg)
{
    struct stat st;
    FdWriter *w = NEW(FdWriter);
    *w = (FdWriter){.fd = fd, .ops = ops, .arg = arg, .is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)};
    (void)uv_poll_init(loop, &w->poll, fd);
    w->poll.data = w;
    return w;
}

void fd_writer_write(FdWriter *w, const void *bytes, size_t n)
{
    if (w->over || w->ending || w->broken || w->closed || !n)
        return;
    size_t done = fd_writer_queued(w) ? 0 : write_now(w, bytes, n);
    str_add_n(&w->queue, (const char *)bytes + done, n - done);
    if (fd_writer_queued(w) || w->broken)
        poll_start(w);
}

void fd_writer_end(FdWriter *w)
{
    if (w->over || w->ending || w->closed)
        return;
    w->ending = true;
    poll_start(w);
}
