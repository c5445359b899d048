/* The messages that the CRI runtime makes of our configurations. Whole ones are golden, as JSON (tests/golden/cri; with
 * REPRISE_GOLDEN_UPDATE set they are written anew, to be reviewed as diffs); the rules of users, profiles and signals are tables. */
#include "cri_world.h"

#include "wire/pbjson.h"

/* A runtime that only makes messages. */
static CriRuntime maker(bool systemd)
{
    CriRuntime rt = {.root = mem_dup_str("/var/lib/reprise"), .have_cgroups = true, .systemd_cgroups = systemd};
    *LIST_ADD(&rt.users) = (CriImageUser){.id = mem_dup_str("sha256:named"), .username = mem_dup_str("web"), .uid = -1};
    *LIST_ADD(&rt.users) = (CriImageUser){.id = mem_dup_str("sha256:1000"), .username = mem_dup_str(""), .uid = 1000};
    return rt;
}

static void maker_done(CriRuntime *rt)
{
    LIST_EACH(u, &rt->users) {
        free(u->id);
        free(u->username);
    }
    free(rt->users.v);
    free(rt->root);
}

static void *decoded(const TypeDesc *t, const char *json)
{
    void *o = NULL;
    if (json)
        CHECK_OK(api_decode_text(t, json, strlen(json), &o));
    return o;
}

static char *text_of(const void *message)
{
    SCOPED(json_unref) json_t *j = NULL;
    CHECK_OK(pbjson_write(message, 0, &j));
    char *text = json_text(j, true), *whole = mem_fmt("%s\n", text);
    free(text);
    return whole;
}

static void check_golden(const char *name, const void *message)
{
    SCOPED(mem_free) char *got = text_of(message), *path = mem_fmt("%s/%s.json", GOLDEN, name);
    SCOPED(str_done) Str want = {0};
    if (getenv("REPRISE_GOLDEN_UPDATE"))
        CHECK_OK(fs_write_atomic(path, got, strlen(got), 0644, false));
    CHECK_OK(fs_read(path, 1 << 20, &want));
    if (!str_eq(got, want.p)) {
        SCOPED(mem_free) char *at = mem_fmt("%s/%s.json", "/tmp", name);
        CHECK_OK(fs_write_atomic(at, got, strlen(got), 0644, false));
        printf("# diff -u %s %s\n", path, at);
        CHECK(str_eq(got, want.p));
    }
}

/* A CreateContainerRequest as the runtime sends it. */
static void create_request(CriArena *a, const CriRuntime *rt, const ContainerConfig *c, const char *key, const char *name)
{
    Cri__CreateContainerRequest q = CRI__CREATE_CONTAINER_REQUEST__INIT;
    char sandbox[] = "sandbox-id";
    q.pod_sandbox_id = sandbox;
    q.sandbox_config = cri_sandbox_config(a, rt, c->sandbox, NULL);
    CHECK_OK(cri_container_config(a, rt, c, "request", key, &q.config));
    check_golden(name, &q);
}

#define FULL_SEC                                                                                                       \
    "{\"capabilities\": {\"add\": [\"NET_ADMIN\", \"SYS_TIME\"], \"drop\": [\"ALL\"]}, \"runAsUser\": 1001, "          \
    "\"readOnlyRootFilesystem\": true, \"allowPrivilegeEscalation\": false, \"seLinuxOptions\": {\"level\": \"s0:c1\"}, " \
    "\"seccompProfile\": {\"type\": \"Localhost\", \"localhostProfile\": \"p/audit.json\"}, "                          \
    "\"appArmorProfile\": {\"type\": \"Localhost\", \"localhostProfile\": \"mine\"}}"
#define FULL_POD                                                                                                       \
    "{\"runAsUser\": 1, \"runAsGroup\": 2, \"fsGroup\": 3000, \"supplementalGroups\": [4, 5], "                        \
    "\"supplementalGroupsPolicy\": \"Strict\", \"seLinuxOptions\": {\"user\": \"u\", \"role\": \"r\", \"type\": \"t\"}, " \
    "\"seccompProfile\": {\"type\": \"RuntimeDefault\"}}"

