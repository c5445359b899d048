/* prepare.c - making standbys, in the background: a few at a time, within a bound of memory, and only while nobody waits for a
 * start. What fails here is never an error of the Pod's: its next start is a plain one, and that says what is wrong. */
#include "agent/making.h"

#include <sys/stat.h>

#include "node/config_key.h"
#include "os/fault.h"

/* While something is being started or restarted on this machine, preparing would only slow it down; but it must not starve. */
#define HOLD_MAX_MS 100

typedef struct {
    Worker *w;
    char *container, *sandbox_id;
    uint32_t attempt;
    Made *made; /* NULL: the key has to tell */
    uint64_t doubts; /* the worker's, when <made> was noted */
} PrepareOp;

static StartFact *prepare_fact(Worker *w, const char *container)
{
    LIST_EACH(s, &w->prepares)
        if (str_eq(s->container, container))
            return s;
    return NULL;
}

bool worker_preparing(Worker *w, const char *container)
{
    const StartFact *s = prepare_fact(w, container);
    return s && s->state == START_IN_FLIGHT;
}

static void fact_set(Worker *w, const char *container, StartState state)
{
    StartFact *s = prepare_fact(w, container);
    if (!s) {
        s = LIST_ADD(&w->prepares);
        s->container = mem_dup_str(container);
    }
    s->state = state;
    s->at_ns = worker_now();
}

static void fact_clear(Worker *w, const char *container)
{
    StartFact *s = prepare_fact(w, container);
    if (!s)
        return;
    start_fact_done(s);
    *s = w->prepares.v[--w->prepares.n];
}

/* --- room ------------------------------------------------------------------------------------------------------------ */

static void on_hold_over(uv_timer_t *t)
{
    Agent *a = t->data;
    a->prepare_now = true;
    agent_prepare_more(a);
}

void agent_prepare_more(Agent *a)
{
    if (!a->prepare_queue.n)
        return;
    if (a->starting && !a->prepare_now) {
        if (!uv_is_active((uv_handle_t *)&a->prepare_timer)) {
            uv_update_time(a->cfg.loop);
            (void)uv_timer_start(&a->prepare_timer, on_hold_over, HOLD_MAX_MS, 0);
        }
        return;
    }
    (void)uv_timer_stop(&a->prepare_timer);
    /* Those that are woken plan again, and come back here with what there is no room for. */
    for (unsigned n = a->preparing; n < a->prepare_max && a->prepare_queue.n; n++) {
        Worker *w = a->prepare_queue.v[0];
        memmove(a->prepare_queue.v, a->prepare_queue.v + 1, --a->prepare_queue.n * sizeof w);
        w->waits_to_prepare = false;
        worker_dirty(w);
        worker_unref(w);
    }
}

static bool has_room(const Agent *a)
{
    return a->preparing < a->prepare_max && (!a->starting || a->prepare_now);
}

static bool has_memory(Worker *w)
{
    Agent *a = w->agent;
    if (a->standby_bytes + (int64_t)a->preparing * a->standby_typical < a->cfg.prepare_memory_bytes)
        return true;
    if (!a->prepare_memory_told) {
        a->prepare_memory_told = true;
        worker_event(w, false, "PrepareSkipped", NULL, "Containers prepared ahead hold %lld bytes, as many as they may: others are "
                                                       "started in the plain way", (long long)a->standby_bytes);
    }
    return false;
}

/* --- one standby ------------------------------------------------------------------------------------------------------- */

/* --- what it was made from ---------------------------------------------------------------------------------------------- */

typedef struct {
    char *path;
    dev_t dev;
    ino_t ino;
} MadeFile;

/* Spec and objects of a Pod stay what they are, or prepares_doubt() is called; what can be another is the image that a name stands for, and
 * what lies on the host where the mounts come from. To look at those alone takes a tenth of the time of the whole key. */
