/* view_priv.h - what view.c (events), view_restart.c (the timeline) and view_live.c (the terminal) share. */
#ifndef REPRISE_CLI_VIEW_PRIV_H
#define REPRISE_CLI_VIEW_PRIV_H

#include "api/codec.h"
#include "base/clock.h"
#include "base/str.h"
#include "cli/view.h"

typedef enum { KIND_INIT, KIND_SIDECAR, KIND_MAIN, KIND_EPHEMERAL, KIND_N } ContainerKind;

/* One container of the Pod with its status; both borrowed. status NULL = not known yet. */
typedef struct {
    ContainerKind kind;
    const Container *spec;
    const ContainerStatus *status;
} ContainerRow;
/* The i-th container in the order of their start; false after the last. */
bool view_row_at(const Pod *p, size_t i, ContainerRow *ret);
const ContainerStatus *view_status_of(const Pod *p, const char *name);
const char *view_kind_name(ContainerKind k);
/* "Running", "Completed", "exited 88", "PodInitializing": the STATE column. Caller frees. */
char *view_state_text(const ContainerStatus *s);
bool view_is_running(const ContainerStatus *s);
const ContainerStateTerminated *view_terminated(const ContainerStatus *s);
bool view_condition_true(const Pod *p, const char *type);
/* "12ms", "3.4s", "2m10s": short, for a column. Caller frees. */
char *view_duration(int64_t ns);

typedef struct {
    char *key; /* uid, or the name of a Pod without one */
    Pod *last;
    int64_t first_ns;
    LIST_OF(ViewRestart) restarts;
} PodEntry;

typedef struct {
    char *pod, *container;
    Str partial;
} PartialLine;

struct View {
    ViewMode mode;
    FILE *f;
    bool colour;
    int columns, rows; /* 0 = ask */
    int64_t start_ns;  /* NS_NONE = nothing seen yet */
    LIST_OF(PodEntry) pods;
    LIST_OF(PartialLine) logs;
    StrVec recent;       /* live: the newest whole log lines, oldest first */
    /* live: what is on the screen */
    int painted_lines, painted_columns, painted_rows;
    bool cursor_hidden, finished;
};

/* SGR of a word's meaning; "" when not colouring. */
typedef enum { PAINT_PLAIN, PAINT_GOOD, PAINT_BAD, PAINT_BUSY, PAINT_DIM, PAINT_BOLD } Paint;
void view_paint(const View *v, Str *s, Paint p, const char *text);

/* view_restart.c */
void view_restart_update(PodEntry *e, const Pod *before /* NULL = first */, const Pod *now, int64_t now_ns);
/* "watcher-sidecar exited 88". Caller frees. */
char *view_restart_cause(const ViewRestart *r);
void view_timeline(const View *v, const PodEntry *e, Str *out);
void view_restarts_done(PodEntry *e);

/* view_live.c */
void view_table(const View *v, const PodEntry *e, int64_t now_ns, StrVec *lines);
void view_live_paint(View *v, int64_t now_ns);
void view_live_end(View *v, int64_t now_ns);
void view_live_log(View *v, const char *line);
/* First <columns> places of <text>; SGR sequences take none, and are closed. Pure. */
void view_clip(Str *out, const char *text, int columns);
/* Appends <text> with control characters and bytes that are not UTF-8 as "?". Pure. */
void view_add_safe(Str *out, const char *text, size_t n);

#endif
