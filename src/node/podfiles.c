/* Hostname, /etc/hosts and /etc/hostname: pkg/kubelet/kubelet_pods.go. */
#include "node/podfiles.h"

#include <unistd.h>

#include "node/volumes_priv.h"
#include "os/fs.h"

/* What kubeadm sets; there is no cluster here to have another. */
#define CLUSTER_DOMAIN "cluster.local"
#define HOSTNAME_MAX 63 /* truncatePodHostnameIfNeeded: 64 with the NUL */
#define FQDN_MAX 64     /* setNodenameAsFQDN; __NEW_UTS_LEN of the kernel */
#define HOSTS_FILE_MAX ((size_t)1 << 20)

/* Cut at 63, and no '-' or '.' at the end then. */
static char *short_name(const Pod *p)
{
    const PodSpec *s = &p->spec;
    const char *name = !str_empty(s->hostname_override) ? s->hostname_override
                       : !str_empty(s->hostname)        ? s->hostname
                                                        : str_or(p->metadata.name, "");
    size_t n = strlen(name);
    if (n > HOSTNAME_MAX)
        for (n = HOSTNAME_MAX; n > 0 && (name[n - 1] == '-' || name[n - 1] == '.');)
            n--;
    return mem_dup_strn(name, n);
}

/* "" unless there is a subdomain; an override is a whole name by itself. Caller frees. */
static char *domain_of(const Pod *p)
{
    if (str_empty(p->spec.subdomain) || !str_empty(p->spec.hostname_override))
        return mem_dup_str("");
    return mem_fmt("%s.%s.svc." CLUSTER_DOMAIN, p->spec.subdomain, pod_namespace(p));
}

/* The name with setHostnameAsFQDN applied, however long. */
static char *wanted_name(const Pod *p)
{
    char *name = short_name(p);
    SCOPED(mem_free) char *domain = domain_of(p);
    if (!p->spec.set_hostname_as_fqdn.v || !*domain)
        return name;
    char *fqdn = mem_fmt("%s.%s", name, domain);
    free(name);
    return fqdn;
}

Err *pod_hostname_check(const Pod *p)
{
    SCOPED(mem_free) char *name = wanted_name(p);
    if (strlen(name) <= FQDN_MAX)
        return NULL;
    return err_new(
        ERR_INVALID, 0,
        "Failed to construct FQDN from Pod hostname and cluster domain, FQDN %s is too long (%d characters is the "
        "max, %zu characters requested)",
        name, FQDN_MAX, strlen(name));
}

char *pod_hostname(const Pod *p)
{
    char *name = wanted_name(p);
    if (strlen(name) <= FQDN_MAX)
        return name;
    free(name); /* refused by pod_hostname_check(); never a name that sethostname(2) would not take */
    return short_name(p);
}

static void add_aliases(const Pod *p, Str *out)
{
    if (p->spec.host_aliases.n == 0)
        return;
    str_add(out, "\n# Entries added by HostAliases.\n");
    LIST_EACH(a, &p->spec.host_aliases) {
        str_fmt(out, "%s\t", str_or(a->ip, ""));
        for (size_t i = 0; i < a->hostnames.n; i++)
            str_fmt(out, "%s%s", i ? "\t" : "", a->hostnames.v[i]);
        str_add_c(out, '\n');
    }
}

static void add_host_file(Str *out)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(err_free) Err *e = fs_read("/etc/hosts", HOSTS_FILE_MAX, &text);
    if (!e)
        str_add_n(out, text.p, text.n);
}

char *podfiles_hosts(const Pod *p, char *const *pod_ips, size_t n_ips)
{
    Str s = {0};
    if (p->spec.host_network.v) {
        str_add(&s, "# Kubernetes-managed hosts file (host network).\n");
        add_host_file(&s);
        add_aliases(p, &s);
        return str_take(&s);
    }
    str_add(&s, "# Kubernetes-managed hosts file.\n"
                "127.0.0.1\tlocalhost\n"
                "::1\tlocalhost ip6-localhost ip6-loopback\n"
                "fe00::0\tip6-localnet\n"
                "fe00::0\tip6-mcastprefix\n"
                "fe00::1\tip6-allnodes\n"
                "fe00::2\tip6-allrouters\n");
    SCOPED(mem_free) char *name = short_name(p), *domain = domain_of(p);
    for (size_t i = 0; i < n_ips; i++) {
        if (*domain)
            str_fmt(&s, "%s\t%s.%s\t%s\n", pod_ips[i], name, domain, name);
        else
            str_fmt(&s, "%s\t%s\n", pod_ips[i], name);
    }
    add_aliases(p, &s);
    return str_take(&s);
}

static char *etc_hostname(const Pod *p)
{
    if (!p->spec.host_network.v) {
        SCOPED(mem_free) char *name = pod_hostname(p);
        return mem_fmt("%s\n", name);
    }
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    return mem_fmt("%s\n", host);
}

static char *resolv_text(const PodDns *d)
{
    const struct {
        const char *word;
        const StrVec *v;
        bool one_line;
    } parts[] = {{"search", &d->searches, true}, {"nameserver", &d->servers, false}, {"options", &d->options, true}};
    Str s = {0};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) { /* the order of containerd's parseDNSOptions */
        const StrVec *v = parts[i].v;
        for (size_t k = 0; k < v->n; k++) {
            if (k == 0 || !parts[i].one_line)
                str_add(&s, parts[i].word);
            str_fmt(&s, " %s%s", v->v[k], k + 1 == v->n || !parts[i].one_line ? "\n" : "");
        }
    }
    return str_take(&s);
}

Err *podfiles_resolv(const Pod *p, const char *host_resolv_conf, char **ret)
{
    SCOPED(pod_dns_done) PodDns d = {0};
    Err *e = pod_dns(p, host_resolv_conf, NULL, &d);
    if (!e)
        *ret = resolv_text(&d);
    return e;
}

#define FILE_MAX ((size_t)1 << 20)

static Err *write_file(const VolumesContext *ctx, const char *name, const char *text)
{
    SCOPED(mem_free) char *path = pod_path(ctx->root, ctx->pod->metadata.uid, name);
    SCOPED(str_done) Str old = {0};
    Err *e = fs_read(path, FILE_MAX, &old);
    bool same = !e && old.n == strlen(text) && memcmp(old.p, text, old.n) == 0;
    err_free(e);
    /* A file that is the same stays the same file: containers that were prepared with it still fit. */
    return same ? NULL : fs_write_atomic(path, text, strlen(text), 0644, false);
}

Err *podfiles_write(const VolumesContext *ctx, char *const *pod_ips, size_t n_ips)
{
    const Pod *p = ctx->pod;
    Err *e = path_component_check("pod uid", p->metadata.uid);
    if (e || (e = pod_hostname_check(p)))
        return e;
    SCOPED(mem_free) char *dir = pod_path(ctx->root, p->metadata.uid, "");
    SCOPED(mem_free) char *host = NULL;
    SCOPED(pod_dns_done) PodDns dns = {0};
    if ((e = fs_mkdirs(dir, 0750)) || (e = pod_dns_host_file(&host)) || (e = pod_dns(p, host, ctx->warnings, &dns)))
        return e;
    SCOPED(mem_free) char *hosts = podfiles_hosts(p, pod_ips, n_ips);
    SCOPED(mem_free) char *name = etc_hostname(p), *resolv = resolv_text(&dns);
    if ((e = write_file(ctx, "/etc-hosts", hosts)) || (e = write_file(ctx, "/hostname", name)))
        return e;
    return write_file(ctx, "/resolv.conf", resolv);
}
