#include "runtime/fake/fake.h"

#include <stdio.h>

#include "api/codec.h"
#include "os/fs.h"

typedef enum { DONE_PLAIN, DONE_ID, DONE_EXEC } DoneKind;
typedef struct {
    uint64_t due_ms;
    DoneKind kind;
    void *done; /* RuntimeDone, RuntimeIdDone or RuntimeExecDone */
    void *arg;
    char *id;
    Err *err;
} Answer;

typedef struct {
    char *uid;
    PodFacts facts;
} FakePod;

typedef struct {
    Runtime base;
    uv_loop_t *loop;
    LIST_OF(FakePod) pods;
    LIST_OF(Answer) answers;
    uv_timer_t timer;
    unsigned serial;
    FakeStats stats;
    bool (*stored)(void *arg);
    void *stored_arg;
    const char *completes;
} Fake;

static Fake *fake_of(Runtime *rt)
{
    return (Fake *)rt;
}

static FakePod *fake_pod(Fake *f, const char *uid)
{
    LIST_EACH(p, &f->pods)
        if (str_eq(p->uid, uid))
            return p;
    FakePod *p = LIST_ADD(&f->pods);
    p->uid = mem_dup_str(uid);
    return p;
}

static ContainerFact *fake_container(FakePod *p, const char *id)
{
    LIST_EACH(c, &p->facts.containers)
        if (str_eq(c->id, id))
            return c;
    return NULL;
}

