/* cmd_run.c - `reprise run` and `reprise delete`: the agent in the foreground, for the Pods of some manifests. */
#include <signal.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <uv.h>

#include "agent/agent.h"
#include "agent/dump.h"
#include "agent/logtail.h"
#include "agent/record.h"
#include "cli/cli.h"
#include "cli/cmd_delete.h"
#include "cli/plan_options.h"
#include "cli/runtime.h"
#include "cli/view.h"
#include "os/fs.h"

/* Repaints of the live view: 10 Hz reads as continuous. */
#define TICK_MS 100

int cmd_run(int argc, char **argv);

/* --- --until ------------------------------------------------------------------------------------------------------ */

typedef enum { UNTIL_END, UNTIL_READY, UNTIL_SUCCEEDED, UNTIL_RESTARTS, UNTIL_CONDITION } UntilKind;
typedef struct {
    UntilKind kind;
    int64_t restarts;
    char *type, *status;
} Until;

static Err *until_parse(const char *text, Until *u)
{
    *u = (Until){0};
    if (!text)
        return NULL;
    if (str_eq(text, "Ready"))
        u->kind = UNTIL_READY;
    else if (str_eq(text, "Succeeded"))
        u->kind = UNTIL_SUCCEEDED;
    else if (str_starts(text, "restarts=") && str_to_i64(text + 9, &u->restarts) && u->restarts > 0)
        u->kind = UNTIL_RESTARTS;
    else if (str_starts(text, "condition=")) {
        const char *eq = strchr(text + 10, '=');
        if (eq && eq > text + 10 && eq[1]) {
            u->kind = UNTIL_CONDITION;
            u->type = mem_dup_strn(text + 10, (size_t)(eq - text - 10));
            u->status = mem_dup_str(eq + 1);
        }
    }
    if (u->kind == UNTIL_END)
        return err_new(ERR_INVALID, 0,
                       "--until=%s: give Ready, Succeeded, restarts=N (N > 0) or condition=TYPE=STATUS", text);
    return NULL;
}

static bool condition_is(const Pod *p, const char *type, const char *status)
{
    const PodCondition *c = plan_condition(&p->status, type);
    return c && str_eq(c->status, status);
}

static const ContainerStatus *status_of(const ContainerStatusList *l, const char *name)
{
    LIST_EACH(s, l)
        if (str_eq(s->name, name))
            return s;
    return NULL;
}

/* After a restart: every sidecar has started and every regular container runs, or has run to a good end already. */
static bool everything_runs(const Pod *p)
{
    LIST_EACH(c, &p->spec.init_containers) {
        const ContainerStatus *s = status_of(&p->status.init_container_statuses, c->name);
        bool up = s && s->state && (container_is_sidecar(c) ? s->started.v && s->state->running
                                                            : s->state->terminated &&
                                                                  s->state->terminated->exit_code.v == 0);
        if (!up)
            return false;
    }
    LIST_EACH(c, &p->spec.containers) {
        const ContainerStatus *s = status_of(&p->status.container_statuses, c->name);
        if (!s || !s->state || !(s->state->running || (s->state->terminated && s->state->terminated->exit_code.v == 0)))
            return false;
    }
    return true;
}

/* --- the command's state ------------------------------------------------------------------------------------------ */

typedef struct Run Run;
typedef struct {
    Run *run;
    char *pod; /* name */
} LogSource;

typedef struct {
    char *uid;
    int64_t restarts_before; /* of an adopted Pod */
    bool until_met, done;
    LogTail *logs;
    LogSource *log_source; /* owned: what <logs> calls back with */
    DumpServer *dump;
} Tracked;

struct Run {
    uv_loop_t loop;
    Runtime *rt;
    Agent *agent;
    View *view;
    Until until;
    LIST_OF(Tracked) pods;
    uv_signal_t signals[3];
    uv_timer_t tick, timeout;
    unsigned interrupts;
    int status;       /* of the command; -1 = not decided */
    bool keep, deleting, show_logs, left; /* left: --keep met, the Pods go on */
    const char *log_dir;
};

static size_t pod_index(const Run *r, const char *uid)
{
    for (size_t i = 0; i < r->pods.n; i++)
        if (str_eq(r->pods.v[i].uid, uid))
            return i;
    return SIZE_MAX;
}

static void begin_delete(Run *r, int64_t grace_s)
{
    r->deleting = true;
    agent_delete_all(r->agent, grace_s);
}

static void decide(Run *r, int status)
{
    if (r->status < 0)
        r->status = status;
}

