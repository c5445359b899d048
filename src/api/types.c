/* types.c - one field table for each Kubernetes type: the only place that pairs JSON names with C members.
 *
 * Rows stand in the order of the Go structs (k8s.io/api/core/v1/types.go, v1.36), which is the order in which
 * kube-apiserver writes them. A row whose kind does not fit its member's C type does not compile. */
#include "api/codec.h"

#define CHECK_F_STR(x) _Generic((x), char *: 0)
#define CHECK_F_BOOL(x) _Generic((x), OptBool: 0)
#define CHECK_F_INT(x) _Generic((x), OptInt: 0)
#define CHECK_F_INT64(x) _Generic((x), OptInt: 0)
#define CHECK_F_TIME(x) _Generic((x), OptTime: 0)
#define CHECK_F_INTSTR(x) _Generic((x), IntOrString: 0)
#define CHECK_F_QUANTITY(x) _Generic((x), Quantity: 0)
#define CHECK_F_RAW(x) _Generic((x), Raw: 0)
#define CHECK_F_STR_LIST(x) _Generic((x), StrList: 0)
#define CHECK_F_INT_LIST(x) _Generic((x), IntList: 0)
#define CHECK_F_STR_MAP(x) _Generic((x), StrMap: 0)
#define CHECK_F_BYTES_MAP(x) _Generic((x), BytesMap: 0)
#define CHECK_F_RES_MAP(x) _Generic((x), ResourceList: 0)

#define ROW_(T, k, m, js, fl, check, subtype)                                                                          \
    {.json = (js), .kind = (k), .off = (uint32_t)(offsetof(T, m) + 0 * sizeof(check)), .flags = (fl), .sub = (subtype)}
