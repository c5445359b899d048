/* api_pods.c - Pods of the API on this node. What a scheduler, a kubelet and a Pod's end in the API do, step by step; each step is a
 * write that the next one is derived from, so a death between two of them repeats at most the first.
 *
 *   created     bound: nodeName is written, and then it is in no way different from one that came with it
 *   bound       admitted, recorded by the agent (or refused: recorded as Failed), run
 *   changed     the agent takes it over
 *   deleted     the agent ends it; its last status is written; it is taken out of the store; the agent forgets it
 *   gone        (grace period 0, or while we were away) ended and forgotten */
#include "api/codec.h"
#include "apiserver/apiserver.h"
#include "daemon/daemon_priv.h"
#include "daemon/static_pod.h"
#include "os/fault.h"
#include "os/fs.h"

bool pod_is_mirror(const Pod *p)
{
    return strmap_get(&p->metadata.annotations, ANNOTATION_MIRROR) != NULL;
}

static void *decoded(const TypeDesc *t, const ObjItem *i)
{
    SCOPED(json_unref) json_t *j = objitem_json(i);
    SCOPED(report_done) Report r = {0};
    void *o = api_decode(t, j, "", DECODE_LENIENT, &r);
    if (report_ok(&r))
        return o;
    api_free(t, o); /* nobody but the API server writes what has a spec, and it has checked it */
    return NULL;
}

Pod *stored_pod(const Daemon *d, const char *namespace_, const char *name)
{
    const ObjItem *i = objstore_get(d->store, "pods", namespace_, name);
    return i ? decoded(&type_Pod, i) : NULL;
}

/* --- what it reads ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const Pod *pod;
    PodReads kind;
} Reading;

static bool is_read(void *arg, const ObjItem *i)
{
    const Reading *r = arg;
    return pod_reads(r->pod, r->kind, i->name);
}

static void list_read(Daemon *d, const Pod *p, PodReads kind, const char *resource, ObjList *out)
{
    Reading r = {p, kind};
    ObjQuery q = {.resource = resource, .namespace_ = p->metadata.namespace_, .match = is_read, .arg = &r};
    err_free(objstore_list(d->store, &q, out)); /* the newest are always there */
}

#define ADD_DECODED(list, type, l)                                                                                     \
    for (size_t i_ = 0; i_ < (l)->n; i_++) {                                                                           \
        void *o_ = decoded(type, (l)->item[i_]);                                                                       \
        if (o_)                                                                                                        \
            *LIST_ADD(list) = o_;                                                                                      \
    }

void stored_objects(Daemon *d, const Pod *p, Objects *out)
{
    SCOPED(objlist_done) ObjList maps = {0}, secrets = {0}, claims = {0};
    list_read(d, p, READS_CONFIG_MAP, "configmaps", &maps);
    list_read(d, p, READS_SECRET, "secrets", &secrets);
    list_read(d, p, READS_PVC, "persistentvolumeclaims", &claims);
    ADD_DECODED(&out->config_maps, &type_ConfigMap, &maps);
    ADD_DECODED(&out->secrets, &type_Secret, &secrets);
    ADD_DECODED(&out->pvcs, &type_PersistentVolumeClaim, &claims);
}

/* --- bound --------------------------------------------------------------------------------------------------------------- */

static void not_bound(Daemon *d, const Pod *p, const ObjItem *i, const char *reason, const char *message)
{
    const PodCondition *c = plan_condition(&p->status, "PodScheduled");
    if (c && str_eq(c->status, "False") && str_eq(c->reason, reason) && str_eq(c->message, message))
        return;
    SCOPED(json_unref) json_t *pod = objitem_json(i);
    pod_condition_set(pod, "PodScheduled", false, reason, message, os_now_ns());
    Err *e = objstore_update(d->store, "pods", pod, &(ObjWrite){.uid = p->metadata.uid}, NULL);
    if (e) {
        log_error(d->c.log, "say why a pod is not scheduled", p->metadata.name, e);
        retry_later(d);
        return;
    }
    if (str_eq(reason, "Unschedulable"))
        recorder_pod_event(d->events, p, EVENTS_SCHEDULER, true, "FailedScheduling", message, NULL, os_now_ns());
}

