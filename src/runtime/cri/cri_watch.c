/* cri_watch.c - how news comes. Two streams may tell of ends: CRI's own (GetContainerEvents: containerd from 1.7, CRI-O where it is
 * switched on), and containerd's task events, which its socket offers beside CRI. Whichever is first counts. Beside them everything
 * is listed again: every half minute while a stream lives, as a safety net; without one at least once a second, and at once, then
 * more and more slowly, after something was asked for. The kubelet's generic PLEG lists each second and no sooner. */
#include <stdio.h>

#include "base/clock.h"
#include "os/fs.h"
#include "runtime/cri/containerd_events.pb-c.h"
#include "runtime/cri/cri_priv.h"

#define LIST_FIRST_MS 5
#define LIST_SLOW_MS  1000  /* pleg.RelistPeriod of the kubelet's generic PLEG */
#define LIST_SAFETY_MS 30000
#define HURRY_MS 3000
/* A stream that ended is asked for again after this; one that the runtime does not have, never. */
#define STREAM_AGAIN_MS 1000
/* containerd publishes an end before CRI's records have it. */
#define ASK_AGAIN_MS 3
#define ASKS_MAX     2000 /* 6 s */

typedef struct {
    CriWatch *w;
    GrpcCall *call;
    uv_timer_t again;
    bool wanted;  /* by the configuration, and not known to be missing */
    bool live;    /* it has been answered, or has lived for a while */
    const char *path;
    GrpcMessage *message;
} Stream;

struct CriWatch {
    CriRuntime *rt;
    Stream cri, containerd;
    uv_timer_t timer;
    unsigned wait_ms;
    uint64_t hurry_until_ms; /* something has happened that no stream tells of again */
    unsigned listing;     /* answers of the list under way that are still to come */
    unsigned asking;      /* statuses under way */
    bool list_again;      /* asked for while one was under way */
    bool listed;          /* once, completely */
    bool failed;
    StrIndex named;       /* ids of the list under way */
    StrVec names;         /* owns its keys */
    uint64_t list;
    LIST_OF(struct Ask *) asks; /* under way, or waiting to be sent again */
    unsigned open_handles;
};

static void list_now(CriWatch *w);

static bool stream_lives(const CriWatch *w)
{
    return w->cri.live || w->containerd.live;
}

static void on_list_timer(uv_timer_t *t)
{
    list_now(t->data);
}

static void list_in(CriWatch *w, unsigned ms)
{
    uv_update_time(w->rt->loop);
    if (uv_is_active((uv_handle_t *)&w->timer) && uv_timer_get_due_in(&w->timer) <= ms)
        return;
    (void)uv_timer_start(&w->timer, on_list_timer, ms, 0);
}

void cri_watch_expect(CriRuntime *rt)
{
    CriWatch *w = rt->watch;
    if (!w || stream_lives(w))
        return;
    w->wait_ms = LIST_FIRST_MS;
    list_in(w, w->wait_ms);
}

/* CRI's records have it soon. */
static void hurry(CriWatch *w)
{
    w->wait_ms = LIST_FIRST_MS;
    w->hurry_until_ms = uv_now(w->rt->loop) + HURRY_MS;
    list_now(w);
}

/* --- one container's, one sandbox's status ----------------------------------------------------------------------------------- */

typedef struct Ask {
    CriRuntime *rt;
    char *id;
    uv_timer_t timer;
} Ask;

static void ask_freed(uv_handle_t *h)
{
    Ask *a = h->data;
    free(a->id);
    free(a);
}

static void ask_end(CriWatch *w, Ask *a)
{
    for (size_t i = 0; i < w->asks.n; i++)
        if (w->asks.v[i] == a)
            w->asks.v[i] = w->asks.v[--w->asks.n];
    w->asking--;
    uv_close((uv_handle_t *)&a->timer, ask_freed);
}

static void on_container_status(void *arg, int code, const ProtobufCMessage *answer, Err *err);

static void ask_send(Ask *a)
{
    Cri__ContainerStatusRequest q = CRI__CONTAINER_STATUS_REQUEST__INIT;
    q.container_id = a->id;
    cri_call(a->rt, CRI_CONTAINER_STATUS, &q, &(CriCallOptions){.repeat = true}, on_container_status, a);
}

static void on_ask_again(uv_timer_t *t)
{
    ask_send(t->data);
}

static void on_container_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Ask *a = arg;
    CriRuntime *rt = a->rt;
    const Cri__ContainerStatusResponse *r = (const Cri__ContainerStatusResponse *)answer;
    if (r)
        cri_saw_container(rt, NULL, r->status);
    else if (code == GRPC_NOT_FOUND)
        cri_container_gone(rt, a->id);
    err_free(err); /* the next list tells, at the latest */
    CriContainer *c = cri_container(rt, a->id);
    /* Its end was told by an event, and the runtime's records do not have it yet. */
    if (c && c->asks && c->fact.state != RUN_EXITED && c->asks < ASKS_MAX && !rt->closing) {
        c->asks++;
        (void)uv_timer_start(&a->timer, on_ask_again, ASK_AGAIN_MS, 0);
        return;
    }
    if (c) {
        c->asks = 0;
        c->asked = false;
    }
    ask_end(rt->watch, a);
}

