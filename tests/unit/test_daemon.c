/* test_daemon.c - the parts of `reprise node` that need no Pods: lines of the log, the directory of manifests, the lock, systemd's socket. */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/lock.h"
#include "daemon/log.h"
#include "daemon/sdnotify.h"
#include "daemon/static_files.h"
#include "daemon/static_pod.h"
#include "os/fs.h"

static void test_log_text(void)
{
    static const LogField fields[] = {{"pod", "ns/p"}, {"reason", NULL}, {"err", "a \"b\"=c\n"}, {"empty", ""}};
    Log l = {LOG_LOGFMT, LOG_INFO};
    SCOPED(mem_free) char *line = log_text(&l, LOG_WARN, 0, "it is so", fields, ARRAY_LEN(fields));
    CHECK_STR(line, "ts=1970-01-01T00:00:00.000000Z level=warn msg=\"it is so\" pod=ns/p err=\"a \\\"b\\\"=c\\n\" empty=\"\"");
    l.format = LOG_JSON;
    SCOPED(mem_free) char *json = log_text(&l, LOG_ERROR, 0, "m", fields, ARRAY_LEN(fields));
    CHECK_STR(json, "{\"ts\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"error\",\"msg\":\"m\",\"pod\":\"ns/p\",\"err\":\"a \\\"b\\\"=c\\n\",\"empty\":\"\"}");
}

static void test_log_rate(void)
{
    LogRate r = {0};
    uint64_t left_out;
    int64_t now = 5 * NS_PER_S;
    for (int i = 0; i < LOG_BURST; i++)
        CHECK(log_rate(&r, now, &left_out) && left_out == 0);
    for (int i = 0; i < 3; i++)
        CHECK(!log_rate(&r, now, &left_out));
    CHECK(!log_rate(&r, now + NS_PER_S / 2, &left_out));
    CHECK(log_rate(&r, now + NS_PER_S, &left_out) && left_out == 4);
    CHECK(!log_rate(&r, now + NS_PER_S, &left_out));
    CHECK(log_rate(&r, now + 3600 * NS_PER_S, &left_out) && left_out == 1);
    for (int i = 1; i < LOG_BURST; i++)
        CHECK(log_rate(&r, now + 3600 * NS_PER_S, &left_out));
    CHECK(!log_rate(&r, now + 3600 * NS_PER_S, &left_out));
}

/* --- the directory ------------------------------------------------------------------------------------------------------ */

typedef struct {
    char dir[40];
    StaticFiles files;
    Str said;
} World;

static void on_report(void *arg, const char *file, const char *text)
{
    World *w = arg;
    const char *slash = file ? strrchr(file, '/') : NULL;
    str_fmt(&w->said, "%s: %s\n", slash ? slash + 1 : "-", str_or(text, "sound"));
}

static void world_up(World *w)
{
    FeatureGates g;
    features_default(&g);
    *w = (World){.dir = "/tmp/reprise-daemon-XXXXXX"};
    CHECK(mkdtemp(w->dir) != NULL);
    static_files_init(&w->files, w->dir, "Node-1", &g);
    w->files.report = on_report;
    w->files.arg = w;
}

static void world_down(World *w)
{
    static_files_done(&w->files);
    str_done(&w->said);
    CHECK_OK(fs_remove_tree(w->dir));
}

/* Written long ago: <age> s, another one each time, as a changed file has it. */
static void put(const World *w, const char *name, const char *text, int age)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->dir, name);
    CHECK_OK(fs_write_atomic(path, text, strlen(text), 0644, false));
    struct timespec t[2] = {{.tv_sec = os_now_ns() / NS_PER_S - age}, {.tv_sec = os_now_ns() / NS_PER_S - age}};
    CHECK_INT(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void drop(const World *w, const char *name)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->dir, name);
    CHECK_INT(unlink(path), 0);
}

static bool scan(World *w, const char *said)
{
    bool changed, again;
    str_clear(&w->said);
    static_files_scan(&w->files, &changed, &again);
    CHECK(!again);
    CHECK_STR(str_or(w->said.n ? w->said.p : "", ""), said);
    return changed;
}

