/* cni_priv.h - the parts of the CNI client: configuration, built-in network, results, what is remembered on disk. */
#ifndef REPRISE_RUNTIME_OCI_CNI_PRIV_H
#define REPRISE_RUNTIME_OCI_CNI_PRIV_H

#include "base/err.h"
#include "base/str.h"
#include "runtime/oci/cni.h"
#include "wire/json.h"

#define CNI_IFNAME     "eth0"
#define CNI_MAX_CONF   ((size_t)1 << 20) /* bytes of a configuration file */
#define CNI_MAX_OUTPUT ((size_t)1 << 18) /* bytes of a plugin's stdout, and of its stderr */

/* --- configuration (cni_conf.c): a "network" is a checked conflist object ---------------------------------------- */

/* Pure and fuzzed: checks a conflist, or a single plugin's conf (made a list of one). *ret is a new reference. */
MUST_USE Err *cni_conf_parse(const char *text, size_t n, bool is_list, json_t **ret);
/* The first of <dir> in name order; *ret NULL when it has none (or does not exist). */
MUST_USE Err *cni_conf_load(const char *dir, json_t **ret);
const char *cni_conf_name(const json_t *net);
size_t cni_conf_n(const json_t *net);
const char *cni_conf_type(const json_t *net, size_t i);
/* Whether its cniVersion is at least <version> ("0.4.0"). */
bool cni_conf_since(const json_t *net, const char *version);
/* Whether one of its plugins declares the capability. */
bool cni_conf_can(const json_t *net, const char *capability);
/* What plugin <i> gets on stdin (spec 1.0.0, section 4): name, cniVersion, those of <runtime> that it is capable of,
 * and <prev> (may be NULL) as prevResult. New reference. */
MUST_USE json_t *cni_conf_exec(const json_t *net, size_t i, const json_t *runtime, json_t *prev);
/* The runtimeConfig of a Pod by capability: portMappings, bandwidth. New reference. */
MUST_USE Err *cni_conf_runtime(const CniPod *pod, json_t **ret);
/* Whether two Pods' runtimeConfigs map the same port of the host; *ret_port is the first such. */
bool cni_conf_ports_clash(const json_t *a, const json_t *b, int64_t *ret_port);
/* A name as the spec wants it for networks and containers: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128 bytes. */
bool cni_name_ok(const char *s);
/* An executable <name> in the directories of <dirs> (colons between). Caller frees; NULL = none. */
MUST_USE char *cni_find_program(const char *dirs, const char *name);
/* PATH with the sbin directories, where iptables is, put behind. Caller frees. */
MUST_USE char *cni_search_path(void);

/* --- built-in network (cni_default.c) ----------------------------------------------------------------------------- */

typedef struct {
    bool masquerade; /* iptables is there */
    bool firewall;   /* accept Pod traffic in FORWARD: iptables and the plugin are there */
    bool ports;      /* the Pod has hostPorts */
    bool bandwidth;  /* the Pod has bandwidth annotations */
} CniDefaultWant;
/* Takes the first range of addresses that neither the host nor another state directory uses, and remembers it in
 * cache_dir; *ret is the network for one Pod. */
MUST_USE Err *cni_default_network(const char *cache_dir, CniDefaultWant want, json_t **ret);
/* Pure: whether candidate <i> overlaps a route of <table> (text of /proc/net/route) that is not its own bridge's. */
bool cni_default_overlaps(unsigned i, const char *table);
#define CNI_DEFAULT_CANDIDATES 96u

/* --- results (cni_result.c) --------------------------------------------------------------------------------------- */

MUST_USE Err *cni_result_ips(const json_t *result, StrVec *ret_ips);
/* What a plugin that failed said, as one bounded line; <out> and <err> may be anything. */
MUST_USE Err *cni_result_failure(const char *out, size_t n_out, const char *err, size_t n_err, int exit_code);

/* --- attachments on disk (cni_cache.c) ---------------------------------------------------------------------------- */

typedef struct {
    char *id;        /* sandbox */
    char *netns;     /* "<dev>:<inode>" of the namespace: pids are used again, inodes of living namespaces are not */
    char *args;      /* CNI_ARGS */
    json_t *net;     /* exact conflist; NULL = no attachment */
    json_t *runtime; /* runtimeConfig by capability */
    json_t *result;  /* of ADD; NULL = ADD did not end */
} CniAttachment;
void cni_attachment_done(CniAttachment *a);
/* a->net is NULL when nothing is cached. A broken file is dropped and reported once. */
MUST_USE Err *cni_cache_load(const char *cache_dir, const char *id, CniAttachment *a);
MUST_USE Err *cni_cache_save(const char *cache_dir, const CniAttachment *a);
MUST_USE Err *cni_cache_drop(const char *cache_dir, const char *id);
MUST_USE Err *cni_cache_ids(const char *cache_dir, StrVec *ret);

/* --- iptables leftovers (cni_sweep.c) ----------------------------------------------------------------------------- */

/* Pure: from `iptables -t nat -S`, the input of iptables-restore --noflush that deletes the rules that name sandbox
 * <id> and the chains they jump to. false = there is nothing to delete. */
bool cni_sweep_script(const char *rules, size_t n, const char *id, Str *ret);

#endif
