/* strategic.c - strategic merge patch, as apimachinery's strategicpatch does it for a server (MergeParallelList and
 * IgnoreUnmatchedNulls set). The order of a merged list is the part that nobody guesses:
 *   1. what the patch names stands in the patch's order ($setElementOrder/x, or the order of x in the patch),
 *   2. what only the server has keeps the server's order,
 *   3. the two are interleaved: a server's element goes in front of the first element of the patch that the server had behind it.
 * Both documents are copies that are ours; the functions take them apart. */
#include <strings.h>

#include "patch/patch_priv.h"

#define DIRECTIVE "$patch"
#define RETAIN_KEYS "$retainKeys"
#define DELETE_PREFIX "$deleteFromPrimitiveList"
#define ORDER_PREFIX "$setElementOrder"

static Err *merge_map(json_t *original, json_t *patch, PatchPlace at, json_t **ret);

/* --- words ------------------------------------------------------------------------------------------------------ */

static Err *bad_type(const char *expected, const json_t *got)
{
    if (!got || json_is_null(got))
        return err_new(ERR_INVALID, 0, "expected a %s, but received a %%!s(<nil>)", expected);
    return err_new(ERR_INVALID, 0, "expected a %s, but received a %s", expected, patch_go_type(got));
}
static Err *not_a_list(const json_t *got) { return bad_type("[]interface {}", got); }
static Err *not_a_map(const json_t *got) { return bad_type("map[string]interface {}", got); }

static Err *no_merge_key(const json_t *map, const char *key)
{
    SCOPED(mem_free) char *text = patch_go_text(map);
    return err_new(ERR_INVALID, 0, "map: %s does not contain declared merge key: %s", text, key);
}

static Err *bad_directive(const json_t *directive, const json_t *map)
{
    SCOPED(mem_free) char *d = patch_go_text(directive);
    SCOPED(mem_free) char *text = patch_go_text(map);
    return err_new(ERR_INVALID, 0, "unknown patch type: %s in map: %s", d, text);
}

static Err *bad_order_list(void)
{
    return PATCH_BAD("invalid patch format of setElementOrder list");
}

static bool is_directive(const json_t *v, const char *name)
{
    return json_is_string(v) && strcmp(json_string_value(v), name) == 0;
}

/* --- types ------------------------------------------------------------------------------------------------------ */

typedef struct {
    PatchPlace at; /* of the value, or of the elements of a list */
    bool merge;
    const char *merge_key; /* NULL: the elements are scalars */
} Meta;

/* What the field <key> of the object at <at> is; as Go's encoding/json it forgives upper and lower case. */
static Err *look_up(PatchPlace at, const char *key, const PatchField **ret)
{
    static const PatchField any = {.name = "", .type = &patch_free, .shape = SHAPE_ONE};
    if (at.shape == SHAPE_ONE && at.type->kind == PT_FREE) {
        *ret = &any;
        return NULL;
    }
    if (at.shape != SHAPE_ONE || at.type->kind != PT_STRUCT)
        return err_new(ERR_INVALID, 0, "merging an object in json but data type is not struct, instead is: %s",
                       at.shape == SHAPE_ONE                                     ? at.type->name
                       : at.shape == SHAPE_MAP || at.shape == SHAPE_MAP_ATOMIC ? "map"
                                                                                 : "slice");
    const PatchField *f = patch_field(at.type, key);
    for (size_t i = 0; i < at.type->n && !f; i++)
        if (strcasecmp(at.type->field[i].name, key) == 0)
            f = &at.type->field[i];
    if (!f && at.type->open)
        f = &any;
    if (!f) {
        Str quoted = {0};
        str_add_quoted(&quoted, key);
        SCOPED(mem_free) char *q = str_take(&quoted);
        return err_new(ERR_INVALID, 0, "unable to find api field in struct %s for the json field %s", at.type->name, q);
    }
    *ret = f;
    return NULL;
}

static Err *look_up_list(PatchPlace at, const char *key, Meta *ret)
{
    const PatchField *f;
    Err *e = look_up(at, key, &f);
    if (e)
        return e;
    PatchPlace p = patch_place_field(f);
    bool list = f->shape == SHAPE_LIST || f->shape == SHAPE_LIST_SET || f->shape == SHAPE_LIST_MAP || f->type == &patch_free;
    if (!list)
        return err_new(ERR_INVALID, 0, "expected slice or array type, but got: struct");
    *ret = (Meta){patch_place_elem(p), (f->smp & SMP_MERGE) != 0, f->merge_key};
    return NULL;
}

