#include "daemon/node_object.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/codec.h"
#include "base/clock.h"
#include "node/allocatable.h"
#include "os/fs.h"

#define TEXT_MAX 4096

typedef struct {
    char *type, *reason, *message;
    bool on;
    int64_t since_ns;
} Condition;

struct NodeObject {
    NodeObjectConfig c;
    ObjStore *store;
    Recorder *events;
    LIST_OF(Condition) conditions;
    int64_t heartbeat_ns;
    char *uid, *arch;
    json_t *images; /* NULL = not known */
    StrMap labels;
    LIST_OF(BindTaint) taints; /* strings owned */
    BindNode bind;
};

/* --- what the machine is ----------------------------------------------------------------------------------------------- */

static char *file_line(const char *path)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read(path, TEXT_MAX, &s);
    if (e || !s.n)
        return mem_dup_str("");
    return mem_dup_strn(s.p, strcspn(s.p, "\n"));
}

/* PRETTY_NAME of os-release(5), without its quotes. */
static char *os_image(void)
{
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read("/etc/os-release", TEXT_MAX, &s);
    const char *p = e || !s.n ? NULL : strstr(s.p, "PRETTY_NAME=");
    if (!p || (p != s.p && p[-1] != '\n'))
        return mem_dup_str("Unknown");
    p += strlen("PRETTY_NAME=");
    size_t n = strcspn(p, "\n");
    bool quoted = n >= 2 && (*p == '"' || *p == '\'') && p[n - 1] == *p;
    return quoted ? mem_dup_strn(p + 1, n - 2) : mem_dup_strn(p, n);
}

static char *go_arch(const char *machine)
{
    static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"}, {"i686", "386"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(machine, names[i][0]))
            return mem_dup_str(names[i][1]);
    return mem_dup_str(machine);
}

static void set_text(json_t *o, const char *key, const char *value)
{
    json_t *text = json_string(value); /* NULL for what is no UTF-8 */
    json_object_set_new(o, key, text ? text : json_string(""));
}

static json_t *node_info(const NodeObject *n)
{
    struct utsname u = {0};
    (void)uname(&u);
    SCOPED(mem_free) char *machine = file_line("/etc/machine-id");
    SCOPED(mem_free) char *system = file_line("/sys/class/dmi/id/product_uuid");
    SCOPED(mem_free) char *image = os_image();
    json_t *o = json_object();
    set_text(o, "machineID", machine);
    set_text(o, "systemUUID", *system ? system : machine); /* as cadvisor, where there is no DMI */
    set_text(o, "bootID", os_boot_id());
    set_text(o, "kernelVersion", u.release);
    set_text(o, "osImage", image);
    set_text(o, "containerRuntimeVersion", n->c.runtime_version);
    set_text(o, "kubeletVersion", "v1.35.0+reprise-" REPRISE_VERSION);
    set_text(o, "kubeProxyVersion", "");
    set_text(o, "operatingSystem", "linux");
    set_text(o, "architecture", n->arch);
    return o;
}

/* The address of the host's own that Pods and clients would use: the first global ones, as in status.hostIPs. */
static json_t *addresses(const NodeObject *n)
{
    json_t *list = json_array();
    struct ifaddrs *all = NULL;
    char text[2][NI_MAXHOST] = {"", ""};
    if (getifaddrs(&all) == 0)
        for (struct ifaddrs *i = all; i; i = i->ifa_next) {
            int family = i->ifa_addr ? i->ifa_addr->sa_family : 0, v6 = family == AF_INET6;
            if ((family != AF_INET && !v6) || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP) || text[v6][0] ||
                str_starts(i->ifa_name, "cni") || str_starts(i->ifa_name, "reprise") || str_starts(i->ifa_name, "docker"))
                continue;
            socklen_t len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
            if (getnameinfo(i->ifa_addr, len, text[v6], sizeof text[v6], NULL, 0, NI_NUMERICHOST) != 0 || strchr(text[v6], '%'))
                text[v6][0] = '\0';
        }
    freeifaddrs(all);
    if (!text[0][0] && !text[1][0])
        strcpy(text[0], "127.0.0.1");
    for (int i = 0; i < 2; i++)
        if (text[i][0])
            json_array_append_new(list, json_pack("{s:s, s:s}", "type", "InternalIP", "address", text[i]));
    json_array_append_new(list, json_pack("{s:s, s:s}", "type", "Hostname", "address", n->c.name));
    return list;
}

