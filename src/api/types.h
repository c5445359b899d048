/* types.h - the Kubernetes v1 objects that this program reads and writes, as plain C structs.
 *
 * A member's name is the JSON name in snake_case; the tables in types.c pair the two and say how each is decoded
 * (api/codec.h). Absent, null and zero differ in Kubernetes: OptInt, OptBool and OptTime carry presence, a NULL
 * pointer or string is absent. An object is immutable once decoded, and owns all that it points to; api_free() frees
 * it, api_copy() copies it, api_equal() compares two (codec.h).
 *
 * Strings that Kubernetes validates as an enum stay strings here, since its errors show the text. */
#ifndef REPRISE_API_TYPES_H
#define REPRISE_API_TYPES_H

#include "base/mem.h"

typedef struct { bool set; bool v; } OptBool;
typedef struct { bool set; int64_t v; } OptInt;
typedef struct { bool set; int64_t ns; } OptTime; /* since 1970, UTC; JSON keeps whole seconds (metav1.Time) */

typedef enum { INTSTR_UNSET, INTSTR_INT, INTSTR_STR } IntStrKind;
typedef struct { IntStrKind kind; int64_t i; char *s; } IntOrString;

/* Elements lie by value in v[0..n). Every LIST_OF has the layout of ApiList, which is what the codec walks. */
#define LIST_OF(T) struct { size_t n; T *v; }
typedef LIST_OF(void) ApiList;
typedef LIST_OF(char *) StrList;
typedef LIST_OF(int64_t) IntList;

typedef struct { char *key; char *value; } StrPair;
typedef LIST_OF(StrPair) StrMap;                               /* sorted by key, keys unique */
typedef struct { char *key; uint8_t *bytes; size_t n; } BytesPair;
typedef LIST_OF(BytesPair) BytesMap;                           /* base64 in JSON; sorted by key */

/* Raw is a JSON subtree that is kept, checked for shape, and given back, but not used: its compact text. */
typedef char *Raw;
/* Quantity is resource.Quantity in the text the user gave ("500m", "1Gi"); see api/quantity.h for its value. */
typedef char *Quantity;
typedef struct { char *key; Quantity value; } QuantityPair;
typedef LIST_OF(QuantityPair) ResourceList;                    /* sorted by key */

/* --- metadata --------------------------------------------------------------------------------------------------- */

typedef struct {
    char *api_version, *kind, *name, *uid;
    OptBool controller, block_owner_deletion;
} OwnerReference;

typedef struct {
    char *name, *generate_name, *namespace_, *self_link, *uid, *resource_version;
    OptInt generation;
    OptTime creation_timestamp, deletion_timestamp;
    OptInt deletion_grace_period_seconds;
    StrMap labels, annotations;
    LIST_OF(OwnerReference) owner_references;
    StrList finalizers;
    Raw managed_fields;
} ObjectMeta;

/* --- container -------------------------------------------------------------------------------------------------- */

typedef struct { char *api_version, *field_path; } ObjectFieldSelector;
typedef struct { char *container_name, *resource; Quantity divisor; } ResourceFieldSelector;
typedef struct { char *name, *key; OptBool optional; } KeySelector; /* ConfigMapKeySelector, SecretKeySelector */

typedef struct {
    ObjectFieldSelector *field_ref;
    ResourceFieldSelector *resource_field_ref;
    KeySelector *config_map_key_ref, *secret_key_ref;
    Raw file_key_ref; /* alpha in 1.34+; refused by validation when given: not honoured here */
} EnvVarSource;
typedef struct { char *name, *value; EnvVarSource *value_from; } EnvVar;
typedef struct { char *name; OptBool optional; } NameSource; /* ConfigMapEnvSource, SecretEnvSource */
typedef struct { char *prefix; NameSource *config_map_ref, *secret_ref; } EnvFromSource;

typedef struct {
    char *name;
    OptInt host_port, container_port;
    char *protocol, *host_ip;
} ContainerPort;

typedef struct { char *name, *request; } ResourceClaim;
typedef struct {
    ResourceList limits, requests;
    LIST_OF(ResourceClaim) claims;
} ResourceRequirements;

