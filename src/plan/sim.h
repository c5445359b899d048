/* sim.h - a machine without containers: runs the decision core on a virtual clock against scripted exits. Pure.
 *
 * The clock starts at 0 (1970-01-01T00:00:00Z in the Pod's status) and jumps to the next thing that can happen. Starts,
 * pulls, hooks, kills and removals take no time; a stop signal is obeyed at once (exit code 143); probes succeed at their
 * first attempt, after their initial delay. */
#ifndef REPRISE_PLAN_SIM_H
#define REPRISE_PLAN_SIM_H

#include "plan/plan.h"

typedef struct {
    bool runs_on;     /* never exits by itself; code and after_ns are meaningless then */
    int32_t code;
    int64_t after_ns; /* from the start of the attempt */
} SimExit;
/* What the attempts of one container do, in order. After the list it runs on; an init container exits 0 after 1 s. */
typedef struct {
    char *container;
    LIST_OF(SimExit) exits;
} SimScript;
typedef LIST_OF(SimScript) SimScripts;
void sim_scripts_done(SimScripts *s);
static inline UNUSED void sim_scripts_done_at(SimScripts *s) { sim_scripts_done(s); }
/* "NAME=CODE[@DURATION][,CODE[@DURATION]...]" for <pod>. A name given again goes on with its list. ERR_INVALID says what is
 * wrong: no such container (and which there are), a code outside 0..255, a bad duration. */
MUST_USE Err *sim_script_add(SimScripts *s, const Pod *pod, const char *text);

typedef enum {
    SIM_STARTED,
    SIM_EXITED,
    SIM_KILLED,    /* by the agent: signal and reason */
    SIM_REMOVED,
    SIM_CONDITION, /* a condition is new or has another status */
    SIM_PHASE,
    SIM_BACKOFF,   /* held back for <delay_ns> more */
    SIM_PROBE,     /* a startup or readiness probe succeeded */
    SIM_EVENT_N
} SimEventKind;
extern const char *const sim_event_names[SIM_EVENT_N];
/* Everything borrowed for the call. */
typedef struct {
    int64_t t_ns;
    SimEventKind kind;
    const char *container; /* NULL for condition and phase */
    uint32_t attempt;
    int32_t exit_code;     /* exited, killed */
    const char *signal;    /* killed: "SIGTERM" or "SIGKILL" */
    const char *reason, *message;
    const char *type, *status; /* condition; <type> is the kind of probe too */
    const char *phase;
    int64_t delay_ns;
} SimEvent;

typedef struct {
    const Pod *pod; /* defaulted and valid */
    FeatureGates gates;
    PlanConfig config;
    const SimScripts *scripts;
    int64_t until_ns;
    void (*event)(void *arg, const SimEvent *e);
    void *arg;
} SimConfig;

typedef enum {
    SIM_FINISHED, /* the Pod is terminal and nothing is left of it */
    SIM_QUIET,    /* nothing more can happen */
    SIM_UNTIL,    /* the time is over */
    SIM_STUCK,    /* more than SIM_TURNS_MAX turns at one instant: containers that exit after 0 s, again and again */
} SimOutcome;
#define SIM_TURNS_MAX 10000
/* *ret_pod: the Pod with its last status, caller pod_free()s. *ret_t_ns: when it ended. */
SimOutcome sim_run(const SimConfig *c, Pod **ret_pod, int64_t *ret_t_ns);

#endif
