/* view.c - keeps the last status of each Pod and says what changed: the lines, JSON and YAML modes. */
#include <stdio.h>
#include <unistd.h>

#include "api/objects.h"
#include "cli/view_priv.h"
#include "plan/plan.h"
#include "wire/yaml.h"

/* --- questions about a Pod --------------------------------------------------------------------------------------- */

static const ContainerStatus *status_in(const ContainerStatusList *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].name, name))
            return &l->v[i];
    return NULL;
}

bool view_row_at(const Pod *p, size_t i, ContainerRow *ret)
{
    const struct {
        const ContainerList *spec;
        const ContainerStatusList *status;
        ContainerKind kind;
    } lists[] = {
        {&p->spec.init_containers, &p->status.init_container_statuses, KIND_INIT},
        {&p->spec.containers, &p->status.container_statuses, KIND_MAIN},
        {&p->spec.ephemeral_containers, &p->status.ephemeral_container_statuses, KIND_EPHEMERAL},
    };
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        if (i >= lists[l].spec->n) {
            i -= lists[l].spec->n;
            continue;
        }
        const Container *c = &lists[l].spec->v[i];
        bool sidecar = lists[l].kind == KIND_INIT && container_is_sidecar(c);
        *ret = (ContainerRow){sidecar ? KIND_SIDECAR : lists[l].kind, c, status_in(lists[l].status, c->name)};
        return true;
    }
    return false;
}

const ContainerStatus *view_status_of(const Pod *p, const char *name)
{
    ContainerRow row;
    for (size_t i = 0; p && view_row_at(p, i, &row); i++)
        if (str_eq(row.spec->name, name))
            return row.status;
    return NULL;
}

const char *view_kind_name(ContainerKind k)
{
    static const char *const names[KIND_N] = {
        [KIND_INIT] = "init", [KIND_SIDECAR] = "sidecar", [KIND_MAIN] = "main", [KIND_EPHEMERAL] = "ephemeral"};
    return names[k];
}

bool view_is_running(const ContainerStatus *s)
{
    return s && s->state && s->state->running;
}

const ContainerStateTerminated *view_terminated(const ContainerStatus *s)
{
    return s && s->state ? s->state->terminated : NULL;
}

bool view_condition_true(const Pod *p, const char *type)
{
    const PodCondition *c = plan_condition(&p->status, type);
    return c && str_eq(c->status, "True");
}

static const char *waiting_reason(const ContainerStatus *s)
{
    return s && s->state && s->state->waiting ? str_or(s->state->waiting->reason, "") : NULL;
}

/* "exited 0", "exited 137 OOMKilled", "killed for the in-place restart", "exit code unknown". Error and Completed add nothing. */
static char *terminated_text(const ContainerStateTerminated *t)
{
    const char *reason = str_or(t->reason, "");
    if (str_eq(reason, "RestartingAllContainers"))
        return mem_dup_str("killed for the in-place restart");
    if (str_eq(reason, "ContainerStatusUnknown"))
        return mem_dup_str("gone, its exit code is unknown");
    bool plain = str_eq(reason, "") || str_eq(reason, "Error") || str_eq(reason, "Completed");
    return mem_fmt("exited %lld%s%s", (long long)t->exit_code.v, plain ? "" : " ", plain ? "" : reason);
}

char *view_state_text(const ContainerStatus *s)
{
    const ContainerStateTerminated *t = view_terminated(s);
    if (view_is_running(s))
        return mem_dup_str("Running");
    if (t)
        return t->exit_code.v == 0 && str_eq(str_or(t->reason, "Completed"), "Completed") ? mem_dup_str("Completed")
                                                                                             : terminated_text(t);
    const char *reason = waiting_reason(s);
    return mem_dup_str(str_empty(reason) ? "Waiting" : reason);
}

