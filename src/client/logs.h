/* logs.h - which logs `reprise logs` reads, and how lines of several are told apart. Pure. */
#ifndef REPRISE_CLIENT_LOGS_H
#define REPRISE_CLIENT_LOGS_H

#include "base/err.h"
#include "base/str.h"
#include "wire/json.h"

/* The containers of <pod> to read: <container>; else all, init containers first; else the default one, by the annotation
 * kubectl.kubernetes.io/default-container or the first. <note> gets what to tell on stderr. ERR_INVALID: it has no such container. */
MUST_USE Err *logs_containers(const json_t *pod, const char *container, bool all, Str *note, StrVec *ret);

/* Bytes come as they come; whole lines go out, each with <prefix> in front. {0} with a prefix is a new one. */
typedef struct {
    const char *prefix; /* borrowed; NULL = none: then bytes go out as they are, unless <whole> */
    bool whole;         /* several logs at once: lines are never mixed */
    Str rest;
} LogLines;
void log_lines_add(LogLines *l, const char *p, size_t n, Str *out);
void log_lines_end(LogLines *l, Str *out); /* what has no line end */

#endif