typedef struct { char *resource_name, *restart_policy; } ContainerResizePolicy;

typedef struct {
    char *name, *mount_path, *sub_path, *sub_path_expr, *mount_propagation, *recursive_read_only;
    OptBool read_only;
} VolumeMount;
typedef struct { char *name, *device_path; } VolumeDevice;

typedef struct { StrList command; } ExecAction;
typedef struct { char *name, *value; } HTTPHeader;
typedef struct {
    char *path, *host, *scheme;
    IntOrString port;
    LIST_OF(HTTPHeader) http_headers;
} HTTPGetAction;
typedef struct { IntOrString port; char *host; } TCPSocketAction;
typedef struct { OptInt port; char *service; } GRPCAction;
typedef struct { OptInt seconds; } SleepAction;

typedef struct {
    ExecAction *exec;
    HTTPGetAction *http_get;
    TCPSocketAction *tcp_socket;
    GRPCAction *grpc;
    OptInt initial_delay_seconds, timeout_seconds, period_seconds, success_threshold, failure_threshold;
    OptInt termination_grace_period_seconds;
} Probe;
typedef struct {
    ExecAction *exec;
    HTTPGetAction *http_get;
    TCPSocketAction *tcp_socket;
    SleepAction *sleep;
} LifecycleHandler;
typedef struct {
    LifecycleHandler *post_start, *pre_stop;
    char *stop_signal;
} Lifecycle;

typedef struct { StrList add, drop; } Capabilities;
typedef struct { char *type, *localhost_profile; } SeccompProfile; /* and AppArmorProfile: same shape */
typedef struct { char *user, *role, *type, *level; } SELinuxOptions;
typedef struct {
    Capabilities *capabilities;
    OptBool privileged;
    SELinuxOptions *se_linux_options;
    Raw windows_options;
    OptInt run_as_user, run_as_group;
    OptBool run_as_non_root, read_only_root_filesystem, allow_privilege_escalation;
    char *proc_mount;
    SeccompProfile *seccomp_profile, *app_armor_profile;
} SecurityContext;

typedef struct { char *operator_; IntList values; } ContainerRestartRuleOnExitCodes;
typedef struct {
    char *action;
    ContainerRestartRuleOnExitCodes *exit_codes;
} ContainerRestartRule;

typedef struct Container {
    char *name, *image, *image_pull_policy, *working_dir;
    StrList command, args;
    LIST_OF(ContainerPort) ports;
    LIST_OF(EnvFromSource) env_from;
    LIST_OF(EnvVar) env;
    ResourceRequirements *resources; /* NULL = {} */
    LIST_OF(ContainerResizePolicy) resize_policy;
    char *restart_policy;
    LIST_OF(ContainerRestartRule) restart_policy_rules;
    LIST_OF(VolumeMount) volume_mounts;
    LIST_OF(VolumeDevice) volume_devices;
    Probe *liveness_probe, *readiness_probe, *startup_probe;
    Lifecycle *lifecycle;
    char *termination_message_path, *termination_message_policy;
    SecurityContext *security_context;
    OptBool stdin_, stdin_once, tty;
    char *target_container_name; /* ephemeral containers only */
} Container;
typedef LIST_OF(Container) ContainerList;

/* --- volumes ---------------------------------------------------------------------------------------------------- */

