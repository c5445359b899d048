/* act.c - what each action of a plan does. An action that is under way shows in the facts or in the worker's flags, so a
 * plan that asks for it again changes nothing. */
#include "agent/making.h"
#include "os/fault.h"
#include "os/fs.h"

/* SIGKILL is sent again when a killed container is still there after this long (a process stuck in the kernel). */
#define KILL_AGAIN_NS (2 * NS_PER_S)

/* A request to the runtime about one thing of the Pod. */
typedef struct {
    Worker *w;
    char *id;
} Request;

static Request *request_new(Worker *w, const char *id)
{
    Request *r = NEW(Request);
    r->w = worker_ref(w);
    r->id = mem_dup_str(id);
    return r;
}

/* Ends a request: returns its worker if it still cares, and NULL (with everything released) if not. The caller of a
 * non-NULL result calls request_free(). */
static void request_free(Request *r)
{
    worker_unref(r->w);
    free(r->id);
    free(r);
}

static void setup_failed(SetupFact *s, const Err *e)
{
    free(s->message);
    *s = (SetupFact){.failed = e != NULL, .message = e ? err_text(e) : NULL, .at_ns = worker_now()};
}

/* --- sandbox ----------------------------------------------------------------------------------------------------- */

static void on_sandbox_run(void *arg, const char *id, Err *err)
{
    Request *r = arg;
    Worker *w = r->w;
    (void)id;
    setup_failed(&w->sandbox, err);
    if (err)
        worker_event(w, true, "FailedCreatePodSandBox", NULL, "Failed to create pod sandbox: %s", w->sandbox.message);
    err_free(err);
    worker_dirty(w);
    request_free(r);
}

static void create_sandbox(Worker *w, uint32_t attempt)
{
    if (w->sandbox.in_flight)
        return;
    const Agent *a = w->agent;
    SCOPED(making_sandbox_done) MakingSandbox m = {0};
    making_sandbox(w, attempt, &m);
    w->sandbox.in_flight = true;
    w->sandbox.at_ns = worker_now();
    SCOPED(err_free) Err *dir = fs_mkdirs(m.c.log_directory, 0755);
    Request *r = request_new(w, NULL);
    Err *e = dir ? MOVE(dir, NULL) : a->cfg.rt->ops->sandbox_run(a->cfg.rt, &m.c, on_sandbox_run, r);
    if (e)
        on_sandbox_run(r, NULL, e);
}

static void on_sandbox_stopped(void *arg, Err *err)
{
    Request *r = arg;
    Worker *w = r->w;
    w->stopping_sandbox = false;
    if (err) {
        SCOPED(mem_free) char *text = err_text(err);
        worker_event(w, true, "FailedKillPod", NULL, "error killing pod: %s", text);
        err_free(err);
        worker_retry_later(w);
    } else {
        worker_dirty(w);
    }
    request_free(r);
}

static void end_sandbox(Worker *w, const char *id, bool remove)
{
    if (w->stopping_sandbox || !id)
        return;
    const Agent *a = w->agent;
    w->stopping_sandbox = true;
    fault_step(remove ? "sandbox.remove" : "sandbox.stop");
    Request *r = request_new(w, id);
    Err *e = remove ? a->cfg.rt->ops->sandbox_remove(a->cfg.rt, worker_uid(w), id, on_sandbox_stopped, r)
                    : a->cfg.rt->ops->sandbox_stop(a->cfg.rt, worker_uid(w), id, on_sandbox_stopped, r);
    if (e)
        on_sandbox_stopped(r, e);
}

/* --- containers -------------------------------------------------------------------------------------------------- */

static void on_killed(void *arg, Err *err)
{
    Request *r = arg;
    Worker *w = r->w;
    fault_step("restart.killed");
    if (err && !w->closed) {
        SCOPED(mem_free) char *text = err_text(err);
        worker_event(w, true, "FailedKillPod", NULL, "error killing pod: %s", text);
        /* Whether it was done is not known: killing the dead again does no harm. */
        LIST_EACH(i, &w->instances)
            i->kill_at_ns = NS_NONE;
        worker_retry_later(w);
    }
    err_free(err); /* when it was done, the ends are the news */
    request_free(r);
}

/* All the kills of a plan go out as one message: the containers die in the same instant. */
void worker_kill_now(Worker *w, const Plan *p)
{
    SCOPED(strvec_done) StrVec ids = {0};
    int64_t now = worker_now();
    LIST_EACH(a, &p->actions) {
        if (a->kind != ACT_KILL || a->grace_ns > 0 || !a->id)
            continue;
        Instance *i = worker_instance(w, a->id);
        if (i->kill_at_ns != NS_NONE && now - i->kill_at_ns < KILL_AGAIN_NS)
            continue;
        if (i->stop_since_ns == NS_NONE)
            i->stop_since_ns = now;
        if (!i->stop_reason)
            i->stop_reason = mem_dup_str(a->reason);
        i->kill_at_ns = now;
        hook_cancel(MOVE(i->hook, NULL));
        strvec_add(&ids, a->id);
    }
    if (!ids.n)
        return;
    Runtime *rt = w->agent->cfg.rt;
    Request *r = request_new(w, NULL);
    fault_step("restart.kill");
    Err *e = rt->ops->containers_kill(rt, worker_uid(w), (const char *const *)ids.v, ids.n, on_killed, r);
    if (e)
        on_killed(r, e);
}

