#include "daemon/daemon.h"

#include <signal.h>

#include "api/codec.h"
#include "apiserver/apiserver.h"
#include "daemon/daemon_priv.h"
#include "daemon/sdnotify.h"
#include "daemon/static_pod.h"
#include "os/fs.h"
#include "os/self.h"

#define SCAN_MS 20000      /* the kubelet's fileCheckFrequency */
#define RETRY_MS 2000      /* of what could not be removed or stored */
#define KEEP_MS 10000      /* between two looks at what has expired in the store, and at the runtime (the kubelet: 5 s) */
#define SWEEP_MAX 1000     /* Events that go in one of them */

Tracked *tracked(Daemon *d, const char *uid)
{
    LIST_EACH(t, &d->pods)
        if (str_eq(t->uid, uid))
            return t;
    return NULL;
}

char *pod_key(const Pod *p)
{
    return mem_fmt("%s/%s", p->metadata.namespace_, p->metadata.name);
}

/* --- what the agent tells ---------------------------------------------------------------------------------------------- */

static void track(Daemon *d, const Pod *p)
{
    Tracked *t = LIST_ADD(&d->pods);
    *t = (Tracked){.uid = mem_dup_str(p->metadata.uid), .phase = mem_dup_str(p->status.phase), .status_owed = true};
    restarts_adopt(d, t, p);
    Err *e = dump_serve(d->agent, d->c.loop, d->c.run_dir, t->uid, &t->dump);
    if (e)
        log_error(d->c.log, "no socket for debug dump", p->metadata.name, e);
}

static void tracked_done(Tracked *t)
{
    dump_close(t->dump);
    free(t->uid);
    free(t->phase);
    free(t->restart_container);
    free(t->restart_rule);
}

static void untrack(Daemon *d, const char *uid)
{
    Tracked *t = tracked(d, uid);
    if (!t)
        return;
    tracked_done(t);
    *t = d->pods.v[--d->pods.n];
}

/* Told when there is time: after kills and starts, never before them. */
static void on_pod(void *arg, const char *type, const Pod *p, int64_t now_ns)
{
    Daemon *d = arg;
    if (d->house)
        housekeeping_pod(d->house, type, p, now_ns);
    if (str_eq(type, "ADDED"))
        track(d, p);
    Tracked *t = tracked(d, p->metadata.uid);
    SCOPED(mem_free) char *name = pod_key(p);
    if (t && str_eq(type, "MODIFIED") && !str_eq(t->phase, p->status.phase)) {
        mem_set_str(&t->phase, p->status.phase);
        LogField f[] = {{"pod", name}, {"uid", t->uid}, {"phase", t->phase}, {"reason", p->status.reason}, {"message", p->status.message}};
        log_line(d->c.log, LOG_INFO, now_ns, "phase", f, ARRAY_LEN(f));
    }
    if (t)
        restarts_note(d, t, p, now_ns);
    if (str_eq(type, "DELETED"))
        LOG(d->c.log, LOG_INFO, "pod removed", {"pod", name}, {"uid", p->metadata.uid});
    else
        (void)pod_status_write(d, p); /* what cannot be stored is owed */
}

static void on_event(void *arg, const Pod *p, bool warning, const char *reason, const char *message, const char *container,
                     int64_t now_ns)
{
    Daemon *d = arg;
    if (d->house)
        housekeeping_event(d->house, p, reason, message, container);
    recorder_pod_event(d->events, p, EVENTS_KUBELET, warning, reason, message, container, now_ns);
    Tracked *t = tracked(d, p->metadata.uid);
    uint64_t left_out = 0;
    if (t && !log_rate(&t->rate, os_monotonic_ns(), &left_out))
        return;
    SCOPED(mem_free) char *name = pod_key(p);
    SCOPED(mem_free) char *count = left_out ? mem_fmt("%llu", (unsigned long long)left_out) : NULL;
    LogField f[] = {{"pod", name}, {"uid", p->metadata.uid}, {"container", container}, {"reason", reason}, {"suppressed", count}};
    log_line(d->c.log, warning ? LOG_WARN : LOG_INFO, now_ns, message, f, ARRAY_LEN(f));
}

