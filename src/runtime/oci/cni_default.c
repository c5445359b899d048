/* cni_default.c - the network of a machine that has no CNI configuration: bridge + host-local, and portmap, firewall
 * and bandwidth for the Pods that need them.
 *
 * The bridge is a thing of the machine, the leases are a thing of the state directory. Two agents with different state
 * directories must therefore not share a bridge, or they hand out the same address twice. So there are a number of
 * candidates, each a bridge name with its range; a state directory takes the first that is free, claims it under /run
 * and remembers it. A claim of a directory that no longer exists (or took another candidate) is void. */
#include "runtime/oci/cni_priv.h"

#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "os/fs.h"

#define CLAIM_DIR "/run/reprise/networks"
#define PER_BASE  32u

/* Third-octet runs inside ranges that others seldom take. Not 10.88/16 (podman), 10.85/16 (CRI-O), 10.244/16 (flannel,
 * kind), 10.42/15 (k3s), 10.96/12 (Kubernetes services), 172.17/16 .. (docker), 10.128/9 (Google Cloud). */
static const struct {
    uint8_t a, b, c;
} bases[] = {{10, 58, 88}, {172, 30, 88}, {192, 168, 188}};
_Static_assert(CNI_DEFAULT_CANDIDATES == ARRAY_LEN(bases) * PER_BASE, "one run a base");

static uint32_t candidate_net(unsigned i)
{
    return (uint32_t)bases[i / PER_BASE].a << 24 | (uint32_t)bases[i / PER_BASE].b << 16 |
           (uint32_t)(bases[i / PER_BASE].c + i % PER_BASE) << 8;
}

static char *candidate_bridge(unsigned i)
{
    return mem_fmt("reprise%u", i);
}

/* --- what the host uses ------------------------------------------------------------------------------------------- */

typedef struct {
    char name[IFNAMSIZ];
    uint32_t dst, mask, flags, metric; /* dst and mask in host order */
} Route;

/* One line of /proc/net/route: addresses are hex of the big-endian word as this machine reads it. */
static bool parse_route(const char *line, Route *r)
{
    uint32_t dst, mask;
    if (sscanf(line, "%15s %x %*x %x %*d %*d %u %x", r->name, &dst, &r->flags, &r->metric, &mask) != 5)
        return false;
    r->dst = be32toh(dst);
    r->mask = be32toh(mask);
    return true;
}

static const char *next_line(const char *p)
{
    p += strcspn(p, "\n");
    return *p ? p + 1 : NULL;
}

bool cni_default_overlaps(unsigned i, const char *table)
{
    SCOPED(mem_free) char *own = candidate_bridge(i);
    for (const char *p = table; p; p = next_line(p)) {
        Route r;
        if (!parse_route(p, &r) || !r.mask || str_eq(r.name, own))
            continue; /* the title, the default route, our own bridge */
        uint32_t common = r.mask & 0xffffff00u;
        if ((r.dst & common) == (candidate_net(i) & common))
            return true;
    }
    return false;
}

/* MTU of the interface of the best default route, 0 if there is none. A Pod with a larger one loses big packets
 * wherever path MTU discovery is broken. */
static int default_mtu(const char *table)
{
    Route best = {0};
    for (const char *p = table; p; p = next_line(p)) {
        Route r;
        if (parse_route(p, &r) && !r.mask && !r.dst && (!best.name[0] || r.metric < best.metric))
            best = r;
    }
    if (!best.name[0])
        return 0;
    SCOPED(fd_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq req = {0};
    memcpy(req.ifr_name, best.name, sizeof req.ifr_name);
    return fd >= 0 && !ioctl(fd, SIOCGIFMTU, &req) ? req.ifr_mtu : 0;
}

/* Whether Pods of somebody hang on the candidate's bridge. */
static bool bridge_in_use(unsigned i)
{
    SCOPED(mem_free) char *name = candidate_bridge(i), *path = mem_fmt("/sys/class/net/%s/brif", name);
    DIR *dir = opendir(path);
    bool used = false;
    for (struct dirent *d; dir && (d = readdir(dir));)
        used = used || d->d_name[0] != '.';
    if (dir)
        (void)closedir(dir);
    return used;
}

/* --- which candidate is ours -------------------------------------------------------------------------------------- */

/* The candidate that <cache_dir> remembers, -1 if none. */
static int64_t remembered(const char *cache_dir)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/network.json", cache_dir);
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *o = NULL;
    Err *e = fs_read(path, 4096, &text);
    if (!e)
        e = json_parse(str_or(text.p, ""), text.n, &o);
    err_free(e);
    int64_t i = json_is_object(o) ? json_i64(o, "candidate", -1) : -1;
    return i < (int64_t)CNI_DEFAULT_CANDIDATES ? i : -1;
}

