/* status.c - container statuses from what the runtime shows and what was known before (pod-restart.md 3.8).
 *
 * Where upstream overwrites the end of a container that an in-place restart removed, we keep the truth: the source and
 * whoever had ended by itself keep code, reason, message and id in lastState; only those that the restart killed show
 * 137 RestartingAllContainers (docs/decisions.md, D6). */
#include "base/str.h"
#include "plan/plan_priv.h"

char *container_id_text(const View *v, const char *id)
{
    return mem_fmt("%s://%s", str_or(v->in->config.runtime_name, "reprise"), str_or(id, ""));
}

static ContainerState *state_new(ContainerState **at)
{
    if (*at)
        api_free(&type_ContainerState, *at);
    *at = NEW(ContainerState);
    return *at;
}

static void set_waiting(ContainerState **at, const char *reason, const char *message)
{
    ContainerState *s = state_new(at);
    s->waiting = NEW(ContainerStateWaiting);
    s->waiting->reason = mem_dup_str(reason);
    s->waiting->message = mem_dup_str(message);
}

static ContainerStateTerminated *set_terminated(ContainerState **at, int32_t code, const char *reason, const char *message)
{
    ContainerState *s = state_new(at);
    s->terminated = NEW(ContainerStateTerminated);
    s->terminated->exit_code = (OptInt){true, code};
    s->terminated->reason = mem_dup_str(reason);
    s->terminated->message = mem_dup_str(message);
    return s->terminated;
}

static OptTime moment(int64_t ns)
{
    return ns == NS_NONE ? (OptTime){0} : (OptTime){true, ns};
}

void status_waiting(Ctr *c, const char *reason, const char *message)
{
    ContainerStatus *st = c->st;
    if (st->state && st->state->terminated) {
        if (st->last_state)
            api_free(&type_ContainerState, st->last_state);
        st->last_state = MOVE(st->state, NULL);
    }
    set_waiting(&st->state, reason, message);
    st->ready = (OptBool){true, false};
    st->started = (OptBool){true, false};
}

static const char *default_waiting_reason(const View *v, const Ctr *c)
{
    return c->kind != CTR_EPHEMERAL && v->n_init > 0 ? "PodInitializing" : "ContainerCreating";
}

/* A termination that an earlier turn recorded for this very instance; it does not change any more, unless it was only
 * the confession that nothing is known and the runtime knows now. */
static const ContainerStateTerminated *settled(const Ctr *c, const char *id_text, bool known_now)
{
    const ContainerState *at[] = {c->old ? c->old->state : NULL, c->old ? c->old->last_state : NULL};
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        const ContainerStateTerminated *t = at[i] ? at[i]->terminated : NULL;
        if (t && str_eq(t->container_id, id_text) && !(known_now && str_eq(t->reason, REASON_UNKNOWN)))
            return t;
    }
    return NULL;
}

static void terminated_from(const View *v, const Ctr *c, const ContainerFact *f, ContainerState **at)
{
    ContainerStateTerminated *t;
    bool newest = f == c->newest;
    bool known = newest ? c->exit_known : f->exit_known;
    int32_t code = newest ? c->exit_code : f->exit_code;
    if (newest && c->reset_killed)
        t = set_terminated(at, EXIT_KILLED, REASON_RESTARTING, MESSAGE_RESTARTING);
    else if (!known)
        t = set_terminated(at, EXIT_KILLED, REASON_UNKNOWN, "The exit code of the container could not be learnt");
    else
        t = set_terminated(at, code, str_or(f->reason, code ? "Error" : "Completed"), f->message);
    if (known && f->signal > 0)
        t->signal = (OptInt){true, f->signal};
    t->started_at = moment(f->started_at_ns);
    t->finished_at = moment(f->finished_at_ns);
    t->container_id = container_id_text(v, f->id);
}

