#include "cli/cri_call.h"

#include <uv.h>

#include "base/clock.h"
#include "grpc/client.h"

struct CriPeer {
    uv_loop_t loop;
    uv_timer_t enough;
    GrpcClient *client;
};

typedef struct {
    const CriPeerCall *call;
    CriPeerAnswer *answer;
    bool done;
} Waiting;

const char *cri_endpoint(const CliArgs *a, bool images)
{
    const char *own = images ? cli_opt(a, "image-service-endpoint") : cli_opt(a, "container-runtime-endpoint");
    if (!own || !*own)
        own = getenv(images ? "IMAGE_SERVICE_ENDPOINT" : "CONTAINER_RUNTIME_ENDPOINT");
    if (own && *own)
        return own;
    return images ? cri_endpoint(a, false) : CRI_ENDPOINT_DEFAULT;
}

const char *cri_endpoint_path(const char *endpoint)
{
    const char *path = str_starts(endpoint, "unix://") ? endpoint + strlen("unix://") : endpoint;
    return *path == '/' ? path : NULL;
}

Err *cri_peer_open(const char *endpoint, CriPeer **ret)
{
    CriPeer *p = NEW(CriPeer);
    if (uv_loop_init(&p->loop) != 0) {
        free(p);
        return err_new(ERR_SYS, errno, "make an event loop");
    }
    (void)uv_timer_init(&p->loop, &p->enough);
    const GrpcClientConfig config = {.loop = &p->loop, .target = endpoint, .user_agent = "reprise/" REPRISE_VERSION};
    Err *e = grpc_client_new(&config, &p->client);
    if (e) {
        cri_peer_close(p);
        return e;
    }
    *ret = p;
    return NULL;
}

void cri_peer_close(CriPeer *p)
{
    if (!p)
        return;
    if (p->client)
        grpc_client_free(p->client);
    uv_close((uv_handle_t *)&p->enough, NULL);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT); /* its handles close */
    (void)uv_loop_close(&p->loop);
    free(p);
}

void cri_peer_answer_done(CriPeerAnswer *a)
{
    free(a->message);
    str_done(&a->bytes);
    *a = (CriPeerAnswer){0};
}

static void on_message(void *arg, const uint8_t *bytes, size_t n)
{
    Waiting *w = arg;
    w->answer->enough = w->answer->enough || !w->call->message(w->call->arg, bytes, n);
}

static void on_enough(uv_timer_t *t)
{
    Waiting *w = t->data;
    w->answer->enough = true;
}

static void on_done(void *arg, const GrpcResult *r)
{
    Waiting *w = arg;
    w->done = true;
    w->answer->code = r->code;
    w->answer->message = mem_dup_str(r->message);
    str_add_n(&w->answer->bytes, r->bytes, r->n);
}

void cri_peer_call(CriPeer *p, const CriPeerCall *c, CriPeerAnswer *ret)
{
    *ret = (CriPeerAnswer){0};
    Waiting w = {.call = c, .answer = ret};
    size_t n = c->request ? protobuf_c_message_get_packed_size(c->request) : 0;
    SCOPED(mem_free) uint8_t *bytes = mem_alloc(n);
    if (n)
        (void)protobuf_c_message_pack(c->request, bytes);
    const GrpcRequest request = {.path = c->path, .bytes = bytes, .n = n, .timeout_ns = c->timeout_ns};
    GrpcCall *call = c->message ? grpc_client_stream(p->client, &request, on_message, on_done, &w)
                                : grpc_client_call(p->client, &request, on_done, &w);
    p->enough.data = &w;
    if (c->enough_ns)
        (void)uv_timer_start(&p->enough, on_enough, (uint64_t)(c->enough_ns / NS_PER_MS), 0);
    while (!w.done && !ret->enough)
        (void)uv_run(&p->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&p->enough);
    if (!w.done) {
        grpc_call_cancel(call);
        ret->message = mem_dup_str("");
    }
}

Err *cri_peer_ask(CriPeer *p, const CriMethodInfo *m, const ProtobufCMessage *request, int64_t timeout_ns, ProtobufCMessage **ret)
{
    SCOPED(cri_peer_answer_done) CriPeerAnswer answer = {0};
    cri_peer_call(p, &(CriPeerCall){.path = m->path, .request = request, .timeout_ns = timeout_ns}, &answer);
    Err *e = grpc_status_err(answer.code, answer.message);
    if (e)
        return err_wrap(e, "%s", m->name);
    const uint8_t *bytes = (const uint8_t *)str_or(answer.bytes.p, "");
    *ret = protobuf_c_message_unpack(m->response, NULL, answer.bytes.n, bytes);
    return *ret ? NULL : err_new(ERR_INVALID, 0, "%s: the answer is no %s", m->name, m->response->short_name);
}
