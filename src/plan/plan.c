/* plan.c - one turn: see, decide the phase, act, say so. The order is upstream's sync (pod-restart.md 3.4), in one turn
 * where upstream needs two. */
#include "plan/plan.h"

#include "api/objects.h"
#include "base/str.h"
#include "plan/plan_priv.h"

static void add_ip(PodIP **v, size_t *n, const char *ip)
{
    *v = mem_grow(*v, *n + 1, sizeof **v);
    (*v)[(*n)++] = (PodIP){.ip = mem_dup_str(ip)};
}

static void status_ips(View *v)
{
    PodStatus *s = &v->out->status;
    const PodStatus *old = &v->pod->status;
    LIST_EACH(ip, &v->in->host_ips)
    {
        add_ip(&s->host_ips.v, &s->host_ips.n, *ip);
    }
    if (s->host_ips.n)
        s->host_ip = mem_dup_str(s->host_ips.v[0].ip);
    bool host = v->pod->spec.host_network.set && v->pod->spec.host_network.v;
    const SandboxFact *b = v->newest_sandbox;
    if (host) {
        LIST_EACH(ip, &v->in->host_ips)
        {
            add_ip(&s->pod_ips.v, &s->pod_ips.n, *ip);
        }
    } else if (b && b->ips.n) {
        LIST_EACH(ip, &b->ips)
        {
            add_ip(&s->pod_ips.v, &s->pod_ips.n, *ip);
        }
    } else { /* the last one known: a Pod that has ended still says where it was */
        LIST_EACH(ip, &old->pod_ips)
        {
            add_ip(&s->pod_ips.v, &s->pod_ips.n, ip->ip);
        }
    }
    if (s->pod_ips.n)
        s->pod_ip = mem_dup_str(s->pod_ips.v[0].ip);
}

static void status_frame(View *v)
{
    PodStatus *s = &v->out->status;
    const PodStatus *old = &v->pod->status;
    s->observed_generation = v->pod->metadata.generation;
    s->nominated_node_name = mem_dup_str(old->nominated_node_name);
    s->resource_claim_statuses = mem_dup_str(old->resource_claim_statuses);
    s->start_time = old->start_time.set ? old->start_time : (OptTime){true, v->now};
    s->qos_class = mem_dup_str(pod_qos_class(&v->pod->spec));
    status_ips(v);
}

static bool deadline_passed(View *v)
{
    const OptInt *d = &v->pod->spec.active_deadline_seconds;
    if (!d->set)
        return false;
    int64_t span, at;
    if (__builtin_mul_overflow(d->v, NS_PER_S, &span) ||
        __builtin_add_overflow(v->out->status.start_time.ns, span, &at))
        return false;
    if (v->now < at) {
        requeue_at(v, at);
        return false;
    }
    return true;
}

static void end_pod(View *v, const char *reason)
{
    act(v, ACT_KILL_POD, NULL, NULL, reason)->grace_ns = spec_grace_ns(v);
    const char *old = v->pod->status.phase;
    v->restarting = false;
    /* Shown as terminal only when nothing runs any more: plan_terminate(). */
    mem_set_str(&v->out->status.phase, str_empty(old) ? "Pending" : old);
}

static void restart_over(View *v)
{
    v->restarting = false;
    v->out->persist_first = true;
    const Ctr *first = v->n_init + v->n_regular ? &v->ctr[0] : NULL;
    event_add(v, false, "InPlaceRestartCompleted", NULL, "All containers are terminated, starting anew from container %s",
              first ? first->spec->name : "");
}

/* A Pod that goes on: restart it, give it a sandbox, or run it. */
static void go_on(View *v)
{
    if (v->source)
        v->restarting = true;
    if (v->restarting) {
        if (!plan_reset(v))
            return;
        if (v->sandbox_changed) { /* cleared; but not ready to start anew without a sandbox */
            plan_rebuild(v);
            return;
        }
        restart_over(v);
    }
    if (v->sandbox_changed)
        plan_rebuild(v);
    else
        plan_run(v);
}

void plan_pod(const PlanInput *in, Plan *out)
{
    *out = (Plan){.requeue_ns = NS_NONE};
    backoff_copy(&out->backoff, &in->backoff);
    View v;
    view_init(&v, in, out);
    restart_find_source(&v);
    status_convert(&v);
    status_frame(&v);
    if (v.ending) {
        plan_terminate(&v);
    } else {
        Phase p = phase_decide(&v, false);
        out->status.phase = mem_dup_str(phase_names[p]);
        if (deadline_passed(&v)) {
            event_add(&v, false, "DeadlineExceeded", NULL, "Pod was active on the node longer than the specified deadline");
            end_pod(&v, "DeadlineExceeded");
        } else if (p == PHASE_SUCCEEDED || p == PHASE_FAILED) {
            end_pod(&v, phase_names[p]);
        } else {
            go_on(&v);
        }
    }
    plan_prepare(&v);
    conditions_make(&v);
    backoff_gc(&v);
    view_done(&v);
}

bool plan_probe_enabled(const Pod *pod, const Container *c, ProbeKind kind, const ContainerFact *f)
{
    const Probe *spec = kind == PROBE_STARTUP ? c->startup_probe : kind == PROBE_LIVENESS ? c->liveness_probe : c->readiness_probe;
    if (!spec || phase_terminal(pod->status.phase))
        return false;
    /* Readiness goes on while a deleted Pod terminates; the others could only do harm. */
    if (pod->metadata.deletion_timestamp.set && kind != PROBE_READINESS)
        return false;
    if (!f || f->state != RUN_EXITED)
        return true;
    if (pod->metadata.deletion_timestamp.set)
        return false;
    FeatureGates all = {.ContainerRestartRules = true, .RestartAllContainersOnContainerExits = true};
    const PodCondition *r = plan_condition(&pod->status, COND_RESTARTING);
    return (r && str_eq(r->status, "True")) || !f->exit_known || plan_restarts(c, pod, f->exit_code, &all);
}
