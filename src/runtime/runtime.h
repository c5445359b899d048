/* runtime.h - what the agent needs of a container runtime. Implementations: oci/ (embedded: reprise-shim + crun or runc),
 * cri/ (containerd, CRI-O), fake/ (faults in tests). The verbs and words are CRI's.
 *
 * All calls come from the loop's thread and return at once. A request is answered by exactly one callback, from the loop,
 * never before the call has returned; an Err returned by the call itself means "not accepted" and no callback comes.
 * Requests are safe to repeat: removing what is gone succeeds, stopping what has exited succeeds. */
#ifndef REPRISE_RUNTIME_RUNTIME_H
#define REPRISE_RUNTIME_RUNTIME_H

#include "api/facts.h"
#include "api/stats.h"
#include "api/types.h"
#include "base/err.h"
#include "base/str.h"
#include "runtime/image_auth.h"
#include "runtime/stream.h"

typedef struct Runtime Runtime;

typedef enum { NS_POD, NS_CONTAINER, NS_NODE, NS_TARGET } NamespaceMode; /* CRI NamespaceMode */

typedef struct { int32_t container_port, host_port; char *protocol /* "tcp" "udp" "sctp" */, *host_ip; } PortMapping;

/* Borrowed for the call: the runtime copies what it keeps. */
typedef struct {
    const char *name, *namespace_, *uid;
    uint32_t attempt;
    const char *hostname;        /* "" with host network */
    const char *log_directory;   /* absolute: <log root>/<ns>_<name>_<uid> */
    StrList dns_servers, dns_searches, dns_options; /* informative: files are made by node/podfiles.h and mounted */
    LIST_OF(PortMapping) port_mappings;
    StrMap labels, annotations;
    NamespaceMode network, pid, ipc; /* network: POD or NODE; pid: POD (shared), CONTAINER, NODE; ipc: POD or NODE */
    LIST_OF(Sysctl) sysctls;
    const char *qos_class;
    bool privileged;             /* one of its containers is */
    const PodSecurityContext *pod_sec; /* NULL = none */
    /* Pod cgroup limits, 0 = none (sums as the kubelet makes them: node/resources.h). */
    int64_t cpu_shares, cpu_quota_us, cpu_period_us, memory_limit_bytes, pids_limit;
} SandboxConfig;

typedef struct {
    const char *container_path; /* absolute, inside */
    const char *host_path;      /* absolute, already made safe (subPath resolved to a private bind, volumes.h) */
    bool read_only, recursive_read_only;
    const char *propagation;    /* "None" | "HostToContainer" | "Bidirectional" */
} MountConfig;
typedef struct { const char *host_path, *container_path, *permissions; /* "rwm" */ } DeviceConfig;

typedef struct {
    const char *name;
    uint32_t attempt;
    const char *image;             /* reference as in the spec */
    const char *image_id;          /* resolved by image_ensure: "sha256:..." */
    StrVec command, args;          /* after $(VAR) expansion; empty = the image's */
    const char *working_dir;       /* "" = the image's */
    StrVec env;                    /* "K=V", final for what the Pod says; the image's env is merged by the runtime */
    LIST_OF(MountConfig) mounts;
    LIST_OF(DeviceConfig) devices;
    StrList cdi_devices;           /* "vendor.com/class=name" */
    StrMap labels, annotations;
    const char *log_path;          /* relative to the sandbox's log_directory: "<container>/<attempt>.log" */
    bool stdin_, stdin_once, tty;
    const char *stop_signal;       /* lifecycle.stopSignal, NULL = the image's, else SIGTERM */
    const char *termination_message_path; /* inside; the file below is among <mounts> there */
    const char *termination_message_host_path; /* read by the runtime when the container ends, at most 4096 bytes; NULL = none */
    bool termination_message_from_logs;   /* policy FallbackToLogsOnError */
    /* Linux resources, 0 = not set. */
    int64_t cpu_shares, cpu_quota_us, cpu_period_us, memory_limit_bytes, pids_limit, oom_score_adj;
    LIST_OF(struct { const char *page_size; int64_t limit_bytes; }) hugepages;
    /* Effective security context (container over Pod). */
    const SecurityContext *sec;       /* container's; NULL = none */
    const PodSecurityContext *pod_sec;/* Pod's; NULL = none */
    NamespaceMode pid;                /* POD (shared), CONTAINER, NODE, TARGET */
    const char *pid_target_id;        /* container id for NS_TARGET (ephemeral) */
    const char *spec_hash;
    const SandboxConfig *sandbox;     /* what the sandbox was run with; only with RUNTIME_CAP_SANDBOX_AGAIN */
} ContainerConfig;