typedef struct { char *key, *path; OptInt mode; } KeyToPath;
typedef struct { char *medium; Quantity size_limit; } EmptyDirVolumeSource;
typedef struct { char *path, *type; } HostPathVolumeSource;
typedef struct {
    char *name; /* secret.secretName in a volume, .name in a projection and in configMap */
    LIST_OF(KeyToPath) items;
    OptInt default_mode;
    OptBool optional;
} FilesVolumeSource; /* configMap and secret */
typedef struct {
    char *path;
    ObjectFieldSelector *field_ref;
    ResourceFieldSelector *resource_field_ref;
    OptInt mode;
} DownwardAPIVolumeFile;
typedef struct { LIST_OF(DownwardAPIVolumeFile) items; OptInt default_mode; } DownwardAPIVolumeSource;
typedef struct { char *audience, *path; OptInt expiration_seconds; } ServiceAccountTokenProjection;
typedef struct {
    FilesVolumeSource *config_map, *secret;
    DownwardAPIVolumeSource *downward_api;
    ServiceAccountTokenProjection *service_account_token;
    Raw cluster_trust_bundle, pod_certificate;
} VolumeProjection;
typedef struct { LIST_OF(VolumeProjection) sources; OptInt default_mode; } ProjectedVolumeSource;
typedef struct { char *claim_name; OptBool read_only; } PersistentVolumeClaimVolumeSource;
typedef struct { char *reference, *pull_policy; } ImageVolumeSource;
typedef struct {
    char *name;
    EmptyDirVolumeSource *empty_dir;
    HostPathVolumeSource *host_path;
    FilesVolumeSource *config_map, *secret;
    DownwardAPIVolumeSource *downward_api;
    ProjectedVolumeSource *projected;
    PersistentVolumeClaimVolumeSource *persistent_volume_claim;
    ImageVolumeSource *image;
    /* Known to Kubernetes, not honoured here: decoded so that validation can refuse each by name. */
    Raw nfs, csi, iscsi, ephemeral, fc, rbd, cephfs, glusterfs, cinder, flocker, flex_volume, azure_file, azure_disk,
        vsphere_volume, quobyte, photon_persistent_disk, portworx_volume, scale_io, storageos, git_repo,
        gce_persistent_disk, aws_elastic_block_store;
} Volume;

/* --- pod spec --------------------------------------------------------------------------------------------------- */

typedef struct { char *name, *value; } Sysctl;
typedef struct {
    SELinuxOptions *se_linux_options;
    Raw windows_options;
    OptInt run_as_user, run_as_group;
    OptBool run_as_non_root;
    IntList supplemental_groups;
    char *supplemental_groups_policy;
    OptInt fs_group;
    LIST_OF(Sysctl) sysctls;
    char *fs_group_change_policy, *se_linux_change_policy;
    SeccompProfile *seccomp_profile, *app_armor_profile;
} PodSecurityContext;

typedef struct { char *name, *value; } PodDNSConfigOption;
typedef struct { StrList nameservers, searches; LIST_OF(PodDNSConfigOption) options; } PodDNSConfig;
typedef struct { char *ip; StrList hostnames; } HostAlias;
typedef struct { char *name; } LocalObjectReference;
typedef struct { char *name; } PodOS;
typedef struct { char *condition_type; } PodReadinessGate;
typedef struct {
    char *key, *operator_, *value, *effect;
    OptInt toleration_seconds;
} Toleration;

typedef struct {
    LIST_OF(Volume) volumes;
    ContainerList init_containers, containers, ephemeral_containers;
    char *restart_policy;
    OptInt termination_grace_period_seconds, active_deadline_seconds;
    char *dns_policy;
    StrMap node_selector;
    char *service_account_name, *service_account;
    OptBool automount_service_account_token;
    char *node_name;
    OptBool host_network, host_pid, host_ipc, share_process_namespace, host_users;
    PodSecurityContext *security_context;
    LIST_OF(LocalObjectReference) image_pull_secrets;
    char *hostname, *subdomain, *hostname_override;
    OptBool set_hostname_as_fqdn;
    Raw affinity;
    char *scheduler_name;
    LIST_OF(Toleration) tolerations;
    LIST_OF(HostAlias) host_aliases;
    char *priority_class_name;
    OptInt priority;
    PodDNSConfig *dns_config;
    LIST_OF(PodReadinessGate) readiness_gates;
    char *runtime_class_name;
    OptBool enable_service_links;
    char *preemption_policy;
    ResourceList overhead;
    Raw topology_spread_constraints;
    PodOS *os;
    Raw scheduling_gates, resource_claims;
    ResourceRequirements *resources; /* pod-level */
    Raw workload_ref;
} PodSpec;

/* --- pod status ------------------------------------------------------------------------------------------------- */

