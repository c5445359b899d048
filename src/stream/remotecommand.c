#include "stream/remotecommand.h"

#include "stream/upgrade.h"
#include "wire/json.h"

#define MAX_STATUS ((size_t)64 << 10)
#define MAX_SIZE   ((size_t)4 << 10) /* a terminal size that has not come whole */

const RemoteProtocol remote_protocols[] = {
    {"v5.channel.k8s.io", 5, true, true, false},         {"v4.channel.k8s.io", 4, true, true, false},
    {"v4.base64.channel.k8s.io", 4, false, true, true},  {"v3.channel.k8s.io", 3, true, false, false},
    {"v2.channel.k8s.io", 2, true, false, false},        {"channel.k8s.io", 1, true, true, false},
    {"base64.channel.k8s.io", 1, false, true, true},
};
const size_t n_remote_protocols = ARRAY_LEN(remote_protocols);

static const char *const stream_types[REMOTE_N] = {"stdin", "stdout", "stderr", "error", "resize"};

typedef struct {
    SpdyStream *spdy;
    bool wanted, there;   /* there: opened by the client, or replied to by the server */
    bool sent_end, told_end;
} Part;

struct Remote {
    RemoteConfig c;
    Spdy *spdy;
    Websocket *ws;
    Part part[REMOTE_N];
    Str error, size; /* what has come of them */
    bool ready, over, freed;
    bool error_cut; /* the error stream was reset, not ended */
    unsigned depth;
};

static const RemoteStatus lost = {REMOTE_LOST, 0, "lost connection to the container"};

static bool speaks(const RemoteProtocol *p, bool websocket)
{
    return websocket ? p->websocket : p->spdy;
}

const RemoteProtocol *remote_protocol(const char *name, bool websocket)
{
    for (size_t i = 0; i < n_remote_protocols; i++)
        if (speaks(&remote_protocols[i], websocket) && str_eq(remote_protocols[i].name, *name ? name : "channel.k8s.io"))
            return &remote_protocols[i];
    return NULL;
}

const RemoteProtocol *remote_protocol_choose(const char *offered, bool websocket)
{
    if (!*offered)
        return remote_protocol("", websocket);
    for (size_t i = 0; i < n_remote_protocols; i++)
        if (speaks(&remote_protocols[i], websocket) && upgrade_offers(offered, remote_protocols[i].name))
            return &remote_protocols[i];
    return NULL;
}

/* --- what both carriers tell -------------------------------------------------------------------------------------- */

/* Which streams a peer of ours sends on. */
static bool incoming(const Remote *r, RemoteStream which)
{
    bool from_client = which == REMOTE_STDIN || which == REMOTE_RESIZE;
    return r->c.server == from_client;
}

static void tell_ready(Remote *r)
{
    for (size_t i = 0; i < REMOTE_N; i++)
        if (r->part[i].wanted && !r->part[i].there)
            return;
    if (!r->ready && r->c.ops->on_ready) {
        r->ready = true;
        r->c.ops->on_ready(r->c.arg);
    }
    r->ready = true;
}

static void tell_end(Remote *r, RemoteStream which)
{
    Part *p = &r->part[which];
    bool first = p->wanted && !p->told_end && which <= REMOTE_STDERR;
    p->told_end = true;
    if (first && r->c.ops->on_end && !r->freed)
        r->c.ops->on_end(r->c.arg, which);
}

static void tell_status(Remote *r, const RemoteStatus *s)
{
    if (r->over || r->c.server)
        return;
    r->over = true;
    if (r->c.ops->on_status)
        r->c.ops->on_status(r->c.arg, s);
}

static void read_status(Remote *r)
{
    SCOPED(mem_free) char *text = NULL;
    if (r->error_cut && !r->error.n && r->c.protocol->version >= 4) { /* since v4, success is said */
        tell_status(r, &lost);
        return;
    }
    RemoteStatus s = remote_status_read(r->c.protocol->version, str_or(r->error.p, ""), r->error.n, &text);
    tell_status(r, &s);
}