static void test_full(void)
{
    CriRuntime rt = maker(false);
    SCOPED(cri_arena_done) CriArena a = {0};
    PodSecurityContext *pod = decoded(&type_PodSecurityContext, FULL_POD);
    SecurityContext *sec = decoded(&type_SecurityContext, FULL_SEC);
    static char tcp[] = "tcp", udp[] = "udp", sctp[] = "sctp", ip[] = "127.0.0.1", none[] = "", app[] = "app", x[] = "x",
                uid_label[] = LABEL_POD_UID, request_note[] = NOTE_REQUEST, note[] = "note", sysctl[] = "net.core.somaxconn", n1024[] = "1024",
                gpu[] = "v.com/gpu=0";
    PortMapping ports[] = {{80, 8080, tcp, ip}, {53, 53, udp, none}, {9, 9, sctp, none}};
    StrPair labels[] = {{app, x}, {uid_label, x}}, notes[] = {{note, x}, {request_note, x}};
    Sysctl sysctls[] = {{sysctl, n1024}};
    SandboxConfig s = {.name = "web", .namespace_ = "prod", .uid = "12-ab", .attempt = 2, .hostname = "web", .log_directory = "/var/log/pods/x",
                       .pid = NS_CONTAINER, .pod_sec = pod, .cpu_shares = 512, .cpu_quota_us = 50000, .cpu_period_us = 100000,
                       .memory_limit_bytes = 1 << 28};
    s.port_mappings.n = ARRAY_LEN(ports);
    s.port_mappings.v = ports;
    s.labels.n = s.annotations.n = 2;
    s.labels.v = labels;
    s.annotations.v = notes;
    s.sysctls.n = 1;
    s.sysctls.v = sysctls;
    Cri__RunPodSandboxRequest run = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
    run.config = cri_sandbox_config(&a, &rt, &s, "request");
    check_golden("sandbox-full", &run);

    MountConfig mounts[] = {{"/data", "/host/data", .propagation = "None"},
                            {"/ro", "/host/ro", .read_only = true, .recursive_read_only = true, .propagation = "HostToContainer"},
                            {"/both", "/host/both", .propagation = "Bidirectional"}};
    DeviceConfig devices[] = {{"/dev/fuse", "/dev/fuse0", "rw"}};
    char *cdi[] = {gpu};
    ContainerConfig c = {.name = "main", .attempt = 7, .image = "reg/i:1", .image_id = "sha256:named", .working_dir = "/work",
                         .log_path = "main/7.log", .stdin_ = true, .stdin_once = true, .tty = true, .stop_signal = "SIGUSR1",
                         .termination_message_path = "/dev/termination-log", .termination_message_host_path = "/host/words",
                         .termination_message_from_logs = true, .cpu_shares = 256, .cpu_quota_us = 20000, .cpu_period_us = 100000,
                         .memory_limit_bytes = 1 << 27, .pids_limit = 10, .oom_score_adj = 968, .sec = sec, .pod_sec = pod,
                         .pid = NS_TARGET, .pid_target_id = "target-id", .spec_hash = "hash", .sandbox = &s};
    strvec_add(&c.command, "/bin/sh");
    strvec_add(&c.command, "-c");
    strvec_add(&c.args, "sleep 1");
    strvec_add(&c.env, "A=1");
    strvec_add(&c.env, "EMPTY=");
    strvec_add(&c.env, "EQ=a=b");
    strvec_add(&c.env, "no equals sign");
    c.mounts.n = ARRAY_LEN(mounts);
    c.mounts.v = (__typeof__(c.mounts.v))mounts;
    c.devices.n = 1;
    c.devices.v = (__typeof__(c.devices.v))devices;
    c.cdi_devices.n = 1;
    c.cdi_devices.v = cdi;
    __typeof__(c.hugepages.v[0]) pages[] = {{"2MB", 4 << 20}};
    c.hugepages.n = 1;
    c.hugepages.v = pages;
    create_request(&a, &rt, &c, "standby-key", "create-full");
    strvec_done(&c.command);
    strvec_done(&c.args);
    strvec_done(&c.env);
    api_free(&type_PodSecurityContext, pod);
    api_free(&type_SecurityContext, sec);
    maker_done(&rt);
}

/* As little as there can be, on a host with systemd; all of the host's namespaces; privileged. */
static void test_others(void)
{
    CriRuntime rt = maker(true);
    SCOPED(cri_arena_done) CriArena a = {0};
    SandboxConfig s = {.name = "web", .namespace_ = "prod", .uid = "12-ab", .hostname = "web", .log_directory = "/l"};
    ContainerConfig c = {.name = "main", .image = "i:1", .image_id = "sha256:1000", .working_dir = "", .log_path = "m", .spec_hash = "h",
                         .sandbox = &s};
    create_request(&a, &rt, &c, NULL, "create-plain");
    SecurityContext *sec = decoded(&type_SecurityContext, "{\"privileged\": true}");
    SandboxConfig host = s;
    host.network = host.pid = host.ipc = NS_NODE;
    host.privileged = true;
    host.hostname = "";
    c.sandbox = &host;
    c.pid = NS_NODE;
    c.sec = sec;
    create_request(&a, &rt, &c, NULL, "create-host-privileged");
    api_free(&type_SecurityContext, sec);
    maker_done(&rt);
}

