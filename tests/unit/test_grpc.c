/* src/grpc: the two connections without sockets talk to each other in memory, in pieces of any size; and client and
 * server meet over a unix socket on one loop. test_grpc_odd.c has the peers that misbehave. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "grpc/client.h"
#include "grpc/conn.h"
#include "grpc/server_conn.h"

/* --- two ends in memory ------------------------------------------------------------------------------------------- */

typedef struct {
    GrpcConn *client;
    GrpcServerConn *server;
    size_t piece; /* bytes at once; 0 = all */
    int64_t now_ns;
    unsigned cancelled;
    GrpcServed *hanging;
    GrpcServed *kept[200];
    size_t n_kept;
    GrpcServer **stop;
} Pair;

typedef struct {
    unsigned done, messages;
    int code;
    size_t n;
    char text[256];
    Str bytes;
    GrpcStream *stream;
    Pair *pair;
    unsigned cancel_at, free_at; /* within the message of this number */
} Answer;

static void serve_echo(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    (void)arg;
    grpc_served_send(call, bytes, n);
    grpc_served_finish(call, GRPC_OK, "");
}

/* "N": N messages, their number; then the status OK. */
static void serve_count(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    SCOPED(mem_free) char *request = mem_dup_strn((const char *)bytes, n);
    (void)arg;
    for (int i = 0; i < atoi(request); i++) {
        char text[16];
        grpc_served_send(call, text, (size_t)snprintf(text, sizeof text, "%d", i));
    }
    grpc_served_finish(call, GRPC_OK, "");
}

static void serve_fail(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    (void)arg;
    (void)bytes;
    (void)n;
    grpc_served_finish(call, GRPC_NOT_FOUND, "no \xc3\xb6 100%");
}

static void serve_hang(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    Pair *p = arg;
    (void)bytes;
    (void)n;
    p->hanging = call;
}

static void serve_keep(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    Pair *p = arg;
    (void)bytes;
    (void)n;
    p->kept[p->n_kept++] = call;
}

/* Ends the server from within one of its calls. */
static void serve_stop(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    Pair *p = arg;
    p->hanging = call;
    grpc_server_free(MOVE(*p->stop, NULL));
    CHECK(!p->hanging); /* it was told */
    CHECK(n == 1 && !bytes[0]);
}

static void on_cancelled(void *arg, GrpcServed *call)
{
    Pair *p = arg;
    CHECK(p->hanging == call);
    p->hanging = NULL;
    p->cancelled++;
    grpc_served_finish(call, GRPC_OK, ""); /* must not matter */
}

static GrpcMethod *methods_of(Pair *p)
{
    static GrpcMethod methods[8];
    memcpy(methods,
           (GrpcMethod[]){{"/t.T/Echo", serve_echo, p, NULL},
                          {"/t.T/Count", serve_count, p, NULL},
                          {"/t.T/Fail", serve_fail, p, NULL},
                          {"/t.T/Hang", serve_hang, p, on_cancelled},
                          {"/t.T/Deaf", serve_hang, p, NULL},
                          {"/t.T/Keep", serve_keep, p, NULL},
                          {"/t.T/Stop", serve_stop, p, on_cancelled},
                          {0}},
           sizeof methods);
    return methods;
}

static void pair_init(Pair *p, size_t piece)
{
    *p = (Pair){.piece = piece};
    GrpcServerConnConfig config = {.methods = methods_of(p), .max_message = 100000};
    p->client = grpc_conn_new("localhost", "test", 200000);
    p->server = grpc_server_conn_new(&config, 0);
}

static void pair_done(Pair *p)
{
    grpc_conn_free(p->client);
    grpc_server_conn_abort(p->server);
    grpc_server_conn_free(p->server);
}

