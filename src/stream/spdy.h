/* spdy.h - one SPDY/3.1 session without a socket: bytes in, bytes out. It is what exec, attach and port-forward of Kubernetes speak,
 * by github.com/moby/spdystream; where that and the specification (SPDY Protocol Draft 3.1) differ, this does what spdystream
 * understands:
 *   - There is no flow control. spdystream neither sends WINDOW_UPDATE nor heeds it, nor SETTINGS: both are taken and ignored here,
 *     too, and never sent. What holds a fast peer back is the socket: do not read it while its data cannot be passed on.
 *   - Data that comes before a stream was replied to is dropped there: what is sent on a stream here waits for its SYN_REPLY.
 *   - Streams of a peer are refused (RST_STREAM) for a wrong number, not the session ended.
 *
 * Memory is bounded: headers to 64 KiB packed and unpacked, streams to SPDY_MAX_STREAMS; data is passed on in pieces as it comes.
 * What is sent is the caller's to bound, by spdy_queued().
 *
 * Callbacks come from within spdy_recv(); in one, every function here may be called, spdy_free() too. */
#ifndef REPRISE_STREAM_SPDY_H
#define REPRISE_STREAM_SPDY_H

#include "base/err.h"
#include "base/str.h"

#define SPDY_MAX_STREAMS 1024u               /* open at once, both sides' */
#define SPDY_MAX_CONTROL ((size_t)64 << 10)  /* bytes of a control frame, and of its headers unpacked */
#define SPDY_MAX_ANSWERS ((size_t)256 << 10) /* bytes of answers to PINGs and refused streams that the peer has not read */

enum { SPDY_PROTOCOL_ERROR = 1, SPDY_INVALID_STREAM, SPDY_REFUSED_STREAM, SPDY_UNSUPPORTED_VERSION, SPDY_CANCEL, SPDY_INTERNAL_ERROR };

typedef struct Spdy Spdy;
typedef struct SpdyStream SpdyStream;

/* Names in any case: they are sent, and compared, in lower case. Of several values of one name the first counts. */
typedef struct { const char *name, *value; } SpdyHeader;
typedef struct {
    const SpdyHeader *v; /* borrowed */
    size_t n;
} SpdyHeaders;
/* Borrowed; NULL = not there. */
const char *spdy_header(const SpdyHeaders *h, const char *name);

/* Each may be NULL: not told. <data> is what spdy_set_data() remembered. */
typedef struct {
    /* The peer opened a stream. spdy_reply(), now or later, or spdy_reset(). NULL = all are refused. */
    void (*on_stream)(void *arg, SpdyStream *s, const SpdyHeaders *h);
    void (*on_reply)(void *arg, SpdyStream *s);
    void (*on_data)(void *arg, SpdyStream *s, const uint8_t *bytes, size_t n);
    /* The peer sends no more on it: it ended its half (status 0), or reset the stream. Told once. */
    void (*on_end)(void *arg, SpdyStream *s, uint32_t status);
    void (*on_goaway)(void *arg);
} SpdyOps;

Spdy *spdy_new(bool server, const SpdyOps *ops /* borrowed */, void *arg);
void spdy_free(Spdy *s); /* all of its streams are gone, nothing is called */
SCOPED_FN(spdy_free, Spdy *, NULL)

/* Bytes from the peer. Err: it breaks the protocol, the session is of no use any more. */
MUST_USE Err *spdy_recv(Spdy *s, const void *bytes, size_t n);
/* Appends all there is to send. */
void spdy_take(Spdy *s, Str *out);
/* Bytes that wait to be taken, or for a SYN_REPLY. */
size_t spdy_queued(const Spdy *s);
/* No new streams: the peer said GOAWAY, or the numbers are used up. */
bool spdy_going(const Spdy *s);
void spdy_ping(Spdy *s);
void spdy_goaway(Spdy *s);

/* A stream is the caller's until spdy_release() or spdy_reset(). NULL: there can be no more of them. */
MUST_USE SpdyStream *spdy_open(Spdy *s, const SpdyHeader *h, size_t n);
void spdy_reply(SpdyStream *s);
/* Copied; <fin> ends our half: later bytes are dropped. On a stream that the peer has reset it does nothing. */
void spdy_send(SpdyStream *s, const void *bytes, size_t n, bool fin);
/* Ends it in both directions at once, and releases it. */
void spdy_reset(SpdyStream *s, uint32_t status);
/* The caller is done with it: nothing is called any more. Our half is ended if it was not; what still comes is dropped. */
void spdy_release(SpdyStream *s);
void spdy_set_data(SpdyStream *s, void *data);
void *spdy_data(const SpdyStream *s);
uint32_t spdy_id(const SpdyStream *s);

#endif
