#include "patch/fieldset.h"

#include <stdio.h>

#include "patch/patch_priv.h"

/* --- path elements ---------------------------------------------------------------------------------------------- */

void path_elem_done(PathElem *pe)
{
    free(pe->name);
    json_decref(pe->value);
    *pe = (PathElem){0};
}

PathElem path_elem_copy(const PathElem *pe)
{
    return (PathElem){pe->kind, mem_dup_str(pe->name), json_incref(pe->value), pe->index};
}

/* structured-merge-diff's order of values: numbers, strings, booleans, and the rest, which no key has. */
static int value_rank(const json_t *j)
{
    return json_is_number(j) ? 0 : json_is_string(j) ? 1 : json_is_boolean(j) ? 2 : 3;
}

static int value_compare(const json_t *a, const json_t *b)
{
    int ra = value_rank(a), rb = value_rank(b);
    if (ra != rb)
        return ra < rb ? -1 : 1;
    if (ra == 0 && json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return x < y ? -1 : x > y;
    }
    if (ra == 0) {
        double x = json_number_value(a), y = json_number_value(b);
        return x < y ? -1 : x > y;
    }
    if (ra == 1)
        return strcmp(json_string_value(a), json_string_value(b));
    if (ra == 2)
        return (int)json_is_true(a) - (int)json_is_true(b);
    SCOPED(mem_free) char *x = json_dumps(a, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    SCOPED(mem_free) char *y = json_dumps(b, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    return strcmp(str_or(x, ""), str_or(y, ""));
}

/* Both in the order of their names. */
static int key_compare(json_t *a, json_t *b)
{
    void *i = json_object_iter(a), *j = json_object_iter(b);
    for (; i && j; i = json_object_iter_next(a, i), j = json_object_iter_next(b, j)) {
        int c = strcmp(json_object_iter_key(i), json_object_iter_key(j));
        if (c == 0)
            c = value_compare(json_object_iter_value(i), json_object_iter_value(j));
        if (c != 0)
            return c;
    }
    return i ? 1 : j ? -1 : 0;
}

int path_elem_compare(const PathElem *a, const PathElem *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    switch (a->kind) {
    case PE_FIELD:
        return strcmp(a->name, b->name);
    case PE_KEY:
        return key_compare(a->value, b->value);
    case PE_VALUE:
        return value_compare(a->value, b->value);
    case PE_INDEX:
    default:
        return a->index < b->index ? -1 : a->index > b->index;
    }
}

static void value_text(Str *s, const json_t *j)
{
    if (json_is_string(j))
        str_add_quoted(s, json_string_value(j));
    else if (json_is_null(j))
        str_add(s, "null");
    else
        patch_go_v(s, j);
}

void path_elem_text(Str *s, const PathElem *pe)
{
    const char *key;
    json_t *v;
    bool first = true;
    switch (pe->kind) {
    case PE_FIELD:
        str_fmt(s, ".%s", pe->name);
        break;
    case PE_KEY:
        str_add_c(s, '[');
        json_object_foreach(pe->value, key, v) {
            str_fmt(s, "%s%s=", first ? "" : ",", key);
            value_text(s, v);
            first = false;
        }
        str_add_c(s, ']');
        break;
    case PE_VALUE:
        str_add(s, "[=");
        value_text(s, pe->value);
        str_add_c(s, ']');
        break;
    case PE_INDEX:
    default:
        str_fmt(s, "[%lld]", (long long)pe->index);
    }
}

/* f:name, k:{...}, v:..., i:3. Caller frees. */
static char *elem_to_key(const PathElem *pe)
{
    if (pe->kind == PE_FIELD)
        return mem_fmt("f:%s", pe->name);
    if (pe->kind == PE_INDEX)
        return mem_fmt("i:%lld", (long long)pe->index);
    Str s = {0};
    str_add(&s, pe->kind == PE_KEY ? "k:" : "v:");
    SCOPED(mem_free) char *text = json_dumps(pe->value, JSON_COMPACT | JSON_ENCODE_ANY);
    for (const char *p = str_or(text, "null"); *p; p++) { /* as Go escapes for HTML; they stand in strings only */
        if (*p == '<' || *p == '>' || *p == '&')
            str_fmt(&s, "\\u%04x", (unsigned)*p);
        else
            str_add_c(&s, *p);
    }
    return str_take(&s);
}

/* *ret_known: false for a prefix of a later version. */
static Err *elem_from_key(const char *key, PathElem *ret, bool *ret_known)
{
    *ret = (PathElem){0};
    *ret_known = true;
    if (strlen(key) < 2)
        return err_new(ERR_INVALID, 0, "key must be 2 characters long:");
    if (key[1] != ':')
        return err_new(ERR_INVALID, 0, "missing colon: %s", key);
    const char *rest = key + 2;
    json_t *j = NULL;
    switch (key[0]) {
    case 'f':
        *ret = (PathElem){.kind = PE_FIELD, .name = mem_dup_str(rest)};
        return NULL;
    case 'i':
        ret->kind = PE_INDEX;
        return str_to_i64(rest, &ret->index) ? NULL : err_new(ERR_INVALID, 0, "no index: %s", key);
    case 'v':
    case 'k': {
        Err *e = json_parse(rest, strlen(rest), &j);
        if (e)
            return e;
        if (key[0] == 'v') {
            *ret = (PathElem){.kind = PE_VALUE, .value = j};
            return NULL;
        }
        if (!json_is_object(j)) {
            json_decref(j);
            return err_new(ERR_INVALID, 0, "no object: %s", key);
        }
        SCOPED(mem_free) char *sorted = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(j);
        e = json_parse(sorted, strlen(sorted), &j);
        if (!e)
            *ret = (PathElem){.kind = PE_KEY, .value = j};
        return e;
    }
    default:
        *ret_known = false;
        return NULL;
    }
}

/* --- sets ------------------------------------------------------------------------------------------------------- */

FieldSet *field_set_new(void)
{
    return NEW(FieldSet);
}

void field_set_free(FieldSet *s)
{
    for (size_t i = 0; s && i < s->n; i++) {
        path_elem_done(&s->v[i].pe);
        field_set_free(s->v[i].child);
    }
    if (s)
        free(s->v);
    free(s);
}

bool field_set_empty(const FieldSet *s)
{
    for (size_t i = 0; s && i < s->n; i++)
        if (s->v[i].member || !field_set_empty(s->v[i].child))
            return false;
    return true;
}

static int by_elem(const void *a, const void *b)
{
    const FieldEntry *x = a, *y = b;
    return path_elem_compare(&x->pe, &y->pe);
}

void field_set_take(FieldSet *to, FieldSet *from)
{
    if (from->n && to->n + from->n > to->cap) {
        to->cap = (to->n + from->n) * 2;
        to->v = mem_grow(to->v, to->cap, sizeof *to->v);
    }
    if (from->n)
        memcpy(to->v + to->n, from->v, from->n * sizeof *from->v);
    to->n += from->n;
    to->unsorted = true;
    from->n = 0;
    field_set_free(from);
}

void field_set_sort(FieldSet *s)
{
    if (!s->unsorted)
        return;
    s->unsorted = false;
    qsort(s->v, s->n, sizeof *s->v, by_elem);
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        FieldEntry *e = &s->v[i], *last = kept ? &s->v[kept - 1] : NULL;
        if (!last || path_elem_compare(&last->pe, &e->pe) != 0) {
            s->v[kept++] = *e;
            continue;
        }
        last->member = last->member || e->member;
        if (!last->child)
            last->child = e->child;
        else if (e->child)
            field_set_take(last->child, e->child);
        path_elem_done(&e->pe);
    }
    s->n = kept;
}

/* The entry of <pe> (copied), made if need be. Walks come in order, so it is the last one or a new one. */
static FieldEntry *entry(FieldSet *s, const PathElem *pe)
{
    int c = s->n ? path_elem_compare(&s->v[s->n - 1].pe, pe) : -1;
    if (c == 0)
        return &s->v[s->n - 1];
    if (c > 0)
        s->unsorted = true;
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 4;
        s->v = mem_grow(s->v, s->cap, sizeof *s->v);
    }
    s->v[s->n] = (FieldEntry){.pe = path_elem_copy(pe)};
    return &s->v[s->n++];
}

