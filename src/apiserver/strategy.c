/* strategy.c - see strategy.h; upstream: pkg/registry/core/KIND/strategy.go, pkg/apis/core/validation. */
#include "apiserver/strategy.h"

#include "api/names.h"
#include "base/clock.h"
#include "kube/diff.h"
#include "wire/json.h"

static json_t *raw_json(const char *raw)
{
    json_t *j = raw ? json_loads(raw, JSON_DECODE_ANY, NULL) : NULL;
    return j ? j : json_object();
}

static void raw_set(Raw *raw, json_t *j /* taken */)
{
    free(*raw);
    *raw = json_object_size(j) ? json_text(j, false) : NULL;
    json_decref(j);
}

static void meta_update(ObjectMeta *next, const ObjectMeta *old, bool namespaced, Report *r)
{
    meta_prepare_update(next, old);
    meta_validate_update(next, old, r);
    object_meta_validate(next, namespaced, r);
}

/* --- Pods --------------------------------------------------------------------------------------------------------- */

static void add_toleration(PodSpec *s, const char *key)
{
    LIST_EACH(t, &s->tolerations)
        if ((str_eq(t->key, key) || str_empty(t->key)) && (str_eq(t->effect, "NoExecute") || str_empty(t->effect)))
            return;
    Toleration *t = LIST_ADD(&s->tolerations);
    *t = (Toleration){.key = mem_dup_str(key), .operator_ = mem_dup_str("Exists"), .effect = mem_dup_str("NoExecute"),
                      .toleration_seconds = {true, 300}};
}

static void add_default_tolerations(PodSpec *s)
{
    add_toleration(s, "node.kubernetes.io/not-ready");
    add_toleration(s, "node.kubernetes.io/unreachable");
}

/* What kube-apiserver's admission plugins fill in: ServiceAccount, DefaultTolerationSeconds, Priority. */
static void pod_prepare(void *o)
{
    Pod *p = o;
    PodSpec *s = &p->spec;
    if (str_empty(s->service_account_name))
        mem_set_str(&s->service_account_name, "default");
    mem_set_str(&s->service_account, s->service_account_name);
    add_default_tolerations(s);
    pod_reset_status(p);
}

static void pod_defaults(void *o) { pod_default(o); }
static void pod_check(const void *o, const FeatureGates *g, Report *r) { pod_validate(o, g, r); }
/* Admission sees updates too: the tolerations are added again, and the priority stays what it was. */
static void pod_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    PodSpec *n = &((Pod *)next)->spec;
    const PodSpec *o = &((const Pod *)old)->spec;
    add_default_tolerations(n);
    if (!n->priority.set)
        n->priority = o->priority;
    if (str_empty(n->preemption_policy))
        mem_set_str(&n->preemption_policy, o->preemption_policy);
    pod_update(next, old, g, r);
}
static void pod_status(void *next, const void *old, const FeatureGates *g, Report *r)
{
    (void)g;
    pod_update_status(next, old, r);
}
static void pod_ephemeral(void *next, const void *old, const FeatureGates *g, Report *r) { pod_update_ephemeral(next, old, g, r); }

/* --- ConfigMaps, Secrets ------------------------------------------------------------------------------------------- */

static void config_map_check(const void *o, const FeatureGates *g, Report *r)
{
    (void)g;
    config_map_validate(o, r);
}
static void config_map_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    (void)g;
    config_map_update(next, old, r);
}
static void secret_defaults(void *o) { secret_default(o); }
static void secret_check(const void *o, const FeatureGates *g, Report *r)
{
    (void)g;
    secret_validate(o, r);
}
static void secret_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    (void)g;
    secret_update(next, old, r);
}

/* --- claims ------------------------------------------------------------------------------------------------------- */

static void pvc_defaults(void *o)
{
    PersistentVolumeClaim *c = o;
    json_t *spec = raw_json(c->spec);
    if (json_is_object(spec) && !json_object_get(spec, "volumeMode"))
        json_object_set_new(spec, "volumeMode", json_string("Filesystem"));
    raw_set(&c->spec, spec);
}

static void pvc_prepare(void *o)
{
    mem_set_str(&((PersistentVolumeClaim *)o)->status, "{\"phase\":\"Pending\"}");
}

static void pvc_check(const void *o, const FeatureGates *g, Report *r)
{
    (void)g;
    pvc_validate(o, r);
}

