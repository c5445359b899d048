#include "base/str.h"

#include <stdio.h>

void str_done(Str *s)
{
    free(s->p);
    *s = (Str){0};
}

static void str_reserve(Str *s, size_t more)
{
    size_t need = s->n + more + 1;
    if (need <= s->cap)
        return;
    size_t cap = s->cap ? s->cap * 2 : 64;
    if (cap < need)
        cap = need;
    s->p = mem_grow(s->p, cap, 1);
    s->cap = cap;
}

void str_add_n(Str *s, const void *bytes, size_t n)
{
    str_reserve(s, n);
    if (n)
        memcpy(s->p + s->n, bytes, n);
    s->n += n;
    s->p[s->n] = '\0';
}

void str_add(Str *s, const char *text)
{
    str_add_n(s, text, strlen(text));
}

void str_add_c(Str *s, char c)
{
    str_add_n(s, &c, 1);
}

void str_vfmt(Str *s, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n > 0) {
        str_reserve(s, (size_t)n);
        (void)vsnprintf(s->p + s->n, (size_t)n + 1, fmt, again);
        s->n += (size_t)n;
    }
    va_end(again);
}

void str_fmt(Str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(s, fmt, ap);
    va_end(ap);
}

void str_add_quoted(Str *s, const char *text)
{
    str_add_c(s, '"');
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        switch (c) {
        case '"':
        case '\\':
            str_add_c(s, '\\');
            str_add_c(s, (char)c);
            break;
        case '\n':
            str_add(s, "\\n");
            break;
        case '\r':
            str_add(s, "\\r");
            break;
        case '\t':
            str_add(s, "\\t");
            break;
        default:
            if (c < 0x20 || c == 0x7f)
                str_fmt(s, "\\x%02x", c);
            else
                str_add_c(s, (char)c);
        }
    }
    str_add_c(s, '"');
}

void str_clear(Str *s)
{
    s->n = 0;
    if (s->p)
        s->p[0] = '\0';
}

char *str_take(Str *s)
{
    char *p = s->p ? s->p : mem_dup_strn("", 0);
    *s = (Str){0};
    return p;
}

bool str_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_empty(const char *s)
{
    return !s || !*s;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

const char *str_or(const char *s, const char *otherwise)
{
    return s ? s : otherwise;
}

bool str_to_i64(const char *s, int64_t *ret)
{
    bool neg = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (!*s)
        return false;
    int64_t v = 0;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v))
            return false;
        int d = *s - '0';
        if (neg ? __builtin_sub_overflow(v, d, &v) : __builtin_add_overflow(v, d, &v))
            return false;
    }
    *ret = v;
    return true;
}

void strvec_add_take(StrVec *l, char *s)
{
    l->v = mem_grow(l->v, l->n + 2, sizeof *l->v);
    l->v[l->n++] = s;
    l->v[l->n] = NULL;
}

void strvec_add(StrVec *l, const char *s)
{
    strvec_add_take(l, mem_dup_str(s));
}

void strvec_fmt(StrVec *l, const char *fmt, ...)
{
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    strvec_add_take(l, str_take(&s));
}

bool strvec_has(const StrVec *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return true;
    return false;
}

void strvec_done(StrVec *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (StrVec){0};
}
