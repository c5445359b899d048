/* test_model.c - the in-place restart, checked exhaustively: every order of exits, completions and deaths of the agent that
 * small Pods allow.
 *
 * A state holds what is true (facts), what the agent believes (status in memory), what a new agent would find (status on
 * disk) and what is under way (starts, kills, removals). Moves:
 *   turn    the agent plans, stores the status (durably when the plan says so) and sends its actions off
 *   exit    a running container ends by itself, with each of its codes       (a budget bounds how often)
 *   done    something under way is done: a start, a kill, a stop signal, a removal
 *   crash   the agent dies and a new one starts: the status is the stored one, or the later one if that reached the disk
 *           too; each start, kill and removal under way was done or was not  (budget)
 *   delete  the Pod is deleted                                               (budget)
 *   box     the sandbox dies; its containers live on until they are stopped  (budget)
 * Invariants hold in every state; from every state the Pod gets to rest by itself, and what was owed has been done.
 * Time stands still: back-offs are set to zero here, and tested in test_plan_backoff.c. */
#include "api/codec.h"
#include "plan/plan.h"
#include "check.h"

#define N_CTR 4
#define NOW (1000 * NS_PER_S)

typedef struct {
    bool ended, by_itself, reset; /* reset: by the restart's kill */
    int32_t code;
} End;

typedef struct {
    PodFacts facts;
    PodStatus mem, disk;
    BackoffTable backoff;
    bool starting[N_CTR];
    uint32_t starting_attempt[N_CTR];
    bool removing[16]; /* by index of the instance's serial */
    bool terminating, deleted;
    char reason[24];
    bool sandbox_coming;
    /* What the model knows and the agent does not. */
    uint32_t serial;
    uint32_t n_started[N_CTR];
    End end[N_CTR]; /* of the newest instance that ended */
    bool owed;      /* a trigger was seen and no restart has followed yet */
    uint32_t runs;
    int exits_left, crashes_left, deletes_left, boxes_left;
    uint32_t box_attempt;
    bool finished;
} Model;

typedef struct {
    const char *name;
    const char *pod; /* JSON */
    const char *ctr[N_CTR];
    bool init[N_CTR], sidecar[N_CTR];
    int32_t codes[N_CTR][3]; /* -1 = no more */
    int exits, crashes, deletes, boxes;
} Case;

static const Case *the_case;
static Pod *the_pod;
static size_t n_states, n_turns, n_complaints;

/* --- set of visited states ------------------------------------------------------------------------------------------ */

static uint64_t *seen;
static size_t n_seen, cap_seen;

static bool seen_add(uint64_t h)
{
    h = h ? h : 1;
    if (n_seen * 2 >= cap_seen) {
        size_t old = cap_seen;
        uint64_t *from = seen;
        cap_seen = old ? old * 2 : 1 << 16;
        seen = mem_alloc_n(cap_seen, sizeof *seen);
        for (size_t i = 0; i < old; i++)
            if (from[i]) {
                size_t k = from[i] & (cap_seen - 1);
                while (seen[k])
                    k = (k + 1) & (cap_seen - 1);
                seen[k] = from[i];
            }
        free(from);
    }
    size_t k = h & (cap_seen - 1);
    for (; seen[k]; k = (k + 1) & (cap_seen - 1))
        if (seen[k] == h)
            return false;
    seen[k] = h;
    n_seen++;
    return true;
}

static void hash_bytes(uint64_t *h, const void *p, size_t n)
{
    for (const unsigned char *b = p; n--; b++)
        *h = (*h ^ *b) * UINT64_C(0x100000001b3);
    *h ^= *h >> 29;
}
static void hash_str(uint64_t *h, const char *s)
{
    hash_bytes(h, str_or(s, "\1"), strlen(str_or(s, "\1")) + 1);
}
static void hash_num(uint64_t *h, int64_t n)
{
    hash_bytes(h, &n, sizeof n);
}