/* Bytes of one end to the other, in pieces; true = there were some. */
static bool carry(Pair *p, bool to_server)
{
    SCOPED(str_done) Str out = {0};
    Err *e = to_server ? grpc_conn_send(p->client, &out) : grpc_server_conn_send(p->server, &out);
    err_free(e);
    for (size_t at = 0; at < out.n;) {
        size_t n = p->piece && p->piece < out.n - at ? p->piece : out.n - at;
        if (to_server) {
            CHECK_OK(grpc_server_conn_recv(p->server, out.p + at, n, p->now_ns));
            grpc_server_conn_deliver(p->server);
        } else if (p->client) {
            CHECK_OK(grpc_conn_recv(p->client, out.p + at, n));
            grpc_conn_deliver(p->client);
        }
        at += n;
    }
    if (p->client)
        grpc_conn_deliver(p->client);
    grpc_server_conn_deliver(p->server);
    return out.n > 0;
}

static void pump(Pair *p)
{
    for (bool more = true; more && p->client;) {
        more = carry(p, true);
        if (p->client)
            more = carry(p, false) || more;
    }
}

static void on_message(void *arg, const uint8_t *bytes, size_t n)
{
    Answer *a = arg;
    a->messages++;
    str_clear(&a->bytes);
    str_add_n(&a->bytes, bytes, n);
    if (a->messages == a->cancel_at)
        grpc_conn_cancel(a->stream);
    if (a->messages == a->free_at)
        grpc_conn_free(MOVE(a->pair->client, NULL));
    CHECK(!n || a->bytes.p[n - 1] == (char)bytes[n - 1]); /* the bytes are still there */
}

static void on_done(void *arg, const GrpcResult *r)
{
    Answer *a = arg;
    a->done++;
    a->code = r->code;
    a->n = r->n;
    (void)snprintf(a->text, sizeof a->text, "%s", r->message);
    if (r->bytes)
        on_message(a, r->bytes, r->n);
}

static void begin(Pair *p, Answer *a, const char *path, const char *text, bool stream)
{
    GrpcRequest r = {.path = path, .bytes = text, .n = strlen(text), .timeout_ns = NS_PER_S};
    a->pair = p;
    a->stream = grpc_conn_call(p->client, &r, stream ? on_message : NULL, on_done, a);
    CHECK_INT(a->done, 0);
}

static const size_t pieces[] = {1, 3, 1000, 0};

static void test_calls(void)
{
    static const struct {
        const char *path, *request;
        bool stream;
        int code;
        unsigned messages;
        const char *last, *text;
    } t[] = {
        {"/t.T/Echo", "hello", false, GRPC_OK, 1, "hello", ""},
        {"/t.T/Echo", "", false, GRPC_OK, 1, "", ""},
        {"/t.T/Echo", "x", true, GRPC_OK, 1, "x", ""},
        {"/t.T/Count", "300", true, GRPC_OK, 300, "299", ""},
        {"/t.T/Count", "0", true, GRPC_OK, 0, NULL, ""},
        {"/t.T/Count", "0", false, GRPC_INTERNAL, 0, NULL,
         "cardinality violation: received no response message from non-server-streaming RPC"},
        {"/t.T/Count", "2", false, GRPC_INTERNAL, 0, NULL,
         "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message"},
        {"/t.T/Fail", "", false, GRPC_NOT_FOUND, 0, NULL, "no \xc3\xb6 100%"},
        {"/t.T/Fail", "", true, GRPC_NOT_FOUND, 0, NULL, "no \xc3\xb6 100%"},
        {"/t.T/X", "", false, GRPC_UNIMPLEMENTED, 0, NULL, "unknown method X for service t.T"},
        {"/t.U/X", "", false, GRPC_UNIMPLEMENTED, 0, NULL, "unknown service t.U"},
        {"/X", "", false, GRPC_UNIMPLEMENTED, 0, NULL, "malformed method name: \"/X\""},
    };
    for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
        Pair p;
        pair_init(&p, pieces[k]);
        Answer a[ARRAY_LEN(t)] = {0};
        for (size_t i = 0; i < ARRAY_LEN(t); i++)
            begin(&p, &a[i], t[i].path, t[i].request, t[i].stream);
        pump(&p);
        CHECK(grpc_conn_ready(p.client));
        for (size_t i = 0; i < ARRAY_LEN(t); i++) {
            CHECK_INT(a[i].done, 1);
            CHECK_INT(a[i].code, t[i].code);
            CHECK_INT(a[i].messages, t[i].messages);
            CHECK_STR(a[i].bytes.p, t[i].last);
            CHECK_STR(a[i].text, t[i].text);
            str_done(&a[i].bytes);
        }
        CHECK_INT(grpc_conn_n_calls(p.client), 0);
        CHECK_INT(grpc_server_conn_n_calls(p.server), 0);
        pair_done(&p);
    }
}

