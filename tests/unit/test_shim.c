/* What of the shim needs no containers: protocol frames, the journal over torn writes, CRI log lines and rotation, cgroup
 * hosts, processes told apart. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/cgroup.h"
#include "os/fault.h"
#include "os/fs.h"
#include "os/pidfd.h"
#include "os/spawn.h"
#include "os/unixsock.h"
#include "os/podlog.h"
#include "shim/store.h"
#include "wire/shimwire.h"

static char tmp[] = "/tmp/test-shim-XXXXXX";

static char *in_tmp(const char *name)
{
    static bool made;
    if (!made)
        made = mkdtemp(tmp) != NULL;
    CHECK(made);
    return mem_fmt("%s/%s", tmp, name);
}

static char *file_text(const char *path)
{
    Str s = {0};
    Err *e = fs_read(path, 1 << 24, &s);
    err_free(e);
    return e ? NULL : str_take(&s);
}

/* --- protocol ------------------------------------------------------------------------------------------------------ */

static void test_frames(void)
{
    SCOPED(str_done) Str out = {0};
    for (int i = 0; i < 3; i++) {
        SCOPED(json_unref) json_t *m = json_pack("{s:i,s:s}", "id", i, "op", "x");
        CHECK_OK(shim_frame_put(&out, m));
    }
    /* Every cut of the stream gives either no message yet or the first one whole. */
    size_t used = 0;
    json_t *m = NULL;
    CHECK_OK(shim_frame_get(out.p, out.n, &m, &used));
    CHECK_INT(json_i64(m, "id", -1), 0);
    json_decref(m);
    for (size_t cut = 0; cut < used; cut++) {
        size_t n;
        CHECK_OK(shim_frame_get(out.p, cut, &m, &n));
        CHECK(m == NULL && n == 0);
    }
    static const struct {
        const char *bytes;
        size_t n;
        ErrKind kind;
    } bad[] = {{"\xff\xff\xff\xff", 4, ERR_LIMIT}, {"\0\0\0\2[]", 6, ERR_INVALID}, {"\0\0\0\1{", 5, ERR_INVALID},
               {"\0\0\0\0", 4, ERR_INVALID}, {"\0\0\0\15{\"a\":1,\"a\":2}", 17, ERR_INVALID}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        SCOPED(err_free) Err *e = shim_frame_get(bad[i].bytes, bad[i].n, &m, &used);
        CHECK(e && e->kind == bad[i].kind && m == NULL);
    }
    SCOPED(mem_free) char *big = mem_alloc(SHIM_WIRE_MAX + 1);
    memset(big, 'x', SHIM_WIRE_MAX);
    SCOPED(json_unref) json_t *large = json_pack("{s:s}", "x", big);
    SCOPED(err_free) Err *e = shim_frame_put(&out, large);
    CHECK(e && e->kind == ERR_LIMIT);
}

static void test_errors_travel(void)
{
    Err *e = err_reason(err_wrap(err_new(ERR_SYS, ENOSPC, "open log"), "create container \xff"), "CreateContainerError");
    SCOPED(json_unref) json_t *j = shim_error_json(e);
    Err *back = shim_error_read(j);
    SCOPED(mem_free) char *text = err_text(back);
    CHECK_STR(text, "create container \xEF\xBF\xBD: open log: No space left on device");
    CHECK_STR(back->reason, "CreateContainerError");
    CHECK_INT(back->kind, ERR_SYS);
    CHECK_INT(err_errno(back), ENOSPC);
    err_free(back);
    err_free(e);
    back = shim_error_read(NULL);
    CHECK_INT(back->kind, ERR_INVALID);
    err_free(back);
}

static void test_text_and_base64(void)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } texts[] = {{"a\0b", 3, "a\xEF\xBF\xBD" "b"}, {"\xC3\xA4", 2, "\xC3\xA4"}, {"\xC3", 1, "\xEF\xBF\xBD"},
                 {"\xED\xA0\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, {"\xF4\x8F\xBF\xBF", 4, "\xF4\x8F\xBF\xBF"},
                 {"\xC0\x80", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"}, {"", 0, ""}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        SCOPED(json_unref) json_t *j = shim_text(texts[i].in, texts[i].n);
        CHECK_STR(json_string_value(j), texts[i].out);
    }
    static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) { /* RFC 4648, section 10 */
        SCOPED(mem_free) char *b = shim_base64(pairs[i][0], strlen(pairs[i][0]));
        SCOPED(str_done) Str s = {0};
        CHECK_STR(b, pairs[i][1]);
        CHECK(shim_base64_read(b, &s));
        CHECK_STR(s.p ? s.p : "", pairs[i][0]);
    }
    static const char *const bad[] = {"Z", "Zg=", "Zg=a", "====", "Z===", "Zg==Zg==", "Zm9v!A==", "Zm\n9"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        SCOPED(str_done) Str s = {0};
        CHECK(!shim_base64_read(bad[i], &s));
    }
}

