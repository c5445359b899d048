/* write.c - see write.h. The order of the checks is upstream's: admission of the namespace, metadata, defaults, admission, validation. */
#include "apiserver/write.h"

#include <sys/random.h>

#include "apiserver/events_v1.h"
#include "apiserver/keeper.h"
#include "kube/body.h"
#include "kube/protobody.h"
#include "os/fs.h"

#define NAME_TRIES 8 /* as registry/generic/registry/store.go: maxNameGenerationCreateAttempts */

bool write_durable(const KubeKind *k)
{
    return k->id != KUBE_EVENTS && k->id != KUBE_EVENTS_V1;
}

Err *write_end(ApiServer *s, Err *e)
{
    if (!e)
        return objstore_end(s->store);
    objstore_abort(s->store);
    return e;
}

void writing_done(Writing *w)
{
    free(w->manager);
    *w = (Writing){0};
}

json_t *writing_begin(ApiCall *c, bool apply, Writing *ret)
{
    const KubeKind *k = c->kr.kind;
    *ret = (Writing){.strategy = strategy_of(k), .applied = apply};
    ret->sub = strategy_sub(ret->strategy, c->kr.sub);
    ret->type = patch_type(*k->group ? "events.k8s.io/v1" : "v1", k->kind);
    json_t *bad = kube_write_options(&c->kr, apply, &ret->options);
    if (!bad)
        ret->manager = kube_field_manager(&ret->options, http_header(c->req, "User-Agent"));
    return bad;
}

PatchManager writing_by(const ApiCall *c, const Writing *w)
{
    return (PatchManager){.manager = w->manager, .api_version = *c->kr.kind->group ? "events.k8s.io/v1" : "v1",
                          .subresource = c->kr.sub ? c->kr.sub->name : NULL, .now_ns = os_now_ns(), .reset = w->sub ? w->sub->reset : NULL};
}

/* --- a body ------------------------------------------------------------------------------------------------------- */

json_t *write_body(ApiCall *c, json_t **ret, Report *r)
{
    MediaType type;
    size_t n;
    const char *text = http_body(c->req, &n);
    *ret = NULL;
    json_t *bad = kube_body_type(http_header(c->req, "Content-Type"), true, &type);
    if (bad)
        return bad;
    return type == MEDIA_PROTOBUF ? kube_protobuf_parse(text, n, ret) : kube_body_parse(type, text, n, ret, r);
}

static KubeRef kind_ref(const ApiCall *c, const char *name)
{
    return (KubeRef){c->kr.kind->group, c->kr.kind->kind, name};
}

static json_t *take_report(ApiCall *c, Report *r, const char *name)
{
    json_t *bad = report_ok(r) ? NULL : kube_invalid(r, kind_ref(c, name));
    LIST_EACH(w, &r->warnings)
        api_warn(c, "%s", *w);
    report_done(r);
    return bad;
}

json_t *write_decode(ApiCall *c, const Writing *w, json_t *j, Report *r, void **ret)
{
    const KubeKind *k = c->kr.kind;
    *ret = NULL;
    json_t *bad = kube_body_kind(j, k->group, "v1", k->kind);
    if (bad)
        return bad;
    SCOPED(json_unref) json_t *kept = k->id == KUBE_EVENTS_V1 ? event_from_events_v1(j) : json_incref(j);
    void *o = api_decode(w->strategy->type, kept, "", DECODE_STRICT, r);
    meta_field_validation(r, w->options.field_validation);
    bad = take_report(c, r, ((ObjectHead *)o)->metadata.name);
    if (bad) {
        api_free(w->strategy->type, o);
        return bad;
    }
    *ret = o;
    return NULL;
}

/* --- into the store ------------------------------------------------------------------------------------------------ */

/* What is stored of <o>: with its managedFields up to date. */
static json_t *encoded(const ApiCall *c, const Writing *w, const void *o, const json_t *live)
{
    json_t *j = api_encode(w->strategy->type, o);
    if (w->applied)
        return j;
    PatchManager by = writing_by(c, w);
    json_t *out = patch_update(w->type, live, j, &by);
    json_decref(j);
    return out;
}

static void reply_stored(ApiCall *c, int code, const json_t *dry, ObjItem *item /* taken */, Err *e /* taken */, const char *name)
{
    SCOPED(objitem_unref) ObjItem *mine = item;
    if (e) {
        SCOPED(err_free) Err *why = e;
        KubeRef what = {c->kr.kind->group, c->kr.kind->resource, name};
        api_reply_status(c, kube_status_of(why, what));
    } else if (mine) {
        api_reply_item(c, code, mine);
    } else {
        api_reply_object(c, code, dry);
    }
}

