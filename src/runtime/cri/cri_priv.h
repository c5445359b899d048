/* cri_priv.h - private to runtime/cri: the parts of the CRI runtime.
 *
 *   methods.c        the table of CRI's methods
 *   cri.c            opening, closing, the vtable
 *   cri_call.c       one call: packed, sent, told again when the connection was lost under it
 *   cri_cache.c      what is known of our sandboxes and containers, and facts from it
 *   cri_watch.c      how news comes: event streams and listing again
 *   cri_sandbox.c    sandbox_run, _stop, _remove
 *   cri_container.c  container_create, _prepare, _start, _signal, _remove, exec_sync
 *   cri_config.c     our configurations as CRI's messages
 *   cri_image.c      images
 *   cri_house.c      what images and containers take, and images removed
 *   cri_logs.c       rotation of the log files that the runtime writes
 *   cri_stream.c     exec, attach, port-forward */
#ifndef REPRISE_RUNTIME_CRI_CRI_PRIV_H
#define REPRISE_RUNTIME_CRI_CRI_PRIV_H

#include "api/codec.h"
#include "base/strindex.h"
#include "grpc/client.h"
#include "os/cgroup.h"
#include "runtime/cri/cri.h"
#include "runtime/cri/cri.pb-c.h"
#include "runtime/cri/labels.h"
#include "runtime/cri/methods.h"

/* The kubelet's annotations (kuberuntime/labels.go), and ours; labels are in labels.h. */
#define NOTE_HASH            "io.kubernetes.container.hash"
#define NOTE_RESTART_COUNT   "io.kubernetes.container.restartCount"
#define NOTE_MESSAGE_PATH    "io.kubernetes.container.terminationMessagePath"
#define NOTE_MESSAGE_POLICY  "io.kubernetes.container.terminationMessagePolicy"
#define NOTE_REQUEST         "reprise.io/request"         /* a random name of the request that made it */
#define NOTE_KEY             "reprise.io/standby-key"     /* prepared ahead: PodFacts.standbys */
#define NOTE_MESSAGE_FILE    "reprise.io/termination-log" /* terminationMessagePath's file on the host */

typedef struct CriRuntime CriRuntime;
typedef struct CriPod CriPod;
typedef struct CriCall CriCall;
typedef struct CriWatch CriWatch;
typedef struct CriLogs CriLogs;

typedef struct {
    SandboxFact fact;
    uint64_t born;  /* rt->listed when it came to be known */
    bool asked;     /* a status request is under way */
    bool removing;  /* by us: it is gone when that is done, cgroup and all, whoever else says so before */
    bool known;     /* its status has been seen: a list alone is no fact */
    bool ended;     /* it was ready, or was stopped: never ready again */
} CriSandbox;

typedef struct {
    CriPod *pod;
    ContainerFact fact;
    char *key;          /* prepared ahead; NULL = made to be started at once */
    char *message_file; /* NULL = none */
    bool message_from_logs, oom, asked, removing;
    bool start_refused; /* the runtime itself told us so */
    bool end_by_event;  /* containerd's event told it; CRI's own record may still be behind */
    bool ran;           /* it was seen running: it is never only created again */
    unsigned asks;      /* in a row that said it still runs, after its end was told */
    uint64_t born;
} CriContainer;

struct CriPod {
    CriRuntime *rt;
    char *uid;
    LIST_OF(CriSandbox *) sandboxes;
    LIST_OF(CriContainer *) containers;
    bool making_sandbox; /* a RunPodSandbox is under way: what it makes is not shown yet */
    uint32_t making_attempt;
};

typedef struct { char *id, *username; int64_t uid; /* -1 = a name, or none */ } CriImageUser;

