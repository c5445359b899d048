/* src/stream/remotecommand: a client against a server in memory, over both carriers and all versions; what a Status says. */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "stream/dial.h"
#include "stream/remotecommand.h"

typedef struct {
    Remote *r;
    Str log, out, err;
    bool free_at_ready, free_at_data, finish_at_data;
} End;

static const RemoteStatus three = {REMOTE_EXIT_CODE, 3, "command terminated with exit code 3"};

static void on_ready(void *arg)
{
    End *e = arg;
    str_add(&e->log, "ready ");
    if (e->free_at_ready)
        remote_free(MOVE(e->r, NULL));
}

static void on_data(void *arg, RemoteStream which, const uint8_t *bytes, size_t n)
{
    End *e = arg;
    str_add_n(which == REMOTE_STDERR ? &e->err : &e->out, bytes, n);
    if (e->finish_at_data) {
        remote_write(e->r, REMOTE_STDOUT, "last words", 10);
        remote_finish(e->r, &three);
        remote_write(e->r, REMOTE_STDOUT, "too late", 8);
    }
    if (e->free_at_data)
        remote_free(MOVE(e->r, NULL));
}

static void on_end(void *arg, RemoteStream which)
{
    str_fmt(&((End *)arg)->log, "end%d ", (int)which);
}

static void on_resize(void *arg, unsigned width, unsigned height)
{
    str_fmt(&((End *)arg)->log, "%ux%u ", width, height);
}

static void on_status(void *arg, const RemoteStatus *s)
{
    str_fmt(&((End *)arg)->log, "status%d:%d:%s ", (int)s->end, s->code, s->message);
}

static const RemoteOps ops = {on_ready, on_data, on_end, on_resize, on_status};

static void pair(End *client, End *server, const char *protocol, bool websocket, bool tty)
{
    RemoteConfig c = {.protocol = remote_protocol(protocol, websocket), .websocket = websocket, .stdin_ = true, .stdout_ = true, .stderr_ = true,
                      .tty = tty, .ops = &ops, .arg = client};
    *client = *server = (End){0};
    client->r = remote_new(&c);
    c.server = true;
    c.arg = server;
    server->r = remote_new(&c);
}

static void end_done(End *e)
{
    remote_free(e->r);
    str_done(&e->log);
    str_done(&e->out);
    str_done(&e->err);
}

static void talk(End *a, End *b, size_t piece)
{
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < 2; i++) {
            End *from = i ? b : a, *to = i ? a : b;
            SCOPED(str_done) Str out = {0};
            if (from->r)
                remote_take(from->r, &out);
            more = more || out.n;
            for (size_t at = 0; at < out.n && to->r; at += piece)
                CHECK_OK(remote_recv(to->r, out.p + at, piece < out.n - at ? piece : out.n - at));
        }
    }
}

static void test_all_versions(void)
{
    for (size_t i = 0; i < n_remote_protocols; i++)
        for (int websocket = 0; websocket < 2; websocket++)
            for (size_t piece = 1; piece < 3000; piece = piece * 7 + 3) {
                const RemoteProtocol *p = &remote_protocols[i];
                if (websocket ? !p->websocket : !p->spdy)
                    continue;
                End c, s;
                pair(&c, &s, p->name, websocket, false);
                remote_write(c.r, REMOTE_STDIN, "in", 2);
                bool ended = remote_end(c.r, REMOTE_STDIN);
                CHECK(ended == (!websocket || p->version >= 5));
                remote_write(c.r, REMOTE_STDOUT, "no", 2); /* not a client's */
                talk(&c, &s, piece);
                CHECK_STR(s.out.p, "in");
                CHECK_STR(s.log.p, ended ? "ready end0 " : "ready ");
                remote_write(s.r, REMOTE_STDOUT, "out", 3);
                remote_write(s.r, REMOTE_STDERR, "err", 3);
                remote_finish(s.r, &three);
                talk(&c, &s, piece);
                CHECK_STR(c.out.p, "out");
                CHECK_STR(c.err.p, "err");
                CHECK(remote_over(s.r));
                remote_lost(c.r); /* since v4 it is known before */
                CHECK(remote_over(c.r));
                const char *want = p->version >= 4 ? "status1:3:command terminated with exit code 3 "
                                                   : "status2:0:error executing remote command: command terminated with exit code 3 ";
                CHECK(strstr(c.log.p, want) != NULL);
                CHECK(strstr(c.log.p, "ready ") == c.log.p);
                end_done(&c);
                end_done(&s);
            }
}

