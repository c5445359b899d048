/* The image store: references, parsing, imports, removal, crashes and full disks. Layers: test_layer.c. */
#include "image_fixtures.h"

#include <stdio.h>
#include <sys/mount.h>

#include "base/clock.h"
#include "os/fault.h"

/* --- references -------------------------------------------------------------------------------------------------- */

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_refs(void)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"busybox", "docker.io/library/busybox:latest"},
        {"busybox:1.36", "docker.io/library/busybox:1.36"},
        {"my-repo/watcher:1.0", "docker.io/my-repo/watcher:1.0"},
        {"docker.io/busybox", "docker.io/library/busybox:latest"},
        {"index.docker.io/busybox", "docker.io/library/busybox:latest"},
        {"index.docker.io/a/b", "docker.io/a/b:latest"},
        {"localhost/busybox:1", "localhost/busybox:1"},
        {"localhost:5000/a", "localhost:5000/a:latest"},
        {"127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t"},
        {"[::1]:5000/a", "[::1]:5000/a:latest"},
        {"registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"},
        {"a/b/c", "docker.io/a/b/c:latest"},
        {"Upper/foo", "Upper/foo:latest"}, /* reference.splitDockerDomain: not lower case, so it is a domain */
        {"x/a__b.c--d/e_f", "docker.io/x/a__b.c--d/e_f:latest"},
        {"busybox@sha256:" HEX64, "docker.io/library/busybox@sha256:" HEX64},
        {"busybox:1@sha256:" HEX64, "docker.io/library/busybox@sha256:" HEX64},
        {"x:_Tag-1.2", "docker.io/library/x:_Tag-1.2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = NULL;
        CHECK_OK(image_ref_normalize(rows[i].in, &got));
        CHECK_STR(got, rows[i].out);
    }
    static const struct {
        const char *in, *why;
    } bad[] = {
        {"", "invalid reference format"},
        {":1", "invalid reference format"},
        {"a:", "invalid reference format"},
        {"a b", "invalid reference format"},
        {"a//b", "invalid reference format"},
        {"/a", "invalid reference format"},
        {"a/", "invalid reference format"},
        {"-a", "invalid reference format"},
        {"a-", "invalid reference format"},
        {"a..b", "invalid reference format"},
        {"a__b.c--d/e_f", "invalid reference format"}, /* the dot makes it a domain, which has no "_" */
        {"a___b", "invalid reference format"},
        {"a:b:c", "invalid reference format"},
        {"a:-b", "invalid reference format"},
        {"localhost:port/a", "invalid reference format"},
        {"a@sha256:abc", "invalid reference format"},
        {"a@sha256:" HEX64 "0", "invalid checksum digest length"},
        {"a@md5:" HEX64, "unsupported digest algorithm"},
        {"Busybox", "invalid reference format: repository name must be lowercase"},
        {"docker.io/Lib/x", "invalid reference format: repository name must be lowercase"},
        {HEX64, "invalid repository name (" HEX64 "), cannot specify 64-byte hexadecimal strings"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        SCOPED(mem_free) char *got = NULL;
        SCOPED(mem_free)
        char *want = mem_fmt("Failed to apply default image tag \"%s\": couldn't parse image name \"%s\": %s",
                             bad[i].in, bad[i].in, bad[i].why);
        SCOPED(err_free) Err *e = image_ref_normalize(bad[i].in, &got);
        SCOPED(mem_free) char *text = err_text(e);
        CHECK_STR(text, want);
        CHECK_STR(e ? e->reason : NULL, "InvalidImageName");
    }
    char long_name[400];
    memset(long_name, 'a', sizeof long_name);
    long_name[300] = '\0';
    char *got = NULL;
    CHECK_ERR(image_ref_normalize(long_name, &got), "repository name must not be more than 255 characters");
    (void)snprintf(long_name, sizeof long_name, "a:%0129d", 1);
    CHECK_ERR(image_ref_normalize(long_name, &got), "invalid reference format");
    CHECK(got == NULL);
}

/* --- parsing ----------------------------------------------------------------------------------------------------- */

