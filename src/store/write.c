/* write.c - create, update, delete and batches: checked against memory, staged in memory, kept by the database, then told; or undone.
 *
 * SQL runs only when a batch ends: whether it must be durable is known only then, an object written twice in a batch is
 * stored once, and a disk that fails has to be undone in one place. */
#include "os/fault.h"
#include "store/store_priv.h"

static Err *reasoned(Err *e, const char *reason)
{
    (void)err_reason(e, reason);
    return e;
}

/* ---- batches ---- */

static void op_done(ObjOp *op)
{
    objitem_unref(op->item);
    objitem_unref(op->old);
    free(op->uid);
    free(op->restart.container);
    free(op->restart.rule);
    *op = (ObjOp){0};
}

static void undo(ObjStore *s)
{
    while (s->n_ops > 0) {
        ObjOp *op = &s->op[--s->n_ops];
        if (op->old)
            objres_put(s, op->r, op->old);
        else if (op->item)
            objres_remove(s, op->r, op->item->key);
        op_done(op);
    }
    s->durable = false;
}

/* The staged operations are kept: the history takes their references. */
static void tell(ObjStore *s)
{
    int64_t rv = objstore_view_rv(s);
    size_t n = s->n_ops;
    s->n_ops = 0;
    s->rv = rv;
    for (size_t i = 0; i < n; i++) {
        ObjOp *op = &s->op[i];
        if (op->item) {
            ObjPast p = {.type = op->kind == OP_DELETE ? OBJ_DELETED : op->old ? OBJ_MODIFIED : OBJ_ADDED,
                         .rv = op->item->rv, .item = MOVE(op->item, NULL), .prev = MOVE(op->old, NULL)};
            objhistory_add(s, op->r, &p);
        }
        op_done(op);
    }
    s->durable = false;
    if (s->cap_ops > 1024) { /* a large batch is rare */
        free(s->op);
        s->op = NULL;
        s->cap_ops = 0;
    }
}

static Err *commit(ObjStore *s)
{
    if (!s->n_ops)
        return NULL;
    fault_step("store.commit");
    Err *e = objdb_commit(s);
    if (e) {
        undo(s);
        return e;
    }
    fault_step("store.committed");
    tell(s);
    return NULL;
}

void objstore_begin(ObjStore *s)
{
    if (s->batch)
        abort(); /* two owners of one batch: one would keep or undo what is the other's */
    s->batch = true;
}

Err *objstore_end(ObjStore *s)
{
    s->batch = false;
    return commit(s);
}

void objstore_abort(ObjStore *s)
{
    s->batch = false;
    undo(s);
}

bool objstore_in_batch(const ObjStore *s)
{
    return s->batch;
}

/* ---- staging ---- */

/* Takes what <op> owns, also on error. */
static Err *stage(ObjStore *s, ObjOp *op, bool durable)
{
    if (s->n_ops == s->cap_ops) {
        s->cap_ops = s->cap_ops ? 2 * s->cap_ops : 8;
        s->op = mem_grow(s->op, s->cap_ops, sizeof *s->op);
    }
    s->op[s->n_ops++] = *op;
    s->durable = s->durable || durable;
    if (op->kind == OP_PUT)
        objres_put(s, op->r, op->item);
    else if (op->kind == OP_DELETE)
        objres_remove(s, op->r, op->item->key);
    return s->batch ? NULL : commit(s);
}

/* Before anything is staged: the database can be asked, and there is a number to give. */
static Err *ready(ObjStore *s)
{
    Err *e = s->n_ops ? NULL : objdb_ready(s);
    return e ? e : objrv_reserve(s);
}

static Err *conflict(const char *what, const char *name, const char *why)
{
    return reasoned(err_new(ERR_EXISTS, 0, "Operation cannot be fulfilled on %s \"%s\": %s", what, name, why), "Conflict");
}

#define MODIFIED "the object has been modified; please apply your changes to the latest version and try again"

