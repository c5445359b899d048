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
/* Answers 101. NULL: the client has gone. */
HttpDuplex *stream_upgrade(ApiCall *c, const StreamUpgrade *u, const HttpDuplexOps *ops, void *arg);
/* port-forward over the channels of a WebSocket (pod_forward_ws.c): one connection for each port of <o>. Takes <sandbox>. */
void pod_forward_channels(ApiCall *c, const StreamUpgrade *u, const PodPortForwardOptions *o, const char *uid, char *sandbox);
/* As the kubelet's streaming says it, in text: kubectl puts "unable to upgrade connection: " before it. */
void stream_refuse(ApiCall *c, int code, const char *message);

#endif