/* The end is known when the error stream has ended, and told when all output has. */
static void maybe_status(Remote *r)
{
    const Part *out = &r->part[REMOTE_STDOUT], *err = &r->part[REMOTE_STDERR];
    if (!r->c.server && !r->freed && r->part[REMOTE_ERROR].told_end && (!out->wanted || out->told_end) && (!err->wanted || err->told_end))
        read_status(r);
}

static int64_t side_of(const json_t *o, const char *key, const char *other)
{
    int64_t v = json_i64(o, key, json_i64(o, other, 0));
    return v < 0 ? 0 : v > UINT16_MAX ? UINT16_MAX : v;
}

/* {"Width":80,"Height":24}, one after the other, in pieces. */
static void read_sizes(Remote *r, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n && !r->freed; i++) {
        if (r->size.n < MAX_SIZE)
            str_add_c(&r->size, (char)bytes[i]);
        if (bytes[i] != '}')
            continue;
        SCOPED(json_unref) json_t *o = NULL;
        SCOPED(err_free) Err *e = json_parse(r->size.p, r->size.n, &o);
        str_clear(&r->size);
        int64_t w = e ? 0 : side_of(o, "Width", "width"), h = e ? 0 : side_of(o, "Height", "height");
        if (w > 0 && h > 0 && r->c.ops->on_resize)
            r->c.ops->on_resize(r->c.arg, (unsigned)w, (unsigned)h);
    }
}

static void tell_data(Remote *r, RemoteStream which, const uint8_t *bytes, size_t n)
{
    if (!incoming(r, which) || !r->part[which].wanted || r->part[which].told_end)
        return;
    if (which == REMOTE_RESIZE)
        read_sizes(r, bytes, n);
    else if (which == REMOTE_ERROR)
        str_add_n(&r->error, bytes, r->error.n + n > MAX_STATUS ? 0 : n);
    else if (n && r->c.ops->on_data)
        r->c.ops->on_data(r->c.arg, which, bytes, n);
}

/* --- SPDY --------------------------------------------------------------------------------------------------------- */

static Part *part_of(Remote *r, const SpdyStream *s)
{
    for (size_t i = 0; i < REMOTE_N; i++)
        if (r->part[i].spdy == s)
            return &r->part[i];
    return NULL;
}

static void on_stream(void *arg, SpdyStream *s, const SpdyHeaders *h)
{
    Remote *r = arg;
    const char *type = str_or(spdy_header(h, "streamType"), "");
    for (size_t i = 0; i < REMOTE_N; i++) {
        Part *p = &r->part[i];
        if (!str_eq(type, stream_types[i]) || !p->wanted || p->there)
            continue;
        p->spdy = s;
        p->there = true;
        spdy_reply(s);
        tell_ready(r);
        return;
    }
    spdy_reset(s, SPDY_REFUSED_STREAM);
}

static void on_reply(void *arg, SpdyStream *s)
{
    Remote *r = arg;
    Part *p = part_of(r, s);
    if (p) {
        p->there = true;
        tell_ready(r);
    }
}

static void on_spdy_data(void *arg, SpdyStream *s, const uint8_t *bytes, size_t n)
{
    Remote *r = arg;
    Part *p = part_of(r, s);
    if (p)
        tell_data(r, (RemoteStream)(p - r->part), bytes, n);
}

static void on_spdy_end(void *arg, SpdyStream *s, uint32_t status)
{
    Remote *r = arg;
    Part *p = part_of(r, s);
    if (!p)
        return;
    RemoteStream which = (RemoteStream)(p - r->part);
    if (!incoming(r, which) && !status)
        return; /* the other half, which nobody uses, has ended: apimachinery's clients do that */
    if (status) {
        p->spdy = NULL;
        spdy_release(s);
        r->error_cut = r->error_cut || which == REMOTE_ERROR;
    }
    tell_end(r, which);
    if (!r->freed)
        maybe_status(r);
}

