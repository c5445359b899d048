/* prepare.c - making standbys, in the background: a few at a time, within a bound of memory, and only while nobody waits for a
 * start. What fails here is never an error of the Pod's: its next start is a plain one, and that says what is wrong. */
#include "agent/making.h"
#include "node/config_key.h"
#include "os/fault.h"
#include "os/fs.h"

/* While something is being started or restarted on this machine, preparing would only slow it down; but it must not starve. */
#define HOLD_MAX_MS 100
/* What was found to fit a moment ago, still does. */
#define CHECK_HOLDS_NS (20 * NS_PER_MS)

typedef struct {
    Worker *w;
    char *container, *sandbox_id;
    uint32_t attempt;
} PrepareOp;

static StartFact *prepare_fact(Worker *w, const char *container)
{
    LIST_EACH(s, &w->prepares)
        if (str_eq(s->container, container))
            return s;
    return NULL;
}

bool worker_preparing(Worker *w, const char *container)
{
    const StartFact *s = prepare_fact(w, container);
    return s && s->state == START_IN_FLIGHT;
}

static void fact_set(Worker *w, const char *container, StartState state)
{
    StartFact *s = prepare_fact(w, container);
    if (!s) {
        s = LIST_ADD(&w->prepares);
        s->container = mem_dup_str(container);
    }
    s->state = state;
    s->at_ns = worker_now();
}

static void fact_clear(Worker *w, const char *container)
{
    StartFact *s = prepare_fact(w, container);
    if (!s)
        return;
    start_fact_done(s);
    *s = w->prepares.v[--w->prepares.n];
}

/* --- room ------------------------------------------------------------------------------------------------------------ */

static void on_hold_over(uv_timer_t *t)
{
    Agent *a = t->data;
    a->prepare_now = true;
    agent_prepare_more(a);
}

void agent_prepare_more(Agent *a)
{
    if (!a->prepare_queue.n)
        return;
    if (a->starting && !a->prepare_now) {
        if (!uv_is_active((uv_handle_t *)&a->prepare_timer)) {
            uv_update_time(a->cfg.loop);
            (void)uv_timer_start(&a->prepare_timer, on_hold_over, HOLD_MAX_MS, 0);
        }
        return;
    }
    (void)uv_timer_stop(&a->prepare_timer);
    /* Those that are woken plan again, and come back here with what there is no room for. */
    for (unsigned n = a->preparing; n < a->prepare_max && a->prepare_queue.n; n++) {
        Worker *w = a->prepare_queue.v[0];
        memmove(a->prepare_queue.v, a->prepare_queue.v + 1, --a->prepare_queue.n * sizeof w);
        w->waits_to_prepare = false;
        worker_dirty(w);
        worker_unref(w);
    }
}

static bool has_room(const Agent *a)
{
    return a->preparing < a->prepare_max && (!a->starting || a->prepare_now);
}

static bool has_memory(Worker *w)
{
    Agent *a = w->agent;
    if (a->standby_bytes + (int64_t)a->preparing * a->standby_typical < a->cfg.prepare_memory_bytes)
        return true;
    if (!a->prepare_memory_told) {
        a->prepare_memory_told = true;
        worker_event(w, false, "PrepareSkipped", NULL, "Containers prepared ahead hold %lld bytes, as many as they may: others are "
                                                       "started in the plain way", (long long)a->standby_bytes);
    }
    return false;
}

/* --- one standby ------------------------------------------------------------------------------------------------------- */

static void op_finish(PrepareOp *op, Err *err)
{
    Worker *w = op->w;
    Agent *a = w->agent;
    if (!w->closed) {
        a->preparing--;
        if (err)
            fact_set(w, op->container, START_FAILED);
        else
            fact_clear(w, op->container);
        worker_resume_starts(w, op->container);
        worker_dirty(w);
    }
    if (err && !w->closed && err->kind != ERR_UNAVAILABLE && err->kind != ERR_NOT_FOUND) {
        SCOPED(mem_free) char *text = err_text(err);
        worker_event(w, false, "PrepareFailed", op->container, "Cannot prepare the next run ahead: %s", text);
    }
    err_free(err);
    free(op->container);
    free(op->sandbox_id);
    free(op);
    worker_unref(w);
}

static void on_prepared(void *arg, const char *id, Err *err)
{
    PrepareOp *op = arg;
    (void)id;
    fault_step("standby.made");
    op_finish(op, err);
}

static void on_image(void *arg, const char *image_id, Err *err)
{
    PrepareOp *op = arg;
    Worker *w = op->w;
    if (err || w->closed) {
        op_finish(op, err);
        return;
    }
    const Container *c = worker_container(w, op->container);
    Runtime *rt = w->agent->cfg.rt;
    SCOPED(making_done) Making m = {0};
    Err *e = making_config(w, c, &(MakingFor){op->sandbox_id, image_id, op->attempt, .quiet = true}, &m);
    if (!e) {
        SCOPED(mem_free) char *key = container_config_key(&m.cc, op->sandbox_id);
        PrepareMode mode = plan_prepare_mode(w->rec.pod, w->agent->cfg.plan.prepare);
        fault_step("standby.make");
        e = rt->ops->container_prepare(rt, worker_uid(w), op->sandbox_id, &m.cc, mode, key, on_prepared, op);
    }
    if (e)
        op_finish(op, e);
}