static void changed(Fake *f, const char *uid)
{
    if (f->base.on_change)
        f->base.on_change(f->base.on_change_arg, uid);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void arm(Fake *f);

static void answer_now(Answer *a)
{
    /* The casts give back the type that the request had. */
    switch (a->kind) {
    case DONE_PLAIN:
        ((RuntimeDone *)a->done)(a->arg, a->err);
        break;
    case DONE_ID:
        ((RuntimeIdDone *)a->done)(a->arg, a->id, a->err);
        break;
    case DONE_EXEC: {
        ExecResult ok = {.out = ""};
        ((RuntimeExecDone *)a->done)(a->arg, a->err ? NULL : &ok, a->err);
        break;
    }
    }
    free(a->id);
}

static void on_timer(uv_timer_t *t)
{
    Fake *f = t->data;
    uint64_t now = uv_now(f->loop);
    for (size_t i = 0; i < f->answers.n;) {
        if (f->answers.v[i].due_ms > now) {
            i++;
            continue;
        }
        Answer a = f->answers.v[i];
        memmove(&f->answers.v[i], &f->answers.v[i + 1], (f->answers.n - i - 1) * sizeof a);
        f->answers.n--;
        answer_now(&a);
        i = 0; /* the callback may have asked for more */
    }
    arm(f);
}

static void arm(Fake *f)
{
    uint64_t first = UINT64_MAX, now = uv_now(f->loop);
    LIST_EACH(a, &f->answers)
        if (a->due_ms < first)
            first = a->due_ms;
    if (first != UINT64_MAX)
        (void)uv_timer_start(&f->timer, on_timer, first > now ? first - now : 0, 0);
}

/* Counts the request and applies the fault. Returns whether the work is to be done. */
static bool request(Fake *f, DoneKind kind, void *done, void *arg, const char *id)
{
    bool hit = ++f->stats.requests == f->stats.fault_at;
    Answer *a = LIST_ADD(&f->answers);
    *a = (Answer){.kind = kind, .done = done, .arg = arg, .id = mem_dup_str(id)};
    a->due_ms = uv_now(f->loop) + (hit && f->stats.fault == FAKE_LATE ? 50 : 0);
    if (hit && f->stats.fault != FAKE_LATE)
        a->err = err_new(ERR_UNAVAILABLE, 0, "injected fault in request %u", f->stats.requests);
    arm(f);
    return !hit || f->stats.fault != FAKE_FAIL;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void f_pod_facts(Runtime *rt, const char *uid, PodFacts *out)
{
    pod_facts_copy(out, &fake_pod(fake_of(rt), uid)->facts);
}

static void insert_first(void *list, size_t elem)
{
    ApiList *l = list;
    char *v = l->v;
    char *last = mem_dup(v + (l->n - 1) * elem, elem);
    memmove(v + elem, v, (l->n - 1) * elem);
    memcpy(v, last, elem);
    free(last);
}

static Err *f_sandbox_run(Runtime *rt, const SandboxConfig *c, RuntimeIdDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    SCOPED(mem_free) char *id = mem_fmt("sandbox-%u", ++f->serial);
    if (!request(f, DONE_ID, (void *)done, arg, id))
        return NULL;
    FakePod *p = fake_pod(f, c->uid);
    SandboxFact *s = LIST_ADD(&p->facts.sandboxes);
    *s = (SandboxFact){.id = mem_dup_str(id), .attempt = c->attempt, .state = SANDBOX_READY, .created_at_ns = os_now_ns(),
                       .host_network = c->network == NS_NODE, .pid = 1};
    if (!s->host_network)
        *LIST_ADD(&s->ips) = mem_dup_str("10.0.0.2");
    insert_first(&p->facts.sandboxes, sizeof *s);
    changed(f, c->uid);
    return NULL;
}

static Err *f_sandbox_stop(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    if (request(f, DONE_PLAIN, (void *)done, arg, id)) {
        LIST_EACH(s, &fake_pod(f, uid)->facts.sandboxes)
            if (str_eq(s->id, id))
                s->state = SANDBOX_NOT_READY;
        changed(f, uid);
    }
    return NULL;
}

static Err *f_sandbox_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    if (!request(f, DONE_PLAIN, (void *)done, arg, id))
        return NULL;
    FakePod *p = fake_pod(f, uid);
    PodFacts kept = {0};
    LIST_EACH(s, &p->facts.sandboxes)
        if (str_eq(s->id, id)) {
            free(s->id);
            LIST_EACH(ip, &s->ips)
                free(*ip);
            free(s->ips.v);
        } else {
            *LIST_ADD(&kept.sandboxes) = *s;
        }
    free(p->facts.sandboxes.v);
    p->facts.sandboxes.n = kept.sandboxes.n;
    p->facts.sandboxes.v = kept.sandboxes.v;
    changed(f, uid);
    return NULL;
}

static Err *f_image_ensure(Runtime *rt, const char *reference, const char *policy, const ImageAuthList *auths,
                           RuntimeImageDone *done, void *arg)
{
    (void)reference, (void)policy, (void)auths;
    (void)request(fake_of(rt), DONE_ID, (void *)done, arg, "sha256:fake");
    return NULL;
}

static char *f_image_find(Runtime *rt, const char *reference)
{
    (void)rt, (void)reference;
    return NULL;
}

static Err *f_image_user(Runtime *rt, const char *image_id, int64_t *ret_uid, char **ret_name)
{
    (void)rt, (void)image_id;
    *ret_uid = 0;
    *ret_name = NULL;
    return NULL;
}

static unsigned live_instances(const FakePod *p, const char *name)
{
    unsigned n = 0;
    LIST_EACH(c, &p->facts.containers)
        n += str_eq(c->name, name) && c->state == RUN_RUNNING;
    return n;
}

static Err *f_container_create(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c,
                               RuntimeIdDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    SCOPED(mem_free) char *id = mem_fmt("container-%u", ++f->serial);
    if (!request(f, DONE_ID, (void *)done, arg, id))
        return NULL;
    FakePod *p = fake_pod(f, uid);
    ContainerFact *n = LIST_ADD(&p->facts.containers);
    *n = (ContainerFact){.id = mem_dup_str(id), .name = mem_dup_str(c->name), .sandbox_id = mem_dup_str(sandbox_id),
                         .attempt = c->attempt, .state = RUN_CREATED, .created_at_ns = os_now_ns(),
                         .started_at_ns = NS_NONE, .finished_at_ns = NS_NONE, .image = mem_dup_str(c->image),
                         .image_id = mem_dup_str(c->image_id), .spec_hash = mem_dup_str(c->spec_hash)};
    insert_first(&p->facts.containers, sizeof *n);
    changed(f, uid);
    return NULL;
}

static Err *f_container_prepare(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode mode,
                                const char *key, RuntimeIdDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    (void)mode;
    SCOPED(mem_free) char *id = mem_fmt("standby-%u", ++f->serial);
    if (!request(f, DONE_ID, (void *)done, arg, id))
        return NULL;
    *LIST_ADD(&fake_pod(f, uid)->facts.standbys) =
        (StandbyFact){.id = mem_dup_str(id), .name = mem_dup_str(c->name), .sandbox_id = mem_dup_str(sandbox_id),
                      .attempt = c->attempt, .key = mem_dup_str(key), .bytes = 4096};
    changed(f, uid);
    return NULL;
}

/* Takes standby <id> off the list; with <c>, it becomes that. false if there is none. */
static bool take_standby(FakePod *p, const char *id, ContainerFact *c)
{
    for (size_t i = 0; i < p->facts.standbys.n; i++) {
        StandbyFact *s = &p->facts.standbys.v[i];
        if (!str_eq(s->id, id))
            continue;
        if (c)
            *c = (ContainerFact){.id = mem_dup_str(id), .name = mem_dup_str(s->name), .sandbox_id = mem_dup_str(s->sandbox_id),
                                 .attempt = s->attempt, .state = RUN_CREATED, .created_at_ns = os_now_ns(),
                                 .started_at_ns = NS_NONE, .finished_at_ns = NS_NONE};
        free(s->id);
        free(s->name);
        free(s->sandbox_id);
        free(s->key);
        *s = p->facts.standbys.v[--p->facts.standbys.n];
        return true;
    }
    return false;
}

static void end_container(ContainerFact *c, int32_t code, int32_t signal)
{
    if (c->state == RUN_EXITED)
        return;
    c->state = RUN_EXITED;
    c->exit_known = true;
    c->exit_code = code;
    c->signal = signal;
    c->finished_at_ns = os_now_ns();
    c->reason = mem_dup_str(code ? "Error" : "Completed");
}

static Err *f_container_start(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    if (!request(f, DONE_PLAIN, (void *)done, arg, id))
        return NULL;
    FakePod *p = fake_pod(f, uid);
    ContainerFact released;
    if (take_standby(p, id, &released)) {
        *LIST_ADD(&p->facts.containers) = released;
        insert_first(&p->facts.containers, sizeof released);
        f->stats.released++;
    }
    ContainerFact *c = fake_container(p, id);
    if (c && c->state == RUN_CREATED) {
        c->state = RUN_RUNNING;
        c->started_at_ns = os_now_ns();
        f->stats.starts++;
        unsigned live = live_instances(p, c->name);
        if (live > f->stats.max_live)
            f->stats.max_live = live;
        if (str_eq(c->name, f->completes))
            end_container(c, 0, 0);
        changed(f, uid);
    }
    return NULL;
}

static Err *f_container_signal(Runtime *rt, const char *uid, const char *id, int signal, RuntimeDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    if (request(f, DONE_PLAIN, (void *)done, arg, id)) {
        ContainerFact *c = fake_container(fake_pod(f, uid), id);
        if (c)
            end_container(c, 128 + (signal ? signal : 15), signal ? signal : 15);
        changed(f, uid);
    }
    return NULL;
}

static Err *f_containers_kill(Runtime *rt, const char *uid, const char *const *ids, size_t n, RuntimeDone *done,
                              void *arg)
{
    Fake *f = fake_of(rt);
    if (f->stored && !f->stored(f->stored_arg))
        f->stats.kill_before_stored = true;
    if (!request(f, DONE_PLAIN, (void *)done, arg, NULL))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        ContainerFact *c = fake_container(fake_pod(f, uid), ids[i]);
        if (c)
            end_container(c, 137, 9);
    }
    changed(f, uid);
    return NULL;
}

