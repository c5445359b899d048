/* Layers: names in archives, unpacking, and everything that tries to lead out of the root. */
#include "image_fixtures.h"

#include <sys/xattr.h>

#include "runtime/oci/layer_priv.h"

/* --- names in archives ------------------------------------------------------------------------------------------- */

static void test_paths(void)
{
    static const struct {
        const char *in, *out; /* NULL = refused */
    } rows[] = {{"a", "a"},    {"./a/b", "a/b"}, {"/a", "a"},    {"//a//b/", "a/b"}, {"./", ""},      {"/", ""},
                {".", ""},     {"a/./b", "a/b"}, {"..", NULL},   {"../a", NULL},     {"a/..", NULL},  {"a/../b", NULL},
                {"/..", NULL}, {"..a", "..a"},   {"a..", "a.."}, {"a/...", "a/..."}, {"./../x", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = NULL;
        Err *e = layer_path(rows[i].in, &got);
        CHECK(!e == (rows[i].out != NULL));
        err_free(e);
        CHECK_STR(got, rows[i].out);
    }
}

static void test_whiteout_names(void)
{
    static const struct {
        const char *in;
        LayerNameKind kind;
        const char *target;
    } rows[] = {{"a/b", NAME_PLAIN, NULL},
                {"a/.wh.b", NAME_WHITEOUT, "a/b"},
                {".wh.b", NAME_WHITEOUT, "b"},
                {"a/.wh..wh..opq", NAME_OPAQUE, "a"},
                {".wh..wh..opq", NAME_OPAQUE, ""},
                {".wh..wh.plnk/1.2", NAME_IGNORED, NULL},
                {"x/.wh..wh.aufs", NAME_IGNORED, NULL},
                {"a/.wh...b", NAME_WHITEOUT, "a/..b"},
                {"a.wh.b", NAME_PLAIN, NULL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        LayerNameKind kind = NAME_PLAIN;
        SCOPED(mem_free) char *target = NULL;
        CHECK_OK(layer_name_kind(rows[i].in, &kind, &target));
        CHECK_INT(kind, rows[i].kind);
        CHECK_STR(target, rows[i].target);
    }
    static const char *const bad[] = {".wh.", "a/.wh.", ".wh..", "a/.wh...", "a/.wh.."};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        LayerNameKind kind;
        char *target = NULL;
        Err *e = layer_name_kind(bad[i], &kind, &target);
        CHECK(e != NULL);
        err_free(e);
        free(target);
    }
}

/* --- layers ------------------------------------------------------------------------------------------------------ */

/* Unpacks <v> into <folder>/root as a lowest layer. */
static Err *unpack_plain(const Ent *v, char filter)
{
    make_tar(P("l.tar"), v, filter);
    (void)mkdir(P("root"), 0755);
    SCOPED(fd_close) int fd = open(P("l.tar"), O_RDONLY | O_CLOEXEC);
    SCOPED(fd_close) int root = open(P("root"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    LayerOptions o = {.name = "layer"};
    SCOPED(layer_scan_done) LayerScan scan = {0};
    Err *e = layer_scan(fd, &o, NULL, NULL, &scan);
    return e ? e : layer_unpack(fd, &o, &scan, root, 0);
}

static void test_unpack(void)
{
    for (const char *filter = "0zs"; *filter; filter++) {
        new_folder();
        static const Ent v[] = {{'d', "./"},
                                {'d', "a/", NULL, 0700},
                                {'f', "a/f", "hello", 04755},
                                {'h', "a/h", "/a/f"},
                                {'l', "a/l", "../../../f"},
                                {'f', "deep/er/f", "x"},
                                {'p', "pipe", NULL, 0600},
                                {'f', "\xc3\xbc\xff", "bytes"},
                                {'d', "abs"},
                                {'l', "link", "/abs"},
                                {'f', "link/in", "through"},
                                {'.'}};
        CHECK_OK(unpack_plain(v, *filter == '0' ? 0 : *filter));
        struct stat st, st2;
        CHECK(file_is(P("root/a/f"), "hello"));
        CHECK(stat(P("root/a/f"), &st) == 0 && stat(P("root/a/h"), &st2) == 0 && st.st_ino == st2.st_ino);
        CHECK_INT(st.st_mode & 07777, 04755);
        CHECK_INT(st.st_mtim.tv_sec, 1000000000);
        if (geteuid() == 0)
            CHECK(st.st_uid == 1234 && st.st_gid == 4321);
        CHECK(stat(P("root/a"), &st) == 0 && (st.st_mode & 07777) == 0700 && st.st_mtim.tv_sec == 1000000000);
        CHECK(stat(P("root/deep/er"), &st) == 0 && (st.st_mode & 07777) == 0755);
        CHECK(lstat(P("root/pipe"), &st) == 0 && S_ISFIFO(st.st_mode));
        CHECK(file_is(P("root/\xc3\xbc\xff"), "bytes"));
        CHECK(file_is(P("root/abs/in"), "through")); /* an absolute link of the image is the image's root */
        char value[16];
        CHECK_INT(getxattr(P("root/a/f"), "user.test", value, sizeof value), 5);
        CHECK(getxattr(P("root/a/f"), "trusted.overlay.redirect", value, sizeof value) < 0);
        drop_folder();
    }
}

static void test_replace(void)
{
    new_folder();
    static const Ent v[] = {{'d', "d"},
                            {'f', "d/x", "1"},
                            {'f', "d", "now a file"},
                            {'f', "f", "1"},
                            {'d', "f"},
                            {'f', "f/y", "2"},
                            {'l', "s", "/etc"},
                            {'d', "s"},
                            {'f', "s/z", "3"},
                            {'f', "s/z", "4"},
                            {'.'}};
    CHECK_OK(unpack_plain(v, 0));
    CHECK(file_is(P("root/d"), "now a file"));
    CHECK(file_is(P("root/f/y"), "2"));
    CHECK(file_is(P("root/s/z"), "4"));
    struct stat st;
    CHECK(lstat(P("root/s"), &st) == 0 && S_ISDIR(st.st_mode));
    drop_folder();
}

/* Everything that could lead out of the root, each with what must not appear outside. */
static void test_escapes(void)
{
    static const struct {
        Ent v[4];
        const char *says; /* NULL = harmless: goes into the root */
    } rows[] = {
        {{{'f', "../outside", "x"}, {'.'}}, "\"..\""},
        {{{'f', "a/../../outside", "x"}, {'.'}}, "\"..\""},
        {{{'h', "in", "../outside"}, {'.'}}, "\"..\""},
        {{{'f', ".wh...", ""}, {'.'}}, "whiteout"},
        {{{'f', "a/.wh..", ""}, {'.'}}, "whiteout"},
        {{{'l', "up", ".."}, {'f', "up/outside", "x"}, {'.'}}, NULL},
        {{{'l', "up", "../../../../../.."}, {'f', "up/tmp/outside", "x"}, {'.'}}, NULL},
        {{{'l', "up", "/"}, {'f', "up/outside", "x"}, {'.'}}, NULL},
        {{{'l', "outside", "../outside"}, {'f', "outside", "x"}, {'.'}}, NULL},
        {{{'l', "up", ".."}, {'h', "stolen", "up/secret"}, {'.'}}, "not there"},
        {{{'l', "up", "/proc/self/cwd"}, {'f', "up/outside", "x"}, {'.'}}, NULL},
        {{{'l', "up", "../outside-dir"}, {'f', "up/outside", "x"}, {'.'}}, NULL},
        {{{'l', "a", "b"}, {'l', "b", "a"}, {'f', "a/x", "x"}, {'.'}}, "Too many levels of symbolic links"},
        {{{'c', "null0"}, {'.'}}, "0:0"},
        {{{'h', "x", "x"}, {'.'}}, "not there"},
        {{{'f', "x", "1"}, {'f', "x/y", "2"}, {'.'}}, "Not a directory"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        new_folder();
        write_file(P("secret"), "secret");
        Err *e = unpack_plain(rows[i].v, 0);
        if (rows[i].says)
            CHECK_ERR(e, rows[i].says);
        else
            CHECK_OK(e);
        CHECK(!fs_exists(P("outside")) && !fs_exists(P("outside-dir")) && !fs_exists("/outside") &&
              !fs_exists("/tmp/outside"));
        CHECK(file_is(P("secret"), "secret") && !fs_exists(P("root/stolen")));
        drop_folder();
    }
}

static void test_not_tar(void)
{
    new_folder();
    LayerOptions o = {.name = "layer"};
    static const char *const texts[] = {"hello, this is no tar archive at all, and a little longer than that",
                                        "\x1f\x8b\x08garbage", "\x28\xb5\x2f\xfd garbage"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        write_file(P("l.tar"), texts[i]);
        SCOPED(fd_close) int fd = open(P("l.tar"), O_RDONLY | O_CLOEXEC);
        SCOPED(layer_scan_done) LayerScan scan = {0};
        SCOPED(err_free) Err *e = layer_scan(fd, &o, NULL, NULL, &scan);
        CHECK(e && e->kind == ERR_INVALID);
    }
    static const Ent v[] = {{'f', "a", "0123456789"}, {'.'}};
    make_tar(P("l.tar"), v, 'z');
    SCOPED(fd_close) int fd = open(P("l.tar"), O_RDONLY | O_CLOEXEC);
    SCOPED(layer_scan_done) LayerScan scan = {0};
    o.max_bytes = 600;
    CHECK_ERR(layer_scan(fd, &o, NULL, NULL, &scan), "larger than 600 bytes");
    drop_folder();
}

static void test_scan(void)
{
    new_folder();
    static const Ent v[] = {
        {'f', "a", "0123456789"}, {'f', ".wh.gone", ""}, {'f', "d/.wh..wh..opq", ""}, {'f', "b", "12"}, {'.'}};
    make_tar(P("plain"), v, 0);
    make_tar(P("gz"), v, 'z');
    SCOPED(mem_free) char *plain = file_digest(P("plain"));
    SCOPED(mem_free) char *gz = file_digest(P("gz"));
    SCOPED(fd_close) int fd = open(P("gz"), O_RDWR | O_APPEND | O_CLOEXEC);
    LayerOptions o = {.name = "layer"};
    {
        SCOPED(layer_scan_done) LayerScan s = {0};
        CHECK_OK(layer_scan(fd, &o, NULL, NULL, &s));
        CHECK_STR(s.blob_digest, gz);
        CHECK_STR(s.diff_digest, plain);
        CHECK_INT(s.size_bytes, 12);
        CHECK_INT(s.n_entries, 4);
        CHECK(s.whiteouts.n == 2 && str_eq(s.whiteouts.v[0], "gone") && str_eq(s.whiteouts.v[1], "d/"));
    }
    /* What follows the compressed stream is not unpacked, but it is part of the blob. */
    CHECK(write(fd, "tail", 4) == 4);
    SCOPED(mem_free) char *longer = file_digest(P("gz"));
    SCOPED(layer_scan_done) LayerScan s = {0};
    Err *e = layer_scan(fd, &o, NULL, NULL, &s);
    if (!e)
        CHECK_STR(s.blob_digest, longer);
    else
        CHECK_INT(e->kind, ERR_INVALID);
    err_free(e);
    drop_folder();
}

TESTS(T(test_paths), T(test_whiteout_names), T(test_unpack), T(test_replace), T(test_escapes), T(test_not_tar),
      T(test_scan))
