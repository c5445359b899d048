#include "node/netcall_h2.h"

#include <ctype.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "base/clock.h"

#define MAX_MESSAGE 65536u /* of an answer: health replies have two bytes */
#define MAX_TEXT    1024u  /* of grpc-message that is kept */
#define FRAME_HEAD  5u     /* compressed flag, length */

struct GrpcConn {
    nghttp2_session *session;
    char *authority, *user_agent;
    struct Stream *streams;
    bool ready;
};

typedef struct Stream Stream;
struct Stream {
    Stream *next;
    GrpcConn *conn;
    int32_t id;
    GrpcReplyDone *done;
    void *arg;
    Str request; /* framed */
    size_t sent;
    Str reply;       /* framed, as it came */
    int http_status; /* 0 = none yet */
    bool grpc_type;  /* content-type is application/grpc */
    int code;        /* -1 = no grpc-status yet */
    Str message;
    bool too_big;
};

static const char *const code_names[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

const char *grpc_code_name(int code, char *buf)
{
    if (code >= 0 && (size_t)code < ARRAY_LEN(code_names))
        return code_names[code];
    (void)snprintf(buf, 24, "Code(%d)", code);
    return buf;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static void stream_free(Stream *s)
{
    str_done(&s->request);
    str_done(&s->reply);
    str_done(&s->message);
    free(s);
}

static void stream_unlink(Stream *s)
{
    for (Stream **p = &s->conn->streams; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            return;
        }
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

/* The one message of a reply, or why it is none. */
static const char *unframe(const Stream *s, GrpcReply *r)
{
    const uint8_t *p = (const uint8_t *)s->reply.p;
    if (s->too_big)
        return "grpc: received message larger than max";
    if (s->reply.n < FRAME_HEAD)
        return "cardinality violation: received no response message from non-server-streaming RPC";
    if (p[0])
        return "grpc: compressed flag set with identity or empty encoding";
    uint32_t n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (n != s->reply.n - FRAME_HEAD)
        return n > s->reply.n - FRAME_HEAD
                   ? "unexpected EOF"
                   : "cardinality violation: expected <EOF> for non server-streaming RPCs, but received "
                     "another message";
    r->bytes = p + FRAME_HEAD;
    r->n = n;
    return NULL;
}

static GrpcReply reply_of(const Stream *s, uint32_t error, Str *text)
{
    GrpcReply r = {.code = s->code};
    if (s->code == GRPC_OK) {
        const char *bad = unframe(s, &r);
        r.code = bad ? (s->too_big ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL) : GRPC_OK;
        str_add(text, str_or(bad, ""));
    } else if (s->code > 0) {
        str_add_n(text, str_or(s->message.p, ""), s->message.n);
    } else if (s->http_status && (s->http_status != 200 || !s->grpc_type)) {
        r.code = code_of_http(s->http_status);
        if (s->http_status != 200)
            str_fmt(text, "unexpected HTTP status code received from server: %d", s->http_status);
        else
            str_add(text, "unexpected HTTP content-type received from server");
    } else if (error) {
        r.code = code_of_reset(error);
        str_fmt(text, "stream terminated by RST_STREAM with error code: %s", nghttp2_http2_strerror(error));
    } else {
        r.code = GRPC_INTERNAL;
        str_add(text, "server closed the stream without sending trailers");
    }
    r.message = str_or(text->p, "");
    return r;
}

/* --- nghttp2 callbacks -------------------------------------------------------------------------------------------- */

static Stream *stream_at(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    GrpcConn *c = arg;
    (void)session;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        c->ready = true;
    return 0;
}

static int hex_of(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Percent-decoded, one printable line: it goes into events and logs. */
static void take_message(Str *to, const char *v, size_t n)
{
    str_clear(to);
    for (size_t i = 0; i < n && to->n < MAX_TEXT; i++) {
        char ch = v[i];
        if (ch == '%' && i + 2 < n && isxdigit((unsigned char)v[i + 1]) && isxdigit((unsigned char)v[i + 2])) {
            ch = (char)(hex_of(v[i + 1]) * 16 + hex_of(v[i + 2]));
            i += 2;
        }
        str_add_c(to, ch >= ' ' && ch <= '~' ? ch : ch == '\n' || ch == '\t' ? ' ' : '?');
    }
}

/* Decimal of at most <max>, else <otherwise>; header values are not NUL-terminated by contract. */
static int number_of(const uint8_t *v, size_t n, int max, int otherwise)
{
    int x = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit(v[i]) || i > 8)
            return otherwise;
        x = x * 10 + (v[i] - '0');
    }
    return n && x <= max ? x : otherwise;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n_name,
                     const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
    Stream *s = stream_at(session, frame->hd.stream_id);
    static const char type[] = "application/grpc";
    (void)flags;
    (void)arg;
    if (!s)
        return 0;
    SCOPED(mem_free) char *key = mem_dup_strn((const char *)name, n_name);
    if (str_eq(key, ":status"))
        s->http_status = number_of(value, n, 999, 0);
    else if (str_eq(key, "content-type"))
        s->grpc_type = n >= sizeof type - 1 && !memcmp(value, type, sizeof type - 1);
    else if (str_eq(key, "grpc-status"))
        s->code = number_of(value, n, 99999, GRPC_UNKNOWN);
    else if (str_eq(key, "grpc-message"))
        take_message(&s->message, (const char *)value, n);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *arg)
{
    Stream *s = stream_at(session, id);
    (void)flags;
    (void)arg;
    if (!s || s->too_big)
        return 0;
    s->too_big = s->reply.n + n > FRAME_HEAD + MAX_MESSAGE;
    if (s->too_big)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    else
        str_add_n(&s->reply, bytes, n);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    Stream *s = stream_at(session, id);
    (void)arg;
    if (!s)
        return 0;
    stream_unlink(s);
    SCOPED(str_done) Str text = {0};
    if (s->too_big)
        s->code = GRPC_OK; /* whatever it would have been: unframe() says what is wrong */
    GrpcReply r = reply_of(s, error, &text);
    s->done(s->arg, &r);
    stream_free(s);
    return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                            nghttp2_data_source *source, void *arg)
{
    Stream *s = source->ptr;
    (void)session;
    (void)id;
    (void)arg;
    size_t n = s->request.n - s->sent < room ? s->request.n - s->sent : room;
    memcpy(buf, s->request.p + s->sent, n);
    s->sent += n;
    if (s->sent == s->request.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* --- public ------------------------------------------------------------------------------------------------------- */

GrpcConn *grpc_conn_new(const char *authority, const char *user_agent)
{
    GrpcConn *c = NEW(GrpcConn);
    c->authority = mem_dup_str(authority);
    c->user_agent = mem_dup_str(user_agent);
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb))
        abort(); /* out of memory */
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    if (nghttp2_session_client_new(&c->session, cb, c))
        abort();
    nghttp2_session_callbacks_del(cb);
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                                      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384}};
    (void)nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    return c;
}

