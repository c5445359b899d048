/* plan_priv.h - what the files of the core share: one turn's view of a Pod. Never included outside plan/. */
#ifndef REPRISE_PLAN_PLAN_PRIV_H
#define REPRISE_PLAN_PLAN_PRIV_H

#include "plan/plan.h"

#define REASON_RESTARTING "RestartingAllContainers"
#define MESSAGE_RESTARTING "The container is removed because RestartAllContainers in place"
#define REASON_UNKNOWN "ContainerStatusUnknown"
#define REASON_CRASH "CrashLoopBackOff"
#define COND_RESTARTING "AllContainersRestarting"
/* Why a container was asked to stop (ContainerFact.stop_reason): some decide what its exit means. */
#define STOP_LIVENESS "LivenessProbe"
#define STOP_STARTUP "StartupProbe"
#define STOP_POST_START "FailedPostStartHook"
#define STOP_DEFINITION "ContainerDefinitionChanged"
#define STOP_UNKNOWN "ContainerUnknown"
#define STOP_SANDBOX "SandboxChanged"
/* Exit code shown where the true one is not known or is our own SIGKILL's: 128 + 9. */
#define EXIT_KILLED 137
/* No kill with a grace gets less (pod-restart.md 0). The in-place restart's kill has none at all: docs/decisions.md. */
#define GRACE_FLOOR_NS (2 * NS_PER_S)

typedef enum { CTR_INIT, CTR_SIDECAR, CTR_REGULAR, CTR_EPHEMERAL } CtrKind;

/* Moments come from files too: sums and differences stop at the ends instead of wrapping. */
static inline int64_t ns_add(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? (b > 0 ? INT64_MAX : INT64_MIN + 1) : r;
}
static inline int64_t ns_sub(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_sub_overflow(a, b, &r) ? (b < 0 ? INT64_MAX : INT64_MIN + 1) : r;
}

/* One container of the spec with all that is known of it. Pointers are borrowed from the input, <st> from the output. */
typedef struct {
    const Container *spec;
    CtrKind kind;
    size_t index;                 /* in its list of the spec */
    const ContainerFact *newest;  /* newest instance, whatever its sandbox: what the status is about */
    const ContainerFact *prev;    /* the one before it */
    const ContainerFact *cur;     /* <newest> if it belongs to the sandbox of now: what decisions are about */
    const ContainerFact *live;    /* an instance that is not Exited, of any sandbox */
    bool exit_known;              /* of <newest>, when Exited */
    int32_t exit_code;
    bool reset_killed;            /* <newest> was ended by an in-place restart, not by itself */
    const ContainerStatus *old;   /* status of the turn before, or NULL */
    ContainerStatus *st;          /* being built */
    const ProbeFact *probe;
    const StartFact *start;
    const StartFact *prepare;
    bool in_flight;               /* a start is under way */
    bool started;                 /* running, its postStart hook is done and its startup probe has succeeded */
} Ctr;

typedef struct {
    const PlanInput *in;
    Plan *out;
    const Pod *pod;
    int64_t now;
    bool restart_all_gate;
    const SandboxFact *newest_sandbox; /* or NULL */
    bool sandbox_changed;              /* there is no usable sandbox: pod-restart.md 3.5 A */
    bool ending;                       /* deleted, or killPod was decided */
    bool was_restarting;               /* the status of the turn before says AllContainersRestarting True */
    bool restarting;                   /* this turn's answer */
    bool hold_starts;                  /* volumes are not there yet */
    const Ctr *source;                 /* the container whose exit asked for it, if it is still seen */
    size_t n;
    size_t n_init;                     /* ctr[0..n_init): init containers and sidecars; then regular, then ephemeral */
    size_t n_regular;
    Ctr *ctr;
} View;

#define EACH_CTR(c, v) for (Ctr *c = (v)->ctr; c < (v)->ctr + (v)->n; c++)
#define EACH_INIT(c, v) for (Ctr *c = (v)->ctr; c < (v)->ctr + (v)->n_init; c++)
#define EACH_REGULAR(c, v)                                                                                             \
    for (Ctr *c = (v)->ctr + (v)->n_init; c < (v)->ctr + (v)->n_init + (v)->n_regular; c++)

