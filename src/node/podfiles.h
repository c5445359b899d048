/* podfiles.h - what the kubelet writes for every Pod: /etc/hosts, /etc/hostname, /etc/resolv.conf, and its hostname. */
#ifndef REPRISE_NODE_PODFILES_H
#define REPRISE_NODE_PODFILES_H

#include "node/volumes.h"

/* Hostname of the Pod (spec.hostname or metadata.name, cut at 63, setHostnameAsFQDN; spec.hostnameOverride). Caller
 * frees. */
MUST_USE char *pod_hostname(const Pod *p);
/* setHostnameAsFQDN with a name over 64 bytes (the kernel's limit): the kubelet's error. Ask before the sandbox is
 * made. */
MUST_USE Err *pod_hostname_check(const Pod *p);
/* Writes <root>/pods/<uid>/etc-hosts, hostname, resolv.conf for the given addresses; dnsPolicy, dnsConfig,
 * hostAliases. Each file is whole, old or new; containers that run keep the old one. With host network the machine's
 * own names. */
MUST_USE Err *podfiles_write(const VolumesContext *ctx, char *const *pod_ips, size_t n_ips);
/* Content alone, for tests. Caller frees. Reads the machine's /etc/hosts for a Pod with host network. */
MUST_USE char *podfiles_hosts(const Pod *p, char *const *pod_ips, size_t n_ips);
/* <host_resolv_conf>: text of the machine's file. ERR_INVALID: it, or dnsPolicy, makes no sense. */
MUST_USE Err *podfiles_resolv(const Pod *p, const char *host_resolv_conf, char **ret);

/* The same in parts, for a SandboxConfig. */
typedef struct { StrVec servers, searches, options; } PodDns;
void pod_dns_done(PodDns *d);
static inline UNUSED void pod_dns_done_at(PodDns *d) { pod_dns_done(d); }
/* <warnings>: NULL or where lines are added: no cluster DNS, limits exceeded, a nameserver that the Pod cannot
 * reach. */
MUST_USE Err *pod_dns(const Pod *p, const char *host_resolv_conf, StrVec *warnings, PodDns *out);
/* Text of the resolv.conf that Pods should start from: /etc/resolv.conf, but systemd-resolved's list of real servers
 * where that names only its stub. "" if there is none. Caller frees. */
MUST_USE Err *pod_dns_host_file(char **ret);

#endif
