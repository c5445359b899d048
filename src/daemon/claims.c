/* claims.c - PersistentVolumeClaims of the API: each is a directory, <root>/pvc/<namespace>/<claim>, made by the first Pod that mounts
 * it, so a claim is Bound as soon as it is seen. kubernetes.io/pvc-protection keeps it while a Pod uses it. With the claim its data goes
 * (reclaim policy Delete), beside the loop; a claim that a manifest file has too keeps it.
 *
 * <root>/pvc-api/<uid> says whose data a directory is, so that a death between the claim's end and its data's forgets nothing. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/trash.h"
#include "api/codec.h"
#include "daemon/daemon_priv.h"
#include "os/fault.h"
#include "os/fs.h"

#define PROTECTION "kubernetes.io/pvc-protection"
#define CLAIMS "persistentvolumeclaims"
#define NAME_MAX_BYTES 512

/* --- who uses it --------------------------------------------------------------------------------------------------------- */

static bool uses(const Pod *p, const char *namespace_, const char *claim)
{
    bool ended = str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
    return !ended && str_eq(p->metadata.namespace_, namespace_) && pod_reads(p, READS_PVC, claim);
}

static bool may_name(void *arg, const ObjItem *i)
{
    return strstr(i->text, arg) != NULL;
}

static bool is_used(const Daemon *d, const char *namespace_, const char *claim)
{
    for (size_t i = 0; i < agent_pod_count(d->agent); i++)
        if (uses(agent_pod_at(d->agent, i), namespace_, claim))
            return true;
    SCOPED(objlist_done) ObjList l = {0};
    SCOPED(mem_free) char *name = mem_dup_str(claim);
    ObjQuery q = {.resource = "pods", .namespace_ = namespace_, .match = may_name, .arg = name};
    err_free(objstore_list(d->store, &q, &l));
    for (size_t i = 0; i < l.n; i++) {
        SCOPED(pod_free) Pod *p = stored_pod(d, l.item[i]->namespace_, l.item[i]->name);
        if (p && !str_empty(p->spec.node_name) && uses(p, namespace_, claim))
            return true;
    }
    return false;
}

char *claims_problem(const Daemon *d, const Pod *p)
{
    LIST_EACH(v, &p->spec.volumes) {
        const char *name = v->persistent_volume_claim ? v->persistent_volume_claim->claim_name : NULL;
        if (!name)
            continue;
        const ObjItem *i = objstore_get(d->store, CLAIMS, p->metadata.namespace_, name);
        if (!i)
            return mem_fmt("persistentvolumeclaim \"%s\" not found", name);
        SCOPED(json_unref) json_t *o = objitem_json(i);
        if (json_str(json_object_get(o, "metadata"), "deletionTimestamp"))
            return mem_fmt("persistentvolumeclaim \"%s\" is being deleted", name);
    }
    return NULL;
}

/* --- its data ------------------------------------------------------------------------------------------------------------ */

static char *marker_path(const Daemon *d, const char *uid)
{
    return mem_fmt("%s/pvc-api/%s", d->c.root, uid);
}

static Err *mark(const Daemon *d, const ObjItem *i)
{
    SCOPED(mem_free) char *dir = mem_fmt("%s/pvc-api", d->c.root);
    SCOPED(mem_free) char *path = marker_path(d, i->uid);
    if (fs_exists(path))
        return NULL;
    Err *e = fs_mkdirs(dir, 0700);
    return e ? e : fs_write_atomic(path, i->key, strlen(i->key), 0600, true);
}

static bool is_in_file(const Daemon *d, const char *namespace_, const char *claim)
{
    LIST_EACH(f, &d->files.files)
        LIST_EACH(c, &f->objects.pvcs)
            if (str_eq((*c)->metadata.namespace_, namespace_) && str_eq((*c)->metadata.name, claim))
                return true;
    return false;
}

static Err *drop_data(Daemon *d, const char *uid, const char *key)
{
    const char *slash = strchr(key, '/');
    SCOPED(mem_free) char *path = marker_path(d, uid);
    SCOPED(mem_free) char *namespace_ = slash ? mem_dup_strn(key, (size_t)(slash - key)) : NULL;
    bool sound = slash && !strchr(slash + 1, '/') && !str_starts(key, ".") && !str_starts(slash + 1, ".");
    if (sound && !is_in_file(d, namespace_, slash + 1)) {
        SCOPED(mem_free) char *dir = mem_fmt("%s/pvc/%s", d->c.root, key);
        fault_step("claim.remove");
        Err *e = trash_remove(d->c.loop, d->c.root, dir);
        if (e)
            return e;
        LOG(d->c.log, LOG_INFO, "the data of a deleted claim was removed", {"claim", key}, {"uid", uid});
    }
    if (unlink(path) < 0 && errno != ENOENT)
        return err_new(ERR_SYS, errno, "remove %s", path);
    return NULL;
}

