/* volumes.h - a Pod's volumes on this machine: made before the sandbox, kept over in-place restarts, removed with
 * the Pod.
 *
 *   <root>/pods/<uid>/volumes/kubernetes.io~<type>/<name>   as the kubelet lays them out
 *   <root>/pods/<uid>/subpaths/<container>/<attempt>/<index>  private binds of subPaths
 *   <root>/pods/<uid>/plugins/<type>/<name>/ready           "this volume is made": it is not made anew at a restart
 *   <root>/pods/<uid>/shm                                   /dev/shm of the Pod, 64 MiB
 *   <root>/pods/<uid>/containers/<name>/<attempt>-termination
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
    bool observe;            /* volumes_container_mounts() makes nothing: the mounts are what they were when attempt <attempt> was
                              * prepared, and an error says that one of them would be another by now */
    StrVec *warnings;        /* lines that an event or the log should show are added here; NULL = nobody wants them */
} VolumesContext;

/* Makes or refreshes all volumes (idempotent: what is there keeps its content; file-backed ones by atomic ..data
 * symlink swap; hostPath types checked; fsGroup ownership set once). Err texts are the kubelet's: "MountVolume.SetUp
 * failed for volume \"v\" : configmap \"x\" not found", "references non-existent config key: k", "hostPath type
 * check failed: /p is not a directory". */
MUST_USE Err *volumes_setup(const VolumesContext *ctx);
/* Unmounts and removes everything but claims and hostPaths. Safe on half-made and on absent Pods. */
MUST_USE Err *volumes_teardown(const char *root, const char *pod_uid);
/* Its first half: nothing is mounted there any more, and what lies there can be removed as plain files. */
MUST_USE Err *volumes_detach(const char *root, const char *pod_uid);
/* Mounts of one container: volumeMounts with subPath / subPathExpr resolved race-free (openat2 beneath, private
 * bind), plus /etc/hosts, /etc/hostname, /etc/resolv.conf, the termination log (made fresh) and /dev/shm, each
 * unless a volumeMount has that very path. In the kubelet's order, then sorted by depth as containerd does, so that
 * nothing hides a later mount. Needs volumes_setup() and podfiles_write() before. <env> for subPathExpr expansion,
 * NULL = empty. Strings in *out are owned by *arena (strvec_done() it after use); out->v is the caller's to free.
 * Err reason CreateContainerConfigError. */
typedef LIST_OF(MountConfig) MountList;
MUST_USE Err *volumes_container_mounts(const VolumesContext *ctx, const Container *c, const StrVec *env,
                                       uint32_t attempt, MountList *out, StrVec *arena);
/* The character and block devices among a container's hostPath volumeMounts, for the device cgroup. The node itself
 * comes with the mount (container_path = mountPath): a runtime must only allow it, not make it. Permissions "rw", or
 * "r" when readOnly. Ownership as above. */
typedef LIST_OF(DeviceConfig) DeviceList;
MUST_USE Err *volumes_container_devices(const VolumesContext *ctx, const Container *c, DeviceList *out, StrVec *arena);
/* Host path of the termination message file of one attempt. Caller frees. */
MUST_USE char *volumes_termination_log(const char *root, const char *pod_uid, const char *container, uint32_t attempt);
/* Drops the subPath binds of all attempts of a container but the newest, and the termination files of all but the
 * newest three: the one that runs, the last one (its message is still asked for), and one that may be prepared already.
 * Running containers keep their own copies of the mounts. */
MUST_USE Err *volumes_container_release(const char *root, const char *pod_uid, const char *container);
/* What a directory takes, as du counts it: blocks, a file with several names once, no other mount. Blocking: for a helper process. */
MUST_USE Err *disk_usage(const char *path, int64_t *ret_bytes, int64_t *ret_inodes);
/* Where a volume's content lies on the host; NULL: this agent does not know such a volume. Caller frees. */
MUST_USE char *volume_path(const VolumesContext *ctx, const Volume *v);
/* Disk use of emptyDir volumes with a sizeLimit (disk medium): the first volume over its limit, or NULL. Blocking; run
 * rarely. Message as the kubelet's eviction: Usage of EmptyDir volume "x" exceeds the limit "1Mi". Caller frees. */
MUST_USE char *volumes_over_limit(const VolumesContext *ctx);

/* The container's environment as makeEnvironmentVariables of kubelet_pods.go resolves it: envFrom, then env with
 * $(VAR) expansion, fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef; service variables there are none
 * without a cluster. A name keeps the place of its first mention, the last value wins (the kubelet's own order is a
 * Go map's: random). Err reason CreateContainerConfigError with the kubelet's words ("configmap \"x\" not found",
 * "couldn't find key k in ConfigMap default/x"). */
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
