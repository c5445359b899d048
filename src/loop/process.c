#include "loop/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/fs.h"
#include "os/spawn.h"

/* After a program has ended, a grandchild may still hold its output pipes: the result does not wait for it longer. */
#define DRAIN_MS 100
#define READ_SIZE 16384

typedef struct {
    Process *p;
    uv_poll_t poll;
    int fd; /* -EBADF = closed */
    bool is_stderr, open;
    Str *into;
} Stream;

struct Process {
    uv_loop_t *loop;
    ProcessDone *done; /* NULL = abandoned */
    void *arg;
    void (*on_output)(void *arg, bool is_stderr, const char *bytes, size_t n);
    size_t max_output;
    pid_t pid;
    int pidfd;
    bool ended;
    ProcessResult res;
    Stream out, err;
    uv_poll_t exit_poll;
    uv_timer_t timer;     /* the deadline, then the drain */
    unsigned open_handles;
    bool closing;
};

/* A sealed memory file: the child can read its input at its own pace, and nobody has to feed a pipe. */
static Err *input_fd(const void *bytes, size_t n, int *ret_fd)
{
    SCOPED(fd_close) int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_SYS, errno, "create input of a program");
    for (size_t off = 0; off < n;) {
        ssize_t w = write(fd, (const char *)bytes + off, n - off);
        if (w < 0 && errno != EINTR)
            return err_new(ERR_SYS, errno, "write input of a program");
        off += w > 0 ? (size_t)w : 0;
    }
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_new(ERR_SYS, errno, "rewind input of a program");
    *ret_fd = MOVE(fd, -EBADF);
    return NULL;
}

/* Starts the program with its output in the two pipes whose read ends are returned. */
static Err *process_spawn(const ProcessSpec *spec, pid_t *pid, int *pidfd, int *out, int *err)
{
    SCOPED(fd_close) int in = -EBADF, out_r = -EBADF, out_w = -EBADF, err_r = -EBADF, err_w = -EBADF;
    if (spec->input) {
        Err *e = input_fd(spec->input, spec->n_input, &in);
        if (e)
            return e;
    }
    if (spec->max_output) {
        int p[2];
        if (pipe2(p, O_CLOEXEC) < 0)
            return err_new(ERR_SYS, errno, "create pipe");
        out_r = p[0], out_w = p[1];
        if (pipe2(p, O_CLOEXEC) < 0)
            return err_new(ERR_SYS, errno, "create pipe");
        err_r = p[0], err_w = p[1];
        (void)fcntl(out_r, F_SETFL, O_NONBLOCK);
        (void)fcntl(err_r, F_SETFL, O_NONBLOCK);
    }
    SpawnFd fds[3];
    size_t n = 0;
    if (in >= 0)
        fds[n++] = (SpawnFd){0, in};
    fds[n++] = (SpawnFd){1, out_w >= 0 ? out_w : 1};
    fds[n++] = (SpawnFd){2, err_w >= 0 ? err_w : 2};
    int ns = spec->join_ns_fd > 0 ? spec->join_ns_fd : -1;
    SpawnSpec s = {
        .argv = spec->argv, .envp = spec->envp, .fds = fds, .n_fds = n, .cwd = spec->cwd, .new_group = true,
        .ns_fds = &ns, .n_ns_fds = 1,
    };
    Err *e = spawn(&s, pid, pidfd);
    if (e)
        return e;
    *out = MOVE(out_r, -EBADF);
    *err = MOVE(err_r, -EBADF);
    return NULL;
}

/* Keeps what fits, drops the rest: the program must not block on a full pipe. Returns false at the end of the stream. */
static bool stream_read(Stream *s, size_t max, void (*on_output)(void *, bool, const char *, size_t), void *arg)
{
    char buf[READ_SIZE];
    ssize_t n = read(s->fd, buf, sizeof buf);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    size_t room = max - s->into->n;
    str_add_n(s->into, buf, (size_t)n < room ? (size_t)n : room);
    if (on_output)
        on_output(arg, s->is_stderr, buf, (size_t)n);
    return true;
}

static void reap(int pidfd, ProcessResult *res)
{
    siginfo_t si = {0};
    while (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0 && errno == EINTR)
        ;
    res->exited = si.si_code == CLD_EXITED;
    res->code = si.si_status;
}

static void process_handle_closed(uv_handle_t *h)
{
    Process *p = h->data;
    if (--p->open_handles > 0)
        return;
    fd_close(p->pidfd);
    fd_close(p->out.fd);
    fd_close(p->err.fd);
    str_done(&p->res.out);
    str_done(&p->res.err);
    free(p);
}

static void process_close(Process *p)
{
    if (p->closing)
        return;
    p->closing = true;
    uv_close((uv_handle_t *)&p->exit_poll, process_handle_closed);
    uv_close((uv_handle_t *)&p->timer, process_handle_closed);
    if (p->out.fd >= 0)
        uv_close((uv_handle_t *)&p->out.poll, process_handle_closed);
    if (p->err.fd >= 0)
        uv_close((uv_handle_t *)&p->err.poll, process_handle_closed);
}

static void process_finish(Process *p)
{
    ProcessDone *done = MOVE(p->done, NULL);
    if (done)
        done(p->arg, &p->res);
    process_close(p);
}

static void on_drained(uv_timer_t *t)
{
    process_finish(t->data);
}