static void pvc_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    PersistentVolumeClaim *n = next;
    const PersistentVolumeClaim *o = old;
    (void)g;
    meta_prepare_update(&n->metadata, &o->metadata);
    mem_set_str(&n->status, o->status);
    meta_validate_update(&n->metadata, &o->metadata, r);
    pvc_validate(n, r);
    SCOPED(json_unref) json_t *a = raw_json(n->spec);
    SCOPED(json_unref) json_t *b = raw_json(o->spec);
    json_t *was = json_object_get(json_object_get(b, "resources"), "requests");
    if (was && json_is_object(json_object_get(a, "resources")))
        json_object_set(json_object_get(a, "resources"), "requests", was);
    if (json_equal(a, b))
        return;
    SCOPED(mem_free) char *diff = json_diff(b, a);
    report_add(r, CAUSE_FORBIDDEN, "spec",
               "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
               "claims\n%s", diff);
}

/* --- kinds with a status that others write ------------------------------------------------------------------------- */

static void spec_status_status(void *next, const void *old, const FeatureGates *g, Report *r)
{
    SpecStatus *n = next;
    const SpecStatus *o = old;
    (void)g;
    mem_set_str(&n->spec, o->spec);
    meta_update(&n->metadata, &o->metadata, !str_empty(o->metadata.namespace_), r);
}

#define NAME_LABEL "kubernetes.io/metadata.name"

static void label_name(ObjectMeta *m)
{
    if (str_empty(m->name) || str_eq(strmap_get(&m->labels, NAME_LABEL), m->name))
        return;
    StrPair *p = NULL;
    LIST_EACH(l, &m->labels)
        if (str_eq(l->key, NAME_LABEL))
            p = l;
    if (p) {
        mem_set_str(&p->value, m->name);
        return;
    }
    p = LIST_ADD(&m->labels);
    *p = (StrPair){mem_dup_str(NAME_LABEL), mem_dup_str(m->name)};
    for (; p > m->labels.v && strcmp(p[-1].key, p->key) > 0; p--) {
        StrPair swap = p[-1];
        p[-1] = *p;
        *p = swap;
    }
}

static void namespace_defaults(void *o) { label_name(&((SpecStatus *)o)->metadata); }
static void namespace_prepare(void *o)
{
    SpecStatus *n = o;
    mem_set_str(&n->spec, "{\"finalizers\":[\"kubernetes\"]}");
    mem_set_str(&n->status, "{\"phase\":\"Active\"}");
}

static void namespace_check(const void *o, const FeatureGates *g, Report *r)
{
    const SpecStatus *n = o;
    (void)g;
    object_meta_validate(&n->metadata, false, r);
    if (report_ok(r) && n->metadata.name)
        v_dns_label(r, CHILD(CHILD(NULL, "metadata"), "name"), n->metadata.name);
}

static void namespace_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    SpecStatus *n = next;
    const SpecStatus *o = old;
    (void)g;
    mem_set_str(&n->spec, o->spec);
    mem_set_str(&n->status, o->status);
    meta_update(&n->metadata, &o->metadata, false, r);
    if (!str_eq(strmap_get(&n->metadata.labels, NAME_LABEL), n->metadata.name)) /* it is defaulted; another value is refused */
        report_add(r, CAUSE_INVALID, "metadata.labels[kubernetes.io/metadata.name]", "Invalid value: \"%s\": must match the name",
                   str_or(strmap_get(&n->metadata.labels, NAME_LABEL), ""));
}

/* Clients may say whether this machine takes Pods; what it is, is the agent's to say. */
static void node_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    static const char *const free_[] = {"unschedulable", "taints"};
    SpecStatus *n = next;
    const SpecStatus *o = old;
    (void)g;
    mem_set_str(&n->status, o->status);
    meta_update(&n->metadata, &o->metadata, false, r);
    json_t *a = raw_json(n->spec), *b = raw_json(o->spec);
    json_t *plain = json_deep_copy(a);
    if (json_is_false(json_object_get(a, "unschedulable")))
        json_object_del(a, "unschedulable"); /* omitempty */
    raw_set(&n->spec, a);
    for (size_t i = 0; i < ARRAY_LEN(free_); i++) {
        json_object_del(plain, free_[i]);
        json_object_del(b, free_[i]);
    }
    if (!json_equal(plain, b))
        report_add(r, CAUSE_FORBIDDEN, "spec", "Forbidden: node updates may only change labels, taints, or capacity (or configSource, if "
                                               "the DynamicKubeletConfig feature gate is enabled)");
    json_decref(plain);
    json_decref(b);
}

