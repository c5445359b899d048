#include "plan_dsl.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

static int64_t ago(const char *s)
{
    return DSL_NOW - (int64_t)(strtod(s, NULL) * (double)NS_PER_S);
}
static int64_t secs(const char *s)
{
    return (int64_t)(strtod(s, NULL) * (double)NS_PER_S);
}

/* Value of ",key=value" in <token>, copied into a static buffer; NULL if absent. "key" alone gives "". */
static const char *mod(const char *token, const char *key)
{
    static char buf[4][128];
    static unsigned turn;
    char *out = buf[turn++ % 4];
    size_t k = strlen(key);
    for (const char *p = strchr(token, ','); p; p = strchr(p, ',')) {
        p++;
        if (strncmp(p, key, k) != 0 || (p[k] != '=' && p[k] != ',' && p[k]))
            continue;
        if (p[k] != '=')
            return "";
        size_t n = strcspn(p + k + 1, ",");
        (void)snprintf(out, 128, "%.*s", (int)n, p + k + 1);
        return out;
    }
    return NULL;
}

static void unknown(const char *token)
{
    fprintf(stderr, "plan_dsl: cannot read \"%s\"\n", token);
    abort();
}

static HookState hook(const char *s)
{
    return !s ? HOOK_NONE : str_eq(s, "running") ? HOOK_RUNNING : str_eq(s, "done") ? HOOK_DONE : str_eq(s, "failed") ? HOOK_FAILED : HOOK_NONE;
}

static void add_box(World *w, const char *t, bool dead)
{
    const char *colon = strchr(t, ':');
    SandboxFact *s = LIST_ADD(&w->facts.sandboxes);
    s->attempt = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
    s->id = mem_fmt("b%u", s->attempt);
    s->state = dead ? SANDBOX_NOT_READY : SANDBOX_READY;
    *LIST_ADD(&s->ips) = mem_dup_str("10.0.0.2");
}

static void add_instance(World *w, const char *t)
{
    const char *sharp = strchr(t, '#'), *eq = strchr(t, '=');
    ContainerFact *f = LIST_ADD(&w->facts.containers);
    f->name = mem_dup_strn(t, (size_t)(sharp - t));
    f->attempt = (uint32_t)strtoul(sharp + 1, NULL, 10);
    f->id = mem_fmt("%s.%u", f->name, f->attempt);
    f->sandbox_id = mem_dup_str(mod(t, "box"));
    f->spec_hash = mem_dup_str(mod(t, "hash"));
    f->reason = mem_dup_str(mod(t, "reason"));
    f->stop_reason = mem_dup_str(mod(t, "stop"));
    f->created_at_ns = f->started_at_ns = ago("60");
    f->finished_at_ns = f->stop_since_ns = f->term_at_ns = f->kill_at_ns = NS_NONE;
    f->pre_stop = hook(mod(t, "pre"));
    eq++;
    if (str_starts(eq, "created")) {
        f->state = RUN_CREATED;
        f->started_at_ns = NS_NONE;
    } else if (str_starts(eq, "running")) {
        f->state = RUN_RUNNING;
        f->post_start = mod(t, "post") ? hook(mod(t, "post")) : HOOK_DONE;
    } else if (str_starts(eq, "unknown")) {
        f->state = RUN_UNKNOWN;
    } else if (str_starts(eq, "exit:")) {
        f->state = RUN_EXITED;
        f->exit_known = eq[5] != '?';
        f->exit_code = f->exit_known ? (int32_t)strtol(eq + 5, NULL, 10) : 0;
        f->finished_at_ns = ago(mod(t, "fin") ? mod(t, "fin") : "1");
    } else {
        unknown(t);
    }
    if (mod(t, "since"))
        f->stop_since_ns = ago(mod(t, "since"));
    f->stop_grace_ns = mod(t, "grace") ? secs(mod(t, "grace")) : 30 * NS_PER_S;
    if (mod(t, "term"))
        f->term_at_ns = ago(mod(t, "term"));
    if (mod(t, "kill"))
        f->kill_at_ns = ago(mod(t, "kill"));
}