static bool until_holds(const Run *r, size_t i, const Pod *p)
{
    switch (r->until.kind) {
    case UNTIL_READY:
        return condition_is(p, "Ready", "True");
    case UNTIL_SUCCEEDED:
        return str_eq(p->status.phase, "Succeeded");
    case UNTIL_RESTARTS:
        return agent_pod_restarts(r->agent, r->pods.v[i].uid) - r->pods.v[i].restarts_before >= r->until.restarts &&
               everything_runs(p) && condition_is(p, "AllContainersRestarting", "False");
    case UNTIL_CONDITION:
        return condition_is(p, r->until.type, r->until.status);
    case UNTIL_END:
        break;
    }
    return false;
}

/* Every Pod must have met it, each at some moment. */
static void check_until(Run *r, size_t i, const Pod *p)
{
    if (r->until.kind == UNTIL_END || r->deleting || r->left || r->pods.v[i].until_met)
        return;
    r->pods.v[i].until_met = until_holds(r, i, p);
    LIST_EACH(t, &r->pods)
        if (!t->until_met)
            return;
    decide(r, EXIT_OK);
    if (r->keep) {
        r->left = true;
        uv_stop(&r->loop);
    } else if (r->until.kind != UNTIL_SUCCEEDED) {
        begin_delete(r, -1);
    }
}

static void follow_logs(Tracked *t, const ContainerStatusList *l)
{
    LIST_EACH(s, l)
        if (s->container_id && s->restart_count.set)
            logtail_follow(t->logs, s->name, (uint32_t)s->restart_count.v);
}

static void on_pod(void *arg, const char *type, const Pod *p, int64_t now_ns)
{
    Run *r = arg;
    view_pod(r->view, type, p, now_ns);
    size_t i = pod_index(r, p->metadata.uid);
    if (i == SIZE_MAX)
        return;
    Tracked *t = &r->pods.v[i];
    if (t->logs) {
        follow_logs(t, &p->status.init_container_statuses);
        follow_logs(t, &p->status.container_statuses);
    }
    check_until(r, i, agent_pod_get(r->agent, t->uid)); /* as it is by now: what is told may be older */
}

static void on_event(void *arg, const Pod *p, bool warning, const char *reason, const char *message,
                     const char *container, int64_t now_ns)
{
    Run *r = arg;
    view_event(r->view, p, warning, reason, message, container, now_ns);
}

static void on_done(void *arg, const Pod *p)
{
    Run *r = arg;
    size_t i = pod_index(r, p->metadata.uid);
    if (i != SIZE_MAX)
        r->pods.v[i].done = true;
    LIST_EACH(t, &r->pods)
        if (!t->done)
            return;
    uv_stop(&r->loop);
}

static void on_log(void *arg, const char *container, uint32_t attempt, const char *bytes, size_t n)
{
    const LogSource *source = arg;
    view_log(source->run->view, source->pod, container, attempt, bytes, n);
}

static void interrupt(Run *r)
{
    decide(r, EXIT_INTERRUPTED);
    if (r->interrupts++ == 0) {
        view_note(r->view, "deleting the Pod with its grace period; interrupt again to kill it");
        begin_delete(r, -1);
    } else {
        view_note(r->view, "killing the Pod");
        begin_delete(r, 0);
    }
}

static void on_signal(uv_signal_t *h, int sig)
{
    (void)sig;
    interrupt(h->data);
}

static void on_tick(uv_timer_t *t)
{
    Run *r = t->data;
    view_tick(r->view, os_now_ns());
    /* A Pod that was taken over may be there already: no change of its status will say so. */
    for (size_t i = 0; i < r->pods.n; i++)
        check_until(r, i, agent_pod_get(r->agent, r->pods.v[i].uid));
    if (ferror(stdout) && r->interrupts == 0)
        interrupt(r); /* nobody reads any more (a closed pipe or terminal): as if interrupted */
}

