/* runtime/cri over a fake server: opening, and what a Pod's life looks like with every kind of event stream and with none.
 * test_cri_faults.c has lost answers and connections, test_cri_cache.c news in any order, test_cri_config.c the messages. */
#include "cri_world.h"

#include <dirent.h>

/* --- opening ------------------------------------------------------------------------------------------------------------------ */

static void test_open_adopts(void)
{
    World w;
    world_init(&w);
    FakeSandbox *ours = cri_fake_add_sandbox(&w.f, POD_UID, ROOT), *other = cri_fake_add_sandbox(&w.f, "u2", "/another/root"),
                *kubelets = cri_fake_add_sandbox(&w.f, "u3", NULL);
    FakeContainer *b = cri_fake_add_container(&w.f, ours, "b", CRI__CONTAINER_STATE__CONTAINER_EXITED, ROOT);
    b->exit_code = 3;
    (void)cri_fake_add_container(&w.f, ours, "a", CRI__CONTAINER_STATE__CONTAINER_RUNNING, ROOT);
    (void)cri_fake_add_container(&w.f, ours, "c", CRI__CONTAINER_STATE__CONTAINER_CREATED, ROOT);
    (void)cri_fake_add_container(&w.f, other, "x", CRI__CONTAINER_STATE__CONTAINER_RUNNING, "/another/root");
    (void)cri_fake_add_container(&w.f, kubelets, "y", CRI__CONTAINER_STATE__CONTAINER_RUNNING, NULL);
    world_open(&w);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 created; a/0 running; b/0 exited 3 Error"); /* newest first */
    SCOPED(mem_free) char *uid = NULL;
    StrList uids;
    w.rt->ops->pod_uids(w.rt, &uids);
    CHECK_INT(uids.n, 1);
    CHECK_STR(uids.n ? uids.v[0] : NULL, POD_UID);
    uid = uids.n ? uids.v[0] : NULL;
    free(uids.v);
    CHECK_STR(w.rt->type, "containerd");
    CHECK_INT(w.f.unlabelled_lists, 0);
    CHECK_STR(w.f.taskfilter, "topic==\"/tasks/start\" topic==\"/tasks/exit\" topic==\"/tasks/oom\" ");
    const Cri__ListContainersRequest *q = (const Cri__ListContainersRequest *)w.f.last[CRI_LIST_CONTAINERS];
    CHECK_STR(q->filter->label_selector[0]->key, LABEL_ROOT);
    CHECK_STR(q->filter->label_selector[0]->value, ROOT);
    world_done(&w);
}

static void open_old_api(World *w)
{
    w->f.old_api = true;
}

static void open_not_ready(World *w)
{
    w->f.not_ready = true;
}

static void open_hangs(World *w)
{
    cri_fake_always(&w->f, CRI_VERSION, FATE_HOLD_FIRST, 0, NULL);
}

static void open_list_hangs(World *w)
{
    cri_fake_always(&w->f, CRI_LIST_CONTAINERS, FATE_HOLD_FIRST, 0, NULL);
}

static void open_status_hangs(World *w)
{
    FakeSandbox *s = cri_fake_add_sandbox(&w->f, POD_UID, ROOT);
    (void)cri_fake_add_container(&w->f, s, "a", CRI__CONTAINER_STATE__CONTAINER_RUNNING, ROOT);
    cri_fake_always(&w->f, CRI_CONTAINER_STATUS, FATE_HOLD_FIRST, 0, NULL);
}

static void open_garbage(World *w)
{
    cri_fake_always(&w->f, CRI_STATUS, FATE_GARBAGE, 0, NULL);
}

