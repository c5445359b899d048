/* src/grpc: statuses and their texts; a client that is told odd things by hand-made frames, and a server that is asked
 * them. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "check.h"
#include "grpc/conn.h"
#include "grpc/server_conn.h"

/* --- status ------------------------------------------------------------------------------------------------------- */

static void test_status(void)
{
    static const struct {
        int code;
        const char *message, *want;
        ErrKind kind;
    } t[] = {
        {GRPC_NOT_FOUND, "no x", "rpc error: code = NotFound desc = no x", ERR_NOT_FOUND},
        {GRPC_ALREADY_EXISTS, "", "rpc error: code = AlreadyExists desc = ", ERR_EXISTS},
        {GRPC_DEADLINE_EXCEEDED, "late", "rpc error: code = DeadlineExceeded desc = late", ERR_TIMEOUT},
        {GRPC_UNAVAILABLE, NULL, "rpc error: code = Unavailable desc = ", ERR_UNAVAILABLE},
        {GRPC_CANCELLED, "c", "rpc error: code = Canceled desc = c", ERR_UNAVAILABLE},
        {GRPC_ABORTED, "c", "rpc error: code = Aborted desc = c", ERR_UNAVAILABLE},
        {GRPC_RESOURCE_EXHAUSTED, "c", "rpc error: code = ResourceExhausted desc = c", ERR_LIMIT},
        {GRPC_INVALID_ARGUMENT, "c", "rpc error: code = InvalidArgument desc = c", ERR_INVALID},
        {GRPC_OUT_OF_RANGE, "c", "rpc error: code = OutOfRange desc = c", ERR_INVALID},
        {GRPC_FAILED_PRECONDITION, "c", "rpc error: code = FailedPrecondition desc = c", ERR_INVALID},
        {GRPC_UNIMPLEMENTED, "c", "rpc error: code = Unimplemented desc = c", ERR_UNSUPPORTED},
        {GRPC_INTERNAL, "c", "rpc error: code = Internal desc = c", ERR_SYS},
        {99, "c", "rpc error: code = Code(99) desc = c", ERR_SYS},
        {-1, "c", "rpc error: code = Code(-1) desc = c", ERR_SYS},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(err_free) Err *e = grpc_status_err(t[i].code, t[i].message);
        SCOPED(mem_free) char *text = err_text(e);
        CHECK_STR(text, t[i].want);
        CHECK_INT(e->kind, t[i].kind);
    }
    CHECK(!grpc_status_err(GRPC_OK, "x"));
}

static void test_message(void)
{
    static const struct {
        const char *in, *want;
    } t[] = {
        {"plain", "plain"},
        {"a%20b", "a b"},
        {"gr%C3%B6%C3%9fer", "gr\xc3\xb6\xc3\x9f" "er"},
        {"100%", "100%"},
        {"%zz%4", "%zz%4"},
        {"two%0Alines%09%00%7F", "two lines   "},
        {"%C2%85%C2%A0", " \xc2\xa0"},
        {"%FF%C3", "??"},
        {"%C0%AF%ED%A0%80%F5", "??????"},
        {"%F0%9F%98%80", "\xf0\x9f\x98\x80"},
        {"\xe2\x9c\x93", "\xe2\x9c\x93"}, /* unencoded, as some send it */
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(str_done) Str s = {0};
        grpc_message_decode(&s, t[i].in, strlen(t[i].in));
        CHECK_STR(s.p, t[i].want);
    }
    SCOPED(str_done) Str s = {0}, big = {0}, kept = {0};
    grpc_message_encode(&s, "gr\xc3\xb6\xc3\x9f" "er 100%\n");
    CHECK_STR(s.p, "gr%C3%B6%C3%9Fer 100%25%0A");
    for (int i = 0; i < 4000; i++)
        str_add(&big, "\xe2\x9c\x93");
    grpc_message_decode(&kept, big.p, big.n);
    CHECK_INT(kept.n, 4095); /* no half character at the bound */
}

/* --- a server made by hand ---------------------------------------------------------------------------------------- */

