/* The parts of the OCI spec one by one; whole config.json files are golden (tests/golden/ocispec), and what the kernel
 * makes of them is tests/integration/test_security.py. */
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "os/fs.h"
#include "runtime/oci/spec_priv.h"
#include "runtime/security.h"

static char *tmp_dir(void)
{
    char *d = mem_dup_str("/tmp/test-ocispec-XXXXXX");
    CHECK(mkdtemp(d) != NULL);
    return d;
}

static void put(const char *dir, const char *name, const char *text)
{
    char *path = mem_fmt("%s/%s", dir, name), *slash = strrchr(path, '/');
    *slash = '\0';
    CHECK_OK(fs_mkdirs(path, 0755));
    *slash = '/';
    CHECK_OK(fs_write_atomic(path, text, strlen(text), 0644, false));
    free(path);
}

static void remove_dir(char *dir)
{
    CHECK_OK(fs_remove_tree(dir));
    free(dir);
}

/* Takes <e>; it must be there, and say <want> somewhere. */
static void check_error(Err *e, const char *want)
{
    char *text = e ? err_text(e) : mem_dup_str("no error");
    if (!strstr(text, want))
        CHECK_STR(text, want);
    CHECK(e != NULL);
    free(text);
    err_free(e);
}

static const char passwd[] =
    "# comment\n\nroot:x:0:0:root:/root:/bin/sh\nbad:x:abc:1::/:\nshort:x:5\n"
    "app:x:1234:2345::/home:/bin/sh\r\nbig:x:2147483648:1::/:\nmax:x:2147483647:7::/:\n+nis::::::\n";
static const char group[] =
    "root:x:0:\napp:x:2345:app\nextra:x:50:other,app\nmore:x:51:app,root\nbad:x:z:app\napplike:x:52:apple\n";

