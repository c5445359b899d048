#include "kube/negotiate.h"

#include "base/str.h"
#include "wire/yaml.h"

#define CLAUSES 64 /* of an Accept header; what is behind them is not read */

typedef struct {
    char *type, *sub; /* owned */
    char *params;     /* owned: "as=Table;v=v1", NULL if there are none */
    double q;
} Clause;

static char *trimmed(const char *s, size_t n)
{
    for (; n && *s == ' '; s++)
        n--;
    while (n && s[n - 1] == ' ')
        n--;
    return mem_dup_strn(s, n);
}

/* Go's ParseFloat for a q: digits and one dot; anything else is 0, as the error is ignored there. */
static double quality(const char *s)
{
    double v = 0, unit = 1;
    bool dot = false;
    for (; *s; s++) {
        if (*s == '.' && !dot) {
            dot = true;
        } else if (*s >= '0' && *s <= '9') {
            v = v * 10 + (*s - '0');
            unit *= dot ? 10 : 1;
        } else {
            return 0;
        }
    }
    return v / unit;
}

/* The value of <key> in "a=b; c=d", the last one given. NULL: not there. Caller frees. */
static char *param(const char *params, const char *key)
{
    char *found = NULL;
    for (const char *p = str_or(params, ""); *p;) {
        size_t n = strcspn(p, ";"), k = strcspn(p, "=;");
        if (k < n && n > k + 1 && !memchr(p + k + 1, '=', n - k - 1)) {
            SCOPED(mem_free) char *name = trimmed(p, k);
            if (str_eq(name, key)) {
                free(found);
                found = trimmed(p + k + 1, n - k - 1);
            }
        }
        p += n + (p[n] == ';');
    }
    return found;
}

static bool parse_clause(const char *p, size_t n, Clause *ret)
{
    SCOPED(mem_free) char *part = trimmed(p, n);
    size_t media = strcspn(part, ";"), slash = strcspn(part, "/;");
    bool has_sub = slash < media && media > slash + 1;
    *ret = (Clause){.type = trimmed(part, slash < media ? slash : media), .q = 1};
    if (has_sub && !memchr(part + slash + 1, '/', media - slash - 1))
        ret->sub = trimmed(part + slash + 1, media - slash - 1);
    else if (!has_sub && str_eq(ret->type, "*"))
        ret->sub = mem_dup_str("*");
    if (!ret->sub) {
        free(ret->type);
        return false;
    }
    if (part[media])
        ret->params = mem_dup_str(part + media + 1);
    SCOPED(mem_free) char *q = param(ret->params, "q");
    if (q)
        ret->q = quality(q);
    return true;
}

/* goautoneg's order, which is none in the strict sense; so the sort has to be Go's, too: by insertion. */
static bool before(const Clause *a, const Clause *b)
{
    return a->q > b->q || (strcmp(a->type, "*") != 0 && strcmp(b->type, "*") == 0) ||
           (strcmp(a->sub, "*") != 0 && strcmp(b->sub, "*") == 0);
}

static size_t parse_accept(const char *header, Clause out[CLAUSES])
{
    size_t n = 0;
    while (*header && n < CLAUSES) {
        size_t len = strcspn(header, ",");
        if (parse_clause(header, len, &out[n])) {
            for (size_t i = n; i > 0 && before(&out[i], &out[i - 1]); i--) {
                Clause c = out[i];
                out[i] = out[i - 1];
                out[i - 1] = c;
            }
            n++;
        }
        header += len + (header[len] == ',');
    }
    return n;
}

/* What "as", "g" and "v" ask for; false: it cannot be had here. */
static bool conversion(const char *params, AcceptWhat what, MediaChoice *c)
{
    SCOPED(mem_free) char *as = param(params, "as");
    SCOPED(mem_free) char *g = param(params, "g");
    SCOPED(mem_free) char *v = param(params, "v");
    c->as = AS_IS;
    if (!as && !g && !v)
        return true;
    if (what == ACCEPT_DISCOVERY) {
        if (!str_eq(g, "apidiscovery.k8s.io") || !str_eq(as, "APIGroupDiscoveryList"))
            return false;
        c->as = str_eq(v, "v2") ? AS_DISCOVERY_V2 : AS_DISCOVERY_V2BETA1;
        return str_eq(v, "v2") || str_eq(v, "v2beta1");
    }
    c->v1beta1 = str_eq(v, "v1beta1");
    if ((what != ACCEPT_OBJECT && what != ACCEPT_WATCH) || !str_eq(g, "meta.k8s.io") || (!str_eq(v, "v1") && !c->v1beta1))
        return false;
    c->as = str_eq(as, "Table")                       ? AS_TABLE
            : str_eq(as, "PartialObjectMetadata")     ? AS_PARTIAL
            : str_eq(as, "PartialObjectMetadataList") ? AS_PARTIAL_LIST
                                                      : AS_IS;
    return c->as != AS_IS;
}

