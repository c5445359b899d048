/* cri_config.c - our configurations as CRI's messages, as the kubelet fills them (pkg/kubelet/kuberuntime/kuberuntime_sandbox_linux.go,
 * kuberuntime_container_linux.go, security_context.go). Texts are borrowed from their sources: protobuf-c's structs are only not const. */
#include <stdio.h>

#include "runtime/cri/cri_priv.h"
#include "runtime/security.h"

#define POD_CGROUPS "/reprise"

static char empty[] = "";

void cri_arena_done(CriArena *a)
{
    LIST_EACH(b, &a->blocks)
        free(*b);
    free(a->blocks.v);
    *a = (CriArena){0};
}

static void *keep(CriArena *a, void *block)
{
    *LIST_ADD(&a->blocks) = block;
    return block;
}

static void *array(CriArena *a, size_t n, size_t size)
{
    return keep(a, mem_alloc_n(n ? n : 1, size));
}

/* protobuf-c wants no NULL texts and no const. */
static char *text(const char *s)
{
    return s ? (char *)(uintptr_t)s : empty;
}

#define MESSAGE(a, T, ... /* its INIT */)                                                                              \
    ({                                                                                                                 \
        T *m_ = keep(a, NEW(T));                                                                                       \
        *m_ = (T)__VA_ARGS__;                                                                                          \
        m_;                                                                                                            \
    })

/* Fills a map<string, string>: each is generated as a type of its own. */
#define MAP_ADD(a, list, count, k, v, T, ...)                                                                          \
    do {                                                                                                               \
        T *e_ = MESSAGE(a, T, __VA_ARGS__);                                                                            \
        e_->key = text(k);                                                                                             \
        e_->value = text(v);                                                                                           \
        (list)[(count)++] = e_;                                                                                        \
    } while (0)

static Cri__Int64Value *number(CriArena *a, int64_t v)
{
    Cri__Int64Value *n = MESSAGE(a, Cri__Int64Value, CRI__INT64_VALUE__INIT);
    n->value = v;
    return n;
}

static bool on(OptBool v)
{
    return v.set && v.v;
}

/* "/reprise/pod<uid>", or for systemd "reprise-pod<uid>.slice" with _ for - (kubelet cm/cgroup_manager_linux.go, ToSystemd). */
char *cri_cgroup_parent(CriArena *a, const CriRuntime *rt, const char *uid)
{
    if (!rt->systemd_cgroups)
        return keep(a, mem_fmt(POD_CGROUPS "/pod%s", uid));
    char *s = keep(a, mem_fmt("reprise-pod%s", uid));
    for (char *p = s + strlen("reprise-"); *p; p++)
        *p = *p == '-' ? '_' : *p;
    return keep(a, mem_fmt("%s.slice", s));
}

/* --- what sandbox and container share -------------------------------------------------------------------------------------------- */

static Cri__NamespaceMode mode(NamespaceMode m)
{
    static const Cri__NamespaceMode modes[] = {
        [NS_POD] = CRI__NAMESPACE_MODE__POD,
        [NS_CONTAINER] = CRI__NAMESPACE_MODE__CONTAINER,
        [NS_NODE] = CRI__NAMESPACE_MODE__NODE,
        [NS_TARGET] = CRI__NAMESPACE_MODE__TARGET,
    };
    return modes[m];
}

static Cri__SELinuxOption *selinux(CriArena *a, const SELinuxOptions *o)
{
    if (!o)
        return NULL;
    Cri__SELinuxOption *m = MESSAGE(a, Cri__SELinuxOption, CRI__SELINUX_OPTION__INIT);
    m->user = text(o->user);
    m->role = text(o->role);
    m->type = text(o->type);
    m->level = text(o->level);
    return m;
}

/* fsGroup first, then supplementalGroups. */
static void groups(CriArena *a, const PodSecurityContext *pod, size_t *n, int64_t **v)
{
    *v = array(a, pod->supplemental_groups.n + 1, sizeof **v);
    *n = 0;
    if (pod->fs_group.set)
        (*v)[(*n)++] = pod->fs_group.v;
    for (size_t i = 0; i < pod->supplemental_groups.n; i++)
        (*v)[(*n)++] = pod->supplemental_groups.v[i];
}

