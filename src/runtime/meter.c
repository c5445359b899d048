#include "runtime/meter.h"

#include "os/fs.h"

#define METER_NAME_(id, name) [METER_##id] = (name),
const char *const meter_op_names[METER_N] = {METER_OPS(METER_NAME_)};

/* ExponentialBuckets(.005, 2.5, 14) */
static const double bounds[] = {0.005,         0.0125,        0.03125,       0.078125,       0.1953125,      0.48828125,   1.220703125,
                                3.0517578125,  7.62939453125, 19.073486328125, 47.6837158203125, 119.20928955078125,
                                298.0232238769531, 745.0580596923828};

struct RuntimeMeter {
    const RuntimeOps *inner;
    RuntimeOps ops;
    MeterCount counts[METER_N];
};

typedef struct {
    RuntimeMeter *m;
    MeterOp op;
    int64_t began_ns;
    RuntimeDone *done;
    RuntimeIdDone *id_done;
    RuntimeExecDone *exec_done;
    RuntimeImagesDone *images_done;
    void *arg;
} Timed;

static Timed *begin(const Runtime *rt, MeterOp op, void *arg)
{
    Timed *t = NEW(Timed);
    *t = (Timed){.m = rt->meter, .op = op, .began_ns = os_monotonic_ns(), .arg = arg};
    return t;
}

/* Takes <t>. */
static void end(Timed *t, bool failed)
{
    MeterCount *c = &t->m->counts[t->op];
    c->errors += failed;
    histogram_add(&c->seconds, (double)(os_monotonic_ns() - t->began_ns) / 1e9);
    free(t);
}

/* Not accepted: no callback comes. */
static Err *accepted(Timed *t, Err *e)
{
    if (e)
        end(t, true);
    return e;
}

static void on_done(void *arg, Err *err)
{
    Timed t = *(Timed *)arg;
    end(arg, err != NULL);
    t.done(t.arg, err);
}

static void on_id(void *arg, const char *id, Err *err)
{
    Timed t = *(Timed *)arg;
    end(arg, err != NULL);
    t.id_done(t.arg, id, err);
}

static void on_exec(void *arg, const ExecResult *res, Err *err)
{
    Timed t = *(Timed *)arg;
    end(arg, err != NULL);
    t.exec_done(t.arg, res, err);
}

static void on_images(void *arg, const RuntimeImages *images, Err *err)
{
    Timed t = *(Timed *)arg;
    end(arg, err != NULL);
    t.images_done(t.arg, images, err);
}

static Err *sandbox_run(Runtime *rt, const SandboxConfig *c, RuntimeIdDone *done, void *arg)
{
    Timed *t = begin(rt, METER_RUN_SANDBOX, arg);
    t->id_done = done;
    return accepted(t, t->m->inner->sandbox_run(rt, c, on_id, t));
}

static Err *sandbox_stop(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Timed *t = begin(rt, METER_STOP_SANDBOX, arg);
    t->done = done;
    return accepted(t, t->m->inner->sandbox_stop(rt, uid, id, on_done, t));
}

static Err *sandbox_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Timed *t = begin(rt, METER_REMOVE_SANDBOX, arg);
    t->done = done;
    return accepted(t, t->m->inner->sandbox_remove(rt, uid, id, on_done, t));
}

static Err *image_ensure(Runtime *rt, const char *reference, const char *policy, const ImageAuthList *auths, RuntimeImageDone *done, void *arg)
{
    Timed *t = begin(rt, METER_ENSURE_IMAGE, arg);
    t->id_done = done;
    return accepted(t, t->m->inner->image_ensure(rt, reference, policy, auths, on_id, t));
}

static Err *container_create(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, RuntimeIdDone *done, void *arg)
{
    Timed *t = begin(rt, METER_CREATE, arg);
    t->id_done = done;
    return accepted(t, t->m->inner->container_create(rt, uid, sandbox_id, c, on_id, t));
}

static Err *container_prepare(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode mode, const char *key,
                              RuntimeIdDone *done, void *arg)
{
    Timed *t = begin(rt, METER_PREPARE, arg);
    t->id_done = done;
    return accepted(t, t->m->inner->container_prepare(rt, uid, sandbox_id, c, mode, key, on_id, t));
}

static Err *container_start(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Timed *t = begin(rt, METER_START, arg);
    t->done = done;
    return accepted(t, t->m->inner->container_start(rt, uid, id, on_done, t));
}

static Err *container_signal(Runtime *rt, const char *uid, const char *id, int signal, RuntimeDone *done, void *arg)
{
    Timed *t = begin(rt, METER_STOP, arg);
    t->done = done;
    return accepted(t, t->m->inner->container_signal(rt, uid, id, signal, on_done, t));
}

static Err *containers_kill(Runtime *rt, const char *uid, const char *const *ids, size_t n, RuntimeDone *done, void *arg)
{
    Timed *t = begin(rt, METER_STOP, arg);
    t->done = done;
    return accepted(t, t->m->inner->containers_kill(rt, uid, ids, n, on_done, t));
}

static Err *container_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Timed *t = begin(rt, METER_REMOVE, arg);
    t->done = done;
    return accepted(t, t->m->inner->container_remove(rt, uid, id, on_done, t));
}

static Err *exec_sync(Runtime *rt, const char *uid, const char *id, const char *const *argv, int64_t timeout_ns, size_t max_output,
                      RuntimeExecDone *done, void *arg)
{
    Timed *t = begin(rt, METER_EXEC_SYNC, arg);
    t->exec_done = done;
    return accepted(t, t->m->inner->exec_sync(rt, uid, id, argv, timeout_ns, max_output, on_exec, t));
}

static Err *images(Runtime *rt, RuntimeImagesDone *done, void *arg)
{
    Timed *t = begin(rt, METER_LIST_IMAGES, arg);
    t->images_done = done;
    return accepted(t, t->m->inner->images(rt, on_images, t));
}

static Err *image_remove(Runtime *rt, const char *id, RuntimeDone *done, void *arg)
{
    Timed *t = begin(rt, METER_REMOVE_IMAGE, arg);
    t->done = done;
    return accepted(t, t->m->inner->image_remove(rt, id, on_done, t));
}

/* The inner one answers what is outstanding, and that is counted too. */
static void close_all(Runtime *rt)
{
    RuntimeMeter *m = rt->meter;
    rt->ops = m->inner;
    rt->ops->close(rt);
    free(m);
}

RuntimeMeter *runtime_meter(Runtime *rt)
{
    if (rt->meter)
        return rt->meter; /* metered twice it would call itself */
    RuntimeMeter *m = NEW(RuntimeMeter);
    *m = (RuntimeMeter){.inner = rt->ops, .ops = *rt->ops};
    for (size_t i = 0; i < METER_N; i++)
        m->counts[i].seconds = (Histogram)HISTOGRAM(bounds);
    RuntimeOps *o = &m->ops;
#define METERED(slot) (o->slot = m->inner->slot ? slot : NULL)
    METERED(sandbox_run);
    METERED(sandbox_stop);
    METERED(sandbox_remove);
    METERED(image_ensure);
    METERED(container_create);
    METERED(container_prepare);
    METERED(container_start);
    METERED(container_signal);
    METERED(containers_kill);
    METERED(container_remove);
    METERED(exec_sync);
    METERED(images);
    METERED(image_remove);
#undef METERED
    o->close = close_all;
    rt->meter = m;
    rt->ops = o;
    return m;
}

const MeterCount *runtime_meter_counts(const RuntimeMeter *m)
{
    return m->counts;
}
