/* resources.c - see resources.h. Amounts are int64_t in milli-CPUs or bytes; a sum that does not fit stays at the top.
 */
#include "node/resources.h"

#include "api/codec.h"
#include "api/objects.h"
#include "api/quantity.h"
#include "api/requests.h"

#define MIN_SHARES INT64_C(2)       /* the kernel's own minimum; 0 would mean its default, 1024 */
#define SHARES_PER_CPU INT64_C(1024)
#define MIN_QUOTA_US INT64_C(1000)
#define GUARANTEED_OOM_SCORE (-997)
#define BEST_EFFORT_OOM_SCORE 1000
#define SYSTEM_NODE_CRITICAL "system-node-critical"

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int64_t scale(int64_t v, int64_t times, int64_t per)
{
    __int128 r = (__int128)v * times / per;
    return r > INT64_MAX ? INT64_MAX : (int64_t)r;
}

static int64_t of(const ResourceRequirements *r, const char *name, bool limit)
{
    return r ? resource_amount(limit ? &r->limits : &r->requests, name) : 0;
}

int64_t resources_cpu_shares(int64_t milli_cpu)
{
    int64_t s = scale(milli_cpu, SHARES_PER_CPU, 1000);
    return s < MIN_SHARES ? MIN_SHARES : s;
}

int64_t resources_cpu_quota(int64_t milli_cpu)
{
    if (milli_cpu <= 0)
        return 0;
    int64_t q = scale(milli_cpu, RESOURCES_CPU_PERIOD_US, 1000);
    return q < MIN_QUOTA_US ? MIN_QUOTA_US : q;
}

int64_t resources_sum(const Pod *p, const char *name, bool limits, bool *all_set)
{
    return pod_containers_sum(p, name, limits, all_set);
}

void resources_pod(const Pod *p, SandboxConfig *out)
{
    bool cpu_limited = false, memory_limited = false, ignored;
    int64_t cpu_request = pod_amount(p, "cpu", false, &ignored), cpu = pod_amount(p, "cpu", true, &cpu_limited),
            memory = pod_amount(p, "memory", true, &memory_limited);
    const char *qos = pod_qos_class(&p->spec);
    out->cpu_shares = MIN_SHARES;
    out->cpu_quota_us = out->cpu_period_us = out->memory_limit_bytes = 0;
    if (str_eq(qos, "BestEffort"))
        return;
    out->cpu_shares = resources_cpu_shares(cpu_request);
    if (cpu_limited && cpu) {
        out->cpu_quota_us = resources_cpu_quota(cpu);
        out->cpu_period_us = RESOURCES_CPU_PERIOD_US;
    }
    if (memory_limited)
        out->memory_limit_bytes = memory;
}

/* --- oom_score_adj ----------------------------------------------------------------------------------------------- */

static int64_t oom_score(int64_t memory_request, int64_t node_memory)
{
    return 1000 - scale(memory_request, 1000, node_memory);
}

/* With a memory request of the Pod's own, what its containers leave of it counts for each of them equally. */
static int64_t pod_level_share(const Pod *p)
{
    int64_t own = of(p->spec.resources, "memory", false), rest = own - resources_sum(p, "memory", false, NULL);
    size_t n = p->spec.containers.n;
    LIST_EACH(c, &p->spec.init_containers)
        n += container_is_sidecar(c);
    return own && rest > 0 && n ? rest / (int64_t)n : 0;
}

static bool is_sidecar_of(const Pod *p, const Container *c)
{
    LIST_EACH(i, &p->spec.init_containers)
        if (str_eq(i->name, c->name))
            return container_is_sidecar(i);
    return false;
}

/* A sidecar must not die before the containers that it serves: it scores no higher than the smallest of them. */
static int64_t sidecar_cap(const Pod *p, int64_t node_memory, int64_t share)
{
    int64_t least = INT64_MAX;
    LIST_EACH(c, &p->spec.containers) {
        int64_t v = of(c->resources, "memory", false);
        least = v < least ? v : least;
    }
    return p->spec.containers.n ? oom_score(add(least, share), node_memory) : BEST_EFFORT_OOM_SCORE;
}

static int64_t container_oom_score(const Pod *p, const Container *c, int64_t node_memory)
{
    const char *qos = pod_qos_class(&p->spec);
    if (str_eq(p->spec.priority_class_name, SYSTEM_NODE_CRITICAL) || str_eq(qos, "Guaranteed"))
        return GUARANTEED_OOM_SCORE;
    if (str_eq(qos, "BestEffort") || node_memory <= 0)
        return BEST_EFFORT_OOM_SCORE;
    int64_t share = pod_level_share(p), score = oom_score(add(of(c->resources, "memory", false), share), node_memory);
    if (is_sidecar_of(p, c)) {
        int64_t cap = sidecar_cap(p, node_memory, share);
        score = score > cap ? cap : score;
    }
    /* Between the two other classes, and touching neither. */
    if (score < 1000 + GUARANTEED_OOM_SCORE)
        score = 1000 + GUARANTEED_OOM_SCORE;
    return score == BEST_EFFORT_OOM_SCORE ? score - 1 : score;
}

/* --- one container ----------------------------------------------------------------------------------------------- */

/* "hugepages-2Mi" -> "2MB", the hugetlb controller's name; NULL if it is no size that a kernel has. */
static const char *hugepage_size(const char *resource)
{
    static const char *const names[] = {"1KB",  "2KB",  "4KB",  "8KB",  "16KB",  "32KB",  "64KB",  "128KB", "256KB",
                                        "512KB", "1MB",  "2MB",  "4MB",  "8MB",   "16MB",  "32MB",  "64MB",  "128MB",
                                        "256MB", "512MB", "1GB", "2GB",  "4GB",   "8GB",   "16GB",  "32GB",  "64GB"};
    int64_t bytes;
    if (!str_starts(resource, "hugepages-") || !quantity_value(resource + strlen("hugepages-"), &bytes))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (bytes == INT64_C(1024) << i)
            return names[i];
    }
    return NULL;
}

static void add_hugepages(const ResourceList *limits, ContainerConfig *out)
{
    for (size_t i = 0; i < limits->n; i++) {
        const char *size = hugepage_size(limits->v[i].key);
        int64_t bytes;
        if (!size || !quantity_value(limits->v[i].value, &bytes))
            continue;
        LIST_ADD(&out->hugepages);
        out->hugepages.v[out->hugepages.n - 1].page_size = size;
        out->hugepages.v[out->hugepages.n - 1].limit_bytes = bytes;
    }
}

void resources_container(const Pod *p, const Container *c, int64_t node_memory_bytes, ContainerConfig *out)
{
    const ResourceRequirements *r = c->resources, *own = p->spec.resources;
    int64_t limit = of(r, "cpu", true), request = of(r, "cpu", false), memory = of(r, "memory", true);
    bool request_given = r && resource_get(&r->requests, "cpu");
    limit = limit ? limit : of(own, "cpu", true);
    out->cpu_shares = resources_cpu_shares(request_given ? request : limit);
    out->cpu_quota_us = resources_cpu_quota(limit);
    out->cpu_period_us = out->cpu_quota_us ? RESOURCES_CPU_PERIOD_US : 0;
    out->memory_limit_bytes = memory ? memory : of(own, "memory", true);
    out->oom_score_adj = container_oom_score(p, c, node_memory_bytes);
    if (r)
        add_hugepages(&r->limits, out);
}
