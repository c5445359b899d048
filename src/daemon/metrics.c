#include "daemon/metrics.h"

#include "api/codec.h"
#include "api/objects.h"
#include "daemon/prometheus.h"
#include "daemon/static_pod.h"
#include "plan/plan.h"

#define REQUEST_ROWS 256 /* kinds of requests that are told apart: their names are our own, but none may grow without end */

/* podStartupDurationBuckets */
static const double start_bounds[] = {0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600};
/* prometheus.DefBuckets */
static const double def_bounds[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
/* An in-place restart takes milliseconds; with images to pull, minutes. */
static const double restart_bounds[] = {.005, .01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10, 30, 60, 300};

enum { TYPE_CONTAINER, TYPE_INIT, TYPE_EPHEMERAL, TYPE_N };
static const char *const type_names[TYPE_N] = {"container", "init_container", "ephemeral_container"};

/* What kuberuntime's startContainer() fails with, as the status shows it. */
static const char *const start_errors[] = {"ErrImagePull",         "ErrImageNeverPull",    "InvalidImageName",     "ImageInspectError",
                                           "CreateContainerError", "CreateContainerConfigError", "RunContainerError", "PreStartHookError",
                                           "PostStartHookError",   "RegistryUnavailable",  "SignatureValidationFailed"};

typedef struct {
    char *uid;
    int64_t seen_ns;    /* when it came; NS_NONE: it ran already, or has been counted */
    int64_t restart_ns; /* the exit that began the restart under way; NS_NONE: none is */
    bool restarting;
    uint64_t failing;   /* a bit for each of its first 64 containers: its start failed, and that has been counted */
} Tracked;

typedef struct {
    char *method, *resource, *verb;
    int status;
    bool lasts; /* a watch, a stream */
    uint64_t n;
    Histogram seconds;
} Requests;

typedef struct {
    char *signal;
    uint64_t n;
    Histogram age;
} Evictions;

struct Metrics {
    char *node_name;
    const RuntimeMeter *meter;
    LIST_OF(Tracked) pods;
    uint64_t started[TYPE_N], start_failed[TYPE_N][ARRAY_LEN(start_errors)];
    Histogram pod_start, restart;
    uint64_t restarts, restarts_begun, images_space, images_age;
    int64_t image_bytes;
    LIST_OF(Evictions) evictions;
    LIST_OF(Requests) requests;
};

Metrics *metrics_new(const char *node_name, const RuntimeMeter *meter)
{
    Metrics *m = NEW(Metrics);
    *m = (Metrics){.node_name = mem_dup_str(node_name), .meter = meter, .pod_start = HISTOGRAM(start_bounds), .restart = HISTOGRAM(restart_bounds)};
    return m;
}

void metrics_free(Metrics *m)
{
    if (!m)
        return;
    LIST_EACH(t, &m->pods)
        free(t->uid);
    LIST_EACH(e, &m->evictions)
        free(e->signal);
    LIST_EACH(r, &m->requests) {
        free(r->method);
        free(r->resource);
        free(r->verb);
    }
    free(m->pods.v);
    free(m->evictions.v);
    free(m->requests.v);
    free(m->node_name);
    free(m);
}

/* --- counting --------------------------------------------------------------------------------------------------------------------- */

static Tracked *tracked(Metrics *m, const char *uid)
{
    LIST_EACH(t, &m->pods)
        if (str_eq(t->uid, uid))
            return t;
    return NULL;
}

static int container_type(const Pod *p, const char *name)
{
    LIST_EACH(c, &p->spec.init_containers)
        if (str_eq(c->name, name))
            return TYPE_INIT;
    LIST_EACH(c, &p->spec.ephemeral_containers)
        if (str_eq(c->name, name))
            return TYPE_EPHEMERAL;
    return TYPE_CONTAINER;
}

/* The container that the condition names: `container "x" exited with code 1, ...` */
static bool is_source(const char *message, const char *name)
{
    static const char head[] = "container \"";
    size_t n = strlen(name);
    return str_starts(str_or(message, ""), head) && strncmp(message + sizeof head - 1, name, n) == 0 && message[sizeof head - 1 + n] == '"';
}

static int64_t trigger_exit(const Pod *p, const PodCondition *c)
{
    const ContainerStatusList *lists[] = {&p->status.init_container_statuses, &p->status.container_statuses};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(s, lists[i]) {
            const ContainerState *state = s->state && s->state->terminated ? s->state : s->last_state;
            if (state && state->terminated && state->terminated->finished_at.set && is_source(c->message, s->name))
                return state->terminated->finished_at.ns;
        }
    return c->last_transition_time.set ? c->last_transition_time.ns : NS_NONE;
}

/* When the last of the containers that go on began to run; NS_NONE: not all of them do. */
static int64_t all_running(const Pod *p)
{
    int64_t last = NS_NONE;
    LIST_EACH(s, &p->status.container_statuses) {
        if (!s->state || !s->state->running || !s->state->running->started_at.set)
            return NS_NONE;
        last = s->state->running->started_at.ns > last ? s->state->running->started_at.ns : last;
    }
    return last;
}

static void follow_restart(Metrics *m, Tracked *t, const Pod *p)
{
    const PodCondition *c = plan_condition(&p->status, "AllContainersRestarting");
    bool is = c && str_eq(c->status, "True");
    if (is && !t->restarting) {
        m->restarts_begun++;
        t->restart_ns = trigger_exit(p, c);
    }
    t->restarting = is;
    int64_t end = is || t->restart_ns == NS_NONE ? NS_NONE : all_running(p);
    if (end == NS_NONE || end < t->restart_ns) /* still those of before */
        return;
    histogram_add(&m->restart, (double)(end - t->restart_ns) / 1e9);
    t->restart_ns = NS_NONE;
}

static void follow_failures(Metrics *m, Tracked *t, const Pod *p)
{
    const ContainerStatusList *lists[TYPE_N] = {&p->status.container_statuses, &p->status.init_container_statuses,
                                                &p->status.ephemeral_container_statuses};
    uint64_t bit = 1;
    for (size_t type = 0; type < TYPE_N; type++)
        LIST_EACH(s, lists[type]) {
            const char *why = s->state && s->state->waiting ? s->state->waiting->reason : NULL;
            size_t i = 0;
            while (i < ARRAY_LEN(start_errors) && !str_eq(why, start_errors[i]))
                i++;
            bool failed = i < ARRAY_LEN(start_errors);
            if (failed && bit && !(t->failing & bit))
                m->start_failed[type][i]++;
            t->failing = failed ? t->failing | bit : t->failing & ~bit;
            bit <<= 1;
        }
}

static bool runs(const Pod *p)
{
    return str_eq(p->status.phase, "Running");
}

static bool has_ended(const Pod *p)
{
    return str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
}

void metrics_pod(Metrics *m, const char *type, const Pod *p, int64_t now_ns)
{
    Tracked *t = tracked(m, p->metadata.uid);
    if (str_eq(type, "DELETED")) {
        if (t) {
            free(t->uid);
            *t = m->pods.v[--m->pods.n];
        }
        return;
    }
    if (!t) {
        t = LIST_ADD(&m->pods);
        *t = (Tracked){.uid = mem_dup_str(p->metadata.uid), .restart_ns = NS_NONE, .seen_ns = now_ns};
    }
    if (runs(p) && t->seen_ns != NS_NONE && !str_eq(type, "ADDED")) /* else it ran before we came */
        histogram_add(&m->pod_start, (double)(now_ns - t->seen_ns) / 1e9);
    if (runs(p) || has_ended(p))
        t->seen_ns = NS_NONE;
    follow_restart(m, t, p);
    follow_failures(m, t, p);
}

static Evictions *evictions_of(Metrics *m, const char *signal)
{
    LIST_EACH(e, &m->evictions)
        if (str_eq(e->signal, signal))
            return e;
    Evictions *e = LIST_ADD(&m->evictions);
    *e = (Evictions){.signal = mem_dup_str(signal), .age = HISTOGRAM(def_bounds)};
    return e;
}

void metrics_event(Metrics *m, const Pod *p, const char *reason, const char *message, const char *container)
{
    if (str_eq(reason, "Started") && container)
        m->started[container_type(p, container)]++;
    else if (str_eq(reason, "InPlaceRestartCompleted"))
        m->restarts++;
    else if (str_eq(reason, "Evicted") && str_starts(str_or(message, ""), "Usage of EmptyDir volume ")) /* the agent's own: agent/evict.c */
        evictions_of(m, "emptydirfs.limit")->n++;
}

void metrics_evicted(Metrics *m, const char *signal, int64_t age_ns)
{
    Evictions *e = evictions_of(m, signal);
    e->n++;
    histogram_add(&e->age, (double)age_ns / 1e9);
}

void metrics_image_removed(Metrics *m, const char *reason, int64_t bytes)
{
    *(str_eq(reason, "age") ? &m->images_age : &m->images_space) += 1;
    m->image_bytes += bytes;
}

static const char *known_method(const char *method)
{
    static const char *const known[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(method, known[i]))
            return known[i];
    return "other";
}

void metrics_request(Metrics *m, const HttpLog *l, const char *verb, const char *resource)
{
    const char *method = known_method(l->method);
    Requests *r = NULL;
    LIST_EACH(x, &m->requests)
        if (str_eq(x->method, method) && str_eq(x->resource, resource) && str_eq(x->verb, verb) && x->status == l->status)
            r = x;
    if (!r && m->requests.n >= REQUEST_ROWS)
        return;
    if (!r) {
        r = LIST_ADD(&m->requests);
        *r = (Requests){.method = mem_dup_str(method), .resource = mem_dup_str(str_or(resource, "")), .verb = mem_dup_str(str_or(verb, "")),
                        .status = l->status, .seconds = HISTOGRAM(def_bounds), .lasts = str_eq(verb, "watch") || str_eq(verb, "connect")};
    }
    r->n++;
    histogram_add(&r->seconds, (double)l->took_ns / 1e9);
}

/* --- rendering -------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t pods, sandboxes, is_static, static_active, active, running, exited, by_phase[5];
} Tally;
static const char *const phases[] = {"Pending", "Running", "Succeeded", "Failed", "Unknown"};

static void tally_containers(Tally *t, const ContainerStatusList *l)
{
    LIST_EACH(c, l) {
        t->running += c->state && c->state->running;
        t->exited += c->state && c->state->terminated;
    }
}

static Tally tally(const MetricsNow *now)
{
    Tally t = {0};
    const Pod *p;
    for (size_t i = 0; (p = now->pod(now->arg, i)) != NULL; i++) {
        bool is_static = pod_is_static(p), active = !has_ended(p);
        const PodCondition *ready = plan_condition(&p->status, "PodReadyToStartContainers");
        t.pods++;
        t.is_static += is_static;
        t.active += active;
        t.static_active += is_static && active;
        t.sandboxes += active && ready && str_eq(ready->status, "True");
        for (size_t k = 0; k < ARRAY_LEN(phases); k++)
            t.by_phase[k] += str_eq(p->status.phase, phases[k]);
        tally_containers(&t, &p->status.init_container_statuses);
        tally_containers(&t, &p->status.container_statuses);
        tally_containers(&t, &p->status.ephemeral_container_statuses);
    }
    return t;
}

static void render_pods(const Metrics *m, const MetricsNow *now, Str *out)
{
    Tally t = tally(now);
    prom_family(out, "kubelet_node_name", "gauge", "The node's name. The count is always 1.");
    PROM(out, "kubelet_node_name", 1, {"node", m->node_name});
    prom_family(out, "kubelet_desired_pods", "gauge",
                "The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.");
    PROM(out, "kubelet_desired_pods", t.pods - t.is_static, {"static", ""});
    PROM(out, "kubelet_desired_pods", t.is_static, {"static", "true"});
    prom_family(out, "kubelet_active_pods", "gauge",
                "The number of pods the kubelet considers active and which are being considered when admitting new pods. static is true if the "
                "pod is not from the apiserver.");
    PROM(out, "kubelet_active_pods", t.active - t.static_active, {"static", ""});
    PROM(out, "kubelet_active_pods", t.static_active, {"static", "true"});
    PROM_ONE(out, "kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox", t.sandboxes);
    prom_family(out, "kubelet_running_containers", "gauge", "Number of containers currently running");
    PROM(out, "kubelet_running_containers", t.exited, {"container_state", "exited"});
    PROM(out, "kubelet_running_containers", t.running, {"container_state", "running"});
    prom_family(out, "reprise_pods", "gauge", "Pods of this node by phase.");
    for (size_t i = 0; i < ARRAY_LEN(phases); i++)
        PROM(out, "reprise_pods", t.by_phase[i], {"phase", phases[i]});
    PROM_ONE(out, "reprise_static_pod_manifests", "gauge", "Files in the directory of static Pods.", now->manifests);
    PROM_ONE(out, "reprise_static_pod_manifests_broken", "gauge", "Those of them that cannot be used.", now->manifests_broken);
}

static void render_starts(const Metrics *m, Str *out)
{
    prom_family(out, "kubelet_started_containers_total", "counter", "Cumulative number of containers started");
    for (size_t i = 0; i < TYPE_N; i++)
        PROM(out, "kubelet_started_containers_total", m->started[i], {"container_type", type_names[i]});
    prom_family(out, "kubelet_started_containers_errors_total", "counter", "Cumulative number of errors when starting containers");
    for (size_t i = 0; i < TYPE_N; i++)
        for (size_t k = 0; k < ARRAY_LEN(start_errors); k++)
            if (m->start_failed[i][k])
                PROM(out, "kubelet_started_containers_errors_total", m->start_failed[i][k], {"code", start_errors[k]},
                     {"container_type", type_names[i]});
    prom_family(out, "kubelet_pod_start_duration_seconds", "histogram",
                "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run");
    prom_histogram(out, "kubelet_pod_start_duration_seconds", NULL, 0, &m->pod_start);
    PROM_ONE(out, "reprise_pod_restarts_total", "counter", "In-place restarts of whole Pods that were completed.", m->restarts);
    PROM_ONE(out, "reprise_pod_restarts_begun_total", "counter", "In-place restarts of whole Pods that were begun.", m->restarts_begun);
    prom_family(out, "reprise_pod_restart_duration_seconds", "histogram",
                "Duration in seconds of in-place restarts: from the exit that triggered it to the start of the last container.");
    prom_histogram(out, "reprise_pod_restart_duration_seconds", NULL, 0, &m->restart);
}

static void render_runtime(const Metrics *m, Str *out)
{
    if (!m->meter)
        return;
    const MeterCount *c = runtime_meter_counts(m->meter);
    PROM_ONE(out, "kubelet_started_pods_total", "counter", "Cumulative number of pods started", c[METER_RUN_SANDBOX].seconds.count);
    PROM_ONE(out, "kubelet_started_pods_errors_total", "counter", "Cumulative number of errors when starting pods",
             c[METER_RUN_SANDBOX].errors);
    prom_family(out, "kubelet_runtime_operations_total", "counter", "Cumulative number of runtime operations by operation type.");
    for (size_t i = 0; i < METER_N; i++)
        PROM(out, "kubelet_runtime_operations_total", c[i].seconds.count, {"operation_type", meter_op_names[i]});
    prom_family(out, "kubelet_runtime_operations_errors_total", "counter", "Cumulative number of runtime operation errors by operation type.");
    for (size_t i = 0; i < METER_N; i++)
        PROM(out, "kubelet_runtime_operations_errors_total", c[i].errors, {"operation_type", meter_op_names[i]});
    prom_family(out, "kubelet_runtime_operations_duration_seconds", "histogram",
                "Duration in seconds of runtime operations. Broken down by operation type.");
    for (size_t i = 0; i < METER_N; i++)
        if (c[i].seconds.count)
            prom_histogram(out, "kubelet_runtime_operations_duration_seconds", &(PromLabel){"operation_type", meter_op_names[i]}, 1, &c[i].seconds);
}

static void render_node(const Metrics *m, const MetricsNow *now, Str *out)
{
    prom_family(out, "kubelet_evictions", "counter", "Cumulative number of pod evictions by eviction signal");
    LIST_EACH(e, &m->evictions)
        PROM(out, "kubelet_evictions", e->n, {"eviction_signal", e->signal});
    prom_family(out, "kubelet_eviction_stats_age_seconds", "histogram",
                "Time between when stats are collected, and when pod is evicted based on those stats by eviction signal");
    LIST_EACH(e, &m->evictions)
        if (e->age.count)
            prom_histogram(out, "kubelet_eviction_stats_age_seconds", &(PromLabel){"eviction_signal", e->signal}, 1, &e->age);
    prom_family(out, "reprise_node_pressure", "gauge", "1 while the node has this condition.");
    PROM(out, "reprise_node_pressure", now->pressure.disk, {"condition", "DiskPressure"});
    PROM(out, "reprise_node_pressure", now->pressure.memory, {"condition", "MemoryPressure"});
    PROM(out, "reprise_node_pressure", now->pressure.pid, {"condition", "PIDPressure"});
    prom_family(out, "kubelet_image_garbage_collected_total", "counter",
                "Total number of images garbage collected by the kubelet, whether through disk usage or image age.");
    PROM(out, "kubelet_image_garbage_collected_total", m->images_age, {"reason", "age"});
    PROM(out, "kubelet_image_garbage_collected_total", m->images_space, {"reason", "space"});
    PROM_ONE(out, "reprise_image_garbage_collected_bytes_total", "counter", "Bytes of the images garbage collected.", m->image_bytes);
}

static void render_volumes(const NodeStats *s, Str *out)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } rows[] = {
        {"kubelet_volume_stats_available_bytes", "Number of available bytes in the volume", offsetof(FsStats, available)},
        {"kubelet_volume_stats_capacity_bytes", "Capacity in bytes of the volume", offsetof(FsStats, capacity)},
        {"kubelet_volume_stats_inodes", "Maximum number of inodes in the volume", offsetof(FsStats, inodes)},
        {"kubelet_volume_stats_inodes_free", "Number of free inodes in the volume", offsetof(FsStats, inodes_free)},
        {"kubelet_volume_stats_inodes_used", "Number of used inodes in the volume", offsetof(FsStats, inodes_used)},
        {"kubelet_volume_stats_used_bytes", "Number of used bytes in the volume", offsetof(FsStats, used)},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        SCOPED(strvec_done) StrVec said = {0}; /* a claim that several Pods have is told once */
        prom_family(out, rows[r].name, "gauge", rows[r].help);
        LIST_EACH(p, &s->pods)
            LIST_EACH(v, &p->volumes) {
                int64_t value;
                memcpy(&value, (const char *)&v->fs + rows[r].at, sizeof value);
                SCOPED(mem_free) char *key = v->claim ? mem_fmt("%s/%s", p->namespace_, v->claim) : NULL;
                if (!key || value == STAT_NONE || strvec_has(&said, key))
                    continue;
                strvec_add(&said, key);
                PROM(out, rows[r].name, value, {"namespace", p->namespace_}, {"persistentvolumeclaim", v->claim});
            }
    }
}

