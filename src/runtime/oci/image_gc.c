/* Taking away: rm, prune, what a crash left; and the marks by which containers hold on to their image. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/codec.h"
#include "os/fault.h"
#include "runtime/oci/image_priv.h"

/* Names in a directory but "." and ".."; a directory that is not there has none. */
static Err *list_dir(const char *path, StrVec *ret)
{
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? NULL : err_new(ERR_SYS, errno, "read directory %s", path);
    for (struct dirent *ent; (ent = readdir(d));)
        if (!str_eq(ent->d_name, ".") && !str_eq(ent->d_name, ".."))
            strvec_add(ret, ent->d_name);
    (void)closedir(d);
    return NULL;
}

/* --- marks ------------------------------------------------------------------------------------------------------- */

/* Container ids become file names. */
static Err *check_container_id(const char *id)
{
    if (!*id || *id == '.' || strchr(id, '/') || strlen(id) > 200)
        return err_new(ERR_INVALID, 0, "container id \"%.200s\" cannot be a file name", id);
    return NULL;
}

static Err *check_image_id(const char *id)
{
    return str_starts(id, "sha256:") ? digest_check(id)
                                     : err_new(ERR_INVALID, 0, "image id \"%.100s\": not sha256:HEX", id);
}

Err *store_users(const ImageStore *s, const char *id, StrVec *ret)
{
    SCOPED(mem_free) char *dir = store_path(s, "refs/%s", id + 7);
    return list_dir(dir, ret);
}

Err *image_ref_use(ImageStore *s, const char *image_id, const char *container_id)
{
    Err *e = check_image_id(image_id);
    if (!e)
        e = check_container_id(container_id);
    if (e)
        return e;
    SCOPED(fd_close) int lock = -EBADF;
    SCOPED(index_done) Index x = {0};
    e = store_lock(s, "lock", true, true, &lock);
    if (!e)
        e = index_load(s, &x);
    if (e)
        return e;
    if (!index_find_id(&x, image_id))
        return err_new(ERR_NOT_FOUND, 0, "image %.19s is not in the store any more", image_id);
    SCOPED(mem_free) char *dir = store_path(s, "refs/%s", image_id + 7);
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, container_id);
    e = fs_mkdirs(dir, 0700);
    if (e)
        return e;
    /* No fsync: after a power cut no container runs either. */
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? err_new(ERR_SYS, errno, "create %s", path) : NULL;
}

Err *image_ref_release(ImageStore *s, const char *image_id, const char *container_id)
{
    Err *e = check_image_id(image_id);
    if (!e)
        e = check_container_id(container_id);
    if (e)
        return e;
    SCOPED(mem_free) char *dir = store_path(s, "refs/%s", image_id + 7);
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, container_id);
    if ((fault_hit("unlink") || unlink(path) < 0) && errno != ENOENT && errno != ENOTDIR)
        return err_new(ERR_SYS, errno, "remove %s", path);
    (void)rmdir(dir); /* the last one goes with its directory */
    return NULL;
}

Err *image_ref_collect(ImageStore *s, const StrVec *live_container_ids)
{
    SCOPED(mem_free) char *refs = store_path(s, "refs");
    SCOPED(strvec_done) StrVec images = {0};
    Err *e = list_dir(refs, &images);
    for (size_t i = 0; i < images.n && !e; i++) {
        SCOPED(mem_free) char *id = mem_fmt("sha256:%s", images.v[i]);
        SCOPED(strvec_done) StrVec users = {0};
        e = store_users(s, id, &users);
        for (size_t k = 0; k < users.n && !e; k++)
            if (!strvec_has(live_container_ids, users.v[k]))
                e = image_ref_release(s, id, users.v[k]);
        SCOPED(mem_free) char *dir = store_path(s, "refs/%s", images.v[i]);
        (void)rmdir(dir);
    }
    return e;
}

/* --- what nobody names ------------------------------------------------------------------------------------------- */

static bool layer_is_named(const Index *x, const char *name)
{
    for (size_t i = 0; i < x->n; i++)
        if (strvec_has(&x->v[i].layers, name))
            return true;
    return false;
}

static bool blob_is_named(const Index *x, const char *name)
{
    for (size_t i = 0; i < x->n; i++) {
        if (str_eq(x->v[i].id + 7, name))
            return true;
        for (size_t k = 0; k < x->v[i].digests.n; k++)
            if (str_ends(x->v[i].digests.v[k], name) && strlen(x->v[i].digests.v[k]) == 7 + strlen(name))
                return true;
    }
    return false;
}