static Err *f_container_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    Fake *f = fake_of(rt);
    if (!request(f, DONE_PLAIN, (void *)done, arg, id))
        return NULL;
    FakePod *p = fake_pod(f, uid);
    (void)take_standby(p, id, NULL);
    size_t kept = 0;
    for (size_t i = 0; i < p->facts.containers.n; i++) {
        ContainerFact *c = &p->facts.containers.v[i];
        if (str_eq(c->id, id) && c->state != RUN_RUNNING)
            container_fact_done(c);
        else
            p->facts.containers.v[kept++] = *c;
    }
    p->facts.containers.n = kept;
    changed(f, uid);
    return NULL;
}

static Err *f_exec_sync(Runtime *rt, const char *uid, const char *id, const char *const *argv, int64_t timeout_ns,
                        size_t max_output, RuntimeExecDone *done, void *arg)
{
    (void)uid, (void)argv, (void)timeout_ns, (void)max_output;
    (void)request(fake_of(rt), DONE_EXEC, (void *)done, arg, id);
    return NULL;
}

static void f_pod_uids(Runtime *rt, StrList *out)
{
    LIST_EACH(p, &fake_of(rt)->pods)
        *LIST_ADD(out) = mem_dup_str(p->uid);
}

static Err *f_stream(Runtime *rt, const char *uid, const char *id, const RuntimeStreamConfig *c, RuntimeStream **ret)
{
    const ContainerFact *f = fake_container(fake_pod(fake_of(rt), uid), id);
    if (!f)
        return err_new(ERR_NOT_FOUND, 0, "there is no container %s", id);
    *ret = fake_stream_new(fake_of(rt)->loop, c);
    return NULL;
}