static void hash_state(uint64_t *h, const ContainerState *s)
{
    const ContainerStateTerminated *t = s ? s->terminated : NULL;
    hash_num(h, !s ? 0 : s->waiting ? 1 : s->running ? 2 : 3);
    if (s && s->waiting)
        hash_str(h, s->waiting->reason);
    if (t) {
        hash_num(h, t->exit_code.v);
        hash_str(h, t->reason);
        hash_str(h, t->container_id);
    }
}

/* What of a status a plan can depend on, and what the invariants look at. */
static void hash_status(uint64_t *h, const PodStatus *s)
{
    hash_str(h, s->phase);
    LIST_EACH(c, &s->conditions)
    {
        hash_str(h, c->type);
        hash_str(h, c->status);
        hash_str(h, c->message);
    }
    const ContainerStatusList *lists[] = {&s->init_container_statuses, &s->container_statuses};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
        {
            hash_state(h, c->state);
            hash_state(h, c->last_state);
            hash_num(h, c->restart_count.v * 4 + c->ready.v * 2 + c->started.v);
            hash_str(h, c->container_id);
        }
}

static uint64_t model_hash(const Model *m)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    hash_status(&h, &m->mem);
    hash_status(&h, &m->disk);
    LIST_EACH(f, &m->facts.containers)
    {
        hash_str(&h, f->id);
        hash_num(&h, f->attempt);
        hash_num(&h, f->state);
        hash_num(&h, f->exit_code);
        hash_num(&h, (f->kill_at_ns != NS_NONE) + 2 * (f->stop_since_ns != NS_NONE) + 4 * (f->term_at_ns != NS_NONE));
        hash_str(&h, f->stop_reason);
    }
    LIST_EACH(s, &m->facts.sandboxes)
    {
        hash_num(&h, s->state);
        hash_num(&h, s->attempt);
    }
    hash_bytes(&h, m->starting, sizeof m->starting);
    hash_bytes(&h, m->starting_attempt, sizeof m->starting_attempt);
    hash_bytes(&h, m->removing, sizeof m->removing);
    hash_str(&h, m->reason);
    hash_num(&h, m->terminating + 2 * m->deleted + 4 * m->owed + 8 * m->sandbox_coming + 16 * m->finished);
    hash_bytes(&h, m->n_started, sizeof m->n_started);
    hash_num(&h, m->runs);
    for (size_t i = 0; i < N_CTR; i++)
        hash_num(&h, m->end[i].ended + 2 * m->end[i].by_itself + 4 * m->end[i].reset + 8 * m->end[i].code);
    hash_num(&h, m->exits_left * 512 + m->crashes_left * 64 + m->deletes_left * 8 + m->boxes_left);
    return h;
}

/* --- states ----------------------------------------------------------------------------------------------------------- */

static Model model_copy(const Model *m)
{
    Model c = *m;
    pod_facts_copy(&c.facts, &m->facts);
    api_copy_into(&type_PodStatus, &c.mem, &m->mem);
    api_copy_into(&type_PodStatus, &c.disk, &m->disk);
    backoff_copy(&c.backoff, &m->backoff);
    return c;
}

static void model_done(Model *m)
{
    pod_facts_done(&m->facts);
    api_done(&type_PodStatus, &m->mem);
    api_done(&type_PodStatus, &m->disk);
    backoff_done(&m->backoff);
}

static size_t ctr_index(const char *name)
{
    for (size_t i = 0; i < N_CTR && the_case->ctr[i]; i++)
        if (str_eq(the_case->ctr[i], name))
            return i;
    abort();
}

static size_t fact_serial(const ContainerFact *f)
{
    return (size_t)f->pid & 15; /* pid carries the model's serial */
}

static bool restarting(const PodStatus *s)
{
    const PodCondition *c = plan_condition(s, "AllContainersRestarting");
    return c && str_eq(c->status, "True");
}

static const ContainerStatus *status_of(const PodStatus *s, size_t i)
{
    const ContainerStatusList *l = the_case->init[i] ? &s->init_container_statuses : &s->container_statuses;
    LIST_EACH(c, l)
    {
        if (str_eq(c->name, the_case->ctr[i]))
            return c;
    }
    return NULL;
}