static int64_t layer_size(const ImageStore *s, const char *name)
{
    SCOPED(mem_free) char *path = store_path(s, "layers/%s/size", name);
    SCOPED(str_done) Str text = {0};
    int64_t size = 0;
    Err *e = fs_read(path, 64, &text);
    if (e || !str_to_i64(text.p, &size))
        size = 0; /* only what prune says it freed depends on it */
    err_free(e);
    return size;
}

/* Takes layers and blobs that <x> does not name out of sight, into <trash>; deleting them can then take its time. Both
 * locks are held. */
static Err *unlink_orphans(const ImageStore *s, const Index *x, const char *trash, int64_t *bytes)
{
    SCOPED(mem_free) char *layers = store_path(s, "layers");
    SCOPED(mem_free) char *blobs = store_path(s, "blobs/sha256");
    SCOPED(strvec_done) StrVec names = {0};
    Err *e = list_dir(layers, &names);
    for (size_t i = 0; i < names.n && !e; i++) {
        if (layer_is_named(x, names.v[i]))
            continue;
        SCOPED(mem_free) char *from = mem_fmt("%s/%s", layers, names.v[i]);
        SCOPED(mem_free) char *to = mem_fmt("%s/%s", trash, names.v[i]);
        *bytes += layer_size(s, names.v[i]);
        if (fault_hit("rename") || rename(from, to) < 0)
            e = err_new(ERR_SYS, errno, "move %s to %s", from, to);
    }
    SCOPED(strvec_done) StrVec blob_names = {0};
    if (!e)
        e = list_dir(blobs, &blob_names);
    for (size_t i = 0; i < blob_names.n && !e; i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/%s", blobs, blob_names.v[i]);
        struct stat st;
        if (blob_is_named(x, blob_names.v[i]))
            continue;
        *bytes += stat(path, &st) == 0 ? st.st_size : 0;
        if ((fault_hit("unlink") || unlink(path) < 0) && errno != ENOENT)
            e = err_new(ERR_SYS, errno, "remove %s", path);
    }
    return e;
}

static Err *collect_orphans(const ImageStore *s, bool wait, int64_t *bytes)
{
    SCOPED(fd_close) int gc = -EBADF;
    Err *e = store_lock(s, "gc.lock", true, wait, &gc);
    if (e)
        return e;
    SCOPED(mem_free) char *trash = NULL;
    SCOPED(fd_close) int trash_lock = -EBADF;
    e = store_tmp(s, &trash, &trash_lock);
    if (e)
        return e;
    {
        SCOPED(fd_close) int lock = -EBADF;
        SCOPED(index_done) Index x = {0};
        e = store_lock(s, "lock", true, true, &lock);
        if (!e)
            e = index_load(s, &x);
        if (!e)
            e = unlink_orphans(s, &x, trash, bytes);
    }
    Err *removed = fs_remove_tree(trash);
    if (!e)
        return removed;
    err_free(removed);
    return e;
}

