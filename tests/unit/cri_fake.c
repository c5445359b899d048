#include "cri_fake_priv.h"

#include "runtime/cri/containerd_events.pb-c.h"

static int64_t tick(CriFake *f)
{
    return f->now_ns += NS_PER_MS;
}

static char *new_id(CriFake *f, char kind)
{
    return mem_fmt("%c%063x", kind, ++f->serial);
}

void fake_pack(Str *to, const void *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    SCOPED(mem_free) uint8_t *bytes = mem_alloc(n + 1);
    str_add_n(to, bytes, protobuf_c_message_pack(message, bytes));
}

char *fake_text(const char *s)
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

void fake_sandbox_free(FakeSandbox *s)
{
    cri__run_pod_sandbox_request__free_unpacked(s->made, NULL);
    free(s->id);
    free(s);
}

void fake_container_free(FakeContainer *c)
{
    cri__create_container_request__free_unpacked(c->made, NULL);
    free(c->id);
    free(c);
}

FakeSandbox *fake_sandbox_make(CriFake *f, const uint8_t *bytes, size_t n)
{
    FakeSandbox *s = NEW(FakeSandbox);
    *s = (FakeSandbox){.id = new_id(f, 'a'), .made = cri__run_pod_sandbox_request__unpack(NULL, n, bytes), .created_at = tick(f)};
    (void)snprintf(s->ip, sizeof s->ip, "10.88.0.%u", f->serial % 200 + 2);
    *LIST_ADD(&f->sandboxes) = s;
    return s;
}

FakeContainer *fake_container_make(CriFake *f, const uint8_t *bytes, size_t n)
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
    fake_container_free(c);
}

FakeSandbox *cri_fake_add_sandbox(CriFake *f, const char *uid, const char *root)
{
    Cri__PodSandboxMetadata md = CRI__POD_SANDBOX_METADATA__INIT;
    Cri__PodSandboxConfig__LabelsEntry u = CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT,
                                       r = CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT, *labels[] = {&u, &r};
    Cri__PodSandboxConfig c = CRI__POD_SANDBOX_CONFIG__INIT;
    Cri__RunPodSandboxRequest q = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
    md.name = fake_text("pod");
    md.namespace_ = fake_text("default");
    md.uid = fake_text(uid);
    u.key = fake_text(LABEL_POD_UID);
    u.value = fake_text(uid);
    r.key = fake_text(LABEL_ROOT);
    r.value = fake_text(root);
    c.metadata = &md;
    c.log_directory = fake_text("/nowhere");
    c.labels = labels;
    c.n_labels = root ? 2 : 1;
    q.config = &c;
    SCOPED(str_done) Str s = {0};
    fake_pack(&s, &q);
    return fake_sandbox_make(f, (const uint8_t *)s.p, s.n);
}

FakeContainer *cri_fake_add_container(CriFake *f, FakeSandbox *s, const char *name, Cri__ContainerState state, const char *root)
{
    Cri__ContainerMetadata md = CRI__CONTAINER_METADATA__INIT;
    Cri__ContainerConfig__LabelsEntry u = CRI__CONTAINER_CONFIG__LABELS_ENTRY__INIT, r = CRI__CONTAINER_CONFIG__LABELS_ENTRY__INIT,
                                      *labels[] = {&u, &r};
    Cri__ContainerConfig c = CRI__CONTAINER_CONFIG__INIT;
    Cri__CreateContainerRequest q = CRI__CREATE_CONTAINER_REQUEST__INIT;
    md.name = fake_text(name);
    u.key = fake_text(LABEL_POD_UID);
    u.value = s->made->config->metadata->uid;
    r.key = fake_text(LABEL_ROOT);
    r.value = fake_text(root);
    c.metadata = &md;
    c.labels = labels;
    c.n_labels = root ? 2 : 1;
    q.pod_sandbox_id = s->id;
    q.config = &c;
    q.sandbox_config = s->made->config;
    SCOPED(str_done) Str bytes = {0};
    fake_pack(&bytes, &q);
    FakeContainer *k = fake_container_make(f, (const uint8_t *)bytes.p, bytes.n);
    k->state = state;
    if (state != CRI__CONTAINER_STATE__CONTAINER_CREATED)
        k->started_at = tick(f);
    if (state == CRI__CONTAINER_STATE__CONTAINER_EXITED)
        k->finished_at = tick(f);
    return k;
}

