/* conn.c - one connection: which bound of time holds, whether the client is still there, how it is dropped. */
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "http/http_priv.h"

#define HALF_CLOSED_MS 50 /* for libmicrohttpd to read what is there of a client that sends no more */

static void on_handle_closed(uv_handle_t *h)
{
    Conn *c = h->data;
    if (--c->handles)
        return;
    identity_done(c);
    server_drop(c->held);
    free(c);
}

Conn *conn_new(Listener *l, int fd, const struct sockaddr_storage *from)
{
    Conn *c = NEW(Conn);
    HttpServer *s = l->server;
    c->server = c->held = s;
    c->listener = l;
    c->fd = fd;
    c->from = *from;
    identity_remote(from, c->remote, sizeof c->remote);
    (void)uv_timer_init(s->loop, &c->timer);
    c->timer.data = c;
    c->handles = 1;
    if (uv_poll_init(s->loop, &c->poll, fd) == 0) { /* if not, its hang-ups are not noticed, its bounds hold all the same */
        c->poll.data = c;
        c->handles++;
    }
    s->holds++;
    s->n_conns++;
    TAILQ_INSERT_TAIL(&s->conns, c, at);
    conn_phase(c, CONN_IDLE);
    conn_deadline(c, s->limits.header_ms); /* the first request may not be waited for */
    return c;
}

static void forget(Conn *c)
{
    HttpServer *s = MOVE(c->server, NULL);
    TAILQ_REMOVE(&s->conns, c, at);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    if (c->poll.data)
        uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    server_conn_over(s);
}

void conn_forget(Conn *c)
{
    forget(c);
}

