/* openapi.c - OpenAPI v2 and v3 of what is served, made from the field tables of src/api: the types, how lists are merged, and words for
 * the fields that `kubectl explain` is asked for most. Raw fields are given as what they are: anything. */
#include "api/codec.h"
#include "base/str.h"
#include "kube/discovery.h"

/* How a list or a map is merged: k8s.io/api's +listType, +listMapKey, +patchStrategy. */
static const struct { const char *type, *field, *list_type, *key[2], *merge_key, *strategy; } merges[] = {
    {"Capabilities", "add", "atomic", {NULL}, NULL, NULL},
    {"Capabilities", "drop", "atomic", {NULL}, NULL, NULL},
    {"ConfigMapVolumeSource", "items", "atomic", {NULL}, NULL, NULL},
    {"Container", "args", "atomic", {NULL}, NULL, NULL},
    {"Container", "command", "atomic", {NULL}, NULL, NULL},
    {"Container", "env", "map", {"name"}, "name", "merge"},
    {"Container", "envFrom", "atomic", {NULL}, NULL, NULL},
    {"Container", "ports", "map", {"containerPort", "protocol"}, "containerPort", "merge"},
    {"Container", "resizePolicy", "atomic", {NULL}, NULL, NULL},
    {"Container", "restartPolicyRules", "atomic", {NULL}, NULL, NULL},
    {"Container", "volumeDevices", "map", {"devicePath"}, "devicePath", "merge"},
    {"Container", "volumeMounts", "map", {"mountPath"}, "mountPath", "merge"},
    {"ContainerRestartRuleOnExitCodes", "values", "set", {NULL}, NULL, NULL},
    {"ContainerStatus", "allocatedResourcesStatus", "map", {"name"}, "name", "merge"},
    {"ContainerStatus", "volumeMounts", "map", {"mountPath"}, "mountPath", "merge"},
    {"DownwardAPIProjection", "items", "atomic", {NULL}, NULL, NULL},
    {"DownwardAPIVolumeSource", "items", "atomic", {NULL}, NULL, NULL},
    {"ExecAction", "command", "atomic", {NULL}, NULL, NULL},
    {"HTTPGetAction", "httpHeaders", "atomic", {NULL}, NULL, NULL},
    {"HostAlias", "hostnames", "atomic", {NULL}, NULL, NULL},
    {"LinuxContainerUser", "supplementalGroups", "atomic", {NULL}, NULL, NULL},
    {"PodDNSConfig", "nameservers", "atomic", {NULL}, NULL, NULL},
    {"PodDNSConfig", "options", "atomic", {NULL}, NULL, NULL},
    {"PodDNSConfig", "searches", "atomic", {NULL}, NULL, NULL},
    {"PodSecurityContext", "supplementalGroups", "atomic", {NULL}, NULL, NULL},
    {"PodSecurityContext", "sysctls", "atomic", {NULL}, NULL, NULL},
    {"PodSpec", "containers", "map", {"name"}, "name", "merge"},
    {"PodSpec", "ephemeralContainers", "map", {"name"}, "name", "merge"},
    {"PodSpec", "hostAliases", "map", {"ip"}, "ip", "merge"},
    {"PodSpec", "imagePullSecrets", "map", {"name"}, "name", "merge"},
    {"PodSpec", "initContainers", "map", {"name"}, "name", "merge"},
    {"PodSpec", "nodeSelector", "map-atomic", {NULL}, NULL, NULL},
    {"PodSpec", "readinessGates", "atomic", {NULL}, NULL, NULL},
    {"PodSpec", "resourceClaims", "map", {"name"}, "name", "merge,retainKeys"},
    {"PodSpec", "schedulingGates", "map", {"name"}, "name", "merge"},
    {"PodSpec", "tolerations", "atomic", {NULL}, NULL, NULL},
    {"PodSpec", "topologySpreadConstraints", "map", {"topologyKey", "whenUnsatisfiable"}, "topologyKey", "merge"},
    {"PodSpec", "volumes", "map", {"name"}, "name", "merge,retainKeys"},
    {"PodStatus", "conditions", "map", {"type"}, "type", "merge"},
    {"PodStatus", "containerStatuses", "atomic", {NULL}, NULL, NULL},
    {"PodStatus", "ephemeralContainerStatuses", "atomic", {NULL}, NULL, NULL},
    {"PodStatus", "hostIPs", "atomic", {NULL}, "ip", "merge"},
    {"PodStatus", "initContainerStatuses", "atomic", {NULL}, NULL, NULL},
    {"PodStatus", "podIPs", "map", {"ip"}, "ip", "merge"},
    {"PodStatus", "resourceClaimStatuses", "map", {"name"}, "name", "merge,retainKeys"},
    {"ProjectedVolumeSource", "sources", "atomic", {NULL}, NULL, NULL},
    {"ResourceRequirements", "claims", "map", {"name"}, NULL, NULL},
    {"SecretVolumeSource", "items", "atomic", {NULL}, NULL, NULL},
    {"ObjectMeta", "finalizers", "set", {NULL}, NULL, "merge"},
    {"ObjectMeta", "managedFields", "atomic", {NULL}, NULL, NULL},
    {"ObjectMeta", "ownerReferences", "map", {"uid"}, "uid", "merge"},
};

