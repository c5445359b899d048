/* The CNI client with plugins that run: Debian's real ones, and scripts that misbehave. Everything happens in a network
 * and mount namespace of this program's own, so the host keeps its interfaces, rules and /run. Needs root and the
 * packages containernetworking-plugins and iptables; exit 77 (skipped) without. */
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "check.h"
#include "loop/process.h"
#include "os/fs.h"
#include "runtime/oci/cni_priv.h"

#define REAL_PLUGINS "/opt/cni/bin:/usr/lib/cni"

/* --- a place to work in ------------------------------------------------------------------------------------------- */

typedef struct {
    uv_loop_t loop;
    Cni *cni;
    char *root, *conf_dir, *bin_dir, *cache_dir;
    StrVec warnings;
    unsigned pending;
    Err *err;   /* of the last answer */
    StrVec ips; /* of the last answer */
} Env;

static void on_warning(void *arg, const char *text)
{
    Env *e = arg;
    strvec_add(&e->warnings, text);
}

static void env_reopen(Env *e, const char *bin_dirs, int64_t timeout_ns)
{
    cni_close(e->cni);
    e->cni = NULL;
    CniConfig conf = {.conf_dir = e->conf_dir,
                      .bin_dirs = bin_dirs ? bin_dirs : e->bin_dir,
                      .cache_dir = e->cache_dir,
                      .on_warning = on_warning,
                      .warning_arg = e,
                      .timeout_ns = timeout_ns};
    CHECK_OK(cni_open(&e->loop, &conf, &e->cni));
}

static Env *env_new(const char *bin_dirs)
{
    Env *e = NEW(Env);
    char dir[] = "/tmp/test-cni-XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    e->root = mem_dup_str(dir);
    e->conf_dir = mem_fmt("%s/conf", dir);
    e->bin_dir = mem_fmt("%s/bin", dir);
    e->cache_dir = mem_fmt("%s/cache", dir);
    CHECK_OK(fs_mkdirs(e->conf_dir, 0755));
    CHECK_OK(fs_mkdirs(e->bin_dir, 0755));
    CHECK(uv_loop_init(&e->loop) == 0);
    env_reopen(e, bin_dirs, 0);
    return e;
}

static void env_free(Env *e)
{
    cni_close(e->cni);
    (void)uv_run(&e->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&e->loop) == 0); /* no handle is left */
    CHECK_OK(fs_remove_tree(e->root));
    free(e->root);
    free(e->conf_dir);
    free(e->bin_dir);
    free(e->cache_dir);
    strvec_done(&e->warnings);
    strvec_done(&e->ips);
    err_free(e->err);
    free(e);
}

static void put(const char *dir, const char *name, const char *text, mode_t mode)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, name);
    CHECK_OK(fs_write_atomic(path, text, strlen(text), mode, false));
}

static char *file_text(const char *dir, const char *name)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, name);
    SCOPED(str_done) Str s = {0};
    Err *e = fs_read(path, 1 << 20, &s);
    err_free(e);
    return str_take(&s);
}

static void on_done(void *arg, char *const *ips, size_t n_ips, Err *err)
{
    Env *e = arg;
    err_free(e->err);
    e->err = err;
    strvec_done(&e->ips);
    for (size_t i = 0; i < n_ips; i++)
        strvec_add(&e->ips, ips[i]);
    e->pending--;
}

/* Waits for every answer that is due. */
static void settle(Env *e)
{
    while (e->pending && uv_run(&e->loop, UV_RUN_ONCE))
        ;
    CHECK(e->pending == 0);
}

typedef Err *Verb(Cni *, const CniPod *, CniDone *, void *);
static void ask(Env *e, Verb *verb, const CniPod *pod)
{
    Err *err = verb(e->cni, pod, on_done, e);
    if (err) {
        err_free(e->err);
        e->err = err;
    } else {
        e->pending++;
    }
}

static bool call(Env *e, Verb *verb, const CniPod *pod)
{
    ask(e, verb, pod);
    settle(e);
    return e->err == NULL;
}

/* Takes the last error's text and checks that it holds <part>. */
static void expect_error(Env *e, const char *part)
{
    SCOPED(mem_free) char *text = e->err ? err_text(e->err) : mem_dup_str("no error");
    if (!strstr(text, part))
        CHECK_STR(text, part);
    CHECK(e->err != NULL);
}

