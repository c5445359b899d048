/* test_admit.c - admission by the kubelet's predicates, as a table: what is here, what comes, what is said. */
#include "check.h"

#include "api/objects.h"
#include "plan/admit.h"

#define C(more) "containers: [{name: c, image: i, " more "}]"
#define CPU(n) C("resources: {requests: {cpu: '" n "'}}")
#define MEM(n) C("resources: {requests: {memory: " n "}}")
#define PORT(p) C("ports: [{containerPort: 80, " p "}]")

static const struct {
    const char *name, *here[4], *phase /* of here[0] */, *pod, *reason, *message;
} cases[] = {
    {"alone", {NULL}, NULL, C(""), NULL, NULL},
    {"as much as there is", {CPU("1")}, NULL, CPU("1"), NULL, NULL},
    {"a milli-CPU more", {CPU("1")}, NULL, CPU("1001m"), "OutOfcpu",
     "Pod was rejected: Node didn't have enough resource: cpu, requested: 1001, used: 1000, capacity: 2000"},
    {"what has ended needs nothing", {CPU("2")}, "Failed", CPU("2"), NULL, NULL},
    {"ended well", {CPU("2")}, "Succeeded", CPU("2"), NULL, NULL},
    {"what is ending still does", {CPU("2")}, "Running", CPU("2"), "OutOfcpu",
     "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 2000, capacity: 2000"},
    {"nothing asked, nothing checked", {CPU("9")}, NULL, C(""), NULL, NULL},
    {"memory", {MEM("512Mi"), MEM("256Mi")}, NULL, MEM("512Mi"), "OutOfmemory",
     "Pod was rejected: Node didn't have enough resource: memory, requested: 536870912, used: 805306368, capacity: 1073741824"},
    {"limits stand in", {NULL}, NULL, C("resources: {limits: {cpu: 3}}"), "OutOfcpu",
     "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"},
    {"init containers, the largest", {NULL}, NULL, C("") ", initContainers: [{name: i, image: i, resources: {requests: {cpu: 3}}}]", "OutOfcpu",
     "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"},
    {"disk", {NULL}, NULL, C("resources: {requests: {ephemeral-storage: 2Gi}}"), "OutOfephemeral-storage",
     "Pod was rejected: Node didn't have enough resource: ephemeral-storage, requested: 2147483648, used: 0, capacity: 1073741824"},
    {"pods, before all else", {C(""), C(""), C("")}, NULL, CPU("9"), "OutOfpods",
     "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"},
    {"a port", {PORT("hostPort: 80")}, NULL, PORT("hostPort: 80"), "NodePorts",
     "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"},
    {"another port", {PORT("hostPort: 80")}, NULL, PORT("hostPort: 81"), NULL, NULL},
    {"another protocol", {PORT("hostPort: 80")}, NULL, PORT("hostPort: 80, protocol: UDP"), NULL, NULL},
    {"another address", {PORT("hostPort: 80, hostIP: 127.0.0.1")}, NULL, PORT("hostPort: 80, hostIP: 127.0.0.2"), NULL, NULL},
    {"any address", {PORT("hostPort: 80, hostIP: 127.0.0.1")}, NULL, PORT("hostPort: 80, hostIP: 0.0.0.0"), "NodePorts",
     "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"},
    {"no host port", {PORT("")}, NULL, PORT(""), NULL, NULL},
    {"host network", {PORT("") ", hostNetwork: true"}, NULL, PORT("hostPort: 80"), "NodePorts",
     "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"},
    {"a sidecar's", {C("") ", initContainers: [{name: s, image: i, restartPolicy: Always, ports: [{containerPort: 1, hostPort: 80}]}]"}, NULL,
     PORT("hostPort: 80"), "NodePorts",
     "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"},
    {"selector", {NULL}, NULL, C("") ", nodeSelector: {disk: ssd}", NULL, NULL},
    {"another selector", {NULL}, NULL, C("") ", nodeSelector: {disk: hdd}", "NodeAffinity",
     "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"},
    {"this node", {NULL}, NULL, C("") ", nodeName: here", NULL, NULL},
    {"another node", {NULL}, NULL, C("") ", nodeName: there", "NodeName",
     "Pod was rejected: Predicate NodeName failed: node(s) didn't match the requested node name"},
};

static Pod *pod_of(const char *spec)
{
    SCOPED(mem_free) char *text = mem_fmt("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {%s}}", spec);
    SCOPED(objects_done) Objects o = {0};
    SCOPED(doc_reports_done) DocReports r = {0};
    FeatureGates g;
    features_default(&g);
    CHECK_OK(objects_parse("t", text, strlen(text), &g, &o, &r));
    CHECK_INT(o.pods.n, 1);
    Pod *p = MOVE(o.pods.v[0], NULL);
    return p;
}

static void test_cases(void)
{
    StrPair label = {(char[]){"disk"}, (char[]){"ssd"}};
    StrMap labels = {1, &label};
    AdmitNode node = {"here", &labels, 2000, INT64_C(1) << 30, INT64_C(1) << 30, 3};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Pod *here[4] = {0};
        size_t n = 0;
        for (; n < 4 && cases[i].here[n]; n++)
            here[n] = pod_of(cases[i].here[n]);
        if (cases[i].phase)
            mem_set_str(&here[0]->status.phase, cases[i].phase);
        SCOPED(pod_free) Pod *p = pod_of(cases[i].pod);
        const Pod *others[4];
        memcpy(others, here, sizeof others);
        const char *reason = plan_admit(p, others, n, &node);
        if (!str_eq(reason, cases[i].reason))
            printf("# case %s\n", cases[i].name);
        CHECK_STR(reason, cases[i].reason);
        CHECK_STR(p->status.reason, cases[i].reason);
        CHECK_STR(p->status.message, cases[i].message);
        CHECK_STR(p->status.phase, cases[i].reason ? "Failed" : NULL);
        for (size_t k = 0; k < n; k++)
            pod_free(here[k]);
    }
}

static void test_pressure(void)
{
    AdmitNode node = {.name = "here", .cpu_milli = 1000, .max_pods = 0, .pressure.disk = true};
    SCOPED(pod_free) Pod *p = pod_of(C(""));
    CHECK_STR(plan_admit(p, NULL, 0, &node), "Evicted"); /* asked before the number of Pods */
    CHECK_STR(p->status.message, "Pod was rejected: The node had condition: [DiskPressure]. ");
    CHECK_STR(p->status.phase, "Failed");
}

TESTS(T(test_cases), T(test_pressure))
