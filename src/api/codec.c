/* codec.c - the walker: any API object from and to JSON by its field table.
 *
 * Decoding goes key by key through the input, so that what it says follows the text a person wrote; encoding goes row by
 * row through the table, so that it writes what kube-apiserver writes. Where we are is a chain on the stack that becomes
 * text only when there is something to say. */
#include "api/codec.h"

#include "api/path.h"
#include "api/quantity.h"
#include "base/clock.h"
#include "wire/json.h"

#define AT(T, obj, f) ((T *)(void *)((char *)(obj) + (f)->off))
#define AT_CONST(T, obj, f) ((T const *)(const void *)((const char *)(obj) + (f)->off))

/* Far above what a Pod of 1.5 MiB (etcd's bound) says in earnest; keeps "[{},{},...]" from growing a hundredfold. */
#define MAX_ITEMS 4096

typedef struct {
    DecodeMode mode;
    Report *r;
} Decoder;

/* A value as an error shows it: compact JSON, cut where it grows beyond a line. */
static char *shown(const json_t *j)
{
    char *text = json_text(j, false);
    size_t n = strlen(text), max = 100;
    if (n > max) {
        while (max && ((unsigned char)text[max] & 0xc0) == 0x80)
            max--;
        Str s = {0};
        str_add_n(&s, text, max);
        str_add(&s, "...");
        free(text);
        return str_take(&s);
    }
    return text;
}

static void wrong_type(const Decoder *d, const Path *at, const json_t *j, const char *want)
{
    SCOPED(mem_free) char *path = path_text(at);
    SCOPED(mem_free) char *value = shown(j);
    report_add(d->r, CAUSE_TYPE, path, "Invalid value: %s: must be %s", value, want);
}

/* --- decode ----------------------------------------------------------------------------------------------------- */

static bool decode_object(const Decoder *d, const Path *at, const TypeDesc *t, const json_t *j, void *obj);

static char *decode_string(const Decoder *d, const Path *at, const json_t *j)
{
    if (json_is_string(j) && strlen(json_string_value(j)) == json_string_length(j))
        return mem_dup_strn(json_string_value(j), json_string_length(j));
    if (!json_is_null(j))
        wrong_type(d, at, j, "a string");
    return NULL;
}

static bool decode_int(const Decoder *d, const Path *at, const json_t *j, bool wide, int64_t *ret)
{
    *ret = 0;
    if (json_is_integer(j)) {
        int64_t v = json_integer_value(j);
        if (wide || (v >= INT32_MIN && v <= INT32_MAX)) {
            *ret = v;
            return true;
        }
    }
    if (!json_is_null(j))
        wrong_type(d, at, j, wide ? "a 64-bit integer" : "a 32-bit integer");
    return false;
}

