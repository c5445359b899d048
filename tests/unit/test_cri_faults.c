/* The CRI runtime over a server whose answers are lost, doubled or wrong, whose connection breaks, and that is closed with everything
 * under way: each request is answered once, and nothing is done two times. */
#include "cri_world.h"

/* Ends a call so that nobody knows whether it was done. */
static const struct { Fate fate; int code; bool done; } in_doubt[] = {
    {FATE_FAIL_AFTER, GRPC_UNAVAILABLE, true}, {FATE_FAIL_AFTER, GRPC_DEADLINE_EXCEEDED, true},
    {FATE_FAIL_AFTER, GRPC_INTERNAL, true},    {FATE_FAIL, GRPC_UNAVAILABLE, false},
    {FATE_FAIL, GRPC_CANCELLED, false},        {FATE_TWICE, 0, true},
    {FATE_GARBAGE, 0, true},                   {FATE_LOSE, 0, true},
    {FATE_LOSE_FIRST, 0, false},
};

/* A connection that was lost is made again at once, not after a second. */
#define UNTIL_RECONNECTED(w, cond)                                                                                     \
    do {                                                                                                               \
        (w)->timed_out = false;                                                                                        \
        (void)uv_timer_start(&(w)->watchdog, on_watchdog, 5000, 0);                                                    \
        while (!(cond) && !(w)->timed_out) {                                                                           \
            (void)uv_run(&(w)->loop, UV_RUN_ONCE);                                                                     \
            if (!grpc_client_connected(cri(w)->client))                                                                \
                grpc_client_connect_now(cri(w)->client);                                                               \
        }                                                                                                              \
        CHECK(cond);                                                                                                   \
        (void)uv_timer_stop(&(w)->watchdog);                                                                           \
    } while (0)

static void test_sandbox_answer_lost(void)
{
    for (size_t i = 0; i < ARRAY_LEN(in_doubt); i++) {
        World w;
        Answer a = {0};
        world_up(&w, FAKE_TASK_EVENTS);
        cri_fake_rule(&w.f, CRI_RUN_POD_SANDBOX, 0, in_doubt[i].fate, in_doubt[i].code, "lost");
        CHECK_OK(w.rt->ops->sandbox_run(w.rt, &w.sandbox, on_id, &a));
        UNTIL_RECONNECTED(&w, a.n);
        CHECK_STR(a.text, "");
        CHECK_INT(w.f.sandboxes.n, 1);
        CHECK_STR(a.id, w.f.sandboxes.v[0]->id);
        CHECK_STR(facts(&w), "sandbox/0 ready ip");
        CHECK_INT(w.f.calls[CRI_RUN_POD_SANDBOX], in_doubt[i].done ? 1 : 2);
        world_done(&w);
    }
}

static void test_create_answer_lost(void)
{
    for (size_t i = 0; i < ARRAY_LEN(in_doubt); i++) {
        World w;
        Answer a = {0};
        world_up(&w, FAKE_TASK_EVENTS);
        run_sandbox(&w);
        cri_fake_rule(&w.f, CRI_CREATE_CONTAINER, 0, in_doubt[i].fate, in_doubt[i].code, "lost");
        create(&w, "c", 0, &a);
        UNTIL_RECONNECTED(&w, a.n);
        CHECK_STR(a.text, "");
        CHECK_INT(w.f.containers.n, 1);
        CHECK_STR(a.id, w.f.containers.v[0]->id);
        CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 created");
        CHECK_INT(w.f.calls[CRI_CREATE_CONTAINER], in_doubt[i].done ? 1 : 2);
        world_done(&w);
    }
}

