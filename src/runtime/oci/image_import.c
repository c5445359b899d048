/* Imports: unpack into a work directory, then publish by renames. Nothing of an import that fails can be seen. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "runtime/oci/image_import.h"

static void planned_done(Planned *p)
{
    free(p->id);
    free(p->config);
    free(p->manifest);
    strvec_done(&p->digests);
    strvec_done(&p->refs);
    strvec_done(&p->layers);
}

static void import_done(Import *im)
{
    for (size_t i = 0; i < im->n; i++)
        planned_done(&im->v[i]);
    free(im->v);
    if (im->tmp) /* what cannot be removed now is swept at the next open */
        err_free(fs_remove_tree(im->tmp));
    free(im->tmp);
    fd_close(im->tmp_lock);
    fd_close(im->gc_lock);
}
static inline void import_done_at(Import *im)
{
    import_done(im);
}

/* --- one layer --------------------------------------------------------------------------------------------------- */

typedef struct {
    const Import *im;
    const char *what;
    int64_t total;
} LayerProgress;

static void layer_progress(void *arg, int64_t done)
{
    const LayerProgress *p = arg;
    p->im->progress(p->im->arg, p->what, done, p->total);
}

static Err *verify(const LayerInput *in, const LayerScan *scan, const char *diff_id)
{
    if (in->digest && !str_eq(scan->blob_digest, in->digest))
        return err_new(ERR_INVALID, 0, "layer %s: its content has digest %s; the archive is damaged", in->digest,
                       scan->blob_digest);
    if (!str_eq(scan->diff_digest, diff_id))
        return err_new(ERR_INVALID, 0, "layer %s: uncompressed it has digest %s, and the image's config says %s",
                       str_or(in->digest, diff_id), scan->diff_digest, diff_id);
    return NULL;
}

/* The root directory of a layer is seen through all others: as long as the layer says nothing of it, it is as below. */
static Err *copy_root(const char *from, const char *to)
{
    struct stat st;
    if (stat(from, &st) < 0)
        return err_new(ERR_SYS, errno, "stat %s", from);
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    if ((geteuid() == 0 && chown(to, st.st_uid, st.st_gid) < 0) || chmod(to, st.st_mode & 07777) < 0 ||
        utimensat(AT_FDCWD, to, times, 0) < 0)
        return err_new(ERR_SYS, errno, "set attributes of %s", to);
    return NULL;
}

static Err *make_dir(const char *path, mode_t mode)
{
    if (fault_hit("mkdir") || mkdir(path, mode) < 0 || chmod(path, mode) < 0)
        return err_new(ERR_SYS, errno, "create directory %s", path);
    return NULL;
}

/* The directory to write into: the layer's own, or with layers below an overlay of all. It is detached at once: the
 * descriptor keeps it, so that even a crash leaves no mount behind. */
static Err *open_merged(const char *dir, const char *fs, const StrVec *lower, int *ret)
{
    if (lower->n == 0) {
        *ret = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret < 0 ? err_new(ERR_SYS, errno, "open %s", fs) : NULL;
    }
    SCOPED(mem_free) char *work = mem_fmt("%s/work", dir);
    SCOPED(mem_free) char *merged = mem_fmt("%s/merged", dir);
    Err *e = copy_root(lower->v[lower->n - 1], fs);
    if (!e)
        e = make_dir(work, 0700);
    if (!e)
        e = make_dir(merged, 0700);
    if (!e)
        e = image_overlay_mount(lower, fs, work, merged, false);
    if (e)
        return e;
    int fd = open(merged, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        e = err_new(ERR_SYS, errno, "open %s", merged);
    if (umount2(merged, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && !e)
        e = err_new(ERR_SYS, errno, "unmount %s", merged);
    if (e)
        fd_close(fd);
    else
        *ret = fd;
    return e;
}

static Err *write_layer(const LayerInput *in, const LayerOptions *o, const LayerScan *scan, const char *dir,
                        const StrVec *lower)
{
    SCOPED(mem_free) char *fs = mem_fmt("%s/fs", dir);
    SCOPED(mem_free) char *size = mem_fmt("%s/size", dir);
    SCOPED(mem_free) char *text = mem_fmt("%lld", (long long)scan->size_bytes);
    Err *e = make_dir(dir, 0700);
    if (!e)
        e = make_dir(fs, 0755);
    if (!e)
        e = fs_write_atomic(size, text, strlen(text), 0600, false);
    SCOPED(fd_close) int root = -EBADF;
    if (!e)
        e = open_merged(dir, fs, lower, &root);
    if (!e)
        e = layer_unpack(in->fd, o, scan, root, 0);
    if (e || lower->n == 0)
        return e;
    fd_close(MOVE(root, -EBADF)); /* the last user of the overlay: it is gone when this returns */
    SCOPED(mem_free) char *work = mem_fmt("%s/work", dir);
    SCOPED(mem_free) char *merged = mem_fmt("%s/merged", dir);
    e = fs_remove_tree(work);
    return e ? e : fs_remove_tree(merged);
}

static Err *unpack_layer(const Import *im, const LayerInput *in, const char *what, const char *diff_id, const char *dir,
                         const StrVec *lower)
{
    struct stat st;
    if (fstat(in->fd, &st) < 0)
        return err_new(ERR_SYS, errno, "stat %s", what);
    LayerProgress p = {.im = im, .what = what, .total = st.st_size};
    LayerOptions o = {.name = what, .progress = im->progress ? layer_progress : NULL, .arg = &p};
    SCOPED(layer_scan_done) LayerScan own = {0};
    Err *e = NULL;
    if (!in->scan)
        e = layer_scan(in->fd, &o, in->digest ? digest_alg(in->digest, strcspn(in->digest, ":")) : NULL,
                       digest_alg(diff_id, strcspn(diff_id, ":")), &own);
    const LayerScan *scan = in->scan ? in->scan : &own;
    if (!e)
        e = verify(in, scan, diff_id);
    return e ? e : write_layer(in, &o, scan, dir, lower);
}

/* --- one image --------------------------------------------------------------------------------------------------- */

static Err *read_size(const char *layer_dir, int64_t *ret)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/size", layer_dir);
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, 64, &text);
    if (e)
        return e;
    return str_to_i64(text.p, ret) ? NULL : err_new(ERR_INVALID, 0, "%s: not a number", path);
}

