/* What an import is given: an OCI layout, a docker archive, a root filesystem; a directory, a file or stdin. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/mount.h"
#include "runtime/oci/image_import.h"

/* --- files of a source ------------------------------------------------------------------------------------------- */

static Err *source_open(const Source *src, const char *path, int64_t max, int *ret)
{
    /* NONBLOCK: a FIFO by that name must not stop us. */
    int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    SCOPED(fd_close) int fd = src->sealed ? open_beneath(src->root, path, flags, 0) : openat(src->root, path, flags);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_new(errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno, "open %.200s", path);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_INVALID, 0, "%.200s: not a file", path);
    if (st.st_size > max)
        return err_new(ERR_LIMIT, 0, "%.200s: %lld bytes; at most %lld are read", path, (long long)st.st_size,
                       (long long)max);
    *ret = MOVE(fd, -EBADF);
    return NULL;
}

static Err *source_read(const Source *src, const char *path, Str *ret)
{
    SCOPED(fd_close) int fd = -EBADF;
    Err *e = source_open(src, path, (int64_t)IMAGE_MAX_JSON, &fd);
    if (e)
        return e;
    SCOPED(mem_free) char *proc = mem_fmt("/proc/self/fd/%d", fd);
    e = fs_read(proc, IMAGE_MAX_JSON, ret);
    return e ? err_wrap(e, "%.200s", path) : NULL;
}

static char *blob_path(const Source *src, const char *digest)
{
    const char *colon = strchr(digest, ':');
    return src->flat ? mem_dup_str(colon + 1) : mem_fmt("blobs/%.*s/%s", (int)(colon - digest), digest, colon + 1);
}

/* A manifest, index or config; its bytes are what the digest says. */
static Err *blob_read(const Source *src, const char *digest, Str *ret)
{
    SCOPED(mem_free) char *path = blob_path(src, digest);
    SCOPED(str_done) Str text = {0};
    Err *e = source_read(src, path, &text);
    if (e)
        return e;
    Digester *d = digester_new(digest_alg(digest, strcspn(digest, ":")));
    digester_add(d, text.p, text.n);
    SCOPED(mem_free) char *got = digester_end(d);
    if (!str_eq(got, digest))
        return err_new(ERR_INVALID, 0, "%s: its content has digest %s; the archive is damaged", path, got);
    *ret = MOVE(text, (Str){0});
    return NULL;
}

/* --- OCI layout -------------------------------------------------------------------------------------------------- */

typedef struct {  /* the best manifest for this machine among those of one name */
    char *name;   /* NULL = none given */
    char *digest; /* NULL = none fits */
    StrVec via;   /* indexes that led to it */
    unsigned score;
} Pick;

typedef struct {
    Import *im;
    const Source *src;
    size_t n_seen; /* descriptors looked at */
    Str others;    /* platforms that do not fit, for the message */
    size_t n;
    Pick *v;
} Picks;

static inline void picks_done_at(Picks *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->v[i].name);
        free(p->v[i].digest);
        strvec_done(&p->v[i].via);
    }
    free(p->v);
    str_done(&p->others);
}

static void note_other(Picks *p, const ImageDescriptor *d)
{
    if (p->others.n < 400)
        str_fmt(&p->others, "%s%.20s/%.20s%s%.10s", p->others.n ? ", " : "", str_or(d->os, "linux"),
                str_or(d->architecture, "?"), d->variant ? "/" : "", str_or(d->variant, ""));
}

static Err *pick_from(Picks *p, const ImageDescriptor *d, unsigned depth, Pick *best);

static Err *pick_from_index(Picks *p, const char *digest, unsigned depth, Pick *best)
{
    if (depth >= IMAGE_MAX_INDEX_DEPTH)
        return err_new(ERR_LIMIT, 0, "index %s: more than %d indexes within each other", digest, IMAGE_MAX_INDEX_DEPTH);
    SCOPED(str_done) Str text = {0};
    SCOPED(image_descriptors_done) ImageDescriptors list = {0};
    Err *e = blob_read(p->src, digest, &text);
    if (!e)
        e = image_parse_index(text.p, text.n, &list);
    unsigned before = best->score;
    for (size_t i = 0; i < list.n && !e; i++)
        e = pick_from(p, &list.v[i], depth + 1, best);
    if (e)
        return err_wrap(e, "index %s", digest);
    if (best->score > before)
        strvec_add(&best->via, digest);
    return NULL;
}

