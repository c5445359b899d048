/* remove.c - DELETE of one and of many. */
#include "apiserver/remove.h"

#include "apiserver/owners.h"
#include "apiserver/write.h"
#include "kube/body.h"
#include "os/fs.h"

static DeleteVerdict verdict(const KubeKind *k, void *object, const DeleteOptions *o, int64_t now_ns)
{
    ObjectHead *h = object;
    if (k->id == KUBE_PODS)
        return pod_delete(object, o, now_ns);
    if (k->id != KUBE_NAMESPACES)
        return meta_delete(&h->metadata, now_ns);
    /* It goes when it is empty: the keeper's part. */
    if (h->metadata.deletion_timestamp.set)
        return DELETE_PENDING;
    h->metadata.deletion_timestamp = (OptTime){true, now_ns / NS_PER_S * NS_PER_S};
    mem_set_str(&((SpecStatus *)object)->status, "{\"phase\":\"Terminating\"}");
    return DELETE_UPDATE;
}

static void add_finalizer(ObjectMeta *m, const char *name)
{
    LIST_EACH(f, &m->finalizers)
        if (str_eq(*f, name))
            return;
    *LIST_ADD(&m->finalizers) = mem_dup_str(name);
}

/* What it owns: let go (Orphan), or deleted before it (Foreground); the default, Background, is the keeper's when it has gone. */
static Err *follow_policy(ApiServer *s, ObjectMeta *m, const DeleteOptions *o)
{
    bool orphan = str_eq(o->propagation_policy, "Orphan") || (o->orphan_dependents.set && o->orphan_dependents.v);
    if (orphan)
        return owners_orphan(s->store, m->uid);
    if (str_eq(o->propagation_policy, "Foreground") && owners_blocked(s->store, m->uid))
        add_finalizer(m, FOREGROUND_FINALIZER);
    return NULL;
}

Err *remove_object(ApiServer *s, const KubeKind *k, void *object, const DeleteOptions *o, json_t **ret, bool *ret_gone)
{
    const TypeDesc *type = strategy_of(k)->type;
    ObjectMeta *m = &((ObjectHead *)object)->metadata;
    const char *resource = api_store_resource(k), *ns = str_or(m->namespace_, "");
    ObjWrite w = {.durable = write_durable(k)};
    SCOPED(objitem_unref) ObjItem *item = NULL;
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = follow_policy(s, m, o);
    if (e)
        return e;
    DeleteVerdict v = verdict(k, object, o, os_now_ns());
    if (ret_gone)
        *ret_gone = v == DELETE_NOW;
    j = api_encode(type, object);
    /* The node learns from the last object with how much grace a Pod of its goes: it is told before it is gone. */
    if (v == DELETE_NOW && k->id == KUBE_PODS && !str_empty(((Pod *)object)->spec.node_name))
        e = objstore_update(s->store, resource, j, &w, NULL);
    if (!e && v == DELETE_NOW)
        e = objstore_delete(s->store, resource, ns, m->name, &w, &item);
    else if (!e && v == DELETE_UPDATE)
        e = objstore_update(s->store, resource, j, &w, &item);
    if (e)
        return e;
    *ret = item && v == DELETE_UPDATE ? objitem_json(item) : json_incref(j);
    return NULL;
}

/* --- one ---------------------------------------------------------------------------------------------------------- */

static json_t *read_options(ApiCall *c, DeleteOptions *ret)
{
    SCOPED(report_done) Report ignored = {0};
    SCOPED(json_unref) json_t *body = NULL;
    size_t n;
    (void)http_body(c->req, &n);
    json_t *bad = n ? write_body(c, &body, &ignored) : NULL;
    return bad ? bad : kube_delete_options(&c->kr, body, ret);
}

