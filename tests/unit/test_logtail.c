/* test_logtail.c - a log is followed to its last byte: torn writes, partial lines, rotation, the next attempt. */
#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/logtail.h"
#include "os/fs.h"

typedef struct {
    Str text;
    uint32_t attempt;
} Seen;

static void on_line(void *arg, const char *container, uint32_t attempt, const char *bytes, size_t n)
{
    Seen *s = arg;
    CHECK_STR(container, "c");
    s->attempt = attempt;
    str_add_n(&s->text, bytes, n);
}

static void append(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    fd_close(fd);
}

/* Turns the loop until <want> was seen: inotify tells, within 2 s. */
static void expect(uv_loop_t *loop, Seen *s, const char *want)
{
    for (int i = 0; i < 200 && !str_eq(s->text.p, want); i++) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
        (void)usleep(10000);
    }
    CHECK_STR(s->text.p, want);
    str_clear(&s->text);
}

static void on_tick(uv_timer_t *t)
{
    (void)t;
}

#define TS "2026-01-02T15:04:05.123456789Z "

static void test_follow(void)
{
    char dir[] = "/tmp/reprise-tail-XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    uv_loop_t loop;
    uv_loop_init(&loop);
    uv_timer_t alive; /* a watch alone does not keep the loop turning */
    (void)uv_timer_init(&loop, &alive);
    (void)uv_timer_start(&alive, on_tick, 1, 1);
    Seen seen = {0};
    LogTail *t = logtail_new(&loop, dir, on_line, &seen);
    logtail_follow(t, "c", 0); /* neither directory nor file is there yet */
    SCOPED(mem_free) char *log = mem_fmt("%s/c/0.log", dir);
    SCOPED(mem_free) char *rotated = mem_fmt("%s/c/0.log.20260102-150405", dir);
    SCOPED(mem_free) char *next = mem_fmt("%s/c/1.log", dir);
    append(log, TS "stdout F one\n" TS "stderr P two-");
    expect(&loop, &seen, "one\n");
    append(log, "a\n" TS "stderr F b\n" TS "stdout F \n");
    expect(&loop, &seen, "two-ab\n\n");
    append(log, "garbage without blanks\n" TS "stdout F last before rotation\n");
    CHECK(rename(log, rotated) == 0);
    append(log, TS "stdout F first after rotation\n");
    expect(&loop, &seen, "last before rotation\nfirst after rotation\n");
    append(log, TS "stdout F end of 0\n");
    append(next, TS "stdout F begin of 1\n");
    logtail_follow(t, "c", 1);
    CHECK_INT(seen.attempt, 1);
    expect(&loop, &seen, "end of 0\nbegin of 1\n");
    append(next, TS "stdout F drained\n");
    logtail_drain(t);
    CHECK_STR(seen.text.p, "drained\n");
    logtail_free(t);
    uv_close((uv_handle_t *)&alive, NULL);
    CHECK_INT(uv_run(&loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(uv_loop_close(&loop), 0);
    str_done(&seen.text);
    CHECK_OK(fs_remove_tree(dir));
}

TESTS(T(test_follow))
