#include "daemon/daemon.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "agent/agent.h"
#include "agent/dump.h"
#include "daemon/housekeeping.h"
#include "daemon/sdnotify.h"
#include "daemon/static_files.h"
#include "daemon/static_pod.h"
#include "node/allocatable.h"
#include "os/fs.h"
#include "plan/admit.h"

#define SCAN_MS 20000      /* the kubelet's fileCheckFrequency */
#define SETTLE_MS 250      /* after a change in the directory: a little longer than STATIC_QUIET_NS */
#define RETRY_MS 2000      /* of what could not be removed */

typedef struct {
    char *uid, *phase;
    DumpServer *dump;
    LogRate rate;
} Tracked;

typedef struct {
    DaemonConfig c;
    Agent *agent;
    Housekeeping *house;
    StaticFiles files;
    LIST_OF(Tracked) pods;
    StrVec said; /* what stands in the way of Pods of files, as it was logged: each once, as long as it does */
    uv_signal_t signals[3];
    uv_timer_t scan, settle, act, watchdog;
    uv_fs_event_t watch;
    bool watching;
    dev_t watch_dev;
    ino_t watch_ino;
    unsigned open_handles;
    char *status; /* as told to systemd */
} Daemon;

static Tracked *tracked(Daemon *d, const char *uid)
{
    LIST_EACH(t, &d->pods)
        if (str_eq(t->uid, uid))
            return t;
    return NULL;
}

static char *full_name(const Pod *p)
{
    return mem_fmt("%s/%s", p->metadata.namespace_, p->metadata.name);
}

/* --- what the agent tells ---------------------------------------------------------------------------------------------- */

static void act_soon(Daemon *d, uint64_t ms);

static void track(Daemon *d, const Pod *p)
{
    Tracked *t = LIST_ADD(&d->pods);
    t->uid = mem_dup_str(p->metadata.uid);
    t->phase = mem_dup_str(p->status.phase);
    Err *e = dump_serve(d->agent, d->c.loop, d->c.run_dir, t->uid, &t->dump);
    if (e)
        log_error(d->c.log, "no socket for debug dump", p->metadata.name, e);
}

static void tracked_done(Tracked *t)
{
    dump_close(t->dump);
    free(t->uid);
    free(t->phase);
}

static void untrack(Daemon *d, const char *uid)
{
    Tracked *t = tracked(d, uid);
    if (!t)
        return;
    tracked_done(t);
    *t = d->pods.v[--d->pods.n];
}

static void on_pod(void *arg, const char *type, const Pod *p, int64_t now_ns)
{
    Daemon *d = arg;
    if (d->house)
        housekeeping_pod(d->house, type, p, now_ns);
    if (str_eq(type, "ADDED"))
        track(d, p);
    Tracked *t = tracked(d, p->metadata.uid);
    SCOPED(mem_free) char *name = full_name(p);
    if (t && str_eq(type, "MODIFIED") && !str_eq(t->phase, p->status.phase)) {
        mem_set_str(&t->phase, p->status.phase);
        LogField f[] = {{"pod", name}, {"uid", t->uid}, {"phase", t->phase}, {"reason", p->status.reason}, {"message", p->status.message}};
        log_line(d->c.log, LOG_INFO, now_ns, "phase", f, ARRAY_LEN(f));
    }
    if (str_eq(type, "DELETED"))
        LOG(d->c.log, LOG_INFO, "pod removed", {"pod", name}, {"uid", p->metadata.uid});
}

static void on_event(void *arg, const Pod *p, bool warning, const char *reason, const char *message, const char *container,
                     int64_t now_ns)
{
    Daemon *d = arg;
    if (d->house)
        housekeeping_event(d->house, p, reason, message, container);
    Tracked *t = tracked(d, p->metadata.uid);
    uint64_t left_out = 0;
    if (t && !log_rate(&t->rate, os_monotonic_ns(), &left_out))
        return;
    SCOPED(mem_free) char *name = full_name(p);
    SCOPED(mem_free) char *count = left_out ? mem_fmt("%llu", (unsigned long long)left_out) : NULL;
    LogField f[] = {{"pod", name}, {"uid", p->metadata.uid}, {"container", container}, {"reason", reason}, {"suppressed", count}};
    log_line(d->c.log, warning ? LOG_WARN : LOG_INFO, now_ns, message, f, ARRAY_LEN(f));
}

static void on_done(void *arg, const Pod *p)
{
    (void)p;
    act_soon(arg, 0); /* a Pod is not forgotten in the middle of the agent's turn */
}

