/* events.h - Events in words: their order, when they were, and the table of `reprise events` (kubectl's pkg/cmd/events). Pure. */
#ifndef REPRISE_CLIENT_EVENTS_H
#define REPRISE_CLIENT_EVENTS_H

#include "base/str.h"
#include "wire/json.h"

/* "5m", "2s (x3 over 10m)". Caller frees. */
MUST_USE char *event_interval(const json_t *event, int64_t now_ns);
/* The message without blanks around it. Caller frees. */
MUST_USE char *event_message(const json_t *event);
/* When it was last: lastTimestamp alone, what `describe` orders by; or with series and eventTime, what `events` does. 0 = unknown. */
int64_t event_last_time(const json_t *event);
int64_t event_time(const json_t *event);
/* A new array in the order of <time>; what has the same time stays as it came. */
MUST_USE json_t *events_sorted(const json_t *events, int64_t (*time)(const json_t *event));

/* Appends a line of cells ended by tabs; <namespaces>: with the namespace as the first. */
void events_header(bool namespaces, Str *cells);
void event_row(const json_t *event, bool namespaces, int64_t now_ns, Str *cells);

#endif
