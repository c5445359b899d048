/* manifests.c - the directory of static Pods: what its files want, and the look at it when it changes. */
#include <sys/stat.h>

#include "api/codec.h"
#include "daemon/daemon_priv.h"
#include "daemon/static_pod.h"
#include "os/fs.h"

#define SETTLE_MS 250 /* after a change in the directory: a little longer than STATIC_QUIET_NS */

/* --- its Pods ------------------------------------------------------------------------------------------------------------ */

static const Pod *ref_named(const PodRefs *l, const Pod *p)
{
    LIST_EACH(x, l)
        if (str_eq((*x)->metadata.name, p->metadata.name) && str_eq((*x)->metadata.namespace_, p->metadata.namespace_))
            return *x;
    return NULL;
}

static bool ref_uid(const PodRefs *l, const char *uid)
{
    LIST_EACH(x, l)
        if (str_eq((*x)->metadata.uid, uid))
            return true;
    return false;
}

/* Takes <text>. Said if it was not in the way before. */
static void in_the_way(Daemon *d, StrVec *now, const Pod *p, char *text)
{
    SCOPED(mem_free) char *name = pod_key(p);
    char *key = mem_fmt("%s %s: %s", name, p->metadata.uid, text);
    if (!strvec_has(&d->said, key))
        LOG(d->c.log, LOG_ERROR, "pod not started", {"pod", name}, {"uid", p->metadata.uid}, {"err", text});
    strvec_add_take(now, key);
    free(text);
}

/* The Pods that the files want. Of two with one name, the one that is here already, else the first: a second file does not end what
 * runs. */
static void wanted(Daemon *d, PodRefs *out, StrVec *now)
{
    for (int pass = 0; pass < 2; pass++)
        LIST_EACH(f, &d->files.files)
            LIST_EACH(p, &f->objects.pods) {
                const Pod *here = agent_pod_get(d->agent, (*p)->metadata.uid);
                bool runs = here && !here->metadata.deletion_timestamp.set;
                if (runs != (pass == 0))
                    continue;
                if (ref_named(out, *p))
                    in_the_way(d, now, *p, mem_fmt("%s: another file has a Pod of that name", f->path));
                else
                    *LIST_ADD(out) = *p;
            }
}

/* Ends what no file wants any more, and removes what has ended so. */
static void end_unwanted(Daemon *d, const PodRefs *want)
{
    SCOPED(strvec_done) StrVec uids = {0};
    for (size_t i = 0; i < agent_pod_count(d->agent); i++)
        if (pod_is_static(agent_pod_at(d->agent, i)))
            strvec_add(&uids, agent_pod_at(d->agent, i)->metadata.uid);
    for (size_t i = 0; i < uids.n; i++) {
        const Pod *p = agent_pod_get(d->agent, uids.v[i]);
        if (!p->metadata.deletion_timestamp.set && !ref_uid(want, uids.v[i])) {
            SCOPED(mem_free) char *name = pod_key(p);
            LOG(d->c.log, LOG_INFO, "pod deleted: its file is gone or has another", {"pod", name}, {"uid", uids.v[i]});
            err_free(agent_pod_delete(d->agent, uids.v[i], -1));
        }
        if (p->metadata.deletion_timestamp.set && agent_pod_is_done(d->agent, uids.v[i]))
            forget_pod(d, uids.v[i]);
    }
}

/* What the files have goes before what the API has (the later of one name counts). */
static void objects_for(Daemon *d, const Pod *p, const Objects *files, Objects *ret_stored, Objects *ret_all)
{
    *ret_stored = *ret_all = (Objects){0};
    stored_objects(d, p, ret_stored);
    const Objects *from[] = {ret_stored, files};
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        LIST_EACH(c, &from[i]->config_maps)
            *LIST_ADD(&ret_all->config_maps) = *c;
        LIST_EACH(c, &from[i]->secrets)
            *LIST_ADD(&ret_all->secrets) = *c;
        LIST_EACH(c, &from[i]->pvcs)
            *LIST_ADD(&ret_all->pvcs) = *c;
    }
}

