/* The store on disk: opening, locks, work directories, index.json, finding images. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "runtime/oci/image_priv.h"

#define STORE_VERSION 1

/* --- paths, locks ------------------------------------------------------------------------------------------------ */

char *store_path(const ImageStore *s, const char *fmt, ...)
{
    Str p = {0};
    va_list ap;
    str_fmt(&p, "%s/", s->dir);
    va_start(ap, fmt);
    str_vfmt(&p, fmt, ap);
    va_end(ap);
    return str_take(&p);
}

Err *store_lock(const ImageStore *s, const char *name, bool exclusive, bool wait, int *ret)
{
    SCOPED(mem_free) char *path = store_path(s, "%s", name);
    SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "open %s", path);
    int rc;
    do
        rc = flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB));
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return err_new(errno == EWOULDBLOCK ? ERR_UNAVAILABLE : ERR_SYS, errno, "lock %s", path);
    *ret = MOVE(fd, -EBADF);
    return NULL;
}

Err *store_tmp(const ImageStore *s, char **ret_dir, int *ret_lock)
{
    /* Under the lock, so that a sweep never sees the directory before it is ours. */
    SCOPED(fd_close) int lock = -EBADF;
    Err *e = store_lock(s, "lock", true, true, &lock);
    if (e)
        return e;
    char name[17];
    os_random_hex(name, 8);
    SCOPED(mem_free) char *dir = store_path(s, "tmp/%s", name);
    if (fault_hit("mkdir") || mkdir(dir, 0700) < 0)
        return err_new(ERR_SYS, errno, "create directory %s", dir);
    SCOPED(fd_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        e = err_new(ERR_SYS, errno, "lock %s", dir);
        (void)rmdir(dir);
        return e;
    }
    *ret_dir = MOVE(dir, NULL);
    *ret_lock = MOVE(fd, -EBADF);
    return NULL;
}

Err *image_store_open(const char *dir, ImageStore **ret)
{
    SCOPED(image_store_close) ImageStore *s = NEW(ImageStore);
    static const char *const folders[] = {"blobs/sha256", "layers", "refs", "tmp"};
    Err *e = fs_mkdirs(dir, 0700);
    if (e)
        return e;
    s->dir = realpath(dir, NULL);
    s->helper = mem_dup_str("/proc/self/exe");
    if (!s->dir)
        return err_new(ERR_SYS, errno, "resolve %s", dir);
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        SCOPED(mem_free) char *path = store_path(s, "%s", folders[i]);
        e = fs_mkdirs(path, 0700);
        if (e)
            return e;
    }
    /* What cannot be swept now (a full disk, an import under way) is swept at the next open. A broken index is for the
     * caller. */
    err_free(store_sweep(s, NULL));
    SCOPED(index_done) Index x = {0};
    e = index_load(s, &x);
    if (e)
        return e;
    *ret = MOVE(s, NULL);
    return NULL;
}

void image_store_close(ImageStore *s)
{
    if (!s)
        return;
    image_pulls_abandon(s);
    index_done(&s->known);
    free(s->dir);
    free(s->helper);
    free(s);
}

void image_store_set_helper(ImageStore *s, const char *program)
{
    mem_set_str(&s->helper, program);
}

/* --- index.json -------------------------------------------------------------------------------------------------- */

static void entry_done(IndexEntry *e)
{
    free(e->id);
    strvec_done(&e->digests);
    strvec_done(&e->refs);
    strvec_done(&e->layers);
}

void index_done(Index *x)
{
    for (size_t i = 0; i < x->n; i++)
        entry_done(&x->v[i]);
    free(x->v);
    *x = (Index){0};
}

static void take_strings(const json_t *list, StrVec *ret)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_string_value(json_array_get(list, i)))
            strvec_add(ret, json_string_value(json_array_get(list, i)));
}

