/* item.c - objects as immutable text: encoded once, counted, with the place of the resourceVersion known, so that another number can
 * be put there without parsing. */
#include <stdio.h>

#include "store/store_priv.h"

#define DEPTH_MAX 256 /* as wire/json.c: what was parsed is not deeper */

bool objitem_key(const char *namespace_, const char *name, char *buf)
{
    size_t a = namespace_ ? strlen(namespace_) : 0, b = name ? strlen(name) : 0;
    if (!b || a + b + 2 > KEY_MAX || strchr(name, '/') || (a && strchr(namespace_, '/')))
        return false;
    if (a) {
        memcpy(buf, namespace_, a);
        buf[a++] = '/';
    }
    memcpy(buf + a, name, b + 1);
    return true;
}

ObjItem *objitem_ref(const ObjItem *i)
{
    ObjItem *counted;
    memcpy(&counted, &i, sizeof counted); /* the count is the one member that changes */
    counted->refs++;
    return counted;
}

void objitem_unref(ObjItem *i)
{
    if (i && --i->refs == 0)
        free(i);
}

json_t *objitem_json(const ObjItem *i)
{
    json_t *j = NULL;
    SCOPED(err_free) Err *e = json_parse(i->text, i->n, &j);
    return e ? json_object() : j; /* it was encoded here, and checked when it was loaded */
}

typedef enum { IN_ROOT, IN_METADATA, IN_REST } Where;
typedef struct {
    Str *text;
    int64_t rv;
    size_t at, n;
} Encoder;

/* An object is a thousand short pieces, and an update is mostly this: so room is asked for once a piece, and numbers go without
 * printf (a Pod of 10 KB: 20 us instead of 50). */
static char *room(Str *t, size_t n)
{
    if (t->cap - t->n <= n) {
        t->cap = 2 * t->cap + n + 64;
        t->p = mem_grow(t->p, t->cap, 1);
    }
    return t->p + t->n;
}

static void add_c(Str *t, char c)
{
    *room(t, 1) = c;
    t->n++;
}

static void add_n(Str *t, const char *s, size_t n)
{
    memcpy(room(t, n), s, n);
    t->n += n;
}

static void encode_integer(Str *t, int64_t v)
{
    char buf[24], *p = buf + sizeof buf;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--p = '-';
    add_n(t, p, (size_t)(buf + sizeof buf - p));
}

static void encode_string(Str *t, const char *s, size_t n)
{
    add_c(t, '"');
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        add_n(t, s + from, i - from);
        from = i + 1;
        static const char named[] = "\nn\tt\rr\"\"\\\\";
        const char *pair = memchr(named, c, sizeof named - 1); /* what follows is no control character, or the same */
        char hex[8];
        add_n(t, hex, (size_t)(pair ? snprintf(hex, sizeof hex, "\\%c", pair[1]) : snprintf(hex, sizeof hex, "\\u%04x", c)));
    }
    add_n(t, s + from, n - from);
    add_c(t, '"');
}

static void encode_rv(Encoder *e)
{
    static const char head[] = "\"resourceVersion\":\"";
    add_n(e->text, head, sizeof head - 1);
    e->at = e->text->n;
    encode_integer(e->text, e->rv);
    e->n = e->text->n - e->at;
    add_c(e->text, '"');
}

static bool encode(Encoder *e, json_t *v, Where where, unsigned depth);

static bool encode_object(Encoder *e, json_t *o, Where where, unsigned depth)
{
    bool good = true, first = true;
    const char *key;
    json_t *v;
    add_c(e->text, '{');
    json_object_foreach(o, key, v)
    {
        if (!first)
            add_c(e->text, ',');
        first = false;
        if (where == IN_METADATA && strcmp(key, "resourceVersion") == 0) {
            encode_rv(e);
            continue;
        }
        encode_string(e->text, key, strlen(key));
        add_c(e->text, ':');
        good = good && encode(e, v, where == IN_ROOT && strcmp(key, "metadata") == 0 ? IN_METADATA : IN_REST, depth);
    }
    if (where == IN_METADATA && !e->n) {
        if (!first)
            add_c(e->text, ',');
        encode_rv(e);
    }
    add_c(e->text, '}');
    return good;
}

static bool encode_array(Encoder *e, json_t *a, unsigned depth)
{
    bool good = true;
    size_t i;
    json_t *v;
    add_c(e->text, '[');
    json_array_foreach(a, i, v)
    {
        if (i)
            add_c(e->text, ',');
        good = good && encode(e, v, IN_REST, depth);
    }
    add_c(e->text, ']');
    return good;
}

