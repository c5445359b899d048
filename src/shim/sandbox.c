/* A sandbox: the process that holds the Pod's namespaces, the Pod's cgroup, and what the agent wants remembered about it
 * (addresses, the CNI request). creating -> ready -> notready -> gone. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/pidfd.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

static const struct {
    const char *name;
    unsigned flag;
} namespaces[] = {{"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"pid", CLONE_NEWPID}};

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

Sandbox *sandbox_find(Shim *s, const char *id)
{
    for (Sandbox *b = s->sandboxes; b && id; b = b->next)
        if (str_eq(b->id, id))
            return b;
    return NULL;
}

static json_t *rec(const Sandbox *b)
{
    return store_get(&b->shim->store, "sandboxes", b->id);
}

static void set(Sandbox *b, json_t *v, StoreWhen when)
{
    shim_log_err(store_set(&b->shim->store, "sandboxes", b->id, v, when), "record a sandbox");
    server_tell_set(b->shim, "sandboxes", b->id);
}

static Sandbox *sandbox_new(Shim *s, const char *id)
{
    Sandbox *b = NEW(Sandbox);
    *b = (Sandbox){.shim = s, .next = s->sandboxes, .id = mem_dup_str(id), .pidfd = -EBADF, .netns_fd = -EBADF, .report = -EBADF};
    s->sandboxes = b;
    return b;
}

static void report_close(Sandbox *b)
{
    if (b->report_poll) {
        (void)uv_poll_stop(b->report_poll);
        uv_close((uv_handle_t *)b->report_poll, handle_free);
        b->report_poll = NULL;
    }
    fd_close(MOVE(b->report, -EBADF));
}

static void sandbox_forget(Sandbox *b)
{
    Shim *s = b->shim;
    report_close(b);
    watch_drop(s, b->watch);
    fd_close(b->pidfd);
    fd_close(b->netns_fd);
    shim_log_err(store_del(&s->store, "sandboxes", b->id), "record the removal of a sandbox");
    server_tell_gone(s, "sandboxes", b->id);
    for (Sandbox **p = &s->sandboxes; *p; p = &(*p)->next)
        if (*p == b) {
            *p = b->next;
            break;
        }
    mem_free(b->id);
    mem_free(b);
}

static void on_end(void *arg, bool known, int status)
{
    (void)known;
    (void)status;
    Sandbox *b = arg;
    b->watch = NULL;
    b->pid = 0;
    fd_close(MOVE(b->pidfd, -EBADF));
    set(b, json_pack("{s:s,s:n}", "state", "notready", "pid"), STORE_SYNC);
    sandbox_progress(b->shim);
}

/* --- start ---------------------------------------------------------------------------------------------------------- */

/* <e> taken. Nothing of it stays; the cgroup goes with the next sandbox_remove or the end of the shim. */
static void create_failed(Sandbox *b, Err *e)
{
    Shim *s = b->shim;
    Req *r = MOVE(b->create_req, NULL);
    const char *cgroup = json_str(rec(b), "cgroup");
    if (b->pidfd >= 0)
        (void)pidfd_kill(b->pidfd, SIGKILL);
    if (cgroup)
        (void)cgroup_remove(&s->cgroups, cgroup);
    sandbox_forget(b);
    req_err(r, err_reason(e, "FailedCreatePodSandBox"));
    shim_maybe_end(s);
}

