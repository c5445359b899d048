/* src/stream/websocket and upgrade: two ends in memory in pieces of any size, frames that break RFC 6455, the HTTP head in front. */
#include <stdio.h>

#include "check.h"
#include "stream/upgrade.h"
#include "stream/websocket.h"

typedef struct {
    Websocket *w;
    Str log, data[6];
    bool free_in_data;
} End;

static void on_data(void *arg, unsigned channel, const uint8_t *bytes, size_t n, bool last)
{
    End *e = arg;
    if (channel < ARRAY_LEN(e->data))
        str_add_n(&e->data[channel], bytes, n);
    if (last)
        str_fmt(&e->log, "%u. ", channel);
    if (e->free_in_data)
        websocket_free(MOVE(e->w, NULL));
}

static void on_channel_end(void *arg, unsigned channel)
{
    str_fmt(&((End *)arg)->log, "end%u ", channel);
}

static void on_close(void *arg, unsigned code, const char *reason)
{
    str_fmt(&((End *)arg)->log, "close%u(%s) ", code, reason);
}

static const WebsocketOps ops = {on_data, on_channel_end, on_close};

static void end_open(End *e, bool server, WebsocketMode mode, bool v5)
{
    const WebsocketConfig c = {server, mode, v5, &ops, e};
    *e = (End){0};
    e->w = websocket_new(&c);
}

static void end_done(End *e)
{
    websocket_free(e->w);
    str_done(&e->log);
    for (size_t i = 0; i < ARRAY_LEN(e->data); i++)
        str_done(&e->data[i]);
}

static Err *feed(End *to, const char *p, size_t n, size_t piece)
{
    Err *e = NULL;
    for (size_t at = 0; !e && at < n && to->w; at += piece)
        e = websocket_recv(to->w, p + at, piece < n - at ? piece : n - at);
    return e;
}

static void talk(End *a, End *b, size_t piece)
{
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < 2; i++) {
            End *from = i ? b : a, *to = i ? a : b;
            SCOPED(str_done) Str out = {0};
            if (from->w)
                websocket_take(from->w, &out);
            more = more || out.n;
            CHECK_OK(feed(to, out.p, out.n, piece));
        }
    }
}

static void test_channels(void)
{
    static const WebsocketMode modes[] = {WEBSOCKET_BINARY, WEBSOCKET_BASE64};
    for (size_t m = 0; m < 2; m++)
        for (size_t piece = 1; piece < 5000; piece = piece * 5 + 2) {
            End c, s;
            end_open(&c, false, modes[m], true);
            end_open(&s, true, modes[m], true);
            websocket_send(c.w, 0, "in\0put", 6);
            websocket_send(c.w, 4, "{}", 2);
            websocket_send(s.w, 1, "o", 1);
            websocket_send(s.w, 2, "er", 2);
            websocket_send(s.w, 1, NULL, 0);
            CHECK(websocket_end(c.w, 0) == (modes[m] == WEBSOCKET_BINARY));
            websocket_close(s.w, 1000, "bye");
            talk(&c, &s, piece);
            CHECK(s.data[0].n == 6 && memcmp(s.data[0].p, "in\0put", 6) == 0);
            CHECK_STR(s.data[4].p, "{}");
            CHECK_STR(c.data[1].p, "o");
            CHECK_STR(c.data[2].p, "er");
            CHECK_STR(c.log.p, "1. 2. 1. close1000(bye) ");
            CHECK_STR(s.log.p, modes[m] == WEBSOCKET_BINARY ? "0. 4. end0 close1000(bye) " : "0. 4. close1000(bye) ");
            end_done(&c);
            end_done(&s);
        }
}

static void test_big(void)
{
    SCOPED(mem_free) char *big = mem_alloc(300001);
    for (size_t i = 0; i < 300001; i++)
        big[i] = (char)(i * 37 >> 2);
    for (int m = 0; m <= WEBSOCKET_BASE64; m++) {
        End c, s;
        end_open(&c, false, (WebsocketMode)m, false);
        end_open(&s, true, (WebsocketMode)m, false);
        websocket_send(c.w, 0, big, 300001);
        talk(&c, &s, 9999);
        CHECK(s.data[0].n == 300001 && memcmp(s.data[0].p, big, 300001) == 0);
        end_done(&c);
        end_done(&s);
    }
}

static void test_free_within(void)
{
    End c, s;
    end_open(&c, false, WEBSOCKET_BINARY, true);
    end_open(&s, true, WEBSOCKET_BINARY, true);
    s.free_in_data = true;
    websocket_send(c.w, 0, "a", 1);
    websocket_send(c.w, 0, "b", 1);
    talk(&c, &s, 1000);
    CHECK(s.w == NULL);
    CHECK_STR(s.data[0].p, "a");
    end_done(&c);
    end_done(&s);
}

#define BYTES(s) s, sizeof s - 1

