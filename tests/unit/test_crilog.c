/* test_crilog.c - what a log shows: lines, filters, the tail; and its files as they grow and rotate. */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "apiserver/pod_log.h"
#include "loop/logread.h"
#include "os/crilog.h"
#include "os/fs.h"

#define T0 "2026-01-02T15:04:05.1Z "
#define T1 "2026-01-02T15:04:06.12+01:00 "

static const struct {
    const char *name, *log;
    const char *since;
    bool timestamps;
    int64_t limit; /* 0 = none */
    const char *want;
    bool over;
} shows[] = {
    {"lines", T0 "stdout F one\n" T0 "stderr F two\n", .want = "one\ntwo\n"},
    {"an empty line", T0 "stdout F \n", .want = "\n"},
    {"pieces of one line", T0 "stdout P on" "\n" T0 "stdout P e\n" T0 "stdout F .\n" T0 "stdout F two\n", .want = "one.\ntwo\n"},
    {"blanks in the text", T0 "stdout F  a  b \n", .want = " a  b \n"},
    {"more tags", T0 "stdout P:x on\n" T0 "stdout F:y e\n" T0 "stdout PX z\n", .want = "one\nz\n"},
    {"no newline yet", T0 "stdout F one", .want = "one"},
    {"what is no line", "garbage\n\n" T0 "stdin F no\n" "stdout F no\n2026 stdout F no\n" T0 "stdout F yes\n" T0 "stdout\n" T0 "stdout F\n",
     .want = "yes\n"},
    {"a head too long", "2026-01-02T15:04:05.11111111111111111111111111111111111111111111111111111111111111111111111111111Z stdout F no\n" T0
     "stdout F yes\n", .want = "yes\n"},
    {"stamps", T0 "stdout P on\n" T0 "stdout F e\n" T1 "stderr F two\n", .timestamps = true,
     .want = "2026-01-02T15:04:05.100000000Z one\n2026-01-02T15:04:06.120000000+01:00 two\n"},
    {"stamps without a fraction", "2026-01-02T15:04:05Z stdout F x\n", .timestamps = true, .want = "2026-01-02T15:04:05.000000000Z x\n"},
    {"since", T0 "stdout F one\n" "2026-01-02T15:04:06Z stdout F two\n", .since = "2026-01-02T15:04:06Z", .want = "two\n"},
    {"since counts zones", T1 "stdout F early\n", .since = "2026-01-02T15:04:05Z", .want = ""},
    {"limit", T0 "stdout F one\n" T0 "stdout F two\n", .limit = 6, .want = "one\ntw", .over = true},
    {"limit at a line's end", T0 "stdout F one\n" T0 "stdout F two\n", .limit = 4, .want = "one\n", .over = true},
    {"limit within a stamp", T0 "stdout F one\n", .timestamps = true, .limit = 4, .want = "2026", .over = true},
    {"limit not reached", T0 "stdout F one\n", .limit = 5, .want = "one\n"},
};

/* The same in pieces of every size. */
static void test_shows(void)
{
    for (size_t i = 0; i < ARRAY_LEN(shows); i++)
        for (size_t piece = 1; piece <= 64; piece += piece < 8 ? 1 : 28) {
            CriLog l = {.since_ns = NS_NONE, .limit = shows[i].limit ? shows[i].limit : -1, .timestamps = shows[i].timestamps};
            SCOPED(str_done) Str out = {0};
            bool more = true;
            if (shows[i].since)
                CHECK(clock_parse(shows[i].since, &l.since_ns));
            for (size_t at = 0, n = strlen(shows[i].log); at < n; at += piece)
                more = crilog_feed(&l, shows[i].log + at, n - at < piece ? n - at : piece, &out);
            if (!str_eq(str_or(out.p, ""), shows[i].want))
                fprintf(stderr, "%s, %zu at once:\n", shows[i].name, piece);
            CHECK_STR(str_or(out.p, ""), shows[i].want);
            CHECK(more == !shows[i].over);
        }
}

static void test_next_file_ends_a_line(void)
{
    CriLog l = {.since_ns = NS_NONE, .limit = -1};
    SCOPED(str_done) Str out = {0};
    CHECK(crilog_feed(&l, T0 "stdout F torn", strlen(T0 "stdout F torn"), &out));
    crilog_next_file(&l);
    CHECK(crilog_feed(&l, T0 "stdout F whole\n", strlen(T0 "stdout F whole\n"), &out));
    CHECK_STR(out.p, "tornwhole\n");
}

static void test_tail_back(void)
{
    const char *text = "a\nbb\nccc\n";
    static const struct { int64_t lines; size_t want; int64_t left; } cases[] = {{0, 9, 0}, {1, 5, 0}, {2, 2, 0}, {3, 0, 1}, {9, 0, 7}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t left = cases[i].lines;
        CHECK_INT(crilog_tail_back(text, 9, true, &left), cases[i].want);
        CHECK_INT(left, cases[i].left);
    }
    int64_t left = 1;
    CHECK_INT(crilog_tail_back("a\nb", 3, true, &left), 2); /* a line that is not whole is one */
    left = 1;
    CHECK_INT(crilog_tail_back("a\n", 2, false, &left), 2); /* not the log's end: the line behind is the one */
}

