/* pbjson.c - a message's descriptor says for each field where it lies in the C structure, what type it has, and where its count or its
 * presence is; everything here follows from that. A field is a place ("slot") of its type, or a vector of such places. */
#include "wire/pbjson.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "base/str.h"
#include "wire/shimwire.h"

typedef ProtobufCFieldDescriptor Field;
typedef ProtobufCMessageDescriptor Message;

/* --- names ------------------------------------------------------------------------------------------------------- */

/* Without the _ that keeps a name from being a macro. */
static size_t name_len(const char *name)
{
    size_t n = strlen(name);
    return n > 1 && name[n - 1] == '_' ? n - 1 : n;
}

/* "pod_sandbox_id" -> "podSandboxId", "CDI_devices" -> "CDIDevices": protoc's ToJsonName. */
static char *json_name(const char *name)
{
    Str s = {0};
    bool upper = false;
    for (size_t i = 0, n = name_len(name); i < n; i++) {
        if (name[i] == '_') {
            upper = true;
            continue;
        }
        str_add_c(&s, upper ? (char)toupper((unsigned char)name[i]) : name[i]);
        upper = false;
    }
    return str_take(&s);
}

static const Field *field_named(const Message *d, const char *key)
{
    for (unsigned i = 0; i < d->n_fields; i++) {
        const char *name = d->fields[i].name;
        if (strlen(key) == name_len(name) && strncmp(key, name, name_len(name)) == 0)
            return &d->fields[i];
        SCOPED(mem_free) char *camel = json_name(name);
        if (str_eq(key, camel))
            return &d->fields[i];
    }
    return NULL;
}

/* The message of a map<,>'s entries, as protoc makes it: Parent.LabelsEntry {key = 1, value = 2} of `labels`. NULL: a plain list. */
static const Message *map_entry(const Message *parent, const Field *f)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label != PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    const Message *d = f->descriptor;
    if (d->n_fields != 2 || !str_eq(d->fields[0].name, "key") || !str_eq(d->fields[1].name, "value") || d->fields[0].id != 1 ||
        d->fields[1].id != 2 || d->fields[0].label == PROTOBUF_C_LABEL_REPEATED || d->fields[1].label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    SCOPED(mem_free) char *camel = json_name(f->name);
    SCOPED(mem_free) char *name = mem_fmt("%s.%c%sEntry", parent->name, toupper((unsigned char)camel[0]), camel + (*camel != '\0'));
    return str_eq(d->name, name) ? d : NULL;
}

/* --- places ------------------------------------------------------------------------------------------------------ */

/* In the reader the message is ours to change; in the writer nothing is stored through it. */
static void *at(const ProtobufCMessage *m, unsigned offset)
{
    return (char *)(uintptr_t)m + offset;
}

#define GET(T, slot)                                                                                                   \
    ({                                                                                                                 \
        T v_;                                                                                                          \
        memcpy(&v_, (slot), sizeof v_);                                                                                \
        v_;                                                                                                            \
    })
#define PUT(T, slot, v)                                                                                                \
    do {                                                                                                               \
        T v_ = (v);                                                                                                    \
        memcpy((slot), &v_, sizeof v_);                                                                                \
    } while (0)

static size_t slot_size(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_FLOAT:
        return sizeof(float);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    abort(); /* protobuf-c has no other type */
}

