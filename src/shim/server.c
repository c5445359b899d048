#include <stdio.h>
#include <unistd.h>

#include "os/fs.h"
#include "os/unixsock.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

#define MAX_CLIENTS 32
#define MAX_UNSENT ((size_t)16u << 20) /* a client that does not read is cut off */

struct Client {
    Shim *shim;
    Client *next;
    uint64_t serial;
    uv_pipe_t pipe;
    Str in, out; /* out: told in this turn, sent at its end */
    bool closing;
};

typedef struct {
    uv_write_t req;
    Str bytes;
} Write;

static void client_closed(uv_handle_t *h)
{
    Client *c = h->data;
    str_done(&c->in);
    str_done(&c->out);
    mem_free(c);
}

static void client_close(Client *c)
{
    if (c->closing)
        return;
    c->closing = true;
    for (Client **p = &c->shim->clients; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    uv_close((uv_handle_t *)&c->pipe, client_closed);
    if (!c->shim->clients)
        shim_maybe_end(c->shim);
}

static void write_free(Write *w)
{
    str_done(&w->bytes);
    mem_free(w);
}

static void on_written(uv_write_t *req, int status)
{
    Client *c = req->handle->data;
    write_free((Write *)req);
    if (status < 0 && status != UV_ECANCELED)
        client_close(c);
}

static void client_send(Client *c, const json_t *message)
{
    Err *e = shim_frame_put(&c->out, message);
    if (e || uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) + c->out.n > MAX_UNSENT) {
        shim_log_err(e, "send to a client");
        client_close(c);
    }
}

static void client_flush(Client *c)
{
    Write *w = NEW(Write);
    w->bytes = MOVE(c->out, (Str){0});
    uv_buf_t buf = uv_buf_init(w->bytes.p, (unsigned)w->bytes.n);
    if (uv_write(&w->req, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0) {
        write_free(w);
        client_close(c);
    }
}

/* One write to the journal and one to each client for all that happened in a turn. The journal first: nobody is told what a
 * death of ours would make untrue. */
static void flush_all(Shim *s)
{
    shim_log_err(store_flush(&s->store), "write the journal");
    for (Client *c = s->clients, *next; c; c = next) {
        next = c->next;
        if (c->out.n)
            client_flush(c);
    }
}

static void on_flush(uv_prepare_t *h)
{
    flush_all(h->data);
}

static void tell_all(Shim *s, const json_t *message)
{
    for (Client *c = s->clients, *next; c; c = next) {
        next = c->next;
        client_send(c, message);
    }
}

void server_tell_set(Shim *s, const char *what, const char *id)
{
    SCOPED(json_unref) json_t *m =
        json_pack("{s:s,s:s,s:s,s:O}", "event", "set", "what", what, "id", id, "value", store_get(&s->store, what, id));
    tell_all(s, m);
}

void server_tell_merge(Shim *s, const char *what, const char *id, json_t *members)
{
    SCOPED(json_unref) json_t *m =
        json_pack("{s:s,s:s,s:s,s:o}", "event", "merge", "what", what, "id", id, "value", members);
    if (s->clients)
        tell_all(s, m);
}

void server_tell_gone(Shim *s, const char *what, const char *id)
{
    SCOPED(json_unref) json_t *m = json_pack("{s:s,s:s,s:s}", "event", "gone", "what", what, "id", id);
    tell_all(s, m);
}

void req_drop(Req *r)
{
    json_decref(r->body);
    mem_free(r);
}

static void req_answer(Req *r, const char *key, json_t *value)
{
    for (Client *c = r->shim->clients; c; c = c->next)
        if (c->serial == r->client) {
            SCOPED(json_unref) json_t *m = json_pack("{s:I,s:O}", "id", (json_int_t)r->id, key, value);
            client_send(c, m);
            break;
        }
    json_decref(value);
    req_drop(r);
}

void req_ok(Req *r, json_t *ok)
{
    req_answer(r, "ok", ok ? ok : json_object());
}

void req_err(Req *r, Err *e)
{
    json_t *j = shim_error_json(e);
    err_free(e);
    req_answer(r, "error", j);
}

void reqs_finish(Req **list, Err *e)
{
    for (Req *r = MOVE(*list, NULL), *next; r; r = next) {
        next = r->next;
        if (e)
            req_answer(r, "error", shim_error_json(e));
        else
            req_ok(r, NULL);
    }
    err_free(e);
}

static void send_hello(Client *c)
{
    Shim *s = c->shim;
    SCOPED(json_unref) json_t *m = json_pack("{s:s,s:i,s:i,s:O,s:{s:O,s:O}}", "event", "hello", "version", SHIM_WIRE_VERSION, "pid",
                                             (int)getpid(), "strays", s->strays, "facts", "sandboxes",
                                             store_kind(&s->store, "sandboxes"), "containers", store_kind(&s->store, "containers"));
    client_send(c, m);
}

/* All whole messages in the buffer; false when the client broke the protocol. */
static bool client_messages(Client *c)
{
    size_t used = 0;
    while (!c->closing) {
        json_t *m;
        size_t n;
        Err *e = shim_frame_get(c->in.p + used, c->in.n - used, &m, &n);
        if (e) {
            shim_log_err(e, "client");
            return false;
        }
        if (!m)
            break;
        used += n;
        Req *r = NEW(Req);
        *r = (Req){.shim = c->shim, .client = c->serial, .id = json_i64(m, "id", 0), .body = m};
        ops_dispatch(r);
    }
    if (used && !c->closing) {
        memmove(c->in.p, c->in.p + used, c->in.n - used + 1);
        c->in.n -= used;
    }
    return true;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char bytes[65536];
    (void)h;
    (void)suggested;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_read(uv_stream_t *st, ssize_t n, const uv_buf_t *buf)
{
    Client *c = st->data;
    if (n > 0)
        str_add_n(&c->in, buf->base, (size_t)n);
    if (n < 0 || !client_messages(c))
        client_close(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    Shim *s = listener->data;
    if (status < 0)
        return;
    Client *c = NEW(Client);
    c->shim = s;
    c->serial = ++s->next_client;
    (void)uv_pipe_init(&s->loop, &c->pipe, 0);
    c->pipe.data = c;
    size_t n = 0;
    for (Client *o = s->clients; o; o = o->next)
        n++;
    c->next = s->clients;
    s->clients = c;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 || n >= MAX_CLIENTS) {
        client_close(c);
        return;
    }
    send_hello(c);
    if (!c->closing)
        (void)uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
}

Err *server_start(Shim *s)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/shim.sock", s->run_dir);
    int fd;
    Err *e = unix_listen(path, &fd);
    if (e)
        return e;
    (void)uv_prepare_init(&s->loop, &s->flush);
    s->flush.data = s;
    (void)uv_prepare_start(&s->flush, on_flush);
    (void)uv_pipe_init(&s->loop, &s->listener, 0);
    s->listener.data = s;
    int rc = uv_pipe_open(&s->listener, fd);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, 16, on_connection);
    return rc < 0 ? err_new(ERR_SYS, -rc, "listen on %s", path) : peers_start(s);
}

void server_stop(Shim *s)
{
    on_flush(&s->flush);
    uv_close((uv_handle_t *)&s->listener, NULL);
    peers_stop(s);
    while (s->clients)
        client_close(s->clients);
}
