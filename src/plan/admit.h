/* admit.h - may a Pod run on this node beside those that are here? The kubelet's predicates, with its reasons and words
 * (pkg/kubelet/lifecycle/predicate.go over the scheduler's AdmissionCheck; rejectPod() in kubelet.go). Pure.
 *
 * Not as the kubelet: a critical Pod (every static one is) evicts nobody to make room, and affinity is not looked at. */
#ifndef REPRISE_PLAN_ADMIT_H
#define REPRISE_PLAN_ADMIT_H

#include "plan/eviction.h"

/* What Pods may have of the node: allocatable, not capacity. */
typedef struct {
    const char *name;
    const StrMap *labels;
    int64_t cpu_milli, memory_bytes, storage_bytes, max_pods;
    NodePressure pressure; /* asked first: who may come while something is short */
} AdmitNode;

/* NULL: admitted. Else <pod>'s phase, reason and message in its status say why not; the reason is returned, static or <pod>'s. <others>:
 * the Pods that the node has; those that have ended do not count. */
const char *plan_admit(Pod *pod, const Pod *const *others, size_t n, const AdmitNode *node);

#endif