static Cri__SupplementalGroupsPolicy groups_policy(const PodSecurityContext *pod)
{
    return str_eq(pod->supplemental_groups_policy, "Strict") ? CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict
                                                              : CRI__SUPPLEMENTAL_GROUPS_POLICY__Merge;
}

static Cri__LinuxContainerResources *resources(CriArena *a, int64_t shares, int64_t quota, int64_t period, int64_t memory)
{
    Cri__LinuxContainerResources *r = MESSAGE(a, Cri__LinuxContainerResources, CRI__LINUX_CONTAINER_RESOURCES__INIT);
    r->cpu_shares = shares;
    r->cpu_quota = quota;
    r->cpu_period = period;
    r->memory_limit_in_bytes = memory;
    return r;
}

/* --- sandbox ------------------------------------------------------------------------------------------------------------------------ */

static void port_mappings(CriArena *a, const SandboxConfig *c, Cri__PodSandboxConfig *m)
{
    m->port_mappings = array(a, c->port_mappings.n, sizeof *m->port_mappings);
    LIST_EACH(p, &c->port_mappings) {
        Cri__PortMapping *k = MESSAGE(a, Cri__PortMapping, CRI__PORT_MAPPING__INIT);
        k->protocol = str_eq(p->protocol, "udp")    ? CRI__PROTOCOL__UDP
                      : str_eq(p->protocol, "sctp") ? CRI__PROTOCOL__SCTP
                                                    : CRI__PROTOCOL__TCP;
        k->container_port = p->container_port;
        k->host_port = p->host_port;
        k->host_ip = text(p->host_ip);
        m->port_mappings[m->n_port_mappings++] = k;
    }
}

static void sandbox_labels(CriArena *a, const CriRuntime *rt, const SandboxConfig *c, const char *request, Cri__PodSandboxConfig *m)
{
    typedef Cri__PodSandboxConfig__LabelsEntry Label;
    typedef Cri__PodSandboxConfig__AnnotationsEntry Note;
    const char *const own[][2] = {
        {LABEL_POD_NAME, c->name}, {LABEL_POD_NAMESPACE, c->namespace_}, {LABEL_POD_UID, c->uid}, {LABEL_ROOT, rt->root}};
    m->labels = array(a, c->labels.n + ARRAY_LEN(own), sizeof *m->labels);
    LIST_EACH(l, &c->labels) {
        bool taken = false;
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
            taken = taken || str_eq(l->key, own[i][0]);
        if (!taken)
            MAP_ADD(a, m->labels, m->n_labels, l->key, l->value, Label, CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT);
    }
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        MAP_ADD(a, m->labels, m->n_labels, own[i][0], own[i][1], Label, CRI__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT);
    m->annotations = array(a, c->annotations.n + 1, sizeof *m->annotations);
    LIST_EACH(n, &c->annotations)
        if (!str_eq(n->key, NOTE_REQUEST))
            MAP_ADD(a, m->annotations, m->n_annotations, n->key, n->value, Note, CRI__POD_SANDBOX_CONFIG__ANNOTATIONS_ENTRY__INIT);
    if (request)
        MAP_ADD(a, m->annotations, m->n_annotations, NOTE_REQUEST, request, Note,
                CRI__POD_SANDBOX_CONFIG__ANNOTATIONS_ENTRY__INIT);
}

