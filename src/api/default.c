/* default.c - what kube-apiserver fills in when a Pod is created (pkg/apis/core/v1/defaults.go). */
#include "api/objects.h"

static void str_default(char **s, const char *value)
{
    if (str_empty(*s))
        mem_set_str(s, value);
}

static void int_default(OptInt *i, int64_t value)
{
    if (!i->set)
        *i = (OptInt){true, value};
}

/* For integers whose zero means "absent" in Go. */
static void zero_default(OptInt *i, int64_t value)
{
    if (!i->v)
        *i = (OptInt){true, value};
}

/* Is the image's tag "latest", given or implied? What follows '@' is a digest, and then no tag is implied. */
static bool is_latest(const char *image)
{
    const char *digest = strchr(image, '@');
    size_t n = digest ? (size_t)(digest - image) : strlen(image);
    const char *tag = NULL;
    for (size_t i = 0; i < n; i++)
        tag = image[i] == '/' ? NULL : image[i] == ':' ? image + i + 1 : tag;
    if (!tag)
        return !digest;
    size_t tag_n = (size_t)(image + n - tag);
    return tag_n == strlen("latest") && memcmp(tag, "latest", tag_n) == 0;
}

static void requests_from_limits(ResourceRequirements *r)
{
    if (!r)
        return;
    LIST_EACH(limit, &r->limits) {
        if (resource_get(&r->requests, limit->key))
            continue;
        QuantityPair *q = LIST_ADD(&r->requests);
        *q = (QuantityPair){mem_dup_str(limit->key), mem_dup_str(limit->value)};
        /* Keep the list sorted: it was, and one more goes to its place. */
        for (; q > r->requests.v && strcmp(q[-1].key, q->key) > 0; q--) {
            QuantityPair swap = q[-1];
            q[-1] = *q;
            *q = swap;
        }
    }
}

static void http_get_default(HTTPGetAction *h)
{
    if (!h)
        return;
    str_default(&h->path, "/");
    str_default(&h->scheme, "HTTP");
}

static void probe_default(Probe *p)
{
    if (!p)
        return;
    zero_default(&p->timeout_seconds, 1);
    zero_default(&p->period_seconds, 10);
    zero_default(&p->success_threshold, 1);
    zero_default(&p->failure_threshold, 3);
    http_get_default(p->http_get);
    if (p->grpc && !p->grpc->service)
        p->grpc->service = mem_dup_str("");
}

static void env_default(Container *c)
{
    LIST_EACH(e, &c->env)
        if (e->value_from && e->value_from->field_ref)
            str_default(&e->value_from->field_ref->api_version, "v1");
}

static void container_default(Container *c)
{
    if (c->image)
        str_default(&c->image_pull_policy, is_latest(c->image) ? "Always" : "IfNotPresent");
    else
        str_default(&c->image_pull_policy, "Always");
    str_default(&c->termination_message_path, "/dev/termination-log");
    str_default(&c->termination_message_policy, "File");
    LIST_EACH(port, &c->ports)
        str_default(&port->protocol, "TCP");
    env_default(c);
    probe_default(c->liveness_probe);
    probe_default(c->readiness_probe);
    probe_default(c->startup_probe);
    if (c->lifecycle && c->lifecycle->post_start)
        http_get_default(c->lifecycle->post_start->http_get);
    if (c->lifecycle && c->lifecycle->pre_stop)
        http_get_default(c->lifecycle->pre_stop->http_get);
    if (!c->resources)
        c->resources = NEW(ResourceRequirements);
}

static void downward_default(DownwardAPIVolumeSource *d)
{
    LIST_EACH(f, &d->items)
        if (f->field_ref)
            str_default(&f->field_ref->api_version, "v1");
}

static void projected_default(ProjectedVolumeSource *p)
{
    int_default(&p->default_mode, 0644);
    LIST_EACH(s, &p->sources) {
        if (s->downward_api)
            downward_default(s->downward_api);
        if (s->service_account_token)
            int_default(&s->service_account_token->expiration_seconds, 3600);
    }
}

/* Does the volume name no source at all? */
static bool sourceless(const Volume *v)
{
    for (size_t i = 0; i < type_Volume.n; i++) {
        const Field *f = &type_Volume.field[i];
        if (strcmp(f->json, "name") != 0 && !api_field_zero(f, v))
            return false;
    }
    return true;
}

static void volume_default(Volume *v)
{
    if (sourceless(v))
        v->empty_dir = NEW(EmptyDirVolumeSource);
    if (v->host_path && !v->host_path->type)
        v->host_path->type = mem_dup_str("");
    if (v->secret)
        int_default(&v->secret->default_mode, 0644);
    if (v->config_map)
        int_default(&v->config_map->default_mode, 0644);
    if (v->downward_api) {
        int_default(&v->downward_api->default_mode, 0644);
        downward_default(v->downward_api);
    }
    if (v->projected)
        projected_default(v->projected);
    if (v->image && v->image->reference)
        str_default(&v->image->pull_policy, is_latest(v->image->reference) ? "Always" : "IfNotPresent");
}

static void host_network_ports(ContainerList *l)
{
    LIST_EACH(c, l)
        LIST_EACH(p, &c->ports)
            zero_default(&p->host_port, p->container_port.v);
}

static void spec_default(PodSpec *s)
{
    LIST_EACH(v, &s->volumes)
        volume_default(v);
    ContainerList *lists[] = {&s->init_containers, &s->containers, &s->ephemeral_containers};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
            container_default(c);
    LIST_EACH(c, &s->init_containers)
        requests_from_limits(c->resources);
    LIST_EACH(c, &s->containers)
        requests_from_limits(c->resources);
    requests_from_limits(s->resources);
    str_default(&s->dns_policy, "ClusterFirst");
    str_default(&s->restart_policy, "Always");
    str_default(&s->scheduler_name, "default-scheduler");
    int_default(&s->termination_grace_period_seconds, 30);
    if (s->termination_grace_period_seconds.v < 0) /* strategy.go: a negative period means one second */
        s->termination_grace_period_seconds.v = 1;
    if (!s->security_context)
        s->security_context = NEW(PodSecurityContext);
    if (!s->enable_service_links.set)
        s->enable_service_links = (OptBool){true, true};
    if (s->host_network.v) {
        host_network_ports(&s->init_containers);
        host_network_ports(&s->containers);
    }
    /* Two names of one field; conversion keeps both. */
    if (s->service_account_name)
        mem_set_str(&s->service_account, s->service_account_name);
    else if (s->service_account)
        mem_set_str(&s->service_account_name, s->service_account);
}

void pod_default(Pod *p)
{
    str_default(&p->api_version, "v1");
    str_default(&p->kind, "Pod");
    str_default(&p->metadata.namespace_, "default");
    spec_default(&p->spec);
}

bool container_is_sidecar(const Container *c)
{
    return str_eq(c->restart_policy, "Always");
}

const Container *pod_container_named(const Pod *p, const char *name)
{
    const ContainerList *lists[] = {&p->spec.containers, &p->spec.init_containers};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
            if (str_eq(c->name, name))
                return c;
    return NULL;
}
