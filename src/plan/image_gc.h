/* image_gc.h - which images go when their disk gets full: the kubelet's rules (pkg/kubelet/images/image_gc_manager.go). Pure. */
#ifndef REPRISE_PLAN_IMAGE_GC_H
#define REPRISE_PLAN_IMAGE_GC_H

#include "api/types.h"
#include "base/clock.h"

#define IMAGE_GC_PERIOD_NS (300 * NS_PER_S) /* ImageGCPeriod, and how often use is looked at */

typedef struct {
    int64_t high_percent, low_percent; /* of the disk that is used: begin at, stop at. High 100: never because of the disk */
    int64_t min_age_ns;                /* younger ones stay */
    int64_t max_age_ns;                /* what was not used for longer goes, even if there is room; 0 = no */
} ImageGcPolicy;

typedef struct {
    char *id;
    int64_t first_ns, used_ns; /* when it was seen first, and in use last; 0 = before anybody looked, never */
    int64_t bytes;
    bool pinned, failed;       /* failed: it could not be removed in this run */
} ImageRecord;
typedef struct {
    LIST_OF(ImageRecord) v;
    int64_t since_ns; /* of the first look; 0 = none yet */
} ImageRecords;
void image_records_done(ImageRecords *r);

typedef struct {
    const char *id;
    int64_t bytes;
    bool used, pinned;
} ImageSeen;
/* Takes note of what is there now: <now_ns> is their last use where they are used; records of others are dropped. */
void image_gc_see(ImageRecords *r, const ImageSeen *v, size_t n, int64_t now_ns);
/* Bytes to free on a disk with so much of it available; 0 = none. */
int64_t image_gc_wanted(const ImageGcPolicy *p, int64_t available, int64_t capacity);
typedef enum {
    IMAGE_GC_SPACE, /* least recently used first */
    IMAGE_GC_AGE    /* what was not used for max_age_ns, or since the records began */
} ImageGcReason;
/* The next to remove in a run that began at <run_ns>, when image_gc_see() looked: not used then, not pinned. NULL: none. */
ImageRecord *image_gc_next(const ImageRecords *r, const ImageGcPolicy *p, ImageGcReason why, int64_t run_ns);
void image_gc_forget(ImageRecords *r, const char *id);

#endif
