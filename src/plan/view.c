/* view.c - one turn's view: each container of the spec beside its instances, status, probes and starts. */
#include "plan/plan_priv.h"

#include "base/str.h"

static const ContainerStatus *find_status(const ContainerStatusList *l, const char *name)
{
    LIST_EACH(s, l)
    {
        if (str_eq(s->name, name))
            return s;
    }
    return NULL;
}

/* A sidecar is an entry of initContainers whose policy is Always; the same words on a regular container mean nothing. */
static bool is_sidecar(const Container *c)
{
    return str_eq(c->restart_policy, "Always");
}

bool ctr_is_source(const View *v, const Ctr *c, const ContainerFact *f)
{
    if (!v->restart_all_gate || c->kind == CTR_EPHEMERAL || f->state != RUN_EXITED)
        return false;
    if (f == c->newest)
        return c->exit_known && !c->reset_killed && plan_triggers_restart_all(c->spec, c->exit_code, &v->in->gates);
    return f->exit_known && plan_triggers_restart_all(c->spec, f->exit_code, &v->in->gates);
}

/* The termination of instance <id> as an earlier turn recorded it, or NULL. */
static const ContainerStateTerminated *recorded(const ContainerStatus *old, const char *id_text)
{
    const ContainerState *at[] = {old ? old->state : NULL, old ? old->last_state : NULL};
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        if (at[i] && at[i]->terminated && str_eq(at[i]->terminated->container_id, id_text))
            return at[i]->terminated;
    return NULL;
}

/* What the exit of the newest instance was. A code that was known once stays known, should the runtime forget it. */
static void learn_exit(const View *v, Ctr *c)
{
    const ContainerFact *f = c->newest;
    c->exit_known = f->exit_known;
    c->exit_code = f->exit_code;
    SCOPED(mem_free) char *id = container_id_text(v, f->id);
    const ContainerStateTerminated *t = recorded(c->old, id);
    if (!c->exit_known && t && !str_eq(t->reason, REASON_UNKNOWN) && t->exit_code.set) {
        c->exit_known = true;
        c->exit_code = (int32_t)t->exit_code.v;
    }
    /* Ended by the restart's SIGKILL, or by itself just before it? An agent that died since has forgotten whom it
     * killed; in the middle of a restart a death by SIGKILL is ours, unless it is known to be the OOM killer's. */
    bool asked = str_eq(f->stop_reason, REASON_RESTARTING) || v->was_restarting;
    c->reset_killed = t ? str_eq(t->reason, REASON_RESTARTING)
                        : asked && (!c->exit_known || c->exit_code == EXIT_KILLED) && !str_eq(f->reason, "OOMKilled");
}

/* In a restart the newest instance may be removed before the remains of an earlier attempt are: those say nothing of the
 * container any more. */
static bool outlived(const View *v, const Ctr *c, const ContainerFact *f)
{
    if (!v->was_restarting || f->state != RUN_EXITED || !c->old || c->old->restart_count.v <= (int64_t)f->attempt)
        return false;
    SCOPED(mem_free) char *id = container_id_text(v, f->id);
    return !str_eq(c->old->container_id, id);
}

static void find_instances(const View *v, Ctr *c)
{
    LIST_EACH(f, &v->in->runtime->containers)
    {
        if (!str_eq(f->name, c->spec->name) || outlived(v, c, f))
            continue;
        if (!c->newest)
            c->newest = f;
        else if (!c->prev)
            c->prev = f;
        if (!c->live && fact_live(f))
            c->live = f;
    }
    const SandboxFact *s = v->newest_sandbox;
    if (c->newest && (!c->newest->sandbox_id || (s && str_eq(c->newest->sandbox_id, s->id))))
        c->cur = c->newest;
    if (c->newest && c->newest->state == RUN_EXITED)
        learn_exit(v, c);
}

