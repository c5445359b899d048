/* pod_log.h - which log is meant. Private. */
#ifndef REPRISE_APISERVER_POD_LOG_H
#define REPRISE_APISERVER_POD_LOG_H

#include "wire/json.h"

/* The attempt of <container> whose log shows, and its containerID (the caller frees), by the Pod's status; or, returned, why there is none: in the
 * kubelet's words, which the caller frees. Pure. */
MUST_USE char *pod_log_choose(const json_t *pod, const char *container, bool previous, int64_t *ret_attempt, char **ret_id);

#endif
