#include "stream/websocket.h"

#include <gnutls/crypto.h>
#include <sys/random.h>
#include <wslay/wslay.h>

#define MAX_PIECE   ((size_t)32 << 10)
#define END_CHANNEL 255u /* v5's CLOSE */

struct Websocket {
    WebsocketConfig c;
    wslay_event_context_ptr ctx;
    const uint8_t *in; /* what wslay is being fed */
    size_t n_in;
    Str out;
    size_t answers;
    bool freed;
    unsigned depth;
    /* The message under way. */
    bool control, fin; /* of the frame under way */
    bool named;        /* its channel has come */
    unsigned channel;
    uint32_t quantum;  /* base64: digits of the four that have come */
    unsigned n_quantum, n_pad;
    bool bad_base64;
    char *why;         /* what we found wrong ourselves */
    unsigned close;    /* the code of a close that waits for the data in front of it: wslay would send it first */
    char *close_reason;
};

/* --- base64 ------------------------------------------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_add(Str *to, const uint8_t *p, size_t n)
{
    for (; n; p += n < 3 ? n : 3, n -= n < 3 ? n : 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
        str_add_n(to, four, 4);
    }
}

/* Goes on where the last piece ended; w->bad_base64 when it is none. */
static void base64_read(Websocket *w, const uint8_t *p, size_t n, Str *to)
{
    for (size_t i = 0; i < n && !w->bad_base64; i++) {
        const char *at = p[i] ? strchr(digits, p[i]) : NULL;
        bool pad = p[i] == '=';
        w->bad_base64 = (!at && !pad) || (w->n_pad && !pad) || (pad && w->n_quantum < 2);
        w->n_pad += pad;
        w->quantum = w->quantum << 6 | (at ? (uint32_t)(at - digits) : 0);
        if (++w->n_quantum < 4)
            continue;
        uint8_t three[3] = {(uint8_t)(w->quantum >> 16), (uint8_t)(w->quantum >> 8), (uint8_t)w->quantum};
        str_add_n(to, three, w->n_pad > 2 ? 0 : 3 - w->n_pad);
        w->n_quantum = 0;
        w->quantum = 0;
    }
}

/* --- wslay's callbacks -------------------------------------------------------------------------------------------- */

static ssize_t on_feed(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
    Websocket *w = arg;
    (void)flags;
    if (!w->n_in || w->freed) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = w->n_in < len ? w->n_in : len;
    memcpy(buf, w->in, n);
    w->in += n;
    w->n_in -= n;
    return (ssize_t)n;
}

