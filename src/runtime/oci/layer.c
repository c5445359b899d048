/* Reading a layer: two libarchive readers, one behind the other. The outer one ("raw") only undoes the compression, so
 * that the bytes between the two can be hashed: they are what a diff_id is the digest of. */
#include "runtime/oci/layer_priv.h"

#include <stdio.h>
#include <unistd.h>

#include "os/fault.h"

#define READ_SIZE ((size_t)256 << 10)

struct LayerReader {
    int fd;
    LayerOptions o;
    int64_t max_bytes;
    struct archive *outer, *tar;
    Digester *blob, *diff; /* NULL = not asked for */
    unsigned char *buf;    /* READ_SIZE bytes of the file */
    off_t pos;
    int64_t n_plain; /* uncompressed bytes so far */
    size_t n_entries;
    bool outer_done;
    Err *failed; /* why a callback failed, when libarchive cannot say it as well */
};

void layer_scan_done(LayerScan *s)
{
    free(s->blob_digest);
    free(s->diff_digest);
    strvec_done(&s->whiteouts);
    *s = (LayerScan){0};
}

void layer_reader_free(LayerReader *r)
{
    if (!r)
        return;
    if (r->tar)
        (void)archive_read_free(r->tar);
    if (r->outer)
        (void)archive_read_free(r->outer);
    digester_free(r->blob);
    digester_free(r->diff);
    free(r->buf);
    err_free(r->failed);
    free(r);
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

static la_ssize_t read_file(struct archive *a, void *arg, const void **ret)
{
    LayerReader *r = arg;
    ssize_t n;
    do
        n = fault_hit("read") ? -1 : pread(r->fd, r->buf, READ_SIZE, r->pos);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        r->failed = err_new(ERR_SYS, errno, "read %s", r->o.name);
        archive_set_error(a, errno, "read failed");
        return -1;
    }
    if (r->blob)
        digester_add(r->blob, r->buf, (size_t)n);
    r->pos += n;
    if (r->o.progress)
        r->o.progress(r->o.arg, r->pos);
    *ret = r->buf;
    return n;
}

static Err *archive_failure(LayerReader *r, struct archive *a, const char *doing)
{
    if (r->failed)
        return MOVE(r->failed, NULL);
    const char *why = archive_error_string(a);
    return err_new(ERR_INVALID, 0, "%s %s: %s", doing, r->o.name, str_or(why, "damaged archive"));
}

/* --- the uncompressed bytes -------------------------------------------------------------------------------------- */

static la_ssize_t read_plain(struct archive *a, void *arg, const void **ret)
{
    LayerReader *r = arg;
    size_t n = 0;
    la_int64_t offset;
    while (!r->outer_done && n == 0) {
        int rc = archive_read_data_block(r->outer, ret, &n, &offset);
        if (rc == ARCHIVE_EOF) {
            r->outer_done = true;
            n = 0;
        } else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
            if (!r->failed)
                r->failed = archive_failure(r, r->outer, "uncompress");
            archive_set_error(a, EINVAL, "uncompress failed");
            return -1;
        }
    }
    if (n == 0)
        return 0;
    if (__builtin_add_overflow(r->n_plain, (int64_t)n, &r->n_plain) || r->n_plain > r->max_bytes) {
        r->failed =
            err_new(ERR_LIMIT, 0, "%s is larger than %lld bytes when uncompressed", r->o.name, (long long)r->max_bytes);
        archive_set_error(a, EFBIG, "too large");
        return -1;
    }
    if (r->diff)
        digester_add(r->diff, *ret, n);
    return (la_ssize_t)n;
}

static Err *open_outer(LayerReader *r)
{
    r->outer = archive_read_new();
    /* Named one by one: "all" would also start external programs (grzip, lrzip). */
    (void)archive_read_support_filter_gzip(r->outer);
    (void)archive_read_support_filter_zstd(r->outer);
    (void)archive_read_support_filter_xz(r->outer);
    (void)archive_read_support_filter_bzip2(r->outer);
    (void)archive_read_support_format_raw(r->outer);
    (void)archive_read_support_format_empty(r->outer);
    if (archive_read_open(r->outer, r, NULL, read_file, NULL) != ARCHIVE_OK)
        return archive_failure(r, r->outer, "open");
    struct archive_entry *e;
    int rc = archive_read_next_header(r->outer, &e);
    if (rc == ARCHIVE_EOF)
        r->outer_done = true;
    else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
        return archive_failure(r, r->outer, "uncompress");
    return NULL;
}