static void set_amount(json_t *o, const char *key, int64_t amount, const char *unit)
{
    SCOPED(mem_free) char *text = mem_fmt("%lld%s", (long long)(amount > 0 ? amount : 0), unit);
    set_text(o, key, text);
}

static json_t *resources(const NodeObject *n, bool allocatable)
{
    int64_t cpu = node_cpu_milli() - (allocatable ? n->c.reserved_cpu_milli : 0);
    int64_t memory = node_memory_bytes() - (allocatable ? n->c.reserved_memory_bytes : 0);
    json_t *o = json_object();
    if (cpu % 1000)
        set_amount(o, "cpu", cpu, "m");
    else
        set_amount(o, "cpu", cpu / 1000, "");
    set_amount(o, "ephemeral-storage", node_storage_bytes(n->c.root) / 1024, "Ki");
    set_amount(o, "memory", memory / 1024, "Ki");
    set_amount(o, "pods", n->c.max_pods, "");
    return o;
}

/* --- conditions -------------------------------------------------------------------------------------------------------- */

/* The kubelet's conditions in its order, the events of what becomes of them, and the taints that a cluster's node controllers add. */
static const struct {
    const char *type, *reason, *message, *event_on, *event_off, *taint;
    bool on, taint_on;
} known[] = {
    {"MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available", "NodeHasInsufficientMemory",
     "NodeHasSufficientMemory", "node.kubernetes.io/memory-pressure", false, true},
    {"DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure",
     "node.kubernetes.io/disk-pressure", false, true},
    {"PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasInsufficientPID", "NodeHasSufficientPID",
     "node.kubernetes.io/pid-pressure", false, true},
    {"Ready", "KubeletReady", "kubelet is posting ready status", "NodeReady", "NodeNotReady", "node.kubernetes.io/not-ready", true, false},
};

static Condition *condition_of(const NodeObject *n, const char *type)
{
    LIST_EACH(c, &n->conditions)
        if (str_eq(c->type, type))
            return c;
    return NULL;
}

static void add_condition(NodeObject *n, const char *type, bool on, const char *reason, const char *message)
{
    *LIST_ADD(&n->conditions) = (Condition){mem_dup_str(type), mem_dup_str(reason), mem_dup_str(message), on, os_now_ns()};
}

static void set_time(json_t *o, const char *key, int64_t ns)
{
    char text[CLOCK_TEXT_MAX];
    json_object_set_new(o, key, json_string(clock_format(ns, 0, text)));
}

/* lastTransitionTime outlives us: what the stored Node says of the same state is kept. */
static void adopt_times(NodeObject *n, const json_t *node)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(json_object_get(node, "status"), "conditions"), i, c)
    {
        Condition *mine = condition_of(n, json_str(c, "type"));
        const char *since = json_str(c, "lastTransitionTime");
        int64_t ns;
        if (mine && since && str_eq(json_str(c, "status"), mine->on ? "True" : "False") && clock_parse(since, &ns))
            mine->since_ns = ns;
    }
}

static json_t *conditions(const NodeObject *n)
{
    json_t *list = json_array();
    LIST_EACH(c, &n->conditions) {
        json_t *o = json_pack("{s:s, s:s}", "type", c->type, "status", c->on ? "True" : "False");
        set_time(o, "lastHeartbeatTime", n->heartbeat_ns);
        set_time(o, "lastTransitionTime", c->since_ns);
        set_text(o, "reason", c->reason);
        set_text(o, "message", c->message);
        json_array_append_new(list, o);
    }
    return list;
}

/* --- the object -------------------------------------------------------------------------------------------------------- */

static bool is_taint(const json_t *t, const char *key)
{
    return str_eq(json_str(t, "key"), key) && str_eq(json_str(t, "effect"), "NoSchedule");
}

static void want_taint(json_t *taints, const char *key, bool wanted)
{
    bool there = false;
    for (size_t i = json_array_size(taints); i-- > 0;) {
        if (!is_taint(json_array_get(taints, i), key))
            continue;
        there = true;
        if (!wanted)
            (void)json_array_remove(taints, i);
    }
    if (wanted && !there)
        json_array_append_new(taints, json_pack("{s:s, s:s}", "key", key, "effect", "NoSchedule"));
}

