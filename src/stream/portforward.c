#include "stream/portforward.h"

#define MAX_WHY ((size_t)4 << 10)

struct PortConn {
    PortForward *f;
    PortConn *next;
    SpdyStream *data_stream, *error_stream; /* NULL: released */
    char *request_id;
    unsigned port;
    void *data;
    Str why;
    bool opened;              /* server: both streams are there */
    bool data_end, error_end; /* the peer's halves */
};

struct PortForward {
    Spdy *spdy;
    const PortForwardOps *ops;
    void *arg;
    PortConn *conns;
    uint64_t next_id;
    bool server, freed;
    unsigned depth;
};

static void conn_unlink(PortConn *c)
{
    for (PortConn **p = &c->f->conns; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    free(c->request_id);
    str_done(&c->why);
    free(c);
}

/* Client: the far end has said all; server: the client is gone. */
static void conn_over(PortConn *c)
{
    PortForward *f = c->f;
    if (c->data_stream)
        spdy_release(c->data_stream);
    if (c->error_stream)
        spdy_release(c->error_stream);
    c->data_stream = c->error_stream = NULL;
    if (f->ops->on_close && (c->opened || !f->server))
        f->ops->on_close(f->arg, c, c->why.n ? c->why.p : NULL);
    conn_unlink(c);
}

static PortConn *conn_with(PortForward *f, const char *request_id)
{
    for (PortConn *c = f->conns; c; c = c->next)
        if (str_eq(c->request_id, request_id))
            return c;
    return NULL;
}

static PortConn *conn_new(PortForward *f, const char *request_id, unsigned port)
{
    PortConn *c = NEW(PortConn);
    *c = (PortConn){.f = f, .next = f->conns, .request_id = mem_dup_str(request_id), .port = port};
    f->conns = c;
    return c;
}

static void conn_opened(PortConn *c)
{
    PortForward *f = c->f;
    c->opened = true;
    if (f->ops->on_open)
        f->ops->on_open(f->arg, c, c->port);
}

/* Server: the two streams of a connection come in any order. Clients without a requestID (kubectl before 1.1) are refused. */
static void on_stream(void *arg, SpdyStream *s, const SpdyHeaders *h)
{
    PortForward *f = arg;
    const char *type = str_or(spdy_header(h, "streamType"), ""), *id = spdy_header(h, "requestID");
    int64_t port;
    bool data = str_eq(type, "data");
    if (!id || (!data && !str_eq(type, "error")) || !str_to_i64(str_or(spdy_header(h, "port"), ""), &port) || port < 1 ||
        port > 65535) {
        spdy_reset(s, SPDY_REFUSED_STREAM);
        return;
    }
    PortConn *c = conn_with(f, id);
    if (c && (c->opened || c->port != (unsigned)port || (data ? c->data_stream : c->error_stream))) {
        spdy_reset(s, SPDY_REFUSED_STREAM);
        return;
    }
    if (!c)
        c = conn_new(f, id, (unsigned)port);
    *(data ? &c->data_stream : &c->error_stream) = s;
    spdy_set_data(s, c);
    spdy_reply(s);
    if (c->data_stream && c->error_stream)
        conn_opened(c);
}

static void on_data(void *arg, SpdyStream *s, const uint8_t *bytes, size_t n)
{
    PortForward *f = arg;
    PortConn *c = spdy_data(s);
    if (!c)
        return;
    if (s == c->data_stream) {
        if (f->ops->on_data && (c->opened || !f->server))
            f->ops->on_data(f->arg, c, bytes, n);
    } else if (!f->server) {
        str_add_n(&c->why, bytes, c->why.n + n > MAX_WHY ? 0 : n);
    }
}

static void on_end(void *arg, SpdyStream *s, uint32_t status)
{
    PortForward *f = arg;
    PortConn *c = spdy_data(s);
    if (!c)
        return;
    bool data = s == c->data_stream, first = data && !c->data_end;
    c->data_end = c->data_end || data;
    c->error_end = c->error_end || !data;
    if (status) {
        *(data ? &c->data_stream : &c->error_stream) = NULL;
        spdy_release(s);
    }
    if (f->server ? data && status : c->data_end && c->error_end) {
        conn_over(c);
        return;
    }
    if (first && f->ops->on_end && (c->opened || !f->server))
        f->ops->on_end(f->arg, c); /* may close it */
}

static const SpdyOps server_ops = {.on_stream = on_stream, .on_data = on_data, .on_end = on_end};
static const SpdyOps client_ops = {.on_data = on_data, .on_end = on_end};

PortForward *portforward_new(bool server, const PortForwardOps *ops, void *arg)
{
    PortForward *f = NEW(PortForward);
    *f = (PortForward){.ops = ops, .arg = arg, .server = server, .spdy = spdy_new(server, server ? &server_ops : &client_ops, f)};
    return f;
}

void portforward_free(PortForward *f)
{
    if (!f)
        return;
    f->freed = true;
    spdy_free(MOVE(f->spdy, NULL)); /* at once: nothing more is to be told */
    if (f->depth)
        return; /* portforward_recv() and portforward_lost() do the rest */
    while (f->conns)
        conn_unlink(f->conns);
    free(f);
}

static void leave(PortForward *f)
{
    f->depth--;
    if (f->freed)
        portforward_free(f);
}

Err *portforward_recv(PortForward *f, const void *bytes, size_t n)
{
    f->depth++;
    Err *e = spdy_recv(f->spdy, bytes, n);
    leave(f);
    return e;
}

void portforward_lost(PortForward *f)
{
    f->depth++;
    while (f->conns && !f->freed)
        conn_over(f->conns);
    leave(f);
}

void portforward_take(PortForward *f, Str *out)
{
    spdy_take(f->spdy, out);
}

size_t portforward_queued(const PortForward *f)
{
    return spdy_queued(f->spdy);
}

PortConn *portforward_open(PortForward *f, unsigned port, void *data)
{
    SCOPED(mem_free) char *id = mem_fmt("%llu", (unsigned long long)f->next_id++), *text = mem_fmt("%u", port);
    SpdyHeader h[] = {{"streamType", "error"}, {"port", text}, {"requestID", id}};
    SpdyStream *error = spdy_open(f->spdy, h, ARRAY_LEN(h));
    if (!error)
        return NULL;
    spdy_send(error, NULL, 0, true); /* it is only read */
    h[0].value = "data";
    SpdyStream *stream = spdy_open(f->spdy, h, ARRAY_LEN(h));
    if (!stream) {
        spdy_reset(error, SPDY_CANCEL);
        return NULL;
    }
    PortConn *c = conn_new(f, id, port);
    c->data = data;
    c->data_stream = stream;
    c->error_stream = error;
    spdy_set_data(stream, c);
    spdy_set_data(error, c);
    return c;
}

void portconn_write(PortConn *c, const void *bytes, size_t n)
{
    if (c->data_stream && n)
        spdy_send(c->data_stream, bytes, n, false);
}

void portconn_end(PortConn *c)
{
    if (c->data_stream)
        spdy_send(c->data_stream, NULL, 0, true);
}

void portconn_close(PortConn *c, const char *why)
{
    bool server = c->f->server;
    if (c->error_stream) {
        if (server && why)
            spdy_send(c->error_stream, why, strlen(why), false);
        spdy_release(c->error_stream);
    }
    /* A client that gives up resets: else the far end would go on sending into the void. */
    if (c->data_stream && server)
        spdy_release(c->data_stream);
    else if (c->data_stream)
        spdy_reset(c->data_stream, SPDY_CANCEL);
    conn_unlink(c);
}

void portconn_set_data(PortConn *c, void *data)
{
    c->data = data;
}

void *portconn_data(const PortConn *c)
{
    return c->data;
}

unsigned portconn_port(const PortConn *c)
{
    return c->port;
}
