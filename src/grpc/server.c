#include "grpc/server.h"

#include <sys/queue.h>
#include <unistd.h>

#include "base/str.h"
#include "grpc/io_priv.h"
#include "grpc/server_conn.h"
#include "os/unixsock.h"

#define MAX_CLIENTS 64u
#define BACKLOG     128 /* who finds it full is refused at once, as a client that does not block (EAGAIN) */
#define MAX_MESSAGE ((size_t)4 << 20)
#define TICK_MS     1000u /* how exactly a slow request is given up */

typedef struct Client Client;
typedef TAILQ_HEAD(Clients, Client) Clients;

/* One connection. It lives until its handles are closed. */
struct Client {
    GrpcIo io;
    TAILQ_ENTRY(Client) at;
    GrpcServer *server; /* NULL = closed */
    GrpcServer *held;
    GrpcServerConn *conn;
};

struct GrpcServer {
    uv_loop_t *loop;
    uv_pipe_t listener;
    uv_timer_t tick; /* runs while anything can expire */
    char *path;
    GrpcMethod *methods; /* owned, with their paths */
    size_t max_message;
    Clients clients; /* the one heard of last at the end */
    size_t n_clients;
    unsigned holds; /* handles and clients that point here */
    bool freed;
};

static void server_drop(GrpcServer *s)
{
    if (--s->holds)
        return;
    for (GrpcMethod *m = s->methods; m->path; m++)
        free((char *)(uintptr_t)m->path);
    free(s->methods);
    free(s->path);
    free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
    server_drop(h->data);
}

/* --- one client --------------------------------------------------------------------------------------------------- */

static void client_close(Client *c)
{
    GrpcServer *s = MOVE(c->server, NULL);
    if (!s)
        return;
    TAILQ_REMOVE(&s->clients, c, at);
    s->n_clients--;
    grpc_io_close(&c->io);
    grpc_server_conn_abort(c->conn);
}

static void client_turn(void *arg)
{
    Client *c = arg;
    grpc_server_conn_deliver(c->conn);
    if (c->server)
        grpc_io_flush(&c->io);
}

static void client_failed(void *arg, Err *e)
{
    err_free(e); /* a client that went away, or is no gRPC client: its own business */
    client_close(arg);
}

static void on_tick(uv_timer_t *t);

static void tick_on(GrpcServer *s)
{
    if (!uv_is_active((uv_handle_t *)&s->tick))
        (void)uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
}

static void client_received(void *arg, const char *bytes, size_t n)
{
    Client *c = arg;
    TAILQ_REMOVE(&c->server->clients, c, at);
    TAILQ_INSERT_TAIL(&c->server->clients, c, at);
    tick_on(c->server);
    Err *e = grpc_server_conn_recv(c->conn, bytes, n, (int64_t)uv_hrtime());
    grpc_io_flush(&c->io); /* with what nghttp2 has to say to it */
    if (e)
        client_failed(c, e);
    else
        client_turn(c);
}

static Err *client_pull(void *arg, Str *out)
{
    Client *c = arg;
    Err *e = grpc_server_conn_send(c->conn, out);
    if (!e && grpc_server_conn_pending(c->conn)) /* lost while sending: not told from within a call */
        grpc_io_later(&c->io);
    return e;
}

static void client_closed(void *arg)
{
    Client *c = arg;
    grpc_server_conn_free(c->conn);
    server_drop(c->held);
    free(c);
}

static void client_wake(void *arg)
{
    Client *c = arg;
    grpc_io_flush(&c->io);
}

static const GrpcIoOps client_ops = {client_received, client_pull, client_turn, client_failed, client_closed};

/* --- the server --------------------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *t)
{
    GrpcServer *s = t->data;
    Client *c;
    bool idle = true;
    TAILQ_FOREACH(c, &s->clients, at) {
        idle = idle && grpc_server_conn_idle(c->conn);
        Err *e = grpc_server_conn_expire(c->conn, (int64_t)uv_hrtime());
        if (e) { /* its callbacks may close others: the rest has its turn in the next tick */
            client_failed(c, e);
            return;
        }
        grpc_io_flush(&c->io);
    }
    if (idle)
        (void)uv_timer_stop(&s->tick);
}

/* Room for one more: the client that has been idle for longest goes. */
static void make_room(GrpcServer *s)
{
    Client *c;
    if (s->n_clients < MAX_CLIENTS)
        return;
    TAILQ_FOREACH(c, &s->clients, at)
        if (!grpc_server_conn_n_calls(c->conn)) {
            grpc_server_conn_goaway(c->conn);
            grpc_io_farewell(&c->io);
            client_close(c);
            return;
        }
}

static void on_connection(uv_stream_t *listener, int status)
{
    GrpcServer *s = listener->data;
    if (status)
        return;
    make_room(s);
    Client *c = NEW(Client);
    c->server = c->held = s;
    s->holds++;
    GrpcServerConnConfig config = {.methods = s->methods, .max_message = s->max_message, .wake = client_wake, .arg = c};
    c->conn = grpc_server_conn_new(&config, (int64_t)uv_hrtime());
    TAILQ_INSERT_TAIL(&s->clients, c, at);
    s->n_clients++;
    tick_on(s);
    Err *e = grpc_io_open(&c->io, s->loop, -1, listener, &client_ops, c);
    if (e || s->n_clients > MAX_CLIENTS) /* accepted all the same: else libuv would not accept the next */
        client_failed(c, e);
    else
        grpc_io_flush(&c->io);
}

static void copy_methods(GrpcServer *s, const GrpcMethod *methods)
{
    size_t n = 0;
    while (methods[n].path)
        n++;
    s->methods = mem_alloc_n(n + 1, sizeof *methods);
    for (size_t i = 0; i < n; i++) {
        s->methods[i] = methods[i];
        s->methods[i].path = mem_dup_str(methods[i].path);
    }
}

Err *grpc_server_new(const GrpcServerConfig *config, GrpcServer **ret)
{
    int fd;
    Err *e = unix_listen(config->socket, &fd);
    if (e)
        return e;
    GrpcServer *s = NEW(GrpcServer);
    s->loop = config->loop;
    s->path = mem_dup_str(config->socket);
    s->max_message = config->max_message ? config->max_message : MAX_MESSAGE;
    s->holds = 2;
    TAILQ_INIT(&s->clients);
    copy_methods(s, config->methods);
    (void)uv_pipe_init(s->loop, &s->listener, 0);
    (void)uv_timer_init(s->loop, &s->tick);
    s->listener.data = s->tick.data = s;
    int rc = uv_pipe_open(&s->listener, fd);
    if (rc)
        close(fd);
    else
        rc = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection);
    if (rc) {
        grpc_server_free(s);
        return err_new(ERR_SYS, -rc, "listen on %s", config->socket);
    }
    *ret = s;
    return NULL;
}

void grpc_server_free(GrpcServer *s)
{
    if (!s || s->freed)
        return;
    s->freed = true;
    (void)unlink(s->path);
    uv_close((uv_handle_t *)&s->listener, on_handle_closed);
    uv_close((uv_handle_t *)&s->tick, on_handle_closed);
    for (Client *c; (c = TAILQ_FIRST(&s->clients));) {
        grpc_server_conn_goaway(c->conn);
        grpc_io_farewell(&c->io);
        client_close(c);
    }
}
