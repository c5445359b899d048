/* validate_errors.c - the texts of k8s.io/apimachinery/pkg/util/validation/field. */
#include "api/validate_priv.h"

static void add(Report *r, CauseKind kind, const Path *at, const char *text)
{
    SCOPED(mem_free) char *path = path_text(at);
    report_add(r, kind, path, "%s", text);
}

/* "<what>: <value>: <detail>", the parts that there are. */
static void add_parts(Report *r, CauseKind kind, const Path *at, const char *what, const char *value, const char *detail)
{
    SCOPED(str_done) Str s = {0};
    str_add(&s, what);
    if (value)
        str_fmt(&s, ": %s", value);
    if (detail && *detail)
        str_fmt(&s, ": %s", detail);
    add(r, kind, at, s.p);
}

static char *quoted(const char *value)
{
    Str s = {0};
    str_add_quoted(&s, str_or(value, ""));
    return str_take(&s);
}

static void invalid_v(Report *r, const Path *at, const char *value, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));
static void invalid_v(Report *r, const Path *at, const char *value, const char *fmt, va_list ap)
{
    SCOPED(str_done) Str detail = {0};
    str_vfmt(&detail, fmt, ap);
    add_parts(r, CAUSE_INVALID, at, "Invalid value", value, detail.p);
}

void v_required(Report *r, const Path *at, const char *detail)
{
    add_parts(r, CAUSE_REQUIRED, at, "Required value", NULL, detail);
}

void v_invalid(Report *r, const Path *at, const char *value, const char *fmt, ...)
{
    SCOPED(mem_free) char *text = quoted(value);
    va_list ap;
    va_start(ap, fmt);
    invalid_v(r, at, text, fmt, ap);
    va_end(ap);
}

void v_invalid_int(Report *r, const Path *at, int64_t value, const char *fmt, ...)
{
    SCOPED(mem_free) char *text = mem_fmt("%lld", (long long)value);
    va_list ap;
    va_start(ap, fmt);
    invalid_v(r, at, text, fmt, ap);
    va_end(ap);
}

void v_invalid_json(Report *r, const Path *at, const TypeDesc *t, const void *obj, const char *detail)
{
    /* Go prints its struct here; the JSON of it says the same and can be read. */
    SCOPED(mem_free) char *text = api_encode_text(t, obj);
    add_parts(r, CAUSE_INVALID, at, "Invalid value", text, detail);
}

void v_forbidden(Report *r, const Path *at, const char *fmt, ...)
{
    SCOPED(str_done) Str detail = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&detail, fmt, ap);
    va_end(ap);
    add_parts(r, CAUSE_FORBIDDEN, at, "Forbidden", NULL, detail.p);
}

void v_duplicate(Report *r, const Path *at, const char *value)
{
    SCOPED(mem_free) char *text = quoted(value);
    add_parts(r, CAUSE_DUPLICATE, at, "Duplicate value", text, NULL);
}

void v_not_found(Report *r, const Path *at, const char *value)
{
    SCOPED(mem_free) char *text = quoted(value);
    add_parts(r, CAUSE_NOT_FOUND, at, "Not found", text, NULL);
}

void v_too_many(Report *r, const Path *at, size_t n, size_t max)
{
    SCOPED(mem_free) char *path = path_text(at);
    report_add(r, CAUSE_TOO_MANY, path, "Too many: %zu: must have at most %zu items", n, max);
}

void v_too_long(Report *r, const Path *at, size_t max_bytes)
{
    SCOPED(mem_free) char *path = path_text(at);
    report_add(r, CAUSE_TOO_LONG, path, "Too long: may not be more than %zu bytes", max_bytes);
}

void v_unsupported(Report *r, const Path *at, const char *value, const char *const supported[], size_t n)
{
    SCOPED(mem_free) char *text = quoted(value);
    SCOPED(str_done) Str detail = {0};
    for (size_t i = 0; i < n; i++) {
        str_add(&detail, i ? ", " : "supported values: ");
        str_add_quoted(&detail, supported[i]);
    }
    add_parts(r, CAUSE_NOT_SUPPORTED, at, "Unsupported value", text, detail.p);
}

bool v_is_one_of(const char *value, const char *const list[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(str_or(value, ""), list[i]) == 0)
            return true;
    return false;
}

bool v_one_of(Report *r, const Path *at, const char *value, const char *const supported[], size_t n)
{
    bool ok = v_is_one_of(value, supported, n);
    if (!ok)
        v_unsupported(r, at, value, supported, n);
    return ok;
}

void v_range(Report *r, const Path *at, int64_t value, int64_t min, int64_t max)
{
    if (value < min || value > max)
        v_invalid_int(r, at, value, "must be between %lld and %lld, inclusive", (long long)min, (long long)max);
}

void v_nonnegative(Report *r, const Path *at, OptInt value)
{
    if (value.set && value.v < 0)
        v_invalid_int(r, at, value.v, "must be greater than or equal to 0");
}
