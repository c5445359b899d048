/* mirrors.c - static Pods in the API: a mirror Pod for each, as the kubelet makes them (pkg/kubelet/pod/mirror_client.go). It is for
 * looking at: who deletes it gets another one, and it goes with the static Pod. Here both have one uid. */
#include "api/codec.h"
#include "apiserver/apiserver.h"
#include "daemon/daemon_priv.h"
#include "daemon/static_pod.h"
#include "os/fault.h"
#include "os/fs.h"

static bool is_wanted(const Pod *p)
{
    return pod_is_static(p) && !p->metadata.deletion_timestamp.set;
}

static bool looks_like_mirror(void *arg, const ObjItem *i)
{
    (void)arg;
    return strstr(i->text, ANNOTATION_MIRROR) != NULL;
}

static bool drop_mirror(Daemon *d, const ObjItem *i)
{
    SCOPED(mem_free) char *uid = mem_dup_str(i->uid);
    fault_step("mirror.delete");
    Err *e = objstore_delete(d->store, "pods", i->namespace_, i->name, &(ObjWrite){.uid = uid}, NULL);
    if (e) {
        log_error(d->c.log, "delete a mirror pod", i->name, e);
        retry_later(d);
    }
    return !e;
}

/* Those whose static Pod is gone or another one, and those that somebody deleted. */
static void drop_stale(Daemon *d)
{
    SCOPED(objlist_done) ObjList l = {0};
    err_free(objstore_list(d->store, &(ObjQuery){.resource = "pods", .match = looks_like_mirror}, &l));
    for (size_t i = 0; i < l.n; i++) {
        SCOPED(pod_free) Pod *p = stored_pod(d, l.item[i]->namespace_, l.item[i]->name);
        if (!p || !pod_is_mirror(p) || !str_eq(p->spec.node_name, d->c.node_name))
            continue;
        const Pod *here = agent_pod_get(d->agent, p->metadata.uid);
        if (!here || !pod_is_static(here) || p->metadata.deletion_timestamp.set)
            (void)drop_mirror(d, l.item[i]);
    }
}

static bool namespace_ends(const Daemon *d, const char *name)
{
    const ObjItem *i = objstore_get(d->store, "namespaces", "", name);
    SCOPED(json_unref) json_t *o = i ? objitem_json(i) : NULL;
    return json_str(json_object_get(o, "metadata"), "deletionTimestamp") != NULL;
}

static void make_mirror(Daemon *d, const Pod *p)
{
    const ObjectMeta *m = &p->metadata;
    if (objstore_get(d->store, "pods", m->namespace_, m->name) || namespace_ends(d, m->namespace_))
        return; /* another Pod has that name: add_wanted() says so; or not now */
    err_free(apiserver_ensure_namespace(d->store, m->namespace_));
    SCOPED(json_unref) json_t *pod = api_encode(&type_Pod, p);
    json_t *meta = json_object_get(pod, "metadata");
    if (*node_object_uid(d->node))
        json_object_set_new(meta, "ownerReferences",
                            json_pack("[{s:s, s:s, s:s, s:s, s:b}]", "apiVersion", "v1", "kind", "Node", "name", d->c.node_name, "uid",
                                      node_object_uid(d->node), "controller", 1));
    fault_step("mirror.make");
    Err *e = objstore_create(d->store, "pods", pod, NULL, NULL);
    if (e) {
        log_error(d->c.log, "make a mirror pod", m->name, e);
        retry_later(d);
        return;
    }
    fault_step("mirror.made");
}

void mirrors_sync(Daemon *d)
{
    if (!MOVE(d->mirrors_dirty, false))
        return;
    drop_stale(d);
    for (size_t i = 0; i < agent_pod_count(d->agent); i++) {
        const Pod *p = agent_pod_at(d->agent, i);
        const Tracked *t = tracked(d, p->metadata.uid);
        if (is_wanted(p))
            make_mirror(d, p);
        if (pod_is_static(p) && t && t->status_owed)
            (void)pod_status_write(d, p);
    }
}
