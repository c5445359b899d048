#include "api/stats.h"

#include "base/str.h"

void cpu_stats_clear(CpuStats *s)
{
    *s = (CpuStats){NS_NONE, STAT_NONE, STAT_NONE};
}

void memory_stats_clear(MemoryStats *s)
{
    *s = (MemoryStats){NS_NONE, STAT_NONE, STAT_NONE, STAT_NONE, STAT_NONE, STAT_NONE, STAT_NONE};
}

void fs_stats_clear(FsStats *s)
{
    *s = (FsStats){NS_NONE, STAT_NONE, STAT_NONE, STAT_NONE, STAT_NONE, STAT_NONE, STAT_NONE};
}

void container_stats_init(ContainerStats *s)
{
    *s = (ContainerStats){.started_at_ns = NS_NONE};
    cpu_stats_clear(&s->cpu);
    memory_stats_clear(&s->memory);
    fs_stats_clear(&s->rootfs);
    fs_stats_clear(&s->logs);
}

void pod_stats_init(PodStats *s)
{
    *s = (PodStats){.started_at_ns = NS_NONE, .processes = STAT_NONE};
    cpu_stats_clear(&s->cpu);
    memory_stats_clear(&s->memory);
    fs_stats_clear(&s->ephemeral);
}

void pod_stats_done(PodStats *s)
{
    for (size_t i = 0; i < s->containers.n; i++) {
        free(s->containers.v[i].name);
        free(s->containers.v[i].id);
    }
    for (size_t i = 0; i < s->volumes.n; i++) {
        free(s->volumes.v[i].name);
        free(s->volumes.v[i].claim);
    }
    free(s->containers.v);
    free(s->volumes.v);
    free(s->uid);
    free(s->name);
    free(s->namespace_);
    *s = (PodStats){0};
}

void node_stats_init(NodeStats *s)
{
    *s = (NodeStats){.at_ns = NS_NONE, .booted_at_ns = NS_NONE, .max_pid = STAT_NONE, .processes = STAT_NONE, .pods_at_ns = NS_NONE,
                     .disks_at_ns = NS_NONE};
    cpu_stats_clear(&s->cpu);
    memory_stats_clear(&s->memory);
    fs_stats_clear(&s->fs);
    fs_stats_clear(&s->image_fs);
    fs_stats_clear(&s->container_fs);
}

void node_stats_done(NodeStats *s)
{
    for (size_t i = 0; i < s->pods.n; i++)
        pod_stats_done(&s->pods.v[i]);
    free(s->pods.v);
    node_stats_init(s);
}

const PodStats *node_stats_pod(const NodeStats *s, const char *uid)
{
    for (size_t i = 0; i < s->pods.n; i++)
        if (str_eq(s->pods.v[i].uid, uid))
            return &s->pods.v[i];
    return NULL;
}
