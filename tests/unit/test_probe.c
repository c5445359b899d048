/* test_probe.c - the probe worker on a clock of its own: delays, periods, thresholds, holds, new instances, endings. */
#include "check.h"
#include "plan/probe.h"

#define S NS_PER_S

typedef struct {
    ProbeWorker w;
    Probe spec;
    ContainerFact f;
    bool started, deleted;
    int64_t next;
} Bench;

static void bench_init(Bench *b, ProbeKind kind)
{
    *b = (Bench){.started = kind != PROBE_STARTUP};
    probe_worker_init(&b->w, kind);
    b->f = (ContainerFact){.id = mem_dup_str("a"), .state = RUN_RUNNING, .started_at_ns = 100 * S};
}

static void bench_done(Bench *b)
{
    probe_worker_done(&b->w);
    free(b->f.id);
}

static ProbeStep at(Bench *b, int64_t t)
{
    return probe_worker_step(&b->w, &b->spec, &b->f, b->started, b->deleted, t, &b->next);
}

static bool outcome(Bench *b, bool ok)
{
    return probe_worker_outcome(&b->w, &b->spec, ok, "no", 0);
}

static void test_delay_and_period(void)
{
    Bench b;
    bench_init(&b, PROBE_READINESS);
    b.spec.initial_delay_seconds = (OptInt){true, 5};
    b.spec.period_seconds = (OptInt){true, 3};
    CHECK_INT(at(&b, 102 * S), PROBE_IDLE);
    CHECK_INT(b.next, 105 * S); /* counted from the container's start */
    CHECK_INT(at(&b, 105 * S), PROBE_RUN);
    CHECK_INT(at(&b, 106 * S), PROBE_IDLE); /* in flight */
    CHECK_INT(b.next, NS_NONE);
    (void)outcome(&b, true);
    CHECK_INT(at(&b, 107 * S), PROBE_IDLE);
    CHECK_INT(b.next, 108 * S); /* from the attempt before, not from its outcome */
    CHECK_INT(at(&b, 108 * S), PROBE_RUN);
    bench_done(&b);
}

static void test_defaults(void)
{
    Bench b;
    bench_init(&b, PROBE_LIVENESS);
    CHECK_INT(at(&b, 100 * S), PROBE_RUN);
    CHECK(!outcome(&b, false));
    CHECK_INT(at(&b, 110 * S), PROBE_RUN);
    CHECK(!outcome(&b, false));
    CHECK_INT(b.w.result, PROBE_SUCCESS);
    CHECK_INT(at(&b, 120 * S), PROBE_RUN);
    CHECK(outcome(&b, false)); /* the third */
    CHECK_INT(b.w.result, PROBE_FAILURE);
    CHECK_STR(b.w.message, "no");
    CHECK_INT(at(&b, 200 * S), PROBE_IDLE); /* on hold until a new instance */
    CHECK_INT(b.next, NS_NONE);
    mem_set_str(&b.f.id, "b");
    CHECK_INT(at(&b, 201 * S), PROBE_RUN);
    CHECK_INT(b.w.result, PROBE_SUCCESS);
    bench_done(&b);
}

static void test_streak_is_broken(void)
{
    Bench b;
    bench_init(&b, PROBE_LIVENESS);
    const bool oks[] = {false, false, true, false, false};
    for (size_t i = 0; i < ARRAY_LEN(oks); i++) {
        CHECK_INT(at(&b, (100 + 10 * (int64_t)i) * S), PROBE_RUN);
        CHECK(!outcome(&b, oks[i]));
    }
    CHECK_INT(b.w.result, PROBE_SUCCESS);
    bench_done(&b);
}

static void test_readiness_thresholds(void)
{
    Bench b;
    bench_init(&b, PROBE_READINESS);
    b.spec.success_threshold = (OptInt){true, 2};
    b.spec.failure_threshold = (OptInt){true, 1};
    CHECK_INT(b.w.result, PROBE_UNKNOWN);
    CHECK_INT(at(&b, 100 * S), PROBE_RUN);
    CHECK(!outcome(&b, true));
    CHECK_INT(at(&b, 110 * S), PROBE_RUN);
    CHECK(outcome(&b, true));
    CHECK_INT(at(&b, 120 * S), PROBE_RUN);
    CHECK(outcome(&b, false));
    CHECK_INT(b.w.result, PROBE_FAILURE);
    CHECK_INT(at(&b, 130 * S), PROBE_RUN); /* readiness is never on hold */
    bench_done(&b);
}

