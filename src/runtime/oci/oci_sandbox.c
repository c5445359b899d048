/* Sandboxes: the shim makes the namespaces, CNI attaches them, the shim remembers the addresses; down again in the other
 * order. What CNI must be told at the end is kept with the sandbox, so that any later agent can say it. */
#include <stdio.h>

#include "os/fs.h"
#include "runtime/oci/oci_priv.h"

struct SandboxOp {
    OciRuntime *rt;
    SandboxOp *next; /* in rt->attaching */
    char *uid, *id;
    json_t *meta;
    bool network;
    RuntimeIdDone *id_done;
    RuntimeDone *done;
    void *arg;
    CniDone *attached;
    Err *failed; /* the story of a sandbox_run that is being undone */
};

static SandboxOp *op_new(OciRuntime *rt, const char *uid, const char *id, void *arg)
{
    SandboxOp *op = NEW(SandboxOp);
    *op = (SandboxOp){.rt = rt, .uid = mem_dup_str(uid), .id = mem_dup_str(id), .arg = arg};
    return op;
}

static void op_free(SandboxOp *op)
{
    mem_free(op->uid);
    mem_free(op->id);
    json_decref(op->meta);
    err_free(op->failed);
    mem_free(op);
}

static void op_finish(SandboxOp *op, Err *e)
{
    if (op->id_done)
        op->id_done(op->arg, e ? NULL : op->id, e);
    else
        op->done(op->arg, e);
    op_free(op);
}

/* --- what CNI needs ---------------------------------------------------------------------------------------------------- */

static json_t *meta_make(const SandboxConfig *c)
{
    json_t *ports = json_array();
    LIST_EACH(m, &c->port_mappings)
        (void)json_array_append_new(ports, json_pack("{s:i,s:i,s:s,s:s}", "container", m->container_port, "host", m->host_port,
                                                     "protocol", str_or(m->protocol, "tcp"), "ip", str_or(m->host_ip, "")));
    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:i,s:o,s:s?,s:s?}", "name", c->name, "namespace", c->namespace_, "log_directory",
                     str_or(c->log_directory, ""), "hostname", str_or(c->hostname, ""), "network", c->network == NS_POD,
                     "host_ipc", c->ipc == NS_NODE, "pid", (int)c->pid, "ports", ports, "ingress",
                     strmap_get(&c->annotations, "kubernetes.io/ingress-bandwidth"), "egress",
                     strmap_get(&c->annotations, "kubernetes.io/egress-bandwidth"));
}

typedef LIST_OF(PortMapping) PortList;

static void ports_read(const json_t *meta, PortList *out)
{
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(meta, "ports"), i, p)
    {
        PortMapping *m = LIST_ADD(out);
        m->container_port = (int32_t)json_i64(p, "container", 0);
        m->host_port = (int32_t)json_i64(p, "host", 0);
        m->protocol = mem_dup_str(json_str(p, "protocol"));
        m->host_ip = mem_dup_str(json_str(p, "ip"));
    }
}

static void ports_done(PortList *l)
{
    LIST_EACH(m, l) {
        mem_free(m->protocol);
        mem_free(m->host_ip);
    }
    mem_free(l->v);
}

typedef Err *CniCall(Cni *c, const CniPod *pod, CniDone *done, void *arg);

static void attaching_drop(SandboxOp *op)
{
    for (SandboxOp **at = &op->rt->attaching; *at; at = &(*at)->next)
        if (*at == op) {
            *at = op->next;
            return;
        }
}

static void on_cni(void *arg, char *const *ips, size_t n_ips, Err *err)
{
    SandboxOp *op = arg;
    attaching_drop(op);
    op->attached(op, ips, n_ips, err);
}

void oci_sandbox_cancel(OciRuntime *rt)
{
    while (rt->attaching)
        on_cni(rt->attaching, NULL, 0, err_new(ERR_UNAVAILABLE, 0, "the runtime is closing"));
}