static void test_parse(void)
{
    static const char *const bad_configs[] = {"[]",
                                              "{\"os\":1}",
                                              "{\"os\":\"windows\"}",
                                              "{\"config\":[]}",
                                              "{\"config\":{\"Env\":[1]}}",
                                              "{\"config\":{\"User\":5}}",
                                              "{\"config\":{\"Volumes\":[]}}",
                                              "{\"rootfs\":{\"diff_ids\":[\"sha256:../../x\"]}}",
                                              "{\"rootfs\":{\"diff_ids\":[null]}}",
                                              "{\"rootfs\":{\"diff_ids\":{}}}",
                                              "{\"os\":\"linux\",\"os\":\"linux\"}",
                                              "",
                                              "{\"os\":\"linux\\u0000\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad_configs); i++) {
        SCOPED(image_free) Image *img = NEW(Image);
        SCOPED(strvec_done) StrVec ids = {0};
        SCOPED(err_free) Err *e = image_parse_config(bad_configs[i], strlen(bad_configs[i]), img, &ids);
        CHECK(e != NULL);
    }
    static const char *const bad_manifests[] = {"{}",
                                                "{\"schemaVersion\":1}",
                                                "{\"config\":{},\"layers\":[]}",
                                                "{\"config\":{\"digest\":\"sha256:..\"},\"layers\":[]}",
                                                "{\"config\":{\"digest\":\"sha256:" HEX64 "\"},\"layers\":[1]}",
                                                "{\"config\":{\"digest\":\"sha256:" HEX64
                                                "\"},\"layers\":[{\"digest\":\"sha256:" HEX64
                                                "\",\"mediaType\":\"application/wasm\"}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad_manifests); i++) {
        SCOPED(image_manifest_done) ImageManifest m = {0};
        SCOPED(err_free) Err *e = image_parse_manifest(bad_manifests[i], strlen(bad_manifests[i]), &m);
        CHECK(e != NULL);
    }
    SCOPED(str_done) Str many = {0};
    str_add(&many, "{\"config\":{\"digest\":\"sha256:" HEX64 "\"},\"layers\":[");
    for (int i = 0; i < 128; i++)
        str_fmt(&many, "%s{\"digest\":\"sha256:" HEX64 "\"}", i ? "," : "");
    str_add(&many, "]}");
    ImageManifest m = {0};
    CHECK_ERR(image_parse_manifest(many.p, many.n, &m), "at most 127");
    static const char null_config[] =
        "{\"config\":null,\"rootfs\":{\"diff_ids\":null},\"created\":\"0001-01-01T00:00:00Z\"}";
    SCOPED(image_free) Image *img = NEW(Image);
    SCOPED(strvec_done) StrVec ids = {0};
    CHECK_OK(image_parse_config(null_config, strlen(null_config), img, &ids));
    CHECK(img->created_ns == NS_NONE || img->created_ns < 0);
}

static void test_platforms(void)
{
    const char *mine = image_host_architecture();
    CHECK(image_platform_score("linux", mine, NULL) > 0);
    CHECK(image_platform_score(NULL, NULL, NULL) > 0);
    CHECK(image_platform_score("linux", mine, NULL) > image_platform_score(NULL, NULL, NULL));
    CHECK_INT(image_platform_score("windows", mine, NULL), 0);
    CHECK_INT(image_platform_score("linux", "vax", NULL), 0);
    if (str_eq(mine, "amd64")) {
        CHECK_INT(image_platform_score("linux", "amd64", "v3"), 0);
        CHECK(image_platform_score("linux", "amd64", "v1") > image_platform_score("linux", "amd64", NULL));
    }
}

