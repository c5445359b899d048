/* cni_conf.c - network configurations: found, checked before use, and turned into what each plugin reads on stdin.
 * Rules: CNI spec 1.0.0, sections 1 and 4; choice of the file as containernetworking/cni libcni (ConfFiles). */
#include "runtime/oci/cni_priv.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api/quantity.h"
#include "os/fs.h"

#define MAX_PLUGINS 32u

/* 1.1.0 only adds verbs (GC, STATUS) that a runtime may leave out. */
static const char *const versions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

static size_t version_rank(const char *v)
{
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        if (str_eq(versions[i], v))
            return i;
    return ARRAY_LEN(versions);
}

bool cni_name_ok(const char *s)
{
    if (!s || !isalnum((unsigned char)s[0]))
        return false;
    size_t n = 1;
    for (; s[n]; n++)
        if (n >= 128 || (!isalnum((unsigned char)s[n]) && !strchr("_.-", s[n])))
            return false;
    return true;
}

static Err *check_plugin(const json_t *p, size_t i)
{
    const char *type = json_is_object(p) ? json_str(p, "type") : NULL;
    if (!cni_name_ok(type))
        return err_new(ERR_INVALID, 0, "plugins[%zu].type: must be the name of a program", i);
    const json_t *caps = json_object_get(p, "capabilities");
    if (caps && !json_is_object(caps))
        return err_new(ERR_INVALID, 0, "plugins[%zu].capabilities: must be an object", i);
    return NULL;
}

static Err *check_list(const json_t *net)
{
    const json_t *version = json_object_get(net, "cniVersion"), *plugins = json_object_get(net, "plugins");
    /* libcni takes a missing version for the first one. */
    if (version && (!json_is_string(version) || version_rank(json_string_value(version)) == ARRAY_LEN(versions)))
        return err_new(ERR_UNSUPPORTED, 0, "cniVersion: known are 0.1.0 to 1.1.0");
    if (!cni_name_ok(json_str(net, "name")))
        return err_new(ERR_INVALID, 0,
                       "name: must begin with a letter or digit and hold only letters, digits, '_', '.', '-'");
    if (!json_is_array(plugins) || !json_array_size(plugins))
        return err_new(ERR_INVALID, 0, "plugins: must name at least one plugin");
    if (json_array_size(plugins) > MAX_PLUGINS)
        return err_new(ERR_LIMIT, 0, "plugins: at most %u", MAX_PLUGINS);
    for (size_t i = 0; i < json_array_size(plugins); i++) {
        Err *e = check_plugin(json_array_get(plugins, i), i);
        if (e)
            return e;
    }
    return NULL;
}

Err *cni_conf_parse(const char *text, size_t n, bool is_list, json_t **ret)
{
    SCOPED(json_unref) json_t *net = NULL;
    Err *e = json_parse(text, n, &net);
    if (e)
        return e;
    if (!json_is_object(net))
        return err_new(ERR_INVALID, 0, "must be an object");
    if (!is_list) {
        json_t *one = MOVE(net, NULL);
        net = json_object();
        static const char *const shared[] = {"cniVersion", "name"};
        for (size_t i = 0; i < ARRAY_LEN(shared); i++)
            if (json_object_get(one, shared[i]))
                json_object_set(net, shared[i], json_object_get(one, shared[i]));
        json_t *plugins = json_array();
        json_array_append_new(plugins, one);
        json_object_set_new(net, "plugins", plugins);
    }
    e = check_list(net);
    if (e)
        return e;
    *ret = MOVE(net, NULL);
    return NULL;
}

static int is_conf(const struct dirent *d)
{
    return str_ends(d->d_name, ".conf") || str_ends(d->d_name, ".conflist") || str_ends(d->d_name, ".json");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* bytes, not the locale's order */
}

Err *cni_conf_load(const char *dir, json_t **ret)
{
    *ret = NULL;
    struct dirent **names = NULL;
    int n = scandir(dir, &names, is_conf, by_name);
    if (n < 0 && errno != ENOENT && errno != ENOTDIR)
        return err_new(ERR_SYS, errno, "read CNI configuration directory %s", dir);
    SCOPED(mem_free) char *path = n > 0 ? mem_fmt("%s/%s", dir, names[0]->d_name) : NULL;
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    if (!path)
        return NULL;
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, CNI_MAX_CONF, &text);
    if (!e)
        e = cni_conf_parse(str_or(text.p, ""), text.n, str_ends(path, ".conflist"), ret);
    return e ? err_wrap(e, "CNI configuration %s", path) : NULL;
}

const char *cni_conf_name(const json_t *net)
{
    return json_str(net, "name");
}
size_t cni_conf_n(const json_t *net)
{
    return json_array_size(json_object_get(net, "plugins"));
}

static json_t *plugin_at(const json_t *net, size_t i)
{
    return json_array_get(json_object_get(net, "plugins"), i);
}
const char *cni_conf_type(const json_t *net, size_t i)
{
    return json_str(plugin_at(net, i), "type");
}

bool cni_conf_since(const json_t *net, const char *version)
{
    return version_rank(str_or(json_str(net, "cniVersion"), versions[0])) >= version_rank(version);
}

static bool capable(const json_t *plugin, const char *capability)
{
    return json_is_true(json_object_get(json_object_get(plugin, "capabilities"), capability));
}

bool cni_conf_can(const json_t *net, const char *capability)
{
    for (size_t i = 0; i < cni_conf_n(net); i++)
        if (capable(plugin_at(net, i), capability))
            return true;
    return false;
}

