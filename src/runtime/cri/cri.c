#include "runtime/cri/cri.h"

#include "base/clock.h"
#include "runtime/cri/cri_priv.h"
#include "wire/json.h"

#define OPEN_NS (10 * NS_PER_S)
#define USER_AGENT "reprise/" REPRISE_VERSION

const char *const cri_events_names[] = {"auto", "cri", "containerd", "relist", NULL};

static void pod_facts(Runtime *rt, const char *uid, PodFacts *out)
{
    cri_facts((CriRuntime *)rt, uid, out);
}

static void pod_uids(Runtime *base, StrList *out)
{
    *out = (StrList){0};
    LIST_EACH(p, &((CriRuntime *)base)->pods)
        *LIST_ADD(out) = mem_dup_str((*p)->uid);
}

static void cri_close(Runtime *base)
{
    CriRuntime *rt = (CriRuntime *)base;
    rt->closing = true;
    cri_calls_cancel(rt);
    cri_later_cancel(rt);
    cri_names_cancel(rt);
    cri_calls_cancel(rt); /* what the answers have asked for */
    cri_watch_stop(rt);
    cri_logs_stop(rt);
    if (rt->images != rt->client)
        grpc_client_free(rt->images);
    grpc_client_free(rt->client);
    cri_cache_done(rt);
    cgroup_host_done(&rt->cgroups);
    LIST_EACH(u, &rt->users) {
        free(u->id);
        free(u->username);
    }
    free(rt->users.v);
    err_free(rt->connect_error);
    free(rt->root);
    free(rt->endpoint);
    free(rt->name);
    free(rt->version);
    free(rt->type);
    free(rt->pause_image);
    free(rt);
}

static const RuntimeOps cri_ops = {
    .name = "cri",
    .caps = RUNTIME_CAP_IMAGE_PULL | RUNTIME_CAP_HOST_MOUNT_NS | RUNTIME_CAP_SANDBOX_AGAIN,
    .pod_facts = pod_facts,
    .sandbox_run = cri_sandbox_run,
    .sandbox_stop = cri_sandbox_stop,
    .sandbox_remove = cri_sandbox_remove,
    .image_ensure = cri_image_ensure,
    .image_find = cri_image_find,
    .image_user = cri_image_user,
    .container_create = cri_container_create,
    .container_prepare = cri_container_prepare,
    .container_start = cri_container_start,
    .container_signal = cri_container_signal,
    .containers_kill = cri_containers_kill,
    .container_remove = cri_container_remove,
    .exec_sync = cri_exec_sync,
    .exec = cri_exec,
    .attach = cri_attach,
    .port_forward = cri_port_forward,
    .pod_uids = pod_uids,
    .close = cri_close,
    .images = cri_images,
    .image_remove = cri_image_remove,
    .disks = cri_disks,
    .place = cri_place,
    .usage = cri_usage,
    .status = cri_status,
};

/* --- opening ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    CriRuntime *rt;
    int64_t timeout_ns;
    uv_timer_t timer;
    unsigned left;  /* answers to come */
    bool timed_out;
    bool no_config; /* RuntimeConfig is not there: containerd before 2.0 */
    bool systemd_in_info; /* what Status says then: either may be answered first */
    Err *failed;
} Opening;

static void on_state(void *arg, bool connected, const Err *why)
{
    CriRuntime *rt = arg;
    err_free(MOVE(rt->connect_error, NULL));
    if (rt->opening && why) {
        SCOPED(mem_free) char *text = err_text(why);
        rt->connect_error = err_new(ERR_UNAVAILABLE, why->sys, "%s", text);
    }
    if (rt->closing)
        return;
    cri_watch_connected(rt, connected);
}

static void opening_failed(Opening *o, Err *e)
{
    if (o->failed)
        err_free(e);
    else
        o->failed = e;
}

static void on_version(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Opening *o = arg;
    o->left--;
    if (err) {
        if (code == GRPC_UNIMPLEMENTED)
            err = err_wrap(err, "CRI v1 is not served there: containerd before 1.6, or its CRI plugin is disabled (disabled_plugins in "
                                "/etc/containerd/config.toml)");
        opening_failed(o, err);
        return;
    }
    const Cri__VersionResponse *r = (const Cri__VersionResponse *)answer;
    o->rt->type = mem_dup_str(r->runtime_name);
    o->rt->base.type = o->rt->type;
    o->rt->version = mem_dup_str(r->runtime_version);
    o->rt->base.version = o->rt->version;
    o->rt->name = mem_fmt("%s %s", r->runtime_name, r->runtime_version);
}

static void on_config(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Opening *o = arg;
    o->left--;
    o->no_config = code == GRPC_UNIMPLEMENTED;
    if (err && !o->no_config)
        opening_failed(o, err);
    else
        err_free(err);
    const Cri__RuntimeConfigResponse *r = (const Cri__RuntimeConfigResponse *)answer;
    if (r && r->linux_)
        o->rt->systemd_cgroups = r->linux_->cgroup_driver == CRI__CGROUP_DRIVER__SYSTEMD;
}

/* containerd tells its configuration in Status; runc's SystemdCgroup is in there, for each runtime handler. The default one counts. */
static bool systemd_in_info(const char *config, char **ret_pause)
{
    json_t *o = NULL;
    SCOPED(err_free) Err *e = json_parse(config, strlen(config), &o);
    const json_t *ctrd = json_object_get(o, "containerd");
    const char *name = json_string_value(json_object_get(ctrd, "defaultRuntimeName"));
    const json_t *handler = json_object_get(json_object_get(ctrd, "runtimes"), str_or(name, "runc"));
    bool systemd = json_is_true(json_object_get(json_object_get(handler, "options"), "SystemdCgroup")) ||
                   json_is_true(json_object_get(o, "systemdCgroup"));
    mem_set_str(ret_pause, json_string_value(json_object_get(o, "sandboxImage")));
    json_decref(o);
    return systemd;
}