static char *decode_quantity(const Decoder *d, const Path *at, const json_t *j)
{
    if (!json_is_string(j) && !json_is_number(j)) {
        if (!json_is_null(j))
            wrong_type(d, at, j, "a quantity, a string or a number");
        return NULL;
    }
    SCOPED(mem_free) char *text = json_is_string(j) ? decode_string(d, at, j) : json_text(j, false);
    SCOPED(mem_free) char *canonical = quantity_canonical(text);
    if (!canonical) {
        wrong_type(d, at, j, "a quantity: quantities must match the regular expression "
                             "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
        return NULL;
    }
    return MOVE(text, NULL);
}

static void decode_time(const Decoder *d, const Path *at, const json_t *j, OptTime *ret)
{
    if (json_is_string(j) && clock_parse(json_string_value(j), &ret->ns))
        ret->set = true;
    else if (!json_is_null(j))
        wrong_type(d, at, j, "a time in RFC 3339 form, such as \"2006-01-02T15:04:05Z\"");
}

static void decode_intstr(const Decoder *d, const Path *at, const json_t *j, IntOrString *ret)
{
    if (json_is_string(j)) {
        ret->s = decode_string(d, at, j);
        ret->kind = ret->s ? INTSTR_STR : INTSTR_UNSET;
    } else if (json_is_integer(j)) {
        if (decode_int(d, at, j, false, &ret->i))
            ret->kind = INTSTR_INT;
    } else if (!json_is_null(j)) {
        wrong_type(d, at, j, "an integer or a string");
    }
}

static bool is_list(const Decoder *d, const Path *at, const json_t *j)
{
    if (json_is_array(j)) {
        size_t n = json_array_size(j);
        if (n <= MAX_ITEMS)
            return true;
        SCOPED(mem_free) char *path = path_text(at);
        report_add(d->r, CAUSE_TYPE, path, "Too many: %zu: must have at most %d items", n, MAX_ITEMS);
    } else if (!json_is_null(j)) {
        wrong_type(d, at, j, "a list");
    }
    return false;
}

static void decode_obj_list(const Decoder *d, const Path *at, const TypeDesc *t, const json_t *j, ApiList *l)
{
    if (!is_list(d, at, j))
        return;
    size_t i;
    json_t *v;
    json_array_foreach(j, i, v)
        (void)decode_object(d, AT_INDEX(at, i), t, v, list_add(l, t->size));
}

static void decode_str_list(const Decoder *d, const Path *at, const json_t *j, StrList *l)
{
    if (!is_list(d, at, j))
        return;
    size_t i;
    json_t *v;
    json_array_foreach(j, i, v)
    {
        char *s = decode_string(d, AT_INDEX(at, i), v);
        *LIST_ADD(l) = s ? s : mem_dup_str("");
    }
}

static void decode_int_list(const Decoder *d, const Path *at, bool wide, const json_t *j, IntList *l)
{
    if (!is_list(d, at, j))
        return;
    size_t i;
    json_t *v;
    json_array_foreach(j, i, v)
        (void)decode_int(d, AT_INDEX(at, i), v, wide, LIST_ADD(l));
}

static int by_key(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b; /* every pair begins with its key */
    return strcmp(*x, *y);
}

static bool is_map(const Decoder *d, const Path *at, const json_t *j)
{
    if (json_is_object(j))
        return true;
    if (!json_is_null(j))
        wrong_type(d, at, j, "an object");
    return false;
}

static void decode_str_map(const Decoder *d, const Path *at, const json_t *j, StrMap *m)
{
    if (!is_map(d, at, j))
        return;
    size_t n = json_object_size(j);
    m->v = n ? mem_alloc_n(n, sizeof *m->v) : NULL;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        char *s = decode_string(d, AT_KEY(at, key), v);
        m->v[m->n++] = (StrPair){mem_dup_str(key), s ? s : mem_dup_str("")};
    }
    if (m->n)
        qsort(m->v, m->n, sizeof *m->v, by_key);
}

static void decode_res_map(const Decoder *d, const Path *at, const json_t *j, ResourceList *m)
{
    if (!is_map(d, at, j))
        return;
    size_t n = json_object_size(j);
    m->v = n ? mem_alloc_n(n, sizeof *m->v) : NULL;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        char *q = decode_quantity(d, AT_KEY(at, key), v);
        m->v[m->n++] = (QuantityPair){mem_dup_str(key), q ? q : mem_dup_str("0")};
    }
    if (m->n)
        qsort(m->v, m->n, sizeof *m->v, by_key);
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 with padding; line breaks are skipped as Go's decoder does. */
static bool base64_decode(const char *s, uint8_t **ret, size_t *ret_n)
{
    SCOPED(mem_free) uint8_t *out = mem_alloc(strlen(s) / 4 * 3 + 3);
    size_t n = 0;
    uint32_t bits = 0;
    unsigned chars = 0, pads = 0;
    for (; *s; s++) {
        if (*s == '\n' || *s == '\r')
            continue;
        int v = base64_digit(*s);
        if (*s == '=' && chars % 4 >= 2) {
            v = 0;
            pads++;
        } else if (v < 0 || pads) {
            return false;
        }
        bits = bits << 6 | (uint32_t)v;
        if (++chars % 4 == 0) {
            out[n++] = (uint8_t)(bits >> 16);
            out[n++] = (uint8_t)(bits >> 8);
            out[n++] = (uint8_t)bits;
        }
    }
    if (chars % 4 || pads > 2)
        return false;
    *ret_n = n - pads;
    *ret = MOVE(out, NULL);
    return true;
}

static char *base64_encode(const uint8_t *p, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    Str s = {0};
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        str_add_c(&s, digit[bits >> 18]);
        str_add_c(&s, digit[bits >> 12 & 63]);
        str_add_c(&s, i + 1 < n ? digit[bits >> 6 & 63] : '=');
        str_add_c(&s, i + 2 < n ? digit[bits & 63] : '=');
    }
    return str_take(&s);
}

