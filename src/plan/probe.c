/* probe.c - what a probe's attempts mean: thresholds, delays, holds (pod-restart.md 6).
 * Upstream: pkg/kubelet/prober/worker.go, doProbe(). */
#include "plan/probe.h"

#include "base/str.h"

/* Readiness begins as Unknown where upstream begins with Failure. The core reads Unknown as "as it was": not ready for a
 * new instance, unchanged for one that ran before the agent was restarted. */
static const ProbeResult initial[PROBE_KIND_N] = {
    [PROBE_STARTUP] = PROBE_UNKNOWN, [PROBE_LIVENESS] = PROBE_SUCCESS, [PROBE_READINESS] = PROBE_UNKNOWN};

void probe_worker_init(ProbeWorker *w, ProbeKind kind)
{
    *w = (ProbeWorker){.kind = kind, .result = initial[kind], .last_raw = PROBE_UNKNOWN, .next_ns = NS_NONE};
}

void probe_worker_done(ProbeWorker *w)
{
    free(w->container_id);
    free(w->message);
    *w = (ProbeWorker){.next_ns = NS_NONE};
}

static void follow(ProbeWorker *w, const char *id)
{
    ProbeKind kind = w->kind;
    probe_worker_done(w);
    probe_worker_init(w, kind);
    w->container_id = mem_dup_str(id);
}

static int64_t setting(const OptInt *v, int64_t otherwise)
{
    return !v->set || v->v < 0 ? otherwise : v->v > INT32_MAX ? INT32_MAX : v->v;
}

static int64_t at_least_1(int64_t n)
{
    return n < 1 ? 1 : n;
}

static int64_t sum(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

ProbeStep probe_worker_step(ProbeWorker *w, const Probe *spec, const ContainerFact *f, bool started, bool pod_deleted,
                            int64_t now_ns, int64_t *ret_next_ns)
{
    *ret_next_ns = NS_NONE;
    if (!f || str_empty(f->id))
        return PROBE_IDLE;
    if (!str_eq(w->container_id, f->id)) {
        follow(w, f->id);
        /* It had started before this worker looked at it first: an agent that was restarted (k/k#136910). */
        if (w->kind == PROBE_STARTUP && started)
            w->result = PROBE_SUCCESS;
    }
    if (f->state != RUN_RUNNING) {
        if (f->state == RUN_EXITED)
            w->result = PROBE_FAILURE;
        return PROBE_IDLE;
    }
    if (pod_deleted && w->kind != PROBE_READINESS) {
        w->result = PROBE_SUCCESS; /* nothing is to be killed for it any more */
        return PROBE_IDLE;
    }
    if (w->on_hold || w->in_flight)
        return PROBE_IDLE;
    /* The startup probe runs until success and holds back the others. */
    if ((w->kind == PROBE_STARTUP) == started)
        return PROBE_IDLE;
    int64_t start = f->started_at_ns == NS_NONE ? now_ns : f->started_at_ns;
    int64_t due = sum(start, setting(&spec->initial_delay_seconds, 0) * NS_PER_S);
    if (w->next_ns != NS_NONE && w->next_ns > due)
        due = w->next_ns;
    if (now_ns < due) {
        *ret_next_ns = due;
        return PROBE_IDLE;
    }
    w->in_flight = true;
    w->next_ns = sum(now_ns, at_least_1(setting(&spec->period_seconds, 10)) * NS_PER_S);
    return PROBE_RUN;
}

bool probe_worker_outcome(ProbeWorker *w, const Probe *spec, bool success, const char *output, int64_t now_ns)
{
    (void)now_ns;
    w->in_flight = false;
    ProbeResult raw = success ? PROBE_SUCCESS : PROBE_FAILURE;
    if (raw == w->last_raw) {
        w->streak++;
    } else {
        w->last_raw = raw;
        w->streak = 1;
    }
    if (!success)
        mem_set_str(&w->message, output);
    int64_t need = at_least_1(success ? setting(&spec->success_threshold, 1) : setting(&spec->failure_threshold, 3));
    if (w->streak < need)
        return false;
    bool changed = w->result != raw;
    w->result = raw;
    if (w->kind == PROBE_STARTUP || (w->kind == PROBE_LIVENESS && !success)) {
        w->on_hold = true; /* decided: until a new instance appears */
        w->streak = 0;
    }
    return changed;
}