static Answer ask(Pair *p, const char *path, const void *bytes, size_t n)
{
    Answer a = {0};
    GrpcRequest r = {.path = path, .bytes = bytes, .n = n};
    a.stream = grpc_conn_call(p->client, &r, NULL, on_done, &a);
    pump(p);
    CHECK_INT(a.done, 1);
    str_done(&a.bytes);
    return a;
}

static void test_sizes(void)
{
    static const struct {
        size_t n;
        int code;
        const char *text;
    } t[] = {
        {16379, GRPC_OK, ""},
        {65536, GRPC_OK, ""},
        {100000, GRPC_OK, ""},
        {100001, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (100001 vs. 100000)"},
        {200001, GRPC_RESOURCE_EXHAUSTED, "trying to send message larger than max (200001 vs. 200000)"},
    };
    static char body[200001];
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        Pair p;
        pair_init(&p, 0);
        Answer a = ask(&p, "/t.T/Echo", body, t[i].n);
        CHECK_INT(a.code, t[i].code);
        CHECK_STR(a.text, t[i].text);
        CHECK_INT(a.n, t[i].code ? 0 : t[i].n);
        CHECK_INT(ask(&p, "/t.T/Echo", body, 1).code, GRPC_OK);
        CHECK_INT(grpc_server_conn_n_calls(p.server), 0);
        pair_done(&p);
    }
}

static void test_cancel(void)
{
    for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
        Pair p;
        pair_init(&p, pieces[k]);
        Answer never = {0}, hang = {0}, within = {.cancel_at = 7}, deaf = {0};
        begin(&p, &never, "/t.T/Echo", "x", false); /* before a byte is sent */
        grpc_conn_cancel(never.stream);
        begin(&p, &hang, "/t.T/Hang", "x", false);
        begin(&p, &within, "/t.T/Count", "100", true);
        pump(&p);
        CHECK_INT(within.messages, 7);
        CHECK(p.hanging != NULL);
        grpc_conn_cancel(hang.stream);
        pump(&p);
        CHECK_INT(p.cancelled, 1);
        begin(&p, &deaf, "/t.T/Deaf", "x", false); /* whose method does not hear of it */
        pump(&p);
        grpc_conn_cancel(deaf.stream);
        pump(&p);
        grpc_served_send(p.hanging, "x", 1);
        grpc_served_finish(p.hanging, GRPC_OK, "");
        CHECK_INT(never.done + hang.done + within.done + deaf.done, 0);
        CHECK_INT(grpc_conn_n_calls(p.client) + grpc_server_conn_n_calls(p.server), 0);
        CHECK_INT(ask(&p, "/t.T/Echo", "x", 1).code, GRPC_OK);
        str_done(&within.bytes);
        pair_done(&p);
    }
}

static void test_free_within(void)
{
    Pair p;
    pair_init(&p, 0);
    Answer a = {.free_at = 3}, other = {0};
    begin(&p, &a, "/t.T/Count", "10", true);
    begin(&p, &other, "/t.T/Count", "10", true);
    pump(&p);
    CHECK(!p.client);
    CHECK_INT(a.messages, 3);
    CHECK_INT(a.done + other.done, 0);
    str_done(&a.bytes);
    str_done(&other.bytes);
    pair_done(&p);
}

