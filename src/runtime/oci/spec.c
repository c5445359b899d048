/* spec.c - one container's config.json: the process, and the order in which the other parts are made. */
#include <sys/stat.h>
#include <unistd.h>
#include <stdio.h>

#include "os/fs.h"
#include "runtime/oci/spec_priv.h"

#include <linux/capability.h>

#define ARGS_MAX (2u << 20)  /* bytes of args + env: the kernel's own limit is 6 MiB for both */
#define DEFAULT_PATH                                                                                                   \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" /* containerd WithDefaultPathEnv */

/* --- the host --------------------------------------------------------------------------------------------------- */

static bool file_starts(const char *path, char first)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read(path, 4096, &s);
    return !e && s.n && s.p[0] == first;
}

static int read_int(const char *path)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read(path, 64, &s);
    return e || !s.p ? 0 : (int)strtol(s.p, NULL, 10);
}

static bool v2_controller(const char *name)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read("/sys/fs/cgroup/cgroup.controllers", 4096, &s);
    SCOPED(mem_free) char *list = e || !s.p ? NULL : mem_fmt(" %.*s ", (int)strcspn(s.p, "\n"), s.p);
    SCOPED(mem_free) char *word = mem_fmt(" %s ", name);
    return list && strstr(list, word);
}

void oci_host_probe(OciHost *h)
{
    *h = (OciHost){0};
    h->cgroup_v2 = fs_exists("/sys/fs/cgroup/cgroup.controllers");
    h->caps = caps_host();
    h->can_raise_oom_score = h->can_raise_rlimits = (h->caps >> CAP_SYS_RESOURCE) & 1;
    h->own_oom_score_adj = read_int("/proc/self/oom_score_adj");
    /* v2 has swap.max below the root only; CONFIG_SWAP off has /proc/swaps absent. */
    h->swap_limit = h->cgroup_v2 ? v2_controller("memory") && fs_exists("/proc/swaps")
                                 : fs_exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
    h->hugetlb = h->cgroup_v2 ? v2_controller("hugetlb") : fs_exists("/sys/fs/cgroup/hugetlb/cgroup.procs");
    h->apparmor = file_starts("/sys/module/apparmor/parameters/enabled", 'Y');
    h->selinux = fs_exists("/sys/fs/selinux/enforce");
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (long i = 0; i < cpus && i < 1024; i++) {
        char path[80];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%ld/thermal_throttle", i);
        if (fs_exists(path))
            h->thermal_cpus = (unsigned)i + 1;
    }
    if (gethostname(h->hostname, sizeof h->hostname - 1) != 0)
        h->hostname[0] = '\0';
}

/* --- the process ------------------------------------------------------------------------------------------------ */

static Err *add_strings(const char *what, const StrVec *from, json_t *to, size_t *bytes)
{
    for (size_t i = 0; i < from->n; i++) {
        *bytes += strlen(from->v[i]) + 1;
        if (*bytes > ARGS_MAX)
            return err_reason(err_new(ERR_LIMIT, 0, "%s: more than %u bytes", what, ARGS_MAX), REASON_CREATE);
        Err *e = jcheck(what, from->v[i]);
        if (e)
            return e;
        jadd(to, jstr(from->v[i]));
    }
    return NULL;
}

/* Kubernetes' table: command replaces entrypoint and cmd, args replaces cmd. */
static Err *add_args(SpecBuild *b)
{
    const ContainerConfig *c = b->in->config;
    const Image *img = b->in->image;
    json_t *args = jarray_at(b->process, "args");
    bool blank = img->entrypoint.n == 1 && !*img->entrypoint.v[0]; /* ENTRYPOINT [""]: Docker's way to unset it */
    const StrVec none = {0}, *first = c->command.n ? &c->command : blank ? &none : &img->entrypoint;
    const StrVec *rest = c->args.n ? &c->args : c->command.n ? &none : &img->cmd;
    size_t bytes = 0;
    Err *e = add_strings("command", first, args, &bytes);
    if (!e)
        e = add_strings("args", rest, args, &bytes);
    if (!e && !json_array_size(args))
        e = err_reason(err_new(ERR_INVALID, 0, "no command specified"), REASON_CREATE);
    return e;
}

static Err *merge_env(json_t *env, const StrVec *from, bool from_image, size_t *bytes)
{
    for (size_t i = 0; i < from->n; i++) {
        const char *eq = strchr(from->v[i], '=');
        *bytes += strlen(from->v[i]) + 1;
        if (*bytes > ARGS_MAX)
            return err_reason(err_new(ERR_LIMIT, 0, "environment: more than %u bytes", ARGS_MAX), REASON_CREATE);
        if (!eq || eq == from->v[i]) {
            if (from_image)
                continue; /* a broken line of an image must not keep it from running */
            return err_reason(err_new(ERR_INVALID, 0, "environment entry \"%.64s\" has no name", from->v[i]),
                              REASON_CREATE);
        }
        SCOPED(mem_free) char *what = mem_fmt("environment variable %.*s", (int)(eq - from->v[i]), from->v[i]);
        Err *e = jcheck(what, from->v[i]);
        if (e)
            return e;
        jenv_set(env, from->v[i]);
    }
    return NULL;
}

