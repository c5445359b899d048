/* start.c - one container's start: image, files, environment, mounts, create, start, postStart. A failure leaves a
 * StartFact with the kubelet's reason; the core decides when to try again. */
#include <stdio.h>

#include "agent/worker.h"
#include "node/resources.h"
#include "os/fault.h"

typedef struct {
    Worker *w;
    char *container, *sandbox_id, *id;
    uint32_t attempt;
    int64_t pull_started_ns;
    bool pulling;
    Err *pull_failed; /* owned; a pull by policy Always failed: the store is asked for what was imported */
} StartOp;

static void start_op_free(StartOp *op)
{
    worker_unref(op->w);
    err_free(op->pull_failed);
    free(op->container);
    free(op->sandbox_id);
    free(op->id);
    free(op);
}

StartFact *worker_start_fact(Worker *w, const char *container)
{
    LIST_EACH(s, &w->starts)
        if (str_eq(s->container, container))
            return s;
    return NULL;
}

void worker_start_fact_set(Worker *w, const char *container, StartState state, const char *reason, const char *message)
{
    StartFact *s = worker_start_fact(w, container);
    if (!s) {
        s = LIST_ADD(&w->starts);
        s->container = mem_dup_str(container);
    }
    s->state = state;
    s->at_ns = worker_now();
    mem_set_str(&s->reason, reason);
    mem_set_str(&s->message, message);
}

void worker_start_fact_clear(Worker *w, const char *container)
{
    StartFact *s = worker_start_fact(w, container);
    if (!s)
        return;
    free(s->container);
    free(s->reason);
    free(s->message);
    *s = w->starts.v[--w->starts.n];
}

/* Ends the start with what went wrong; takes both. */
static void start_failed(StartOp *op, const char *default_reason, Err *err)
{
    Worker *w = op->w;
    if (!w->closed) {
        const char *reason = err->reason[0] ? err->reason : default_reason;
        SCOPED(mem_free) char *text = err_text(err);
        worker_start_fact_set(w, op->container, START_FAILED, reason, text);
        if (str_eq(reason, "ErrImagePull"))
            worker_event(w, true, "Failed", op->container, "Failed to pull image \"%s\": %s",
                         worker_container(w, op->container)->image, text);
        worker_event(w, true, "Failed", op->container, "Error: %s", str_eq(reason, "ErrImagePull") ? reason : text);
        worker_dirty(w);
    }
    err_free(err);
    start_op_free(op);
}

/* --- start ------------------------------------------------------------------------------------------------------- */

static void on_started(void *arg, Err *err)
{
    StartOp *op = arg;
    Worker *w = op->w;
    if (w->closed) {
        err_free(err);
        start_op_free(op);
        return;
    }
    fault_step("container.started");
    const Container *c = worker_container(w, op->container);
    if (!err) {
        worker_event(w, false, "Started", op->container, "Started container %s", op->container);
        worker_start_fact_clear(w, op->container);
        err_free(volumes_container_release(w->agent->root, worker_uid(w), op->container)); /* teardown does it at last */
        worker_post_start(w, c, op->id);
        worker_dirty(w);
        start_op_free(op);
        return;
    }
    /* An instance that shows its own failed start (Exited 128 StartError) tells the story itself. */
    PodFacts facts = {0};
    w->agent->cfg.rt->ops->pod_facts(w->agent->cfg.rt, worker_uid(w), &facts);
    const ContainerFact *f = pod_facts_newest(&facts, op->container);
    bool shown = f && f->state == RUN_EXITED && str_eq(f->id, op->id);
    pod_facts_done(&facts);
    if (!shown) {
        start_failed(op, "RunContainerError", err);
        return;
    }
    SCOPED(mem_free) char *text = err_text(err);
    worker_event(w, true, "Failed", op->container, "Error: %s", text);
    worker_start_fact_clear(w, op->container);
    worker_dirty(w);
    err_free(err);
    start_op_free(op);
}

static void on_created(void *arg, const char *id, Err *err)
{
    StartOp *op = arg;
    Worker *w = op->w;
    if (err || w->closed) {
        if (!err)
            start_op_free(op);
        else
            start_failed(op, "CreateContainerError", err);
        return;
    }
    fault_step("container.created");
    op->id = mem_dup_str(id);
    worker_event(w, false, "Created", op->container, "Created container: %s", op->container);
    Runtime *rt = w->agent->cfg.rt;
    Err *e = rt->ops->container_start(rt, worker_uid(w), id, on_started, op);
    if (e)
        on_started(op, e);
}

/* --- create ------------------------------------------------------------------------------------------------------ */

static NamespaceMode pid_mode(const PodSpec *s, const Container *c)
{
    if (s->host_pid.v)
        return NS_NODE;
    if (c->target_container_name && *c->target_container_name)
        return NS_TARGET;
    return s->share_process_namespace.v ? NS_POD : NS_CONTAINER;
}

