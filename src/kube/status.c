/* status.c - see status.h. k8s.io/apimachinery/pkg/api/errors/errors.go has the words, pkg/apis/meta/v1/types.go the order of fields. */
#include "kube/status.h"

#include "api/objects.h"

static void set_str(json_t *o, const char *key, const char *v)
{
    if (!str_empty(v))
        json_object_set_new(o, key, json_string(v));
}

/* Text that may come from a request: jansson refuses what is not UTF-8, and no answer may get lost for it. */
static json_t *text_json(const char *s)
{
    json_t *j = json_string(s);
    if (j)
        return j;
    SCOPED(str_done) Str ascii = {0};
    for (; *s; s++)
        str_add_c(&ascii, (unsigned char)*s < 0x80 ? *s : '?');
    return json_string(str_or(ascii.p, ""));
}

/* <message> and <details> (may be NULL) are taken. */
static json_t *failure(int code, const char *reason, char *message, json_t *details)
{
    json_t *o = json_object();
    set_str(o, "kind", "Status");
    set_str(o, "apiVersion", "v1");
    json_object_set_new(o, "metadata", json_object());
    set_str(o, "status", "Failure");
    if (!str_empty(message))
        json_object_set_new(o, "message", text_json(message));
    set_str(o, "reason", reason);
    if (details)
        json_object_set_new(o, "details", details);
    json_object_set_new(o, "code", json_integer(code));
    free(message);
    return o;
}

static void set_text(json_t *o, const char *key, const char *v)
{
    if (!str_empty(v))
        json_object_set_new(o, key, text_json(v));
}

static json_t *details_of(KubeRef what)
{
    json_t *d = json_object();
    set_text(d, "name", what.name);
    set_text(d, "group", what.group);
    set_text(d, "kind", what.resource);
    return d;
}

static json_t *with_retry(json_t *details, int retry_after_s)
{
    if (retry_after_s)
        json_object_set_new(details, "retryAfterSeconds", json_integer(retry_after_s));
    return details;
}

/* <resource> "<name>"<rest> */
static char *named(KubeRef what, const char *before, const char *after)
{
    SCOPED(mem_free) char *gr = kube_group_resource(what.group, what.resource);
    Str s = {0};
    str_fmt(&s, "%s%s ", before, gr);
    str_add_quoted(&s, str_or(what.name, ""));
    str_add(&s, after);
    return str_take(&s);
}

int kube_status_code(const json_t *status)
{
    return (int)json_i64(status, "code", 200);
}

json_t *kube_status_success(KubeRef what, const char *uid)
{
    json_t *o = json_object(), *d = details_of(what);
    set_text(d, "uid", uid);
    set_str(o, "kind", "Status");
    set_str(o, "apiVersion", "v1");
    json_object_set_new(o, "metadata", json_object());
    set_str(o, "status", "Success");
    json_object_set_new(o, "details", d);
    return o;
}

json_t *kube_not_found(KubeRef what)
{
    return failure(404, "NotFound", named(what, "", " not found"), details_of(what));
}

json_t *kube_no_resource(void)
{
    return failure(404, "NotFound", mem_dup_str("the server could not find the requested resource"), json_object());
}

json_t *kube_already_exists(KubeRef what)
{
    return failure(409, "AlreadyExists", named(what, "", " already exists"), details_of(what));
}

json_t *kube_name_conflict(KubeRef what)
{
    return failure(409, "AlreadyExists",
                   named(what, "", " already exists, the server was not able to generate a unique name for the object"),
                   with_retry(details_of(what), 1));
}

json_t *kube_conflict(KubeRef what, const char *why)
{
    SCOPED(mem_free) char *after = mem_fmt(": %s", why);
    return failure(409, "Conflict", named(what, "Operation cannot be fulfilled on ", after), details_of(what));
}

json_t *kube_conflict_version(KubeRef what)
{
    return kube_conflict(what, "the object has been modified; please apply your changes to the latest version and try again");
}

json_t *kube_bad_request(const char *fmt, ...)
{
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    return failure(400, "BadRequest", str_take(&s), NULL);
}