static void test_tty(void)
{
    for (int websocket = 0; websocket < 2; websocket++) {
        End c, s;
        pair(&c, &s, "v4.channel.k8s.io", websocket, true);
        remote_resize(c.r, 80, 24);
        remote_resize(c.r, 100, 30);
        talk(&c, &s, 1);
        CHECK_STR(s.log.p, "ready 80x24 100x30 ");
        remote_write(s.r, REMOTE_STDERR, "none", 4); /* a tty has none */
        remote_finish(s.r, &(RemoteStatus){REMOTE_SUCCESS, 0, ""});
        talk(&c, &s, 1);
        CHECK(strstr(c.log.p, "status0:0: "));
        CHECK_INT(c.err.n, 0);
        end_done(&c);
        end_done(&s);
    }
}

static void test_lost(void)
{
    for (int websocket = 0; websocket < 2; websocket++) {
        End c, s;
        pair(&c, &s, "v4.channel.k8s.io", websocket, false);
        remote_write(s.r, REMOTE_STDOUT, "half", 4);
        talk(&c, &s, 5);
        remote_lost(c.r);
        CHECK(strstr(c.log.p, "status3:0:lost connection to the container "));
        remote_lost(s.r);
        CHECK(strstr(s.log.p, "end0 "));
        end_done(&c);
        end_done(&s);
    }
}

static void test_free_within(void)
{
    for (int websocket = 0; websocket < 2; websocket++)
        for (int when = 0; when < 2; when++) {
            End c, s;
            pair(&c, &s, "v4.channel.k8s.io", websocket, false);
            s.free_at_ready = when == 0;
            s.free_at_data = when == 1;
            remote_write(c.r, REMOTE_STDIN, "a", 1);
            talk(&c, &s, 4096);
            remote_write(c.r, REMOTE_STDIN, "b", 1);
            talk(&c, &s, 4096);
            CHECK(s.r == NULL);
            CHECK(when == 0 ? s.out.n == 0 : s.out.n == 1);
            end_done(&c);
            end_done(&s);
        }
}

/* What containerd 1.6.20 said to `sh -c 'cat; echo err >&2; exit 3'` with "input" on stdin. The error stream is not ended, but reset. */
static const char from_containerd[] =
    "\200\003\000\002\000\000\000\024\000\000\000\005x\371\343\306\247\302b```\000\000\000\000\377\377\200\003"
    "\000\002\000\000\000\014\000\000\000\001\002a\000\000\000\000\377\377\200\003\000\002\000\000\000\014\000"
    "\000\000\007\002a\000\000\000\000\377\377\200\003\000\002\000\000\000\014\000\000\000\003\002a\000\000\000"
    "\000\377\377\200\003\000\006\000\000\000\004\000\000\000\001\000\000\000\005\000\000\000\006input\012\000"
    "\000\000\007\000\000\000\004err\012\000\000\000\007\001\000\000\000\000\000\000\005\001\000\000\000\000\000"
    "\000\001\000\000\001\001{\042metadata\042:{},\042status\042:\042Failure\042,\042message\042:\042command term"
    "inated with non-zero exit code: error executing command [sh -c cat; echo err \134u003e\134u00262; exit 3], e"
    "xit code 3\042,\042reason\042:\042NonZeroExitCode\042,\042details\042:{\042causes\042:[{\042reason\042:\042E"
    "xitCode\042,\042message\042:\0423\042}]}}\200\003\000\003\000\000\000\010\000\000\000\001\000\000\000\005"
    "\200\003\000\003\000\000\000\010\000\000\000\003\000\000\000\005\200\003\000\007\000\000\000\010\000\000\000"
    "\007\000\000\000\000";

