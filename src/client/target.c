#include "client/target.h"

#include <ctype.h>

#include "client/api.h"
#include "client/fields.h"

static char *lower(const char *s)
{
    char *copy = mem_dup_str(s);
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

/* <group>: NULL = the first that fits. */
static const KubeKind *find(const char *word, const char *group)
{
    for (size_t i = 0; i < KUBE_KIND_N; i++) {
        const KubeKind *k = &kube_kinds[i];
        if (group && !str_eq(group, k->group))
            continue;
        if (str_eq(word, k->resource) || str_eq(word, k->singular) || str_eq(word, k->short_name))
            return k;
    }
    return NULL;
}

/* NAME, NAME.VERSION, NAME.GROUP, NAME.VERSION.GROUP (schema.ParseResourceArg). The one version of all is v1. */
static const KubeKind *find_qualified(const char *word)
{
    const char *dot = strchr(word, '.');
    if (!dot)
        return find(word, NULL);
    SCOPED(mem_free) char *name = mem_dup_strn(word, (size_t)(dot - word));
    if (str_eq(dot, ".v1") || str_eq(dot, ".v1."))
        return find(name, "");
    return find(name, str_starts(dot, ".v1.") ? dot + 4 : dot + 1);
}

Err *kind_parse(const char *word, const KubeKind **ret)
{
    SCOPED(mem_free) char *low = lower(word);
    *ret = find_qualified(low);
    size_t n = strcspn(word, ".");
    return *ret ? NULL : err_new(ERR_INVALID, 0, "the server doesn't have a resource type \"%.*s\"", (int)n, word);
}

/* What cannot be a part of a path (apimachinery's path.IsValidPathSegmentName()). */
static Err *check_name(const char *name)
{
    if (!*name)
        return err_new(ERR_INVALID, 0, "resource name may not be empty");
    if (str_eq(name, ".") || str_eq(name, ".."))
        return err_new(ERR_INVALID, 0, "invalid resource name \"%s\": [may not be '%s']", name, name);
    if (strpbrk(name, "/%"))
        return err_new(ERR_INVALID, 0, "invalid resource name \"%s\": [may not contain '%c']", name,
                       *strpbrk(name, "/%"));
    return NULL;
}

static Target *add(Targets *t, const KubeKind *kind, const char *name)
{
    t->v = mem_grow(t->v, t->n + 1, sizeof *t->v);
    t->v[t->n] = (Target){.kind = kind, .name = mem_dup_str(name)};
    return &t->v[t->n++];
}

static bool has_kind(const Targets *t, const KubeKind *k)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i].kind == k)
            return true;
    return false;
}

/* "pods,cm" or "all". */
static Err *add_types(Targets *t, const char *words)
{
    while (*words) {
        size_t n = strcspn(words, ",");
        SCOPED(mem_free) char *word = mem_dup_strn(words, n);
        const KubeKind *k;
        words += n + (words[n] == ',');
        if (str_eq(word, "all")) {
            for (size_t i = 0; i < KUBE_KIND_N; i++)
                if (str_eq(kube_kinds[i].category, "all") && !has_kind(t, &kube_kinds[i]))
                    (void)add(t, &kube_kinds[i], NULL);
            continue;
        }
        Err *e = kind_parse(word, &k);
        if (e)
            return e;
        if (!has_kind(t, k))
            (void)add(t, k, NULL);
    }
    return NULL;
}

static Err *add_pair(Targets *t, const char *word)
{
    const char *slash = strchr(word, '/');
    const KubeKind *k;
    if (strchr(slash + 1, '/'))
        return err_new(ERR_INVALID, 0, "arguments in resource/name form may not have more than one slash");
    if (slash == word || !slash[1] || memchr(word, ',', (size_t)(slash - word)))
        return err_new(ERR_INVALID, 0, "arguments in resource/name form must have a single resource and name");
    SCOPED(mem_free) char *type = mem_dup_strn(word, (size_t)(slash - word));
    Err *e = kind_parse(type, &k);
    e = e ? e : check_name(slash + 1);
    if (!e)
        (void)add(t, k, slash + 1);
    return e;
}

static Err *parse_pairs(const char *const *words, size_t n, bool selected, Targets *t)
{
    if (selected)
        return err_new(ERR_INVALID, 0,
                       "selectors and the all flag cannot be used when passing resource/name arguments");
    Err *e = NULL;
    for (size_t i = 0; !e && i < n; i++)
        e = add_pair(t, words[i]);
    t->single = n == 1;
    return e;
}

/* Each type with each name. */
static Err *parse_names(const char *const *words, size_t n, bool selected, Targets *t)
{
    Targets types = {0};
    if (selected)
        return err_new(ERR_INVALID, 0, "name cannot be provided when a selector is specified");
    Err *e = add_types(&types, words[0]);
    for (size_t k = 1; !e && k < n; k++)
        e = check_name(words[k]);
    for (size_t i = 0; !e && i < types.n; i++)
        for (size_t k = 1; k < n; k++)
            (void)add(t, types.v[i].kind, words[k]);
    t->single = t->n == 1;
    targets_done(&types);
    return e;
}

