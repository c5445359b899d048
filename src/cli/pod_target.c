#include "cli/pod_target.h"

#include "api/objects.h"
#include "runtime/cri/cri.h"
#include "runtime/cri/cri.pb-c.h"
#include "runtime/cri/labels.h"
#include "runtime/oci/oci.h"
#include "wire/pbjson.h"

#define DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

void pod_target_done(PodTarget *p)
{
    cri_peer_close(p->peer);
    free(p->namespace_);
    free(p->name);
    free(p->root);
    free(p->run_dir);
    free(p->uid);
    pod_record_done(&p->record);
    pod_facts_done(&p->facts);
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

/* A call to the runtime, with the kubelet's patience. */
static Err *ask(PodTarget *p, CriMethod which, const ProtobufCMessage *request, ProtobufCMessage **ret)
{
    const CriMethodInfo *m = &cri_methods[which];
    Err *e = cri_peer_ask(p->peer, m, request, m->timeout_ns, ret);
    if (e && e->kind == ERR_INVALID)
        e->kind = ERR_UNAVAILABLE; /* FailedPrecondition: the usage was right, the container's state was not */
    return e;
}

/* The newest sandbox of the Pod, a ready one before all others. */
static Err *find_sandbox(PodTarget *p)
{
    char label[] = LABEL_ROOT;
    Cri__PodSandboxFilter__LabelSelectorEntry l, *ls[] = {&l};
    cri__pod_sandbox_filter__label_selector_entry__init(&l);
    Cri__PodSandboxFilter filter;
    cri__pod_sandbox_filter__init(&filter);
    Cri__ListPodSandboxRequest request;
    cri__list_pod_sandbox_request__init(&request);
    l.key = label;
    l.value = p->root;
    filter.n_label_selector = 1;
    filter.label_selector = ls;
    request.filter = &filter;
    SCOPED(pbjson_free) ProtobufCMessage *answer = NULL;
    Err *e = ask(p, CRI_LIST_POD_SANDBOX, &request.base, &answer);
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
        *LIST_ADD(&p->facts.sandboxes) = (SandboxFact){.id = mem_dup_str(best->id), .state = SANDBOX_READY};
    mem_set_str(&p->uid, best ? label_of(best->labels, best->n_labels, LABEL_POD_UID) : NULL);
    return NULL;
}

static Err *list_containers(PodTarget *p)
{
    char label[] = LABEL_ROOT;
    Cri__ContainerFilter__LabelSelectorEntry l, *ls[] = {&l};
    cri__container_filter__label_selector_entry__init(&l);
    Cri__ContainerFilter filter;
    cri__container_filter__init(&filter);
    Cri__ListContainersRequest request;
    cri__list_containers_request__init(&request);
    SCOPED(pbjson_free) ProtobufCMessage *answer = NULL;
    l.key = label;
    l.value = p->root;
    filter.n_label_selector = 1;
    filter.label_selector = ls;
    filter.pod_sandbox_id = p->facts.sandboxes.v[0].id;
    request.filter = &filter;
    Err *e = ask(p, CRI_LIST_CONTAINERS, &request.base, &answer);
    const Cri__ListContainersResponse *all = (const void *)answer;
    for (size_t i = 0; !e && i < all->n_containers; i++) {
        const Cri__Container *c = all->containers[i];
        const char *name = container_label(c, LABEL_CONTAINER_NAME);
        if (name)
            *LIST_ADD(&p->facts.containers) = (ContainerFact){
                .id = mem_dup_str(c->id), .name = mem_dup_str(name), .created_at_ns = c->created_at,
                .state = c->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING ? RUN_RUNNING : RUN_EXITED};
    }
    return e;
}

static Err *find_over_cri(PodTarget *p, const char *endpoint)
{
    Err *e = p->peer ? NULL : cri_peer_open(endpoint, &p->peer);
    e = e ? e : find_sandbox(p);
    if (!e && p->facts.sandboxes.n)
        e = list_containers(p);
    return e ? err_wrap(e, "%s", endpoint) : NULL;
}

/* Without a shim nothing of it runs. */
static Err *find_embedded(PodTarget *p)
{
    Err *e = p->uid ? oci_peek(p->run_dir, p->uid, &p->facts) : NULL;
    if (e && (e->kind == ERR_NOT_FOUND || e->kind == ERR_UNAVAILABLE))
        err_free(MOVE(e, NULL));
    return e;
}

Err *pod_target_open(const CliArgs *a, const char *operand, PodTarget *ret)
{
    const char *runtime = cli_opt(a, "runtime");
    if (!runtime) /* as of run: who names a socket means it */
        runtime = cli_opt(a, "container-runtime-endpoint") ? "cri" : "oci";
    bool cri = str_eq(runtime, "cri");
    if (!cri && !str_eq(runtime, "oci"))
        return err_new(ERR_INVALID, 0, "--runtime=%s: give oci or cri", runtime);
    const char *slash = strchr(operand, '/');
    SCOPED(pod_target_done) PodTarget p = {
        .namespace_ = slash ? mem_dup_strn(operand, (size_t)(slash - operand)) : mem_dup_str("default"),
        .name = mem_dup_str(slash ? slash + 1 : operand), .root = mem_dup_str(cli_opt(a, "root")), .run_dir = mem_dup_str(cli_opt(a, "run-dir"))};
    Err *e = cri ? find_over_cri(&p, cri_endpoint(a, false)) : NULL;
    if (e)
        return e;
    if (!p.uid)
        p.uid = pod_record_find(p.root, p.namespace_, p.name, NULL, NULL);
    if (!p.uid)
        return err_new(ERR_NOT_FOUND, 0, "pods \"%s\" not found", p.name);
    err_free(pod_record_load(p.root, p.uid, &p.record)); /* it helps to choose, no more */
    e = cri ? NULL : find_embedded(&p);
    if (!e)
        *ret = MOVE(p, (PodTarget){0});
    return e;
}

const char *pod_target_sandbox(const PodTarget *p)
{
    LIST_EACH(s, &p->facts.sandboxes)
        if (s->state == SANDBOX_READY)
            return s->id;
    return NULL;
}

bool pod_target_lives(PodTarget *p)
{
    pod_facts_done(&p->facts);
    p->facts = (PodFacts){0};
    err_free(p->peer ? find_sandbox(p) : find_embedded(p));
    return pod_target_sandbox(p) != NULL;
}

static const Container *spec_of(const PodTarget *p, const char *name)
{
    return p->record.pod ? pod_container_named(p->record.pod, name) : NULL;
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
static const ContainerFact *running(const PodTarget *p, const char *name, bool *known)
{
    const ContainerFact *best = NULL;
    LIST_EACH(c, &p->facts.containers) {
        if (name && !str_eq(c->name, name))
            continue;
        *known = true;
        if (c->state == RUN_RUNNING && (!best || c->created_at_ns > best->created_at_ns))
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
    const ContainerFact *c = running(p, name, &known);
    if (!c && !known && !pod)
        return name ? err_new(ERR_NOT_FOUND, 0, "container %s not found in pod %s", name, p->name)
                    : err_new(ERR_NOT_FOUND, 0, "no container of pod %s runs", p->name);
    if (!c) /* the kubelet's words */
        return err_new(ERR_UNAVAILABLE, 0, "unable to upgrade connection: container not found (\"%s\")", str_or(name, ""));
    *ret_name = c->name;
    *ret_id = c->id;
    *ret_spec = spec_of(p, *ret_name);
    return NULL;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

Err *pod_target_exec(PodTarget *p, uv_loop_t *loop, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    if (!p->peer)
        return oci_stream_exec(loop, p->run_dir, p->uid, id, c, ret);
    SCOPED(strvec_done) StrVec command = {0};
    SCOPED(mem_free) char *container = mem_dup_str(id);
    SCOPED(pbjson_free) ProtobufCMessage *answer = NULL;
    for (const char *const *arg = c->argv; *arg; arg++)
        strvec_add(&command, *arg);
    Cri__ExecRequest q;
    cri__exec_request__init(&q);
    q.container_id = container;
    q.n_cmd = command.n;
    q.cmd = command.v;
    q.tty = c->tty;
    q.stdin_ = c->stdin_;
    q.stdout_ = true;
    q.stderr_ = !c->tty;
    Err *e = ask(p, CRI_EXEC, &q.base, &answer);
    return e ? e : cri_stream_dial(loop, ((Cri__ExecResponse *)(void *)answer)->url, 0, c, ret);
}

Err *pod_target_attach(PodTarget *p, uv_loop_t *loop, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    if (!p->peer)
        return oci_stream_attach(loop, p->run_dir, p->uid, id, c, ret);
    SCOPED(mem_free) char *container = mem_dup_str(id);
    SCOPED(pbjson_free) ProtobufCMessage *answer = NULL;
    Cri__AttachRequest q;
    cri__attach_request__init(&q);
    q.container_id = container;
    q.tty = c->tty;
    q.stdin_ = c->stdin_;
    q.stdout_ = true;
    q.stderr_ = !c->tty;
    Err *e = ask(p, CRI_ATTACH, &q.base, &answer);
    return e ? e : cri_stream_dial(loop, ((Cri__AttachResponse *)(void *)answer)->url, 0, c, ret);
}

Err *pod_target_port(PodTarget *p, uv_loop_t *loop, unsigned port, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    const char *sandbox = pod_target_sandbox(p);
    if (!sandbox)
        return err_new(ERR_UNAVAILABLE, 0, "lost connection to pod");
    if (!p->peer)
        return oci_stream_port(loop, p->run_dir, p->uid, sandbox, port, c, ret);
    SCOPED(mem_free) char *id = mem_dup_str(sandbox);
    SCOPED(pbjson_free) ProtobufCMessage *answer = NULL;
    Cri__PortForwardRequest q;
    cri__port_forward_request__init(&q);
    q.pod_sandbox_id = id;
    Err *e = ask(p, CRI_PORT_FORWARD, &q.base, &answer);
    return e ? e : cri_stream_dial(loop, ((Cri__PortForwardResponse *)(void *)answer)->url, port, c, ret);
}
