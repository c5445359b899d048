/* validate_resources.c - requests and limits. */
#include "api/quantity.h"
#include "api/validate_priv.h"

static bool is_hugepages(const char *name)
{
    return str_starts(name, "hugepages-");
}

/* Kubernetes' own: without a domain, or with its domain (helper.IsNativeResource). */
static bool is_native(const char *name)
{
    return !strchr(name, '/') || strstr(name, "kubernetes.io/");
}

static bool is_standard_for_containers(const char *name)
{
    static const char *const names[] = {"cpu", "ephemeral-storage", "memory"};
    return is_hugepages(name) || v_is_one_of(name, names, ARRAY_LEN(names));
}

/* helper.IsStandardResourceName: what may stand without a domain anywhere. */
static bool is_standard(const char *name)
{
    static const char *const names[] = {"configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers",
                                        "requests.cpu", "requests.memory", "resourcequotas", "secrets", "services",
                                        "storage", "limits.cpu", "limits.memory"};
    return is_standard_for_containers(name) || v_is_one_of(name, names, ARRAY_LEN(names));
}

static void check_name(Report *r, const Path *at, const char *name)
{
    size_t before = r->errors.n;
    v_qualified_name(r, at, name, name);
    if (r->errors.n != before)
        return;
    if (!strchr(name, '/')) {
        if (!is_standard(name))
            v_invalid(r, at, name, "must be a standard resource type or fully qualified");
        if (!is_standard_for_containers(name))
            v_invalid(r, at, name, "must be a standard resource for containers");
    } else if (!is_native(name) && str_starts(name, "requests.")) {
        v_invalid(r, at, name, "doesn't follow extended resource name standard");
    }
}

static void check_quantity(Report *r, const Path *at, const char *name, const char *q)
{
    SCOPED(mem_free) char *canonical = quantity_canonical(str_or(q, "0"));
    if (quantity_cmp(q, "0") < 0)
        v_invalid(r, at, canonical, "must be greater than or equal to 0");
    int64_t milli;
    if (!is_native(name) && quantity_milli(q, &milli) && milli % 1000)
        v_invalid(r, at, canonical, "must be an integer");
    int64_t value, page;
    if (is_hugepages(name) && quantity_value(name + strlen("hugepages-"), &page) && page > 0 &&
        (!quantity_value(q, &value) || value % page))
        v_invalid(r, at, canonical, "%s is not positive integer multiple of %s", canonical, name);
}

static void check_request_in_limit(Report *r, const Path *at, const ResourceRequirements *res, const QuantityPair *request)
{
    const char *limit = resource_get(&res->limits, request->key);
    bool overcommit = is_native(request->key) && !is_hugepages(request->key);
    const Path *requests = CHILD(at, "requests");
    if (!limit) {
        if (!overcommit)
            v_required(r, CHILD(at, "limits"), "Limit must be set for non overcommitable resources");
        return;
    }
    SCOPED(mem_free) char *q = quantity_canonical(request->value);
    SCOPED(mem_free) char *l = quantity_canonical(limit);
    int cmp = quantity_cmp(request->value, limit);
    if (cmp != 0 && !overcommit)
        v_invalid(r, requests, q, "must be equal to %s limit of %s", request->key, l);
    else if (cmp > 0)
        v_invalid(r, requests, q, "must be less than or equal to %s limit of %s", request->key, l);
}

void check_resources(Report *r, const Path *at, const ResourceRequirements *res, bool pod_level)
{
    static const char *const pod_names[] = {"cpu", "memory"};
    const ResourceList *lists[] = {&res->limits, &res->requests};
    const char *const keys[] = {"limits", "requests"};
    bool pages = false, basic = false;
    if (pod_level && res->claims.n)
        v_forbidden(r, CHILD(at, "claims"), "claims cannot be set for Resources at pod-level");
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(p, lists[i]) {
            const Path *here = AT_KEY(CHILD(at, keys[i]), p->key);
            if (pod_level && !is_hugepages(p->key))
                v_one_of(r, here, p->key, pod_names, ARRAY_LEN(pod_names));
            else
                check_name(r, here, p->key);
            check_quantity(r, here, p->key, p->value);
            if (i == 1)
                check_request_in_limit(r, at, res, p);
            pages = pages || is_hugepages(p->key);
            basic = basic || v_is_one_of(p->key, pod_names, ARRAY_LEN(pod_names));
        }
    if (pages && !basic)
        v_forbidden(r, at, "HugePages require cpu or memory");
}
