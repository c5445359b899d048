#include "plan/eviction.h"

#include "api/codec.h"
#include "api/objects.h"
#include "api/quantity.h"
#include "api/requests.h"
#include "base/str.h"

/* scheduling.SystemCriticalPriority */
#define SYSTEM_CRITICAL_PRIORITY INT64_C(2000000000)

typedef enum { SHORT_MEMORY, SHORT_DISK, SHORT_INODES, SHORT_PIDS } Short;
static const struct {
    Short what;
    const char *resource;
} rows[EVICT_SIGNALS] = {
    [EVICT_MEMORY] = {SHORT_MEMORY, "memory"},
    [EVICT_NODEFS] = {SHORT_DISK, "ephemeral-storage"},
    [EVICT_NODEFS_INODES] = {SHORT_INODES, "inodes"},
    [EVICT_IMAGEFS] = {SHORT_DISK, "ephemeral-storage"},
    [EVICT_IMAGEFS_INODES] = {SHORT_INODES, "inodes"},
    [EVICT_PID] = {SHORT_PIDS, "pids"},
};

const char *eviction_resource(EvictSignal s)
{
    return rows[s].resource;
}

/* --- observations ----------------------------------------------------------------------------------------------------------------- */

static void observe(EvictObservations *o, EvictSignal s, int64_t available, int64_t capacity)
{
    if (available == STAT_NONE || capacity == STAT_NONE)
        return;
    o->of[s].known = true;
    o->of[s].available = available;
    o->of[s].capacity = capacity;
}

void eviction_observations(const NodeStats *s, EvictObservations *ret)
{
    *ret = (EvictObservations){0};
    int64_t capacity = s->memory.available == STAT_NONE || s->memory.working_set == STAT_NONE ? STAT_NONE
                                                                                             : s->memory.available + s->memory.working_set;
    observe(ret, EVICT_MEMORY, s->memory.available, capacity);
    observe(ret, EVICT_NODEFS, s->fs.available, s->fs.capacity);
    observe(ret, EVICT_NODEFS_INODES, s->fs.inodes_free, s->fs.inodes);
    observe(ret, EVICT_IMAGEFS, s->image_fs.available, s->image_fs.capacity);
    observe(ret, EVICT_IMAGEFS_INODES, s->image_fs.inodes_free, s->image_fs.inodes);
    if (s->max_pid != STAT_NONE && s->processes != STAT_NONE)
        observe(ret, EVICT_PID, s->max_pid > s->processes ? s->max_pid - s->processes : 0, s->max_pid);
}

/* GetThresholdQuantity */
static int64_t amount_of(const EvictValue *v, int64_t capacity)
{
    return v->percent ? (int64_t)((double)capacity * (double)v->fraction) : v->amount;
}

static bool is_met(const EvictThreshold *t, const EvictObservations *o, bool with_minimum)
{
    if (!o->of[t->signal].known)
        return false;
    int64_t limit = amount_of(&t->value, o->of[t->signal].capacity), minimum = 0;
    if (with_minimum && t->min_reclaim.set)
        minimum = amount_of(&t->min_reclaim, o->of[t->signal].capacity);
    if (__builtin_add_overflow(limit, minimum, &limit))
        limit = INT64_MAX;
    return limit > o->of[t->signal].available;
}

bool eviction_still_short(const EvictConfig *c, const EvictObservations *o)
{
    for (size_t i = 0; i < c->n; i++)
        if (is_met(&c->v[i], o, true))
            return true;
    return false;
}

/* --- one look --------------------------------------------------------------------------------------------------------------------- */

static bool is_observed(int64_t last_ns, int64_t period_ns, int64_t now_ns)
{
    return last_ns && now_ns - last_ns < period_ns;
}

/* buildSignalToNodeReclaimFuncs: whether images would help. Of containers that have ended there are never more than the kubelet's garbage
 * collection leaves, so there is nothing to be had from them. */
