#include "node/node_stats.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "api/codec.h"
#include "loop/process.h"
#include "node/allocatable.h"
#include "node/volumes.h"
#include "os/cgroup.h"
#include "os/fs.h"

#define SLICE_NS (2 * NS_PER_MS)     /* of reading cgroups in one turn of the loop */
#define DISKS_NS (60 * NS_PER_S)     /* how often the runtime is asked where its disks are */
#define HELPER_NS (600 * NS_PER_S)   /* a disk full of files takes its time */
#define HELPER_MAX_OUTPUT ((size_t)4 << 20)

/* One path that the helper counts, and whose it is: indices into stats.pods and its lists. */
typedef enum { ROW_LAYER, ROW_LOGS, ROW_VOLUME } RowKind;
typedef struct { RowKind kind; size_t pod, at; } Row;

struct NodeObserver {
    NodeObserverConfig c;
    CgroupHost cgroups;
    NodeStats stats, next; /* next.pods: being measured */
    char *images, *layers; /* the runtime's directories; NULL: not told yet */
    int64_t images_used, disks_asked_ns;
    bool asking_disks;
    uv_timer_t slice;
    bool looking, with_disks;
    size_t at;             /* the Pod of next.pods that is measured next */
    LIST_OF(ContainerStats) told; /* by the runtime; id is owned */
    LIST_OF(Row) rows;
    Process *helper;
    void (*done)(void *arg);
    void *arg;
    unsigned refs; /* the owner's, the timer's, and one for each request to the runtime */
    bool closed;
};

static void unref(NodeObserver *o)
{
    if (--o->refs > 0)
        return;
    node_stats_done(&o->stats);
    node_stats_done(&o->next);
    LIST_EACH(t, &o->told)
        free(t->id);
    free(o->told.v);
    free(o->rows.v);
    free(o->images);
    free(o->layers);
    cgroup_host_done(&o->cgroups);
    free(o);
}

/* --- the node --------------------------------------------------------------------------------------------------------------------- */

static void fs_look(const char *path, int64_t now_ns, FsStats *s)
{
    struct statvfs st;
    fs_stats_clear(s);
    if (!path || statvfs(path, &st) < 0)
        return;
    int64_t unit = (int64_t)st.f_frsize;
    *s = (FsStats){.at_ns = now_ns,
                   .available = (int64_t)st.f_bavail * unit,
                   .capacity = (int64_t)st.f_blocks * unit,
                   .used = ((int64_t)st.f_blocks - (int64_t)st.f_bfree) * unit,
                   .inodes_free = (int64_t)st.f_ffree,
                   .inodes = (int64_t)st.f_files,
                   .inodes_used = (int64_t)st.f_files - (int64_t)st.f_ffree};
    if (st.f_files == 0) /* btrfs and kin have no bound of inodes */
        s->inodes_free = s->inodes = s->inodes_used = STAT_NONE;
}

static bool same_fs(const char *a, const char *b)
{
    struct stat x, y;
    return !a || !b || stat(a, &x) < 0 || stat(b, &y) < 0 || x.st_dev == y.st_dev;
}

static int64_t number_in(const char *path)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read(path, 256, &s);
    return e || !s.n ? STAT_NONE : strtoll(s.p, NULL, 10);
}

/* As the kubelet's pkg/kubelet/stats/pidlimit: what is counted are threads. */
static void pids_look(NodeStats *s)
{
    int64_t pid_max = number_in("/proc/sys/kernel/pid_max"), threads_max = number_in("/proc/sys/kernel/threads-max");
    s->max_pid = threads_max != STAT_NONE && (pid_max == STAT_NONE || threads_max < pid_max) ? threads_max : pid_max;
    SCOPED(str_done) Str text = {0};
    SCOPED(err_free) Err *e = fs_read("/proc/loadavg", 256, &text);
    long long n = STAT_NONE;
    if (!e && text.n)
        (void)sscanf(text.p, "%*f %*f %*f %*d/%lld", &n);
    s->processes = n;
}

