#include "grpc/client.h"

#include <sys/queue.h>

#include "base/clock.h"
#include "base/str.h"
#include "grpc/conn.h"
#include "grpc/io_priv.h"
#include "os/unixsock.h"

/* grpc/doc/connection-backoff.md, but for a peer on this machine: at most 5 s */
#define BACKOFF_FIRST_NS    NS_PER_S
#define BACKOFF_MAX_NS      (5 * NS_PER_S)
#define CONNECT_TIMEOUT_NS  (20 * NS_PER_S) /* until the server's SETTINGS: MIN_CONNECT_TIMEOUT there */
#define KEEPALIVE_NS        (30 * NS_PER_S)
#define KEEPALIVE_WAIT_NS   (10 * NS_PER_S)
#define PING_APART_NS       (10 * NS_PER_S)
/* Servers allow two PINGs within five minutes in which they sent nothing of a call; the next one too early ends the
 * connection (grpc-go's and grpc-core's defaults: 5 min, 2 strikes). A stream of rare events must outlive that. */
#define PINGS_FREE          2u
#define PING_APART_IDLE_NS  (310 * NS_PER_S)

#define DEADLINE_TEXT     "context deadline exceeded"
#define DEADLINE_SLACK_NS (20 * NS_PER_MS) /* gRPC's C core reckons from a time that it read some ms before */

typedef struct Link Link;
typedef TAILQ_HEAD(Calls, GrpcCall) Calls;
typedef TAILQ_HEAD(Links, Link) Links;

struct GrpcCall {
    TAILQ_ENTRY(GrpcCall) all;
    TAILQ_ENTRY(GrpcCall) queue;
    Calls *in; /* the client's waiting or ended; NULL = neither */
    GrpcClient *client;
    Link *link; /* of <on> */
    GrpcStream *on;
    GrpcMessage *message; /* NULL = unary */
    GrpcDone *done;
    void *arg;
    int64_t deadline_ns; /* of uv_hrtime(); INT64_MAX = none */
    /* While it waits for a connection. */
    char *path;
    Str bytes;
    StrVec metadata;
    bool wait_for_ready;
    /* When it ended on this side. */
    int code;
    char *text;
};

/* One connection. It lives until its handles are closed. */
struct Link {
    GrpcIo io;
    TAILQ_ENTRY(Link) at; /* in draining */
    GrpcClient *client;   /* NULL = closed */
    GrpcClient *held;
    GrpcConn *conn;
    uv_timer_t timer; /* SETTINGS in time, then keep-alive */
    bool ready, draining, doubt;
    unsigned handles;
    int64_t received_ns, pinged_ns; /* the last bytes; the last PING, 0 = none yet */
    bool pinging;                   /* nothing has come since that PING */
};

struct GrpcClient {
    uv_loop_t *loop;
    GrpcClientConfig c;
    char *path, *user_agent;
    Calls calls;   /* all, by deadline */
    Calls waiting; /* for a connection */
    Calls ended;   /* on this side: to be told */
    uv_timer_t deadline, retry;
    Link *link;     /* for new calls: connecting, or ready; NULL = waits for the next try */
    Links draining; /* the server said GOAWAY: open calls go on */
    bool trying;    /* a try is under way, or due in this turn */
    int64_t tried_ns, backoff_ns;
    char *why;      /* the last failure, as calls are told it */
    unsigned holds; /* handles and links that point here */
    bool freed;
};

static int64_t now_ns(void)
{
    return (int64_t)uv_hrtime();
}

/* Starts <t> for the moment <at_ns>; 0 = in the loop's next turn. Reckoned from the loop's time, which stands still
 * within a turn, and never 0 ms: libuv runs such a timer in the very turn that started it, and a caller who always
 * tries again would keep the loop there. */
static void timer_at(uv_timer_t *t, uv_timer_cb cb, int64_t at_ns)
{
    int64_t at_ms = at_ns / NS_PER_MS + 1, now_ms = (int64_t)uv_now(t->loop);
    (void)uv_timer_start(t, cb, at_ms > now_ms + 1 ? (uint64_t)(at_ms - now_ms) : 1, 0);
}

