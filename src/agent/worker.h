/* worker.h - one Pod's share of the agent; private to src/agent.
 *
 *   worker.c   facts in, plan, status out, actions handed to:
 *   act.c      what each action does
 *   start.c    the steps of one container's start: image, a standby if one fits, else create; start, postStart
 *   making.c   a container's configuration, from the spec and the Pod's volumes
 *   prepare.c  standbys: the next attempts, made ahead
 *   notify.c   what the owner is told, when there is time
 *   hooks.c    postStart and preStop
 *   evict.c    Pods that are evicted; emptyDir volumes over their sizeLimit
 *   update.c   what others change of a Pod that runs
 *   probes.c   when the core's probe machines say so, the probe itself */
#ifndef REPRISE_AGENT_WORKER_H
#define REPRISE_AGENT_WORKER_H

#include "agent/agent.h"
#include "agent/intents.h"
#include "agent/record.h"
#include "base/strindex.h"
#include "node/podfiles.h"
#include "node/prober.h"
#include "node/volumes.h"
#include "plan/probe.h"

typedef struct Worker Worker;
typedef struct HookRun HookRun;
typedef struct StartOp StartOp;
typedef struct Note Note;
typedef struct Made Made;

/* What the agent itself knows of one container instance, laid over the runtime's facts. */
typedef struct {
    char *id;
    HookState post_start, pre_stop;
    int64_t stop_since_ns, stop_grace_ns, term_at_ns, kill_at_ns;
    char *stop_reason;
    bool removing;
    HookRun *hook; /* under way; owned */
} Instance;

typedef struct ProbeRun ProbeRun;
typedef struct {
    const Container *container; /* the Pod's */
    const Probe *spec;
    ProbeWorker machine;
    ProbeRun *run; /* under way; owned */
} ProbeSlot;

struct Worker {
    Agent *agent;
    PodRecord rec;          /* rec.pod is the Pod with its last status */
    Objects objects;        /* what volumes, env and pulls read: copies of those that the Pod names */
    int lock_fd;
    unsigned refs;          /* the agent's, and one for each request under way */
    bool closed;            /* the agent let go: callbacks only drop their reference */
    bool dirty, done_told;
    LIST_OF(Instance) instances;
    LIST_OF(StartFact) starts, prepares;
    LIST_OF(StartOp *) parked; /* starts that wait for a standby under way */
    bool waits_to_prepare;     /* in the agent's prepare_queue */
    int64_t standby_bytes;     /* its share of the agent's */
    bool in_dirty_list;
    bool unsaved;              /* the record on disk is behind */
    bool undurable;            /* what is on disk would not all survive a loss of power, since: */
    int64_t undurable_since_ns;
    bool save_owed;            /* a save that actions wait for has failed: nothing is done before it succeeds */
    bool intent_logged;        /* the restart under way is in the list of intents, with this number: */
    uint64_t intent_seq;
    bool waits_for_intent;
    uint64_t doubts;           /* counts prepares_doubt() */
    LIST_OF(Made *) made;      /* what its standbys were made from, of those that this agent made */
    Note *last_status;         /* the newest status that was not told yet */
    StrVec to_release;         /* containers whose old binds and files can go: volumes_container_release() */
    SetupFact sandbox, volumes;
    bool stopping_sandbox;
    char *files_for;        /* sandbox id for which /etc/hosts and kin were written */
    LIST_OF(ProbeSlot) probes;
    uv_timer_t requeue, probe_timer, volume_timer, evict_timer, save_timer;
    unsigned open_handles;
};

struct Agent {
    AgentConfig cfg;
    char *root, *log_dir, *node_name; /* owned copies of the configuration's */
    StrList host_ips;
    int64_t node_memory_bytes;
    LIST_OF(Worker *) workers;
    StrIndex by_uid;
    LIST_OF(Worker *) dirty; /* each with a reference */
    Intents *intents;
    LIST_OF(Worker *) wait_for_intents; /* each with a reference: starts that wait for the disk */
    unsigned starting;       /* starts under way: standbys are made when there is none */
    unsigned preparing, prepare_max;
    bool prepare_now, prepare_memory_told;
    LIST_OF(Worker *) prepare_queue; /* each with a reference */
    uv_timer_t prepare_timer;
    int64_t standby_bytes, standby_typical;
    unsigned n_restarting;   /* Pods in an in-place restart */
    Note *notes, *notes_tail;
    uv_timer_t notes_timer;
    bool notes_late;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t again; /* active while something is dirty: the loop must not sleep then */
    unsigned open_handles;
    bool closed;
};

