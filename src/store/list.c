/* list.c - lists, and their pages of one moment.
 *
 * The moment of a first page is not kept anywhere: it is what there is now with what happened since taken back. For each key that the
 * history names after that moment, the first event's previous object is what was there then. That overlay is merged with the
 * sorted array, so a page costs what it shows and what happened since, and a client that never comes back costs nothing. */
#include <ctype.h>

#include "store/store_priv.h"

#define TOKEN_MAX 2048

/* ---- the token: as Kubernetes makes it, base64 of {"v","rv","start"}. start is the last key that was shown. ---- */

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *base64url(const char *s, size_t n)
{
    SCOPED(str_done) Str t = {0};
    for (size_t i = 0; i < n; i += 3) {
        uint32_t w = (uint32_t)(unsigned char)s[i] << 16;
        w |= i + 1 < n ? (uint32_t)(unsigned char)s[i + 1] << 8 : 0;
        w |= i + 2 < n ? (uint32_t)(unsigned char)s[i + 2] : 0;
        for (size_t k = 0; k < (n - i >= 3 ? 4 : n - i + 1); k++)
            str_add_c(&t, digits64[w >> (18 - 6 * k) & 63]);
    }
    return str_take(&t);
}

static bool base64url_decode(const char *s, Str *out)
{
    uint32_t w = 0;
    unsigned bits = 0;
    for (; *s; s++) {
        const char *d = strchr(digits64, *s);
        if (!d)
            return false;
        w = (w << 6 | (uint32_t)(d - digits64)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            str_add_c(out, (char)(w >> bits & 0xff));
        }
    }
    return bits < 6;
}

static char *token_make(int64_t rv, const char *last)
{
    SCOPED(json_unref) json_t *j = json_pack("{s:s, s:I, s:s}", "v", "meta.k8s.io/v1", "rv", (json_int_t)rv, "start", last);
    SCOPED(mem_free) char *text = j ? json_text(j, false) : NULL;
    return text ? base64url(text, strlen(text)) : NULL;
}

typedef struct {
    int64_t rv; /* -1: of now, which is inconsistent with the pages before */
    char start[KEY_MAX];
} Token;

static Err *bad_token(const char *why)
{
    Err *e = err_new(ERR_INVALID, 0, "continue key is not valid: %s", why);
    (void)err_reason(e, "BadRequest");
    return e;
}

static Err *token_read(const char *text, const char *namespace_, int64_t newest, Token *out)
{
    SCOPED(str_done) Str t = {0};
    if (strlen(text) > TOKEN_MAX || !base64url_decode(text, &t) || !t.n)
        return bad_token("illegal base64 data");
    SCOPED(json_unref) json_t *j = NULL;
    SCOPED(err_free) Err *e = json_parse(t.p, t.n, &j);
    if (e)
        return bad_token(e->what);
    const char *start = json_str(j, "start");
    if (!str_eq(json_str(j, "v"), "meta.k8s.io/v1"))
        return bad_token("server does not recognize this encoded version");
    out->rv = json_i64(j, "rv", 0);
    if (out->rv < -1 || out->rv == 0 || out->rv > newest)
        return bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
    if (str_empty(start))
        return bad_token("encoded start key empty (version meta.k8s.io/v1)");
    size_t n = strlen(start), n_ns = namespace_ ? strlen(namespace_) : 0;
    if (n >= KEY_MAX || (n_ns && (n <= n_ns + 1 || memcmp(start, namespace_, n_ns) != 0 || start[n_ns] != '/')))
        return bad_token("encoded start key is of another list");
    memcpy(out->start, start, n + 1);
    return NULL;
}

/* ---- what was there ---- */

typedef struct {
    const char *key;
    const ObjItem *then; /* NULL: it was not there */
    size_t order;
} Undo;
typedef struct {
    Undo *v;
    size_t n;
} Overlay;