static void render_requests(const Metrics *m, Str *out)
{
    prom_family(out, "kubelet_http_requests_total", "counter", "Number of the http requests received since the server started");
    LIST_EACH(r, &m->requests) {
        SCOPED(mem_free) char *code = mem_fmt("%d", r->status);
        PROM(out, "kubelet_http_requests_total", r->n, {"code", code}, {"long_running", r->lasts ? "true" : "false"}, {"method", r->method},
             {"path", r->resource}, {"server_type", "readwrite"}, {"verb", r->verb});
    }
    prom_family(out, "kubelet_http_requests_duration_seconds", "histogram", "Duration in seconds to serve http requests");
    LIST_EACH(r, &m->requests) {
        SCOPED(mem_free) char *code = mem_fmt("%d", r->status);
        const PromLabel labels[] = {{"code", code},          {"long_running", r->lasts ? "true" : "false"}, {"method", r->method},
                                    {"path", r->resource}, {"server_type", "readwrite"},                   {"verb", r->verb}};
        prom_histogram(out, "kubelet_http_requests_duration_seconds", labels, ARRAY_LEN(labels), &r->seconds);
    }
}

static void render_store(const ObjStoreState *s, Str *out)
{
    PROM_ONE(out, "reprise_store_writable", "gauge", "1 while writes to the API's store are kept.", s->writable);
    PROM_ONE(out, "reprise_store_resource_version", "gauge", "The latest resourceVersion.", s->rv);
    PROM_ONE(out, "reprise_store_objects", "gauge", "Objects in the API's store.", s->objects);
    PROM_ONE(out, "reprise_store_object_bytes", "gauge", "Bytes that they take.", s->object_bytes);
    PROM_ONE(out, "reprise_store_history_events", "gauge", "Changes that are kept for watches.", s->history_events);
    PROM_ONE(out, "reprise_store_history_bytes", "gauge", "Bytes that they take.", s->history_bytes);
    PROM_ONE(out, "reprise_store_watches", "gauge", "Watches of the API's store.", s->watches);
    PROM_ONE(out, "reprise_store_failed_writes_total", "counter", "Writes that could not be kept.", s->failed);
    PROM_ONE(out, "reprise_store_recoveries_total", "counter", "Times that the store's database was opened or made anew.", s->recovered);
}

