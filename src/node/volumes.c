/* The table of volume sources, and what is done with all volumes of a Pod. */
#include "node/volumes_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/quantity.h"
#include "os/fs.h"
#include "os/mount.h"

static Err *image_setup(const VolumeJob *j)
{
    (void)j;
    return err_new(ERR_UNSUPPORTED, 0, "image volumes are not supported by reprise");
}

#define SOURCE(member) .source = offsetof(Volume, member)
static const VolumeType types[] = {
    {SOURCE(empty_dir), .dir = "kubernetes.io~empty-dir", .setup = empty_dir_setup},
    {SOURCE(host_path), .setup = host_path_setup},
    {SOURCE(config_map), .dir = "kubernetes.io~configmap", .setup = files_setup, .collect = config_map_collect,
     .read_only = true},
    {SOURCE(secret), .dir = "kubernetes.io~secret", .setup = files_setup, .collect = secret_collect, .read_only = true,
     .memory = true},
    {SOURCE(downward_api), .dir = "kubernetes.io~downward-api", .setup = files_setup, .collect = downward_api_collect,
     .read_only = true, .memory = true},
    {SOURCE(projected), .dir = "kubernetes.io~projected", .setup = files_setup, .collect = projected_collect,
     .read_only = true, .memory = true},
    {SOURCE(persistent_volume_claim), .setup = claim_setup},
    {SOURCE(image), .dir = "kubernetes.io~image", .setup = image_setup},
};

const VolumeType *volume_type(const Volume *v)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const void *source;
        memcpy(&source, (const char *)v + types[i].source, sizeof source);
        if (source)
            return &types[i];
    }
    return NULL;
}

const Volume *volume_find(const Pod *p, const char *name)
{
    LIST_EACH(v, &p->spec.volumes)
        if (str_eq(v->name, name))
            return v;
    return NULL;
}

Err *path_component_check(const char *what, const char *name)
{
    if (str_empty(name) || strchr(name, '/') || str_eq(name, ".") || str_eq(name, "..") || strlen(name) > 255)
        return err_new(ERR_INVALID, 0, "%s \"%s\" is not a usable name", what, str_or(name, ""));
    return NULL;
}

char *pod_path(const char *root, const char *uid, const char *rest)
{
    return mem_fmt("%s/pods/%s%s", root, uid, rest);
}

const char *pod_namespace(const Pod *p)
{
    return str_empty(p->metadata.namespace_) ? "default" : p->metadata.namespace_;
}

Err *volume_job_init(VolumeJob *j, const VolumesContext *ctx, const Volume *v)
{
    *j = (VolumeJob){.ctx = ctx, .vol = v, .type = volume_type(v)};
    if (!j->type)
        return err_new(ERR_UNSUPPORTED, 0, "no volume plugin matched");
    Err *e = path_component_check("volume", v->name);
    if (e)
        return e;
    SCOPED(mem_free) char *pod = pod_path(ctx->root, ctx->pod->metadata.uid, "");
    if (j->type->dir) {
        j->path = mem_fmt("%s/volumes/%s/%s", pod, j->type->dir, v->name);
        j->ready = mem_fmt("%s/plugins/%s/%s/ready", pod, j->type->dir, v->name);
        return NULL;
    }
    if (v->host_path) {
        j->path = mem_dup_str(str_or(v->host_path->path, ""));
        return NULL;
    }
    const char *claim = v->persistent_volume_claim->claim_name, *ns = pod_namespace(ctx->pod);
    if ((e = path_component_check("persistentvolumeclaim", claim)) || (e = path_component_check("namespace", ns)))
        return e;
    j->path = mem_fmt("%s/pvc/%s/%s", ctx->root, ns, claim);
    j->ready = mem_fmt("%s/plugins/kubernetes.io~persistentvolumeclaim/%s/ready", pod, v->name);
    return NULL;
}

void volume_job_done(VolumeJob *j)
{
    free(j->path);
    free(j->ready);
    j->path = j->ready = NULL;
}

bool volume_is_ready(const VolumeJob *j)
{
    return fs_exists(j->ready);
}

Err *volume_set_ready(const VolumeJob *j)
{
    SCOPED(mem_free) char *dir = mem_dup_strn(j->ready, (size_t)(strrchr(j->ready, '/') - j->ready));
    Err *e = fs_mkdirs(dir, 0750);
    return e ? e : fs_write_atomic(j->ready, "", 0, 0600, false);
}

const ConfigMap *ctx_config_map(const VolumesContext *ctx, const char *name)
{
    const ConfigMap *found = NULL; /* of two documents with one name the later stays, as with kubectl apply */
    for (size_t i = 0; ctx->objects && i < ctx->objects->config_maps.n; i++) {
        const ConfigMap *c = ctx->objects->config_maps.v[i];
        const char *ns = str_empty(c->metadata.namespace_) ? "default" : c->metadata.namespace_;
        if (str_eq(c->metadata.name, name) && str_eq(ns, pod_namespace(ctx->pod)))
            found = c;
    }
    return found;
}

const Secret *ctx_secret(const VolumesContext *ctx, const char *name)
{
    const Secret *found = NULL;
    for (size_t i = 0; ctx->objects && i < ctx->objects->secrets.n; i++) {
        const Secret *s = ctx->objects->secrets.v[i];
        const char *ns = str_empty(s->metadata.namespace_) ? "default" : s->metadata.namespace_;
        if (str_eq(s->metadata.name, name) && str_eq(ns, pod_namespace(ctx->pod)))
            found = s;
    }
    return found;
}

