/* keeper.c - see keeper.h. It watches the store like anybody else: what the node's agent deletes counts as much as what a client does.
 *
 * A turn reads what has happened and acts; a write that fails (the disk is full) is tried again by the timer, for what is to be done is
 * read from the store each time, not remembered. */
#include "apiserver/keeper.h"

#include "apiserver/owners.h"
#include "apiserver/remove.h"
#include "apiserver/write.h"
#include "base/clock.h"
#include "os/fs.h"

#define RETRY_MS 1000   /* after a write that failed */

struct ApiKeeper {
    ApiServer *s;
    ObjWatch *watch[KUBE_KIND_N];
    uv_idle_t idle;
    uv_timer_t timer;
    unsigned handles; /* that are not closed yet */
    bool awake, freed;
    bool failed;     /* a write of this turn: all is looked at again, later */
    bool owned;      /* somebody has an owner: only then a deletion is looked at for what it leaves */
    unsigned n_foreground, n_going; /* owners that wait, namespaces that are being emptied, as of the last look */
};

/* --- what is always there ----------------------------------------------------------------------------------------- */

static Err *make(ObjStore *s, KubeKindId id, const char *namespace_, const char *name)
{
    const KubeKind *k = &kube_kinds[id];
    const Strategy *st = strategy_of(k);
    if (objstore_get(s, k->resource, str_or(namespace_, ""), name))
        return NULL;
    ObjectHead *h = mem_alloc(st->type->size);
    h->api_version = mem_dup_str("v1");
    h->kind = mem_dup_str(k->kind);
    h->metadata.name = mem_dup_str(name);
    h->metadata.namespace_ = mem_dup_str(namespace_);
    h->metadata.uid = os_uuid();
    h->metadata.creation_timestamp = (OptTime){true, os_now_ns() / NS_PER_S * NS_PER_S};
    if (st->defaults)
        st->defaults(h);
    if (st->prepare)
        st->prepare(h);
    SCOPED(json_unref) json_t *j = api_encode(st->type, h);
    api_free(st->type, h);
    return objstore_create(s, k->resource, j, &(ObjWrite){.durable = true}, NULL);
}

Err *apiserver_ensure_namespace(ObjStore *s, const char *name)
{
    return make(s, KUBE_NAMESPACES, NULL, name);
}

Err *keeper_make_account(ApiServer *s, const char *namespace_)
{
    return make(s->store, KUBE_SERVICE_ACCOUNTS, namespace_, "default");
}

static Err *make_all(ApiServer *s)
{
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    Err *e = NULL;
    objstore_begin(s->store);
    for (size_t i = 0; i < ARRAY_LEN(names) && !e; i++) {
        e = apiserver_ensure_namespace(s->store, names[i]);
        if (!e)
            e = keeper_make_account(s, names[i]);
    }
    return write_end(s, e);
}

/* --- a turn ------------------------------------------------------------------------------------------------------- */

static void note(ApiKeeper *k, Err *e /* taken */)
{
    k->failed = k->failed || e;
    err_free(e);
}

static bool is_going(const json_t *o)
{
    return json_str(json_object_get(o, "metadata"), "deletionTimestamp") != NULL;
}

static const KubeKind *kind_of_resource(const char *resource)
{
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (i != KUBE_EVENTS_V1 && str_eq(kube_kinds[i].resource, resource))
            return &kube_kinds[i];
    return NULL;
}

static Err *remove_json(ApiServer *s, const KubeKind *kind, const json_t *o)
{
    SCOPED(report_done) Report ignored = {0};
    SCOPED(delete_options_done) DeleteOptions options = {0};
    SCOPED(json_unref) json_t *out = NULL;
    void *object = api_decode(strategy_of(kind)->type, o, "", DECODE_LENIENT, &ignored);
    Err *e = remove_object(s, kind, object, &options, &out, NULL);
    api_free(strategy_of(kind)->type, object);
    return e;
}

/* One of what an owner had: the last owner takes it along. */
static bool orphaned(void *arg, const char *resource, const json_t *o, const char *uid)
{
    ApiKeeper *k = arg;
    const KubeKind *kind = kind_of_resource(resource);
    size_t left;
    SCOPED(json_unref) json_t *rest = owners_without(o, uid, &left);
    objstore_begin(k->s->store);
    Err *e = left || !kind ? objstore_update(k->s->store, resource, rest, &(ObjWrite){.durable = true}, NULL)
                           : remove_json(k->s, kind, o);
    note(k, write_end(k->s, e));
    return true;
}

