/* describe.h - an object in words, as `kubectl describe` has them (kubectl's pkg/describe), and what reprise has beyond: restart rules,
 * restarts in place. Pure. */
#ifndef REPRISE_CLIENT_DESCRIBE_H
#define REPRISE_CLIENT_DESCRIBE_H

#include "base/str.h"
#include "kube/kinds.h"
#include "wire/json.h"

typedef struct {
    const json_t *events; /* an array of v1 Events about the object; NULL = not shown. Borrowed */
    const json_t *pods;   /* of a node: those that have not ended; of a claim's namespace: all. NULL = not known. Borrowed */
    int64_t now_ns;       /* ages are counted from it */
} DescribeWith;

/* Caller frees. */
MUST_USE char *describe(const KubeKind *k, const json_t *object, const DescribeWith *with);
/* The Pods of describe()'s pods that use a claim are found by it; a node's have to be of that node. */
bool describe_wants_pods(const KubeKind *k);

#endif
