/* Values of fieldRef and resourceFieldRef. */
#include "node/volumes_priv.h"

#include <unistd.h>

#include "api/objects.h"
#include "api/quantity.h"
#include "node/allocatable.h"

/* --- fieldRef --------------------------------------------------------------------------------------------------- */

/* pkg/fieldpath, FormatMap: one line a key, sorted (StrMap is). */
static char *format_map(const StrMap *m)
{
    Str s = {0};
    LIST_EACH(p, m) {
        str_fmt(&s, "%s%s=", s.n ? "\n" : "", p->key);
        str_add_quoted(&s, str_or(p->value, ""));
    }
    return str_take(&s);
}

static char *join(const char *const *v, size_t n)
{
    Str s = {0};
    for (size_t i = 0; i < n; i++)
        str_fmt(&s, "%s%s", i ? "," : "", v[i]);
    return str_take(&s);
}

static char *node_name(const Pod *p)
{
    if (!str_empty(p->spec.node_name))
        return mem_dup_str(p->spec.node_name);
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    return mem_dup_str(host);
}

/* "metadata.labels['key']" -> map "metadata.labels", key. */
static bool split_subscript(const char *path, char **map, char **key)
{
    const char *open = strstr(path, "['");
    size_t n = strlen(path);
    if (!open || open == path || !str_ends(path, "']") || open + 2 > path + n - 2)
        return false;
    *map = mem_dup_strn(path, (size_t)(open - path));
    *key = mem_dup_strn(open + 2, (size_t)(path + n - 2 - (open + 2)));
    return true;
}

static Err *subscript_value(const Pod *p, const char *path, const char *map, const char *key, char **ret)
{
    const StrMap *m = str_eq(map, "metadata.labels")        ? &p->metadata.labels
                      : str_eq(map, "metadata.annotations") ? &p->metadata.annotations
                                                            : NULL;
    if (!m)
        return err_new(ERR_INVALID, 0, "fieldPath \"%s\" does not support subscript", path);
    *ret = mem_dup_str(str_or(strmap_get(m, key), "")); /* an absent key is an empty value */
    return NULL;
}

Err *field_ref_value(const VolumesContext *ctx, const char *path, const char *pod_ip, const StrList *pod_ips,
                     char **ret)
{
    const Pod *p = ctx->pod;
    const ObjectMeta *meta = &p->metadata;
    if (!path)
        return err_new(ERR_INVALID, 0, "unsupported fieldPath: ");
    SCOPED(mem_free) char *map = NULL, *key = NULL;
    if (split_subscript(path, &map, &key))
        return subscript_value(p, path, map, key, ret);

    const struct {
        const char *path, *value;
    } plain[] = {
        {"metadata.name", meta->name},
        {"metadata.namespace", pod_namespace(p)},
        {"metadata.uid", meta->uid},
        {"spec.serviceAccountName", str_empty(p->spec.service_account_name) ? "default" : p->spec.service_account_name},
        {"spec.restartPolicy", p->spec.restart_policy},
        {"spec.schedulerName", p->spec.scheduler_name},
        {"status.hostIP", ctx->n_host_ips ? ctx->host_ips[0] : ""},
        {"status.podIP", str_empty(pod_ip) && pod_ips && pod_ips->n ? pod_ips->v[0] : pod_ip},
    };
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (str_eq(path, plain[i].path)) {
            *ret = mem_dup_str(str_or(plain[i].value, ""));
            return NULL;
        }
    }
    if (str_eq(path, "metadata.labels"))
        *ret = format_map(&meta->labels);
    else if (str_eq(path, "metadata.annotations"))
        *ret = format_map(&meta->annotations);
    else if (str_eq(path, "spec.nodeName"))
        *ret = node_name(p);
    else if (str_eq(path, "status.hostIPs"))
        *ret = join(ctx->host_ips, ctx->n_host_ips);
    else if (str_eq(path, "status.podIPs") && pod_ips && pod_ips->n)
        *ret = join((const char *const *)pod_ips->v, pod_ips->n);
    else if (str_eq(path, "status.podIPs"))
        *ret = mem_dup_str(str_or(pod_ip, ""));
    else
        return err_new(ERR_INVALID, 0, "unsupported fieldPath: %s", path);
    return NULL;
}

/* --- resourceFieldRef ------------------------------------------------------------------------------------------- */

static bool has_value(const ResourceList *l, const char *name)
{
    int64_t v;
    const char *q = resource_get(l, name);
    return q && quantity_milli(q, &v) && v != 0;
}

/* A limit that is not set is what the Pod, or else the node, can give (defaultPodLimitsForDownwardAPI). */
static int64_t limit_fallback(const VolumesContext *ctx, const char *resource, bool milli)
{
    const ResourceRequirements *pod = ctx->pod->spec.resources;
    int64_t v;
    if (pod && has_value(&pod->limits, resource) &&
        (milli ? quantity_milli : quantity_value)(resource_get(&pod->limits, resource), &v))
        return v;
    if (str_eq(resource, "cpu"))
        return node_cpu_milli();
    if (str_eq(resource, "memory"))
        return node_memory_bytes();
    return str_eq(resource, "ephemeral-storage") ? node_storage_bytes(ctx->root) : 0;
}

/* pkg/api/v1/resource, ExtractContainerResourceValue: the amount divided by the divisor, rounded up. CPU counts in
 * thousandths on both sides. */
Err *resource_ref_value(const VolumesContext *ctx, const ResourceFieldSelector *r, const Container *own, char **ret)
{
    const char *what = str_or(r->resource, "");
    const Container *c = str_empty(r->container_name) ? own : pod_container_named(ctx->pod, r->container_name);
    if (!c)
        return err_new(ERR_NOT_FOUND, 0, "container %s not found", str_or(r->container_name, ""));
    bool limits = str_starts(what, "limits."), requests = str_starts(what, "requests.");
    const char *resource = limits ? what + 7 : requests ? what + 9 : "";
    bool cpu = str_eq(resource, "cpu");
    if (!cpu && !str_eq(resource, "memory") && !str_eq(resource, "ephemeral-storage") &&
        !str_starts(resource, "hugepages-"))
        return err_new(ERR_INVALID, 0, "unsupported container resource : %s", what);

    bool (*number)(const char *, int64_t *) = cpu ? quantity_milli : quantity_value;
    int64_t divisor = cpu ? 1000 : 1, given, amount = 0;
    if (!str_empty(r->divisor) && !number(r->divisor, &given))
        return err_new(ERR_INVALID, 0, "divisor %s of %s is not a quantity", r->divisor, what);
    if (!str_empty(r->divisor) && given > 0)
        divisor = given;
    static const ResourceRequirements none;
    const ResourceRequirements *rr = c->resources ? c->resources : &none;
    const ResourceList *l = limits ? &rr->limits : &rr->requests;
    if (has_value(l, resource)) {
        if (!number(resource_get(l, resource), &amount))
            return err_new(ERR_INVALID, 0, "%s of container %s does not fit", what, c->name);
    } else if (limits) {
        amount = limit_fallback(ctx, resource, cpu);
    }
    *ret = mem_fmt("%lld", (long long)(amount / divisor + (amount % divisor > 0)));
    return NULL;
}
