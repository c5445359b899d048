/* src/http: a server and its clients in one loop, over real sockets. */
#include "http_world.h"

#include <poll.h>
#include <sys/stat.h>

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void test_many(void)
{
    World *w = world_new(NULL);
    Peer *p[120];
    for (unsigned i = 0; i < ARRAY_LEN(p); i++)
        p[i] = i % 10 == 9 ? peer_tls(w, NULL) : peer_any(w, i % 2);
    for (unsigned i = 0; i < ARRAY_LEN(p); i++)
        for (unsigned n = 0; n < 20; n++) /* pipelined, too */
            ask(p[i], "GET", "/hello", "");
    bool all = false;
    for (int64_t end = os_monotonic_ns() + PATIENCE_NS; !all && os_monotonic_ns() < end;) {
        turn(w);
        all = true;
        for (unsigned i = 0; i < ARRAY_LEN(p); i++)
            all = all && times(&p[i]->in, "\r\n\r\nhello\n") == 20;
    }
    CHECK(all);
    CHECK_INT(w->handled, 20 * ARRAY_LEN(p));
    CHECK_INT(http_server_connections(w->s), ARRAY_LEN(p));
    CHECK(has(p[0], "Date: ") && !has(p[0], "Injected"));
    world_done(w);
}

static void test_parts(void)
{
    static const struct { const char *send, *want; } t[] = {
        {"GET /a%2Fb/%41?x=%20y&z HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a%2Fb/%41 ? x=%20y&z [0] "},
        {"DELETE /d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "DELETE /d ?  [2] {}"},
        {"PATCH /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "PATCH /c ?  [5] abcde"},
        {"GET /old HTTP/1.0\r\n\r\n", "GET /old ?  [0] "},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * ?  [0] "},
        {"GET http://x/y HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /nohost HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
        {"POST /denied HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /hello HTTP/1.1\r\nHost: x\r\n\r\n", "hello\n"},
        {"POST /denied HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 401 "},
    };
    World *w = world_new(NULL);
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++)
        for (size_t i = 0; i < ARRAY_LEN(t); i++) {
            Peer *p = peer_any(w, kind);
            say(p, t[i].send);
            WAIT_FOR(w, has(p, t[i].want) || (p->eof && (str_starts(t[i].send, "nonsense"))));
            if (!has(p, t[i].want) && !str_starts(t[i].send, "nonsense"))
                printf("# of %s: %s\n", t[i].send, str_or(p->in.p, ""));
            peer_close(p);
        }
    Peer *h = peer_unix(w);
    ask(h, "HEAD", "/hello", "");
    ask(h, "GET", "/hello", "");
    WAIT_FOR(w, has(h, "\r\n\r\nhello\n"));
    CHECK_INT(times(&h->in, "Content-Length: 6\r\n"), 2);
    CHECK_INT(times(&h->in, "\nhello\n"), 1);
    Peer *e = peer_tcp(w, L_TCP);
    ask(e, "PUT", "/e", "Expect: 100-continue\r\nContent-Length: 4\r\n");
    WAIT_FOR(w, has(e, "100 Continue\r\n\r\n"));
    say(e, "body");
    WAIT_FOR(w, has(e, "PUT /e ?  [4] body"));
    CHECK(strstr(w->log.p, "HEAD /hello 200 0 uid:") != NULL);
    CHECK(strstr(w->log.p, "POST /denied 401 12 alice\n") != NULL);
    world_done(w);
}

static void test_later(void)
{
    World *w = world_new(NULL);
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        Peer *p = peer_any(w, kind);
        ask(p, "GET", "/later", "");
        ask(p, "GET", "/hello", ""); /* waits for the first */
        WAIT_FOR(w, w->n_later == kind + 1);
        spin(w, 30);
        CHECK_INT(p->in.n, 0);
        http_reply(w->later[kind], 200, NULL, 0, "at last\n", 8);
        WAIT_FOR(w, has(p, "at last\n") && has(p, "hello\n"));
        CHECK(strstr(p->in.p, "at last") < strstr(p->in.p, "hello"));
    }
    world_done(w);
}

static void test_half_closed(void)
{
    World *w = world_new(NULL);
    for (unsigned kind = L_UNIX; kind <= L_TCP; kind++) {
        Peer *p = peer_any(w, kind), *q = peer_any(w, kind), *s = peer_any(w, kind), *r = peer_any(w, kind);
        ask(p, "GET", "/hello", "");
        shutdown(p->fd, SHUT_WR);
        ask(q, "GET", "/later", "");
        shutdown(q->fd, SHUT_WR);
        say(r, "GET /hel"); /* never whole */
        shutdown(r->fd, SHUT_WR);
        WAIT_FOR(w, has(p, "hello\n") && p->eof && w->n_later == kind + 1 && r->eof);
        spin(w, 50);
        http_reply(w->later[kind], 200, NULL, 0, "late\n", 5);
        WAIT_FOR(w, has(q, "late\n") && q->eof);
        ask(s, "GET", "/watch", ""); /* as with Go's servers, it ends */
        shutdown(s->fd, SHUT_WR);
        WAIT_FOR(w, w->gone == kind + 1);
    }
    world_done(w);
}

/* --- bounds ------------------------------------------------------------------------------------------------------- */

static void test_too_large(void)
{
    World *w = world_new(NULL);
    SCOPED(mem_free) char *long_text = mem_alloc(100001);
    memset(long_text, 'a', 100000);
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        Peer *p = peer_any(w, kind);
        ask(p, "POST", "/small", "Content-Length: 17\r\n");
        say(p, "12345678901234567");
        ask(p, "POST", "/small", "Content-Length: 16\r\n"); /* the connection is still good */
        say(p, "1234567890123456");
        WAIT_FOR(w, has(p, "HTTP/1.1 413 ") && has(p, "{\"kind\":\"Status\",\"code\":413") && has(p, "POST /small ?  [16] 1234567890123456"));
        Peer *c = peer_any(w, kind);
        ask(c, "POST", "/small", "Transfer-Encoding: chunked\r\n");
        say(c, "a\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n");
        WAIT_FOR(w, has(c, "HTTP/1.1 413 "));
        Peer *x = peer_any(w, kind);
        ask(x, "POST", "/small", "Content-Length: 1000000000000000000000\r\n");
        WAIT_FOR(w, has(x, "HTTP/1.1 413 ") || x->eof);
        Peer *y = peer_any(w, kind);
        ask(y, "POST", "/e", "Content-Length: 3145729\r\nExpect: 100-continue\r\n");
        WAIT_FOR(w, has(y, "HTTP/1.1 413 ") && y->eof);
        CHECK(!has(y, "100 Continue"));
        Peer *u = peer_any(w, kind);
        say(u, "GET /");
        long_text[20000] = '\0';
        say(u, long_text);
        long_text[20000] = 'a';
        say(u, " HTTP/1.1\r\nHost: x\r\n\r\n");
        WAIT_FOR(w, has(u, "HTTP/1.1 414 ") && has(u, "Status"));
        Peer *h = peer_any(w, kind);
        say(h, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
        long_text[35000] = '\0';
        say(h, long_text);
        long_text[35000] = 'a';
        say(h, "\r\n\r\n");
        WAIT_FOR(w, has(h, "HTTP/1.1 431 ") && has(h, "Status"));
        Peer *m = peer_any(w, kind);
        say(m, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
        say(m, long_text);
        WAIT_FOR(w, has(m, "HTTP/1.1 431 ") || m->eof);
    }
    Peer *ok = peer_tcp(w, L_TCP); /* 3 MiB are fine */
    ask(ok, "POST", "/e", "Content-Length: 3145728\r\n");
    for (unsigned i = 0; i < 48; i++)
        str_add_n(&ok->out, long_text, 65536);
    WAIT_FOR(w, has(ok, "[3145728] aaaa"));
    world_done(w);
}

static void test_connections(void)
{
    World *w = world_new(&(HttpLimits){.max_connections = 6, .max_per_peer = 4});
    Peer *p[6];
    for (unsigned i = 0; i < 4; i++) {
        p[i] = peer_unix(w);
        ask(p[i], "GET", i ? "/later" : "/hello", "");
    }
    WAIT_FOR(w, w->handled == 4);
    Peer *one = peer_unix(w); /* too many of one uid */
    ask(one, "GET", "/hello", "");
    WAIT_FOR(w, has(one, "HTTP/1.1 503 ") && has(one, "of one client") && one->eof);
    for (unsigned i = 4; i < 6; i++) {
        p[i] = peer_tcp(w, L_TCP);
        ask(p[i], "GET", "/later", "");
    }
    WAIT_FOR(w, w->handled == 6 && has(p[0], "hello\n"));
    Peer *more = peer_tcp(w, L_TCP); /* in the place of the one that is idle */
    ask(more, "GET", "/later", "");
    WAIT_FOR(w, w->handled == 7 && p[0]->eof);
    Peer *all = peer_tcp(w, L_TCP), *tls = peer_tls(w, NULL);
    ask(tls, "GET", "/hello", "");
    WAIT_FOR(w, has(all, "HTTP/1.1 503 ") && has(all, "too many connections\"") && all->eof && tls->eof);
    peer_close(p[1]);
    spin(w, 20);
    Peer *again = peer_unix(w);
    ask(again, "GET", "/hello", "");
    WAIT_FOR(w, has(again, "hello\n"));
    world_done(w);

    w = world_new(&(HttpLimits){.max_bodies = 100000});
    Peer *a = peer_unix(w), *b = peer_unix(w);
    ask(a, "POST", "/e", "Content-Length: 90000\r\n");
    SCOPED(mem_free) char *text = mem_alloc(80001);
    memset(text, 'b', 80000);
    say(a, text);
    spin(w, 20);
    ask(b, "POST", "/e", "Content-Length: 80000\r\n");
    say(b, text);
    WAIT_FOR(w, has(b, "HTTP/1.1 503 ") && has(b, "large bodies"));
    text[10000] = '\0';
    say(a, text);
    WAIT_FOR(w, has(a, "[90000] bbb"));
    ask(b, "POST", "/e", "Content-Length: 10000\r\n");
    say(b, text);
    WAIT_FOR(w, has(b, "[10000] bbb"));
    world_done(w);
}

static void test_slow(void)
{
    World *w = world_new(&(HttpLimits){.header_ms = 800, .body_ms = 800, .idle_ms = 800, .send_ms = 500});
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        Peer *silent = peer_any(w, kind), *loris = peer_any(w, kind), *body = peer_any(w, kind), *idle = peer_any(w, kind);
        Peer *deaf = peer_any(w, kind), *deaf2 = peer_any(w, kind), *shy = peer_tcp(w, L_TLS); /* shy: no TLS at all */
        say(loris, "GET /hello HTTP/1.1\r\n");
        ask(body, "POST", "/e", "Content-Length: 100\r\n");
        ask(idle, "GET", "/hello", "");
        ask(deaf, "GET", "/big", "");
        ask(deaf2, "GET", "/watch", "");
        WAIT_FOR(w, w->n_watches == kind + 1 && has(idle, "hello"));
        deaf->no_read = deaf2->no_read = true;
        Watch *x = &w->watches[kind];
        char piece[1000] = {0};
        size_t queued = 0;
        for (unsigned i = 0; i < 100000 && x->s && (http_stream_queued(x->s) == 0 || queued < 20000000); i++) {
            if (!http_stream_write(x->s, piece, sizeof piece))
                break;
            queued += sizeof piece;
            turn(w);
        }
        for (unsigned i = 0; i < 80 && !loris->eof; i++) { /* a byte now and then does not help */
            say(loris, "X");
            say(body, "b");
            spin(w, 20);
        }
        WAIT_FOR(w, silent->eof && loris->eof && body->eof && idle->eof && shy->eof && w->gone == kind + 1);
        CHECK(has(loris, "HTTP/1.1 408 ") && has(body, "HTTP/1.1 408 ") && has(body, "Status"));
        CHECK_INT(silent->in.n, 0);
        deaf->no_read = deaf2->no_read = false;
        deaf->count = deaf2->count = true;
        WAIT_FOR(w, deaf->eof && deaf2->eof);
        CHECK(deaf->got < 8 << 20);
    }
    WAIT_FOR(w, http_server_connections(w->s) == 0);
    CHECK(strstr(w->log.p, "/hello 408 0") != NULL);
    world_done(w);
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static void test_watchers(void)
{
    enum { N = 200, EVENTS = 400, SIZE = 4000 };
    World *w = world_new(NULL);
    Peer *p[N];
    for (unsigned i = 0; i < N; i++) {
        p[i] = i % 8 == 7 ? peer_tls(w, NULL) : peer_any(w, i % 2);
        ask(p[i], "GET", "/watch", "");
        turn(w);
    }
    WAIT_FOR(w, w->n_watches == N);
    for (unsigned i = 0; i < N; i++)
        p[i]->count = true;
    /* Watches came in an order of their own: the slow ones are told by their first event. */
    for (unsigned i = 0; i < N; i += 2)
        p[i]->no_read = true;
    unsigned dropped = 0;
    for (unsigned n = 0; n < EVENTS; n++) {
        char text[SIZE];
        memset(text, 'e', sizeof text);
        SCOPED(http_buf_unref) HttpBuf *b = http_buf_new(text, sizeof text);
        for (unsigned i = 0; i < N; i++) {
            HttpStream *s = w->watches[i].s;
            if (s && !http_stream_send(s, b)) {
                CHECK(http_stream_queued(s) > 200000);
                http_stream_abort(MOVE(w->watches[i].s, NULL));
                dropped++;
            }
        }
        turn(w);
        turn(w);
    }
    CHECK_INT(dropped, N / 2);
    unsigned whole = 0;
    for (unsigned i = 0; i < N; i++)
        if (w->watches[i].s)
            http_stream_end(MOVE(w->watches[i].s, NULL));
    for (int64_t end = os_monotonic_ns() + PATIENCE_NS; whole < N / 2 && os_monotonic_ns() < end;) {
        turn(w);
        whole = 0;
        for (unsigned i = 1; i < N; i += 2)
            whole += p[i]->got > (size_t)EVENTS * SIZE;
    }
    spin(w, 20);
    whole = 0;
    for (unsigned i = 0; i < N; i++) {
        whole += p[i]->got > (size_t)EVENTS * SIZE;
        CHECK(p[i]->no_read || !p[i]->eof); /* keep-alive goes on after a stream that ended well */
        p[i]->no_read = false;
    }
    CHECK_INT(whole, N / 2);
    bool ends = false;
    for (int64_t end = os_monotonic_ns() + PATIENCE_NS; !ends && os_monotonic_ns() < end;) {
        turn(w);
        ends = true;
        for (unsigned i = 0; i < N; i += 2)
            ends = ends && p[i]->eof;
    }
    for (unsigned i = 0; i < N; i += 2)
        CHECK(p[i]->eof && p[i]->got < (size_t)EVENTS * SIZE);
    CHECK_INT(w->gone, 0);
    p[1]->count = false;
    ask(p[1], "GET", "/hello", "");
    WAIT_FOR(w, has(p[1], "hello\n"));
    world_done(w);
}

static void test_drained(void)
{
    World *w = world_new(NULL);
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        size_t at = w->n_watches;
        Peer *p = peer_any(w, kind), *old = peer_any(w, kind), *head = peer_any(w, kind);
        ask(p, "GET", "/log", "");
        WAIT_FOR(w, p->got > 5000000 && has(p, "\r\n0\r\n\r\n"));
        CHECK(w->watches[at].drained > 5 && !w->watches[at].s);
        say(old, "GET /watch HTTP/1.0\r\n\r\n"); /* HTTP/1.0 has no chunks: up to the end */
        WAIT_FOR(w, w->n_watches == at + 2);
        CHECK(http_stream_write(w->watches[at + 1].s, "event\n", 6));
        WAIT_FOR(w, has(old, "\r\n\r\nevent\n"));
        http_stream_end(MOVE(w->watches[at + 1].s, NULL));
        WAIT_FOR(w, old->eof);
        ask(head, "HEAD", "/watch", "");
        WAIT_FOR(w, has(head, "HTTP/1.1 200") && w->gone == kind + 1);
    }
    world_done(w);
}

static void test_gone(void)
{
    World *w = world_new(NULL);
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        Peer *p = peer_any(w, kind);
        ask(p, "GET", "/watch", "");
        WAIT_FOR(w, has(p, "200 OK") && w->watches[kind].s);
        spin(w, 20);
        peer_close(p);
        int64_t took = UNTIL(w, w->gone == kind + 1);
        CHECK(took >= 0 && took < 1000);
        CHECK(!w->watches[kind].s);
    }
    size_t gone = w->gone; /* a request that is not answered: a unix socket tells a close from a half-close */
    Peer *q = peer_unix(w);
    ask(q, "GET", "/later", "");
    WAIT_FOR(w, w->n_later == 1);
    peer_close(q);
    WAIT_FOR(w, w->gone == gone + 1);
    w->ops.on_gone = NULL; /* not told: the answer is dropped */
    for (unsigned i = 1; i < 5; i++) {
        q = peer_unix(w);
        ask(q, "GET", "/later", "");
        WAIT_FOR(w, w->n_later == i + 1);
        peer_close(q);
    }
    WAIT_FOR(w, http_server_connections(w->s) == 0);
    static const HttpStreamOps none = {0};
    CHECK_STR(http_method(w->later[1]), "GET");
    CHECK(http_identity(w->later[1])->kind == HTTP_ANONYMOUS && !http_header(w->later[1], "Host"));
    http_reply(w->later[1], 200, NULL, 0, "x", 1);
    http_reply_error(w->later[2], 500, "x");
    CHECK(!http_stream(w->later[3], 200, NULL, 0, 0, &none, NULL));
    CHECK(!http_upgrade(w->later[4], "x", NULL, 0, &up_ops, NULL));
    world_done(w);
}

