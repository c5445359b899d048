#include "check.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "loop/process.h"
#include "os/fault.h"
#include "os/fs.h"

typedef struct {
    int calls, code;
    bool exited, timed_out;
    char *out, *err;
    size_t streamed;
} Seen;

static void on_done(void *arg, ProcessResult *res)
{
    Seen *s = arg;
    s->calls++;
    s->code = res->code;
    s->exited = res->exited;
    s->timed_out = res->timed_out;
    s->out = str_take(&res->out);
    s->err = str_take(&res->err);
}

static void on_output(void *arg, bool is_stderr, const char *bytes, size_t n)
{
    (void)bytes;
    if (!is_stderr)
        ((Seen *)arg)->streamed += n;
}

static Seen run(uv_loop_t *loop, const ProcessSpec *spec)
{
    Seen s = {0};
    CHECK_OK(process_start(loop, spec, on_done, &s, NULL));
    CHECK_INT(uv_run(loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.calls, 1);
    return s;
}

#define SH(script) (const char *const[]){"/bin/sh", "-c", script, NULL}

static void test_outcomes(void)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    Seen s = run(&loop, &(ProcessSpec){.argv = SH("cat; echo oops >&2; exit 7"), .input = "hello", .n_input = 5,
                                       .max_output = 100});
    CHECK(s.exited);
    CHECK_INT(s.code, 7);
    CHECK_STR(s.out, "hello");
    CHECK_STR(s.err, "oops\n");
    free(s.out), free(s.err);

    s = run(&loop, &(ProcessSpec){.argv = SH("kill -9 $$"), .max_output = 100});
    CHECK(!s.exited);
    CHECK_INT(s.code, 9);
    free(s.out), free(s.err);

    int64_t start = os_monotonic_ns();
    s = run(&loop, &(ProcessSpec){.argv = SH("sleep 60"), .max_output = 100, .timeout_ns = 50 * NS_PER_MS});
    CHECK(s.timed_out && !s.exited);
    CHECK(os_monotonic_ns() - start < 5 * NS_PER_S);
    free(s.out), free(s.err);

    /* More output than asked for is read and dropped, so that the program can end. */
    s = run(&loop, &(ProcessSpec){.argv = SH("head -c 300000 /dev/zero | tr '\\0' x"), .max_output = 10,
                                  .on_output = on_output});
    CHECK_STR(s.out, "xxxxxxxxxx");
    CHECK_INT(s.streamed, 300000);
    free(s.out), free(s.err);

    /* A grandchild that keeps the pipe does not keep the result. */
    start = os_monotonic_ns();
    s = run(&loop, &(ProcessSpec){.argv = SH("sleep 3 & echo x"), .max_output = 10});
    CHECK(os_monotonic_ns() - start < 2 * NS_PER_S);
    CHECK_STR(s.out, "x\n");
    free(s.out), free(s.err);

    Err *e = process_start(&loop, &(ProcessSpec){.argv = (const char *const[]){"no-such-program", NULL}}, on_done, &s,
                           NULL);
    CHECK(e && e->kind == ERR_NOT_FOUND);
    err_free(e);
    CHECK_INT(uv_loop_close(&loop), 0);
}

static void test_abandon(void)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    Seen s = {0};
    Process *p = NULL;
    CHECK_OK(process_start(&loop, &(ProcessSpec){.argv = SH("sleep 60"), .max_output = 1}, on_done, &s, &p));
    process_abandon(p);
    CHECK_INT(uv_run(&loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(s.calls, 0);
    CHECK_INT(uv_loop_close(&loop), 0);
}

static void test_blocking(void)
{
    ProcessResult r;
    CHECK_OK(process_run(&(ProcessSpec){.argv = SH("echo out; echo err >&2; exit 3"), .max_output = 100}, &r));
    CHECK(r.exited);
    CHECK_INT(r.code, 3);
    CHECK_STR(r.out.p, "out\n");
    CHECK_STR(r.err.p, "err\n");
    str_done(&r.out), str_done(&r.err);
    CHECK_OK(process_run(&(ProcessSpec){.argv = SH("sleep 60"), .max_output = 1, .timeout_ns = 20 * NS_PER_MS}, &r));
    CHECK(r.timed_out);
    str_done(&r.out), str_done(&r.err);
}

/* Whatever call fails, the file is whole: old or new, and no temporary is left. */
static void test_atomic_write(void)
{
    char dir[] = "/tmp/reprise-fs-XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    SCOPED(mem_free) char *path = mem_fmt("%s/state", dir);
    for (unsigned n = 1;; n++) {
        CHECK_OK(fs_write_atomic(path, "old", 3, 0600, true));
        fault_arm("", n, ENOSPC);
        Err *e = fs_write_atomic(path, "newer", 5, 0600, true);
        if (!fault_disarm()) {
            CHECK_OK(e);
            CHECK(n > 5); /* open, write, fsync, rename, open, fsync */
            break;
        }
        CHECK(e != NULL && err_errno(e) == ENOSPC);
        err_free(e);
        Str s = {0};
        CHECK_OK(fs_read(path, 100, &s));
        CHECK(str_eq(s.p, "old") || str_eq(s.p, "newer"));
        str_done(&s);
        SCOPED(mem_free) char *tmp = mem_fmt("%s.tmp", path);
        CHECK(!fs_exists(tmp));
    }
    struct stat st;
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    Str s = {0};
    Err *e = fs_read(path, 3, &s);
    CHECK(e && e->kind == ERR_LIMIT);
    err_free(e);
    SCOPED(mem_free) char *deep = mem_fmt("%s/a/b/c", dir);
    CHECK_OK(fs_mkdirs(deep, 0755));
    SCOPED(mem_free) char *link = mem_fmt("%s/a/link", dir);
    CHECK(symlink("/etc", link) == 0);
    CHECK_OK(fs_remove_tree(dir));
    CHECK(!fs_exists(dir) && fs_exists("/etc/passwd"));
    CHECK_OK(fs_remove_tree(dir));
}

/* The lock of one that was killed lies for a moment with the process that it was just starting. */
static void test_lock_of_the_dead(void)
{
    char dir[] = "/tmp/reprise-fs-XXXXXX", holder[FS_LOCK_HOLDER];
    CHECK(mkdtemp(dir) != NULL);
    SCOPED(mem_free) char *path = mem_fmt("%s/lock", dir);
    pid_t first = fork();
    if (first == 0) {
        int fd;
        err_free(fs_lock(path, &fd, holder));
        if (fork() == 0) {
            (void)usleep(100000);
            _exit(0);
        }
        _exit(fd >= 0 ? 0 : 1);
    }
    int status, fd = -EBADF, other = -EBADF;
    CHECK(waitpid(first, &status, 0) == first && status == 0);
    CHECK_OK(fs_lock(path, &fd, holder));
    int64_t began = os_monotonic_ns();
    SCOPED(err_free) Err *e = fs_lock(path, &other, holder); /* the living is not waited for */
    CHECK(e && e->kind == ERR_EXISTS && os_monotonic_ns() - began < 500 * NS_PER_MS);
    SCOPED(mem_free) char *me = mem_fmt("%d", (int)getpid());
    CHECK_STR(holder, me);
    fd_close(fd);
    CHECK_OK(fs_remove_tree(dir));
}

TESTS(T(test_lock_of_the_dead), T(test_outcomes), T(test_abandon), T(test_blocking), T(test_atomic_write))
