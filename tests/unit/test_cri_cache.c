/* What the CRI runtime knows, whatever order news comes in: every order of one container's messages, random orders of a whole Pod's over
 * a server that holds its answers back, and lists that cross with what is made and removed. */
#include "cri_world.h"

/* --- one container, every order --------------------------------------------------------------------------------------------------- */

typedef enum {
    LIST_CREATED, STATUS_CREATED, EVENT_START, STATUS_RUNNING, LIST_RUNNING, EVENT_EXIT, STATUS_EXITED, GONE, STATUS_UNKNOWN, LIST_EXITED
} News;
#define START_NS 2000
#define END_NS   3000

static void bare_init(CriRuntime *rt)
{
    *rt = (CriRuntime){.root = mem_dup_str(ROOT)};
}

static void bare_done(CriRuntime *rt)
{
    cri_cache_done(rt);
    free(rt->root);
    *rt = (CriRuntime){0};
}

static char text_pod_uid[] = POD_UID, text_root[] = ROOT, text_id[] = "c1", text_sandbox[] = "s1", text_name[] = "c", key_uid[] = LABEL_POD_UID,
            key_root[] = LABEL_ROOT, text_image[] = "i", text_unknown[] = "Unknown";

static void deliver_status(CriRuntime *rt, Cri__ContainerState state, bool known)
{
    Cri__ContainerMetadata m = CRI__CONTAINER_METADATA__INIT;
    Cri__ContainerStatus__LabelsEntry u = CRI__CONTAINER_STATUS__LABELS_ENTRY__INIT, r = CRI__CONTAINER_STATUS__LABELS_ENTRY__INIT,
                                      *labels[] = {&u, &r};
    Cri__ContainerStatus s = CRI__CONTAINER_STATUS__INIT;
    Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
    image.image = text_image;
    u.key = key_uid;
    u.value = text_pod_uid;
    r.key = key_root;
    r.value = text_root;
    m.name = text_name;
    s.id = text_id;
    s.metadata = &m;
    s.image = &image;
    s.state = state;
    s.created_at = 1000;
    s.started_at = state == CRI__CONTAINER_STATE__CONTAINER_CREATED || !known ? 0 : START_NS;
    if (state == CRI__CONTAINER_STATE__CONTAINER_EXITED) {
        s.finished_at = END_NS;
        s.exit_code = known ? 9 : 255;
        if (!known)
            s.reason = text_unknown;
    }
    s.labels = labels;
    s.n_labels = 2;
    cri_saw_container(rt, text_sandbox, &s);
}

static void deliver_list(CriRuntime *rt, Cri__ContainerState state)
{
    Cri__ContainerMetadata m = CRI__CONTAINER_METADATA__INIT;
    Cri__Container__LabelsEntry u = CRI__CONTAINER__LABELS_ENTRY__INIT, r = CRI__CONTAINER__LABELS_ENTRY__INIT, *labels[] = {&u, &r};
    Cri__Container c = CRI__CONTAINER__INIT;
    u.key = key_uid;
    u.value = text_pod_uid;
    r.key = key_root;
    r.value = text_root;
    m.name = text_name;
    c.id = text_id;
    c.pod_sandbox_id = text_sandbox;
    c.metadata = &m;
    c.state = state;
    c.labels = labels;
    c.n_labels = 2;
    rt->listed++;
    (void)cri_listed_container(rt, &c);
}

static void deliver(CriRuntime *rt, News n)
{
    CriContainer *c = cri_container(rt, text_id);
    switch (n) {
    case LIST_CREATED:
        deliver_list(rt, CRI__CONTAINER_STATE__CONTAINER_CREATED);
        break;
    case STATUS_CREATED:
        deliver_status(rt, CRI__CONTAINER_STATE__CONTAINER_CREATED, true);
        break;
    case EVENT_START:
        if (c)
            cri_saw_start(rt, c, START_NS);
        break;
    case STATUS_RUNNING:
        deliver_status(rt, CRI__CONTAINER_STATE__CONTAINER_RUNNING, true);
        break;
    case LIST_RUNNING:
        deliver_list(rt, CRI__CONTAINER_STATE__CONTAINER_RUNNING);
        break;
    case EVENT_EXIT:
        if (c)
            cri_saw_exit(rt, c, 9, END_NS);
        break;
    case STATUS_EXITED:
        deliver_status(rt, CRI__CONTAINER_STATE__CONTAINER_EXITED, true);
        break;
    case LIST_EXITED:
        deliver_list(rt, CRI__CONTAINER_STATE__CONTAINER_EXITED);
        break;
    case GONE:
        cri_container_gone(rt, text_id);
        break;
    case STATUS_UNKNOWN:
        deliver_status(rt, CRI__CONTAINER_STATE__CONTAINER_UNKNOWN, false);
        break;
    }
}

