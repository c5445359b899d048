/* owners.c - see owners.h. */
#include "apiserver/owners.h"

static const json_t *references(const json_t *o)
{
    return json_object_get(json_object_get(o, "metadata"), "ownerReferences");
}

static const json_t *reference_to(const json_t *o, const char *uid)
{
    size_t i;
    json_t *r;
    json_array_foreach(references(o), i, r)
        if (str_eq(json_str(r, "uid"), uid))
            return r;
    return NULL;
}

bool owners_mentioned(const ObjItem *i)
{
    static const char has[] = "\"ownerReferences\":[";
    return memmem(i->text, i->n, has, sizeof has - 1) != NULL;
}

static bool mentions(void *arg, const ObjItem *i)
{
    const StrVec *uids = arg;
    if (!owners_mentioned(i))
        return false;
    bool any = uids->n > 4; /* many: parse it */
    for (size_t k = 0; !any && k < uids->n; k++)
        any = memmem(i->text, i->n, uids->v[k], strlen(uids->v[k])) != NULL;
    return any;
}

static const char *owner_among(const json_t *o, const StrVec *uids)
{
    for (size_t i = 0; i < uids->n; i++)
        if (reference_to(o, uids->v[i]))
            return uids->v[i];
    return NULL;
}

void owners_each(ObjStore *s, const StrVec *uids, OwnedEach *each, void *arg)
{
    const char *resource;
    bool more = uids->n > 0;
    for (size_t r = 0; more && (resource = objstore_resource(s, r)); r++) {
        SCOPED(objlist_done) ObjList l = {0};
        ObjQuery q = {.resource = resource, .match = mentions, .arg = (void *)(uintptr_t)uids};
        SCOPED(err_free) Err *e = objstore_list(s, &q, &l);
        for (size_t i = 0; more && !e && i < l.n; i++) {
            SCOPED(json_unref) json_t *o = objitem_json(l.item[i]);
            const char *uid = owner_among(o, uids);
            if (uid)
                more = each(arg, resource, o, uid);
        }
    }
}

typedef struct {
    bool blocked;
    ObjStore *s;
    Err *e;
} Walk;

static void each_of(ObjStore *s, const char *uid, OwnedEach *each, Walk *w)
{
    SCOPED(strvec_done) StrVec uids = {0};
    if (!str_empty(uid))
        strvec_add(&uids, uid);
    owners_each(s, &uids, each, w);
}

static bool see_block(void *arg, const char *resource, const json_t *o, const char *uid)
{
    Walk *w = arg;
    (void)resource;
    w->blocked = json_flag(reference_to(o, uid), "blockOwnerDeletion", false);
    return !w->blocked;
}

bool owners_blocked(ObjStore *s, const char *uid)
{
    Walk w = {0};
    each_of(s, uid, see_block, &w);
    return w.blocked;
}

json_t *owners_without(const json_t *o, const char *uid, size_t *ret_left)
{
    json_t *out = json_deep_copy(o), *meta = json_object_get(out, "metadata"), *kept = json_array(), *r;
    size_t i;
    json_array_foreach(references(o), i, r)
        if (!str_eq(json_str(r, "uid"), uid))
            json_array_append(kept, r);
    *ret_left = json_array_size(kept);
    if (*ret_left)
        json_object_set(meta, "ownerReferences", kept);
    else
        json_object_del(meta, "ownerReferences");
    json_decref(kept);
    return out;
}

static bool let_go(void *arg, const char *resource, const json_t *o, const char *uid)
{
    Walk *w = arg;
    size_t left;
    SCOPED(json_unref) json_t *free_ = owners_without(o, uid, &left);
    w->e = objstore_update(w->s, resource, free_, &(ObjWrite){.durable = true}, NULL);
    return !w->e;
}

Err *owners_orphan(ObjStore *s, const char *uid)
{
    Walk w = {.s = s};
    each_of(s, uid, let_go, &w);
    return w.e;
}