static void complain(const Model *m, const char *what, const char *who)
{
    check_failures++;
    if (n_complaints++ > 5)
        return;
    SCOPED(mem_free) char *mem = api_encode_text(&type_PodStatus, &m->mem);
    printf("# %s: %s: %s\n#   run %u, owed %d, restarting %d, budgets %d %d %d\n", the_case->name, what, who, m->runs, m->owed,
           restarting(&m->mem), m->exits_left, m->crashes_left, m->deletes_left);
    LIST_EACH(f, &m->facts.containers)
    {
        printf("#   %s attempt %u state %d code %d kill %d\n", f->id, f->attempt, (int)f->state, f->exit_code,
               f->kill_at_ns != NS_NONE);
    }
    printf("#   %s\n", mem);
}
#define INVARIANT(m, cond, who)                                                                                        \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(cond))                                                                                                   \
            complain((m), #cond, (who));                                                                               \
    } while (0)

static bool init_done_in_run(const Model *m, size_t i)
{
    const ContainerFact *f = pod_facts_newest(&m->facts, the_case->ctr[i]);
    return f && (the_case->sidecar[i] || (f->state == RUN_EXITED && f->exit_known && f->exit_code == 0));
}

static void check_start(const Model *m, const Action *a)
{
    size_t i = ctr_index(a->container);
    LIST_EACH(f, &m->facts.containers)
    {
        INVARIANT(m, !(str_eq(f->name, a->container) && f->state != RUN_EXITED), a->container);
    }
    INVARIANT(m, !m->starting[i], a->container);
    INVARIANT(m, !m->deleted && !m->terminating, a->container);
    INVARIANT(m, m->facts.sandboxes.n > 0 && m->facts.sandboxes.v[0].state == SANDBOX_READY, a->container);
    bool regular_seen = false;
    LIST_EACH(f, &m->facts.containers)
    {
        regular_seen = regular_seen || !the_case->init[ctr_index(f->name)];
    }
    bool again = pod_facts_newest(&m->facts, a->container) != NULL || regular_seen;
    for (size_t k = 0; k < i && the_case->init[k]; k++)
        INVARIANT(m, again || init_done_in_run(m, k), a->container);
}

static void check_plan(const Model *before, const Model *after, const Plan *p)
{
    LIST_EACH(a, &p->actions)
    {
        if (a->kind == ACT_START)
            check_start(after, a);
        bool reset = str_eq(a->reason, "RestartingAllContainers");
        if (reset && (a->kind == ACT_KILL || a->kind == ACT_REMOVE)) {
            INVARIANT(after, restarting(&after->mem), a->container);
            INVARIANT(after, restarting(&after->disk), a->container);
        }
        if (reset && a->kind == ACT_KILL)
            INVARIANT(after, a->grace_ns == 0, a->container);
    }
    for (size_t i = 0; i < N_CTR && the_case->ctr[i]; i++) {
        const ContainerStatus *x = status_of(&before->mem, i), *y = status_of(&after->mem, i);
        if (!x || !y)
            continue;
        INVARIANT(after, y->restart_count.v >= x->restart_count.v, the_case->ctr[i]);
        INVARIANT(after, y->restart_count.v <= x->restart_count.v + 1, the_case->ctr[i]);
    }
}

/* --- moves ------------------------------------------------------------------------------------------------------------ */

static SandboxFact *box(Model *m, const char *id)
{
    LIST_EACH(s, &m->facts.sandboxes)
    {
        if (str_eq(s->id, id))
            return s;
    }
    abort();
}

static void remove_box(Model *m, SandboxFact *s)
{
    LIST_EACH(f, &m->facts.containers)
    {
        INVARIANT(m, !str_eq(f->sandbox_id, s->id), "sandbox removed under a container");
    }
    SandboxFact *copy = mem_dup(s, sizeof *s);
    PodFacts gone = {.sandboxes = {1, copy}};
    pod_facts_done(&gone);
    memmove(s, s + 1, (size_t)(m->facts.sandboxes.v + --m->facts.sandboxes.n - s) * sizeof *s);
}