Err *targets_parse(const char *const *words, size_t n, bool selected, Targets *ret)
{
    size_t slashes = 0;
    for (size_t i = 0; i < n; i++)
        slashes += strchr(words[i], '/') != NULL;
    if (slashes && slashes == n)
        return parse_pairs(words, n, selected, ret);
    if (slashes)
        return err_new(
            ERR_INVALID, 0,
            "there is no need to specify a resource type as a separate argument when passing arguments in "
            "resource/name form "
            "(e.g. 'reprise get resource/<resource_name>' instead of 'reprise get resource resource/<resource_name>'");
    if (n > 1)
        return parse_names(words, n, selected, ret);
    return n ? add_types(ret, words[0]) : NULL;
}

static Err *add_one(Targets *t, const json_t *doc, const char *source, const char *namespace_, bool enforced)
{
    const char *version = at_str(doc, "apiVersion"), *kind = at_str(doc, "kind"), *slash = strrchr(version, '/');
    SCOPED(mem_free) char *group = slash ? mem_dup_strn(version, (size_t)(slash - version)) : mem_dup_str("");
    const KubeKind *k = NULL;
    if (!*version || !*kind)
        return err_new(ERR_INVALID, 0, "%s: Object '%s' is missing in the document", source,
                       *kind ? "apiVersion" : "Kind");
    for (size_t i = 0; i < KUBE_KIND_N && !k; i++)
        if (str_eq(kube_kinds[i].kind, kind) && str_eq(kube_kinds[i].group, group) &&
            str_eq(slash ? slash + 1 : version, "v1"))
            k = &kube_kinds[i];
    if (!k)
        return err_new(ERR_INVALID, 0,
                       "resource mapping not found for name: \"%s\" namespace: \"%s\" from \"%s\": no matches for kind "
                       "\"%s\" in version \"%s\"",
                       at_str(doc, "metadata.name"), at_str(doc, "metadata.namespace"), source, kind, version);
    if (!*at_str(doc, "metadata.name"))
        return err_new(ERR_INVALID, 0, "%s: %s: resource name may not be empty", source, kind);
    const char *own = at_str(doc, "metadata.namespace");
    if (k->namespaced && *own && enforced && !str_eq(own, namespace_))
        return err_new(ERR_INVALID, 0,
                       "the namespace from the provided object \"%s\" does not match the namespace \"%s\". You must "
                       "pass '--namespace=%s' to perform this operation.",
                       own, namespace_, own);
    Target *one = add(t, k, at_str(doc, "metadata.name"));
    one->namespace_ = k->namespaced ? mem_dup_str(*own ? own : namespace_) : NULL;
    one->object = json_deep_copy(doc);
    one->source = mem_dup_str(source);
    if (k->namespaced)
        json_object_set_new(json_object_get(one->object, "metadata"), "namespace", json_string(one->namespace_));
    return NULL;
}

Err *targets_add_document(Targets *t, const json_t *doc, const char *source, const char *namespace_, bool enforced)
{
    const json_t *items = at(doc, "items");
    if (!str_ends(at_str(doc, "kind"), "List") || !json_is_array(items))
        return add_one(t, doc, source, namespace_, enforced);
    Err *e = NULL;
    for (size_t i = 0; !e && i < json_array_size(items); i++)
        e = add_one(t, json_array_get(items, i), source, namespace_, enforced);
    return e;
}

static void target_done(Target *t)
{
    free(t->name);
    free(t->namespace_);
    free(t->source);
    json_decref(t->object);
}

void targets_filter(Targets *t, const LabelSelector *s)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (label_selector_matches(s, at(t->v[i].object, "metadata.labels")))
            t->v[n++] = t->v[i];
        else
            target_done(&t->v[i]);
    }
    t->n = n;
}

void targets_done(Targets *t)
{
    for (size_t i = 0; i < t->n; i++)
        target_done(&t->v[i]);
    free(t->v);
    *t = (Targets){0};
}

char *kind_path(const KubeKind *k, const char *namespace_, const char *name, const char *sub)
{
    Str s = {0};
    if (*k->group)
        str_fmt(&s, "/apis/%s/v1", k->group);
    else
        str_add(&s, "/api/v1");
    if (k->namespaced && namespace_) {
        str_add(&s, "/namespaces/");
        api_escape(&s, namespace_);
    }
    str_fmt(&s, "/%s", k->resource);
    if (name) {
        str_add_c(&s, '/');
        api_escape(&s, name);
    }
    if (sub)
        str_fmt(&s, "/%s", sub);
    return str_take(&s);
}

char *kind_word(const KubeKind *k)
{
    SCOPED(mem_free) char *word = lower(k->kind);
    return *k->group ? mem_fmt("%s.%s", word, k->group) : MOVE(word, NULL);
}