static bool is_oneof(const Field *f)
{
    return f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

/* Whether a field that is not repeated would be sent: proto3 sends what differs from zero, or what says that it is there. */
static bool is_there(const ProtobufCMessage *m, const Field *f)
{
    const void *slot = at(m, f->offset);
    if (is_oneof(f))
        return GET(uint32_t, at(m, f->quantifier_offset)) == f->id &&
               (f->type != PROTOBUF_C_TYPE_MESSAGE || GET(const void *, slot) != NULL);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return GET(const void *, slot) != NULL;
    if (f->label == PROTOBUF_C_LABEL_REQUIRED)
        return true;
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return f->label == PROTOBUF_C_LABEL_OPTIONAL
                   ? GET(const char *, slot) != NULL && GET(const void *, slot) != f->default_value
                   : !str_empty(GET(const char *, slot));
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
        return GET(protobuf_c_boolean, at(m, f->quantifier_offset)) != 0;
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        return GET(ProtobufCBinaryData, slot).len != 0;
    static const char zero[sizeof(uint64_t)];
    return memcmp(slot, zero, slot_size(f->type)) != 0;
}

/* --- out --------------------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned flags;
    size_t values, depth;
} Writer;

static Err *count_value(size_t *values)
{
    return ++*values > PBJSON_MAX_VALUES
               ? err_new(ERR_LIMIT, 0, "more than %zu values in one message", (size_t)PBJSON_MAX_VALUES)
               : NULL;
}

static json_t *real_json(double v, bool single)
{
    if (isnan(v) || isinf(v))
        return json_string(isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
    /* The shortest text that gives the float back: 0.1, not 0.100000001490116. */
    for (int digits = FLT_DIG; single && digits < FLT_DECIMAL_DIG; digits++) {
        char text[32];
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtof(text, NULL) == (float)v)
            return json_real(strtod(text, NULL));
    }
    return json_real(v);
}

static json_t *i64_json(int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    return json_string(text);
}

static json_t *u64_json(uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    return json_string(text);
}

static json_t *enum_json(const ProtobufCEnumDescriptor *d, int v)
{
    const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(d, v);
    return named ? json_string(named->name) : json_integer(v);
}

static json_t *bytes_json(ProtobufCBinaryData b, bool as_text)
{
    if (as_text)
        return shim_text((const char *)b.data, b.len);
    SCOPED(mem_free) char *text = shim_base64(b.data, b.len);
    return json_string(text);
}

static Err *write_message(Writer *w, const ProtobufCMessage *m, json_t **ret);

static Err *write_slot(Writer *w, const Field *f, const void *slot, json_t **ret)
{
    Err *e = count_value(&w->values);
    if (e)
        return e;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        *ret = json_integer(GET(int32_t, slot));
        return NULL;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        *ret = json_integer(GET(uint32_t, slot));
        return NULL;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        *ret = i64_json(GET(int64_t, slot));
        return NULL;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *ret = u64_json(GET(uint64_t, slot));
        return NULL;
    case PROTOBUF_C_TYPE_FLOAT:
        *ret = real_json((double)GET(float, slot), true);
        return NULL;
    case PROTOBUF_C_TYPE_DOUBLE:
        *ret = real_json(GET(double, slot), false);
        return NULL;
    case PROTOBUF_C_TYPE_BOOL:
        *ret = json_boolean(GET(protobuf_c_boolean, slot));
        return NULL;
    case PROTOBUF_C_TYPE_ENUM:
        *ret = enum_json(f->descriptor, GET(int, slot));
        return NULL;
    case PROTOBUF_C_TYPE_STRING: {
        const char *s = str_or(GET(const char *, slot), "");
        *ret = shim_text(s, strlen(s));
        return NULL;
    }
    case PROTOBUF_C_TYPE_BYTES:
        *ret = bytes_json(GET(ProtobufCBinaryData, slot), w->flags & PBJSON_TEXT);
        return NULL;
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *sub = GET(const ProtobufCMessage *, slot);
        if (sub)
            return write_message(w, sub, ret);
        *ret = json_null();
        return NULL;
    }
    }
    abort();
}

/* A map's key is a string in JSON, whatever it is in protobuf. */
static Err *write_entry(Writer *w, const ProtobufCMessage *entry, json_t *map)
{
    const Field *kf = &entry->descriptor->fields[0], *vf = &entry->descriptor->fields[1];
    SCOPED(json_unref) json_t *key = NULL, *value = NULL;
    Err *e = write_slot(w, kf, at(entry, kf->offset), &key);
    e = e ? e : write_slot(w, vf, at(entry, vf->offset), &value);
    if (e)
        return e;
    SCOPED(mem_free) char *other = json_is_string(key) ? NULL : json_text(key, false);
    (void)json_object_set(map, other ? other : json_string_value(key), value);
    return NULL;
}

