/* describe_node.c - kubectl's describeNode(): what the node is, and what its Pods ask for of it. A Lease is not asked
 * for: this API has none. */
#include "api/codec.h"
#include "api/quantity.h"
#include "api/requests.h"
#include "client/describe_priv.h"
#include "kube/table.h"

static int compare_taints(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    int c = strcmp(at_str(*x, "effect"), at_str(*y, "effect"));
    return c ? c : strcmp(at_str(*x, "key"), at_str(*y, "key"));
}

static void taints(Desc *d, const json_t *list)
{
    size_t n;
    const json_t **v = sorted(list, compare_taints, &n);
    w(d, 0, "Taints:\t%s", n ? "" : "<none>\n");
    for (size_t i = 0; i < n; i++) {
        const char *value = at_str(v[i], "value"), *effect = at_str(v[i], "effect");
        w(d, 0, "%s%s%s%s%s%s\n", i ? "\t" : "", at_str(v[i], "key"), *value ? "=" : "", value, *effect ? ":" : "",
          effect);
    }
    free(v);
}

#define ROLE_PREFIX "node-role.kubernetes.io/"

static void roles(Desc *d, const json_t *labels)
{
    SCOPED(strvec_done) StrVec keys = keys_sorted(labels);
    SCOPED(str_done) Str s = {0};
    for (size_t i = 0; i < keys.n; i++) {
        const char *role = str_starts(keys.v[i], ROLE_PREFIX)        ? keys.v[i] + sizeof ROLE_PREFIX - 1
                           : str_eq(keys.v[i], "kubernetes.io/role") ? str_or(json_str(labels, keys.v[i]), "")
                                                                     : "";
        if (*role)
            str_fmt(&s, "%s%s", s.n ? "," : "", role);
    }
    w(d, 0, "Roles:\t%s\n", or_none(s.p));
}

static void conditions(Desc *d, const json_t *list)
{
    char a[RFC1123_MAX], b[RFC1123_MAX];
    if (!json_array_size(list))
        return;
    w(d, 0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n");
    w(d, 1, "----\t------\t-----------------\t------------------\t------\t-------\n");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        w(d, 1, "%s \t%s \t%s \t%s \t%s \t%s\n", at_str(c, "type"), at_str(c, "status"),
          rfc1123(at_str(c, "lastHeartbeatTime"), a), rfc1123(at_str(c, "lastTransitionTime"), b), at_str(c, "reason"),
          at_str(c, "message"));
    }
}

static void system_info(Desc *d, const json_t *info)
{
    static const char *const rows[][2] = {{"Machine ID", "machineID"},
                                          {"System UUID", "systemUUID"},
                                          {"Boot ID", "bootID"},
                                          {"Kernel Version", "kernelVersion"},
                                          {"OS Image", "osImage"},
                                          {"Operating System", "operatingSystem"},
                                          {"Architecture", "architecture"},
                                          {"Container Runtime Version", "containerRuntimeVersion"},
                                          {"Kubelet Version", "kubeletVersion"}};
    w(d, 0, "System Info:\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        w(d, 1, "%s:\t%s\n", rows[i][0], at_str(info, rows[i][1]));
}

/* --- what the Pods ask for ---------------------------------------------------------------------------------------- */

/* An amount of resource_amount()'s units as a Quantity: "250m", "1", "128Mi". Caller frees. */
static char *amount_text(const char *resource, int64_t v)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
    size_t u = 0;
    if (str_eq(resource, "cpu"))
        return v % 1000 ? mem_fmt("%lldm", (long long)v) : mem_fmt("%lld", (long long)(v / 1000));
    while (v && v % 1024 == 0 && u + 1 < ARRAY_LEN(units)) {
        v /= 1024;
        u++;
    }
    return mem_fmt("%lld%s", (long long)v, units[u]);
}

static int64_t amount_of(const json_t *list, const char *resource)
{
    SCOPED(mem_free) char *text = value_text(json_object_get(list, resource));
    int64_t v = 0;
    if (*text && !(str_eq(resource, "cpu") ? quantity_milli(text, &v) : quantity_value(text, &v)))
        v = 0;
    return v;
}

static long long percent(int64_t part, int64_t whole)
{
    return whole ? (long long)((double)part / (double)whole * 100) : 0;
}

static char *share_text(const char *resource, int64_t part, const json_t *allocatable)
{
    SCOPED(mem_free) char *text = amount_text(resource, part);
    return mem_fmt("%s (%lld%%)", text, percent(part, amount_of(allocatable, resource)));
}

static Pod *decode(const json_t *pod)
{
    SCOPED(report_done) Report r = {0};
    return api_decode(&type_Pod, pod, "", DECODE_LENIENT, &r);
}

