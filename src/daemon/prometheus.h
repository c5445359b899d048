/* prometheus.h - Prometheus' text format 0.0.4, a line at a time. Pure. */
#ifndef REPRISE_DAEMON_PROMETHEUS_H
#define REPRISE_DAEMON_PROMETHEUS_H

#include "base/histogram.h"
#include "base/str.h"

typedef struct { const char *name, *value; } PromLabel;
/* # HELP and # TYPE; <type>: "counter", "gauge", "histogram". Once for a name, before its samples. */
void prom_family(Str *out, const char *name, const char *type, const char *help);
/* <at_ns>: NS_NONE = no timestamp. Labels in the order given: the alphabet's, as Go writes them. */
void prom_sample(Str *out, const char *name, const PromLabel *labels, size_t n, double v, int64_t at_ns);
#define PROM(out, name, v, ...)                                                                                        \
    prom_sample(out, name, (const PromLabel[]){__VA_ARGS__}, sizeof((const PromLabel[]){__VA_ARGS__}) / sizeof(PromLabel), (double)(v), NS_NONE)
#define PROM_ONE(out, name, type, help, v)                                                                             \
    do {                                                                                                               \
        prom_family(out, name, type, help);                                                                            \
        prom_sample(out, name, NULL, 0, (double)(v), NS_NONE);                                                         \
    } while (0)
/* All samples of a histogram: _bucket, _sum, _count. */
void prom_histogram(Str *out, const char *name, const PromLabel *labels, size_t n, const Histogram *h);

#endif
