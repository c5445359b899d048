#include "runtime/oci/oci.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "os/fs.h"
#include "os/spawn.h"
#include "runtime/oci/oci_priv.h"

/* --- what must wait for the loop -------------------------------------------------------------------------------------------- */

struct Later {
    Later *next;
    void (*fn)(void *arg, bool cancelled);
    void *arg;
};

static void later_run(OciRuntime *rt, bool cancelled)
{
    for (Later *l = MOVE(rt->later, NULL), *next; l; l = next) {
        next = l->next;
        l->fn(l->arg, cancelled);
        mem_free(l);
    }
}

static void on_idle(uv_idle_t *h)
{
    OciRuntime *rt = h->data;
    later_run(rt, false);
    if (!rt->later)
        (void)uv_idle_stop(h);
}

void oci_later(OciRuntime *rt, void (*fn)(void *arg, bool cancelled), void *arg)
{
    Later *l = NEW(Later);
    *l = (Later){.fn = fn, .arg = arg};
    Later **tail = &rt->later;
    while (*tail)
        tail = &(*tail)->next;
    *tail = l;
    (void)uv_idle_start(rt->idle, on_idle);
}

void oci_changed(OciRuntime *rt, const char *uid)
{
    if (rt->base.on_change && !rt->closing)
        rt->base.on_change(rt->base.on_change_arg, uid);
}

/* --- images ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    OciRuntime *rt;
    char *reference, *id;
    RuntimeImageDone *done;
    void *arg;
    Err *failed;
} ImageOp;

static void image_finish(ImageOp *op, const char *id, Err *e)
{
    op->done(op->arg, id, e);
    mem_free(op->reference);
    mem_free(op->id);
    err_free(op->failed);
    mem_free(op);
}

static void image_answer(void *arg, bool cancelled)
{
    ImageOp *op = arg;
    if (cancelled)
        image_finish(op, NULL, err_new(ERR_UNAVAILABLE, 0, "the runtime is closing"));
    else
        image_finish(op, op->id, MOVE(op->failed, NULL));
}

static void on_pulled(void *arg, const char *id, Err *err)
{
    ImageOp *op = arg;
    image_finish(op, id, err && !err->reason[0] ? err_reason(err, "ErrImagePull") : err);
}

static Err *oci_image_ensure(Runtime *base, const char *reference, const char *policy, const ImageAuthList *auths,
                             RuntimeImageDone *done, void *arg)
{
    OciRuntime *rt = (OciRuntime *)base;
    SCOPED(mem_free) char *normal = NULL, *id = NULL;
    Err *e = image_ref_normalize(reference, &normal);
    if (!e)
        e = image_find(rt->images, reference, &id);
    if (e && e->kind != ERR_NOT_FOUND)
        return e;
    err_free(e);
    ImageOp *op = NEW(ImageOp);
    *op = (ImageOp){.rt = rt, .reference = mem_dup_str(reference), .done = done, .arg = arg};
    bool pull = str_eq(policy, "Always") || (!id && !str_eq(policy, "Never"));
    if (!pull) {
        op->id = MOVE(id, NULL);
        if (!op->id)
            op->failed = err_reason(err_new(ERR_NOT_FOUND, 0, "Container image \"%s\" is not present with pull policy of Never",
                                            reference),
                                    "ErrImageNeverPull");
        oci_later(rt, image_answer, op);
        return NULL;
    }
    e = image_pull(rt->images, rt->loop, reference, auths, on_pulled, op);
    if (!e)
        return NULL;
    op->failed = e->reason[0] ? e : err_reason(e, "ErrImagePull");
    oci_later(rt, image_answer, op);
    return NULL;
}

static char *find_image(Runtime *base, const char *reference)
{
    char *id = NULL;
    Err *e = image_find(((OciRuntime *)base)->images, reference, &id);
    err_free(e);
    return e ? NULL : id;
}

static Err *image_user(Runtime *base, const char *image_id, int64_t *ret_uid, char **ret_name)
{
    SCOPED(image_free) Image *image = NULL;
    Err *e = image_get(((OciRuntime *)base)->images, image_id, &image);
    if (!e)
        oci_image_user(image->user, ret_uid, ret_name);
    return e;
}

/* --- facts -------------------------------------------------------------------------------------------------------------------- */