/* --- create ------------------------------------------------------------------------------------------------------- */

static bool terminating(const ObjItem *ns)
{
    SCOPED(json_unref) json_t *j = objitem_json(ns);
    return json_str(json_object_get(j, "metadata"), "deletionTimestamp") != NULL;
}

json_t *namespace_check(const ApiCall *c, const char *name)
{
    const ObjItem *ns = objstore_get(c->s->store, "namespaces", "", name);
    if (!ns)
        return kube_not_found((KubeRef){"", "namespaces", name});
    if (!terminating(ns))
        return NULL;
    SCOPED(mem_free) char *why =
        mem_fmt("unable to create new content in namespace %s because it is being terminated", name);
    SCOPED(mem_free) char *message = mem_fmt("namespace %s is being terminated", name);
    json_t *bad = kube_forbidden((KubeRef){c->kr.kind->group, c->kr.kind->resource, c->kr.name}, why);
    json_object_set_new(json_object_get(bad, "details"), "causes",
                        json_pack("[{s:s, s:s, s:s}]", "reason", "NamespaceTerminating", "message", message, "field",
                                  "metadata.namespace"));
    return bad;
}

static MetaSource source(char **uid, uint8_t random[META_RANDOM])
{
    *uid = os_uuid();
    if (getrandom(random, META_RANDOM, 0) != META_RANDOM)
        abort(); /* as os_random_hex() */
    return (MetaSource){os_now_ns(), *uid, random};
}

/* Upstream records who sets what before admission has its say: what that fills in is nobody's. */
static void record_creator(const ApiCall *c, const Writing *w, ObjectHead *o)
{
    PatchManager by = writing_by(c, w);
    SCOPED(json_unref) json_t *j = api_encode(w->strategy->type, o);
    if (c->kr.kind->id == KUBE_EVENTS_V1) {
        json_t *event = event_to_events_v1(j);
        json_decref(j);
        j = event;
    }
    SCOPED(json_unref) json_t *out = patch_update(w->type, NULL, j, &by);
    const json_t *managed = json_object_get(json_object_get(out, "metadata"), "managedFields");
    free(o->metadata.managed_fields);
    o->metadata.managed_fields = managed ? json_text(managed, false) : NULL;
}

static json_t *prepare_create(ApiCall *c, const Writing *w, ObjectHead *o)
{
    const Strategy *st = w->strategy;
    SCOPED(report_done) Report r = {0};
    SCOPED(mem_free) char *uid = NULL;
    uint8_t random[META_RANDOM];
    if (!c->kr.name && o->metadata.name) /* for the words of what follows */
        c->kr.name = mem_dup_str(o->metadata.name);
    json_t *bad = c->kr.kind->namespaced ? namespace_check(c, c->kr.namespace_) : NULL;
    if (bad)
        return bad;
    MetaSource s = source(&uid, random);
    bad = meta_create(&o->metadata, &c->kr, &s);
    if (bad)
        return bad;
    if (st->defaults)
        st->defaults(o);
    if (!w->applied)
        record_creator(c, w, o);
    bad = c->kr.kind->id == KUBE_PODS ? pod_admit(c, (Pod *)(void *)o) : NULL;
    if (bad)
        return bad;
    if (st->prepare)
        st->prepare(o);
    if (st->validate)
        st->validate(o, &c->s->gates, &r);
    return take_report(c, &r, o->metadata.name);
}

/* The object, and what comes with it. */
static Err *store_create(ApiCall *c, json_t *j, ObjItem **ret)
{
    const KubeKind *k = c->kr.kind;
    ObjWrite w = {.durable = write_durable(k)};
    if (!w.durable)
        w.expires_ns = os_now_ns() + OBJSTORE_EVENT_TTL_NS;
    if (k->id != KUBE_NAMESPACES)
        return objstore_create(c->s->store, api_store_resource(k), j, &w, ret);
    objstore_begin(c->s->store);
    Err *e = objstore_create(c->s->store, "namespaces", j, &w, ret);
    if (!e)
        e = keeper_make_account(c->s, json_str(json_object_get(j, "metadata"), "name"));
    return write_end(c->s, e);
}

static bool taken(const ApiCall *c, const ObjectMeta *m)
{
    return objstore_get(c->s->store, api_store_resource(c->kr.kind), str_or(m->namespace_, ""), m->name) != NULL;
}