/* Never back: absent, created, running, exited, gone. Unknown says nothing. */
typedef struct { int reached; bool gone; } Watch;

static bool watch(Watch *w, CriRuntime *rt, const char **ret_why)
{
    PodFacts f;
    cri_facts(rt, POD_UID, &f);
    const ContainerFact *c = f.containers.n ? &f.containers.v[0] : NULL;
    int now = !c ? -1 : c->state == RUN_UNKNOWN ? w->reached : (int)c->state;
    *ret_why = f.containers.n > 1                                             ? "two"
               : w->gone && c                                                 ? "came back"
               : now < w->reached && !w->gone                                 ? "went back"
               : c && (!c->name || !c->sandbox_id)                            ? "no name"
               : c && c->state == RUN_EXITED && (!c->exit_known || c->exit_code != 9) ? "code"
               : c && c->state != RUN_CREATED && c->state != RUN_UNKNOWN && c->started_at_ns != START_NS ? "start"
               : c && c->state == RUN_EXITED && c->finished_at_ns != END_NS   ? "end"
                                                                              : NULL;
    w->reached = now > w->reached ? now : w->reached;
    pod_facts_done(&f);
    return !*ret_why;
}

static bool order_holds(const News *order, size_t n, int want)
{
    CriRuntime rt;
    Watch w = {.reached = -1};
    const char *why = NULL;
    bool ok = true;
    bare_init(&rt);
    for (size_t i = 0; i < n && ok; i++) {
        if (order[i] == GONE && cri_container(&rt, text_id))
            w.gone = true;
        deliver(&rt, order[i]);
        ok = watch(&w, &rt, &why);
    }
    if (ok && !w.gone && want >= 0 && w.reached != want) {
        ok = false;
        why = "not learnt";
    }
    if (!ok) {
        printf("# %s:", why);
        for (size_t i = 0; i < n; i++)
            printf(" %d", (int)order[i]);
        printf("\n");
    }
    bare_done(&rt);
    return ok;
}

/* Heap's algorithm; <want>: the state that all news together make known. */
static unsigned all_orders(const News *set, size_t n, int want)
{
    News order[10];
    size_t at[10] = {0};
    unsigned bad = 0, count = 1;
    memcpy(order, set, n * sizeof *set);
    bad += !order_holds(order, n, want);
    for (size_t i = 1; i < n && bad < 5;) {
        if (at[i] >= i) {
            at[i++] = 0;
            continue;
        }
        size_t j = i % 2 ? at[i] : 0;
        News keep = order[j];
        order[j] = order[i];
        order[i] = keep;
        bad += !order_holds(order, n, want);
        count++;
        at[i]++;
        i = 1;
    }
    CHECK(count > 700);
    return bad;
}

static void test_every_order(void)
{
    static const News life[] = {LIST_CREATED, STATUS_CREATED, EVENT_START, STATUS_RUNNING, LIST_RUNNING, EVENT_EXIT, STATUS_EXITED};
    static const News removed[] = {LIST_CREATED, STATUS_CREATED, EVENT_START, STATUS_RUNNING, EVENT_EXIT, STATUS_EXITED, GONE, LIST_EXITED};
    static const News unknown[] = {LIST_CREATED, STATUS_CREATED, EVENT_START, STATUS_RUNNING, STATUS_UNKNOWN, EVENT_EXIT};
    static const News running[] = {LIST_CREATED, STATUS_CREATED, EVENT_START, STATUS_RUNNING, STATUS_UNKNOWN, LIST_RUNNING};
    CHECK_INT(all_orders(life, ARRAY_LEN(life), RUN_EXITED), 0);
    CHECK_INT(all_orders(removed, ARRAY_LEN(removed), RUN_EXITED), 0);
    CHECK_INT(all_orders(unknown, ARRAY_LEN(unknown), -1), 0);
    CHECK_INT(all_orders(running, ARRAY_LEN(running), RUN_RUNNING), 0);
}

