/* sim.c - the machine of sim.h. Facts in, plan, act on the facts, again; when a turn changes nothing, time moves on. */
#include "plan/sim.h"

#include "base/str.h"
#include "plan/probe.h"

#define EXIT_TERM 143 /* 128 + SIGTERM */

const char *const sim_event_names[SIM_EVENT_N] = {
    [SIM_STARTED] = "started", [SIM_EXITED] = "exited",       [SIM_KILLED] = "killed", [SIM_REMOVED] = "removed",
    [SIM_PHASE] = "phase",     [SIM_CONDITION] = "condition", [SIM_PROBE] = "probe",   [SIM_BACKOFF] = "backoff",
};

/* Of one container of the spec. */
typedef struct {
    const Container *spec;
    bool init;
    const SimScript *script; /* or NULL */
    size_t n_started;
    int64_t exit_at_ns;      /* of the attempt that runs; NS_NONE = runs on */
    int32_t exit_code;
    ProbeWorker probe[PROBE_KIND_N];
} SimCtr;

typedef struct {
    const SimConfig *c;
    Pod *pod;
    PodFacts facts;
    PlanInput in;
    LIST_OF(SimCtr) ctrs;
    uint32_t next_id;
    bool changed; /* this turn did something: plan again before time moves on */
} Sim;

/* --- scripts ----------------------------------------------------------------------------------------------------- */

void sim_scripts_done(SimScripts *s)
{
    LIST_EACH(i, s)
    {
        free(i->container);
        free(i->exits.v);
    }
    free(s->v);
    *s = (SimScripts){0};
}

static bool find_container(const Pod *pod, const char *name, Str *names)
{
    const ContainerList *lists[] = {&pod->spec.init_containers, &pod->spec.containers, &pod->spec.ephemeral_containers};
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
        {
            found = found || str_eq(c->name, name);
            str_fmt(names, "%s%s", names->n ? ", " : "", c->name);
        }
    return found;
}

static SimScript *script_for(SimScripts *s, const char *name)
{
    LIST_EACH(i, s)
    {
        if (str_eq(i->container, name))
            return i;
    }
    SimScript *n = LIST_ADD(s);
    n->container = mem_dup_str(name);
    return n;
}

static Err *parse_exit(const char *text, const char *pair, SimExit *ret)
{
    *ret = (SimExit){.after_ns = NS_PER_S};
    const char *at = strchr(pair, '@');
    SCOPED(mem_free) char *code = at ? mem_dup_strn(pair, (size_t)(at - pair)) : mem_dup_str(pair);
    int64_t n = 0;
    if (str_eq(code, "running"))
        ret->runs_on = true;
    else if (!str_to_i64(code, &n) || n < 0 || n > 255)
        return err_new(ERR_INVALID, 0, "--exit %s: \"%s\" must be an exit code from 0 to 255, or running", text, code);
    ret->code = (int32_t)n;
    if (at && (!duration_parse(at + 1, &ret->after_ns) || ret->after_ns < 0))
        return err_new(ERR_INVALID, 0, "--exit %s: \"%s\" must be a duration such as 1.5s or 2m", text, at + 1);
    return NULL;
}

Err *sim_script_add(SimScripts *s, const Pod *pod, const char *text)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text || !eq[1])
        return err_new(ERR_INVALID, 0, "--exit %s: must be NAME=CODE[@DURATION][,CODE[@DURATION]...]", text);
    SCOPED(mem_free) char *name = mem_dup_strn(text, (size_t)(eq - text));
    SCOPED(str_done) Str names = {0};
    if (!find_container(pod, name, &names))
        return err_new(ERR_INVALID, 0, "--exit %s: pod %s has no container \"%s\"; it has %s", text,
                       str_or(pod->metadata.name, ""), name, str_or(names.p, "none"));
    SimScript *script = script_for(s, name);
    for (const char *p = eq + 1; p; ) {
        const char *comma = strchr(p, ',');
        SCOPED(mem_free) char *pair = comma ? mem_dup_strn(p, (size_t)(comma - p)) : mem_dup_str(p);
        SimExit e;
        Err *err = parse_exit(text, pair, &e);
        if (err)
            return err;
        *LIST_ADD(&script->exits) = e;
        p = comma ? comma + 1 : NULL;
    }
    return NULL;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