/* --- journal --------------------------------------------------------------------------------------------------------- */

static void test_store_keeps(void)
{
    SCOPED(mem_free) char *path = in_tmp("journal");
    Store s;
    size_t bad;
    CHECK_OK(store_open(&s, path, &bad));
    CHECK_OK(store_set(&s, "containers", "a", json_pack("{s:s,s:i,s:b}", "state", "created", "pid", 7, "starting", 1), STORE_NOW));
    CHECK_OK(store_set(&s, "containers", "a", json_pack("{s:s,s:n}", "state", "running", "starting"), STORE_SYNC));
    CHECK_OK(store_set(&s, "sandboxes", "b", json_pack("{s:[s]}", "ips", "10.0.0.1"), STORE_NOW));
    CHECK_OK(store_set(&s, "trash", "c", json_object(), STORE_NOW));
    CHECK_OK(store_del(&s, "trash", "c"));
    SCOPED(err_free) Err *e = store_set(&s, "nonsense", "a", json_object(), STORE_NOW);
    CHECK(e && e->kind == ERR_BUG);
    store_done(&s);

    CHECK_OK(store_open(&s, path, &bad));
    CHECK_INT(bad, 0);
    const json_t *a = store_get(&s, "containers", "a");
    CHECK_STR(json_str(a, "state"), "running");
    CHECK_INT(json_i64(a, "pid", 0), 7);
    CHECK(!json_object_get(a, "starting"));
    CHECK_INT(json_object_size(store_kind(&s, "trash")), 0);
    CHECK_INT(json_array_size(json_object_get(store_get(&s, "sandboxes", "b"), "ips")), 1);
    store_done(&s);
}

/* Cut at every byte: what was whole before the cut is all there, the torn line is as if never written. */
static void test_store_torn(void)
{
    SCOPED(mem_free) char *path = in_tmp("torn");
    Store s;
    size_t bad;
    CHECK_OK(store_open(&s, path, &bad));
    CHECK_OK(store_set(&s, "containers", "a", json_pack("{s:i}", "n", 1), STORE_SYNC));
    CHECK_OK(store_set(&s, "containers", "a", json_pack("{s:i}", "n", 2), STORE_SYNC));
    CHECK_OK(store_set(&s, "containers", "a", json_pack("{s:i}", "n", 3), STORE_SYNC));
    store_done(&s);
    SCOPED(mem_free) char *text = file_text(path);
    size_t n = strlen(text), line = n / 3;
    CHECK_INT(n % 3, 0);
    for (size_t cut = 0; cut <= n; cut++) {
        SCOPED(json_unref) json_t *doc = store_replay(text, cut, &bad);
        const json_t *a = json_object_get(json_object_get(doc, "containers"), "a");
        CHECK_INT(json_i64(a, "n", 0), cut / line);
        CHECK_INT(bad, cut % line ? 1 : 0);
    }
    /* A flipped bit is found, and what comes after is still read. */
    for (size_t i = line; i + 1 < 2 * line; i++) {
        SCOPED(mem_free) char *copy = mem_dup_str(text);
        copy[i] = (char)(copy[i] ^ 1);
        SCOPED(json_unref) json_t *doc = store_replay(copy, n, &bad);
        CHECK_INT(json_i64(json_object_get(json_object_get(doc, "containers"), "a"), "n", 0), 3);
        CHECK(bad >= 1 || copy[i] == '\n' || (copy[i] ^ 1) >= 'a'); /* hex digits of the CRC may change their case only */
    }
}

