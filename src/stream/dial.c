#include "stream/dial.h"

#include "base/clock.h"
#include "os/fs.h"
#include "stream/upgrade.h"
#include "stream/websocket.h"

#define MAX_REFUSAL ((size_t)8 << 10) /* what a server says when it does not upgrade */

typedef enum { DIAL_HEAD, DIAL_REFUSED, DIAL_OPEN, DIAL_OVER } DialState;

struct Dial {
    uv_tcp_t tcp;
    uv_timer_t timer; /* first the timeout, then "in the next turn" */
    uv_connect_t connect;
    uv_write_t req;
    const DialOps *ops;
    void *arg;
    DialState state;
    UpgradeRequest request;
    char *key, *authority, *path;
    UpgradeAnswer answer;
    Str in, out; /* in: the head, or the refusal; out: being written */
    bool connected, writing, paused, closing;
    unsigned handles;
    Err *why; /* to be told by the timer */
    char buf[65536];
};

static Err *uv_err(int rc)
{
    SCOPED(mem_free) char *text = err_go_errno(-rc);
    return err_new(ERR_UNAVAILABLE, -rc, "%s", text);
}

static void over(Dial *d, Err *why)
{
    if (d->closing || d->state == DIAL_OVER) {
        err_free(why);
        return;
    }
    d->state = DIAL_OVER;
    (void)uv_read_stop((uv_stream_t *)&d->tcp);
    (void)uv_timer_stop(&d->timer);
    d->ops->on_over(d->arg, why);
}

/* The runtime's words, if it has any: a Status, or a line of text. */
static void refused(Dial *d)
{
    const char *text = str_or(d->in.p, "");
    while (d->in.n && strchr("\r\n ", d->in.p[d->in.n - 1]))
        d->in.p[--d->in.n] = '\0';
    over(d, *text ? err_new(ERR_UNAVAILABLE, 0, "unable to upgrade connection: %s", text)
                  : err_new(ERR_UNAVAILABLE, 0, "unable to upgrade connection: the server answers %d", d->answer.status));
}

static void on_closed(uv_handle_t *h)
{
    Dial *d = h->data;
    if (--d->handles)
        return;
    upgrade_answer_done(&d->answer);
    free(d->key);
    free(d->authority);
    free(d->path);
    str_done(&d->in);
    str_done(&d->out);
    err_free(d->why);
    free(d);
}

