/* One container's life: prepared (its root is mounted) -> creating -> created -> running -> exited -> rubbish; one that is
 * prepared ahead waits as a standby before it is created or, through the gate, running (standby.c).
 *
 * The true end of a container is recorded before anybody is told. When creating or starting fails because of what is in
 * the container (a missing executable, a bad mount), it becomes an exited container with code 128 and reason StartError, as
 * containerd shows it; what failed on our side leaves nothing and is an error. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "os/fault.h"
#include "os/fs.h"
#include "os/pidfd.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

#define MAX_TRIES 3          /* of a runtime command that somebody killed */
#define RETRY_MS 3           /* killed processes and their cgroups are gone by then, nearly always */
#define START_ERROR_CODE 128 /* containerd's errorStartExitCode */

static const char *const state_names[CTR_STATE_N] = {
#define CTR_STATE_NAME(n, text) [CTR_##n] = text,
    CTR_STATES(CTR_STATE_NAME)};

const char *ctr_state_name(CtrState s)
{
    return state_names[s];
}

char *ctr_path(const Shim *s, const char *id, const char *what)
{
    return mem_fmt("%s/c/%s%s%s", s->run_dir, id, *what ? "/" : "", what);
}

char *ctr_layer_path(const Shim *s, const char *id, const char *what)
{
    return mem_fmt("%s/containers/%s%s%s", s->root_dir, id, *what ? "/" : "", what);
}

Ctr *ctr_find(Shim *s, const char *id)
{
    for (Ctr *c = s->ctrs; c && id; c = c->next)
        if (str_eq(c->id, id))
            return c;
    return NULL;
}

json_t *ctr_rec(const Ctr *c)
{
    return store_get(&c->shim->store, "containers", c->id);
}

void ctr_set(Ctr *c, json_t *v, StoreWhen when)
{
    json_t *told = json_incref(v);
    shim_log_err(store_set(&c->shim->store, "containers", c->id, v, when), "record a container");
    server_tell_merge(c->shim, "containers", c->id, told);
}

void ctr_set_state(Ctr *c, CtrState state, json_t *v, StoreWhen when)
{
    c->state = state;
    (void)json_object_set_new(v, "state", json_string(state_names[state]));
    ctr_set(c, v, when);
}

bool ctr_alive(const Ctr *c)
{
    return c->pidfd >= 0;
}

Ctr *ctr_new(Shim *s, const char *id, CtrState state)
{
    Ctr *c = NEW(Ctr);
    *c = (Ctr){.shim = s, .next = s->ctrs, .id = mem_dup_str(id), .state = state, .pidfd = -EBADF, .stdin_fd = -EBADF,
               .console = -EBADF, .gate = -EBADF, .go = -EBADF, .mnt_ns = -EBADF,
               .message_fd = -EBADF, .oom_fd = -EBADF, .log.fd = -EBADF};
    for (size_t i = 0; i < PODLOG_STREAMS; i++)
        c->stream[i] = (Stream){.ctr = c, .fd = -EBADF};
    s->ctrs = c;
    return c;
}

