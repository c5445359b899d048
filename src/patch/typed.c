#include "patch/typed.h"

#include <stdio.h>

typedef enum { CLASS_SCALAR, CLASS_LIST, CLASS_MAP } Class;

/* What a value at <at> is taken for. Only a free type looks at the value. */
static Class class_of(PatchPlace at, const json_t *v)
{
    switch (at.shape) {
    case SHAPE_MAP:
    case SHAPE_MAP_ATOMIC:
        return CLASS_MAP;
    case SHAPE_LIST:
    case SHAPE_LIST_SET:
    case SHAPE_LIST_MAP:
        return CLASS_LIST;
    case SHAPE_ONE:
    default:
        break;
    }
    if (at.type->kind == PT_STRUCT)
        return CLASS_MAP;
    if (at.type->kind != PT_FREE)
        return CLASS_SCALAR;
    return json_is_array(v) ? CLASS_LIST : !v || json_is_null(v) || json_is_object(v) ? CLASS_MAP : CLASS_SCALAR;
}

static bool is_atomic(PatchPlace at, Class c)
{
    if (c == CLASS_LIST)
        return at.shape != SHAPE_LIST_SET && at.shape != SHAPE_LIST_MAP;
    return at.shape == SHAPE_MAP_ATOMIC || (at.shape == SHAPE_ONE && at.type->kind == PT_STRUCT && at.type->atomic);
}

/* --- elements of lists ------------------------------------------------------------------------------------------ */

/* Goes through "containerPort=0 protocol=TCP"; *ret_default is NULL when there is none. Both are owned by the caller. */
static bool next_key(const char **keys, char **ret_name, char **ret_default)
{
    const char *p = *keys;
    if (!p || !*p)
        return false;
    const char *end = strchr(p, ' ');
    size_t n = end ? (size_t)(end - p) : strlen(p);
    const char *eq = memchr(p, '=', n);
    *ret_name = mem_dup_strn(p, eq ? (size_t)(eq - p) : n);
    *ret_default = eq ? mem_dup_strn(eq + 1, n - (size_t)(eq - p) - 1) : NULL;
    *keys = end ? end + 1 : NULL;
    return true;
}

/* How an element of the list at <at> is told apart; *ret is owned by the caller. The error's words, NULL if it has one. */
static char *elem_of_item(PatchPlace at, const json_t *item, PathElem *ret)
{
    *ret = (PathElem){0};
    if (at.shape == SHAPE_LIST_SET) {
        if (json_is_object(item))
            return mem_dup_str("associative list without keys has an element that's a map type");
        if (json_is_array(item))
            return mem_dup_str("not supported: associative list with lists as elements");
        if (json_is_null(item))
            return mem_dup_str("associative list without keys has an element that's an explicit null");
        *ret = (PathElem){.kind = PE_VALUE, .value = json_incref((json_t *)(uintptr_t)item)};
        return NULL;
    }
    if (json_is_null(item))
        return mem_dup_str("associative list with keys may not have a null element");
    if (!json_is_object(item))
        return mem_dup_str("associative list with keys may not have non-map elements");
    json_t *key = json_object();
    Str names = {0};
    const char *keys = at.keys;
    char *name, *otherwise;
    while (next_key(&keys, &name, &otherwise)) { /* the table has them sorted */
        json_t *v = json_object_get(item, name);
        const PatchField *f = patch_field(at.type, name);
        int64_t number = 0;
        if (v)
            (void)json_object_set(key, name, v);
        else if (otherwise && f && f->type->kind == PT_NUMBER && str_to_i64(otherwise, &number))
            (void)json_object_set_new(key, name, json_integer(number));
        else if (otherwise)
            (void)json_object_set_new(key, name, json_string(otherwise));
        str_add(&names, names.n ? " " : "");
        str_add_quoted(&names, name);
        free(name);
        free(otherwise);
    }
    SCOPED(mem_free) char *all = str_take(&names);
    if (json_object_size(key) > 0) {
        *ret = (PathElem){.kind = PE_KEY, .value = key};
        return NULL;
    }
    json_decref(key);
    return mem_fmt("associative list with keys has an element that omits all key fields [%s] (and doesn't have default "
                   "values for any key fields)",
                   all);
}

