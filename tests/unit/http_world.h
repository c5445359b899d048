/* http_world.h - a server and its clients in one loop: plain and TLS clients over real sockets, certificates made here, and a handler
 * with a path for each thing that a test wants. */
#ifndef REPRISE_TESTS_HTTP_WORLD_H
#define REPRISE_TESTS_HTTP_WORLD_H

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "http/http.h"
#include "os/fs.h"
#include "os/unixsock.h"
#include "unit/pki.h"

enum { L_UNIX, L_TCP, L_TLS };

typedef struct {
    Pair ca, server, alice, expired, stranger_ca, stranger, nul;
} Pki;

typedef struct World World;
typedef struct {
    World *w;
    int fd;
    gnutls_session_t tls;
    gnutls_certificate_credentials_t cred;
    bool shaken, eof, reset, no_read;
    Str in, out; /* out: not sent yet */
    size_t out_at, got; /* got: bytes, of which <in> keeps all but when <count> */
    bool count;
} Peer;

typedef struct {
    World *w;
    HttpStream *s; /* NULL: gone or ended */
    unsigned drained;
    size_t to_send;
} Watch;
typedef struct {
    World *w;
    HttpDuplex *d;
    Str log;
    size_t echoed;
    bool no_echo, closed;
} Up;

struct World {
    uv_loop_t loop;
    HttpServer *s;
    HttpOps ops;
    char dir[64], path[96];
    int fds;
    Peer *peers[2200];
    size_t n_peers;
    HttpRequest *later[8];
    size_t n_later, handled, gone, n_watches, stopped;
    Watch watches[1100];
    Up ups[16];
    size_t n_ups;
    Str log; /* the access log */
    size_t chunk;
};

static Pki pki;

static void pki_make(void)
{
    if (pki.ca.cert)
        return;
    pki.ca = named("test CA", NULL, NULL);
    pki.stranger_ca = named("other CA", NULL, NULL);
    pki.server = named("127.0.0.1", NULL, &pki.ca);
    pki.alice = named("alice", (const char *const[]){"devs", "ops", NULL}, &pki.ca);
    pki.expired = cert_new("old", 3, NULL, &pki.ca, -60);
    pki.stranger = named("mallory", NULL, &pki.stranger_ca);
    pki.nul = cert_new("admin\0x", 7, NULL, &pki.ca, 86400);
}

static void pki_done(void)
{
    Pair *all[] = {&pki.ca, &pki.server, &pki.alice, &pki.expired, &pki.stranger_ca, &pki.stranger, &pki.nul};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        free(all[i]->cert);
        free(all[i]->key);
    }
    pki = (Pki){0};
}

/* --- the handler -------------------------------------------------------------------------------------------------- */

static void watch_drained(void *arg)
{
    Watch *x = arg;
    x->drained++;
    while (x->s && x->to_send) {
        char piece[10000];
        memset(piece, 'w', sizeof piece);
        size_t n = x->to_send < sizeof piece ? x->to_send : sizeof piece;
        if (!http_stream_write(x->s, piece, n))
            return;
        x->to_send -= n;
        if (!x->to_send)
            http_stream_end(MOVE(x->s, NULL));
    }
}

static void watch_gone(void *arg)
{
    Watch *x = arg;
    x->s = NULL;
    x->w->gone++;
}

static const HttpStreamOps watch_ops = {watch_drained, watch_gone};

