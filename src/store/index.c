/* index.c - what lies in memory: a sorted array for each resource. A machine has some thousand objects, so inserting moves some
 * kilobytes at most, and reading is a binary search over pointers. */
#include "store/store_priv.h"

ObjResource *objres_find(const ObjStore *s, const char *name)
{
    for (size_t i = 0; i < s->n_resources; i++)
        if (strcmp(s->resource[i]->name, name) == 0)
            return s->resource[i];
    return NULL;
}

ObjResource *objres_get(ObjStore *s, const char *name)
{
    ObjResource *r = objres_find(s, name);
    if (r)
        return r;
    r = NEW(ObjResource);
    r->name = mem_dup_str(name);
    r->compacted_rv = s->open_rv;
    s->resource = mem_grow(s->resource, s->n_resources + 1, sizeof *s->resource);
    s->resource[s->n_resources++] = r;
    return r;
}

void objres_free(ObjResource *r)
{
    objwatch_detach_all(r);
    objhistory_done(r);
    for (size_t i = 0; i < r->n; i++)
        objitem_unref(r->v[i]);
    free(r->v);
    free(r->name);
    free(r);
}

size_t objres_lower(const ObjResource *r, const char *key)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(r->v[mid]->key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

ObjItem *objres_item(const ObjResource *r, const char *key)
{
    size_t i = r ? objres_lower(r, key) : 0;
    return r && i < r->n && strcmp(r->v[i]->key, key) == 0 ? r->v[i] : NULL;
}

void objres_put(ObjStore *s, ObjResource *r, const ObjItem *i)
{
    size_t at = objres_lower(r, i->key);
    s->object_bytes += i->n;
    if (i->expires_ns != NS_NONE && (s->next_expiry_ns == NS_NONE || i->expires_ns < s->next_expiry_ns))
        s->next_expiry_ns = i->expires_ns;
    if (at < r->n && strcmp(r->v[at]->key, i->key) == 0) {
        s->object_bytes -= r->v[at]->n;
        ObjItem *old = MOVE(r->v[at], objitem_ref(i));
        objitem_unref(old);
        return;
    }
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 16;
        r->v = mem_grow(r->v, r->cap, sizeof *r->v);
    }
    memmove(r->v + at + 1, r->v + at, (r->n - at) * sizeof *r->v);
    r->v[at] = objitem_ref(i);
    r->n++;
    s->n_objects++;
}

void objres_remove(ObjStore *s, ObjResource *r, const char *key)
{
    size_t at = objres_lower(r, key);
    if (at == r->n || strcmp(r->v[at]->key, key) != 0)
        return;
    s->object_bytes -= r->v[at]->n;
    s->n_objects--;
    ObjItem *old = r->v[at];
    r->n--;
    memmove(r->v + at, r->v + at + 1, (r->n - at) * sizeof *r->v);
    objitem_unref(old);
}

const ObjItem *objstore_get(const ObjStore *s, const char *resource, const char *namespace_, const char *name)
{
    char key[KEY_MAX];
    return objitem_key(namespace_, name, key) ? objres_item(objres_find(s, resource), key) : NULL;
}

Err *objstore_not_found(const char *resource, const char *name)
{
    Err *e = err_new(ERR_NOT_FOUND, 0, "%s \"%s\" not found", resource, name);
    (void)err_reason(e, "NotFound");
    return e;
}

size_t objstore_count(const ObjStore *s, const char *resource, const char *namespace_)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_resources; i++) {
        const ObjResource *r = s->resource[i];
        if (resource && strcmp(r->name, resource) != 0)
            continue;
        for (size_t k = 0; namespace_ && k < r->n; k++)
            n += strcmp(r->v[k]->namespace_, namespace_) == 0;
        n += namespace_ ? 0 : r->n;
    }
    return n;
}

const char *objstore_resource(const ObjStore *s, size_t i)
{
    return i < s->n_resources ? s->resource[i]->name : NULL;
}

int64_t objstore_view_rv(const ObjStore *s)
{
    for (size_t i = s->n_ops; i > 0; i--)
        if (s->op[i - 1].item)
            return s->op[i - 1].item->rv;
    return s->rv;
}