typedef struct {
    PathElem pe; /* owned */
    const json_t *v;
    size_t order;
    size_t count; /* in the first of several that are equal: how many */
} Item;
/* The elements of a list, in their order and to be found. Those that cannot be told apart are left out. */
typedef struct {
    Item *v;
    Item **sorted;
    size_t n;
} Items;

static int by_elem_then_order(const void *a, const void *b)
{
    Item *const *x = a, *const *y = b;
    int c = path_elem_compare(&(*x)->pe, &(*y)->pe);
    return c ? c : (*x)->order < (*y)->order ? -1 : 1;
}

static Items items_of(PatchPlace at, const json_t *list)
{
    Items r = {.v = mem_alloc_n(json_array_size(list), sizeof *r.v),
               .sorted = mem_alloc_n(json_array_size(list), sizeof(Item *))};
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v) {
        Item it = {.v = v, .order = i, .count = 1};
        char *why = elem_of_item(at, v, &it.pe);
        free(why);
        if (!why)
            r.v[r.n++] = it;
    }
    for (i = 0; i < r.n; i++)
        r.sorted[i] = &r.v[i];
    qsort(r.sorted, r.n, sizeof(Item *), by_elem_then_order);
    for (size_t first = 0, k = 1; k < r.n; k++) {
        if (path_elem_compare(&r.sorted[first]->pe, &r.sorted[k]->pe) == 0)
            r.sorted[first]->count++;
        else
            first = k;
    }
    return r;
}

static void items_done(Items *r)
{
    for (size_t i = 0; i < r->n; i++)
        path_elem_done(&r->v[i].pe);
    free(r->v);
    free(r->sorted);
}
static inline void items_done_at(Items *r) { items_done(r); }