struct CriRuntime {
    Runtime base; /* first: a Runtime * is a CriRuntime * */
    uv_loop_t *loop;
    GrpcClient *client, *images; /* images == client when the endpoint is the same */
    char *root, *endpoint, *name /* "containerd 1.6.20" */, *type /* "containerd" */, *version;
    int64_t request_timeout_ns;
    CgroupHost cgroups;
    bool have_cgroups, systemd_cgroups;
    char *pause_image; /* of the sandboxes, when the runtime's configuration says it */
    CriCall *calls;
    LIST_OF(void *) later; /* cri_call.c's */
    LIST_OF(CriPod *) pods;
    StrIndex by_uid, by_container, by_sandbox;
    uint64_t listed; /* lists asked for so far */
    char *buried[256]; /* ids of what was removed: news that was asked for before may still name it */
    unsigned n_buried;
    LIST_OF(CriImageUser) users; /* of images that were looked up */
    LIST_OF(struct CriCreate *) name_waits; /* cri_container.c's: for the end of a removal */
    CriWatch *watch;
    CriLogs *logs;
    void (*on_warning)(void *arg, const char *text);
    void *warning_arg;
    bool opening, closing;
    Err *connect_error; /* while opening: why there is no connection */
};

/* --- cri_call.c */
/* <answer>: of the method's type, borrowed; NULL with <err> (taken). <code>: GRPC_*. */
typedef void CriReply(void *arg, int code, const ProtobufCMessage *answer, Err *err);
typedef struct {
    int64_t timeout_ns; /* 0 = the method's */
    bool repeat;        /* safe to send again when the connection is lost under it, and waits for one */
    bool wait;          /* waits for a connection, but is not sent twice */
    const char *turn;   /* a Pod's UID: it is sent when few other calls of this Pod are under way; NULL = at once */
} CriCallOptions;
/* Never answers from within. <options> may be NULL. */
void cri_call(CriRuntime *rt, CriMethod m, const void *request, const CriCallOptions *options, CriReply *reply, void *arg);
void cri_calls_cancel(CriRuntime *rt);
/* A request that outlives what it borrows from: protobuf_c_message_free_unpacked(). */
void *cri_request_copy(const void *request);
/* Why no request is accepted: whoever asks again from within the last answers would not be answered. NULL: it is. */
MUST_USE Err *cri_refused(const Runtime *rt);
/* After such an answer nobody knows whether it was done. */
bool cri_in_doubt(int code);
/* fn(arg, cancelled) from the loop, <ms> from now. */
void cri_later(CriRuntime *rt, uint64_t ms, void (*fn)(void *arg, bool cancelled), void *arg);
void cri_later_cancel(CriRuntime *rt);

/* --- cri_cache.c */
CriPod *cri_pod(CriRuntime *rt, const char *uid); /* NULL: nothing is known of it */
CriPod *cri_pod_make(CriRuntime *rt, const char *uid);
void cri_pod_drop_if_empty(CriPod *p); /* nothing is held for it any more */
CriContainer *cri_container(CriRuntime *rt, const char *id);
CriSandbox *cri_sandbox(CriRuntime *rt, const char *id, CriPod **ret_pod /* may be NULL */);
void cri_changed(CriRuntime *rt, const CriPod *p);
/* What the runtime said. What is not ours, or was removed, is left alone. */
void cri_sandbox_stopped(CriRuntime *rt, const char *id);
void cri_saw_sandbox(CriRuntime *rt, const Cri__PodSandboxStatus *s);
void cri_saw_container(CriRuntime *rt, const char *sandbox_id /* NULL = as known */, const Cri__ContainerStatus *s);
/* A list's item; returns true if its status should be asked for. */
bool cri_listed_sandbox(CriRuntime *rt, const Cri__PodSandbox *s);
bool cri_listed_container(CriRuntime *rt, const Cri__Container *c);
/* A start, an end that was told by an event, before the runtime's own records have it. */
void cri_saw_start(CriRuntime *rt, CriContainer *c, int64_t at_ns);
void cri_saw_exit(CriRuntime *rt, CriContainer *c, uint32_t code, int64_t at_ns);
void cri_saw_oom(CriRuntime *rt, CriContainer *c);
void cri_container_gone(CriRuntime *rt, const char *id);
void cri_sandbox_gone(CriRuntime *rt, const char *id);
void cri_sandbox_removed(CriRuntime *rt, const char *id); /* with all that was in it */
/* What list <list> did not name, and was known when it was asked for, is gone. */
void cri_sweep(CriRuntime *rt, const StrIndex *named, uint64_t list);
void cri_facts(CriRuntime *rt, const char *uid, PodFacts *out);
void cri_cache_done(CriRuntime *rt);

