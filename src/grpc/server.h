/* server.h - a gRPC server on the event loop, on a unix socket: unary calls and streams of answers (what device plugin
 * registration needs, and more). Limits: connections, streams of each, message size, header size, and how long a
 * client may take to send its request; a slow or hostile client harms no other. */
#ifndef REPRISE_GRPC_SERVER_H
#define REPRISE_GRPC_SERVER_H

#include <uv.h>

#include "grpc/status.h"

typedef struct GrpcServer GrpcServer;
typedef struct GrpcServed GrpcServed; /* one call that is being served */

/* The request of one call has come whole. Answer with grpc_served_send() and grpc_served_finish(), now or later. */
typedef void GrpcHandler(void *arg, GrpcServed *call, const uint8_t *bytes, size_t n);
typedef struct {
    const char *path; /* "/v1beta1.Registration/Register" */
    GrpcHandler *handler;
    void *arg;
    /* The client gave up, or its connection was lost, before finish(): the call is gone. NULL = not told: what is sent
     * then is dropped, and finish() must still be called. */
    void (*cancelled)(void *arg, GrpcServed *call);
} GrpcMethod;

typedef struct {
    uv_loop_t *loop;
    const char *socket;  /* path; mode 0600, a dead one left there is replaced */
    const GrpcMethod *methods; /* copied; the last has path NULL. Others are UNIMPLEMENTED */
    size_t max_message;  /* 0 = 4 MiB, as gRPC's default */
} GrpcServerConfig;

MUST_USE Err *grpc_server_new(const GrpcServerConfig *c, GrpcServer **ret);
/* Closes all connections and removes the socket; cancelled() is called for what is open. */
void grpc_server_free(GrpcServer *s);

/* One answer; a unary call has just one. Copied. */
void grpc_served_send(GrpcServed *call, const void *bytes, size_t n);
/* Bytes that wait to be sent to this client: a producer of many messages stops when they grow. */
size_t grpc_served_queued(const GrpcServed *call);
/* Ends it with a status; <call> is gone. */
void grpc_served_finish(GrpcServed *call, int code, const char *message);
/* What is to be remembered with it. */
void grpc_served_set_data(GrpcServed *call, void *data);
void *grpc_served_data(const GrpcServed *call);

#endif