static void oci_pod_facts(Runtime *base, const char *uid, PodFacts *out)
{
    PodShim *p = pod_find((OciRuntime *)base, uid);
    *out = (PodFacts){0};
    if (!p)
        return;
    p->mine = true; /* who asks cares: its shim is to be revived */
    oci_facts_from_json(pod_facts_json(p), p->making_sandbox, out);
}

static void oci_pod_uids(Runtime *base, StrList *out)
{
    *out = (StrList){0};
    for (const PodShim *p = ((OciRuntime *)base)->pods; p; p = p->next)
        *LIST_ADD(out) = mem_dup_str(p->uid);
}

/* --- opening ------------------------------------------------------------------------------------------------------------------ */

static Err *find_runtime(const char *wanted, char **ret)
{
    static const char *const names[] = {"crun", "runc"};
    if (!str_empty(wanted)) {
        Err *e = spawn_find(wanted, ret);
        return e ? err_wrap(e, "OCI runtime \"%s\" is not installed", wanted) : NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        Err *e = spawn_find(names[i], ret);
        if (!e)
            return NULL;
        err_free(e);
    }
    return err_new(ERR_UNSUPPORTED, 0, "no OCI runtime is installed: install crun or runc (Debian: apt-get install crun)");
}

/* The first of <places>, relative to the folder of <program>, that can be executed. NULL: none. Caller frees. */
static Err *find_shim(const char *wanted, char **ret)
{
    static const char *const beside[] = {"reprise-shim", "../shim/reprise-shim", "../libexec/reprise/reprise-shim"};
    if (!str_empty(wanted))
        return spawn_find(wanted, ret);
    *ret = spawn_beside_self(beside, ARRAY_LEN(beside));
    if (*ret)
        return NULL;
    Err *e = spawn_find("reprise-shim", ret);
    return e ? err_wrap(e, "reprise-shim is neither beside this program nor in PATH") : NULL;
}

/* Without it (a machine that it is not written for) containers are prepared up to the runtime's `create`. */
static char *find_gate(const char *shim)
{
    static const char *const beside[] = {"reprise-gate", "../gate/reprise-gate"};
    return spawn_beside(shim, beside, ARRAY_LEN(beside));
}

static Err *find_programs(OciRuntime *rt, const OciRuntimeConfig *c)
{
    SCOPED(cgroup_host_done) CgroupHost cgroups = {0};
    Err *e = find_runtime(c->oci_runtime, &rt->runtime);
    if (!e)
        e = find_shim(c->shim_path, &rt->shim);
    if (e) {
        e->kind = ERR_UNSUPPORTED;
        return e;
    }
    rt->gate = find_gate(rt->shim);
    e = cgroup_probe(&cgroups);
    const char *base = strrchr(rt->runtime, '/');
    rt->hide_cgroup2 = !e && cgroups.unified_has_controllers && str_starts(base ? base + 1 : rt->runtime, "crun");
    return e;
}

/* Everything that has a directory under <run_dir>/pods has, or had, a shim. A Pod whose shim cannot be reached is told, and
 * must not keep the others from running. */
static void adopt_all(OciRuntime *rt)
{
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods", rt->run_dir);
    SCOPED(strvec_done) StrVec names = {0};
    DIR *d = opendir(dir);
    for (struct dirent *de; d && (de = readdir(d)) != NULL;)
        if (de->d_name[0] != '.' && !strstr(de->d_name, ".gone."))
            strvec_add(&names, de->d_name);
    if (d)
        (void)closedir(d);
    for (size_t i = 0; i < names.n; i++) {
        SCOPED(mem_free) char *journal = mem_fmt("%s/%s/journal", dir, names.v[i]);
        if (!fs_exists(journal)) /* a shim that is just starting or ending: nothing to adopt */
            continue;
        Err *e = pod_adopt(pod_make(rt, names.v[i]));
        if (!e)
            continue;
        SCOPED(mem_free) char *text = err_text(e);
        err_free(e);
        (void)fprintf(stderr, "reprise: Pod %s: its shim cannot be reached: %s\n", names.v[i], text);
    }
}

static void on_collected(void *arg, char *const *ips, size_t n_ips, Err *err)
{
    (void)arg;
    (void)ips;
    (void)n_ips;
    err_free(err); /* tried again at the next start */
}

