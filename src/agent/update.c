/* update.c - what others changed of a Pod that runs: taken over field by field, since probes, hooks and starts point into the spec. */
#include "agent/worker.h"

/* The slot of an update that nothing may be seen of half done: the image of one container. What failed or was held back for the old
 * one is over (the kubelet's keys of both back-offs have the container's hash, and with it the image, in them). */
static bool take_image(Worker *w, Container *mine, const Container *now)
{
    if (str_eq(mine->image, now->image))
        return false;
    mem_set_str(&mine->image, now->image);
    const StartFact *s = worker_start_fact(w, mine->name);
    if (s && s->state == START_FAILED)
        worker_start_fact_clear(w, mine->name);
    SCOPED(mem_free) char *pull = mem_fmt("image:%s", mine->name);
    BackoffTable *t = &w->rec.backoff;
    for (size_t i = t->n; i-- > 0;)
        if (str_eq(t->v[i].key, mine->name) || str_eq(t->v[i].key, pull)) {
            free(t->v[i].key);
            t->v[i] = t->v[--t->n];
        }
    return true;
}

static bool take_images(Worker *w, ContainerList *mine, const ContainerList *now)
{
    bool changed = false;
    LIST_EACH(m, mine)
        LIST_EACH(n, now)
            if (str_eq(m->name, n->name))
                changed = take_image(w, m, n) || changed;
    return changed;
}

static bool has_container(const ContainerList *l, const char *name)
{
    LIST_EACH(c, l)
        if (str_eq(c->name, name))
            return true;
    return false;
}

static bool take_int(OptInt *mine, const OptInt *now)
{
    bool changed = mine->set != now->set || mine->v != now->v;
    *mine = *now;
    return changed;
}

static bool take_tolerations(PodSpec *mine, const PodSpec *now)
{
    if (mine->tolerations.n == now->tolerations.n)
        return false; /* they are only added to */
    PodSpec *copy = api_copy(&type_PodSpec, now);
    __typeof__(mine->tolerations) old = mine->tolerations;
    mine->tolerations = copy->tolerations;
    copy->tolerations = old;
    api_free(&type_PodSpec, copy);
    return true;
}

static bool take_spec(Worker *w, const PodSpec *now)
{
    PodSpec *mine = &w->rec.pod->spec;
    bool changed = take_images(w, &mine->init_containers, &now->init_containers);
    changed = take_images(w, &mine->containers, &now->containers) || changed;
    changed = take_int(&mine->active_deadline_seconds, &now->active_deadline_seconds) || changed;
    changed = take_int(&mine->termination_grace_period_seconds, &now->termination_grace_period_seconds) || changed;
    LIST_EACH(c, &now->ephemeral_containers)
        if (!has_container(&mine->ephemeral_containers, c->name)) { /* nothing points at one: they have neither probes nor hooks */
            api_copy_into(&type_EphemeralContainer, LIST_ADD(&mine->ephemeral_containers), c);
            changed = true;
        }
    return take_tolerations(mine, now) || changed;
}

/* All of the metadata is the API's, but who the Pod is and when it was deleted: that comes by agent_pod_delete(). */
static bool take_metadata(ObjectMeta *mine, const ObjectMeta *now)
{
    ObjectMeta *next = api_copy(&type_ObjectMeta, now);
    char **const kept[][2] = {{&mine->uid, &next->uid}, {&mine->name, &next->name}, {&mine->namespace_, &next->namespace_}};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        mem_set_str(kept[i][1], *kept[i][0]);
    mem_set_str(&next->resource_version, mine->resource_version); /* a number that only the store knows about is no change */
    mem_set_str(&next->managed_fields, NULL);                     /* nobody reads who set what from here */
    next->creation_timestamp = mine->creation_timestamp;
    next->deletion_timestamp = mine->deletion_timestamp;
    next->deletion_grace_period_seconds = mine->deletion_grace_period_seconds;
    bool changed = !api_equal(&type_ObjectMeta, mine, next);
    if (changed) {
        for (size_t i = 0; i < ARRAY_LEN(kept); i++) { /* the very strings: the agent's index has the uid by its address */
            free(*kept[i][1]);
            *kept[i][1] = MOVE(*kept[i][0], NULL);
        }
        api_done(&type_ObjectMeta, mine);
        *mine = *next;
        free(next);
    } else {
        api_free(&type_ObjectMeta, next);
    }
    return changed;
}

/* Conditions of others, which readiness gates wait for, are what they are there; the plan carries them on. */
static bool take_conditions(Worker *w, const PodStatus *now)
{
    PodStatus *mine = &w->rec.pod->status;
    PodStatus *next = api_copy(&type_PodStatus, mine);
    size_t kept = 0;
    for (size_t i = 0; i < next->conditions.n; i++) {
        if (plan_owns_condition(next->conditions.v[i].type))
            next->conditions.v[kept++] = next->conditions.v[i];
        else
            api_done(&type_PodCondition, &next->conditions.v[i]);
    }
    next->conditions.n = kept;
    LIST_EACH(c, &now->conditions)
        if (!plan_owns_condition(c->type))
            api_copy_into(&type_PodCondition, LIST_ADD(&next->conditions), c);
    bool changed = false;
    LIST_EACH(c, &next->conditions) {
        const PodCondition *old = plan_owns_condition(c->type) ? NULL : plan_condition(mine, c->type);
        changed = changed || (!plan_owns_condition(c->type) && (!old || !api_equal(&type_PodCondition, old, c)));
    }
    changed = changed || next->conditions.n != mine->conditions.n;
    if (!changed) {
        api_free(&type_PodStatus, next);
        return false;
    }
    worker_keep_status(w, mine);
    *mine = *next;
    free(next);
    return true;
}

Err *agent_pod_update(Agent *a, const char *uid, const Pod *now)
{
    Worker *w = strindex_get(&a->by_uid, uid);
    if (!w)
        return err_new(ERR_NOT_FOUND, 0, "pod %s not found", uid);
    bool metadata = take_metadata(&w->rec.pod->metadata, &now->metadata);
    bool spec = take_spec(w, &now->spec);
    bool conditions = take_conditions(w, &now->status);
    if (!metadata && !spec && !conditions)
        return NULL;
    if (metadata || spec) {
        prepares_doubt(w);
        (void)worker_save(w, true); /* not saved: said by an event, and tried again */
        if (!worker_has_ended(w))
            worker_setup_volumes(w);
    } else {
        worker_save_soon(w);
    }
    worker_dirty(w);
    return NULL;
}
