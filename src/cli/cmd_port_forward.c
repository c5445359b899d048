/* cmd_port_forward.c - `reprise port-forward`: local ports whose connections go into a Pod, over the CRI runtime's streaming server.
 * Messages are kubectl's. One session carries all connections, and SPDY as it is spoken here has no flow control of its own: while
 * one local client does not read, none gets more. */
#include <netinet/in.h>
#include <signal.h>
#include <uv.h>

#include "cli/cri_pod.h"
#include "stream/dial.h"
#include "stream/portforward.h"
#include "wire/pbjson.h"

#define QUEUE_MAX ((size_t)1 << 20) /* bytes that wait for one side: then the other is not read */

int cmd_port_forward(int argc, char **argv);

typedef struct Forward Forward;
typedef struct { unsigned local, remote; } Port;
typedef struct {
    uv_tcp_t tcp;
    Forward *forward;
    Port port;
} Listener;
/* A local client. It goes when its socket is closed; <conn> is NULL once the far end is done with it. */
typedef struct Local {
    uv_tcp_t tcp;
    uv_shutdown_t shutdown;
    Forward *forward;
    struct Local *next;
    PortConn *conn;
    Port port;
    bool reading, ended;
    char buf[65536];
} Local;

struct Forward {
    uv_loop_t loop;
    uv_signal_t interrupted;
    Dial *dial;
    PortForward *session;
    Local *locals;
    LIST_OF(Listener *) listeners;
    LIST_OF(Port) ports;
    const char *addresses;
    bool open;
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
    if (l->conn)
        portconn_close(MOVE(l->conn, NULL), NULL);
    uv_close((uv_handle_t *)&l->tcp, on_local_closed);
}

/* Nothing is read from the session while a client is far behind. */
static void balance(Forward *f)
{
    size_t most = 0;
    for (Local *l = f->locals; l; l = l->next) {
        size_t n = uv_stream_get_write_queue_size((uv_stream_t *)&l->tcp);
        most = n > most ? n : most;
    }
    dial_pause(f->dial, most > QUEUE_MAX);
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
    Forward *f = l->forward;
    if (n > 0 && l->conn)
        portconn_write(l->conn, buf->base, (size_t)n);
    if (n == UV_EOF) {
        l->ended = true;
        l->reading = false;
        (void)uv_read_stop(stream);
        if (l->conn)
            portconn_end(l->conn);
    } else if (n < 0) {
        local_close(l);
    } else if (portforward_queued(f->session) > QUEUE_MAX) {
        l->reading = false;
        (void)uv_read_stop(stream);
    }
    dial_flush(f->dial);
}

static void local_read(Local *l)
{
    if (!l->reading && !l->ended && l->conn)
        l->reading = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_local_read) == 0;
}

typedef struct { uv_write_t req; char bytes[]; } Write;

static void on_local_written(uv_write_t *req, int status)
{
    Local *l = req->handle->data;
    Forward *f = l->forward;
    free(req->data);
    if (uv_is_closing((uv_handle_t *)&l->tcp))
        return;
    if (status)
        local_close(l);
    balance(f);
    dial_flush(f->dial);
}

static void on_data(void *arg, PortConn *c, const uint8_t *bytes, size_t n)
{
    Local *l = portconn_data(c);
    Write *w = mem_alloc(sizeof *w + n);
    memcpy(w->bytes, bytes, n);
    w->req.data = w;
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)n);
    if (uv_write(&w->req, (uv_stream_t *)&l->tcp, &buf, 1, on_local_written) != 0)
        free(w);
    balance(arg);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    Local *l = req->data;
    if (!l->conn || status) /* all was written, and the far end is done */
        local_close(l);
}

/* Behind what is still to be written. */
static void local_shutdown(Local *l)
{
    l->shutdown.data = l;
    if (uv_is_writable((uv_stream_t *)&l->tcp) && uv_shutdown(&l->shutdown, (uv_stream_t *)&l->tcp, on_shutdown) == 0)
        return;
    if (!l->conn && uv_stream_get_write_queue_size((uv_stream_t *)&l->tcp) == 0)
        local_close(l);
}

static void on_end(void *arg, PortConn *c)
{
    (void)arg;
    local_shutdown(portconn_data(c));
}

static void on_close(void *arg, PortConn *c, const char *why)
{
    Local *l = portconn_data(c);
    (void)arg;
    if (why)
        fprintf(stderr, "reprise: an error occurred forwarding %u -> %u: %s\n", l->port.local, l->port.remote, why);
    l->conn = NULL;
    if (l->reading)
        (void)uv_read_stop((uv_stream_t *)&l->tcp);
    l->reading = false;
    local_shutdown(l);
}