static void process_maybe_finish(Process *p)
{
    if (p->closing || !p->ended)
        return;
    if (!p->out.open && !p->err.open)
        process_finish(p);
    else
        (void)uv_timer_start(&p->timer, on_drained, DRAIN_MS, 0);
}

static void on_stream(uv_poll_t *h, int status, int events)
{
    Process *p = h->data;
    Stream *s = h == &p->out.poll ? &p->out : &p->err;
    (void)events;
    if (status == 0 && stream_read(s, p->max_output, p->on_output, p->arg))
        return;
    (void)uv_poll_stop(&s->poll);
    s->open = false;
    process_maybe_finish(p);
}

static void on_exit_poll(uv_poll_t *h, int status, int events)
{
    Process *p = h->data;
    (void)status, (void)events;
    if (p->ended)
        return;
    p->ended = true;
    (void)uv_poll_stop(&p->exit_poll);
    (void)uv_timer_stop(&p->timer);
    reap(p->pidfd, &p->res);
    process_maybe_finish(p);
}

static void on_deadline(uv_timer_t *t)
{
    Process *p = t->data;
    p->res.timed_out = true;
    process_signal(p, SIGKILL);
}

static void stream_open(Process *p, Stream *s, int fd, bool is_stderr, Str *into)
{
    *s = (Stream){.p = p, .fd = fd, .is_stderr = is_stderr, .into = into};
    if (fd < 0)
        return;
    s->open = true;
    s->poll.data = p;
    p->open_handles++;
    if (uv_poll_init(p->loop, &s->poll, fd) != 0 || uv_poll_start(&s->poll, UV_READABLE, on_stream) != 0)
        abort(); /* a fresh pipe can always be polled */
}

Err *process_start(uv_loop_t *loop, const ProcessSpec *spec, ProcessDone *done, void *arg, Process **ret)
{
    int pidfd = -EBADF, out = -EBADF, err = -EBADF;
    pid_t pid = -1;
    Err *e = process_spawn(spec, &pid, &pidfd, &out, &err);
    if (e)
        return e;
    Process *p = NEW(Process);
    p->loop = loop;
    p->done = done;
    p->arg = arg;
    p->on_output = spec->on_output;
    p->max_output = spec->max_output;
    p->pid = pid;
    p->pidfd = pidfd;
    stream_open(p, &p->out, out, false, &p->res.out);
    stream_open(p, &p->err, err, true, &p->res.err);
    p->open_handles += 2;
    p->exit_poll.data = p;
    p->timer.data = p;
    if (uv_poll_init(loop, &p->exit_poll, pidfd) != 0 || uv_poll_start(&p->exit_poll, UV_READABLE, on_exit_poll) != 0)
        abort();
    (void)uv_timer_init(loop, &p->timer);
    if (spec->timeout_ns > 0)
        (void)uv_timer_start(&p->timer, on_deadline, (uint64_t)((spec->timeout_ns + NS_PER_MS - 1) / NS_PER_MS), 0);
    if (ret)
        *ret = p;
    return NULL;
}

void process_signal(Process *p, int sig)
{
    if (!p->ended)
        (void)kill(-p->pid, sig); /* not reaped yet, so the group's number is still its own */
}

void process_abandon(Process *p)
{
    process_signal(p, SIGKILL);
    p->done = NULL;
    p->on_output = NULL;
    /* on_exit_poll still reaps it; nobody is told. */
}

Err *process_run(const ProcessSpec *spec, ProcessResult *res)
{
    *res = (ProcessResult){0};
    SCOPED(fd_close) int pidfd = -EBADF, out = -EBADF, err = -EBADF;
    pid_t pid = -1;
    Err *e = process_spawn(spec, &pid, &pidfd, &out, &err);
    if (e)
        return e;
    Stream streams[2] = {{.fd = out, .open = out >= 0, .into = &res->out},
                         {.fd = err, .open = err >= 0, .is_stderr = true, .into = &res->err}};
    int64_t deadline = spec->timeout_ns > 0 ? os_monotonic_ns() + spec->timeout_ns : INT64_MAX;
    bool ended = false;
    while (!ended || streams[0].open || streams[1].open) {
        struct pollfd fds[3] = {{streams[0].open ? out : -1, POLLIN, 0},
                                {streams[1].open ? err : -1, POLLIN, 0},
                                {ended ? -1 : pidfd, POLLIN, 0}};
        int64_t left = ended ? DRAIN_MS * NS_PER_MS : deadline == INT64_MAX ? -1 : deadline - os_monotonic_ns();
        int n = poll(fds, 3, left < 0 && deadline == INT64_MAX ? -1 : left < 0 ? 0 : (int)(left / NS_PER_MS) + 1);
        if (n < 0 && errno != EINTR)
            return err_new(ERR_SYS, errno, "wait for %s", spec->argv[0]);
        if (n == 0 && ended)
            break;
        if (n == 0) {
            res->timed_out = true;
            (void)kill(-pid, SIGKILL);
            deadline = INT64_MAX;
            continue;
        }
        for (int i = 0; n > 0 && i < 2; i++)
            if (fds[i].revents)
                streams[i].open = stream_read(&streams[i], spec->max_output, spec->on_output, NULL);
        if (n > 0 && fds[2].revents) {
            reap(pidfd, res);
            ended = true;
        }
    }
    return NULL;
}