static Err *write_vector(Writer *w, const ProtobufCMessage *m, const Field *f, json_t **ret)
{
    size_t n = GET(size_t, at(m, f->quantifier_offset)), size = slot_size(f->type);
    const char *v = GET(const char *, at(m, f->offset));
    const Message *entry = map_entry(m->descriptor, f);
    SCOPED(json_unref) json_t *all = entry ? json_object() : json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *one = NULL;
        Err *e = entry ? write_entry(w, GET(const ProtobufCMessage *, v + i * size), all) : write_slot(w, f, v + i * size, &one);
        if (e)
            return e;
        if (!entry)
            (void)json_array_append_new(all, one);
    }
    *ret = MOVE(all, NULL);
    return NULL;
}

static Err *write_field(Writer *w, const ProtobufCMessage *m, const Field *f, json_t **ret)
{
    const bool all = w->flags & PBJSON_DEFAULTS;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return all || GET(size_t, at(m, f->quantifier_offset)) ? write_vector(w, m, f, ret) : NULL;
    if (!is_there(m, f) && (!all || is_oneof(f)))
        return NULL;
    return write_slot(w, f, at(m, f->offset), ret);
}

static Err *write_message(Writer *w, const ProtobufCMessage *m, json_t **ret)
{
    if (++w->depth > PBJSON_MAX_DEPTH)
        return err_new(ERR_LIMIT, 0, "messages nested deeper than %d", PBJSON_MAX_DEPTH);
    SCOPED(json_unref) json_t *o = json_object();
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const Field *f = &m->descriptor->fields[i];
        json_t *v = NULL;
        Err *e = write_field(w, m, f, &v);
        if (e)
            return e;
        SCOPED(mem_free) char *name = v ? json_name(f->name) : NULL;
        if (v)
            (void)json_object_set_new(o, name, v);
    }
    w->depth--;
    *ret = MOVE(o, NULL);
    return NULL;
}

Err *pbjson_write(const ProtobufCMessage *m, unsigned flags, json_t **ret)
{
    Writer w = {.flags = flags};
    Err *e = write_message(&w, m, ret);
    return e ? err_wrap(e, "%s", m->descriptor->short_name) : NULL;
}

/* --- in ---------------------------------------------------------------------------------------------------------- */

/* Where we are in the JSON, chained on the stack: text only when there is something to say. */
typedef struct Path {
    const struct Path *up;
    const char *key; /* NULL: [index] */
    size_t index;
    bool is_map_key; /* labels[key] */
} Path;

typedef struct {
    size_t values, depth;
} Reader;

static void add_path(Str *s, const Path *p)
{
    if (!p || (!p->up && !p->key))
        return;
    add_path(s, p->up);
    if (!p->key)
        str_fmt(s, "[%zu]", p->index);
    else if (p->is_map_key)
        str_fmt(s, "[%s]", p->key);
    else
        str_fmt(s, "%s%s", s->n ? "." : "", p->key);
}

static Err *PRINTF_LIKE(2, 3) refuse(const Path *p, const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    add_path(&s, p);
    if (s.n)
        str_add(&s, ": ");
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    return err_new(ERR_INVALID, 0, "%s", s.p);
}

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* A whole number of any JSON form: 5, 5.0, 5e0, "5". The sign is apart, so that all of int64 and uint64 fits. */
static bool integer_of(const json_t *v, bool *ret_negative, uint64_t *ret)
{
    if (json_is_integer(v)) {
        json_int_t i = json_integer_value(v);
        *ret_negative = i < 0;
        *ret = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        return true;
    }
    if (json_is_real(v)) {
        double d = json_real_value(v), size = fabs(d);
        *ret_negative = d < 0;
        if (size != floor(size) || size >= 0x1p64)
            return false;
        *ret = (uint64_t)size;
        return true;
    }
    const char *s = json_string_value(v);
    if (!s)
        return false;
    *ret_negative = *s == '-';
    s += *ret_negative;
    uint64_t n = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
            return false;
    }
    *ret = n;
    return true;
}

