#include "check.h"

#include "base/clock.h"
#include "base/strindex.h"

static void test_clock(void)
{
    static const struct {
        const char *in, *out;
        int digits;
    } rows[] = {
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0},
        {"2026-02-28T23:59:59.123456789Z", "2026-02-28T23:59:59.123456789Z", 9},
        {"2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00Z", 0},
        {"1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500000Z", 6},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ns = 0;
        char buf[CLOCK_TEXT_MAX];
        CHECK(clock_parse(rows[i].in, &ns));
        CHECK_STR(clock_format(ns, rows[i].digits, buf), rows[i].out);
    }
    static const char *const bad[] = {"", "2026", "2026-13-01T00:00:00Z", "2023-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:00:00", "2026-01-01T00:00:00Zx", "9999-01-01T00:00:00Z"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ns;
        CHECK(!clock_parse(bad[i], &ns));
    }
}

static void test_duration(void)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"1.5s", "1.5s"}, {"90s", "1m30s"}, {"1h", "1h0m0s"}, {"350ms", "350ms"}, {"10", "10s"}, {"0", "0s"},
                {"1h2m3.5s", "1h2m3.5s"}, {"-2s", "-2s"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ns = -1;
        CHECK(duration_parse(rows[i].in, &ns));
        char *s = duration_format(ns);
        CHECK_STR(s, rows[i].out);
        free(s);
    }
    static const char *const bad[] = {"", "s", "1x", ".s", "1s2", "99999999999999999999s"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ns;
        CHECK(!duration_parse(bad[i], &ns));
    }
}

static void test_err(void)
{
    Err *e = err_wrap(err_reason(err_new(ERR_SYS, ENOSPC, "open log of container %s", "web"), "CreateContainerError"),
                      "start container web");
    char *text = err_text(e);
    CHECK_STR(text, "start container web: open log of container web: No space left on device");
    CHECK_STR(e->reason, "CreateContainerError");
    CHECK_INT(e->kind, ERR_SYS);
    free(text);
    err_free(e);
}

static void test_str(void)
{
    Str s = {0};
    str_add_quoted(&s, "a\"b\n");
    CHECK_STR(s.p, "\"a\\\"b\\n\"");
    str_done(&s);
    int64_t v;
    CHECK(str_to_i64("-9223372036854775808", &v) && v == INT64_MIN);
    CHECK(!str_to_i64("9223372036854775808", &v));
    CHECK(!str_to_i64("1a", &v));
}

static void test_strindex(void)
{
    StrIndex x = {0};
    char key[1000][8];
    CHECK(strindex_get(&x, "a") == NULL);
    strindex_remove(&x, "a");
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key[i], sizeof key[i], "k%d", i);
        strindex_add(&x, key[i], &key[i]);
    }
    for (int i = 0; i < 1000; i += 3)
        strindex_remove(&x, key[i]);
    for (int i = 0; i < 1000; i++)
        CHECK(strindex_get(&x, key[i]) == (i % 3 ? (void *)&key[i] : NULL));
    for (int turn = 0; turn < 5000; turn++) { /* what comes and goes does not fill it */
        strindex_add(&x, key[0], &key[0]);
        strindex_remove(&x, key[0]);
    }
    CHECK(x.size <= 8192);
    strindex_done(&x);
}

TESTS(T(test_strindex), T(test_clock), T(test_duration), T(test_err), T(test_str))
