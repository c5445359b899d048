/* What is left of removed containers: the runtime's state, cgroups, the mounted root, files. Nobody waits for it but the
 * removal of the sandbox, so it gives way to creates and starts; nothing of it can touch a new attempt, whose id, cgroup
 * and files are its own. The journal knows it: the next shim goes on. */
#include <stdio.h>

#include "base/clock.h"
#include "os/fs.h"
#include "shim/shim.h"

#define DELAY_MS 50       /* a removal is often followed by creates at once */
#define RETRY_MS 20
#define MAX_TRIES 250
#define PATIENCE_NS NS_PER_S /* creates without end do not hold it back for ever */

static void on_timer(uv_timer_t *t)
{
    trash_run(t->data);
}

static void schedule(Shim *s, uint64_t ms)
{
    if (!uv_is_active((uv_handle_t *)&s->trash_timer))
        (void)uv_timer_start(&s->trash_timer, on_timer, ms, 0);
}

static void link_new(Shim *s, const char *id, int mnt_ns)
{
    Trash *t = NEW(Trash);
    *t = (Trash){.shim = s, .next = s->trash, .id = mem_dup_str(id), .mnt_ns = mnt_ns, .since_ns = os_monotonic_ns()};
    s->trash = t;
}

void trash_add(Shim *s, const char *id, const char *cgroup, bool runtime_knows, int mnt_ns)
{
    json_t *v = json_pack("{s:s?,s:b}", "cgroup", cgroup, "runtime", (int)runtime_knows);
    shim_log_err(store_set(&s->store, "trash", id, v, STORE_LATER), "record rubbish");
    link_new(s, id, mnt_ns);
    schedule(s, DELAY_MS);
}

void trash_adopt(Shim *s)
{
    const char *id;
    json_t *v;
    json_object_foreach(store_kind(&s->store, "trash"), id, v) link_new(s, id, -EBADF);
    if (s->trash)
        schedule(s, 0);
}

static void drop(Trash *t)
{
    Shim *s = t->shim;
    for (Trash **p = &s->trash; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    shim_log_err(store_del(&s->store, "trash", t->id), "record that rubbish is gone");
    fd_close(t->mnt_ns);
    mem_free(t->id);
    mem_free(t);
}

static Err *files_remove(Shim *s, const char *id)
{
    SCOPED(mem_free) char *state = mem_fmt("%s/%s", s->oci_root, id);
    SCOPED(mem_free) char *bundle = ctr_path(s, id, "");
    Err *e = rootfs_remove(s, id);
    if (!e)
        e = fs_remove_tree(state);
    return e ? e : fs_remove_tree(bundle);
}

static void sweep(Trash *t)
{
    Shim *s = t->shim;
    const char *cgroup = json_str(store_get(&s->store, "trash", t->id), "cgroup");
    bool gone = true;
    if (cgroup && *cgroup) {
        gone = cgroup_remove(&s->cgroups, cgroup); /* what is not empty stays */
        if (!gone) {
            (void)cgroup_kill(&s->cgroups, cgroup);
            gone = cgroup_remove(&s->cgroups, cgroup);
        }
    }
    Err *e = gone ? files_remove(s, t->id) : NULL;
    t->running = false;
    bool again = (e || !gone) && ++t->tries < MAX_TRIES;
    if (!again) {
        if (!gone)
            shim_log("container %s: its cgroup %s cannot be removed", t->id, str_or(cgroup, ""));
        shim_log_err(e, "clean up after a container");
        drop(t);
    } else {
        err_free(e);
    }
    schedule(s, again ? RETRY_MS : 0);
    sandbox_progress(s);
}

static void on_deleted(void *arg, int status, const char *text)
{
    Trash *t = arg;
    if (status != 0 && *text)
        shim_log("runtime, delete of container %s: %s", t->id, text);
    t->tries = 1; /* the runtime has had its turn */
    sweep(t);
}

static void start(Trash *t)
{
    Shim *s = t->shim;
    t->running = true;
    fd_close(MOVE(t->mnt_ns, -EBADF));
    SCOPED(mem_free) char *state = mem_fmt("%s/%s", s->oci_root, t->id);
    /* Asked once: the runtime may have removed its state before we could look again. */
    bool runtime = json_flag(store_get(&s->store, "trash", t->id), "runtime", true) && t->tries == 0 && fs_exists(state);
    const char *args[] = {"delete", "--force", t->id, NULL};
    Err *e = runtime ? runtime_run(s, args, NULL, on_deleted, t, NULL) : NULL;
    if (e || !runtime) {
        shim_log_err(e, "delete a container");
        t->tries++;
        sweep(t);
    }
}

static bool somebody_waits(const Shim *s)
{
    for (const Sandbox *b = s->sandboxes; b; b = b->next)
        if (b->removing)
            return true;
    return false;
}

void trash_run(Shim *s)
{
    ctr_bury(s);
    Trash *oldest = NULL;
    for (Trash *t = s->trash; t; t = t->next) {
        if (t->running)
            return; /* one command at a time */
        oldest = t;
    }
    if (!oldest)
        return;
    bool patient = os_monotonic_ns() - oldest->since_ns < PATIENCE_NS;
    if (s->n_busy > 0 && patient && !somebody_waits(s))
        schedule(s, RETRY_MS);
    else
        start(oldest);
}