static size_t n_pods(const World *w)
{
    size_t n = 0;
    LIST_EACH(f, &w->files.files)
        n += f->objects.pods.n;
    return n;
}

#define POD_YAML(name, image) "apiVersion: v1\nkind: Pod\nmetadata: {name: " name "}\nspec: {containers: [{name: c, image: " image "}]}\n"
#define MAP_YAML(value) "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: " value "}\n"

static void test_directory(void)
{
    World w;
    world_up(&w);
    CHECK(!scan(&w, ""));
    put(&w, "a.yaml", POD_YAML("a", "i") MAP_YAML("from-a"), 100);
    put(&w, "b.json", "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"b\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}", 100);
    put(&w, "c.yml", POD_YAML("c", "i") MAP_YAML("from-c"), 100);
    put(&w, ".a.yaml.swp", "nonsense: [", 100);
    put(&w, "d.yaml~", "nonsense: [", 100);
    put(&w, "4913", "", 100);
    CHECK(scan(&w, ""));
    CHECK_INT(n_pods(&w), 3);
    const Pod *a = w.files.files.v[0].objects.pods.v[0];
    CHECK_STR(a->metadata.name, "a-node-1");
    CHECK_STR(a->spec.node_name, "Node-1");
    CHECK(pod_is_static(a));
    CHECK_STR(strmap_get(&a->metadata.annotations, ANNOTATION_HASH), a->metadata.uid);
    CHECK_INT(strlen(a->metadata.uid), 32);
    CHECK(static_files_pod(&w.files, a->metadata.uid) == a);
    Objects view;
    static_files_objects(&w.files, &view);
    CHECK_INT(view.config_maps.n, 1);
    CHECK_STR(view.config_maps.v[0]->data.v[0].value, "from-a"); /* the first file's */
    static_files_view_done(&view);
    CHECK(!scan(&w, "")); /* nothing new */

    SCOPED(mem_free) char *uid = mem_dup_str(a->metadata.uid);
    put(&w, "a.yaml", POD_YAML("a", "i") MAP_YAML("other"), 90); /* another ConfigMap, the same Pod */
    CHECK(scan(&w, ""));
    CHECK(static_files_pod(&w.files, uid) != NULL);
    put(&w, "a.yaml", POD_YAML("a", "j"), 80);
    CHECK(scan(&w, ""));
    CHECK(static_files_pod(&w.files, uid) == NULL);
    put(&w, "a.yaml", POD_YAML("a", "i"), 70);
    CHECK(scan(&w, ""));
    CHECK(static_files_pod(&w.files, uid) != NULL); /* the content of before: the Pod of before */
    drop(&w, "b.json");
    CHECK(scan(&w, ""));
    CHECK_INT(n_pods(&w), 2);
    world_down(&w);
}

static void test_broken_files(void)
{
    World w;
    world_up(&w);
    put(&w, "a.yaml", POD_YAML("a", "i"), 100);
    put(&w, "b.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec: {containers: [{name: c}], foo: 1}\n", 100);
    CHECK(scan(&w, "b.yaml: Pod \"b\": unknown field \"spec.foo\"\nb.yaml: Pod \"b\": spec.containers[0].image: Required value\n"));
    CHECK_INT(n_pods(&w), 1);
    CHECK_INT(static_files_broken(&w.files), 1);
    CHECK(!scan(&w, "")); /* said once */
    put(&w, "b.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec: {containers: [{name: c}]}\n", 90);
    CHECK(!scan(&w, "")); /* what is left of it was said */
    put(&w, "b.yaml", POD_YAML("b", "i"), 80);
    CHECK(scan(&w, "b.yaml: sound\n"));
    CHECK_INT(n_pods(&w), 2);
    put(&w, "a.yaml", "", 90); /* cut to nothing: what it held goes on */
    CHECK(!scan(&w, "a.yaml: the file is empty\n"));
    CHECK_INT(n_pods(&w), 2);
    put(&w, "a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\nspec: {containers: [{name: c, image: i}]}\n", 80);
    CHECK(!scan(&w, "a.yaml: Pod \"a-\": metadata.name: Required value: a static Pod needs a name of its own\n"));
    drop(&w, "a.yaml");
    CHECK(scan(&w, ""));
    CHECK_INT(n_pods(&w), 1);
    world_down(&w);
}

