#include "agent/worker.h"

#include "agent/facts_json.h"
#include "os/fault.h"
#include "os/fs.h"

/* While an intent cannot be made durable (a full disk), nothing is killed; it is tried again this often. */
#define SAVE_RETRY_NS NS_PER_S
/* Status that nothing depends on is written when the restart has had its turn, and made durable when things have calmed down. */
#define SAVE_AFTER_MS 20
#define DURABLE_AFTER_NS (10 * NS_PER_S)
/* After a failed kill, removal or teardown: those are local and cheap, so sooner than the kubelet's 10 s. */
#define RETRY_MAX_NS NS_PER_S
/* nestedpendingoperations: 500 ms, doubled up to 2 min 2 s; a quiet machine hides that behind one fixed step. */
#define VOLUME_RETRY_MS 2000

static void on_save(uv_timer_t *t);

int64_t worker_now(void)
{
    return os_now_ns();
}

const char *worker_uid(const Worker *w)
{
    return w->rec.pod->metadata.uid;
}

const Container *worker_container(const Worker *w, const char *name)
{
    const PodSpec *s = &w->rec.pod->spec;
    const ContainerList *lists[] = {&s->init_containers, &s->containers, &s->ephemeral_containers};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
            if (str_eq(c->name, name))
                return c;
    return NULL;
}

const char *worker_probe_host(const Worker *w)
{
    const PodStatus *s = &w->rec.pod->status;
    if (w->rec.pod->spec.host_network.v)
        return "127.0.0.1";
    return str_or(s->pod_ip, "127.0.0.1");
}

VolumesContext worker_volumes(const Worker *w)
{
    return (VolumesContext){
        .root = w->agent->root,
        .pod = w->rec.pod,
        .objects = &w->objects,
        .host_ips = (const char *const *)w->agent->host_ips.v,
        .n_host_ips = w->agent->host_ips.n,
    };
}

Instance *worker_instance(Worker *w, const char *id)
{
    LIST_EACH(i, &w->instances)
        if (strcmp(i->id, id) == 0)
            return i;
    Instance *i = LIST_ADD(&w->instances);
    i->id = mem_dup_str(id);
    i->stop_since_ns = i->term_at_ns = i->kill_at_ns = NS_NONE;
    return i;
}

static void instance_done(Instance *i)
{
    hook_cancel(i->hook);
    free(i->id);
    free(i->stop_reason);
}

/* Instances that the runtime no longer has are forgotten. */
static void sweep_instances(Worker *w, const PodFacts *facts)
{
    size_t kept = 0;
    for (size_t n = 0; n < w->instances.n; n++) {
        Instance *i = &w->instances.v[n];
        bool alive = false;
        LIST_EACH(c, &facts->containers)
            alive = alive || strcmp(c->id, i->id) == 0;
        LIST_EACH(s, &facts->standbys)
            alive = alive || strcmp(s->id, i->id) == 0;
        if (alive)
            w->instances.v[kept++] = *i;
        else
            instance_done(i);
    }
    w->instances.n = kept;
}

static bool ended_by_status(const Worker *w, const char *id)
{
    const PodStatus *s = &w->rec.pod->status;
    const ContainerStatusList *lists[] = {&s->init_container_statuses, &s->container_statuses, &s->ephemeral_container_statuses};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i]) {
            const ContainerStateTerminated *t = c->state ? c->state->terminated : NULL;
            const ContainerStateTerminated *last = c->last_state ? c->last_state->terminated : NULL;
            if ((t && str_ends(str_or(t->container_id, ""), id)) || (last && str_ends(str_or(last->container_id, ""), id)))
                return true;
        }
    return false;
}

/* A start that failed when its caller went away is no end: nothing has run, and nobody was told. The container was made and not started
 * (D13 in docs/decisions.md). */
static void settle_doubt(const Worker *w, ContainerFact *c)
{
    if (!c->start_in_doubt || ended_by_status(w, c->id))
        return;
    c->state = RUN_CREATED;
    c->exit_known = false;
    c->exit_code = 0;
    c->started_at_ns = c->finished_at_ns = NS_NONE;
    mem_set_str(&c->reason, NULL);
    mem_set_str(&c->message, NULL);
}