/* All elements of both lists have the same type of Go; *ret_maps: they are objects. */
static Err *element_type(const json_t *a, const json_t *b, bool *ret_maps)
{
    const json_t *lists[] = {a, b};
    const char *type = NULL;
    for (size_t k = 0; k < 2; k++) {
        size_t i;
        const json_t *v;
        json_array_foreach(lists[k], i, v) {
            const char *t = patch_go_type(v);
            if (!type && json_is_array(v))
                return PATCH_INVALID("lists of lists are not supported");
            if (json_is_null(v) || (type && strcmp(t, type) != 0)) {
                Str s = {0};
                static const char none[] = "[]";
                for (size_t l = 0; l < 2; l++) {
                    str_add(&s, l ? " " : "[");
                    if (lists[l])
                        patch_go_v(&s, lists[l]);
                    else
                        str_add(&s, none);
                }
                SCOPED(mem_free) char *text = str_take(&s);
                return err_new(ERR_INVALID, 0, "list element types are not identical: %s]", text);
            }
            type = t;
        }
    }
    if (!type)
        return err_new(ERR_INVALID, 0, "no elements in any of the given slices");
    *ret_maps = strcmp(type, "map[string]interface {}") == 0;
    return NULL;
}

/* --- lists ------------------------------------------------------------------------------------------------------ */

/* What an element is found by: its merge key's value, or itself. NULL: it has none. */
static const json_t *identity(const json_t *v, const char *merge_key)
{
    return merge_key ? json_object_get(v, merge_key) : v;
}

/* A value as a key of an object: a string and the number that looks like it differ. Caller frees. */
static char *identity_text(const json_t *id)
{
    if (json_is_string(id))
        return mem_fmt("s%s", json_string_value(id));
    char *text = json_dumps(id, JSON_COMPACT | JSON_ENCODE_ANY);
    return text ? text : mem_dup_str("");
}

/* Identity -> index of the first element that has it; a new object. */
static json_t *index_of_list(const json_t *list, const char *merge_key)
{
    json_t *x = json_object();
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v) {
        const json_t *id = identity(v, merge_key);
        SCOPED(mem_free) char *text = id ? identity_text(id) : NULL;
        if (text && !json_object_get(x, text))
            (void)json_object_set_new(x, text, json_integer((json_int_t)i));
    }
    return x;
}

/* -1: not in it. */
static int64_t index_get(const json_t *index, const json_t *id)
{
    SCOPED(mem_free) char *text = id ? identity_text(id) : NULL;
    return text ? json_i64(index, text, -1) : -1;
}

static Err *require_keys(const json_t *list, const char *merge_key)
{
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v) {
        if (!json_is_object(v))
            return not_a_map(v);
        if (!json_object_get(v, merge_key))
            return no_merge_key(v, merge_key);
    }
    return NULL;
}

/* Sorts <list> by the order of <order>, in place. An element that <order> does not have compares as smaller than whatever
 * it meets, which is no order at all; Go's stable sort is an insertion sort for up to 20 elements, so this is one. */
static void sort_by(json_t *list, const json_t *order, const char *merge_key)
{
    SCOPED(json_unref) json_t *index = index_of_list(order, merge_key);
    size_t n = json_array_size(list);
    struct Ranked {
        json_t *v;
        int64_t rank;
    } *r = mem_alloc_n(n, sizeof *r);
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_array_get(list, i);
        r[i] = (struct Ranked){json_incref(v), index_get(index, identity(v, merge_key))};
    }
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && (r[j].rank < 0 || r[j - 1].rank < 0 || r[j].rank < r[j - 1].rank); j--) {
            struct Ranked swap = r[j];
            r[j] = r[j - 1];
            r[j - 1] = swap;
        }
    for (size_t i = 0; i < n; i++)
        (void)json_array_set_new(list, i, r[i].v);
    free(r);
}

/* Takes <merged> apart into what <by> has and what it has not; both results are new. */
static void partition(const json_t *merged, const json_t *by, const char *merge_key, json_t **ret_in, json_t **ret_out)
{
    SCOPED(json_unref) json_t *index = index_of_list(by, merge_key);
    size_t i;
    json_t *v;
    *ret_in = json_array();
    *ret_out = json_array();
    json_array_foreach(merged, i, v)
        (void)json_array_append(index_get(index, identity(v, merge_key)) >= 0 ? *ret_in : *ret_out, v);
}

