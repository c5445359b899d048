/* metrics.h - what the node counts, and how Prometheus is told: docs/metrics.md. Names are the kubelet's where it has such a number
 * (pkg/kubelet/metrics/metrics.go, collectors/resource_metrics.go), else they begin with reprise_.
 *
 * Counters grow by what the agent, the runtime and the API tell; gauges are taken from <now> at each rendering. No I/O in here. */
#ifndef REPRISE_DAEMON_METRICS_H
#define REPRISE_DAEMON_METRICS_H

#include "api/stats.h"
#include "http/http.h"
#include "os/self.h"
#include "plan/eviction.h"
#include "runtime/meter.h"
#include "store/store.h"

typedef struct Metrics Metrics;
/* <meter> may be NULL: nothing is told of the runtime. */
Metrics *metrics_new(const char *node_name, const RuntimeMeter *meter);
void metrics_free(Metrics *m);

/* An AgentListener's calls. */
void metrics_pod(Metrics *m, const char *type, const Pod *p, int64_t now_ns);
void metrics_event(Metrics *m, const Pod *p, const char *reason, const char *message, const char *container);
/* A Pod was evicted for <signal>; <age_ns>: of the measurement that it was decided by. */
void metrics_evicted(Metrics *m, const char *signal, int64_t age_ns);
/* An image was removed; <reason> "space" or "age". */
void metrics_image_removed(Metrics *m, const char *reason, int64_t bytes);
/* A request to the API is over. */
void metrics_request(Metrics *m, const HttpLog *l, const char *verb, const char *resource);

typedef struct {
    const Pod *(*pod)(void *arg, size_t i); /* the node's Pods; NULL behind the last */
    void *arg;
    const NodeStats *stats;
    NodePressure pressure;
    const SelfUsage *self;
    size_t manifests, manifests_broken; /* of static Pods */
    const ObjStoreState *store;         /* NULL = there is none */
} MetricsNow;
/* /metrics, in Prometheus' text format 0.0.4. */
void metrics_render(const Metrics *m, const MetricsNow *now, Str *out);
/* /metrics/resource: processor time and memory of node, Pods and containers. */
void metrics_render_resource(const NodeStats *s, Str *out);

#endif