static void test_open_fails(void)
{
    static const struct {
        void (*prepare)(World *w); /* NULL: nobody listens */
        ErrKind kind;
        const char *says;
    } t[] = {
        {NULL, ERR_UNSUPPORTED, "connect: no such file or directory"},
        {open_old_api, ERR_UNSUPPORTED, "CRI v1 is not served there: containerd before 1.6, or its CRI plugin is disabled"},
        {open_not_ready, ERR_UNSUPPORTED, "the runtime is not ready: Starting: wait"},
        {open_hangs, ERR_TIMEOUT, "no answer within 300ms"},
        {open_list_hangs, ERR_TIMEOUT, "no answer within 300ms"},
        {open_status_hangs, ERR_TIMEOUT, "no answer within 300ms"},
        {open_garbage, ERR_INVALID, "Status: the answer of"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        World w;
        world_init(&w);
        w.config.open_timeout_ns = 300 * NS_PER_MS;
        if (t[i].prepare) {
            t[i].prepare(&w);
            cri_fake_up(&w.f);
        }
        SCOPED(err_free) Err *e = cri_runtime_open(&w.config, &w.rt);
        SCOPED(mem_free) char *text = e ? err_text(e) : mem_dup_str("opened");
        SCOPED(mem_free) char *begins = mem_fmt("container runtime endpoint %s (see reprise doctor", w.f.endpoint);
        CHECK(str_starts(text, begins));
        CHECK(e && e->kind == t[i].kind);
        if (!strstr(text, t[i].says))
            CHECK_STR(text, t[i].says);
        world_done(&w);
    }
}

static void on_release(uv_timer_t *t)
{
    cri_fake_release_all(t->data);
}

/* containerd before 2.0 has no RuntimeConfig, and tells its cgroup driver in Status: whichever answer comes first. */
static void test_open_cgroup_driver(void)
{
    for (int i = 0; i < 8; i++) {
        World w;
        uv_timer_t t;
        world_init(&w);
        w.f.systemd = i & 1;
        w.f.no_runtime_config = i & 2;
        cri_fake_rule(&w.f, i & 4 ? CRI_RUNTIME_CONFIG : CRI_STATUS, 0, FATE_HOLD, 0, NULL);
        (void)uv_timer_init(&w.loop, &t);
        t.data = &w.f;
        (void)uv_timer_start(&t, on_release, 30, 0);
        cri_fake_up(&w.f);
        CHECK_OK(cri_runtime_open(&w.config, &w.rt));
        CHECK_INT(w.rt && cri(&w)->systemd_cgroups, w.f.systemd);
        uv_close((uv_handle_t *)&t, NULL);
        world_done(&w);
    }
}

/* The connection is lost while it opens, and comes again. */
static void test_open_reconnects(void)
{
    World w;
    world_init(&w);
    FakeSandbox *s = cri_fake_add_sandbox(&w.f, POD_UID, ROOT);
    (void)cri_fake_add_container(&w.f, s, "a", CRI__CONTAINER_STATE__CONTAINER_RUNNING, ROOT);
    cri_fake_rule(&w.f, CRI_CONTAINER_STATUS, 0, FATE_LOSE, 0, NULL);
    world_open(&w);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; a/0 running");
    world_done(&w);
}

/* --- a Pod's life ------------------------------------------------------------------------------------------------------------------ */

static const unsigned streams[] = {0, FAKE_CRI_EVENTS, FAKE_TASK_EVENTS, FAKE_CRI_EVENTS | FAKE_TASK_EVENTS};

static void test_life(void)
{
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        World w;
        Answer a = {0};
        world_up(&w, streams[i]);
        run_sandbox(&w);
        CHECK_STR(facts(&w), "sandbox/0 ready ip");
        FakeContainer *c = created(&w, "c", 0);
        CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 created");
        CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, c->id, on_done, &a));
        UNTIL(&w, a.n);
        CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 running"); /* at once: nothing is listed for it */
        PodFacts f;
        w.rt->ops->pod_facts(w.rt, POD_UID, &f);
        CHECK_INT(f.containers.v[0].started_at_ns, c->started_at);
        CHECK_STR(f.containers.v[0].sandbox_id, w.sandbox_id);
        CHECK_STR(f.containers.v[0].spec_hash, "h");
        pod_facts_done(&f);
        cri_fake_exit(&w.f, c, 7, FAKE_RECORD | FAKE_EVENT);
        UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 7 Error");
        CHECK_OK(w.rt->ops->container_remove(w.rt, POD_UID, c->id, on_done, &a));
        UNTIL(&w, a.n == 2);
        CHECK_STR(facts(&w), "sandbox/0 ready ip");
        (void)started(&w, "c", 1);
        (void)created(&w, "d", 0);
        CHECK_OK(w.rt->ops->sandbox_stop(w.rt, POD_UID, w.sandbox_id, on_done, &a));
        UNTIL(&w, a.n == 3);
        UNTIL_FACTS(&w, "sandbox/0 not ready ip; d/0 created; c/1 exited 137 Error");
        CHECK_OK(w.rt->ops->sandbox_remove(w.rt, POD_UID, w.sandbox_id, on_done, &a));
        UNTIL(&w, a.n == 4);
        CHECK_STR(facts(&w), ""); /* with all that was in it */
        CHECK_STR(a.text, "");
        CHECK_INT(cri(&w)->pods.n, 0);
        CHECK_INT(a.n, 4);
        world_done(&w);
    }
}

