/* probe.h - the probe worker's state machine: pure. The shell runs the probe when asked and reports the outcome.
 * Upstream: pod-restart.md 6 (pkg/kubelet/prober/worker.go). */
#ifndef REPRISE_PLAN_PROBE_H
#define REPRISE_PLAN_PROBE_H

#include "plan/plan.h"

typedef struct {
    ProbeKind kind;
    char *container_id;     /* instance the state is about; NULL = none yet */
    ProbeResult result;     /* initial: liveness Success, startup and readiness Unknown; Unknown readiness is "as
                             * it was": false for a new instance, kept over a restart of the agent */
    ProbeResult last_raw;   /* of the last single attempts */
    int64_t streak;         /* how many equal raw results in a row */
    bool on_hold;           /* until a new container id appears */
    bool in_flight;
    int64_t next_ns;        /* when the next attempt is due; NS_NONE = not scheduled */
    char *message;          /* of the last failure */
} ProbeWorker;
void probe_worker_init(ProbeWorker *w, ProbeKind kind);
void probe_worker_done(ProbeWorker *w);

typedef enum { PROBE_IDLE, PROBE_RUN } ProbeStep;
/* Sets in_flight when it says PROBE_RUN; the outcome, or the caller that gives the attempt up, clears it.
 * One turn for a worker: follows the container's instance, resets on a new id, and says whether to run an attempt now.
 * <started>: the container's startup probe has succeeded or there is none. *ret_next_ns: when to ask again. */
ProbeStep probe_worker_step(ProbeWorker *w, const Probe *spec, const ContainerFact *f, bool started, bool pod_deleted,
                            int64_t now_ns, int64_t *ret_next_ns);
/* Outcome of the attempt that was run. Returns whether w->result changed. */
bool probe_worker_outcome(ProbeWorker *w, const Probe *spec, bool success, const char *output, int64_t now_ns);

#endif