static Cri__LinuxSandboxSecurityContext *sandbox_security(CriArena *a, const SandboxConfig *c)
{
    Cri__LinuxSandboxSecurityContext *s = MESSAGE(a, Cri__LinuxSandboxSecurityContext, CRI__LINUX_SANDBOX_SECURITY_CONTEXT__INIT);
    s->namespace_options = MESSAGE(a, Cri__NamespaceOption, CRI__NAMESPACE_OPTION__INIT);
    s->namespace_options->network = mode(c->network);
    s->namespace_options->pid = mode(c->pid);
    s->namespace_options->ipc = mode(c->ipc);
    s->privileged = c->privileged;
    s->seccomp = MESSAGE(a, Cri__SecurityProfile, CRI__SECURITY_PROFILE__INIT); /* RuntimeDefault */
    if (!c->pod_sec)
        return s;
    if (c->pod_sec->run_as_user.set)
        s->run_as_user = number(a, c->pod_sec->run_as_user.v);
    /* run_as_group without a user is refused. */
    if (c->pod_sec->run_as_group.set && c->pod_sec->run_as_user.set)
        s->run_as_group = number(a, c->pod_sec->run_as_group.v);
    s->selinux_options = selinux(a, c->pod_sec->se_linux_options);
    groups(a, c->pod_sec, &s->n_supplemental_groups, &s->supplemental_groups);
    s->supplemental_groups_policy = groups_policy(c->pod_sec);
    return s;
}

Cri__PodSandboxConfig *cri_sandbox_config(CriArena *a, const CriRuntime *rt, const SandboxConfig *c, const char *request)
{
    Cri__PodSandboxConfig *m = MESSAGE(a, Cri__PodSandboxConfig, CRI__POD_SANDBOX_CONFIG__INIT);
    m->metadata = MESSAGE(a, Cri__PodSandboxMetadata, CRI__POD_SANDBOX_METADATA__INIT);
    m->metadata->name = text(c->name);
    m->metadata->namespace_ = text(c->namespace_);
    m->metadata->uid = text(c->uid);
    m->metadata->attempt = c->attempt;
    m->hostname = text(c->hostname);
    m->log_directory = text(c->log_directory);
    port_mappings(a, c, m);
    sandbox_labels(a, rt, c, request, m);
    Cri__LinuxPodSandboxConfig *l = m->linux_ = MESSAGE(a, Cri__LinuxPodSandboxConfig, CRI__LINUX_POD_SANDBOX_CONFIG__INIT);
    l->cgroup_parent = rt->have_cgroups ? cri_cgroup_parent(a, rt, c->uid) : empty;
    l->security_context = sandbox_security(a, c);
    l->sysctls = array(a, c->sysctls.n, sizeof *l->sysctls);
    LIST_EACH(s, &c->sysctls)
        MAP_ADD(a, l->sysctls, l->n_sysctls, s->name, s->value, Cri__LinuxPodSandboxConfig__SysctlsEntry,
                CRI__LINUX_POD_SANDBOX_CONFIG__SYSCTLS_ENTRY__INIT);
    l->resources = resources(a, c->cpu_shares, c->cpu_quota_us, c->cpu_period_us, c->memory_limit_bytes);
    return m;
}

/* --- container ------------------------------------------------------------------------------------------------------------------------ */

static char **texts(CriArena *a, const StrVec *v)
{
    char **out = array(a, v->n, sizeof *out);
    for (size_t i = 0; i < v->n; i++)
        out[i] = v->v[i];
    return out;
}

static char **list_texts(CriArena *a, const StrList *v)
{
    char **out = array(a, v->n, sizeof *out);
    for (size_t i = 0; i < v->n; i++)
        out[i] = v->v[i];
    return out;
}

static char **fixed_texts(CriArena *a, const char *const *list, size_t *n)
{
    for (*n = 0; list[*n];)
        ++*n;
    char **out = array(a, *n, sizeof *out);
    for (size_t i = 0; i < *n; i++)
        out[i] = text(list[i]);
    return out;
}

static void envs(CriArena *a, const ContainerConfig *c, Cri__ContainerConfig *m)
{
    m->envs = array(a, c->env.n, sizeof *m->envs);
    for (size_t i = 0; i < c->env.n; i++) {
        const char *eq = strchr(c->env.v[i], '=');
        if (!eq)
            continue;
        Cri__KeyValue *k = MESSAGE(a, Cri__KeyValue, CRI__KEY_VALUE__INIT);
        k->key = keep(a, mem_dup_strn(c->env.v[i], (size_t)(eq - c->env.v[i])));
        k->value = text(eq + 1);
        m->envs[m->n_envs++] = k;
    }
}