static Err *check_update(const ObjItem *old, const ObjWrite *w)
{
    if (w->uid && strcmp(w->uid, old->uid) != 0) {
        SCOPED(mem_free) char *why =
            mem_fmt("StorageError: invalid object, Code: 4, Key: /registry/%s/%s, ResourceVersion: 0, AdditionalErrorMsg: "
                    "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                    old->resource, old->key, w->uid, old->uid);
        return conflict(old->resource, old->name, why);
    }
    return w->rv && w->rv != old->rv ? conflict(old->resource, old->name, MODIFIED) : NULL;
}

/* rest.BeforeDelete names the kind, not the resource. */
static Err *check_delete(const ObjItem *old, const ObjWrite *w)
{
    SCOPED(mem_free) char *why = NULL;
    if (w->uid && strcmp(w->uid, old->uid) != 0)
        why = mem_fmt("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted "
                      "and then recreated", w->uid, old->uid);
    else if (w->rv && w->rv != old->rv)
        why = mem_fmt("the ResourceVersion in the precondition (%lld) does not match the ResourceVersion in record (%lld). The object "
                      "might have been modified", (long long)w->rv, (long long)old->rv);
    return why ? conflict(old->kind[0] ? old->kind : old->resource, old->name, why) : NULL;
}

/* <object> as text in s->scratch, under the next number. */
static Err *encode(ObjStore *s, const char *resource, const char *name, json_t *object, ObjItemParts *p)
{
    Err *e = objitem_encode(object, s->next_rv, &s->scratch, &p->rv_at, &p->rv_n);
    if (e)
        return reasoned(err_wrap(e, "%s \"%s\"", resource, name), "BadRequest");
    p->text = s->scratch.p;
    p->n = s->scratch.n;
    p->rv = s->next_rv;
    if (p->n > OBJSTORE_TEXT_MAX)
        return reasoned(err_new(ERR_LIMIT, 0, "%s \"%s\": %zu bytes of JSON: must be at most %zu", resource, name, p->n,
                                OBJSTORE_TEXT_MAX),
                        "RequestEntityTooLarge");
    return NULL;
}

static Err *parts_of(const char *resource, json_t *object, ObjItemParts *p, char *key)
{
    const json_t *meta = json_object_get(object, "metadata");
    *p = (ObjItemParts){.resource = resource, .namespace_ = json_str(meta, "namespace"), .name = json_str(meta, "name"),
                        .uid = json_str(meta, "uid"), .kind = json_str(object, "kind"), .expires_ns = NS_NONE};
    if (objitem_key(p->namespace_, p->name, key))
        return NULL;
    return reasoned(err_new(ERR_INVALID, 0, "%s: no object can be named \"%s\"", resource, str_or(p->name, "")), "BadRequest");
}

static Err *put(ObjStore *s, ObjResource *r, const ObjItemParts *p, ObjItem *old, bool durable, ObjItem **ret)
{
    ObjItem *item = objitem_new(p);
    s->next_rv++;
    SCOPED(objitem_unref) ObjItem *mine = objitem_ref(item);
    Err *e = stage(s, &(ObjOp){.kind = OP_PUT, .r = r, .item = item, .old = old ? objitem_ref(old) : NULL}, durable);
    if (!e && ret)
        *ret = MOVE(mine, NULL);
    return e;
}

Err *objstore_create(ObjStore *s, const char *resource, json_t *object, const ObjWrite *w, ObjItem **ret)
{
    static const ObjWrite plain;
    char key[KEY_MAX];
    ObjItemParts p;
    w = w ? w : &plain;
    Err *e = parts_of(resource, object, &p, key);
    if (e)
        return e;
    ObjResource *r = objres_get(s, resource);
    if (objres_item(r, key))
        return reasoned(err_new(ERR_EXISTS, 0, "%s \"%s\" already exists", resource, p.name), "AlreadyExists");
    e = ready(s);
    if (!e)
        e = encode(s, resource, p.name, object, &p);
    if (e)
        return e;
    p.expires_ns = w->expires_ns ? w->expires_ns : NS_NONE;
    p.id = s->next_id++;
    return put(s, r, &p, NULL, w->durable, ret);
}

Err *objstore_update(ObjStore *s, const char *resource, json_t *object, const ObjWrite *w, ObjItem **ret)
{
    static const ObjWrite plain;
    char key[KEY_MAX];
    ObjItemParts p;
    w = w ? w : &plain;
    Err *e = parts_of(resource, object, &p, key);
    if (e)
        return e;
    ObjResource *r = objres_get(s, resource);
    ObjItem *old = objres_item(r, key);
    if (!old)
        return objstore_not_found(resource, p.name);
    e = check_update(old, w);
    if (!e)
        e = encode(s, resource, p.name, object, &p);
    if (e)
        return e;
    p.expires_ns = w->expires_ns ? w->expires_ns : old->expires_ns;
    p.id = old->id;
    if (p.expires_ns == old->expires_ns && objitem_same(old, p.text, p.n, p.rv_at, p.rv_n)) {
        if (ret)
            *ret = objitem_ref(old);
        return NULL;
    }
    e = ready(s);
    return e ? e : put(s, r, &p, old, w->durable, ret);
}

static Err *delete_item(ObjStore *s, ObjResource *r, ObjItem *old, bool durable, ObjItem **ret)
{
    Err *e = ready(s);
    if (e)
        return e;
    ObjItem *item = objitem_with_rv(old, s->next_rv++);
    SCOPED(objitem_unref) ObjItem *mine = objitem_ref(item);
    e = stage(s, &(ObjOp){.kind = OP_DELETE, .r = r, .item = item, .old = objitem_ref(old)}, durable);
    if (!e && ret)
        *ret = MOVE(mine, NULL);
    return e;
}

Err *objstore_delete(ObjStore *s, const char *resource, const char *namespace_, const char *name, const ObjWrite *w, ObjItem **ret)
{
    static const ObjWrite plain;
    char key[KEY_MAX];
    w = w ? w : &plain;
    ObjResource *r = objres_find(s, resource);
    ObjItem *old = objitem_key(namespace_, name, key) ? objres_item(r, key) : NULL;
    if (!old)
        return objstore_not_found(resource, str_or(name, ""));
    Err *e = check_delete(old, w);
    return e ? e : delete_item(s, r, old, w->durable, ret);
}

/* Deletes all of <l>, in the batch that is open or in one of its own. */
static Err *delete_all(ObjStore *s, ObjItem **item, size_t n, bool durable)
{
    bool own = !s->batch;
    s->batch = true;
    Err *e = NULL;
    for (size_t i = 0; !e && i < n; i++) {
        ObjResource *r = objres_find(s, item[i]->resource);
        ObjItem *old = objres_item(r, item[i]->key);
        if (old)
            e = delete_item(s, r, old, durable, NULL);
    }
    if (!own)
        return e;
    if (!e)
        return objstore_end(s);
    objstore_abort(s);
    return e;
}

Err *objstore_delete_collection(ObjStore *s, const ObjQuery *q, bool durable, size_t *ret_n)
{
    SCOPED(objlist_done) ObjList l = {0};
    ObjQuery now = *q;
    now.rv = 0;
    Err *e = objstore_list(s, &now, &l);
    if (!e)
        e = delete_all(s, l.item, l.n, durable);
    if (!e && ret_n)
        *ret_n = l.n;
    return e;
}

Err *objstore_sweep(ObjStore *s, int64_t now_ns, size_t max, size_t *ret_n, int64_t *ret_next_ns)
{
    ObjList l = {0};
    int64_t next = NS_NONE;
    if (s->next_expiry_ns != NS_NONE && s->next_expiry_ns <= now_ns) {
        l.item = mem_alloc_n(max ? max : 1, sizeof *l.item);
        for (size_t k = 0; k < s->n_resources; k++)
            for (size_t i = 0; i < s->resource[k]->n; i++) {
                const ObjItem *item = s->resource[k]->v[i];
                if (item->expires_ns == NS_NONE)
                    continue;
                if (item->expires_ns <= now_ns && l.n < max)
                    l.item[l.n++] = objitem_ref(item);
                else if (next == NS_NONE || item->expires_ns < next)
                    next = item->expires_ns;
            }
    } else {
        next = s->next_expiry_ns;
    }
    Err *e = delete_all(s, l.item, l.n, false);
    if (!e)
        s->next_expiry_ns = next;
    *ret_n = e ? 0 : l.n;
    *ret_next_ns = s->next_expiry_ns;
    objlist_done(&l);
    return e;
}

/* ---- in-place restarts ---- */

Err *objstore_restart_put(ObjStore *s, const char *uid, const ObjRestart *r, bool durable)
{
    Err *e = s->n_ops ? NULL : objdb_ready(s);
    if (e)
        return e;
    ObjOp op = {.kind = OP_RESTART, .uid = mem_dup_str(uid), .restart = *r};
    op.restart.container = mem_dup_str(str_or(r->container, ""));
    op.restart.rule = mem_dup_str(str_or(r->rule, ""));
    return stage(s, &op, durable);
}

Err *objstore_restart_forget(ObjStore *s, const char *uid)
{
    Err *e = s->n_ops ? NULL : objdb_ready(s);
    return e ? e : stage(s, &(ObjOp){.kind = OP_FORGET, .uid = mem_dup_str(uid)}, false);
}

Err *objstore_restarts(ObjStore *s, const char *uid, ObjRestarts *out)
{
    *out = (ObjRestarts){0};
    return objdb_restarts(s, uid, out);
}

void objrestarts_done(ObjRestarts *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].container);
        free(l->v[i].rule);
    }
    free(l->v);
    *l = (ObjRestarts){0};
}
