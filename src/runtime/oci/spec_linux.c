/* spec_linux.c - namespaces, cgroup numbers, masked and read-only paths, AppArmor and SELinux. */
#include <stdio.h>
#include <strings.h>

#include "os/fs.h"
#include "runtime/oci/spec_priv.h"
#include "runtime/security.h"

static void add_namespace(json_t *list, const char *type, const char *path)
{
    json_t *n = json_object();
    jset(n, "type", jstr(type));
    if (path)
        jset(n, "path", jstr(path));
    jadd(list, n);
}

static void add_namespaces(SpecBuild *b)
{
    const OciSpecInput *in = b->in;
    json_t *l = jarray_at(b->linux_, "namespaces");
    add_namespace(l, "mount", NULL);
    if (in->ns_pid || in->pid_private)
        add_namespace(l, "pid", in->ns_pid);
    if (in->ns_ipc)
        add_namespace(l, "ipc", in->ns_ipc);
    if (in->ns_uts)
        add_namespace(l, "uts", in->ns_uts);
    if (in->ns_net)
        add_namespace(l, "network", in->ns_net);
    /* v2 only, and not for privileged ones, as containerd: it hides the host's tree, and mounting cgroup2 from the
     * host's namespace stalls 8 to 16 ms (ecosystem.md 5). */
    if (in->cgroup_v2 && !b->privileged)
        add_namespace(l, "cgroup", NULL);
}

static void set_number(json_t *o, const char *key, int64_t v)
{
    if (v)
        jset(o, key, json_integer(v));
}

static Err *add_resources(SpecBuild *b)
{
    const ContainerConfig *c = b->in->config;
    json_t *r = jobject_at(b->linux_, "resources"), *cpu = jobject_at(r, "cpu");
    set_number(cpu, "shares", c->cpu_shares);
    set_number(cpu, "quota", c->cpu_quota_us);
    set_number(cpu, "period", c->cpu_period_us);
    if (!json_object_size(cpu))
        json_object_del(r, "cpu");
    if (c->memory_limit_bytes) {
        json_t *m = jobject_at(r, "memory");
        jset(m, "limit", json_integer(c->memory_limit_bytes));
        if (b->host->swap_limit) /* memory + swap together: no swap, as the kubelet's default */
            jset(m, "swap", json_integer(c->memory_limit_bytes));
    }
    if (c->pids_limit)
        jset(jobject_at(r, "pids"), "limit", json_integer(c->pids_limit));
    for (size_t i = 0; i < c->hugepages.n; i++) {
        if (!b->host->hugetlb)
            return err_reason(err_new(ERR_UNSUPPORTED, 0,
                                      "huge pages limits are specified but hugetlb cgroup controller is "
                                      "missing (see reprise doctor)"),
                              REASON_CREATE);
        json_t *h = json_object();
        jset(h, "pageSize", jstr(c->hugepages.v[i].page_size));
        jset(h, "limit", json_integer(c->hugepages.v[i].limit_bytes));
        jadd(jarray_at(r, "hugepageLimits"), h);
    }
    return NULL;
}

static void add_proc_paths(SpecBuild *b)
{
    json_t *masked = jarray_at(b->linux_, "maskedPaths"), *ro = jarray_at(b->linux_, "readonlyPaths");
    if (b->privileged || str_eq(b->sec->proc_mount, "Unmasked"))
        return;
    for (size_t i = 0; security_masked_paths[i]; i++)
        jadd(masked, jstr(security_masked_paths[i]));
    for (unsigned i = 0; i < b->host->thermal_cpus; i++) {
        char path[80];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/thermal_throttle", i);
        jadd(masked, jstr(path));
    }
    for (size_t i = 0; security_readonly_paths[i]; i++)
        jadd(ro, jstr(security_readonly_paths[i]));
}

/* Whether AppArmor has <name> loaded. */
static bool apparmor_loaded(const char *name)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read("/sys/kernel/security/apparmor/profiles", 4u << 20, &s);
    if (e || !s.p)
        return false;
    SCOPED(mem_free) char *prefix = mem_fmt("%s (", name);
    for (char *save = NULL, *l = strtok_r(s.p, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        if (str_starts(l, prefix))
            return true;
    }
    return false;
}

/* The default profile is whichever container engine's is loaded: we ship none. */
static const char *apparmor_default(void)
{
    static const char *const known[] = {"reprise-default", "cri-containerd.apparmor.d", "docker-default",
                                        "crio-default"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (apparmor_loaded(known[i]))
            return known[i];
    }
    return NULL;
}

static Err *apparmor(SpecBuild *b)
{
    const SeccompProfile *p = b->sec->app_armor_profile ? b->sec->app_armor_profile : b->pod_sec->app_armor_profile;
    const char *type = p ? str_or(p->type, "") : "";
    bool localhost = str_eq(type, "Localhost");
    if (!b->host->apparmor)
        return !localhost ? NULL
                          : err_reason(err_new(ERR_UNSUPPORTED, 0,
                                               "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
                                       REASON_CREATE);
    if (str_eq(type, "Unconfined") || (b->privileged && !localhost))
        return NULL;
    const char *name = localhost ? str_or(p->localhost_profile, "") : apparmor_default();
    if (localhost && str_starts(name, "localhost/"))
        name += strlen("localhost/");
    if (localhost && !apparmor_loaded(name))
        return err_reason(err_new(ERR_NOT_FOUND, 0, "apparmor profile not found %s", name), REASON_CREATE);
    if (!name && str_eq(type, "RuntimeDefault"))
        return err_reason(err_new(ERR_UNSUPPORTED, 0,
                                  "no default AppArmor profile is loaded: load one named reprise-default "
                                  "with apparmor_parser"),
                          REASON_CREATE);
    if (name)
        jset(b->process, "apparmorProfile", jstr(name));
    return NULL;
}

Err *spec_lsm(SpecBuild *b)
{
    Err *e = apparmor(b);
    const SELinuxOptions *o = b->sec->se_linux_options ? b->sec->se_linux_options : b->pod_sec->se_linux_options;
    if (!e && o && b->host->selinux) /* where SELinux is off they mean nothing, to the kubelet as to us */
        e = err_reason(err_new(ERR_UNSUPPORTED, 0, "seLinuxOptions is not supported by reprise on a host with SELinux"),
                       REASON_CREATE);
    return e;
}

Err *spec_linux(SpecBuild *b)
{
    add_namespaces(b);
    add_proc_paths(b);
    jset(b->linux_, "cgroupsPath", jstr(str_or(b->in->cgroups_path, "")));
    return add_resources(b);
}