/* The first that equals <pe>, by its place in sorted; SIZE_MAX: none. */
static size_t items_find(const Items *r, const PathElem *pe)
{
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (path_elem_compare(&r->sorted[mid]->pe, pe) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < r->n && path_elem_compare(&r->sorted[lo]->pe, pe) == 0 ? lo : SIZE_MAX;
}

/* Its value; a null for one that is there more than once: which is meant cannot be known. NULL: none. */
static const json_t *items_value(const Items *r, const PathElem *pe)
{
    size_t i = items_find(r, pe);
    return i == SIZE_MAX ? NULL : r->sorted[i]->count > 1 ? json_null() : r->sorted[i]->v;
}

static PathElem field_elem(const char *name)
{
    return (PathElem){.kind = PE_FIELD, .name = (char *)(uintptr_t)name}; /* borrowed: never path_elem_done() */
}

/* --- validation ------------------------------------------------------------------------------------------------- */

typedef struct {
    StrVec errors;
    bool allow_duplicates;
} Validation;

static void complain(Validation *val, const FieldPath *path, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void path_text(Str *s, const FieldPath *path)
{
    if (!path)
        return;
    path_text(s, path->up);
    path_elem_text(s, path->pe);
}
static void complain(Validation *val, const FieldPath *path, const char *fmt, ...)
{
    Str s = {0};
    path_text(&s, path);
    if (s.n)
        str_add(&s, ": ");
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    if (val->errors.n < 100) /* of one request; upstream has no bound */
        strvec_add_take(&val->errors, str_take(&s));
    else
        str_done(&s);
}

static void validate_scalar(Validation *val, const PatchType *t, const json_t *v, const FieldPath *path)
{
    if (json_is_null(v))
        return;
    Str s = {0};
    switch (t->kind) {
    case PT_NUMBER:
        if (!json_is_number(v))
            complain(val, path, "expected numeric (int or float), got %s", patch_go_type(v));
        break;
    case PT_STRING:
        if (json_is_string(v))
            break;
        patch_go_syntax(&s, v);
        complain(val, path, "expected string, got &value.valueUnstructured{Value:%s}", s.p);
        break;
    case PT_BOOL:
        if (json_is_boolean(v))
            break;
        patch_go_v(&s, v);
        complain(val, path, "expected boolean, got &{%s}", s.p);
        break;
    case PT_ANY:
        if (!json_is_object(v) && !json_is_array(v))
            break;
        patch_go_v(&s, v);
        complain(val, path, "expected any scalar, got &{%s}", s.p);
        break;
    case PT_FREE:
    case PT_STRUCT:
    default:
        break;
    }
    str_done(&s);
}

static void validate(Validation *val, PatchPlace at, const json_t *v, const FieldPath *path);

static void validate_list(Validation *val, PatchPlace at, const json_t *v, const FieldPath *path)
{
    SCOPED(field_set_free) FieldSet *seen = field_set_new();
    bool keyed = at.shape == SHAPE_LIST_SET || at.shape == SHAPE_LIST_MAP;
    size_t i;
    const json_t *item;
    if (keyed) {
        json_array_foreach(v, i, item) {
            PathElem pe;
            char *why = elem_of_item(at, item, &pe);
            if (why) {
                complain(val, path, "element %zu: %s", i, why);
                free(why);
                return;
            }
            validate(val, patch_place_elem(at), item, &(FieldPath){path, &pe});
            path_elem_done(&pe);
        }
        Items items = items_of(at, v);
        for (i = 0; i < items.n && !val->allow_duplicates; i++)
            for (size_t k = 1; k < items.sorted[i]->count; k++) {
                Str s = {0};
                path_elem_text(&s, &items.sorted[i]->pe);
                complain(val, path, "duplicate entries for key %s", s.p);
                str_done(&s);
            }
        items_done(&items);
        return;
    }
    json_array_foreach(v, i, item) {
        PathElem pe = {.kind = PE_INDEX, .index = (int64_t)i};
        validate(val, patch_place_elem(at), item, &(FieldPath){path, &pe});
    }
}

static void validate(Validation *val, PatchPlace at, const json_t *v, const FieldPath *path)
{
    Class c = class_of(at, v);
    if (c == CLASS_SCALAR) {
        validate_scalar(val, at.type, v, path);
        return;
    }
    if (json_is_null(v))
        return;
    if (c == CLASS_LIST ? !json_is_array(v) : !json_is_object(v)) {
        SCOPED(mem_free) char *text = patch_go_text(v);
        complain(val, path, "expected %s, got &{%s}", c == CLASS_LIST ? "list" : "map", text);
        return;
    }
    if (c == CLASS_LIST) {
        validate_list(val, at, v, path);
        return;
    }
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)v, key, member) {
        PatchPlace next;
        bool named;
        PathElem pe = field_elem(key);
        if (!patch_place_member(at, key, &next, &named)) {
            complain(val, &(FieldPath){path, &pe}, "field not declared in schema");
            return;
        }
        validate(val, next, member, &(FieldPath){path, &pe});
    }
}

char *typed_validate(PatchPlace at, const json_t *v, bool allow_duplicates)
{
    Validation val = {.allow_duplicates = allow_duplicates};
    validate(&val, at, v, NULL);
    Str s = {0};
    if (val.errors.n > 1)
        str_add(&s, "errors:");
    for (size_t i = 0; i < val.errors.n; i++)
        str_fmt(&s, "%s%s", val.errors.n > 1 ? "\n  " : "", val.errors.v[i]);
    bool none = val.errors.n == 0;
    strvec_done(&val.errors);
    return none ? NULL : str_take(&s);
}

/* --- field sets ------------------------------------------------------------------------------------------------- */

static void add_fields(FieldSet *out, PatchPlace at, const json_t *v, const FieldPath *path)
{
    Class c = class_of(at, v);
    if (c == CLASS_SCALAR || is_atomic(at, c)) {
        field_set_insert(out, path);
        return;
    }
    if (c == CLASS_LIST) {
        SCOPED(items_done) Items items = items_of(at, v);
        for (size_t i = 0; i < items.n; i += items.sorted[i]->count) {
            FieldPath next = {path, &items.sorted[i]->pe};
            if (items.sorted[i]->count == 1)
                add_fields(out, patch_place_elem(at), items.sorted[i]->v, &next);
            field_set_insert(out, &next);
        }
        return;
    }
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)v, key, member) {
        PatchPlace next;
        bool named;
        (void)patch_place_member(at, key, &next, &named);
        PathElem pe = field_elem(key);
        add_fields(out, next, member, &(FieldPath){path, &pe});
        if (!named || json_is_null(member) || (json_is_object(member) && json_object_size(member) == 0))
            field_set_insert(out, &(FieldPath){path, &pe});
    }
}

