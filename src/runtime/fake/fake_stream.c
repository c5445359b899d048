/* The fake's streams: no command, no connection, but bytes that go the ways they would. What is written comes back (an exec's or attach's on
 * stdout, a connection's from the peer); exec's argv may say more: "exit", "N" ends with code N once stdin has ended, "fail", TEXT fails. */
#include "runtime/fake/fake.h"

typedef struct {
    RuntimeStream base; /* first */
    RuntimeStreamConfig config;
    uv_timer_t timer;
    Str queue; /* to come back */
    char *failure;
    int code;
    unsigned width, height;
    bool opened, ending, paused, told, closed;
} FakeStream;

static FakeStream *of(RuntimeStream *s)
{
    return (FakeStream *)(void *)s;
}

static void over(FakeStream *s)
{
    SCOPED(mem_free) char *text = mem_fmt("command terminated with exit code %d", s->code);
    const RemoteStatus status = s->failure ? (RemoteStatus){REMOTE_FAILED, 0, s->failure}
                                : s->code  ? (RemoteStatus){REMOTE_EXIT_CODE, s->code, text}
                                           : (RemoteStatus){REMOTE_SUCCESS, 0, ""};
    s->told = true;
    if (s->config.ops->on_over)
        s->config.ops->on_over(s->config.arg, &status);
}

/* One thing a turn; a callback may close it. */
static void on_timer(uv_timer_t *t)
{
    FakeStream *s = t->data;
    if (s->failure || (s->opened && s->ending && !s->queue.n)) {
        over(s);
    } else if (!s->opened) {
        s->opened = true;
        if (s->config.ops->on_open)
            s->config.ops->on_open(s->config.arg);
    } else if (s->queue.n && !s->paused) {
        SCOPED(str_done) Str some = MOVE(s->queue, (Str){0});
        if (s->config.ops->on_data)
            s->config.ops->on_data(s->config.arg, REMOTE_STDOUT, some.p, some.n);
        if (!s->closed && s->config.ops->on_sent)
            s->config.ops->on_sent(s->config.arg);
    }
    if (!s->closed && !s->told && ((s->queue.n && !s->paused) || (s->ending && !s->queue.n)))
        (void)uv_timer_start(&s->timer, on_timer, 0, 0);
}

static void wake(FakeStream *s)
{
    if (!s->told && !s->closed)
        (void)uv_timer_start(&s->timer, on_timer, 0, 0);
}

static void stream_write(RuntimeStream *base, const void *bytes, size_t n)
{
    FakeStream *s = of(base);
    if (!s->ending)
        str_add_n(&s->queue, bytes, n);
    wake(s);
}

static void stream_end(RuntimeStream *base)
{
    of(base)->ending = true;
    wake(of(base));
}

static size_t stream_queued(const RuntimeStream *base)
{
    return ((const FakeStream *)(const void *)base)->queue.n;
}

static void stream_pause(RuntimeStream *base, bool pause)
{
    of(base)->paused = pause;
    wake(of(base));
}

/* Seen as text. */
static void stream_resize(RuntimeStream *base, unsigned width, unsigned height)
{
    str_fmt(&of(base)->queue, "%ux%u\n", width, height);
    wake(of(base));
}

static void on_closed(uv_handle_t *h)
{
    FakeStream *s = h->data;
    str_done(&s->queue);
    free(s->failure);
    free(s);
}

static void stream_close(RuntimeStream *base)
{
    FakeStream *s = of(base);
    if (!MOVE(s->closed, true))
        uv_close((uv_handle_t *)&s->timer, on_closed);
}

RuntimeStream *fake_stream_new(uv_loop_t *loop, const RuntimeStreamConfig *c)
{
    static const RuntimeStreamMethods methods = {stream_write, stream_end, stream_queued, stream_pause, stream_resize, stream_close};
    FakeStream *s = NEW(FakeStream);
    const char *verb = c->argv ? c->argv[0] : NULL, *word = verb ? c->argv[1] : NULL;
    int64_t code = 0;
    *s = (FakeStream){.base.methods = &methods, .config = *c, .timer.data = s};
    if (str_eq(verb, "exit") && str_to_i64(str_or(word, ""), &code))
        s->code = (int)code;
    if (str_eq(verb, "fail"))
        s->failure = mem_dup_str(str_or(word, "it fails"));
    s->config.argv = NULL;
    (void)uv_timer_init(loop, &s->timer);
    wake(s);
    return &s->base;
}
