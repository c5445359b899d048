/* view_restart.c - follows each in-place restart through a Pod's statuses, and draws the timeline of them. */
#include "cli/view_priv.h"
#include "plan/plan.h"

/* The core has decided; this only finds the container to name. */
static bool exit_restarts_all(const Container *c, int64_t code)
{
    int rule = plan_match_rule(c, (int32_t)code);
    return rule >= 0 && str_eq(c->restart_policy_rules.v[rule].action, "RestartAllContainers");
}

static void find_source(const Pod *p, ViewRestart *r)
{
    ContainerRow row;
    for (size_t i = 0; view_row_at(p, i, &row); i++) {
        const ContainerStateTerminated *t = view_terminated(row.status);
        if (t && t->exit_code.set && exit_restarts_all(row.spec, t->exit_code.v)) {
            r->source = mem_dup_str(row.spec->name);
            r->exit_code = (int32_t)t->exit_code.v;
            return;
        }
    }
}

typedef struct { bool running, init_left, main_left; } Progress;

static Progress look(const Pod *p)
{
    Progress s = {0};
    ContainerRow row;
    for (size_t i = 0; view_row_at(p, i, &row); i++) {
        const ContainerStateTerminated *t = view_terminated(row.status);
        bool runs = view_is_running(row.status);
        switch (row.kind) {
        case KIND_INIT:
            s.init_left = s.init_left || !t || t->exit_code.v != 0;
            break;
        case KIND_SIDECAR:
            s.init_left = s.init_left || !runs || !row.status->started.v;
            break;
        case KIND_MAIN:
            s.main_left = s.main_left || !(runs || t);
            break;
        case KIND_EPHEMERAL:
        case KIND_N:
            continue;
        }
        s.running = s.running || runs;
    }
    return s;
}

void view_restart_update(PodEntry *e, const Pod *before, const Pod *now, int64_t now_ns)
{
    bool was = before && view_condition_true(before, "AllContainersRestarting");
    bool is = view_condition_true(now, "AllContainersRestarting");
    if (is && !was) {
        ViewRestart *r = LIST_ADD(&e->restarts);
        *r = (ViewRestart){.exit_code = -1, .trigger_ns = now_ns, .killed_ns = NS_NONE, .removed_ns = NS_NONE,
                           .init_ns = NS_NONE, .running_ns = NS_NONE};
        find_source(now, r);
    }
    if (e->restarts.n == 0)
        return;
    ViewRestart *r = &e->restarts.v[e->restarts.n - 1];
    Progress s = look(now);
    if (r->killed_ns == NS_NONE && (!s.running || !is))
        r->killed_ns = now_ns;
    if (r->removed_ns == NS_NONE && !is)
        r->removed_ns = now_ns; /* from here every status is of a new instance */
    if (r->removed_ns != NS_NONE && r->init_ns == NS_NONE && !s.init_left)
        r->init_ns = now_ns;
    if (r->init_ns != NS_NONE && r->running_ns == NS_NONE && !s.main_left)
        r->running_ns = now_ns;
}

char *view_restart_cause(const ViewRestart *r)
{
    return r->source ? mem_fmt("%s exited %d", r->source, r->exit_code) : mem_dup_str("an exit that was not seen");
}

/* Between two moments, "-" when one is not known. */
static void add_span(StrVec *row, int64_t from, int64_t to)
{
    if (from == NS_NONE || to == NS_NONE)
        strvec_add(row, "-");
    else
        strvec_add_take(row, view_duration(to - from));
}

static void add_columns(Str *out, const StrVec *cells, size_t n_cols)
{
    for (size_t i = 0; i < cells->n; i++) {
        size_t column = i % n_cols, width = 0;
        for (size_t k = column; k < cells->n; k += n_cols)
            width = strlen(cells->v[k]) > width ? strlen(cells->v[k]) : width;
        if (column + 1 == n_cols)
            str_fmt(out, "%s\n", cells->v[i]);
        else
            str_fmt(out, "%s%-*s  ", column == 0 ? "  " : "", (int)width, cells->v[i]);
    }
}

void view_timeline(const View *v, const PodEntry *e, Str *out)
{
    static const char *const head[] = {"#", "AT", "SOURCE", "CODE", "KILL", "REMOVE", "INIT", "START", "TOTAL"};
    if (e->restarts.n == 0)
        return;
    SCOPED(strvec_done) StrVec cells = {0};
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        strvec_add(&cells, head[i]);
    for (size_t i = 0; i < e->restarts.n; i++) {
        const ViewRestart *r = &e->restarts.v[i];
        strvec_fmt(&cells, "%zu", i + 1);
        strvec_fmt(&cells, "%.3fs", (double)(r->trigger_ns - v->start_ns) / 1e9);
        strvec_add(&cells, r->source ? r->source : "?");
        if (r->exit_code < 0)
            strvec_add(&cells, "?");
        else
            strvec_fmt(&cells, "%d", r->exit_code);
        add_span(&cells, r->trigger_ns, r->killed_ns);
        add_span(&cells, r->killed_ns, r->removed_ns);
        add_span(&cells, r->removed_ns, r->init_ns);
        add_span(&cells, r->init_ns, r->running_ns);
        add_span(&cells, r->trigger_ns, r->running_ns);
    }
    str_fmt(out, "\nIn-place restarts of %s:\n", e->last->metadata.name);
    add_columns(out, &cells, ARRAY_LEN(head));
    str_add(out, "Restart counts:");
    ContainerRow row;
    for (size_t i = 0; view_row_at(e->last, i, &row); i++)
        if (row.kind != KIND_EPHEMERAL)
            str_fmt(out, "%s %s %lld", i ? "," : "", row.spec->name,
                    row.status ? (long long)row.status->restart_count.v : 0LL);
    str_add(out, "\n");
}

void view_restarts_done(PodEntry *e)
{
    for (size_t i = 0; i < e->restarts.n; i++)
        free(e->restarts.v[i].source);
    free(e->restarts.v);
}