struct Made {
    char *id, *image_id;
    LIST_OF(MadeFile) files;
};

static void made_free(Made *m)
{
    if (!m)
        return;
    LIST_EACH(f, &m->files)
        free(f->path);
    free(m->files.v);
    free(m->id);
    free(m->image_id);
    free(m);
}

static void made_add(Made *m, const char *path)
{
    struct stat st = {0};
    (void)stat(path, &st);
    *LIST_ADD(&m->files) = (MadeFile){mem_dup_str(path), st.st_dev, st.st_ino};
}

/* NULL where a subPath has to be resolved anew to know what it is. */
static Made *made_new(const Container *c, const ContainerConfig *cc)
{
    LIST_EACH(v, &c->volume_mounts)
        if (!str_empty(v->sub_path) || !str_empty(v->sub_path_expr))
            return NULL;
    Made *m = NEW(Made);
    m->image_id = mem_dup_str(cc->image_id);
    LIST_EACH(v, &cc->mounts)
        made_add(m, v->host_path);
    LIST_EACH(d, &cc->devices)
        made_add(m, d->host_path);
    return m;
}

static bool made_same(const Made *m)
{
    LIST_EACH(f, &m->files) {
        struct stat st = {0};
        (void)stat(f->path, &st);
        if (st.st_dev != f->dev || st.st_ino != f->ino)
            return false;
    }
    return true;
}

static Made *made_find(const Worker *w, const char *id)
{
    LIST_EACH(m, &w->made)
        if (str_eq((*m)->id, id))
            return *m;
    return NULL;
}

/* Those that are no standbys any more are forgotten. */
static void made_sweep(Worker *w, const PodFacts *facts)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->made.n; i++) {
        bool there = false;
        LIST_EACH(s, &facts->standbys)
            there = there || str_eq(s->id, w->made.v[i]->id);
        if (there)
            w->made.v[kept++] = w->made.v[i];
        else
            made_free(w->made.v[i]);
    }
    w->made.n = kept;
}

static void op_finish(PrepareOp *op, Err *err)
{
    Worker *w = op->w;
    Agent *a = w->agent;
    if (!w->closed) {
        a->preparing--;
        if (err)
            fact_set(w, op->container, START_FAILED);
        else
            fact_clear(w, op->container);
        worker_resume_starts(w, op->container);
        worker_dirty(w);
    }
    if (err && !w->closed && err->kind != ERR_UNAVAILABLE && err->kind != ERR_NOT_FOUND) {
        SCOPED(mem_free) char *text = err_text(err);
        worker_event(w, false, "PrepareFailed", op->container, "Cannot prepare the next run ahead: %s", text);
    }
    err_free(err);
    made_free(op->made);
    free(op->container);
    free(op->sandbox_id);
    free(op);
    worker_unref(w);
}

static void on_prepared(void *arg, const char *id, Err *err)
{
    PrepareOp *op = arg;
    fault_step("standby.made");
    if (!err && op->made && !op->w->closed && op->doubts == op->w->doubts) {
        op->made->id = mem_dup_str(id);
        *LIST_ADD(&op->w->made) = MOVE(op->made, NULL);
    }
    op_finish(op, err);
}

static void on_image(void *arg, const char *image_id, Err *err)
{
    PrepareOp *op = arg;
    Worker *w = op->w;
    if (err || w->closed) {
        op_finish(op, err);
        return;
    }
    const Container *c = worker_container(w, op->container);
    Runtime *rt = w->agent->cfg.rt;
    SCOPED(making_done) Making m = {0};
    Err *e = making_config(w, c, &(MakingFor){op->sandbox_id, image_id, op->attempt, .quiet = true}, &m);
    if (!e) {
        SCOPED(mem_free) char *key = container_config_key(&m.cc, op->sandbox_id);
        op->made = made_new(c, &m.cc);
        op->doubts = w->doubts;
        PrepareMode mode = plan_prepare_mode(w->rec.pod, w->agent->cfg.plan.prepare);
        fault_step("standby.make");
        e = rt->ops->container_prepare(rt, worker_uid(w), op->sandbox_id, &m.cc, mode, key, on_prepared, op);
    }
    if (e)
        op_finish(op, e);
}