static void on_timeout(uv_timer_t *t)
{
    Run *r = t->data;
    if (r->status >= 0)
        return;
    decide(r, EXIT_TIMEOUT);
    view_note(r->view, "--timeout passed: deleting the Pod");
    begin_delete(r, -1);
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

static void on_runtime_warning(void *arg, const char *text)
{
    view_note(((Run *)arg)->view, text);
}

static Err *run_open(Run *r, const CliArgs *a, const FeatureGates *gates, const PlanConfig *plan, int64_t prepare_memory)
{
    Err *e = cli_runtime_open(a, &r->loop, on_runtime_warning, r, &r->rt);
    if (e)
        return e;
    struct utsname u;
    AgentConfig c = {
        .loop = &r->loop,
        .rt = r->rt,
        .root = cli_opt(a, "root"),
        .log_dir = r->log_dir,
        .node_name = uname(&u) == 0 ? u.nodename : "localhost",
        .gates = *gates,
        .plan = *plan,
        .prepare_memory_bytes = prepare_memory,
        .listener = {.pod = on_pod, .event = on_event, .done = on_done, .arg = r},
    };
    return agent_open(&c, &r->agent);
}

static void track(Run *r, const CliArgs *a, const Pod *p)
{
    Tracked *t = LIST_ADD(&r->pods);
    t->uid = mem_dup_str(p->metadata.uid);
    t->restarts_before = agent_pod_restarts(r->agent, t->uid);
    if (r->show_logs) {
        SCOPED(mem_free) char *dir =
            mem_fmt("%s/%s_%s_%s", r->log_dir, p->metadata.namespace_, p->metadata.name, p->metadata.uid);
        t->log_source = NEW(LogSource);
        *t->log_source = (LogSource){.run = r, .pod = mem_dup_str(p->metadata.name)};
        t->logs = logtail_new(&r->loop, dir, on_log, t->log_source);
    }
    SCOPED(err_free) Err *e = dump_serve(r->agent, &r->loop, cli_opt(a, "run-dir"), t->uid, &t->dump);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        view_note(r->view, text);
    }
}

static void run_start_handles(Run *r, int64_t timeout_ns)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(caught); i++) {
        (void)uv_signal_init(&r->loop, &r->signals[i]);
        r->signals[i].data = r;
        (void)uv_signal_start(&r->signals[i], on_signal, caught[i]);
    }
    (void)uv_timer_init(&r->loop, &r->tick);
    (void)uv_timer_init(&r->loop, &r->timeout);
    r->tick.data = r->timeout.data = r;
    (void)uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
    if (timeout_ns > 0)
        (void)uv_timer_start(&r->timeout, on_timeout, (uint64_t)(timeout_ns / NS_PER_MS), 0);
}

/* Nobody comes after us: what fails is tried once more, and said if it stays. */
static void forget_pod(Run *r, const char *uid)
{
    Err *e = agent_pod_forget(r->agent, uid);
    if (!e)
        return;
    err_free(e);
    e = agent_pod_forget(r->agent, uid);
    if (e) {
        cli_error(e);
        r->status = r->status > EXIT_OK ? r->status : EXIT_FAILED;
    }
}

/* Removes what is left of the Pods, closes everything on the loop and returns the exit status. */
static int run_close(Run *r)
{
    bool forget = !r->left && (!r->keep || r->deleting);
    for (size_t i = 0; i < r->pods.n; i++) {
        Tracked *t = &r->pods.v[i];
        if (t->logs)
            logtail_drain(t->logs);
        if (!r->left && r->status < 0 && !str_eq(agent_pod_get(r->agent, t->uid)->status.phase, "Succeeded"))
            r->status = EXIT_FAILED;
        dump_close(t->dump);
        if (t->done && forget)
            forget_pod(r, t->uid);
    }
    /* A Pod that ended well although it was asked to become something else first did not do what was asked. */
    if (r->status < 0)
        r->status = r->until.kind == UNTIL_END || r->until.kind == UNTIL_SUCCEEDED ? EXIT_OK : EXIT_FAILED;
    view_finish(r->view, os_now_ns());
    return r->status;
}

static void run_free(Run *r)
{
    if (r->agent)
        agent_close(r->agent); /* tells what is left to tell: of Pods that are still here */
    LIST_EACH(t, &r->pods) {
        logtail_free(t->logs);
        free(t->uid);
        if (t->log_source)
            free(t->log_source->pod);
        free(t->log_source);
    }
    free(r->pods.v);
    if (r->rt)
        r->rt->ops->close(r->rt);
    for (size_t i = 0; i < ARRAY_LEN(r->signals); i++)
        if (r->signals[i].data)
            uv_close((uv_handle_t *)&r->signals[i], NULL);
    if (r->tick.data) {
        uv_close((uv_handle_t *)&r->tick, NULL);
        uv_close((uv_handle_t *)&r->timeout, NULL);
    }
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&r->loop);
    view_free(r->view);
    free(r->until.type);
    free(r->until.status);
}

