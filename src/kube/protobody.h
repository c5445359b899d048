/* protobody.h - bodies in Kubernetes' protobuf, of the kinds that kubectl and Go's clients send so: what a typed client creates. */
#ifndef REPRISE_KUBE_PROTOBODY_H
#define REPRISE_KUBE_PROTOBODY_H

#include "kube/status.h"

/* "k8s\0", runtime.Unknown, and in it one of ConfigMap, Secret, Namespace, ServiceAccount, Event (both), Eviction, DeleteOptions,
 * SelfSubjectReview and SelfSubjectAccessReview, as the JSON that says the same. managedFields and fields that are not known are dropped.
 * NULL, or the Status: 400 for what is no such message, 415 for another kind (a Pod, say): that must be sent as JSON. */
MUST_USE json_t *kube_protobuf_parse(const void *bytes, size_t n, json_t **ret);

#endif
