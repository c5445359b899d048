/* evict.c - emptyDir volumes that outgrow their sizeLimit end the Pod, as the kubelet's eviction manager does it
 * (pkg/kubelet/eviction/eviction_manager.go, emptyDirLimitEviction): looked at every 10 s, Pod Failed with reason Evicted and
 * the manager's own text. Counting files can take long, so a helper process of our own executable does it. */
#include "agent/worker.h"
#include "loop/process.h"

#define LOOK_MS 10000 /* monitoringInterval */
#define TEXT_MAX 4096

static void on_look(uv_timer_t *t);

static bool has_limit(const Pod *p)
{
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
            worker_event(w, true, "Evicted", NULL, "%s", res->out.p);
            mem_set_str(&w->rec.pod->status.message, res->out.p);
            worker_begin_end(w, "Evicted", NS_PER_S); /* the manager's immediate eviction: grace 1 */
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