/* containerd's order: PATH, TERM, HOSTNAME, the image's, the Pod's; each by name in the place of the one before. */
static Err *add_env(SpecBuild *b)
{
    json_t *env = jarray_at(b->process, "env");
    jadd(env, jstr(DEFAULT_PATH));
    if (b->in->config->tty)
        jadd(env, jstr("TERM=xterm"));
    SCOPED(mem_free) char *hostname =
        mem_fmt("HOSTNAME=%s", str_empty(b->in->hostname) ? b->host->hostname : b->in->hostname);
    jadd(env, jstr(hostname));
    size_t bytes = 0;
    Err *e = merge_env(env, &b->in->image->env, true, &bytes);
    return e ? e : merge_env(env, &b->in->config->env, false, &bytes);
}

static bool on(OptBool v) { return v.set && v.v; }

/* kubelet's AddNoNewPrivileges: only an explicit false. The API refuses it together with privileged or SYS_ADMIN;
 * should it come here all the same, escalation is what those two mean. */
static bool no_new_privileges(const SpecBuild *b)
{
    bool admin = (b->caps >> CAP_SYS_ADMIN) & 1;
    return b->sec->allow_privilege_escalation.set && !b->sec->allow_privilege_escalation.v && !b->privileged && !admin;
}

Err *spec_process(SpecBuild *b)
{
    const ContainerConfig *c = b->in->config;
    json_t *p = b->process;
    jset(p, "terminal", json_boolean(c->tty));
    Err *e = spec_user(b);
    if (!e)
        e = add_args(b);
    if (!e)
        e = add_env(b);
    const char *cwd = !str_empty(c->working_dir) ? c->working_dir : str_or(b->in->image->working_dir, "/");
    SCOPED(mem_free) char *clean = path_clean(cwd); /* an image's may be relative: to / */
    if (!e)
        e = jcheck("workingDir", clean);
    if (e)
        return e;
    jset(p, "cwd", jstr(clean));
    if ((e = spec_caps(b)))
        return e;
    jset(p, "noNewPrivileges", json_boolean(no_new_privileges(b)));
    if (c->oom_score_adj) {
        /* Below our own score only CAP_SYS_RESOURCE may go; runc dies of the attempt (ecosystem.md 2.3). */
        int64_t adj = c->oom_score_adj;
        if (!b->in->can_raise_oom_score && adj < b->host->own_oom_score_adj)
            adj = b->host->own_oom_score_adj;
        jset(p, "oomScoreAdj", json_integer(adj));
    }
    return NULL;
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static void add_root(SpecBuild *b)
{
    json_t *r = jobject_at(b->root, "root");
    jset(r, "path", jstr(b->in->rootfs));
    jset(r, "readonly", json_boolean(on(b->sec->read_only_root_filesystem)));
}

/* Ours alone: the Pod's annotations could name crun's own switches (run.oci.*). */
static void add_annotations(SpecBuild *b)
{
    const OciSpecInput *in = b->in;
    const struct { const char *key, *value; } rows[] = {
        {"io.reprise.container-id", in->container_id}, {"io.reprise.container-name", in->config->name},
        {"io.reprise.pod-uid", in->pod_uid},           {"io.reprise.sandbox-id", in->sandbox_id},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!str_empty(rows[i].value))
            jset(jobject_at(b->root, "annotations"), rows[i].key, jstr(rows[i].value));
    }
}

Err *oci_spec_make(const OciSpecInput *in, json_t **ret)
{
    static const SecurityContext no_sec;
    static const PodSecurityContext no_pod;
    OciHost probed;
    if (!in->host)
        oci_host_probe(&probed);
    SCOPED(json_unref) json_t *root = json_object();
    jset(root, "ociVersion", jstr("1.0.2"));
    SpecBuild b = {.in = in, .host = in->host ? in->host : &probed, .root = root,
                   .sec = in->config->sec ? in->config->sec : &no_sec,
                   .pod_sec = in->config->pod_sec ? in->config->pod_sec : &no_pod};
    b.privileged = on(b.sec->privileged);
    b.process = jobject_at(root, "process");
    add_root(&b);
    (void)jarray_at(root, "mounts"); /* keys in the order that people read a config.json */
    b.linux_ = jobject_at(root, "linux");

    static Err *(*const steps[])(SpecBuild *) = {spec_process, spec_lsm,   spec_linux, spec_devices,
                                                 spec_mounts,  spec_seccomp, spec_cdi};
    Err *e = NULL;
    for (size_t i = 0; i < ARRAY_LEN(steps) && !e; i++)
        e = steps[i](&b);
    free(b.groups.v);
    if (e) {
        if (!e->reason[0])
            (void)err_reason(e, REASON_CREATE);
        return e;
    }
    add_annotations(&b);
    *ret = MOVE(root, NULL);
    return NULL;
}