void ctr_discard(Ctr *c, bool runtime_knows)
{
    Shim *s = c->shim;
    Req *waiting = MOVE(c->remove_reqs, NULL);
    fault_step("shim.remove");
    watch_drop(s, MOVE(c->watch, NULL));
    /* Of one that has ended, the runtime's `delete` would do no more than we do, but for hooks. */
    runtime_knows = runtime_knows && (c->state != CTR_EXITED || json_flag(ctr_rec(c), "hooks", false));
    if (ctr_is_standby(c))
        ctr_log_drop(c);
    trash_add(s, c->id, json_str(ctr_rec(c), "cgroup"), runtime_knows, MOVE(c->mnt_ns, -EBADF));
    shim_log_err(store_del(&s->store, "containers", c->id), "record the removal of a container");
    server_tell_gone(s, "containers", c->id);
    for (Ctr **p = &s->ctrs; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    c->next = s->graves;
    s->graves = c;
    fault_step("shim.removed");
    reqs_finish(&waiting, NULL);
    sandbox_progress(s);
}

void ctr_bury(Shim *s)
{
    for (Ctr *c = MOVE(s->graves, NULL), *next; c; c = next) {
        next = c->next;
        streams_close(c);
        gate_close(c);
        fd_close(c->pidfd);
        fd_close(c->message_fd);
        fd_close(c->oom_fd);
        mem_free(c->id);
        mem_free(c);
    }
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Opens what its end will be asked, while there is time. The message file is what is mounted in the container now: it stays that. */
void ctr_open_last(Ctr *c)
{
    const char *path = json_str(ctr_rec(c), "message_path"), *cgroup = json_str(ctr_rec(c), "cgroup");
    if (path && c->message_fd < 0)
        c->message_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (cgroup && c->oom_fd < 0)
        c->oom_fd = cgroup_oom_open(&c->shim->cgroups, cgroup);
}

static json_t *exit_message(const Ctr *c, int code)
{
    const json_t *rec = ctr_rec(c);
    SCOPED(str_done) Str text = {0};
    podlog_last_words(c->message_fd, &text);
    if (text.n == 0 && code != 0 && json_flag(rec, "message_fallback", false)) {
        SCOPED(mem_free) char *tail = podlog_tail(json_str(rec, "log_path"));
        str_add(&text, tail);
    }
    return text.n ? shim_text(text.p, text.n) : json_null();
}

static json_t *exit_facts(Ctr *c, bool known, int status)
{
    json_t *v = json_object();
    (void)json_object_set_new(v, "exit_known", json_boolean(known));
    (void)json_object_set_new(v, "finished_at_ns", json_integer(os_now_ns()));
    (void)json_object_set_new(v, "pid", json_null());
    if (!known)
        return v;
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int code = sig ? 128 + sig : WEXITSTATUS(status);
    ctr_open_last(c);
    bool oom = code != 0 && !c->doomed && cgroup_oom_read(c->oom_fd) > 0;
    (void)json_object_set_new(v, "exit_code", json_integer(code));
    (void)json_object_set_new(v, "signal", json_integer(sig));
    (void)json_object_set_new(v, "reason", json_string(oom ? "OOMKilled" : code == 0 ? "Completed" : "Error"));
    (void)json_object_set_new(v, "message", exit_message(c, code));
    return v;
}

static void remove_progress(Ctr *c);

static void exit_record(Ctr *c, json_t *facts)
{
    Shim *s = c->shim;
    (void)json_object_set_new(facts, "starting", json_null());
    (void)json_object_set_new(facts, "held", json_null());
    ctr_set_state(c, CTR_EXITED, facts, STORE_SYNC);
    fault_step("shim.exit.recorded");
    if (json_flag(ctr_rec(c), "removing", false))
        remove_progress(c);
    sandbox_progress(s);
}

static void start_error(Ctr *c, const char *text)
{
    exit_record(c, json_pack("{s:b,s:i,s:i,s:s,s:o,s:b,s:I,s:n,s:n}", "exit_known", 1, "exit_code", START_ERROR_CODE, "signal",
                             0, "reason", "StartError", "message", shim_text(text, strlen(text)), "start_error", 1,
                             "finished_at_ns", (json_int_t)os_now_ns(), "pid", "started_at_ns"));
}

/* What a dead init leaves alive when it did not have a pid namespace of its own. */
static void strays_kill(Ctr *c)
{
    const json_t *rec = ctr_rec(c);
    const char *cgroup = json_str(rec, "cgroup");
    if (cgroup && !json_flag(rec, "pid_private", true))
        (void)cgroup_kill(&c->shim->cgroups, cgroup);
}

static void exit_finish(Ctr *c, bool known, int status)
{
    strays_kill(c);
    streams_drain(c);
    exit_record(c, exit_facts(c, known, status));
    attach_end(c);
}

void ctr_on_exit(void *ctr, bool known, int status)
{
    Ctr *c = ctr;
    c->watch = NULL;
    c->pid = 0;
    fd_close(MOVE(c->pidfd, -EBADF));
    if (ctr_is_standby(c) && !c->starting) {
        standby_died(c);
        return;
    }
    if (!c->starting) {
        exit_finish(c, known, status);
        return;
    }
    /* Whether this was the container's program, the gate's socket or the runtime's `start` will say. Should we die before, the
     * next shim finds the code. */
    c->held = true;
    c->held_known = known;
    c->held_status = status;
    if (ctr_is_standby(c)) {
        standby_settle(c);
        return;
    }
    shim_log_err(store_set(&c->shim->store, "containers", c->id,
                           json_pack("{s:{s:b,s:i}}", "held", "known", (int)known, "status", status), STORE_SYNC),
                 "record an exit");
}

void ctr_watch(Ctr *c, bool ours)
{
    if (ours) {
        c->watch = watch_child_early(c->shim, c->pid, ctr_on_exit, c);
        return;
    }
    int dup = fcntl(c->pidfd, F_DUPFD_CLOEXEC, 3);
    if (dup >= 0)
        c->watch = watch_pidfd(c->shim, dup, c->pid, c->pid_start, ctr_on_exit, c);
}

/* --- create -------------------------------------------------------------------------------------------------------- */

static bool id_good(const char *id)
{
    size_t n = id ? strlen(id) : 0;
    return n > 0 && n <= 128 && id[0] != '.' && id[0] != '-' &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

void ctr_prepare(Req *r)
{
    Shim *s = r->shim;
    const char *id = json_str(r->body, "container"), *sandbox = json_str(r->body, "sandbox");
    if (!id_good(id) || !sandbox_find(s, sandbox)) {
        req_err(r, err_new(id_good(id) ? ERR_NOT_FOUND : ERR_INVALID, 0, "prepare container \"%s\" in sandbox \"%s\"",
                           str_or(id, ""), str_or(sandbox, "")));
        return;
    }
    if (ctr_find(s, id) || store_get(&s->store, "trash", id)) {
        req_err(r, err_new(ERR_EXISTS, 0, "container %s exists", id));
        return;
    }
    json_t *v = json_pack("{s:s,s:s,s:I}", "state", state_names[CTR_PREPARED], "sandbox", sandbox, "created_at_ns",
                          (json_int_t)os_now_ns());
    shim_log_err(store_set(&s->store, "containers", id, v, STORE_NOW), "record a container");
    fault_step("shim.prepare");
    Ctr *c = ctr_new(s, id, CTR_PREPARED);
    char *rootfs = NULL;
    Err *e = rootfs_mount(s, id, json_object_get(r->body, "lower"), &rootfs);
    if (e) {
        req_err(r, err_reason(e, "CreateContainerError"));
        ctr_discard(c, false);
        return;
    }
    fault_step("shim.mounted");
    server_tell_set(s, "containers", id);
    req_ok(r, json_pack("{s:s}", "rootfs", rootfs));
    mem_free(rootfs);
}

/* The members of a create request that make the record. */
static json_t *create_record(const json_t *body)
{
    static const char *const facts[] = {"name", "attempt", "image", "image_id", "spec_hash", "log_path"};
    static const char *const top[] = {"cgroup", "hooks", "pid_private", "stop_signal", "tty", "stdin", "stdin_once",
                                      "standby", "key"};
    json_t *v = json_object();
    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        (void)json_object_set(v, facts[i], json_object_get(json_object_get(body, "facts"), facts[i]));
    for (size_t i = 0; i < ARRAY_LEN(top); i++)
        (void)json_object_set(v, top[i], json_object_get(body, top[i]));
    const json_t *log = json_object_get(body, "log"), *message = json_object_get(body, "message");
    (void)json_object_set_new(v, "log_max_bytes", json_integer(json_i64(log, "max_bytes", 0)));
    (void)json_object_set_new(v, "log_max_files", json_integer(json_i64(log, "max_files", 5)));
    (void)json_object_set(v, "message_path", json_object_get(message, "path"));
    (void)json_object_set_new(v, "message_fallback", json_boolean(json_flag(message, "fallback", false)));
    return v;
}

static Err *bundle_write(Ctr *c, json_t *config)
{
    if (ctr_wants_gate(c))
        (void)json_array_insert_new(json_object_get(json_object_get(config, "process"), "args"), 0, json_string(GATE_ARGV0));
    SCOPED(mem_free) char *dir = ctr_path(c->shim, c->id, "");
    SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, "config.json");
    SCOPED(mem_free) char *text = json_dumps(config, JSON_COMPACT);
    Err *e = fs_mkdirs(dir, 0700);
    return e ? e : fs_write_atomic(path, text, strlen(text), 0600, false);
}

void ctr_create_failed(Ctr *c, Err *e)
{
    Req *r = MOVE(c->create_req, NULL);
    req_err(r, err_reason(e, "CreateContainerError"));
    ctr_discard(c, true);
}

static Err *pid_of_file(const Ctr *c, int64_t *ret)
{
    SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, "pid");
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, 64, &text);
    if (!e && (!str_to_i64(str_or(text.p, ""), ret) || *ret <= 1))
        e = err_new(ERR_INVALID, 0, "pid file of container %s: \"%s\"", c->id, str_or(text.p, ""));
    return e;
}