static void decode_bytes_map(const Decoder *d, const Path *at, const json_t *j, BytesMap *m)
{
    if (!is_map(d, at, j))
        return;
    size_t n = json_object_size(j);
    m->v = n ? mem_alloc_n(n, sizeof *m->v) : NULL;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        Path here = {at, key, true, 0};
        SCOPED(mem_free) char *s = decode_string(d, &here, v);
        BytesPair *pair = &m->v[m->n++];
        *pair = (BytesPair){.key = mem_dup_str(key)};
        if (s && !base64_decode(s, &pair->bytes, &pair->n))
            wrong_type(d, &here, v, "base64");
    }
    if (m->n)
        qsort(m->v, m->n, sizeof *m->v, by_key);
}

static void decode_str(const Decoder *d, const Path *at, const Field *f, const json_t *j, char **ret)
{
    SCOPED(mem_free) char *s = decode_string(d, at, j);
    if (s && (*s || (f->flags & FIELD_PTR)))
        *ret = MOVE(s, NULL);
}

static void decode_bool(const Decoder *d, const Path *at, const json_t *j, OptBool *ret)
{
    if (json_is_boolean(j))
        *ret = (OptBool){true, json_is_true(j)};
    else if (!json_is_null(j))
        wrong_type(d, at, j, "true or false");
}

static void decode_obj(const Decoder *d, const Path *at, const TypeDesc *t, const json_t *j, void **ret)
{
    if (json_is_null(j))
        return;
    *ret = mem_alloc(t->size);
    if (!decode_object(d, at, t, j, *ret)) {
        api_free(t, *ret);
        *ret = NULL;
    }
}

static void decode_field(const Decoder *d, const Path *at, const Field *f, const json_t *j, void *obj)
{
    switch (f->kind) {
    case F_STR:
        decode_str(d, at, f, j, AT(char *, obj, f));
        break;
    case F_BOOL:
        decode_bool(d, at, j, AT(OptBool, obj, f));
        break;
    case F_INT:
    case F_INT64: {
        OptInt *v = AT(OptInt, obj, f);
        v->set = decode_int(d, at, j, f->kind == F_INT64, &v->v);
        break;
    }
    case F_TIME:
        decode_time(d, at, j, AT(OptTime, obj, f));
        break;
    case F_INTSTR:
        decode_intstr(d, at, j, AT(IntOrString, obj, f));
        break;
    case F_QUANTITY:
        *AT(char *, obj, f) = decode_quantity(d, at, j);
        break;
    case F_RAW:
        *AT(char *, obj, f) = json_is_null(j) ? NULL : json_text(j, false);
        break;
    case F_OBJ:
        decode_obj(d, at, f->sub, j, AT(void *, obj, f));
        break;
    case F_OBJ_IN:
        (void)decode_object(d, at, f->sub, j, AT(void, obj, f));
        break;
    case F_OBJ_LIST:
        decode_obj_list(d, at, f->sub, j, AT(ApiList, obj, f));
        break;
    case F_STR_LIST:
        decode_str_list(d, at, j, AT(StrList, obj, f));
        break;
    case F_INT_LIST:
        decode_int_list(d, at, f->flags & FIELD_WIDE, j, AT(IntList, obj, f));
        break;
    case F_STR_MAP:
        decode_str_map(d, at, j, AT(StrMap, obj, f));
        break;
    case F_BYTES_MAP:
        decode_bytes_map(d, at, j, AT(BytesMap, obj, f));
        break;
    case F_RES_MAP:
        decode_res_map(d, at, j, AT(ResourceList, obj, f));
        break;
    }
}

static const Field *find_field(const TypeDesc *t, const char *key)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->field[i].json, key) == 0)
            return &t->field[i];
    return NULL;
}

static void unknown_field(const Decoder *d, const Path *at)
{
    if (d->mode == DECODE_LENIENT) {
        d->r->n_dropped++;
        return;
    }
    SCOPED(mem_free) char *path = path_text(at);
    report_add(d->r, CAUSE_UNKNOWN_FIELD, path, "unknown field \"%s\"", path);
}

