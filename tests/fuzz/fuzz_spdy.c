/* The other end of a SPDY connection, in pieces whose size the bytes say. The first byte picks the end that is tested: 'c' and 's' a
 * bare session, 'r' exec's client, 'R' its server (with a terminal: 'T'), 'p' port-forward's client, 'P' its server; 'u' the HTTP
 * head of an upgrade's answer. */
#include <stdlib.h>

#include "stream/portforward.h"
#include "stream/remotecommand.h"
#include "stream/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    Spdy *spdy;
    Remote *remote;
    PortForward *forward;
    unsigned statuses;
} Fuzz;

static unsigned sum_of(const uint8_t *bytes, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) /* every byte of it is ours to read */
        sum += bytes[i];
    return sum % 251;
}

static void on_stream(void *arg, SpdyStream *s, const SpdyHeaders *h)
{
    (void)arg;
    for (size_t i = 0; i < h->n; i++)
        (void)sum_of((const uint8_t *)h->v[i].value, strlen(h->v[i].value));
    if (spdy_id(s) % 8 == 3)
        spdy_reset(s, SPDY_REFUSED_STREAM);
    else if (spdy_id(s) % 8 != 5)
        spdy_reply(s);
}

static void on_data(void *arg, SpdyStream *s, const uint8_t *bytes, size_t n)
{
    Fuzz *f = arg;
    unsigned sum = sum_of(bytes, n);
    if (sum == 250)
        spdy_free(MOVE(f->spdy, NULL));
    else if (sum == 249)
        spdy_reset(s, SPDY_CANCEL);
    else if (sum == 248)
        spdy_release(s);
    else
        spdy_send(s, bytes, n, sum == 247);
}

static void on_end(void *arg, SpdyStream *s, uint32_t status)
{
    (void)arg;
    if (spdy_id(s) % 4 != 1)
        spdy_release(s);
    else
        spdy_send(s, "x", 1, status == 0);
}

static const SpdyOps spdy_ops = {on_stream, NULL, on_data, on_end, NULL};

static void on_remote_data(void *arg, RemoteStream which, const uint8_t *bytes, size_t n)
{
    Fuzz *f = arg;
    unsigned sum = sum_of(bytes, n);
    if (sum == 250)
        remote_free(MOVE(f->remote, NULL));
    else if (sum == 249)
        remote_finish(f->remote, &(RemoteStatus){REMOTE_EXIT_CODE, 3, "3"});
    else
        remote_write(f->remote, which == REMOTE_STDIN ? REMOTE_STDOUT : REMOTE_STDIN, bytes, n);
}

static void on_status(void *arg, const RemoteStatus *s)
{
    Fuzz *f = arg;
    (void)sum_of((const uint8_t *)s->message, strlen(s->message));
    if (f->statuses++)
        abort(); /* once */
}

static void on_resize(void *arg, unsigned width, unsigned height)
{
    (void)arg;
    if (!width || !height || width > 65535 || height > 65535)
        abort();
}

static const RemoteOps remote_ops = {.on_data = on_remote_data, .on_status = on_status, .on_resize = on_resize};

static void on_open(void *arg, PortConn *c, unsigned port)
{
    (void)arg;
    if (port % 2)
        portconn_close(c, "no");
}

static void on_conn_data(void *arg, PortConn *c, const uint8_t *bytes, size_t n)
{
    Fuzz *f = arg;
    unsigned sum = sum_of(bytes, n);
    if (sum == 250)
        portforward_free(MOVE(f->forward, NULL));
    else if (sum == 249)
        portconn_close(c, "enough");
    else
        portconn_write(c, bytes, n);
}

static const PortForwardOps forward_ops = {.on_open = on_open, .on_data = on_conn_data};

static bool feed(Fuzz *f, const uint8_t *p, size_t n)
{
    SCOPED(str_done) Str out = {0};
    SCOPED(err_free) Err *e = NULL;
    if (f->spdy)
        e = spdy_recv(f->spdy, p, n);
    else if (f->remote)
        e = remote_recv(f->remote, p, n);
    else if (f->forward)
        e = portforward_recv(f->forward, p, n);
    if (f->spdy)
        spdy_take(f->spdy, &out);
    if (f->remote)
        remote_take(f->remote, &out);
    if (f->forward)
        portforward_take(f->forward, &out);
    return !e && (f->spdy || f->remote || f->forward);
}

static void fuzz_upgrade(const uint8_t *p, size_t n)
{
    static const char *const protocols[] = {"v4.channel.k8s.io", NULL};
    const UpgradeRequest r = {n % 2, "h", "/", protocols, "dGhlIHNhbXBsZSBub25jZQ=="};
    UpgradeAnswer a = {0};
    bool whole;
    Err *e = upgrade_answer((const char *)p, n, &whole, &a);
    if (!e && whole)
        e = upgrade_check(&r, &a);
    err_free(e);
    upgrade_answer_done(&a);
    SCOPED(mem_free) char *url = mem_dup_strn((const char *)p, n), *host = NULL, *authority = NULL, *path = NULL;
    unsigned port;
    err_free(upgrade_url(url, &host, &port, &authority, &path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    Fuzz f = {0};
    char end = (char)data[0];
    RemoteConfig c = {.server = end != 'r', .protocol = remote_protocol("v4.channel.k8s.io", false), .stdin_ = true, .stdout_ = true,
                      .stderr_ = true, .tty = end == 'T', .ops = &remote_ops, .arg = &f};
    if (end == 'u') {
        fuzz_upgrade(data + 1, size - 1);
        return 0;
    }
    if (end == 'r' || end == 'R' || end == 'T') {
        f.remote = remote_new(&c);
    } else if (end == 'p' || end == 'P') {
        f.forward = portforward_new(end == 'P', &forward_ops, &f);
        for (unsigned i = 0; end == 'p' && i < 3; i++)
            (void)!portforward_open(f.forward, 80, NULL);
    } else {
        f.spdy = spdy_new(end == 's', &spdy_ops, &f);
        SpdyStream *s = end == 's' ? NULL : spdy_open(f.spdy, &(SpdyHeader){"a", "b"}, 1);
        if (s)
            spdy_send(s, "hello", 5, false);
    }
    for (size_t at = 1, piece; at < size; at += piece) {
        piece = 1 + data[at] % 64u;
        piece = piece < size - at ? piece : size - at;
        if (!feed(&f, data + at, piece))
            break;
    }
    if (f.remote)
        remote_lost(f.remote);
    if (end == 'r' && f.remote && !f.statuses)
        abort(); /* it is told how it ended */
    if (f.forward)
        portforward_lost(f.forward);
    spdy_free(f.spdy);
    remote_free(f.remote);
    portforward_free(f.forward);
    return 0;
}
