#include "runtime/oci/shim_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/fs.h"
#include "os/unixsock.h"
#include "wire/shimwire.h"

#define READ_SIZE 65536
#define TURN_READS 16 /* of READ_SIZE: one busy shim does not starve the others */

typedef struct Call Call;
struct Call {
    Call *next;
    int64_t id;
    json_t *request;
    ShimReply *reply;
    void *arg;
};

struct ShimClient {
    ShimClientEvents ev;
    void *arg;
    uv_poll_t *poll;
    int fd;
    Str in, out;
    json_t *facts, *strays;
    int pid;
    int64_t next_id;
    Call *calls;
    bool ready, lost, changed;
    bool polls_write; /* for room to write, too */
    bool in_event, closed; /* closed from inside a callback: freed when that has returned */
};

static void client_free(ShimClient *c)
{
    str_done(&c->in);
    str_done(&c->out);
    json_decref(c->facts);
    json_decref(c->strays);
    mem_free(c);
}

static void poll_closed(uv_handle_t *h)
{
    mem_free(h);
}

static void disconnect(ShimClient *c)
{
    c->ready = false;
    c->lost = true;
    if (c->poll) {
        (void)uv_poll_stop(c->poll);
        uv_close((uv_handle_t *)c->poll, poll_closed);
        c->poll = NULL;
    }
    fd_close(MOVE(c->fd, -EBADF));
}

/* Each open call is answered once, whatever the callbacks do: even call again, or close. */
static void fail_calls(ShimClient *c)
{
    for (Call *k = MOVE(c->calls, NULL), *next; k; k = next) {
        next = k->next;
        k->reply(k->arg, NULL, k->request, err_new(ERR_UNAVAILABLE, 0, "the Pod's shim has gone"));
        json_decref(k->request);
        mem_free(k);
    }
}

static void on_reply(ShimClient *c, const json_t *m)
{
    int64_t id = json_i64(m, "id", -1);
    for (Call **p = &c->calls; *p; p = &(*p)->next) {
        Call *k = *p;
        if (k->id != id)
            continue;
        *p = k->next;
        const json_t *ok = json_object_get(m, "ok");
        k->reply(k->arg, ok, k->request, ok ? NULL : shim_error_read(json_object_get(m, "error")));
        json_decref(k->request);
        mem_free(k);
        return;
    }
}

static Err *on_hello(ShimClient *c, json_t *m)
{
    json_t *facts = json_object_get(m, "facts");
    if (json_i64(m, "version", 0) != SHIM_WIRE_VERSION)
        return err_new(ERR_UNSUPPORTED, 0, "the running shim speaks version %lld of its protocol, this program %d: delete the "
                                           "Pod with the program that made it", (long long)json_i64(m, "version", 0),
                       SHIM_WIRE_VERSION);
    if (!json_is_object(json_object_get(facts, "sandboxes")) || !json_is_object(json_object_get(facts, "containers")))
        return err_new(ERR_INVALID, 0, "the shim's greeting has no facts");
    json_decref(c->facts);
    c->facts = json_incref(facts);
    c->pid = (int)json_i64(m, "pid", 0);
    json_decref(c->strays);
    c->strays = json_incref(json_object_get(m, "strays"));
    c->ready = true;
    c->ev.on_hello(c->arg);
    return NULL;
}

static Err *on_event(ShimClient *c, json_t *m)
{
    const char *event = json_str(m, "event"), *id = json_str(m, "id");
    if (str_eq(event, "hello"))
        return on_hello(c, m);
    json_t *kind = json_object_get(c->facts, str_or(json_str(m, "what"), ""));
    if (!kind || !id)
        return err_new(ERR_INVALID, 0, "an event of the shim names nothing");
    c->changed = true;
    json_t *there = json_object_get(kind, id);
    if (str_eq(event, "merge") && there)
        shim_merge(there, json_object_get(m, "value"));
    else if (str_eq(event, "set"))
        (void)json_object_set(kind, id, json_object_get(m, "value"));
    else if (str_eq(event, "gone"))
        (void)json_object_del(kind, id);
    return NULL;
}

static Err *take_messages(ShimClient *c)
{
    size_t used = 0;
    Err *e = NULL;
    while (!e && !c->closed) {
        SCOPED(json_unref) json_t *m = NULL;
        size_t n;
        e = shim_frame_get(c->in.p + used, c->in.n - used, &m, &n);
        if (e || !m)
            break;
        used += n;
        if (json_object_get(m, "event"))
            e = on_event(c, m);
        else
            on_reply(c, m);
    }
    if (used) {
        memmove(c->in.p, c->in.p + used, c->in.n - used + 1);
        c->in.n -= used;
    }
    return e;
}

