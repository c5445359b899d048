/* cmd_port_forward.c - `reprise port-forward`: local ports whose connections go into a Pod, from the Pod's runtime itself. Messages are
 * kubectl's. Each connection is a stream of its own: a local client that does not read holds up nobody else. */
#include <netinet/in.h>
#include <signal.h>
#include <uv.h>

#include "cli/pod_target.h"

#define QUEUE_MAX ((size_t)1 << 20) /* bytes that wait for one side: then the other is not read */

int cmd_port_forward(int argc, char **argv);

typedef struct Forward Forward;
typedef struct { unsigned local, remote; } Port;
typedef struct {
    uv_tcp_t tcp;
    Forward *forward;
    Port port;
} Listener;
/* A local client. It goes when its socket is closed; <stream> is NULL once the far end is done with it. */
typedef struct Local {
    uv_tcp_t tcp;
    uv_shutdown_t shutdown;
    Forward *forward;
    struct Local *next;
    RuntimeStream *stream;
    Port port;
    bool reading, ended;
    char buf[65536];
} Local;

struct Forward {
    uv_loop_t loop;
    uv_signal_t interrupted;
    PodTarget *target;
    Local *locals;
    LIST_OF(Listener *) listeners;
    LIST_OF(Port) ports;
    const char *addresses;
    int status;
    Err *failed;
};

/* --- local clients ------------------------------------------------------------------------------------------------ */

static void on_local_closed(uv_handle_t *h)
{
    free(h->data);
}

static void local_close(Local *l)
{
    if (uv_is_closing((uv_handle_t *)&l->tcp))
        return;
    for (Local **p = &l->forward->locals; *p; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            break;
        }
    runtime_stream_close(MOVE(l->stream, NULL));
    uv_close((uv_handle_t *)&l->tcp, on_local_closed);
}

/* Nothing is read from the Pod while the client is far behind. */
static void balance(Local *l)
{
    if (l->stream)
        runtime_stream_pause(l->stream, uv_stream_get_write_queue_size((uv_stream_t *)&l->tcp) > QUEUE_MAX);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    Local *l = h->data;
    (void)suggested;
    *buf = uv_buf_init(l->buf, sizeof l->buf);
}

static void on_local_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    Local *l = stream->data;
    if (n > 0 && l->stream)
        runtime_stream_write(l->stream, buf->base, (size_t)n);
    if (n == UV_EOF) {
        l->ended = true;
        l->reading = false;
        (void)uv_read_stop(stream);
        if (l->stream)
            runtime_stream_end(l->stream);
    } else if (n < 0) {
        local_close(l);
    } else if (l->stream && runtime_stream_queued(l->stream) > QUEUE_MAX) {
        l->reading = false;
        (void)uv_read_stop(stream);
    }
}

static void local_read(Local *l)
{
    if (!l->reading && !l->ended && l->stream)
        l->reading = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_local_read) == 0;
}

typedef struct { uv_write_t req; char bytes[]; } Write;

static void on_local_written(uv_write_t *req, int status)
{
    Local *l = req->handle->data;
    free(req->data);
    if (uv_is_closing((uv_handle_t *)&l->tcp))
        return;
    if (status)
        local_close(l);
    else
        balance(l);
}

static void on_data(void *arg, RemoteStream which, const void *bytes, size_t n)
{
    Local *l = arg;
    (void)which;
    Write *w = mem_alloc(sizeof *w + n);
    memcpy(w->bytes, bytes, n);
    w->req.data = w;
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)n);
    if (uv_write(&w->req, (uv_stream_t *)&l->tcp, &buf, 1, on_local_written) != 0)
        free(w);
    balance(l);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    Local *l = req->data;
    if (!l->stream || status) /* all was written, and the far end is done */
        local_close(l);
}

/* Behind what is still to be written. */
static void local_shutdown(Local *l)
{
    l->shutdown.data = l;
    if (uv_is_writable((uv_stream_t *)&l->tcp) && uv_shutdown(&l->shutdown, (uv_stream_t *)&l->tcp, on_shutdown) == 0)
        return;
    if (!l->stream && uv_stream_get_write_queue_size((uv_stream_t *)&l->tcp) == 0)
        local_close(l);
}

static void on_end(void *arg, RemoteStream which)
{
    if (which == REMOTE_STDOUT)
        local_shutdown(arg);
}

