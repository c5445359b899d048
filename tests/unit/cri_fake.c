#include "cri_fake.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/fs.h"
#include "runtime/cri/containerd_events.pb-c.h"
#include "runtime/cri/cri_priv.h"
#include "wire/pbjson.h"

#define MAX_ITEMS 256

struct FakeCall {
    CriFake *fake;
    CriMethod method;
    GrpcServed *served;
    Str request;
    bool done; /* <answer> is there */
    int code;
    char *text;
    Str answer;
    char *until_exit; /* id: a gentle stop */
};

typedef struct { CriFake *fake; CriMethod method; } Served;

static int64_t tick(CriFake *f)
{
    return f->now_ns += NS_PER_MS;
}

static char *new_id(CriFake *f, char kind)
{
    return mem_fmt("%c%063x", kind, ++f->serial);
}

static void pack(Str *to, const void *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    SCOPED(mem_free) uint8_t *bytes = mem_alloc(n + 1);
    str_add_n(to, bytes, protobuf_c_message_pack(message, bytes));
}

static char *text(const char *s)
{
    return (char *)(uintptr_t)str_or(s, "");
}

/* --- records --------------------------------------------------------------------------------------------------------------- */

FakeSandbox *cri_fake_sandbox(const CriFake *f, const char *id)
{
    LIST_EACH(s, &f->sandboxes)
        if (str_eq((*s)->id, id))
            return *s;
    return NULL;
}

FakeContainer *cri_fake_container(const CriFake *f, const char *id)
{
    LIST_EACH(c, &f->containers)
        if (str_eq((*c)->id, id))
            return *c;
    return NULL;
}

FakeContainer *cri_fake_named(const CriFake *f, const char *name)
{
    for (size_t i = f->containers.n; i-- > 0;)
        if (str_eq(f->containers.v[i]->made->config->metadata->name, name))
            return f->containers.v[i];
    return NULL;
}

static void sandbox_free(FakeSandbox *s)
{
    cri__run_pod_sandbox_request__free_unpacked(s->made, NULL);
    free(s->id);
    free(s);
}

static void container_free(FakeContainer *c)
{
    cri__create_container_request__free_unpacked(c->made, NULL);
    free(c->id);
    free(c);
}

static FakeSandbox *sandbox_make(CriFake *f, const uint8_t *bytes, size_t n)
{
    FakeSandbox *s = NEW(FakeSandbox);
    *s = (FakeSandbox){.id = new_id(f, 'a'), .made = cri__run_pod_sandbox_request__unpack(NULL, n, bytes), .created_at = tick(f)};
    (void)snprintf(s->ip, sizeof s->ip, "10.88.0.%u", f->serial % 200 + 2);
    *LIST_ADD(&f->sandboxes) = s;
    return s;
}

static FakeContainer *container_make(CriFake *f, const uint8_t *bytes, size_t n)
{
    FakeContainer *c = NEW(FakeContainer);
    *c = (FakeContainer){.id = new_id(f, 'c'), .made = cri__create_container_request__unpack(NULL, n, bytes), .created_at = tick(f)};
    *LIST_ADD(&f->containers) = c;
    return c;
}

static void drop_container(CriFake *f, FakeContainer *c)
{
    for (size_t i = 0; i < f->containers.n; i++)
        if (f->containers.v[i] == c) {
            memmove(&f->containers.v[i], &f->containers.v[i + 1], (f->containers.n - i - 1) * sizeof f->containers.v[0]);
            f->containers.n--;
            break;
        }
    container_free(c);
}