/* The first sandbox dies; the next one is not shown before it is done. */
static void test_sandboxes(void)
{
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        World w;
        Answer a = {0};
        world_up(&w, streams[i]);
        run_sandbox(&w);
        (void)started(&w, "c", 0);
        cri_fake_sandbox_dies(&w.f, cri_fake_sandbox(&w.f, w.sandbox_id), FAKE_EVENT);
        settle(&w, 20);
        CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 running");
        cri_fake_sandbox_dies(&w.f, cri_fake_sandbox(&w.f, w.sandbox_id), FAKE_RECORD); /* the records follow */
        if (streams[i] == FAKE_CRI_EVENTS)
            cri_fake_cri_event(&w.f, w.sandbox_id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_STOPPED_EVENT);
        UNTIL_FACTS(&w, "sandbox/0 not ready ip; c/0 running");
        w.sandbox.attempt = 1;
        cri_fake_rule(&w.f, CRI_RUN_POD_SANDBOX, 0, FATE_HOLD, 0, NULL);
        CHECK_OK(w.rt->ops->sandbox_run(w.rt, &w.sandbox, on_id, &a));
        UNTIL(&w, cri_fake_held(&w.f, CRI_RUN_POD_SANDBOX));
        SCOPED(err_free) Err *twice = w.rt->ops->sandbox_run(w.rt, &w.sandbox, on_id, &a);
        CHECK(twice && twice->kind == ERR_EXISTS);
        cri_watch_list(cri(&w));
        settle(&w, 50);
        CHECK_STR(facts(&w), "sandbox/0 not ready ip; c/0 running");
        cri_fake_release_all(&w.f);
        UNTIL(&w, a.n);
        CHECK_STR(facts(&w), "sandbox/1 ready ip; sandbox/0 not ready ip; c/0 running");
        /* One that was stopped is not ready any more, whatever a late word says. */
        FakeSandbox *s = cri_fake_sandbox(&w.f, a.id);
        cri_fake_rule(&w.f, CRI_POD_SANDBOX_STATUS, 0, FATE_HOLD, 0, NULL);
        cri_ask_sandbox(cri(&w), s->id);
        UNTIL(&w, cri_fake_held(&w.f, CRI_POD_SANDBOX_STATUS));
        CHECK_OK(w.rt->ops->sandbox_stop(w.rt, POD_UID, s->id, on_done, &a));
        UNTIL(&w, a.n == 2);
        cri_fake_release_all(&w.f);
        settle(&w, 20);
        CHECK(str_starts(facts(&w), "sandbox/1 not ready ip; "));
        world_done(&w);
    }
}

/* A container that ends at once: its end is told before StartContainer is answered. */
static void test_ends_at_once(void)
{
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        World w;
        Answer a = {0};
        world_up(&w, streams[i]);
        run_sandbox(&w);
        FakeContainer *c = created(&w, "c", 0);
        c->ends_at_once = true;
        cri_fake_rule(&w.f, CRI_START_CONTAINER, 0, FATE_HOLD, 0, NULL);
        CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, c->id, on_done, &a));
        UNTIL(&w, cri_fake_held(&w.f, CRI_START_CONTAINER));
        if (streams[i])
            UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 0 Completed");
        CHECK_INT(a.n, 0);
        cri_fake_release_all(&w.f);
        UNTIL(&w, a.n);
        CHECK_STR(a.text, "");
        CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 exited 0 Completed");
        world_done(&w);
    }
}

