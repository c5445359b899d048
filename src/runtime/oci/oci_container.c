#include <stdio.h>

#include "os/fs.h"
#include "runtime/oci/oci_priv.h"
#include "wire/shimwire.h"

#define CREATE_TRIES 3 /* when the shim dies over it: the next one undoes the half, and a new attempt id is used */

/* --- create -------------------------------------------------------------------------------------------------------------- */

typedef struct {
    OciRuntime *rt;
    char *uid, *sandbox_id, id[65], *rootfs;
    ConfigCopy config;
    Image *image;
    PrepareMode prepare; /* OFF: to be started at once */
    char *key;
    unsigned tries;
    RuntimeIdDone *done;
    void *arg;
    Err *failed;
} CreateOp;

static void create_finish(CreateOp *op, Err *e)
{
    op->done(op->arg, e ? NULL : op->id, e);
    mem_free(op->uid);
    mem_free(op->sandbox_id);
    mem_free(op->rootfs);
    mem_free(op->key);
    config_copy_done(&op->config);
    image_free(op->image);
    err_free(op->failed);
    mem_free(op);
}

static void layers_mount(CreateOp *op);

/* A shim that died over it leaves nothing: the next one undoes what was half made. */
static bool create_again(CreateOp *op, const Err *e)
{
    PodShim *p = pod_find(op->rt, op->uid);
    return e->kind == ERR_UNAVAILABLE && ++op->tries < CREATE_TRIES && p && !op->rt->closing && pod_sandbox(p, op->sandbox_id);
}

static void on_created(void *arg, const json_t *ok, json_t *request, Err *err)
{
    CreateOp *op = arg;
    (void)ok;
    (void)request;
    if (err && create_again(op, err)) {
        err_free(err);
        layers_mount(op);
        return;
    }
    create_finish(op, err);
}

static void on_undone(void *arg, const json_t *ok, json_t *request, Err *err)
{
    CreateOp *op = arg;
    (void)ok;
    (void)request;
    err_free(err);
    create_finish(op, MOVE(op->failed, NULL));
}

