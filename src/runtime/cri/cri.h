/* cri.h - containerd, CRI-O or any other CRI v1 runtime, behind runtime.h. */
#ifndef REPRISE_RUNTIME_CRI_CRI_H
#define REPRISE_RUNTIME_CRI_CRI_H

#include <uv.h>

#include "runtime/runtime.h"

/* How ends of containers are learnt. */
typedef enum {
    CRI_EVENTS_AUTO,       /* everything that the socket offers */
    CRI_EVENTS_CRI,        /* GetContainerEvents (containerd 1.7 and later, CRI-O with enable_pod_events) */
    CRI_EVENTS_CONTAINERD, /* containerd's own stream of task events, on the same socket */
    CRI_EVENTS_RELIST      /* only listing again: fast after an action, at least once a second */
} CriEvents;
extern const char *const cri_events_names[]; /* "auto", "cri", "containerd", "relist", NULL */

typedef struct {
    uv_loop_t *loop;
    const char *endpoint;       /* "unix:///run/containerd/containerd.sock" */
    const char *image_endpoint; /* NULL = the same */
    const char *root;           /* tells our containers from those of others: each state directory has its own */
    int64_t request_timeout_ns; /* of a call, the kubelet's --runtime-request-timeout; 0 = 2 min */
    CriEvents events;
    int64_t log_max_bytes;      /* rotation, 10 MiB as the kubelet's containerLogMaxSize; 0 = none */
    int log_max_files;          /* 5 */
    int64_t log_look_ns;        /* how often sizes are looked at, the kubelet's containerLogMonitorInterval; 0 = 10 s */
    int64_t open_timeout_ns;    /* of opening altogether; 0 = 10 s: a runtime that systemd is just starting is waited for */
    void (*on_warning)(void *arg, const char *text); /* NULL = not told */
    void *warning_arg;
} CriRuntimeConfig;
/* Connects, and learns what of ours the runtime holds: waits for it, at most open_timeout_ns. The error says what is wrong with the endpoint and
 * what to do. */
MUST_USE Err *cri_runtime_open(const CriRuntimeConfig *c, Runtime **ret);

/* A stream of runtime.h from the URL that CRI's Exec, Attach (<port> 0) or PortForward gave: for commands that ask by themselves. */
MUST_USE Err *cri_stream_dial(uv_loop_t *loop, const char *url, unsigned port, const RuntimeStreamConfig *c, RuntimeStream **ret);

#endif
