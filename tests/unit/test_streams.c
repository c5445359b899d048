/* test_streams.c - bytes through descriptors on the loop, with backpressure both ways; and the fake runtime's streams. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fdio.h"
#include "os/fs.h"
#include "os/unixsock.h"
#include "runtime/fake/fake.h"

#define BIG ((size_t)8 << 20)

typedef struct {
    uv_loop_t loop;
    FdReader *reader;
    FdWriter *writer;
    Str got;
    size_t pause_at;
    unsigned drained, ended, broken, over;
    int sys;
} World;

static void on_read(void *arg, const void *bytes, size_t n, int sys)
{
    World *w = arg;
    if (!n) {
        w->over++;
        w->sys = sys;
        return;
    }
    str_add_n(&w->got, bytes, n);
    if (w->pause_at && w->got.n >= w->pause_at)
        fd_reader_pause(w->reader, true);
}

static void on_drained(void *arg)
{
    ((World *)arg)->drained++;
}

static void on_ended(void *arg)
{
    ((World *)arg)->ended++;
}

static void on_broken(void *arg)
{
    ((World *)arg)->broken++;
}

static const FdWriterOps ops = {on_drained, on_ended, on_broken};

static void turn(World *w, int times)
{
    for (int i = 0; i < times; i++)
        uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void world_done(World *w)
{
    fd_reader_free(w->reader);
    fd_writer_free(w->writer);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    str_done(&w->got);
}

static char *pattern(size_t n)
{
    char *p = mem_alloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 31 + i / 4096);
    return p;
}

static void test_a_pipe(void)
{
    World w = {0};
    int p[2];
    uv_loop_init(&w.loop);
    CHECK(pipe2(p, O_CLOEXEC) == 0);
    w.reader = fd_reader_new(&w.loop, p[0], on_read, &w);
    w.writer = fd_writer_new(&w.loop, p[1], &ops, &w);
    w.pause_at = 1;
    SCOPED(mem_free) char *bytes = pattern(BIG);
    fd_writer_write(w.writer, bytes, BIG);
    CHECK(fd_writer_queued(w.writer) > 0);
    turn(&w, 20);
    CHECK(w.got.n > 0 && w.got.n <= 64 << 10); /* paused: the rest waits with the writer */
    CHECK_INT(w.drained, 0);
    fd_writer_end(w.writer);
    w.pause_at = 0;
    fd_reader_pause(w.reader, false);
    for (int i = 0; i < 100000 && !w.over; i++)
        turn(&w, 1);
    CHECK_INT(w.got.n, BIG);
    CHECK(memcmp(w.got.p, bytes, BIG) == 0);
    CHECK_INT(w.drained, 1);
    CHECK_INT(w.ended, 1);
    CHECK_INT(w.over, 1);
    CHECK_INT(w.sys, 0);
    world_done(&w);
}

static void test_nobody_reads(void)
{
    World w = {0};
    int p[2];
    (void)signal(SIGPIPE, SIG_IGN); /* as every program of ours does */
    uv_loop_init(&w.loop);
    CHECK(pipe2(p, O_CLOEXEC) == 0);
    w.writer = fd_writer_new(&w.loop, p[1], &ops, &w);
    fd_close(p[0]);
    fd_writer_write(w.writer, "x", 1);
    CHECK_INT(w.broken, 0); /* not from within */
    turn(&w, 3);
    CHECK_INT(w.broken, 1);
    fd_writer_write(w.writer, "y", 1);
    fd_writer_end(w.writer);
    turn(&w, 3);
    CHECK_INT(w.broken, 1);
    CHECK_INT(w.ended, 0);
    CHECK_INT(fd_writer_queued(w.writer), 0);
    world_done(&w);
}

