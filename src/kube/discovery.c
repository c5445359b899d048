/* discovery.c - see discovery.h; what kube-apiserver says of the same resources is in its api/discovery folder. */
#include "kube/discovery.h"

#include "base/str.h"

#ifndef REPRISE_VERSION
#define REPRISE_VERSION "dev"
#endif

static void set_str(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, json_string(v));
}

json_t *kube_version_info(const char *git_commit, const char *build_date)
{
    json_t *o = json_object();
    set_str(o, "major", KUBE_MAJOR);
    set_str(o, "minor", KUBE_MINOR);
    set_str(o, "gitVersion", "v" KUBE_MAJOR "." KUBE_MINOR ".0+reprise-" REPRISE_VERSION);
    set_str(o, "gitCommit", git_commit);
    set_str(o, "gitTreeState", *git_commit ? "clean" : "");
    set_str(o, "buildDate", build_date);
    set_str(o, "goVersion", ""); /* clients print it; there is none */
    set_str(o, "compiler", __VERSION__);
    set_str(o, "platform",
#if defined(__aarch64__)
            "linux/arm64"
#elif defined(__x86_64__)
            "linux/amd64"
#else
            "linux"
#endif
    );
    return o;
}

json_t *kube_api_versions(const char *address)
{
    return json_pack("{s:s, s:[s], s:[{s:s, s:s}]}", "kind", "APIVersions", "versions", "v1", "serverAddressByClientCIDRs", "clientCIDR",
                     "0.0.0.0/0", "serverAddress", str_or(address, ""));
}

static json_t *group_json(const char *group)
{
    SCOPED(mem_free) char *gv = mem_fmt("%s/v1", group);
    return json_pack("{s:s, s:[{s:s, s:s}], s:{s:s, s:s}}", "name", group, "versions", "groupVersion", gv, "version", "v1",
                     "preferredVersion", "groupVersion", gv, "version", "v1");
}

/* Is this the first row of its group, and not the core's? */
static bool begins_group(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(kube_kinds[k].group, kube_kinds[i].group))
            return false;
    return *kube_kinds[i].group != '\0';
}

json_t *kube_api_groups(void)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (begins_group(i))
            json_array_append_new(groups, group_json(kube_kinds[i].group));
    return json_pack("{s:s, s:s, s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups", groups);
}

static bool served(const char *group)
{
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (str_eq(kube_kinds[i].group, group))
            return true;
    return false;
}

json_t *kube_api_group(const char *group)
{
    if (str_empty(group) || !served(group))
        return NULL;
    SCOPED(json_unref) json_t *g = group_json(group);
    json_t *o = json_pack("{s:s, s:s}", "kind", "APIGroup", "apiVersion", "v1");
    json_object_update(o, g);
    return o;
}

/* In alphabetical order, as Go sorts them. */
static json_t *verbs_json(unsigned verbs)
{
    static const unsigned order[] = {VERB_CREATE, VERB_DELETE, VERB_DELETE_COLLECTION, VERB_GET, VERB_LIST,
                                     VERB_PATCH,  VERB_UPDATE, VERB_WATCH};
    json_t *l = json_array();
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (verbs & order[i])
            json_array_append_new(l, json_string(kube_verb_name(order[i])));
    return l;
}

static void add_names(json_t *o, const KubeKind *k)
{
    if (k->short_name)
        json_object_set_new(o, "shortNames", json_pack("[s]", k->short_name));
    if (k->category)
        json_object_set_new(o, "categories", json_pack("[s]", k->category));
}

static json_t *resource_json(const KubeKind *k)
{
    json_t *o = json_object();
    set_str(o, "name", k->resource);
    set_str(o, "singularName", k->singular);
    json_object_set_new(o, "namespaced", json_boolean(k->namespaced));
    set_str(o, "kind", k->kind);
    json_object_set_new(o, "verbs", verbs_json(k->verbs));
    add_names(o, k);
    return o;
}

static json_t *sub_json(const KubeKind *k, const KubeSub *s)
{
    SCOPED(mem_free) char *name = mem_fmt("%s/%s", k->resource, s->name);
    json_t *o = json_object();
    set_str(o, "name", name);
    set_str(o, "singularName", "");
    json_object_set_new(o, "namespaced", json_boolean(k->namespaced));
    if (s->group) {
        set_str(o, "group", s->group);
        set_str(o, "version", s->version);
    }
    set_str(o, "kind", s->kind);
    json_object_set_new(o, "verbs", verbs_json(s->verbs));
    return o;
}