Err *layer_reader_open(int fd, const LayerOptions *o, bool hash, const DigestAlg *blob_alg, const DigestAlg *diff_alg,
                       LayerReader **ret)
{
    SCOPED(layer_reader_free) LayerReader *r = NEW(LayerReader);
    r->fd = fd;
    r->o = *o;
    r->max_bytes = o->max_bytes ? o->max_bytes : LAYER_MAX_BYTES;
    r->buf = mem_alloc(READ_SIZE);
    if (hash) {
        r->blob = digester_new(blob_alg);
        r->diff = digester_new(diff_alg);
    }
    Err *e = open_outer(r);
    if (e)
        return e;
    r->tar = archive_read_new();
    (void)archive_read_support_format_tar(r->tar);
    (void)archive_read_support_format_empty(r->tar);
    if (archive_read_open(r->tar, r, NULL, read_plain, NULL) != ARCHIVE_OK)
        return archive_failure(r, r->tar, "read");
    *ret = MOVE(r, NULL);
    return NULL;
}

Err *layer_reader_next(LayerReader *r, struct archive_entry **ret)
{
    int rc;
    do
        rc = archive_read_next_header(r->tar, ret);
    while (rc == ARCHIVE_RETRY);
    if (rc == ARCHIVE_EOF) {
        *ret = NULL;
        return NULL;
    }
    /* WARN: a name that our locale cannot spell; its bytes are what we want. */
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
        return archive_failure(r, r->tar, "read");
    if (++r->n_entries > LAYER_MAX_ENTRIES)
        return err_new(ERR_LIMIT, 0, "%s has more than %zu entries", r->o.name, LAYER_MAX_ENTRIES);
    return NULL;
}

Err *layer_reader_data(LayerReader *r, const void **ret_buf, size_t *ret_n, int64_t *ret_offset)
{
    la_int64_t offset = 0;
    int rc = archive_read_data_block(r->tar, ret_buf, ret_n, &offset);
    *ret_offset = offset;
    if (rc == ARCHIVE_EOF) {
        *ret_buf = NULL;
        *ret_n = 0;
        return NULL;
    }
    return rc == ARCHIVE_OK || rc == ARCHIVE_WARN ? NULL : archive_failure(r, r->tar, "read");
}

Err *layer_reader_finish(LayerReader *r, char **ret_blob, char **ret_diff)
{
    /* The tar reader stops at the end marker, the uncompression at the end of its stream: the digests cover what
     * follows too. */
    const void *p;
    la_ssize_t n;
    while ((n = read_plain(r->tar, r, &p)) > 0)
        continue;
    while (n == 0 && (n = read_file(r->outer, r, &p)) > 0)
        n = 0;
    if (n < 0)
        return archive_failure(r, r->tar, "read");
    *ret_diff = digester_end(MOVE(r->diff, NULL));
    *ret_blob = digester_end(MOVE(r->blob, NULL));
    return NULL;
}

/* --- names ------------------------------------------------------------------------------------------------------- */

Err *layer_path(const char *raw, char **ret)
{
    SCOPED(str_done) Str s = {0};
    for (const char *p = raw; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && memcmp(p, "..", 2) == 0)
            return err_new(ERR_INVALID, 0, "entry \"%.200s\" leads out of the archive's root by \"..\"", raw);
        if (n > 0 && !(n == 1 && *p == '.')) {
            if (s.n)
                str_add_c(&s, '/');
            str_add_n(&s, p, n);
        }
        p += n + (p[n] == '/');
    }
    if (s.n > LAYER_MAX_PATH)
        return err_new(ERR_LIMIT, 0, "entry \"%.100s...\": name longer than %d bytes", raw, LAYER_MAX_PATH);
    *ret = str_take(&s);
    return NULL;
}