static bool ctr_started(const View *v, const Ctr *c)
{
    const ContainerFact *f = c->cur;
    if (!f || f->state != RUN_RUNNING)
        return false;
    bool hook = c->spec->lifecycle && c->spec->lifecycle->post_start;
    if (hook && f->post_start != HOOK_DONE)
        return false;
    ProbeResult r = c->probe ? c->probe->result[PROBE_STARTUP] : PROBE_UNKNOWN;
    if (!c->spec->startup_probe || c->kind == CTR_INIT || r == PROBE_SUCCESS)
        return true;
    /* After a restart of the agent the prober knows nothing yet; what had started has not un-started (k/k#136910). */
    SCOPED(mem_free) char *id = container_id_text(v, f->id);
    return r == PROBE_UNKNOWN && c->old && c->old->started.set && c->old->started.v && str_eq(c->old->container_id, id);
}

static void add_ctr(View *v, const Container *spec, CtrKind kind, size_t index, const ContainerStatusList *old)
{
    Ctr *c = &v->ctr[v->n++];
    *c = (Ctr){.spec = spec, .kind = kind, .index = index, .old = find_status(old, spec->name)};
    find_instances(v, c);
    LIST_EACH(p, &v->in->probes)
    {
        if (str_eq(p->container, spec->name))
            c->probe = p;
    }
    LIST_EACH(s, &v->in->starts)
    {
        if (str_eq(s->container, spec->name))
            c->start = s;
    }
    LIST_EACH(s, &v->in->prepares)
    {
        if (str_eq(s->container, spec->name))
            c->prepare = s;
    }
    c->in_flight = c->start && c->start->state == START_IN_FLIGHT;
    c->started = ctr_started(v, c);
}

static bool sandbox_usable(const View *v)
{
    const SandboxFact *s = v->newest_sandbox;
    if (!s || s->state != SANDBOX_READY)
        return false;
    size_t ready = 0;
    LIST_EACH(x, &v->in->runtime->sandboxes)
    {
        ready += x->state == SANDBOX_READY;
    }
    bool host = v->pod->spec.host_network.set && v->pod->spec.host_network.v;
    return ready == 1 && s->host_network == host && (host || s->ips.n > 0);
}

void view_init(View *v, const PlanInput *in, Plan *out)
{
    const Pod *pod = in->pod;
    const PodSpec *s = &pod->spec;
    *v = (View){.in = in, .out = out, .pod = pod, .now = in->now_ns};
    v->restart_all_gate = in->gates.ContainerRestartRules && in->gates.RestartAllContainersOnContainerExits;
    v->newest_sandbox = in->runtime->sandboxes.n ? &in->runtime->sandboxes.v[0] : NULL;
    v->sandbox_changed = !sandbox_usable(v);
    v->ending = in->terminating || pod->metadata.deletion_timestamp.set || phase_terminal(pod->status.phase);
    const PodCondition *r = plan_condition(&pod->status, COND_RESTARTING);
    v->was_restarting = r && str_eq(r->status, "True");

    v->n_init = s->init_containers.n;
    v->n_regular = s->containers.n;
    v->ctr = mem_alloc_n(v->n_init + v->n_regular + s->ephemeral_containers.n, sizeof *v->ctr);
    for (size_t i = 0; i < v->n_init; i++) {
        const Container *c = &s->init_containers.v[i];
        add_ctr(v, c, is_sidecar(c) ? CTR_SIDECAR : CTR_INIT, i, &pod->status.init_container_statuses);
    }
    for (size_t i = 0; i < v->n_regular; i++)
        add_ctr(v, &s->containers.v[i], CTR_REGULAR, i, &pod->status.container_statuses);
    for (size_t i = 0; i < s->ephemeral_containers.n; i++)
        add_ctr(v, &s->ephemeral_containers.v[i], CTR_EPHEMERAL, i, &pod->status.ephemeral_container_statuses);
}

void view_done(View *v)
{
    free(v->ctr);
    *v = (View){0};
}

const Ctr *view_find(const View *v, const char *name)
{
    EACH_CTR(c, v)
    {
        if (str_eq(c->spec->name, name))
            return c;
    }
    return NULL;
}