/* What an owner that waits for it has, deleted but for its reference, which tells when it has gone. */
static bool delete_owned(void *arg, const char *resource, const json_t *o, const char *uid)
{
    ApiKeeper *k = arg;
    const KubeKind *kind = kind_of_resource(resource);
    (void)uid;
    if (!kind || is_going(o))
        return true;
    objstore_begin(k->s->store);
    note(k, write_end(k->s, remove_json(k->s, kind, o)));
    return true;
}

/* Foreground: what blocks it goes first, then its finalizer. */
static bool waits(const ObjItem *item)
{
    return memmem(item->text, item->n, "\"" FOREGROUND_FINALIZER "\"", strlen(FOREGROUND_FINALIZER) + 2) != NULL;
}

static void foreground(ApiKeeper *k, const char *resource, const ObjItem *item)
{
    if (!waits(item))
        return;
    SCOPED(json_unref) json_t *o = objitem_json(item);
    json_t *meta = json_object_get(o, "metadata"), *f;
    SCOPED(json_unref) json_t *kept = json_array();
    bool has = false;
    size_t i;
    json_array_foreach(json_object_get(meta, "finalizers"), i, f)
    {
        if (str_eq(json_string_value(f), FOREGROUND_FINALIZER))
            has = true;
        else
            json_array_append(kept, f);
    }
    if (!has || !json_str(meta, "deletionTimestamp"))
        return;
    if (owners_blocked(k->s->store, item->uid)) {
        SCOPED(strvec_done) StrVec uids = {0};
        k->n_foreground++;
        strvec_add(&uids, item->uid);
        owners_each(k->s->store, &uids, delete_owned, k);
        return;
    }
    if (json_array_size(kept))
        json_object_set(meta, "finalizers", kept);
    else
        json_object_del(meta, "finalizers");
    /* A Pod that still has time is the node's to end. */
    if (json_array_size(kept) || json_i64(meta, "deletionGracePeriodSeconds", 0) > 0)
        note(k, objstore_update(k->s->store, resource, o, &(ObjWrite){.durable = true}, NULL));
    else
        note(k, objstore_delete(k->s->store, resource, item->namespace_, item->name, &(ObjWrite){.durable = true}, NULL));
}

static void empty_resource(ApiKeeper *k, const KubeKind *kind, const char *ns)
{
    SCOPED(objlist_done) ObjList l = {0};
    ObjQuery q = {.resource = kind->resource, .namespace_ = ns};
    SCOPED(err_free) Err *e = objstore_list(k->s->store, &q, &l);
    if (e || !l.n)
        return;
    Err *bad = NULL;
    objstore_begin(k->s->store);
    for (size_t i = 0; i < l.n && !bad; i++) {
        SCOPED(json_unref) json_t *o = objitem_json(l.item[i]);
        if (!is_going(o))
            bad = remove_json(k->s, kind, o);
    }
    note(k, write_end(k->s, bad));
}

/* Finalizers of others hold a namespace, as they hold anything else. */
static void empty_namespace(ApiKeeper *k, const ObjItem *ns, const json_t *o)
{
    size_t left = 0;
    SCOPED(mem_free) char *name = mem_dup_str(ns->name);
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (kube_kinds[i].namespaced && i != KUBE_EVENTS_V1) {
            empty_resource(k, &kube_kinds[i], name);
            left += objstore_count(k->s->store, kube_kinds[i].resource, name);
        }
    if (!left && !json_array_size(json_object_get(json_object_get(o, "metadata"), "finalizers")))
        note(k, objstore_delete(k->s->store, "namespaces", "", name, &(ObjWrite){.durable = true}, NULL));
}

static void look_at_namespaces(ApiKeeper *k)
{
    SCOPED(objlist_done) ObjList l = {0};
    ObjQuery q = {.resource = "namespaces"};
    SCOPED(err_free) Err *e = objstore_list(k->s->store, &q, &l);
    k->n_going = 0;
    for (size_t i = 0; !e && i < l.n; i++) {
        SCOPED(json_unref) json_t *o = objitem_json(l.item[i]);
        k->n_going += is_going(o);
        if (is_going(o))
            empty_namespace(k, l.item[i], o);
        else
            note(k, keeper_make_account(k->s, l.item[i]->name));
    }
}