static void send(Model *m, const Action *a)
{
    ContainerFact *f = NULL;
    LIST_EACH(x, &m->facts.containers)
    {
        if (str_eq(x->id, a->id))
            f = x;
    }
    switch (a->kind) {
    case ACT_CREATE_SANDBOX:
        m->sandbox_coming = true;
        m->box_attempt = a->attempt;
        break;
    case ACT_START:
        m->starting[ctr_index(a->container)] = true;
        m->starting_attempt[ctr_index(a->container)] = a->attempt;
        break;
    case ACT_KILL:
        if (!f)
            break;
        mem_set_str(&f->stop_reason, a->reason);
        if (a->grace_ns == 0)
            f->kill_at_ns = NOW;
        else
            f->stop_since_ns = NOW, f->stop_grace_ns = a->grace_ns;
        break;
    case ACT_SIGNAL:
        f->term_at_ns = NOW;
        break;
    case ACT_PREPARE:
    case ACT_DISCARD:
        break;
    case ACT_REMOVE:
        if (f)
            m->removing[fact_serial(f)] = true;
        break;
    case ACT_KILL_POD:
        m->terminating = true;
        (void)snprintf(m->reason, sizeof m->reason, "%s", str_or(a->reason, ""));
        break;
    case ACT_STOP_SANDBOX:
        box(m, a->id)->state = SANDBOX_NOT_READY;
        break;
    case ACT_REMOVE_SANDBOX:
        remove_box(m, box(m, a->id));
        break;
    case ACT_PRE_STOP:
    case ACT_WAIT:
    case ACT_N:
        break;
    }
}

/* Returns whether anything changed. */
static bool turn(Model *m)
{
    Model before = model_copy(m);
    Pod pod = *the_pod; /* the spec is shared, the status is the model's */
    pod.status = m->mem;
    if (m->deleted)
        pod.metadata.deletion_timestamp = (OptTime){true, NOW + 30 * NS_PER_S};
    PlanInput in = {.now_ns = NOW, .pod = &pod, .runtime = &m->facts, .terminating = m->terminating,
                    .terminating_since_ns = NOW, .terminating_grace_ns = 30 * NS_PER_S};
    in.terminating_reason = mem_dup_str(m->reason);
    plan_config_default(&in.config);
    in.config.backoff_initial_ns = in.config.backoff_max_ns = 0;
    in.config.restart_all_backoff = false;
    features_default(&in.gates);
    in.sandbox.in_flight = m->sandbox_coming;
    for (size_t i = 0; i < N_CTR && the_case->ctr[i]; i++)
        if (m->starting[i]) {
            StartFact *s = LIST_ADD(&in.starts);
            *s = (StartFact){.container = mem_dup_str(the_case->ctr[i]), .state = START_IN_FLIGHT, .at_ns = NOW};
        }
    backoff_copy(&in.backoff, &m->backoff);
    Plan p;
    plan_pod(&in, &p);
    n_turns++;
    bool was = restarting(&m->mem);
    api_done(&type_PodStatus, &m->mem);
    api_copy_into(&type_PodStatus, &m->mem, &p.status);
    if (p.persist_first) {
        api_done(&type_PodStatus, &m->disk);
        api_copy_into(&type_PodStatus, &m->disk, &p.status);
    }
    if (was && !restarting(&m->mem) && !m->deleted && !m->terminating) {
        /* The restart is over: it was asked for, it is told durably, nothing of the old run is left. */
        INVARIANT(m, m->owed, "restart without a trigger");
        INVARIANT(m, p.persist_first, "end of restart");
        INVARIANT(m, m->facts.containers.n == 0, "end of restart");
        m->owed = false;
        m->runs++;
    }
    backoff_done(&m->backoff);
    m->backoff = MOVE(p.backoff, (BackoffTable){0});
    check_plan(&before, m, &p);
    bool finished = p.finished;
    LIST_EACH(a, &p.actions)
    {
        send(m, a);
    }
    m->finished = finished;
    if (m->terminating)
        m->owed = false; /* superseded: the Pod ends */
    bool changed = model_hash(m) != model_hash(&before);
    plan_done(&p);
    plan_input_done(&in);
    model_done(&before);
    return changed;
}

