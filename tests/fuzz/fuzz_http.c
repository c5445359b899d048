/* Raw bytes at a live server, over a unix socket pair: the first byte says how they are cut. What answers them is told by the path:
 * /s streams, /u upgrades and echoes, /l answers when the client has sent all, /e says 401 at the head, others echo the body. The
 * server lives for one input, so that a find can be played again; its bounds of time are never reached. */
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    HttpRequest *later;
    HttpStream *stream;
    HttpDuplex *duplex;
} Fuzz;

static void on_data(void *arg, const uint8_t *bytes, size_t n)
{
    Fuzz *f = arg;
    if (n && bytes[0] == 'q')
        http_duplex_close(MOVE(f->duplex, NULL));
    else
        http_duplex_write(f->duplex, bytes, n);
}

static void on_close(void *arg, Err *why)
{
    ((Fuzz *)arg)->duplex = NULL;
    err_free(why);
}

static const HttpDuplexOps duplex_ops = {.on_data = on_data, .on_close = on_close};

static void on_stream_gone(void *arg) { ((Fuzz *)arg)->stream = NULL; }
static const HttpStreamOps stream_ops = {.on_gone = on_stream_gone};

static void on_each(void *arg, const char *name, const char *value)
{
    str_fmt(arg, "%s=%s\n", name, value);
}

static void handler(void *arg, HttpRequest *r)
{
    Fuzz *f = arg;
    SCOPED(str_done) Str out = {0};
    size_t n;
    const char *body = http_body(r, &n), *path = http_path(r);
    http_headers_each(r, on_each, &out);
    str_add(&out, http_query(r));
    (void)http_header_has(r, "Connection", "upgrade");
    str_add_n(&out, body, n);
    if (str_starts(path, "/s") && !f->stream) {
        f->stream = http_stream(r, 200, NULL, 0, 4096, &stream_ops, f);
        for (unsigned i = 0; f->stream && i < 5; i++)
            if (!http_stream_write(f->stream, out.p, out.n))
                break;
    } else if (str_starts(path, "/u") && !f->duplex) {
        f->duplex = http_upgrade(r, str_or(http_header(r, "Upgrade"), "x"), NULL, 0, &duplex_ops, f);
    } else if (str_starts(path, "/l") && !f->later) {
        f->later = r;
    } else {
        http_reply(r, 200, NULL, 0, str_or(out.p, ""), out.n);
    }
}

static size_t on_head(void *arg, HttpRequest *r)
{
    (void)arg;
    if (str_starts(http_path(r), "/e"))
        http_reply_error(r, 401, "no");
    return 2000;
}

static void on_gone(void *arg, HttpRequest *r)
{
    Fuzz *f = arg;
    if (f->later == r)
        f->later = NULL;
}

static void on_log(void *arg, const HttpLog *l)
{
    (void)arg;
    if (!l->method || !l->path || !l->query || l->took_ns < 0)
        abort();
}

static void turn(uv_loop_t *loop, int fd)
{
    char buf[65536];
    for (unsigned i = 0; i < 4; i++)
        uv_run(loop, UV_RUN_NOWAIT);
    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
        uv_run(loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uv_loop_t loop;
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    if (uv_loop_init(&loop) != 0 || listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof(sa_family_t)) < 0 ||
        listen(listener, 1) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    Fuzz f = {0};
    static const HttpOps ops = {.handler = handler, .on_head = on_head, .on_gone = on_gone, .on_log = on_log};
    HttpListen l = {.use_fd = true, .fd = listener};
    HttpServerConfig c = {.loop = &loop, .listen = &l, .n_listen = 1, .ops = &ops, .arg = &f, .limits = {.max_header = 4096}};
    HttpServer *s;
    Err *e = http_server_new(&c, &s);
    if (e)
        abort();
    http_server_adopt(s, 0, pair[1]);
    size_t piece = data[0] & 0x7f ? data[0] & 0x7f : size;
    for (size_t at = 1; at < size;) {
        size_t n = size - at < piece ? size - at : piece;
        ssize_t sent = send(pair[0], data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn(&loop, pair[0]);
        if (sent <= 0)
            break;
        at += (size_t)sent;
    }
    if (f.later)
        http_reply(MOVE(f.later, NULL), 200, NULL, 0, "late", 4);
    if (f.stream)
        http_stream_end(MOVE(f.stream, NULL));
    turn(&loop, pair[0]);
    if (data[0] & 0x80) { /* the client goes first */
        close(MOVE(pair[0], -1));
        for (unsigned i = 0; i < 4; i++)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    http_server_free(s);
    if (f.duplex || f.stream || f.later)
        abort(); /* each was told */
    if (pair[0] >= 0)
        close(pair[0]);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) != 0)
        abort();
    return 0;
}
