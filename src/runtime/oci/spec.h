/* spec.h - the OCI runtime configuration (config.json) of one container: everything that crun or runc is told.
 * Pure but for reading /etc/passwd and /etc/group of the image through <rootfs> (openat2 RESOLVE_IN_ROOT), CDI files,
 * seccomp profiles, and the numbers of host devices. The rules are those of the kubelet (kuberuntime, securitycontext)
 * and of containerd's CRI plugin; where we differ the file that does it says why. */
#ifndef REPRISE_RUNTIME_OCI_SPEC_H
#define REPRISE_RUNTIME_OCI_SPEC_H

#include "base/err.h"
#include "runtime/oci/image.h"
#include "runtime/runtime.h"
#include "wire/json.h"

/* What this host and this process can do; asked once, by oci_host_probe(). */
typedef struct {
    bool cgroup_v2;            /* pure v2 host */
    bool can_raise_oom_score;  /* CAP_SYS_RESOURCE: an oom_score_adj under our own can be written */
    bool can_raise_rlimits;
    bool swap_limit;           /* the memory controller limits swap (memory.memsw.*, memory.swap.max) */
    bool hugetlb;              /* a hugetlb controller is where the OCI runtime looks for it */
    bool apparmor, selinux;    /* the kernel has it switched on */
    int own_oom_score_adj;
    uint64_t caps;             /* bit n = capability n is in our bounding and permitted sets */
    unsigned thermal_cpus;     /* CPUs with a thermal_throttle directory, which the kubelet masks */
    char hostname[256];
} OciHost;
void oci_host_probe(OciHost *ret);

typedef struct {
    const char *container_id, *sandbox_id, *pod_uid;
    const char *rootfs;             /* absolute, mounted */
    const char *cgroups_path;       /* "/reprise/pod<uid>/<container id>" */
    const char *hostname; /* of the sandbox, for $HOSTNAME; NULL or "" = the host's. The UTS namespace is joined */
    const char *ns_net, *ns_ipc, *ns_uts, *ns_pid; /* paths to join; NULL = the host's */
    bool pid_private;               /* a new pid namespace of its own */
    bool cgroup_v2;                 /* pure v2 host: private cgroup namespace */
    bool can_raise_oom_score, can_raise_rlimits; /* CAP_SYS_RESOURCE is ours (ecosystem.md 2.3) */
    const char *seccomp_root;       /* directory of Localhost profiles: <root>/seccomp */
    const char *cdi_dirs;           /* "/etc/cdi:/var/run/cdi"; NULL = these */
    const char *volumes_dir;        /* the attempt's own directory for image VOLUMEs when the root is read-only
                                     * (spec_mounts.c);        NULL = none are made */
    const OciHost *host;            /* NULL = probed anew; cgroup_v2 and can_raise_* above win over it */
    const LIST_OF(Sysctl) *sysctls_unused; /* sandbox sysctls are set by the shim in its namespaces */
    const ContainerConfig *config;
    const Image *image;
} OciSpecInput;
/* New json_t. Errors carry the reason CreateContainerConfigError or CreateContainerError, and Kubernetes' words, e.g.
 * "container has runAsNonRoot and image will run as root". Reads nothing but small local files: safe on the loop. */
MUST_USE Err *oci_spec_make(const OciSpecInput *in, json_t **ret);

/* The default seccomp profile (containerd's rules) as an OCI linux.seccomp object; new reference. Depends on caps given
 * ("CAP_X", the bounding set), on our architecture and on the kernel's version. */
MUST_USE Err *oci_seccomp_default(const StrVec *caps, json_t **ret);
/* A profile's text, in OCI form (linux.seccomp) or in docker's (archMap, includes, excludes), as an OCI linux.seccomp
 * object; new reference. Pure but for uname(). At most 1 MiB. */
MUST_USE Err *oci_seccomp_parse(const char *text, size_t n, const StrVec *caps, json_t **ret);

/* user of an image config ("", "1000", "app", "app:grp", "1000:1000") against the image's passwd and group files.
 * *groups: the groups /etc/group lists the user in, without the primary one; caller frees groups->v (groups may be
 * NULL). A name that is in neither file is ERR_NOT_FOUND; a number that is in neither is taken as it is, with group 0.
 */
MUST_USE Err *oci_user_lookup(const char *rootfs, const char *user, int64_t *uid, int64_t *gid, IntList *groups);
/* Splits an image's user as CRI's ImageStatus does: a numeric one gives *ret_uid, a name *ret_name (caller frees), ""
 * and NULL give uid 0 as the kubelet reads it. The group is not looked at. */
void oci_image_user(const char *user, int64_t *ret_uid, char **ret_name);

#endif