static const PortForwardOps forward_ops = {.on_data = on_data, .on_end = on_end, .on_close = on_close};

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
    if (uv_accept(server, (uv_stream_t *)&l->tcp) != 0 || !(l->conn = portforward_open(f->session, l->port.remote, l))) {
        fprintf(stderr, "reprise: too many connections for %u\n", l->port.local);
        uv_close((uv_handle_t *)&l->tcp, on_local_closed);
        return;
    }
    printf("Handling connection for %u\n", l->port.local);
    (void)fflush(stdout);
    l->next = f->locals;
    f->locals = l;
    (void)uv_tcp_nodelay(&l->tcp, 1);
    local_read(l);
    dial_flush(f->dial);
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

/* --- the session -------------------------------------------------------------------------------------------------- */

static void finish(Forward *f, Err *e, int status)
{
    f->failed = f->failed ? f->failed : e;
    f->status = status;
    uv_stop(&f->loop);
}

static void on_open(void *arg, const char *protocol)
{
    Forward *f = arg;
    (void)protocol;
    f->open = true;
    f->session = portforward_new(false, &forward_ops, f);
    LIST_EACH(p, &f->ports) {
        Err *e = listen_all(f, p);
        if (e) {
            finish(f, e, EXIT_FAILED);
            return;
        }
    }
}

static Err *on_bytes(void *arg, const void *bytes, size_t n)
{
    return portforward_recv(((Forward *)arg)->session, bytes, n);
}

static void pull(void *arg, Str *out)
{
    Forward *f = arg;
    if (f->session)
        portforward_take(f->session, out);
}

static void on_sent(void *arg)
{
    Forward *f = arg;
    for (Local *l = f->locals; l && portforward_queued(f->session) <= QUEUE_MAX; l = l->next)
        local_read(l);
}

static void on_over(void *arg, Err *why)
{
    Forward *f = arg;
    if (f->open && why)
        why = err_wrap(why, "lost connection to pod");
    finish(f, why ? why : err_new(ERR_UNAVAILABLE, 0, "lost connection to pod"), EXIT_FAILED);
}

static const DialOps dial_ops = {on_open, on_bytes, pull, on_sent, on_over};

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

static int forward_run(Forward *f, const char *url)
{
    static const char *const protocols[] = {PORTFORWARD_PROTOCOL, NULL};
    (void)uv_loop_init(&f->loop);
    (void)uv_signal_init(&f->loop, &f->interrupted);
    f->interrupted.data = f;
    (void)uv_signal_start(&f->interrupted, on_interrupted, SIGINT);
    const DialConfig c = {.loop = &f->loop, .url = url, .protocols = protocols, .ops = &dial_ops, .arg = f};
    f->status = EXIT_FAILED;
    f->failed = dial_new(&c, &f->dial);
    if (!f->failed)
        (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    while (f->locals)
        local_close(f->locals);
    dial_free(f->dial);
    uv_walk(&f->loop, on_walk, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&f->loop);
    portforward_free(f->session);
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

static Err *port_url(PodTarget *p, char **ret)
{
    Cri__PortForwardRequest q;
    cri__port_forward_request__init(&q);
    q.pod_sandbox_id = p->sandbox;
    SCOPED(pbjson_free) ProtobufCMessage *answer = NULL;
    if (!p->sandbox)
        return err_new(ERR_UNAVAILABLE, 0, "unable to forward port because pod is not running. Current status=%s",
                       p->record.pod ? str_or(p->record.pod->status.phase, "Unknown") : "Unknown");
    Err *e = pod_target_ask(p, CRI_PORT_FORWARD, &q.base, &answer);
    if (!e)
        *ret = mem_dup_str(((Cri__PortForwardResponse *)(void *)answer)->url);
    return e;
}

int cmd_port_forward(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    SCOPED(pod_target_done) PodTarget p = {0};
    SCOPED(mem_free) char *url = NULL;
    Forward f = {0};
    int code = cli_parse("port-forward", argc, argv, &a);
    if (code >= 0)
        return code;
    f.addresses = cli_opt(&a, "address");
    Err *e = pod_target_open(&a, a.operands[0], &p);
    for (size_t i = 1; !e && i < a.n; i++)
        e = port_parse(&p, a.operands[i], LIST_ADD(&f.ports));
    e = e ? e : port_url(&p, &url);
    code = e ? cli_fail(e) : forward_run(&f, url);
    LIST_EACH(l, &f.listeners)
        free(*l);
    free(f.listeners.v);
    free(f.ports.v);
    return code;
}
