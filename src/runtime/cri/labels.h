/* labels.h - the labels by which sandboxes and containers are found in a runtime: the kubelet's (pkg/kubelet/types/labels.go), so that
 * crictl, cAdvisor and log collectors find what they look for, and ours. */
#ifndef REPRISE_RUNTIME_CRI_LABELS_H
#define REPRISE_RUNTIME_CRI_LABELS_H

#define LABEL_POD_NAME       "io.kubernetes.pod.name"
#define LABEL_POD_NAMESPACE  "io.kubernetes.pod.namespace"
#define LABEL_POD_UID        "io.kubernetes.pod.uid"
#define LABEL_CONTAINER_NAME "io.kubernetes.container.name"
#define LABEL_ROOT           "reprise.io/root"            /* the agent's state directory: what has another is not ours */

#endif