static Err *remember(const char *cache_dir, unsigned i)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/network.json", cache_dir);
    SCOPED(mem_free) char *text = mem_fmt("{\"candidate\": %u}\n", i);
    Err *e = fs_mkdirs(cache_dir, 0700);
    return e ? e : fs_write_atomic(path, text, strlen(text), 0600, true);
}

/* Call under the lock. *ret_ours: whether the candidate belongs to <cache_dir> now. */
static Err *claim(unsigned i, const char *cache_dir, bool *ret_ours)
{
    SCOPED(mem_free) char *bridge = candidate_bridge(i), *path = mem_fmt(CLAIM_DIR "/%s", bridge);
    SCOPED(str_done) Str owner = {0};
    Err *e = fs_read(path, 4096, &owner);
    if (e && e->kind != ERR_NOT_FOUND)
        return e;
    err_free(e);
    *ret_ours = str_eq(owner.p, cache_dir);
    if (*ret_ours || (owner.n && remembered(owner.p) == (int64_t)i))
        return NULL;
    e = fs_write_atomic(path, cache_dir, strlen(cache_dir), 0644, false);
    *ret_ours = !e;
    return e;
}

static Err *choose(const char *cache_dir, const char *table, unsigned *ret)
{
    int64_t known = remembered(cache_dir);
    bool ours = false;
    Err *e = known >= 0 ? claim((unsigned)known, cache_dir, &ours) : NULL;
    for (unsigned i = 0; !e && !ours && i < CNI_DEFAULT_CANDIDATES; i++) {
        known = i;
        if (!bridge_in_use(i) && !cni_default_overlaps(i, table))
            e = claim(i, cache_dir, &ours);
        if (!e && ours)
            e = remember(cache_dir, i);
    }
    if (e)
        return e;
    if (!ours)
        return err_new(ERR_UNAVAILABLE, 0,
                       "every address range of the built-in network is in use on this machine: "
                       "put a CNI configuration of your own in the configuration directory");
    *ret = (unsigned)known;
    return NULL;
}

/* --- the configuration -------------------------------------------------------------------------------------------- */

static json_t *conf_bridge(const char *cache_dir, unsigned i, int mtu, bool masquerade)
{
    SCOPED(mem_free) char *bridge = candidate_bridge(i), *leases = mem_fmt("%s/leases", cache_dir);
    uint32_t net = candidate_net(i);
    SCOPED(mem_free) char *subnet = mem_fmt("%u.%u.%u.0/24", net >> 24, net >> 16 & 255, net >> 8 & 255);
    json_t *o = json_pack("{s:s, s:s, s:b, s:b, s:b, s:{s:s, s:s, s:[[{s:s}]], s:[{s:s}]}}", "type", "bridge", "bridge",
                          bridge, "isGateway", 1, "ipMasq", (int)masquerade, "hairpinMode", 1, "ipam", "type",
                          "host-local", "dataDir", leases, "ranges", "subnet", subnet, "routes", "dst", "0.0.0.0/0");
    if (mtu >= 576 && mtu < 1500) /* at 1500 and above the plugin's default is right */
        json_object_set_new(o, "mtu", json_integer(mtu));
    return o;
}

static json_t *conf_of(const char *cache_dir, unsigned i, int mtu, CniDefaultWant want)
{
    json_t *plugins = json_array();
    json_array_append_new(plugins, conf_bridge(cache_dir, i, mtu, want.masquerade));
    if (want.ports)
        json_array_append_new(
            plugins, json_pack("{s:s, s:b, s:{s:b}}", "type", "portmap", "snat", 1, "capabilities", "portMappings", 1));
    if (want.firewall) /* docker sets FORWARD to DROP: without this no packet would leave the bridge */
        json_array_append_new(plugins, json_pack("{s:s, s:s}", "type", "firewall", "backend", "iptables"));
    if (want.bandwidth)
        json_array_append_new(plugins,
                              json_pack("{s:s, s:{s:b}}", "type", "bandwidth", "capabilities", "bandwidth", 1));
    return json_pack("{s:s, s:s, s:o}", "cniVersion", "1.0.0", "name", "reprise", "plugins", plugins);
}

Err *cni_default_network(const char *cache_dir, CniDefaultWant want, json_t **ret)
{
    SCOPED(str_done) Str table = {0};
    unsigned i = 0;
    Err *e = fs_read("/proc/net/route", CNI_MAX_CONF, &table);
    if (!e)
        e = fs_mkdirs(CLAIM_DIR, 0755);
    if (e)
        return err_wrap(e, "built-in network");
    /* Held for a few small files' time, by agents that start in the same instant. */
    SCOPED(fd_close) int lock = open(CLAIM_DIR "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX))
        return err_new(ERR_SYS, errno, "lock " CLAIM_DIR "/lock");
    e = choose(cache_dir, str_or(table.p, ""), &i);
    if (e)
        return err_wrap(e, "built-in network");
    *ret = conf_of(cache_dir, i, default_mtu(str_or(table.p, "")), want);
    return NULL;
}