static void on_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Opening *o = arg;
    o->left--;
    (void)code;
    if (err) {
        opening_failed(o, err);
        return;
    }
    const Cri__StatusResponse *r = (const Cri__StatusResponse *)answer;
    for (size_t i = 0; r->status && i < r->status->n_conditions; i++) {
        const Cri__RuntimeCondition *c = r->status->conditions[i];
        if (str_eq(c->type, "RuntimeReady") && !c->status)
            opening_failed(o, err_new(ERR_UNAVAILABLE, 0, "the runtime is not ready: %s: %s", c->reason, c->message));
    }
    for (size_t i = 0; i < r->n_info; i++)
        if (str_eq(r->info[i]->key, "config"))
            o->systemd_in_info = systemd_in_info(r->info[i]->value, &o->rt->pause_image);
}

static void on_open_timeout(uv_timer_t *t)
{
    ((Opening *)t->data)->timed_out = true;
}

/* Nothing else is on the loop yet. */
static void wait_until(Opening *o, bool (*done)(const Opening *o))
{
    while (!o->failed && !o->timed_out && !done(o))
        (void)uv_run(o->rt->loop, UV_RUN_ONCE);
}

static bool answered(const Opening *o)
{
    return o->left == 0 || o->rt->connect_error;
}

static bool adopted(const Opening *o)
{
    return cri_watch_ready(o->rt);
}

static void ask(Opening *o)
{
    CriRuntime *rt = o->rt;
    Cri__VersionRequest version = CRI__VERSION_REQUEST__INIT;
    Cri__RuntimeConfigRequest config = CRI__RUNTIME_CONFIG_REQUEST__INIT;
    Cri__StatusRequest status = CRI__STATUS_REQUEST__INIT;
    status.verbose = true;
    o->left = 3;
    cri_call(rt, CRI_VERSION, &version, NULL, on_version, o);
    cri_call(rt, CRI_RUNTIME_CONFIG, &config, NULL, on_config, o);
    cri_call(rt, CRI_STATUS, &status, NULL, on_status, o);
}

static Err *what_is_wrong(Opening *o)
{
    CriRuntime *rt = o->rt;
    Err *e = MOVE(rt->connect_error, NULL);
    if (e)
        err_free(o->failed);
    else
        e = o->failed;
    o->failed = NULL;
    if (!e && o->timed_out) {
        SCOPED(mem_free) char *limit = duration_format(o->timeout_ns);
        e = err_new(ERR_TIMEOUT, 0, "no answer within %s", limit);
    }
    if (e && e->kind == ERR_UNAVAILABLE)
        e->kind = ERR_UNSUPPORTED; /* this machine lacks it */
    return e ? err_wrap(e, "container runtime endpoint %s (see reprise doctor --container-runtime-endpoint=%s)", rt->endpoint, rt->endpoint)
             : NULL;
}

static void opening_closed(uv_handle_t *h)
{
    free(h->data);
}

static Err *open_wait(CriRuntime *rt, CriEvents events, int64_t timeout_ns)
{
    Opening *o = NEW(Opening);
    *o = (Opening){.rt = rt, .timeout_ns = timeout_ns, .timer.data = o};
    (void)uv_timer_init(rt->loop, &o->timer);
    (void)uv_timer_start(&o->timer, on_open_timeout, (uint64_t)(timeout_ns / NS_PER_MS), 0);
    rt->opening = true;
    ask(o);
    wait_until(o, answered);
    if (o->no_config)
        rt->systemd_cgroups = o->systemd_in_info;
    if (!o->failed && !o->timed_out && !rt->connect_error) {
        cri_watch_start(rt, events);
        wait_until(o, adopted);
    }
    rt->opening = false;
    Err *e = what_is_wrong(o);
    if (e)
        cri_calls_cancel(rt); /* they point to <o> */
    err_free(MOVE(o->failed, NULL));
    uv_close((uv_handle_t *)&o->timer, opening_closed);
    return e;
}

static Err *client_open(CriRuntime *rt, const char *endpoint, bool watched, GrpcClient **ret)
{
    GrpcClientConfig c = {.loop = rt->loop, .target = endpoint, .user_agent = USER_AGENT, .on_state = watched ? on_state : NULL, .arg = rt};
    Err *e = grpc_client_new(&c, ret);
    return e ? err_wrap(e, "container runtime endpoint %s", endpoint) : NULL;
}

Err *cri_runtime_open(const CriRuntimeConfig *c, Runtime **ret)
{
    CriRuntime *rt = NEW(CriRuntime);
    *rt = (CriRuntime){.base.ops = &cri_ops, .loop = c->loop, .root = mem_dup_str(c->root), .endpoint = mem_dup_str(c->endpoint),
                       .request_timeout_ns = c->request_timeout_ns, .on_warning = c->on_warning, .warning_arg = c->warning_arg};
    bool same = str_empty(c->image_endpoint) || str_eq(c->image_endpoint, c->endpoint);
    Err *cgroups = cgroup_probe(&rt->cgroups);
    rt->have_cgroups = !cgroups;
    err_free(cgroups);
    Err *e = client_open(rt, c->endpoint, true, &rt->client);
    if (!e && !same)
        e = client_open(rt, c->image_endpoint, false, &rt->images);
    rt->images = same ? rt->client : rt->images;
    if (!e)
        e = open_wait(rt, c->events, c->open_timeout_ns ? c->open_timeout_ns : OPEN_NS);
    if (e) {
        cri_close(&rt->base);
        return e;
    }
    cri_logs_start(rt, c);
    *ret = &rt->base;
    return NULL;
}
