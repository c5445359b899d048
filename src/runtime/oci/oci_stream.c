/* Streams of the embedded runtime: a connection to the Pod's shim for each (wire/shimwire.h), which passes the descriptors, and says how
 * it ended. They need nothing else of the runtime: a command can have one beside the agent (oci_stream_open()). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "loop/fdio.h"
#include "os/fs.h"
#include "os/unixsock.h"
#include "runtime/oci/oci.h"
#include "runtime/oci/oci_priv.h"
#include "wire/shimwire.h"

#define RETRY_MS 10 /* when the shim's queue of connections is full */
#define RETRIES 500

typedef enum { STREAM_EXEC, STREAM_ATTACH, STREAM_PORT } StreamKind;

typedef struct {
    RuntimeStream base; /* first */
    uv_loop_t *loop;
    StreamKind kind;
    RuntimeStreamConfig config;
    char *path, *sandbox; /* sandbox: for its messages */
    unsigned port;
    Str out, in;          /* of the connection */
    uv_timer_t timer;     /* connects, and tells what must not be told from within; our memory goes with it */
    uv_poll_t *poll;
    int conn;
    unsigned tries;
    int fds[UNIX_MAX_FDS]; /* that have come and are not in use yet */
    size_t n_fds;
    FdReader *reader[2]; /* of stdout, or the terminal, or the socket; of stderr */
    FdWriter *writer;
    int control;         /* the terminal, for its size */
    Str early;           /* written before it was open */
    unsigned width, height;
    bool opened, ending /* of what we write */, paused, told, ended /* <status> is known */, closed;
    RemoteStatus status;
    char *message;
} OciStream;

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

static void on_closed(uv_handle_t *h)
{
    OciStream *s = h->data;
    mem_free(s->path);
    mem_free(s->sandbox);
    mem_free(s->message);
    str_done(&s->out);
    str_done(&s->in);
    str_done(&s->early);
    mem_free(s);
}

static void conn_close(OciStream *s)
{
    if (s->poll) {
        (void)uv_poll_stop(s->poll);
        uv_close((uv_handle_t *)s->poll, handle_free);
        s->poll = NULL;
    }
    fd_close(MOVE(s->conn, -EBADF));
}

/* Everything that could call back, or that the other side could notice. */
static void let_go(OciStream *s)
{
    conn_close(s);
    fd_reader_free(MOVE(s->reader[0], NULL));
    fd_reader_free(MOVE(s->reader[1], NULL));
    fd_writer_free(MOVE(s->writer, NULL));
    fd_close(MOVE(s->control, -EBADF));
    while (s->n_fds)
        fd_close(s->fds[--s->n_fds]);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *t);

static void later(OciStream *s, uint64_t ms)
{
    if (!s->closed)
        (void)uv_timer_start(&s->timer, on_timer, ms, 0);
}

/* It is over when that is known and all that was said was told. */
static void maybe_over(OciStream *s)
{
    if (!s->ended || s->told || s->closed || s->reader[0] || s->reader[1])
        return;
    s->told = true;
    let_go(s);
    s->status.message = str_or(s->message, "");
    if (s->config.ops->on_over)
        s->config.ops->on_over(s->config.arg, &s->status);
}

static void end_with(OciStream *s, RemoteEnd end, int code, char *message /* taken */)
{
    if (s->ended) {
        mem_free(message);
        return;
    }
    s->ended = true;
    s->status = (RemoteStatus){end, code, ""};
    s->message = message;
}

/* As a CRI runtime's streaming server says it. */
static char *failure(const OciStream *s, Err *e)
{
    SCOPED(mem_free) char *why = err_text(e);
    err_free(e);
    if (s->kind == STREAM_EXEC)
        return mem_fmt("error executing command in container: failed to exec in container: %s", why);
    if (s->kind == STREAM_ATTACH)
        return mem_fmt("error attaching to container: failed to attach to container: %s", why);
    return mem_fmt("error forwarding port %u to pod %s, uid : %s", s->port, s->sandbox, why);
}

static void fail(OciStream *s, Err *e)
{
    end_with(s, REMOTE_FAILED, 0, failure(s, e));
}

