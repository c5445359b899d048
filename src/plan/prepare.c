/* prepare.c - making the next attempt of every container while the present one runs, so that a restart only lets it go
 * (docs/decisions.md, D17). Nothing depends on it: a start that finds nothing prepared is a plain one. */
#include "base/str.h"
#include "plan/plan_priv.h"

/* A mount that a container makes for others is not in what was made before it. */
static bool mounts_for_others(const ContainerList *l)
{
    LIST_EACH(c, l)
    {
        LIST_EACH(m, &c->volume_mounts)
        {
            if (str_eq(m->mount_propagation, "Bidirectional"))
                return true;
        }
    }
    return false;
}

/* What of this is on the disk may be changed by its owner at any time. */
static bool local_profile(const ContainerList *l)
{
    LIST_EACH(c, l)
    {
        const SecurityContext *s = c->security_context;
        const SeccompProfile *const p[] = {s ? s->seccomp_profile : NULL, s ? s->app_armor_profile : NULL};
        for (size_t i = 0; i < ARRAY_LEN(p); i++)
            if (p[i] && str_eq(p[i]->type, "Localhost"))
                return true;
    }
    return false;
}

static bool pod_local_profile(const PodSecurityContext *s)
{
    return s && ((s->seccomp_profile && str_eq(s->seccomp_profile->type, "Localhost")) ||
                 (s->app_armor_profile && str_eq(s->app_armor_profile->type, "Localhost")));
}

PrepareMode plan_prepare_mode(const Pod *pod, PrepareMode configured)
{
    const PodSpec *s = &pod->spec;
    const char *wish = strmap_get(&pod->metadata.annotations, PREPARE_ANNOTATION);
    PrepareMode mode = configured;
    for (int m = PREPARE_OFF; wish && m < (int)configured; m++)
        if (str_eq(wish, prepare_mode_names[m]))
            mode = (PrepareMode)m;
    /* Others in its process namespace would see the process that waits, and could harm it. */
    bool seen = s->host_pid.v || s->share_process_namespace.v;
    bool unsafe = mounts_for_others(&s->init_containers) || mounts_for_others(&s->containers) || local_profile(&s->init_containers) ||
                  local_profile(&s->containers) || pod_local_profile(s->security_context);
    return seen || unsafe || !plan_has_restart_all_rule(pod) ? PREPARE_OFF : mode;
}

/* Everything has had its start in this run of the Pod: from now on, the next run is what there is to prepare. */
static bool run_is_under_way(const View *v)
{
    if (v->ending || v->restarting || v->was_restarting || v->sandbox_changed || view_any_in_flight(v))
        return false;
    EACH_REGULAR(c, v)
    {
        if (!c->cur || c->cur->state == RUN_CREATED)
            return false;
    }
    return true;
}

/* The standby that <c> would take at its next start. */
static const StandbyFact *find_standby(const View *v, const Ctr *c)
{
    LIST_EACH(s, &v->in->runtime->standbys)
    {
        if (str_eq(s->name, c->spec->name) && s->attempt == ctr_next_attempt(c) && v->newest_sandbox &&
            str_eq(s->sandbox_id, v->newest_sandbox->id))
            return s;
    }
    return NULL;
}

static void discard_useless(View *v, bool all)
{
    LIST_EACH(s, &v->in->runtime->standbys)
    {
        const Ctr *c = view_find(v, s->name);
        if (c && c->in_flight) /* it may be the one that is being let go */
            continue;
        if (all || !c || find_standby(v, c) != s)
            act(v, ACT_DISCARD, s->name, s->id, all ? "NotWanted" : "Superseded")->attempt = s->attempt;
    }
}

static void prepare_one(View *v, const Ctr *c)
{
    if (find_standby(v, c) || (c->prepare && c->prepare->state == START_IN_FLIGHT))
        return;
    if (c->prepare && c->prepare->state == START_FAILED) {
        int64_t until = ns_add(c->prepare->at_ns, v->in->config.retry_ns);
        if (v->now < until) {
            requeue_at(v, until);
            return;
        }
    }
    act(v, ACT_PREPARE, c->spec->name, NULL, "NextRun")->attempt = ctr_next_attempt(c);
}

void plan_prepare(View *v)
{
    bool off = plan_prepare_mode(v->pod, v->in->config.prepare) == PREPARE_OFF;
    discard_useless(v, off || v->ending);
    if (off || !run_is_under_way(v))
        return;
    EACH_CTR(c, v)
    {
        if (c->kind != CTR_EPHEMERAL)
            prepare_one(v, c);
    }
}
