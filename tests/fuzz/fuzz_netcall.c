/* The peer of a gRPC probe, and an httpGet's path: the first byte picks which.
 * 'g' feeds a connection with a call under way, in pieces; 'm' the health message; anything else is a path. */
#include "node/netcall_h2.h"
#include "node/netcall_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_reply(void *arg, const GrpcReply *r)
{
    int64_t status;
    Err *e = r->code == GRPC_OK ? grpc_health_reply(r->bytes, r->n, &status) : NULL;
    char buf[24];
    (void)grpc_code_name(r->code, buf);
    err_free(e);
    ++*(unsigned *)arg;
}

static void fuzz_connection(const uint8_t *bytes, size_t n)
{
    unsigned answers = 0;
    GrpcConn *c = grpc_conn_new("h:1", "x");
    SCOPED(str_done) Str out = {0};
    Err *e = grpc_conn_call(c, "/p", "abc", 3, 1000, on_reply, &answers);
    for (size_t at = 0; !e && at < n;) {
        size_t piece = 1 + bytes[at] % 64u;
        piece = piece < n - at ? piece : n - at;
        e = grpc_conn_recv(c, bytes + at, piece);
        if (!e)
            e = grpc_conn_send(c, &out);
        at += piece;
    }
    if (answers > 1)
        abort(); /* one call, one answer */
    err_free(e);
    grpc_conn_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    int64_t status;
    if (data[0] == 'g') {
        fuzz_connection(data + 1, size - 1);
    } else if (data[0] == 'm') {
        err_free(grpc_health_reply(data + 1, size - 1, &status));
    } else {
        SCOPED(mem_free) char *path = mem_dup_strn((const char *)data + 1, size - 1);
        SCOPED(mem_free) char *url = netcall_url("http", "h", 80, path);
        for (const char *p = url; *p; p++)
            if ((unsigned char)*p <= ' ')
                abort(); /* would end the request line */
    }
    return 0;
}