/* Finds layer <i> in the store or among what this import has unpacked, else unpacks it. */
static Err *get_layer(const Import *im, size_t i, const StrVec *chains, const StrVec *diff_ids, LayerOpen *open_layer,
                      void *arg, StrVec *lower, int64_t *size)
{
    SCOPED(mem_free) char *dir = store_path(im->s, "layers/%s", chains->v[i]);
    if (!fs_exists(dir)) {
        free(dir);
        dir = mem_fmt("%s/layers/%s", im->tmp, chains->v[i]);
    }
    if (!fs_exists(dir)) {
        LayerInput in = {.fd = -EBADF};
        SCOPED(mem_free) char *what = mem_fmt("layer %zu/%zu (%.19s)", i + 1, diff_ids->n, diff_ids->v[i]);
        Err *e = open_layer(arg, i, &in);
        if (!e)
            e = unpack_layer(im, &in, what, diff_ids->v[i], dir, lower);
        fd_close(in.fd);
        if (e)
            return e;
    }
    strvec_fmt(lower, "%s/fs", dir);
    int64_t bytes = 0;
    Err *e = read_size(dir, &bytes);
    if (__builtin_add_overflow(*size, bytes, size))
        *size = INT64_MAX;
    return e;
}

Err *import_image(Import *im, const Str *config, const Str *manifest, const StrVec *digests, const StrVec *refs,
                  size_t n_layers, LayerOpen *open_layer, void *arg)
{
    SCOPED(image_free) Image *img = NEW(Image);
    SCOPED(strvec_done) StrVec diff_ids = {0}, chains = {0}, lower = {0};
    Err *e = image_parse_config(config->p, config->n, img, &diff_ids);
    if (e)
        return err_wrap(e, "config of the image");
    if (diff_ids.n != n_layers)
        return err_new(ERR_INVALID, 0, "the image's manifest has %zu layers, its config %zu", n_layers, diff_ids.n);
    if (n_layers == 0)
        return err_new(ERR_UNSUPPORTED, 0, "the image has no layers: nothing in it can run");
    image_chain_ids(&diff_ids, &chains);
    int64_t size = 0;
    for (size_t i = 0; i < n_layers && !e; i++)
        e = get_layer(im, i, &chains, &diff_ids, open_layer, arg, &lower, &size);
    if (e)
        return e;
    im->v = mem_grow(im->v, im->n + 1, sizeof *im->v);
    Planned *p = &im->v[im->n++];
    *p = (Planned){.id = digest_of(config->p, config->n),
                   .config = mem_dup(config->p, config->n),
                   .n_config = config->n,
                   .manifest = manifest ? mem_dup_strn(manifest->p, manifest->n) : NULL,
                   .size_bytes = size};
    for (size_t i = 0; i < digests->n; i++)
        strvec_add(&p->digests, digests->v[i]);
    for (size_t i = 0; i < refs->n; i++)
        strvec_add(&p->refs, refs->v[i]);
    p->layers = MOVE(chains, (StrVec){0});
    return NULL;
}

/* --- publishing -------------------------------------------------------------------------------------------------- */

/* Another import may have put the layer there meanwhile: it is the same, then. */
static Err *publish_layers(const Import *im, const Planned *p)
{
    for (size_t i = 0; i < p->layers.n; i++) {
        SCOPED(mem_free) char *from = mem_fmt("%s/layers/%s", im->tmp, p->layers.v[i]);
        SCOPED(mem_free) char *to = store_path(im->s, "layers/%s", p->layers.v[i]);
        if (fs_exists(to))
            continue;
        if (fault_hit("rename") || rename(from, to) < 0)
            return err_new(ERR_SYS, errno, "rename %s to %s", from, to);
    }
    return NULL;
}