static void up_open(void *arg)
{
    Up *u = arg;
    str_add(&u->log, "open ");
}
static void up_data(void *arg, const uint8_t *bytes, size_t n)
{
    Up *u = arg;
    u->echoed += n;
    if (n == 3 && memcmp(bytes, "bye", 3) == 0) {
        http_duplex_write(u->d, "good-bye", 8);
        http_duplex_close(MOVE(u->d, NULL));
    } else if (!u->no_echo) {
        http_duplex_write(u->d, bytes, n);
        if (http_duplex_queued(u->d) > 256 << 10)
            http_duplex_pause(u->d, true);
    }
}
static void up_sent(void *arg)
{
    http_duplex_pause(((Up *)arg)->d, false);
}
static void up_end(void *arg)
{
    Up *u = arg;
    str_add(&u->log, "end ");
    http_duplex_close(MOVE(u->d, NULL));
}
static void up_close(void *arg, Err *why)
{
    Up *u = arg;
    str_add(&u->log, why ? "lost " : "stopped ");
    err_free(why);
    u->d = NULL;
    u->closed = true;
}
static const HttpDuplexOps up_ops = {up_open, up_data, up_sent, up_end, up_close};

static size_t world_head(void *arg, HttpRequest *r)
{
    (void)arg;
    if (str_eq(http_path(r), "/denied"))
        http_reply(r, 401, NULL, 0, "who are you\n", 12);
    return str_eq(http_path(r), "/small") ? 16 : (size_t)3 << 20;
}

static void who(HttpRequest *r, Str *out)
{
    const HttpIdentity *id = http_identity(r);
    if (id->kind == HTTP_PEER)
        str_fmt(out, "peer %u %u %d", id->uid, id->gid, id->pid);
    else if (id->kind == HTTP_CERT)
        str_fmt(out, "cert %s", id->user);
    else
        str_add(out, "nobody");
    for (size_t i = 0; id->groups[i]; i++)
        str_fmt(out, " %s", id->groups[i]);
    if (id->refused)
        str_add(out, " refused");
    str_fmt(out, "%s", http_secure(r) ? " secure" : "");
}

static void world_handler(void *arg, HttpRequest *r)
{
    World *w = arg;
    const char *path = http_path(r);
    SCOPED(str_done) Str out = {0};
    size_t n;
    const char *body = http_body(r, &n);
    w->handled++;
    if (str_eq(path, "/hello")) {
        HttpHeader h[] = {{"Content-Type", "text/plain"}, {"Bad", "a\r\nInjected: yes"}};
        http_reply(r, 200, h, 2, "hello\n", 6);
    } else if (str_eq(path, "/who")) {
        who(r, &out);
        http_reply(r, 200, NULL, 0, out.p, out.n);
    } else if (str_eq(path, "/later")) {
        http_set_data(r, w);
        w->later[w->n_later++ % ARRAY_LEN(w->later)] = r;
    } else if (str_eq(path, "/big")) {
        SCOPED(mem_free) char *big = mem_alloc(8 << 20);
        http_reply(r, 200, NULL, 0, big, 8 << 20);
    } else if (str_starts(path, "/watch") || str_starts(path, "/log")) {
        Watch *x = &w->watches[w->n_watches++];
        *x = (Watch){.w = w, .to_send = str_eq(path, "/log") ? 5000000 : 0};
        x->s = http_stream(r, 200, NULL, 0, 256 << 10, &watch_ops, x);
        if (x->to_send && x->s) {
            x->to_send--;
            CHECK(http_stream_write(x->s, "w", 1));
        }
    } else if (str_starts(path, "/up")) {
        Up *u = &w->ups[w->n_ups++];
        *u = (Up){.w = w, .no_echo = str_eq(path, "/up/silent")};
        HttpHeader h[] = {{"Sec-Test", "x"}};
        u->d = http_upgrade(r, str_or(http_header(r, "Upgrade"), "echo"), h, 1, &up_ops, u);
    } else {
        str_fmt(&out, "%s %s ? %s [%zu] ", http_method(r), path, http_query(r), n);
        str_add_n(&out, body, n < 100 ? n : 100);
        http_reply(r, 200, NULL, 0, out.p, out.n);
    }
}

static void world_gone(void *arg, HttpRequest *r)
{
    World *w = arg;
    CHECK(http_data(r) == w);
    w->gone++;
}

