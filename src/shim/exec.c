/* One command in a container, run to its end: the runtime's `exec` with the container's own process settings and other
 * arguments, as the kubelet's ExecSync does it. Output is bounded; at the deadline its whole process group dies. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/fs.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

#define OUTPUT_MAX ((int64_t)1 << 20) /* base64 of it fits a message */

typedef struct {
    Shim *shim;
    Req *req;
    Cmd *cmd;
    char *process_file, *pid_file;
    uv_timer_t *timer;
    uv_poll_t *poll[2];
    int fd[2];
    Str out[2];
    size_t max_output;
    bool timed_out;
} Exec;

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

static bool pipe_read(Exec *x, int i)
{
    char buf[8192];
    ssize_t n = read(x->fd[i], buf, sizeof buf);
    if (n > 0) {
        size_t room = x->max_output - x->out[i].n;
        str_add_n(&x->out[i], buf, (size_t)n < room ? (size_t)n : room);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    (void)uv_poll_stop(x->poll[i]);
    return false;
}

static void on_readable(uv_poll_t *p, int rc, int events)
{
    (void)rc;
    (void)events;
    Exec *x = p->data;
    (void)pipe_read(x, p == x->poll[0] ? 0 : 1);
}

/* The command and its process group, which both runtimes make anew (crun by a process in between, so that the command is
 * not its leader). */
static void group_kill(const Exec *x)
{
    SCOPED(str_done) Str text = {0};
    int64_t pid;
    Err *e = fs_read(x->pid_file, 64, &text);
    if (!e && str_to_i64(str_or(text.p, ""), &pid) && pid > 1) {
        pid_t group = getpgid((pid_t)pid);
        if (group > 1 && group != getpgrp())
            (void)kill(-group, SIGKILL);
        (void)kill((pid_t)pid, SIGKILL);
    }
    err_free(e);
    if (x->cmd)
        cmd_kill(x->cmd);
}

static void exec_free(Exec *x)
{
    for (int i = 0; i < 2; i++) {
        if (x->poll[i]) {
            (void)uv_poll_stop(x->poll[i]);
            uv_close((uv_handle_t *)x->poll[i], handle_free);
        }
        fd_close(x->fd[i]);
        str_done(&x->out[i]);
    }
    if (x->timer)
        uv_close((uv_handle_t *)x->timer, handle_free);
    if (x->process_file)
        (void)unlink(x->process_file);
    if (x->pid_file)
        (void)unlink(x->pid_file);
    mem_free(x->process_file);
    mem_free(x->pid_file);
    mem_free(x);
}

static void exec_reply(Exec *x, int status)
{
    SCOPED(str_done) Str all = {0};
    for (int i = 0; i < 2; i++)
        str_add_n(&all, x->out[i].p ? x->out[i].p : "", x->out[i].n);
    /* Without a pid file the command never ran: what was said is the runtime's. */
    if (!x->timed_out && !fs_exists(x->pid_file)) {
        SCOPED(mem_free) char *why = runtime_message(all.p ? all.p : "");
        req_err(x->req, err_new(ERR_SYS, 0, "exec in container: %s", *why ? why : "the runtime failed without a word"));
        return;
    }
    size_t n = all.n < x->max_output ? all.n : x->max_output;
    SCOPED(mem_free) char *output = shim_base64(all.p, n);
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    req_ok(x->req, json_pack("{s:i,s:b,s:s}", "exit_code", code, "timed_out", (int)x->timed_out, "output", output));
}

static void on_done(void *arg, int status, const char *text)
{
    (void)text;
    Exec *x = arg;
    x->cmd = NULL;
    for (int i = 0; i < 2; i++)
        while (pipe_read(x, i)) { /* what a pipe can hold: the command has ended, nobody must write on */
            if (x->out[i].n == x->max_output)
                break;
        }
    if (x->timed_out)
        group_kill(x); /* the runtime may have written the number after the deadline */
    exec_reply(x, status);
    exec_free(x);
}

static void on_deadline(uv_timer_t *t)
{
    Exec *x = t->data;
    x->timed_out = true;
    group_kill(x);
}

/* Programs that draw need a terminal's name: containerd's. */
static void set_term(json_t *process)
{
    json_t *env = json_object_get(process, "env"), *v;
    size_t i;
    json_array_foreach(env, i, v)
    {
        if (str_starts(str_or(json_string_value(v), ""), "TERM=")) {
            (void)json_array_remove(env, i);
            break;
        }
    }
    (void)json_array_append_new(env, json_string("TERM=xterm"));
}

Err *exec_process_write(const Ctr *c, const json_t *argv, bool tty, const char *file)
{
    SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, "config.json");
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *config = NULL;
    Err *e = fs_read(path, SHIM_WIRE_MAX, &text);
    if (!e)
        e = json_parse(text.p ? text.p : "", text.n, &config);
    json_t *process = json_object_get(config, "process");
    if (!e && !json_is_object(process))
        e = err_new(ERR_INVALID, 0, "%s has no process", path);
    if (e)
        return e;
    json_t *args = json_deep_copy(argv);
    (void)json_object_set_new(process, "args", args);
    (void)json_object_set_new(process, "terminal", json_boolean(tty));
    if (tty)
        set_term(process);
    SCOPED(mem_free) char *out = json_dumps(process, JSON_COMPACT);
    return fs_write_atomic(file, out, strlen(out), 0600, false);
}

