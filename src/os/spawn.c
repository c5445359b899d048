/* The child shares our memory until exec, so it only makes system calls on data that the parent prepared, and leaves its
 * failure (step and errno) in the shared struct. Signals stay blocked in the parent around it: a handler of ours must
 * not run on the child's side of the shared memory. */
#include "os/spawn.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fault.h"

#define STACK_BYTES (128u * 1024u)
#define CGROUP2_MOUNT "/sys/fs/cgroup/unified"

extern char **environ;

static const char *const step_names[] = {"start", "setsid", "tie to parent", "join namespace", "hide cgroup controllers", "arrange descriptors",
                                         "change directory to", "exec"};
enum { STEP_START, STEP_SESSION, STEP_TIE, STEP_NS, STEP_HIDE, STEP_FDS, STEP_CWD, STEP_EXEC };

typedef struct {
    const SpawnSpec *spec;
    const char *path;
    char *const *argv, *const *envp;
    SpawnFd fds[SPAWN_MAX_FDS + 3]; /* sorted by child number, 0..2 present (parent -1 = /dev/null) */
    size_t n_fds;
    pid_t parent;
    int step, error; /* written by the child */
} Job;

static bool child_hide(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, CGROUP2_MOUNT, NULL, MS_PRIVATE, NULL) == 0 &&
           mount("/dev/null", CGROUP2_MOUNT "/cgroup.controllers", NULL, MS_BIND, NULL) == 0;
}

/* First all sources move above the highest target, so that no dup2() overwrites one that is still needed. */
static bool child_fds(Job *j)
{
    int above = j->fds[j->n_fds - 1].child + 1;
    int src[SPAWN_MAX_FDS + 3];
    for (size_t i = 0; i < j->n_fds; i++) {
        int from = j->fds[i].parent;
        int null = -1;
        if (from < 0) {
            null = open("/dev/null", O_RDWR | O_CLOEXEC);
            from = null;
        }
        src[i] = fcntl(from, F_DUPFD_CLOEXEC, above);
        if (src[i] < 0)
            return false;
        if (null >= 0)
            (void)close(null);
    }
    unsigned next = 0;
    for (size_t i = 0; i < j->n_fds; i++) {
        unsigned to = (unsigned)j->fds[i].child;
        if (dup2(src[i], (int)to) < 0)
            return false;
        if (to > next && close_range(next, to - 1, 0) < 0)
            return false;
        next = to + 1;
    }
    return close_range(next, ~0u, 0) == 0;
}

static void child_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++)
        (void)sigaction(s, &dfl, NULL); /* fails for KILL, STOP and glibc's own two: they need it not */
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((no_sanitize("address"))) static int child_main(void *arg)
{
    Job *j = arg;
    const SpawnSpec *s = j->spec;
    child_signals();
    j->step = STEP_SESSION;
    if (s->new_session ? setsid() < 0 : s->new_group && setpgid(0, 0) < 0)
        goto fail;
    j->step = STEP_TIE; /* a parent that was killed before this took effect shows as another parent */
    if (s->die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || (getppid() != j->parent && getppid() != 0)))
        goto fail;
    j->step = STEP_NS;
    for (size_t i = 0; i < s->n_ns_fds; i++)
        if (s->ns_fds[i] >= 0 && setns(s->ns_fds[i], 0) < 0)
            goto fail;
    j->step = STEP_HIDE;
    if (s->hide_cgroup2_controllers && !child_hide())
        goto fail;
    j->step = STEP_FDS;
    if (!child_fds(j))
        goto fail;
    j->step = STEP_CWD;
    if (s->cwd && chdir(s->cwd) < 0)
        goto fail;
    j->step = STEP_EXEC;
    (void)execve(j->path, j->argv, j->envp);
fail:
    j->error = errno;
    _exit(127);
}

static int by_child(const void *a, const void *b)
{
    return ((const SpawnFd *)a)->child - ((const SpawnFd *)b)->child;
}

static void job_fds(Job *j)
{
    bool named[3] = {false};
    for (size_t i = 0; i < j->spec->n_fds; i++) {
        j->fds[j->n_fds++] = j->spec->fds[i];
        if (j->spec->fds[i].child < 3)
            named[j->spec->fds[i].child] = true;
    }
    for (int i = 0; i < 3; i++)
        if (!named[i])
            j->fds[j->n_fds++] = (SpawnFd){i, -1};
    qsort(j->fds, j->n_fds, sizeof j->fds[0], by_child);
}

