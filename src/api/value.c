/* value.c - copy, compare and free any API object by its field table. Pure: the decision core links this. */
#include "api/codec.h"
#include "api/quantity.h"
#include "base/clock.h"

#define AT(T, obj, f) ((T *)(void *)((char *)(obj) + (f)->off))
#define AT_CONST(T, obj, f) ((T const *)(const void *)((const char *)(obj) + (f)->off))

void *list_add(void *list, size_t elem_size)
{
    ApiList *l = list;
    l->v = mem_grow(l->v, l->n + 1, elem_size);
    char *elem = (char *)l->v + l->n * elem_size;
    memset(elem, 0, elem_size);
    l->n++;
    return elem;
}

const char *strmap_get(const StrMap *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->v[i].key, key) == 0)
            return m->v[i].value;
    return NULL;
}

const char *resource_get(const ResourceList *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].key, name) == 0)
            return l->v[i].value;
    return NULL;
}

/* --- copy ------------------------------------------------------------------------------------------------------- */

static void pairs_copy(StrMap *dst, const StrMap *src)
{
    *dst = (StrMap){src->n, src->n ? mem_alloc_n(src->n, sizeof *dst->v) : NULL};
    for (size_t i = 0; i < src->n; i++)
        dst->v[i] = (StrPair){mem_dup_str(src->v[i].key), mem_dup_str(src->v[i].value)};
}

static void field_copy(const Field *f, void *dst, const void *src)
{
    switch (f->kind) {
    case F_STR:
    case F_QUANTITY:
    case F_RAW:
        *AT(char *, dst, f) = mem_dup_str(*AT_CONST(char *, src, f));
        break;
    case F_BOOL:
        *AT(OptBool, dst, f) = *AT_CONST(OptBool, src, f);
        break;
    case F_INT:
    case F_INT64:
        *AT(OptInt, dst, f) = *AT_CONST(OptInt, src, f);
        break;
    case F_TIME:
        *AT(OptTime, dst, f) = *AT_CONST(OptTime, src, f);
        break;
    case F_INTSTR: {
        IntOrString *d = AT(IntOrString, dst, f);
        *d = *AT_CONST(IntOrString, src, f);
        d->s = mem_dup_str(d->s);
        break;
    }
    case F_OBJ: {
        const void *s = *AT_CONST(void *, src, f);
        *AT(void *, dst, f) = s ? api_copy(f->sub, s) : NULL;
        break;
    }
    case F_OBJ_IN:
        api_copy_into(f->sub, AT(void, dst, f), AT_CONST(void, src, f));
        break;
    case F_OBJ_LIST: {
        const ApiList *s = AT_CONST(ApiList, src, f);
        ApiList *d = AT(ApiList, dst, f);
        *d = (ApiList){s->n, s->n ? mem_alloc_n(s->n, f->sub->size) : NULL};
        for (size_t i = 0; i < s->n; i++)
            api_copy_into(f->sub, (char *)d->v + i * f->sub->size, (const char *)s->v + i * f->sub->size);
        break;
    }
    case F_STR_LIST: {
        const StrList *s = AT_CONST(StrList, src, f);
        StrList *d = AT(StrList, dst, f);
        *d = (StrList){s->n, s->n ? mem_alloc_n(s->n, sizeof *d->v) : NULL};
        for (size_t i = 0; i < s->n; i++)
            d->v[i] = mem_dup_str(s->v[i]);
        break;
    }
    case F_INT_LIST: {
        const IntList *s = AT_CONST(IntList, src, f);
        *AT(IntList, dst, f) = (IntList){s->n, s->n ? mem_dup(s->v, s->n * sizeof *s->v) : NULL};
        break;
    }
    case F_STR_MAP:
    case F_RES_MAP: /* the same layout: two strings a pair */
        pairs_copy(AT(StrMap, dst, f), AT_CONST(StrMap, src, f));
        break;
    case F_BYTES_MAP: {
        const BytesMap *s = AT_CONST(BytesMap, src, f);
        BytesMap *d = AT(BytesMap, dst, f);
        *d = (BytesMap){s->n, s->n ? mem_alloc_n(s->n, sizeof *d->v) : NULL};
        for (size_t i = 0; i < s->n; i++)
            d->v[i] = (BytesPair){mem_dup_str(s->v[i].key), mem_dup(s->v[i].bytes, s->v[i].n), s->v[i].n};
        break;
    }
    }
}