/* --- as messages, which borrow -------------------------------------------------------------------------------------------------- */

void fake_status_message(const CriFake *f, const FakeContainer *c, StatusMessage *s)
{
    const Cri__ContainerConfig *g = c->made->config;
    s->m = (Cri__ContainerStatus)CRI__CONTAINER_STATUS__INIT;
    s->image = (Cri__ImageSpec)CRI__IMAGE_SPEC__INIT;
    s->image.image = g->image ? g->image->image : fake_text("");
    s->image.user_specified_image = g->image ? g->image->user_specified_image : fake_text("");
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
    s->m.reason = fake_text(!ended ? "" : c->reason ? c->reason : c->exit_code ? "Error" : "Completed");
    s->m.message = fake_text(c->message);
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
    fake_status_message(f, c, &s);
    *ret_n = cri__container_status__get_packed_size(&s.m);
    uint8_t *bytes = mem_alloc(*ret_n + 1);
    (void)cri__container_status__pack(&s.m, bytes);
    return bytes;
}

void fake_sandbox_message(const FakeSandbox *x, SandboxMessage *s)
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
    e.container_id = fake_text(id);
    e.container_event_type = type;
    e.created_at = tick(f);
    e.containers_statuses = statuses;
    if (s) {
        fake_sandbox_message(s, &sandbox);
        e.pod_sandbox_status = &sandbox.m;
    }
    LIST_EACH(k, &f->containers)
        if (s && str_eq((*k)->made->pod_sandbox_id, s->id) && e.n_containers_statuses < MAX_ITEMS) {
            fake_status_message(f, *k, &all[e.n_containers_statuses]);
            statuses[e.n_containers_statuses] = &all[e.n_containers_statuses].m;
            e.n_containers_statuses++;
        }
    SCOPED(str_done) Str bytes = {0};
    fake_pack(&bytes, &e);
    LIST_EACH(x, &f->cri_streams)
        grpc_served_send(*x, str_or(bytes.p, ""), bytes.n);
}

static void task_event(CriFake *f, const char *topic, const void *message)
{
    Ctrd__Envelope e = CTRD__ENVELOPE__INIT;
    Ctrd__Any any = CTRD__ANY__INIT;
    Ctrd__Timestamp at = CTRD__TIMESTAMP__INIT;
    SCOPED(str_done) Str inner = {0}, bytes = {0};
    fake_pack(&inner, message);
    any.value.data = (uint8_t *)inner.p;
    any.value.len = inner.n;
    at.seconds = f->now_ns / NS_PER_S;
    at.nanos = (int32_t)(f->now_ns % NS_PER_S);
    e.topic = fake_text(topic);
    e.event = &any;
    e.timestamp = &at;
    fake_pack(&bytes, &e);
    LIST_EACH(x, &f->task_streams)
        grpc_served_send(*x, bytes.p, bytes.n);
}

static void task_exit(CriFake *f, const char *id, int32_t code)
{
    Ctrd__TaskExit x = CTRD__TASK_EXIT__INIT;
    Ctrd__Timestamp at = CTRD__TIMESTAMP__INIT;
    at.seconds = f->now_ns / NS_PER_S;
    at.nanos = (int32_t)(f->now_ns % NS_PER_S);
    x.container_id = x.id = fake_text(id);
    x.exit_status = (uint32_t)code;
    x.exited_at = &at;
    task_event(f, "/tasks/exit", &x);
}

void cri_fake_oom(CriFake *f, const char *id)
{
    Ctrd__TaskOOM x = CTRD__TASK_OOM__INIT;
    x.container_id = fake_text(id);
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
        fake_stops_answered(f, c->id);
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