static Err *job_check(const SpawnSpec *s)
{
    if (s->n_fds > SPAWN_MAX_FDS || s->n_ns_fds > SPAWN_MAX_NS)
        return err_new(ERR_BUG, 0, "spawn %s: too many descriptors", s->argv[0]);
    for (size_t i = 0; i < s->n_fds; i++)
        if (s->fds[i].child < 0 || s->fds[i].parent < 0)
            return err_new(ERR_BUG, 0, "spawn %s: negative descriptor in the map", s->argv[0]);
    return NULL;
}

Err *spawn_find(const char *name, char **ret_path)
{
    if (strchr(name, '/')) {
        *ret_path = mem_dup_str(name);
        return NULL;
    }
    const char *path = getenv("PATH");
    for (const char *p = str_or(path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"); *name && *p;) {
        size_t n = strcspn(p, ":");
        struct stat st;
        char *full = mem_fmt("%.*s/%s", (int)n, p, name);
        if (n > 0 && stat(full, &st) == 0 && S_ISREG(st.st_mode) && access(full, X_OK) == 0) {
            *ret_path = full;
            return NULL;
        }
        mem_free(full);
        p += n + (p[n] == ':');
    }
    Str what = {0};
    str_add(&what, "exec: ");
    str_add_quoted(&what, name);
    str_add(&what, ": executable file not found in $PATH");
    Err *e = err_new(ERR_NOT_FOUND, 0, "%s", what.p);
    str_done(&what);
    return e;
}

static Err *job_failed(const Job *j, int clone_error)
{
    if (clone_error)
        return err_new(ERR_SYS, clone_error, "spawn %s", j->spec->argv[0]);
    ErrKind kind = j->step == STEP_EXEC && j->error == ENOENT ? ERR_NOT_FOUND : ERR_SYS;
    const char *object = j->step == STEP_CWD ? j->spec->cwd : j->path;
    return err_new(kind, j->error, "spawn %s: %s %s", j->spec->argv[0], step_names[j->step], object);
}

Err *spawn(const SpawnSpec *spec, pid_t *ret_pid, int *ret_pidfd)
{
    SCOPED(mem_free) char *path = NULL;
    Err *e = job_check(spec);
    if (!e)
        e = spawn_find(spec->program ? spec->program : spec->argv[0], &path);
    if (e)
        return e;
    Job job = {.spec = spec, .path = path, .parent = getpid(), .step = STEP_START};
    memcpy(&job.argv, &spec->argv, sizeof job.argv); /* execve's missing const */
    if (spec->envp)
        memcpy(&job.envp, &spec->envp, sizeof job.envp);
    else
        job.envp = environ;
    job_fds(&job);

    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return job_failed(&job, errno);
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &old);
    int pidfd = -EBADF;
    unsigned flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | (unsigned)SIGCHLD | spec->new_ns;
    pid_t pid = fault_hit("clone") ? -1 : clone(child_main, stack + STACK_BYTES, (int)flags, &job, &pidfd);
    int clone_error = pid < 0 ? errno : 0;
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    (void)munmap(stack, STACK_BYTES);

    if (clone_error || job.error) {
        if (pid > 0) {
            siginfo_t si;
            (void)waitid(P_PID, (id_t)pid, &si, WEXITED);
            (void)close(pidfd);
        }
        return job_failed(&job, clone_error);
    }
    if (ret_pid)
        *ret_pid = pid;
    if (ret_pidfd)
        *ret_pidfd = pidfd;
    else
        (void)close(pidfd);
    return NULL;
}

char *spawn_beside(const char *program, const char *const *places, size_t n)
{
    const char *slash = strrchr(program, '/');
    for (size_t i = 0; slash && i < n; i++) {
        SCOPED(mem_free) char *path = mem_fmt("%.*s/%s", (int)(slash - program), program, places[i]);
        char *real = access(path, X_OK) == 0 ? realpath(path, NULL) : NULL;
        if (real)
            return real;
    }
    return NULL;
}

char *spawn_beside_self(const char *const *places, size_t n)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    return spawn_beside(self, places, n);
}
