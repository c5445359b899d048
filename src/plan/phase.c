/* phase.c - the Pod's phase and conditions (pod-restart.md 3.9, 3.10). */
#include "base/str.h"
#include "plan/plan_priv.h"

const char *const phase_names[] = {
    [PHASE_PENDING] = "Pending",
    [PHASE_RUNNING] = "Running",
    [PHASE_SUCCEEDED] = "Succeeded",
    [PHASE_FAILED] = "Failed",
};

bool phase_terminal(const char *phase)
{
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

static const ContainerStateTerminated *last_end(const ContainerStatus *st)
{
    return st->last_state ? st->last_state->terminated : NULL;
}

typedef struct {
    bool init_failed, pending;
    size_t running, stopped, succeeded, unknown;
    bool some_restarts;
} Tally;

static void tally_init(const View *v, const Ctr *c, Tally *t)
{
    const ContainerState *s = c->st->state;
    if (c->kind == CTR_SIDECAR) {
        bool first_wait = s->waiting && !last_end(c->st);
        if (!view_run_initialized(v) && ((s->running && !c->started) || first_wait))
            t->pending = true;
        return;
    }
    const ContainerStateTerminated *end = s->terminated ? s->terminated : s->waiting ? last_end(c->st) : NULL;
    if (!end)
        t->pending = true;
    else if (end->exit_code.v != 0 && !ctr_restarts(v, c))
        t->init_failed = true;
}

static void tally_regular(const View *v, const Ctr *c, Tally *t)
{
    const ContainerState *s = c->st->state;
    if (s->running) {
        t->running++;
        return;
    }
    if (s->waiting && !last_end(c->st)) {
        t->pending = true;
        return;
    }
    t->stopped++;
    t->succeeded += s->terminated && s->terminated->exit_code.v == 0;
    if (ctr_restarts(v, c))
        t->some_restarts = true;
}

Phase phase_decide(const View *v, bool ended)
{
    Tally t = {0};
    EACH_INIT(c, v)
    {
        tally_init(v, c, &t);
    }
    EACH_REGULAR(c, v)
    {
        tally_regular(v, c, &t);
    }
    if (t.init_failed)
        return PHASE_FAILED;
    if (t.pending)
        return PHASE_PENDING;
    if (t.running)
        return PHASE_RUNNING;
    if (!t.stopped)
        return PHASE_PENDING;
    if (!ended && t.some_restarts)
        return PHASE_RUNNING;
    return t.succeeded == t.stopped ? PHASE_SUCCEEDED : PHASE_FAILED;
}

/* --- conditions ------------------------------------------------------------------------------------------------- */

static const char *const own_conditions[] = {"PodReadyToStartContainers", "Initialized",  "Ready",
                                             "ContainersReady",           "PodScheduled", COND_RESTARTING};

bool plan_owns_condition(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(own_conditions); i++)
        if (str_eq(type, own_conditions[i]))
            return true;
    return false;
}

static void condition(View *v, const char *type, bool on, const char *reason, const char *message)
{
    const PodCondition *old = plan_condition(&v->pod->status, type);
    PodCondition *c = LIST_ADD(&v->out->status.conditions);
    c->type = mem_dup_str(type);
    c->status = mem_dup_str(on ? "True" : "False");
    c->reason = mem_dup_str(reason);
    c->message = mem_dup_str(message);
    /* Upstream sets none on this one (pod-restart.md 3.9). */
    if (!str_eq(type, COND_RESTARTING))
        c->observed_generation = v->pod->metadata.generation;
    bool same = old && str_eq(old->status, c->status) && old->last_transition_time.set;
    c->last_transition_time = same ? old->last_transition_time : (OptTime){true, v->now};
}

/* "containers with unready status: [a b]", as fmt.Sprintf("%s") prints a []string. */
static void list_add_name(Str *s, const char *head, const char *name)
{
    str_add(s, s->n ? " " : head);
    str_add(s, name);
}

static bool any_regular_started(const View *v)
{
    EACH_REGULAR(c, v)
    {
        const ContainerState *s = c->st->state;
        if (s->running || s->terminated)
            return true;
    }
    return false;
}

static void condition_initialized(View *v, const char *phase)
{
    const PodCondition *old = plan_condition(&v->pod->status, "Initialized");
    bool sticky = v->restart_all_gate && plan_has_restart_all_rule(v->pod) && old && str_eq(old->status, "True");
    SCOPED(str_done) Str waiting = {0};
    EACH_INIT(c, v)
    {
        const ContainerState *s = c->st->state;
        bool done = c->kind == CTR_SIDECAR ? c->started : s->terminated && s->terminated->exit_code.v == 0;
        if (!done)
            list_add_name(&waiting, "containers with incomplete status: [", c->spec->name);
    }
    if (str_eq(phase, "Succeeded")) {
        condition(v, "Initialized", true, "PodCompleted", NULL);
    } else if (!waiting.n || sticky || any_regular_started(v)) {
        condition(v, "Initialized", true, NULL, NULL);
    } else {
        str_add_c(&waiting, ']');
        condition(v, "Initialized", false, "ContainersNotInitialized", waiting.p);
    }
}