/* A Pod is not forgotten in the middle of the agent's turn. */
static void on_done(void *arg, const Pod *p)
{
    Daemon *d = arg;
    pod_dirty(d, p->metadata.namespace_, p->metadata.name);
    d->static_dirty = d->static_dirty || pod_is_static(p);
    d->schedule = d->claims_dirty = true;
    act_soon(d, 0);
}

void forget_pod(Daemon *d, const char *uid)
{
    Tracked *t = tracked(d, uid);
    if (t)
        dump_close(MOVE(t->dump, NULL));
    const Pod *p = agent_pod_get(d->agent, uid);
    SCOPED(mem_free) char *namespace_ = mem_dup_str(p->metadata.namespace_);
    SCOPED(mem_free) char *name = mem_dup_str(p->metadata.name);
    SCOPED(mem_free) char *mine = mem_dup_str(uid);
    Err *e = agent_pod_forget(d->agent, mine);
    if (e) {
        log_error(d->c.log, "remove what is left of a pod", name, e);
        pod_dirty(d, namespace_, name);
        retry_later(d);
        return;
    }
    err_free(objstore_restart_forget(d->store, mine));
    untrack(d, mine);
    pod_dirty(d, namespace_, name); /* the next one of that name may come */
    d->mirrors_dirty = d->claims_dirty = d->schedule = d->static_dirty = true;
    act_soon(d, 0);
}

/* --- timers -------------------------------------------------------------------------------------------------------------- */

static void on_act(uv_timer_t *t)
{
    reconcile(t->data);
}

void act_soon(Daemon *d, uint64_t ms)
{
    if (uv_is_active((uv_handle_t *)&d->act) && uv_timer_get_due_in(&d->act) <= ms)
        return;
    uv_update_time(d->c.loop);
    (void)uv_timer_start(&d->act, on_act, ms, 0);
}

static void on_retry(uv_timer_t *t)
{
    Daemon *d = t->data;
    all_dirty(d);
    reconcile(d);
}

void retry_later(Daemon *d)
{
    if (uv_is_active((uv_handle_t *)&d->retry))
        return;
    uv_update_time(d->c.loop);
    (void)uv_timer_start(&d->retry, on_retry, RETRY_MS, 0);
}

static void on_scan(uv_timer_t *t)
{
    manifests_scan(t->data);
}

/* Events that have lived their hour go; when nothing was written since the last look, the journal goes into the database, and memory that
 * the last burst of work took and does not need goes back to the kernel: 3 MB of 100 Pods that were started at once. */
static void on_keep(uv_timer_t *t)
{
    Daemon *d = t->data;
    int64_t next, rv;
    size_t n;
    runtime_look(d);
    err_free(objstore_sweep(d->store, os_now_ns(), SWEEP_MAX, &n, &next));
    rv = objstore_rv(d->store);
    if (rv == d->quiet_rv && rv != d->checkpoint_rv && !agent_is_busy(d->agent)) {
        err_free(objstore_checkpoint(d->store));
        self_trim();
        d->checkpoint_rv = rv;
    }
    d->quiet_rv = rv;
    if (os_monotonic_ns() >= d->heartbeat_ns) {
        node_object_heartbeat(d->node);
        runtime_look_images(d);
        d->heartbeat_ns = os_monotonic_ns() + NODE_HEARTBEAT_NS;
    }
}

