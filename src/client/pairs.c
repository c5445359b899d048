#include "client/pairs.h"

#include "base/err.h"

static bool is_pair(const char *word)
{
    return strchr(word, '=') || (word[0] && str_ends(word, "-") && str_ends(word, "--") == false);
}

size_t pairs_begin(const char *const *words, size_t n)
{
    size_t i = 0;
    while (i < n && !is_pair(words[i]))
        i++;
    return i;
}

Err *pairs_parse(const char *const *words, size_t n, const char *what, json_t **ret)
{
    SCOPED(json_unref) json_t *pairs = json_object();
    if (!n)
        return err_new(ERR_INVALID, 0, "at least one %s update is required", what);
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(words[i], '=');
        size_t len = equals ? (size_t)(equals - words[i]) : strlen(words[i]) - 1;
        if (!is_pair(words[i]))
            return err_new(ERR_INVALID, 0, "all resources must be specified before %s changes: %s", what, words[i]);
        if (!len)
            return err_new(ERR_INVALID, 0, "invalid %s spec: %s", what, words[i]);
        SCOPED(mem_free) char *key = mem_dup_strn(words[i], len);
        const json_t *before = json_object_get(pairs, key);
        if (before && json_is_null(before) != !equals)
            return err_new(ERR_INVALID, 0, "can not both modify and remove a %s in the same command", what);
        if (json_object_set_new(pairs, key, equals ? json_string(equals + 1) : json_null()) != 0)
            return err_new(ERR_INVALID, 0, "invalid %s spec: %s: no UTF-8", what, words[i]);
    }
    *ret = MOVE(pairs, NULL);
    return NULL;
}

char *pairs_overwritten(const json_t *pairs, const json_t *now)
{
    Str s = {0};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)pairs, key, value) {
        const char *old = json_str(now, key);
        if (old && json_is_string(value) && !str_eq(old, json_string_value(value)))
            str_fmt(&s, "%s'%s' already has a value (%s)", s.n ? "; " : "", key, old);
    }
    return s.n ? str_take(&s) : NULL;
}

const char *labels_changed(const json_t *before, const json_t *after)
{
    size_t n = json_object_size(before), m = json_object_size(after);
    if (n == m && (n == 0 || json_equal(before, after)))
        return "not labeled";
    return m < n ? "unlabeled" : "labeled";
}
