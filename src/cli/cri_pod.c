#include "cli/cri_pod.h"

#include "runtime/cri/labels.h"
#include "wire/pbjson.h"

#define DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

void pod_target_done(PodTarget *p)
{
    cri_peer_close(p->peer);
    free(p->namespace_);
    free(p->name);
    free(p->sandbox);
    free(p->uid);
    pod_record_done(&p->record);
    if (p->containers)
        pbjson_free(&p->containers->base);
    *p = (PodTarget){0};
}

static const char *label_of(Cri__PodSandbox__LabelsEntry *const *v, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v[i]->key, key))
            return v[i]->value;
    return NULL;
}

static const char *container_label(const Cri__Container *c, const char *key)
{
    for (size_t i = 0; i < c->n_labels; i++)
        if (str_eq(c->labels[i]->key, key))
            return c->labels[i]->value;
    return NULL;
}

Err *pod_target_ask(PodTarget *p, CriMethod which, const ProtobufCMessage *request, ProtobufCMessage **ret)
{
    const CriMethodInfo *m = &cri_methods[which];
    Err *e = cri_peer_ask(p->peer, m, request, m->timeout_ns, ret);
    if (e && e->kind == ERR_INVALID)
        e->kind = ERR_UNAVAILABLE; /* FailedPrecondition: the usage was right, the container's state was not */
    return e;
}

/* The newest sandbox of the Pod, a ready one before all others. */
static Err *find_sandbox(PodTarget *p, char *root)
{
    char label[] = LABEL_ROOT;
    Cri__PodSandboxFilter__LabelSelectorEntry l, *ls[] = {&l};
    cri__pod_sandbox_filter__label_selector_entry__init(&l);
    Cri__PodSandboxFilter filter;
    cri__pod_sandbox_filter__init(&filter);
    Cri__ListPodSandboxRequest request;
    cri__list_pod_sandbox_request__init(&request);
    l.key = label;
    l.value = root;
    filter.n_label_selector = 1;
    filter.label_selector = ls;
    request.filter = &filter;
    SCOPED(pbjson_free) ProtobufCMessage *answer = NULL;
    Err *e = pod_target_ask(p, CRI_LIST_POD_SANDBOX, &request.base, &answer);
    if (e)
        return e;
    const Cri__ListPodSandboxResponse *all = (const void *)answer;
    const Cri__PodSandbox *best = NULL;
    for (size_t i = 0; i < all->n_items; i++) {
        const Cri__PodSandbox *s = all->items[i];
        if (!str_eq(label_of(s->labels, s->n_labels, LABEL_POD_NAME), p->name) ||
            !str_eq(label_of(s->labels, s->n_labels, LABEL_POD_NAMESPACE), p->namespace_))
            continue;
        bool ready = s->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY, best_ready = best && best->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY;
        if (!best || (ready && !best_ready) || (ready == best_ready && s->created_at > best->created_at))
            best = s;
    }
    if (best && best->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY)
        p->sandbox = mem_dup_str(best->id);
    p->uid = best ? mem_dup_str(label_of(best->labels, best->n_labels, LABEL_POD_UID)) : NULL;
    return NULL;
}

static Err *list_containers(PodTarget *p, char *root)
{
    char label[] = LABEL_ROOT;
    Cri__ContainerFilter__LabelSelectorEntry l, *ls[] = {&l};
    cri__container_filter__label_selector_entry__init(&l);
    Cri__ContainerFilter filter;
    cri__container_filter__init(&filter);
    Cri__ListContainersRequest request;
    cri__list_containers_request__init(&request);
    ProtobufCMessage *answer = NULL;
    l.key = label;
    l.value = root;
    filter.n_label_selector = 1;
    filter.label_selector = ls;
    filter.pod_sandbox_id = p->sandbox;
    request.filter = &filter;
    Err *e = pod_target_ask(p, CRI_LIST_CONTAINERS, &request.base, &answer);
    if (!e)
        p->containers = (void *)answer;
    return e;
}

