/* http.h - a small HTTP/1.1 server on the event loop: unix sockets and TCP, TLS with client certificates, whole answers, streams
 * (watch, log follow) and upgrades (WebSocket, SPDY). HTTP itself is libmicrohttpd's, driven from outside; TLS is GnuTLS'.
 *
 * One handler answers everything; paths and queries come raw. What a client can take is bounded: connections, header and body bytes,
 * time to send a request, time without reading an answer, bytes queued for it. Who is over a bound harms himself only.
 *
 * Callbacks come from the loop, never from within the function that began it but for http_server_free()'s; in one, every function here may be called.
 *
 * Clients that go away: a stream ends, as with Go's servers, when the client closes or half-closes its side. A request that is not
 * answered yet stays when it half-closes (`nc -N`): TCP does not tell that from a close. */
#ifndef REPRISE_HTTP_HTTP_H
#define REPRISE_HTTP_HTTP_H

#include <sys/types.h>
#include <uv.h>

#include "base/err.h"
#include "base/str.h"

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest; /* from on_head() until it is answered, or on_gone() */
typedef struct HttpStream HttpStream;   /* an answer that grows: until http_stream_end(), _abort(), or on_gone() */
typedef struct HttpDuplex HttpDuplex;   /* an upgraded connection: until http_duplex_close(), or on_close() */

/* --- who asks ----------------------------------------------------------------------------------------------------- */

typedef enum {
    HTTP_ANONYMOUS, /* TCP without a certificate that counts: bearer tokens are the caller's business */
    HTTP_PEER,      /* unix socket: uid, gid, pid, as they were when it connected */
    HTTP_CERT,      /* verified client certificate: user (CN), groups (O) */
} HttpIdentityKind;
typedef struct {
    HttpIdentityKind kind;
    uid_t uid;
    gid_t gid;
    pid_t pid;
    const char *user;          /* HTTP_CERT only, else "" */
    const char *const *groups; /* ended by NULL; never NULL itself */
    const char *refused;       /* a certificate was shown, and this is why it does not count; NULL = none was */
} HttpIdentity;

/* --- bytes that many answers share -------------------------------------------------------------------------------- */

/* Immutable and counted: one event for 1000 watchers lies in memory once. */
typedef struct HttpBuf HttpBuf;
HttpBuf *http_buf_new(const void *bytes, size_t n); /* copies */
HttpBuf *http_buf_take(Str *text);                  /* takes its memory; *text is empty afterwards */
HttpBuf *http_buf_ref(HttpBuf *b);
void http_buf_unref(HttpBuf *b);
SCOPED_FN(http_buf_unref, HttpBuf *, NULL)

/* --- the server --------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name, *value;
} HttpHeader;

typedef struct {
    const char *method, *path, *query, *user_agent; /* "" where there is none */
    const char *user;                               /* http_set_user()'s, a certificate's, "uid:0", or "" */
    const char *remote;
    int status;      /* 0: the connection ended before there was one */
    uint64_t bytes;  /* of the body, sent; of an upgrade: both ways */
    int64_t took_ns; /* from the request line to the end of the answer */
} HttpLog;

typedef struct {
    /* A request is there, whole. Answer with http_reply(), http_stream() or http_upgrade(), now or later. */
    void (*handler)(void *arg, HttpRequest *r);
    /* Its head has come: how many bytes its body may have (more: 413). It may be answered here already, for example with 401: then
     * handler() is not called. NULL = max_body for all. */
    size_t (*on_head)(void *arg, HttpRequest *r);
    /* The client of a request that is not answered yet went away: <r> is gone. NULL = not told, <r> must still be answered. */
    void (*on_gone)(void *arg, HttpRequest *r);
    /* The body of an error that is the server's own (408, 413, 414, 431, 503): appended to <out>; returns its content type. NULL = the
     * message as text. What is no HTTP at all (400), or a head over twice its bound, is answered by libmicrohttpd in its words. */
    const char *(*error_body)(void *arg, int status, const char *message, Str *out);
    void (*on_log)(void *arg, const HttpLog *l); /* NULL = none */
} HttpOps;

/* Either PEM text or the name of a file that has it. */
typedef struct {
    const char *cert, *cert_file; /* the server's, with what chain it needs */
    const char *key, *key_file;
    const char *client_ca, *client_ca_file; /* NULL: no client certificates. Asked for, not demanded: see HttpIdentity */
} HttpTls;

typedef struct {
    const char *path; /* unix socket: a dead one is replaced, ours is removed in the end */
    mode_t mode;      /* 0 = 0600 */
    bool set_group;
    gid_t group;
    const char *address; /* TCP, when path is NULL: a numeric address ("127.0.0.1", "::1"); names would have to be looked up */
    unsigned port;       /* 0 = any, see http_server_port() */
    bool use_fd;
    int fd;             /* or a socket that listens already (systemd's); taken in any case */
    const HttpTls *tls; /* TCP only; NULL = plain */
} HttpListen;

typedef struct { /* 0 = what stands behind it */
    unsigned max_connections;  /* 1024: then the longest idle one goes; is none idle, the next ones get 503, or with TLS are closed */
    unsigned max_per_peer;     /* no bound: of one uid, or of one address */
    size_t max_header;         /* 32 KiB: request line and headers */
    size_t max_body;           /* 3 MiB, as etcd's bound lets through */
    size_t max_bodies;         /* 64 MiB: of all requests that are being received or handled, then 503 */
    unsigned header_ms;        /* 10 s: from connecting, or the request line, to the end of the headers, TLS handshake included */
    unsigned body_ms;          /* 60 s: for the whole body */
    unsigned idle_ms;          /* 120 s: between two requests */
    unsigned send_ms;          /* 30 s: without the client taking anything of an answer */
    unsigned linger_ms;        /* 500: an upgraded connection after http_duplex_close(), so that the last bytes arrive (as Go's) */
} HttpLimits;

