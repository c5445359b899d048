/* netcall_grpc.c - grpc probes: Check of grpc.health.v1.Health. What the kubelet does (pkg/probe/grpc) is grpc-go's
 * blocking dial and then one call, both within the timeout. A dial that fails is tried again after a while until then,
 * and counts as done only when the peer has shown by its SETTINGS that it speaks HTTP/2. */
#include "grpc/conn.h"
#include "node/netcall_priv.h"

#define METHOD  "/grpc.health.v1.Health/Check"
#define SERVING 1
#define MAX_MESSAGE 65536u /* of an answer: health replies have two bytes */
/* grpc/doc/connection-backoff.md; without its jitter, which is for many clients of one server. */
#define BACKOFF_FIRST_MS 1000u
#define BACKOFF_MAX_MS   120000u

typedef struct Link Link;
typedef struct {
    NetCall call;
    char *service;
    Link *link; /* the connection under way; NULL while waiting for the next try */
    uv_timer_t retry;
    unsigned backoff_ms;
    int64_t began_ms;
    bool asked;
    bool replied; /* the reply is noted below: it is told when the connection has returned */
    NetCallResult result;
    char *text;
} GrpcCall;

/* One connection; freed when its socket is closed. */
struct Link {
    uv_tcp_t tcp;
    uv_connect_t req;
    GrpcCall *g; /* NULL = of no interest any more */
    NetCall *held;
    GrpcConn *conn;
    char buf[4096];
};

typedef struct {
    uv_write_t req;
    Str bytes;
} Write;

static void link_open(GrpcCall *g);

static void on_link_closed(uv_handle_t *h)
{
    Link *l = h->data;
    grpc_conn_free(l->conn);
    netcall_drop(l->held);
    free(l);
}

static void link_close(GrpcCall *g)
{
    Link *l = MOVE(g->link, NULL);
    if (!l)
        return;
    l->g = NULL;
    uv_close((uv_handle_t *)&l->tcp, on_link_closed);
}

static void on_retry(uv_timer_t *t)
{
    link_open(t->data);
}

/* The connection is gone: before the call that is a dial to try again, afterwards the call's failure. */
static void link_lost(GrpcCall *g, const char *why)
{
    link_close(g);
    if (g->asked) {
        netcall_fail(
            &g->call,
            "error: health rpc probe failed: rpc error: code = Unavailable desc = error reading from server: %s", why);
        return;
    }
    g->call.at = (g->call.at + 1) % g->call.n_addr;
    (void)uv_timer_start(&g->retry, on_retry, g->call.at ? 0 : g->backoff_ms, 0); /* a name's next address at once */
    if (!g->call.at)
        g->backoff_ms = g->backoff_ms * 8 / 5 < BACKOFF_MAX_MS ? g->backoff_ms * 8 / 5 : BACKOFF_MAX_MS;
}

/* --- the call ----------------------------------------------------------------------------------------------------- */

static const char *const statuses[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};

static char *health_text(const GrpcResult *r, bool *ret_ok)
{
    int64_t status = 0;
    SCOPED(err_free) Err *e = grpc_health_reply(r->bytes, r->n, &status);
    *ret_ok = !e && status == SERVING;
    if (e)
        return mem_fmt("error: health rpc probe failed: rpc error: code = Internal desc = %s", e->what);
    if (*ret_ok)
        return mem_dup_str("service healthy");
    if (status >= 0 && (size_t)status < ARRAY_LEN(statuses))
        return mem_fmt("service unhealthy (responded with \"%s\")", statuses[status]);
    return mem_fmt("service unhealthy (responded with \"%lld\")", (long long)status);
}

static char *reply_text(const GrpcCall *g, const GrpcResult *r, bool *ret_ok)
{
    char buf[24];
    SCOPED(mem_free) char *timeout = duration_format(g->call.timeout_ns);
    *ret_ok = false;
    if (r->code == GRPC_OK)
        return health_text(r, ret_ok);
    if (r->code == GRPC_UNIMPLEMENTED)
        return mem_fmt("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s",
                       r->message);
    if (r->code == GRPC_DEADLINE_EXCEEDED)
        return mem_fmt("timeout: health rpc did not complete within %s", timeout);
    return mem_fmt("error: health rpc probe failed: rpc error: code = %s desc = %s", grpc_code_name(r->code, buf),
                   r->message);
}

/* Within the connection's delivery: only noted. */
static void on_reply(void *arg, const GrpcResult *r)
{
    GrpcCall *g = arg;
    bool ok;
    free(g->text);
    g->text = reply_text(g, r, &ok);
    g->result = (NetCallResult){.ok = ok};
    g->replied = true;
}

static void ask(GrpcCall *g)
{
    SCOPED(str_done) Str request = {0};
    grpc_health_request(g->service, &request);
    g->asked = true;
    int64_t left = g->call.timeout_ns - ((int64_t)uv_now(g->call.loop) - g->began_ms) * NS_PER_MS;
    GrpcRequest r = {.path = METHOD,
                     .bytes = str_or(request.p, ""),
                     .n = request.n,
                     .timeout_ns = g->call.timeout_ns > 0 && left > 0 ? left : 0};
    (void)grpc_conn_call(g->link->conn, &r, NULL, on_reply, g);
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *req, int status)
{
    Write *w = (Write *)req;
    (void)status; /* a broken connection shows itself to the reader */
    str_done(&w->bytes);
    free(w);
}