static void mounts(CriArena *a, const ContainerConfig *c, Cri__ContainerConfig *m)
{
    m->mounts = array(a, c->mounts.n, sizeof *m->mounts);
    LIST_EACH(v, &c->mounts) {
        Cri__Mount *k = MESSAGE(a, Cri__Mount, CRI__MOUNT__INIT);
        k->container_path = text(v->container_path);
        k->host_path = text(v->host_path);
        k->readonly = v->read_only;
        k->recursive_read_only = v->recursive_read_only;
        k->propagation = str_eq(v->propagation, "Bidirectional")      ? CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL
                         : str_eq(v->propagation, "HostToContainer") ? CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER
                                                                      : CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE;
        m->mounts[m->n_mounts++] = k;
    }
}

static void devices(CriArena *a, const ContainerConfig *c, Cri__ContainerConfig *m)
{
    m->devices = array(a, c->devices.n, sizeof *m->devices);
    LIST_EACH(d, &c->devices) {
        Cri__Device *k = MESSAGE(a, Cri__Device, CRI__DEVICE__INIT);
        k->container_path = text(d->container_path);
        k->host_path = text(d->host_path);
        k->permissions = text(d->permissions);
        m->devices[m->n_devices++] = k;
    }
    m->cdi_devices = array(a, c->cdi_devices.n, sizeof *m->cdi_devices);
    LIST_EACH(d, &c->cdi_devices) {
        Cri__CDIDevice *k = MESSAGE(a, Cri__CDIDevice, CRI__CDIDEVICE__INIT);
        k->name = text(*d);
        m->cdi_devices[m->n_cdi_devices++] = k;
    }
}

static void container_labels(CriArena *a, const CriRuntime *rt, const ContainerConfig *c, const char *request, const char *key,
                             Cri__ContainerConfig *m)
{
    const SandboxConfig *s = c->sandbox;
    const char *const labels[][2] = {{LABEL_POD_NAME, s->name},         {LABEL_POD_NAMESPACE, s->namespace_}, {LABEL_POD_UID, s->uid},
                                     {LABEL_CONTAINER_NAME, c->name}, {LABEL_ROOT, rt->root}};
    const char *count = keep(a, mem_fmt("%u", c->attempt));
    const char *const notes[][2] = {
        {NOTE_HASH, c->spec_hash},
        {NOTE_RESTART_COUNT, count},
        {NOTE_MESSAGE_PATH, c->termination_message_path},
        {NOTE_MESSAGE_POLICY, c->termination_message_from_logs ? "FallbackToLogsOnError" : "File"},
        {NOTE_MESSAGE_FILE, c->termination_message_host_path},
        {NOTE_REQUEST, request},
        {NOTE_KEY, key},
    };
    m->labels = array(a, ARRAY_LEN(labels), sizeof *m->labels);
    for (size_t i = 0; i < ARRAY_LEN(labels); i++)
        MAP_ADD(a, m->labels, m->n_labels, labels[i][0], labels[i][1], Cri__ContainerConfig__LabelsEntry,
                CRI__CONTAINER_CONFIG__LABELS_ENTRY__INIT);
    m->annotations = array(a, ARRAY_LEN(notes), sizeof *m->annotations);
    for (size_t i = 0; i < ARRAY_LEN(notes); i++)
        if (notes[i][1])
            MAP_ADD(a, m->annotations, m->n_annotations, notes[i][0], notes[i][1], Cri__ContainerConfig__AnnotationsEntry,
                    CRI__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT);
}

static Cri__LinuxContainerResources *container_resources(CriArena *a, const ContainerConfig *c)
{
    Cri__LinuxContainerResources *r = resources(a, c->cpu_shares, c->cpu_quota_us, c->cpu_period_us, c->memory_limit_bytes);
    r->oom_score_adj = c->oom_score_adj;
    r->memory_swap_limit_in_bytes = c->memory_limit_bytes; /* memory and swap together: no swap, as the kubelet's default */
    r->hugepage_limits = array(a, c->hugepages.n, sizeof *r->hugepage_limits);
    LIST_EACH(h, &c->hugepages) {
        Cri__HugepageLimit *k = MESSAGE(a, Cri__HugepageLimit, CRI__HUGEPAGE_LIMIT__INIT);
        k->page_size = text(h->page_size);
        k->limit = (uint64_t)h->limit_bytes;
        r->hugepage_limits[r->n_hugepage_limits++] = k;
    }
    return r;
}