json_t *cni_conf_exec(const json_t *net, size_t i, const json_t *runtime, json_t *prev)
{
    json_t *plugin = plugin_at(net, i);
    json_t *conf = json_copy(plugin); /* shallow: members are shared, never changed */
    json_object_set(conf, "name", json_object_get(net, "name"));
    json_object_set_new(conf, "cniVersion", json_string(str_or(json_str(net, "cniVersion"), versions[0])));
    json_object_del(conf, "capabilities");
    json_t *mine = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)runtime, key, value) if (capable(plugin, key))
        json_object_set(mine, key, value);
    if (json_object_size(mine))
        json_object_set(conf, "runtimeConfig", mine);
    json_decref(mine);
    if (prev)
        json_object_set(conf, "prevResult", prev);
    return conf;
}

/* kubelet's bounds: pkg/util/bandwidth/utils.go, 1k to 1P. */
static Err *add_rate(json_t *o, const char *which, const char *text)
{
    int64_t rate;
    if (!text)
        return NULL;
    if (!quantity_value(text, &rate))
        return err_new(ERR_INVALID, 0, "annotation kubernetes.io/%s-bandwidth: \"%s\" is not a quantity", which, text);
    if (rate < 1000)
        return err_new(ERR_INVALID, 0,
                       "annotation kubernetes.io/%s-bandwidth: resource is unreasonably small (< 1kbit)", which);
    if (rate > INT64_C(1000000000000000))
        return err_new(ERR_INVALID, 0,
                       "annotation kubernetes.io/%s-bandwidth: resource is unreasonably large (> 1Pbit)", which);
    /* One second's worth may go at once, but never less than some full frames, or nothing would pass at all. The plugin
     * refuses bursts of 2^32 and more. */
    int64_t burst = rate < 1000000 ? 1000000 : rate > UINT32_MAX ? UINT32_MAX : rate;
    SCOPED(mem_free) char *rate_key = mem_fmt("%sRate", which), *burst_key = mem_fmt("%sBurst", which);
    json_object_set_new(o, rate_key, json_integer(rate));
    json_object_set_new(o, burst_key, json_integer(burst));
    return NULL;
}

static json_t *port_mappings(const CniPod *pod)
{
    json_t *list = json_array();
    for (size_t i = 0; i < pod->n_ports; i++) {
        const PortMapping *p = &pod->ports[i];
        if (p->host_port <= 0)
            continue;
        json_t *m = json_object();
        json_object_set_new(m, "hostPort", json_integer(p->host_port));
        json_object_set_new(m, "containerPort", json_integer(p->container_port));
        SCOPED(mem_free) char *protocol = mem_dup_str(str_empty(p->protocol) ? "tcp" : p->protocol);
        for (char *c = protocol; *c; c++) /* the plugin wants lower case, Kubernetes writes TCP */
            *c = (char)tolower((unsigned char)*c);
        json_object_set_new(m, "protocol", json_string(protocol));
        if (!str_empty(p->host_ip))
            json_object_set_new(m, "hostIP", json_string(p->host_ip));
        json_array_append_new(list, m);
    }
    return list;
}

static bool any_address(const char *ip)
{
    return str_empty(ip) || str_eq(ip, "0.0.0.0") || str_eq(ip, "::");
}

static bool same_host_port(const json_t *a, const json_t *b)
{
    const char *ip_a = json_str(a, "hostIP"), *ip_b = json_str(b, "hostIP");
    return json_i64(a, "hostPort", 0) == json_i64(b, "hostPort", -1) &&
           str_eq(json_str(a, "protocol"), json_str(b, "protocol")) &&
           (any_address(ip_a) || any_address(ip_b) || str_eq(ip_a, ip_b));
}

bool cni_conf_ports_clash(const json_t *a, const json_t *b, int64_t *ret_port)
{
    const json_t *la = json_object_get(a, "portMappings"), *lb = json_object_get(b, "portMappings");
    for (size_t i = 0; i < json_array_size(la); i++)
        for (size_t k = 0; k < json_array_size(lb); k++)
            if (same_host_port(json_array_get(la, i), json_array_get(lb, k))) {
                *ret_port = json_i64(json_array_get(la, i), "hostPort", 0);
                return true;
            }
    return false;
}

Err *cni_conf_runtime(const CniPod *pod, json_t **ret)
{
    SCOPED(json_unref) json_t *runtime = json_object();
    json_t *ports = port_mappings(pod);
    if (json_array_size(ports))
        json_object_set(runtime, "portMappings", ports);
    json_decref(ports);
    SCOPED(json_unref) json_t *bandwidth = json_object();
    Err *e = add_rate(bandwidth, "ingress", pod->ingress_bandwidth);
    if (!e)
        e = add_rate(bandwidth, "egress", pod->egress_bandwidth);
    if (e)
        return e;
    if (json_object_size(bandwidth))
        json_object_set(runtime, "bandwidth", bandwidth);
    *ret = MOVE(runtime, NULL);
    return NULL;
}

char *cni_find_program(const char *dirs, const char *name)
{
    for (const char *p = dirs; *p;) {
        size_t n = strcspn(p, ":");
        SCOPED(mem_free) char *path = mem_fmt("%.*s/%s", (int)n, p, name);
        struct stat st;
        if (n && !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK))
            return MOVE(path, NULL);
        p += n + (p[n] == ':');
    }
    return NULL;
}

char *cni_search_path(void)
{
    const char *path = getenv("PATH");
    return mem_fmt("%s%s/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", str_or(path, ""),
                   str_empty(path) ? "" : ":");
}
