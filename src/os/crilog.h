/* crilog.h - what a container's log in the CRI format (podlog.h writes one) shows to who asks for it. Pure: bytes of the file in, in
 * pieces of any size, bytes for the reader out, as the kubelet's ReadLogs() makes them (pkg/kubelet/kuberuntime/logs): pieces of a long line
 * are joined, what is no line of a log is left out. Memory is bounded whatever the file has. */
#ifndef REPRISE_OS_CRILOG_H
#define REPRISE_OS_CRILOG_H

#include "base/clock.h"
#include "base/str.h"

#define CRILOG_HEAD_MAX 80 /* bytes of a line before its text; no writer needs more */

typedef struct {
    int64_t since_ns;  /* lines before are left out; NS_NONE = none */
    int64_t limit;     /* bytes that may be shown; < 0 = all */
    bool timestamps;   /* "2026-01-02T15:04:05.123456789Z " before each line, in the log's own time zone */
    /* The rest is its own; zero at first. */
    enum { CRILOG_HEAD, CRILOG_TEXT, CRILOG_SKIP } at;
    char head[CRILOG_HEAD_MAX];
    size_t n_head;
    bool partial; /* the line goes on in the next one */
    bool inside;  /* the last that was shown was partial: no new line has begun */
    bool over;    /* the limit is reached */
} CriLog;

/* Appends to <out> what <n> bytes of the file add. False: the limit is reached, nothing more will be shown. */
bool crilog_feed(CriLog *l, const char *bytes, size_t n, Str *out);
/* The file ends here, perhaps within a line, and the next one begins. */
void crilog_next_file(CriLog *l);

/* Searching back for the beginning of the last *left lines, from the end of what is known: looks at <n> bytes that end where the search has
 * come to, and returns how many of them, from the front, come before those lines; *left is how many are still to be found, if all are passed.
 * <last>: the bytes end the log, so that a newline at their end begins no line. */
size_t crilog_tail_back(const char *bytes, size_t n, bool last, int64_t *left);

#endif