static Err *pick_from(Picks *p, const ImageDescriptor *d, unsigned depth, Pick *best)
{
    if (++p->n_seen > IMAGE_MAX_MANIFESTS)
        return err_new(ERR_LIMIT, 0, "more than %d manifests", IMAGE_MAX_MANIFESTS);
    if (d->is_attestation)
        return NULL;
    if (d->is_index)
        return pick_from_index(p, d->digest, depth, best);
    unsigned score = image_platform_score(d->os, d->architecture, d->variant);
    if (score == 0)
        note_other(p, d);
    if (score > best->score) {
        best->score = score;
        mem_set_str(&best->digest, d->digest);
        strvec_done(&best->via);
    }
    return NULL;
}

static Pick *pick_named(Picks *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->v[i].name, name))
            return &p->v[i];
    p->v = mem_grow(p->v, p->n + 1, sizeof *p->v);
    p->v[p->n] = (Pick){.name = mem_dup_str(name)};
    return &p->v[p->n++];
}

typedef struct {
    const Source *src;
    const ImageManifest *m;
    bool is_docker; /* layers are paths, not digests */
} LayerSource;

static Err *open_layer(void *arg, size_t i, LayerInput *ret)
{
    const LayerSource *l = arg;
    const char *name = l->m->layers.v[i];
    SCOPED(mem_free) char *path = l->is_docker ? mem_dup_str(name) : blob_path(l->src, name);
    ret->digest = l->is_docker ? NULL : name;
    return source_open(l->src, path, LAYER_MAX_BYTES, &ret->fd);
}

static Err *import_manifest_text(Import *im, const Source *src, const Pick *pick, const Str *text, const StrVec *refs)
{
    SCOPED(str_done) Str config = {0};
    SCOPED(image_manifest_done) ImageManifest m = {0};
    Err *e = image_parse_manifest(text->p, text->n, &m);
    if (e)
        return err_wrap(e, "manifest %s", pick->digest);
    e = blob_read(src, m.config_digest, &config);
    if (e)
        return e;
    SCOPED(strvec_done) StrVec digests = {0};
    strvec_add(&digests, pick->digest);
    for (size_t i = 0; i < pick->via.n; i++)
        strvec_add(&digests, pick->via.v[i]);
    LayerSource layers = {.src = src, .m = &m};
    return import_image(im, &config, text, &digests, refs, m.layers.n, open_layer, &layers);
}

static Err *import_manifest(Import *im, const Source *src, const Pick *pick, const StrVec *refs)
{
    SCOPED(str_done) Str text = {0};
    Err *e = blob_read(src, pick->digest, &text);
    return e ? err_wrap(e, "manifest %s", pick->digest) : import_manifest_text(im, src, pick, &text, refs);
}

/* The references an image gets: --name, or its own, normalised. */
static Err *choose_refs(const Import *im, const char *const *names, size_t n, StrVec *ret)
{
    if (im->ref) {
        strvec_add(ret, im->ref);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        char *ref;
        Err *e = image_ref_normalize(names[i], &ref);
        if (e)
            return err_wrap(e, "the image's name in the archive cannot be used; give one with --name");
        strvec_add_take(ret, ref);
    }
    return ret->n ? NULL : err_new(ERR_INVALID, 0, "the image has no name; give one with --name");
}

/* With --name and several images: the one that is called so. */
static bool is_called(const char *ref, const char *name)
{
    SCOPED(mem_free) char *normal = NULL;
    Err *e = image_ref_normalize(name, &normal);
    err_free(e);
    return str_eq(normal, ref);
}

static Err *import_picks(Picks *p)
{
    Import *im = p->im;
    size_t n_fit = 0, n_done = 0;
    for (size_t i = 0; i < p->n; i++)
        n_fit += p->v[i].digest != NULL;
    if (n_fit == 0)
        return err_new(ERR_UNSUPPORTED, 0, "no image for linux/%s in it%s%s", image_host_architecture(),
                       p->others.n ? "; it has " : "", str_or(p->others.p, ""));
    for (size_t i = 0; i < p->n; i++) {
        const Pick *pick = &p->v[i];
        if (!pick->digest || (im->ref && n_fit > 1 && !(pick->name && is_called(im->ref, pick->name))))
            continue;
        SCOPED(strvec_done) StrVec refs = {0};
        const char *const names[] = {pick->name};
        Err *e = choose_refs(im, names, pick->name != NULL, &refs);
        if (!e)
            e = import_manifest(im, p->src, pick, &refs);
        if (e)
            return e;
        n_done++;
    }
    return n_done ? NULL
                  : err_new(ERR_INVALID, 0,
                            "it holds %zu images and none is called %s; without --name each keeps its name", n_fit,
                            im->ref);
}

static Err *import_layout(Import *im, const Source *src)
{
    SCOPED(picks_done) Picks p = {.im = im, .src = src};
    SCOPED(str_done) Str text = {0};
    SCOPED(image_descriptors_done) ImageDescriptors list = {0};
    Err *e = source_read(src, "index.json", &text);
    if (!e) {
        e = image_parse_index(text.p, text.n, &list);
        e = e ? err_wrap(e, "index.json") : NULL;
    }
    for (size_t i = 0; i < list.n && !e; i++)
        e = list.v[i].is_attestation ? NULL : pick_from(&p, &list.v[i], 0, pick_named(&p, list.v[i].ref_name));
    return e ? e : import_picks(&p);
}

