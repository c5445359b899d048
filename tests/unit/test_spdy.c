/* src/stream/spdy: two sessions talk to each other in memory, in pieces of any size, and to peers that misbehave. Against Go's
 * spdystream: tests/integration/test_exec.py, over containerd. */
#include <stdio.h>
#include <zlib.h>

#include "check.h"
#include "stream/portforward.h"
#include "stream/spdy.h"
#include "stream/spdy_dict_priv.h"

/* --- two ends in memory ------------------------------------------------------------------------------------------- */

typedef struct {
    Spdy *spdy;
    Str log;            /* what was told, a word each */
    Str data;           /* of all streams */
    SpdyStream *last;   /* that the peer opened */
    bool no_reply, refuse, free_in_data, reset_in_data;
} End;

static void on_stream(void *arg, SpdyStream *s, const SpdyHeaders *h)
{
    End *e = arg;
    e->last = s;
    str_fmt(&e->log, "open%u(%s,%s) ", spdy_id(s), str_or(spdy_header(h, "STREAMTYPE"), "-"), str_or(spdy_header(h, "port"), "-"));
    if (e->refuse)
        spdy_reset(s, SPDY_REFUSED_STREAM);
    else if (!e->no_reply)
        spdy_reply(s);
}

static void on_reply(void *arg, SpdyStream *s)
{
    str_fmt(&((End *)arg)->log, "reply%u ", spdy_id(s));
}

static void on_data(void *arg, SpdyStream *s, const uint8_t *bytes, size_t n)
{
    End *e = arg;
    str_add_n(&e->data, bytes, n);
    if (e->reset_in_data)
        spdy_reset(s, SPDY_CANCEL);
    if (e->free_in_data)
        spdy_free(MOVE(e->spdy, NULL));
}

static void on_end(void *arg, SpdyStream *s, uint32_t status)
{
    str_fmt(&((End *)arg)->log, "end%u:%u ", spdy_id(s), status);
}

static void on_goaway(void *arg)
{
    str_add(&((End *)arg)->log, "goaway ");
}

static const SpdyOps ops = {on_stream, on_reply, on_data, on_end, on_goaway};

static void end_done(End *e)
{
    spdy_free(e->spdy);
    str_done(&e->log);
    str_done(&e->data);
}

/* Feeds in pieces; the first error ends it. */
static Err *feed(End *to, const char *p, size_t n, size_t piece)
{
    Err *e = NULL;
    for (size_t at = 0; !e && at < n && to->spdy; at += piece)
        e = spdy_recv(to->spdy, p + at, piece < n - at ? piece : n - at);
    return e;
}

static bool carry(End *from, End *to, size_t piece)
{
    SCOPED(str_done) Str out = {0};
    if (from->spdy)
        spdy_take(from->spdy, &out);
    CHECK_OK(feed(to, out.p, out.n, piece));
    return out.n > 0;
}

static void talk(End *a, End *b, size_t piece)
{
    for (bool more = true; more;) {
        more = carry(a, b, piece);
        more = carry(b, a, piece) || more;
    }
}

static void pair(End *client, End *server)
{
    *client = *server = (End){0};
    client->spdy = spdy_new(false, &ops, client);
    server->spdy = spdy_new(true, &ops, server);
}

static const SpdyHeader headers[] = {{"streamType", "data"}, {"port", "80"}};

