/* house.c - values of runtime.h that housekeeping is told. */
#include "api/codec.h"
#include "runtime/runtime.h"

void runtime_images_done(RuntimeImages *l)
{
    LIST_EACH(i, l) {
        free(i->id);
        strvec_done(&i->names);
    }
    free(l->v);
    *l = (RuntimeImages){0};
}

void runtime_place_done(RuntimePlace *p)
{
    free(p->pod_cgroup);
    free(p->cgroup);
    free(p->layer);
    *p = (RuntimePlace){0};
}
