/* pod_forward.c - port-forward as kubectl has it: one SPDY session with the client, directly or in a WebSocket, and a stream of the runtime for each of its
 * connections. SPDY has no flow control here: while one connection's Pod side is behind, the client is not read at all. */
#include "apiserver/streams.h"
#include "stream/portforward.h"
#include "stream/upgrade.h"

typedef struct Conn Conn;
typedef struct {
    Upgraded up; /* first */
    PortForward *forward;
    Websocket *tunnel; /* NULL = without */
    Conn *conns;
    char *sandbox;
    bool broken;
} Forwarding;

struct Conn {
    Forwarding *f;
    Conn *next;
    PortConn *port;
    RuntimeStream *stream;
};

static void on_done(Upgraded *up)
{
    Forwarding *f = (Forwarding *)up;
    portforward_free(f->forward);
    websocket_free(f->tunnel);
    free(f->sandbox);
    free(f);
}

static void conn_unlink(Conn *c)
{
    for (Conn **at = &c->f->conns; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
}

static void conn_free(Conn *c)
{
    runtime_stream_close(c->stream);
    free(c);
}

static void on_over(Upgraded *up)
{
    Forwarding *f = (Forwarding *)up;
    for (Conn *c = MOVE(f->conns, NULL), *next; c; c = next) {
        next = c->next;
        conn_free(c);
    }
}

/* Each side waits for the other. */
static void balance(Forwarding *f)
{
    bool out_full = http_duplex_queued(f->up.duplex) > STREAM_QUEUE_MAX, in_full = false;
    for (Conn *c = f->conns; c; c = c->next) {
        runtime_stream_pause(c->stream, out_full);
        in_full = in_full || runtime_stream_queued(c->stream) > STREAM_QUEUE_MAX;
    }
    http_duplex_pause(f->up.duplex, in_full);
}

static void flush(Forwarding *f)
{
    if (f->up.closed || !f->up.duplex)
        return;
    SCOPED(str_done) Str out = {0}, frames = {0};
    portforward_take(f->forward, f->tunnel ? &frames : &out);
    if (f->tunnel && frames.n)
        websocket_send(f->tunnel, 0, frames.p, frames.n);
    if (f->tunnel)
        websocket_take(f->tunnel, &out);
    http_duplex_write(f->up.duplex, str_or(out.p, ""), out.n);
    if (f->broken)
        upgraded_close(&f->up);
    else
        balance(f);
}

/* --- the Pod's side ------------------------------------------------------------------------------------------------- */

static void on_pod_data(void *arg, RemoteStream which, const void *bytes, size_t n)
{
    Conn *c = arg;
    (void)which;
    portconn_write(c->port, bytes, n);
    flush(c->f);
}

static void on_pod_end(void *arg, RemoteStream which)
{
    Conn *c = arg;
    if (which != REMOTE_STDOUT)
        return;
    portconn_end(c->port);
    flush(c->f);
}

static void on_pod_sent(void *arg)
{
    Conn *c = arg;
    balance(c->f);
}

static void on_pod_over(void *arg, const RemoteStatus *s)
{
    Conn *c = arg;
    Forwarding *f = c->f;
    portconn_close(c->port, s->end == REMOTE_SUCCESS ? NULL : s->message);
    conn_unlink(c);
    conn_free(c);
    flush(f);
}

static const RuntimeStreamOps pod_ops = {.on_data = on_pod_data, .on_end = on_pod_end, .on_sent = on_pod_sent, .on_over = on_pod_over};

/* --- the client's side ---------------------------------------------------------------------------------------------- */

static void on_conn(void *arg, PortConn *port, unsigned number)
{
    Forwarding *f = arg;
    Runtime *rt = f->up.open.s->rt;
    Conn *c = NEW(Conn);
    *c = (Conn){.f = f, .port = port};
    const RuntimeStreamConfig config = {.ops = &pod_ops, .arg = c};
    Err *e = rt->ops->port_forward(rt, f->up.uid, f->sandbox, number, &config, &c->stream);
    if (e) {
        SCOPED(mem_free) char *why = err_text(e);
        SCOPED(mem_free) char *text = mem_fmt("error forwarding port %u to pod %s, uid : %s", number, f->sandbox, why);
        err_free(e);
        portconn_close(port, text);
        free(c);
        return;
    }
    c->next = f->conns;
    f->conns = c;
    portconn_set_data(port, c);
}

static void on_conn_data(void *arg, PortConn *port, const uint8_t *bytes, size_t n)
{
    Conn *c = portconn_data(port);
    (void)arg;
    if (c)
        runtime_stream_write(c->stream, bytes, n);
}

static void on_conn_end(void *arg, PortConn *port)
{
    Conn *c = portconn_data(port);
    (void)arg;
    if (c)
        runtime_stream_end(c->stream);
}

static void on_conn_close(void *arg, PortConn *port, const char *why)
{
    Conn *c = portconn_data(port);
    (void)arg;
    (void)why;
    if (!c)
        return;
    conn_unlink(c);
    conn_free(c);
}

static const PortForwardOps forward_ops = {on_conn, on_conn_data, on_conn_end, on_conn_close};

static void on_tunnel(void *arg, unsigned channel, const uint8_t *bytes, size_t n, bool last)
{
    Forwarding *f = arg;
    (void)channel;
    (void)last;
    SCOPED(err_free) Err *e = f->broken ? NULL : portforward_recv(f->forward, bytes, n);
    f->broken = f->broken || e;
}

static void on_tunnel_close(void *arg, unsigned code, const char *reason)
{
    Forwarding *f = arg;
    (void)code;
    (void)reason;
    f->broken = true;
}

static const WebsocketOps tunnel_ops = {.on_data = on_tunnel, .on_close = on_tunnel_close};

static void on_bytes(Upgraded *up, const uint8_t *bytes, size_t n)
{
    Forwarding *f = (Forwarding *)up;
    SCOPED(err_free) Err *e = f->tunnel ? websocket_recv(f->tunnel, bytes, n) : portforward_recv(f->forward, bytes, n);
    f->broken = f->broken || e;
    flush(f);
}

static void on_room(Upgraded *up)
{
    flush((Forwarding *)up);
}

static const UpgradedOps forwarding_ops = {on_room, on_bytes, on_room, on_over, on_done};

/* --- beginning ------------------------------------------------------------------------------------------------------ */

/* kubectl's tunnel first; then what client libraries speak. */
static const char *choose(const char *offered, bool websocket)
{
    static const char *const over_websocket[] = {PORTFORWARD_TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"};
    for (size_t i = 0; websocket && i < ARRAY_LEN(over_websocket); i++)
        if (upgrade_offers(offered, over_websocket[i]))
            return over_websocket[i];
    return !websocket && upgrade_offers(offered, PORTFORWARD_PROTOCOL) ? PORTFORWARD_PROTOCOL : NULL;
}

static char *ready_sandbox(ApiServer *s, const char *uid)
{
    PodFacts facts = {0};
    char *id = NULL;
    if (s->rt)
        s->rt->ops->pod_facts(s->rt, uid, &facts);
    LIST_EACH(b, &facts.sandboxes)
        if (!id && b->state == SANDBOX_READY)
            id = mem_dup_str(b->id);
    pod_facts_done(&facts);
    return id;
}

void pod_port_forward(ApiCall *c)
{
    PodPortForwardOptions o;
    json_t *bad = kube_port_forward_options(&c->kr, &o); /* the streams say which ports; these need only be ports */
    if (bad) {
        api_reply_status(c, bad);
        return;
    }
    SCOPED(json_unref) json_t *pod = stream_pod(c);
    SCOPED(stream_upgrade_done) StreamUpgrade u = {0};
    if (!pod || !stream_upgrade_read(c, choose, &u) || !stream_admit(c))
        return;
    if (u.websocket && !str_eq(u.protocol, PORTFORWARD_TUNNEL) && !o.n) {
        api_reply_status(c, kube_bad_request("query parameter \"ports\" is required"));
        return;
    }
    const char *uid = str_or(json_str(json_object_get(pod, "metadata"), "uid"), "");
    char *sandbox = ready_sandbox(c->s, uid);
    if (!sandbox) { /* the kubelet's */
        SCOPED(mem_free) char *text = mem_fmt("pod not found (\"%s_%s\")", c->kr.name, c->kr.namespace_);
        stream_refuse(c, 500, text);
        return;
    }
    if (u.websocket && !str_eq(u.protocol, PORTFORWARD_TUNNEL)) {
        pod_forward_channels(c, &u, &o, uid, sandbox);
        return;
    }
    Forwarding *f = NEW(Forwarding);
    *f = (Forwarding){.up.uid = mem_dup_str(uid), .sandbox = sandbox};
    f->forward = portforward_new(true, &forward_ops, f);
    if (u.websocket)
        f->tunnel = websocket_new(&(WebsocketConfig){.server = true, .mode = WEBSOCKET_RAW, .ops = &tunnel_ops, .arg = f});
    upgraded_begin(&f->up, &forwarding_ops, c, &u);
}
