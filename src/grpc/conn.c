#include "grpc/conn.h"

#include <stdio.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "grpc/h2_priv.h"

typedef TAILQ_HEAD(Streams, GrpcStream) Streams;

struct GrpcConn {
    nghttp2_session *session;
    char *authority, *user_agent;
    size_t max_message;
    Streams all;   /* not answered yet */
    Streams ready; /* of those: with something to deliver */
    Streams gone;  /* given up within a callback: someone may still look at the bytes */
    size_t n_calls;
    bool settings, delivering, freed;
    char *goaway; /* what it said; NULL = none has come */
    unsigned idle_pings;
    char *broken; /* nghttp2's word on what the peer did wrong; NULL = nothing */
};

struct GrpcStream {
    TAILQ_ENTRY(GrpcStream) all;
    TAILQ_ENTRY(GrpcStream) ready;
    GrpcConn *conn;
    int32_t id; /* 0 = nghttp2 knows it no more */
    GrpcMessage *message;
    GrpcDone *done;
    void *arg;
    Str request; /* framed */
    size_t sent;
    H2Frames in;
    int http_status; /* 0 = none yet */
    bool grpc_type;  /* content-type is application/grpc */
    int code;        /* grpc-status, then what done() is told; -1 = none yet */
    Str text;        /* the same of grpc-message */
    bool ended, is_ready, gone;
};

/* --- streams ------------------------------------------------------------------------------------------------------ */

static void stream_free(GrpcStream *s)
{
    str_done(&s->request);
    str_done(&s->in.in);
    str_done(&s->text);
    free(s);
}

static void stream_ready(GrpcStream *s)
{
    if (!s->is_ready)
        TAILQ_INSERT_TAIL(&s->conn->ready, s, ready);
    s->is_ready = true;
}

/* nghttp2 forgets our stream; <error>: the peer is told with it, NGHTTP2_NO_ERROR: it knows. */
static void stream_detach(GrpcStream *s, uint32_t error)
{
    if (!s->id)
        return;
    (void)nghttp2_session_set_stream_user_data(s->conn->session, s->id, NULL);
    if (error)
        (void)nghttp2_submit_rst_stream(s->conn->session, NGHTTP2_FLAG_NONE, s->id, error);
    s->id = 0;
    str_done(&s->request);
}

/* Takes it from the connection's lists; the caller frees it. */
static void stream_unlink(GrpcStream *s)
{
    if (s->is_ready)
        TAILQ_REMOVE(&s->conn->ready, s, ready);
    TAILQ_REMOVE(&s->conn->all, s, all);
    s->conn->n_calls--;
    s->is_ready = false;
    s->gone = true;
}

/* Its end, to be told by deliver(); <error> as in stream_detach(). */
static void stream_end(GrpcStream *s, int code, uint32_t error, const char *text)
{
    if (s->ended)
        return;
    s->ended = true;
    s->code = code;
    if (text) {
        str_clear(&s->text);
        str_add(&s->text, text);
    }
    stream_detach(s, error);
    stream_ready(s);
}

/* http-grpc-status-mapping.md */
static int code_of_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

