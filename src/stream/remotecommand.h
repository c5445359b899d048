/* remotecommand.h - a command's streams over one connection, as exec and attach of Kubernetes have them: one interface for both ends
 * and for both carriers, SPDY/3.1 (a stream each: error, stdin, stdout, stderr, resize) and WebSocket (a channel each). Bytes in,
 * bytes out; dial.h has a socket.
 *
 * The versions (k8s.io/apimachinery pkg/util/remotecommand): v1 has no end of stdin and its error is text; v2 as v1, with an end of
 * stdin; v3 adds resize; v4 says the end as a metav1.Status; v5 adds an end of stdin to WebSocket, which has none before (SPDY
 * always had).
 *
 * Callbacks come from within remote_recv() and remote_lost(); in one, every function here may be called, remote_free() too. */
#ifndef REPRISE_STREAM_REMOTECOMMAND_H
#define REPRISE_STREAM_REMOTECOMMAND_H

#include "stream/spdy.h"
#include "stream/websocket.h"

/* Also the channels' numbers. */
typedef enum { REMOTE_STDIN, REMOTE_STDOUT, REMOTE_STDERR, REMOTE_ERROR, REMOTE_RESIZE, REMOTE_N } RemoteStream;

typedef struct {
    const char *name;    /* "v4.channel.k8s.io", as X-Stream-Protocol-Version and Sec-WebSocket-Protocol have it */
    unsigned version;
    bool spdy, websocket, base64;
} RemoteProtocol;
extern const RemoteProtocol remote_protocols[]; /* best first */
extern const size_t n_remote_protocols;
/* One of a carrier by name; NULL = not known. "" is v1. */
const RemoteProtocol *remote_protocol(const char *name, bool websocket);
/* Server: the best of a client's list ("v5.channel.k8s.io, v4..."); NULL = none. */
const RemoteProtocol *remote_protocol_choose(const char *offered, bool websocket);

typedef enum {
    REMOTE_SUCCESS,
    REMOTE_EXIT_CODE, /* the command ended with <code>, 1 to 255 */
    REMOTE_FAILED,    /* it could not be run, or watched; <message> */
    REMOTE_LOST,      /* the connection ended before it was known */
} RemoteEnd;
typedef struct {
    RemoteEnd end;
    int code;
    const char *message; /* as kubectl prints it: "command terminated with exit code 3"; "" for success. Borrowed, never NULL */
} RemoteStatus;

/* Each may be NULL: not told. */
typedef struct {
    /* All streams are there: the server may begin. A client need not wait for it. */
    void (*on_ready)(void *arg);
    /* Server: of stdin. Client: of stdout and stderr. */
    void (*on_data)(void *arg, RemoteStream which, const uint8_t *bytes, size_t n);
    /* No more of it will come; client, REMOTE_STDIN: nobody reads what is written there any more. */
    void (*on_end)(void *arg, RemoteStream which);
    void (*on_resize)(void *arg, unsigned width, unsigned height); /* server */
    void (*on_status)(void *arg, const RemoteStatus *s);           /* client; once, when all output was told */
} RemoteOps;

typedef struct {
    bool server;
    const RemoteProtocol *protocol;
    bool websocket;
    bool stdin_, stdout_, stderr_, tty; /* the streams there are; with a tty stderr is none */
    const RemoteOps *ops; /* borrowed */
    void *arg;
} RemoteConfig;

typedef struct Remote Remote;
Remote *remote_new(const RemoteConfig *c);
void remote_free(Remote *r);
SCOPED_FN(remote_free, Remote *, NULL)

/* Bytes from the peer. Err: it breaks the protocol. */
MUST_USE Err *remote_recv(Remote *r, const void *bytes, size_t n);
/* The connection has ended: a client's status is told if it was not. */
void remote_lost(Remote *r);
/* Appends all there is to send. */
void remote_take(Remote *r, Str *out);
/* Bytes that wait to be sent: who writes stops when they grow. */
size_t remote_queued(const Remote *r);
/* The status was told or given: close the connection when all is sent. */
bool remote_over(const Remote *r);

/* Client: REMOTE_STDIN. Server: REMOTE_STDOUT, REMOTE_STDERR. Copied; dropped when there is no such stream, or it has ended. */
void remote_write(Remote *r, RemoteStream which, const void *bytes, size_t n);
/* false: this protocol cannot say it (stdin over WebSocket before v5): the command will not see an end of its input. */
bool remote_end(Remote *r, RemoteStream which);
/* Client, with a tty: no more than the newest size matters. */
void remote_resize(Remote *r, unsigned width, unsigned height);
/* Server: how it ended; all streams end. */
void remote_finish(Remote *r, const RemoteStatus *s);

/* A client's reading of what came on the error stream; <message> becomes *ret_text's, which the caller frees. */
RemoteStatus remote_status_read(unsigned version, const char *text, size_t n, char **ret_text);
/* What a server writes there. Caller frees. */
MUST_USE char *remote_status_text(unsigned version, const RemoteStatus *s);

#endif
