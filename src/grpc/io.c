#include "grpc/io_priv.h"

#include <unistd.h>

static void io_failed(GrpcIo *io, Err *e)
{
    if (io->closing)
        err_free(e);
    else
        io->ops->failed(io->arg, e);
}

static Err *errno_err(ssize_t status)
{
    SCOPED(mem_free) char *text = status == UV_EOF ? mem_dup_str("EOF") : err_go_errno((int)-status);
    return err_new(ERR_UNAVAILABLE, 0, "%s", text);
}

static void on_later(uv_timer_t *t)
{
    GrpcIo *io = t->data;
    if (io->over)
        io_failed(io, MOVE(io->over, NULL));
    else
        io->ops->turn(io->arg);
}

void grpc_io_later(GrpcIo *io)
{
    if (!io->closing)
        (void)uv_timer_start(&io->later, on_later, 1, 0); /* 0 would be this very turn, if it is a timer's */
}

static void on_written(uv_write_t *req, int status)
{
    GrpcIo *io = req->data;
    io->writing = false;
    str_clear(&io->out);
    if (io->closing)
        return;
    if (status) {
        io_failed(io, errno_err(status));
        return;
    }
    grpc_io_flush(io);
    io->ops->turn(io->arg);
}

void grpc_io_flush(GrpcIo *io)
{
    if (io->writing || io->closing || io->over)
        return;
    io->over = io->ops->pull(io->arg, &io->out);
    if (io->out.n && io->over) { /* last words: what the socket takes */
        uv_buf_t buf = uv_buf_init(io->out.p, (unsigned)io->out.n);
        (void)uv_try_write((uv_stream_t *)&io->pipe, &buf, 1);
        str_clear(&io->out);
    } else if (io->out.n) {
        uv_buf_t buf = uv_buf_init(io->out.p, (unsigned)io->out.n);
        io->req.data = io;
        int rc = uv_write(&io->req, (uv_stream_t *)&io->pipe, &buf, 1, on_written);
        io->writing = !rc;
        io->over = rc ? errno_err(rc) : NULL;
    }
    if (io->over)
        grpc_io_later(io);
}

void grpc_io_farewell(GrpcIo *io)
{
    if (io->writing || io->closing || io->over)
        return;
    err_free(io->ops->pull(io->arg, &io->out));
    uv_buf_t buf = uv_buf_init(io->out.p, (unsigned)io->out.n);
    if (io->out.n)
        (void)uv_try_write((uv_stream_t *)&io->pipe, &buf, 1);
    str_clear(&io->out);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    GrpcIo *io = h->data;
    (void)suggested;
    *buf = uv_buf_init(io->buf, sizeof io->buf);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    GrpcIo *io = stream->data;
    if (io->closing || n == 0)
        return;
    if (n < 0)
        io_failed(io, io->over ? MOVE(io->over, NULL) : errno_err(n));
    else
        io->ops->received(io->arg, buf->base, (size_t)n);
}

Err *grpc_io_open(GrpcIo *io, uv_loop_t *loop, int fd, uv_stream_t *listener, const GrpcIoOps *ops, void *arg)
{
    io->ops = ops;
    io->arg = arg;
    io->handles = 2;
    (void)uv_pipe_init(loop, &io->pipe, 0);
    (void)uv_timer_init(loop, &io->later);
    io->pipe.data = io->later.data = io;
    int rc = listener ? uv_accept(listener, (uv_stream_t *)&io->pipe) : uv_pipe_open(&io->pipe, fd);
    if (rc && !listener)
        close(fd);
    if (!rc)
        rc = uv_read_start((uv_stream_t *)&io->pipe, on_alloc, on_read);
    return rc ? errno_err(rc) : NULL;
}

static void on_closed(uv_handle_t *h)
{
    GrpcIo *io = h->data;
    if (--io->handles)
        return;
    str_done(&io->out);
    err_free(io->over);
    io->ops->closed(io->arg);
}

void grpc_io_close(GrpcIo *io)
{
    if (io->closing)
        return;
    io->closing = true;
    uv_close((uv_handle_t *)&io->pipe, on_closed);
    uv_close((uv_handle_t *)&io->later, on_closed);
}