_Static_assert(sizeof(StrPair) == sizeof(QuantityPair) && offsetof(StrPair, value) == offsetof(QuantityPair, value),
               "F_RES_MAP is walked as F_STR_MAP");

void api_copy_into(const TypeDesc *t, void *dst, const void *src)
{
    memset(dst, 0, t->size);
    for (size_t i = 0; i < t->n; i++)
        field_copy(&t->field[i], dst, src);
}

void *api_copy(const TypeDesc *t, const void *obj)
{
    void *copy = mem_alloc(t->size);
    api_copy_into(t, copy, obj);
    return copy;
}

/* --- compare ---------------------------------------------------------------------------------------------------- */

/* Would be written as {}. */
static bool object_zero(const TypeDesc *t, const void *obj)
{
    for (size_t i = 0; i < t->n; i++)
        if (!api_field_zero(&t->field[i], obj))
            return false;
    return true;
}

static bool quantity_zero(const char *q)
{
    return !q || quantity_cmp(q, "0") == 0;
}

bool api_field_zero(const Field *f, const void *obj)
{
    bool ptr = f->flags & FIELD_PTR;
    switch (f->kind) {
    case F_STR:
    case F_RAW: {
        const char *s = *AT_CONST(char *, obj, f);
        return !s || (!ptr && !*s);
    }
    case F_QUANTITY: {
        const char *q = *AT_CONST(char *, obj, f);
        return !q || (!ptr && quantity_zero(q));
    }
    case F_BOOL: {
        OptBool b = *AT_CONST(OptBool, obj, f);
        return !b.set || (!ptr && !b.v);
    }
    case F_INT:
    case F_INT64: {
        OptInt i = *AT_CONST(OptInt, obj, f);
        return !i.set || (!ptr && !i.v);
    }
    case F_TIME:
        return !AT_CONST(OptTime, obj, f)->set;
    case F_INTSTR: {
        const IntOrString *v = AT_CONST(IntOrString, obj, f);
        return v->kind == INTSTR_UNSET || (v->kind == INTSTR_INT && v->i == 0);
    }
    case F_OBJ: {
        const void *o = *AT_CONST(void *, obj, f);
        return !o || ((f->flags & FIELD_EMPTY_OBJ) && object_zero(f->sub, o));
    }
    case F_OBJ_IN:
        return object_zero(f->sub, AT_CONST(void, obj, f));
    case F_OBJ_LIST:
    case F_STR_LIST:
    case F_INT_LIST:
    case F_STR_MAP:
    case F_BYTES_MAP:
    case F_RES_MAP:
        return AT_CONST(ApiList, obj, f)->n == 0;
    }
    return false;
}

static int64_t whole_seconds(int64_t ns)
{
    return ns / NS_PER_S - (ns % NS_PER_S < 0);
}

static bool pairs_equal(const StrMap *a, const StrMap *b, bool quantities)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const char *x = a->v[i].value, *y = b->v[i].value;
        if (strcmp(a->v[i].key, b->v[i].key) != 0 || !(str_eq(x, y) || (quantities && x && y && quantity_cmp(x, y) == 0)))
            return false;
    }
    return true;
}

static bool bytes_equal(const BytesMap *a, const BytesMap *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i].key, b->v[i].key) != 0 || a->v[i].n != b->v[i].n ||
            (a->v[i].n && memcmp(a->v[i].bytes, b->v[i].bytes, a->v[i].n) != 0))
            return false;
    return true;
}

static bool lists_equal(const Field *f, const ApiList *a, const ApiList *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        size_t at = i * f->sub->size;
        if (!api_equal(f->sub, (const char *)a->v + at, (const char *)b->v + at))
            return false;
    }
    return true;
}

static bool strings_equal(const StrList *a, const StrList *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!str_eq(a->v[i], b->v[i]))
            return false;
    return true;
}

static bool intstr_equal(const IntOrString *a, const IntOrString *b)
{
    return a->kind == b->kind && (a->kind != INTSTR_INT || a->i == b->i) &&
           (a->kind != INTSTR_STR || str_eq(str_or(a->s, ""), str_or(b->s, "")));
}