static bool decode_object(const Decoder *d, const Path *at, const TypeDesc *t, const json_t *j, void *obj)
{
    if (!is_map(d, at, j))
        return false;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        Path here = {at, key, false, 0};
        const Field *f = find_field(t, key);
        if (f)
            decode_field(d, &here, f, v, obj);
        else
            unknown_field(d, &here);
    }
    return true;
}

void *api_decode(const TypeDesc *t, const json_t *json, const char *path, DecodeMode mode, Report *r)
{
    void *obj = mem_alloc(t->size);
    Decoder d = {mode, r};
    Path root = {NULL, path, false, 0};
    if (json_is_object(json))
        (void)decode_object(&d, &root, t, json, obj);
    else
        wrong_type(&d, &root, json, "an object");
    return obj;
}

Err *api_decode_text(const TypeDesc *t, const char *text, size_t n, void **ret)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = json_parse(text, n, &j);
    if (e)
        return err_wrap(e, "decode %s", t->name);
    SCOPED(report_done) Report r = {0};
    void *obj = api_decode(t, j, "", DECODE_LENIENT, &r);
    if (!report_ok(&r)) {
        api_free(t, obj);
        return err_new(ERR_INVALID, 0, "decode %s: %s: %s", t->name, r.errors.v[0].path, r.errors.v[0].message);
    }
    *ret = obj;
    return NULL;
}

/* --- encode ----------------------------------------------------------------------------------------------------- */

static json_t *encode_str_list(const StrList *l)
{
    json_t *a = json_array();
    LIST_EACH(s, l)
        json_array_append_new(a, json_string(str_or(*s, "")));
    return a;
}

static json_t *encode_int_list(const IntList *l)
{
    json_t *a = json_array();
    LIST_EACH(i, l)
        json_array_append_new(a, json_integer(*i));
    return a;
}

static json_t *encode_str_map(const StrMap *m)
{
    json_t *o = json_object();
    LIST_EACH(p, m)
        json_object_set_new(o, p->key, json_string(str_or(p->value, "")));
    return o;
}

static json_t *encode_quantity(const char *q)
{
    SCOPED(mem_free) char *canonical = q ? quantity_canonical(q) : NULL;
    return json_string(canonical ? canonical : str_or(q, "0"));
}

static json_t *encode_res_map(const ResourceList *m)
{
    json_t *o = json_object();
    LIST_EACH(p, m)
        json_object_set_new(o, p->key, encode_quantity(p->value));
    return o;
}

static json_t *encode_bytes_map(const BytesMap *m)
{
    json_t *o = json_object();
    LIST_EACH(p, m) {
        SCOPED(mem_free) char *text = base64_encode(p->bytes, p->n);
        json_object_set_new(o, p->key, json_string(text));
    }
    return o;
}

static json_t *encode_obj_list(const TypeDesc *t, const ApiList *l)
{
    json_t *a = json_array();
    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(a, api_encode(t, (const char *)l->v + i * t->size));
    return a;
}

static json_t *encode_time(OptTime t)
{
    char text[CLOCK_TEXT_MAX];
    return t.set ? json_string(clock_format(t.ns, 0, text)) : json_null();
}

static json_t *encode_raw(const char *raw)
{
    json_t *j = raw ? json_loads(raw, JSON_DECODE_ANY, NULL) : NULL;
    return j ? j : json_null();
}

static json_t *encode_intstr(const IntOrString *v)
{
    return v->kind == INTSTR_STR ? json_string(str_or(v->s, "")) : json_integer(v->kind == INTSTR_INT ? v->i : 0);
}

