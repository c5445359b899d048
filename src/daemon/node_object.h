/* node_object.h - this machine's Node in the object store, as a kubelet keeps it (pkg/kubelet/nodestatus/setters.go), and what Pods may
 * ask of it. What users wrote stays: labels, annotations, spec.unschedulable, taints. As a cluster's node controllers do, conditions put
 * their taints on it. */
#ifndef REPRISE_DAEMON_NODE_OBJECT_H
#define REPRISE_DAEMON_NODE_OBJECT_H

#include "daemon/events.h"
#include "plan/bind.h"

#define NODE_HEARTBEAT_NS (INT64_C(300) * 1000000000) /* nodeStatusReportFrequency */

typedef struct {
    const char *name, *root;
    const char *runtime_version; /* "containerd://1.7.2" */
    int64_t max_pods, reserved_cpu_milli, reserved_memory_bytes;
    unsigned port;               /* daemonEndpoints.kubeletEndpoint; 0 = none */
} NodeObjectConfig;

typedef struct NodeObject NodeObject;
/* Writes the Node. Strings and handles are borrowed. A store that cannot be written to is tried again at the next change or heartbeat. */
NodeObject *node_object_new(const NodeObjectConfig *c, ObjStore *store, Recorder *events);
void node_object_free(NodeObject *n);

/* One of MemoryPressure, DiskPressure, PIDPressure, Ready; others are taken too. Reason and message in the kubelet's words
 * ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"). What is new is written at once, with the kubelet's event. */
void node_object_set_condition(NodeObject *n, const char *type, bool on, const char *reason, const char *message);
/* Every condition's lastHeartbeatTime, and what may have changed of the machine: every NODE_HEARTBEAT_NS. */
void node_object_heartbeat(NodeObject *n);
/* status.images. What is new is written at once. */
void node_object_set_images(NodeObject *n, json_t *images /* taken */);
/* The stored Node was changed by others: looks at it again. */
void node_object_changed(NodeObject *n);

/* What a Pod is measured by; borrowed until the next call that changes it. */
const BindNode *node_object_bind(const NodeObject *n);
/* Owner of mirror Pods; "" when the Node could not be stored. */
const char *node_object_uid(const NodeObject *n);
void node_object_event(NodeObject *n, bool warning, const char *reason, const char *message);

#endif
