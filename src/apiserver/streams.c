/* streams.c - the part of exec, attach, port-forward and logs that is the same for all: kube-apiserver's registry/core/pod/strategy.go
 * (which container), apimachinery's httpstream and wsstream (which protocol). */
#include "apiserver/streams.h"

#include "stream/websocket.h"

struct PodStreams {
    OpenStream *first;
};

/* --- whose ---------------------------------------------------------------------------------------------------------- */

json_t *stream_pod(ApiCall *c)
{
    const ObjItem *i = api_stored(c);
    if (!i)
        api_reply_status(c, api_not_found(c));
    return i ? objitem_json(i) : NULL;
}

/* In the order of podutil.VisitContainers(). */
static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};

const json_t *stream_container_spec(const json_t *pod, const char *name)
{
    const json_t *spec = json_object_get(pod, "spec");
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        size_t i;
        const json_t *o;
        json_array_foreach (json_object_get(spec, lists[l]), i, o)
            if (str_eq(json_str(o, "name"), name))
                return o;
    }
    return NULL;
}

static char *all_names(const json_t *spec)
{
    Str s = {0};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        size_t i;
        const json_t *o;
        json_array_foreach (json_object_get(spec, lists[l]), i, o)
            str_fmt(&s, "%s%s", s.n ? " " : "", str_or(json_str(o, "name"), ""));
    }
    return str_take(&s);
}

bool stream_container(ApiCall *c, const json_t *pod, const char *name, const char **ret)
{
    const json_t *spec = json_object_get(pod, "spec"), *containers = json_object_get(spec, "containers");
    const char *pod_name = str_or(c->kr.name, "");
    if (*name) {
        *ret = json_str(stream_container_spec(pod, name), "name");
        if (!*ret)
            api_reply_status(c, kube_bad_request("container %s is not valid for pod %s", name, pod_name));
        return *ret != NULL;
    }
    if (json_array_size(containers) == 1) {
        *ret = json_str(json_array_get(containers, 0), "name");
        return true;
    }
    SCOPED(mem_free) char *names = all_names(spec);
    api_reply_status(c, *names ? kube_bad_request("a container name must be specified for pod %s, choose one of: [%s]", pod_name, names)
                               : kube_bad_request("a container name must be specified for pod %s", pod_name));
    return false;
}

/* --- how many ------------------------------------------------------------------------------------------------------- */

bool stream_admit(ApiCall *c)
{
    if (c->s->stopping)
        api_reply_status(c, kube_unavailable("the server is shutting down"));
    else if (c->s->n_streams >= c->s->max_streams)
        api_reply_status(c, kube_too_many_requests("too many streams are open, please try again later", 1));
    else
        return true;
    return false;
}

void stream_opened(OpenStream *o, ApiServer *s)
{
    if (!s->streams)
        s->streams = NEW(PodStreams);
    o->s = s;
    o->next = s->streams->first;
    s->streams->first = o;
    s->n_streams++;
}

void stream_gone(OpenStream *o)
{
    for (OpenStream **at = &o->s->streams->first; *at; at = &(*at)->next)
        if (*at == o) {
            *at = o->next;
            o->s->n_streams--;
            return;
        }
}

void pod_streams_stop(ApiServer *s)
{
    while (s->streams && s->streams->first)
        s->streams->first->stop(s->streams->first);
}

void pod_streams_free(ApiServer *s)
{
    free(MOVE(s->streams, NULL));
}

/* --- how ------------------------------------------------------------------------------------------------------------ */

void stream_upgrade_done(StreamUpgrade *u)
{
    free(u->accept);
    *u = (StreamUpgrade){0};
}

void stream_refuse(ApiCall *c, int code, const char *message)
{
    api_reply_text(c, code, "text/plain; charset=utf-8", message, strlen(message));
}

typedef struct {
    const char *name;
    Str values; /* of all headers of that name: clients write them in one line or in many */
} Gather;

static void gather(void *arg, const char *name, const char *value)
{
    Gather *g = arg;
    if (strcasecmp(name, g->name) == 0)
        str_fmt(&g->values, "%s%s", g->values.n ? ", " : "", value);
}

static char *header_all(const ApiCall *c, const char *name)
{
    Gather g = {.name = name};
    http_headers_each(c->req, gather, &g);
    return str_take(&g.values);
}

