/* dial.h - a streaming connection on the event loop: connects to the URL that CRI's Exec, Attach or PortForward gave, upgrades it,
 * and carries bytes between the socket and remotecommand.h or portforward.h; or does the last on a socket that a server has
 * upgraded (dial_adopt()).
 *
 * It writes one piece at a time, so that what a peer does not read waits where it is counted (remote_queued()), and reads nothing
 * while dial_pause() says so. Callbacks come from the loop, never from within the function that began it; in one, every function here
 * may be called, dial_free() too. */
#ifndef REPRISE_STREAM_DIAL_H
#define REPRISE_STREAM_DIAL_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

#define DIAL_TIMEOUT_NS INT64_C(30000000000) /* for connecting and upgrading */

typedef struct Dial Dial;
typedef struct {
    /* The upgrade is done; <protocol> is one of those that were offered, or "" when the server did not say. */
    void (*on_open)(void *arg, const char *protocol);
    /* Bytes have come. An Err (taken) ends it: on_over(). */
    Err *(*on_bytes)(void *arg, const void *bytes, size_t n);
    /* Appends what is to be sent. */
    void (*pull)(void *arg, Str *out);
    /* All of it is written. NULL = not told. */
    void (*on_sent)(void *arg);
    /* The connection is over; nothing is called any more but for dial_free() to be called. <why> (taken): NULL = the peer closed it. */
    void (*on_over)(void *arg, Err *why);
} DialOps;

typedef struct {
    uv_loop_t *loop;
    const char *url;
    bool websocket;               /* else SPDY/3.1 */
    const char *const *protocols; /* best first; the last is NULL; borrowed until on_open() */
    const DialOps *ops;           /* borrowed */
    void *arg;
} DialConfig;

/* ERR_INVALID, ERR_UNSUPPORTED: the URL is none, or of a kind not known here (upgrade.h). */
MUST_USE Err *dial_new(const DialConfig *c, Dial **ret);
/* Takes <fd>, a connected socket, in any case; on_open() is not called. <already> are bytes that were read from it before. */
MUST_USE Err *dial_adopt(uv_loop_t *loop, int fd, const void *already, size_t n_already, const DialOps *ops, void *arg, Dial **ret);
/* There is something to send. */
void dial_flush(Dial *d);
void dial_pause(Dial *d, bool pause);
/* Nothing is being sent. */
bool dial_idle(const Dial *d);
void dial_free(Dial *d);

#endif