/* The container's profile over the Pod's; unset is Unconfined for seccomp (kubelet without --seccomp-default), and the runtime's own
 * choice for AppArmor. <root>: of Localhost profiles, NULL = the name is the profile's. */
static Cri__SecurityProfile *profile(CriArena *a, const SeccompProfile *p, const char *root)
{
    Cri__SecurityProfile *m = MESSAGE(a, Cri__SecurityProfile, CRI__SECURITY_PROFILE__INIT);
    if (p && str_eq(p->type, "RuntimeDefault"))
        return m;
    if (!p || !str_eq(p->type, "Localhost")) {
        m->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
        return m;
    }
    m->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
    m->localhost_ref = root ? keep(a, mem_fmt("%s/seccomp/%s", root, str_or(p->localhost_profile, ""))) : text(p->localhost_profile);
    return m;
}

static Err *user(CriArena *a, const CriRuntime *rt, const ContainerConfig *c, const SecurityContext *sec,
                 const PodSecurityContext *pod, Cri__LinuxContainerSecurityContext *s)
{
    const CriImageUser *u = cri_user_of(rt, c->image_id);
    int64_t image_uid = u ? u->uid : 0;
    const char *name = u ? str_or(u->username, "") : "";
    SCOPED(mem_free) char *where = mem_fmt("%s_%s(%s)", c->sandbox->name, c->sandbox->namespace_, c->sandbox->uid);
    Err *e = security_verify_non_root(c->sec, c->pod_sec, *name ? -1 : image_uid, name, where, c->name);
    if (e)
        return e;
    OptInt uid = security_pick(sec->run_as_user, pod->run_as_user), gid = security_pick(sec->run_as_group, pod->run_as_group);
    if (uid.set)
        s->run_as_user = number(a, uid.v);
    else if (*name)
        s->run_as_username = text(name);
    else
        s->run_as_user = number(a, image_uid);
    if (gid.set)
        s->run_as_group = number(a, gid.v);
    return NULL;
}

static Err *security(CriArena *a, const CriRuntime *rt, const ContainerConfig *c, Cri__LinuxContainerSecurityContext *s)
{
    static const SecurityContext no_sec;
    static const PodSecurityContext no_pod;
    const SecurityContext *sec = c->sec ? c->sec : &no_sec;
    const PodSecurityContext *pod = c->pod_sec ? c->pod_sec : &no_pod;
    Err *e = user(a, rt, c, sec, pod, s);
    if (e)
        return e;
    s->privileged = on(sec->privileged);
    s->readonly_rootfs = on(sec->read_only_root_filesystem);
    s->no_new_privs = sec->allow_privilege_escalation.set && !sec->allow_privilege_escalation.v;
    if (sec->capabilities) {
        s->capabilities = MESSAGE(a, Cri__Capability, CRI__CAPABILITY__INIT);
        s->capabilities->n_add_capabilities = sec->capabilities->add.n;
        s->capabilities->add_capabilities = list_texts(a, &sec->capabilities->add);
        s->capabilities->n_drop_capabilities = sec->capabilities->drop.n;
        s->capabilities->drop_capabilities = list_texts(a, &sec->capabilities->drop);
    }
    s->selinux_options = selinux(a, sec->se_linux_options ? sec->se_linux_options : pod->se_linux_options);
    groups(a, pod, &s->n_supplemental_groups, &s->supplemental_groups);
    s->supplemental_groups_policy = groups_policy(pod);
    s->seccomp = profile(a, sec->seccomp_profile ? sec->seccomp_profile : pod->seccomp_profile, rt->root);
    const SeccompProfile *armor = sec->app_armor_profile ? sec->app_armor_profile : pod->app_armor_profile;
    if (armor)
        s->apparmor = profile(a, armor, NULL);
    bool masked = !s->privileged && !str_eq(sec->proc_mount, "Unmasked");
    s->masked_paths = fixed_texts(a, security_masked_paths, &s->n_masked_paths);
    s->readonly_paths = fixed_texts(a, security_readonly_paths, &s->n_readonly_paths);
    if (!masked)
        s->n_masked_paths = s->n_readonly_paths = 0;
    s->namespace_options = MESSAGE(a, Cri__NamespaceOption, CRI__NAMESPACE_OPTION__INIT);
    s->namespace_options->network = mode(c->sandbox->network);
    s->namespace_options->ipc = mode(c->sandbox->ipc);
    s->namespace_options->pid = mode(c->pid);
    s->namespace_options->target_id = text(c->pid == NS_TARGET ? c->pid_target_id : NULL);
    return NULL;
}

