/* watch.c - one history for each resource, and watches that are only a place in it.
 *
 * Nothing is copied for a watch: events are two references to immutable text, and a thousand watches read the same ones. What a slow
 * watch costs is bounded by the history, which forgets its oldest events by count and by bytes; a watch whose next event was
 * forgotten is gone. The list of initial events is references too, to objects that are still there or still in the history: it is
 * dropped, and the watch is gone, when the history forgets something that happened since. */
#include "store/store_priv.h"

struct ObjWatch {
    ObjStore *s;    /* NULL: the store was closed */
    ObjResource *r;
    ObjWatch *next, **at; /* list of the resource; at: the pointer that points here */
    char *namespace_, *name; /* owned; NULL = all */
    ObjReady *ready;
    void *arg;
    uint64_t pos; /* number of the event that it looks at next */
    int64_t seen_rv, compacted_rv; /* what was given; what it fell behind */
    ObjList initial;
    size_t given; /* of initial */
    bool in_initial, bookmark;
    bool idle; /* it has seen all; ready() when something comes */
    bool gone;
};

static ObjPast *past(const ObjResource *r, uint64_t q)
{
    return &r->ring[q & (r->cap_ring - 1)];
}

static bool wants(const ObjWatch *w, const ObjItem *i)
{
    return (!w->namespace_ || strcmp(w->namespace_, i->namespace_) == 0) && (!w->name || strcmp(w->name, i->name) == 0);
}

/* ---- the history ---- */

/* Without prev: that is the item of an earlier event, or the one thing more that an object's first event in the ring keeps; so the
 * history holds at most twice of what is counted, and half of it are the objects themselves. */
static size_t past_bytes(const ObjPast *p)
{
    return p->item->n + sizeof *p->item + sizeof *p;
}

static void initial_drop(ObjWatch *w)
{
    if (!w->in_initial)
        return;
    w->in_initial = false;
    w->r->n_initial--;
    objlist_done(&w->initial);
}

static void forget_oldest(ObjStore *s, ObjResource *r)
{
    ObjPast *p = past(r, r->begin++);
    r->compacted_rv = p->rv;
    r->bytes -= past_bytes(p);
    s->history_bytes -= past_bytes(p);
    s->history_events--;
    objitem_unref(p->item);
    objitem_unref(p->prev);
    *p = (ObjPast){0};
    for (ObjWatch *w = r->n_initial ? r->watches : NULL; w; w = w->next)
        if (w->in_initial && w->seen_rv < r->compacted_rv) {
            initial_drop(w);
            w->gone = true;
            w->compacted_rv = r->compacted_rv;
        }
}

static void ring_grow(ObjResource *r)
{
    size_t cap = r->cap_ring ? 2 * r->cap_ring : 16;
    ObjPast *ring = mem_alloc_n(cap, sizeof *ring);
    for (uint64_t q = r->begin; q < r->end; q++)
        ring[q & (cap - 1)] = *past(r, q);
    free(r->ring);
    r->ring = ring;
    r->cap_ring = cap;
}

void objhistory_add(ObjStore *s, ObjResource *r, const ObjPast *p)
{
    if (r->end - r->begin == r->cap_ring)
        ring_grow(r);
    *past(r, r->end++) = *p;
    r->bytes += past_bytes(p);
    s->history_bytes += past_bytes(p);
    s->history_events++;
    /* One event is always kept: it is what the watches that are told below come for. */
    while (r->end - r->begin > 1 && (r->end - r->begin > s->o.history_events || r->bytes > s->o.history_bytes))
        forget_oldest(s, r);
    for (ObjWatch *w = r->watches; w; w = w->next) {
        if (!w->idle)
            continue;
        if (!wants(w, p->item)) {
            w->pos = r->end; /* so that what others get does not make it too old */
            continue;
        }
        w->idle = false;
        if (w->ready)
            w->ready(w->arg);
    }
}

void objhistory_done(ObjResource *r)
{
    for (uint64_t q = r->begin; q < r->end; q++) {
        objitem_unref(past(r, q)->item);
        objitem_unref(past(r, q)->prev);
    }
    free(r->ring);
}

/* ---- watches ---- */

static Err *too_old(int64_t rv, int64_t compacted)
{
    Err *e = err_new(ERR_LIMIT, 0, "too old resource version: %lld (%lld)", (long long)rv, (long long)compacted);
    (void)err_reason(e, "Expired");
    return e;
}