/* More calls than the server takes at once: nghttp2 holds them back. */
static void test_many(void)
{
    Pair p;
    pair_init(&p, 0);
    static Answer a[1000];
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        begin(&p, &a[i], "/t.T/Echo", "x", false);
    pump(&p);
    unsigned well = 0;
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        well += a[i].done == 1 && a[i].code == GRPC_OK;
        str_done(&a[i].bytes);
    }
    CHECK_INT(well, ARRAY_LEN(a));
    pair_done(&p);
}

static void test_goaway(void)
{
    Pair p;
    pair_init(&p, 0);
    Answer open = {0}, late = {0}, after = {0};
    begin(&p, &open, "/t.T/Hang", "x", false);
    pump(&p);
    CHECK(!grpc_conn_draining(p.client) && !grpc_conn_goaway(p.client));
    grpc_server_conn_goaway(p.server);
    begin(&p, &late, "/t.T/Echo", "x", false); /* crosses it on the way */
    (void)carry(&p, false);
    CHECK(grpc_conn_draining(p.client));
    CHECK_STR(grpc_conn_goaway(p.client), "code: NO_ERROR, debug data: \"\"");
    CHECK_INT(late.code, GRPC_UNAVAILABLE);
    CHECK_STR(late.text, "the stream is rejected because server is draining the connection");
    begin(&p, &after, "/t.T/Echo", "x", false);
    pump(&p);
    CHECK_INT(after.code, GRPC_UNAVAILABLE);
    CHECK_INT(open.done, 0);
    grpc_served_send(p.hanging, "end", 3);
    grpc_served_finish(p.hanging, GRPC_OK, "");
    pump(&p);
    CHECK_INT(open.done, 1);
    CHECK_STR(open.bytes.p, "end");
    SCOPED(str_done) Str out = {0};
    SCOPED(err_free) Err *e = grpc_conn_send(p.client, &out);
    CHECK(e != NULL); /* over, now that the last call is */
    str_done(&open.bytes);
    pair_done(&p);
}

/* Calls that nghttp2 has held back, since the server takes 100 at once, are not processed when it goes. */
static void test_goaway_queued(void)
{
    Pair p;
    pair_init(&p, 0);
    static Answer a[150];
    pump(&p);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        begin(&p, &a[i], "/t.T/Keep", "x", false);
    pump(&p);
    CHECK_INT(p.n_kept, GRPC_SERVER_STREAMS);
    grpc_server_conn_goaway(p.server);
    pump(&p);
    for (size_t i = 0; i < p.n_kept; i++)
        grpc_served_finish(p.kept[i], GRPC_ABORTED, "");
    pump(&p);
    unsigned rejected = 0, answered = 0;
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        rejected += a[i].done == 1 && a[i].code == GRPC_UNAVAILABLE;
        answered += a[i].done == 1 && a[i].code == GRPC_ABORTED;
    }
    CHECK_INT(rejected, 50);
    CHECK_INT(answered, 100);
    pair_done(&p);
}

static void test_fail_all(void)
{
    Pair p;
    pair_init(&p, 0);
    Answer a[3] = {0};
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        begin(&p, &a[i], i == 2 ? "/t.T/Echo" : "/t.T/Deaf", "x", false);
    grpc_conn_fail(p.client, GRPC_UNAVAILABLE, "lost");
    CHECK_INT(a[0].done, 0);
    grpc_conn_deliver(p.client);
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        CHECK_INT(a[i].done, 1);
        CHECK_STR(a[i].text, "lost");
    }
    pair_done(&p);
}

static void test_pings(void)
{
    Pair p;
    pair_init(&p, 0);
    pump(&p);
    grpc_conn_ping(p.client);
    grpc_conn_ping(p.client);
    CHECK_INT(grpc_conn_idle_pings(p.client), 2);
    CHECK(carry(&p, true) && carry(&p, false)); /* answered */
    CHECK_INT(grpc_conn_idle_pings(p.client), 2);
    CHECK_INT(ask(&p, "/t.T/Echo", "x", 1).code, GRPC_OK);
    CHECK_INT(grpc_conn_idle_pings(p.client), 0);
    pair_done(&p);
}