static Err *read_signed(const Path *p, const json_t *v, unsigned bits, int64_t *ret)
{
    bool negative;
    uint64_t n, limit = UINT64_C(1) << (bits - 1);
    if (!json_is_number(v) && !json_is_string(v))
        return refuse(p, "must be a whole number, is %s", kind_of(v));
    if (!integer_of(v, &negative, &n) || n > limit || (n == limit && !negative))
        return refuse(p, "must be a whole number of %u bits", bits);
    *ret = negative ? (int64_t)(0 - n) : (int64_t)n;
    return NULL;
}

static Err *read_unsigned(const Path *p, const json_t *v, unsigned bits, uint64_t *ret)
{
    bool negative;
    if (!json_is_number(v) && !json_is_string(v))
        return refuse(p, "must be a whole number, is %s", kind_of(v));
    if (!integer_of(v, &negative, ret) || (negative && *ret) || (bits < 64 && *ret >> bits))
        return refuse(p, "must be a whole number of %u bits, not negative", bits);
    return NULL;
}

static Err *read_real(const Path *p, const json_t *v, bool single, double *ret)
{
    const char *s = json_string_value(v);
    if (!s && !json_is_number(v))
        return refuse(p, "must be a number, is %s", kind_of(v));
    char *end = NULL;
    if (!s) {
        *ret = json_number_value(v);
    } else if (str_eq(s, "NaN") || str_eq(s, "Infinity") || str_eq(s, "-Infinity")) {
        *ret = *s == 'N' ? (double)NAN : *s == '-' ? -(double)INFINITY : (double)INFINITY;
        return NULL;
    } else { /* JSON's own form only: no blanks, no hexadecimal, no "inf" */
        *ret = strtod(s, &end);
        if (!*s || *end || strspn(s, "0123456789+-.eE") != strlen(s) || *s == '+')
            return refuse(p, "must be a number");
    }
    if (isinf(*ret) || (single && fabs(*ret) > (double)FLT_MAX))
        return refuse(p, "must be a number of %d bits", single ? 32 : 64);
    return NULL;
}

static Err *read_enum(const Path *p, const ProtobufCEnumDescriptor *d, const json_t *v, int *ret)
{
    int64_t n = 0;
    const char *name = json_string_value(v);
    if (!name && !json_is_number(v))
        return refuse(p, "must be a name of %s, is %s", d->short_name, kind_of(v));
    const ProtobufCEnumValue *named = name ? protobuf_c_enum_descriptor_get_value_by_name(d, name) : NULL;
    if (name && !named) {
        SCOPED(str_done) Str all = {0};
        for (unsigned i = 0; i < d->n_values; i++)
            str_fmt(&all, "%s%s", i ? ", " : "", d->values[i].name);
        return refuse(p, "\"%s\" is none of: %s", name, all.p ? all.p : "");
    }
    Err *e = named ? NULL : read_signed(p, v, 32, &n);
    *ret = named ? named->value : (int)n;
    return e;
}

static Err *read_string(const Path *p, const json_t *v, char **ret)
{
    const char *s = json_string_value(v);
    if (!s)
        return refuse(p, "must be a string, is %s", kind_of(v));
    if (strlen(s) != json_string_length(v))
        return refuse(p, "must not have NUL in it");
    *ret = mem_dup_str(s);
    return NULL;
}

