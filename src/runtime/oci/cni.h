/* cni.h - Pod networks by CNI plugins (spec 0.3.1 .. 1.0.0): ADD, CHECK, DEL, asynchronous, one plugin process at a time. */
#ifndef REPRISE_RUNTIME_OCI_CNI_H
#define REPRISE_RUNTIME_OCI_CNI_H

#include <uv.h>

#include "base/err.h"
#include "runtime/runtime.h"

typedef struct Cni Cni;
typedef struct {
    const char *conf_dir;  /* /etc/cni/net.d */
    const char *bin_dirs;  /* "/opt/cni/bin:/usr/lib/cni" */
    const char *cache_dir; /* <root>/cni: results, so that DEL works after a crash */
} CniConfig;
/* Picks the first conflist (or conf) of conf_dir in name order; where there is none, the built-in network "reprise"
 * (bridge cni-reprise0 10.88.88.0/24-like + host-local + portmap; loopback is brought up by the shim). */
MUST_USE Err *cni_open(uv_loop_t *loop, const CniConfig *c, Cni **ret);
void cni_close(Cni *c);
/* Says what is missing for `doctor`: plugins named by the configuration that are not in bin_dirs. Caller frees text. */
MUST_USE Err *cni_check_setup(Cni *c, char **ret_description);

typedef struct {
    const char *sandbox_id, *netns_path, *pod_namespace, *pod_name, *pod_uid;
    const PortMapping *ports;
    size_t n_ports;
} CniPod;
typedef void CniDone(void *arg, char *const *ips /* borrowed, podIPs order */, size_t n_ips, Err *err /* taken */);
MUST_USE Err *cni_add(Cni *c, const CniPod *pod, CniDone *done, void *arg);   /* undone by DEL when a plugin fails */
MUST_USE Err *cni_check(Cni *c, const CniPod *pod, CniDone *done, void *arg);
/* netns_path may be "" when the namespace is gone. Uses the cached config and result; nothing cached succeeds. */
MUST_USE Err *cni_del(Cni *c, const CniPod *pod, CniDone *done, void *arg);
/* Pure and fuzzed: the addresses of a plugin's result, or its error object. */
MUST_USE Err *cni_parse_result(const char *text, size_t n, StrVec *ret_ips);
/* Deletes what is cached for sandboxes not in <live_ids>: leftovers of a crash. */
MUST_USE Err *cni_collect(Cni *c, const StrVec *live_ids, CniDone *done, void *arg);

#endif
