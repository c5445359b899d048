/* requests.h - what a Pod asks for in all. Pure. */
#ifndef REPRISE_API_REQUESTS_H
#define REPRISE_API_REQUESTS_H

#include "api/types.h"

/* "cpu" in milli-units, all others in units. 0 = absent, or zero: the kubelet does not tell them apart here either. */
int64_t resource_amount(const ResourceList *l, const char *name);
/* KEP-753 over the containers of a Pod: the most that is needed at any moment, of requests or of limits. *all_set (may be NULL): every
 * container names it. */
int64_t pod_containers_sum(const Pod *p, const char *name, bool limits, bool *all_set);
/* The Pod's own number in place of the sum, then overhead: to requests always, to limits when there is one. */
int64_t pod_amount(const Pod *p, const char *name, bool limits, bool *all_set);

#endif