static void on_sent(void *arg)
{
    local_read(arg);
}

static void finish(Forward *f, Err *e, int status);

static void on_over(void *arg, const RemoteStatus *st)
{
    Local *l = arg;
    Forward *f = l->forward;
    bool failed = st->end == REMOTE_FAILED || st->end == REMOTE_LOST;
    if (failed)
        fprintf(stderr, "reprise: an error occurred forwarding %u -> %u: %s\n", l->port.local, l->port.remote, st->message);
    runtime_stream_close(MOVE(l->stream, NULL));
    if (l->reading)
        (void)uv_read_stop((uv_stream_t *)&l->tcp);
    l->reading = false;
    local_shutdown(l);
    if (failed && !pod_target_lives(f->target))
        finish(f, err_new(ERR_UNAVAILABLE, 0, "lost connection to pod"), EXIT_FAILED);
}

static const RuntimeStreamOps stream_ops = {.on_data = on_data, .on_end = on_end, .on_sent = on_sent, .on_over = on_over};

static void on_connection(uv_stream_t *server, int status)
{
    Listener *from = server->data;
    Forward *f = from->forward;
    if (status)
        return;
    Local *l = NEW(Local);
    l->forward = f;
    l->port = from->port;
    (void)uv_tcp_init(&f->loop, &l->tcp);
    l->tcp.data = l;
    const RuntimeStreamConfig c = {.ops = &stream_ops, .arg = l};
    Err *e = NULL;
    if (uv_accept(server, (uv_stream_t *)&l->tcp) == 0) {
        printf("Handling connection for %u\n", l->port.local);
        (void)fflush(stdout);
        e = pod_target_port(f->target, &f->loop, l->port.remote, &c, &l->stream);
    }
    if (!l->stream) {
        uv_close((uv_handle_t *)&l->tcp, on_local_closed);
        bool lives = !e || pod_target_lives(f->target);
        SCOPED(mem_free) char *why = e ? err_text(e) : NULL;
        err_free(e);
        if (why)
            fprintf(stderr, "reprise: an error occurred forwarding %u -> %u: %s\n", from->port.local, from->port.remote, why);
        if (!lives)
            finish(f, err_new(ERR_UNAVAILABLE, 0, "lost connection to pod"), EXIT_FAILED);
        return;
    }
    l->next = f->locals;
    f->locals = l;
    (void)uv_tcp_nodelay(&l->tcp, 1);
    local_read(l);
}

/* --- listening ---------------------------------------------------------------------------------------------------- */

static Err *listen_on(Forward *f, const char *address, Port *port)
{
    struct sockaddr_storage to = {0}, is = {0};
    int n = sizeof is;
    if (uv_ip4_addr(address, (int)port->local, (struct sockaddr_in *)&to) != 0 &&
        uv_ip6_addr(address, (int)port->local, (struct sockaddr_in6 *)&to) != 0)
        return err_new(ERR_INVALID, 0, "--address: \"%s\" is no IP address", address);
    Listener *l = NEW(Listener);
    *LIST_ADD(&f->listeners) = l;
    l->forward = f;
    (void)uv_tcp_init(&f->loop, &l->tcp);
    l->tcp.data = l;
    int rc = uv_tcp_bind(&l->tcp, (struct sockaddr *)&to, to.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
    rc = rc ? rc : uv_listen((uv_stream_t *)&l->tcp, 128, on_connection);
    rc = rc ? rc : uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&is, &n);
    bool six = to.ss_family == AF_INET6;
    if (rc) {
        SCOPED(mem_free) char *text = err_go_errno(-rc);
        return err_new(ERR_UNAVAILABLE, 0, "listen %s %s%s%s:%u: bind: %s", six ? "tcp6" : "tcp4", six ? "[" : "", address, six ? "]" : "", port->local, text);
    }
    port->local = ntohs(six ? ((struct sockaddr_in6 *)&is)->sin6_port : ((struct sockaddr_in *)&is)->sin_port);
    l->port = *port;
    printf("Forwarding from %s%s%s:%u -> %u\n", six ? "[" : "", address, six ? "]" : "", port->local, port->remote);
    (void)fflush(stdout);
    return NULL;
}