/* A request that never ends is reset; a connection that never begins is over. */
static void test_slow(void)
{
    Pair p;
    pair_init(&p, 0);
    static char body[90000]; /* more than the first window: the client waits for the server's leave to go on */
    Answer a = {0};
    GrpcRequest r = {.path = "/t.T/Echo", .bytes = body, .n = sizeof body};
    p.now_ns = NS_PER_S;
    CHECK_OK(grpc_server_conn_expire(p.server, 20 * NS_PER_S));
    SCOPED(err_free) Err *mute = grpc_server_conn_expire(p.server, 21 * NS_PER_S);
    CHECK(mute && mute->kind == ERR_TIMEOUT);
    a.stream = grpc_conn_call(p.client, &r, NULL, on_done, &a);
    (void)carry(&p, true);
    CHECK_INT(grpc_server_conn_n_calls(p.server), 1);
    CHECK_OK(grpc_server_conn_expire(p.server, 22 * NS_PER_S));
    (void)carry(&p, false);
    CHECK_INT(a.done, 1);
    CHECK_INT(a.code, GRPC_CANCELLED);
    CHECK_INT(grpc_server_conn_n_calls(p.server), 0);
    pair_done(&p);
}

/* Answers that nobody reads: queued, bounded, then the connection is given up. */
static void test_unread(void)
{
    Pair p;
    pair_init(&p, 0);
    Answer a = {0};
    begin(&p, &a, "/t.T/Hang", "x", true);
    pump(&p);
    static char block[1 << 20];
    for (int i = 0; i < 40; i++)
        grpc_served_send(p.hanging, block, sizeof block);
    CHECK_INT(grpc_served_queued(p.hanging), 40 * (sizeof block + 5));
    CHECK_OK(grpc_server_conn_expire(p.server, 0));
    for (int i = 0; i < 40; i++)
        grpc_served_send(p.hanging, block, sizeof block);
    CHECK(grpc_served_queued(p.hanging) <= GRPC_SERVER_HELD_MAX);
    SCOPED(err_free) Err *e = grpc_server_conn_expire(p.server, 0);
    CHECK(e && e->kind == ERR_LIMIT);
    pair_done(&p);
    CHECK_INT(p.cancelled, 1);
}

/* --- over a socket ------------------------------------------------------------------------------------------------ */

typedef struct {
    uv_loop_t loop;
    GrpcServer *server;
    GrpcClient *client;
    char path[64], target[80];
    Pair p;
    unsigned connected, lost;
    bool free_on_state;
    char why[256];
    unsigned left; /* answers until both ends are freed */
    unsigned answered, well;
    int code;
    char text[256];
} World;

static void on_state(void *arg, bool connected, const Err *why)
{
    World *w = arg;
    w->connected += connected;
    w->lost += !connected;
    if (why)
        (void)snprintf(w->why, sizeof w->why, "%s", why->what);
    if (w->free_on_state) {
        grpc_client_free(MOVE(w->client, NULL));
        grpc_server_free(MOVE(w->server, NULL));
    }
}

static void serve(World *w)
{
    GrpcServerConfig s = {
        .loop = &w->loop, .socket = w->path, .methods = methods_of(&w->p), .max_message = GRPC_MAX_MESSAGE};
    CHECK_OK(grpc_server_new(&s, &w->server));
}

static void world_init(World *w)
{
    *w = (World){0};
    signal(SIGPIPE, SIG_IGN);
    CHECK(!uv_loop_init(&w->loop));
    (void)snprintf(w->path, sizeof w->path, "/tmp/reprise-test-grpc.%d", getpid());
    (void)snprintf(w->target, sizeof w->target, "unix://%s", w->path);
    GrpcClientConfig c = {.loop = &w->loop, .target = w->target, .user_agent = "test", .on_state = on_state, .arg = w};
    CHECK_OK(grpc_client_new(&c, &w->client));
}