static const SpdyOps spdy_ops = {.on_stream = on_stream, .on_reply = on_reply, .on_data = on_spdy_data, .on_end = on_spdy_end};
static const SpdyOps spdy_client_ops = {.on_reply = on_reply, .on_data = on_spdy_data, .on_end = on_spdy_end};

static void open_streams(Remote *r)
{
    static const RemoteStream order[] = {REMOTE_ERROR, REMOTE_STDIN, REMOTE_STDOUT, REMOTE_STDERR, REMOTE_RESIZE}; /* client-go's */
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        Part *p = &r->part[order[i]];
        const SpdyHeader h = {"streamType", stream_types[order[i]]};
        if (!p->wanted)
            continue;
        p->spdy = spdy_open(r->spdy, &h, 1);
        if (order[i] == REMOTE_ERROR && p->spdy)
            spdy_send(p->spdy, NULL, 0, true); /* nothing is written to it by a client */
    }
}

/* --- WebSocket ---------------------------------------------------------------------------------------------------- */

static void on_ws_data(void *arg, unsigned channel, const uint8_t *bytes, size_t n, bool last)
{
    Remote *r = arg;
    if (channel >= REMOTE_N)
        return;
    if (!r->c.server && !r->ready)
        tell_ready(r);
    if (!r->freed)
        tell_data(r, (RemoteStream)channel, bytes, n);
    /* All that was sent before it has come before it. What is no whole Status goes on, or ends with the connection. */
    SCOPED(json_unref) json_t *whole = NULL;
    if (r->freed || !last || channel != REMOTE_ERROR || !r->error.n || r->c.server || r->c.protocol->version < 4)
        return;
    SCOPED(err_free) Err *e = json_parse(r->error.p, r->error.n, &whole);
    if (!e)
        read_status(r);
}

static void on_channel_end(void *arg, unsigned channel)
{
    Remote *r = arg;
    if (channel < REMOTE_N && incoming(r, (RemoteStream)channel))
        tell_end(r, (RemoteStream)channel);
}

static void on_close(void *arg, unsigned code, const char *reason)
{
    Remote *r = arg;
    (void)code;
    (void)reason;
    remote_lost(r);
}

static const WebsocketOps ws_ops = {on_ws_data, on_channel_end, on_close};

/* --- the interface ------------------------------------------------------------------------------------------------ */

Remote *remote_new(const RemoteConfig *c)
{
    Remote *r = NEW(Remote);
    r->c = *c;
    r->part[REMOTE_ERROR].wanted = true;
    r->part[REMOTE_STDIN].wanted = c->stdin_;
    r->part[REMOTE_STDOUT].wanted = c->stdout_;
    r->part[REMOTE_STDERR].wanted = c->stderr_ && !c->tty;
    r->part[REMOTE_RESIZE].wanted = c->tty && c->protocol->version >= 3;
    if (c->websocket) {
        const WebsocketConfig w = {.server = c->server, .mode = c->protocol->base64 ? WEBSOCKET_BASE64 : WEBSOCKET_BINARY,
                                   .channels_end = c->protocol->version >= 5, .ops = &ws_ops, .arg = r};
        r->ws = websocket_new(&w);
        r->part[REMOTE_RESIZE].wanted = c->tty;
        for (size_t i = 0; i < REMOTE_N; i++)
            r->part[i].there = r->part[i].wanted;
        if (c->server) /* tells the client that it may begin: the kubelet's createWebSocketStreams() */
            websocket_send(r->ws, c->stdout_ ? REMOTE_STDOUT : c->stderr_ ? REMOTE_STDERR : REMOTE_ERROR, NULL, 0);
        return r;
    }
    r->spdy = spdy_new(c->server, c->server ? &spdy_ops : &spdy_client_ops, r);
    if (!c->server)
        open_streams(r);
    return r;
}

