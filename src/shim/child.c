/* The end of every process comes from one place: SIGCHLD, then waitid(P_ALL) until nothing is left. As subreaper the shim
 * also gets the ends of strangers (what a container in the host's pid namespace left, what a killed runtime left); they
 * are kept for a moment, because a container's init may end before the runtime has told its number. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/pidfd.h"
#include "shim/shim.h"

#define CAPTURE_MAX 65536
#define REAP_MS 20

struct Watch {
    Shim *shim;
    Watch *next;
    pid_t pid;
    int64_t start_ticks;
    bool early;      /* told before it is reaped */
    int pidfd;       /* foreign processes only */
    uv_poll_t *poll; /* foreign processes only */
    WatchDone *done;
    void *arg;
};

struct Cmd {
    Shim *shim;
    Cmd *next;
    pid_t pid;
    int pidfd, capture;
    Watch *watch;
    uv_timer_t *timer;
    CmdDone *done;
    void *arg;
};

void shim_log(const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    char stamp[CLOCK_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    str_fmt(&s, "%s ", clock_format(os_now_ns(), 6, stamp));
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    str_add_c(&s, '\n');
    (void)!write(STDERR_FILENO, s.p, s.n);
}

void shim_log_err(Err *e, const char *what)
{
    if (!e)
        return;
    SCOPED(mem_free) char *text = err_text(e);
    shim_log("%s: %s", what, text);
    err_free(e);
}

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

static void close_free(void *handle)
{
    if (handle)
        uv_close(handle, handle_free);
}

static Watch *watch_new(Shim *s, pid_t pid, WatchDone *done, void *arg)
{
    Watch *w = NEW(Watch);
    *w = (Watch){.shim = s, .next = s->watches, .pid = pid, .pidfd = -EBADF, .done = done, .arg = arg};
    s->watches = w;
    return w;
}

void watch_drop(Shim *s, Watch *w)
{
    if (!w)
        return;
    for (Watch **p = &s->watches; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            break;
        }
    if (w->poll)
        (void)uv_poll_stop(w->poll);
    close_free(w->poll);
    fd_close(w->pidfd);
    mem_free(w);
}

static void watch_fire(Watch *w, bool known, int status)
{
    WatchDone *done = w->done;
    void *arg = w->arg;
    watch_drop(w->shim, w);
    done(arg, known, status);
}

Watch *watch_child(Shim *s, pid_t pid, WatchDone *done, void *arg)
{
    return watch_new(s, pid, done, arg);
}

Watch *watch_child_early(Shim *s, pid_t pid, WatchDone *done, void *arg)
{
    Watch *w = watch_new(s, pid, done, arg);
    w->early = true;
    return w;
}

static void on_foreign_end(uv_poll_t *p, int rc, int events)
{
    (void)events;
    Watch *w = p->data;
    if (rc < 0 || pidfd_alive(w->pidfd))
        return;
    int status = 0;
    bool known = pidfd_wait_status(w->pidfd, w->pid, w->start_ticks, &status);
    watch_fire(w, known, status);
}

Watch *watch_pidfd(Shim *s, int pidfd, pid_t pid, int64_t start_ticks, WatchDone *done, void *arg)
{
    Watch *w = watch_new(s, pid, done, arg);
    w->pidfd = pidfd;
    w->start_ticks = start_ticks;
    w->poll = NEW(uv_poll_t);
    (void)uv_poll_init(&s->loop, w->poll, pidfd);
    w->poll->data = w;
    (void)uv_poll_start(w->poll, UV_READABLE, on_foreign_end);
    return w;
}

static void reap_one(Shim *s, pid_t pid, int status)
{
    for (Watch *w = s->watches; w; w = w->next)
        if (w->pid == pid && w->pidfd < 0) {
            watch_fire(w, true, status);
            return;
        }
    size_t at = s->n_orphans++ % ARRAY_LEN(s->orphans);
    s->orphans[at].pid = pid;
    s->orphans[at].status = status;
}

/* waitpid()'s status of what waitid() said. */
static int wait_status(const siginfo_t *si)
{
    return si->si_code == CLD_EXITED ? si->si_status << 8 : si->si_status | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* The first watch whose process has ended and has not been told; *ret_status as waitpid() has it. */
static Watch *find_ended(const Shim *s, int *ret_status)
{
    for (Watch *w = s->watches; w; w = w->next) {
        siginfo_t si = {0};
        if (!w->early || waitid(P_PID, (id_t)w->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid != w->pid)
            continue;
        *ret_status = wait_status(&si);
        return w;
    }
    return NULL;
}

/* Tells the ends of containers. Their zombies stay for a moment: should we die now, the next shim still learns from them. */
static void tell_early(Shim *s)
{
    int status;
    for (Watch *w; (w = find_ended(s, &status)) != NULL;) { /* anew each time: what a callback does to the list is its own affair */
        s->told = mem_grow(s->told, s->n_told + 1, sizeof *s->told);
        s->told[s->n_told++] = w->pid;
        watch_fire(w, true, status);
    }
}

static bool was_told(Shim *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_told; i++)
        if (s->told[i] == pid) {
            s->told[i] = s->told[--s->n_told];
            return true;
        }
    return false;
}

static void reap_all(Shim *s)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return;
        fault_step("shim.exit.reaped");
        if (!was_told(s, pid))
            reap_one(s, pid, status);
    }
}

