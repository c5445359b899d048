/* Volumes that show files: configMap, secret, downwardAPI, projected. */
#include "node/volumes_priv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/subpath.h"
#include "os/fs.h"

#define FILE_MODE 0644 /* core/v1: ConfigMapVolumeSourceDefaultMode and its kin */

/* A configMap or secret as a list of keys; bytes are borrowed. */
typedef struct {
    const char *key;
    const void *bytes;
    size_t n;
} KeyView;
typedef LIST_OF(KeyView) KeyViews;

static void keys_of_config_map(const ConfigMap *c, KeyViews *out)
{
    if (!c)
        return;
    LIST_EACH(p, &c->data)
        *LIST_ADD(out) = (KeyView){p->key, p->value, p->value ? strlen(p->value) : 0};
    LIST_EACH(p, &c->binary_data)
        *LIST_ADD(out) = (KeyView){p->key, p->bytes, p->n};
}

static void keys_of_secret(const Secret *s, KeyViews *out)
{
    if (!s)
        return;
    LIST_EACH(p, &s->data)
        *LIST_ADD(out) = (KeyView){p->key, p->bytes, p->n};
}

static uint32_t mode_or(const OptInt *mode, uint32_t otherwise)
{
    return mode->set ? (uint32_t)mode->v & 07777 : otherwise;
}

/* configmap.go and secret.go, MakePayload. <what>: "config" or "secret". */
static Err *put_keys(const FilesVolumeSource *src, const KeyViews *keys, const char *what, uint32_t mode, Payload *out)
{
    if (src->items.n == 0) {
        LIST_EACH(k, keys)
            payload_put(out, k->key, k->bytes, k->n, mode);
        return NULL;
    }
    LIST_EACH(item, &src->items) {
        const KeyView *found = NULL;
        LIST_EACH(k, keys)
            if (str_eq(k->key, item->key))
                found = k;
        if (found)
            payload_put(out, str_or(item->path, ""), found->bytes, found->n, mode_or(&item->mode, mode));
        else if (!src->optional.v)
            return err_new(ERR_NOT_FOUND, 0, "references non-existent %s key: %s", what, str_or(item->key, ""));
    }
    return NULL;
}

static Err *put_config_map(const VolumesContext *ctx, const FilesVolumeSource *src, uint32_t mode, Payload *out)
{
    const ConfigMap *c = ctx_config_map(ctx, src->name);
    if (!c && !src->optional.v)
        return err_new(ERR_NOT_FOUND, 0, "configmap \"%s\" not found", str_or(src->name, ""));
    KeyViews keys = {0};
    keys_of_config_map(c, &keys);
    Err *e = put_keys(src, &keys, "config", mode, out);
    free(keys.v);
    return e;
}

static Err *put_secret(const VolumesContext *ctx, const FilesVolumeSource *src, uint32_t mode, Payload *out)
{
    const Secret *s = ctx_secret(ctx, src->name);
    if (!s && !src->optional.v)
        return err_new(ERR_NOT_FOUND, 0, "secret \"%s\" not found", str_or(src->name, ""));
    KeyViews keys = {0};
    keys_of_secret(s, &keys);
    Err *e = put_keys(src, &keys, "secret", mode, out);
    free(keys.v);
    return e;
}

static Err *put_downward(const VolumesContext *ctx, const DownwardAPIVolumeSource *src, uint32_t mode, Payload *out)
{
    LIST_EACH(item, &src->items) {
        SCOPED(mem_free) char *value = NULL;
        Err *e;
        if (item->field_ref)
            e = field_ref_value(ctx, item->field_ref->field_path, NULL, NULL, &value);
        else if (item->resource_field_ref)
            e = resource_ref_value(ctx, item->resource_field_ref, NULL, &value);
        else
            e = err_new(ERR_INVALID, 0, "downwardAPI item %s has no fieldRef and no resourceFieldRef",
                        str_or(item->path, ""));
        if (e)
            return e;
        payload_put(out, str_or(item->path, ""), value, strlen(value), mode_or(&item->mode, mode));
    }
    return NULL;
}

Err *config_map_collect(const VolumeJob *j, Payload *out)
{
    const FilesVolumeSource *src = j->vol->config_map;
    return put_config_map(j->ctx, src, mode_or(&src->default_mode, FILE_MODE), out);
}

Err *secret_collect(const VolumeJob *j, Payload *out)
{
    const FilesVolumeSource *src = j->vol->secret;
    return put_secret(j->ctx, src, mode_or(&src->default_mode, FILE_MODE), out);
}

