/* requests.c - what a Pod asks for in all: component-helpers/resource (sums, KEP-753), pod-level resources, overhead. Amounts are int64_t
 * in milli-CPUs or units; a sum that does not fit stays at the top. */
#include "api/requests.h"

#include "api/codec.h"
#include "api/objects.h"
#include "api/quantity.h"

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t resource_amount(const ResourceList *l, const char *name)
{
    const char *q = resource_get(l, name);
    int64_t v = 0;
    bool ok = q && (str_eq(name, "cpu") ? quantity_milli(q, &v) : quantity_value(q, &v));
    return ok && v > 0 ? v : 0;
}

static int64_t of(const ResourceRequirements *r, const char *name, bool limit)
{
    return r ? resource_amount(limit ? &r->limits : &r->requests, name) : 0;
}

/* KEP-753: sidecars run from their place on, so an init container needs itself and the sidecars before it; at the end
 * all sidecars run beside all regular containers. */
int64_t pod_containers_sum(const Pod *p, const char *name, bool limits, bool *all_set)
{
    int64_t run = 0, sidecars = 0, init = 0;
    bool all = true;
    LIST_EACH(c, &p->spec.containers) {
        int64_t v = of(c->resources, name, limits);
        all = all && v;
        run = add(run, v);
    }
    LIST_EACH(c, &p->spec.init_containers) {
        int64_t v = of(c->resources, name, limits);
        all = all && v;
        if (container_is_sidecar(c)) {
            run = add(run, v);
            sidecars = add(sidecars, v);
            init = max(init, sidecars);
        } else {
            init = max(init, add(v, sidecars));
        }
    }
    if (all_set)
        *all_set = all;
    return max(run, init);
}

int64_t pod_amount(const Pod *p, const char *name, bool limits, bool *all_set)
{
    int64_t v = pod_containers_sum(p, name, limits, all_set), own = of(p->spec.resources, name, limits);
    if (own) {
        v = own;
        if (all_set)
            *all_set = true;
    }
    return v || !limits ? add(v, resource_amount(&p->spec.overhead, name)) : v;
}