static void tell(const Sim *s, SimEvent e)
{
    e.t_ns = s->in.now_ns;
    if (s->c->event)
        s->c->event(s->c->arg, &e);
}

static void tell_conditions(const Sim *s, const PodStatus *before, const PodStatus *after)
{
    LIST_EACH(c, &after->conditions)
    {
        const PodCondition *old = plan_condition(before, c->type);
        if (!old || !str_eq(old->status, c->status))
            tell(s, (SimEvent){.kind = SIM_CONDITION, .type = c->type, .status = c->status, .reason = c->reason,
                               .message = c->message});
    }
}

static bool waits_for(const ContainerStatus *s, const char *reason)
{
    return s->state && s->state->waiting && str_eq(s->state->waiting->reason, reason);
}

static const ContainerStatus *same_name(const ContainerStatusList *l, const char *name)
{
    LIST_EACH(s, l)
    {
        if (str_eq(s->name, name))
            return s;
    }
    return NULL;
}

static void tell_backoff(const Sim *s, const ContainerStatusList *before, const ContainerStatusList *after, const Plan *p)
{
    LIST_EACH(c, after)
    {
        const ContainerStatus *old = same_name(before, c->name);
        if (waits_for(c, "CrashLoopBackOff") && !(old && waits_for(old, "CrashLoopBackOff")))
            tell(s, (SimEvent){.kind = SIM_BACKOFF, .container = c->name, .attempt = (uint32_t)c->restart_count.v,
                               .reason = "CrashLoopBackOff", .message = c->state->waiting->message,
                               .delay_ns = p->requeue_ns == NS_NONE ? 0 : p->requeue_ns - s->in.now_ns});
    }
}

static void store_status(Sim *s, Plan *p)
{
    PodStatus *now = &s->pod->status;
    if (!str_eq(now->phase, p->status.phase))
        tell(s, (SimEvent){.kind = SIM_PHASE, .phase = p->status.phase, .reason = p->status.reason,
                           .message = p->status.message});
    tell_conditions(s, now, &p->status);
    tell_backoff(s, &now->init_container_statuses, &p->status.init_container_statuses, p);
    tell_backoff(s, &now->container_statuses, &p->status.container_statuses, p);
    api_done(&type_PodStatus, now);
    *now = MOVE(p->status, (PodStatus){0});
    backoff_done(&s->in.backoff);
    s->in.backoff = MOVE(p->backoff, (BackoffTable){0});
}

/* --- acting ------------------------------------------------------------------------------------------------------- */

static SimCtr *sim_ctr(Sim *s, const char *name)
{
    LIST_EACH(c, &s->ctrs)
    {
        if (str_eq(c->spec->name, name))
            return c;
    }
    return NULL;
}

static ContainerFact *instance(Sim *s, const char *id)
{
    LIST_EACH(f, &s->facts.containers)
    {
        if (str_eq(f->id, id))
            return f;
    }
    return NULL;
}

static char *new_id(Sim *s)
{
    return mem_fmt("%064x", ++s->next_id);
}

static void schedule_exit(const Sim *s, SimCtr *c)
{
    size_t k = c->n_started++;
    SimExit e = {.runs_on = !c->init, .code = 0, .after_ns = NS_PER_S};
    if (c->script && k < c->script->exits.n)
        e = c->script->exits.v[k];
    c->exit_code = e.code;
    if (e.runs_on || __builtin_add_overflow(s->in.now_ns, e.after_ns, &c->exit_at_ns))
        c->exit_at_ns = NS_NONE;
}

