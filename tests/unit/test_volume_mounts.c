/* node/volume_mounts.c and node/subpath.c: what a container gets, and that it never gets more. */
#include "check.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "node/podfiles.h"
#include "node/subpath.h"
#include "os/fault.h"
#include "unit/volumes_world.h"

#define POD(containers, volumes)                                                                                       \
    "{\"metadata\":{\"name\":\"p\",\"uid\":\"u1\"},\"spec\":{\"containers\":[" containers "],\"volumes\":[" volumes "]}}"
#define EMPTY "{\"name\":\"e\",\"emptyDir\":{}}"
#define EMPTY_PATH "pods/u1/volumes/kubernetes.io~empty-dir/e"

typedef struct {
    Fixture f;
    MountList mounts;
    StrVec arena;
} Case;

static void case_init(Case *c, const char *json)
{
    *c = (Case){0};
    fixture_init(&c->f, world, json);
    fixture_config_map(&c->f, "{\"metadata\":{\"name\":\"cm\"},\"data\":{\"a\":\"1\",\"b\":\"2\"}}");
    fixture_claim(&c->f, "{\"metadata\":{\"name\":\"data\"}}");
    char ip[] = "10.0.0.2", *ips[] = {ip};
    CHECK_OK(volumes_setup(&c->f.ctx));
    CHECK_OK(podfiles_write(&c->f.ctx, ips, 1));
}

static void case_reset(Case *c)
{
    free(c->mounts.v);
    strvec_done(&c->arena);
    c->mounts = (MountList){0};
    c->arena = (StrVec){0};
}

static void case_done(Case *c)
{
    case_reset(c);
    CHECK_OK(volumes_teardown(world, "u1"));
    CHECK(no_mounts_left());
    fixture_done(&c->f);
}

/* "" or the error. */
static char *case_mounts(Case *c, uint32_t attempt)
{
    case_reset(c);
    SCOPED(strvec_done) StrVec env = {0};
    strvec_add(&env, "NAME=job-7");
    strvec_add(&env, "EMPTY=");
    strvec_add(&env, "UP=../x");
    return error_text(volumes_container_mounts(&c->f.ctx, &c->f.pod->spec.containers.v[0], &env, attempt, &c->mounts,
                                               &c->arena));
}

static const MountConfig *at(const Case *c, const char *inside)
{
    LIST_EACH(m, &c->mounts)
        if (str_eq(m->container_path, inside))
            return m;
    return NULL;
}

static char *text_below(const char *dir, const char *rel)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, rel);
    return file_text(path);
}

static void test_list(void)
{
    Case c;
    case_init(&c, POD("{\"name\":\"c\",\"terminationMessagePath\":\"/dev/termination-log\",\"volumeMounts\":["
                      "{\"name\":\"e\",\"mountPath\":\"/data/deep/e\",\"mountPropagation\":\"HostToContainer\"},"
                      "{\"name\":\"cfg\",\"mountPath\":\"/data\"},"
                      "{\"name\":\"claim\",\"mountPath\":\"/claim\"},"
                      "{\"name\":\"hp\",\"mountPath\":\"relative\",\"readOnly\":true,\"recursiveReadOnly\":\"IfPossible\"}]}",
                      EMPTY ",{\"name\":\"cfg\",\"configMap\":{\"name\":\"cm\"}},{\"name\":\"hp\",\"hostPath\":{\"path\":\"/tmp\"}},"
                      "{\"name\":\"claim\",\"persistentVolumeClaim\":{\"claimName\":\"data\",\"readOnly\":true}}"));
    SCOPED(mem_free) char *error = case_mounts(&c, 3);
    CHECK_STR(error, "");
    SCOPED(str_done) Str got = {0};
    size_t n = strlen(world);
    LIST_EACH(m, &c.mounts) {
        bool ours = strncmp(m->host_path, world, n) == 0;
        str_fmt(&got, "%s <- %s%s%s%s %s\n", m->container_path, ours ? "R" : "", m->host_path + (ours ? n : 0),
                m->read_only ? " ro" : "", m->recursive_read_only ? " rro" : "", m->propagation);
    }
    CHECK_STR(got.p, "/data <- R/pods/u1/volumes/kubernetes.io~configmap/cfg ro None\n"
                     "/claim <- R/pvc/default/data ro None\n"
                     "/relative <- /tmp ro rro None\n"
                     "/etc/hosts <- R/pods/u1/etc-hosts None\n"
                     "/etc/hostname <- R/pods/u1/hostname None\n"
                     "/etc/resolv.conf <- R/pods/u1/resolv.conf None\n"
                     "/dev/termination-log <- R/pods/u1/containers/c/3-termination None\n"
                     "/dev/shm <- R/pods/u1/shm None\n"
                     "/data/deep/e <- R/pods/u1/volumes/kubernetes.io~empty-dir/e HostToContainer\n");
    SCOPED(mem_free) char *log = volumes_termination_log(world, "u1", "c", 3);
    CHECK_INT(mode_of(log), 0666);
    /* The mount inside the read-only configMap has its mount point there. */
    SCOPED(mem_free) char *nested = in_world("pods/u1/volumes/kubernetes.io~configmap/cfg/deep/e");
    struct stat st;
    CHECK(stat(nested, &st) == 0 && S_ISDIR(st.st_mode));
    CHECK_OK(volumes_setup(&c.f.ctx)); /* and the writer leaves it alone */
    CHECK(stat(nested, &st) == 0);
    case_done(&c);
}

