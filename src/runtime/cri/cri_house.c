/* cri_house.c - what images and containers take, and images removed, by the runtime's own account. An image is in use when any container of
 * the runtime has it, another's too: the runtime itself would take it away from under them. */
#include "runtime/cri/cri_priv.h"

typedef struct {
    CriRuntime *rt;
    StrVec used; /* image ids, and whatever else image_ref may be */
    RuntimeImagesDone *images;
    RuntimeDisksDone *disks;
    RuntimeUsageDone *usage;
    RuntimeDone *removed;
    RuntimeStatusDone *status;
    void *arg;
} HouseOp;

static HouseOp *op_new(Runtime *rt, void *arg)
{
    HouseOp *op = NEW(HouseOp);
    *op = (HouseOp){.rt = (CriRuntime *)rt, .arg = arg};
    return op;
}

static void op_free(HouseOp *op)
{
    strvec_done(&op->used);
    free(op);
}

/* --- images ----------------------------------------------------------------------------------------------------------------------- */

static bool any_used(const HouseOp *op, char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strvec_has(&op->used, names[i]))
            return true;
    return false;
}

static bool is_pause(const CriRuntime *rt, const Cri__Image *i)
{
    for (size_t k = 0; rt->pause_image && k < i->n_repo_tags; k++)
        if (str_eq(rt->pause_image, i->repo_tags[k]))
            return true;
    return false;
}

static void on_images(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    HouseOp *op = arg;
    const Cri__ListImagesResponse *r = (const Cri__ListImagesResponse *)answer;
    RuntimeImages list = {0};
    (void)code;
    for (size_t i = 0; r && i < r->n_images; i++) {
        const Cri__Image *from = r->images[i];
        RuntimeImage *to = LIST_ADD(&list);
        *to = (RuntimeImage){.id = mem_dup_str(from->id), .bytes = (int64_t)from->size,
                             .pinned = from->pinned || is_pause(op->rt, from)}; /* containerd pins it from 1.7 on */
        for (size_t k = 0; k < from->n_repo_tags; k++)
            strvec_add(&to->names, from->repo_tags[k]);
        to->used = strvec_has(&op->used, from->id) || any_used(op, from->repo_tags, from->n_repo_tags) ||
                   any_used(op, from->repo_digests, from->n_repo_digests);
    }
    op->images(op->arg, err ? NULL : &list, err);
    runtime_images_done(&list);
    op_free(op);
}

static void on_containers(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    HouseOp *op = arg;
    const Cri__ListContainersResponse *r = (const Cri__ListContainersResponse *)answer;
    (void)code;
    if (err) {
        op->images(op->arg, NULL, err);
        op_free(op);
        return;
    }
    for (size_t i = 0; i < r->n_containers; i++) {
        const Cri__Container *c = r->containers[i];
        strvec_add(&op->used, c->image_ref);
        strvec_add(&op->used, c->image_id);
        if (c->image)
            strvec_add(&op->used, c->image->image);
    }
    Cri__ListImagesRequest q = CRI__LIST_IMAGES_REQUEST__INIT;
    cri_call(op->rt, CRI_LIST_IMAGES, &q, NULL, on_images, op);
}

Err *cri_images(Runtime *rt, RuntimeImagesDone *done, void *arg)
{
    Err *e = cri_refused(rt);
    if (e)
        return e;
    HouseOp *op = op_new(rt, arg);
    op->images = done;
    Cri__ListContainersRequest q = CRI__LIST_CONTAINERS_REQUEST__INIT;
    cri_call(op->rt, CRI_LIST_CONTAINERS, &q, NULL, on_containers, op);
    return NULL;
}

static void on_removed(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    HouseOp *op = arg;
    (void)code;
    (void)answer;
    op->removed(op->arg, err);
    op_free(op);
}

Err *cri_image_remove(Runtime *rt, const char *id, RuntimeDone *done, void *arg)
{
    Err *e = cri_refused(rt);
    if (e)
        return e;
    HouseOp *op = op_new(rt, arg);
    op->removed = done;
    SCOPED(mem_free) char *image = mem_dup_str(id);
    Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
    Cri__RemoveImageRequest q = CRI__REMOVE_IMAGE_REQUEST__INIT;
    spec.image = image;
    q.image = &spec;
    cri_call(op->rt, CRI_REMOVE_IMAGE, &q, NULL, on_removed, op);
    return NULL;
}

/* --- disks ------------------------------------------------------------------------------------------------------------------------ */

static const char *mountpoint(Cri__FilesystemUsage *const *v, size_t n)
{
    return n && v[0]->fs_id && *v[0]->fs_id->mountpoint ? v[0]->fs_id->mountpoint : NULL;
}

static void on_fs_info(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    HouseOp *op = arg;
    const Cri__ImageFsInfoResponse *r = (const Cri__ImageFsInfoResponse *)answer;
    RuntimeDisks d = {.images_used = STAT_NONE};
    (void)code;
    if (r) {
        d.images = mountpoint(r->image_filesystems, r->n_image_filesystems);
        d.layers = mountpoint(r->container_filesystems, r->n_container_filesystems);
        d.layers = d.layers ? d.layers : d.images;
        if (d.images && r->image_filesystems[0]->used_bytes)
            d.images_used = (int64_t)r->image_filesystems[0]->used_bytes->value;
        if (!d.images)
            err = err_new(ERR_UNSUPPORTED, 0, "%s does not say where its images are", str_or(op->rt->name, "the container runtime"));
    }
    op->disks(op->arg, err ? NULL : &d, err);
    op_free(op);
}

