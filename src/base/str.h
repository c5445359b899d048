/* str.h - growing byte strings, string lists and small string questions. Pure. */
#ifndef REPRISE_BASE_STR_H
#define REPRISE_BASE_STR_H

#include <stdarg.h>

#include "base/mem.h"

/* A growing byte string. {0} is an empty one. p is NUL-terminated whenever it is not NULL. */
typedef struct {
    char *p;
    size_t n;   /* bytes used, without the NUL */
    size_t cap; /* bytes allocated */
} Str;

void str_done(Str *s);
static inline UNUSED void str_done_at(Str *s) { str_done(s); }
void str_add(Str *s, const char *text);
void str_add_n(Str *s, const void *bytes, size_t n);
void str_add_c(Str *s, char c);
void str_fmt(Str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void str_vfmt(Str *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Appends <text> as Go's %q does for plain strings: quotes, \n \t \" \\ and \u escapes. */
void str_add_quoted(Str *s, const char *text);
void str_clear(Str *s); /* n = 0, keeps the memory */
/* The text, owned by the caller ("" when empty); s is empty afterwards. */
MUST_USE char *str_take(Str *s);

bool str_eq(const char *a, const char *b);  /* NULL equals NULL only */
bool str_empty(const char *s);              /* NULL or "" */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* s, or "" for NULL. */
const char *str_or(const char *s, const char *otherwise);
/* Decimal int64 from the whole of s; false if it is anything else or does not fit. */
bool str_to_i64(const char *s, int64_t *ret);

/* A NULL-terminated vector of owned strings, for argv and envp. {0} is empty; v may be NULL then. */
typedef struct {
    size_t n;
    char **v; /* v[n] == NULL */
} StrVec;
void strvec_add(StrVec *l, const char *s);            /* copies */
void strvec_add_take(StrVec *l, char *s);             /* takes */
void strvec_fmt(StrVec *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool strvec_has(const StrVec *l, const char *s);
void strvec_done(StrVec *l);
static inline UNUSED void strvec_done_at(StrVec *l) { strvec_done(l); }

#endif
