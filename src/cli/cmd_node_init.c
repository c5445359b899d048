#include "cli/cmd_node_init.h"

#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "daemon/kubeconfig.h"
#include "daemon/pki.h"
#include "os/fs.h"
#include "wire/yaml.h"

#define LOCAL "127.0.0.1"
#define PORT 6443 /* kube-apiserver's */
#define MAX_FILE (256 * 1024)

typedef struct {
    const char *node_name;
    const char *address; /* that the API is bound to */
    unsigned port;
    char *dir;    /* absolute */
    char *server; /* https://... */
    bool restart; /* a daemon that runs has an older certificate */
    CliTable out;
} Init;

static void said(Init *i, const char *path, const char *what)
{
    cli_table_row(&i->out, (const char *const[]){path, what});
}

/* Addresses that others may reach this machine by; those of the bridges that containers hang on are among them, and do no harm. */
static void node_addresses(StrVec *ret)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        if (!a->ifa_addr || !(a->ifa_flags & IFF_UP) || (a->ifa_flags & IFF_LOOPBACK))
            continue;
        const void *bytes = NULL;
        if (a->ifa_addr->sa_family == AF_INET)
            bytes = &((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr;
        else if (a->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr))
            bytes = &((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr;
        if (bytes && inet_ntop(a->ifa_addr->sa_family, bytes, text, sizeof text) && !strvec_has(ret, text))
            strvec_add(ret, text);
    }
    freeifaddrs(all);
}

/* All addresses: clients of this machine use the loopback one. */
static bool is_any(const char *address)
{
    return str_eq(address, "0.0.0.0") || str_eq(address, "::");
}

static Err *server_names(const CliArgs *a, const Init *i, StrVec *ret)
{
    struct utsname u;
    const char *always[] = {"localhost", LOCAL, "::1", i->node_name, uname(&u) == 0 ? u.nodename : "localhost", is_any(i->address) ? LOCAL : i->address};
    for (size_t k = 0; k < ARRAY_LEN(always); k++)
        if (pki_is_san(always[k]) && !strvec_has(ret, always[k]))
            strvec_add(ret, always[k]);
    SCOPED(strvec_done) StrVec given = cli_opt_all(a, "san");
    for (size_t k = 0; k < given.n; k++) {
        if (!pki_is_san(given.v[k]))
            return err_new(ERR_INVALID, 0, "--san=%s: give a DNS name or an IP address", given.v[k]);
        if (!strvec_has(ret, given.v[k]))
            strvec_add(ret, given.v[k]);
    }
    return NULL;
}

static void tell_pki(Init *i, const Pki *p, const char *dir)
{
    for (int k = 0; k < PKI_N; k++) {
        const PkiFile *f = &p->f[k];
        char until[CLOCK_TEXT_MAX];
        SCOPED(mem_free) char *path = mem_fmt("%s/%s.crt", dir, pki_names[k]);
        SCOPED(mem_free) char *what = mem_fmt("%s%s, valid until %.10s",
            f->change == PKI_MADE ? "made" : f->change == PKI_RENEWED ? "renewed: " : "kept", str_or(f->why, ""),
            clock_format(f->until_ns, 0, until));
        said(i, path, what);
    }
    i->restart = p->f[PKI_SERVER].change == PKI_RENEWED;
}

/* One file that only root reads, made when it is not there. */
static Err *make_file(Init *i, const char *path, const char *text, mode_t mode)
{
    Err *e = fs_write_atomic(path, text, strlen(text), mode, true);
    if (!e)
        said(i, path, "made");
    return e;
}

static Err *kubeconfig(Init *i, const Pki *p, int client)
{
    const PkiFile *f = &p->f[client];
    SCOPED(mem_free) char *path = mem_fmt("%s/%s.kubeconfig", i->dir, pki_names[client]);
    if (!fs_exists(path)) {
        SCOPED(mem_free) char *text = kubeconfig_text(&(Kubeconfig){.cluster = i->node_name, .user = pki_names[client], .server = i->server,
            .ca = p->f[PKI_CA].crt, .crt = f->crt, .key = f->key});
        return make_file(i, path, text, 0600);
    }
    SCOPED(str_done) Str now = {0};
    SCOPED(mem_free) char *text = NULL;
    Err *e = fs_read(path, MAX_FILE, &now);
    if (e)
        return e;
    KubeconfigFit fit = kubeconfig_renew(str_or(now.p, ""), f->old_crt, f->crt, &text);
    if (fit == KUBECONFIG_RENEWED)
        e = fs_write_atomic(path, text, strlen(text), 0600, true);
    if (!e)
        said(i, path, fit == KUBECONFIG_FITS ? "kept" : fit == KUBECONFIG_RENEWED ? "has the renewed certificate"
                      : "kept, but it has another certificate: take it away, and it is made anew");
    return e;
}

/* kube-apiserver's format: token,user,uid,"group". */
static Err *tokens(Init *i, const char *path)
{
    if (fs_exists(path)) {
        said(i, path, "kept");
        return NULL;
    }
    char admin[65], view[65];
    os_random_hex(admin, 32);
    os_random_hex(view, 32);
    SCOPED(mem_free) char *text = mem_fmt("%s,admin,admin,\"reprise:admin\"\n%s,view,view,\"reprise:view\"\n", admin, view);
    return make_file(i, path, text, 0600);
}

/* Fields of a NodeConfig that make `reprise node` serve what was made here; each with the line for it. */
typedef struct { const char *field; char *line; } ConfigLine;

/* Those that <path> does not have; it is the user's, and is not touched. */
static Err *missing_lines(const char *path, const ConfigLine *l, size_t n, Str *ret)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *docs = NULL;
    Err *e = fs_read(path, MAX_FILE, &text);
    if (!e)
        e = yaml_parse_all(str_or(text.p, ""), text.n, &docs);
    if (e)
        return err_wrap(e, "%s", path);
    for (size_t k = 0; k < n; k++)
        if (!json_object_get(json_array_get(docs, 0), l[k].field))
            str_add(ret, l[k].line);
    return NULL;
}

