/* view_live.c - the picture on a terminal: a table for each Pod, the restart under way, the last log lines.
 *
 * It stays where the cursor is (no alternate screen: the end remains to be read). A repaint goes up over the old lines and
 * writes each new line over the old one, clearing only what is behind it, in one write between the marks of synchronised
 * output (DEC mode 2026, ignored by terminals that do not know it): nothing flickers. */
#include <sys/ioctl.h>

#include "cli/view_priv.h"

#define RECENT_MAX 200 /* more log lines than any terminal shows */

/* --- text that is safe and fits ---------------------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at <s> (1..4), and its code point; 0 when it is none (RFC 3629). */
static size_t utf8_at(const unsigned char *s, size_t n, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80) {
        *ret = s[0];
        return 1;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (len == 0 || s[0] > 0xf4 || len > n)
        return 0;
    uint32_t c = s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret = c;
    return len;
}

/* Places on a terminal: combining marks none, East Asian wide and emoji two. Ranges from Unicode's EastAsianWidth, coarse. */
static int places(uint32_t c)
{
    if ((c >= 0x300 && c < 0x370) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c < 0xfe10))
        return 0;
    bool wide = (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) || (c >= 0xac00 && c < 0xd7a4) ||
                (c >= 0xf900 && c < 0xfb00) || (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) ||
                (c >= 0x1f300 && c < 0x1f650) || (c >= 0x1f900 && c < 0x1fa00) || (c >= 0x20000 && c < 0x30000);
    return wide ? 2 : 1;
}

void view_add_safe(Str *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        size_t len = utf8_at((const unsigned char *)text + i, n - i, &c);
        bool control = (c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
                       (c >= 0x2066 && c <= 0x2069);
        if (len == 1 && c == '\r' && i + 1 == n) /* "\r\n" of a container with a tty */
            return;
        if (len == 0 || control)
            str_add(out, "?");
        else if (c == '\t')
            str_add(out, "    ");
        else
            str_add_n(out, text + i, len);
        i += len ? len : 1;
    }
}

void view_clip(Str *out, const char *text, int columns)
{
    size_t n = strlen(text);
    bool painted = false;
    for (size_t i = 0; i < n;) {
        if (text[i] == '\033') { /* our own SGR: ESC [ ... m */
            size_t len = strcspn(text + i, "m");
            len += text[i + len] == 'm';
            str_add_n(out, text + i, len);
            painted = true;
            i += len;
            continue;
        }
        uint32_t c = 0;
        size_t len = utf8_at((const unsigned char *)text + i, n - i, &c);
        columns -= len ? places(c) : 1;
        if (columns < 0) {
            str_add(out, painted ? "\033[0m" : "");
            return;
        }
        str_add_n(out, text + i, len ? len : 1);
        i += len ? len : 1;
    }
}

/* --- the parts of the picture ------------------------------------------------------------------------------------ */

static void line_take(StrVec *lines, Str *s)
{
    strvec_add_take(lines, str_take(s));
}

static char *age_text(const ContainerStatus *s, int64_t now_ns)
{
    const ContainerStateTerminated *t = view_terminated(s);
    OptTime from = view_is_running(s) ? s->state->running->started_at : t ? t->finished_at : (OptTime){0};
    /* Statuses have whole seconds: a container that started now may seem to start in the future by less than one. */
    if (!from.set || now_ns == NS_NONE)
        return mem_dup_str("-");
    int64_t age_s = now_ns > from.ns ? (now_ns - from.ns) / NS_PER_S : 0;
    if (age_s < 60)
        return mem_fmt("%llds", (long long)age_s);
    return view_duration(age_s * NS_PER_S);
}

/* "startup ok, ready": what the status tells of the probes. */
static char *probes_text(const ContainerRow *row)
{
    const ContainerStatus *s = row->status;
    bool runs = view_is_running(s);
    Str t = {0};
    if (row->spec->startup_probe)
        str_add(&t, runs && s->started.v ? "startup ok" : "startup ...");
    if (row->spec->readiness_probe)
        str_fmt(&t, "%s%s", t.n ? ", " : "", runs && s->ready.v ? "ready ok" : "ready no");
    if (row->spec->liveness_probe)
        str_fmt(&t, "%slive%s", t.n ? ", " : "", runs ? " ok" : "");
    if (t.n == 0)
        str_add(&t, "-");
    return str_take(&t);
}

static Paint state_paint(const ContainerStatus *s)
{
    const ContainerStateTerminated *t = view_terminated(s);
    if (view_is_running(s))
        return PAINT_GOOD;
    return !t ? PAINT_BUSY : t->exit_code.v == 0 ? PAINT_DIM : PAINT_BAD;
}

enum { COL_NAME, COL_KIND, COL_STATE, COL_READY, COL_RESTARTS, COL_PROBES, COL_AGE, COL_N };

