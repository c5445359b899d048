#include "api/codec.h"

void report_add(Report *r, CauseKind kind, const char *path, const char *fmt, ...)
{
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    Cause *c = LIST_ADD(&r->errors);
    *c = (Cause){kind, mem_dup_str(path), str_take(&s)};
}

void report_warn(Report *r, const char *fmt, ...)
{
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    *LIST_ADD(&r->warnings) = str_take(&s);
}

bool report_ok(const Report *r)
{
    return r->errors.n == 0;
}

void report_done(Report *r)
{
    LIST_EACH(c, &r->errors) {
        free(c->path);
        free(c->message);
    }
    free(r->errors.v);
    LIST_EACH(w, &r->warnings)
        free(*w);
    free(r->warnings.v);
    *r = (Report){0};
}
