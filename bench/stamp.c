/* stamp.c - what the benchmarks run in every container: a static program whose first act is to look at the clock.
 *
 *   stamp init    writes "init start NS" and exits 0
 *   stamp main    writes "main start NS" and waits to be killed
 *   stamp watch   writes "watch start NS", waits for a byte from $STAMP_DIR/trigger, writes "watch exit NS", exits 88
 *
 * Lines go to $STAMP_DIR/log (default /stamps) with one write each. NS is CLOCK_MONOTONIC, the same clock for all. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void put(const char *dir, const char *who, const char *what, long long ns)
{
    char path[256], line[128];
    (void)snprintf(path, sizeof path, "%s/log", dir);
    int n = snprintf(line, sizeof line, "%s %s %lld\n", who, what, ns);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        _exit(70);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    long long start = now_ns();
    const char *dir = getenv("STAMP_DIR"), *who = argc > 1 ? argv[1] : "main";
    if (!dir)
        dir = "/stamps";
    put(dir, who, "start", start);
    if (strcmp(who, "init") == 0)
        return 0;
    if (strcmp(who, "watch") != 0)
        for (;;)
            (void)pause();
    char path[256], byte;
    (void)snprintf(path, sizeof path, "%s/trigger", dir);
    int fd = open(path, O_RDWR | O_CLOEXEC); /* both ways: the open does not wait for a writer */
    if (fd < 0 || read(fd, &byte, 1) != 1)
        return 70;
    put(dir, who, "exit", now_ns());
    _exit(88);
}
