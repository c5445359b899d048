#include "grpc/server_conn.h"

#include <stdio.h>
#include <sys/queue.h>

#include "grpc/h2_priv.h"

#define NO_MESSAGE     "cardinality violation: received no request message from non-client-streaming RPC"
#define SECOND_MESSAGE "cardinality violation: expected <EOF> for non client-streaming RPCs, but received another message"

typedef TAILQ_HEAD(Serveds, GrpcServed) Serveds;

struct GrpcServerConn {
    nghttp2_session *session;
    GrpcServerConnConfig config;
    Serveds all;   /* streams that nghttp2 knows, and calls whose end is to be told */
    Serveds ready; /* of those: with something to deliver */
    size_t n_calls;
    int64_t began_ns, now_ns;
    size_t received, queued; /* bytes of requests, and of answers, that are kept */
    bool settings, overflow, delivering, freed;
};

struct GrpcServed {
    TAILQ_ENTRY(GrpcServed) all;
    TAILQ_ENTRY(GrpcServed) ready;
    GrpcServerConn *conn; /* NULL = lost, and the method is not told: finish() frees */
    int32_t id;           /* 0 = the stream is closed */
    int64_t began_ns;
    /* The request. */
    const GrpcMethod *method;
    char *path, *http_method, *type, *encoding;
    size_t header_bytes;
    H2Frames in;
    bool complete; /* it has come whole */
    bool handed;   /* to its method */
    /* The answer. */
    Str out; /* framed, from <sent> on to be sent */
    size_t sent;
    bool begun;    /* its headers are submitted */
    bool finished; /* the method, or we, have said the status: the call is gone for the method */
    int code;
    Str text; /* percent-encoded */
    void *data;
    bool is_ready, is_gone;
};

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void served_free(GrpcServed *s)
{
    free(s->path);
    free(s->http_method);
    free(s->type);
    free(s->encoding);
    str_done(&s->in.in);
    str_done(&s->out);
    str_done(&s->text);
    free(s);
}

static void request_forget(GrpcServed *s)
{
    s->conn->received -= s->in.in.n;
    str_done(&s->in.in);
}

static void served_ready(GrpcServed *s)
{
    if (!s->is_ready)
        TAILQ_INSERT_TAIL(&s->conn->ready, s, ready);
    s->is_ready = true;
}

static void served_unlink(GrpcServed *s)
{
    GrpcServerConn *c = s->conn;
    if (s->is_ready)
        TAILQ_REMOVE(&c->ready, s, ready);
    TAILQ_REMOVE(&c->all, s, all);
    request_forget(s);
    c->queued -= s->out.n - s->sent;
    s->sent = s->out.n;
    c->n_calls--;
    s->is_ready = false;
    s->is_gone = true;
}

static void wake(GrpcServerConn *c)
{
    if (c->config.wake)
        c->config.wake(c->config.arg);
}