/* The log's end is part of the message: the runtime's own word is waited for. */
static void test_fallback_to_logs(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    Answer a = {0};
    ContainerConfig k = container(&w, "c", 0);
    k.termination_message_from_logs = true;
    CHECK_OK(w.rt->ops->container_create(w.rt, POD_UID, w.sandbox_id, &k, on_id, &a));
    UNTIL(&w, a.n);
    CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, a.id, on_done, &a));
    UNTIL(&w, a.n == 2);
    FakeContainer *c = cri_fake_named(&w.f, "c");
    cri_fake_exit(&w.f, c, 1, FAKE_EVENT);
    unsigned before = w.f.calls[CRI_CONTAINER_STATUS];
    UNTIL(&w, w.f.calls[CRI_CONTAINER_STATUS] > before + 5);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 running");
    SCOPED(mem_free) char *dir = mem_fmt("%s/c", w.logs), *log = mem_fmt("%s/0.log", dir);
    static const char line[] = "2026-01-02T15:04:05.123456789Z stderr F it broke\n";
    CHECK_OK(fs_mkdirs(dir, 0755));
    CHECK_OK(fs_write_atomic(log, line, sizeof line - 1, 0640, false));
    /* A status that fails in between is no reason to wait for the next list. */
    cri_fake_rule(&w.f, CRI_CONTAINER_STATUS, 0, FATE_FAIL, GRPC_UNKNOWN, "busy");
    cri_fake_exit(&w.f, c, 1, FAKE_RECORD);
    UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 1 Error \"it broke\n\"");
    world_done(&w);
}

static void test_last_words(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    Answer a = {0};
    ContainerConfig k = container(&w, "c", 0);
    SCOPED(mem_free) char *words = mem_fmt("%s/words", w.f.dir);
    k.termination_message_host_path = words;
    k.termination_message_path = "/dev/termination-log";
    CHECK_OK(fs_write_atomic(words, "bye", 3, 0644, false));
    CHECK_OK(w.rt->ops->container_create(w.rt, POD_UID, w.sandbox_id, &k, on_id, &a));
    UNTIL(&w, a.n);
    CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, a.id, on_done, &a));
    UNTIL(&w, a.n == 2);
    cri_fake_exit(&w.f, cri_fake_named(&w.f, "c"), 0, FAKE_EVENT);
    UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 0 Completed \"bye\"");
    world_done(&w);
}

/* The OOM killer's work is told apart, on whichever side of the end the word comes. */
static void test_oom(void)
{
    for (int late = 0; late < 2; late++) {
        World w;
        world_up(&w, FAKE_TASK_EVENTS);
        run_sandbox(&w);
        FakeContainer *c = started(&w, "c", 0);
        if (!late)
            cri_fake_oom(&w.f, c->id);
        cri_fake_exit(&w.f, c, 137, FAKE_EVENT);
        if (late)
            cri_fake_oom(&w.f, c->id);
        UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 137 OOMKilled");
        world_done(&w);
    }
}

/* containerd's way to say that the code could not be learnt; and it does not undo what an event said. */
static void test_unknown_code(void)
{
    for (int known = 0; known < 2; known++) {
        World w;
        world_up(&w, FAKE_TASK_EVENTS);
        run_sandbox(&w);
        FakeContainer *c = started(&w, "c", 0);
        if (known) {
            cri_fake_exit(&w.f, c, 0, FAKE_EVENT);
            UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 0 Completed");
        }
        cri_fake_exit(&w.f, c, 255, FAKE_RECORD);
        c->reason = "Unknown";
        unsigned before = w.f.calls[CRI_CONTAINER_STATUS];
        cri_ask_container(cri(&w), c->id);
        UNTIL(&w, w.f.calls[CRI_CONTAINER_STATUS] > before);
        settle(&w, 20);
        CHECK_STR(facts(&w), known ? "sandbox/0 ready ip; c/0 exited 0 Completed" : "sandbox/0 ready ip; c/0 exited Unknown");
        world_done(&w);
    }
}

static void test_start_error(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    FakeContainer *c = created(&w, "c", 0);
    Answer a = {0};
    c->start_error = "exec: \"/no\": not found";
    CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, c->id, on_done, &a));
    UNTIL(&w, a.n);
    CHECK_STR(a.text, "rpc error: code = Unknown desc = exec: \"/no\": not found");
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 exited 128 StartError \"exec: \"/no\": not found\"");
    CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, "gone", on_done, &a));
    UNTIL(&w, a.n == 2);
    CHECK_INT(a.kind, ERR_NOT_FOUND);
    world_done(&w);
}