static Err *index_parse(const char *text, size_t n, Index *ret)
{
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = json_parse(text, n, &j);
    if (e)
        return e;
    if (json_i64(j, "version", 0) != STORE_VERSION)
        return err_new(ERR_INVALID, 0, "version %lld; this program knows version %d",
                       (long long)json_i64(j, "version", 0), STORE_VERSION);
    const json_t *images = json_object_get(j, "images");
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *o = json_array_get(images, i);
        const char *id = json_str(o, "id");
        if (!id || !str_starts(id, "sha256:") || strlen(id) != 71 || !image_is_hex(id + 7, 64))
            return err_new(ERR_INVALID, 0, "images[%zu].id: not an image id", i);
        IndexEntry *entry = index_add(ret, id);
        entry->size_bytes = json_i64(o, "size", 0);
        take_strings(json_object_get(o, "digests"), &entry->digests);
        take_strings(json_object_get(o, "refs"), &entry->refs);
        take_strings(json_object_get(o, "layers"), &entry->layers);
        for (size_t k = 0; k < entry->layers.n; k++)
            if (!image_is_hex(entry->layers.v[k], strlen(entry->layers.v[k])))
                return err_new(ERR_INVALID, 0, "images[%zu].layers[%zu]: not a chain id", i, k);
    }
    return NULL;
}

Err *index_load(const ImageStore *s, Index *ret)
{
    SCOPED(mem_free) char *path = store_path(s, "index.json");
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, IMAGE_MAX_JSON, &text);
    if (e && e->kind == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    if (e)
        return e;
    SCOPED(index_done) Index x = {0};
    e = index_parse(text.p, text.n, &x);
    if (e)
        return err_wrap(e, "read %s (move %s away to start with an empty store)", path, s->dir);
    *ret = MOVE(x, (Index){0});
    return NULL;
}

static json_t *strings_json(const StrVec *v)
{
    json_t *a = json_array();
    for (size_t i = 0; i < v->n; i++)
        (void)json_array_append_new(a, json_string(v->v[i]));
    return a;
}

static json_t *index_json(const Index *x)
{
    json_t *images = json_array();
    for (size_t i = 0; i < x->n; i++) {
        const IndexEntry *e = &x->v[i];
        json_t *o = json_object();
        (void)json_object_set_new(o, "id", json_string(e->id));
        (void)json_object_set_new(o, "refs", strings_json(&e->refs));
        (void)json_object_set_new(o, "digests", strings_json(&e->digests));
        (void)json_object_set_new(o, "layers", strings_json(&e->layers));
        (void)json_object_set_new(o, "size", json_integer(e->size_bytes));
        (void)json_array_append_new(images, o);
    }
    json_t *j = json_object();
    (void)json_object_set_new(j, "version", json_integer(STORE_VERSION));
    (void)json_object_set_new(j, "images", images);
    return j;
}

Err *index_save(const ImageStore *s, const Index *x)
{
    SCOPED(mem_free) char *path = store_path(s, "index.json");
    SCOPED(json_unref) json_t *j = index_json(x);
    SCOPED(mem_free) char *text = json_text(j, true);
    if (strlen(text) > IMAGE_MAX_JSON) /* else it could not be read again */
        return err_new(ERR_LIMIT, 0, "%s: too many images; remove some with `reprise image prune --all`", path);
    return fs_write_atomic(path, text, strlen(text), 0600, true);
}

IndexEntry *index_find_id(const Index *x, const char *id)
{
    for (size_t i = 0; i < x->n; i++)
        if (str_eq(x->v[i].id, id))
            return &x->v[i];
    return NULL;
}

IndexEntry *index_add(Index *x, const char *id)
{
    x->v = mem_grow(x->v, x->n + 1, sizeof *x->v);
    x->v[x->n] = (IndexEntry){.id = mem_dup_str(id)};
    return &x->v[x->n++];
}

void index_remove(Index *x, IndexEntry *e)
{
    size_t i = (size_t)(e - x->v);
    entry_done(e);
    memmove(e, e + 1, (x->n - i - 1) * sizeof *e);
    x->n--;
}

static void drop_string(StrVec *v, const char *s)
{
    for (size_t i = 0; i < v->n; i++) {
        if (!str_eq(v->v[i], s))
            continue;
        free(v->v[i]);
        memmove(&v->v[i], &v->v[i + 1], (v->n - i) * sizeof *v->v); /* the NULL at the end too */
        v->n--;
        return;
    }
}

void index_tag(Index *x, IndexEntry *e, const char *ref)
{
    for (size_t i = 0; i < x->n; i++)
        if (&x->v[i] != e)
            drop_string(&x->v[i].refs, ref);
    if (!strvec_has(&e->refs, ref))
        strvec_add(&e->refs, ref);
}

/* --- finding ----------------------------------------------------------------------------------------------------- */

