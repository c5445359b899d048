#include "stream/spdy.h"

#include <ctype.h>
#include <strings.h>
#include <zlib.h>

#include "stream/spdy_dict_priv.h"

#define VERSION     3u
#define FRAME_HEAD  8u
#define FLAG_FIN    1u
#define FLAG_UNI    2u /* SYN_STREAM: the opened side sends nothing */
#define MAX_ID      0x7fffffffu
#define MAX_HEADERS 256u
#define MAX_PIECE   ((size_t)32 << 10) /* of one DATA frame: as long as Go's io.Copy makes them */

enum { SYN_STREAM = 1, SYN_REPLY, RST_STREAM, SETTINGS, PING = 6, GOAWAY, HEADERS, WINDOW_UPDATE };

struct SpdyStream {
    Spdy *session;
    SpdyStream *next;
    void *data;
    uint32_t id;
    Str held; /* frames that wait for the SYN_REPLY */
    bool ours, replied, sent_fin, got_fin, released;
};

struct Spdy {
    const SpdyOps *ops;
    void *arg;
    bool server, goaway_sent, goaway_got, freed;
    unsigned depth; /* of spdy_recv() */
    SpdyStream *streams;
    size_t n_streams;
    uint32_t next_id, next_ping, last_peer_id;
    z_stream pack, unpack;
    Str out, block;   /* block: headers, unpacked */
    size_t held;
    size_t answers; /* bytes that the peer's frames alone made us send, not taken yet */
    /* The frame under way. */
    uint8_t head[FRAME_HEAD];
    size_t n_head;
    Str control;      /* its body, when it is a control frame */
    size_t left;      /* bytes of its body that have not come */
};

static uint32_t get32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put32(Str *s, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    str_add_n(s, b, sizeof b);
}

static void put_control(Str *s, unsigned type, unsigned flags, size_t n)
{
    put32(s, 0x80000000u | VERSION << 16 | type);
    put32(s, flags << 24 | (uint32_t)n);
}

const char *spdy_header(const SpdyHeaders *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcasecmp(h->v[i].name, name) == 0)
            return h->v[i].value;
    return NULL;
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