/* --- who ---------------------------------------------------------------------------------------------------------- */

static void test_identities(void)
{
    const struct { const Pair *cert; const char *want; } t[] = {
        {NULL, "nobody secure"}, {&pki.alice, "cert alice devs ops secure"}, {&pki.expired, "nobody refused secure"},
        {&pki.stranger, "nobody refused secure"}, {&pki.nul, "nobody refused secure"},
    };
    World *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        Peer *p = peer_tls(w, t[i].cert);
        ask(p, "GET", "/who", "");
        ask(p, "GET", "/who", "");
        WAIT_FOR(w, times(&p->in, "\r\n\r\n") == 2 && str_ends(p->in.p, " secure"));
        CHECK_STR(strstr(p->in.p, "\r\n\r\n") ? strrchr(p->in.p, '\n') + 1 : NULL, t[i].want);
        gnutls_datum_t der = *gnutls_certificate_get_peers(p->tls, &(unsigned){0});
        CHECK(der.size > 0);
    }
    Peer *u = peer_unix(w), *c = peer_tcp(w, L_TCP);
    ask(u, "GET", "/who", "");
    ask(c, "GET", "/who", "");
    SCOPED(mem_free) char *want = mem_fmt("peer %u %u %d secure", getuid(), getgid(), getpid());
    WAIT_FOR(w, has(u, want) && has(c, "nobody"));
    struct stat st;
    CHECK_INT(stat(w->path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0660);
    CHECK_INT(st.st_gid, getgid());
    CHECK(strstr(w->log.p, "GET /who 200 26 alice\n") != NULL);
    world_done(w);
}

