#include "cli/sim_out.h"

#include "base/str.h"

/* --- JSON lines --------------------------------------------------------------------------------------------------- */

static json_t *seconds(int64_t ns)
{
    return ns % NS_PER_S == 0 ? json_integer(ns / NS_PER_S) : json_real((double)ns / (double)NS_PER_S);
}

static void set_str(json_t *o, const char *key, const char *s)
{
    if (s)
        json_object_set_new(o, key, json_string(s));
}

json_t *sim_event_json(const SimEvent *e)
{
    json_t *o = json_object();
    json_object_set_new(o, "t", seconds(e->t_ns));
    set_str(o, "event", sim_event_names[e->kind]);
    set_str(o, "container", e->container);
    if (e->container)
        json_object_set_new(o, "attempt", json_integer(e->attempt));
    if (e->kind == SIM_EXITED || e->kind == SIM_KILLED)
        json_object_set_new(o, "exitCode", json_integer(e->exit_code));
    set_str(o, "signal", e->signal);
    set_str(o, e->kind == SIM_PROBE ? "probe" : "type", e->type);
    set_str(o, e->kind == SIM_PROBE ? "result" : "status", e->status);
    set_str(o, "phase", e->phase);
    set_str(o, "reason", e->reason);
    set_str(o, "message", e->message);
    if (e->kind == SIM_BACKOFF)
        json_object_set_new(o, "seconds", seconds(e->delay_ns));
    return o;
}

/* --- chart -------------------------------------------------------------------------------------------------------- */

/* One attempt, from start to end. */
typedef struct {
    int64_t from_ns, to_ns; /* NS_NONE = still running at the end */
    bool killed;
    int32_t code;
} Span;
typedef struct {
    const char *name; /* borrowed from the Pod */
    const char *kind;
    LIST_OF(Span) spans;
    LIST_OF(int64_t) waits; /* when it was held back */
} Lane;
struct SimChart {
    LIST_OF(Lane) lanes;
    LIST_OF(Span) restarts; /* AllContainersRestarting True */
    StrVec lines;           /* the list of events */
    bool restarting;
};

static void add_lanes(SimChart *c, const ContainerList *l, const char *kind)
{
    LIST_EACH(s, l)
    {
        Lane *lane = LIST_ADD(&c->lanes);
        lane->name = s->name;
        lane->kind = str_eq(kind, "init") && str_eq(s->restart_policy, "Always") ? "sidecar" : kind;
    }
}

SimChart *sim_chart_new(const Pod *pod)
{
    SimChart *c = NEW(SimChart);
    add_lanes(c, &pod->spec.init_containers, "init");
    add_lanes(c, &pod->spec.containers, "main");
    add_lanes(c, &pod->spec.ephemeral_containers, "ephemeral");
    return c;
}

void sim_chart_free(SimChart *c)
{
    if (!c)
        return;
    LIST_EACH(l, &c->lanes)
    {
        free(l->spans.v);
        free(l->waits.v);
    }
    free(c->lanes.v);
    free(c->restarts.v);
    strvec_done(&c->lines);
    free(c);
}

static Lane *lane_of(SimChart *c, const char *name)
{
    LIST_EACH(l, &c->lanes)
    {
        if (str_eq(l->name, name))
            return l;
    }
    return NULL;
}

/* "  12.5s": the clock of the list. */
static char *clock_text(int64_t ns)
{
    SCOPED(mem_free) char *d = duration_format(ns);
    return mem_fmt("%10s", d);
}