static void create(ApiCall *c, const Writing *w, ObjectHead *o)
{
    bool generated = str_empty(o->metadata.name) && !str_empty(o->metadata.generate_name);
    json_t *bad = prepare_create(c, w, o);
    if (bad) {
        api_reply_status(c, bad);
        return;
    }
    for (unsigned i = 1; generated && taken(c, &o->metadata) && i < NAME_TRIES; i++) {
        uint8_t random[META_RANDOM];
        if (getrandom(random, sizeof random, 0) != sizeof random)
            abort();
        free(o->metadata.name);
        o->metadata.name = meta_generate_name(o->metadata.generate_name, random);
    }
    if (taken(c, &o->metadata)) {
        KubeRef what = {c->kr.kind->group, c->kr.kind->resource, o->metadata.name};
        api_reply_status(c, generated ? kube_name_conflict(what) : kube_already_exists(what));
        return;
    }
    SCOPED(json_unref) json_t *j = api_encode(w->strategy->type, o);
    ObjItem *item = NULL;
    Err *e = w->options.dry_run ? NULL : store_create(c, j, &item);
    reply_stored(c, 201, j, item, e, o->metadata.name);
}

void write_create(ApiCall *c, const Writing *w, void *o)
{
    create(c, w, o);
    api_free(w->strategy->type, o);
}

/* What the body says, as the request's options have it read. */
static json_t *read_object(ApiCall *c, Writing *w, void **ret)
{
    SCOPED(report_done) Report r = {0};
    SCOPED(json_unref) json_t *body = NULL;
    json_t *bad = writing_begin(c, false, w);
    if (!bad)
        bad = write_body(c, &body, &r);
    return bad ? bad : write_decode(c, w, body, &r, ret);
}

void api_create(ApiCall *c)
{
    SCOPED(writing_done) Writing w = {0};
    void *o = NULL;
    json_t *bad = read_object(c, &w, &o);
    if (bad)
        api_reply_status(c, bad);
    else
        write_create(c, &w, o);
}

/* --- update ------------------------------------------------------------------------------------------------------- */

static json_t *check_uid(const ApiCall *c, const ObjectMeta *next, const ObjectMeta *old)
{
    if (str_empty(next->uid) || str_eq(next->uid, old->uid))
        return NULL;
    SCOPED(mem_free) char *why =
        mem_fmt("Precondition failed: UID in precondition: %s, UID in object meta: %s", next->uid, str_or(old->uid, ""));
    return kube_conflict(kube_request_ref(&c->kr), why);
}

static json_t *prepare_update(ApiCall *c, const Writing *w, ObjectHead *next, const ObjectHead *old)
{
    SCOPED(report_done) Report r = {0};
    json_t *bad = meta_check_path(&next->metadata, &c->kr);
    if (!bad)
        bad = check_uid(c, &next->metadata, &old->metadata);
    if (!bad)
        bad = meta_check_version(&next->metadata, &old->metadata, kube_request_ref(&c->kr));
    if (bad)
        return bad;
    if (w->strategy->defaults)
        w->strategy->defaults(next);
    w->sub->update(next, old, &c->s->gates, &r);
    return take_report(c, &r, next->metadata.name);
}

static void update(ApiCall *c, const Writing *w, ObjectHead *next, const ObjItem *item)
{
    const KubeKind *k = c->kr.kind;
    SCOPED(report_done) Report ignored = {0};
    SCOPED(json_unref) json_t *live = objitem_json(item);
    void *old = api_decode(w->strategy->type, live, "", DECODE_LENIENT, &ignored);
    json_t *bad = prepare_update(c, w, next, old);
    api_free(w->strategy->type, old);
    if (bad) {
        api_reply_status(c, bad);
        return;
    }
    SCOPED(json_unref) json_t *j = encoded(c, w, next, live);
    ObjItem *out = NULL;
    Err *e = NULL;
    ObjWrite how = {.durable = write_durable(k)};
    /* A namespace has another finalizer, in its spec: the keeper's. */
    bool over = k->id != KUBE_NAMESPACES && meta_delete_done(&next->metadata);
    if (w->options.dry_run)
        ;
    else if (over)
        e = objstore_delete(c->s->store, api_store_resource(k), str_or(next->metadata.namespace_, ""), next->metadata.name, &how, &out);
    else
        e = objstore_update(c->s->store, api_store_resource(k), j, &how, &out);
    reply_stored(c, 200, j, out, e, next->metadata.name);
}

void write_update(ApiCall *c, const Writing *w, void *next, const ObjItem *live)
{
    update(c, w, next, live);
    api_free(w->strategy->type, next);
}

void api_update(ApiCall *c)
{
    SCOPED(writing_done) Writing w = {0};
    void *o = NULL;
    json_t *bad = read_object(c, &w, &o);
    const ObjItem *live = bad ? NULL : api_stored(c);
    if (!bad && !live)
        bad = api_not_found(c);
    if (!bad) {
        write_update(c, &w, o, live);
        return;
    }
    if (o)
        api_free(w.strategy->type, o);
    api_reply_status(c, bad);
}
