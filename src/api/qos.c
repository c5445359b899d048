#include "api/objects.h"
#include "api/quantity.h"

static bool positive(const char *q)
{
    return q && quantity_cmp(q, "0") > 0;
}

/* Looks at cpu and memory of one set of requirements (pkg/apis/core/v1/helper/qos). */
static void look(const ResourceRequirements *r, bool *any, bool *guaranteed)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *limit = r ? resource_get(&r->limits, names[i]) : NULL;
        const char *request = r ? resource_get(&r->requests, names[i]) : NULL;
        *any = *any || positive(limit) || positive(request);
        /* Defaulting makes a missing request the limit. */
        *guaranteed = *guaranteed && positive(limit) && (!request || quantity_cmp(request, limit) == 0);
    }
}

const char *pod_qos_class(const PodSpec *s)
{
    bool any = false, guaranteed = true;
    if (s->resources && (s->resources->limits.n || s->resources->requests.n)) {
        look(s->resources, &any, &guaranteed);
    } else {
        LIST_EACH(c, &s->init_containers)
            look(c->resources, &any, &guaranteed);
        LIST_EACH(c, &s->containers)
            look(c->resources, &any, &guaranteed);
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}