static void client_drop(GrpcClient *c)
{
    if (--c->holds)
        return;
    free(c->path);
    free(c->user_agent);
    free(c->why);
    free(c);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void call_queue(GrpcCall *call, Calls *to)
{
    if (call->in)
        TAILQ_REMOVE(call->in, call, queue);
    if (to)
        TAILQ_INSERT_TAIL(to, call, queue);
    call->in = to;
}

static void call_forget_request(GrpcCall *call)
{
    free(MOVE(call->path, NULL));
    str_done(&call->bytes);
    strvec_done(&call->metadata);
}

static void call_unlink(GrpcCall *call)
{
    call_queue(call, NULL);
    TAILQ_REMOVE(&call->client->calls, call, all);
}

static void call_free(GrpcCall *call)
{
    call_forget_request(call);
    free(call->text);
    free(call);
}

/* It ends on this side: told when this turn's callbacks are. */
static void call_end(GrpcCall *call, int code, const char *text)
{
    if (call->on)
        grpc_conn_cancel(MOVE(call->on, NULL));
    call->code = code;
    mem_set_str(&call->text, text);
    call_queue(call, &call->client->ended);
}

static void deliver_ended(GrpcClient *c)
{
    for (GrpcCall *call; !c->freed && (call = TAILQ_FIRST(&c->ended));) {
        GrpcResult r = {.code = call->code, .message = call->text};
        call_unlink(call);
        call->done(call->arg, &r);
        call_free(call);
    }
}

static void on_message(void *arg, const uint8_t *bytes, size_t n)
{
    GrpcCall *call = arg;
    call->message(call->arg, bytes, n);
}

static void on_done(void *arg, const GrpcResult *r)
{
    GrpcCall *call = arg;
    GrpcResult ours = {.code = GRPC_DEADLINE_EXCEEDED, .message = DEADLINE_TEXT};
    call->on = NULL;
    call_unlink(call);
    /* The server's clock for the same deadline was first: one deadline, one text. */
    bool late = (r->code == GRPC_DEADLINE_EXCEEDED || r->code == GRPC_CANCELLED) &&
                now_ns() >= call->deadline_ns - DEADLINE_SLACK_NS;
    call->done(call->arg, late ? &ours : r);
    call_free(call);
}

static void on_deadline(uv_timer_t *t);

static void arm_deadline(GrpcClient *c)
{
    const GrpcCall *first = TAILQ_FIRST(&c->calls);
    if (!TAILQ_EMPTY(&c->ended))
        timer_at(&c->deadline, on_deadline, 0);
    else if (first && first->deadline_ns != INT64_MAX)
        timer_at(&c->deadline, on_deadline, first->deadline_ns);
    else
        (void)uv_timer_stop(&c->deadline);
}

static void on_deadline(uv_timer_t *t)
{
    GrpcClient *c = t->data;
    int64_t now = now_ns();
    GrpcCall *call;
    TAILQ_FOREACH(call, &c->calls, all) {
        if (call->deadline_ns > now)
            break;
        Link *l = call->on ? call->link : NULL;
        if (call->in != &c->ended)
            call_end(call, GRPC_DEADLINE_EXCEEDED, DEADLINE_TEXT);
        if (l)
            grpc_io_flush(&l->io);
    }
    deliver_ended(c);
    if (!c->freed)
        arm_deadline(c);
}

/* --- keep-alive --------------------------------------------------------------------------------------------------- */

static void link_lost(Link *l, Err *e);
static void on_link_timer(uv_timer_t *t);

static int64_t keepalive_due(const Link *l)
{
    const GrpcClientConfig *c = &l->client->c;
    if (l->pinging)
        return l->pinged_ns + c->keepalive_timeout_ns;
    int64_t quiet = l->received_ns + c->keepalive_ns;
    int64_t apart = l->pinged_ns + (grpc_conn_idle_pings(l->conn) < PINGS_FREE ? PING_APART_NS : PING_APART_IDLE_NS);
    return l->pinged_ns && apart > quiet ? apart : quiet;
}

/* A call begins: if none was open, the peer had no reason to say anything until now. */
static void keepalive_wake(Link *l)
{
    if (!l->ready || uv_is_active((uv_handle_t *)&l->timer))
        return;
    l->received_ns = now_ns();
    timer_at(&l->timer, on_link_timer, keepalive_due(l));
}

static void keepalive(Link *l)
{
    bool due = now_ns() >= keepalive_due(l);
    if (!grpc_conn_n_calls(l->conn)) {
        l->pinging = l->doubt = false;
        return;
    }
    if (due && l->pinging && l->doubt) {
        link_lost(l, err_new(ERR_UNAVAILABLE, 0, "keepalive ping failed to receive ACK within timeout"));
        return;
    }
    /* This loop may have stood still: what has come meanwhile is read before the peer is called dead. */
    l->doubt = due && l->pinging;
    if (due && !l->pinging) {
        l->pinging = true;
        l->pinged_ns = now_ns();
        grpc_conn_ping(l->conn);
        grpc_io_flush(&l->io);
    }
    timer_at(&l->timer, on_link_timer, keepalive_due(l));
}

static void on_link_timer(uv_timer_t *t)
{
    Link *l = t->data;
    if (!l->client)
        return;
    if (l->ready)
        keepalive(l);
    else
        link_lost(l, err_new(ERR_UNAVAILABLE, 0, "context deadline exceeded"));
}

/* --- one connection ----------------------------------------------------------------------------------------------- */

static void link_drop(Link *l)
{
    if (--l->handles)
        return;
    grpc_conn_free(l->conn);
    client_drop(l->held);
    free(l);
}

static void on_timer_closed(uv_handle_t *h)
{
    link_drop(h->data);
}

static void on_io_closed(void *arg)
{
    link_drop(arg);
}

static void link_close(Link *l)
{
    GrpcClient *c = MOVE(l->client, NULL);
    if (!c)
        return;
    if (l->draining)
        TAILQ_REMOVE(&c->draining, l, at);
    else
        c->link = NULL;
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
    grpc_io_close(&l->io);
}

static void call_submit(GrpcCall *call, Link *l)
{
    int64_t left = call->deadline_ns == INT64_MAX ? 0 : call->deadline_ns - now_ns();
    GrpcRequest r = {.path = call->path,
                     .bytes = str_or(call->bytes.p, ""),
                     .n = call->bytes.n,
                     .timeout_ns = left < 0 ? 1 : left,
                     .metadata = (const char *const *)call->metadata.v};
    call->link = l;
    call->on = grpc_conn_call(l->conn, &r, call->message ? on_message : NULL, on_done, call);
    call_forget_request(call);
    keepalive_wake(l);
}

static void tell_state(GrpcClient *c, bool connected, const char *why)
{
    SCOPED(err_free) Err *e = why ? err_new(ERR_UNAVAILABLE, 0, "%s", why) : NULL;
    if (c->c.on_state)
        c->c.on_state(c->c.arg, connected, e);
}

/* Calls that wait for this try only; wait_for_ready waits on. */
static void fail_waiting(GrpcClient *c)
{
    GrpcCall *call, *next;
    for (call = TAILQ_FIRST(&c->waiting); call; call = next) {
        next = TAILQ_NEXT(call, queue);
        if (!call->wait_for_ready)
            call_end(call, GRPC_UNAVAILABLE, c->why);
    }
}

static void on_retry(uv_timer_t *t);

/* No connection for new calls any more: when to try again. A connection that lasted is replaced at once. */
static void schedule_retry(GrpcClient *c)
{
    int64_t now = now_ns(), jitter = (int64_t)(uv_hrtime() / 1000 % 401) - 200; /* of 1000: 20 % up or down */
    int64_t at = c->tried_ns + c->backoff_ns + c->backoff_ns / 1000 * jitter;
    c->trying = at <= now;
    timer_at(&c->retry, on_retry, at);
    c->backoff_ns = c->backoff_ns * 8 / 5 < BACKOFF_MAX_NS ? c->backoff_ns * 8 / 5 : BACKOFF_MAX_NS;
}

/* The connection for new calls is gone, or was not made: then that was what calls have waited for. */
static void client_disconnected(GrpcClient *c, bool was_made, const char *why)
{
    mem_set_str(&c->why, why);
    schedule_retry(c);
    if (!was_made || !c->trying)
        fail_waiting(c);
    tell_state(c, false, c->why);
    if (!c->freed)
        deliver_ended(c);
    if (!c->freed)
        arm_deadline(c);
}

static void link_lost(Link *l, Err *e)
{
    GrpcClient *c = l->client;
    bool current = c->link == l, ready = l->ready;
    const char *goaway = grpc_conn_goaway(l->conn);
    SCOPED(mem_free) char *cause = err_text(e), *why = NULL;
    err_free(e);
    if (str_starts(cause, "keepalive"))
        why = mem_dup_str(cause);
    else if (ready)
        why = mem_fmt("error reading from server: %s%s%s", cause, goaway ? ", received prior goaway: " : "",
                      str_or(goaway, ""));
    else
        why = mem_fmt("connection error: desc = \"error reading server preface: %s\"", cause);
    link_close(l);
    grpc_conn_fail(l->conn, GRPC_UNAVAILABLE, why);
    if (current) /* before its calls are told: they may call again */
        client_disconnected(c, ready, why);
    if (!c->freed)
        grpc_conn_deliver(l->conn);
}

static void link_ready(Link *l)
{
    GrpcClient *c = l->client;
    l->ready = true;
    c->trying = false;
    c->backoff_ns = BACKOFF_FIRST_NS;
    (void)uv_timer_stop(&l->timer);
    for (GrpcCall *call; (call = TAILQ_FIRST(&c->waiting));) {
        call_queue(call, NULL);
        call_submit(call, l);
    }
    tell_state(c, true, NULL);
}

/* GOAWAY: open calls go on here, new ones go elsewhere. */
static void link_drain(Link *l)
{
    GrpcClient *c = l->client;
    l->draining = true;
    c->link = NULL;
    TAILQ_INSERT_TAIL(&c->draining, l, at);
    SCOPED(mem_free)
    char *why = mem_fmt("the server is draining the connection: %s",
                        str_or(grpc_conn_goaway(l->conn), "stream numbers are used up"));
    client_disconnected(c, true, why);
}

/* After bytes came or went. Any callback may have closed the link. */
static void link_turn(void *arg)
{
    Link *l = arg;
    if (l->client && !l->ready && grpc_conn_ready(l->conn))
        link_ready(l);
    if (l->client)
        grpc_conn_deliver(l->conn);
    /* A session that we have ended takes no calls either: of that link_failed() hears. */
    bool drain = grpc_conn_draining(l->conn) && (grpc_conn_goaway(l->conn) || !l->io.over);
    if (l->client && l->ready && !l->draining && drain)
        link_drain(l);
    if (l->client && l->draining && !grpc_conn_n_calls(l->conn)) {
        grpc_io_farewell(&l->io);
        link_close(l);
    }
    if (l->client)
        grpc_io_flush(&l->io);
}

static void link_received(void *arg, const char *bytes, size_t n)
{
    Link *l = arg;
    l->received_ns = now_ns();
    l->pinging = false;
    Err *e = grpc_conn_recv(l->conn, bytes, n);
    grpc_io_flush(&l->io); /* with what nghttp2 has to say to it */
    if (e)
        link_lost(l, e);
    else
        link_turn(l);
}

static Err *link_pull(void *arg, Str *out)
{
    Link *l = arg;
    Err *e = grpc_conn_send(l->conn, out);
    if (!e && grpc_conn_pending(l->conn)) /* ended while sending: not told from within a call */
        grpc_io_later(&l->io);
    return e;
}

static void link_failed(void *arg, Err *e)
{
    link_lost(arg, e);
}

static const GrpcIoOps link_ops = {link_received, link_pull, link_turn, link_failed, on_io_closed};

static void link_open(GrpcClient *c, int fd)
{
    Link *l = NEW(Link);
    l->client = l->held = c;
    l->handles = 2; /* timer and io */
    l->conn = grpc_conn_new("localhost", c->user_agent, c->c.max_message);
    c->holds++;
    c->link = l;
    (void)uv_timer_init(c->loop, &l->timer);
    l->timer.data = l;
    timer_at(&l->timer, on_link_timer, now_ns() + CONNECT_TIMEOUT_NS);
    Err *e = grpc_io_open(&l->io, c->loop, fd, NULL, &link_ops, l);
    if (e)
        link_lost(l, e);
    else
        grpc_io_flush(&l->io);
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *t)
{
    GrpcClient *c = t->data;
    int fd;
    c->tried_ns = now_ns();
    c->trying = true;
    Err *e = unix_connect_now(c->path, &fd);
    if (!e) {
        link_open(c, fd);
        return;
    }
    SCOPED(mem_free) char *cause = err_errno(e) ? err_go_errno(err_errno(e)) : err_text(e);
    SCOPED(mem_free)
    char *why = mem_fmt("connection error: desc = \"transport: Error while dialing: dial unix %s: connect: %s\"",
                        c->path, cause);
    err_free(e);
    client_disconnected(c, false, why);
}

void grpc_client_connect_now(GrpcClient *c)
{
    if (c->link || c->trying)
        return;
    c->trying = true;
    timer_at(&c->retry, on_retry, 0);
}

bool grpc_client_connected(const GrpcClient *c)
{
    return c->link && c->link->ready;
}

/* --- public ------------------------------------------------------------------------------------------------------- */

/* The path of a target; NULL = not a unix socket's. */
static const char *path_of(const char *target)
{
    const char *path = str_starts(target, "unix://") ? target + 7 : str_starts(target, "unix:") ? target + 5 : target;
    return path[0] == '/' ? path : NULL;
}

Err *grpc_client_new(const GrpcClientConfig *config, GrpcClient **ret)
{
    const char *path = path_of(config->target);
    if (!path)
        return err_new(ERR_INVALID, 0, "%s is no address of a unix socket (unix:///path)", config->target);
    GrpcClient *c = NEW(GrpcClient);
    c->loop = config->loop;
    c->c = *config;
    c->c.target = c->c.user_agent = NULL; /* the caller's */
    c->c.keepalive_ns = config->keepalive_ns ? config->keepalive_ns : KEEPALIVE_NS;
    c->c.keepalive_timeout_ns = config->keepalive_timeout_ns ? config->keepalive_timeout_ns : KEEPALIVE_WAIT_NS;
    c->path = mem_dup_str(path);
    c->user_agent = mem_dup_str(str_or(config->user_agent, "grpc-c-reprise/" REPRISE_VERSION));
    c->backoff_ns = BACKOFF_FIRST_NS;
    TAILQ_INIT(&c->calls);
    TAILQ_INIT(&c->waiting);
    TAILQ_INIT(&c->ended);
    TAILQ_INIT(&c->draining);
    (void)uv_timer_init(c->loop, &c->deadline);
    (void)uv_timer_init(c->loop, &c->retry);
    c->deadline.data = c->retry.data = c;
    c->holds = 2;
    c->trying = true;
    timer_at(&c->retry, on_retry, 0);
    *ret = c;
    return NULL;
}

static void on_handle_closed(uv_handle_t *h)
{
    client_drop(h->data);
}

void grpc_client_free(GrpcClient *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    for (GrpcCall *call; (call = TAILQ_FIRST(&c->calls));)
        grpc_call_cancel(call);
    for (Link *l; (l = c->link ? c->link : TAILQ_FIRST(&c->draining));) {
        grpc_io_farewell(&l->io);
        link_close(l);
    }
    uv_close((uv_handle_t *)&c->deadline, on_handle_closed);
    uv_close((uv_handle_t *)&c->retry, on_handle_closed);
}

/* Sorted by deadline: most calls of a client have the same timeout, and go to the end. */
static void insert_call(GrpcClient *c, GrpcCall *call)
{
    GrpcCall *before = TAILQ_LAST(&c->calls, Calls);
    while (before && before->deadline_ns > call->deadline_ns)
        before = TAILQ_PREV(before, Calls, all);
    if (before)
        TAILQ_INSERT_AFTER(&c->calls, before, call, all);
    else
        TAILQ_INSERT_HEAD(&c->calls, call, all);
}

static void keep_request(GrpcCall *call, const GrpcRequest *r)
{
    call->path = mem_dup_str(r->path);
    call->wait_for_ready = r->wait_for_ready;
    str_add_n(&call->bytes, r->bytes, r->n);
    for (const char *const *m = r->metadata; m && *m; m++)
        strvec_add(&call->metadata, *m);
}

GrpcCall *grpc_client_stream(GrpcClient *c, const GrpcRequest *r, GrpcMessage *message, GrpcDone *done, void *arg)
{
    GrpcCall *call = NEW(GrpcCall);
    *call = (GrpcCall){.client = c, .message = message, .done = done, .arg = arg, .deadline_ns = INT64_MAX};
    if (r->timeout_ns > 0 && r->timeout_ns < INT64_MAX - now_ns())
        call->deadline_ns = now_ns() + r->timeout_ns;
    insert_call(c, call);
    Link *l = c->link;
    if (l && l->ready && !grpc_conn_draining(l->conn)) {
        call->link = l;
        call->on = grpc_conn_call(l->conn, r, message ? on_message : NULL, on_done, call);
        keepalive_wake(l);
        grpc_io_flush(&l->io);
        if (grpc_conn_pending(l->conn))
            grpc_io_later(&l->io);
    } else if (l || c->trying || r->wait_for_ready) {
        keep_request(call, r);
        call_queue(call, &c->waiting);
        if (l && l->ready) /* of no use any more, which link_turn() is to see */
            grpc_io_later(&l->io);
    } else {
        call_end(call, GRPC_UNAVAILABLE, c->why);
    }
    arm_deadline(c);
    return call;
}

GrpcCall *grpc_client_call(GrpcClient *c, const GrpcRequest *r, GrpcDone *done, void *arg)
{
    return grpc_client_stream(c, r, NULL, done, arg);
}

void grpc_call_cancel(GrpcCall *call)
{
    GrpcClient *c = call->client;
    GrpcStream *on = MOVE(call->on, NULL);
    Link *l = call->link;
    if (on)
        grpc_conn_cancel(on);
    call_unlink(call);
    call_free(call);
    if (on && !c->freed)
        grpc_io_flush(&l->io);
}