typedef void RuntimeDone(void *arg, Err *err /* taken; NULL = done */);
typedef void RuntimeIdDone(void *arg, const char *id /* borrowed */, Err *err /* taken */);
typedef struct {
    bool timed_out;
    int32_t exit_code;
    const char *out; size_t n_out; /* stdout then stderr, at most max_output bytes */
} ExecResult;
typedef void RuntimeExecDone(void *arg, const ExecResult *res /* NULL on error */, Err *err /* taken */);
/* <image_id>: "sha256:..." of the image's config. */
typedef RuntimeIdDone RuntimeImageDone;

/* For housekeeping. Lists and texts are borrowed for the call of <done>; NULL on error. */
typedef struct {
    char *id;       /* "sha256:..." */
    StrVec names;   /* normalised references */
    int64_t bytes;
    bool pinned, used; /* used: a container has it, of anybody, one that has ended too */
} RuntimeImage;
typedef LIST_OF(RuntimeImage) RuntimeImages;
void runtime_images_done(RuntimeImages *l); /* frees what it owns */
typedef void RuntimeImagesDone(void *arg, const RuntimeImages *images, Err *err /* taken */);
typedef struct {
    const char *images, *layers; /* a directory on the file system of the images, and of the containers' writable layers */
    int64_t images_used;         /* bytes; STAT_NONE = the sum over the images */
} RuntimeDisks;
typedef void RuntimeDisksDone(void *arg, const RuntimeDisks *d, Err *err /* taken */);
typedef struct {
    char *pod_cgroup, *cgroup; /* relative to the mounts (os/cgroup.h); NULL: not known */
    char *layer;               /* directory that holds what the container wrote */
} RuntimePlace;
void runtime_place_done(RuntimePlace *p);
/* <problem>: the runtime's own, in the kubelet's words (borrowed; NULL = it is ready); <err>: it could not be asked. */
typedef void RuntimeStatusDone(void *arg, const char *problem, Err *err /* taken */);
typedef void RuntimeUsageDone(void *arg, const ContainerStats *v, size_t n, Err *err /* taken */);

#define RUNTIME_CAP_IMAGE_PULL 1u     /* can fetch images */
#define RUNTIME_CAP_SANDBOX_AGAIN 4u  /* container_create() wants the sandbox's configuration, too */
#define RUNTIME_CAP_HOST_MOUNT_NS 2u  /* MountConfig.host_path is seen from the host's mount namespace */