/* Writes /etc/hosts and kin once for each sandbox: its addresses may differ from the last one's. */
static Err *write_pod_files(Worker *w, const char *sandbox_id, const VolumesContext *ctx, const PodFacts *facts)
{
    if (str_eq(w->files_for, sandbox_id))
        return NULL;
    LIST_EACH(s, &facts->sandboxes) {
        if (!str_eq(s->id, sandbox_id))
            continue;
        bool host = w->rec.pod->spec.host_network.v;
        Err *e = podfiles_write(ctx, host ? w->agent->host_ips.v : s->ips.v, host ? w->agent->host_ips.n : s->ips.n);
        if (e)
            return e;
        mem_set_str(&w->files_for, sandbox_id);
    }
    return NULL;
}

typedef struct {
    StrVec env, arena;
    MountList mounts;
    ContainerConfig cc;
    char *log_path, *hash, *termination_log;
    PodFacts facts;
} Making;

static void making_done(Making *m)
{
    strvec_done(&m->env);
    strvec_done(&m->arena);
    strvec_done(&m->cc.command);
    strvec_done(&m->cc.args);
    free(m->mounts.v);
    free(m->cc.devices.v);
    free(m->cc.hugepages.v);
    free(m->log_path);
    free(m->hash);
    free(m->termination_log);
    pod_facts_done(&m->facts);
}

/* Everything the runtime must be told, from the spec and the Pod's own objects. */
static Err *make_config(StartOp *op, const Container *c, const char *image_id, Making *m)
{
    Worker *w = op->w;
    const Pod *p = w->rec.pod;
    VolumesContext ctx = worker_volumes(w);
    SCOPED(strvec_done) StrVec warnings = {0}, dns_warnings = {0};
    ctx.warnings = &dns_warnings;
    w->agent->cfg.rt->ops->pod_facts(w->agent->cfg.rt, worker_uid(w), &m->facts);
    Err *e = write_pod_files(w, op->sandbox_id, &ctx, &m->facts);
    if (e)
        return e;
    ctx.warnings = &warnings;
    StrList ips = {0};
    LIST_EACH(s, &m->facts.sandboxes)
        if (str_eq(s->id, op->sandbox_id))
            ips = p->spec.host_network.v ? w->agent->host_ips : s->ips;
    e = env_resolve(&ctx, c, ips.n ? ips.v[0] : "", &ips, &m->env);
    if (!e)
        e = volumes_container_mounts(&ctx, c, &m->env, op->attempt, &m->mounts, &m->arena);
    if (e)
        return e->reason[0] ? e : err_reason(e, "CreateContainerConfigError");
    ContainerConfig *cc = &m->cc;
    env_expand_list(&c->command, &m->env, &cc->command);
    env_expand_list(&c->args, &m->env, &cc->args);
    m->log_path = mem_fmt("%s/%u.log", c->name, op->attempt);
    m->hash = plan_container_hash(c);
    cc->name = c->name;
    cc->attempt = op->attempt;
    cc->image = c->image;
    cc->image_id = image_id;
    cc->working_dir = str_or(c->working_dir, "");
    cc->env = m->env;
    cc->mounts.n = m->mounts.n;
    cc->mounts.v = m->mounts.v;
    cc->annotations = p->metadata.annotations;
    cc->labels = p->metadata.labels;
    cc->log_path = m->log_path;
    cc->stdin_ = c->stdin_.v;
    cc->stdin_once = c->stdin_once.v;
    cc->tty = c->tty.v;
    cc->stop_signal = c->lifecycle ? c->lifecycle->stop_signal : NULL;
    m->termination_log = volumes_termination_log(w->agent->root, p->metadata.uid, c->name, op->attempt);
    cc->termination_message_path = c->termination_message_path;
    cc->termination_message_host_path = m->termination_log;
    cc->termination_message_from_logs = str_eq(c->termination_message_policy, "FallbackToLogsOnError");
    cc->sec = c->security_context;
    cc->pod_sec = p->spec.security_context;
    cc->pid = pid_mode(&p->spec, c);
    if (cc->pid == NS_TARGET) {
        const ContainerFact *t = pod_facts_newest(&m->facts, c->target_container_name);
        if (!t || t->state != RUN_RUNNING)
            return err_reason(err_new(ERR_NOT_FOUND, 0, "target container \"%s\" is not running",
                                      c->target_container_name),
                              "CreateContainerConfigError");
        cc->pid_target_id = t->id;
    }
    cc->spec_hash = m->hash;
    for (size_t i = 0; i < dns_warnings.n; i++)
        worker_event(w, true, "DNSConfigForming", NULL, "%s", dns_warnings.v[i]);
    for (size_t i = 0; i < warnings.n; i++)
        worker_event(w, true, "InvalidEnvironmentVariableNames", c->name, "%s", warnings.v[i]);
    DeviceList devices = {0};
    e = volumes_container_devices(&ctx, c, &devices, &m->arena);
    cc->devices.n = devices.n;
    cc->devices.v = devices.v;
    if (e)
        return e;
    resources_container(p, c, w->agent->node_memory_bytes, cc);
    return NULL;
}