static IndexEntry *find_ref(const Index *x, const char *ref)
{
    for (size_t i = 0; i < x->n; i++)
        if (strvec_has(&x->v[i].refs, ref))
            return &x->v[i];
    return NULL;
}

/* "repo@sha256:...": an image of that repository that has the digest. */
static IndexEntry *find_digest(const Index *x, const ImageRef *r)
{
    SCOPED(mem_free) char *repo = mem_fmt("%s/%s", r->domain, r->path);
    size_t n = strlen(repo);
    for (size_t i = 0; i < x->n; i++) {
        if (!strvec_has(&x->v[i].digests, r->digest))
            continue;
        for (size_t k = 0; k < x->v[i].refs.n; k++)
            if (str_starts(x->v[i].refs.v[k], repo) && (x->v[i].refs.v[k][n] == ':' || x->v[i].refs.v[k][n] == '@'))
                return &x->v[i];
    }
    return NULL;
}

static Err *find_prefix(const Index *x, const char *hex, IndexEntry **ret)
{
    size_t n = strlen(hex);
    for (size_t i = 0; i < x->n; i++) {
        if (strncmp(x->v[i].id + 7, hex, n) != 0)
            continue;
        if (*ret)
            return err_new(ERR_INVALID, 0, "image id %s is ambiguous: %.19s... and %.19s... begin so", hex, (*ret)->id,
                           x->v[i].id);
        *ret = &x->v[i];
    }
    return NULL;
}

Err *index_resolve(const Index *x, const char *ref_or_id, IndexEntry **ret, char **ret_by_ref)
{
    bool has_scheme = str_starts(ref_or_id, "sha256:");
    const char *hex = has_scheme ? ref_or_id + 7 : ref_or_id;
    size_t n = strlen(hex);
    bool can_be_id = n >= 1 && n <= 64 && image_is_hex(hex, n);
    IndexEntry *found = NULL;
    SCOPED(mem_free) char *normal = NULL;
    /* A name goes before an id that begins like it, as with Docker; what can only be an id is not looked at
     * as a name. */
    if (!(can_be_id && (has_scheme || n == 64))) {
        SCOPED(image_ref_done) ImageRef r = {0};
        Err *e = image_ref_parse(ref_or_id, &r);
        if (!e)
            e = image_ref_normalize(ref_or_id, &normal);
        if (e)
            return e;
        found = find_ref(x, normal);
        if (!found && r.digest)
            found = find_digest(x, &r);
    }
    bool by_ref = found && normal && strvec_has(&found->refs, normal);
    if (!found && can_be_id) {
        Err *e = find_prefix(x, hex, &found);
        if (e)
            return e;
    }
    if (!found)
        return err_new(ERR_NOT_FOUND, 0, "image \"%s\" is not in the store", ref_or_id);
    *ret = found;
    if (ret_by_ref)
        *ret_by_ref = by_ref ? MOVE(normal, NULL) : NULL;
    return NULL;
}