static void start_done(Model *m, size_t i)
{
    (void)LIST_ADD(&m->facts.containers);
    memmove(&m->facts.containers.v[1], &m->facts.containers.v[0],
            (m->facts.containers.n - 1) * sizeof *m->facts.containers.v);
    m->facts.containers.v[0] = (ContainerFact){
        .id = mem_fmt("%s.%u", the_case->ctr[i], m->n_started[i]),
        .name = mem_dup_str(the_case->ctr[i]),
        .sandbox_id = mem_dup_str(m->facts.sandboxes.v[0].id),
        .attempt = m->starting_attempt[i],
        .state = RUN_RUNNING,
        .pid = (int32_t)(m->serial++ & 15),
        .created_at_ns = NOW, .started_at_ns = NOW, .finished_at_ns = NS_NONE,
        .stop_since_ns = NS_NONE, .term_at_ns = NS_NONE, .kill_at_ns = NS_NONE,
    };
    m->starting[i] = false;
    /* Each start of a container has a number of its own, one higher than the last. */
    INVARIANT(m, m->facts.containers.v[0].attempt == m->n_started[i], the_case->ctr[i]);
    m->n_started[i]++;
    size_t live = 0;
    LIST_EACH(f, &m->facts.containers)
    {
        live += str_eq(f->name, the_case->ctr[i]) && f->state != RUN_EXITED;
    }
    INVARIANT(m, live == 1, the_case->ctr[i]);
}

static void ended(Model *m, ContainerFact *f, int32_t code, bool by_itself)
{
    f->state = RUN_EXITED;
    f->exit_known = true;
    f->exit_code = code;
    f->signal = code == 137 ? 9 : 0;
    f->finished_at_ns = NOW;
    bool reset = !by_itself && code == 137 && str_eq(f->stop_reason, "RestartingAllContainers");
    m->end[ctr_index(f->name)] = (End){true, by_itself, reset, code};
}

static void remove_done(Model *m, size_t at)
{
    m->removing[fact_serial(&m->facts.containers.v[at])] = false;
    container_fact_done(&m->facts.containers.v[at]);
    memmove(&m->facts.containers.v[at], &m->facts.containers.v[at + 1],
            (--m->facts.containers.n - at) * sizeof *m->facts.containers.v);
}

static void sandbox_done(Model *m)
{
    (void)LIST_ADD(&m->facts.sandboxes);
    SandboxFact *s = m->facts.sandboxes.v;
    memmove(s + 1, s, (m->facts.sandboxes.n - 1) * sizeof *s);
    *s = (SandboxFact){.id = mem_fmt("box%u", m->box_attempt), .attempt = m->box_attempt, .state = SANDBOX_READY};
    *LIST_ADD(&s->ips) = mem_dup_str("10.0.0.2");
    m->sandbox_coming = false;
}

/* The k-th thing that is under way is done; false when there are no more. */
static bool complete(Model *m, size_t k)
{
    if (m->sandbox_coming && k-- == 0) {
        sandbox_done(m);
        return true;
    }
    for (size_t i = 0; i < N_CTR && the_case->ctr[i]; i++)
        if (m->starting[i] && k-- == 0) {
            start_done(m, i);
            return true;
        }
    for (size_t i = 0; i < m->facts.containers.n; i++) {
        ContainerFact *f = &m->facts.containers.v[i];
        if (f->state == RUN_RUNNING && (f->kill_at_ns != NS_NONE || f->term_at_ns != NS_NONE) && k-- == 0) {
            ended(m, f, f->kill_at_ns != NS_NONE ? 137 : 143, false);
            return true;
        }
    }
    for (size_t i = 0; i < m->facts.containers.n; i++)
        if (m->removing[fact_serial(&m->facts.containers.v[i])] && k-- == 0) {
            remove_done(m, i);
            return true;
        }
    /* Plain init containers end with 0 of themselves: not an event of the budget, or nothing would get ready. */
    for (size_t i = 0; i < m->facts.containers.n; i++) {
        ContainerFact *f = &m->facts.containers.v[i];
        size_t c = ctr_index(f->name);
        if (f->state == RUN_RUNNING && the_case->init[c] && !the_case->sidecar[c] && f->kill_at_ns == NS_NONE &&
            f->term_at_ns == NS_NONE && k-- == 0) {
            ended(m, f, 0, true);
            return true;
        }
    }
    return false;
}

