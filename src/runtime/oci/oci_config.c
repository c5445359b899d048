#include "runtime/oci/oci_priv.h"

/* Copies a text into the owner and makes *p point there. */
static void own(ConfigCopy *k, const char **p)
{
    if (!*p)
        return;
    strvec_add(&k->strings, *p);
    *p = k->strings.v[k->strings.n - 1];
}

static void own_mutable(ConfigCopy *k, char **p)
{
    const char *s = *p;
    own(k, &s);
    *p = s ? k->strings.v[k->strings.n - 1] : NULL;
}

static void copy_vec(StrVec *v)
{
    StrVec copy = {0};
    for (size_t i = 0; i < v->n; i++)
        strvec_add(&copy, v->v[i]);
    *v = copy;
}

static void *copy_list(const void *v, size_t n, size_t size)
{
    return n ? mem_dup(v, n * size) : NULL;
}

static void copy_map(ConfigCopy *k, StrMap *m)
{
    m->v = copy_list(m->v, m->n, sizeof m->v[0]);
    LIST_EACH(e, m) {
        own_mutable(k, &e->key);
        own_mutable(k, &e->value);
    }
}

static void copy_lists(ConfigCopy *k)
{
    ContainerConfig *c = &k->c;
    c->mounts.v = copy_list(c->mounts.v, c->mounts.n, sizeof c->mounts.v[0]);
    LIST_EACH(m, &c->mounts) {
        own(k, &m->container_path);
        own(k, &m->host_path);
        own(k, &m->propagation);
    }
    c->devices.v = copy_list(c->devices.v, c->devices.n, sizeof c->devices.v[0]);
    LIST_EACH(d, &c->devices) {
        own(k, &d->host_path);
        own(k, &d->container_path);
        own(k, &d->permissions);
    }
    c->cdi_devices.v = copy_list(c->cdi_devices.v, c->cdi_devices.n, sizeof c->cdi_devices.v[0]);
    LIST_EACH(d, &c->cdi_devices)
        own_mutable(k, d);
    c->hugepages.v = copy_list(c->hugepages.v, c->hugepages.n, sizeof c->hugepages.v[0]);
    LIST_EACH(h, &c->hugepages)
        own(k, &h->page_size);
    copy_map(k, &c->labels);
    copy_map(k, &c->annotations);
}

void config_copy(ConfigCopy *k, const ContainerConfig *src)
{
    *k = (ConfigCopy){.c = *src};
    ContainerConfig *c = &k->c;
    c->sandbox = NULL;
    const char **const texts[] = {&c->name, &c->image, &c->image_id, &c->working_dir, &c->log_path, &c->stop_signal,
                                  &c->termination_message_path, &c->termination_message_host_path, &c->pid_target_id,
                                  &c->spec_hash};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        own(k, texts[i]);
    copy_vec(&c->command);
    copy_vec(&c->args);
    copy_vec(&c->env);
    copy_lists(k);
    c->sec = c->sec ? api_copy(&type_SecurityContext, c->sec) : NULL;
    c->pod_sec = c->pod_sec ? api_copy(&type_PodSecurityContext, c->pod_sec) : NULL;
}

static void free_api(const TypeDesc *t, const void *obj)
{
    void *p;
    memcpy(&p, &obj, sizeof p);
    api_free(t, p);
}

void config_copy_done(ConfigCopy *k)
{
    ContainerConfig *c = &k->c;
    strvec_done(&c->command);
    strvec_done(&c->args);
    strvec_done(&c->env);
    mem_free(c->mounts.v);
    mem_free(c->devices.v);
    mem_free(c->cdi_devices.v);
    mem_free(c->hugepages.v);
    mem_free(c->labels.v);
    mem_free(c->annotations.v);
    free_api(&type_SecurityContext, c->sec);
    free_api(&type_PodSecurityContext, c->pod_sec);
    strvec_done(&k->strings);
    *k = (ConfigCopy){0};
}
