/* portforward.h - connections to ports of a Pod, over one SPDY/3.1 session, as kubectl port-forward and the CRI runtimes have them
 * ("portforward.k8s.io"): for each connection an error stream and a data stream, which say the port and share a requestID. Over
 * WebSocket the same session is the bytes of a websocket.h of WEBSOCKET_RAW. Bytes in, bytes out; both ends.
 *
 * SPDY as they speak it has no flow control: one connection that is not read holds up all (dial_pause()). containerd ends a
 * connection half a second after either direction has ended: a half-close does not last there.
 *
 * Callbacks come from within portforward_recv() and portforward_lost(); in one, every function here may be called. */
#ifndef REPRISE_STREAM_PORTFORWARD_H
#define REPRISE_STREAM_PORTFORWARD_H

#include "stream/spdy.h"

#define PORTFORWARD_PROTOCOL "portforward.k8s.io"
#define PORTFORWARD_TUNNEL   "SPDY/3.1+portforward.k8s.io" /* Sec-WebSocket-Protocol */

typedef struct PortForward PortForward;
typedef struct PortConn PortConn;

/* Each may be NULL: not told. <data> is what portconn_set_data() remembered. */
typedef struct {
    /* Server: a client wants a connection; portconn_write() ..., or portconn_fail(). */
    void (*on_open)(void *arg, PortConn *c, unsigned port);
    void (*on_data)(void *arg, PortConn *c, const uint8_t *bytes, size_t n);
    /* The peer sends no more. */
    void (*on_end)(void *arg, PortConn *c);
    /* It is over; <why> is what the other end says went wrong, NULL = nothing. <c> is gone with the return. */
    void (*on_close)(void *arg, PortConn *c, const char *why);
} PortForwardOps;

PortForward *portforward_new(bool server, const PortForwardOps *ops /* borrowed */, void *arg);
void portforward_free(PortForward *f); /* nothing is called */
SCOPED_FN(portforward_free, PortForward *, NULL)
MUST_USE Err *portforward_recv(PortForward *f, const void *bytes, size_t n);
void portforward_lost(PortForward *f); /* the connection has ended: all close */
void portforward_take(PortForward *f, Str *out);
size_t portforward_queued(const PortForward *f);

/* Client: a new connection. NULL: there can be no more. */
MUST_USE PortConn *portforward_open(PortForward *f, unsigned port, void *data);
void portconn_write(PortConn *c, const void *bytes, size_t n); /* copied */
void portconn_end(PortConn *c);                                /* no more will be written */
/* Gives it up; <c> is gone, nothing is called. A server says <why> to the client; NULL = all is well. */
void portconn_close(PortConn *c, const char *why);
void portconn_set_data(PortConn *c, void *data);
void *portconn_data(const PortConn *c);
unsigned portconn_port(const PortConn *c);

#endif