/* Paths of the namespaces to join; strings are owned by <arena>. */
static Err *namespaces(const CreateOp *op, const PodShim *p, OciSpecInput *in, StrVec *arena)
{
    const json_t *s = pod_sandbox(p, op->sandbox_id), *made = json_object_get(s, "new_ns");
    long long pid = json_i64(s, "pid", 0);
    if (pid <= 0)
        return err_new(ERR_UNAVAILABLE, 0, "the Pod's sandbox has ended");
    const struct {
        const char *name, **path;
    } kinds[] = {{"net", &in->ns_net}, {"ipc", &in->ns_ipc}, {"uts", &in->ns_uts}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (json_flag(made, kinds[i].name, false)) {
            strvec_fmt(arena, "/proc/%lld/ns/%s", pid, kinds[i].name);
            *kinds[i].path = arena->v[arena->n - 1];
        }
    const ContainerConfig *c = &op->config.c;
    in->pid_private = c->pid == NS_CONTAINER;
    if (c->pid == NS_TARGET) {
        pid = json_i64(pod_container(p, c->pid_target_id), "pid", 0);
        if (pid <= 0)
            return err_new(ERR_NOT_FOUND, 0, "target container \"%s\" is not running", str_or(c->pid_target_id, ""));
    }
    if (c->pid == NS_TARGET || (c->pid == NS_POD && json_flag(made, "pid", false))) {
        strvec_fmt(arena, "/proc/%lld/ns/pid", pid);
        in->ns_pid = arena->v[arena->n - 1];
    }
    return NULL;
}

static Err *spec_make(const CreateOp *op, const PodShim *p, const char *cgroup, json_t **ret)
{
    SCOPED(strvec_done) StrVec arena = {0};
    SCOPED(mem_free) char *seccomp = mem_fmt("%s/seccomp", op->rt->root);
    SCOPED(mem_free) char *volumes = mem_fmt("%s/pods/%s/containers/%s/volumes", op->rt->root, op->uid, op->id);
    const OciHost *h = &op->rt->host;
    OciSpecInput in = {.container_id = op->id, .sandbox_id = op->sandbox_id, .pod_uid = op->uid, .rootfs = op->rootfs,
                       .cgroups_path = cgroup, .cgroup_v2 = h->cgroup_v2, .can_raise_oom_score = h->can_raise_oom_score,
                       .can_raise_rlimits = h->can_raise_rlimits, .seccomp_root = seccomp, .volumes_dir = volumes, .host = h,
                       .config = &op->config.c, .image = op->image,
                       .hostname = json_str(json_object_get(pod_sandbox(p, op->sandbox_id), "meta"), "hostname")};
    Err *e = namespaces(op, p, &in, &arena);
    return e ? e : oci_spec_make(&in, ret);
}

static json_t *create_request(const CreateOp *op, const PodShim *p, const char *cgroup, json_t *spec)
{
    const ContainerConfig *c = &op->config.c;
    const char *dir = json_str(json_object_get(pod_sandbox(p, op->sandbox_id), "meta"), "log_directory");
    SCOPED(mem_free) char *log = c->log_path[0] == '/' ? mem_dup_str(c->log_path) : mem_fmt("%s/%s", str_or(dir, ""), c->log_path);
    bool hooks = json_object_size(json_object_get(spec, "hooks")) > 0; /* CDI's */
    json_t *standby = op->prepare == PREPARE_OFF ? NULL : json_string(prepare_mode_names[op->prepare]);
    return json_pack(
        "{s:s,s:s,s:o,s:{s:s,s:I,s:s?,s:s?,s:s?,s:s},s:{s:I,s:i},s:s,s:b,s:s?,s:b,s:b,s:b,s:{s:s?,s:b},s:o*,s:s*,s:b}", "op", "create", "container",
        op->id, "config", spec, "facts", "name", c->name, "attempt", (json_int_t)c->attempt, "image", c->image, "image_id",
        c->image_id, "spec_hash", c->spec_hash, "log_path", log, "log", "max_bytes", (json_int_t)op->rt->log_max_bytes, "max_files",
        op->rt->log_max_files, "cgroup", cgroup, "pid_private", c->pid == NS_CONTAINER, "stop_signal",
        c->stop_signal ? c->stop_signal : op->image->stop_signal, "tty", c->tty, "stdin", c->stdin_, "stdin_once",
        c->stdin_ && c->stdin_once, "message", "path",
        c->termination_message_host_path, "fallback", c->termination_message_from_logs, "standby", standby, "key", op->key, "hooks", hooks);
}

static void on_prepared(void *arg, const json_t *ok, json_t *request, Err *err)
{
    CreateOp *op = arg;
    (void)request;
    if (err) {
        on_created(op, NULL, NULL, err);
        return;
    }
    PodShim *p = pod_find(op->rt, op->uid);
    SCOPED(mem_free) char *cgroup = mem_fmt("/reprise/pod%s/%s", op->uid, op->id);
    json_t *spec = NULL;
    mem_set_str(&op->rootfs, str_or(json_str(ok, "rootfs"), ""));
    Err *e = spec_make(op, p, cgroup, &spec);
    if (e) {
        op->failed = err_reason(e, e->reason[0] ? e->reason : "CreateContainerError");
        pod_call(p, json_pack("{s:s,s:s}", "op", "remove", "container", op->id), true, on_undone, op);
        return;
    }
    pod_call(p, create_request(op, p, cgroup, spec), false, on_created, op);
}

static void layers_mount(CreateOp *op)
{
    json_t *lower = json_array();
    for (size_t i = 0; i < op->image->layer_dirs.n; i++)
        (void)json_array_append_new(lower, json_string(op->image->layer_dirs.v[i]));
    os_random_hex(op->id, 32);
    pod_call(pod_find(op->rt, op->uid),
             json_pack("{s:s,s:s,s:s,s:o}", "op", "prepare", "container", op->id, "sandbox", op->sandbox_id, "lower", lower), false,
             on_prepared, op);
}

static Err *make(Runtime *base, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode prepare,
                 const char *key, RuntimeIdDone *done, void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    const PodShim *p = pod_find(rt, uid);
    if (!pod_sandbox(p, sandbox_id))
        return err_reason(err_new(ERR_NOT_FOUND, 0, "the Pod has no sandbox %s", sandbox_id), "CreateContainerError");
    Image *image = NULL;
    Err *e = image_get(rt->images, str_empty(c->image_id) ? c->image : c->image_id, &image);
    if (e)
        return err_reason(e, "CreateContainerError");
    CreateOp *op = NEW(CreateOp);
    *op = (CreateOp){.rt = rt, .uid = mem_dup_str(uid), .sandbox_id = mem_dup_str(sandbox_id), .image = image,
                     .prepare = prepare, .key = mem_dup_str(key), .done = done, .arg = arg};
    config_copy(&op->config, c);
    layers_mount(op);
    return NULL;
}

Err *oci_container_create(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, RuntimeIdDone *done,
                          void *arg)
{
    return make(rt, uid, sandbox_id, c, PREPARE_OFF, NULL, done, arg);
}

/* A terminal comes from the runtime after it has made the container, and belongs to whom it was given: no gate before it. */
Err *oci_container_prepare(Runtime *base, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode mode,
                           const char *key, RuntimeIdDone *done, void *arg)
{
    const OciRuntime *rt = (const OciRuntime *)base;
    return make(base, uid, sandbox_id, c, mode == PREPARE_GATE && (c->tty || !rt->gate) ? PREPARE_CREATE : mode, key, done, arg);
}

/* --- requests that are one message ----------------------------------------------------------------------------------------- */

typedef struct {
    RuntimeDone *done;
    RuntimeExecDone *exec_done;
    void *arg;
} SimpleOp;

static void on_simple(void *arg, const json_t *ok, json_t *request, Err *err)
{
    SimpleOp *op = arg;
    (void)ok;
    (void)request;
    op->done(op->arg, err);
    mem_free(op);
}

static void nothing_there(void *arg, bool cancelled)
{
    on_simple(arg, NULL, NULL, cancelled ? err_new(ERR_UNAVAILABLE, 0, "the runtime is closing") : NULL);
}

/* <request> taken. Without the Pod, what must be there is an error and the rest is done. */
static Err *simple(Runtime *base, const char *uid, json_t *request, bool needed, RuntimeDone *done, void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    PodShim *p = pod_find(rt, uid);
    if (!p && needed) {
        json_decref(request);
        return err_new(ERR_NOT_FOUND, 0, "the runtime holds nothing of Pod %s", uid);
    }
    SimpleOp *op = NEW(SimpleOp);
    *op = (SimpleOp){.done = done, .arg = arg};
    if (p) {
        pod_call(p, request, true, on_simple, op);
    } else {
        json_decref(request);
        oci_later(rt, nothing_there, op);
    }
    return NULL;
}

Err *oci_container_start(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    return simple(rt, uid, json_pack("{s:s,s:s}", "op", "start", "container", id), true, done, arg);
}

Err *oci_container_signal(Runtime *rt, const char *uid, const char *id, int signal, RuntimeDone *done, void *arg)
{
    return simple(rt, uid, json_pack("{s:s,s:s,s:i}", "op", "signal", "container", id, "signal", signal), false, done, arg);
}

Err *oci_containers_kill(Runtime *rt, const char *uid, const char *const *ids, size_t n, RuntimeDone *done, void *arg)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(list, json_string(ids[i]));
    return simple(rt, uid, json_pack("{s:s,s:o}", "op", "kill", "containers", list), false, done, arg);
}

