/* summary.h - /stats/summary: the kubelet's Summary (k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go) from what was measured. Numbers that are
 * not known are left out, as there; networks and system containers are not measured. Pure. */
#ifndef REPRISE_DAEMON_SUMMARY_H
#define REPRISE_DAEMON_SUMMARY_H

#include "api/stats.h"
#include "wire/json.h"

/* <images_used>: bytes of the images; STAT_NONE = not known. New json_t. */
MUST_USE json_t *summary_json(const NodeStats *s, const char *node_name, int64_t images_used);

#endif
