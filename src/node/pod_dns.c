/* Name resolution of a Pod: pkg/kubelet/network/dns/dns.go. */
#include "node/podfiles.h"

#include "node/volumes_priv.h"
#include "os/fs.h"

/* pkg/apis/core/validation and apimachinery: MaxDNSNameservers, MaxDNSSearchPaths, MaxDNSSearchListChars,
 * DNS1123SubdomainMaxLength. */
#define NAMESERVERS_MAX 3
#define SEARCHES_MAX 32
#define SEARCH_CHARS_MAX 2048
#define SEARCH_NAME_MAX 253
#define RESOLV_CONF_MAX ((size_t)1 << 20)
#define STUB_RESOLV_CONF "/run/systemd/resolve/resolv.conf" /* systemd-resolved(8): the servers behind its stub */

void pod_dns_done(PodDns *d)
{
    strvec_done(&d->servers);
    strvec_done(&d->searches);
    strvec_done(&d->options);
}

static void warn(StrVec *warnings, char *text /* taken */)
{
    if (warnings)
        strvec_add_take(warnings, text);
    else
        free(text);
}

/* --- the machine's file ----------------------------------------------------------------------------------------- */

#define BLANKS " \t\r\v\f"

static void strvec_reset(StrVec *v)
{
    strvec_done(v);
    *v = (StrVec){0};
}

/* Nameservers add up; of search and of options the last line counts. */
static Err *parse_line(char *line, PodDns *out)
{
    char *save = NULL, *word = strtok_r(line, BLANKS, &save);
    if (!word || word[0] == '#')
        return NULL;
    if (str_eq(word, "nameserver")) {
        char *ip = strtok_r(NULL, BLANKS, &save);
        if (!ip)
            return err_new(ERR_INVALID, 0, "nameserver list is empty in resolv.conf of the machine");
        strvec_add(&out->servers, ip);
        return NULL;
    }
    bool search = str_eq(word, "search");
    if (!search && !str_eq(word, "options"))
        return NULL;
    StrVec *v = search ? &out->searches : &out->options;
    strvec_reset(v);
    while ((word = strtok_r(NULL, BLANKS, &save))) {
        size_t n = strlen(word);
        if (search && n > 1 && word[n - 1] == '.') /* "a.b." is "a.b"; the root alone stays */
            word[n - 1] = '\0';
        strvec_add(v, word);
    }
    return NULL;
}

static Err *parse_resolv(const char *text, PodDns *out)
{
    SCOPED(mem_free) char *copy = mem_dup_str(text);
    char *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        Err *e = parse_line(line, out);
        if (e)
            return e;
    }
    return NULL;
}

static bool is_loopback(const char *ip)
{
    return str_starts(ip, "127.") || str_eq(ip, "::1");
}

static bool only_stub(const char *text)
{
    SCOPED(pod_dns_done) PodDns d = {0};
    SCOPED(err_free) Err *e = parse_resolv(text, &d);
    for (size_t i = 0; i < d.servers.n; i++)
        if (!str_eq(d.servers.v[i], "127.0.0.53") && !str_eq(d.servers.v[i], "127.0.0.54"))
            return false;
    return !e && d.servers.n > 0;
}

static Err *read_text(const char *path, char **ret)
{
    SCOPED(str_done) Str s = {0};
    Err *e = fs_read(path, RESOLV_CONF_MAX, &s);
    if (e && e->kind == ERR_NOT_FOUND) {
        err_free(e);
        *ret = mem_dup_str("");
        return NULL;
    }
    if (!e)
        *ret = mem_dup_strn(s.p, s.n);
    return e;
}

Err *pod_dns_host_file(char **ret)
{
    SCOPED(mem_free) char *text = NULL;
    Err *e = read_text("/etc/resolv.conf", &text);
    if (!e && only_stub(text) && fs_exists(STUB_RESOLV_CONF)) {
        free(text);
        text = NULL;
        e = read_text(STUB_RESOLV_CONF, &text);
    }
    if (!e)
        *ret = MOVE(text, NULL);
    return e;
}

/* --- the Pod's wishes ------------------------------------------------------------------------------------------- */

static void add_new(StrVec *to, const StrList *from)
{
    for (size_t i = 0; i < from->n; i++)
        if (!strvec_has(to, from->v[i]))
            strvec_add(to, from->v[i]);
}

static void drop_repeated(StrVec *v)
{
    StrVec kept = {0};
    for (size_t i = 0; i < v->n; i++)
        if (!strvec_has(&kept, v->v[i]))
            strvec_add(&kept, v->v[i]);
    strvec_done(v);
    *v = kept;
}

