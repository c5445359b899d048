/* describe_priv.h - what the describers write with. */
#ifndef REPRISE_CLIENT_DESCRIBE_PRIV_H
#define REPRISE_CLIENT_DESCRIBE_PRIV_H

#include "client/describe.h"
#include "client/fields.h"
#include "client/tabs.h"

typedef struct {
    Str raw; /* cells, since the last flush */
    Str out;
    const DescribeWith *with;
} Desc;

/* Two blanks a level in front; what could steer a terminal is made visible. */
void w(Desc *d, int level, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Columns begin anew. */
void desc_flush(Desc *d);
void desc_labels(Desc *d, const char *title, const json_t *labels);
void desc_meta(Desc *d, const json_t *o);        /* labels and annotations */
void desc_resources(Desc *d, int level, const json_t *list);
const char *or_none(const char *s);              /* "<none>" for NULL and "" */
const char *age_of(const Desc *d, const char *time, char *buf);
/* The elements of <list>, borrowed, in qsort()'s order; *ret_n of them. The vector is the caller's. */
MUST_USE const json_t **sorted(const json_t *list, int (*compare)(const void *, const void *), size_t *ret_n);
/* "[a b c]": Go's %v of a list of strings. Caller frees. */
MUST_USE char *go_list(const json_t *list);

void describe_pod(Desc *d, const json_t *pod);
void describe_node(Desc *d, const json_t *node);
void describe_volumes(Desc *d, const json_t *volumes);
void describe_events(Desc *d);

#endif
