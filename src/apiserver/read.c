/* read.c - get and list. A list of JSON that nobody selects from is the stored texts, one behind another. */
#include "apiserver/api_priv.h"
#include "apiserver/events_v1.h"
#include "apiserver/select.h"

const char *api_store_resource(const KubeKind *k)
{
    return k->resource;
}

const ObjItem *api_stored(const ApiCall *c)
{
    const KubeRequest *r = &c->kr;
    return objstore_get(c->s->store, api_store_resource(r->kind), str_or(r->namespace_, ""), r->name);
}

json_t *api_not_found(const ApiCall *c)
{
    return kube_not_found(kube_request_ref(&c->kr));
}

/* A resourceVersion that is yet to come: this server is as new as it gets. */
static json_t *check_not_newer(const ApiCall *c, int64_t rv)
{
    int64_t now = objstore_rv(c->s->store);
    if (rv <= now)
        return NULL;
    SCOPED(mem_free) char *why = mem_fmt("Too large resource version: %lld, current: %lld", (long long)rv, (long long)now);
    return kube_timeout(why, 1);
}

void api_get(ApiCall *c)
{
    int64_t rv;
    json_t *bad = kube_version_parse(kube_query(&c->kr, "resourceVersion"), &rv);
    if (!bad)
        bad = check_not_newer(c, rv);
    const ObjItem *i = bad ? NULL : api_stored(c);
    if (!bad && !i)
        bad = api_not_found(c);
    if (bad)
        api_reply_status(c, bad);
    else
        api_reply_item(c, 200, i);
}

/* --- list --------------------------------------------------------------------------------------------------------- */

json_t *api_list_meta(const ObjList *l)
{
    json_t *m = json_object();
    SCOPED(mem_free) char *rv = mem_fmt("%lld", (long long)l->rv);
    json_object_set_new(m, "resourceVersion", json_string(rv));
    if (l->cont)
        json_object_set_new(m, "continue", json_string(l->cont));
    if (l->remaining >= 0)
        json_object_set_new(m, "remainingItemCount", json_integer(l->remaining));
    return m;
}

static const char *list_version(const KubeKind *k)
{
    return k->id == KUBE_EVENTS_V1 ? "events.k8s.io/v1" : "v1";
}

static void reply_texts(ApiCall *c, const ObjList *l)
{
    SCOPED(json_unref) json_t *meta = api_list_meta(l);
    SCOPED(mem_free) char *meta_text = json_text(meta, false);
    Str s = {0};
    str_fmt(&s, "{\"kind\":\"%s\",\"apiVersion\":\"v1\",\"metadata\":%s,\"items\":[", c->kr.kind->list_kind, meta_text);
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            str_add_c(&s, ',');
        str_add_n(&s, l->item[i]->text, l->item[i]->n);
    }
    str_add(&s, "]}\n");
    api_reply_take(c, 200, "application/json", &s);
}

static void reply_values(ApiCall *c, const ObjList *l)
{
    SCOPED(json_unref) json_t *items = json_array();
    json_t *meta = api_list_meta(l);
    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(items, objitem_json(l->item[i]));
    api_reply_items(c, items, meta);
    json_decref(meta);
}

void api_reply_items(ApiCall *c, const json_t *items, const json_t *meta)
{
    TableOptions t;
    json_t *bad = c->accept.as == AS_PARTIAL ? api_not_acceptable() : api_table_options(c, c->accept.v1beta1, &t);
    if (bad) {
        api_reply_status(c, bad);
    } else if (c->accept.as == AS_TABLE) {
        api_reply_json(c, 200, kube_table(c->kr.kind, items, meta, &t));
    } else if (c->accept.as == AS_PARTIAL_LIST) {
        api_reply_json(c, 200, kube_partial_list(items, meta, c->accept.v1beta1));
    } else {
        json_t *out = json_array(), *v;
        size_t i;
        json_array_foreach((json_t *)(uintptr_t)items, i, v)
            json_array_append_new(out, c->kr.kind->id == KUBE_EVENTS_V1 ? event_to_events_v1(v) : json_incref(v));
        api_reply_json(c, 200, json_pack("{s:s, s:s, s:O, s:o}", "kind", c->kr.kind->list_kind, "apiVersion", list_version(c->kr.kind),
                                         "metadata", meta, "items", out));
    }
}

static json_t *query_of(const ApiCall *c, const ListOptions *o, Selection *sel, ObjQuery *q)
{
    int64_t rv;
    json_t *bad = kube_version_parse(o->resource_version, &rv);
    if (!bad && *o->continue_ && rv)
        bad = kube_bad_request("specifying resource version is not allowed when using continue");
    if (bad)
        return bad;
    *sel = (Selection){.labels = &o->labels, .fields = &o->fields};
    *q = (ObjQuery){.resource = api_store_resource(c->kr.kind), .namespace_ = c->kr.namespace_, .limit = (size_t)o->limit,
                    .cont = o->continue_, .rv = rv, .arg = sel};
    q->match = selection_all(sel) ? NULL : selection_match;
    /* With a limit and no resourceVersionMatch, a version is exactly that one: the pages of a list are of one moment. */
    q->exact = str_eq(o->resource_version_match, "Exact") || (o->limit && rv && !*o->resource_version_match);
    return NULL;
}

json_t *api_list_failed(const ApiCall *c, Err *e, const ObjList *l)
{
    SCOPED(err_free) Err *mine = e;
    json_t *status = kube_status_of(mine, (KubeRef){c->kr.kind->group, c->kr.kind->resource, NULL});
    if (l->cont)
        json_object_set_new(json_object_get(status, "metadata"), "continue", json_string(l->cont));
    return status;
}

json_t *api_list_of(const ApiCall *c, const ListOptions *o, ObjList *ret)
{
    Selection sel;
    ObjQuery q;
    json_t *bad = query_of(c, o, &sel, &q);
    Err *e = bad ? NULL : objstore_list(c->s->store, &q, ret);
    return e ? api_list_failed(c, e, ret) : bad;
}

void api_list(ApiCall *c)
{
    SCOPED(list_options_done) ListOptions o;
    SCOPED(objlist_done) ObjList l = {0};
    json_t *bad = kube_list_options(&c->kr, &o);
    if (!bad)
        bad = api_list_of(c, &o, &l);
    if (bad)
        api_reply_status(c, bad);
    else if (c->accept.as == AS_IS && c->accept.type == MEDIA_JSON && !c->accept.pretty && c->kr.kind->id != KUBE_EVENTS_V1)
        reply_texts(c, &l);
    else
        reply_values(c, &l);
}
