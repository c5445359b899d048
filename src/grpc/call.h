/* call.h - what a gRPC call is, for client.h and for the connection without a socket (conn.h). */
#ifndef REPRISE_GRPC_CALL_H
#define REPRISE_GRPC_CALL_H

#include "grpc/status.h"

#define GRPC_MAX_MESSAGE ((size_t)16 << 20) /* the kubelet's maxMsgSize (pkg/kubelet/cri: remote/utils.go) */

typedef struct {
    const char *path;        /* "/runtime.v1.RuntimeService/Version" */
    const void *bytes;       /* the request message; copied */
    size_t n;
    int64_t timeout_ns;      /* 0 = none */
    /* Without a connection: waits for one until the deadline, instead of UNAVAILABLE at the next failure to connect. */
    bool wait_for_ready;
    const char *const *metadata; /* name, value, name, value, ..., NULL; NULL = none. At most 32 pairs; copied */
} GrpcRequest;

typedef struct {
    int code;
    const char *message;  /* borrowed; grpc-message, or what went wrong on this side; never NULL */
    const uint8_t *bytes; /* borrowed; the answer of a unary call that is GRPC_OK */
    size_t n;
} GrpcResult;
typedef void GrpcDone(void *arg, const GrpcResult *r);
/* One message of a server's stream. */
typedef void GrpcMessage(void *arg, const uint8_t *bytes, size_t n);

#endif
