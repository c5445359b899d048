/* h2_priv.h - what both sides of a connection share above nghttp2: header fields, and the framing of messages: a flag,
 * the length in four bytes, the message (PROTOCOL-HTTP2.md, Length-Prefixed-Message). */
#ifndef REPRISE_GRPC_H2_PRIV_H
#define REPRISE_GRPC_H2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "base/str.h"

#define H2_FRAME_HEAD    5u
#define H2_STREAM_WINDOW ((int32_t)1 << 20) /* 16 MiB messages with few stops for WINDOW_UPDATE */
#define H2_CONN_WINDOW   ((int32_t)8 << 20)
#define H2_HEADER_LIST   16384u            /* what we say that we take; grpc-core's default is 8 KiB */
#define H2_SEND_CHUNK    ((size_t)256 << 10) /* taken from nghttp2 at once: the rest waits where it is bounded */

/* Appends one message with its head. */
void h2_frame_add(Str *to, const void *bytes, size_t n);

/* Messages as they come in: bytes are added, heads are looked at as soon as they are there. */
typedef enum {
    H2_FRAMES_FINE,
    H2_FRAMES_COMPRESSED, /* a flag that we never said we take */
    H2_FRAMES_TOO_BIG,    /* by its head: nothing is kept of it */
    H2_FRAMES_SECOND,     /* the message after the one that there may be */
} H2FramesState;
typedef struct {
    Str in;
    size_t next;  /* where the first head that has not been looked at begins; may lie behind what has come */
    size_t heads; /* looked at so far */
    size_t big;   /* the length that was too big */
} H2Frames;
H2FramesState h2_frames_add(H2Frames *f, const uint8_t *bytes, size_t n, size_t max, bool only_one);
/* The first whole message at <at>: its bytes (borrowed) and where the next begins; false = not there yet. */
bool h2_frames_get(const H2Frames *f, size_t at, const uint8_t **ret, size_t *ret_n);
/* Forgets the first <n> bytes, which are whole messages. */
void h2_frames_drop(H2Frames *f, size_t n);

/* nghttp2 copies both. */
nghttp2_nv h2_header(const char *name, const char *value);
bool h2_name_is(const uint8_t *name, size_t n, const char *want);
/* "application/grpc" and what may follow it: "+proto", ";charset=x". */
bool h2_is_grpc_type(const uint8_t *v, size_t n);
/* Decimal of at most <max>, else <otherwise>. */
int h2_number(const uint8_t *v, size_t n, int max, int otherwise);
/* The first SETTINGS and the connection's window. */
void h2_begin(nghttp2_session *session, uint32_t max_streams);
/* Appends what nghttp2 wants to send, up to about H2_SEND_CHUNK. */
int h2_send(nghttp2_session *session, Str *out);

#endif
