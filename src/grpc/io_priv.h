/* io_priv.h - a connection's socket on the loop, for client and server: reads into a buffer, and writes one piece at a
 * time, so that what a peer does not read waits in nghttp2's bounds and not in libuv's queue. */
#ifndef REPRISE_GRPC_IO_PRIV_H
#define REPRISE_GRPC_IO_PRIV_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

typedef struct {
    /* Bytes have come. */
    void (*received)(void *arg, const char *bytes, size_t n);
    /* Appends what is to be sent now; an Err ends the connection when that is sent. */
    Err *(*pull)(void *arg, Str *out);
    /* Called from the loop after a piece was written, and when io_later() asked for it. */
    void (*turn)(void *arg);
    /* The connection is over; <e> is taken, its text is Go's where it has one ("EOF"). Once; then close it. */
    void (*failed)(void *arg, Err *e);
    /* io_close() is done: the memory may go. */
    void (*closed)(void *arg);
} GrpcIoOps;

typedef struct {
    uv_pipe_t pipe;
    uv_timer_t later;
    uv_write_t req;
    const GrpcIoOps *ops;
    void *arg;
    Str out; /* being written */
    bool writing, closing;
    unsigned handles; /* not closed yet */
    Err *over;        /* why it ends, to be told from the loop */
    char buf[65536];
} GrpcIo;

/* Begins with the connected, non-blocking socket <fd> (taken in any case); or -1 to accept from <listener>. */
MUST_USE Err *grpc_io_open(GrpcIo *io, uv_loop_t *loop, int fd, uv_stream_t *listener, const GrpcIoOps *ops, void *arg);
/* Sends what there is. Calls only pull() from within. */
void grpc_io_flush(GrpcIo *io);
/* turn() in the loop's next turn. */
void grpc_io_later(GrpcIo *io);
/* Last words, as far as the socket takes them at once. */
void grpc_io_farewell(GrpcIo *io);
/* Nothing but closed() is called any more. */
void grpc_io_close(GrpcIo *io);

#endif
