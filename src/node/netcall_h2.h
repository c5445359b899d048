/* netcall_h2.h - a gRPC client connection over cleartext HTTP/2, without a socket: bytes in, bytes out, answers by
 * callback. Unary calls only, any number at a time. nghttp2 does HTTP/2; the message framing and the rules for the
 * status are ours (grpc/doc/PROTOCOL-HTTP2.md, http-grpc-status-mapping.md). */
#ifndef REPRISE_NODE_NETCALL_H2_H
#define REPRISE_NODE_NETCALL_H2_H

#include "base/err.h"
#include "base/str.h"

/* grpc/status codes that this side makes or asks for. */
enum {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16
};
/* As grpc-go prints it: "NotFound"; "Code(99)" for what is none. buf: at least 24 bytes; returns buf or a constant. */
const char *grpc_code_name(int code, char *buf);

typedef struct GrpcConn GrpcConn;
typedef struct {
    int code;
    const char *message;  /* borrowed; grpc-message, or what went wrong on this side */
    const uint8_t *bytes; /* borrowed; the one answer of a call that is GRPC_OK */
    size_t n;
} GrpcReply;
typedef void GrpcReplyDone(void *arg, const GrpcReply *r);

GrpcConn *grpc_conn_new(const char *authority, const char *user_agent);
void grpc_conn_free(GrpcConn *c); /* open calls are not answered */
/* The server's SETTINGS have come: it speaks HTTP/2, which is what grpc-go calls ready. */
bool grpc_conn_ready(const GrpcConn *c);
/* One unary call; <path> "/package.Service/Method". timeout_ns 0 = none. */
MUST_USE Err *grpc_conn_call(GrpcConn *c, const char *path, const void *bytes, size_t n, int64_t timeout_ns,
                             GrpcReplyDone *done, void *arg);
/* Bytes from the peer. Callbacks run within; they must not free the connection. Err: the connection is of no use any
 * more. */
MUST_USE Err *grpc_conn_recv(GrpcConn *c, const void *bytes, size_t n);
/* Appends what is to be sent now. */
MUST_USE Err *grpc_conn_send(GrpcConn *c, Str *out);

/* grpc.health.v1: the request naming <service>, and the status of a reply (0 when absent, as proto3 has it). */
void grpc_health_request(const char *service, Str *out);
MUST_USE Err *grpc_health_reply(const uint8_t *bytes, size_t n, int64_t *ret_status);

#endif
