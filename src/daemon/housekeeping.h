/* housekeeping.h - how the node stays healthy for months: it is measured every 10 s; images that nobody uses go when their disk gets full;
 * Pods are evicted when memory, disk or process ids run short. Decisions are plan/eviction.h's and plan/image_gc.h's; here is what they need,
 * and what they say is done. Also what /metrics and /stats/summary show of all that. */
#ifndef REPRISE_DAEMON_HOUSEKEEPING_H
#define REPRISE_DAEMON_HOUSEKEEPING_H

#include "agent/agent.h"
#include "daemon/log.h"
#include "daemon/metrics.h"
#include "plan/image_gc.h"
#include "wire/json.h"

typedef struct Housekeeping Housekeeping;
typedef struct {
    EvictConfig eviction;
    ImageGcPolicy images;
} HousekeepingOptions;
typedef struct {
    uv_loop_t *loop;
    Runtime *rt;  /* borrowed, as all here; it is metered from now on */
    Agent *agent;
    const Log *log;
    const char *root, *log_dir, *node_name;
    const HousekeepingOptions *options;
    /* From the loop; each may be NULL. The node's conditions have changed: housekeeping_pressure(). */
    void (*on_pressure)(void *arg);
    /* An event about the node itself: "EvictionThresholdMet", "FreeDiskSpaceFailed", ... */
    void (*on_event)(void *arg, bool warning, const char *reason, const char *message);
    void *arg;
} HousekeepingConfig;

/* Looks for the first time when the loop runs. ERR_UNSUPPORTED: no cgroups. */
MUST_USE Err *housekeeping_new(const HousekeepingConfig *c, Housekeeping **ret);
/* Before the runtime and the agent are closed; the loop must run a turn afterwards. NULL is fine. */
void housekeeping_close(Housekeeping *h);

/* Of an AgentListener. */
void housekeeping_pod(Housekeeping *h, const char *type, const Pod *p, int64_t now_ns);
void housekeeping_event(Housekeeping *h, const Pod *p, const char *reason, const char *message, const char *container);

/* The node's conditions now: for admission, and for the Node object. */
NodePressure housekeeping_pressure(const Housekeeping *h);
/* A condition of the kubelet's names with its reason and message (nodestatus/setters.go): i from 0 until false. */
typedef struct { const char *type, *reason, *message; bool on; } NodeCondition;
bool housekeeping_condition(const Housekeeping *h, size_t i, NodeCondition *ret);

/* What ApiNodeOps wants. Who asks is taken to ask again: for some minutes the Pods are measured more often. */
void housekeeping_metrics(Housekeeping *h, size_t manifests, size_t manifests_broken, const ObjStoreState *store, Str *out);
void housekeeping_resource_metrics(Housekeeping *h, Str *out);
MUST_USE json_t *housekeeping_summary(Housekeeping *h);
Metrics *housekeeping_counts(Housekeeping *h);

#endif