static bool read_websocket(ApiCall *c, const char *(*choose)(const char *, bool), StreamUpgrade *ret)
{
    const char *key = http_header(c->req, "Sec-WebSocket-Key"), *version = http_header(c->req, "Sec-WebSocket-Version");
    SCOPED(mem_free) char *offered = header_all(c, "Sec-WebSocket-Protocol");
    ret->websocket = true;
    ret->protocol = choose(offered, true);
    if (!str_eq(http_method(c->req), "GET") || !key || !str_eq(version, "13")) {
        api_reply_status(c, kube_bad_request("unable to upgrade: a WebSocket begins with GET, Sec-WebSocket-Key and Sec-WebSocket-Version 13"));
        return false;
    }
    if (!ret->protocol) {
        api_reply_status(c, kube_bad_request("unable to upgrade: none of the WebSocket protocols [%s] is served here", offered));
        return false;
    }
    ret->accept = websocket_accept(key);
    return true;
}

static bool read_spdy(ApiCall *c, const char *(*choose)(const char *, bool), StreamUpgrade *ret)
{
    SCOPED(mem_free) char *offered = header_all(c, "X-Stream-Protocol-Version");
    if (!*offered) {
        stream_refuse(c, 400, "unable to upgrade: X-Stream-Protocol-Version is required");
        return false;
    }
    ret->protocol = choose(offered, false);
    if (ret->protocol)
        return true;
    SCOPED(mem_free) char *text = mem_fmt("unable to upgrade: unable to negotiate protocol: client supports [%s]", offered);
    stream_refuse(c, 403, text);
    return false;
}

bool stream_upgrade_read(ApiCall *c, const char *(*choose)(const char *offered, bool websocket), StreamUpgrade *ret)
{
    *ret = (StreamUpgrade){0};
    bool upgrade = http_header_has(c->req, "Connection", "upgrade");
    if (upgrade && http_header_has(c->req, "Upgrade", "websocket"))
        return read_websocket(c, choose, ret);
    if (upgrade && http_header_has(c->req, "Upgrade", "SPDY/3.1"))
        return read_spdy(c, choose, ret);
    api_reply_status(c, kube_bad_request("Upgrade request required"));
    return false;
}

static HttpDuplex *answer(ApiCall *c, const StreamUpgrade *u, const HttpDuplexOps *ops, void *arg)
{
    HttpHeader h[2];
    size_t n = 0;
    if (u->websocket)
        h[n++] = (HttpHeader){"Sec-WebSocket-Accept", u->accept};
    if (*u->protocol)
        h[n++] = (HttpHeader){u->websocket ? "Sec-WebSocket-Protocol" : "X-Stream-Protocol-Version", u->protocol};
    HttpRequest *r = MOVE(c->req, NULL);
    http_set_data(r, NULL);
    return http_upgrade(r, u->websocket ? "websocket" : "SPDY/3.1", h, n, ops, arg);
}

/* --- what is carried ------------------------------------------------------------------------------------------------- */

static void on_freed(uv_handle_t *h)
{
    Upgraded *x = h->data;
    free(x->uid);
    x->ops->done(x);
}

void upgraded_close(Upgraded *x)
{
    if (MOVE(x->closed, true))
        return;
    stream_gone(&x->open);
    x->ops->over(x);
    if (x->duplex)
        http_duplex_close(MOVE(x->duplex, NULL));
    uv_close((uv_handle_t *)&x->timer, on_freed);
}

static void on_stop(OpenStream *o)
{
    upgraded_close((Upgraded *)(void *)o);
}

static void on_open(void *arg)
{
    Upgraded *x = arg;
    x->ops->open(x);
}

static void on_data(void *arg, const uint8_t *bytes, size_t n)
{
    Upgraded *x = arg;
    x->ops->recv(x, bytes, n);
}

static void on_sent(void *arg)
{
    Upgraded *x = arg;
    x->ops->sent(x);
}

static void on_end(void *arg)
{
    upgraded_close(arg);
}

static void on_close(void *arg, Err *why)
{
    Upgraded *x = arg;
    x->duplex = NULL;
    err_free(why);
    upgraded_close(x);
}

void upgraded_begin(Upgraded *x, const UpgradedOps *ops, ApiCall *c, const StreamUpgrade *u)
{
    static const HttpDuplexOps duplex_ops = {on_open, on_data, on_sent, on_end, on_close};
    x->ops = ops;
    x->open.stop = on_stop;
    x->timer.data = x;
    (void)uv_timer_init(c->s->loop, &x->timer);
    stream_opened(&x->open, c->s);
    x->duplex = answer(c, u, &duplex_ops, x);
    if (!x->duplex)
        upgraded_close(x);
}