static void render_self(const SelfUsage *s, Str *out)
{
    const struct {
        const char *name, *type, *help;
        int64_t value;
        double unit;
    } rows[] = {
        {"process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", s->cpu_ns, 1e9},
        {"process_max_fds", "gauge", "Maximum number of open file descriptors.", s->max_fds, 1},
        {"process_open_fds", "gauge", "Number of open file descriptors.", s->open_fds, 1},
        {"process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", s->resident, 1},
        {"process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", s->started_ns, 1e9},
        {"process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", s->virtual_, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].value >= 0)
            PROM_ONE(out, rows[i].name, rows[i].type, rows[i].help, (double)rows[i].value / rows[i].unit);
}

void metrics_render(const Metrics *m, const MetricsNow *now, Str *out)
{
    prom_family(out, "reprise_build_info", "gauge", "The program's version. The value is always 1.");
    PROM(out, "reprise_build_info", 1, {"version", REPRISE_VERSION});
    render_pods(m, now, out);
    render_starts(m, out);
    render_runtime(m, out);
    render_node(m, now, out);
    render_volumes(now->stats, out);
    render_requests(m, out);
    if (now->store)
        render_store(now->store, out);
    if (now->self)
        render_self(now->self, out);
}

/* --- /metrics/resource ------------------------------------------------------------------------------------------------------------ */