/* What is being written is left alone; a directory that is gone has no files; one that cannot be opened changes nothing. */
static void test_young_and_gone(void)
{
    World w;
    bool changed, again;
    world_up(&w);
    SCOPED(mem_free) char *path = mem_fmt("%s/a.yaml", w.dir);
    CHECK_OK(fs_write_atomic(path, POD_YAML("a", "i"), strlen(POD_YAML("a", "i")), 0644, false));
    static_files_scan(&w.files, &changed, &again);
    CHECK(!changed && again && n_pods(&w) == 0);
    put(&w, "a.yaml", POD_YAML("a", "i"), 50);
    CHECK(scan(&w, ""));
    SCOPED(mem_free) char *away = mem_fmt("%s.away", w.dir);
    CHECK_INT(rename(w.dir, away), 0);
    CHECK_INT(symlink(w.dir, w.dir), 0); /* ELOOP */
    str_clear(&w.said);
    static_files_scan(&w.files, &changed, &again);
    CHECK(!changed && n_pods(&w) == 1);
    CHECK(w.said.n > 0 && strstr(w.said.p, "-: open ") != NULL);
    CHECK_INT(unlink(w.dir), 0);
    CHECK(scan(&w, "-: path does not exist, ignoring\n"));
    CHECK_INT(n_pods(&w), 0);
    CHECK_INT(rename(away, w.dir), 0);
    CHECK(scan(&w, "-: sound\n"));
    CHECK_INT(n_pods(&w), 1);
    world_down(&w);
}

static void test_lock(void)
{
    char dir[] = "/tmp/reprise-lock-XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    int fd = -EBADF, other = -EBADF;
    CHECK_OK(daemon_lock(dir, &fd));
    SCOPED(err_free) Err *e = daemon_lock(dir, &other);
    CHECK(e && e->kind == ERR_EXISTS);
    SCOPED(mem_free) char *want = mem_fmt("another reprise node drives %s: process %d", dir, (int)getpid());
    CHECK_STR(e ? e->what : NULL, want);
    fd_close(fd);
    CHECK_OK(daemon_lock(dir, &fd));
    fd_close(fd);
    CHECK_OK(fs_remove_tree(dir));
}

static void test_sd_notify(void)
{
    CHECK_INT(sd_open(), -EBADF);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int n = snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "reprise-test-%d", (int)getpid());
    SCOPED(fd_close) int server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(server, (const struct sockaddr *)&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)), 0);
    SCOPED(mem_free) char *name = mem_fmt("@%s", addr.sun_path + 1);
    CHECK_INT(setenv("NOTIFY_SOCKET", name, 1), 0);
    SCOPED(fd_close) int fd = sd_open();
    CHECK(fd >= 0);
    CHECK(getenv("NOTIFY_SOCKET") == NULL);
    sd_notify_send(fd, "READY=1");
    char buf[32] = "";
    CHECK_INT(recv(server, buf, sizeof buf - 1, 0), 7);
    CHECK_STR(buf, "READY=1");
    sd_notify_send(-EBADF, "nobody");

    static const struct {
        const char *usec, *pid;
        int64_t want;
    } cases[] = {{NULL, NULL, 0}, {"2000000", NULL, NS_PER_S}, {"2000000", "1", 0}, {"x", NULL, 0}, {"0", NULL, 0}, {"-5", NULL, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].usec)
            CHECK_INT(setenv("WATCHDOG_USEC", cases[i].usec, 1), 0);
        if (cases[i].pid)
            CHECK_INT(setenv("WATCHDOG_PID", cases[i].pid, 1), 0);
        CHECK_INT(sd_watchdog_ns(), cases[i].want);
    }
}

TESTS(T(test_log_text), T(test_log_rate), T(test_directory), T(test_broken_files), T(test_young_and_gone), T(test_lock), T(test_sd_notify))