static int64_t nano_cores(const CpuStats *before, const CpuStats *now)
{
    if (now->usage_core_ns == STAT_NONE || before->usage_core_ns == STAT_NONE)
        return STAT_NONE;
    int64_t used = now->usage_core_ns - before->usage_core_ns, time = now->at_ns - before->at_ns;
    if (time <= 0 || used < 0)
        return STAT_NONE;
    return (int64_t)((double)used / (double)time * 1e9);
}

static void usage_take(const CgroupUsage *u, int64_t now_ns, int64_t limit, CpuStats *cpu, MemoryStats *memory)
{
    *cpu = (CpuStats){now_ns, u->cpu_ns, STAT_NONE};
    *memory = (MemoryStats){.at_ns = now_ns, .usage = u->memory, .working_set = u->working_set, .rss = u->rss,
                            .page_faults = u->page_faults, .major_page_faults = u->major_page_faults, .available = STAT_NONE};
    if (limit >= 0 && u->working_set >= 0)
        memory->available = limit > u->working_set ? limit - u->working_set : 0;
}

static void on_disks(void *arg, const RuntimeDisks *d, Err *err)
{
    NodeObserver *o = arg;
    o->asking_disks = false;
    if (d && !o->closed) {
        mem_set_str(&o->images, d->images);
        mem_set_str(&o->layers, d->layers);
        o->images_used = d->images_used;
        node_observe(o);
    }
    err_free(err); /* what the last answer said stands; tried again */
    unref(o);
}

static void ask_disks(NodeObserver *o)
{
    int64_t now = os_monotonic_ns();
    if (!o->c.rt->ops->disks || o->asking_disks || (o->images && now - o->disks_asked_ns < DISKS_NS))
        return;
    o->disks_asked_ns = now;
    o->asking_disks = true;
    o->refs++;
    Err *e = o->c.rt->ops->disks(o->c.rt, on_disks, o);
    if (e)
        on_disks(o, NULL, e);
}

void node_observe(NodeObserver *o)
{
    NodeStats *s = &o->stats;
    CpuStats before = s->cpu;
    CgroupUsage u;
    struct timespec up;
    s->at_ns = os_now_ns();
    if (clock_gettime(CLOCK_BOOTTIME, &up) == 0)
        s->booted_at_ns = s->at_ns - (int64_t)up.tv_sec * NS_PER_S;
    (void)cgroup_usage(&o->cgroups, "", &u);
    usage_take(&u, s->at_ns, node_memory_bytes(), &s->cpu, &s->memory);
    s->cpu.usage_nano_cores = nano_cores(&before, &s->cpu);
    fs_look(o->c.root, s->at_ns, &s->fs);
    fs_look(o->images, s->at_ns, &s->image_fs);
    fs_look(o->layers, s->at_ns, &s->container_fs);
    s->disks = same_fs(o->c.root, o->images) ? DISKS_ONE : same_fs(o->images, o->layers) ? DISKS_IMAGEFS : DISKS_SPLIT;
    pids_look(s);
    ask_disks(o);
}

/* --- which Pods, which containers --------------------------------------------------------------------------------------------------- */

static void add_containers(PodStats *p, const ContainerStatusList *l)
{
    LIST_EACH(c, l) {
        const char *id = c->container_id ? strstr(c->container_id, "://") : NULL;
        if (!id || !c->state || !c->state->running)
            continue;
        ContainerStats *s = LIST_ADD(&p->containers);
        container_stats_init(s);
        s->name = mem_dup_str(c->name);
        s->id = mem_dup_str(id + 3);
        s->started_at_ns = c->state->running->started_at.set ? c->state->running->started_at.ns : NS_NONE;
    }
}

/* IsLocalEphemeralVolume */
static bool is_local(const Volume *v)
{
    return (v->empty_dir && str_empty(v->empty_dir->medium)) || v->config_map;
}

static void add_volumes(PodStats *p, const Pod *pod)
{
    LIST_EACH(v, &pod->spec.volumes) {
        if (v->host_path)
            continue; /* no statistics of it upstream either: it is the node's */
        VolumeStats *s = LIST_ADD(&p->volumes);
        *s = (VolumeStats){.name = mem_dup_str(v->name), .local = is_local(v)};
        s->claim = v->persistent_volume_claim ? mem_dup_str(v->persistent_volume_claim->claim_name) : NULL;
        fs_stats_clear(&s->fs);
    }
}

