/* table_pod.c - what `kubectl get pods` says of a Pod: printPod() of pkg/printers/internalversion/printers.go. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "kube/table_priv.h"

typedef struct {
    int64_t restarts, last_restart;           /* last_restart: NS_NONE = not known */
    int64_t sidecar_restarts, sidecar_last;
    size_t ready, total;
    char *reason; /* owned */
    bool initializing;
} Seen;

static bool is_sidecar(const json_t *spec, const char *name)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(spec, "initContainers"), i, c)
        if (str_eq(json_str(c, "name"), name))
            return str_eq(json_str(c, "restartPolicy"), "Always");
    return false;
}

static const json_t *state_of(const json_t *status, const char *which, const char *state)
{
    const json_t *s = json_object_get(json_object_get(status, which), state);
    return json_is_object(s) ? s : NULL;
}

static void later(int64_t *last, const json_t *status)
{
    int64_t at;
    const char *text = json_str(state_of(status, "lastState", "terminated"), "finishedAt");
    if (text && clock_parse(text, &at) && at > *last)
        *last = at;
}

static void set_reason(Seen *s, char *reason) /* taken */
{
    free(s->reason);
    s->reason = reason;
}

/* "Error", "Signal:9" or "ExitCode:1", with <prefix> in front. */
static char *end_reason(const char *prefix, const json_t *terminated)
{
    const char *reason = json_str(terminated, "reason");
    long long signal = json_i64(terminated, "signal", 0), code = json_i64(terminated, "exitCode", 0);
    if (!str_empty(reason))
        return mem_fmt("%s%s", prefix, reason);
    return signal ? mem_fmt("%sSignal:%lld", prefix, signal) : mem_fmt("%sExitCode:%lld", prefix, code);
}

/* false: this container holds back those behind it. */
static bool see_init(Seen *s, const json_t *spec, const json_t *c, size_t index)
{
    bool sidecar = is_sidecar(spec, json_str(c, "name"));
    int64_t restarts = json_i64(c, "restartCount", 0);
    const json_t *ended = state_of(c, "state", "terminated");
    const char *waiting = json_str(state_of(c, "state", "waiting"), "reason");
    s->restarts += restarts;
    later(&s->last_restart, c);
    if (sidecar) {
        s->sidecar_restarts += restarts;
        later(&s->sidecar_last, c);
    }
    if (ended && json_i64(ended, "exitCode", 0) == 0)
        return true;
    if (sidecar && json_flag(c, "started", false)) {
        s->ready += json_flag(c, "ready", false);
        return true;
    }
    if (ended)
        set_reason(s, end_reason("Init:", ended));
    else if (!str_empty(waiting) && !str_eq(waiting, "PodInitializing"))
        set_reason(s, mem_fmt("Init:%s", waiting));
    else
        set_reason(s, mem_fmt("Init:%zu/%zu", index, json_array_size(json_object_get(spec, "initContainers"))));
    s->initializing = true;
    return false;
}

static const json_t *condition(const json_t *status, const char *type)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(status, "conditions"), i, c)
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

static bool is_true(const json_t *status, const char *type)
{
    return str_eq(json_str(condition(status, type), "status"), "True");
}

/* From the last container to the first, so that the first has the last word. */
static void see_containers(Seen *s, const json_t *status)
{
    const json_t *list = json_object_get(status, "containerStatuses");
    SCOPED(mem_free) char *error = NULL;
    bool running = false;
    s->restarts = s->sidecar_restarts;
    s->last_restart = s->sidecar_last;
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *c = json_array_get(list, i);
        const json_t *ended = state_of(c, "state", "terminated");
        const char *waiting = json_str(state_of(c, "state", "waiting"), "reason");
        s->restarts += json_i64(c, "restartCount", 0);
        later(&s->last_restart, c);
        if (!str_empty(waiting)) {
            set_reason(s, mem_dup_str(waiting));
        } else if (ended) {
            set_reason(s, end_reason("", ended));
            if (json_i64(ended, "exitCode", 0))
                mem_set_str(&error, s->reason);
        } else if (json_flag(c, "ready", false) && state_of(c, "state", "running")) {
            running = true;
            s->ready++;
        }
    }
    if (!str_eq(s->reason, "Completed"))
        return;
    if (running && is_true(status, "Ready"))
        set_reason(s, mem_dup_str("Running"));
    else if (!str_empty(error))
        set_reason(s, mem_dup_str(error));
    else if (running)
        set_reason(s, mem_dup_str("NotReady"));
}