static void test_dictionary(void)
{
    CHECK_INT(SPDY_DICTIONARY_N, 1423);
    CHECK(adler32(adler32(0, NULL, 0), (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_N) == 0xe3c6a7c2);
}

static void test_streams(void)
{
    for (size_t piece = 1; piece < 64; piece = piece * 2 + 1) {
        End c, s;
        pair(&c, &s);
        SpdyStream *one = spdy_open(c.spdy, headers, 2), *two = spdy_open(c.spdy, headers, 1);
        spdy_send(one, "hello", 5, false); /* waits for the reply */
        spdy_send(one, " world", 6, true);
        spdy_send(one, "dropped", 7, false);
        talk(&c, &s, piece);
        CHECK_STR(s.log.p, "open1(data,80) open3(data,-) end1:0 ");
        CHECK_STR(c.log.p, "reply1 reply3 ");
        CHECK_STR(s.data.p, "hello world");
        spdy_send(s.last, "back", 4, false);
        talk(&c, &s, piece);
        CHECK_STR(c.data.p, "back");
        spdy_release(s.last); /* ends it */
        spdy_release(two);
        talk(&c, &s, piece);
        CHECK_STR(c.log.p, "reply1 reply3 "); /* it had been released */
        CHECK_INT(spdy_queued(c.spdy) + spdy_queued(s.spdy), 0);
        spdy_reset(one, SPDY_CANCEL);
        spdy_goaway(s.spdy);
        talk(&c, &s, piece);
        CHECK_STR(s.log.p, "open1(data,80) open3(data,-) end1:0 "); /* both had ended: the reset has only our half to end */
        CHECK_STR(c.log.p, "reply1 reply3 goaway ");
        CHECK(spdy_open(c.spdy, headers, 1) == NULL);
        end_done(&c);
        end_done(&s);
    }
}

static void test_server_opens(void)
{
    End c, s;
    pair(&c, &s);
    SpdyStream *t = spdy_open(s.spdy, headers, 1);
    CHECK_INT(spdy_id(t), 2);
    talk(&c, &s, 1000);
    CHECK_STR(c.log.p, "open2(data,-) ");
    CHECK_STR(s.log.p, "reply2 ");
    end_done(&c);
    end_done(&s);
}

static void test_reset(void)
{
    End c, s;
    pair(&c, &s);
    s.refuse = true;
    SpdyStream *t = spdy_open(c.spdy, headers, 2);
    spdy_send(t, "never sent", 10, false);
    talk(&c, &s, 7);
    CHECK_STR(c.log.p, "end1:3 ");
    CHECK_INT(spdy_queued(c.spdy), 0);
    spdy_send(t, "x", 1, true);
    spdy_release(t);
    s.refuse = false;
    t = spdy_open(c.spdy, headers, 2);
    talk(&c, &s, 7);
    spdy_reset(t, SPDY_CANCEL);
    talk(&c, &s, 7);
    CHECK_STR(s.log.p, "open1(data,80) open3(data,80) end3:5 ");
    spdy_release(s.last);
    /* Within the data's own callback. */
    s.reset_in_data = true;
    t = spdy_open(c.spdy, headers, 2);
    spdy_send(t, "abc", 3, false);
    talk(&c, &s, 1000);
    CHECK_STR(s.data.p, "abc");
    CHECK_STR(c.log.p, "end1:3 reply3 reply5 end5:5 ");
    end_done(&c);
    end_done(&s);
}

static void test_free_within(void)
{
    End c, s;
    pair(&c, &s);
    s.free_in_data = true;
    SpdyStream *t = spdy_open(c.spdy, headers, 2);
    spdy_send(t, "abc", 3, true);
    talk(&c, &s, 3);
    CHECK(s.spdy == NULL);
    CHECK_STR(s.log.p, "open1(data,80) ");
    end_done(&c);
    end_done(&s);
}

static void test_big(void)
{
    End c, s;
    pair(&c, &s);
    SCOPED(mem_free) char *big = mem_alloc(1000001);
    for (size_t i = 0; i < 1000001; i++)
        big[i] = (char)(i * 31 >> 3);
    SpdyStream *t = spdy_open(c.spdy, headers, 2);
    spdy_send(t, big, 1000001, true);
    talk(&c, &s, 65536);
    CHECK(s.data.n == 1000001 && memcmp(s.data.p, big, 1000001) == 0);
    CHECK_STR(s.log.p, "open1(data,80) end1:0 ");
    end_done(&c);
    end_done(&s);
}

static void test_ping(void)
{
    End c, s;
    pair(&c, &s);
    SCOPED(str_done) Str out = {0};
    spdy_ping(c.spdy);
    spdy_take(c.spdy, &out);
    CHECK(out.n == 12 && memcmp(out.p, "\x80\3\0\6\0\0\0\4\0\0\0\1", 12) == 0);
    CHECK_OK(feed(&s, out.p, out.n, 1));
    str_clear(&out);
    spdy_take(s.spdy, &out);
    CHECK(out.n == 12 && memcmp(out.p, "\x80\3\0\6\0\0\0\4\0\0\0\1", 12) == 0);
    CHECK_OK(feed(&c, out.p, out.n, 1)); /* an answer is not answered */
    str_clear(&out);
    spdy_take(c.spdy, &out);
    CHECK_INT(out.n, 0);
    end_done(&c);
    end_done(&s);
}

/* --- peers that misbehave ----------------------------------------------------------------------------------------- */

/* The error of a server that is sent <bytes>; NULL = it takes them. */
static char *verdict(const char *bytes, size_t n)
{
    End s = {0};
    s.spdy = spdy_new(true, &ops, &s);
    SCOPED(err_free) Err *e = feed(&s, bytes, n, 1);
    char *text = e ? err_text(e) : NULL;
    end_done(&s);
    return text;
}

static void test_hostile(void)
{
#define FRAME(s) s, sizeof s - 1
    static const struct { const char *bytes; size_t n; const char *want; } rows[] = {
        {FRAME("\x80\2\0\1\0\0\0\12"), "not SPDY version 3"},
        {FRAME("GET / HTTP/1.1\r\n\r\n"), NULL}, /* data of an unknown stream, as far as one can tell */
        {FRAME("\0\0\0\0\0\0\0\1x"), "data of a stream with the number 0"},
        {FRAME("\x80\3\0\1\0\0\0\5\0\0\0\1\0"), "SYN_STREAM frame of a wrong length"},
        {FRAME("\x80\3\0\1\0\0\0\12\0\0\0\1\0\0\0\0\0\0"), "header block is torn or has too many headers"},
        {FRAME("\x80\3\0\1\0\0\0\14\0\0\0\1\0\0\0\0\0\0\xff\xff"), "headers cannot be unpacked"},
        {FRAME("\x80\3\0\1\0\xff\xff\xff"), "control frame of 16777215 bytes"},
        {FRAME("\x80\3\0\2\0\0\0\1\0"), "SYN_REPLY frame of a wrong length"},
        {FRAME("\x80\3\0\3\0\0\0\4\0\0\0\1"), "RST_STREAM frame of a wrong length"},
        {FRAME("\x80\3\0\3\0\0\0\10\0\0\0\1\0\0\0\5"), NULL}, /* of a stream that is gone */
        {FRAME("\x80\3\0\4\0\0\0\14\0\0\0\1\0\0\0\4\0\0\0\1"), NULL},
        {FRAME("\x80\3\0\5\0\0\0\0"), "frame of the unknown type 5"},
        {FRAME("\x80\3\0\6\0\0\0\0"), "PING frame of a wrong length"},
        {FRAME("\x80\3\0\7\0\0\0\4\0\0\0\0"), "GOAWAY frame of a wrong length"},
        {FRAME("\x80\3\0\11\0\0\0\10\0\0\0\1\0\0\1\0"), NULL},
        {FRAME("\x80\3\0\11\0\0\0\0"), "WINDOW_UPDATE frame of a wrong length"},
        {FRAME("\0\0\0\1\0\xff\xff\xffx"), NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = verdict(rows[i].bytes, rows[i].n);
        CHECK_STR(got, rows[i].want);
    }
}

/* A zlib stream as SPDY's, of a block that the caller wrote. */
static void packed(Str *to, const void *block, size_t n)
{
    SCOPED(mem_free) Bytef *copy = mem_dup(block, n);
    z_stream z = {.next_in = copy, .avail_in = (uInt)n};
    static uint8_t buf[1 << 20];
    CHECK_INT(deflateInit(&z, 9), Z_OK);
    (void)deflateSetDictionary(&z, (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_N);
    z.next_out = buf;
    z.avail_out = sizeof buf;
    (void)deflate(&z, Z_SYNC_FLUSH);
    size_t body = sizeof buf - z.avail_out;
    const uint8_t head[] = {0x80, 3, 0, 1, 0, (uint8_t)((body + 10) >> 16), (uint8_t)((body + 10) >> 8), (uint8_t)(body + 10), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    str_add_n(to, head, sizeof head);
    str_add_n(to, buf, body);
    (void)deflateEnd(&z);
}

static void test_hostile_headers(void)
{
    static const struct { const char *block; size_t n; const char *want; } rows[] = {
        {FRAME("\0\0\0\0"), NULL},
        {FRAME("\0\0\0\1\0\0\0\4port\0\0\0\2""80"), NULL},
        {FRAME("\0\0\0\1\0\0\0\4port\0\0\0\3""80"), "header block is torn"},
        {FRAME("\0\0\0\1\xff\xff\xff\xffport\0\0\0\0"), "header block is torn"},
        {FRAME("\0\0\0\1\0\0\0\0\0\0\0\0"), "header block is torn"}, /* without a name */
        {FRAME("\0\0\0\2\0\0\0\4port\0\0\0\0"), "header block is torn"},
        {FRAME("\0\1\0\0\0\0\0\4port\0\0\0\0"), "header block is torn or has too many headers"},
        {FRAME("\0\0"), "header block is torn or has too many headers"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(str_done) Str frame = {0};
        packed(&frame, rows[i].block, rows[i].n);
        SCOPED(mem_free) char *got = verdict(frame.p, frame.n);
        CHECK_STR(got, rows[i].want);
    }
    /* A bomb: 8 MB of nothing in a few KB. */
    SCOPED(mem_free) char *zeros = mem_alloc(8 << 20);
    SCOPED(str_done) Str frame = {0};
    packed(&frame, zeros, 8 << 20);
    CHECK(frame.n < 16384);
    SCOPED(mem_free) char *got = verdict(frame.p, frame.n);
    CHECK_STR(got, "headers of more than 65536 bytes");
}

static void test_floods(void)
{
    End c, s;
    pair(&c, &s);
    SCOPED(str_done) Str pings = {0}, out = {0};
    for (unsigned i = 0; i < 5000; i++)
        str_add_n(&pings, "\x80\3\0\6\0\0\0\4\0\0\0\1", 12);
    Err *e = NULL;
    unsigned turns = 0;
    for (; !e && turns < 100; turns++)
        e = feed(&s, pings.p, pings.n, pings.n);
    CHECK(e && e->kind == ERR_LIMIT && turns < 10);
    err_free(e);
    CHECK(spdy_queued(s.spdy) < 2 * SPDY_MAX_ANSWERS);
    end_done(&s);
    /* Streams: as many as there may be, the rest are refused; all at once it is too much. */
    s = (End){0};
    s.spdy = spdy_new(true, &ops, &s);
    unsigned opened = 0;
    for (; opened < SPDY_MAX_STREAMS; opened++) {
        SpdyStream *t = spdy_open(c.spdy, headers, 1);
        CHECK(t != NULL);
        talk(&c, &s, 4096);
    }
    CHECK(spdy_open(c.spdy, headers, 1) == NULL);
    end_done(&c);
    end_done(&s);
}

static void test_wrong_numbers(void)
{
    End c, s;
    pair(&c, &s);
    SCOPED(str_done) Str frame = {0}, out = {0};
    packed(&frame, "\0\0\0\0", 4);
    frame.p[11] = 2; /* a server's number */
    CHECK_OK(feed(&s, frame.p, frame.n, 3));
    spdy_take(s.spdy, &out);
    CHECK(out.n == 16 && memcmp(out.p, "\x80\3\0\3\0\0\0\10\0\0\0\2\0\0\0\1", 16) == 0);
    CHECK(s.log.p == NULL);
    end_done(&c);
    end_done(&s);
}

/* --- port-forward ------------------------------------------------------------------------------------------------- */

typedef struct {
    PortForward *f;
    Str log;
    PortConn *last;
    bool echo;
} Pf;

static void pf_open(void *arg, PortConn *c, unsigned port)
{
    Pf *p = arg;
    str_fmt(&p->log, "open:%u ", port);
    p->last = c;
    if (port == 9)
        portconn_close(c, "connection refused");
}

static void pf_data(void *arg, PortConn *c, const uint8_t *bytes, size_t n)
{
    Pf *p = arg;
    str_fmt(&p->log, "data:%.*s ", (int)n, (const char *)bytes);
    if (p->echo)
        portconn_write(c, bytes, n);
}

static void pf_end(void *arg, PortConn *c)
{
    Pf *p = arg;
    str_add(&p->log, "end ");
    if (p->echo)
        portconn_close(c, NULL);
}

static void pf_close(void *arg, PortConn *c, const char *why)
{
    (void)c;
    str_fmt(&((Pf *)arg)->log, "close:%s ", str_or(why, ""));
}

static const PortForwardOps pf_ops = {pf_open, pf_data, pf_end, pf_close};

static void pf_talk(Pf *a, Pf *b, size_t piece)
{
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < 2; i++) {
            Pf *from = i ? b : a, *to = i ? a : b;
            SCOPED(str_done) Str out = {0};
            portforward_take(from->f, &out);
            more = more || out.n;
            for (size_t at = 0; at < out.n; at += piece)
                CHECK_OK(portforward_recv(to->f, out.p + at, piece < out.n - at ? piece : out.n - at));
        }
    }
}

static void test_portforward(void)
{
    for (size_t piece = 1; piece < 200; piece = piece * 3 + 1) {
        Pf c = {0}, s = {.echo = true};
        c.f = portforward_new(false, &pf_ops, &c);
        s.f = portforward_new(true, &pf_ops, &s);
        PortConn *one = portforward_open(c.f, 80, NULL);
        PortConn *bad = portforward_open(c.f, 9, NULL);
        (void)bad;
        portconn_write(one, "hi", 2);
        portconn_end(one);
        pf_talk(&c, &s, piece < 8 ? 8192 : piece); /* words as they were sent */
        CHECK(strstr(s.log.p, "open:80 ") && strstr(s.log.p, "open:9 ") && strstr(s.log.p, "end "));
        CHECK(strstr(c.log.p, "close:connection refused ") && strstr(c.log.p, "close: "));
        PortConn *three = portforward_open(c.f, 81, NULL);
        pf_talk(&c, &s, 1);
        portconn_close(three, NULL); /* gives up: the server hears of it */
        str_clear(&s.log);
        pf_talk(&c, &s, 1);
        CHECK_STR(s.log.p, "close: ");
        PortConn *four = portforward_open(c.f, 82, NULL);
        pf_talk(&c, &s, 1);
        (void)four;
        str_clear(&c.log);
        portforward_lost(c.f);
        CHECK_STR(c.log.p, "close: ");
        portforward_free(c.f);
        portforward_free(s.f);
        str_done(&c.log);
        str_done(&s.log);
    }
}

TESTS(T(test_dictionary), T(test_streams), T(test_server_opens), T(test_reset), T(test_free_within), T(test_big), T(test_ping),
      T(test_hostile), T(test_hostile_headers), T(test_floods), T(test_wrong_numbers), T(test_portforward))
