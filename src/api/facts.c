#include "api/facts.h"

#include "api/codec.h"

static void strs_done(StrList *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (StrList){0};
}

void sandbox_fact_done(SandboxFact *s)
{
    free(s->id);
    strs_done(&s->ips);
    *s = (SandboxFact){0};
}

void sandbox_fact_copy(SandboxFact *dst, const SandboxFact *src)
{
    *dst = *src;
    dst->id = mem_dup_str(src->id);
    dst->ips = (StrList){0};
    LIST_EACH(ip, &src->ips)
        *LIST_ADD(&dst->ips) = mem_dup_str(*ip);
}

/* Every owned string of a ContainerFact: one list for copy and free, so that the two cannot differ. */
#define CONTAINER_FACT_STRINGS(X)                                                                                      \
    X(id) X(name) X(sandbox_id) X(reason) X(message) X(image) X(image_id) X(log_path) X(spec_hash) X(stop_reason)

void container_fact_done(ContainerFact *c)
{
#define FREE_IT(m) free(c->m);
    CONTAINER_FACT_STRINGS(FREE_IT)
#undef FREE_IT
    *c = (ContainerFact){0};
}

void container_fact_copy(ContainerFact *dst, const ContainerFact *src)
{
    *dst = *src;
#define COPY_IT(m) dst->m = mem_dup_str(src->m);
    CONTAINER_FACT_STRINGS(COPY_IT)
#undef COPY_IT
}

const char *const prepare_mode_names[] = {
    [PREPARE_OFF] = "off", [PREPARE_CREATE] = "create", [PREPARE_GATE] = "gate", [PREPARE_GATE + 1] = NULL};

#define STANDBY_FACT_STRINGS(X) X(id) X(name) X(sandbox_id) X(key)

static void standby_fact_done(StandbyFact *s)
{
#define FREE_IT(m) free(s->m);
    STANDBY_FACT_STRINGS(FREE_IT)
#undef FREE_IT
    *s = (StandbyFact){0};
}

static void standby_fact_copy(StandbyFact *dst, const StandbyFact *src)
{
    *dst = *src;
#define COPY_IT(m) dst->m = mem_dup_str(src->m);
    STANDBY_FACT_STRINGS(COPY_IT)
#undef COPY_IT
}

void pod_facts_done(PodFacts *f)
{
    LIST_EACH(s, &f->standbys)
        standby_fact_done(s);
    free(f->standbys.v);
    LIST_EACH(s, &f->sandboxes)
        sandbox_fact_done(s);
    LIST_EACH(c, &f->containers)
        container_fact_done(c);
    free(f->sandboxes.v);
    free(f->containers.v);
    *f = (PodFacts){0};
}

void pod_facts_copy(PodFacts *dst, const PodFacts *src)
{
    *dst = (PodFacts){0};
    LIST_EACH(s, &src->sandboxes)
        sandbox_fact_copy(LIST_ADD(&dst->sandboxes), s);
    LIST_EACH(c, &src->containers)
        container_fact_copy(LIST_ADD(&dst->containers), c);
    LIST_EACH(s, &src->standbys)
        standby_fact_copy(LIST_ADD(&dst->standbys), s);
}

static int newest_first(int64_t a, int64_t b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static int by_sandbox_age(const void *a, const void *b)
{
    return newest_first(((const SandboxFact *)a)->created_at_ns, ((const SandboxFact *)b)->created_at_ns);
}

static int by_container_age(const void *a, const void *b)
{
    return newest_first(((const ContainerFact *)a)->created_at_ns, ((const ContainerFact *)b)->created_at_ns);
}

void pod_facts_sort(PodFacts *f)
{
    if (f->sandboxes.n > 1)
        qsort(f->sandboxes.v, f->sandboxes.n, sizeof f->sandboxes.v[0], by_sandbox_age);
    if (f->containers.n > 1)
        qsort(f->containers.v, f->containers.n, sizeof f->containers.v[0], by_container_age);
}

const ContainerFact *pod_facts_newest(const PodFacts *f, const char *name)
{
    const ContainerFact *newest = NULL;
    LIST_EACH(c, &f->containers)
        if (str_eq(c->name, name) && (!newest || c->attempt > newest->attempt))
            newest = c;
    return newest;
}
