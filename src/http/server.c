/* server.c - listeners, accepting within bounds, running libmicrohttpd, and the end. */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/http_priv.h"
#include "os/fs.h"
#include "os/unixsock.h"

#define BACKLOG      128
#define ACCEPTS      32  /* in one go, so that a flood of clients leaves time for others */
#define RUNS         4   /* of libmicrohttpd in one turn of the loop, while it has more to do */
#define RETRY_MS     100 /* after the descriptors ran out */
#define SPARE        64u /* above our own bound of connections: those are still being closed */
#define MAX_PEM      ((size_t)1 << 20)
#define POOL_EXTRA   ((size_t)16 << 10) /* of a connection's memory, beside the head: answer headers, what it writes */
/* TLS 1.2 is what old kubectl and Python's http client still speak. */
#define TLS_PRIORITY "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* --- running ------------------------------------------------------------------------------------------------------ */

static void server_end(HttpServer *s);

static void on_idle(uv_idle_t *h)
{
    (void)h; /* its being active is the point: the loop does not sleep */
}

void server_mark(Listener *l)
{
    l->marked = true;
    if (!l->server->freed)
        (void)uv_idle_start(&l->server->idle, on_idle);
}

static void tell_opened(HttpServer *s)
{
    for (HttpDuplex *d; (d = TAILQ_FIRST(&s->opened));)
        duplex_opened(d);
}

static bool run_marked(HttpServer *s)
{
    bool more = false;
    s->running = true;
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = &s->listeners[i];
        if (!l->marked || !l->mhd)
            continue;
        l->marked = false;
        (void)MHD_run(l->mhd);
        MHD_UNSIGNED_LONG_LONG timeout;
        if (MHD_get_timeout(l->mhd, &timeout) == MHD_YES && timeout == 0)
            l->marked = true;
        if (l->again) {
            l->again--;
            l->marked = true;
        }
        more = more || l->marked;
    }
    s->running = false;
    return more;
}

static void on_prepare(uv_prepare_t *h)
{
    HttpServer *s = h->data;
    bool more = true;
    for (unsigned n = 0; n < RUNS && more && !s->freeing; n++) {
        more = run_marked(s);
        tell_opened(s);
    }
    for (size_t i = 0; i < s->n_listeners; i++)
        more = more || s->listeners[i].marked;
    if (s->freeing)
        server_end(s);
    else if (!more)
        (void)uv_idle_stop(&s->idle);
    else
        (void)uv_idle_start(&s->idle, on_idle);
}