json_t *kube_invalid(const Report *r, KubeRef what)
{
    SCOPED(mem_free) char *kind = kube_group_resource(what.group, what.resource);
    json_t *o = report_status_json(r, kind, what.name);
    json_t *d = json_object_get(o, "details");
    if (!str_empty(what.group)) {
        json_t *causes = json_incref(json_object_get(d, "causes"));
        json_t *again = details_of(what);
        if (causes)
            json_object_set_new(again, "causes", causes);
        json_object_set_new(o, "details", again);
    }
    /* What could not be read has no details: rest.go's transformDecodeError makes a plain BadRequest of it. */
    if (kube_status_code(o) == 400)
        json_object_del(o, "details");
    return o;
}

json_t *kube_method_not_allowed(KubeRef what, const char *action)
{
    SCOPED(mem_free) char *gr = kube_group_resource(what.group, what.resource);
    what.name = NULL;
    Str s = {0};
    str_fmt(&s, "%s is not supported on resources of kind ", action);
    str_add_quoted(&s, gr);
    return failure(405, "MethodNotAllowed", str_take(&s), details_of(what));
}

json_t *kube_method_unknown(void)
{
    return failure(405, "MethodNotAllowed", mem_dup_str("the server does not allow this method on the requested resource"),
                   json_object());
}

json_t *kube_not_acceptable(const char *accepted)
{
    return failure(406, "NotAcceptable", mem_fmt("only the following media types are accepted: %s", accepted), NULL);
}

json_t *kube_unsupported_media_type(const char *accepted)
{
    return failure(415, "UnsupportedMediaType",
                   mem_fmt("the body of the request was in an unknown format - accepted media types include: %s", accepted), NULL);
}

json_t *kube_expired(const char *fmt, ...)
{
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    return failure(410, "Expired", str_take(&s), NULL);
}

json_t *kube_expired_version(int64_t asked, int64_t oldest)
{
    return kube_expired("too old resource version: %lld (%lld)", (long long)asked, (long long)oldest);
}

json_t *kube_gone(const char *message)
{
    return failure(410, "Gone", mem_dup_str(message), NULL);
}

json_t *kube_too_many_requests(const char *message, int retry_after_s)
{
    return failure(429, "TooManyRequests", mem_dup_str(message), with_retry(json_object(), retry_after_s));
}

json_t *kube_too_large(const char *message)
{
    return failure(413, "RequestEntityTooLarge", mem_fmt("Request entity too large: %s", message), NULL);
}

json_t *kube_body_too_large(int64_t max_bytes)
{
    SCOPED(mem_free) char *limit = mem_fmt("limit is %lld", (long long)max_bytes);
    return kube_too_large(limit);
}

json_t *kube_unauthorized(void)
{
    return failure(401, "Unauthorized", mem_dup_str("Unauthorized"), NULL);
}

json_t *kube_forbidden(KubeRef what, const char *why)
{
    SCOPED(mem_free) char *gr = kube_group_resource(what.group, what.resource);
    SCOPED(mem_free) char *after = mem_fmt(" is forbidden: %s", why);
    char *message = !*gr ? mem_fmt("forbidden: %s", why)
                    : str_empty(what.name) ? mem_fmt("%s%s", gr, after) : named(what, "", after);
    return failure(403, "Forbidden", message, details_of(what));
}

/* "Avoid emitting errors that look like valid HTML. Quotes are okay." (responsewriters/errors.go) */
static void add_sanitized(Str *s, const char *text)
{
    for (; *text; text++)
        if (*text == '&')
            str_add(s, "&amp;");
        else if (*text == '<')
            str_add(s, "&lt;");
        else if (*text == '>')
            str_add(s, "&gt;");
        else
            str_add_c(s, *text);
}

