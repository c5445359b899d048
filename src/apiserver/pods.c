/* pods.c - what is special about Pods: what admission says of a new one, and eviction. */
#include "apiserver/remove.h"
#include "apiserver/write.h"
#include "kube/body.h"
#include "os/fs.h"

/* --- admission ---------------------------------------------------------------------------------------------------- */

/* plugin/pkg/admission/serviceaccount: the account must be there, and its pull secrets are the Pod's when it has none. No token is
 * mounted: there are none. */
static json_t *admit_account(ApiCall *c, Pod *p)
{
    const char *name = str_empty(p->spec.service_account_name) ? "default" : p->spec.service_account_name;
    const ObjItem *i = objstore_get(c->s->store, "serviceaccounts", p->metadata.namespace_, name);
    if (!i) {
        SCOPED(mem_free) char *why =
            mem_fmt("error looking up service account %s/%s: serviceaccount \"%s\" not found", p->metadata.namespace_, name, name);
        return kube_forbidden(kube_request_ref(&c->kr), why);
    }
    if (p->spec.image_pull_secrets.n)
        return NULL;
    SCOPED(report_done) Report ignored = {0};
    SCOPED(json_unref) json_t *j = objitem_json(i);
    ServiceAccount *a = api_decode(&type_ServiceAccount, j, "", DECODE_LENIENT, &ignored);
    LIST_EACH(s, &a->image_pull_secrets)
        if (s->name)
            LIST_ADD(&p->spec.image_pull_secrets)->name = mem_dup_str(s->name);
    api_free(&type_ServiceAccount, a);
    return NULL;
}

/* plugin/pkg/admission/priority: the classes that Kubernetes has by itself; no others can be made here. */
static json_t *admit_priority(ApiCall *c, Pod *p)
{
    static const struct { const char *name; int64_t value; } classes[] = {
        {"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}};
    PodSpec *s = &p->spec;
    int64_t value = 0;
    bool known = str_empty(s->priority_class_name);
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (str_eq(s->priority_class_name, classes[i].name)) {
            value = classes[i].value;
            known = true;
        }
    if (!known) {
        SCOPED(mem_free) char *why = mem_fmt("no PriorityClass with name %s was found", s->priority_class_name);
        return kube_forbidden(kube_request_ref(&c->kr), why);
    }
    if (s->priority.set && s->priority.v != value) {
        SCOPED(mem_free) char *why = mem_fmt("the integer value of priority (%lld) must not be provided in pod spec; priority admission "
                                             "controller computed %lld from the given PriorityClass name",
                                             (long long)s->priority.v, (long long)value);
        return kube_forbidden(kube_request_ref(&c->kr), why);
    }
    s->priority = (OptInt){true, value};
    if (str_empty(s->preemption_policy))
        mem_set_str(&s->preemption_policy, "PreemptLowerPriority");
    return NULL;
}

json_t *pod_admit(ApiCall *c, Pod *p)
{
    json_t *bad = admit_account(c, p);
    return bad ? bad : admit_priority(c, p);
}

/* --- eviction ----------------------------------------------------------------------------------------------------- */

static json_t *read_eviction(ApiCall *c, json_t **ret, DeleteOptions *o)
{
    SCOPED(report_done) Report ignored = {0};
    json_t *bad = write_body(c, ret, &ignored);
    if (!bad)
        bad = kube_body_kind(*ret, "policy", "v1", "Eviction");
    if (bad)
        return bad;
    const char *name = json_str(json_object_get(*ret, "metadata"), "name");
    if (!str_empty(name) && !str_eq(name, c->kr.name))
        return kube_bad_request("name in URL does not match name in Eviction object");
    const json_t *options = json_object_get(*ret, "deleteOptions");
    return kube_delete_options(&c->kr, options ? options : json_object_get(*ret, "nothing"), o);
}

/* As the eviction API without a PodDisruptionBudget: the Pod says why it goes, and goes. */
static void say_disrupted(Pod *p, int64_t now_ns)
{
    PodCondition *c = NULL;
    LIST_EACH(it, &p->status.conditions)
        if (str_eq(it->type, "DisruptionTarget"))
            c = it;
    if (!c) {
        c = LIST_ADD(&p->status.conditions);
        c->type = mem_dup_str("DisruptionTarget");
    }
    if (!str_eq(c->status, "True"))
        c->last_transition_time = (OptTime){true, now_ns / NS_PER_S * NS_PER_S};
    mem_set_str(&c->status, "True");
    mem_set_str(&c->reason, "EvictionByEvictionAPI");
    mem_set_str(&c->message, "Eviction API: evicting");
}

static void evict(ApiCall *c, const DeleteOptions *o, bool dry_run, const ObjItem *item)
{
    SCOPED(report_done) Report ignored = {0};
    SCOPED(json_unref) json_t *live = objitem_json(item);
    Pod *p = api_decode(&type_Pod, live, "", DECODE_LENIENT, &ignored);
    json_t *bad = meta_check_preconditions(&p->metadata, o, kube_request_ref(&c->kr));
    Err *e = NULL;
    if (!bad && !dry_run) {
        if (!p->metadata.deletion_timestamp.set && !str_eq(p->status.phase, "Failed") && !str_eq(p->status.phase, "Succeeded"))
            say_disrupted(p, os_now_ns());
        objstore_begin(c->s->store);
        SCOPED(json_unref) json_t *out = NULL;
        e = write_end(c->s, remove_object(c->s, c->kr.kind, p, o, &out, NULL));
    }
    pod_free(p);
    if (e)
        api_reply_err(c, e);
    else if (bad)
        api_reply_status(c, bad);
    else
        api_reply_json(c, 201, json_pack("{s:s, s:s, s:{}, s:s, s:i}", "kind", "Status", "apiVersion", "v1", "metadata", "status",
                                         "Success", "code", 201));
}

void pod_evict(ApiCall *c)
{
    SCOPED(delete_options_done) DeleteOptions o = {0};
    SCOPED(json_unref) json_t *body = NULL;
    WriteOptions w;
    json_t *bad = kube_write_options(&c->kr, false, &w);
    if (!bad)
        bad = read_eviction(c, &body, &o);
    const ObjItem *item = bad ? NULL : api_stored(c);
    if (!bad && !item)
        bad = api_not_found(c);
    if (bad)
        api_reply_status(c, bad);
    else
        evict(c, &o, o.dry_run || w.dry_run, item);
}
