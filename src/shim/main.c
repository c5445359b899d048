/* reprise-shim: one small process for each Pod, the parent of its containers, which outlives the agent.
 *
 *   reprise-shim --uid UID --run-dir DIR --root-dir DIR --runtime PATH [--gate PATH] [--hide-cgroup2]
 *
 * Goes into the background once it listens on DIR/shim.sock; until then it reports to stderr and by its exit status. If a
 * shim of this Pod died, what it held is taken over. Two other uses are its own: --pause (the sandbox process) and
 * --delete DIR (removes a large tree aside). */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"
#include "shim/shim.h"

#define LOCK_TRIES 200 /* of 10 ms: a shim that is ending needs less */
#define LOG_MAX (1 << 20)
#define END_DELAY_MS 20 /* lets the last replies out */
#define UNUSED_MS 30000 /* who started us has died before it could connect */

static int fail(Err *e)
{
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    (void)fprintf(stderr, "reprise-shim: %s\n", text);
    return 1;
}

/* The lock says who is this Pod's shim. It lies in a directory that an ending shim moves away: look again after locking. */
static Err *lock_take(Shim *s)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/shim.lock", s->run_dir);
    for (int i = 0; i < LOCK_TRIES; i++) {
        Err *e = fs_mkdirs(s->run_dir, 0700);
        if (e)
            return e;
        SCOPED(fd_close) int fd = fault_hit("open") ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat mine, now;
        if (fd < 0 && errno != ENOENT)
            return err_new(ERR_SYS, errno, "open %s", path);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &mine) == 0 && stat(path, &now) == 0 &&
            mine.st_ino == now.st_ino && mine.st_dev == now.st_dev) {
            s->lock_fd = MOVE(fd, -EBADF);
            return NULL;
        }
        (void)usleep(10000);
    }
    return err_new(ERR_EXISTS, 0, "another shim serves Pod %s", s->uid);
}

static void on_end_timer(uv_timer_t *t)
{
    Shim *s = t->data;
    server_stop(s);
    /* Moved first: a new shim of the same Pod finds either all of it or nothing. */
    SCOPED(mem_free) char *gone = mem_fmt("%s.gone.%d", s->run_dir, (int)getpid());
    if (rename(s->run_dir, gone) == 0)
        err_free(fs_remove_tree(gone));
    SCOPED(mem_free) char *layers = mem_fmt("%s/containers", s->root_dir);
    (void)rmdir(layers);
    (void)rmdir(s->root_dir); /* not empty while it holds what is not ours: volumes */
    uv_stop(&s->loop);
}

static void on_unused(uv_timer_t *t)
{
    Shim *s = t->data;
    if (!s->clients)
        shim_maybe_end(s);
}

void shim_maybe_end(Shim *s)
{
    if (s->ending || s->sandboxes || s->ctrs || s->trash || s->cmds)
        return;
    s->ending = true;
    (void)uv_timer_start(&s->end_timer, on_end_timer, END_DELAY_MS, 0);
}

static void stdio_detach(const Shim *s)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/shim.log", s->run_dir);
    SCOPED(fd_close) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    SCOPED(fd_close) int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat st;
    if (log >= 0 && fstat(log, &st) == 0 && st.st_size > LOG_MAX)
        (void)!ftruncate(log, 0);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(log >= 0 ? log : null, STDERR_FILENO);
}

/* Our parent ends, we go on in a session of our own, heir of every container process. */
static Err *detach(int *ret_report)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_new(ERR_SYS, errno, "make a pipe");
    pid_t pid = fork();
    if (pid < 0)
        return err_new(ERR_SYS, errno, "fork");
    if (pid > 0) {
        char ok;
        (void)close(p[1]);
        _exit(read(p[0], &ok, 1) == 1 ? 0 : 1); /* a child that fails has said why on our stderr */
    }
    (void)close(p[0]);
    if (setsid() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return err_new(ERR_SYS, errno, "become a session leader and subreaper");
    *ret_report = p[1];
    return NULL;
}

