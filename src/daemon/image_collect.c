#include "daemon/image_collect.h"

#include "api/codec.h"
#include "os/fs.h"
#include "runtime/oci/image.h"

struct ImageCollector {
    ImageCollectorConfig c;
    ImageRecords records;
    bool running, closed;
    int64_t run_ns, wanted, freed;
    ImageGcReason why;  /* what is removed now */
    char *removing;     /* id */
    ImageCollectDone *done;
    unsigned refs;      /* the owner's, and a request's */
};

ImageCollector *image_collector_new(const ImageCollectorConfig *c)
{
    ImageCollector *g = NEW(ImageCollector);
    *g = (ImageCollector){.c = *c, .refs = 1};
    return g;
}

static void unref(ImageCollector *g)
{
    if (--g->refs > 0)
        return;
    image_records_done(&g->records);
    free(g->removing);
    free(g);
}

void image_collector_close(ImageCollector *g)
{
    if (!g)
        return;
    g->closed = true;
    unref(g);
}

bool image_collector_runs(const ImageCollector *g)
{
    return g->running;
}

int64_t image_collector_bytes(const ImageCollector *g)
{
    int64_t sum = 0;
    LIST_EACH(r, &g->records.v)
        sum += r->bytes;
    return g->records.since_ns ? sum : STAT_NONE;
}

static void finish(ImageCollector *g, Err *err)
{
    g->running = false;
    g->done(g->c.arg, g->wanted, g->freed, err);
}

static void remove_next(ImageCollector *g);

static void on_removed(void *arg, Err *err)
{
    ImageCollector *g = arg;
    SCOPED(mem_free) char *id = MOVE(g->removing, NULL);
    SCOPED(err_free) Err *e = err;
    if (!g->closed) {
        LIST_EACH(r, &g->records.v)
            if (str_eq(r->id, id)) {
                g->c.removed(g->c.arg, r, g->why, e);
                r->failed = e != NULL;
                g->freed += e ? 0 : r->bytes;
            }
        if (!e)
            image_gc_forget(&g->records, id);
        remove_next(g);
    }
    unref(g);
}

static void remove_next(ImageCollector *g)
{
    ImageRecord *r = NULL;
    if (g->why == IMAGE_GC_AGE) {
        r = image_gc_next(&g->records, &g->c.policy, IMAGE_GC_AGE, g->run_ns);
        g->why = r ? IMAGE_GC_AGE : IMAGE_GC_SPACE;
    }
    if (!r && g->freed < g->wanted)
        r = image_gc_next(&g->records, &g->c.policy, IMAGE_GC_SPACE, g->run_ns);
    if (!r) {
        finish(g, NULL);
        return;
    }
    g->removing = mem_dup_str(r->id);
    g->refs++;
    Err *e = g->c.rt->ops->image_remove(g->c.rt, g->removing, on_removed, g);
    if (e)
        on_removed(g, e); /* at most once for each image: it has failed in this run then */
}

/* The references that Pods name, in normal form: an in-place restart has no container for a moment. */
static void names_of_pods(const ImageCollector *g, StrVec *out)
{
    const Pod *p;
    for (size_t i = 0; (p = g->c.pod(g->c.arg, i)) != NULL; i++) {
        if (str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed"))
            continue;
        const ContainerList *lists[] = {&p->spec.init_containers, &p->spec.containers, &p->spec.ephemeral_containers};
        for (size_t k = 0; k < ARRAY_LEN(lists); k++)
            LIST_EACH(c, lists[k]) {
                char *name = NULL;
                SCOPED(err_free) Err *e = image_ref_normalize(str_or(c->image, ""), &name);
                if (!e && !strvec_has(out, name))
                    strvec_add(out, name);
                free(name);
            }
    }
}

static bool is_named(const RuntimeImage *i, const StrVec *names)
{
    for (size_t k = 0; k < i->names.n; k++)
        if (strvec_has(names, i->names.v[k]))
            return true;
    return false;
}

static void on_images(void *arg, const RuntimeImages *images, Err *err)
{
    ImageCollector *g = arg;
    if (g->closed) {
        err_free(err);
    } else if (err) {
        finish(g, err);
    } else {
        SCOPED(strvec_done) StrVec names = {0};
        ImageSeen *seen = mem_alloc_n(images->n + 1, sizeof *seen);
        names_of_pods(g, &names);
        for (size_t i = 0; i < images->n; i++) {
            const RuntimeImage *x = &images->v[i];
            seen[i] = (ImageSeen){x->id, x->bytes, x->used || is_named(x, &names), x->pinned};
        }
        image_gc_see(&g->records, seen, images->n, g->run_ns);
        free(seen);
        remove_next(g);
    }
    unref(g); // NOLINT(clang-analyzer-unix.Malloc): until here it had this request's reference
}

bool image_collect(ImageCollector *g, int64_t wanted, ImageCollectDone *done)
{
    if (g->running || !g->c.rt->ops->images || !g->c.rt->ops->image_remove)
        return false;
    g->running = true;
    g->wanted = wanted;
    g->freed = 0;
    g->done = done;
    g->why = IMAGE_GC_AGE;
    g->run_ns = os_now_ns();
    g->refs++;
    Err *e = g->c.rt->ops->images(g->c.rt, on_images, g);
    if (e) { /* not accepted: nothing will come */
        g->running = false;
        err_free(e);
        unref(g);
        return false;
    }
    return true;
}