/* --- signals, watchdog --------------------------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *h, int sig)
{
    Daemon *d = h->data;
    if (sig == SIGHUP) {
        LOG(d->c.log, LOG_INFO, "SIGHUP: looking at the manifests");
        manifests_scan(d);
        return;
    }
    LOG(d->c.log, LOG_INFO, "ending; the Pods go on", {"signal", sig == SIGTERM ? "SIGTERM" : "SIGINT"});
    sd_notify_send(d->c.notify_fd, "STOPPING=1\nSTATUS=letting go of the Pods, which run on");
    uv_stop(d->c.loop);
}

static void on_watchdog(uv_timer_t *t)
{
    sd_notify_send(((Daemon *)t->data)->c.notify_fd, "WATCHDOG=1");
}

#define TIMERS(d) {&(d)->scan, &(d)->settle, &(d)->act, &(d)->watchdog, &(d)->retry, &(d)->keep}

static void open_handles(Daemon *d)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
    uv_timer_t *timers[] = TIMERS(d);
    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        (void)uv_signal_init(d->c.loop, &d->signals[i]);
        d->signals[i].data = d;
        (void)uv_signal_start(&d->signals[i], on_signal, caught[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        (void)uv_timer_init(d->c.loop, timers[i]);
        timers[i]->data = d;
    }
    manifests_watch_init(d);
}

static void on_closed(uv_handle_t *h)
{
    ((Daemon *)h->data)->open_handles--;
}

static void close_handle(Daemon *d, uv_handle_t *h)
{
    d->open_handles++;
    uv_close(h, on_closed);
}

/* Returns when they are closed: <d> goes then, and a signal that was caught in this moment takes a turn of the loop more. */
static void close_handles(Daemon *d)
{
    uv_timer_t *timers[] = TIMERS(d);
    for (size_t i = 0; i < ARRAY_LEN(d->signals); i++)
        close_handle(d, (uv_handle_t *)&d->signals[i]);
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        close_handle(d, (uv_handle_t *)timers[i]);
    close_handle(d, (uv_handle_t *)&d->dir);
    while (d->open_handles > 0)
        (void)uv_run(d->c.loop, UV_RUN_ONCE);
}

/* --- housekeeping -------------------------------------------------------------------------------------------------------- */

/* The node's conditions are another: it is seen, and Pods that waited may come. */
static void on_pressure(void *arg)
{
    Daemon *d = arg;
    NodeCondition c;
    for (size_t i = 0; housekeeping_condition(d->house, i, &c); i++)
        node_object_set_condition(d->node, c.type, c.on, c.reason, c.message);
    d->schedule = true;
    act_soon(d, 0);
}

static void on_node_event(void *arg, bool warning, const char *reason, const char *message)
{
    node_object_event(((Daemon *)arg)->node, warning, reason, message);
}

static Err *open_house(Daemon *d)
{
    HousekeepingConfig hc = {
        .loop = d->c.loop,
        .rt = d->c.rt,
        .agent = d->agent,
        .log = d->c.log,
        .root = d->c.root,
        .log_dir = d->c.log_dir,
        .node_name = d->c.node_name,
        .options = &d->c.housekeeping,
        .on_pressure = on_pressure,
        .on_event = on_node_event,
        .arg = d,
    };
    return housekeeping_new(&hc, &d->house);
}

/* --- begin and end --------------------------------------------------------------------------------------------------------- */

static void adopt(Daemon *d)
{
    SCOPED(strvec_done) StrVec problems = {0};
    agent_pod_adopt_all(d->agent, &problems);
    for (size_t i = 0; i < problems.n; i++)
        LOG(d->c.log, LOG_ERROR, "a recorded pod is left as it is", {"err", problems.v[i]});
    SCOPED(mem_free) char *count = mem_fmt("%zu", agent_pod_count(d->agent));
    LOG(d->c.log, LOG_INFO, "adopted the recorded Pods", {"pods", count});
}

static Err *open_store(Daemon *d)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/state.db", d->c.root);
    SCOPED(mem_free) char *note = NULL;
    Err *e = objstore_open(path, NULL, &d->store, &note);
    if (note)
        LOG(d->c.log, LOG_WARN, "the object store", {"err", note});
    return e;
}