static void test_user_lookup(void)
{
    char *root = tmp_dir();
    put(root, "etc/passwd", passwd);
    put(root, "etc/group", group);
    static const struct { const char *user; int64_t uid, gid; const char *groups, *error; } rows[] = {
        {"", 0, 0, "51", NULL},           {"root", 0, 0, "51", NULL},        {"0", 0, 0, "51", NULL},
        {"app", 1234, 2345, "50 51", NULL}, {"1234", 1234, 2345, "50 51", NULL}, {"77", 77, 0, "", NULL},
        {"77:88", 77, 88, "", NULL},      {"app:extra", 1234, 50, "50 51", NULL}, {"app:9", 1234, 9, "50 51", NULL},
        {"1234:more", 1234, 51, "50 51", NULL}, {"app:", 1234, 2345, "50 51", NULL}, {":50", 0, 50, "51", NULL},
        {"max", 2147483647, 7, "", NULL},
        {"ghost", 0, 0, NULL, "unable to find user ghost"}, {"app:ghost", 0, 0, NULL, "unable to find group ghost"},
        {"bad", 0, 0, NULL, "unable to find user bad"},     {"big", 0, 0, NULL, "unable to find user big"},
        {"2147483648", 0, 0, NULL, "uid out of range"},     {"0:2147483648", 0, 0, NULL, "gid out of range"},
        {"99999999999999999999", 0, 0, NULL, "uid out of range"}, {"a:b:c", 0, 0, NULL, "more than one colon"},
        {"-1", 0, 0, NULL, "unable to find user -1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t uid = -1, gid = -1;
        IntList groups = {0};
        Err *e = oci_user_lookup(root, rows[i].user, &uid, &gid, &groups);
        if (rows[i].error) {
            check_error(e, rows[i].error);
            continue;
        }
        CHECK_OK(e);
        CHECK_INT(uid, rows[i].uid);
        CHECK_INT(gid, rows[i].gid);
        Str s = {0};
        for (size_t k = 0; k < groups.n; k++)
            str_fmt(&s, "%s%lld", k ? " " : "", (long long)groups.v[k]);
        CHECK_STR(s.n ? s.p : "", rows[i].groups);
        str_done(&s);
        free(groups.v);
    }
    remove_dir(root);
}

/* An image may make /etc/passwd anything at all. */
static void test_hostile_user_files(void)
{
    int64_t uid, gid;
    char *root = tmp_dir();
    CHECK_OK(oci_user_lookup(root, "5:6", &uid, &gid, NULL)); /* scratch: no files */
    CHECK_INT(uid, 5);
    check_error(oci_user_lookup(root, "app", &uid, &gid, NULL), "unable to find user app");

    char *etc = mem_fmt("%s/etc", root), *file = mem_fmt("%s/passwd", etc);
    CHECK(mkdir(etc, 0755) == 0);
    CHECK(symlink("/etc/passwd", file) == 0); /* of the image, not the host's: a loop */
    check_error(oci_user_lookup(root, "root", &uid, &gid, NULL), "/etc/passwd");
    CHECK(unlink(file) == 0 && symlink("../../../../../../etc/passwd-of-host", file) == 0);
    check_error(oci_user_lookup(root, "root", &uid, &gid, NULL), "unable to find user root"); /* stays inside: absent */
    CHECK(unlink(file) == 0 && symlink("/proc/self/environ", file) == 0);
    check_error(oci_user_lookup(root, "root", &uid, &gid, NULL), "unable to find user root");
    CHECK(unlink(file) == 0 && mkfifo(file, 0644) == 0); /* would block for ever */
    check_error(oci_user_lookup(root, "root", &uid, &gid, NULL), "not a regular file");
    CHECK(unlink(file) == 0 && mkdir(file, 0755) == 0);
    check_error(oci_user_lookup(root, "root", &uid, &gid, NULL), "not a regular file");
    CHECK(rmdir(file) == 0);
    put(root, "etc/passwd", "");
    CHECK(truncate(file, (off_t)1 << 40) == 0);
    check_error(oci_user_lookup(root, "root", &uid, &gid, NULL), "larger than");
    free(etc);
    free(file);
    remove_dir(root);
}

static void test_verify_non_root(void)
{
    static const struct {
        OptBool ctr, pod; OptInt user, pod_user; int64_t image_uid; const char *image_user, *error;
    } rows[] = {
        {{0}, {0}, {0}, {0}, 0, NULL, NULL},
        {{true, false}, {true, true}, {0}, {0}, 0, NULL, NULL}, /* the container's false wins */
        {{true, true},
         {0},
         {0},
         {0},
         0,
         NULL,
         "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)"},
        {{0}, {true, true}, {0}, {0}, 0, NULL, "container has runAsNonRoot and image will run as root"},
        {{true, true}, {0}, {0}, {0}, 1000, NULL, NULL},
        {{true, true},
         {0},
         {0},
         {0},
         -1,
         "app",
         "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root"},
        {{true, true}, {0}, {true, 5}, {0}, -1, "app", NULL},
        {{true, true}, {0}, {true, 0}, {true, 5}, 5, NULL, "container's runAsUser breaks non-root policy"},
        {{true, true}, {0}, {0}, {true, 5}, 0, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const SecurityContext sec = {.run_as_non_root = rows[i].ctr, .run_as_user = rows[i].user};
        const PodSecurityContext pod = {.run_as_non_root = rows[i].pod, .run_as_user = rows[i].pod_user};
        Err *e = security_verify_non_root(&sec, &pod, rows[i].image_uid, rows[i].image_user, "p_n(u)", "c");
        if (!rows[i].error) {
            CHECK_OK(e);
            continue;
        }
        CHECK(e && str_eq(e->reason, "CreateContainerConfigError"));
        check_error(e, rows[i].error);
    }
    CHECK_OK(security_verify_non_root(NULL, NULL, 0, NULL, NULL, NULL));
}

static void test_image_user(void)
{
    static const struct { const char *in; int64_t uid; const char *name;
    } rows[] = {{NULL, 0, NULL},
                {"", 0, NULL},
                {"1000", 1000, NULL},
                {"1000:5", 1000, NULL},
                {"app:5", -1, "app"},
                {":5", 0, NULL},
                {"4294967296", -1, "4294967296"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t uid;
        char *name;
        oci_image_user(rows[i].in, &uid, &name);
        CHECK_INT(uid, rows[i].uid);
        CHECK_STR(name, rows[i].name);
        free(name);
    }
}

static void test_path_clean(void)
{
    static const struct { const char *in, *out;
    } rows[] = {{"", "/"},    {"/", "/"},           {"a", "/a"},    {"/a/", "/a"},    {"//a//b/./c/..", "/a/b"},
                {"/..", "/"}, {"/a/../../b", "/b"}, {"/a/..", "/"}, {"/...", "/..."}, {"/a/b/../..", "/"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *s = path_clean(rows[i].in);
        CHECK_STR(s, rows[i].out);
        free(s);
    }
}

static void test_cap_names(void)
{
    static const struct { const char *in; int number;
    } rows[] = {{"CHOWN", 0}, {"cap_chown", 0}, {"CAP_NET_ADMIN", 12}, {"CHECKPOINT_RESTORE", 40},
                {"ALL", -1},  {"", -1},         {"CAP_", -1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_INT(cap_number(rows[i].in), rows[i].number);
    for (int i = 0; cap_name(i); i++)
        CHECK_INT(cap_number(cap_name(i)), i);
}

/* Whether some rule of <profile> allows <name> without a condition. */
static bool allows(const json_t *profile, const char *name)
{
    const json_t *rules = json_object_get(profile, "syscalls");
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *r = json_array_get(rules, i), *names = json_object_get(r, "names");
        for (size_t k = 0; k < json_array_size(names); k++) {
            if (str_eq(json_string_value(json_array_get(names, k)), name) && !json_object_get(r, "args") &&
                str_eq(json_str(r, "action"), "SCMP_ACT_ALLOW"))
                return true;
        }
    }
    return false;
}

static void test_seccomp_default(void)
{
    static const struct { const char *cap, *name; bool with, without;
    } rows[] = {
        {"CAP_SYS_ADMIN", "mount", true, false},
        {"CAP_SYS_ADMIN", "clone", true, false},
        {"CAP_SYS_ADMIN", "clone3", true, false},
        {"CAP_SYS_ADMIN", "unshare", true, false},
        {"CAP_SYS_MODULE", "init_module", true, false},
        {"CAP_SYS_BOOT", "reboot", true, false},
        {"CAP_SYS_TIME", "clock_settime", true, false},
        {"CAP_SYSLOG", "syslog", true, false},
        {"CAP_BPF", "bpf", true, false},
        {"CAP_SYS_CHROOT", "chroot", true, false},
        {"CAP_DAC_READ_SEARCH", "open_by_handle_at", true, false},
        {"CAP_CHOWN", "write", true, true},
        {"CAP_CHOWN", "keyctl", false, false},
        {"CAP_SYS_ADMIN", "kexec_load", false, false},
        {"CAP_CHOWN", "io_uring_setup", false, false},
        {"CAP_CHOWN", "socket", false, false},
        {"CAP_CHOWN", "ptrace", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        StrVec caps = {0};
        strvec_add(&caps, rows[i].cap);
        for (int with = 0; with < 2; with++) {
            json_t *p = NULL;
            CHECK_OK(oci_seccomp_default(with ? &caps : &(StrVec){0}, &p));
            CHECK_STR(json_str(p, "defaultAction"), "SCMP_ACT_ERRNO");
            if (allows(p, rows[i].name) != (with ? rows[i].with : rows[i].without))
                CHECK_STR(rows[i].name, with ? "as the table says with the capability" : "as the table says without");
            json_decref(p);
        }
        strvec_done(&caps);
    }
}

static void test_seccomp_parse(void)
{
    static const struct { const char *in, *out; /* of syscalls, or */ const char *error;
    } rows[] = {
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[]}", NULL},
        {"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"x\":1,"
         "\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\",\"comment\":\"c\",\"args\":[{\"index\":1,"
         "\"value\":2,\"op\":\"SCMP_CMP_GT\"}]}]}",
         "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
         "\"syscalls\":[{\"names\":[\"a\"],"
         "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":1,\"value\":2,\"op\":\"SCMP_CMP_GT\"}]}]}",
         NULL},
        /* docker: only rules whose conditions hold; the capability set is CAP_A */
        {"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":["
         "{\"name\":\"yes\",\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_A\"]}},"
         "{\"name\":\"no\",\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_A\",\"CAP_B\"]}},"
         "{\"name\":\"no\",\"action\":\"SCMP_ACT_ALLOW\",\"excludes\":{\"caps\":[\"CAP_B\",\"CAP_A\"]}},"
         "{\"name\":\"no\",\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"arches\":[\"pdp11\"]}},"
         "{\"name\":\"no\",\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"99.1\"}},"
         "{\"name\":\"yes2\",\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"minKernel\":\"2.6\"},\"excludes\":{\"caps\":"
         "[\"CAP_B\"]}}]}",
         "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"yes\"],\"action\":\"SCMP_ACT_ALLOW\"},"
         "{\"names\":[\"yes2\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
         NULL},
        {"[]", NULL, "not a JSON object"},
        {"{", NULL, "line 1"},
        {"{}", NULL, "profile.defaultAction: unknown action"},
        {"{\"defaultAction\":\"ALLOW\"}", NULL, "unknown action \"ALLOW\""},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":{}}", NULL, "not a list"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[1]}", NULL, "syscalls[0]: not an object"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\"}]}", NULL,
         "names is empty"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\",1],\"action\":\"SCMP_ACT_ALLOW\"}]}",
         NULL, "names[1] is not a string"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\","
         "\"args\":[{\"index\":9,\"op\":\"SCMP_CMP_EQ\"}]}]}",
         NULL, "index is not a number from 0 to 5"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\","
         "\"args\":[{\"index\":1,\"op\":\"EQ\"}]}]}",
         NULL, "known op"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":-1}", NULL, "defaultErrnoRet"},
    };
    StrVec caps = {0};
    strvec_add(&caps, "CAP_A");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *p = NULL;
        Err *e = oci_seccomp_parse(rows[i].in, strlen(rows[i].in), &caps, &p);
        if (rows[i].error) {
            check_error(e, rows[i].error);
            continue;
        }
        CHECK_OK(e);
        char *text = p ? json_text(p, false) : NULL;
        CHECK_STR(text, rows[i].out);
        free(text);
        json_decref(p);
    }
    strvec_done(&caps);
}

static void test_cdi_names(void)
{
    static const char *const good[] = {"vendor.com/class=name", "a/b=0", "v/c=a:b_c-d.e9"};
    static const char *const bad[] = {"",         "gpu",       "vendor/class", "vendor/class=", "=x",
                                      "/class=x", "vendor/=x", "1v/c=x",       "v-/c=x",        "v/c=x-",
                                      "v/c=-x",   "v/c d=x",   "v/c=x y",      "v/c/d=x",       "v:x/c=d"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CHECK(cdi_name_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (cdi_name_valid(bad[i]))
            CHECK_STR(bad[i], "an invalid name");
    }
}

#define DEVICE(kind, name, env)                                                                                        \
    "{\"cdiVersion\":\"0.6.0\",\"kind\":\"" kind "\",\"devices\":[{\"name\":\"" name                                   \
    "\",\"containerEdits\":{\"env\":[\"" env "\"]}}]}"

/* Injects <name> from <dirs> and gives the environment as "A=1 B=2", or the error's text. Caller frees. */
static char *cdi_env(const char *dirs, const char *name)
{
    json_t *spec = json_object();
    StrVec names = {0};
    strvec_add(&names, name);
    Err *e = cdi_inject(dirs, &names, spec);
    strvec_done(&names);
    Str s = {0};
    const json_t *env = json_object_get(json_object_get(spec, "process"), "env");
    for (size_t i = 0; i < json_array_size(env); i++)
        str_fmt(&s, "%s%s", i ? " " : "", json_string_value(json_array_get(env, i)));
    json_decref(spec);
    char *text = e ? err_text(e) : str_take(&s);
    str_done(&s);
    err_free(e);
    return text;
}

static void test_cdi_priority(void)
{
    char *low = tmp_dir(), *high = tmp_dir(), *dirs = mem_fmt("%s:%s:/nonexistent", low, high);
    put(low, "a.json", DEVICE("v.com/c", "one", "FROM=low"));
    put(low, "b.json", DEVICE("v.com/c", "two", "FROM=b"));
    put(low, "c.json", DEVICE("v.com/c", "two", "FROM=c"));
    put(high, "a.yaml", "cdiVersion: 0.5.0\nkind: v.com/c\ncontainerEdits:\n  env: [SPEC=1]\ndevices:\n"
                        "- name: one\n  containerEdits:\n    env:\n    - FROM=high\n");
    put(high, "ignored.txt", DEVICE("v.com/c", "three", "FROM=txt"));
    put(high, "bad.json", "{\"cdiVersion\":\"9.9\"}");
    put(high, "edits.json", DEVICE("v.com/c", "noenv", "NOVALUE"));
    static const struct { const char *name, *want; } rows[] = {
        {"v.com/c=one", "SPEC=1 FROM=high"},
        {"v.com/c=two", "unresolvable CDI devices v.com/c=two"}, /* two files of one directory */
        {"v.com/c=three", "unresolvable CDI devices v.com/c=three (passed over: "},
        {"v.com/c=noenv", "CDI device v.com/c=noenv: invalid environment variable \"NOVALUE\""},
        {"w.com/c=one", "unresolvable"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *got = cdi_env(dirs, rows[i].name);
        if (!str_starts(got, rows[i].want))
            CHECK_STR(got, rows[i].want);
        CHECK(*got);
        free(got);
    }
    free(dirs);
    remove_dir(low);
    remove_dir(high);
}

static void test_env_set(void)
{
    json_t *env = json_array();
    static const char *const in[] = {"A=1", "AB=2", "A=3", "B=", "AB=4"};
    for (size_t i = 0; i < ARRAY_LEN(in); i++)
        jenv_set(env, in[i]);
    char *text = json_text(env, false);
    CHECK_STR(text, "[\"A=3\",\"AB=4\",\"B=\"]");
    free(text);
    json_decref(env);
}

TESTS(T(test_user_lookup), T(test_hostile_user_files), T(test_verify_non_root), T(test_image_user), T(test_path_clean),
      T(test_cap_names), T(test_seccomp_default), T(test_seccomp_parse), T(test_cdi_names), T(test_cdi_priority),
      T(test_env_set))