/* CRI's enum Signal: names in the order of their numbers there. */
static const char *const signals[] = {
    "",        "SIGABRT", "SIGALRM", "SIGBUS",  "SIGCHLD", "SIGCLD",  "SIGCONT",   "SIGFPE",  "SIGHUP",  "SIGILL",
    "SIGINT",  "SIGIO",   "SIGIOT",  "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF",   "SIGPWR",  "SIGQUIT", "SIGSEGV",
    "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN",  "SIGTTOU", "SIGURG",  "SIGUSR1",
    "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN"};

/* SIGRTMIN+1 .. +15 follow, then SIGRTMAX-14 .. SIGRTMAX. */
static int32_t signal_number(const char *name)
{
    int64_t k;
    if (str_starts(name, "SIGRTMIN+") && str_to_i64(name + 9, &k) && k >= 1 && k <= 15)
        return 35 + (int32_t)k;
    if (str_starts(name, "SIGRTMAX-") && str_to_i64(name + 9, &k) && k >= 1 && k <= 14)
        return 65 - (int32_t)k;
    if (str_eq(name, "SIGRTMAX"))
        return 65;
    for (size_t i = 1; i < ARRAY_LEN(signals); i++)
        if (str_eq(name, signals[i]))
            return (int32_t)i;
    return 0;
}

Err *cri_container_config(CriArena *a, const CriRuntime *rt, const ContainerConfig *c, const char *request, const char *key,
                          Cri__ContainerConfig **ret)
{
    Cri__ContainerConfig *m = MESSAGE(a, Cri__ContainerConfig, CRI__CONTAINER_CONFIG__INIT);
    m->metadata = MESSAGE(a, Cri__ContainerMetadata, CRI__CONTAINER_METADATA__INIT);
    m->metadata->name = text(c->name);
    m->metadata->attempt = c->attempt;
    m->image = MESSAGE(a, Cri__ImageSpec, CRI__IMAGE_SPEC__INIT);
    m->image->image = text(str_empty(c->image_id) ? c->image : c->image_id);
    m->image->user_specified_image = text(c->image);
    m->n_command = c->command.n;
    m->command = texts(a, &c->command);
    m->n_args = c->args.n;
    m->args = texts(a, &c->args);
    m->working_dir = text(c->working_dir);
    envs(a, c, m);
    mounts(a, c, m);
    devices(a, c, m);
    container_labels(a, rt, c, request, key, m);
    m->log_path = text(c->log_path);
    m->stdin_ = c->stdin_;
    m->stdin_once = c->stdin_once;
    m->tty = c->tty;
    m->stop_signal = c->stop_signal ? signal_number(c->stop_signal) : 0;
    m->linux_ = MESSAGE(a, Cri__LinuxContainerConfig, CRI__LINUX_CONTAINER_CONFIG__INIT);
    m->linux_->resources = container_resources(a, c);
    m->linux_->security_context =
        MESSAGE(a, Cri__LinuxContainerSecurityContext, CRI__LINUX_CONTAINER_SECURITY_CONTEXT__INIT);
    *ret = m;
    return security(a, rt, c, m->linux_->security_context);
}
