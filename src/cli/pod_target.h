/* pod_target.h - a Pod as exec, attach and port-forward need it, whoever drives it and whether anybody does: found by its name in the
 * state folder, over CRI also by its labels, and asked of its runtime itself, beside the agent. */
#ifndef REPRISE_CLI_POD_TARGET_H
#define REPRISE_CLI_POD_TARGET_H

#include <uv.h>

#include "agent/record.h"
#include "cli/cri_call.h"
#include "runtime/stream.h"

typedef struct {
    CriPeer *peer; /* NULL = the embedded runtime */
    char *namespace_, *name, *root, *run_dir;
    char *uid;
    PodRecord record; /* .pod NULL: the state folder does not know it */
    PodFacts facts;   /* over CRI: of a container its id, name, state, created_at_ns; of a sandbox, if one is ready, its id */
} PodTarget;

/* [NAMESPACE/]POD of the command. ERR_NOT_FOUND: there is no such Pod. */
MUST_USE Err *pod_target_open(const CliArgs *a, const char *operand, PodTarget *ret);
void pod_target_done(PodTarget *p);
static inline UNUSED void pod_target_done_at(PodTarget *p) { pod_target_done(p); }

/* <name>, else the Pod's default container, of which stderr is told unless <quiet>: its name (borrowed) and the id of the one that
 * runs. <verb>: "exec into". *ret_spec: its spec, NULL = not known. */
MUST_USE Err *pod_target_container(PodTarget *p, const char *name, const char *verb, bool quiet, const char **ret_name, const char **ret_id,
                                const Container **ret_spec);
/* The sandbox that is ready, NULL = none is. */
const char *pod_target_sandbox(const PodTarget *p);
/* The same, asked again. */
bool pod_target_lives(PodTarget *p);

/* runtime.h's. What a CRI runtime says is no wrong usage, though it calls it so. */
MUST_USE Err *pod_target_exec(PodTarget *p, uv_loop_t *loop, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
MUST_USE Err *pod_target_attach(PodTarget *p, uv_loop_t *loop, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
MUST_USE Err *pod_target_port(PodTarget *p, uv_loop_t *loop, unsigned port, const RuntimeStreamConfig *c, RuntimeStream **ret);

#endif