static void test_pod_files_give_way(void)
{
    Case c;
    case_init(&c, POD("{\"name\":\"c\",\"securityContext\":{\"readOnlyRootFilesystem\":true},\"volumeMounts\":["
                      "{\"name\":\"e\",\"mountPath\":\"/etc/hosts\"},{\"name\":\"e\",\"mountPath\":\"/dev/shm/\"}]}", EMPTY));
    SCOPED(mem_free) char *error = case_mounts(&c, 0), *dir = in_world(EMPTY_PATH);
    CHECK_STR(error, "");
    CHECK_INT(c.mounts.n, 4); /* no termination log without a path */
    CHECK_STR(at(&c, "/etc/hosts")->host_path, dir);
    CHECK_STR(at(&c, "/dev/shm/")->host_path, dir);
    CHECK(at(&c, "/etc/resolv.conf")->read_only && at(&c, "/etc/hostname")->read_only);
    case_done(&c);
}

static void test_refused(void)
{
    static const struct { const char *mount, *want; } rows[] = {
        {"{\"name\":\"zz\",\"mountPath\":\"/d\"}", "cannot find volume \"zz\" to mount into container \"c\""},
        {"{\"name\":\"e\",\"mountPath\":\"/d\",\"subPath\":\"/abs\"}", "error SubPath `/abs` must not be an absolute path"},
        {"{\"name\":\"e\",\"mountPath\":\"/d\",\"subPath\":\"a/../b\"}",
         "unable to provision SubPath `a/../b`: must not contain '..'"},
        {"{\"name\":\"e\",\"mountPath\":\"/d\",\"subPathExpr\":\"$(UP)\"}",
         "unable to provision SubPath `../x`: must not contain '..'"},
        {"{\"name\":\"e\",\"mountPath\":\"/d\",\"subPathExpr\":\"$(ZZ)/$(EMPTY)\"}", "missing value for EMPTY, ZZ"},
        {"{\"name\":\"e\",\"mountPath\":\"/d\",\"mountPropagation\":\"Odd\"}", "invalid MountPropagation mode: \"Odd\""},
        {"{\"name\":\"e\",\"mountPath\":\"/d\",\"recursiveReadOnly\":\"Enabled\"}",
         "failed to resolve recursive read-only mode: volume \"e\" requested recursive read-only mode, but it is not read-only"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *json = mem_fmt(POD("{\"name\":\"c\",\"volumeMounts\":[%s]}", EMPTY), rows[i].mount);
        Case c;
        case_init(&c, json);
        SCOPED(mem_free) char *got = case_mounts(&c, 0);
        CHECK_STR(got, rows[i].want);
        case_done(&c);
    }
}

/* --- subPath ---------------------------------------------------------------------------------------------------- */

#define SUB(fields) POD("{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/d\"," fields "}]}", EMPTY)

static void test_sub_path(void)
{
    Case c;
    case_init(&c, SUB("\"subPath\":\"x/y\""));
    SCOPED(mem_free) char *dir = in_world(EMPTY_PATH), *made = in_world(EMPTY_PATH "/x/y"), *up = in_world(EMPTY_PATH "/x");
    mode_t old = umask(077);
    SCOPED(mem_free) char *error = case_mounts(&c, 0);
    umask(old);
    CHECK_STR(error, "");
    CHECK_INT(mode_of(made), 0777); /* the volume's own, whatever the umask */
    CHECK_INT(mode_of(up), 0777);
    SCOPED(mem_free) char *want = in_world("pods/u1/subpaths/c/0/0"), *in = mem_fmt("%s/f", made);
    CHECK_STR(at(&c, "/d")->host_path, want);
    CHECK(mount_is_point(want));
    put_file(in, "through");
    SCOPED(mem_free) char *seen = text_below(want, "f");
    CHECK_STR(seen, "through");
    /* The same attempt again (a crash before it was used), and the next one. */
    SCOPED(mem_free) char *again = case_mounts(&c, 0), *next = case_mounts(&c, 1);
    CHECK_STR(again, "");
    CHECK_STR(next, "");
    SCOPED(mem_free) char *two = in_world("pods/u1/subpaths/c/1/0");
    CHECK_STR(at(&c, "/d")->host_path, two);
    CHECK_OK(volumes_container_release(world, "u1", "c"));
    CHECK(!fs_exists(want) && mount_is_point(two));
    SCOPED(mem_free) char *still = text_below(made, "f");
    CHECK_STR(still, "through");
    case_done(&c);
    CHECK_OK(volumes_container_release(world, "u1", "c")); /* nothing there any more */
    CHECK(!fs_exists(dir));
}

static void test_sub_path_of_a_file(void)
{
    Case c;
    case_init(&c, POD("{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"cfg\",\"mountPath\":\"/f\",\"subPath\":\"a\"}]}",
                      "{\"name\":\"cfg\",\"configMap\":{\"name\":\"cm\"}}"));
    SCOPED(mem_free) char *error = case_mounts(&c, 0);
    CHECK_STR(error, "");
    SCOPED(mem_free) char *text = file_text(at(&c, "/f")->host_path);
    CHECK_STR(text, "1");
    CHECK(at(&c, "/f")->read_only);
    int fd = open(at(&c, "/f")->host_path, O_WRONLY | O_CLOEXEC);
    CHECK(fd < 0 && errno == EROFS);
    fd_close(fd);
    /* An update of the volume does not reach it, as with the kubelet. */
    fixture_config_map(&c.f, "{\"metadata\":{\"name\":\"cm\"},\"data\":{\"a\":\"new\"}}");
    CHECK_OK(volumes_setup(&c.f.ctx));
    SCOPED(mem_free) char *still = file_text(at(&c, "/f")->host_path);
    CHECK_STR(still, "1");
    case_done(&c);
}

static void test_sub_path_expr(void)
{
    Case c;
    case_init(&c, SUB("\"subPathExpr\":\"logs/$(NAME)\",\"readOnly\":true"));
    SCOPED(mem_free) char *error = case_mounts(&c, 0), *dir = in_world(EMPTY_PATH "/logs/job-7"),
                          *f = in_world("pods/u1/subpaths/c/0/0/f");
    CHECK_STR(error, "");
    CHECK(fs_exists(dir));
    CHECK(open(f, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EROFS);
    case_done(&c);
}

static void test_sub_path_group(void)
{
    Case c;
    case_init(&c, "{\"metadata\":{\"name\":\"p\",\"uid\":\"u1\"},\"spec\":{\"securityContext\":{\"fsGroup\":4321},\"containers\":[{"
                  "\"name\":\"c\",\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/d\",\"subPath\":\"x/y\"}]}],\"volumes\":[" EMPTY
                  "]}}");
    SCOPED(mem_free) char *error = case_mounts(&c, 0), *dir = in_world(EMPTY_PATH "/x/y");
    CHECK_STR(error, "");
    CHECK_INT(group_of(dir), 4321);
    CHECK_INT(mode_of(dir), 02777);
    case_done(&c);
}

static void test_read_only_claim_is_not_written(void)
{
    Case c;
    case_init(&c, POD("{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/d\",\"subPath\":\"new\"}]}",
                      "{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\",\"readOnly\":true}}"));
    SCOPED(mem_free) char *error = case_mounts(&c, 0), *dir = in_world("pvc/default/data/new");
    CHECK_STR(error, "failed to create subPath directory for volumeMount \"v\" of container \"c\"");
    CHECK(!fs_exists(dir));
    case_done(&c);
}

static void test_escapes(void)
{
    SCOPED(mem_free) char *secret = in_world("host-secret"), *file = in_world("host-secret/f"), *none = in_world("no-such");
    put_dir(secret);
    put_file(file, "secret");
    SCOPED(mem_free) char *rel = mem_dup_str("../../../../../host-secret"), *proc = mem_dup_str("/proc/self/root");
    const struct { const char *to, *sub, *want; } rows[] = {
        {secret, "link", "prepare subPath"},
        {secret, "link/f", "prepare subPath"},
        {rel, "link", "prepare subPath"},
        {rel, "link/f", "prepare subPath"},
        {none, "link", "prepare subPath"},
        {"..", "link", "prepare subPath"},
        {proc, "link", "prepare subPath"},
        {"link", "link", "prepare subPath"},            /* a loop */
        {"missing", "link", "create subPath directory"}, /* dangling, inside */
        {"missing", "link/x", "create subPath directory"},
        {"../../../../../no-such/x", "link/y", "prepare subPath"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *json = mem_fmt(SUB("\"subPath\":\"%s\""), rows[i].sub);
        Case c;
        case_init(&c, json);
        SCOPED(mem_free) char *link = in_world(EMPTY_PATH "/link");
        CHECK(symlink(rows[i].to, link) == 0);
        SCOPED(mem_free) char *got = case_mounts(&c, 0),
                              *want = mem_fmt("failed to %s for volumeMount \"e\" of container \"c\"", rows[i].want);
        CHECK_STR(got, want);
        CHECK_INT(c.f.warnings.n >= 1, 1); /* the cause is for the operator */
        CHECK(!fs_exists(none));
        case_done(&c);
    }
    SCOPED(mem_free) char *text = file_text(file);
    CHECK_STR(text, "secret");
}

/* Links that stay inside are followed, as the kubelet does. */
static void test_inner_links(void)
{
    static const char *const links[] = {"real", "./real", "real/../real"};
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        Case c;
        case_init(&c, SUB("\"subPath\":\"link/new\""));
        SCOPED(mem_free) char *link = in_world(EMPTY_PATH "/link"), *real = in_world(EMPTY_PATH "/real"),
                              *made = in_world(EMPTY_PATH "/real/new");
        put_dir(real);
        CHECK(symlink(links[i], link) == 0);
        SCOPED(mem_free) char *got = case_mounts(&c, 0);
        CHECK_STR(got, "");
        CHECK(fs_exists(made));
        case_done(&c);
    }
}

/* --- the race --------------------------------------------------------------------------------------------------- */

/* Another process turns "d" from a directory of the volume into a link out of it and back, as fast as it can. */
static void flip(const char *volume, const char *outside)
{
    if (chdir(volume) < 0 || symlink(outside, "l") < 0)
        _exit(1);
    for (;;)
        (void)syscall(SYS_renameat2, AT_FDCWD, "d", AT_FDCWD, "l", 2 /* RENAME_EXCHANGE */);
}

static void test_race(void)
{
    Case c;
    case_init(&c, SUB("\"subPath\":\"d/sub\""));
    SCOPED(mem_free) char *outside = in_world("outside"), *sub = in_world("outside/sub"), *bait = in_world("outside/sub/bait"),
                          *volume = in_world(EMPTY_PATH), *dsub = in_world(EMPTY_PATH "/d/sub");
    put_dir(sub);
    put_file(bait, "outside");
    put_dir(dsub);
    pid_t pid = fork();
    if (pid == 0)
        flip(volume, outside);
    CHECK(pid > 0);
    unsigned inside = 0, refused = 0, made = 0, escaped = 0;
    for (int64_t end = os_monotonic_ns() + 3 * NS_PER_S; os_monotonic_ns() < end && (inside < 400 || refused < 400);) {
        SCOPED(mem_free) char *got = case_mounts(&c, 0);
        if (*got) {
            refused++;
            continue;
        }
        inside++;
        SCOPED(mem_free) char *seen = mem_fmt("%s/bait", at(&c, "/d")->host_path);
        escaped += fs_exists(seen);
    }
    for (int i = 0; i < 4000; i++) { /* what is made is made inside */
        SCOPED(mem_free) char *new = mem_fmt("d/sub/%d/x", i);
        SCOPED(err_free) Err *e = subpath_make_dirs(volume, new, 0755);
        made += e == NULL;
    }
    CHECK_INT(escaped, 0);
    CHECK(inside > 0 && refused > 0 && made > 0); /* else nothing raced */
    printf("# race: %u mounted inside, %u refused, %u of 4000 made\n", inside, refused, made);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    SCOPED(mem_free) char *names = names_in(sub), *text = file_text(bait);
    CHECK_STR(names, "bait");
    CHECK_STR(text, "outside");
    case_done(&c);
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

static void test_teardown_never_deletes_through_a_bind(void)
{
    SCOPED(mem_free) char *host = in_world("hostdir"), *file = in_world("hostdir/s/kept"), *dir = in_world("hostdir/s");
    put_dir(dir);
    put_file(file, "1");
    SCOPED(mem_free) char *json =
        mem_fmt(POD("{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"h\",\"mountPath\":\"/a\",\"subPath\":\"s\"},"
                    "{\"name\":\"h\",\"mountPath\":\"/b\",\"subPath\":\"s/kept\"},{\"name\":\"h\",\"mountPath\":\"/c\",\"subPath\":\"s\","
                    "\"mountPropagation\":\"Bidirectional\"}]}", "{\"name\":\"h\",\"hostPath\":{\"path\":\"%s\"}}"), host);
    Case c;
    case_init(&c, json);
    for (unsigned n = 1;; n++) { /* whatever call fails, what the hostPath holds stays */
        SCOPED(mem_free) char *error = case_mounts(&c, 0);
        CHECK_STR(error, "");
        fault_arm("", n, EBUSY);
        SCOPED(err_free) Err *e = volumes_teardown(world, "u1");
        bool hit = fault_disarm();
        SCOPED(mem_free) char *text = file_text(file);
        CHECK_STR(text, "1");
        if (!hit)
            break;
        char ip[] = "10.0.0.2", *ips[] = {ip};
        CHECK_OK(volumes_setup(&c.f.ctx));
        CHECK_OK(podfiles_write(&c.f.ctx, ips, 1));
    }
    case_done(&c);
    SCOPED(mem_free) char *text = file_text(file);
    CHECK_STR(text, "1");
}

/* A Bidirectional bind is a peer of its source: taking it off must not take the source's sub-mounts off. */
static void test_release_spares_the_peers_mounts(void)
{
    SCOPED(mem_free) char *host = in_world("peer"), *inner = in_world("peer/s/inner"), *kept = in_world("peer/s/inner/kept");
    put_dir(inner);
    SCOPED(mem_free) char *json =
        mem_fmt(POD("{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"h\",\"mountPath\":\"/c\",\"subPath\":\"s\",\"mountPropagation\":"
                    "\"Bidirectional\"}]}", "{\"name\":\"h\",\"hostPath\":{\"path\":\"%s\"}}"), host);
    Case c;
    case_init(&c, json);
    SCOPED(mem_free) char *first = case_mounts(&c, 0), *bound = in_world("pods/u1/subpaths/c/0/0/inner");
    CHECK_STR(first, "");
    CHECK(mount("tmpfs", inner, "tmpfs", 0, NULL) == 0);
    put_file(kept, "1");
    CHECK(mount_is_point(bound)); /* it did propagate */
    SCOPED(mem_free) char *second = case_mounts(&c, 1);
    CHECK_STR(second, "");
    CHECK_OK(volumes_container_release(world, "u1", "c"));
    SCOPED(mem_free) char *one = file_text(kept);
    CHECK_STR(one, "1");
    CHECK_OK(volumes_teardown(world, "u1"));
    SCOPED(mem_free) char *two = file_text(kept);
    CHECK_STR(two, "1");
    CHECK(umount(inner) == 0);
    case_done(&c);
}

static void test_devices(void)
{
    Case c;
    case_init(&c, POD("{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"n\",\"mountPath\":\"/dev/n\"},{\"name\":\"n\",\"mountPath\":\"/dev/r\","
                      "\"readOnly\":true},{\"name\":\"t\",\"mountPath\":\"/t\"},{\"name\":\"e\",\"mountPath\":\"/e\"}]}",
                      "{\"name\":\"n\",\"hostPath\":{\"path\":\"/dev/null\",\"type\":\"CharDevice\"}},"
                      "{\"name\":\"t\",\"hostPath\":{\"path\":\"/tmp\"}}," EMPTY));
    DeviceList d = {0};
    CHECK_OK(volumes_container_devices(&c.f.ctx, &c.f.pod->spec.containers.v[0], &d, &c.arena));
    CHECK_INT(d.n, 2);
    CHECK_STR(d.v[0].host_path, "/dev/null");
    CHECK_STR(d.v[0].container_path, "/dev/n");
    CHECK_STR(d.v[0].permissions, "rw");
    CHECK_STR(d.v[1].permissions, "r");
    free(d.v);
    case_done(&c);
}

static void test_termination_logs_are_kept_for_three_attempts(void)
{
    Case c;
    case_init(&c, POD("{\"name\":\"c\",\"terminationMessagePath\":\"/t\"}", EMPTY));
    SCOPED(mem_free) char *log = volumes_termination_log(world, "u1", "c", 0);
    SCOPED(mem_free) char *first = case_mounts(&c, 0);
    CHECK_STR(first, "");
    put_file(log, "bye");
    SCOPED(mem_free) char *anew = case_mounts(&c, 0), *text = file_text(log);
    CHECK_STR(anew, "");
    CHECK_STR(text, ""); /* fresh */
    for (uint32_t i = 1; i < 12; i++) {
        SCOPED(mem_free) char *error = case_mounts(&c, i);
        CHECK_STR(error, "");
        CHECK_OK(volumes_container_release(world, "u1", "c"));
    }
    SCOPED(mem_free) char *dir = in_world("pods/u1/containers/c"), *names = names_in(dir);
    CHECK_STR(names, "10-termination 11-termination 9-termination");
    case_done(&c);
}

static void test_every_call_fails_in_turn(void)
{
    Case c;
    case_init(&c, POD("{\"name\":\"c\",\"terminationMessagePath\":\"/t\",\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/d\",\"subPath\":"
                      "\"x/y\"},{\"name\":\"cfg\",\"mountPath\":\"/f\",\"subPath\":\"a\"}]}",
                      EMPTY ",{\"name\":\"cfg\",\"configMap\":{\"name\":\"cm\"}}"));
    unsigned n = 1;
    for (;; n++) {
        fault_arm("", n, EIO);
        SCOPED(mem_free) char *failed = case_mounts(&c, 0);
        bool hit = fault_disarm();
        SCOPED(mem_free) char *again = case_mounts(&c, 0);
        CHECK_STR(again, "");
        CHECK_INT(c.mounts.n, 7);
        if (!hit) {
            CHECK_STR(failed, "");
            break;
        }
    }
    CHECK(n > 12);
    case_done(&c);
}

int main(void)
{
    static const TestCase tests[] = {
        T(test_list), T(test_pod_files_give_way), T(test_refused), T(test_sub_path), T(test_sub_path_of_a_file),
        T(test_sub_path_expr), T(test_sub_path_group), T(test_read_only_claim_is_not_written), T(test_escapes),
        T(test_inner_links), T(test_race), T(test_teardown_never_deletes_through_a_bind),
        T(test_release_spares_the_peers_mounts), T(test_devices), T(test_termination_logs_are_kept_for_three_attempts),
        T(test_every_call_fails_in_turn),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!world_enter())
        return 77;
    int rc = check_main(tests, ARRAY_LEN(tests));
    world_leave();
    return rc;
}
