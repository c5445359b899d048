/* resources.h - requests and limits as cgroup numbers, as the kubelet computes them. Pure. */
#ifndef REPRISE_NODE_RESOURCES_H
#define REPRISE_NODE_RESOURCES_H

#include "runtime/runtime.h"

/* Fills the resource members of a container's configuration: shares = 1024 * cpu request (min 2), quota = 100 ms * limit,
 * memory limit, hugepages-*, oom_score_adj by QoS. */
void resources_container(const Pod *p, const Container *c, int64_t node_memory_bytes, ContainerConfig *out);
/* Sums for the Pod cgroup: max(init, regular + sidecars) + overhead, or pod-level resources. */
void resources_pod(const Pod *p, SandboxConfig *out);

#endif