static void add_pod(NodeObserver *o, const Pod *pod)
{
    PodStats *p = LIST_ADD(&o->next.pods);
    pod_stats_init(p);
    p->uid = mem_dup_str(pod->metadata.uid);
    p->name = mem_dup_str(pod->metadata.name);
    p->namespace_ = mem_dup_str(pod->metadata.namespace_);
    p->started_at_ns = pod->status.start_time.set ? pod->status.start_time.ns : NS_NONE;
    add_containers(p, &pod->status.init_container_statuses);
    add_containers(p, &pod->status.container_statuses);
    add_containers(p, &pod->status.ephemeral_container_statuses);
    add_volumes(p, pod);
}

static bool has_ended(const Pod *p)
{
    return str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
}

/* --- measuring -------------------------------------------------------------------------------------------------------------------- */

static void measure_container(NodeObserver *o, const PodStats *p, ContainerStats *c)
{
    RuntimePlace place;
    CgroupUsage u;
    o->c.rt->ops->place(o->c.rt, p->uid, c->id, &place);
    int64_t now = os_now_ns();
    if (place.cgroup && cgroup_usage(&o->cgroups, place.cgroup, &u))
        usage_take(&u, now, u.memory_limit, &c->cpu, &c->memory);
    runtime_place_done(&place);
    LIST_EACH(t, &o->told)
        if (str_eq(t->id, c->id)) {
            c->cpu = t->cpu;
            c->memory = t->memory;
            c->rootfs = t->rootfs;
        }
}

static void measure_pod(NodeObserver *o, PodStats *p)
{
    RuntimePlace place;
    CgroupUsage u;
    o->c.rt->ops->place(o->c.rt, p->uid, NULL, &place);
    int64_t now = os_now_ns();
    if (place.pod_cgroup && cgroup_usage(&o->cgroups, place.pod_cgroup, &u)) {
        usage_take(&u, now, u.memory_limit, &p->cpu, &p->memory);
        p->processes = cgroup_pids(&o->cgroups, place.pod_cgroup);
    }
    runtime_place_done(&place);
    LIST_EACH(c, &p->containers)
        measure_container(o, p, c);
}

/* What only a comparison with the look before can tell, and what is not measured each time. */
static void carry_over(const PodStats *old, PodStats *p)
{
    p->cpu.usage_nano_cores = nano_cores(&old->cpu, &p->cpu);
    p->ephemeral = old->ephemeral;
    LIST_EACH(c, &p->containers)
        LIST_EACH(o, &old->containers)
            if (str_eq(o->id, c->id)) {
                if (c->cpu.usage_nano_cores == STAT_NONE)
                    c->cpu.usage_nano_cores = nano_cores(&o->cpu, &c->cpu);
                c->logs = o->logs;
                if (c->rootfs.used == STAT_NONE)
                    c->rootfs = o->rootfs;
            }
    LIST_EACH(v, &p->volumes)
        LIST_EACH(o, &old->volumes)
            if (str_eq(o->name, v->name))
                v->fs = o->fs;
}

/* A Pod's own file system is the node's. */
static void fs_fill(const FsStats *fs, int64_t used, int64_t inodes, FsStats *to)
{
    *to = *fs;
    to->used = used;
    to->inodes_used = inodes;
}

static void sum_up(NodeObserver *o, PodStats *p)
{
    int64_t used = 0, inodes = 0;
#define ADD(f) (used += (f).used > 0 ? (f).used : 0, inodes += (f).inodes_used > 0 ? (f).inodes_used : 0)
    LIST_EACH(c, &p->containers) {
        ADD(c->rootfs);
        ADD(c->logs);
    }
    LIST_EACH(v, &p->volumes)
        if (v->local)
            ADD(v->fs);
#undef ADD
    fs_fill(&o->stats.fs, used, inodes, &p->ephemeral);
}

static void finish(NodeObserver *o)
{
    o->looking = false;
    o->done(o->arg);
}

static void count_disks(NodeObserver *o);

