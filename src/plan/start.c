/* start.c - bringing a Pod up and keeping it up: sandbox, init containers and sidecars, regular containers
 * (pod-restart.md 3.5 and 3.6). */
#include "base/str.h"
#include "plan/plan_priv.h"

static void wait_for(View *v, const char *container, const char *reason, int64_t until)
{
    act(v, ACT_WAIT, container, NULL, reason);
    if (until != NS_NONE)
        requeue_at(v, until);
}

/* --- one start -------------------------------------------------------------------------------------------------- */

static bool is_pull_error(const char *reason)
{
    static const char *const pull[] = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"};
    for (size_t i = 0; i < ARRAY_LEN(pull); i++)
        if (str_eq(reason, pull[i]))
            return true;
    return false;
}

/* ErrImagePull is shown for this long after the failure, then ImagePullBackOff until the next attempt. The kubelet
 * shows each from one sync to the next. */
#define PULL_ERROR_SHOWN_NS NS_PER_S

static bool old_waits_for(const Ctr *c, const char *reason)
{
    const ContainerState *s = c->old ? c->old->state : NULL;
    return s && s->waiting && str_eq(s->waiting->reason, reason);
}

static bool pull_holds(View *v, Ctr *c)
{
    const StartFact *s = c->start;
    int64_t until;
    backoff_pull_failed(v, c, s->at_ns, &until);
    if (v->now >= until)
        return false;
    int64_t shown = ns_add(s->at_ns, PULL_ERROR_SHOWN_NS);
    if (v->now < shown) {
        status_waiting(c, "ErrImagePull", s->message);
        wait_for(v, c->spec->name, "ErrImagePull", shown < until ? shown : until);
        return true;
    }
    if (!old_waits_for(c, "ImagePullBackOff")) {
        event_add(v, false, "BackOff", c->spec->name, "Back-off pulling image \"%s\"", str_or(c->spec->image, ""));
        event_add(v, true, "Failed", c->spec->name, "Error: ImagePullBackOff");
    }
    SCOPED(mem_free) char *message = mem_fmt("Back-off pulling image \"%s\": ErrImagePull: %s", str_or(c->spec->image, ""),
                                             str_or(s->message, ""));
    status_waiting(c, "ImagePullBackOff", message);
    wait_for(v, c->spec->name, "ImagePullBackOff", until);
    return true;
}

/* A start that failed before there was an instance is tried again after a while; it does not advance the crash back-off
 * (pod-restart.md 4). */
static bool failed_start_holds(View *v, Ctr *c)
{
    if (is_pull_error(c->start->reason))
        return pull_holds(v, c);
    int64_t until = ns_add(c->start->at_ns, v->in->config.retry_ns);
    if (v->now >= until)
        return false;
    status_waiting(c, c->start->reason, c->start->message);
    wait_for(v, c->spec->name, c->start->reason, until);
    return true;
}

static void show_crash_backoff(View *v, Ctr *c, int64_t delay_ns, int64_t until)
{
    const ObjectMeta *m = &v->pod->metadata;
    SCOPED(mem_free) char *d = duration_format(delay_ns);
    SCOPED(mem_free) char *message =
        mem_fmt("back-off %s restarting failed container=%s pod=%s_%s(%s)", d, c->spec->name, str_or(m->name, ""),
                str_or(m->namespace_, ""), str_or(m->uid, ""));
    if (!old_waits_for(c, REASON_CRASH))
        event_add(v, true, "BackOff", c->spec->name, "Back-off restarting failed container %s in pod %s_%s(%s)",
                  c->spec->name, str_or(m->name, ""), str_or(m->namespace_, ""), str_or(m->uid, ""));
    status_waiting(c, REASON_CRASH, message);
    wait_for(v, c->spec->name, REASON_CRASH, until);
}

static int64_t exit_moment(const View *v, const ContainerFact *f)
{
    return f->finished_at_ns != NS_NONE ? f->finished_at_ns : f->created_at_ns != NS_NONE ? f->created_at_ns : v->now;
}