/* The group's rows by the resource's name. */
static size_t sorted(const char *group, const KubeKind *out[KUBE_KIND_N])
{
    size_t n = 0;
    for (size_t i = 0; i < KUBE_KIND_N; i++) {
        if (!str_eq(kube_kinds[i].group, group))
            continue;
        size_t at = n++;
        for (; at > 0 && strcmp(out[at - 1]->resource, kube_kinds[i].resource) > 0; at--)
            out[at] = out[at - 1];
        out[at] = &kube_kinds[i];
    }
    return n;
}

json_t *kube_api_resources(const char *group)
{
    const KubeKind *kinds[KUBE_KIND_N];
    size_t n = sorted(group, kinds);
    json_t *o = json_object(), *list = json_array();
    SCOPED(mem_free) char *gv = *group ? mem_fmt("%s/v1", group) : mem_dup_str("v1");
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, resource_json(kinds[i]));
        for (size_t k = 0; k < kinds[i]->n_sub; k++)
            json_array_append_new(list, sub_json(kinds[i], &kinds[i]->sub[k]));
    }
    set_str(o, "kind", "APIResourceList");
    if (*group)
        set_str(o, "apiVersion", "v1"); /* the core's has none: it is older than that field */
    set_str(o, "groupVersion", gv);
    json_object_set_new(o, "resources", list);
    if (n)
        return o;
    json_decref(o);
    return NULL;
}

/* --- aggregated ------------------------------------------------------------------------------------------------- */

/* Empty group and version stand for those of the list around it. */
static json_t *kind_json(const char *group, const char *version, const char *kind)
{
    return json_pack("{s:s, s:s, s:s}", "group", str_or(group, ""), "version", str_or(version, ""), "kind", kind);
}

static json_t *discovered_sub(const KubeSub *s)
{
    json_t *o = json_object();
    set_str(o, "subresource", s->name);
    json_object_set_new(o, "responseKind", kind_json(s->group, s->version, s->kind));
    if (s->group) {
        json_t *taken = json_array();
        json_array_append_new(taken, kind_json(s->group, s->version, s->kind));
        json_object_set_new(o, "acceptedTypes", taken);
    }
    json_object_set_new(o, "verbs", verbs_json(s->verbs));
    return o;
}

static json_t *discovered(const KubeKind *k)
{
    json_t *o = json_object();
    set_str(o, "resource", k->resource);
    json_object_set_new(o, "responseKind", kind_json(NULL, NULL, k->kind));
    set_str(o, "scope", k->namespaced ? "Namespaced" : "Cluster");
    set_str(o, "singularResource", k->singular);
    json_object_set_new(o, "verbs", verbs_json(k->verbs));
    add_names(o, k);
    if (k->n_sub) {
        json_t *subs = json_array();
        for (size_t i = 0; i < k->n_sub; i++)
            json_array_append_new(subs, discovered_sub(&k->sub[i]));
        json_object_set_new(o, "subresources", subs);
    }
    return o;
}

static json_t *discovered_group(const char *group)
{
    const KubeKind *kinds[KUBE_KIND_N];
    size_t n = sorted(group, kinds);
    json_t *resources = json_array(), *meta = json_object();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(resources, discovered(kinds[i]));
    if (*group)
        set_str(meta, "name", group);
    return json_pack("{s:o, s:[{s:s, s:o, s:s}]}", "metadata", meta, "versions", "version", "v1", "resources", resources, "freshness",
                     "Current");
}

json_t *kube_discovery_list(bool core, bool v2beta1)
{
    json_t *items = json_array();
    if (core)
        json_array_append_new(items, discovered_group(""));
    for (size_t i = 0; !core && i < KUBE_KIND_N; i++)
        if (begins_group(i))
            json_array_append_new(items, discovered_group(kube_kinds[i].group));
    return json_pack("{s:s, s:s, s:{}, s:o}", "kind", "APIGroupDiscoveryList", "apiVersion",
                     v2beta1 ? "apidiscovery.k8s.io/v2beta1" : "apidiscovery.k8s.io/v2", "metadata", "items", items);
}
