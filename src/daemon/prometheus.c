#include "daemon/prometheus.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"

#define LABELS_MAX 8

static void add_escaped(Str *out, const char *s, bool quotes)
{
    for (; *s; s++) {
        if (*s == '\n')
            str_add(out, "\\n");
        else if (*s == '\\' || (*s == '"' && quotes))
            str_fmt(out, "\\%c", *s);
        else
            str_add_c(out, *s);
    }
}

/* The shortest that reads back as the same number. */
static void number_text(double v, char buf[40])
{
    if (isinf(v) || isnan(v)) {
        (void)snprintf(buf, 40, "%s", isnan(v) ? "NaN" : v < 0 ? "-Inf" : "+Inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(buf, 40, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            return;
    }
}

void prom_family(Str *out, const char *name, const char *type, const char *help)
{
    str_fmt(out, "# HELP %s ", name);
    add_escaped(out, help, false);
    str_fmt(out, "\n# TYPE %s %s\n", name, type);
}

void prom_sample(Str *out, const char *name, const PromLabel *labels, size_t n, double v, int64_t at_ns)
{
    char text[40];
    number_text(v, text);
    str_add(out, name);
    for (size_t i = 0; i < n; i++) {
        str_fmt(out, "%s%s=\"", i ? "," : "{", labels[i].name);
        add_escaped(out, str_or(labels[i].value, ""), true);
        str_add_c(out, '"');
    }
    str_fmt(out, "%s %s", n ? "}" : "", text);
    if (at_ns != NS_NONE)
        str_fmt(out, " %lld", (long long)(at_ns / NS_PER_MS));
    str_add_c(out, '\n');
}

void prom_histogram(Str *out, const char *name, const PromLabel *labels, size_t n, const Histogram *h)
{
    PromLabel all[LABELS_MAX + 1];
    char bound[40];
    uint64_t below = 0;
    n = n > LABELS_MAX ? LABELS_MAX : n;
    if (n)
        memcpy(all, labels, n * sizeof *all);
    SCOPED(mem_free) char *bucket = mem_fmt("%s_bucket", name), *sum = mem_fmt("%s_sum", name), *count = mem_fmt("%s_count", name);
    for (size_t i = 0; i <= h->n; i++) {
        below = i < h->n ? below + h->counts[i] : h->count;
        number_text(i < h->n ? h->bounds[i] : (double)INFINITY, bound);
        all[n] = (PromLabel){"le", bound};
        prom_sample(out, bucket, all, n + 1, (double)below, NS_NONE);
    }
    prom_sample(out, sum, labels, n, h->sum, NS_NONE);
    prom_sample(out, count, labels, n, (double)h->count, NS_NONE);
}