static void test_containerd(void)
{
    for (size_t piece = 1; piece < 1000; piece = piece * 4 + 1) {
        End c;
        RemoteConfig config = {.protocol = remote_protocol("v4.channel.k8s.io", false), .stdin_ = true, .stdout_ = true, .stderr_ = true, .ops = &ops, .arg = &c};
        c = (End){.r = remote_new(&config)};
        for (size_t at = 0, n = sizeof from_containerd - 1; at < n; at += piece)
            CHECK_OK(remote_recv(c.r, from_containerd + at, piece < n - at ? piece : n - at));
        CHECK_STR(c.log.p, "ready end2 end1 status1:3:command terminated with exit code 3 end0 ");
        CHECK_STR(c.out.p, "input\n");
        CHECK_STR(c.err.p, "err\n");
        end_done(&c);
    }
}

/* All of it within the callback, in its order: wslay alone would send the close first. */
static void test_finish_within(void)
{
    for (int websocket = 0; websocket < 2; websocket++) {
        End c, s;
        pair(&c, &s, "v5.channel.k8s.io", websocket, false);
        s.finish_at_data = true;
        remote_write(c.r, REMOTE_STDIN, "a", 1);
        talk(&c, &s, 4096);
        CHECK_STR(c.out.p, "last words");
        CHECK(strstr(c.log.p, "status1:3:") != NULL);
        end_done(&c);
        end_done(&s);
    }
}

static void test_choose(void)
{
    CHECK_STR(remote_protocol_choose("v4.channel.k8s.io, v5.channel.k8s.io,channel.k8s.io", true)->name, "v5.channel.k8s.io");
    CHECK_STR(remote_protocol_choose("v3.channel.k8s.io", false)->name, "v3.channel.k8s.io");
    CHECK(remote_protocol_choose("v3.channel.k8s.io", true) == NULL);
    CHECK(remote_protocol_choose("v9.channel.k8s.io", false) == NULL);
    CHECK_INT(remote_protocol_choose("", false)->version, 1);
    CHECK(remote_protocol_choose("base64.channel.k8s.io", true)->base64);
}