static void world_log(void *arg, const HttpLog *l)
{
    World *w = arg;
    CHECK(l->took_ns >= 0);
    if (w->log.n < 100000)
        str_fmt(&w->log, "%s %s %d %llu %s\n", l->method, l->path, l->status, (unsigned long long)l->bytes, l->user);
}

static const char *world_error(void *arg, int status, const char *message, Str *out)
{
    (void)arg;
    str_fmt(out, "{\"kind\":\"Status\",\"code\":%d,\"message\":\"%s\"}\n", status, message);
    return "application/json";
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

static int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static World *world_new(const HttpLimits *limits)
{
    (void)signal(SIGPIPE, SIG_IGN); /* of gnutls' clients here; the server raises none */
    pki_make();
    uv_loop_t first; /* libuv and gnutls open what they keep for ever */
    uv_loop_init(&first);
    uv_loop_close(&first);
    World *w = NEW(World);
    w->fds = count_fds();
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test_http.XXXXXX");
    CHECK(mkdtemp(w->dir) != NULL);
    (void)snprintf(w->path, sizeof w->path, "%s/api.sock", w->dir);
    uv_loop_init(&w->loop);
    w->ops = (HttpOps){world_handler, world_head, world_gone, world_error, world_log};
    HttpTls tls = {.cert = pki.server.cert, .key = pki.server.key, .client_ca = pki.ca.cert};
    HttpListen l[] = {[L_UNIX] = {.path = w->path, .mode = 0660, .set_group = true, .group = getgid()},
                      [L_TCP] = {.address = "127.0.0.1"},
                      [L_TLS] = {.address = "127.0.0.1", .tls = &tls}};
    HttpServerConfig c = {.loop = &w->loop, .listen = l, .n_listen = ARRAY_LEN(l), .ops = &w->ops, .arg = w};
    if (limits)
        c.limits = *limits;
    CHECK_OK(http_server_new(&c, &w->s));
    return w;
}

static void peer_close(Peer *p)
{
    if (p->tls) {
        gnutls_deinit(p->tls);
        gnutls_certificate_free_credentials(p->cred);
        p->tls = NULL;
    }
    fd_close(MOVE(p->fd, -EBADF));
}

static void world_done(World *w)
{
    http_server_free(MOVE(w->s, NULL));
    for (size_t i = 0; i < w->n_peers; i++) {
        peer_close(w->peers[i]);
        str_done(&w->peers[i]->in);
        str_done(&w->peers[i]->out);
        free(w->peers[i]);
    }
    for (size_t i = 0; i < w->n_ups; i++)
        str_done(&w->ups[i].log);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    CHECK(access(w->path, F_OK) < 0);
    rmdir(w->dir);
    CHECK_INT(count_fds(), w->fds);
    str_done(&w->log);
    free(w);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

static Peer *peer_at(World *w, int fd)
{
    Peer *p = NEW(Peer);
    p->w = w;
    p->fd = fd;
    CHECK(fd >= 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    w->peers[w->n_peers++] = p;
    return p;
}

static Peer *peer_unix(World *w)
{
    int fd = -1;
    CHECK_OK(unix_connect_now(w->path, &fd));
    return peer_at(w, fd);
}

static Peer *peer_tcp(World *w, size_t listener)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(w->s, listener)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return peer_at(w, fd);
}

static Peer *peer_tls(World *w, const Pair *cert)
{
    Peer *p = peer_tcp(w, L_TLS);
    gnutls_certificate_allocate_credentials(&p->cred);
    gnutls_datum_t ca = {(unsigned char *)pki.ca.cert, (unsigned)strlen(pki.ca.cert)};
    gnutls_certificate_set_x509_trust_mem(p->cred, &ca, GNUTLS_X509_FMT_PEM);
    if (cert) {
        gnutls_datum_t c = {(unsigned char *)cert->cert, (unsigned)strlen(cert->cert)};
        gnutls_datum_t k = {(unsigned char *)cert->key, (unsigned)strlen(cert->key)};
        gnutls_certificate_set_x509_key_mem(p->cred, &c, &k, GNUTLS_X509_FMT_PEM);
    }
    /* Else a client would keep back a certificate of another CA than the server names. */
    gnutls_init(&p->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT);
    gnutls_set_default_priority(p->tls);
    gnutls_credentials_set(p->tls, GNUTLS_CRD_CERTIFICATE, p->cred);
    gnutls_transport_set_int(p->tls, p->fd);
    return p;
}

static Peer *peer_any(World *w, unsigned kind)
{
    return kind == L_UNIX ? peer_unix(w) : kind == L_TCP ? peer_tcp(w, L_TCP) : peer_tls(w, &pki.alice);
}

static void peer_work(Peer *p)
{
    char buf[65536];
    if (p->fd < 0)
        return;
    if (p->tls && !p->shaken) {
        int rc = gnutls_handshake(p->tls);
        if (rc < 0 && gnutls_error_is_fatal(rc))
            p->eof = p->reset = true;
        p->shaken = rc == 0;
        if (rc < 0)
            return;
    }
    while (p->out.n > p->out_at) {
        ssize_t n = p->tls ? gnutls_record_send(p->tls, p->out.p + p->out_at, p->out.n - p->out_at)
                           : send(p->fd, p->out.p + p->out_at, p->out.n - p->out_at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        p->out_at += (size_t)n;
    }
    for (unsigned i = 0; i < 8 && !p->no_read && !p->eof; i++) {
        ssize_t n = p->tls ? gnutls_record_recv(p->tls, buf, sizeof buf) : recv(p->fd, buf, sizeof buf, 0);
        if (p->tls && (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED))
            return;
        if (!p->tls && n < 0 && errno == EAGAIN)
            return;
        p->eof = n <= 0;
        p->reset = n < 0;
        if (n > 0) {
            p->got += (size_t)n;
            if (!p->count)
                str_add_n(&p->in, buf, (size_t)n);
        }
    }
}

static void turn(World *w)
{
    for (size_t i = 0; i < w->n_peers; i++)
        peer_work(w->peers[i]);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* Lets the world turn until <cond>, for 5 s (more under a sanitizer) at most; the time it took in ms, -1: not in time. */
#define PATIENCE_NS INT64_C(20000000000)
#define UNTIL(w, cond)                                                                                                 \
    ({                                                                                                                 \
        int64_t t0_ = os_monotonic_ns(), t_ = t0_;                                                                     \
        bool ok_ = false;                                                                                              \
        while (!(ok_ = (cond)) && (t_ = os_monotonic_ns()) - t0_ < PATIENCE_NS) {                                      \
            turn(w);                                                                                                   \
            if (!(cond))                                                                                               \
                usleep(200);                                                                                           \
        }                                                                                                              \
        ok_ ? (t_ - t0_) / 1000000 : (int64_t)-1;                                                                      \
    })
#define WAIT_FOR(w, cond) CHECK(UNTIL(w, cond) >= 0)

static void spin(World *w, unsigned ms)
{
    int64_t end = os_monotonic_ns() + (int64_t)ms * 1000000;
    while (os_monotonic_ns() < end) {
        turn(w);
        usleep(500);
    }
}

static void say(Peer *p, const char *text)
{
    str_add(&p->out, text);
    peer_work(p);
}

static void ask(Peer *p, const char *method, const char *path, const char *headers)
{
    SCOPED(str_done) Str s = {0};
    str_fmt(&s, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, path, headers);
    say(p, s.p);
}

static bool has(const Peer *p, const char *text)
{
    return p->in.p && memmem(p->in.p, p->in.n, text, strlen(text)) != NULL;
}

static unsigned times(const Str *s, const char *text)
{
    unsigned n = 0;
    for (const char *at = s->p; at && (at = strstr(at, text)); at += strlen(text))
        n++;
    return n;
}

#endif