/* <merged> in its final order, a new list: what <order> names in that order, the rest in the order of <server>. */
static Err *put_in_order(const json_t *merged, const json_t *order, const json_t *server, const char *merge_key, bool maps,
                         json_t **ret)
{
    Err *e = NULL;
    const char *key = merge_key;
    if (maps && !merge_key)
        return err_new(ERR_INVALID, 0, "cannot merge lists without merge key for struct");
    if (merge_key && ((e = require_keys(merged, key)) || (e = require_keys(order, key)) || (e = require_keys(server, key))))
        return e;
    json_t *in, *out;
    partition(merged, order, key, &in, &out);
    SCOPED(json_unref) json_t *named = in;
    SCOPED(json_unref) json_t *rest = out;
    sort_by(named, order, key);
    sort_by(rest, server, key);
    SCOPED(json_unref) json_t *index = index_of_list(server, key);
    json_t *all = json_array();
    size_t i = 0, j = 0, n_rest = json_array_size(rest), n_named = json_array_size(named);
    while (i < n_rest || j < n_named) {
        int64_t left = i < n_rest ? index_get(index, identity(json_array_get(rest, i), key)) : -1;
        int64_t right = j < n_named ? index_get(index, identity(json_array_get(named, j), key)) : -1;
        bool take_rest = j >= n_named || (i < n_rest && left >= 0 && right >= 0 && left < right);
        (void)json_array_append(all, take_rest ? json_array_get(rest, i++) : json_array_get(named, j++));
    }
    *ret = all;
    return NULL;
}

/* Each scalar once, in the order that upstream's swapping with the last one gives. Takes a list that is ours. */
static void deduplicate(json_t *list)
{
    SCOPED(json_unref) json_t *index = index_of_list(list, NULL);
    if (json_object_size(index) == json_array_size(list))
        return;
    for (size_t i = 0; i + 1 < json_array_size(list); i++)
        for (size_t j = i + 1; j < json_array_size(list);) {
            if (!json_equal(json_array_get(list, i), json_array_get(list, j))) {
                j++;
                continue;
            }
            size_t last = json_array_size(list) - 1;
            json_t *moved = json_array_get(list, last);
            if (j != last)
                (void)json_array_set(list, j, moved);
            (void)json_array_remove(list, last);
        }
}

/* What upstream's deletions leave behind in the very array that $setElementOrder then takes for the server's order: they
 * move the rest to the front, and elements that are added overwrite what stands behind it. Results depend on it, so it is
 * done here too: <server> keeps its length, the first *n count. */
static void delete_in_place(json_t *server, size_t *n, const json_t *doomed, const char *merge_key)
{
    size_t d;
    const json_t *v;
    json_array_foreach(doomed, d, v)
        for (size_t i = 0; i < *n;) {
            if (!json_equal(identity(json_array_get(server, i), merge_key), identity(v, merge_key))) {
                i++;
                continue;
            }
            for (size_t k = i; k + 1 < *n; k++)
                (void)json_array_set(server, k, json_array_get(server, k + 1));
            *n -= 1;
        }
}

/* Directives that stand for elements: $patch: delete and replace. *original and *patch are replaced by new lists. */
static Err *special_elements(json_t **original, json_t **patch, const char *merge_key, json_t *server, size_t *n_server)
{
    SCOPED(json_unref) json_t *plain = json_array();
    SCOPED(json_unref) json_t *doomed = json_array();
    bool replace = false;
    size_t i;
    json_t *v;
    json_array_foreach(*patch, i, v) {
        const json_t *d = json_object_get(v, DIRECTIVE);
        if (!d) {
            (void)json_array_append(plain, v);
        } else if (is_directive(d, "delete")) {
            if (!json_object_get(v, merge_key))
                return no_merge_key(v, merge_key);
            (void)json_array_append(doomed, v);
        } else if (is_directive(d, "replace")) {
            replace = true;
        } else if (is_directive(d, "merge")) {
            return err_new(ERR_INVALID, 0, "merging lists cannot yet be specified in the patch");
        } else {
            return bad_directive(d, v);
        }
    }
    json_t *in, *out;
    partition(*original, doomed, merge_key, &in, &out);
    json_decref(in);
    if (server)
        delete_in_place(server, n_server, doomed, merge_key);
    json_decref(*original);
    json_decref(*patch);
    if (replace)
        json_decref(out);
    *original = replace ? MOVE(plain, NULL) : out;
    *patch = replace ? json_array() : MOVE(plain, NULL);
    return NULL;
}

