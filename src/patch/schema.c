/* schema.c - what core/v1 declares about its fields for patches: the only place that says how a list is merged.
 *
 * Strategic merge goes by the tags patchStrategy and patchMergeKey of the Go structs, server-side apply by
 * x-kubernetes-list-type, -list-map-keys and -map-type of the OpenAPI document; both stand in one row, for they differ
 * (hostIPs is merged by one and atomic to the other). Facts from k8s.io/api v0.36.0 and client-go v0.36.0
 * (applyconfigurations), read out by a program; a type comes before those that use it, fields in Go's order.
 * tests/golden/patch has what upstream's own code does with them.
 *
 * A row for each type would take 1400 lines, so rows are packed: one letter says what a field is. */
#include "patch/patch_priv.h"

#define S(n) {n, &t_string, SHAPE_ONE, 0, NULL, NULL}
#define N(n) {n, &t_number, SHAPE_ONE, 0, NULL, NULL}
#define B(n) {n, &t_bool, SHAPE_ONE, 0, NULL, NULL}
#define Q(n) {n, &t_any, SHAPE_ONE, 0, NULL, NULL} /* quantity, time, int-or-string */
#define O(n, t) {n, &t_##t, SHAPE_ONE, 0, NULL, NULL}
#define M(n, t) {n, &t_##t, SHAPE_MAP, 0, NULL, NULL}
#define M_ATOMIC(n, t) {n, &t_##t, SHAPE_MAP_ATOMIC, 0, NULL, NULL}
#define L(n, t) {n, &t_##t, SHAPE_LIST, 0, NULL, NULL}
#define L_SMP(n, t, smp, key) {n, &t_##t, SHAPE_LIST, smp, NULL, key}
#define L_SET(n, t, smp) {n, &t_##t, SHAPE_LIST_SET, smp, NULL, NULL}
#define L_MAP(n, t, keys, smp, key) {n, &t_##t, SHAPE_LIST_MAP, smp, keys, key}
#define MERGE SMP_MERGE
#define RETAIN SMP_RETAIN
#define TYPE_AS(t, is_atomic, ...)                                                                                     \
    static const PatchField t##_fields[] = {__VA_ARGS__};                                                              \
    static const PatchType t_##t = {.name = #t, .kind = PT_STRUCT, .atomic = (is_atomic), .field = t##_fields,         \
                                    .n = ARRAY_LEN(t##_fields)}
#define TYPE(t, ...) TYPE_AS(t, false, __VA_ARGS__)
#define ATOMIC_TYPE(t, ...) TYPE_AS(t, true, __VA_ARGS__)

static const PatchType t_string = {.name = "string", .kind = PT_STRING};
static const PatchType t_number = {.name = "int64", .kind = PT_NUMBER};
static const PatchType t_bool = {.name = "bool", .kind = PT_BOOL};
static const PatchType t_any = {.name = "Quantity", .kind = PT_ANY};
const PatchType patch_free = {.name = "FieldsV1", .kind = PT_FREE};
#define t_free patch_free

/* clang-format off */
ATOMIC_TYPE(OwnerReference, S("apiVersion"), S("kind"), S("name"), S("uid"), B("controller"), B("blockOwnerDeletion"));
TYPE(ManagedFieldsEntry,
    S("manager"), S("operation"), S("apiVersion"), Q("time"), S("fieldsType"), O("fieldsV1", free), S("subresource"));
TYPE(ObjectMeta,
    S("name"), S("generateName"), S("namespace"), S("selfLink"), S("uid"), S("resourceVersion"), N("generation"),
    Q("creationTimestamp"), Q("deletionTimestamp"), N("deletionGracePeriodSeconds"), M("labels", string),
    M("annotations", string), L_MAP("ownerReferences", OwnerReference, "uid=", MERGE, "uid"),
    L_SET("finalizers", string, MERGE), L("managedFields", ManagedFieldsEntry));
TYPE(HostPathVolumeSource, S("path"), S("type"));
TYPE(EmptyDirVolumeSource, S("medium"), Q("sizeLimit"));
TYPE(GCEPersistentDiskVolumeSource, S("pdName"), S("fsType"), N("partition"), B("readOnly"));
TYPE(AWSElasticBlockStoreVolumeSource, S("volumeID"), S("fsType"), N("partition"), B("readOnly"));
TYPE(GitRepoVolumeSource, S("repository"), S("revision"), S("directory"));
TYPE(KeyToPath, S("key"), S("path"), N("mode"));
TYPE(SecretVolumeSource, S("secretName"), L("items", KeyToPath), N("defaultMode"), B("optional"));
TYPE(NFSVolumeSource, S("server"), S("path"), B("readOnly"));
ATOMIC_TYPE(LocalObjectReference, S("name"));
TYPE(ISCSIVolumeSource,
    S("targetPortal"), S("iqn"), N("lun"), S("iscsiInterface"), S("fsType"), B("readOnly"), L("portals", string),
    B("chapAuthDiscovery"), B("chapAuthSession"), O("secretRef", LocalObjectReference), S("initiatorName"));
TYPE(GlusterfsVolumeSource, S("endpoints"), S("path"), B("readOnly"));
TYPE(PersistentVolumeClaimVolumeSource, S("claimName"), B("readOnly"));
TYPE(RBDVolumeSource,
    L("monitors", string), S("image"), S("fsType"), S("pool"), S("user"), S("keyring"),
    O("secretRef", LocalObjectReference), B("readOnly"));
TYPE(FlexVolumeSource,
    S("driver"), S("fsType"), O("secretRef", LocalObjectReference), B("readOnly"), M("options", string));
TYPE(CinderVolumeSource, S("volumeID"), S("fsType"), B("readOnly"), O("secretRef", LocalObjectReference));
TYPE(CephFSVolumeSource,
    L("monitors", string), S("path"), S("user"), S("secretFile"), O("secretRef", LocalObjectReference), B("readOnly"));
TYPE(FlockerVolumeSource, S("datasetName"), S("datasetUUID"));
ATOMIC_TYPE(ObjectFieldSelector, S("apiVersion"), S("fieldPath"));
ATOMIC_TYPE(ResourceFieldSelector, S("containerName"), S("resource"), Q("divisor"));
TYPE(DownwardAPIVolumeFile,
    S("path"), O("fieldRef", ObjectFieldSelector), O("resourceFieldRef", ResourceFieldSelector), N("mode"));
TYPE(DownwardAPIVolumeSource, L("items", DownwardAPIVolumeFile), N("defaultMode"));
TYPE(FCVolumeSource, L("targetWWNs", string), N("lun"), S("fsType"), B("readOnly"), L("wwids", string));
TYPE(AzureFileVolumeSource, S("secretName"), S("shareName"), B("readOnly"));
TYPE(ConfigMapVolumeSource, S("name"), L("items", KeyToPath), N("defaultMode"), B("optional"));
TYPE(VsphereVirtualDiskVolumeSource, S("volumePath"), S("fsType"), S("storagePolicyName"), S("storagePolicyID"));
TYPE(QuobyteVolumeSource, S("registry"), S("volume"), B("readOnly"), S("user"), S("group"), S("tenant"));
TYPE(AzureDiskVolumeSource, S("diskName"), S("diskURI"), S("cachingMode"), S("fsType"), B("readOnly"), S("kind"));
TYPE(PhotonPersistentDiskVolumeSource, S("pdID"), S("fsType"));
TYPE(SecretProjection, S("name"), L("items", KeyToPath), B("optional"));
TYPE(DownwardAPIProjection, L("items", DownwardAPIVolumeFile));
TYPE(ConfigMapProjection, S("name"), L("items", KeyToPath), B("optional"));
TYPE(ServiceAccountTokenProjection, S("audience"), N("expirationSeconds"), S("path"));
TYPE(LabelSelectorRequirement, S("key"), S("operator"), L("values", string));
ATOMIC_TYPE(LabelSelector, M("matchLabels", string), L("matchExpressions", LabelSelectorRequirement));
TYPE(ClusterTrustBundleProjection,
    S("name"), S("signerName"), O("labelSelector", LabelSelector), B("optional"), S("path"));
TYPE(PodCertificateProjection,
    S("signerName"), S("keyType"), N("maxExpirationSeconds"), S("credentialBundlePath"), S("keyPath"),
    S("certificateChainPath"), M("userAnnotations", string));
TYPE(VolumeProjection,
    O("secret", SecretProjection), O("downwardAPI", DownwardAPIProjection), O("configMap", ConfigMapProjection),
    O("serviceAccountToken", ServiceAccountTokenProjection), O("clusterTrustBundle", ClusterTrustBundleProjection),
    O("podCertificate", PodCertificateProjection));
TYPE(ProjectedVolumeSource, L("sources", VolumeProjection), N("defaultMode"));
TYPE(PortworxVolumeSource, S("volumeID"), S("fsType"), B("readOnly"));
TYPE(ScaleIOVolumeSource,
    S("gateway"), S("system"), O("secretRef", LocalObjectReference), B("sslEnabled"), S("protectionDomain"),
    S("storagePool"), S("storageMode"), S("volumeName"), S("fsType"), B("readOnly"));
TYPE(StorageOSVolumeSource,
    S("volumeName"), S("volumeNamespace"), S("fsType"), B("readOnly"), O("secretRef", LocalObjectReference));
TYPE(CSIVolumeSource,
    S("driver"), B("readOnly"), S("fsType"), M("volumeAttributes", string),
    O("nodePublishSecretRef", LocalObjectReference));
TYPE(VolumeResourceRequirements, M("limits", any), M("requests", any));
ATOMIC_TYPE(TypedLocalObjectReference, S("apiGroup"), S("kind"), S("name"));
TYPE(TypedObjectReference, S("apiGroup"), S("kind"), S("name"), S("namespace"));
TYPE(PersistentVolumeClaimSpec,
    L("accessModes", string), O("selector", LabelSelector), O("resources", VolumeResourceRequirements), S("volumeName"),
    S("storageClassName"), S("volumeMode"), O("dataSource", TypedLocalObjectReference),
    O("dataSourceRef", TypedObjectReference), S("volumeAttributesClassName"));
TYPE(PersistentVolumeClaimTemplate, O("metadata", ObjectMeta), O("spec", PersistentVolumeClaimSpec));
TYPE(EphemeralVolumeSource, O("volumeClaimTemplate", PersistentVolumeClaimTemplate));
TYPE(ImageVolumeSource, S("reference"), S("pullPolicy"));
TYPE(Volume,
    S("name"), O("hostPath", HostPathVolumeSource), O("emptyDir", EmptyDirVolumeSource),
    O("gcePersistentDisk", GCEPersistentDiskVolumeSource), O("awsElasticBlockStore", AWSElasticBlockStoreVolumeSource),
    O("gitRepo", GitRepoVolumeSource), O("secret", SecretVolumeSource), O("nfs", NFSVolumeSource),
    O("iscsi", ISCSIVolumeSource), O("glusterfs", GlusterfsVolumeSource),
    O("persistentVolumeClaim", PersistentVolumeClaimVolumeSource), O("rbd", RBDVolumeSource),
    O("flexVolume", FlexVolumeSource), O("cinder", CinderVolumeSource), O("cephfs", CephFSVolumeSource),
    O("flocker", FlockerVolumeSource), O("downwardAPI", DownwardAPIVolumeSource), O("fc", FCVolumeSource),
    O("azureFile", AzureFileVolumeSource), O("configMap", ConfigMapVolumeSource),
    O("vsphereVolume", VsphereVirtualDiskVolumeSource), O("quobyte", QuobyteVolumeSource),
    O("azureDisk", AzureDiskVolumeSource), O("photonPersistentDisk", PhotonPersistentDiskVolumeSource),
    O("projected", ProjectedVolumeSource), O("portworxVolume", PortworxVolumeSource), O("scaleIO", ScaleIOVolumeSource),
    O("storageos", StorageOSVolumeSource), O("csi", CSIVolumeSource), O("ephemeral", EphemeralVolumeSource),
    O("image", ImageVolumeSource));
TYPE(ContainerPort, S("name"), N("hostPort"), N("containerPort"), S("protocol"), S("hostIP"));
TYPE(ConfigMapEnvSource, S("name"), B("optional"));
TYPE(SecretEnvSource, S("name"), B("optional"));
TYPE(EnvFromSource, S("prefix"), O("configMapRef", ConfigMapEnvSource), O("secretRef", SecretEnvSource));
ATOMIC_TYPE(ConfigMapKeySelector, S("name"), S("key"), B("optional"));
ATOMIC_TYPE(SecretKeySelector, S("name"), S("key"), B("optional"));
ATOMIC_TYPE(FileKeySelector, S("volumeName"), S("path"), S("key"), B("optional"));
TYPE(EnvVarSource,
    O("fieldRef", ObjectFieldSelector), O("resourceFieldRef", ResourceFieldSelector),
    O("configMapKeyRef", ConfigMapKeySelector), O("secretKeyRef", SecretKeySelector), O("fileKeyRef", FileKeySelector));
TYPE(EnvVar, S("name"), S("value"), O("valueFrom", EnvVarSource));
TYPE(ResourceClaim, S("name"), S("request"));
TYPE(ResourceRequirements, M("limits", any), M("requests", any), L_MAP("claims", ResourceClaim, "name=", 0, NULL));
TYPE(ContainerResizePolicy, S("resourceName"), S("restartPolicy"));
TYPE(ContainerRestartRuleOnExitCodes, S("operator"), L_SET("values", number, 0));
TYPE(ContainerRestartRule, S("action"), O("exitCodes", ContainerRestartRuleOnExitCodes));
TYPE(VolumeMount,
    S("name"), B("readOnly"), S("recursiveReadOnly"), S("mountPath"), S("subPath"), S("mountPropagation"),
    S("subPathExpr"));
TYPE(VolumeDevice, S("name"), S("devicePath"));
TYPE(ExecAction, L("command", string));
TYPE(HTTPHeader, S("name"), S("value"));
TYPE(HTTPGetAction, S("path"), Q("port"), S("host"), S("scheme"), L("httpHeaders", HTTPHeader));
TYPE(TCPSocketAction, Q("port"), S("host"));
TYPE(GRPCAction, N("port"), S("service"));
TYPE(Probe,
    O("exec", ExecAction), O("httpGet", HTTPGetAction), O("tcpSocket", TCPSocketAction), O("grpc", GRPCAction),
    N("initialDelaySeconds"), N("timeoutSeconds"), N("periodSeconds"), N("successThreshold"), N("failureThreshold"),
    N("terminationGracePeriodSeconds"));
TYPE(SleepAction, N("seconds"));
TYPE(LifecycleHandler,
    O("exec", ExecAction), O("httpGet", HTTPGetAction), O("tcpSocket", TCPSocketAction), O("sleep", SleepAction));
TYPE(Lifecycle, O("postStart", LifecycleHandler), O("preStop", LifecycleHandler), S("stopSignal"));
TYPE(Capabilities, L("add", string), L("drop", string));
TYPE(SELinuxOptions, S("user"), S("role"), S("type"), S("level"));
TYPE(WindowsSecurityContextOptions,
    S("gmsaCredentialSpecName"), S("gmsaCredentialSpec"), S("runAsUserName"), B("hostProcess"));
TYPE(SeccompProfile, S("type"), S("localhostProfile"));
TYPE(AppArmorProfile, S("type"), S("localhostProfile"));
TYPE(SecurityContext,
    O("capabilities", Capabilities), B("privileged"), O("seLinuxOptions", SELinuxOptions),
    O("windowsOptions", WindowsSecurityContextOptions), N("runAsUser"), N("runAsGroup"), B("runAsNonRoot"),
    B("readOnlyRootFilesystem"), B("allowPrivilegeEscalation"), S("procMount"), O("seccompProfile", SeccompProfile),
    O("appArmorProfile", AppArmorProfile));
/* An ephemeral container is a container with one field more. */
#define CONTAINER_FIELDS \
    S("name"), S("image"), L("command", string), L("args", string), S("workingDir"), \
    L_MAP("ports", ContainerPort, "containerPort=0 protocol=TCP", MERGE, "containerPort"), L("envFrom", EnvFromSource), \
    L_MAP("env", EnvVar, "name=", MERGE, "name"), O("resources", ResourceRequirements), \
    L("resizePolicy", ContainerResizePolicy), S("restartPolicy"), L("restartPolicyRules", ContainerRestartRule), \
    L_MAP("volumeMounts", VolumeMount, "mountPath=", MERGE, "mountPath"), \
    L_MAP("volumeDevices", VolumeDevice, "devicePath=", MERGE, "devicePath"), O("livenessProbe", Probe), \
    O("readinessProbe", Probe), O("startupProbe", Probe), O("lifecycle", Lifecycle), S("terminationMessagePath"), \
    S("terminationMessagePolicy"), S("imagePullPolicy"), O("securityContext", SecurityContext), B("stdin"), \
    B("stdinOnce"), B("tty")
TYPE(Container, CONTAINER_FIELDS);
TYPE(EphemeralContainer, CONTAINER_FIELDS, S("targetContainerName"));
TYPE(Sysctl, S("name"), S("value"));
TYPE(PodSecurityContext,
    O("seLinuxOptions", SELinuxOptions), O("windowsOptions", WindowsSecurityContextOptions), N("runAsUser"),
    N("runAsGroup"), B("runAsNonRoot"), L("supplementalGroups", number), S("supplementalGroupsPolicy"), N("fsGroup"),
    L("sysctls", Sysctl), S("fsGroupChangePolicy"), O("seccompProfile", SeccompProfile),
    O("appArmorProfile", AppArmorProfile), S("seLinuxChangePolicy"));
TYPE(NodeSelectorRequirement, S("key"), S("operator"), L("values", string));
ATOMIC_TYPE(NodeSelectorTerm,
    L("matchExpressions", NodeSelectorRequirement), L("matchFields", NodeSelectorRequirement));
ATOMIC_TYPE(NodeSelector, L("nodeSelectorTerms", NodeSelectorTerm));
TYPE(PreferredSchedulingTerm, N("weight"), O("preference", NodeSelectorTerm));
TYPE(NodeAffinity,
    O("requiredDuringSchedulingIgnoredDuringExecution", NodeSelector),
    L("preferredDuringSchedulingIgnoredDuringExecution", PreferredSchedulingTerm));
TYPE(PodAffinityTerm,
    O("labelSelector", LabelSelector), L("namespaces", string), S("topologyKey"), O("namespaceSelector", LabelSelector),
    L("matchLabelKeys", string), L("mismatchLabelKeys", string));
TYPE(WeightedPodAffinityTerm, N("weight"), O("podAffinityTerm", PodAffinityTerm));
TYPE(PodAffinity,
    L("requiredDuringSchedulingIgnoredDuringExecution", PodAffinityTerm),
    L("preferredDuringSchedulingIgnoredDuringExecution", WeightedPodAffinityTerm));
TYPE(PodAntiAffinity,
    L("requiredDuringSchedulingIgnoredDuringExecution", PodAffinityTerm),
    L("preferredDuringSchedulingIgnoredDuringExecution", WeightedPodAffinityTerm));
TYPE(Affinity, O("nodeAffinity", NodeAffinity), O("podAffinity", PodAffinity), O("podAntiAffinity", PodAntiAffinity));
TYPE(Toleration, S("key"), S("operator"), S("value"), S("effect"), N("tolerationSeconds"));
TYPE(HostAlias, S("ip"), L("hostnames", string));
TYPE(PodDNSConfigOption, S("name"), S("value"));
TYPE(PodDNSConfig, L("nameservers", string), L("searches", string), L("options", PodDNSConfigOption));
TYPE(PodReadinessGate, S("conditionType"));
TYPE(TopologySpreadConstraint,
    N("maxSkew"), S("topologyKey"), S("whenUnsatisfiable"), O("labelSelector", LabelSelector), N("minDomains"),
    S("nodeAffinityPolicy"), S("nodeTaintsPolicy"), L("matchLabelKeys", string));
TYPE(PodOS, S("name"));
TYPE(PodSchedulingGate, S("name"));
TYPE(PodResourceClaim, S("name"), S("resourceClaimName"), S("resourceClaimTemplateName"));
TYPE(PodSchedulingGroup, S("podGroupName"));
TYPE(PodSpec,
    L_MAP("volumes", Volume, "name=", MERGE | RETAIN, "name"),
    L_MAP("initContainers", Container, "name=", MERGE, "name"), L_MAP("containers", Container, "name=", MERGE, "name"),
    L_MAP("ephemeralContainers", EphemeralContainer, "name=", MERGE, "name"), S("restartPolicy"),
    N("terminationGracePeriodSeconds"), N("activeDeadlineSeconds"), S("dnsPolicy"), M_ATOMIC("nodeSelector", string),
    S("serviceAccountName"), S("serviceAccount"), B("automountServiceAccountToken"), S("nodeName"), B("hostNetwork"),
    B("hostPID"), B("hostIPC"), B("shareProcessNamespace"), O("securityContext", PodSecurityContext),
    L_MAP("imagePullSecrets", LocalObjectReference, "name=", MERGE, "name"), S("hostname"), S("subdomain"),
    O("affinity", Affinity), S("schedulerName"), L("tolerations", Toleration),
    L_MAP("hostAliases", HostAlias, "ip=", MERGE, "ip"), S("priorityClassName"), N("priority"),
    O("dnsConfig", PodDNSConfig), L("readinessGates", PodReadinessGate), S("runtimeClassName"), B("enableServiceLinks"),
    S("preemptionPolicy"), M("overhead", any),
    L_MAP("topologySpreadConstraints", TopologySpreadConstraint, "topologyKey= whenUnsatisfiable=", MERGE, "topologyKey"),
    B("setHostnameAsFQDN"), O("os", PodOS), B("hostUsers"),
    L_MAP("schedulingGates", PodSchedulingGate, "name=", MERGE, "name"),
    L_MAP("resourceClaims", PodResourceClaim, "name=", MERGE | RETAIN, "name"), O("resources", ResourceRequirements),
    S("hostnameOverride"), O("schedulingGroup", PodSchedulingGroup));
TYPE(PodCondition,
    S("type"), N("observedGeneration"), S("status"), Q("lastProbeTime"), Q("lastTransitionTime"), S("reason"),
    S("message"));
TYPE(HostIP, S("ip"));
TYPE(PodIP, S("ip"));
TYPE(ContainerStateWaiting, S("reason"), S("message"));
TYPE(ContainerStateRunning, Q("startedAt"));
TYPE(ContainerStateTerminated,
    N("exitCode"), N("signal"), S("reason"), S("message"), Q("startedAt"), Q("finishedAt"), S("containerID"));
TYPE(ContainerState,
    O("waiting", ContainerStateWaiting), O("running", ContainerStateRunning),
    O("terminated", ContainerStateTerminated));
TYPE(ImageVolumeStatus, S("imageRef"));
TYPE(VolumeStatus, O("image", ImageVolumeStatus));
TYPE(VolumeMountStatus,
    S("name"), S("mountPath"), B("readOnly"), S("recursiveReadOnly"), O("volumeStatus", VolumeStatus));
TYPE(LinuxContainerUser, N("uid"), N("gid"), L("supplementalGroups", number));
TYPE(ContainerUser, O("linux", LinuxContainerUser));
TYPE(ResourceHealth, S("resourceID"), S("health"), S("message"));
TYPE(ResourceStatus, S("name"), L_MAP("resources", ResourceHealth, "resourceID=", 0, NULL));
TYPE(ContainerStatus,
    S("name"), O("state", ContainerState), O("lastState", ContainerState), B("ready"), N("restartCount"), S("image"),
    S("imageID"), S("containerID"), B("started"), M("allocatedResources", any), O("resources", ResourceRequirements),
    L_MAP("volumeMounts", VolumeMountStatus, "mountPath=", MERGE, "mountPath"), O("user", ContainerUser),
    L_MAP("allocatedResourcesStatus", ResourceStatus, "name=", MERGE, "name"), S("stopSignal"));
TYPE(PodResourceClaimStatus, S("name"), S("resourceClaimName"));
TYPE(ContainerExtendedResourceRequest, S("containerName"), S("resourceName"), S("requestName"));
TYPE(PodExtendedResourceClaimStatus, L("requestMappings", ContainerExtendedResourceRequest), S("resourceClaimName"));
TYPE(NodeAllocatableResourceClaimStatus, S("resourceClaimName"), L_SET("containers", string, 0), M("resources", any));
TYPE(PodStatus,
    N("observedGeneration"), S("phase"), L_MAP("conditions", PodCondition, "type=", MERGE, "type"), S("message"),
    S("reason"), S("nominatedNodeName"), S("hostIP"), L_SMP("hostIPs", HostIP, MERGE, "ip"), S("podIP"),
    L_MAP("podIPs", PodIP, "ip=", MERGE, "ip"), Q("startTime"), L("initContainerStatuses", ContainerStatus),
    L("containerStatuses", ContainerStatus), S("qosClass"), L("ephemeralContainerStatuses", ContainerStatus),
    S("resize"), L_MAP("resourceClaimStatuses", PodResourceClaimStatus, "name=", MERGE | RETAIN, "name"),
    O("extendedResourceClaimStatus", PodExtendedResourceClaimStatus), M("allocatedResources", any),
    O("resources", ResourceRequirements),
    L("nodeAllocatableResourceClaimStatuses", NodeAllocatableResourceClaimStatus));
TYPE(Pod, S("kind"), S("apiVersion"), O("metadata", ObjectMeta), O("spec", PodSpec), O("status", PodStatus));
TYPE(ConfigMap,
    S("kind"), S("apiVersion"), O("metadata", ObjectMeta), B("immutable"), M("data", string), M("binaryData", string));
TYPE(Secret,
    S("kind"), S("apiVersion"), O("metadata", ObjectMeta), B("immutable"), M("data", string), M("stringData", string),
    S("type"));
TYPE(PersistentVolumeClaimCondition,
    S("type"), S("status"), Q("lastProbeTime"), Q("lastTransitionTime"), S("reason"), S("message"));
TYPE(ModifyVolumeStatus, S("targetVolumeAttributesClassName"), S("status"));
TYPE(PersistentVolumeClaimStatus,
    S("phase"), L("accessModes", string), M("capacity", any),
    L_MAP("conditions", PersistentVolumeClaimCondition, "type=", MERGE, "type"), M("allocatedResources", any),
    M("allocatedResourceStatuses", string), S("currentVolumeAttributesClassName"),
    O("modifyVolumeStatus", ModifyVolumeStatus));
TYPE(PersistentVolumeClaim,
    S("kind"), S("apiVersion"), O("metadata", ObjectMeta), O("spec", PersistentVolumeClaimSpec),
    O("status", PersistentVolumeClaimStatus));
/* clang-format on */

static const PatchField object_fields[] = {S("kind"), S("apiVersion"), O("metadata", ObjectMeta)};
static const PatchType t_object = {
    .name = "Object", .kind = PT_STRUCT, .open = true, .field = object_fields, .n = ARRAY_LEN(object_fields)};

const PatchType *patch_type(const char *api_version, const char *kind)
{
    static const PatchType *const known[] = {&t_Pod, &t_ConfigMap, &t_Secret, &t_PersistentVolumeClaim};
    for (size_t i = 0; i < ARRAY_LEN(known) && str_eq(api_version, "v1"); i++)
        if (str_eq(known[i]->name, kind))
            return known[i];
    return &t_object;
}

const PatchField *patch_field(const PatchType *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->field[i].name, name) == 0)
            return &t->field[i];
    return NULL;
}

PatchPlace patch_place_field(const PatchField *f)
{
    return (PatchPlace){f->type, f->shape, f->keys};
}

PatchPlace patch_place_elem(PatchPlace p)
{
    return (PatchPlace){p.type, SHAPE_ONE, NULL};
}

bool patch_place_member(PatchPlace p, const char *key, PatchPlace *ret, bool *ret_named)
{
    *ret_named = false;
    if (p.shape != SHAPE_ONE || p.type->kind == PT_FREE) {
        *ret = patch_place_elem(p);
        return true;
    }
    const PatchField *f = patch_field(p.type, key);
    *ret = f ? patch_place_field(f) : (PatchPlace){&patch_free, SHAPE_ONE, NULL};
    *ret_named = f != NULL;
    return f || p.type->open;
}
