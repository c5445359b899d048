/* cri_world.h - what the tests of runtime/cri share: the runtime over a fake server on one loop, answers that are counted, and facts. */
#ifndef REPRISE_TESTS_CRI_WORLD_H
#define REPRISE_TESTS_CRI_WORLD_H

#include "check.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "cri_fake.h"
#include "os/fs.h"
#include "runtime/cri/cri_priv.h"

#define ROOT "/var/lib/test"
#define POD_UID "u1"

typedef struct {
    uv_loop_t loop;
    uv_timer_t watchdog;
    bool timed_out;
    CriFake f;
    CriRuntimeConfig config;
    Runtime *rt;
    unsigned changes, warnings;
    char warning[256];
    char *logs;
    SandboxConfig sandbox;
    char sandbox_id[80];
} World;

/* How a request was answered. */
typedef struct {
    unsigned n;
    bool failed;
    ErrKind kind;
    char id[80], reason[48], text[512];
    ExecResult exec;
    char out[64];
} Answer;

static inline UNUSED void take_error(Answer *a, Err *e)
{
    a->n++;
    a->failed = e != NULL;
    if (!e)
        return;
    SCOPED(mem_free) char *text = err_text(e);
    a->kind = e->kind;
    (void)snprintf(a->text, sizeof a->text, "%s", text);
    (void)snprintf(a->reason, sizeof a->reason, "%s", e->reason);
    err_free(e);
}

static inline UNUSED void on_done(void *arg, Err *e)
{
    take_error(arg, e);
}

static inline UNUSED void on_id(void *arg, const char *id, Err *e)
{
    Answer *a = arg;
    (void)snprintf(a->id, sizeof a->id, "%s", str_or(id, ""));
    take_error(a, e);
}

static inline UNUSED void on_exec_done(void *arg, const ExecResult *r, Err *e)
{
    Answer *a = arg;
    if (r) {
        a->exec = *r;
        (void)snprintf(a->out, sizeof a->out, "%.*s", (int)r->n_out, r->out);
        a->exec.out = a->out;
    }
    take_error(a, e);
}

static inline UNUSED void on_watchdog(uv_timer_t *t)
{
    ((World *)t->data)->timed_out = true;
}

static inline UNUSED void on_change(void *arg, const char *uid)
{
    World *w = arg;
    PodFacts facts;
    w->changes++;
    w->rt->ops->pod_facts(w->rt, uid, &facts); /* what the agent does */
    pod_facts_done(&facts);
}

static inline UNUSED void on_warning(void *arg, const char *text)
{
    World *w = arg;
    w->warnings++;
    (void)snprintf(w->warning, sizeof w->warning, "%s", text);
}

/* Runs the loop until <cond>, for at most 5 s. */
#define UNTIL(w, cond)                                                                                                 \
    do {                                                                                                               \
        (w)->timed_out = false;                                                                                        \
        (void)uv_timer_start(&(w)->watchdog, on_watchdog, 5000, 0);                                                    \
        while (!(cond) && !(w)->timed_out)                                                                             \
            (void)uv_run(&(w)->loop, UV_RUN_ONCE);                                                                     \
        CHECK(cond);                                                                                                   \
        (void)uv_timer_stop(&(w)->watchdog);                                                                           \
    } while (0)