/* The method's call is lost: told to it, or kept for its finish(). */
static void served_tell_lost(GrpcServed *s)
{
    served_unlink(s);
    if (s->method->cancelled) {
        s->method->cancelled(s->method->arg, s);
        served_free(s);
    } else {
        s->conn = NULL;
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                           nghttp2_data_source *source, void *arg)
{
    GrpcServerConn *c = arg;
    GrpcServed *s = nghttp2_session_get_stream_user_data(session, id);
    (void)source;
    if (!s || (s->sent == s->out.n && !s->finished))
        return NGHTTP2_ERR_DEFERRED;
    size_t n = s->out.n - s->sent < room ? s->out.n - s->sent : room;
    if (n)
        memcpy(buf, s->out.p + s->sent, n);
    s->sent += n;
    c->queued -= n;
    if (s->sent == s->out.n) {
        str_clear(&s->out);
        s->sent = 0;
    }
    if (!s->out.n && s->finished) {
        char code[16];
        (void)snprintf(code, sizeof code, "%d", s->code);
        nghttp2_nv trailer[] = {h2_header("grpc-status", code), h2_header("grpc-message", str_or(s->text.p, ""))};
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        (void)nghttp2_submit_trailer(session, id, trailer, s->text.n ? 2 : 1);
    }
    return (ssize_t)n;
}

/* The headers; of a call that has ended without a message these are all. */
static void answer_begin(GrpcServed *s, const char *http_status)
{
    char code[16];
    (void)snprintf(code, sizeof code, "%d", s->code);
    nghttp2_nv nv[] = {h2_header(":status", http_status), h2_header("content-type", "application/grpc"),
                       h2_header("grpc-status", code), h2_header("grpc-message", str_or(s->text.p, ""))};
    nghttp2_data_provider body = {.read_callback = read_answer};
    s->begun = true;
    if (s->finished)
        (void)nghttp2_submit_response(s->conn->session, s->id, nv, s->text.n ? 4 : 3, NULL);
    else
        (void)nghttp2_submit_response(s->conn->session, s->id, nv, 2, &body);
}

static void answer_end(GrpcServed *s, const char *http_status, int code, const char *text)
{
    s->finished = true;
    s->code = code;
    SCOPED(mem_free) char *kept = mem_dup_strn(str_or(text, ""), GRPC_STATUS_TEXT_MAX);
    grpc_message_encode(&s->text, kept);
    if (s->begun)
        (void)nghttp2_session_resume_data(s->conn->session, s->id);
    else
        answer_begin(s, http_status);
}

void grpc_served_send(GrpcServed *s, const void *bytes, size_t n)
{
    GrpcServerConn *c = s->conn;
    if (!c || !s->id || s->finished || c->overflow)
        return;
    c->overflow = n + H2_FRAME_HEAD > GRPC_SERVER_HELD_MAX - c->queued;
    if (c->overflow) /* expire() ends it: not from within this call */
        return;
    if (s->sent > s->out.n / 2) { /* what is sent is given up, at the cost of moving less than that */
        memmove(s->out.p, s->out.p + s->sent, s->out.n - s->sent + 1);
        s->out.n -= s->sent;
        s->sent = 0;
    }
    h2_frame_add(&s->out, bytes, n);
    c->queued += H2_FRAME_HEAD + n;
    if (s->begun)
        (void)nghttp2_session_resume_data(c->session, s->id);
    else
        answer_begin(s, "200");
    wake(c);
}

size_t grpc_served_queued(const GrpcServed *s)
{
    return s->out.n - s->sent;
}

void grpc_served_finish(GrpcServed *s, int code, const char *message)
{
    GrpcServerConn *c = s->conn;
    if (c && s->is_gone)
        return; /* within its cancelled() */
    if (!c) { /* lost before */
        served_free(s);
    } else if (!s->id) { /* lost, and not told yet: needs not be told any more */
        served_unlink(s);
        served_free(s);
    } else {
        answer_end(s, "200", code, message);
        wake(c);
    }
}

void grpc_served_set_data(GrpcServed *s, void *data)
{
    s->data = data;
}

void *grpc_served_data(const GrpcServed *s)
{
    return s->data;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

/* Refused by us; the method has not heard of it. */
static void refuse(GrpcServed *s, const char *http_status, int code, const char *fmt, const char *about)
{
    SCOPED(str_done) Str text = {0};
    const char *mark = strchr(fmt, '@');
    str_add_n(&text, fmt, mark ? (size_t)(mark - fmt) : strlen(fmt));
    if (mark) {
        str_add_quoted(&text, str_or(about, ""));
        str_add(&text, mark + 1);
    }
    request_forget(s);
    answer_end(s, http_status, code, text.p);
}

/* grpc-go's words for a path that is no method here. */
static void refuse_path(GrpcServed *s)
{
    const char *name = s->path[0] == '/' ? s->path + 1 : s->path, *slash = strrchr(name, '/');
    SCOPED(str_done) Str text = {0};
    if (!slash) {
        refuse(s, "200", GRPC_UNIMPLEMENTED, "malformed method name: @", s->path);
        return;
    }
    size_t n = (size_t)(slash - s->path) + 1; /* with both slashes */
    bool known = false;
    for (const GrpcMethod *m = s->conn->config.methods; m->path; m++)
        known = known || !strncmp(m->path, s->path, n);
    if (known)
        str_fmt(&text, "unknown method %s for ", slash + 1);
    str_fmt(&text, "%sservice %.*s", known ? "" : "unknown ", (int)(slash - name), name);
    request_forget(s);
    answer_end(s, "200", GRPC_UNIMPLEMENTED, text.p);
}

static void headers_complete(GrpcServed *s)
{
    if (s->header_bytes > H2_HEADER_LIST) {
        refuse(s, "431", GRPC_RESOURCE_EXHAUSTED, "received header list is larger than max", NULL);
        return;
    }
    if (!str_eq(s->http_method, "POST")) {
        refuse(s, "405", GRPC_INTERNAL, "Received a HEADERS frame with :method @ which should be POST", s->http_method);
        return;
    }
    if (!s->type || !h2_is_grpc_type((const uint8_t *)s->type, strlen(s->type))) {
        refuse(s, "415", GRPC_INVALID_ARGUMENT, "invalid gRPC request content-type @", s->type);
        return;
    }
    for (const GrpcMethod *m = s->conn->config.methods; m->path && !s->method; m++)
        if (str_eq(m->path, s->path))
            s->method = m;
    if (!s->method)
        refuse_path(s);
}

static void request_complete(GrpcServed *s)
{
    const uint8_t *bytes;
    size_t n;
    s->complete = true;
    if (s->finished)
        return;
    if (h2_frames_get(&s->in, 0, &bytes, &n))
        served_ready(s);
    else
        refuse(s, "200", GRPC_INTERNAL, s->in.in.n ? "unexpected EOF" : NO_MESSAGE, NULL);
}

static void frames_wrong(GrpcServed *s, H2FramesState state)
{
    SCOPED(mem_free) char *big = NULL;
    if (state == H2_FRAMES_COMPRESSED) {
        refuse(s, "200", GRPC_UNIMPLEMENTED, "grpc: Decompressor is not installed for grpc-encoding @", s->encoding);
    } else if (state == H2_FRAMES_TOO_BIG) {
        big = mem_fmt("grpc: received message larger than max (%zu vs. %zu)", s->in.big, s->conn->config.max_message);
        refuse(s, "200", GRPC_RESOURCE_EXHAUSTED, big, NULL);
    } else {
        refuse(s, "200", GRPC_INTERNAL, SECOND_MESSAGE, NULL);
    }
}

/* --- nghttp2 callbacks -------------------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    GrpcServerConn *c = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    GrpcServed *s = NEW(GrpcServed);
    *s = (GrpcServed){.conn = c, .id = frame->hd.stream_id, .began_ns = c->now_ns};
    TAILQ_INSERT_TAIL(&c->all, s, all);
    c->n_calls++;
    return nghttp2_session_set_stream_user_data(session, s->id, s) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
    GrpcServed *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    (void)arg;
    if (!s || s->handed)
        return 0;
    s->header_bytes += n_name + n + 32; /* as RFC 9113, 6.5.2 counts */
    if (s->header_bytes > H2_HEADER_LIST)
        return 0; /* refused when all have come: HPACK's state needs them */
    struct {
        const char *name;
        char **to;
    } keep[] = {{":path", &s->path},
                {":method", &s->http_method},
                {"content-type", &s->type},
                {"grpc-encoding", &s->encoding}};
    for (size_t i = 0; i < ARRAY_LEN(keep); i++)
        if (h2_name_is(name, n_name, keep[i].name) && !*keep[i].to)
            *keep[i].to = mem_dup_strn((const char *)value, n);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    GrpcServerConn *c = arg;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        c->settings = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    GrpcServed *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        headers_complete(s);
    if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        request_complete(s);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *arg)
{
    GrpcServerConn *c = arg;
    GrpcServed *s = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    if (!s || s->finished)
        return 0;
    if (c->received + n > GRPC_SERVER_HELD_MAX) {
        refuse(s, "200", GRPC_RESOURCE_EXHAUSTED, "too many bytes of requests are under way", NULL);
        return 0;
    }
    c->received += n;
    H2FramesState state = h2_frames_add(&s->in, bytes, n, c->config.max_message, true);
    if (state != H2_FRAMES_FINE)
        frames_wrong(s, state);
    return 0;
}

/* The whole answer is on its way, but the client still sends its request: nobody will read it (RFC 9113, 8.1). */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    GrpcServed *s = nghttp2_session_get_stream_user_data(session, id);
    (void)error;
    (void)arg;
    if (!s)
        return 0;
    s->id = 0;
    if (s->handed && !s->finished) {
        served_ready(s); /* to tell its method */
    } else {
        served_unlink(s);
        served_free(s);
    }
    return 0;
}