static void pod_head(const View *v, const PodEntry *e, int64_t now_ns, StrVec *lines)
{
    Str s = {0};
    const PodStatus *st = &e->last->status;
    view_paint(v, &s, PAINT_BOLD, e->last->metadata.name);
    const char *phase = str_or(st->phase, "Pending");
    const char *shown = e->last->metadata.deletion_timestamp.set ? "Terminating" : phase;
    str_add(&s, "  ");
    view_paint(v, &s, str_eq(shown, "Failed") ? PAINT_BAD : str_eq(shown, "Running") ? PAINT_GOOD : PAINT_PLAIN, shown);
    if (!str_empty(st->pod_ip))
        str_fmt(&s, "  %s", st->pod_ip);
    if (now_ns != NS_NONE) {
        SCOPED(mem_free) char *age = view_duration((now_ns - e->first_ns) / NS_PER_S * NS_PER_S);
        str_fmt(&s, "  %s", str_eq(age, "0ms") ? "0s" : age);
    }
    if (e->restarts.n)
        str_fmt(&s, "  in-place restarts: %zu", e->restarts.n);
    line_take(lines, &s);
}

void view_table(const View *v, const PodEntry *e, int64_t now_ns, StrVec *lines)
{
    static const char *const head[COL_N] = {"NAME", "KIND", "STATE", "READY", "RESTARTS", "PROBES", "AGE"};
    pod_head(v, e, now_ns, lines);
    SCOPED(strvec_done) StrVec cells = {0};
    ContainerRow row;
    for (size_t i = 0; i < COL_N; i++)
        strvec_add(&cells, head[i]);
    for (size_t i = 0; view_row_at(e->last, i, &row); i++) {
        strvec_add(&cells, row.spec->name);
        strvec_add(&cells, view_kind_name(row.kind));
        strvec_add_take(&cells, view_state_text(row.status));
        strvec_add(&cells, row.status && row.status->ready.v ? "yes" : "no");
        strvec_fmt(&cells, "%lld", row.status ? (long long)row.status->restart_count.v : 0LL);
        strvec_add_take(&cells, probes_text(&row));
        strvec_add_take(&cells, age_text(row.status, now_ns));
    }
    int width[COL_N] = {0};
    for (size_t i = 0; i < cells.n; i++)
        if ((int)strlen(cells.v[i]) > width[i % COL_N])
            width[i % COL_N] = (int)strlen(cells.v[i]);
    for (size_t r = 0; r < cells.n / COL_N; r++) {
        Str s = {0};
        Paint paint = PAINT_DIM;
        if (r > 0 && view_row_at(e->last, r - 1, &row))
            paint = state_paint(row.status);
        for (size_t c = 0; c < COL_N; c++) {
            const char *cell = cells.v[r * COL_N + c];
            view_paint(v, &s, r == 0 ? PAINT_DIM : c == COL_STATE ? paint : PAINT_PLAIN, cell);
            if (c + 1 < COL_N)
                str_fmt(&s, "%*s", width[c] - (int)strlen(cell) + 2, "");
        }
        line_take(lines, &s);
    }
}

typedef struct { size_t total, gone, removed, inits, inits_done, mains, mains_up; } Counts;

static Counts count(const PodEntry *e, const ViewRestart *r)
{
    Counts n = {0};
    ContainerRow row;
    bool anew = r->removed_ns != NS_NONE;
    for (size_t i = 0; view_row_at(e->last, i, &row); i++) {
        const ContainerStateTerminated *t = view_terminated(row.status);
        bool runs = view_is_running(row.status);
        if (row.kind == KIND_EPHEMERAL)
            continue;
        n.total++;
        n.gone += anew || !runs;
        n.removed += anew || (!runs && !t);
        n.inits += row.kind != KIND_MAIN;
        n.mains += row.kind == KIND_MAIN;
        if (anew && row.kind == KIND_INIT)
            n.inits_done += t && t->exit_code.v == 0;
        else if (anew && row.kind == KIND_SIDECAR)
            n.inits_done += runs && row.status->started.v;
        else if (anew)
            n.mains_up += runs || t;
    }
    return n;
}

/* "  killing    ██████████░░░░░░░░░░  1/2  12ms" */
static void bar(const View *v, const char *name, size_t done, size_t total, int64_t from, int64_t to, StrVec *lines)
{
    enum { CELLS = 24 };
    Str s = {0}, filled = {0};
    size_t full = total ? done * CELLS / total : 0;
    for (size_t i = 0; i < full; i++)
        str_add(&filled, "█");
    str_fmt(&s, "  %-9s ", name);
    view_paint(v, &s, done == total ? PAINT_GOOD : PAINT_BUSY, str_or(filled.p, ""));
    for (size_t i = full; i < CELLS; i++)
        str_add(&s, "░");
    str_fmt(&s, " %zu/%zu", done, total);
    if (from != NS_NONE && to != NS_NONE) {
        SCOPED(mem_free) char *span = view_duration(to - from);
        str_fmt(&s, "  %s", span);
    }
    str_done(&filled);
    line_take(lines, &s);
}

static int64_t or_now(int64_t ns, int64_t from, int64_t now_ns)
{
    return ns != NS_NONE ? ns : from != NS_NONE ? now_ns : NS_NONE;
}

