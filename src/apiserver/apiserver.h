/* apiserver.h - the Kubernetes API of this one node: HTTP in, the object store out. The server half of what src/kube has as pure functions.
 *
 * The store is all that the API and the node's agent share, as etcd is in a cluster. The API writes what users want: objects, their
 * spec and metadata, deletionTimestamp. The node (daemon/) watches the store, and writes what is: it binds Pods (spec.nodeName), writes
 * their status, takes them out of the store when they have ended, makes mirror Pods, Events, its Node, and a claim's status. Both are
 * of one thread, so neither ever meets a conflict with the other: get, change, update in one turn.
 *
 *   A Pod that is deleted: the API sets deletionTimestamp; the node ends it, and deletes it from the store when nothing of it runs and no
 *   finalizer is left (with one: it sets deletionGracePeriodSeconds to 0, and the API deletes it with the last finalizer). With grace
 *   period 0, or when it was never bound, the API deletes it from the store at once; the node sees that, and ends it. The last object of
 *   a bound one says deletionGracePeriodSeconds 0.
 *   A namespace that is deleted is emptied, and goes when the last object has gone, by the API.
 *
 * Everybody is known: a unix socket's peer is admin (its mode says who may connect); over TLS a client certificate (CN = user, O =
 * groups) or a bearer token. Groups give roles: "reprise:admin" and "system:masters" all; "reprise:view" get, list and watch of
 * everything but Secrets, and logs, as Kubernetes' ClusterRole "view". Without a role 403, without a name 401. */
#ifndef REPRISE_APISERVER_APISERVER_H
#define REPRISE_APISERVER_APISERVER_H

#include "api/features.h"
#include "http/http.h"
#include "runtime/runtime.h"
#include "store/store.h"
#include "wire/json.h"

typedef struct ApiServer ApiServer;

/* What only the node knows; each may be NULL: 404, and ready. */
typedef struct {
    void (*metrics)(void *arg, Str *out);       /* /metrics: Prometheus text */
    json_t *(*stats_summary)(void *arg);        /* /stats/summary: new */
    /* /readyz: appends why not to <why>; nothing = ready. */
    void (*ready)(void *arg, Str *why);
    /* A request is over, for the log and the metrics. <verb> "list", "watch", "connect", ...; <resource> "pods/log", "" for none. */
    void (*on_request)(void *arg, const HttpLog *l, const char *verb, const char *resource);
    void (*resource_metrics)(void *arg, Str *out); /* /metrics/resource: Prometheus text */
    void *arg;
} ApiNodeOps;

typedef struct {
    uv_loop_t *loop;
    ObjStore *store; /* borrowed */
    Runtime *rt;     /* borrowed: exec, attach, port-forward; NULL = none (tests) */
    const char *node_name, *log_dir;
    FeatureGates gates;
    const HttpListen *listen; /* borrowed for the call */
    size_t n_listen;
    HttpLimits limits;
    unsigned max_watches;        /* 0 = 1000 */
    unsigned max_streams;        /* exec, attach, port-forward and followed logs at once; 0 = 200 */
    const char *token_auth_file; /* kube-apiserver's format: token,user,uid[,"group1,group2"]; read anew when it changes; NULL = none */
    ApiNodeOps node;
} ApiServerConfig;

/* Makes the namespaces and ServiceAccounts that are always there, and listens. ERR_INVALID: the token file, or TCP without TLS; else
 * the socket's. */
MUST_USE Err *apiserver_new(const ApiServerConfig *c, ApiServer **ret);
/* Accepts no more; ends watches, and streams, as a kube-apiserver that is shut down; what is left after <grace_ms> is dropped. */
void apiserver_stop(ApiServer *s, unsigned grace_ms, void (*on_stopped)(void *arg), void *arg);
void apiserver_free(ApiServer *s);
/* Makes that namespace if the store has none: static Pods are in some that nobody made. Needs no server. */
MUST_USE Err *apiserver_ensure_namespace(ObjStore *s, const char *name);
unsigned apiserver_port(const ApiServer *s, size_t listener);

#endif