void dial_free(Dial *d)
{
    if (!d || d->closing)
        return;
    d->closing = true;
    uv_close((uv_handle_t *)&d->tcp, on_closed);
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void on_written(uv_write_t *req, int status)
{
    Dial *d = req->data;
    d->writing = false;
    str_clear(&d->out);
    if (d->closing || d->state == DIAL_OVER)
        return;
    if (status) {
        if (status == UV_EPIPE || status == UV_ECONNRESET) /* what it said before is still to be read */
            return;
        over(d, uv_err(status));
        return;
    }
    dial_flush(d);
    if (!d->writing && !d->closing && d->state == DIAL_OPEN && d->ops->on_sent)
        d->ops->on_sent(d->arg);
}

static void send_out(Dial *d)
{
    uv_buf_t buf = uv_buf_init(d->out.p, (unsigned)d->out.n);
    d->req.data = d;
    d->writing = uv_write(&d->req, (uv_stream_t *)&d->tcp, &buf, 1, on_written) == 0; /* if not, reading will say why */
}

void dial_flush(Dial *d)
{
    if (d->writing || d->closing || d->state != DIAL_OPEN)
        return;
    str_clear(&d->out);
    d->ops->pull(d->arg, &d->out);
    if (d->out.n)
        send_out(d);
}

bool dial_idle(const Dial *d)
{
    return !d->writing;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void pass_on(Dial *d, const void *bytes, size_t n)
{
    Err *e = d->ops->on_bytes(d->arg, bytes, n);
    if (d->closing || d->state == DIAL_OVER) {
        err_free(e);
        return;
    }
    dial_flush(d); /* with the last words, if it broke the protocol */
    if (e)
        over(d, e);
}

static void on_head(Dial *d)
{
    bool whole;
    Err *e = upgrade_answer(d->in.p, d->in.n, &whole, &d->answer);
    if (!e && !whole)
        return;
    if (!e && d->answer.status != 101) {
        d->state = DIAL_REFUSED;
        SCOPED(mem_free) char *rest = mem_dup_strn(d->in.p + d->answer.n, d->in.n - d->answer.n);
        str_clear(&d->in);
        str_add(&d->in, rest);
        return;
    }
    e = e ? e : upgrade_check(&d->request, &d->answer);
    if (e) {
        over(d, err_wrap(e, "upgrade connection to %s", d->authority));
        return;
    }
    d->state = DIAL_OPEN;
    (void)uv_timer_stop(&d->timer);
    SCOPED(str_done) Str rest = {0};
    str_add_n(&rest, d->in.p + d->answer.n, d->in.n - d->answer.n);
    str_done(&d->in);
    d->ops->on_open(d->arg, d->answer.protocol);
    if (!d->closing && d->state == DIAL_OPEN && rest.n)
        pass_on(d, rest.p, rest.n);
    else
        dial_flush(d);
}

static void received(Dial *d, const char *bytes, size_t n)
{
    if (d->state == DIAL_OPEN) {
        pass_on(d, bytes, n);
        return;
    }
    if (d->in.n + n > UPGRADE_MAX_HEAD + sizeof d->buf)
        n = 0;
    str_add_n(&d->in, bytes, n);
    if (d->state == DIAL_HEAD)
        on_head(d);
    if (d->state == DIAL_REFUSED && ((d->answer.body >= 0 && d->in.n >= (size_t)d->answer.body) || d->in.n > MAX_REFUSAL))
        refused(d);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    Dial *d = h->data;
    (void)suggested;
    *buf = uv_buf_init(d->buf, sizeof d->buf);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    Dial *d = stream->data;
    if (d->closing || d->state == DIAL_OVER || n == 0)
        return;
    if (n > 0)
        received(d, buf->base, (size_t)n);
    else if (d->state == DIAL_REFUSED)
        refused(d);
    else if (d->state == DIAL_HEAD)
        over(d, err_new(ERR_UNAVAILABLE, 0, "the server at %s closed the connection without an answer", d->authority));
    else
        over(d, n == UV_EOF || n == UV_ECONNRESET ? NULL : uv_err((int)n)); /* Go's servers reset what they have not read */
}

void dial_pause(Dial *d, bool pause)
{
    if (d->closing || d->state == DIAL_OVER || d->paused == pause)
        return;
    d->paused = pause;
    if (pause)
        (void)uv_read_stop((uv_stream_t *)&d->tcp);
    else if (d->connected)
        (void)uv_read_start((uv_stream_t *)&d->tcp, on_alloc, on_read);
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t)
{
    Dial *d = t->data;
    over(d, d->why ? MOVE(d->why, NULL) : err_new(ERR_TIMEOUT, 0, "no answer from %s in time", d->authority));
}

static void on_connected(uv_connect_t *req, int status)
{
    Dial *d = req->data;
    if (d->closing || d->state == DIAL_OVER)
        return;
    if (status) {
        over(d, err_wrap(uv_err(status), "dial tcp %s", d->authority));
        return;
    }
    d->connected = true;
    (void)uv_tcp_nodelay(&d->tcp, 1);
    upgrade_request(&d->request, &d->out);
    send_out(d);
    if (!d->paused)
        (void)uv_read_start((uv_stream_t *)&d->tcp, on_alloc, on_read);
}

static Dial *make(uv_loop_t *loop, const DialOps *ops, void *arg)
{
    Dial *d = NEW(Dial);
    d->ops = ops;
    d->arg = arg;
    d->handles = 2;
    (void)uv_tcp_init(loop, &d->tcp);
    (void)uv_timer_init(loop, &d->timer);
    d->tcp.data = d->timer.data = d->connect.data = d;
    return d;
}

Err *dial_new(const DialConfig *c, Dial **ret)
{
    SCOPED(mem_free) char *host = NULL;
    char *authority = NULL, *path = NULL;
    unsigned port = 0;
    Err *e = upgrade_url(c->url, &host, &port, &authority, &path);
    if (e)
        return e;
    struct sockaddr_storage to = {0};
    if (uv_ip4_addr(host, (int)port, (struct sockaddr_in *)&to) != 0)
        (void)uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)&to);
    Dial *d = make(c->loop, c->ops, c->arg);
    d->authority = authority;
    d->path = path;
    d->key = c->websocket ? websocket_key() : NULL;
    d->request = (UpgradeRequest){c->websocket, authority, path, c->protocols, d->key};
    (void)uv_timer_start(&d->timer, on_timer, DIAL_TIMEOUT_NS / NS_PER_MS, 0);
    int rc = uv_tcp_connect(&d->connect, &d->tcp, (struct sockaddr *)&to, on_connected);
    if (rc) {
        d->why = err_wrap(uv_err(rc), "dial tcp %s", authority);
        (void)uv_timer_start(&d->timer, on_timer, 1, 0);
    }
    *ret = d;
    return NULL;
}

static void on_already(uv_timer_t *t)
{
    Dial *d = t->data;
    SCOPED(str_done) Str already = MOVE(d->in, (Str){0});
    if (already.n)
        pass_on(d, already.p, already.n);
    else
        dial_flush(d);
    if (!d->closing && d->state == DIAL_OPEN && !d->paused)
        (void)uv_read_start((uv_stream_t *)&d->tcp, on_alloc, on_read);
}

Err *dial_adopt(uv_loop_t *loop, int fd, const void *already, size_t n_already, const DialOps *ops, void *arg, Dial **ret)
{
    Dial *d = make(loop, ops, arg);
    d->state = DIAL_OPEN;
    d->connected = true;
    int rc = uv_tcp_open(&d->tcp, fd);
    if (rc) {
        fd_close(fd);
        dial_free(d);
        return uv_err(rc);
    }
    str_add_n(&d->in, already, n_already);
    (void)uv_timer_start(&d->timer, on_already, 0, 0);
    *ret = d;
    return NULL;
}