/* --- skopeo's dir form -------------------------------------------------------------------------------------------- */

/* "version", "manifest.json" and blobs named by their digits alone: what `skopeo copy ... dir:` leaves
 * (containers/image, directory/directory_transport.go). The manifest is as the registry gave it. */
static bool is_skopeo_dir(const Source *src)
{
    static const char mark[] = "Directory Transport Version: ";
    SCOPED(str_done) Str text = {0};
    Err *e = source_read(src, "version", &text);
    bool is = !e && str_starts(text.p, mark);
    err_free(e);
    return is;
}

static Err *import_skopeo_dir(Import *im, const Source *src)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(strvec_done) StrVec refs = {0};
    Err *e = source_read(src, "manifest.json", &text);
    if (!e)
        e = choose_refs(im, NULL, 0, &refs);
    if (e)
        return e;
    Pick pick = {.digest = digest_of(text.p, text.n)};
    e = import_manifest_text(im, src, &pick, &text, &refs);
    free(pick.digest);
    return e;
}

/* --- docker archive ---------------------------------------------------------------------------------------------- */

/* Docker names the config's file by its digest: HEX.json, or blobs/sha256/HEX since Docker 25. */
static Err *check_docker_config(const char *path, const Str *config)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    SCOPED(mem_free) char *id = digest_of(config->p, config->n);
    if (strlen(base) >= 64 && image_is_hex(base, 64) && (base[64] == '\0' || str_eq(base + 64, ".json")) &&
        strncmp(base, id + 7, 64) != 0)
        return err_new(ERR_INVALID, 0, "%.200s: its content has digest %s; the archive is damaged", path, id);
    return NULL;
}

static Err *import_docker_image(Import *im, const Source *src, const ImageManifest *m)
{
    SCOPED(str_done) Str config = {0};
    SCOPED(strvec_done) StrVec refs = {0}, digests = {0};
    Err *e = choose_refs(im, (const char *const *)m->refs.v, m->refs.n, &refs);
    if (!e)
        e = source_read(src, m->config_path, &config);
    if (!e)
        e = check_docker_config(m->config_path, &config);
    LayerSource layers = {.src = src, .m = m, .is_docker = true};
    return e ? e : import_image(im, &config, NULL, &digests, &refs, m->layers.n, open_layer, &layers);
}

static bool docker_is_called(const ImageManifest *m, const char *ref)
{
    for (size_t i = 0; i < m->refs.n; i++)
        if (is_called(ref, m->refs.v[i]))
            return true;
    return false;
}

static Err *import_docker(Import *im, const Source *src)
{
    SCOPED(str_done) Str text = {0};
    ImageManifest *v = NULL;
    size_t n = 0, n_done = 0;
    Err *e = source_read(src, "manifest.json", &text);
    if (!e) {
        e = image_parse_docker(text.p, text.n, &v, &n);
        e = e ? err_wrap(e, "manifest.json") : NULL;
    }
    for (size_t i = 0; i < n && !e; i++) {
        if (im->ref && n > 1 && !docker_is_called(&v[i], im->ref))
            continue;
        e = import_docker_image(im, src, &v[i]);
        n_done++;
    }
    if (!e && n_done == 0)
        e = err_new(ERR_INVALID, 0, "it holds %zu images and none is called %s; without --name each keeps its name", n,
                    im->ref);
    for (size_t i = 0; i < n; i++)
        image_manifest_done(&v[i]);
    free(v);
    return e;
}

/* --- root filesystem --------------------------------------------------------------------------------------------- */

typedef struct {
    int fd;
    const LayerScan *scan;
} RootFs;

static Err *open_rootfs(void *arg, size_t i, LayerInput *ret)
{
    (void)i; /* there is one */
    const RootFs *r = arg;
    ret->scan = r->scan;
    ret->fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
    return ret->fd < 0 ? err_new(ERR_SYS, errno, "duplicate a descriptor") : NULL;
}

/* The same tree gives the same id: nothing here says when or where it was imported. */
static Err *import_rootfs(Import *im, int fd, const LayerScan *scan)
{
    if (!im->ref)
        return err_new(
            ERR_INVALID, 0,
            "not an image archive: neither oci-layout nor manifest.json found; for a root filesystem give --name");
    if (scan->n_entries == 0)
        return err_new(ERR_INVALID, 0, "the archive is empty");
    SCOPED(str_done) Str config = {0};
    SCOPED(strvec_done) StrVec refs = {0}, digests = {0};
    str_fmt(&config,
            "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%"
            "s\"]}}",
            image_host_architecture(), scan->diff_digest);
    strvec_add(&refs, im->ref);
    RootFs r = {.fd = fd, .scan = scan};
    return import_image(im, &config, NULL, &digests, &refs, 1, open_rootfs, &r);
}