static ContainerState *terminated(int64_t code, const char *id)
{
    ContainerState *s = NEW(ContainerState);
    s->terminated = NEW(ContainerStateTerminated);
    s->terminated->exit_code = (OptInt){true, code};
    s->terminated->reason = mem_dup_str(code ? "Error" : "Completed");
    s->terminated->container_id = mem_fmt("reprise://%s", id);
    return s;
}

static void add_old(World *w, const char *t)
{
    const char *eq = strchr(t, '=');
    SCOPED(mem_free) char *name = mem_dup_strn(t, (size_t)(eq - t));
    PodStatus *st = &w->pod->status;
    ContainerStatusList *l = &st->container_statuses;
    LIST_EACH(c, &w->pod->spec.init_containers)
        if (str_eq(c->name, name))
            l = &st->init_container_statuses;
    LIST_EACH(c, &w->pod->spec.ephemeral_containers)
        if (str_eq(c->name, name))
            l = &st->ephemeral_container_statuses;
    ContainerStatus *s = LIST_ADD(l);
    s->name = mem_dup_str(name);
    s->restart_count = (OptInt){true, mod(t, "n") ? strtol(mod(t, "n"), NULL, 10) : 0};
    s->ready = (OptBool){true, mod(t, "ready") != NULL};
    s->started = (OptBool){true, mod(t, "started") != NULL};
    SCOPED(mem_free) char *id = mod(t, "id") ? mem_dup_str(mod(t, "id")) : mem_fmt("%s.%" PRId64, name, s->restart_count.v);
    eq++;
    if (str_starts(eq, "running")) {
        s->state = NEW(ContainerState);
        s->state->running = NEW(ContainerStateRunning);
        s->state->running->started_at = (OptTime){true, ago("60")};
        s->container_id = mem_fmt("reprise://%s", id);
    } else if (str_starts(eq, "exit:")) {
        s->state = terminated(strtol(eq + 5, NULL, 10), id);
        s->container_id = mem_fmt("reprise://%s", id);
    } else if (str_starts(eq, "waiting")) {
        s->state = NEW(ContainerState);
        s->state->waiting = NEW(ContainerStateWaiting);
        if (eq[7] == ':')
            s->state->waiting->reason = mem_dup_strn(eq + 8, strcspn(eq + 8, ","));
        if (mod(t, "id"))
            s->container_id = mem_fmt("reprise://%s", id);
    } else {
        unknown(t);
    }
    if (mod(t, "last"))
        s->last_state = terminated(strtol(mod(t, "last"), NULL, 10), "before");
}

static void add_start(StartFact *s, const char *t)
{
    const char *eq = strchr(t, '=');
    s->container = mem_dup_strn(t, (size_t)(eq - t));
    s->at_ns = mod(t, "at") ? ago(mod(t, "at")) : DSL_NOW;
    s->state = str_starts(eq + 1, "inflight") ? START_IN_FLIGHT : START_FAILED;
    if (s->state == START_FAILED) {
        s->reason = mem_dup_strn(eq + 1, strcspn(eq + 1, ","));
        s->message = mem_dup_str("why");
    }
}

static void add_standby(World *w, const char *t)
{
    const char *sharp = strchr(t, '#');
    StandbyFact *s = LIST_ADD(&w->facts.standbys);
    s->name = mem_dup_strn(t, (size_t)(sharp - t));
    s->attempt = (uint32_t)strtoul(sharp + 1, NULL, 10);
    s->id = mem_fmt("%s.%u!", s->name, s->attempt);
    s->sandbox_id = mem_dup_str(mod(t, "box") ? mod(t, "box") : "b0");
}

static void annotate(World *w, const char *value)
{
    StrMap *m = &w->pod->metadata.annotations;
    m->v = mem_grow(m->v, m->n + 1, sizeof *m->v);
    m->v[m->n].key = mem_dup_str("reprise.io/prepare");
    m->v[m->n++].value = mem_dup_str(value);
}

