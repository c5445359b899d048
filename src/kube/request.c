/* request.c - paths and verbs, after apiserver's endpoints/request/requestinfo.go; see options.c for what queries say. */
#include "kube/request.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *kube_unescape(const char *s, size_t n, bool plus)
{
    SCOPED(str_done) Str out = {0};
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '%') {
            int a = i + 2 < n ? hex(s[i + 1]) : -1, b = i + 2 < n ? hex(s[i + 2]) : -1;
            if (a < 0 || b < 0)
                return NULL;
            c = (char)(a << 4 | b);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (!c)
            return NULL;
        str_add_c(&out, c);
    }
    /* What is no UTF-8 could not be put into an answer either. */
    SCOPED(json_unref) json_t *text = json_stringn(str_or(out.p, ""), out.n);
    return text ? str_take(&out) : NULL;
}

/* Go leaves out pairs with a ";" or a broken escape and goes on. Here they are refused: without its selector, a deletion of some
 * would be a deletion of all. */
static json_t *parse_query(KubeRequest *r, const char *q, size_t n)
{
    while (n) {
        const char *amp = memchr(q, '&', n);
        size_t len = amp ? (size_t)(amp - q) : n;
        const char *eq = memchr(q, '=', len);
        size_t name_n = eq ? (size_t)(eq - q) : len;
        if (len) {
            SCOPED(mem_free) char *name = kube_unescape(q, name_n, true);
            SCOPED(mem_free) char *value = eq ? kube_unescape(eq + 1, len - name_n - 1, true) : mem_dup_str("");
            if (!name || !value || memchr(q, ';', len))
                return kube_bad_request("the query of the request is not valid");
            if (r->n_query == KUBE_QUERY_MAX)
                return kube_bad_request("the query of the request has more than %d values", KUBE_QUERY_MAX);
            if ((r->n_query & (r->n_query - 1)) == 0)
                r->query = mem_grow(r->query, r->n_query ? r->n_query * 2 : 1, sizeof *r->query);
            r->query[r->n_query++] = (QueryPair){MOVE(name, NULL), MOVE(value, NULL)};
        }
        q += len + (amp != NULL);
        n -= len + (amp != NULL);
    }
    return NULL;
}

const char *kube_query(const KubeRequest *r, const char *name)
{
    for (size_t i = 0; i < r->n_query; i++)
        if (strcmp(r->query[i].name, name) == 0)
            return r->query[i].value;
    return NULL;
}

bool kube_query_flag(const KubeRequest *r, const char *name)
{
    const char *v = kube_query(r, name);
    return v && strcmp(v, "0") != 0 && strcasecmp(v, "false") != 0;
}

KubeRef kube_request_ref(const KubeRequest *r)
{
    return (KubeRef){r->kind ? r->kind->group : NULL, r->kind ? r->kind->resource : NULL, r->name};
}

/* Without the slashes at either end. false: there is an empty part in between. */
static bool split_path(const char *path, StrVec *parts)
{
    path += strspn(path, "/");
    while (*path) {
        size_t n = strcspn(path, "/");
        if (!n)
            return false;
        strvec_add_take(parts, mem_dup_strn(path, n));
        path += n;
        if (*path)
            path++;
        if (*path == '/' && path[strspn(path, "/")])
            return false;
        path += strspn(path, "/");
    }
    return true;
}

static char *join_from(const StrVec *parts, size_t i)
{
    Str s = {0};
    for (; i < parts->n; i++)
        str_fmt(&s, "%s%s", s.n ? "/" : "", parts->v[i]);
    return str_take(&s);
}

/* Paths that are no resource's. false: none of them. */
static bool fixed_path(KubeRequest *r, const StrVec *p)
{
    const char *a = p->n ? p->v[0] : "", *b = p->n > 1 ? p->v[1] : "";
    bool known = true;
    if (str_eq(a, "version") && p->n == 1)
        r->path = PATH_VERSION;
    else if (str_eq(a, "metrics") && p->n == 1)
        r->path = PATH_METRICS;
    else if (str_eq(a, "metrics") && str_eq(b, "resource") && p->n == 2)
        r->path = PATH_METRICS_RESOURCE;
    else if (str_eq(a, "stats") && str_eq(b, "summary") && p->n == 2)
        r->path = PATH_STATS;
    else if (str_eq(a, "healthz") || str_eq(a, "livez") || str_eq(a, "readyz"))
        r->path = PATH_HEALTH;
    else if (str_eq(a, "openapi") && str_eq(b, "v2") && p->n == 2)
        r->path = PATH_OPENAPI_V2;
    else if (str_eq(a, "openapi") && str_eq(b, "v3"))
        r->path = PATH_OPENAPI_V3;
    else
        known = false;
    if (r->path == PATH_HEALTH) {
        r->group = mem_dup_str(a);
        r->name = p->n > 1 ? join_from(p, 1) : NULL;
    } else if (r->path == PATH_OPENAPI_V3 && p->n > 2) {
        r->name = join_from(p, 2);
    }
    return known;
}

static bool group_served(const char *group)
{
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (str_eq(kube_kinds[i].group, group))
            return true;
    return false;
}

static unsigned verb_of(const char *method)
{
    static const struct { const char *method; unsigned verb; } table[] = {
        {"GET", VERB_GET}, {"HEAD", VERB_GET}, {"POST", VERB_CREATE}, {"PUT", VERB_UPDATE}, {"PATCH", VERB_PATCH}, {"DELETE", VERB_DELETE},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(method, table[i].method))
            return table[i].verb;
    return 0;
}