static Err *flush(Link *l)
{
    Write *w = NEW(Write);
    Err *e = grpc_conn_send(l->conn, &w->bytes);
    uv_buf_t buf = uv_buf_init(w->bytes.p, (unsigned)w->bytes.n);
    if (!w->bytes.n || uv_write(&w->req, (uv_stream_t *)&l->tcp, &buf, 1, on_written))
        on_written(&w->req, 0);
    return e;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    Link *l = h->data;
    (void)suggested;
    *buf = uv_buf_init(l->buf, sizeof l->buf);
}

static void link_failed(GrpcCall *g, Err *e)
{
    SCOPED(mem_free) char *why = err_text(e);
    err_free(e);
    link_lost(g, why);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    Link *l = stream->data;
    GrpcCall *g = l->g;
    if (!g || n == 0)
        return;
    if (n < 0) {
        SCOPED(mem_free) char *why = n == UV_EOF ? mem_dup_str("EOF") : err_go_errno((int)-n);
        link_lost(g, why);
        return;
    }
    Err *e = grpc_conn_recv(l->conn, buf->base, (size_t)n);
    if (!e && !g->asked && grpc_conn_ready(l->conn))
        ask(g);
    Err *broken = flush(l);
    grpc_conn_deliver(l->conn);
    if (g->replied) {
        err_free(e);
        err_free(broken);
        g->result.output = g->text;
        netcall_finish(&g->call, &g->result);
    } else if (e || broken) {
        err_free(e ? broken : NULL);
        link_failed(g, e ? e : broken);
    }
}

static void on_link_connected(uv_connect_t *req, int status)
{
    Link *l = req->data;
    if (!l->g)
        return;
    SCOPED(mem_free) char *authority = netcall_join(l->g->call.host, l->g->call.port);
    l->conn = grpc_conn_new(authority, NETCALL_PROBE_USER_AGENT, MAX_MESSAGE);
    Err *e = status ? err_new(ERR_UNAVAILABLE, -status, "connect") : flush(l);
    if (!e && uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read))
        e = err_new(ERR_UNAVAILABLE, 0, "read");
    if (e)
        link_failed(l->g, e);
}

static void link_open(GrpcCall *g)
{
    Link *l = NEW(Link);
    l->g = g;
    l->held = &g->call;
    netcall_hold(&g->call);
    (void)uv_tcp_init(g->call.loop, &l->tcp);
    l->tcp.data = l->req.data = l;
    g->link = l;
    int rc = uv_tcp_connect(&l->req, &l->tcp, (const struct sockaddr *)&g->call.addr[g->call.at], on_link_connected);
    if (rc)
        link_failed(g, err_new(ERR_UNAVAILABLE, -rc, "connect"));
}

/* --- kind --------------------------------------------------------------------------------------------------------- */

static void grpc_start(NetCall *c)
{
    link_open((GrpcCall *)c);
}

static void grpc_timed_out(NetCall *c)
{
    SCOPED(mem_free) char *timeout = duration_format(c->timeout_ns), *to = netcall_join(c->host, c->port);
    if (((GrpcCall *)c)->asked)
        netcall_fail(c, "timeout: health rpc did not complete within %s", timeout);
    else
        netcall_fail(c, "timeout: failed to connect service \"%s\" within %s: context deadline exceeded", to, timeout);
}

static void on_retry_closed(uv_handle_t *h)
{
    netcall_drop(&((GrpcCall *)h->data)->call);
}

static void grpc_stop(NetCall *c)
{
    GrpcCall *g = (GrpcCall *)c;
    link_close(g);
    uv_close((uv_handle_t *)&g->retry, on_retry_closed);
}

static void grpc_release(NetCall *c)
{
    GrpcCall *g = (GrpcCall *)c;
    free(g->service);
    free(g->text);
}

/* grpc-go's resolver is asked again, too; what the caller sees is the timeout. */
static void grpc_lookup_failed(NetCall *c, const char *why)
{
    if (c->timeout_ns <= 0)
        netcall_fail_later(c, mem_fmt("error: failed to connect service at \"%s:%d\": %s", c->host, c->port, why));
}

static const NetCallKind grpc_kind = {grpc_start, grpc_timed_out, grpc_stop, grpc_release, grpc_lookup_failed};

Err *netcall_grpc(uv_loop_t *loop, const GRPCAction *a, const char *host, int64_t timeout_ns, NetCallDone *done,
                  void *arg, NetCall **ret)
{
    int port;
    Err *e = netcall_port(&(IntOrString){.kind = INTSTR_INT, .i = a->port.v}, NULL, &port);
    if (e)
        return e;
    GrpcCall *g = (GrpcCall *)netcall_new(loop, sizeof *g, &grpc_kind, host, port, timeout_ns, done, arg);
    g->service = mem_dup_str(str_or(a->service, ""));
    g->backoff_ms = BACKOFF_FIRST_MS;
    (void)uv_timer_init(loop, &g->retry);
    g->retry.data = g;
    netcall_hold(&g->call);
    uv_update_time(loop);
    g->began_ms = (int64_t)uv_now(loop);
    *ret = &g->call;
    netcall_begin(&g->call);
    return NULL;
}