static void pods_measured(NodeObserver *o)
{
    NodeStats *s = &o->stats;
    for (size_t i = 0; i < o->next.pods.n; i++) {
        PodStats *p = &o->next.pods.v[i];
        /* The order hardly changes from one look to the next. */
        const PodStats *old = i < s->pods.n && str_eq(s->pods.v[i].uid, p->uid) ? &s->pods.v[i] : node_stats_pod(s, p->uid);
        if (old)
            carry_over(old, p);
        if (old && old->ephemeral.at_ns != NS_NONE)
            sum_up(o, p); /* a runtime may have told other sizes of layers */
    }
    LIST_EACH(p, &s->pods)
        pod_stats_done(p);
    free(s->pods.v);
    s->pods.v = MOVE(o->next.pods.v, NULL);
    s->pods.n = MOVE(o->next.pods.n, 0);
    s->pods_at_ns = os_now_ns();
    if (o->with_disks)
        count_disks(o);
    else
        finish(o);
}

static void on_slice(uv_timer_t *t)
{
    NodeObserver *o = t->data;
    int64_t end = os_monotonic_ns() + SLICE_NS;
    while (o->at < o->next.pods.n && os_monotonic_ns() < end)
        measure_pod(o, &o->next.pods.v[o->at++]);
    if (o->at < o->next.pods.n) {
        (void)uv_timer_start(t, on_slice, 1, 0);
        return;
    }
    LIST_EACH(told, &o->told)
        free(told->id);
    o->told.n = 0;
    pods_measured(o);
}

static void on_usage(void *arg, const ContainerStats *v, size_t n, Err *err)
{
    NodeObserver *o = arg;
    for (size_t i = 0; i < n && !o->closed && v; i++) {
        ContainerStats *c = LIST_ADD(&o->told);
        *c = v[i];
        c->id = mem_dup_str(v[i].id);
    }
    err_free(err); /* then of the containers nothing is known this time */
    if (!o->closed)
        (void)uv_timer_start(&o->slice, on_slice, 0, 0);
    unref(o);
}

bool node_observe_pods(NodeObserver *o, bool disks, void (*done)(void *arg), void *arg)
{
    const Pod *p;
    if (o->looking || !o->c.rt->ops->place)
        return false;
    o->looking = true;
    o->with_disks = disks;
    o->done = done;
    o->arg = arg;
    o->at = 0;
    for (size_t i = 0; (p = o->c.pod(o->c.arg, i)) != NULL; i++)
        if (!has_ended(p))
            add_pod(o, p);
    if (!o->c.rt->ops->usage) {
        (void)uv_timer_start(&o->slice, on_slice, 0, 0);
        return true;
    }
    o->refs++;
    Err *e = o->c.rt->ops->usage(o->c.rt, on_usage, o);
    if (e)
        on_usage(o, NULL, 0, e);
    return true;
}

/* --- disks ------------------------------------------------------------------------------------------------------------------------ */

static void add_row(NodeObserver *o, Str *paths, RowKind kind, size_t pod, size_t at, const char *path)
{
    *LIST_ADD(&o->rows) = (Row){kind, pod, at};
    str_add_n(paths, path, strlen(path) + 1);
}

static void pod_rows(NodeObserver *o, size_t i, const Pod *pod, Str *paths)
{
    const PodStats *p = &o->stats.pods.v[i];
    for (size_t k = 0; k < p->containers.n; k++) {
        const ContainerStats *c = &p->containers.v[k];
        RuntimePlace place;
        o->c.rt->ops->place(o->c.rt, p->uid, c->id, &place);
        if (place.layer)
            add_row(o, paths, ROW_LAYER, i, k, place.layer);
        runtime_place_done(&place);
        SCOPED(mem_free) char *logs = mem_fmt("%s/%s_%s_%s/%s", o->c.log_dir, p->namespace_, p->name, p->uid, c->name);
        add_row(o, paths, ROW_LOGS, i, k, logs);
    }
    VolumesContext ctx = {.root = o->c.root, .pod = pod};
    for (size_t k = 0; k < p->volumes.n; k++)
        LIST_EACH(v, &pod->spec.volumes) {
            SCOPED(mem_free) char *path = str_eq(v->name, p->volumes.v[k].name) ? volume_path(&ctx, v) : NULL;
            if (path)
                add_row(o, paths, ROW_VOLUME, i, k, path);
        }
}

