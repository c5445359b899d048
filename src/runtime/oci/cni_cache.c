/* cni_cache.c - what each sandbox was attached with, one file a sandbox: cache_dir/attachments/<id>.json.
 * It is written (durably) before the first plugin runs and again with the result, and is gone after DEL. */
#include "runtime/oci/cni_priv.h"

#include <dirent.h>

#include "os/fs.h"

void cni_attachment_done(CniAttachment *a)
{
    free(a->id);
    free(a->netns);
    free(a->args);
    json_decref(a->net);
    json_decref(a->runtime);
    json_decref(a->result);
    *a = (CniAttachment){0};
}

static char *file_of(const char *cache_dir, const char *id)
{
    return mem_fmt("%s/attachments/%s.json", cache_dir, id);
}

static Err *decode(const char *text, size_t n, const char *id, CniAttachment *a)
{
    SCOPED(json_unref) json_t *o = NULL;
    Err *e = json_parse(text, n, &o);
    if (e)
        return e;
    if (!json_is_object(o) || !str_eq(json_str(o, "id"), id) || !json_is_object(json_object_get(o, "network")))
        return err_new(ERR_INVALID, 0, "not an attachment of sandbox %s", id);
    /* Checked as if it came from the user: the file may be older than this program. */
    SCOPED(mem_free) char *net = json_text(json_object_get(o, "network"), false);
    e = cni_conf_parse(net, strlen(net), true, &a->net);
    if (e)
        return err_wrap(e, "network");
    a->id = mem_dup_str(id);
    a->netns = mem_dup_str(str_or(json_str(o, "netns"), ""));
    a->args = mem_dup_str(str_or(json_str(o, "args"), ""));
    json_t *runtime = json_object_get(o, "runtimeConfig"), *result = json_object_get(o, "result");
    a->runtime = json_is_object(runtime) ? json_incref(runtime) : json_object();
    a->result = json_is_object(result) ? json_incref(result) : NULL;
    return NULL;
}

Err *cni_cache_load(const char *cache_dir, const char *id, CniAttachment *a)
{
    *a = (CniAttachment){0};
    SCOPED(mem_free) char *path = file_of(cache_dir, id);
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, 2 * CNI_MAX_CONF, &text);
    if (e && e->kind == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    if (e)
        return e;
    e = decode(str_or(text.p, ""), text.n, id, a);
    if (e) {
        /* Nothing can be done with it now or later: without this the sandbox could never be removed. */
        (void)unlink(path);
        cni_attachment_done(a);
        return err_wrap(e, "%s is broken and was dropped; its network leases may stay behind", path);
    }
    return NULL;
}

Err *cni_cache_save(const char *cache_dir, const CniAttachment *a)
{
    SCOPED(mem_free) char *dir = mem_fmt("%s/attachments", cache_dir), *path = file_of(cache_dir, a->id);
    SCOPED(json_unref) json_t *o = json_object();
    json_object_set_new(o, "id", json_string(a->id));
    json_object_set_new(o, "netns", json_string(a->netns));
    json_object_set_new(o, "args", json_string(a->args));
    json_object_set(o, "network", a->net);
    json_object_set(o, "runtimeConfig", a->runtime);
    if (a->result)
        json_object_set(o, "result", a->result);
    SCOPED(mem_free) char *text = json_text(o, true);
    Err *e = fs_mkdirs(dir, 0700);
    return e ? e : fs_write_atomic(path, text, strlen(text), 0600, true);
}

Err *cni_cache_drop(const char *cache_dir, const char *id)
{
    SCOPED(mem_free) char *path = file_of(cache_dir, id);
    if (unlink(path) && errno != ENOENT)
        return err_new(ERR_SYS, errno, "remove %s", path);
    return NULL;
}

Err *cni_cache_ids(const char *cache_dir, StrVec *ret)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/attachments", cache_dir);
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "read %s", path);
    for (struct dirent *d; (d = readdir(dir));) {
        if (!str_ends(d->d_name, ".json"))
            continue;
        SCOPED(mem_free) char *id = mem_dup_strn(d->d_name, strlen(d->d_name) - strlen(".json"));
        if (cni_name_ok(id))
            strvec_add(ret, id);
    }
    (void)closedir(dir);
    return NULL;
}