/* What the readiness gates still lack, or "" (k8s.io/kubernetes/pkg/kubelet/status/generate.go). */
static char *gates_message(const View *v)
{
    Str s = {0};
    for (size_t i = 0; i < v->pod->spec.readiness_gates.n; i++) {
        const char *type = v->pod->spec.readiness_gates.v[i].condition_type;
        const PodCondition *c = plan_condition(&v->pod->status, type);
        if (c && str_eq(c->status, "True"))
            continue;
        if (s.n)
            str_add(&s, ", ");
        if (c)
            str_fmt(&s, "the status of pod readiness gate \"%s\" is not \"True\", but %s", type, str_or(c->status, ""));
        else
            str_fmt(&s, "corresponding condition of pod readiness gate \"%s\" does not exist.", type);
    }
    return str_take(&s);
}

static void conditions_ready(View *v, const char *phase)
{
    SCOPED(str_done) Str unready = {0};
    EACH_CTR(c, v)
    {
        bool counts = c->kind == CTR_REGULAR || c->kind == CTR_SIDECAR;
        if (counts && !c->st->ready.v)
            list_add_name(&unready, "containers with unready status: [", c->spec->name);
    }
    if (unready.n)
        str_add_c(&unready, ']');
    const char *reason = NULL, *message = NULL;
    if (phase_terminal(phase))
        reason = str_eq(phase, "Failed") ? "PodFailed" : "PodCompleted";
    else if (unready.n)
        reason = "ContainersNotReady", message = unready.p;
    SCOPED(mem_free) char *gates = gates_message(v);
    if (!reason && *gates)
        condition(v, "Ready", false, "ReadinessGatesNotReady", gates);
    else
        condition(v, "Ready", !reason, reason, message);
    condition(v, "ContainersReady", !reason, reason, message);
}

/* What the restart's condition says: who exited, with what code, by which rule. Kept as it is until it is over. */
static char *restarting_message(const View *v)
{
    const PodCondition *old = plan_condition(&v->pod->status, COND_RESTARTING);
    if (v->was_restarting && old && !str_empty(old->message))
        return mem_dup_str(old->message);
    const Ctr *c = v->source;
    if (!c)
        return mem_dup_str("container exited with restart policy rule");
    int i = plan_match_rule(c->spec, c->exit_code);
    const ContainerRestartRuleOnExitCodes *e = c->spec->restart_policy_rules.v[i].exit_codes;
    Str s = {0};
    str_fmt(&s, "container \"%s\" exited with code %d, matching restartPolicyRules[%d] (%s [", c->spec->name,
            (int)c->exit_code, i, e->operator_);
    for (size_t k = 0; k < e->values.n && k < 8; k++)
        str_fmt(&s, k ? " %lld" : "%lld", (long long)e->values.v[k]);
    if (e->values.n > 8)
        str_fmt(&s, " and %zu more", e->values.n - 8);
    str_add(&s, "])");
    return str_take(&s);
}

static void condition_restarting(View *v, const char *phase)
{
    if (!plan_has_restart_all_rule(v->pod) || !v->restart_all_gate)
        return;
    if (str_eq(phase, "Succeeded"))
        condition(v, COND_RESTARTING, false, "PodCompleted", NULL);
    else if (str_eq(phase, "Failed"))
        condition(v, COND_RESTARTING, false, "PodFailed", NULL);
    else if (!v->restarting)
        condition(v, COND_RESTARTING, false, NULL, NULL);
    else {
        SCOPED(mem_free) char *message = restarting_message(v);
        condition(v, COND_RESTARTING, true, "RestartAllContainersStarted", message);
    }
}

void conditions_make(View *v)
{
    LIST_EACH(c, &v->pod->status.conditions)
    {
        if (!plan_owns_condition(c->type))
            api_copy_into(&type_PodCondition, LIST_ADD(&v->out->status.conditions), c);
    }
    const char *phase = v->out->status.phase;
    condition(v, "PodReadyToStartContainers", !v->sandbox_changed, NULL, NULL);
    condition_initialized(v, phase);
    conditions_ready(v, phase);
    condition(v, "PodScheduled", true, NULL, NULL);
    condition_restarting(v, phase);
}