static void ask(CriRuntime *rt, CriContainer *c)
{
    if (c->asked || !rt->watch)
        return;
    c->asked = true;
    rt->watch->asking++;
    Ask *a = NEW(Ask);
    *a = (Ask){.rt = rt, .id = mem_dup_str(c->fact.id), .timer.data = a};
    *LIST_ADD(&rt->watch->asks) = a;
    (void)uv_timer_init(rt->loop, &a->timer);
    ask_send(a);
}

/* It is known to have ended: asks until the runtime says so too. */
void cri_ask_container(CriRuntime *rt, const char *id)
{
    CriContainer *c = cri_container(rt, id);
    if (!c)
        return;
    c->asks = c->asks ? c->asks : 1;
    ask(rt, c);
}

typedef struct {
    CriRuntime *rt;
    char *id;
} SandboxAsk;

static void on_sandbox_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    SandboxAsk *a = arg;
    const Cri__PodSandboxStatusResponse *r = (const Cri__PodSandboxStatusResponse *)answer;
    CriSandbox *s = cri_sandbox(a->rt, a->id, NULL);
    if (s)
        s->asked = false;
    if (r)
        cri_saw_sandbox(a->rt, r->status);
    else if (code == GRPC_NOT_FOUND)
        cri_sandbox_gone(a->rt, a->id);
    err_free(err);
    if (a->rt->watch)
        a->rt->watch->asking--;
    free(a->id);
    free(a);
}

void cri_ask_sandbox(CriRuntime *rt, const char *id)
{
    CriSandbox *s = cri_sandbox(rt, id, NULL);
    if (!s || s->asked || !rt->watch)
        return;
    s->asked = true;
    rt->watch->asking++;
    SandboxAsk *a = NEW(SandboxAsk);
    *a = (SandboxAsk){.rt = rt, .id = mem_dup_str(id)};
    Cri__PodSandboxStatusRequest q = CRI__POD_SANDBOX_STATUS_REQUEST__INIT;
    q.pod_sandbox_id = a->id;
    cri_call(rt, CRI_POD_SANDBOX_STATUS, &q, &(CriCallOptions){.repeat = true}, on_sandbox_status, a);
}

/* --- lists --------------------------------------------------------------------------------------------------------------------- */

static void named_add(CriWatch *w, const char *id)
{
    if (strindex_get(&w->named, id))
        return;
    strvec_add(&w->names, id);
    strindex_add(&w->named, w->names.v[w->names.n - 1], w);
}

static void list_finish(CriWatch *w)
{
    if (--w->listing)
        return;
    if (!w->failed) {
        cri_sweep(w->rt, &w->named, w->list);
        w->listed = true;
    }
    strindex_done(&w->named);
    w->named = (StrIndex){0};
    strvec_done(&w->names);
    if (w->rt->closing)
        return;
    if (w->list_again) {
        w->list_again = false;
        list_now(w);
        return;
    }
    w->wait_ms = w->wait_ms * 2 < LIST_SLOW_MS ? w->wait_ms * 2 : LIST_SLOW_MS;
    list_in(w, stream_lives(w) && uv_now(w->rt->loop) > w->hurry_until_ms ? LIST_SAFETY_MS : w->wait_ms);
}

static void on_sandboxes(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    CriWatch *w = arg;
    (void)code;
    const Cri__ListPodSandboxResponse *r = (const Cri__ListPodSandboxResponse *)answer;
    w->failed = w->failed || err;
    err_free(err);
    for (size_t i = 0; r && i < r->n_items; i++) {
        named_add(w, r->items[i]->id);
        if (cri_listed_sandbox(w->rt, r->items[i]))
            cri_ask_sandbox(w->rt, r->items[i]->id);
    }
    list_finish(w);
}

static void on_containers(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    CriWatch *w = arg;
    (void)code;
    const Cri__ListContainersResponse *r = (const Cri__ListContainersResponse *)answer;
    w->failed = w->failed || err;
    err_free(err);
    for (size_t i = 0; r && i < r->n_containers; i++) {
        named_add(w, r->containers[i]->id);
        CriContainer *c = NULL;
        if (cri_listed_container(w->rt, r->containers[i]) && (c = cri_container(w->rt, r->containers[i]->id)))
            ask(w->rt, c);
    }
    list_finish(w);
}

