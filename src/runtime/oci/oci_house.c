/* oci_house.c - what images and containers take, and images removed: deleting layers takes its time, so `reprise image rm` does it, beside
 * the loop. */
#include "base/clock.h"
#include "loop/process.h"
#include "runtime/oci/oci_priv.h"

#define REMOVE_TIMEOUT_NS (600 * NS_PER_S)
#define REMOVE_MAX_OUTPUT ((size_t)4096)

struct HouseOp {
    HouseOp *next;
    OciRuntime *rt;
    Process *process; /* NULL: answered from the loop's next turn */
    char *id;
    RuntimeImagesDone *images;
    RuntimeDisksDone *disks;
    RuntimeDone *removed;
    void *arg;
};

static HouseOp *op_new(OciRuntime *rt, void *arg)
{
    HouseOp *op = NEW(HouseOp);
    *op = (HouseOp){.rt = rt, .arg = arg, .next = rt->house};
    rt->house = op;
    return op;
}

static void op_end(HouseOp *op)
{
    for (HouseOp **at = &op->rt->house; *at; at = &(*at)->next)
        if (*at == op) {
            *at = op->next;
            break;
        }
    free(op->id);
    free(op);
}

static Err *closing(void)
{
    return err_new(ERR_UNAVAILABLE, 0, "the runtime is closing");
}

static void tell_images(void *arg, bool cancelled)
{
    HouseOp *op = arg;
    RuntimeImages list = {0};
    Err *e = cancelled ? closing() : image_list_brief(op->rt->images, &list);
    op->images(op->arg, e ? NULL : &list, e);
    runtime_images_done(&list);
    op_end(op);
}

Err *oci_images(Runtime *base, RuntimeImagesDone *done, void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    HouseOp *op = op_new(rt, arg);
    op->images = done;
    oci_later(rt, tell_images, op);
    return NULL;
}

static void tell_disks(void *arg, bool cancelled)
{
    HouseOp *op = arg;
    SCOPED(mem_free) char *images = mem_fmt("%s/images", op->rt->root);
    RuntimeDisks d = {.images = images, .layers = op->rt->root, .images_used = STAT_NONE};
    op->disks(op->arg, cancelled ? NULL : &d, cancelled ? closing() : NULL);
    op_end(op);
}

Err *oci_disks(Runtime *base, RuntimeDisksDone *done, void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    HouseOp *op = op_new(rt, arg);
    op->disks = done;
    oci_later(rt, tell_disks, op);
    return NULL;
}

static void on_removed(void *arg, ProcessResult *res)
{
    HouseOp *op = arg;
    Err *e = NULL;
    if (!res->exited || res->code != 0) {
        while (res->err.n && res->err.p[res->err.n - 1] == '\n')
            res->err.p[--res->err.n] = '\0';
        e = err_new(strstr(str_or(res->err.p, ""), "is used by container") ? ERR_EXISTS : ERR_UNAVAILABLE, 0, "remove image %.19s: %s", op->id,
                    res->timed_out ? "it took too long" : str_or(res->err.p, "the helper died"));
    }
    op->process = NULL;
    op->removed(op->arg, e);
    op_end(op);
}

Err *oci_image_remove(Runtime *base, const char *id, RuntimeDone *done, void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    HouseOp *op = op_new(rt, arg);
    op->removed = done;
    op->id = mem_dup_str(id);
    SCOPED(mem_free) char *root = mem_fmt("--root=%s", rt->root);
    const char *const argv[] = {"/proc/self/exe", "image", "rm", root, id, NULL};
    ProcessSpec spec = {.argv = argv, .max_output = REMOVE_MAX_OUTPUT, .timeout_ns = REMOVE_TIMEOUT_NS};
    Err *e = process_start(rt->loop, &spec, on_removed, op, &op->process);
    if (e)
        op_end(op);
    return e;
}

void oci_place(Runtime *base, const char *uid, const char *id, RuntimePlace *out)
{
    const OciRuntime *rt = (const OciRuntime *)base;
    *out = (RuntimePlace){.pod_cgroup = mem_fmt("/reprise/pod%s", uid)};
    if (!id)
        return;
    out->cgroup = mem_fmt("/reprise/pod%s/%s", uid, id);
    out->layer = mem_fmt("%s/pods/%s/containers/%s/upper", rt->root, uid, id);
}

void oci_house_cancel(OciRuntime *rt)
{
    HouseOp *next;
    for (HouseOp *op = rt->house; op; op = next) {
        next = op->next;
        if (!op->process)
            continue; /* later_run() answers it */
        process_abandon(MOVE(op->process, NULL));
        op->removed(op->arg, closing());
        op_end(op);
    }
}
