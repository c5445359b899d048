/* Calls, what becomes of them, and the server. */
#include "cri_fake_priv.h"

#include "runtime/cri/containerd_events.pb-c.h"
#include "wire/pbjson.h"

typedef struct { CriFake *fake; CriMethod method; } Served;

static void call_free(FakeCall *c)
{
    str_done(&c->request);
    str_done(&c->answer);
    free(c->text);
    free(c->until_exit);
    free(c);
}

static void call_do(FakeCall *c)
{
    SCOPED(pbjson_free) ProtobufCMessage *q =
        protobuf_c_message_unpack(cri_methods[c->method].request, NULL, c->request.n, (const uint8_t *)str_or(c->request.p, ""));
    c->done = true;
    c->code = cri_fake_serves[c->method](c->fake, c, q, &c->answer, &c->text);
}

/* <c> is gone. */
static void call_answer(FakeCall *c)
{
    if (c->code == GRPC_OK)
        grpc_served_send(c->served, str_or(c->answer.p, ""), c->answer.n);
    grpc_served_finish(c->served, c->code, str_or(c->text, ""));
    call_free(c);
}

static void hold(FakeCall *c)
{
    *LIST_ADD(&c->fake->held) = c;
}

static FakeCall *unhold(CriFake *f, size_t i)
{
    FakeCall *c = f->held.v[i];
    memmove(&f->held.v[i], &f->held.v[i + 1], (f->held.n - i - 1) * sizeof f->held.v[0]);
    f->held.n--;
    return c;
}

void fake_stops_answered(CriFake *f, const char *id)
{
    for (size_t i = f->held.n; i-- > 0;)
        if (str_eq(f->held.v[i]->until_exit, id)) {
            FakeCall *c = unhold(f, i);
            c->code = GRPC_OK;
            call_answer(c);
        }
}

void cri_fake_release_at(CriFake *f, size_t i)
{
    FakeCall *c = unhold(f, i);
    if (!c->done)
        call_do(c);
    if (c->until_exit) /* its answer waits for something else */
        hold(c);
    else
        call_answer(c);
}

bool cri_fake_release(CriFake *f, CriMethod m)
{
    for (size_t i = 0; i < f->held.n; i++)
        if (f->held.v[i]->method == m) {
            cri_fake_release_at(f, i);
            return true;
        }
    return false;
}

void cri_fake_release_all(CriFake *f)
{
    for (size_t n = f->held.n; n-- > 0;)
        cri_fake_release_at(f, 0);
}

unsigned cri_fake_held(const CriFake *f, CriMethod m)
{
    unsigned n = 0;
    LIST_EACH(c, &f->held)
        n += (*c)->method == m && !(*c)->until_exit;
    return n;
}

void cri_fake_rule(CriFake *f, CriMethod m, unsigned skip, Fate fate, int code, const char *why)
{
    *LIST_ADD(&f->rules) = (FakeRule){.method = m, .skip = skip, .fate = fate, .code = code, .text = why};
}

void cri_fake_always(CriFake *f, CriMethod m, Fate fate, int code, const char *why)
{
    *LIST_ADD(&f->rules) = (FakeRule){.method = m, .fate = fate, .code = code, .text = why, .always = true};
}

static FakeRule rule_of(CriFake *f, CriMethod m)
{
    for (size_t i = 0; i < f->rules.n; i++) {
        FakeRule r = f->rules.v[i];
        if (r.method != m)
            continue;
        if (r.always)
            return r;
        if (r.skip) {
            f->rules.v[i].skip--;
            continue;
        }
        memmove(&f->rules.v[i], &f->rules.v[i + 1], (f->rules.n - i - 1) * sizeof r);
        f->rules.n--;
        return r;
    }
    return (FakeRule){.fate = f->hold_all ? FATE_HOLD : FATE_SERVE};
}

static void note(CriFake *f, CriMethod m, const uint8_t *bytes, size_t n)
{
    f->calls[m]++;
    if (f->last[m])
        protobuf_c_message_free_unpacked(f->last[m], NULL);
    f->last[m] = protobuf_c_message_unpack(cri_methods[m].request, NULL, n, bytes);
    if (m == CRI_PULL_IMAGE) {
        const Cri__PullImageRequest *q = (const Cri__PullImageRequest *)f->last[m];
        strvec_fmt(&f->pulls, "%s %s", q->image->image, q->auth ? q->auth->username : "-");
    }
}

static void lose(FakeCall *c)
{
    CriFake *f = c->fake;
    call_free(c); /* the server tells nobody of it: it is not held */
    cri_fake_down(f);
    cri_fake_up(f);
}

