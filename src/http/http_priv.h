/* http_priv.h - the server's insides.
 *
 * Who owns what: the server has listeners, each with a libmicrohttpd daemon of its own that accepts nothing itself; it is given
 * connected sockets, so that bounds, peer credentials and a full descriptor table are ours. A connection (Conn) lives from accept to
 * libmicrohttpd's "closed"; it has at most one request at a time, a request at most one stream or duplex.
 *
 * libmicrohttpd runs in one place only, server_run(), and never from within a callback of its own. Everything else marks a listener
 * and kicks the loop: a prepare handle runs what is marked before the loop sleeps. So an event for 1000 watchers is one run. */
#ifndef REPRISE_HTTP_HTTP_PRIV_H
#define REPRISE_HTTP_HTTP_PRIV_H

#include <microhttpd.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "http/http.h"

#define HTTP_SWALLOW ((size_t)16 << 20) /* body bytes over the bound that are read, so that the client sees its 413 and no reset */

typedef struct Listener Listener;
typedef struct Conn Conn;
typedef TAILQ_HEAD(Conns, Conn) Conns;
typedef TAILQ_HEAD(Duplexes, HttpDuplex) Duplexes;

struct HttpBuf {
    size_t refs, n;
    char *bytes;
};

/* What a connection waits for, and so which bound of time holds. */
typedef enum {
    CONN_IDLE,      /* the first request, or the next */
    CONN_HEADERS,   /* their end */
    CONN_BODY,      /* its end */
    CONN_HANDLING,  /* the caller */
    CONN_SENDING,   /* the client to take an answer */
    CONN_STREAMING, /* the same, while there is something to take */
    CONN_UPGRADED,
    CONN_LINGERING, /* upgraded, closed by us */
} ConnPhase;

struct Conn {
    TAILQ_ENTRY(Conn) at;
    HttpServer *server; /* NULL: libmicrohttpd has closed it */
    HttpServer *held;
    Listener *listener;
    struct MHD_Connection *mhd;
    uv_poll_t poll;   /* hang-ups: libmicrohttpd does not see them while it is suspended */
    uv_timer_t timer; /* the bound of time that holds now */
    unsigned handles; /* that are not closed yet */
    int fd;           /* libmicrohttpd's */
    ConnPhase phase;
    bool suspended, half_closed, dead;
    bool upgraded, ours; /* TLS: only our own calls may read, this is one */
    HttpRequest *request;
    HttpDuplex *duplex;
    uint64_t progress_ms; /* the client took something */
    /* who */
    struct sockaddr_storage from;
    char remote[64];
    HttpIdentity identity;
    StrVec groups;
    char *user, *refusal;
    bool cert_seen;
    time_t cert_until; /* what was verified counts until then */
};

typedef enum { REQUEST_HEAD, REQUEST_BODY, REQUEST_HANDLING, REQUEST_ANSWERED, REQUEST_QUEUED } RequestState;

struct HttpRequest {
    HttpServer *server;
    Conn *conn; /* NULL: the client is gone, the caller does not know */
    RequestState state;
    char *target, *query; /* target: the path after the head was seen */
    const char *method;   /* libmicrohttpd's */
    bool http10, has_body, expects, blocked;
    size_t limit, swallowed, counted; /* counted: of server->body_bytes */
    Str body;
    char *user, *method_copy;
    void *data;
    struct MHD_Response *response;
    HttpBuf *big; /* the body of an answer that is sent in pieces */
    int status;
    uint64_t sent;
    uint64_t began_ns;
    HttpStream *stream;
};

struct HttpStream {
    HttpRequest *request;
    const HttpStreamOps *ops; /* NULL: the caller has ended it */
    void *arg;
    HttpBuf **queue; /* a ring of <cap>, a power of two */
    size_t cap, first, n;
    size_t at; /* bytes of the first that are sent */
    size_t queued, max_queued;
    bool ended, aborted, want_drained;
};

struct Listener {
    HttpServer *server;
    size_t index;
    struct MHD_Daemon *mhd;
    uv_poll_t accept_poll, mhd_poll;
    int fd;
    unsigned port;
    char *path;
    dev_t dev; /* of the socket file, to remove no other's */
    ino_t ino;
    char *cert, *key, *client_ca;
    bool tls, unix_socket, accepting, marked;
    unsigned again; /* runs that are due whatever libmicrohttpd says */
};

struct HttpServer {
    uv_loop_t *loop;
    const HttpOps *ops;
    void *arg;
    HttpLimits limits;
    uv_prepare_t prepare;
    uv_idle_t idle;      /* active: do not sleep */
    uv_timer_t retry;    /* accept again after the descriptors ran out */
    uv_timer_t stop;     /* the end of the grace */
    Listener *listeners;
    size_t n_listeners;
    Conns conns;
    unsigned n_conns;
    Duplexes opened; /* upgraded in this run, to be told */
    size_t body_bytes;
    unsigned holds; /* handles and connections that point here */
    bool running, stopping, freeing, freed;
    void (*on_stopped)(void *arg);
    void *stopped_arg;
    char buf[65536]; /* what is being read from an upgraded connection */
};

/* server.c */
void server_mark(Listener *l); /* libmicrohttpd has something to do */
void server_drop(HttpServer *s);
void server_conn_over(HttpServer *s);

/* conn.c */
Conn *conn_new(Listener *l, int fd, const struct sockaddr_storage *from);
void conn_forget(Conn *c); /* libmicrohttpd would not have it */
void conn_closed(Conn *c); /* libmicrohttpd closes its socket now */
void conn_phase(Conn *c, ConnPhase p);
void conn_deadline(Conn *c, uint64_t ms); /* 0 = none */
void conn_suspend(Conn *c);
void conn_resume(Conn *c);
void conn_watch(Conn *c); /* hang-ups */
struct gnutls_session_int *conn_session(const Conn *c); /* NULL = no TLS */
void conn_tls(Conn *c); /* our transport functions for its session */
void conn_kill(Conn *c);           /* drops it, whatever it does */
bool conn_too_many(const HttpServer *s, const struct sockaddr_storage *from, uid_t uid, bool unix_socket);

/* identity.c */
bool identity_peer(int fd, HttpIdentity *ret);
const HttpIdentity *identity_of(Conn *c);
void identity_done(Conn *c);
void identity_remote(const struct sockaddr_storage *from, char *buf, size_t n);

/* request.c: libmicrohttpd's callbacks */
void *request_begin(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result request_step(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                             const char *bytes, size_t *n, void **at);
void request_completed(void *cls, struct MHD_Connection *mhd, void **at, enum MHD_RequestTerminationCode how);
size_t request_unescape(void *cls, struct MHD_Connection *mhd, char *s);
/* Takes <response>; NULL is answered with 500. */
void request_answer(HttpRequest *r, int status, struct MHD_Response *response);
void request_headers(struct MHD_Response *response, const HttpHeader *h, size_t n);
const char *http_reason(int status);
void error_text(HttpServer *s, int status, const char *message, Str *out, const char **ret_type);

/* stream.c */
void stream_request_over(HttpStream *s); /* frees it, told if it was not the caller who ended it */

/* duplex.c */
void duplex_opened(HttpDuplex *d); /* tells; after a run */
void duplex_lost(HttpDuplex *d, Err *why /* taken */);
void duplex_expired(HttpDuplex *d);

#endif
