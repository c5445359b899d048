/* conn.h - a gRPC client connection over cleartext HTTP/2, without a socket: bytes in, bytes out. client.h is this
 * with a socket, time and reconnection; probes have a socket of their own. nghttp2 does HTTP/2; the framing of
 * messages and the rules for the status are ours (grpc/doc/PROTOCOL-HTTP2.md, http-grpc-status-mapping.md).
 *
 * Nobody is called from within nghttp2: what has come is queued, and grpc_conn_deliver() calls. In those callbacks
 * everything here may be called, grpc_conn_free() too. */
#ifndef REPRISE_GRPC_CONN_H
#define REPRISE_GRPC_CONN_H

#include "grpc/call.h"

typedef struct GrpcConn GrpcConn;
typedef struct GrpcStream GrpcStream; /* one call */

/* max_message: of a request and of an answer; 0 = GRPC_MAX_MESSAGE. */
GrpcConn *grpc_conn_new(const char *authority, const char *user_agent, size_t max_message);
void grpc_conn_free(GrpcConn *c); /* open calls are not answered */
/* The server's SETTINGS have come: it speaks HTTP/2, which is what grpc-go calls ready. */
bool grpc_conn_ready(const GrpcConn *c);
/* The server has said GOAWAY, or all stream numbers are used: open calls go on, new ones need another connection. */
bool grpc_conn_draining(const GrpcConn *c);
/* What GOAWAY said, in grpc-go's words: "code: NO_ERROR, debug data: \"max_age\""; NULL = none came. Borrowed. */
const char *grpc_conn_goaway(const GrpcConn *c);
size_t grpc_conn_n_calls(const GrpcConn *c);

/* Begins a call; <message> NULL = unary. wait_for_ready is nothing here. <done> tells what fails at once as well. */
GrpcStream *grpc_conn_call(GrpcConn *c, const GrpcRequest *r, GrpcMessage *message, GrpcDone *done, void *arg);
/* Gives it up: nothing is called any more, the peer is told. */
void grpc_conn_cancel(GrpcStream *s);
/* Ends all open calls with this status. */
void grpc_conn_fail(GrpcConn *c, int code, const char *message);
void grpc_conn_ping(GrpcConn *c);
/* PINGs since the last frame of a call came: servers count them (min_recv_ping_interval_without_data) and close the
 * connection. */
unsigned grpc_conn_idle_pings(const GrpcConn *c);

/* Bytes from the peer. Err: the connection is of no use any more. */
MUST_USE Err *grpc_conn_recv(GrpcConn *c, const void *bytes, size_t n);
/* Appends what is to be sent now, a few hundred KiB at most: ask again when that is written, until nothing comes. Err:
 * the connection is over; what was appended should still be sent. */
MUST_USE Err *grpc_conn_send(GrpcConn *c, Str *out);
/* There is something to deliver. */
bool grpc_conn_pending(const GrpcConn *c);
void grpc_conn_deliver(GrpcConn *c);

#endif