/* It fails again and again: there is an end to it, with the reason. A clear "no" is not asked again. */
static void test_create_fails(void)
{
    World w;
    Answer a = {0};
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    for (int i = 0; i < 3; i++)
        cri_fake_rule(&w.f, CRI_CREATE_CONTAINER, 0, FATE_FAIL, GRPC_UNAVAILABLE, "not now");
    create(&w, "c", 0, &a);
    UNTIL(&w, a.n);
    CHECK_STR(a.text, "rpc error: code = Unavailable desc = not now");
    CHECK_STR(a.reason, "CreateContainerError");
    CHECK_INT(w.f.calls[CRI_CREATE_CONTAINER], 3);
    cri_fake_rule(&w.f, CRI_CREATE_CONTAINER, 0, FATE_FAIL, GRPC_UNKNOWN, "no");
    create(&w, "c", 0, &a);
    UNTIL(&w, a.n == 2);
    CHECK_INT(w.f.calls[CRI_CREATE_CONTAINER], 4);
    for (int i = 0; i < 3; i++)
        cri_fake_rule(&w.f, CRI_RUN_POD_SANDBOX, 0, FATE_FAIL, GRPC_UNAVAILABLE, "not now");
    w.sandbox.uid = "u2";
    CHECK_OK(w.rt->ops->sandbox_run(w.rt, &w.sandbox, on_id, &a));
    UNTIL(&w, a.n == 3);
    CHECK_STR(a.reason, "FailedCreatePodSandBox");
    CHECK_INT(cri(&w)->pods.n, 1); /* nothing is held for it */
    world_done(&w);
}

/* Made, but nobody could find out: the next try takes the name from what was made. */
static void test_create_unfound(void)
{
    World w;
    Answer a = {0};
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    (void)started(&w, "x", 0);
    settle(&w, 200); /* the stream is trusted by now: lists are rare */
    cri_fake_rule(&w.f, CRI_CREATE_CONTAINER, 0, FATE_FAIL_AFTER, GRPC_UNAVAILABLE, "lost");
    cri_fake_rule(&w.f, CRI_LIST_CONTAINERS, 0, FATE_FAIL, GRPC_UNKNOWN, "no list");
    create(&w, "c", 0, &a);
    UNTIL(&w, a.n);
    CHECK(a.failed);
    CHECK_INT(w.f.containers.n, 2);
    UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 created; x/0 running"); /* soon, not with the list after half a minute */
    create(&w, "c", 0, &a);
    UNTIL(&w, a.n == 2);
    CHECK(!a.failed);
    CHECK_INT(w.f.containers.n, 2);
    CHECK_STR(cri_fake_named(&w.f, "c")->id, a.id);
    world_done(&w);
}

static void test_start_answer_lost(void)
{
    for (size_t i = 0; i < ARRAY_LEN(in_doubt); i++) {
        World w;
        Answer a = {0};
        world_up(&w, FAKE_TASK_EVENTS);
        run_sandbox(&w);
        FakeContainer *c = created(&w, "c", 0);
        cri_fake_rule(&w.f, CRI_START_CONTAINER, 0, in_doubt[i].fate, in_doubt[i].code, "lost");
        CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, c->id, on_done, &a));
        UNTIL_RECONNECTED(&w, a.n);
        CHECK_INT(a.failed, !in_doubt[i].done); /* the agent tries again */
        CHECK_INT(c->starts, in_doubt[i].done);
        CHECK_STR(facts(&w), in_doubt[i].done ? "sandbox/0 ready ip; c/0 running" : "sandbox/0 ready ip; c/0 created");
        world_done(&w);
    }
}

/* SIGKILL may be sent two times, the stop signal may not. */
static void test_stop_over_a_lost_connection(void)
{
    World w;
    Answer a = {0};
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    FakeContainer *c = started(&w, "c", 0);
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, c->id, 0, on_done, &a));
    UNTIL(&w, c->terms && a.n);
    reconnect(&w);
    settle(&w, 50);
    CHECK_INT(c->terms, 1);
    cri_fake_rule(&w.f, CRI_STOP_CONTAINER, 0, FATE_LOSE_FIRST, 0, NULL);
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, c->id, 9, on_done, &a));
    UNTIL_RECONNECTED(&w, a.n == 2);
    CHECK(!a.failed);
    CHECK_INT(c->kills, 1);
    UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 137 Error");
    /* Removal, too: done, and its answer lost. */
    cri_fake_rule(&w.f, CRI_REMOVE_CONTAINER, 0, FATE_LOSE, 0, NULL);
    CHECK_OK(w.rt->ops->container_remove(w.rt, POD_UID, c->id, on_done, &a));
    UNTIL_RECONNECTED(&w, a.n == 3);
    CHECK(!a.failed);
    CHECK_STR(facts(&w), "sandbox/0 ready ip");
    cri_fake_rule(&w.f, CRI_STOP_POD_SANDBOX, 0, FATE_LOSE, 0, NULL);
    cri_fake_rule(&w.f, CRI_REMOVE_POD_SANDBOX, 0, FATE_LOSE, 0, NULL);
    CHECK_OK(w.rt->ops->sandbox_remove(w.rt, POD_UID, w.sandbox_id, on_done, &a));
    UNTIL_RECONNECTED(&w, a.n == 4);
    CHECK(!a.failed);
    CHECK_STR(facts(&w), "");
    world_done(&w);
}