static bool crash_backoff_holds(View *v, Ctr *c)
{
    const ContainerFact *f = c->cur;
    if (!f || f->state != RUN_EXITED)
        return false;
    int64_t since = exit_moment(v, f), until;
    if (backoff_holds(v, c->spec->name, since, &until)) {
        show_crash_backoff(v, c, backoff_find(&v->out->backoff, c->spec->name)->delay_ns, until);
        return true;
    }
    backoff_next(v, c->spec->name, since);
    return false;
}

bool volumes_hold(View *v)
{
    const SetupFact *s = &v->in->volumes; /* the shell tries again by itself: a new fact comes */
    if (s->in_flight || s->failed)
        wait_for(v, NULL, s->failed ? "FailedMount" : "Volumes", NS_NONE);
    return s->in_flight || s->failed;
}

bool ctr_start(View *v, Ctr *c)
{
    if (c->in_flight) {
        if (c->st->state->waiting && !str_empty(c->start->reason))
            status_waiting(c, c->start->reason, c->start->message);
        return false;
    }
    if (v->hold_starts)
        return false;
    bool only_created = c->live && c->live == c->cur && c->live->state == RUN_CREATED;
    if (c->live && !only_created) /* never two of one name */
        return false;
    /* A failed start speaks for the present if nothing has happened since. */
    bool failed = c->start && c->start->state == START_FAILED &&
                  !(c->cur && c->cur->state == RUN_EXITED && exit_moment(v, c->cur) >= c->start->at_ns);
    if (failed ? failed_start_holds(v, c) : crash_backoff_holds(v, c))
        return false;
    if (only_created)
        act(v, ACT_REMOVE, c->spec->name, c->live->id, "ContainerStartFailed")->attempt = c->live->attempt;
    Action *a = act(v, ACT_START, c->spec->name, NULL, c->newest ? "ContainerDied" : "ContainerMissing");
    a->attempt = ctr_next_attempt(c);
    return true;
}

/* --- containers that run ---------------------------------------------------------------------------------------- */

static int64_t probe_grace_ns(const View *v, const Probe *p)
{
    const OptInt *g = &p->termination_grace_period_seconds;
    if (!g->set)
        return spec_grace_ns(v);
    return (g->v < 0 ? 0 : g->v > INT32_MAX ? INT32_MAX : g->v) * NS_PER_S;
}

static void kill_for(View *v, Ctr *c, const char *reason, const char *what, int64_t grace_ns)
{
    bool again = str_eq(reason, STOP_DEFINITION) || !str_eq(effective_policy(v, c), "Never");
    SCOPED(mem_free) char *message =
        mem_fmt("Container %s %s%s", c->spec->name, what, again ? ", will be restarted" : "");
    ctr_stop(v, c, c->cur, reason, grace_ns, message);
}

/* A running sidecar or regular container: is there a reason to end it? */
static void tend(View *v, Ctr *c)
{
    const ContainerFact *f = c->cur;
    if (f->stop_since_ns != NS_NONE || f->kill_at_ns != NS_NONE)
        return; /* stop_pending() goes on with it */
    const ProbeResult *r = c->probe ? c->probe->result : NULL;
    SCOPED(mem_free) char *hash = plan_container_hash(c->spec);
    if (f->post_start == HOOK_FAILED) {
        event_add(v, true, "FailedPostStartHook", c->spec->name, "PostStartHook failed");
        ctr_stop(v, c, f, STOP_POST_START, spec_grace_ns(v), "FailedPostStartHook");
    } else if (f->spec_hash && !str_eq(f->spec_hash, hash)) {
        kill_for(v, c, STOP_DEFINITION, "definition changed", spec_grace_ns(v));
    } else if (c->spec->startup_probe && r && r[PROBE_STARTUP] == PROBE_FAILURE) {
        kill_for(v, c, STOP_STARTUP, "failed startup probe", probe_grace_ns(v, c->spec->startup_probe));
    } else if (c->spec->liveness_probe && c->started && r && r[PROBE_LIVENESS] == PROBE_FAILURE) {
        kill_for(v, c, STOP_LIVENESS, "failed liveness probe", probe_grace_ns(v, c->spec->liveness_probe));
    }
}

