/* watches.c - the store's changes, taken down as what is to be looked at again. */
#include "api/codec.h"
#include "daemon/daemon_priv.h"
#include "os/fs.h"

static const char *const resources[WATCH_N] = {
    [WATCH_PODS] = "pods",       [WATCH_CONFIG_MAPS] = "configmaps", [WATCH_SECRETS] = "secrets", [WATCH_CLAIMS] = "persistentvolumeclaims",
    [WATCH_NODES] = "nodes",     [WATCH_NAMESPACES] = "namespaces",
};

void pod_dirty(Daemon *d, const char *namespace_, const char *name)
{
    SCOPED(mem_free) char *key = mem_fmt("%s/%s", namespace_, name);
    if (!strvec_has(&d->dirty, key))
        strvec_add(&d->dirty, key);
}

void all_dirty(Daemon *d)
{
    SCOPED(objlist_done) ObjList l = {0};
    SCOPED(err_free) Err *e = objstore_list(d->store, &(ObjQuery){.resource = "pods"}, &l);
    for (size_t i = 0; i < l.n; i++)
        pod_dirty(d, l.item[i]->namespace_, l.item[i]->name);
    for (size_t i = 0; i < agent_pod_count(d->agent); i++) {
        const ObjectMeta *m = &agent_pod_at(d->agent, i)->metadata;
        pod_dirty(d, m->namespace_, m->name);
    }
    d->schedule = d->static_dirty = d->mirrors_dirty = d->claims_dirty = true;
}

static void on_ready(void *arg)
{
    act_soon(arg, 0);
}

static void open_one(Daemon *d, int w)
{
    ObjWatching q = {.resource = resources[w], .ready = on_ready, .arg = d};
    Err *e = objstore_watch(d->store, &q, &d->watch[w]);
    if (e)
        log_error(d->c.log, "watch the object store", NULL, e);
}

void watches_open(Daemon *d)
{
    for (int w = 0; w < WATCH_N; w++)
        open_one(d, w);
}

void watches_close(Daemon *d)
{
    for (int w = 0; w < WATCH_N; w++) {
        objwatch_close(d->watch[w]);
        d->watch[w] = NULL;
    }
}

/* --- what an event is about --------------------------------------------------------------------------------------------- */

/* With what grace it was deleted: the last that is to be known of it. What was never marked went with grace period 0, as by
 * `kubectl delete --force`. */
static void note_gone(Daemon *d, const ObjItem *i)
{
    Tracked *t = tracked(d, i->uid);
    if (!t)
        return;
    SCOPED(json_unref) json_t *pod = objitem_json(i);
    int64_t grace = json_i64(json_object_get(pod, "metadata"), "deletionGracePeriodSeconds", 0);
    t->gone_grace = (OptInt){true, grace};
}

static void on_pod_event(Daemon *d, const ObjEvent *e)
{
    const Tracked *t = tracked(d, e->item->uid);
    if (e->type == OBJ_MODIFIED && t && t->rv == e->rv)
        return; /* we wrote it ourselves */
    if (e->type == OBJ_DELETED) {
        note_gone(d, e->item);
        d->schedule = true; /* there may be room now */
    }
    pod_dirty(d, e->item->namespace_, e->item->name);
    d->mirrors_dirty = d->mirrors_dirty || strstr(e->item->text, "kubernetes.io/config.mirror") != NULL;
    d->claims_dirty = d->claims_dirty || e->type != OBJ_MODIFIED;
}

static void on_object_event(Daemon *d, PodReads kind, const ObjEvent *e)
{
    for (size_t i = 0; i < agent_pod_count(d->agent); i++) {
        const Pod *p = agent_pod_at(d->agent, i);
        if (!str_eq(p->metadata.namespace_, e->item->namespace_) || !pod_reads(p, kind, e->item->name))
            continue;
        pod_dirty(d, p->metadata.namespace_, p->metadata.name);
        d->static_dirty = true;
    }
    if (kind == READS_PVC)
        d->claims_dirty = d->schedule = true;
}

static void on_event(Daemon *d, int w, const ObjEvent *e)
{
    switch (w) {
    case WATCH_PODS:
        on_pod_event(d, e);
        break;
    case WATCH_CONFIG_MAPS:
        on_object_event(d, READS_CONFIG_MAP, e);
        break;
    case WATCH_SECRETS:
        on_object_event(d, READS_SECRET, e);
        break;
    case WATCH_CLAIMS:
        on_object_event(d, READS_PVC, e);
        break;
    case WATCH_NODES:
        if (str_eq(e->item->name, d->c.node_name)) {
            node_object_changed(d->node);
            d->schedule = true;
        }
        break;
    default:
        d->mirrors_dirty = true; /* a namespace that comes or goes */
        break;
    }
}

void watches_drain(Daemon *d)
{
    for (int w = 0; w < WATCH_N; w++) {
        ObjEvent e;
        ObjNext n = OBJ_NONE;
        while (d->watch[w] && (n = objwatch_next(d->watch[w], &e)) == OBJ_EVENT)
            on_event(d, w, &e);
        if (d->watch[w] && n != OBJ_GONE)
            continue;
        objwatch_close(MOVE(d->watch[w], NULL));
        open_one(d, w);
        all_dirty(d);
    }
}
