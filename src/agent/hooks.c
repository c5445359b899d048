/* hooks.c - lifecycle hooks: exec through the runtime, httpGet by the prober's client, sleep by a timer. */
#include "agent/worker.h"

#define HOOK_OUTPUT_MAX 4096
/* http.Client in pkg/kubelet/lifecycle has no deadline of its own for postStart; a hook that never answers would hold the
 * Pod for ever, so ours is long. */
#define HTTP_HOOK_TIMEOUT_NS (600 * NS_PER_S)

struct HookRun {
    Worker *w;
    char *id;
    HookDone *done; /* NULL = cancelled */
    NetCall *call;
    uv_timer_t timer;
    bool has_timer;
};

static void hook_free(HookRun *h)
{
    worker_unref(h->w);
    free(h->id);
    free(h);
}

static void on_timer_closed(uv_handle_t *t)
{
    hook_free(t->data);
}

static void hook_finish(HookRun *h, bool ok, const char *output)
{
    HookDone *done = MOVE(h->done, NULL);
    Worker *w = h->w;
    if (done && !w->closed) {
        worker_instance(w, h->id)->hook = NULL;
        done(w, h->id, ok, output);
        worker_dirty(w);
    }
    if (h->has_timer)
        uv_close((uv_handle_t *)&h->timer, on_timer_closed);
    else
        hook_free(h);
}

void hook_cancel(HookRun *h)
{
    if (!h || !h->done)
        return;
    h->done = NULL;
    if (h->call) {
        netcall_cancel(MOVE(h->call, NULL));
        hook_free(h);
    } else if (h->has_timer) {
        uv_close((uv_handle_t *)&h->timer, on_timer_closed);
    }
    /* An exec is ended by the runtime with its container; its callback then finds nobody to tell. */
}

static void on_hook_exec(void *arg, const ExecResult *res, Err *err)
{
    HookRun *h = arg;
    SCOPED(str_done) Str s = {0};
    if (err) {
        SCOPED(mem_free) char *text = err_text(err);
        str_add(&s, text);
        err_free(err);
    } else if (res->timed_out) {
        str_add(&s, "command timed out");
    } else if (res->exit_code != 0) {
        str_fmt(&s, "command exited with %d: ", res->exit_code);
        str_add_n(&s, res->out, res->n_out);
    }
    if (h->done)
        hook_finish(h, s.n == 0, str_or(s.p, ""));
    else
        hook_free(h);
}

static void on_hook_http(void *arg, const NetCallResult *res)
{
    HookRun *h = arg;
    h->call = NULL;
    /* Any answer is a success: the kubelet's runHTTPHandler looks at no status code (pkg/kubelet/lifecycle/handlers.go). */
    hook_finish(h, res->http_status != 0, res->output);
}

static void on_hook_slept(uv_timer_t *t)
{
    hook_finish(t->data, true, "");
}

/* Starts what <l> says. Sets *ret_over when it is over already (an empty handler, tcpSocket: deprecated, never run). */
static Err *hook_start(HookRun *h, const Container *c, const LifecycleHandler *l, int64_t timeout_ns, bool *ret_over)
{
    Worker *w = h->w;
    Runtime *rt = w->agent->cfg.rt;
    if (l->exec) {
        SCOPED(strvec_done) StrVec argv = {0};
        LIST_EACH(arg, &l->exec->command)
            strvec_add(&argv, *arg);
        return rt->ops->exec_sync(rt, worker_uid(w), h->id, (const char *const *)argv.v, timeout_ns, HOOK_OUTPUT_MAX,
                                  on_hook_exec, h);
    }
    if (l->http_get)
        return netcall_http(w->agent->cfg.loop, l->http_get, c, worker_probe_host(w), "kube-lifecycle/1.35",
                            timeout_ns > 0 ? timeout_ns : HTTP_HOOK_TIMEOUT_NS, on_hook_http, h, &h->call);
    if (l->sleep) {
        (void)uv_timer_init(w->agent->cfg.loop, &h->timer);
        h->timer.data = h;
        h->has_timer = true;
        uv_update_time(w->agent->cfg.loop);
        (void)uv_timer_start(&h->timer, on_hook_slept, (uint64_t)l->sleep->seconds.v * 1000, 0);
        return NULL;
    }
    *ret_over = true;
    return NULL;
}

void hook_run(Worker *w, const Container *c, const char *id, const LifecycleHandler *l, int64_t timeout_ns,
              HookDone *done)
{
    HookRun *h = NEW(HookRun);
    h->w = worker_ref(w);
    h->id = mem_dup_str(id);
    h->done = done;
    worker_instance(w, id)->hook = h;
    bool over = false;
    SCOPED(err_free) Err *e = hook_start(h, c, l, timeout_ns, &over);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        hook_finish(h, false, text);
    } else if (over) {
        hook_finish(h, true, "");
    }
}

static void on_post_start(Worker *w, const char *id, bool ok, const char *output)
{
    worker_instance(w, id)->post_start = ok ? HOOK_DONE : HOOK_FAILED;
    if (!ok)
        worker_event(w, true, "FailedPostStartHook", NULL, "PostStartHook failed: %s", output);
}

void worker_post_start(Worker *w, const Container *c, const char *id)
{
    const LifecycleHandler *l = c->lifecycle ? c->lifecycle->post_start : NULL;
    worker_instance(w, id)->post_start = l ? HOOK_RUNNING : HOOK_DONE;
    if (l)
        hook_run(w, c, id, l, 0, on_post_start);
}

static void on_pre_stop(Worker *w, const char *id, bool ok, const char *output)
{
    worker_instance(w, id)->pre_stop = ok ? HOOK_DONE : HOOK_FAILED;
    if (!ok)
        worker_event(w, true, "FailedPreStopHook", NULL, "PreStopHook failed: %s", output);
}

void worker_pre_stop(Worker *w, const Container *c, const char *id, int64_t timeout_ns)
{
    Instance *i = worker_instance(w, id);
    if (i->pre_stop != HOOK_NONE)
        return;
    i->pre_stop = HOOK_RUNNING;
    hook_cancel(MOVE(i->hook, NULL)); /* a postStart that still runs: the container is going */
    const LifecycleHandler *l = c->lifecycle ? c->lifecycle->pre_stop : NULL;
    if (l) {
        hook_run(w, c, id, l, timeout_ns, on_pre_stop);
    } else {
        i->pre_stop = HOOK_DONE;
        worker_dirty(w);
    }
}
