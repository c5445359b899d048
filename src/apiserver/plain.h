/* plain.h - the kinds that nothing decides about, as structs: what an update may touch has members, the rest is kept as it came. */
#ifndef REPRISE_APISERVER_PLAIN_H
#define REPRISE_APISERVER_PLAIN_H

#include "api/codec.h"

/* How each object begins, those of api/types.h too. */
typedef struct {
    char *api_version, *kind;
    ObjectMeta metadata;
} ObjectHead;

typedef struct {
    char *api_version, *kind;
    ObjectMeta metadata;
    Raw spec, status;
} SpecStatus; /* Namespace, Node; a PersistentVolumeClaim is laid out the same way */

typedef struct {
    char *api_version, *kind;
    ObjectMeta metadata;
    Raw secrets;
    LIST_OF(LocalObjectReference) image_pull_secrets;
    OptBool automount_service_account_token;
} ServiceAccount;

typedef struct { char *kind, *namespace_, *name, *uid, *api_version, *resource_version, *field_path; } ObjectReference;
typedef struct {
    char *api_version, *kind;
    ObjectMeta metadata;
    ObjectReference involved_object;
    char *reason, *message;
    Raw source;
    OptTime first_timestamp, last_timestamp;
    OptInt count;
    char *type;
    char *event_time; /* metav1.MicroTime: its text */
    Raw series;
    char *action;
    ObjectReference *related;
    char *reporting_component, *reporting_instance;
} Event;

extern const TypeDesc type_Namespace, type_Node, type_ServiceAccount, type_Event;

#endif
