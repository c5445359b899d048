/* meta.h - the life of an object in the store: what the server fills in when it is made, what an update may change, how it is deleted.
 * After apiserver's registry/rest/{create,update,delete}.go, and pkg/registry/core/pod/strategy.go and
 * pkg/apis/core/validation/validation.go for what each kind allows.
 *
 * Objects are the structs of api/types.h; the caller decodes, defaults and (for a create) validates them with src/api. Clock, uid and
 * random bits are arguments. */
#ifndef REPRISE_KUBE_META_H
#define REPRISE_KUBE_META_H

#include "api/objects.h"
#include "kube/request.h"

/* What a create needs from outside. */
typedef struct {
    int64_t now_ns;
    const char *uid;          /* a new UUID */
    const uint8_t *random;    /* META_RANDOM bytes, for generateName */
} MetaSource;
#define META_RANDOM 5

/* base and 5 characters of apimachinery's alphabet, which has no vowels and nothing to mistake; base is cut at 58. Caller frees. */
MUST_USE char *meta_generate_name(const char *base, const uint8_t random[META_RANDOM]);

/* Fills metadata of a new object for <r> (a create): name from generateName, namespace from the path, uid, creationTimestamp,
 * generation (Pods: 1), and takes away what only the server sets. Refused: a namespace that is not the path's, a name that is neither
 * given nor generated (as kube-apiserver's validation words it, as an Invalid). */
MUST_USE json_t *meta_create(ObjectMeta *m, const KubeRequest *r, const MetaSource *s);
/* status = {phase: Pending, qosClass}, whatever was sent. */
void pod_reset_status(Pod *p);

/* The name and the namespace of an update's or an apply's object against the path's; fills an empty namespace. */
MUST_USE json_t *meta_check_path(ObjectMeta *m, const KubeRequest *r);
/* resourceVersion against the stored one's: a Conflict; an empty one is taken (unconditional update). */
MUST_USE json_t *meta_check_version(const ObjectMeta *next, const ObjectMeta *old, KubeRef what);

/* What an update cannot change is put back: uid when not given, creationTimestamp, generation, deletionTimestamp and its grace. */
void meta_prepare_update(ObjectMeta *next, const ObjectMeta *old);
/* ValidateObjectMetaAccessorUpdate(): immutable members, new finalizers on what is being deleted. */
void meta_validate_update(const ObjectMeta *next, const ObjectMeta *old, Report *r);

/* PUT or PATCH of the Pod itself: status is put back and generation raised when the spec changed. <next> is changed; errors go to <r>,
 * the first of them as upstream orders them: metadata, spec as a create checks it, then what may not change. */
void pod_update(Pod *next, const Pod *old, const FeatureGates *gates, Report *r);
/* .../status: everything but status (and labels, annotations, finalizers) is put back. */
void pod_update_status(Pod *next, const Pod *old, Report *r);
/* .../ephemeralcontainers: only they are taken, and only added to. */
void pod_update_ephemeral(Pod *next, const Pod *old, const FeatureGates *gates, Report *r);
void config_map_update(ConfigMap *next, const ConfigMap *old, Report *r);
void secret_update(Secret *next, const Secret *old, Report *r);

typedef enum {
    DELETE_NOW,     /* take it out of the store */
    DELETE_UPDATE,  /* store it as it is now: it is being deleted */
    DELETE_PENDING, /* nothing to do: it was being deleted before, and sooner or at the same time */
} DeleteVerdict;
/* uid and resourceVersion of the preconditions against the object's. */
MUST_USE json_t *meta_check_preconditions(const ObjectMeta *m, const DeleteOptions *o, KubeRef what);
/* A Pod's grace is what is asked for, else its own; none if it was never bound to a node or has ended. With finalizers it stays until
 * they are gone. Sets deletionTimestamp, deletionGracePeriodSeconds and generation of <p>. */
DeleteVerdict pod_delete(Pod *p, const DeleteOptions *o, int64_t now_ns);
/* Anything that has no grace: goes at once unless it has finalizers. */
DeleteVerdict meta_delete(ObjectMeta *m, int64_t now_ns);
/* After an update: is this the end of what is being deleted (no finalizer left, no grace left)? */
bool meta_delete_done(const ObjectMeta *m);

/* What strict decoding found, by fieldValidation: Strict leaves the report as it is, Warn makes warnings of unknown and repeated
 * fields, Ignore drops them. */
void meta_field_validation(Report *r, FieldValidation v);
/* The value of a Warning header: 299 - "unknown field \"spec.foo\"". Caller frees; NULL if the text cannot stand in a header. */
MUST_USE char *kube_warning(const char *text);

#endif