static void set_taints(const NodeObject *n, json_t *spec)
{
    json_t *old = json_object_get(spec, "taints");
    json_t *taints = json_is_array(old) ? json_deep_copy(old) : json_array();
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        const Condition *c = condition_of(n, known[i].type);
        want_taint(taints, known[i].taint, c && c->on == known[i].taint_on);
    }
    want_taint(taints, "node.kubernetes.io/unschedulable", json_flag(spec, "unschedulable", false));
    if (json_array_size(taints))
        json_object_set(spec, "taints", taints);
    else
        (void)json_object_del(spec, "taints");
    json_decref(taints);
}

static json_t *node_new(const NodeObject *n)
{
    SCOPED(mem_free) char *uid = os_uuid();
    json_t *o = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{}}", "kind", "Node", "apiVersion", "v1", "metadata", "name", n->c.name, "uid", uid,
                          "spec");
    set_time(json_object_get(o, "metadata"), "creationTimestamp", os_now_ns());
    return o;
}

static json_t *object_in(json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    if (!json_is_object(v)) {
        v = json_object();
        json_object_set_new(o, key, v);
    }
    return v;
}

static void fill(const NodeObject *n, json_t *o)
{
    json_t *labels = object_in(object_in(o, "metadata"), "labels");
    set_text(labels, "kubernetes.io/arch", n->arch);
    set_text(labels, "kubernetes.io/hostname", n->c.name);
    set_text(labels, "kubernetes.io/os", "linux");
    set_taints(n, object_in(o, "spec"));
    json_t *status = object_in(o, "status");
    json_object_set_new(status, "capacity", resources(n, false));
    json_object_set_new(status, "allocatable", resources(n, true));
    json_object_set_new(status, "conditions", conditions(n));
    json_object_set_new(status, "addresses", addresses(n));
    json_object_set_new(status, "daemonEndpoints", json_pack("{s:{s:i}}", "kubeletEndpoint", "Port", (int)n->c.port));
    json_object_set_new(status, "nodeInfo", node_info(n));
    if (n->images)
        json_object_set(status, "images", n->images);
}

static void forget_bind(NodeObject *n)
{
    LIST_EACH(l, &n->labels) {
        free(l->key);
        free(l->value);
    }
    LIST_EACH(t, &n->taints) {
        free((void *)(uintptr_t)t->key);
        free((void *)(uintptr_t)t->value);
        free((void *)(uintptr_t)t->effect);
    }
    n->labels.n = n->taints.n = 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const StrPair *)a)->key, ((const StrPair *)b)->key);
}

/* What the Node says now is what Pods are measured by. */
static void take_bind(NodeObject *n, const json_t *node)
{
    const char *key;
    json_t *v, *meta = json_object_get(node, "metadata"), *spec = json_object_get(node, "spec");
    size_t i;
    forget_bind(n);
    json_object_foreach(json_object_get(meta, "labels"), key, v)
        *LIST_ADD(&n->labels) = (StrPair){mem_dup_str(key), mem_dup_str(str_or(json_string_value(v), ""))};
    if (n->labels.n)
        qsort(n->labels.v, n->labels.n, sizeof *n->labels.v, by_key);
    json_array_foreach(json_object_get(spec, "taints"), i, v)
        *LIST_ADD(&n->taints) = (BindTaint){mem_dup_str(json_str(v, "key")), mem_dup_str(json_str(v, "value")), mem_dup_str(json_str(v, "effect"))};
    mem_set_str(&n->uid, str_or(json_str(meta, "uid"), ""));
    n->bind.unschedulable = json_flag(spec, "unschedulable", false);
    n->bind.taints = n->taints.v;
    n->bind.n_taints = n->taints.n;
    n->bind.admit.name = n->c.name;
    n->bind.admit.labels = &n->labels;
    n->bind.admit.cpu_milli = node_cpu_milli() - n->c.reserved_cpu_milli;
    n->bind.admit.memory_bytes = node_memory_bytes() - n->c.reserved_memory_bytes;
    n->bind.admit.storage_bytes = node_storage_bytes(n->c.root);
    n->bind.admit.max_pods = n->c.max_pods;
}

