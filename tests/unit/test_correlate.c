/* test_correlate.c - client-go's EventCorrelator: counting, combining, leaving out, as tables over a clock of the test's own. */
#include "check.h"

#include "daemon/correlate.h"

static EventFacts facts(const char *name, const char *reason, const char *message)
{
    return (EventFacts){.component = "kubelet", .host = "n", .kind = "Pod", .namespace_ = "ns", .name = name, .uid = name, .type = "Normal",
                        .reason = reason, .message = message};
}

/* "skip", or "COUNT MESSAGE"; caller frees. */
static char *once(Correlator *c, const EventFacts *e, int64_t at_s, char **name)
{
    SCOPED(correlated_done) Correlated out;
    correlate(c, e, at_s * NS_PER_S, &out);
    if (name) {
        free(*name);
        *name = mem_dup_str(out.name);
    }
    return out.skip ? mem_dup_str("skip") : mem_fmt("%lld %s", (long long)out.count, out.message);
}
#define CHECK_ONCE(c, e, at, want)                                                                                     \
    do {                                                                                                               \
        char *got__ = once(c, e, at, NULL);                                                                            \
        CHECK_STR(got__, want);                                                                                        \
        free(got__);                                                                                                   \
    } while (0)

static void test_counts(void)
{
    Correlator *c = correlator_new();
    EventFacts a = facts("p", "Pulled", "m"), b = facts("p", "Pulled", "n"), q = facts("q", "Pulled", "m");
    char *first = NULL, *second = NULL, *other = NULL;
    free(once(c, &a, 100, &first));
    free(once(c, &b, 100, &other));
    SCOPED(mem_free) char *again = once(c, &a, 200, &second);
    CHECK_STR(again, "2 m");
    CHECK_STR(second, first);
    CHECK(!str_eq(other, first)); /* of one nanosecond, and yet two names */
    CHECK(str_starts(first, "p."));
    CHECK_INT(strlen(first), 2 + 16);
    CHECK_ONCE(c, &a, 300, "3 m");
    CHECK_ONCE(c, &q, 300, "1 m");
    SCOPED(correlated_done) Correlated out;
    correlate(c, &a, 400 * NS_PER_S, &out);
    CHECK_INT(out.first_ns, 100 * NS_PER_S);
    EventFacts elsewhere = a; /* another container's */
    elsewhere.field_path = "spec.containers{x}";
    CHECK_ONCE(c, &elsewhere, 400, "1 m");
    free(first);
    free(second);
    free(other);
    correlator_free(c);
}

static void test_similar(void)
{
    Correlator *c = correlator_new();
    char *name = NULL, *next = NULL;
    for (int i = 1; i < 10; i++) {
        SCOPED(mem_free) char *m = mem_fmt("m%d", i);
        SCOPED(mem_free) char *want = mem_fmt("1 m%d", i);
        EventFacts e = facts("p", "FailedMount", m);
        CHECK_ONCE(c, &e, 100 + i, want);
    }
    EventFacts tenth = facts("p", "FailedMount", "m10"), known = facts("p", "FailedMount", "m9"), other = facts("p", "Other", "m10");
    SCOPED(mem_free) char *got = once(c, &tenth, 110, &name);
    CHECK_STR(got, "1 (combined from similar events): m10");
    SCOPED(mem_free) char *more = once(c, &known, 111, &next);
    CHECK_STR(more, "2 m9"); /* nine are remembered, and it is one of them */
    CHECK_ONCE(c, &other, 111, "1 m10");
    EventFacts eleventh = facts("p", "FailedMount", "m11");
    SCOPED(mem_free) char *counted = once(c, &eleventh, 112, &next);
    CHECK_STR(counted, "2 (combined from similar events): m11");
    CHECK_STR(next, name); /* one object for all */
    EventFacts late = facts("p", "FailedMount", "m12"); /* ten minutes without any */
    CHECK_ONCE(c, &late, 112 + 601, "1 m12");
    free(name);
    free(next);
    correlator_free(c);
}

static void test_spam(void)
{
    Correlator *c = correlator_new();
    EventFacts e = facts("p", "BackOff", "m"), q = facts("q", "BackOff", "m");
    for (int i = 1; i <= 25; i++) {
        SCOPED(mem_free) char *want = mem_fmt("%d m", i);
        CHECK_ONCE(c, &e, 1000, want);
    }
    CHECK_ONCE(c, &e, 1000, "skip");
    CHECK_ONCE(c, &e, 1299, "skip");
    CHECK_ONCE(c, &q, 1299, "1 m"); /* another object's bucket */
    CHECK_ONCE(c, &e, 1300, "28 m"); /* what was left out is counted */
    CHECK_ONCE(c, &e, 1300, "skip");
    for (int i = 30; i < 55; i++) {
        SCOPED(mem_free) char *want = mem_fmt("%d m", i);
        CHECK_ONCE(c, &e, 100000, want);
    }
    CHECK_ONCE(c, &e, 100000, "skip");
    CHECK_ONCE(c, &e, 1, "skip"); /* a clock that is set back gives nothing */
    correlator_free(c);
}

/* What is remembered is bounded: the least recently used is forgotten. */
static void test_bounds(void)
{
    Correlator *c = correlator_new();
    EventFacts kept = facts("kept", "r", "m"), old = facts("old", "r", "m");
    CHECK_ONCE(c, &old, 1, "1 m");
    CHECK_ONCE(c, &kept, 1, "1 m");
    for (int i = 0; i < 5000; i++) {
        SCOPED(mem_free) char *name = mem_fmt("p%d", i);
        EventFacts e = facts(name, "r", "m");
        CHECK_ONCE(c, &e, 2, "1 m");
        if (i % 1000 == 0)
            free(once(c, &kept, 2, NULL));
    }
    CHECK_ONCE(c, &kept, 3, "7 m");
    CHECK_ONCE(c, &old, 3, "1 m");
    correlator_free(c);
}

TESTS(T(test_counts), T(test_similar), T(test_spam), T(test_bounds))
