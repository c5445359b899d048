/* One Pod's shim as the agent sees it. When it dies (kill -9) its containers live on: a new shim is started for the same
 * directories and takes them over, what was asked and can be asked again is asked again, and the facts stay what they were
 * until the new shim has spoken. */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "loop/process.h"
#include "os/fs.h"
#include "os/pidfd.h"
#include "runtime/oci/oci_priv.h"

#define MAX_FAILURES 6
#define RETRY_FIRST_MS 50
#define START_TIMEOUT_NS (10 * NS_PER_S)
#define HELLO_TIMEOUT_MS 5000
#define OUTPUT_MAX 4096

struct Queued {
    Queued *next;
    json_t *request;
    bool repeat;
    ShimReply *reply;
    void *arg;
};

/* A request that is with the shim. */
typedef struct {
    PodShim *pod;
    bool repeat;
    ShimReply *reply;
    void *arg;
} Sent;

static void pod_start(PodShim *p);
static Err *pod_connect(PodShim *p);

PodShim *pod_find(OciRuntime *rt, const char *uid)
{
    for (PodShim *p = rt->pods; p; p = p->next)
        if (str_eq(p->uid, uid))
            return p;
    return NULL;
}

PodShim *pod_make(OciRuntime *rt, const char *uid)
{
    PodShim *p = pod_find(rt, uid);
    if (p)
        return p;
    p = NEW(PodShim);
    *p = (PodShim){.rt = rt, .next = rt->pods, .uid = mem_dup_str(uid),
                   .facts = json_pack("{s:{},s:{}}", "sandboxes", "containers")};
    p->retry = NEW(uv_timer_t);
    (void)uv_timer_init(rt->loop, p->retry);
    p->retry->data = p;
    rt->pods = p;
    return p;
}

static void timer_closed(uv_handle_t *h)
{
    mem_free(h);
}

static void queue_fail(PodShim *p, const char *why)
{
    for (Queued *q = MOVE(p->queue, NULL), *next; q; q = next) {
        next = q->next;
        q->reply(q->arg, NULL, q->request, err_new(ERR_UNAVAILABLE, 0, "%s", why));
        json_decref(q->request);
        mem_free(q);
    }
}

static void pod_shim_free(void *arg, bool cancelled)
{
    PodShim *p = arg;
    (void)cancelled;
    mem_free(p->uid);
    mem_free(p->making_sandbox);
    mem_free(p->pids.v);
    json_decref(p->facts);
    mem_free(p);
}