static void on_image(void *arg, const char *image_id, Err *err);

/* A pull by policy Always that failed, where no registry is in reach: an image that was imported by hand is as new as it gets on
 * this machine, and :latest would run nowhere offline otherwise. Said aloud. Takes <err> and returns true if it asks the store. */
static bool use_imported(StartOp *op, Err *err)
{
    Worker *w = op->w;
    Runtime *rt = w->agent->cfg.rt;
    const Container *c = worker_container(w, op->container);
    if (!str_eq(c->image_pull_policy, "Always"))
        return false;
    Err *e = rt->ops->image_ensure(rt, c->image, "Never", on_image, op);
    err_free(e);
    if (!e)
        op->pull_failed = err;
    return !e;
}

static void on_image(void *arg, const char *image_id, Err *err)
{
    StartOp *op = arg;
    Worker *w = op->w;
    if (err && !w->closed && op->pulling && !op->pull_failed && use_imported(op, err))
        return;
    if (err && op->pull_failed) { /* nothing was imported: the pull's own error is the one to tell */
        err_free(err);
        err = MOVE(op->pull_failed, NULL);
    }
    if (err) {
        start_failed(op, "ErrImagePull", err);
        return;
    }
    if (w->closed) {
        start_op_free(op);
        return;
    }
    const Container *c = worker_container(w, op->container);
    if (op->pull_failed) {
        SCOPED(mem_free) char *text = err_text(op->pull_failed);
        worker_event(w, true, "Failed", c->name, "Failed to pull image \"%s\" (imagePullPolicy Always), using the imported one: %s",
                     c->image, text);
    } else if (op->pulling) {
        SCOPED(mem_free) char *took = duration_format((worker_now() - op->pull_started_ns) / NS_PER_MS * NS_PER_MS);
        worker_event(w, false, "Pulled", c->name, "Successfully pulled image \"%s\" in %s", c->image, took);
    } else {
        worker_event(w, false, "Pulled", c->name, "Container image \"%s\" already present on machine", c->image);
    }
    Making m = {0};
    Runtime *rt = w->agent->cfg.rt;
    Err *e = make_config(op, c, image_id, &m);
    if (!e) {
        fault_step("container.create");
        e = rt->ops->container_create(rt, worker_uid(w), op->sandbox_id, &m.cc, on_created, op);
    }
    making_done(&m);
    if (e)
        start_failed(op, "CreateContainerError", e);
}

/* --- image ------------------------------------------------------------------------------------------------------- */

static void pull_image(StartOp *op, const Container *c)
{
    Runtime *rt = op->w->agent->cfg.rt;
    op->pulling = true;
    op->pull_started_ns = worker_now();
    worker_event(op->w, false, "Pulling", c->name, "Pulling image \"%s\"", c->image);
    Err *e = rt->ops->image_ensure(rt, c->image, c->image_pull_policy, on_image, op);
    if (e)
        on_image(op, NULL, e);
}

/* The image is here already, or has to be fetched. */
static void on_image_looked_up(void *arg, const char *image_id, Err *err)
{
    StartOp *op = arg;
    const Container *c = op->w->closed ? NULL : worker_container(op->w, op->container);
    if (c && err && str_eq(err->reason, "ErrImageNeverPull") && !str_eq(c->image_pull_policy, "Never")) {
        err_free(err);
        pull_image(op, c);
        return;
    }
    on_image(op, image_id, err);
}

void start_container(Worker *w, const Container *c, const char *sandbox_id, uint32_t attempt)
{
    const StartFact *s = worker_start_fact(w, c->name);
    if (s && s->state == START_IN_FLIGHT)
        return;
    fault_step("container.start");
    bool init = c >= w->rec.pod->spec.init_containers.v &&
                c < w->rec.pod->spec.init_containers.v + w->rec.pod->spec.init_containers.n;
    /* Default waiting reason: pod-restart.md 3.8. */
    worker_start_fact_set(w, c->name, START_IN_FLIGHT,
                          !init && w->rec.pod->spec.init_containers.n ? "PodInitializing" : "ContainerCreating", NULL);
    StartOp *op = NEW(StartOp);
    op->w = worker_ref(w);
    op->container = mem_dup_str(c->name);
    op->sandbox_id = mem_dup_str(sandbox_id);
    op->attempt = attempt;
    if (str_eq(c->image_pull_policy, "Always")) {
        pull_image(op, c);
        return;
    }
    Runtime *rt = w->agent->cfg.rt;
    Err *e = rt->ops->image_ensure(rt, c->image, "Never", on_image_looked_up, op);
    if (e)
        on_image_looked_up(op, NULL, e);
}