static void frame(Str *s, uint8_t type, uint8_t flags, uint8_t stream, const void *bytes, size_t n)
{
    const uint8_t head[9] = {0, (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, 0, stream};
    str_add_n(s, head, sizeof head);
    str_add_n(s, bytes, n);
}

/* "name value name value": literals without indexing. */
static void headers(Str *s, uint8_t flags, const char *words)
{
    SCOPED(str_done) Str block = {0};
    bool name = true;
    for (const char *p = words; *p; p += strspn(p, " "), name = !name) {
        size_t n = strcspn(p, " ");
        if (name)
            str_add_c(&block, 0);
        str_add_c(&block, (char)n);
        str_add_n(&block, p, n);
        p += n;
    }
    frame(s, 1, (uint8_t)(flags | 4), 1, block.p, block.n);
}

#define OK_HEAD "H:status 200 content-type application/grpc\n"
/* The script, a line each: H headers, E headers that end the stream, D data in hex, Z the same with the end, R reset,
 * G goaway. */
static void script(Str *s, const char *lines)
{
    frame(s, 4, 0, 0, "", 0);
    for (const char *p = lines; *p; p += strcspn(p, "\n") + 1) {
        SCOPED(mem_free) char *rest = mem_dup_strn(p + 1, strcspn(p, "\n") - 1);
        SCOPED(str_done) Str bytes = {0};
        for (const char *h = rest; (*p == 'D' || *p == 'Z' || *p == 'R' || *p == 'G') && h[0] && h[1]; h += 2) {
            const char two[3] = {h[0], h[1], '\0'};
            str_add_c(&bytes, (char)strtol(two, NULL, 16));
        }
        if (*p == 'H' || *p == 'E')
            headers(s, *p == 'E', rest);
        else if (*p == 'D' || *p == 'Z')
            frame(s, 0, *p == 'Z', 1, str_or(bytes.p, ""), bytes.n);
        else
            frame(s, *p == 'R' ? 3 : 7, 0, *p == 'R', bytes.p, bytes.n);
    }
}

typedef struct {
    unsigned done;
    int code;
    char text[256];
} Answer;

static void on_done(void *arg, const GrpcResult *r)
{
    Answer *a = arg;
    a->done++;
    a->code = r->code;
    (void)snprintf(a->text, sizeof a->text, "%s", r->message);
}

static void test_odd_servers(void)
{
    static const struct {
        const char *script;
        int code; /* -1 = not answered */
        const char *text;
    } t[] = {
        {OK_HEAD "D000000000161\nEgrpc-status 0\n", GRPC_OK, ""},
        {OK_HEAD "D00000000\nD0161\nEgrpc-status 0\n", GRPC_OK, ""},
        {OK_HEAD "D000000000161\nEgrpc-status 0\nR00000000\n", GRPC_OK, ""},
        {"H:status 200 content-type application/grpc+proto\nD000000000161\nEgrpc-status 0\n", GRPC_OK, ""},
        {"E:status 200 content-type application/grpc grpc-status 5 grpc-message a%20b\nR00000008\n", GRPC_NOT_FOUND, "a b"},
        {"H:status 200 content-type application/grpc grpc-status 5 grpc-message x\nR00000008\n", GRPC_NOT_FOUND, "x"},
        {"E:status 200 content-type application/grpc grpc-status x\n", GRPC_UNKNOWN, ""},
        {"E:status 200 content-type application/grpc grpc-status 77\n", 77, ""},
        {OK_HEAD "Z000000000161\n", GRPC_INTERNAL, "server closed the stream without sending trailers"},
        {OK_HEAD "D0000000005616161\nEgrpc-status 0\n", GRPC_INTERNAL, "unexpected EOF"},
        {OK_HEAD "D000000\nEgrpc-status 0\n", GRPC_INTERNAL, "unexpected EOF"},
        {OK_HEAD "D010000000161\n", GRPC_INTERNAL, "grpc: compressed flag set with identity or empty encoding"},
        {OK_HEAD "D00ffffffff\n", GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (4294967295 vs. 1000)"},
        {OK_HEAD "R00000007\n", GRPC_UNAVAILABLE, "stream terminated by RST_STREAM with error code: REFUSED_STREAM"},
        {OK_HEAD "R00000008\n", GRPC_CANCELLED, "stream terminated by RST_STREAM with error code: CANCEL"},
        {OK_HEAD "R0000000b\n", GRPC_RESOURCE_EXHAUSTED,
         "stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM"},
        {"E:status 503\n", GRPC_UNAVAILABLE, "unexpected HTTP status code received from server: 503"},
        {"H:status 404 content-type text/html\nZ3c\n", GRPC_UNIMPLEMENTED,
         "unexpected HTTP status code received from server: 404"},
        {"H:status 200 content-type text/html\nZ3c\n", GRPC_UNKNOWN,
         "unexpected HTTP content-type received from server"},
        {"G0000000000000000\n", GRPC_UNAVAILABLE, "the stream is rejected because server is draining the connection"},
        {"G7fffffff00000000\n", -1, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        for (size_t piece = 1; piece <= 1000; piece += 999) {
            GrpcConn *c = grpc_conn_new("localhost", "test", 1000);
            Answer a = {.code = -1};
            GrpcRequest r = {.path = "/t.T/X", .bytes = "x", .n = 1};
            SCOPED(str_done) Str out = {0}, in = {0};
            (void)grpc_conn_call(c, &r, NULL, on_done, &a);
            CHECK_OK(grpc_conn_send(c, &out));
            script(&in, t[i].script);
            for (size_t at = 0; at < in.n; at += piece) {
                CHECK_OK(grpc_conn_recv(c, in.p + at, piece < in.n - at ? piece : in.n - at));
                grpc_conn_deliver(c);
            }
            CHECK_INT(a.done, t[i].code >= 0);
            CHECK_INT(a.code, t[i].code);
            CHECK_STR(a.text, t[i].text);
            grpc_conn_free(c);
        }
    }
}

/* --- a client made by hand ---------------------------------------------------------------------------------------- */

typedef struct {
    const char *hex; /* its body */
    char answer[512]; /* "status/grpc-status message" */
    uint32_t reset;
} OddClient;

static ssize_t odd_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                        nghttp2_data_source *source, void *arg)
{
    OddClient *o = arg;
    size_t n = 0;
    (void)session;
    (void)id;
    (void)source;
    for (; n < room && o->hex[0] && o->hex[1]; o->hex += 2) {
        const char two[3] = {o->hex[0], o->hex[1], '\0'};
        buf[n++] = (uint8_t)strtol(two, NULL, 16);
    }
    *flags = NGHTTP2_DATA_FLAG_EOF | (o->hex[0] == '.' ? (uint32_t)NGHTTP2_DATA_FLAG_NO_END_STREAM : 0u);
    return (ssize_t)n;
}

static int odd_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t n_name,
                      const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
    OddClient *o = arg;
    size_t at = strlen(o->answer);
    (void)session;
    (void)f;
    (void)flags;
    if (n_name == 7 && !memcmp(name, ":status", 7))
        (void)snprintf(o->answer + at, sizeof o->answer - at, "%.*s", (int)n, (const char *)value);
    else if (n_name == 11 && !memcmp(name, "grpc-status", 11))
        (void)snprintf(o->answer + at, sizeof o->answer - at, "/%.*s", (int)n, (const char *)value);
    else if (n_name == 12 && !memcmp(name, "grpc-message", 12))
        (void)snprintf(o->answer + at, sizeof o->answer - at, " %.*s", (int)n, (const char *)value);
    return 0;
}

static int odd_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    OddClient *o = arg;
    (void)session;
    (void)id;
    o->reset = error;
    return 0;
}

