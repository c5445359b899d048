#include "daemon/housekeeping.h"

#include "api/codec.h"
#include "api/requests.h"
#include "daemon/image_collect.h"
#include "daemon/summary.h"
#include "node/node_stats.h"
#include "os/fs.h"

#define PODS_BUSY_NS EVICTION_PERIOD_NS  /* how often Pods are measured while somebody asks, or they have limits */
#define PODS_IDLE_NS (60 * NS_PER_S)     /* of storage; and else: nothing depends on it then */
#define DISKS_BUSY_NS (60 * NS_PER_S)    /* the same for what they take on disks: the kubelet's volumeStatsAggPeriod */
#define DISKS_IDLE_NS (600 * NS_PER_S)
#define ASKED_NS (180 * NS_PER_S)        /* for so long after a question another one is expected */
#define DISKS_FRESH_NS (30 * NS_PER_S)   /* a count that Pods are ranked by may be so old */
#define CLEANUP_POLL_MS 1000             /* podCleanupPollFreq */
#define FIRST_MS 1000                    /* by then the runtime has said where its disks are, */
#define FIRST_COLLECT_MS 10000           /* and Pods have come that need the images */

struct Housekeeping {
    HousekeepingConfig c;
    Metrics *metrics;
    NodeObserver *observer;
    ImageCollector *images;
    EvictState state;
    uv_timer_t tick, collect;
    unsigned open_handles;
    bool closed;
    EvictThreshold short_of;   /* what is acted upon now */
    bool acting;               /* images are being removed, or Pods measured, for its sake */
    bool rank_next;            /* as soon as the look under way is over */
    char *evicting;            /* uid of the Pod that was evicted last, as long as it is waited for */
    int64_t evicting_since_ns, pods_ns, disks_ns, asked_ns; /* CLOCK_MONOTONIC; 0 = never */
};

static const Pod *pod_at(void *arg, size_t i)
{
    const Housekeeping *h = arg;
    return i < agent_pod_count(h->c.agent) ? agent_pod_at(h->c.agent, i) : NULL;
}

static bool may_go(const Pod *p)
{
    return !p->metadata.deletion_timestamp.set && !str_eq(p->status.phase, "Succeeded") && !str_eq(p->status.phase, "Failed");
}

static void node_event(const Housekeeping *h, const char *reason, const char *message)
{
    LOG(h->c.log, LOG_WARN, message, {"reason", reason});
    if (h->c.on_event)
        h->c.on_event(h->c.arg, true, reason, message);
}

/* --- evicting --------------------------------------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *t);

static bool evict(Housekeeping *h, const Pod *p, const char *message, bool disruption, int64_t grace_s, const char *signal, int64_t measured_ns)
{
    SCOPED(mem_free) char *uid = mem_dup_str(p->metadata.uid);
    SCOPED(mem_free) char *name = mem_fmt("%s/%s", str_or(p->metadata.namespace_, ""), str_or(p->metadata.name, ""));
    if (!agent_pod_evict(h->c.agent, uid, message, disruption, grace_s))
        return false;
    LOG(h->c.log, LOG_WARN, "pod evicted", {"pod", name}, {"uid", uid}, {"signal", signal});
    metrics_evicted(h->metrics, signal, os_now_ns() - measured_ns);
    free(h->evicting);
    h->evicting = MOVE(uid, NULL);
    h->evicting_since_ns = os_monotonic_ns();
    uv_update_time(h->c.loop);
    (void)uv_timer_start(&h->tick, on_tick, CLEANUP_POLL_MS, 0);
    return true;
}

/* At most one Pod at a time, as upstream: what it gives back is looked at before the next one goes. */
static void evict_one(Housekeeping *h)
{
    const NodeStats *s = node_observer_stats(h->observer);
    size_t n = agent_pod_count(h->c.agent), kept = 0;
    EvictCandidate *v = mem_alloc_n(n + 1, sizeof *v);
    EvictObservations o;
    for (size_t i = 0; i < n; i++) {
        const Pod *p = agent_pod_at(h->c.agent, i);
        if (may_go(p))
            v[kept++] = (EvictCandidate){p, node_stats_pod(s, p->metadata.uid)};
    }
    eviction_observations(s, &o);
    eviction_rank(h->short_of.signal, s->disks, v, kept);
    bool done = false;
    for (size_t i = 0; i < kept && !done; i++) {
        if (pod_is_critical(v[i].pod))
            continue;
        SCOPED(mem_free) char *message = eviction_message(&h->short_of, &o, &v[i]);
        done = evict(h, v[i].pod, message, true, eviction_grace_s(&h->c.options->eviction, &h->short_of, v[i].pod),
                     evict_signal_names[h->short_of.signal], s->at_ns);
    }
    free(v);
    if (!done)
        LOG(h->c.log, LOG_WARN, "unable to evict any pods from the node", {"signal", evict_signal_names[h->short_of.signal]});
}