/* --- files and directories --------------------------------------------------------------------------------------- */

typedef struct {
    const Import *im;
    int64_t total;
} ReadProgress;

static void read_progress(void *arg, int64_t done)
{
    const ReadProgress *p = arg;
    p->im->progress(p->im->arg, "reading", done, p->total);
}

static Err *import_archive_dir(Import *im, const Source *src)
{
    if (faccessat(src->root, "oci-layout", F_OK, 0) == 0)
        return import_layout(im, src);
    if (is_skopeo_dir(src)) {
        Source flat = {.root = src->root, .sealed = src->sealed, .flat = true};
        return import_skopeo_dir(im, &flat);
    }
    return import_docker(im, src);
}

static Err *import_file(Import *im, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_new(ERR_SYS, errno, "stat");
    ReadProgress p = {.im = im, .total = st.st_size};
    LayerOptions o = {.name = "archive", .progress = im->progress ? read_progress : NULL, .arg = &p};
    SCOPED(layer_scan_done) LayerScan scan = {0};
    Err *e = layer_scan(fd, &o, NULL, NULL, &scan);
    if (e)
        return e->kind == ERR_INVALID ? err_wrap(e, "not a tar archive that can be read") : e;
    bool is_layout = scan.has_oci_layout && scan.has_index;
    if (!is_layout && !scan.has_docker_manifest) {
        if (!im->ref && scan.has_docker_v0)
            return err_new(ERR_UNSUPPORTED, 0,
                           "docker archive without manifest.json, as Docker made them before 1.10: load and save it "
                           "with a newer Docker");
        return import_rootfs(im, fd, &scan);
    }
    SCOPED(mem_free) char *dir = mem_fmt("%s/archive", im->tmp);
    e = fs_mkdirs(dir, 0700);
    if (e)
        return e;
    SCOPED(fd_close) int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_new(ERR_SYS, errno, "open %s", dir);
    e = layer_unpack(fd, &o, &scan, root, LAYER_FILES_ONLY);
    if (e)
        return e;
    Source src = {.root = root, .sealed = true};
    return import_archive_dir(im, &src);
}

static Err *import_dir(Import *im, const char *path, int root)
{
    if (faccessat(root, "oci-layout", F_OK, 0) == 0 || faccessat(root, "manifest.json", F_OK, 0) == 0) {
        Source src = {.root = root};
        return import_archive_dir(im, &src);
    }
    if (!im->ref)
        return err_new(ERR_INVALID, 0,
                       "not an image: neither oci-layout nor manifest.json found; for a root filesystem give --name");
    SCOPED(mem_free) char *tar = mem_fmt("%s/rootfs.tar", im->tmp);
    SCOPED(fd_close) int fd = open(tar, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "create %s", tar);
    Err *e = layer_pack(path, fd);
    SCOPED(layer_scan_done) LayerScan scan = {0};
    LayerOptions o = {.name = "root filesystem"};
    if (!e)
        e = layer_scan(fd, &o, NULL, NULL, &scan);
    return e ? e : import_rootfs(im, fd, &scan);
}

/* stdin and FIFOs can be read once, and we read twice. */
static Err *spool(const Import *im, int from, int *ret)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/input", im->tmp);
    SCOPED(fd_close) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    SCOPED(mem_free) char *buf = mem_alloc((size_t)1 << 20);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "create %s", path);
    int64_t total = 0;
    for (;;) {
        ssize_t n = read(from, buf, (size_t)1 << 20);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_new(ERR_SYS, errno, "read");
        if (n == 0)
            break;
        for (ssize_t off = 0; off < n;) {
            ssize_t w = fault_hit("write") ? -1 : write(fd, buf + off, (size_t)(n - off));
            if (w < 0 && errno != EINTR)
                return err_new(ERR_SYS, errno, "write %s", path);
            off += w > 0 ? w : 0;
        }
        total += n;
        if (im->progress)
            im->progress(im->arg, "receiving", total, -1);
    }
    *ret = MOVE(fd, -EBADF);
    return NULL;
}

Err *import_path(Import *im, const char *path)
{
    SCOPED(fd_close)
    int fd = str_eq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_new(errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, errno, "open");
    if (S_ISDIR(st.st_mode))
        return import_dir(im, path, fd);
    if (S_ISREG(st.st_mode))
        return import_file(im, fd);
    SCOPED(fd_close) int spooled = -EBADF;
    Err *e = spool(im, fd, &spooled);
    return e ? e : import_file(im, spooled);
}
