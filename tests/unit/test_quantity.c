#include "api/quantity.h"

#include "check.h"

static void test_values(void)
{
    static const struct {
        const char *q, *canonical;
        bool milli_ok;
        int64_t milli;
        bool value_ok;
        int64_t value;
    } rows[] = {
        {"0", "0", true, 0, true, 0},
        {"1", "1", true, 1000, true, 1},
        {"100m", "100m", true, 100, true, 1},
        {"1000m", "1", true, 1000, true, 1},
        {"1.5", "1500m", true, 1500, true, 2},
        {".5", "500m", true, 500, true, 1},
        {"5.", "5", true, 5000, true, 5},
        {"+3", "3", true, 3000, true, 3},
        {"-5", "-5", true, -5000, true, -5},
        {"-1.5", "-1500m", true, -1500, true, -2},
        {"-0", "0", true, 0, true, 0},
        {"1n", "1n", true, 1, true, 1},
        {"0.1n", "1n", true, 1, true, 1},
        {"100u", "100u", true, 1, true, 1},
        {"1k", "1k", true, 1000000, true, 1000},
        {"100000", "100k", true, 100000000, true, 100000},
        {"1234567.891k", "1234567891", true, 1234567891000, true, 1234567891},
        {"1.5Gi", "1536Mi", true, 1610612736000, true, 1610612736},
        {"1024Mi", "1Gi", true, 1073741824000, true, 1073741824},
        {"0.5Gi", "512Mi", true, 536870912000, true, 536870912},
        {"512Ki", "512Ki", true, 524288000, true, 524288},
        {"0.5Ki", "512", true, 512000, true, 512},
        {"1e3", "1e3", true, 1000000, true, 1000},
        {"1E3", "1e3", true, 1000000, true, 1000},
        {"12e-1", "1200e-3", true, 1200, true, 2},
        {"1E", "1E", false, 0, true, INT64_C(1000000000000000000)},
        {"12E", "9223372036854775807", false, 0, true, INT64_MAX}, /* capped, as ParseQuantity does */
        {"1e400", "9223372036854775807", false, 0, true, INT64_MAX},
        {"1e-400", "1e-9", true, 1, true, 1},
        {"9223372036854775807", "9223372036854775807", false, 0, true, INT64_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t milli = 0, value = 0;
        SCOPED(mem_free) char *canonical = quantity_canonical(rows[i].q);
        CHECK_STR(canonical, rows[i].canonical);
        CHECK_INT(quantity_milli(rows[i].q, &milli), rows[i].milli_ok);
        CHECK_INT(milli, rows[i].milli);
        CHECK_INT(quantity_value(rows[i].q, &value), rows[i].value_ok);
        CHECK_INT(value, rows[i].value);
    }
}

static void test_refused(void)
{
    static const char *const bad[] = {"",    ".",     "-",   "+",    "x",   "1x",   "1ki", "1KI",  "1 ",   " 1",
                                      "1.2.3", "1e", "1e1.5", "1e+", "--1", "0x10", "1_0", "1mi", "1Kim", "NaN"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t v;
        SCOPED(mem_free) char *canonical = quantity_canonical(bad[i]);
        CHECK_STR(canonical, NULL);
        CHECK(!quantity_value(bad[i], &v));
    }
    CHECK(quantity_canonical(NULL) == NULL);
}

static void test_compare(void)
{
    CHECK_INT(quantity_cmp("1", "1000m"), 0);
    CHECK_INT(quantity_cmp("1Gi", "1G"), 1);
    CHECK_INT(quantity_cmp("-1", "1"), -1);
    CHECK_INT(quantity_cmp("-2", "-1"), -1);
    CHECK_INT(quantity_cmp("0", "-0"), 0);
    CHECK_INT(quantity_cmp("1n", "0"), 1);
    CHECK_INT(quantity_cmp("1.5Gi", "1536Mi"), 0);
}

TESTS(T(test_values), T(test_refused), T(test_compare))
