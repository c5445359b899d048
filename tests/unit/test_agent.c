/* test_agent.c - the whole agent over a runtime without containers: every request failing in turn, and the death of the agent
 * after every turn of the loop. What real containers do is tested in tests/integration. */
#include "check.h"

#include <stdio.h>

#include "agent/agent.h"
#include "agent/intents.h"
#include "agent/record.h"
#include "os/fs.h"
#include "runtime/fake/fake.h"

static const char manifest[] =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: w}\nspec:\n  restartPolicy: Never\n"
    "  terminationGracePeriodSeconds: 1\n"
    "  initContainers:\n"
    "  - {name: setup, image: 'i:1'}\n"
    "  - {name: watch, image: 'i:1', restartPolicy: Always, restartPolicyRules: [{action: RestartAllContainers,"
    " exitCodes: {operator: In, values: [88]}}]}\n"
    "  containers:\n  - {name: main, image: 'i:1'}\n  - {name: helper, image: 'i:1'}\n";

typedef struct {
    uv_loop_t loop;
    char dir[32], *root, *logs;
    Runtime *rt;
    Agent *agent;
    FeatureGates gates;
    Objects objs;
    bool done;
    uv_timer_t watchdog;
    bool timed_out;
    PrepareMode prepare;
} World;

static void on_done(void *arg, const Pod *p)
{
    (void)p;
    ((World *)arg)->done = true;
}

static void on_watchdog(uv_timer_t *t)
{
    ((World *)t->data)->timed_out = true;
}

static void agent_up(World *w)
{
    AgentConfig c = {.loop = &w->loop, .rt = w->rt, .root = w->root, .log_dir = w->logs, .node_name = "n",
                     .gates = w->gates, .listener = {.done = on_done, .arg = w}};
    plan_config_default(&c.plan);
    c.plan.retry_ns = 5 * NS_PER_MS; /* a failed request is tried again soon: the test's clock is the real one */
    c.plan.backoff_initial_ns = 2 * NS_PER_MS;
    c.plan.backoff_max_ns = 8 * NS_PER_MS;
    c.plan.prepare = w->prepare;
    c.prepare_memory_bytes = 1 << 20;
    CHECK_OK(agent_open(&c, &w->agent));
}

static void pods_up(World *w)
{
    SCOPED(doc_reports_done) DocReports reports = {0};
    CHECK_OK(objects_parse("t", manifest, sizeof manifest - 1, &w->gates, &w->objs, &reports));
    CHECK(doc_reports_ok(&reports));
    bool adopted;
    const Pod *p;
    CHECK_OK(agent_pod_add(w->agent, MOVE(w->objs.pods.v[0], NULL), &w->objs, &p, &adopted));
}

static void world_up(World *w, PrepareMode prepare)
{
    *w = (World){.dir = "/tmp/reprise-agent-XXXXXX", .prepare = prepare};
    CHECK(mkdtemp(w->dir) != NULL);
    w->root = mem_fmt("%s/root", w->dir);
    w->logs = mem_fmt("%s/logs", w->dir);
    (void)uv_loop_init(&w->loop);
    (void)uv_timer_init(&w->loop, &w->watchdog);
    w->watchdog.data = w;
    (void)uv_timer_start(&w->watchdog, on_watchdog, 10000, 0);
    features_default(&w->gates);
    w->rt = fake_runtime_new(&w->loop);
    fake_completes(w->rt, "setup");
    agent_up(w);
    pods_up(w);
}