json_t *kube_forbidden_to(KubeRef what, const char *user, const char *verb, const char *sub, const char *namespace_, const char *path,
                          const char *reason)
{
    SCOPED(str_done) Str s = {0}, why = {0};
    str_add(&s, "User ");
    str_add_quoted(&s, str_or(user, ""));
    str_fmt(&s, " cannot %s ", verb);
    if (!what.resource) {
        str_add(&s, "path ");
        str_add_quoted(&s, str_or(path, ""));
    } else {
        SCOPED(mem_free) char *full = str_empty(sub) ? mem_dup_str(what.resource) : mem_fmt("%s/%s", what.resource, sub);
        str_add(&s, "resource ");
        str_add_quoted(&s, full);
        str_add(&s, " in API group ");
        str_add_quoted(&s, str_or(what.group, ""));
        str_add(&s, str_empty(namespace_) ? " at the cluster scope" : " in the namespace ");
        if (!str_empty(namespace_))
            str_add_quoted(&s, namespace_);
    }
    add_sanitized(&why, s.p);
    if (!str_empty(reason))
        str_fmt(&why, ": %s", reason);
    return kube_forbidden(what, why.p);
}

json_t *kube_internal(const char *message)
{
    json_t *d = json_object(), *causes = json_array(), *cause = json_object();
    json_object_set_new(cause, "message", text_json(message));
    json_array_append_new(causes, cause);
    json_object_set_new(d, "causes", causes);
    return failure(500, "InternalError", mem_fmt("Internal error occurred: %s", message), d);
}

json_t *kube_unavailable(const char *message)
{
    return failure(503, "ServiceUnavailable", mem_dup_str(message), NULL);
}

json_t *kube_timeout(const char *message, int retry_after_s)
{
    return failure(504, "Timeout", mem_fmt("Timeout: %s", message), with_retry(json_object(), retry_after_s));
}

/* --- from Err --------------------------------------------------------------------------------------------------- */

static json_t *by_kind(ErrKind kind, const char *text, KubeRef what)
{
    switch (kind) {
    case ERR_INVALID:
        return kube_bad_request("%s", text);
    case ERR_NOT_FOUND:
        return str_empty(what.name) ? failure(404, "NotFound", mem_dup_str(text), details_of(what)) : kube_not_found(what);
    case ERR_EXISTS:
        return kube_already_exists(what);
    case ERR_LIMIT:
        return kube_too_large(text);
    case ERR_UNAVAILABLE:
        return kube_unavailable(text);
    case ERR_TIMEOUT:
        return kube_timeout(text, 0);
    case ERR_UNSUPPORTED:
        return failure(405, "MethodNotAllowed", mem_dup_str(text), details_of(what));
    case ERR_SYS:
    case ERR_BUG:
        break;
    }
    return kube_internal(text);
}

json_t *kube_status_of(const Err *e, KubeRef what)
{
    SCOPED(mem_free) char *text = err_text(e);
    const char *r = e->reason;
    if (str_eq(r, "NotFound"))
        return by_kind(ERR_NOT_FOUND, text, what);
    if (str_eq(r, "AlreadyExists"))
        return kube_already_exists(what);
    if (str_eq(r, "Conflict"))
        return kube_conflict(what, text);
    if (str_eq(r, "Forbidden"))
        return kube_forbidden(what, text);
    if (str_eq(r, "TooManyRequests"))
        return kube_too_many_requests(text, 1);
    if (str_eq(r, "Timeout"))
        return kube_timeout(text, 0);
    if (str_eq(r, "InternalError"))
        return kube_internal(text);
    if (str_eq(r, "RequestEntityTooLarge"))
        return kube_too_large(text);
    if (str_eq(r, "Unauthorized"))
        return kube_unauthorized();
    /* The text is the whole message. */
    static const struct { const char *reason; int code; } plain[] = {
        {"BadRequest", 400}, {"MethodNotAllowed", 405}, {"NotAcceptable", 406}, {"Gone", 410},
        {"Expired", 410}, {"UnsupportedMediaType", 415}, {"Invalid", 422}, {"ServiceUnavailable", 503},
    };
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (str_eq(r, plain[i].reason))
            return failure(plain[i].code, r, mem_dup_str(text), plain[i].code == 422 ? details_of(what) : NULL);
    return by_kind(e->kind, text, what);
}