static void on_reap_timer(uv_timer_t *t)
{
    reap_all(t->data);
}

static void on_sigchld(uv_signal_t *h, int sig)
{
    (void)sig;
    Shim *s = h->data;
    tell_early(s);
    if (s->cmds || !s->n_told)
        reap_all(s);
    else if (!uv_is_active((uv_handle_t *)&s->reap_timer))
        (void)uv_timer_start(&s->reap_timer, on_reap_timer, REAP_MS, 0);
}

bool orphan_take(Shim *s, pid_t pid, int *ret_status)
{
    for (size_t i = 0; i < ARRAY_LEN(s->orphans) && i < s->n_orphans; i++)
        if (s->orphans[i].pid == pid) {
            *ret_status = s->orphans[i].status;
            s->orphans[i].pid = 0;
            return true;
        }
    return false;
}

void child_init(Shim *s)
{
    (void)uv_signal_init(&s->loop, &s->sigchld);
    s->sigchld.data = s;
    (void)uv_signal_start(&s->sigchld, on_sigchld, SIGCHLD);
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static char *captured(int fd)
{
    char *buf = mem_alloc(CAPTURE_MAX + 1);
    ssize_t n = fd >= 0 ? pread(fd, buf, CAPTURE_MAX, 0) : 0;
    buf[n > 0 ? n : 0] = '\0';
    return buf;
}

static void cmd_ended(void *arg, bool known, int status)
{
    Cmd *c = arg;
    for (Cmd **p = &c->shim->cmds; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    SCOPED(mem_free) char *text = captured(c->capture);
    if (c->timer)
        (void)uv_timer_stop(c->timer);
    close_free(c->timer);
    fd_close(c->pidfd);
    fd_close(c->capture);
    CmdDone *done = c->done;
    void *done_arg = c->arg;
    mem_free(c);
    done(done_arg, known ? status : SIGKILL, text);
}

static void on_timeout(uv_timer_t *t)
{
    Cmd *c = t->data;
    shim_log("process %d does not end: killed", (int)c->pid);
    cmd_kill(c);
}

void cmd_kill(Cmd *c)
{
    (void)pidfd_kill(c->pidfd, SIGKILL);
}

pid_t cmd_pid(const Cmd *c)
{
    return c->pid;
}

Err *cmd_run(Shim *s, const CmdSpec *spec, CmdDone *done, void *arg, Cmd **ret)
{
    /* A file in memory: nothing to read while it runs, no reader that could block the writer. */
    SCOPED(fd_close) int capture = spec->fds ? -EBADF : memfd_create("output", MFD_CLOEXEC);
    if (!spec->fds && capture < 0)
        return err_new(ERR_SYS, errno, "make a place for the output of %s", spec->argv[0]);
    const SpawnFd out[] = {{1, capture}, {2, capture}};
    SpawnSpec sp = {.argv = spec->argv, .fds = spec->fds ? spec->fds : out, .n_fds = spec->fds ? spec->n_fds : 2,
                    .cwd = spec->cwd, .new_group = true, .die_with_parent = true, .hide_cgroup2_controllers = spec->hide_cgroup2};
    pid_t pid;
    SCOPED(fd_close) int pidfd = -EBADF;
    Err *e = spawn(&sp, &pid, &pidfd);
    if (e)
        return e;
    Cmd *c = NEW(Cmd);
    *c = (Cmd){.shim = s, .next = s->cmds, .pid = pid, .pidfd = MOVE(pidfd, -EBADF), .capture = MOVE(capture, -EBADF),
               .done = done, .arg = arg};
    s->cmds = c;
    c->watch = watch_child(s, pid, cmd_ended, c);
    if (spec->timeout_ms) {
        c->timer = NEW(uv_timer_t);
        (void)uv_timer_init(&s->loop, c->timer);
        c->timer->data = c;
        (void)uv_timer_start(c->timer, on_timeout, spec->timeout_ms, 0);
    }
    if (ret)
        *ret = c;
    return NULL;
}

static void runtime_argv(const Shim *s, const char *const *args, StrVec *argv)
{
    strvec_add(argv, s->runtime);
    strvec_add(argv, "--root");
    strvec_add(argv, s->oci_root);
    for (; *args; args++)
        strvec_add(argv, *args);
}

Err *runtime_run(Shim *s, const char *const *args, const CmdSpec *base, CmdDone *done, void *arg, Cmd **ret)
{
    SCOPED(strvec_done) StrVec argv = {0};
    runtime_argv(s, args, &argv);
    CmdSpec spec = base ? *base : (CmdSpec){0};
    spec.argv = (const char *const *)argv.v;
    if (!spec.timeout_ms)
        spec.timeout_ms = RUNTIME_TIMEOUT_MS;
    return cmd_run(s, &spec, done, arg, ret);
}

Err *runtime_run_now(Shim *s, const char *const *args, int *ret_status, char **ret_text)
{
    SCOPED(strvec_done) StrVec argv = {0};
    runtime_argv(s, args, &argv);
    SCOPED(fd_close) int capture = memfd_create("output", MFD_CLOEXEC);
    if (capture < 0)
        return err_new(ERR_SYS, errno, "make a place for the output of %s", s->runtime);
    const SpawnFd out[] = {{1, capture}, {2, capture}};
    SpawnSpec sp = {.argv = (const char *const *)argv.v, .fds = out, .n_fds = 2, .die_with_parent = true};
    pid_t pid;
    Err *e = spawn(&sp, &pid, NULL);
    if (e)
        return e;
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR) {
    }
    *ret_text = captured(capture);
    return NULL;
}

/* runc: time="..." level=error msg="runc create failed: ... \"x\" ..."; crun: plain text, perhaps after a time. */
char *runtime_message(const char *text)
{
    SCOPED(mem_free) char *copy = mem_dup_str(text);
    const char *last = "";
    for (char *save = NULL, *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        last = l;
    const char *msg = strstr(last, " msg=\"");
    if (!str_starts(last, "time=") || !msg)
        return mem_dup_str(last);
    Str out = {0};
    for (msg += strlen(" msg=\""); *msg && *msg != '"'; msg++) {
        if (*msg == '\\' && msg[1])
            msg++;
        str_add_c(&out, *msg);
    }
    return str_take(&out);
}