/* Either alphabet, with or without padding, as the mapping says. */
static Err *read_bytes(const Path *p, const json_t *v, ProtobufCBinaryData *ret)
{
    const char *s = json_string_value(v);
    if (!s)
        return refuse(p, "must be a string of base64, is %s", kind_of(v));
    SCOPED(str_done) Str text = {0}, bytes = {0};
    for (; *s; s++)
        str_add_c(&text, *s == '-' ? '+' : *s == '_' ? '/' : *s);
    while (text.n % 4 == 2 || text.n % 4 == 3)
        str_add_c(&text, '=');
    if (text.n && !shim_base64_read(text.p, &bytes))
        return refuse(p, "must be a string of base64");
    ret->len = bytes.n;
    ret->data = bytes.n ? mem_dup(bytes.p, bytes.n) : NULL;
    return NULL;
}

static Err *read_message(Reader *r, const Path *p, const Message *d, const json_t *j, ProtobufCMessage **ret);

static Err *read_slot(Reader *r, const Path *p, const Field *f, const json_t *v, void *slot)
{
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    Err *e = count_value(&r->values);
    if (e)
        return e;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        e = read_signed(p, v, 32, &i);
        PUT(int32_t, slot, (int32_t)i);
        return e;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        e = read_unsigned(p, v, 32, &u);
        PUT(uint32_t, slot, (uint32_t)u);
        return e;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        e = read_signed(p, v, 64, &i);
        PUT(int64_t, slot, i);
        return e;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        e = read_unsigned(p, v, 64, &u);
        PUT(uint64_t, slot, u);
        return e;
    case PROTOBUF_C_TYPE_FLOAT:
        e = read_real(p, v, true, &d);
        PUT(float, slot, e ? 0 : (float)d);
        return e;
    case PROTOBUF_C_TYPE_DOUBLE:
        e = read_real(p, v, false, &d);
        PUT(double, slot, d);
        return e;
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(v))
            return refuse(p, "must be true or false, is %s", kind_of(v));
        PUT(protobuf_c_boolean, slot, json_is_true(v));
        return NULL;
    case PROTOBUF_C_TYPE_ENUM: {
        int n = 0;
        e = read_enum(p, f->descriptor, v, &n);
        PUT(int, slot, n);
        return e;
    }
    case PROTOBUF_C_TYPE_STRING: {
        char *s = NULL;
        e = read_string(p, v, &s);
        if (s)
            PUT(char *, slot, s);
        return e;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData b = {0};
        e = read_bytes(p, v, &b);
        PUT(ProtobufCBinaryData, slot, b);
        return e;
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
        ProtobufCMessage *sub = NULL;
        e = read_message(r, p, f->descriptor, v, &sub);
        PUT(ProtobufCMessage *, slot, sub);
        return e;
    }
    }
    abort();
}

/* An empty message of <d>: what its generated init() makes. */
static ProtobufCMessage *new_message(const Message *d)
{
    ProtobufCMessage *m = mem_alloc(d->sizeof_message);
    protobuf_c_message_init(d, m);
    return m;
}

/* labels[key]: a key of a map that is not text is in a string, as 64 bit numbers are everywhere; only a bool is no number. */
static Err *read_entry(Reader *r, const Path *p, const Message *d, const char *key, const json_t *v, ProtobufCMessage **ret)
{
    const Field *kf = &d->fields[0], *vf = &d->fields[1];
    const bool is_bool = kf->type == PROTOBUF_C_TYPE_BOOL && (str_eq(key, "true") || str_eq(key, "false"));
    SCOPED(pbjson_free) ProtobufCMessage *m = new_message(d);
    SCOPED(json_unref) json_t *k = is_bool ? json_boolean(*key == 't') : json_string(key);
    Err *e = read_slot(r, p, kf, k, at(m, kf->offset));
    e = e ? e : read_slot(r, p, vf, v, at(m, vf->offset));
    if (e)
        return e;
    *ret = MOVE(m, NULL);
    return NULL;
}

static Err *read_map(Reader *r, const Path *p, const Message *d, const json_t *j, ProtobufCMessage **v, size_t *n)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        Err *e = read_entry(r, &(Path){p, key, 0, true}, d, key, value, &v[*n]);
        if (e)
            return e;
        ++*n;
    }
    return NULL;
}