/* --- ahead of time ------------------------------------------------------------------------------------------------------------------ */

static void test_standbys(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    Answer a = {0}, b = {0};
    ContainerConfig k = container(&w, "c", 1);
    CHECK_OK(w.rt->ops->container_prepare(w.rt, POD_UID, w.sandbox_id, &k, PREPARE_GATE, "key1", on_id, &a));
    UNTIL(&w, a.n);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/1 standby key1");
    CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, a.id, on_done, &a));
    UNTIL(&w, a.n == 2);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/1 running");
    /* Another agent finds it. */
    k.attempt = 2;
    CHECK_OK(w.rt->ops->container_prepare(w.rt, POD_UID, w.sandbox_id, &k, PREPARE_CREATE, "key2", on_id, &a));
    UNTIL(&w, a.n == 3);
    w.rt->ops->close(w.rt);
    CHECK_OK(cri_runtime_open(&w.config, &w.rt));
    cri(&w)->have_cgroups = cri(&w)->systemd_cgroups = true;
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/1 running; c/2 standby key2");
    /* What is wanted now has its name: it goes first, also when somebody removes it already. */
    for (unsigned i = 0; i < 2; i++) {
        cri_fake_rule(&w.f, CRI_REMOVE_CONTAINER, 0, FATE_HOLD_FIRST, 0, NULL);
        if (i) {
            CHECK_OK(w.rt->ops->container_prepare(w.rt, POD_UID, w.sandbox_id, &k, PREPARE_CREATE, "key3", on_id, &a));
            UNTIL(&w, cri_fake_held(&w.f, CRI_REMOVE_CONTAINER));
            cri_fake_release_all(&w.f);
            UNTIL(&w, a.n == 5);
            CHECK_STR(facts(&w), "sandbox/0 ready ip; c/1 running; c/2 standby key3");
            cri_fake_rule(&w.f, CRI_REMOVE_CONTAINER, 0, FATE_HOLD_FIRST, 0, NULL);
            CHECK_OK(w.rt->ops->container_remove(w.rt, POD_UID, cri_fake_named(&w.f, "c")->id, on_done, &b));
        }
        create(&w, "c", 2, &a);
        create(&w, "d", 0, &a); /* another name waits for nothing */
        UNTIL(&w, cri_fake_held(&w.f, CRI_REMOVE_CONTAINER));
        UNTIL(&w, cri_fake_named(&w.f, "d"));
        settle(&w, 20);
        CHECK_INT(cri_fake_named(&w.f, "c")->made->config->metadata->attempt, 2);
        CHECK_INT(w.f.calls[CRI_REMOVE_CONTAINER], 1 + 2 * i);
        cri_fake_release_all(&w.f);
        UNTIL(&w, a.n == (i ? 7 : 5));
        CHECK_STR(a.text, "");
        a.n = 4;
        if (i)
            UNTIL(&w, b.n);
        cri_fake_remove(&w.f, cri_fake_named(&w.f, "d"), 0);
        cri_watch_list(cri(&w));
        UNTIL_FACTS(&w, "sandbox/0 ready ip; c/2 created; c/1 running");
    }
    world_done(&w);
}

/* --- other requests ------------------------------------------------------------------------------------------------------------------ */

