/* check.h - the smallest test harness that says where and what: TAP on stdout, exit 1 when a check failed. */
#ifndef REPRISE_TESTS_CHECK_H
#define REPRISE_TESTS_CHECK_H

#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

typedef struct { const char *name; void (*run)(void); } TestCase;
static unsigned check_failures, check_count;
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        check_count++;                                                                                                 \
        if (!(cond)) {                                                                                                 \
            check_failures++;                                                                                          \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);                                                        \
        }                                                                                                              \
    } while (0)
#define CHECK_STR(got, want)                                                                                           \
    do {                                                                                                               \
        const char *got_ = (got), *want_ = (want);                                                                     \
        check_count++;                                                                                                 \
        if (!str_eq(got_, want_)) {                                                                                    \
            check_failures++;                                                                                          \
            printf("# %s:%d: got:  %s\n# want: %s\n", __FILE__, __LINE__, str_or(got_, "NULL"), str_or(want_, "NULL")); \
        }                                                                                                              \
    } while (0)
#define CHECK_INT(got, want)                                                                                           \
    do {                                                                                                               \
        long long got_ = (long long)(got), want_ = (long long)(want);                                                  \
        check_count++;                                                                                                 \
        if (got_ != want_) {                                                                                           \
            check_failures++;                                                                                          \
            printf("# %s:%d: %s: got %lld, want %lld\n", __FILE__, __LINE__, #got, got_, want_);                       \
        }                                                                                                              \
    } while (0)
/* Fails with the error's text when <e> (taken) is not NULL. */
#define CHECK_OK(e)                                                                                                    \
    do {                                                                                                               \
        Err *err_ = (e);                                                                                               \
        check_count++;                                                                                                 \
        if (err_) {                                                                                                    \
            char *text_ = err_text(err_);                                                                              \
            check_failures++;                                                                                          \
            printf("# %s:%d: %s: %s\n", __FILE__, __LINE__, #e, text_);                                                \
            free(text_);                                                                                               \
            err_free(err_);                                                                                            \
        }                                                                                                              \
    } while (0)
static inline int check_main(const TestCase *t, size_t n)
{
    int bad = 0;
    printf("1..%zu\n", n);
    for (size_t i = 0; i < n; i++) {
        unsigned before = check_failures, count = check_count;
        t[i].run();
        /* A test that checked nothing proves nothing. */
        bool ok = check_failures == before && check_count > count;
        bad += !ok;
        printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, t[i].name);
    }
    return bad ? 1 : 0;
}
#define TESTS(...)                                                                                                     \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        static const TestCase tests_[] = {__VA_ARGS__};                                                                \
        setvbuf(stdout, NULL, _IOLBF, 0);                                                                              \
        return check_main(tests_, ARRAY_LEN(tests_));                                                                  \
    }
#define T(fn) {#fn, fn}

#endif