/* view.c */
void view_init(View *v, const PlanInput *in, Plan *out);
void view_done(View *v);
const Ctr *view_find(const View *v, const char *name); /* NULL: no such container in the spec */
static inline bool fact_live(const ContainerFact *f) { return f->state != RUN_EXITED; }
bool view_any_live(const View *v);
bool view_any_in_flight(const View *v);
/* Any instance of an init, sidecar or regular container, in any state. */
bool view_any_instance(const View *v);
/* A regular container has an instance in the sandbox of now: this run of the Pod had become initialized. */
bool view_run_initialized(const View *v);
/* Whether the exit (or loss) of <c> leads to another start; see pod-restart.md 3.2. */
bool ctr_restarts(const View *v, const Ctr *c);
bool ctr_is_source(const View *v, const Ctr *c, const ContainerFact *f);
uint32_t ctr_next_attempt(const Ctr *c);
const char *effective_policy(const View *v, const Ctr *c); /* of the container, else of the Pod, else "Always" */
int64_t spec_grace_ns(const View *v);

/* out.c: what a plan is made of. Formats are printf's; a NULL container is the Pod. */
Action *act(View *v, ActionKind kind, const char *container, const char *id, const char *reason);
void event_add(View *v, bool warning, const char *reason, const char *container, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
void requeue_at(View *v, int64_t ns); /* the earliest asked for wins */

/* backoff.c */
BackoffEntry *backoff_find(const BackoffTable *t, const char *key);
BackoffEntry *backoff_add(BackoffTable *t, const char *key);
void backoff_drop(BackoffTable *t, const char *key);
/* Is an exit at <since> still held back? Then *ret_until says till when. */
bool backoff_holds(const View *v, const char *key, int64_t since, int64_t *ret_until);
void backoff_next(View *v, const char *key, int64_t since);
/* An image pull that failed at <failed_at>: counted once; *ret_until = when to try again. */
void backoff_pull_failed(View *v, const Ctr *c, int64_t failed_at, int64_t *ret_until);
/* The Pod's in-place restarts: counted when one begins, asked before its first start. */
void backoff_restart_begins(View *v);
bool backoff_restart_holds(const View *v, int64_t *ret_until, int64_t *ret_delay);
void backoff_gc(View *v);

/* status.c */
void status_convert(View *v); /* out->status.*Statuses from facts and the old status: pod-restart.md 3.8 */
/* Shows a container as waiting; a termination that stood there becomes its lastState. */
void status_waiting(Ctr *c, const char *reason, const char *message);
char *container_id_text(const View *v, const char *id);

/* phase.c */
typedef enum { PHASE_PENDING, PHASE_RUNNING, PHASE_SUCCEEDED, PHASE_FAILED } Phase;
extern const char *const phase_names[];
Phase phase_decide(const View *v, bool ended); /* pod-restart.md 3.10 */
bool phase_terminal(const char *phase);
void conditions_make(View *v);                 /* 3.9; after phase and actions are known */

/* start.c */
/* Starts <c>, unless it must wait (back-off, failed start, volumes): then the status says why. Returns whether it asked
 * for the start now. */
bool ctr_start(View *v, Ctr *c);
bool volumes_hold(View *v);
void plan_run(View *v);     /* 3.5 C to F: a Pod that is neither ending nor restarting */
void plan_rebuild(View *v); /* no usable sandbox */

/* restart.c */
void restart_find_source(View *v);
/* Kill and remove. Returns true when nothing is left and the Pod can start anew. */
bool plan_reset(View *v);

/* prepare.c */
/* The next attempts are made while the present ones run; those that fit no more are given up. */
void plan_prepare(View *v);

/* stop.c */
void ctr_stop(View *v, const Ctr *c, const ContainerFact *f, const char *reason, int64_t grace_ns, const char *message);
void ctr_stop_step(View *v, const Ctr *c, const ContainerFact *f, int64_t deadline, bool may_signal);
void kill_now(View *v, const ContainerFact *f, const char *reason);
void cancel_starts(View *v, const char *reason);
/* One step of stopping everything, in order. Returns true while something lives or starts. */
bool stop_all(View *v, int64_t deadline, const char *reason);
void plan_terminate(View *v);

#endif