static void signals_ignore(void)
{
    /* The shim ends when it is told to, over its socket, or by SIGKILL: its containers live on then. */
    static const int ignored[] = {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
}

static Err *shim_init(Shim *s)
{
    SCOPED(mem_free) char *journal = mem_fmt("%s/journal", s->run_dir);
    uv_timer_t *const timers[] = {&s->trash_timer, &s->retry_timer, &s->end_timer, &s->settle_timer, &s->reap_timer};
    size_t bad = 0;
    int rc = uv_loop_init(&s->loop);
    if (rc < 0)
        return err_new(ERR_SYS, -rc, "make an event loop");
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        (void)uv_timer_init(&s->loop, timers[i]);
        timers[i]->data = s;
    }
    child_init(s);
    Err *e = cgroup_probe(&s->cgroups);
    if (!e)
        e = store_open(&s->store, journal, &bad);
    if (bad)
        shim_log("journal: %zu torn lines left out", bad);
    if (!e)
        e = fs_mkdirs(s->oci_root, 0700);
    if (!e)
        e = adopt(s);
    return e ? e : server_start(s);
}

static int serve(Shim *s)
{
    int report = -EBADF;
    Err *e = lock_take(s);
    if (!e)
        e = detach(&report); /* the lock is the open file's: it stays ours */
    if (!e) {
        signals_ignore();
        (void)prctl(PR_SET_NAME, "reprise-shim");
        (void)umask(022);
        e = chdir("/") < 0 ? err_new(ERR_SYS, errno, "chdir /") : shim_init(s);
    }
    if (e)
        return fail(e);
    stdio_detach(s);
    (void)uv_timer_start(&s->end_timer, on_unused, UNUSED_MS, 0);
    (void)!write(report, "k", 1);
    fd_close(report);
    return uv_run(&s->loop, UV_RUN_DEFAULT) < 0 ? 1 : 0;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: reprise-shim --uid UID --run-dir DIR --root-dir DIR --runtime PATH [--gate PATH]\n"
                          "                    [--hide-cgroup2]\n"
                          "It is started by reprise, one for each Pod; see reprise(1).\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc > 1 && str_eq(argv[1], "--pause"))
        return pause_main(argc, argv);
    if (argc == 3 && str_eq(argv[1], "--delete")) {
        Err *e = fs_remove_tree(argv[2]);
        return e ? fail(e) : 0;
    }
    if (argc == 2 && str_eq(argv[1], "--version")) {
        (void)printf("reprise-shim %s\n", REPRISE_VERSION);
        return 0;
    }
    enum { OPT_UID, OPT_RUN, OPT_ROOT, OPT_RUNTIME, OPT_GATE, OPT_HIDE };
    static const struct option options[] = {{"uid", required_argument, NULL, OPT_UID},
                                            {"run-dir", required_argument, NULL, OPT_RUN},
                                            {"root-dir", required_argument, NULL, OPT_ROOT},
                                            {"runtime", required_argument, NULL, OPT_RUNTIME},
                                            {"gate", required_argument, NULL, OPT_GATE},
                                            {"hide-cgroup2", no_argument, NULL, OPT_HIDE},
                                            {0}};
    static Shim shim = {.lock_fd = -EBADF, .store.fd = -EBADF};
    char **const texts[] = {&shim.uid, &shim.run_dir, &shim.root_dir, &shim.runtime, &shim.gate};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o >= OPT_UID && o <= OPT_GATE)
            mem_set_str(texts[o], optarg);
        else if (o == OPT_HIDE)
            shim.hide_cgroup2 = true;
        else
            return usage();
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if ((!*texts[i] && i != OPT_GATE) || optind != argc || (i > 0 && *texts[i] && (*texts[i])[0] != '/'))
            return usage();
    shim.oci_root = mem_fmt("%s/oci", shim.run_dir);
    return serve(&shim);
}