static json_t *stored(const NodeObject *n)
{
    const ObjItem *i = objstore_get(n->store, "nodes", "", n->c.name);
    return i ? objitem_json(i) : NULL;
}

static void write_node(NodeObject *n)
{
    SCOPED(json_unref) json_t *old = stored(n);
    SCOPED(json_unref) json_t *o = old ? json_incref(old) : node_new(n);
    fill(n, o);
    err_free(old ? objstore_update(n->store, "nodes", o, NULL, NULL) : objstore_create(n->store, "nodes", o, NULL, NULL));
    take_bind(n, o); /* also when it could not be stored */
}

void node_object_event(NodeObject *n, bool warning, const char *reason, const char *message)
{
    /* nodeRef(): the uid of a Node in the kubelet's events is its name. */
    EventObject o = {.kind = "Node", .name = n->c.name, .uid = n->c.name};
    recorder_event(n->events, &o, EVENTS_KUBELET, warning, reason, message, os_now_ns());
}

static void status_event(NodeObject *n, const char *event)
{
    SCOPED(mem_free) char *text = mem_fmt("Node %s status is now: %s", n->c.name, event);
    node_object_event(n, false, event, text);
}

/* What the kubelet says of conditions that become another. */
static void condition_event(NodeObject *n, const Condition *c)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(known[i].type, c->type))
            status_event(n, c->on ? known[i].event_on : known[i].event_off);
}

void node_object_set_condition(NodeObject *n, const char *type, bool on, const char *reason, const char *message)
{
    Condition *c = condition_of(n, type);
    if (!c) {
        add_condition(n, type, on, reason, message);
        write_node(n);
        return;
    }
    bool turned = c->on != on;
    if (!turned && str_eq(c->reason, reason) && str_eq(c->message, message))
        return;
    c->on = on;
    mem_set_str(&c->reason, reason);
    mem_set_str(&c->message, message);
    n->heartbeat_ns = os_now_ns();
    if (turned)
        c->since_ns = n->heartbeat_ns;
    write_node(n);
    if (turned)
        condition_event(n, c);
}

void node_object_heartbeat(NodeObject *n)
{
    n->heartbeat_ns = os_now_ns();
    write_node(n);
}

void node_object_set_images(NodeObject *n, json_t *images)
{
    json_decref(n->images);
    n->images = images;
    write_node(n);
}

void node_object_changed(NodeObject *n)
{
    bool was = n->bind.unschedulable;
    write_node(n); /* what is ours is put back; what changes nothing is not written */
    if (was != n->bind.unschedulable)
        status_event(n, n->bind.unschedulable ? "NodeNotSchedulable" : "NodeSchedulable");
}

const BindNode *node_object_bind(const NodeObject *n)
{
    return &n->bind;
}

const char *node_object_uid(const NodeObject *n)
{
    return str_or(n->uid, "");
}

NodeObject *node_object_new(const NodeObjectConfig *c, ObjStore *store, Recorder *events)
{
    struct utsname u = {0};
    (void)uname(&u);
    NodeObject *n = NEW(NodeObject);
    *n = (NodeObject){.c = *c, .store = store, .events = events, .arch = go_arch(u.machine), .heartbeat_ns = os_now_ns()};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        add_condition(n, known[i].type, known[i].on, known[i].reason, known[i].message);
    SCOPED(json_unref) json_t *old = stored(n);
    const char *boot = json_str(json_object_get(json_object_get(old, "status"), "nodeInfo"), "bootID");
    SCOPED(mem_free) char *rebooted =
        boot && !str_eq(boot, os_boot_id()) ? mem_fmt("Node %s has been rebooted, boot id: %s", c->name, os_boot_id()) : NULL;
    adopt_times(n, old);
    write_node(n);
    node_object_event(n, false, "Starting", "Starting kubelet.");
    if (rebooted)
        node_object_event(n, true, "Rebooted", rebooted);
    return n;
}

void node_object_free(NodeObject *n)
{
    if (!n)
        return;
    LIST_EACH(c, &n->conditions) {
        free(c->type);
        free(c->reason);
        free(c->message);
    }
    free(n->conditions.v);
    forget_bind(n);
    free(n->labels.v);
    free(n->taints.v);
    json_decref(n->images);
    free(n->uid);
    free(n->arch);
    free(n);
}
