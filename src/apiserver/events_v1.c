/* events_v1.c - see events_v1.h. */
#include "apiserver/events_v1.h"

#include "base/str.h"

static const struct { const char *core, *events; } names[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

static json_t *renamed(const json_t *o, bool to_events, const char *api_version)
{
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        const char *name = key;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (str_eq(key, to_events ? names[i].core : names[i].events))
                name = to_events ? names[i].events : names[i].core;
        json_object_set(out, name, v);
    }
    if (json_object_get(out, "apiVersion"))
        json_object_set_new(out, "apiVersion", json_string(api_version));
    return out;
}

json_t *event_to_events_v1(const json_t *o)
{
    return renamed(o, true, "events.k8s.io/v1");
}

json_t *event_from_events_v1(const json_t *o)
{
    return renamed(o, false, "v1");
}
