/* status.h - every answer that is not an object: metav1.Status, in the words of k8s.io/apimachinery/pkg/api/errors.
 *
 * Each function returns a new json_t with kind, apiVersion, metadata, status, message, reason, details and code, as Go writes them;
 * kube_status_code() is the HTTP status to send with it. */
#ifndef REPRISE_KUBE_STATUS_H
#define REPRISE_KUBE_STATUS_H

#include "api/codec.h"
#include "kube/kinds.h"
#include "wire/json.h"

/* What an answer is about; members may be NULL. resource is a plural, or a kind where the answer is Invalid. */
typedef struct { const char *group, *resource, *name; } KubeRef;

int kube_status_code(const json_t *status);
/* kind Status, status Success, code 200 and details of what was deleted: what DELETE answers. uid may be NULL. */
MUST_USE json_t *kube_status_success(KubeRef what, const char *uid);

MUST_USE json_t *kube_not_found(KubeRef what);       /* pods "x" not found */
MUST_USE json_t *kube_no_resource(void);             /* the server could not find the requested resource */
MUST_USE json_t *kube_already_exists(KubeRef what);
MUST_USE json_t *kube_name_conflict(KubeRef what);   /* generateName met a name that exists */
MUST_USE json_t *kube_conflict(KubeRef what, const char *why); /* Operation cannot be fulfilled on ... */
/* The resourceVersion that was sent is not the object's. */
MUST_USE json_t *kube_conflict_version(KubeRef what);
MUST_USE json_t *kube_bad_request(const char *fmt, ...) PRINTF_LIKE(1, 2);
MUST_USE json_t *kube_invalid(const Report *r, KubeRef what); /* 422 with causes, or 400 for what could not be decoded */
MUST_USE json_t *kube_method_not_allowed(KubeRef what, const char *action); /* action: "delete" */
/* The method is none of the path's: the words of go-restful's default. */
MUST_USE json_t *kube_method_unknown(void);
MUST_USE json_t *kube_not_acceptable(const char *accepted);        /* "application/json, application/yaml" */
MUST_USE json_t *kube_unsupported_media_type(const char *accepted);
MUST_USE json_t *kube_expired(const char *fmt, ...) PRINTF_LIKE(1, 2); /* 410, reason Expired */
/* too old resource version: 5 (10) */
MUST_USE json_t *kube_expired_version(int64_t asked, int64_t oldest);
MUST_USE json_t *kube_gone(const char *message);
MUST_USE json_t *kube_too_many_requests(const char *message, int retry_after_s);
MUST_USE json_t *kube_too_large(const char *message);   /* Request entity too large: ... */
MUST_USE json_t *kube_body_too_large(int64_t max_bytes); /* ... limit is N */
MUST_USE json_t *kube_unauthorized(void);
/* <why> follows the colon; group, resource and name may all be empty. */
MUST_USE json_t *kube_forbidden(KubeRef what, const char *why);
/* User "x" cannot list resource "pods" in API group "" in the namespace "y". sub, namespace_ and reason may be NULL; path instead
 * of a resource when what.resource is NULL. */
MUST_USE json_t *kube_forbidden_to(KubeRef what, const char *user, const char *verb, const char *sub, const char *namespace_,
                                   const char *path, const char *reason);
MUST_USE json_t *kube_internal(const char *message);     /* Internal error occurred: ... */
MUST_USE json_t *kube_unavailable(const char *message);
MUST_USE json_t *kube_timeout(const char *message, int retry_after_s); /* Timeout: ... */

/* The one place where an Err (borrowed) becomes an answer. A reason that is one of metav1's (NotFound, Conflict, BadRequest, Expired,
 * ...) decides; else the kind does. The text is the whole chain's. */
MUST_USE json_t *kube_status_of(const Err *e, KubeRef what);

#endif