static void world_down(World *w)
{
    while (agent_pod_count(w->agent)) {
        SCOPED(mem_free) char *uid = mem_dup_str(agent_pod_at(w->agent, 0)->metadata.uid);
        CHECK_OK(agent_pod_forget(w->agent, uid));
    }
    agent_close(w->agent);
    w->rt->ops->close(w->rt);
    uv_close((uv_handle_t *)&w->watchdog, NULL);
    CHECK_INT(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    objects_done(&w->objs);
    CHECK_OK(fs_remove_tree(w->dir));
    free(w->root);
    free(w->logs);
}

static const Pod *pod(const World *w)
{
    return agent_pod_at(w->agent, 0);
}

static bool all_running(const World *w)
{
    const PodStatus *s = &pod(w)->status;
    if (s->container_statuses.n != 2 || s->init_container_statuses.n != 2)
        return false;
    bool ok = s->init_container_statuses.v[1].state && s->init_container_statuses.v[1].state->running;
    LIST_EACH(c, &s->container_statuses)
        ok = ok && c->state && c->state->running;
    return ok;
}

static bool reach(World *w, bool (*holds)(const World *w))
{
    while (!holds(w) && !w->timed_out)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    return !w->timed_out;
}

static bool all_prepared(const World *w)
{
    PodFacts f;
    w->rt->ops->pod_facts(w->rt, pod(w)->metadata.uid, &f);
    size_t n = f.standbys.n;
    pod_facts_done(&f);
    return n == 4;
}

static bool restarted_once(const World *w)
{
    const PodCondition *c = plan_condition(&pod(w)->status, "AllContainersRestarting");
    return agent_pod_restarts(w->agent, pod(w)->metadata.uid) >= 1 && c && str_eq(c->status, "False") && all_running(w);
}

static bool is_done(const World *w)
{
    return w->done;
}

static bool intent_stored(void *arg)
{
    const World *w = arg;
    SCOPED(pod_record_done) PodRecord r = {0};
    SCOPED(err_free) Err *e = pod_record_load(w->root, pod(w)->metadata.uid, &r);
    const PodCondition *c = e ? NULL : plan_condition(&r.pod->status, "AllContainersRestarting");
    return c && str_eq(c->status, "True");
}

static void check_counts(const World *w, int64_t want)
{
    LIST_EACH(c, &pod(w)->status.container_statuses)
        CHECK_INT(c->restart_count.v, want);
    LIST_EACH(c, &pod(w)->status.init_container_statuses)
        CHECK_INT(c->restart_count.v, want);
}

static void test_restart_in_place(void)
{
    World w;
    world_up(&w, PREPARE_OFF);
    CHECK(reach(&w, all_running));
    SCOPED(mem_free) char *uid = mem_dup_str(pod(&w)->metadata.uid);
    fake_watch_intent(w.rt, intent_stored, &w);
    CHECK(fake_exit(w.rt, uid, "watch", 88));
    CHECK(reach(&w, restarted_once));
    CHECK(!fake_stats(w.rt)->kill_before_stored); /* the intent was stored before the first kill */
    CHECK_INT(fake_stats(w.rt)->max_live, 1);
    CHECK_INT(fake_stats(w.rt)->starts, 8);
    check_counts(&w, 1);
    CHECK_STR(pod(&w)->metadata.uid, uid);
    const ContainerStatus *watch = &pod(&w)->status.init_container_statuses.v[1];
    CHECK(watch->last_state && watch->last_state->terminated);
    CHECK_INT(watch->last_state->terminated->exit_code.v, 88);
    const ContainerStatus *main_ = &pod(&w)->status.container_statuses.v[0];
    CHECK_INT(main_->last_state->terminated->exit_code.v, 137);
    CHECK_STR(main_->last_state->terminated->reason, "RestartingAllContainers");
    fake_watch_intent(w.rt, NULL, NULL);
    agent_delete_all(w.agent, -1);
    CHECK(reach(&w, is_done));
    world_down(&w);
}

/* Whatever request fails, is answered by an error although it was done, or comes late: the Pod is up again, once. */
static void every_request_failing(PrepareMode prepare)
{
    static const FakeFault faults[] = {FAKE_FAIL, FAKE_FAIL_AFTER, FAKE_LATE};
    for (size_t k = 0; k < ARRAY_LEN(faults); k++)
        for (unsigned n = 1;; n++) {
            World w;
            world_up(&w, prepare);
            fake_stats(w.rt)->fault_at = n;
            fake_stats(w.rt)->fault = faults[k];
            CHECK(reach(&w, all_running));
            CHECK(fake_exit(w.rt, pod(&w)->metadata.uid, "watch", 88));
            bool ok = reach(&w, restarted_once);
            CHECK(ok);
            if (!ok)
                printf("# fault %zu at request %u\n", k, n);
            CHECK_INT(fake_stats(w.rt)->max_live, 1);
            unsigned used = fake_stats(w.rt)->requests;
            agent_delete_all(w.agent, 0);
            CHECK(reach(&w, is_done));
            world_down(&w);
            if (n > used || !ok) {
                CHECK(n > 20);
                break;
            }
        }
}

static void test_every_request_failing(void)
{
    every_request_failing(PREPARE_OFF);
}

static void test_every_request_failing_prepared(void)
{
    every_request_failing(PREPARE_GATE);
}

/* A death leaves the disk as it is: what agent_close() would still write is not there. */
static void crash(World *w)
{
    SCOPED(mem_free) char *save = mem_fmt("mkdir -p %s.crash && cd %s && cp -a --parents pods/*/pod*.json %s.crash && cp -a intents %s.crash 2>/dev/null; true",
                                           w->root, w->root, w->root, w->root);
    SCOPED(mem_free) char *back = mem_fmt("cd %s && rm -rf intents pods/*/pod*.json && cp -a %s.crash/. . && rm -rf %s.crash", w->root, w->root,
                                           w->root);
    CHECK_INT(system(save), 0);
    agent_close(w->agent); /* its containers go on; what it had asked for is not answered any more */
    fake_forget_requests(w->rt);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    CHECK_INT(system(back), 0);
}

/* The agent dies after any turn of the loop during a restart; the next one takes the Pod over and finishes it once. */
static void death_at_every_turn(PrepareMode prepare)
{
    for (unsigned turns = 0; turns < 80; turns++) {
        World w;
        world_up(&w, prepare);
        CHECK(reach(&w, all_running));
        if (prepare != PREPARE_OFF)
            CHECK(reach(&w, all_prepared));
        SCOPED(mem_free) char *uid = mem_dup_str(pod(&w)->metadata.uid);
        CHECK(fake_exit(w.rt, uid, "watch", 88));
        for (unsigned i = 0; i < turns && !restarted_once(&w); i++)
            (void)uv_run(&w.loop, UV_RUN_NOWAIT);
        bool was_over = restarted_once(&w);
        crash(&w);
        agent_up(&w);
        const Pod *p;
        CHECK_OK(agent_pod_adopt(w.agent, "default", "w", NULL, &p));
        bool ok = reach(&w, restarted_once);
        CHECK(ok);
        if (!ok)
            printf("# died after turn %u\n", turns);
        CHECK_INT(fake_stats(w.rt)->max_live, 1);
        CHECK_INT(agent_pod_restarts(w.agent, pod(&w)->metadata.uid), 1);
        check_counts(&w, 1);
        CHECK_STR(pod(&w)->metadata.uid, uid);
        agent_delete_all(w.agent, 0);
        CHECK(reach(&w, is_done));
        world_down(&w);
        if (was_over)
            break;
    }
}

static void test_death_at_every_turn(void)
{
    death_at_every_turn(PREPARE_OFF);
}

static void test_death_at_every_turn_prepared(void)
{
    death_at_every_turn(PREPARE_GATE);
}

/* What was prepared is what runs next; then the next is prepared; what is over leaves none. */
static void test_prepared_ahead(void)
{
    World w;
    world_up(&w, PREPARE_GATE);
    CHECK(reach(&w, all_prepared));
    CHECK(fake_exit(w.rt, pod(&w)->metadata.uid, "watch", 88));
    CHECK(reach(&w, restarted_once));
    CHECK_INT(fake_stats(w.rt)->released, 4);
    CHECK_INT(fake_stats(w.rt)->starts, 8);
    CHECK(reach(&w, all_prepared));
    check_counts(&w, 1);
    agent_delete_all(w.agent, 0);
    CHECK(reach(&w, is_done));
    PodFacts f;
    w.rt->ops->pod_facts(w.rt, pod(&w)->metadata.uid, &f);
    CHECK_INT(f.standbys.n, 0);
    pod_facts_done(&f);
    world_down(&w);
}

static void test_intents_text(void)
{
    static const struct {
        const char *text;
        bool pending;
        int64_t restarts;
        const char *message;
    } cases[] = {
        {"", false, 0, NULL},
        {"begin u 0 why\n", true, 0, "why"},
        {"begin u 0 why", false, 0, NULL}, /* torn */
        {"begin u 0 why\nend u 0\n", false, 0, NULL},
        {"begin u 0 a\nend u 0\nbegin u 1 b c\n", true, 1, "b c"},
        {"begin u 0 a\nbegin u 1 b\nend u 0\n", true, 1, "b"},
        {"begin v 4 other\nbegin u2 7 x\n", false, 0, NULL},
        {"begin u x y\nbegin u -1 y\nnonsense\n\n", false, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t restarts = 0;
        char *message = NULL;
        CHECK(intents_read(cases[i].text, "u", &restarts, &message) == cases[i].pending);
        if (cases[i].pending) {
            CHECK_INT(restarts, cases[i].restarts);
            CHECK_STR(message, cases[i].message);
        }
        mem_free(message);
    }
}

static PodRecord record_of(const char *uid)
{
    SCOPED(mem_free) char *text = mem_fmt("{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\",\"uid\":\"%s\"}}", uid);
    PodRecord r = {0};
    CHECK_OK(api_decode_text(&type_Pod, text, strlen(text), (void **)&r.pod));
    return r;
}

static void check_phase(const char *root, const char *phase)
{
    SCOPED(pod_record_done) PodRecord r = {0};
    CHECK_OK(pod_record_load(root, "u", &r));
    CHECK_STR(r.pod->status.phase, phase);
}

/* The latest counts; what is torn, or of another boot, does not. */
static void test_record_slots(void)
{
    char root[] = "/tmp/reprise-record-XXXXXX";
    CHECK(mkdtemp(root) != NULL);
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods/u", root);
    SCOPED(mem_free) char *slot0 = mem_fmt("%s/pod.live.0.json", dir);
    SCOPED(mem_free) char *slot1 = mem_fmt("%s/pod.live.1.json", dir);
    CHECK_OK(fs_mkdirs(dir, 0700));
    SCOPED(pod_record_done) PodRecord r = record_of("u");
    static const char *const phases[] = {"A", "B-which-is-longer", "C", "D"};
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) { /* seq 1 durable, 2 in slot 0, 3 in slot 1, 4 in slot 0 */
        mem_set_str(&r.pod->status.phase, phases[i]);
        CHECK_OK(pod_record_save(root, &r, i == 0));
        check_phase(root, phases[i]);
    }
    SCOPED(str_done) Str whole = {0};
    CHECK_OK(fs_read(slot0, 1 << 20, &whole));
    size_t end = (size_t)(strrchr(whole.p, '}') - whole.p) + 1; /* behind it there are blanks over the longer text of before */
    for (size_t n = 0; n < whole.n; n += 7) { /* torn anywhere: the other one counts */
        SCOPED(str_done) Str torn = {0};
        str_add_n(&torn, whole.p, n);
        CHECK_OK(fs_write_atomic(slot0, torn.p ? torn.p : "", torn.n, 0600, false));
        check_phase(root, n >= end ? "D" : "C");
        if (n > 400)
            n += 50;
    }
    CHECK_OK(fs_write_atomic(slot0, whole.p, whole.n, 0600, false));
    check_phase(root, "D");
    char *boot = strstr(whole.p, os_boot_id());
    CHECK(boot != NULL);
    if (boot)
        boot[0] = boot[0] == '0' ? '1' : '0';
    CHECK_OK(fs_write_atomic(slot0, whole.p, whole.n, 0600, false));
    check_phase(root, "C");
    CHECK_OK(fs_write_atomic(slot1, whole.p, whole.n, 0600, false));
    check_phase(root, "A"); /* after a reboot, what was fsynced */
    mem_set_str(&r.pod->status.phase, "E");
    CHECK_OK(pod_record_save(root, &r, true));
    check_phase(root, "E");
    CHECK_OK(fs_remove_tree(root));
}

static bool record_is_current(const World *w)
{
    SCOPED(pod_record_done) PodRecord r = {0};
    SCOPED(err_free) Err *e = pod_record_load(w->root, pod(w)->metadata.uid, &r);
    SCOPED(mem_free) char *disk = e ? NULL : api_encode_text(&type_PodStatus, &r.pod->status);
    SCOPED(mem_free) char *mine = api_encode_text(&type_PodStatus, &pod(w)->status);
    return str_eq(disk, mine);
}

/* Written a moment after each change, also when the next thing that is due is much later. */
static void test_record_follows(void)
{
    World w;
    world_up(&w, PREPARE_OFF);
    CHECK(reach(&w, all_running));
    int64_t since = os_monotonic_ns();
    CHECK(reach(&w, record_is_current));
    CHECK(os_monotonic_ns() - since < 2 * NS_PER_S);
    CHECK(fake_exit(w.rt, pod(&w)->metadata.uid, "watch", 88));
    CHECK(reach(&w, restarted_once));
    since = os_monotonic_ns();
    CHECK(reach(&w, record_is_current));
    CHECK(os_monotonic_ns() - since < 2 * NS_PER_S);
    agent_delete_all(w.agent, 0);
    CHECK(reach(&w, is_done));
    world_down(&w);
}

/* --- many Pods that come and go ------------------------------------------------------------------------------------------ */

static const char *const objects_manifest =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: read}\ndata: {k: %s}\n---\n"
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {k: x}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  terminationGracePeriodSeconds: 1\n"
    "  containers:\n  - {name: main, image: 'i:1', env: [{name: A, valueFrom: {configMapKeyRef: {name: read, key: k}}}]}\n";

