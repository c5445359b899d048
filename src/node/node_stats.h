/* node_stats.h - measures this node and its Pods, as the kubelet and cAdvisor do it, for eviction, metrics and /stats/summary.
 *
 * Of the node: a dozen small reads, at once. Of the Pods: their cgroups, a few milliseconds in each turn of the loop; or what a CRI runtime
 * says. What Pods take on disks is counted by a helper process of our own executable (`reprise disk-usage`), when it is asked for; until
 * the next count the numbers of the last one stand. */
#ifndef REPRISE_NODE_NODE_STATS_H
#define REPRISE_NODE_NODE_STATS_H

#include <uv.h>

#include "api/stats.h"
#include "runtime/runtime.h"

typedef struct NodeObserver NodeObserver;
typedef struct {
    uv_loop_t *loop;
    Runtime *rt;                            /* borrowed */
    const char *root, *log_dir;             /* borrowed */
    const Pod *(*pod)(void *arg, size_t i); /* the node's Pods; NULL behind the last */
    void *arg;
} NodeObserverConfig;

/* ERR_UNSUPPORTED: no cgroups. */
MUST_USE Err *node_observer_new(const NodeObserverConfig *c, NodeObserver **ret);
/* Outstanding looks are never done. The loop must run a turn afterwards. NULL is fine. */
void node_observer_close(NodeObserver *o);
/* Measures the node itself: all of NodeStats but the Pods. */
void node_observe(NodeObserver *o);
/* Measures the Pods that run something, and with <disks> what they take on disks. <done> comes once, from the loop. false: such a look is
 * under way already. */
bool node_observe_pods(NodeObserver *o, bool disks, void (*done)(void *arg), void *arg);
/* Of the last looks; good until the loop goes on. */
const NodeStats *node_observer_stats(const NodeObserver *o);
/* Bytes that the images take, by the runtime's own account; STAT_NONE = it does not say. */
int64_t node_observer_images_used(const NodeObserver *o);

/* The helper: reads paths from <in>, a NUL behind each, and adds a line "BYTES INODES" for each to <out>; "-1 -1" where that cannot be told. */
void disk_usage_lines(const char *in, size_t n, Str *out);

#endif
