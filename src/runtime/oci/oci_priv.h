/* oci_priv.h - private to runtime/oci: the parts of the embedded runtime.
 *
 *   oci.c            opening, closing, the vtable, images
 *   oci_pod.c        one Pod's shim: started, connected, started again when it died; requests queue meanwhile
 *   oci_sandbox.c    sandbox_run, _stop, _remove: shim and CNI in the right order
 *   oci_container.c  container_create and the short requests
 *   oci_config.c     what of a ContainerConfig must outlive the call
 *   oci_facts.c      the shim's records as PodFacts
 *   oci_house.c      what images and containers take, and images removed
 *   oci_stream.c     exec, attach, port-forward: beside all of that, by the shim's other socket */
#ifndef REPRISE_RUNTIME_OCI_OCI_PRIV_H
#define REPRISE_RUNTIME_OCI_OCI_PRIV_H

#include "api/codec.h"
#include "os/cgroup.h"
#include "runtime/oci/oci.h"
#include "runtime/oci/shim_client.h"
#include "runtime/oci/spec.h"

typedef struct OciRuntime OciRuntime;
typedef struct PodShim PodShim;
typedef struct Queued Queued;
typedef struct Later Later;
typedef struct SandboxOp SandboxOp;
typedef struct HouseOp HouseOp;

struct OciRuntime {
    Runtime base; /* first: a Runtime * is an OciRuntime * */
    uv_loop_t *loop;
    char *root, *run_dir, *log_dir, *shim, *gate /* NULL = none on this machine */, *runtime;
    bool hide_cgroup2;
    int64_t log_max_bytes;
    int log_max_files;
    OciHost host;
    Cni *cni;
    ImageStore *images;
    PodShim *pods;
    uv_idle_t *idle; /* runs what must not be called before a request has returned */
    Later *later;
    HouseOp *house;        /* oci_house.c's requests under way */
    SandboxOp *attaching;  /* requests that wait for CNI, which forgets them when it is closed */
    bool closing;
};

typedef enum { SHIM_NONE, SHIM_STARTING, SHIM_CONNECTING, SHIM_READY, SHIM_WAITING } PodShimState;
struct PodShim {
    OciRuntime *rt;
    PodShim *next;
    char *uid;
    PodShimState state;
    ShimClient *client;
    struct Process *starting;
    uv_timer_t *retry;
    unsigned failures;
    Queued *queue;         /* requests that wait for the shim */
    json_t *facts;         /* the last known, when no client has newer ones */
    bool mine;             /* this agent has asked something of it: revive its shim */
    char *making_sandbox;  /* id of the sandbox that sandbox_run is making: no fact yet */
    IntList pids;          /* processes that may become our children when their shim dies */
    bool dead;             /* unlinked; freed when the last callback has returned */
};

/* --- oci_pod.c */
PodShim *pod_find(OciRuntime *rt, const char *uid);
PodShim *pod_make(OciRuntime *rt, const char *uid); /* found or new; nothing is started */
const json_t *pod_facts_json(const PodShim *p);     /* {"sandboxes", "containers"}; never NULL */
const json_t *pod_sandbox(const PodShim *p, const char *id);
const json_t *pod_container(const PodShim *p, const char *id);
/* Sends a request (taken) to the Pod's shim, starting one if need be. <repeat>: safe to send again when the shim dies over
 * it. <reply> comes once, from the loop. */
void pod_call(PodShim *p, json_t *request, bool repeat, ShimReply *reply, void *arg);
/* At opening: connects to the shim, blocking; starts a new one if it has died. */
MUST_USE Err *pod_adopt(PodShim *p);
void pod_close(PodShim *p); /* answers the queue; unlinks and frees */

/* --- oci.c */
/* Calls fn(arg) from the loop; at closing with cancelled = true. */
void oci_later(OciRuntime *rt, void (*fn)(void *arg, bool cancelled), void *arg);
void oci_changed(OciRuntime *rt, const char *uid);

/* --- oci_facts.c */
void oci_facts_from_json(const json_t *facts, const char *hidden_sandbox, PodFacts *out);

/* --- oci_config.c: a copy that lives as long as a request */
typedef struct {
    ContainerConfig c;
    StrVec strings; /* owns every text of <c> */
} ConfigCopy;
void config_copy(ConfigCopy *dst, const ContainerConfig *src);
void config_copy_done(ConfigCopy *c);

/* --- oci_house.c */
Err *oci_images(Runtime *rt, RuntimeImagesDone *done, void *arg);
Err *oci_image_remove(Runtime *rt, const char *id, RuntimeDone *done, void *arg);
Err *oci_disks(Runtime *rt, RuntimeDisksDone *done, void *arg);
void oci_place(Runtime *rt, const char *uid, const char *id, RuntimePlace *out);
void oci_house_cancel(OciRuntime *rt);

/* --- the vtable's functions */
Err *oci_sandbox_run(Runtime *rt, const SandboxConfig *c, RuntimeIdDone *done, void *arg);
void oci_sandbox_cancel(OciRuntime *rt); /* after cni_close(): answers what waited for it */
Err *oci_sandbox_stop(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *oci_sandbox_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *oci_container_create(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, RuntimeIdDone *done,
                          void *arg);
Err *oci_container_prepare(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode mode,
                           const char *key, RuntimeIdDone *done, void *arg);
Err *oci_container_start(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *oci_container_signal(Runtime *rt, const char *uid, const char *id, int signal, RuntimeDone *done, void *arg);
Err *oci_containers_kill(Runtime *rt, const char *uid, const char *const *ids, size_t n, RuntimeDone *done, void *arg);
Err *oci_container_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *oci_exec_sync(Runtime *rt, const char *uid, const char *id, const char *const *argv, int64_t timeout_ns, size_t max_output,
                   RuntimeExecDone *done, void *arg);
Err *oci_exec(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
Err *oci_attach(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
Err *oci_port_forward(Runtime *rt, const char *uid, const char *sandbox_id, unsigned port, const RuntimeStreamConfig *c,
                      RuntimeStream **ret);

#endif