char *view_duration(int64_t ns)
{
    int64_t ms = (ns + NS_PER_MS / 2) / NS_PER_MS;
    if (ms < 1000)
        return mem_fmt("%lldms", (long long)ms);
    if (ms < 60000)
        return mem_fmt("%.1fs", (double)ms / 1e3);
    int64_t s = ms / 1000;
    return s < 3600 ? mem_fmt("%lldm%llds", (long long)s / 60, (long long)s % 60)
                    : mem_fmt("%lldh%lldm", (long long)s / 3600, (long long)s / 60 % 60);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

bool view_mode_parse(const char *text, FILE *f, ViewMode *ret)
{
    static const struct {
        const char *name;
        ViewMode mode;
    } modes[] = {{"live", VIEW_LIVE}, {"lines", VIEW_LINES}, {"json", VIEW_JSON}, {"yaml", VIEW_YAML}};
    if (str_empty(text)) {
        const char *term = getenv("TERM");
        bool can = isatty(fileno(f)) && !str_empty(term) && !str_eq(term, "dumb");
        *ret = can ? VIEW_LIVE : VIEW_LINES;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (str_eq(text, modes[i].name)) {
            *ret = modes[i].mode;
            return true;
        }
    }
    return false;
}

View *view_new(ViewMode mode, FILE *f, bool colour)
{
    View *v = NEW(View);
    v->mode = mode;
    v->f = f;
    v->colour = colour;
    v->start_ns = NS_NONE;
    return v;
}

void view_set_size(View *v, int columns, int rows)
{
    v->columns = columns;
    v->rows = rows;
}

void view_free(View *v)
{
    if (!v)
        return;
    if (!v->finished)
        view_live_end(v, NS_NONE);
    for (size_t i = 0; i < v->pods.n; i++) {
        free(v->pods.v[i].key);
        pod_free(v->pods.v[i].last);
        view_restarts_done(&v->pods.v[i]);
    }
    free(v->pods.v);
    for (size_t i = 0; i < v->logs.n; i++) {
        free(v->logs.v[i].pod);
        free(v->logs.v[i].container);
        str_done(&v->logs.v[i].partial);
    }
    free(v->logs.v);
    strvec_done(&v->recent);
    free(v);
}

static const char *pod_key(const Pod *p)
{
    return str_or(p->metadata.uid, str_or(p->metadata.name, ""));
}

static PodEntry *entry_of(const View *v, const char *key)
{
    for (size_t i = 0; i < v->pods.n; i++)
        if (str_eq(v->pods.v[i].key, key))
            return &v->pods.v[i];
    return NULL;
}

const ViewRestart *view_restarts(const View *v, const char *uid, size_t *ret_n)
{
    const PodEntry *e = entry_of(v, uid);
    *ret_n = e ? e->restarts.n : 0;
    return e ? e->restarts.v : NULL;
}

void view_paint(const View *v, Str *s, Paint p, const char *text)
{
    static const char *const codes[] = {[PAINT_PLAIN] = "", [PAINT_GOOD] = "32", [PAINT_BAD] = "31",
                                        [PAINT_BUSY] = "33", [PAINT_DIM] = "2", [PAINT_BOLD] = "1"};
    if (!v->colour || p == PAINT_PLAIN)
        str_add(s, text);
    else
        str_fmt(s, "\033[%sm%s\033[0m", codes[p], text);
}

/* --- lines ------------------------------------------------------------------------------------------------------- */

static void put_line(View *v, const char *line)
{
    if (v->mode == VIEW_LIVE) {
        view_live_log(v, line);
        return;
    }
    fprintf(v->f, "%s\n", line);
    fflush(v->f);
}

static size_t widest_container(const Pod *p)
{
    size_t width = 0;
    ContainerRow row;
    for (size_t i = 0; view_row_at(p, i, &row); i++)
        width = strlen(row.spec->name) > width ? strlen(row.spec->name) : width;
    return width;
}

/* "  12.345s  ml-worker-pod  watcher-sidecar  exited 88". <container> NULL = of the whole Pod. */
static void say(View *v, const Pod *p, const char *container, int64_t now_ns, Paint paint, const char *text)
{
    SCOPED(str_done) Str s = {0}, when = {0}, safe = {0};
    str_fmt(&when, "%9.3fs", (double)(now_ns - v->start_ns) / 1e9);
    view_paint(v, &s, PAINT_DIM, when.p);
    str_fmt(&s, "  %s  %-*s  ", p->metadata.name, (int)widest_container(p), str_or(container, ""));
    view_add_safe(&safe, text, strlen(text));
    view_paint(v, &s, paint, str_or(safe.p, ""));
    put_line(v, s.p);
}

static void say_take(View *v, const Pod *p, const char *container, int64_t now_ns, Paint paint, char *text)
{
    say(v, p, container, now_ns, paint, text);
    free(text);
}

static bool same_instance(const ContainerStateTerminated *a, const ContainerStateTerminated *b)
{
    return a && b && str_eq(a->container_id, b->container_id) && a->finished_at.ns == b->finished_at.ns &&
           a->exit_code.v == b->exit_code.v;
}

static void say_terminated(View *v, const Pod *p, const char *name, const ContainerStateTerminated *t, bool restarts_all,
                           int64_t now_ns)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(mem_free) char *text = terminated_text(t);
    str_add(&s, text);
    if (restarts_all)
        str_add(&s, " → RestartAllContainers");
    else if (!str_empty(t->message) && !str_eq(t->reason, "RestartingAllContainers"))
        str_fmt(&s, ": %.*s", 160, t->message);
    bool expected = t->exit_code.v == 0 || str_eq(t->reason, "RestartingAllContainers");
    say(v, p, name, now_ns, restarts_all ? PAINT_BUSY : expected ? PAINT_PLAIN : PAINT_BAD, s.p);
}