/* A server that always says "not now" is believed in the end. */
static void test_always_unavailable(void)
{
    World w;
    Answer a = {0};
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    FakeContainer *c = started(&w, "c", 0);
    cri_fake_always(&w.f, CRI_STOP_CONTAINER, FATE_FAIL, GRPC_UNAVAILABLE, "not now");
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, c->id, 9, on_done, &a));
    UNTIL(&w, a.n);
    CHECK_STR(a.text, "rpc error: code = Unavailable desc = not now");
    world_done(&w);
}

/* What happened while there was no connection is learnt when it is back: ends, starts, removals. */
static void test_lost_while_away(void)
{
    static const unsigned streams[] = {0, FAKE_CRI_EVENTS, FAKE_TASK_EVENTS};
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        World w;
        world_up(&w, streams[i]);
        run_sandbox(&w);
        FakeContainer *a = started(&w, "a", 0), *b = started(&w, "b", 0);
        settle(&w, 200); /* the streams are trusted by now */
        cri_fake_down(&w.f);
        UNTIL(&w, !grpc_client_connected(cri(&w)->client));
        CHECK_STR(facts(&w), "sandbox/0 ready ip; b/0 running; a/0 running"); /* no news is no news */
        cri_fake_exit(&w.f, a, 5, FAKE_RECORD);
        cri_fake_remove(&w.f, b, 0);
        cri_fake_up(&w.f);
        grpc_client_connect_now(cri(&w)->client);
        UNTIL_FACTS(&w, "sandbox/0 ready ip; a/0 exited 5 Error");
        FakeContainer *c = started(&w, "c", 0); /* and the streams are back */
        if (streams[i])
            UNTIL(&w, w.f.cri_streams.n + w.f.task_streams.n == 1);
        cri_fake_exit(&w.f, c, 6, FAKE_RECORD | FAKE_EVENT);
        UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 6 Error; a/0 exited 5 Error");
        world_done(&w);
    }
}

/* A stream that ends by itself, or was never there, is made up for by lists. */
static void test_stream_ends(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    FakeContainer *c = started(&w, "c", 0);
    settle(&w, 20);
    cri_fake_exit(&w.f, c, 5, FAKE_RECORD);
    grpc_served_finish(w.f.task_streams.v[0], GRPC_UNKNOWN, "shut");
    w.f.task_streams.n = 0;
    UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 5 Error");
    UNTIL(&w, w.f.task_streams.n == 1); /* asked for again */
    world_done(&w);
}

/* Events that are no events harm nobody. */
static void test_wrong_events(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS | FAKE_CRI_EVENTS);
    run_sandbox(&w);
    FakeContainer *c = started(&w, "c", 0);
    UNTIL(&w, w.f.cri_streams.n && w.f.task_streams.n);
    grpc_served_send(w.f.cri_streams.v[0], "\377\377", 2);
    grpc_served_send(w.f.task_streams.v[0], "\377\377", 2);
    grpc_served_send(w.f.task_streams.v[0], "", 0);
    cri_fake_oom(&w.f, "nobody");
    cri_fake_cri_event(&w.f, "nobody", CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT);
    settle(&w, 20);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 running");
    cri_fake_exit(&w.f, c, 1, FAKE_RECORD | FAKE_EVENT);
    UNTIL_FACTS(&w, "sandbox/0 ready ip; c/0 exited 1 Error");
    world_done(&w);
}