FakeSandbox *cri_fake_add_sandbox(CriFake *f, const char *uid, const char *root)
{
    Cri__PodSandboxMetadata md = CRI__POD_SANDBOX_METADATA__INIT;
    Cri__PodSandboxConfig__LabelsEntry u = CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT,
                                       r = CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT, *labels[] = {&u, &r};
    Cri__PodSandboxConfig c = CRI__POD_SANDBOX_CONFIG__INIT;
    Cri__RunPodSandboxRequest q = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
    md.name = text("pod");
    md.namespace_ = text("default");
    md.uid = text(uid);
    u.key = text(LABEL_POD_UID);
    u.value = text(uid);
    r.key = text(LABEL_ROOT);
    r.value = text(root);
    c.metadata = &md;
    c.log_directory = text("/nowhere");
    c.labels = labels;
    c.n_labels = root ? 2 : 1;
    q.config = &c;
    SCOPED(str_done) Str s = {0};
    pack(&s, &q);
    return sandbox_make(f, (const uint8_t *)s.p, s.n);
}

FakeContainer *cri_fake_add_container(CriFake *f, FakeSandbox *s, const char *name, Cri__ContainerState state, const char *root)
{
    Cri__ContainerMetadata md = CRI__CONTAINER_METADATA__INIT;
    Cri__ContainerConfig__LabelsEntry u = CRI__CONTAINER_CONFIG__LABELS_ENTRY__INIT, r = CRI__CONTAINER_CONFIG__LABELS_ENTRY__INIT,
                                      *labels[] = {&u, &r};
    Cri__ContainerConfig c = CRI__CONTAINER_CONFIG__INIT;
    Cri__CreateContainerRequest q = CRI__CREATE_CONTAINER_REQUEST__INIT;
    md.name = text(name);
    u.key = text(LABEL_POD_UID);
    u.value = s->made->config->metadata->uid;
    r.key = text(LABEL_ROOT);
    r.value = text(root);
    c.metadata = &md;
    c.labels = labels;
    c.n_labels = root ? 2 : 1;
    q.pod_sandbox_id = s->id;
    q.config = &c;
    q.sandbox_config = s->made->config;
    SCOPED(str_done) Str bytes = {0};
    pack(&bytes, &q);
    FakeContainer *k = container_make(f, (const uint8_t *)bytes.p, bytes.n);
    k->state = state;
    if (state != CRI__CONTAINER_STATE__CONTAINER_CREATED)
        k->started_at = tick(f);
    if (state == CRI__CONTAINER_STATE__CONTAINER_EXITED)
        k->finished_at = tick(f);
    return k;
}

/* --- as messages, which borrow -------------------------------------------------------------------------------------------------- */

typedef struct {
    Cri__ContainerStatus m;
    Cri__ImageSpec image;
    char log_path[512];
} StatusMessage;

static void status_message(const CriFake *f, const FakeContainer *c, StatusMessage *s)
{
    const Cri__ContainerConfig *g = c->made->config;
    s->m = (Cri__ContainerStatus)CRI__CONTAINER_STATUS__INIT;
    s->image = (Cri__ImageSpec)CRI__IMAGE_SPEC__INIT;
    s->image.image = g->image ? g->image->image : text("");
    s->image.user_specified_image = g->image ? g->image->user_specified_image : text("");
    s->m.id = c->id;
    s->m.metadata = g->metadata;
    s->m.state = c->state;
    s->m.created_at = c->created_at;
    s->m.started_at = c->started_at;
    s->m.finished_at = c->finished_at;
    s->m.exit_code = c->state == CRI__CONTAINER_STATE__CONTAINER_EXITED ? c->exit_code : 0;
    s->m.image = &s->image;
    s->m.image_id = s->image.image;
    bool ended = c->state == CRI__CONTAINER_STATE__CONTAINER_EXITED;
    s->m.reason = text(!ended ? "" : c->reason ? c->reason : c->exit_code ? "Error" : "Completed");
    s->m.message = text(c->message);
    s->m.n_labels = g->n_labels;
    s->m.labels = (Cri__ContainerStatus__LabelsEntry **)g->labels; /* all maps have one layout */
    s->m.n_annotations = g->n_annotations;
    s->m.annotations = (Cri__ContainerStatus__AnnotationsEntry **)g->annotations;
    (void)snprintf(s->log_path, sizeof s->log_path, "%s/%s", c->made->sandbox_config->log_directory, g->log_path);
    s->m.log_path = s->log_path;
    s->m.stop_signal = f->no_stop_signal ? 0 : g->stop_signal;
}

