/* static_pod.h - what makes a Pod of a file a static one, as the kubelet does it (pkg/kubelet/config/common.go, applyDefaults). */
#ifndef REPRISE_DAEMON_STATIC_POD_H
#define REPRISE_DAEMON_STATIC_POD_H

#include "api/codec.h"

#define ANNOTATION_SOURCE "kubernetes.io/config.source"
#define ANNOTATION_HASH "kubernetes.io/config.hash"
#define ANNOTATION_SEEN "kubernetes.io/config.seen"
#define ANNOTATION_MIRROR "kubernetes.io/config.mirror"

/* A UID made of node, file and content, so that what is changed is another Pod and a restart of the agent changes nothing; the name
 * gets "-<node>"; annotations say where it comes from; it tolerates every NoExecute taint. <p> is validated and defaulted, and has a
 * name. */
void static_pod_make(Pod *p, const char *file, const char *node_name, int64_t seen_ns);
bool pod_is_static(const Pod *p);

#endif