static void test_exec(void)
{
    static const char *const argv[] = {"sh", "-c", "x", NULL};
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    FakeContainer *c = started(&w, "c", 0);
    Answer a = {0};
    w.f.exec_out = "out";
    w.f.exec_err = "err";
    w.f.exec_code = 4;
    CHECK_OK(w.rt->ops->exec_sync(w.rt, POD_UID, c->id, argv, NS_PER_S + 1, 5, on_exec_done, &a));
    UNTIL(&w, a.n);
    CHECK(!a.failed && !a.exec.timed_out);
    CHECK_INT(a.exec.exit_code, 4);
    CHECK_STR(a.out, "outer"); /* at most as much as was asked for */
    const Cri__ExecSyncRequest *q = (const Cri__ExecSyncRequest *)w.f.last[CRI_EXEC_SYNC];
    CHECK_INT(q->timeout, 2);
    CHECK_INT(q->n_cmd, 3);
    a = (Answer){0};
    cri_fake_rule(&w.f, CRI_EXEC_SYNC, 0, FATE_HOLD_FIRST, 0, NULL);
    CHECK_OK(w.rt->ops->exec_sync(w.rt, POD_UID, c->id, argv, 50 * NS_PER_MS, 5, on_exec_done, &a));
    UNTIL(&w, a.n);
    CHECK(!a.failed && a.exec.timed_out);
    a = (Answer){0};
    cri_fake_rule(&w.f, CRI_EXEC_SYNC, 0, FATE_FAIL, GRPC_DEADLINE_EXCEEDED, "timeout 1s exceeded");
    CHECK_OK(w.rt->ops->exec_sync(w.rt, POD_UID, c->id, argv, NS_PER_S, 5, on_exec_done, &a));
    UNTIL(&w, a.n);
    CHECK(!a.failed && a.exec.timed_out); /* the runtime's own clock */
    a = (Answer){0};
    cri_fake_rule(&w.f, CRI_EXEC_SYNC, 0, FATE_FAIL, GRPC_UNKNOWN, "no such file");
    CHECK_OK(w.rt->ops->exec_sync(w.rt, POD_UID, c->id, argv, NS_PER_S, 5, on_exec_done, &a));
    UNTIL(&w, a.n);
    CHECK(a.failed);
    world_done(&w);
}

static void test_signals(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    Answer a = {0}, all = {0};
    FakeContainer *c[3];
    const char *ids[3];
    static const char *const names[] = {"a", "b", "c"};
    for (unsigned i = 0; i < 3; i++) {
        c[i] = started(&w, names[i], 0);
        ids[i] = c[i]->id;
    }
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, ids[0], 0, on_done, &a));
    UNTIL(&w, a.n); /* not when it is dead */
    UNTIL(&w, c[0]->terms);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 running; b/0 running; a/0 running");
    cri_fake_rule(&w.f, CRI_STOP_CONTAINER, 1, FATE_FAIL, GRPC_UNKNOWN, "one fails");
    cri_fake_rule(&w.f, CRI_STOP_CONTAINER, 0, FATE_HOLD, 0, NULL);
    CHECK_OK(w.rt->ops->containers_kill(w.rt, POD_UID, ids, 3, on_done, &all));
    UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 137 Error; b/0 running; a/0 exited 137 Error");
    CHECK_INT(all.n, 0);
    cri_fake_release_all(&w.f);
    UNTIL(&w, all.n);
    settle(&w, 20);
    CHECK_INT(all.n, 1);
    CHECK_STR(all.text, "rpc error: code = Unknown desc = one fails");
    CHECK_OK(w.rt->ops->containers_kill(w.rt, POD_UID, ids, 0, on_done, &all));
    CHECK_INT(all.n, 1);
    UNTIL(&w, all.n == 2); /* none of them is all of them */
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, ids[1], 9, on_done, &a));
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, "gone", 9, on_done, &a));
    UNTIL(&w, a.n == 3);
    CHECK(!a.failed); /* what is gone has stopped */
    CHECK_OK(w.rt->ops->container_remove(w.rt, POD_UID, "gone", on_done, &a));
    UNTIL(&w, a.n == 4);
    CHECK(!a.failed);
    CHECK_OK(w.rt->ops->sandbox_remove(w.rt, POD_UID, "gone", on_done, &a));
    UNTIL(&w, a.n == 5);
    CHECK(!a.failed);
    /* One that never ran: nothing will end, so its end is not asked for again and again. */
    FakeContainer *d = created(&w, "d", 0);
    unsigned before = w.f.calls[CRI_CONTAINER_STATUS];
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, d->id, 9, on_done, &a));
    UNTIL(&w, a.n == 6);
    settle(&w, 100);
    CHECK(w.f.calls[CRI_CONTAINER_STATUS] <= before + 2);
    world_done(&w);
}