/* Merges the objects of <patch> into those of <list> that have the same key, in place; new ones go to the end, and into
 * <server> (NULL: none) from <n_server> on, as long as it has room. */
static Err *merge_elements(json_t *list, const json_t *patch, const Meta *m, json_t *server, size_t n_server)
{
    SCOPED(json_unref) json_t *index = index_of_list(list, m->merge_key);
    size_t i;
    json_t *v;
    json_array_foreach(patch, i, v) {
        const json_t *id = json_object_get(v, m->merge_key);
        if (!id)
            return no_merge_key(v, m->merge_key);
        int64_t at = index_get(index, id);
        if (at < 0) {
            SCOPED(mem_free) char *text = identity_text(id);
            (void)json_object_set_new(index, text, json_integer((json_int_t)json_array_size(list)));
            (void)json_array_append(list, v);
            if (server && n_server < json_array_size(server))
                (void)json_array_set(server, n_server++, v);
            continue;
        }
        json_t *merged;
        Err *e = merge_map(json_array_get(list, (size_t)at), v, m->at, &merged);
        if (e)
            return e;
        (void)json_array_set_new(list, (size_t)at, merged);
    }
    return NULL;
}

/* <server>: NULL, or what becomes of the server's order (delete_in_place()). */
static Err *merge_list(json_t *original, json_t *patch, const Meta *m, bool is_delete, json_t *server, json_t **ret)
{
    if (!m->merge && !is_delete) {
        *ret = json_incref(patch);
        return NULL;
    }
    if (json_array_size(original) == 0 && json_array_size(patch) == 0) {
        *ret = json_incref(original);
        return NULL;
    }
    if (json_array_size(original) > PATCH_MAX_LIST || json_array_size(patch) > PATCH_MAX_LIST)
        return PATCH_LIMIT("a list that is merged must have at most %d elements", PATCH_MAX_LIST);
    bool maps;
    Err *e = element_type(original, patch, &maps);
    if (e)
        return e;
    SCOPED(json_unref) json_t *ours = json_copy(original);
    SCOPED(json_unref) json_t *theirs = json_copy(patch);
    SCOPED(json_unref) json_t *merged = NULL;
    if (!maps) {
        if (is_delete) {
            json_t *in;
            partition(ours, theirs, NULL, &in, ret);
            json_decref(in);
            return NULL;
        }
        merged = json_copy(ours);
        (void)json_array_extend(merged, theirs);
        deduplicate(merged);
        return put_in_order(merged, theirs, ours, m->merge_key, false, ret);
    }
    if (!m->merge_key)
        return err_new(ERR_INVALID, 0, "cannot merge lists without merge key for %s",
                       m->at.type->kind == PT_STRUCT ? "struct" : m->at.type->name);
    size_t n_server = json_array_size(server);
    e = special_elements(&ours, &theirs, m->merge_key, server, &n_server);
    if (e)
        return e;
    merged = json_copy(ours);
    e = merge_elements(merged, theirs, m, server, n_server);
    return e ? e : put_in_order(merged, theirs, ours, m->merge_key, true, ret);
}

/* --- objects ---------------------------------------------------------------------------------------------------- */

/* Drops objects that carry $patch, at any depth; a new reference, NULL when <v> itself is one. */
static json_t *without_directives(json_t *v)
{
    if (json_is_object(v)) {
        if (json_object_get(v, DIRECTIVE))
            return NULL;
        json_t *out = json_object();
        const char *key;
        json_t *member;
        json_object_foreach(v, key, member) {
            json_t *kept = without_directives(member);
            if (kept)
                (void)json_object_set_new(out, key, kept);
        }
        return out;
    }
    if (!json_is_array(v))
        return json_incref(v);
    json_t *out = json_array();
    size_t i;
    json_t *elem;
    json_array_foreach(v, i, elem) {
        json_t *kept = without_directives(elem);
        if (kept)
            (void)json_array_append_new(out, kept);
    }
    return out;
}

/* Takes members that are null out of <v>, which is ours, at any depth. */
static void discard_nulls(json_t *v)
{
    const char *key;
    json_t *member;
    void *next;
    size_t i;
    if (json_is_object(v)) {
        json_object_foreach_safe(v, next, key, member) {
            if (json_is_null(member))
                (void)json_object_del(v, key);
            else
                discard_nulls(member);
        }
    } else {
        json_array_foreach(v, i, member)
            discard_nulls(member);
    }
}

