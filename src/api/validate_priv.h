/* validate_priv.h - what the validators share: errors in the words of k8s.io/apimachinery's field package, and names.
 *
 * The functions follow pkg/apis/core/validation/validation.go (Kubernetes 1.33..1.36) in what they check, in which order
 * and in which words. One file a subject; each takes the path of what it checks. */
#ifndef REPRISE_API_VALIDATE_PRIV_H
#define REPRISE_API_VALIDATE_PRIV_H

#include "api/names.h"
#include "api/objects.h"
#include "api/path.h"

typedef struct {
    const Pod *pod;
    const PodSpec *spec;
    const FeatureGates *gates;
    const bool *volume_ok; /* per volume: without an error of its own, so that mounts may name it */
    Report *r;
} Checker;

/* --- errors (field.Error) --- */
void v_required(Report *r, const Path *at, const char *detail); /* detail may be NULL */
void v_invalid(Report *r, const Path *at, const char *value, const char *fmt, ...) PRINTF_LIKE(4, 5);
void v_invalid_int(Report *r, const Path *at, int64_t value, const char *fmt, ...) PRINTF_LIKE(4, 5);
void v_invalid_json(Report *r, const Path *at, const TypeDesc *t, const void *obj, const char *detail);
void v_forbidden(Report *r, const Path *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
void v_duplicate(Report *r, const Path *at, const char *value);
void v_not_found(Report *r, const Path *at, const char *value);
void v_too_many(Report *r, const Path *at, size_t n, size_t max);
void v_too_long(Report *r, const Path *at, size_t max_bytes);
void v_unsupported(Report *r, const Path *at, const char *value, const char *const supported[], size_t n);
/* Unsupported unless <value> is in the list (which is in the order of the error). */
bool v_one_of(Report *r, const Path *at, const char *value, const char *const supported[], size_t n);
bool v_is_one_of(const char *value, const char *const list[], size_t n);
void v_range(Report *r, const Path *at, int64_t value, int64_t min, int64_t max);
void v_nonnegative(Report *r, const Path *at, OptInt value);

/* --- names that are no object's: see api/names.h for those --- */
void v_port_name(Report *r, const Path *at, const char *value);
bool v_port_name_ok(const char *value);
void v_port_num(Report *r, const Path *at, int64_t port);
void v_env_name(Report *r, const Path *at, const char *value);
void v_config_key(Report *r, const Path *at, const char *value);
void v_http_header(Report *r, const Path *at, const char *value);
void v_ip(Report *r, const Path *at, const char *value);
/* Paths: no "..", and relative; and not beginning with "..". */
void v_no_backsteps(Report *r, const Path *at, const char *path);
void v_local_descending(Report *r, const Path *at, const char *path);
void v_local_not_reserved(Report *r, const Path *at, const char *path);

/* --- subjects --- */
void check_meta(Report *r, const ObjectMeta *m, bool namespaced);
void check_pod_annotations(Checker *c);
void check_labels(Report *r, const Path *at, const StrMap *labels);
/* Fills <ok> (n volumes). */
void check_volumes(Checker *c, bool ok[]);
void check_field_ref(Report *r, const Path *at, const ObjectFieldSelector *s, bool volume);
void check_resource_field_ref(Report *r, const Path *at, const ResourceFieldSelector *s, bool volume);
void check_containers(Checker *c);
/* Images without surrounding space; said after everything else, as upstream does. */
void check_images(Checker *c);
void check_container_common(Checker *c, const Path *at, const Container *ctr);
void check_volume_mounts(Checker *c, const Path *at, const Container *ctr);
void check_env(Checker *c, const Path *at, const Container *ctr);
void check_probes(Checker *c, const Path *at, const Container *ctr);
void check_lifecycle(Checker *c, const Path *at, const Lifecycle *l);
void check_resources(Report *r, const Path *at, const ResourceRequirements *res, bool pod_level);
void check_security_context(Checker *c, const Path *at, const SecurityContext *sc);
void check_pod_security_context(Checker *c, const Path *at, const PodSecurityContext *sc);
/* restartPolicy and restartPolicyRules of a regular, an init and an ephemeral container. */
void check_restart_regular(Checker *c, const Path *at, const Container *ctr);
void check_restart_init(Checker *c, const Path *at, const Container *ctr);
/* Warnings for rules that a cluster accepts and that cannot do what they seem to. */
void warn_restart_rules(Checker *c, const Path *at, const Container *ctr);
/* What Kubernetes accepts and this agent cannot do. */
void check_supported(Checker *c);

#endif
