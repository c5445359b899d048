/* The second socket, <run_dir>/stream.sock: a connection is one stream of the agent's. What flows in a stream does not go through
 * the shim: the peer gets the pipe, the terminal or the socket itself, and hears from us only how it ended. So no stream, however
 * fast or stuck, holds up an exit or a kill. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/netns.h"
#include "os/unixsock.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

#define MAX_PEERS 256
#define BACKLOG 128

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

static void poll_drop(uv_poll_t *p)
{
    if (!p)
        return;
    (void)uv_poll_stop(p);
    uv_close((uv_handle_t *)p, handle_free);
}

void peer_close(Peer *p)
{
    if (p->closed)
        return;
    p->closed = true;
    for (Peer **at = &p->shim->peers; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    p->shim->n_peers--;
    poll_drop(p->poll);
    fd_close(p->fd);
    str_done(&p->in);
    mem_free(p);
}

void peer_say(Peer *p, json_t *m, const int *fds, size_t n_fds)
{
    SCOPED(str_done) Str frame = {0};
    Err *e = shim_frame_put(&frame, m);
    json_decref(m);
    if (!e)
        e = unix_send_fds(p->fd, frame.p, frame.n, fds, n_fds);
    if (e) {
        (void)shutdown(p->fd, SHUT_RDWR);
        err_free(e);
    }
}

void peer_fail(Peer *p, Err *e)
{
    peer_say(p, json_pack("{s:o}", "error", shim_error_json(e)), NULL, 0);
    err_free(e);
    peer_close(p);
}

/* --- what can be asked -------------------------------------------------------------------------------------------- */

static void dial(Peer *p, const json_t *body)
{
    const Sandbox *b = sandbox_find(p->shim, json_str(body, "sandbox"));
    int64_t port = json_i64(body, "port", 0);
    SCOPED(fd_close) int fd = -EBADF;
    Err *e = NULL;
    if (!b || !b->pid || b->netns_fd < 0)
        e = err_new(ERR_NOT_FOUND, 0, "sandbox %s is not running", str_or(json_str(body, "sandbox"), ""));
    else if (port < 1 || port > 65535)
        e = err_new(ERR_INVALID, 0, "port %lld", (long long)port);
    else
        e = netns_connect(b->netns_fd, (unsigned)port, &fd);
    if (e) {
        peer_fail(p, e);
        return;
    }
    peer_say(p, json_pack("{s:{s:[s]}}", "ok", "fds", "socket"), &fd, 1);
    peer_close(p);
}

static const struct {
    const char *name;
    void (*ctr)(Ctr *c, Peer *p, const json_t *body);
    void (*plain)(Peer *p, const json_t *body);
} ops[] = {{"exec", exec_stream, NULL}, {"attach", attach_stream, NULL}, {"dial", NULL, dial}};

static void dispatch(Peer *p, const json_t *body)
{
    const char *name = str_or(json_str(body, "op"), ""), *id = str_or(json_str(body, "container"), "");
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (!str_eq(name, ops[i].name))
            continue;
        Ctr *c = ops[i].ctr ? ctr_find(p->shim, id) : NULL;
        if (ops[i].plain)
            ops[i].plain(p, body);
        else if (c)
            ops[i].ctr(c, p, body);
        else
            peer_fail(p, err_new(ERR_NOT_FOUND, 0, "%s: no container \"%s\"", name, id));
        return;
    }
    peer_fail(p, err_new(ERR_INVALID, 0, "unknown operation \"%s\"", name));
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

static void gone(Peer *p)
{
    void *owner = p->owner;
    void (*on_gone)(void *) = p->on_gone;
    peer_close(p);
    if (owner)
        on_gone(owner);
}

/* One frame a call, after which <p> may be gone: a client says something and waits for the answer. */
static void take_frame(Peer *p)
{
    SCOPED(json_unref) json_t *m = NULL;
    size_t used;
    Err *e = shim_frame_get(str_or(p->in.p, ""), p->in.n, &m, &used);
    if (e) {
        shim_log_err(e, "stream");
        gone(p);
        return;
    }
    if (!m)
        return;
    memmove(p->in.p, p->in.p + used, p->in.n - used + 1);
    p->in.n -= used;
    if (!MOVE(p->asked, true))
        dispatch(p, m);
    else if (p->owner && p->on_frame)
        p->on_frame(p->owner, m);
}

static void on_readable(uv_poll_t *h, int rc, int events)
{
    static char buf[65536];
    Peer *p = h->data;
    (void)rc;
    (void)events;
    ssize_t n = fault_hit("recv") ? -1 : recv(p->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        gone(p);
        return;
    }
    str_add_n(&p->in, buf, (size_t)n);
    take_frame(p);
}

static void on_connection(uv_poll_t *h, int rc, int events)
{
    Shim *s = h->data;
    (void)rc;
    (void)events;
    int fd = fault_hit("accept") ? -1 : accept4(s->peer_socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    Peer *p = NEW(Peer);
    *p = (Peer){.shim = s, .next = s->peers, .fd = fd, .poll = NEW(uv_poll_t)};
    (void)uv_poll_init(&s->loop, p->poll, fd);
    p->poll->data = p;
    s->peers = p;
    if (++s->n_peers > MAX_PEERS || s->ending) {
        peer_fail(p, s->ending ? err_new(ERR_UNAVAILABLE, 0, "the Pod is gone")
                               : err_new(ERR_LIMIT, 0, "the Pod has %d streams already", MAX_PEERS));
        return;
    }
    (void)uv_poll_start(p->poll, UV_READABLE, on_readable);
}

Err *peers_start(Shim *s)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/stream.sock", s->run_dir);
    s->peer_socket = -EBADF;
    Err *e = unix_listen(path, &s->peer_socket);
    if (e)
        return e;
    (void)listen(s->peer_socket, BACKLOG); /* many connections of a port-forward may come at once */
    s->peer_listener = NEW(uv_poll_t);
    (void)uv_poll_init(&s->loop, s->peer_listener, s->peer_socket);
    s->peer_listener->data = s;
    (void)uv_poll_start(s->peer_listener, UV_READABLE, on_connection);
    return NULL;
}

void peers_stop(Shim *s)
{
    poll_drop(MOVE(s->peer_listener, NULL));
    fd_close(MOVE(s->peer_socket, -EBADF));
    while (s->peers)
        gone(s->peers);
}
