/* daemon.h - `reprise node`: the agent for months, over the Pods of a directory and of its own API.
 *
 * What users want is in the directory and in the object store (<root>/state.db); what runs is in the agent's records. At its start every
 * record is adopted, both are read, and what they differ in is what there is to do. So it may be killed at any instant. SIGTERM and
 * SIGINT let go of everything and leave the Pods running; SIGHUP looks at the directory at once.
 *
 * The store is all that it shares with the API server, see apiserver/apiserver.h. */
#ifndef REPRISE_DAEMON_DAEMON_H
#define REPRISE_DAEMON_DAEMON_H

#include <uv.h>

#include "api/features.h"
#include "daemon/housekeeping.h"
#include "daemon/log.h"
#include "plan/plan.h"
#include "runtime/runtime.h"
#include "store/store.h"

/* Where the API is served, and to whom. */
typedef struct {
    const char *socket;       /* NULL or "" = none; 0660 for the group "reprise", where there is one, else 0600 */
    int socket_fd;            /* a listening unix socket that takes its place: daemon_open() takes it; <= 0 = none */
    const char *bind_address; /* numeric */
    unsigned secure_port;     /* TLS; 0 = none */
    const char *cert_file, *key_file, *client_ca_file, *token_auth_file;
    unsigned max_connections, max_watches, max_streams; /* 0 = apiserver.h's */
} DaemonApi;

typedef struct {
    uv_loop_t *loop;
    Runtime *rt;        /* borrowed */
    const Log *log;
    const char *root, *run_dir, *log_dir, *node_name, *manifest_dir;
    FeatureGates gates;
    PlanConfig plan;
    int64_t prepare_memory_bytes;
    int64_t max_pods, reserved_cpu_milli, reserved_memory_bytes; /* admission: plan/admit.h */
    HousekeepingOptions housekeeping;
    DaemonApi api;
    int notify_fd;      /* sdnotify.h; -EBADF = none */
    int64_t watchdog_ns; /* 0 = none */
} DaemonConfig;

typedef struct Daemon Daemon;
/* Everything but the loop's run. The caller has the lock (lock.h). Errors: the store cannot be opened (store.h). */
MUST_USE Err *daemon_open(const DaemonConfig *c, Daemon **ret);
/* Lets go of everything; runs the loop until its handles are closed. The caller then closes the runtime and the loop. */
void daemon_close(Daemon *d);
ObjStore *daemon_store(const Daemon *d);

/* Opens, runs until a signal ends it, closes. */
MUST_USE Err *daemon_run(const DaemonConfig *c);

#endif