/* lastState beside a present instance: the termination of the instance before it. */
static void last_state_of(const View *v, Ctr *c, const char *id_text)
{
    const ContainerStatus *old = c->old;
    ContainerState *keep = NULL;
    if (old && old->state && old->state->terminated && !str_eq(old->state->terminated->container_id, id_text))
        keep = old->state;
    else if (old && old->last_state && old->last_state->terminated &&
             !str_eq(old->last_state->terminated->container_id, id_text))
        keep = old->last_state;
    if (c->prev && c->prev->state == RUN_EXITED) {
        SCOPED(mem_free) char *prev_id = container_id_text(v, c->prev->id);
        if (!keep || !str_eq(keep->terminated->container_id, prev_id)) {
            terminated_from(v, c, c->prev, &c->st->last_state);
            return;
        }
    }
    if (keep)
        c->st->last_state = api_copy(&type_ContainerState, keep);
}

static void from_runtime(const View *v, Ctr *c)
{
    const ContainerFact *f = c->newest;
    ContainerStatus *st = c->st;
    st->container_id = container_id_text(v, f->id);
    mem_set_str(&st->image, str_or(f->image, c->spec->image));
    mem_set_str(&st->image_id, str_or(f->image_id, ""));
    int64_t count = f->attempt, before = c->old && c->old->restart_count.set ? c->old->restart_count.v : 0;
    st->restart_count.v = count > before ? count : before;
    last_state_of(v, c, st->container_id);
    switch (f->state) {
    case RUN_CREATED:
        set_waiting(&st->state, v->was_restarting || v->source ? REASON_RESTARTING : default_waiting_reason(v, c), NULL);
        break;
    case RUN_RUNNING: {
        ContainerState *s = state_new(&st->state);
        s->running = NEW(ContainerStateRunning);
        s->running->started_at = moment(f->started_at_ns);
        break;
    }
    case RUN_EXITED: {
        const ContainerStateTerminated *t = settled(c, st->container_id, c->exit_known);
        if (t) {
            ContainerState view = {.terminated = (ContainerStateTerminated *)(uintptr_t)t}; /* read only */
            st->state = api_copy(&type_ContainerState, &view);
        } else {
            terminated_from(v, c, f, &st->state);
        }
        break;
    }
    case RUN_UNKNOWN:
    default:
        /* No restart is counted here as upstream does: the instance is killed next, and then its end counts. */
        if (c->old && c->old->state && (c->old->state->running || c->old->state->terminated)) {
            ContainerStateTerminated *t =
                set_terminated(&st->state, EXIT_KILLED, v->restarting ? REASON_RESTARTING : REASON_UNKNOWN,
                               "The container could not be located when the pod was terminated");
            t->container_id = mem_dup_str(st->container_id);
        } else {
            set_waiting(&st->state, NULL, NULL);
        }
        break;
    }
}

/* The runtime has no instance of <c>, and an in-place restart is on: it was removed. The count goes up once, when the
 * instance that the old status names is first missed; from then on the status names none. */
static void removed_by_restart(Ctr *c)
{
    ContainerStatus *st = c->st;
    const ContainerStatus *old = c->old;
    const ContainerState *s = old ? old->state : NULL;
    bool had_instance = old && (!str_empty(old->container_id) || (s && (s->running || s->terminated)));
    if (!had_instance) {
        if (old && old->last_state)
            st->last_state = api_copy(&type_ContainerState, old->last_state);
        set_waiting(&st->state, st->last_state ? REASON_RESTARTING : "PodInitializing",
                    st->last_state ? MESSAGE_RESTARTING : NULL);
        return;
    }
    st->restart_count.v++;
    if (s && s->terminated) {
        st->last_state = api_copy(&type_ContainerState, s);
    } else if (s && s->running) {
        ContainerStateTerminated *t =
            set_terminated(&st->last_state, EXIT_KILLED, REASON_RESTARTING, MESSAGE_RESTARTING);
        t->container_id = mem_dup_str(old->container_id);
        t->started_at = s->running->started_at;
    } else if (old->last_state) { /* it had been created and never ran */
        st->last_state = api_copy(&type_ContainerState, old->last_state);
    }
    set_waiting(&st->state, REASON_RESTARTING, MESSAGE_RESTARTING);
}