/* --- files -------------------------------------------------------------------------------------------------------- */

typedef struct {
    uv_loop_t loop;
    uv_timer_t alive;
    char dir[32], path[64];
    LogRead *read;
    Str text;
    size_t pause_at; /* pauses when so many bytes have come; 0 = never */
    unsigned files;
    bool over;
} World;

static void on_tick(uv_timer_t *t)
{
    (void)t;
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    World *w = arg;
    str_add_n(&w->text, bytes, n);
    if (w->pause_at && w->text.n >= w->pause_at)
        logread_pause(w->read, true);
}

static void on_file(void *arg)
{
    ((World *)arg)->files++;
}

static void on_over(void *arg)
{
    ((World *)arg)->over = true;
}

static void world_init(World *w)
{
    *w = (World){.dir = "/tmp/reprise-log-XXXXXX"};
    CHECK(mkdtemp(w->dir) != NULL);
    (void)snprintf(w->path, sizeof w->path, "%s/0.log", w->dir);
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->alive);
    uv_timer_start(&w->alive, on_tick, 1, 1);
}

static void open_log(World *w, int64_t tail, bool follow)
{
    static const LogReadOps ops = {on_bytes, on_file, on_over};
    const LogReadConfig c = {.loop = &w->loop, .path = w->path, .tail = tail, .since_ns = NS_NONE, .follow = follow, .ops = &ops, .arg = w};
    str_clear(&w->text);
    w->over = false;
    w->files = 0;
    Err *e = logread_new(&c, &w->read);
    CHECK(e == NULL);
}

static void close_log(World *w)
{
    logread_free(MOVE(w->read, NULL));
    uv_run(&w->loop, UV_RUN_NOWAIT);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void world_done(World *w)
{
    close_log(w);
    uv_close((uv_handle_t *)&w->alive, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    str_done(&w->text);
    Err *e = fs_remove_tree(w->dir);
    CHECK_OK(e);
}

static void append(const World *w, const char *suffix, const char *text)
{
    SCOPED(mem_free) char *path = mem_fmt("%s%s", w->path, suffix);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    fd_close(fd);
}

static void expect(World *w, const char *want, bool over)
{
    for (int i = 0; i < 500 && (w->over != over || !str_eq(str_or(w->text.p, ""), want)); i++) {
        uv_run(&w->loop, UV_RUN_NOWAIT);
        if (i > 100)
            usleep(5000);
    }
    CHECK_STR(str_or(w->text.p, ""), want);
    CHECK(w->over == over);
}

static void test_rotated_files_and_tails(void)
{
    static const struct { int64_t tail; const char *want; } cases[] = {
        {-1, "1\n2\n3\n4\n5\n"}, {0, ""}, {1, "5\n"}, {2, "4\n5\n"}, {3, "3\n4\n5\n"}, {4, "2\n3\n4\n5\n"}, {5, "1\n2\n3\n4\n5\n"}, {99, "1\n2\n3\n4\n5\n"}};
    World w;
    world_init(&w);
    append(&w, ".20260101-000001", "1\n2\n");
    append(&w, ".20260101-000002", "3\n");
    append(&w, ".20260101-000001.gz", "no\n");
    append(&w, ".20260101-000003.tmp", "no\n");
    append(&w, "", "4\n5\n");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        open_log(&w, cases[i].tail, false);
        expect(&w, cases[i].want, true);
        close_log(&w);
    }
    world_done(&w);
}

static void test_a_tail_does_not_read_all(void)
{
    World w;
    world_init(&w);
    int fd = open(w.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)1 << 40) == 0 && pwrite(fd, "\nlast\n", 6, (off_t)1 << 40) == 6); /* a hole that nobody could read in time */
    fd_close(fd);
    open_log(&w, 1, false);
    expect(&w, "last\n", true);
    world_done(&w);
}

static void test_follows_across_rotations(void)
{
    World w;
    world_init(&w);
    append(&w, "", "1\n");
    open_log(&w, -1, true);
    expect(&w, "1\n", false);
    append(&w, "", "2\n");
    expect(&w, "1\n2\n", false);
    SCOPED(mem_free) char *old = mem_fmt("%s.20260101-000001", w.path);
    SCOPED(mem_free) char *older = mem_fmt("%s.20260101-000002", w.path);
    CHECK(rename(w.path, old) == 0);
    append(&w, ".20260101-000001", "3\n"); /* by a writer that has not opened the new one yet */
    expect(&w, "1\n2\n3\n", false);
    append(&w, "", "4\n");
    CHECK(rename(w.path, older) == 0); /* twice before we look */
    append(&w, "", "5\n");
    expect(&w, "1\n2\n3\n4\n5\n", false);
    CHECK_INT(w.files, 2);
    logread_finish(w.read);
    expect(&w, "1\n2\n3\n4\n5\n", true);
    world_done(&w);
}

