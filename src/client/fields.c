#include "client/fields.h"

#include <ctype.h>
#include <time.h>

const json_t *at(const json_t *o, const char *path)
{
    while (*path && o) {
        size_t n = strcspn(path, ".");
        o = json_object_getn(o, path, n);
        path += n + (path[n] == '.');
    }
    return o;
}

const char *at_str(const json_t *o, const char *path)
{
    return str_or(json_string_value(at(o, path)), "");
}

int64_t at_i64(const json_t *o, const char *path)
{
    return json_integer_value(at(o, path));
}

bool at_true(const json_t *o, const char *path)
{
    return json_is_true(at(o, path));
}

char *value_text(const json_t *v)
{
    if (!v)
        return mem_dup_str("");
    return json_is_string(v) ? mem_dup_str(json_string_value(v)) : json_text(v, false);
}

static int compare(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

StrVec keys_sorted(const json_t *o)
{
    StrVec keys = {0};
    for (void *i = json_object_iter((json_t *)(uintptr_t)o); i; i = json_object_iter_next((json_t *)(uintptr_t)o, i))
        strvec_add(&keys, json_object_iter_key(i));
    if (keys.n)
        qsort(keys.v, keys.n, sizeof *keys.v, compare);
    return keys;
}

char *rfc1123(const char *time, char *buf)
{
    int64_t ns;
    struct tm tm;
    if (str_empty(time) || !clock_parse(time, &ns)) {
        memcpy(buf, "Mon, 01 Jan 0001 00:00:00 +0000", sizeof "Mon, 01 Jan 0001 00:00:00 +0000");
        return buf;
    }
    time_t seconds = (time_t)(ns / NS_PER_S - (ns % NS_PER_S < 0));
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(buf, RFC1123_MAX, "%a, %d %b %Y %H:%M:%S +0000", &tm);
    return buf;
}

char *kind_lower(const json_t *object)
{
    const char *version = at_str(object, "apiVersion"), *slash = strchr(version, '/');
    char *s = slash ? mem_fmt("%s.%.*s", at_str(object, "kind"), (int)(slash - version), version)
                    : mem_dup_str(at_str(object, "kind"));
    for (char *c = s; *c && *c != '.'; c++)
        *c = (char)tolower((unsigned char)*c);
    return s;
}

json_t *json_sorted(const json_t *j) // NOLINT(misc-no-recursion): no deeper than json_parse() allows
{
    if (json_is_object(j)) {
        json_t *o = json_object();
        SCOPED(strvec_done) StrVec keys = keys_sorted(j);
        for (size_t i = 0; i < keys.n; i++)
            json_object_set_new(o, keys.v[i], json_sorted(json_object_get(j, keys.v[i])));
        return o;
    }
    if (json_is_array(j)) {
        json_t *a = json_array();
        for (size_t i = 0; i < json_array_size(j); i++)
            json_array_append_new(a, json_sorted(json_array_get(j, i)));
        return a;
    }
    return json_deep_copy(j);
}