/* --- what is and what should be ---------------------------------------------------------------------------------------- */

typedef LIST_OF(const Pod *) PodRefs;

static const Pod *ref_named(const PodRefs *l, const Pod *p)
{
    LIST_EACH(x, l)
        if (str_eq((*x)->metadata.name, p->metadata.name) && str_eq((*x)->metadata.namespace_, p->metadata.namespace_))
            return *x;
    return NULL;
}

static bool ref_uid(const PodRefs *l, const char *uid)
{
    LIST_EACH(x, l)
        if (str_eq((*x)->metadata.uid, uid))
            return true;
    return false;
}

/* Takes <text>. Said if it was not in the way before. */
static void in_the_way(Daemon *d, StrVec *now, const Pod *p, char *text)
{
    SCOPED(mem_free) char *name = full_name(p);
    char *key = mem_fmt("%s %s: %s", name, p->metadata.uid, text);
    if (!strvec_has(&d->said, key))
        LOG(d->c.log, LOG_ERROR, "pod not started", {"pod", name}, {"uid", p->metadata.uid}, {"err", text});
    strvec_add_take(now, key);
    free(text);
}

/* The Pods that the files want. Of two with one name, the one that is here already, else the first: a second file does not end what
 * runs. */
static void wanted(Daemon *d, PodRefs *out, StrVec *now)
{
    for (int pass = 0; pass < 2; pass++)
        LIST_EACH(f, &d->files.files)
            LIST_EACH(p, &f->objects.pods) {
                const Pod *here = agent_pod_get(d->agent, (*p)->metadata.uid);
                bool runs = here && !here->metadata.deletion_timestamp.set;
                if (runs != (pass == 0))
                    continue;
                if (ref_named(out, *p))
                    in_the_way(d, now, *p, mem_fmt("%s: another file has a Pod of that name", f->path));
                else
                    *LIST_ADD(out) = *p;
            }
}

static void forget(Daemon *d, const char *uid)
{
    Tracked *t = tracked(d, uid);
    if (t)
        dump_close(MOVE(t->dump, NULL));
    Err *e = agent_pod_forget(d->agent, uid);
    if (!e) {
        untrack(d, uid);
        return;
    }
    log_error(d->c.log, "remove what is left of a pod", uid, e);
    act_soon(d, RETRY_MS);
}

/* Ends what no file wants any more, and removes what has ended so. */
static void end_unwanted(Daemon *d, const PodRefs *want)
{
    SCOPED(strvec_done) StrVec uids = {0};
    for (size_t i = 0; i < agent_pod_count(d->agent); i++)
        strvec_add(&uids, agent_pod_at(d->agent, i)->metadata.uid);
    for (size_t i = 0; i < uids.n; i++) {
        const Pod *p = agent_pod_get(d->agent, uids.v[i]);
        if (!p->metadata.deletion_timestamp.set && pod_is_static(p) && !ref_uid(want, uids.v[i])) {
            SCOPED(mem_free) char *name = full_name(p);
            LOG(d->c.log, LOG_INFO, "pod deleted: its file is gone or has another", {"pod", name}, {"uid", uids.v[i]});
            err_free(agent_pod_delete(d->agent, uids.v[i], -1));
        }
        if (p->metadata.deletion_timestamp.set && agent_pod_is_done(d->agent, uids.v[i]))
            forget(d, uids.v[i]);
    }
}

static void admit(Daemon *d, Pod *p)
{
    struct utsname u = {0};
    (void)uname(&u);
    SCOPED(mem_free) char *arch = mem_dup_str(str_eq(u.machine, "x86_64") ? "amd64" : str_eq(u.machine, "aarch64") ? "arm64" : u.machine);
    StrPair pairs[] = {{(char[]){"kubernetes.io/arch"}, arch},
                       {(char[]){"kubernetes.io/hostname"}, p->spec.node_name},
                       {(char[]){"kubernetes.io/os"}, (char[]){"linux"}}};
    StrMap labels = {ARRAY_LEN(pairs), pairs};
    AdmitNode node = {
        .name = d->c.node_name,
        .labels = &labels,
        .cpu_milli = node_cpu_milli() - d->c.reserved_cpu_milli,
        .memory_bytes = node_memory_bytes() - d->c.reserved_memory_bytes,
        .storage_bytes = node_storage_bytes(d->c.root),
        .max_pods = d->c.max_pods,
        .pressure = housekeeping_pressure(d->house),
    };
    PodRefs others = {0};
    for (size_t i = 0; i < agent_pod_count(d->agent); i++)
        *LIST_ADD(&others) = agent_pod_at(d->agent, i);
    const char *reason = plan_admit(p, others.v, others.n, &node);
    if (reason) {
        SCOPED(mem_free) char *name = full_name(p);
        LOG(d->c.log, LOG_WARN, p->status.message, {"pod", name}, {"uid", p->metadata.uid}, {"reason", reason});
    }
    free(others.v);
}