/* PROTOCOL-HTTP2.md, "Errors" */
static int code_of_reset(uint32_t error)
{
    switch (error) {
    case NGHTTP2_REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return GRPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

/* What is wrong with the messages of a call that the server calls well; NULL = nothing. */
static const char *messages_wrong(const GrpcStream *s)
{
    if (s->in.next != s->in.in.n)
        return "unexpected EOF";
    if (!s->message && !s->in.heads)
        return "cardinality violation: received no response message from non-server-streaming RPC";
    return NULL;
}

/* The peer has ended the stream, in order (error 0) or by a reset. What was sent as status counts, whatever came after
 * it. */
static void stream_closed(GrpcStream *s, uint32_t error)
{
    /* The answer is whole but our request is not: nobody will read the rest (RFC 9113, 8.1). */
    uint32_t tell = error || s->sent == s->request.n ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL;
    SCOPED(str_done) Str text = {0};
    int code;
    if (s->code == GRPC_OK) {
        const char *wrong = messages_wrong(s);
        code = wrong ? GRPC_INTERNAL : GRPC_OK;
        str_add(&text, str_or(wrong, ""));
    } else if (s->code > 0) {
        stream_end(s, s->code, tell, NULL);
        return;
    } else if (s->http_status && (s->http_status != 200 || !s->grpc_type)) {
        code = code_of_http(s->http_status);
        if (s->http_status != 200)
            str_fmt(&text, "unexpected HTTP status code received from server: %d", s->http_status);
        else
            str_add(&text, "unexpected HTTP content-type received from server");
    } else if (error) {
        code = code_of_reset(error);
        str_fmt(&text, "stream terminated by RST_STREAM with error code: %s", nghttp2_http2_strerror(error));
    } else {
        code = GRPC_INTERNAL;
        str_add(&text, "server closed the stream without sending trailers");
    }
    stream_end(s, code, tell, str_or(text.p, ""));
}

/* --- nghttp2 callbacks -------------------------------------------------------------------------------------------- */

static GrpcStream *stream_at(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void on_goaway(GrpcConn *c, const nghttp2_goaway *g)
{
    static const char text[] = "the stream is rejected because server is draining the connection";
    SCOPED(str_done) Str debug = {0}, said = {0};
    grpc_message_decode(&debug, (const char *)g->opaque_data, g->opaque_data_len < 256 ? g->opaque_data_len : 256);
    str_fmt(&said, "code: %s, debug data: ", nghttp2_http2_strerror(g->error_code));
    str_add_quoted(&said, str_or(debug.p, ""));
    mem_set_str(&c->goaway, said.p);
    GrpcStream *s;
    TAILQ_FOREACH(s, &c->all, all) /* what nghttp2 has only queued is not processed either */
        if (s->id > g->last_stream_id || (s->id && !nghttp2_session_find_stream(c->session, s->id)))
            stream_end(s, GRPC_UNAVAILABLE, NGHTTP2_NO_ERROR, text);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    GrpcConn *c = arg;
    bool of_call = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        c->settings = true;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        on_goaway(c, &frame->goaway);
    if (!of_call)
        return 0;
    c->idle_pings = 0;
    GrpcStream *s = stream_at(session, frame->hd.stream_id);
    if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        stream_closed(s, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
    GrpcStream *s = stream_at(session, frame->hd.stream_id);
    (void)flags;
    (void)arg;
    if (!s)
        return 0;
    if (h2_name_is(name, n_name, ":status")) {
        s->http_status = h2_number(value, n, 999, 0);
    } else if (h2_name_is(name, n_name, "content-type")) {
        s->grpc_type = h2_is_grpc_type(value, n);
    } else if (h2_name_is(name, n_name, "grpc-status")) {
        s->code = h2_number(value, n, 99999, GRPC_UNKNOWN);
    } else if (h2_name_is(name, n_name, "grpc-message")) {
        str_clear(&s->text);
        grpc_message_decode(&s->text, (const char *)value, n);
    }
    return 0;
}

/* What is wrong with the messages as they come, in grpc-go's words. */
static void frames_wrong(GrpcStream *s, H2FramesState state)
{
    static const struct {
        int code;
        const char *text;
    } wrong[] = {
        [H2_FRAMES_COMPRESSED] = {GRPC_INTERNAL, "grpc: compressed flag set with identity or empty encoding"},
        [H2_FRAMES_TOO_BIG] = {GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max"},
        [H2_FRAMES_SECOND] = {GRPC_INTERNAL, "cardinality violation: expected <EOF> for non server-streaming RPCs, but "
                                             "received another message"},
    };
    SCOPED(str_done) Str text = {0};
    str_add(&text, wrong[state].text);
    if (state == H2_FRAMES_TOO_BIG)
        str_fmt(&text, " (%zu vs. %zu)", s->in.big, s->conn->max_message);
    stream_end(s, wrong[state].code, NGHTTP2_CANCEL, text.p);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *arg)
{
    GrpcStream *s = stream_at(session, id);
    (void)flags;
    (void)arg;
    if (!s)
        return 0;
    if (s->http_status != 200 || !s->grpc_type)
        return 0; /* a web server's page; the headers say what is wrong */
    H2FramesState state = h2_frames_add(&s->in, bytes, n, s->conn->max_message, !s->message);
    if (state != H2_FRAMES_FINE)
        frames_wrong(s, state);
    else if (s->message)
        stream_ready(s);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    GrpcStream *s = stream_at(session, id);
    (void)arg;
    if (s) {
        s->id = 0;
        stream_closed(s, error);
    }
    return 0;
}

static int on_error(nghttp2_session *session, int code, const char *msg, size_t n, void *arg)
{
    GrpcConn *c = arg;
    (void)session;
    (void)n;
    if (!c->broken)
        c->broken = mem_dup_str(code == NGHTTP2_ERR_SETTINGS_EXPECTED ? "the peer does not speak HTTP/2" : msg);
    return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                            nghttp2_data_source *source, void *arg)
{
    GrpcStream *s = stream_at(session, id);
    (void)source;
    (void)arg;
    if (!s)
        return NGHTTP2_ERR_DEFERRED; /* given up: its RST_STREAM is on the way */
    size_t n = s->request.n - s->sent < room ? s->request.n - s->sent : room;
    memcpy(buf, s->request.p + s->sent, n);
    s->sent += n;
    if (s->sent == s->request.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* At most eight digits and a unit. */
static char *timeout_text(int64_t ns)
{
    static const struct {
        int64_t ns;
        char unit;
    } units[] = {{1, 'n'},        {1000, 'u'},          {NS_PER_MS, 'm'},
                 {NS_PER_S, 'S'}, {60 * NS_PER_S, 'M'}, {3600 * NS_PER_S, 'H'}};
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(units) && ns / units[i].ns > 99999998)
        i++;
    return mem_fmt("%lld%c", (long long)(ns / units[i].ns + (ns % units[i].ns != 0)), units[i].unit);
}

#define MAX_METADATA 32u

static int submit(GrpcStream *s, const GrpcRequest *r)
{
    GrpcConn *c = s->conn;
    SCOPED(mem_free) char *timeout = r->timeout_ns > 0 ? timeout_text(r->timeout_ns) : NULL;
    nghttp2_nv nv[8 + MAX_METADATA] = {h2_header(":method", "POST"),
                                       h2_header(":scheme", "http"),
                                       h2_header(":path", r->path),
                                       h2_header(":authority", c->authority),
                                       h2_header("content-type", "application/grpc"),
                                       h2_header("user-agent", c->user_agent),
                                       h2_header("te", "trailers")};
    size_t n = 7;
    if (timeout)
        nv[n++] = h2_header("grpc-timeout", timeout);
    for (const char *const *m = r->metadata; m && m[0] && m[1] && n < ARRAY_LEN(nv); m += 2)
        nv[n++] = h2_header(m[0], m[1]);
    nghttp2_data_provider body = {.read_callback = read_request};
    return nghttp2_submit_request(c->session, NULL, nv, n, &body, s);
}

GrpcStream *grpc_conn_call(GrpcConn *c, const GrpcRequest *r, GrpcMessage *message, GrpcDone *done, void *arg)
{
    GrpcStream *s = NEW(GrpcStream);
    *s = (GrpcStream){.conn = c, .code = -1, .message = message, .done = done, .arg = arg};
    TAILQ_INSERT_TAIL(&c->all, s, all);
    c->n_calls++;
    if (r->n > c->max_message) {
        SCOPED(mem_free)
        char *text = mem_fmt("trying to send message larger than max (%zu vs. %zu)", r->n, c->max_message);
        stream_end(s, GRPC_RESOURCE_EXHAUSTED, NGHTTP2_NO_ERROR, text);
        return s;
    }
    h2_frame_add(&s->request, r->bytes, r->n);
    int id = grpc_conn_draining(c) ? NGHTTP2_ERR_START_STREAM_NOT_ALLOWED : submit(s, r);
    if (id < 0)
        stream_end(s, GRPC_UNAVAILABLE, NGHTTP2_NO_ERROR, nghttp2_strerror(id));
    else
        s->id = id;
    return s;
}

void grpc_conn_cancel(GrpcStream *s)
{
    GrpcConn *c = s->conn;
    stream_detach(s, NGHTTP2_CANCEL);
    stream_unlink(s);
    if (c->delivering)
        TAILQ_INSERT_TAIL(&c->gone, s, all);
    else
        stream_free(s);
}

void grpc_conn_fail(GrpcConn *c, int code, const char *message)
{
    GrpcStream *s;
    TAILQ_FOREACH(s, &c->all, all)
        stream_end(s, code, NGHTTP2_CANCEL, message);
}

const char *grpc_conn_goaway(const GrpcConn *c)
{
    return c->goaway;
}

size_t grpc_conn_n_calls(const GrpcConn *c)
{
    return c->n_calls;
}

/* --- delivery ----------------------------------------------------------------------------------------------------- */

static void free_all(Streams *list)
{
    for (GrpcStream *s; (s = TAILQ_FIRST(list));) {
        TAILQ_REMOVE(list, s, all);
        stream_free(s);
    }
}

static void conn_destroy(GrpcConn *c)
{
    nghttp2_session_del(c->session);
    free_all(&c->all);
    free_all(&c->gone);
    free(c->authority);
    free(c->user_agent);
    free(c->broken);
    free(c->goaway);
    free(c);
}

static void deliver_messages(GrpcStream *s)
{
    size_t at = 0;
    const uint8_t *bytes;
    size_t n;
    while (s->message && !s->gone && !s->conn->freed && h2_frames_get(&s->in, at, &bytes, &n)) {
        at += H2_FRAME_HEAD + n;
        s->message(s->arg, bytes, n);
    }
    h2_frames_drop(&s->in, at);
}

static void deliver_end(GrpcStream *s)
{
    GrpcResult r = {.code = s->code, .message = str_or(s->text.p, "")};
    if (s->code == GRPC_OK && !s->message)
        (void)h2_frames_get(&s->in, 0, &r.bytes, &r.n);
    stream_unlink(s);
    s->done(s->arg, &r);
    stream_free(s);
}

void grpc_conn_deliver(GrpcConn *c)
{
    if (c->delivering)
        return;
    c->delivering = true;
    for (GrpcStream *s; !c->freed && (s = TAILQ_FIRST(&c->ready));) {
        TAILQ_REMOVE(&c->ready, s, ready);
        s->is_ready = false;
        deliver_messages(s);
        if (!c->freed && !s->gone && s->ended)
            deliver_end(s);
    }
    c->delivering = false;
    if (c->freed)
        conn_destroy(c);
    else
        free_all(&c->gone);
}

bool grpc_conn_pending(const GrpcConn *c)
{
    return !TAILQ_EMPTY(&c->ready);
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

GrpcConn *grpc_conn_new(const char *authority, const char *user_agent, size_t max_message)
{
    GrpcConn *c = NEW(GrpcConn);
    c->authority = mem_dup_str(authority);
    c->user_agent = mem_dup_str(user_agent);
    c->max_message = max_message ? max_message : GRPC_MAX_MESSAGE;
    TAILQ_INIT(&c->all);
    TAILQ_INIT(&c->ready);
    TAILQ_INIT(&c->gone);
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb))
        abort(); /* out of memory */
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_error_callback2(cb, on_error);
    if (nghttp2_session_client_new(&c->session, cb, c))
        abort();
    nghttp2_session_callbacks_del(cb);
    h2_begin(c->session, 0);
    return c;
}

void grpc_conn_free(GrpcConn *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    if (!c->delivering) /* else deliver() does it at its end */
        conn_destroy(c);
}

bool grpc_conn_ready(const GrpcConn *c)
{
    return c->settings;
}

bool grpc_conn_draining(const GrpcConn *c)
{
    return c->goaway != NULL || !nghttp2_session_check_request_allowed(c->session);
}

void grpc_conn_ping(GrpcConn *c)
{
    c->idle_pings++;
    (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
}

unsigned grpc_conn_idle_pings(const GrpcConn *c)
{
    return c->idle_pings;
}

Err *grpc_conn_recv(GrpcConn *c, const void *bytes, size_t n)
{
    ssize_t rc = nghttp2_session_mem_recv(c->session, bytes, n);
    if (rc < 0)
        return err_new(ERR_INVALID, 0, "http2: %s", nghttp2_strerror((int)rc));
    return NULL;
}

Err *grpc_conn_send(GrpcConn *c, Str *out)
{
    int rc = h2_send(c->session, out);
    if (rc < 0)
        return err_new(ERR_UNAVAILABLE, 0, "http2: %s", nghttp2_strerror(rc));
    /* Neither side has anything to say any more: a GOAWAY, or a protocol error that was just reported to the peer. */
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
        return err_new(ERR_UNAVAILABLE, 0, "http2: %s", str_or(c->broken, "the connection is over"));
    return NULL;
}