static void encode_real(Str *t, json_t *v)
{
    char buf[64];
    size_t n = json_dumpb(v, buf, sizeof buf, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)); /* every double comes back */
    add_n(t, buf, n < sizeof buf ? n : 0);
}

static bool encode(Encoder *e, json_t *v, Where where, unsigned depth)
{
    if (depth > DEPTH_MAX)
        return false;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return encode_object(e, v, where, depth + 1);
    case JSON_ARRAY:
        return encode_array(e, v, depth + 1);
    case JSON_STRING:
        encode_string(e->text, json_string_value(v), json_string_length(v));
        return true;
    case JSON_INTEGER:
        encode_integer(e->text, json_integer_value(v));
        return true;
    case JSON_REAL:
        encode_real(e->text, v);
        return true;
    case JSON_TRUE:
        add_n(e->text, "true", 4);
        return true;
    case JSON_FALSE:
        add_n(e->text, "false", 5);
        return true;
    case JSON_NULL:
        add_n(e->text, "null", 4);
        return true;
    }
    return false;
}

Err *objitem_encode(json_t *object, int64_t rv, Str *text, size_t *ret_at, size_t *ret_n)
{
    Encoder e = {.text = text, .rv = rv};
    str_clear(text);
    if (!json_is_object(json_object_get(object, "metadata")))
        return err_new(ERR_INVALID, 0, "an object without metadata");
    if (!encode(&e, object, IN_ROOT, 0))
        return err_new(ERR_LIMIT, 0, "an object nested deeper than %d", DEPTH_MAX);
    *room(text, 1) = '\0';
    *ret_at = e.at;
    *ret_n = e.n;
    return NULL;
}

static const char *place(char **at, const char *s, size_t n)
{
    char *p = *at;
    memcpy(p, s, n);
    p[n] = '\0';
    *at += n + 1;
    return p;
}

ObjItem *objitem_new(const ObjItemParts *p)
{
    char key[KEY_MAX];
    if (!objitem_key(p->namespace_, p->name, key))
        abort();
    const char *ns = str_or(p->namespace_, ""), *uid = str_or(p->uid, ""), *kind = str_or(p->kind, "");
    size_t n_key = strlen(key), n_ns = strlen(ns), n_res = strlen(p->resource), n_uid = strlen(uid), n_kind = strlen(kind);
    /* One block; the name is the key's tail, the text comes last. Not zeroed: it is as large as an object. */
    ObjItem *i = mem_grow(NULL, sizeof *i + n_key + n_ns + n_res + n_uid + n_kind + p->n + 6, 1);
    char *at = (char *)(i + 1);
    *i = (ObjItem){.refs = 1, .rv = p->rv, .expires_ns = p->expires_ns, .id = p->id, .n = p->n, .rv_at = p->rv_at, .rv_n = p->rv_n};
    i->key = place(&at, key, n_key);
    i->name = i->key + (n_ns ? n_ns + 1 : 0);
    i->namespace_ = place(&at, ns, n_ns);
    i->resource = place(&at, p->resource, n_res);
    i->uid = place(&at, uid, n_uid);
    i->kind = place(&at, kind, n_kind);
    i->text = place(&at, p->text, p->n);
    return i;
}

ObjItem *objitem_with_rv(const ObjItem *i, int64_t rv)
{
    SCOPED(str_done) Str t = {0};
    str_add_n(&t, i->text, i->rv_at);
    str_fmt(&t, "%lld", (long long)rv);
    size_t n = t.n - i->rv_at;
    str_add_n(&t, i->text + i->rv_at + i->rv_n, i->n - i->rv_at - i->rv_n);
    return objitem_new(&(ObjItemParts){.resource = i->resource, .namespace_ = i->namespace_, .name = i->name, .uid = i->uid,
                                       .kind = i->kind, .text = t.p, .n = t.n, .rv_at = i->rv_at, .rv_n = n, .rv = rv,
                                       .expires_ns = i->expires_ns, .id = i->id});
}

bool objitem_same(const ObjItem *i, const char *text, size_t n, size_t rv_at, size_t rv_n)
{
    return i->rv_at == rv_at && i->n - i->rv_n == n - rv_n && memcmp(i->text, text, rv_at) == 0 &&
           memcmp(i->text + rv_at + i->rv_n, text + rv_at + rv_n, n - rv_at - rv_n) == 0;
}