static void add_probe(World *w, const char *t)
{
    const char *eq = strchr(t, '=');
    ProbeFact *p = LIST_ADD(&w->in.probes);
    p->container = mem_dup_strn(t, (size_t)(eq - t));
    static const char letters[] = "slr";
    for (const char *c = eq + 1; *c; c++)
        for (int k = 0; k < PROBE_KIND_N; k++)
            if ((*c | 32) == letters[k])
                p->result[k] = *c & 32 ? PROBE_FAILURE : PROBE_SUCCESS;
}

static void add_backoff(World *w, const char *t)
{
    const char *eq = strchr(t, '=');
    BackoffEntry *b = LIST_ADD(&w->in.backoff);
    b->key = mem_dup_strn(t, (size_t)(eq - t));
    b->delay_ns = secs(eq + 1);
    b->last_update_ns = ago(mod(t, "at"));
}

static void setup(SetupFact *s, const char *t)
{
    s->in_flight = str_starts(t, "inflight");
    s->failed = str_starts(t, "failed");
    s->at_ns = mod(t, "at") ? ago(mod(t, "at")) : DSL_NOW;
}

static void add_word(World *w, const char *t)
{
    if (str_starts(t, "box"))
        add_box(w, t, false);
    else if (str_starts(t, "deadbox"))
        add_box(w, t, true);
    else if (str_starts(t, "start:"))
        add_start(LIST_ADD(&w->in.starts), t + 6);
    else if (str_starts(t, "preparing:"))
        add_start(LIST_ADD(&w->in.prepares), t + 10);
    else if (str_starts(t, "standby:"))
        add_standby(w, t + 8);
    else if (str_starts(t, "prepare:"))
        w->in.config.prepare = str_eq(t + 8, "gate") ? PREPARE_GATE : str_eq(t + 8, "create") ? PREPARE_CREATE : PREPARE_OFF;
    else if (str_starts(t, "annotate:"))
        annotate(w, t + 9);
    else if (str_starts(t, "probe:"))
        add_probe(w, t + 6);
    else if (str_starts(t, "old:"))
        add_old(w, t + 4);
    else if (str_starts(t, "backoff:"))
        add_backoff(w, t + 8);
    else if (str_starts(t, "sandbox:"))
        setup(&w->in.sandbox, t + 8);
    else if (str_starts(t, "volumes:"))
        setup(&w->in.volumes, t + 8);
    else if (str_starts(t, "cond:")) {
        PodCondition *c = LIST_ADD(&w->pod->status.conditions);
        c->type = mem_dup_str(str_eq(t + 5, "restarting") ? "AllContainersRestarting" : t + 5);
        c->status = mem_dup_str("True");
        c->last_transition_time = (OptTime){true, ago("3600")};
    } else if (str_starts(t, "phase:"))
        mem_set_str(&w->pod->status.phase, t + 6);
    else if (str_starts(t, "began="))
        w->pod->status.start_time = (OptTime){true, ago(t + 6)};
    else if (str_eq(t, "deleted:now")) {
        w->pod->metadata.deletion_timestamp = (OptTime){true, DSL_NOW};
        w->pod->metadata.deletion_grace_period_seconds = (OptInt){true, 0};
    } else if (str_starts(t, "deleted=")) {
        w->pod->metadata.deletion_timestamp = (OptTime){true, DSL_NOW + secs(t + 8)};
    } else if (str_starts(t, "term:")) {
        w->in.terminating = true;
        w->in.terminating_reason = mem_dup_strn(t + 5, strcspn(t + 5, ","));
        w->in.terminating_since_ns = mod(t, "at") ? ago(mod(t, "at")) : DSL_NOW;
        w->in.terminating_grace_ns = mod(t, "grace") ? secs(mod(t, "grace")) : 30 * NS_PER_S;
    } else if (str_eq(t, "gates:off"))
        w->in.gates.RestartAllContainersOnContainerExits = false;
    else if (str_eq(t, "nobackoff"))
        w->in.config.restart_all_backoff = false;
    else if (strchr(t, '#'))
        add_instance(w, t);
    else
        unknown(t);
}