static bool node_can_help(EvictSignal s, DiskLayout disks)
{
    if (s == EVICT_MEMORY || s == EVICT_PID)
        return false;
    return disks == DISKS_ONE || s == EVICT_IMAGEFS || s == EVICT_IMAGEFS_INODES;
}

EvictDecision eviction_look(const EvictConfig *c, const EvictObservations *o, DiskLayout disks, int64_t now_ns, EvictState *s)
{
    EvictDecision d = {0};
    for (size_t i = 0; i < c->n; i++) {
        const EvictThreshold *t = &c->v[i];
        /* One that has led to an eviction stays until its minimum is reclaimed, too. */
        bool met = is_met(t, o, s->met[i]);
        if (!met)
            s->first_ns[i] = 0;
        else if (!s->first_ns[i])
            s->first_ns[i] = now_ns;
        s->met[i] = met && now_ns - s->first_ns[i] >= t->grace_ns;
        Short what = rows[t->signal].what;
        if (met)
            *(what == SHORT_MEMORY ? &s->memory_ns : what == SHORT_PIDS ? &s->pid_ns : &s->disk_ns) = now_ns;
        if (s->met[i] && !d.reclaim) /* memory stands first in the order of signals, as in byEvictionPriority */
            d.reclaim = t;
    }
    s->pressure = (NodePressure){
        .memory = s->memory_ns == now_ns || is_observed(s->memory_ns, c->transition_ns, now_ns),
        .disk = s->disk_ns == now_ns || is_observed(s->disk_ns, c->transition_ns, now_ns),
        .pid = s->pid_ns == now_ns || is_observed(s->pid_ns, c->transition_ns, now_ns),
    };
    d.reclaim_node = d.reclaim && node_can_help(d.reclaim->signal, disks);
    return d;
}

/* --- whose turn it is ------------------------------------------------------------------------------------------------------------- */

typedef struct { bool layers, logs, volumes; } Counted;

/* buildSignalToRankFunc */
static Counted counted(EvictSignal s, DiskLayout disks)
{
    bool image = s == EVICT_IMAGEFS || s == EVICT_IMAGEFS_INODES;
    switch (disks) {
    case DISKS_IMAGEFS:
        return image ? (Counted){.layers = true} : (Counted){.logs = true, .volumes = true};
    case DISKS_SPLIT:
        return image ? (Counted){0} : (Counted){true, true, true};
    case DISKS_ONE:
    default:
        return (Counted){true, true, true};
    }
}

static int64_t fs_used(const FsStats *f, bool inodes)
{
    int64_t v = inodes ? f->inodes_used : f->used;
    return v == STAT_NONE ? 0 : v;
}