static Err *cni_call(SandboxOp *op, CniCall *call, const char *netns, CniDone *done)
{
    PortList ports = {0};
    ports_read(op->meta, &ports);
    CniPod pod = {.sandbox_id = op->id, .netns_path = netns, .pod_namespace = json_str(op->meta, "namespace"),
                  .pod_name = json_str(op->meta, "name"), .pod_uid = op->uid, .ports = ports.v, .n_ports = ports.n,
                  .ingress_bandwidth = json_str(op->meta, "ingress"), .egress_bandwidth = json_str(op->meta, "egress")};
    op->attached = done;
    op->next = op->rt->attaching;
    op->rt->attaching = op;
    Err *e = call(op->rt->cni, &pod, on_cni, op);
    if (e)
        attaching_drop(op);
    ports_done(&ports);
    return e;
}

/* The network namespace, from its process or, when that has died, from the shim that holds it open. Caller frees. */
static char *netns_path(const PodShim *p, const char *id)
{
    const json_t *s = pod_sandbox(p, id);
    int64_t pid = json_i64(s, "pid", 0), fd = json_i64(s, "netns_fd", -1);
    if (pid > 0)
        return mem_fmt("/proc/%lld/ns/net", (long long)pid);
    if (fd >= 0 && shim_client_ready(p->client))
        return mem_fmt("/proc/%d/fd/%lld", shim_client_pid(p->client), (long long)fd);
    return mem_dup_str("");
}

/* --- run ----------------------------------------------------------------------------------------------------------------- */

static void made(SandboxOp *op, Err *e)
{
    PodShim *p = pod_find(op->rt, op->uid);
    if (p) {
        mem_set_str(&p->making_sandbox, NULL);
        oci_changed(op->rt, op->uid);
    }
    op_finish(op, err_reason(e, "FailedCreatePodSandBox"));
}

static void on_undone(void *arg, const json_t *ok, json_t *request, Err *err)
{
    SandboxOp *op = arg;
    (void)ok;
    (void)request;
    err_free(err); /* what could not be removed shows as a sandbox that is not ready */
    made(op, MOVE(op->failed, NULL));
}

static void undo(SandboxOp *op, Err *e)
{
    PodShim *p = pod_find(op->rt, op->uid);
    if (!p || !pod_sandbox(p, op->id)) {
        made(op, e);
        return;
    }
    op->failed = e;
    pod_call(p, json_pack("{s:s,s:s}", "op", "sandbox_remove", "sandbox", op->id), true, on_undone, op);
}

static void on_ready(void *arg, const json_t *ok, json_t *request, Err *err)
{
    SandboxOp *op = arg;
    (void)ok;
    (void)request;
    if (err)
        undo(op, err);
    else
        made(op, NULL);
}

static void on_attached(void *arg, char *const *ips, size_t n_ips, Err *err)
{
    SandboxOp *op = arg;
    PodShim *p = pod_find(op->rt, op->uid);
    if (err || !p) {
        undo(op, err ? err_wrap(err, "set up the network of Pod %s", json_str(op->meta, "name"))
                     : err_new(ERR_UNAVAILABLE, 0, "the Pod's shim has gone"));
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < n_ips; i++)
        (void)json_array_append_new(list, json_string(ips[i]));
    pod_call(p, json_pack("{s:s,s:s,s:o}", "op", "sandbox_ready", "sandbox", op->id, "ips", list), true, on_ready, op);
}

static void on_created(void *arg, const json_t *ok, json_t *request, Err *err)
{
    SandboxOp *op = arg;
    (void)request;
    if (err) {
        undo(op, err_wrap(err, "make the sandbox of Pod %s", json_str(op->meta, "name")));
        return;
    }
    if (!op->network) {
        on_attached(op, NULL, 0, NULL);
        return;
    }
    SCOPED(mem_free) char *netns = mem_fmt("/proc/%lld/ns/net", (long long)json_i64(ok, "pid", 0));
    Err *e = cni_call(op, cni_add, netns, on_attached);
    if (e)
        on_attached(op, NULL, 0, e);
}

