/* pod_log.c - GET .../log: a container's log as the kubelet gives it (kubelet_pods.go: validateContainerLogStatus(), GetKubeletContainerLogs()),
 * with what was rotated away, too. A client that is slow is not read for; one that follows is told of growth by inotify, and it ends when
 * the container has ended, which the store tells. */
#include "apiserver/pod_log.h"

#include <stdio.h>

#include "apiserver/streams.h"
#include "loop/logread.h"
#include "os/crilog.h"
#include "os/fs.h"

#define MAX_QUEUED ((size_t)1 << 20) /* of the HTTP stream; a piece that was read stays well below it */

typedef struct {
    OpenStream open; /* first */
    HttpStream *http;
    LogRead *read;
    CriLog filter;
    ObjWatch *watch;
    uv_timer_t timer; /* takes note of changes; our memory goes with it */
    char *container;
    int64_t attempt;
    bool closed;
} LogStream;

/* --- which log: pure --------------------------------------------------------------------------------------------------- */

static const json_t *status_of(const json_t *pod, const char *container)
{
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        size_t i;
        const json_t *o;
        json_array_foreach (json_object_get(json_object_get(pod, "status"), lists[l]), i, o)
            if (str_eq(json_str(o, "name"), container))
                return o;
    }
    return NULL;
}

static const char *terminated_id(const json_t *state)
{
    return str_or(json_str(json_object_get(state, "terminated"), "containerID"), "");
}

char *pod_log_choose(const json_t *pod, const char *container, bool previous, int64_t *ret_attempt, char **ret_id)
{
    const json_t *s = status_of(pod, container), *state = json_object_get(s, "state"), *last = json_object_get(s, "lastState");
    const json_t *waiting = json_object_get(state, "waiting"), *terminated = json_object_get(state, "terminated");
    const char *name = str_or(json_str(json_object_get(pod, "metadata"), "name"), "");
    const char *before = terminated_id(last), *id = "";
    int64_t count = json_i64(s, "restartCount", 0);
    bool lives = json_object_get(state, "running") != NULL, ended = !lives && terminated;
    if (!s)
        return mem_fmt("container \"%s\" in pod \"%s\" is not available", container, name);
    /* Of one that waits, the last instance is the one that is counted. */
    *ret_attempt = (previous || (ended && !*terminated_id(state))) && (lives || ended) ? count - 1 : count;
    if (previous) {
        if (!*before)
            return mem_fmt("previous terminated container \"%s\" in pod \"%s\" not found", container, name);
        id = before;
    } else if (lives) {
        id = str_or(json_str(s, "containerID"), "");
    } else if (ended) {
        id = *terminated_id(state) ? terminated_id(state) : before;
        if (!*id)
            return mem_fmt("container \"%s\" in pod \"%s\" is terminated", container, name);
    } else if (json_object_get(last, "terminated")) {
        id = before;
        if (!*id)
            return mem_fmt("container \"%s\" in pod \"%s\" is terminated", container, name);
    } else if (waiting) {
        const char *reason = str_or(json_str(waiting, "reason"), "");
        const char *words = str_eq(reason, "ErrImagePull")       ? "image can't be pulled"
                            : str_eq(reason, "ImagePullBackOff") ? "trying and failing to pull image"
                                                                 : reason;
        return mem_fmt("container \"%s\" in pod \"%s\" is waiting to start: %s", container, name, words);
    } else {
        return mem_fmt("container \"%s\" in pod \"%s\" is waiting to start - no logs yet", container, name);
    }
    *ret_id = mem_dup_str(id);
    return NULL;
}

/* --- a stream ------------------------------------------------------------------------------------------------------------ */

static void on_freed(uv_handle_t *h)
{
    LogStream *x = h->data;
    free(x->container);
    free(x);
}

static void log_close(LogStream *x, bool whole)
{
    if (MOVE(x->closed, true))
        return;
    stream_gone(&x->open);
    logread_free(MOVE(x->read, NULL));
    objwatch_close(MOVE(x->watch, NULL));
    HttpStream *http = MOVE(x->http, NULL);
    if (http && whole)
        http_stream_end(http);
    else if (http)
        http_stream_abort(http);
    uv_close((uv_handle_t *)&x->timer, on_freed);
}

static void on_stop(OpenStream *o)
{
    log_close((LogStream *)(void *)o, true);
}

static void on_bytes(void *arg, const char *bytes, size_t n)
{
    LogStream *x = arg;
    SCOPED(str_done) Str out = {0};
    bool more = crilog_feed(&x->filter, bytes, n, &out);
    if (out.n && !http_stream_write(x->http, out.p, out.n)) {
        log_close(x, false); /* cannot be: it is read no further than its queue bears */
        return;
    }
    if (!more)
        log_close(x, true);
    else if (http_stream_queued(x->http) > STREAM_QUEUE_MAX)
        logread_pause(x->read, true);
}

static void on_file(void *arg)
{
    LogStream *x = arg;
    crilog_next_file(&x->filter);
}

static void on_over(void *arg)
{
    log_close(arg, true);
}

static const LogReadOps read_ops = {on_bytes, on_file, on_over};

static void on_drained(void *arg)
{
    LogStream *x = arg;
    logread_pause(x->read, false);
}

static void on_gone(void *arg)
{
    LogStream *x = arg;
    x->http = NULL;
    log_close(x, false);
}