static FieldSet *below(FieldSet *s, const FieldPath *path)
{
    if (!path)
        return s;
    FieldEntry *e = entry(below(s, path->up), path->pe);
    if (!e->child)
        e->child = field_set_new();
    return e->child;
}

void field_set_insert(FieldSet *s, const FieldPath *path)
{
    if (path)
        entry(below(s, path->up), path->pe)->member = true;
}

void field_set_adopt(FieldSet *s, const PathElem *pe, FieldSet *child)
{
    FieldEntry *e = entry(s, pe);
    field_set_free(e->child);
    e->child = child;
}

const FieldEntry *field_set_find(FieldSet *s, const PathElem *pe)
{
    if (!s || !s->n)
        return NULL;
    field_set_sort(s);
    FieldEntry key = {.pe = *pe};
    return bsearch(&key, s->v, s->n, sizeof *s->v, by_elem);
}

/* Adds to <out> what becomes of one element: <child> is taken; an entry with nothing in it is left out. */
static void put(FieldSet *out, const PathElem *pe, bool member, FieldSet *child)
{
    bool none = field_set_empty(child);
    if (none)
        field_set_free(child);
    if (!member && none)
        return;
    FieldEntry *e = entry(out, pe);
    e->member = member;
    e->child = none ? NULL : child;
}

FieldSet *field_set_copy(FieldSet *s)
{
    FieldSet *out = field_set_new();
    for (size_t i = 0; s && i < s->n; i++) {
        field_set_sort(s);
        put(out, &s->v[i].pe, s->v[i].member, field_set_copy(s->v[i].child));
    }
    return out;
}

