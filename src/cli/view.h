/* view.h - what `reprise run` shows: Pod statuses in, text out.
 *
 * The renderer keeps the last status of each Pod, finds out itself what changed, and writes it in one of four ways. It reads no
 * clock and asks nothing but the size of its terminal: moments come from the caller, so a test sees the same text each time. */
#ifndef REPRISE_CLI_VIEW_H
#define REPRISE_CLI_VIEW_H

#include <stdio.h>

#include "api/types.h"

typedef enum {
    VIEW_LIVE,  /* a terminal: tables, last log lines, the restart under way, updated in place */
    VIEW_LINES, /* one line an event, and a timeline of the in-place restarts at the end */
    VIEW_JSON,  /* {"type":"ADDED|MODIFIED|DELETED","object":{Pod},"at":"…"} a line on every status change */
    VIEW_YAML,  /* the Pod as a document on every status change */
} ViewMode;
typedef struct View View;

/* "json", "yaml", "lines", "live"; NULL or "" = live when <f> is a terminal that can (TERM), else lines. false: another word. */
bool view_mode_parse(const char *text, FILE *f, ViewMode *ret);
/* Writes to <f> (borrowed). <colour>: cli_colour(f). Never NULL. Caller view_free()s. */
View *view_new(ViewMode mode, FILE *f, bool colour);
/* Of the terminal, in characters; 0 = ask the terminal each time (else 80 x 24). For tests. */
void view_set_size(View *v, int columns, int rows);
/* A Pod's status was stored. <type>: "ADDED", "MODIFIED" or "DELETED"; <p> is borrowed for the call; <now_ns> is
 * CLOCK_REALTIME; the first moment seen is 0.000s of the lines. A Pod whose status is the same as before shows nothing
 * (but JSON and YAML, which show every call). */
void view_pod(View *v, const char *type, const Pod *p, int64_t now_ns);
/* An event of the Pod, in Kubernetes' words; <container> may be NULL. Not in JSON and YAML. */
void view_event(View *v, const Pod *p, bool warning, const char *reason, const char *message, const char *container,
                int64_t now_ns);
/* Bytes of a followed container log (content only, no CRI prefix); lines may come in pieces. Control characters are shown as
 * "?". Not in JSON and YAML. <pod> is its name. */
void view_log(View *v, const char *pod, const char *container, uint32_t attempt, const char *bytes, size_t n);
/* A line of our own ("deleting Pod x, grace 30s; Ctrl-C again kills"): live and lines on <f>, else on stderr. */
void view_note(View *v, const char *text);
/* Repaints the live view (4 to 10 times a second); nothing in the other modes. */
void view_tick(View *v, int64_t now_ns);
/* The end: the final picture and the timeline of restarts; the cursor is given back. No calls but view_free() after it. */
void view_finish(View *v, int64_t now_ns);
/* Gives the terminal back if view_finish() was not called. NULL allowed. */
void view_free(View *v);

/* What the timeline knows of one in-place restart, for --until=restarts=N and for tests. */
typedef struct {
    char *source;            /* container whose exit triggered it; NULL = not seen */
    int32_t exit_code;       /* of the source; -1 = not seen */
    int64_t trigger_ns;      /* condition True seen */
    int64_t killed_ns;       /* no container runs any more; NS_NONE = not yet, as below */
    int64_t removed_ns;      /* condition False */
    int64_t init_ns;         /* last init container done, sidecars started */
    int64_t running_ns;      /* every regular container runs */
} ViewRestart;
/* Restarts of <uid> so far, oldest first; borrowed until the next view_pod(). */
const ViewRestart *view_restarts(const View *v, const char *uid, size_t *ret_n);

#endif
