/* resources.h - requests and limits as cgroup numbers, as the kubelet computes them. Pure.
 * Sources: kubelet pkg/kubelet/cm/helpers_linux.go (shares, quota, ResourceConfigForPod), pkg/kubelet/kuberuntime
 * (calculateLinuxResources), pkg/kubelet/qos/policy.go (oom_score_adj); component-helpers/resource (sums, KEP-753). */
#ifndef REPRISE_NODE_RESOURCES_H
#define REPRISE_NODE_RESOURCES_H

#include "runtime/runtime.h"

/* Fills the resource members of a container's configuration: shares = 1024 * cpu request (min 2), quota = 100 ms *
 * limit (min 1 ms), memory limit, hugepages-*, oom_score_adj by QoS. A limit stands in for an absent request, the Pod's
 * own limit for an absent one of the container. The caller frees out->hugepages.v; the page sizes in it are static
 * strings. Only page sizes that the container has a limit for are listed (the kubelet limits the others to 0, for which
 * it would have to ask the host). */
void resources_container(const Pod *p, const Container *c, int64_t node_memory_bytes, ContainerConfig *out);
/* Sums for the Pod cgroup: max(init, regular + sidecars) + overhead, or pod-level resources. CPU and memory are limited
 * only when every container has a limit (or the Pod has). */
void resources_pod(const Pod *p, SandboxConfig *out);

/* 1024 shares a CPU, at least 2. */
int64_t resources_cpu_shares(int64_t milli_cpu);
/* Microseconds of each 100 ms period, at least 1000; 0 = no limit. */
int64_t resources_cpu_quota(int64_t milli_cpu);
#define RESOURCES_CPU_PERIOD_US INT64_C(100000)

/* KEP-753 over the containers of a Pod: the most that is needed at any moment, of requests or of limits. <name> is
 * "cpu" (milli-units), or "memory", "hugepages-2Mi", ... (units). *all_set (may be NULL): every container names it. */
int64_t resources_sum(const Pod *p, const char *name, bool limits, bool *all_set);

#endif
