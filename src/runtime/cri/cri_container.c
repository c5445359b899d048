#include "base/clock.h"
#include "os/fs.h"
#include "runtime/cri/cri_priv.h"

#define TRIES_MAX 3
#define REMOVE_AGAIN_MS 3
#define REMOVE_TRIES    300
/* StopContainer sends the stop signal at once and SIGKILL when its time is over: when that is, the core says, by another StopContainer. */
#define STOP_LATER_S 86400

/* --- create ------------------------------------------------------------------------------------------------------------------- */

/* Whose call it is; NULL where nothing is known of it any more. */
static const char *pod_of(CriRuntime *rt, const char *id)
{
    const CriContainer *c = cri_container(rt, id);
    return c ? c->pod->uid : NULL;
}

typedef struct CriCreate CreateOp;
struct CriCreate {
    CriRuntime *rt;
    char *uid, *id, *sandbox_id, *clearing;
    char request_id[33];
    Cri__CreateContainerRequest *request; /* owned: it may have to be sent again */
    unsigned tries;
    RuntimeIdDone *done;
    void *arg;
    Err *failed;
};

static void create_finish(CreateOp *op, Err *e)
{
    if (e && !op->rt->closing)
        cri_watch_list(op->rt); /* it may be there all the same, or something that we do not know has its name */
    op->done(op->arg, e ? NULL : op->id, e && !e->reason[0] ? err_reason(e, "CreateContainerError") : e);
    cri__create_container_request__free_unpacked(op->request, NULL);
    err_free(op->failed);
    free(op->uid);
    free(op->id);
    free(op->sandbox_id);
    free(op->clearing);
    free(op);
}

static void on_create_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    CreateOp *op = arg;
    (void)code;
    const Cri__ContainerStatusResponse *r = (const Cri__ContainerStatusResponse *)answer;
    if (r)
        cri_saw_container(op->rt, op->sandbox_id, r->status);
    if (r && r->status && !r->status->stop_signal && op->request->config->stop_signal && op->rt->on_warning) {
        SCOPED(mem_free) char *text = mem_fmt("container %s: %s does not know lifecycle.stopSignal and will use the image's",
                                              op->request->config->metadata->name, str_or(op->rt->name, "the container runtime"));
        op->rt->on_warning(op->rt->warning_arg, text);
    }
    create_finish(op, err);
}

static void create_status(CreateOp *op)
{
    Cri__ContainerStatusRequest q = CRI__CONTAINER_STATUS_REQUEST__INIT;
    q.container_id = op->id;
    cri_call(op->rt, CRI_CONTAINER_STATUS, &q, &(CriCallOptions){.repeat = true}, on_create_status, op);
}

static void create_send(CreateOp *op);

/* The answer was lost: is there a container that this request has made? */
static void on_create_listed(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    CreateOp *op = arg;
    (void)code;
    const Cri__ListContainersResponse *r = (const Cri__ListContainersResponse *)answer;
    for (size_t i = 0; r && i < r->n_containers; i++) {
        const Cri__Container *c = r->containers[i];
        const char *by = cri_note((Cri__PodSandboxStatus__AnnotationsEntry *const *)c->annotations, c->n_annotations, NOTE_REQUEST);
        if (!str_eq(by, op->request_id))
            continue;
        mem_set_str(&op->id, c->id);
        create_status(op);
        return;
    }
    if (!err && op->tries < TRIES_MAX) {
        create_send(op);
        return;
    }
    err_free(err);
    create_finish(op, MOVE(op->failed, NULL));
}

static void on_created(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    CreateOp *op = arg;
    if (!err) {
        mem_set_str(&op->id, ((const Cri__CreateContainerResponse *)answer)->container_id);
        create_status(op);
        return;
    }
    if (!cri_in_doubt(code) || op->rt->closing) {
        create_finish(op, err);
        return;
    }
    err_free(op->failed);
    op->failed = err;
    Cri__ContainerFilter f = CRI__CONTAINER_FILTER__INIT;
    Cri__ListContainersRequest q = CRI__LIST_CONTAINERS_REQUEST__INIT;
    f.pod_sandbox_id = op->sandbox_id;
    q.filter = &f;
    cri_call(op->rt, CRI_LIST_CONTAINERS, &q, &(CriCallOptions){.repeat = true}, on_create_listed, op);
}

static void create_send(CreateOp *op)
{
    op->tries++;
    cri_call(op->rt, CRI_CREATE_CONTAINER, op->request, &(CriCallOptions){.turn = op->uid}, on_created, op);
}

static void clear_name(CreateOp *op);

