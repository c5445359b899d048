/* daemon_priv.h - private to src/daemon: what its files share.
 *
 *   daemon.c      begin and end, signals, what the agent tells
 *   reconcile.c   one pass: what is and what should be
 *   manifests.c   the directory of static Pods: its files, its watch, their Pods
 *   watches.c     what the store tells: which Pods are to be looked at again
 *   api_pods.c    Pods of the API: bound, admitted, run, updated, ended, taken out of the store
 *   pod_status.c  the agent's status into the store
 *   runtime_look.c  is the runtime ready?
 *   restarts.c    in-place restarts into the store
 *   mirrors.c     static Pods in the API
 *   serve.c       the API server
 *   claims.c      PersistentVolumeClaims of the API
 *
 * Everything is level-triggered: each pass looks at what is there and does what is missing, so a pass that a death cut off is done again
 * by the next daemon, and a write to the store that failed by the next pass. */
#ifndef REPRISE_DAEMON_DAEMON_PRIV_H
#define REPRISE_DAEMON_DAEMON_PRIV_H

#include <sys/types.h>

#include "agent/agent.h"
#include "agent/dump.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/housekeeping.h"
#include "daemon/node_object.h"
#include "daemon/static_files.h"

/* The kubelet marks the Pods that it has from an API server so, in its own copy. */
#define SOURCE_API "api"

typedef struct ApiServer ApiServer;
typedef struct RuntimeLook RuntimeLook;

/* One of the agent's Pods. */
typedef struct {
    char *uid, *phase;
    DumpServer *dump;
    LogRate rate;
    int64_t rv;          /* of the store's Pod as this process wrote it last; 0 = it did not */
    bool status_owed;    /* the store does not have its status yet */
    OptInt gone_grace;   /* it was taken out of the store with this deletionGracePeriodSeconds */
    bool restarting;     /* in place; what follows is of this restart, or the last one: restarts.c */
    int64_t restarts, restart_code, restart_begun_ns;
    char *restart_container, *restart_rule;
} Tracked;

typedef LIST_OF(const Pod *) PodRefs;

enum { WATCH_PODS, WATCH_CONFIG_MAPS, WATCH_SECRETS, WATCH_CLAIMS, WATCH_NODES, WATCH_NAMESPACES, WATCH_N };

struct Daemon {
    DaemonConfig c;
    Agent *agent;
    ObjStore *store;
    Recorder *events;
    NodeObject *node;
    Housekeeping *house;
    ApiServer *api; /* NULL = it is not served */
    StaticFiles files;
    LIST_OF(Tracked) pods;
    StrVec said; /* what stands in the way of Pods of files, as it was logged: each once, as long as it does */
    uv_signal_t signals[3];
    uv_timer_t scan, settle, act, watchdog, retry, keep;
    uv_fs_event_t dir;
    bool watching;
    dev_t watch_dev;
    ino_t watch_ino;
    unsigned open_handles;
    char *status; /* as told to systemd */
    char *runtime_version;

    ObjWatch *watch[WATCH_N];
    StrVec dirty;    /* "namespace/name" of Pods to look at again */
    StrVec pending;  /* the same of those that could not be bound: looked at again when <schedule> */
    bool schedule, static_dirty, mirrors_dirty, claims_dirty;
    int64_t quiet_rv, checkpoint_rv; /* the store's, when it was last looked at, and moved into the database */
    RuntimeLook *look_images; /* its images are being asked for */
    RuntimeLook *look;       /* the runtime is being asked whether it is ready; NULL = it is not */
    int64_t runtime_seen_ns; /* when it answered last, monotonic */
    int64_t heartbeat_ns;            /* of the Node: when the next is due, monotonic */
};

/* daemon.c */
Tracked *tracked(Daemon *d, const char *uid);
char *pod_key(const Pod *p); /* "namespace/name"; caller frees */
void act_soon(Daemon *d, uint64_t ms);
/* Something could not be done (a disk that is full): all of it is tried again in a while. */
void retry_later(Daemon *d);
void forget_pod(Daemon *d, const char *uid);

/* reconcile.c */
void reconcile(Daemon *d);
/* May it run beside those that are here? Else its status says why not (plan/admit.h), and so do log and Event. */
void admit_pod(Daemon *d, Pod *p);
/* All that count against the node's room. Caller frees out->v. */
void others_on_node(const Daemon *d, PodRefs *out);

/* manifests.c */
void manifests_scan(Daemon *d);
void manifests_reconcile(Daemon *d);
void manifests_watch_init(Daemon *d);
void on_manifest_report(void *arg, const char *file, const char *text);

/* watches.c */
void watches_open(Daemon *d);
void watches_close(Daemon *d);
void watches_drain(Daemon *d);
void pod_dirty(Daemon *d, const char *namespace_, const char *name);
/* Everything is to be looked at. */
void all_dirty(Daemon *d);

/* api_pods.c */
void api_pods_sync(Daemon *d);
/* Records of Pods that the store does not know: those that it has lost, and those of `reprise run --keep`. */
void api_pods_import(Daemon *d);
bool pod_is_mirror(const Pod *p);
/* A Pod of the store; NULL: not there, or no Pod. Caller frees. */
Pod *stored_pod(const Daemon *d, const char *namespace_, const char *name);
/* What a Pod reads of the store. */
void stored_objects(Daemon *d, const Pod *p, Objects *out);

/* pod_status.c */
/* <status> as the agent has it, over what the store has. Whether the store has it now, or needs none. */
bool pod_status_write(Daemon *d, const Pod *p);
/* Pure: conditions of others stay as they are in <old>; what is the plan's is <status>'s. <status> is changed. */
void pod_status_merge(json_t *status, const json_t *old);
void pod_condition_set(json_t *pod, const char *type, bool on, const char *reason, const char *message, int64_t now_ns);

/* mirrors.c */
void mirrors_sync(Daemon *d);

/* runtime_look.c */
void runtime_look(Daemon *d);
void runtime_look_images(Daemon *d);
void runtime_look_close(Daemon *d);

/* restarts.c */
void restarts_note(Daemon *d, Tracked *t, const Pod *p, int64_t now_ns);
void restarts_adopt(Daemon *d, Tracked *t, const Pod *p);

/* serve.c */
MUST_USE Err *serve_open(Daemon *d);
void serve_close(Daemon *d);

/* claims.c */
void claims_sync(Daemon *d);
/* What the scheduler would say of the Pod's claims; NULL: nothing. Caller frees. */
char *claims_problem(const Daemon *d, const Pod *p);

#endif
