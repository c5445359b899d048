/* start.c - one container's start: image, then the standby that was prepared for it, if there is one that still fits; else files,
 * environment, mounts, create; start, postStart. A failure leaves a StartFact with the kubelet's reason; the core decides when to
 * try again. */
#include <stdio.h>

#include "agent/making.h"
#include "node/pull_auth.h"
#include "os/fault.h"

struct StartOp {
    Worker *w;
    char *container, *sandbox_id, *image, *image_id, *id;
    uint32_t attempt;
    bool standby; /* <id> was prepared ahead */
    int64_t pull_started_ns;
    bool pulling;
    Err *pull_failed; /* owned; a pull by policy Always failed: the store is asked for what was imported */
};

static void make_plainly(StartOp *op);

static void start_op_free(StartOp *op)
{
    if (!op->w->closed)
        op->w->agent->starting--;
    worker_unref(op->w);
    free(op->image);
    free(op->image_id);
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

/* What image_manager.go says of an image that cannot be had, before the start's own event has only the reason. */
static bool image_failed_event(Worker *w, const char *container, const char *reason, const char *text)
{
    const char *image = worker_container(w, container)->image;
    if (str_eq(reason, "ErrImagePull"))
        worker_event(w, true, "Failed", container, "Failed to pull image \"%s\": %s", image, text);
    else if (str_eq(reason, "ErrImageNeverPull"))
        worker_event(w, true, reason, container, "Container image \"%s\" is not present with pull policy of Never", image);
    else if (str_eq(reason, "InvalidImageName"))
        worker_event(w, true, "InspectFailed", container, "Failed to apply default image tag \"%s\": %s", image, text);
    else
        return false;
    return true;
}

/* Ends the start with what went wrong; takes both. */
static void start_failed(StartOp *op, const char *default_reason, Err *err)
{
    Worker *w = op->w;
    if (!w->closed) {
        const char *reason = err->reason[0] ? err->reason : default_reason;
        SCOPED(mem_free) char *text = err_text(err);
        worker_start_fact_set(w, op->container, START_FAILED, reason, text);
        bool of_image = image_failed_event(w, op->container, reason, text);
        worker_event(w, true, "Failed", op->container, "Error: %s", of_image ? reason : text);
        worker_dirty(w);
    }
    err_free(err);
    start_op_free(op);
}

/* The container's image was changed while we were at it: what was found for the old one must not be started as the new one. The plan
 * asks for another start. */
static bool give_up_old(StartOp *op)
{
    Worker *w = op->w;
    if (w->closed || str_eq(worker_container(w, op->container)->image, op->image))
        return false;
    worker_start_fact_clear(w, op->container);
    worker_dirty(w);
    start_op_free(op);
    return true;
}

/* --- start ------------------------------------------------------------------------------------------------------- */

/* Does the runtime have container <id>, and how is it? */
static bool instance_of(const Worker *w, const char *id, RunState *ret_state)
{
    PodFacts facts = {0};
    w->agent->cfg.rt->ops->pod_facts(w->agent->cfg.rt, worker_uid(w), &facts);
    bool found = false;
    LIST_EACH(f, &facts.containers)
        if (str_eq(f->id, id)) {
            found = true;
            if (ret_state)
                *ret_state = f->state;
        }
    pod_facts_done(&facts);
    return found;
}

static void on_started(void *arg, Err *err)
{
    StartOp *op = arg;
    Worker *w = op->w;
    if (w->closed) {
        err_free(err);
        start_op_free(op);
        return;
    }
    if (err && op->standby && !instance_of(w, op->id, NULL)) {
        err_free(err); /* the standby could not be had after all, and nothing has run */
        make_plainly(op);
        return;
    }
    fault_step("container.started");
    const Container *c = worker_container(w, op->container);
    if (!err) {
        worker_event(w, false, "Started", op->container, "Container started");
        worker_start_fact_clear(w, op->container);
        worker_release_later(w, op->container);
        worker_post_start(w, c, op->id);
        worker_dirty(w);
        start_op_free(op);
        return;
    }
    /* An instance that shows its own failed start (Exited 128 StartError) tells the story itself. */
    RunState state;
    if (!instance_of(w, op->id, &state) || state != RUN_EXITED) {
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

static void start_now(StartOp *op)
{
    Worker *w = op->w;
    Runtime *rt = w->agent->cfg.rt;
    Err *e = rt->ops->container_start(rt, worker_uid(w), op->id, on_started, op);
    if (e)
        on_started(op, e);
    else
        worker_event(w, false, "Created", op->container, "Container created");
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
    mem_set_str(&op->id, id);
    op->standby = false;
    start_now(op);
}

/* --- create ------------------------------------------------------------------------------------------------------ */

static void make_plainly(StartOp *op)
{
    Worker *w = op->w;
    if (give_up_old(op))
        return;
    const Container *c = worker_container(w, op->container);
    Runtime *rt = w->agent->cfg.rt;
    SCOPED(making_done) Making m = {0};
    Err *e = making_config(w, c, &(MakingFor){op->sandbox_id, op->image_id, op->attempt}, &m);
    if (!e) {
        fault_step("container.create");
        e = rt->ops->container_create(rt, worker_uid(w), op->sandbox_id, &m.cc, on_created, op);
    }
    if (e)
        start_failed(op, "CreateContainerError", e);
}

static const StandbyFact *standby_for(const StartOp *op, const PodFacts *facts)
{
    LIST_EACH(s, &facts->standbys)
        if (str_eq(s->name, op->container) && s->attempt == op->attempt && str_eq(s->sandbox_id, op->sandbox_id))
            return s;
    return NULL;
}

/* One that is being prepared just now is waited for: making another beside it would take longer. */
static void make(StartOp *op)
{
    Worker *w = op->w;
    Runtime *rt = w->agent->cfg.rt;
    PodFacts facts = {0};
    rt->ops->pod_facts(rt, worker_uid(w), &facts);
    const StandbyFact *s = standby_for(op, &facts);
    if (s && standby_fits(w, s, op->image_id)) {
        op->standby = true;
        mem_set_str(&op->id, s->id);
        start_now(op);
    } else if (!s && worker_preparing(w, op->container)) {
        *LIST_ADD(&w->parked) = op;
    } else {
        if (s)
            worker_discard(w, s->id);
        make_plainly(op);
    }
    pod_facts_done(&facts);
}

void worker_resume_starts(Worker *w, const char *container)
{
    for (size_t i = 0; i < w->parked.n;) {
        StartOp *op = w->parked.v[i];
        if (container && !str_eq(op->container, container)) {
            i++;
            continue;
        }
        w->parked.v[i] = w->parked.v[--w->parked.n];
        if (w->closed)
            start_op_free(op);
        else
            make(op);
    }
}

static void on_image(void *arg, const char *image_id, Err *err);

/* The registry was reached, and said no: what another was allowed to pull is not for everybody (HTTP's and the distribution API's words). */
static bool was_refused(const Err *err)
{
    static const char *const words[] = {"unauthorized", "Unauthorized", "denied", "Forbidden", "forbidden", "authentication required"};
    SCOPED(mem_free) char *text = err_text(err);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strstr(text, words[i]))
            return true;
    return false;
}

/* A pull by policy Always that failed, where no registry is in reach: an image that was imported by hand is as new as it gets on
 * this machine, and :latest would run nowhere offline otherwise. Said aloud. Takes <err> and returns true if it asks the store. */
static bool use_imported(StartOp *op, Err *err)
{
    Worker *w = op->w;
    Runtime *rt = w->agent->cfg.rt;
    const Container *c = worker_container(w, op->container);
    if (!str_eq(c->image_pull_policy, "Always") || was_refused(err))
        return false;
    Err *e = rt->ops->image_ensure(rt, c->image, "Never", NULL, on_image, op);
    err_free(e);
    if (!e)
        op->pull_failed = err;
    return !e;
}

typedef struct {
    Worker *w;
    char *container, *image, *image_id, *took;
} Pulled;

static void on_images(void *arg, const RuntimeImages *images, Err *err)
{
    Pulled *p = arg;
    int64_t bytes = -1;
    for (size_t i = 0; images && i < images->n; i++)
        if (str_eq(images->v[i].id, p->image_id))
            bytes = images->v[i].bytes;
    SCOPED(mem_free) char *size = bytes >= 0 ? mem_fmt(" Image size: %lld bytes.", (long long)bytes) : NULL;
    worker_event(p->w, false, "Pulled", p->container, "Successfully pulled image \"%s\" in %s (%s including waiting)%s%s", p->image, p->took,
                 p->took, size ? "." : "", size ? size : "");
    err_free(err);
    worker_unref(p->w);
    free(p->container);
    free(p->image);
    free(p->image_id);
    free(p->took);
    free(p);
}

/* With the image's size, which the start does not wait for. */
static void tell_pulled(const StartOp *op, const char *image_id)
{
    Runtime *rt = op->w->agent->cfg.rt;
    Pulled *p = NEW(Pulled);
    *p = (Pulled){.w = worker_ref(op->w), .container = mem_dup_str(op->container), .image = mem_dup_str(op->image),
                  .image_id = mem_dup_str(image_id), .took = duration_format((worker_now() - op->pull_started_ns) / NS_PER_MS * NS_PER_MS)};
    Err *e = rt->ops->images ? rt->ops->images(rt, on_images, p) : err_new(ERR_UNSUPPORTED, 0, "images cannot be listed");
    if (e)
        on_images(p, NULL, e);
}

static void on_image(void *arg, const char *image_id, Err *err)
{
    StartOp *op = arg;
    Worker *w = op->w;
    if (give_up_old(op)) {
        err_free(err);
        return;
    }
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
        tell_pulled(op, image_id);
    } else {
        worker_event(w, false, "Pulled", c->name, "Container image \"%s\" already present on machine and can be accessed by the pod", c->image);
    }
    mem_set_str(&op->image_id, image_id);
    make(op);
}

/* --- image ------------------------------------------------------------------------------------------------------- */

/* The credentials that fit, and what is to be said about those that cannot be had. */
static Err *find_credentials(Worker *w, const Container *c, PullAuth *ret)
{
    DockerConfigPlaces places = docker_config_places(w->agent->root);
    Err *e = pull_auth_find(w->rec.pod, &w->objects, &places, c->image, ret);
    SCOPED(str_done) Str names = {0};
    for (size_t i = 0; i < ret->missing.n; i++)
        str_fmt(&names, "%s%s", i ? ", " : "", ret->missing.v[i]);
    if (ret->missing.n)
        worker_event(w, true, "FailedToRetrieveImagePullSecret", NULL,
                     "Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", names.p);
    for (size_t i = 0; i < ret->warnings.n; i++)
        worker_event(w, true, "InvalidDockerConfig", c->name, "%s", ret->warnings.v[i]);
    return e;
}

static void pull_image(StartOp *op, const Container *c)
{
    Runtime *rt = op->w->agent->cfg.rt;
    SCOPED(pull_auth_done) PullAuth auth = {0};
    Err *e = find_credentials(op->w, c, &auth);
    if (e) {
        start_failed(op, "ErrImagePull", e);
        return;
    }
    op->pulling = true;
    op->pull_started_ns = worker_now();
    worker_event(op->w, false, "Pulling", c->name, "Pulling image \"%s\"", c->image);
    e = rt->ops->image_ensure(rt, c->image, c->image_pull_policy, &auth.auths, on_image, op);
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
    w->agent->starting++;
    op->w = worker_ref(w);
    op->container = mem_dup_str(c->name);
    op->sandbox_id = mem_dup_str(sandbox_id);
    op->image = mem_dup_str(c->image);
    op->attempt = attempt;
    if (str_eq(c->image_pull_policy, "Always")) {
        pull_image(op, c);
        return;
    }
    Runtime *rt = w->agent->cfg.rt;
    SCOPED(mem_free) char *id = rt->ops->image_find(rt, c->image);
    if (id) {
        on_image(op, id, NULL);
        return;
    }
    Err *e = rt->ops->image_ensure(rt, c->image, "Never", NULL, on_image_looked_up, op);
    if (e)
        on_image_looked_up(op, NULL, e);
}
