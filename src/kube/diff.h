/* diff.h - two JSON values as a unified diff, as kube-apiserver shows what an update tried to change (apimachinery's util/diff). */
#ifndef REPRISE_KUBE_DIFF_H
#define REPRISE_KUBE_DIFF_H

#include "base/str.h"
#include "wire/json.h"

/* "@@ -1,7 +1,7 @@\n ..." of both indented by one blank; "" when they are the same. Caller frees. Quadratic only within 1 MiB of work:
 * beyond that all from the first to the last difference is one change. */
MUST_USE char *json_diff(const json_t *a, const json_t *b);

#endif