/* --- rules ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct { const char *image_id, *sec, *pod, *want; /* of what the table is about; or the error's text */ } Rule;

/* The container's message for one rule; NULL and <ret_error>: refused. */
static void check_rules(const Rule *t, size_t n, char *(*show)(const Cri__LinuxContainerSecurityContext *s))
{
    CriRuntime rt = maker(false);
    for (size_t i = 0; i < n; i++) {
        SCOPED(cri_arena_done) CriArena a = {0};
        SandboxConfig s = {.name = "p", .namespace_ = "ns", .uid = "u"};
        SecurityContext *sec = decoded(&type_SecurityContext, t[i].sec);
        PodSecurityContext *pod = decoded(&type_PodSecurityContext, t[i].pod);
        ContainerConfig c = {.name = "c", .image = "i", .image_id = str_or(t[i].image_id, "sha256:1000"), .sandbox = &s, .sec = sec,
                             .pod_sec = pod};
        Cri__ContainerConfig *m = NULL;
        SCOPED(err_free) Err *e = cri_container_config(&a, &rt, &c, "r", NULL, &m);
        SCOPED(mem_free) char *got = e ? err_text(e) : show(m->linux_->security_context);
        CHECK_STR(got, t[i].want);
        CHECK(!e || str_eq(e->reason, "CreateContainerConfigError"));
        api_free(&type_SecurityContext, sec);
        api_free(&type_PodSecurityContext, pod);
    }
    maker_done(&rt);
}

static char *show_user(const Cri__LinuxContainerSecurityContext *s)
{
    Str out = {0};
    if (s->run_as_user)
        str_fmt(&out, "uid %lld", (long long)s->run_as_user->value);
    if (!str_empty(s->run_as_username))
        str_fmt(&out, "%sname %s", out.n ? " " : "", s->run_as_username);
    if (s->run_as_group)
        str_fmt(&out, " gid %lld", (long long)s->run_as_group->value);
    return str_take(&out);
}

static void test_users(void)
{
    static const Rule t[] = {
        {NULL, NULL, NULL, "uid 1000"},
        {"sha256:named", NULL, NULL, "name web"},
        {"sha256:named", "{\"runAsUser\": 5}", NULL, "uid 5"},
        {NULL, "{\"runAsUser\": 5}", "{\"runAsUser\": 6, \"runAsGroup\": 7}", "uid 5 gid 7"},
        {NULL, NULL, "{\"runAsUser\": 6}", "uid 6"},
        {NULL, NULL, "{\"runAsGroup\": 7}", "uid 1000 gid 7"},
        {NULL, "{\"runAsUser\": 0}", NULL, "uid 0"},
        {NULL, "{\"runAsNonRoot\": true}", NULL, "uid 1000"},
        {"sha256:named", "{\"runAsNonRoot\": true}", NULL,
         "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root (pod: \"p_ns(u)\", container: c)"},
        {"sha256:never-seen", NULL, "{\"runAsNonRoot\": true}",
         "container has runAsNonRoot and image will run as root (pod: \"p_ns(u)\", container: c)"},
        {NULL, "{\"runAsUser\": 0}", "{\"runAsNonRoot\": true}",
         "container's runAsUser breaks non-root policy (pod: \"p_ns(u)\", container: c)"},
    };
    check_rules(t, ARRAY_LEN(t), show_user);
}

static char *show_profiles(const Cri__LinuxContainerSecurityContext *s)
{
    static const char *const types[] = {"default", "unconfined", "local"};
    return mem_fmt("seccomp %s %s; apparmor %s %s; masked %d", types[s->seccomp->profile_type], s->seccomp->localhost_ref,
                   s->apparmor ? types[s->apparmor->profile_type] : "-", s->apparmor ? s->apparmor->localhost_ref : "",
                   s->n_masked_paths > 0 && s->n_readonly_paths > 0);
}

