/* watch.c - GET with ?watch: events of the store as lines of JSON.
 *
 * The store says once that a watch has something, from within a write; the events are read in the next turn of the loop, by all watches
 * that have some. What they send is made once for each form and shared: a thousand watchers of one kind cost one encoding an event.
 *
 * A client that reads slowly fills its stream's queue; then its watch stands still in the store's history. It goes on when the queue is
 * sent, or ends with 410 when the history has forgotten what comes next: nobody waits for anybody. */
#include "apiserver/watch.h"

#include <sys/random.h>

#include "apiserver/events_v1.h"
#include "base/clock.h"
#include "os/fs.h"

#define QUEUE_MAX ((size_t)1 << 20)
#define BUDGET 64              /* events of one watch in a turn: then the others */
#define TURN_NS 5000000        /* of all of them together: then other work */
#define MIN_TIMEOUT_S 1800     /* kube-apiserver's --min-request-timeout: 1 to 2 times this without timeoutSeconds */
#define BOOKMARK_MS 60000      /* about a minute between bookmarks, as the watch cache's */
#define LAST_BOOKMARK_MS 2000  /* and one before the end */

struct ApiWatch {
    ApiServer *s;
    ApiCall *call;
    HttpStream *stream; /* NULL: gone or ended */
    ObjWatch *w;
    ListOptions o;
    Selection sel;
    bool all; /* nothing is selected from */
    TableOptions table;
    HttpBuf *pending; /* made, and the queue was full */
    bool queued, ending; /* is in the server's ready list; only <pending> is still to be sent */
    bool bookmark_due;
    uv_timer_t timer;
    uint64_t end_ms, bookmark_ms; /* of the loop's clock */
    ApiWatch *next, **at;         /* of s->watches */
    ApiWatch *next_ready;
};

/* --- one encoding for all ----------------------------------------------------------------------------------------- */

typedef struct { ObjEventType type; KubeKindId kind; MediaAs as; IncludeObject include; bool v1beta1, no_headers; int64_t rv; } Form;
#define ROUND 128
typedef struct {
    struct { ObjItem *item; Form form; HttpBuf *buf; } made[ROUND];
    struct { ObjItem *item; json_t *o; } parsed[ROUND];
    size_t n_made, n_parsed; /* counted on; the place is modulo ROUND */
} Round;

static void round_done(Round *r)
{
    for (size_t i = 0; i < ROUND; i++) {
        objitem_unref(r->made[i].item);
        http_buf_unref(r->made[i].buf);
        objitem_unref(r->parsed[i].item);
        json_decref(r->parsed[i].o);
    }
}

/* Borrowed until ROUND more were asked for. */
static const json_t *parsed(Round *r, const ObjItem *item)
{
    for (size_t i = 0; i < ROUND && r->parsed[i].item; i++)
        if (r->parsed[i].item == item)
            return r->parsed[i].o;
    size_t at = r->n_parsed++ % ROUND;
    objitem_unref(r->parsed[at].item);
    json_decref(r->parsed[at].o);
    r->parsed[at].item = objitem_ref(item);
    r->parsed[at].o = objitem_json(item);
    return r->parsed[at].o;
}

static bool same_form(const Form *a, const Form *b)
{
    return a->type == b->type && a->kind == b->kind && a->as == b->as && a->include == b->include && a->v1beta1 == b->v1beta1 &&
           a->no_headers == b->no_headers && a->rv == b->rv;
}

static const char *const type_names[] = {[OBJ_ADDED] = "ADDED", [OBJ_MODIFIED] = "MODIFIED", [OBJ_DELETED] = "DELETED",
                                         [OBJ_BOOKMARK] = "BOOKMARK"};

/* The object of an event in the form of the watch. */
static json_t *formed(const ApiWatch *w, const json_t *o)
{
    const MediaChoice *a = &w->call->accept;
    const KubeKind *k = w->call->kr.kind;
    TableOptions t = w->table;
    t.now_ns = os_now_ns();
    if (a->as == AS_TABLE)
        return kube_table_one(k, o, &t);
    if (a->as == AS_PARTIAL)
        return kube_partial(o, a->v1beta1);
    return k->id == KUBE_EVENTS_V1 ? event_to_events_v1(o) : json_incref((json_t *)(uintptr_t)o);
}

static HttpBuf *line(const char *type, const char *text, size_t n)
{
    Str s = {0};
    str_fmt(&s, "{\"type\":\"%s\",\"object\":", type);
    str_add_n(&s, text, n);
    str_add(&s, "}\n");
    return http_buf_take(&s);
}