FieldSet *typed_field_set(PatchPlace at, const json_t *v)
{
    FieldSet *out = field_set_new();
    add_fields(out, at, v, NULL);
    return out;
}

FieldSet *typed_name_structs(PatchPlace at, FieldSet *s)
{
    FieldSet *out = field_set_new();
    bool is_struct = at.type && at.shape == SHAPE_ONE && at.type->kind == PT_STRUCT;
    bool is_list = at.type && (at.shape == SHAPE_LIST || at.shape == SHAPE_LIST_SET || at.shape == SHAPE_LIST_MAP);
    if (s)
        field_set_sort(s);
    for (size_t i = 0; s && i < s->n; i++) {
        const FieldEntry *e = &s->v[i];
        FieldPath path = {NULL, &e->pe};
        PatchPlace next = {NULL, SHAPE_ONE, NULL}; /* nothing is known of what is there */
        bool named = false;
        if (at.type && !is_list && e->pe.kind == PE_FIELD)
            (void)patch_place_member(at, e->pe.name, &next, &named);
        else if (is_list && e->pe.kind == PE_KEY)
            next = patch_place_elem(at);
        bool below = !field_set_empty(e->child);
        if (e->member || (below && named && is_struct))
            field_set_insert(out, &path);
        if (below) {
            SCOPED(field_set_free) FieldSet *child = typed_name_structs(next, e->child);
            field_set_adopt(out, &e->pe, MOVE(child, NULL));
        }
    }
    return out;
}

/* --- comparison ------------------------------------------------------------------------------------------------- */

static void compare(TypedDiff *d, PatchPlace at, const json_t *l, const json_t *r, const FieldPath *path);

static void compare_lists(TypedDiff *d, PatchPlace at, const json_t *l, const json_t *r, const FieldPath *path)
{
    SCOPED(items_done) Items left = items_of(at, l);
    SCOPED(items_done) Items right = items_of(at, r);
    PatchPlace elem = patch_place_elem(at);
    for (size_t i = 0, j = 0; i < left.n || j < right.n;) {
        int c = i >= left.n ? 1 : j >= right.n ? -1 : path_elem_compare(&left.sorted[i]->pe, &right.sorted[j]->pe);
        size_t nl = c <= 0 ? left.sorted[i]->count : 0, nr = c >= 0 ? right.sorted[j]->count : 0;
        FieldPath next = {path, nl ? &left.sorted[i]->pe : &right.sorted[j]->pe};
        if (nl <= 1 && nr <= 1) {
            compare(d, elem, nl ? left.sorted[i]->v : NULL, nr ? right.sorted[j]->v : NULL, &next);
        } else if (nl >= 2 && nr >= 2) {
            bool same = nl == nr;
            for (size_t k = 0; same && k < nl; k++)
                same = patch_equal(left.sorted[i + k]->v, right.sorted[j + k]->v);
            if (!same)
                field_set_insert(d->modified, &next);
        } else if (nl >= 2) {
            if (nr)
                compare(d, elem, NULL, right.sorted[j]->v, &next);
            field_set_insert(d->removed, &next);
        } else {
            if (nl)
                compare(d, elem, left.sorted[i]->v, NULL, &next);
            field_set_insert(d->added, &next);
        }
        i += nl;
        j += nr;
    }
}

static void compare_maps(TypedDiff *d, PatchPlace at, const json_t *l, const json_t *r, const FieldPath *path)
{
    const char *key;
    json_t *v;
    for (int pass = 0; pass < 2; pass++)
        json_object_foreach((json_t *)(uintptr_t)(pass ? r : l), key, v) {
            const json_t *left = pass ? NULL : v, *right = pass ? v : json_object_get(r, key);
            if (pass && json_object_get(l, key))
                continue;
            PatchPlace next;
            bool named;
            (void)patch_place_member(at, key, &next, &named);
            PathElem pe = field_elem(key);
            compare(d, next, left, right, &(FieldPath){path, &pe});
        }
}