typedef struct {
    uv_loop_t *loop;
    const HttpListen *listen; /* borrowed for the call */
    size_t n_listen;
    const HttpOps *ops; /* borrowed */
    void *arg;
    HttpLimits limits;
} HttpServerConfig;

MUST_USE Err *http_server_new(const HttpServerConfig *c, HttpServer **ret);
/* Accepts no more, drops idle connections, closes others after their answer; what is left after <grace_ms> is dropped, and told as ever.
 * Then on_stopped(), once; http_server_free() is still to be called. Streams and upgrades are the caller's to end. */
void http_server_stop(HttpServer *s, unsigned grace_ms, void (*on_stopped)(void *arg), void *arg);
/* Drops all; on_gone() and on_close() are called from within for what is open. Its memory and handles go in later turns. */
void http_server_free(HttpServer *s);
unsigned http_server_port(const HttpServer *s, size_t listener);
unsigned http_server_connections(const HttpServer *s);
/* Serves a connected socket (taken in any case) as if <listener> had accepted it. */
void http_server_adopt(HttpServer *s, size_t listener, int fd);

/* --- a request; all borrowed until it is answered ----------------------------------------------------------------- */

const char *http_method(const HttpRequest *r);
const char *http_path(const HttpRequest *r);  /* as it came, percent signs and all; begins with '/', or is "*" */
const char *http_query(const HttpRequest *r); /* behind the '?', as it came; "" */
const char *http_header(const HttpRequest *r, const char *name); /* the first of that name; NULL = not there */
/* Whether a list header ("Connection: keep-alive, Upgrade") has the token, in any case, in any of its lines. */
bool http_header_has(const HttpRequest *r, const char *name, const char *token);
void http_headers_each(const HttpRequest *r, void (*each)(void *arg, const char *name, const char *value), void *arg);
const char *http_body(const HttpRequest *r, size_t *ret_n); /* NUL behind it, never NULL */
const HttpIdentity *http_identity(const HttpRequest *r);
const char *http_remote(const HttpRequest *r); /* "127.0.0.1:4711", "[::1]:4711", "unix" */
bool http_secure(const HttpRequest *r);        /* unix socket or TLS */
size_t http_listener(const HttpRequest *r);
void http_set_user(HttpRequest *r, const char *user); /* for the log: whom a token named */
void http_set_data(HttpRequest *r, void *data);
void *http_data(const HttpRequest *r);

/* --- answers; each ends the caller's use of <r> ------------------------------------------------------------------- */

/* Date, Content-Length and Connection are added. Headers are copied; one that is no header (a line break in it) is left out. */
void http_reply(HttpRequest *r, int status, const HttpHeader *h, size_t n_h, const void *body, size_t n);
void http_reply_buf(HttpRequest *r, int status, const HttpHeader *h, size_t n_h, HttpBuf *body /* not taken; NULL = empty */);
/* As the server's own errors, by error_body(). */
void http_reply_error(HttpRequest *r, int status, const char *message);

/* Each may be NULL: not told. */
typedef struct {
    void (*on_drained)(void *arg); /* all that was queued is on its way: more may follow */
    void (*on_gone)(void *arg);    /* the client went away, or took nothing for send_ms: the stream is gone */
} HttpStreamOps;
/* Chunked. <max_queued>: 0 = 1 MiB. NULL: the client is gone already. */
HttpStream *http_stream(HttpRequest *r, int status, const HttpHeader *h, size_t n_h, size_t max_queued, const HttpStreamOps *ops,
                        void *arg);
/* false: the queue would grow over its bound, nothing is added. An empty queue takes any one piece. */
MUST_USE bool http_stream_write(HttpStream *s, const void *bytes, size_t n);
MUST_USE bool http_stream_send(HttpStream *s, HttpBuf *b); /* not taken */
size_t http_stream_queued(const HttpStream *s);
void http_stream_end(HttpStream *s);   /* what is queued is still sent */
void http_stream_abort(HttpStream *s); /* the client sees a broken answer */

/* Each but on_close may be NULL. */
typedef struct {
    void (*on_open)(void *arg); /* 101 is sent. What came behind the request is told as data */
    void (*on_data)(void *arg, const uint8_t *bytes, size_t n);
    void (*on_sent)(void *arg); /* what a write could not send at once is sent: http_duplex_queued() is 0 again */
    void (*on_end)(void *arg);  /* the peer sends no more; it may still read */
    void (*on_close)(void *arg, Err *why /* taken; NULL: the server ends */); /* lost: the duplex is gone */
} HttpDuplexOps;
/* Answers 101 with "Connection: Upgrade" and "Upgrade: <protocol>", and <h>. NULL: the client is gone already, or speaks HTTP/1.0
 * (then it was answered 400). */
HttpDuplex *http_upgrade(HttpRequest *r, const char *protocol, const HttpHeader *h, size_t n_h, const HttpDuplexOps *ops, void *arg);
void http_duplex_write(HttpDuplex *d, const void *bytes, size_t n); /* copied, as far as the socket does not take it at once */
size_t http_duplex_queued(const HttpDuplex *d);
void http_duplex_pause(HttpDuplex *d, bool pause); /* true: nothing is read, the peer feels it */
void http_duplex_shutdown(HttpDuplex *d);          /* we send no more, behind what is queued. */
void http_duplex_close(HttpDuplex *d);             /* what is queued is still sent, for linger_ms at most after the peer stops taking it */

#endif