/* Another socket for images; and it may be away. */
static void test_image_endpoint(void)
{
    static const FakeImage images[] = {{"docker.io/library/i:1", "sha256:1", true, 0, ""}};
    World w;
    CriFake other;
    Answer a = {0};
    world_init(&w);
    cri_fake_init(&other, &w.loop);
    other.images = images;
    other.n_images = 1;
    w.config.image_endpoint = other.endpoint;
    world_open(&w);
    CHECK_OK(w.rt->ops->image_ensure(w.rt, "i:1", "Always", NULL, on_id, &a));
    UNTIL(&w, a.n);
    CHECK_STR(a.reason, "ErrImagePull");
    CHECK_OK(w.rt->ops->image_ensure(w.rt, "i:1", "IfNotPresent", NULL, on_id, &a)); /* waits */
    cri_fake_up(&other);
    grpc_client_connect_now(cri(&w)->images);
    UNTIL(&w, a.n == 2);
    CHECK_STR(a.id, "sha256:1");
    CHECK_INT(w.f.calls[CRI_IMAGE_STATUS], 0);
    CHECK_OK(w.rt->ops->image_ensure(w.rt, "i:1", "Always", NULL, on_id, &a));
    w.rt->ops->close(MOVE(w.rt, NULL));
    CHECK_INT(a.n, 3);
    cri_fake_done(&other);
    world_done(&w);
}

/* --- closing ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct { Answer a[16]; size_t n; } Asked;

static Answer *next(Asked *k)
{
    return &k->a[k->n++];
}

/* One of each kind, none of which will be answered. */
static void ask_everything(World *w, Asked *k, FakeContainer *running, FakeContainer *idle)
{
    static const char *const argv[] = {"x", NULL};
    const char *ids[] = {running->id, running->id};
    Runtime *rt = w->rt;
    static SandboxConfig other;
    other = w->sandbox;
    other.uid = "u2";
    ImageAuth none = {0};
    ImageAuthList auths = {0};
    image_auths_add(&auths, &none);
    image_auths_add(&auths, &none);
    ContainerConfig c = container(w, "new", 0);
    CHECK_OK(rt->ops->sandbox_run(rt, &other, on_id, next(k)));
    CHECK_OK(rt->ops->container_create(rt, POD_UID, w->sandbox_id, &c, on_id, next(k)));
    c.name = "standby";
    CHECK_OK(rt->ops->container_prepare(rt, POD_UID, w->sandbox_id, &c, PREPARE_GATE, "k", on_id, next(k)));
    CHECK_OK(rt->ops->container_start(rt, POD_UID, idle->id, on_done, next(k)));
    CHECK_OK(rt->ops->container_signal(rt, POD_UID, running->id, 9, on_done, next(k)));
    CHECK_OK(rt->ops->container_signal(rt, POD_UID, running->id, 0, on_done, next(k)));
    CHECK_OK(rt->ops->containers_kill(rt, POD_UID, ids, 2, on_done, next(k)));
    CHECK_OK(rt->ops->containers_kill(rt, POD_UID, ids, 0, on_done, next(k)));
    CHECK_OK(rt->ops->exec_sync(rt, POD_UID, running->id, argv, 0, 10, on_exec_done, next(k)));
    CHECK_OK(rt->ops->image_ensure(rt, "i:1", "IfNotPresent", NULL, on_id, next(k)));
    CHECK_OK(rt->ops->image_ensure(rt, "i:1", "Always", &auths, on_id, next(k)));
    CHECK_OK(rt->ops->container_remove(rt, POD_UID, idle->id, on_done, next(k)));
    c.name = "idle"; /* waits for that removal */
    CHECK_OK(rt->ops->container_create(rt, POD_UID, w->sandbox_id, &c, on_id, next(k)));
    CHECK_OK(rt->ops->sandbox_stop(rt, POD_UID, w->sandbox_id, on_done, next(k)));
    CHECK_OK(rt->ops->sandbox_remove(rt, POD_UID, w->sandbox_id, on_done, next(k)));
    image_auths_done(&auths);
}

/* Closed with all of that under way: before anything was sent, while the server thinks, while the connection is away, or somewhere
 * in the second steps. */
