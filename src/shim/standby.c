/* Containers that were prepared ahead. Two kinds, by how far the runtime has taken them:
 *
 *   "gate"    `run` has done all of its work, but the first process is reprise-gate (src/gate/gate.c), which waits for an event
 *             and then executes the real command in its place. Letting go is one write.
 *   "create"  `create` has been run; letting go is the runtime's `start`.
 *
 * A standby is no container yet for anybody but the agent's bookkeeping: its end is no exit, its log is not there. It becomes
 * one when it is let go, under the id it has. Should the gate fail to execute the command, the standby is gone without a
 * trace and the request gets ERR_UNAVAILABLE: the agent makes the container in the plain way, and the runtime itself says what
 * is wrong with it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"
#include "shim/shim.h"
#include "wire/shimwire.h"

static void handle_free(uv_handle_t *h)
{
    mem_free(h);
}

bool ctr_is_standby(const Ctr *c)
{
    return json_str(ctr_rec(c), "standby") != NULL;
}

bool ctr_wants_gate(const Ctr *c)
{
    return str_eq(json_str(ctr_rec(c), "standby"), "gate");
}

Err *gate_open(Ctr *c, int *ret_program, int *ret_socket)
{
    int pair[2];
    const char *path = c->shim->gate;
    if (!path)
        return err_new(ERR_UNSUPPORTED, 0, "the shim was started without --gate");
    SCOPED(fd_close) int program = fault_hit("open") ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (program < 0)
        return err_new(ERR_SYS, errno, "open %s", path);
    if (fault_hit("socket") || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_new(ERR_SYS, errno, "make a socket pair");
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
    c->gate = pair[0];
    *ret_socket = pair[1];
    c->go = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->go < 0) {
        Err *e = err_new(ERR_SYS, errno, "make an eventfd");
        fd_close(MOVE(*ret_socket, -EBADF));
        gate_close(c);
        return e;
    }
    *ret_program = MOVE(program, -EBADF);
    return NULL;
}

void gate_close(Ctr *c)
{
    if (c->gate_poll) {
        (void)uv_poll_stop(c->gate_poll);
        uv_close((uv_handle_t *)c->gate_poll, handle_free);
        c->gate_poll = NULL;
    }
    fd_close(MOVE(c->gate, -EBADF));
    fd_close(MOVE(c->go, -EBADF));
}

/* --- made ------------------------------------------------------------------------------------------------------------ */

static void ready(Ctr *c)
{
    const char *cgroup = json_str(ctr_rec(c), "cgroup");
    int64_t bytes = cgroup ? cgroup_memory_bytes(&c->shim->cgroups, cgroup) : 0;
    ctr_set_state(c, CTR_STANDBY, json_pack("{s:i,s:I,s:I}", "pid", (int)c->pid, "pid_start", (json_int_t)c->pid_start,
                                            "standby_bytes", (json_int_t)bytes), STORE_NOW);
    fault_step("shim.standby");
    req_ok(MOVE(c->create_req, NULL), json_pack("{s:I}", "bytes", (json_int_t)bytes));
    if (json_flag(ctr_rec(c), "removing", false) || c->doomed)
        ctr_kill(c);
}

/* What the last read of the gate's socket says. */
typedef enum { GATE_WAIT, GATE_READY, GATE_RUNS, GATE_ERRNO, GATE_BROKEN } GateNews;

static GateNews gate_read(Ctr *c, int *ret_errno)
{
    int code = 0;
    ssize_t n = recv(c->gate, &code, sizeof code, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? GATE_WAIT : GATE_BROKEN;
    if (n == 1)
        return GATE_READY;
    *ret_errno = code;
    return n == 0 ? GATE_RUNS : n == (ssize_t)sizeof code ? GATE_ERRNO : GATE_BROKEN;
}

static void passed(Ctr *c)
{
    gate_close(c);
    ctr_begin_later(c);
    ctr_started(c, os_now_ns());
}

static void refused(Ctr *c, int code)
{
    Req *r = MOVE(c->start_req, NULL);
    c->starting = false;
    ctr_kill(c);
    ctr_discard(c, true);
    req_err(r, err_reason(err_new(ERR_UNAVAILABLE, code, "the prepared container cannot execute its command"), "StandbyLost"));
}

static void on_gate(uv_poll_t *p, int rc, int events)
{
    (void)rc;
    (void)events;
    Ctr *c = p->data;
    int code = 0;
    GateNews news = gate_read(c, &code);
    if (news == GATE_WAIT)
        return;
    if (c->create_req && news == GATE_READY)
        ready(c);
    else if (c->create_req) /* its end, or a profile that does not let it speak */
        ctr_create_failed(c, err_new(ERR_UNAVAILABLE, 0, "the gate of the prepared container did not come up"));
    else if (c->starting && news == GATE_RUNS)
        passed(c);
    else if (c->starting)
        refused(c, code);
    else /* a standby that died: its end is told by the reaper */
        (void)uv_poll_stop(p);
}

void standby_made(Ctr *c)
{
    if (!ctr_wants_gate(c)) {
        ready(c);
        return;
    }
    c->gate_poll = NEW(uv_poll_t);
    (void)uv_poll_init(&c->shim->loop, c->gate_poll, c->gate);
    c->gate_poll->data = c;
    (void)uv_poll_start(c->gate_poll, UV_READABLE, on_gate);
}

/* --- the command ------------------------------------------------------------------------------------------------------ */

/* "PATH=..." of the environment in config.json. */
static const char *path_of(const json_t *process)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(process, "env"), i, v)
    {
        if (str_starts(str_or(json_string_value(v), ""), "PATH="))
            return json_string_value(v) + strlen("PATH=");
    }
    return "";
}