void conn_closed(Conn *c)
{
    c->mhd = NULL; /* and with it the duplex' handle of libmicrohttpd's */
    if (c->duplex)
        duplex_lost(c->duplex, err_new(ERR_UNAVAILABLE, 0, "connection lost"));
    forget(c);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

bool conn_too_many(const HttpServer *s, const struct sockaddr_storage *from, uid_t uid, bool unix_socket)
{
    unsigned n = 0;
    const Conn *c;
    if (s->n_conns < s->limits.max_per_peer)
        return false;
    TAILQ_FOREACH(c, &s->conns, at)
        n += unix_socket == c->listener->unix_socket && (unix_socket ? c->identity.uid == uid : same_address(from, &c->from));
    return n >= s->limits.max_per_peer;
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

struct gnutls_session_int *conn_session(const Conn *c)
{
    if (!c->listener->tls)
        return NULL;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return info ? info->tls_session : NULL;
}

static ssize_t on_pull(gnutls_transport_ptr_t p, void *buf, size_t n)
{
    const Conn *c = p;
    if (c->upgraded && !c->ours) {
        errno = EAGAIN;
        return -1;
    }
    return recv(c->fd, buf, n, MSG_DONTWAIT);
}

static ssize_t on_push(gnutls_transport_ptr_t p, const void *bytes, size_t n)
{
    return send(((const Conn *)p)->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int on_pull_wait(gnutls_transport_ptr_t p, unsigned ms)
{
    struct pollfd f = {.fd = ((const Conn *)p)->fd, .events = POLLIN};
    (void)ms; /* nothing waits here */
    return poll(&f, 1, 0);
}

void conn_tls(Conn *c)
{
    gnutls_session_t session = conn_session(c);
    if (!session)
        return;
    gnutls_transport_set_ptr(session, c);
    gnutls_transport_set_pull_function(session, on_pull);
    gnutls_transport_set_push_function(session, on_push);
    gnutls_transport_set_pull_timeout_function(session, on_pull_wait);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* Raw, since libmicrohttpd has no answer for a request that is not there yet. */
static void say_timeout(Conn *c)
{
    SCOPED(str_done) Str body = {0};
    SCOPED(str_done) Str text = {0};
    const char *type;
    error_text(c->server, 408, "the request did not come in time", &body, &type);
    str_fmt(&text, "HTTP/1.1 408 %s\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", http_reason(408), type, body.n);
    str_add_n(&text, str_or(body.p, ""), body.n);
    gnutls_session_t session = conn_session(c);
    if (session)
        (void)gnutls_record_send(session, text.p, text.n);
    else
        (void)!send(c->fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_timer(uv_timer_t *t)
{
    Conn *c = t->data;
    uint64_t now = uv_now(t->loop);
    int left = 0;
    if (!c->mhd)
        return;
    switch (c->phase) {
    case CONN_STREAMING:
    case CONN_SENDING:
        if (c->phase == CONN_STREAMING && c->suspended) /* all was taken */
            return;
        if (now - c->progress_ms < c->server->limits.send_ms) {
            conn_deadline(c, c->server->limits.send_ms - (now - c->progress_ms));
            return;
        }
        break;
    case CONN_LINGERING:
        duplex_expired(c->duplex);
        return;
    case CONN_UPGRADED:
    case CONN_HANDLING:
        return;
    case CONN_HEADERS:
    case CONN_BODY:
        if (c->half_closed && (ioctl(c->fd, FIONREAD, &left), left)) {
            conn_phase(c, c->phase);
            server_mark(c->listener);
            return;
        }
        if (c->request && !c->half_closed) {
            c->request->status = 408;
            say_timeout(c);
        }
        break;
    case CONN_IDLE:
        break;
    }
    conn_kill(c);
}

void conn_deadline(Conn *c, uint64_t ms)
{
    if (ms && c->server)
        (void)uv_timer_start(&c->timer, on_timer, ms, 0);
    else if (c->server)
        (void)uv_timer_stop(&c->timer);
}

void conn_phase(Conn *c, ConnPhase p)
{
    const HttpLimits *l = &c->held->limits;
    const uint64_t ms[] = {[CONN_IDLE] = l->idle_ms, [CONN_HEADERS] = l->header_ms, [CONN_BODY] = l->body_ms, [CONN_HANDLING] = 0,
                           [CONN_SENDING] = l->send_ms, [CONN_STREAMING] = l->send_ms, [CONN_UPGRADED] = 0, [CONN_LINGERING] = l->linger_ms};
    c->phase = p;
    c->progress_ms = uv_now(c->held->loop);
    bool waiting = p == CONN_IDLE || p == CONN_HEADERS || p == CONN_BODY;
    conn_deadline(c, waiting && c->half_closed ? HALF_CLOSED_MS : ms[p]);
}

/* --- presence ----------------------------------------------------------------------------------------------------- */

/* The client has closed, or half-closed, its side. libmicrohttpd sees that only when it reads, and then not always: of bytes and a FIN
 * that come together its edge-triggered epoll tells once, and it takes a short read for the end of what there is. */
static void on_hangup(uv_poll_t *h, int status, int events)
{
    Conn *c = h->data;
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    (void)status, (void)events;
    (void)uv_poll_stop(h);
    if (!c->mhd || c->dead)
        return;
    (void)poll(&p, 1, 0);
    bool gone = p.revents & (POLLHUP | POLLERR), first = !c->half_closed;
    c->half_closed = true;
    if (c->duplex)
        return; /* sees for itself */
    if (c->phase == CONN_HANDLING ? gone : c->phase == CONN_STREAMING && !c->request->stream->ended) {
        conn_kill(c);
        return;
    }
    if (c->phase == CONN_IDLE || c->phase == CONN_HEADERS || c->phase == CONN_BODY)
        conn_phase(c, c->phase); /* with another bound */
    if (first)
        (void)uv_poll_start(h, UV_PRIORITIZED, on_hangup); /* stands for nothing: errors and hang-ups are always told */
}

void conn_watch(Conn *c)
{
    if (c->poll.data)
        (void)uv_poll_start(&c->poll, UV_DISCONNECT, on_hangup);
}

void conn_suspend(Conn *c)
{
    if (c->suspended)
        return;
    c->suspended = true;
    MHD_suspend_connection(c->mhd);
}

void conn_resume(Conn *c)
{
    if (!c->suspended || !c->mhd)
        return;
    c->suspended = false;
    MHD_resume_connection(c->mhd);
    server_mark(c->listener);
}

void conn_kill(Conn *c)
{
    if (!c->mhd)
        return;
    c->dead = true;
    if (c->duplex)
        duplex_lost(c->duplex, c->held->freed || c->held->stopping ? NULL : err_new(ERR_UNAVAILABLE, 0, "connection lost"));
    else if (c->suspended)
        conn_resume(c); /* what it then asks for is refused */
    else
        (void)shutdown(c->fd, SHUT_RDWR);
    server_mark(c->listener);
}