/* The sandbox process has made itself ready ("ok"), or says what failed. */
static void on_report(uv_poll_t *p, int rc, int events)
{
    (void)rc;
    (void)events;
    Sandbox *b = p->data;
    char text[1024];
    ssize_t n = read(b->report, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    if (!str_eq(text, "ok")) {
        create_failed(b, err_new(ERR_SYS, 0, "sandbox: %s", n > 0 ? text : "its process ended at once"));
        return;
    }
    SCOPED(mem_free) char *ns = mem_fmt("/proc/%d/ns/net", (int)b->pid);
    b->netns_fd = open(ns, O_RDONLY | O_CLOEXEC);
    set(b, json_pack("{s:i,s:I,s:i}", "pid", (int)b->pid, "pid_start", (json_int_t)b->pid_start, "netns_fd", b->netns_fd), STORE_NOW);
    /* Only now that it is on record may it live without us. */
    if (write(b->report, "g", 1) != 1) {
        create_failed(b, err_new(ERR_SYS, errno, "sandbox: let its process go"));
        return;
    }
    report_close(b);
    fault_step("shim.sandbox.created");
    req_ok(MOVE(b->create_req, NULL), json_pack("{s:i}", "pid", (int)b->pid));
}

static Err *pause_spawn(Sandbox *b, const json_t *body)
{
    const json_t *want = json_object_get(body, "new_ns");
    SCOPED(strvec_done) StrVec argv = {0};
    SCOPED(str_done) Str made = {0};
    unsigned flags = 0;
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
        if (json_flag(want, namespaces[i].name, false)) {
            flags |= namespaces[i].flag;
            str_fmt(&made, "%s,", namespaces[i].name);
        }
    strvec_add(&argv, "reprise-pause");
    strvec_add(&argv, "--pause");
    strvec_add(&argv, str_or(made.p, ""));
    strvec_add(&argv, str_or(json_str(body, "hostname"), ""));
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(body, "sysctls"), key, value)
        strvec_fmt(&argv, "%s=%s", key, str_or(json_string_value(value), ""));

    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_new(ERR_SYS, errno, "make a socket pair");
    b->report = pair[0];
    const SpawnFd fds[] = {{3, pair[1]}};
    SpawnSpec sp = {.argv = (const char *const *)argv.v, .program = "/proc/self/exe", .fds = fds, .n_fds = 1, .cwd = "/",
                    .new_session = true, .new_ns = flags};
    Err *e = spawn(&sp, &b->pid, &b->pidfd);
    fd_close(pair[1]);
    return e;
}

void sandbox_create(Req *r)
{
    Shim *s = r->shim;
    const json_t *body = r->body, *cgroup = json_object_get(body, "cgroup");
    const char *id = json_str(body, "sandbox");
    Sandbox *old = sandbox_find(s, id);
    if (str_empty(id) || (old && old->create_req)) {
        req_err(r, err_new(str_empty(id) ? ERR_INVALID : ERR_EXISTS, 0, "create sandbox \"%s\"", str_or(id, "")));
        return;
    }
    if (old && old->pid) { /* asked again after a connection broke */
        req_ok(r, json_pack("{s:i}", "pid", (int)old->pid));
        return;
    }
    if (old)
        sandbox_forget(old); /* the last shim died before its process was on record */
    json_t *v = json_pack("{s:s,s:I,s:I,s:O?,s:s?,s:O?}", "state", "creating", "attempt",
                          (json_int_t)json_i64(body, "attempt", 0), "created_at_ns", (json_int_t)os_now_ns(), "meta",
                          json_object_get(body, "meta"), "cgroup", json_str(cgroup, "path"), "new_ns",
                          json_object_get(body, "new_ns"));
    shim_log_err(store_set(&s->store, "sandboxes", id, v, STORE_NOW), "record a sandbox");
    Sandbox *b = sandbox_new(s, id);
    b->create_req = r;
    fault_step("shim.sandbox.create");
    CgroupLimits limits = {json_i64(cgroup, "cpu_shares", 0), json_i64(cgroup, "cpu_quota_us", 0),
                           json_i64(cgroup, "cpu_period_us", 0), json_i64(cgroup, "memory_limit_bytes", 0),
                           json_i64(cgroup, "pids_limit", 0)};
    const char *path = json_str(cgroup, "path");
    Err *e = path ? cgroup_make(&s->cgroups, path, &limits) : NULL;
    if (!e)
        e = pause_spawn(b, body);
    if (e) {
        create_failed(b, e);
        return;
    }
    b->pid_start = proc_start_ticks(b->pid);
    b->watch = watch_child(s, b->pid, on_end, b);
    b->report_poll = NEW(uv_poll_t);
    (void)uv_poll_init(&s->loop, b->report_poll, b->report);
    b->report_poll->data = b;
    (void)uv_poll_start(b->report_poll, UV_READABLE, on_report);
}

void sandbox_ready(Sandbox *b, Req *r)
{
    if (!b->pid) {
        req_err(r, err_new(ERR_UNAVAILABLE, 0, "the process of sandbox %s has ended", b->id));
        return;
    }
    json_t *ips = json_object_get(r->body, "ips");
    set(b, json_pack("{s:s,s:o}", "state", "ready", "ips", json_is_array(ips) ? json_incref(ips) : json_array()), STORE_SYNC);
    req_ok(r, NULL);
}

