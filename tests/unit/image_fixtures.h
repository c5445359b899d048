/* image_fixtures.h - what the tests of layers and of the image store share: a folder, archives made to be nasty, and a
 * check of what an error says. Everything is static: each test program has its own. */
#ifndef REPRISE_TESTS_UNIT_IMAGE_FIXTURES_H
#define REPRISE_TESTS_UNIT_IMAGE_FIXTURES_H

#include "check.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/oci/image_priv.h"

static char folder[64];

static UNUSED const char *new_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/reprise-image-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    return folder;
}

static UNUSED void drop_folder(void)
{
    CHECK_OK(fs_remove_tree(folder));
}

#define P(...) path(__VA_ARGS__)
PRINTF_LIKE(1, 2) static const char *path(const char *fmt, ...)
{
    static char bufs[8][512];
    static unsigned i;
    char *p = bufs[i++ % 8];
    int n = snprintf(p, 512, "%s/", folder);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(p + n, 512 - (size_t)n, fmt, ap);
    va_end(ap);
    return p;
}

typedef struct {
    char type;              /* f d l h c b p, or . = end */
    const char *name, *arg; /* content, symlink or hard link target */
    int mode;
} Ent;

/* A tar with exactly these names: nothing is made nice. Filters: 0 none, 'z' gzip, 's' zstd. */
static UNUSED void make_tar(const char *file, const Ent *v, char filter)
{
    struct archive *a = archive_write_new();
    (void)archive_write_set_format_pax_restricted(a);
    if (filter == 'z')
        (void)archive_write_add_filter_gzip(a);
    if (filter == 's')
        (void)archive_write_add_filter_zstd(a);
    (void)archive_write_set_bytes_in_last_block(a, 1);
    CHECK(archive_write_open_filename(a, file) == ARCHIVE_OK);
    for (; v->type != '.'; v++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, v->name);
        archive_entry_set_mtime(e, 1000000000, 0);
        archive_entry_set_perm(e, (unsigned)(v->mode ? v->mode : v->type == 'd' ? 0755 : 0644));
        static const struct {
            char type;
            mode_t mode;
        } types[] = {{'f', AE_IFREG}, {'d', AE_IFDIR}, {'l', AE_IFLNK}, {'h', AE_IFREG},
                     {'c', AE_IFCHR}, {'b', AE_IFBLK}, {'p', AE_IFIFO}};
        for (size_t i = 0; i < ARRAY_LEN(types); i++)
            if (types[i].type == v->type)
                archive_entry_set_filetype(e, types[i].mode);
        if (v->type == 'l')
            archive_entry_set_symlink(e, v->arg);
        if (v->type == 'h')
            archive_entry_set_hardlink(e, v->arg);
        if (v->type == 'c' || v->type == 'b') {
            archive_entry_set_rdevmajor(e, (dev_t)(v->arg ? 1 : 0));
            archive_entry_set_rdevminor(e, (dev_t)(v->arg ? 3 : 0));
        }
        if (v->type == 'f') {
            archive_entry_set_size(e, (int64_t)strlen(str_or(v->arg, "")));
            archive_entry_xattr_add_entry(e, "user.test", "value", 5);
            archive_entry_xattr_add_entry(e, "trusted.overlay.redirect", "/etc", 4);
            archive_entry_set_uid(e, 1234);
            archive_entry_set_gid(e, 4321);
        }
        CHECK(archive_write_header(a, e) >= ARCHIVE_WARN);
        if (v->type == 'f' && v->arg)
            CHECK(archive_write_data(a, v->arg, strlen(v->arg)) == (la_ssize_t)strlen(v->arg));
        archive_entry_free(e);
    }
    CHECK(archive_write_close(a) == ARCHIVE_OK);
    (void)archive_write_free(a);
}

static UNUSED char *file_digest(const char *file)
{
    Str s = {0};
    CHECK_OK(fs_read(file, (size_t)16 << 20, &s));
    char *d = digest_of(str_or(s.p, ""), s.n);
    str_done(&s);
    return d;
}

static UNUSED void write_file(const char *file, const char *text)
{
    CHECK_OK(fs_write_atomic(file, text, strlen(text), 0644, false));
}