static Err *read_list(Reader *r, const Path *p, const Field *f, const json_t *j, char *v, size_t *n)
{
    size_t i;
    json_t *value;
    json_array_foreach(j, i, value)
    {
        /* Counted first: what it holds so far is freed with the message, and its place was empty. */
        ++*n;
        Err *e = read_slot(r, &(Path){p, NULL, i, false}, f, value, v + i * slot_size(f->type));
        if (e)
            return e;
    }
    return NULL;
}

static Err *read_vector(Reader *r, const Path *p, const Field *f, const json_t *j, ProtobufCMessage *m)
{
    const Message *entry = map_entry(m->descriptor, f);
    if (entry ? !json_is_object(j) : !json_is_array(j))
        return refuse(p, "must be %s, is %s", entry ? "an object" : "a list", kind_of(j));
    size_t size = entry ? json_object_size(j) : json_array_size(j), n = 0;
    if (!size)
        return NULL;
    if (size > PBJSON_MAX_VALUES - r->values)
        return count_value(&(size_t){PBJSON_MAX_VALUES});
    void *v = mem_alloc_n(size, slot_size(f->type));
    Err *e = entry ? read_map(r, p, entry, j, v, &n) : read_list(r, p, f, j, v, &n);
    PUT(void *, at(m, f->offset), v);
    PUT(size_t, at(m, f->quantifier_offset), n);
    return e;
}

static Err *read_field(Reader *r, const Path *p, const Field *f, const json_t *v, ProtobufCMessage *m)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return read_vector(r, p, f, v, m);
    void *quantifier = at(m, f->quantifier_offset);
    if (is_oneof(f)) {
        if (GET(uint32_t, quantifier))
            return refuse(p, "excludes another field that is given");
        PUT(uint32_t, quantifier, f->id);
        memset(at(m, f->offset), 0, slot_size(f->type)); /* the members of a oneof share their place */
    }
    Err *e = read_slot(r, p, f, v, at(m, f->offset));
    if (!e && !is_oneof(f) && f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING &&
        f->type != PROTOBUF_C_TYPE_MESSAGE)
        PUT(protobuf_c_boolean, quantifier, 1);
    return e;
}

static Err *read_members(Reader *r, const Path *p, const json_t *j, ProtobufCMessage *m)
{
    const Message *d = m->descriptor;
    SCOPED(mem_free) bool *seen = mem_alloc_n(d->n_fields, sizeof *seen);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)j, key, value)
    {
        const Path here = {p, key, 0, false};
        const Field *f = field_named(d, key);
        if (!f)
            return refuse(&here, "unknown field");
        if (seen[f - d->fields])
            return refuse(&here, "given twice");
        seen[f - d->fields] = true;
        Err *e = json_is_null(value) ? NULL : read_field(r, &here, f, value, m);
        if (e)
            return e;
    }
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].label == PROTOBUF_C_LABEL_REQUIRED && !seen[i])
            return refuse(&(Path){p, d->fields[i].name, 0, false}, "is required");
    return NULL;
}

static Err *read_message(Reader *r, const Path *p, const Message *d, const json_t *j, ProtobufCMessage **ret)
{
    if (!json_is_object(j))
        return refuse(p, "must be an object, is %s", kind_of(j));
    if (++r->depth > PBJSON_MAX_DEPTH)
        return err_new(ERR_LIMIT, 0, "messages nested deeper than %d", PBJSON_MAX_DEPTH);
    SCOPED(pbjson_free) ProtobufCMessage *m = new_message(d);
    Err *e = read_members(r, p, j, m);
    if (e)
        return e;
    r->depth--;
    *ret = MOVE(m, NULL);
    return NULL;
}

Err *pbjson_read(const ProtobufCMessageDescriptor *d, const json_t *j, ProtobufCMessage **ret)
{
    Reader r = {0};
    return read_message(&r, NULL, d, j, ret);
}
