/* cri_pod.h - a Pod as exec, attach and port-forward need it: found in the CRI runtime by its labels and in the state folder by its
 * uid, whoever drives it and whether anybody does. */
#ifndef REPRISE_CLI_CRI_POD_H
#define REPRISE_CLI_CRI_POD_H

#include "agent/record.h"
#include "cli/cri_call.h"
#include "runtime/cri/cri.pb-c.h"

typedef struct {
    CriPeer *peer;
    char *namespace_, *name;
    char *sandbox; /* id of the one that is ready; NULL = none is */
    PodRecord record; /* .pod NULL: the state folder does not know it */
    Cri__ListContainersResponse *containers; /* all of this --root */
    char *uid;
} PodTarget;

/* [NAMESPACE/]POD of the command. ERR_UNSUPPORTED: another runtime than CRI is asked for. ERR_NOT_FOUND: there is no such Pod. */
MUST_USE Err *pod_target_open(const CliArgs *a, const char *operand, PodTarget *ret);
void pod_target_done(PodTarget *p);
static inline UNUSED void pod_target_done_at(PodTarget *p) { pod_target_done(p); }

/* A call to the runtime, with the kubelet's patience. ERR_INVALID is none of its errors: the usage was right. */
MUST_USE Err *pod_target_ask(PodTarget *p, CriMethod which, const ProtobufCMessage *request, ProtobufCMessage **ret);

/* <name>, else the Pod's default container, of which stderr is told unless <quiet>: its name (borrowed) and the id of the one that
 * runs. <verb>: "exec into". *ret_spec: its spec, NULL = not known. */
MUST_USE Err *pod_target_container(PodTarget *p, const char *name, const char *verb, bool quiet, const char **ret_name, const char **ret_id,
                                const Container **ret_spec);

#endif
