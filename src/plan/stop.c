/* stop.c - stopping: one container, and a whole Pod in order (pod-restart.md 3.11). */
#include "base/str.h"
#include "plan/plan_priv.h"

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* SIGKILL. Not asked for again while it is on its way; but a kill that shows no effect is repeated. */
void kill_now(View *v, const ContainerFact *f, const char *reason)
{
    if (f->kill_at_ns != NS_NONE && v->now < ns_add(f->kill_at_ns, v->in->config.retry_ns)) {
        requeue_at(v, ns_add(f->kill_at_ns, v->in->config.retry_ns));
        return;
    }
    Action *a = act(v, ACT_KILL, f->name, f->id, reason);
    a->attempt = f->attempt;
}

/* Begins a stop with grace, with the event that the kubelet would write. */
void ctr_stop(View *v, const Ctr *c, const ContainerFact *f, const char *reason, int64_t grace_ns, const char *message)
{
    if (f->stop_since_ns != NS_NONE || f->kill_at_ns != NS_NONE)
        return;
    Action *a = act(v, ACT_KILL, f->name, f->id, reason);
    a->attempt = f->attempt;
    a->grace_ns = later(grace_ns, GRACE_FLOOR_NS);
    event_add(v, false, "Killing", c ? c->spec->name : f->name, "%s", message);
}

/* The next step of a stop that has begun. <may_signal>: whether it is this container's turn to get the signal. */
void ctr_stop_step(View *v, const Ctr *c, const ContainerFact *f, int64_t deadline, bool may_signal)
{
    const char *reason = str_or(f->stop_reason, "Stopping"); /* why is lost with the agent that knew it */
    if (f->kill_at_ns != NS_NONE || f->state == RUN_CREATED) { /* what never ran has nothing to say good-bye to */
        kill_now(v, f, reason);
        return;
    }
    bool hook = c && c->spec->lifecycle && c->spec->lifecycle->pre_stop && f->state == RUN_RUNNING;
    if (hook && f->pre_stop == HOOK_NONE && f->term_at_ns == NS_NONE && v->now < deadline)
        act(v, ACT_PRE_STOP, f->name, f->id, reason)->attempt = f->attempt;
    if (f->term_at_ns == NS_NONE) {
        bool hook_pending = hook && (f->pre_stop == HOOK_NONE || f->pre_stop == HOOK_RUNNING);
        if ((may_signal && !hook_pending) || v->now >= deadline) {
            act(v, ACT_SIGNAL, f->name, f->id, reason)->attempt = f->attempt;
            requeue_at(v, later(deadline, ns_add(v->now, GRACE_FLOOR_NS)));
        } else {
            requeue_at(v, deadline);
        }
        return;
    }
    /* Even with the grace used up, a signal is given two seconds to be heeded. */
    int64_t kill_due = later(deadline, ns_add(f->term_at_ns, GRACE_FLOOR_NS));
    if (v->now >= kill_due)
        kill_now(v, f, reason);
    else
        requeue_at(v, kill_due);
}

void cancel_starts(View *v, const char *reason)
{
    EACH_CTR(c, v)
    {
        if (c->in_flight && !c->live)
            act(v, ACT_KILL, c->spec->name, NULL, reason);
    }
}

/* A sidecar gets its signal when all regular containers and all later sidecars are gone. */
static bool turn_of(const View *v, const Ctr *c)
{
    if (!c || c->kind != CTR_SIDECAR)
        return true;
    EACH_CTR(o, v)
    {
        bool before = o->kind == CTR_REGULAR || (o->kind == CTR_SIDECAR && o->index > c->index);
        if (before && (o->live || o->in_flight))
            return false;
    }
    return true;
}

/* "The value zero indicates stop immediately via the kill signal (no opportunity to shut down)": the API's own words on
 * terminationGracePeriodSeconds. The kubelet floors it to 2 s, because the API server has forgotten such a Pod by then; here it is
 * what a second Ctrl-C asks for. */
static bool killed_at_once(const View *v)
{
    const ObjectMeta *m = &v->pod->metadata;
    return m->deletion_timestamp.set && m->deletion_grace_period_seconds.set && m->deletion_grace_period_seconds.v == 0;
}

bool stop_all(View *v, int64_t deadline, const char *reason)
{
    bool at_once = killed_at_once(v);
    bool left = view_any_in_flight(v);
    LIST_EACH(f, &v->in->runtime->containers)
    {
        if (!fact_live(f))
            continue;
        left = true;
        const Ctr *c = view_find(v, f->name);
        if (at_once) {
            kill_now(v, f, reason);
            continue;
        }
        if (f->stop_since_ns == NS_NONE && f->kill_at_ns == NS_NONE) {
            SCOPED(mem_free) char *message = mem_fmt("Stopping container %s", f->name);
            ctr_stop(v, c, f, reason, ns_sub(deadline, v->now), message);
            continue;
        }
        /* A stop that began earlier with less time keeps its own deadline. */
        int64_t own = f->stop_since_ns == NS_NONE ? deadline : ns_add(f->stop_since_ns, later(f->stop_grace_ns, GRACE_FLOOR_NS));
        ctr_stop_step(v, c, f, own < deadline ? own : deadline, turn_of(v, c));
    }
    cancel_starts(v, reason);
    return left;
}

