/* methods.h - the methods of CRI v1 that a kubelet needs, as one table: what is called, with what, and for how long to wait. Typed
 * calls, `reprise debug cri` and its completion are driven by it. Pure data. */
#ifndef REPRISE_RUNTIME_CRI_METHODS_H
#define REPRISE_RUNTIME_CRI_METHODS_H

#include <protobuf-c/protobuf-c.h>

#include "base/mem.h"

/* X(identifier, service, method, prefix of its messages in C, seconds to wait (0 = no end), kind)
 *
 * Times are the kubelet's (k8s.io/cri-client pkg/remote_runtime.go, remote_image.go, with its --runtime-request-timeout of 2 min):
 * RunPodSandbox has twice as long, since CNI is in it (StopPodSandbox has not); PullImage and the events have no end of their own.
 * StopContainer and ExecSync get what their request says on top: see cri_method_timeout_ns(). */
/* clang-format off */
#define CRI_METHODS(X)                                                                                           \
    X(VERSION, Runtime, Version, version, 120, CRI_UNARY)                                                        \
    X(STATUS, Runtime, Status, status, 120, CRI_UNARY)                                                           \
    X(RUNTIME_CONFIG, Runtime, RuntimeConfig, runtime_config, 120, CRI_UNARY)                                    \
    X(UPDATE_RUNTIME_CONFIG, Runtime, UpdateRuntimeConfig, update_runtime_config, 120, CRI_UNARY)                \
    X(RUN_POD_SANDBOX, Runtime, RunPodSandbox, run_pod_sandbox, 240, CRI_UNARY)                                  \
    X(STOP_POD_SANDBOX, Runtime, StopPodSandbox, stop_pod_sandbox, 120, CRI_UNARY)                               \
    X(REMOVE_POD_SANDBOX, Runtime, RemovePodSandbox, remove_pod_sandbox, 120, CRI_UNARY)                         \
    X(POD_SANDBOX_STATUS, Runtime, PodSandboxStatus, pod_sandbox_status, 120, CRI_UNARY)                         \
    X(LIST_POD_SANDBOX, Runtime, ListPodSandbox, list_pod_sandbox, 120, CRI_UNARY)                               \
    X(CREATE_CONTAINER, Runtime, CreateContainer, create_container, 120, CRI_UNARY)                              \
    X(START_CONTAINER, Runtime, StartContainer, start_container, 120, CRI_UNARY)                                 \
    X(STOP_CONTAINER, Runtime, StopContainer, stop_container, 120, CRI_UNARY)                                    \
    X(REMOVE_CONTAINER, Runtime, RemoveContainer, remove_container, 120, CRI_UNARY)                              \
    X(LIST_CONTAINERS, Runtime, ListContainers, list_containers, 120, CRI_UNARY)                                 \
    X(CONTAINER_STATUS, Runtime, ContainerStatus, container_status, 120, CRI_UNARY)                              \
    X(UPDATE_CONTAINER_RESOURCES, Runtime, UpdateContainerResources, update_container_resources, 120, CRI_UNARY) \
    X(REOPEN_CONTAINER_LOG, Runtime, ReopenContainerLog, reopen_container_log, 120, CRI_UNARY)                   \
    X(EXEC_SYNC, Runtime, ExecSync, exec_sync, 120, CRI_UNARY)                                                   \
    X(EXEC, Runtime, Exec, exec, 120, CRI_UNARY)                                                                 \
    X(ATTACH, Runtime, Attach, attach, 120, CRI_UNARY)                                                           \
    X(PORT_FORWARD, Runtime, PortForward, port_forward, 120, CRI_UNARY)                                          \
    X(CONTAINER_STATS, Runtime, ContainerStats, container_stats, 120, CRI_UNARY)                                 \
    X(LIST_CONTAINER_STATS, Runtime, ListContainerStats, list_container_stats, 120, CRI_UNARY)                   \
    X(POD_SANDBOX_STATS, Runtime, PodSandboxStats, pod_sandbox_stats, 120, CRI_UNARY)                            \
    X(LIST_POD_SANDBOX_STATS, Runtime, ListPodSandboxStats, list_pod_sandbox_stats, 120, CRI_UNARY)              \
    X(GET_CONTAINER_EVENTS, Runtime, GetContainerEvents, get_container_events, 0, CRI_STREAM)                    \
    X(LIST_IMAGES, Image, ListImages, list_images, 120, CRI_UNARY)                                               \
    X(IMAGE_STATUS, Image, ImageStatus, image_status, 120, CRI_UNARY)                                            \
    X(PULL_IMAGE, Image, PullImage, pull_image, 0, CRI_UNARY)                                                    \
    X(REMOVE_IMAGE, Image, RemoveImage, remove_image, 120, CRI_UNARY)                                            \
    X(IMAGE_FS_INFO, Image, ImageFsInfo, image_fs_info, 120, CRI_UNARY)
/* clang-format on */

#define CRI_METHOD_ID_(id, service, method, messages, s, kind) CRI_##id,
typedef enum { CRI_METHODS(CRI_METHOD_ID_) CRI_METHOD_N } CriMethod;
typedef enum { CRI_UNARY, CRI_STREAM /* one request, any number of answers */ } CriMethodKind;

typedef struct {
    const char *name; /* "RunPodSandbox" */
    const char *path; /* "/runtime.v1.RuntimeService/RunPodSandbox" */
    const ProtobufCMessageDescriptor *request, *response;
    int64_t timeout_ns; /* 0 = none */
    CriMethodKind kind;
    bool image; /* of the ImageService, which may be at an address of its own */
} CriMethodInfo;

extern const CriMethodInfo cri_methods[CRI_METHOD_N]; /* by CriMethod */

/* By name, in any case ("runpodsandbox"), or by path; NULL = none. */
const CriMethodInfo *cri_method_named(const char *name);
/* How long the kubelet waits for this very request: StopContainer's and ExecSync's `timeout` is added, and an ExecSync without one
 * may take as long as it likes (0). <request> may be NULL. */
int64_t cri_method_timeout_ns(const CriMethodInfo *m, const ProtobufCMessage *request);

#endif