/* Only ours: what others run here is none of our business. */
static void list_now(CriWatch *w)
{
    CriRuntime *rt = w->rt;
    if (w->listing) {
        w->list_again = true;
        return;
    }
    (void)uv_timer_stop(&w->timer);
    w->listing = 2;
    w->failed = false;
    w->list = ++rt->listed;
    char label[] = LABEL_ROOT;
    Cri__PodSandboxFilter__LabelSelectorEntry s = CRI__POD_SANDBOX_FILTER__LABEL_SELECTOR_ENTRY__INIT, *ss[] = {&s};
    Cri__PodSandboxFilter sf = CRI__POD_SANDBOX_FILTER__INIT;
    Cri__ListPodSandboxRequest sq = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
    s.key = label;
    s.value = rt->root;
    sf.n_label_selector = 1;
    sf.label_selector = ss;
    sq.filter = &sf;
    Cri__ContainerFilter__LabelSelectorEntry c = CRI__CONTAINER_FILTER__LABEL_SELECTOR_ENTRY__INIT, *cs[] = {&c};
    Cri__ContainerFilter cf = CRI__CONTAINER_FILTER__INIT;
    Cri__ListContainersRequest cq = CRI__LIST_CONTAINERS_REQUEST__INIT;
    c.key = label;
    c.value = rt->root;
    cf.n_label_selector = 1;
    cf.label_selector = cs;
    cq.filter = &cf;
    cri_call(rt, CRI_LIST_POD_SANDBOX, &sq, &(CriCallOptions){.wait = true}, on_sandboxes, w);
    cri_call(rt, CRI_LIST_CONTAINERS, &cq, &(CriCallOptions){.wait = true}, on_containers, w);
}

bool cri_watch_ready(const CriRuntime *rt)
{
    return rt->watch && rt->watch->listed && !rt->watch->asking;
}

/* --- streams --------------------------------------------------------------------------------------------------------------------- */

static void stream_open(Stream *s);

static void on_stream_again(uv_timer_t *t)
{
    stream_open(t->data);
}

static void on_stream_end(void *arg, const GrpcResult *r)
{
    Stream *s = arg;
    CriWatch *w = s->w;
    bool lived = s->live;
    s->call = NULL;
    s->live = false;
    if (r->code == GRPC_UNIMPLEMENTED) {
        s->wanted = false;
        (void)uv_timer_stop(&s->again);
        return;
    }
    /* What it would have told is in the lists. */
    if (lived)
        cri_watch_expect(w->rt);
    (void)uv_timer_start(&s->again, on_stream_again, STREAM_AGAIN_MS, 0);
}

/* It was not refused within a second. */
static void on_stream_lives(uv_timer_t *t)
{
    Stream *s = t->data;
    s->live = s->call != NULL;
}

static void stream_open(Stream *s)
{
    CriRuntime *rt = s->w->rt;
    if (!s->wanted || s->call || rt->closing || !grpc_client_connected(rt->client))
        return;
    Ctrd__SubscribeRequest q = CTRD__SUBSCRIBE_REQUEST__INIT;
    char starts[] = "topic==\"/tasks/start\"", exits[] = "topic==\"/tasks/exit\"", ooms[] = "topic==\"/tasks/oom\"";
    char *filters[] = {starts, exits, ooms};
    q.n_filters = ARRAY_LEN(filters);
    q.filters = filters;
    uint8_t bytes[128];
    size_t n = s == &s->w->containerd ? ctrd__subscribe_request__pack(&q, bytes) : 0; /* GetEventsRequest is empty */
    s->call = grpc_client_stream(rt->client, &(GrpcRequest){.path = s->path, .bytes = bytes, .n = n}, s->message, on_stream_end, s);
    (void)uv_timer_start(&s->again, on_stream_lives, STREAM_AGAIN_MS, 0);
}

static void on_cri_event(void *arg, const uint8_t *bytes, size_t n)
{
    Stream *s = arg;
    CriRuntime *rt = s->w->rt;
    Cri__ContainerEventResponse *e = cri__container_event_response__unpack(NULL, n, bytes);
    s->live = true;
    if (!e)
        return;
    const char *sandbox = e->pod_sandbox_status ? e->pod_sandbox_status->id : NULL;
    cri_saw_sandbox(rt, e->pod_sandbox_status);
    for (size_t i = 0; i < e->n_containers_statuses; i++)
        cri_saw_container(rt, sandbox, e->containers_statuses[i]);
    if (e->container_event_type == CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT) {
        cri_container_gone(rt, e->container_id);
        cri_sandbox_gone(rt, e->container_id); /* told in the same way */
    }
    cri__container_event_response__free_unpacked(e, NULL);
}

static int64_t moment_of(const Ctrd__Timestamp *t)
{
    return t ? t->seconds * NS_PER_S + t->nanos : os_now_ns();
}

