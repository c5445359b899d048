/* cri_cache.c - what is known of our sandboxes and containers. News comes in any order: answers, events and lists overtake each other.
 * A container only ever goes on, from created to running to exited; what says less than is known already is old news. */
#include <fcntl.h>
#include <unistd.h>

#include "os/fs.h"
#include "os/podlog.h"
#include "runtime/cri/cri_priv.h"

/* Every map<string, string> of CRI is generated as a type of its own, all of this layout. */
const char *cri_note(Cri__PodSandboxStatus__AnnotationsEntry *const *v, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v[i]->key, key))
            return v[i]->value;
    return NULL;
}
#define NOTE(m, map, name) cri_note((Cri__PodSandboxStatus__AnnotationsEntry *const *)(m)->map, (m)->n_##map, name)

static bool ours(const CriRuntime *rt, const char *root_label)
{
    return str_eq(root_label, rt->root);
}

static char *text_of(const char *s)
{
    return str_empty(s) ? NULL : mem_dup_str(s);
}

static int64_t moment(int64_t ns)
{
    return ns > 0 ? ns : NS_NONE;
}

/* --- Pods ---------------------------------------------------------------------------------------------------------------- */

CriPod *cri_pod(CriRuntime *rt, const char *uid)
{
    return strindex_get(&rt->by_uid, uid);
}

CriPod *cri_pod_make(CriRuntime *rt, const char *uid)
{
    CriPod *p = cri_pod(rt, uid);
    if (p)
        return p;
    p = NEW(CriPod);
    *p = (CriPod){.rt = rt, .uid = mem_dup_str(uid)};
    *LIST_ADD(&rt->pods) = p;
    strindex_add(&rt->by_uid, p->uid, p);
    return p;
}

static void cri_pod_free(CriPod *p)
{
    free(p->sandboxes.v);
    free(p->containers.v);
    free(p->uid);
    free(p);
}

void cri_pod_drop_if_empty(CriPod *p)
{
    CriRuntime *rt = p->rt;
    if (p->sandboxes.n || p->containers.n || p->making_sandbox)
        return;
    strindex_remove(&rt->by_uid, p->uid);
    for (size_t i = 0; i < rt->pods.n; i++)
        if (rt->pods.v[i] == p)
            rt->pods.v[i] = rt->pods.v[--rt->pods.n];
    cri_pod_free(p);
}

void cri_changed(CriRuntime *rt, const CriPod *p)
{
    if (rt->base.on_change && !rt->closing)
        rt->base.on_change(rt->base.on_change_arg, p->uid);
}

/* --- what was removed ------------------------------------------------------------------------------------------------------ */

static void bury(CriRuntime *rt, const char *id)
{
    size_t i = rt->n_buried++ % ARRAY_LEN(rt->buried);
    mem_set_str(&rt->buried[i], id);
}

/* Ids are never used again: one that is buried does not come back. */
static bool is_buried(const CriRuntime *rt, const char *id)
{
    size_t n = rt->n_buried < ARRAY_LEN(rt->buried) ? rt->n_buried : ARRAY_LEN(rt->buried);
    for (size_t i = 0; i < n; i++)
        if (str_eq(rt->buried[i], id))
            return true;
    return false;
}

/* --- sandboxes ------------------------------------------------------------------------------------------------------------- */

CriSandbox *cri_sandbox(CriRuntime *rt, const char *id, CriPod **ret_pod)
{
    CriPod *p = strindex_get(&rt->by_sandbox, id);
    if (ret_pod)
        *ret_pod = p;
    for (size_t i = 0; p && i < p->sandboxes.n; i++)
        if (str_eq(p->sandboxes.v[i]->fact.id, id))
            return p->sandboxes.v[i];
    return NULL;
}