/* `create` succeeded: find init and hold it. */
static Err *created_hold(Ctr *c, bool *ret_dead, int *ret_status)
{
    int64_t pid;
    Err *e = pid_of_file(c, &pid);
    if (e)
        return e;
    *ret_dead = orphan_take(c->shim, (pid_t)pid, ret_status);
    if (*ret_dead)
        return NULL;
    c->pid = (pid_t)pid;
    c->pid_start = proc_start_ticks(c->pid);
    e = pidfd_of(c->pid, c->pid_start, &c->pidfd);
    if (e)
        return e;
    /* Without this the last process would take the mounts down on its way out, before anybody hears of its end. */
    SCOPED(mem_free) char *ns = mem_fmt("/proc/%d/ns/mnt", (int)c->pid);
    c->mnt_ns = open(ns, O_RDONLY | O_CLOEXEC);
    ctr_open_last(c);
    ctr_watch(c, true);
    return NULL;
}

static void create_succeeded(Ctr *c)
{
    bool dead = false;
    int status = 0;
    Err *e = json_flag(ctr_rec(c), "tty", false) ? console_accept(c) : NULL;
    if (!e)
        e = created_hold(c, &dead, &status);
    if (e) {
        ctr_create_failed(c, e);
        return;
    }
    if (!json_flag(ctr_rec(c), "tty", false)) {
        SCOPED(mem_free) char *said = streams_take(c);
        if (*said)
            shim_log("runtime, container %s: %s", c->id, said);
    }
    if (ctr_is_standby(c) && !dead) {
        standby_made(c);
        return;
    }
    if (ctr_is_standby(c)) {
        ctr_create_failed(c, err_new(ERR_UNAVAILABLE, 0, "the prepared container ended at once"));
        return;
    }
    streams_start(c);
    json_t *pid = c->pid ? json_integer(c->pid) : json_null();
    ctr_set_state(c, CTR_CREATED, json_pack("{s:o,s:I}", "pid", pid, "pid_start", (json_int_t)c->pid_start), STORE_NOW);
    fault_step("shim.created");
    req_ok(MOVE(c->create_req, NULL), NULL);
    if (dead)
        exit_finish(c, true, status);
    else if (json_flag(ctr_rec(c), "removing", false))
        remove_progress(c);
    else if (c->doomed)
        ctr_kill(c);
}