/* --- cri_watch.c */
void cri_watch_start(CriRuntime *rt, CriEvents events);
void cri_watch_stop(CriRuntime *rt);
/* Lists again, now. */
void cri_watch_list(CriRuntime *rt);
/* Something was asked for: its effect will show soon. */
void cri_watch_expect(CriRuntime *rt);
/* The connection came, or went. */
void cri_watch_connected(CriRuntime *rt, bool connected);
/* The first lists, and what they made us ask for, have been answered. */
bool cri_watch_ready(const CriRuntime *rt);
void cri_ask_container(CriRuntime *rt, const char *id);
void cri_ask_sandbox(CriRuntime *rt, const char *id);

/* --- cri_config.c: messages that borrow from their sources; what they own themselves is freed with the arena. */
typedef struct { LIST_OF(void *) blocks; } CriArena;
void cri_arena_done(CriArena *a);
static inline UNUSED void cri_arena_done_at(CriArena *a) { cri_arena_done(a); }
Cri__PodSandboxConfig *cri_sandbox_config(CriArena *a, const CriRuntime *rt, const SandboxConfig *c, const char *request);
/* <uid>, <username>: of the image. ERR with the kubelet's reason. */
MUST_USE Err *cri_container_config(CriArena *a, const CriRuntime *rt, const ContainerConfig *c, const char *request, const char *key,
                                   Cri__ContainerConfig **ret);
char *cri_cgroup_parent(CriArena *a, const CriRuntime *rt, const char *uid);
const char *cri_note(Cri__PodSandboxStatus__AnnotationsEntry *const *v, size_t n, const char *key);

/* --- cri_image.c */
Err *cri_image_ensure(Runtime *rt, const char *reference, const char *policy, const ImageAuthList *auths, RuntimeImageDone *done,
                      void *arg);
char *cri_image_find(Runtime *rt, const char *reference);
Err *cri_image_user(Runtime *rt, const char *image_id, int64_t *ret_uid, char **ret_name);
const CriImageUser *cri_user_of(const CriRuntime *rt, const char *image_id); /* NULL = not known */

/* --- cri_house.c */
Err *cri_images(Runtime *rt, RuntimeImagesDone *done, void *arg);
Err *cri_image_remove(Runtime *rt, const char *id, RuntimeDone *done, void *arg);
Err *cri_disks(Runtime *rt, RuntimeDisksDone *done, void *arg);
Err *cri_usage(Runtime *rt, RuntimeUsageDone *done, void *arg);
Err *cri_status(Runtime *rt, RuntimeStatusDone *done, void *arg);
void cri_place(Runtime *rt, const char *uid, const char *id, RuntimePlace *out);

/* --- cri_logs.c */
void cri_logs_start(CriRuntime *rt, const CriRuntimeConfig *config);
void cri_logs_stop(CriRuntime *rt);

/* --- the vtable's other functions */
Err *cri_sandbox_run(Runtime *rt, const SandboxConfig *c, RuntimeIdDone *done, void *arg);
Err *cri_sandbox_stop(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *cri_sandbox_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *cri_container_create(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, RuntimeIdDone *done,
                          void *arg);
void cri_names_cancel(CriRuntime *rt);
Err *cri_container_prepare(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode mode,
                           const char *key, RuntimeIdDone *done, void *arg);
Err *cri_container_start(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *cri_container_signal(Runtime *rt, const char *uid, const char *id, int signal, RuntimeDone *done, void *arg);
Err *cri_containers_kill(Runtime *rt, const char *uid, const char *const *ids, size_t n, RuntimeDone *done, void *arg);
Err *cri_container_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
Err *cri_exec_sync(Runtime *rt, const char *uid, const char *id, const char *const *argv, int64_t timeout_ns, size_t max_output,
                   RuntimeExecDone *done, void *arg);
Err *cri_exec(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
Err *cri_attach(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);
Err *cri_port_forward(Runtime *rt, const char *uid, const char *sandbox_id, unsigned port, const RuntimeStreamConfig *c,
                      RuntimeStream **ret);

#endif
