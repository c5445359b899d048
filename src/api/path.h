/* path.h - where we are in an object, chained on the stack: text only when there is something to say. */
#ifndef REPRISE_API_PATH_H
#define REPRISE_API_PATH_H

#include "base/str.h"

typedef struct Path {
    const struct Path *up;
    const char *key; /* NULL: <index> counts; "" at the root */
    bool is_map_key; /* labels[key] rather than labels.key */
    size_t index;
} Path;

/* Valid until the end of the enclosing block. */
#define CHILD(up, key) (&(Path){(up), (key), false, 0})
#define AT_INDEX(up, i) (&(Path){(up), NULL, false, (i)})
#define AT_KEY(up, key) (&(Path){(up), (key), true, 0})

/* "spec.containers[2].resources.limits[cpu]". Caller frees. */
MUST_USE char *path_text(const Path *p);

#endif
