/* eviction.h - when a node runs short of memory, disk or process ids: what is short, what is given back first, which Pod has to go, and
 * what it is told. The rules and the words are the kubelet's (pkg/kubelet/eviction/helpers.go, eviction_manager.go). Pure.
 *
 * Not as the kubelet: Pods have no cgroup of all of them with a limit, so the signal allocatableMemory.available does not exist; where
 * inodes are short, upstream subtracts a Pod's request of bytes from its count of inodes, here it asks for none. */
#ifndef REPRISE_PLAN_EVICTION_H
#define REPRISE_PLAN_EVICTION_H

#include "api/stats.h"
#include "api/types.h"
#include "base/err.h"

typedef enum {
    EVICT_MEMORY,         /* memory.available */
    EVICT_NODEFS,         /* nodefs.available */
    EVICT_NODEFS_INODES,  /* nodefs.inodesFree */
    EVICT_IMAGEFS,        /* imagefs.available */
    EVICT_IMAGEFS_INODES, /* imagefs.inodesFree */
    EVICT_PID,            /* pid.available */
    EVICT_SIGNALS
} EvictSignal;
extern const char *const evict_signal_names[EVICT_SIGNALS + 1]; /* NULL-terminated */

/* The kubelet's defaults on Linux. */
#define EVICTION_HARD_DEFAULT                                                                                          \
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"
#define EVICTION_PERIOD_NS (10 * NS_PER_S)      /* monitoringInterval */
#define EVICTION_CLEANUP_NS (30 * NS_PER_S)     /* podCleanupTimeout: for so long an evicted Pod is waited for before the next look */
#define EVICTION_IMMEDIATE_GRACE_S 1            /* immediateEvictionGracePeriodSeconds */

typedef struct {
    bool set, percent;
    float fraction;   /* of the capacity */
    int64_t amount;   /* bytes, inodes, ids */
    char text[48];    /* the amount as a canonical quantity */
} EvictValue;
typedef struct {
    EvictSignal signal;
    EvictValue value, min_reclaim;
    int64_t grace_ns; /* 0: a hard one */
} EvictThreshold;
/* For each signal a hard and a soft one. */
#define EVICT_THRESHOLDS_MAX ((size_t)EVICT_SIGNALS * 2)
typedef struct {
    size_t n;
    EvictThreshold v[EVICT_THRESHOLDS_MAX]; /* in the order of the signals, hard before soft */
    int64_t transition_ns;                  /* a condition stays for so long after it was last met */
    int64_t max_pod_grace_s;                /* of a soft eviction; negative: the Pod's own */
} EvictConfig;

/* What the kubelet's flags say: <hard> and <soft> "SIGNAL<QUANTITY,SIGNAL<10%", <soft_grace> "SIGNAL=DURATION,...", <min_reclaim>
 * "SIGNAL=QUANTITY,...". NULL and "" are none. Thresholds of 0% and 100% are none either; containerfs.* are left out, as the kubelet
 * replaces them by those of the file system that containers are on. Fills <ret>'s thresholds only. ERR_INVALID, with the kubelet's
 * words. */
MUST_USE Err *eviction_parse(const char *hard, const char *soft, const char *soft_grace, const char *min_reclaim, EvictConfig *ret);

typedef struct {
    struct { bool known; int64_t available, capacity; } of[EVICT_SIGNALS];
} EvictObservations;
void eviction_observations(const NodeStats *s, EvictObservations *ret);

typedef struct { bool memory, disk, pid; } NodePressure;

/* What is remembered from one look to the next. {0} is a node's that has just begun. */
typedef struct {
    bool met[EVICT_THRESHOLDS_MAX];           /* with their grace, and not yet resolved */
    int64_t first_ns[EVICT_THRESHOLDS_MAX];   /* 0 = not met */
    int64_t memory_ns, disk_ns, pid_ns;       /* when a condition was last met; 0 = never */
    NodePressure pressure;
} EvictState;

typedef struct {
    const EvictThreshold *reclaim; /* the most urgent one whose grace is over; NULL = nothing is short */
    bool reclaim_node;             /* removing all unused images may do: to be tried before a Pod goes */
} EvictDecision;

/* One look. <now_ns> > 0. <disks> decides whose usage counts for which signal, and what can be given back. */
EvictDecision eviction_look(const EvictConfig *c, const EvictObservations *o, DiskLayout disks, int64_t now_ns, EvictState *s);
/* Whether any threshold is still met, its minimum reclaim included: asked after something was given back. */
bool eviction_still_short(const EvictConfig *c, const EvictObservations *o);
const char *eviction_resource(EvictSignal s); /* "memory", "ephemeral-storage", "inodes", "pids" */

typedef struct {
    const Pod *pod;
    const PodStats *stats; /* NULL: not measured, and first to go */
} EvictCandidate;
/* Sorts <v>: the first is to be evicted first. */
void eviction_rank(EvictSignal signal, DiskLayout disks, EvictCandidate *v, size_t n);
/* Static and mirror Pods, and those of a system priority, are never evicted (kubelet/types, IsCriticalPod). */
bool pod_is_critical(const Pod *p);
/* "The node was low on resource: memory. Threshold quantity: ...". Caller frees. */
MUST_USE char *eviction_message(const EvictThreshold *t, const EvictObservations *o, const EvictCandidate *c);
/* Seconds for the Pod to stop in. */
int64_t eviction_grace_s(const EvictConfig *c, const EvictThreshold *t, const Pod *p);
/* A Pod, or a container of it, over its own limit of ephemeral storage: the message, and *ret_signal for the metric; NULL = none is.
 * Caller frees. */
MUST_USE char *eviction_storage_limit(const EvictCandidate *c, DiskLayout disks, const char **ret_signal);
/* "The node had condition: [MemoryPressure]. " when such a Pod is not admitted; else NULL. Caller frees. */
MUST_USE char *eviction_refuses(NodePressure pressure, const Pod *p);

#endif
