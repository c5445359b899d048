/* out.c - the pieces of a plan and their clean-up. */
#include <stdarg.h>

#include "base/str.h"
#include "plan/plan_priv.h"

const char *const action_names[ACT_N] = {
    [ACT_WAIT] = "wait",
    [ACT_CREATE_SANDBOX] = "createSandbox",
    [ACT_START] = "start",
    [ACT_KILL] = "kill",
    [ACT_PRE_STOP] = "preStop",
    [ACT_SIGNAL] = "signal",
    [ACT_REMOVE] = "remove",
    [ACT_PREPARE] = "prepare",
    [ACT_DISCARD] = "discard",
    [ACT_KILL_POD] = "killPod",
    [ACT_STOP_SANDBOX] = "stopSandbox",
    [ACT_REMOVE_SANDBOX] = "removeSandbox",
};

void plan_config_default(PlanConfig *c)
{
    *c = (PlanConfig){
        .backoff_initial_ns = 10 * NS_PER_S,
        .backoff_max_ns = 300 * NS_PER_S,
        .backoff_reset_ns = 600 * NS_PER_S,
        .restart_all_backoff = true,
        .restart_all_initial_ns = 10 * NS_PER_S,
        .restart_all_max_ns = 300 * NS_PER_S,
        .retry_ns = 10 * NS_PER_S,
        .runtime_name = "reprise",
    };
}

Action *act(View *v, ActionKind kind, const char *container, const char *id, const char *reason)
{
    Action *a = LIST_ADD(&v->out->actions);
    a->kind = kind;
    a->container = mem_dup_str(container);
    a->id = mem_dup_str(id);
    a->reason = mem_dup_str(reason);
    return a;
}

void event_add(View *v, bool warning, const char *reason, const char *container, const char *fmt, ...)
{
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    PlanEvent *e = LIST_ADD(&v->out->events);
    e->warning = warning;
    e->reason = mem_dup_str(reason);
    e->container = mem_dup_str(container);
    e->message = str_take(&s);
}

void requeue_at(View *v, int64_t ns)
{
    if (ns <= v->now)
        ns = ns_add(v->now, 1); /* never "at once": what can be done now is in this plan */
    if (v->out->requeue_ns == NS_NONE || ns < v->out->requeue_ns)
        v->out->requeue_ns = ns;
}

void plan_done(Plan *p)
{
    LIST_EACH(a, &p->actions)
    {
        free(a->container);
        free(a->id);
        free(a->reason);
    }
    free(p->actions.v);
    LIST_EACH(e, &p->events)
    {
        free(e->reason);
        free(e->message);
        free(e->container);
    }
    free(p->events.v);
    api_done(&type_PodStatus, &p->status);
    backoff_done(&p->backoff);
    *p = (Plan){.requeue_ns = NS_NONE};
}

void start_fact_done(StartFact *s)
{
    free(s->container);
    free(s->reason);
    free(s->message);
    *s = (StartFact){0};
}

void start_fact_copy(StartFact *dst, const StartFact *src)
{
    *dst = *src;
    dst->container = mem_dup_str(src->container);
    dst->reason = mem_dup_str(src->reason);
    dst->message = mem_dup_str(src->message);
}

void plan_input_done(PlanInput *in)
{
    LIST_EACH(p, &in->probes)
    {
        free(p->container);
        for (int k = 0; k < PROBE_KIND_N; k++)
            free(p->message[k]);
    }
    free(in->probes.v);
    LIST_EACH(s, &in->starts)
    {
        start_fact_done(s);
    }
    free(in->starts.v);
    LIST_EACH(s, &in->prepares)
    {
        start_fact_done(s);
    }
    free(in->prepares.v);
    backoff_done(&in->backoff);
    free(in->sandbox.message);
    free(in->volumes.message);
    free(in->terminating_reason);
    LIST_EACH(ip, &in->host_ips)
    {
        free(*ip);
    }
    free(in->host_ips.v);
    *in = (PlanInput){0};
}