static void keep_storage_limits(Housekeeping *h)
{
    const NodeStats *s = node_observer_stats(h->observer);
    for (size_t i = 0; i < agent_pod_count(h->c.agent); i++) {
        const Pod *p = agent_pod_at(h->c.agent, i);
        EvictCandidate c = {p, node_stats_pod(s, p->metadata.uid)};
        const char *signal;
        SCOPED(mem_free) char *message = may_go(p) && !pod_is_critical(p) ? eviction_storage_limit(&c, s->disks, &signal) : NULL;
        if (message)
            (void)evict(h, p, message, false, EVICTION_IMMEDIATE_GRACE_S, signal, s->disks_at_ns);
    }
}

static bool is_disk(EvictSignal s)
{
    return s != EVICT_MEMORY && s != EVICT_PID;
}

static void rank_pods(Housekeeping *h);

/* Every look at the Pods ends here. */
static void on_looked(void *arg)
{
    Housekeeping *h = arg;
    if (MOVE(h->rank_next, false)) {
        rank_pods(h);
        return;
    }
    if (MOVE(h->acting, false))
        evict_one(h);
    else
        keep_storage_limits(h);
}

static bool look(Housekeeping *h, bool disks)
{
    if (!node_observe_pods(h->observer, disks, on_looked, h))
        return false;
    h->pods_ns = os_monotonic_ns();
    h->disks_ns = disks ? h->pods_ns : h->disks_ns;
    return true;
}

static void rank_pods(Housekeeping *h)
{
    int64_t counted = node_observer_stats(h->observer)->disks_at_ns;
    bool disks = is_disk(h->short_of.signal) && (counted == NS_NONE || os_now_ns() - counted > DISKS_FRESH_NS);
    h->acting = true;
    h->rank_next = !look(h, disks);
}

/* --- images ----------------------------------------------------------------------------------------------------------------------- */

static void on_image_removed(void *arg, const ImageRecord *r, ImageGcReason why, const Err *err)
{
    Housekeeping *h = arg;
    SCOPED(mem_free) char *text = err ? err_text(err) : NULL, *bytes = mem_fmt("%lld", (long long)r->bytes);
    if (!err)
        metrics_image_removed(h->metrics, why == IMAGE_GC_AGE ? "age" : "space", r->bytes);
    LogField f[] = {{"image", r->id}, {"bytes", bytes}, {"err", text}};
    log_line(h->c.log, err ? LOG_WARN : LOG_INFO, os_now_ns(), err ? "image cannot be removed" : "image removed to free space", f, ARRAY_LEN(f));
}

static void collect_failed(const Housekeeping *h, Err *e)
{
    SCOPED(mem_free) char *text = err_text(e);
    node_event(h, "ImageGCFailed", text);
    err_free(e);
}

static void on_collected(void *arg, int64_t wanted, int64_t freed, Err *err)
{
    const Housekeeping *h = arg;
    if (err) {
        collect_failed(h, err);
    } else if (freed < wanted) {
        SCOPED(mem_free) char *text = mem_fmt("Failed to garbage collect required amount of images. Attempted to free %lld bytes, but only found "
                                              "%lld bytes eligible to free.", (long long)wanted, (long long)freed);
        node_event(h, "FreeDiskSpaceFailed", text);
    }
}

/* Unused images went; if that is not enough, a Pod follows. */
static void on_reclaimed(void *arg, int64_t wanted, int64_t freed, Err *err)
{
    Housekeeping *h = arg;
    (void)wanted;
    if (err)
        collect_failed(h, err);
    node_observe(h->observer);
    EvictObservations o;
    eviction_observations(node_observer_stats(h->observer), &o);
    if (eviction_still_short(&h->c.options->eviction, &o)) {
        rank_pods(h);
        return;
    }
    h->acting = false;
    SCOPED(mem_free) char *bytes = mem_fmt("%lld", (long long)freed);
    LOG(h->c.log, LOG_INFO, "reduced the pressure without evicting pods", {"resource", eviction_resource(h->short_of.signal)}, {"freed", bytes});
}