static Err *publish_blob(const Import *im, const char *digest, const char *bytes, size_t n)
{
    SCOPED(mem_free) char *path = store_path(im->s, "blobs/sha256/%s", digest + 7);
    return fs_exists(path) ? NULL : fs_write_atomic(path, bytes, n, 0600, true);
}

static Err *publish_image(const Import *im, const Planned *p, Index *x)
{
    Err *e = publish_layers(im, p);
    if (!e)
        e = publish_blob(im, p->id, p->config, p->n_config);
    if (!e && p->manifest && str_starts(p->digests.v[0], "sha256:"))
        e = publish_blob(im, p->digests.v[0], p->manifest, strlen(p->manifest));
    if (e)
        return e;
    IndexEntry *entry = index_find_id(x, p->id);
    if (!entry)
        entry = index_add(x, p->id);
    strvec_done(&entry->layers);
    for (size_t i = 0; i < p->layers.n; i++)
        strvec_add(&entry->layers, p->layers.v[i]);
    for (size_t i = 0; i < p->digests.n; i++)
        if (!strvec_has(&entry->digests, p->digests.v[i]))
            strvec_add(&entry->digests, p->digests.v[i]);
    entry->size_bytes = p->size_bytes;
    for (size_t i = 0; i < p->refs.n; i++)
        index_tag(x, entry, p->refs.v[i]);
    return NULL;
}

static Err *sync_dir(const Import *im, const char *name)
{
    SCOPED(mem_free) char *path = store_path(im->s, "%s", name);
    SCOPED(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fault_hit("fsync") || fsync(fd) < 0)
        return err_new(ERR_SYS, errno, "fsync %s", path);
    return NULL;
}

static Err *publish(const Import *im)
{
    /* One sync for all the files of all layers; each on its own would take minutes. */
    if (fault_hit("fsync") || syncfs(im->tmp_lock) < 0)
        return err_new(ERR_SYS, errno, "write %s to disk", im->tmp);
    fault_step("image.unpacked");
    SCOPED(fd_close) int lock = -EBADF;
    SCOPED(index_done) Index x = {0};
    Err *e = store_lock(im->s, "lock", true, true, &lock);
    if (!e)
        e = index_load(im->s, &x);
    for (size_t i = 0; i < im->n && !e; i++)
        e = publish_image(im, &im->v[i], &x);
    if (!e)
        e = sync_dir(im, "layers");
    if (e)
        return e;
    fault_step("image.layers-renamed");
    e = index_save(im->s, &x);
    fault_step("image.published");
    return e;
}

/* --- the call ---------------------------------------------------------------------------------------------------- */

static Err *import_begin(Import *im)
{
    /* Shared: several imports may run, but no layer that one of them builds upon is dropped meanwhile. */
    Err *e = store_lock(im->s, "gc.lock", false, true, &im->gc_lock);
    if (!e)
        e = store_tmp(im->s, &im->tmp, &im->tmp_lock);
    if (e)
        return e;
    SCOPED(mem_free) char *layers = mem_fmt("%s/layers", im->tmp);
    return make_dir(layers, 0700);
}

/* The reference that was given now first. */
static void put_first(StrVec *v, const char *ref)
{
    for (size_t i = 1; i < v->n; i++) {
        if (!str_eq(v->v[i], ref))
            continue;
        char *first = v->v[0];
        v->v[0] = v->v[i];
        v->v[i] = first;
    }
}

static Err *collect_results(const Import *im, Image ***ret, size_t *ret_n)
{
    Image **v = mem_alloc_n(im->n, sizeof(Image *));
    for (size_t i = 0; i < im->n; i++) {
        Err *e = image_get(im->s, im->v[i].id, &v[i]);
        if (e) {
            image_list_free(v, i);
            return e;
        }
        put_first(&v[i]->refs, im->v[i].refs.v[0]);
    }
    *ret = v;
    *ret_n = im->n;
    return NULL;
}

Err *image_import_all(ImageStore *s, const char *path, const char *ref, ImageProgress *progress, void *arg,
                      Image ***ret, size_t *ret_n)
{
    SCOPED(mem_free) char *normal = NULL;
    Err *e = ref ? image_ref_normalize(ref, &normal) : NULL;
    if (e)
        return e;
    {
        SCOPED(import_done)
        Import im = {.s = s, .ref = normal, .progress = progress, .arg = arg, .tmp_lock = -EBADF, .gc_lock = -EBADF};
        e = import_begin(&im);
        if (!e)
            e = import_path(&im, path);
        if (!e)
            e = publish(&im);
        if (!e)
            return collect_results(&im, ret, ret_n);
    }
    err_free(store_sweep(s, NULL)); /* layers that were published before publishing failed */
    return err_wrap(e, "%s", str_eq(path, "-") ? "stdin" : path);
}

Err *image_import(ImageStore *s, const char *path, const char *ref, ImageProgress *progress, void *arg, Image **ret)
{
    Image **v;
    size_t n;
    Err *e = image_import_all(s, path, ref, progress, arg, &v, &n);
    if (e)
        return e;
    *ret = MOVE(v[0], NULL);
    image_list_free(v, n);
    return NULL;
}