static const HttpStreamOps http_ops = {on_drained, on_gone};

/* --- until when ---------------------------------------------------------------------------------------------------------- */

/* An exit is in the log before it is in the status. */
static bool lives(const json_t *pod, const char *container, int64_t attempt)
{
    const json_t *s = status_of(pod, container);
    return json_object_get(json_object_get(s, "state"), "running") && json_i64(s, "restartCount", 0) == attempt;
}

static void look(LogStream *x)
{
    bool over = false;
    ObjEvent e;
    for (ObjNext next; (next = objwatch_next(x->watch, &e)) != OBJ_NONE;) {
        if (next == OBJ_GONE || e.type == OBJ_DELETED) {
            over = true;
            break;
        }
        SCOPED(json_unref) json_t *pod = e.item ? objitem_json(e.item) : NULL;
        over = over || (pod && !lives(pod, x->container, x->attempt));
    }
    if (!over)
        return;
    objwatch_close(MOVE(x->watch, NULL));
    logread_finish(x->read);
}

static void on_look(uv_timer_t *t)
{
    LogStream *x = t->data;
    if (!x->closed && x->watch)
        look(x);
}

/* From inside a write: only taken note of. */
static void on_changed(void *arg)
{
    LogStream *x = arg;
    if (!x->closed)
        (void)uv_timer_start(&x->timer, on_look, 0, 0);
}

/* --- beginning ------------------------------------------------------------------------------------------------------------ */

static int64_t since_of(const PodLogOptions *o)
{
    if (o->since_seconds.set) {
        int64_t now = os_now_ns();
        return o->since_seconds.v > now / NS_PER_S ? 0 : now - o->since_seconds.v * NS_PER_S;
    }
    return o->since_time.set ? o->since_time.ns : NS_NONE;
}

static void not_there(ApiCall *c, const char *id)
{
    SCOPED(mem_free) char *text = mem_fmt("unable to retrieve container logs for %s", id); /* the kubelet's */
    api_reply_text(c, 200, "text/plain", text, strlen(text));
}

static void begin(ApiCall *c, const PodLogOptions *o, const json_t *pod, const char *container, int64_t attempt, const char *id)
{
    ApiServer *s = c->s;
    const json_t *meta = json_object_get(pod, "metadata");
    const char *uid = str_or(json_str(meta, "uid"), "");
    bool follow = o->follow && lives(pod, container, attempt);
    LogStream *x = NEW(LogStream);
    *x = (LogStream){.open.stop = on_stop, .container = mem_dup_str(container), .attempt = attempt, .timer.data = x,
                     .filter = {.since_ns = since_of(o), .limit = o->limit_bytes.set ? o->limit_bytes.v : -1, .timestamps = o->timestamps}};
    SCOPED(mem_free) char *path = mem_fmt("%s/%s_%s_%s/%s/%lld.log", s->log_dir, str_or(json_str(meta, "namespace"), ""),
                                          str_or(json_str(meta, "name"), ""), uid, container, (long long)attempt);
    (void)uv_timer_init(s->loop, &x->timer);
    stream_opened(&x->open, s);
    const LogReadConfig config = {.loop = s->loop, .path = path, .tail = o->tail_lines.set ? o->tail_lines.v : -1,
                                  .since_ns = x->filter.since_ns, .follow = follow, .ops = &read_ops, .arg = x};
    const ObjWatching watching = {.resource = "pods", .namespace_ = json_str(meta, "namespace"), .name = json_str(meta, "name"),
                                  .ready = on_changed, .arg = x};
    Err *e = logread_new(&config, &x->read);
    if (!e && follow)
        e = objstore_watch(s->store, &watching, &x->watch);
    if (e) {
        bool absent = e->kind == ERR_NOT_FOUND;
        log_close(x, false);
        if (absent)
            not_there(c, id);
        else
            api_reply_err(c, MOVE(e, NULL));
        err_free(e);
        return;
    }
    HttpHeader h[API_HEADERS];
    SCOPED(strvec_done) StrVec mem = {0};
    size_t n = api_headers(c, "text/plain", h, &mem);
    HttpRequest *r = MOVE(c->req, NULL);
    http_set_data(r, NULL);
    x->http = http_stream(r, 200, h, n, MAX_QUEUED, &http_ops, x);
    if (!x->http)
        log_close(x, false);
}

void pod_log(ApiCall *c)
{
    PodLogOptions o;
    json_t *bad = kube_log_options(&c->kr, &o);
    if (bad) {
        api_reply_status(c, bad);
        return;
    }
    SCOPED(json_unref) json_t *pod = stream_pod(c);
    SCOPED(mem_free) char *id = NULL, *why = NULL;
    const char *container;
    int64_t attempt = 0;
    if (!pod || !stream_container(c, pod, o.container, &container))
        return;
    if (str_empty(json_str(json_object_get(pod, "spec"), "nodeName"))) { /* kube-apiserver: nothing to ask for it */
        api_reply_text(c, 200, "text/plain", "", 0);
        return;
    }
    why = pod_log_choose(pod, container, o.previous, &attempt, &id);
    if (why)
        api_reply_status(c, kube_bad_request("%s", why));
    else if (stream_admit(c))
        begin(c, &o, pod, container, attempt, id);
}