static json_t *create_request(const SandboxOp *op, const SandboxConfig *c)
{
    json_t *sysctls = json_object();
    LIST_EACH(s, &c->sysctls)
        (void)json_object_set_new(sysctls, s->name, json_string(s->value));
    SCOPED(mem_free) char *cgroup = mem_fmt("/reprise/pod%s", c->uid);
    return json_pack("{s:s,s:s,s:I,s:s,s:{s:b,s:b,s:b,s:b},s:o,s:{s:s,s:I,s:I,s:I,s:I,s:I},s:O}", "op", "sandbox_create",
                     "sandbox", op->id, "attempt", (json_int_t)c->attempt, "hostname", str_or(c->hostname, ""), "new_ns", "net",
                     c->network == NS_POD, "ipc", c->ipc == NS_POD, "uts", c->network == NS_POD, "pid", c->pid == NS_POD,
                     "sysctls", sysctls, "cgroup", "path", cgroup, "cpu_shares", (json_int_t)c->cpu_shares, "cpu_quota_us",
                     (json_int_t)c->cpu_quota_us, "cpu_period_us", (json_int_t)c->cpu_period_us, "memory_limit_bytes",
                     (json_int_t)c->memory_limit_bytes, "pids_limit", (json_int_t)c->pids_limit, "meta", op->meta);
}

Err *oci_sandbox_run(Runtime *base, const SandboxConfig *c, RuntimeIdDone *done, void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    PodShim *p = pod_make(rt, c->uid);
    if (p->making_sandbox)
        return err_new(ERR_EXISTS, 0, "a sandbox of Pod %s is being made already", c->name);
    char id[65];
    os_random_hex(id, 32);
    SandboxOp *op = op_new(rt, c->uid, id, arg);
    op->id_done = done;
    op->network = c->network == NS_POD;
    op->meta = meta_make(c);
    mem_set_str(&p->making_sandbox, id);
    pod_call(p, create_request(op, c), true, on_created, op);
    return NULL;
}

/* --- stop and remove ------------------------------------------------------------------------------------------------------ */

static void on_simple(void *arg, const json_t *ok, json_t *request, Err *err)
{
    (void)ok;
    (void)request;
    op_finish(arg, err);
}

static void shim_part(SandboxOp *op, const char *name)
{
    PodShim *p = pod_find(op->rt, op->uid);
    if (p)
        pod_call(p, json_pack("{s:s,s:s}", "op", name, "sandbox", op->id), true, on_simple, op);
    else
        op_finish(op, NULL); /* gone meanwhile */
}

static void on_detached_stop(void *arg, char *const *ips, size_t n_ips, Err *err)
{
    (void)ips;
    (void)n_ips;
    if (err)
        op_finish(arg, err_wrap(err, "take down the network of the Pod"));
    else
        shim_part(arg, "sandbox_stop");
}

static void on_detached_remove(void *arg, char *const *ips, size_t n_ips, Err *err)
{
    (void)ips;
    (void)n_ips;
    if (err)
        op_finish(arg, err_wrap(err, "take down the network of the Pod"));
    else
        shim_part(arg, "sandbox_remove");
}

static void nothing_there(void *arg, bool cancelled)
{
    op_finish(arg, cancelled ? err_new(ERR_UNAVAILABLE, 0, "the runtime is closing") : NULL);
}

static Err *end_sandbox(Runtime *base, const char *uid, const char *id, CniDone *detached, const char *name, RuntimeDone *done,
                        void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    PodShim *p = pod_find(rt, uid);
    const json_t *s = pod_sandbox(p, id);
    SandboxOp *op = op_new(rt, uid, id, arg);
    op->done = done;
    if (!s) {
        oci_later(rt, nothing_there, op);
        return NULL;
    }
    p->mine = true;
    op->meta = json_incref(json_object_get(s, "meta"));
    if (!json_flag(op->meta, "network", false)) {
        shim_part(op, name);
        return NULL;
    }
    SCOPED(mem_free) char *netns = netns_path(p, id);
    Err *e = cni_call(op, cni_del, netns, detached);
    if (e)
        op_free(op);
    return e;
}

Err *oci_sandbox_stop(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    return end_sandbox(rt, uid, id, on_detached_stop, "sandbox_stop", done, arg);
}

Err *oci_sandbox_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    return end_sandbox(rt, uid, id, on_detached_remove, "sandbox_remove", done, arg);
}