static void create_spawn(Ctr *c);

static void create_scrubbed(void *arg, int status, const char *text)
{
    (void)status;
    (void)text;
    Ctr *c = arg;
    const char *cgroup = json_str(ctr_rec(c), "cgroup");
    c->shim->n_busy--;
    if (cgroup)
        (void)cgroup_kill(&c->shim->cgroups, cgroup);
    SCOPED(mem_free) char *state = mem_fmt("%s/%s", c->shim->oci_root, c->id);
    shim_log_err(fs_remove_tree(state), "remove what a killed runtime left");
    for (int i = 0; i < PODLOG_STREAMS; i++)
        fd_close(MOVE(c->stream[i].fd, -EBADF));
    fd_close(MOVE(c->stdin_fd, -EBADF));
    fd_close(MOVE(c->console, -EBADF));
    gate_close(c);
    create_spawn(c);
}

static void create_again(Ctr *c)
{
    const char *args[] = {"delete", "--force", c->id, NULL};
    shim_log("create of container %s was killed: trying again", c->id);
    c->shim->n_busy++;
    Err *e = runtime_run(c->shim, args, NULL, create_scrubbed, c, NULL);
    if (e) {
        c->shim->n_busy--;
        ctr_create_failed(c, e);
    }
}

static void create_done(void *arg, int status, const char *text)
{
    Ctr *c = arg;
    c->shim->n_busy--;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        create_succeeded(c);
    } else if (WIFSIGNALED(status) && c->tries < MAX_TRIES) {
        create_again(c);
    } else if (WIFSIGNALED(status)) {
        ctr_create_failed(c, err_new(ERR_UNAVAILABLE, 0, "%s create was killed by signal %d", c->shim->runtime, WTERMSIG(status)));
    } else {
        SCOPED(mem_free) char *said = *text ? mem_dup_str(text) : streams_take(c);
        SCOPED(mem_free) char *message = runtime_message(said);
        if (ctr_is_standby(c)) { /* no fact: what is wrong shows when it is made in its turn */
            ctr_create_failed(c, err_new(ERR_SYS, 0, "%s", message));
            return;
        }
        Req *r = MOVE(c->create_req, NULL);
        streams_close(c);
        start_error(c, *message ? message : "the runtime failed without a word"); /* a fact before it is an answer */
        req_ok(r, NULL);
    }
}