static void ensure(World *w, const char *image, const char *policy, const ImageAuthList *auths, Answer *a)
{
    *a = (Answer){0};
    CHECK_OK(w->rt->ops->image_ensure(w->rt, image, policy, auths, on_id, a));
    UNTIL(w, a->n);
}

static void test_images(void)
{
    static const FakeImage images[] = {{"docker.io/library/here:1", "sha256:h", true, 1000, ""},
                                       {"docker.io/library/far:1", "sha256:f", false, -1, "web"},
                                       {"docker.io/library/root:1", "sha256:r", true, -1, ""},
                                       {"docker.io/library/gone:1", "sha256:g", false, -1, "", true}};
    World w;
    Answer a;
    world_init(&w);
    w.f.images = images;
    w.f.n_images = ARRAY_LEN(images);
    world_open(&w);
    ensure(&w, "here:1", "IfNotPresent", NULL, &a);
    CHECK_STR(a.id, "sha256:h");
    ensure(&w, "here:1", "Never", NULL, &a);
    CHECK_STR(a.id, "sha256:h");
    CHECK_INT(w.f.calls[CRI_PULL_IMAGE], 0);
    ensure(&w, "here:1", "Always", NULL, &a);
    CHECK_STR(a.id, "sha256:h");
    CHECK_INT(w.f.calls[CRI_PULL_IMAGE], 1);
    ensure(&w, "far:1", "Never", NULL, &a);
    CHECK_STR(a.reason, "ErrImageNeverPull");
    CHECK_STR(a.text, "Container image \"far:1\" is not present with pull policy of Never");
    ImageAuth one = {.username = mem_dup_str("one"), .password = mem_dup_str("p")}, two = {.username = mem_dup_str("two")};
    ImageAuthList auths = {0};
    image_auths_add(&auths, &one);
    image_auths_add(&auths, &two);
    cri_fake_rule(&w.f, CRI_PULL_IMAGE, 0, FATE_FAIL, GRPC_UNKNOWN, "one says no");
    cri_fake_rule(&w.f, CRI_PULL_IMAGE, 0, FATE_FAIL, GRPC_UNKNOWN, "two says no");
    ensure(&w, "far:2", "IfNotPresent", &auths, &a);
    CHECK_STR(a.reason, "ErrImagePull");
    CHECK_STR(a.text, "[rpc error: code = Unknown desc = one says no, rpc error: code = Unknown desc = two says no]");
    cri_fake_rule(&w.f, CRI_PULL_IMAGE, 0, FATE_FAIL, GRPC_UNKNOWN, "one says no");
    ensure(&w, "far:1", "IfNotPresent", &auths, &a);
    CHECK_STR(a.id, "sha256:f");
    static const char *const pulls[] = {"docker.io/library/here:1 -", "docker.io/library/far:2 one", "docker.io/library/far:2 two",
                                        "docker.io/library/far:1 one", "docker.io/library/far:1 two"};
    CHECK_INT(w.f.pulls.n, ARRAY_LEN(pulls));
    for (size_t i = 0; i < ARRAY_LEN(pulls) && i < w.f.pulls.n; i++)
        CHECK_STR(w.f.pulls.v[i], pulls[i]);
    ensure(&w, "gone:1", "Always", NULL, &a);
    CHECK_STR(a.reason, "ErrImagePull");
    CHECK_STR(a.text, "image \"gone:1\" is not there after it was pulled");
    cri_fake_rule(&w.f, CRI_IMAGE_STATUS, 0, FATE_FAIL, GRPC_UNKNOWN, "broken");
    ensure(&w, "here:1", "IfNotPresent", NULL, &a);
    CHECK_STR(a.reason, "ImageInspectError");
    SCOPED(err_free) Err *bad = w.rt->ops->image_ensure(w.rt, "UPPER/case::", "Always", NULL, on_id, &a);
    CHECK(bad && str_eq(bad->reason, "InvalidImageName"));
    image_auths_done(&auths);
    image_auth_done(&one);
    image_auth_done(&two);
    int64_t uid;
    char *name;
    CHECK_OK(w.rt->ops->image_user(w.rt, "sha256:h", &uid, &name));
    CHECK_INT(uid, 1000);
    CHECK(!name);
    CHECK_OK(w.rt->ops->image_user(w.rt, "sha256:f", &uid, &name));
    CHECK_INT(uid, -1);
    CHECK_STR(name, "web");
    free(name);
    ensure(&w, "root:1", "Never", NULL, &a);
    CHECK_OK(w.rt->ops->image_user(w.rt, "sha256:r", &uid, &name));
    CHECK_INT(uid, 0); /* nothing said is root */
    SCOPED(err_free) Err *unknown = w.rt->ops->image_user(w.rt, "sha256:x", &uid, &name);
    CHECK(unknown && unknown->kind == ERR_NOT_FOUND);
    CHECK(!w.rt->ops->image_find(w.rt, "here:1"));
    world_done(&w);
}