/* What fields are for, in a line; by "Type.field", or by "field" where it means the same everywhere. */
static const struct { const char *name, *text; } words[] = {
    {"Pod", "A group of containers that share network, IPC and volumes, and run on one node."},
    {"PodSpec", "What a Pod should be."},
    {"PodStatus", "What a Pod is: written by the node agent."},
    {"Container", "One container of a Pod."},
    {"ConfigMap", "Configuration data for Pods."},
    {"Secret", "Data that is not for everybody's eyes, for Pods."},
    {"PersistentVolumeClaim", "A volume that outlives the Pods that use it."},
    {"Event", "Something that happened to an object."},
    {"Namespace", "A scope for names."},
    {"Node", "The machine that runs the Pods."},
    {"ServiceAccount", "A name for what runs in Pods."},
    {"ObjectMeta", "What every object has."},
    {"apiVersion", "The version of the schema of this object."},
    {"kind", "The type of this object."},
    {"metadata", "Name, namespace, labels and what else every object has."},
    {"spec", "What the object should be."},
    {"status", "What the object is, as last observed."},
    {"ObjectMeta.name", "Unique among the objects of its kind in a namespace; cannot be changed."},
    {"generateName", "A prefix: the server makes a unique name of it when name is empty."},
    {"namespace", "The scope of the name."},
    {"labels", "Keys and values by which objects are selected."},
    {"annotations", "Keys and values that tools keep with an object."},
    {"uid", "Unique in time and space; set by the server."},
    {"resourceVersion", "Changes with each change of the object; what an update was based on."},
    {"generation", "Counts the changes of what is wanted."},
    {"creationTimestamp", "When the server made the object."},
    {"deletionTimestamp", "When the object will be gone at the latest; set when it is deleted."},
    {"finalizers", "Who must be done with the object before it goes."},
    {"ownerReferences", "The objects that this one depends on."},
    {"containers", "The containers of the Pod, at least one. Cannot be added or removed later."},
    {"initContainers", "Containers that run to their end, one by one, before the others start; with restartPolicy Always they are "
                       "sidecars, which keep running."},
    {"ephemeralContainers", "Containers added to a running Pod to look into it; only through the ephemeralcontainers subresource."},
    {"volumes", "What containers of the Pod can mount."},
    {"PodSpec.restartPolicy", "For all containers of the Pod: Always, OnFailure or Never."},
    {"Container.restartPolicy", "Overrides the Pod's: Always, OnFailure or Never; Always makes a sidecar of an init container."},
    {"restartPolicyRules", "Rules on exit codes that are looked at, in order, before restartPolicy."},
    {"ContainerRestartRule.action", "What happens when the rule matches: Restart, or RestartAllContainers to restart the Pod in place."},
    {"exitCodes", "The exit codes that the rule matches."},
    {"terminationGracePeriodSeconds", "Seconds between the request to end and the kill."},
    {"activeDeadlineSeconds", "Seconds that the Pod may run, from its start."},
    {"nodeName", "The node the Pod runs on."},
    {"nodeSelector", "Labels that the node must have."},
    {"hostNetwork", "Use the node's network."},
    {"hostPID", "Use the node's process ids."},
    {"hostIPC", "Use the node's IPC."},
    {"shareProcessNamespace", "All containers see each other's processes."},
    {"hostname", "The name that the Pod's containers see as theirs."},
    {"imagePullSecrets", "Secrets with the credentials for registries."},
    {"serviceAccountName", "The ServiceAccount the Pod runs as."},
    {"securityContext", "User, groups, capabilities and what else bounds what processes may do."},
    {"tolerations", "Taints of nodes that the Pod puts up with."},
    {"readinessGates", "Conditions that must be true, too, for the Pod to be ready."},
    {"image", "The image's reference."},
    {"imagePullPolicy", "Always, IfNotPresent or Never."},
    {"command", "Replaces the image's entrypoint; $(NAME) is replaced by the environment's."},
    {"args", "Replaces the image's command; $(NAME) is replaced by the environment's."},
    {"workingDir", "The directory the command starts in."},
    {"ports", "Ports that the container listens on."},
    {"env", "The environment, by name."},
    {"envFrom", "The environment, from whole ConfigMaps and Secrets."},
    {"resources", "What is reserved (requests) and what cannot be exceeded (limits)."},
    {"volumeMounts", "Where the Pod's volumes are seen in the container."},
    {"livenessProbe", "The container is restarted when this fails."},
    {"readinessProbe", "The container is not ready while this fails."},
    {"startupProbe", "The other probes wait until this succeeds."},
    {"lifecycle", "What is done after the start and before the end."},
    {"tty", "Give the container a terminal."},
    {"stdin", "Keep standard input open."},
    {"phase", "Where the Pod is in its life: Pending, Running, Succeeded, Failed or Unknown."},
    {"conditions", "What is true of the object, and since when."},
    {"containerStatuses", "One for each container."},
    {"initContainerStatuses", "One for each init container."},
    {"podIP", "The Pod's address."},
    {"hostIP", "The node's address."},
    {"qosClass", "Guaranteed, Burstable or BestEffort, by requests and limits."},
    {"restartCount", "How often the container was started anew."},
    {"lastState", "How the container ended the last time."},
    {"data", "The content, by name."},
    {"binaryData", "Content that is not text, in base64."},
    {"stringData", "Text that the server puts into data."},
    {"immutable", "The content cannot be changed any more."},
};