static Err *open_agent(Daemon *d)
{
    const DaemonConfig *c = &d->c;
    AgentConfig ac = {
        .loop = c->loop,
        .rt = c->rt,
        .root = c->root,
        .log_dir = c->log_dir,
        .node_name = c->node_name,
        .gates = c->gates,
        .plan = c->plan,
        .prepare_memory_bytes = c->prepare_memory_bytes,
        .listener = {.pod = on_pod, .event = on_event, .done = on_done, .arg = d},
    };
    return agent_open(&ac, &d->agent);
}

static void open_node(Daemon *d)
{
    const DaemonConfig *c = &d->c;
    d->runtime_version = mem_fmt("%s://%s", str_or(c->rt->type, "reprise"), str_or(c->rt->version, REPRISE_VERSION));
    d->events = recorder_new(d->store, c->node_name);
    err_free(apiserver_ensure_namespace(d->store, "default")); /* Events of the Node are there */
    NodeObjectConfig nc = {
        .name = c->node_name,
        .root = c->root,
        .runtime_version = d->runtime_version,
        .max_pods = c->max_pods,
        .reserved_cpu_milli = c->reserved_cpu_milli,
        .reserved_memory_bytes = c->reserved_memory_bytes,
        .port = c->api.secure_port,
    };
    d->node = node_object_new(&nc, d->store, d->events);
    d->heartbeat_ns = os_monotonic_ns() + NODE_HEARTBEAT_NS;
}

Err *daemon_open(const DaemonConfig *c, Daemon **ret)
{
    Daemon *d = NEW(Daemon);
    d->c = *c;
    Err *e = open_store(d);
    if (!e)
        e = open_agent(d);
    if (!e)
        e = open_house(d);
    if (e) {
        if (d->agent)
            agent_close(d->agent);
        objstore_close(d->store);
        free(d);
        return e;
    }
    open_node(d);
    static_files_init(&d->files, c->manifest_dir, c->node_name, &c->gates);
    d->files.report = on_manifest_report;
    d->files.arg = d;
    open_handles(d);
    watches_open(d);
    adopt(d);
    api_pods_import(d);
    all_dirty(d);
    manifests_scan(d);
    e = serve_open(d);
    if (e) {
        daemon_close(d);
        return e;
    }
    runtime_look(d);
    runtime_look_images(d);
    (void)uv_timer_start(&d->scan, on_scan, SCAN_MS, SCAN_MS);
    (void)uv_timer_start(&d->keep, on_keep, KEEP_MS, KEEP_MS);
    if (c->watchdog_ns > 0)
        (void)uv_timer_start(&d->watchdog, on_watchdog, 0, (uint64_t)(c->watchdog_ns / NS_PER_MS));
    *ret = d;
    return NULL;
}

void daemon_close(Daemon *d)
{
    serve_close(d);
    runtime_look_close(d);
    housekeeping_close(MOVE(d->house, NULL));
    agent_close(d->agent);
    close_handles(d);
    watches_close(d);
    LIST_EACH(t, &d->pods)
        tracked_done(t);
    free(d->pods.v);
    node_object_free(d->node);
    recorder_free(d->events);
    objstore_close(d->store);
    static_files_done(&d->files);
    strvec_done(&d->said);
    strvec_done(&d->dirty);
    strvec_done(&d->pending);
    free(d->status);
    free(d->runtime_version);
    free(d);
}

ObjStore *daemon_store(const Daemon *d)
{
    return d->store;
}

Err *daemon_run(const DaemonConfig *c)
{
    Daemon *d;
    Err *e = daemon_open(c, &d);
    if (e)
        return e;
    sd_notify_send(c->notify_fd, "READY=1");
    LOG(c->log, LOG_INFO, "ready", {"node", c->node_name}, {"root", c->root}, {"manifests", d->files.dir});
    (void)uv_run(c->loop, UV_RUN_DEFAULT);
    daemon_close(d);
    return NULL;
}