typedef enum { OP_UNION, OP_INTERSECTION, OP_DIFFERENCE, OP_RECURSIVE } SetOp;

static FieldSet *combine(FieldSet *a, FieldSet *b, SetOp op)
{
    if (!a || !b)
        return op == OP_INTERSECTION ? field_set_new() : !a && op == OP_UNION ? field_set_copy(b) : field_set_copy(a);
    FieldSet *out = field_set_new();
    field_set_sort(a);
    field_set_sort(b);
    for (size_t i = 0, j = 0; i < a->n || (op == OP_UNION && j < b->n);) {
        int c = i >= a->n ? 1 : j >= b->n ? -1 : path_elem_compare(&a->v[i].pe, &b->v[j].pe);
        const FieldEntry *x = c <= 0 ? &a->v[i++] : NULL, *y = c >= 0 ? &b->v[j++] : NULL;
        if (x && y) {
            if (op == OP_RECURSIVE && y->member)
                continue;
            bool member = op == OP_UNION          ? x->member || y->member
                          : op == OP_INTERSECTION ? x->member && y->member
                                                  : x->member && !y->member;
            put(out, &x->pe, member, combine(x->child, y->child, op));
        } else if (x && op != OP_INTERSECTION) {
            put(out, &x->pe, x->member, field_set_copy(x->child));
        } else if (y && op == OP_UNION) {
            put(out, &y->pe, y->member, field_set_copy(y->child));
        }
    }
    return out;
}

FieldSet *field_set_union(FieldSet *a, FieldSet *b) { return combine(a, b, OP_UNION); }
FieldSet *field_set_intersection(FieldSet *a, FieldSet *b) { return combine(a, b, OP_INTERSECTION); }
FieldSet *field_set_difference(FieldSet *a, FieldSet *b) { return combine(a, b, OP_DIFFERENCE); }
FieldSet *field_set_recursive_difference(FieldSet *a, FieldSet *b) { return combine(a, b, OP_RECURSIVE); }

/* --- FieldsV1 --------------------------------------------------------------------------------------------------- */

static Err *read_into(FieldSet *s, const json_t *j, bool *ret_member)
{
    const char *key;
    json_t *v;
    bool any = false;
    *ret_member = false;
    json_object_foreach((json_t *)(uintptr_t)j, key, v) {
        if (strcmp(key, ".") == 0) {
            *ret_member = true;
            continue;
        }
        PathElem pe;
        bool known, member = false;
        Err *e = elem_from_key(key, &pe, &known);
        if (e)
            return err_wrap(e, "parsing key as path element");
        if (!known)
            continue;
        FieldSet *child = field_set_new();
        e = read_into(child, v, &member);
        if (!e) {
            FieldEntry *at = entry(s, &pe);
            at->member = member;
            field_set_free(at->child);
            at->child = child;
            any = true;
        } else {
            field_set_free(child);
        }
        path_elem_done(&pe);
        if (e)
            return e;
    }
    if (!any)
        *ret_member = true;
    return NULL;
}

Err *field_set_from_json(const json_t *j, FieldSet **ret)
{
    SCOPED(field_set_free) FieldSet *s = field_set_new();
    bool ignored;
    if (j && !json_is_object(j) && !json_is_null(j))
        return err_new(ERR_INVALID, 0, "error decoding set: expected a map, got %s", patch_go_type(j));
    Err *e = read_into(s, j, &ignored);
    if (!e)
        *ret = MOVE(s, NULL);
    return e;
}

json_t *field_set_to_json(FieldSet *s)
{
    json_t *out = json_object();
    field_set_sort(s);
    for (size_t i = 0; i < s->n; i++) {
        const FieldEntry *e = &s->v[i];
        SCOPED(mem_free) char *key = elem_to_key(&e->pe);
        bool below_it = !field_set_empty(e->child);
        if (!below_it && !e->member)
            continue;
        json_t *v = json_object();
        if (below_it && e->member)
            (void)json_object_set_new(v, ".", json_object());
        SCOPED(json_unref) json_t *child = below_it ? field_set_to_json(e->child) : NULL;
        if (child)
            (void)json_object_update(v, child);
        (void)json_object_set_new(out, key, v);
    }
    return out;
}

static void add_paths(FieldSet *s, const char *prefix, StrVec *out)
{
    field_set_sort(s);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < s->n; i++) {
            Str text = {0};
            str_add(&text, prefix);
            path_elem_text(&text, &s->v[i].pe);
            SCOPED(mem_free) char *path = str_take(&text);
            if (pass == 0 && s->v[i].member)
                strvec_add(out, path);
            else if (pass == 1 && s->v[i].child)
                add_paths(s->v[i].child, path, out);
        }
}

void field_set_paths(FieldSet *s, StrVec *out)
{
    add_paths(s, "", out);
}