void grpc_conn_free(GrpcConn *c)
{
    if (!c)
        return;
    nghttp2_session_del(c->session);
    while (c->streams) {
        Stream *s = c->streams;
        c->streams = s->next;
        stream_free(s);
    }
    free(c->authority);
    free(c->user_agent);
    free(c);
}

bool grpc_conn_ready(const GrpcConn *c)
{
    return c->ready;
}

/* At most eight digits and a unit. */
static char *timeout_text(int64_t ns)
{
    static const struct {
        int64_t ns;
        char unit;
    } units[] = {{1, 'n'}, {1000, 'u'}, {NS_PER_MS, 'm'}, {NS_PER_S, 'S'}, {60 * NS_PER_S, 'M'}};
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(units) && ns / units[i].ns > 99999998)
        i++;
    return mem_fmt("%lld%c", (long long)((ns + units[i].ns - 1) / units[i].ns), units[i].unit);
}

static nghttp2_nv header(const char *name, const char *value)
{
    /* nghttp2 copies both; its members are only not const. */
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

Err *grpc_conn_call(GrpcConn *c, const char *path, const void *bytes, size_t n, int64_t timeout_ns, GrpcReplyDone *done,
                    void *arg)
{
    if (n > MAX_MESSAGE)
        return err_new(ERR_LIMIT, 0, "grpc: a request of %zu bytes", n);
    Stream *s = NEW(Stream);
    *s = (Stream){.conn = c, .code = -1, .done = done, .arg = arg};
    const uint8_t head[FRAME_HEAD] = {0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    str_add_n(&s->request, head, sizeof head);
    str_add_n(&s->request, bytes, n);
    SCOPED(mem_free) char *timeout = timeout_ns > 0 ? timeout_text(timeout_ns) : NULL;
    nghttp2_nv nv[] = {header(":method", "POST"),
                       header(":scheme", "http"),
                       header(":path", path),
                       header(":authority", c->authority),
                       header("content-type", "application/grpc"),
                       header("user-agent", c->user_agent),
                       header("te", "trailers"),
                       header("grpc-timeout", str_or(timeout, ""))};
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_request};
    s->id = nghttp2_submit_request(c->session, NULL, nv, ARRAY_LEN(nv) - (timeout ? 0 : 1), &body, s);
    if (s->id < 0) {
        Err *e = err_new(ERR_UNAVAILABLE, 0, "grpc: %s", nghttp2_strerror(s->id));
        stream_free(s);
        return e;
    }
    s->next = c->streams;
    c->streams = s;
    return NULL;
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
    for (;;) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
        if (n < 0)
            return err_new(ERR_UNAVAILABLE, 0, "http2: %s", nghttp2_strerror((int)n));
        if (n == 0)
            break;
        str_add_n(out, bytes, (size_t)n);
    }
    /* Neither side has anything to say any more: a GOAWAY, or a protocol error that was just reported to the peer. */
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
        return err_new(ERR_UNAVAILABLE, 0, "http2: the connection is over");
    return NULL;
}

