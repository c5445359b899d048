/* Eviction thresholds as the flags give them: hard, soft, grace periods and minimum reclaims, separated by NUL bytes. */
#include <stdint.h>

#include "base/str.h"
#include "plan/eviction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = mem_dup_strn("", 0), *part[4];
    text = mem_grow(text, n + 4, 1);
    memcpy(text, data, n);
    memset(text + n, 0, 4);
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        part[i] = text + at;
        at += at < n ? strlen(text + at) + 1 : 0;
        at = at > n ? n : at;
    }
    EvictConfig c = {.transition_ns = 1};
    Err *e = eviction_parse(part[0], part[1], part[2], part[3], &c);
    EvictObservations o = {0};
    for (size_t i = 0; !e && i < EVICT_SIGNALS; i++)
        o.of[i] = (__typeof__(o.of[i])){true, INT64_MAX / 2, INT64_MAX};
    EvictState s = {0};
    if (!e && c.n > EVICT_THRESHOLDS_MAX)
        abort();
    for (int64_t now = 1; !e && now < 4; now++) {
        EvictDecision d = eviction_look(&c, &o, DISKS_ONE, now, &s);
        Pod p = {0};
        EvictCandidate who = {&p, NULL};
        if (d.reclaim)
            free(eviction_message(d.reclaim, &o, &who));
    }
    err_free(e);
    free(text);
    return 0;
}