/* Stops under way go on to their next step; instances of sandboxes that are no more are killed; the remains of old
 * attempts are removed but for one, which lastState and the logs of the previous attempt are about. */
static void stop_pending(View *v)
{
    const SandboxFact *s = v->newest_sandbox;
    LIST_EACH(f, &v->in->runtime->containers)
    {
        const Ctr *c = view_find(v, f->name);
        bool stale = f->sandbox_id && !str_eq(f->sandbox_id, s->id);
        if (fact_live(f) && stale)
            kill_now(v, f, STOP_SANDBOX);
        else if (fact_live(f) && f->stop_since_ns != NS_NONE)
            ctr_stop_step(v, c, f, ns_add(f->stop_since_ns, f->stop_grace_ns < GRACE_FLOOR_NS ? GRACE_FLOOR_NS : f->stop_grace_ns),
                          true);
        else if (fact_live(f) && f->kill_at_ns != NS_NONE)
            kill_now(v, f, f->stop_reason);
        else if (!fact_live(f) && c && f != c->newest && f != c->prev)
            act(v, ACT_REMOVE, f->name, f->id, "ContainerSuperseded")->attempt = f->attempt;
    }
}

static void kill_unknown(View *v, Ctr *c)
{
    ctr_stop(v, c, c->cur, STOP_UNKNOWN, spec_grace_ns(v),
             "Container is in \"unknown\" state, try killing it before restart");
}

static void kill_pod(View *v, const char *reason)
{
    act(v, ACT_KILL_POD, NULL, NULL, reason)->grace_ns = spec_grace_ns(v);
}

/* --- init containers and sidecars --------------------------------------------------------------------------------- */

typedef enum { WALK_WAIT, WALK_INITIALIZED, WALK_FAILED } WalkResult;
typedef struct {
    bool initialized; /* everything that stands before the regular containers is done, or they run already */
    bool later_seen;  /* an entry further on has been reached before: this one was passed */
    bool failed;
} Walk;

static void walk_next(const View *v, const Ctr *c, Walk *w, bool start[])
{
    if (c->index + 1 == v->n_init)
        w->initialized = true;
    else if (!w->later_seen)
        start[c->index + 1] = true;
}

static void walk_sidecar(View *v, Ctr *c, Walk *w, bool start[])
{
    switch (c->cur->state) {
    case RUN_RUNNING:
        tend(v, c);
        if (c->started)
            walk_next(v, c, w, start);
        break;
    case RUN_CREATED:
    case RUN_EXITED:
        start[c->index] = true;
        break;
    case RUN_UNKNOWN:
    default:
        kill_unknown(v, c);
    }
}

static void walk_init(View *v, Ctr *c, Walk *w, bool start[])
{
    switch (c->cur->state) {
    case RUN_RUNNING:
        break;
    case RUN_CREATED:
        start[c->index] = true;
        break;
    case RUN_EXITED:
        if (c->exit_known && c->exit_code == 0)
            walk_next(v, c, w, start);
        else if (ctr_restarts(v, c))
            start[c->index] = true;
        else
            w->failed = true;
        break;
    case RUN_UNKNOWN:
    default:
        if (str_eq(effective_policy(v, c), "Never"))
            w->failed = true;
        else
            kill_unknown(v, c);
    }
}