void world_init(World *w, const char *spec, const char *world)
{
    *w = (World){0};
    SCOPED(mem_free) char *text =
        mem_fmt("{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u1\"},\"spec\":{%s}}", spec);
    SCOPED(err_free) Err *e = api_decode_text(&type_Pod, text, strlen(text), (void **)&w->pod);
    if (e) {
        SCOPED(mem_free) char *why = err_text(e);
        fprintf(stderr, "%s\n%s\n", why, text);
        abort();
    }
    w->in = (PlanInput){.now_ns = DSL_NOW, .pod = w->pod, .runtime = &w->facts};
    plan_config_default(&w->in.config);
    features_default(&w->in.gates);
    w->pod->status.start_time = (OptTime){true, ago("3600")};
    SCOPED(mem_free) char *copy = mem_dup_str(world);
    char *save = NULL;
    for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save))
        add_word(w, t);
}

void world_done(World *w)
{
    plan_input_done(&w->in);
    pod_facts_done(&w->facts);
    pod_free(w->pod);
}

static void state_words(Str *s, const ContainerState *st)
{
    if (!st)
        str_add(s, "-");
    else if (st->waiting)
        str_add(s, str_or(st->waiting->reason, "waiting"));
    else if (st->running)
        str_add(s, "run");
    else if (st->terminated)
        str_fmt(s, "%d:%s", (int)st->terminated->exit_code.v, st->terminated->reason);
}

static void statuses_words(Str *s, const ContainerStatusList *l)
{
    LIST_EACH(c, l)
    {
        str_fmt(s, " %s=", c->name);
        state_words(s, c->state);
        if (c->last_state) {
            str_add(s, "<");
            state_words(s, c->last_state);
        }
        str_fmt(s, "#%d%s%s", (int)c->restart_count.v, c->ready.v ? "r" : "", c->started.v ? "s" : "");
    }
}

char *plan_words(const World *w, const Plan *p)
{
    Str s = {0};
    LIST_EACH(a, &p->actions)
    {
        str_fmt(&s, "%s%s", s.n ? ", " : "", action_names[a->kind]);
        if (a->container)
            str_fmt(&s, " %s", a->container);
        if (a->kind == ACT_START || a->kind == ACT_PREPARE || a->kind == ACT_CREATE_SANDBOX || (a->kind == ACT_REMOVE && a->container))
            str_fmt(&s, "#%u", a->attempt);
        else if (a->kind == ACT_KILL && !a->id)
            str_add(&s, "(start)");
        else if (a->kind == ACT_DISCARD || (a->id && !a->container))
            str_fmt(&s, " %s", a->id);
        if (a->kind == ACT_KILL || a->kind == ACT_KILL_POD)
            str_fmt(&s, " %" PRId64 "s %s", a->grace_ns / NS_PER_S, a->reason);
        if (a->kind == ACT_WAIT)
            str_fmt(&s, "(%s)", a->reason);
    }
    str_fmt(&s, " | %s |", str_or(p->status.phase, "?"));
    statuses_words(&s, &p->status.init_container_statuses);
    statuses_words(&s, &p->status.container_statuses);
    statuses_words(&s, &p->status.ephemeral_container_statuses);
    str_add(&s, " |");
    const PodCondition *c = plan_condition(&p->status, "AllContainersRestarting");
    if (c && str_eq(c->status, "True"))
        str_add(&s, " restarting");
    if (p->persist_first)
        str_add(&s, " persist");
    if (p->requeue_ns != NS_NONE)
        str_fmt(&s, " +%gs", (double)(p->requeue_ns - w->in.now_ns) / (double)NS_PER_S);
    if (p->finished)
        str_add(&s, " finished");
    return str_take(&s);
}
