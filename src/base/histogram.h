/* histogram.h - how many values fell below each bound, as Prometheus counts them. Pure. */
#ifndef REPRISE_BASE_HISTOGRAM_H
#define REPRISE_BASE_HISTOGRAM_H

#include "base/mem.h"

#define HISTOGRAM_MAX 26
typedef struct {
    const double *bounds; /* static, ascending; */
    size_t n;             /* of them */
    uint64_t counts[HISTOGRAM_MAX]; /* of the values <= bounds[i] and > bounds[i-1] */
    uint64_t count;       /* of all values, those beyond the last bound too */
    double sum;
} Histogram;
/* An empty one: Histogram h = HISTOGRAM(bounds); */
#define HISTOGRAM(b) {.bounds = (b), .n = ARRAY_LEN(b)}

static inline void histogram_add(Histogram *h, double v)
{
    h->count++;
    h->sum += v;
    for (size_t i = 0; i < h->n; i++)
        if (v <= h->bounds[i]) {
            h->counts[i]++;
            return;
        }
}

#endif
