/* correlate.h - what becomes of an Event before it is stored: client-go's EventCorrelator (tools/record/events_cache.go).
 *
 *   the same event again             one object, its count raised
 *   10 that differ in the message    within 10 minutes: one object, "(combined from similar events): ..."
 *   more than 25 about one object    left out, but one every 5 minutes
 *
 * Pure: the clock is an argument. What it remembers is bounded as there (4096 of each kind, the least recently used goes). */
#ifndef REPRISE_DAEMON_CORRELATE_H
#define REPRISE_DAEMON_CORRELATE_H

#include "base/clock.h"
#include "base/str.h"

typedef struct {
    const char *component, *host;                             /* source */
    const char *kind, *namespace_, *name, *uid, *field_path;  /* involvedObject; apiVersion is v1 */
    const char *type, *reason, *message;
} EventFacts; /* NULL = "" */

typedef struct Correlator Correlator;
Correlator *correlator_new(void);
void correlator_free(Correlator *c);

typedef struct {
    bool skip;        /* leave it out */
    char *name;       /* of the object: a new one's, or the one that stands for it already */
    char *message;
    int64_t count;    /* 1: make it; more: change what is there (make it, if it is gone) */
    int64_t first_ns; /* firstTimestamp */
    bool combined;    /* similar events: no fieldPath is left out, but the message is the last one's */
} Correlated;
void correlated_done(Correlated *c);
static inline UNUSED void correlated_done_at(Correlated *c) { correlated_done(c); }
/* *out is overwritten. */
void correlate(Correlator *c, const EventFacts *e, int64_t now_ns, Correlated *out);

#endif