typedef struct {
    bool v3;
    json_t *schemas; /* borrowed while it is built */
} Doc;

static void set_str(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, json_string(v));
}

static const char *words_of(const char *type, const char *field)
{
    SCOPED(mem_free) char *full = field ? mem_fmt("%s.%s", type, field) : mem_dup_str(type);
    const char *found = NULL;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_eq(words[i].name, full))
            return words[i].text;
        if (field && str_eq(words[i].name, field))
            found = words[i].text;
    }
    return found;
}

/* "io.k8s.api.core.v1.Pod". Caller frees. */
static char *schema_name(const char *type)
{
    if (str_starts(type, "events.v1."))
        return mem_fmt("io.k8s.api.%s", type);
    bool meta = str_eq(type, "ObjectMeta") || str_eq(type, "OwnerReference") || str_eq(type, "ListMeta") || str_eq(type, "Status") ||
                str_eq(type, "DeleteOptions");
    bool quantity = str_eq(type, "Quantity"), intstr = str_eq(type, "IntOrString");
    return mem_fmt("%s.%s", meta       ? "io.k8s.apimachinery.pkg.apis.meta.v1"
                            : quantity ? "io.k8s.apimachinery.pkg.api.resource"
                            : intstr   ? "io.k8s.apimachinery.pkg.util.intstr"
                                       : "io.k8s.api.core.v1",
                   type);
}

