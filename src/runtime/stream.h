/* stream.h - bytes into a Pod and out of it: exec, attach and port-forward, the same for every runtime.
 *
 * Callbacks come from the loop, never from within the function that began the stream; in one, every function here may be called,
 * runtime_stream_close() too. Streams do not hold up their runtime: one that is not read (runtime_stream_pause()) makes its command, or
 * its peer, wait; only what is attached to is not made to wait, so a reader that stays too far behind is cut off. Close every
 * stream before its runtime. */
#ifndef REPRISE_RUNTIME_STREAM_H
#define REPRISE_RUNTIME_STREAM_H

#include "stream/remotecommand.h"

typedef struct RuntimeStream RuntimeStream;

/* Each may be NULL: not told. */
typedef struct {
    /* The command runs; it is attached; there is a connection. What was written before has been kept. */
    void (*on_open)(void *arg);
    /* REMOTE_STDOUT, also what a connection says, or REMOTE_STDERR. */
    void (*on_data)(void *arg, RemoteStream which, const void *bytes, size_t n);
    /* No more of it will come. REMOTE_STDIN: nobody reads what is written any more. */
    void (*on_end)(void *arg, RemoteStream which);
    /* What a write had to leave in the queue is gone: runtime_stream_queued() is 0 again. */
    void (*on_sent)(void *arg);
    /* It is over, all output was told. REMOTE_SUCCESS, REMOTE_EXIT_CODE (exec only), REMOTE_FAILED with what a CRI runtime's streaming
     * server would say, REMOTE_LOST. What is left is runtime_stream_close(). */
    void (*on_over)(void *arg, const RemoteStatus *s);
} RuntimeStreamOps;

typedef struct {
    const char *const *argv;            /* exec; the last is NULL; borrowed for the call */
    bool stdin_, stdout_, stderr_, tty; /* exec, attach; with a tty stderr is none. attach: tty as the container has it */
    bool websocket;                     /* carried so to a runtime that is a server; else SPDY/3.1 */
    const RuntimeStreamOps *ops;        /* borrowed */
    void *arg;
} RuntimeStreamConfig;

/* A runtime's stream begins with this. */
struct RuntimeStream {
    const struct RuntimeStreamMethods *methods;
};
typedef struct RuntimeStreamMethods {
    void (*write)(RuntimeStream *s, const void *bytes, size_t n);
    void (*end)(RuntimeStream *s);
    size_t (*queued)(const RuntimeStream *s);
    void (*pause)(RuntimeStream *s, bool pause);
    void (*resize)(RuntimeStream *s, unsigned width, unsigned height);
    void (*close)(RuntimeStream *s);
} RuntimeStreamMethods;

/* To stdin, or the connection. Copied as far as it cannot be written at once; dropped when there is no stdin, or nobody reads it. */
static inline void runtime_stream_write(RuntimeStream *s, const void *bytes, size_t n) { s->methods->write(s, bytes, n); }
/* No more will be written: a half-close, behind what is queued. Of a container that is attached to it closes stdin only if the container
 * has stdinOnce and no terminal; else the stream is over with it, as with the CRI runtimes. */
static inline void runtime_stream_end(RuntimeStream *s) { s->methods->end(s); }
/* Bytes that wait to be written: who writes stops when they grow. */
static inline size_t runtime_stream_queued(const RuntimeStream *s) { return s->methods->queued(s); }
static inline void runtime_stream_pause(RuntimeStream *s, bool pause) { s->methods->pause(s, pause); }
static inline void runtime_stream_resize(RuntimeStream *s, unsigned width, unsigned height) { s->methods->resize(s, width, height); }
/* Gives it up, and frees it. A command whose stream is closed sees its stdin end, its output broken, its terminal hang up. NULL is fine. */
static inline void runtime_stream_close(RuntimeStream *s)
{
    if (s)
        s->methods->close(s);
}

#endif
