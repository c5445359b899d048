/* image_collect.h - carries out image garbage collection (plan/image_gc.h): one image after the other, beside the loop. */
#ifndef REPRISE_DAEMON_IMAGE_COLLECT_H
#define REPRISE_DAEMON_IMAGE_COLLECT_H

#include "plan/image_gc.h"
#include "runtime/runtime.h"

typedef struct ImageCollector ImageCollector;
typedef struct {
    Runtime *rt; /* borrowed */
    ImageGcPolicy policy;
    const Pod *(*pod)(void *arg, size_t i); /* images that these name stay, even when no container has them at the moment */
    /* An image is gone, or could not be removed (<err>, borrowed). */
    void (*removed)(void *arg, const ImageRecord *image, ImageGcReason why, const Err *err);
    void *arg;
} ImageCollectorConfig;

ImageCollector *image_collector_new(const ImageCollectorConfig *c);
/* A run under way is never done. NULL is fine. */
void image_collector_close(ImageCollector *g);
/* Looks which images there are, removes what is too old, and <wanted> bytes of what is not used (0: none; INT64_MAX: all). <done>, from the
 * loop: how much was freed, <err> (taken) why nothing could be. false: a run is under way. */
typedef void ImageCollectDone(void *arg, int64_t wanted, int64_t freed, Err *err);
bool image_collect(ImageCollector *g, int64_t wanted, ImageCollectDone *done);
bool image_collector_runs(const ImageCollector *g);
/* Bytes of all images as of the last run; STAT_NONE before. */
int64_t image_collector_bytes(const ImageCollector *g);

#endif
