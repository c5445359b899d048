#include "daemon/kubeconfig.h"

#include "wire/shimwire.h"

char *kubeconfig_text(const Kubeconfig *k)
{
    SCOPED(mem_free) char *ca = shim_base64(k->ca, strlen(k->ca)), *crt = shim_base64(k->crt, strlen(k->crt));
    SCOPED(mem_free) char *key = shim_base64(k->key, strlen(k->key));
    Str s = {0};
    /* Quoted: a cluster may be called "12". */
    str_fmt(&s, "apiVersion: v1\nkind: Config\n");
    str_fmt(&s, "clusters:\n- name: \"%s\"\n  cluster:\n    server: \"%s\"\n    certificate-authority-data: %s\n", k->cluster, k->server, ca);
    str_fmt(&s, "users:\n- name: \"%s\"\n  user:\n    client-certificate-data: %s\n    client-key-data: %s\n", k->user, crt, key);
    str_fmt(&s, "contexts:\n- name: \"%s@%s\"\n  context:\n    cluster: \"%s\"\n    user: \"%s\"\n", k->user, k->cluster, k->cluster, k->user);
    str_fmt(&s, "current-context: \"%s@%s\"\n", k->user, k->cluster);
    return str_take(&s);
}

KubeconfigFit kubeconfig_renew(const char *text, const char *old_crt, const char *crt, char **ret)
{
    SCOPED(mem_free) char *now = shim_base64(crt, strlen(crt));
    if (strstr(text, now))
        return KUBECONFIG_FITS;
    SCOPED(mem_free) char *old = old_crt ? shim_base64(old_crt, strlen(old_crt)) : NULL;
    const char *at = old ? strstr(text, old) : NULL;
    if (!at)
        return KUBECONFIG_FOREIGN;
    *ret = mem_fmt("%.*s%s%s", (int)(at - text), text, now, at + strlen(old));
    return KUBECONFIG_RENEWED;
}
