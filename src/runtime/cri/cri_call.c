#include "base/clock.h"
#include "runtime/cri/cri_priv.h"

/* A call that is safe to repeat is sent again this often when the connection is lost under it. */
#define TRIES_MAX 8
/* Of one Pod's calls that set its shim to work. With some dozens at the same time, containerd's shim (1.6.20, 2.4.2) can lock up for 2 s,
 * 10 s and more, and says "get state: context deadline exceeded"; with 8 of 50 containers it never did, and was as fast. */
#define AT_ONCE_MAX 8

struct CriCall {
    CriCall *next;
    CriRuntime *rt;
    const CriMethodInfo *method;
    Str request;
    CriCallOptions options;
    int64_t timeout_ns;
    unsigned tries;
    GrpcCall *call;
    char *turn; /* whose calls wait for each other; NULL = it is sent at once */
    bool waits; /* for its turn: not sent yet */
    CriReply *reply;
    void *arg;
};

/* Words that need a place on the loop, but no call. */
typedef struct {
    uv_timer_t timer;
    CriRuntime *rt;
    void (*fn)(void *arg, bool cancelled);
    void *arg;
} Later;

bool cri_in_doubt(int code)
{
    return code == GRPC_UNAVAILABLE || code == GRPC_DEADLINE_EXCEEDED || code == GRPC_CANCELLED || code == GRPC_INTERNAL ||
           code == GRPC_ABORTED;
}

static void unlink_call(CriCall *c)
{
    for (CriCall **at = &c->rt->calls; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            return;
        }
}

static void send_call(CriCall *c);

static unsigned under_way(const CriRuntime *rt, const char *turn)
{
    unsigned n = 0;
    for (const CriCall *c = rt->calls; c; c = c->next)
        n += c->turn && !c->waits && str_eq(c->turn, turn);
    return n;
}

/* The oldest that waits: new ones are put in front. */
static void send_next(CriRuntime *rt, const char *turn)
{
    CriCall *next = NULL;
    for (CriCall *c = rt->calls; c; c = c->next)
        next = c->waits && str_eq(c->turn, turn) ? c : next;
    if (!next || rt->closing)
        return;
    next->waits = false;
    send_call(next);
}

static void finish(CriCall *c, int code, const ProtobufCMessage *answer, Err *err)
{
    unlink_call(c);
    if (c->turn && !c->waits)
        send_next(c->rt, c->turn);
    if (err && code == GRPC_UNIMPLEMENTED)
        err = err_wrap(err, "%s does not have %s", str_or(c->rt->name, "the container runtime"), c->method->name);
    c->reply(c->arg, code, answer, err);
    str_done(&c->request);
    free(c->turn);
    free(c);
}

static void on_done(void *arg, const GrpcResult *r);

static void send_call(CriCall *c)
{
    GrpcRequest r = {
        .path = c->method->path,
        .bytes = str_or(c->request.p, ""),
        .n = c->request.n,
        .timeout_ns = c->timeout_ns,
        .wait_for_ready = c->options.repeat || c->options.wait,
    };
    c->tries++;
    c->call = grpc_client_call(c->method->image ? c->rt->images : c->rt->client, &r, on_done, c);
}

static void on_done(void *arg, const GrpcResult *r)
{
    CriCall *c = arg;
    c->call = NULL;
    if (r->code == GRPC_UNAVAILABLE && c->options.repeat && c->tries < TRIES_MAX) {
        send_call(c);
        return;
    }
    if (r->code != GRPC_OK) {
        finish(c, r->code, NULL, grpc_status_err(r->code, r->message));
        return;
    }
    ProtobufCMessage *answer = protobuf_c_message_unpack(c->method->response, NULL, r->n, r->bytes);
    if (!answer) {
        finish(c, GRPC_INTERNAL, NULL,
               err_new(ERR_INVALID, 0, "%s: the answer of %s is no %s", c->method->name, str_or(c->rt->name, "the runtime"),
                       c->method->response->short_name));
        return;
    }
    finish(c, GRPC_OK, answer, NULL);
    protobuf_c_message_free_unpacked(answer, NULL);
}

void cri_call(CriRuntime *rt, CriMethod m, const void *request, const CriCallOptions *options, CriReply *reply, void *arg)
{
    CriCall *c = NEW(CriCall);
    *c = (CriCall){.rt = rt, .method = &cri_methods[m], .reply = reply, .arg = arg, .next = rt->calls};
    if (options)
        c->options = *options;
    /* The table's times are for the kubelet's default of two minutes. */
    int64_t usual = cri_method_timeout_ns(c->method, request);
    bool scaled = rt->request_timeout_ns && usual && c->method->timeout_ns;
    c->timeout_ns = c->options.timeout_ns ? c->options.timeout_ns
                    : scaled              ? usual - c->method->timeout_ns + rt->request_timeout_ns * (c->method->timeout_ns / (120 * NS_PER_S))
                                          : usual;
    size_t n = protobuf_c_message_get_packed_size(request);
    uint8_t *bytes = mem_alloc(n + 1);
    str_add_n(&c->request, bytes, protobuf_c_message_pack(request, bytes));
    free(bytes);
    c->turn = mem_dup_str(c->options.turn);
    c->options.turn = NULL; /* the caller's */
    c->waits = c->turn && under_way(rt, c->turn) >= AT_ONCE_MAX;
    rt->calls = c;
    if (!c->waits)
        send_call(c);
}

void cri_calls_cancel(CriRuntime *rt)
{
    while (rt->calls) {
        CriCall *c = rt->calls;
        if (c->call)
            grpc_call_cancel(MOVE(c->call, NULL));
        finish(c, GRPC_CANCELLED, NULL, err_new(ERR_UNAVAILABLE, 0, "the runtime is closing"));
    }
}

void *cri_request_copy(const void *request)
{
    SCOPED(mem_free) uint8_t *bytes = mem_alloc(protobuf_c_message_get_packed_size(request) + 1);
    size_t n = protobuf_c_message_pack(request, bytes);
    void *copy = protobuf_c_message_unpack(((const ProtobufCMessage *)request)->descriptor, NULL, n, bytes);
    if (!copy)
        abort(); /* out of memory */
    return copy;
}

Err *cri_refused(const Runtime *rt)
{
    return ((const CriRuntime *)rt)->closing ? err_new(ERR_UNAVAILABLE, 0, "the runtime is closing") : NULL;
}

static void later_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_later(uv_timer_t *t)
{
    Later *l = t->data;
    for (size_t i = 0; i < l->rt->later.n; i++)
        if (l->rt->later.v[i] == l)
            l->rt->later.v[i] = l->rt->later.v[--l->rt->later.n];
    l->fn(l->arg, false);
    uv_close((uv_handle_t *)t, later_closed);
}

void cri_later(CriRuntime *rt, uint64_t ms, void (*fn)(void *arg, bool cancelled), void *arg)
{
    Later *l = NEW(Later);
    *l = (Later){.rt = rt, .fn = fn, .arg = arg, .timer.data = l};
    (void)uv_timer_init(rt->loop, &l->timer);
    (void)uv_timer_start(&l->timer, on_later, ms, 0);
    *LIST_ADD(&rt->later) = l;
}

void cri_later_cancel(CriRuntime *rt)
{
    while (rt->later.n) {
        Later *l = rt->later.v[--rt->later.n];
        l->fn(l->arg, true);
        uv_close((uv_handle_t *)&l->timer, later_closed);
    }
    free(rt->later.v);
    rt->later.v = NULL;
}