uint8_t *cri_fake_status(const CriFake *f, const FakeContainer *c, size_t *ret_n)
{
    StatusMessage s;
    status_message(f, c, &s);
    *ret_n = cri__container_status__get_packed_size(&s.m);
    uint8_t *bytes = mem_alloc(*ret_n + 1);
    (void)cri__container_status__pack(&s.m, bytes);
    return bytes;
}

typedef struct {
    Cri__PodSandboxStatus m;
    Cri__PodSandboxNetworkStatus network;
    Cri__LinuxPodSandboxStatus linux_;
    Cri__Namespace ns;
    Cri__NamespaceOption options;
    char ip[16];
} SandboxMessage;

static void sandbox_message(const FakeSandbox *x, SandboxMessage *s)
{
    const Cri__PodSandboxConfig *g = x->made->config;
    *s = (SandboxMessage){.m = CRI__POD_SANDBOX_STATUS__INIT, .network = CRI__POD_SANDBOX_NETWORK_STATUS__INIT,
                          .linux_ = CRI__LINUX_POD_SANDBOX_STATUS__INIT, .ns = CRI__NAMESPACE__INIT,
                          .options = CRI__NAMESPACE_OPTION__INIT};
    if (g->linux_ && g->linux_->security_context && g->linux_->security_context->namespace_options)
        s->options = *g->linux_->security_context->namespace_options;
    memcpy(s->ip, x->ip, sizeof s->ip);
    s->network.ip = s->ip;
    s->ns.options = &s->options;
    s->linux_.namespaces = &s->ns;
    s->m.id = x->id;
    s->m.metadata = g->metadata;
    s->m.state = x->state;
    s->m.created_at = x->created_at;
    s->m.network = &s->network;
    s->m.linux_ = &s->linux_;
    s->m.n_labels = g->n_labels;
    s->m.labels = (Cri__PodSandboxStatus__LabelsEntry **)g->labels;
    s->m.n_annotations = g->n_annotations;
    s->m.annotations = (Cri__PodSandboxStatus__AnnotationsEntry **)g->annotations;
}

/* --- events ------------------------------------------------------------------------------------------------------------------------- */

static bool tells(const CriFake *f, unsigned how)
{
    return (how & FAKE_EVENT) != 0 && (f->task_streams.n || f->cri_streams.n);
}

void cri_fake_cri_event(CriFake *f, const char *id, Cri__ContainerEventType type)
{
    const FakeContainer *c = cri_fake_container(f, id);
    const FakeSandbox *s = cri_fake_sandbox(f, c ? c->made->pod_sandbox_id : id);
    static StatusMessage all[MAX_ITEMS];
    Cri__ContainerStatus *statuses[MAX_ITEMS];
    SandboxMessage sandbox;
    Cri__ContainerEventResponse e = CRI__CONTAINER_EVENT_RESPONSE__INIT;
    e.container_id = text(id);
    e.container_event_type = type;
    e.created_at = tick(f);
    e.containers_statuses = statuses;
    if (s) {
        sandbox_message(s, &sandbox);
        e.pod_sandbox_status = &sandbox.m;
    }
    LIST_EACH(k, &f->containers)
        if (s && str_eq((*k)->made->pod_sandbox_id, s->id) && e.n_containers_statuses < MAX_ITEMS) {
            status_message(f, *k, &all[e.n_containers_statuses]);
            statuses[e.n_containers_statuses] = &all[e.n_containers_statuses].m;
            e.n_containers_statuses++;
        }
    SCOPED(str_done) Str bytes = {0};
    pack(&bytes, &e);
    LIST_EACH(x, &f->cri_streams)
        grpc_served_send(*x, str_or(bytes.p, ""), bytes.n);
}