static void add_new(Daemon *d, const Pod *p, const Objects *objects, StrVec *now)
{
    const Pod *other = agent_pod_find(d->agent, p->metadata.namespace_, p->metadata.name), *added;
    bool adopted;
    if (other) {
        if (!other->metadata.deletion_timestamp.set)
            in_the_way(d, now, p, mem_fmt("a Pod of that name runs here, uid %s", other->metadata.uid));
        return; /* the one of before ends first */
    }
    Pod *mine = api_copy(&type_Pod, p);
    admit_pod(d, mine);
    SCOPED(err_free) Err *e = agent_pod_add(d->agent, mine, objects, &added, &adopted);
    if (e) {
        in_the_way(d, now, p, err_text(e));
        return;
    }
    SCOPED(mem_free) char *name = pod_key(added);
    LOG(d->c.log, LOG_INFO, "pod added", {"pod", name}, {"uid", p->metadata.uid}, {"source", "file"});
}

static void add_wanted(Daemon *d, const Pod *p, const Objects *files, StrVec *now)
{
    const char *uid = p->metadata.uid;
    SCOPED(objects_done) Objects stored;
    Objects all;
    objects_for(d, p, files, &stored, &all);
    if (!agent_pod_get(d->agent, uid)) {
        add_new(d, p, &all, now);
    } else {
        Err *e = agent_pod_objects(d->agent, uid, &all);
        if (e)
            log_error(d->c.log, "objects of a pod", p->metadata.name, e);
    }
    static_files_view_done(&all);
}

void manifests_reconcile(Daemon *d)
{
    PodRefs want = {0};
    StrVec now = {0};
    Objects objects;
    wanted(d, &want, &now);
    static_files_objects(&d->files, &objects);
    end_unwanted(d, &want);
    LIST_EACH(p, &want)
        add_wanted(d, *p, &objects, &now);
    static_files_view_done(&objects);
    free(want.v);
    strvec_done(&d->said);
    d->said = now;
    d->mirrors_dirty = true;
}

/* --- the directory ------------------------------------------------------------------------------------------------------- */

void on_manifest_report(void *arg, const char *file, const char *text)
{
    Daemon *d = arg;
    const char *path = file ? file : d->files.dir;
    if (text)
        LOG(d->c.log, file ? LOG_ERROR : LOG_WARN, file ? "manifest is broken" : "manifest directory", {"file", path}, {"err", text});
    else
        LOG(d->c.log, LOG_INFO, file ? "manifest is sound again" : "manifest directory is there", {"file", path});
    if (file && text) { /* the kubelet only logs it; a user of the API has no log */
        SCOPED(mem_free) char *message = mem_fmt("%s: %s", path, text);
        node_object_event(d->node, true, "FailedToParseManifest", message);
    }
}

static void on_settled(uv_timer_t *t)
{
    manifests_scan(t->data);
}

static void on_dir_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    (void)events;
    Daemon *d = h->data;
    if (status < 0 || (name && name[0] == '.')) /* the kubelet, too: editors' own files */
        return;
    uv_update_time(d->c.loop);
    (void)uv_timer_start(&d->settle, on_settled, SETTLE_MS, 0);
}

void manifests_watch_init(Daemon *d)
{
    (void)uv_fs_event_init(d->c.loop, &d->dir);
    d->dir.data = d;
}

/* The directory may come, go, and be another one: what is watched is an inode. */
static void watch_dir(Daemon *d)
{
    struct stat st;
    bool there = stat(d->files.dir, &st) == 0;
    if (d->watching && there && st.st_dev == d->watch_dev && st.st_ino == d->watch_ino)
        return;
    if (MOVE(d->watching, false))
        (void)uv_fs_event_stop(&d->dir);
    if (!there)
        return;
    d->watching = uv_fs_event_start(&d->dir, on_dir_event, d->files.dir, 0) == 0; /* else the rescan has to do */
    d->watch_dev = st.st_dev;
    d->watch_ino = st.st_ino;
}

void manifests_scan(Daemon *d)
{
    bool changed, again;
    watch_dir(d); /* before the look: nothing that comes in between is missed */
    static_files_scan(&d->files, &changed, &again);
    if (again)
        (void)uv_timer_start(&d->settle, on_settled, SETTLE_MS, 0);
    d->static_dirty = true;
    reconcile(d);
}