static void add_wanted(Daemon *d, const Pod *p, const Objects *objects, StrVec *now)
{
    const char *uid = p->metadata.uid;
    if (agent_pod_get(d->agent, uid)) {
        Err *e = agent_pod_objects(d->agent, uid, objects);
        if (e)
            log_error(d->c.log, "objects of a pod", p->metadata.name, e);
        return;
    }
    const Pod *other = agent_pod_find(d->agent, p->metadata.namespace_, p->metadata.name);
    if (other) {
        if (!other->metadata.deletion_timestamp.set)
            in_the_way(d, now, p, mem_fmt("a Pod of that name runs here, uid %s", other->metadata.uid));
        return; /* the one of before ends first */
    }
    Pod *mine = api_copy(&type_Pod, p);
    admit(d, mine);
    const Pod *added;
    bool adopted;
    SCOPED(err_free) Err *e = agent_pod_add(d->agent, mine, objects, &added, &adopted);
    if (e) {
        in_the_way(d, now, p, err_text(e));
        return;
    }
    SCOPED(mem_free) char *name = full_name(added);
    LOG(d->c.log, LOG_INFO, "pod added", {"pod", name}, {"uid", uid}, {"source", "file"});
}

static void tell_status(Daemon *d)
{
    size_t running = 0;
    for (size_t i = 0; i < agent_pod_count(d->agent); i++)
        running += str_eq(agent_pod_at(d->agent, i)->status.phase, "Running");
    SCOPED(mem_free) char *text = mem_fmt("STATUS=%zu Pods, %zu running; %zu manifests broken", agent_pod_count(d->agent), running,
                                          static_files_broken(&d->files));
    if (str_eq(text, d->status))
        return;
    mem_set_str(&d->status, text);
    sd_notify_send(d->c.notify_fd, text);
}

/* Makes what is what should be, as far as it can be done now; what ends later brings us back. */
static void reconcile(Daemon *d)
{
    PodRefs want = {0};
    StrVec now = {0};
    Objects objects;
    wanted(d, &want, &now);
    static_files_objects(&d->files, &objects);
    end_unwanted(d, &want);
    LIST_EACH(p, &want)
        add_wanted(d, *p, &objects, &now);
    static_files_view_done(&objects);
    free(want.v);
    strvec_done(&d->said);
    d->said = now;
    tell_status(d);
}

static void on_act(uv_timer_t *t)
{
    reconcile(t->data);
}

static void act_soon(Daemon *d, uint64_t ms)
{
    if (uv_is_active((uv_handle_t *)&d->act) && uv_timer_get_due_in(&d->act) <= ms)
        return;
    uv_update_time(d->c.loop);
    (void)uv_timer_start(&d->act, on_act, ms, 0);
}

/* --- the directory ----------------------------------------------------------------------------------------------------- */

static void on_report(void *arg, const char *file, const char *text)
{
    const Daemon *d = arg;
    const char *path = file ? file : d->files.dir;
    if (text)
        LOG(d->c.log, file ? LOG_ERROR : LOG_WARN, file ? "manifest is broken" : "manifest directory", {"file", path}, {"err", text});
    else
        LOG(d->c.log, LOG_INFO, file ? "manifest is sound again" : "manifest directory is there", {"file", path});
}

static void on_settled(uv_timer_t *t);

static void on_watch(uv_fs_event_t *h, const char *name, int events, int status)
{
    (void)events;
    Daemon *d = h->data;
    if (status < 0 || (name && name[0] == '.')) /* the kubelet, too: editors' own files */
        return;
    uv_update_time(d->c.loop);
    (void)uv_timer_start(&d->settle, on_settled, SETTLE_MS, 0);
}

/* The directory may come, go, and be another one: what is watched is an inode. */
static void watch_dir(Daemon *d)
{
    struct stat st;
    bool there = stat(d->files.dir, &st) == 0;
    if (d->watching && there && st.st_dev == d->watch_dev && st.st_ino == d->watch_ino)
        return;
    if (MOVE(d->watching, false))
        (void)uv_fs_event_stop(&d->watch);
    if (!there)
        return;
    d->watching = uv_fs_event_start(&d->watch, on_watch, d->files.dir, 0) == 0; /* else the rescan has to do */
    d->watch_dev = st.st_dev;
    d->watch_ino = st.st_ino;
}