static void task_event(CriFake *f, const char *topic, const void *message)
{
    Ctrd__Envelope e = CTRD__ENVELOPE__INIT;
    Ctrd__Any any = CTRD__ANY__INIT;
    Ctrd__Timestamp at = CTRD__TIMESTAMP__INIT;
    SCOPED(str_done) Str inner = {0}, bytes = {0};
    pack(&inner, message);
    any.value.data = (uint8_t *)inner.p;
    any.value.len = inner.n;
    at.seconds = f->now_ns / NS_PER_S;
    at.nanos = (int32_t)(f->now_ns % NS_PER_S);
    e.topic = text(topic);
    e.event = &any;
    e.timestamp = &at;
    pack(&bytes, &e);
    LIST_EACH(x, &f->task_streams)
        grpc_served_send(*x, bytes.p, bytes.n);
}

static void task_exit(CriFake *f, const char *id, int32_t code)
{
    Ctrd__TaskExit x = CTRD__TASK_EXIT__INIT;
    Ctrd__Timestamp at = CTRD__TIMESTAMP__INIT;
    at.seconds = f->now_ns / NS_PER_S;
    at.nanos = (int32_t)(f->now_ns % NS_PER_S);
    x.container_id = x.id = text(id);
    x.exit_status = (uint32_t)code;
    x.exited_at = &at;
    task_event(f, "/tasks/exit", &x);
}

void cri_fake_oom(CriFake *f, const char *id)
{
    Ctrd__TaskOOM x = CTRD__TASK_OOM__INIT;
    x.container_id = text(id);
    task_event(f, "/tasks/oom", &x);
}

void cri_fake_start(CriFake *f, FakeContainer *c, unsigned how)
{
    if (how & FAKE_RECORD) {
        c->state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
        c->started_at = tick(f);
        c->starts++;
    }
    if (!tells(f, how))
        return;
    Ctrd__TaskStart x = CTRD__TASK_START__INIT;
    x.container_id = c->id;
    x.pid = 1000;
    task_event(f, "/tasks/start", &x);
    cri_fake_cri_event(f, c->id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT);
}

static void stops_answered(CriFake *f, const char *id);

void cri_fake_exit(CriFake *f, FakeContainer *c, int32_t code, unsigned how)
{
    if (how & FAKE_RECORD) {
        c->state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
        c->exit_code = code;
        c->finished_at = tick(f);
    }
    if (tells(f, how)) {
        task_exit(f, c->id, code);
        cri_fake_cri_event(f, c->id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT);
    }
    if (how & FAKE_RECORD)
        stops_answered(f, c->id);
}

void cri_fake_sandbox_dies(CriFake *f, FakeSandbox *s, unsigned how)
{
    if (how & FAKE_RECORD)
        s->state = CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
    if (!tells(f, how))
        return;
    task_exit(f, s->id, 137);
    cri_fake_cri_event(f, s->id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT);
}

void cri_fake_remove(CriFake *f, FakeContainer *c, unsigned how)
{
    SCOPED(mem_free) char *id = mem_dup_str(c->id);
    drop_container(f, c);
    if (tells(f, how))
        cri_fake_cri_event(f, id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT);
}

/* --- the methods: each answers into <out>, or returns a code with <text> ------------------------------------------------------------ */

