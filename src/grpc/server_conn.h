/* server_conn.h - one client of a gRPC server, without a socket: bytes in, bytes out. server.h is this with sockets
 * and time. Nobody is called from within nghttp2: what has come is queued, and grpc_server_conn_deliver() calls the
 * methods. */
#ifndef REPRISE_GRPC_SERVER_CONN_H
#define REPRISE_GRPC_SERVER_CONN_H

#include "grpc/server.h"

typedef struct GrpcServerConn GrpcServerConn;
typedef struct {
    const GrpcMethod *methods; /* borrowed; the last has path NULL */
    size_t max_message;
    void (*wake)(void *arg); /* a method has something to send; must not call back. NULL = nobody cares */
    void *arg;
} GrpcServerConnConfig;

#define GRPC_SERVER_STREAMS     100u
#define GRPC_SERVER_REQUEST_NS  INT64_C(20000000000) /* for a request to come whole */
#define GRPC_SERVER_HELD_MAX    ((size_t)64 << 20)   /* bytes of requests that are kept; the same of answers */

GrpcServerConn *grpc_server_conn_new(const GrpcServerConnConfig *config, int64_t now_ns);
/* After grpc_server_conn_abort(). */
void grpc_server_conn_free(GrpcServerConn *c);
size_t grpc_server_conn_n_calls(const GrpcServerConn *c);
/* Nothing here can expire. */
bool grpc_server_conn_idle(const GrpcServerConn *c);
/* Bytes from the client. Err: the connection is of no use any more. */
MUST_USE Err *grpc_server_conn_recv(GrpcServerConn *c, const void *bytes, size_t n, int64_t now_ns);
/* Appends what is to be sent now, a few hundred KiB at most. Err: the connection is over. */
MUST_USE Err *grpc_server_conn_send(GrpcServerConn *c, Str *out);
/* Resets requests that take too long. Err: the client takes too long altogether, or does not read its answers. */
MUST_USE Err *grpc_server_conn_expire(GrpcServerConn *c, int64_t now_ns);
bool grpc_server_conn_pending(const GrpcServerConn *c);
void grpc_server_conn_deliver(GrpcServerConn *c);
/* No new calls: GOAWAY. */
void grpc_server_conn_goaway(GrpcServerConn *c);
/* The connection is lost: cancelled() of all open calls, now. */
void grpc_server_conn_abort(GrpcServerConn *c);

#endif
