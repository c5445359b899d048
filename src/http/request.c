/* request.c - from libmicrohttpd's callbacks to one handler, and an answer's way back.
 *
 * libmicrohttpd calls request_step() once for the head, once for each piece of a body, and once when all has come; the last again
 * whenever the connection is resumed without an answer. An answer that is given at the first call makes it close the connection, so
 * it is held back until the body was read and dropped, if that is not too much. */
#include "http/http_priv.h"

#include <stdio.h>

#define BIG       ((size_t)256 << 10)
#define BIG_BLOCK ((size_t)64 << 10)

static HttpServer *server_of(void *cls)
{
    return ((Listener *)cls)->server;
}

static Conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

const char *http_reason(int status)
{
    return MHD_get_reason_phrase_for((unsigned)status);
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

static const char *header(const HttpRequest *r, const char *name)
{
    return r->conn ? MHD_lookup_connection_value(r->conn->mhd, MHD_HEADER_KIND, name) : NULL;
}

const char *http_method(const HttpRequest *r) { return str_or(r->method, ""); }
const char *http_path(const HttpRequest *r) { return r->target; }
const char *http_query(const HttpRequest *r) { return r->query ? r->query : ""; }
const char *http_header(const HttpRequest *r, const char *name) { return header(r, name); }
void http_set_user(HttpRequest *r, const char *user) { mem_set_str(&r->user, user); }
void http_set_data(HttpRequest *r, void *data) { r->data = data; }
void *http_data(const HttpRequest *r) { return r->data; }

const char *http_body(const HttpRequest *r, size_t *ret_n)
{
    *ret_n = r->body.n;
    return str_or(r->body.p, "");
}

static const char *const nobody_groups[] = {NULL};
static const HttpIdentity nobody = {.kind = HTTP_ANONYMOUS, .user = "", .groups = nobody_groups};

const HttpIdentity *http_identity(const HttpRequest *r) { return r->conn ? identity_of(r->conn) : &nobody; }
const char *http_remote(const HttpRequest *r) { return r->conn ? r->conn->remote : ""; }
bool http_secure(const HttpRequest *r) { return r->conn && (r->conn->listener->tls || r->conn->listener->unix_socket); }
size_t http_listener(const HttpRequest *r) { return r->conn ? r->conn->listener->index : 0; }

typedef struct {
    const char *name, *token;
    void (*each)(void *arg, const char *name, const char *value);
    void *arg;
    bool found;
} HeaderWalk;

static bool list_has(const char *list, const char *token)
{
    size_t n = strlen(token);
    for (const char *p = list; *p;) {
        p += strspn(p, " \t,");
        size_t part = strcspn(p, ","), bare = part;
        while (bare && strchr(" \t", p[bare - 1]))
            bare--;
        if (bare == n && strncasecmp(p, token, n) == 0)
            return true;
        p += part;
    }
    return false;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    HeaderWalk *w = cls;
    (void)kind;
    if (w->each)
        w->each(w->arg, name, str_or(value, ""));
    else if (strcasecmp(name, w->name) == 0 && list_has(str_or(value, ""), w->token))
        w->found = true;
    return MHD_YES;
}

bool http_header_has(const HttpRequest *r, const char *name, const char *token)
{
    HeaderWalk w = {.name = name, .token = token};
    if (r->conn)
        (void)MHD_get_connection_values(r->conn->mhd, MHD_HEADER_KIND, on_header, &w);
    return w.found;
}

void http_headers_each(const HttpRequest *r, void (*each)(void *arg, const char *name, const char *value), void *arg)
{
    HeaderWalk w = {.each = each, .arg = arg};
    if (r->conn)
        (void)MHD_get_connection_values(r->conn->mhd, MHD_HEADER_KIND, on_header, &w);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void body_drop(HttpRequest *r)
{
    r->server->body_bytes -= r->counted;
    r->counted = 0;
    str_done(&r->body);
}

static void request_free(HttpRequest *r)
{
    if (r->response)
        MHD_destroy_response(r->response);
    body_drop(r);
    http_buf_unref(r->big);
    server_drop(r->server);
    free(r->target);
    free(r->user);
    free(r->method_copy);
    free(r);
}

void request_headers(struct MHD_Response *response, const HttpHeader *h, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)MHD_add_response_header(response, h[i].name, h[i].value);
}

void request_answer(HttpRequest *r, int status, struct MHD_Response *response)
{
    if (r->state >= REQUEST_ANSWERED) { /* twice: the first counts */
        if (response)
            MHD_destroy_response(response);
        return;
    }
    if (!response) {
        status = 500;
        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    r->response = response;
    r->status = status;
    if (r->server->stopping && status != 101)
        (void)MHD_add_response_header(response, "Connection", "close");
    body_drop(r);
    if (!r->conn) { /* the client went away, and the caller was not told */
        request_free(r);
        return;
    }
    r->state = REQUEST_ANSWERED;
    conn_resume(r->conn);
}

/* Piece by piece, so that it is seen whether the client takes any. */
static ssize_t on_read_big(void *cls, uint64_t pos, char *buf, size_t max)
{
    HttpRequest *r = cls;
    size_t n = r->big->n - (size_t)pos < max ? r->big->n - (size_t)pos : max;
    r->conn->progress_ms = uv_now(r->server->loop);
    memcpy(buf, r->big->bytes + pos, n);
    r->sent = pos + n;
    return (ssize_t)n;
}

static void unref_buf(void *b)
{
    http_buf_unref(b);
}

void http_reply_buf(HttpRequest *r, int status, const HttpHeader *h, size_t n_h, HttpBuf *body)
{
    size_t n = body ? body->n : 0;
    struct MHD_Response *p;
    if (n > BIG && r->state < REQUEST_ANSWERED) {
        r->big = http_buf_ref(body);
        p = MHD_create_response_from_callback(n, BIG_BLOCK, on_read_big, r, NULL);
    } else {
        p = n ? MHD_create_response_from_buffer_with_free_callback_cls(n, body->bytes, unref_buf, http_buf_ref(body))
              : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
        r->sent = p && !(r->method && strcmp(r->method, "HEAD") == 0) ? n : 0;
    }
    if (p)
        request_headers(p, h, n_h);
    request_answer(r, status, p);
}

void http_reply(HttpRequest *r, int status, const HttpHeader *h, size_t n_h, const void *body, size_t n)
{
    SCOPED(http_buf_unref) HttpBuf *b = http_buf_new(body, n);
    http_reply_buf(r, status, h, n_h, b);
}

void error_text(HttpServer *s, int status, const char *message, Str *out, const char **ret_type)
{
    *ret_type = s->ops->error_body ? s->ops->error_body(s->arg, status, message, out) : NULL;
    if (!*ret_type) {
        str_fmt(out, "%s\n", message);
        *ret_type = "text/plain; charset=utf-8";
    }
}

void http_reply_error(HttpRequest *r, int status, const char *message)
{
    SCOPED(str_done) Str text = {0};
    const char *type;
    error_text(r->server, status, message, &text, &type);
    HttpHeader h[] = {{"Content-Type", type}, {"Retry-After", "1"}};
    http_reply(r, status, h, status == 503 || status == 429 ? 2 : 1, text.p, text.n);
}

/* --- from libmicrohttpd ------------------------------------------------------------------------------------------- */

size_t request_unescape(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls, (void)mhd;
    return strlen(s); /* left as it is */
}

void *request_begin(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    HttpServer *s = server_of(cls);
    Conn *c = conn_of(mhd);
    HttpRequest *r = NEW(HttpRequest);
    r->server = s;
    s->holds++;
    r->conn = c;
    r->target = mem_dup_str(str_or(uri, ""));
    r->began_ns = uv_hrtime();
    c->request = r;
    conn_phase(c, CONN_HEADERS);
    return r;
}

static enum MHD_Result queue(HttpRequest *r)
{
    Conn *c = r->conn;
    struct MHD_Response *p = MOVE(r->response, NULL);
    r->state = REQUEST_QUEUED;
    conn_phase(c, r->status == 101 ? CONN_UPGRADED : r->stream ? CONN_STREAMING : CONN_SENDING);
    enum MHD_Result rc = MHD_queue_response(c->mhd, (unsigned)r->status, p);
    MHD_destroy_response(p);
    return rc;
}

static void look_at_head(HttpRequest *r, const char *version)
{
    HttpServer *s = r->server;
    (void)identity_of(r->conn);
    r->http10 = strcmp(version, "HTTP/1.1") != 0;
    const char *length = header(r, "Content-Length");
    r->has_body = header(r, "Transfer-Encoding") || (length && strspn(length, "0") != strlen(length));
    r->expects = r->has_body && header(r, "Expect");
    r->limit = s->limits.max_body;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t uri = strlen(r->target);
    char *q = strchr(r->target, '?');
    if (q) {
        *q = '\0';
        r->query = q + 1;
    }
    if (uri > s->limits.max_header / 2) {
        http_reply_error(r, 414, "the request's URI is too long");
    } else if (info && info->header_size > s->limits.max_header) {
        http_reply_error(r, 431, "the request's headers are too long");
    } else if (r->target[0] != '/' && strcmp(r->target, "*") != 0) {
        http_reply_error(r, 400, "the request's target must be a path");
    } else if (s->ops->on_head) {
        r->limit = s->ops->on_head(s->arg, r);
    }
    if (r->state == REQUEST_ANSWERED || !r->has_body)
        return;
    if (length && (strlen(length) > 18 || strtoull(length, NULL, 10) > r->limit)) {
        http_reply_error(r, 413, "the request's body is too large");
        if (strlen(length) > 18 || strtoull(length, NULL, 10) > HTTP_SWALLOW + r->limit)
            r->expects = true; /* answered at once; the client may not see it for all it still sends */
    }
}

static void take_body(HttpRequest *r, const char *bytes, size_t n)
{
    HttpServer *s = r->server;
    if (r->state == REQUEST_ANSWERED) {
        r->swallowed += n;
    } else if (n > r->limit - r->body.n) {
        http_reply_error(r, 413, "the request's body is too large");
    } else if (n > s->limits.max_bodies - s->body_bytes) {
        http_reply_error(r, 503, "too many requests with large bodies");
    } else {
        str_add_n(&r->body, bytes, n);
        s->body_bytes += n;
        r->counted += n;
    }
}

static enum MHD_Result all_is_there(HttpRequest *r)
{
    HttpServer *s = r->server;
    Conn *c = r->conn;
    if (r->state < REQUEST_HANDLING) {
        r->state = REQUEST_HANDLING;
        conn_phase(c, CONN_HANDLING);
        s->ops->handler(s->arg, r);
    }
    if (r->state == REQUEST_ANSWERED)
        return queue(r);
    if (c->dead || s->freed)
        return MHD_NO;
    /* Suspended now, it would read first when it is resumed, and drop a client that has half-closed. It asks again at once: then it no
     * longer means to read. */
    if (r->blocked)
        conn_suspend(c);
    r->blocked = true;
    return MHD_YES;
}

enum MHD_Result request_step(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                             const char *bytes, size_t *n, void **at)
{
    HttpRequest *r = *at;
    (void)cls, (void)mhd, (void)url;
    if (!r || r->conn->dead || r->server->freed)
        return MHD_NO;
    r->method = method;
    if (r->state == REQUEST_HEAD) {
        conn_phase(r->conn, CONN_BODY);
        r->state = REQUEST_BODY;
        look_at_head(r, version);
        /* At once, since the client waits for our word before it sends the body; then libmicrohttpd closes. */
        return r->state == REQUEST_ANSWERED && r->expects ? queue(r) : MHD_YES;
    }
    if (*n) {
        take_body(r, bytes, *n);
        *n = 0;
        return r->swallowed > HTTP_SWALLOW ? MHD_NO : MHD_YES;
    }
    return all_is_there(r);
}

static void tell_log(const HttpRequest *r, const Conn *c, int status)
{
    HttpServer *s = r->server;
    if (!s->ops->on_log)
        return;
    char uid[32] = "";
    if (c->identity.kind == HTTP_PEER)
        (void)snprintf(uid, sizeof uid, "uid:%u", c->identity.uid);
    HttpLog l = {.method = http_method(r), .path = r->target, .query = http_query(r), .user_agent = str_or(header(r, "User-Agent"), ""),
                 .user = r->user ? r->user : c->identity.kind == HTTP_CERT ? c->user : uid, .remote = c->remote, .status = status,
                 .bytes = r->sent, .took_ns = (int64_t)(uv_hrtime() - r->began_ns)};
    s->ops->on_log(s->arg, &l);
}

void request_completed(void *cls, struct MHD_Connection *mhd, void **at, enum MHD_RequestTerminationCode how)
{
    HttpRequest *r = MOVE(*at, NULL);
    (void)cls, (void)how;
    if (!r)
        return;
    Conn *c = r->conn;
    HttpServer *s = r->server;
    int status = r->status;
    if (!status) { /* libmicrohttpd's own words */
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
        status = info ? (int)info->http_status : 0;
    }
    tell_log(r, c, status);
    c->request = NULL;
    if (r->stream)
        stream_request_over(MOVE(r->stream, NULL));
    if (c->server)
        conn_phase(c, CONN_IDLE);
    if (s->stopping && !c->duplex)
        (void)shutdown(c->fd, SHUT_RD); /* no next one */
    if (r->state != REQUEST_HANDLING) {
        request_free(r);
        return;
    }
    r->method = r->method_copy = mem_dup_str(str_or(r->method, "")); /* libmicrohttpd's goes */
    r->conn = NULL;
    if (s->ops->on_gone) {
        s->ops->on_gone(s->arg, r);
        request_free(r);
    }
}