static void lost(const View *v, Ctr *c)
{
    ContainerStatus *st = c->st;
    const ContainerStatus *old = c->old;
    if (old && old->last_state)
        st->last_state = api_copy(&type_ContainerState, old->last_state);
    const ContainerState *s = old ? old->state : NULL;
    if (s && s->terminated) {
        st->state = api_copy(&type_ContainerState, s);
        mem_set_str(&st->container_id, old->container_id);
        mem_set_str(&st->image_id, str_or(old->image_id, ""));
        st->ready.v = c->kind == CTR_INIT && s->terminated->exit_code.v == 0;
        return;
    }
    if (c->kind == CTR_INIT && view_run_initialized(v)) {
        set_terminated(&st->state, 0, "Completed",
                       "Unable to get init container status from container runtime and pod has been initialized, treat "
                       "it as exited normally");
        st->ready.v = true;
        return;
    }
    set_waiting(&st->state, default_waiting_reason(v, c), NULL);
    if (!s || !s->running)
        return;
    /* It ran and vanished. Upstream counts only where no lastState exists yet; a lost run is a lost run, so we always do,
     * or the next instance would take the number of the lost one. */
    ContainerStateTerminated *t =
        set_terminated(&st->last_state, EXIT_KILLED, REASON_UNKNOWN,
                       "The container could not be located when the pod was deleted.  The container used to be Running");
    t->container_id = mem_dup_str(old->container_id);
    t->started_at = s->running->started_at;
    if (!v->pod->metadata.deletion_timestamp.set)
        st->restart_count.v++;
}

static bool readiness(const Ctr *c, bool same_instance)
{
    if (!c->started)
        return false;
    if (!c->spec->readiness_probe || c->kind == CTR_EPHEMERAL)
        return true;
    ProbeResult r = c->probe ? c->probe->result[PROBE_READINESS] : PROBE_UNKNOWN;
    if (r != PROBE_UNKNOWN)
        return r == PROBE_SUCCESS;
    /* An agent that has just been started has no results yet: what was ready is not made unready by that. */
    return same_instance && c->old->ready.set && c->old->ready.v;
}

static void convert(const View *v, Ctr *c)
{
    ContainerStatus *st = c->st;
    st->name = mem_dup_str(c->spec->name);
    st->image = mem_dup_str(c->spec->image);
    st->image_id = mem_dup_str("");
    st->restart_count = (OptInt){true, c->old && c->old->restart_count.set ? c->old->restart_count.v : 0};
    st->ready = (OptBool){true, false};
    st->started = (OptBool){true, false};
    if (c->newest)
        from_runtime(v, c);
    else if ((v->was_restarting || v->source) && c->kind != CTR_EPHEMERAL)
        removed_by_restart(c);
    else
        lost(v, c);
    if (!c->newest)
        return;
    bool same = c->old && str_eq(c->old->container_id, st->container_id);
    st->started.v = c->started;
    if (st->state->running)
        st->ready.v = c->kind == CTR_INIT ? false : readiness(c, same);
    else if (c->kind == CTR_INIT && st->state->terminated)
        st->ready.v = st->state->terminated->exit_code.v == 0;
}

void status_convert(View *v)
{
    PodStatus *s = &v->out->status;
    EACH_CTR(c, v)
    {
        ContainerStatusList *l = c->kind == CTR_EPHEMERAL ? &s->ephemeral_container_statuses
                                 : c->kind == CTR_REGULAR ? &s->container_statuses
                                                          : &s->init_container_statuses;
        (void)LIST_ADD(l);
    }
    /* Only now do the elements lie still. */
    EACH_CTR(c, v)
    {
        ContainerStatusList *l = c->kind == CTR_EPHEMERAL ? &s->ephemeral_container_statuses
                                 : c->kind == CTR_REGULAR ? &s->container_statuses
                                                          : &s->init_container_statuses;
        c->st = &l->v[c->index];
        convert(v, c);
    }
}