/* Work directories whose owner is gone: those that we can lock. */
static Err *sweep_tmp(const ImageStore *s)
{
    SCOPED(mem_free) char *tmp = store_path(s, "tmp");
    SCOPED(strvec_done) StrVec names = {0}, dead = {0};
    int *locks = NULL;
    size_t n = 0;
    {
        SCOPED(fd_close) int lock = -EBADF;
        Err *e = store_lock(s, "lock", true, true, &lock);
        if (!e)
            e = list_dir(tmp, &names);
        if (e)
            return e;
        locks = mem_alloc_n(names.n, sizeof *locks);
        for (size_t i = 0; i < names.n; i++) {
            SCOPED(mem_free) char *path = mem_fmt("%s/%s", tmp, names.v[i]);
            SCOPED(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
                continue;
            strvec_add(&dead, path);
            locks[n++] = MOVE(fd, -EBADF);
        }
    }
    Err *first = NULL;
    for (size_t i = 0; i < n; i++) {
        Err *e = fs_remove_tree(dead.v[i]);
        if (!first)
            first = MOVE(e, NULL);
        err_free(e);
        fd_close(locks[i]);
    }
    free(locks);
    return first;
}

Err *store_sweep(const ImageStore *s, int64_t *ret_bytes)
{
    int64_t bytes = 0;
    Err *e = sweep_tmp(s);
    if (e)
        return e;
    e = collect_orphans(s, false, &bytes);
    if (e && e->kind == ERR_UNAVAILABLE) { /* an import is under way, and the layers may be its */
        err_free(e);
        e = NULL;
    }
    if (!e && ret_bytes)
        *ret_bytes = bytes;
    return e;
}

Err *image_list_brief(ImageStore *s, RuntimeImages *ret)
{
    SCOPED(index_done) Index x = {0};
    RuntimeImages list = {0};
    Err *e = index_load(s, &x);
    for (size_t i = 0; i < x.n && !e; i++) {
        SCOPED(strvec_done) StrVec users = {0};
        RuntimeImage *img = LIST_ADD(&list);
        img->id = mem_dup_str(x.v[i].id);
        img->bytes = x.v[i].size_bytes;
        for (size_t k = 0; k < x.v[i].refs.n; k++)
            strvec_add(&img->names, x.v[i].refs.v[k]);
        e = store_users(s, img->id, &users);
        img->used = users.n > 0;
    }
    if (e) {
        runtime_images_done(&list);
        return e;
    }
    *ret = list;
    return NULL;
}

/* --- rm ---------------------------------------------------------------------------------------------------------- */

static Err *check_unused(const ImageStore *s, const IndexEntry *entry, bool *ret_in_use, char **ret_user)
{
    SCOPED(strvec_done) StrVec users = {0};
    Err *e = store_users(s, entry->id, &users);
    if (e)
        return e;
    *ret_in_use = users.n > 0;
    *ret_user = users.n ? mem_dup_str(users.v[0]) : NULL;
    return NULL;
}

static void say(StrVec *removed, const char *what, const char *name)
{
    if (removed)
        strvec_fmt(removed, "%s: %s", what, name);
}

/* Takes <by_ref>, or with NULL every name, from the image; without a name and a user the image goes. */
static Err *remove_entry(const ImageStore *s, Index *x, IndexEntry *entry, const char *by_ref, bool force,
                         StrVec *removed, bool *ret_gone)
{
    bool in_use = false;
    SCOPED(mem_free) char *user = NULL;
    bool is_last = !by_ref || entry->refs.n == 1;
    Err *e = check_unused(s, entry, &in_use, &user);
    if (e)
        return e;
    if (is_last && in_use && !force)
        return err_new(ERR_EXISTS, 0,
                       "image %s is used by container %s; delete its Pod first, or give --force to take only the name",
                       entry->refs.n ? entry->refs.v[0] : entry->id, user);
    for (size_t i = 0; i < entry->refs.n; i++)
        if (!by_ref || str_eq(entry->refs.v[i], by_ref))
            say(removed, "untagged", entry->refs.v[i]);
    if (!is_last) {
        StrVec kept = {0};
        for (size_t i = 0; i < entry->refs.n; i++)
            if (!str_eq(entry->refs.v[i], by_ref))
                strvec_add(&kept, entry->refs.v[i]);
        strvec_done(&entry->refs);
        entry->refs = kept;
        return NULL;
    }
    strvec_done(&entry->refs);
    if (in_use)
        return NULL;
    say(removed, "deleted", entry->id);
    index_remove(x, entry);
    *ret_gone = true;
    return NULL;
}

Err *image_remove_opts(ImageStore *s, const char *ref_or_id, bool force, StrVec *removed)
{
    bool gone = false;
    {
        SCOPED(fd_close) int lock = -EBADF;
        SCOPED(index_done) Index x = {0};
        SCOPED(mem_free) char *by_ref = NULL;
        IndexEntry *entry = NULL;
        Err *e = store_lock(s, "lock", true, true, &lock);
        if (!e)
            e = index_load(s, &x);
        if (!e)
            e = index_resolve(&x, ref_or_id, &entry, &by_ref);
        if (!e)
            e = remove_entry(s, &x, entry, by_ref, force, removed, &gone);
        if (!e)
            e = index_save(s, &x);
        if (e)
            return e;
    }
    /* While an import runs its layers wait for the next sweep. */
    return gone ? store_sweep(s, NULL) : NULL;
}

Err *image_remove(ImageStore *s, const char *ref_or_id)
{
    return image_remove_opts(s, ref_or_id, false, NULL);
}

Err *image_prune(ImageStore *s, bool all_unused, int64_t *ret_bytes)
{
    {
        SCOPED(fd_close) int lock = -EBADF;
        SCOPED(index_done) Index x = {0};
        Err *e = store_lock(s, "lock", true, true, &lock);
        if (!e)
            e = index_load(s, &x);
        for (size_t i = x.n; i-- > 0 && !e;) {
            bool in_use = false;
            SCOPED(mem_free) char *user = NULL;
            e = check_unused(s, &x.v[i], &in_use, &user);
            if (!e && !in_use && (all_unused || x.v[i].refs.n == 0))
                index_remove(&x, &x.v[i]);
        }
        if (!e)
            e = index_save(s, &x);
        if (e)
            return e;
    }
    int64_t bytes = 0;
    Err *e = sweep_tmp(s);
    if (!e)
        e = collect_orphans(s, true, &bytes);
    if (!e)
        *ret_bytes = bytes;
    return e;
}
