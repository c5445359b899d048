/* streams.h - what exec, attach, port-forward and logs share: whose container, which protocol, and the list of what is open. Private. */
#ifndef REPRISE_APISERVER_STREAMS_H
#define REPRISE_APISERVER_STREAMS_H

#include "apiserver/api_priv.h"
#include "stream/remotecommand.h"

#define STREAM_QUEUE_MAX ((size_t)256 << 10) /* bytes that wait for one side: then the other is not read */

/* The Pod of the request; NULL: the call was answered. New reference. */
json_t *stream_pod(ApiCall *c);
/* The container that is meant (*ret borrowed from <pod>); false: the call was answered, with 400. */
bool stream_container(ApiCall *c, const json_t *pod, const char *name, const char **ret);
/* Of any kind; NULL: there is none of that name. Borrowed. */
const json_t *stream_container_spec(const json_t *pod, const char *name);
/* One more of max_streams; false: the call was answered, with 429. */
bool stream_admit(ApiCall *c);

/* An open stream: the first member of whoever keeps it. */
typedef struct OpenStream OpenStream;
struct OpenStream {
    ApiServer *s;
    OpenStream *next;
    void (*stop)(OpenStream *o); /* the server ends: it closes, and says stream_gone() */
};
void stream_opened(OpenStream *o, ApiServer *s);
void stream_gone(OpenStream *o);

/* How a client wants to be spoken to. */
typedef struct {
    bool websocket;
    const char *protocol; /* the name that was chosen, "" = none was offered; borrowed from tables */
    char *accept;         /* WebSocket's answer to the key; owned */
} StreamUpgrade;
void stream_upgrade_done(StreamUpgrade *u);
static inline UNUSED void stream_upgrade_done_at(StreamUpgrade *u) { stream_upgrade_done(u); }
/* <choose>: the best of what the client offers ("a, b"), NULL = none. False: the call was answered. */
bool stream_upgrade_read(ApiCall *c, const char *(*choose)(const char *offered, bool websocket), StreamUpgrade *ret);

/* What an upgraded connection carries: the first member of whoever keeps it. */
typedef struct Upgraded Upgraded;
typedef struct {
    void (*open)(Upgraded *x);                               /* 101 is sent */
    void (*recv)(Upgraded *x, const uint8_t *bytes, size_t n);
    void (*sent)(Upgraded *x);                               /* the client has taken all that was written */
    void (*over)(Upgraded *x);                               /* closes its streams of the runtime */
    void (*done)(Upgraded *x);                               /* frees what it has, and itself */
} UpgradedOps;
struct Upgraded {
    OpenStream open; /* first */
    const UpgradedOps *ops;
    HttpDuplex *duplex; /* NULL: lost, or not yet */
    uv_timer_t timer;   /* our memory goes with it */
    bool closed;
    char *uid;          /* the Pod's; owned */
};
/* Answers <c> with 101; <x>, zeroed but for <uid>, is closed already if the client has gone. */
void upgraded_begin(Upgraded *x, const UpgradedOps *ops, ApiCall *c, const StreamUpgrade *u);
/* What is written already is still sent. A callback of its own may be on the stack: over() comes now, done() later. */
void upgraded_close(Upgraded *x);
/* port-forward over the channels of a WebSocket (pod_forward_ws.c): one connection for each port of <o>. Takes <sandbox>. */
void pod_forward_channels(ApiCall *c, const StreamUpgrade *u, const PodPortForwardOptions *o, const char *uid, char *sandbox);
/* As the kubelet's streaming says it, in text: kubectl puts "unable to upgrade connection: " before it. */
void stream_refuse(ApiCall *c, int code, const char *message);

#endif
