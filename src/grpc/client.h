/* client.h - a gRPC client on the event loop: one connection to one address, any number of calls on it at once.
 *
 * It connects by itself, and again with back-off when the connection is lost (grpc/doc/connection-backoff.md: 1 s,
 * times 1.6, with jitter; but at most 5 s, since the peer is on this machine). Deadlines are kept on this side as well
 * as told to the peer; a call that is given up is reset (RST_STREAM CANCEL), the connection stays. PINGs find a peer
 * that is dead but connected: never within 10 s of the last, and after two without an answer to a call one in five
 * minutes, for servers close connections that ping more ("too_many_pings"). nghttp2 does HTTP/2 and its flow control;
 * framing, status rules and time are ours (PROTOCOL-HTTP2.md).
 *
 * Single-threaded; the process ignores SIGPIPE. Callbacks come from the loop, never from within the function that
 * began the call; in one, every function here may be called, grpc_client_free() too. */
#ifndef REPRISE_GRPC_CLIENT_H
#define REPRISE_GRPC_CLIENT_H

#include <uv.h>

#include "grpc/call.h"

typedef struct GrpcClient GrpcClient;
typedef struct GrpcCall GrpcCall;

typedef struct {
    uv_loop_t *loop;
    const char *target;      /* "unix:///run/x.sock", or a plain absolute path */
    const char *user_agent;
    size_t max_message;      /* of one request and of one answer; 0 = GRPC_MAX_MESSAGE */
    int64_t keepalive_ns;    /* a PING after so long without a byte from the peer while calls are open; 0 = 30 s */
    int64_t keepalive_timeout_ns; /* no answer to it for so long: the connection is dead; 0 = 10 s */
    /* The connection is there (why NULL) or was lost, or could not be made (why: borrowed). NULL = not told. */
    void (*on_state)(void *arg, bool connected, const Err *why);
    void *arg;
} GrpcClientConfig;

/* Begins to connect. ERR_INVALID: <target> is no address of a kind known here. */
MUST_USE Err *grpc_client_new(const GrpcClientConfig *c, GrpcClient **ret);
/* Open calls are never answered. */
void grpc_client_free(GrpcClient *c);
bool grpc_client_connected(const GrpcClient *c);
/* Tries to connect now, if it waits for the next try. */
void grpc_client_connect_now(GrpcClient *c);

/* A unary call. <done> is called once. A connection that is lost under it is UNAVAILABLE; whether the peer did it is
 * not known then. */
GrpcCall *grpc_client_call(GrpcClient *c, const GrpcRequest *r, GrpcDone *done, void *arg);
/* A call with one request and a stream of answers; <done> ends it. */
GrpcCall *grpc_client_stream(GrpcClient *c, const GrpcRequest *r, GrpcMessage *message, GrpcDone *done, void *arg);
/* Gives it up: nothing is called any more, and <call> is gone. */
void grpc_call_cancel(GrpcCall *call);

#endif