static void on_collect(uv_timer_t *t)
{
    Housekeeping *h = t->data;
    node_observe(h->observer);
    const FsStats *fs = &node_observer_stats(h->observer)->image_fs;
    if (fs->at_ns == NS_NONE) { /* where the images are is not known yet */
        (void)uv_timer_start(t, on_collect, 1000, 0);
        return;
    }
    (void)uv_timer_start(t, on_collect, IMAGE_GC_PERIOD_NS / NS_PER_MS, 0);
    int64_t wanted = fs->capacity > 0 ? image_gc_wanted(&h->c.options->images, fs->available, fs->capacity) : 0;
    if (fs->capacity == 0)
        node_event(h, "InvalidDiskCapacity", "invalid capacity 0 on image filesystem");
    (void)image_collect(h->images, wanted, on_collected); /* without a need too: it looks what is in use */
}

/* --- the look every 10 s ------------------------------------------------------------------------------------------------------------ */

static bool is_asked(const Housekeeping *h, int64_t now)
{
    return h->asked_ns && now - h->asked_ns < ASKED_NS;
}

static bool has_storage_limits(const Housekeeping *h)
{
    const Pod *p;
    for (size_t i = 0; (p = pod_at((void *)(uintptr_t)h, i)) != NULL; i++)
        if (may_go(p) && !pod_is_critical(p) && pod_amount(p, "ephemeral-storage", true, NULL) > 0)
            return true;
    return false;
}

/* A Pod that came since the last count of disks. */
static bool has_uncounted(const Housekeeping *h)
{
    const NodeStats *s = node_observer_stats(h->observer);
    LIST_EACH(p, &s->pods)
        if (p->ephemeral.at_ns == NS_NONE && p->containers.n)
            return true;
    return false;
}

static void look_when_due(Housekeeping *h, int64_t now)
{
    if (image_collector_bytes(h->images) == STAT_NONE)
        (void)image_collect(h->images, 0, on_collected);
    bool counts = is_asked(h, now) || has_storage_limits(h);
    int64_t pods = counts ? PODS_BUSY_NS : PODS_IDLE_NS;
    int64_t disks = !counts ? DISKS_IDLE_NS : has_uncounted(h) ? PODS_BUSY_NS : DISKS_BUSY_NS;
    bool disks_due = !h->disks_ns || now - h->disks_ns >= disks;
    /* Timers are not exact to the millisecond. */
    if (disks_due || !h->pods_ns || now - h->pods_ns + NS_PER_S >= pods)
        (void)look(h, disks_due);
}

/* Whether an evicted Pod is still waited for. */
static bool is_ending(Housekeeping *h, int64_t now)
{
    bool waits = h->evicting && agent_pod_get(h->c.agent, h->evicting) && !agent_pod_is_done(h->c.agent, h->evicting) &&
                 now - h->evicting_since_ns < EVICTION_CLEANUP_NS;
    if (!waits)
        free(MOVE(h->evicting, NULL));
    return waits;
}

static void tell_pressure(const Housekeeping *h, NodePressure before)
{
    NodePressure now = h->state.pressure;
    const struct { const char *name; bool was, is; } rows[] = {{"MemoryPressure", before.memory, now.memory},
                                                               {"DiskPressure", before.disk, now.disk},
                                                               {"PIDPressure", before.pid, now.pid}};
    bool changed = false;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].was != rows[i].is) {
            LOG(h->c.log, rows[i].is ? LOG_WARN : LOG_INFO, "node condition", {"condition", rows[i].name}, {"status", rows[i].is ? "True" : "False"});
            changed = true;
        }
    if (changed && h->c.on_pressure)
        h->c.on_pressure(h->c.arg);
}

static void reclaim(Housekeeping *h, const EvictDecision *d)
{
    SCOPED(mem_free) char *text = mem_fmt("Attempting to reclaim %s", eviction_resource(d->reclaim->signal));
    h->short_of = *d->reclaim;
    node_event(h, "EvictionThresholdMet", text);
    if (d->reclaim_node && image_collector_runs(h->images))
        return; /* it may do; the next look tells */
    h->acting = true;
    if (!d->reclaim_node || !image_collect(h->images, INT64_MAX, on_reclaimed))
        rank_pods(h);
}

