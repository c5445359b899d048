/* restarts.c - each in-place restart of a Pod, written to the store's own table when it has begun and when it is done: which container
 * asked for it, with what code, by which rule. The store keeps the last of each Pod (OBJSTORE_RESTARTS). */
#include "api/codec.h"
#include "daemon/daemon_priv.h"

typedef struct {
    const Container *container;
    int64_t code;
} Source;

/* The container whose exit restarts all: it has ended, and one of its rules says so. */
static Source source_in(const Daemon *d, const ContainerList *specs, const ContainerStatusList *statuses)
{
    LIST_EACH(s, statuses) {
        const ContainerStateTerminated *t = s->state ? s->state->terminated : NULL;
        LIST_EACH(c, specs)
            if (t && str_eq(c->name, s->name) && plan_triggers_restart_all(c, (int32_t)t->exit_code.v, &d->c.gates))
                return (Source){c, t->exit_code.v};
    }
    return (Source){NULL, OBJ_CODE_UNKNOWN};
}

static Source source_of(const Daemon *d, const Pod *p)
{
    Source s = source_in(d, &p->spec.containers, &p->status.container_statuses);
    return s.container ? s : source_in(d, &p->spec.init_containers, &p->status.init_container_statuses);
}

void restarts_note(Daemon *d, Tracked *t, const Pod *p, int64_t now_ns)
{
    const PodCondition *c = plan_condition(&p->status, "AllContainersRestarting");
    bool is = c && str_eq(c->status, "True");
    if (is == t->restarting)
        return;
    t->restarting = is;
    if (!is && (!t->restart_container || p->metadata.deletion_timestamp.set || str_eq(p->status.phase, "Failed")))
        return; /* it was not done: the Pod ended in the middle */
    if (is) {
        Source s = source_of(d, p);
        mem_set_str(&t->restart_container, s.container ? s.container->name : "");
        free(t->restart_rule);
        t->restart_rule = s.container ? mem_fmt("restartPolicyRules[%d]", plan_match_rule(s.container, (int32_t)s.code)) : mem_dup_str("");
        t->restart_code = s.code;
        t->restart_begun_ns = now_ns;
        t->restarts++;
    }
    ObjRestart r = {
        .attempt = t->restarts,
        .container = t->restart_container,
        .rule = t->restart_rule,
        .code = t->restart_code,
        .begun_ns = t->restart_begun_ns,
        .done_ns = is ? NS_NONE : now_ns,
    };
    err_free(objstore_restart_put(d->store, t->uid, &r, false)); /* for looking at: nothing depends on it */
}

/* One that was under way when the last daemon died goes on under its number. */
void restarts_adopt(Daemon *d, Tracked *t, const Pod *p)
{
    SCOPED(objrestarts_done) ObjRestarts l = {0};
    const PodCondition *c = plan_condition(&p->status, "AllContainersRestarting");
    t->restarts = agent_pod_restarts(d->agent, t->uid);
    SCOPED(err_free) Err *e = objstore_restarts(d->store, t->uid, &l);
    if (e || !l.n || !c || !str_eq(c->status, "True"))
        return;
    const ObjRestart *last = &l.v[l.n - 1];
    if (last->done_ns != NS_NONE)
        return;
    t->restarting = true;
    t->restarts = last->attempt;
    t->restart_container = mem_dup_str(last->container);
    t->restart_rule = mem_dup_str(last->rule);
    t->restart_code = last->code;
    t->restart_begun_ns = last->begun_ns;
}
