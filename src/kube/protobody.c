/* protobody.c - see protobody.h. One walk over tables of fields; the numbers are those of k8s.io's generated.proto files. */
#include "kube/protobody.h"

#include "base/clock.h"
#include "base/str.h"

#define DEPTH_MAX 8

typedef enum { P_STR, P_INT, P_BOOL, P_MSG, P_MSGS, P_STRS, P_MAP, P_BYTES_MAP, P_TIME, P_MICRO_TIME } ProtoKind;
typedef struct ProtoField ProtoField;
typedef struct { const ProtoField *field; size_t n; } ProtoType;
struct ProtoField {
    unsigned number;
    const char *json;
    ProtoKind kind;
    const ProtoType *sub;
};
#define TYPE(name, rows) static const ProtoType name = {rows, ARRAY_LEN(rows)}

static const ProtoField owner_rows[] = {{1, "kind", P_STR}, {3, "name", P_STR}, {4, "uid", P_STR}, {5, "apiVersion", P_STR},
                                        {6, "controller", P_BOOL}, {7, "blockOwnerDeletion", P_BOOL}};
TYPE(owner, owner_rows);
static const ProtoField meta_rows[] = {
    {1, "name", P_STR}, {2, "generateName", P_STR}, {3, "namespace", P_STR}, {5, "uid", P_STR}, {6, "resourceVersion", P_STR},
    {7, "generation", P_INT}, {8, "creationTimestamp", P_TIME}, {9, "deletionTimestamp", P_TIME}, {10, "deletionGracePeriodSeconds", P_INT},
    {11, "labels", P_MAP}, {12, "annotations", P_MAP}, {13, "ownerReferences", P_MSGS, &owner}, {14, "finalizers", P_STRS},
};
TYPE(meta, meta_rows);
static const ProtoField reference_rows[] = {{1, "kind", P_STR}, {2, "namespace", P_STR}, {3, "name", P_STR}, {4, "uid", P_STR},
                                            {5, "apiVersion", P_STR}, {6, "resourceVersion", P_STR}, {7, "fieldPath", P_STR}};
TYPE(reference, reference_rows);
static const ProtoField config_map_rows[] = {{1, "metadata", P_MSG, &meta}, {2, "data", P_MAP}, {3, "binaryData", P_BYTES_MAP},
                                             {4, "immutable", P_BOOL}};
TYPE(config_map, config_map_rows);
static const ProtoField secret_rows[] = {{1, "metadata", P_MSG, &meta}, {2, "data", P_BYTES_MAP}, {3, "type", P_STR},
                                         {4, "stringData", P_MAP}, {5, "immutable", P_BOOL}};
TYPE(secret, secret_rows);
static const ProtoField namespace_spec_rows[] = {{1, "finalizers", P_STRS}};
TYPE(namespace_spec, namespace_spec_rows);
static const ProtoField namespace_status_rows[] = {{1, "phase", P_STR}};
TYPE(namespace_status, namespace_status_rows);
static const ProtoField namespace_rows[] = {{1, "metadata", P_MSG, &meta}, {2, "spec", P_MSG, &namespace_spec},
                                            {3, "status", P_MSG, &namespace_status}};
TYPE(namespace_, namespace_rows);
static const ProtoField local_rows[] = {{1, "name", P_STR}};
TYPE(local, local_rows);
static const ProtoField account_rows[] = {{1, "metadata", P_MSG, &meta}, {2, "secrets", P_MSGS, &reference},
                                          {3, "imagePullSecrets", P_MSGS, &local}, {4, "automountServiceAccountToken", P_BOOL}};
