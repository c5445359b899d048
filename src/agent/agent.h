/* agent.h - the shell around the decision core: gathers facts, asks plan_pod(), carries its actions out.
 *
 * One Pod is one worker; a worker plans at most once a turn of the loop, after all handlers of that turn have recorded
 * what they saw, so the order in which facts arrive does not matter. The agent never decides: what a Pod does next is
 * plan/'s alone. */
#ifndef REPRISE_AGENT_AGENT_H
#define REPRISE_AGENT_AGENT_H

#include <uv.h>

#include "api/objects.h"
#include "plan/plan.h"
#include "runtime/runtime.h"

typedef struct Agent Agent;

/* What the agent tells its owner, from the loop, in the order in which it happened but up to 50 ms later: while something is being
 * restarted, that goes first. <now_ns> is the moment it happened. Any slot may be NULL. Pods are borrowed for the call. */
typedef struct {
    /* type: "ADDED", "MODIFIED" (the stored status changed) or "DELETED" (nothing of the Pod is left here). */
    void (*pod)(void *arg, const char *type, const Pod *pod, int64_t now_ns);
    void (*event)(void *arg, const Pod *pod, bool warning, const char *reason, const char *message,
                  const char *container, int64_t now_ns);
    void (*done)(void *arg, const Pod *pod); /* the Pod reached a terminal phase and its containers are gone */
    void *arg;
} AgentListener;

typedef struct {
    uv_loop_t *loop;
    Runtime *rt;           /* borrowed; its on_change is set by the agent */
    const char *root;      /* state directory, see record.h */
    const char *log_dir;   /* <log_dir>/<ns>_<name>_<uid>/<container>/<attempt>.log */
    const char *node_name;
    FeatureGates gates;
    PlanConfig plan;
    int64_t prepare_memory_bytes; /* that standbys of all Pods may hold together */
    AgentListener listener;
} AgentConfig;

MUST_USE Err *agent_open(const AgentConfig *c, Agent **ret);
/* Lets go of every Pod without touching it: containers go on, records stay. */
void agent_close(Agent *a);

/* Takes <pod> (validated and defaulted; nodeName is filled in here, uid and creationTimestamp when it has none) and runs it. Of
 * <objects> (borrowed for the call) it keeps copies of those that the Pod reads. A Pod that comes with a terminal phase in its status
 * (refused: plan/admit.h) is recorded, and nothing of it is started. If a Pod of that namespace and name is recorded under root
 * already, it is adopted when its spec is equal (*ret_adopted), replaced when it is terminal, refused otherwise (ERR_EXISTS); one that
 * this agent has is refused always. */
MUST_USE Err *agent_pod_add(Agent *a, Pod *pod, const Objects *objects, const Pod **ret, bool *ret_adopted);
/* Adopts a recorded Pod by name without a manifest; <objects> NULL = those of its record. ERR_NOT_FOUND. */
MUST_USE Err *agent_pod_adopt(Agent *a, const char *namespace_, const char *name, const Objects *objects, const Pod **ret);
/* Adopts every recorded Pod, those that have ended too. One that cannot be (another process drives it, its record is torn) is left as
 * it is, and said in <problems>, a line each. */
void agent_pod_adopt_all(Agent *a, StrVec *problems);
/* Other ConfigMaps, Secrets and claims for a Pod: copies of what it reads replace those it has. Its volumes are updated in place, env
 * at the next start, as under the kubelet. ERR_NOT_FOUND. */
MUST_USE Err *agent_pod_objects(Agent *a, const char *uid, const Objects *objects);
/* What others changed of a Pod, taken from <now>: metadata but name, uid and deletion; of the spec what an update may change (images,
 * activeDeadlineSeconds, terminationGracePeriodSeconds, tolerations, more ephemeral containers); conditions of others. A container whose
 * image is another is restarted, what waited for the old image waits no more; downward API volumes follow. ERR_NOT_FOUND. */
MUST_USE Err *agent_pod_update(Agent *a, const char *uid, const Pod *now);
/* Begins to delete a Pod: grace in seconds, or < 0 for the Pod's own. Calling again may only shorten it. done() is told, again for one
 * that had ended before. ERR_NOT_FOUND. */
MUST_USE Err *agent_pod_delete(Agent *a, const char *uid, int64_t grace_s);
void agent_delete_all(Agent *a, int64_t grace_s);

/* Ends a Pod that has to make room: Failed, with reason Evicted and <message>, which an event says too, and, with <disruption>, the condition
 * DisruptionTarget. What its containers were stays in the status. false: no such Pod, or it is ending or has ended already. */
bool agent_pod_evict(Agent *a, const char *uid, const char *message, bool disruption, int64_t grace_s);

/* The agent's Pods, in no order: an index is good until the next Pod is added or forgotten, a uid until its Pod is forgotten. */
size_t agent_pod_count(const Agent *a);
const Pod *agent_pod_at(const Agent *a, size_t i);
const Pod *agent_pod_get(const Agent *a, const char *uid);                                   /* NULL: no such Pod here */
const Pod *agent_pod_find(const Agent *a, const char *namespace_, const char *name);         /* NULL: no such Pod here */
/* done() was told since the last delete: nothing of it runs. */
bool agent_pod_is_done(const Agent *a, const char *uid);
/* In-place restarts that were completed for the Pod since it was created (kept over deaths of the agent). 0 for an unknown one. */
int64_t agent_pod_restarts(const Agent *a, const char *uid);
/* Something is being started, or restarted in place: what can wait should. */
bool agent_is_busy(const Agent *a);
/* The facts of a Pod's next turn, as `reprise debug dump` writes them. New json_t; NULL for an unknown one. */
MUST_USE struct json_t *agent_pod_facts(const Agent *a, const char *uid);
/* Removes what is left of a Pod that is done, its directory and its logs, and the Pod itself: it is not known any more. When that
 * fails it stays, and this can be called again. Not from within a listener's call. ERR_NOT_FOUND. */
MUST_USE Err *agent_pod_forget(Agent *a, const char *uid);

#endif
