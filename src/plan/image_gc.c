#include "plan/image_gc.h"

#include "api/codec.h"
#include "base/str.h"

static void record_done(ImageRecord *r)
{
    free(r->id);
}

void image_records_done(ImageRecords *r)
{
    LIST_EACH(i, &r->v)
        record_done(i);
    free(r->v.v);
    *r = (ImageRecords){0};
}

static ImageRecord *find(const ImageRecords *r, const char *id)
{
    LIST_EACH(i, &r->v)
        if (str_eq(i->id, id))
            return i;
    return NULL;
}

static bool is_seen(const ImageSeen *v, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(v[i].id, id))
            return true;
    return false;
}

void image_gc_see(ImageRecords *r, const ImageSeen *v, size_t n, int64_t now_ns)
{
    for (size_t i = 0; i < n; i++) {
        ImageRecord *x = find(r, v[i].id);
        if (!x) {
            x = LIST_ADD(&r->v);
            x->id = mem_dup_str(v[i].id);
            x->first_ns = r->since_ns ? now_ns : 0; /* what is there at the first look is as old as can be */
        }
        x->used_ns = v[i].used ? now_ns : x->used_ns;
        x->bytes = v[i].bytes;
        x->pinned = v[i].pinned;
        x->failed = false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < r->v.n; i++) {
        if (is_seen(v, n, r->v.v[i].id))
            r->v.v[kept++] = r->v.v[i];
        else
            record_done(&r->v.v[i]);
    }
    r->v.n = kept;
    if (!r->since_ns)
        r->since_ns = now_ns;
}

int64_t image_gc_wanted(const ImageGcPolicy *p, int64_t available, int64_t capacity)
{
    if (capacity <= 0 || available < 0 || p->high_percent >= 100)
        return 0;
    __int128 left = available > capacity ? capacity : available;
    if (100 - (int64_t)(left * 100 / capacity) < p->high_percent)
        return 0;
    __int128 wanted = (__int128)capacity * (100 - p->low_percent) / 100 - left;
    return wanted > 0 ? (int64_t)wanted : 0;
}

static bool may_go(const ImageRecords *r, const ImageRecord *x, const ImageGcPolicy *p, ImageGcReason why, int64_t run_ns)
{
    if (x->pinned || x->failed || x->used_ns >= run_ns || run_ns - x->first_ns < p->min_age_ns)
        return false;
    if (why == IMAGE_GC_SPACE)
        return true;
    /* What happened before the records began is not known: it is given the whole time from then on. */
    int64_t last = x->used_ns > x->first_ns ? x->used_ns : x->first_ns;
    last = last > r->since_ns ? last : r->since_ns;
    return p->max_age_ns > 0 && run_ns - last > p->max_age_ns;
}

ImageRecord *image_gc_next(const ImageRecords *r, const ImageGcPolicy *p, ImageGcReason why, int64_t run_ns)
{
    ImageRecord *best = NULL;
    LIST_EACH(x, &r->v) {
        if (!may_go(r, x, p, why, run_ns))
            continue;
        if (!best || x->used_ns < best->used_ns || (x->used_ns == best->used_ns && x->first_ns < best->first_ns))
            best = x;
    }
    return best;
}

void image_gc_forget(ImageRecords *r, const char *id)
{
    ImageRecord *x = find(r, id);
    if (!x)
        return;
    record_done(x);
    *x = r->v.v[--r->v.n];
}