/* "x" of "$setElementOrder/x", borrowed; NULL when there is no "/" right behind the prefix. */
static const char *behind_prefix(const char *key, const char *prefix)
{
    size_t n = strlen(prefix);
    return key[n] == '/' ? key + n + 1 : NULL;
}

static Err *retain_keys(json_t *original, json_t *patch)
{
    SCOPED(json_unref) json_t *list = json_incref(json_object_get(patch, RETAIN_KEYS));
    if (!list)
        return NULL;
    (void)json_object_del(patch, RETAIN_KEYS);
    if (!json_is_array(list))
        return PATCH_BAD("invalid patch format of retainKeys");
    SCOPED(json_unref) json_t *index = index_of_list(list, NULL);
    const char *key;
    json_t *v;
    void *next;
    json_object_foreach(patch, key, v) {
        if (json_is_null(v) || str_starts(key, DELETE_PREFIX) || str_starts(key, ORDER_PREFIX))
            continue;
        SCOPED(mem_free) char *text = mem_fmt("s%s", key);
        if (!json_object_get(index, text))
            return PATCH_BAD("invalid patch format of retainKeys");
    }
    json_object_foreach_safe(original, next, key, v) {
        SCOPED(mem_free) char *text = mem_fmt("s%s", key);
        if (!json_object_get(index, text))
            (void)json_object_del(original, key);
    }
    return NULL;
}

static Err *same_identity(const json_t *a, const json_t *b, const char *merge_key, bool *ret)
{
    if (merge_key) {
        if (!json_is_object(a))
            return not_a_map(a);
        if (!json_is_object(b))
            return not_a_map(b);
        if (!json_object_get(a, merge_key))
            return no_merge_key(a, merge_key);
        if (!json_object_get(b, merge_key))
            return no_merge_key(b, merge_key);
    }
    *ret = json_equal(identity(a, merge_key), identity(b, merge_key));
    return NULL;
}

/* What the patch changes must come in the order that the patch asks for. */
static Err *validate_order(const json_t *patch, const json_t *order, const char *merge_key)
{
    size_t i = 0, j = 0, n = json_array_size(patch);
    if (n == 0 || json_array_size(order) == 0)
        return NULL;
    for (size_t k = 0; merge_key && k < n; k++)
        if (!json_is_object(json_array_get(patch, k)))
            return not_a_map(json_array_get(patch, k));
    while (i < n && j < json_array_size(order)) {
        const json_t *v = json_array_get(patch, i);
        if (json_is_object(v) && json_object_get(v, DIRECTIVE)) {
            i++;
            continue;
        }
        bool same = false;
        Err *e = same_identity(v, json_array_get(order, j), merge_key, &same);
        if (e)
            return e;
        i += same;
        j++;
    }
    /* Deletions at the end ask for no place. */
    while (merge_key && i < n && is_directive(json_object_get(json_array_get(patch, i), DIRECTIVE), "delete"))
        i++;
    if (i >= n)
        return NULL;
    SCOPED(mem_free) char *p = patch_go_text(patch);
    SCOPED(mem_free) char *o = patch_go_text(order);
    return err_new(ERR_INVALID, 0, "The order in patch list:\n%s\n doesn't match %s list:\n%s\n", p, ORDER_PREFIX, o);
}

/* $setElementOrder/<key>: merges the list, puts it in order and takes it out of the patch. */
static Err *set_order(json_t *original, json_t *patch, const json_t *order, const char *key, PatchPlace at)
{
    if (!json_is_array(order))
        return not_a_list(order);
    json_t *ours = json_object_get(original, key), *theirs = json_object_get(patch, key);
    if (ours && !json_is_array(ours))
        return not_a_list(ours);
    if (theirs && !json_is_array(theirs))
        return not_a_list(theirs);
    if (json_array_size(ours) > PATCH_MAX_LIST || json_array_size(theirs) > PATCH_MAX_LIST ||
        json_array_size(order) > PATCH_MAX_LIST)
        return PATCH_LIMIT("a list that is merged must have at most %d elements", PATCH_MAX_LIST);
    Meta m;
    Err *e = look_up_list(at, key, &m);
    if (!e)
        e = validate_order(theirs, order, m.merge_key);
    if (e || (!ours && !theirs))
        return e;
    SCOPED(json_unref) json_t *server = ours ? json_copy(ours) : json_array();
    SCOPED(json_unref) json_t *merged = NULL;
    if (!theirs)
        merged = json_incref(ours);
    else if (!ours)
        merged = without_directives(theirs);
    else if ((e = merge_list(ours, theirs, &m, false, server, &merged)))
        return e;
    if (m.merge_key) {
        size_t i;
        const json_t *v;
        json_array_foreach(order, i, v)
            if (!json_is_object(v))
                return err_new(ERR_INVALID, 0, "value for key %zu is not a map", i);
    }
    bool maps;
    e = element_type(ours, theirs, &maps);
    json_t *all;
    if (!e)
        e = put_in_order(merged, order, server, m.merge_key, maps, &all);
    if (e)
        return e;
    (void)json_object_set_new(original, key, all);
    (void)json_object_del(patch, key);
    return NULL;
}

