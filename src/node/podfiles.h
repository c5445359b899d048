/* podfiles.h - what the kubelet writes for every Pod: /etc/hosts, /etc/hostname, /etc/resolv.conf, and its hostname. */
#ifndef REPRISE_NODE_PODFILES_H
#define REPRISE_NODE_PODFILES_H

#include "node/volumes.h"

/* Hostname of the Pod (spec.hostname or metadata.name, cut at 63, setHostnameAsFQDN). Caller frees. */
MUST_USE char *pod_hostname(const Pod *p);
/* Writes <root>/pods/<uid>/etc-hosts, hostname, resolv.conf for the given addresses; dnsPolicy, dnsConfig, hostAliases. */
MUST_USE Err *podfiles_write(const VolumesContext *ctx, char *const *pod_ips, size_t n_ips);
/* Content alone, for tests. Caller frees. */
MUST_USE char *podfiles_hosts(const Pod *p, char *const *pod_ips, size_t n_ips);
MUST_USE Err *podfiles_resolv(const Pod *p, const char *host_resolv_conf, char **ret);

#endif