/* --- grpc.health.v1 ----------------------------------------------------------------------------------------------- */

static void add_varint(Str *s, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        str_add_c(s, (char)(v | 0x80));
    str_add_c(s, (char)v);
}

void grpc_health_request(const char *service, Str *out)
{
    if (str_empty(service)) /* proto3 leaves the default value out */
        return;
    add_varint(out, 1 << 3 | 2); /* HealthCheckRequest.service = 1, length-delimited */
    add_varint(out, strlen(service));
    str_add(out, service);
}

static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        *ret |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

/* Steps over a field's value that is of no interest. */
static bool skip_value(const uint8_t **p, const uint8_t *end, unsigned wire_type)
{
    uint64_t n = 0;
    if (wire_type == 0)
        return take_varint(p, end, &n);
    if (wire_type == 2 && !take_varint(p, end, &n))
        return false;
    if (wire_type == 1 || wire_type == 5)
        n = wire_type == 1 ? 8 : 4;
    else if (wire_type != 2)
        return false; /* groups are not in proto3 */
    if (n > (uint64_t)(end - *p))
        return false;
    *p += n;
    return true;
}

Err *grpc_health_reply(const uint8_t *bytes, size_t n, int64_t *ret_status)
{
    const uint8_t *p = bytes, *end = bytes + n;
    *ret_status = 0;
    while (p < end) {
        uint64_t key, value;
        if (!take_varint(&p, end, &key) || !(key >> 3))
            return err_new(ERR_INVALID, 0, "grpc: failed to unmarshal the received message");
        if (key == 1 << 3) { /* HealthCheckResponse.status = 1, an enum: 32 bits of the varint count */
            if (!take_varint(&p, end, &value))
                return err_new(ERR_INVALID, 0, "grpc: failed to unmarshal the received message");
            *ret_status = (int32_t)(uint32_t)value;
        } else if (!skip_value(&p, end, (unsigned)(key & 7))) {
            return err_new(ERR_INVALID, 0, "grpc: failed to unmarshal the received message");
        }
    }
    return NULL;
}