typedef struct RuntimeOps {
    const char *name; /* "oci", "cri" */
    uint32_t caps;
    /* Facts, newest first, from a cache that the runtime keeps fresh; an unknown uid gives empty lists. Caller owns *out. */
    void (*pod_facts)(Runtime *rt, const char *uid, PodFacts *out);
    Err *(*sandbox_run)(Runtime *rt, const SandboxConfig *c, RuntimeIdDone *done, void *arg);
    Err *(*sandbox_stop)(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
    Err *(*sandbox_remove)(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
    /* pull_policy: Always | IfNotPresent | Never. <auths> (borrowed for the call): tried in this order until a pull succeeds; the
     * error of a pull that all fail is image_pull_errors() of theirs. NULL or empty = one pull without any, for which the runtime
     * may have credentials of its own. Err reasons: ErrImagePull, ErrImageNeverPull, InvalidImageName. */
    Err *(*image_ensure)(Runtime *rt, const char *reference, const char *pull_policy, const ImageAuthList *auths,
                         RuntimeImageDone *done, void *arg);
    /* The id of an image that is here, at once: NULL when it is not, or when only asking would tell (image_ensure). Caller frees. */
    char *(*image_find)(Runtime *rt, const char *reference);
    /* The image's own user, so that runAsNonRoot can be checked before a start; both may be NULL/-1. Sync. */
    Err *(*image_user)(Runtime *rt, const char *image_id, int64_t *ret_uid, char **ret_name);
    Err *(*container_create)(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c,
                             RuntimeIdDone *done, void *arg);
    /* Makes an instance ahead of its time: PodFacts.standbys shows it, with <key> (the caller's, opaque), and it is no container
     * until container_start() with its id. That fails with reason StandbyLost, or ERR_NOT_FOUND, when it cannot be had: the
     * caller makes one plainly. container_remove() gives it up. It does not outlive a loss of the runtime's own state. */
    Err *(*container_prepare)(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode mode,
                              const char *key, RuntimeIdDone *done, void *arg);
    Err *(*container_start)(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
    /* signal 0 = the container's stop signal; 9 = SIGKILL. Done when it was sent, not when the container is dead. */
    Err *(*container_signal)(Runtime *rt, const char *uid, const char *id, int signal, RuntimeDone *done, void *arg);
    /* SIGKILL to all of the Pod's given containers in one message to the runtime (one turn). */
    Err *(*containers_kill)(Runtime *rt, const char *uid, const char *const *ids, size_t n, RuntimeDone *done, void *arg);
    /* Removes an exited (or created) container; its log files stay. */
    Err *(*container_remove)(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
    Err *(*exec_sync)(Runtime *rt, const char *uid, const char *id, const char *const *argv, int64_t timeout_ns,
                      size_t max_output, RuntimeExecDone *done, void *arg);
    /* Streams (stream.h). Err: nothing was begun; what goes wrong from there on is the stream's end. ERR_NOT_FOUND: the runtime does not
     * know it. port_forward: one connection to <port> of localhost in the sandbox's network. */
    Err *(*exec)(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
    Err *(*attach)(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
    Err *(*port_forward)(Runtime *rt, const char *uid, const char *sandbox_id, unsigned port, const RuntimeStreamConfig *c,
                         RuntimeStream **ret);
    /* Every Pod uid this runtime holds something of: for adoption and garbage collection. */
    void (*pod_uids)(Runtime *rt, StrList *out);
    void (*close)(Runtime *rt); /* outstanding requests are done() with ERR_UNAVAILABLE first; frees rt */
    /* --- for housekeeping; a slot may be NULL: that cannot be told, or done, here ------------------------------------- */
    Err *(*images)(Runtime *rt, RuntimeImagesDone *done, void *arg);
    /* Removes the image <id> with all of its names, and what only it needs. What is gone succeeds. ERR_EXISTS: a container uses it. */
    Err *(*image_remove)(Runtime *rt, const char *id, RuntimeDone *done, void *arg);
    Err *(*disks)(Runtime *rt, RuntimeDisksDone *done, void *arg);
    /* Where to measure container <id> (NULL: only the Pod) of Pod <uid>; *out is the caller's. Sync. */
    void (*place)(Runtime *rt, const char *uid, const char *id, RuntimePlace *out);
    /* What the containers use for which place() names no cgroup: by id. */
    Err *(*usage)(Runtime *rt, RuntimeUsageDone *done, void *arg);
    /* Is it ready to run Pods? NULL slot: it is a part of this program, and always is. */
    Err *(*status)(Runtime *rt, RuntimeStatusDone *done, void *arg);
} RuntimeOps;

struct Runtime {
    const RuntimeOps *ops;
    const char *type; /* containerID in a status is "<type>://<id>": "containerd", "cri-o"; NULL = "reprise" */
    const char *version; /* the runtime's own; NULL = this program's */
    /* Set by the owner after opening: facts of Pod <uid> may have changed. Called from the loop. */
    void (*on_change)(void *arg, const char *uid);
    void *on_change_arg;
    struct RuntimeMeter *meter; /* meter.h's; NULL = none */
};

#endif