static void test_profiles(void)
{
    static const Rule t[] = {
        {NULL, NULL, NULL, "seccomp unconfined ; apparmor - ; masked 1"},
        {NULL, "{\"seccompProfile\": {\"type\": \"RuntimeDefault\"}}", NULL, "seccomp default ; apparmor - ; masked 1"},
        {NULL, "{\"seccompProfile\": {\"type\": \"Unconfined\"}}", "{\"seccompProfile\": {\"type\": \"RuntimeDefault\"}}",
         "seccomp unconfined ; apparmor - ; masked 1"},
        {NULL, NULL, "{\"seccompProfile\": {\"type\": \"Localhost\", \"localhostProfile\": \"a/b.json\"}}",
         "seccomp local /var/lib/reprise/seccomp/a/b.json; apparmor - ; masked 1"},
        {NULL, "{\"appArmorProfile\": {\"type\": \"Localhost\", \"localhostProfile\": \"name\"}, \"procMount\": \"Unmasked\"}",
         "{\"appArmorProfile\": {\"type\": \"Unconfined\"}}", "seccomp unconfined ; apparmor local name; masked 0"},
        {NULL, "{\"privileged\": true}", "{\"appArmorProfile\": {\"type\": \"Unconfined\"}}",
         "seccomp unconfined ; apparmor unconfined ; masked 0"},
    };
    check_rules(t, ARRAY_LEN(t), show_profiles);
}

/* CRI's enum Signal (api.proto): the numbers of all its names. */
static void test_signals(void)
{
    static const struct { const char *name; int32_t number; } t[] = {
        {NULL, 0},         {"SIGABRT", 1},       {"SIGCHLD", 4},      {"SIGHUP", 8},        {"SIGINT", 10},      {"SIGKILL", 13},
        {"SIGQUIT", 18},   {"SIGTERM", 23},      {"SIGUSR1", 29},     {"SIGUSR2", 30},      {"SIGWINCH", 32},    {"SIGXFSZ", 34},
        {"SIGRTMIN", 35},  {"SIGRTMIN+1", 36},   {"SIGRTMIN+15", 50}, {"SIGRTMAX-14", 51},  {"SIGRTMAX-1", 64},  {"SIGRTMAX", 65},
        {"SIGRTMIN+16", 0}, {"SIGRTMAX-0", 0},   {"SIGWHAT", 0},      {"", 0},
    };
    CriRuntime rt = maker(false);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(cri_arena_done) CriArena a = {0};
        SandboxConfig s = {.name = "p", .namespace_ = "ns", .uid = "u"};
        ContainerConfig c = {.name = "c", .image = "i", .image_id = "sha256:1000", .sandbox = &s, .stop_signal = t[i].name};
        Cri__ContainerConfig *m = NULL;
        CHECK_OK(cri_container_config(&a, &rt, &c, "r", NULL, &m));
        CHECK_INT(m->stop_signal, t[i].number);
    }
    maker_done(&rt);
}

static void test_cgroup_parents(void)
{
    for (int i = 0; i < 3; i++) {
        CriRuntime rt = maker(i == 1);
        rt.have_cgroups = i < 2;
        SCOPED(cri_arena_done) CriArena a = {0};
        SandboxConfig s = {.name = "p", .namespace_ = "ns", .uid = "a-b-c"};
        CHECK_STR(cri_sandbox_config(&a, &rt, &s, NULL)->linux_->cgroup_parent,
                  i == 0 ? "/reprise/poda-b-c" : i == 1 ? "reprise-poda_b_c.slice" : "");
        maker_done(&rt);
    }
}

/* A runtime that leaves the stop signal out of its status does not know it: the person is told, once. */
static void test_stop_signal_warning(void)
{
    World w;
    Answer a = {0};
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    ContainerConfig c = container(&w, "c", 0);
    c.stop_signal = "SIGUSR1";
    CHECK_OK(w.rt->ops->container_create(w.rt, POD_UID, w.sandbox_id, &c, on_id, &a));
    UNTIL(&w, a.n);
    CHECK_INT(w.warnings, 0);
    CHECK_INT(cri_fake_named(&w.f, "c")->made->config->stop_signal, 29);
    w.f.no_stop_signal = true;
    c.attempt = 1;
    CHECK_OK(w.rt->ops->container_create(w.rt, POD_UID, w.sandbox_id, &c, on_id, &a));
    UNTIL(&w, a.n == 2);
    CHECK_INT(w.warnings, 1);
    CHECK_STR(w.warning, "container c: containerd 9.9 does not know lifecycle.stopSignal and will use the image's");
    /* Refused before anything is sent. */
    SecurityContext sec = {.run_as_non_root = {true, true}, .run_as_user = {true, 0}};
    c.sec = &sec;
    SCOPED(err_free) Err *e = w.rt->ops->container_create(w.rt, POD_UID, w.sandbox_id, &c, on_id, &a);
    CHECK(e && str_eq(e->reason, "CreateContainerConfigError"));
    settle(&w, 10);
    CHECK_INT(a.n, 2);
    world_done(&w);
}

TESTS(T(test_full), T(test_others), T(test_users), T(test_profiles), T(test_signals), T(test_cgroup_parents), T(test_stop_signal_warning))
