/* status.c - a report as kube-apiserver would answer it: a metav1.Status. */
#include "api/objects.h"
#include "wire/json.h"

static const char *cause_reason(CauseKind kind)
{
    switch (kind) {
    case CAUSE_REQUIRED:
        return "FieldValueRequired";
    case CAUSE_NOT_SUPPORTED:
        return "FieldValueNotSupported";
    case CAUSE_DUPLICATE:
        return "FieldValueDuplicate";
    case CAUSE_FORBIDDEN:
        return "FieldValueForbidden";
    case CAUSE_TOO_LONG:
        return "FieldValueTooLong";
    case CAUSE_TOO_MANY:
        return "FieldValueTooMany";
    case CAUSE_NOT_FOUND:
        return "FieldValueNotFound";
    case CAUSE_TYPE:
        return "FieldValueTypeInvalid";
    case CAUSE_INVALID:
    case CAUSE_UNKNOWN_FIELD:
        break;
    }
    return "FieldValueInvalid";
}

static bool is_decoding(CauseKind kind)
{
    return kind == CAUSE_TYPE || kind == CAUSE_UNKNOWN_FIELD;
}

static size_t count(const Report *r, CauseKind kind)
{
    size_t n = 0;
    LIST_EACH(c, &r->errors)
        n += c->kind == kind;
    return n;
}

static void add_cause_text(Str *s, const Cause *c, bool *more)
{
    str_add(s, *more ? ", " : "");
    *more = true;
    if (c->kind != CAUSE_UNKNOWN_FIELD && !str_empty(c->path))
        str_fmt(s, "%s: ", c->path);
    str_add(s, c->message);
}

/* Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.foo" */
static void decoding_message(Str *s, const Report *r, const char *kind)
{
    bool more = false;
    str_fmt(s, "%s in version \"v1\" cannot be handled as a %s: ", kind, kind);
    LIST_EACH(c, &r->errors)
        if (c->kind == CAUSE_TYPE)
            add_cause_text(s, c, &more);
    if (!count(r, CAUSE_UNKNOWN_FIELD))
        return;
    str_fmt(s, "%sstrict decoding error: ", more ? ", " : "");
    more = false;
    LIST_EACH(c, &r->errors)
        if (c->kind == CAUSE_UNKNOWN_FIELD)
            add_cause_text(s, c, &more);
}

/* An aggregate says each text once. */
static bool said_before(const Report *r, const Cause *c)
{
    for (const Cause *p = r->errors.v; p < c; p++)
        if (str_eq(p->path, c->path) && str_eq(p->message, c->message))
            return true;
    return false;
}

static void invalid_message(Str *s, const Report *r, const char *kind, const char *name)
{
    SCOPED(str_done) Str list = {0};
    size_t n = 0;
    bool more = false;
    LIST_EACH(c, &r->errors)
        if (!said_before(r, c)) {
            add_cause_text(&list, c, &more);
            n++;
        }
    str_fmt(s, "%s ", kind);
    str_add_quoted(s, name);
    str_fmt(s, n == 1 ? " is invalid: %s" : " is invalid: [%s]", list.p ? list.p : "");
}

static json_t *causes_json(const Report *r)
{
    json_t *causes = json_array();
    LIST_EACH(c, &r->errors)
        json_array_append_new(causes, json_pack("{s:s, s:s, s:s}", "reason", cause_reason(c->kind), "message", c->message,
                                                "field", str_or(c->path, "")));
    return causes;
}

static void set(json_t *o, const char *key, json_t *v)
{
    json_object_set_new(o, key, v);
}

json_t *report_status_json(const Report *r, const char *kind, const char *name)
{
    kind = str_or(kind, "");
    name = str_or(name, "");
    json_t *o = json_object(), *details = json_object();
    set(o, "kind", json_string("Status"));
    set(o, "apiVersion", json_string("v1"));
    set(o, "metadata", json_object());
    set(o, "status", json_string(report_ok(r) ? "Success" : "Failure"));
    if (*name)
        set(details, "name", json_string(name));
    if (*kind)
        set(details, "kind", json_string(kind));
    if (!report_ok(r)) {
        SCOPED(str_done) Str message = {0};
        bool decoding = false;
        LIST_EACH(c, &r->errors)
            decoding = decoding || is_decoding(c->kind);
        if (decoding)
            decoding_message(&message, r, *kind ? kind : "object");
        else
            invalid_message(&message, r, kind, name);
        set(o, "message", json_string(message.p));
        set(o, "reason", json_string(decoding ? "BadRequest" : "Invalid"));
        set(details, "causes", causes_json(r));
        set(o, "details", details);
        set(o, "code", json_integer(decoding ? 400 : 422));
        return o;
    }
    set(o, "details", details);
    return o;
}
