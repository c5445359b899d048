/* restart.c - RestartAllContainers: kill and remove everything, then start anew (pod-restart.md 3.3, 3.7, 5).
 *
 * Ours differs from upstream in form, not in meaning (docs/decisions.md, D4 to D9): one SIGKILL to all in the turn that
 * sees the trigger, removal when the last has ended, and the start in the turn that sees the last one gone. What makes it safe
 * to die at any instant:
 *   - the condition is stored before the first kill, so the intent is never lost;
 *   - sources are removed last, so the trigger can be found again even where nothing was stored;
 *   - a count goes up when the instance that the stored status names is missed, so it goes up once;
 *   - the end of the restart is stored before the first start, so it is not begun again. */
#include "base/str.h"
#include "plan/plan_priv.h"

void restart_find_source(View *v)
{
    if (!v->restart_all_gate || v->ending)
        return;
    v->restarting = v->was_restarting;
    EACH_CTR(c, v)
    {
        if (c->newest && ctr_is_source(v, c, c->newest)) {
            v->source = c;
            return;
        }
    }
}

static bool same_instance(const ContainerStatus *old, const char *id)
{
    return old && str_eq(old->container_id, id);
}

/* Has this turn learnt something about a container that its removal would lose? Then the status is stored first. What
 * our own kill did to a container that the stored status names can be told again without that. */
static bool must_store(const View *v)
{
    EACH_CTR(c, v)
    {
        if (!c->newest)
            continue;
        if (!same_instance(c->old, c->st->container_id))
            return true;
        bool by_itself = c->newest->state == RUN_EXITED && !c->reset_killed;
        if (by_itself && !(c->old->state && c->old->state->terminated))
            return true;
    }
    return false;
}

/* SIGKILL to all that lives. Returns whether anything lives or starts. */
static bool kill_all(View *v)
{
    bool busy = view_any_in_flight(v);
    LIST_EACH(f, &v->in->runtime->containers)
    {
        if (!fact_live(f))
            continue;
        busy = true;
        if (f->kill_at_ns == NS_NONE)
            event_add(v, false, "Killing", f->name, "Stopping container %s", f->name);
        kill_now(v, f, REASON_RESTARTING);
    }
    cancel_starts(v, REASON_RESTARTING);
    return busy;
}

/* Asks for the removal of what has ended: the sources, or the others. Returns whether there was anything. */
static bool remove_ended(View *v, bool sources)
{
    bool any = false;
    LIST_EACH(f, &v->in->runtime->containers)
    {
        const Ctr *c = view_find(v, f->name);
        /* An ephemeral container stays ended: its remains and its status tell that it ran, so it is not started again. */
        if (fact_live(f) || (c && c->kind == CTR_EPHEMERAL) || (c && ctr_is_source(v, c, f)) != sources)
            continue;
        any = true;
        act(v, ACT_REMOVE, f->name, f->id, REASON_RESTARTING)->attempt = f->attempt;
    }
    return any;
}

bool plan_reset(View *v)
{
    if (!v->was_restarting) {
        backoff_restart_begins(v);
        v->out->persist_first = true;
        event_add(v, false, "InPlaceRestartStarted", v->source->spec->name,
                  "Restarting all containers in place: container %s exited with code %d", v->source->spec->name,
                  (int)v->source->exit_code);
    }
    if (must_store(v))
        v->out->persist_first = true;
    if (kill_all(v))
        return false;
    /* All at once, when the last has ended: what is removed one by one costs a turn each. The sources last; without waiting for the
     * others, since removals are carried out in order. */
    bool left = remove_ended(v, false);
    return !remove_ended(v, true) && !left;
}