static void overlay_instances(Worker *w, PodFacts *facts)
{
    LIST_EACH(c, &facts->containers) {
        settle_doubt(w, c);
        c->stop_since_ns = c->term_at_ns = c->kill_at_ns = NS_NONE;
        const StartFact *s = worker_start_fact(w, c->name);
        bool starting = s && s->state == START_IN_FLIGHT;
        /* Started by an earlier agent: its hook ran then, and the kubelet does not run it twice either. One that we are starting
         * has its hook still before it. */
        c->post_start = c->state != RUN_RUNNING ? HOOK_NONE : starting ? HOOK_RUNNING : HOOK_DONE;
        LIST_EACH(i, &w->instances) {
            if (strcmp(c->id, i->id) != 0) // NOLINT(clang-analyzer-unix.Malloc): what was freed lies behind n
                continue;
            c->post_start = i->post_start;
            c->pre_stop = i->pre_stop;
            c->stop_since_ns = i->stop_since_ns;
            c->stop_grace_ns = i->stop_grace_ns;
            c->term_at_ns = i->term_at_ns;
            c->kill_at_ns = i->kill_at_ns;
            c->stop_reason = mem_dup_str(i->stop_reason);
        }
    }
}

void worker_input(Worker *w, PodFacts *facts, PlanInput *in)
{
    const Agent *a = w->agent;
    *facts = (PodFacts){0};
    a->cfg.rt->ops->pod_facts(a->cfg.rt, worker_uid(w), facts);
    sweep_instances(w, facts);
    overlay_instances(w, facts);
    *in = (PlanInput){
        .now_ns = worker_now(),
        .gates = a->cfg.gates,
        .config = a->cfg.plan,
        .pod = w->rec.pod,
        .runtime = facts,
        .sandbox = w->sandbox,
        .volumes = w->volumes,
        .terminating = w->rec.terminating,
        .terminating_since_ns = w->rec.terminating_since_ns,
        .terminating_grace_ns = w->rec.terminating_grace_ns,
        .terminating_reason = mem_dup_str(w->rec.terminating_reason),
    };
    in->sandbox.message = mem_dup_str(w->sandbox.message);
    in->volumes.message = mem_dup_str(w->volumes.message);
    backoff_copy(&in->backoff, &w->rec.backoff);
    LIST_EACH(s, &w->starts)
        start_fact_copy(LIST_ADD(&in->starts), s);
    prepares_input(w, facts, in);
    LIST_EACH(ip, &a->host_ips)
        *LIST_ADD(&in->host_ips) = mem_dup_str(*ip);
    probes_facts(w, in);
}

static bool backoff_equal(const BackoffTable *a, const BackoffTable *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_eq(a->v[i].key, b->v[i].key) || a->v[i].delay_ns != b->v[i].delay_ns ||
            a->v[i].last_update_ns != b->v[i].last_update_ns)
            return false;
    return true;
}

static bool restarting(const PodStatus *s)
{
    const PodCondition *c = plan_condition(s, "AllContainersRestarting");
    return c && str_eq(c->status, "True");
}

bool worker_restarting(const Worker *w)
{
    return restarting(&w->rec.pod->status);
}

/* Sooner than it would be anyway; never later. */
static void arm_save(Worker *w, int64_t wait_ns)
{
    uint64_t ms = wait_ns <= 0 ? 0 : (uint64_t)((wait_ns + NS_PER_MS - 1) / NS_PER_MS);
    if (w->closed)
        return;
    uv_update_time(w->agent->cfg.loop);
    if (uv_is_active((uv_handle_t *)&w->save_timer) && uv_timer_get_due_in(&w->save_timer) <= ms)
        return;
    (void)uv_timer_start(&w->save_timer, on_save, ms, 0);
}

bool worker_save(Worker *w, bool durable)
{
    SCOPED(err_free) Err *e = pod_record_save(w->agent->root, &w->rec, durable);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        worker_event(w, true, "FailedStatusSave", NULL, "%s", text);
        w->unsaved = true;
        return false;
    }
    if (!durable && !w->undurable)
        w->undurable_since_ns = os_monotonic_ns();
    w->undurable = !durable;
    w->unsaved = false;
    return true;
}

void worker_save_soon(Worker *w)
{
    w->unsaved = true;
    arm_save(w, SAVE_AFTER_MS * NS_PER_MS);
}

bool worker_has_ended(const Worker *w)
{
    const char *phase = w->rec.pod->status.phase;
    return str_eq(phase, "Succeeded") || str_eq(phase, "Failed");
}

static void release_binds(Worker *w)
{
    for (size_t i = 0; i < w->to_release.n; i++) /* teardown does it at last */
        err_free(volumes_container_release(w->agent->root, worker_uid(w), w->to_release.v[i]));
    strvec_done(&w->to_release);
}

void worker_release_later(Worker *w, const char *container)
{
    if (!strvec_has(&w->to_release, container))
        strvec_add(&w->to_release, container);
    arm_save(w, SAVE_AFTER_MS * NS_PER_MS);
}

