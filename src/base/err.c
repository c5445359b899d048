#include "base/err.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

static Err *err_make(ErrKind kind, int sys, Err *cause, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));
static Err *err_make(ErrKind kind, int sys, Err *cause, const char *fmt, va_list ap)
{
    Str s = {0};
    str_vfmt(&s, fmt, ap);
    Err *e = NEW(Err);
    e->kind = kind;
    e->sys = sys;
    e->what = str_take(&s);
    e->cause = cause;
    if (cause)
        memcpy(e->reason, cause->reason, sizeof e->reason);
    return e;
}

Err *err_new(ErrKind kind, int sys, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Err *e = err_make(kind, sys, NULL, fmt, ap);
    va_end(ap);
    return e;
}

Err *err_wrap(Err *cause, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Err *e = err_make(cause->kind, cause->sys, cause, fmt, ap);
    va_end(ap);
    return e;
}

Err *err_reason(Err *e, const char *reason)
{
    if (e && reason != e->reason)
        (void)snprintf(e->reason, sizeof e->reason, "%s", reason);
    return e;
}

char *err_text(const Err *e)
{
    Str s = {0};
    int sys = 0;
    for (; e; e = e->cause) {
        if (s.n)
            str_add(&s, ": ");
        str_add(&s, e->what);
        sys = e->sys;
    }
    if (sys)
        str_fmt(&s, ": %s", strerror(sys));
    return str_take(&s);
}

int err_errno(const Err *e)
{
    return e ? e->sys : 0;
}

char *err_go_errno(int sys)
{
    char *text = mem_dup_str(strerror(sys)); /* the same words as Go's table, which begins in lower case */
    text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}

void err_free(Err *e)
{
    while (e) {
        Err *next = e->cause;
        free(e->what);
        free(e);
        e = next;
    }
}
