/* merge.c - RFC 7386, and the difference that is one. */
#include "patch/patch_priv.h"

/* <patch> as it looks when there is nothing to merge it with: without its nulls. As evanphx/json-patch, and unlike the
 * RFC's pseudocode, members that are null go from objects inside of lists too; nulls in lists stay. */
static json_t *without_nulls(json_t *patch)
{
    const char *key;
    json_t *v;
    size_t i;
    if (json_is_object(patch)) {
        json_t *out = json_object();
        json_object_foreach(patch, key, v)
            if (!json_is_null(v))
                (void)json_object_set_new(out, key, without_nulls(v));
        return out;
    }
    if (json_is_array(patch)) {
        json_t *out = json_array();
        json_array_foreach(patch, i, v)
            (void)json_array_append_new(out, without_nulls(v));
        return out;
    }
    return json_deep_copy(patch);
}

/* Merges into <doc>, an object that is ours. */
static void merge_into(json_t *doc, json_t *patch)
{
    const char *key;
    json_t *v;
    json_object_foreach(patch, key, v) {
        json_t *old = json_object_get(doc, key);
        if (json_is_null(v))
            (void)json_object_del(doc, key);
        else if (json_is_object(old) && json_is_object(v))
            merge_into(old, v);
        else
            (void)json_object_set_new(doc, key, without_nulls(v));
    }
}

Err *patch_merge(const json_t *doc, const json_t *patch, json_t **ret)
{
    if (!json_is_object(patch))
        return PATCH_BAD("error decoding patch: json: cannot unmarshal %s into Go value of type map[string]interface {}",
                         patch_go_type(patch));
    if (!json_is_object(doc))
        return PATCH_BAD("Invalid JSON Document");
    SCOPED(json_unref) json_t *out = json_deep_copy(doc);
    SCOPED(json_unref) json_t *p = json_deep_copy(patch);
    merge_into(out, p);
    *ret = MOVE(out, NULL);
    return NULL;
}

json_t *patch_merge_diff(const json_t *from, const json_t *to)
{
    json_t *out = json_object();
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)from, key, v)
        if (!json_object_get(to, key))
            (void)json_object_set_new(out, key, json_null());
    json_object_foreach((json_t *)(uintptr_t)to, key, v) {
        const json_t *old = json_object_get(from, key);
        if (old && json_equal(old, v))
            continue;
        (void)json_object_set_new(out, key, json_is_object(old) && json_is_object(v) ? patch_merge_diff(old, v)
                                                                                      : json_deep_copy(v));
    }
    return out;
}