void worker_prepare(Worker *w, const Container *c, const char *sandbox_id, uint32_t attempt)
{
    Agent *a = w->agent;
    if (worker_preparing(w, c->name))
        return;
    if (!has_room(a)) {
        if (!w->waits_to_prepare)
            *LIST_ADD(&a->prepare_queue) = worker_ref(w);
        w->waits_to_prepare = true;
        return;
    }
    if (!has_memory(w)) {
        fact_set(w, c->name, START_FAILED);
        worker_retry_later(w);
        return;
    }
    fact_set(w, c->name, START_IN_FLIGHT);
    a->preparing++;
    PrepareOp *op = NEW(PrepareOp);
    *op = (PrepareOp){worker_ref(w), mem_dup_str(c->name), mem_dup_str(sandbox_id), attempt};
    Runtime *rt = a->cfg.rt;
    Err *e = rt->ops->image_ensure(rt, c->image, "Never", on_image, op);
    if (e)
        on_image(op, NULL, e);
}

/* --- does it still fit? ------------------------------------------------------------------------------------------------- */

/* Would the container, made now, be the same? */
static bool key_fits(Worker *w, const StandbyFact *s, const char *image_id)
{
    const Container *c = worker_container(w, s->name);
    if (!c)
        return false;
    SCOPED(making_done) Making m = {0};
    SCOPED(err_free) Err *e = making_config(w, c, &(MakingFor){s->sandbox_id, image_id, s->attempt, .observe = true, .quiet = true}, &m);
    SCOPED(mem_free) char *key = e ? NULL : container_config_key(&m.cc, s->sandbox_id);
    return key && str_eq(key, s->key);
}

static bool was_checked(const Worker *w, const char *id)
{
    return os_monotonic_ns() - w->checked_at_ns < CHECK_HOLDS_NS && strvec_has(&w->checked, id);
}

bool standby_fits(Worker *w, const StandbyFact *s, const char *image_id)
{
    return was_checked(w, s->id) || key_fits(w, s, image_id);
}

/* In a restart, while the old containers die: those that will be started next are looked at already. One a turn. */
static bool check_one(Worker *w)
{
    const Agent *a = w->agent;
    if (w->closed || !worker_restarting(w))
        return false;
    if (os_monotonic_ns() - w->checked_at_ns >= CHECK_HOLDS_NS)
        strvec_done(&w->checked);
    PodFacts facts = {0};
    a->cfg.rt->ops->pod_facts(a->cfg.rt, worker_uid(w), &facts);
    bool any = false;
    LIST_EACH(s, &facts.standbys) {
        const Container *c = worker_container(w, s->name);
        if (!c || str_eq(c->image_pull_policy, "Always") || strvec_has(&w->checked, s->id))
            continue;
        SCOPED(mem_free) char *image = a->cfg.rt->ops->image_find(a->cfg.rt, c->image);
        if (!w->checked.n)
            w->checked_at_ns = os_monotonic_ns();
        if (!image || !key_fits(w, s, image))
            continue; /* its start will look again, and make it plainly */
        strvec_add(&w->checked, s->id);
        any = true;
        break;
    }
    pod_facts_done(&facts);
    return any;
}

void worker_check_soon(Worker *w)
{
    if (!w->waits_for_check)
        *LIST_ADD(&w->agent->check_queue) = worker_ref(w);
    w->waits_for_check = true;
}

bool agent_check_standbys(Agent *a)
{
    if (!a->check_queue.n)
        return false;
    Worker *w = a->check_queue.v[0];
    if (check_one(w))
        return true;
    memmove(a->check_queue.v, a->check_queue.v + 1, --a->check_queue.n * sizeof w);
    w->waits_for_check = false;
    worker_unref(w);
    return a->check_queue.n > 0;
}

static void on_discarded(void *arg, Err *err)
{
    Worker *w = arg;
    err_free(err); /* asked again by the next plan */
    worker_unref(w);
}

void worker_discard(Worker *w, const char *id)
{
    Instance *i = worker_instance(w, id);
    if (i->removing)
        return;
    i->removing = true;
    Runtime *rt = w->agent->cfg.rt;
    Err *e = rt->ops->container_remove(rt, worker_uid(w), id, on_discarded, worker_ref(w));
    if (e)
        on_discarded(w, e);
}

void prepares_input(Worker *w, const PodFacts *facts, PlanInput *in)
{
    int64_t bytes = 0;
    LIST_EACH(s, &facts->standbys)
        bytes += s->bytes;
    w->agent->standby_bytes += bytes - w->standby_bytes;
    w->standby_bytes = bytes;
    if (facts->standbys.n)
        w->agent->standby_typical = bytes / (int64_t)facts->standbys.n;
    LIST_EACH(s, &w->prepares)
        start_fact_copy(LIST_ADD(&in->prepares), s);
}

void prepares_done(Worker *w)
{
    LIST_EACH(s, &w->prepares)
        start_fact_done(s);
    free(w->prepares.v);
    w->prepares.v = NULL;
    w->prepares.n = 0;
}
