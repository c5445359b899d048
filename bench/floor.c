/* floor.c - the bare floor of a restart: what the kernel alone takes to start the same programs.
 *
 *   floor ROOTFS BOARD_DIR CONTAINERS [spawn]     ROOTFS holds /bin/stamp, /old, and the board below /stamps
 *
 * For each line on stdin, a number of Pods: each Pod is one clone into new mount, pid, ipc and uts namespaces and a network
 * namespace that was prepared (as a Pod's is kept), pivot_root into ROOTFS, exec of `stamp init`; when it has ended, the
 * other containers the same way, one after the other without a wait. One container alone is a main. Answers with the
 * nanoseconds from before the first clone to the last program's first look at the clock, then kills them all. It is told
 * when to run by its driver, so that its runs lie between those of what it is compared with.
 * With "spawn": plain posix_spawn of the same programs, no namespaces, no other root. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "board.h"

#define MAX_PROGRAMS 2048

static const char *rootfs;
static int netns_fd;
static bool plain;
static char program[4096], stamp_dir[4096];
static pid_t running[MAX_PROGRAMS];
static size_t n_running;

static _Noreturn void die(const char *what)
{
    perror(what);
    _exit(1);
}

static int child(void *arg)
{
    char **argv = arg;
    if (setns(netns_fd, CLONE_NEWNET) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(rootfs) < 0 ||
        syscall(SYS_pivot_root, ".", "old") < 0 || umount2("/old", MNT_DETACH) < 0)
        die("enter container");
    (void)execv("/bin/stamp", argv);
    die("exec /bin/stamp");
}

static pid_t start(const char *role, unsigned number)
{
    static char stack[65536] __attribute__((aligned(16))); /* CLONE_VFORK: the child is done with it when clone returns */
    char name[] = "stamp", what[16], who[16];
    (void)snprintf(what, sizeof what, "%s", role);
    (void)snprintf(who, sizeof who, "%u", number);
    char *argv[] = {name, what, who, NULL};
    pid_t pid;
    if (plain) {
        char *envp[] = {stamp_dir, NULL};
        if (posix_spawn(&pid, program, NULL, NULL, argv, envp) != 0)
            die("posix_spawn");
        return pid;
    }
    pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD,
                argv);
    if (pid < 0)
        die("clone");
    return pid;
}

static void start_pod(unsigned pod, unsigned containers)
{
    unsigned first = pod * containers;
    if (containers > 1) {
        pid_t init = start("init", first);
        if (waitpid(init, NULL, 0) != init)
            die("waitpid");
    }
    for (unsigned i = containers > 1; i < containers; i++) {
        if (n_running == MAX_PROGRAMS)
            die("too many programs");
        running[n_running++] = start(i == 1 && containers > 2 ? "trigger" : "main", first + i);
    }
}

static int64_t run(Board *b, unsigned pods, unsigned containers)
{
    b->next = b->count = 0;
    b->want = pods * containers;
    uint32_t done = __atomic_load_n(&b->done, __ATOMIC_SEQ_CST);
    int64_t begin = now_ns(), last = 0;
    for (unsigned i = 0; i < pods; i++)
        start_pod(i, containers);
    board_sleep(&b->done, done);
    for (unsigned i = 0; i < b->want; i++)
        if (b->records[i].ns > last)
            last = b->records[i].ns;
    for (size_t i = 0; i < n_running; i++)
        (void)kill(running[i], SIGKILL);
    while (n_running > 0)
        (void)waitpid(running[--n_running], NULL, 0);
    return last - begin;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        (void)fprintf(stderr, "usage: floor ROOTFS BOARD_DIR CONTAINERS [spawn]\n");
        return 2;
    }
    rootfs = argv[1];
    unsigned containers = (unsigned)strtoul(argv[3], NULL, 10);
    plain = argc > 4;
    (void)snprintf(program, sizeof program, "%s/bin/stamp", rootfs);
    (void)snprintf(stamp_dir, sizeof stamp_dir, "STAMP_DIR=%s", argv[2]);
    Board *b = board_open(argv[2]);
    if (!b)
        die("open board");
    int host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (host < 0 || unshare(CLONE_NEWNET) < 0)
        die("new network namespace");
    netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (netns_fd < 0 || setns(host, CLONE_NEWNET) < 0)
        die("keep network namespace");
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        unsigned pods = (unsigned)strtoul(line, NULL, 10);
        if (pods == 0 || pods * containers > BOARD_RECORDS || pods * containers > MAX_PROGRAMS) {
            (void)fprintf(stderr, "floor: %u Pods are too many\n", pods);
            return 2;
        }
        printf("%lld\n", (long long)run(b, pods, containers));
        (void)fflush(stdout);
    }
    return 0;
}
