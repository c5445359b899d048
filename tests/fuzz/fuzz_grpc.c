/* The other end of a gRPC connection, in pieces whose size the bytes say. The first byte picks the end that is tested:
 * 'u' a client with a unary call under way, 's' one with a stream, 'c' a server (its client's preface stands in front
 * already). */
#include <stdlib.h>

#include "grpc/conn.h"
#include "grpc/server_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    GrpcConn *client;
    GrpcServerConn *server;
    GrpcServed *kept; /* by the method that answers later */
    unsigned answers;
} Fuzz;

static size_t piece_at(const uint8_t *bytes, size_t at, size_t n)
{
    size_t piece = 1 + bytes[at] % 64u;
    return piece < n - at ? piece : n - at;
}

/* --- client ------------------------------------------------------------------------------------------------------- */

static void on_message(void *arg, const uint8_t *bytes, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) /* every byte of it is ours to read */
        sum += bytes[i];
    if (sum % 251 == 250 && ((Fuzz *)arg)->client)
        grpc_conn_free(MOVE(((Fuzz *)arg)->client, NULL));
}

static void on_done(void *arg, const GrpcResult *r)
{
    Fuzz *f = arg;
    err_free(grpc_status_err(r->code, r->message));
    if (r->bytes)
        on_message(f, r->bytes, r->n);
    f->answers++;
}

static void fuzz_client(const uint8_t *bytes, size_t n, bool stream)
{
    Fuzz f = {.client = grpc_conn_new("h:1", "x", 65536)};
    SCOPED(str_done) Str out = {0};
    GrpcRequest r = {.path = "/p", .bytes = "abc", .n = 3, .timeout_ns = 1000};
    (void)grpc_conn_call(f.client, &r, stream ? on_message : NULL, on_done, &f);
    for (size_t at = 0, piece; f.client && at < n; at += piece) {
        piece = piece_at(bytes, at, n);
        SCOPED(err_free) Err *e = grpc_conn_recv(f.client, bytes + at, piece);
        SCOPED(err_free) Err *over = grpc_conn_send(f.client, &out);
        grpc_conn_deliver(f.client);
        if (e || over)
            break;
    }
    if (f.client)
        grpc_conn_fail(f.client, GRPC_UNAVAILABLE, "over");
    if (f.client)
        grpc_conn_deliver(f.client);
    if (f.answers > 1 || (f.client && !f.answers))
        abort(); /* one call, one answer */
    grpc_conn_free(f.client);
}

/* --- server ------------------------------------------------------------------------------------------------------- */

static void serve(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n)
{
    Fuzz *f = arg;
    grpc_served_send(call, bytes, n);
    if (f->kept || !n || bytes[0] != 'k')
        grpc_served_finish(call, GRPC_OK, "");
    else
        f->kept = call;
}

static void on_cancelled(void *arg, GrpcServed *call)
{
    Fuzz *f = arg;
    if (f->kept != call)
        abort(); /* only what is open can be cancelled */
    f->kept = NULL;
}

static void fuzz_server(const uint8_t *bytes, size_t n)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    Fuzz f = {0};
    GrpcMethod methods[] = {{"/t.T/M", serve, &f, on_cancelled}, {0}};
    GrpcServerConnConfig config = {.methods = methods, .max_message = 65536};
    f.server = grpc_server_conn_new(&config, 0);
    SCOPED(str_done) Str out = {0};
    Err *first = grpc_server_conn_recv(f.server, preface, sizeof preface - 1, 0);
    if (first)
        abort();
    for (size_t at = 0, piece; at < n; at += piece) {
        piece = piece_at(bytes, at, n);
        SCOPED(err_free) Err *e = grpc_server_conn_recv(f.server, bytes + at, piece, 0);
        SCOPED(err_free) Err *over = grpc_server_conn_send(f.server, &out);
        grpc_server_conn_deliver(f.server);
        if (e || over)
            break;
        str_clear(&out);
    }
    err_free(grpc_server_conn_expire(f.server, GRPC_SERVER_REQUEST_NS + 1));
    if (f.kept && piece_at(bytes, 0, n) % 2)
        grpc_served_finish(MOVE(f.kept, NULL), GRPC_ABORTED, "later");
    err_free(grpc_server_conn_send(f.server, &out));
    grpc_server_conn_abort(f.server);
    grpc_server_conn_free(f.server);
    if (f.kept)
        abort(); /* it was told */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (data[0] == 'c')
        fuzz_server(data + 1, size - 1);
    else
        fuzz_client(data + 1, size - 1, data[0] == 's');
    return 0;
}