static void on_call(void *arg, GrpcServed *served, const uint8_t *bytes, size_t n)
{
    const Served *s = arg;
    CriFake *f = s->fake;
    FakeRule r = rule_of(f, s->method);
    note(f, s->method, bytes, n);
    FakeCall *c = NEW(FakeCall);
    *c = (FakeCall){.fake = f, .method = s->method, .served = served};
    str_add_n(&c->request, bytes, n);
    if (r.fate != FATE_FAIL && r.fate != FATE_HOLD_FIRST && r.fate != FATE_LOSE_FIRST)
        call_do(c);
    if (r.fate == FATE_FAIL || r.fate == FATE_FAIL_AFTER) {
        c->code = r.code;
        mem_set_str(&c->text, r.text);
    }
    if (r.fate == FATE_GARBAGE) {
        str_clear(&c->answer);
        str_add(&c->answer, "\377\377\377");
    }
    if (r.fate == FATE_TWICE)
        grpc_served_send(served, str_or(c->answer.p, ""), c->answer.n);
    if (r.fate == FATE_LOSE || r.fate == FATE_LOSE_FIRST)
        lose(c);
    else if (r.fate == FATE_HOLD || r.fate == FATE_HOLD_FIRST || c->until_exit)
        hold(c);
    else
        call_answer(c);
}

static void on_gone(void *arg, GrpcServed *served)
{
    CriFake *f = ((const Served *)arg)->fake;
    for (size_t i = f->held.n; i-- > 0;)
        if (f->held.v[i]->served == served)
            call_free(unhold(f, i));
}

static void on_stream(void *arg, GrpcServed *served, const uint8_t *bytes, size_t n)
{
    const Served *s = arg;
    CriFake *f = s->fake;
    bool cri = s->method == CRI_GET_CONTAINER_EVENTS;
    if (!(f->streams & (cri ? FAKE_CRI_EVENTS : FAKE_TASK_EVENTS))) {
        grpc_served_finish(served, GRPC_UNIMPLEMENTED, "unknown service");
        return;
    }
    if (cri) {
        *LIST_ADD(&f->cri_streams) = served;
        return;
    }
    Ctrd__SubscribeRequest *q = ctrd__subscribe_request__unpack(NULL, n, bytes);
    SCOPED(str_done) Str filters = {0};
    for (size_t i = 0; q && i < q->n_filters; i++)
        str_fmt(&filters, "%s ", q->filters[i]);
    mem_set_str(&f->taskfilter, filters.p);
    ctrd__subscribe_request__free_unpacked(q, NULL);
    *LIST_ADD(&f->task_streams) = served;
}

static void on_stream_gone(void *arg, GrpcServed *served)
{
    CriFake *f = ((const Served *)arg)->fake;
    for (size_t i = f->cri_streams.n; i-- > 0;)
        if (f->cri_streams.v[i] == served)
            f->cri_streams.v[i] = f->cri_streams.v[--f->cri_streams.n];
    for (size_t i = f->task_streams.n; i-- > 0;)
        if (f->task_streams.v[i] == served)
            f->task_streams.v[i] = f->task_streams.v[--f->task_streams.n];
}

void cri_fake_init(CriFake *f, uv_loop_t *loop)
{
    *f = (CriFake){.loop = loop, .dir = "/tmp/reprise-cri-XXXXXX", .streams = FAKE_TASK_EVENTS,
                   .now_ns = INT64_C(1700000000) * NS_PER_S};
    if (!mkdtemp(f->dir))
        abort();
    f->socket = mem_fmt("%s/s", f->dir);
    f->endpoint = mem_fmt("unix://%s", f->socket);
}

void cri_fake_up(CriFake *f)
{
    static Served served[CRI_METHOD_N + 1];
    GrpcMethod methods[CRI_METHOD_N + 2] = {0};
    size_t n = 0;
    for (size_t m = 0; m <= CRI_METHOD_N; m++) {
        served[m] = (Served){f, (CriMethod)m};
        bool stream = m == CRI_GET_CONTAINER_EVENTS || m == CRI_METHOD_N;
        if (!stream && !cri_fake_serves[m])
            continue;
        methods[n++] = (GrpcMethod){.path = m == CRI_METHOD_N ? "/containerd.services.events.v1.Events/Subscribe" : cri_methods[m].path,
                                    .handler = stream ? on_stream : on_call, .cancelled = stream ? on_stream_gone : on_gone,
                                    .arg = &served[m]};
    }
    GrpcServerConfig config = {.loop = f->loop, .socket = f->socket, .methods = methods, .max_message = 16 << 20};
    err_free(grpc_server_new(&config, &f->server));
}

void cri_fake_down(CriFake *f)
{
    grpc_server_free(MOVE(f->server, NULL));
}

void cri_fake_done(CriFake *f)
{
    cri_fake_down(f);
    LIST_EACH(s, &f->sandboxes)
        fake_sandbox_free(*s);
    LIST_EACH(c, &f->containers)
        fake_container_free(*c);
    for (size_t m = 0; m < CRI_METHOD_N; m++)
        if (f->last[m])
            protobuf_c_message_free_unpacked(f->last[m], NULL);
    free(f->sandboxes.v);
    free(f->containers.v);
    free(f->held.v);
    free(f->rules.v);
    free(f->cri_streams.v);
    free(f->task_streams.v);
    strvec_done(&f->pulls);
    free(f->taskfilter);
    free(f->socket);
    free(f->endpoint);
    err_free(fs_remove_tree(f->dir));
}