typedef int Serve(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **text);

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
    r.runtime_name = text("containerd");
    r.runtime_version = text("9.9");
    pack(out, &r);
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
    ready.type = text("RuntimeReady");
    ready.status = !f->not_ready;
    ready.reason = text(f->not_ready ? "Starting" : "");
    ready.message = text(f->not_ready ? "wait" : "");
    st.n_conditions = 1;
    st.conditions = conditions;
    r.status = &st;
    info.key = text("config");
    info.value = text(f->systemd ? "{\"containerd\":{\"defaultRuntimeName\":\"runc\",\"runtimes\":{\"runc\":{\"options\":"
                                   "{\"SystemdCgroup\":true}}}}}"
                                 : "{}");
    r.n_info = 1;
    r.info = infos;
    pack(out, &r);
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
    pack(out, &r);
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
    r.pod_sandbox_id = sandbox_make(f, (const uint8_t *)call->request.p, call->request.n)->id;
    if (!f->quiet)
        cri_fake_cri_event(f, r.pod_sandbox_id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STARTED_EVENT);
    pack(out, &r);
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
    sandbox_free(s);
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
    sandbox_message(s, &m);
    r.status = &m.m;
    pack(out, &r);
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
    pack(out, &r);
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
    pack(out, &r);
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
    r.container_id = container_make(f, (const uint8_t *)call->request.p, call->request.n)->id;
    if (!f->quiet)
        cri_fake_cri_event(f, r.container_id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_CREATED_EVENT);
    pack(out, &r);
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
    status_message(f, c, &s);
    r.status = &s.m;
    pack(out, &r);
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
    status_message(f, c, &s);
    err_free(fs_write_atomic(s.log_path, "", 0, 0640, false));
    return GRPC_OK;
}

static int serve_exec(CriFake *f, FakeCall *call, const ProtobufCMessage *request, Str *out, char **ret)
{
    Cri__ExecSyncResponse r = CRI__EXEC_SYNC_RESPONSE__INIT;
    (void)call;
    (void)request;
    (void)ret;
    r.stdout_ = (ProtobufCBinaryData){strlen(str_or(f->exec_out, "")), (uint8_t *)text(f->exec_out)};
    r.stderr_ = (ProtobufCBinaryData){strlen(str_or(f->exec_err, "")), (uint8_t *)text(f->exec_err)};
    r.exit_code = f->exec_code;
    pack(out, &r);
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
    if (i && (i->here || pulled(f, i))) {
        m.id = text(i->id);
        m.username = text(i->user);
        uid.value = i->uid;
        m.uid = i->uid >= 0 ? &uid : NULL;
        r.image = &m;
    }
    pack(out, &r);
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
    r.image_ref = text(i->id);
    pack(out, &r);
    return GRPC_OK;
}

