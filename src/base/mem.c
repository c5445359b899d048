#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

static void *checked(void *p)
{
    if (!p) {
        /* No error value can be made without memory; the agent is started again by its supervisor. */
        (void)fputs("reprise: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *mem_alloc_n(size_t n, size_t size)
{
    return checked(calloc(n ? n : 1, size ? size : 1));
}

void *mem_grow(void *p, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return checked(NULL);
    return checked(realloc(p, total ? total : 1));
}

char *mem_dup_str(const char *s)
{
    return s ? checked(strdup(s)) : NULL;
}

char *mem_dup_strn(const char *s, size_t n)
{
    return checked(strndup(s, n));
}

void *mem_dup(const void *p, size_t size)
{
    void *q = mem_alloc(size);
    if (size)
        memcpy(q, p, size);
    return q;
}

char *mem_fmt(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return checked(n < 0 ? NULL : s);
}

void mem_free(void *p)
{
    free(p);
}

void mem_set_str(char **dst, const char *src)
{
    char *copy = mem_dup_str(src);
    free(*dst);
    *dst = copy;
}