static void create_spawn(Ctr *c)
{
    bool tty = json_flag(ctr_rec(c), "tty", false), gate = ctr_wants_gate(c);
    SCOPED(mem_free) char *bundle = ctr_path(c->shim, c->id, "");
    SCOPED(mem_free) char *pid_file = ctr_path(c->shim, c->id, "pid");
    int io[3] = {-EBADF, -EBADF, -EBADF};
    SCOPED(fd_close) int program = -EBADF;
    SCOPED(fd_close) int socket = -EBADF;
    (void)unlink(pid_file);
    Err *e = tty ? console_listen(c) : streams_open(c, io);
    if (!e && gate)
        e = gate_open(c, &program, &socket);
    SCOPED(strvec_done) StrVec args = {0};
    strvec_add(&args, gate ? "run" : "create");
    if (gate) {
        strvec_add(&args, "--detach");
        strvec_fmt(&args, "--preserve-fds=%d", GATE_FDS);
    }
    strvec_fmt(&args, "--bundle=%s", bundle);
    strvec_fmt(&args, "--pid-file=%s", pid_file);
    if (tty)
        strvec_add(&args, "--console-socket=" CONSOLE_SOCKET);
    strvec_add(&args, c->id);
    SpawnFd fds[6];
    size_t n = 0;
    fds[n++] = (SpawnFd){1, io[1]};
    fds[n++] = (SpawnFd){2, io[2]};
    if (io[0] >= 0)
        fds[n++] = (SpawnFd){0, io[0]};
    if (gate) {
        fds[n++] = (SpawnFd){GATE_PROGRAM_FD, program};
        fds[n++] = (SpawnFd){GATE_SOCKET_FD, socket};
        fds[n++] = (SpawnFd){GATE_EVENT_FD, c->go};
    }
    CmdSpec spec = {.fds = tty ? NULL : fds, .n_fds = n, .cwd = bundle, .hide_cgroup2 = c->shim->hide_cgroup2};
    c->tries++;
    if (c->shim->n_busy == 0) /* strangers of the past: their numbers may come back */
        c->shim->n_orphans = 0;
    fault_step("shim.create");
    if (!e)
        e = runtime_run(c->shim, (const char *const *)args.v, &spec, create_done, c, NULL);
    for (size_t i = 0; i < ARRAY_LEN(io); i++)
        fd_close(io[i]);
    if (e)
        ctr_create_failed(c, e);
    else
        c->shim->n_busy++;
}

void ctr_create(Ctr *c, Req *r)
{
    json_t *config = json_object_get(r->body, "config");
    json_t *v = create_record(r->body);
    Err *e = NULL;
    if (c->state != CTR_PREPARED)
        e = err_new(ERR_EXISTS, 0, "container %s is %s already", c->id, state_names[c->state]);
    else if (!json_is_object(config) || str_empty(json_str(v, "log_path")) || str_empty(json_str(v, "name")))
        e = err_new(ERR_INVALID, 0, "create container %s: config, name and log_path are needed", c->id);
    if (e) {
        json_decref(v);
        req_err(r, e);
        return;
    }
    c->create_req = r;
    ctr_set_state(c, CTR_CREATING, v, STORE_NOW);
    e = bundle_write(c, config);
    if (!e)
        e = streams_make(c);
    if (!e)
        e = ctr_log_open(c);
    if (e)
        ctr_create_failed(c, e);
    else
        create_spawn(c);
}