static void see(Seen *s, const json_t *pod)
{
    const json_t *spec = json_object_get(pod, "spec"), *status = json_object_get(pod, "status");
    const char *phase = str_or(json_str(status, "phase"), ""), *why = json_str(status, "reason");
    size_t i;
    json_t *c;
    s->last_restart = s->sidecar_last = NS_NONE;
    s->reason = mem_dup_str(str_empty(why) ? phase : why);
    s->total = json_array_size(json_object_get(spec, "containers"));
    json_array_foreach(json_object_get(spec, "initContainers"), i, c)
        s->total += str_eq(json_str(c, "restartPolicy"), "Always");
    if (str_eq(json_str(condition(status, "PodScheduled"), "reason"), "SchedulingGated"))
        set_reason(s, mem_dup_str("SchedulingGated"));
    json_array_foreach(json_object_get(status, "initContainerStatuses"), i, c)
        if (!see_init(s, spec, c, i))
            break;
    if (!s->initializing || is_true(status, "Initialized"))
        see_containers(s, status);
    if (json_str(json_object_get(pod, "metadata"), "deletionTimestamp")) {
        if (str_eq(why, "NodeLost"))
            set_reason(s, mem_dup_str("Unknown"));
        else if (!str_eq(phase, "Failed") && !str_eq(phase, "Succeeded"))
            set_reason(s, mem_dup_str("Terminating"));
    }
}

static void gates_cell(json_t *cells, const json_t *pod)
{
    const json_t *gates = json_object_get(json_object_get(pod, "spec"), "readinessGates");
    size_t i, n = 0;
    json_t *g;
    json_array_foreach(gates, i, g)
        n += is_true(json_object_get(pod, "status"), str_or(json_str(g, "conditionType"), ""));
    SCOPED(mem_free) char *text = json_array_size(gates) ? mem_fmt("%zu/%zu", n, json_array_size(gates)) : mem_dup_str("<none>");
    add_cell(cells, text);
}

void pod_cells(json_t *cells, const json_t *pod, int64_t now_ns)
{
    const json_t *meta = json_object_get(pod, "metadata"), *status = json_object_get(pod, "status");
    const json_t *ips = json_object_get(status, "podIPs");
    char buf[HUMAN_MAX], text[HUMAN_MAX + 64];
    Seen s = {0};
    see(&s, pod);
    add_cell(cells, json_str(meta, "name"));
    (void)snprintf(text, sizeof text, "%zu/%zu", s.ready, s.total);
    add_cell(cells, text);
    add_cell(cells, s.reason);
    if (s.restarts && s.last_restart != NS_NONE)
        (void)snprintf(text, sizeof text, "%lld (%s ago)", (long long)s.restarts, human_duration(now_ns - s.last_restart, buf));
    else
        (void)snprintf(text, sizeof text, "%lld", (long long)s.restarts);
    add_cell(cells, text);
    add_cell(cells, human_since(json_str(meta, "creationTimestamp"), now_ns, buf));
    add_cell_or(cells, json_array_size(ips) ? json_str(json_array_get(ips, 0), "ip") : json_str(status, "podIP"), "<none>");
    add_cell_or(cells, json_str(json_object_get(pod, "spec"), "nodeName"), "<none>");
    add_cell_or(cells, json_str(status, "nominatedNodeName"), "<none>");
    gates_cell(cells, pod);
    free(s.reason);
}
