/* websocket.h - one WebSocket (RFC 6455) without a socket: bytes in, bytes out; and above it the channels that Kubernetes puts into
 * its messages: a byte that names the stream, then the stream's bytes. The opening handshake is HTTP's (dial.h); here is what it
 * needs to compute.
 *
 * libwslay does frames, masks, fragments, pings and close codes, and refuses what breaks them (house rule: a framing library that
 * Debian has is used). It is driven without its buffering: a message is passed on in pieces as it comes, however long it is.
 *
 * Callbacks come from within websocket_recv(); in one, every function here may be called, websocket_free() too. */
#ifndef REPRISE_STREAM_WEBSOCKET_H
#define REPRISE_STREAM_WEBSOCKET_H

#include "base/err.h"
#include "base/str.h"

#define WEBSOCKET_MAX_ANSWERS ((size_t)256 << 10) /* bytes of answers to pings that the peer has not read */

typedef enum {
    WEBSOCKET_RAW,     /* the messages are one stream of bytes: SPDY/3.1+portforward.k8s.io */
    WEBSOCKET_BINARY,  /* [v4.|v5.]channel.k8s.io */
    WEBSOCKET_BASE64,  /* [v4.]base64.channel.k8s.io: text, the channel as a digit */
} WebsocketMode;

/* Each may be NULL: not told. */
typedef struct {
    /* A piece of a message of <channel> (0 when raw); <last>: the message ends with it. n may be 0 then. */
    void (*on_data)(void *arg, unsigned channel, const uint8_t *bytes, size_t n, bool last);
    /* v5: the peer sends no more on this channel. */
    void (*on_channel_end)(void *arg, unsigned channel);
    /* The peer said good-bye; code 1005: without a code. */
    void (*on_close)(void *arg, unsigned code, const char *reason);
} WebsocketOps;

typedef struct {
    bool server;         /* takes only masked frames, as RFC 6455 5.1 demands; a client sends such */
    WebsocketMode mode;
    bool channels_end;   /* v5: channel 255 carries the number of one that ends */
    const WebsocketOps *ops; /* borrowed */
    void *arg;
} WebsocketConfig;

typedef struct Websocket Websocket;
Websocket *websocket_new(const WebsocketConfig *c);
void websocket_free(Websocket *w);
SCOPED_FN(websocket_free, Websocket *, NULL)

/* Bytes from the peer. Err: it breaks the protocol; what websocket_take() then has, a close frame, should still be sent. */
MUST_USE Err *websocket_recv(Websocket *w, const void *bytes, size_t n);
/* Appends all there is to send. */
void websocket_take(Websocket *w, Str *out);
/* Bytes that wait to be taken. */
size_t websocket_queued(const Websocket *w);
/* Copied, as messages of at most 32 KiB each. n == 0 sends an empty one. */
void websocket_send(Websocket *w, unsigned channel, const void *bytes, size_t n);
/* Tells v5's end of a channel; with older protocols nothing can say it: false. */
bool websocket_end(Websocket *w, unsigned channel);
/* 1000: all is well. Nothing can be sent after it. */
void websocket_close(Websocket *w, unsigned code, const char *reason);

/* A random Sec-WebSocket-Key, and the Sec-WebSocket-Accept that answers <key>. Caller frees. */
MUST_USE char *websocket_key(void);
MUST_USE char *websocket_accept(const char *key);

#endif