/* A client without masks, so that the frames can be read; what is wrong ends it. */
static void test_frames(void)
{
    static const struct { const char *bytes; size_t n; const char *log, *error; const char *data; } rows[] = {
        {BYTES("\x82\4\1abc"), "1. ", NULL, "abc"},
        {BYTES("\x02\3\1ab\x80\1c"), "1. ", NULL, "abc"},                     /* fragments */
        {BYTES("\x02\1\1\x89\1p\x00\2ab\x80\1c"), "1. ", NULL, "abc"},         /* and a ping between them */
        {BYTES("\x02\0\x80\4\1abc"), "1. ", NULL, "abc"},                     /* the channel comes in the second */
        {BYTES("\x81\4\1abc"), "1. ", NULL, "abc"},                           /* text where bytes are agreed on */
        {BYTES("\x82\0"), NULL, NULL, NULL},
        {BYTES("\x82\2\xff\1"), "end1 ", NULL, NULL},
        {BYTES("\x88\2\3\xe8"), "close1000() ", NULL, NULL},
        {BYTES("\x88\0"), "close1005() ", NULL, NULL},
        {BYTES("\x80\1x"), NULL, "WebSocket frame that breaks RFC 6455 (1002)", NULL}, /* continues nothing */
        {BYTES("\x02\1\1\x82\1\1"), NULL, "WebSocket frame that breaks RFC 6455 (1002)", NULL},
        {BYTES("\xc2\1\1"), NULL, "WebSocket frame that breaks RFC 6455 (1002)", NULL}, /* a reserved bit */
        {BYTES("\x83\1\1"), NULL, "WebSocket frame that breaks RFC 6455 (1002)", NULL}, /* an unknown opcode */
        {BYTES("\x82\x81\1\2\3\4\1"), NULL, "WebSocket frame that breaks RFC 6455 (1002)", NULL}, /* a server that masks */
        {BYTES("\x89\x7e\0\x80"), NULL, "WebSocket frame that breaks RFC 6455", NULL}, /* a ping that is too long */
        {BYTES("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), NULL, "WebSocket frame that breaks RFC 6455", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece < 20; piece += 18) {
            End c;
            end_open(&c, false, WEBSOCKET_BINARY, true);
            SCOPED(err_free) Err *e = feed(&c, rows[i].bytes, rows[i].n, piece);
            SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
            if (!text != !rows[i].error || (text && !str_starts(text, "WebSocket frame that breaks RFC 6455")))
                CHECK_STR(text, rows[i].error);
            CHECK_STR(c.log.p, rows[i].log);
            CHECK_STR(c.data[1].p, rows[i].data);
            end_done(&c);
        }
    /* A server takes no frame without a mask. */
    End s;
    end_open(&s, true, WEBSOCKET_BINARY, false);
    SCOPED(err_free) Err *e = feed(&s, BYTES("\x82\2\0a"), 1);
    CHECK(e != NULL);
    CHECK(s.data[0].n == 0);
    end_done(&s);
}

static void test_base64_hostile(void)
{
    static const struct { const char *bytes; size_t n; const char *want; } rows[] = {
        {BYTES("\x81\5" "1YWJj"), "abc"}, {BYTES("\x81\5" "1YWI="), "ab"},  {BYTES("\x81\5" "1YQ=="), "a"},
        {BYTES("\x81\4" "1YWJ"), NULL},   {BYTES("\x81\5" "1Y==="), NULL}, {BYTES("\x81\5" "1YW*j"), NULL},
        {BYTES("\x81\x9" "1YQ==YQ=="), NULL}, {BYTES("\x81\5" "xYWJj"), NULL}, {BYTES("\x81\5" "1Y=Jj"), NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        End c;
        end_open(&c, false, WEBSOCKET_BASE64, false);
        SCOPED(err_free) Err *e = feed(&c, rows[i].bytes, rows[i].n, 100);
        CHECK(!e == !!rows[i].want);
        if (rows[i].want)
            CHECK_STR(c.data[1].p, rows[i].want);
        end_done(&c);
    }
}

static void test_pings(void)
{
    End c;
    end_open(&c, false, WEBSOCKET_BINARY, false);
    SCOPED(str_done) Str out = {0}, many = {0};
    CHECK_OK(feed(&c, BYTES("\x89\3abc"), 1));
    websocket_take(c.w, &out);
    CHECK(out.n == 9 && (uint8_t)out.p[0] == 0x8a && (uint8_t)out.p[1] == 0x83);
    for (int i = 0; i < 20000; i++)
        str_add_n(&many, "\x89\0", 2);
    Err *e = NULL;
    for (int i = 0; !e && i < 100; i++)
        e = feed(&c, many.p, many.n, many.n);
    CHECK(e && e->kind == ERR_LIMIT);
    err_free(e);
    end_done(&c);
}

static void test_handshake(void)
{
    SCOPED(mem_free) char *accept = websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="); /* RFC 6455 1.3 */
    SCOPED(mem_free) char *key = websocket_key();
    CHECK_STR(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK_INT(strlen(key), 24);
}

/* --- upgrade.h ---------------------------------------------------------------------------------------------------- */

static void test_answer(void)
{
    static const char good[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nupgrade:  SPDY/3.1 \r\n"
                               "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\nrest";
    static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};
    const UpgradeRequest r = {false, "h:1", "/exec/x", protocols, NULL};
    bool whole;
    for (size_t n = 0; n < sizeof good - 1; n++) {
        SCOPED(upgrade_answer_done) UpgradeAnswer a = {0};
        SCOPED(mem_free) char *part = mem_dup(good, n); /* of its exact size */
        CHECK_OK(upgrade_answer(part, n, &whole, &a));
        CHECK(whole == (n >= sizeof good - 5));
        if (!whole)
            continue;
        CHECK_INT(a.n, sizeof good - 5);
        CHECK_INT(a.status, 101);
        CHECK_STR(a.protocol, "v4.channel.k8s.io");
        CHECK_OK(upgrade_check(&r, &a));
    }
    static const char *const bad[] = {"SSH-2.0-x\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 1x1 x\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 200\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "HTTP/1.1 200 OK\r\na b: x\r\n\r\n", "HTTP/1.1 200 OK\r\na: \1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        UpgradeAnswer a = {0};
        Err *e = upgrade_answer(bad[i], strlen(bad[i]), &whole, &a);
        CHECK(e && e->kind == ERR_INVALID);
        err_free(e);
    }
    SCOPED(mem_free) char *endless = mem_alloc(UPGRADE_MAX_HEAD + 10);
    memset(endless, 'a', UPGRADE_MAX_HEAD + 10);
    memcpy(endless, "HTTP/1.1 200 OK\r\n", 17);
    UpgradeAnswer a = {0};
    Err *e = upgrade_answer(endless, UPGRADE_MAX_HEAD + 10, &whole, &a);
    CHECK(e && e->kind == ERR_LIMIT);
    err_free(e);
}

static void test_check(void)
{
    static const char *const protocols[] = {"v4.channel.k8s.io", NULL};
    const UpgradeRequest ws = {true, "h", "/", protocols, "dGhlIHNhbXBsZSBub25jZQ=="}, spdy = {false, "h", "/", protocols, NULL};
    static const struct { bool ws; const char *head, *want; } rows[] = {
        {true, "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n", NULL},
        {true, "HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\n", "answer that is none to our WebSocket key"},
        {false, "HTTP/1.1 101 x\r\nUpgrade: SPDY/3.1\r\n\r\n", NULL},
        {false, "HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n", "upgrade to \"h2c\""},
        {false, "HTTP/1.1 101 x\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9\r\n\r\n", "protocol \"v9\", which was not offered"},
        {false, "HTTP/1.1 404 x\r\n\r\n", "answer 404 instead of 101"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(upgrade_answer_done) UpgradeAnswer a = {0};
        bool whole;
        CHECK_OK(upgrade_answer(rows[i].head, strlen(rows[i].head), &whole, &a));
        SCOPED(err_free) Err *e = upgrade_check(rows[i].ws ? &ws : &spdy, &a);
        SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
        CHECK_STR(text, rows[i].want);
    }
}

static void test_url(void)
{
    static const struct { const char *url, *want; } rows[] = {
        {"http://127.0.0.1:41/exec/t?a#b", "127.0.0.1 41 127.0.0.1:41 /exec/t?a"},
        {"http://[::1]:41/x", "::1 41 [::1]:41 /x"},
        {"http://[::1]", "::1 80 [::1] /"},
        {"http://localhost:9", "127.0.0.1 9 localhost:9 /"},
        {"http://10.0.0.1?x", "10.0.0.1 80 10.0.0.1 /?x"},
        {"https://127.0.0.1/", "3"}, {"http://example.com/", "3"}, {"ftp://127.0.0.1/", "1"}, {"http://127.0.0.1:0/", "1"},
        {"http://127.0.0.1:65536/", "1"}, {"http://[::1/", "1"}, {"http://a@127.0.0.1/", "1"}, {"http://127.0.0.1/a b", "1"},
        {"http://127.0.0.1/\r\nX: y", "1"}, {"http://[::1]x/", "1"}, {"", "1"}, {"http://", "3"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *host = NULL, *authority = NULL, *path = NULL, *got = NULL;
        unsigned port = 0;
        SCOPED(err_free) Err *e = upgrade_url(rows[i].url, &host, &port, &authority, &path);
        got = e ? mem_fmt("%d", e->kind == ERR_UNSUPPORTED ? 3 : e->kind == ERR_INVALID ? 1 : 0) : mem_fmt("%s %u %s %s", host, port, authority, path);
        CHECK_STR(got, rows[i].want);
    }
}

TESTS(T(test_channels), T(test_big), T(test_free_within), T(test_frames), T(test_base64_hostile), T(test_pings), T(test_handshake),
      T(test_answer), T(test_check), T(test_url))
