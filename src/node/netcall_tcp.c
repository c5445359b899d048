/* netcall_tcp.c - tcpSocket: a connection that can be opened is a success (pkg/probe/tcp). Of a name's addresses the
 * first that answers counts; the error shown is the first one's, as Go's dialer does. */
#include "node/netcall_priv.h"

typedef struct {
    NetCall call;
    struct Dial *dial; /* the attempt under way */
    char *first_error;
} TcpCall;

/* One attempt; freed when its socket is closed. */
typedef struct Dial {
    uv_tcp_t tcp;
    uv_connect_t req;
    TcpCall *t; /* NULL = of no interest any more */
    NetCall *held;
} Dial;

static void tcp_start(NetCall *c);

static void on_dial_closed(uv_handle_t *h)
{
    Dial *d = h->data;
    netcall_drop(d->held);
    free(d);
}

static void dial_close(TcpCall *t)
{
    Dial *d = MOVE(t->dial, NULL);
    if (!d)
        return;
    d->t = NULL;
    uv_close((uv_handle_t *)&d->tcp, on_dial_closed);
}

/* The attempt at addr[at] failed: the next one, or the end. <within>: still in the public call. */
static void dial_failed(TcpCall *t, int err, bool within)
{
    NetCall *c = &t->call;
    if (!t->first_error)
        t->first_error = netcall_dial_error(c, err);
    dial_close(t);
    if (++c->at < c->n_addr)
        tcp_start(c);
    else if (within)
        netcall_fail_later(c, mem_dup_str(t->first_error));
    else
        netcall_fail(c, "%s", t->first_error);
}

static void on_connected(uv_connect_t *req, int status)
{
    Dial *d = req->data;
    if (!d->t)
        return;
    if (status)
        dial_failed(d->t, -status, false);
    else
        netcall_finish(&d->t->call, &(NetCallResult){.ok = true, .output = ""});
}

static void tcp_start(NetCall *c)
{
    TcpCall *t = (TcpCall *)c;
    Dial *d = NEW(Dial);
    d->t = t;
    d->held = c;
    netcall_hold(c);
    (void)uv_tcp_init(c->loop, &d->tcp);
    d->tcp.data = d->req.data = d;
    t->dial = d;
    int rc = uv_tcp_connect(&d->req, &d->tcp, (const struct sockaddr *)&c->addr[c->at], on_connected);
    if (rc)
        dial_failed(t, -rc, true);
}

static void tcp_timed_out(NetCall *c)
{
    SCOPED(mem_free) char *peer = c->n_addr ? netcall_peer(c) : netcall_join(c->host, c->port);
    netcall_fail(c, "dial tcp %s: i/o timeout", peer);
}

static void tcp_stop(NetCall *c)
{
    dial_close((TcpCall *)c);
}
static void tcp_release(NetCall *c)
{
    free(((TcpCall *)c)->first_error);
}

static void tcp_lookup_failed(NetCall *c, const char *why)
{
    netcall_fail_later(c, mem_dup_str(why));
}

static const NetCallKind tcp_kind = {tcp_start, tcp_timed_out, tcp_stop, tcp_release, tcp_lookup_failed};

Err *netcall_tcp(uv_loop_t *loop, const TCPSocketAction *a, const Container *c, const char *host, int64_t timeout_ns,
                 NetCallDone *done, void *arg, NetCall **ret)
{
    int port;
    Err *e = netcall_port(&a->port, c, &port);
    if (e)
        return e;
    *ret =
        netcall_new(loop, sizeof(TcpCall), &tcp_kind, str_empty(a->host) ? host : a->host, port, timeout_ns, done, arg);
    netcall_begin(*ret);
    return NULL;
}