static void put_text(Str *s, const char *text, bool lower)
{
    size_t n = strlen(text);
    put32(s, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        str_add_c(s, lower ? (char)tolower((unsigned char)text[i]) : text[i]);
}

/* One zlib stream for the whole session, flushed behind each block so that the peer can read it. */
static void pack_headers(Spdy *s, const SpdyHeader *h, size_t n, Str *packed)
{
    SCOPED(str_done) Str plain = {0};
    put32(&plain, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        put_text(&plain, h[i].name, true);
        put_text(&plain, h[i].value, false);
    }
    uint8_t buf[4096];
    s->pack.next_in = (Bytef *)plain.p;
    s->pack.avail_in = (uInt)plain.n;
    do {
        s->pack.next_out = buf;
        s->pack.avail_out = sizeof buf;
        if (deflate(&s->pack, Z_SYNC_FLUSH) == Z_STREAM_ERROR)
            abort(); /* cannot be: its state is ours alone */
        str_add_n(packed, buf, sizeof buf - s->pack.avail_out);
    } while (s->pack.avail_out == 0);
}

static Err *unpack_headers(Spdy *s, const char *bytes, size_t n)
{
    uint8_t buf[4096];
    SCOPED(mem_free) Bytef *in = mem_dup(bytes, n); /* zlib's next_in is not const in every version */
    s->unpack.next_in = in;
    s->unpack.avail_in = (uInt)n;
    str_clear(&s->block);
    for (;;) {
        s->unpack.next_out = buf;
        s->unpack.avail_out = sizeof buf;
        int rc = inflate(&s->unpack, Z_SYNC_FLUSH);
        if (rc == Z_NEED_DICT) {
            if (inflateSetDictionary(&s->unpack, (const Bytef *)spdy_dictionary, (uInt)SPDY_DICTIONARY_N) != Z_OK)
                return err_new(ERR_INVALID, 0, "headers are packed with another dictionary than SPDY/3's");
            continue;
        }
        str_add_n(&s->block, buf, sizeof buf - s->unpack.avail_out);
        if (s->block.n > SPDY_MAX_CONTROL)
            return err_new(ERR_LIMIT, 0, "headers of more than %zu bytes", SPDY_MAX_CONTROL);
        if (rc == Z_BUF_ERROR || (rc == Z_OK && s->unpack.avail_in == 0 && s->unpack.avail_out > 0))
            return NULL;
        if (rc != Z_OK)
            return err_new(ERR_INVALID, 0, "headers cannot be unpacked");
    }
}

/* A text of <block> at *at, NUL-terminated in place over what follows it, which was read already. */
static bool take_text(Str *block, size_t *at, char **ret)
{
    if (block->n - *at < 4)
        return false;
    size_t n = get32(block->p + *at);
    if (n > block->n - *at - 4)
        return false;
    *ret = block->p + *at;
    memmove(*ret, *ret + 4, n); /* over its length: room for the NUL */
    (*ret)[n] = '\0';
    *at += 4 + n;
    return true;
}

/* s->block becomes the texts that <h> points to. <h> has room for MAX_HEADERS. */
static Err *parse_headers(Spdy *s, SpdyHeader *h, size_t *ret_n)
{
    size_t at = 4;
    uint32_t n = s->block.n >= 4 ? get32(s->block.p) : UINT32_MAX;
    if (n > MAX_HEADERS)
        return err_new(n == UINT32_MAX ? ERR_INVALID : ERR_LIMIT, 0, "header block is torn or has too many headers");
    for (uint32_t i = 0; i < n; i++) {
        char *name, *value;
        if (!take_text(&s->block, &at, &name) || !take_text(&s->block, &at, &value) || !*name)
            return err_new(ERR_INVALID, 0, "header block is torn");
        h[i] = (SpdyHeader){name, value};
    }
    *ret_n = n;
    return NULL;
}

/* --- session ------------------------------------------------------------------------------------------------------ */

Spdy *spdy_new(bool server, const SpdyOps *ops, void *arg)
{
    Spdy *s = NEW(Spdy);
    s->ops = ops;
    s->arg = arg;
    s->server = server;
    s->next_id = s->next_ping = server ? 2 : 1;
    /* A small window and little memory: headers are short. The dictionary has to fit in: 2 KiB do. */
    if (deflateInit2(&s->pack, Z_BEST_COMPRESSION, Z_DEFLATED, 11, 4, Z_DEFAULT_STRATEGY) != Z_OK || inflateInit(&s->unpack) != Z_OK ||
        deflateSetDictionary(&s->pack, (const Bytef *)spdy_dictionary, (uInt)SPDY_DICTIONARY_N) != Z_OK)
        abort(); /* out of memory */
    return s;
}

static void stream_free(SpdyStream *t)
{
    str_done(&t->held);
    free(t);
}

void spdy_free(Spdy *s)
{
    if (!s)
        return;
    s->freed = true;
    if (s->depth)
        return; /* spdy_recv() does it */
    while (s->streams) {
        SpdyStream *t = s->streams;
        s->streams = t->next;
        stream_free(t);
    }
    (void)deflateEnd(&s->pack);
    (void)inflateEnd(&s->unpack);
    str_done(&s->out);
    str_done(&s->block);
    str_done(&s->control);
    free(s);
}

static SpdyStream *stream_find(const Spdy *s, uint32_t id)
{
    for (SpdyStream *t = s->streams; t; t = t->next)
        if (t->id == id)
            return t;
    return NULL;
}

static SpdyStream *stream_add(Spdy *s, uint32_t id, bool ours)
{
    SpdyStream *t = NEW(SpdyStream);
    *t = (SpdyStream){.session = s, .next = s->streams, .id = id, .ours = ours};
    s->streams = t;
    s->n_streams++;
    return t;
}

/* Forgets it if both halves have ended and nobody holds it. */
static void stream_sweep(SpdyStream *t)
{
    if (!t->released || !t->sent_fin || !t->got_fin || t->held.n)
        return;
    Spdy *s = t->session;
    for (SpdyStream **p = &s->streams; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            s->n_streams--;
            stream_free(t);
            return;
        }
}

static void drop_held(SpdyStream *t)
{
    t->session->held -= t->held.n;
    str_done(&t->held);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

void spdy_take(Spdy *s, Str *out)
{
    str_add_n(out, str_or(s->out.p, ""), s->out.n);
    if (s->out.cap > SPDY_MAX_ANSWERS)
        str_done(&s->out);
    str_clear(&s->out);
    s->answers = 0;
}

size_t spdy_queued(const Spdy *s)
{
    return s->out.n + s->held;
}

bool spdy_going(const Spdy *s)
{
    return s->goaway_got || s->goaway_sent || s->next_id > MAX_ID;
}

void spdy_ping(Spdy *s)
{
    put_control(&s->out, PING, 0, 4);
    put32(&s->out, s->next_ping);
    s->next_ping = s->next_ping + 2 > MAX_ID ? (s->server ? 2 : 1) : s->next_ping + 2;
}

void spdy_goaway(Spdy *s)
{
    if (s->goaway_sent)
        return;
    s->goaway_sent = true;
    put_control(&s->out, GOAWAY, 0, 8);
    put32(&s->out, s->last_peer_id);
    put32(&s->out, 0);
}

/* What is sent from within a callback is the peer's doing: it must not be able to make our memory grow. */
static void count_answer(Spdy *s, size_t n)
{
    if (s->depth)
        s->answers += n;
}

static void put_reset(Spdy *s, uint32_t id, uint32_t status)
{
    put_control(&s->out, RST_STREAM, 0, 8);
    put32(&s->out, id);
    put32(&s->out, status);
    count_answer(s, 16);
}

SpdyStream *spdy_open(Spdy *s, const SpdyHeader *h, size_t n)
{
    if (spdy_going(s) || s->n_streams >= SPDY_MAX_STREAMS)
        return NULL;
    SpdyStream *t = stream_add(s, s->next_id, true);
    s->next_id += 2;
    SCOPED(str_done) Str packed = {0};
    pack_headers(s, h, n, &packed);
    put_control(&s->out, SYN_STREAM, 0, 10 + packed.n);
    put32(&s->out, t->id);
    put32(&s->out, 0);             /* no associated stream */
    str_add_n(&s->out, "\0\0", 2); /* priority 0, slot 0: as spdystream */
    str_add_n(&s->out, packed.p, packed.n);
    return t;
}

static void release_held(SpdyStream *t)
{
    str_add_n(&t->session->out, str_or(t->held.p, ""), t->held.n);
    drop_held(t);
}

void spdy_reply(SpdyStream *t)
{
    Spdy *s = t->session;
    if (t->ours || t->replied || (t->sent_fin && !t->held.n))
        return;
    t->replied = true;
    SCOPED(str_done) Str packed = {0};
    pack_headers(s, NULL, 0, &packed);
    put_control(&s->out, SYN_REPLY, 0, 4 + packed.n);
    put32(&s->out, t->id);
    str_add_n(&s->out, packed.p, packed.n);
    count_answer(s, 12 + packed.n);
    release_held(t);
}

void spdy_send(SpdyStream *t, const void *bytes, size_t n, bool fin)
{
    Spdy *s = t->session;
    Str *to = t->replied ? &s->out : &t->held;
    size_t before = t->held.n;
    const char *p = bytes;
    if (t->sent_fin || (!n && !fin))
        return;
    if (!n)
        count_answer(s, FRAME_HEAD);
    do {
        size_t piece = n < MAX_PIECE ? n : MAX_PIECE;
        put32(to, t->id);
        put32(to, (uint32_t)piece | (fin && piece == n ? FLAG_FIN << 24 : 0));
        str_add_n(to, p, piece);
        p = piece ? p + piece : p;
        n -= piece;
    } while (n);
    t->sent_fin = fin;
    s->held += t->held.n - before;
}

void spdy_reset(SpdyStream *t, uint32_t status)
{
    if (!(t->sent_fin && t->got_fin && !t->held.n))
        put_reset(t->session, t->id, status);
    drop_held(t);
    t->sent_fin = t->got_fin = t->released = true;
    stream_sweep(t);
}

void spdy_release(SpdyStream *t)
{
    if (!t->ours && !t->replied && !t->sent_fin) { /* never answered: no */
        spdy_reset(t, SPDY_REFUSED_STREAM);
        return;
    }
    spdy_send(t, NULL, 0, true);
    t->released = true;
    stream_sweep(t);
}

void spdy_set_data(SpdyStream *t, void *data)
{
    t->data = data;
}

void *spdy_data(const SpdyStream *t)
{
    return t->data;
}

uint32_t spdy_id(const SpdyStream *t)
{
    return t->id;
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static Err *torn(const char *frame)
{
    return err_new(ERR_INVALID, 0, "%s frame of a wrong length", frame);
}

/* The peer sends no more on <t>. */
static void stream_ended(SpdyStream *t, uint32_t status)
{
    Spdy *s = t->session;
    bool first = !t->got_fin;
    t->got_fin = true;
    if (status) {
        t->sent_fin = true;
        drop_held(t);
    }
    if (first && !t->released && s->ops->on_end)
        s->ops->on_end(s->arg, t, status); /* may release it: */
    else
        stream_sweep(t);
}

static Err *on_syn_stream(Spdy *s, unsigned flags)
{
    SpdyHeader h[MAX_HEADERS];
    size_t n;
    if (s->control.n < 10)
        return torn("SYN_STREAM");
    uint32_t id = get32(s->control.p) & MAX_ID;
    Err *e = unpack_headers(s, s->control.p + 10, s->control.n - 10); /* in any case: it is one stream of bytes */
    e = e ? e : parse_headers(s, h, &n);
    if (e)
        return e;
    if (id == 0)
        return err_new(ERR_INVALID, 0, "stream with the number 0");
    uint32_t refuse = 0;
    if ((id & 1) == (s->server ? 0u : 1u) || id <= s->last_peer_id)
        refuse = SPDY_PROTOCOL_ERROR;
    else if (s->n_streams >= SPDY_MAX_STREAMS || s->goaway_sent || !s->ops->on_stream)
        refuse = SPDY_REFUSED_STREAM;
    if (refuse != SPDY_PROTOCOL_ERROR)
        s->last_peer_id = id;
    if (refuse) {
        put_reset(s, id, refuse);
        return NULL;
    }
    SpdyStream *t = stream_add(s, id, false);
    t->sent_fin = flags & FLAG_UNI;
    s->ops->on_stream(s->arg, t, &(SpdyHeaders){h, n});
    if ((flags & FLAG_FIN) && !s->freed && (t = stream_find(s, id)))
        stream_ended(t, 0);
    return NULL;
}

/* SYN_REPLY and HEADERS: nobody here needs what they say. */
static Err *on_headers(Spdy *s, unsigned type, unsigned flags)
{
    if (s->control.n < 4)
        return torn(type == SYN_REPLY ? "SYN_REPLY" : "HEADERS");
    SpdyHeader h[MAX_HEADERS];
    size_t n;
    uint32_t id = get32(s->control.p) & MAX_ID;
    Err *e = unpack_headers(s, s->control.p + 4, s->control.n - 4);
    e = e ? e : parse_headers(s, h, &n);
    SpdyStream *t = e ? NULL : stream_find(s, id);
    if (!t)
        return e;
    if (type == SYN_REPLY && t->ours && !t->replied) {
        t->replied = true;
        release_held(t);
        if (!t->released && s->ops->on_reply)
            s->ops->on_reply(s->arg, t);
        else
            stream_sweep(t);
        t = s->freed ? NULL : stream_find(s, id);
    }
    if (t && (flags & FLAG_FIN))
        stream_ended(t, 0);
    return NULL;
}

static Err *on_control(Spdy *s, unsigned type, unsigned flags)
{
    const Str *c = &s->control;
    SpdyStream *t;
    switch (type) {
    case SYN_STREAM:
        return on_syn_stream(s, flags);
    case SYN_REPLY:
    case HEADERS:
        return on_headers(s, type, flags);
    case RST_STREAM:
        if (c->n != 8)
            return torn("RST_STREAM");
        t = stream_find(s, get32(c->p) & MAX_ID);
        if (t)
            stream_ended(t, get32(c->p + 4) ? get32(c->p + 4) : SPDY_PROTOCOL_ERROR);
        return NULL;
    case PING:
        if (c->n != 4)
            return torn("PING");
        if ((get32(c->p) & 1) != (s->server ? 0u : 1u)) { /* the peer's, not an answer to ours */
            put_control(&s->out, PING, 0, 4);
            str_add_n(&s->out, c->p, 4);
            count_answer(s, 12);
        }
        return NULL;
    case GOAWAY:
        if (c->n != 8)
            return torn("GOAWAY");
        if (!s->goaway_got && s->ops->on_goaway) {
            s->goaway_got = true;
            s->ops->on_goaway(s->arg);
        }
        s->goaway_got = true;
        return NULL;
    case SETTINGS:
        return NULL;
    case WINDOW_UPDATE:
        return c->n == 8 ? NULL : torn("WINDOW_UPDATE");
    default:
        return err_new(ERR_INVALID, 0, "frame of the unknown type %u", type);
    }
}

static Err *frame_begins(Spdy *s)
{
    s->left = get32(s->head + 4) & 0xffffff;
    str_clear(&s->control);
    if (!(s->head[0] & 0x80))
        return get32(s->head) == 0 ? err_new(ERR_INVALID, 0, "data of a stream with the number 0") : NULL;
    if ((get32(s->head) >> 16 & 0x7fff) != VERSION)
        return err_new(ERR_INVALID, 0, "not SPDY version 3");
    if (s->left > SPDY_MAX_CONTROL)
        return err_new(ERR_LIMIT, 0, "control frame of %zu bytes", s->left);
    return NULL;
}

static Err *frame_ends(Spdy *s)
{
    uint32_t word = get32(s->head);
    unsigned flags = s->head[4];
    s->n_head = 0;
    if (word & 0x80000000u) {
        Err *e = on_control(s, word & 0xffff, flags);
        if (!e && s->answers > SPDY_MAX_ANSWERS)
            e = err_new(ERR_LIMIT, 0, "the peer asks faster than it reads the answers");
        return e;
    }
    SpdyStream *t = flags & FLAG_FIN ? stream_find(s, word) : NULL;
    if (t)
        stream_ended(t, 0);
    return NULL;
}

static void on_data(Spdy *s, const uint8_t *bytes, size_t n)
{
    SpdyStream *t = stream_find(s, get32(s->head));
    if (t && !t->got_fin && !t->released && s->ops->on_data)
        s->ops->on_data(s->arg, t, bytes, n); /* else it is gone, or we do not care: dropped, as spdystream does */
}

static Err *recv_some(Spdy *s, const uint8_t *p, size_t n)
{
    while (!s->freed) {
        if (s->n_head < FRAME_HEAD) {
            if (!n)
                return NULL;
            s->head[s->n_head++] = *p++;
            n--;
            Err *e = s->n_head == FRAME_HEAD ? frame_begins(s) : NULL;
            if (e)
                return e;
            continue;
        }
        size_t piece = s->left < n ? s->left : n;
        if (s->left && !piece)
            return NULL;
        s->left -= piece;
        if (s->head[0] & 0x80)
            str_add_n(&s->control, p, piece);
        else if (piece)
            on_data(s, p, piece);
        p += piece;
        n -= piece;
        Err *e = s->left || s->freed ? NULL : frame_ends(s);
        if (e)
            return e;
    }
    return NULL;
}

Err *spdy_recv(Spdy *s, const void *bytes, size_t n)
{
    s->depth++;
    Err *e = recv_some(s, bytes, n);
    s->depth--;
    if (s->freed && !s->depth)
        spdy_free(s);
    return e;
}