/* The value of a field that is there, or that is written even so. */
static json_t *encode_value(const Field *f, const void *obj)
{
    switch (f->kind) {
    case F_STR:
        return json_string(str_or(*AT_CONST(char *, obj, f), ""));
    case F_BOOL: {
        OptBool b = *AT_CONST(OptBool, obj, f);
        return json_boolean(b.set && b.v);
    }
    case F_INT:
    case F_INT64: {
        OptInt i = *AT_CONST(OptInt, obj, f);
        return json_integer(i.set ? i.v : 0);
    }
    case F_TIME:
        return encode_time(*AT_CONST(OptTime, obj, f));
    case F_INTSTR:
        return encode_intstr(AT_CONST(IntOrString, obj, f));
    case F_QUANTITY:
        return encode_quantity(*AT_CONST(char *, obj, f));
    case F_RAW:
        return encode_raw(*AT_CONST(char *, obj, f));
    case F_OBJ: {
        const void *o = *AT_CONST(void *, obj, f);
        return o ? api_encode(f->sub, o) : json_object();
    }
    case F_OBJ_IN:
        return api_encode(f->sub, AT_CONST(void, obj, f));
    case F_OBJ_LIST:
        return AT_CONST(ApiList, obj, f)->n ? encode_obj_list(f->sub, AT_CONST(ApiList, obj, f)) : json_null();
    case F_STR_LIST:
        return encode_str_list(AT_CONST(StrList, obj, f));
    case F_INT_LIST:
        return encode_int_list(AT_CONST(IntList, obj, f));
    case F_STR_MAP:
        return encode_str_map(AT_CONST(StrMap, obj, f));
    case F_BYTES_MAP:
        return encode_bytes_map(AT_CONST(BytesMap, obj, f));
    case F_RES_MAP:
        return encode_res_map(AT_CONST(ResourceList, obj, f));
    }
    return NULL;
}

/* Is the field written at all? */
static bool field_shows(const Field *f, const void *obj)
{
    if (f->flags & FIELD_NO_ENCODE)
        return false;
    return (f->flags & (FIELD_ALWAYS | FIELD_EMPTY_OBJ)) || f->kind == F_OBJ_IN || !api_field_zero(f, obj);
}

json_t *api_encode(const TypeDesc *t, const void *obj)
{
    json_t *o = json_object();
    for (size_t i = 0; i < t->n; i++) {
        const Field *f = &t->field[i];
        if (!field_shows(f, obj))
            continue;
        /* A string that is not UTF-8 cannot come from the decoder; from elsewhere (a log line) it becomes null. */
        json_t *v = encode_value(f, obj);
        json_object_set_new(o, f->json, v ? v : json_null());
    }
    return o;
}

static void write_json(Str *out, json_t *v /* taken; NULL = null */)
{
    SCOPED(json_unref) json_t *j = v ? v : json_null();
    SCOPED(mem_free) char *text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
    str_add(out, text ? text : "null");
}

/* What needs no escape is copied; the rest is the library's affair. */
static void write_str(Str *out, const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f || *p == '"' || *p == '\\') {
            write_json(out, json_string(s));
            return;
        }
    str_add_c(out, '"');
    str_add(out, s);
    str_add_c(out, '"');
}

static void write_obj_list(Str *out, const TypeDesc *t, const ApiList *l)
{
    str_add_c(out, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            str_add_c(out, ',');
        api_write(out, t, (const char *)l->v + i * t->size);
    }
    str_add_c(out, ']');
}

static void write_value(Str *out, const Field *f, const void *obj)
{
    const void *sub = f->kind == F_OBJ ? *AT_CONST(void *, obj, f) : f->kind == F_OBJ_IN ? AT_CONST(void, obj, f) : NULL;
    if (sub) {
        api_write(out, f->sub, sub);
    } else if (f->kind == F_STR) {
        write_str(out, str_or(*AT_CONST(char *, obj, f), ""));
    } else if (f->kind == F_BOOL) {
        OptBool b = *AT_CONST(OptBool, obj, f);
        str_add(out, b.set && b.v ? "true" : "false");
    } else if (f->kind == F_INT || f->kind == F_INT64) {
        OptInt n = *AT_CONST(OptInt, obj, f);
        str_fmt(out, "%lld", (long long)(n.set ? n.v : 0));
    } else if (f->kind == F_OBJ_LIST && AT_CONST(ApiList, obj, f)->n) {
        write_obj_list(out, f->sub, AT_CONST(ApiList, obj, f));
    } else {
        write_json(out, encode_value(f, obj));
    }
}

void api_write(Str *out, const TypeDesc *t, const void *obj)
{
    bool first = true;
    str_add_c(out, '{');
    for (size_t i = 0; i < t->n; i++) {
        const Field *f = &t->field[i];
        if (!field_shows(f, obj))
            continue;
        str_add(out, first ? "\"" : ",\"");
        str_add(out, f->json);
        str_add(out, "\":");
        write_value(out, f, obj);
        first = false;
    }
    str_add_c(out, '}');
}

char *api_encode_text(const TypeDesc *t, const void *obj)
{
    Str out = {0};
    api_write(&out, t, obj);
    return str_take(&out);
}
