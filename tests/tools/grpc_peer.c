/* grpc_peer - src/grpc with nothing above it, to talk to other gRPC peers: tests/integration/test_grpc.py drives it.
 *
 *   grpc_peer server SOCKET                 serves /test.Peer/{Echo,Count,Fail,Hang,Flood} until SIGTERM
 *   grpc_peer client SOCKET [KEY=VALUE...]  keepalive_ms= keepalive_timeout_ms= max_message=
 * The client reads calls from stdin, a line each, and prints a line for what happens:
 *   call [id=] path= [text=|size=] [stream=1] [wait=1] [timeout_ms=] [count=] [meta=name:value]
 *   cancel id=         now (connect_now)
 *   -> done ID CODE MESSAGES BYTES CRC32 TEXT      -> state 0|1 WHY
 * It ends when stdin has ended and all calls are done. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/str.h"
#include "grpc/client.h"
#include "grpc/server.h"

static uv_loop_t loop;

static char *pattern(size_t n)
{
    char *p = mem_alloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 31 + (i >> 8));
    return p;
}

/* --- server ------------------------------------------------------------------------------------------------------- */

static void serve_echo(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    (void)arg;
    grpc_served_send(call, bytes, n);
    grpc_served_finish(call, GRPC_OK, "");
}

/* "N SIZE": N messages of SIZE bytes. */
static void serve_count(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    (void)arg;
    SCOPED(mem_free) char *request = mem_dup_strn((const char *)bytes, n);
    unsigned count = 0, size = 0;
    (void)sscanf(request, "%u %u", &count, &size);
    SCOPED(mem_free) char *body = pattern(size);
    for (unsigned i = 0; i < count; i++)
        grpc_served_send(call, body, size);
    grpc_served_finish(call, GRPC_OK, "");
}

/* "CODE TEXT" */
static void serve_fail(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    (void)arg;
    SCOPED(mem_free) char *request = mem_dup_strn((const char *)bytes, n);
    char *text = strchr(request, ' ');
    grpc_served_finish(call, atoi(request), text ? text + 1 : "");
}

static void serve_hang(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    (void)arg;
    (void)call;
    (void)bytes;
    (void)n;
    puts("hanging");
}

/* Messages without end to whoever reads them: for one who does not, it stops at 1 MiB. */
typedef struct {
    uv_timer_t timer;
    GrpcServed *call;
    size_t sent;
} Flood;

static void on_flood(uv_timer_t *t)
{
    Flood *f = t->data;
    static char block[65536];
    while (grpc_served_queued(f->call) < 1 << 20 && f->sent < (size_t)1 << 30) {
        grpc_served_send(f->call, block, sizeof block);
        f->sent += sizeof block;
    }
}

static void serve_flood(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    Flood *f = NEW(Flood);
    (void)arg;
    (void)bytes;
    (void)n;
    (void)uv_timer_init(&loop, &f->timer);
    f->timer.data = f;
    f->call = call;
    grpc_served_set_data(call, f);
    (void)uv_timer_start(&f->timer, on_flood, 0, 1);
}

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_cancelled(void *arg, GrpcServed *call)
{
    (void)arg;
    Flood *f = grpc_served_data(call);
    if (f)
        printf("flooded %zu\n", f->sent);
    else
        puts("cancelled");
    if (f)
        uv_close((uv_handle_t *)&f->timer, on_closed);
}

static GrpcServer *server;
static void on_term(uv_signal_t *s, int sig)
{
    (void)sig;
    grpc_server_free(server);
    uv_close((uv_handle_t *)s, NULL);
}

static Err *run_server(const char *socket)
{
    static const GrpcMethod methods[] = {{"/test.Peer/Echo", serve_echo, NULL, NULL},
                                         {"/test.Peer/Count", serve_count, NULL, NULL},
                                         {"/test.Peer/Fail", serve_fail, NULL, NULL},
                                         {"/test.Peer/Hang", serve_hang, NULL, on_cancelled},
                                         {"/test.Peer/Flood", serve_flood, NULL, on_cancelled},
                                         {0}};
    GrpcServerConfig c = {.loop = &loop, .socket = socket, .methods = methods, .max_message = GRPC_MAX_MESSAGE};
    Err *e = grpc_server_new(&c, &server);
    if (e)
        return e;
    uv_signal_t term;
    (void)uv_signal_init(&loop, &term);
    (void)uv_signal_start(&term, on_term, SIGTERM);
    puts("ready");
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return NULL;
}

/* --- client ------------------------------------------------------------------------------------------------------- */

typedef struct Job Job;
struct Job {
    Job *next;
    char id[32];
    GrpcCall *call;
    unsigned messages;
    size_t bytes;
    unsigned long crc; /* of the last message */
};

static GrpcClient *client;
static Job *jobs;
static bool input_ended;
static Str input;
static uv_pipe_t in;

static void on_state(void *arg, bool connected, const Err *why)
{
    (void)arg;
    printf("state %d %s\n", connected, why ? why->what : "");
}

static void end_if_idle(void)
{
    if (!input_ended || jobs || !client)
        return;
    grpc_client_free(MOVE(client, NULL));
}