/* --- start --------------------------------------------------------------------------------------------------------- */

static void start_run(Ctr *c);

static void start_failed(Ctr *c, const char *text)
{
    SCOPED(mem_free) char *message = runtime_message(text);
    Req *r = MOVE(c->start_req, NULL);
    if (ctr_alive(c)) {
        (void)pidfd_kill(c->pidfd, SIGKILL);
        watch_drop(c->shim, MOVE(c->watch, NULL)); /* its end is what we say here; the reaper takes the rest */
        fd_close(MOVE(c->pidfd, -EBADF));
        c->pid = 0;
    }
    c->held = false;
    strays_kill(c);
    start_error(c, message);
    req_err(r, err_reason(err_new(ERR_SYS, 0, "%s", message), "RunContainerError"));
}

/* What happened while it was starting. */
static void start_over(Ctr *c)
{
    if (MOVE(c->held, false))
        exit_finish(c, c->held_known, c->held_status);
    else if (json_flag(ctr_rec(c), "removing", false))
        remove_progress(c);
}

void ctr_started(Ctr *c, int64_t started_at_ns)
{
    c->starting = false;
    ctr_set_state(c, CTR_RUNNING, json_pack("{s:n,s:n,s:n,s:I}", "starting", "standby", "key", "started_at_ns",
                                            (json_int_t)started_at_ns), STORE_LATER);
    fault_step("shim.started");
    req_ok(MOVE(c->start_req, NULL), NULL);
    start_over(c);
}

static void start_done(void *arg, int status, const char *text)
{
    Ctr *c = arg;
    c->shim->n_busy--;
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFSIGNALED(status)) {
        /* Both runtimes remove this FIFO once init has been let go. */
        SCOPED(mem_free) char *fifo = mem_fmt("%s/%s/exec.fifo", c->shim->oci_root, c->id);
        ok = !fs_exists(fifo);
        if (!ok && ctr_alive(c) && c->tries < MAX_TRIES) {
            start_run(c);
            return;
        }
    }
    c->starting = false;
    if (!ok && !c->doomed) {
        start_failed(c, *text ? text : "the runtime was killed while it started the container");
        return;
    }
    if (ok) {
        ctr_started(c, json_i64(ctr_rec(c), "started_at_ns", 0));
        return;
    }
    ctr_set(c, json_pack("{s:n,s:n}", "starting", "started_at_ns"), STORE_NOW);
    req_err(MOVE(c->start_req, NULL), err_new(ERR_UNAVAILABLE, 0, "container %s was killed before it started", c->id));
    start_over(c);
}

static void start_run(Ctr *c)
{
    const char *args[] = {"start", c->id, NULL};
    c->tries++;
    c->shim->n_busy++;
    Err *e = runtime_run(c->shim, args, NULL, start_done, c, NULL);
    if (!e)
        return;
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    c->shim->n_busy--;
    c->starting = false;
    start_failed(c, text);
}

void ctr_start(Ctr *c, Req *r)
{
    const json_t *rec = ctr_rec(c);
    if (c->state == CTR_RUNNING || (c->state == CTR_EXITED && json_object_get(rec, "started_at_ns"))) {
        req_ok(r, NULL); /* asked again after a connection broke */
        return;
    }
    if (c->state == CTR_STANDBY && !c->starting && !c->doomed) {
        standby_release(c, r);
        return;
    }
    if (c->state == CTR_EXITED && json_flag(rec, "start_error", false)) {
        req_err(r, err_reason(err_new(ERR_SYS, 0, "%s", str_or(json_str(rec, "message"), "")), "RunContainerError"));
        return;
    }
    if (c->state != CTR_CREATED || c->starting || c->doomed) {
        req_err(r, err_new(ERR_UNAVAILABLE, 0, "container %s cannot be started: it is %s", c->id,
                           c->doomed ? "being killed" : c->starting ? "starting" : state_names[c->state]));
        return;
    }
    ctr_start_runtime(c, r);
}

void ctr_start_runtime(Ctr *c, Req *r)
{
    c->start_req = r;
    c->starting = true;
    c->tries = 0;
    ctr_set(c, json_pack("{s:b,s:I}", "starting", 1, "started_at_ns", (json_int_t)os_now_ns()), STORE_NOW);
    fault_step("shim.start");
    start_run(c);
}

