/* plain.c - the field tables of plain.h, in the order of k8s.io/api/core/v1/types.go. */
#include "apiserver/plain.h"

#define ROW(T, k, m, js, ...) {.json = (js), .kind = (k), .off = (uint32_t)offsetof(T, m), __VA_ARGS__}
#define HEAD(T)                                                                                                        \
    ROW(T, F_STR, api_version, "apiVersion"), ROW(T, F_STR, kind, "kind"), ROW(T, F_OBJ_IN, metadata, "metadata", .sub = &type_ObjectMeta)
#define DESC(name_, T, rows) const TypeDesc type_##name_ = {.name = #name_, .size = sizeof(T), .field = (rows), .n = ARRAY_LEN(rows)}

static const Field spec_status_rows[] = {
    HEAD(SpecStatus),
    ROW(SpecStatus, F_RAW, spec, "spec", .flags = FIELD_PTR),
    ROW(SpecStatus, F_RAW, status, "status", .flags = FIELD_PTR),
};
DESC(Namespace, SpecStatus, spec_status_rows);
DESC(Node, SpecStatus, spec_status_rows);

static const Field local_reference_rows[] = {ROW(LocalObjectReference, F_STR, name, "name")};
static DESC(LocalObjectReference, LocalObjectReference, local_reference_rows);
static const Field service_account_rows[] = {
    HEAD(ServiceAccount),
    ROW(ServiceAccount, F_RAW, secrets, "secrets", .flags = FIELD_PTR),
    ROW(ServiceAccount, F_OBJ_LIST, image_pull_secrets, "imagePullSecrets", .sub = &type_LocalObjectReference),
    ROW(ServiceAccount, F_BOOL, automount_service_account_token, "automountServiceAccountToken", .flags = FIELD_PTR),
};
DESC(ServiceAccount, ServiceAccount, service_account_rows);

static const Field reference_rows[] = {
    ROW(ObjectReference, F_STR, kind, "kind"),
    ROW(ObjectReference, F_STR, namespace_, "namespace"),
    ROW(ObjectReference, F_STR, name, "name"),
    ROW(ObjectReference, F_STR, uid, "uid"),
    ROW(ObjectReference, F_STR, api_version, "apiVersion"),
    ROW(ObjectReference, F_STR, resource_version, "resourceVersion"),
    ROW(ObjectReference, F_STR, field_path, "fieldPath"),
};
static DESC(ObjectReference, ObjectReference, reference_rows);
static const Field event_rows[] = {
    HEAD(Event),
    ROW(Event, F_OBJ_IN, involved_object, "involvedObject", .sub = &type_ObjectReference),
    ROW(Event, F_STR, reason, "reason"),
    ROW(Event, F_STR, message, "message"),
    ROW(Event, F_RAW, source, "source", .flags = FIELD_PTR),
    ROW(Event, F_TIME, first_timestamp, "firstTimestamp", .flags = FIELD_ALWAYS),
    ROW(Event, F_TIME, last_timestamp, "lastTimestamp", .flags = FIELD_ALWAYS),
    ROW(Event, F_INT, count, "count"),
    ROW(Event, F_STR, type, "type"),
    ROW(Event, F_STR, event_time, "eventTime"),
    ROW(Event, F_RAW, series, "series", .flags = FIELD_PTR),
    ROW(Event, F_STR, action, "action"),
    ROW(Event, F_OBJ, related, "related", .flags = FIELD_PTR, .sub = &type_ObjectReference),
    ROW(Event, F_STR, reporting_component, "reportingComponent", .flags = FIELD_ALWAYS),
    ROW(Event, F_STR, reporting_instance, "reportingInstance", .flags = FIELD_ALWAYS),
};
DESC(Event, Event, event_rows);