static CriSandbox *sandbox_make(CriRuntime *rt, const char *uid, const char *id, uint32_t attempt, int64_t created_at)
{
    CriSandbox *s = cri_sandbox(rt, id, NULL);
    if (s || str_empty(uid) || is_buried(rt, id))
        return s;
    CriPod *p = cri_pod_make(rt, uid);
    s = NEW(CriSandbox);
    *s = (CriSandbox){.born = rt->listed, .fact = {.id = mem_dup_str(id), .attempt = attempt, .state = SANDBOX_NOT_READY, .created_at_ns = moment(created_at)}};
    *LIST_ADD(&p->sandboxes) = s;
    strindex_add(&rt->by_sandbox, s->fact.id, p);
    return s;
}

static void sandbox_free(CriSandbox *s)
{
    sandbox_fact_done(&s->fact);
    free(s);
}

void cri_sandbox_gone(CriRuntime *rt, const char *id)
{
    CriPod *p;
    CriSandbox *s = cri_sandbox(rt, id, &p);
    if (!s || s->removing)
        return;
    bury(rt, s->fact.id);
    strindex_remove(&rt->by_sandbox, s->fact.id);
    for (size_t i = 0; i < p->sandboxes.n; i++)
        if (p->sandboxes.v[i] == s)
            p->sandboxes.v[i] = p->sandboxes.v[--p->sandboxes.n];
    sandbox_free(s);
    cri_changed(rt, p);
    cri_pod_drop_if_empty(p);
}

static void sandbox_state(CriSandbox *s, bool ready)
{
    s->ended = s->ended || (!ready && s->fact.state == SANDBOX_READY);
    s->fact.state = ready && !s->ended ? SANDBOX_READY : SANDBOX_NOT_READY;
}

void cri_sandbox_stopped(CriRuntime *rt, const char *id)
{
    CriPod *p;
    CriSandbox *s = cri_sandbox(rt, id, &p);
    if (!s || s->ended)
        return;
    s->ended = true;
    sandbox_state(s, false);
    cri_changed(rt, p);
}

void cri_saw_sandbox(CriRuntime *rt, const Cri__PodSandboxStatus *s)
{
    if (!s || !ours(rt, NOTE(s, labels, LABEL_ROOT)) || !s->metadata)
        return;
    CriSandbox *k = sandbox_make(rt, s->metadata->uid, s->id, s->metadata->attempt, s->created_at);
    if (!k)
        return;
    SandboxFact *f = &k->fact;
    k->known = true;
    sandbox_state(k, s->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY);
    f->created_at_ns = moment(s->created_at);
    f->host_network = s->linux_ && s->linux_->namespaces && s->linux_->namespaces->options &&
                      s->linux_->namespaces->options->network == CRI__NAMESPACE_MODE__NODE;
    if (s->network && !str_empty(s->network->ip) && !f->host_network) {
        LIST_EACH(ip, &f->ips)
            free(*ip);
        f->ips.n = 0;
        *LIST_ADD(&f->ips) = mem_dup_str(s->network->ip);
        for (size_t i = 0; i < s->network->n_additional_ips; i++)
            *LIST_ADD(&f->ips) = mem_dup_str(s->network->additional_ips[i]->ip);
    }
    cri_changed(rt, strindex_get(&rt->by_sandbox, s->id));
}

bool cri_listed_sandbox(CriRuntime *rt, const Cri__PodSandbox *s)
{
    if (!ours(rt, NOTE(s, labels, LABEL_ROOT)) || !s->metadata)
        return false;
    CriSandbox *k = sandbox_make(rt, s->metadata->uid, s->id, s->metadata->attempt, s->created_at);
    if (!k)
        return false;
    SandboxState state = s->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY ? SANDBOX_READY : SANDBOX_NOT_READY;
    return !k->known || (k->fact.state != state && !k->ended);
}

/* --- containers ------------------------------------------------------------------------------------------------------------- */

CriContainer *cri_container(CriRuntime *rt, const char *id)
{
    return strindex_get(&rt->by_container, id);
}

static void container_free(CriContainer *c)
{
    container_fact_done(&c->fact);
    free(c->key);
    free(c->message_file);
    free(c);
}

