#include "wire/json.h"

#include "base/str.h"

#define MAX_TEXT (4u << 20)
#define MAX_DEPTH 256

/* Nesting is checked before parsing: jansson's own limit (2048) is fixed when it is built. Quoted text does not count;
 * a text that is not JSON may count wrongly, and then fails in the parser. */
bool json_too_deep(const char *text, size_t n)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
            continue;
        }
        if (c == '"')
            quoted = true;
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth)
            depth--;
        if (depth > MAX_DEPTH)
            return true;
    }
    return false;
}

Err *json_parse(const char *text, size_t n, json_t **ret)
{
    if (n > MAX_TEXT)
        return err_new(ERR_LIMIT, 0, "JSON text of %zu bytes: must be at most %u", n, MAX_TEXT);
    if (json_too_deep(text, n))
        return err_new(ERR_LIMIT, 0, "JSON text: nested deeper than %d", MAX_DEPTH);
    json_error_t why;
    json_t *j = json_loadb(text ? text : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!j)
        return err_new(ERR_INVALID, 0, "JSON: line %d, column %d: %s", why.line, why.column, why.text);
    *ret = j;
    return NULL;
}

const char *json_str(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

int64_t json_i64(const json_t *o, const char *key, int64_t otherwise)
{
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

bool json_flag(const json_t *o, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

char *json_text(const json_t *j, bool pretty)
{
    /* 17 digits give every double back; more would print noise. */
    size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) | (pretty ? (size_t)JSON_INDENT(2) : (size_t)JSON_COMPACT);
    char *s = json_dumps(j, flags);
    return s ? s : mem_dup_str("null");
}
