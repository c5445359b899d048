/* cmd_exec.c - `reprise exec` and `reprise attach`: a container's streams on this terminal, from the Pod's runtime itself. Messages
 * and exit statuses are kubectl's. */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#include "cli/pod_target.h"
#include "cli/terminal.h"
#include "os/fs.h"

#define QUEUE_MAX ((size_t)256 << 10) /* of what was read from stdin and is not sent: then nothing more is read */

int cmd_exec(int argc, char **argv);
int cmd_attach(int argc, char **argv);

typedef struct {
    uv_loop_t loop;
    uv_poll_t readable; /* of an epoll that watches stdin: stdin itself stays as it is, libuv would make it non-blocking for all who share it */
    uv_idle_t always;   /* instead, when stdin is a file */
    uv_signal_t resized;
    int epoll;
    RuntimeStream *stream;
    RuntimeStreamConfig config;
    bool is_file, open, reading, input_over, nudge, raw;
    int status;
    Err *failed;
} Session;

/* --- output ------------------------------------------------------------------------------------------------------- */

/* Blocking: there is nobody else to serve. A reader that has gone ends us as it would end any program. */
static void write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
        } else if (done < 0 && errno == EPIPE) {
            terminal_restore();
            signal(SIGPIPE, SIG_DFL);
            raise(SIGPIPE);
        } else if (done < 0 && errno != EINTR) {
            return;
        } else if (done > 0) {
            p += done;
            n -= (size_t)done;
        }
    }
}

static void on_data(void *arg, RemoteStream which, const void *bytes, size_t n)
{
    (void)arg;
    write_all(which == REMOTE_STDERR ? STDERR_FILENO : STDOUT_FILENO, bytes, n);
}

/* --- input -------------------------------------------------------------------------------------------------------- */

static void stop_reading(Session *s)
{
    s->reading = false;
    if (s->is_file)
        (void)uv_idle_stop(&s->always);
    else
        (void)uv_poll_stop(&s->readable);
}

static void read_input(Session *s)
{
    static char buf[65536];
    ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        runtime_stream_write(s->stream, buf, (size_t)n);
    } else {
        s->input_over = true;
        runtime_stream_end(s->stream);
    }
    if (s->input_over || runtime_stream_queued(s->stream) > QUEUE_MAX)
        stop_reading(s);
}

static void on_always(uv_idle_t *h)
{
    read_input(h->data);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    read_input(h->data);
}

static void start_reading(Session *s)
{
    if (s->reading || s->input_over || !s->config.stdin_ || !s->open || runtime_stream_queued(s->stream) > QUEUE_MAX)
        return;
    s->reading = true;
    if (s->is_file)
        (void)uv_idle_start(&s->always, on_always);
    else
        (void)uv_poll_start(&s->readable, UV_READABLE, on_readable);
}

static void on_end(void *arg, RemoteStream which)
{
    Session *s = arg;
    if (which != REMOTE_STDIN)
        return;
    s->input_over = true;
    if (s->reading)
        stop_reading(s);
}

static void send_size(Session *s)
{
    unsigned w, h;
    if (!s->config.tty || !s->open || !terminal_size(STDOUT_FILENO, &w, &h))
        return;
    if (s->nudge) /* a size that is another one makes programs draw anew: kubectl attach */
        runtime_stream_resize(s->stream, w + 1, h + 1);
    s->nudge = false;
    runtime_stream_resize(s->stream, w, h);
}

static void on_resized(uv_signal_t *h, int signum)
{
    (void)signum;
    send_size(h->data);
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

static void on_open(void *arg)
{
    Session *s = arg;
    s->open = true;
    send_size(s);
    start_reading(s);
}

static void on_sent(void *arg)
{
    start_reading(arg);
}

static void on_over(void *arg, const RemoteStatus *st)
{
    Session *s = arg;
    s->status = st->end == REMOTE_SUCCESS ? EXIT_OK : st->end == REMOTE_EXIT_CODE ? st->code : EXIT_FAILED;
    if (st->end == REMOTE_FAILED || st->end == REMOTE_LOST)
        s->failed = err_new(ERR_UNAVAILABLE, 0, "%s", st->message);
    else if (st->end == REMOTE_EXIT_CODE) {
        terminal_restore();
        fprintf(stderr, "%s\n", st->message);
    }
    uv_stop(&s->loop);
}

static const RuntimeStreamOps stream_ops = {on_open, on_data, on_end, on_sent, on_over};

static void session_open(Session *s)
{
    (void)uv_idle_init(&s->loop, &s->always);
    (void)uv_signal_init(&s->loop, &s->resized);
    s->always.data = s->readable.data = s->resized.data = s;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN};
    s->is_file = s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e) != 0 ||
                 uv_poll_init(&s->loop, &s->readable, s->epoll) != 0;
    s->readable.data = s;
}

