/* daemon.h - `reprise node`: the agent for months, over the Pods of a directory.
 *
 * It holds no truth of its own: at its start every record is adopted, the directory is read, and what the two differ in is what there is
 * to do. So it may be killed at any instant. SIGTERM and SIGINT let go of everything and leave the Pods running; SIGHUP looks at the
 * directory at once. */
#ifndef REPRISE_DAEMON_DAEMON_H
#define REPRISE_DAEMON_DAEMON_H

#include <uv.h>

#include "api/features.h"
#include "daemon/housekeeping.h"
#include "daemon/log.h"
#include "plan/plan.h"
#include "runtime/runtime.h"

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
    int notify_fd;      /* sdnotify.h; -EBADF = none */
    int64_t watchdog_ns; /* 0 = none */
} DaemonConfig;

/* Runs until a signal ends it. The caller has the lock (lock.h); afterwards it closes the runtime and the loop. */
MUST_USE Err *daemon_run(const DaemonConfig *c);

#endif
