#include "kube/kinds.h"

#include "base/str.h"

#define READ (VERB_GET | VERB_LIST | VERB_WATCH)
#define WRITE (VERB_CREATE | VERB_UPDATE | VERB_PATCH | VERB_DELETE | VERB_DELETE_COLLECTION)
#define STATUS(k) {"status", NULL, NULL, k, VERB_GET | VERB_PATCH | VERB_UPDATE}

/* In the order of kube-apiserver's discovery: by name. */
static const KubeSub pod_subs[] = {
    {"attach", NULL, NULL, "PodAttachOptions", VERB_CREATE | VERB_GET},
    {"ephemeralcontainers", NULL, NULL, "Pod", VERB_GET | VERB_PATCH | VERB_UPDATE},
    {"eviction", "policy", "v1", "Eviction", VERB_CREATE},
    {"exec", NULL, NULL, "PodExecOptions", VERB_CREATE | VERB_GET},
    {"log", NULL, NULL, "Pod", VERB_GET},
    {"portforward", NULL, NULL, "PodPortForwardOptions", VERB_CREATE | VERB_GET},
    STATUS("Pod"),
};
static const KubeSub pvc_subs[] = {STATUS("PersistentVolumeClaim")};
static const KubeSub namespace_subs[] = {STATUS("Namespace")};
static const KubeSub node_subs[] = {STATUS("Node")};

#define SUBS(s) .sub = (s), .n_sub = ARRAY_LEN(s)
#define ROW(id_, group_, resource_, singular_, kind_, namespaced_, verbs_, ...)                                        \
    [id_] = {.id = id_, .group = group_, .resource = resource_, .singular = singular_, .kind = kind_,                  \
             .list_kind = kind_ "List", .namespaced = namespaced_, .verbs = verbs_, __VA_ARGS__}

const KubeKind kube_kinds[KUBE_KIND_N] = {
    ROW(KUBE_PODS, "", "pods", "pod", "Pod", true, READ | WRITE, .short_name = "po", .category = "all", SUBS(pod_subs)),
    ROW(KUBE_CONFIG_MAPS, "", "configmaps", "configmap", "ConfigMap", true, READ | WRITE, .short_name = "cm"),
    ROW(KUBE_SECRETS, "", "secrets", "secret", "Secret", true, READ | WRITE, .short_name = NULL),
    ROW(KUBE_PVCS, "", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", true, READ | WRITE,
        .short_name = "pvc", SUBS(pvc_subs)),
    ROW(KUBE_EVENTS, "", "events", "event", "Event", true, READ | WRITE, .short_name = "ev"),
    ROW(KUBE_EVENTS_V1, "events.k8s.io", "events", "event", "Event", true, READ | WRITE, .short_name = "ev"),
    /* As upstream, a collection of namespaces cannot be deleted in one request. */
    ROW(KUBE_NAMESPACES, "", "namespaces", "namespace", "Namespace", false, READ | (WRITE & ~(unsigned)VERB_DELETE_COLLECTION),
        .short_name = "ns", SUBS(namespace_subs)),
    /* This machine: it can be looked at, labelled and cordoned, not made. */
    ROW(KUBE_NODES, "", "nodes", "node", "Node", false, READ | VERB_UPDATE | VERB_PATCH, .short_name = "no", SUBS(node_subs)),
    ROW(KUBE_SERVICE_ACCOUNTS, "", "serviceaccounts", "serviceaccount", "ServiceAccount", true, READ | WRITE, .short_name = "sa"),
};

const KubeKind *kube_kind_find(const char *group, const char *resource)
{
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (str_eq(kube_kinds[i].group, group) && str_eq(kube_kinds[i].resource, resource))
            return &kube_kinds[i];
    return NULL;
}

const KubeSub *kube_sub_find(const KubeKind *k, const char *name)
{
    for (size_t i = 0; k && i < k->n_sub; i++)
        if (str_eq(k->sub[i].name, name))
            return &k->sub[i];
    return NULL;
}

char *kube_group_resource(const char *group, const char *resource)
{
    return str_empty(group) ? mem_dup_str(str_or(resource, "")) : mem_fmt("%s.%s", str_or(resource, ""), group);
}

const char *kube_verb_name(unsigned verb)
{
    static const struct { unsigned verb; const char *name; } names[] = {
        {VERB_GET, "get"}, {VERB_LIST, "list"}, {VERB_WATCH, "watch"}, {VERB_CREATE, "create"}, {VERB_UPDATE, "update"},
        {VERB_PATCH, "patch"}, {VERB_DELETE, "delete"}, {VERB_DELETE_COLLECTION, "deletecollection"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].verb == verb)
            return names[i].name;
    return "";
}