void cri_container_gone(CriRuntime *rt, const char *id)
{
    CriContainer *c = cri_container(rt, id);
    if (!c)
        return;
    CriPod *p = c->pod;
    bury(rt, c->fact.id);
    strindex_remove(&rt->by_container, c->fact.id);
    for (size_t i = 0; i < p->containers.n; i++)
        if (p->containers.v[i] == c)
            p->containers.v[i] = p->containers.v[--p->containers.n];
    container_free(c);
    cri_changed(rt, p);
    cri_pod_drop_if_empty(p);
}

static CriContainer *container_make(CriRuntime *rt, const char *uid, const char *id)
{
    CriContainer *c = cri_container(rt, id);
    if (c || str_empty(uid) || is_buried(rt, id))
        return c;
    CriPod *p = cri_pod_make(rt, uid);
    c = NEW(CriContainer);
    *c = (CriContainer){.pod = p, .born = rt->listed, .fact = {.id = mem_dup_str(id), .state = RUN_CREATED}};
    ContainerFact *f = &c->fact;
    f->created_at_ns = f->started_at_ns = f->finished_at_ns = NS_NONE;
    f->stop_since_ns = f->term_at_ns = f->kill_at_ns = NS_NONE; /* the agent's own */
    *LIST_ADD(&p->containers) = c;
    strindex_add(&rt->by_container, f->id, c);
    return c;
}

static RunState run_state(Cri__ContainerState s)
{
    switch (s) {
    case CRI__CONTAINER_STATE__CONTAINER_CREATED:
        return RUN_CREATED;
    case CRI__CONTAINER_STATE__CONTAINER_RUNNING:
        return RUN_RUNNING;
    case CRI__CONTAINER_STATE__CONTAINER_EXITED:
        return RUN_EXITED;
    case CRI__CONTAINER_STATE__CONTAINER_UNKNOWN:
    case _CRI__CONTAINER_STATE_IS_INT_SIZE:
        break;
    }
    return RUN_UNKNOWN;
}

/* Is <news> older than what is known? What has ended has ended, what has run is not only created, even if it is unknown now. */
static bool goes_back(const CriContainer *known, RunState news)
{
    return known->fact.state == RUN_EXITED ? news != RUN_EXITED : news == RUN_CREATED && known->ran;
}

/* The kubelet's getTerminationMessage (kuberuntime_container.go): what the container wrote, else, if it failed and the Pod wants it, the
 * end of its log, else the runtime's own words. */