static void on_walk(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

typedef Err *StreamOpen(PodTarget *p, uv_loop_t *loop, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret);

static int session_run(Session *s, PodTarget *p, const char *id, StreamOpen *begin)
{
    s->config.ops = &stream_ops;
    s->config.arg = s;
    s->status = EXIT_FAILED;
    (void)uv_loop_init(&s->loop);
    session_open(s);
    s->failed = begin(p, &s->loop, id, &s->config, &s->stream);
    if (!s->failed && s->raw)
        s->failed = terminal_raw();
    if (!s->failed && s->config.tty)
        (void)uv_signal_start(&s->resized, on_resized, SIGWINCH);
    if (!s->failed)
        (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    terminal_restore();
    runtime_stream_close(s->stream);
    uv_walk(&s->loop, on_walk, NULL);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&s->loop);
    fd_close(s->epoll);
    return s->failed ? cli_fail(MOVE(s->failed, NULL)) : s->status;
}

/* --- the commands ------------------------------------------------------------------------------------------------- */

/* kubectl's StreamOptions.SetupTTY(): -t without -i is none, and one needs a terminal. */
static void choose_streams(const CliArgs *a, RuntimeStreamConfig *c)
{
    c->stdin_ = cli_flag(a, "stdin");
    c->tty = cli_flag(a, "tty") && c->stdin_;
    c->stdout_ = c->stderr_ = true;
    c->websocket = cli_flag(a, "websocket");
    if (c->tty && !terminal_is(STDIN_FILENO)) {
        c->tty = false;
        if (!cli_flag(a, "quiet"))
            fputs("Unable to use a TTY - input is not a terminal or the right kind of file\n", stderr);
    }
}

int cmd_exec(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    SCOPED(pod_target_done) PodTarget p = {0};
    Session s = {0};
    const char *name, *id;
    const Container *spec;
    int code = cli_parse("exec", argc, argv, &a);
    if (code >= 0)
        return code;
    size_t behind = 0; /* operands behind "--" */
    for (int i = 1; i < argc && !behind; i++)
        if (str_eq(argv[i], "--"))
            behind = (size_t)(argc - i - 1);
    if (a.n - behind != 1)
        return cli_usage(&a, "give one Pod, and the command behind \"--\": exec POD -- COMMAND");
    if (!behind)
        return cli_usage(&a, "you must specify at least one command for the container");
    choose_streams(&a, &s.config);
    s.raw = s.config.tty;
    Err *e = pod_target_open(&a, a.operands[0], &p);
    e = e ? e : pod_target_container(&p, cli_opt(&a, "container"), "exec into", cli_flag(&a, "quiet"), &name, &id, &spec);
    SCOPED(strvec_done) StrVec command = {0};
    for (size_t i = 1; i < a.n; i++)
        strvec_add(&command, a.operands[i]);
    s.config.argv = (const char *const *)command.v;
    return e ? cli_fail(e) : session_run(&s, &p, id, pod_target_exec);
}

int cmd_attach(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    SCOPED(pod_target_done) PodTarget p = {0};
    Session s = {.nudge = true};
    const char *name, *id;
    const Container *spec;
    int code = cli_parse("attach", argc, argv, &a);
    if (code >= 0)
        return code;
    bool quiet = cli_flag(&a, "quiet");
    Err *e = pod_target_open(&a, a.operands[0], &p);
    e = e ? e : pod_target_container(&p, cli_opt(&a, "container"), "attach to", quiet, &name, &id, &spec);
    if (e)
        return cli_fail(e);
    choose_streams(&a, &s.config);
    bool has_tty = spec ? spec->tty.v : s.config.tty;
    if (s.config.tty && !has_tty && !quiet)
        fprintf(stderr, "error: Unable to use a TTY - container %s did not allocate one\n", name);
    s.raw = s.config.tty && has_tty;
    s.config.tty = has_tty; /* what it was made with decides how its output comes */
    if (s.raw && !quiet)
        fputs("If you don't see a command prompt, try pressing enter.\n", stderr);
    return session_run(&s, &p, id, pod_target_attach);
}
