/* go.c - values as Go prints them: upstream's messages show maps and lists by %v, and people search for those words. */
#include <math.h>
#include <stdio.h>

#include "patch/patch_priv.h"

/* The shortest digits that give the same double back, as strconv.FormatFloat(f, 'g', -1, 64). */
static void add_real(Str *s, double d)
{
    char buf[64];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(buf, sizeof buf, "%.*e", digits - 1, d);
        if (strtod(buf, NULL) == d) { /* the very value, not one near it */
            const char *e = strchr(buf, 'e');
            long exp = e ? strtol(e + 1, NULL, 10) : 0;
            if (exp >= -4 && exp < 21)
                (void)snprintf(buf, sizeof buf, "%.*f", exp >= digits - 1 ? 0 : (int)(digits - 1 - exp), d);
            break;
        }
    }
    str_add(s, buf);
}

static int by_key(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The keys of an object in order; caller frees the list. */
static const char **sorted_keys(const json_t *j, size_t *ret_n)
{
    const char **keys = mem_alloc_n(json_object_size(j), sizeof *keys);
    size_t n = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
        keys[n++] = key;
    qsort(keys, n, sizeof *keys, by_key);
    *ret_n = n;
    return keys;
}

static void add_scalar(Str *s, const json_t *j)
{
    if (json_is_integer(j))
        str_fmt(s, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    else if (json_is_real(j))
        add_real(s, json_real_value(j));
    else
        str_add(s, json_is_true(j) ? "true" : "false");
}

void patch_go_v(Str *s, const json_t *j)
{
    if (!j || json_is_null(j)) {
        str_add(s, "<nil>");
    } else if (json_is_object(j)) {
        size_t n;
        const char **keys = sorted_keys(j, &n);
        str_add(s, "map[");
        for (size_t i = 0; i < n; i++) {
            str_fmt(s, "%s%s:", i ? " " : "", keys[i]);
            patch_go_v(s, json_object_get(j, keys[i]));
        }
        str_add_c(s, ']');
        free(keys);
    } else if (json_is_array(j)) {
        str_add_c(s, '[');
        for (size_t i = 0; i < json_array_size(j); i++) {
            if (i)
                str_add_c(s, ' ');
            patch_go_v(s, json_array_get(j, i));
        }
        str_add_c(s, ']');
    } else if (json_is_string(j)) {
        str_add_n(s, json_string_value(j), json_string_length(j));
    } else {
        add_scalar(s, j);
    }
}

void patch_go_syntax(Str *s, const json_t *j)
{
    if (!j || json_is_null(j)) {
        str_add(s, "interface {}(nil)");
    } else if (json_is_object(j)) {
        size_t n;
        const char **keys = sorted_keys(j, &n);
        str_add(s, "map[string]interface {}{");
        for (size_t i = 0; i < n; i++) {
            str_add(s, i ? ", " : "");
            str_add_quoted(s, keys[i]);
            str_add_c(s, ':');
            patch_go_syntax(s, json_object_get(j, keys[i]));
        }
        str_add_c(s, '}');
        free(keys);
    } else if (json_is_array(j)) {
        str_add(s, "[]interface {}{");
        for (size_t i = 0; i < json_array_size(j); i++) {
            str_add(s, i ? ", " : "");
            patch_go_syntax(s, json_array_get(j, i));
        }
        str_add_c(s, '}');
    } else if (json_is_string(j)) {
        str_add_quoted(s, json_string_value(j));
    } else {
        add_scalar(s, j);
    }
}

const char *patch_go_type(const json_t *j)
{
    if (!j)
        return "<nil>";
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return "map[string]interface {}";
    case JSON_ARRAY:
        return "[]interface {}";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "int64";
    case JSON_REAL:
        return "float64";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_NULL:
    default:
        return "<nil>";
    }
}

char *patch_go_text(const json_t *j)
{
    Str s = {0};
    patch_go_v(&s, j);
    return str_take(&s);
}

bool patch_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_is_integer(a) && json_is_integer(b) ? json_integer_value(a) == json_integer_value(b)
                                                        : !islessgreater(json_number_value(a), json_number_value(b));
    if (json_is_array(a) && json_is_array(b)) {
        bool same = json_array_size(a) == json_array_size(b);
        for (size_t i = 0; same && i < json_array_size(a); i++)
            same = patch_equal(json_array_get(a, i), json_array_get(b, i));
        return same;
    }
    if (json_is_object(a) && json_is_object(b)) {
        if (json_object_size(a) != json_object_size(b))
            return false;
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)a, key, v) {
            const json_t *w = json_object_get(b, key);
            if (!w || !patch_equal(v, w))
                return false;
        }
        return true;
    }
    return json_equal(a, b);
}

size_t patch_depth(const json_t *j, size_t limit, size_t *budget)
{
    if (*budget == 0 || (!json_is_object(j) && !json_is_array(j)))
        return 0;
    size_t deepest = 0;
    const char *key;
    json_t *v;
    size_t i;
    *budget -= 1;
    if (limit == 0)
        return 1;
    if (json_is_object(j)) {
        json_object_foreach((json_t *)(uintptr_t)j, key, v) {
            size_t d = patch_depth(v, limit - 1, budget);
            deepest = d > deepest ? d : deepest;
            *budget -= *budget > 0;
        }
    } else {
        json_array_foreach(j, i, v) {
            size_t d = patch_depth(v, limit - 1, budget);
            deepest = d > deepest ? d : deepest;
            *budget -= *budget > 0;
        }
    }
    return deepest + 1;
}

Err *patch_check_depth(const json_t *j)
{
    size_t budget = SIZE_MAX;
    if (patch_depth(j, PATCH_MAX_DEPTH, &budget) > PATCH_MAX_DEPTH)
        return PATCH_LIMIT("the patched object is nested deeper than %d", PATCH_MAX_DEPTH);
    return NULL;
}
