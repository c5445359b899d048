/* status_text.c - the words for what the server refuses, and paths. Pure. */
#include "client/api.h"
#include "client/fields.h"

#define NO_REASON "-" /* a Status without a reason: still the server's answer */

/* "The Pod "x" is invalid: spec.containers: Required value": the causes, each once; several are a list. */
static char *invalid_text(const json_t *status)
{
    const json_t *details = at(status, "details"), *causes = at(details, "causes");
    SCOPED(strvec_done) StrVec lines = {0};
    Str s = {0};
    for (size_t i = 0; i < json_array_size(causes); i++) {
        const json_t *c = json_array_get(causes, i);
        SCOPED(mem_free) char *line = mem_fmt("%s: %s", at_str(c, "field"), at_str(c, "message"));
        if (!strvec_has(&lines, line))
            strvec_add(&lines, line);
    }
    bool named = *at_str(details, "kind") || *at_str(details, "name");
    if (named)
        str_fmt(&s, "The %s \"%s\" is invalid", at_str(details, "kind"), at_str(details, "name"));
    else
        str_add(&s, "The request is invalid");
    if (!named && !lines.n && *at_str(status, "message"))
        str_fmt(&s, ": %s", at_str(status, "message"));
    if (lines.n)
        str_add(&s, ": ");
    if (lines.n == 1)
        str_add(&s, lines.v[0]);
    for (size_t i = 0; lines.n > 1 && i < lines.n; i++)
        str_fmt(&s, "\n* %s", lines.v[i]);
    return str_take(&s);
}

Err *api_status_error(const json_t *status, long code)
{
    const char *reason = at_str(status, "reason"), *message = at_str(status, "message");
    if (!str_eq(at_str(status, "kind"), "Status"))
        return err_reason(err_new(ERR_UNAVAILABLE, 0, "the server answered with HTTP status %ld", code), NO_REASON);
    ErrKind kind = str_eq(reason, "NotFound")                                      ? ERR_NOT_FOUND
                   : str_eq(reason, "AlreadyExists") || str_eq(reason, "Conflict") ? ERR_EXISTS
                                                                                   : ERR_UNAVAILABLE;
    if (str_eq(reason, "Invalid")) {
        SCOPED(mem_free) char *text = invalid_text(status);
        return err_reason(err_new(kind, 0, "%s", text), reason);
    }
    return err_reason(err_new(kind, 0, "%s", *message ? message : "unknown"), *reason ? reason : NO_REASON);
}

char *api_error_text(const Err *e)
{
    SCOPED(mem_free) char *text = err_text(e);
    if (!e->reason[0])
        return mem_fmt("error: %s", text);
    if (str_eq(e->reason, "Invalid"))
        return MOVE(text, NULL);
    if (str_eq(e->reason, "Unauthorized"))
        return mem_fmt("error: You must be logged in to the server (%s)", text);
    if (str_eq(e->reason, NO_REASON))
        return mem_fmt("Error from server: %s", text);
    return mem_fmt("Error from server (%s): %s", e->reason, text);
}

bool api_is(const Err *e, const char *reason)
{
    return e && str_eq(e->reason, reason);
}

void api_escape(Str *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            str_add_c(out, *text);
        else
            str_fmt(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

void api_query(Str *path, const char *key, const char *value)
{
    str_fmt(path, "%c%s=", strchr(str_or(path->p, ""), '?') ? '&' : '?', key);
    api_escape(path, value);
}