bool ctx_has_claim(const VolumesContext *ctx, const char *name)
{
    for (size_t i = 0; ctx->objects && i < ctx->objects->pvcs.n; i++) {
        const PersistentVolumeClaim *c = ctx->objects->pvcs.v[i];
        const char *ns = str_empty(c->metadata.namespace_) ? "default" : c->metadata.namespace_;
        if (str_eq(c->metadata.name, name) && str_eq(ns, pod_namespace(ctx->pod)))
            return true;
    }
    return false;
}

const BytesPair *bytes_get(const BytesMap *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->v[i].key, key))
            return &m->v[i];
    return NULL;
}

void ctx_warn(const VolumesContext *ctx, const char *fmt, ...)
{
    if (!ctx->warnings)
        return;
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    strvec_add_take(ctx->warnings, str_take(&s));
}

/* --- the whole Pod ---------------------------------------------------------------------------------------------- */

/* containerd gives each sandbox one of this size (defaultShmSize); it is the Pod's, so it stays over in-place restarts.
 */
#define SHM_OPTIONS "size=65536k,mode=1777"

static Err *shm_setup(const VolumesContext *ctx)
{
    if (ctx->pod->spec.host_ipc.v)
        return NULL;
    SCOPED(mem_free) char *path = pod_path(ctx->root, ctx->pod->metadata.uid, "/shm");
    if (mount_is_point(path))
        return NULL;
    Err *e = fs_mkdirs(path, 0700);
    return e ? e : mount_tmpfs(path, SHM_OPTIONS, true);
}

static Err *setup_one(const VolumesContext *ctx, const Volume *v)
{
    SCOPED(volume_job_done) VolumeJob j = {0};
    Err *e = volume_job_init(&j, ctx, v);
    if (!e)
        e = j.type->setup(&j);
    return e ? err_wrap(e, "MountVolume.SetUp failed for volume \"%s\" ", str_or(v->name, "")) : NULL;
}

Err *volumes_setup(const VolumesContext *ctx)
{
    Err *e = path_component_check("pod uid", ctx->pod->metadata.uid);
    if (e)
        return e;
    SCOPED(mem_free) char *dir = pod_path(ctx->root, ctx->pod->metadata.uid, "");
    if ((e = fs_mkdirs(dir, 0750)) || (e = shm_setup(ctx)))
        return e;
    LIST_EACH(v, &ctx->pod->spec.volumes)
        if ((e = setup_one(ctx, v)))
            return e;
    return NULL;
}

/* What this part makes in a Pod's directory; other parts keep their files beside it. */
static const char *const pod_entries[] = {"subpaths",   "volumes",   "plugins",  "shm",
                                          "containers", "etc-hosts", "hostname", "resolv.conf"};

Err *volumes_detach(const char *root, const char *pod_uid)
{
    Err *e = path_component_check("pod uid", pod_uid);
    for (size_t i = 0; i < ARRAY_LEN(pod_entries) && !e; i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/pods/%s/%s", root, pod_uid, pod_entries[i]);
        e = mount_detach_tree(path);
    }
    return e;
}

Err *volumes_teardown(const char *root, const char *pod_uid)
{
    /* All mounts first: nothing is removed while anything is mounted below. */
    Err *first = volumes_detach(root, pod_uid);
    if (first)
        return first;
    for (size_t i = 0; i < ARRAY_LEN(pod_entries); i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/pods/%s/%s", root, pod_uid, pod_entries[i]);
        Err *e = fs_remove_tree(path);
        if (e && first)
            err_free(e); /* the others are removed all the same; the first failure is told */
        else if (e)
            first = e;
    }
    SCOPED(mem_free) char *dir = pod_path(root, pod_uid, "");
    (void)rmdir(dir); /* stays while the agent's record lies there */
    return first;
}

char *volume_path(const VolumesContext *ctx, const Volume *v)
{
    SCOPED(volume_job_done) VolumeJob j = {0};
    SCOPED(err_free) Err *e = volume_job_init(&j, ctx, v);
    return e ? NULL : MOVE(j.path, NULL);
}

char *volumes_over_limit(const VolumesContext *ctx)
{
    LIST_EACH(v, &ctx->pod->spec.volumes) {
        const EmptyDirVolumeSource *src = v->empty_dir;
        int64_t limit, used, inodes;
        if (!src || !str_empty(src->medium) || !src->size_limit || !quantity_value(src->size_limit, &limit) ||
            limit <= 0)
            continue;
        SCOPED(volume_job_done) VolumeJob j = {0};
        SCOPED(err_free) Err *e = volume_job_init(&j, ctx, v);
        if (!e)
            e = disk_usage(j.path, &used, &inodes);
        if (e) {
            SCOPED(mem_free) char *text = err_text(e);
            ctx_warn(ctx, "cannot tell the disk usage of volume \"%s\": %s", v->name, text);
            continue;
        }
        if (used <= limit)
            continue;
        SCOPED(mem_free) char *shown = quantity_canonical(src->size_limit);
        return mem_fmt("Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\".", v->name,
                       str_or(shown, src->size_limit));
    }
    return NULL;
}
