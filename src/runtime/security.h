/* security.h - what the security contexts of a Pod and a container come to, whichever runtime applies it. Pure. */
#ifndef REPRISE_RUNTIME_SECURITY_H
#define REPRISE_RUNTIME_SECURITY_H

#include "api/types.h"
#include "base/err.h"

/* kubelet pkg/securitycontext/util.go, procMount Default; NULL-terminated. */
extern const char *const security_masked_paths[], *const security_readonly_paths[];

/* The container's over the Pod's. */
OptInt security_pick(OptInt container, OptInt pod);
/* kubelet's verifyRunAsNonRoot, before an attempt is made: <image_uid> -1 = the image names a user, <image_user>.
 * <pod> is "name_namespace(uid)" or NULL. Reason CreateContainerConfigError. */
MUST_USE Err *security_verify_non_root(const SecurityContext *sec, const PodSecurityContext *pod_sec, int64_t image_uid,
                                       const char *image_user, const char *pod, const char *container);

#endif