/* Compares as class <c>; true: as a whole. */
static bool compare_as(TypedDiff *d, PatchPlace at, Class c, const json_t *l, const json_t *r, const FieldPath *path)
{
    bool list = c == CLASS_LIST;
    const json_t *left = (list ? json_is_array(l) : json_is_object(l)) ? l : NULL;
    const json_t *right = (list ? json_is_array(r) : json_is_object(r)) ? r : NULL;
    size_t n = list ? json_array_size(left) + json_array_size(right) : json_object_size(left) + json_object_size(right);
    if (c == CLASS_SCALAR || is_atomic(at, c) || n == 0) {
        if (!l)
            field_set_insert(d->added, path);
        else if (!r)
            field_set_insert(d->removed, path);
        else if (!patch_equal(l, r))
            field_set_insert(d->modified, path);
        return true;
    }
    if (list)
        compare_lists(d, at, left, right, path);
    else
        compare_maps(d, at, left, right, path);
    return false;
}

static void compare(TypedDiff *d, PatchPlace at, const json_t *l, const json_t *r, const FieldPath *path)
{
    Class cl = class_of(at, l), cr = class_of(at, r);
    if (l && r && cl != cr)
        (void)compare_as(d, at, cl, l, r, path);
    if (compare_as(d, at, r ? cr : cl, l, r, path))
        return;
    if (!l)
        field_set_insert(d->added, path);
    else if (!r)
        field_set_insert(d->removed, path);
}

TypedDiff typed_compare(PatchPlace at, const json_t *old, const json_t *now)
{
    TypedDiff d = {field_set_new(), field_set_new(), field_set_new()};
    compare(&d, at, old, now, NULL);
    return d;
}

void typed_diff_done(TypedDiff *d)
{
    field_set_free(d->removed);
    field_set_free(d->modified);
    field_set_free(d->added);
    *d = (TypedDiff){0};
}

/* --- merge ------------------------------------------------------------------------------------------------------ */

static json_t *share(const json_t *v)
{
    return json_incref((json_t *)(uintptr_t)v);
}

static void append_merged(json_t *out, PatchPlace at, const json_t *l, const json_t *r)
{
    json_t *v = typed_merge(patch_place_elem(at), l, r);
    if (v)
        (void)json_array_append_new(out, v);
}