static void add_line(SimChart *c, const SimEvent *e)
{
    SCOPED(mem_free) char *t = clock_text(e->t_ns);
    Str s = {0};
    str_fmt(&s, "%s  ", t);
    switch (e->kind) {
    case SIM_STARTED:
        str_fmt(&s, "%s started (attempt %u)", e->container, e->attempt);
        break;
    case SIM_EXITED:
        str_fmt(&s, "%s exited with code %d (attempt %u)", e->container, (int)e->exit_code, e->attempt);
        break;
    case SIM_KILLED:
        str_fmt(&s, "%s killed by %s: %s (attempt %u)", e->container, e->signal, str_or(e->reason, ""), e->attempt);
        break;
    case SIM_CONDITION:
        /* The others only repeat what the lines around them say. */
        if (!str_eq(e->type, "Ready") && !str_eq(e->type, "AllContainersRestarting")) {
            str_done(&s);
            return;
        }
        str_fmt(&s, "condition %s is %s", e->type, e->status);
        if (e->message && *e->message && str_eq(e->status, "True"))
            str_fmt(&s, ": %s", e->message);
        break;
    case SIM_PHASE:
        str_fmt(&s, "the Pod is %s", e->phase);
        if (e->reason)
            str_fmt(&s, " (%s)", e->reason);
        break;
    case SIM_BACKOFF: {
        SCOPED(mem_free) char *d = duration_format(e->delay_ns);
        str_fmt(&s, "%s must wait %s (CrashLoopBackOff)", e->container, d);
        break;
    }
    case SIM_PROBE:
        str_fmt(&s, "%s %s probe succeeded", e->container, e->type);
        break;
    case SIM_REMOVED:
    case SIM_EVENT_N:
    default:
        str_done(&s);
        return;
    }
    strvec_add_take(&c->lines, str_take(&s));
}

void sim_chart_event(SimChart *c, const SimEvent *e)
{
    Lane *l = e->container ? lane_of(c, e->container) : NULL;
    if (l && e->kind == SIM_STARTED)
        *LIST_ADD(&l->spans) = (Span){.from_ns = e->t_ns, .to_ns = NS_NONE};
    if (l && l->spans.n && (e->kind == SIM_EXITED || e->kind == SIM_KILLED)) {
        Span *s = &l->spans.v[l->spans.n - 1];
        s->to_ns = e->t_ns;
        s->killed = e->kind == SIM_KILLED;
        s->code = e->exit_code;
    }
    if (l && e->kind == SIM_BACKOFF)
        *LIST_ADD(&l->waits) = e->t_ns;
    if (e->kind == SIM_CONDITION && str_eq(e->type, "AllContainersRestarting")) {
        if (str_eq(e->status, "True"))
            *LIST_ADD(&c->restarts) = (Span){.from_ns = e->t_ns, .to_ns = NS_NONE};
        else if (c->restarts.n && c->restarts.v[c->restarts.n - 1].to_ns == NS_NONE)
            c->restarts.v[c->restarts.n - 1].to_ns = e->t_ns;
        else
            return; /* False from the beginning is no news */
    }
    add_line(c, e);
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t end_ns;
    size_t cols;
} Scale;

static size_t column(const Scale *s, int64_t t)
{
    if (s->end_ns <= 0)
        return 0;
    double x = (double)t / (double)s->end_ns * (double)s->cols;
    return x <= 0 ? 0 : (size_t)x >= s->cols ? s->cols - 1 : (size_t)x;
}

/* Cells are bytes here, drawn as UTF-8 when printed: '=' runs, '.' waits in back-off, 'x' failed, 'k' killed, 'o' exit 0. */
static const struct {
    char cell;
    const char *glyph, *colour, *means;
} glyphs[] = {
    {'=', "━", "\033[32m", "runs"},           {'o', "✔", "\033[32m", "exited 0"}, {'x', "✘", "\033[31m", "exited with another code"},
    {'k', "╳", "\033[35m", "killed by the agent"}, {'.', "┄", "\033[33m", "back-off"},
    {'R', "▼", "\033[36m", "in-place restart"},
};

static void print_cells(FILE *f, const char *cells, bool colour)
{
    char last = ' ';
    for (const char *p = cells; *p; p++) {
        const char *glyph = " ", *paint = "";
        for (size_t i = 0; i < ARRAY_LEN(glyphs); i++)
            if (glyphs[i].cell == *p)
                glyph = glyphs[i].glyph, paint = glyphs[i].colour;
        if (colour && *p != last)
            fprintf(f, "%s%s", last != ' ' ? "\033[0m" : "", paint);
        fputs(glyph, f);
        last = *p;
    }
    fputs(colour && last != ' ' ? "\033[0m\n" : "\n", f);
}

static void trim(char *cells)
{
    for (size_t n = strlen(cells); n && cells[n - 1] == ' '; n--)
        cells[n - 1] = '\0';
}