typedef enum { RES_CPU, RES_MEMORY, RES_START } ResourceKind;

static void resource_sample(Str *out, const char *name, const PromLabel *labels, size_t n, ResourceKind kind, const CpuStats *cpu,
                            const MemoryStats *memory, int64_t start_ns)
{
    if (kind == RES_CPU && cpu->usage_core_ns != STAT_NONE)
        prom_sample(out, name, labels, n, (double)cpu->usage_core_ns / 1e9, cpu->at_ns);
    else if (kind == RES_MEMORY && memory->working_set != STAT_NONE)
        prom_sample(out, name, labels, n, (double)memory->working_set, memory->at_ns);
    else if (kind == RES_START && start_ns != NS_NONE)
        prom_sample(out, name, labels, n, (double)start_ns / 1e9, NS_NONE);
}

static void resource_containers(const NodeStats *s, const char *name, const char *type, const char *help, ResourceKind kind, Str *out)
{
    prom_family(out, name, type, help);
    LIST_EACH(p, &s->pods)
        LIST_EACH(c, &p->containers) {
            const PromLabel labels[] = {{"container", c->name}, {"namespace", p->namespace_}, {"pod", p->name}};
            resource_sample(out, name, labels, ARRAY_LEN(labels), kind, &c->cpu, &c->memory, c->started_at_ns);
        }
}