static void test_config(void)
{
    uv_loop_t loop;
    pki_make();
    int fds = count_fds();
    uv_loop_init(&loop);
    HttpOps ops = {world_handler, NULL, NULL, NULL, NULL};
    HttpTls bad = {.cert = pki.server.cert, .key = pki.ca.key}, no_ca = {.cert = pki.server.cert, .key = pki.server.key, .client_ca = "x"};
    HttpTls no_file = {.cert_file = "/nonexistent/x.pem", .key = "x"};
    const struct { HttpListen l; const char *want; } t[] = {
        {{.address = "localhost"}, "begin to serve: localhost port 0 is no address to listen on"},
        {{.path = "/nonexistent/a.sock"}, "begin to serve: bind socket /nonexistent/a.sock: No such file or directory"},
        {{.address = "127.0.0.1", .tls = &bad}, "begin to serve: server certificate and key: "},
        {{.address = "127.0.0.1", .tls = &no_ca}, "begin to serve: client CA: "},
        {{.address = "::1", .tls = &no_file}, "begin to serve: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        HttpListen l[2] = {{.address = "127.0.0.1"}, t[i].l};
        HttpServerConfig c = {.loop = &loop, .listen = l, .n_listen = 2, .ops = &ops};
        HttpServer *s = NULL;
        SCOPED(err_free) Err *e = http_server_new(&c, &s);
        CHECK(e && !s);
        SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
        if (!text || !str_starts(text, t[i].want))
            CHECK_STR(text, t[i].want);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    CHECK_INT(uv_loop_close(&loop), 0);
    CHECK_INT(count_fds(), fds);
}

/* --- upgrades ----------------------------------------------------------------------------------------------------- */

static void test_upgrade(void)
{
    enum { SIZE = 10 << 20 };
    World *w = world_new(NULL);
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        Peer *p = peer_any(w, kind);
        ask(p, kind == L_TCP ? "POST" : "GET", "/up", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n");
        say(p, "early");
        WAIT_FOR(w, has(p, "\r\n\r\nearly"));
        CHECK(str_starts(p->in.p, "HTTP/1.1 101 ") && has(p, "Upgrade: SPDY/3.1\r\n") && has(p, "Sec-Test: x\r\n"));
        CHECK(has(p, "Connection: Upgrade\r\n"));
        p->count = true;
        p->got = 0;
        str_clear(&p->out);
        p->out_at = 0;
        for (unsigned i = 0; i < SIZE / 65536; i++) {
            char block[65536];
            memset(block, (int)('a' + i % 26), sizeof block);
            str_add_n(&p->out, block, sizeof block);
        }
        p->no_read = true; /* it feels that we do not read */
        spin(w, 100);
        CHECK(p->out_at < SIZE);
        p->no_read = false;
        int64_t took = UNTIL(w, p->got == SIZE);
        CHECK(took >= 0);
        printf("# 10 MiB both ways, kind %u: %lld ms\n", kind, (long long)took);
        CHECK_INT(w->ups[kind].echoed, SIZE + 5);
        p->count = false;
        say(p, "bye");
        WAIT_FOR(w, has(p, "good-bye") && p->eof);
        CHECK_STR(w->ups[kind].log.p, "open ");
    }
    WAIT_FOR(w, http_server_connections(w->s) == 0);
    CHECK(strstr(w->log.p, "GET /up 101 ") != NULL);
    world_done(w);
}

static void test_upgrade_ends(void)
{
    World *w = world_new(NULL);
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        size_t at = w->n_ups;
        Peer *p = peer_any(w, kind), *q = peer_any(w, kind), *half = peer_any(w, kind);
        ask(p, "GET", "/up", "Connection: Upgrade\r\nUpgrade: x\r\n");
        WAIT_FOR(w, has(p, "101 "));
        ask(q, "GET", "/up/silent", "Connection: Upgrade\r\nUpgrade: x\r\n");
        WAIT_FOR(w, has(q, "101 "));
        say(q, "the last words");
        peer_work(q);
        peer_close(q); /* what it said arrives, then the end */
        int64_t took = UNTIL(w, !w->ups[at + 1].d);
        CHECK(took >= 0 && took < 1000);
        CHECK_INT(w->ups[at + 1].echoed, 14);
        peer_close(p);
        took = UNTIL(w, !w->ups[at].d);
        CHECK(took >= 0 && took < 1000);
        if (kind != L_TLS) { /* we may still talk to who said all he had to say */
            ask(half, "GET", "/up", "Connection: Upgrade\r\nUpgrade: x\r\n");
            WAIT_FOR(w, has(half, "101 "));
            say(half, "echo this");
            shutdown(half->fd, SHUT_WR);
            WAIT_FOR(w, has(half, "echo this") && half->eof);
        }
        Peer *old = peer_any(w, kind);
        say(old, "GET /up HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        WAIT_FOR(w, has(old, "400 Bad Request"));
        peer_close(old);
        peer_close(half);
    }
    WAIT_FOR(w, http_server_connections(w->s) == 0);
    world_done(w);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void on_stopped(void *arg)
{
    ((World *)arg)->stopped++;
}

/* Everything that can be open is: idle, half a head, half a body, unanswered, streaming, upgraded, half a handshake. */
static void open_all(World *w)
{
    for (unsigned kind = L_UNIX; kind <= L_TLS; kind++) {
        Peer *idle = peer_any(w, kind);
        ask(idle, "GET", "/hello", "");
        say(peer_any(w, kind), "GET /hel");
        Peer *body = peer_any(w, kind), *later = peer_any(w, kind), *watch = peer_any(w, kind), *up = peer_any(w, kind), *big = peer_any(w, kind);
        ask(body, "POST", "/e", "Content-Length: 10\r\n");
        ask(later, "GET", "/later", "");
        ask(watch, "GET", "/watch", "");
        ask(up, "GET", "/up", "Connection: Upgrade\r\nUpgrade: x\r\n");
        ask(big, "GET", "/big", "");
        WAIT_FOR(w, has(idle, "hello") && has(watch, "200 OK") && has(up, "101 ") && w->n_later == kind + 1 && w->n_ups == kind + 1 &&
                        (big->no_read = has(big, "200 OK")));
    }
    (void)peer_tcp(w, L_TLS);
    turn(w);
}

static void test_stop(void)
{
    World *w = world_new(NULL);
    open_all(w);
    size_t others = w->n_peers;
    Peer *late = peer_unix(w);
    ask(late, "GET", "/later", "");
    WAIT_FOR(w, w->n_later == 4);
    http_server_stop(w->s, 800, on_stopped, w);
    CHECK(access(w->path, F_OK) < 0);
    WAIT_FOR(w, w->peers[0]->eof);
    CHECK(!late->eof);
    http_reply(w->later[3], 200, NULL, 0, "still\n", 6);
    WAIT_FOR(w, has(late, "still\n") && has(late, "Connection: close") && late->eof);
    CHECK_INT(w->stopped, 0);
    WAIT_FOR(w, w->stopped == 1);
    CHECK_INT(http_server_connections(w->s), 0);
    CHECK_INT(w->gone, 6); /* three streams, three requests */
    for (unsigned i = 0; i < 3; i++)
        CHECK_STR(w->ups[i].log.p, "open stopped ");
    for (size_t i = 0; i < others; i++)
        w->peers[i]->no_read = false;
    for (size_t i = 0; i < others; i++)
        WAIT_FOR(w, w->peers[i]->eof);
    world_done(w);

    w = world_new(NULL); /* nothing open */
    http_server_stop(w->s, 1000, on_stopped, w);
    WAIT_FOR(w, w->stopped == 1);
    world_done(w);
}

static void free_in_handler(void *arg, HttpRequest *r)
{
    World *w = arg;
    http_server_free(MOVE(w->s, NULL));
    http_reply(r, 200, NULL, 0, "x", 1);
}

static void test_free(void)
{
    World *w = world_new(NULL);
    open_all(w);
    http_server_free(MOVE(w->s, NULL));
    CHECK_INT(w->gone, 6);
    for (unsigned i = 0; i < 3; i++)
        CHECK_STR(w->ups[i].log.p, "open stopped ");
    world_done(w);

    w = world_new(NULL);
    open_all(w);
    w->ops.handler = free_in_handler;
    ask(peer_unix(w), "GET", "/hello", "");
    WAIT_FOR(w, !w->s);
    world_done(w);
}

static void test_descriptors(void)
{
    World *w = world_new(NULL);
    struct rlimit old, now;
    getrlimit(RLIMIT_NOFILE, &old);
    now = old;
    Peer *p[4];
    for (unsigned i = 0; i < 4; i++)
        p[i] = peer_unix(w); /* waits in the queue */
    now.rlim_cur = (rlim_t)dup(0);
    close((int)now.rlim_cur);
    now.rlim_cur += 2; /* for two of four */
    setrlimit(RLIMIT_NOFILE, &now);
    for (unsigned i = 0; i < 4; i++)
        ask(p[i], "GET", "/hello", "");
    WAIT_FOR(w, w->handled == 2);
    spin(w, 50);
    setrlimit(RLIMIT_NOFILE, &old);
    WAIT_FOR(w, w->handled == 4);
    world_done(w);
}

/* --- numbers, not judged ------------------------------------------------------------------------------------------ */

static size_t rss_kb(void)
{
    SCOPED(str_done) Str s = {0};
    err_free(fs_read("/proc/self/status", 65536, &s));
    const char *at = s.p ? strstr(s.p, "VmRSS:") : NULL;
    return at ? strtoul(at + 6, NULL, 10) : 0;
}

static void test_numbers(void)
{
    enum { N = 1000, WARM = 50 };
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    World *w = world_new(&(HttpLimits){.max_connections = 2000});
    w->ops.on_log = NULL;
    Peer *p = peer_unix(w);
    p->count = true;
    int64_t t0 = os_monotonic_ns();
    unsigned asked = 0;
    for (; os_monotonic_ns() - t0 < 300000000; asked++) {
        size_t before = w->handled;
        str_clear(&p->out);
        p->out_at = 0;
        ask(p, "GET", "/hello", "");
        size_t got = p->got;
        while (w->handled == before || p->got == got)
            turn(w);
    }
    printf("# keep-alive, one at a time, client in the same thread: %.0f requests/s\n",
           asked / ((double)(os_monotonic_ns() - t0) / 1e9));
    size_t before = rss_kb();
    for (unsigned i = 0; i < N && lim.rlim_cur > 2 * N + 100; i++) {
        Peer *x = peer_tcp(w, L_TCP);
        x->count = true;
        ask(x, "GET", "/watch", "");
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    if (w->n_peers > N) {
        WAIT_FOR(w, w->n_watches == N);
        spin(w, 50);
        printf("# memory of a watcher, with its client here: %.1f KB\n", (double)(rss_kb() - before) / N);
        double best = 1e9;
        for (unsigned n = 0; n < 10; n++) {
            char text[1000] = {0};
            SCOPED(http_buf_unref) HttpBuf *b = http_buf_new(text, sizeof text);
            int64_t t = os_monotonic_ns();
            for (unsigned i = 0; i < N; i++)
                CHECK(http_stream_send(w->watches[i].s, b));
            size_t left = 1;
            while (left) {
                uv_run(&w->loop, UV_RUN_NOWAIT);
                left = 0;
                for (unsigned i = 0; i < N; i++)
                    left += http_stream_queued(w->watches[i].s);
            }
            double ms = (double)(os_monotonic_ns() - t) / 1e6;
            best = ms < best ? ms : best;
            spin(w, 5);
        }
        printf("# 1 KB to %d watchers, best of 10: %.2f ms\n", N, best);
    }
    CHECK(asked > 10);
    world_done(w);
    pki_done();
    gnutls_global_deinit();
}

TESTS(T(test_many), T(test_parts), T(test_later), T(test_half_closed), T(test_too_large), T(test_connections), T(test_slow),
      T(test_watchers), T(test_drained), T(test_gone), T(test_identities), T(test_config), T(test_upgrade), T(test_upgrade_ends),
      T(test_stop), T(test_free), T(test_descriptors), T(test_numbers))