Err *pod_target_open(const CliArgs *a, const char *operand, PodTarget *ret)
{
    const char *runtime = cli_opt(a, "runtime");
    if (!runtime) /* as of run: who names a socket means it */
        runtime = cli_opt(a, "container-runtime-endpoint") ? "cri" : "oci";
    if (!str_eq(runtime, "cri"))
        return err_new(ERR_UNSUPPORTED, 0, "%s needs --runtime=cri for now: the embedded runtime has no streams", a->command->name);
    const char *slash = strchr(operand, '/');
    SCOPED(pod_target_done) PodTarget p = {
        .namespace_ = slash ? mem_dup_strn(operand, (size_t)(slash - operand)) : mem_dup_str("default"),
        .name = mem_dup_str(slash ? slash + 1 : operand)};
    SCOPED(mem_free) char *root = mem_dup_str(cli_opt(a, "root"));
    const char *endpoint = cli_opt(a, "container-runtime-endpoint");
    if (!endpoint || !*endpoint)
        endpoint = getenv("CONTAINER_RUNTIME_ENDPOINT");
    endpoint = endpoint && *endpoint ? endpoint : CRI_ENDPOINT_DEFAULT;
    Err *e = cri_peer_open(endpoint, &p.peer);
    e = e ? e : find_sandbox(&p, root);
    if (e)
        return err_wrap(e, "%s", endpoint);
    if (!p.uid)
        p.uid = pod_record_find(root, p.namespace_, p.name, NULL, NULL);
    if (!p.uid)
        return err_new(ERR_NOT_FOUND, 0, "pods \"%s\" not found", p.name);
    err_free(pod_record_load(root, p.uid, &p.record)); /* it helps to choose, no more */
    e = p.sandbox ? list_containers(&p, root) : NULL;
    if (e)
        return err_wrap(e, "%s", endpoint);
    *ret = MOVE(p, (PodTarget){0});
    return NULL;
}

static const Container *spec_of(const PodTarget *p, const char *name)
{
    if (!p->record.pod)
        return NULL;
    LIST_EACH(c, &p->record.pod->spec.containers)
        if (str_eq(c->name, name))
            return c;
    LIST_EACH(c, &p->record.pod->spec.init_containers)
        if (str_eq(c->name, name))
            return c;
    return NULL;
}

/* kubectl's podcmd.FindOrDefaultContainerByName(). */
static const char *default_of(const PodTarget *p, bool quiet)
{
    const PodSpec *spec = &p->record.pod->spec;
    const char *noted = strmap_get(&p->record.pod->metadata.annotations, DEFAULT_CONTAINER);
    if (noted && *noted && spec_of(p, noted))
        return noted;
    if (noted && *noted && !quiet)
        fprintf(stderr, "Default container name \"%s\" not found in pod %s\n", noted, p->name);
    if (spec->containers.n + spec->init_containers.n > 1 && !quiet) {
        fprintf(stderr, "Defaulted container \"%s\" out of:", spec->containers.v[0].name);
        const char *between = " ";
        LIST_EACH(c, &spec->containers) {
            fprintf(stderr, "%s%s", between, c->name);
            between = ", ";
        }
        LIST_EACH(c, &spec->init_containers)
            fprintf(stderr, ", %s (init)", c->name);
        fputc('\n', stderr);
    }
    return spec->containers.v[0].name;
}

/* The newest of that name that runs; NULL name = of any. <known>: whether there is any of that name. */
static const Cri__Container *running(const PodTarget *p, const char *name, bool *known)
{
    const Cri__Container *best = NULL;
    for (size_t i = 0; i < p->containers->n_containers; i++) {
        const Cri__Container *c = p->containers->containers[i];
        const char *its = container_label(c, LABEL_CONTAINER_NAME);
        if (!its || (name && !str_eq(its, name)))
            continue;
        *known = true;
        if (c->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING && (!best || c->created_at > best->created_at))
            best = c;
    }
    return best;
}

Err *pod_target_container(PodTarget *p, const char *name, const char *verb, bool quiet, const char **ret_name, const char **ret_id,
                          const Container **ret_spec)
{
    const Pod *pod = p->record.pod;
    const char *phase = pod ? str_or(pod->status.phase, "Unknown") : "Unknown";
    if (str_eq(phase, "Succeeded") || str_eq(phase, "Failed"))
        return err_new(ERR_NOT_FOUND, 0, "cannot %s a container in a completed pod; current phase is %s", verb, phase);
    if (name && pod && !spec_of(p, name))
        return err_new(ERR_NOT_FOUND, 0, "container %s not found in pod %s", name, p->name);
    if (!name && pod && pod->spec.containers.n)
        name = default_of(p, quiet);
    bool known = false;
    const Cri__Container *c = p->containers ? running(p, name, &known) : NULL;
    if (!c && !known && !pod)
        return name ? err_new(ERR_NOT_FOUND, 0, "container %s not found in pod %s", name, p->name)
                    : err_new(ERR_NOT_FOUND, 0, "no container of pod %s runs", p->name);
    if (!c) /* the kubelet's words */
        return err_new(ERR_UNAVAILABLE, 0, "unable to upgrade connection: container not found (\"%s\")", str_or(name, ""));
    *ret_name = container_label(c, LABEL_CONTAINER_NAME);
    *ret_id = c->id;
    *ret_spec = spec_of(p, *ret_name);
    return NULL;
}
