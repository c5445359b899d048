#include "plan/admit.h"

#include "api/codec.h"
#include "api/objects.h"
#include "api/requests.h"

static bool has_ended(const Pod *p)
{
    return str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
}

static const char *refuse(Pod *pod, const char *reason, char *why)
{
    PodStatus *s = &pod->status;
    mem_set_str(&s->phase, "Failed");
    mem_set_str(&s->reason, reason);
    free(s->message);
    s->message = mem_fmt("Pod was rejected: %s", why);
    free(why);
    return s->reason;
}

static const char *refuse_predicate(Pod *pod, const char *predicate, const char *why)
{
    return refuse(pod, predicate, mem_fmt("Predicate %s failed: %s", predicate, why));
}

static const char *refuse_resource(Pod *pod, const char *resource, int64_t requested, int64_t used, int64_t capacity)
{
    SCOPED(mem_free) char *reason = mem_fmt("OutOf%s", resource);
    return refuse(pod, reason, mem_fmt("Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: %lld", resource,
                                       (long long)requested, (long long)used, (long long)capacity));
}

/* noderesources.Fits: the number of Pods first; of the others only what the Pod asks for. */
static const char *check_resources(Pod *pod, const Pod *const *others, size_t n, const AdmitNode *node)
{
    const struct {
        const char *name;
        int64_t capacity;
    } rows[] = {{"cpu", node->cpu_milli}, {"memory", node->memory_bytes}, {"ephemeral-storage", node->storage_bytes}};
    int64_t pods = 0;
    for (size_t i = 0; i < n; i++)
        pods += !has_ended(others[i]);
    if (pods + 1 > node->max_pods)
        return refuse_resource(pod, "pods", 1, pods, node->max_pods);
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        int64_t wanted = pod_amount(pod, rows[r].name, false, NULL), used = 0;
        for (size_t i = 0; i < n; i++)
            if (!has_ended(others[i]) && __builtin_add_overflow(used, pod_amount(others[i], rows[r].name, false, NULL), &used))
                used = INT64_MAX;
        if (wanted > 0 && wanted > rows[r].capacity - used)
            return refuse_resource(pod, rows[r].name, wanted, used, rows[r].capacity);
    }
    return NULL;
}

static bool selector_matches(const Pod *pod, const StrMap *labels)
{
    LIST_EACH(want, &pod->spec.node_selector) {
        const char *have = labels ? strmap_get(labels, want->key) : NULL;
        if (!have || !str_eq(have, str_or(want->value, "")))
            return false;
    }
    return true;
}

/* --- host ports: schedutil.GetHostPorts, HostPortInfo.CheckConflict --------------------------------------------------- */

static bool is_any(const char *ip)
{
    return str_empty(ip) || str_eq(ip, "0.0.0.0");
}

static bool ports_clash(const ContainerPort *a, const ContainerPort *b)
{
    if (a->host_port.v <= 0 || a->host_port.v != b->host_port.v || !str_eq(str_or(a->protocol, "TCP"), str_or(b->protocol, "TCP")))
        return false;
    return is_any(a->host_ip) || is_any(b->host_ip) || str_eq(a->host_ip, b->host_ip);
}

static bool container_clashes(const Container *a, const Container *b)
{
    LIST_EACH(x, &a->ports)
        LIST_EACH(y, &b->ports)
            if (ports_clash(x, y))
                return true;
    return false;
}

/* The i-th container that holds its ports as long as the Pod runs; NULL behind the last. */
static const Container *port_holder(const Pod *p, size_t i)
{
    if (i < p->spec.containers.n)
        return &p->spec.containers.v[i];
    i -= p->spec.containers.n;
    LIST_EACH(c, &p->spec.init_containers)
        if (container_is_sidecar(c) && i-- == 0)
            return c;
    return NULL;
}

static bool host_ports_clash(const Pod *a, const Pod *b)
{
    const Container *x, *y;
    for (size_t i = 0; (x = port_holder(a, i)) != NULL; i++)
        for (size_t k = 0; (y = port_holder(b, k)) != NULL; k++)
            if (container_clashes(x, y))
                return true;
    return false;
}

const char *plan_admit(Pod *pod, const Pod *const *others, size_t n, const AdmitNode *node)
{
    char *pressed = eviction_refuses(node->pressure, pod);
    if (pressed)
        return refuse(pod, "Evicted", pressed);
    if (pod->spec.os && !str_eq(pod->spec.os->name, "linux"))
        return refuse(pod, "PodOSNotSupported", mem_dup_str("Failed to admit pod as the OS field doesn't match node OS"));
    const char *reason = check_resources(pod, others, n, node);
    if (reason)
        return reason;
    if (!selector_matches(pod, node->labels))
        return refuse_predicate(pod, "NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
    if (!str_empty(pod->spec.node_name) && !str_eq(pod->spec.node_name, node->name))
        return refuse_predicate(pod, "NodeName", "node(s) didn't match the requested node name");
    for (size_t i = 0; i < n; i++)
        if (!has_ended(others[i]) && host_ports_clash(pod, others[i]))
            return refuse_predicate(pod, "NodePorts", "node(s) didn't have free ports for the requested pod ports");
    return NULL;
}