static json_t *ref_to(const Doc *d, const char *type)
{
    SCOPED(mem_free) char *name = schema_name(type);
    SCOPED(mem_free) char *path = mem_fmt("#/%s/%s", d->v3 ? "components/schemas" : "definitions", name);
    return json_pack("{s:s}", "$ref", path);
}

/* A reference that may have words beside it: in v3 only within allOf. */
static json_t *beside(const Doc *d, const char *type)
{
    if (!d->v3)
        return ref_to(d, type);
    json_t *all = json_array();
    json_array_append_new(all, ref_to(d, type));
    return json_pack("{s:o}", "allOf", all);
}

static json_t *of_type(const char *type, const char *format)
{
    json_t *o = json_pack("{s:s}", "type", type);
    if (format)
        set_str(o, "format", format);
    return o;
}

static json_t *array_of(json_t *items) /* taken */
{
    return json_pack("{s:s, s:o}", "type", "array", "items", items);
}

static json_t *map_of(json_t *values) /* taken */
{
    return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", values);
}

static void add_type(Doc *d, const TypeDesc *t);

/* Raw subtrees that are lists in Kubernetes. */
static json_t *raw_schema(const char *field)
{
    static const char *const lists[] = {"managedFields", "topologySpreadConstraints", "schedulingGates", "resourceClaims",
                                        "resourceClaimStatuses", "allocatedResourcesStatus"};
    json_t *any = json_pack("{s:s, s:b}", "type", "object", "x-kubernetes-preserve-unknown-fields", 1);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (str_eq(field, lists[i]))
            return array_of(any);
    return any;
}

static json_t *field_schema(Doc *d, const Field *f)
{
    switch (f->kind) {
    case F_STR:
        return of_type("string", NULL);
    case F_BOOL:
        return of_type("boolean", NULL);
    case F_INT:
        return of_type("integer", "int32");
    case F_INT64:
        return of_type("integer", "int64");
    case F_TIME:
        return of_type("string", "date-time");
    case F_INTSTR:
        return beside(d, "IntOrString");
    case F_QUANTITY:
        return beside(d, "Quantity");
    case F_RAW:
        return raw_schema(f->json);
    case F_OBJ:
    case F_OBJ_IN:
        add_type(d, f->sub);
        return beside(d, f->sub->name);
    case F_OBJ_LIST:
        add_type(d, f->sub);
        return array_of(ref_to(d, f->sub->name));
    case F_STR_LIST:
        return array_of(of_type("string", NULL));
    case F_INT_LIST:
        return array_of(of_type("integer", f->flags & FIELD_WIDE ? "int64" : "int32"));
    case F_STR_MAP:
        return map_of(of_type("string", NULL));
    case F_BYTES_MAP:
        return map_of(of_type("string", "byte"));
    case F_RES_MAP:
        return map_of(ref_to(d, "Quantity"));
    }
    return json_object();
}

static void add_merge(json_t *schema, const char *type, const char *field)
{
    if (str_eq(type, "EphemeralContainer"))
        type = "Container";
    for (size_t i = 0; i < ARRAY_LEN(merges); i++) {
        if (!str_eq(merges[i].type, type) || !str_eq(merges[i].field, field))
            continue;
        const char *list = merges[i].list_type;
        if (list && str_starts(list, "map-"))
            set_str(schema, "x-kubernetes-map-type", list + 4);
        else if (list)
            set_str(schema, "x-kubernetes-list-type", list);
        if (merges[i].key[0]) {
            json_t *keys = json_array();
            for (size_t k = 0; k < 2 && merges[i].key[k]; k++)
                json_array_append_new(keys, json_string(merges[i].key[k]));
            json_object_set_new(schema, "x-kubernetes-list-map-keys", keys);
        }
        if (merges[i].merge_key)
            set_str(schema, "x-kubernetes-patch-merge-key", merges[i].merge_key);
        if (merges[i].strategy)
            set_str(schema, "x-kubernetes-patch-strategy", merges[i].strategy);
    }
}

static void describe(json_t *schema, const char *type, const char *field)
{
    const char *text = words_of(type, field);
    if (text)
        set_str(schema, "description", text);
}