static int by_key(const void *a, const void *b)
{
    const Undo *x = a, *y = b;
    int c = strcmp(x->key, y->key);
    return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

static void overlay_add(Overlay *o, const ObjItem *item, const ObjItem *prev)
{
    if ((o->n & (o->n - 1)) == 0) /* the capacity is the next power of two */
        o->v = mem_grow(o->v, o->n ? 2 * o->n : 1, sizeof *o->v);
    o->v[o->n] = (Undo){item->key, prev, o->n};
    o->n++;
}

static void overlay_make(const ObjStore *s, const ObjResource *r, int64_t rv, Overlay *o)
{
    for (uint64_t q = r->end; q > r->begin; q--) { /* from the newest, which is near */
        const ObjPast *p = &r->ring[(q - 1) & (r->cap_ring - 1)];
        if (p->rv <= rv)
            break;
        overlay_add(o, p->item, p->prev);
    }
    for (size_t i = 0, n = o->n; i < n / 2; i++) {
        Undo u = o->v[i];
        o->v[i] = o->v[n - 1 - i];
        o->v[n - 1 - i] = u;
    }
    for (size_t i = 0; i < s->n_ops; i++) /* a batch under way */
        if (s->op[i].r == r && s->op[i].item->rv > rv)
            overlay_add(o, s->op[i].item, s->op[i].old);
    for (size_t i = 0; i < o->n; i++)
        o->v[i].order = i;
    if (o->n)
        qsort(o->v, o->n, sizeof *o->v, by_key);
    size_t kept = 0; /* of each key the oldest event: what it was before that is what it was then */
    for (size_t i = 0; i < o->n; i++)
        if (!i || strcmp(o->v[i].key, o->v[kept - 1].key) != 0)
            o->v[kept++] = o->v[i];
    o->n = kept;
}

/* Walks array and overlay together; NULL at the end. */
typedef struct {
    const ObjResource *r;
    const Overlay *o;
    size_t at, at_undo;
} Walk;

static const ObjItem *walk_next(Walk *w)
{
    for (;;) {
        const ObjItem *i = w->at < w->r->n ? w->r->v[w->at] : NULL;
        const Undo *u = w->at_undo < w->o->n ? &w->o->v[w->at_undo] : NULL;
        int c = !i ? 1 : !u ? -1 : strcmp(i->key, u->key);
        if (!i && !u)
            return NULL;
        w->at += c <= 0;
        w->at_undo += c >= 0;
        if (c < 0)
            return i;
        if (u->then)
            return u->then;
    }
}

/* Puts both in front of the first key that is past <start>. */
static void walk_seek(Walk *w, const char *start, bool after)
{
    w->at = objres_lower(w->r, start);
    if (after && w->at < w->r->n && strcmp(w->r->v[w->at]->key, start) == 0)
        w->at++;
    while (w->at_undo < w->o->n) {
        int c = strcmp(w->o->v[w->at_undo].key, start);
        if (c > 0 || (c == 0 && !after))
            break;
        w->at_undo++;
    }
}

/* ---- the list ---- */

static Err *with_reason(Err *e, const char *reason)
{
    (void)err_reason(e, reason);
    return e;
}

static Err *expired(const Token *t, ObjList *out)
{
    if (!t)
        return with_reason(err_new(ERR_LIMIT, 0, "The resourceVersion for the provided list is too old."), "Expired");
    out->cont = token_make(-1, t->start);
    return with_reason(
        err_new(ERR_LIMIT, 0, "%s",
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
                "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
                "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
                "deleted between the time the first chunk was returned and now may show up in the list."),
        "Expired");
}

static bool in_namespace(const ObjItem *i, const char *namespace_)
{
    return !namespace_ || strcmp(i->namespace_, namespace_) == 0;
}

static void collect(Walk *w, const ObjQuery *q, ObjList *out)
{
    size_t cap = 0;
    const ObjItem *i;
    while ((i = walk_next(w)) && in_namespace(i, q->namespace_)) {
        if (q->match && !q->match(q->arg, i))
            continue;
        if (q->limit && out->n == q->limit) { /* there is one more: a next page */
            out->cont = token_make(out->rv, out->item[out->n - 1]->key);
            if (q->match)
                return;
            for (out->remaining = 0; i && in_namespace(i, q->namespace_); i = walk_next(w))
                out->remaining++;
            return;
        }
        if (out->n == cap) {
            cap = cap ? 2 * cap : 64;
            out->item = mem_grow(out->item, cap, sizeof *out->item);
        }
        out->item[out->n++] = objitem_ref(i);
    }
}

Err *objstore_list(ObjStore *s, const ObjQuery *q, ObjList *out)
{
    int64_t newest = objstore_view_rv(s);
    *out = (ObjList){.rv = newest, .remaining = -1};
    Token token = {0}, *t = NULL;
    if (!str_empty(q->cont)) {
        Err *e = token_read(q->cont, q->namespace_, newest, &token);
        if (e)
            return e;
        t = &token;
        out->rv = t->rv > 0 ? t->rv : newest;
    } else if (q->rv > newest) {
        return with_reason(err_new(ERR_TIMEOUT, 0, "Too large resource version: %lld, current: %lld", (long long)q->rv,
                                   (long long)newest),
                           "Timeout");
    } else if (q->exact && q->rv > 0) {
        out->rv = q->rv;
    }
    ObjResource *r = objres_get(s, q->resource);
    if (out->rv < r->compacted_rv)
        return expired(t, out);

    Overlay o = {0};
    if (out->rv < newest)
        overlay_make(s, r, out->rv, &o);
    Walk w = {.r = r, .o = &o};
    char first[KEY_MAX] = "";
    if (q->namespace_ && strlen(q->namespace_) + 2 < KEY_MAX)
        (void)memcpy(mempcpy(first, q->namespace_, strlen(q->namespace_)), "/", 2);
    if (t)
        walk_seek(&w, t->start, true);
    else
        walk_seek(&w, first, false);
    collect(&w, q, out);
    free(o.v);
    return NULL;
}

void objlist_done(ObjList *l)
{
    for (size_t i = 0; i < l->n; i++)
        objitem_unref(l->item[i]);
    free(l->item);
    free(l->cont);
    *l = (ObjList){0};
}