static void start(Sim *s, const Action *a)
{
    SimCtr *c = sim_ctr(s, a->container);
    (void)LIST_ADD(&s->facts.containers);
    memmove(&s->facts.containers.v[1], &s->facts.containers.v[0],
            (s->facts.containers.n - 1) * sizeof *s->facts.containers.v);
    s->facts.containers.v[0] = (ContainerFact){
        .id = new_id(s),
        .name = mem_dup_str(a->container),
        .sandbox_id = mem_dup_str(s->facts.sandboxes.n ? s->facts.sandboxes.v[0].id : NULL),
        .attempt = a->attempt,
        .state = RUN_RUNNING,
        .created_at_ns = s->in.now_ns,
        .started_at_ns = s->in.now_ns,
        .finished_at_ns = NS_NONE,
        .image = mem_dup_str(c->spec->image),
        .post_start = HOOK_DONE,
        .stop_since_ns = NS_NONE,
        .term_at_ns = NS_NONE,
        .kill_at_ns = NS_NONE,
    };
    schedule_exit(s, c);
    tell(s, (SimEvent){.kind = SIM_STARTED, .container = a->container, .attempt = a->attempt});
}

static void end(Sim *s, ContainerFact *f, int32_t code, const char *signal, const char *reason)
{
    f->state = RUN_EXITED;
    f->exit_known = true;
    f->exit_code = code;
    f->signal = code == 137 && signal ? 9 : code == EXIT_TERM && signal ? 15 : 0;
    f->finished_at_ns = s->in.now_ns;
    mem_set_str(&f->reason, code ? "Error" : "Completed");
    sim_ctr(s, f->name)->exit_at_ns = NS_NONE;
    tell(s, (SimEvent){.kind = signal ? SIM_KILLED : SIM_EXITED, .container = f->name, .attempt = f->attempt,
                       .exit_code = code, .signal = signal, .reason = signal ? reason : f->reason});
    s->changed = true;
}

static void kill_one(Sim *s, const Action *a, ContainerFact *f)
{
    if (!f->stop_reason)
        f->stop_reason = mem_dup_str(a->reason);
    if (a->grace_ns == 0) {
        f->kill_at_ns = s->in.now_ns;
        end(s, f, 137, "SIGKILL", a->reason);
        return;
    }
    f->stop_since_ns = s->in.now_ns;
    f->stop_grace_ns = a->grace_ns;
}

static void remove_one(Sim *s, ContainerFact *f)
{
    tell(s, (SimEvent){.kind = SIM_REMOVED, .container = f->name, .attempt = f->attempt});
    container_fact_done(f);
    ContainerFact *last = &s->facts.containers.v[--s->facts.containers.n];
    memmove(f, f + 1, (size_t)(last - f) * sizeof *f);
}

static void add_sandbox(Sim *s, uint32_t attempt)
{
    SandboxFact *b = LIST_ADD(&s->facts.sandboxes);
    *b = (SandboxFact){.id = new_id(s), .attempt = attempt, .state = SANDBOX_READY, .created_at_ns = s->in.now_ns};
    b->host_network = s->pod->spec.host_network.set && s->pod->spec.host_network.v;
    if (!b->host_network)
        *LIST_ADD(&b->ips) = mem_dup_str("10.88.0.2");
}

static void drop_sandboxes(Sim *s, bool remove)
{
    LIST_EACH(b, &s->facts.sandboxes)
    {
        b->state = SANDBOX_NOT_READY;
    }
    if (!remove)
        return;
    PodFacts gone = {.sandboxes = {s->facts.sandboxes.n, s->facts.sandboxes.v}};
    pod_facts_done(&gone);
    s->facts.sandboxes.n = 0;
    s->facts.sandboxes.v = NULL;
}

static void end_pod(Sim *s, const Action *a)
{
    PlanInput *in = &s->in;
    if (in->terminating)
        return;
    in->terminating = true;
    in->terminating_since_ns = in->now_ns;
    in->terminating_grace_ns = a->grace_ns;
    mem_set_str(&in->terminating_reason, str_or(a->reason, ""));
}