static void test_finishes_behind_the_last_byte(void)
{
    World w;
    world_init(&w);
    append(&w, "", "1\n");
    open_log(&w, 0, true);
    expect(&w, "", false);
    append(&w, "", "2\n");
    logread_finish(w.read);
    expect(&w, "2\n", true);
    world_done(&w);
}

static void test_pause(void)
{
    World w;
    world_init(&w);
    SCOPED(str_done) Str big = {0};
    for (int i = 0; i < 100000; i++)
        str_fmt(&big, "%d\n", i);
    append(&w, "", big.p);
    w.pause_at = 1;
    open_log(&w, -1, false);
    for (int i = 0; i < 50; i++)
        uv_run(&w.loop, UV_RUN_NOWAIT);
    CHECK(w.text.n > 0 && w.text.n <= 64 << 10);
    w.pause_at = 0;
    logread_pause(w.read, false);
    expect(&w, big.p, true);
    world_done(&w);
}

static void test_no_log(void)
{
    World w;
    world_init(&w);
    const LogReadConfig c = {.loop = &w.loop, .path = w.path, .tail = -1, .since_ns = NS_NONE};
    Err *e = logread_new(&c, &w.read);
    CHECK(e && e->kind == ERR_NOT_FOUND);
    err_free(e);
    world_done(&w);
}

/* --- whose log ---------------------------------------------------------------------------------------------------- */

#define LAST "\"lastState\": {\"terminated\": {\"containerID\": \"r://old\"}}"
static const struct { const char *status; bool previous; const char *want; /* "ATTEMPT ID", or the refusal */ } choices[] = {
    {"\"restartCount\": 2, \"containerID\": \"r://now\", \"state\": {\"running\": {}}, " LAST, false, "2 r://now"},
    {"\"restartCount\": 2, \"containerID\": \"r://now\", \"state\": {\"running\": {}}, " LAST, true, "1 r://old"},
    {"\"restartCount\": 0, \"containerID\": \"r://now\", \"state\": {\"running\": {}}", true,
     "previous terminated container \"c\" in pod \"p\" not found"},
    {"\"restartCount\": 1, \"state\": {\"terminated\": {\"containerID\": \"r://now\"}}, " LAST, false, "1 r://now"},
    {"\"restartCount\": 1, \"state\": {\"terminated\": {\"containerID\": \"r://now\"}}, " LAST, true, "0 r://old"},
    {"\"restartCount\": 1, \"state\": {\"terminated\": {}}, " LAST, false, "0 r://old"},
    {"\"restartCount\": 0, \"state\": {\"terminated\": {}}", false, "container \"c\" in pod \"p\" is terminated"},
    {"\"restartCount\": 3, \"state\": {\"waiting\": {\"reason\": \"CrashLoopBackOff\"}}, " LAST, false, "3 r://old"},
    {"\"restartCount\": 3, \"state\": {\"waiting\": {\"reason\": \"CrashLoopBackOff\"}}, " LAST, true, "3 r://old"},
    {"\"restartCount\": 0, \"state\": {\"waiting\": {\"reason\": \"ContainerCreating\"}}", false,
     "container \"c\" in pod \"p\" is waiting to start: ContainerCreating"},
    {"\"restartCount\": 0, \"state\": {\"waiting\": {\"reason\": \"PodInitializing\"}}", false,
     "container \"c\" in pod \"p\" is waiting to start: PodInitializing"},
    {"\"restartCount\": 0, \"state\": {\"waiting\": {\"reason\": \"ImagePullBackOff\"}}", false,
     "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image"},
    {"\"restartCount\": 0, \"state\": {\"waiting\": {\"reason\": \"ErrImagePull\"}}", false,
     "container \"c\" in pod \"p\" is waiting to start: image can't be pulled"},
    {"\"restartCount\": 0", false, "container \"c\" in pod \"p\" is waiting to start - no logs yet"},
};

static void test_choose(void)
{
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        SCOPED(mem_free) char *text = mem_fmt("{\"metadata\": {\"name\": \"p\"}, \"status\": {\"initContainerStatuses\": [{\"name\": \"c\", %s}]}}",
                                              choices[i].status);
        SCOPED(json_unref) json_t *pod = NULL;
        Err *e = json_parse(text, strlen(text), &pod);
        CHECK(e == NULL);
        int64_t attempt = -1;
        SCOPED(mem_free) char *id = NULL;
        SCOPED(mem_free) char *why = pod_log_choose(pod, "c", choices[i].previous, &attempt, &id);
        SCOPED(mem_free) char *got = why ? mem_dup_str(why) : mem_fmt("%lld %s", (long long)attempt, id);
        CHECK_STR(got, choices[i].want);
        SCOPED(mem_free) char *other = NULL;
        SCOPED(mem_free) char *no = pod_log_choose(pod, "other", false, &attempt, &other);
        CHECK_STR(no, "container \"other\" in pod \"p\" is not available");
    }
}

TESTS(T(test_shows), T(test_next_file_ends_a_line), T(test_tail_back), T(test_rotated_files_and_tails), T(test_a_tail_does_not_read_all),
      T(test_follows_across_rotations), T(test_finishes_behind_the_last_byte), T(test_pause), T(test_no_log), T(test_choose))