static int run_init(Run *r, const CliArgs *a)
{
    r->status = -1;
    r->log_dir = cli_opt(a, "log-dir");
    (void)uv_loop_init(&r->loop);
    ViewMode mode;
    if (!view_mode_parse(cli_opt(a, "output"), stdout, &mode))
        return cli_usage(a, "-o %s: give live, lines, json or yaml", cli_opt(a, "output"));
    r->view = view_new(mode, stdout, cli_colour(stdout));
    r->show_logs = !cli_flag(a, "no-logs") && (mode == VIEW_LIVE || mode == VIEW_LINES);
    return -1;
}

static Err *add_pods(Run *r, const CliArgs *a, Objects *objs)
{
    for (size_t i = 0; i < objs->pods.n; i++) {
        bool adopted;
        const Pod *p;
        Err *e = agent_pod_add(r->agent, MOVE(objs->pods.v[i], NULL), objs, &p, &adopted);
        if (e)
            return e;
        track(r, a, p);
        if (adopted) {
            SCOPED(mem_free) char *text =
                mem_fmt("pod %s/%s runs here already: taking it over", p->metadata.namespace_, p->metadata.name);
            view_note(r->view, text);
        }
    }
    return NULL;
}

static int run_pods(Run *r, const CliArgs *a, Objects *objs, const FeatureGates *gates, const PlanConfig *plan,
                    int64_t prepare_memory, int64_t timeout_ns)
{
    Err *e = run_open(r, a, gates, plan, prepare_memory);
    if (!e)
        e = add_pods(r, a, objs);
    if (e) {
        int code = cli_fail(e);
        if (r->agent && agent_pod_count(r->agent) == r->pods.n && r->pods.n > 0) {
            /* Those that were added before the one that could not be must not stay behind unseen. */
            decide(r, code);
            begin_delete(r, 0);
        } else {
            return code;
        }
    }
    run_start_handles(r, timeout_ns);
    (void)uv_run(&r->loop, UV_RUN_DEFAULT);
    return run_close(r);
}

int cmd_run(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("run", argc, argv, &a);
    if (code >= 0)
        return code;
    FeatureGates gates;
    PlanConfig plan;
    plan_config_default(&plan);
    int64_t timeout_ns = 0, prepare_memory = 0;
    Run r = {0};
    Err *e = cli_gates(&a, &gates);
    if (!e)
        e = cli_duration(&a, "timeout", &timeout_ns);
    if (!e)
        e = until_parse(cli_opt(&a, "until"), &r.until);
    if (!e)
        e = cli_plan_options(&a, &plan, &prepare_memory);
    if (e)
        return cli_fail(e);
    SCOPED(objects_done) Objects objs = {0};
    SCOPED(doc_reports_done) DocReports reports = {0};
    e = cli_read_manifests(a.operands, a.n, &gates, &objs, &reports);
    if (e)
        return cli_fail(e);
    if (cli_print_reports(stderr, &reports) > 0)
        return EXIT_USAGE;
    if (!objs.pods.n)
        return cli_fail(err_new(ERR_INVALID, 0, "%s: no Pod in it", a.operands[0]));
    code = run_init(&r, &a);
    if (code < 0) {
        r.keep = cli_flag(&a, "keep");
        code = run_pods(&r, &a, &objs, &gates, &plan, prepare_memory, timeout_ns);
    }
    run_free(&r);
    return code;
}

int delete_kept(const CliArgs *a)
{
    int64_t grace_ns = -NS_PER_S;
    Err *e = cli_duration(a, "grace-period", &grace_ns);
    if (e)
        return cli_fail(e);
    FeatureGates gates;
    features_default(&gates);
    PlanConfig plan;
    plan_config_default(&plan);
    Run r = {0};
    int code = run_init(&r, a);
    if (code < 0) {
        e = run_open(&r, a, &gates, &plan, 0);
        for (size_t i = 0; !e && i < a->n; i++) {
            const char *slash = strchr(a->operands[i], '/');
            SCOPED(mem_free) char *ns =
                slash ? mem_dup_strn(a->operands[i], (size_t)(slash - a->operands[i])) : mem_dup_str("default");
            const Pod *p;
            e = agent_pod_adopt(r.agent, ns, slash ? slash + 1 : a->operands[i], NULL, &p);
            if (!e)
                track(&r, a, p);
        }
        if (e) {
            code = cli_fail(e);
        } else {
            decide(&r, EXIT_OK);
            begin_delete(&r, grace_ns < 0 ? -1 : grace_ns / NS_PER_S);
            run_start_handles(&r, 0);
            (void)uv_run(&r.loop, UV_RUN_DEFAULT);
            code = run_close(&r);
        }
    }
    run_free(&r);
    return code;
}