void pod_close(PodShim *p)
{
    if (p->dead)
        return;
    p->dead = true;
    for (PodShim **at = &p->rt->pods; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    if (p->starting)
        process_abandon(MOVE(p->starting, NULL));
    (void)uv_timer_stop(p->retry);
    uv_close((uv_handle_t *)p->retry, timer_closed);
    shim_client_close(MOVE(p->client, NULL));
    queue_fail(p, "the runtime is closing");
    oci_later(p->rt, pod_shim_free, p); /* a callback of this Pod may be on the stack */
}

const json_t *pod_facts_json(const PodShim *p)
{
    return shim_client_ready(p->client) ? shim_client_facts(p->client) : p->facts;
}

const json_t *pod_sandbox(const PodShim *p, const char *id)
{
    return p && id ? json_object_get(json_object_get(pod_facts_json(p), "sandboxes"), id) : NULL;
}

const json_t *pod_container(const PodShim *p, const char *id)
{
    return p && id ? json_object_get(json_object_get(pod_facts_json(p), "containers"), id) : NULL;
}

static bool holds_nothing(const PodShim *p)
{
    const json_t *f = pod_facts_json(p);
    return json_object_size(json_object_get(f, "sandboxes")) == 0 && json_object_size(json_object_get(f, "containers")) == 0;
}

/* --- children that a dead shim left us (we are a subreaper) ---------------------------------------------------------- */

static bool pid_listed(const json_t *kind, int64_t pid)
{
    const char *id;
    json_t *o;
    json_object_foreach((json_t *)(uintptr_t)kind, id, o)
        if (json_i64(o, "pid", 0) == pid)
            return true;
    return false;
}

static void pids_note(PodShim *p, const json_t *kind)
{
    const char *id;
    json_t *o;
    json_object_foreach((json_t *)(uintptr_t)kind, id, o)
    {
        int64_t pid = json_i64(o, "pid", 0);
        bool known = pid <= 1;
        LIST_EACH(k, &p->pids)
            known = known || *k == pid;
        if (!known)
            *LIST_ADD(&p->pids) = pid;
    }
}

/* Reaps what has ended according to the shim, if it is ours to reap; while no shim watches, zombies are kept: they hold
 * the exit code. */
static void pids_reap(PodShim *p)
{
    const json_t *f = pod_facts_json(p), *sandboxes = json_object_get(f, "sandboxes"),
                 *containers = json_object_get(f, "containers");
    size_t kept = 0;
    for (size_t i = 0; i < p->pids.n; i++) {
        int64_t pid = p->pids.v[i];
        bool alive = pid_listed(sandboxes, pid) || pid_listed(containers, pid);
        if (alive || waitpid((pid_t)pid, NULL, WNOHANG) == 0)
            p->pids.v[kept++] = pid;
    }
    p->pids.n = kept;
    pids_note(p, sandboxes);
    pids_note(p, containers);
}

/* A command that a dead shim ran. It must not stay a zombie: the kernel ends no pid namespace before. */
typedef struct {
    uv_poll_t poll;
    int pidfd;
    pid_t pid;
} Stray;

static void stray_closed(uv_handle_t *h)
{
    Stray *s = h->data;
    fd_close(s->pidfd);
    mem_free(s);
}

static void on_stray(uv_poll_t *h, int rc, int events)
{
    Stray *s = h->data;
    (void)rc;
    (void)events;
    (void)waitpid(s->pid, NULL, WNOHANG); /* another's, if there is an agent between: then he does it */
    (void)uv_poll_stop(h);
    uv_close((uv_handle_t *)h, stray_closed);
}

static void strays_watch(const PodShim *p)
{
    size_t i;
    const json_t *v;
    json_array_foreach(shim_client_strays(p->client), i, v)
    {
        Stray *s = NEW(Stray);
        s->pid = (pid_t)json_integer_value(v);
        s->pidfd = -EBADF;
        Err *e = pidfd_of(s->pid, proc_start_ticks(s->pid), &s->pidfd);
        if (e || uv_poll_init(p->rt->loop, &s->poll, s->pidfd) != 0) { /* gone */
            (void)waitpid(s->pid, NULL, WNOHANG);
            err_free(e);
            fd_close(s->pidfd);
            mem_free(s);
            continue;
        }
        s->poll.data = s;
        uv_unref((uv_handle_t *)&s->poll);
        (void)uv_poll_start(&s->poll, UV_READABLE, on_stray);
    }
}

/* --- the connection --------------------------------------------------------------------------------------------------- */

static void on_sent_reply(void *arg, const json_t *ok, json_t *request, Err *err)
{
    Sent *s = arg;
    PodShim *p = s->pod;
    if (err && err->kind == ERR_UNAVAILABLE && s->repeat && !p->dead && !shim_client_ready(p->client)) {
        err_free(err);
        pod_call(p, json_incref(request), true, s->reply, s->arg);
    } else {
        s->reply(s->arg, ok, request, err);
    }
    mem_free(s);
}

static void send_now(PodShim *p, json_t *request, bool repeat, ShimReply *reply, void *arg)
{
    Sent *s = NEW(Sent);
    *s = (Sent){p, repeat, reply, arg};
    shim_client_call(p->client, request, on_sent_reply, s);
}

static void on_hello(void *arg)
{
    PodShim *p = arg;
    p->state = SHIM_READY;
    p->failures = 0;
    pids_reap(p);
    strays_watch(p);
    for (Queued *q = MOVE(p->queue, NULL), *next; q; q = next) {
        next = q->next;
        send_now(p, q->request, q->repeat, q->reply, q->arg);
        mem_free(q);
    }
    oci_changed(p->rt, p->uid);
}

static void on_facts(void *arg)
{
    PodShim *p = arg;
    pids_reap(p);
    oci_changed(p->rt, p->uid);
}

static void on_retry(uv_timer_t *t)
{
    pod_start(t->data);
}

static void retry_later(PodShim *p, const char *why)
{
    if (++p->failures >= MAX_FAILURES) {
        SCOPED(mem_free) char *text = mem_fmt("start a shim for Pod %s: %s", p->uid, why);
        p->failures = 0;
        p->state = SHIM_NONE; /* the next request tries again */
        queue_fail(p, text);
        return;
    }
    p->state = SHIM_WAITING;
    (void)uv_timer_start(p->retry, on_retry, (uint64_t)RETRY_FIRST_MS << (p->failures - 1), 0);
}

static void on_lost(void *arg, Err *err)
{
    PodShim *p = arg;
    SCOPED(mem_free) char *why = err_text(err);
    err_free(err);
    json_t *last = json_deep_copy(shim_client_facts(p->client) ? shim_client_facts(p->client) : p->facts);
    int pid = shim_client_pid(p->client);
    shim_client_close(MOVE(p->client, NULL));
    json_decref(p->facts);
    p->facts = last;
    if (pid > 1)
        (void)waitpid((pid_t)pid, NULL, WNOHANG);
    if (!p->queue && (holds_nothing(p) || !p->mine)) { /* it ended because all was removed, or it is another agent's */
        char *uid = mem_dup_str(p->uid);
        OciRuntime *rt = p->rt;
        pod_close(p);
        oci_changed(rt, uid);
        mem_free(uid);
        return;
    }
    p->state = SHIM_NONE;
    pod_start(p);
}

static Err *pod_connect(PodShim *p)
{
    static const ShimClientEvents events = {on_hello, on_facts, on_lost};
    SCOPED(mem_free) char *path = mem_fmt("%s/pods/%s/shim.sock", p->rt->run_dir, p->uid);
    Err *e = shim_client_open(p->rt->loop, path, &events, p, &p->client);
    if (!e)
        p->state = SHIM_CONNECTING;
    return e;
}

/* --- starting ----------------------------------------------------------------------------------------------------------- */

static void shim_argv(const PodShim *p, StrVec *argv)
{
    const OciRuntime *rt = p->rt;
    strvec_add(argv, rt->shim);
    strvec_fmt(argv, "--uid=%s", p->uid);
    strvec_fmt(argv, "--run-dir=%s/pods/%s", rt->run_dir, p->uid);
    strvec_fmt(argv, "--root-dir=%s/pods/%s", rt->root, p->uid);
    strvec_fmt(argv, "--runtime=%s", rt->runtime);
    if (rt->gate)
        strvec_fmt(argv, "--gate=%s", rt->gate);
    if (rt->hide_cgroup2)
        strvec_add(argv, "--hide-cgroup2");
}

static void on_started(void *arg, ProcessResult *res)
{
    PodShim *p = arg;
    p->starting = NULL;
    Err *e = pod_connect(p); /* also when it failed: another agent may have been quicker */
    if (!e)
        return;
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    retry_later(p, res->err.n ? res->err.p : text);
}

static void pod_start(PodShim *p)
{
    SCOPED(strvec_done) StrVec argv = {0};
    shim_argv(p, &argv);
    ProcessSpec spec = {.argv = (const char *const *)argv.v, .max_output = OUTPUT_MAX, .timeout_ns = START_TIMEOUT_NS};
    p->state = SHIM_STARTING;
    Err *e = process_start(p->rt->loop, &spec, on_started, p, &p->starting);
    if (!e)
        return;
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    retry_later(p, text);
}

void pod_call(PodShim *p, json_t *request, bool repeat, ShimReply *reply, void *arg)
{
    p->mine = true;
    if (shim_client_ready(p->client)) {
        send_now(p, request, repeat, reply, arg);
        return;
    }
    Queued *q = NEW(Queued);
    *q = (Queued){NULL, request, repeat, reply, arg};
    Queued **tail = &p->queue;
    while (*tail)
        tail = &(*tail)->next;
    *tail = q;
    if (p->state == SHIM_NONE && !p->client) { /* from the loop: a failure answers the queue */
        p->state = SHIM_WAITING;
        (void)uv_timer_start(p->retry, on_retry, 0, 0);
    }
}

Err *pod_adopt(PodShim *p)
{
    Err *e = pod_connect(p);
    if (e && e->kind != ERR_SYS) {
        SCOPED(strvec_done) StrVec argv = {0};
        shim_argv(p, &argv);
        ProcessSpec spec = {.argv = (const char *const *)argv.v, .max_output = OUTPUT_MAX, .timeout_ns = START_TIMEOUT_NS};
        ProcessResult res = {0};
        err_free(e);
        e = process_run(&spec, &res);
        if (!e)
            e = pod_connect(p);
        if (e && res.err.n)
            e = err_wrap(e, "%.*s", (int)strcspn(res.err.p, "\n"), res.err.p);
        str_done(&res.out);
        str_done(&res.err);
    }
    return e ? e : shim_client_wait(p->client, HELLO_TIMEOUT_MS);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void nothing_lost(void *arg, Err *err)
{
    (void)arg;
    err_free(err);
}

Err *oci_peek(const char *run_dir, const char *uid, PodFacts *out)
{
    static const ShimClientEvents events = {nothing, nothing, nothing_lost};
    SCOPED(mem_free) char *path = mem_fmt("%s/pods/%s/shim.sock", run_dir, uid);
    uv_loop_t loop;
    ShimClient *client = NULL;
    *out = (PodFacts){0};
    if (uv_loop_init(&loop) != 0)
        return err_new(ERR_SYS, errno, "make an event loop");
    Err *e = shim_client_open(&loop, path, &events, NULL, &client);
    if (!e)
        e = shim_client_wait(client, HELLO_TIMEOUT_MS);
    if (!e)
        oci_facts_from_json(shim_client_facts(client), NULL, out);
    shim_client_close(client);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* its handles close */
    (void)uv_loop_close(&loop);
    return e;
}
