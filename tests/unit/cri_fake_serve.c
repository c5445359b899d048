/* The methods, as strict as containerd's. */
#include "cri_fake_priv.h"

static unsigned auto_how(const CriFake *f)
{
    return f->quiet ? FAKE_RECORD : FAKE_RECORD | FAKE_EVENT;
}

static int not_found(char **ret, const char *what, const char *id)
{
    *ret = mem_fmt("an error occurred when try to find %s \"%s\": not found", what, id);
    return GRPC_NOT_FOUND;
}

static int serve_version(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    Cri__VersionResponse r = CRI__VERSION_RESPONSE__INIT;
    (void)call;
    (void)request;
    if (f->old_api) {
        *ret = mem_dup_str("unknown service runtime.v1.RuntimeService");
        return GRPC_UNIMPLEMENTED;
    }
    r.runtime_name = fake_text("containerd");
    r.runtime_version = fake_text("9.9");
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_status(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    Cri__StatusResponse r = CRI__STATUS_RESPONSE__INIT;
    Cri__RuntimeStatus st = CRI__RUNTIME_STATUS__INIT;
    Cri__RuntimeCondition ready = CRI__RUNTIME_CONDITION__INIT, *conditions[] = {&ready};
    Cri__StatusResponse__InfoEntry info = CRI__STATUS_RESPONSE__INFO_ENTRY__INIT, *infos[] = {&info};
    (void)call;
    (void)request;
    (void)ret;
    ready.type = fake_text("RuntimeReady");
    ready.status = !f->not_ready;
    ready.reason = fake_text(f->not_ready ? "Starting" : "");
    ready.message = fake_text(f->not_ready ? "wait" : "");
    st.n_conditions = 1;
    st.conditions = conditions;
    r.status = &st;
    info.key = fake_text("config");
    info.value = fake_text(f->systemd ? "{\"containerd\":{\"defaultRuntimeName\":\"runc\",\"runtimes\":{\"runc\":{\"options\":"
                                   "{\"SystemdCgroup\":true}}}}}"
                                 : "{}");
    r.n_info = 1;
    r.info = infos;
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_config(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    Cri__RuntimeConfigResponse r = CRI__RUNTIME_CONFIG_RESPONSE__INIT;
    Cri__LinuxRuntimeConfiguration l = CRI__LINUX_RUNTIME_CONFIGURATION__INIT;
    (void)call;
    (void)request;
    if (f->no_runtime_config) {
        *ret = mem_dup_str("unknown method RuntimeConfig for service runtime.v1.RuntimeService");
        return GRPC_UNIMPLEMENTED;
    }
    l.cgroup_driver = f->systemd ? CRI__CGROUP_DRIVER__SYSTEMD : CRI__CGROUP_DRIVER__CGROUPFS;
    r.linux_ = &l;
    fake_pack(out, &r);
    return GRPC_OK;
}

static int reserved(CriFake *f, char **ret, const char *what, const char *name, const char *by)
{
    f->reserved++;
    *ret = mem_fmt("failed to reserve %s name \"%s\": name \"%s\" is reserved for \"%s\"", what, name, name, by);
    return GRPC_UNKNOWN;
}

static int serve_run(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const Cri__RunPodSandboxRequest *q = (const Cri__RunPodSandboxRequest *)request;
    const Cri__PodSandboxMetadata *m = q->config->metadata;
    LIST_EACH(s, &f->sandboxes) {
        const Cri__PodSandboxMetadata *k = (*s)->made->config->metadata;
        if (str_eq(k->name, m->name) && str_eq(k->namespace_, m->namespace_) && str_eq(k->uid, m->uid) && k->attempt == m->attempt)
            return reserved(f, ret, "sandbox", m->name, (*s)->id);
    }
    Cri__RunPodSandboxResponse r = CRI__RUN_POD_SANDBOX_RESPONSE__INIT;
    r.pod_sandbox_id = fake_sandbox_make(f, (const uint8_t *)call->request.p, call->request.n)->id;
    if (!f->quiet)
        cri_fake_cri_event(f, r.pod_sandbox_id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT);
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_stop_sandbox(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    FakeSandbox *s = cri_fake_sandbox(f, ((const Cri__StopPodSandboxRequest *)request)->pod_sandbox_id);
    (void)call;
    (void)out;
    (void)ret;
    LIST_EACH(c, &f->containers)
        if (s && str_eq((*c)->made->pod_sandbox_id, s->id) && (*c)->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING)
            cri_fake_exit(f, *c, 137, auto_how(f));
    if (s)
        cri_fake_sandbox_dies(f, s, auto_how(f));
    return GRPC_OK;
}

static int serve_remove_sandbox(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    FakeSandbox *s = cri_fake_sandbox(f, ((const Cri__RemovePodSandboxRequest *)request)->pod_sandbox_id);
    (void)call;
    (void)out;
    (void)ret;
    if (!s)
        return GRPC_OK;
    for (size_t i = f->containers.n; i-- > 0;)
        if (str_eq(f->containers.v[i]->made->pod_sandbox_id, s->id))
            cri_fake_remove(f, f->containers.v[i], auto_how(f));
    for (size_t i = 0; i < f->sandboxes.n; i++)
        if (f->sandboxes.v[i] == s)
            f->sandboxes.v[i] = f->sandboxes.v[--f->sandboxes.n];
    fake_sandbox_free(s);
    return GRPC_OK;
}

static int serve_sandbox_status(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const char *id = ((const Cri__PodSandboxStatusRequest *)request)->pod_sandbox_id;
    const FakeSandbox *s = cri_fake_sandbox(f, id);
    Cri__PodSandboxStatusResponse r = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
    SandboxMessage m;
    (void)call;
    if (!s)
        return not_found(ret, "sandbox", id);
    fake_sandbox_message(s, &m);
    r.status = &m.m;
    fake_pack(out, &r);
    return GRPC_OK;
}

/* Every pair of the selector is among the labels. */
static bool selected(Cri__PodSandboxStatus__AnnotationsEntry *const *labels, size_t n,
                     Cri__PodSandboxStatus__AnnotationsEntry *const *want, size_t n_want)
{
    for (size_t i = 0; i < n_want; i++)
        if (!str_eq(cri_note(labels, n, want[i]->key), want[i]->value))
            return false;
    return true;
}
#define ENTRIES(v) ((Cri__PodSandboxStatus__AnnotationsEntry *const *)(v))

static int serve_sandboxes(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const Cri__PodSandboxFilter *want = ((const Cri__ListPodSandboxRequest *)request)->filter;
    Cri__ListPodSandboxResponse r = CRI__LIST_POD_SANDBOX_RESPONSE__INIT;
    Cri__PodSandbox items[MAX_ITEMS], *v[MAX_ITEMS];
    (void)call;
    (void)ret;
    f->unlabelled_lists += !want || !want->n_label_selector;
    r.items = v;
    LIST_EACH(s, &f->sandboxes) {
        const Cri__PodSandboxConfig *g = (*s)->made->config;
        if (want && !selected(ENTRIES(g->labels), g->n_labels, ENTRIES(want->label_selector), want->n_label_selector))
            continue;
        Cri__PodSandbox *x = v[r.n_items] = &items[r.n_items];
        r.n_items++;
        *x = (Cri__PodSandbox)CRI__POD_SANDBOX__INIT;
        x->id = (*s)->id;
        x->metadata = g->metadata;
        x->state = (*s)->state;
        x->created_at = (*s)->created_at;
        x->n_labels = g->n_labels;
        x->labels = (Cri__PodSandbox__LabelsEntry **)g->labels;
        x->n_annotations = g->n_annotations;
        x->annotations = (Cri__PodSandbox__AnnotationsEntry **)g->annotations;
    }
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_containers(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const Cri__ContainerFilter *want = ((const Cri__ListContainersRequest *)request)->filter;
    Cri__ListContainersResponse r = CRI__LIST_CONTAINERS_RESPONSE__INIT;
    Cri__Container items[MAX_ITEMS], *v[MAX_ITEMS];
    (void)call;
    (void)ret;
    f->unlabelled_lists += !want || (!want->n_label_selector && str_empty(want->pod_sandbox_id));
    r.containers = v;
    LIST_EACH(c, &f->containers) {
        const Cri__ContainerConfig *g = (*c)->made->config;
        if (want && ((!str_empty(want->pod_sandbox_id) && !str_eq(want->pod_sandbox_id, (*c)->made->pod_sandbox_id)) ||
                     !selected(ENTRIES(g->labels), g->n_labels, ENTRIES(want->label_selector), want->n_label_selector)))
            continue;
        Cri__Container *x = v[r.n_containers] = &items[r.n_containers];
        r.n_containers++;
        *x = (Cri__Container)CRI__CONTAINER__INIT;
        x->id = (*c)->id;
        x->pod_sandbox_id = (*c)->made->pod_sandbox_id;
        x->metadata = g->metadata;
        x->state = (*c)->state;
        x->created_at = (*c)->created_at;
        x->n_labels = g->n_labels;
        x->labels = (Cri__Container__LabelsEntry **)g->labels;
        x->n_annotations = g->n_annotations;
        x->annotations = (Cri__Container__AnnotationsEntry **)g->annotations;
    }
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_create(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const Cri__CreateContainerRequest *q = (const Cri__CreateContainerRequest *)request;
    const Cri__ContainerMetadata *m = q->config->metadata;
    if (!cri_fake_sandbox(f, q->pod_sandbox_id))
        return not_found(ret, "sandbox", q->pod_sandbox_id);
    LIST_EACH(c, &f->containers) { /* makeContainerName(): name_pod_namespace_uid_attempt */
        const Cri__ContainerMetadata *k = (*c)->made->config->metadata;
        const Cri__PodSandboxMetadata *a = (*c)->made->sandbox_config->metadata, *b = q->sandbox_config->metadata;
        if (str_eq(k->name, m->name) && k->attempt == m->attempt && str_eq(a->name, b->name) &&
            str_eq(a->namespace_, b->namespace_) && str_eq(a->uid, b->uid))
            return reserved(f, ret, "container", m->name, (*c)->id);
    }
    Cri__CreateContainerResponse r = CRI__CREATE_CONTAINER_RESPONSE__INIT;
    r.container_id = fake_container_make(f, (const uint8_t *)call->request.p, call->request.n)->id;
    if (!f->quiet)
        cri_fake_cri_event(f, r.container_id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT);
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_start(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const char *id = ((const Cri__StartContainerRequest *)request)->container_id;
    FakeContainer *c = cri_fake_container(f, id);
    (void)call;
    (void)out;
    if (!c)
        return not_found(ret, "container", id);
    if (c->state != CRI__CONTAINER_STATE__CONTAINER_CREATED) {
        *ret = mem_fmt("failed to set starting state for container \"%s\": not in created state", id);
        return GRPC_UNKNOWN;
    }
    if (c->start_error) {
        c->reason = "StartError";
        c->message = c->start_error;
        cri_fake_exit(f, c, 128, FAKE_RECORD);
        *ret = mem_dup_str(c->start_error);
        return GRPC_UNKNOWN;
    }
    cri_fake_start(f, c, auto_how(f));
    if (c->ends_at_once)
        cri_fake_exit(f, c, c->exit_code, auto_how(f));
    return GRPC_OK;
}

static int serve_stop(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const Cri__StopContainerRequest *q = (const Cri__StopContainerRequest *)request;
    FakeContainer *c = cri_fake_container(f, q->container_id);
    (void)out;
    if (!c)
        return not_found(ret, "container", q->container_id);
    if (q->timeout)
        c->terms++;
    else
        c->kills++;
    if (c->state != CRI__CONTAINER_STATE__CONTAINER_RUNNING)
        return GRPC_OK;
    if (q->timeout) {
        call->until_exit = mem_dup_str(c->id);
        return -1; /* answered when it has ended */
    }
    cri_fake_exit(f, c, 137, auto_how(f));
    return GRPC_OK;
}

static int serve_remove(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const char *id = ((const Cri__RemoveContainerRequest *)request)->container_id;
    FakeContainer *c = cri_fake_container(f, id);
    (void)call;
    (void)out;
    if (!c)
        return not_found(ret, "container", id);
    cri_fake_remove(f, c, auto_how(f));
    return GRPC_OK;
}

static int serve_container_status(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const char *id = ((const Cri__ContainerStatusRequest *)request)->container_id;
    const FakeContainer *c = cri_fake_container(f, id);
    Cri__ContainerStatusResponse r = CRI__CONTAINER_STATUS_RESPONSE__INIT;
    StatusMessage s;
    (void)call;
    if (!c)
        return not_found(ret, "container", id);
    fake_status_message(f, c, &s);
    r.status = &s.m;
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_reopen(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const char *id = ((const Cri__ReopenContainerLogRequest *)request)->container_id;
    const FakeContainer *c = cri_fake_container(f, id);
    StatusMessage s;
    (void)call;
    (void)out;
    if (!c)
        return not_found(ret, "container", id);
    fake_status_message(f, c, &s);
    err_free(fs_write_atomic(s.log_path, "", 0, 0640, false));
    return GRPC_OK;
}

static int serve_exec(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    Cri__ExecSyncResponse r = CRI__EXEC_SYNC_RESPONSE__INIT;
    (void)call;
    (void)request;
    (void)ret;
    r.stdout_ = (ProtobufCBinaryData){strlen(str_or(f->exec_out, "")), (uint8_t *)fake_text(f->exec_out)};
    r.stderr_ = (ProtobufCBinaryData){strlen(str_or(f->exec_err, "")), (uint8_t *)fake_text(f->exec_err)};
    r.exit_code = f->exec_code;
    fake_pack(out, &r);
    return GRPC_OK;
}

static const FakeImage *image_of(const CriFake *f, const char *name)
{
    for (size_t i = 0; i < f->n_images; i++)
        if (str_eq(f->images[i].name, name) || str_eq(f->images[i].id, name))
            return &f->images[i];
    return NULL;
}

static bool pulled(const CriFake *f, const FakeImage *i)
{
    for (size_t k = 0; k < f->pulls.n; k++)
        if (str_starts(f->pulls.v[k], i->name))
            return true;
    return false;
}

static int serve_image_status(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const FakeImage *i = image_of(f, ((const Cri__ImageStatusRequest *)request)->image->image);
    Cri__ImageStatusResponse r = CRI__IMAGE_STATUS_RESPONSE__INIT;
    Cri__Image m = CRI__IMAGE__INIT;
    Cri__Int64Value uid = CRI__INT64_VALUE__INIT;
    (void)call;
    (void)ret;
    if (i && (i->here || (pulled(f, i) && !i->vanishes))) {
        m.id = fake_text(i->id);
        m.username = fake_text(i->user);
        uid.value = i->uid;
        m.uid = i->uid >= 0 ? &uid : NULL;
        r.image = &m;
    }
    fake_pack(out, &r);
    return GRPC_OK;
}

static int serve_pull(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    const Cri__PullImageRequest *q = (const Cri__PullImageRequest *)request;
    const FakeImage *i = image_of(f, q->image->image);
    Cri__PullImageResponse r = CRI__PULL_IMAGE_RESPONSE__INIT;
    (void)call;
    if (!i)
        return not_found(ret, "image", q->image->image);
    r.image_ref = fake_text(i->id);
    fake_pack(out, &r);
    return GRPC_OK;
}

Serve *const cri_fake_serves[CRI_METHOD_N] = {
    [CRI_VERSION] = serve_version,
    [CRI_STATUS] = serve_status,
    [CRI_RUNTIME_CONFIG] = serve_config,
    [CRI_RUN_POD_SANDBOX] = serve_run,
    [CRI_STOP_POD_SANDBOX] = serve_stop_sandbox,
    [CRI_REMOVE_POD_SANDBOX] = serve_remove_sandbox,
    [CRI_POD_SANDBOX_STATUS] = serve_sandbox_status,
    [CRI_LIST_POD_SANDBOX] = serve_sandboxes,
    [CRI_CREATE_CONTAINER] = serve_create,
    [CRI_START_CONTAINER] = serve_start,
    [CRI_STOP_CONTAINER] = serve_stop,
    [CRI_REMOVE_CONTAINER] = serve_remove,
    [CRI_LIST_CONTAINERS] = serve_containers,
    [CRI_CONTAINER_STATUS] = serve_container_status,
    [CRI_REOPEN_CONTAINER_LOG] = serve_reopen,
    [CRI_EXEC_SYNC] = serve_exec,
    [CRI_IMAGE_STATUS] = serve_image_status,
    [CRI_PULL_IMAGE] = serve_pull,
};
