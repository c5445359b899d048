/* duplex.c - an upgraded connection as a stream of bytes in both directions.
 *
 * Without TLS libmicrohttpd hands over its socket. With TLS it hands over the end of a socket pair and copies between that and the
 * client, four bytes at a time once the request has taken the connection's memory, and without telling of the client's end. So the pair is left alone, and
 * the TLS session is driven here: its pull function (conn_tls()) lets libmicrohttpd, which still looks at it, find nothing. The socket
 * is duplicated, so that our watcher and our close are our own. */
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/http_priv.h"
#include "os/fs.h"

#define READS  4  /* in one go, so that one peer does not hold up the others */
#define RECORD 16384 /* bytes, what TLS takes at a time */

struct HttpDuplex {
    TAILQ_ENTRY(HttpDuplex) at; /* in server->opened */
    HttpServer *held;
    Conn *conn; /* NULL: not libmicrohttpd's any more */
    HttpRequest *request;
    struct MHD_UpgradeResponseHandle *urh;
    const HttpDuplexOps *ops; /* NULL: the caller is done with it */
    void *arg;
    uv_poll_t poll;
    uv_timer_t later;
    unsigned handles;
    int fd, events;
    Str out; /* from out_at on, to be sent */
    size_t out_at;
    Str early; /* came behind the request */
    bool opened, paused, shut, shut_done, ended, broken, lingering, gone;
    bool record_waits; /* TLS: a record that the socket did not take whole */
};

/* --- ending ------------------------------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *h)
{
    HttpDuplex *d = h->data;
    if (--d->handles)
        return;
    fd_close(d->fd);
    str_done(&d->out);
    str_done(&d->early);
    server_drop(d->held);
    free(d);
}

/* Nothing is told any more; libmicrohttpd gets its connection back, to close it. */
static void finish(HttpDuplex *d)
{
    Conn *c = MOVE(d->conn, NULL);
    if (d->gone)
        return;
    d->gone = true;
    d->ops = NULL;
    if (d->urh && !d->opened)
        TAILQ_REMOVE(&d->held->opened, d, at);
    if (c) {
        c->duplex = NULL;
        if (c->mhd && d->urh) {
            (void)MHD_upgrade_action(MOVE(d->urh, NULL), MHD_UPGRADE_ACTION_CLOSE);
            conn_phase(c, CONN_SENDING);
            c->listener->again = 3; /* with TLS it takes three, between which it does not ask to be run */
            server_mark(c->listener);
        }
    }
    uv_close((uv_handle_t *)&d->later, on_handle_closed);
    if (d->poll.data)
        uv_close((uv_handle_t *)&d->poll, on_handle_closed);
}

void duplex_lost(HttpDuplex *d, Err *why)
{
    const HttpDuplexOps *ops = d->ops;
    void *arg = d->arg;
    finish(d);
    if (ops)
        ops->on_close(arg, why);
    else
        err_free(why);
}

void duplex_expired(HttpDuplex *d)
{
    finish(d);
}

/* --- with and without TLS ------------------------------------------------------------------------------------------- */

static gnutls_session_t session_of(const HttpDuplex *d)
{
    return d->conn && d->conn->mhd ? conn_session(d->conn) : NULL;
}

static ssize_t gnutls_errno(ssize_t rc)
{
    if (rc >= 0)
        return rc;
    if (rc == GNUTLS_E_PREMATURE_TERMINATION) /* closed without TLS' good-bye, as many clients do */
        return 0;
    bool again = rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED || !gnutls_error_is_fatal((int)rc);
    errno = again ? EAGAIN : rc == GNUTLS_E_PULL_ERROR || rc == GNUTLS_E_PUSH_ERROR ? ECONNRESET : EPROTO;
    return -1;
}

static ssize_t io_recv(HttpDuplex *d, void *buf, size_t n)
{
    gnutls_session_t t = session_of(d);
    if (!t)
        return recv(d->fd, buf, n, MSG_DONTWAIT);
    d->conn->ours = true;
    ssize_t rc = gnutls_record_recv(t, buf, n); /* n is more than a record has: none waits inside, unseen by poll */
    d->conn->ours = false;
    return gnutls_errno(rc);
}

