/* evict.c - Pods that have to go before their time: the kubelet's evictPod() (pkg/kubelet/eviction/eviction_manager.go), for whoever decides
 * it. One reason is looked after here: emptyDir volumes that outgrow their sizeLimit (emptyDirLimitEviction), looked at every 10 s.
 * Counting files can take long, so a helper process of our own executable does it. */
#include "agent/trash.h"
#include "agent/worker.h"
#include "loop/process.h"
#include "plan/eviction.h"

#define LOOK_MS 10000 /* monitoringInterval */
#define TEXT_MAX 4096

static void on_look(uv_timer_t *t);

/* status_manager.go keeps the condition; its words are eviction_manager.go's. */
static void add_disruption(Worker *w, const char *message)
{
    PodStatus *s = &w->rec.pod->status;
    PodCondition *c = NULL;
    LIST_EACH(x, &s->conditions)
        c = str_eq(x->type, "DisruptionTarget") ? x : c;
    if (!c) {
        c = LIST_ADD(&s->conditions);
        c->type = mem_dup_str("DisruptionTarget");
    }
    mem_set_str(&c->status, "True");
    mem_set_str(&c->reason, "TerminationByKubelet");
    mem_set_str(&c->message, message);
    c->last_transition_time = (OptTime){true, worker_now()};
    c->observed_generation = w->rec.pod->metadata.generation;
}

bool worker_evict(Worker *w, const char *message, bool disruption, int64_t grace_s)
{
    const char *phase = w->rec.pod->status.phase;
    if (w->closed || w->rec.terminating || w->rec.pod->metadata.deletion_timestamp.set || str_eq(phase, "Succeeded") || str_eq(phase, "Failed"))
        return false;
    worker_event(w, true, "Evicted", NULL, "%s", message);
    mem_set_str(&w->rec.pod->status.message, message);
    if (disruption)
        add_disruption(w, message);
    worker_tell_status(w);
    worker_begin_end(w, "Evicted", grace_s * NS_PER_S);
    return true;
}

void worker_give_back(Worker *w)
{
    if (!str_eq(w->rec.terminating_reason, "Evicted"))
        return;
    const char *root = w->agent->root;
    SCOPED(mem_free) char *volumes = mem_fmt("%s/pods/%s/volumes", root, worker_uid(w));
    SCOPED(err_free) Err *e = volumes_detach(root, worker_uid(w));
    if (!e)
        e = trash_remove(w->agent->cfg.loop, root, volumes);
    SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
    if (e)
        worker_event(w, true, "FailedUnMount", NULL, "%s", text); /* it is removed with the Pod at the latest */
}

static bool has_limit(const Pod *p)
{
    if (pod_is_critical(p))
        return false;
    LIST_EACH(v, &p->spec.volumes)
        if (v->empty_dir && v->empty_dir->size_limit && !str_eq(v->empty_dir->medium, "Memory"))
            return true; /* a Memory volume is a tmpfs of that size: the kernel keeps the limit */
    return false;
}

static void look_again(Worker *w)
{
    (void)uv_timer_start(&w->evict_timer, on_look, LOOK_MS, 0);
}

static void on_looked(void *arg, ProcessResult *res)
{
    Worker *w = arg;
    if (!w->closed && !w->rec.terminating) {
        if (res->exited && res->code == 0 && res->out.n > 0) {
            if (res->out.p[res->out.n - 1] == '\n')
                res->out.p[--res->out.n] = '\0';
            (void)worker_evict(w, res->out.p, false, EVICTION_IMMEDIATE_GRACE_S);
        } else {
            look_again(w);
        }
    }
    worker_unref(w);
}

static void on_look(uv_timer_t *t)
{
    Worker *w = t->data;
    SCOPED(mem_free) char *root = mem_fmt("--root=%s", w->agent->root);
    const char *const argv[] = {"/proc/self/exe", "volume-usage", root, worker_uid(w), NULL};
    ProcessSpec spec = {.argv = argv, .max_output = TEXT_MAX, .timeout_ns = 60 * NS_PER_S};
    SCOPED(err_free) Err *e = process_start(w->agent->cfg.loop, &spec, on_looked, worker_ref(w), NULL);
    if (e) {
        worker_unref(w);
        look_again(w);
    }
}

void worker_watch_usage(Worker *w)
{
    if (has_limit(w->rec.pod))
        look_again(w);
}
