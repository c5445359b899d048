#include "plan/bind.h"

#include "api/codec.h"
#include "base/str.h"

#define TAINT_UNSCHEDULABLE "node.kubernetes.io/unschedulable"

/* Toleration.ToleratesTaint() */
static bool tolerates(const Toleration *t, const BindTaint *taint)
{
    if (!str_empty(t->effect) && !str_eq(t->effect, taint->effect))
        return false;
    if (!str_empty(t->key) && !str_eq(t->key, taint->key))
        return false;
    if (str_eq(t->operator_, "Exists"))
        return true;
    return (str_empty(t->operator_) || str_eq(t->operator_, "Equal")) && str_eq(str_or(t->value, ""), str_or(taint->value, ""));
}

static bool tolerated(const Pod *p, const BindTaint *taint)
{
    LIST_EACH(t, &p->spec.tolerations)
        if (tolerates(t, taint))
            return true;
    return false;
}

static bool has_untolerated(const Pod *p, const BindNode *n)
{
    for (size_t i = 0; i < n->n_taints; i++) {
        const char *effect = n->taints[i].effect;
        if ((str_eq(effect, "NoSchedule") || str_eq(effect, "NoExecute")) && !tolerated(p, &n->taints[i]))
            return true;
    }
    return false;
}

/* The kubelet's reasons are of the scheduler's filters; these are the scheduler's words for them. <helps>: would it help to take
 * something away from others? */
static const struct {
    const char *reason, *words;
    bool helps;
} filters[] = {
    {"OutOfcpu", "Insufficient cpu", true},
    {"OutOfmemory", "Insufficient memory", true},
    {"OutOfephemeral-storage", "Insufficient ephemeral-storage", true},
    {"OutOfpods", "Too many pods", true},
    {"NodePorts", "node(s) didn't have free ports for the requested pod ports", true},
    {"NodeAffinity", "node(s) didn't match Pod's node affinity/selector", false},
    {"NodeName", "node(s) didn't match the requested node name", false},
};

static char *not_available(const char *why, bool counted, bool helps)
{
    return mem_fmt("0/1 nodes are available: %s%s. no new claims to deallocate, preemption: 0/1 nodes are available: 1 %s.",
                   counted ? "1 " : "", why, helps ? "No preemption victims found for incoming pod" : "Preemption is not helpful for scheduling");
}

static char *does_not_fit(const Pod *pod, const Pod *const *others, size_t n, const BindNode *node, const char *claims)
{
    static const BindTaint unschedulable = {TAINT_UNSCHEDULABLE, "", "NoSchedule"};
    if (claims) /* a PreFilter's answer: of all nodes alike */
        return not_available(claims, false, false);
    if (node->unschedulable && !tolerated(pod, &unschedulable))
        return not_available("node(s) were unschedulable", true, false);
    if (has_untolerated(pod, node))
        return not_available("node(s) had untolerated taint(s)", true, false);
    Pod *copy = api_copy(&type_Pod, pod);
    const char *reason = plan_admit(copy, others, n, &node->admit);
    char *why = NULL;
    for (size_t i = 0; reason && i < ARRAY_LEN(filters); i++)
        if (str_eq(reason, filters[i].reason))
            why = not_available(filters[i].words, true, filters[i].helps);
    pod_free(copy); /* what no filter of the scheduler's asks for is the node's to refuse */
    return why;
}

static bool has_gates(const Pod *p)
{
    return !str_empty(p->spec.scheduling_gates) && !str_eq(p->spec.scheduling_gates, "[]");
}

BindVerdict plan_bind(const Pod *pod, const Pod *const *others, size_t n, const BindNode *node, const char *claims, char **ret_why)
{
    *ret_why = NULL;
    if (!str_empty(pod->spec.scheduler_name) && !str_eq(pod->spec.scheduler_name, BIND_SCHEDULER))
        return BIND_NOT_OURS;
    if (has_gates(pod))
        return BIND_GATED;
    *ret_why = does_not_fit(pod, others, n, node, claims);
    return *ret_why ? BIND_PENDING : BIND_NOW;
}