Err *oci_container_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    return simple(rt, uid, json_pack("{s:s,s:s}", "op", "remove", "container", id), false, done, arg);
}

static void on_exec(void *arg, const json_t *ok, json_t *request, Err *err)
{
    SimpleOp *op = arg;
    (void)request;
    SCOPED(str_done) Str out = {0};
    if (!err && !shim_base64_read(str_or(json_str(ok, "output"), "="), &out))
        err = err_new(ERR_INVALID, 0, "the shim's answer to exec has no output");
    ExecResult res = {.timed_out = json_flag(ok, "timed_out", false), .exit_code = (int32_t)json_i64(ok, "exit_code", -1),
                      .out = out.p ? out.p : "", .n_out = out.n};
    op->exec_done(op->arg, err ? NULL : &res, err);
    mem_free(op);
}

Err *oci_exec_sync(Runtime *base, const char *uid, const char *id, const char *const *argv, int64_t timeout_ns, size_t max_output,
                   RuntimeExecDone *done, void *arg)
{
    PodShim *p = pod_find((OciRuntime *)base, uid);
    if (!p)
        return err_new(ERR_NOT_FOUND, 0, "the runtime holds nothing of Pod %s", uid);
    json_t *list = json_array();
    for (; *argv; argv++)
        (void)json_array_append_new(list, json_string(*argv));
    SimpleOp *op = NEW(SimpleOp);
    *op = (SimpleOp){.exec_done = done, .arg = arg};
    pod_call(p, json_pack("{s:s,s:s,s:o,s:I,s:I}", "op", "exec", "container", id, "argv", list, "timeout_ns", (json_int_t)timeout_ns,
                          "max_output", (json_int_t)max_output),
             false, on_exec, op);
    return NULL;
}