/* A start that an event tells before the first status: that one, old as it is, still says what the container is. */
static void test_old_status_names(void)
{
    CriRuntime rt;
    PodFacts f;
    bare_init(&rt);
    deliver(&rt, LIST_CREATED);
    deliver(&rt, EVENT_START);
    deliver(&rt, STATUS_CREATED);
    cri_facts(&rt, POD_UID, &f);
    CHECK_INT(f.containers.n, 1);
    if (f.containers.n) {
        CHECK_STR(f.containers.v[0].name, "c");
        CHECK_INT(f.containers.v[0].state, RUN_RUNNING);
    }
    pod_facts_done(&f);
    bare_done(&rt);
}

/* An end whose code was lost is learnt when somebody knows it after all, and only then. */
static void test_unknown_end(void)
{
    CriRuntime rt;
    bare_init(&rt);
    deliver(&rt, STATUS_RUNNING);
    deliver_status(&rt, CRI__CONTAINER_STATE__CONTAINER_EXITED, false);
    const ContainerFact *f = &cri_container(&rt, text_id)->fact;
    CHECK(f->state == RUN_EXITED && !f->exit_known);
    CHECK_STR(f->reason, "Unknown");
    CHECK_INT(f->started_at_ns, START_NS);
    deliver(&rt, STATUS_EXITED);
    CHECK(f->exit_known && f->exit_code == 9);
    deliver_status(&rt, CRI__CONTAINER_STATE__CONTAINER_EXITED, false);
    CHECK(f->exit_known && f->exit_code == 9);
    Cri__ContainerStatus other = CRI__CONTAINER_STATUS__INIT; /* not ours: no label */
    other.id = text_id;
    cri_saw_container(&rt, NULL, &other);
    CHECK(f->exit_known && f->exit_code == 9);
    bare_done(&rt);
}

/* --- lists ------------------------------------------------------------------------------------------------------------------------------ */

static void test_sweep(void)
{
    CriRuntime rt;
    StrIndex named = {0};
    bare_init(&rt);
    uint64_t asked = ++rt.listed;
    deliver(&rt, STATUS_CREATED); /* made after that list was asked for */
    cri_sweep(&rt, &named, asked);
    CHECK(cri_container(&rt, text_id) != NULL);
    asked = ++rt.listed;
    strindex_add(&named, text_id, &rt);
    cri_sweep(&rt, &named, asked);
    CHECK(cri_container(&rt, text_id) != NULL); /* it was named */
    strindex_done(&named);
    named = (StrIndex){0};
    asked = ++rt.listed;
    cri_sweep(&rt, &named, asked);
    CHECK(!cri_container(&rt, text_id));
    deliver(&rt, LIST_RUNNING); /* an older list, an older answer */
    deliver(&rt, STATUS_RUNNING);
    CHECK(!cri_container(&rt, text_id));
    CHECK_INT(rt.pods.n, 0);
    bare_done(&rt);
}

/* What is not ours is left alone: another root, none, no Pod, no metadata. */
static void test_not_ours(void)
{
    CriRuntime rt;
    bare_init(&rt);
    for (unsigned i = 0; i < 4; i++) {
        Cri__ContainerMetadata m = CRI__CONTAINER_METADATA__INIT;
        Cri__ContainerStatus__LabelsEntry u = CRI__CONTAINER_STATUS__LABELS_ENTRY__INIT, r = CRI__CONTAINER_STATUS__LABELS_ENTRY__INIT,
                                          *labels[] = {&r, &u};
        Cri__ContainerStatus s = CRI__CONTAINER_STATUS__INIT;
        u.key = key_uid;
        u.value = text_pod_uid;
        r.key = key_root;
        r.value = i == 1 ? text_name : text_root;
        s.id = text_id;
        s.metadata = i == 3 ? NULL : &m;
        s.labels = labels;
        s.n_labels = i == 0 ? 0 : i == 2 ? 1 : 2;
        cri_saw_container(&rt, text_sandbox, &s);
        CHECK_INT(rt.pods.n, 0);
    }
    cri_saw_container(&rt, text_sandbox, NULL);
    cri_saw_sandbox(&rt, NULL);
    CHECK_INT(rt.pods.n, 0);
    bare_done(&rt);
}