static WalkResult walk(View *v)
{
    Walk w = {0};
    EACH_REGULAR(c, v)
    {
        /* Exited ones do not count: after a loss of the sandbox all is Exited and must be initialized again. */
        if (c->in_flight || (c->cur && (c->cur->state == RUN_CREATED || c->cur->state == RUN_RUNNING)))
            w.initialized = true;
    }
    w.later_seen = w.initialized;
    bool *start = mem_alloc_n(v->n_init, sizeof *start);
    for (size_t i = v->n_init; i-- > 0;) {
        Ctr *c = &v->ctr[i];
        if (!c->cur) {
            if (c->kind == CTR_SIDECAR && w.later_seen)
                start[i] = true;
            continue;
        }
        if (c->kind == CTR_SIDECAR)
            walk_sidecar(v, c, &w, start);
        else if (!w.later_seen)
            walk_init(v, c, &w, start);
        w.later_seen = true;
    }
    if (!w.later_seen && v->n_init)
        start[0] = true;
    if (!v->n_init)
        w.initialized = true;
    for (size_t i = 0; i < v->n_init && !w.failed; i++)
        if (start[i])
            (void)ctr_start(v, &v->ctr[i]);
    free(start);
    return w.failed ? WALK_FAILED : w.initialized ? WALK_INITIALIZED : WALK_WAIT;
}

/* --- regular containers ------------------------------------------------------------------------------------------- */

static bool has_post_start(const Ctr *c)
{
    return c->spec->lifecycle && c->spec->lifecycle->post_start;
}

/* The kubelet starts one after the other and runs postStart within the start, so a hook holds back the containers that
 * follow it in the spec; people build on that. Containers without a hook hold back nobody here. */
static bool holds_the_next(const Ctr *c, bool started_now)
{
    if (!has_post_start(c))
        return false;
    if (started_now || c->in_flight)
        return true;
    bool running = c->cur && c->cur->state == RUN_RUNNING && c->cur->stop_since_ns == NS_NONE;
    return running && (c->cur->post_start == HOOK_NONE || c->cur->post_start == HOOK_RUNNING);
}

static bool regular_one(View *v, Ctr *c)
{
    const ContainerFact *f = c->cur;
    if (!f || f->state == RUN_EXITED)
        return ctr_restarts(v, c) && ctr_start(v, c);
    switch (f->state) {
    case RUN_RUNNING:
        tend(v, c);
        return false;
    case RUN_CREATED:
        return ctr_start(v, c);
    case RUN_UNKNOWN:
    case RUN_EXITED:
    default:
        kill_unknown(v, c);
        return false;
    }
}

/* Ephemeral containers are started once, ever: one that has a record is left alone. */
static void start_ephemeral(View *v)
{
    EACH_CTR(c, v)
    {
        if (c->kind != CTR_EPHEMERAL || c->newest)
            continue;
        const ContainerStatus *old = c->old;
        bool ran = old && (!str_empty(old->container_id) ||
                           (old->state && (old->state->running || old->state->terminated)) || old->last_state);
        if (!ran)
            (void)ctr_start(v, c);
    }
}

static void forget_old_sandboxes(View *v)
{
    for (size_t i = 1; i < v->in->runtime->sandboxes.n; i++) {
        const SandboxFact *s = &v->in->runtime->sandboxes.v[i];
        bool used = false;
        LIST_EACH(f, &v->in->runtime->containers)
        {
            used = used || str_eq(f->sandbox_id, s->id);
        }
        if (!used)
            act(v, ACT_REMOVE_SANDBOX, NULL, s->id, STOP_SANDBOX)->attempt = s->attempt;
    }
}

/* An in-place restart that is held back shows on those that would start: the first init container, or all. */
static bool restart_holds(View *v)
{
    int64_t until, delay;
    if (!backoff_restart_holds(v, &until, &delay))
        return false;
    for (size_t i = 0; i < (v->n_init ? 1 : v->n_regular); i++)
        show_crash_backoff(v, &v->ctr[i], delay, until);
    return true;
}

void plan_run(View *v)
{
    stop_pending(v);
    forget_old_sandboxes(v);
    v->hold_starts = volumes_hold(v);
    if (restart_holds(v))
        return;
    start_ephemeral(v);
    WalkResult r = walk(v);
    if (r == WALK_FAILED)
        kill_pod(v, "Failed");
    if (r != WALK_INITIALIZED)
        return;
    EACH_REGULAR(c, v)
    {
        if (holds_the_next(c, regular_one(v, c)))
            break;
    }
    /* A container behind one whose hook is running is still looked after. */
    bool held = false;
    EACH_REGULAR(c, v)
    {
        if (held && c->cur && c->cur->state == RUN_RUNNING)
            tend(v, c);
        held = held || holds_the_next(c, false);
    }
}

