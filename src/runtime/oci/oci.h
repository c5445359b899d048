/* oci.h - the embedded runtime: images, CNI, and one reprise-shim for each Pod, behind runtime.h. */
#ifndef REPRISE_RUNTIME_OCI_OCI_H
#define REPRISE_RUNTIME_OCI_OCI_H

#include <uv.h>

#include "runtime/oci/cni.h"
#include "runtime/oci/image.h"
#include "runtime/runtime.h"

typedef struct {
    uv_loop_t *loop;
    const char *root;      /* /var/lib/reprise */
    const char *run_dir;   /* /run/reprise */
    const char *log_dir;   /* /var/log/pods */
    const char *shim_path; /* reprise-shim; NULL = beside our own executable, then PATH */
    const char *oci_runtime; /* "crun", "runc" or a path; NULL = the first found */
    CniConfig cni;
    int64_t log_max_bytes; /* rotation, 10 MiB as the kubelet's containerLogMaxSize */
    int log_max_files;     /* 5 */
} OciRuntimeConfig;
/* Finds the OCI runtime and its mode (crun refuses hybrid cgroup hosts as they stand: then run it under a private mount
 * namespace that hides the v2 controllers, see ARCHITECTURE.md), reconnects to the shims that live, and adopts what they
 * hold. ERR_UNSUPPORTED says what the machine lacks. */
MUST_USE Err *oci_runtime_open(const OciRuntimeConfig *c, Runtime **ret);
ImageStore *oci_runtime_images(Runtime *rt);

#endif