static Job *job_find(const char *id)
{
    Job *j = jobs;
    while (j && !str_eq(j->id, id))
        j = j->next;
    return j;
}

static void job_free(Job *job)
{
    for (Job **p = &jobs; *p; p = &(*p)->next)
        if (*p == job) {
            *p = job->next;
            break;
        }
    free(job);
    end_if_idle();
}

static void on_message(void *arg, const uint8_t *bytes, size_t n)
{
    Job *j = arg;
    j->messages++;
    j->bytes += n;
    j->crc = crc32_z(0, bytes, n);
}

static void on_done(void *arg, const GrpcResult *r)
{
    Job *j = arg;
    if (r->bytes)
        on_message(j, r->bytes, r->n);
    printf("done %s %d %u %zu %lu %s\n", j->id, r->code, j->messages, j->bytes, j->crc, r->message);
    job_free(j);
}

/* The value of <key>= in the line's words, to the next blank; "text=" goes to the end. NULL = not there. */
static char *value_of(const char *line, const char *key)
{
    SCOPED(mem_free) char *find = mem_fmt(" %s=", key);
    const char *at = strstr(line, find);
    if (!at)
        return NULL;
    at += strlen(find);
    return str_eq(key, "text") ? mem_dup_str(at) : mem_dup_strn(at, strcspn(at, " "));
}

static int64_t number_of(const char *line, const char *key, int64_t otherwise)
{
    SCOPED(mem_free) char *v = value_of(line, key);
    int64_t n;
    return v && str_to_i64(v, &n) ? n : otherwise;
}

static void do_call(const char *line)
{
    SCOPED(mem_free) char *path = value_of(line, "path"), *text = value_of(line, "text"), *id = value_of(line, "id"),
                          *meta = value_of(line, "meta");
    size_t size = (size_t)number_of(line, "size", (int64_t)strlen(str_or(text, "")));
    SCOPED(mem_free) char *body = text ? mem_dup_str(text) : pattern(size);
    char *colon = meta ? strchr(meta, ':') : NULL;
    if (colon)
        *colon = '\0';
    const char *metadata[] = {meta, colon ? colon + 1 : NULL, NULL};
    GrpcRequest r = {.path = path,
                     .bytes = body,
                     .n = size,
                     .timeout_ns = number_of(line, "timeout_ms", 0) * NS_PER_MS,
                     .wait_for_ready = number_of(line, "wait", 0),
                     .metadata = colon ? metadata : NULL};
    for (int64_t i = number_of(line, "count", 1); i > 0; i--) {
        Job *j = NEW(Job);
        (void)snprintf(j->id, sizeof j->id, "%s", str_or(id, "-"));
        j->next = jobs;
        jobs = j;
        j->call = number_of(line, "stream", 0) ? grpc_client_stream(client, &r, on_message, on_done, j)
                                               : grpc_client_call(client, &r, on_done, j);
    }
}

static void do_line(const char *line)
{
    SCOPED(mem_free) char *id = value_of(line, "id");
    if (str_starts(line, "call ")) {
        do_call(line);
    } else if (str_starts(line, "cancel ")) {
        Job *j = job_find(id);
        if (!j)
            return;
        grpc_call_cancel(j->call);
        job_free(j);
    } else if (str_starts(line, "now")) {
        grpc_client_connect_now(client);
    }
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char bytes[65536];
    (void)h;
    (void)suggested;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        input_ended = true;
        end_if_idle();
        return;
    }
    str_add_n(&input, buf->base, (size_t)n);
    for (char *end; input.n && (end = strchr(input.p, '\n'));) {
        *end = '\0';
        do_line(input.p);
        size_t used = (size_t)(end - input.p) + 1;
        memmove(input.p, end + 1, input.n - used + 1);
        input.n -= used;
    }
}

static Err *run_client(const char *socket, char **more)
{
    SCOPED(str_done) Str flags = {0};
    SCOPED(mem_free) char *target = mem_fmt("unix://%s", socket);
    for (; *more; more++)
        str_fmt(&flags, " %s", *more);
    const char *line = str_or(flags.p, "");
    GrpcClientConfig c = {.loop = &loop,
                          .target = target,
                          .max_message = (size_t)number_of(line, "max_message", 0),
                          .keepalive_ns = number_of(line, "keepalive_ms", 0) * NS_PER_MS,
                          .keepalive_timeout_ns = number_of(line, "keepalive_timeout_ms", 0) * NS_PER_MS,
                          .on_state = on_state};
    Err *e = grpc_client_new(&c, &client);
    if (e)
        return e;
    (void)uv_pipe_init(&loop, &in, 0);
    (void)uv_pipe_open(&in, STDIN_FILENO);
    (void)uv_read_start((uv_stream_t *)&in, on_alloc, on_input);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    str_done(&input);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)uv_loop_init(&loop);
    SCOPED(err_free) Err *e = str_eq(argv[1], "server") ? run_server(argv[2]) : run_client(argv[2], argv + 3);
    if (e)
        (void)fprintf(stderr, "grpc_peer: %s\n", e->what);
    return e || uv_loop_close(&loop) ? 1 : 0;
}