static void apply(Sim *s, const Action *a)
{
    ContainerFact *f = a->id ? instance(s, a->id) : NULL;
    s->changed = s->changed || a->kind != ACT_WAIT;
    switch (a->kind) {
    case ACT_CREATE_SANDBOX:
        add_sandbox(s, a->attempt);
        break;
    case ACT_START:
        start(s, a);
        break;
    case ACT_KILL:
        if (f)
            kill_one(s, a, f);
        break;
    case ACT_PRE_STOP:
        if (f)
            f->pre_stop = HOOK_DONE;
        break;
    case ACT_SIGNAL:
        if (f) {
            f->term_at_ns = s->in.now_ns;
            end(s, f, EXIT_TERM, "SIGTERM", a->reason);
        }
        break;
    case ACT_REMOVE:
        if (f)
            remove_one(s, f);
        break;
    case ACT_KILL_POD:
        end_pod(s, a);
        break;
    case ACT_STOP_SANDBOX:
        drop_sandboxes(s, false);
        break;
    case ACT_REMOVE_SANDBOX:
        drop_sandboxes(s, true);
        break;
    case ACT_PREPARE: /* never with the simulation's configuration */
    case ACT_DISCARD:
    case ACT_WAIT:
    case ACT_N:
    default:
        break;
    }
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void sooner(int64_t *t, int64_t candidate)
{
    if (candidate != NS_NONE && (*t == NS_NONE || candidate < *t))
        *t = candidate;
}

static void exits_due(Sim *s, int64_t *next)
{
    LIST_EACH(c, &s->ctrs)
    {
        if (c->exit_at_ns == NS_NONE)
            continue;
        if (c->exit_at_ns > s->in.now_ns) {
            sooner(next, c->exit_at_ns);
            continue;
        }
        LIST_EACH(f, &s->facts.containers)
        {
            if (f->state == RUN_RUNNING && str_eq(f->name, c->spec->name)) {
                end(s, f, c->exit_code, NULL, NULL);
                break;
            }
        }
        c->exit_at_ns = NS_NONE;
    }
}

static bool status_started(const Sim *s, const SimCtr *c)
{
    const PodStatus *st = &s->pod->status;
    const ContainerStatus *cs = same_name(c->init ? &st->init_container_statuses : &st->container_statuses, c->spec->name);
    if (!cs)
        cs = same_name(&st->init_container_statuses, c->spec->name);
    return cs && cs->started.set && cs->started.v;
}

static ProbeFact *probe_fact(Sim *s, const char *name)
{
    LIST_EACH(p, &s->in.probes)
    {
        if (str_eq(p->container, name))
            return p;
    }
    ProbeFact *p = LIST_ADD(&s->in.probes);
    p->container = mem_dup_str(name);
    return p;
}

static void probe_one(Sim *s, SimCtr *c, ProbeKind kind, const Probe *spec, int64_t *next)
{
    static const char *const names[PROBE_KIND_N] = {"startup", "liveness", "readiness"};
    ProbeWorker *w = &c->probe[kind];
    const ContainerFact *f = pod_facts_newest(&s->facts, c->spec->name);
    ProbeFact *fact = probe_fact(s, c->spec->name);
    bool same = f && str_eq(w->container_id, f->id);
    int64_t at = NS_NONE;
    /* A probe that has succeeded goes on succeeding: no need to let time stop at each of its attempts. */
    bool settled = same && f->state == RUN_RUNNING && w->result == PROBE_SUCCESS;
    if (!settled && probe_worker_step(w, spec, f, status_started(s, c), s->in.terminating, s->in.now_ns, &at) == PROBE_RUN &&
        probe_worker_outcome(w, spec, true, "", s->in.now_ns)) {
        tell(s, (SimEvent){.kind = SIM_PROBE, .container = c->spec->name, .attempt = f ? f->attempt : 0, .type = names[kind],
                           .status = "Success"});
        s->changed = true;
    } else if (!settled && w->next_ns != NS_NONE && w->next_ns > s->in.now_ns) {
        sooner(next, w->next_ns); /* successThreshold asks for more */
    }
    sooner(next, at);
    fact->result[kind] = f && str_eq(w->container_id, f->id) ? w->result : PROBE_UNKNOWN;
}

static void probes(Sim *s, int64_t *next)
{
    LIST_EACH(c, &s->ctrs)
    {
        if (c->init)
            continue;
        const Probe *spec[PROBE_KIND_N] = {c->spec->startup_probe, c->spec->liveness_probe, c->spec->readiness_probe};
        for (int k = 0; k < PROBE_KIND_N; k++)
            if (spec[k])
                probe_one(s, c, (ProbeKind)k, spec[k], next);
    }
}

/* --- run ---------------------------------------------------------------------------------------------------------- */

static void add_ctrs(Sim *s, const ContainerList *l, bool init_list)
{
    LIST_EACH(spec, l)
    {
        SimCtr *c = LIST_ADD(&s->ctrs);
        c->spec = spec;
        c->init = init_list && !str_eq(spec->restart_policy, "Always");
        c->exit_at_ns = NS_NONE;
        LIST_EACH(i, s->c->scripts)
        {
            if (str_eq(i->container, spec->name))
                c->script = i;
        }
        for (int k = 0; k < PROBE_KIND_N; k++)
            probe_worker_init(&c->probe[k], (ProbeKind)k);
    }
}

static void sim_init(Sim *s, const SimConfig *c)
{
    *s = (Sim){.c = c, .pod = api_copy(&type_Pod, c->pod)};
    s->in = (PlanInput){.gates = c->gates, .config = c->config, .pod = s->pod, .runtime = &s->facts};
    *LIST_ADD(&s->in.host_ips) = mem_dup_str("10.88.0.1");
    add_ctrs(s, &s->pod->spec.init_containers, true);
    add_ctrs(s, &s->pod->spec.containers, false);
    add_ctrs(s, &s->pod->spec.ephemeral_containers, false);
}

static void sim_done(Sim *s)
{
    LIST_EACH(c, &s->ctrs)
    {
        for (int k = 0; k < PROBE_KIND_N; k++)
            probe_worker_done(&c->probe[k]);
    }
    free(s->ctrs.v);
    pod_facts_done(&s->facts);
    plan_input_done(&s->in);
}

/* One turn. *next: when something happens next, NS_NONE = never. Returns whether the Pod is finished. */
static bool turn(Sim *s, int64_t *next)
{
    s->changed = false;
    *next = NS_NONE;
    exits_due(s, next);
    SCOPED(plan_done) Plan p;
    plan_pod(&s->in, &p);
    store_status(s, &p);
    LIST_EACH(a, &p.actions)
    {
        apply(s, a);
    }
    sooner(next, p.requeue_ns);
    probes(s, next); /* last: whether a container has started is in the status that was just made */
    return p.finished;
}

SimOutcome sim_run(const SimConfig *c, Pod **ret_pod, int64_t *ret_t_ns)
{
    Sim s;
    sim_init(&s, c);
    SimOutcome out = SIM_QUIET;
    for (int turns = 0;;) {
        int64_t next;
        if (turn(&s, &next)) {
            out = SIM_FINISHED;
            break;
        }
        if (s.changed) {
            if (++turns > SIM_TURNS_MAX) {
                out = SIM_STUCK;
                break;
            }
            continue;
        }
        turns = 0;
        if (next == NS_NONE)
            break;
        if (next > c->until_ns) {
            s.in.now_ns = c->until_ns;
            out = SIM_UNTIL;
            break;
        }
        s.in.now_ns = next;
    }
    *ret_pod = MOVE(s.pod, NULL);
    *ret_t_ns = s.in.now_ns;
    sim_done(&s);
    return out;
}