static Serve *const serves[CRI_METHOD_N] = {
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

/* --- calls and their fates -------------------------------------------------------------------------------------------------------- */

static void call_free(FakeCall *c)
{
    str_done(&c->request);
    str_done(&c->answer);
    free(c->text);
    free(c->until_exit);
    free(c);
}

static void call_do(FakeCall *c)
{
    SCOPED(pbjson_free) ProtobufCMessage *q =
        protobuf_c_message_unpack(cri_methods[c->method].request, NULL, c->request.n, (const uint8_t *)str_or(c->request.p, ""));
    c->done = true;
    c->code = serves[c->method](c->fake, c, q, &c->answer, &c->text);
}

/* <c> is gone. */
static void call_answer(FakeCall *c)
{
    if (c->code == GRPC_OK)
        grpc_served_send(c->served, str_or(c->answer.p, ""), c->answer.n);
    grpc_served_finish(c->served, c->code, str_or(c->text, ""));
    call_free(c);
}

static void hold(FakeCall *c)
{
    *LIST_ADD(&c->fake->held) = c;
}

static FakeCall *unhold(CriFake *f, size_t i)
{
    FakeCall *c = f->held.v[i];
    memmove(&f->held.v[i], &f->held.v[i + 1], (f->held.n - i - 1) * sizeof f->held.v[0]);
    f->held.n--;
    return c;
}

static void stops_answered(CriFake *f, const char *id)
{
    for (size_t i = f->held.n; i-- > 0;)
        if (str_eq(f->held.v[i]->until_exit, id)) {
            FakeCall *c = unhold(f, i);
            c->code = GRPC_OK;
            call_answer(c);
        }
}

void cri_fake_release_at(CriFake *f, size_t i)
{
    FakeCall *c = unhold(f, i);
    if (!c->done)
        call_do(c);
    if (c->until_exit) /* its answer waits for something else */
        hold(c);
    else
        call_answer(c);
}

bool cri_fake_release(CriFake *f, CriMethod m)
{
    for (size_t i = 0; i < f->held.n; i++)
        if (f->held.v[i]->method == m) {
            cri_fake_release_at(f, i);
            return true;
        }
    return false;
}

void cri_fake_release_all(CriFake *f)
{
    for (size_t n = f->held.n; n-- > 0;)
        cri_fake_release_at(f, 0);
}

unsigned cri_fake_held(const CriFake *f, CriMethod m)
{
    unsigned n = 0;
    LIST_EACH(c, &f->held)
        n += (*c)->method == m && !(*c)->until_exit;
    return n;
}

void cri_fake_rule(CriFake *f, CriMethod m, unsigned skip, Fate fate, int code, const char *why)
{
    *LIST_ADD(&f->rules) = (FakeRule){.method = m, .skip = skip, .fate = fate, .code = code, .text = why};
}

void cri_fake_always(CriFake *f, CriMethod m, Fate fate, int code, const char *why)
{
    *LIST_ADD(&f->rules) = (FakeRule){.method = m, .fate = fate, .code = code, .text = why, .always = true};
}

static FakeRule rule_of(CriFake *f, CriMethod m)
{
    for (size_t i = 0; i < f->rules.n; i++) {
        FakeRule r = f->rules.v[i];
        if (r.method != m)
            continue;
        if (r.always)
            return r;
        if (r.skip) {
            f->rules.v[i].skip--;
            continue;
        }
        memmove(&f->rules.v[i], &f->rules.v[i + 1], (f->rules.n - i - 1) * sizeof r);
        f->rules.n--;
        return r;
    }
    return (FakeRule){.fate = f->hold_all ? FATE_HOLD : FATE_SERVE};
}

static void note(CriFake *f, CriMethod m, const uint8_t *bytes, size_t n)
{
    f->calls[m]++;
    if (f->last[m])
        protobuf_c_message_free_unpacked(f->last[m], NULL);
    f->last[m] = protobuf_c_message_unpack(cri_methods[m].request, NULL, n, bytes);
    if (m == CRI_PULL_IMAGE) {
        const Cri__PullImageRequest *q = (const Cri__PullImageRequest *)f->last[m];
        strvec_fmt(&f->pulls, "%s %s", q->image->image, q->auth ? q->auth->username : "-");
    }
}

static void lose(FakeCall *c)
{
    CriFake *f = c->fake;
    call_free(c); /* the server tells nobody of it: it is not held */
    cri_fake_down(f);
    cri_fake_up(f);
}

static void on_call(void *arg, GrpcServed *served, const uint8_t *bytes, size_t n)
{
    const Served *s = arg;
    CriFake *f = s->fake;
    FakeRule r = rule_of(f, s->method);
    note(f, s->method, bytes, n);
    FakeCall *c = NEW(FakeCall);
    *c = (FakeCall){.fake = f, .method = s->method, .served = served};
    str_add_n(&c->request, bytes, n);
    if (r.fate != FATE_FAIL && r.fate != FATE_HOLD_FIRST && r.fate != FATE_LOSE_FIRST)
        call_do(c);
    if (r.fate == FATE_FAIL || r.fate == FATE_FAIL_AFTER) {
        c->code = r.code;
        mem_set_str(&c->text, r.text);
    }
    if (r.fate == FATE_GARBAGE) {
        str_clear(&c->answer);
        str_add(&c->answer, "\377\377\377");
    }
    if (r.fate == FATE_TWICE)
        grpc_served_send(served, str_or(c->answer.p, ""), c->answer.n);
    if (r.fate == FATE_LOSE || r.fate == FATE_LOSE_FIRST)
        lose(c);
    else if (r.fate == FATE_HOLD || r.fate == FATE_HOLD_FIRST || c->until_exit)
        hold(c);
    else
        call_answer(c);
}

static void on_gone(void *arg, GrpcServed *served)
{
    CriFake *f = ((const Served *)arg)->fake;
    for (size_t i = f->held.n; i-- > 0;)
        if (f->held.v[i]->served == served)
            call_free(unhold(f, i));
}

static void on_stream(void *arg, GrpcServed *served, const uint8_t *bytes, size_t n)
{
    const Served *s = arg;
    CriFake *f = s->fake;
    bool cri = s->method == CRI_GET_CONTAINER_EVENTS;
    if (!(f->streams & (cri ? FAKE_CRI_EVENTS : FAKE_TASK_EVENTS))) {
        grpc_served_finish(served, GRPC_UNIMPLEMENTED, "unknown service");
        return;
    }
    if (cri) {
        *LIST_ADD(&f->cri_streams) = served;
        return;
    }
    Ctrd__SubscribeRequest *q = ctrd__subscribe_request__unpack(NULL, n, bytes);
    SCOPED(str_done) Str filters = {0};
    for (size_t i = 0; q && i < q->n_filters; i++)
        str_fmt(&filters, "%s ", q->filters[i]);
    mem_set_str(&f->taskfilter, filters.p);
    ctrd__subscribe_request__free_unpacked(q, NULL);
    *LIST_ADD(&f->task_streams) = served;
}

static void on_stream_gone(void *arg, GrpcServed *served)
{
    CriFake *f = ((const Served *)arg)->fake;
    for (size_t i = f->cri_streams.n; i-- > 0;)
        if (f->cri_streams.v[i] == served)
            f->cri_streams.v[i] = f->cri_streams.v[--f->cri_streams.n];
    for (size_t i = f->task_streams.n; i-- > 0;)
        if (f->task_streams.v[i] == served)
            f->task_streams.v[i] = f->task_streams.v[--f->task_streams.n];
}

void cri_fake_init(CriFake *f, uv_loop_t *loop)
{
    *f = (CriFake){.loop = loop, .dir = "/tmp/reprise-cri-XXXXXX", .streams = FAKE_TASK_EVENTS,
                   .now_ns = INT64_C(1700000000) * NS_PER_S};
    if (!mkdtemp(f->dir))
        abort();
    f->socket = mem_fmt("%s/s", f->dir);
    f->endpoint = mem_fmt("unix://%s", f->socket);
}

void cri_fake_up(CriFake *f)
{
    static Served served[CRI_METHOD_N + 1];
    GrpcMethod methods[CRI_METHOD_N + 2] = {0};
    size_t n = 0;
    for (size_t m = 0; m <= CRI_METHOD_N; m++) {
        served[m] = (Served){f, (CriMethod)m};
        bool stream = m == CRI_GET_CONTAINER_EVENTS || m == CRI_METHOD_N;
        if (!stream && !serves[m])
            continue;
        methods[n++] = (GrpcMethod){.path = m == CRI_METHOD_N ? "/containerd.services.events.v1.Events/Subscribe" : cri_methods[m].path,
                                    .handler = stream ? on_stream : on_call, .cancelled = stream ? on_stream_gone : on_gone,
                                    .arg = &served[m]};
    }
    GrpcServerConfig config = {.loop = f->loop, .socket = f->socket, .methods = methods, .max_message = 16 << 20};
    err_free(grpc_server_new(&config, &f->server));
}

void cri_fake_down(CriFake *f)
{
    grpc_server_free(MOVE(f->server, NULL));
}

void cri_fake_done(CriFake *f)
{
    cri_fake_down(f);
    LIST_EACH(s, &f->sandboxes)
        sandbox_free(*s);
    LIST_EACH(c, &f->containers)
        container_free(*c);
    for (size_t m = 0; m < CRI_METHOD_N; m++)
        if (f->last[m])
            protobuf_c_message_free_unpacked(f->last[m], NULL);
    free(f->sandboxes.v);
    free(f->containers.v);
    free(f->held.v);
    free(f->rules.v);
    free(f->cri_streams.v);
    free(f->task_streams.v);
    strvec_done(&f->pulls);
    free(f->taskfilter);
    free(f->socket);
    free(f->endpoint);
    err_free(fs_remove_tree(f->dir));
}
