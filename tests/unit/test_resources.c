#include "check.h"

#include "api/codec.h"
#include "node/resources.h"
#include "wire/json.h"

#define GIB INT64_C(1073741824)

static Pod *pod_of(const char *spec)
{
    SCOPED(mem_free) char *text = mem_fmt("{\"spec\":%s}", spec);
    json_t *j = NULL;
    CHECK_OK(json_parse(text, strlen(text), &j));
    Report r = {0};
    Pod *p = api_decode(&type_Pod, j, "", DECODE_STRICT, &r);
    CHECK(report_ok(&r));
    report_done(&r);
    json_decref(j);
    return p;
}

static void test_cpu(void)
{
    static const struct { int64_t milli, shares, quota; } rows[] = {
        {0, 2, 0}, {1, 2, 1000}, {2, 2, 1000}, {3, 3, 1000}, {10, 10, 1000}, {100, 102, 10000}, {1000, 1024, 100000},
        {2500, 2560, 250000}, {INT64_MAX, INT64_MAX, INT64_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK_INT(resources_cpu_shares(rows[i].milli), rows[i].shares);
        CHECK_INT(resources_cpu_quota(rows[i].milli), rows[i].quota);
    }
}

#define CTR(n, res) "{\"name\":\"" n "\",\"resources\":{" res "}}"
#define SIDE(n, res) "{\"name\":\"" n "\",\"restartPolicy\":\"Always\",\"resources\":{" res "}}"
#define REQ(c, m) "\"requests\":{\"cpu\":\"" c "\",\"memory\":\"" m "\"}"
#define LIM(c, m) "\"limits\":{\"cpu\":\"" c "\",\"memory\":\"" m "\"}"

/* KEP-753's own examples among them. */
static void test_sums(void)
{
    static const struct { const char *spec; int64_t cpu, memory;
    } rows[] = {
        {"{\"containers\":[" CTR("a", REQ("1", "1Gi")) "," CTR("b", REQ("500m", "2Gi")) "]}", 1500, 3},
        {"{\"initContainers\":[" CTR("i", REQ("4", "1Gi")) "],\"containers\":[" CTR("a", REQ("1", "2Gi")) "]}", 4000,
         2},
        /* a sidecar counts beside the regular ones, and beside the init containers after it, not before it */
        {"{\"initContainers\":[" SIDE("s", REQ("1", "1Gi")) "," CTR("i", REQ("4", "1Gi")) "],\"containers\":[" CTR(
             "a", REQ("1", "2Gi")) "]}",
         5000, 3},
        {"{\"initContainers\":[" CTR("i", REQ("4", "1Gi")) "," SIDE("s", REQ("1", "1Gi")) "],\"containers\":[" CTR(
             "a", REQ("1", "2Gi")) "]}",
         4000, 3},
        {"{\"initContainers\":[" SIDE("s", REQ("3", "1Gi")) "," CTR("i", REQ("1", "1Gi")) "," SIDE(
             "t", REQ("2", "1Gi")) "],\"containers\":[" CTR("a", REQ("1", "1Gi")) "]}",
         6000, 3},
        {"{\"containers\":[{\"name\":\"a\"}]}", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Pod *p = pod_of(rows[i].spec);
        CHECK_INT(resources_sum(p, "cpu", false, NULL), rows[i].cpu);
        CHECK_INT(resources_sum(p, "memory", false, NULL), rows[i].memory * GIB);
        pod_free(p);
    }
}

static void test_pod(void)
{
    static const struct { const char *spec; int64_t shares, quota, memory;
    } rows[] = {
        {"{\"containers\":[{\"name\":\"a\"}]}", 2, 0, 0},                                          /* BestEffort */
        {"{\"containers\":[" CTR("a", REQ("1", "1Gi") "," LIM("1", "1Gi")) "]}", 1024, 100000, 1}, /* Guaranteed */
        {"{\"containers\":[" CTR("a", REQ("1", "1Gi") "," LIM("2", "2Gi")) "," CTR("b", REQ("1", "1Gi")) "]}", 2048, 0,
         0}, /* b has no limit */
        {"{\"containers\":[" CTR("a", REQ("1", "1Gi") "," LIM("2", "2Gi")) "," CTR("b", LIM("1", "1Gi")) "]}", 1024,
         300000, 3},
        {"{\"overhead\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"containers\":[" CTR(
             "a", REQ("1", "1Gi") "," LIM("2", "2Gi")) "]}",
         2048, 300000, 3},
        {"{\"overhead\":{\"cpu\":\"1\"},\"containers\":[" CTR("a", REQ("1", "1Gi")) "]}", 2048, 0, 0},
        /* the Pod's own numbers count in place of the sums, and limit containers without */
        {"{\"resources\":{" REQ("3", "3Gi") "," LIM("4", "4Gi") "},\"containers\":[" CTR("a", REQ("1", "1Gi")) "]}",
         3072, 400000, 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Pod *p = pod_of(rows[i].spec);
        SandboxConfig c = {.cpu_shares = -1};
        resources_pod(p, &c);
        CHECK_INT(c.cpu_shares, rows[i].shares);
        CHECK_INT(c.cpu_quota_us, rows[i].quota);
        CHECK_INT(c.cpu_period_us, rows[i].quota ? 100000 : 0);
        CHECK_INT(c.memory_limit_bytes, rows[i].memory * GIB);
        pod_free(p);
    }
}

static void test_container(void)
{
    static const struct { const char *spec; int64_t shares, quota, memory, oom;
    } rows[] = {
        /* a node of 8 GiB */
        {"{\"containers\":[{\"name\":\"a\"}]}", 2, 0, 0, 1000},
        {"{\"containers\":[" CTR("a", REQ("1", "1Gi") "," LIM("1", "1Gi")) "]}", 1024, 100000, 1, -997},
        {"{\"containers\":[" CTR("a", LIM("2", "4Gi") "," REQ("500m", "2Gi")) "]}", 512, 200000, 4, 750},
        {"{\"containers\":[" CTR("a", "\"limits\":{\"cpu\":\"2\"}") "]}", 2048, 200000, 0,
         999}, /* a limit stands in for the request */
        {"{\"containers\":[" CTR("a", REQ("0", "8Gi") ",\"limits\":{\"cpu\":\"1\"}") "]}", 2, 100000, 0,
         3},                                                                 /* never at Guaranteed's */
        {"{\"containers\":[" CTR("a", REQ("1", "1")) "]}", 1024, 0, 0, 999}, /* never at BestEffort's */
        {"{\"priorityClassName\":\"system-node-critical\",\"containers\":[{\"name\":\"a\"}]}", 2, 0, 0, -997},
        {"{\"resources\":{" LIM("2", "2Gi") "," REQ("1", "2Gi") "},\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}",
         2048, 200000, 2, 875},
        {"{\"resources\":{" LIM("2", "4Gi") "," REQ("1", "4Gi") "},\"containers\":[" CTR(
             "a", REQ("1", "2Gi") "," LIM("1", "2Gi")) ",{\"name\":\"b\"}]}",
         1024, 100000, 2, 625},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Pod *p = pod_of(rows[i].spec);
        ContainerConfig c = {0};
        resources_container(p, &p->spec.containers.v[0], 8 * GIB, &c);
        CHECK_INT(c.cpu_shares, rows[i].shares);
        CHECK_INT(c.cpu_quota_us, rows[i].quota);
        CHECK_INT(c.memory_limit_bytes, rows[i].memory * GIB);
        if (c.oom_score_adj != rows[i].oom)
            printf("# row %zu\n", i);
        CHECK_INT(c.oom_score_adj, rows[i].oom);
        free(c.hugepages.v);
        pod_free(p);
    }
}

static void test_sidecar_oom(void)
{
    Pod *p = pod_of("{\"initContainers\":[" SIDE("s", REQ("1", "1Mi")) "],\"containers\":[" CTR(
        "a", REQ("1", "4Gi")) "," CTR("b", REQ("1", "2Gi")) "]}");
    ContainerConfig c = {0};
    resources_container(p, &p->spec.init_containers.v[0], 8 * GIB, &c);
    CHECK_INT(c.oom_score_adj, 750); /* as b: the smaller of the two that it serves */
    pod_free(p);
}

static void test_hugepages(void)
{
    Pod *p = pod_of("{\"containers\":[" CTR("a", "\"limits\":{\"cpu\":\"1\",\"hugepages-1Gi\":\"2Gi\",\"hugepages-"
                                                 "2Mi\":\"10Mi\",\"hugepages-3Mi\":\"3Mi\"}") "]}");
    ContainerConfig c = {0};
    resources_container(p, &p->spec.containers.v[0], 8 * GIB, &c);
    CHECK_INT(c.hugepages.n, 2);
    CHECK_STR(c.hugepages.v[0].page_size, "1GB");
    CHECK_INT(c.hugepages.v[0].limit_bytes, 2 * GIB);
    CHECK_STR(c.hugepages.v[1].page_size, "2MB");
    CHECK_INT(c.hugepages.v[1].limit_bytes, 10 << 20);
    free(c.hugepages.v);
    pod_free(p);
}

TESTS(T(test_cpu), T(test_sums), T(test_pod), T(test_container), T(test_sidecar_oom), T(test_hugepages))