static void test_store_full_disk(void)
{
    SCOPED(mem_free) char *path = in_tmp("full");
    for (unsigned nth = 1;; nth++) {
        Store s;
        size_t bad;
        (void)unlink(path);
        CHECK_OK(store_open(&s, path, &bad));
        fault_arm("write", nth, ENOSPC);
        SCOPED(err_free) Err *first = store_set(&s, "containers", "a", json_pack("{s:i}", "code", 88), STORE_SYNC);
        SCOPED(err_free) Err *second = store_set(&s, "containers", "b", json_pack("{s:i}", "code", 1), STORE_SYNC);
        bool hit = fault_disarm();
        CHECK(!hit || first || second);
        CHECK_INT(json_i64(store_get(&s, "containers", "a"), "code", 0), 88); /* known, even when it is not on disk */
        CHECK_OK(store_set(&s, "containers", "c", json_object(), STORE_SYNC)); /* takes along what was pending */
        store_done(&s);
        CHECK_OK(store_open(&s, path, &bad));
        CHECK_INT(bad, 0);
        CHECK_INT(json_i64(store_get(&s, "containers", "a"), "code", 0), 88);
        CHECK_INT(json_i64(store_get(&s, "containers", "b"), "code", 0), 1);
        store_done(&s);
        if (!hit)
            break;
    }
}

static void test_store_compacts(void)
{
    SCOPED(mem_free) char *path = in_tmp("compact");
    Store s;
    size_t bad;
    struct stat st;
    CHECK_OK(store_open(&s, path, &bad));
    for (int i = 0; i < 20000; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "c%d", i);
        CHECK_OK(store_set(&s, "containers", id, json_pack("{s:i,s:s}", "n", i, "state", "running"), STORE_NOW));
        if (i > 0) {
            (void)snprintf(id, sizeof id, "c%d", i - 1);
            CHECK_OK(store_del(&s, "containers", id));
        }
    }
    store_done(&s);
    CHECK(stat(path, &st) == 0 && st.st_size < 1 << 20);
    CHECK_OK(store_open(&s, path, &bad));
    CHECK_INT(json_object_size(store_kind(&s, "containers")), 1);
    CHECK_INT(json_i64(store_get(&s, "containers", "c19999"), "n", 0), 19999);
    store_done(&s);
}

/* --- logs -------------------------------------------------------------------------------------------------------------- */

#define NOW INT64_C(1767366245123456789) /* 2026-01-02T15:04:05.123456789Z */
#define STAMP "2026-01-02T15:04:05.123456789Z "

static void test_log_split(void)
{
    static const struct {
        const char *in[4];
        const char *out, *rest;
    } rows[] = {
        {{"one\ntwo\n"}, STAMP "stdout F one\n" STAMP "stdout F two\n", ""},
        {{"a", "b", "c\n"}, STAMP "stdout F abc\n", ""},
        {{"\n\n"}, STAMP "stdout F \n" STAMP "stdout F \n", ""},
        {{"no end"}, "", "no end"},
        {{""}, "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(str_done) Str partial = {0}, out = {0};
        for (size_t k = 0; k < 4 && rows[i].in[k]; k++)
            podlog_split(&partial, PODLOG_STDOUT, rows[i].in[k], strlen(rows[i].in[k]), NOW, &out);
        CHECK_STR(out.p ? out.p : "", rows[i].out);
        CHECK_STR(partial.p ? partial.p : "", rows[i].rest);
    }
}

/* However the bytes arrive, the pieces put together are the line, no piece is longer than a chunk, and a line of exactly one
 * chunk is one piece. */
static void test_log_long_lines(void)
{
    static const size_t lengths[] = {0, 1, PODLOG_CHUNK - 1, PODLOG_CHUNK, PODLOG_CHUNK + 1, 2 * PODLOG_CHUNK,
                                     3 * PODLOG_CHUNK + 7};
    static const size_t steps[] = {1, 7, 4096, PODLOG_CHUNK, 1 << 20};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
            size_t n = lengths[i] + 1, pieces = 0, content = 0;
            SCOPED(mem_free) char *line = mem_alloc(n + 1);
            memset(line, 'x', n);
            line[n - 1] = '\n';
            SCOPED(str_done) Str partial = {0}, out = {0};
            for (size_t at = 0; at < n; at += steps[k])
                podlog_split(&partial, PODLOG_STDERR, line + at, n - at < steps[k] ? n - at : steps[k], NOW, &out);
            size_t head = strlen(STAMP "stderr F ");
            for (char *save = NULL, *l = strtok_r(out.p, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
                CHECK(strlen(l) - head <= PODLOG_CHUNK);
                content += strlen(l) - head;
                pieces++;
            }
            CHECK_INT(partial.n, 0);
            CHECK_INT(content, lengths[i]);
            CHECK_INT(pieces, lengths[i] == 0 ? 1 : (lengths[i] + PODLOG_CHUNK - 1) / PODLOG_CHUNK);
        }
}

static size_t count_files(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d)
        (void)closedir(d);
    return n;
}

