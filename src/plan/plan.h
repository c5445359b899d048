/* plan.h - every decision about one Pod, as a pure function of (spec, observed state, clock).
 *
 * plan_pod() does no I/O, keeps no state and calls nothing but memory and string functions; the shell (agent/) gathers
 * facts, calls it, carries the actions out and stores the status. Plans are recomputed whole from what is seen, and each
 * action is safe to repeat: an action that is under way shows in the facts, so it is not asked for again. The rules and
 * their sources are written in docs/decisions.md; upstream sections are quoted at the code. */
#ifndef REPRISE_PLAN_PLAN_H
#define REPRISE_PLAN_PLAN_H

#include "api/codec.h"
#include "api/facts.h"
#include "api/features.h"

/* --- input ------------------------------------------------------------------------------------------------------ */

typedef enum { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE } ProbeResult;
typedef enum { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KIND_N } ProbeKind;
/* Result for the container instance that is running now; the prober forgets results of earlier instances. */
typedef struct {
    char *container;
    ProbeResult result[PROBE_KIND_N];
    char *message[PROBE_KIND_N]; /* of the last failure; NULL = none */
} ProbeFact;

/* Back-off of one thing: a container's restarts (key = container name), its image pulls ("image:" + container name), or
 * the Pod's in-place restarts (key = ""). */
typedef struct {
    char *key;
    int64_t delay_ns;       /* to keep before the next start; 0 = the first restart is immediate */
    int64_t last_update_ns; /* when the entry last moved on */
} BackoffEntry;
typedef LIST_OF(BackoffEntry) BackoffTable;
void backoff_done(BackoffTable *t);
void backoff_copy(BackoffTable *dst, const BackoffTable *src);

/* The shell's view of a container start that is under way or failed before there was an instance. */
typedef enum { START_IN_FLIGHT, START_FAILED } StartState;
typedef struct {
    char *container;
    StartState state;
    char *reason, *message; /* ContainerCreating | ErrImagePull, CreateContainerConfigError, CreateContainerError, ... */
    int64_t at_ns;          /* since when in flight, or when it failed */
} StartFact;
void start_fact_done(StartFact *s);
void start_fact_copy(StartFact *dst, const StartFact *src); /* dst is overwritten without being freed */
/* As StartFact, for the sandbox (reason FailedCreatePodSandBox) and the Pod's volumes (FailedMount). */
typedef struct {
    bool in_flight, failed;
    char *message;
    int64_t at_ns;
} SetupFact;

typedef struct {
    int64_t backoff_initial_ns, backoff_max_ns, backoff_reset_ns; /* 10 s, 300 s, 600 s: pod-restart.md 0 */
    bool restart_all_backoff;          /* false = never hold back an in-place restart */
    int64_t restart_all_initial_ns, restart_all_max_ns;
    PrepareMode prepare;               /* how far the next attempts are made ahead. Default PREPARE_OFF: who runs containers says */
    int64_t retry_ns;                  /* after a failed start or sandbox creation: kubelet's backOffPeriod, 10 s */
    const char *runtime_name;          /* containerID is "<runtime_name>://<id>"; not owned. Default "reprise" */
} PlanConfig;
void plan_config_default(PlanConfig *c);

typedef struct {
    int64_t now_ns;
    FeatureGates gates;
    PlanConfig config;
    const Pod *pod;          /* metadata (deletionTimestamp, deletionGracePeriodSeconds), spec, and the last status */
    const PodFacts *runtime;
    LIST_OF(ProbeFact) probes;
    BackoffTable backoff;
    LIST_OF(StartFact) starts;
    LIST_OF(StartFact) prepares; /* the same of ACT_PREPARE; reason and message are not used */
    SetupFact sandbox, volumes;
    bool terminating;        /* an ACT_KILL_POD was carried out earlier: durable (kept in the Pod's record), never taken back */
    int64_t terminating_since_ns, terminating_grace_ns; /* when, and its grace_ns */
    char *terminating_reason; /* the action's reason: "" deletion, "DeadlineExceeded", "Evicted" (message: the status's),
                               * "Failed"/"Succeeded" = ended by itself. Rebuilding a lost sandbox is not an ending: it is
                               * derived anew each turn from the facts, nothing is kept for it */
    StrList host_ips;
} PlanInput;
/* Frees what the struct owns: probes, backoff, starts, prepares, messages, reason, host_ips; not pod and runtime. */
void plan_input_done(PlanInput *in);

/* --- output ----------------------------------------------------------------------------------------------------- */