/* A runtime that has been through `create` has looked for the command then, and its `start` could only make a failing exec look like
 * an exit of the program. So it is looked for once more. (The gate executes it itself, and can tell.) */
static bool command_there(const Ctr *c)
{
    SCOPED(mem_free) char *path = ctr_path(c->shim, c->id, "config.json");
    SCOPED(mem_free) char *root = mem_fmt("/proc/%d/root", (int)c->pid);
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *config = NULL;
    Err *e = fs_read(path, SHIM_WIRE_MAX, &text);
    if (!e)
        e = json_parse(text.p, text.n, &config);
    err_free(e);
    SCOPED(fd_close) int rootfd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const json_t *process = json_object_get(config, "process");
    const char *name = json_string_value(json_array_get(json_object_get(process, "args"), 0));
    if (!name || rootfd < 0)
        return false;
    if (strchr(name, '/')) {
        SCOPED(mem_free) char *full = name[0] == '/' ? mem_dup_str(name) : mem_fmt("%s/%s", str_or(json_str(process, "cwd"), ""), name);
        return fs_executable_in(rootfd, full);
    }
    for (const char *p = path_of(process); *p;) {
        size_t n = strcspn(p, ":");
        SCOPED(mem_free) char *full = mem_fmt("%.*s/%s", (int)n, p, name);
        if (n > 0 && fs_executable_in(rootfd, full))
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

/* --- let go ----------------------------------------------------------------------------------------------------------- */

void standby_release(Ctr *c, Req *r)
{
    bool gate = ctr_wants_gate(c);
    fault_step("shim.release");
    if (!gate && !command_there(c)) {
        c->start_req = r;
        refused(c, ENOENT);
        return;
    }
    if (!gate) {
        ctr_set_state(c, CTR_CREATED, json_pack("{s:n,s:n,s:I}", "standby", "key", "created_at_ns", (json_int_t)os_now_ns()),
                      STORE_NOW);
        shim_log_err(ctr_log_begin(c), "begin the log of a container");
        streams_start(c);
        ctr_start_runtime(c, r);
        return;
    }
    c->start_req = r;
    c->starting = true;
    /* On record before it can run; nobody needs to be told yet. */
    shim_log_err(store_set(&c->shim->store, "containers", c->id, json_pack("{s:b,s:I}", "starting", 1, "created_at_ns",
                                                                          (json_int_t)os_now_ns()), STORE_NOW),
                 "record a container");
    if (eventfd_write(c->go, 1) < 0) {
        refused(c, errno);
        return;
    }
}

void standby_died(Ctr *c)
{
    if (c->create_req)
        ctr_create_failed(c, err_new(ERR_UNAVAILABLE, 0, "the prepared container ended"));
    else
        ctr_discard(c, true);
}

void standby_settle(Ctr *c)
{
    int code = 0;
    if (gate_read(c, &code) == GATE_RUNS)
        passed(c);
    else
        refused(c, code);
}

bool gate_passed(const Ctr *c)
{
    SCOPED(mem_free) char *exe = mem_fmt("/proc/%lld/exe", (long long)json_i64(ctr_rec(c), "pid", 0));
    struct stat mine, its;
    if (stat(exe, &its) < 0)
        return true; /* let go, and ended since: how, nobody knows */
    return !c->shim->gate || stat(c->shim->gate, &mine) < 0 || mine.st_dev != its.st_dev || mine.st_ino != its.st_ino;
}