/* --- ServiceAccounts, Events ---------------------------------------------------------------------------------------- */

static void meta_check(const void *o, const FeatureGates *g, Report *r)
{
    (void)g;
    object_meta_validate(&((const ObjectHead *)o)->metadata, true, r);
}

static void meta_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    (void)g;
    meta_update(&((ObjectHead *)next)->metadata, &((const ObjectHead *)old)->metadata, true, r);
}

/* pkg/apis/core/validation/events.go: the legacy rules, which hold for all, and that an event is where its object is. */
static void event_check(const void *o, const FeatureGates *g, Report *r)
{
    const Event *e = o;
    const char *about = str_or(e->involved_object.namespace_, ""), *in = str_or(e->metadata.namespace_, "");
    int64_t ns;
    meta_check(o, g, r);
    if (*about ? !str_eq(about, in) : !str_eq(in, "default") && !str_eq(in, "kube-system"))
        report_add(r, CAUSE_INVALID, "involvedObject.namespace", "Invalid value: \"%s\": does not match event.namespace", about);
    if (e->event_time && !clock_parse(e->event_time, &ns))
        report_add(r, CAUSE_INVALID, "eventTime", "Invalid value: \"%s\": must be a time", e->event_time);
}

static void event_change(void *next, const void *old, const FeatureGates *g, Report *r)
{
    meta_change(next, old, g, r);
    if (report_ok(r))
        event_check(next, g, r);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static const char *const reset_status[] = {"status", NULL};
static const char *const reset_spec[] = {"spec", NULL};
static const char *const reset_pod_status[] = {"spec", "metadata.deletionTimestamp", "metadata.ownerReferences", NULL};
static const char *const reset_ephemeral[] = {"status", "metadata", NULL};

static const SubStrategy pod_subs[] = {
    {NULL, pod_change, reset_status},
    {"status", pod_status, reset_pod_status},
    {"ephemeralcontainers", pod_ephemeral, reset_ephemeral},
};
static const SubStrategy config_map_subs[] = {{NULL, config_map_change, NULL}};
static const SubStrategy secret_subs[] = {{NULL, secret_change, NULL}};
static const SubStrategy pvc_subs[] = {{NULL, pvc_change, reset_status}, {"status", spec_status_status, reset_spec}};
static const SubStrategy event_subs[] = {{NULL, event_change, NULL}};
static const SubStrategy namespace_subs[] = {{NULL, namespace_change, reset_status}, {"status", spec_status_status, reset_spec}};
static const SubStrategy node_subs[] = {{NULL, node_change, reset_status}, {"status", spec_status_status, reset_spec}};
static const SubStrategy account_subs[] = {{NULL, meta_change, NULL}};

#define SUBS(s) .subs = (s), .n_subs = ARRAY_LEN(s)
static const Strategy strategies[KUBE_KIND_N] = {
    [KUBE_PODS] = {&type_Pod, pod_defaults, pod_prepare, pod_check, SUBS(pod_subs), .returns_deleted = true},
    [KUBE_CONFIG_MAPS] = {&type_ConfigMap, NULL, NULL, config_map_check, SUBS(config_map_subs)},
    [KUBE_SECRETS] = {&type_Secret, secret_defaults, NULL, secret_check, SUBS(secret_subs)},
    [KUBE_PVCS] = {&type_PersistentVolumeClaim, pvc_defaults, pvc_prepare, pvc_check, SUBS(pvc_subs), .returns_deleted = true},
    [KUBE_EVENTS] = {&type_Event, NULL, NULL, event_check, SUBS(event_subs)},
    [KUBE_EVENTS_V1] = {&type_Event, NULL, NULL, event_check, SUBS(event_subs)},
    [KUBE_NAMESPACES] = {&type_Namespace, namespace_defaults, namespace_prepare, namespace_check, SUBS(namespace_subs)},
    [KUBE_NODES] = {&type_Node, NULL, NULL, NULL, SUBS(node_subs)},
    [KUBE_SERVICE_ACCOUNTS] = {&type_ServiceAccount, NULL, NULL, meta_check, SUBS(account_subs), .returns_deleted = true},
};

const Strategy *strategy_of(const KubeKind *k)
{
    return &strategies[k->id];
}

const SubStrategy *strategy_sub(const Strategy *s, const KubeSub *sub)
{
    for (size_t i = 0; i < s->n_subs; i++)
        if (str_eq(s->subs[i].sub, sub ? sub->name : NULL))
            return &s->subs[i];
    return NULL;
}