/* The exit that triggered the restart that begins with this status. */
static bool is_source(const PodEntry *e, const Pod *p, const char *name)
{
    if (e->restarts.n == 0 || !view_condition_true(p, "AllContainersRestarting"))
        return false;
    return str_eq(e->restarts.v[e->restarts.n - 1].source, name);
}

static void say_waiting(View *v, const Pod *p, const ContainerRow *row, const ContainerStatus *was, int64_t now_ns)
{
    const char *reason = waiting_reason(row->status), *before = waiting_reason(was);
    if (str_empty(reason) || str_eq(reason, before) || str_eq(reason, "PodInitializing") ||
        str_eq(reason, "ContainerCreating"))
        return; /* the ordinary ways to begin: what follows says enough */
    if (str_eq(reason, "RestartingAllContainers")) {
        say(v, p, row->spec->name, now_ns, PAINT_DIM, "removed");
        return;
    }
    const char *message = str_or(row->status->state->waiting->message, "");
    say_take(v, p, row->spec->name, now_ns, PAINT_BAD,
             mem_fmt("waiting: %s%s%.*s", reason, *message ? ": " : "", 200, message));
}

static void say_started(View *v, const Pod *p, const ContainerStatus *now, int64_t now_ns)
{
    bool again = now->restart_count.v > 0;
    say_take(v, p, now->name, now_ns, PAINT_GOOD,
             again ? mem_fmt("started, restart %lld", (long long)now->restart_count.v) : mem_dup_str("started"));
}

static void say_container(View *v, const PodEntry *e, const Pod *p, const ContainerRow *row, int64_t now_ns)
{
    const ContainerStatus *now = row->status, *was = view_status_of(e->last, row->spec->name);
    const char *name = row->spec->name;
    if (!now)
        return;
    const ContainerStateTerminated *t = view_terminated(now), *before = view_terminated(was);
    bool new_id = !str_eq(now->container_id, was ? was->container_id : NULL);
    /* An end between two statuses is only in lastState. */
    const ContainerStateTerminated *last = now->last_state ? now->last_state->terminated : NULL;
    if (view_is_running(was) && last && (new_id || (!t && !view_is_running(now))) &&
        !same_instance(last, was->last_state ? was->last_state->terminated : NULL))
        say_terminated(v, p, name, last, is_source(e, p, name), now_ns);

    /* An instance that is created already has its id while it waits: only one that was seen to run needs no more words. */
    bool seen_running = view_is_running(was) && !new_id;
    if (view_is_running(now) && !seen_running)
        say_started(v, p, now, now_ns);
    if (t && !same_instance(t, before)) {
        if (!seen_running && t->started_at.set)
            say_started(v, p, now, now_ns);
        say_terminated(v, p, name, t, is_source(e, p, name), now_ns);
    }
    say_waiting(v, p, row, was, now_ns);

    if (row->kind == KIND_INIT || row->kind == KIND_EPHEMERAL || !view_is_running(now))
        return;
    if (row->spec->startup_probe && now->started.v && !(was && was->started.v))
        say(v, p, name, now_ns, PAINT_PLAIN, "startup probe succeeded");
    if (row->spec->readiness_probe && now->ready.v != (was && was->ready.v))
        say(v, p, name, now_ns, now->ready.v ? PAINT_GOOD : PAINT_BUSY, now->ready.v ? "ready" : "not ready");
}

static void say_condition(View *v, const PodEntry *e, const Pod *p, const char *type, int64_t now_ns)
{
    const PodCondition *now = plan_condition(&p->status, type);
    const PodCondition *was = e->last ? plan_condition(&e->last->status, type) : NULL;
    if (!now || (was ? str_eq(was->status, now->status) : !str_eq(now->status, "True")))
        return;
    const char *why = str_empty(now->message) ? now->reason : now->message;
    say_take(v, p, NULL, now_ns, str_eq(now->status, "True") ? PAINT_GOOD : PAINT_PLAIN,
             mem_fmt("%s %s%s%s", type, now->status, str_empty(why) ? "" : ": ", str_or(why, "")));
}