static void on_tick(uv_timer_t *t)
{
    Housekeeping *h = t->data;
    int64_t now = os_monotonic_ns();
    NodePressure before = h->state.pressure;
    EvictObservations o;
    node_observe(h->observer);
    const NodeStats *s = node_observer_stats(h->observer);
    eviction_observations(s, &o);
    bool ending = is_ending(h, now);
    (void)uv_timer_start(t, on_tick, ending ? CLEANUP_POLL_MS : EVICTION_PERIOD_NS / NS_PER_MS, 0);
    EvictDecision d = eviction_look(&h->c.options->eviction, &o, s->disks, now, &h->state);
    tell_pressure(h, before);
    if (ending || h->acting)
        return;
    if (d.reclaim)
        reclaim(h, &d);
    else
        look_when_due(h, now);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------- */

Err *housekeeping_new(const HousekeepingConfig *c, Housekeeping **ret)
{
    Housekeeping *h = NEW(Housekeeping);
    h->c = *c;
    NodeObserverConfig oc = {.loop = c->loop, .rt = c->rt, .root = c->root, .log_dir = c->log_dir, .pod = pod_at, .arg = h};
    Err *e = node_observer_new(&oc, &h->observer);
    if (e) {
        free(h);
        return e;
    }
    h->metrics = metrics_new(c->node_name, runtime_meter(c->rt));
    ImageCollectorConfig gc = {.rt = c->rt, .policy = c->options->images, .pod = pod_at, .removed = on_image_removed, .arg = h};
    h->images = image_collector_new(&gc);
    uv_timer_t *timers[] = {&h->tick, &h->collect};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        (void)uv_timer_init(c->loop, timers[i]);
        timers[i]->data = h;
        h->open_handles++;
    }
    node_observe(h->observer); /* asks where the disks are, too */
    (void)uv_timer_start(&h->tick, on_tick, FIRST_MS, 0);
    (void)uv_timer_start(&h->collect, on_collect, FIRST_COLLECT_MS, 0);
    *ret = h;
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    Housekeeping *h = handle->data;
    if (--h->open_handles > 0)
        return;
    metrics_free(h->metrics);
    free(h->evicting);
    free(h);
}

void housekeeping_close(Housekeeping *h)
{
    if (!h)
        return;
    node_observer_close(h->observer);
    image_collector_close(h->images);
    uv_close((uv_handle_t *)&h->tick, on_closed);
    uv_close((uv_handle_t *)&h->collect, on_closed);
}

/* --- asked for -------------------------------------------------------------------------------------------------------------------- */

void housekeeping_pod(Housekeeping *h, const char *type, const Pod *p, int64_t now_ns)
{
    metrics_pod(h->metrics, type, p, now_ns);
}

void housekeeping_event(Housekeeping *h, const Pod *p, const char *reason, const char *message, const char *container)
{
    metrics_event(h->metrics, p, reason, message, container);
}

NodePressure housekeeping_pressure(const Housekeeping *h)
{
    return h->state.pressure;
}

bool housekeeping_condition(const Housekeeping *h, size_t i, NodeCondition *ret)
{
    NodePressure p = h->state.pressure;
    const NodeCondition rows[] = {
        p.memory ? (NodeCondition){"MemoryPressure", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available", true}
                 : (NodeCondition){"MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available", false},
        p.disk ? (NodeCondition){"DiskPressure", "KubeletHasDiskPressure", "kubelet has disk pressure", true}
               : (NodeCondition){"DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure", false},
        p.pid ? (NodeCondition){"PIDPressure", "KubeletHasInsufficientPID", "kubelet has insufficient PID available", true}
              : (NodeCondition){"PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available", false},
    };
    if (i >= ARRAY_LEN(rows))
        return false;
    *ret = rows[i];
    return true;
}

Metrics *housekeeping_counts(Housekeeping *h)
{
    return h->metrics;
}

void housekeeping_metrics(Housekeeping *h, size_t manifests, size_t manifests_broken, const ObjStoreState *store, Str *out)
{
    SelfUsage self;
    self_usage(&self);
    MetricsNow now = {.pod = pod_at, .arg = h, .stats = node_observer_stats(h->observer), .pressure = h->state.pressure, .self = &self,
                      .manifests = manifests, .manifests_broken = manifests_broken, .store = store};
    metrics_render(h->metrics, &now, out);
}

void housekeeping_resource_metrics(Housekeeping *h, Str *out)
{
    h->asked_ns = os_monotonic_ns();
    metrics_render_resource(node_observer_stats(h->observer), out);
}

json_t *housekeeping_summary(Housekeeping *h)
{
    h->asked_ns = os_monotonic_ns();
    int64_t used = node_observer_images_used(h->observer);
    return summary_json(node_observer_stats(h->observer), h->c.node_name, used == STAT_NONE ? image_collector_bytes(h->images) : used);
}
