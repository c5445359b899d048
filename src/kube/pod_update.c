/* pod_update.c - what an update of each kind may change (pkg/apis/core/validation/validation.go, ValidatePodUpdate and its siblings). */
#include "kube/diff.h"
#include "kube/meta.h"

static bool same_spec(const PodSpec *a, const PodSpec *b)
{
    return api_equal(&type_PodSpec, a, b);
}

static void put_back_status(Pod *next, const Pod *old)
{
    api_done(&type_PodStatus, &next->status);
    api_copy_into(&type_PodStatus, &next->status, &old->status);
}

static void put_back_spec(Pod *next, const Pod *old)
{
    api_done(&type_PodSpec, &next->spec);
    api_copy_into(&type_PodSpec, &next->spec, &old->spec);
}

static void raise_generation(Pod *next, const Pod *old)
{
    if (!same_spec(&next->spec, &old->spec))
        next->metadata.generation = (OptInt){true, old->metadata.generation.v + 1};
}

/* --- the Pod itself --------------------------------------------------------------------------------------------- */

/* false: there is no point in comparing more. Images are validated with the rest of the spec. */
static bool same_containers(Report *r, const char *path, const ContainerList *next, const ContainerList *old)
{
    if (next->n == old->n)
        return true;
    report_add(r, CAUSE_FORBIDDEN, path, "Forbidden: pod updates may not add or remove containers");
    return false;
}

static bool check_deadline(Report *r, OptInt next, OptInt old)
{
    static const char path[] = "spec.activeDeadlineSeconds";
    if (next.set && (next.v < 0 || next.v > INT32_MAX)) {
        report_add(r, CAUSE_INVALID, path, "Invalid value: %lld: must be between 0 and 2147483647, inclusive", (long long)next.v);
        return false;
    }
    if (next.set && old.set && old.v < next.v) {
        report_add(r, CAUSE_INVALID, path, "Invalid value: %lld: must be less than or equal to previous value", (long long)next.v);
        return false;
    }
    if (!next.set && old.set)
        report_add(r, CAUSE_INVALID, path, "Invalid value: null: must not update from a positive integer to nil value");
    return true;
}

static bool same_toleration(const Toleration *a, const Toleration *b)
{
    return str_eq(a->key, b->key) && str_eq(a->operator_, b->operator_) && str_eq(a->value, b->value) && str_eq(a->effect, b->effect);
}

static void check_tolerations(Report *r, const PodSpec *next, const PodSpec *old)
{
    LIST_EACH(o, &old->tolerations) {
        bool found = false;
        LIST_EACH(t, &next->tolerations)
            found = found || same_toleration(t, o);
        if (!found) {
            report_add(r, CAUSE_FORBIDDEN, "spec.tolerations",
                       "Forbidden: existing toleration can not be modified except its tolerationSeconds");
            return;
        }
    }
}