/* A value without a type of its own. */
#define FIELD(T, k, m, js, fl) ROW_(T, k, m, js, fl, CHECK_##k(((T *)0)->m), NULL)
/* A pointer to, an embedded, or a list of <C>, read and written by type_<D>. */
#define OBJ(T, m, js, C, D, fl) ROW_(T, F_OBJ, m, js, (fl) | FIELD_PTR, _Generic(((T *)0)->m, C *: 0), &type_##D)
#define OBJ_IN(T, m, js, C, D) ROW_(T, F_OBJ_IN, m, js, 0, _Generic(((T *)0)->m, C: 0), &type_##D)
#define LIST(T, m, js, C, D, fl)                                                                                       \
    ROW_(T, F_OBJ_LIST, m, js, fl,                                                                                     \
         (char[sizeof(((T *)0)->m) == sizeof(ApiList) ? 1 : -1]){_Generic(((T *)0)->m.v, C *: 0)}, &type_##D)

#define STR(T, m, js) FIELD(T, F_STR, m, js, 0)
#define STR_ALWAYS(T, m, js) FIELD(T, F_STR, m, js, FIELD_ALWAYS)
#define STR_PTR(T, m, js) FIELD(T, F_STR, m, js, FIELD_PTR)
#define BOOL(T, m, js) FIELD(T, F_BOOL, m, js, 0)
#define BOOL_PTR(T, m, js) FIELD(T, F_BOOL, m, js, FIELD_PTR)
#define INT(T, m, js) FIELD(T, F_INT, m, js, 0)
#define INT_PTR(T, m, js) FIELD(T, F_INT, m, js, FIELD_PTR)
#define INT64(T, m, js) FIELD(T, F_INT64, m, js, 0)
#define INT64_PTR(T, m, js) FIELD(T, F_INT64, m, js, FIELD_PTR)
#define TIME(T, m, js) FIELD(T, F_TIME, m, js, FIELD_PTR)
#define TIME_ALWAYS(T, m, js) FIELD(T, F_TIME, m, js, FIELD_ALWAYS)
#define RAW(T, m, js) FIELD(T, F_RAW, m, js, FIELD_PTR)
#define STRS(T, m, js) FIELD(T, F_STR_LIST, m, js, 0)

#define DESC_AS(D, C, rows)                                                                                            \
    const TypeDesc type_##D = {.name = #D, .size = sizeof(C), .field = (rows), .n = ARRAY_LEN(rows)}
#define DESC(D, rows) DESC_AS(D, D, rows)

/* --- metadata --------------------------------------------------------------------------------------------------- */

static const Field owner_reference_rows[] = {
    STR_ALWAYS(OwnerReference, api_version, "apiVersion"),
    STR_ALWAYS(OwnerReference, kind, "kind"),
    STR_ALWAYS(OwnerReference, name, "name"),
    STR_ALWAYS(OwnerReference, uid, "uid"),
    BOOL_PTR(OwnerReference, controller, "controller"),
    BOOL_PTR(OwnerReference, block_owner_deletion, "blockOwnerDeletion"),
};
static DESC(OwnerReference, owner_reference_rows);

static const Field object_meta_rows[] = {
    STR(ObjectMeta, name, "name"),
    STR(ObjectMeta, generate_name, "generateName"),
    STR(ObjectMeta, namespace_, "namespace"),
    STR(ObjectMeta, self_link, "selfLink"),
    STR(ObjectMeta, uid, "uid"),
    STR(ObjectMeta, resource_version, "resourceVersion"),
    INT64(ObjectMeta, generation, "generation"),
    TIME(ObjectMeta, creation_timestamp, "creationTimestamp"),
    TIME(ObjectMeta, deletion_timestamp, "deletionTimestamp"),
    INT64_PTR(ObjectMeta, deletion_grace_period_seconds, "deletionGracePeriodSeconds"),
    FIELD(ObjectMeta, F_STR_MAP, labels, "labels", 0),
    FIELD(ObjectMeta, F_STR_MAP, annotations, "annotations", 0),
    LIST(ObjectMeta, owner_references, "ownerReferences", OwnerReference, OwnerReference, 0),
    STRS(ObjectMeta, finalizers, "finalizers"),
    RAW(ObjectMeta, managed_fields, "managedFields"),
};
DESC(ObjectMeta, object_meta_rows);

/* --- container -------------------------------------------------------------------------------------------------- */

static const Field object_field_selector_rows[] = {
    STR(ObjectFieldSelector, api_version, "apiVersion"),
    STR_ALWAYS(ObjectFieldSelector, field_path, "fieldPath"),
};
static DESC(ObjectFieldSelector, object_field_selector_rows);

static const Field resource_field_selector_rows[] = {
    STR(ResourceFieldSelector, container_name, "containerName"),
    STR_ALWAYS(ResourceFieldSelector, resource, "resource"),
    FIELD(ResourceFieldSelector, F_QUANTITY, divisor, "divisor", FIELD_ALWAYS),
};
static DESC(ResourceFieldSelector, resource_field_selector_rows);

static const Field key_selector_rows[] = {
    STR(KeySelector, name, "name"),
    STR_ALWAYS(KeySelector, key, "key"),
    BOOL_PTR(KeySelector, optional, "optional"),
};
static DESC(KeySelector, key_selector_rows);

static const Field env_var_source_rows[] = {
    OBJ(EnvVarSource, field_ref, "fieldRef", ObjectFieldSelector, ObjectFieldSelector, 0),
    OBJ(EnvVarSource, resource_field_ref, "resourceFieldRef", ResourceFieldSelector, ResourceFieldSelector, 0),
    OBJ(EnvVarSource, config_map_key_ref, "configMapKeyRef", KeySelector, KeySelector, 0),
    OBJ(EnvVarSource, secret_key_ref, "secretKeyRef", KeySelector, KeySelector, 0),
    RAW(EnvVarSource, file_key_ref, "fileKeyRef"),
};
static DESC(EnvVarSource, env_var_source_rows);

static const Field env_var_rows[] = {
    STR_ALWAYS(EnvVar, name, "name"),
    STR(EnvVar, value, "value"),
    OBJ(EnvVar, value_from, "valueFrom", EnvVarSource, EnvVarSource, 0),
};
static DESC(EnvVar, env_var_rows);

static const Field name_source_rows[] = {
    STR(NameSource, name, "name"),
    BOOL_PTR(NameSource, optional, "optional"),
};
static DESC(NameSource, name_source_rows);

static const Field env_from_source_rows[] = {
    STR(EnvFromSource, prefix, "prefix"),
    OBJ(EnvFromSource, config_map_ref, "configMapRef", NameSource, NameSource, 0),
    OBJ(EnvFromSource, secret_ref, "secretRef", NameSource, NameSource, 0),
};
static DESC(EnvFromSource, env_from_source_rows);

static const Field container_port_rows[] = {
    STR(ContainerPort, name, "name"),
    INT(ContainerPort, host_port, "hostPort"),
    FIELD(ContainerPort, F_INT, container_port, "containerPort", FIELD_ALWAYS),
    STR(ContainerPort, protocol, "protocol"),
    STR(ContainerPort, host_ip, "hostIP"),
};
static DESC(ContainerPort, container_port_rows);

static const Field resource_claim_rows[] = {
    STR_ALWAYS(ResourceClaim, name, "name"),
    STR(ResourceClaim, request, "request"),
};
static DESC(ResourceClaim, resource_claim_rows);

static const Field resource_requirements_rows[] = {
    FIELD(ResourceRequirements, F_RES_MAP, limits, "limits", 0),
    FIELD(ResourceRequirements, F_RES_MAP, requests, "requests", 0),
    LIST(ResourceRequirements, claims, "claims", ResourceClaim, ResourceClaim, 0),
};
DESC(ResourceRequirements, resource_requirements_rows);

static const Field container_resize_policy_rows[] = {
    STR_ALWAYS(ContainerResizePolicy, resource_name, "resourceName"),
    STR_ALWAYS(ContainerResizePolicy, restart_policy, "restartPolicy"),
};
static DESC(ContainerResizePolicy, container_resize_policy_rows);

static const Field volume_mount_rows[] = {
    STR_ALWAYS(VolumeMount, name, "name"),
    BOOL(VolumeMount, read_only, "readOnly"),
    STR_PTR(VolumeMount, recursive_read_only, "recursiveReadOnly"),
    STR_ALWAYS(VolumeMount, mount_path, "mountPath"),
    STR(VolumeMount, sub_path, "subPath"),
    STR_PTR(VolumeMount, mount_propagation, "mountPropagation"),
    STR(VolumeMount, sub_path_expr, "subPathExpr"),
};
DESC(VolumeMount, volume_mount_rows);

static const Field volume_device_rows[] = {
    STR_ALWAYS(VolumeDevice, name, "name"),
    STR_ALWAYS(VolumeDevice, device_path, "devicePath"),
};
static DESC(VolumeDevice, volume_device_rows);

static const Field exec_action_rows[] = {STRS(ExecAction, command, "command")};
static DESC(ExecAction, exec_action_rows);

static const Field http_header_rows[] = {
    STR_ALWAYS(HTTPHeader, name, "name"),
    STR_ALWAYS(HTTPHeader, value, "value"),
};
static DESC(HTTPHeader, http_header_rows);

static const Field http_get_action_rows[] = {
    STR(HTTPGetAction, path, "path"),
    FIELD(HTTPGetAction, F_INTSTR, port, "port", FIELD_ALWAYS),
    STR(HTTPGetAction, host, "host"),
    STR(HTTPGetAction, scheme, "scheme"),
    LIST(HTTPGetAction, http_headers, "httpHeaders", HTTPHeader, HTTPHeader, 0),
};
static DESC(HTTPGetAction, http_get_action_rows);

static const Field tcp_socket_action_rows[] = {
    FIELD(TCPSocketAction, F_INTSTR, port, "port", FIELD_ALWAYS),
    STR(TCPSocketAction, host, "host"),
};
static DESC(TCPSocketAction, tcp_socket_action_rows);

static const Field grpc_action_rows[] = {
    FIELD(GRPCAction, F_INT, port, "port", FIELD_ALWAYS),
    STR_PTR(GRPCAction, service, "service"),
};
static DESC(GRPCAction, grpc_action_rows);

static const Field sleep_action_rows[] = {FIELD(SleepAction, F_INT64, seconds, "seconds", FIELD_ALWAYS)};
static DESC(SleepAction, sleep_action_rows);

static const Field probe_rows[] = {
    OBJ(Probe, exec, "exec", ExecAction, ExecAction, 0),
    OBJ(Probe, http_get, "httpGet", HTTPGetAction, HTTPGetAction, 0),
    OBJ(Probe, tcp_socket, "tcpSocket", TCPSocketAction, TCPSocketAction, 0),
    OBJ(Probe, grpc, "grpc", GRPCAction, GRPCAction, 0),
    INT(Probe, initial_delay_seconds, "initialDelaySeconds"),
    INT(Probe, timeout_seconds, "timeoutSeconds"),
    INT(Probe, period_seconds, "periodSeconds"),
    INT(Probe, success_threshold, "successThreshold"),
    INT(Probe, failure_threshold, "failureThreshold"),
    INT64_PTR(Probe, termination_grace_period_seconds, "terminationGracePeriodSeconds"),
};
DESC(Probe, probe_rows);

static const Field lifecycle_handler_rows[] = {
    OBJ(LifecycleHandler, exec, "exec", ExecAction, ExecAction, 0),
    OBJ(LifecycleHandler, http_get, "httpGet", HTTPGetAction, HTTPGetAction, 0),
    OBJ(LifecycleHandler, tcp_socket, "tcpSocket", TCPSocketAction, TCPSocketAction, 0),
    OBJ(LifecycleHandler, sleep, "sleep", SleepAction, SleepAction, 0),
};
static DESC(LifecycleHandler, lifecycle_handler_rows);

static const Field lifecycle_rows[] = {
    OBJ(Lifecycle, post_start, "postStart", LifecycleHandler, LifecycleHandler, 0),
    OBJ(Lifecycle, pre_stop, "preStop", LifecycleHandler, LifecycleHandler, 0),
    STR_PTR(Lifecycle, stop_signal, "stopSignal"),
};
static DESC(Lifecycle, lifecycle_rows);

static const Field capabilities_rows[] = {
    STRS(Capabilities, add, "add"),
    STRS(Capabilities, drop, "drop"),
};
static DESC(Capabilities, capabilities_rows);

static const Field seccomp_profile_rows[] = {
    STR_ALWAYS(SeccompProfile, type, "type"),
    STR_PTR(SeccompProfile, localhost_profile, "localhostProfile"),
};
static DESC(SeccompProfile, seccomp_profile_rows);

static const Field se_linux_options_rows[] = {
    STR(SELinuxOptions, user, "user"),
    STR(SELinuxOptions, role, "role"),
    STR(SELinuxOptions, type, "type"),
    STR(SELinuxOptions, level, "level"),
};
static DESC(SELinuxOptions, se_linux_options_rows);

static const Field security_context_rows[] = {
    OBJ(SecurityContext, capabilities, "capabilities", Capabilities, Capabilities, 0),
    BOOL_PTR(SecurityContext, privileged, "privileged"),
    OBJ(SecurityContext, se_linux_options, "seLinuxOptions", SELinuxOptions, SELinuxOptions, 0),
    RAW(SecurityContext, windows_options, "windowsOptions"),
    INT64_PTR(SecurityContext, run_as_user, "runAsUser"),
    INT64_PTR(SecurityContext, run_as_group, "runAsGroup"),
    BOOL_PTR(SecurityContext, run_as_non_root, "runAsNonRoot"),
    BOOL_PTR(SecurityContext, read_only_root_filesystem, "readOnlyRootFilesystem"),
    BOOL_PTR(SecurityContext, allow_privilege_escalation, "allowPrivilegeEscalation"),
    STR_PTR(SecurityContext, proc_mount, "procMount"),
    OBJ(SecurityContext, seccomp_profile, "seccompProfile", SeccompProfile, SeccompProfile, 0),
    OBJ(SecurityContext, app_armor_profile, "appArmorProfile", SeccompProfile, SeccompProfile, 0),
};
DESC(SecurityContext, security_context_rows);

static const Field exit_codes_rows[] = {
    STR_ALWAYS(ContainerRestartRuleOnExitCodes, operator_, "operator"),
    FIELD(ContainerRestartRuleOnExitCodes, F_INT_LIST, values, "values", 0),
};
static DESC(ContainerRestartRuleOnExitCodes, exit_codes_rows);

static const Field restart_rule_rows[] = {
    STR(ContainerRestartRule, action, "action"),
    OBJ(ContainerRestartRule, exit_codes, "exitCodes", ContainerRestartRuleOnExitCodes, ContainerRestartRuleOnExitCodes,
        0),
};
DESC(ContainerRestartRule, restart_rule_rows);

#define CONTAINER_ROWS                                                                                                 \
    STR_ALWAYS(Container, name, "name"), STR(Container, image, "image"), STRS(Container, command, "command"),          \
        STRS(Container, args, "args"), STR(Container, working_dir, "workingDir"),                                      \
        LIST(Container, ports, "ports", ContainerPort, ContainerPort, 0),                                              \
        LIST(Container, env_from, "envFrom", EnvFromSource, EnvFromSource, 0),                                         \
        LIST(Container, env, "env", EnvVar, EnvVar, 0),                                                                \
        OBJ(Container, resources, "resources", ResourceRequirements, ResourceRequirements, FIELD_EMPTY_OBJ),           \
        LIST(Container, resize_policy, "resizePolicy", ContainerResizePolicy, ContainerResizePolicy, 0),               \
        STR_PTR(Container, restart_policy, "restartPolicy"),                                                           \
        LIST(Container, restart_policy_rules, "restartPolicyRules", ContainerRestartRule, ContainerRestartRule, 0),    \
        LIST(Container, volume_mounts, "volumeMounts", VolumeMount, VolumeMount, 0),                                   \
        LIST(Container, volume_devices, "volumeDevices", VolumeDevice, VolumeDevice, 0),                               \
        OBJ(Container, liveness_probe, "livenessProbe", Probe, Probe, 0),                                              \
        OBJ(Container, readiness_probe, "readinessProbe", Probe, Probe, 0),                                            \
        OBJ(Container, startup_probe, "startupProbe", Probe, Probe, 0),                                                \
        OBJ(Container, lifecycle, "lifecycle", Lifecycle, Lifecycle, 0),                                               \
        STR(Container, termination_message_path, "terminationMessagePath"),                                            \
        STR(Container, termination_message_policy, "terminationMessagePolicy"),                                        \
        STR(Container, image_pull_policy, "imagePullPolicy"),                                                          \
        OBJ(Container, security_context, "securityContext", SecurityContext, SecurityContext, 0),                      \
        BOOL(Container, stdin_, "stdin"), BOOL(Container, stdin_once, "stdinOnce"), BOOL(Container, tty, "tty")

static const Field container_rows[] = {CONTAINER_ROWS};
DESC(Container, container_rows);

static const Field ephemeral_container_rows[] = {
    CONTAINER_ROWS,
    STR(Container, target_container_name, "targetContainerName"),
};
DESC_AS(EphemeralContainer, Container, ephemeral_container_rows);

/* --- volumes ---------------------------------------------------------------------------------------------------- */

static const Field key_to_path_rows[] = {
    STR_ALWAYS(KeyToPath, key, "key"),
    STR_ALWAYS(KeyToPath, path, "path"),
    INT_PTR(KeyToPath, mode, "mode"),
};
static DESC(KeyToPath, key_to_path_rows);

static const Field empty_dir_rows[] = {
    STR(EmptyDirVolumeSource, medium, "medium"),
    FIELD(EmptyDirVolumeSource, F_QUANTITY, size_limit, "sizeLimit", FIELD_PTR),
};
static DESC(EmptyDirVolumeSource, empty_dir_rows);

static const Field host_path_rows[] = {
    STR_ALWAYS(HostPathVolumeSource, path, "path"),
    STR_PTR(HostPathVolumeSource, type, "type"),
};
static DESC(HostPathVolumeSource, host_path_rows);

static const Field secret_volume_rows[] = {
    STR(FilesVolumeSource, name, "secretName"),
    LIST(FilesVolumeSource, items, "items", KeyToPath, KeyToPath, 0),
    INT_PTR(FilesVolumeSource, default_mode, "defaultMode"),
    BOOL_PTR(FilesVolumeSource, optional, "optional"),
};
static DESC_AS(SecretVolumeSource, FilesVolumeSource, secret_volume_rows);

static const Field config_map_volume_rows[] = {
    STR(FilesVolumeSource, name, "name"),
    LIST(FilesVolumeSource, items, "items", KeyToPath, KeyToPath, 0),
    INT_PTR(FilesVolumeSource, default_mode, "defaultMode"),
    BOOL_PTR(FilesVolumeSource, optional, "optional"),
};
static DESC_AS(ConfigMapVolumeSource, FilesVolumeSource, config_map_volume_rows);

static const Field files_projection_rows[] = {
    STR(FilesVolumeSource, name, "name"),
    LIST(FilesVolumeSource, items, "items", KeyToPath, KeyToPath, 0),
    BOOL_PTR(FilesVolumeSource, optional, "optional"),
};
static DESC_AS(FilesProjection, FilesVolumeSource, files_projection_rows);

static const Field downward_api_file_rows[] = {
    STR_ALWAYS(DownwardAPIVolumeFile, path, "path"),
    OBJ(DownwardAPIVolumeFile, field_ref, "fieldRef", ObjectFieldSelector, ObjectFieldSelector, 0),
    OBJ(DownwardAPIVolumeFile, resource_field_ref, "resourceFieldRef", ResourceFieldSelector, ResourceFieldSelector, 0),
    INT_PTR(DownwardAPIVolumeFile, mode, "mode"),
};
static DESC(DownwardAPIVolumeFile, downward_api_file_rows);

static const Field downward_api_volume_rows[] = {
    LIST(DownwardAPIVolumeSource, items, "items", DownwardAPIVolumeFile, DownwardAPIVolumeFile, 0),
    INT_PTR(DownwardAPIVolumeSource, default_mode, "defaultMode"),
};
static DESC(DownwardAPIVolumeSource, downward_api_volume_rows);

static const Field downward_api_projection_rows[] = {
    LIST(DownwardAPIVolumeSource, items, "items", DownwardAPIVolumeFile, DownwardAPIVolumeFile, 0),
};
static DESC_AS(DownwardAPIProjection, DownwardAPIVolumeSource, downward_api_projection_rows);

static const Field service_account_token_rows[] = {
    STR(ServiceAccountTokenProjection, audience, "audience"),
    INT64_PTR(ServiceAccountTokenProjection, expiration_seconds, "expirationSeconds"),
    STR_ALWAYS(ServiceAccountTokenProjection, path, "path"),
};
static DESC(ServiceAccountTokenProjection, service_account_token_rows);

static const Field volume_projection_rows[] = {
    OBJ(VolumeProjection, secret, "secret", FilesVolumeSource, FilesProjection, 0),
    OBJ(VolumeProjection, downward_api, "downwardAPI", DownwardAPIVolumeSource, DownwardAPIProjection, 0),
    OBJ(VolumeProjection, config_map, "configMap", FilesVolumeSource, FilesProjection, 0),
    OBJ(VolumeProjection, service_account_token, "serviceAccountToken", ServiceAccountTokenProjection,
        ServiceAccountTokenProjection, 0),
    RAW(VolumeProjection, cluster_trust_bundle, "clusterTrustBundle"),
    RAW(VolumeProjection, pod_certificate, "podCertificate"),
};
static DESC(VolumeProjection, volume_projection_rows);

static const Field projected_volume_rows[] = {
    LIST(ProjectedVolumeSource, sources, "sources", VolumeProjection, VolumeProjection, FIELD_ALWAYS),
    INT_PTR(ProjectedVolumeSource, default_mode, "defaultMode"),
};
static DESC(ProjectedVolumeSource, projected_volume_rows);

static const Field pvc_volume_rows[] = {
    STR_ALWAYS(PersistentVolumeClaimVolumeSource, claim_name, "claimName"),
    BOOL(PersistentVolumeClaimVolumeSource, read_only, "readOnly"),
};
static DESC(PersistentVolumeClaimVolumeSource, pvc_volume_rows);

static const Field image_volume_rows[] = {
    STR(ImageVolumeSource, reference, "reference"),
    STR(ImageVolumeSource, pull_policy, "pullPolicy"),
};
static DESC(ImageVolumeSource, image_volume_rows);

static const Field volume_rows[] = {
    STR_ALWAYS(Volume, name, "name"),
    OBJ(Volume, host_path, "hostPath", HostPathVolumeSource, HostPathVolumeSource, 0),
    OBJ(Volume, empty_dir, "emptyDir", EmptyDirVolumeSource, EmptyDirVolumeSource, 0),
    RAW(Volume, gce_persistent_disk, "gcePersistentDisk"),
    RAW(Volume, aws_elastic_block_store, "awsElasticBlockStore"),
    RAW(Volume, git_repo, "gitRepo"),
    OBJ(Volume, secret, "secret", FilesVolumeSource, SecretVolumeSource, 0),
    RAW(Volume, nfs, "nfs"),
    RAW(Volume, iscsi, "iscsi"),
    RAW(Volume, glusterfs, "glusterfs"),
    OBJ(Volume, persistent_volume_claim, "persistentVolumeClaim", PersistentVolumeClaimVolumeSource,
        PersistentVolumeClaimVolumeSource, 0),
    RAW(Volume, rbd, "rbd"),
    RAW(Volume, flex_volume, "flexVolume"),
    RAW(Volume, cinder, "cinder"),
    RAW(Volume, cephfs, "cephfs"),
    RAW(Volume, flocker, "flocker"),
    OBJ(Volume, downward_api, "downwardAPI", DownwardAPIVolumeSource, DownwardAPIVolumeSource, 0),
    RAW(Volume, fc, "fc"),
    RAW(Volume, azure_file, "azureFile"),
    OBJ(Volume, config_map, "configMap", FilesVolumeSource, ConfigMapVolumeSource, 0),
    RAW(Volume, vsphere_volume, "vsphereVolume"),
    RAW(Volume, quobyte, "quobyte"),
    RAW(Volume, azure_disk, "azureDisk"),
    RAW(Volume, photon_persistent_disk, "photonPersistentDisk"),
    OBJ(Volume, projected, "projected", ProjectedVolumeSource, ProjectedVolumeSource, 0),
    RAW(Volume, portworx_volume, "portworxVolume"),
    RAW(Volume, scale_io, "scaleIO"),
    RAW(Volume, storageos, "storageos"),
    RAW(Volume, csi, "csi"),
    RAW(Volume, ephemeral, "ephemeral"),
    OBJ(Volume, image, "image", ImageVolumeSource, ImageVolumeSource, 0),
};
DESC(Volume, volume_rows);

/* --- pod spec --------------------------------------------------------------------------------------------------- */

static const Field sysctl_rows[] = {
    STR_ALWAYS(Sysctl, name, "name"),
    STR_ALWAYS(Sysctl, value, "value"),
};
static DESC(Sysctl, sysctl_rows);

static const Field pod_security_context_rows[] = {
    OBJ(PodSecurityContext, se_linux_options, "seLinuxOptions", SELinuxOptions, SELinuxOptions, 0),
    RAW(PodSecurityContext, windows_options, "windowsOptions"),
    INT64_PTR(PodSecurityContext, run_as_user, "runAsUser"),
    INT64_PTR(PodSecurityContext, run_as_group, "runAsGroup"),
    BOOL_PTR(PodSecurityContext, run_as_non_root, "runAsNonRoot"),
    FIELD(PodSecurityContext, F_INT_LIST, supplemental_groups, "supplementalGroups", FIELD_WIDE),
    STR_PTR(PodSecurityContext, supplemental_groups_policy, "supplementalGroupsPolicy"),
    INT64_PTR(PodSecurityContext, fs_group, "fsGroup"),
    LIST(PodSecurityContext, sysctls, "sysctls", Sysctl, Sysctl, 0),
    STR_PTR(PodSecurityContext, fs_group_change_policy, "fsGroupChangePolicy"),
    OBJ(PodSecurityContext, seccomp_profile, "seccompProfile", SeccompProfile, SeccompProfile, 0),
    OBJ(PodSecurityContext, app_armor_profile, "appArmorProfile", SeccompProfile, SeccompProfile, 0),
    STR_PTR(PodSecurityContext, se_linux_change_policy, "seLinuxChangePolicy"),
};
DESC(PodSecurityContext, pod_security_context_rows);

static const Field local_object_reference_rows[] = {STR(LocalObjectReference, name, "name")};
static DESC(LocalObjectReference, local_object_reference_rows);

static const Field toleration_rows[] = {
    STR(Toleration, key, "key"),
    STR(Toleration, operator_, "operator"),
    STR(Toleration, value, "value"),
    STR(Toleration, effect, "effect"),
    INT64_PTR(Toleration, toleration_seconds, "tolerationSeconds"),
};
static DESC(Toleration, toleration_rows);

static const Field host_alias_rows[] = {
    STR_ALWAYS(HostAlias, ip, "ip"),
    STRS(HostAlias, hostnames, "hostnames"),
};
static DESC(HostAlias, host_alias_rows);

static const Field dns_option_rows[] = {
    STR(PodDNSConfigOption, name, "name"),
    STR_PTR(PodDNSConfigOption, value, "value"),
};
static DESC(PodDNSConfigOption, dns_option_rows);

static const Field dns_config_rows[] = {
    STRS(PodDNSConfig, nameservers, "nameservers"),
    STRS(PodDNSConfig, searches, "searches"),
    LIST(PodDNSConfig, options, "options", PodDNSConfigOption, PodDNSConfigOption, 0),
};
static DESC(PodDNSConfig, dns_config_rows);

static const Field readiness_gate_rows[] = {STR_ALWAYS(PodReadinessGate, condition_type, "conditionType")};
static DESC(PodReadinessGate, readiness_gate_rows);

static const Field pod_os_rows[] = {STR_ALWAYS(PodOS, name, "name")};
static DESC(PodOS, pod_os_rows);

static const Field pod_spec_rows[] = {
    LIST(PodSpec, volumes, "volumes", Volume, Volume, 0),
    LIST(PodSpec, init_containers, "initContainers", Container, Container, 0),
    LIST(PodSpec, containers, "containers", Container, Container, FIELD_ALWAYS),
    LIST(PodSpec, ephemeral_containers, "ephemeralContainers", Container, EphemeralContainer, 0),
    STR(PodSpec, restart_policy, "restartPolicy"),
    INT64_PTR(PodSpec, termination_grace_period_seconds, "terminationGracePeriodSeconds"),
    INT64_PTR(PodSpec, active_deadline_seconds, "activeDeadlineSeconds"),
    STR(PodSpec, dns_policy, "dnsPolicy"),
    FIELD(PodSpec, F_STR_MAP, node_selector, "nodeSelector", 0),
    STR(PodSpec, service_account_name, "serviceAccountName"),
    STR(PodSpec, service_account, "serviceAccount"),
    BOOL_PTR(PodSpec, automount_service_account_token, "automountServiceAccountToken"),
    STR(PodSpec, node_name, "nodeName"),
    BOOL(PodSpec, host_network, "hostNetwork"),
    BOOL(PodSpec, host_pid, "hostPID"),
    BOOL(PodSpec, host_ipc, "hostIPC"),
    BOOL_PTR(PodSpec, share_process_namespace, "shareProcessNamespace"),
    OBJ(PodSpec, security_context, "securityContext", PodSecurityContext, PodSecurityContext, 0),
    LIST(PodSpec, image_pull_secrets, "imagePullSecrets", LocalObjectReference, LocalObjectReference, 0),
    STR(PodSpec, hostname, "hostname"),
    STR(PodSpec, subdomain, "subdomain"),
    RAW(PodSpec, affinity, "affinity"),
    STR(PodSpec, scheduler_name, "schedulerName"),
    LIST(PodSpec, tolerations, "tolerations", Toleration, Toleration, 0),
    LIST(PodSpec, host_aliases, "hostAliases", HostAlias, HostAlias, 0),
    STR(PodSpec, priority_class_name, "priorityClassName"),
    INT_PTR(PodSpec, priority, "priority"),
    OBJ(PodSpec, dns_config, "dnsConfig", PodDNSConfig, PodDNSConfig, 0),
    LIST(PodSpec, readiness_gates, "readinessGates", PodReadinessGate, PodReadinessGate, 0),
    STR_PTR(PodSpec, runtime_class_name, "runtimeClassName"),
    BOOL_PTR(PodSpec, enable_service_links, "enableServiceLinks"),
    STR_PTR(PodSpec, preemption_policy, "preemptionPolicy"),
    FIELD(PodSpec, F_RES_MAP, overhead, "overhead", 0),
    RAW(PodSpec, topology_spread_constraints, "topologySpreadConstraints"),
    BOOL_PTR(PodSpec, set_hostname_as_fqdn, "setHostnameAsFQDN"),
    OBJ(PodSpec, os, "os", PodOS, PodOS, 0),
    BOOL_PTR(PodSpec, host_users, "hostUsers"),
    RAW(PodSpec, scheduling_gates, "schedulingGates"),
    RAW(PodSpec, resource_claims, "resourceClaims"),
    OBJ(PodSpec, resources, "resources", ResourceRequirements, ResourceRequirements, 0),
    STR_PTR(PodSpec, hostname_override, "hostnameOverride"),
    RAW(PodSpec, workload_ref, "workloadRef"),
};
DESC(PodSpec, pod_spec_rows);

/* --- pod status ------------------------------------------------------------------------------------------------- */

static const Field waiting_rows[] = {
    STR(ContainerStateWaiting, reason, "reason"),
    STR(ContainerStateWaiting, message, "message"),
};
static DESC(ContainerStateWaiting, waiting_rows);

static const Field running_rows[] = {TIME_ALWAYS(ContainerStateRunning, started_at, "startedAt")};
static DESC(ContainerStateRunning, running_rows);

static const Field terminated_rows[] = {
    FIELD(ContainerStateTerminated, F_INT, exit_code, "exitCode", FIELD_ALWAYS),
    INT(ContainerStateTerminated, signal, "signal"),
    STR(ContainerStateTerminated, reason, "reason"),
    STR(ContainerStateTerminated, message, "message"),
    TIME_ALWAYS(ContainerStateTerminated, started_at, "startedAt"),
    TIME_ALWAYS(ContainerStateTerminated, finished_at, "finishedAt"),
    STR(ContainerStateTerminated, container_id, "containerID"),
};
static DESC(ContainerStateTerminated, terminated_rows);

static const Field container_state_rows[] = {
    OBJ(ContainerState, waiting, "waiting", ContainerStateWaiting, ContainerStateWaiting, 0),
    OBJ(ContainerState, running, "running", ContainerStateRunning, ContainerStateRunning, 0),
    OBJ(ContainerState, terminated, "terminated", ContainerStateTerminated, ContainerStateTerminated, 0),
};
DESC(ContainerState, container_state_rows);

static const Field volume_mount_status_rows[] = {
    STR_ALWAYS(VolumeMountStatus, name, "name"),
    STR_ALWAYS(VolumeMountStatus, mount_path, "mountPath"),
    BOOL(VolumeMountStatus, read_only, "readOnly"),
    STR_PTR(VolumeMountStatus, recursive_read_only, "recursiveReadOnly"),
};
static DESC(VolumeMountStatus, volume_mount_status_rows);

static const Field linux_user_rows[] = {
    FIELD(LinuxContainerUser, F_INT64, uid, "uid", FIELD_ALWAYS),
    FIELD(LinuxContainerUser, F_INT64, gid, "gid", FIELD_ALWAYS),
    FIELD(LinuxContainerUser, F_INT_LIST, supplemental_groups, "supplementalGroups", FIELD_WIDE),
};
static DESC(LinuxContainerUser, linux_user_rows);

static const Field container_user_rows[] = {
    OBJ(ContainerUser, linux_, "linux", LinuxContainerUser, LinuxContainerUser, 0),
};
static DESC(ContainerUser, container_user_rows);

static const Field container_status_rows[] = {
    STR_ALWAYS(ContainerStatus, name, "name"),
    OBJ(ContainerStatus, state, "state", ContainerState, ContainerState, FIELD_EMPTY_OBJ),
    OBJ(ContainerStatus, last_state, "lastState", ContainerState, ContainerState, FIELD_EMPTY_OBJ),
    FIELD(ContainerStatus, F_BOOL, ready, "ready", FIELD_ALWAYS),
    FIELD(ContainerStatus, F_INT, restart_count, "restartCount", FIELD_ALWAYS),
    STR_ALWAYS(ContainerStatus, image, "image"),
    STR_ALWAYS(ContainerStatus, image_id, "imageID"),
    STR(ContainerStatus, container_id, "containerID"),
    BOOL_PTR(ContainerStatus, started, "started"),
    FIELD(ContainerStatus, F_RES_MAP, allocated_resources, "allocatedResources", 0),
    OBJ(ContainerStatus, resources, "resources", ResourceRequirements, ResourceRequirements, 0),
    LIST(ContainerStatus, volume_mounts, "volumeMounts", VolumeMountStatus, VolumeMountStatus, 0),
    OBJ(ContainerStatus, user, "user", ContainerUser, ContainerUser, 0),
    RAW(ContainerStatus, allocated_resources_status, "allocatedResourcesStatus"),
    STR_PTR(ContainerStatus, stop_signal, "stopSignal"),
};
DESC(ContainerStatus, container_status_rows);

static const Field pod_condition_rows[] = {
    STR_ALWAYS(PodCondition, type, "type"),
    INT64(PodCondition, observed_generation, "observedGeneration"),
    STR_ALWAYS(PodCondition, status, "status"),
    TIME_ALWAYS(PodCondition, last_probe_time, "lastProbeTime"),
    TIME_ALWAYS(PodCondition, last_transition_time, "lastTransitionTime"),
    STR(PodCondition, reason, "reason"),
    STR(PodCondition, message, "message"),
};
DESC(PodCondition, pod_condition_rows);

static const Field pod_ip_rows[] = {STR_ALWAYS(PodIP, ip, "ip")};
static DESC(PodIP, pod_ip_rows);

static const Field pod_status_rows[] = {
    INT64(PodStatus, observed_generation, "observedGeneration"),
    STR(PodStatus, phase, "phase"),
    LIST(PodStatus, conditions, "conditions", PodCondition, PodCondition, 0),
    STR(PodStatus, message, "message"),
    STR(PodStatus, reason, "reason"),
    STR(PodStatus, nominated_node_name, "nominatedNodeName"),
    STR(PodStatus, host_ip, "hostIP"),
    LIST(PodStatus, host_ips, "hostIPs", PodIP, PodIP, 0),
    STR(PodStatus, pod_ip, "podIP"),
    LIST(PodStatus, pod_ips, "podIPs", PodIP, PodIP, 0),
    TIME(PodStatus, start_time, "startTime"),
    LIST(PodStatus, init_container_statuses, "initContainerStatuses", ContainerStatus, ContainerStatus, 0),
    LIST(PodStatus, container_statuses, "containerStatuses", ContainerStatus, ContainerStatus, 0),
    STR(PodStatus, qos_class, "qosClass"),
    LIST(PodStatus, ephemeral_container_statuses, "ephemeralContainerStatuses", ContainerStatus, ContainerStatus, 0),
    STR(PodStatus, resize, "resize"),
    RAW(PodStatus, resource_claim_statuses, "resourceClaimStatuses"),
    RAW(PodStatus, extended_resource_claim_status, "extendedResourceClaimStatus"),
    RAW(PodStatus, allocated_resources, "allocatedResources"),
    RAW(PodStatus, resources, "resources"),
};
DESC(PodStatus, pod_status_rows);

static const Field pod_rows[] = {
    STR(Pod, kind, "kind"),
    STR(Pod, api_version, "apiVersion"),
    OBJ_IN(Pod, metadata, "metadata", ObjectMeta, ObjectMeta),
    OBJ_IN(Pod, spec, "spec", PodSpec, PodSpec),
    OBJ_IN(Pod, status, "status", PodStatus, PodStatus),
};
DESC(Pod, pod_rows);

/* --- objects beside the Pod ------------------------------------------------------------------------------------- */

static const Field config_map_rows[] = {
    STR(ConfigMap, kind, "kind"),
    STR(ConfigMap, api_version, "apiVersion"),
    OBJ_IN(ConfigMap, metadata, "metadata", ObjectMeta, ObjectMeta),
    BOOL_PTR(ConfigMap, immutable, "immutable"),
    FIELD(ConfigMap, F_STR_MAP, data, "data", 0),
    FIELD(ConfigMap, F_BYTES_MAP, binary_data, "binaryData", 0),
};
DESC(ConfigMap, config_map_rows);

static const Field secret_rows[] = {
    STR(Secret, kind, "kind"),
    STR(Secret, api_version, "apiVersion"),
    OBJ_IN(Secret, metadata, "metadata", ObjectMeta, ObjectMeta),
    BOOL_PTR(Secret, immutable, "immutable"),
    FIELD(Secret, F_BYTES_MAP, data, "data", 0),
    FIELD(Secret, F_STR_MAP, string_data, "stringData", FIELD_NO_ENCODE),
    STR(Secret, type, "type"),
};
DESC(Secret, secret_rows);

static const Field pvc_rows[] = {
    STR(PersistentVolumeClaim, kind, "kind"),
    STR(PersistentVolumeClaim, api_version, "apiVersion"),
    OBJ_IN(PersistentVolumeClaim, metadata, "metadata", ObjectMeta, ObjectMeta),
    RAW(PersistentVolumeClaim, spec, "spec"),
    RAW(PersistentVolumeClaim, status, "status"),
};
DESC(PersistentVolumeClaim, pvc_rows);
