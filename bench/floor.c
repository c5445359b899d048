/* floor.c - the bare floor of a restart: what the kernel alone takes to start the same three programs.
 *
 *   floor ROOTFS RUNS IDLE_MS     ROOTFS holds /bin/stamp, /stamps and /old
 *
 * Each run, after IDLE_MS of idleness: one clone into new mount, pid, ipc and uts namespaces and a network namespace that
 * was prepared (as a Pod's is kept), pivot_root into ROOTFS, exec of `stamp init`; when it has ended, `stamp watch` and
 * `stamp main` the same way, both at once. Prints a line a run: nanoseconds from before the first clone to main's first
 * look at the clock. With "spawn" as a fourth argument: plain posix_spawn of the three, no namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *rootfs;
static int netns_fd;

static long long now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

static int child(void *arg)
{
    const char *who = arg;
    if (setns(netns_fd, CLONE_NEWNET) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(rootfs) < 0 ||
        syscall(SYS_pivot_root, ".", "old") < 0 || umount2("/old", MNT_DETACH) < 0)
        die("enter container");
    (void)execl("/bin/stamp", "stamp", who, (char *)NULL);
    die("exec /bin/stamp");
    return 1;
}

static pid_t start(const char *who, int plain)
{
    static char stacks[3][65536] __attribute__((aligned(16)));
    static int turn;
    if (plain) {
        char program[4096], dir[4096];
        (void)snprintf(program, sizeof program, "%s/bin/stamp", rootfs);
        (void)snprintf(dir, sizeof dir, "STAMP_DIR=%s/stamps", rootfs);
        char *argv[] = {program, strdup(who), NULL}, *envp[] = {dir, NULL};
        pid_t pid;
        if (posix_spawn(&pid, program, NULL, NULL, argv, envp) != 0)
            die("posix_spawn");
        return pid;
    }
    char *stack = stacks[turn++ % 3];
    pid_t pid = clone(child, stack + sizeof stacks[0],
                      CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD,
                      (void *)(size_t)who);
    if (pid < 0)
        die("clone");
    return pid;
}

/* NS of the last line of "<who> start" in the log, which was emptied before the run; 0 = not there yet. */
static long long stamp_of(const char *log, const char *who)
{
    char text[4096], *p;
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    char key[32];
    (void)snprintf(key, sizeof key, "%s start ", who);
    p = strstr(text, key);
    return p && strchr(p, '\n') ? atoll(p + strlen(key)) : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        (void)fprintf(stderr, "usage: floor ROOTFS RUNS IDLE_MS [spawn]\n");
        return 2;
    }
    rootfs = argv[1];
    int runs = atoi(argv[2]), idle_ms = atoi(argv[3]), plain = argc > 4;
    char log[4096];
    (void)snprintf(log, sizeof log, "%s/stamps/log", rootfs);
    int host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (host < 0 || unshare(CLONE_NEWNET) < 0)
        die("new network namespace");
    netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (netns_fd < 0 || setns(host, CLONE_NEWNET) < 0)
        die("keep network namespace");
    for (int i = 0; i < runs; i++) {
        (void)unlink(log);
        struct timespec idle = {idle_ms / 1000, (long)(idle_ms % 1000) * 1000000L};
        (void)nanosleep(&idle, NULL);
        long long t0 = now_ns(), t1 = 0;
        pid_t init = start("init", plain);
        if (waitpid(init, NULL, 0) != init)
            die("waitpid");
        pid_t watch = start("watch", plain), main_pid = start("main", plain);
        while (!(t1 = stamp_of(log, "main"))) {
            struct timespec tick = {0, 100000};
            (void)nanosleep(&tick, NULL);
        }
        printf("%lld\n", t1 - t0);
        (void)kill(watch, SIGKILL);
        (void)kill(main_pid, SIGKILL);
        (void)waitpid(watch, NULL, 0);
        (void)waitpid(main_pid, NULL, 0);
    }
    return 0;
}