static Err *config_file(Init *i, const char *path, const char *pki, const char *token_file, Str *ret_missing)
{
    ConfigLine lines[] = {
        {"bindAddress", mem_fmt("bindAddress: \"%s\"\n", i->address)},
        {"securePort", mem_fmt("securePort: %u\n", i->port)},
        {"tlsCertFile", mem_fmt("tlsCertFile: %s/server.crt\n", pki)},
        {"tlsPrivateKeyFile", mem_fmt("tlsPrivateKeyFile: %s/server.key\n", pki)},
        {"clientCAFile", mem_fmt("clientCAFile: %s/ca.crt\n", pki)},
        {"tokenAuthFile", mem_fmt("tokenAuthFile: %s\n", str_or(token_file, ""))},
    };
    size_t n = ARRAY_LEN(lines) - !token_file;
    Err *e = NULL;
    if (!fs_exists(path)) {
        SCOPED(str_done) Str s = {0};
        str_add(&s, "# Made by `reprise node --init`; reprise-node(8) has all the fields.\napiVersion: reprise.io/v1alpha1\nkind: NodeConfig\n");
        for (size_t k = 0; k < n; k++)
            str_add(&s, lines[k].line);
        e = make_file(i, path, s.p, 0644);
    } else {
        e = missing_lines(path, lines, n, ret_missing);
        if (!e)
            said(i, path, ret_missing->n ? "kept, but see below" : "kept");
    }
    for (size_t k = 0; k < ARRAY_LEN(lines); k++)
        free(lines[k].line);
    return e;
}

static void tell_next(const Init *i, const char *config, const Str *missing)
{
    if (missing->n)
        printf("\nFor an API over TLS, %s needs:\n%s", config, missing->p);
    bool standard = str_eq(config, NODE_CONFIG_FILE);
    printf("\nNext:  systemctl restart reprise, or: reprise node%s%s\n", standard ? "" : " --config=", standard ? "" : config);
    printf("       export KUBECONFIG=%s/admin.kubeconfig\n       kubectl get pods\n", i->dir);
    if (i->restart)
        printf("A daemon that runs shows the new certificate after a restart; its Pods go on meanwhile.\n");
}

static Err *init_all(const CliArgs *a, Init *i)
{
    SCOPED(mem_free) char *pki_dir = mem_fmt("%s/pki", i->dir), *config = mem_fmt("%s/node.yaml", i->dir);
    SCOPED(mem_free) char *token_file = mem_fmt("%s/tokens.csv", pki_dir);
    SCOPED(strvec_done) StrVec names = {0}, more = {0};
    SCOPED(pki_done) Pki pki = {0};
    SCOPED(str_done) Str missing = {0};
    Err *e = server_names(a, i, &names);
    if (e)
        return e;
    node_addresses(&more);
    const char *none[] = {NULL};
    e = pki_ensure(&(PkiConfig){.dir = pki_dir, .node_name = i->node_name, .names = (const char *const *)names.v,
                                .more = more.v ? (const char *const *)more.v : none, .now_ns = os_now_ns()}, &pki);
    if (!e)
        tell_pki(i, &pki, pki_dir);
    bool with_tokens = cli_flag(a, "tokens");
    if (!e && with_tokens)
        e = tokens(i, token_file);
    if (!e)
        e = kubeconfig(i, &pki, PKI_ADMIN);
    if (!e)
        e = kubeconfig(i, &pki, PKI_VIEW);
    if (!e)
        e = config_file(i, config, pki_dir, with_tokens ? token_file : NULL, &missing);
    cli_table_print(stdout, &i->out);
    if (!e)
        tell_next(i, config, &missing);
    return e;
}

/* Where the API is to be served: --bind-address and --secure-port. */
static Err *server_address(const CliArgs *a, Init *i)
{
    int64_t port;
    struct in6_addr bytes;
    i->address = cli_opt(a, "bind-address");
    bool six = inet_pton(AF_INET6, i->address, &bytes) == 1;
    if (!six && inet_pton(AF_INET, i->address, &bytes) != 1)
        return err_new(ERR_INVALID, 0, "--bind-address=%s: give an IP address", i->address);
    if (!str_to_i64(cli_opt(a, "secure-port"), &port) || port < 0 || port > 65535)
        return err_new(ERR_INVALID, 0, "--secure-port=%s: give a number from 0 to 65535", cli_opt(a, "secure-port"));
    i->port = port ? (unsigned)port : PORT;
    bool any = is_any(i->address);
    i->server = mem_fmt("https://%s%s%s:%u", six && !any ? "[" : "", any ? LOCAL : i->address, six && !any ? "]" : "", i->port);
    return NULL;
}

Err *node_init(const CliArgs *a, const char *node_name)
{
    const char *dir = a->n ? a->operands[0] : NODE_CONFIG_DIR;
    Init i = {.node_name = node_name, .out = {.n_cols = 2}};
    Err *e = server_address(a, &i);
    if (!e)
        e = fs_mkdirs(dir, 0755);
    if (!e && !(i.dir = realpath(dir, NULL)))
        e = err_new(ERR_SYS, errno, "%s", dir);
    if (!e)
        e = init_all(a, &i);
    cli_table_done(&i.out);
    free(i.dir);
    free(i.server);
    return e;
}
