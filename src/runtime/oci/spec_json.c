/* spec_json.c - small hands for building JSON with jansson: every failure is out of memory, and aborts. */
#include "runtime/oci/spec_priv.h"

static json_t *must(json_t *j)
{
    if (!j)
        abort();
    return j;
}

json_t *jstr(const char *s)
{
    json_t *j = json_string(s);
    if (j)
        return j;
    char *copy = mem_dup_str(s);
    for (char *p = copy; *p; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    j = must(json_string(copy));
    free(copy);
    return j;
}

json_t *jwords(const char *words)
{
    json_t *a = must(json_array());
    while (*words) {
        size_t n = strcspn(words, " ");
        if (n)
            jadd(a, must(json_stringn(words, n)));
        words += n + (words[n] == ' ');
    }
    return a;
}

void jset(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, must(value)) != 0)
        abort();
}

void jadd(json_t *array, json_t *value)
{
    if (json_array_append_new(array, must(value)) != 0)
        abort();
}

json_t *jarray_at(json_t *object, const char *key)
{
    json_t *a = json_object_get(object, key);
    if (!json_is_array(a)) {
        a = json_array();
        jset(object, key, a);
    }
    return a;
}

json_t *jobject_at(json_t *object, const char *key)
{
    json_t *o = json_object_get(object, key);
    if (!json_is_object(o)) {
        o = json_object();
        jset(object, key, o);
    }
    return o;
}

Err *jcheck(const char *what, const char *s)
{
    SCOPED(json_unref) json_t *j = json_string(s);
    return j ? NULL : err_reason(err_new(ERR_INVALID, 0, "%s is not valid UTF-8", what), REASON_CREATE);
}

void jenv_set(json_t *env, const char *assignment)
{
    const char *eq = strchr(assignment, '=');
    size_t n = eq ? (size_t)(eq - assignment) + 1 : strlen(assignment);
    for (size_t i = 0; i < json_array_size(env); i++) {
        const char *have = json_string_value(json_array_get(env, i));
        if (have && strncmp(have, assignment, n) == 0) {
            if (json_array_set_new(env, i, jstr(assignment)) != 0)
                abort();
            return;
        }
    }
    jadd(env, jstr(assignment));
}