static void test_log_rotation(void)
{
    SCOPED(mem_free) char *dir = in_tmp("logs/main");
    SCOPED(mem_free) char *path = mem_fmt("%s/0.log", dir);
    SCOPED(mem_free) char *first = mem_fmt("%s/0.log.20260102-150405", dir);
    SCOPED(mem_free) char *second = mem_fmt("%s/0.log.20260102-150406", dir);
    PodLog l;
    CHECK_OK(podlog_open(&l, path, 100, 3));
    podlog_write(&l, PODLOG_STDOUT, "first\n", 6, NOW);
    podlog_write(&l, PODLOG_STDOUT, "0123456789012345678901234567890123456789\n", 41, NOW);
    podlog_write(&l, PODLOG_STDOUT, "third\n", 6, NOW); /* the same second: its label moves on */
    SCOPED(mem_free) char *old = file_text(first);
    CHECK_STR(old, STAMP "stdout F first\n");
    CHECK(fs_exists(second));
    for (int i = 0; i < 20; i++)
        podlog_write(&l, PODLOG_STDOUT, "0123456789012345678901234567890123456789\n", 41, NOW + i * NS_PER_S);
    CHECK_INT(count_files(dir), 3);
    CHECK(!fs_exists(first));
    podlog_write(&l, PODLOG_STDERR, "end", 3, NOW);
    podlog_end(&l, PODLOG_STDERR, NOW);
    podlog_close(&l);
    SCOPED(mem_free) char *now = file_text(path);
    CHECK(str_ends(now, "stderr F end\n"));
}

static void test_log_full_disk(void)
{
    SCOPED(mem_free) char *path = in_tmp("full.log");
    PodLog l;
    CHECK_OK(podlog_open(&l, path, 0, 5));
    podlog_write(&l, PODLOG_STDOUT, "before\n", 7, NOW);
    fault_arm("write", 1, ENOSPC);
    podlog_write(&l, PODLOG_STDOUT, "lost\n", 5, NOW);
    CHECK(fault_disarm());
    CHECK(podlog_take_warning(&l) && !podlog_take_warning(&l));
    CHECK(l.dropped > 0);
    podlog_write(&l, PODLOG_STDOUT, "after\n", 6, NOW);
    podlog_close(&l);
    SCOPED(mem_free) char *text = file_text(path);
    CHECK_STR(text, STAMP "stdout F before\n" STAMP "stdout F after\n");
}