static void test_close_answers_all(void)
{
    for (unsigned how = 0; how < 24; how++) {
        World w;
        Asked k = {0};
        world_up(&w, how % 4);
        run_sandbox(&w);
        FakeContainer *running = started(&w, "running", 0), *idle = created(&w, "idle", 0);
        cri_ask_container(cri(&w), running->id);
        cri_ask_sandbox(cri(&w), w.sandbox_id);
        w.f.hold_all = true;
        if (how % 3 == 1)
            cri_fake_down(&w.f);
        ask_everything(&w, &k, running, idle);
        for (unsigned i = 0; i < how; i++) {
            if (how % 3 == 2 && w.f.held.n)
                cri_fake_release_at(&w.f, w.f.held.n / 2);
            (void)uv_run(&w.loop, UV_RUN_NOWAIT);
        }
        unsigned early = 0, unavailable = 0, once = 0;
        for (size_t i = 0; i < k.n; i++)
            early += k.a[i].n;
        w.rt->ops->close(MOVE(w.rt, NULL));
        for (size_t i = 0; i < k.n; i++) {
            once += k.a[i].n == 1;
            unavailable += k.a[i].failed && k.a[i].kind == ERR_UNAVAILABLE;
        }
        CHECK_INT(once, k.n);
        CHECK(early < k.n && unavailable + early + 2 >= k.n); /* what is sent from the loop alone succeeds */
        settle(&w, 10);
        for (size_t i = 0; i < k.n; i++)
            CHECK_INT(k.a[i].n, 1);
        w.f.reserved = 0;
        world_done(&w);
    }
}

typedef struct { World *w; const char *id; unsigned answers, refused; } Stubborn;

static void on_never_enough(void *arg, Err *e)
{
    Stubborn *s = arg;
    s->answers++;
    err_free(e);
    Err *again[] = {s->w->rt->ops->container_signal(s->w->rt, POD_UID, s->id, 0, on_never_enough, s),
                    s->w->rt->ops->container_remove(s->w->rt, POD_UID, s->id, on_never_enough, s)};
    for (size_t i = 0; i < ARRAY_LEN(again); i++) {
        s->refused += again[i] != NULL;
        err_free(again[i]);
    }
}

/* Who asks again from within the last answer is refused: nobody would be left to answer. */
static void test_close_refuses(void)
{
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    run_sandbox(&w);
    FakeContainer *c = started(&w, "c", 0);
    Stubborn s = {.w = &w, .id = c->id};
    cri_fake_always(&w.f, CRI_REMOVE_CONTAINER, FATE_HOLD_FIRST, 0, NULL);
    CHECK_OK(w.rt->ops->container_remove(w.rt, POD_UID, c->id, on_never_enough, &s));
    settle(&w, 10);
    w.rt->ops->close(w.rt);
    w.rt = NULL;
    CHECK_INT(s.answers, 1);
    CHECK_INT(s.refused, 2);
    world_done(&w);
}

/* Closed while an end is waited for: between two questions. */
static void test_close_while_asking(void)
{
    for (unsigned turns = 0; turns < 12; turns++) {
        World w;
        world_up(&w, FAKE_TASK_EVENTS);
        run_sandbox(&w);
        FakeContainer *c = started(&w, "c", 0);
        cri_ask_container(cri(&w), c->id); /* it runs on: asked again after 3 ms */
        unsigned before = w.f.calls[CRI_CONTAINER_STATUS];
        UNTIL(&w, w.f.calls[CRI_CONTAINER_STATUS] > before + 1);
        for (unsigned i = 0; i < turns; i++)
            (void)uv_run(&w.loop, UV_RUN_NOWAIT);
        w.rt->ops->close(MOVE(w.rt, NULL));
        settle(&w, 10);
        world_done(&w);
    }
}

