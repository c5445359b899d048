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

/* For commands that look at one Pod beside the agent that drives it: nothing is adopted, started or changed. */
/* What its shim says now; blocks for a moment. ERR_NOT_FOUND, ERR_UNAVAILABLE: no shim runs. Caller owns *out. */
MUST_USE Err *oci_peek(const char *run_dir, const char *uid, PodFacts *out);
/* RuntimeOps' exec, attach and port_forward. */
MUST_USE Err *oci_stream_exec(uv_loop_t *loop, const char *run_dir, const char *uid, const char *id, const RuntimeStreamConfig *c,
                              RuntimeStream **ret);
MUST_USE Err *oci_stream_attach(uv_loop_t *loop, const char *run_dir, const char *uid, const char *id, const RuntimeStreamConfig *c,
                                RuntimeStream **ret);
MUST_USE Err *oci_stream_port(uv_loop_t *loop, const char *run_dir, const char *uid, const char *sandbox, unsigned port,
                              const RuntimeStreamConfig *c, RuntimeStream **ret);

#endif