/* Networks of sandboxes that nobody knows any more. */
static void collect_networks(OciRuntime *rt)
{
    SCOPED(strvec_done) StrVec live = {0};
    for (const PodShim *p = rt->pods; p; p = p->next) {
        const char *id;
        json_t *s;
        json_object_foreach(json_object_get(pod_facts_json(p), "sandboxes"), id, s) strvec_add(&live, id);
        if (!shim_client_ready(p->client))
            return; /* what it holds is not known */
    }
    err_free(cni_collect(rt->cni, &live, on_collected, rt));
}

static void idle_closed(uv_handle_t *h)
{
    mem_free(h);
}

static void oci_close(Runtime *base)
{
    OciRuntime *rt = (OciRuntime *)base;
    rt->closing = true;
    while (rt->pods)
        pod_close(rt->pods);
    image_store_close(MOVE(rt->images, NULL));
    if (rt->cni)
        cni_close(MOVE(rt->cni, NULL));
    oci_sandbox_cancel(rt);
    oci_house_cancel(rt);
    later_run(rt, true);
    later_run(rt, true);
    (void)uv_idle_stop(rt->idle);
    uv_close((uv_handle_t *)rt->idle, idle_closed);
    mem_free(rt->root);
    mem_free(rt->run_dir);
    mem_free(rt->log_dir);
    mem_free(rt->shim);
    mem_free(rt->gate);
    mem_free(rt->runtime);
    mem_free(rt);
}

static const RuntimeOps oci_ops = {
    .name = "oci",
    .caps = RUNTIME_CAP_IMAGE_PULL | RUNTIME_CAP_HOST_MOUNT_NS,
    .pod_facts = oci_pod_facts,
    .sandbox_run = oci_sandbox_run,
    .sandbox_stop = oci_sandbox_stop,
    .sandbox_remove = oci_sandbox_remove,
    .image_ensure = oci_image_ensure,
    .image_find = find_image,
    .image_user = image_user,
    .container_create = oci_container_create,
    .container_prepare = oci_container_prepare,
    .container_start = oci_container_start,
    .container_signal = oci_container_signal,
    .containers_kill = oci_containers_kill,
    .container_remove = oci_container_remove,
    .exec_sync = oci_exec_sync,
    .exec = oci_exec,
    .attach = oci_attach,
    .port_forward = oci_port_forward,
    .pod_uids = oci_pod_uids,
    .close = oci_close,
    .images = oci_images,
    .image_remove = oci_image_remove,
    .disks = oci_disks,
    .place = oci_place,
};

ImageStore *oci_runtime_images(Runtime *rt)
{
    return ((OciRuntime *)rt)->images;
}

Err *oci_runtime_open(const OciRuntimeConfig *c, Runtime **ret)
{
    OciRuntime *rt = NEW(OciRuntime);
    *rt = (OciRuntime){.base.ops = &oci_ops, .loop = c->loop, .root = mem_dup_str(c->root), .run_dir = mem_dup_str(c->run_dir),
                       .log_dir = mem_dup_str(c->log_dir), .log_max_bytes = c->log_max_bytes,
                       .log_max_files = c->log_max_files ? c->log_max_files : 5, .idle = NEW(uv_idle_t)};
    (void)uv_idle_init(c->loop, rt->idle);
    rt->idle->data = rt;
    SCOPED(mem_free) char *images = mem_fmt("%s/images", c->root);
    SCOPED(mem_free) char *pods = mem_fmt("%s/pods", c->run_dir);
    SCOPED(mem_free) char *bundles = mem_fmt("%s/pods", c->root);
    Err *e = find_programs(rt, c);
    if (!e)
        e = fs_mkdirs(pods, 0711);
    if (!e)
        e = fs_mkdirs(bundles, 0755);
    if (!e)
        e = image_store_open(images, &rt->images);
    if (!e)
        e = cni_open(c->loop, &c->cni, &rt->cni);
    if (e) {
        oci_close(&rt->base);
        return e;
    }
    oci_host_probe(&rt->host);
    /* Containers of a shim that dies come to us, and keep their exit codes until its successor has read them. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    adopt_all(rt);
    collect_networks(rt);
    *ret = &rt->base;
    return NULL;
}