typedef enum {
    ACT_WAIT,           /* nothing to do before <requeue> or a new fact; reason says for what. Informative */
    ACT_CREATE_SANDBOX, /* attempt = the new sandbox's */
    ACT_START,          /* pull if needed, create and start attempt <attempt> of <container>, then its postStart hook */
    ACT_KILL,           /* begin to stop <container>/<id>: grace_ns == 0 means SIGKILL now and no preStop; the shell records
                         * kill_at (and stop_reason, if none is recorded yet). Otherwise it only records
                         * stop_since/stop_grace/stop_reason and plans again: preStop, signal and the final SIGKILL (grace 0)
                         * are asked for as each is due. id == NULL: a start is in flight that has no instance yet: give it
                         * up if that can be done; if not, it is killed when it shows */
    ACT_PRE_STOP,       /* run the preStop hook of a container that is being stopped; when done, pre_stop = HOOK_DONE */
    ACT_SIGNAL,         /* send the stop signal (lifecycle.stopSignal, else the image's, else SIGTERM) */
    ACT_REMOVE,         /* remove exited instance <id>, keeping its logs */
    ACT_PREPARE,        /* make attempt <attempt> of <container> ahead of its time; best effort, when the shell has room for it */
    ACT_DISCARD,        /* give up the standby <id> */
    ACT_KILL_POD,       /* begin to end the Pod: grace_ns, reason as terminating_reason. Made durable (terminating*), then
                         * planned again */
    ACT_STOP_SANDBOX,   /* tear the network down and stop sandbox <id>; no error if it is stopped already */
    ACT_REMOVE_SANDBOX, /* forget sandbox <id>, which is not ready any more; if it died by itself, what a stop would have torn
                         * down goes first */
    ACT_N
} ActionKind;
extern const char *const action_names[ACT_N]; /* "wait", "createSandbox", "start", "kill", "preStop", "signal", ... */

typedef struct {
    ActionKind kind;
    char *container; /* NULL for sandbox and Pod actions */
    char *id;        /* instance or sandbox id; NULL = there is none yet */
    uint32_t attempt;
    int64_t grace_ns;
    char *reason;    /* RestartingAllContainers, LivenessProbe, ContainerDied, ... */
} Action;

typedef struct {
    bool warning;
    char *reason, *message, *container; /* Kubernetes' words: "Killing", "Stopping container main", "main" */
} PlanEvent;

typedef struct {
    /* In the order to carry them out. An action may be asked for again until the facts show its effect (a remove, until the
     * instance is gone): the shell leaves out what it is doing already. */
    LIST_OF(Action) actions;
    PodStatus status;        /* to be stored before any action when <persist_first> */
    bool persist_first;      /* the status carries an intent (AllContainersRestarting True): fsync it before the first act */
    BackoffTable backoff;    /* replaces the input's */
    LIST_OF(PlanEvent) events;
    int64_t requeue_ns;      /* plan again at this moment at the latest; NS_NONE = only on a new fact */
    bool finished;           /* the Pod is terminal or deleted and nothing is left on this machine */
} Plan;
void plan_done(Plan *p);
static inline UNUSED void plan_done_at(Plan *p) { plan_done(p); }

/* One turn. metadata.deletionTimestamp means what it means in Kubernetes: the moment of the request plus the grace.
 * *out is overwritten; caller plan_done()s it. Never fails: what cannot be decided waits for a fact. */
void plan_pod(const PlanInput *in, Plan *out);

/* --- questions that others ask too ------------------------------------------------------------------------------ */

/* First matching rule of <c> for <code>: its index, or -1. Only the first match counts (pod-restart.md 3.1). */
int plan_match_rule(const Container *c, int32_t code);
/* Will this exit be restarted at all? pod-restart.md 3.2. */
bool plan_restarts(const Container *c, const Pod *pod, int32_t code, const FeatureGates *g);
/* Does <code> of <c> restart the whole Pod in place? */
bool plan_triggers_restart_all(const Container *c, int32_t code, const FeatureGates *g);
/* Whether any container of the Pod has a RestartAllContainers rule. */
bool plan_has_restart_all_rule(const Pod *pod);
const PodCondition *plan_condition(const PodStatus *s, const char *type); /* NULL if absent */
/* Is this condition of a Pod made by plan_pod(), or by others (a readiness gate's controller)? */
bool plan_owns_condition(const char *type);
/* How far the containers of <pod> may be made ahead: the configured mode, lowered by the annotation and by what makes it unsafe
 * or useless (docs/decisions.md, D17). */
PrepareMode plan_prepare_mode(const Pod *pod, PrepareMode configured);
/* Probe workers: may the worker of this container go on (pod-restart.md 6)? */
bool plan_probe_enabled(const Pod *pod, const Container *c, ProbeKind kind, const ContainerFact *f);
/* Hex digest-like hash of what a running container was made from (image, command, ...); upstream: "definition changed".
 * Caller frees. */
MUST_USE char *plan_container_hash(const Container *c);

#endif