static Err *pipes_make(Exec *x, int ret_write[2])
{
    for (int i = 0; i < 2; i++) {
        int p[2];
        if (pipe2(p, O_CLOEXEC) < 0)
            return err_new(ERR_SYS, errno, "make a pipe");
        x->fd[i] = p[0];
        ret_write[i] = p[1];
        (void)fcntl(p[0], F_SETFL, O_NONBLOCK);
        x->poll[i] = NEW(uv_poll_t);
        (void)uv_poll_init(&x->shim->loop, x->poll[i], p[0]);
        x->poll[i]->data = x;
        (void)uv_poll_start(x->poll[i], UV_READABLE, on_readable);
    }
    return NULL;
}

static bool argv_good(const json_t *argv)
{
    for (size_t i = 0; i < json_array_size(argv); i++)
        if (!json_is_string(json_array_get(argv, i)))
            return false;
    return json_array_size(argv) > 0;
}

Err *exec_refused(const Ctr *c, const json_t *argv)
{
    if (c->state != CTR_RUNNING || !ctr_alive(c))
        return err_new(ERR_NOT_FOUND, 0, "exec in container %s: it is not running", json_str(ctr_rec(c), "name"));
    return argv_good(argv) ? NULL : err_new(ERR_INVALID, 0, "exec in container %s: argv must be strings", c->id);
}

void exec_run(Ctr *c, Req *r)
{
    const json_t *argv = json_object_get(r->body, "argv");
    Err *refused = exec_refused(c, argv);
    if (refused) {
        req_err(r, refused);
        return;
    }
    Shim *s = c->shim;
    int64_t max = json_i64(r->body, "max_output", OUTPUT_MAX), timeout = json_i64(r->body, "timeout_ns", 0);
    Exec *x = NEW(Exec);
    *x = (Exec){.shim = s, .req = r, .fd = {-EBADF, -EBADF}, .max_output = (size_t)(max < 0 || max > OUTPUT_MAX ? OUTPUT_MAX : max)};
    SCOPED(mem_free) char *process = mem_fmt("exec.%llu.json", (unsigned long long)++s->n_files);
    SCOPED(mem_free) char *pid = mem_fmt("exec.%llu.pid", (unsigned long long)s->n_files);
    x->process_file = ctr_path(s, c->id, process);
    x->pid_file = ctr_path(s, c->id, pid);
    int out[2] = {-EBADF, -EBADF};
    Err *e = exec_process_write(c, argv, false, x->process_file);
    if (!e)
        e = pipes_make(x, out);
    const char *args[] = {"exec", "--process", x->process_file, "--pid-file", x->pid_file, c->id, NULL};
    const SpawnFd fds[] = {{1, out[0]}, {2, out[1]}};
    CmdSpec spec = {.fds = fds, .n_fds = 2, .timeout_ms = UINT64_MAX};
    if (!e)
        e = runtime_run(s, args, &spec, on_done, x, &x->cmd);
    fd_close(out[0]);
    fd_close(out[1]);
    if (e) {
        req_err(r, e);
        exec_free(x);
        return;
    }
    if (timeout > 0) {
        x->timer = NEW(uv_timer_t);
        (void)uv_timer_init(&s->loop, x->timer);
        x->timer->data = x;
        (void)uv_timer_start(x->timer, on_deadline, (uint64_t)((timeout + NS_PER_MS - 1) / NS_PER_MS), 0);
    }
}