static void add_type(Doc *d, const TypeDesc *t)
{
    SCOPED(mem_free) char *name = schema_name(t->name);
    if (json_object_get(d->schemas, name))
        return;
    json_t *schema = json_pack("{s:s}", "type", "object"), *props = json_object();
    json_object_set_new(d->schemas, name, schema);
    describe(schema, t->name, NULL);
    json_object_set_new(schema, "properties", props);
    for (size_t i = 0; i < t->n; i++) {
        const Field *f = &t->field[i];
        json_t *p = field_schema(d, f);
        describe(p, t->name, f->json);
        add_merge(p, t->name, f->json);
        json_object_set_new(props, f->json, p);
    }
}

/* Kinds that src/api has no struct for: the fields that clients know of, the rest is anything. */
static void add_plain(Doc *d, const char *kind)
{
    static const struct { const char *kind, *field; char type; } rows[] = {
        {"Event", "involvedObject", 'o'}, {"Event", "reason", 's'}, {"Event", "message", 's'}, {"Event", "source", 'o'},
        {"Event", "firstTimestamp", 't'}, {"Event", "lastTimestamp", 't'}, {"Event", "count", 'i'}, {"Event", "type", 's'},
        {"Event", "eventTime", 't'}, {"Event", "series", 'o'}, {"Event", "action", 's'}, {"Event", "related", 'o'},
        {"Event", "reportingComponent", 's'}, {"Event", "reportingInstance", 's'}, {"events.v1.Event", "regarding", 'o'},
        {"events.v1.Event", "related", 'o'}, {"events.v1.Event", "reason", 's'}, {"events.v1.Event", "note", 's'},
        {"events.v1.Event", "type", 's'}, {"events.v1.Event", "action", 's'}, {"events.v1.Event", "eventTime", 't'},
        {"events.v1.Event", "series", 'o'}, {"events.v1.Event", "reportingController", 's'},
        {"events.v1.Event", "reportingInstance", 's'}, {"events.v1.Event", "deprecatedSource", 'o'},
        {"events.v1.Event", "deprecatedFirstTimestamp", 't'}, {"events.v1.Event", "deprecatedLastTimestamp", 't'},
        {"events.v1.Event", "deprecatedCount", 'i'},
        {"Namespace", "spec", 'o'}, {"Namespace", "status", 'o'},
        {"Node", "spec", 'o'}, {"Node", "status", 'o'}, {"ServiceAccount", "automountServiceAccountToken", 'b'},
        {"ServiceAccount", "secrets", 'l'}, {"ServiceAccount", "imagePullSecrets", 'l'},
    };
    SCOPED(mem_free) char *name = schema_name(kind);
    json_t *schema = json_pack("{s:s}", "type", "object"), *props = json_object();
    describe(schema, kind, NULL);
    json_object_set_new(props, "kind", of_type("string", NULL));
    json_object_set_new(props, "apiVersion", of_type("string", NULL));
    json_object_set_new(props, "metadata", beside(d, "ObjectMeta"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (str_eq(rows[i].kind, kind))
            json_object_set_new(props, rows[i].field,
                                rows[i].type == 's'   ? of_type("string", NULL)
                                : rows[i].type == 't' ? of_type("string", "date-time")
                                : rows[i].type == 'i' ? of_type("integer", "int32")
                                : rows[i].type == 'b' ? of_type("boolean", NULL)
                                : rows[i].type == 'l' ? array_of(raw_schema(rows[i].field))
                                                      : raw_schema(rows[i].field));
    json_object_set_new(schema, "properties", props);
    json_object_set_new(d->schemas, name, schema);
}

static void add_scalars(Doc *d)
{
    SCOPED(mem_free) char *quantity = schema_name("Quantity");
    SCOPED(mem_free) char *intstr = schema_name("IntOrString");
    json_object_set_new(d->schemas, quantity,
                        d->v3 ? json_pack("{s:[{s:s}, {s:s}]}", "oneOf", "type", "string", "type", "number") : of_type("string", NULL));
    json_object_set_new(d->schemas, intstr,
                        d->v3 ? json_pack("{s:s, s:[{s:s}, {s:s}]}", "format", "int-or-string", "oneOf", "type", "integer", "type",
                                          "string")
                              : of_type("string", "int-or-string"));
}

static const TypeDesc *type_of(const KubeKind *k)
{
    switch (k->id) {
    case KUBE_PODS:
        return &type_Pod;
    case KUBE_CONFIG_MAPS:
        return &type_ConfigMap;
    case KUBE_SECRETS:
        return &type_Secret;
    case KUBE_PVCS:
        return &type_PersistentVolumeClaim;
    case KUBE_EVENTS:
    case KUBE_EVENTS_V1:
    case KUBE_NAMESPACES:
    case KUBE_NODES:
    case KUBE_SERVICE_ACCOUNTS:
    case KUBE_KIND_N:
        break;
    }
    return NULL;
}

/* What schema_name() knows the kind, or its list, by: there are two Events. */
static char *type_name(const KubeKind *k, bool list)
{
    return mem_fmt("%s%s", k->id == KUBE_EVENTS_V1 ? "events.v1." : "", list ? k->list_kind : k->kind);
}

static json_t *gvk(const KubeKind *k, const char *kind)
{
    return json_pack("{s:s, s:s, s:s}", "group", k->group, "kind", kind, "version", "v1");
}

static void add_kind(Doc *d, const KubeKind *k)
{
    SCOPED(mem_free) char *type = type_name(k, false);
    SCOPED(mem_free) char *list_type = type_name(k, true);
    SCOPED(mem_free) char *name = schema_name(type);
    SCOPED(mem_free) char *list_name = schema_name(list_type);
    const TypeDesc *t = type_of(k);
    if (t)
        add_type(d, t);
    else
        add_plain(d, type);
    json_t *kinds = json_array(), *list_kinds = json_array();
    json_array_append_new(kinds, gvk(k, k->kind));
    json_array_append_new(list_kinds, gvk(k, k->list_kind));
    json_object_set_new(json_object_get(d->schemas, name), "x-kubernetes-group-version-kind", kinds);
    json_t *list = json_pack("{s:s, s:{s:o, s:o, s:o, s:o}, s:o}", "type", "object", "properties", "kind", of_type("string", NULL),
                             "apiVersion", of_type("string", NULL), "metadata", of_type("object", NULL), "items",
                             array_of(ref_to(d, type)), "x-kubernetes-group-version-kind", list_kinds);
    json_object_set_new(d->schemas, list_name, list);
}

/* --- paths ------------------------------------------------------------------------------------------------------ */

static void add_param(const Doc *d, json_t *params, const char *name, const char *type)
{
    json_t *p = json_pack("{s:s, s:s}", "name", name, "in", "query");
    if (d->v3)
        json_object_set_new(p, "schema", json_pack("{s:s, s:b}", "type", type, "uniqueItems", 1));
    else
        set_str(p, "type", type);
    json_array_append_new(params, p);
}

/* kubectl leaves validation to a server whose PATCH takes fieldValidation, and dry runs to one that takes dryRun. */
static json_t *operation(const Doc *d, const KubeKind *k, const char *action)
{
    bool write = str_eq(action, "post") || str_eq(action, "put") || str_eq(action, "patch");
    json_t *params = json_array(), *o = json_object();
    if (write || str_eq(action, "delete"))
        add_param(d, params, "dryRun", "string");
    if (write) {
        add_param(d, params, "fieldManager", "string");
        add_param(d, params, "fieldValidation", "string");
    }
    if (str_eq(action, "patch"))
        add_param(d, params, "force", "boolean");
    SCOPED(mem_free) char *what = type_name(k, str_eq(action, "list"));
    json_object_set_new(o, "parameters", params);
    json_t *ok = json_pack("{s:s}", "description", "OK");
    if (d->v3)
        json_object_set_new(ok, "content", json_pack("{s:{s:o}}", "application/json", "schema", ref_to(d, what)));
    else
        json_object_set_new(ok, "schema", ref_to(d, what));
    json_object_set_new(o, "responses", json_pack("{s:o}", "200", ok));
    set_str(o, "x-kubernetes-action", action);
    json_object_set_new(o, "x-kubernetes-group-version-kind", gvk(k, k->kind));
    return o;
}

static void add_paths(const Doc *d, json_t *paths, const KubeKind *k)
{
    static const struct { unsigned verb; const char *method, *action; bool named; } rows[] = {
        {VERB_LIST, "get", "list", false},
        {VERB_CREATE, "post", "post", false},
        {VERB_DELETE_COLLECTION, "delete", "deletecollection", false},
        {VERB_GET, "get", "get", true},
        {VERB_UPDATE, "put", "put", true},
        {VERB_PATCH, "patch", "patch", true},
        {VERB_DELETE, "delete", "delete", true},
    };
    SCOPED(mem_free) char *all = mem_fmt("%s%s/v1/%s%s", *k->group ? "/apis/" : "/api", k->group,
                                         k->namespaced ? "namespaces/{namespace}/" : "", k->resource);
    SCOPED(mem_free) char *one = mem_fmt("%s/{name}", all);
    json_object_set_new(paths, all, json_object());
    json_object_set_new(paths, one, json_object());
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (k->verbs & rows[i].verb)
            json_object_set_new(json_object_get(paths, rows[i].named ? one : all), rows[i].method, operation(d, k, rows[i].action));
}

/* --- documents -------------------------------------------------------------------------------------------------- */

static json_t *info(void)
{
    return json_pack("{s:s, s:s}", "title", "Kubernetes", "version", "v" KUBE_MAJOR "." KUBE_MINOR ".0");
}

static void fill(Doc *d, json_t *paths, const char *group)
{
    add_scalars(d);
    add_type(d, &type_ObjectMeta);
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (!group || str_eq(kube_kinds[i].group, group)) {
            add_kind(d, &kube_kinds[i]);
            add_paths(d, paths, &kube_kinds[i]);
        }
}

json_t *kube_openapi_v3(const char *name)
{
    const char *group = str_eq(name, "api/v1") ? "" : str_eq(name, "apis/events.k8s.io/v1") ? "events.k8s.io" : NULL;
    if (!group)
        return NULL;
    Doc d = {.v3 = true, .schemas = json_object()};
    json_t *paths = json_object();
    fill(&d, paths, group);
    return json_pack("{s:s, s:o, s:o, s:{s:o}}", "openapi", "3.0.0", "info", info(), "paths", paths, "components", "schemas", d.schemas);
}

json_t *kube_openapi_v2(void)
{
    Doc d = {.v3 = false, .schemas = json_object()};
    json_t *paths = json_object();
    fill(&d, paths, NULL);
    return json_pack("{s:s, s:o, s:o, s:o}", "swagger", "2.0", "info", info(), "paths", paths, "definitions", d.schemas);
}

/* FNV-1a: the hash is there for clients to notice a change of the document, nothing else. */
static uint64_t hash_of(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

json_t *kube_openapi_v3_index(void)
{
    static const char *const names[] = {"api/v1", "apis/events.k8s.io/v1"};
    json_t *paths = json_object();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        SCOPED(json_unref) json_t *doc = kube_openapi_v3(names[i]);
        SCOPED(mem_free) char *text = json_text(doc, false);
        SCOPED(mem_free) char *url = mem_fmt("/openapi/v3/%s?hash=%016llX", names[i], (unsigned long long)hash_of(text));
        json_object_set_new(paths, names[i], json_pack("{s:s}", "serverRelativeURL", url));
    }
    return json_pack("{s:o}", "paths", paths);
}

const uint8_t *kube_openapi_v2_protobuf(size_t *ret_n)
{
    /* Document{swagger: "2.0", info: {title: "Kubernetes", version: "v35"}, paths: {}} */
    static const uint8_t bytes[] = {0x0a, 3,   '2', '.', '0', 0x12, 0x11, 0x0a, 10,  'K', 'u', 'b',  'e',
                                    'r',  'n', 'e', 't', 'e', 's',  0x12, 3,    'v', '3', '5', 0x42, 0};
    *ret_n = sizeof bytes;
    return bytes;
}
