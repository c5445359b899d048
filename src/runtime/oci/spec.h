/* spec.h - the OCI runtime configuration (config.json) of one container: everything that crun or runc is told.
 * Pure but for reading /etc/passwd and /etc/group of the image through <rootfs> (openat2 RESOLVE_IN_ROOT), CDI files and
 * seccomp profiles. */
#ifndef REPRISE_RUNTIME_OCI_SPEC_H
#define REPRISE_RUNTIME_OCI_SPEC_H

#include "base/err.h"
#include "runtime/oci/image.h"
#include "runtime/runtime.h"
#include "wire/json.h"

typedef struct {
    const char *container_id, *sandbox_id, *pod_uid;
    const char *rootfs;             /* absolute, mounted */
    const char *cgroups_path;       /* "/reprise/pod<uid>/<container id>" */
    const char *hostname;           /* of the sandbox; for tests only, the UTS namespace is joined */
    const char *ns_net, *ns_ipc, *ns_uts, *ns_pid; /* paths to join; NULL = host's (net, ipc, pid) / new (pid if private) */
    bool pid_private;               /* a new pid namespace of its own */
    bool cgroup_v2;                 /* pure v2 host: private cgroup namespace */
    bool can_raise_oom_score, can_raise_rlimits; /* CAP_SYS_RESOURCE is ours (ecosystem.md 2.3) */
    const char *seccomp_root;       /* directory of Localhost profiles: <root>/seccomp */
    const char *cdi_dirs;           /* "/etc/cdi:/var/run/cdi" */
    const LIST_OF(Sysctl) *sysctls_unused; /* sandbox sysctls are set by the shim in its namespaces */
    const ContainerConfig *config;
    const Image *image;
} OciSpecInput;
/* New json_t. Errors carry the reason CreateContainerConfigError or CreateContainerError, and Kubernetes' words, e.g.
 * "container has runAsNonRoot and image will run as root". */
MUST_USE Err *oci_spec_make(const OciSpecInput *in, json_t **ret);
/* The default seccomp profile (containerd's rules) as an OCI linux.seccomp object; new reference. Depends on caps given. */
MUST_USE Err *oci_seccomp_default(const StrVec *caps, json_t **ret);
/* user of an image config ("", "1000", "app", "app:grp", "1000:1000") against the image's passwd and group. */
MUST_USE Err *oci_user_lookup(const char *rootfs, const char *user, int64_t *uid, int64_t *gid, IntList *groups);

#endif