/* What the restart machine of view_restart.c has just learnt. <n>, <was>: restarts and the last one, before this status. */
static void say_restart(View *v, const PodEntry *e, const Pod *p, size_t n, const ViewRestart *was, int64_t now_ns)
{
    if (e->restarts.n == 0)
        return;
    const ViewRestart *r = &e->restarts.v[e->restarts.n - 1];
    bool fresh = e->restarts.n > n;
    const PodCondition *c = plan_condition(&p->status, "AllContainersRestarting");
    if (fresh) {
        SCOPED(mem_free) char *cause = view_restart_cause(r);
        say_take(v, p, NULL, now_ns, PAINT_BUSY,
                 mem_fmt("in-place restart %zu begins: %s", e->restarts.n, c && !str_empty(c->message) ? c->message : cause));
    }
    if (r->removed_ns != NS_NONE && (fresh || was->removed_ns == NS_NONE)) {
        SCOPED(mem_free) char *span = view_duration(r->removed_ns - r->trigger_ns);
        say_take(v, p, NULL, now_ns, PAINT_BUSY, mem_fmt("all containers removed after %s, starting anew", span));
    }
    if (r->running_ns != NS_NONE && (fresh || was->running_ns == NS_NONE)) {
        SCOPED(mem_free) char *span = view_duration(r->running_ns - r->trigger_ns);
        say_take(v, p, NULL, now_ns, PAINT_GOOD, mem_fmt("in-place restart %zu done after %s", e->restarts.n, span));
    }
}

static void say_changes(View *v, const PodEntry *e, const Pod *p, size_t n_restarts, const ViewRestart *was, int64_t now_ns)
{
    const PodStatus *before = e->last ? &e->last->status : NULL;
    if (!str_empty(p->status.pod_ip) && !str_eq(p->status.pod_ip, before ? before->pod_ip : NULL))
        say_take(v, p, NULL, now_ns, PAINT_PLAIN, mem_fmt("sandbox ready, IP %s", p->status.pod_ip));
    ContainerRow row;
    for (size_t i = 0; view_row_at(p, i, &row); i++)
        say_container(v, e, p, &row, now_ns);
    say_restart(v, e, p, n_restarts, was, now_ns);
    if (!str_empty(p->status.phase) && !str_eq(p->status.phase, before ? before->phase : NULL)) {
        bool failed = str_eq(p->status.phase, "Failed");
        say_take(v, p, NULL, now_ns, failed ? PAINT_BAD : PAINT_BOLD,
                 mem_fmt("phase %s%s%s%s%s", p->status.phase, str_empty(p->status.reason) ? "" : ": ",
                         str_or(p->status.reason, ""), str_empty(p->status.message) ? "" : ": ",
                         str_or(p->status.message, "")));
    }
    say_condition(v, e, p, "Initialized", now_ns);
    say_condition(v, e, p, "Ready", now_ns);
    if (p->metadata.deletion_timestamp.set && !(e->last && e->last->metadata.deletion_timestamp.set))
        say_take(v, p, NULL, now_ns, PAINT_BUSY,
                 mem_fmt("being deleted, grace %llds", (long long)p->metadata.deletion_grace_period_seconds.v));
}

/* --- documents --------------------------------------------------------------------------------------------------- */

static void put_document(View *v, const char *type, const Pod *p, int64_t now_ns)
{
    json_t *pod = api_encode(&type_Pod, p);
    if (v->mode == VIEW_YAML) {
        SCOPED(json_unref) json_t *owned = pod;
        SCOPED(mem_free) char *text = yaml_text(owned);
        fprintf(v->f, "---\n%s%s", text, str_ends(text, "\n") ? "" : "\n");
    } else {
        SCOPED(json_unref) json_t *event = json_object();
        json_object_set_new(event, "type", json_string(type));
        json_object_set_new(event, "object", pod);
        char at[CLOCK_TEXT_MAX]; /* told after the fact: when the line comes does not say when it was */
        json_object_set_new(event, "at", json_string(clock_format(now_ns, 9, at)));
        SCOPED(mem_free) char *text = json_text(event, false);
        fprintf(v->f, "%s\n", text);
    }
    fflush(v->f);
}

/* --- calls ------------------------------------------------------------------------------------------------------- */

static bool is_documents(const View *v)
{
    return v->mode == VIEW_JSON || v->mode == VIEW_YAML;
}

