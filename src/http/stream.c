/* stream.c - answers that grow: a ring of references to shared bytes, which libmicrohttpd asks for when the client can take more. While
 * there are none, the connection is suspended. */
#include "http/http_priv.h"

#define MAX_QUEUED ((size_t)1 << 20)
#define BLOCK_HTTP10 ((size_t)8 << 10) /* without chunks libmicrohttpd reads into a buffer of this size; with them into none */

HttpBuf *http_buf_take(Str *text)
{
    HttpBuf *b = NEW(HttpBuf);
    b->refs = 1;
    b->n = text->n;
    b->bytes = str_take(text);
    return b;
}

HttpBuf *http_buf_new(const void *bytes, size_t n)
{
    SCOPED(str_done) Str s = {0};
    if (n)
        str_add_n(&s, bytes, n);
    return http_buf_take(&s);
}

HttpBuf *http_buf_ref(HttpBuf *b)
{
    b->refs++;
    return b;
}

void http_buf_unref(HttpBuf *b)
{
    if (!b || --b->refs)
        return;
    free(b->bytes);
    free(b);
}

static void clear(HttpStream *s)
{
    for (; s->n; s->n--, s->first++)
        http_buf_unref(s->queue[s->first & (s->cap - 1)]);
    free(MOVE(s->queue, NULL));
    s->cap = s->first = s->at = s->queued = 0;
}

void stream_request_over(HttpStream *s)
{
    s->request = NULL;
    const HttpStreamOps *ops = MOVE(s->ops, NULL);
    if (ops && ops->on_gone)
        ops->on_gone(s->arg);
    clear(s);
    free(s);
}

static size_t take(HttpStream *s, char *buf, size_t max)
{
    size_t n = 0;
    while (n < max && s->n) {
        HttpBuf *b = s->queue[s->first & (s->cap - 1)];
        size_t part = b->n - s->at < max - n ? b->n - s->at : max - n;
        memcpy(buf + n, b->bytes + s->at, part);
        n += part;
        s->at += part;
        if (s->at == b->n) {
            http_buf_unref(b);
            s->at = 0;
            s->first++;
            s->n--;
        }
    }
    s->queued -= n;
    if (!s->n && s->cap > 16) /* a watcher that caught up costs little again */
        clear(s);
    return n;
}

static ssize_t on_read(void *cls, uint64_t pos, char *buf, size_t max)
{
    HttpStream *s = cls;
    Conn *c = s->request->conn;
    (void)pos;
    c->progress_ms = uv_now(c->held->loop);
    if (c->dead || s->aborted || c->held->freed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!s->n && s->ops && s->want_drained) {
        s->want_drained = false;
        if (s->ops->on_drained)
            s->ops->on_drained(s->arg);
        if (s->aborted)
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (s->n) {
        size_t n = take(s, buf, max);
        s->request->sent += n;
        return (ssize_t)n;
    }
    if (s->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (c->half_closed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    conn_suspend(c);
    conn_deadline(c, 0);
    return 0;
}

HttpStream *http_stream(HttpRequest *r, int status, const HttpHeader *h, size_t n_h, size_t max_queued, const HttpStreamOps *ops, void *arg)
{
    if (!r->conn || r->state >= REQUEST_ANSWERED) {
        request_answer(r, status, NULL);
        return NULL;
    }
    HttpStream *s = NEW(HttpStream);
    s->request = r;
    s->ops = ops;
    s->arg = arg;
    s->max_queued = max_queued ? max_queued : MAX_QUEUED;
    struct MHD_Response *p = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, r->http10 ? BLOCK_HTTP10 : 1, on_read, s, NULL);
    if (p)
        request_headers(p, h, n_h);
    r->stream = s;
    request_answer(r, status, p);
    return s;
}

bool http_stream_send(HttpStream *s, HttpBuf *b)
{
    if (!b->n || s->aborted || s->ended)
        return true;
    if (s->n && b->n > s->max_queued - (s->queued < s->max_queued ? s->queued : s->max_queued))
        return false;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 4;
        HttpBuf **queue = mem_alloc_n(cap, sizeof(HttpBuf *));
        for (size_t i = 0; i < s->n; i++)
            queue[i] = s->queue[(s->first + i) & (s->cap - 1)];
        free(s->queue);
        s->queue = queue;
        s->cap = cap;
        s->first = 0;
    }
    Conn *c = s->request->conn;
    s->queue[(s->first + s->n++) & (s->cap - 1)] = http_buf_ref(b);
    s->queued += b->n;
    s->want_drained = true;
    if (c->suspended && s->request->state == REQUEST_QUEUED) {
        conn_phase(c, CONN_STREAMING);
        conn_resume(c);
    }
    return true;
}

bool http_stream_write(HttpStream *s, const void *bytes, size_t n)
{
    SCOPED(http_buf_unref) HttpBuf *b = http_buf_new(bytes, n);
    return http_stream_send(s, b);
}

size_t http_stream_queued(const HttpStream *s)
{
    return s->queued;
}

void http_stream_end(HttpStream *s)
{
    Conn *c = s->request->conn;
    s->ended = true;
    s->ops = NULL;
    if (s->request->state == REQUEST_QUEUED) {
        conn_phase(c, CONN_STREAMING);
        conn_resume(c);
    }
}

void http_stream_abort(HttpStream *s)
{
    s->aborted = true;
    s->ops = NULL;
    conn_kill(s->request->conn);
}