/* --- the sandbox --------------------------------------------------------------------------------------------------- */

static bool ever_ran(const Ctr *c)
{
    const ContainerStatus *o = c->old;
    return c->newest || (o && (!str_empty(o->container_id) || o->last_state ||
                               (o->state && (o->state->running || o->state->terminated))));
}

/* Upstream gives some Pods no new sandbox: they end instead (3.5 C). */
static const char *no_new_sandbox(const View *v, uint32_t attempt)
{
    bool ran = false, regular_ran = false, to_start = false;
    EACH_CTR(c, v)
    {
        ran = ran || (c->kind != CTR_EPHEMERAL && ever_ran(c));
        regular_ran = regular_ran || (c->kind == CTR_REGULAR && ever_ran(c));
        const ContainerState *s = c->st->state;
        bool succeeded = s->terminated && s->terminated->exit_code.v == 0;
        if (c->kind == CTR_REGULAR && !(succeeded && str_eq(effective_policy(v, c), "OnFailure")))
            to_start = true;
    }
    if (str_eq(v->pod->spec.restart_policy, "Never") && attempt != 0 && ran)
        return "Failed";
    return !to_start && regular_ran ? "Succeeded" : NULL;
}

static int64_t oldest_stop(const View *v)
{
    int64_t since = v->now;
    LIST_EACH(f, &v->in->runtime->containers)
    {
        if (fact_live(f) && f->stop_since_ns != NS_NONE && f->stop_since_ns < since)
            since = f->stop_since_ns;
    }
    return since;
}

/* Whatever still runs without a sandbox is stopped in order and removed, then a sandbox is made. The old one is forgotten
 * only when the new one is there: its attempt number is what tells a rebuilt Pod from a new one. A restart in progress
 * has cleared the containers in its own way before this is asked, and is owed its new sandbox even with policy Never. */
void plan_rebuild(View *v)
{
    const PodFacts *rt = v->in->runtime;
    uint32_t attempt = v->newest_sandbox ? v->newest_sandbox->attempt + 1 : 0;
    const char *end = v->restarting ? NULL : no_new_sandbox(v, attempt);
    if (end) {
        kill_pod(v, end);
        return;
    }
    if (stop_all(v, ns_add(oldest_stop(v), spec_grace_ns(v)), STOP_SANDBOX))
        return;
    LIST_EACH(f, &rt->containers)
    {
        act(v, ACT_REMOVE, f->name, f->id, STOP_SANDBOX)->attempt = f->attempt;
    }
    if (rt->containers.n) {
        v->out->persist_first = true; /* their ends are known from the facts only */
        return;
    }
    bool stopping = false;
    LIST_EACH(s, &rt->sandboxes)
    {
        if (s->state != SANDBOX_READY)
            continue;
        act(v, ACT_STOP_SANDBOX, NULL, s->id, STOP_SANDBOX)->attempt = s->attempt;
        stopping = true;
    }
    if (stopping)
        return;
    const SetupFact *made = &v->in->sandbox;
    if (made->in_flight) {
        wait_for(v, NULL, "Sandbox", NS_NONE);
        return;
    }
    if (volumes_hold(v))
        return;
    if (made->failed && v->now < ns_add(made->at_ns, v->in->config.retry_ns)) {
        wait_for(v, NULL, "FailedCreatePodSandBox", ns_add(made->at_ns, v->in->config.retry_ns));
        return;
    }
    if (v->newest_sandbox) /* it died: its network is still to be taken down */
        act(v, ACT_STOP_SANDBOX, NULL, v->newest_sandbox->id, STOP_SANDBOX)->attempt = v->newest_sandbox->attempt;
    act(v, ACT_CREATE_SANDBOX, NULL, NULL, v->newest_sandbox ? STOP_SANDBOX : "SandboxMissing")->attempt = attempt;
}