Err *layer_name_kind(const char *path, LayerNameKind *ret, char **ret_target)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t n_dir = (size_t)(base - path);
    *ret_target = NULL;
    *ret = NAME_PLAIN;
    /* AUFS's own files (.wh..wh.plnk, .wh..wh.aufs), at any depth, are no content. */
    bool is_opaque = str_eq(base, ".wh..wh..opq");
    if ((str_starts(path, ".wh..wh.") || strstr(path, "/.wh..wh.")) && !is_opaque) {
        *ret = NAME_IGNORED;
        return NULL;
    }
    if (is_opaque) {
        *ret = NAME_OPAQUE;
        *ret_target = mem_dup_strn(path, n_dir ? n_dir - 1 : 0);
        return NULL;
    }
    if (!str_starts(base, ".wh."))
        return NULL;
    const char *hidden = base + 4;
    if (!*hidden || str_eq(hidden, ".") || str_eq(hidden, ".."))
        return err_new(ERR_INVALID, 0, "entry \"%.200s\" is a whiteout of no file", path);
    *ret = NAME_WHITEOUT;
    *ret_target = mem_fmt("%.*s%s", (int)n_dir, path, hidden);
    return NULL;
}

/* --- first pass -------------------------------------------------------------------------------------------------- */

static void note_top_level(const char *path, LayerScan *s)
{
    s->has_oci_layout |= str_eq(path, "oci-layout");
    s->has_index |= str_eq(path, "index.json");
    s->has_docker_manifest |= str_eq(path, "manifest.json");
    s->has_docker_v0 |= str_eq(path, "repositories");
}

static Err *scan_entry(const LayerReader *r, struct archive_entry *entry, LayerScan *s, size_t *n_whiteout)
{
    const char *raw = archive_entry_pathname(entry);
    if (!raw)
        return err_new(ERR_INVALID, 0, "%s: an entry has no name", r->o.name);
    SCOPED(mem_free) char *path = NULL;
    Err *e = layer_path(raw, &path);
    if (e)
        return err_wrap(e, "%s", r->o.name);
    note_top_level(path, s);
    LayerNameKind kind;
    char *target;
    e = layer_name_kind(path, &kind, &target);
    if (e)
        return err_wrap(e, "%s", r->o.name);
    if (kind == NAME_OPAQUE || kind == NAME_WHITEOUT) {
        *n_whiteout += strlen(target) + sizeof(char *);
        strvec_add_take(&s->whiteouts, kind == NAME_OPAQUE ? mem_fmt("%s/", target) : mem_dup_str(target));
        free(target);
        if (*n_whiteout > LAYER_MAX_WHITEOUT_BYTES)
            return err_new(ERR_LIMIT, 0, "%s has more than %zu bytes of whiteouts", r->o.name,
                           LAYER_MAX_WHITEOUT_BYTES);
    } else if (kind == NAME_PLAIN && archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry)) {
        int64_t size = archive_entry_size(entry);
        if (size < 0 || __builtin_add_overflow(s->size_bytes, size, &s->size_bytes))
            return err_new(ERR_INVALID, 0, "%s: entry \"%.200s\" has an impossible size", r->o.name, path);
    }
    return NULL;
}

Err *layer_scan(int fd, const LayerOptions *o, const DigestAlg *blob_alg, const DigestAlg *diff_alg, LayerScan *ret)
{
    SCOPED(layer_reader_free) LayerReader *r = NULL;
    Err *e = layer_reader_open(fd, o, true, blob_alg, diff_alg, &r);
    if (e)
        return e;
    SCOPED(layer_scan_done) LayerScan s = {0};
    size_t n_whiteout = 0;
    for (;;) {
        struct archive_entry *entry;
        e = layer_reader_next(r, &entry);
        if (e)
            return e;
        if (!entry)
            break;
        e = scan_entry(r, entry, &s, &n_whiteout);
        if (e)
            return e;
    }
    s.n_entries = r->n_entries;
    e = layer_reader_finish(r, &s.blob_digest, &s.diff_digest);
    if (e)
        return e;
    *ret = MOVE(s, (LayerScan){0});
    return NULL;
}