static void scan(Daemon *d)
{
    bool changed, again;
    watch_dir(d); /* before the look: nothing that comes in between is missed */
    static_files_scan(&d->files, &changed, &again);
    if (again)
        (void)uv_timer_start(&d->settle, on_settled, SETTLE_MS, 0);
    reconcile(d);
}

static void on_settled(uv_timer_t *t)
{
    scan(t->data);
}

static void on_scan(uv_timer_t *t)
{
    scan(t->data);
}

/* --- signals, watchdog --------------------------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *h, int sig)
{
    Daemon *d = h->data;
    if (sig == SIGHUP) {
        LOG(d->c.log, LOG_INFO, "SIGHUP: looking at the manifests");
        scan(d);
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

static void open_handles(Daemon *d)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
    uv_timer_t *timers[] = {&d->scan, &d->settle, &d->act, &d->watchdog};
    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        (void)uv_signal_init(d->c.loop, &d->signals[i]);
        d->signals[i].data = d;
        (void)uv_signal_start(&d->signals[i], on_signal, caught[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        (void)uv_timer_init(d->c.loop, timers[i]);
        timers[i]->data = d;
    }
    (void)uv_fs_event_init(d->c.loop, &d->watch);
    d->watch.data = d;
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
    uv_timer_t *timers[] = {&d->scan, &d->settle, &d->act, &d->watchdog};
    for (size_t i = 0; i < ARRAY_LEN(d->signals); i++)
        close_handle(d, (uv_handle_t *)&d->signals[i]);
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        close_handle(d, (uv_handle_t *)timers[i]);
    close_handle(d, (uv_handle_t *)&d->watch);
    while (d->open_handles > 0)
        (void)uv_run(d->c.loop, UV_RUN_ONCE);
}

static void adopt(Daemon *d)
{
    SCOPED(strvec_done) StrVec problems = {0};
    agent_pod_adopt_all(d->agent, &problems);
    for (size_t i = 0; i < problems.n; i++)
        LOG(d->c.log, LOG_ERROR, "a recorded pod is left as it is", {"err", problems.v[i]});
    SCOPED(mem_free) char *count = mem_fmt("%zu", agent_pod_count(d->agent));
    LOG(d->c.log, LOG_INFO, "adopted the recorded Pods", {"pods", count});
}

Err *daemon_run(const DaemonConfig *c)
{
    Daemon d = {.c = *c};
    AgentConfig ac = {
        .loop = c->loop,
        .rt = c->rt,
        .root = c->root,
        .log_dir = c->log_dir,
        .node_name = c->node_name,
        .gates = c->gates,
        .plan = c->plan,
        .prepare_memory_bytes = c->prepare_memory_bytes,
        .listener = {.pod = on_pod, .event = on_event, .done = on_done, .arg = &d},
    };
    Err *e = agent_open(&ac, &d.agent);
    if (e)
        return e;
    static_files_init(&d.files, c->manifest_dir, c->node_name, &c->gates);
    d.files.report = on_report;
    d.files.arg = &d;
    HousekeepingConfig hc = {.loop = c->loop, .rt = c->rt, .agent = d.agent, .log = c->log, .root = c->root, .log_dir = c->log_dir,
                             .node_name = c->node_name, .options = &c->housekeeping, .arg = &d};
    e = housekeeping_new(&hc, &d.house);
    if (e) {
        static_files_done(&d.files);
        agent_close(d.agent);
        return e;
    }
    open_handles(&d);
    adopt(&d);
    scan(&d);
    (void)uv_timer_start(&d.scan, on_scan, SCAN_MS, SCAN_MS);
    if (c->watchdog_ns > 0)
        (void)uv_timer_start(&d.watchdog, on_watchdog, 0, (uint64_t)(c->watchdog_ns / NS_PER_MS));
    sd_notify_send(c->notify_fd, "READY=1");
    LOG(c->log, LOG_INFO, "ready", {"node", c->node_name}, {"root", c->root}, {"manifests", d.files.dir});
    (void)uv_run(c->loop, UV_RUN_DEFAULT);
    LIST_EACH(t, &d.pods)
        tracked_done(t);
    free(d.pods.v);
    housekeeping_close(MOVE(d.house, NULL));
    agent_close(d.agent);
    close_handles(&d);
    static_files_done(&d.files);
    strvec_done(&d.said);
    free(d.status);
    return NULL;
}