static void begin_stop(Worker *w, const Action *a)
{
    Instance *i = worker_instance(w, a->id);
    if (i->stop_since_ns != NS_NONE)
        return;
    i->stop_since_ns = worker_now();
    i->stop_grace_ns = a->grace_ns;
    mem_set_str(&i->stop_reason, a->reason);
    worker_dirty(w);
}

static void on_signalled(void *arg, Err *err)
{
    Request *r = arg;
    err_free(err); /* already gone, or SIGKILL follows when the grace is over */
    worker_dirty(r->w);
    request_free(r);
}

static void send_stop_signal(Worker *w, const Action *a)
{
    Instance *i = worker_instance(w, a->id);
    if (i->term_at_ns != NS_NONE)
        return;
    i->term_at_ns = worker_now();
    Runtime *rt = w->agent->cfg.rt;
    Request *r = request_new(w, a->id);
    Err *e = rt->ops->container_signal(rt, worker_uid(w), a->id, 0, on_signalled, r);
    if (e)
        on_signalled(r, e);
}

static void on_removed(void *arg, Err *err)
{
    Request *r = arg;
    Worker *w = r->w;
    if (err) {
        SCOPED(mem_free) char *text = err_text(err);
        worker_event(w, true, "FailedRemove", NULL, "%s", text);
        err_free(err);
        if (!w->closed)
            worker_instance(w, r->id)->removing = false;
        worker_retry_later(w);
    }
    fault_step("restart.removed");
    request_free(r);
}

static void remove_container(Worker *w, const Action *a)
{
    Instance *i = worker_instance(w, a->id);
    if (i->removing)
        return;
    i->removing = true;
    fault_step("restart.remove");
    Runtime *rt = w->agent->cfg.rt;
    Request *r = request_new(w, a->id);
    Err *e = rt->ops->container_remove(rt, worker_uid(w), a->id, on_removed, r);
    if (e)
        on_removed(r, e);
}

/* --- the Pod ----------------------------------------------------------------------------------------------------- */

void worker_begin_end(Worker *w, const char *reason, int64_t grace_ns)
{
    PodRecord *r = &w->rec;
    if (r->terminating && str_eq(r->terminating_reason, str_or(reason, "")) && r->terminating_grace_ns <= grace_ns)
        return;
    if (!r->terminating)
        r->terminating_since_ns = worker_now();
    r->terminating = true;
    r->terminating_grace_ns = grace_ns;
    mem_set_str(&r->terminating_reason, str_or(reason, ""));
    (void)worker_save(w, true); /* should a death of the agent forget this decision: the same facts lead to it again */
    worker_dirty(w);
}

static const char *ready_sandbox(const PodFacts *facts)
{
    LIST_EACH(s, &facts->sandboxes)
        if (s->state == SANDBOX_READY)
            return s->id;
    return NULL;
}

void worker_act(Worker *w, const Plan *p, const PodFacts *facts)
{
    worker_kill_now(w, p); /* those that a restart has sent already are not sent again */
    LIST_EACH(a, &p->actions) {
        const Container *c = a->container ? worker_container(w, a->container) : NULL;
        switch (a->kind) {
        case ACT_CREATE_SANDBOX:
            create_sandbox(w, a->attempt);
            break;
        case ACT_START: {
            const char *sandbox = ready_sandbox(facts);
            if (c && sandbox && worker_may_start(w))
                start_container(w, c, sandbox, a->attempt);
            break;
        }
        case ACT_KILL:
            if (a->grace_ns > 0 && a->id)
                begin_stop(w, a);
            break;
        case ACT_PRE_STOP:
            if (c)
                worker_pre_stop(w, c, a->id, a->grace_ns);
            break;
        case ACT_SIGNAL:
            send_stop_signal(w, a);
            break;
        case ACT_REMOVE:
            remove_container(w, a);
            break;
        case ACT_PREPARE: {
            const char *sandbox = ready_sandbox(facts);
            if (c && sandbox)
                worker_prepare(w, c, sandbox, a->attempt);
            break;
        }
        case ACT_DISCARD:
            worker_discard(w, a->id);
            break;
        case ACT_KILL_POD:
            worker_begin_end(w, a->reason, a->grace_ns);
            break;
        case ACT_STOP_SANDBOX:
            end_sandbox(w, a->id, false);
            break;
        case ACT_REMOVE_SANDBOX:
            end_sandbox(w, a->id, true);
            break;
        case ACT_WAIT:
        case ACT_N:
            break;
        }
    }
}