static void world_end(World *w)
{
    grpc_client_free(MOVE(w->client, NULL));
    grpc_server_free(MOVE(w->server, NULL));
}

/* Runs to the very end: every handle has gone by itself. */
static void world_done(World *w)
{
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    CHECK(access(w->path, F_OK) < 0);
}

static void on_answer(void *arg, const GrpcResult *r)
{
    World *w = arg;
    w->answered++;
    w->well += r->code == GRPC_OK;
    w->code = r->code;
    (void)snprintf(w->text, sizeof w->text, "%s", r->message);
    if (w->left && !--w->left)
        world_end(w);
}

static GrpcCall *call(World *w, const char *path, size_t n, int64_t timeout_ms, bool wait)
{
    SCOPED(mem_free) char *body = mem_alloc(n + 1);
    GrpcRequest r = {.path = path, .bytes = body, .n = n, .timeout_ns = timeout_ms * NS_PER_MS, .wait_for_ready = wait};
    return grpc_client_call(w->client, &r, on_answer, w);
}

static void wait_for(World *w, const unsigned *what, unsigned n)
{
    while (*what < n && uv_run(&w->loop, UV_RUN_ONCE))
        ;
    CHECK_INT(*what, n);
}

static void test_socket(void)
{
    World w;
    world_init(&w);
    serve(&w);
    CHECK(!grpc_client_connected(w.client));
    for (int i = 0; i < 1000; i++) /* before there is a connection, and with as many deadlines */
        (void)call(&w, "/t.T/Echo", 100, 60000 - i, false);
    (void)call(&w, "/t.T/Echo", GRPC_MAX_MESSAGE, 0, false);
    CHECK_INT(w.answered, 0);
    wait_for(&w, &w.answered, 1001);
    CHECK_INT(w.well, 1001);
    CHECK(grpc_client_connected(w.client));
    (void)call(&w, "/t.T/Echo", GRPC_MAX_MESSAGE + 1, 0, false);
    CHECK_INT(w.answered, 1001); /* never within the call */
    wait_for(&w, &w.answered, 1002);
    CHECK_INT(w.code, GRPC_RESOURCE_EXHAUSTED);
    w.left = 3; /* freed within an answer, with more of them under way */
    for (int i = 0; i < 20; i++)
        (void)call(&w, "/t.T/Echo", 10, 1000, false);
    world_done(&w);
    CHECK_INT(w.answered, 1005);
}

static void test_deadlines(void)
{
    World w;
    world_init(&w);
    serve(&w);
    (void)call(&w, "/t.T/Hang", 1, 100, false);
    GrpcCall *given_up = call(&w, "/t.T/Echo", 1, 0, false); /* while it waits for the connection */
    grpc_call_cancel(given_up);
    wait_for(&w, &w.answered, 1);
    CHECK_INT(w.code, GRPC_DEADLINE_EXCEEDED);
    CHECK_STR(w.text, "context deadline exceeded");
    wait_for(&w, &w.p.cancelled, 1);
    given_up = call(&w, "/t.T/Hang", 1, 1000, false);
    while (!w.p.hanging)
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    grpc_call_cancel(given_up);
    wait_for(&w, &w.p.cancelled, 2);
    CHECK_INT(w.answered, 1);
    (void)call(&w, "/t.T/Hang", 1, 0, false);
    while (!w.p.hanging)
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    grpc_server_free(MOVE(w.server, NULL)); /* the method is told at once, the client by the loop */
    CHECK_INT(w.p.cancelled, 3);
    wait_for(&w, &w.answered, 2);
    CHECK_INT(w.code, GRPC_UNAVAILABLE);
    world_end(&w);
    world_done(&w);
}