Err *downward_api_collect(const VolumeJob *j, Payload *out)
{
    const DownwardAPIVolumeSource *src = j->vol->downward_api;
    return put_downward(j->ctx, src, mode_or(&src->default_mode, FILE_MODE), out);
}

static Err *put_source(const VolumesContext *ctx, const VolumeProjection *p, uint32_t mode, Payload *out)
{
    if (p->secret)
        return put_secret(ctx, p->secret, mode, out);
    if (p->config_map)
        return put_config_map(ctx, p->config_map, mode, out);
    if (p->downward_api)
        return put_downward(ctx, p->downward_api, mode, out);
    const char *what = p->service_account_token  ? "serviceAccountToken"
                       : p->cluster_trust_bundle ? "clusterTrustBundle"
                       : p->pod_certificate      ? "podCertificate"
                                                 : "an empty source";
    return err_new(ERR_UNSUPPORTED, 0, "%s in a projected volume is not supported by reprise", what);
}

/* Every failing source is told, as utilerrors.Aggregate prints them: "a", "[a, b]". Of two sources with one path the
 * later one stays. */
Err *projected_collect(const VolumeJob *j, Payload *out)
{
    const ProjectedVolumeSource *src = j->vol->projected;
    SCOPED(strvec_done) StrVec errors = {0};
    ErrKind kind = ERR_INVALID;
    LIST_EACH(p, &src->sources) {
        SCOPED(err_free) Err *e = put_source(j->ctx, p, mode_or(&src->default_mode, FILE_MODE), out);
        if (!e)
            continue;
        SCOPED(mem_free) char *text = err_text(e);
        kind = e->kind;
        if (!strvec_has(&errors, text))
            strvec_add(&errors, text);
    }
    if (errors.n == 0)
        return NULL;
    SCOPED(str_done) Str all = {0};
    for (size_t i = 0; i < errors.n; i++)
        str_fmt(&all, "%s%s", i ? ", " : "", errors.v[i]);
    return errors.n == 1 ? err_new(kind, 0, "%s", all.p) : err_new(kind, 0, "[%s]", all.p);
}

/* --- setup ------------------------------------------------------------------------------------------------------ */

/* What lies beneath <parent> on the way to <path>, both absolute; NULL if it does not. */
static const char *path_beneath(const char *parent, const char *path)
{
    size_t n = strlen(parent);
    while (n > 0 && parent[n - 1] == '/')
        n--;
    if (strncmp(parent, path, n) != 0 || path[n] != '/')
        return NULL;
    path += strspn(path + n, "/") + n;
    return *path ? path : NULL;
}

/* A mount inside a mount of this volume needs its mount point here, since the runtime cannot make one in what is
 * read-only (pkg/volume/util/nested_volumes.go). */
static Err *make_nested_points(const VolumeJob *j, const ContainerList *list)
{
    LIST_EACH(c, list) {
        LIST_EACH(m, &c->volume_mounts) {
            if (!str_eq(m->name, j->vol->name) || !str_empty(m->sub_path) || !str_empty(m->sub_path_expr))
                continue;
            LIST_EACH(inner, &c->volume_mounts) {
                const char *rest = path_beneath(str_or(m->mount_path, ""), str_or(inner->mount_path, ""));
                if (!rest)
                    continue;
                if (str_starts(rest, ".."))
                    return err_new(ERR_INVALID, 0, "nested mount point %s may not start with '..'", inner->mount_path);
                Err *e = subpath_make_dirs(j->path, rest, 0755);
                if (e)
                    return e;
            }
        }
    }
    return NULL;
}

typedef struct {
    int64_t gid;
} FilesOwner;
static Err *files_owner(void *arg, const char *path)
{
    const FilesOwner *o = arg;
    return volume_set_group(path, o->gid, true, NULL);
}

Err *files_setup(const VolumeJob *j)
{
    SCOPED(payload_done) Payload p = {0};
    Err *e = j->type->collect(j, &p);
    if (!e)
        e = volume_dir_make(j, j->type->memory ? "Memory" : "", NULL);
    const PodSpec *s = &j->ctx->pod->spec;
    if (!e)
        e = make_nested_points(j, &s->init_containers);
    if (!e)
        e = make_nested_points(j, &s->containers);
    if (e)
        return e;
    FilesOwner o = {.gid = s->security_context ? s->security_context->fs_group.v : 0};
    bool grouped = s->security_context && s->security_context->fs_group.set;
    return atomic_write(j->path, &p, grouped ? files_owner : NULL, &o);
}