/* *ret_end: the other side has closed. */
static Err *receive(ShimClient *c, bool *ret_end)
{
    static char buf[READ_SIZE];
    for (int i = 0; i < TURN_READS && !c->closed && c->fd >= 0; i++) {
        ssize_t n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return NULL;
        if (n <= 0) {
            *ret_end = true;
            return n < 0 && errno != ECONNRESET ? err_new(ERR_SYS, errno, "read from the Pod's shim") : NULL;
        }
        str_add_n(&c->in, buf, (size_t)n);
        Err *e = take_messages(c);
        if (e)
            return e;
    }
    return NULL;
}

static void on_poll(uv_poll_t *p, int rc, int events);

static void flush(ShimClient *c)
{
    size_t done = 0;
    while (done < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + done, c->out.n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* full: later; broken: reading will tell */
        done += (size_t)n;
    }
    if (done) {
        memmove(c->out.p, c->out.p + done, c->out.n - done + 1);
        c->out.n -= done;
    }
    bool want_write = c->out.n > 0;
    if (c->poll && want_write != c->polls_write) /* each call costs libuv three system calls */
        (void)uv_poll_start(c->poll, c->out.n ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
    c->polls_write = want_write;
}

static void on_poll(uv_poll_t *p, int rc, int events)
{
    ShimClient *c = p->data;
    (void)rc;
    if (events & UV_WRITABLE)
        flush(c);
    c->in_event = true;
    bool end = false;
    Err *e = receive(c, &end);
    if (MOVE(c->changed, false) && !c->closed)
        c->ev.on_change(c->arg);
    if ((e || end) && !c->closed) {
        disconnect(c);
        fail_calls(c);
        if (!c->closed)
            c->ev.on_lost(c->arg, e ? e : err_new(ERR_UNAVAILABLE, 0, "the Pod's shim has gone"));
        else
            err_free(e);
    } else {
        err_free(e);
    }
    c->in_event = false;
    if (c->closed)
        client_free(c);
}

Err *shim_client_open(uv_loop_t *loop, const char *path, const ShimClientEvents *ev, void *arg, ShimClient **ret)
{
    int fd;
    Err *e = unix_connect(path, &fd);
    if (e)
        return e;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    ShimClient *c = NEW(ShimClient);
    *c = (ShimClient){.ev = *ev, .arg = arg, .fd = fd, .poll = NEW(uv_poll_t)};
    (void)uv_poll_init(loop, c->poll, fd);
    c->poll->data = c;
    (void)uv_poll_start(c->poll, UV_READABLE, on_poll);
    *ret = c;
    return NULL;
}

Err *shim_client_wait(ShimClient *c, int timeout_ms)
{
    int64_t until = os_monotonic_ns() + (int64_t)timeout_ms * NS_PER_MS;
    while (!c->ready) {
        int64_t left = (until - os_monotonic_ns()) / NS_PER_MS;
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) == 0)
            return err_new(ERR_TIMEOUT, 0, "the shim does not answer within %d ms", timeout_ms);
        bool end = false;
        Err *e = receive(c, &end);
        if (!e && end)
            e = err_new(ERR_UNAVAILABLE, 0, "the shim has ended");
        if (e)
            return e;
    }
    return NULL;
}

void shim_client_close(ShimClient *c)
{
    if (!c || c->closed)
        return;
    c->closed = true;
    disconnect(c);
    fail_calls(c);
    if (!c->in_event)
        client_free(c);
}

void shim_client_call(ShimClient *c, json_t *request, ShimReply *reply, void *arg)
{
    Call *k = NEW(Call);
    *k = (Call){.id = ++c->next_id, .request = request, .reply = reply, .arg = arg};
    Call **tail = &c->calls;
    while (*tail)
        tail = &(*tail)->next;
    *tail = k;
    (void)json_object_set_new(request, "id", json_integer(k->id));
    Err *e = shim_frame_put(&c->out, request);
    if (e) { /* too large: let the shim refuse it, so that the answer comes from the loop like any other */
        err_free(e);
        SCOPED(json_unref) json_t *empty = json_pack("{s:I,s:s}", "id", (json_int_t)k->id, "op", "a request over 4 MiB");
        err_free(shim_frame_put(&c->out, empty));
    }
    if (c->fd >= 0)
        flush(c);
}

bool shim_client_ready(const ShimClient *c)
{
    return c && c->ready;
}

const json_t *shim_client_facts(const ShimClient *c)
{
    return c->facts;
}

int shim_client_pid(const ShimClient *c)
{
    return c->pid;
}

const json_t *shim_client_strays(const ShimClient *c)
{
    return c->strays;
}