static void test_reconnect(void)
{
    World w;
    world_init(&w);
    (void)call(&w, "/t.T/Echo", 1, 0, false);
    (void)call(&w, "/t.T/Echo", 1, 0, true);
    wait_for(&w, &w.answered, 1);
    SCOPED(mem_free)
    char *want = mem_fmt("connection error: desc = \"transport: Error while dialing: dial unix %s: connect: no such file or "
                         "directory\"", w.path);
    CHECK_INT(w.code, GRPC_UNAVAILABLE);
    CHECK_STR(w.text, want);
    CHECK_STR(w.why, want);
    (void)call(&w, "/t.T/Echo", 1, 0, false); /* at once, not at the next try */
    CHECK_INT(w.answered, 1);
    wait_for(&w, &w.answered, 2);
    CHECK_STR(w.text, want);
    serve(&w);
    grpc_client_connect_now(w.client);
    wait_for(&w, &w.answered, 3);
    CHECK_INT(w.well, 1);
    for (unsigned i = 1; i <= 2; i++) { /* the server goes, and another comes */
        unsigned lost = w.lost;
        grpc_server_free(MOVE(w.server, NULL));
        wait_for(&w, &w.lost, lost + 1);
        serve(&w);
        grpc_client_connect_now(w.client);
        (void)call(&w, "/t.T/Echo", 1, 5000, true);
        wait_for(&w, &w.well, 1 + i);
        CHECK_INT(w.connected, 1 + i);
    }
    world_end(&w);
    world_done(&w);
}

/* Both ends freed in the callbacks where it is hardest. */
static void test_free_anywhere(void)
{
    for (int served = 0; served < 2; served++) { /* in on_state(): connected, or not */
        World w;
        world_init(&w);
        w.free_on_state = true;
        if (served)
            serve(&w);
        for (int i = 0; i < 5; i++)
            (void)call(&w, "/t.T/Echo", 1, 1000, i % 2);
        world_done(&w);
        CHECK_INT(w.answered, 0);
        CHECK_INT(w.connected, served);
    }
    World w; /* with calls open, as they are lost */
    world_init(&w);
    serve(&w);
    w.p.stop = &w.server;
    (void)call(&w, "/t.T/Hang", 1, 0, false);
    wait_for(&w, &w.connected, 1);
    while (!w.p.hanging)
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    grpc_served_finish(MOVE(w.p.hanging, NULL), GRPC_OK, ""); /* without an answer */
    wait_for(&w, &w.answered, 1);
    CHECK_INT(w.code, GRPC_INTERNAL);
    (void)call(&w, "/t.T/Stop", 1, 0, false);
    (void)call(&w, "/t.T/Echo", 1, 0, false);
    w.left = 1;
    world_done(&w);
    CHECK_INT(w.answered, 2);
    CHECK_INT(w.code, GRPC_UNAVAILABLE);
    CHECK_INT(w.p.cancelled, 1);
}

static void test_targets(void)
{
    static const struct {
        const char *target;
        bool well;
    } t[] = {{"/run/x", true}, {"unix:///run/x", true}, {"unix:/run/x", true}, {"x.sock", false}, {"unix://x", false},
             {"tcp://h:1", false}, {"", false}};
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        uv_loop_t loop;
        GrpcClient *c = NULL;
        CHECK(!uv_loop_init(&loop));
        GrpcClientConfig config = {.loop = &loop, .target = t[i].target};
        SCOPED(err_free) Err *e = grpc_client_new(&config, &c);
        CHECK(t[i].well == !e && (!e || e->kind == ERR_INVALID));
        grpc_client_free(c); /* before it has begun */
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        CHECK_INT(uv_loop_close(&loop), 0);
    }
}

TESTS(T(test_calls), T(test_sizes), T(test_cancel), T(test_free_within), T(test_many),
      T(test_goaway), T(test_goaway_queued), T(test_fail_all), T(test_pings), T(test_slow), T(test_unread), T(test_socket),
      T(test_deadlines), T(test_reconnect), T(test_free_anywhere), T(test_targets))