static bool offered(const Clause *c, const char *sub)
{
    return (str_eq(c->type, "application") && (str_eq(c->sub, sub) || str_eq(c->sub, "*"))) ||
           (str_eq(c->type, "*") && str_eq(c->sub, "*"));
}

static bool try_clause(const Clause *c, AcceptWhat what, MediaChoice *ret)
{
    SCOPED(mem_free) char *stream = param(c->params, "stream");
    SCOPED(mem_free) char *pretty = param(c->params, "pretty");
    if (what == ACCEPT_OPENAPI_V2 && str_eq(c->type, "application") && str_starts(c->sub, "com.github.proto-openapi.spec.v2") &&
        str_ends(c->sub, "v1.0+protobuf")) {
        ret->type = MEDIA_PROTOBUF;
        return true;
    }
    bool json = offered(c, "json"), yaml = what != ACCEPT_WATCH && offered(c, "yaml");
    if ((!json && !yaml) || (!str_empty(stream) && (!str_eq(stream, "watch") || !json)) || !conversion(c->params, what, ret))
        return false;
    ret->type = json ? MEDIA_JSON : MEDIA_YAML;
    ret->pretty = str_eq(pretty, "1");
    return true;
}

/* strconv.ParseBool, whose errors are false here. */
static bool parse_bool(const char *s)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (str_eq(s, yes[i]))
            return true;
    return false;
}

static bool wants_pretty(const char *pretty, const char *agent)
{
    if (!str_empty(pretty))
        return parse_bool(pretty);
    return agent && (str_starts(agent, "curl") || str_starts(agent, "Wget") || str_starts(agent, "Mozilla/5.0"));
}

json_t *kube_accept(const char *accept, AcceptWhat what, const char *pretty, const char *user_agent, MediaChoice *ret)
{
    Clause clauses[CLAUSES];
    *ret = (MediaChoice){.type = MEDIA_JSON};
    bool found = str_empty(accept);
    size_t n = found ? 0 : parse_accept(accept, clauses);
    for (size_t i = 0; i < n; i++) {
        found = found || try_clause(&clauses[i], what, ret);
        free(clauses[i].type);
        free(clauses[i].sub);
        free(clauses[i].params);
    }
    ret->pretty = (ret->pretty || wants_pretty(pretty, user_agent)) && what != ACCEPT_WATCH;
    if (found)
        return NULL;
    *ret = (MediaChoice){.type = MEDIA_JSON};
    return kube_not_acceptable(what == ACCEPT_WATCH ? "application/json;stream=watch" : "application/json, application/yaml");
}

const char *kube_content_type_of(const MediaChoice *c, AcceptWhat what)
{
    if (c->as == AS_DISCOVERY_V2)
        return "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    if (c->as == AS_DISCOVERY_V2BETA1)
        return "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    if (c->type == MEDIA_PROTOBUF && what == ACCEPT_OPENAPI_V2)
        return "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    return c->type == MEDIA_YAML ? "application/yaml" : "application/json";
}

/* The type of "application/json; charset=utf-8", in small letters. Caller frees. */
static char *media_of(const char *content_type)
{
    char *m = trimmed(content_type, strcspn(content_type, ";"));
    for (char *p = m; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    return m;
}

json_t *kube_body_type(const char *content_type, bool protobuf, MediaType *ret)
{
    SCOPED(mem_free) char *m = media_of(str_or(content_type, ""));
    *ret = str_eq(m, "application/yaml") ? MEDIA_YAML : str_eq(m, "application/vnd.kubernetes.protobuf") ? MEDIA_PROTOBUF : MEDIA_JSON;
    if (!*m || str_eq(m, "application/json") || *ret == MEDIA_YAML || (*ret == MEDIA_PROTOBUF && protobuf))
        return NULL;
    return kube_unsupported_media_type(protobuf ? "application/json, application/yaml, application/vnd.kubernetes.protobuf"
                                                : "application/json, application/yaml");
}

json_t *kube_patch_type(const char *content_type, PatchForm *ret)
{
    static const struct { const char *media; PatchForm type; } table[] = {
        {"application/json-patch+json", PATCH_JSON},
        {"application/merge-patch+json", PATCH_MERGE},
        {"application/strategic-merge-patch+json", PATCH_STRATEGIC},
        {"application/apply-patch+yaml", PATCH_APPLY},
    };
    SCOPED(mem_free) char *m = media_of(str_or(content_type, ""));
    *ret = PATCH_NONE;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(m, table[i].media))
            *ret = table[i].type;
    return *ret != PATCH_NONE ? NULL
                              : kube_unsupported_media_type("application/json-patch+json, application/merge-patch+json, "
                                                            "application/strategic-merge-patch+json, application/apply-patch+yaml");
}

char *kube_render(const json_t *j, const MediaChoice *c)
{
    if (c->type == MEDIA_YAML)
        return yaml_text(j);
    SCOPED(mem_free) char *text = json_text(j, c->pretty);
    return mem_fmt("%s\n", text);
}