static bool triggers(size_t i, int32_t code)
{
    FeatureGates g;
    features_default(&g);
    const ContainerList *l = the_case->init[i] ? &the_pod->spec.init_containers : &the_pod->spec.containers;
    LIST_EACH(c, l)
    {
        if (str_eq(c->name, the_case->ctr[i]))
            return plan_triggers_restart_all(c, code, &g);
    }
    return false;
}

/* --- at rest ---------------------------------------------------------------------------------------------------------- */

/* Lets everything under way happen, and no more; then the Pod must be where it belongs. */
static void check_rest(const Model *from)
{
    Model m = model_copy(from);
    int steps = 0;
    for (;; steps++) {
        if (steps > 300) {
            complain(&m, "does not come to rest", "Pod");
            break;
        }
        bool moved = turn(&m);
        if (!complete(&m, 0) && !moved)
            break;
    }
    INVARIANT(&m, !m.owed, "a trigger was lost");
    INVARIANT(&m, !restarting(&m.mem), "still restarting");
    if (m.deleted || m.terminating) {
        INVARIANT(&m, m.finished, "not finished");
        INVARIANT(&m, m.facts.containers.n == 0 && m.facts.sandboxes.n == 0, "something is left");
    } else {
        for (size_t i = 0; i < N_CTR && the_case->ctr[i]; i++) {
            const ContainerFact *f = pod_facts_newest(&m.facts, the_case->ctr[i]);
            const ContainerStatus *s = status_of(&m.mem, i);
            INVARIANT(&m, f != NULL, the_case->ctr[i]);
            if (!f || !s)
                continue;
            if (!the_case->init[i] || the_case->sidecar[i])
                INVARIANT(&m, f->state == RUN_RUNNING || str_eq(the_pod->spec.restart_policy, "Never"), the_case->ctr[i]);
            INVARIANT(&m, s->restart_count.v == f->attempt, the_case->ctr[i]);
            /* The truth about the run before. */
            const ContainerStateTerminated *t = s->last_state ? s->last_state->terminated : NULL;
            const End *e = &m.end[i];
            if (f->state != RUN_RUNNING || !e->ended)
                continue;
            INVARIANT(&m, t != NULL && !str_empty(t->container_id), the_case->ctr[i]);
            if (t && e->by_itself)
                INVARIANT(&m, t->exit_code.v == e->code && !str_eq(t->reason, "RestartingAllContainers"), the_case->ctr[i]);
            else if (t && e->reset)
                INVARIANT(&m, t->exit_code.v == 137 && str_eq(t->reason, "RestartingAllContainers"), the_case->ctr[i]);
        }
    }
    model_done(&m);
}

/* --- search ----------------------------------------------------------------------------------------------------------- */

static void explore(Model *m);

static void go(Model *next)
{
    explore(next);
    model_done(next);
}

