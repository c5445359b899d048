/* table.h - objects as the rows that kubectl prints: meta.k8s.io Table, and PartialObjectMetadata. Columns, texts and logic are those of
 * Kubernetes' pkg/printers/internalversion; the objects are JSON values in their v1 form (events too). */
#ifndef REPRISE_KUBE_TABLE_H
#define REPRISE_KUBE_TABLE_H

#include "kube/kinds.h"
#include "wire/json.h"

typedef enum { INCLUDE_METADATA, INCLUDE_NONE, INCLUDE_OBJECT } IncludeObject;
typedef struct {
    IncludeObject include;
    bool no_headers;  /* later events of a watch: columnDefinitions is null */
    bool v1beta1;     /* meta.k8s.io/v1beta1 was asked for */
    int64_t now_ns;   /* ages are counted from it */
} TableOptions;

/* A Table of <items> (an array) with the list's metadata (resourceVersion, continue, remainingItemCount; borrowed, NULL = {}). */
MUST_USE json_t *kube_table(const KubeKind *k, const json_t *items, const json_t *list_meta, const TableOptions *o);
/* A Table of one row, what get and a watch's event carry. */
MUST_USE json_t *kube_table_one(const KubeKind *k, const json_t *object, const TableOptions *o);
MUST_USE json_t *kube_partial(const json_t *object, bool v1beta1);                                /* PartialObjectMetadata */
MUST_USE json_t *kube_partial_list(const json_t *items, const json_t *list_meta, bool v1beta1);

/* The columns of one row: what `reprise get` prints too. */
MUST_USE json_t *kube_cells(const KubeKind *k, const json_t *object, int64_t now_ns);
typedef struct { const char *name, *format, *description; int priority; } KubeColumn;
const KubeColumn *kube_columns(const KubeKind *k, size_t *ret_n);

/* apimachinery's duration.HumanDuration: "5m30s", "3h", "2d4h". buf needs HUMAN_MAX bytes. Returns buf. */
#define HUMAN_MAX 48
char *human_duration(int64_t ns, char *buf);
/* The age of an RFC 3339 text; "<unknown>" for NULL and for what is no time. */
char *human_since(const char *time, int64_t now_ns, char *buf);

#endif
