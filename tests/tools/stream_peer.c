/* stream_peer - the server's end of src/stream with nothing above it, on a socket that somebody else has upgraded:
 * tests/integration/test_kubectl_streams.py points kubectl at it.
 *
 *   stream_peer FD exec spdy|websocket PROTOCOL [stdin] [stdout] [stderr] [tty]
 *     what comes on stdin goes to stdout; a new size is a line there; at the end of stdin, or at a line "exit": "N bytes" on stderr
 *     (with a tty, on stdout), exit code 3
 *   stream_peer FD forward spdy|websocket
 *     each connection is an echo; port 9 refuses */
#include <signal.h>
#include <stdio.h>
#include <uv.h>

#include "stream/dial.h"
#include "stream/portforward.h"
#include "stream/remotecommand.h"

static Dial *dial;
static Remote *remote;
static PortForward *forward;
static Websocket *tunnel; /* of <forward> */
static size_t got;
static bool tty;

/* --- exec --------------------------------------------------------------------------------------------------------- */

static void finish(void)
{
    SCOPED(mem_free) char *text = mem_fmt("%zu bytes\n", got);
    remote_write(remote, tty ? REMOTE_STDOUT : REMOTE_STDERR, text, strlen(text));
    remote_finish(remote, &(RemoteStatus){REMOTE_EXIT_CODE, 3, "command terminated with exit code 3"});
}

static void on_data(void *arg, RemoteStream which, const uint8_t *bytes, size_t n)
{
    (void)arg;
    (void)which;
    got += n;
    remote_write(remote, REMOTE_STDOUT, bytes, n);
    if (n >= 4 && memmem(bytes, n, "exit", 4))
        finish();
}

static void on_end(void *arg, RemoteStream which)
{
    (void)arg;
    if (which == REMOTE_STDIN)
        finish();
}

static void on_resize(void *arg, unsigned width, unsigned height)
{
    (void)arg;
    SCOPED(mem_free) char *text = mem_fmt("size %ux%u\r\n", width, height);
    remote_write(remote, REMOTE_STDOUT, text, strlen(text));
}

static const RemoteOps remote_ops = {.on_data = on_data, .on_end = on_end, .on_resize = on_resize};

/* --- port-forward ------------------------------------------------------------------------------------------------- */

static void on_open(void *arg, PortConn *c, unsigned port)
{
    (void)arg;
    if (port == 9)
        portconn_close(c, "connection refused");
}

static void on_conn_data(void *arg, PortConn *c, const uint8_t *bytes, size_t n)
{
    (void)arg;
    portconn_write(c, bytes, n);
}

static void on_conn_end(void *arg, PortConn *c)
{
    (void)arg;
    portconn_close(c, NULL);
}

static const PortForwardOps forward_ops = {.on_open = on_open, .on_data = on_conn_data, .on_end = on_conn_end};

static void on_tunnel(void *arg, unsigned channel, const uint8_t *bytes, size_t n, bool last)
{
    (void)arg;
    (void)channel;
    (void)last;
    SCOPED(err_free) Err *e = portforward_recv(forward, bytes, n);
    if (e)
        websocket_close(tunnel, 1002, "");
}

static const WebsocketOps tunnel_ops = {.on_data = on_tunnel};

/* --- the socket --------------------------------------------------------------------------------------------------- */

static Err *on_bytes(void *arg, const void *bytes, size_t n)
{
    (void)arg;
    return remote ? remote_recv(remote, bytes, n) : tunnel ? websocket_recv(tunnel, bytes, n) : portforward_recv(forward, bytes, n);
}

static void pull(void *arg, Str *out)
{
    (void)arg;
    if (remote) {
        remote_take(remote, out);
        return;
    }
    SCOPED(str_done) Str frames = {0};
    portforward_take(forward, tunnel ? &frames : out);
    if (!tunnel)
        return;
    if (frames.n)
        websocket_send(tunnel, 0, frames.p, frames.n);
    websocket_take(tunnel, out);
}

static void on_sent(void *arg)
{
    (void)arg;
    if (remote && remote_over(remote) && !remote_queued(remote))
        dial_free(MOVE(dial, NULL));
}

static void on_over(void *arg, Err *why)
{
    (void)arg;
    SCOPED(mem_free) char *text = why ? err_text(why) : NULL;
    if (text)
        fprintf(stderr, "stream_peer: %s\n", text);
    err_free(why);
    dial_free(MOVE(dial, NULL));
}

static const DialOps dial_ops = {.on_bytes = on_bytes, .pull = pull, .on_sent = on_sent, .on_over = on_over};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 4)
        return 2;
    bool websocket = str_eq(argv[3], "websocket");
    if (str_eq(argv[2], "exec") && argc > 4) {
        RemoteConfig c = {.server = true, .websocket = websocket, .protocol = remote_protocol(argv[4], websocket), .ops = &remote_ops};
        for (int i = 5; i < argc; i++) {
            c.stdin_ = c.stdin_ || str_eq(argv[i], "stdin");
            c.stdout_ = c.stdout_ || str_eq(argv[i], "stdout");
            c.stderr_ = c.stderr_ || str_eq(argv[i], "stderr");
            c.tty = c.tty || str_eq(argv[i], "tty");
        }
        tty = c.tty;
        remote = c.protocol ? remote_new(&c) : NULL;
        if (!remote)
            return 2;
    } else {
        forward = portforward_new(true, &forward_ops, NULL);
        if (websocket)
            tunnel = websocket_new(&(WebsocketConfig){.server = true, .mode = WEBSOCKET_RAW, .ops = &tunnel_ops});
    }
    SCOPED(err_free) Err *e = dial_adopt(uv_default_loop(), atoi(argv[1]), NULL, 0, &dial_ops, NULL, &dial);
    if (e)
        return 1;
    (void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    (void)uv_loop_close(uv_default_loop());
    remote_free(remote);
    portforward_free(forward);
    websocket_free(tunnel);
    return 0;
}