static void parse(const World *w, const char *name, const char *value, Objects *out)
{
    SCOPED(doc_reports_done) DocReports reports = {0};
    SCOPED(str_done) Str text = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    str_fmt(&text, objects_manifest, value, name);
#pragma GCC diagnostic pop
    CHECK_OK(objects_parse("t", text.p, text.n, &w->gates, out, &reports));
    CHECK(doc_reports_ok(&reports));
}

/* The objects go right after: the agent has its copies. NULL: not added. */
static const Pod *add_as(World *w, const char *name, const char *uid, const char *phase)
{
    SCOPED(objects_done) Objects o = {0};
    parse(w, name, "v1", &o);
    Pod *p = MOVE(o.pods.v[0], NULL);
    mem_set_str(&p->metadata.uid, uid);
    mem_set_str(&p->status.phase, phase);
    const Pod *ret = NULL;
    bool adopted;
    SCOPED(err_free) Err *e = agent_pod_add(w->agent, p, &o, &ret, &adopted);
    CHECK(!e || e->kind == ERR_EXISTS);
    return ret;
}

static const Pod *named(const World *w, const char *name)
{
    return agent_pod_find(w->agent, "default", name);
}

static bool runs(const World *w, const char *name)
{
    const Pod *p = named(w, name);
    return p && str_eq(p->status.phase, "Running");
}