static void test_chain_ids(void)
{
    /* By hand: sha256("sha256:<a> sha256:<b>"). */
    SCOPED(strvec_done) StrVec diffs = {0}, chains = {0};
    strvec_add(&diffs, "sha256:" HEX64);
    strvec_add(&diffs, "sha256:" HEX64);
    image_chain_ids(&diffs, &chains);
    CHECK_INT(chains.n, 2);
    CHECK_STR(chains.v[0], HEX64);
    const char *both = "sha256:" HEX64 " sha256:" HEX64;
    SCOPED(mem_free) char *want = digest_of(both, strlen(both));
    CHECK_STR(chains.v[1], want + 7);
    SCOPED(mem_free) char *empty = digest_of("", 0);
    CHECK_STR(empty, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* --- the store --------------------------------------------------------------------------------------------------- */

static const Ent layer_base[] = {{'d', "./", NULL, 0751},
                                 {'d', "keep"},
                                 {'f', "keep/a", "a1"},
                                 {'f', "keep/b", "b1"},
                                 {'d', "dir", NULL, 0711},
                                 {'f', "dir/old", "old"},
                                 {'d', "dir/sub"},
                                 {'f', "dir/sub/x", "x"},
                                 {'d', "usr/lib"},
                                 {'l', "lib", "usr/lib"},
                                 {'f', "usr/lib/so", "so1"},
                                 {'f', "gone", "gone"},
                                 {'d', "gonedir"},
                                 {'f', "gonedir/f", "f"},
                                 {'.'}};
static const Ent layer_top[] = {{'f', "keep/b", "b2"},
                                {'f', ".wh.gone", ""},
                                {'f', ".wh.gonedir", ""},
                                {'f', "gonedir", "a file now"},
                                {'f', "dir/new", "new"},
                                {'f', "dir/.wh..wh..opq", ""},
                                {'f', "lib/so2", "so2"},
                                {'h', "hard", "keep/a"},
                                {'f', "keep/.wh.nothing", ""},
                                {'f', "nowhere/.wh.x", ""},
                                {'.'}};

static Err *import(ImageStore *s, const char *what, const char *ref, Image **ret)
{
    return image_import(s, P("%s", what), ref, NULL, NULL, ret);
}

/* Deeper than we could take away again: in one path, and step by step through symlinks, in a lowest layer and over one. */
static void test_depth(void)
{
    SCOPED(str_done) Str deep = {0}, half = {0};
    for (int i = 0; i < 400; i++)
        str_add(i < 200 ? &half : &deep, "d/");
    str_add(&deep, half.p);
    const Ent one[] = {{'f', deep.p, "x"}, {'.'}};
    SCOPED(mem_free) char *more = mem_fmt("up/%sf", half.p);
    const Ent steps[] = {{'d', half.p}, {'l', "up", half.p}, {'f', more, "x"}, {'.'}};
    const Ent fine[] = {{'d', half.p}, {'.'}};
    const Ent *const rows[] = {one, steps};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int below = 0; below < (geteuid() == 0 ? 2 : 1); below++) {
            new_folder();
            const Ent *const layers[] = {below ? fine : rows[i], below ? rows[i] : NULL, NULL};
            make_layout("l", "a:1", layers, 0, image_host_architecture());
            ImageStore *s = open_store();
            SCOPED(image_free) Image *img = NULL;
            SCOPED(err_free) Err *e = import(s, "l", NULL, &img);
            CHECK(e && (e->kind == ERR_LIMIT || err_errno(e) == ENAMETOOLONG));
            CHECK_INT(count_dir(P("store/layers")) + count_dir(P("store/tmp")), 0);
            image_store_close(s);
            drop_folder();
        }
    }
    new_folder();
    const Ent *const layers[] = {fine, NULL};
    make_layout("l", "a:1", layers, 0, image_host_architecture());
    ImageStore *s = open_store();
    SCOPED(image_free) Image *img = NULL;
    CHECK_OK(import(s, "l", NULL, &img));
    image_store_close(s);
    drop_folder();
}

