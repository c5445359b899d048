/* kinds.h - what the local API serves, one row a resource: names, scope, verbs, subresources. Everything else in this folder asks here.
 *
 * src/kube is the API server without its server: functions over JSON values and api/ types, no clock, no file, no socket. */
#ifndef REPRISE_KUBE_KINDS_H
#define REPRISE_KUBE_KINDS_H

#include "base/mem.h"

typedef enum {
    KUBE_PODS,
    KUBE_CONFIG_MAPS,
    KUBE_SECRETS,
    KUBE_PVCS,
    KUBE_EVENTS,      /* v1; the form in which events are kept, whatever form they are asked for in */
    KUBE_EVENTS_V1,   /* events.k8s.io/v1, the same objects under other names */
    KUBE_NAMESPACES,
    KUBE_NODES,
    KUBE_SERVICE_ACCOUNTS,
    KUBE_KIND_N,
} KubeKindId;

enum {
    VERB_GET = 1,
    VERB_LIST = 2,
    VERB_WATCH = 4,
    VERB_CREATE = 8,
    VERB_UPDATE = 16,
    VERB_PATCH = 32,
    VERB_DELETE = 64,
    VERB_DELETE_COLLECTION = 128,
};

typedef struct {
    const char *name;          /* "log" */
    const char *group, *version, *kind; /* of what is sent there: ("policy", "v1", "Eviction"); NULL group and version = the resource's */
    unsigned verbs;
} KubeSub;
typedef struct {
    KubeKindId id;
    const char *group, *resource, *singular, *kind, *list_kind; /* group "" is the core; every version is v1 */
    bool namespaced;
    unsigned verbs;
    const char *short_name; /* NULL: none */
    const char *category;   /* NULL or "all" */
    const KubeSub *sub;
    size_t n_sub;
} KubeKind;

extern const KubeKind kube_kinds[KUBE_KIND_N]; /* indexed by KubeKindId */

/* NULL: not served. */
const KubeKind *kube_kind_find(const char *group, const char *resource);
const KubeSub *kube_sub_find(const KubeKind *k, const char *name);
/* "pods" or "events.events.k8s.io": schema.GroupResource.String(). Caller frees. */
MUST_USE char *kube_group_resource(const char *group, const char *resource);
/* VERB_GET -> "get". Static. */
const char *kube_verb_name(unsigned verb);

#endif