static void test_status(void)
{
    static const struct { unsigned version; const char *text, *want; } rows[] = {
        {4, "", "0:0:"},
        {4, "{\"metadata\":{},\"status\":\"Success\"}", "0:0:"},
        {4, "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"x\"},{\"reason\":\"ExitCode\",\"message\":\"137\"}]}}",
         "1:137:command terminated with exit code 137"},
        {4, "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\"}", "2:0:error stream protocol error: details must be set"},
        {4, "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{}}", "2:0:error stream protocol error: no ExitCode cause given"},
        {4, "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"256\"}]}}",
         "2:0:error stream protocol error: invalid exit code value \"256\""},
        {4, "{\"status\":\"Failure\",\"message\":\"boom\"}", "2:0:boom"},
        {4, "{\"status\":\"What\"}", "2:0:error stream protocol error: unknown error"},
        {5, "[]", "2:0:error stream protocol error: unknown error"},
        {5, "boom", "2:0:error stream protocol error: \"boom\" is no Status"},
        {3, "boom", "2:0:error executing remote command: boom"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *text = NULL;
        RemoteStatus s = remote_status_read(rows[i].version, rows[i].text, strlen(rows[i].text), &text);
        SCOPED(mem_free) char *got = mem_fmt("%d:%d:%s", (int)s.end, s.code, s.message);
        CHECK_STR(got, rows[i].want);
    }
    SCOPED(mem_free) char *exit3 = remote_status_text(4, &three), *ok = remote_status_text(4, &(RemoteStatus){REMOTE_SUCCESS, 0, ""});
    SCOPED(mem_free) char *bad = remote_status_text(4, &(RemoteStatus){REMOTE_FAILED, 0, "no \"such\""}), *odd = remote_status_text(4, &(RemoteStatus){REMOTE_FAILED, 0, "\xff"});
    CHECK_STR(exit3, "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: exit status 3\","
                     "\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}");
    CHECK_STR(ok, "{\"metadata\":{},\"status\":\"Success\"}");
    CHECK_STR(bad, "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"Internal error occurred: no \\\"such\\\"\",\"reason\":\"InternalError\","
                   "\"details\":{\"causes\":[{\"message\":\"no \\\"such\\\"\"}]},\"code\":500}");
    CHECK(strstr(odd, "Failure") != NULL);
}

/* --- over sockets: dial_adopt() on both sides ---------------------------------------------------------------------- */

typedef struct {
    End end;
    Dial *dial;
    uv_loop_t *loop;
    unsigned over;
    size_t left; /* to be written to stdin */
} Side;

static Err *side_bytes(void *arg, const void *bytes, size_t n)
{
    return remote_recv(((Side *)arg)->end.r, bytes, n);
}

static void side_pull(void *arg, Str *out)
{
    remote_take(((Side *)arg)->end.r, out);
}

static void side_sent(void *arg)
{
    static const char zeros[10000];
    Side *s = arg;
    if (!s->left)
        return;
    s->left -= sizeof zeros;
    remote_write(s->end.r, REMOTE_STDIN, zeros, sizeof zeros);
    if (!s->left)
        (void)remote_end(s->end.r, REMOTE_STDIN);
    dial_flush(s->dial);
}

static void side_over(void *arg, Err *why)
{
    Side *s = arg;
    CHECK_OK(why);
    s->over++;
    remote_lost(s->end.r);
    dial_free(MOVE(s->dial, NULL));
}

static const DialOps side_ops = {.on_bytes = side_bytes, .pull = side_pull, .on_sent = side_sent, .on_over = side_over};

static void test_sockets(void)
{
    int fd[2];
    uv_loop_t loop;
    Side c = {0}, s = {0};
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    (void)uv_loop_init(&loop);
    RemoteConfig config = {.protocol = remote_protocol("v5.channel.k8s.io", false), .stdin_ = true, .stdout_ = true, .ops = &ops, .arg = &c.end};
    c.end.r = remote_new(&config);
    config.server = true;
    config.arg = &s.end;
    s.end.r = remote_new(&config);
    c.left = 1000000;
    SCOPED(str_done) Str first = {0};
    remote_take(c.end.r, &first); /* as if an HTTP server had read it with the head */
    CHECK_OK(dial_adopt(&loop, fd[0], NULL, 0, &side_ops, &c, &c.dial));
    CHECK_OK(dial_adopt(&loop, fd[1], first.p, first.n, &side_ops, &s, &s.dial));
    side_sent(&c);
    while (c.left || !s.end.log.n || !strstr(s.end.log.p, "end0"))
        (void)uv_run(&loop, UV_RUN_ONCE);
    CHECK_INT(s.end.out.n, 1000000);
    remote_finish(s.end.r, &three);
    dial_flush(s.dial);
    while (!c.end.log.n || !strstr(c.end.log.p, "status1:3"))
        (void)uv_run(&loop, UV_RUN_ONCE);
    dial_free(MOVE(c.dial, NULL));
    while (!s.over)
        (void)uv_run(&loop, UV_RUN_ONCE);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    end_done(&c.end);
    end_done(&s.end);
}

TESTS(T(test_all_versions), T(test_tty), T(test_lost), T(test_free_within), T(test_containerd), T(test_finish_within), T(test_choose), T(test_status), T(test_sockets))
