/* pod_forward_ws.c - port-forward as client libraries have it, who speak no SPDY: a WebSocket of channels, two for each port of the query,
 * data and errors, on both of which the port's number comes first, little-endian (the kubelet's portforward/websocket.go). One connection a
 * port; the WebSocket ends with the last of them. */
#include "apiserver/streams.h"
#include "stream/websocket.h"

typedef struct Forwarding Forwarding;
typedef struct {
    Forwarding *f;
    RuntimeStream *stream; /* NULL: over */
    unsigned index, port;
} Port;
struct Forwarding {
    Upgraded up; /* first */
    Websocket *socket;
    char *sandbox;
    size_t n, n_open;
    Port ports[ARRAY_LEN(((PodPortForwardOptions *)0)->v)];
    bool broken;
};

static void on_done(Upgraded *up)
{
    Forwarding *f = (Forwarding *)up;
    websocket_free(f->socket);
    free(f->sandbox);
    free(f);
}

static void on_over(Upgraded *up)
{
    Forwarding *f = (Forwarding *)up;
    for (size_t i = 0; i < f->n; i++)
        runtime_stream_close(MOVE(f->ports[i].stream, NULL));
}

/* Sends what there is; each side waits for the other. */
static void flush(Forwarding *f)
{
    if (f->up.closed || !f->up.duplex)
        return;
    SCOPED(str_done) Str out = {0};
    websocket_take(f->socket, &out);
    http_duplex_write(f->up.duplex, str_or(out.p, ""), out.n);
    if (f->broken) {
        upgraded_close(&f->up);
        return;
    }
    bool out_full = http_duplex_queued(f->up.duplex) > STREAM_QUEUE_MAX, in_full = false;
    for (size_t i = 0; i < f->n; i++) {
        RuntimeStream *s = f->ports[i].stream;
        if (!s)
            continue;
        runtime_stream_pause(s, out_full);
        in_full = in_full || runtime_stream_queued(s) > STREAM_QUEUE_MAX;
    }
    http_duplex_pause(f->up.duplex, in_full);
}

/* --- the Pod's side ------------------------------------------------------------------------------------------------- */

static void port_over(Port *p, const char *why)
{
    Forwarding *f = p->f;
    runtime_stream_close(MOVE(p->stream, NULL));
    if (why) {
        SCOPED(mem_free) char *text = mem_fmt("error forwarding port %u to pod %s, uid %s: %s", p->port, f->sandbox, f->up.uid, why);
        websocket_send(f->socket, 2 * p->index + 1, text, strlen(text));
    }
    if (--f->n_open == 0) {
        websocket_close(f->socket, 1000, "");
        f->broken = true; /* flush() sends what is left, and ends it */
    }
}

static void on_pod_data(void *arg, RemoteStream which, const void *bytes, size_t n)
{
    Port *p = arg;
    (void)which;
    websocket_send(p->f->socket, 2 * p->index, bytes, n);
    flush(p->f);
}

static void on_pod_sent(void *arg)
{
    Port *p = arg;
    flush(p->f);
}

static void on_pod_over(void *arg, const RemoteStatus *s)
{
    Port *p = arg;
    port_over(p, s->end == REMOTE_SUCCESS ? NULL : str_or(s->message, "lost connection to pod"));
    flush(p->f);
}

/* Channels know no half-close: with the Pod's end of the connection it is over. */
static void on_pod_end(void *arg, RemoteStream which)
{
    Port *p = arg;
    if (which != REMOTE_STDOUT)
        return;
    port_over(p, NULL);
    flush(p->f);
}

static const RuntimeStreamOps pod_ops = {.on_data = on_pod_data, .on_end = on_pod_end, .on_sent = on_pod_sent, .on_over = on_pod_over};

/* --- the client's side ---------------------------------------------------------------------------------------------- */

static void on_channel(void *arg, unsigned channel, const uint8_t *bytes, size_t n, bool last)
{
    Forwarding *f = arg;
    (void)last;
    if (channel % 2 == 0 && channel / 2 < f->n && f->ports[channel / 2].stream) /* nothing is read from channels of errors */
        runtime_stream_write(f->ports[channel / 2].stream, bytes, n);
}

static void on_good_bye(void *arg, unsigned code, const char *reason)
{
    Forwarding *f = arg;
    (void)code;
    (void)reason;
    f->broken = true;
}

static const WebsocketOps socket_ops = {.on_data = on_channel, .on_close = on_good_bye};

static void on_bytes(Upgraded *up, const uint8_t *bytes, size_t n)
{
    Forwarding *f = (Forwarding *)up;
    SCOPED(err_free) Err *e = f->broken ? NULL : websocket_recv(f->socket, bytes, n);
    f->broken = f->broken || e;
    flush(f);
}

static void begin(Port *p)
{
    Forwarding *f = p->f;
    Runtime *rt = f->up.open.s->rt;
    const uint8_t number[2] = {(uint8_t)(p->port & 0xff), (uint8_t)(p->port >> 8)};
    /* One at a time, and so a TLS record each: Python's client polls the socket and misses what its TLS library has read already. */
    websocket_send(f->socket, 2 * p->index, number, sizeof number);
    flush(f);
    websocket_send(f->socket, 2 * p->index + 1, number, sizeof number);
    flush(f);
    SCOPED(err_free) Err *e = rt->ops->port_forward(rt, f->up.uid, f->sandbox, p->port, &(RuntimeStreamConfig){.ops = &pod_ops, .arg = p}, &p->stream);
    SCOPED(mem_free) char *why = e ? err_text(e) : NULL;
    if (why)
        port_over(p, why);
}

static void on_open(Upgraded *up)
{
    Forwarding *f = (Forwarding *)up;
    f->n_open = f->n;
    for (size_t i = 0; i < f->n; i++)
        begin(&f->ports[i]);
    flush(f);
}

static void on_sent(Upgraded *up)
{
    flush((Forwarding *)up);
}

static const UpgradedOps forwarding_ops = {on_open, on_bytes, on_sent, on_over, on_done};

void pod_forward_channels(ApiCall *c, const StreamUpgrade *u, const PodPortForwardOptions *o, const char *uid, char *sandbox)
{
    Forwarding *f = NEW(Forwarding);
    *f = (Forwarding){.up.uid = mem_dup_str(uid), .sandbox = sandbox, .n = o->n};
    f->socket = websocket_new(&(WebsocketConfig){.server = true, .mode = strstr(u->protocol, "base64") ? WEBSOCKET_BASE64 : WEBSOCKET_BINARY,
                                                 .ops = &socket_ops, .arg = f});
    for (size_t i = 0; i < f->n; i++)
        f->ports[i] = (Port){.f = f, .index = (unsigned)i, .port = o->v[i]};
    upgraded_begin(&f->up, &forwarding_ops, c, u);
}