/* Each half of a socket ends by itself. */
static void test_a_socket(void)
{
    World w = {0};
    int p[2];
    char buf[8];
    uv_loop_init(&w.loop);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) == 0);
    w.reader = fd_reader_new(&w.loop, fcntl(p[0], F_DUPFD_CLOEXEC, 3), on_read, &w);
    w.writer = fd_writer_new(&w.loop, p[0], &ops, &w);
    fd_writer_write(w.writer, "out", 3);
    fd_writer_end(w.writer);
    turn(&w, 3);
    CHECK_INT(w.ended, 1);
    CHECK_INT(recv(p[1], buf, sizeof buf, 0), 3);
    CHECK_INT(recv(p[1], buf, sizeof buf, 0), 0);
    CHECK_INT(w.over, 0);
    CHECK_INT(send(p[1], "back", 4, 0), 4);
    fd_close(p[1]);
    turn(&w, 3);
    CHECK_STR(w.got.p, "back");
    CHECK_INT(w.over, 1);
    world_done(&w);
}

static void test_descriptors_over_a_socket(void)
{
    int p[2], q[2], got[2] = {-1, -1};
    size_t n = 0;
    char buf[16];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) == 0 && pipe2(q, O_CLOEXEC) == 0);
    CHECK_OK(unix_send_fds(p[0], "two", 3, q, 2));
    CHECK_INT(unix_recv_fds(p[1], buf, sizeof buf, got, 1, &n), 3); /* there is room for one: the other is closed */
    CHECK_INT(n, 1);
    CHECK(fcntl(got[0], F_GETFD) == FD_CLOEXEC);
    fd_close(q[1]);
    CHECK_INT(read(got[0], buf, 1), 0); /* nobody has the writing end any more */
    CHECK_INT(unix_recv_fds(p[1], buf, sizeof buf, got, 1, &n), -1);
    CHECK_INT(errno, EAGAIN);
    fd_close(p[0]);
    CHECK_INT(unix_recv_fds(p[1], buf, sizeof buf, got, 1, &n), 0);
    fd_close(p[1]);
    fd_close(q[0]);
    fd_close(got[0]);
}

/* --- the fake ----------------------------------------------------------------------------------------------------- */

typedef struct {
    uv_loop_t loop;
    RuntimeStream *stream;
    Str said;
} Fake;

static void on_open(void *arg)
{
    str_add(&((Fake *)arg)->said, "open ");
}

static void on_data(void *arg, RemoteStream which, const void *bytes, size_t n)
{
    Fake *f = arg;
    CHECK_INT(which, REMOTE_STDOUT);
    str_add_n(&f->said, bytes, n);
}

static void on_over(void *arg, const RemoteStatus *s)
{
    Fake *f = arg;
    str_fmt(&f->said, " over %d %d %s", (int)s->end, s->code, s->message);
    runtime_stream_close(MOVE(f->stream, NULL)); /* in a callback */
}

static void test_fake_streams(void)
{
    static const RuntimeStreamOps stream_ops = {.on_open = on_open, .on_data = on_data, .on_over = on_over};
    static const struct { const char *argv[3], *want; } cases[] = {
        {{"cat", NULL}, "open hello over 0 0 "},
        {{"exit", "3", NULL}, "open hello over 1 3 command terminated with exit code 3"},
        {{"fail", "broken", NULL}, " over 2 0 broken"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Fake f = {0};
        uv_loop_init(&f.loop);
        const RuntimeStreamConfig c = {.argv = cases[i].argv, .stdin_ = true, .stdout_ = true, .ops = &stream_ops, .arg = &f};
        f.stream = fake_stream_new(&f.loop, &c);
        runtime_stream_write(f.stream, "hello", 5);
        CHECK_INT(runtime_stream_queued(f.stream), 5);
        runtime_stream_end(f.stream);
        CHECK_INT(f.said.n, 0);
        uv_run(&f.loop, UV_RUN_DEFAULT);
        CHECK_STR(f.said.p, cases[i].want);
        CHECK_INT(uv_loop_close(&f.loop), 0);
        str_done(&f.said);
    }
}

TESTS(T(test_a_pipe), T(test_nobody_reads), T(test_a_socket), T(test_descriptors_over_a_socket), T(test_fake_streams))