static HttpBuf *line_of_json(const char *type, const json_t *o)
{
    SCOPED(mem_free) char *text = json_text(o, false);
    return line(type, text, strlen(text));
}

/* <rv> is the event's: what a selector has lost is told as it was, under that number. */
static HttpBuf *encode(ApiWatch *w, Round *r, const ObjItem *item, ObjEventType type, int64_t rv)
{
    bool plain = w->call->accept.as == AS_IS && w->call->kr.kind->id != KUBE_EVENTS_V1;
    if (plain && item->rv == rv)
        return line(type_names[type], item->text, item->n);
    json_t *o = item->rv == rv ? json_incref((json_t *)(uintptr_t)parsed(r, item)) : objitem_json(item);
    if (item->rv != rv) {
        SCOPED(mem_free) char *text = mem_fmt("%lld", (long long)rv);
        json_object_set_new(json_object_get(o, "metadata"), "resourceVersion", json_string(text));
    }
    json_t *out = formed(w, o);
    HttpBuf *b = line_of_json(type_names[type], out);
    json_decref(out);
    json_decref(o);
    return b;
}

/* A reference. */
static HttpBuf *shared(ApiWatch *w, Round *r, const ObjItem *item, ObjEventType type, int64_t rv)
{
    const MediaChoice *a = &w->call->accept;
    Form f = {type, w->call->kr.kind->id, a->as, w->table.include, a->v1beta1, w->table.no_headers, rv};
    HttpBuf *b = NULL;
    for (size_t i = 0; !b && i < ROUND && r->made[i].item; i++)
        if (r->made[i].item == item && same_form(&r->made[i].form, &f))
            b = http_buf_ref(r->made[i].buf);
    if (!b) {
        size_t at = r->n_made++ % ROUND;
        b = encode(w, r, item, type, rv);
        objitem_unref(r->made[at].item);
        http_buf_unref(r->made[at].buf);
        r->made[at].item = objitem_ref(item);
        r->made[at].form = f;
        r->made[at].buf = http_buf_ref(b);
    }
    w->table.no_headers = true;
    return b;
}

/* --- what a watch sends -------------------------------------------------------------------------------------------- */

static bool matches(ApiWatch *w, Round *r, const ObjItem *item)
{
    int key = selection_key(&w->sel, item);
    return key == 1 ? selection_has(&w->sel, parsed(r, item)) : key != 0;
}

/* The line for an event, NULL when it is none of this watch's. A selector makes arrivals and departures of changes. */
static HttpBuf *event_line(ApiWatch *w, Round *r, const ObjEvent *ev)
{
    ObjEventType type = ev->type;
    const ObjItem *item = ev->item;
    if (!w->all) {
        bool is = matches(w, r, ev->item), was = ev->prev && matches(w, r, ev->prev);
        if (ev->type == OBJ_ADDED ? !is : ev->type == OBJ_DELETED ? !was : !is && !was)
            return NULL;
        if (ev->type == OBJ_MODIFIED && is != was) {
            type = is ? OBJ_ADDED : OBJ_DELETED;
            item = is ? ev->item : ev->prev;
        }
    }
    return shared(w, r, item, type, ev->rv);
}

static HttpBuf *bookmark_line(ApiWatch *w, int64_t rv, bool initial_end)
{
    const KubeKind *k = w->call->kr.kind;
    SCOPED(mem_free) char *text = mem_fmt("%lld", (long long)rv);
    json_t *meta = json_pack("{s:s}", "resourceVersion", text);
    if (initial_end)
        json_object_set_new(meta, "annotations", json_pack("{s:s}", "k8s.io/initial-events-end", "true"));
    SCOPED(json_unref) json_t *o = json_pack("{s:s, s:s, s:o}", "kind", k->kind, "apiVersion", "v1", "metadata", meta);
    SCOPED(json_unref) json_t *out = formed(w, o);
    w->table.no_headers = true;
    return line_of_json("BOOKMARK", out);
}

static HttpBuf *error_line(Err *e /* taken */)
{
    SCOPED(err_free) Err *mine = e;
    SCOPED(json_unref) json_t *status = kube_status_of(mine, (KubeRef){0});
    return line_of_json("ERROR", status);
}

static void watch_free(ApiWatch *w);