/* As kubectl: of localhost one of its two addresses is enough. */
static Err *listen_all(Forward *f, Port *port)
{
    SCOPED(mem_free) char *list = mem_dup_str(f->addresses);
    char *save = NULL;
    for (char *one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        bool localhost = str_eq(one, "localhost");
        Err *e = listen_on(f, localhost ? "127.0.0.1" : one, port);
        Err *six = localhost ? listen_on(f, "::1", port) : NULL;
        if (localhost && e && six) {
            err_free(six);
            return err_wrap(e, "unable to listen on port %u", port->local);
        }
        if (!localhost && e)
            return err_wrap(e, "unable to listen on port %u", port->local);
        err_free(e);
        err_free(six);
    }
    return NULL;
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static void finish(Forward *f, Err *e, int status)
{
    if (f->failed)
        err_free(e);
    else
        f->failed = e;
    f->status = status;
    uv_stop(&f->loop);
}

static void on_interrupted(uv_signal_t *h, int signum)
{
    (void)signum;
    finish(h->data, NULL, EXIT_OK); /* it was to last until then */
}

static void on_walk(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static int forward_run(Forward *f)
{
    (void)uv_loop_init(&f->loop);
    (void)uv_signal_init(&f->loop, &f->interrupted);
    f->interrupted.data = f;
    (void)uv_signal_start(&f->interrupted, on_interrupted, SIGINT);
    f->status = EXIT_FAILED;
    LIST_EACH(p, &f->ports)
        if (!f->failed)
            f->failed = listen_all(f, p);
    if (!f->failed)
        (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    while (f->locals)
        local_close(f->locals);
    uv_walk(&f->loop, on_walk, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&f->loop);
    return f->failed ? cli_fail(MOVE(f->failed, NULL)) : f->status;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static bool port_number(const char *text, unsigned *ret)
{
    int64_t n;
    if (!str_to_i64(text, &n) || n < 0 || n > 65535)
        return false;
    *ret = (unsigned)n;
    return true;
}

/* A container's port by its name. */
static bool port_named(const PodTarget *p, const char *name, unsigned *ret)
{
    if (!p->record.pod)
        return false;
    LIST_EACH(c, &p->record.pod->spec.containers)
        LIST_EACH(port, &c->ports)
            if (str_eq(port->name, name) && port->container_port.v > 0) {
                *ret = (unsigned)port->container_port.v;
                return true;
            }
    return false;
}

static Err *port_parse(const PodTarget *p, const char *text, Port *ret)
{
    const char *colon = strchr(text, ':'), *remote = colon ? colon + 1 : text;
    SCOPED(mem_free) char *local = colon ? mem_dup_strn(text, (size_t)(colon - text)) : NULL;
    if ((!port_number(remote, &ret->remote) && !port_named(p, remote, &ret->remote)) || ret->remote == 0)
        return err_new(ERR_INVALID, 0, "\"%s\": remote port \"%s\" is neither a number from 1 to 65535 nor the name of a container's port", text, remote);
    ret->local = local ? 0 : ret->remote;
    if (local && *local && !port_number(local, &ret->local))
        return err_new(ERR_INVALID, 0, "\"%s\": local port \"%s\" is no number from 0 to 65535", text, local);
    return NULL;
}

static Err *port_refused(const PodTarget *p)
{
    if (pod_target_sandbox(p))
        return NULL;
    return err_new(ERR_UNAVAILABLE, 0, "unable to forward port because pod is not running. Current status=%s",
                   p->record.pod ? str_or(p->record.pod->status.phase, "Unknown") : "Unknown");
}

int cmd_port_forward(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    SCOPED(pod_target_done) PodTarget p = {0};
    Forward f = {.target = &p};
    int code = cli_parse("port-forward", argc, argv, &a);
    if (code >= 0)
        return code;
    f.addresses = cli_opt(&a, "address");
    Err *e = pod_target_open(&a, a.operands[0], &p);
    for (size_t i = 1; !e && i < a.n; i++)
        e = port_parse(&p, a.operands[i], LIST_ADD(&f.ports));
    e = e ? e : port_refused(&p);
    code = e ? cli_fail(e) : forward_run(&f);
    LIST_EACH(l, &f.listeners)
        free(*l);
    free(f.listeners.v);
    free(f.ports.v);
    return code;
}