/* What a container would see. */
static void check_merged(const Image *img)
{
    static const char *const dirs[] = {"up", "work", "merged"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        CHECK(mkdir(P("%s", dirs[i]), 0755) == 0);
    CHECK_OK(image_overlay_mount(&img->layer_dirs, P("up"), P("work"), P("merged"), true));
    struct stat st;
    CHECK(file_is(P("merged/keep/a"), "a1") && file_is(P("merged/keep/b"), "b2"));
    CHECK(!fs_exists(P("merged/gone")) && file_is(P("merged/gonedir"), "a file now"));
    CHECK(file_is(P("merged/dir/new"), "new") && !fs_exists(P("merged/dir/old")) && !fs_exists(P("merged/dir/sub")));
    CHECK(stat(P("merged/dir"), &st) == 0 &&
          (st.st_mode & 07777) == 0711); /* a directory that the upper layer does not name */
    CHECK(file_is(P("merged/usr/lib/so2"), "so2") && file_is(P("merged/lib/so"), "so1"));
    CHECK(lstat(P("merged/lib"), &st) == 0 && S_ISLNK(st.st_mode));
    CHECK(file_is(P("merged/hard"), "a1"));
    CHECK(!fs_exists(P("merged/nowhere")) && !fs_exists(P("merged/keep/.wh.nothing")));
    CHECK(umount2(P("merged"), 0) == 0);
}

static void test_store(void)
{
    if (geteuid() != 0) {
        printf("# not root: overlay is not tested\n");
        CHECK(true);
        return;
    }
    new_folder();
    const Ent *const two[] = {layer_base, layer_top, NULL}, *const one[] = {layer_base, NULL};
    make_layout("l2", "example.com/two:1", two, 'z', image_host_architecture());
    make_layout("l1", "example.com/one:1", one, 's', image_host_architecture());
    ImageStore *s = open_store();
    SCOPED(image_free) Image *a = NULL;
    SCOPED(image_free) Image *b = NULL;
    SCOPED(image_free) Image *c = NULL;
    CHECK_OK(import(s, "l2", NULL, &a));
    CHECK_OK(import(s, "l1", "one", &b));
    CHECK(a && b && a->layer_dirs.n == 2 && b->layer_dirs.n == 1);
    CHECK_STR(a->layer_dirs.v[0], b->layer_dirs.v[0]); /* shared, though packed otherwise */
    CHECK_STR(a->refs.v[0], "example.com/two:1");
    CHECK_STR(b->refs.v[0], "docker.io/library/one:latest");
    check_merged(a);
    struct stat st;
    CHECK(stat(a->layer_dirs.v[1], &st) == 0 && (st.st_mode & 07777) == 0751); /* the root is as below */

    CHECK_OK(image_get(s, "example.com/two:1", &c));
    CHECK_STR(c->id, a->id);
    CHECK(c->entrypoint.n == 2 && c->cmd.n == 1 && c->env.n == 1 && c->volumes.n == 1);
    CHECK_STR(c->user, "1:2");
    CHECK_STR(c->working_dir, "/w");
    CHECK_STR(c->stop_signal, "SIGINT");
    CHECK_INT(c->created_ns, INT64_C(1704164645000000000));
    static const char *const forms[] = {"id", "hex", "prefix", "digest"};
    char *const keys[] = {mem_dup_str(a->id), mem_dup_str(a->id + 7), mem_dup_strn(a->id + 7, 12),
                          mem_fmt("example.com/two@%s", a->digest)};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        SCOPED(image_free) Image *got = NULL;
        CHECK_OK(image_get(s, keys[i], &got));
        CHECK_STR(got ? got->id : forms[i], a->id);
        free(keys[i]);
    }
    SCOPED(mem_free) char *other_repo = mem_fmt("other@%s", a->digest);
    Image *none = NULL;
    CHECK_ERR(image_get(s, other_repo, &none), "not in the store");
    CHECK_ERR(image_get(s, "two:1", &none), "not in the store");
    CHECK_ERR(image_get(s, "BAD", &none), "must be lowercase");

    /* In use: neither rm nor prune takes it; --force takes the name only. */
    CHECK_OK(image_ref_use(s, a->id, "ctr1"));
    CHECK_OK(image_ref_use(s, a->id, "ctr1"));
    CHECK_ERR(image_remove(s, "example.com/two:1"), "used by container ctr1");
    int64_t bytes = -1;
    CHECK_OK(image_prune(s, true, &bytes));
    CHECK_ERR(image_get(s, "one", &none), "not in the store");
    CHECK(fs_exists(a->layer_dirs.v[0]));
    CHECK_OK(image_remove_opts(s, "example.com/two:1", true, NULL));
    CHECK_ERR(image_get(s, "example.com/two:1", &none), "not in the store");
    CHECK(fs_exists(a->layer_dirs.v[1]));
    SCOPED(strvec_done) StrVec live = {0};
    strvec_add(&live, "ctr1");
    CHECK_OK(image_ref_collect(s, &live));
    CHECK_OK(image_prune(s, false, &bytes));
    CHECK(fs_exists(a->layer_dirs.v[1]) && bytes == 0);
    strvec_done(&live);
    CHECK_OK(image_ref_collect(s, &live));
    CHECK_OK(image_prune(s, false, &bytes));
    CHECK(bytes > 0);
    CHECK_INT(count_dir(P("store/layers")) + count_dir(P("store/blobs/sha256")) + count_dir(P("store/tmp")) +
                  count_dir(P("store/refs")),
              0);
    CHECK_ERR(image_ref_use(s, a->id, "ctr2"), "not in the store");
    CHECK_ERR(image_ref_use(s, a->id, "../x"), "file name");
    image_store_close(s);
    drop_folder();
}