/* "ndots:5" of <v> that has the name of <name>, or -1. */
static ptrdiff_t option_find(const StrVec *v, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < v->n; i++)
        if (strncmp(v->v[i], name, n) == 0 && (v->v[i][n] == '\0' || v->v[i][n] == ':'))
            return (ptrdiff_t)i;
    return -1;
}

/* The Pod's options replace those of the same name; the kubelet's own order is a Go map's, ours is the order of
 * mention. */
static void merge_options(StrVec *to, const PodDNSConfig *c)
{
    LIST_EACH(o, &c->options) {
        const char *name = str_or(o->name, "");
        char *text = str_empty(o->value) ? mem_dup_str(name) : mem_fmt("%s:%s", name, o->value);
        ptrdiff_t at = option_find(to, name);
        if (at < 0) {
            strvec_add_take(to, text);
        } else {
            free(to->v[at]);
            to->v[at] = text;
        }
    }
}

/* --- limits ----------------------------------------------------------------------------------------------------- */

static char *join(const StrVec *v)
{
    Str s = {0};
    for (size_t i = 0; i < v->n; i++)
        str_fmt(&s, "%s%s", i ? " " : "", v->v[i]);
    return str_take(&s);
}

static void cut(StrVec *v, size_t n)
{
    while (v->n > n) {
        free(v->v[--v->n]);
        v->v[v->n] = NULL;
    }
}

static void limit_servers(StrVec *v, StrVec *warnings)
{
    if (v->n <= NAMESERVERS_MAX)
        return;
    cut(v, NAMESERVERS_MAX);
    SCOPED(mem_free) char *line = join(v);
    warn(warnings,
         mem_fmt("Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line "
                 "is: %s",
                 line));
}

static size_t joined_length(const StrVec *v)
{
    size_t n = v->n ? v->n - 1 : 0;
    for (size_t i = 0; i < v->n; i++)
        n += strlen(v->v[i]);
    return n;
}

static void limit_searches(StrVec *v, StrVec *warnings)
{
    size_t before = v->n, kept = 0;
    cut(v, SEARCHES_MAX);
    for (size_t i = 0; i < v->n; i++) {
        if (strlen(v->v[i]) > SEARCH_NAME_MAX)
            free(v->v[i]);
        else
            v->v[kept++] = v->v[i];
    }
    if (v->v)
        v->v[kept] = NULL;
    v->n = kept;
    while (joined_length(v) > SEARCH_CHARS_MAX)
        cut(v, v->n - 1);
    if (v->n == before)
        return;
    SCOPED(mem_free) char *line = join(v);
    warn(warnings,
         mem_fmt("Search Line limits were exceeded, some search paths have been omitted, the applied search line "
                 "is: %s",
                 line));
}

static void warn_loopback(const Pod *p, const StrVec *servers, StrVec *warnings)
{
    for (size_t i = 0; i < servers->n && !p->spec.host_network.v; i++)
        if (is_loopback(servers->v[i]))
            warn(warnings,
                 mem_fmt("nameserver %s is a loopback address: inside the Pod's network namespace it is the Pod "
                         "itself. Set spec.dnsConfig.nameservers",
                         servers->v[i]));
}

Err *pod_dns(const Pod *p, const char *host_resolv_conf, StrVec *warnings, PodDns *out)
{
    const PodSpec *s = &p->spec;
    const char *policy = str_empty(s->dns_policy) ? "ClusterFirst" : s->dns_policy;
    bool none = str_eq(policy, "None");
    if (!none && !str_eq(policy, "ClusterFirst") && !str_eq(policy, "ClusterFirstWithHostNet") && !str_eq(policy, "Default"))
        return err_new(ERR_INVALID, 0, "invalid DNSPolicy=%s", policy);
    PodDns d = {0};
    if (!none) {
        Err *e = parse_resolv(host_resolv_conf, &d);
        if (e) {
            pod_dns_done(&d);
            return e;
        }
    }
    /* ClusterFirst is Default where there is no cluster DNS. The kubelet warns of that each time; here it is so by design, and a
     * warning at every Pod would only teach people to read none. */
    if (s->dns_config) {
        add_new(&d.servers, &s->dns_config->nameservers);
        add_new(&d.searches, &s->dns_config->searches);
        drop_repeated(&d.servers);
        drop_repeated(&d.searches);
        merge_options(&d.options, s->dns_config);
    }
    limit_servers(&d.servers, warnings);
    limit_searches(&d.searches, warnings);
    warn_loopback(p, &d.servers, warnings);
    *out = d;
    return NULL;
}