static void on_save(uv_timer_t *t)
{
    Worker *w = t->data;
    release_binds(w);
    int64_t calm = w->undurable_since_ns + DURABLE_AFTER_NS - os_monotonic_ns();
    if (w->undurable && calm <= 0)
        (void)worker_save(w, true);
    else if (w->unsaved)
        (void)worker_save(w, false);
    if (w->unsaved) /* a full disk */
        arm_save(w, SAVE_RETRY_NS);
    else if (w->undurable)
        arm_save(w, w->undurable_since_ns + DURABLE_AFTER_NS - os_monotonic_ns());
}

/* The restart's intent goes to the list that one fsync makes durable for all Pods. From here on it outlives us, and the kills may go
 * out: before the record is written, which takes as long as the containers take to die. */
static bool begin_restart(Worker *w)
{
    if (w->intent_logged)
        return true;
    const PodCondition *c = plan_condition(&w->rec.pod->status, "AllContainersRestarting");
    SCOPED(err_free) Err *e =
        intents_begin(w->agent->intents, worker_uid(w), w->rec.restarts, str_or(c->message, ""), &w->intent_seq);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        worker_event(w, true, "FailedStatusSave", NULL, "%s", text);
    }
    w->intent_logged = !e;
    return !e;
}

static bool end_restart(Worker *w)
{
    if (w->unsaved && !worker_save(w, false))
        return false;
    if (MOVE(w->intent_logged, false))
        intents_end(w->agent->intents, worker_uid(w), w->rec.restarts - !w->rec.terminating);
    return true;
}

static bool save_restart(Worker *w, const Plan *p, bool is)
{
    if (!is)
        return end_restart(w);
    if (!begin_restart(w))
        return false;
    worker_kill_now(w, p);
    agent_commit_intents(w->agent);
    return !w->unsaved || worker_save(w, false);
}

/* What an action cannot be taken back from, and the facts would not tell again. */
static bool takes_away(const Plan *p)
{
    LIST_EACH(a, &p->actions)
        if (a->kind == ACT_REMOVE || a->kind == ACT_KILL_POD || a->kind == ACT_STOP_SANDBOX || a->kind == ACT_REMOVE_SANDBOX)
            return true;
    return false;
}

/* Takes over what the plan says is true now, and writes it down if it must be before the actions. Returns whether they may be
 * carried out. */
static bool store_status(Worker *w, Plan *p)
{
    bool changed = !api_equal(&type_PodStatus, &w->rec.pod->status, &p->status);
    bool moved = !backoff_equal(&w->rec.backoff, &p->backoff);
    bool was = restarting(&w->rec.pod->status), is = restarting(&p->status);
    if (changed) {
        worker_keep_status(w, &w->rec.pod->status);
        w->rec.pod->status = MOVE(p->status, (PodStatus){0});
        w->agent->n_restarting += (unsigned)is - (unsigned)was;
        worker_tell_status(w);
    }
    if (moved) {
        backoff_done(&w->rec.backoff);
        w->rec.backoff = MOVE(p->backoff, (BackoffTable){0});
    }
    if (was && !is && !w->rec.terminating)
        w->rec.restarts++;
    w->unsaved = w->unsaved || changed || moved;
    if (changed || moved)
        fault_step(is ? "restart.intent" : "status.store");
    if (p->persist_first || w->save_owed) {
        bool durable = !was && !is;
        w->save_owed = !(durable ? !(w->unsaved || w->undurable) || worker_save(w, true) : save_restart(w, p, is));
        if (!w->save_owed && durable)
            fault_step("restart.durable");
    } else if (w->unsaved && !is && takes_away(p)) { /* in a restart the core itself says what must be stored (plan/restart.c) */
        w->save_owed = !worker_save(w, false);
    }
    if (w->unsaved)
        arm_save(w, SAVE_AFTER_MS * NS_PER_MS);
    else if (w->undurable)
        arm_save(w, DURABLE_AFTER_NS);
    return !w->save_owed;
}

static void on_requeue(uv_timer_t *t)
{
    worker_dirty(t->data);
}

void worker_retry_later(Worker *w)
{
    if (w->closed)
        return;
    int64_t retry = w->agent->cfg.plan.retry_ns;
    uv_update_time(w->agent->cfg.loop);
    (void)uv_timer_start(&w->requeue, on_requeue, (uint64_t)((retry < RETRY_MAX_NS ? retry : RETRY_MAX_NS) / NS_PER_MS), 0);
}

