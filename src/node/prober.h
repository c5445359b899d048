/* prober.h - network calls of probes and hooks (pod-restart.md 6): one attempt each, on the loop, answered once.
 *
 * What an attempt's outcome means (thresholds, hold, initial results) is a pure state machine in plan/probe.h; exec
 * goes through the runtime. Here: httpGet by libcurl, tcpSocket by uv, grpc by nghttp2, with the texts that the
 * kubelet's probers give (pkg/probe/{http,tcp,grpc}), which come from Go's net/http, net and grpc-go. */
#ifndef REPRISE_NODE_PROBER_H
#define REPRISE_NODE_PROBER_H

#include <uv.h>

#include "api/types.h"
#include "base/err.h"

/* What the kubelet of the release we follow calls itself (pkg/probe/http/request.go). */
#define NETCALL_PROBE_USER_AGENT     "kube-probe/1.35"
#define NETCALL_LIFECYCLE_USER_AGENT "kube-lifecycle/1.35"

/* One probe attempt or hook call. Valid until its <done> is called or it is cancelled. */
typedef struct NetCall NetCall;
typedef struct {
    bool ok;
    const char
        *output; /* "HTTP probe failed with statuscode: 500", "dial tcp 10.0.0.2:80: connect: connection refused" */
    /* Of the answer; 0 = there was none. A probe goes by <ok>; a lifecycle hook has succeeded when there was any answer
     * at all, whatever its status (kubelet, lifecycle/handlers.go runHTTPHandler). */
    int http_status;
    /* An https call that was answered in plain HTTP: the kubelet tries hooks (not probes) again with scheme HTTP. */
    bool plain_http;
} NetCallResult;
typedef void NetCallDone(void *arg, const NetCallResult *res /* borrowed */);

/* <host>: the Pod's IP (127.0.0.1 with host network) used when the action names none. <c> resolves named ports; an
 * unknown name or a port out of range is an Err, for which the kubelet's probe result is Unknown. Nothing is kept of
 * the arguments. timeout_ns: for everything, name look-up to the last byte; 0 = none. */
MUST_USE Err *netcall_http(uv_loop_t *loop, const HTTPGetAction *a, const Container *c, const char *host,
                           const char *user_agent, int64_t timeout_ns, NetCallDone *done, void *arg, NetCall **ret);
MUST_USE Err *netcall_tcp(uv_loop_t *loop, const TCPSocketAction *a, const Container *c, const char *host,
                          int64_t timeout_ns, NetCallDone *done, void *arg, NetCall **ret);
MUST_USE Err *netcall_grpc(uv_loop_t *loop, const GRPCAction *a, const char *host, int64_t timeout_ns,
                           NetCallDone *done, void *arg, NetCall **ret);
/* Never calls done. What is left is closed and freed in the next turns of the loop. NULL is fine. */
void netcall_cancel(NetCall *c);

#endif