static int64_t sum(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

/* podDiskUsage */
static int64_t disk_used(const PodStats *p, Counted what, bool inodes)
{
    int64_t used = 0;
    LIST_EACH(c, &p->containers) {
        used = what.layers ? sum(used, fs_used(&c->rootfs, inodes)) : used;
        used = what.logs ? sum(used, fs_used(&c->logs, inodes)) : used;
    }
    LIST_EACH(v, &p->volumes)
        if (what.volumes && v->local)
            used = sum(used, fs_used(&v->fs, inodes));
    return used;
}

typedef struct {
    bool unknown, over; /* over: uses more than it asked for */
    int64_t priority, excess;
} Rank;

static Rank rank_of(EvictSignal signal, DiskLayout disks, const EvictCandidate *c)
{
    Rank r = {.unknown = !c->stats, .priority = c->pod->spec.priority.v};
    if (!c->stats)
        return r;
    Short what = rows[signal].what;
    int64_t used = what == SHORT_MEMORY ? c->stats->memory.working_set
                   : what == SHORT_PIDS ? c->stats->processes
                                        : disk_used(c->stats, counted(signal, disks), what == SHORT_INODES);
    const char *asks = what == SHORT_MEMORY ? "memory" : what == SHORT_DISK ? "ephemeral-storage" : NULL;
    int64_t request = asks ? pod_amount(c->pod, asks, false, NULL) : 0;
    used = used == STAT_NONE ? 0 : used;
    r.over = what != SHORT_PIDS && used > request; /* of process ids nobody asks for any */
    r.excess = used - request;
    return r;
}

/* Negative: <a> goes before <b>. Upstream looks for statistics in each comparison, and for process ids only after the priority. */
static int compare(const Rank *a, const Rank *b, bool pids)
{
    if (!pids && a->unknown != b->unknown)
        return a->unknown ? -1 : 1;
    if (!a->unknown && !b->unknown && a->over != b->over)
        return a->over ? -1 : 1;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    if (a->unknown != b->unknown)
        return a->unknown ? -1 : 1;
    return a->excess == b->excess ? 0 : a->excess > b->excess ? -1 : 1;
}

void eviction_rank(EvictSignal signal, DiskLayout disks, EvictCandidate *v, size_t n)
{
    Rank *ranks = mem_alloc_n(n + 1, sizeof *ranks);
    for (size_t i = 0; i < n; i++) {
        EvictCandidate c = v[i];
        Rank r = rank_of(signal, disks, &c);
        size_t at = i;
        for (; at > 0 && compare(&r, &ranks[at - 1], signal == EVICT_PID) < 0; at--) {
            ranks[at] = ranks[at - 1];
            v[at] = v[at - 1];
        }
        ranks[at] = r;
        v[at] = c;
    }
    free(ranks);
}

bool pod_is_critical(const Pod *p)
{
    const char *source = strmap_get(&p->metadata.annotations, "kubernetes.io/config.source");
    return (source && !str_eq(source, "api")) || strmap_get(&p->metadata.annotations, "kubernetes.io/config.mirror") ||
           (p->spec.priority.set && p->spec.priority.v >= SYSTEM_CRITICAL_PRIORITY);
}

int64_t eviction_grace_s(const EvictConfig *c, const EvictThreshold *t, const Pod *p)
{
    int64_t own = p->spec.termination_grace_period_seconds.v;
    int64_t grace = t->grace_ns == 0 ? EVICTION_IMMEDIATE_GRACE_S : c->max_pod_grace_s < 0 ? own : c->max_pod_grace_s;
    return grace < 1 ? 1 : grace; /* calculateEffectiveGracePeriod */
}

/* --- what is said ----------------------------------------------------------------------------------------------------------------- */

static bool is_bytes(EvictSignal s)
{
    return rows[s].what == SHORT_MEMORY || rows[s].what == SHORT_DISK;
}

static char *decimal(int64_t v)
{
    SCOPED(mem_free) char *digits = mem_fmt("%lld", (long long)v);
    return quantity_canonical(digits);
}

static void larger(Str *s, const char *kind, const char *name, int64_t used, const ResourceList *requests, const char *resource)
{
    SCOPED(mem_free) char *usage = quantity_binary(used);
    SCOPED(mem_free) char *request = quantity_canonical(str_or(resource_get(requests, resource), "0"));
    str_fmt(s, "%s %s was using %s, request is %s, has larger consumption of %s. ", kind, name, usage, str_or(request, "0"), resource);
}

static int64_t container_used(const ContainerStats *s, Short what)
{
    if (what == SHORT_MEMORY)
        return s->memory.working_set;
    if (what == SHORT_DISK && s->rootfs.used != STAT_NONE && s->logs.used != STAT_NONE)
        return sum(s->rootfs.used, s->logs.used);
    return STAT_NONE;
}

static void offenders(Str *s, const EvictCandidate *c, EvictSignal signal)
{
    static const ResourceList none;
    const char *resource = rows[signal].resource;
    const ResourceRequirements *own = c->pod->spec.resources;
    if (rows[signal].what == SHORT_MEMORY && own && resource_get(&own->requests, resource) && c->stats->memory.working_set != STAT_NONE)
        larger(s, "Pod", str_or(c->pod->metadata.name, ""), c->stats->memory.working_set, &own->requests, resource);
    LIST_EACH(cs, &c->stats->containers) {
        const Container *spec = pod_container_named(c->pod, cs->name);
        int64_t used = container_used(cs, rows[signal].what);
        const ResourceList *requests = spec && spec->resources ? &spec->resources->requests : &none;
        if (spec && used != STAT_NONE && used > resource_amount(requests, resource))
            larger(s, "Container", cs->name, used, requests, resource);
    }
}

char *eviction_message(const EvictThreshold *t, const EvictObservations *o, const EvictCandidate *c)
{
    Str s = {0};
    str_fmt(&s, "The node was low on resource: %s. ", rows[t->signal].resource);
    if (o->of[t->signal].known) {
        int64_t available = o->of[t->signal].available;
        SCOPED(mem_free) char *limit = t->value.percent ? quantity_binary(amount_of(&t->value, o->of[t->signal].capacity))
                                                        : mem_dup_str(t->value.text);
        SCOPED(mem_free) char *left = is_bytes(t->signal) ? quantity_binary(available) : decimal(available);
        str_fmt(&s, "Threshold quantity: %s, available: %s. ", limit, left);
    }
    if (c->stats)
        offenders(&s, c, t->signal);
    return str_take(&s);
}

char *eviction_storage_limit(const EvictCandidate *c, DiskLayout disks, const char **ret_signal)
{
    int64_t limit = pod_amount(c->pod, "ephemeral-storage", true, NULL);
    if (!c->stats || limit <= 0)
        return NULL;
    if (c->stats->ephemeral.used != STAT_NONE && c->stats->ephemeral.used > limit) {
        SCOPED(mem_free) char *text = quantity_binary(limit);
        *ret_signal = "ephemeralpodfs.limit";
        return mem_fmt("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", text);
    }
    LIST_EACH(cs, &c->stats->containers) {
        int64_t used = fs_used(&cs->logs, false);
        if (disks != DISKS_IMAGEFS)
            used = sum(used, fs_used(&cs->rootfs, false));
        LIST_EACH(spec, &c->pod->spec.containers) {
            int64_t own = spec->resources ? resource_amount(&spec->resources->limits, "ephemeral-storage") : 0;
            if (!str_eq(spec->name, cs->name) || own <= 0 || used <= own)
                continue;
            SCOPED(mem_free) char *text = quantity_canonical(resource_get(&spec->resources->limits, "ephemeral-storage"));
            *ret_signal = "ephemeralcontainerfs.limit";
            return mem_fmt("Container %s exceeded its local ephemeral storage limit \"%s\". ", cs->name, text);
        }
    }
    return NULL;
}

static bool tolerates_memory_pressure(const Pod *p)
{
    static const char key[] = "node.kubernetes.io/memory-pressure";
    LIST_EACH(t, &p->spec.tolerations) {
        bool effect = str_empty(t->effect) || str_eq(t->effect, "NoSchedule");
        bool exists = str_eq(t->operator_, "Exists");
        if (effect && (str_eq(t->key, key) ? exists || str_empty(t->value) : str_empty(t->key) && exists))
            return true;
    }
    return false;
}

char *eviction_refuses(NodePressure pressure, const Pod *p)
{
    if ((!pressure.memory && !pressure.disk && !pressure.pid) || pod_is_critical(p))
        return NULL;
    if (!pressure.disk && !pressure.pid && (!str_eq(pod_qos_class(&p->spec), "BestEffort") || tolerates_memory_pressure(p)))
        return NULL;
    Str s = {0};
    str_add(&s, "The node had condition: [");
    const struct { bool on; const char *name; } conditions[] = {
        {pressure.memory, "MemoryPressure"}, {pressure.disk, "DiskPressure"}, {pressure.pid, "PIDPressure"}};
    bool first = true;
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
        if (conditions[i].on) {
            str_fmt(&s, "%s%s", first ? "" : " ", conditions[i].name);
            first = false;
        }
    str_add(&s, "]. ");
    return str_take(&s);
}