void view_pod(View *v, const char *type, const Pod *p, int64_t now_ns)
{
    if (v->start_ns == NS_NONE)
        v->start_ns = now_ns;
    PodEntry *e = entry_of(v, pod_key(p));
    if (!e) {
        e = LIST_ADD(&v->pods);
        e->key = mem_dup_str(pod_key(p));
        e->first_ns = now_ns;
    }
    size_t n_restarts = e->restarts.n;
    ViewRestart was = n_restarts ? e->restarts.v[n_restarts - 1] : (ViewRestart){0};
    view_restart_update(e, e->last, p, now_ns);
    if (is_documents(v))
        put_document(v, type, p, now_ns);
    else if (v->mode == VIEW_LINES)
        say_changes(v, e, p, n_restarts, &was, now_ns);
    if (v->mode == VIEW_LINES && str_eq(type, "DELETED"))
        say(v, p, NULL, now_ns, PAINT_PLAIN, "deleted");
    pod_free(e->last);
    e->last = api_copy(&type_Pod, p);
    view_tick(v, now_ns);
}

void view_event(View *v, const Pod *p, bool warning, const char *reason, const char *message, const char *container,
                int64_t now_ns)
{
    /* What the statuses show anyway. */
    static const char *const shown[] = {"Scheduled", "Pulled", "Created", "Started", "Killing", "InPlaceRestartStarted",
                                        "InPlaceRestartCompleted"};
    if (is_documents(v))
        return;
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        if (!warning && str_eq(reason, shown[i]))
            return;
    if (v->start_ns == NS_NONE)
        v->start_ns = now_ns;
    say_take(v, p, container, now_ns, warning ? PAINT_BAD : PAINT_PLAIN,
             mem_fmt("%s%s: %s", warning ? "warning: " : "", reason, message));
}

static void put_log(View *v, const PartialLine *t, const char *bytes, size_t n)
{
    SCOPED(str_done) Str s = {0}, prefix = {0};
    if (v->pods.n > 1)
        str_fmt(&prefix, "[%s/%s]", t->pod, t->container);
    else
        str_fmt(&prefix, "[%s]", t->container);
    view_paint(v, &s, PAINT_DIM, prefix.p);
    str_add(&s, " ");
    view_add_safe(&s, bytes, n);
    put_line(v, s.p);
}

static PartialLine *partial_of(View *v, const char *pod, const char *container)
{
    for (size_t i = 0; i < v->logs.n; i++)
        if (str_eq(v->logs.v[i].pod, pod) && str_eq(v->logs.v[i].container, container))
            return &v->logs.v[i];
    PartialLine *t = LIST_ADD(&v->logs);
    t->pod = mem_dup_str(pod);
    t->container = mem_dup_str(container);
    return t;
}

static void flush_partial(View *v, PartialLine *t)
{
    if (t->partial.n)
        put_log(v, t, t->partial.p, t->partial.n);
    str_clear(&t->partial);
}

void view_log(View *v, const char *pod, const char *container, uint32_t attempt, const char *bytes, size_t n)
{
    (void)attempt; /* the lines around it say which run it is */
    enum { LINE_MAX_BYTES = 4096 }; /* a longer one is shown in pieces */
    if (is_documents(v))
        return;
    PartialLine *t = partial_of(v, pod, container);
    while (n > 0) {
        const char *end = memchr(bytes, '\n', n);
        size_t len = end ? (size_t)(end - bytes) : n;
        str_add_n(&t->partial, bytes, len);
        if (end) {
            put_log(v, t, str_or(t->partial.p, ""), t->partial.n);
            str_clear(&t->partial);
        } else if (t->partial.n > LINE_MAX_BYTES) {
            flush_partial(v, t);
        }
        len += end != NULL;
        bytes += len;
        n -= len;
    }
}

void view_note(View *v, const char *text)
{
    if (is_documents(v))
        fprintf(stderr, "reprise: %s\n", text);
    else
        put_line(v, text);
}

void view_tick(View *v, int64_t now_ns)
{
    if (v->mode == VIEW_LIVE && !v->finished)
        view_live_paint(v, now_ns);
}

void view_finish(View *v, int64_t now_ns)
{
    if (v->finished)
        return;
    for (size_t i = 0; i < v->logs.n; i++)
        flush_partial(v, &v->logs.v[i]);
    if (v->mode == VIEW_LIVE)
        view_live_end(v, now_ns);
    v->finished = true;
    if (is_documents(v))
        return;
    SCOPED(str_done) Str s = {0};
    for (size_t i = 0; i < v->pods.n; i++) {
        if (v->mode == VIEW_LINES) {
            SCOPED(strvec_done) StrVec table = {0};
            view_table(v, &v->pods.v[i], now_ns, &table);
            str_add(&s, "\n");
            for (size_t k = 0; k < table.n; k++)
                str_fmt(&s, "%s\n", table.v[k]);
        }
        view_timeline(v, &v->pods.v[i], &s);
    }
    fputs(str_or(s.p, ""), v->f);
    fflush(v->f);
}