static void expect_ok(Env *e)
{
    CHECK_OK(MOVE(e->err, NULL));
}

/* --- a "sandbox": a process with a network namespace -------------------------------------------------------------- */

typedef struct {
    pid_t pid;
    char path[64];
} Box;

static int lo_up(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {.ifr_name = "lo"};
    r.ifr_flags = IFF_UP;
    int rc = ioctl(fd, SIOCSIFFLAGS, &r);
    close(fd);
    return rc;
}

static Box box_new(void)
{
    int ready[2];
    CHECK(pipe2(ready, O_CLOEXEC) == 0);
    Box b = {.pid = fork()};
    if (!b.pid) {
        if (unshare(CLONE_NEWNET) || lo_up() || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char c;
    CHECK(read(ready[0], &c, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    snprintf(b.path, sizeof b.path, "/proc/%d/ns/net", b.pid);
    return b;
}

static void box_free(Box *b)
{
    CHECK(kill(b->pid, SIGKILL) == 0);
    CHECK(waitpid(b->pid, NULL, 0) == b->pid);
}

/* Runs a shell command, in the box's network if <b>; its exit code, and what it printed if <out>. */
static int sh(const Box *b, const char *command, Str *out)
{
    SCOPED(fd_close) int ns = b ? open(b->path, O_RDONLY | O_CLOEXEC) : -EBADF;
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    ProcessSpec spec = {.argv = argv, .max_output = 1 << 20, .timeout_ns = 20 * NS_PER_S, .join_ns_fd = b ? ns : -1};
    ProcessResult res = {0};
    CHECK_OK(process_run(&spec, &res));
    if (out) {
        str_clear(out);
        str_add_n(out, str_or(res.out.p, ""), res.out.n);
    }
    int code = res.exited ? res.code : -1;
    str_done(&res.out);
    str_done(&res.err);
    return code;
}

/* What networks leave on the host: links, NAT and filter rules, one line each, without those that are always there once
 * used. */
static char *traces(void)
{
    SCOPED(str_done) Str out = {0};
    (void)sh(NULL,
             "ip -o link | grep -o 'veth[0-9a-f]*'; iptables -t nat -S | grep -E 'CNI-([0-9a-f]|DN-)|id:'; "
             "iptables -S | grep -E -- '-[sd] 10\\.58'",
             &out);
    return str_take(&out);
}

static size_t leases(const Env *e)
{
    SCOPED(mem_free) char *command = mem_fmt("ls %s/leases/reprise 2>/dev/null | grep -c '^[0-9]*\\.'", e->cache_dir);
    SCOPED(str_done) Str out = {0};
    (void)sh(NULL, command, &out);
    return (size_t)strtoul(str_or(out.p, "0"), NULL, 10);
}

static CniPod pod_of(const Box *b, const char *id)
{
    return (CniPod){
        .sandbox_id = id, .netns_path = b->path, .pod_namespace = "default", .pod_name = id, .pod_uid = "uid-1"};
}

static void no_traces(const Env *e)
{
    SCOPED(mem_free) char *left = traces();
    CHECK_STR(left, "");
    CHECK_INT(leases(e), 0);
    SCOPED(strvec_done) StrVec ids = {0};
    CHECK_OK(cni_cache_ids(e->cache_dir, &ids));
    CHECK_INT(ids.n, 0);
}

/* --- the real plugins --------------------------------------------------------------------------------------------- */

static void test_real_add_check_del(void)
{
    Env *e = env_new(REAL_PLUGINS);
    Box a = box_new(), b = box_new();
    CniPod pa = pod_of(&a, "box-a"), pb = pod_of(&b, "box-b");
    CHECK(call(e, cni_add, &pa));
    expect_ok(e);
    CHECK_INT(e->ips.n, 1);
    SCOPED(mem_free) char *ip_a = mem_dup_str(e->ips.n ? e->ips.v[0] : "none");
    CHECK(str_starts(ip_a, "10.58.88."));
    CHECK(call(e, cni_add, &pa)); /* repeated: the same */
    CHECK_STR(e->ips.n ? e->ips.v[0] : NULL, ip_a);
    CHECK(call(e, cni_add, &pb));
    SCOPED(mem_free) char *ip_b = mem_dup_str(e->ips.n ? e->ips.v[0] : "none");
    CHECK(!str_eq(ip_a, ip_b));

    SCOPED(mem_free) char *there = mem_fmt("ping -c1 -W2 %s || busybox ping -c1 -W2 %s", ip_b, ip_b);
    SCOPED(mem_free) char *here = mem_fmt("ping -c1 -W2 %s || busybox ping -c1 -W2 %s", ip_a, ip_a);
    CHECK_INT(sh(&a, there, NULL), 0);  /* Pod to Pod */
    CHECK_INT(sh(NULL, here, NULL), 0); /* host to Pod, as probes go */

    CHECK(call(e, cni_check, &pa));
    expect_ok(e);
    CHECK_STR(e->ips.n ? e->ips.v[0] : NULL, ip_a);
    CHECK_INT(sh(&a, "ip addr flush dev eth0", NULL), 0);
    CHECK(!call(e, cni_check, &pa));
    expect_error(e, "plugin bridge of network reprise: CHECK: ");

    CHECK(call(e, cni_del, &pa));
    expect_ok(e);
    CHECK(call(e, cni_del, &pa)); /* repeated: nothing to do */
    CHECK(call(e, cni_del, &pb));
    CHECK(!call(e, cni_check, &pb));
    expect_error(e, "sandbox box-b is attached to no network");
    no_traces(e);
    box_free(&a);
    box_free(&b);
    env_free(e);
}

static void test_real_fd_path(void)
{
    Env *e = env_new(REAL_PLUGINS);
    Box a = box_new();
    SCOPED(fd_close) int fd = open(a.path, O_RDONLY | O_CLOEXEC);
    SCOPED(mem_free) char *path = mem_fmt("/proc/%d/fd/%d", getpid(), fd);
    CniPod p = pod_of(&a, "by-fd");
    p.netns_path = path;
    CHECK(call(e, cni_add, &p));
    expect_ok(e);
    CHECK(call(e, cni_check, &p));
    CHECK(call(e, cni_del, &p));
    expect_ok(e);
    no_traces(e);
    box_free(&a);
    env_free(e);
}

static void test_real_host_port(void)
{
    Env *e = env_new(REAL_PLUGINS);
    Box a = box_new();
    CniPod p = pod_of(&a, "with-port");
    char tcp[] = "TCP";
    PortMapping port = {.container_port = 80, .host_port = 18080, .protocol = tcp};
    p.ports = &port, p.n_ports = 1;
    p.ingress_bandwidth = "100M";
    CHECK(call(e, cni_add, &p));
    expect_ok(e);
    pid_t server = fork();
    if (!server) {
        int ns = open(a.path, O_RDONLY | O_CLOEXEC);
        if (setns(ns, CLONE_NEWNET))
            _exit(1);
        execl("/bin/busybox", "busybox", "nc", "-ll", "-p", "80", "-e", "echo", "hello from the pod", (char *)NULL);
        _exit(1);
    }
    int code = -1;
    SCOPED(str_done) Str got = {0};
    for (int i = 0; i < 50 && code; i++, usleep(50000))
        code = sh(NULL, "busybox nc -w 2 127.0.0.1 18080 < /dev/null", &got);
    CHECK_STR(str_or(got.p, ""), "hello from the pod\n");
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    Box b = box_new();
    CniPod second = pod_of(&b, "same-port");
    second.ports = &port, second.n_ports = 1;
    CHECK(!call(e, cni_add, &second));
    expect_error(e, "hostPort 18080 is in use by sandbox with-port");
    box_free(&b);
    CHECK_INT(sh(NULL, "tc qdisc show | grep -q 'tbf.*rate 100Mbit'", NULL), 0);
    CHECK(call(e, cni_check, &p));
    expect_ok(e);
    CHECK(call(e, cni_del, &p));
    expect_ok(e);
    no_traces(e);
    box_free(&a);
    env_free(e);
}

/* The agent and the sandbox die, the configuration changes; the next agent cleans up by what is on disk. */
static void test_real_crash(void)
{
    Env *e = env_new(REAL_PLUGINS);
    Box a = box_new(), b = box_new();
    CniPod pa = pod_of(&a, "dead"), pb = pod_of(&b, "alive");
    char udp[] = "UDP";
    PortMapping port = {.container_port = 53, .host_port = 18053, .protocol = udp};
    pa.ports = &port, pa.n_ports = 1;
    CHECK(call(e, cni_add, &pa));
    expect_ok(e);
    CHECK(call(e, cni_add, &pb));
    box_free(&a);
    put(e->conf_dir, "10-other.conflist",
        "{\"cniVersion\":\"1.0.0\",\"name\":\"other\",\"plugins\":[{\"type\":\"nonesuch\"}]}", 0644);
    env_reopen(e, REAL_PLUGINS, 0);
    SCOPED(strvec_done) StrVec live = {0};
    strvec_add(&live, "alive");
    e->pending++;
    CHECK_OK(cni_collect(e->cni, &live, on_done, e));
    settle(e);
    expect_ok(e);
    CHECK_INT(leases(e), 1);
    SCOPED(str_done) Str rules = {0};
    (void)sh(NULL, "iptables -t nat -S; iptables -S", &rules);
    CHECK(!strstr(str_or(rules.p, ""), "dead") && strstr(str_or(rules.p, ""), "alive"));
    CHECK(call(e, cni_check, &pb)); /* untouched */
    expect_ok(e);
    box_free(&b);
    /* DEL by the agent itself with a path whose process is gone. */
    CHECK(call(e, cni_del, &pb));
    expect_ok(e);
    no_traces(e);
    env_free(e);
}

/* A pid that is used again may name the host's namespace: its eth0 must not be taken away. */
static void test_real_reused_pid(void)
{
    Env *e = env_new(REAL_PLUGINS);
    Box a = box_new(), other = box_new();
    CniPod p = pod_of(&a, "reused");
    CHECK(call(e, cni_add, &p));
    expect_ok(e);
    box_free(&a);
    CHECK_INT(sh(&other, "ip link add eth0 type veth peer name peer0", NULL), 0);
    p.netns_path = other.path;
    CHECK(call(e, cni_del, &p));
    expect_ok(e);
    CHECK_INT(sh(&other, "ip link show eth0", NULL), 0);
    no_traces(e);
    CniPod own = p;
    own.netns_path = "/proc/self/ns/net";
    CHECK(!call(e, cni_add, &own));
    expect_error(e, "is the host's network namespace");
    own.netns_path = "/proc/0/ns/net";
    CHECK(!call(e, cni_add, &own));
    expect_error(e, "does not exist");
    box_free(&other);
    env_free(e);
}

static void test_real_full_range(void)
{
    Env *e = env_new(REAL_PLUGINS);
    Box a = box_new(), b = box_new(), c = box_new();
    SCOPED(mem_free)
    char *conf =
        mem_fmt("{\"cniVersion\":\"1.0.0\",\"name\":\"tiny\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"tiny0\","
                "\"isGateway\":true,"
                "\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s/leases\",\"ranges\":[[{\"subnet\":\"10.59.0.0/29\","
                "\"rangeStart\":\"10.59.0.2\",\"rangeEnd\":\"10.59.0.3\"}]]}}]}",
                e->cache_dir);
    put(e->conf_dir, "1.conflist", conf, 0644);
    CniPod pa = pod_of(&a, "a"), pb = pod_of(&b, "b"), pc = pod_of(&c, "c");
    CHECK(call(e, cni_add, &pa));
    CHECK(call(e, cni_add, &pb));
    CHECK(!call(e, cni_add, &pc));
    expect_error(e, "plugin bridge of network tiny: ADD: ");
    expect_error(e, "no IP addresses available");
    CHECK(sh(&c, "ip link show eth0", NULL) != 0);
    CHECK(call(e, cni_del, &pa));
    CHECK(call(e, cni_add, &pc)); /* there is room again */
    expect_ok(e);
    char tcp[] = "tcp";
    PortMapping port = {.container_port = 80, .host_port = 80, .protocol = tcp};
    pa.ports = &port, pa.n_ports = 1;
    CHECK(!call(e, cni_add, &pa));
    expect_error(e, "network tiny has no plugin for hostPort");
    CHECK(call(e, cni_del, &pb));
    CHECK(call(e, cni_del, &pc));
    no_traces(e);
    box_free(&a);
    box_free(&b);
    box_free(&c);
    env_free(e);
}

/* Two state directories do not share a bridge, or both would hand out the same address. */
static void test_two_roots(void)
{
    Env *one = env_new(REAL_PLUGINS), *two = env_new(REAL_PLUGINS);
    Box a = box_new(), b = box_new();
    CniPod pa = pod_of(&a, "a"), pb = pod_of(&b, "b");
    CHECK(call(one, cni_add, &pa));
    CHECK(call(two, cni_add, &pb));
    CHECK(one->ips.n && two->ips.n && !str_eq(one->ips.v[0], two->ips.v[0]));
    SCOPED(mem_free) char *second = mem_dup_str(two->ips.v[0]);
    CHECK(call(two, cni_del, &pb));
    env_reopen(two, REAL_PLUGINS, 0);
    CHECK(call(two, cni_add, &pb)); /* remembers its own range */
    CHECK_INT(strncmp(second, two->ips.n ? two->ips.v[0] : "", strlen("10.58.89.")), 0);
    CHECK(call(one, cni_del, &pa));
    CHECK(call(two, cni_del, &pb));
    box_free(&a);
    box_free(&b);
    env_free(one);
    env_free(two);
}

static void test_many_at_once(void)
{
    enum { N = 8 };
    Env *e = env_new(REAL_PLUGINS);
    Box box[N];
    char id[N][16];
    for (int i = 0; i < N; i++) {
        box[i] = box_new();
        snprintf(id[i], sizeof id[i], "box-%d", i);
        CniPod p = pod_of(&box[i], id[i]);
        ask(e, cni_add, &p);
        ask(e, cni_check, &p); /* queued behind its ADD */
    }
    settle(e);
    expect_ok(e);
    CHECK_INT(leases(e), N);
    for (int i = 0; i < N; i++) {
        CniPod p = pod_of(&box[i], id[i]);
        ask(e, cni_del, &p);
    }
    settle(e);
    expect_ok(e);
    no_traces(e);
    for (int i = 0; i < N; i++)
        box_free(&box[i]);
    env_free(e);
}

/* --- plugins that misbehave --------------------------------------------------------------------------------------- */

/* Each call of a scripted plugin leaves a line "<COMMAND> <plugin> <prevResult or ->" in <root>/log. */
#define NOTE                                                                                                           \
    "in=$(cat); case \"$in\" in *prevResult*) p=prev;; *) p=-;; esac; "                                                \
    "echo \"$CNI_COMMAND ${0##*/} $p $CNI_IFNAME ${CNI_NETNS:-none}\" | sed 's,/proc/.*,netns,' >> ${0%%/*}/../log\n"
static void script(Env *e, const char *name, const char *body)
{
    SCOPED(mem_free) char *text = mem_fmt("#!/bin/sh\n" NOTE "%s\n", body);
    put(e->bin_dir, name, text, 0755);
}

static Env *env_scripted(const char *second)
{
    Env *e = env_new(NULL);
    SCOPED(mem_free)
    char *conf = mem_fmt(
        "{\"cniVersion\":\"0.4.0\",\"name\":\"n\",\"plugins\":[{\"type\":\"good\"},{\"type\":\"%s\"}]}", second);
    put(e->conf_dir, "1.conflist", conf, 0644);
    script(
        e, "good",
        "[ $CNI_COMMAND = ADD ] && echo '{\"cniVersion\":\"0.4.0\",\"ips\":[{\"address\":\"10.9.9.9/24\"}]}'; exit 0");
    return e;
}

static void test_bad_plugins(void)
{
    static const struct {
        const char *name, *body, *want, *log;
    } t[] = {
        {"broken",
         "[ $CNI_COMMAND = ADD ] && { echo '{\"code\":100,\"msg\":\"no luck\",\"details\":\"at all\"}'; exit 1; }; "
         "exit 0",
         "plugin broken of network n: ADD: no luck: at all (code 100)",
         "ADD good - eth0 netns\nADD broken prev eth0 netns\nDEL broken - eth0 netns\nDEL good - eth0 netns\n"},
        {"garbage", "[ $CNI_COMMAND = ADD ] && head -c 1000 /dev/urandom; exit 0",
         "plugin garbage of network n: ADD: result",
         "ADD good - eth0 netns\nADD garbage prev eth0 netns\nDEL garbage - eth0 netns\nDEL good - eth0 netns\n"},
        {"flood", "[ $CNI_COMMAND = ADD ] && yes; exit 0", "plugin flood of network n: ADD: ", NULL},
        {"silent", "exit 0", "plugin silent of network n: ADD: result", NULL},
        {"hang", "[ $CNI_COMMAND = ADD ] && sleep 1000; exit 0",
         "plugin hang of network n: ADD: killed: no answer within 700 ms",
         "ADD good - eth0 netns\nADD hang prev eth0 netns\nDEL hang - eth0 netns\nDEL good - eth0 netns\n"},
        {"crash", "[ $CNI_COMMAND = ADD ] && kill -SEGV $$; exit 0",
         "plugin crash of network n: ADD: killed by signal 11", NULL},
        {"stderr", "[ $CNI_COMMAND = ADD ] && { echo oops >&2; exit 3; }; exit 0", "ADD: exited with 3: oops", NULL},
        {"noip", "[ $CNI_COMMAND = ADD ] && echo '{}'; exit 0", "network n gave the Pod no address", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        Env *e = env_scripted(t[i].name);
        env_reopen(e, NULL, 700 * NS_PER_MS);
        script(e, t[i].name, t[i].body);
        Box a = box_new();
        CniPod p = pod_of(&a, "x");
        CHECK(!call(e, cni_add, &p));
        expect_error(e, t[i].want);
        SCOPED(mem_free) char *log = file_text(e->root, "log");
        if (t[i].log)
            CHECK_STR(log, t[i].log);
        CHECK(call(e, cni_del, &p));
        expect_ok(e);
        no_traces(e);
        box_free(&a);
        env_free(e);
    }
}

static void test_missing_plugin(void)
{
    Env *e = env_scripted("nonesuch");
    Box a = box_new();
    CniPod p = pod_of(&a, "x");
    CHECK(!call(e, cni_add, &p));
    expect_error(e, "plugin nonesuch of network n is not in ");
    SCOPED(mem_free) char *log = file_text(e->root, "log"), *missing = NULL;
    CHECK_STR(log, ""); /* nothing was started */
    CHECK_OK(cni_check_setup(e->cni, &missing));
    CHECK(strstr(missing, "CNI plugin nonesuch is not in ") != NULL);
    p.sandbox_id = "../x";
    CHECK(!call(e, cni_add, &p));
    expect_error(e, "sandbox id \"../x\"");
    box_free(&a);
    env_free(e);
}

/* A DEL that fails keeps what is needed to try again; every plugin gets its turn in spite of it. */
static void test_failing_del(void)
{
    Env *e = env_scripted("sticky");
    script(e, "sticky",
           "[ $CNI_COMMAND = ADD ] && echo '{\"ips\":[{\"address\":\"10.9.9.8/24\"}]}'; "
           "[ $CNI_COMMAND = DEL ] && [ ! -e ${0%/*}/../let-go ] && exit 1; exit 0");
    Box a = box_new();
    CniPod p = pod_of(&a, "x");
    CHECK(call(e, cni_add, &p));
    CHECK_STR(e->ips.n ? e->ips.v[0] : NULL, "10.9.9.8");
    CHECK(call(e, cni_check, &p));
    CHECK(!call(e, cni_del, &p));
    expect_error(e, "plugin sticky of network n: DEL: exited with 1 and said nothing");
    SCOPED(mem_free) char *log = file_text(e->root, "log");
    CHECK_STR(
        log,
        "ADD good - eth0 netns\nADD sticky prev eth0 netns\nCHECK good prev eth0 netns\nCHECK sticky prev eth0 netns\n"
        "DEL sticky prev eth0 netns\nDEL good prev eth0 netns\n");
    put(e->root, "let-go", "", 0644);
    CHECK(call(e, cni_del, &p));
    expect_ok(e);
    no_traces(e);
    box_free(&a);
    env_free(e);
}

/* Closing in the middle of an ADD: no callback, no process, and the next start cleans up. */
static void test_close_midway(void)
{
    Env *e = env_scripted("slow");
    script(e, "slow", "[ $CNI_COMMAND = ADD ] && sleep 1000; exit 0");
    Box a = box_new();
    CniPod p = pod_of(&a, "x");
    ask(e, cni_add, &p);
    ask(e, cni_check, &p);
    for (int i = 0; i < 200; i++) {
        (void)uv_run(&e->loop, UV_RUN_NOWAIT);
        SCOPED(mem_free) char *log = file_text(e->root, "log");
        if (strstr(log, "ADD slow"))
            break;
        usleep(10000);
    }
    CHECK_INT(e->pending, 2);
    e->pending = 0;
    env_reopen(e, NULL, 0);
    (void)uv_run(&e->loop, UV_RUN_NOWAIT);
    StrVec none = {0};
    e->pending++;
    CHECK_OK(cni_collect(e->cni, &none, on_done, e));
    settle(e);
    expect_ok(e);
    SCOPED(mem_free) char *log = file_text(e->root, "log");
    CHECK(strstr(log, "DEL slow - eth0 none\nDEL good - eth0 none\n") != NULL);
    no_traces(e);
    box_free(&a);
    env_free(e);
}

static void test_broken_files(void)
{
    Env *e = env_scripted("good");
    Box a = box_new();
    CniPod p = pod_of(&a, "x");
    CHECK(call(e, cni_add, &p));
    SCOPED(mem_free) char *dir = mem_fmt("%s/attachments", e->cache_dir);
    put(dir, "x.json", "{\"id\":", 0600);
    CHECK(!call(e, cni_del, &p));
    expect_error(e, "is broken and was dropped");
    CHECK(call(e, cni_del, &p));
    expect_ok(e);
    put(e->conf_dir, "0.conflist", "{", 0644);
    CHECK(!call(e, cni_add, &p));
    expect_error(e, "0.conflist");
    Cni *c = NULL;
    CniConfig conf = {.conf_dir = e->conf_dir, .bin_dirs = e->bin_dir, .cache_dir = e->cache_dir};
    Err *err = cni_open(&e->loop, &conf, &c);
    CHECK(err != NULL && !c);
    err_free(err);
    box_free(&a);
    env_free(e);
}

/* Nothing is cached, or all of it lives: there is an answer all the same. */
static void test_collect_nothing(void)
{
    Env *e = env_scripted("good");
    Box a = box_new();
    CniPod p = pod_of(&a, "x");
    for (int i = 0; i < 2; i++) {
        SCOPED(strvec_done) StrVec live = {0};
        strvec_add(&live, "x");
        e->pending++;
        CHECK_OK(cni_collect(e->cni, &live, on_done, e));
        settle(e);
        expect_ok(e);
        CHECK(call(e, cni_add, &p));
    }
    CHECK(call(e, cni_del, &p));
    box_free(&a);
    env_free(e);
}

/* No iptables: Pods still get a network, and are told once what is missing; hostPorts are refused. */
static void test_no_iptables(void)
{
    static const char *const tools[] = {"/usr/sbin/iptables", "/usr/sbin/ip6tables"};
    for (size_t i = 0; i < ARRAY_LEN(tools); i++)
        CHECK(mount("/dev/null", tools[i], NULL, MS_BIND, NULL) == 0); /* seen in our mount namespace only */
    Env *e = env_new(REAL_PLUGINS);
    Box a = box_new();
    CniPod p = pod_of(&a, "plain");
    CHECK(call(e, cni_add, &p));
    expect_ok(e);
    CHECK(call(e, cni_del, &p));
    expect_ok(e);
    CHECK(call(e, cni_add, &p));
    CHECK(call(e, cni_del, &p));
    CHECK_INT(e->warnings.n, 1);
    CHECK(e->warnings.n && str_starts(e->warnings.v[0], "iptables is not installed"));
    char tcp[] = "tcp";
    PortMapping port = {.container_port = 80, .host_port = 80, .protocol = tcp};
    p.ports = &port, p.n_ports = 1;
    CHECK(!call(e, cni_add, &p));
    expect_error(e, "install the package iptables");
    box_free(&a);
    for (size_t i = 0; i < ARRAY_LEN(tools); i++)
        CHECK(umount(tools[i]) == 0);
    no_traces(e);
    env_free(e);
}

/* --- the namespace ------------------------------------------------------------------------------------------------ */

/* Before main(): the harness owns that. */
__attribute__((constructor)) static void enter_private_world(void)
{
    SCOPED(mem_free) char *bridge = cni_find_program(REAL_PLUGINS, "bridge");
    SCOPED(mem_free) char *search = cni_search_path(), *iptables = cni_find_program(search, "iptables");
    if (geteuid() || !bridge || !iptables)
        _exit(77);
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL) || lo_up()) {
        perror("private namespaces");
        _exit(77);
    }
}

TESTS(T(test_bad_plugins), T(test_missing_plugin), T(test_failing_del), T(test_close_midway), T(test_broken_files),
      T(test_collect_nothing), T(test_real_add_check_del), T(test_real_fd_path), T(test_real_host_port),
      T(test_real_crash), T(test_real_reused_pid), T(test_real_full_range), T(test_two_roots), T(test_many_at_once),
      T(test_no_iptables))