void remote_free(Remote *r)
{
    if (!r)
        return;
    r->freed = true;
    spdy_free(MOVE(r->spdy, NULL)); /* at once: nothing more is to be told */
    websocket_free(MOVE(r->ws, NULL));
    if (r->depth)
        return; /* remote_recv() and remote_lost() do the rest */
    str_done(&r->error);
    str_done(&r->size);
    free(r);
}

static void leave(Remote *r)
{
    r->depth--;
    if (r->freed)
        remote_free(r);
}

Err *remote_recv(Remote *r, const void *bytes, size_t n)
{
    r->depth++;
    if (r->c.websocket && r->c.server && !r->ready)
        tell_ready(r);
    Err *e = r->freed ? NULL : r->spdy ? spdy_recv(r->spdy, bytes, n) : websocket_recv(r->ws, bytes, n);
    leave(r);
    return e;
}

void remote_lost(Remote *r)
{
    static const RemoteStream streams[] = {REMOTE_STDIN, REMOTE_STDOUT, REMOTE_STDERR};
    r->depth++;
    for (size_t i = 0; i < ARRAY_LEN(streams) && !r->freed; i++)
        tell_end(r, streams[i]);
    if (!r->freed && !r->over && !r->c.server) {
        r->error_cut = r->error_cut || !r->part[REMOTE_ERROR].told_end;
        read_status(r);
    }
    leave(r);
}

void remote_take(Remote *r, Str *out)
{
    if (r->spdy)
        spdy_take(r->spdy, out);
    else
        websocket_take(r->ws, out);
}

size_t remote_queued(const Remote *r)
{
    return r->spdy ? spdy_queued(r->spdy) : websocket_queued(r->ws);
}

bool remote_over(const Remote *r)
{
    return r->over;
}

static void part_write(Remote *r, RemoteStream which, const void *bytes, size_t n)
{
    Part *p = &r->part[which];
    if (!p->wanted || p->sent_end || !n)
        return;
    if (r->ws)
        websocket_send(r->ws, which, bytes, n);
    else if (p->spdy)
        spdy_send(p->spdy, bytes, n, false);
}

void remote_write(Remote *r, RemoteStream which, const void *bytes, size_t n)
{
    if (!incoming(r, which) && which <= REMOTE_STDERR)
        part_write(r, which, bytes, n);
}

bool remote_end(Remote *r, RemoteStream which)
{
    Part *p = &r->part[which];
    if (!p->wanted || p->sent_end || incoming(r, which))
        return true;
    if (r->ws && !r->c.server && !websocket_end(r->ws, which))
        return false; /* a server's outputs end with the status */
    p->sent_end = true;
    if (p->spdy)
        spdy_send(p->spdy, NULL, 0, true);
    return true;
}

void remote_resize(Remote *r, unsigned width, unsigned height)
{
    if (r->c.server || r->over)
        return;
    SCOPED(mem_free) char *text = mem_fmt("{\"Width\":%u,\"Height\":%u}\n", width, height);
    part_write(r, REMOTE_RESIZE, text, strlen(text));
}

void remote_finish(Remote *r, const RemoteStatus *s)
{
    if (!r->c.server || r->over)
        return;
    r->over = true;
    (void)remote_end(r, REMOTE_STDOUT);
    (void)remote_end(r, REMOTE_STDERR);
    SCOPED(mem_free) char *text = remote_status_text(r->c.protocol->version, s);
    part_write(r, REMOTE_ERROR, text, strlen(text));
    if (r->ws) {
        websocket_close(r->ws, 1000, "");
        return;
    }
    for (size_t i = 0; i < REMOTE_N; i++)
        if (r->part[i].spdy)
            spdy_release(MOVE(r->part[i].spdy, NULL));
    spdy_goaway(r->spdy);
}