/* What lists made known on their way, over the wire: gone behind our back, made behind our back, held back. */
static void test_lists_cross(void)
{
    World w;
    Answer a = {0};
    world_up(&w, FAKE_TASK_EVENTS);
    w.f.quiet = true;
    run_sandbox(&w);
    FakeContainer *b = started(&w, "b", 0);
    settle(&w, 20);
    cri_fake_rule(&w.f, CRI_LIST_CONTAINERS, 0, FATE_HOLD, 0, NULL);
    cri_watch_list(cri(&w));
    UNTIL(&w, cri_fake_held(&w.f, CRI_LIST_CONTAINERS));
    (void)started(&w, "c", 0); /* after the list was made */
    CHECK_OK(w.rt->ops->container_remove(w.rt, POD_UID, b->id, on_done, &a));
    UNTIL(&w, a.n); /* the list still names it */
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 running");
    cri_fake_release_all(&w.f);
    settle(&w, 30);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; c/0 running");
    cri_fake_remove(&w.f, cri_fake_named(&w.f, "c"), 0);
    cri_watch_list(cri(&w));
    UNTIL_FACTS(&w, "sandbox/0 ready ip");
    (void)cri_fake_add_container(&w.f, cri_fake_sandbox(&w.f, w.sandbox_id), "x", CRI__CONTAINER_STATE__CONTAINER_RUNNING, ROOT);
    cri_watch_list(cri(&w));
    UNTIL_FACTS(&w, "sandbox/0 ready ip; x/0 running");
    /* A list that fails sweeps nothing. */
    cri_fake_rule(&w.f, CRI_LIST_POD_SANDBOX, 0, FATE_FAIL, GRPC_UNKNOWN, "no");
    cri_fake_rule(&w.f, CRI_LIST_CONTAINERS, 0, FATE_FAIL, GRPC_UNKNOWN, "no");
    cri_watch_list(cri(&w));
    settle(&w, 30);
    CHECK_STR(facts(&w), "sandbox/0 ready ip; x/0 running");
    /* A sandbox that is only listed is no fact, and one that was removed by others is gone. */
    cri_fake_rule(&w.f, CRI_POD_SANDBOX_STATUS, 0, FATE_HOLD, 0, NULL);
    FakeSandbox *s = cri_fake_add_sandbox(&w.f, "u2", ROOT);
    cri_watch_list(cri(&w));
    UNTIL(&w, cri_fake_held(&w.f, CRI_POD_SANDBOX_STATUS));
    PodFacts f;
    w.rt->ops->pod_facts(w.rt, "u2", &f);
    CHECK_INT(f.sandboxes.n, 0);
    pod_facts_done(&f);
    cri_fake_release_all(&w.f);
    UNTIL(&w, cri_sandbox(cri(&w), s->id, NULL)->known);
    world_done(&w);
}

static void test_deleted_events(void)
{
    World w;
    world_up(&w, FAKE_CRI_EVENTS);
    run_sandbox(&w);
    (void)started(&w, "c", 0);
    settle(&w, 20);
    cri_fake_remove(&w.f, cri_fake_named(&w.f, "c"), FAKE_EVENT);
    UNTIL_FACTS(&w, "sandbox/0 ready ip");
    unsigned lists = w.f.calls[CRI_LIST_POD_SANDBOX];
    free(MOVE(w.f.sandboxes.v[0]->id, mem_dup_str("another"))); /* it is not there any more */
    cri_fake_cri_event(&w.f, w.sandbox_id, CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT);
    UNTIL_FACTS(&w, "");
    CHECK(w.f.calls[CRI_LIST_POD_SANDBOX] <= lists + 1);
    world_done(&w);
}

/* --- a whole Pod, random orders ---------------------------------------------------------------------------------------------------------- */

static uint32_t seed;
static uint32_t pick(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

#define SEEN_MAX 64
typedef struct { char id[80]; int reached; bool removed, exit_told, start_told; } Seen;
typedef struct { World w; Seen seen[SEEN_MAX]; size_t n; Answer answers; unsigned asked, bad; uint32_t attempt; } Random;

static Seen *seen_of(Random *r, const char *id)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->seen[i].id, id))
            return &r->seen[i];
    Seen *s = &r->seen[r->n++];
    *s = (Seen){.reached = -1};
    (void)snprintf(s->id, sizeof s->id, "%s", id);
    return s;
}