/* The client gets its last line, if it can still take it, and the end. */
static void watch_end(ApiWatch *w)
{
    HttpStream *s = MOVE(w->stream, NULL);
    if (s)
        http_stream_end(s);
    watch_free(w);
}

/* false: the queue is full, <pending> waits. */
static bool flush(ApiWatch *w)
{
    if (!w->pending)
        return true;
    if (!http_stream_send(w->stream, w->pending))
        return false;
    http_buf_unref(MOVE(w->pending, NULL));
    return true;
}

static void make_ready(ApiWatch *w);

/* Fills <pending> with the next line; false: there is nothing more now. */
static bool next_line(ApiWatch *w, Round *r)
{
    ObjEvent ev;
    switch (objwatch_next(w->w, &ev)) {
    case OBJ_EVENT:
        w->pending = ev.type == OBJ_BOOKMARK ? bookmark_line(w, ev.rv, true) : event_line(w, r, &ev);
        return true;
    case OBJ_GONE:
        w->pending = error_line(objwatch_gone(w->w));
        w->ending = true;
        return true;
    case OBJ_NONE:
        break;
    }
    int64_t rv = objwatch_rv(w->w);
    if (!w->bookmark_due || !rv)
        return false;
    w->bookmark_due = false;
    w->pending = bookmark_line(w, rv, false);
    return true;
}