TYPE(account, account_rows);
static const ProtoField source_rows[] = {{1, "component", P_STR}, {2, "host", P_STR}};
TYPE(source, source_rows);
static const ProtoField series_rows[] = {{1, "count", P_INT}, {2, "lastObservedTime", P_MICRO_TIME}};
TYPE(series, series_rows);
static const ProtoField event_rows[] = {
    {1, "metadata", P_MSG, &meta}, {2, "involvedObject", P_MSG, &reference}, {3, "reason", P_STR}, {4, "message", P_STR},
    {5, "source", P_MSG, &source}, {6, "firstTimestamp", P_TIME}, {7, "lastTimestamp", P_TIME}, {8, "count", P_INT}, {9, "type", P_STR},
    {10, "eventTime", P_MICRO_TIME}, {11, "series", P_MSG, &series}, {12, "action", P_STR}, {13, "related", P_MSG, &reference},
    {14, "reportingComponent", P_STR}, {15, "reportingInstance", P_STR},
};
TYPE(event, event_rows);
static const ProtoField events_v1_rows[] = {
    {1, "metadata", P_MSG, &meta}, {2, "eventTime", P_MICRO_TIME}, {3, "series", P_MSG, &series}, {4, "reportingController", P_STR},
    {5, "reportingInstance", P_STR}, {6, "action", P_STR}, {7, "reason", P_STR}, {8, "regarding", P_MSG, &reference},
    {9, "related", P_MSG, &reference}, {10, "note", P_STR}, {11, "type", P_STR}, {12, "deprecatedSource", P_MSG, &source},
    {13, "deprecatedFirstTimestamp", P_TIME}, {14, "deprecatedLastTimestamp", P_TIME}, {15, "deprecatedCount", P_INT},
};
TYPE(events_v1, events_v1_rows);
static const ProtoField preconditions_rows[] = {{1, "uid", P_STR}, {2, "resourceVersion", P_STR}};
TYPE(preconditions, preconditions_rows);
static const ProtoField delete_rows[] = {{1, "gracePeriodSeconds", P_INT}, {2, "preconditions", P_MSG, &preconditions},
                                         {3, "orphanDependents", P_BOOL}, {4, "propagationPolicy", P_STR}, {5, "dryRun", P_STRS}};
TYPE(delete_options, delete_rows);
static const ProtoField eviction_rows[] = {{1, "metadata", P_MSG, &meta}, {2, "deleteOptions", P_MSG, &delete_options}};
TYPE(eviction, eviction_rows);
static const ProtoField resource_rows[] = {{1, "namespace", P_STR}, {2, "verb", P_STR}, {3, "group", P_STR}, {4, "version", P_STR},
                                           {5, "resource", P_STR}, {6, "subresource", P_STR}, {7, "name", P_STR}};
TYPE(resource, resource_rows);
static const ProtoField path_rows[] = {{1, "path", P_STR}, {2, "verb", P_STR}};
TYPE(path, path_rows);
static const ProtoField access_spec_rows[] = {{1, "resourceAttributes", P_MSG, &resource}, {2, "nonResourceAttributes", P_MSG, &path}};
TYPE(access_spec, access_spec_rows);
static const ProtoField access_rows[] = {{1, "metadata", P_MSG, &meta}, {2, "spec", P_MSG, &access_spec}};
TYPE(access_review, access_rows);
static const ProtoField self_rows[] = {{1, "metadata", P_MSG, &meta}};
TYPE(self_review, self_rows);

static const struct { const char *api_version, *kind; const ProtoType *type; } kinds[] = {
    {"v1", "ConfigMap", &config_map},
    {"v1", "Secret", &secret},
    {"v1", "Namespace", &namespace_},
    {"v1", "ServiceAccount", &account},
    {"v1", "Event", &event},
    {"events.k8s.io/v1", "Event", &events_v1},
    {"policy/v1", "Eviction", &eviction},
    {NULL, "DeleteOptions", &delete_options}, /* sent in the version of whatever is deleted */
    {"authentication.k8s.io/v1", "SelfSubjectReview", &self_review},
    {"authorization.k8s.io/v1", "SelfSubjectAccessReview", &access_review},
};

