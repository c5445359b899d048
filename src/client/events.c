#include "client/events.h"

#include <ctype.h>

#include "client/fields.h"
#include "client/tabs.h"
#include "kube/table.h"

static char *since(const json_t *e, const char *path, int64_t now_ns, char *buf)
{
    return human_since(*at_str(e, path) ? at_str(e, path) : NULL, now_ns, buf);
}

char *event_interval(const json_t *e, int64_t now_ns)
{
    char first[HUMAN_MAX], last[HUMAN_MAX];
    (void)since(e, *at_str(e, "eventTime") ? "eventTime" : "firstTimestamp", now_ns, first);
    bool series = json_is_object(at(e, "series"));
    int64_t count = at_i64(e, series ? "series.count" : "count");
    if (!series && count <= 1)
        return mem_dup_str(first);
    return mem_fmt("%s (x%lld over %s)", since(e, series ? "series.lastObservedTime" : "lastTimestamp", now_ns, last),
                   (long long)count, first);
}

char *event_message(const json_t *e)
{
    const char *text = at_str(e, "message");
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    return mem_dup_strn(text, n);
}

static int64_t moment(const json_t *e, const char *path)
{
    int64_t ns;
    return clock_parse(at_str(e, path), &ns) ? ns : 0;
}

int64_t event_last_time(const json_t *e)
{
    return moment(e, "lastTimestamp");
}

int64_t event_time(const json_t *e)
{
    if (json_is_object(at(e, "series")))
        return moment(e, "series.lastObservedTime");
    return event_last_time(e) ? event_last_time(e) : moment(e, "eventTime");
}

typedef struct {
    json_t *event;
    int64_t time;
    size_t place;
} Timed;

static int compare(const void *a, const void *b)
{
    const Timed *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

json_t *events_sorted(const json_t *events, int64_t (*time)(const json_t *event))
{
    size_t n = json_array_size(events);
    Timed *v = mem_alloc_n(n + 1, sizeof *v);
    json_t *sorted = json_array();
    for (size_t i = 0; i < n; i++)
        v[i] = (Timed){json_array_get(events, i), time(json_array_get(events, i)), i};
    qsort(v, n, sizeof *v, compare);
    for (size_t i = 0; i < n; i++)
        json_array_append(sorted, v[i].event);
    free(v);
    return sorted;
}

void events_header(bool namespaces, Str *cells)
{
    str_fmt(cells, "%sLAST SEEN\tTYPE\tREASON\tOBJECT\tMESSAGE\n", namespaces ? "NAMESPACE\t" : "");
}

void event_row(const json_t *e, bool namespaces, int64_t now_ns, Str *cells)
{
    SCOPED(mem_free) char *interval = event_interval(e, now_ns);
    SCOPED(mem_free) char *message = event_message(e);
    SCOPED(str_done) Str line = {0};
    if (namespaces)
        str_fmt(&line, "%s\t", at_str(e, "metadata.namespace"));
    str_fmt(&line, "%s\t%s\t%s\t%s/%s\t%s\n", interval, at_str(e, "type"), at_str(e, "reason"),
            at_str(e, "involvedObject.kind"), at_str(e, "involvedObject.name"), message);
    tabs_escape(cells, line.p);
}