/* true: it is over, and freed. */
static bool drain(ApiWatch *w, Round *r)
{
    for (unsigned i = 0; i < BUDGET; i++) {
        if (!flush(w))
            return false; /* on_drained() goes on */
        if (w->ending) {
            watch_end(w);
            return true;
        }
        if (!next_line(w, r))
            return false;
    }
    make_ready(w);
    return false;
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static void on_turn(uv_idle_t *h);

static void turn_on(ApiServer *s)
{
    if (s->turn_active || !s->ready)
        return;
    s->turn_active = true;
    uv_idle_start(s->turn, on_turn);
}

/* Those that had no time come first in the next turn. */
static void go_on_later(ApiServer *s)
{
    ApiWatch **end = &s->draining;
    while (*end)
        end = &(*end)->next_ready;
    *end = s->ready;
    s->ready = MOVE(s->draining, NULL);
    turn_on(s);
}

static void on_turn(uv_idle_t *h)
{
    ApiServer *s = h->data;
    Round *r = NEW(Round);
    uint64_t until = uv_hrtime() + TURN_NS;
    uv_idle_stop(h);
    s->turn_active = false;
    s->draining = MOVE(s->ready, NULL);
    while (s->draining && uv_hrtime() < until) {
        ApiWatch *w = s->draining;
        s->draining = w->next_ready; /* one that is freed meanwhile takes itself out of this list */
        w->queued = false;
        (void)drain(w, r);
    }
    go_on_later(s);
    round_done(r);
    free(r);
}

static void make_ready(ApiWatch *w)
{
    ApiServer *s = w->s;
    if (w->queued || !w->stream)
        return;
    w->queued = true;
    w->next_ready = s->ready;
    s->ready = w;
    turn_on(s);
}

static void take_out(ApiWatch **list, ApiWatch *w)
{
    for (; *list; list = &(*list)->next_ready)
        if (*list == w) {
            *list = w->next_ready;
            return;
        }
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

static void watch_free(ApiWatch *w)
{
    ApiServer *s = w->s;
    *w->at = w->next;
    if (w->next)
        w->next->at = w->at;
    s->n_watches--;
    if (w->queued) {
        take_out(&s->ready, w);
        take_out(&s->draining, w);
    }
    objwatch_close(w->w);
    http_buf_unref(w->pending);
    list_options_done(&w->o);
    api_call_free(w->call);
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

static void on_ready(void *arg) { make_ready(arg); }

static void on_drained(void *arg)
{
    ApiWatch *w = arg;
    if (w->stream)
        make_ready(w);
}

static void on_stream_gone(void *arg)
{
    ApiWatch *w = arg;
    w->stream = NULL;
    watch_free(w);
}

static const HttpStreamOps stream_ops = {on_drained, on_stream_gone};

static void on_timer(uv_timer_t *h);

static void arm(ApiWatch *w)
{
    uint64_t now = uv_now(w->s->loop), at = w->o.allow_bookmarks && w->bookmark_ms < w->end_ms ? w->bookmark_ms : w->end_ms;
    uv_timer_start(&w->timer, on_timer, at > now ? at - now : 0, 0);
}

static void on_timer(uv_timer_t *h)
{
    ApiWatch *w = h->data;
    uint64_t now = uv_now(w->s->loop);
    if (now >= w->end_ms) {
        watch_end(w);
        return;
    }
    w->bookmark_due = true;
    w->bookmark_ms += BOOKMARK_MS;
    if (w->bookmark_ms + LAST_BOOKMARK_MS > w->end_ms)
        w->bookmark_ms = w->end_ms > now + 2 * LAST_BOOKMARK_MS ? w->end_ms - LAST_BOOKMARK_MS : w->end_ms;
    make_ready(w);
    arm(w);
}

static uint64_t timeout_ms(const ListOptions *o)
{
    uint16_t random = 0;
    if (o->timeout_seconds.set && o->timeout_seconds.v > 0)
        return (uint64_t)(o->timeout_seconds.v < INT32_MAX ? o->timeout_seconds.v : INT32_MAX) * 1000;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = 0;
    return MIN_TIMEOUT_S * 1000 + (uint64_t)random * MIN_TIMEOUT_S * 1000 / UINT16_MAX;
}

static Err *open_watch(ApiWatch *w, int64_t rv)
{
    const KubeRequest *r = &w->call->kr;
    OptBool said = w->o.send_initial_events;
    bool initial = said.set ? said.v : rv == 0; /* from no version: what there is, first */
    ObjWatching q = {.resource = api_store_resource(r->kind), .namespace_ = r->namespace_,
                     .name = field_selector_exact(&w->o.fields, "metadata.name"), .from = rv, .initial = initial, .initial_end = said.set && initial && w->o.allow_bookmarks,
                     .ready = on_ready, .arg = w};
    return objstore_watch(w->s->store, &q, &w->w);
}

static void start(ApiCall *c, ApiWatch *w, int64_t rv)
{
    ApiServer *s = c->s;
    HttpHeader h[API_HEADERS];
    SCOPED(strvec_done) StrVec mem = {0};
    size_t n = api_headers(c, "application/json", h, &mem);
    HttpRequest *r = MOVE(c->req, NULL);
    http_set_data(r, NULL);
    w->call = c;
    c->kept = true;
    w->next = s->watches;
    w->at = &s->watches;
    if (w->next)
        w->next->at = &w->next;
    s->watches = w;
    s->n_watches++;
    uv_timer_init(s->loop, &w->timer);
    w->timer.data = w;
    w->stream = http_stream(r, 200, h, n, QUEUE_MAX, &stream_ops, w);
    if (!w->stream) {
        watch_free(w);
        return;
    }
    uint64_t now = uv_now(s->loop), span = timeout_ms(&w->o);
    w->end_ms = now + span;
    w->bookmark_ms = now + (span > BOOKMARK_MS ? BOOKMARK_MS : span > 2 * LAST_BOOKMARK_MS ? span - LAST_BOOKMARK_MS : span);
    Err *e = open_watch(w, rv);
    if (e) { /* as upstream, the answer is a watch that says so */
        w->pending = error_line(e);
        w->ending = true;
    }
    arm(w);
    make_ready(w);
}

void api_watch(ApiCall *c)
{
    int64_t rv = 0;
    ApiWatch *w = NEW(ApiWatch);
    w->s = c->s;
    json_t *bad = c->s->stopping ? kube_unavailable("the server is shutting down")
                  : c->s->n_watches >= c->s->max_watches ? kube_too_many_requests("too many watches, please try again later", 5)
                                                         : kube_list_options(&c->kr, &w->o);
    if (!bad)
        bad = kube_version_parse(w->o.resource_version, &rv);
    if (!bad)
        bad = c->accept.as == AS_PARTIAL_LIST ? api_not_acceptable() : api_table_options(c, c->accept.v1beta1, &w->table);
    if (bad) {
        list_options_done(&w->o);
        free(w);
        api_reply_status(c, bad);
        return;
    }
    w->sel = (Selection){&w->o.labels, &w->o.fields};
    w->all = selection_all(&w->sel);
    start(c, w, rv);
}

void watches_init(ApiServer *s)
{
    s->turn = NEW(uv_idle_t);
    uv_idle_init(s->loop, s->turn);
    s->turn->data = s;
}

void watches_stop(ApiServer *s)
{
    while (s->watches)
        watch_end(s->watches);
}

static void on_turn_closed(uv_handle_t *h)
{
    free(h);
}

void watches_done(ApiServer *s)
{
    uv_close((uv_handle_t *)s->turn, on_turn_closed);
    s->turn = NULL;
}
