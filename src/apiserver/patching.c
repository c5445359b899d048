/* patching.c - PATCH in its four forms: what is stored is changed as JSON, and goes the way of an update from there. */
#include "apiserver/events_v1.h"
#include "apiserver/write.h"
#include "kube/body.h"

/* What a patch's Err is to the client. An operation of a JSON patch that does not apply is hidden behind general words, as upstream. */
static json_t *patch_failed(Err *e /* taken */, PatchForm form, const json_t *causes)
{
    SCOPED(err_free) Err *mine = e;
    json_t *status = patch_err_status(mine, causes);
    if (form == PATCH_JSON && str_eq(mine->reason, "Invalid")) {
        json_object_set_new(status, "message", json_string("the server rejected our request due to an error in our request"));
        json_object_set_new(status, "details", json_object());
    }
    return status;
}

static json_t *read_json_patch(ApiCall *c, json_t **ret)
{
    size_t n;
    const char *text = http_body(c->req, &n);
    SCOPED(err_free) Err *e = json_parse(text, n, ret);
    if (!e)
        return NULL;
    if (e->kind == ERR_LIMIT)
        return kube_status_of(e, (KubeRef){0});
    SCOPED(mem_free) char *why = err_text(e);
    return kube_bad_request("error decoding patch: %s", why);
}

static json_t *read_patch(ApiCall *c, PatchForm form, json_t **ret, Report *r)
{
    size_t n;
    const char *text = http_body(c->req, &n);
    if (form == PATCH_JSON)
        return read_json_patch(c, ret);
    return kube_body_parse(form == PATCH_APPLY ? MEDIA_YAML : MEDIA_JSON, text, n, ret, r);
}

static json_t *run_patch(ApiCall *c, const Writing *w, PatchForm form, const json_t *live, const json_t *patch, json_t **ret)
{
    PatchManager by = writing_by(c, w);
    SCOPED(json_unref) json_t *causes = NULL;
    Err *e = form == PATCH_JSON    ? patch_json(live, patch, ret)
             : form == PATCH_MERGE ? patch_merge(live, patch, ret)
             : form == PATCH_APPLY ? patch_apply(w->type, live, patch, &by, w->options.force.set && w->options.force.v, ret, &causes)
                                   : patch_strategic(w->type, live, patch, ret);
    return e ? patch_failed(e, form, causes) : NULL;
}

/* An apply makes what is not there. */
static json_t *check_apply_creates(const ApiCall *c, const json_t *config)
{
    const json_t *meta = json_object_get(config, "metadata");
    const char *uid = json_str(meta, "uid"), *name = json_str(meta, "name");
    if (c->kr.kind->id == KUBE_NODES || c->kr.sub)
        return api_not_found(c);
    if (name && !str_eq(name, c->kr.name))
        return kube_bad_request("the name of the object (%s) does not match the name on the URL (%s)", name, c->kr.name);
    if (str_empty(uid))
        return NULL;
    SCOPED(mem_free) char *why = mem_fmt("uid mismatch: the provided object specified uid %s, and no existing object was found", uid);
    return kube_conflict(kube_request_ref(&c->kr), why);
}

static void patch(ApiCall *c, const Writing *w, PatchForm form, const ObjItem *item, const json_t *change, Report *r)
{
    SCOPED(json_unref) json_t *stored = item ? objitem_json(item) : NULL;
    SCOPED(json_unref) json_t *live = stored && c->kr.kind->id == KUBE_EVENTS_V1 ? event_to_events_v1(stored) : json_incref(stored);
    SCOPED(json_unref) json_t *next = NULL;
    void *o = NULL;
    json_t *bad = item ? NULL : check_apply_creates(c, change);
    if (!bad)
        bad = run_patch(c, w, form, live, change, &next);
    if (!bad && !json_is_object(next))
        bad = kube_bad_request("the patched object is no object");
    if (!bad && !item && json_is_object(json_object_get(next, "metadata")))
        json_object_set_new(json_object_get(next, "metadata"), "name", json_string(c->kr.name));
    if (!bad)
        bad = write_decode(c, w, next, r, &o);
    if (bad)
        api_reply_status(c, bad);
    else if (item)
        write_update(c, w, o, item);
    else
        write_create(c, w, o);
}

void api_patch(ApiCall *c)
{
    SCOPED(writing_done) Writing w = {0};
    SCOPED(report_done) Report r = {0};
    SCOPED(json_unref) json_t *change = NULL;
    PatchForm form;
    json_t *bad = kube_patch_type(http_header(c->req, "Content-Type"), &form);
    if (!bad)
        bad = writing_begin(c, form == PATCH_APPLY, &w);
    if (!bad)
        bad = read_patch(c, form, &change, &r);
    const ObjItem *item = bad ? NULL : api_stored(c);
    if (!bad && !item && form != PATCH_APPLY)
        bad = api_not_found(c);
    if (bad) {
        api_reply_status(c, bad);
        return;
    }
    /* The item must live as long as its copy is made: nothing is written before. */
    patch(c, &w, form, item, change, &r);
}