/* --- signals and removal ------------------------------------------------------------------------------------------- */

static int signal_number(const char *name)
{
    int64_t n;
    if (str_to_i64(name, &n))
        return n > 0 && n < NSIG ? (int)n : 0;
    if (str_starts(name, "SIG"))
        name += 3;
    for (int i = 1; i < NSIG; i++)
        if (sigabbrev_np(i) && str_eq(sigabbrev_np(i), name))
            return i;
    int off;
    char sign;
    if (sscanf(name, "RTMIN%c%d", &sign, &off) == 2 && sign == '+' && off >= 0 && off <= 30)
        return 34 + off; /* glibc's SIGRTMIN, which is what images mean */
    if (sscanf(name, "RTMAX%c%d", &sign, &off) == 2 && sign == '-' && off >= 0 && off <= 30)
        return 64 - off;
    return str_eq(name, "RTMIN") ? 34 : str_eq(name, "RTMAX") ? 64 : 0;
}

Err *ctr_signal(Ctr *c, int sig)
{
    if (sig == 0) {
        const char *name = json_str(ctr_rec(c), "stop_signal");
        sig = str_empty(name) ? SIGTERM : signal_number(name);
        if (sig == 0)
            return err_new(ERR_INVALID, 0, "container %s: unknown stop signal \"%s\"", c->id, name);
    }
    if (sig == SIGKILL) {
        ctr_kill(c);
        return NULL;
    }
    if (ctr_alive(c) && !pidfd_kill(c->pidfd, sig))
        return err_new(ERR_SYS, errno, "send signal %d to container %s", sig, c->id);
    return NULL;
}

void ctr_kill(Ctr *c)
{
    const json_t *rec = ctr_rec(c);
    if (c->state == CTR_EXITED)
        return;
    c->doomed = true;
    if (ctr_alive(c) && !pidfd_kill(c->pidfd, SIGKILL))
        shim_log("kill container %s: %s", c->id, strerror(errno));
    if (ctr_alive(c) && !json_flag(rec, "pid_private", true))
        strays_kill(c);
}

/* Killed processes of a shared pid namespace need a moment to be gone. */
static void on_retry(uv_timer_t *t)
{
    Shim *s = t->data;
    for (Ctr *c = s->ctrs; c;) {
        bool waits = c->state == CTR_EXITED && json_flag(ctr_rec(c), "removing", false);
        size_t before = json_object_size(store_kind(&s->store, "containers"));
        if (waits)
            remove_progress(c);
        /* A removal may take others with it: begin anew. */
        c = json_object_size(store_kind(&s->store, "containers")) < before ? s->ctrs : c->next;
    }
    sandbox_progress(s);
}

void shim_retry(Shim *s)
{
    (void)uv_timer_start(&s->retry_timer, on_retry, RETRY_MS, 0);
}

static void remove_progress(Ctr *c)
{
    Shim *s = c->shim;
    if (c->state == CTR_CREATING || c->starting || ctr_alive(c)) {
        ctr_kill(c);
        return; /* its end brings us back */
    }
    const json_t *rec = ctr_rec(c);
    const char *cgroup = json_str(rec, "cgroup");
    if (cgroup && !json_flag(rec, "pid_private", true) && cgroup_kill(&s->cgroups, cgroup) > 0 &&
        cgroup_populated(&s->cgroups, cgroup)) {
        shim_retry(s);
        return;
    }
    ctr_discard(c, c->state != CTR_PREPARED);
}

void ctr_undo(Ctr *c)
{
    const char *cgroup = json_str(ctr_rec(c), "cgroup");
    if (cgroup)
        (void)cgroup_kill(&c->shim->cgroups, cgroup);
    ctr_discard(c, c->state != CTR_PREPARED);
}

void ctr_remove(Ctr *c, Req *r)
{
    if (r) {
        r->next = c->remove_reqs;
        c->remove_reqs = r;
    }
    bool at_once = c->state == CTR_EXITED && json_flag(ctr_rec(c), "pid_private", true);
    if (!at_once && !json_flag(ctr_rec(c), "removing", false))
        ctr_set(c, json_pack("{s:b}", "removing", 1), STORE_LATER);
    remove_progress(c);
}