static int64_t termination_deadline(const View *v)
{
    const PlanInput *in = v->in;
    int64_t since = in->terminating ? in->terminating_since_ns : v->now;
    int64_t grace = in->terminating ? in->terminating_grace_ns : spec_grace_ns(v);
    int64_t deadline = ns_add(since, later(grace, GRACE_FLOOR_NS));
    /* Deletion grace goes before all others, and may be shortened on the way: the timestamp is when it ends. */
    const OptTime *d = &v->pod->metadata.deletion_timestamp;
    if (!d->set)
        return deadline;
    int64_t asked = later(d->ns, ns_add(since, GRACE_FLOOR_NS));
    /* Objects carry whole seconds: a timestamp less than one second before our own deadline is our own. */
    if (!in->terminating || asked < ns_sub(deadline, NS_PER_S))
        deadline = asked;
    return deadline;
}

static bool remove_all(View *v, const char *reason)
{
    LIST_EACH(f, &v->in->runtime->containers)
    {
        act(v, ACT_REMOVE, f->name, f->id, reason)->attempt = f->attempt;
    }
    return v->in->runtime->containers.n > 0;
}

static bool remove_sandboxes(View *v, const char *reason)
{
    LIST_EACH(s, &v->in->runtime->sandboxes)
    {
        act(v, s->state == SANDBOX_READY ? ACT_STOP_SANDBOX : ACT_REMOVE_SANDBOX, NULL, s->id, reason)->attempt = s->attempt;
    }
    return v->in->runtime->sandboxes.n > 0 || v->in->sandbox.in_flight;
}

static const struct {
    const char *reason; /* PlanInput.terminating_reason */
    const char *stop;   /* ContainerFact.stop_reason of the containers */
    Phase phase;
    const char *message; /* of the status; NULL = no reason and no message are shown */
} endings[] = {
    {"", "PodDeleted", PHASE_PENDING, NULL}, /* the phase is decided by the exit codes */
    {"Failed", "PodFailed", PHASE_FAILED, NULL},
    {"Succeeded", "PodSucceeded", PHASE_SUCCEEDED, NULL},
    {"DeadlineExceeded", "DeadlineExceeded", PHASE_FAILED, "Pod was active on the node longer than the specified deadline"},
    {"Evicted", "Evicted", PHASE_FAILED, ""},
};

static void final_phase(View *v, size_t ending)
{
    PodStatus *s = &v->out->status;
    const PodStatus *old = &v->pod->status;
    Phase p = endings[ending].phase;
    if (phase_terminal(old->phase)) { /* terminal phases are never left */
        mem_set_str(&s->phase, old->phase);
        mem_set_str(&s->reason, old->reason);
        mem_set_str(&s->message, old->message);
        return;
    }
    if (p == PHASE_PENDING)
        p = phase_decide(v, true) == PHASE_SUCCEEDED ? PHASE_SUCCEEDED : PHASE_FAILED;
    mem_set_str(&s->phase, phase_names[p]);
    if (endings[ending].message) {
        mem_set_str(&s->reason, endings[ending].reason);
        mem_set_str(&s->message, *endings[ending].message ? endings[ending].message : old->message);
    }
    v->out->persist_first = true; /* what follows forgets the facts that it was decided by */
}

/* The Pod leaves this machine: containers in order, then their remains, then the sandbox. */
void plan_terminate(View *v)
{
    const PlanInput *in = v->in;
    size_t ending = 0;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        if (str_eq(endings[i].reason, str_or(in->terminating_reason, "")))
            ending = i;
    if (!in->terminating) {
        bool terminal = phase_terminal(v->pod->status.phase);
        bool deleted = v->pod->metadata.deletion_timestamp.set;
        Action *a = act(v, ACT_KILL_POD, NULL, NULL, deleted || !terminal ? "" : v->pod->status.phase);
        a->grace_ns = later(ns_sub(termination_deadline(v), v->now), 0);
    }
    /* Shown phases become terminal only when nothing runs any more (status_manager.go, mergePodStatus). */
    if (!in->terminating || stop_all(v, termination_deadline(v), endings[ending].stop)) {
        const char *old = v->pod->status.phase;
        mem_set_str(&v->out->status.phase, str_empty(old) ? "Pending" : old);
        mem_set_str(&v->out->status.reason, v->pod->status.reason);
        mem_set_str(&v->out->status.message, v->pod->status.message);
        return;
    }
    final_phase(v, ending);
    if (remove_all(v, endings[ending].stop))
        return;
    v->out->finished = !remove_sandboxes(v, endings[ending].stop);
}