/* --- bytes -------------------------------------------------------------------------------------------------------- */

typedef struct { const uint8_t *p, *end; } Bytes;
typedef struct { unsigned number, wire; uint64_t v; Bytes bytes; } Item;

static bool varint(Bytes *b, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (b->p == b->end)
            return false;
        uint8_t c = *b->p++;
        *ret |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return true;
    }
    return false;
}

/* Groups are not used by anybody, and are refused. */
static bool next(Bytes *b, Item *ret)
{
    uint64_t tag, n;
    *ret = (Item){0};
    if (!varint(b, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911)
        return false;
    ret->number = (unsigned)(tag >> 3);
    ret->wire = tag & 7;
    n = ret->wire == 5 ? 4 : 8;
    if (ret->wire == 0)
        return varint(b, &ret->v);
    if (ret->wire == 2 ? !varint(b, &n) : ret->wire != 1 && ret->wire != 5)
        return false;
    if (n > (uint64_t)(b->end - b->p))
        return false;
    ret->bytes = (Bytes){b->p, b->p + n};
    b->p += n;
    return true;
}

static json_t *text_of(Bytes b)
{
    return json_stringn((const char *)b.p, (size_t)(b.end - b.p)); /* NULL: no UTF-8 */
}

static json_t *base64_of(Bytes b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    Str s = {0};
    for (const uint8_t *p = b.p; p < b.end; p += 3) {
        size_t n = (size_t)(b.end - p);
        uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        str_add_c(&s, digits[v >> 18]);
        str_add_c(&s, digits[v >> 12 & 63]);
        str_add_c(&s, n > 1 ? digits[v >> 6 & 63] : '=');
        str_add_c(&s, n > 2 ? digits[v & 63] : '=');
    }
    json_t *j = json_string(str_or(s.p, ""));
    str_done(&s);
    return j;
}

static json_t *time_of(Bytes b, bool micro)
{
    uint64_t seconds = 0, nanos = 0;
    Item i;
    char buf[CLOCK_TEXT_MAX];
    while (b.p < b.end) {
        if (!next(&b, &i))
            return NULL;
        if (i.number == 1 && i.wire == 0)
            seconds = i.v;
        else if (i.number == 2 && i.wire == 0)
            nanos = i.v;
    }
    /* Go's zero time is the year 1: what it means is "none". */
    if ((int64_t)seconds <= 0 || seconds > INT64_MAX / NS_PER_S - 1 || nanos >= (uint64_t)NS_PER_S)
        return json_null();
    return json_string(clock_format((int64_t)seconds * NS_PER_S + (int64_t)nanos, micro ? 6 : 0, buf));
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static bool message(const ProtoType *t, Bytes b, unsigned depth, json_t *out);

static bool map_entry(Bytes b, bool bytes, json_t *out)
{
    Item i;
    Bytes key = {0}, value = {0};
    while (b.p < b.end) {
        if (!next(&b, &i))
            return false;
        if (i.wire == 2 && i.number == 1)
            key = i.bytes;
        else if (i.wire == 2 && i.number == 2)
            value = i.bytes;
    }
    json_t *k = text_of(key), *v = bytes ? base64_of(value) : text_of(value);
    bool good = k && v && strlen(json_string_value(k)) == json_string_length(k);
    if (good)
        json_object_set(out, json_string_value(k), v);
    json_decref(k);
    json_decref(v);
    return good;
}

/* The member <name> of <out>, made if it is not there. Borrowed. */
static json_t *member(json_t *out, const char *name, bool array)
{
    json_t *m = json_object_get(out, name);
    if (!m) {
        m = array ? json_array() : json_object();
        json_object_set_new(out, name, m);
    }
    return m;
}

static bool field(const ProtoField *f, const Item *i, unsigned depth, json_t *out)
{
    json_t *v = NULL;
    bool number = f->kind == P_INT || f->kind == P_BOOL;
    if (i->wire != (number ? 0u : 2u))
        return false;
    switch (f->kind) {
    case P_STR:
        v = text_of(i->bytes);
        break;
    case P_INT:
        v = json_integer((json_int_t)i->v);
        break;
    case P_BOOL:
        v = json_boolean(i->v != 0);
        break;
    case P_TIME:
    case P_MICRO_TIME:
        v = time_of(i->bytes, f->kind == P_MICRO_TIME);
        break;
    case P_MSG:
        return message(f->sub, i->bytes, depth + 1, member(out, f->json, false));
    case P_MSGS:
        v = json_object();
        json_array_append(member(out, f->json, true), v);
        json_decref(v);
        return message(f->sub, i->bytes, depth + 1, v);
    case P_STRS:
        v = text_of(i->bytes);
        return v && json_array_append_new(member(out, f->json, true), v) == 0;
    case P_MAP:
    case P_BYTES_MAP:
        return map_entry(i->bytes, f->kind == P_BYTES_MAP, member(out, f->json, false));
    }
    return v && json_object_set_new(out, f->json, v) == 0;
}

/* Go writes strings that are not pointers when they are empty, too: what is empty is not said. */
static bool message(const ProtoType *t, Bytes b, unsigned depth, json_t *out)
{
    Item i;
    if (depth > DEPTH_MAX)
        return false;
    while (b.p < b.end) {
        const ProtoField *f = NULL;
        if (!next(&b, &i))
            return false;
        for (size_t k = 0; k < t->n; k++)
            if (t->field[k].number == i.number)
                f = &t->field[k];
        if (!f || (f->kind == P_STR && i.wire == 2 && i.bytes.p == i.bytes.end))
            continue;
        if (!field(f, &i, depth, out))
            return false;
    }
    return true;
}

static char *dup_text(Bytes b)
{
    return mem_dup_strn((const char *)b.p, (size_t)(b.end - b.p));
}

/* runtime.Unknown: typeMeta = 1 {apiVersion = 1, kind = 2}, raw = 2. */
static bool unknown(Bytes b, char **api_version, char **kind, Bytes *raw)
{
    Item i, k;
    while (b.p < b.end) {
        if (!next(&b, &i))
            return false;
        if (i.wire != 2)
            continue;
        if (i.number == 2)
            *raw = i.bytes;
        while (i.number == 1 && i.bytes.p < i.bytes.end) {
            if (!next(&i.bytes, &k))
                return false;
            char **to = k.wire != 2 ? NULL : k.number == 1 ? api_version : k.number == 2 ? kind : NULL;
            if (to) {
                free(*to);
                *to = dup_text(k.bytes);
            }
        }
    }
    return true;
}

json_t *kube_protobuf_parse(const void *bytes, size_t n, json_t **ret)
{
    static const char magic[4] = "k8s"; /* and its NUL */
    SCOPED(mem_free) char *api_version = NULL;
    SCOPED(mem_free) char *kind = NULL;
    Bytes b = {bytes, (const uint8_t *)bytes + n}, raw = {b.end, b.end};
    *ret = NULL;
    if (n < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
        return kube_bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    b.p += sizeof magic;
    if (!unknown(b, &api_version, &kind, &raw))
        return kube_bad_request("the body of the request is no protobuf that can be read");
    const ProtoType *t = NULL;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(kinds[i].kind, kind) && (!kinds[i].api_version || str_eq(kinds[i].api_version, api_version)))
            t = kinds[i].type;
    if (!t)
        return kube_unsupported_media_type("application/json, application/yaml");
    json_t *o = json_pack("{s:s, s:s?}", "kind", kind, "apiVersion", api_version);
    if (!o || !message(t, raw, 0, o)) {
        json_decref(o);
        return kube_bad_request("the body of the request is no %s in protobuf that can be read", kind);
    }
    *ret = o;
    return NULL;
}
