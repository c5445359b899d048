/* Streams over CRI: the runtime gives a URL for each (Exec, Attach, PortForward), and what is spoken there is stream/'s. A connection
 * of a port-forward has a session of its own, so that one which is not read holds up no other. */
#include "runtime/cri/cri_priv.h"
#include "stream/dial.h"
#include "stream/portforward.h"

#define SERVERS_WORDS "Internal error occurred: " /* before what went wrong: whoever passes it on as a Status adds them again */

typedef struct {
    RuntimeStream base; /* first */
    uv_loop_t *loop;
    RuntimeStreamConfig config;
    RemoteConfig remote_config;
    uv_timer_t timer; /* tells what must not be told from within; our memory goes with it */
    Dial *dial;
    Remote *remote;
    PortForward *session;
    PortConn *conn;
    unsigned port; /* 0 = exec or attach */
    Str early;
    unsigned width, height;
    bool asking; /* the runtime has not given the URL */
    bool opened, ending, paused, told, lost, closed;
    RemoteStatus status;
    char *message;
} CriStream;

static CriStream *of(RuntimeStream *s)
{
    return (CriStream *)(void *)s;
}

static void on_closed(uv_handle_t *h)
{
    CriStream *s = h->data;
    remote_free(s->remote);
    portforward_free(s->session);
    str_done(&s->early);
    free(s->message);
    free(s);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void over(CriStream *s, RemoteEnd end, int code, const char *message)
{
    if (s->told || s->closed)
        return;
    s->told = true;
    dial_free(MOVE(s->dial, NULL));
    if (str_starts(message, SERVERS_WORDS))
        message += strlen(SERVERS_WORDS);
    s->message = mem_dup_str(message);
    s->status = (RemoteStatus){end, code, s->message};
    if (s->config.ops->on_over)
        s->config.ops->on_over(s->config.arg, &s->status);
}

static void over_with(CriStream *s, Err *e)
{
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    over(s, REMOTE_FAILED, 0, text);
}

/* --- a command's streams ------------------------------------------------------------------------------------------ */

static void on_data(void *arg, RemoteStream which, const uint8_t *bytes, size_t n)
{
    CriStream *s = arg;
    if (!s->closed && !s->told && s->config.ops->on_data)
        s->config.ops->on_data(s->config.arg, which, bytes, n);
}

static void on_end(void *arg, RemoteStream which)
{
    CriStream *s = arg;
    if (!s->closed && !s->told && s->config.ops->on_end)
        s->config.ops->on_end(s->config.arg, which);
}

static void on_status(void *arg, const RemoteStatus *st)
{
    over(arg, st->end, st->code, st->message);
}

static const RemoteOps remote_ops = {.on_data = on_data, .on_end = on_end, .on_status = on_status};

/* --- a connection to a port --------------------------------------------------------------------------------------- */

static void on_port_data(void *arg, PortConn *c, const uint8_t *bytes, size_t n)
{
    (void)c;
    on_data(arg, REMOTE_STDOUT, bytes, n);
}

static void on_port_end(void *arg, PortConn *c)
{
    (void)c;
    on_end(arg, REMOTE_STDOUT);
}

static void on_port_close(void *arg, PortConn *c, const char *why)
{
    CriStream *s = arg;
    (void)c;
    s->conn = NULL;
    if (why)
        over(s, REMOTE_FAILED, 0, why);
    else
        over(s, s->lost ? REMOTE_LOST : REMOTE_SUCCESS, 0, s->lost ? "lost connection to pod" : "");
}

static const PortForwardOps port_ops = {.on_data = on_port_data, .on_end = on_port_end, .on_close = on_port_close};

/* --- the connection ----------------------------------------------------------------------------------------------- */

static void put(CriStream *s, const void *bytes, size_t n)
{
    if (s->conn)
        portconn_write(s->conn, bytes, n);
    else if (s->remote)
        remote_write(s->remote, REMOTE_STDIN, bytes, n);
}

static void put_end(CriStream *s)
{
    if (s->conn)
        portconn_end(s->conn);
    else if (s->remote)
        (void)remote_end(s->remote, REMOTE_STDIN);
}

static void on_open(void *arg, const char *protocol)
{
    CriStream *s = arg;
    if (s->port) {
        s->session = portforward_new(false, &port_ops, s);
        s->conn = portforward_open(s->session, s->port, NULL);
    } else {
        s->remote_config.protocol = remote_protocol(protocol, s->config.websocket); /* it is one of those that we offered */
        s->remote = remote_new(&s->remote_config);
    }
    s->opened = true;
    if (s->remote && s->width)
        remote_resize(s->remote, s->width, s->height);
    SCOPED(str_done) Str early = MOVE(s->early, (Str){0});
    if (early.n)
        put(s, early.p, early.n);
    if (s->ending)
        put_end(s);
    if (s->config.ops->on_open)
        s->config.ops->on_open(s->config.arg);
}

static Err *on_bytes(void *arg, const void *bytes, size_t n)
{
    CriStream *s = arg;
    return s->session ? portforward_recv(s->session, bytes, n) : remote_recv(s->remote, bytes, n);
}

static void pull(void *arg, Str *out)
{
    CriStream *s = arg;
    if (s->session)
        portforward_take(s->session, out);
    else if (s->remote)
        remote_take(s->remote, out);
}

static void on_sent(void *arg)
{
    CriStream *s = arg;
    if (s->config.ops->on_sent)
        s->config.ops->on_sent(s->config.arg);
}

static void on_over(void *arg, Err *why)
{
    CriStream *s = arg;
    s->lost = true;
    if (why)
        over_with(s, why);
    else if (s->session)
        portforward_lost(s->session);
    else if (s->remote)
        remote_lost(s->remote);
    over(s, REMOTE_LOST, 0, s->port ? "lost connection to pod" : "lost connection to the container");
}

static const DialOps dial_ops = {on_open, on_bytes, pull, on_sent, on_over};

static Err *dial(CriStream *s, const char *url)
{
    static const char *const port[] = {PORTFORWARD_PROTOCOL, NULL};
    static const char *const spdy[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", NULL};
    static const char *const websocket[] = {"v4.channel.k8s.io", NULL}; /* no runtime has v5; containerd answers 403 to a list with it */
    bool ws = s->config.websocket && !s->port;
    const DialConfig c = {.loop = s->loop, .url = url, .websocket = ws, .protocols = s->port ? port : ws ? websocket : spdy,
                          .ops = &dial_ops, .arg = s};
    Err *e = dial_new(&c, &s->dial);
    if (!e && s->paused)
        dial_pause(s->dial, true);
    return e;
}

/* --- the methods -------------------------------------------------------------------------------------------------- */

static void stream_write(RuntimeStream *base, const void *bytes, size_t n)
{
    CriStream *s = of(base);
    if (s->ending || s->told)
        return;
    if (s->opened) {
        put(s, bytes, n);
        dial_flush(s->dial);
    } else {
        str_add_n(&s->early, bytes, n);
    }
}

static void stream_end(RuntimeStream *base)
{
    CriStream *s = of(base);
    if (s->told || MOVE(s->ending, true) || !s->opened)
        return;
    put_end(s);
    dial_flush(s->dial);
}

static size_t stream_queued(const RuntimeStream *base)
{
    const CriStream *s = (const CriStream *)(const void *)base;
    return s->early.n + (s->session ? portforward_queued(s->session) : s->remote ? remote_queued(s->remote) : 0);
}

static void stream_pause(RuntimeStream *base, bool pause)
{
    CriStream *s = of(base);
    s->paused = pause;
    if (s->dial)
        dial_pause(s->dial, pause);
}

static void stream_resize(RuntimeStream *base, unsigned width, unsigned height)
{
    CriStream *s = of(base);
    s->width = width;
    s->height = height;
    if (!s->remote || s->told)
        return;
    remote_resize(s->remote, width, height);
    dial_flush(s->dial);
}

static void stream_close(RuntimeStream *base)
{
    CriStream *s = of(base);
    if (MOVE(s->closed, true))
        return;
    dial_free(MOVE(s->dial, NULL));
    if (!s->asking) /* else when the runtime has answered */
        uv_close((uv_handle_t *)&s->timer, on_closed);
}

static const RuntimeStreamMethods methods = {stream_write, stream_end, stream_queued, stream_pause, stream_resize, stream_close};

static CriStream *stream_new(uv_loop_t *loop, unsigned port, const RuntimeStreamConfig *c)
{
    CriStream *s = NEW(CriStream);
    *s = (CriStream){.base.methods = &methods, .loop = loop, .config = *c, .port = port, .timer.data = s,
                     .remote_config = {.websocket = c->websocket && !port, .stdin_ = c->stdin_, .stdout_ = c->stdout_,
                                       .stderr_ = c->stderr_ && !c->tty, .tty = c->tty, .ops = &remote_ops, .arg = s}};
    s->config.argv = NULL;
    (void)uv_timer_init(loop, &s->timer);
    return s;
}

Err *cri_stream_dial(uv_loop_t *loop, const char *url, unsigned port, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    CriStream *s = stream_new(loop, port, c);
    Err *e = dial(s, url);
    if (e)
        stream_close(&s->base);
    else
        *ret = &s->base;
    return e;
}

/* --- behind runtime.h --------------------------------------------------------------------------------------------- */

static void on_url(CriStream *s, const char *url, Err *err)
{
    s->asking = false;
    if (s->closed) {
        err_free(err);
        uv_close((uv_handle_t *)&s->timer, on_closed);
        return;
    }
    if (!err)
        err = dial(s, url);
    if (err)
        over_with(s, err);
}

static void on_exec_url(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    (void)code;
    on_url(arg, answer ? ((const Cri__ExecResponse *)(const void *)answer)->url : NULL, err);
}

static void on_attach_url(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    (void)code;
    on_url(arg, answer ? ((const Cri__AttachResponse *)(const void *)answer)->url : NULL, err);
}

static void on_port_url(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    (void)code;
    on_url(arg, answer ? ((const Cri__PortForwardResponse *)(const void *)answer)->url : NULL, err);
}

static CriStream *stream_ask(Runtime *base, unsigned port, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    CriStream *s = stream_new(((CriRuntime *)base)->loop, port, c);
    s->asking = true;
    *ret = &s->base;
    return s;
}

static Err *container_refused(Runtime *rt, const char *id)
{
    Err *e = cri_refused(rt);
    if (!e && !cri_container((CriRuntime *)rt, id))
        e = err_new(ERR_NOT_FOUND, 0, "the runtime holds no container %s", id);
    return e;
}

Err *cri_exec(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    (void)uid;
    Err *e = container_refused(rt, id);
    if (e)
        return e;
    SCOPED(strvec_done) StrVec command = {0};
    SCOPED(mem_free) char *container = mem_dup_str(id);
    for (const char *const *a = c->argv; *a; a++)
        strvec_add(&command, *a);
    Cri__ExecRequest q = CRI__EXEC_REQUEST__INIT;
    q.container_id = container;
    q.n_cmd = command.n;
    q.cmd = command.v;
    q.tty = c->tty;
    q.stdin_ = c->stdin_;
    q.stdout_ = c->stdout_;
    q.stderr_ = c->stderr_ && !c->tty;
    cri_call((CriRuntime *)rt, CRI_EXEC, &q, NULL, on_exec_url, stream_ask(rt, 0, c, ret));
    return NULL;
}

Err *cri_attach(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    (void)uid;
    Err *e = container_refused(rt, id);
    if (e)
        return e;
    SCOPED(mem_free) char *container = mem_dup_str(id);
    Cri__AttachRequest q = CRI__ATTACH_REQUEST__INIT;
    q.container_id = container;
    q.tty = c->tty;
    q.stdin_ = c->stdin_;
    q.stdout_ = c->stdout_;
    q.stderr_ = c->stderr_ && !c->tty;
    cri_call((CriRuntime *)rt, CRI_ATTACH, &q, NULL, on_attach_url, stream_ask(rt, 0, c, ret));
    return NULL;
}

Err *cri_port_forward(Runtime *rt, const char *uid, const char *sandbox_id, unsigned port, const RuntimeStreamConfig *c,
                      RuntimeStream **ret)
{
    (void)uid;
    Err *e = cri_refused(rt);
    if (!e && !cri_sandbox((CriRuntime *)rt, sandbox_id, NULL))
        e = err_new(ERR_NOT_FOUND, 0, "the runtime holds no sandbox %s", sandbox_id);
    if (e)
        return e;
    SCOPED(mem_free) char *sandbox = mem_dup_str(sandbox_id);
    int32_t ports[1] = {(int32_t)port};
    Cri__PortForwardRequest q = CRI__PORT_FORWARD_REQUEST__INIT;
    q.pod_sandbox_id = sandbox;
    q.n_port = 1;
    q.port = ports;
    cri_call((CriRuntime *)rt, CRI_PORT_FORWARD, &q, NULL, on_port_url, stream_ask(rt, port, c, ret));
    return NULL;
}
