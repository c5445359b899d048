#include "client/condition.h"

#include <ctype.h>
#include <strings.h>

#include "client/fields.h"

/* At each single "=": "==" is a comparison within the path. */
static size_t single_equals(const char *s)
{
    size_t i = 0;
    while (s[i] && s[i] != '=')
        i++;
    while (s[i] && s[i + 1] == '=') {
        i += 2;
        while (s[i] && s[i] != '=')
            i++;
    }
    return i;
}

static Err *parse_path(const char *text, WaitFor *f)
{
    size_t n = single_equals(text);
    SCOPED(mem_free) char *path = mem_dup_strn(text, n);
    if (!*path)
        return err_new(ERR_INVALID, 0, "jsonpath expression cannot be empty");
    if (text[n]) {
        const char *value = text + n + 1;
        size_t len;
        if (value[single_equals(value)])
            return err_new(ERR_INVALID, 0,
                           "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or "
                           "--for=jsonpath='{.status.readyReplicas}'");
        while (*value == '\'' || *value == '"')
            value++;
        for (len = strlen(value); len && (value[len - 1] == '\'' || value[len - 1] == '"');)
            len--;
        if (!len)
            return err_new(
                ERR_INVALID, 0,
                "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3");
        f->value = mem_dup_strn(value, len);
    }
    return jsonpath_parse_relaxed(path, &f->path);
}

Err *wait_parse(const char *text, WaitFor *ret)
{
    *ret = (WaitFor){0};
    if (strcasecmp(text, "create") == 0 || strcasecmp(text, "delete") == 0) {
        ret->kind = tolower((unsigned char)text[0]) == 'c' ? WAIT_CREATE : WAIT_DELETE;
        return NULL;
    }
    if (str_starts(text, "condition=") && text[10]) {
        const char *type = text + 10, *equals = strchr(type, '=');
        ret->kind = WAIT_CONDITION;
        ret->type = mem_dup_strn(type, equals ? (size_t)(equals - type) : strlen(type));
        ret->status = mem_dup_str(equals ? equals + 1 : "true");
        return NULL;
    }
    if (str_starts(text, "jsonpath=")) {
        ret->kind = WAIT_JSONPATH;
        return parse_path(text + 9, ret);
    }
    return err_new(ERR_INVALID, 0, "unrecognized condition: \"%s\"", text);
}

void wait_done(WaitFor *f)
{
    free(f->type);
    free(f->status);
    free(f->value);
    jsonpath_free(f->path);
    *f = (WaitFor){0};
}

static bool condition_met(const WaitFor *f, const json_t *object)
{
    const json_t *list = at(object, "status.conditions"), *generation = at(object, "metadata.generation");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        if (strcasecmp(at_str(c, "type"), f->type) != 0 || !json_is_string(at(c, "status")))
            continue;
        const json_t *observed = at(c, "observedGeneration");
        observed = observed ? observed : at(object, "status.observedGeneration");
        if (generation && observed && json_integer_value(observed) < json_integer_value(generation))
            return false; /* it is said of an older spec */
        return strcasecmp(at_str(c, "status"), f->status) == 0;
    }
    return false;
}

static bool same_text(const char *a, const char *b)
{
    while (isspace((unsigned char)*a))
        a++;
    while (isspace((unsigned char)*b))
        b++;
    size_t n = strlen(a), m = strlen(b);
    while (n && isspace((unsigned char)a[n - 1]))
        n--;
    while (m && isspace((unsigned char)b[m - 1]))
        m--;
    return n == m && strncmp(a, b, n) == 0;
}

static Err *path_met(const WaitFor *f, const json_t *object, bool *ret)
{
    SCOPED(json_unref) json_t *found = NULL;
    Err *e = jsonpath_find(f->path, object, &found);
    const json_t *one = json_array_get(found, 0);
    if (e || !one)
        return e;
    if (json_array_size(found) > 1)
        return err_new(ERR_INVALID, 0, "given jsonpath expression matches more than one value");
    if (f->value && (json_is_object(one) || json_is_array(one)))
        return err_new(ERR_INVALID, 0, "jsonpath leads to a nested object or list which is not supported");
    SCOPED(mem_free) char *text = value_text(one);
    *ret = !f->value || same_text(text, f->value);
    return NULL;
}

Err *wait_met(const WaitFor *f, const json_t *object, bool *ret)
{
    *ret = false;
    switch (f->kind) {
    case WAIT_CREATE:
        *ret = object != NULL;
        break;
    case WAIT_DELETE:
        *ret = object == NULL;
        break;
    case WAIT_CONDITION:
        *ret = condition_met(f, object);
        break;
    case WAIT_JSONPATH:
        return path_met(f, object, ret);
    }
    return NULL;
}