static json_t *check_immortal(const ApiCall *c)
{
    static const char *const immortal[] = {"default", "kube-system", "kube-public"};
    for (size_t i = 0; c->kr.kind->id == KUBE_NAMESPACES && i < ARRAY_LEN(immortal); i++)
        if (str_eq(c->kr.name, immortal[i]))
            return kube_forbidden(kube_request_ref(&c->kr), "this namespace may not be deleted");
    return NULL;
}

static void reply_deleted(ApiCall *c, const json_t *o, bool gone, const char *uid)
{
    const KubeKind *k = c->kr.kind;
    if (strategy_of(k)->returns_deleted || !gone)
        api_reply_object(c, 200, o);
    else
        api_reply_status(c, kube_status_success((KubeRef){k->group, k->resource, c->kr.name}, uid));
}

void api_delete(ApiCall *c)
{
    const Strategy *st = strategy_of(c->kr.kind);
    SCOPED(delete_options_done) DeleteOptions o = {0};
    SCOPED(report_done) Report ignored = {0};
    json_t *bad = read_options(c, &o);
    const ObjItem *item = bad ? NULL : api_stored(c);
    if (!bad)
        bad = check_immortal(c);
    if (!bad && !item)
        bad = api_not_found(c);
    if (bad) {
        api_reply_status(c, bad);
        return;
    }
    SCOPED(json_unref) json_t *live = objitem_json(item);
    SCOPED(json_unref) json_t *out = NULL;
    ObjectHead *h = api_decode(st->type, live, "", DECODE_LENIENT, &ignored);
    SCOPED(mem_free) char *uid = mem_dup_str(h->metadata.uid);
    bool gone = false;
    Err *e = NULL;
    bad = meta_check_preconditions(&h->metadata, &o, kube_request_ref(&c->kr));
    if (!bad && o.dry_run) {
        gone = verdict(c->kr.kind, h, &o, os_now_ns()) == DELETE_NOW;
        out = api_encode(st->type, h);
    } else if (!bad) {
        objstore_begin(c->s->store);
        e = write_end(c->s, remove_object(c->s, c->kr.kind, h, &o, &out, &gone));
    }
    api_free(st->type, h);
    if (bad)
        api_reply_status(c, bad);
    else if (e)
        api_reply_err(c, e);
    else
        reply_deleted(c, out, gone, uid);
}

/* --- many --------------------------------------------------------------------------------------------------------- */

static Err *remove_all(ApiCall *c, const ObjList *l, const DeleteOptions *o, json_t *items)
{
    const Strategy *st = strategy_of(c->kr.kind);
    Err *e = NULL;
    for (size_t i = 0; i < l->n && !e; i++) {
        SCOPED(report_done) Report ignored = {0};
        SCOPED(json_unref) json_t *out = NULL;
        json_t *live = objitem_json(l->item[i]);
        json_array_append_new(items, live);
        if (o->dry_run)
            continue;
        void *object = api_decode(st->type, live, "", DECODE_LENIENT, &ignored);
        e = remove_object(c->s, c->kr.kind, object, o, &out, NULL);
        api_free(st->type, object);
    }
    return e;
}

/* Answered with the list of what was there, as upstream. */
void api_delete_collection(ApiCall *c)
{
    SCOPED(delete_options_done) DeleteOptions o = {0};
    SCOPED(list_options_done) ListOptions lo;
    SCOPED(objlist_done) ObjList l = {0};
    json_t *bad = kube_list_options(&c->kr, &lo);
    if (!bad)
        bad = read_options(c, &o);
    if (!bad)
        bad = api_list_of(c, &lo, &l);
    if (bad) {
        api_reply_status(c, bad);
        return;
    }
    SCOPED(json_unref) json_t *items = json_array();
    objstore_begin(c->s->store);
    Err *e = write_end(c->s, remove_all(c, &l, &o, items));
    if (e) {
        api_reply_status(c, api_list_failed(c, e, &l));
        return;
    }
    json_t *meta = api_list_meta(&l);
    api_reply_items(c, items, meta);
    json_decref(meta);
}
