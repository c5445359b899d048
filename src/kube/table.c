/* table.c - Tables of every kind; see table_pod.c for Pods and columns.c for the headers. */
#include "kube/table.h"

#include <stdio.h>

#include "api/quantity.h"
#include "base/clock.h"
#include "base/str.h"
#include "kube/table_priv.h"

char *human_duration(int64_t ns, char *buf)
{
    int64_t s = ns / NS_PER_S, m = s / 60, h = m / 60, d = h / 24, y = d / 365;
    if (s < -1) /* two seconds are what clocks may differ by */
        (void)snprintf(buf, HUMAN_MAX, "<invalid>");
    else if (s < 0)
        (void)snprintf(buf, HUMAN_MAX, "0s");
    else if (s < 120)
        (void)snprintf(buf, HUMAN_MAX, "%llds", (long long)s);
    else if (m < 10 && s % 60)
        (void)snprintf(buf, HUMAN_MAX, "%lldm%llds", (long long)m, (long long)(s % 60));
    else if (m < 180)
        (void)snprintf(buf, HUMAN_MAX, "%lldm", (long long)m);
    else if (h < 8 && m % 60)
        (void)snprintf(buf, HUMAN_MAX, "%lldh%lldm", (long long)h, (long long)(m % 60));
    else if (h < 48)
        (void)snprintf(buf, HUMAN_MAX, "%lldh", (long long)h);
    else if (h < 24 * 8 && h % 24)
        (void)snprintf(buf, HUMAN_MAX, "%lldd%lldh", (long long)d, (long long)(h % 24));
    else if (d < 365 * 2)
        (void)snprintf(buf, HUMAN_MAX, "%lldd", (long long)d);
    else if (d < 365 * 8 && d % 365)
        (void)snprintf(buf, HUMAN_MAX, "%lldy%lldd", (long long)y, (long long)(d % 365));
    else
        (void)snprintf(buf, HUMAN_MAX, "%lldy", (long long)y);
    return buf;
}

char *human_since(const char *time, int64_t now_ns, char *buf)
{
    int64_t at, age;
    if (!time || !clock_parse(time, &at))
        (void)snprintf(buf, HUMAN_MAX, "<unknown>");
    else
        (void)human_duration(__builtin_sub_overflow(now_ns, at, &age) ? (at < now_ns ? INT64_MAX : INT64_MIN) : age, buf);
    return buf;
}

void add_cell(json_t *cells, const char *text)
{
    json_array_append_new(cells, json_string(str_or(text, "")));
}

void add_cell_or(json_t *cells, const char *text, const char *otherwise)
{
    add_cell(cells, str_empty(text) ? otherwise : text);
}

static const json_t *in(const json_t *o, const char *key)
{
    return json_object_get(o, key);
}

static void add_age(json_t *cells, const json_t *o, int64_t now_ns)
{
    char buf[HUMAN_MAX];
    add_cell(cells, human_since(json_str(in(o, "metadata"), "creationTimestamp"), now_ns, buf));
}

static void add_count(json_t *cells, size_t n)
{
    json_array_append_new(cells, json_integer((json_int_t)n));
}