static void on_counted(void *arg, ProcessResult *res)
{
    NodeObserver *o = arg;
    o->helper = NULL;
    const char *p = str_or(res->out.p, "");
    bool whole = res->exited && res->code == 0;
    for (size_t i = 0; i < o->rows.n && whole; i++) {
        const Row *r = &o->rows.v[i];
        char *end;
        long long bytes = strtoll(p, &end, 10), inodes = strtoll(end, &end, 10);
        if (*end != '\n')
            break;
        p = end + 1;
        PodStats *pod = &o->stats.pods.v[r->pod];
        FsStats *to = r->kind == ROW_VOLUME ? &pod->volumes.v[r->at].fs
                      : r->kind == ROW_LOGS ? &pod->containers.v[r->at].logs
                                            : &pod->containers.v[r->at].rootfs;
        if (bytes >= 0)
            fs_fill(r->kind == ROW_LAYER ? &o->stats.container_fs : &o->stats.fs, bytes, inodes, to);
    }
    for (size_t i = 0; i < o->stats.pods.n && whole; i++)
        sum_up(o, &o->stats.pods.v[i]);
    if (whole)
        o->stats.disks_at_ns = os_now_ns();
    finish(o);
}

static void count_disks(NodeObserver *o)
{
    SCOPED(str_done) Str paths = {0};
    const Pod *pod;
    o->rows.n = 0;
    for (size_t i = 0, k = 0; i < o->stats.pods.n && (pod = o->c.pod(o->c.arg, k)) != NULL; k++) {
        /* Pods may have come and gone since the look began; those that stay keep their order, as a rule. */
        for (size_t at = i; at < o->stats.pods.n; at++)
            if (str_eq(o->stats.pods.v[at].uid, pod->metadata.uid)) {
                pod_rows(o, at, pod, &paths);
                i = at == i ? i + 1 : i;
                break;
            }
    }
    static const char *const argv[] = {"/proc/self/exe", "disk-usage", NULL};
    ProcessSpec spec = {.argv = argv, .input = str_or(paths.p, ""), .n_input = paths.n, .max_output = HELPER_MAX_OUTPUT,
                        .timeout_ns = HELPER_NS};
    SCOPED(err_free) Err *e = o->rows.n ? process_start(o->c.loop, &spec, on_counted, o, &o->helper) : NULL;
    if (e || !o->rows.n)
        finish(o);
}

void disk_usage_lines(const char *in, size_t n, Str *out)
{
    for (size_t at = 0; at < n;) {
        size_t len = strnlen(in + at, n - at);
        SCOPED(mem_free) char *path = mem_dup_strn(in + at, len);
        int64_t bytes = -1, inodes = -1;
        err_free(disk_usage(path, &bytes, &inodes)); /* gone by now, or too deep */
        str_fmt(out, "%lld %lld\n", (long long)bytes, (long long)inodes);
        at += len + 1;
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------------------- */

Err *node_observer_new(const NodeObserverConfig *c, NodeObserver **ret)
{
    NodeObserver *o = NEW(NodeObserver);
    Err *e = cgroup_probe(&o->cgroups);
    if (e) {
        free(o);
        return e;
    }
    o->c = *c;
    o->refs = 2;
    o->images_used = STAT_NONE;
    node_stats_init(&o->stats);
    node_stats_init(&o->next);
    (void)uv_timer_init(c->loop, &o->slice);
    o->slice.data = o;
    *ret = o;
    return NULL;
}

static void on_timer_closed(uv_handle_t *h)
{
    unref(h->data);
}

void node_observer_close(NodeObserver *o)
{
    if (!o)
        return;
    o->closed = true;
    if (o->helper)
        process_abandon(MOVE(o->helper, NULL));
    uv_close((uv_handle_t *)&o->slice, on_timer_closed);
    unref(o);
}

const NodeStats *node_observer_stats(const NodeObserver *o)
{
    return &o->stats;
}

int64_t node_observer_images_used(const NodeObserver *o)
{
    return o->images_used;
}
