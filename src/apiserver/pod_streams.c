/* pod_streams.c - exec and attach: between a client's streams (stream/remotecommand.h over an upgraded connection) and the runtime's.
 * Neither side is read while the other is behind; what one command can hold here is bounded by STREAM_QUEUE_MAX each way. */
#include "apiserver/streams.h"

typedef struct {
    Upgraded up; /* first */
    Remote *remote;
    RuntimeStream *stream;
    bool attach, started;
    char *id;
    StrVec command;
    RemoteConfig config;
} Session;

static void on_done(Upgraded *up)
{
    Session *x = (Session *)up;
    remote_free(x->remote);
    strvec_done(&x->command);
    free(x->id);
    free(x);
}

static void on_over(Upgraded *up)
{
    runtime_stream_close(MOVE(((Session *)up)->stream, NULL));
}

/* What there is to say goes out; closes behind the last word. */
static void flush(Session *x)
{
    if (x->up.closed || !x->up.duplex)
        return;
    SCOPED(str_done) Str out = {0};
    remote_take(x->remote, &out);
    http_duplex_write(x->up.duplex, str_or(out.p, ""), out.n);
    if (x->stream)
        runtime_stream_pause(x->stream, http_duplex_queued(x->up.duplex) > STREAM_QUEUE_MAX);
    if (remote_over(x->remote) && !remote_queued(x->remote))
        upgraded_close(&x->up); /* what is queued is still sent */
}

/* --- the runtime's side --------------------------------------------------------------------------------------------- */

static void on_output(void *arg, RemoteStream which, const void *bytes, size_t n)
{
    Session *x = arg;
    remote_write(x->remote, which, bytes, n);
    flush(x);
}

/* Nobody reads stdin any more: what comes is dropped. An output's end is told with the status. */
static void on_stream_sent(void *arg)
{
    Session *x = arg;
    if (x->up.duplex)
        http_duplex_pause(x->up.duplex, false);
}

static void on_stream_end(void *arg, RemoteStream which)
{
    if (which == REMOTE_STDIN)
        on_stream_sent(arg);
}

static void on_stream_over(void *arg, const RemoteStatus *s)
{
    Session *x = arg;
    runtime_stream_close(MOVE(x->stream, NULL));
    remote_finish(x->remote, s);
    flush(x);
}

static const RuntimeStreamOps stream_ops = {.on_data = on_output, .on_end = on_stream_end, .on_sent = on_stream_sent,
                                            .on_over = on_stream_over};

/* --- the client's side ---------------------------------------------------------------------------------------------- */

/* All streams are there: with a WebSocket from the beginning. */
static void on_ready(void *arg)
{
    Session *x = arg;
    if (MOVE(x->started, true))
        return;
    Runtime *rt = x->up.open.s->rt;
    const RuntimeStreamConfig c = {.argv = (const char *const *)x->command.v, .stdin_ = x->config.stdin_, .stdout_ = x->config.stdout_,
                                   .stderr_ = x->config.stderr_, .tty = x->config.tty, .ops = &stream_ops, .arg = x};
    Err *e = (x->attach ? rt->ops->attach : rt->ops->exec)(rt, x->up.uid, x->id, &c, &x->stream);
    if (!e)
        return;
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    remote_finish(x->remote, &(RemoteStatus){REMOTE_FAILED, 0, text});
}

static void on_input(void *arg, RemoteStream which, const uint8_t *bytes, size_t n)
{
    Session *x = arg;
    (void)which;
    if (!x->stream)
        return;
    runtime_stream_write(x->stream, bytes, n);
    if (x->up.duplex && runtime_stream_queued(x->stream) > STREAM_QUEUE_MAX)
        http_duplex_pause(x->up.duplex, true);
}

static void on_input_end(void *arg, RemoteStream which)
{
    Session *x = arg;
    if (x->stream && which == REMOTE_STDIN)
        runtime_stream_end(x->stream);
}

static void on_resize(void *arg, unsigned width, unsigned height)
{
    Session *x = arg;
    if (x->stream)
        runtime_stream_resize(x->stream, width, height);
}

static const RemoteOps remote_ops = {.on_ready = on_ready, .on_data = on_input, .on_end = on_input_end, .on_resize = on_resize};

static void on_open(Upgraded *up)
{
    Session *x = (Session *)up;
    if (x->config.websocket)
        on_ready(x);
    flush(x);
}

static void on_bytes(Upgraded *up, const uint8_t *bytes, size_t n)
{
    Session *x = (Session *)up;
    Err *e = remote_recv(x->remote, bytes, n);
    flush(x);
    if (e) /* it breaks the protocol */
        upgraded_close(up);
    err_free(e);
}

static void on_sent(Upgraded *up)
{
    flush((Session *)up);
}

static const UpgradedOps session_ops = {on_open, on_bytes, on_sent, on_over, on_done};

/* --- beginning ------------------------------------------------------------------------------------------------------ */

static const char *choose(const char *offered, bool websocket)
{
    const RemoteProtocol *p = *offered ? remote_protocol_choose(offered, websocket) : remote_protocol("", websocket);
    return !p ? NULL : *offered ? p->name : "";
}

/* The id of the instance that runs; NULL = none does. Caller frees. */
static char *running(ApiServer *s, const char *uid, const char *container)
{
    PodFacts facts = {0};
    char *id = NULL;
    if (s->rt)
        s->rt->ops->pod_facts(s->rt, uid, &facts);
    const ContainerFact *f = pod_facts_newest(&facts, container);
    if (f && f->state == RUN_RUNNING)
        id = mem_dup_str(f->id);
    pod_facts_done(&facts);
    return id;
}

static void begin(ApiCall *c, bool attach, PodExecOptions *o)
{
    SCOPED(json_unref) json_t *pod = stream_pod(c);
    SCOPED(stream_upgrade_done) StreamUpgrade u = {0};
    const char *container;
    if (!pod || !stream_container(c, pod, o->container, &container) || !stream_upgrade_read(c, choose, &u) || !stream_admit(c))
        return;
    const char *uid = str_or(json_str(json_object_get(pod, "metadata"), "uid"), "");
    char *id = running(c->s, uid, container);
    if (!id) {
        SCOPED(mem_free) char *text = mem_fmt("container not found (\"%s\")", container);
        stream_refuse(c, 500, text);
        return;
    }
    Session *x = NEW(Session);
    *x = (Session){.up.uid = mem_dup_str(uid), .attach = attach, .id = id, .command = MOVE(o->command, (StrVec){0})};
    /* A container's own terminal decides how its output comes, whatever the client believes. */
    bool tty = attach ? json_flag(stream_container_spec(pod, container), "tty", false) : o->tty;
    x->config = (RemoteConfig){.server = true, .protocol = remote_protocol(u.protocol, u.websocket), .websocket = u.websocket,
                               .stdin_ = o->in, .stdout_ = o->out, .stderr_ = o->err, .tty = o->tty, .ops = &remote_ops, .arg = x};
    x->remote = remote_new(&x->config);
    x->config.tty = tty;
    x->config.stderr_ = o->err && !tty;
    upgraded_begin(&x->up, &session_ops, c, &u);
}

static void exec_or_attach(ApiCall *c, bool attach)
{
    SCOPED(exec_options_done) PodExecOptions o;
    json_t *bad = kube_exec_options(&c->kr, &o);
    if (bad)
        api_reply_status(c, bad);
    else
        begin(c, attach, &o);
}

void pod_exec(ApiCall *c)
{
    exec_or_attach(c, false);
}

void pod_attach(ApiCall *c)
{
    exec_or_attach(c, true);
}