static void lost(OciStream *s)
{
    end_with(s, REMOTE_LOST, 0, mem_dup_str("lost connection to the container"));
    fd_reader_free(MOVE(s->reader[0], NULL));
    fd_reader_free(MOVE(s->reader[1], NULL));
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static void from_reader(OciStream *s, int i, const void *bytes, size_t n, int sys)
{
    RemoteStream which = i ? REMOTE_STDERR : REMOTE_STDOUT;
    if (n) {
        if (s->config.ops->on_data)
            s->config.ops->on_data(s->config.arg, which, bytes, n);
        return;
    }
    fd_reader_free(MOVE(s->reader[i], NULL));
    if (s->kind == STREAM_PORT && sys) {
        SCOPED(mem_free) char *why = err_go_errno(sys);
        fail(s, err_new(ERR_UNAVAILABLE, 0, "failed to connect to localhost:%u: %s", s->port, why));
    }
    if (s->config.ops->on_end)
        s->config.ops->on_end(s->config.arg, which);
    if (s->closed)
        return;
    if (s->kind == STREAM_PORT && !s->writer) /* both halves have ended */
        end_with(s, REMOTE_SUCCESS, 0, NULL);
    maybe_over(s);
}

static void on_first(void *arg, const void *bytes, size_t n, int sys)
{
    from_reader(arg, 0, bytes, n, sys);
}

static void on_second(void *arg, const void *bytes, size_t n, int sys)
{
    from_reader(arg, 1, bytes, n, sys);
}

static void on_drained(void *arg)
{
    OciStream *s = arg;
    if (s->config.ops->on_sent)
        s->config.ops->on_sent(s->config.arg);
}

static void say_stdin_end(OciStream *s);

static void on_ended(void *arg)
{
    OciStream *s = arg;
    fd_writer_free(MOVE(s->writer, NULL));
    if (s->kind == STREAM_ATTACH)
        say_stdin_end(s);
    if (s->kind == STREAM_PORT && !s->reader[0])
        end_with(s, REMOTE_SUCCESS, 0, NULL);
    maybe_over(s);
}

static void on_broken(void *arg)
{
    OciStream *s = arg;
    fd_writer_free(MOVE(s->writer, NULL));
    if (s->config.ops->on_end)
        s->config.ops->on_end(s->config.arg, REMOTE_STDIN);
    if (s->closed)
        return;
    if (s->kind == STREAM_PORT && !s->reader[0])
        end_with(s, REMOTE_SUCCESS, 0, NULL);
    maybe_over(s);
}

static const FdWriterOps writer_ops = {on_drained, on_ended, on_broken};

/* --- what the shim says ------------------------------------------------------------------------------------------- */

static void on_conn(uv_poll_t *p, int rc, int events);

static void flush(OciStream *s)
{
    while (s->out.n) {
        ssize_t n = send(s->conn, s->out.p, s->out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* full: later; broken: reading will tell */
        memmove(s->out.p, s->out.p + n, s->out.n - (size_t)n + 1);
        s->out.n -= (size_t)n;
    }
    (void)uv_poll_start(s->poll, s->out.n ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_conn);
}

/* stdin is written, and closed. A container that does not see that has nothing to do with us any more: containerd ends it so, too. */
static void say_stdin_end(OciStream *s)
{
    if (!s->config.stdin_ || s->conn < 0)
        return;
    SCOPED(json_unref) json_t *m = json_pack("{s:s}", "op", "stdin_end");
    err_free(shim_frame_put(&s->out, m));
    flush(s);
}

static void set_size(OciStream *s)
{
    struct winsize w = {.ws_col = (unsigned short)s->width, .ws_row = (unsigned short)s->height};
    if (s->control >= 0 && s->width)
        (void)ioctl(s->control, TIOCSWINSZ, &w);
}

static int dup_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void use_fd(OciStream *s, const char *name, int fd)
{
    bool both = str_eq(name, "socket") || (str_eq(name, "tty") && s->kind == STREAM_EXEC);
    if (str_eq(name, "tty")) {
        s->control = dup_fd(fd);
        set_size(s);
    }
    int in = both || str_eq(name, "tty") || str_eq(name, "stdin") ? fd : -EBADF;
    int out = both ? dup_fd(fd) : in < 0 ? fd : -EBADF;
    if (in >= 0 && (s->config.stdin_ || s->kind == STREAM_PORT) && !s->writer)
        s->writer = fd_writer_new(s->loop, in, &writer_ops, s);
    else
        fd_close(in);
    int i = str_eq(name, "stderr");
    if (out >= 0 && !s->reader[i]) {
        s->reader[i] = fd_reader_new(s->loop, out, i ? on_second : on_first, s);
        fd_reader_pause(s->reader[i], s->paused);
    } else {
        fd_close(out);
    }
}

static void opened(OciStream *s, const json_t *names)
{
    size_t n = MOVE(s->n_fds, 0);
    for (size_t i = 0; i < n; i++)
        use_fd(s, str_or(json_string_value(json_array_get(names, i)), ""), s->fds[i]);
    s->opened = true;
    SCOPED(str_done) Str early = MOVE(s->early, (Str){0});
    if (s->writer && early.n)
        fd_writer_write(s->writer, early.p, early.n);
    if (s->writer && s->ending)
        fd_writer_end(s->writer);
    if (s->kind == STREAM_PORT) /* it has nothing more to say */
        conn_close(s);
    if (s->config.ops->on_open)
        s->config.ops->on_open(s->config.arg);
    if (s->closed)
        return;
    if (s->ending && !s->writer && s->kind == STREAM_ATTACH)
        say_stdin_end(s);
    if (early.n && (!s->writer || !fd_writer_queued(s->writer)))
        on_drained(s);
}

static void on_message(OciStream *s, const json_t *m)
{
    const json_t *ok = json_object_get(m, "ok"), *error = json_object_get(m, "error");
    if (error)
        fail(s, shim_error_read(error));
    else if (ok && !s->opened)
        opened(s, json_object_get(ok, "fds"));
    else if (json_object_get(m, "exit")) {
        int code = (int)json_i64(m, "exit", 0);
        SCOPED(mem_free) char *text = mem_fmt("command terminated with exit code %d", code);
        end_with(s, code ? REMOTE_EXIT_CODE : REMOTE_SUCCESS, code, code ? MOVE(text, NULL) : NULL);
    }
}

/* False when no whole message is left, or <s> was closed. */
static bool take_message(OciStream *s)
{
    SCOPED(json_unref) json_t *m = NULL;
    size_t used;
    Err *e = shim_frame_get(str_or(s->in.p, ""), s->in.n, &m, &used);
    if (e) {
        fail(s, err_wrap(e, "the Pod's shim"));
        return false;
    }
    if (!m)
        return false;
    memmove(s->in.p, s->in.p + used, s->in.n - used + 1);
    s->in.n -= used;
    on_message(s, m);
    return !s->closed;
}

static void on_conn(uv_poll_t *p, int rc, int events)
{
    static char buf[16384];
    OciStream *s = p->data;
    (void)rc;
    if (events & UV_WRITABLE)
        flush(s);
    ssize_t n = unix_recv_fds(s->conn, buf, sizeof buf, s->fds, UNIX_MAX_FDS, &s->n_fds);
    bool end = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n > 0)
        str_add_n(&s->in, buf, (size_t)n);
    while (n > 0 && take_message(s)) {
    }
    if (end && !s->closed) {
        conn_close(s);
        if (!s->ended)
            lost(s);
    }
    maybe_over(s);
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

static void connect_now(OciStream *s)
{
    Err *e = unix_connect_now(s->path, &s->conn);
    if (e && e->sys == EAGAIN && ++s->tries < RETRIES) {
        err_free(e);
        later(s, RETRY_MS);
        return;
    }
    if (e) {
        bool old = e->kind == ERR_NOT_FOUND;
        fail(s, old ? err_wrap(e, "the Pod's shim has gone, or is one of an older reprise that has no streams") : e);
        maybe_over(s);
        return;
    }
    s->poll = NEW(uv_poll_t);
    (void)uv_poll_init(s->loop, s->poll, s->conn);
    s->poll->data = s;
    flush(s);
}

static void on_timer(uv_timer_t *t)
{
    OciStream *s = t->data;
    if (s->ended)
        maybe_over(s);
    else if (s->conn < 0 && !s->opened)
        connect_now(s);
}

/* --- the methods -------------------------------------------------------------------------------------------------- */

static OciStream *of(RuntimeStream *s)
{
    return (OciStream *)(void *)s;
}

static void stream_write(RuntimeStream *base, const void *bytes, size_t n)
{
    OciStream *s = of(base);
    if (s->ending || s->told)
        return;
    if (s->writer)
        fd_writer_write(s->writer, bytes, n);
    else if (!s->opened && (s->config.stdin_ || s->kind == STREAM_PORT))
        str_add_n(&s->early, bytes, n);
}

static void stream_end(RuntimeStream *base)
{
    OciStream *s = of(base);
    if (s->ending || s->told)
        return;
    s->ending = true;
    if (s->writer)
        fd_writer_end(s->writer);
    else if (s->opened && s->kind == STREAM_ATTACH)
        say_stdin_end(s);
}

static size_t stream_queued(const RuntimeStream *base)
{
    const OciStream *s = (const OciStream *)(const void *)base;
    return s->early.n + (s->writer ? fd_writer_queued(s->writer) : 0);
}

static void stream_pause(RuntimeStream *base, bool pause)
{
    OciStream *s = of(base);
    s->paused = pause;
    for (int i = 0; i < 2; i++)
        if (s->reader[i])
            fd_reader_pause(s->reader[i], pause);
}

static void stream_resize(RuntimeStream *base, unsigned width, unsigned height)
{
    OciStream *s = of(base);
    s->width = width;
    s->height = height;
    set_size(s);
}

static void stream_close(RuntimeStream *base)
{
    OciStream *s = of(base);
    if (MOVE(s->closed, true))
        return;
    let_go(s);
    uv_close((uv_handle_t *)&s->timer, on_closed); /* a callback of ours may be on the stack */
}

static const RuntimeStreamMethods methods = {stream_write, stream_end, stream_queued, stream_pause, stream_resize, stream_close};

static OciStream *stream_new(uv_loop_t *loop, const char *run_dir, const char *uid, StreamKind kind, const RuntimeStreamConfig *c)
{
    OciStream *s = NEW(OciStream);
    *s = (OciStream){.base.methods = &methods, .loop = loop, .kind = kind, .config = *c, .conn = -EBADF, .control = -EBADF,
                     .path = mem_fmt("%s/pods/%s/stream.sock", run_dir, uid)};
    s->config.argv = NULL;
    (void)uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    later(s, 0);
    return s;
}

static Err *ask(OciStream *s, json_t *request, RuntimeStream **ret)
{
    Err *e = shim_frame_put(&s->out, request);
    json_decref(request);
    if (e)
        stream_close(&s->base);
    else
        *ret = &s->base;
    return e;
}

Err *oci_stream_exec(uv_loop_t *loop, const char *run_dir, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    json_t *argv = json_array();
    for (const char *const *a = c->argv; *a; a++)
        if (json_array_append_new(argv, json_string(*a)) != 0) {
            json_decref(argv);
            return err_new(ERR_INVALID, 0, "the command is not UTF-8");
        }
    return ask(stream_new(loop, run_dir, uid, STREAM_EXEC, c),
               json_pack("{s:s,s:s,s:o,s:b,s:b,s:b,s:b}", "op", "exec", "container", id, "argv", argv, "tty", c->tty, "stdin", c->stdin_,
                         "stdout", c->stdout_, "stderr", c->stderr_ && !c->tty),
               ret);
}

Err *oci_stream_attach(uv_loop_t *loop, const char *run_dir, const char *uid, const char *id, const RuntimeStreamConfig *c,
                       RuntimeStream **ret)
{
    return ask(stream_new(loop, run_dir, uid, STREAM_ATTACH, c),
               json_pack("{s:s,s:s,s:b,s:b,s:b}", "op", "attach", "container", id, "stdin", c->stdin_, "stdout", c->stdout_, "stderr",
                         c->stderr_),
               ret);
}

Err *oci_stream_port(uv_loop_t *loop, const char *run_dir, const char *uid, const char *sandbox, unsigned port,
                     const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    OciStream *s = stream_new(loop, run_dir, uid, STREAM_PORT, c);
    s->port = port;
    s->sandbox = mem_dup_str(sandbox);
    return ask(s, json_pack("{s:s,s:s,s:i}", "op", "dial", "sandbox", sandbox, "port", (int)port), ret);
}

/* --- behind runtime.h --------------------------------------------------------------------------------------------- */

static Err *known(OciRuntime *rt, const char *uid, const char *id, bool sandbox)
{
    const PodShim *p = pod_find(rt, uid);
    if (sandbox ? pod_sandbox(p, id) != NULL : pod_container(p, id) != NULL)
        return NULL;
    return err_new(ERR_NOT_FOUND, 0, "the runtime holds no %s %s of Pod %s", sandbox ? "sandbox" : "container", id, uid);
}

Err *oci_exec(Runtime *base, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    OciRuntime *rt = (OciRuntime *)base;
    Err *e = known(rt, uid, id, false);
    return e ? e : oci_stream_exec(rt->loop, rt->run_dir, uid, id, c, ret);
}

Err *oci_attach(Runtime *base, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    OciRuntime *rt = (OciRuntime *)base;
    Err *e = known(rt, uid, id, false);
    return e ? e : oci_stream_attach(rt->loop, rt->run_dir, uid, id, c, ret);
}

Err *oci_port_forward(Runtime *base, const char *uid, const char *sandbox_id, unsigned port, const RuntimeStreamConfig *c,
                      RuntimeStream **ret)
{
    OciRuntime *rt = (OciRuntime *)base;
    Err *e = known(rt, uid, sandbox_id, true);
    return e ? e : oci_stream_port(rt->loop, rt->run_dir, uid, sandbox_id, port, c, ret);
}
