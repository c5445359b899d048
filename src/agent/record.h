/* record.h - what must survive the agent: the Pod with its last status, the end that was decided, back-off, restart count. One JSON
 * file, whole at every instant, in two forms:
 *
 *   <root>/pods/<uid>/pod.json        fsynced: it survives a loss of power
 *   <root>/pods/<uid>/pod.live.N.json the status and what was decided since, without fsync: it survives the agent, and counts in
 *                                     this boot only. Two of them, written in turn: one is whole at every instant
 *   <root>/pods/<uid>/lock            flock()ed by the agent that drives the Pod
 *
 * The latest counts (member "seq"). That an in-place restart has begun may be in intents.h alone. */
#ifndef REPRISE_AGENT_RECORD_H
#define REPRISE_AGENT_RECORD_H

#include "plan/plan.h"

typedef struct {
    Pod *pod; /* owned */
    BackoffTable backoff;
    bool terminating;
    int64_t terminating_since_ns, terminating_grace_ns;
    char *terminating_reason;
    int64_t restarts; /* in-place restarts completed */
    int64_t seq;      /* counts the writes */
    Raw objects;      /* the ConfigMaps, Secrets and claims it came with, as a JSON list: an adopted Pod needs them */
} PodRecord;
void pod_record_done(PodRecord *r);
static inline UNUSED void pod_record_done_at(PodRecord *r) { pod_record_done(r); }

/* Raises r->seq. */
MUST_USE Err *pod_record_save(const char *root, PodRecord *r, bool durable);
/* Whether the Pod is in the middle of a restart, by its record or by intents.h. */
bool pod_record_wants_intent(const char *root, const char *uid);
/* *out is overwritten. ERR_INVALID names a file that is not ours or torn. */
MUST_USE Err *pod_record_load(const char *root, const char *uid, PodRecord *out);
/* uid of the recorded Pod of that name; NULL if there is none. Caller frees. Unreadable records are skipped, and those of which <skip>
 * (may be NULL) says so. */
MUST_USE char *pod_record_find(const char *root, const char *namespace_, const char *name, bool (*skip)(void *arg, const char *uid), void *arg);
/* Locks the Pod for this process; the descriptor holds the lock. ERR_EXISTS names the process that has it. */
MUST_USE Err *pod_record_lock(const char *root, const char *uid, int *ret_fd);
void pod_record_uids(const char *root, StrList *out);

#endif
