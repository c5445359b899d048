/* runtime_look.c - what the Node shows of the runtime. Is it ready to run Pods? Asked every 10 s; the condition Ready says so in the
 * kubelet's words (updateRuntimeUp(), runtimeState.runtimeErrors()). Which images are here? Asked with every heartbeat. */
#include "daemon/daemon_priv.h"
#include "os/fs.h"

#define DOWN_AFTER_NS (30 * NS_PER_S) /* maxWaitForContainerRuntime: what is only restarted is not down */

static void set_ready(Daemon *d, const char *problem)
{
    if (problem)
        node_object_set_condition(d->node, "Ready", false, "KubeletNotReady", problem);
    else
        node_object_set_condition(d->node, "Ready", true, "KubeletReady", "kubelet is posting ready status");
}

/* Outlives the daemon: what is under way is answered when the runtime is closed, after it. */
struct RuntimeLook {
    Daemon *d; /* NULL: it is gone */
};

static void on_status(void *arg, const char *problem, Err *err)
{
    RuntimeLook *look = arg;
    Daemon *d = look->d;
    int64_t now = os_monotonic_ns();
    free(look);
    if (!d) {
        err_free(err);
        return;
    }
    d->look = NULL;
    if (!err)
        d->runtime_seen_ns = now;
    if (!err || now - d->runtime_seen_ns > DOWN_AFTER_NS)
        set_ready(d, err ? "container runtime is down" : problem);
    err_free(err);
}

void runtime_look(Daemon *d)
{
    Runtime *rt = d->c.rt;
    if (!rt->ops->status || d->look)
        return;
    if (!d->runtime_seen_ns)
        d->runtime_seen_ns = os_monotonic_ns(); /* it was there when it was opened */
    d->look = NEW(RuntimeLook);
    d->look->d = d;
    Err *e = rt->ops->status(rt, on_status, d->look);
    if (e)
        on_status(d->look, NULL, e);
}

/* --- images ---------------------------------------------------------------------------------------------------------------- */

#define IMAGES_MAX 50 /* nodeStatusMaxImages */
#define NAMES_MAX 5   /* MaxNamesPerImageInNodeStatus */

static int by_size(const void *a, const void *b)
{
    const RuntimeImage *x = *(const RuntimeImage *const *)a, *y = *(const RuntimeImage *const *)b;
    return x->bytes != y->bytes ? (x->bytes > y->bytes ? -1 : 1) : strcmp(x->id, y->id);
}

static json_t *images_json(const RuntimeImages *images)
{
    json_t *list = json_array();
    const RuntimeImage **order = mem_alloc_n(images->n + 1, sizeof(RuntimeImage *));
    for (size_t i = 0; i < images->n; i++)
        order[i] = &images->v[i];
    qsort(order, images->n, sizeof *order, by_size);
    for (size_t i = 0; i < images->n && i < IMAGES_MAX; i++) {
        json_t *names = json_array();
        for (size_t k = 0; k < order[i]->names.n && k < NAMES_MAX; k++)
            json_array_append_new(names, json_string(order[i]->names.v[k]));
        json_array_append_new(list, json_pack("{s:o, s:I}", "names", names, "sizeBytes", (json_int_t)order[i]->bytes));
    }
    free(order);
    return list;
}

static void on_images(void *arg, const RuntimeImages *images, Err *err)
{
    RuntimeLook *look = arg;
    Daemon *d = look->d;
    free(look);
    if (d)
        d->look_images = NULL;
    if (d && images)
        node_object_set_images(d->node, images_json(images));
    err_free(err); /* what was known stays */
}

void runtime_look_images(Daemon *d)
{
    Runtime *rt = d->c.rt;
    if (!rt->ops->images || d->look_images)
        return;
    d->look_images = NEW(RuntimeLook);
    d->look_images->d = d;
    Err *e = rt->ops->images(rt, on_images, d->look_images);
    if (e)
        on_images(d->look_images, NULL, e);
}

void runtime_look_close(Daemon *d)
{
    RuntimeLook *under_way[] = {d->look, d->look_images};
    for (size_t i = 0; i < ARRAY_LEN(under_way); i++)
        if (under_way[i])
            under_way[i]->d = NULL;
}