static bool abc_run(const World *w)
{
    return runs(w, "a") && runs(w, "b") && runs(w, "c");
}

static bool b_done(const World *w)
{
    return agent_pod_is_done(w->agent, "uid-b");
}

static bool all_done(const World *w)
{
    for (size_t i = 0; i < agent_pod_count(w->agent); i++)
        if (!agent_pod_is_done(w->agent, agent_pod_at(w->agent, i)->metadata.uid))
            return false;
    return true;
}

/* As world_up(), with the Pods a, b and c, which run. */
static void abc_up(World *w)
{
    world_up(w, PREPARE_OFF);
    SCOPED(mem_free) char *first = mem_dup_str(pod(w)->metadata.uid);
    CHECK_OK(agent_pod_delete(w->agent, first, 0));
    CHECK(reach(w, all_done));
    CHECK_OK(agent_pod_forget(w->agent, first));
    CHECK_INT(agent_pod_count(w->agent), 0);
    CHECK(add_as(w, "a", "uid-a", NULL) && add_as(w, "b", "uid-b", NULL) && add_as(w, "c", "uid-c", NULL));
    CHECK(reach(w, abc_run));
}

static void abc_down(World *w)
{
    agent_delete_all(w->agent, 0);
    CHECK(reach(w, all_done));
    world_down(w);
}