/* Those that waited for a name look again. */
static void names_changed(CriRuntime *rt)
{
    __typeof__(rt->name_waits) now = rt->name_waits;
    rt->name_waits.v = NULL;
    rt->name_waits.n = 0;
    LIST_EACH(op, &now)
        clear_name(*op);
    free(now.v);
}

void cri_names_cancel(CriRuntime *rt)
{
    while (rt->name_waits.n)
        create_finish(rt->name_waits.v[--rt->name_waits.n], err_new(ERR_UNAVAILABLE, 0, "the runtime is closing"));
    free(rt->name_waits.v);
    rt->name_waits.v = NULL;
}

/* What was removed frees its name; what could not be removed is left to whoever wants it gone. Takes <err>, returns it if it counts. */
static Err *removed(CriRuntime *rt, const char *id, int code, Err *err)
{
    CriContainer *c = cri_container(rt, id);
    if (c)
        c->removing = false;
    if (!err || code == GRPC_NOT_FOUND) {
        err_free(err);
        err = NULL;
        cri_container_gone(rt, id);
    }
    if (!rt->closing)
        names_changed(rt);
    return err;
}

static void remove_send(CriRuntime *rt, const char *id, CriReply *reply, void *arg)
{
    Cri__RemoveContainerRequest q = CRI__REMOVE_CONTAINER_REQUEST__INIT;
    SCOPED(mem_free) char *copy = mem_dup_str(id);
    CriContainer *c = cri_container(rt, id);
    if (c)
        c->removing = true;
    q.container_id = copy;
    cri_call(rt, CRI_REMOVE_CONTAINER, &q, &(CriCallOptions){.repeat = true, .turn = pod_of(rt, copy)}, reply, arg);
}

static void on_cleared(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    CreateOp *op = arg;
    (void)answer;
    err = removed(op->rt, op->clearing, code, err);
    if (err)
        create_finish(op, err_wrap(err, "remove container %s, which was never started", op->clearing));
    else
        clear_name(op);
}

/* CRI knows a container by Pod, name and attempt: one that was made for that attempt, and not started, has to go first. It was
 * prepared ahead for something that is another by now, or an agent died over it. */
static void clear_name(CreateOp *op)
{
    const CriPod *p = cri_pod(op->rt, op->uid);
    const Cri__ContainerMetadata *m = op->request->config->metadata;
    for (size_t i = 0; p && i < p->containers.n; i++) {
        const CriContainer *c = p->containers.v[i];
        if (c->fact.attempt != m->attempt || !str_eq(c->fact.name, m->name) || (c->fact.state != RUN_CREATED && !c->removing))
            continue;
        if (c->removing) {
            *LIST_ADD(&op->rt->name_waits) = op;
            return;
        }
        mem_set_str(&op->clearing, c->fact.id);
        remove_send(op->rt, op->clearing, on_cleared, op);
        return;
    }
    create_send(op);
}

static Err *make(CriRuntime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, const char *key, RuntimeIdDone *done,
                 void *arg)
{
    char request_id[33];
    Err *e = cri_refused(&rt->base);
    if (e)
        return e;
    SCOPED(cri_arena_done) CriArena a = {0};
    Cri__CreateContainerRequest q = CRI__CREATE_CONTAINER_REQUEST__INIT;
    SCOPED(mem_free) char *sandbox = mem_dup_str(sandbox_id);
    os_random_hex(request_id, 16);
    q.pod_sandbox_id = sandbox;
    q.sandbox_config = cri_sandbox_config(&a, rt, c->sandbox, NULL);
    e = cri_container_config(&a, rt, c, request_id, key, &q.config);
    if (e)
        return e;
    CreateOp *op = NEW(CreateOp);
    *op = (CreateOp){.rt = rt, .uid = mem_dup_str(uid), .sandbox_id = mem_dup_str(sandbox_id), .done = done, .arg = arg,
                     .request = cri_request_copy(&q)};
    memcpy(op->request_id, request_id, sizeof request_id);
    clear_name(op);
    return NULL;
}

Err *cri_container_create(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, RuntimeIdDone *done,
                          void *arg)
{
    return make((CriRuntime *)rt, uid, sandbox_id, c, NULL, done, arg);
}

/* CRI has no gate: what can be done ahead is CreateContainer. */
Err *cri_container_prepare(Runtime *rt, const char *uid, const char *sandbox_id, const ContainerConfig *c, PrepareMode mode,
                           const char *key, RuntimeIdDone *done, void *arg)
{
    (void)mode;
    return make((CriRuntime *)rt, uid, sandbox_id, c, str_or(key, ""), done, arg);
}

/* --- requests about one container ------------------------------------------------------------------------------------------------ */