/* The applier's order for what it lists; what only the live list has stays near where it was. */
static json_t *merge_lists(PatchPlace at, const json_t *live, const json_t *config)
{
    SCOPED(items_done) Items l = items_of(at, live);
    SCOPED(items_done) Items r = items_of(at, config);
    json_t *out = json_array();
    bool *merged = mem_alloc_n(r.n, sizeof *merged); /* by place in r.sorted */
    /* The next element of the applier's that the live list has too. */
    size_t shared = 0;
#define SKIP_TO_SHARED()                                                                                               \
    while (shared < r.n && items_find(&l, &r.v[shared].pe) == SIZE_MAX)                                                \
    shared++
    SKIP_TO_SHARED();
    for (size_t i = 0, j = 0; i < l.n || j < r.n;) {
        const PathElem *le = i < l.n ? &l.v[i].pe : NULL, *re = j < r.n ? &r.v[j].pe : NULL;
        size_t in_r = le ? items_find(&r, le) : SIZE_MAX;
        if (le && re) {
            if (path_elem_compare(le, re) == 0) {
                merged[in_r] = true;
                append_merged(out, at, items_value(&l, le), items_value(&r, le));
                i++;
                j++;
                shared += shared < r.n;
                SKIP_TO_SHARED();
                continue;
            }
            if (in_r != SIZE_MAX && shared < r.n && path_elem_compare(&r.v[shared].pe, le) != 0) {
                i++; /* comes later, where the applier has it */
                continue;
            }
        }
        if (le) {
            if (in_r == SIZE_MAX) {
                append_merged(out, at, l.v[i].v, NULL);
                i++;
                continue;
            }
            if (merged[in_r])
                i++;
        }
        if (re) {
            merged[items_find(&r, re)] = true;
            append_merged(out, at, items_value(&l, re), items_value(&r, re));
            if (shared < r.n && path_elem_compare(&r.v[shared].pe, re) == 0) {
                shared++;
                SKIP_TO_SHARED();
            }
            j++;
        }
    }
#undef SKIP_TO_SHARED
    free(merged);
    if (json_array_size(out) > 0)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *merge_maps(PatchPlace at, const json_t *live, const json_t *config)
{
    json_t *out = json_object();
    const char *key;
    json_t *v;
    for (int pass = 0; pass < 2; pass++)
        json_object_foreach((json_t *)(uintptr_t)(pass ? config : live), key, v) {
            if (pass && json_object_get(live, key))
                continue;
            PatchPlace next;
            bool named;
            (void)patch_place_member(at, key, &next, &named);
            json_t *m = typed_merge(next, pass ? NULL : v, pass ? v : json_object_get(config, key));
            if (m)
                (void)json_object_set_new(out, key, m);
        }
    if (json_object_size(out) > 0)
        return out;
    json_decref(out);
    return NULL;
}

json_t *typed_merge(PatchPlace at, const json_t *live, const json_t *config)
{
    Class c = class_of(at, config ? config : live);
    bool list = c == CLASS_LIST;
    const json_t *l = (list ? json_is_array(live) : json_is_object(live)) ? live : NULL;
    const json_t *r = (list ? json_is_array(config) : json_is_object(config)) ? config : NULL;
    size_t n = list ? json_array_size(l) + json_array_size(r) : json_object_size(l) + json_object_size(r);
    if (c == CLASS_SCALAR || is_atomic(at, c) || n == 0)
        return share(config ? config : live);
    return list ? merge_lists(at, l, r) : merge_maps(at, l, r);
}

/* --- removal ---------------------------------------------------------------------------------------------------- */

/* What is left of <v>, of which something below is to go: a map or a list stays one when it is empty. */
static json_t *remove_below(PatchPlace at, const json_t *v, FieldSet *doomed)
{
    json_t *left = typed_remove(at, v, doomed);
    if (left && !json_is_null(left))
        return left;
    json_decref(left);
    return json_is_object(v) ? json_object() : json_is_array(v) ? json_array() : json_null();
}

json_t *typed_remove(PatchPlace at, const json_t *v, FieldSet *doomed)
{
    Class c = class_of(at, v);
    if (c == CLASS_SCALAR)
        return share(v);
    if (is_atomic(at, c) || (c == CLASS_LIST ? json_array_size(v) == 0 : json_object_size(v) == 0))
        return NULL;
    bool matched = false;
    const FieldEntry *e;
    if (c == CLASS_LIST) {
        json_t *out = json_array();
        size_t i;
        const json_t *item;
        json_array_foreach(v, i, item) {
            PathElem pe;
            char *why = elem_of_item(at, item, &pe);
            free(why);
            e = why ? NULL : field_set_find(doomed, &pe);
            path_elem_done(&pe);
            if (e && e->member)
                continue;
            bool below = e && !field_set_empty(e->child);
            matched = matched || below;
            (void)json_array_append_new(out, below ? remove_below(patch_place_elem(at), item, e->child) : share(item));
        }
        if (json_array_size(out) > 0 || matched)
            return out;
        json_decref(out);
        return NULL;
    }
    json_t *out = json_object();
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)v, key, member) {
        PathElem pe = field_elem(key);
        e = field_set_find(doomed, &pe);
        if (e && e->member)
            continue;
        bool below = e && !field_set_empty(e->child), named;
        PatchPlace next;
        (void)patch_place_member(at, key, &next, &named);
        matched = matched || below;
        (void)json_object_set_new(out, key, below ? remove_below(next, member, e->child) : share(member));
    }
    if (json_object_size(out) > 0 || matched)
        return out;
    json_decref(out);
    return NULL;
}