/* Whether it is bound now. */
static bool bind_pod(Daemon *d, const Pod *p, const ObjItem *i)
{
    SCOPED(json_unref) json_t *pod = objitem_json(i);
    json_object_set_new(json_object_get(pod, "spec"), "nodeName", json_string(d->c.node_name));
    pod_condition_set(pod, "PodScheduled", true, NULL, NULL, os_now_ns());
    fault_step("api.bind");
    Err *e = objstore_update(d->store, "pods", pod, &(ObjWrite){.uid = p->metadata.uid}, NULL);
    if (e) {
        log_error(d->c.log, "bind a pod", p->metadata.name, e);
        retry_later(d);
        return false;
    }
    fault_step("api.bound");
    SCOPED(mem_free) char *text = mem_fmt("Successfully assigned %s/%s to %s", p->metadata.namespace_, p->metadata.name, d->c.node_name);
    recorder_pod_event(d->events, p, EVENTS_SCHEDULER, false, "Scheduled", text, NULL, os_now_ns());
    return true;
}

static bool schedule(Daemon *d, const Pod *p, const ObjItem *i)
{
    SCOPED(mem_free) char *key = pod_key(p);
    SCOPED(mem_free) char *claims = claims_problem(d, p);
    SCOPED(mem_free) char *why = NULL;
    PodRefs others = {0};
    others_on_node(d, &others);
    BindVerdict v = plan_bind(p, others.v, others.n, node_object_bind(d->node), claims, &why);
    free(others.v);
    switch (v) {
    case BIND_NOW:
        return bind_pod(d, p, i);
    case BIND_GATED:
        not_bound(d, p, i, "SchedulingGated", BIND_GATED_MESSAGE);
        break;
    case BIND_PENDING:
        if (!strvec_has(&d->pending, key))
            strvec_add(&d->pending, key);
        not_bound(d, p, i, "Unschedulable", why);
        break;
    case BIND_NOT_OURS:
        break;
    }
    return false;
}

/* --- run ----------------------------------------------------------------------------------------------------------------- */

static void set_annotation(ObjectMeta *m, const char *key, const char *value)
{
    LIST_EACH(a, &m->annotations)
        if (str_eq(a->key, key)) {
            mem_set_str(&a->value, value);
            return;
        }
    StrPair *a = LIST_ADD(&m->annotations);
    while (a > m->annotations.v && strcmp(a[-1].key, key) > 0) {
        *a = a[-1];
        a--;
    }
    *a = (StrPair){mem_dup_str(key), mem_dup_str(value)};
}

/* The agent's copy: marked as the kubelet marks its own (config/common.go), and without what only the API is interested in. */
static void to_agent(Pod *p)
{
    char seen[CLOCK_TEXT_MAX];
    ObjectMeta *m = &p->metadata;
    set_annotation(m, ANNOTATION_SOURCE, SOURCE_API);
    set_annotation(m, ANNOTATION_SEEN, clock_format(m->creation_timestamp.ns, 9, seen));
    free(m->managed_fields);
    m->managed_fields = NULL;
    free(m->resource_version);
    m->resource_version = NULL;
}

/* A run begins: nothing is known but where it is, and what others say. One that ran before had its record taken away. */
static void reset_status(PodStatus *s)
{
    PodStatus *was = api_copy(&type_PodStatus, s);
    api_done(&type_PodStatus, s);
    s->phase = mem_dup_str("Pending");
    s->qos_class = mem_dup_str(was->qos_class);
    s->nominated_node_name = mem_dup_str(was->nominated_node_name);
    LIST_EACH(c, &was->conditions)
        if (!plan_owns_condition(c->type) || str_eq(c->type, "PodScheduled"))
            api_copy_into(&type_PodCondition, LIST_ADD(&s->conditions), c);
    api_free(&type_PodStatus, was);
}

static void add_pod(Daemon *d, const Pod *p)
{
    Pod *mine = api_copy(&type_Pod, p);
    SCOPED(objects_done) Objects objects = {0};
    const Pod *added;
    bool adopted;
    to_agent(mine);
    reset_status(&mine->status);
    admit_pod(d, mine);
    stored_objects(d, p, &objects);
    fault_step("api.add");
    Err *e = agent_pod_add(d->agent, mine, &objects, &added, &adopted);
    if (e) {
        log_error(d->c.log, "pod not started", p->metadata.name, e);
        retry_later(d);
        return;
    }
    fault_step("api.added");
    SCOPED(mem_free) char *name = pod_key(p);
    LOG(d->c.log, LOG_INFO, "pod added", {"pod", name}, {"uid", p->metadata.uid}, {"source", SOURCE_API});
}

/* --- its end ------------------------------------------------------------------------------------------------------------- */