/* The first event after <rv>. */
static uint64_t place_of(const ObjResource *r, int64_t rv)
{
    uint64_t low = r->begin, high = r->end;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (past(r, mid)->rv <= rv)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool match_name(void *arg, const ObjItem *i)
{
    return strcmp(arg, i->name) == 0;
}

static void initial_take(ObjWatch *w)
{
    ObjList l;
    ObjQuery q = {.resource = w->r->name, .namespace_ = w->namespace_, .match = w->name ? match_name : NULL, .arg = w->name};
    SCOPED(err_free) Err *e = objstore_list(w->s, &q, &l); /* of now: it cannot fail */
    w->initial = l;
    w->in_initial = true;
    w->r->n_initial++;
}

Err *objstore_watch(ObjStore *s, const ObjWatching *q, ObjWatch **ret)
{
    if (s->n_ops)
        return err_new(ERR_BUG, 0, "a watch of %s within a batch", q->resource);
    ObjResource *r = objres_get(s, q->resource);
    if (q->from > s->rv) {
        Err *e = err_new(ERR_TIMEOUT, 0, "Too large resource version: %lld, current: %lld", (long long)q->from, (long long)s->rv);
        (void)err_reason(e, "Timeout");
        return e;
    }
    int64_t from = q->initial || q->from == 0 ? s->rv : q->from;
    if (from < r->compacted_rv)
        return too_old(from, r->compacted_rv);
    ObjWatch *w = NEW(ObjWatch);
    *w = (ObjWatch){.s = s, .r = r, .namespace_ = mem_dup_str(q->namespace_), .name = mem_dup_str(q->name), .ready = q->ready,
                    .arg = q->arg, .pos = place_of(r, from), .seen_rv = from, .bookmark = q->initial_end};
    if (q->initial)
        initial_take(w);
    w->idle = !w->in_initial && w->pos == r->end;
    w->next = r->watches;
    w->at = &r->watches;
    if (w->next)
        w->next->at = &w->next;
    r->watches = w;
    s->n_watches++;
    *ret = w;
    return NULL;
}

/* true: *out is one of the initial events. */
static bool next_initial(ObjWatch *w, ObjEvent *out)
{
    if (w->given) { /* the one given before was borrowed until now */
        objitem_unref(w->initial.item[w->given - 1]);
        w->initial.item[w->given - 1] = NULL;
    }
    if (w->given < w->initial.n) {
        const ObjItem *i = w->initial.item[w->given++];
        *out = (ObjEvent){.type = OBJ_ADDED, .rv = i->rv, .item = i};
        return true;
    }
    bool bookmark = w->bookmark;
    initial_drop(w);
    *out = (ObjEvent){.type = OBJ_BOOKMARK, .rv = w->seen_rv};
    return bookmark;
}

ObjNext objwatch_next(ObjWatch *w, ObjEvent *out)
{
    if (w->in_initial && next_initial(w, out))
        return OBJ_EVENT;
    if (w->gone)
        return OBJ_GONE;
    if (w->pos < w->r->begin) {
        w->gone = true;
        w->compacted_rv = w->r->compacted_rv;
        return OBJ_GONE;
    }
    while (w->pos < w->r->end) {
        const ObjPast *p = past(w->r, w->pos++);
        w->seen_rv = p->rv;
        if (!wants(w, p->item))
            continue;
        *out = (ObjEvent){.type = p->type, .rv = p->rv, .item = p->item, .prev = p->prev};
        return OBJ_EVENT;
    }
    w->idle = true;
    return OBJ_NONE;
}

int64_t objwatch_rv(const ObjWatch *w)
{
    if (w->in_initial)
        return 0;
    return !w->gone && w->pos == w->r->end ? w->s->rv : w->seen_rv;
}

Err *objwatch_gone(const ObjWatch *w)
{
    if (!w->s) {
        Err *e = err_new(ERR_UNAVAILABLE, 0, "the store was closed");
        (void)err_reason(e, "ServiceUnavailable");
        return e;
    }
    return too_old(w->seen_rv, w->compacted_rv);
}

void objwatch_close(ObjWatch *w)
{
    if (!w)
        return;
    if (w->s) {
        initial_drop(w);
        *w->at = w->next;
        if (w->next)
            w->next->at = w->at;
        w->s->n_watches--;
    }
    free(w->namespace_);
    free(w->name);
    free(w);
}

void objwatch_detach_all(ObjResource *r)
{
    for (ObjWatch *w = r->watches, *next; w; w = next) {
        next = w->next;
        initial_drop(w);
        w->s = NULL;
        w->r = NULL;
        w->gone = true;
    }
    r->watches = NULL;
}