/* What is shown is never ahead of the truth by more than an event, never goes back, and what was removed stays away. */
static void check_shown(Random *r)
{
    PodFacts f;
    r->w.rt->ops->pod_facts(r->w.rt, POD_UID, &f);
    LIST_EACH(c, &f.containers) {
        Seen *s = seen_of(r, c->id);
        const FakeContainer *k = cri_fake_container(&r->w.f, c->id);
        r->bad += s->removed || (int)c->state < s->reached;
        r->bad += k && (int)c->state > (int)k->state && !(c->state == RUN_EXITED && s->exit_told);
        s->reached = (int)c->state;
    }
    pod_facts_done(&f);
}

static void on_removed(void *arg, Err *e)
{
    Seen *s = arg;
    s->removed = !e;
    err_free(e);
}

static void random_act(Random *r)
{
    World *w = &r->w;
    FakeContainer *c = w->f.containers.n ? w->f.containers.v[pick((uint32_t)w->f.containers.n)] : NULL;
    Seen *s = c ? seen_of(r, c->id) : NULL;
    switch (pick(8)) {
    case 0:
        if (w->f.containers.n < 4 && r->n < SEEN_MAX - 2) {
            create(w, "c", r->attempt++, &r->answers);
            r->asked++;
        }
        break;
    case 1:
        if (c && c->state == CRI__CONTAINER_STATE__CONTAINER_CREATED && cri_container(cri(w), c->id)) {
            CHECK_OK(w->rt->ops->container_start(w->rt, POD_UID, c->id, on_done, &r->answers));
            r->asked++;
        }
        break;
    case 2:
        if (c && c->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING)
            cri_fake_exit(&w->f, c, 3, FAKE_RECORD);
        break;
    case 3: /* an event, before or after the record */
        if (c && c->state >= CRI__CONTAINER_STATE__CONTAINER_RUNNING && !s->exit_told && pick(2)) {
            s->exit_told = true;
            cri_fake_exit(&w->f, c, 3, FAKE_EVENT);
            if (pick(2) && c->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING)
                cri_fake_exit(&w->f, c, 3, FAKE_RECORD);
        }
        break;
    case 4:
        if (c && c->state == CRI__CONTAINER_STATE__CONTAINER_EXITED && pick(2))
            CHECK_OK(w->rt->ops->container_remove(w->rt, POD_UID, c->id, on_removed, s));
        break;
    case 5:
        cri_watch_list(cri(w));
        break;
    case 6:
        if (c)
            cri_ask_container(cri(w), c->id);
        break;
    default:
        if (c && c->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING && !s->start_told) {
            s->start_told = true;
            cri_fake_start(&w->f, c, FAKE_EVENT);
        }
        break;
    }
}

static void random_run(uint32_t number)
{
    Random r = {0};
    World *w = &r.w;
    seed = number * 2654435761u + 1;
    world_up(w, number % 4);
    run_sandbox(w);
    w->f.quiet = w->f.hold_all = true;
    for (unsigned step = 0; step < 150; step++) {
        random_act(&r);
        for (uint32_t i = pick(3); i > 0 && w->f.held.n; i--)
            cri_fake_release_at(&w->f, pick((uint32_t)w->f.held.n));
        for (uint32_t i = pick(4); i > 0; i--)
            (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        check_shown(&r);
    }
    w->f.hold_all = false;
    for (size_t i = 0; i < w->f.containers.n; i++) /* what an event told is true in the end */
        if (seen_of(&r, w->f.containers.v[i]->id)->exit_told)
            cri_fake_exit(&w->f, w->f.containers.v[i], 3, FAKE_RECORD);
    cri_fake_release_all(&w->f);
    UNTIL(w, r.answers.n == r.asked);
    cri_watch_list(cri(w));
    settle(w, 60);
    cri_fake_release_all(&w->f);
    check_shown(&r);
    PodFacts f;
    w->rt->ops->pod_facts(w->rt, POD_UID, &f);
    CHECK_INT(f.containers.n, w->f.containers.n);
    LIST_EACH(c, &f.containers) {
        const FakeContainer *k = cri_fake_container(&w->f, c->id);
        CHECK(k && (int)k->state == (int)c->state);
    }
    pod_facts_done(&f);
    CHECK_INT(r.bad, 0);
    if (r.bad)
        printf("# seed %u\n", number);
    world_done(w);
}

static void test_random_orders(void)
{
    for (uint32_t i = 0; i < 40; i++)
        random_run(i);
}

TESTS(T(test_every_order), T(test_old_status_names), T(test_unknown_end), T(test_sweep), T(test_not_ours), T(test_lists_cross),
      T(test_deleted_events), T(test_random_orders))
