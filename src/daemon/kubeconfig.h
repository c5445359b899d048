/* kubeconfig.h - the file by which kubectl and every client library find this node's API: address, CA, certificate and key in one. Pure. */
#ifndef REPRISE_DAEMON_KUBECONFIG_H
#define REPRISE_DAEMON_KUBECONFIG_H

#include "base/str.h"

typedef struct {
    const char *cluster, *user; /* names in the file; the context is USER@CLUSTER */
    const char *server;         /* "https://127.0.0.1:6443" */
    const char *ca, *crt, *key; /* PEM */
} Kubeconfig;

/* kubectl's format v1. Caller frees. */
MUST_USE char *kubeconfig_text(const Kubeconfig *k);
typedef enum { KUBECONFIG_FITS, KUBECONFIG_RENEWED, KUBECONFIG_FOREIGN } KubeconfigFit;
/* <text> after a renewal of its client certificate from <old_crt> (NULL = none was renewed) to <crt>: only that changes, so that what
 * somebody else put into the file stays. KUBECONFIG_RENEWED: *ret is the new text, the caller's. KUBECONFIG_FOREIGN: neither is in it. */
KubeconfigFit kubeconfig_renew(const char *text, const char *old_crt, const char *crt, char **ret);

#endif