static void test_log_tail(void)
{
    static const struct {
        const char *in;
        size_t lines, bytes;
        const char *out;
    } rows[] = {
        {STAMP "stdout F a\n" STAMP "stderr F b\n", 80, 2048, "a\nb\n"},
        {STAMP "stdout F a\n" STAMP "stderr F b\n" STAMP "stdout F c\n", 2, 2048, "b\nc\n"},
        {STAMP "stdout P a\n" STAMP "stdout F b\n", 80, 2048, "ab\n"},
        {STAMP "stdout F abcdef\n", 80, 4, "def\n"},
        {"garbage\n" STAMP "stdout F x\nno\nz", 80, 2048, "x\n"},
        {"", 80, 2048, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = podlog_tail_text(rows[i].in, strlen(rows[i].in), rows[i].lines, rows[i].bytes);
        CHECK_STR(got, rows[i].out);
    }
    SCOPED(mem_free) char *none = podlog_tail("/nonexistent");
    CHECK_STR(none, "");
}

/* --- os ------------------------------------------------------------------------------------------------------------------ */

static void mkdir_at(const char *root, const char *path)
{
    SCOPED(mem_free) char *p = mem_fmt("%s%s", root, path);
    CHECK_OK(fs_mkdirs(p, 0755));
}

static void write_at(const char *root, const char *path, const char *text)
{
    SCOPED(mem_free) char *p = mem_fmt("%s%s", root, path);
    CHECK_OK(fs_write_atomic(p, text, strlen(text), 0644, false));
}

#define MOUNT(at, type, options) "30 20 0:1 / " at " rw - " type " x " options "\n"

static void test_cgroup_hosts(void)
{
    SCOPED(mem_free) char *root = in_tmp("cg");
    mkdir_at(root, "/sys/fs/cgroup/unified");
    write_at(root, "/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
    write_at(root, "/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    static const struct {
        const char *mounts;
        CgroupMode mode;
        bool hide;
        size_t n;
    } rows[] = {
        {MOUNT("/sys/fs/cgroup", "cgroup2", "rw"), CGROUP_V2, false, 1},
        {MOUNT("/sys/fs/cgroup/memory", "cgroup", "rw,memory") MOUNT("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
         CGROUP_V1, false, 2},
        {MOUNT("/sys/fs/cgroup/memory", "cgroup", "rw,memory") MOUNT("/sys/fs/cgroup/unified", "cgroup2", "rw"), CGROUP_HYBRID, true,
         2},
        {"1 2 0:1 / / rw - ext4 /dev/sda rw\n" MOUNT("/elsewhere", "cgroup", "rw,memory") MOUNT("/sys/fs/cgroup", "cgroup2", "rw")
             MOUNT("/sys/fs/cgroup", "cgroup2", "rw"),
         CGROUP_V2, false, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(cgroup_host_done) CgroupHost h = {0};
        CHECK_OK(cgroup_probe_text(rows[i].mounts, root, &h));
        CHECK_INT(h.mode, rows[i].mode);
        CHECK_INT(h.unified_has_controllers, rows[i].hide);
        CHECK_INT(h.n, rows[i].n);
    }
    CgroupHost h = {0};
    SCOPED(err_free) Err *e = cgroup_probe_text("1 2 0:1 / / rw - ext4 /dev/sda rw\n", root, &h);
    CHECK(e && e->kind == ERR_UNSUPPORTED);
}

/* The files that a limit writes, in directories that play cgroups. */
static int64_t oom_kills(const CgroupHost *h, const char *path)
{
    SCOPED(fd_close) int fd = cgroup_oom_open(h, path);
    return cgroup_oom_read(fd);
}

static void test_cgroup_limits(void)
{
    SCOPED(mem_free) char *root = in_tmp("cg-limits");
    SCOPED(cgroup_host_done) CgroupHost h = {0};
    mkdir_at(root, "/sys/fs/cgroup/reprise/pod1");
    write_at(root, "/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    static const char *const files[] = {"cpu.weight", "cpu.max", "memory.max"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        SCOPED(mem_free) char *f = mem_fmt("/sys/fs/cgroup/reprise/pod1/%s", files[i]);
        write_at(root, f, "");
    }
    CHECK_OK(cgroup_probe_text(MOUNT("/sys/fs/cgroup", "cgroup2", "rw"), root, &h));
    CgroupLimits l = {.cpu_shares = 1024, .cpu_quota_us = 50000, .memory_limit_bytes = 1 << 20};
    CHECK_OK(cgroup_make(&h, "/reprise/pod1", &l));
    static const char *const want[] = {"39", "50000 100000", "1048576"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        SCOPED(mem_free) char *f = mem_fmt("%s/sys/fs/cgroup/reprise/pod1/%s", root, files[i]);
        SCOPED(mem_free) char *text = file_text(f);
        CHECK_STR(text, want[i]);
    }
    l.pids_limit = 5;
    SCOPED(err_free) Err *e = cgroup_make(&h, "/reprise/pod1", &l);
    CHECK(e && e->kind == ERR_UNSUPPORTED && strstr(e->what, "\"pids\""));
    write_at(root, "/sys/fs/cgroup/reprise/pod1/memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 9\n");
    CHECK_INT(oom_kills(&h, "/reprise/pod1"), 2);
    CHECK_INT(oom_kills(&h, "/reprise/none"), 0);
}

static int run_and_wait(const char *script, const SpawnSpec *base)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    SpawnSpec s = *base;
    s.argv = argv;
    pid_t pid;
    CHECK_OK(spawn(&s, &pid, NULL));
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void test_spawn(void)
{
    int p[2];
    CHECK(pipe2(p, O_CLOEXEC) == 0);
    /* Sources and targets overlap on purpose: 5 <- read end, 0 <- write end; everything else is closed. */
    const SpawnFd fds[] = {{5, p[0]}, {0, p[1]}, {7, p[1]}};
    SpawnSpec base = {.fds = fds, .n_fds = 3, .cwd = "/tmp", .new_session = true};
    (void)signal(SIGUSR1, SIG_IGN);
    CHECK_INT(run_and_wait("echo hi >&7; read x <&5; [ \"$x\" = hi ] && [ -w /proc/self/fd/0 ] && "
                           "[ \"$(echo /proc/self/fd/*)\" = \"/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3 "
                           "/proc/self/fd/5 /proc/self/fd/7\" -o -d /proc/self/fd ] && [ \"$PWD\" = /tmp ] && exit 3", &base), 3);
    CHECK_INT(run_and_wait("kill -USR1 $$; exit 4", &(SpawnSpec){0}), 128 + SIGUSR1); /* not ignored in the child */
    (void)signal(SIGUSR1, SIG_DFL);
    (void)close(p[0]);
    (void)close(p[1]);

    static const struct {
        const char *argv0, *cwd, *text;
        ErrKind kind;
    } bad[] = {
        {"no-such-program", NULL, "exec: \"no-such-program\": executable file not found in $PATH", ERR_NOT_FOUND},
        {"/no/such", NULL, "spawn /no/such: exec /no/such: No such file or directory", ERR_NOT_FOUND},
        {"/etc/passwd", NULL, "spawn /etc/passwd: exec /etc/passwd: Permission denied", ERR_SYS},
        {"/bin/sh", "/no/such", "spawn /bin/sh: change directory to /no/such: No such file or directory", ERR_SYS},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *argv[] = {bad[i].argv0, NULL};
        SCOPED(err_free) Err *e = spawn(&(SpawnSpec){.argv = argv, .cwd = bad[i].cwd}, NULL, NULL);
        CHECK(e && e->kind == bad[i].kind);
        SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
        CHECK_STR(text, bad[i].text);
    }
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* what failed was reaped */
}

static void test_pidfd(void)
{
    const char *argv[] = {"sh", "-c", "exit 42", NULL};
    pid_t pid;
    SCOPED(fd_close) int mine = -EBADF, fd = -EBADF;
    CHECK_OK(spawn(&(SpawnSpec){.argv = argv}, &pid, &mine));
    int64_t start = proc_start_ticks(pid);
    CHECK(start > 0);
    CHECK_OK(pidfd_of(pid, start, &fd));
    for (int i = 0; i < 1000 && pidfd_alive(fd); i++)
        (void)usleep(1000);
    CHECK(!pidfd_alive(fd));
    int status = 0;
    CHECK(pidfd_wait_status(fd, pid, start, &status) && WIFEXITED(status) && WEXITSTATUS(status) == 42); /* its zombie tells */
    int other = -EBADF;
    SCOPED(err_free) Err *reused = pidfd_of(pid, start + 1, &other);
    CHECK(reused && reused->kind == ERR_NOT_FOUND && other < 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(proc_start_ticks(pid), -1);
    CHECK(pidfd_kill(fd, SIGKILL)); /* gone is done */
    SCOPED(err_free) Err *gone = pidfd_of(pid, start, &other);
    CHECK(gone && gone->kind == ERR_NOT_FOUND);
    if (pidfd_wait_status(fd, pid, start, &status)) /* Linux 6.15: the pidfd tells even now */
        CHECK(WEXITSTATUS(status) == 42);
}

static void test_unixsock(void)
{
    SCOPED(mem_free) char *deep = in_tmp("a-directory-whose-name-is-long/and-one-more-below-it-that-is-long-too/"
                                         "until-the-path-does-not-fit-into-sun-path-any-more");
    SCOPED(mem_free) char *path = mem_fmt("%s/shim.sock", deep);
    CHECK(strlen(path) > 107);
    CHECK_OK(fs_mkdirs(deep, 0755));
    int fd = -EBADF, conn = -EBADF;
    SCOPED(err_free) Err *none = unix_connect(path, &conn);
    CHECK(none && none->kind == ERR_NOT_FOUND);
    CHECK_OK(unix_listen(path, &fd));
    struct stat st;
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK_OK(unix_connect(path, &conn));
    fd_close(conn);
    fd_close(fd);
    SCOPED(err_free) Err *dead = unix_connect(path, &conn);
    CHECK(dead && dead->kind == ERR_UNAVAILABLE);
    CHECK_OK(unix_listen(path, &fd)); /* what the dead left is replaced */
    fd_close(fd);
}

static void test_clean_up(void)
{
    CHECK_OK(fs_remove_tree(tmp));
}

TESTS(T(test_frames), T(test_errors_travel), T(test_text_and_base64), T(test_store_keeps), T(test_store_torn),
      T(test_store_full_disk), T(test_store_compacts), T(test_log_split), T(test_log_long_lines), T(test_log_rotation),
      T(test_log_full_disk), T(test_log_tail), T(test_cgroup_hosts), T(test_cgroup_limits), T(test_spawn), T(test_pidfd),
      T(test_unixsock), T(test_clean_up))
