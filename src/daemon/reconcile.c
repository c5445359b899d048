/* reconcile.c - one pass over what is and what should be, as far as it can be done now; what ends later, or changes, brings us back. */
#include "api/codec.h"
#include "daemon/daemon_priv.h"
#include "daemon/sdnotify.h"
#include "os/fs.h"

void others_on_node(const Daemon *d, PodRefs *out)
{
    for (size_t i = 0; i < agent_pod_count(d->agent); i++)
        *LIST_ADD(out) = agent_pod_at(d->agent, i);
}

void admit_pod(Daemon *d, Pod *p)
{
    static const char prefix[] = "Pod was rejected: "; /* the kubelet's event has the message without it */
    PodRefs others = {0};
    others_on_node(d, &others);
    AdmitNode node = node_object_bind(d->node)->admit;
    node.pressure = housekeeping_pressure(d->house);
    const char *reason = plan_admit(p, others.v, others.n, &node);
    free(others.v);
    if (!reason)
        return;
    SCOPED(mem_free) char *name = pod_key(p);
    const char *message = str_or(p->status.message, "");
    LOG(d->c.log, LOG_WARN, message, {"pod", name}, {"uid", p->metadata.uid}, {"reason", reason});
    recorder_pod_event(d->events, p, EVENTS_KUBELET, true, reason, str_starts(message, prefix) ? message + sizeof prefix - 1 : message, NULL,
                       os_now_ns());
}

static void tell_status(Daemon *d)
{
    size_t running = 0;
    for (size_t i = 0; i < agent_pod_count(d->agent); i++)
        running += str_eq(agent_pod_at(d->agent, i)->status.phase, "Running");
    SCOPED(mem_free) char *text = mem_fmt("STATUS=%zu Pods, %zu running; %zu manifests broken", agent_pod_count(d->agent), running,
                                          static_files_broken(&d->files));
    if (str_eq(text, d->status))
        return;
    mem_set_str(&d->status, text);
    sd_notify_send(d->c.notify_fd, text);
}

void reconcile(Daemon *d)
{
    watches_drain(d);
    claims_sync(d); /* first: what a claim of before has left is gone before a new one is mounted */
    if (MOVE(d->static_dirty, false))
        manifests_reconcile(d);
    api_pods_sync(d);
    mirrors_sync(d);
    tell_status(d);
}