/* Both are there (not field_zero). */
static bool values_equal(const Field *f, const void *a, const void *b)
{
    switch (f->kind) {
    case F_STR:
    case F_RAW:
        return str_eq(*AT_CONST(char *, a, f), *AT_CONST(char *, b, f));
    case F_QUANTITY:
        return quantity_cmp(*AT_CONST(char *, a, f), *AT_CONST(char *, b, f)) == 0;
    case F_BOOL:
        return AT_CONST(OptBool, a, f)->v == AT_CONST(OptBool, b, f)->v;
    case F_INT:
    case F_INT64:
        return AT_CONST(OptInt, a, f)->v == AT_CONST(OptInt, b, f)->v;
    case F_TIME:
        return whole_seconds(AT_CONST(OptTime, a, f)->ns) == whole_seconds(AT_CONST(OptTime, b, f)->ns);
    case F_INTSTR:
        return intstr_equal(AT_CONST(IntOrString, a, f), AT_CONST(IntOrString, b, f));
    case F_OBJ:
        return api_equal(f->sub, *AT_CONST(void *, a, f), *AT_CONST(void *, b, f));
    case F_OBJ_IN:
        return api_equal(f->sub, AT_CONST(void, a, f), AT_CONST(void, b, f));
    case F_OBJ_LIST:
        return lists_equal(f, AT_CONST(ApiList, a, f), AT_CONST(ApiList, b, f));
    case F_STR_LIST:
        return strings_equal(AT_CONST(StrList, a, f), AT_CONST(StrList, b, f));
    case F_INT_LIST: {
        const IntList *x = AT_CONST(IntList, a, f), *y = AT_CONST(IntList, b, f);
        return x->n == y->n && memcmp(x->v, y->v, x->n * sizeof *x->v) == 0;
    }
    case F_STR_MAP:
        return pairs_equal(AT_CONST(StrMap, a, f), AT_CONST(StrMap, b, f), false);
    case F_RES_MAP:
        return pairs_equal(AT_CONST(StrMap, a, f), AT_CONST(StrMap, b, f), true);
    case F_BYTES_MAP:
        return bytes_equal(AT_CONST(BytesMap, a, f), AT_CONST(BytesMap, b, f));
    }
    return false;
}

bool api_equal(const TypeDesc *t, const void *a, const void *b)
{
    if (!a || !b)
        return a == b;
    for (size_t i = 0; i < t->n; i++) {
        const Field *f = &t->field[i];
        bool no_a = api_field_zero(f, a), no_b = api_field_zero(f, b);
        if (no_a != no_b || (!no_a && !values_equal(f, a, b)))
            return false;
    }
    return true;
}

/* --- free ------------------------------------------------------------------------------------------------------- */

static void field_done(const Field *f, void *obj)
{
    switch (f->kind) {
    case F_STR:
    case F_QUANTITY:
    case F_RAW:
        free(*AT(char *, obj, f));
        break;
    case F_BOOL:
    case F_INT:
    case F_INT64:
    case F_TIME:
        break;
    case F_INTSTR:
        free(AT(IntOrString, obj, f)->s);
        break;
    case F_OBJ:
        api_free(f->sub, *AT(void *, obj, f));
        break;
    case F_OBJ_IN:
        api_done(f->sub, AT(void, obj, f));
        break;
    case F_OBJ_LIST: {
        ApiList *l = AT(ApiList, obj, f);
        for (size_t i = 0; i < l->n; i++)
            api_done(f->sub, (char *)l->v + i * f->sub->size);
        free(l->v);
        break;
    }
    case F_STR_LIST: {
        StrList *l = AT(StrList, obj, f);
        for (size_t i = 0; i < l->n; i++)
            free(l->v[i]);
        free(l->v);
        break;
    }
    case F_INT_LIST:
        free(AT(IntList, obj, f)->v);
        break;
    case F_STR_MAP:
    case F_RES_MAP: {
        StrMap *m = AT(StrMap, obj, f);
        for (size_t i = 0; i < m->n; i++) {
            free(m->v[i].key);
            free(m->v[i].value);
        }
        free(m->v);
        break;
    }
    case F_BYTES_MAP: {
        BytesMap *m = AT(BytesMap, obj, f);
        for (size_t i = 0; i < m->n; i++) {
            free(m->v[i].key);
            free(m->v[i].bytes);
        }
        free(m->v);
        break;
    }
    }
}

void api_done(const TypeDesc *t, void *obj)
{
    for (size_t i = 0; i < t->n; i++)
        field_done(&t->field[i], obj);
    memset(obj, 0, t->size);
}

void api_free(const TypeDesc *t, void *obj)
{
    if (!obj)
        return;
    api_done(t, obj);
    free(obj);
}