/* --- delivery ----------------------------------------------------------------------------------------------------- */

static void conn_destroy(GrpcServerConn *c)
{
    nghttp2_session_del(c->session);
    for (GrpcServed *s; (s = TAILQ_FIRST(&c->all));) {
        served_unlink(s);
        served_free(s);
    }
    free(c);
}

static void hand_over(GrpcServed *s)
{
    const uint8_t *bytes = NULL;
    size_t n = 0;
    (void)h2_frames_get(&s->in, 0, &bytes, &n);
    s->handed = true;
    s->conn->received -= s->in.in.n;
    SCOPED(str_done) Str request = s->in.in; /* lives as long as the handler runs, whatever becomes of the call */
    s->in.in = (Str){0};
    s->method->handler(s->method->arg, s, bytes, n);
}

void grpc_server_conn_deliver(GrpcServerConn *c)
{
    if (c->delivering)
        return;
    c->delivering = true;
    for (GrpcServed *s; !c->freed && (s = TAILQ_FIRST(&c->ready));) {
        TAILQ_REMOVE(&c->ready, s, ready);
        s->is_ready = false;
        if (!s->id)
            served_tell_lost(s);
        else
            hand_over(s);
    }
    c->delivering = false;
    if (c->freed)
        conn_destroy(c);
}

