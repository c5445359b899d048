/* patch.h - the four patches of the Kubernetes API, as pure functions over JSON values.
 *
 * Each takes values and gives a new one: nothing that is passed in is changed, and the result shares nothing with
 * it. What comes out is JSON, not yet an object, and may have members that are null: the caller decodes, defaults
 * and validates it as it does a PUT. Input is bounded by json_parse() (4 MiB, 256 deep); a result that would be
 * deeper, or a patch that asks for too much work, is ERR_LIMIT. Not bounded here: the length of the result.
 *
 * The words of an Err are kube-apiserver's, which takes them from evanphx/json-patch, apimachinery's strategicpatch and
 * structured-merge-diff. Err.reason is the reason of the metav1.Status: patch_err_code() has the HTTP code. */
#ifndef REPRISE_PATCH_PATCH_H
#define REPRISE_PATCH_PATCH_H

#include "wire/json.h"

/* What a kind's fields are to a patch: merge keys, strategies, list types of core/v1 (schema.c). */
typedef struct PatchType PatchType;
/* Pod, ConfigMap, Secret and PersistentVolumeClaim of "v1". Any other kind: only its metadata is known, the rest is
 * merged as maps, and lists are replaced. Never NULL; static. */
const PatchType *patch_type(const char *api_version, const char *kind);

/* RFC 6902. "BadRequest": <patch> is no list of operations; "Invalid": an operation does not apply (kube-apiserver
 * hides these words behind "the server rejected our request due to an error in our request");
 * "RequestEntityTooLarge". As upstream, `replace` of a member that is not there adds it, and a negative index counts
 * from the end. */
#define PATCH_MAX_OPS 10000
MUST_USE Err *patch_json(const json_t *doc, const json_t *patch, json_t **ret);

/* RFC 7386. "BadRequest" unless both are objects. */
MUST_USE Err *patch_merge(const json_t *doc, const json_t *patch, json_t **ret);
/* The merge patch that makes <to> of <from>, both objects. It cannot say null: a member of <to> that is null is lost. */
MUST_USE json_t *patch_merge_diff(const json_t *from, const json_t *to);

/* Strategic merge patch with its directives: $patch, $deleteFromPrimitiveList, $setElementOrder, $retainKeys.
 * "BadRequest": a directive is malformed. Most else that does not fit has no reason, which is 500, as upstream. */
MUST_USE Err *patch_strategic(const PatchType *t, const json_t *doc, const json_t *patch, json_t **ret);

/* Who changes an object, for metadata.managedFields. */
typedef struct {
    const char *manager;     /* ?fieldManager=, or the user agent up to "/"; NULL or "": "unknown" */
    const char *api_version; /* "v1" */
    const char *subresource; /* "status", "ephemeralcontainers", ...; NULL or "": the object itself */
    int64_t now_ns;          /* the time of what is changed; NS_NONE: no time is written */
    /* What this endpoint does not change and so nobody owns through it, NULL-terminated: {"status", NULL} for a Pod,
     * {"spec", "metadata.ownerReferences", NULL} for its status. NULL: nothing. */
    const char *const *reset;
} PatchManager;

/* Server-side apply of <config> on <live> (NULL: the object is created). *ret has metadata.managedFields up to date;
 * it equals <live> when nothing changed, times and all. "Conflict": other managers own what <config> changes and
 * <force> is not given; then *ret_causes (may be NULL) is a list of metav1.StatusCause, one for each field, and NULL
 * else. "BadRequest": not this apiVersion and kind, or managedFields in <config>. No reason, which is 500: <config>
 * does not fit the types of core/v1. Not done: the upgrade from `kubectl apply` by its last-applied annotation
 * (kubectl itself moves those managers before it applies), and managed fields of a list type that has changed between
 * versions; entries of another apiVersion are dropped. */
MUST_USE Err *patch_apply(const PatchType *t, const json_t *live, const json_t *config, const PatchManager *by,
                          bool force, json_t **ret, json_t **ret_causes);
/* <now> as it is stored after a create (<live> NULL), a PUT or another patch: with metadata.managedFields that say so.
 * managedFields in <now> replace those of <live>, and `[{}]` empties them, unless <by> names a subresource. What
 * cannot be read leaves <now> without them: no write fails because of them. */
MUST_USE json_t *patch_update(const PatchType *t, const json_t *live, const json_t *now, const PatchManager *by);

/* The HTTP code that goes with e->reason: 400, 404, 409, 413, 422; 500 without one, as kube-apiserver answers. */
int patch_err_code(const Err *e);
/* A metav1.Status of kind Failure; <causes> (borrowed) may be NULL. */
MUST_USE json_t *patch_err_status(const Err *e, const json_t *causes);

#endif
