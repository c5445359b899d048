/* volumes.h - a Pod's volumes on this machine: made before the sandbox, kept over in-place restarts, removed with the Pod.
 *
 *   <root>/pods/<uid>/volumes/kubernetes.io~<type>/<name>   as the kubelet lays them out
 *   <root>/pods/<uid>/subpaths/<container>/<index>          private binds of subPaths
 *   <root>/pvc/<namespace>/<claim>                          kept after the Pod
 * All mounts are made in the host's mount namespace, so that any runtime sees them. Synchronous: small local work. */
#ifndef REPRISE_NODE_VOLUMES_H
#define REPRISE_NODE_VOLUMES_H

#include "api/objects.h"
#include "base/err.h"
#include "runtime/runtime.h"

typedef struct {
    const char *root;        /* state directory */
    const Pod *pod;
    const Objects *objects;  /* ConfigMaps, Secrets and claims that go with it */
    const char *const *host_ips;
    size_t n_host_ips;
} VolumesContext;

/* Makes or refreshes all volumes (idempotent; file-backed ones by atomic ..data symlink swap; hostPath types checked;
 * fsGroup ownership set once). Err texts are the kubelet's: "MountVolume.SetUp failed for volume \"v\" : configmap
 * \"x\" not found", "references non-existent config key: k", "hostPath type check failed: /p is not a directory". */
MUST_USE Err *volumes_setup(const VolumesContext *ctx);
/* Unmounts and removes everything but claims and hostPaths. Safe on half-made and on absent Pods. */
MUST_USE Err *volumes_teardown(const char *root, const char *pod_uid);
/* Mounts of one container: volumeMounts with subPath / subPathExpr resolved race-free (openat2 beneath, private bind),
 * plus /etc/hosts, /etc/hostname, /etc/resolv.conf, the termination log and /dev/shm. <env> for subPathExpr expansion.
 * Strings in *out are owned by *arena (strvec_done() it after use). */
typedef LIST_OF(MountConfig) MountList;
MUST_USE Err *volumes_container_mounts(const VolumesContext *ctx, const Container *c, const StrVec *env,
                                       uint32_t attempt, MountList *out, StrVec *arena);
/* Drops the subPath binds of a container's earlier attempts. */
MUST_USE Err *volumes_container_release(const char *root, const char *pod_uid, const char *container);
/* Disk use of emptyDir volumes with a sizeLimit (disk medium): the first volume over its limit, or NULL. Blocking; run
 * rarely. Message as the kubelet's eviction: Usage of EmptyDir volume "x" exceeds the limit "1Mi". Caller frees. */
MUST_USE char *volumes_over_limit(const VolumesContext *ctx);

/* env.h half: the container's environment, kubelet's order: service links (none here), envFrom, env with $(VAR)
 * expansion, fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef. Err reason CreateContainerConfigError with the
 * kubelet's words ("configmap \"x\" not found", "couldn't find key k in ConfigMap default/x"). */
MUST_USE Err *env_resolve(const VolumesContext *ctx, const Container *c, const char *pod_ip, const StrList *pod_ips,
                          StrVec *out);
/* Kubernetes' $(VAR) expansion ($$ escapes; unknown stays). <env> holds "K=V". Caller frees. Pure. */
MUST_USE char *env_expand(const char *text, const StrVec *env);
/* command or args with expansion applied to each. Pure. */
void env_expand_list(const StrList *in, const StrVec *env, StrVec *out);
/* Value of a fieldRef path ("metadata.name", "metadata.labels['x']", "status.podIP", "spec.nodeName", ...). */
MUST_USE Err *field_ref_value(const VolumesContext *ctx, const char *path, const char *pod_ip, const StrList *pod_ips,
                              char **ret);

#endif