/* Everything under way was done or not, in every combination (<= 2^bits). */
static void crash(const Model *m)
{
    size_t ops = 0;
    for (;; ops++) {
        Model probe = model_copy(m);
        bool more = complete(&probe, ops);
        model_done(&probe);
        if (!more)
            break;
    }
    for (int disk = 0; disk < 2; disk++)
        for (size_t mask = 0; mask < (size_t)1 << ops; mask++) {
            Model c = model_copy(m);
            c.crashes_left--;
            for (size_t k = ops; k-- > 0;) /* from the last: an index then stays what it was */
                if (mask & ((size_t)1 << k))
                    (void)complete(&c, k);
            memset(c.starting, 0, sizeof c.starting);
            memset(c.removing, 0, sizeof c.removing);
            c.sandbox_coming = false;
            LIST_EACH(f, &c.facts.containers)
            {
                f->stop_since_ns = f->term_at_ns = f->kill_at_ns = NS_NONE;
                mem_set_str(&f->stop_reason, NULL);
            }
            if (disk) {
                api_done(&type_PodStatus, &c.mem);
                api_copy_into(&type_PodStatus, &c.mem, &c.disk);
            } else {
                api_done(&type_PodStatus, &c.disk);
                api_copy_into(&type_PodStatus, &c.disk, &c.mem);
            }
            go(&c);
        }
}

static void explore(Model *m)
{
    if (!seen_add(model_hash(m)) || n_complaints > 5)
        return;
    n_states++;
    check_rest(m);
    {
        Model c = model_copy(m);
        if (turn(&c))
            explore(&c);
        model_done(&c);
    }
    for (size_t k = 0;; k++) {
        Model c = model_copy(m);
        bool more = complete(&c, k);
        if (more)
            explore(&c);
        model_done(&c);
        if (!more)
            break;
    }
    for (size_t i = 0; m->exits_left > 0 && i < m->facts.containers.n; i++) {
        const ContainerFact *f = &m->facts.containers.v[i];
        size_t ctr = ctr_index(f->name);
        for (size_t k = 0; f->state == RUN_RUNNING && k < 3 && the_case->codes[ctr][k] >= 0; k++) {
            Model c = model_copy(m);
            c.exits_left--;
            int32_t code = the_case->codes[ctr][k];
            ended(&c, &c.facts.containers.v[i], code, true);
            if (triggers(ctr, code) && !c.terminating && !c.deleted)
                c.owed = true;
            go(&c);
        }
    }
    if (m->deletes_left > 0 && !m->deleted) {
        Model c = model_copy(m);
        c.deletes_left--;
        c.deleted = true;
        c.owed = false;
        go(&c);
    }
    if (m->boxes_left > 0 && m->facts.sandboxes.n && m->facts.sandboxes.v[0].state == SANDBOX_READY) {
        Model c = model_copy(m);
        c.boxes_left--;
        c.facts.sandboxes.v[0].state = SANDBOX_NOT_READY;
        go(&c);
    }
    if (m->crashes_left > 0)
        crash(m);
}

static void run_case(const Case *c)
{
    the_case = c;
    the_pod = NULL;
    CHECK_OK(api_decode_text(&type_Pod, c->pod, strlen(c->pod), (void **)&the_pod));
    n_states = n_turns = n_complaints = n_seen = 0;
    if (seen)
        memset(seen, 0, cap_seen * sizeof *seen);
    Model m = {.exits_left = c->exits, .crashes_left = c->crashes, .deletes_left = c->deletes, .boxes_left = c->boxes};
    unsigned before = check_failures;
    explore(&m);
    model_done(&m);
    printf("# %s: %zu states, %zu turns\n", c->name, n_states, n_turns);
    CHECK(check_failures == before);
    CHECK(n_states > 100);
    pod_free(the_pod);
}

#define RULE88 "\"restartPolicyRules\":[{\"action\":\"RestartAllContainers\",\"exitCodes\":{\"operator\":\"In\",\"values\":[88]}}]"
#define META "\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u\"}"

static void test_sidecar_source(void)
{
    run_case(&(Case){
        .name = "init, sidecar with the rule, regular; Never",
        .pod = "{" META ",\"spec\":{\"restartPolicy\":\"Never\",\"initContainers\":[{\"name\":\"i\",\"image\":\"x\"},"
               "{\"name\":\"s\",\"image\":\"x\",\"restartPolicy\":\"Always\"," RULE88 "}],"
               "\"containers\":[{\"name\":\"m\",\"image\":\"x\"}]}}",
        .ctr = {"i", "s", "m"}, .init = {true, true}, .sidecar = {false, true},
        .codes = {{-1}, {88, -1}, {0, -1}}, .exits = 2, .crashes = 1,
    });
}

