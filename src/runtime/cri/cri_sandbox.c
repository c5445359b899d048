#include "os/fs.h"
#include "runtime/cri/cri_priv.h"

#define TRIES_MAX 3
/* A cgroup that is still busy: five seconds. */
#define DROP_TRIES    100
#define DROP_AGAIN_MS 50

typedef struct {
    CriRuntime *rt;
    char *uid, *id;
    char request_id[33];
    uint32_t attempt;
    Cri__RunPodSandboxRequest *request; /* owned: sent again when nothing is there */
    unsigned tries;
    RuntimeIdDone *id_done;
    RuntimeDone *done;
    bool remove;
    void *arg;
    Err *failed;
} SandboxOp;

static void op_free(SandboxOp *op)
{
    if (op->request)
        cri__run_pod_sandbox_request__free_unpacked(op->request, NULL);
    err_free(op->failed);
    free(op->uid);
    free(op->id);
    free(op);
}

static bool has_other_sandbox(const CriRuntime *rt, const SandboxOp *op)
{
    const CriPod *p = strindex_get(&rt->by_uid, op->uid);
    for (size_t i = 0; p && i < p->sandboxes.n; i++)
        if (!str_eq(p->sandboxes.v[i]->fact.id, str_or(op->id, "")))
            return true;
    return false;
}

/* false: it is still busy. */
static bool drop_pod_cgroup(CriRuntime *rt, const char *uid)
{
    SCOPED(cri_arena_done) CriArena a = {0};
    if (!rt->have_cgroups || rt->systemd_cgroups)
        return true;
    return cgroup_remove(&rt->cgroups, cri_cgroup_parent(&a, rt, uid));
}

/* --- run ------------------------------------------------------------------------------------------------------------------- */

static void run_finish(SandboxOp *op, Err *e)
{
    CriRuntime *rt = op->rt;
    CriPod *p = cri_pod(rt, op->uid);
    if (e && !rt->closing)
        cri_watch_list(rt); /* it may be there all the same */
    if (e && !has_other_sandbox(rt, op))
        (void)drop_pod_cgroup(rt, op->uid); /* nobody will ever remove a sandbox of it */
    if (p) {
        p->making_sandbox = false;
        cri_changed(rt, p);
        cri_pod_drop_if_empty(p);
    }
    op->id_done(op->arg, e ? NULL : op->id, e && !e->reason[0] ? err_reason(e, "FailedCreatePodSandBox") : e);
    op_free(op);
}

static void on_run_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    SandboxOp *op = arg;
    (void)code;
    const Cri__PodSandboxStatusResponse *r = (const Cri__PodSandboxStatusResponse *)answer;
    if (r)
        cri_saw_sandbox(op->rt, r->status);
    run_finish(op, err);
}

static void run_status(SandboxOp *op)
{
    Cri__PodSandboxStatusRequest q = CRI__POD_SANDBOX_STATUS_REQUEST__INIT;
    q.pod_sandbox_id = op->id;
    cri_call(op->rt, CRI_POD_SANDBOX_STATUS, &q, &(CriCallOptions){.repeat = true}, on_run_status, op);
}

static void run_send(SandboxOp *op);

/* The answer of RunPodSandbox was lost: is there one that this request has made? */
static void on_run_listed(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    SandboxOp *op = arg;
    (void)code;
    const Cri__ListPodSandboxResponse *r = (const Cri__ListPodSandboxResponse *)answer;
    for (size_t i = 0; r && i < r->n_items; i++) {
        const Cri__PodSandbox *s = r->items[i];
        const char *by = cri_note((Cri__PodSandboxStatus__AnnotationsEntry *const *)s->annotations, s->n_annotations, NOTE_REQUEST);
        if (!str_eq(by, op->request_id) || s->state != CRI__POD_SANDBOX_STATE__SANDBOX_READY)
            continue;
        mem_set_str(&op->id, s->id);
        run_status(op);
        return;
    }
    if (!err && op->tries < TRIES_MAX) {
        run_send(op);
        return;
    }
    err_free(err);
    run_finish(op, MOVE(op->failed, NULL));
}

static void on_run(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    SandboxOp *op = arg;
    CriRuntime *rt = op->rt;
    if (!err) {
        mem_set_str(&op->id, ((const Cri__RunPodSandboxResponse *)answer)->pod_sandbox_id);
        run_status(op);
        return;
    }
    if (!cri_in_doubt(code) || rt->closing) {
        run_finish(op, err);
        return;
    }
    err_free(op->failed);
    op->failed = err;
    Cri__PodSandboxFilter__LabelSelectorEntry l = CRI__POD_SANDBOX_FILTER__LABEL_SELECTOR_ENTRY__INIT, *ls[] = {&l};
    Cri__PodSandboxFilter f = CRI__POD_SANDBOX_FILTER__INIT;
    Cri__ListPodSandboxRequest q = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
    char label[] = LABEL_POD_UID;
    l.key = label;
    l.value = op->uid;
    f.n_label_selector = 1;
    f.label_selector = ls;
    q.filter = &f;
    cri_call(rt, CRI_LIST_POD_SANDBOX, &q, &(CriCallOptions){.repeat = true}, on_run_listed, op);
}

static void run_send(SandboxOp *op)
{
    op->tries++;
    cri_call(op->rt, CRI_RUN_POD_SANDBOX, op->request, NULL, on_run, op);
}

