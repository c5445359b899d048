/* A command in a container whose streams are a peer's. The runtime's `exec --detach` starts it, and is gone: the command is our
 * child then, as containers are. Its pipes, or its terminal, are the peer's alone: when he closes them, or dies, the command's input ends,
 * its output breaks, its terminal hangs up. It is not killed for that, and not forgotten: its end is waited for in any case. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/unixsock.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

#define MESSAGE_MAX ((size_t)64 << 10)

typedef struct {
    Shim *shim;
    Peer *peer;   /* NULL = gone */
    char *files;  /* <bundle>/exec.N: .json .pid .log .tty */
    char *bundle;
    bool tty;
    int console;  /* listening, until the terminal has come */
    const char *names[UNIX_MAX_FDS]; /* what goes to the peer */
    int fds[UNIX_MAX_FDS];
    size_t n_fds;
} ExecStream;

static char *file_of(const ExecStream *x, const char *suffix)
{
    return mem_fmt("%s%s", x->files, suffix);
}

static void fds_close(ExecStream *x)
{
    while (x->n_fds)
        fd_close(x->fds[--x->n_fds]);
    fd_close(MOVE(x->console, -EBADF));
}

static void exec_free(ExecStream *x)
{
    static const char *const suffixes[] = {".json", ".pid", ".log", ".tty"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        SCOPED(mem_free) char *path = file_of(x, suffixes[i]);
        (void)unlink(path);
    }
    fds_close(x);
    if (x->peer)
        peer_close(x->peer);
    mem_free(x->files);
    mem_free(x->bundle);
    mem_free(x);
}

static void exec_fail(ExecStream *x, Err *e)
{
    if (x->peer)
        peer_fail(MOVE(x->peer, NULL), e);
    else
        err_free(e);
    exec_free(x);
}

static void on_gone(void *owner)
{
    ExecStream *x = owner;
    x->peer = NULL; /* what follows has nobody to tell */
}

static void on_ended(void *arg, bool known, int status)
{
    ExecStream *x = arg;
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (x->peer && known)
        peer_say(x->peer, json_pack("{s:i}", "exit", code), NULL, 0);
    exec_free(x);
}

static Err *terminal_take(ExecStream *x)
{
    SCOPED(fd_close) int conn = fault_hit("accept") ? -1 : accept4(x->console, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (conn < 0)
        return err_new(ERR_SYS, errno, "receive the terminal");
    Err *e = unix_recv_fd(conn, &x->fds[0]);
    if (e)
        return err_wrap(e, "receive the terminal");
    x->names[0] = "tty";
    x->n_fds = 1;
    return NULL;
}

/* The number of the command that runs. */
static Err *pid_read(const ExecStream *x, int64_t *ret)
{
    SCOPED(mem_free) char *path = file_of(x, ".pid");
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, 64, &text);
    if (!e && (!str_to_i64(str_or(text.p, ""), ret) || *ret <= 1))
        e = err_new(ERR_INVALID, 0, "pid file of a command: \"%s\"", str_or(text.p, ""));
    return e;
}

/* What the runtime says in its log, else where its output went. */
static Err *failure(const ExecStream *x, int status, const char *captured)
{
    SCOPED(mem_free) char *path = file_of(x, ".log");
    SCOPED(str_done) Str text = {0};
    err_free(fs_read(path, MESSAGE_MAX, &text));
    SCOPED(mem_free) char *message = runtime_message(text.n ? text.p : captured);
    if (WIFSIGNALED(status))
        return err_new(ERR_UNAVAILABLE, 0, "OCI runtime exec was killed by signal %d", WTERMSIG(status));
    return err_new(ERR_SYS, 0, "OCI runtime exec failed: %s", *message ? message : "it does not say why");
}

