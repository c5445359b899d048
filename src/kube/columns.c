/* columns.c - the columns of each kind, as pkg/printers/internalversion/printers.go (Kubernetes 1.35) defines them; the descriptions are
 * those of the API fields, which clients that print their own headers show. */
#include "kube/table.h"

#define NAME_TEXT \
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow " \
    "a client to request the generation of an appropriate name automatically. Name is primarily intended for " \
    "creation idempotence and configuration definition. Cannot be updated. More info: " \
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
#define AGE_TEXT \
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not " \
    "guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is " \
    "represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: " \
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
#define ADDRESSES_TEXT \
    "List of addresses reachable to the node. Queried from cloud provider, if available. More info: " \
    "https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but " \
    "the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should " \
    "instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that " \
    "addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be " \
    "possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API " \
    "(status.hostIP)."

static const KubeColumn pod_columns[] = {
    {"Name", "name", NAME_TEXT, 0},
    {"Ready", "", "The aggregate readiness state of this pod for accepting traffic.", 0},
    {"Status", "", "The aggregate status of the containers in this pod.", 0},
    {"Restarts", "",
     "The number of times the containers in this pod have been restarted and when the last container in this pod has "
     "restarted.",
     0},
    {"Age", "", AGE_TEXT, 0},
    {"IP", "",
     "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
     1},
    {"Node", "",
     "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by "
     "the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible "
     "for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled "
     "on a specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename",
     1},
    {"Nominated Node", "",
     "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right "
     "away as preemption victims receive their graceful termination periods. This field does not guarantee that the "
     "pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become "
     "available sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that "
     "is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is "
     "scheduled.",
     1},
    {"Readiness Gates", "",
     "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers "
     "are ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: "
     "https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates",
     1},
};
static const KubeColumn config_map_columns[] = {
    {"Name", "name", NAME_TEXT, 0},
    {"Data", "",
     "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. "
     "Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap "
     "with the keys in the BinaryData field, this is enforced during validation process.",
     0},
    {"Age", "", AGE_TEXT, 0},
};
static const KubeColumn secret_columns[] = {
    {"Name", "name", NAME_TEXT, 0},
    {"Type", "",
     "Used to facilitate programmatic handling of secret data. More info: "
     "https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
     0},
    {"Data", "",
     "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The "
     "serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly "
     "non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4",
     0},
    {"Age", "", AGE_TEXT, 0},
};
static const KubeColumn persistent_volume_claim_columns[] = {
    {"Name", "name", NAME_TEXT, 0},
    {"Status", "", "phase represents the current phase of PersistentVolumeClaim.", 0},
    {"Volume", "", "volumeName is the binding reference to the PersistentVolume backing this claim.", 0},
    {"Capacity", "", "capacity represents the actual resources of the underlying volume.", 0},
    {"Access Modes", "",
     "accessModes contains the actual access modes the volume backing the PVC has. More info: "
     "https://kubernetes.io/docs/concepts/storage/persistent-volumes#access-modes-1",
     0},
    {"StorageClass", "", "StorageClass of the pvc", 0},
    {"VolumeAttributesClass", "", "VolumeAttributesClass of the pvc", 0},
    {"Age", "", AGE_TEXT, 0},
    {"VolumeMode", "",
     "volumeMode defines what type of volume is required by the claim. Value of Filesystem is implied when not "
     "included in claim spec.",
     1},
};
static const KubeColumn event_columns[] = {
    {"Last Seen", "", "The time at which the most recent occurrence of this event was recorded.", 0},
    {"Type", "", "Type of this event (Normal, Warning), new types could be added in the future", 0},
    {"Reason", "",
     "This should be a short, machine understandable string that gives the reason for the transition into the "
     "object's current status.",
     0},
    {"Object", "", "The object that this event is about.", 0},
    {"Subobject", "",
     "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go "
     "field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is "
     "to a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers "
     "to the name of the container that triggered the event) or if no container name is specified "
     "\"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some "
     "well-defined way of referencing a part of an object.",
     1},
    {"Source", "", "The component reporting this event. Should be a short machine understandable string.", 1},
    {"Message", "", "A human-readable description of the status of this operation.", 0},
    {"First Seen", "", "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)", 1},
    {"Count", "", "The number of times this event has occurred.", 1},
    {"Name", "name", NAME_TEXT, 1},
};
static const KubeColumn namespace_columns[] = {
    {"Name", "name", NAME_TEXT, 0},
    {"Status", "", "The status of the namespace", 0},
    {"Age", "", AGE_TEXT, 0},
};
static const KubeColumn node_columns[] = {
    {"Name", "name", NAME_TEXT, 0},
    {"Status", "", "The status of the node", 0},
    {"Roles", "", "The roles of the node", 0},
    {"Age", "", AGE_TEXT, 0},
    {"Version", "", "Kubelet Version reported by the node.", 0},
    {"Internal-IP", "", ADDRESSES_TEXT, 1},
    {"External-IP", "", ADDRESSES_TEXT, 1},
    {"OS-Image", "", "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).", 1},
    {"Kernel-Version", "", "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).", 1},
    {"Container-Runtime", "",
     "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
     1},
};
static const KubeColumn service_account_columns[] = {
    {"Name", "name", NAME_TEXT, 0},
    {"Age", "", AGE_TEXT, 0},
};

#define COLUMNS(c) {(c), ARRAY_LEN(c)}

const KubeColumn *kube_columns(const KubeKind *k, size_t *ret_n)
{
    static const struct { const KubeColumn *v; size_t n; } table[KUBE_KIND_N] = {
        [KUBE_PODS] = COLUMNS(pod_columns),
        [KUBE_CONFIG_MAPS] = COLUMNS(config_map_columns),
        [KUBE_SECRETS] = COLUMNS(secret_columns),
        [KUBE_PVCS] = COLUMNS(persistent_volume_claim_columns),
        [KUBE_EVENTS] = COLUMNS(event_columns),
        [KUBE_EVENTS_V1] = COLUMNS(event_columns),
        [KUBE_NAMESPACES] = COLUMNS(namespace_columns),
        [KUBE_NODES] = COLUMNS(node_columns),
        [KUBE_SERVICE_ACCOUNTS] = COLUMNS(service_account_columns),
    };
    *ret_n = table[k->id].n;
    return table[k->id].v;
}