static void draw_lane(const Lane *l, const Scale *s, char *cells)
{
    memset(cells, ' ', s->cols);
    for (size_t i = 0; i < l->waits.n; i++) {
        int64_t to = s->end_ns;
        LIST_EACH(p, &l->spans)
        {
            if (p->from_ns > l->waits.v[i] && p->from_ns < to)
                to = p->from_ns;
        }
        for (size_t x = column(s, l->waits.v[i]); x <= column(s, to); x++)
            cells[x] = '.';
    }
    LIST_EACH(p, &l->spans)
    {
        size_t from = column(s, p->from_ns), to = column(s, p->to_ns == NS_NONE ? s->end_ns : p->to_ns);
        for (size_t x = from; x <= to; x++)
            cells[x] = '=';
    }
    /* Ends are drawn last: in a narrow chart a failure must not hide behind the next attempt. */
    LIST_EACH(p, &l->spans)
    {
        if (p->to_ns != NS_NONE)
            cells[column(s, p->to_ns)] = p->killed ? 'k' : p->code ? 'x' : 'o';
    }
    trim(cells);
}

static void print_axis(FILE *f, const Scale *s, size_t indent)
{
    SCOPED(mem_free) char *mid = duration_format(s->end_ns / 2 / NS_PER_MS * NS_PER_MS);
    SCOPED(mem_free) char *end = duration_format(s->end_ns);
    size_t half = s->cols / 2, n_mid = strlen(mid), n_end = strlen(end);
    fprintf(f, "%*s0s%*s", (int)indent, "", (int)(half > 2 + n_mid ? half - 2 : n_mid), mid);
    size_t used = half > 2 + n_mid ? half : 2 + n_mid;
    fprintf(f, "%*s\n", (int)(s->cols > used + n_end ? s->cols - used : n_end + 1), end);
}

static void print_legend(FILE *f, bool colour)
{
    for (size_t i = 0; i < ARRAY_LEN(glyphs); i++)
        fprintf(f, "%s%s%s%s %s", i ? "   " : "", colour ? glyphs[i].colour : "", glyphs[i].glyph, colour ? "\033[0m" : "",
                glyphs[i].means);
    fputs("\n", f);
}

static int64_t count_of(const Pod *pod, const char *name)
{
    const ContainerStatusList *lists[] = {&pod->status.init_container_statuses, &pod->status.container_statuses,
                                          &pod->status.ephemeral_container_statuses};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(st, lists[i])
        {
            if (str_eq(st->name, name))
                return st->restart_count.v;
        }
    return 0;
}

void sim_chart_print(SimChart *c, FILE *f, const Pod *pod, int64_t end_ns, SimOutcome outcome, size_t width, bool colour)
{
    static const char *const why[] = {
        [SIM_FINISHED] = "the Pod ended",
        [SIM_QUIET] = "nothing more happens",
        [SIM_UNTIL] = "the time is over",
        [SIM_STUCK] = "gave up",
    };
    size_t names = strlen("CONTAINER");
    LIST_EACH(l, &c->lanes)
    {
        names = strlen(l->name) > names ? strlen(l->name) : names;
    }
    size_t indent = names + 2 + strlen("ephemeral") + 2 + strlen("RESTARTS") + 2;
    Scale s = {end_ns, width > indent + 20 ? width - indent : 20};
    SCOPED(mem_free) char *cells = mem_alloc(s.cols + 1);
    fprintf(f, "%-*s  %-9s  RESTARTS  ", (int)names, "CONTAINER", "KIND");
    memset(cells, ' ', s.cols);
    LIST_EACH(r, &c->restarts)
    {
        cells[column(&s, r->from_ns)] = 'R';
    }
    trim(cells);
    print_cells(f, cells, colour);
    LIST_EACH(l, &c->lanes)
    {
        memset(cells, 0, s.cols + 1);
        draw_lane(l, &s, cells);
        fprintf(f, "%-*s  %-9s  %8lld  ", (int)names, l->name, l->kind, (long long)count_of(pod, l->name));
        print_cells(f, cells, colour);
    }
    print_axis(f, &s, indent);
    fputs("\n", f);
    print_legend(f, colour);
    fputs("\n", f);
    for (size_t i = 0; i < c->lines.n; i++)
        fprintf(f, "%s\n", c->lines.v[i]);
    SCOPED(mem_free) char *t = clock_text(end_ns);
    fprintf(f, "%s  %s: phase %s, %zu in-place restart%s\n", t, why[outcome], str_or(pod->status.phase, "Unknown"),
            c->restarts.n, c->restarts.n == 1 ? "" : "s");
}
