/* stats.h - what was measured of this node and its Pods: the values of the kubelet's Summary API
 * (k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go), in its units.
 *
 * Filled by node/node_stats.h, read by plan/eviction.h and by what renders metrics and /stats/summary. STAT_NONE: not known. */
#ifndef REPRISE_API_STATS_H
#define REPRISE_API_STATS_H

#include "api/types.h"
#include "base/clock.h"

#define STAT_NONE INT64_C(-1)

typedef struct {
    int64_t at_ns, usage_core_ns;
    int64_t usage_nano_cores; /* over the time since the measurement before */
} CpuStats;
typedef struct {
    int64_t at_ns, available, usage, working_set, rss, page_faults, major_page_faults;
} MemoryStats;
typedef struct {
    int64_t at_ns, available, capacity, used, inodes_free, inodes, inodes_used;
} FsStats;

typedef struct {
    char *name, *id;
    int64_t started_at_ns;
    CpuStats cpu;
    MemoryStats memory;
    FsStats rootfs, logs; /* rootfs: the writable layer */
} ContainerStats;

typedef struct {
    char *name, *claim; /* claim: of the persistentVolumeClaim; NULL = none */
    bool local;         /* counts as the Pod's ephemeral storage */
    FsStats fs;
} VolumeStats;

typedef struct {
    char *uid, *name, *namespace_;
    int64_t started_at_ns;
    CpuStats cpu;
    MemoryStats memory;
    int64_t processes;
    FsStats ephemeral; /* used: layers, logs and local volumes together */
    LIST_OF(ContainerStats) containers; /* those that run */
    LIST_OF(VolumeStats) volumes;
} PodStats;

/* Where images and writable layers are. */
typedef enum {
    DISKS_ONE,     /* all on the node's file system */
    DISKS_IMAGEFS, /* images and layers on one of their own */
    DISKS_SPLIT    /* images on one of their own, layers on the node's */
} DiskLayout;

typedef struct {
    int64_t at_ns, booted_at_ns;
    CpuStats cpu;
    MemoryStats memory;
    FsStats fs, image_fs, container_fs; /* container_fs: of the writable layers */
    DiskLayout disks;
    int64_t max_pid, processes;
    int64_t pods_at_ns, disks_at_ns; /* NS_NONE: Pods were not measured yet; nor what they take on disks */
    LIST_OF(PodStats) pods;
} NodeStats;

void cpu_stats_clear(CpuStats *s); /* all unknown; so the next */
void memory_stats_clear(MemoryStats *s);
void fs_stats_clear(FsStats *s);
void container_stats_init(ContainerStats *s);
void pod_stats_init(PodStats *s);
void pod_stats_done(PodStats *s);
void node_stats_init(NodeStats *s);
void node_stats_done(NodeStats *s);
const PodStats *node_stats_pod(const NodeStats *s, const char *uid); /* NULL: not measured */

#endif