static void test_pods_come_and_go(void)
{
    World w;
    abc_up(&w);
    CHECK(add_as(&w, "b", "uid-b2", NULL) == NULL); /* the name is taken */
    CHECK(add_as(&w, "d", "uid-b", NULL) == NULL);  /* the uid is */
    CHECK_OK(agent_pod_delete(w.agent, "uid-b", -1));
    CHECK(reach(&w, b_done));
    CHECK(runs(&w, "a") && runs(&w, "c"));
    CHECK_OK(agent_pod_forget(w.agent, "uid-b"));
    CHECK(agent_pod_get(w.agent, "uid-b") == NULL && named(&w, "b") == NULL);
    CHECK_INT(agent_pod_count(w.agent), 2);
    CHECK_STR(agent_pod_get(w.agent, "uid-c")->metadata.name, "c");
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods/uid-b", w.root);
    CHECK(!fs_exists(dir));
    SCOPED(err_free) Err *e = agent_pod_forget(w.agent, "uid-b"), *e2 = agent_pod_delete(w.agent, "uid-b", 0);
    CHECK(e && e->kind == ERR_NOT_FOUND && e2 && e2->kind == ERR_NOT_FOUND);
    CHECK(agent_pod_facts(w.agent, "uid-b") == NULL);
    CHECK_INT(agent_pod_restarts(w.agent, "uid-b"), 0);
    CHECK(add_as(&w, "b", "uid-b", NULL) != NULL); /* the same again, at once */
    CHECK(reach(&w, abc_run));
    CHECK_INT(fake_stats(w.rt)->max_live, 1);
    abc_down(&w);
}