static void add_modes(json_t *cells, const json_t *modes)
{
    static const char *const word[][2] = {
        {"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}};
    SCOPED(str_done) Str s = {0};
    for (size_t i = 0; i < ARRAY_LEN(word); i++) {
        bool has = false;
        size_t k;
        json_t *m;
        json_array_foreach(modes, k, m)
            has = has || str_eq(json_string_value(m), word[i][0]);
        if (has)
            str_fmt(&s, "%s%s", s.n ? "," : "", word[i][1]);
    }
    add_cell(cells, s.p);
}

static void pvc_cells(json_t *cells, const json_t *o, int64_t now_ns)
{
    const json_t *meta = in(o, "metadata"), *spec = in(o, "spec"), *status = in(o, "status");
    const char *volume = json_str(spec, "volumeName");
    const char *class = json_str(in(meta, "annotations"), "volume.beta.kubernetes.io/storage-class");
    add_cell(cells, json_str(meta, "name"));
    add_cell(cells, json_str(meta, "deletionTimestamp") ? "Terminating" : json_str(status, "phase"));
    add_cell(cells, volume);
    if (str_empty(volume)) {
        add_cell(cells, "");
        add_cell(cells, "");
    } else {
        const char *text = json_str(in(status, "capacity"), "storage");
        SCOPED(mem_free) char *canonical = text ? quantity_canonical(text) : NULL;
        add_cell(cells, canonical ? canonical : "0"); /* resource.Quantity{}.String() */
        add_modes(cells, in(status, "accessModes"));
    }
    add_cell(cells, class ? class : json_str(spec, "storageClassName"));
    add_cell(cells, str_or(json_str(spec, "volumeAttributesClassName"), "<unset>"));
    add_age(cells, o, now_ns);
    add_cell(cells, str_or(json_str(spec, "volumeMode"), "<unset>"));
}

static char *lower(const char *s)
{
    char *out = mem_dup_str(str_or(s, ""));
    for (char *p = out; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    return out;
}

static char *trimmed(const char *s)
{
    static const char space[] = " \t\n\v\f\r";
    s = str_or(s, "");
    s += strspn(s, space);
    size_t n = strlen(s);
    while (n && strchr(space, s[n - 1]))
        n--;
    return mem_dup_strn(s, n);
}

static const char *first_of(const char *a, const char *b)
{
    return str_empty(a) ? str_or(b, "") : a;
}

static void event_cells(json_t *cells, const json_t *o, int64_t now_ns)
{
    char first[HUMAN_MAX], last[HUMAN_MAX];
    const json_t *about = in(o, "involvedObject"), *series = in(o, "series");
    int64_t count = json_i64(o, "count", 0);
    const char *since = json_str(o, "firstTimestamp"), *until = json_str(o, "lastTimestamp"), *name = json_str(about, "name");
    (void)human_since(since ? since : json_str(o, "eventTime"), now_ns, first);
    if (json_is_object(series)) {
        (void)human_since(json_str(series, "lastObservedTime"), now_ns, last);
        count = json_i64(series, "count", 0);
    } else {
        if (until)
            (void)human_since(until, now_ns, last);
        else
            memcpy(last, first, sizeof last);
        count = count ? count : 1; /* an event of the new API that happened once has none */
    }
    SCOPED(mem_free) char *kind = lower(json_str(about, "kind"));
    SCOPED(mem_free) char *target = str_empty(name) ? mem_dup_str(kind) : mem_fmt("%s/%s", kind, name);
    SCOPED(mem_free) char *message = trimmed(json_str(o, "message"));
    const char *component = first_of(json_str(in(o, "source"), "component"), json_str(o, "reportingComponent"));
    const char *host = first_of(json_str(in(o, "source"), "host"), json_str(o, "reportingInstance"));
    SCOPED(mem_free) char *source = *host ? mem_fmt("%s, %s", component, host) : mem_dup_str(component);
    add_cell(cells, last);
    add_cell(cells, json_str(o, "type"));
    add_cell(cells, json_str(o, "reason"));
    add_cell(cells, target);
    add_cell(cells, json_str(about, "fieldPath"));
    add_cell(cells, source);
    add_cell(cells, message);
    add_cell(cells, first);
    json_array_append_new(cells, json_integer(count));
    add_cell(cells, json_str(in(o, "metadata"), "name"));
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static char *node_roles(const json_t *labels)
{
    static const char prefix[] = "node-role.kubernetes.io/";
    SCOPED(strvec_done) StrVec roles = {0};
    Str s = {0};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)labels, key, v)
    {
        const char *role = str_starts(key, prefix)                ? key + sizeof prefix - 1
                           : str_eq(key, "kubernetes.io/role") ? str_or(json_string_value(v), "")
                                                               : "";
        if (*role && !strvec_has(&roles, role))
            strvec_add(&roles, role);
    }
    if (roles.n)
        qsort(roles.v, roles.n, sizeof *roles.v, by_text);
    for (size_t i = 0; i < roles.n; i++)
        str_fmt(&s, "%s%s", i ? "," : "", roles.v[i]);
    if (!s.n)
        str_add(&s, "<none>");
    return str_take(&s);
}

static const char *node_address(const json_t *status, const char *type)
{
    size_t i;
    json_t *a;
    json_array_foreach(in(status, "addresses"), i, a)
        if (str_eq(json_str(a, "type"), type))
            return json_str(a, "address");
    return "<none>";
}

static void node_cells(json_t *cells, const json_t *o, int64_t now_ns)
{
    const json_t *status = in(o, "status"), *info = in(status, "nodeInfo");
    const char *ready = "Unknown";
    size_t i;
    json_t *c;
    json_array_foreach(in(status, "conditions"), i, c)
        if (str_eq(json_str(c, "type"), "Ready"))
            ready = str_eq(json_str(c, "status"), "True") ? "Ready" : "NotReady";
    SCOPED(mem_free) char *state = mem_fmt("%s%s", ready, json_flag(in(o, "spec"), "unschedulable", false) ? ",SchedulingDisabled" : "");
    SCOPED(mem_free) char *roles = node_roles(in(in(o, "metadata"), "labels"));
    add_cell(cells, json_str(in(o, "metadata"), "name"));
    add_cell(cells, state);
    add_cell(cells, roles);
    add_age(cells, o, now_ns);
    add_cell(cells, json_str(info, "kubeletVersion"));
    add_cell(cells, node_address(status, "InternalIP"));
    add_cell(cells, node_address(status, "ExternalIP"));
    add_cell_or(cells, json_str(info, "osImage"), "<unknown>");
    add_cell_or(cells, json_str(info, "kernelVersion"), "<unknown>");
    add_cell_or(cells, json_str(info, "containerRuntimeVersion"), "<unknown>");
}

json_t *kube_cells(const KubeKind *k, const json_t *o, int64_t now_ns)
{
    json_t *cells = json_array();
    const char *name = json_str(in(o, "metadata"), "name");
    switch (k->id) {
    case KUBE_PODS:
        pod_cells(cells, o, now_ns);
        return cells;
    case KUBE_PVCS:
        pvc_cells(cells, o, now_ns);
        return cells;
    case KUBE_EVENTS:
    case KUBE_EVENTS_V1:
        event_cells(cells, o, now_ns);
        return cells;
    case KUBE_NODES:
        node_cells(cells, o, now_ns);
        return cells;
    case KUBE_CONFIG_MAPS:
        add_cell(cells, name);
        add_count(cells, json_object_size(in(o, "data")) + json_object_size(in(o, "binaryData")));
        break;
    case KUBE_SECRETS:
        add_cell(cells, name);
        add_cell(cells, json_str(o, "type"));
        add_count(cells, json_object_size(in(o, "data")));
        break;
    case KUBE_NAMESPACES:
        add_cell(cells, name);
        add_cell(cells, json_str(in(o, "status"), "phase"));
        break;
    case KUBE_SERVICE_ACCOUNTS:
    case KUBE_KIND_N:
        add_cell(cells, name);
        break;
    }
    add_age(cells, o, now_ns);
    return cells;
}

/* --- the objects around the cells ------------------------------------------------------------------------------- */

static void set_str(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, json_string(v));
}

static json_t *new_meta_object(const char *kind, bool v1beta1)
{
    json_t *o = json_object();
    set_str(o, "kind", kind);
    set_str(o, "apiVersion", v1beta1 ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1");
    return o;
}

/* resourceVersion and where the next page begins. */
static json_t *list_meta_of(const json_t *meta)
{
    static const char *const keys[] = {"resourceVersion", "continue", "remainingItemCount"};
    json_t *o = json_object();
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        json_t *v = json_object_get(meta, keys[i]);
        if (v)
            json_object_set(o, keys[i], v);
    }
    return o;
}

json_t *kube_partial(const json_t *object, bool v1beta1)
{
    json_t *o = new_meta_object("PartialObjectMetadata", v1beta1), *meta = json_object_get(object, "metadata");
    if (meta)
        json_object_set(o, "metadata", meta);
    else
        json_object_set_new(o, "metadata", json_object());
    return o;
}

json_t *kube_partial_list(const json_t *items, const json_t *list_meta, bool v1beta1)
{
    json_t *o = new_meta_object("PartialObjectMetadataList", v1beta1), *out = json_array(), *v;
    size_t i;
    json_array_foreach(items, i, v)
        json_array_append_new(out, kube_partial(v, v1beta1));
    json_object_set_new(o, "metadata", list_meta_of(list_meta));
    json_object_set_new(o, "items", out);
    return o;
}

static json_t *columns_json(const KubeKind *k)
{
    size_t n;
    const KubeColumn *c = kube_columns(k, &n);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        set_str(o, "name", c[i].name);
        set_str(o, "type", "string");
        set_str(o, "format", c[i].format);
        set_str(o, "description", c[i].description);
        json_object_set_new(o, "priority", json_integer(c[i].priority));
        json_array_append_new(out, o);
    }
    return out;
}