Err *cri_disks(Runtime *rt, RuntimeDisksDone *done, void *arg)
{
    Err *e = cri_refused(rt);
    if (e)
        return e;
    HouseOp *op = op_new(rt, arg);
    op->disks = done;
    Cri__ImageFsInfoRequest q = CRI__IMAGE_FS_INFO_REQUEST__INIT;
    cri_call(op->rt, CRI_IMAGE_FS_INFO, &q, NULL, on_fs_info, op);
    return NULL;
}

/* --- usage ------------------------------------------------------------------------------------------------------------------------ */

static int64_t number(const Cri__UInt64Value *v)
{
    return v && v->value <= (uint64_t)INT64_MAX ? (int64_t)v->value : STAT_NONE;
}

static void usage_of(const Cri__ContainerStats *from, ContainerStats *to)
{
    container_stats_init(to);
    to->id = from->attributes ? from->attributes->id : NULL; /* borrowed */
    if (from->cpu) {
        to->cpu.at_ns = from->cpu->timestamp;
        to->cpu.usage_core_ns = number(from->cpu->usage_core_nano_seconds);
    }
    const Cri__MemoryUsage *m = from->memory;
    if (m)
        to->memory = (MemoryStats){m->timestamp, number(m->available_bytes), number(m->usage_bytes), number(m->working_set_bytes),
                                   number(m->rss_bytes), number(m->page_faults), number(m->major_page_faults)};
    if (from->writable_layer) {
        to->rootfs.at_ns = from->writable_layer->timestamp;
        to->rootfs.used = number(from->writable_layer->used_bytes);
        to->rootfs.inodes_used = number(from->writable_layer->inodes_used);
    }
}

static void on_usage(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    HouseOp *op = arg;
    const Cri__ListContainerStatsResponse *r = (const Cri__ListContainerStatsResponse *)answer;
    size_t n = r ? r->n_stats : 0;
    ContainerStats *v = mem_alloc_n(n + 1, sizeof *v);
    (void)code;
    for (size_t i = 0; i < n; i++)
        usage_of(r->stats[i], &v[i]);
    op->usage(op->arg, err ? NULL : v, n, err);
    free(v);
    op_free(op);
}

Err *cri_usage(Runtime *rt, RuntimeUsageDone *done, void *arg)
{
    Err *e = cri_refused(rt);
    if (e)
        return e;
    HouseOp *op = op_new(rt, arg);
    op->usage = done;
    char label[] = LABEL_ROOT;
    Cri__ContainerStatsFilter__LabelSelectorEntry l = CRI__CONTAINER_STATS_FILTER__LABEL_SELECTOR_ENTRY__INIT, *ls[] = {&l};
    Cri__ContainerStatsFilter f = CRI__CONTAINER_STATS_FILTER__INIT;
    Cri__ListContainerStatsRequest q = CRI__LIST_CONTAINER_STATS_REQUEST__INIT;
    l.key = label;
    l.value = op->rt->root;
    f.n_label_selector = 1;
    f.label_selector = ls;
    q.filter = &f;
    cri_call(op->rt, CRI_LIST_CONTAINER_STATS, &q, NULL, on_usage, op);
    return NULL;
}

void cri_place(Runtime *base, const char *uid, const char *id, RuntimePlace *out)
{
    CriRuntime *rt = (CriRuntime *)base;
    SCOPED(cri_arena_done) CriArena a = {0};
    const char *parent = cri_cgroup_parent(&a, rt, uid);
    (void)id;
    *out = (RuntimePlace){.pod_cgroup = rt->systemd_cgroups ? mem_fmt("/reprise.slice/%s", parent) : mem_dup_str(parent)};
}

/* --- is it there? --------------------------------------------------------------------------------------------------------- */

#define STATUS_TIMEOUT_NS (5 * NS_PER_S)

/* kubelet.go, updateRuntimeUp() */
static void on_ready(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    static const char *const words[][2] = {{"RuntimeReady", "container runtime not ready: "}, {"NetworkReady", "container runtime network not ready: "}};
    HouseOp *op = arg;
    const Cri__StatusResponse *r = (const Cri__StatusResponse *)answer;
    SCOPED(str_done) Str problem = {0};
    (void)code;
    for (size_t i = 0; r && r->status && i < r->status->n_conditions; i++) {
        const Cri__RuntimeCondition *c = r->status->conditions[i];
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            if (!c->status && str_eq(c->type, words[k][0]))
                str_fmt(&problem, "%s%s%s=false reason:%s message:%s", problem.n ? "," : "", words[k][1], c->type, c->reason, c->message);
    }
    op->status(op->arg, problem.n ? problem.p : NULL, err);
    op_free(op);
}

Err *cri_status(Runtime *rt, RuntimeStatusDone *done, void *arg)
{
    Cri__StatusRequest q = CRI__STATUS_REQUEST__INIT;
    Err *e = cri_refused(rt);
    if (e)
        return e;
    HouseOp *op = op_new(rt, arg);
    op->status = done;
    cri_call(op->rt, CRI_STATUS, &q, &(CriCallOptions){.timeout_ns = STATUS_TIMEOUT_NS}, on_ready, op);
    return NULL;
}
