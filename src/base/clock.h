/* clock.h - moments and their text. Pure: reading a clock is os/'s job.
 * A moment is int64_t nanoseconds since 1970-01-01T00:00:00Z; NS_NONE = no moment. */
#ifndef REPRISE_BASE_CLOCK_H
#define REPRISE_BASE_CLOCK_H

#include "base/mem.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_NONE INT64_MIN

/* "2026-01-02T15:04:05Z"; fractional digits: 0, 6 or 9. buf needs CLOCK_TEXT_MAX bytes. Returns buf. */
#define CLOCK_TEXT_MAX 40
char *clock_format(int64_t ns, int digits, char *buf);
/* RFC 3339 with any fraction and any offset. false if s is anything else. */
bool clock_parse(const char *s, int64_t *ret_ns);
/* Go's Duration.String(): "1.5s", "10s", "2m0s", "1h0m0s", "350ms". Caller frees. */
MUST_USE char *duration_format(int64_t ns);
/* Go's time.ParseDuration ("1h30m", "1.5s", "100ms"), and a plain number as seconds. false if s is anything else. */
bool duration_parse(const char *s, int64_t *ret_ns);

#endif