static void odd_carry(nghttp2_session *client, GrpcServerConn *server)
{
    for (int i = 0; i < 4; i++) {
        const uint8_t *bytes;
        SCOPED(str_done) Str out = {0};
        for (ssize_t n; (n = nghttp2_session_mem_send(client, &bytes)) > 0;)
            CHECK_OK(grpc_server_conn_recv(server, bytes, (size_t)n, 0));
        grpc_server_conn_deliver(server);
        CHECK_OK(grpc_server_conn_send(server, &out));
        if (out.n)
            CHECK(nghttp2_session_mem_recv(client, (const uint8_t *)out.p, out.n) == (ssize_t)out.n);
    }
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
}

static void serve_echo(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    (void)arg;
    grpc_served_send(call, bytes, n);
    grpc_served_finish(call, GRPC_OK, "");
}

#define TYPE "application/grpc"
static void test_odd_clients(void)
{
    static const GrpcMethod methods[] = {{"/t.T/Echo", serve_echo, NULL, NULL}, {0}};
    const GrpcServerConnConfig config = {.methods = methods, .max_message = 100000};
    static char long_value[17000];
    memset(long_value, 'x', sizeof long_value - 1);
    const struct {
        const char *method, *type, *more, *body; /* in hex; a dot behind it: and no end */
        const char *want;
    } t[] = {
        {"POST", TYPE, "", "000000000161", "200/0"},
        {"POST", TYPE "+proto", "", "000000000161", "200/0"},
        {"GET", TYPE, "", "", "405/13 Received a HEADERS frame with :method \"GET\" which should be POST"},
        {"POST", "text/html", "", "", "415/3 invalid gRPC request content-type \"text/html\""},
        {"POST", TYPE "x", "", "", "415/3 invalid gRPC request content-type \"application/grpcx\""},
        {"POST", TYPE, "", "", "200/13 cardinality violation: received no request message from non-client-streaming RPC"},
        {"POST", TYPE, "", "0000000002", "200/13 unexpected EOF"},
        {"POST", TYPE, "", "0000", "200/13 unexpected EOF"},
        {"POST", TYPE, "gzip", "010000000161", "200/12 grpc: Decompressor is not installed for grpc-encoding \"gzip\""},
        {"POST", TYPE, "", "00000000016100",
         "200/13 cardinality violation: expected <EOF> for non client-streaming RPCs, but received another message"},
        {"POST", TYPE, "", "00000186a1.", "200/8 grpc: received message larger than max (100001 vs. 100000)"},
        {"GET", TYPE, "", "00.", "405/13 Received a HEADERS frame with :method \"GET\" which should be POST"},
        {"POST", TYPE, long_value, "000000000161", "431/8 received header list is larger than max"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        OddClient o = {.hex = t[i].body};
        GrpcServerConn *server = grpc_server_conn_new(&config, 0);
        nghttp2_session_callbacks *cb;
        nghttp2_session *client;
        CHECK(!nghttp2_session_callbacks_new(&cb));
        nghttp2_session_callbacks_set_on_header_callback(cb, odd_header);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, odd_close);
        CHECK(!nghttp2_session_client_new(&client, cb, &o) && !nghttp2_submit_settings(client, 0, NULL, 0));
        nghttp2_nv head[] = {nv(":method", t[i].method), nv(":scheme", "http"), nv(":path", "/t.T/Echo"),
                             nv(":authority", "x"), nv("content-type", t[i].type), nv("grpc-encoding", t[i].more)};
        nghttp2_data_provider body = {.read_callback = odd_body};
        CHECK(nghttp2_submit_request(client, NULL, head, t[i].more[0] ? 6 : 5, &body, NULL) > 0);
        o.reset = 99;
        odd_carry(client, server);
        CHECK_STR(o.answer, t[i].want);
        CHECK_INT(o.reset, NGHTTP2_NO_ERROR); /* closed: by both ends, or by us who read no more */
        CHECK(grpc_server_conn_idle(server));
        nghttp2_session_del(client);
        nghttp2_session_callbacks_del(cb);
        grpc_server_conn_abort(server);
        grpc_server_conn_free(server);
    }
}

TESTS(T(test_status), T(test_message), T(test_odd_servers), T(test_odd_clients))
