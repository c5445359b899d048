/* logtail.h - follows the log files of one Pod's containers as they grow: by inotify, never by a timer. */
#ifndef REPRISE_AGENT_LOGTAIL_H
#define REPRISE_AGENT_LOGTAIL_H

#include <uv.h>

#include "base/mem.h"

typedef struct LogTail LogTail;
/* Content of one CRI log line, with its newline when the line is whole. */
typedef void LogTailLine(void *arg, const char *container, uint32_t attempt, const char *bytes, size_t n);

/* <dir>: the Pod's log directory, <dir>/<container>/<attempt>.log. Never NULL. */
LogTail *logtail_new(uv_loop_t *loop, const char *dir, LogTailLine *fn, void *arg);
/* Follows that attempt, from its first line; the attempt before is followed on, earlier ones are let go. Calling
 * again for the same attempt does nothing; a file that is not there yet is waited for. */
void logtail_follow(LogTail *t, const char *container, uint32_t attempt);
/* Reads what is there now: before the files are removed, and at the end. */
void logtail_drain(LogTail *t);
void logtail_free(LogTail *t); /* never calls back again; closes on the loop. NULL allowed */

#endif