static UNUSED bool file_is(const char *file, const char *want)
{
    SCOPED(str_done) Str s = {0};
    Err *e = fs_read(file, 1 << 20, &s);
    bool same = !e && str_eq(s.p, want);
    err_free(e);
    return same;
}

/* An OCI layout of these tars (NULL ends), one layer each. */
static UNUSED void make_layout(const char *dir, const char *ref, const Ent *const *layers, char filter,
                               const char *arch)
{
    SCOPED(str_done) Str diffs = {0}, descs = {0}, config = {0}, manifest = {0}, index = {0};
    CHECK_OK(fs_mkdirs(P("%s/blobs/sha256", dir), 0755));
    for (size_t i = 0; layers[i]; i++) {
        make_tar(P("plain.tar"), layers[i], 0);
        make_tar(P("blob.tar"), layers[i], filter);
        SCOPED(mem_free) char *diff = file_digest(P("plain.tar"));
        SCOPED(mem_free) char *blob = file_digest(P("blob.tar"));
        CHECK(rename(P("blob.tar"), P("%s/blobs/sha256/%s", dir, blob + 7)) == 0);
        str_fmt(&diffs, "%s\"%s\"", i ? "," : "", diff);
        str_fmt(&descs, "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar%s\",\"digest\":\"%s\",\"size\":1}",
                i ? "," : "",
                filter == 'z'   ? "+gzip"
                : filter == 's' ? "+zstd"
                                : "",
                blob);
    }
    str_fmt(&config,
            "{\"architecture\":\"%s\",\"os\":\"linux\",\"created\":\"2024-01-02T03:04:05Z\",\"config\":{\"Entrypoint\":"
            "[\"/a\",\"b\"],"
            "\"Cmd\":[\"c\"],\"Env\":[\"PATH=/bin\"],\"User\":\"1:2\",\"WorkingDir\":\"/"
            "w\",\"StopSignal\":\"SIGINT\",\"Volumes\":{\"/v\":{}}},"
            "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
            arch, str_or(diffs.p, ""));
    SCOPED(mem_free) char *cd = digest_of(config.p, config.n);
    write_file(P("%s/blobs/sha256/%s", dir, cd + 7), config.p);
    str_fmt(&manifest, "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":1},\"layers\":[%s]}", cd,
            str_or(descs.p, ""));
    SCOPED(mem_free) char *md = digest_of(manifest.p, manifest.n);
    write_file(P("%s/blobs/sha256/%s", dir, md + 7), manifest.p);
    str_fmt(&index,
            "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":1,\"mediaType\":\"application/"
            "vnd.oci.image.manifest.v1+json\","
            "\"annotations\":{\"org.opencontainers.image.ref.name\":\"%s\"}}]}",
            md, ref);
    write_file(P("%s/index.json", dir), index.p);
    write_file(P("%s/oci-layout", dir), "{\"imageLayoutVersion\":\"1.0.0\"}");
}

static UNUSED ImageStore *open_store(void)
{
    ImageStore *s = NULL;
    CHECK_OK(image_store_open(P("store"), &s));
    if (!s)
        abort();
    return s;
}

/* Fails unless <e> (taken) says <text> somewhere. */
#define CHECK_ERR(e, text)                                                                                             \
    do {                                                                                                               \
        Err *err2_ = (e);                                                                                              \
        char *said_ = err_text(err2_);                                                                                 \
        check_count++;                                                                                                 \
        if (!err2_ || !strstr(said_, (text))) {                                                                        \
            check_failures++;                                                                                          \
            printf("# %s:%d: \"%s\" does not say \"%s\"\n", __FILE__, __LINE__, said_, (text));                        \
        }                                                                                                              \
        free(said_);                                                                                                   \
        err_free(err2_);                                                                                               \
    } while (0)

/* Entries of a directory; aborts where there is none, so that a wrong path does not look like an empty folder. */
static UNUSED size_t count_dir(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    if (!d)
        abort();
    for (struct dirent *ent; (ent = readdir(d));)
        n += !str_eq(ent->d_name, ".") && !str_eq(ent->d_name, "..");
    (void)closedir(d);
    return n;
}

#endif