/* Every answer in turn fails, is late, is lost or doubled, while a Pod is made, runs and goes: it gets there all the same. */
static void life_with_fault(unsigned nth, Fate fate, unsigned *ret_calls)
{
    static const CriMethod methods[] = {CRI_RUN_POD_SANDBOX, CRI_POD_SANDBOX_STATUS, CRI_CREATE_CONTAINER, CRI_CONTAINER_STATUS,
                                        CRI_START_CONTAINER, CRI_STOP_CONTAINER, CRI_REMOVE_CONTAINER, CRI_STOP_POD_SANDBOX,
                                        CRI_REMOVE_POD_SANDBOX, CRI_LIST_CONTAINERS, CRI_LIST_POD_SANDBOX};
    World w;
    world_up(&w, FAKE_TASK_EVENTS);
    settle(&w, 8);
    cri_fake_rule(&w.f, methods[nth % ARRAY_LEN(methods)], nth / ARRAY_LEN(methods), fate, GRPC_UNAVAILABLE, "fault");
    *ret_calls = ARRAY_LEN(methods);
    Answer a = {0};
    for (int try = 0; try < 4 && !w.sandbox_id[0]; try++) { /* the agent's part: what failed is tried again */
        a = (Answer){0};
        CHECK_OK(w.rt->ops->sandbox_run(w.rt, &w.sandbox, on_id, &a));
        UNTIL_RECONNECTED(&w, a.n);
        if (a.failed) /* it may be there all the same: then it becomes a fact */
            settle(&w, 30);
        if (!a.failed || w.f.sandboxes.n)
            memcpy(w.sandbox_id, w.f.sandboxes.v[0]->id, 65);
    }
    CHECK(w.sandbox_id[0]);
    SCOPED(mem_free) char *id = NULL;
    for (int try = 0; try < 4 && !id; try++) {
        a = (Answer){0};
        create(&w, "c", 0, &a);
        UNTIL_RECONNECTED(&w, a.n);
        id = a.failed ? NULL : mem_dup_str(a.id);
        if (a.failed)
            settle(&w, 30);
    }
    CHECK(id != NULL);
    FakeContainer *c = cri_fake_container(&w.f, str_or(id, ""));
    for (int try = 0; c && try < 4 && !c->starts; try++) {
        a = (Answer){0};
        CHECK_OK(w.rt->ops->container_start(w.rt, POD_UID, id, on_done, &a));
        UNTIL_RECONNECTED(&w, a.n);
    }
    CHECK(c && c->starts == 1);
    typedef Err *Request(Runtime *rt, const char *uid, const char *id, RuntimeDone *done, void *arg);
    a = (Answer){0};
    CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, id, 9, on_done, &a));
    UNTIL_RECONNECTED(&w, a.n);
    if (a.failed)
        CHECK_OK(w.rt->ops->container_signal(w.rt, POD_UID, id, 9, on_done, &a));
    UNTIL_RECONNECTED(&w, a.n >= 1 && !a.failed && cri_container(cri(&w), id)->fact.state == RUN_EXITED);
    Request *const end[] = {w.rt->ops->container_remove, w.rt->ops->sandbox_stop, w.rt->ops->sandbox_remove};
    for (size_t i = 0; i < ARRAY_LEN(end); i++) {
        a = (Answer){.failed = true};
        for (unsigned try = 1; try < 4 && a.failed; try++) {
            CHECK_OK(end[i](w.rt, POD_UID, i ? w.sandbox_id : id, on_done, &a));
            UNTIL_RECONNECTED(&w, a.n == try);
        }
        CHECK(!a.failed);
    }
    UNTIL_FACTS(&w, "");
    CHECK_INT(w.f.containers.n + w.f.sandboxes.n, 0);
    world_done(&w);
}

static void test_every_call_failing(void)
{
    static const Fate fates[] = {FATE_FAIL, FATE_FAIL_AFTER, FATE_TWICE, FATE_GARBAGE, FATE_LOSE, FATE_LOSE_FIRST};
    for (size_t f = 0; f < ARRAY_LEN(fates); f++) {
        unsigned n = 1;
        for (unsigned nth = 0; nth < 2 * n; nth++) {
            unsigned before = check_failures;
            life_with_fault(nth, fates[f], &n);
            if (check_failures > before)
                printf("# fate %zu of call %u\n", f, nth);
        }
    }
}

TESTS(T(test_sandbox_answer_lost), T(test_create_answer_lost), T(test_create_fails), T(test_create_unfound), T(test_start_answer_lost),
      T(test_stop_over_a_lost_connection), T(test_always_unavailable), T(test_lost_while_away), T(test_stream_ends), T(test_wrong_events),
      T(test_image_endpoint), T(test_close_answers_all), T(test_close_refuses), T(test_close_while_asking), T(test_every_call_failing))