static bool is_claim(const Daemon *d, const char *uid, const char *key)
{
    const char *slash = strchr(key, '/');
    SCOPED(mem_free) char *namespace_ = slash ? mem_dup_strn(key, (size_t)(slash - key)) : NULL;
    const ObjItem *i = slash ? objstore_get(d->store, CLAIMS, namespace_, slash + 1) : NULL;
    return i && str_eq(i->uid, uid);
}

/* Data of claims that are not there any more. Before anything is mounted: a new claim of that name begins empty. */
static void sweep_data(Daemon *d)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/pvc-api", d->c.root);
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        SCOPED(str_done) Str key = {0};
        SCOPED(mem_free) char *marker = marker_path(d, e->d_name);
        if (e->d_name[0] == '.')
            continue;
        Err *err = fs_read(marker, NAME_MAX_BYTES, &key);
        if (!err && !is_claim(d, e->d_name, str_or(key.p, "")))
            err = drop_data(d, e->d_name, str_or(key.p, ""));
        if (err) {
            log_error(d->c.log, "remove the data of a deleted claim", NULL, err);
            retry_later(d);
        }
    }
    if (dir)
        (void)closedir(dir);
}

/* --- the object ---------------------------------------------------------------------------------------------------------- */

static size_t find_text(const json_t *list, const char *text)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v)
        if (str_eq(json_string_value(v), text))
            return i;
    return json_array_size(list);
}

static json_t *member(json_t *o, const char *key, json_t *fresh)
{
    json_t *v = json_object_get(o, key);
    if (v) {
        json_decref(fresh);
        return v;
    }
    json_object_set_new(o, key, fresh);
    return fresh;
}

/* One that is there: protected and bound. */
static Err *bind_claim(Daemon *d, const ObjItem *i, json_t *o)
{
    json_t *spec = json_object_get(o, "spec"), *meta = json_object_get(o, "metadata"), *status = member(o, "status", json_object());
    json_t *finalizers = member(meta, "finalizers", json_array());
    Err *e = mark(d, i);
    if (e)
        return e;
    if (find_text(finalizers, PROTECTION) == json_array_size(finalizers))
        json_array_append_new(finalizers, json_string(PROTECTION));
    if (str_eq(json_str(status, "phase"), "Bound"))
        return objstore_update(d->store, CLAIMS, o, &(ObjWrite){.uid = i->uid}, NULL);
    if (!json_object_get(spec, "volumeName")) {
        SCOPED(mem_free) char *volume = mem_fmt("pvc-%s", i->uid);
        json_object_set_new(spec, "volumeName", json_string(volume));
    }
    json_object_set_new(status, "phase", json_string("Bound"));
    if (json_object_get(spec, "accessModes"))
        json_object_set(status, "accessModes", json_object_get(spec, "accessModes"));
    const char *size = json_str(json_object_get(json_object_get(spec, "resources"), "requests"), "storage");
    if (size)
        json_object_set_new(status, "capacity", json_pack("{s:s}", "storage", size));
    return objstore_update(d->store, CLAIMS, o, &(ObjWrite){.uid = i->uid}, NULL);
}

/* One that is being deleted, when no Pod uses it: the protection goes, and with the last finalizer the claim. */
static Err *let_go(Daemon *d, const ObjItem *i, json_t *o)
{
    json_t *meta = json_object_get(o, "metadata"), *finalizers = json_object_get(meta, "finalizers");
    size_t at = find_text(finalizers, PROTECTION);
    if (at == json_array_size(finalizers) || is_used(d, i->namespace_, i->name))
        return NULL;
    SCOPED(mem_free) char *uid = mem_dup_str(i->uid);
    SCOPED(mem_free) char *namespace_ = mem_dup_str(i->namespace_);
    SCOPED(mem_free) char *name = mem_dup_str(i->name);
    (void)json_array_remove(finalizers, at);
    fault_step("claim.delete");
    if (json_array_size(finalizers))
        return objstore_update(d->store, CLAIMS, o, &(ObjWrite){.uid = uid}, NULL);
    return objstore_delete(d->store, CLAIMS, namespace_, name, &(ObjWrite){.uid = uid}, NULL);
}

void claims_sync(Daemon *d)
{
    if (!MOVE(d->claims_dirty, false))
        return;
    SCOPED(objlist_done) ObjList l = {0};
    err_free(objstore_list(d->store, &(ObjQuery){.resource = CLAIMS}, &l));
    for (size_t i = 0; i < l.n; i++) {
        SCOPED(json_unref) json_t *o = objitem_json(l.item[i]);
        bool ends = json_str(json_object_get(o, "metadata"), "deletionTimestamp") != NULL;
        Err *e = ends ? let_go(d, l.item[i], o) : bind_claim(d, l.item[i], o);
        if (e) {
            log_error(d->c.log, "a claim", l.item[i]->key, e);
            retry_later(d);
        }
    }
    sweep_data(d);
}