/* Nothing of it runs: out of the store, unless others still want to see it; those are told that nothing is left to wait for here. */
static bool take_out(Daemon *d, const Pod *p)
{
    const ObjectMeta *m = &p->metadata;
    Err *e = NULL;
    if (!m->finalizers.n) {
        fault_step("api.delete");
        e = objstore_delete(d->store, "pods", m->namespace_, m->name, &(ObjWrite){.uid = m->uid}, NULL);
        if (!e)
            fault_step("api.deleted");
    } else if (m->deletion_grace_period_seconds.v != 0) {
        char now[CLOCK_TEXT_MAX];
        SCOPED(json_unref) json_t *pod = objitem_json(objstore_get(d->store, "pods", m->namespace_, m->name));
        json_t *meta = json_object_get(pod, "metadata");
        json_object_set_new(meta, "deletionGracePeriodSeconds", json_integer(0));
        json_object_set_new(meta, "deletionTimestamp", json_string(clock_format(os_now_ns(), 0, now)));
        e = objstore_update(d->store, "pods", pod, &(ObjWrite){.uid = m->uid}, NULL);
    }
    if (e) {
        log_error(d->c.log, "take a pod out of the store", m->name, e);
        retry_later(d);
    }
    return !e && !m->finalizers.n;
}

/* One that never ran here, and will not: it was deleted before. */
static void end_unstarted(Daemon *d, const Pod *p)
{
    if (!str_eq(p->status.phase, "Succeeded") && !str_eq(p->status.phase, "Failed")) {
        SCOPED(pod_free) Pod *ended = api_copy(&type_Pod, p);
        mem_set_str(&ended->status.phase, "Failed");
        if (!pod_status_write(d, ended))
            return;
    }
    (void)take_out(d, p);
}

/* The agent has it, the store does not (any more). */
static void end_gone(Daemon *d, const Pod *here)
{
    SCOPED(mem_free) char *uid = mem_dup_str(here->metadata.uid);
    const Tracked *t = tracked(d, uid);
    bool at_once = t && t->gone_grace.set;
    int64_t grace = at_once ? t->gone_grace.v : -1;
    if (!here->metadata.deletion_timestamp.set || (at_once && grace < here->metadata.deletion_grace_period_seconds.v)) {
        SCOPED(mem_free) char *name = pod_key(here);
        LOG(d->c.log, LOG_INFO, "pod deleted: it is not in the API any more", {"pod", name}, {"uid", uid});
        err_free(agent_pod_delete(d->agent, uid, grace));
    }
    if (agent_pod_is_done(d->agent, uid))
        forget_pod(d, uid);
}

static void update_pod(Daemon *d, const Pod *p, const Pod *here)
{
    const char *uid = p->metadata.uid;
    SCOPED(pod_free) Pod *mine = api_copy(&type_Pod, p);
    SCOPED(objects_done) Objects objects = {0};
    to_agent(mine);
    const OptTime *deleted = &p->metadata.deletion_timestamp;
    if (deleted->set && (!here->metadata.deletion_timestamp.set ||
                         p->metadata.deletion_grace_period_seconds.v < here->metadata.deletion_grace_period_seconds.v))
        err_free(agent_pod_delete(d->agent, uid, p->metadata.deletion_grace_period_seconds.v));
    Err *e = agent_pod_update(d->agent, uid, mine);
    if (!e) {
        stored_objects(d, p, &objects);
        e = agent_pod_objects(d->agent, uid, &objects);
    }
    if (e)
        log_error(d->c.log, "update a pod", p->metadata.name, e);
    const Tracked *t = tracked(d, uid);
    if (t && t->status_owed && !pod_status_write(d, here))
        return;
    /* Only what was deleted there is taken out; one that the agent ends for another reason is still to be seen. */
    if (deleted->set && agent_pod_is_done(d->agent, uid) && here->metadata.deletion_timestamp.set && pod_status_write(d, here) &&
        take_out(d, p))
        forget_pod(d, uid);
}

/* --- one Pod ------------------------------------------------------------------------------------------------------------- */

static bool is_terminal(const Pod *p)
{
    return str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
}

/* It is in the store, and the agent does not have it. Whether it was bound just now. */
static bool sync_absent(Daemon *d, const Pod *p)
{
    const ObjItem *i = objstore_get(d->store, "pods", p->metadata.namespace_, p->metadata.name);
    bool deleted = p->metadata.deletion_timestamp.set;
    if (str_empty(p->spec.node_name))
        return !deleted && schedule(d, p, i);
    if (!str_eq(p->spec.node_name, d->c.node_name))
        return false;
    if (deleted)
        end_unstarted(d, p);
    else if (!is_terminal(p)) /* one that has ended and has no record any more has ended */
        add_pod(d, p);
    return false;
}