typedef struct {
    CriRuntime *rt;
    char *id;
    RuntimeDone *done; /* NULL = answered already */
    void *arg;
    Err *failed;
    unsigned tries;
    size_t max_output;
    RuntimeExecDone *exec_done;
} Op;

static Op *op_new(CriRuntime *rt, const char *id, RuntimeDone *done, void *arg)
{
    Op *op = NEW(Op);
    *op = (Op){.rt = rt, .id = mem_dup_str(id), .done = done, .arg = arg};
    return op;
}

static void op_free(Op *op)
{
    err_free(op->failed);
    free(op->id);
    free(op);
}

static void op_finish(Op *op, Err *e)
{
    if (op->done)
        op->done(op->arg, e);
    else
        err_free(e);
    op_free(op);
}

/* --- start */

static void start_send(Op *op);

/* How it is after StartContainer: when it was refused or its answer lost, that tells what has happened. */
static void on_start_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Op *op = arg;
    const Cri__ContainerStatusResponse *r = (const Cri__ContainerStatusResponse *)answer;
    if (r)
        cri_saw_container(op->rt, NULL, r->status);
    else if (code == GRPC_NOT_FOUND)
        cri_container_gone(op->rt, op->id);
    const CriContainer *c = cri_container(op->rt, op->id);
    Err *failed = MOVE(op->failed, NULL);
    bool started = r && c && (c->fact.state == RUN_RUNNING || (c->fact.state == RUN_EXITED && c->fact.started_at_ns != NS_NONE));
    if (failed && started && !str_eq(c->fact.reason, "StartError")) {
        err_free(failed); /* it did start, and the answer was lost */
        failed = NULL;
    }
    if (failed && code == GRPC_NOT_FOUND)
        failed->kind = ERR_NOT_FOUND;
    cri_watch_expect(op->rt);
    err_free(err);
    op_finish(op, failed);
}

static void on_started(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Op *op = arg;
    (void)answer;
    CriContainer *c = cri_container(op->rt, op->id);
    if (c && err && !cri_in_doubt(code)) { /* the runtime itself says that it failed */
        c->start_refused = true;
        c->fact.start_in_doubt = false;
        cri_changed(op->rt, c->pod);
    }
    op->failed = err;
    Cri__ContainerStatusRequest q = CRI__CONTAINER_STATUS_REQUEST__INIT;
    q.container_id = op->id;
    cri_call(op->rt, CRI_CONTAINER_STATUS, &q, &(CriCallOptions){.repeat = true}, on_start_status, op);
}

static void start_send(Op *op)
{
    Cri__StartContainerRequest q = CRI__START_CONTAINER_REQUEST__INIT;
    q.container_id = op->id;
    cri_call(op->rt, CRI_START_CONTAINER, &q, &(CriCallOptions){.turn = pod_of(op->rt, op->id)}, on_started, op);
}

Err *cri_container_start(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    (void)uid;
    Err *e = cri_refused(rt);
    if (!e)
        start_send(op_new((CriRuntime *)rt, id, done, arg));
    return e;
}

/* --- stop */

static void on_stopped(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Op *op = arg;
    (void)answer;
    if (code == GRPC_NOT_FOUND) {
        cri_container_gone(op->rt, op->id);
        err_free(err);
        err = NULL;
    }
    CriContainer *c = cri_container(op->rt, op->id);
    if (!err && c && (c->fact.state == RUN_RUNNING || c->fact.state == RUN_UNKNOWN))
        cri_ask_container(op->rt, op->id); /* it has ended: the runtime said so by answering */
    cri_watch_expect(op->rt);
    op_finish(op, err);
}

static void stop_send(Op *op, int64_t timeout_s)
{
    Cri__StopContainerRequest q = CRI__STOP_CONTAINER_REQUEST__INIT;
    q.container_id = op->id;
    q.timeout = timeout_s;
    /* The stop signal is not sent twice; SIGKILL may be. A call that waits for a container to end by itself keeps no other back. */
    CriCallOptions o = {.repeat = timeout_s == 0, .wait = true, .turn = timeout_s == 0 ? pod_of(op->rt, op->id) : NULL};
    cri_call(op->rt, CRI_STOP_CONTAINER, &q, &o, on_stopped, op);
}

static void answer_now(void *arg, bool cancelled)
{
    (void)cancelled;
    op_finish(arg, NULL);
}

/* The answer of StopContainer comes when the container has ended; ours is due when the signal was sent. */
Err *cri_container_signal(Runtime *base, const char *uid, const char *id, int signal, RuntimeDone *done, void *arg)
{
    CriRuntime *rt = (CriRuntime *)base;
    (void)uid;
    Err *e = cri_refused(base);
    if (e)
        return e;
    if (signal) {
        stop_send(op_new(rt, id, done, arg), 0);
        return NULL;
    }
    stop_send(op_new(rt, id, NULL, NULL), STOP_LATER_S);
    cri_later(rt, 0, answer_now, op_new(rt, id, done, arg));
    return NULL;
}

