/* cni.h - Pod networks by CNI plugins (spec 0.3.1 .. 1.0.0): ADD, CHECK, DEL, asynchronous.
 *
 * One plugin runs at a time for a sandbox, and at most a few in all: later requests wait in a queue, in order. What a
 * sandbox was attached with (exact configuration, runtime arguments, result) is on disk before the first plugin runs,
 * so DEL and CHECK work after a crash and after the configuration changed. Interface eth0; `lo` is the shim's. */
#ifndef REPRISE_RUNTIME_OCI_CNI_H
#define REPRISE_RUNTIME_OCI_CNI_H

#include <uv.h>

#include "base/err.h"
#include "runtime/runtime.h"

typedef struct Cni Cni;
typedef struct {
    const char *conf_dir;  /* /etc/cni/net.d */
    const char *bin_dirs;  /* "/opt/cni/bin:/usr/lib/cni" */
    const char *cache_dir; /* <root>/cni: attachments and leases, so that DEL works after a crash */
    /* What works less well than it could ("iptables is missing: ..."), each text once. NULL = not wanted. */
    void (*on_warning)(void *arg, const char *text);
    void *warning_arg;
    int64_t timeout_ns; /* for a chain of plugins; 0 = 30 s */
} CniConfig;
/* The first conflist (or conf) of conf_dir in name order, read anew at each ADD; where there is none, the built-in
 * network "reprise" (cni_default.c). A configuration that is there and broken is an error: a guess would attach Pods
 * elsewhere. */
MUST_USE Err *cni_open(uv_loop_t *loop, const CniConfig *c, Cni **ret);
/* Kills what runs; no callback comes any more. A half-made attachment is left to cni_collect of the next start. */
void cni_close(Cni *c);
/* Says what is missing for `doctor`, one thing a line, "" if nothing: plugins named by the configuration that are not
 * in bin_dirs, iptables. Caller frees the text. */
MUST_USE Err *cni_check_setup(Cni *c, char **ret_description);

typedef struct {
    const char *sandbox_id; /* letters, digits, '_', '.', '-' */
    const char *netns_path; /* /proc/<pid>/ns/net or /proc/<pid>/fd/<n>; refused when it is the agent's own */
    const char *pod_namespace, *pod_name, *pod_uid;
    const PortMapping *ports;
    size_t n_ports; /* those without host_port are skipped; a hostPort that no plugin can map is an error */
    /* Values of the annotations kubernetes.io/{in,e}gress-bandwidth, bits a second; NULL = none. */
    const char *ingress_bandwidth, *egress_bandwidth;
} CniPod;
/* <ips>: borrowed, podIPs order; none after DEL and on errors. */
typedef void CniDone(void *arg, char *const *ips, size_t n_ips, Err *err /* taken */);
/* Undone by DEL when a plugin fails. Repeated for a namespace that is attached already, it gives the same addresses. */
MUST_USE Err *cni_add(Cni *c, const CniPod *pod, CniDone *done, void *arg);
/* ERR_NOT_FOUND when the sandbox was never attached. Succeeds unasked where the configuration cannot be checked. */
MUST_USE Err *cni_check(Cni *c, const CniPod *pod, CniDone *done, void *arg);
/* netns_path may be "" when the namespace is gone. Uses the cached config and result; nothing cached succeeds. All
 * plugins are run even if one fails; then the cache stays for another try. */
MUST_USE Err *cni_del(Cni *c, const CniPod *pod, CniDone *done, void *arg);
/* Pure and fuzzed: the addresses of a plugin's result, or its error object as an Err. */
MUST_USE Err *cni_parse_result(const char *text, size_t n, StrVec *ret_ips);
/* DEL for all that is cached for sandboxes not in <live_ids>: leftovers of a crash. */
MUST_USE Err *cni_collect(Cni *c, const StrVec *live_ids, CniDone *done, void *arg);

#endif