static void on_started(void *arg, int status, const char *text)
{
    ExecStream *x = arg;
    Shim *s = x->shim;
    int64_t pid = 0;
    s->n_busy--;
    Err *e = status != 0 ? failure(x, status, text) : pid_read(x, &pid);
    if (!e && x->tty)
        e = terminal_take(x);
    if (e) {
        exec_fail(x, e); /* should it run all the same, it has lost its terminal */
        return;
    }
    if (x->peer) {
        json_t *names = json_array();
        for (size_t i = 0; i < x->n_fds; i++)
            (void)json_array_append_new(names, json_string(x->names[i]));
        peer_say(x->peer, json_pack("{s:{s:o}}", "ok", "fds", names), x->fds, x->n_fds);
    }
    fds_close(x); /* the peer's alone from now on */
    int ended;
    if (orphan_take(s, (pid_t)pid, &ended))
        on_ended(x, true, ended);
    else
        (void)watch_child(s, (pid_t)pid, on_ended, x);
}

/* A pipe for the command's <child>: its end in *ret_child, the other to the peer. */
static Err *pipe_make(ExecStream *x, int child, const char *name, int *ret_child)
{
    int p[2];
    if (fault_hit("pipe") || pipe2(p, O_CLOEXEC) < 0)
        return err_new(ERR_SYS, errno, "make a pipe");
    x->names[x->n_fds] = name;
    x->fds[x->n_fds++] = p[child == 0];
    *ret_child = p[child != 0];
    return NULL;
}

static Err *start(ExecStream *x, Ctr *c, const json_t *body)
{
    static const char *const names[3] = {"stdin", "stdout", "stderr"};
    SCOPED(mem_free) char *process = file_of(x, ".json");
    SCOPED(mem_free) char *pid = file_of(x, ".pid");
    SCOPED(mem_free) char *log = file_of(x, ".log");
    SCOPED(mem_free) char *tty = file_of(x, ".tty");
    SpawnFd fds[3] = {{0, -EBADF}, {1, -EBADF}, {2, -EBADF}};
    size_t n = 0;
    Err *e = exec_process_write(c, json_object_get(body, "argv"), x->tty, process);
    if (!e && x->tty)
        e = unix_listen(tty, &x->console);
    for (int i = 0; !e && !x->tty && i < 3; i++) {
        if (!json_flag(body, names[i], false))
            continue;
        e = pipe_make(x, i, names[i], &fds[n].parent);
        fds[n].child = i;
        n += !e;
    }
    SCOPED(strvec_done) StrVec args = {0};
    strvec_fmt(&args, "--log=%s", log);
    strvec_add(&args, "exec");
    strvec_add(&args, "--detach");
    strvec_fmt(&args, "--process=%s", process);
    strvec_fmt(&args, "--pid-file=%s", pid);
    if (x->tty) /* relative to the bundle, as a container's: sun_path is short */
        strvec_fmt(&args, "--console-socket=%s", strrchr(tty, '/') + 1);
    strvec_add(&args, c->id);
    CmdSpec spec = {.fds = x->tty ? NULL : fds, .n_fds = n, .cwd = x->bundle};
    if (x->shim->n_busy == 0) /* as for a container: numbers of the past may come back */
        x->shim->n_orphans = 0;
    if (!e)
        e = runtime_run(x->shim, (const char *const *)args.v, &spec, on_started, x, NULL);
    if (!e)
        x->shim->n_busy++;
    for (size_t i = 0; i < n; i++)
        fd_close(fds[i].parent);
    return e;
}

void exec_stream(Ctr *c, Peer *p, const json_t *body)
{
    Shim *s = c->shim;
    Err *e = exec_refused(c, json_object_get(body, "argv"));
    if (e) {
        peer_fail(p, e);
        return;
    }
    ExecStream *x = NEW(ExecStream);
    *x = (ExecStream){.shim = s, .peer = p, .bundle = ctr_path(s, c->id, ""), .tty = json_flag(body, "tty", false), .console = -EBADF};
    x->files = mem_fmt("%s/exec.%llu", x->bundle, (unsigned long long)++s->n_files);
    p->owner = x;
    p->on_gone = on_gone;
    e = start(x, c, body);
    if (e)
        exec_fail(x, e);
}