/* worker.c */
Worker *worker_new(Agent *a, PodRecord *rec /* taken */, Objects *objects /* taken */, int lock_fd /* taken */);
void worker_close(Worker *w); /* stops timers, probes and hooks, drops the agent's reference */
Worker *worker_ref(Worker *w);
void worker_unref(Worker *w);
void worker_turn(Worker *w);
void worker_dirty(Worker *w);
/* Plans again in a while: after a request that failed, since at once a broken machine would spin. */
void worker_retry_later(Worker *w);
/* Everything plan_pod() wants to know; <facts> must outlive *in. Caller plan_input_done()s and pod_facts_done()s. */
void worker_input(Worker *w, PodFacts *facts, PlanInput *in);
Instance *worker_instance(Worker *w, const char *id); /* found or made */
const Container *worker_container(const Worker *w, const char *name);
/* notify.c: tells the listener, in this order, but not before there is time. */
void notes_init(Agent *a);
bool notes_turn(Agent *a);     /* at the end of each turn; true: more is to be told at once */
void notes_tell_all(Agent *a); /* now */
void worker_tell_status(Worker *w);                   /* the Pod's status is another */
void worker_keep_status(Worker *w, PodStatus *old);   /* it is about to be replaced: <old> is taken */
void worker_tell_done(Worker *w);
/* "Normal"/"Warning" event. */
void worker_event(Worker *w, bool warning, const char *reason, const char *container, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
const char *worker_uid(const Worker *w);
/* Address that hooks and probes talk to when the action names no host. */
const char *worker_probe_host(const Worker *w);
VolumesContext worker_volumes(const Worker *w);
int64_t worker_now(void);
bool worker_restarting(const Worker *w); /* in place, by its status */
/* Timer callbacks and the worker's setup of its volumes; retried with back-off when it fails. */
void worker_setup_volumes(Worker *w);

/* act.c: <facts> are those the plan was made from. */
void worker_act(Worker *w, const Plan *p, const PodFacts *facts);
/* The immediate kills of a plan, which go before everything else. */
void worker_kill_now(Worker *w, const Plan *p);

/* Makes it durable that the Pod is to end (ACT_KILL_POD). */
void worker_begin_end(Worker *w, const char *reason, int64_t grace_ns);

/* evict.c: ends the Pod as agent_pod_evict() says; false: it is ending, or has ended, already. */
bool worker_evict(Worker *w, const char *message, bool disruption, int64_t grace_s);
/* What an evicted Pod's volumes hold goes when it has ended, not when the Pod is deleted: it had to make room. */
void worker_give_back(Worker *w);
/* Looks after emptyDir size limits from now on. */
void worker_watch_usage(Worker *w);

/* The disk begins to work on the intents so far: for all Pods that follow while it does, once more for all. */
void agent_commit_intents(Agent *a);
/* May something be started? Not before the intent of the restart is on the disk; the worker is planned again then. */
bool worker_may_start(Worker *w);
/* Writes the record; a failure is an event, and tried again later. */
bool worker_save(Worker *w, bool durable);
void worker_save_soon(Worker *w); /* in some 20 ms, without fsync */
bool worker_has_ended(const Worker *w); /* Succeeded or Failed: it mounts nothing any more */
/* Old subPath binds and termination files of <container> go when there is time. */
void worker_release_later(Worker *w, const char *container);

/* prepare.c */
void worker_prepare(Worker *w, const Container *c, const char *sandbox_id, uint32_t attempt);
bool worker_preparing(Worker *w, const char *container);
/* Is <s> what the container would be if it were made now, from image <image_id>? */
bool standby_fits(Worker *w, const StandbyFact *s, const char *image_id);
void worker_discard(Worker *w, const char *id); /* standby <id> is given up */
/* Every turn: lets those go on that wait for room. */
void agent_prepare_more(Agent *a);
void prepares_input(Worker *w, const PodFacts *facts, PlanInput *in);
void prepares_done(Worker *w);
/* What standbys were made from may have changed in a way that the host does not show: they are compared in full. */
void prepares_doubt(Worker *w);

/* start.c */
/* Goes on with starts that waited for a standby of <container>; NULL = of any. */
void worker_resume_starts(Worker *w, const char *container);
void start_container(Worker *w, const Container *c, const char *sandbox_id, uint32_t attempt);
StartFact *worker_start_fact(Worker *w, const char *container); /* NULL if none */
void worker_start_fact_set(Worker *w, const char *container, StartState state, const char *reason, const char *message);
void worker_start_fact_clear(Worker *w, const char *container);

/* hooks.c */
typedef void HookDone(Worker *w, const char *id, bool ok, const char *output);
/* Runs <h> for instance <id>; <done> is called once from the loop, unless the run is cancelled. */
void hook_run(Worker *w, const Container *c, const char *id, const LifecycleHandler *h, int64_t timeout_ns,
              HookDone *done);
void hook_cancel(HookRun *h);
void worker_post_start(Worker *w, const Container *c, const char *id);
void worker_pre_stop(Worker *w, const Container *c, const char *id, int64_t timeout_ns);

/* probes.c */
void probes_init(Worker *w);
void probes_sync(Worker *w, const PodFacts *facts); /* runs what is due, arms the timer for the next */
void probes_facts(Worker *w, PlanInput *in);
void probes_done(Worker *w);

#endif