static void resource_pods(const NodeStats *s, const char *name, const char *type, const char *help, ResourceKind kind, Str *out)
{
    prom_family(out, name, type, help);
    LIST_EACH(p, &s->pods) {
        const PromLabel labels[] = {{"namespace", p->namespace_}, {"pod", p->name}};
        resource_sample(out, name, labels, ARRAY_LEN(labels), kind, &p->cpu, &p->memory, NS_NONE);
    }
}

void metrics_render_resource(const NodeStats *s, Str *out)
{
    resource_containers(s, "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds", RES_CPU,
                        out);
    resource_containers(s, "container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", RES_MEMORY, out);
    resource_containers(s, "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds", RES_START, out);
    prom_family(out, "node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds");
    resource_sample(out, "node_cpu_usage_seconds_total", NULL, 0, RES_CPU, &s->cpu, &s->memory, NS_NONE);
    prom_family(out, "node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes");
    resource_sample(out, "node_memory_working_set_bytes", NULL, 0, RES_MEMORY, &s->cpu, &s->memory, NS_NONE);
    resource_pods(s, "pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds", RES_CPU, out);
    resource_pods(s, "pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", RES_MEMORY, out);
    PROM_ONE(out, "resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise",
             s->pods_at_ns == NS_NONE);
    PROM_ONE(out, "scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", s->pods_at_ns == NS_NONE);
}