static void test_adopt_all(void)
{
    World w;
    abc_up(&w);
    CHECK(add_as(&w, "refused", "uid-r", "Failed") != NULL);
    CHECK(reach(&w, abc_run));
    unsigned starts = fake_stats(w.rt)->starts;
    agent_close(w.agent);
    fake_forget_requests(w.rt);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    SCOPED(mem_free) char *torn = mem_fmt("%s/pods/uid-torn", w.root);
    SCOPED(mem_free) char *torn_file = mem_fmt("%s/pod.json", torn);
    SCOPED(mem_free) char *rest = mem_fmt("%s/pods/uid-rest/volumes", w.root);
    CHECK_OK(fs_mkdirs(torn, 0755));
    CHECK_OK(fs_write_atomic(torn_file, "{", 1, 0600, false));
    CHECK_OK(fs_mkdirs(rest, 0755));
    agent_up(&w);
    SCOPED(strvec_done) StrVec problems = {0};
    agent_pod_adopt_all(w.agent, &problems);
    CHECK_INT(agent_pod_count(w.agent), 4);
    CHECK_INT(problems.n, 1); /* the torn one; the rest of one that was being forgotten is gone */
    CHECK(problems.n == 1 && str_starts(problems.v[0], "pod uid-torn: "));
    CHECK(fs_exists(torn_file));
    SCOPED(mem_free) char *rest_dir = mem_fmt("%s/pods/uid-rest", w.root);
    CHECK(!fs_exists(rest_dir));
    agent_pod_adopt_all(w.agent, &problems); /* those that are here already are no matter */
    CHECK_INT(agent_pod_count(w.agent), 4);
    CHECK(reach(&w, abc_run));
    for (int i = 0; i < 20; i++)
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    CHECK_INT(fake_stats(w.rt)->starts, starts);
    CHECK_STR(named(&w, "refused")->status.phase, "Failed");
    CHECK(agent_pod_is_done(w.agent, "uid-r"));
    CHECK_OK(fs_remove_tree(torn));
    abc_down(&w);
}

/* A refused Pod stays as it is, and is done; a delete says done() again. */
static void test_refused(void)
{
    World w;
    abc_up(&w);
    SCOPED(objects_done) Objects o = {0};
    parse(&w, "r", "v", &o);
    Pod *p = MOVE(o.pods.v[0], NULL);
    mem_set_str(&p->status.phase, "Failed");
    mem_set_str(&p->status.reason, "OutOfcpu");
    mem_set_str(&p->status.message, "Pod was rejected: it was");
    const Pod *ret;
    bool adopted;
    unsigned starts = fake_stats(w.rt)->starts;
    CHECK_OK(agent_pod_add(w.agent, p, &o, &ret, &adopted));
    SCOPED(mem_free) char *uid = mem_dup_str(ret->metadata.uid);
    for (int i = 0; i < 50 && !agent_pod_is_done(w.agent, uid); i++)
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    CHECK(agent_pod_is_done(w.agent, uid));
    CHECK_STR(ret->status.phase, "Failed");
    CHECK_STR(ret->status.reason, "OutOfcpu");
    CHECK_STR(ret->status.message, "Pod was rejected: it was");
    CHECK_INT(fake_stats(w.rt)->starts, starts);
    CHECK_OK(agent_pod_delete(w.agent, uid, -1));
    CHECK(!agent_pod_is_done(w.agent, uid));
    abc_down(&w);
}

/* Copies of what the Pod reads, in its record too; others replace them. */
static void test_objects_replaced(void)
{
    World w;
    abc_up(&w);
    SCOPED(objects_done) Objects o = {0};
    parse(&w, "x", "v2", &o);
    CHECK_OK(agent_pod_objects(w.agent, "uid-a", &o));
    for (size_t i = 0; i < 2; i++) {
        SCOPED(pod_record_done) PodRecord r = {0};
        CHECK_OK(pod_record_load(w.root, i ? "uid-b" : "uid-a", &r));
        CHECK(strstr(r.objects, i ? "v1" : "v2") != NULL && strstr(r.objects, "other") == NULL);
    }
    SCOPED(err_free) Err *e = agent_pod_objects(w.agent, "uid-none", &o);
    CHECK(e && e->kind == ERR_NOT_FOUND);
    CHECK(runs(&w, "a"));
    abc_down(&w);
}

TESTS(T(test_pods_come_and_go), T(test_adopt_all), T(test_refused), T(test_objects_replaced), T(test_record_follows), T(test_intents_text), T(test_record_slots), T(test_prepared_ahead), T(test_every_request_failing_prepared), T(test_death_at_every_turn_prepared),
      T(test_restart_in_place), T(test_every_request_failing), T(test_death_at_every_turn))