static void test_tags(void)
{
    new_folder();
    static const Ent other[] = {{'f', "x", "x"}, {'.'}};
    const Ent *const one[] = {layer_base, NULL}, *const two[] = {other, NULL};
    make_layout("l1", "a:1", one, 0, image_host_architecture());
    make_layout("l2", "a:1", two, 0, image_host_architecture());
    ImageStore *s = open_store();
    SCOPED(image_free) Image *i1 = NULL;
    SCOPED(image_free) Image *i2 = NULL;
    SCOPED(image_free) Image *i3 = NULL;
    CHECK_OK(import(s, "l1", NULL, &i1));
    CHECK_OK(import(s, "l1", "b:2", &i3));
    CHECK_OK(import(s, "l2", NULL, &i2)); /* the name moves on */
    Image **v = NULL;
    size_t n = 0;
    CHECK_OK(image_list(s, &v, &n));
    CHECK(n == 2 && v[0]->refs.n == 1 && v[1]->refs.n == 1);
    image_list_free(v, n);
    CHECK_OK(image_remove(s, "b:2")); /* its only name now */
    CHECK_OK(image_list(s, &v, &n));
    CHECK_INT(n, 1);
    image_list_free(v, n);
    CHECK(!fs_exists(i1 ? i1->layer_dirs.v[0] : "/"));
    image_store_close(s);
    drop_folder();
}