static void restart_part(const View *v, const PodEntry *e, int64_t now_ns, StrVec *lines)
{
    if (e->restarts.n == 0)
        return;
    const ViewRestart *r = &e->restarts.v[e->restarts.n - 1];
    SCOPED(mem_free) char *cause = view_restart_cause(r);
    Str s = {0};
    if (r->running_ns != NS_NONE) {
        SCOPED(mem_free) char *span = view_duration(r->running_ns - r->trigger_ns);
        SCOPED(mem_free) char *text = mem_fmt("in-place restart %zu: %s, all running again after %s", e->restarts.n, cause, span);
        view_paint(v, &s, PAINT_DIM, text);
        line_take(lines, &s);
        return;
    }
    SCOPED(mem_free) char *text = mem_fmt("in-place restart %zu: %s", e->restarts.n, cause);
    view_paint(v, &s, PAINT_BUSY, text);
    line_take(lines, &s);
    Counts n = count(e, r);
    bar(v, "killing", n.gone, n.total, r->trigger_ns, or_now(r->killed_ns, r->trigger_ns, now_ns), lines);
    bar(v, "removing", n.removed, n.total, r->killed_ns, or_now(r->removed_ns, r->killed_ns, now_ns), lines);
    bar(v, "init", n.inits_done, n.inits, r->removed_ns, or_now(r->init_ns, r->removed_ns, now_ns), lines);
    bar(v, "starting", n.mains_up, n.mains, r->init_ns, or_now(r->running_ns, r->init_ns, now_ns), lines);
}

/* --- the screen -------------------------------------------------------------------------------------------------- */

static void screen_size(const View *v, int *columns, int *rows)
{
    struct winsize w = {0};
    *columns = v->columns;
    *rows = v->rows;
    int fd = fileno(v->f);
    if ((!*columns || !*rows) && fd >= 0 && ioctl(fd, TIOCGWINSZ, &w) == 0) {
        *columns = *columns ? *columns : w.ws_col;
        *rows = *rows ? *rows : w.ws_row;
    }
    if (*columns <= 0)
        *columns = 80;
    if (*rows <= 0)
        *rows = 24;
}

void view_live_log(View *v, const char *line)
{
    if (v->recent.n == RECENT_MAX) {
        free(v->recent.v[0]);
        memmove(v->recent.v, v->recent.v + 1, v->recent.n * sizeof *v->recent.v); /* with the NULL at the end */
        v->recent.n--;
    }
    strvec_add(&v->recent, line);
}

/* All lines, the tables first; log lines fill what is left of <rows>. */
static void compose(const View *v, int rows, int64_t now_ns, StrVec *lines)
{
    for (size_t i = 0; i < v->pods.n; i++) {
        if (i > 0)
            strvec_add(lines, "");
        view_table(v, &v->pods.v[i], now_ns, lines);
        restart_part(v, &v->pods.v[i], now_ns, lines);
    }
    int left = rows - (int)lines->n - 1;
    if (left <= 0 || v->recent.n == 0)
        return;
    strvec_add(lines, "");
    size_t show = v->recent.n < (size_t)left ? v->recent.n : (size_t)left;
    for (size_t i = v->recent.n - show; i < v->recent.n; i++)
        strvec_add(lines, v->recent.v[i]);
}

static void go_to_top(View *v, int columns, int rows, Str *out)
{
    if (v->painted_lines && (columns != v->painted_columns || rows != v->painted_rows))
        str_add(out, "\033[H\033[2J"); /* resized: old lines may be wrapped anywhere */
    else if (v->painted_lines)
        str_fmt(out, "\r\033[%dA", v->painted_lines);
    v->painted_columns = columns;
    v->painted_rows = rows;
}

void view_live_paint(View *v, int64_t now_ns)
{
    int columns, rows;
    screen_size(v, &columns, &rows);
    SCOPED(strvec_done) StrVec lines = {0};
    compose(v, rows - 1, now_ns, &lines); /* the last row stays free: writing there scrolls */
    SCOPED(str_done) Str out = {0};
    str_add(&out, "\033[?2026h");
    if (!v->cursor_hidden)
        str_add(&out, "\033[?25l");
    v->cursor_hidden = true;
    go_to_top(v, columns, rows, &out);
    int n = (int)lines.n < rows - 1 ? (int)lines.n : rows - 1;
    for (int i = 0; i < n; i++) {
        view_clip(&out, lines.v[i], columns);
        str_add(&out, "\033[K\r\n");
    }
    str_add(&out, "\033[J\033[?2026l");
    v->painted_lines = n;
    fwrite(out.p, 1, out.n, v->f);
    fflush(v->f);
}

void view_live_end(View *v, int64_t now_ns)
{
    if (v->mode == VIEW_LIVE && now_ns != NS_NONE)
        view_live_paint(v, now_ns);
    if (v->cursor_hidden) {
        fputs("\033[?25h", v->f);
        fflush(v->f);
    }
    v->cursor_hidden = false;
}
