/* prober.h - one worker for each container and probe kind (pod-restart.md 6), and the network half of hooks.
 *
 * The worker's *decisions* (thresholds, hold, initial results) are a pure state machine in plan/probe.h; this file does
 * the I/O: exec through the runtime, httpGet by libcurl (multi, on the loop), tcpSocket by uv, grpc by nghttp2. */
#ifndef REPRISE_NODE_PROBER_H
#define REPRISE_NODE_PROBER_H

#include <uv.h>

#include "api/types.h"
#include "base/err.h"

/* One probe attempt or hook call. Network ones only; exec goes through the runtime by the caller. */
typedef struct NetCall NetCall;
typedef struct {
    bool ok;
    const char *output; /* "HTTP probe failed with statuscode: 500", "dial tcp 10.0.0.2:80: connect: connection refused" */
} NetCallResult;
typedef void NetCallDone(void *arg, const NetCallResult *res);
/* <host>: the Pod's IP (127.0.0.1 with host network) used when the action names none. <c> resolves named ports. */
MUST_USE Err *netcall_http(uv_loop_t *loop, const HTTPGetAction *a, const Container *c, const char *host,
                           const char *user_agent, int64_t timeout_ns, NetCallDone *done, void *arg, NetCall **ret);
MUST_USE Err *netcall_tcp(uv_loop_t *loop, const TCPSocketAction *a, const Container *c, const char *host,
                          int64_t timeout_ns, NetCallDone *done, void *arg, NetCall **ret);
MUST_USE Err *netcall_grpc(uv_loop_t *loop, const GRPCAction *a, const char *host, int64_t timeout_ns,
                           NetCallDone *done, void *arg, NetCall **ret);
void netcall_cancel(NetCall *c); /* never calls done */

#endif
