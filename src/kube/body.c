/* body.c - see body.h. jansson can refuse repeated keys or not see them, so they are found by a scan of the text that it has read. */
#include "kube/body.h"

#include "api/path.h"
#include "base/str.h"
#include "wire/yaml.h"

#define REPEATED_MAX 64 /* that are told; more of them help nobody */

typedef struct {
    const char *p, *end;
    Report *r;
    size_t told;
} Scan;
typedef struct { const char *p; size_t n; } Key; /* with its quotes */

static void blanks(Scan *s)
{
    while (s->p < s->end && strchr(" \t\r\n:,", *s->p))
        s->p++;
}

static Key string(Scan *s)
{
    Key k = {s->p, 0};
    for (s->p++; s->p < s->end && *s->p != '"'; s->p++)
        if (*s->p == '\\' && s->p + 1 < s->end)
            s->p++;
    if (s->p < s->end)
        s->p++;
    k.n = (size_t)(s->p - k.p);
    return k;
}

static int by_text(const void *a, const void *b)
{
    const Key *x = a, *y = b;
    int d = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return d ? d : x->n < y->n ? -1 : x->n > y->n;
}

static char *key_text(Key k)
{
    json_t *j = json_loadb(k.p, k.n, JSON_DECODE_ANY, NULL);
    char *text = mem_dup_str(str_or(json_string_value(j), ""));
    json_decref(j);
    return text;
}

static void tell(Scan *s, const Path *at, Key k)
{
    SCOPED(mem_free) char *key = key_text(k);
    SCOPED(mem_free) char *path = path_text(CHILD(at, key));
    SCOPED(str_done) Str q = {0};
    if (s->told++ >= REPEATED_MAX)
        return;
    str_add_quoted(&q, path);
    report_add(s->r, CAUSE_UNKNOWN_FIELD, path, "duplicate field %s", q.p);
}

static void value(Scan *s, const Path *at);

static void object(Scan *s, const Path *at)
{
    Key *keys = NULL;
    size_t n = 0, cap = 0;
    s->p++;
    for (blanks(s); s->p < s->end && *s->p == '"'; blanks(s)) {
        if (n == cap)
            keys = mem_grow(keys, cap = cap ? cap * 2 : 8, sizeof *keys);
        keys[n++] = string(s);
        SCOPED(mem_free) char *key = key_text(keys[n - 1]);
        blanks(s);
        value(s, CHILD(at, key));
    }
    if (s->p < s->end)
        s->p++;
    if (n)
        qsort(keys, n, sizeof *keys, by_text);
    for (size_t i = 1; i < n; i++)
        if (by_text(&keys[i - 1], &keys[i]) == 0)
            tell(s, at, keys[i]);
    free(keys);
}

/* The text is JSON that jansson has read, no deeper than json_parse() allows. */
static void value(Scan *s, const Path *at)
{
    blanks(s);
    if (s->p == s->end)
        return;
    if (*s->p == '{') {
        object(s, at);
    } else if (*s->p == '[') {
        s->p++;
        blanks(s);
        for (size_t i = 0; s->p < s->end && *s->p != ']'; i++, blanks(s))
            value(s, AT_INDEX(at, i));
        if (s->p < s->end)
            s->p++;
    } else if (*s->p == '"') {
        (void)string(s);
    } else {
        while (s->p < s->end && !strchr(",]} \t\r\n", *s->p))
            s->p++;
    }
}

static json_t *parse_json(const char *text, size_t n, json_t **ret, Report *r)
{
    SCOPED(err_free) Err *e = json_parse(text, n, ret);
    if (!e)
        return NULL;
    /* A second reading where the first one refused: only repeated keys make a difference. */
    json_t *j = e->kind == ERR_LIMIT ? NULL : json_loadb(text, n, JSON_DECODE_ANY, NULL);
    if (!j)
        return kube_status_of(e, (KubeRef){0});
    Scan s = {text, text + n, r, 0};
    value(&s, NULL);
    *ret = j;
    return NULL;
}

static json_t *parse_yaml(const char *text, size_t n, json_t **ret)
{
    SCOPED(json_unref) json_t *all = NULL;
    SCOPED(err_free) Err *e = yaml_parse_all(text, n, &all);
    if (e)
        return kube_status_of(e, (KubeRef){0});
    if (json_array_size(all) != 1)
        return kube_bad_request("the body of the request has %zu YAML documents, there must be one", json_array_size(all));
    *ret = json_incref(json_array_get(all, 0));
    return NULL;
}

json_t *kube_body_parse(MediaType type, const char *text, size_t n, json_t **ret, Report *r)
{
    *ret = NULL;
    json_t *bad = type == MEDIA_YAML ? parse_yaml(text, n, ret) : parse_json(text, n, ret, r);
    if (bad || json_is_object(*ret))
        return bad;
    json_decref(*ret);
    *ret = NULL;
    return kube_bad_request("the body of the request is no object");
}

json_t *kube_body_kind(json_t *body, const char *group, const char *version, const char *kind)
{
    SCOPED(mem_free) char *want = str_empty(group) ? mem_dup_str(version) : mem_fmt("%s/%s", group, version);
    const char *api_version = json_str(body, "apiVersion"), *is = json_str(body, "kind");
    if (!str_empty(is) && !str_eq(is, kind))
        return kube_bad_request("%s in version \"%s\" cannot be handled as a %s: converting (%s) to (%s): unknown conversion", is,
                                str_empty(api_version) ? version : api_version, kind, is, kind);
    if (!str_empty(api_version) && !str_eq(api_version, want))
        return kube_bad_request("the API version in the data (%s) does not match the expected API version (%s)", api_version, want);
    json_object_set_new(body, "apiVersion", json_string(want));
    json_object_set_new(body, "kind", json_string(kind));
    return NULL;
}