static void pod_line(Desc *d, const json_t *pod, const json_t *allocatable)
{
    char age[HUMAN_MAX];
    SCOPED(pod_free) Pod *p = decode(pod);
    w(d, 1, "%s\t%s\t", at_str(pod, "metadata.namespace"), at_str(pod, "metadata.name"));
    for (int i = 0; i < 4; i++) {
        const char *resource = i < 2 ? "cpu" : "memory";
        SCOPED(mem_free) char *text = share_text(resource, pod_amount(p, resource, i % 2, NULL), allocatable);
        w(d, 0, "\t%s", text);
    }
    w(d, 0, "\t%s\n", age_of(d, at_str(pod, "metadata.creationTimestamp"), age));
}

static void allocated_line(Desc *d, Pod *const *pods, size_t n, const char *resource, const json_t *allocatable)
{
    bool shares = str_eq(resource, "cpu") || str_eq(resource, "memory") || str_eq(resource, "ephemeral-storage") ||
                  str_starts(resource, "hugepages-");
    w(d, 1, "%s", resource);
    for (int limits = 0; limits < 2; limits++) {
        int64_t sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += pod_amount(pods[i], resource, limits, NULL);
        SCOPED(mem_free) char *text = shares ? share_text(resource, sum, allocatable) : amount_text(resource, sum);
        w(d, 0, "\t%s", text);
    }
    w(d, 0, "\n");
}

/* cpu, memory, storage, huge pages, then what else the node has. */
static void allocated(Desc *d, Pod *const *pods, size_t n, const json_t *allocatable)
{
    static const char *const standard[] = {"cpu", "memory", "ephemeral-storage"};
    SCOPED(strvec_done) StrVec keys = keys_sorted(allocatable);
    for (size_t i = 0; i < ARRAY_LEN(standard); i++)
        allocated_line(d, pods, n, standard[i], allocatable);
    for (int huge = 1; huge >= 0; huge--)
        for (size_t i = 0; i < keys.n; i++) {
            bool known = str_eq(keys.v[i], "pods");
            for (size_t k = 0; k < ARRAY_LEN(standard); k++)
                known = known || str_eq(keys.v[i], standard[k]);
            if (!known && str_starts(keys.v[i], "hugepages-") == (huge == 1))
                allocated_line(d, pods, n, keys.v[i], allocatable);
        }
}

static void pods(Desc *d, const json_t *node)
{
    const json_t *list = d->with->pods, *allocatable = at(node, "status.allocatable");
    size_t n = json_array_size(list);
    if (!list) {
        w(d, 0, "Pods:\tnot authorized\n");
        return;
    }
    if (!json_object_size(allocatable))
        allocatable = at(node, "status.capacity");
    w(d, 0, "Non-terminated Pods:\t(%zu in total)\n", n);
    w(d, 1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge\n");
    w(d, 1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---\n");
    Pod **all = mem_alloc_n(n + 1, sizeof(Pod *));
    for (size_t i = 0; i < n; i++) {
        all[i] = decode(json_array_get(list, i));
        pod_line(d, json_array_get(list, i), allocatable);
    }
    w(d, 0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)\n");
    w(d, 1, "Resource\tRequests\tLimits\n");
    w(d, 1, "--------\t--------\t------\n");
    allocated(d, all, n, allocatable);
    for (size_t i = 0; i < n; i++)
        pod_free(all[i]);
    free(all);
}

void describe_node(Desc *d, const json_t *node)
{
    static const char *const lists[][2] = {{"Capacity", "status.capacity"}, {"Allocatable", "status.allocatable"}};
    const json_t *addresses = at(node, "status.addresses");
    char buf[RFC1123_MAX];
    w(d, 0, "Name:\t%s\n", at_str(node, "metadata.name"));
    roles(d, at(node, "metadata.labels"));
    desc_meta(d, node);
    w(d, 0, "CreationTimestamp:\t%s\n", rfc1123(at_str(node, "metadata.creationTimestamp"), buf));
    taints(d, at(node, "spec.taints"));
    w(d, 0, "Unschedulable:\t%s\n", at_true(node, "spec.unschedulable") ? "true" : "false");
    conditions(d, at(node, "status.conditions"));
    w(d, 0, "Addresses:\n");
    for (size_t i = 0; i < json_array_size(addresses); i++)
        w(d, 1, "%s:\t%s\n", at_str(json_array_get(addresses, i), "type"),
          at_str(json_array_get(addresses, i), "address"));
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (json_object_size(at(node, lists[i][1])))
            w(d, 0, "%s:\n", lists[i][0]);
        desc_resources(d, 1, at(node, lists[i][1]));
    }
    system_info(d, at(node, "status.nodeInfo"));
    if (*at_str(node, "spec.podCIDR"))
        w(d, 0, "PodCIDR:\t%s\n", at_str(node, "spec.podCIDR"));
    pods(d, node);
    describe_events(d);
}
