#include "specinput.h"

#include "node/resources.h"

#define NODE_MEMORY INT64_C(8589934592) /* 8 GiB: golden scores must not depend on the machine */

static void add_vec(const json_t *list, StrVec *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_is_string(json_array_get(list, i)))
            strvec_add(out, json_string_value(json_array_get(list, i)));
    }
}

static void copy_list(const StrList *from, StrVec *to)
{
    for (size_t i = 0; i < from->n; i++)
        strvec_add(to, from->v[i]);
}

static void load_image(const json_t *j, Image *img)
{
    add_vec(json_object_get(j, "entrypoint"), &img->entrypoint);
    add_vec(json_object_get(j, "cmd"), &img->cmd);
    add_vec(json_object_get(j, "env"), &img->env);
    add_vec(json_object_get(j, "volumes"), &img->volumes);
    img->user = mem_dup_str(json_str(j, "user"));
    img->working_dir = mem_dup_str(json_str(j, "workingDir"));
}

static void load_host(const json_t *j, OciHost *h)
{
    oci_host_probe(h);
    if (!json_is_object(j))
        return;
    const json_t *caps = json_object_get(j, "caps");
    uint64_t probed = h->caps;
    *h = (OciHost){.caps = probed,
                   .cgroup_v2 = json_flag(j, "cgroupV2", false),
                   .swap_limit = json_flag(j, "swapLimit", false),
                   .hugetlb = json_flag(j, "hugetlb", false),
                   .apparmor = json_flag(j, "apparmor", false),
                   .selinux = json_flag(j, "selinux", false),
                   .own_oom_score_adj = (int)json_i64(j, "ownOomScoreAdj", 0) % 1001,
                   .thermal_cpus = (unsigned)json_i64(j, "thermalCpus", 0) % 64};
    if (json_is_array(caps)) { /* "ALL", or numbers */
        h->caps = 0;
        for (size_t i = 0; i < json_array_size(caps); i++) {
            const json_t *c = json_array_get(caps, i);
            if (json_is_integer(c) && json_integer_value(c) >= 0 && json_integer_value(c) < 41)
                h->caps |= UINT64_C(1) << json_integer_value(c);
            else if (str_eq(json_string_value(c), "ALL"))
                h->caps = (UINT64_C(1) << 41) - 1;
        }
    }
    memcpy(h->hostname, "golden-host", sizeof "golden-host");
}

static void load_config(const json_t *j, SpecInput *s)
{
    const Container *c = s->container;
    ContainerConfig *o = &s->config;
    o->name = str_or(c->name, "");
    o->working_dir = str_or(c->working_dir, "");
    o->tty = c->tty.v;
    o->sec = c->security_context;
    o->pod_sec = s->pod->spec.security_context;
    copy_list(&c->command, &o->command);
    copy_list(&c->args, &o->args);
    LIST_EACH(e, &c->env)
        strvec_fmt(&o->env, "%s=%s", str_or(e->name, ""), str_or(e->value, ""));
    const json_t *list = json_object_get(j, "mounts");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        *LIST_ADD(&o->mounts) = (MountConfig){.container_path = json_str(m, "containerPath"),
                                              .host_path = json_str(m, "hostPath"),
                                              .read_only = json_flag(m, "readOnly", false),
                                              .recursive_read_only = json_flag(m, "recursiveReadOnly", false),
                                              .propagation = json_str(m, "propagation")};
    }
    list = json_object_get(j, "devices");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *d = json_array_get(list, i);
        *LIST_ADD(&o->devices) =
            (DeviceConfig){json_str(d, "hostPath"), json_str(d, "containerPath"), json_str(d, "permissions")};
    }
    list = json_object_get(j, "cdiDevices");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_is_string(json_array_get(list, i)))
            *LIST_ADD(&o->cdi_devices) = mem_dup_str(json_string_value(json_array_get(list, i)));
    }
    const char *key;
    json_t *value, *map = json_object_get(j, "annotations");
    json_object_foreach(map, key, value)
        *LIST_ADD(&o->annotations) = (StrPair){mem_dup_str(key), mem_dup_str(str_or(json_string_value(value), ""))};
    resources_container(s->pod, c, NODE_MEMORY, o);
    o->pids_limit = json_i64(j, "pidsLimit", 0);
}

static void load_input(const json_t *j, SpecInput *s)
{
    s->in = (OciSpecInput){
        .container_id = str_or(json_str(j, "containerId"), "c1"), .sandbox_id = str_or(json_str(j, "sandboxId"), "s1"),
        .pod_uid = str_or(s->pod->metadata.uid, "u1"), .rootfs = str_or(json_str(j, "rootfs"), "/nonexistent-rootfs"),
        .cgroups_path = str_or(json_str(j, "cgroupsPath"), "/reprise/podu1/c1"), .hostname = json_str(j, "hostname"),
        .ns_net = json_str(j, "nsNet"), .ns_ipc = json_str(j, "nsIpc"), .ns_uts = json_str(j, "nsUts"),
        .ns_pid = json_str(j, "nsPid"), .pid_private = json_flag(j, "pidPrivate", false),
        .cgroup_v2 = json_flag(j, "cgroupV2", false), .can_raise_oom_score = json_flag(j, "canRaiseOomScore", false),
        .seccomp_root = json_str(j, "seccompRoot"), .cdi_dirs = str_or(json_str(j, "cdiDirs"), "/nonexistent-cdi"),
        .volumes_dir = json_str(j, "volumesDir"), .host = &s->host, .config = &s->config, .image = &s->image,
    };
}

static Err *load_pod(const json_t *doc, SpecInput *s)
{
    SCOPED(report_done) Report r = {0};
    s->pod = api_decode(&type_Pod, json_object_get(doc, "pod"), "", DECODE_LENIENT, &r);
    if (!report_ok(&r))
        return err_new(ERR_INVALID, 0, "pod: %s: %s", r.errors.v[0].path, r.errors.v[0].message);
    const char *name = json_str(doc, "container");
    LIST_EACH(c, &s->pod->spec.containers)
        if (!s->container && (!name || str_eq(name, c->name)))
            s->container = c;
    return s->container ? NULL : err_new(ERR_NOT_FOUND, 0, "the Pod has no container %s", str_or(name, ""));
}

Err *spec_input_load(const json_t *doc, SpecInput *s)
{
    *s = (SpecInput){0};
    Err *e = load_pod(doc, s);
    if (e)
        return e;
    load_image(json_object_get(doc, "image"), &s->image);
    load_host(json_object_get(doc, "host"), &s->host);
    load_config(json_object_get(doc, "config"), s);
    load_input(json_object_get(doc, "input"), s);
    return NULL;
}

void spec_input_done(SpecInput *s)
{
    pod_free(s->pod);
    strvec_done(&s->image.entrypoint);
    strvec_done(&s->image.cmd);
    strvec_done(&s->image.env);
    strvec_done(&s->image.volumes);
    free(s->image.user);
    free(s->image.working_dir);
    strvec_done(&s->config.command);
    strvec_done(&s->config.args);
    strvec_done(&s->config.env);
    free(s->config.mounts.v);
    free(s->config.devices.v);
    for (size_t i = 0; i < s->config.cdi_devices.n; i++)
        free(s->config.cdi_devices.v[i]);
    free(s->config.cdi_devices.v);
    for (size_t i = 0; i < s->config.annotations.n; i++) {
        free(s->config.annotations.v[i].key);
        free(s->config.annotations.v[i].value);
    }
    free(s->config.annotations.v);
    free(s->config.hugepages.v);
}
