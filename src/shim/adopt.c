/* Taking over from a shim that died. Its children live on with another parent; they are found by pid and start time,
 * watched by pidfd, and their true end is learnt where the kernel still tells (os/pidfd.h). What ended in between, and
 * left no zombie, has an unknown end: never a guessed one. Commands of the runtime died with the old shim; what they were
 * doing half-way is undone. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/pidfd.h"
#include "shim/shim.h"

static CtrState state_of(const json_t *rec)
{
    const char *name = str_or(json_str(rec, "state"), "");
    for (int i = 0; i < CTR_STATE_N; i++)
        if (str_eq(name, ctr_state_name((CtrState)i)))
            return (CtrState)i;
    return CTR_PREPARED;
}

/* Commands that ran inside (probes, hooks, streams) lost their supervisor. Their zombies are another's now: as long as he does not reap
 * them, the container's pid namespace cannot end. So he is told. */
static void execs_kill(const Ctr *c)
{
    SCOPED(mem_free) char *bundle = ctr_path(c->shim, c->id, "");
    DIR *d = opendir(bundle);
    for (struct dirent *de; d && (de = readdir(d)) != NULL;) {
        if (!str_starts(de->d_name, "exec.") || !str_ends(de->d_name, ".pid"))
            continue;
        SCOPED(mem_free) char *path = mem_fmt("%s/%s", bundle, de->d_name);
        SCOPED(str_done) Str text = {0};
        int64_t pid;
        Err *e = fs_read(path, 64, &text);
        if (!e && str_to_i64(str_or(text.p, ""), &pid) && pid > 1) {
            /* The number may be another process's by now: only one in the container's cgroup is ours. */
            SCOPED(mem_free) char *cgroup_file = mem_fmt("/proc/%lld/cgroup", (long long)pid);
            SCOPED(str_done) Str cgroups = {0};
            const char *mine = json_str(ctr_rec(c), "cgroup");
            err_free(fs_read(cgroup_file, 65536, &cgroups));
            if (mine && cgroups.p && strstr(cgroups.p, mine)) {
                pid_t group = getpgid((pid_t)pid);
                (void)kill(group > 1 ? -group : (pid_t)pid, SIGKILL);
            }
            (void)json_array_append_new(c->shim->strays, json_integer(pid));
        }
        err_free(e);
        (void)unlink(path);
    }
    if (d)
        (void)closedir(d);
}

/* Had `start` let the container's program go when it was cut off? */
static bool was_started(const Ctr *c)
{
    SCOPED(mem_free) char *fifo = mem_fmt("%s/%s/exec.fifo", c->shim->oci_root, c->id);
    return !fs_exists(fifo);
}

static void take_over_live(Ctr *c)
{
    json_t *rec = ctr_rec(c);
    if (json_flag(rec, "starting", false)) {
        CtrState s = c->state == CTR_STANDBY || was_started(c) ? CTR_RUNNING : CTR_CREATED;
        ctr_set_state(c, s, json_pack("{s:n,s:n,s:n}", "starting", "standby", "key"), STORE_NOW);
    }
    const json_t *held = json_object_get(rec, "held");
    if (held) {
        ctr_on_exit(c, json_flag(held, "known", false), (int)json_i64(held, "status", 0));
        return;
    }
    c->pid = (pid_t)json_i64(rec, "pid", 0);
    c->pid_start = json_i64(rec, "pid_start", -1);
    Err *e = pidfd_of(c->pid, c->pid_start, &c->pidfd);
    if (e) {
        shim_log_err(e, "adopt a container");
        ctr_on_exit(c, false, 0);
        return;
    }
    execs_kill(c);
    shim_log_err(streams_adopt(c), "read on from a container");
    ctr_watch(c, false);
}

static void take_over(Ctr *c)
{
    switch (c->state) {
    case CTR_PREPARED:
    case CTR_CREATING:
        ctr_undo(c);
        return;
    case CTR_STANDBY:
        /* Those that wait have lost their gate with the old shim; the agent prepares others. */
        if (json_flag(ctr_rec(c), "starting", false) && gate_passed(c))
            take_over_live(c);
        else
            ctr_undo(c);
        return;
    case CTR_CREATED:
    case CTR_RUNNING:
        take_over_live(c);
        return;
    case CTR_EXITED:
        if (json_flag(ctr_rec(c), "removing", false))
            ctr_remove(c, NULL);
        return;
    case CTR_STATE_N:
        break;
    }
}

Err *adopt(Shim *s)
{
    const char *id;
    json_t *rec;
    fault_step("shim.adopt");
    s->strays = json_array();
    json_object_foreach(store_kind(&s->store, "sandboxes"), id, rec)
    {
        Err *e = sandbox_adopt(s, id);
        if (e)
            return err_wrap(e, "adopt sandbox %s", id);
    }
    json_object_foreach(store_kind(&s->store, "containers"), id, rec) (void)ctr_new(s, id, state_of(rec));
    /* Taking over may remove containers: the list of objects bears that, the store's iterator does not. */
    for (Ctr *c = s->ctrs, *next; c; c = next) {
        next = c->next;
        take_over(c);
    }
    trash_adopt(s);
    return NULL;
}