bool grpc_server_conn_pending(const GrpcServerConn *c)
{
    return !TAILQ_EMPTY(&c->ready);
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

GrpcServerConn *grpc_server_conn_new(const GrpcServerConnConfig *config, int64_t now_ns)
{
    GrpcServerConn *c = NEW(GrpcServerConn);
    c->config = *config;
    c->began_ns = c->now_ns = now_ns;
    TAILQ_INIT(&c->all);
    TAILQ_INIT(&c->ready);
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb))
        abort(); /* out of memory */
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    if (nghttp2_session_server_new(&c->session, cb, c))
        abort();
    nghttp2_session_callbacks_del(cb);
    h2_begin(c->session, GRPC_SERVER_STREAMS);
    return c;
}

void grpc_server_conn_free(GrpcServerConn *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    if (!c->delivering) /* else deliver() does it at its end */
        conn_destroy(c);
}

size_t grpc_server_conn_n_calls(const GrpcServerConn *c)
{
    return c->n_calls;
}

bool grpc_server_conn_idle(const GrpcServerConn *c)
{
    return c->settings && !c->n_calls;
}

Err *grpc_server_conn_recv(GrpcServerConn *c, const void *bytes, size_t n, int64_t now_ns)
{
    c->now_ns = now_ns;
    ssize_t rc = nghttp2_session_mem_recv(c->session, bytes, n);
    if (rc < 0)
        return err_new(ERR_INVALID, 0, "http2: %s", nghttp2_strerror((int)rc));
    return NULL;
}

Err *grpc_server_conn_send(GrpcServerConn *c, Str *out)
{
    int rc = h2_send(c->session, out);
    if (rc < 0)
        return err_new(ERR_UNAVAILABLE, 0, "http2: %s", nghttp2_strerror(rc));
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
        return err_new(ERR_UNAVAILABLE, 0, "http2: the connection is over");
    return NULL;
}

Err *grpc_server_conn_expire(GrpcServerConn *c, int64_t now_ns)
{
    GrpcServed *s;
    if (c->overflow)
        return err_new(ERR_LIMIT, 0, "the client does not read its answers");
    if (!c->settings && now_ns - c->began_ns > GRPC_SERVER_REQUEST_NS)
        return err_new(ERR_TIMEOUT, 0, "the client does not speak HTTP/2");
    TAILQ_FOREACH(s, &c->all, all)
        if (s->id && !s->complete && !s->finished && now_ns - s->began_ns > GRPC_SERVER_REQUEST_NS)
            (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    return NULL;
}

void grpc_server_conn_goaway(GrpcServerConn *c)
{
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

void grpc_server_conn_abort(GrpcServerConn *c)
{
    for (GrpcServed *s; (s = TAILQ_FIRST(&c->all));) {
        if (s->id)
            (void)nghttp2_session_set_stream_user_data(c->session, s->id, NULL);
        s->id = 0;
        if (s->handed && !s->finished) {
            served_tell_lost(s);
        } else {
            served_unlink(s);
            served_free(s);
        }
    }
}
