/* bind.h - kube-scheduler's decision with one node to choose from: its filters in their order, its words
 * (pkg/scheduler/framework/plugins, framework/types.go FitError). Pure.
 *
 * Not as the scheduler: nobody is preempted, and affinity and topology spread are not looked at (validation refuses what is required of
 * them). */
#ifndef REPRISE_PLAN_BIND_H
#define REPRISE_PLAN_BIND_H

#include "plan/admit.h"

typedef struct {
    const char *key, *value, *effect; /* value "" = none */
} BindTaint;

typedef struct {
    AdmitNode admit;
    bool unschedulable;
    const BindTaint *taints;
    size_t n_taints;
} BindNode;

#define BIND_SCHEDULER "default-scheduler"

typedef enum {
    BIND_NOW,
    BIND_NOT_OURS, /* another scheduler's */
    BIND_GATED,    /* schedulingGates: PodScheduled False, reason SchedulingGated */
    BIND_PENDING,  /* does not fit: PodScheduled False, reason Unschedulable, message *ret_why */
} BindVerdict;

/* For a Pod without nodeName. <claims>: what is wrong with its claims, as the scheduler says it (persistentvolumeclaim "x" not found), NULL
 * = nothing. *ret_why: caller frees; NULL but for BIND_PENDING. */
BindVerdict plan_bind(const Pod *pod, const Pod *const *others, size_t n, const BindNode *node, const char *claims, char **ret_why);

#define BIND_GATED_MESSAGE "Scheduling is blocked due to non-empty scheduling gates"

#endif