static void on_task_exit(CriRuntime *rt, const Ctrd__TaskExit *x)
{
    if (!str_eq(x->container_id, x->id))
        return; /* of an exec */
    CriContainer *c = cri_container(rt, x->container_id);
    if (c)
        cri_saw_exit(rt, c, x->exit_status, moment_of(x->exited_at));
    else if (cri_sandbox(rt, x->container_id, NULL))
        hurry(rt->watch);
}

static void on_exit_event(CriRuntime *rt, const Ctrd__Envelope *e)
{
    Ctrd__TaskExit *x = ctrd__task_exit__unpack(NULL, e->event->value.len, e->event->value.data);
    if (x)
        on_task_exit(rt, x);
    ctrd__task_exit__free_unpacked(x, NULL);
}

static void on_start_event(CriRuntime *rt, const Ctrd__Envelope *e)
{
    Ctrd__TaskStart *x = ctrd__task_start__unpack(NULL, e->event->value.len, e->event->value.data);
    CriContainer *c = x ? cri_container(rt, x->container_id) : NULL;
    if (c)
        cri_saw_start(rt, c, moment_of(e->timestamp));
    ctrd__task_start__free_unpacked(x, NULL);
}

static void on_oom_event(CriRuntime *rt, const Ctrd__Envelope *e)
{
    Ctrd__TaskOOM *x = ctrd__task_oom__unpack(NULL, e->event->value.len, e->event->value.data);
    CriContainer *c = x ? cri_container(rt, x->container_id) : NULL;
    if (c)
        cri_saw_oom(rt, c);
    ctrd__task_oom__free_unpacked(x, NULL);
}

static void on_task_event(void *arg, const uint8_t *bytes, size_t n)
{
    static const struct {
        const char *topic;
        void (*fn)(CriRuntime *rt, const Ctrd__Envelope *e);
    } rows[] = {{"/tasks/start", on_start_event}, {"/tasks/exit", on_exit_event}, {"/tasks/oom", on_oom_event}};
    Stream *s = arg;
    Ctrd__Envelope *e = ctrd__envelope__unpack(NULL, n, bytes);
    s->live = true;
    for (size_t i = 0; e && e->event && i < ARRAY_LEN(rows); i++)
        if (str_eq(e->topic, rows[i].topic))
            rows[i].fn(s->w->rt, e);
    ctrd__envelope__free_unpacked(e, NULL);
}

/* --- the whole ---------------------------------------------------------------------------------------------------------------------- */

void cri_watch_list(CriRuntime *rt)
{
    if (rt->watch)
        list_now(rt->watch);
}

void cri_watch_connected(CriRuntime *rt, bool connected)
{
    CriWatch *w = rt->watch;
    if (!w || !connected)
        return;
    stream_open(&w->cri);
    stream_open(&w->containerd);
    list_now(w);
}

static void stream_init(CriWatch *w, Stream *s, bool wanted, const char *path, GrpcMessage *message)
{
    *s = (Stream){.w = w, .wanted = wanted, .path = path, .message = message, .again.data = s};
    (void)uv_timer_init(w->rt->loop, &s->again);
}

void cri_watch_start(CriRuntime *rt, CriEvents events)
{
    CriWatch *w = NEW(CriWatch);
    *w = (CriWatch){.rt = rt, .timer.data = w, .wait_ms = LIST_FIRST_MS, .open_handles = 3};
    rt->watch = w;
    (void)uv_timer_init(rt->loop, &w->timer);
    stream_init(w, &w->cri, events == CRI_EVENTS_AUTO || events == CRI_EVENTS_CRI,
                cri_methods[CRI_GET_CONTAINER_EVENTS].path, on_cri_event);
    stream_init(w, &w->containerd, events == CRI_EVENTS_AUTO || events == CRI_EVENTS_CONTAINERD,
                "/containerd.services.events.v1.Events/Subscribe", on_task_event);
    if (grpc_client_connected(rt->client))
        cri_watch_connected(rt, true);
}

static void watch_closed(uv_handle_t *h)
{
    CriWatch *w = h->data;
    if (--w->open_handles)
        return;
    strindex_done(&w->named);
    strvec_done(&w->names);
    free(w->asks.v);
    free(w);
}

void cri_watch_stop(CriRuntime *rt)
{
    CriWatch *w = MOVE(rt->watch, NULL);
    if (!w)
        return;
    while (w->asks.n) /* their calls have been cancelled: those that wait to be sent again */
        ask_end(w, w->asks.v[0]);
    Stream *streams[] = {&w->cri, &w->containerd};
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        if (streams[i]->call)
            grpc_call_cancel(MOVE(streams[i]->call, NULL));
        streams[i]->again.data = w;
        uv_close((uv_handle_t *)&streams[i]->again, watch_closed);
    }
    uv_close((uv_handle_t *)&w->timer, watch_closed);
}