static void test_damage(void)
{
    static const struct {
        const char *find, *says;
    } rows[] = {
        {"blob", "the archive is damaged"},
        {"diff", "uncompressed it has digest"},
        {"index", "the archive is damaged"},
        {"noblob", "No such file or directory"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        new_folder();
        static const Ent other[] = {{'f', "evil", "x"}, {'.'}};
        const Ent *const one[] = {layer_base, NULL}, *const two[] = {other, NULL};
        make_layout("l", "a:1", one, 0, image_host_architecture());
        make_layout("m", "a:1", two, 0, image_host_architecture());
        make_tar(P("good"), layer_base, 0);
        make_tar(P("evil"), other, 0);
        SCOPED(mem_free) char *good = file_digest(P("good"));
        const char *blob = P("l/blobs/sha256/%s", good + 7);
        if (str_eq(rows[i].find, "blob") || str_eq(rows[i].find, "diff"))
            CHECK(rename(P("evil"), blob) == 0);
        if (str_eq(rows[i].find, "diff")) { /* a right blob, but another's config: the manifest is built by hand */
            SCOPED(mem_free) char *evil = file_digest(blob);
            CHECK(rename(blob, P("l/blobs/sha256/%s", evil + 7)) == 0);
            SCOPED(str_done) Str idx = {0}, m = {0};
            CHECK_OK(fs_read(P("l/index.json"), 1 << 20, &idx));
            char *at = strstr(idx.p, "sha256:");
            CHECK_OK(fs_read(P("l/blobs/sha256/%.64s", at + 7), 1 << 20, &m));
            memcpy(strstr(m.p, good), evil, strlen(evil));
            SCOPED(mem_free) char *md = digest_of(m.p, m.n);
            write_file(P("l/blobs/sha256/%s", md + 7), m.p);
            memcpy(at, md, strlen(md));
            write_file(P("l/index.json"), idx.p);
        }
        if (str_eq(rows[i].find, "index")) {
            SCOPED(str_done) Str idx = {0};
            CHECK_OK(fs_read(P("l/index.json"), 1 << 20, &idx));
            write_file(P("l/blobs/sha256/%.64s", strstr(idx.p, "sha256:") + 7), "{}");
        }
        if (str_eq(rows[i].find, "noblob"))
            CHECK(unlink(blob) == 0);
        ImageStore *s = open_store();
        SCOPED(image_free) Image *img = NULL;
        CHECK_ERR(import(s, "l", NULL, &img), rows[i].says);
        CHECK_INT(count_dir(P("store/layers")) + count_dir(P("store/tmp")) + count_dir(P("store/blobs/sha256")), 0);
        image_store_close(s);
        drop_folder();
    }
}

static void test_archives(void)
{
    new_folder();
    ImageStore *s = open_store();
    SCOPED(image_free) Image *img = NULL;
    static const Ent empty[] = {{'.'}}, rootfs[] = {{'f', "bin/sh", "x"}, {'.'}},
                     old[] = {{'f', "repositories", "{}"}, {'.'}},
                     half[] = {{'f', "manifest.json", "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]"}, {'.'}},
                     linked[] = {{'l', "manifest.json", "/etc/passwd"}, {'.'}},
                     fifo[] = {{'p', "manifest.json"}, {'.'}};
    static const struct {
        const Ent *v;
        const char *name, *says;
    } rows[] = {
        {rootfs, NULL,
         "t.tar: not an image archive: neither oci-layout nor manifest.json found; for a root filesystem give --name"},
        {empty, "x", "the archive is empty"},
        {old, NULL, "before 1.10"},
        {half, "x", "../../etc/passwd"},
        {half, NULL, "the image has no name"},
        {linked, "x", "manifest.json"},
        {fifo, "x", "manifest.json"},
        {rootfs, "X", "must be lowercase"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        make_tar(P("t.tar"), rows[i].v, 0);
        CHECK_ERR(import(s, "t.tar", rows[i].name, &img), rows[i].says);
    }
    write_file(P("t.tar"), "this is text");
    CHECK_ERR(import(s, "t.tar", "x", &img), "t.tar: not a tar archive that can be read");
    CHECK_ERR(import(s, "absent.tar", "x", &img), "absent.tar: open: No such file or directory");
    CHECK_OK(fs_mkdirs(P("dir/bin"), 0755));
    CHECK_ERR(import(s, "dir", NULL, &img), "for a root filesystem give --name");
    CHECK_INT(count_dir(P("store/layers")) + count_dir(P("store/tmp")) + count_dir(P("store/blobs/sha256")), 0);

    write_file(P("dir/bin/tool"), "tool");
    CHECK(link(P("dir/bin/tool"), P("dir/bin/again")) == 0);
    CHECK_OK(import(s, "dir", "tools", &img));
    SCOPED(image_free) Image *again = NULL;
    CHECK_OK(import(s, "dir", "tools:2", &again));
    CHECK_STR(again->id, img->id); /* the same tree, the same image */
    struct stat st;
    SCOPED(mem_free) char *tool = mem_fmt("%s/bin/tool", img->layer_dirs.v[0]);
    CHECK(stat(tool, &st) == 0 && st.st_nlink == 2);
    CHECK(img->digest == NULL);
    image_store_close(s);
    drop_folder();
}

static void test_platform_choice(void)
{
    new_folder();
    const Ent *const one[] = {layer_base, NULL};
    static const Ent other[] = {{'f', "other", "x"}, {'.'}};
    const Ent *const two[] = {other, NULL};
    make_layout("l", "a:1", one, 0, image_host_architecture());
    make_layout("l", "a:1", two, 0, "vax"); /* the same blobs folder, another index.json */
    ImageStore *s = open_store();
    SCOPED(image_free) Image *img = NULL;
    /* A nested index of an attestation, the other machine's image and ours; ours is what the first
     * layout pointed to. */
    make_layout("m", "a:1", one, 0, image_host_architecture());
    SCOPED(str_done) Str ours = {0}, theirs = {0}, nested = {0}, top = {0};
    CHECK_OK(fs_read(P("m/index.json"), 1 << 20, &ours));
    CHECK_OK(fs_read(P("l/index.json"), 1 << 20, &theirs));
    str_fmt(
        &nested,
        "{\"manifests\":[{\"digest\":\"sha256:%064d\",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}},"
        "{\"digest\":\"%.71s\",\"platform\":{\"os\":\"linux\",\"architecture\":\"vax\"}}",
        0, strstr(theirs.p, "sha256:"));
    SCOPED(mem_free) char *without = mem_fmt("%s]}", nested.p);
    str_fmt(&nested, ",{\"digest\":\"%.71s\",\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}]}",
            strstr(ours.p, "sha256:"), image_host_architecture());
    const char *const bodies[] = {nested.p, without};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        SCOPED(mem_free) char *nd = digest_of(bodies[i], strlen(bodies[i]));
        write_file(P("l/blobs/sha256/%s", nd + 7), bodies[i]);
        str_clear(&top);
        str_fmt(&top,
                "{\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"%s\","
                "\"annotations\":{\"org.opencontainers.image.ref.name\":\"latest\",\"io.containerd.image.name\":\"quay."
                "io/x/y:z\"}}]}",
                nd);
        write_file(P("l/index.json"), top.p);
        if (i == 0) {
            CHECK_OK(import(s, "l", NULL, &img));
            CHECK_STR(img->refs.v[0], "quay.io/x/y:z");
            CHECK(img->digests.n == 2 && str_eq(img->digests.v[1], nd)); /* known by the index's digest as well */
        } else {
            SCOPED(image_free) Image *none = NULL;
            CHECK_ERR(import(s, "l", NULL, &none), "in it; it has linux/vax");
        }
    }
    /* An index that holds itself cannot be made (its digest would have to be in it); deep ones can. */
    SCOPED(mem_free) char *inner = digest_of(nested.p, nested.n);
    for (int i = 0; i < 6; i++) {
        SCOPED(mem_free)
        char *body = mem_fmt(
            "{\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"%s\"}]}", inner);
        free(inner);
        inner = digest_of(body, strlen(body));
        write_file(P("l/blobs/sha256/%s", inner + 7), body);
        write_file(P("l/index.json"), body);
    }
    SCOPED(image_free) Image *none = NULL;
    CHECK_ERR(import(s, "l", "x", &none), "within each other");
    image_store_close(s);
    drop_folder();
}

static void test_crash_leftovers(void)
{
    new_folder();
    const Ent *const one[] = {layer_base, NULL};
    make_layout("l", "a:1", one, 0, image_host_architecture());
    ImageStore *s = open_store();
    SCOPED(image_free) Image *img = NULL;
    CHECK_OK(import(s, "l", NULL, &img));
    CHECK_OK(fs_mkdirs(P("store/tmp/dead/layers/x/fs"), 0755));
    CHECK_OK(fs_mkdirs(P("store/layers/%s/fs", HEX64), 0755));
    write_file(P("store/blobs/sha256/%s", HEX64), "orphan");
    SCOPED(mem_free) char *live = NULL;
    SCOPED(fd_close) int lock = -EBADF;
    CHECK_OK(store_tmp(s, &live, &lock)); /* an import under way */
    SCOPED(fd_close) int gc = -EBADF;
    CHECK_OK(store_lock(s, "gc.lock", false, true, &gc));
    image_store_close(s);
    s = open_store();
    CHECK(!fs_exists(P("store/tmp/dead")) && fs_exists(live));
    CHECK(fs_exists(P("store/layers/%s", HEX64))); /* perhaps its layer */
    image_store_close(s);
    fd_close(MOVE(gc, -EBADF));
    s = open_store();
    CHECK(!fs_exists(P("store/layers/%s", HEX64)) && !fs_exists(P("store/blobs/sha256/%s", HEX64)));
    CHECK(fs_exists(live) && fs_exists(img->layer_dirs.v[0]));
    image_store_close(s);
    write_file(P("store/index.json"), "{\"version\":9}");
    CHECK_ERR(image_store_open(P("store"), &s), "version 9");
    drop_folder();
}

/* Every system call of an import fails in turn: the store is as before, or has the image whole. */
static void test_faults(void)
{
    static const char *const calls[] = {"open", "read", "write", "fsync", "rename", "mkdir", "unlink", "mount"};
    const Ent *const one[] = {layer_base, layer_top, NULL}, *const base[] = {layer_base, NULL};
    for (size_t c = 0; c < ARRAY_LEN(calls); c++) {
        new_folder();
        make_layout("l", "a:1", geteuid() == 0 ? one : base, 0, image_host_architecture());
        unsigned n = 1;
        for (; n < 500; n++) {
            ImageStore *s = open_store();
            SCOPED(image_free) Image *img = NULL;
            fault_arm(calls[c], n, ENOSPC);
            Err *e = import(s, "l", NULL, &img);
            bool hit = fault_disarm();
            Image **v = NULL;
            size_t n_images = 9;
            CHECK_OK(image_list(s, &v, &n_images));
            if (e) {
                CHECK(hit);
                CHECK(n_images <= 1);
            }
            if (!hit)
                CHECK(!e);
            err_free(e);
            image_list_free(v, n_images);
            image_store_close(s);
            s = open_store(); /* sweeps */
            if (n_images == 0)
                CHECK_INT(count_dir(P("store/layers")) + count_dir(P("store/tmp")) + count_dir(P("store/blobs/sha256")),
                          0);
            int64_t bytes;
            CHECK_OK(image_prune(s, true, &bytes));
            image_store_close(s);
            if (!hit)
                break;
        }
        CHECK(n < 500);
        drop_folder();
    }
}

static void test_full_disk(void)
{
    if (geteuid() != 0) {
        printf("# not root: no small file system can be mounted\n");
        CHECK(true);
        return;
    }
    new_folder();
    char big[4096];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    Ent v[300];
    char names[300][8];
    for (int i = 0; i < 299; i++) {
        (void)snprintf(names[i], sizeof names[i], "f%d", i);
        v[i] = (Ent){'f', names[i], big, 0};
    }
    v[299] = (Ent){'.'};
    const Ent *const layers[] = {v, NULL};
    make_layout("l", "a:1", layers, 'z', image_host_architecture());
    CHECK(mkdir(P("small"), 0755) == 0 && mount("tmpfs", P("small"), "tmpfs", 0, "size=512k") == 0);
    ImageStore *s = NULL;
    CHECK_OK(image_store_open(P("small/store"), &s));
    SCOPED(image_free) Image *img = NULL;
    CHECK_ERR(import(s, "l", NULL, &img), "No space left on device");
    CHECK_INT(count_dir(P("small/store/layers")) + count_dir(P("small/store/tmp")) +
                  count_dir(P("small/store/blobs/sha256")),
              0);
    CHECK(mount("tmpfs", P("small"), "tmpfs", MS_REMOUNT, "size=16m") == 0);
    CHECK_OK(import(s, "l", NULL, &img)); /* with room it works: nothing was in the way */
    image_store_close(s);
    CHECK(umount2(P("small"), 0) == 0);
    drop_folder();
}

static void test_many_layers(void)
{
    if (geteuid() != 0) {
        printf("# not root: overlay is not tested\n");
        CHECK(true);
        return;
    }
    new_folder();
    static Ent entries[IMAGE_MAX_LAYERS][2];
    static char names[IMAGE_MAX_LAYERS][8];
    const Ent *layers[IMAGE_MAX_LAYERS + 1] = {0};
    for (int i = 0; i < IMAGE_MAX_LAYERS; i++) {
        (void)snprintf(names[i], sizeof names[i], "f%d", i);
        entries[i][0] = (Ent){'f', names[i], "x", 0};
        entries[i][1] = (Ent){'.'};
        layers[i] = entries[i];
    }
    make_layout("l", "a:1", layers, 0, image_host_architecture());
    ImageStore *s = open_store();
    SCOPED(image_free) Image *img = NULL;
    CHECK_OK(import(s, "l", NULL, &img));
    CHECK(img && img->layer_dirs.n == IMAGE_MAX_LAYERS);
    static const char *const dirs[] = {"up", "work", "merged"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        CHECK(mkdir(P("%s", dirs[i]), 0755) == 0);
    CHECK_OK(image_overlay_mount(&img->layer_dirs, P("up"), P("work"), P("merged"), true));
    CHECK_INT(count_dir(P("merged")), IMAGE_MAX_LAYERS);
    CHECK(umount2(P("merged"), 0) == 0);
    image_store_close(s);
    drop_folder();
}

TESTS(T(test_refs), T(test_parse), T(test_platforms), T(test_chain_ids), T(test_depth), T(test_store), T(test_tags),
      T(test_damage), T(test_archives), T(test_platform_choice), T(test_crash_leftovers), T(test_faults),
      T(test_full_disk), T(test_many_layers))