/* The kubelet makes the Pod's cgroup before the sandbox, so that the runtime's own are below it, within the Pod's limits. With systemd
 * the slice is systemd's, made when the sandbox is. */
static Err *make_cgroup(CriRuntime *rt, const SandboxConfig *c)
{
    SCOPED(cri_arena_done) CriArena a = {0};
    if (!rt->have_cgroups || rt->systemd_cgroups)
        return NULL;
    CgroupLimits limits = {c->cpu_shares, c->cpu_quota_us, c->cpu_period_us, c->memory_limit_bytes, c->pids_limit};
    return cgroup_make(&rt->cgroups, cri_cgroup_parent(&a, rt, c->uid), &limits);
}

Err *cri_sandbox_run(Runtime *base, const SandboxConfig *c, RuntimeIdDone *done, void *arg)
{
    CriRuntime *rt = (CriRuntime *)base;
    CriPod *p = cri_pod(rt, c->uid);
    Err *e = cri_refused(base);
    if (e)
        return e;
    if (p && p->making_sandbox)
        return err_new(ERR_EXISTS, 0, "a sandbox of Pod %s is being made already", c->name);
    e = make_cgroup(rt, c);
    if (e)
        return err_reason(err_wrap(e, "make the cgroup of Pod %s", c->name), "FailedCreatePodSandBox");
    p = cri_pod_make(rt, c->uid);
    p->making_sandbox = true;
    p->making_attempt = c->attempt;
    SandboxOp *op = NEW(SandboxOp);
    *op = (SandboxOp){.rt = rt, .uid = mem_dup_str(c->uid), .attempt = c->attempt, .id_done = done, .arg = arg};
    os_random_hex(op->request_id, 16);
    SCOPED(cri_arena_done) CriArena a = {0};
    Cri__RunPodSandboxRequest q = CRI__RUN_POD_SANDBOX_REQUEST__INIT;
    q.config = cri_sandbox_config(&a, rt, c, op->request_id);
    op->request = cri_request_copy(&q);
    cri_watch_expect(rt);
    run_send(op);
    return NULL;
}

/* --- stop and remove ---------------------------------------------------------------------------------------------------------- */

static void end_finish(SandboxOp *op, Err *e)
{
    op->done(op->arg, e);
    op_free(op);
}

/* The runtime has answered, but the last process may still be on its way out. Only then is the sandbox gone for the agent, which may
 * have nothing else to wait for. */
static void drop_cgroup(void *arg, bool cancelled)
{
    SandboxOp *op = arg;
    CriRuntime *rt = op->rt;
    bool busy = !has_other_sandbox(rt, op) && !drop_pod_cgroup(rt, op->uid);
    if (busy && !cancelled && ++op->tries <= DROP_TRIES) {
        cri_later(rt, DROP_AGAIN_MS, drop_cgroup, op);
        return;
    }
    cri_sandbox_removed(rt, op->id);
    end_finish(op, NULL);
}

static void being_removed(CriRuntime *rt, const char *id, bool is)
{
    CriSandbox *s = cri_sandbox(rt, id, NULL);
    if (s)
        s->removing = is;
}

static void on_removed(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    SandboxOp *op = arg;
    (void)answer;
    if (err && code != GRPC_NOT_FOUND) {
        being_removed(op->rt, op->id, false);
        end_finish(op, err);
        return;
    }
    err_free(err);
    op->tries = 0;
    drop_cgroup(op, op->rt->closing);
}

static void on_stopped(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    SandboxOp *op = arg;
    (void)answer;
    if (err && code == GRPC_NOT_FOUND) {
        err_free(err);
        err = NULL;
    }
    if (!err && op->remove) {
        Cri__RemovePodSandboxRequest q = CRI__REMOVE_POD_SANDBOX_REQUEST__INIT;
        q.pod_sandbox_id = op->id;
        being_removed(op->rt, op->id, true);
        cri_call(op->rt, CRI_REMOVE_POD_SANDBOX, &q, &(CriCallOptions){.repeat = true}, on_removed, op);
        return;
    }
    if (!err)
        cri_sandbox_stopped(op->rt, op->id);
    cri_watch_expect(op->rt);
    end_finish(op, err);
}

static Err *end_sandbox(Runtime *base, const char *uid, const char *id, bool remove, RuntimeDone *done, void *arg)
{
    CriRuntime *rt = (CriRuntime *)base;
    Err *e = cri_refused(base);
    if (e)
        return e;
    SandboxOp *op = NEW(SandboxOp);
    *op = (SandboxOp){.rt = rt, .uid = mem_dup_str(uid), .id = mem_dup_str(id), .done = done, .remove = remove, .arg = arg};
    Cri__StopPodSandboxRequest q = CRI__STOP_POD_SANDBOX_REQUEST__INIT;
    q.pod_sandbox_id = op->id;
    cri_call(rt, CRI_STOP_POD_SANDBOX, &q, &(CriCallOptions){.repeat = true}, on_stopped, op);
    return NULL;
}

Err *cri_sandbox_stop(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    return end_sandbox(rt, uid, id, false, done, arg);
}

Err *cri_sandbox_remove(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg)
{
    return end_sandbox(rt, uid, id, true, done, arg);
}