/* --- logs ------------------------------------------------------------------------------------------------------------------------------ */

static unsigned files_in(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d)
        (void)closedir(d);
    return n;
}

static void grow(const char *log)
{
    FILE *f = fopen(log, "ae");
    CHECK(f != NULL);
    if (!f)
        return;
    fputs("2026-01-02T15:04:05.123456789Z stdout F a line that is longer than the limit\n", f);
    (void)fclose(f);
}

static void test_logs(void)
{
    World w;
    world_init(&w);
    w.config.log_max_bytes = 20;
    w.config.log_max_files = 3;
    w.config.log_look_ns = 10 * NS_PER_MS;
    world_open(&w);
    run_sandbox(&w);
    SCOPED(mem_free) char *dir = mem_fmt("%s/c", w.logs), *log = mem_fmt("%s/0.log", dir);
    CHECK_OK(fs_mkdirs(dir, 0755));
    grow(log);
    FakeContainer *c = created(&w, "c", 0);
    settle(&w, 50);
    CHECK_INT(w.f.calls[CRI_REOPEN_CONTAINER_LOG], 0); /* it does not run */
    Answer a = {0};
    CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, c->id, on_done, &a));
    for (unsigned i = 1; i <= 4; i++) { /* the current one and at most two old ones */
        UNTIL(&w, w.f.calls[CRI_REOPEN_CONTAINER_LOG] == i);
        settle(&w, 20);
        CHECK_INT(files_in(dir), i < 2 ? i + 1 : 3);
        CHECK_INT(w.f.calls[CRI_REOPEN_CONTAINER_LOG], i);
        if (i < 4)
            grow(log);
    }
    cri_fake_rule(&w.f, CRI_REOPEN_CONTAINER_LOG, 0, FATE_FAIL, GRPC_UNKNOWN, "no");
    grow(log);
    UNTIL(&w, w.f.calls[CRI_REOPEN_CONTAINER_LOG] == 5);
    UNTIL(&w, w.f.calls[CRI_REOPEN_CONTAINER_LOG] == 6); /* it is back where it was, and tried again */
    settle(&w, 20);
    CHECK_INT(files_in(dir), 3);
    world_done(&w);
}

static void on_status(void *arg, const char *problem, Err *e)
{
    Answer *a = arg;
    take_error(a, e);
    (void)snprintf(a->id, sizeof a->id, "%s", str_or(problem, ""));
}

/* Is it ready? In the kubelet's words, for the Node's condition. */
static void test_status(void)
{
    World w;
    Answer a = {0};
    world_up(&w, 0);
    CHECK_OK(w.rt->ops->status(w.rt, on_status, &a));
    while (!a.n && !w.timed_out)
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    CHECK(a.n == 1 && !a.failed);
    CHECK_STR(a.id, "");
    w.f.not_ready = true;
    CHECK_OK(w.rt->ops->status(w.rt, on_status, &a));
    while (a.n < 2 && !w.timed_out)
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    CHECK_STR(a.id, "container runtime not ready: RuntimeReady=false reason:Starting message:wait");
    CHECK(!str_empty(w.rt->version));
    w.f.not_ready = false;
    world_done(&w);
}

TESTS(T(test_open_adopts), T(test_open_fails), T(test_open_cgroup_driver), T(test_open_reconnects), T(test_life), T(test_sandboxes),
      T(test_ends_at_once), T(test_fallback_to_logs), T(test_last_words), T(test_oom), T(test_unknown_code), T(test_start_error),
      T(test_standbys), T(test_exec), T(test_signals), T(test_images), T(test_logs), T(test_status))