/* A Pod that has ended is a row that kubectl may leave out. */
static void add_conditions(json_t *row, const KubeKind *k, const json_t *object)
{
    const char *phase = k->id == KUBE_PODS ? json_str(json_object_get(object, "status"), "phase") : NULL;
    bool good = str_eq(phase, "Succeeded");
    if (!good && !str_eq(phase, "Failed"))
        return;
    json_object_set_new(row, "conditions",
                        json_pack("[{s:s, s:s, s:s, s:s}]", "type", "Completed", "status", "True", "reason", phase, "message",
                                  good ? "The pod has completed successfully." : "The pod failed."));
}

static bool is_initial_events_end(const json_t *o)
{
    return str_eq(json_str(json_object_get(json_object_get(o, "metadata"), "annotations"), "k8s.io/initial-events-end"), "true");
}

static json_t *row_json(const KubeKind *k, const json_t *object, const TableOptions *t)
{
    json_t *row = json_object();
    json_object_set_new(row, "cells", kube_cells(k, object, t->now_ns));
    add_conditions(row, k, object);
    if (t->include == INCLUDE_OBJECT)
        json_object_set(row, "object", (json_t *)(uintptr_t)object);
    else if (t->include == INCLUDE_METADATA || is_initial_events_end(object))
        json_object_set_new(row, "object", kube_partial(object, t->v1beta1));
    else
        json_object_set_new(row, "object", json_null());
    return row;
}

json_t *kube_table(const KubeKind *k, const json_t *items, const json_t *list_meta, const TableOptions *o)
{
    json_t *table = new_meta_object("Table", o->v1beta1), *rows = json_array(), *v;
    size_t i;
    json_array_foreach(items, i, v)
        json_array_append_new(rows, row_json(k, v, o));
    json_object_set_new(table, "metadata", list_meta_of(list_meta));
    json_object_set_new(table, "columnDefinitions", o->no_headers ? json_null() : columns_json(k));
    json_object_set_new(table, "rows", rows);
    return table;
}

json_t *kube_table_one(const KubeKind *k, const json_t *object, const TableOptions *o)
{
    SCOPED(json_unref) json_t *items = json_array();
    SCOPED(json_unref) json_t *meta = json_object();
    const char *version = json_str(json_object_get(object, "metadata"), "resourceVersion");
    if (version)
        set_str(meta, "resourceVersion", version);
    json_array_append(items, (json_t *)(uintptr_t)object);
    return kube_table(k, items, meta, o);
}
