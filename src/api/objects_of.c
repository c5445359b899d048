/* objects_of.c - which of the objects beside a Pod it reads: a Pod keeps copies of those alone. */
#include "api/objects.h"

static bool files_named(const FilesVolumeSource *f, const char *name)
{
    return f && str_eq(f->name, name);
}

static bool volume_reads(const Volume *v, PodReads kind, const char *name)
{
    if (kind == READS_PVC)
        return v->persistent_volume_claim && str_eq(v->persistent_volume_claim->claim_name, name);
    if (files_named(kind == READS_SECRET ? v->secret : v->config_map, name))
        return true;
    if (v->projected)
        LIST_EACH(s, &v->projected->sources)
            if (files_named(kind == READS_SECRET ? s->secret : s->config_map, name))
                return true;
    return false;
}

static bool env_reads(const Container *c, PodReads kind, const char *name)
{
    LIST_EACH(f, &c->env_from) {
        const NameSource *s = kind == READS_SECRET ? f->secret_ref : f->config_map_ref;
        if (s && str_eq(s->name, name))
            return true;
    }
    LIST_EACH(e, &c->env) {
        const EnvVarSource *from = e->value_from;
        const KeySelector *s = !from ? NULL : kind == READS_SECRET ? from->secret_key_ref : from->config_map_key_ref;
        if (s && str_eq(s->name, name))
            return true;
    }
    return false;
}

bool pod_reads(const Pod *p, PodReads kind, const char *name)
{
    const PodSpec *s = &p->spec;
    LIST_EACH(v, &s->volumes)
        if (volume_reads(v, kind, name))
            return true;
    const ContainerList *lists[] = {&s->init_containers, &s->containers, &s->ephemeral_containers};
    for (size_t i = 0; kind != READS_PVC && i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
            if (env_reads(c, kind, name))
                return true;
    if (kind == READS_SECRET)
        LIST_EACH(r, &s->image_pull_secrets)
            if (str_eq(r->name, name))
                return true;
    return false;
}

static bool reads(const Pod *p, PodReads kind, const ObjectMeta *m)
{
    return str_eq(m->namespace_, p->metadata.namespace_) && pod_reads(p, kind, m->name);
}

void objects_of_pod(const Pod *p, const Objects *all, Objects *out)
{
    LIST_EACH(c, &all->config_maps)
        if (reads(p, READS_CONFIG_MAP, &(*c)->metadata))
            *LIST_ADD(&out->config_maps) = api_copy(&type_ConfigMap, *c);
    LIST_EACH(s, &all->secrets)
        if (reads(p, READS_SECRET, &(*s)->metadata))
            *LIST_ADD(&out->secrets) = api_copy(&type_Secret, *s);
    LIST_EACH(c, &all->pvcs)
        if (reads(p, READS_PVC, &(*c)->metadata))
            *LIST_ADD(&out->pvcs) = api_copy(&type_PersistentVolumeClaim, *c);
}