static void test_two_sources(void)
{
    run_case(&(Case){
        .name = "sidecar and regular may both ask; Always",
        .pod = "{" META ",\"spec\":{\"restartPolicy\":\"Always\",\"initContainers\":["
               "{\"name\":\"s\",\"image\":\"x\",\"restartPolicy\":\"Always\"," RULE88 "}],"
               "\"containers\":[{\"name\":\"m\",\"image\":\"x\",\"restartPolicy\":\"Always\"," RULE88 "},"
               "{\"name\":\"n\",\"image\":\"x\"}]}}",
        .ctr = {"s", "m", "n"}, .init = {true}, .sidecar = {true},
        .codes = {{88, -1}, {88, 1, -1}, {1, -1}}, .exits = 2, .crashes = 1,
    });
}

static void test_deleted_meanwhile(void)
{
    run_case(&(Case){
        .name = "deleted at any moment",
        .pod = "{" META ",\"spec\":{\"restartPolicy\":\"Always\",\"initContainers\":[{\"name\":\"i\",\"image\":\"x\"},"
               "{\"name\":\"s\",\"image\":\"x\",\"restartPolicy\":\"Always\"," RULE88 "}],"
               "\"containers\":[{\"name\":\"m\",\"image\":\"x\"}]}}",
        .ctr = {"i", "s", "m"}, .init = {true, true}, .sidecar = {false, true},
        .codes = {{-1}, {88, -1}, {-1}}, .exits = 1, .crashes = 1, .deletes = 1,
    });
}

static void test_init_source(void)
{
    run_case(&(Case){
        .name = "init container with the rule, policy Never; two crashes",
        .pod = "{" META ",\"spec\":{\"restartPolicy\":\"Never\",\"initContainers\":["
               "{\"name\":\"i\",\"image\":\"x\",\"restartPolicy\":\"Never\"," RULE88 "}],"
               "\"containers\":[{\"name\":\"m\",\"image\":\"x\",\"restartPolicy\":\"Never\"," RULE88 "}]}}",
        .ctr = {"i", "m"}, .init = {true}, .sidecar = {false},
        .codes = {{88, 1, -1}, {88, 0, -1}}, .exits = 2, .crashes = 2,
    });
}

static void test_sandbox_dies(void)
{
    run_case(&(Case){
        .name = "the sandbox dies at any moment; Always",
        .pod = "{" META ",\"spec\":{\"restartPolicy\":\"Always\",\"initContainers\":[{\"name\":\"i\",\"image\":\"x\"},"
               "{\"name\":\"s\",\"image\":\"x\",\"restartPolicy\":\"Always\"," RULE88 "}],"
               "\"containers\":[{\"name\":\"m\",\"image\":\"x\"}]}}",
        .ctr = {"i", "s", "m"}, .init = {true, true}, .sidecar = {false, true},
        .codes = {{-1}, {88, -1}, {-1}}, .exits = 1, .crashes = 1, .boxes = 1,
    });
}

static void test_sandbox_dies_never(void)
{
    run_case(&(Case){
        .name = "the sandbox dies at any moment; Never",
        .pod = "{" META ",\"spec\":{\"restartPolicy\":\"Never\",\"initContainers\":[{\"name\":\"i\",\"image\":\"x\"},"
               "{\"name\":\"s\",\"image\":\"x\",\"restartPolicy\":\"Always\"," RULE88 "}],"
               "\"containers\":[{\"name\":\"m\",\"image\":\"x\"}]}}",
        .ctr = {"i", "s", "m"}, .init = {true, true}, .sidecar = {false, true},
        .codes = {{-1}, {88, -1}, {-1}}, .exits = 1, .crashes = 1, .boxes = 1,
    });
}

TESTS(T(test_sandbox_dies), T(test_sandbox_dies_never), T(test_sidecar_source), T(test_two_sources), T(test_deleted_meanwhile), T(test_init_source))