/* validation/path's IsValidPathSegmentName(); a "/" cannot be left in a part. */
static json_t *check_name(const char *name)
{
    const char *why = str_eq(name, ".")    ? "may not be '.'"
                      : str_eq(name, "..") ? "may not be '..'"
                      : strchr(name, '%')  ? "may not contain '%'"
                                           : NULL;
    SCOPED(str_done) Str s = {0};
    if (!why)
        return NULL;
    str_add_quoted(&s, name);
    return kube_bad_request("Name parameter invalid: %s: %s", s.p, why);
}

static bool allowed(const KubeRequest *r)
{
    if (r->sub)
        return r->sub->verbs & r->verb;
    if (r->kind->namespaced && !r->namespace_ && !(r->verb & (VERB_LIST | VERB_WATCH)))
        return false;
    return (r->kind->verbs & r->verb) && !(r->verb == VERB_CREATE && r->name) && !(!r->name && r->verb & (VERB_UPDATE | VERB_PATCH));
}

/* p[i..] is behind the version: [watch/][namespaces/<ns>/]<resource>[/<name>[/<sub>]] */
static json_t *resource_path(KubeRequest *r, const StrVec *p, size_t i, const char *group)
{
    if (str_eq(p->v[i], "watch")) {
        r->watch_path = true;
        if (++i == p->n)
            return kube_no_resource();
    }
    bool of_namespace = str_eq(p->v[i], "namespaces") && i + 2 < p->n && !str_eq(p->v[i + 2], "status") && !str_eq(p->v[i + 2], "finalize");
    if (of_namespace) {
        r->namespace_ = mem_dup_str(p->v[i + 1]);
        i += 2;
    }
    r->kind = kube_kind_find(group, p->v[i]);
    if (!r->kind || p->n > i + 3 || (r->namespace_ && !r->kind->namespaced))
        return kube_no_resource();
    if (i + 1 < p->n)
        r->name = mem_dup_str(p->v[i + 1]);
    if (r->name && r->kind->namespaced && !r->namespace_)
        return kube_no_resource();
    if (i + 2 < p->n) {
        r->sub = kube_sub_find(r->kind, p->v[i + 2]);
        if (!r->sub || r->watch_path)
            return kube_no_resource();
    }
    json_t *bad = r->namespace_ ? check_name(r->namespace_) : NULL;
    if (!bad && r->name)
        bad = check_name(r->name);
    if (bad)
        return bad;
    if (r->verb == VERB_GET && r->watch_path)
        r->verb = VERB_WATCH;
    else if (r->verb == VERB_GET && !r->name)
        r->verb = kube_query_flag(r, "watch") ? VERB_WATCH : VERB_LIST;
    else if (r->verb == VERB_DELETE && !r->name)
        r->verb = VERB_DELETE_COLLECTION;
    else if (r->watch_path)
        return kube_method_unknown();
    return allowed(r) ? NULL : kube_method_unknown();
}

static json_t *parse_path(KubeRequest *r, const char *method, const StrVec *p)
{
    bool core = p->n && str_eq(p->v[0], "api"), groups = p->n && str_eq(p->v[0], "apis");
    r->verb = verb_of(method);
    if (core || groups) {
        size_t i = core ? 1 : 2; /* where the version is */
        const char *group = core ? "" : p->n > 1 ? p->v[1] : NULL;
        if (group && !group_served(group))
            return kube_no_resource();
        if (i < p->n && !str_eq(p->v[i], "v1"))
            return kube_no_resource();
        r->group = mem_dup_str(group);
        if (i + 1 < p->n)
            return r->verb ? resource_path(r, p, i + 1, group) : kube_method_unknown();
        r->path = i < p->n ? PATH_GROUP_VERSION : core ? PATH_API : group ? PATH_GROUP : PATH_APIS;
    } else if (!fixed_path(r, p)) {
        return kube_no_resource();
    }
    return r->verb == VERB_GET ? NULL : kube_method_unknown();
}

json_t *kube_request_parse(const char *method, const char *target, size_t n, KubeRequest *ret)
{
    SCOPED(strvec_done) StrVec parts = {0};
    const char *q = memchr(target, '?', n);
    size_t path_n = q ? (size_t)(q - target) : n;
    *ret = (KubeRequest){0};
    if (n > KUBE_TARGET_MAX)
        return kube_bad_request("the request target is longer than %zu bytes", KUBE_TARGET_MAX);
    ret->text = kube_unescape(target, path_n, false);
    if (!ret->text || *ret->text != '/') {
        mem_set_str(&ret->text, "");
        return kube_bad_request("the path of the request is not valid");
    }
    json_t *bad = q ? parse_query(ret, q + 1, n - path_n - 1) : NULL;
    if (bad)
        return bad;
    return split_path(ret->text, &parts) ? parse_path(ret, method, &parts) : kube_no_resource();
}

void kube_request_done(KubeRequest *r)
{
    for (size_t i = 0; i < r->n_query; i++) {
        free(r->query[i].name);
        free(r->query[i].value);
    }
    free(r->query);
    free(r->text);
    free(r->group);
    free(r->namespace_);
    free(r->name);
    *r = (KubeRequest){0};
}