bool view_any_live(const View *v)
{
    LIST_EACH(f, &v->in->runtime->containers)
    {
        if (fact_live(f))
            return true;
    }
    return false;
}

bool view_any_in_flight(const View *v)
{
    EACH_CTR(c, v)
    {
        if (c->in_flight)
            return true;
    }
    return false;
}

bool view_any_instance(const View *v)
{
    LIST_EACH(f, &v->in->runtime->containers)
    {
        const Ctr *c = view_find(v, f->name);
        if (!c || c->kind != CTR_EPHEMERAL)
            return true;
    }
    return false;
}

bool view_run_initialized(const View *v)
{
    EACH_REGULAR(c, v)
    {
        if (c->cur)
            return true;
    }
    return false;
}

const char *effective_policy(const View *v, const Ctr *c)
{
    if (c->kind == CTR_SIDECAR)
        return "Always";
    if (c->spec->restart_policy && v->in->gates.ContainerRestartRules)
        return c->spec->restart_policy;
    return str_or(v->pod->spec.restart_policy, "Always");
}

/* It was made from another definition, and did not end well: an agent that has died since may have stopped it for that. */
static bool was_outdated(const Ctr *c)
{
    const ContainerFact *f = c->newest;
    if (!f || !f->spec_hash || (f->exit_known && f->exit_code == 0))
        return false;
    SCOPED(mem_free) char *hash = plan_container_hash(c->spec);
    return !str_eq(f->spec_hash, hash);
}

static bool killed_for_restart(const View *v, const Ctr *c)
{
    const char *why = c->newest ? c->newest->stop_reason : NULL;
    if (str_eq(why, STOP_DEFINITION) || was_outdated(c)) /* a changed definition always restarts */
        return true;
    bool probe = str_eq(why, STOP_LIVENESS) || str_eq(why, STOP_STARTUP);
    return probe && !str_eq(effective_policy(v, c), "Never");
}

bool ctr_restarts(const View *v, const Ctr *c)
{
    if (c->kind == CTR_EPHEMERAL)
        return false;
    if (c->kind == CTR_SIDECAR || v->restarting)
        return true;
    if (c->newest && c->newest->state == RUN_EXITED) {
        if (killed_for_restart(v, c))
            return true;
        /* A code that could not be learnt matches no rule, and is no success. */
        return c->exit_known ? plan_restarts(c->spec, v->pod, c->exit_code, &v->in->gates)
                             : !str_eq(effective_policy(v, c), "Never");
    }
    if (c->newest) /* Created, Running, Unknown: the instance has not ended, or will be replaced */
        return true;
    const ContainerState *s = c->st ? c->st->state : NULL;
    if (s && s->terminated) /* its instance is gone, its end is recorded */
        return plan_restarts(c->spec, v->pod, (int32_t)s->terminated->exit_code.v, &v->in->gates);
    return true; /* no instance: it is still to be started */
}

uint32_t ctr_next_attempt(const Ctr *c)
{
    uint32_t count = c->st->restart_count.set ? (uint32_t)c->st->restart_count.v : 0;
    /* What was made but never ran (its agent died between the two) gives its number to the next: nobody restarted it. */
    if (c->newest && c->newest->state == RUN_CREATED && c->newest->started_at_ns == NS_NONE)
        return c->newest->attempt > count ? c->newest->attempt : count;
    if (c->newest)
        return (c->newest->attempt > count ? c->newest->attempt : count) + 1;
    return count + (c->st->state && c->st->state->terminated);
}

int64_t spec_grace_ns(const View *v)
{
    const OptInt *g = &v->pod->spec.termination_grace_period_seconds;
    int64_t s = g->set ? g->v : 30;
    int64_t ns = s < 0 ? NS_PER_S : s > INT32_MAX ? INT32_MAX * NS_PER_S : s * NS_PER_S; /* negative means 1: validation.go */
    return ns < GRACE_FLOOR_NS ? GRACE_FLOOR_NS : ns;
}
