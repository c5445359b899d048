/* pod_status.c - the agent's status of a Pod into the store: what is the plan's own is written over, what others put there stays (the
 * kubelet's mergePodStatus()). */
#include "api/codec.h"
#include "daemon/daemon_priv.h"
#include "os/fault.h"
#include "os/fs.h"

static const char *condition_type(const json_t *c)
{
    return str_or(json_str(c, "type"), "");
}

static bool has_condition(const json_t *list, const char *type)
{
    size_t i;
    json_t *c;
    json_array_foreach(list, i, c)
        if (str_eq(condition_type(c), type))
            return true;
    return false;
}

void pod_status_merge(json_t *status, const json_t *old)
{
    static const char *const others[] = {"nominatedNodeName", "resourceClaimStatuses"};
    json_t *mine = json_object_get(status, "conditions"), *had = json_object_get(old, "conditions"), *c;
    json_t *all = json_array();
    size_t i;
    json_array_foreach(had, i, c)
        if (!plan_owns_condition(condition_type(c)))
            json_array_append(all, c);
    json_array_foreach(mine, i, c)
        if (plan_owns_condition(condition_type(c)) || (!has_condition(all, condition_type(c)) && str_eq(condition_type(c), "DisruptionTarget")))
            json_array_append(all, c);
    json_object_set_new(status, "conditions", all);
    for (size_t k = 0; k < ARRAY_LEN(others); k++)
        if (json_object_get(old, others[k]) && !json_object_get(status, others[k]))
            json_object_set(status, others[k], json_object_get(old, others[k]));
}

void pod_condition_set(json_t *pod, const char *type, bool on, const char *reason, const char *message, int64_t now_ns)
{
    char time[CLOCK_TEXT_MAX];
    json_t *status = json_object_get(pod, "status"), *list, *c, *old = NULL;
    size_t i;
    if (!json_is_object(status)) {
        status = json_object();
        json_object_set_new(pod, "status", status);
    }
    list = json_object_get(status, "conditions");
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(status, "conditions", list);
    }
    json_array_foreach(list, i, c)
        if (str_eq(condition_type(c), type))
            old = c;
    bool same = old && str_eq(json_str(old, "status"), on ? "True" : "False");
    const json_t *generation = json_object_get(json_object_get(pod, "metadata"), "generation");
    c = old ? old : json_pack("{s:s, s:n}", "type", type, "lastProbeTime");
    json_object_set_new(c, "status", json_string(on ? "True" : "False"));
    if (!same)
        json_object_set_new(c, "lastTransitionTime", json_string(clock_format(now_ns, 0, time)));
    if (generation)
        json_object_set_new(c, "observedGeneration", json_copy((json_t *)(uintptr_t)generation));
    (void)json_object_del(c, "reason");
    (void)json_object_del(c, "message");
    if (reason)
        json_object_set_new(c, "reason", json_string(reason));
    if (message)
        json_object_set_new(c, "message", json_string(message));
    if (!old)
        json_array_append_new(list, c);
}

bool pod_status_write(Daemon *d, const Pod *p)
{
    const ObjectMeta *m = &p->metadata;
    const ObjItem *i = objstore_get(d->store, "pods", m->namespace_, m->name);
    Tracked *t = tracked(d, m->uid);
    if (!i || !str_eq(i->uid, m->uid)) {
        if (t)
            t->status_owed = false;
        return true;
    }
    SCOPED(json_unref) json_t *pod = objitem_json(i);
    json_t *status = api_encode(&type_PodStatus, &p->status);
    pod_status_merge(status, json_object_get(pod, "status"));
    if (json_equal(status, json_object_get(pod, "status"))) {
        json_decref(status);
        if (t)
            t->status_owed = false;
        return true;
    }
    json_object_set_new(pod, "status", status);
    fault_step("api.status");
    SCOPED(objitem_unref) ObjItem *written = NULL;
    SCOPED(err_free) Err *e = objstore_update(d->store, "pods", pod, &(ObjWrite){.uid = m->uid}, &written);
    if (t) {
        t->status_owed = e != NULL;
        if (!e)
            t->rv = written->rv;
    }
    if (e)
        retry_later(d);
    return !e;
}