typedef struct { char *reason, *message; } ContainerStateWaiting;
typedef struct { OptTime started_at; } ContainerStateRunning;
typedef struct {
    OptInt exit_code; /* always written; never guessed: see plan.h on unknown exit codes */
    OptInt signal;
    char *reason, *message;
    OptTime started_at, finished_at;
    char *container_id;
} ContainerStateTerminated;
typedef struct {
    ContainerStateWaiting *waiting;
    ContainerStateRunning *running;
    ContainerStateTerminated *terminated;
} ContainerState;

typedef struct {
    char *name, *mount_path;
    OptBool read_only;
    char *recursive_read_only;
} VolumeMountStatus;
typedef struct { OptInt uid, gid; IntList supplemental_groups; } LinuxContainerUser;
typedef struct { LinuxContainerUser *linux_; } ContainerUser;
typedef struct {
    char *name;
    ContainerState *state, *last_state; /* written as {} when NULL */
    OptBool ready;                      /* always written */
    OptInt restart_count;               /* always written */
    char *image, *image_id, *container_id;
    OptBool started;
    ResourceList allocated_resources;
    ResourceRequirements *resources;
    LIST_OF(VolumeMountStatus) volume_mounts;
    ContainerUser *user;
    Raw allocated_resources_status;
    char *stop_signal;
} ContainerStatus;
typedef LIST_OF(ContainerStatus) ContainerStatusList;

typedef struct {
    char *type, *status, *reason, *message;
    OptTime last_probe_time, last_transition_time;
    OptInt observed_generation;
} PodCondition;
typedef struct { char *ip; } PodIP; /* and HostIP */
typedef struct {
    char *phase;
    OptInt observed_generation;
    LIST_OF(PodCondition) conditions;
    char *message, *reason, *nominated_node_name;
    char *host_ip;
    LIST_OF(PodIP) host_ips;
    char *pod_ip;
    LIST_OF(PodIP) pod_ips;
    OptTime start_time;
    ContainerStatusList init_container_statuses, container_statuses, ephemeral_container_statuses;
    char *qos_class, *resize;
    Raw resource_claim_statuses, extended_resource_claim_status, allocated_resources, resources;
} PodStatus;

typedef struct Pod {
    char *api_version, *kind;
    ObjectMeta metadata;
    PodSpec spec;
    PodStatus status;
} Pod;

/* --- objects beside the Pod ------------------------------------------------------------------------------------- */

typedef struct {
    char *api_version, *kind;
    ObjectMeta metadata;
    StrMap data;
    BytesMap binary_data;
    OptBool immutable;
} ConfigMap;
typedef struct {
    char *api_version, *kind;
    ObjectMeta metadata;
    BytesMap data;
    StrMap string_data; /* merged into data by defaulting; never written */
    OptBool immutable;
    char *type;
} Secret;
typedef struct {
    char *api_version, *kind;
    ObjectMeta metadata;
    Raw spec; /* accessModes, resources, storageClassName ...: kept */
    Raw status;
} PersistentVolumeClaim;

/* --- tables (types.c) ------------------------------------------------------------------------------------------- */

typedef struct Field Field; /* codec.h */
typedef struct TypeDesc {
    const char *name;   /* Kubernetes' name: "PodSpec" */
    size_t size;        /* sizeof the C struct */
    const Field *field; /* n rows, in the order Kubernetes writes them */
    size_t n;
} TypeDesc;
extern const TypeDesc type_Pod, type_ObjectMeta, type_PodSpec, type_PodStatus, type_Container, type_EphemeralContainer,
    type_ContainerStatus,
    type_ContainerState, type_PodCondition, type_ConfigMap, type_Secret, type_PersistentVolumeClaim, type_Probe,
    type_ResourceRequirements, type_SecurityContext, type_PodSecurityContext, type_VolumeMount, type_Volume, type_ContainerRestartRule;

/* NULL if the pod has no annotation / label / map entry of that key. The value is the map's. */
const char *strmap_get(const StrMap *m, const char *key);
const char *resource_get(const ResourceList *l, const char *name);

#endif