/* <next> as it would be without what an update may change. The lists have the same lengths. */
static json_t *without_allowed(const PodSpec *next, const PodSpec *old)
{
    static const char *const lists[] = {"containers", "initContainers"};
    json_t *a = api_encode(&type_PodSpec, next);
    SCOPED(json_unref) json_t *b = api_encode(&type_PodSpec, old);
    static const char *const keys[] = {"activeDeadlineSeconds", "schedulingGates", "tolerations"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        json_t *v = json_object_get(b, keys[i]);
        if (v)
            json_object_set(a, keys[i], v);
        else
            json_object_del(a, keys[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const json_t *x = json_object_get(a, lists[i]), *y = json_object_get(b, lists[i]);
        for (size_t k = 0; k < json_array_size(x); k++) {
            json_t *image = json_object_get(json_array_get(y, k), "image");
            if (image)
                json_object_set(json_array_get(x, k), "image", image);
        }
    }
    OptInt grace = old->termination_grace_period_seconds, now = next->termination_grace_period_seconds;
    if (grace.set && grace.v < 0 && now.set && now.v == 1)
        json_object_set_new(a, "terminationGracePeriodSeconds", json_integer(grace.v));
    return a;
}

static void check_spec_change(Report *r, const PodSpec *next, const PodSpec *old)
{
    if (!same_containers(r, "spec.containers", &next->containers, &old->containers) ||
        !same_containers(r, "spec.initContainers", &next->init_containers, &old->init_containers) ||
        !check_deadline(r, next->active_deadline_seconds, old->active_deadline_seconds))
        return;
    check_tolerations(r, next, old);
    if (same_spec(next, old))
        return;
    SCOPED(json_unref) json_t *a = without_allowed(next, old);
    SCOPED(json_unref) json_t *b = api_encode(&type_PodSpec, old);
    /* By value, as same_spec() compares: "1000m" is "1". */
    SCOPED(report_done) Report ignored = {0};
    void *spec = api_decode(&type_PodSpec, a, "", DECODE_LENIENT, &ignored);
    bool same = same_spec(spec, old);
    api_free(&type_PodSpec, spec);
    if (same)
        return;
    SCOPED(mem_free) char *diff = json_diff(b, a);
    report_add(r, CAUSE_FORBIDDEN, "spec",
               "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
               "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
               "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n%s", diff);
}

void pod_update(Pod *next, const Pod *old, const FeatureGates *gates, Report *r)
{
    meta_prepare_update(&next->metadata, &old->metadata);
    put_back_status(next, old);
    raise_generation(next, old);
    meta_validate_update(&next->metadata, &old->metadata, r);
    pod_validate_stored(next, gates, r);
    check_spec_change(r, &next->spec, &old->spec);
}

/* --- subresources ----------------------------------------------------------------------------------------------- */

void pod_update_status(Pod *next, const Pod *old, Report *r)
{
    put_back_spec(next, old);
    meta_prepare_update(&next->metadata, &old->metadata);
    /* pods/status does not touch owner references: old kubelets broke them (podStatusStrategy). */
    Pod *copy = api_copy(&type_Pod, old);
    __typeof__(next->metadata.owner_references) owners = next->metadata.owner_references;
    next->metadata.owner_references = copy->metadata.owner_references;
    copy->metadata.owner_references = owners;
    pod_free(copy);
    next->metadata.deletion_timestamp = old->metadata.deletion_timestamp;
    if (str_empty(next->status.qos_class))
        mem_set_str(&next->status.qos_class, old->status.qos_class);
    meta_validate_update(&next->metadata, &old->metadata, r);
    if (!str_eq(str_or(next->status.qos_class, ""), str_or(old->status.qos_class, "")))
        report_add(r, CAUSE_INVALID, "status.qosClass", "Invalid value: \"%s\": field is immutable", str_or(next->status.qos_class, ""));
}

static const json_t *find(const json_t *list, const char *name)
{
    size_t i;
    json_t *c;
    json_array_foreach(list, i, c)
        if (str_eq(json_str(c, "name"), name))
            return c;
    return NULL;
}

/* Existing ones stay as they are; patches do not keep the order, so each is looked up by its name. */
static void check_ephemeral(Report *r, const PodSpec *next, const PodSpec *old)
{
    static const char path[] = "spec.ephemeralContainers";
    SCOPED(json_unref) json_t *a = api_encode(&type_PodSpec, old);
    SCOPED(json_unref) json_t *b = api_encode(&type_PodSpec, next);
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(a, "ephemeralContainers"), i, c)
    {
        const json_t *now = find(json_object_get(b, "ephemeralContainers"), json_str(c, "name"));
        SCOPED(str_done) Str name = {0};
        str_add_quoted(&name, str_or(json_str(c, "name"), ""));
        if (!now) {
            report_add(r, CAUSE_FORBIDDEN, path, "Forbidden: existing ephemeral containers %s may not be removed\n", name.p);
        } else if (!json_equal(c, now)) {
            SCOPED(mem_free) char *diff = json_diff(c, now);
            report_add(r, CAUSE_FORBIDDEN, path, "Forbidden: existing ephemeral containers %s may not be changed\n%s", name.p, diff);
        }
    }
}

void pod_update_ephemeral(Pod *next, const Pod *old, const FeatureGates *gates, Report *r)
{
    ContainerList mine = next->spec.ephemeral_containers;
    next->spec.ephemeral_containers = (ContainerList){0};
    put_back_spec(next, old);
    ContainerList theirs = next->spec.ephemeral_containers;
    next->spec.ephemeral_containers = mine;
    /* The list that is in nobody's Pod any more goes the way a whole spec does. */
    PodSpec rest = {.ephemeral_containers = theirs};
    api_done(&type_PodSpec, &rest);
    /* metav1.ResetObjectMetaForStatus(): labels, annotations and the like are not changed here; the version is still checked. */
    char *version = mem_dup_str(next->metadata.resource_version);
    api_done(&type_ObjectMeta, &next->metadata);
    api_copy_into(&type_ObjectMeta, &next->metadata, &old->metadata);
    if (!str_empty(version))
        mem_set_str(&next->metadata.resource_version, version);
    free(version);
    put_back_status(next, old);
    raise_generation(next, old);
    if (strmap_get(&old->metadata.annotations, "kubernetes.io/config.mirror")) {
        report_add(r, CAUSE_FORBIDDEN, "[]", "Forbidden: static pods do not support ephemeral containers");
        return;
    }
    pod_validate_stored(next, gates, r);
    check_ephemeral(r, &next->spec, &old->spec);
}

/* --- objects beside the Pod ------------------------------------------------------------------------------------- */

static void immutable_data(Report *r, const char *path, bool same)
{
    if (!same)
        report_add(r, CAUSE_FORBIDDEN, path, "Forbidden: field is immutable when `immutable` is set");
}

static bool same_map(const StrMap *a, const StrMap *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = str_eq(a->v[i].key, b->v[i].key) && str_eq(a->v[i].value, b->v[i].value);
    return same;
}

static bool same_bytes(const BytesMap *a, const BytesMap *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = str_eq(a->v[i].key, b->v[i].key) && a->v[i].n == b->v[i].n &&
               (!a->v[i].n || memcmp(a->v[i].bytes, b->v[i].bytes, a->v[i].n) == 0);
    return same;
}

static bool is_set(OptBool b)
{
    return b.set && b.v;
}

void config_map_update(ConfigMap *next, const ConfigMap *old, Report *r)
{
    meta_prepare_update(&next->metadata, &old->metadata);
    meta_validate_update(&next->metadata, &old->metadata, r);
    if (is_set(old->immutable)) {
        immutable_data(r, "immutable", is_set(next->immutable));
        immutable_data(r, "data", same_map(&next->data, &old->data));
        immutable_data(r, "binaryData", same_bytes(&next->binary_data, &old->binary_data));
    }
    config_map_validate(next, r);
}

void secret_update(Secret *next, const Secret *old, Report *r)
{
    meta_prepare_update(&next->metadata, &old->metadata);
    if (str_empty(next->type))
        mem_set_str(&next->type, old->type);
    meta_validate_update(&next->metadata, &old->metadata, r);
    if (!str_eq(next->type, old->type)) {
        SCOPED(str_done) Str s = {0};
        str_add_quoted(&s, str_or(next->type, ""));
        report_add(r, CAUSE_INVALID, "type", "Invalid value: %s: field is immutable", s.p);
    }
    if (is_set(old->immutable)) {
        immutable_data(r, "immutable", is_set(next->immutable));
        immutable_data(r, "data", same_bytes(&next->data, &old->data));
    }
    secret_validate(next, r);
}