static Err *f_port_forward(Runtime *rt, const char *uid, const char *sandbox_id, unsigned port, const RuntimeStreamConfig *c,
                           RuntimeStream **ret)
{
    static const char *const refused[] = {"fail", "connection refused", NULL};
    RuntimeStreamConfig config = *c;
    (void)uid;
    (void)sandbox_id;
    config.argv = port == 1 ? refused : NULL;
    *ret = fake_stream_new(fake_of(rt)->loop, &config);
    return NULL;
}

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void f_close(Runtime *rt)
{
    Fake *f = fake_of(rt);
    while (f->answers.n) {
        Answer a = f->answers.v[--f->answers.n];
        if (!a.err)
            a.err = err_new(ERR_UNAVAILABLE, 0, "the runtime is being closed");
        answer_now(&a);
    }
    LIST_EACH(p, &f->pods) {
        free(p->uid);
        pod_facts_done(&p->facts);
    }
    free(f->pods.v);
    free(f->answers.v);
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

Runtime *fake_runtime_new(uv_loop_t *loop)
{
    static const RuntimeOps ops = {
        .name = "fake",
        .pod_facts = f_pod_facts,
        .sandbox_run = f_sandbox_run,
        .sandbox_stop = f_sandbox_stop,
        .sandbox_remove = f_sandbox_remove,
        .image_ensure = f_image_ensure,
        .image_find = f_image_find,
        .image_user = f_image_user,
        .container_create = f_container_create,
        .container_prepare = f_container_prepare,
        .container_start = f_container_start,
        .container_signal = f_container_signal,
        .containers_kill = f_containers_kill,
        .container_remove = f_container_remove,
        .exec_sync = f_exec_sync,
        .exec = f_stream,
        .attach = f_stream,
        .port_forward = f_port_forward,
        .pod_uids = f_pod_uids,
        .close = f_close,
    };
    Fake *f = NEW(Fake);
    f->base.ops = &ops;
    f->loop = loop;
    (void)uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    return &f->base;
}

FakeStats *fake_stats(Runtime *rt)
{
    return &fake_of(rt)->stats;
}

void fake_completes(Runtime *rt, const char *name)
{
    fake_of(rt)->completes = name;
}

bool fake_exit(Runtime *rt, const char *uid, const char *name, int32_t code)
{
    Fake *f = fake_of(rt);
    LIST_EACH(c, &fake_pod(f, uid)->facts.containers)
        if (str_eq(c->name, name) && c->state == RUN_RUNNING) {
            end_container(c, code, 0);
            changed(f, uid);
            return true;
        }
    return false;
}

void fake_kill_sandbox(Runtime *rt, const char *uid)
{
    Fake *f = fake_of(rt);
    LIST_EACH(s, &fake_pod(f, uid)->facts.sandboxes)
        s->state = SANDBOX_NOT_READY;
    changed(f, uid);
}

void fake_watch_intent(Runtime *rt, bool (*stored)(void *arg), void *arg)
{
    fake_of(rt)->stored = stored;
    fake_of(rt)->stored_arg = arg;
}

void fake_forget_requests(Runtime *rt)
{
    Fake *f = fake_of(rt);
    LIST_EACH(a, &f->answers) {
        if (!a->err)
            a->err = err_new(ERR_UNAVAILABLE, 0, "the agent is gone");
    }
    while (f->answers.n) {
        Answer a = f->answers.v[--f->answers.n];
        answer_now(&a); /* to a closed worker: it drops its reference */
    }
}