typedef struct {
    RuntimeDone *done;
    void *arg;
    size_t left;
    Err *failed;
} KillAll;

static void on_one_killed(void *arg, Err *err)
{
    KillAll *k = arg;
    if (err && k->failed)
        err_free(err);
    else if (err)
        k->failed = err;
    if (--k->left)
        return;
    k->done(k->arg, k->failed);
    free(k);
}

/* SIGKILL to all, on one connection, in one turn. */
Err *cri_containers_kill(Runtime *rt, const char *uid, const char *const *ids, size_t n, RuntimeDone *done, void *arg)
{
    (void)uid;
    Err *e = cri_refused(rt);
    if (e)
        return e;
    if (!n) {
        cri_later((CriRuntime *)rt, 0, answer_now, op_new((CriRuntime *)rt, "", done, arg));
        return NULL;
    }
    KillAll *k = NEW(KillAll);
    *k = (KillAll){.done = done, .arg = arg, .left = n};
    for (size_t i = 0; i < n; i++)
        stop_send(op_new((CriRuntime *)rt, ids[i], on_one_killed, k), 0);
    return NULL;
}

/* --- remove */

static void on_removed(void *arg, int code, const ProtobufCMessage *answer, Err *err);

static void remove_again(void *arg, bool cancelled)
{
    Op *op = arg;
    if (cancelled)
        on_removed(op, GRPC_CANCELLED, NULL, err_new(ERR_UNAVAILABLE, 0, "the runtime is closing"));
    else
        remove_send(op->rt, op->id, on_removed, op);
}

/* Between the event of its end and the runtime's own record of it, a container "is still running" to RemoveContainer. */
static void on_removed(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Op *op = arg;
    const CriContainer *c = cri_container(op->rt, op->id);
    (void)answer;
    if (err && c && c->end_by_event && !cri_in_doubt(code) && code != GRPC_NOT_FOUND && ++op->tries < REMOVE_TRIES) {
        err_free(err);
        cri_later(op->rt, REMOVE_AGAIN_MS, remove_again, op);
        return;
    }
    op_finish(op, removed(op->rt, op->id, code, err));
}

Err *cri_container_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    (void)uid;
    Err *e = cri_refused(rt);
    if (!e)
        remove_send((CriRuntime *)rt, id, on_removed, op_new((CriRuntime *)rt, id, done, arg));
    return e;
}

/* --- exec */

static void on_exec(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    Op *op = arg;
    const Cri__ExecSyncResponse *r = (const Cri__ExecSyncResponse *)answer;
    SCOPED(str_done) Str out = {0};
    if (r) {
        str_add_n(&out, r->stdout_.data, r->stdout_.len);
        str_add_n(&out, r->stderr_.data, r->stderr_.len);
    }
    ExecResult res = {.timed_out = code == GRPC_DEADLINE_EXCEEDED, .exit_code = r ? r->exit_code : -1, .out = str_or(out.p, ""),
                      .n_out = out.n < op->max_output ? out.n : op->max_output};
    if (res.timed_out) {
        err_free(err);
        err = NULL;
    }
    op->exec_done(op->arg, err ? NULL : &res, err);
    op_free(op);
}

/* CRI counts whole seconds: the runtime ends it at the next one, this side waits no longer than it was asked to. */
Err *cri_exec_sync(Runtime *rt, const char *uid, const char *id, const char *const *argv, int64_t timeout_ns, size_t max_output,
                   RuntimeExecDone *done, void *arg)
{
    (void)uid;
    Err *e = cri_refused(rt);
    if (e)
        return e;
    Op *op = op_new((CriRuntime *)rt, id, NULL, arg);
    op->exec_done = done;
    op->max_output = max_output;
    SCOPED(strvec_done) StrVec cmd = {0};
    for (; *argv; argv++)
        strvec_add(&cmd, *argv);
    Cri__ExecSyncRequest q = CRI__EXEC_SYNC_REQUEST__INIT;
    q.container_id = op->id;
    q.n_cmd = cmd.n;
    q.cmd = cmd.v;
    q.timeout = timeout_ns > 0 ? (timeout_ns + NS_PER_S - 1) / NS_PER_S : 0;
    cri_call(op->rt, CRI_EXEC_SYNC, &q, &(CriCallOptions){.timeout_ns = timeout_ns}, on_exec, op);
    return NULL;
}
