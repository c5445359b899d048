/* netcall_priv.h - what the three kinds of network call share: deadline, name look-up, one answer, orderly closing. */
#ifndef REPRISE_NODE_NETCALL_PRIV_H
#define REPRISE_NODE_NETCALL_PRIV_H

#include <sys/socket.h>
#include <uv.h>

#include "base/clock.h"
#include "base/str.h"
#include "node/prober.h"

#define NETCALL_MAX_ADDRS 8u

typedef struct {
    /* c->addr[0..n_addr) are known: connect to addr[at]. An Err is the answer. */
    void (*start)(NetCall *c);
    void (*timed_out)(NetCall *c); /* must call netcall_finish() */
    void (*stop)(NetCall *c);      /* ends all I/O; its handles hold the call by netcall_hold() */
    void (*release)(NetCall *c);   /* frees what is the kind's own, but not c */
    /* <why>: "dial tcp: lookup x: no such host". Calls netcall_fail_later(), or waits for the deadline. */
    void (*lookup_failed)(NetCall *c, const char *why);
} NetCallKind;

/* First member of each kind's struct. */
struct NetCall {
    const NetCallKind *kind;
    uv_loop_t *loop;
    NetCallDone *done; /* NULL = answered or cancelled */
    void *arg;
    char *host; /* as the action or the Pod gives it, without brackets */
    int port;
    bool host_is_ip;
    int64_t timeout_ns;
    uv_timer_t timer; /* the deadline; or, when <later> is set, the end of this turn */
    char *later;      /* the answer, of a failure within the call that asked */
    uv_getaddrinfo_t lookup;
    bool looking_up;
    struct sockaddr_storage addr[NETCALL_MAX_ADDRS];
    unsigned n_addr, at;
    unsigned holds; /* handles and requests that still point here */
};

/* Allocates <size> bytes with a NetCall first, and begins: <kind>->start is called now, or after the name look-up. */
NetCall *netcall_new(uv_loop_t *loop, size_t size, const NetCallKind *kind, const char *host, int port,
                     int64_t timeout_ns, NetCallDone *done, void *arg);
void netcall_begin(NetCall *c);
/* The one answer. Call it last: the owner may do anything in it. */
void netcall_finish(NetCall *c, const NetCallResult *res);
void netcall_fail(NetCall *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same, from within the public call that began it. */
void netcall_fail_later(NetCall *c, char *text /* taken */);
void netcall_hold(NetCall *c);
void netcall_drop(NetCall *c); /* frees the call with the last hold */

/* kubelet's ResolveContainerPort (pkg/probe/util.go). */
MUST_USE Err *netcall_port(const IntOrString *port, const Container *c, int *ret);
/* Go's net.JoinHostPort; "10.0.0.2:80", "[::1]:80". Caller frees. */
MUST_USE char *netcall_join(const char *host, int port);
/* addr[at] with the port, in the same way. Caller frees. */
MUST_USE char *netcall_peer(const NetCall *c);
/* "dial tcp 10.0.0.2:80: connect: connection refused". Caller frees. */
MUST_USE char *netcall_dial_error(const NetCall *c, int err);

/* Pure (netcall_url.c): the kubelet's formatURL + Go's URL.String(). Caller frees. */
MUST_USE char *netcall_url(const char *scheme, const char *host, int port, const char *path);

/* Pure (netcall_health.c): grpc.health.v1's request naming <service>, and the status of a reply (0 when absent, as proto3 has
 * it). */
void grpc_health_request(const char *service, Str *out);
MUST_USE Err *grpc_health_reply(const uint8_t *bytes, size_t n, int64_t *ret_status);

#endif