static void look_at_foreground(ApiKeeper *k)
{
    k->n_foreground = 0;
    for (size_t i = 0; i < KUBE_KIND_N; i++) {
        SCOPED(objlist_done) ObjList l = {0};
        ObjQuery q = {.resource = kube_kinds[i].resource};
        SCOPED(err_free) Err *e = i == KUBE_EVENTS_V1 || i == KUBE_EVENTS ? NULL : objstore_list(k->s->store, &q, &l);
        for (size_t n = 0; !e && n < l.n; n++)
            foreground(k, kube_kinds[i].resource, l.item[n]);
    }
}

/* --- when --------------------------------------------------------------------------------------------------------- */

static void on_idle(uv_idle_t *h);

static void wake(void *arg)
{
    ApiKeeper *k = arg;
    if (k->freed || k->awake)
        return;
    k->awake = true;
    uv_idle_start(&k->idle, on_idle);
}

static void on_timer(uv_timer_t *h)
{
    wake(h->data);
}

static void reopen(ApiKeeper *k, size_t i)
{
    objwatch_close(k->watch[i]);
    k->watch[i] = NULL;
    ObjWatching q = {.resource = kube_kinds[i].resource, .ready = wake, .arg = k};
    note(k, objstore_watch(k->s->store, &q, &k->watch[i]));
}

typedef struct {
    bool namespaces, foreground; /* to be looked at */
    StrVec gone;                 /* uids */
} Happened;

/* Most of what happens are status updates of Pods: those cost a search in one text. */
static void read_event(ApiKeeper *k, KubeKindId id, const ObjEvent *ev, Happened *h)
{
    if (ev->type == OBJ_DELETED) {
        h->namespaces = h->namespaces || k->n_going || id == KUBE_SERVICE_ACCOUNTS;
        h->foreground = h->foreground || k->n_foreground;
        if (id != KUBE_EVENTS)
            strvec_add(&h->gone, ev->item->uid); /* the event is void with the next write */
        return;
    }
    k->owned = k->owned || owners_mentioned(ev->item);
    h->namespaces = h->namespaces || id == KUBE_NAMESPACES;
    h->foreground = h->foreground || (ev->type == OBJ_MODIFIED && waits(ev->item));
}

static void read_events(ApiKeeper *k, KubeKindId id, Happened *h)
{
    ObjEvent ev;
    ObjNext next = OBJ_NONE;
    while (k->watch[id] && (next = objwatch_next(k->watch[id], &ev)) == OBJ_EVENT)
        read_event(k, id, &ev, h);
    if (next == OBJ_GONE) { /* more happened in one turn than the store remembers: what went with its owner meanwhile stays */
        reopen(k, id);
        h->namespaces = h->foreground = k->owned = true;
    }
}

static void on_idle(uv_idle_t *handle)
{
    ApiKeeper *k = handle->data;
    Happened h = {.namespaces = k->failed, .foreground = k->failed};
    uv_idle_stop(handle);
    k->awake = k->failed = false;
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (i != KUBE_EVENTS_V1)
            read_events(k, (KubeKindId)i, &h);
    if (h.gone.n && k->owned)
        owners_each(k->s->store, &h.gone, orphaned, k);
    if (h.foreground)
        look_at_foreground(k);
    if (h.namespaces)
        look_at_namespaces(k);
    strvec_done(&h.gone);
    if (k->failed)
        uv_timer_start(&k->timer, on_timer, RETRY_MS, 0);
}

static void on_close(uv_handle_t *h)
{
    ApiKeeper *k = h->data;
    if (--k->handles == 0)
        free(k);
}

Err *keeper_new(ApiServer *s, ApiKeeper **ret)
{
    Err *e = make_all(s);
    if (e)
        return err_wrap(e, "make the namespaces that are always there");
    ApiKeeper *k = NEW(ApiKeeper);
    *k = (ApiKeeper){.s = s, .handles = 2};
    uv_idle_init(s->loop, &k->idle);
    uv_timer_init(s->loop, &k->timer);
    uv_unref((uv_handle_t *)&k->timer);
    k->idle.data = k->timer.data = k;
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (i != KUBE_EVENTS_V1)
            reopen(k, i);
    k->failed = k->owned = true; /* the first turn looks at all */
    wake(k);
    *ret = k;
    return NULL;
}

void keeper_free(ApiKeeper *k)
{
    if (!k)
        return;
    k->freed = true;
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        objwatch_close(k->watch[i]);
    uv_close((uv_handle_t *)&k->idle, on_close);
    uv_close((uv_handle_t *)&k->timer, on_close);
}