static void arm_requeue(Worker *w, int64_t at_ns)
{
    if (at_ns == NS_NONE) {
        (void)uv_timer_stop(&w->requeue);
        return;
    }
    int64_t wait = at_ns - worker_now();
    uint64_t ms = wait <= 0 ? 0 : (uint64_t)((wait + NS_PER_MS - 1) / NS_PER_MS);
    uv_update_time(w->agent->cfg.loop);
    (void)uv_timer_start(&w->requeue, on_requeue, ms, 0);
}

void worker_turn(Worker *w)
{
    w->dirty = false;
    PodFacts facts;
    PlanInput in;
    worker_input(w, &facts, &in);
    SCOPED(plan_done) Plan p = {0};
    plan_pod(&in, &p);
    plan_input_done(&in);
    LIST_EACH(e, &p.events)
        worker_event(w, e->warning, e->reason, e->container, "%s", e->message);
    bool act = store_status(w, &p);
    if (act)
        worker_act(w, &p, &facts);
    probes_sync(w, &facts);
    arm_requeue(w, act ? p.requeue_ns : worker_now() + SAVE_RETRY_NS);
    pod_facts_done(&facts);
    if (p.finished && act && !w->done_told) {
        w->done_told = true;
        worker_give_back(w);
        worker_tell_done(w);
    }
}

static void on_volume_retry(uv_timer_t *t)
{
    worker_setup_volumes(t->data);
}

void worker_setup_volumes(Worker *w)
{
    VolumesContext ctx = worker_volumes(w);
    SCOPED(err_free) Err *e = volumes_setup(&ctx);
    free(w->volumes.message);
    w->volumes = (SetupFact){.failed = e != NULL, .message = e ? err_text(e) : NULL, .at_ns = worker_now()};
    if (e) {
        worker_event(w, true, "FailedMount", NULL, "%s", w->volumes.message);
        (void)uv_timer_start(&w->volume_timer, on_volume_retry, VOLUME_RETRY_MS, 0);
    }
    worker_dirty(w);
}

Worker *worker_new(Agent *a, PodRecord *rec, Objects *objects, int lock_fd)
{
    Worker *w = NEW(Worker);
    w->agent = a;
    w->rec = MOVE(*rec, (PodRecord){0});
    a->n_restarting += restarting(&w->rec.pod->status);
    w->objects = MOVE(*objects, (Objects){0});
    w->lock_fd = lock_fd;
    w->refs = 1;
    uv_timer_t *timers[] = {&w->requeue, &w->probe_timer, &w->volume_timer, &w->evict_timer, &w->save_timer};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        (void)uv_timer_init(a->cfg.loop, timers[i]);
        timers[i]->data = w;
        w->open_handles++;
    }
    probes_init(w);
    worker_watch_usage(w);
    return w;
}

Worker *worker_ref(Worker *w)
{
    w->refs++;
    return w;
}

void worker_unref(Worker *w)
{
    if (--w->refs > 0)
        return;
    LIST_EACH(i, &w->instances)
        instance_done(i);
    free(w->instances.v);
    LIST_EACH(s, &w->starts)
        start_fact_done(s);
    free(w->starts.v);
    prepares_done(w);
    free(w->parked.v);
    strvec_done(&w->to_release);
    probes_done(w);
    free(w->sandbox.message);
    free(w->volumes.message);
    free(w->files_for);
    objects_done(&w->objects);
    pod_record_done(&w->rec);
    fd_close(w->lock_fd);
    free(w);
}

static void on_worker_handle_closed(uv_handle_t *h)
{
    Worker *w = h->data;
    if (--w->open_handles == 0)
        worker_unref(w);
}

void worker_close(Worker *w)
{
    if (w->unsaved)
        err_free(pod_record_save(w->agent->root, &w->rec, false)); /* crash-only: nothing depends on it */
    if (restarting(&w->rec.pod->status))
        w->agent->n_restarting--;
    w->closed = true;
    w->agent->standby_bytes -= MOVE(w->standby_bytes, 0);
    worker_resume_starts(w, NULL);
    LIST_EACH(i, &w->instances) {
        hook_cancel(i->hook);
        i->hook = NULL;
    }
    probes_done(w);
    uv_close((uv_handle_t *)&w->requeue, on_worker_handle_closed);
    uv_close((uv_handle_t *)&w->probe_timer, on_worker_handle_closed);
    uv_close((uv_handle_t *)&w->volume_timer, on_worker_handle_closed);
    uv_close((uv_handle_t *)&w->evict_timer, on_worker_handle_closed);
    uv_close((uv_handle_t *)&w->save_timer, on_worker_handle_closed);
}