static Err *set_orders(json_t *original, json_t *patch, PatchPlace at)
{
    const char *key;
    json_t *v;
    void *next;
    SCOPED(json_unref) json_t *orders = json_object();
    json_object_foreach_safe(patch, next, key, v)
        if (str_starts(key, ORDER_PREFIX)) {
            (void)json_object_set(orders, key, v);
            (void)json_object_del(patch, key);
        }
    json_object_foreach(orders, key, v) {
        if (!json_is_array(v))
            return not_a_list(v);
        const char *of = behind_prefix(key, ORDER_PREFIX);
        Err *e = of ? set_order(original, patch, v, of, at) : bad_order_list();
        if (e)
            return e;
    }
    return NULL;
}

/* Sets or removes what has nothing to be merged with. */
static void set_plain(json_t *original, const char *key, json_t *v)
{
    discard_nulls(v);
    json_t *kept = without_directives(v);
    if (kept)
        (void)json_object_set_new(original, key, kept);
    else
        (void)json_object_del(original, key);
}

static Err *merge_member(json_t *original, const char *key, json_t *v, bool is_delete, PatchPlace at)
{
    if (json_is_null(v)) {
        (void)json_object_del(original, key);
        return NULL;
    }
    json_t *old = json_object_get(original, key), *merged;
    bool maps = json_is_object(old) && json_is_object(v), lists = json_is_array(old) && json_is_array(v);
    if (!maps && !lists) {
        if (!is_delete)
            set_plain(original, key, v);
        return NULL;
    }
    Err *e;
    if (maps) {
        const PatchField *f;
        e = look_up(at, key, &f);
        if (!e)
            e = merge_map(old, v, patch_place_field(f), &merged);
    } else {
        Meta m;
        e = look_up_list(at, key, &m);
        if (!e)
            e = merge_list(old, v, &m, is_delete, NULL, &merged);
    }
    if (!e)
        (void)json_object_set_new(original, key, merged);
    return e;
}

/* <original> and <patch> are borrowed, but ours to change; *ret is a new reference to one of them or to neither. */
static Err *merge_map(json_t *original, json_t *patch, PatchPlace at, json_t **ret)
{
    const json_t *d = json_object_get(patch, DIRECTIVE);
    if (is_directive(d, "replace")) {
        (void)json_object_del(patch, DIRECTIVE);
        *ret = json_incref(patch);
        return NULL;
    }
    if (is_directive(d, "delete")) {
        *ret = json_object();
        return NULL;
    }
    if (d)
        return bad_directive(d, patch);
    Err *e = retain_keys(original, patch);
    if (!e)
        e = set_orders(original, patch, at);
    const char *key;
    json_t *v;
    if (e)
        return e;
    json_object_foreach(patch, key, v) {
        bool is_delete = str_starts(key, DELETE_PREFIX);
        const char *name = is_delete ? behind_prefix(key, DELETE_PREFIX) : key;
        e = name ? merge_member(original, name, v, is_delete, at) : PATCH_BAD("invalid patch format of primitive list");
        if (e)
            return e;
    }
    *ret = json_incref(original);
    return NULL;
}

Err *patch_strategic(const PatchType *t, const json_t *doc, const json_t *patch, json_t **ret)
{
    if (!json_is_object(patch))
        return PATCH_BAD("error decoding patch: json: cannot unmarshal %s into Go value of type map[string]interface {}",
                         patch_go_type(patch));
    if (!json_is_object(doc))
        return PATCH_BAD("invalid JSON document");
    SCOPED(json_unref) json_t *ours = json_deep_copy(doc);
    SCOPED(json_unref) json_t *theirs = json_deep_copy(patch);
    SCOPED(json_unref) json_t *out = NULL;
    Err *e = merge_map(ours, theirs, (PatchPlace){t, SHAPE_ONE, NULL}, &out);
    if (!e)
        e = patch_check_depth(out);
    if (!e)
        *ret = MOVE(out, NULL);
    return e;
}