/* --- end ------------------------------------------------------------------------------------------------------------ */

static bool ctr_of(const Sandbox *b, const Ctr *c)
{
    return str_eq(json_str(ctr_rec(c), "sandbox"), b->id);
}

/* Containers first; the process that holds the namespaces last. True when all are dead. */
static bool stop_step(Sandbox *b)
{
    bool dead = true;
    for (Ctr *c = b->shim->ctrs; c; c = c->next)
        if (ctr_of(b, c) && c->state != CTR_PREPARED && c->state != CTR_EXITED) {
            ctr_kill(c);
            dead = false;
        }
    if (dead && b->pidfd >= 0) {
        (void)pidfd_kill(b->pidfd, SIGKILL);
        dead = false;
    }
    return dead;
}


/* True when <b> is gone. */
static bool remove_step(Sandbox *b)
{
    Shim *s = b->shim;
    for (Ctr *c = s->ctrs, *next; c; c = next) {
        next = c->next;
        if (ctr_of(b, c))
            ctr_remove(c, NULL);
    }
    for (Ctr *c = s->ctrs; c; c = c->next)
        if (ctr_of(b, c))
            return false;
    if (!stop_step(b))
        return false;
    if (s->trash) {
        trash_run(s);
        return false;
    }
    bool last = s->sandboxes == b && !b->next; /* sandboxes of one Pod share its cgroup */
    const char *cgroup = json_str(rec(b), "cgroup");
    if (last && cgroup) {
        (void)cgroup_kill(&s->cgroups, cgroup);
        if (!cgroup_remove(&s->cgroups, cgroup)) {
            shim_retry(s);
            return false;
        }
    }
    Req *waiting = MOVE(b->remove_reqs, NULL);
    reqs_finish(&b->stop_reqs, NULL);
    sandbox_forget(b);
    reqs_finish(&waiting, NULL);
    return true;
}

static void progress_once(Shim *s)
{
    for (Sandbox *b = s->sandboxes, *next; b; b = next) {
        next = b->next;
        if (b->removing) {
            (void)remove_step(b);
        } else if (b->stop_reqs && stop_step(b)) {
            reqs_finish(&b->stop_reqs, NULL);
        }
    }
}

void sandbox_progress(Shim *s)
{
    s->progress_again = true;
    if (s->progressing)
        return;
    s->progressing = true;
    while (MOVE(s->progress_again, false))
        progress_once(s);
    s->progressing = false;
    shim_maybe_end(s);
}

void sandbox_stop(Sandbox *b, Req *r)
{
    r->next = b->stop_reqs;
    b->stop_reqs = r;
    fault_step("shim.sandbox.stop");
    sandbox_progress(b->shim);
}

void sandbox_remove(Sandbox *b, Req *r)
{
    r->next = b->remove_reqs;
    b->remove_reqs = r;
    b->removing = true;
    fault_step("shim.sandbox.remove");
    sandbox_progress(b->shim);
}

Err *sandbox_adopt(Shim *s, const char *id)
{
    Sandbox *b = sandbox_new(s, id);
    b->pid = (pid_t)json_i64(rec(b), "pid", 0);
    b->pid_start = json_i64(rec(b), "pid_start", 0);
    Err *e = b->pid > 0 ? pidfd_of(b->pid, b->pid_start, &b->pidfd) : NULL;
    if (e && e->kind != ERR_NOT_FOUND)
        return e;
    err_free(e);
    if (b->pidfd < 0) {
        b->pid = 0;
        return store_set(&s->store, "sandboxes", id, json_pack("{s:s,s:n,s:n}", "state", "notready", "pid", "netns_fd"), STORE_SYNC);
    }
    SCOPED(mem_free) char *ns = mem_fmt("/proc/%d/ns/net", (int)b->pid);
    b->netns_fd = open(ns, O_RDONLY | O_CLOEXEC);
    int dup = fcntl(b->pidfd, F_DUPFD_CLOEXEC, 3);
    if (dup < 0)
        return err_new(ERR_SYS, errno, "watch sandbox %s", id);
    b->watch = watch_pidfd(s, dup, b->pid, b->pid_start, on_end, b);
    return store_set(&s->store, "sandboxes", id, json_pack("{s:i}", "netns_fd", b->netns_fd), STORE_NOW);
}