static Err *read_config(const ImageStore *s, const IndexEntry *entry, Str *ret)
{
    SCOPED(mem_free) char *path = store_path(s, "blobs/sha256/%s", entry->id + 7);
    Err *e = fs_read(path, IMAGE_MAX_JSON, ret);
    return e ? err_wrap(e, "image %.19s is damaged; import it again", entry->id) : NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

Err *index_image(const ImageStore *s, const IndexEntry *entry, Image **ret)
{
    SCOPED(str_done) Str text = {0};
    Err *e = read_config(s, entry, &text);
    if (e)
        return e;
    SCOPED(image_free) Image *img = NEW(Image);
    SCOPED(strvec_done) StrVec diff_ids = {0};
    e = image_parse_config(text.p, text.n, img, &diff_ids);
    if (e)
        return err_wrap(e, "config of image %.19s", entry->id);
    img->id = mem_dup_str(entry->id);
    img->size_bytes = entry->size_bytes;
    for (size_t i = 0; i < entry->digests.n; i++)
        strvec_add(&img->digests, entry->digests.v[i]);
    img->digest = entry->digests.n ? mem_dup_str(entry->digests.v[0]) : NULL;
    for (size_t i = 0; i < entry->refs.n; i++)
        strvec_add(&img->refs, entry->refs.v[i]);
    if (img->refs.n)
        qsort(img->refs.v, img->refs.n, sizeof *img->refs.v, by_text);
    for (size_t i = 0; i < entry->layers.n; i++) {
        strvec_add_take(&img->layer_dirs, store_path(s, "layers/%s/fs", entry->layers.v[i]));
        if (!fs_exists(img->layer_dirs.v[i]))
            return err_new(ERR_NOT_FOUND, 0, "image %.19s is damaged: its layer %s is gone; import it again", entry->id,
                           img->layer_dirs.v[i]);
    }
    *ret = MOVE(img, NULL);
    return NULL;
}

Err *image_get(ImageStore *s, const char *ref_or_id, Image **ret)
{
    SCOPED(index_done) Index x = {0};
    IndexEntry *entry = NULL;
    Err *e = index_load(s, &x);
    if (!e)
        e = index_resolve(&x, ref_or_id, &entry, NULL);
    return e ? e : index_image(s, entry, ret);
}

/* Each change of the index is a new file. */
static Err *known_refresh(ImageStore *s)
{
    SCOPED(mem_free) char *path = store_path(s, "index.json");
    struct stat st = {0};
    bool there = stat(path, &st) == 0;
    if (there && st.st_dev == s->known_file.dev && st.st_ino == s->known_file.ino && st.st_size == s->known_file.size &&
        st.st_mtim.tv_sec == s->known_file.modified.tv_sec && st.st_mtim.tv_nsec == s->known_file.modified.tv_nsec)
        return NULL;
    index_done(&s->known);
    Err *e = index_load(s, &s->known);
    s->known_file.dev = e ? 0 : st.st_dev;
    s->known_file.ino = e ? 0 : st.st_ino;
    s->known_file.size = st.st_size;
    s->known_file.modified = st.st_mtim;
    return e;
}

Err *image_find(ImageStore *s, const char *ref_or_id, char **ret_id)
{
    IndexEntry *entry = NULL;
    Err *e = known_refresh(s);
    if (!e)
        e = index_resolve(&s->known, ref_or_id, &entry, NULL);
    if (!e)
        *ret_id = mem_dup_str(entry->id);
    return e;
}

static int by_name(const void *a, const void *b)
{
    const Image *x = *(Image *const *)a, *y = *(Image *const *)b;
    if (!x->refs.n != !y->refs.n)
        return x->refs.n ? -1 : 1;
    return strcmp(x->refs.n ? x->refs.v[0] : x->id, y->refs.n ? y->refs.v[0] : y->id);
}

Err *image_list(ImageStore *s, Image ***ret, size_t *ret_n)
{
    SCOPED(index_done) Index x = {0};
    Err *e = index_load(s, &x);
    if (e)
        return e;
    Image **v = mem_alloc_n(x.n, sizeof(Image *));
    size_t n = 0;
    for (; n < x.n; n++) {
        e = index_image(s, &x.v[n], &v[n]);
        if (e) {
            image_list_free(v, n);
            return e;
        }
    }
    if (n)
        qsort(v, n, sizeof(Image *), by_name);
    *ret = v;
    *ret_n = n;
    return NULL;
}

void image_list_free(Image **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        image_free(v[i]);
    free(v);
}

Err *image_inspect(ImageStore *s, const char *ref_or_id, json_t **ret)
{
    SCOPED(index_done) Index x = {0};
    IndexEntry *entry = NULL;
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *config = NULL;
    SCOPED(image_free) Image *img = NULL;
    Err *e = index_load(s, &x);
    if (!e)
        e = index_resolve(&x, ref_or_id, &entry, NULL);
    if (!e)
        e = index_image(s, entry, &img);
    if (!e)
        e = read_config(s, entry, &text);
    if (!e)
        e = json_parse(text.p, text.n, &config);
    if (e)
        return e;
    SCOPED(strvec_done) StrVec users = {0};
    e = store_users(s, entry->id, &users);
    if (e)
        return e;
    json_t *o = json_object();
    (void)json_object_set_new(o, "id", json_string(img->id));
    (void)json_object_set_new(o, "refs", strings_json(&img->refs));
    (void)json_object_set_new(o, "digests", strings_json(&img->digests));
    (void)json_object_set_new(o, "size", json_integer(img->size_bytes));
    (void)json_object_set_new(o, "layers", strings_json(&img->layer_dirs));
    (void)json_object_set_new(o, "usedBy", strings_json(&users));
    (void)json_object_set(o, "image", config);
    *ret = o;
    return NULL;
}