static ssize_t io_send(HttpDuplex *d, const void *bytes, size_t n)
{
    gnutls_session_t t = session_of(d);
    if (!t)
        return send(d->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    ssize_t rc = d->record_waits ? gnutls_record_send(t, NULL, 0) : gnutls_record_send(t, bytes, n < RECORD ? n : RECORD);
    d->record_waits = rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
    return gnutls_errno(rc);
}

static void io_shutdown(HttpDuplex *d)
{
    gnutls_session_t t = session_of(d);
    if (t)
        (void)gnutls_bye(t, GNUTLS_SHUT_WR);
    else
        (void)shutdown(d->fd, SHUT_WR);
}

/* --- reading and writing ------------------------------------------------------------------------------------------ */

static void on_poll(uv_poll_t *h, int status, int events);

static void watch(HttpDuplex *d)
{
    if (d->gone || !d->poll.data || !d->opened)
        return;
    int want = (!d->ended && (!d->paused || d->lingering) ? UV_READABLE : 0) | (d->out.n > d->out_at ? UV_WRITABLE : 0);
    if (!want && !d->ended)
        want = UV_DISCONNECT;
    if (want == d->events)
        return;
    d->events = want;
    if (want)
        (void)uv_poll_start(&d->poll, want, on_poll);
    else
        (void)uv_poll_stop(&d->poll);
}

static void end_out(HttpDuplex *d)
{
    if (d->shut && !d->shut_done && d->out.n == d->out_at) {
        d->shut_done = true;
        io_shutdown(d);
    }
}

static void send_some(HttpDuplex *d)
{
    while (d->out.n > d->out_at && !d->broken) {
        ssize_t n = io_send(d, d->out.p + d->out_at, d->out.n - d->out_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            d->broken = true; /* reading tells why, or the end */
        else
            d->out_at += (size_t)n;
        if (n > 0 && d->request)
            d->request->sent += (uint64_t)n;
    }
    if (d->broken || d->out.n == d->out_at) {
        str_clear(&d->out);
        d->out_at = 0;
    } else if (d->out_at > d->out.n / 2) {
        memmove(d->out.p, d->out.p + d->out_at, d->out.n - d->out_at);
        d->out.n -= MOVE(d->out_at, 0);
        d->out.p[d->out.n] = '\0';
    }
    end_out(d);
}

static void tell_end(HttpDuplex *d)
{
    d->ended = true;
    if (d->lingering) {
        if (!http_duplex_queued(d))
            finish(d);
    } else if (d->ops && d->ops->on_end) {
        d->ops->on_end(d->arg);
    }
}

static void receive(HttpDuplex *d)
{
    HttpServer *s = d->held;
    for (unsigned i = 0; i < READS && !d->gone && !d->ended && (!d->paused || d->lingering); i++) {
        ssize_t n = io_recv(d, s->buf, sizeof s->buf);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            SCOPED(mem_free) char *text = err_go_errno(errno);
            duplex_lost(d, err_new(ERR_UNAVAILABLE, errno, "%s", text));
            return;
        }
        if (n == 0) {
            tell_end(d);
            return;
        }
        if (d->request)
            d->request->sent += (uint64_t)n;
        if (!d->lingering && d->ops && d->ops->on_data)
            d->ops->on_data(d->arg, (uint8_t *)s->buf, (size_t)n);
    }
}

static void linger(HttpDuplex *d)
{
    conn_phase(d->conn, CONN_LINGERING);
    if (http_duplex_queued(d))
        conn_deadline(d->conn, d->held->limits.send_ms);
}

/* Both directions are over, or the peer reset it. */
static bool check_broken(HttpDuplex *d)
{
    if (d->gone || !d->broken || (!d->ended && !d->paused))
        return false;
    duplex_lost(d, err_new(ERR_UNAVAILABLE, EPIPE, "broken pipe"));
    return true;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    HttpDuplex *d = h->data;
    if (status < 0 || (events & UV_DISCONNECT)) { /* an error, or a hang-up while paused */
        d->events = 0;
        (void)uv_poll_stop(h);
        if (status < 0 || !d->paused) {
            events |= UV_READABLE;
        } else {
            char byte;
            ssize_t n = recv(d->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                duplex_lost(d, err_new(ERR_UNAVAILABLE, errno, "connection lost"));
            else
                d->events = UV_DISCONNECT; /* what it sent before waits until it is wanted: not looked at again */
            return;
        }
    }
    size_t before = http_duplex_queued(d);
    if (events & UV_WRITABLE)
        send_some(d);
    bool sent = before && !http_duplex_queued(d) && !d->broken;
    if (events & UV_READABLE)
        receive(d);
    if (status < 0 && !d->gone && d->paused) {
        duplex_lost(d, err_new(ERR_UNAVAILABLE, 0, "connection lost"));
        return;
    }
    if (!d->gone && sent && d->lingering && d->ended) {
        finish(d);
        return;
    }
    if (!d->gone && d->lingering && http_duplex_queued(d) < before)
        linger(d);
    if (!d->gone && sent && d->ops && d->ops->on_sent)
        d->ops->on_sent(d->arg);
    if (!check_broken(d))
        watch(d);
}

static void on_broken(uv_timer_t *t)
{
    (void)check_broken(t->data);
}

void http_duplex_write(HttpDuplex *d, const void *bytes, size_t n)
{
    if (!n || d->gone || d->shut || d->broken)
        return;
    str_add_n(&d->out, bytes, n);
    if (d->opened && d->out.n - d->out_at == n) /* nothing waited before */
        send_some(d);
    if (d->broken && (d->ended || d->paused))
        (void)uv_timer_start(&d->later, on_broken, 0, 0);
    watch(d);
}

size_t http_duplex_queued(const HttpDuplex *d)
{
    return d->out.n - d->out_at;
}

void http_duplex_pause(HttpDuplex *d, bool pause)
{
    d->paused = pause;
    watch(d);
}

void http_duplex_shutdown(HttpDuplex *d)
{
    d->shut = true;
    if (d->opened)
        end_out(d);
}

void http_duplex_close(HttpDuplex *d)
{
    if (d->gone)
        return;
    d->ops = NULL;
    if (!d->opened || d->broken || (d->ended && !http_duplex_queued(d))) {
        if (d->conn && !d->urh) /* 101 is not sent yet */
            conn_kill(d->conn);
        else
            finish(d);
        return;
    }
    /* What the peer still sends is read, so that closing is no reset that takes our last bytes from it. */
    d->lingering = true;
    d->shut = true;
    end_out(d);
    linger(d);
    watch(d);
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

void duplex_opened(HttpDuplex *d)
{
    int yes = 1;
    TAILQ_REMOVE(&d->held->opened, d, at);
    d->opened = true;
    /* libmicrohttpd has just taken it away: a key's echo, or the last word of an exec, would wait 40 ms for the peer's ACK. */
    (void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (d->ops && d->ops->on_open)
        d->ops->on_open(d->arg);
    if (d->gone)
        return;
    SCOPED(str_done) Str early = MOVE(d->early, (Str){0});
    if (early.n && d->ops && d->ops->on_data) {
        if (d->request)
            d->request->sent += early.n;
        d->ops->on_data(d->arg, (const uint8_t *)early.p, early.n);
    }
    if (d->gone)
        return;
    send_some(d);
    watch(d);
}

static void on_upgrade(void *cls, struct MHD_Connection *mhd, void *request, const char *extra, size_t n, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *urh)
{
    HttpRequest *r = request;
    HttpDuplex *d = r->conn->duplex;
    HttpServer *s = r->server;
    (void)cls, (void)mhd;
    d->urh = urh;
    d->fd = fcntl(r->conn->listener->tls ? r->conn->fd : fd, F_DUPFD_CLOEXEC, 3);
    TAILQ_INSERT_TAIL(&s->opened, d, at);
    if (d->fd < 0 || uv_poll_init(s->loop, &d->poll, d->fd) != 0 || s->freed || r->conn->dead) {
        duplex_lost(d, s->freed ? NULL : err_new(ERR_SYS, errno, "upgrade the connection"));
        return;
    }
    d->poll.data = d;
    d->handles++;
    str_add_n(&d->early, extra, n);
    r->conn->upgraded = true;
    gnutls_session_t t = session_of(d);
    for (ssize_t got; t && gnutls_record_check_pending(t) && (got = io_recv(d, s->buf, sizeof s->buf)) > 0;)
        str_add_n(&d->early, s->buf, (size_t)got);
    server_mark(r->conn->listener); /* duplex_opened() comes after this run */
}

HttpDuplex *http_upgrade(HttpRequest *r, const char *protocol, const HttpHeader *h, size_t n_h, const HttpDuplexOps *ops, void *arg)
{
    if (!r->conn || r->state >= REQUEST_ANSWERED) {
        request_answer(r, 101, NULL);
        return NULL;
    }
    if (r->http10) {
        http_reply_error(r, 400, "an upgrade needs HTTP/1.1");
        return NULL;
    }
    HttpServer *s = r->server;
    HttpDuplex *d = NEW(HttpDuplex);
    d->held = s;
    s->holds++;
    d->conn = r->conn;
    d->conn->duplex = d;
    d->request = r;
    d->ops = ops;
    d->arg = arg;
    d->fd = -EBADF;
    (void)uv_timer_init(s->loop, &d->later);
    d->later.data = d;
    d->handles = 1;
    struct MHD_Response *p = MHD_create_response_for_upgrade(on_upgrade, r);
    if (p) {
        (void)MHD_add_response_header(p, "Upgrade", protocol);
        request_headers(p, h, n_h);
    }
    request_answer(r, 101, p);
    return d;
}