void worker_prepare(Worker *w, const Container *c, const char *sandbox_id, uint32_t attempt)
{
    Agent *a = w->agent;
    if (worker_preparing(w, c->name))
        return;
    if (!has_room(a)) {
        if (!w->waits_to_prepare)
            *LIST_ADD(&a->prepare_queue) = worker_ref(w);
        w->waits_to_prepare = true;
        return;
    }
    if (!has_memory(w)) {
        fact_set(w, c->name, START_FAILED);
        worker_retry_later(w);
        return;
    }
    fact_set(w, c->name, START_IN_FLIGHT);
    a->preparing++;
    PrepareOp *op = NEW(PrepareOp);
    *op = (PrepareOp){.w = worker_ref(w), .container = mem_dup_str(c->name), .sandbox_id = mem_dup_str(sandbox_id), .attempt = attempt};
    Runtime *rt = a->cfg.rt;
    Err *e = rt->ops->image_ensure(rt, c->image, "Never", NULL, on_image, op);
    if (e)
        on_image(op, NULL, e);
}

/* --- does it still fit? ------------------------------------------------------------------------------------------------- */

/* Would the container, made now, be the same? */
static bool key_fits(Worker *w, const StandbyFact *s, const char *image_id)
{
    const Container *c = worker_container(w, s->name);
    if (!c)
        return false;
    SCOPED(making_done) Making m = {0};
    SCOPED(err_free) Err *e = making_config(w, c, &(MakingFor){s->sandbox_id, image_id, s->attempt, .observe = true, .quiet = true}, &m);
    SCOPED(mem_free) char *key = e ? NULL : container_config_key(&m.cc, s->sandbox_id);
    return key && str_eq(key, s->key);
}

bool standby_fits(Worker *w, const StandbyFact *s, const char *image_id)
{
    const Made *m = made_find(w, s->id);
    return m ? str_eq(m->image_id, image_id) && made_same(m) : key_fits(w, s, image_id);
}

static void on_discarded(void *arg, Err *err)
{
    Worker *w = arg;
    err_free(err); /* asked again by the next plan */
    worker_unref(w);
}

void worker_discard(Worker *w, const char *id)
{
    Instance *i = worker_instance(w, id);
    if (i->removing)
        return;
    i->removing = true;
    Runtime *rt = w->agent->cfg.rt;
    Err *e = rt->ops->container_remove(rt, worker_uid(w), id, on_discarded, worker_ref(w));
    if (e)
        on_discarded(w, e);
}

void prepares_input(Worker *w, const PodFacts *facts, PlanInput *in)
{
    int64_t bytes = 0;
    made_sweep(w, facts);
    LIST_EACH(s, &facts->standbys)
        bytes += s->bytes;
    w->agent->standby_bytes += bytes - w->standby_bytes;
    w->standby_bytes = bytes;
    if (facts->standbys.n)
        w->agent->standby_typical = bytes / (int64_t)facts->standbys.n;
    LIST_EACH(s, &w->prepares)
        start_fact_copy(LIST_ADD(&in->prepares), s);
}

void prepares_doubt(Worker *w)
{
    w->doubts++;
    LIST_EACH(m, &w->made)
        made_free(*m);
    w->made.n = 0;
}

void prepares_done(Worker *w)
{
    LIST_EACH(s, &w->prepares)
        start_fact_done(s);
    LIST_EACH(m, &w->made)
        made_free(*m);
    free(w->made.v);
    w->made.v = NULL;
    w->made.n = 0;
    free(w->prepares.v);
    w->prepares.v = NULL;
    w->prepares.n = 0;
}
