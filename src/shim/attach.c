/* Peers at a container's own streams. Each has a pipe for its output, into which we write without ever waiting: its log comes first.
 * What a peer has not read lies in the pipe, which is the bound: who lets it run full is cut off. Input goes to the container without us: into
 * its FIFO, or its terminal, of which the peer gets a descriptor. */
#include <fcntl.h>
#include <stdio.h>

#include "os/fs.h"
#include "os/unixsock.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

/* Bytes; taken by the kernel only as they come. Over 1 MiB (fs.pipe-max-size) needs CAP_SYS_RESOURCE. */
static const int behind_max[] = {4 << 20, 1 << 20, 256 << 10};
#define ANSWER_MS 500        /* after the end of an input that the container does not see: what it says to the last of it still comes */

struct Attach {
    Ctr *ctr;
    Attach *next;
    Peer *peer;
    int out[PODLOG_STREAMS]; /* -EBADF = not asked for, or not read any more */
    bool writes;             /* to stdin */
    uv_timer_t *going;       /* until it is let go; NULL = it stays */
};

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

/* Its peer is gone, or being let go. */
static void attach_free(Attach *a)
{
    Ctr *c = a->ctr;
    for (Attach **at = &c->attached; *at; at = &(*at)->next)
        if (*at == a) {
            *at = a->next;
            break;
        }
    for (int i = 0; i < PODLOG_STREAMS; i++)
        fd_close(a->out[i]);
    if (a->writes && stdin_is_once(c))
        stdin_close(c);
    if (a->going)
        uv_close((uv_handle_t *)a->going, handle_free);
    mem_free(a);
}

static void on_gone(void *owner)
{
    attach_free(owner);
}

static void let_go(Attach *a, json_t *last)
{
    Peer *p = a->peer;
    attach_free(a);
    p->owner = NULL;
    peer_say(p, last, NULL, 0);
    peer_close(p);
}

static void on_going(uv_timer_t *t)
{
    let_go(t->data, json_pack("{s:i}", "exit", 0));
}

/* {"op": "stdin_end"}: all is written, and the peer has closed his end. Who cannot end the input ends his stay: containerd's way, but for
 * the moment. */
static void on_frame(void *owner, const json_t *m)
{
    Attach *a = owner;
    if (!str_eq(json_str(m, "op"), "stdin_end") || !MOVE(a->writes, false))
        return;
    if (stdin_is_once(a->ctr)) {
        stdin_close(a->ctr);
        return;
    }
    a->going = NEW(uv_timer_t);
    (void)uv_timer_init(&a->ctr->shim->loop, a->going);
    a->going->data = a;
    (void)uv_timer_start(a->going, on_going, ANSWER_MS, 0);
}

static Err *out_make(Attach *a, int which, const char *name, json_t *names, int *fds, size_t *n)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_new(ERR_SYS, errno, "make a pipe");
    (void)fcntl(p[1], F_SETFL, O_NONBLOCK);
    for (size_t i = 0; i < ARRAY_LEN(behind_max) && fcntl(p[1], F_SETPIPE_SZ, behind_max[i]) < 0; i++) {
    }
    a->out[which] = p[1];
    fds[(*n)++] = p[0];
    (void)json_array_append_new(names, json_string(name));
    return NULL;
}

/* What the peer gets; *n of <fds> are the caller's to close. */
static Err *fds_make(Attach *a, const json_t *body, json_t *names, int *fds, size_t *n)
{
    Ctr *c = a->ctr;
    bool tty = json_flag(ctr_rec(c), "tty", false);
    Err *e = NULL;
    if (json_flag(body, "stdout", false))
        e = out_make(a, PODLOG_STDOUT, "stdout", names, fds, n);
    if (!e && !tty && json_flag(body, "stderr", false))
        e = out_make(a, PODLOG_STDERR, "stderr", names, fds, n);
    if (e)
        return e;
    int in = -EBADF;
    if (tty) { /* also to set its size; what the container says there, we read */
        in = fcntl(c->stream[PODLOG_STDOUT].fd, F_DUPFD_CLOEXEC, 3);
    } else if (json_flag(body, "stdin", false)) {
        e = stdin_open(c, &in);
        if (e && e->kind != ERR_NOT_FOUND)
            return e;
        err_free(e);
    }
    if (in >= 0) {
        fds[(*n)++] = in;
        (void)json_array_append_new(names, json_string(tty ? "tty" : "stdin"));
        a->writes = json_flag(body, "stdin", false);
    }
    return NULL;
}

void attach_stream(Ctr *c, Peer *p, const json_t *body)
{
    if (c->state != CTR_RUNNING || !ctr_alive(c)) {
        peer_fail(p, err_new(ERR_NOT_FOUND, 0, "attach to container %s: it is not running", str_or(json_str(ctr_rec(c), "name"), "")));
        return;
    }
    ctr_begun(c); /* what it said before is its log's only */
    Attach *a = NEW(Attach);
    *a = (Attach){.ctr = c, .next = c->attached, .peer = p, .out = {-EBADF, -EBADF}};
    c->attached = a;
    int fds[UNIX_MAX_FDS];
    size_t n = 0;
    json_t *names = json_array();
    Err *e = fds_make(a, body, names, fds, &n);
    if (e) {
        json_decref(names);
        a->writes = false;
        attach_free(a);
        peer_fail(p, e);
    } else {
        p->owner = a;
        p->on_frame = on_frame;
        p->on_gone = on_gone;
        peer_say(p, json_pack("{s:{s:o}}", "ok", "fds", names), fds, n);
    }
    while (n)
        fd_close(fds[--n]);
}

void attach_feed(Ctr *c, PodLogStream which, const char *bytes, size_t n)
{
    for (Attach *a = c->attached, *next; a; a = next) {
        next = a->next;
        if (a->out[which] < 0)
            continue;
        ssize_t k = write(a->out[which], bytes, n);
        if (k == (ssize_t)n)
            continue;
        if (k < 0 && errno == EPIPE) { /* it wants no more of this one */
            fd_close(MOVE(a->out[which], -EBADF));
            continue;
        }
        Err *e = err_new(ERR_LIMIT, 0, "the client reads too slowly: it is more than %d KiB behind", fcntl(a->out[which], F_GETPIPE_SZ) >> 10);
        let_go(a, json_pack("{s:o}", "error", shim_error_json(e)));
        err_free(e);
    }
}

void attach_end(Ctr *c)
{
    while (c->attached)
        let_go(c->attached, json_pack("{s:i}", "exit", 0));
}