static void test_startup(void)
{
    Bench b, live;
    bench_init(&b, PROBE_STARTUP);
    bench_init(&live, PROBE_LIVENESS);
    live.started = false;
    CHECK_INT(at(&live, 100 * S), PROBE_IDLE); /* held back */
    CHECK_INT(at(&b, 100 * S), PROBE_RUN);
    CHECK(!outcome(&b, false));
    CHECK_INT(b.w.result, PROBE_UNKNOWN);
    CHECK_INT(at(&b, 110 * S), PROBE_RUN);
    CHECK(outcome(&b, true));
    CHECK_INT(at(&b, 120 * S), PROBE_IDLE); /* decided */
    live.started = true;
    CHECK_INT(at(&live, 120 * S), PROBE_RUN);
    bench_done(&b);
    bench_done(&live);
}

static void test_agent_restart_seeds_startup(void)
{
    Bench b;
    bench_init(&b, PROBE_STARTUP);
    b.started = true; /* by the stored status */
    CHECK_INT(at(&b, 500 * S), PROBE_IDLE);
    CHECK_INT(b.w.result, PROBE_SUCCESS);
    bench_done(&b);
}

static void test_not_running(void)
{
    Bench b;
    bench_init(&b, PROBE_LIVENESS);
    CHECK_INT(probe_worker_step(&b.w, &b.spec, NULL, true, false, 100 * S, &b.next), PROBE_IDLE);
    CHECK_INT(b.w.result, PROBE_SUCCESS);
    b.f.state = RUN_CREATED;
    CHECK_INT(at(&b, 100 * S), PROBE_IDLE);
    CHECK_INT(b.w.result, PROBE_SUCCESS);
    b.f.state = RUN_EXITED;
    CHECK_INT(at(&b, 100 * S), PROBE_IDLE);
    CHECK_INT(b.w.result, PROBE_FAILURE);
    bench_done(&b);
}

static void test_deleted(void)
{
    Bench b;
    bench_init(&b, PROBE_LIVENESS);
    b.w.container_id = mem_dup_str("a");
    b.w.result = PROBE_FAILURE;
    b.deleted = true;
    CHECK_INT(at(&b, 100 * S), PROBE_IDLE);
    CHECK_INT(b.w.result, PROBE_SUCCESS);
    bench_done(&b);
    bench_init(&b, PROBE_READINESS);
    b.deleted = true;
    CHECK_INT(at(&b, 100 * S), PROBE_RUN); /* readiness goes on */
    bench_done(&b);
}

static void test_wild_numbers(void)
{
    Bench b;
    bench_init(&b, PROBE_READINESS);
    b.spec.period_seconds = (OptInt){true, INT64_MAX};
    b.spec.failure_threshold = (OptInt){true, -5};
    b.f.started_at_ns = INT64_MAX - 1;
    b.spec.initial_delay_seconds = (OptInt){true, INT64_MAX};
    CHECK_INT(at(&b, INT64_MAX - 1), PROBE_IDLE);
    CHECK_INT(at(&b, INT64_MAX), PROBE_RUN);
    CHECK(!outcome(&b, false)); /* -5 reads as the default, 3 */
    bench_done(&b);
}

static void test_enabled(void)
{
    Pod pod = {0};
    Probe probe = {0};
    Container c = {.name = mem_dup_str("c"), .liveness_probe = &probe, .readiness_probe = &probe,
                   .restart_policy = mem_dup_str("Never")};
    ContainerFact run = {.state = RUN_RUNNING}, ended = {.state = RUN_EXITED, .exit_known = true, .exit_code = 1};
    CHECK(plan_probe_enabled(&pod, &c, PROBE_LIVENESS, &run));
    CHECK(!plan_probe_enabled(&pod, &c, PROBE_STARTUP, &run));
    CHECK(!plan_probe_enabled(&pod, &c, PROBE_LIVENESS, &ended)); /* it will not be back */
    PodCondition on = {.type = mem_dup_str("AllContainersRestarting"), .status = mem_dup_str("True")};
    pod.status.conditions.n = 1;
    pod.status.conditions.v = &on;
    CHECK(plan_probe_enabled(&pod, &c, PROBE_LIVENESS, &ended)); /* it will */
    pod.metadata.deletion_timestamp.set = true;
    CHECK(!plan_probe_enabled(&pod, &c, PROBE_LIVENESS, &run));
    CHECK(plan_probe_enabled(&pod, &c, PROBE_READINESS, &run));
    pod.status.phase = mem_dup_str("Failed");
    CHECK(!plan_probe_enabled(&pod, &c, PROBE_READINESS, &run));
    free(pod.status.phase);
    free(on.type);
    free(on.status);
    free(c.name);
    free(c.restart_policy);
}

TESTS(T(test_delay_and_period), T(test_defaults), T(test_streak_is_broken), T(test_readiness_thresholds), T(test_startup),
      T(test_agent_restart_seeds_startup), T(test_not_running), T(test_deleted), T(test_wild_numbers), T(test_enabled))
