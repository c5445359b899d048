/* logread.h - the bytes of a log file and of those that were rotated away before it (<path>.<stamp>, oldest first), on the event loop: a
 * piece a turn, paused while the reader is behind, and on as it grows and is rotated, by inotify, never by a timer. */
#ifndef REPRISE_LOOP_LOGREAD_H
#define REPRISE_LOOP_LOGREAD_H

#include <uv.h>

#include "base/err.h"

typedef struct LogRead LogRead;
/* None comes from within a function below; in each, all of them may be called. */
typedef struct {
    void (*on_bytes)(void *arg, const char *bytes, size_t n);
    void (*on_file)(void *arg); /* the file before ended here: a line does not go on */
    void (*on_over)(void *arg); /* all was read; not while it is followed */
} LogReadOps;
typedef struct {
    uv_loop_t *loop;
    const char *path;
    int64_t tail;     /* lines at the end to begin with; < 0 = all. Found from the end: what is before is not read */
    int64_t since_ns; /* rotated files that were not written to since are left out; NS_NONE = none */
    bool follow;      /* on behind the end, until logread_finish() */
    const LogReadOps *ops; /* borrowed */
    void *arg;
} LogReadConfig;

/* ERR_NOT_FOUND: there is no such log. */
MUST_USE Err *logread_new(const LogReadConfig *c, LogRead **ret);
void logread_pause(LogRead *r, bool pause);
/* Nobody writes to it any more: it is over at the end. */
void logread_finish(LogRead *r);
void logread_free(LogRead *r); /* NULL is fine */

#endif