static ssize_t on_emit(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *arg)
{
    Websocket *w = arg;
    (void)ctx;
    (void)flags;
    str_add_n(&w->out, data, len);
    return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *arg)
{
    (void)ctx;
    (void)arg;
    return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

static void on_frame(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_start_arg *a, void *arg)
{
    Websocket *w = arg;
    (void)ctx;
    w->control = a->opcode >= WSLAY_CONNECTION_CLOSE;
    w->fin = a->fin;
    if (!w->control && a->opcode != WSLAY_CONTINUATION_FRAME) {
        w->named = w->c.mode == WEBSOCKET_RAW;
        w->channel = 0;
        w->quantum = w->n_quantum = w->n_pad = 0;
    }
}

/* Wrong above the frames: the connection ends with <code>. */
static void refuse(Websocket *w, unsigned code, const char *why)
{
    if (w->why)
        return;
    w->why = mem_dup_str(why);
    websocket_close(w, code, why);
    wslay_event_shutdown_read(w->ctx);
}

static void tell(Websocket *w, const uint8_t *bytes, size_t n, bool last)
{
    if (!w->c.ops->on_data || (!n && !last))
        return;
    w->c.ops->on_data(w->c.arg, w->channel, bytes, n, last);
}

static void tell_payload(Websocket *w, const uint8_t *p, size_t n, bool last)
{
    if (w->channel == END_CHANNEL && w->c.channels_end) {
        for (size_t i = 0; i < n && !w->freed; i++)
            if (w->c.ops->on_channel_end)
                w->c.ops->on_channel_end(w->c.arg, p[i]);
        return;
    }
    if (w->c.mode != WEBSOCKET_BASE64) {
        tell(w, p, n, last);
        return;
    }
    SCOPED(str_done) Str plain = {0};
    base64_read(w, p, n, &plain);
    if (w->bad_base64 || (last && w->n_quantum))
        refuse(w, 1007, "not base64");
    else
        tell(w, (const uint8_t *)str_or(plain.p, ""), plain.n, last);
}

static void on_chunk(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_chunk_arg *a, void *arg)
{
    Websocket *w = arg;
    const uint8_t *p = a->data;
    size_t n = a->data_length;
    (void)ctx;
    if (w->control || w->freed || w->why || !n)
        return;
    if (!w->named) {
        w->named = true;
        w->channel = w->c.mode == WEBSOCKET_BASE64 ? *p - (unsigned)'0' : *p;
        p++;
        n--;
        if (w->c.mode == WEBSOCKET_BASE64 && w->channel > 9) {
            refuse(w, 1002, "not a channel");
            return;
        }
    }
    if (n)
        tell_payload(w, p, n, false);
}

static void on_frame_end(wslay_event_context_ptr ctx, void *arg)
{
    Websocket *w = arg;
    (void)ctx;
    if (!w->control && w->fin && w->named && !w->freed && !w->why)
        tell_payload(w, (const uint8_t *)"", 0, true);
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *a, void *arg)
{
    Websocket *w = arg;
    (void)ctx;
    if (w->freed)
        return;
    if (a->opcode == WSLAY_PING)
        w->answers += a->msg_length + 6;
    if (a->opcode != WSLAY_CONNECTION_CLOSE || !w->c.ops->on_close)
        return;
    size_t skip = a->msg_length < 2 ? a->msg_length : 2;
    SCOPED(mem_free) char *reason = a->msg ? mem_dup_strn((const char *)a->msg + skip, a->msg_length - skip) : mem_dup_str("");
    w->c.ops->on_close(w->c.arg, a->status_code ? a->status_code : 1005, reason);
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

Websocket *websocket_new(const WebsocketConfig *c)
{
    static const struct wslay_event_callbacks callbacks = {on_feed, on_emit, on_mask, on_frame, on_chunk, on_frame_end, on_message};
    Websocket *w = NEW(Websocket);
    w->c = *c;
    int rc = c->server ? wslay_event_context_server_init(&w->ctx, &callbacks, w) : wslay_event_context_client_init(&w->ctx, &callbacks, w);
    if (rc)
        abort(); /* out of memory */
    wslay_event_config_set_no_buffering(w->ctx, 1);
    return w;
}

void websocket_free(Websocket *w)
{
    if (!w)
        return;
    w->freed = true;
    if (w->depth)
        return; /* websocket_recv() does it */
    wslay_event_context_free(w->ctx);
    str_done(&w->out);
    free(w->why);
    free(w->close_reason);
    free(w);
}

static void drain(Websocket *w)
{
    while (wslay_event_want_write(w->ctx))
        if (wslay_event_send(w->ctx))
            abort(); /* out of memory, or no random numbers */
}

/* All that wslay has queued becomes bytes at once: nothing waits in it. */
static void emit(Websocket *w)
{
    drain(w);
    if (!w->close)
        return;
    const char *reason = str_or(w->close_reason, "");
    size_t n = strlen(reason);
    if (wslay_event_queue_close(w->ctx, (uint16_t)w->close, (const uint8_t *)reason, n < 122 ? n : 122) == WSLAY_ERR_NOMEM)
        abort();
    w->close = 0;
    drain(w);
}

static Err *recv_all(Websocket *w, const void *bytes, size_t n)
{
    w->in = bytes;
    w->n_in = n;
    if (wslay_event_recv(w->ctx))
        return err_new(ERR_INVALID, 0, "WebSocket frame that breaks RFC 6455");
    if (w->freed)
        return NULL;
    emit(w);
    if (w->why)
        return err_new(ERR_INVALID, 0, "WebSocket message: %s", w->why);
    if (!wslay_event_get_read_enabled(w->ctx) && !wslay_event_get_close_received(w->ctx))
        return err_new(ERR_INVALID, 0, "WebSocket frame that breaks RFC 6455 (%u)", wslay_event_get_status_code_sent(w->ctx));
    if (w->answers > WEBSOCKET_MAX_ANSWERS)
        return err_new(ERR_LIMIT, 0, "the peer pings faster than it reads the answers");
    return NULL;
}

Err *websocket_recv(Websocket *w, const void *bytes, size_t n)
{
    w->depth++;
    Err *e = recv_all(w, bytes, n);
    w->depth--;
    if (w->freed && !w->depth)
        websocket_free(w);
    return e;
}

void websocket_take(Websocket *w, Str *out)
{
    if (!w->depth)
        emit(w);
    str_add_n(out, str_or(w->out.p, ""), w->out.n);
    if (w->out.cap > WEBSOCKET_MAX_ANSWERS)
        str_done(&w->out);
    str_clear(&w->out);
    w->answers = 0;
}

size_t websocket_queued(const Websocket *w)
{
    return w->out.n + wslay_event_get_queued_msg_length(w->ctx);
}

static void queue(Websocket *w, uint8_t opcode, const Str *m)
{
    const struct wslay_event_msg msg = {.opcode = opcode, .msg = (const uint8_t *)str_or(m->p, ""), .msg_length = m->n};
    int rc = wslay_event_queue_msg(w->ctx, &msg);
    if (rc == WSLAY_ERR_NOMEM)
        abort();
    if (!w->depth) /* wslay is not in the middle of something */
        emit(w);
}

void websocket_send(Websocket *w, unsigned channel, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    SCOPED(str_done) Str m = {0};
    if (w->close_reason)
        return;
    do {
        size_t piece = n < MAX_PIECE ? n : MAX_PIECE;
        str_clear(&m);
        if (w->c.mode == WEBSOCKET_BASE64) {
            str_add_c(&m, (char)('0' + channel));
            base64_add(&m, p, piece);
        } else {
            if (w->c.mode == WEBSOCKET_BINARY)
                str_add_c(&m, (char)channel);
            str_add_n(&m, p, piece);
        }
        queue(w, w->c.mode == WEBSOCKET_BASE64 ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, &m);
        p = piece ? p + piece : p;
        n -= piece;
    } while (n);
}

bool websocket_end(Websocket *w, unsigned channel)
{
    if (!w->c.channels_end || w->c.mode != WEBSOCKET_BINARY)
        return false;
    const char m = (char)channel;
    websocket_send(w, END_CHANNEL, &m, 1);
    return true;
}

void websocket_close(Websocket *w, unsigned code, const char *reason)
{
    if (w->close_reason)
        return;
    w->close = code;
    w->close_reason = mem_dup_str(reason);
    if (!w->depth)
        emit(w);
}

/* --- the handshake ------------------------------------------------------------------------------------------------ */

char *websocket_key(void)
{
    uint8_t key[16];
    Str s = {0};
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        abort();
    base64_add(&s, key, sizeof key);
    return str_take(&s);
}

char *websocket_accept(const char *key)
{
    uint8_t digest[20];
    SCOPED(mem_free) char *text = mem_fmt("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key); /* RFC 6455 1.3 */
    Str s = {0};
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, text, strlen(text), digest) != 0)
        abort();
    base64_add(&s, digest, sizeof digest);
    return str_take(&s);
}