static void take_last_words(CriContainer *c)
{
    ContainerFact *f = &c->fact;
    SCOPED(str_done) Str text = {0};
    SCOPED(fd_close) int fd =
        c->message_file ? open(c->message_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -EBADF;
    podlog_last_words(fd, &text);
    if (!text.n && f->exit_code != 0 && c->message_from_logs && f->log_path && f->log_path[0] == '/') {
        SCOPED(mem_free) char *tail = podlog_tail(f->log_path);
        str_add(&text, tail);
    }
    if (text.n)
        mem_set_str(&f->message, text.p);
}

static const char *plain_reason(const CriContainer *c)
{
    return c->fact.exit_code == 0 ? "Completed" : c->oom ? "OOMKilled" : "Error";
}

void cri_saw_start(CriRuntime *rt, CriContainer *c, int64_t at_ns)
{
    ContainerFact *f = &c->fact;
    if (f->state != RUN_CREATED)
        return;
    f->state = RUN_RUNNING;
    f->started_at_ns = at_ns;
    c->ran = true;
    cri_changed(rt, c->pod);
}

void cri_saw_exit(CriRuntime *rt, CriContainer *c, uint32_t code, int64_t at_ns)
{
    ContainerFact *f = &c->fact;
    if (f->state == RUN_EXITED)
        return;
    /* The end of its log is not there yet: the runtime waits for it before it says that the container has ended. And somebody who
     * came too late to see it start has to ask when that was. */
    if ((c->message_from_logs && code != 0) || f->started_at_ns == NS_NONE) {
        cri_ask_container(rt, f->id);
        return;
    }
    f->state = RUN_EXITED;
    c->end_by_event = true;
    f->exit_known = true;
    f->exit_code = (int32_t)code;
    f->finished_at_ns = at_ns;
    f->pid = 0;
    mem_set_str(&f->reason, plain_reason(c));
    take_last_words(c);
    cri_changed(rt, c->pod);
}

/* The kernel's word may come after the end. */
void cri_saw_oom(CriRuntime *rt, CriContainer *c)
{
    ContainerFact *f = &c->fact;
    c->oom = true;
    if (f->state != RUN_EXITED || !f->exit_known || !str_eq(f->reason, "Error"))
        return;
    mem_set_str(&f->reason, plain_reason(c));
    cri_changed(rt, c->pod);
}

static void saw_end(CriContainer *c, const Cri__ContainerStatus *s)
{
    ContainerFact *f = &c->fact;
    bool known_already = f->state == RUN_EXITED && f->exit_known;
    c->end_by_event = false;
    /* containerd and CRI-O write 255 and "Unknown" when the process ended while nobody looked, or its task is gone. */
    bool known = !(s->exit_code == 255 && str_eq(s->reason, "Unknown"));
    if (known_already && (!known || s->exit_code != f->exit_code))
        return; /* the runtime died between the event and its records; and what was told once has been acted upon */
    f->state = RUN_EXITED;
    f->finished_at_ns = moment(s->finished_at);
    f->exit_code = s->exit_code;
    f->exit_known = known;
    mem_set_str(&f->reason, str_empty(s->reason) ? plain_reason(c) : s->reason);
    if (known_already)
        return;
    /* containerd gives a StartContainer up when its caller goes away, or its time is over, and writes that down as a failed start. */
    f->start_in_doubt = str_eq(s->reason, "StartError") && !c->start_refused;
    if (!str_empty(s->message))
        mem_set_str(&f->message, s->message);
    take_last_words(c);
}

/* What never changes, from whichever status is the first. */
static void what_it_is(CriContainer *c, const Cri__ContainerStatus *s)
{
    ContainerFact *f = &c->fact;
    f->name = mem_dup_str(s->metadata->name);
    f->attempt = s->metadata->attempt;
    f->image = text_of(s->image ? s->image->user_specified_image : NULL);
    if (!f->image)
        f->image = text_of(s->image ? s->image->image : NULL);
    f->spec_hash = text_of(NOTE(s, annotations, NOTE_HASH));
    f->created_at_ns = moment(s->created_at);
    c->key = text_of(NOTE(s, annotations, NOTE_KEY));
    c->message_file = text_of(NOTE(s, annotations, NOTE_MESSAGE_FILE));
    c->message_from_logs = str_eq(NOTE(s, annotations, NOTE_MESSAGE_POLICY), "FallbackToLogsOnError");
}

static void how_it_is(CriContainer *c, const Cri__ContainerStatus *s)
{
    ContainerFact *f = &c->fact;
    if (s->started_at > 0)
        f->started_at_ns = s->started_at;
    c->ran = c->ran || run_state(s->state) == RUN_RUNNING || f->started_at_ns != NS_NONE;
    if (run_state(s->state) == RUN_EXITED)
        saw_end(c, s);
    else
        f->state = run_state(s->state);
}

void cri_saw_container(CriRuntime *rt, const char *sandbox_id, const Cri__ContainerStatus *s)
{
    if (!s || !ours(rt, NOTE(s, labels, LABEL_ROOT)) || !s->metadata)
        return;
    CriContainer *c = container_make(rt, NOTE(s, labels, LABEL_POD_UID), s->id);
    if (!c)
        return;
    ContainerFact *f = &c->fact;
    if (!f->name)
        what_it_is(c, s);
    if (sandbox_id)
        mem_set_str(&f->sandbox_id, sandbox_id);
    mem_set_str(&f->image_id, str_empty(s->image_id) ? s->image_ref : s->image_id);
    if (!str_empty(s->log_path))
        mem_set_str(&f->log_path, s->log_path);
    if (!goes_back(c, run_state(s->state)))
        how_it_is(c, s);
    cri_changed(rt, c->pod);
}

bool cri_listed_container(CriRuntime *rt, const Cri__Container *c)
{
    if (!ours(rt, NOTE(c, labels, LABEL_ROOT)) || !c->metadata)
        return false;
    CriContainer *k = container_make(rt, NOTE(c, labels, LABEL_POD_UID), c->id);
    if (!k)
        return false;
    mem_set_str(&k->fact.sandbox_id, c->pod_sandbox_id);
    return !k->fact.name || (run_state(c->state) != k->fact.state && !goes_back(k, run_state(c->state)));
}

/* RemovePodSandbox removes its containers as well. */
void cri_sandbox_removed(CriRuntime *rt, const char *id)
{
    SCOPED(strvec_done) StrVec inside = {0};
    CriPod *p;
    CriSandbox *s = cri_sandbox(rt, id, &p);
    if (!s)
        return;
    s->removing = false;
    LIST_EACH(c, &p->containers)
        if (str_eq((*c)->fact.sandbox_id, id))
            strvec_add(&inside, (*c)->fact.id);
    for (size_t i = 0; i < inside.n; i++)
        cri_container_gone(rt, inside.v[i]);
    cri_sandbox_gone(rt, id);
}

/* --- the whole ---------------------------------------------------------------------------------------------------------------- */

void cri_sweep(CriRuntime *rt, const StrIndex *named, uint64_t list)
{
    SCOPED(strvec_done) StrVec containers = {0}, sandboxes = {0};
    LIST_EACH(p, &rt->pods) {
        LIST_EACH(c, &(*p)->containers)
            if ((*c)->born < list && !strindex_get(named, (*c)->fact.id))
                strvec_add(&containers, (*c)->fact.id);
        LIST_EACH(s, &(*p)->sandboxes)
            if ((*s)->born < list && !strindex_get(named, (*s)->fact.id))
                strvec_add(&sandboxes, (*s)->fact.id);
    }
    for (size_t i = 0; i < containers.n; i++)
        cri_container_gone(rt, containers.v[i]);
    for (size_t i = 0; i < sandboxes.n; i++)
        cri_sandbox_gone(rt, sandboxes.v[i]);
}

static void standby_fact(StandbyFact *s, const CriContainer *c)
{
    const ContainerFact *f = &c->fact;
    *s = (StandbyFact){.id = mem_dup_str(f->id), .name = mem_dup_str(f->name), .sandbox_id = mem_dup_str(f->sandbox_id),
                       .attempt = f->attempt, .key = mem_dup_str(c->key)};
}

void cri_facts(CriRuntime *rt, const char *uid, PodFacts *out)
{
    const CriPod *p = cri_pod(rt, uid);
    *out = (PodFacts){0};
    if (!p)
        return;
    LIST_EACH(s, &p->sandboxes)
        if ((*s)->known && (!p->making_sandbox || (*s)->fact.attempt != p->making_attempt))
            sandbox_fact_copy(LIST_ADD(&out->sandboxes), &(*s)->fact);
    LIST_EACH(c, &p->containers) {
        const CriContainer *k = *c;
        if (!k->fact.name || !k->fact.sandbox_id)
            continue; /* listed, and its status is still to come */
        if (k->key && k->fact.state == RUN_CREATED)
            standby_fact(LIST_ADD(&out->standbys), k);
        else
            container_fact_copy(LIST_ADD(&out->containers), &k->fact);
    }
    pod_facts_sort(out);
}

void cri_cache_done(CriRuntime *rt)
{
    LIST_EACH(p, &rt->pods) {
        LIST_EACH(s, &(*p)->sandboxes)
            sandbox_free(*s);
        LIST_EACH(c, &(*p)->containers)
            container_free(*c);
        cri_pod_free(*p);
    }
    free(rt->pods.v);
    strindex_done(&rt->by_uid);
    strindex_done(&rt->by_container);
    strindex_done(&rt->by_sandbox);
    for (size_t i = 0; i < ARRAY_LEN(rt->buried); i++)
        free(rt->buried[i]);
}