static void on_mhd(uv_poll_t *h, int status, int events)
{
    (void)status, (void)events;
    server_mark(h->data);
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static void refuse(Listener *l, int fd, const char *why)
{
    if (!l->tls) {
        SCOPED(str_done) Str body = {0};
        SCOPED(str_done) Str head = {0};
        const char *type;
        error_text(l->server, 503, why, &body, &type);
        str_fmt(&head, "HTTP/1.1 503 %s\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                http_reason(503), type, body.n);
        str_add_n(&head, str_or(body.p, ""), body.n);
        (void)!send(fd, head.p, head.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        /* A request that is here already would make close() a reset, and the client lose the answer. */
        (void)shutdown(fd, SHUT_WR);
        (void)!recv(fd, l->server->buf, sizeof l->server->buf, MSG_DONTWAIT);
    }
    fd_close(fd);
}

/* Whether there is room for one more; if need be the connection that has been idle for longest goes. */
static bool make_room(HttpServer *s)
{
    Conn *c, *oldest = NULL;
    unsigned going = 0;
    if (s->n_conns < s->limits.max_connections)
        return true;
    TAILQ_FOREACH(c, &s->conns, at) {
        going += c->dead;
        if (!c->dead && c->phase == CONN_IDLE && (!oldest || c->progress_ms < oldest->progress_ms))
            oldest = c;
    }
    if (s->n_conns - going >= s->limits.max_connections) {
        if (!oldest || going >= SPARE / 2)
            return false;
        conn_kill(oldest);
    }
    return true;
}

static void serve(Listener *l, int fd)
{
    HttpServer *s = l->server;
    struct sockaddr_storage from = {.ss_family = AF_UNIX};
    HttpIdentity peer = {0};
    if (!l->unix_socket) {
        socklen_t n = sizeof from;
        int one = 1, idle = 30, interval = 10, count = 3;
        if (getpeername(fd, (struct sockaddr *)&from, &n) < 0 || from.ss_family == AF_UNIX) {
            fd_close(fd);
            return;
        }
        /* A watch may be silent for hours: find out whether its machine is still there (about Go's values). */
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    } else if (!identity_peer(fd, &peer)) {
        fd_close(fd);
        return;
    }
    if (s->freed || s->stopping) {
        fd_close(fd);
        return;
    }
    if (conn_too_many(s, &from, peer.uid, l->unix_socket)) {
        refuse(l, fd, "too many connections of one client");
        return;
    }
    if (!make_room(s)) {
        refuse(l, fd, "too many connections");
        return;
    }
    Conn *c = conn_new(l, fd, &from);
    c->identity = peer;
    if (MHD_add_connection(l->mhd, fd, (struct sockaddr *)&from, sizeof from) != MHD_YES && c->server) {
        conn_forget(c);
        return;
    }
    conn_watch(c);
    server_mark(l);
}

static void accepting(Listener *l, bool on);

static void on_retry(uv_timer_t *t)
{
    HttpServer *s = t->data;
    for (size_t i = 0; i < s->n_listeners; i++)
        accepting(&s->listeners[i], true);
}

static void on_connection(uv_poll_t *h, int status, int events)
{
    Listener *l = h->data;
    (void)status, (void)events;
    for (unsigned n = 0; n < ACCEPTS && l->accepting; n++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            serve(l, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) { /* it would be ready again and again */
            accepting(l, false);
            (void)uv_timer_start(&l->server->retry, on_retry, RETRY_MS, 0);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static void accepting(Listener *l, bool on)
{
    if (l->fd < 0 || l->accepting == on)
        return;
    l->accepting = on;
    if (on)
        (void)uv_poll_start(&l->accept_poll, UV_READABLE, on_connection);
    else
        (void)uv_poll_stop(&l->accept_poll);
}

void http_server_adopt(HttpServer *s, size_t listener, int fd)
{
    serve(&s->listeners[listener], fd);
}

/* --- listening ---------------------------------------------------------------------------------------------------- */

static Err *listen_unix(Listener *l, const HttpListen *c)
{
    Err *e = unix_listen(c->path, &l->fd);
    if (e)
        return e;
    l->path = mem_dup_str(c->path);
    struct stat st;
    if (c->set_group && lchown(c->path, (uid_t)-1, c->group) < 0)
        return err_new(ERR_SYS, errno, "give socket %s to group %u", c->path, c->group);
    if (c->mode && chmod(c->path, c->mode) < 0)
        return err_new(ERR_SYS, errno, "set the mode of socket %s", c->path);
    if (listen(l->fd, BACKLOG) < 0 || lstat(c->path, &st) < 0)
        return err_new(ERR_SYS, errno, "listen on %s", c->path);
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return NULL;
}

static Err *listen_tcp(Listener *l, const HttpListen *c)
{
    struct sockaddr_storage a = {0};
    if (c->port > 65535 || (uv_ip4_addr(c->address, (int)c->port, (struct sockaddr_in *)&a) != 0 &&
                            uv_ip6_addr(c->address, (int)c->port, (struct sockaddr_in6 *)&a) != 0))
        return err_new(ERR_INVALID, 0, "%s port %u is no address to listen on", c->address, c->port);
    int one = 1;
    l->fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(l->fd, (struct sockaddr *)&a, a.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) < 0 ||
        listen(l->fd, BACKLOG) < 0)
        return err_new(ERR_SYS, errno, "listen on %s port %u", c->address, c->port);
    return NULL;
}

static Err *listen_on(Listener *l, const HttpListen *c)
{
    Err *e = NULL;
    if (c->use_fd)
        l->fd = c->fd;
    else
        e = c->path ? listen_unix(l, c) : listen_tcp(l, c);
    if (e)
        return e;
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    if (getsockname(l->fd, (struct sockaddr *)&a, &n) < 0)
        return err_new(ERR_SYS, errno, "ask for the address of a listening socket");
    l->unix_socket = a.ss_family == AF_UNIX;
    if (a.ss_family == AF_INET)
        l->port = ntohs(((struct sockaddr_in *)&a)->sin_port);
    else if (a.ss_family == AF_INET6)
        l->port = ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
    return NULL;
}

static Err *pem(const char *text, const char *file, char **ret)
{
    SCOPED(str_done) Str s = {0};
    if (!file) {
        *ret = mem_dup_str(text);
        return NULL;
    }
    Err *e = fs_read(file, MAX_PEM, &s);
    if (!e)
        *ret = str_take(&s);
    return e;
}

/* libmicrohttpd does not say what it does not like. */
static Err *check_tls(const Listener *l)
{
    gnutls_certificate_credentials_t cred;
    if (gnutls_certificate_allocate_credentials(&cred) != 0)
        return err_new(ERR_SYS, ENOMEM, "begin TLS");
    gnutls_datum_t cert = {(unsigned char *)l->cert, (unsigned)strlen(l->cert)}, key = {(unsigned char *)l->key, (unsigned)strlen(l->key)};
    int rc = gnutls_certificate_set_x509_key_mem(cred, &cert, &key, GNUTLS_X509_FMT_PEM);
    Err *e = rc < 0 ? err_new(ERR_INVALID, 0, "server certificate and key: %s", gnutls_strerror(rc)) : NULL;
    if (!e && l->client_ca) {
        gnutls_datum_t ca = {(unsigned char *)l->client_ca, (unsigned)strlen(l->client_ca)};
        rc = gnutls_certificate_set_x509_trust_mem(cred, &ca, GNUTLS_X509_FMT_PEM);
        if (rc <= 0)
            e = err_new(ERR_INVALID, 0, "client CA: %s", rc < 0 ? gnutls_strerror(rc) : "no certificate in it");
    }
    gnutls_certificate_free_credentials(cred);
    return e;
}

static Err *load_tls(Listener *l, const HttpTls *t)
{
    if (l->unix_socket)
        return err_new(ERR_INVALID, 0, "TLS on a unix socket is not supported");
    if ((!t->cert && !t->cert_file) || (!t->key && !t->key_file))
        return err_new(ERR_INVALID, 0, "TLS needs a certificate and a key");
    Err *e = pem(t->cert, t->cert_file, &l->cert);
    e = e ? e : pem(t->key, t->key_file, &l->key);
    e = e ? e : pem(t->client_ca, t->client_ca_file, &l->client_ca);
    l->tls = true;
    return e ? e : check_tls(l);
}

static void on_mhd_connection(void *cls, struct MHD_Connection *mhd, void **at, enum MHD_ConnectionNotificationCode what)
{
    Listener *l = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        Conn *c = TAILQ_LAST(&l->server->conns, Conns); /* serve() has just put it there */
        c->mhd = mhd;
        conn_tls(c);
        *at = c;
    } else if (*at) {
        conn_closed(MOVE(*at, NULL));
    }
}

static Err *start_mhd(Listener *l)
{
    HttpServer *s = l->server;
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | (l->tls ? MHD_USE_TLS : 0);
    struct MHD_OptionItem o[8] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(s->limits.max_connections + SPARE), NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)(s->limits.max_header + POOL_EXTRA), NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
    };
    size_t n = 3;
    if (l->tls) {
        o[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, l->cert};
        o[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, l->key};
        o[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITY};
        if (l->client_ca)
            o[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, l->client_ca};
    }
    o[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    l->mhd = MHD_start_daemon(flags, 0, NULL, NULL, request_step, l, MHD_OPTION_NOTIFY_COMPLETED, request_completed, l,
                              MHD_OPTION_NOTIFY_CONNECTION, on_mhd_connection, l, MHD_OPTION_URI_LOG_CALLBACK, request_begin, l,
                              MHD_OPTION_UNESCAPE_CALLBACK, request_unescape, l, MHD_OPTION_ARRAY, o, MHD_OPTION_END);
    return l->mhd ? NULL : err_new(ERR_SYS, errno, "start libmicrohttpd");
}

static Err *add_listener(HttpServer *s, Listener *l, const HttpListen *c)
{
    Err *e = listen_on(l, c);
    if (!e && c->tls)
        e = load_tls(l, c->tls);
    e = e ? e : start_mhd(l);
    if (e)
        return e;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    int rc = uv_poll_init(s->loop, &l->mhd_poll, info->epoll_fd);
    if (rc)
        return err_new(ERR_SYS, -rc, "watch libmicrohttpd");
    l->mhd_poll.data = l;
    s->holds++;
    rc = uv_poll_init(s->loop, &l->accept_poll, l->fd);
    if (rc)
        return err_new(ERR_SYS, -rc, "watch a listening socket");
    l->accept_poll.data = l;
    s->holds++;
    (void)uv_poll_start(&l->mhd_poll, UV_READABLE, on_mhd);
    accepting(l, true);
    server_mark(l);
    return NULL;
}

static void limits_default(HttpLimits *l)
{
    l->max_connections = l->max_connections ? l->max_connections : 1024;
    l->max_per_peer = l->max_per_peer ? l->max_per_peer : UINT32_MAX;
    l->max_header = l->max_header ? l->max_header : (size_t)32 << 10;
    l->max_body = l->max_body ? l->max_body : (size_t)3 << 20;
    l->max_bodies = l->max_bodies ? l->max_bodies : (size_t)64 << 20;
    l->header_ms = l->header_ms ? l->header_ms : 10000;
    l->body_ms = l->body_ms ? l->body_ms : 60000;
    l->idle_ms = l->idle_ms ? l->idle_ms : 120000;
    l->send_ms = l->send_ms ? l->send_ms : 30000;
    l->linger_ms = l->linger_ms ? l->linger_ms : 500;
}

Err *http_server_new(const HttpServerConfig *c, HttpServer **ret)
{
    HttpServer *s = NEW(HttpServer);
    s->loop = c->loop;
    s->ops = c->ops;
    s->arg = c->arg;
    s->limits = c->limits;
    limits_default(&s->limits);
    TAILQ_INIT(&s->conns);
    TAILQ_INIT(&s->opened);
    (void)uv_prepare_init(s->loop, &s->prepare);
    (void)uv_idle_init(s->loop, &s->idle);
    (void)uv_timer_init(s->loop, &s->retry);
    (void)uv_timer_init(s->loop, &s->stop);
    s->prepare.data = s->idle.data = s->retry.data = s->stop.data = s;
    s->holds = 4;
    s->n_listeners = c->n_listen;
    s->listeners = mem_alloc_n(c->n_listen ? c->n_listen : 1, sizeof *s->listeners);
    for (size_t i = 0; i < c->n_listen; i++) {
        s->listeners[i] = (Listener){.server = s, .index = i, .fd = c->listen[i].use_fd ? c->listen[i].fd : -EBADF};
    }
    Err *e = NULL;
    for (size_t i = 0; i < c->n_listen && !e; i++)
        e = add_listener(s, &s->listeners[i], &c->listen[i]);
    if (e) {
        http_server_free(s);
        return err_wrap(e, "begin to serve");
    }
    (void)uv_prepare_start(&s->prepare, on_prepare);
    *ret = s;
    return NULL;
}

unsigned http_server_port(const HttpServer *s, size_t listener)
{
    return s->listeners[listener].port;
}

unsigned http_server_connections(const HttpServer *s)
{
    return s->n_conns;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

void server_drop(HttpServer *s)
{
    if (--s->holds)
        return;
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = &s->listeners[i];
        free(l->path);
        free(l->cert);
        if (l->key)
            explicit_bzero(l->key, strlen(l->key));
        free(l->key);
        free(l->client_ca);
    }
    free(s->listeners);
    free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
    server_drop(h->data);
}

static void on_listener_closed(uv_handle_t *h)
{
    server_drop(((Listener *)h->data)->server);
}

static void stop_listening(Listener *l)
{
    struct stat st;
    accepting(l, false);
    if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        (void)unlink(l->path);
    /* Before the descriptor: uv_close() would take whoever has its number by then out of libuv's epoll. */
    if (l->accept_poll.data && !uv_is_closing((uv_handle_t *)&l->accept_poll))
        uv_close((uv_handle_t *)&l->accept_poll, on_listener_closed);
    fd_close(MOVE(l->fd, -EBADF));
}

static void kill_all(HttpServer *s)
{
    Conn *c;
    TAILQ_FOREACH(c, &s->conns, at) /* none leaves the list but from within libmicrohttpd's run */
        conn_kill(c);
}

static void on_stop(uv_timer_t *t)
{
    HttpServer *s = t->data;
    if (s->n_conns) {
        kill_all(s);
        (void)uv_timer_start(t, on_stop, RETRY_MS, 0);
        return;
    }
    void (*told)(void *) = MOVE(s->on_stopped, NULL);
    if (told)
        told(s->stopped_arg);
}

void server_conn_over(HttpServer *s)
{
    s->n_conns--;
    if (s->stopping && !s->freed && !s->n_conns)
        (void)uv_timer_start(&s->stop, on_stop, 0, 0);
}

void http_server_stop(HttpServer *s, unsigned grace_ms, void (*on_stopped)(void *arg), void *arg)
{
    if (s->stopping || s->freed)
        return;
    s->stopping = true;
    s->on_stopped = on_stopped;
    s->stopped_arg = arg;
    for (size_t i = 0; i < s->n_listeners; i++)
        stop_listening(&s->listeners[i]);
    Conn *c;
    TAILQ_FOREACH(c, &s->conns, at)
        if (!c->request && !c->duplex)
            conn_kill(c);
    (void)uv_timer_start(&s->stop, on_stop, s->n_conns ? grace_ms : 1, 0);
}

static void server_end(HttpServer *s)
{
    s->freed = true;
    s->freeing = false;
    for (size_t i = 0; i < s->n_listeners; i++)
        stop_listening(&s->listeners[i]);
    s->running = true;
    kill_all(s); /* resumes all: libmicrohttpd panics over a suspended one */
    for (size_t i = 0; i < s->n_listeners; i++) {
        Listener *l = &s->listeners[i];
        if (l->mhd) {
            (void)MHD_run(l->mhd); /* which closes what was resumed */
            if (l->mhd_poll.data)
                uv_close((uv_handle_t *)&l->mhd_poll, on_listener_closed);
            MHD_stop_daemon(MOVE(l->mhd, NULL));
        }
    }
    s->running = false;
    uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&s->idle, on_handle_closed);
    uv_close((uv_handle_t *)&s->retry, on_handle_closed);
    uv_close((uv_handle_t *)&s->stop, on_handle_closed);
}

void http_server_free(HttpServer *s)
{
    if (!s || s->freed || s->freeing)
        return;
    if (s->running)
        s->freeing = true; /* from within a callback: after this run */
    else
        server_end(s);
}
