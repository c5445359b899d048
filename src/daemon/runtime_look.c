/* runtime_look.c - is the runtime below ready to run Pods? Asked every 10 s; the Node's condition Ready says so in the kubelet's words
 * (updateRuntimeUp(), runtimeState.runtimeErrors()). */
#include "daemon/daemon_priv.h"
#include "os/fs.h"

#define DOWN_AFTER_NS (30 * NS_PER_S) /* maxWaitForContainerRuntime: what is only restarted is not down */

static void set_ready(Daemon *d, const char *problem)
{
    if (problem)
        node_object_set_condition(d->node, "Ready", false, "KubeletNotReady", problem);
    else
        node_object_set_condition(d->node, "Ready", true, "KubeletReady", "kubelet is posting ready status");
}

/* Outlives the daemon: what is under way is answered when the runtime is closed, after it. */
struct RuntimeLook {
    Daemon *d; /* NULL: it is gone */
};

static void on_status(void *arg, const char *problem, Err *err)
{
    RuntimeLook *look = arg;
    Daemon *d = look->d;
    int64_t now = os_monotonic_ns();
    free(look);
    if (!d) {
        err_free(err);
        return;
    }
    d->look = NULL;
    if (!err)
        d->runtime_seen_ns = now;
    if (!err || now - d->runtime_seen_ns > DOWN_AFTER_NS)
        set_ready(d, err ? "container runtime is down" : problem);
    err_free(err);
}

void runtime_look(Daemon *d)
{
    Runtime *rt = d->c.rt;
    if (!rt->ops->status || d->look)
        return;
    if (!d->runtime_seen_ns)
        d->runtime_seen_ns = os_monotonic_ns(); /* it was there when it was opened */
    d->look = NEW(RuntimeLook);
    d->look->d = d;
    Err *e = rt->ops->status(rt, on_status, d->look);
    if (e)
        on_status(d->look, NULL, e);
}

void runtime_look_close(Daemon *d)
{
    if (d->look)
        d->look->d = NULL;
}