/* Whether to look again at once. */
static bool sync_pod(Daemon *d, const char *namespace_, const char *name)
{
    const Pod *here = agent_pod_find(d->agent, namespace_, name);
    SCOPED(pod_free) Pod *p = stored_pod(d, namespace_, name);
    if (here && pod_is_static(here))
        return false; /* mirrors.c */
    if (p && pod_is_mirror(p))
        return false;
    if (here && (!p || !str_eq(here->metadata.uid, p->metadata.uid))) {
        end_gone(d, here);
        return p && !agent_pod_find(d->agent, namespace_, name);
    }
    if (!p)
        return false;
    if (here && str_empty(p->spec.node_name)) /* a loss of power took the binding back; it runs */
        (void)bind_pod(d, p, objstore_get(d->store, "pods", namespace_, name));
    if (here)
        update_pod(d, p, here);
    else
        return sync_absent(d, p);
    return false;
}

static void sync_key(Daemon *d, const char *key)
{
    const char *slash = strchr(key, '/');
    SCOPED(mem_free) char *namespace_ = mem_dup_strn(key, (size_t)(slash - key));
    for (int n = 0; n < 3 && sync_pod(d, namespace_, slash + 1); n++)
        ;
}

/* --- all of them --------------------------------------------------------------------------------------------------------- */

typedef struct {
    char *key;
    int64_t priority, created_ns;
} Waiting;

/* The scheduler's queue: priority first, then who came first. */
static int by_turn(const void *a, const void *b)
{
    const Waiting *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    if (x->created_ns != y->created_ns)
        return x->created_ns < y->created_ns ? -1 : 1;
    return strcmp(x->key, y->key);
}

static void sync_in_turn(Daemon *d, StrVec *keys)
{
    LIST_OF(Waiting) queue = {0};
    for (size_t i = 0; i < keys->n; i++) {
        const char *slash = strchr(keys->v[i], '/');
        SCOPED(mem_free) char *namespace_ = mem_dup_strn(keys->v[i], (size_t)(slash - keys->v[i]));
        SCOPED(pod_free) Pod *p = stored_pod(d, namespace_, slash + 1);
        *LIST_ADD(&queue) = (Waiting){keys->v[i], p ? p->spec.priority.v : 0, p ? p->metadata.creation_timestamp.ns : 0};
    }
    if (queue.n > 1)
        qsort(queue.v, queue.n, sizeof *queue.v, by_turn);
    LIST_EACH(q, &queue)
        sync_key(d, q->key);
    free(queue.v);
}

void api_pods_sync(Daemon *d)
{
    StrVec now = MOVE(d->dirty, (StrVec){0});
    if (MOVE(d->schedule, false)) { /* what waited for room, or for the node to be another */
        StrVec pending = MOVE(d->pending, (StrVec){0});
        for (size_t i = 0; i < pending.n; i++)
            if (!strvec_has(&now, pending.v[i]))
                strvec_add(&now, pending.v[i]);
        strvec_done(&pending);
    }
    sync_in_turn(d, &now);
    strvec_done(&now);
}

/* --- what the store does not know ------------------------------------------------------------------------------------------ */

static void import(Daemon *d, const Pod *p)
{
    SCOPED(pod_free) Pod *mine = api_copy(&type_Pod, p);
    StrMap *a = &mine->metadata.annotations;
    for (size_t i = a->n; i-- > 0;)
        if (str_eq(a->v[i].key, ANNOTATION_SOURCE) || str_eq(a->v[i].key, ANNOTATION_SEEN)) {
            free(a->v[i].key);
            free(a->v[i].value);
            memmove(&a->v[i], &a->v[i + 1], (--a->n - i) * sizeof *a->v);
        }
    err_free(apiserver_ensure_namespace(d->store, mine->metadata.namespace_));
    SCOPED(json_unref) json_t *pod = api_encode(&type_Pod, mine);
    SCOPED(mem_free) char *name = pod_key(p);
    SCOPED(err_free) Err *e = objstore_create(d->store, "pods", pod, NULL, NULL);
    SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
    LOG(d->c.log, e ? LOG_ERROR : LOG_INFO, "a pod that runs here was not in the store", {"pod", name}, {"uid", p->metadata.uid}, {"err", text});
}

void api_pods_import(Daemon *d)
{
    ObjStoreState s;
    objstore_state(d->store, &s);
    for (size_t i = 0; i < agent_pod_count(d->agent); i++) {
        const Pod *p = agent_pod_at(d->agent, i);
        const char *source = strmap_get(&p->metadata.annotations, ANNOTATION_SOURCE);
        bool lost = str_eq(source, SOURCE_API) && s.anew; /* else it was deleted */
        if ((!source || lost) && !objstore_get(d->store, "pods", p->metadata.namespace_, p->metadata.name))
            import(d, p);
    }
}