/* Lets time pass. */
static inline UNUSED void settle(World *w, unsigned ms)
{
    w->timed_out = false;
    uv_update_time(&w->loop);
    (void)uv_timer_start(&w->watchdog, on_watchdog, ms, 0);
    while (!w->timed_out)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static inline UNUSED void world_init(World *w)
{
    *w = (World){.watchdog.data = w};
    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_loop_init(&w->loop);
    (void)uv_timer_init(&w->loop, &w->watchdog);
    cri_fake_init(&w->f, &w->loop);
    w->logs = mem_fmt("%s/logs", w->f.dir);
    w->config = (CriRuntimeConfig){.loop = &w->loop, .endpoint = w->f.endpoint, .root = ROOT, .on_warning = on_warning, .warning_arg = w};
    w->sandbox = (SandboxConfig){.name = "pod", .namespace_ = "default", .uid = POD_UID, .hostname = "pod", .log_directory = w->logs};
}

static inline UNUSED CriRuntime *cri(const World *w)
{
    return (CriRuntime *)w->rt;
}

static inline UNUSED void world_open(World *w)
{
    cri_fake_up(&w->f);
    CHECK_OK(cri_runtime_open(&w->config, &w->rt));
    if (!w->rt)
        abort();
    w->rt->on_change = on_change;
    w->rt->on_change_arg = w;
    cri(w)->have_cgroups = cri(w)->systemd_cgroups = true; /* else sandboxes would have cgroups of this machine made */
}

static inline UNUSED void world_up(World *w, unsigned streams)
{
    world_init(w);
    w->f.streams = streams;
    world_open(w);
}

static inline UNUSED void world_done(World *w)
{
    if (w->rt)
        w->rt->ops->close(w->rt);
    CHECK_INT(w->f.reserved, 0); /* nothing was made twice */
    cri_fake_done(&w->f);
    uv_close((uv_handle_t *)&w->watchdog, NULL);
    CHECK_INT(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    free(w->logs);
}

/* The server goes, and comes again with what it knew. */
static inline UNUSED void reconnect(World *w)
{
    cri_fake_down(&w->f);
    UNTIL(w, !grpc_client_connected(cri(w)->client));
    cri_fake_up(&w->f);
    grpc_client_connect_now(cri(w)->client);
    UNTIL(w, grpc_client_connected(cri(w)->client));
}

/* --- requests --------------------------------------------------------------------------------------------------------------------- */

static inline UNUSED void run_sandbox(World *w)
{
    Answer a = {0};
    CHECK_OK(w->rt->ops->sandbox_run(w->rt, &w->sandbox, on_id, &a));
    UNTIL(w, a.n);
    CHECK_STR(a.text, "");
    (void)snprintf(w->sandbox_id, sizeof w->sandbox_id, "%s", a.id);
}

static inline UNUSED ContainerConfig container(const World *w, const char *name, uint32_t attempt)
{
    return (ContainerConfig){.name = name, .attempt = attempt, .image = "i:1", .image_id = "sha256:1", .working_dir = "",
                             .log_path = "c/0.log", .spec_hash = "h", .sandbox = &w->sandbox};
}

static inline UNUSED void create(World *w, const char *name, uint32_t attempt, Answer *a)
{
    ContainerConfig c = container(w, name, attempt);
    CHECK_OK(w->rt->ops->container_create(w->rt, POD_UID, w->sandbox_id, &c, on_id, a));
}

/* Its record in the fake. */
static inline UNUSED FakeContainer *created(World *w, const char *name, uint32_t attempt)
{
    Answer a = {0};
    create(w, name, attempt, &a);
    UNTIL(w, a.n);
    CHECK_STR(a.text, "");
    return cri_fake_container(&w->f, a.id);
}

static inline UNUSED FakeContainer *started(World *w, const char *name, uint32_t attempt)
{
    FakeContainer *c = created(w, name, attempt);
    Answer a = {0};
    CHECK_OK(w->rt->ops->container_start(w->rt, POD_UID, c->id, on_done, &a));
    UNTIL(w, a.n);
    CHECK_STR(a.text, "");
    return c;
}

/* --- facts ------------------------------------------------------------------------------------------------------------------------ */

/* "run name/attempt state[ code reason][ "message"]" a line, sandboxes first. Borrowed until the next call. */
static inline UNUSED const char *facts(const World *w)
{
    static const char *const states[] = {"created", "running", "exited", "unknown"};
    static char text[2048];
    PodFacts f;
    SCOPED(str_done) Str s = {0};
    w->rt->ops->pod_facts(w->rt, POD_UID, &f);
    LIST_EACH(b, &f.sandboxes)
        str_fmt(&s, "%ssandbox/%u %s%s%s", s.n ? "; " : "", b->attempt, b->state == SANDBOX_READY ? "ready" : "not ready",
                b->ips.n ? " " : "", b->ips.n ? "ip" : "");
    LIST_EACH(c, &f.containers) {
        str_fmt(&s, "%s%s/%u %s", s.n ? "; " : "", c->name, c->attempt, states[c->state]);
        if (c->state == RUN_EXITED && c->exit_known)
            str_fmt(&s, " %d", c->exit_code);
        if (c->state == RUN_EXITED)
            str_fmt(&s, " %s", str_or(c->reason, "-"));
        if (c->message)
            str_fmt(&s, " \"%s\"", c->message);
    }
    LIST_EACH(c, &f.standbys)
        str_fmt(&s, "%s%s/%u standby %s", s.n ? "; " : "", c->name, c->attempt, c->key);
    pod_facts_done(&f);
    (void)snprintf(text, sizeof text, "%s", str_or(s.p, ""));
    return text;
}

#define UNTIL_FACTS(w, want)                                                                                           \
    do {                                                                                                               \
        const char *wanted_ = (want);                                                                                   \
        (w)->timed_out = false;                                                                                        \
        (void)uv_timer_start(&(w)->watchdog, on_watchdog, 5000, 0);                                                    \
        while (!str_eq(facts(w), wanted_) && !(w)->timed_out)                                                            \
            (void)uv_run(&(w)->loop, UV_RUN_ONCE);                                                                     \
        CHECK_STR(facts(w), wanted_);                                                                                  \
        (void)uv_timer_stop(&(w)->watchdog);                                                                           \
    } while (0)

#endif
