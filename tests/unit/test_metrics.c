/* test_metrics.c - what /metrics, /metrics/resource and /stats/summary say, read by a parser that takes nothing on trust; the meter of a
 * runtime; what a cgroup uses, of either version; the helper that counts directories. */
#include "check.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "api/codec.h"
#include "daemon/metrics.h"
#include "daemon/prometheus.h"
#include "daemon/summary.h"
#include "node/node_stats.h"
#include "os/cgroup.h"
#include "os/fs.h"
#include "runtime/fake/fake.h"

/* --- Prometheus' text format 0.0.4, strictly ---------------------------------------------------------------------------------------- */

typedef struct {
    StrVec families, series; /* names; "name{labels}" */
    char *family, *type;     /* of now */
    double last_bucket, inf_bucket;
    char *problem;
} Parser;

static void wrong(Parser *p, const char *line, const char *why)
{
    if (!p->problem)
        p->problem = mem_fmt("%s: %s", why, line);
}

static size_t name_length(const char *s, bool label)
{
    size_t n = 0;
    while (isalpha((unsigned char)s[n]) || s[n] == '_' || (!label && s[n] == ':') || (n && isdigit((unsigned char)s[n])))
        n++;
    return n;
}

static void parse_comment(Parser *p, const char *line)
{
    bool help = str_starts(line, "# HELP ");
    if (!help && !str_starts(line, "# TYPE ")) {
        wrong(p, line, "neither HELP nor TYPE");
        return;
    }
    const char *name = line + 7;
    size_t n = name_length(name, false);
    SCOPED(mem_free) char *copy = mem_dup_strn(name, n);
    if (!n || name[n] != ' ' || !name[n + 1])
        wrong(p, line, "no name or no text");
    if (help) {
        if (strvec_has(&p->families, copy))
            wrong(p, line, "a family twice");
        strvec_add(&p->families, copy);
        mem_set_str(&p->family, copy);
        mem_set_str(&p->type, NULL);
        return;
    }
    static const char *const types[] = {"counter", "gauge", "histogram"};
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        known = known || str_eq(name + n + 1, types[i]);
    if (!known || !str_eq(copy, p->family) || p->type)
        wrong(p, line, "a TYPE that is not right behind its HELP");
    mem_set_str(&p->type, name + n + 1);
}

/* Returns behind the closing brace; labels must be in order, but for le at the end. */
static const char *parse_labels(Parser *p, const char *line, const char *at, char **ret_le)
{
    SCOPED(mem_free) char *before = mem_dup_str("");
    while (*at && *at != '}') {
        size_t n = name_length(at, true);
        SCOPED(mem_free) char *name = mem_dup_strn(at, n);
        if (!n || at[n] != '=' || at[n + 1] != '"' || (strcmp(before, name) >= 0 && !str_eq(name, "le")))
            wrong(p, line, "a label");
        const char *value = at + n + 2;
        size_t len = 0;
        while (value[len] && value[len] != '"') {
            if (value[len] == '\\' && !strchr("\\\"n", value[len + 1]))
                wrong(p, line, "an escape");
            len += value[len] == '\\' && value[len + 1] ? 2 : 1;
        }
        if (!value[len])
            wrong(p, line, "a quote");
        if (str_eq(name, "le"))
            *ret_le = mem_dup_strn(value, len);
        mem_set_str(&before, name);
        at = value + len + (value[len] == '"');
        at += *at == ',';
    }
    return *at ? at + 1 : at;
}

static void parse_histogram(Parser *p, const char *line, const char *suffix, const char *le, double v)
{
    if (str_eq(suffix, "_bucket")) {
        if (!le)
            wrong(p, line, "a bucket without le");
        bool inf = str_eq(le, "+Inf"), first = p->last_bucket < 0;
        if (!first && v < p->last_bucket)
            wrong(p, line, "buckets that shrink");
        p->last_bucket = inf ? -1 : v;
        p->inf_bucket = inf ? v : p->inf_bucket;
    } else if (str_eq(suffix, "_count")) {
        if (v != p->inf_bucket)
            wrong(p, line, "a count that is not the last bucket's");
    } else if (!str_eq(suffix, "_sum")) {
        wrong(p, line, "a histogram's sample");
    }
}

static void parse_sample(Parser *p, const char *line)
{
    size_t n = name_length(line, false), family = p->family ? strlen(p->family) : 0;
    SCOPED(mem_free) char *le = NULL;
    const char *at = line + n;
    if (*at == '{')
        at = parse_labels(p, line, at + 1, &le);
    SCOPED(mem_free) char *series = mem_dup_strn(line, (size_t)(at - line));
    if (strvec_has(&p->series, series))
        wrong(p, line, "a series twice");
    strvec_add(&p->series, series);
    char *end = NULL;
    double v = *at == ' ' ? strtod(at + 1, &end) : 0;
    if (!end || end == at + 1 || (*end && *end != ' '))
        wrong(p, line, "no number");
    else if (*end == ' ' && strspn(end + 1, "0123456789") != strlen(end + 1))
        wrong(p, line, "a timestamp");
    if (!p->type || strncmp(line, p->family, family) != 0) {
        wrong(p, line, "a sample outside its family");
        return;
    }
    SCOPED(mem_free) char *suffix = mem_dup_strn(line + family, n > family ? n - family : 0);
    if (str_eq(p->type, "histogram"))
        parse_histogram(p, line, suffix, le, v);
    else if (n != family)
        wrong(p, line, "a sample outside its family");
    else if (str_eq(p->type, "counter") && v < 0)
        wrong(p, line, "a counter below 0");
}

static void parser_done(Parser *p)
{
    strvec_done(&p->families);
    strvec_done(&p->series);
    free(p->family);
    free(p->type);
    free(p->problem);
}

static void parse(const char *text, Parser *p)
{
    *p = (Parser){.last_bucket = -1};
    SCOPED(mem_free) char *copy = mem_dup_str(text);
    if (!str_ends(text, "\n"))
        wrong(p, "", "no newline at the end");
    for (char *save = NULL, *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (*line == '#')
            parse_comment(p, line);
        else
            parse_sample(p, line);
    }
    CHECK_STR(p->problem, NULL);
}

/* The number behind a series; -1: it is not there. */
static double value_of(const char *text, const char *series)
{
    size_t n = strlen(series);
    for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, series, n) == 0 && p[n] == ' ')
            return strtod(p + n + 1, NULL);
    return -1;
}
#define CHECK_VALUE(text, series, want)                                                                                \
    do {                                                                                                               \
        double got_ = value_of(text, series);                                                                          \
        check_count++;                                                                                                 \
        if (fabs(got_ - (want)) > 1e-9) {                                                                              \
            check_failures++;                                                                                          \
            printf("# %s:%d: %s: got %g, want %g\n", __FILE__, __LINE__, series, got_, (double)(want));                \
        }                                                                                                              \
    } while (0)

static void test_parser_is_strict(void)
{
    static const char *const bad[] = {
        "x 1\n",
        "# HELP x h\nx 1\n",
        "# HELP x h\n# TYPE x counter\nx 1\nx 2\n",
        "# HELP x h\n# TYPE x counter\nx -1\n",
        "# HELP x h\n# TYPE x counter\ny 1\n",
        "# HELP x h\n# TYPE x lot\nx 1\n",
        "# HELP x h\n# TYPE x gauge\nx{b=\"1\",a=\"2\"} 1\n",
        "# HELP x h\n# TYPE x gauge\nx{a=\"\\t\"} 1\n",
        "# HELP x h\n# TYPE x gauge\nx one\n",
        "# HELP x h\n# TYPE x gauge\nx 1",
        "# HELP x h\n# TYPE x histogram\nx_bucket{le=\"1\"} 2\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 1\n",
        "# HELP x h\n# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 1\nx_sum 1\nx_count 2\n",
        "# HELP x h\n# TYPE x gauge\nx 1\n# HELP x h\n# TYPE x gauge\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Parser p = {.last_bucket = -1};
        unsigned before = check_failures;
        FILE *out = stdout;
        stdout = fopen("/dev/null", "w");
        parse(bad[i], &p);
        if (stdout)
            (void)fclose(stdout);
        stdout = out;
        bool refused = check_failures > before;
        check_failures = before;
        CHECK(refused);
        parser_done(&p);
    }
}

static void test_format(void)
{
    SCOPED(str_done) Str s = {0};
    prom_family(&s, "a_total", "counter", "What\nit \\ is.");
    prom_sample(&s, "a_total", (PromLabel[]){{"x", "a\"b\\c\nd"}, {"y", ""}}, 2, 0.1, NS_NONE);
    prom_sample(&s, "a_total", NULL, 0, 1e300 * 1e300, 1500 * NS_PER_MS);
    prom_sample(&s, "a_total", (PromLabel[]){{"x", "big"}}, 1, 9007199254740993.0, NS_NONE);
    CHECK_STR(s.p, "# HELP a_total What\\nit \\\\ is.\n# TYPE a_total counter\na_total{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 0.1\na_total +Inf 1500\n"
                   "a_total{x=\"big\"} 9007199254740992\n");
    static const double bounds[] = {0.5, 1};
    Histogram h = HISTOGRAM(bounds);
    histogram_add(&h, 0.5);
    histogram_add(&h, 0.7);
    histogram_add(&h, 7);
    str_clear(&s);
    prom_histogram(&s, "h", &(PromLabel){"k", "v"}, 1, &h);
    CHECK_STR(s.p, "h_bucket{k=\"v\",le=\"0.5\"} 1\nh_bucket{k=\"v\",le=\"1\"} 2\nh_bucket{k=\"v\",le=\"+Inf\"} 3\nh_sum{k=\"v\"} 8.2\nh_count{k=\"v\"} 3\n");
}

/* --- what is counted ------------------------------------------------------------------------------------------------------------------ */

typedef struct { Pod *v[4]; size_t n; } Pods;

static const Pod *pod_at(void *arg, size_t i)
{
    const Pods *p = arg;
    return i < p->n ? p->v[i] : NULL;
}

static Pod *pod_of(const char *text)
{
    void *p = NULL;
    CHECK_OK(api_decode_text(&type_Pod, text, strlen(text), &p));
    return p;
}

#define META(name) "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"uid\":\"u-" name "\"}"
#define SPEC "\"spec\":{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"c\"},{\"name\":\"d\"}]}"
#define CONDITION(status) "\"conditions\":[{\"type\":\"AllContainersRestarting\",\"status\":\"" status "\",\"lastTransitionTime\":\"2026-01-01T00:00:11Z\","      \
                          "\"message\":\"container \\\"c\\\" exited with code 1, matching restartPolicyRules[0] (In [1])\"}]"
#define RUNNING(name, at) "{\"name\":\"" name "\",\"state\":{\"running\":{\"startedAt\":\"2026-01-01T00:00:" at "Z\"}}}"

static void feed(Metrics *m, Pods *all, const char *type, const char *text, int64_t at_ns)
{
    Pod *p = pod_of(text);
    metrics_pod(m, type, p, at_ns);
    for (size_t i = 0; i < all->n; i++)
        if (str_eq(all->v[i]->metadata.uid, p->metadata.uid)) {
            pod_free(all->v[i]);
            all->v[i] = p;
            return;
        }
    all->v[all->n++] = p;
}

static void render(const Metrics *m, Pods *all, const NodeStats *s, Str *out, Parser *p)
{
    SelfUsage self;
    self_usage(&self);
    ObjStoreState store = {.writable = true, .rv = 42, .objects = 7, .watches = 2};
    MetricsNow now = {.pod = pod_at, .arg = all, .stats = s, .pressure = {.disk = true}, .self = &self, .manifests = 3, .manifests_broken = 1,
                      .store = &store};
    metrics_render(m, &now, out);
    parse(out->p, p);
}

static void test_pods(void)
{
    const int64_t base = INT64_C(1767225600) * NS_PER_S; /* 2026-01-01 */
    Metrics *m = metrics_new("node \"1\"", NULL);
    Pods all = {0};
    feed(m, &all, "ADDED", "{" META("a") "," SPEC "}", base);
    feed(m, &all, "MODIFIED", "{" META("a") "," SPEC ",\"status\":{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\"}}}]}}",
         base + NS_PER_S);
    feed(m, &all, "MODIFIED", "{" META("a") "," SPEC ",\"status\":{\"phase\":\"Pending\",\"message\":\"x\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\"}}}]}}",
         base + NS_PER_S);
    feed(m, &all, "MODIFIED", "{" META("a") "," SPEC ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[" RUNNING("c", "02") "," RUNNING("d", "03") "],"
         "\"conditions\":[{\"type\":\"PodReadyToStartContainers\",\"status\":\"True\"}]}}", base + 3 * NS_PER_S);
    /* c exits at :10 and takes all along; the last container runs again at :13. */
    feed(m, &all, "MODIFIED", "{" META("a") "," SPEC ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"terminated\":"
         "{\"exitCode\":1,\"finishedAt\":\"2026-01-01T00:00:10Z\"}}}," RUNNING("d", "03") "]," CONDITION("True") "}}", base + 10 * NS_PER_S);
    feed(m, &all, "MODIFIED", "{" META("a") "," SPEC ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[" RUNNING("c", "12") ",{\"name\":\"d\",\"state\":{\"waiting\":{}}}],"
         CONDITION("False") "}}", base + 12 * NS_PER_S);
    feed(m, &all, "MODIFIED", "{" META("a") "," SPEC ",\"status\":{\"phase\":\"Running\",\"containerStatuses\":[" RUNNING("c", "12") "," RUNNING("d", "13") "],"
         CONDITION("False") "}}", base + 13 * NS_PER_S);
    /* One that ran when the daemon began. */
    feed(m, &all, "ADDED", "{\"metadata\":{\"name\":\"s\",\"uid\":\"u-s\",\"annotations\":{\"kubernetes.io/config.source\":\"file\"}}," SPEC ",\"status\":{\"phase\":\"Failed\"}}", base);
    metrics_event(m, all.v[0], "Started", "Started container c", "c");
    metrics_event(m, all.v[0], "Started", "Started container i", "i");
    metrics_event(m, all.v[0], "InPlaceRestartCompleted", "", NULL);
    metrics_event(m, all.v[0], "Evicted", "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\".", NULL);
    metrics_event(m, all.v[0], "Evicted", "The node was low on resource: memory. ", NULL); /* whoever evicts counts it */
    metrics_evicted(m, "memory.available", 2 * NS_PER_S);
    metrics_image_removed(m, "space", 100);
    metrics_request(m, &(HttpLog){.method = "GET", .status = 200, .took_ns = NS_PER_S / 5}, "list", "pods");
    metrics_request(m, &(HttpLog){.method = "BREW", .status = 405, .took_ns = 1}, "", "");
    NodeStats s;
    node_stats_init(&s);
    SCOPED(str_done) Str out = {0};
    Parser p;
    render(m, &all, &s, &out, &p);
    CHECK_VALUE(out.p, "kubelet_node_name{node=\"node \\\"1\\\"\"}", 1);
    CHECK_VALUE(out.p, "kubelet_desired_pods{static=\"\"}", 1);
    CHECK_VALUE(out.p, "kubelet_desired_pods{static=\"true\"}", 1);
    CHECK_VALUE(out.p, "kubelet_active_pods{static=\"true\"}", 0);
    CHECK_VALUE(out.p, "kubelet_running_containers{container_state=\"running\"}", 2);
    CHECK_VALUE(out.p, "kubelet_started_containers_total{container_type=\"container\"}", 1);
    CHECK_VALUE(out.p, "kubelet_started_containers_total{container_type=\"init_container\"}", 1);
    CHECK_VALUE(out.p, "kubelet_started_containers_errors_total{code=\"ErrImagePull\",container_type=\"container\"}", 1);
    CHECK_VALUE(out.p, "kubelet_pod_start_duration_seconds_sum", 3);
    CHECK_VALUE(out.p, "kubelet_pod_start_duration_seconds_count", 1);
    CHECK_VALUE(out.p, "reprise_pod_restarts_total", 1);
    CHECK_VALUE(out.p, "reprise_pod_restarts_begun_total", 1);
    CHECK_VALUE(out.p, "reprise_pod_restart_duration_seconds_sum", 3);
    CHECK_VALUE(out.p, "reprise_pod_restart_duration_seconds_count", 1);
    CHECK_VALUE(out.p, "kubelet_evictions{eviction_signal=\"memory.available\"}", 1);
    CHECK_VALUE(out.p, "kubelet_evictions{eviction_signal=\"emptydirfs.limit\"}", 1);
    CHECK_VALUE(out.p, "kubelet_image_garbage_collected_total{reason=\"space\"}", 1);
    CHECK_VALUE(out.p, "reprise_node_pressure{condition=\"DiskPressure\"}", 1);
    CHECK_VALUE(out.p, "kubelet_http_requests_total{code=\"200\",long_running=\"false\",method=\"GET\",path=\"pods\",server_type=\"readwrite\",verb=\"list\"}", 1);
    CHECK_VALUE(out.p, "kubelet_http_requests_total{code=\"405\",long_running=\"false\",method=\"other\",path=\"\",server_type=\"readwrite\",verb=\"\"}", 1);
    CHECK_VALUE(out.p, "reprise_static_pod_manifests_broken", 1);
    CHECK_VALUE(out.p, "reprise_store_resource_version", 42);
    CHECK(value_of(out.p, "process_cpu_seconds_total") > 0 && value_of(out.p, "process_open_fds") >= 3);
    CHECK(value_of(out.p, "process_resident_memory_bytes") > 65536 && value_of(out.p, "process_start_time_seconds") > 1.7e9);
    parser_done(&p);
    for (size_t i = 0; i < all.n; i++)
        pod_free(all.v[i]);
    metrics_free(m);
}

/* --- what is measured ----------------------------------------------------------------------------------------------------------------- */

static void stats_fill(NodeStats *s)
{
    node_stats_init(s);
    s->at_ns = s->pods_at_ns = NS_PER_S;
    s->cpu = (CpuStats){NS_PER_S, 5 * NS_PER_S, STAT_NONE};
    s->memory = (MemoryStats){NS_PER_S, 700, 400, 300, 200, 1, 0};
    s->fs = (FsStats){NS_PER_S, 60, 100, 40, 6, 10, 4};
    s->image_fs = (FsStats){NS_PER_S, 61, 101, 40, 6, 10, 4};
    s->max_pid = 100;
    s->processes = 9;
    PodStats *p = LIST_ADD(&s->pods);
    pod_stats_init(p);
    p->uid = mem_dup_str("u");
    p->name = mem_dup_str("p");
    p->namespace_ = mem_dup_str("ns");
    p->cpu = (CpuStats){NS_PER_S, NS_PER_S / 2, 250};
    p->processes = 3;
    ContainerStats *c = LIST_ADD(&p->containers);
    container_stats_init(c);
    c->name = mem_dup_str("c");
    c->started_at_ns = NS_PER_S / 2;
    c->cpu = p->cpu;
    c->memory.at_ns = NS_PER_S;
    c->memory.working_set = 123;
    VolumeStats *v = LIST_ADD(&p->volumes);
    *v = (VolumeStats){.name = mem_dup_str("v"), .claim = mem_dup_str("data"), .fs = s->fs};
    v = LIST_ADD(&p->volumes);
    *v = (VolumeStats){.name = mem_dup_str("unknown")};
    fs_stats_clear(&v->fs);
}

static void test_resource_metrics_and_volumes(void)
{
    NodeStats s;
    stats_fill(&s);
    SCOPED(str_done) Str out = {0};
    Parser p;
    metrics_render_resource(&s, &out);
    parse(out.p, &p);
    CHECK(strstr(out.p, "\ncontainer_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} 0.5 1000\n") != NULL);
    CHECK(strstr(out.p, "\ncontainer_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 123 1000\n") != NULL);
    CHECK(strstr(out.p, "\ncontainer_start_time_seconds{container=\"c\",namespace=\"ns\",pod=\"p\"} 0.5\n") != NULL);
    CHECK(strstr(out.p, "\npod_cpu_usage_seconds_total{namespace=\"ns\",pod=\"p\"} 0.5 1000\n") != NULL);
    CHECK(strstr(out.p, "\nnode_memory_working_set_bytes 300 1000\n") != NULL);
    CHECK(!strstr(out.p, "\npod_memory_working_set_bytes{"));
    CHECK_VALUE(out.p, "scrape_error", 0);
    parser_done(&p);
    str_clear(&out);
    Metrics *m = metrics_new("n", NULL);
    Pods none = {0};
    render(m, &none, &s, &out, &p);
    CHECK_VALUE(out.p, "kubelet_volume_stats_used_bytes{namespace=\"ns\",persistentvolumeclaim=\"data\"}", 40);
    CHECK_VALUE(out.p, "kubelet_volume_stats_inodes_free{namespace=\"ns\",persistentvolumeclaim=\"data\"}", 6);
    parser_done(&p);
    metrics_free(m);
    node_stats_done(&s);
}

/* A name that is not written down is not to be relied on. */
static void test_names_are_documented(void)
{
    SCOPED(str_done) Str doc = {0}, out = {0};
    CHECK_OK(fs_read(GOLDEN_DIR "/../../docs/metrics.md", 1u << 20, &doc));
    NodeStats s;
    stats_fill(&s);
    uv_loop_t loop;
    (void)uv_loop_init(&loop);
    Runtime *rt = fake_runtime_new(&loop);
    Metrics *m = metrics_new("n", runtime_meter(rt));
    Pods none = {0};
    Parser p[2];
    render(m, &none, &s, &out, &p[0]);
    str_clear(&out);
    metrics_render_resource(&s, &out);
    parse(out.p, &p[1]);
    CHECK(p[0].families.n > 30);
    for (size_t k = 0; k < ARRAY_LEN(p); k++) {
        for (size_t i = 0; i < p[k].families.n; i++) {
            SCOPED(mem_free) char *quoted = mem_fmt("`%s`", p[k].families.v[i]);
            if (!strstr(str_or(doc.p, ""), quoted))
                printf("# %s is not in docs/metrics.md\n", quoted);
            CHECK(strstr(str_or(doc.p, ""), quoted) != NULL);
        }
        parser_done(&p[k]);
    }
    metrics_free(m);
    node_stats_done(&s);
    rt->ops->close(rt);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
}

static void test_summary(void)
{
    NodeStats s;
    stats_fill(&s);
    SCOPED(json_unref) json_t *j = summary_json(&s, "n1", 77);
    SCOPED(mem_free) char *text = json_text(j, false);
    CHECK_STR(text,
              "{\"node\":{\"nodeName\":\"n1\",\"cpu\":{\"time\":\"1970-01-01T00:00:01Z\",\"usageCoreNanoSeconds\":5000000000},\"memory\":{\"time\":"
              "\"1970-01-01T00:00:01Z\",\"availableBytes\":700,\"usageBytes\":400,\"workingSetBytes\":300,\"rssBytes\":200,\"pageFaults\":1,"
              "\"majorPageFaults\":0},\"fs\":{\"time\":\"1970-01-01T00:00:01Z\",\"availableBytes\":60,\"capacityBytes\":100,\"usedBytes\":40,\"inodesFree\":6,"
              "\"inodes\":10,\"inodesUsed\":4},\"runtime\":{\"imageFs\":{\"time\":\"1970-01-01T00:00:01Z\",\"availableBytes\":61,\"capacityBytes\":101,"
              "\"usedBytes\":77,\"inodesFree\":6,\"inodes\":10,\"inodesUsed\":4}},\"rlimit\":{\"time\":\"1970-01-01T00:00:01Z\",\"maxpid\":100,\"curproc\":9}},"
              "\"pods\":[{\"podRef\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u\"},\"containers\":[{\"name\":\"c\",\"startTime\":\"1970-01-01T00:00:00Z\","
              "\"cpu\":{\"time\":\"1970-01-01T00:00:01Z\",\"usageNanoCores\":250,\"usageCoreNanoSeconds\":500000000},\"memory\":{\"time\":"
              "\"1970-01-01T00:00:01Z\",\"workingSetBytes\":123}}],\"cpu\":{\"time\":\"1970-01-01T00:00:01Z\",\"usageNanoCores\":250,"
              "\"usageCoreNanoSeconds\":500000000},\"volume\":[{\"time\":\"1970-01-01T00:00:01Z\",\"availableBytes\":60,\"capacityBytes\":100,\"usedBytes\":40,"
              "\"inodesFree\":6,\"inodes\":10,\"inodesUsed\":4,\"name\":\"v\",\"pvcRef\":{\"name\":\"data\",\"namespace\":\"ns\"}}],\"process_stats\":"
              "{\"process_count\":3}}]}");
    node_stats_done(&s);
}

/* --- the meter ------------------------------------------------------------------------------------------------------------------------ */

static unsigned answers;

static void on_exec(void *arg, const ExecResult *res, Err *err)
{
    (void)arg;
    (void)res;
    answers++;
    err_free(err);
}

static void on_id(void *arg, const char *id, Err *err)
{
    (void)arg;
    (void)id;
    answers++;
    err_free(err);
}

static void test_meter(void)
{
    uv_loop_t loop;
    (void)uv_loop_init(&loop);
    Runtime *rt = fake_runtime_new(&loop);
    const MeterCount *c = runtime_meter_counts(runtime_meter(rt));
    SandboxConfig sandbox = {.name = "p", .namespace_ = "ns", .uid = "u"};
    fake_stats(rt)->fault_at = 2;
    fake_stats(rt)->fault = FAKE_FAIL;
    CHECK_OK(rt->ops->sandbox_run(rt, &sandbox, on_id, NULL));
    while (answers < 1)
        (void)uv_run(&loop, UV_RUN_ONCE);
    CHECK_OK(rt->ops->sandbox_run(rt, &sandbox, on_id, NULL));
    while (answers < 2)
        (void)uv_run(&loop, UV_RUN_ONCE);
    CHECK_INT(c[METER_RUN_SANDBOX].seconds.count, 2);
    CHECK_INT(c[METER_RUN_SANDBOX].errors, 1);
    CHECK_INT(c[METER_CREATE].seconds.count, 0);
    CHECK(!rt->ops->images); /* what the runtime cannot is not there */
    const char *const argv[] = {"true", NULL};
    Err *e = rt->ops->exec_sync(rt, "u", "nobody", argv, NS_PER_S, 10, on_exec, NULL);
    err_free(e);
    rt->ops->close(rt); /* answers what is outstanding, and frees the meter */
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
}

/* --- cgroups and directories ---------------------------------------------------------------------------------------------------------- */

static char tmp[64];

static void put(const char *path, const char *text)
{
    SCOPED(mem_free) char *full = mem_fmt("%s%s", tmp, path);
    SCOPED(mem_free) char *dir = mem_dup_strn(full, (size_t)(strrchr(full, '/') - full));
    CHECK_OK(fs_mkdirs(dir, 0755));
    CHECK_OK(fs_write_atomic(full, text, strlen(text), 0644, false));
}

static CgroupUsage usage(const char *mounts, const char *path, bool *ret_there)
{
    SCOPED(cgroup_host_done) CgroupHost h = {0};
    CgroupUsage u = {0};
    CHECK_OK(cgroup_probe_text(mounts, tmp, &h));
    *ret_there = cgroup_usage(&h, path, &u);
    return u;
}

#define MOUNT(at, type, options) "30 20 0:1 / " at " rw - " type " x " options "\n"

static void test_cgroup_usage(void)
{
    memcpy(tmp, "/tmp/reprise-metrics-XXXXXX", sizeof "/tmp/reprise-metrics-XXXXXX");
    CHECK(mkdtemp(tmp) != NULL);
    bool there;
    put("/sys/fs/cgroup/memory/r/memory.usage_in_bytes", "1000\n");
    put("/sys/fs/cgroup/memory/r/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/r/memory.stat", "inactive_file 1\ntotal_rss 300\ntotal_inactive_file 400\ntotal_pgfault 7\ntotal_pgmajfault 2\n");
    put("/sys/fs/cgroup/cpuacct/r/cpuacct.usage", "123456789\n");
    CgroupUsage u = usage(MOUNT("/sys/fs/cgroup/memory", "cgroup", "rw,memory") MOUNT("/sys/fs/cgroup/cpuacct", "cgroup", "rw,cpuacct"), "/r", &there);
    CHECK(there);
    CHECK_INT(u.memory, 1000);
    CHECK_INT(u.working_set, 600);
    CHECK_INT(u.rss, 300);
    CHECK_INT(u.page_faults, 7);
    CHECK_INT(u.major_page_faults, 2);
    CHECK_INT(u.memory_limit, -1);
    CHECK_INT(u.cpu_ns, 123456789);

    put("/sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
    put("/sys/fs/cgroup/memory.stat", "anon 100\nfile 900\ninactive_file 2000\npgfault 1\n");
    put("/sys/fs/cgroup/cpu.stat", "usage_usec 5\nuser_usec 1\n");
    put("/sys/fs/cgroup/r/memory.current", "1000\n");
    put("/sys/fs/cgroup/r/memory.max", "4096\n");
    put("/sys/fs/cgroup/r/memory.stat", "anon 100\nfile 900\ninactive_file 250\n");
    put("/sys/fs/cgroup/r/pids.current", "12\n");
    u = usage(MOUNT("/sys/fs/cgroup", "cgroup2", "rw"), "", &there);
    CHECK(there);
    CHECK_INT(u.memory, 1000); /* the root has no memory.current */
    CHECK_INT(u.working_set, 0);
    CHECK_INT(u.cpu_ns, 5000);
    u = usage(MOUNT("/sys/fs/cgroup", "cgroup2", "rw"), "/r", &there);
    CHECK_INT(u.working_set, 750);
    CHECK_INT(u.memory_limit, 4096);
    CHECK_INT(u.cpu_ns, -1);
    u = usage(MOUNT("/sys/fs/cgroup", "cgroup2", "rw"), "/gone", &there);
    CHECK(!there);
    SCOPED(cgroup_host_done) CgroupHost h = {0};
    CHECK_OK(cgroup_probe_text(MOUNT("/sys/fs/cgroup", "cgroup2", "rw"), tmp, &h));
    CHECK_INT(cgroup_pids(&h, "/r"), 12);
    CHECK_INT(cgroup_pids(&h, "/gone"), -1);
    CHECK_OK(fs_remove_tree(tmp));
}

static void test_disk_usage(void)
{
    memcpy(tmp, "/tmp/reprise-metrics-XXXXXX", sizeof "/tmp/reprise-metrics-XXXXXX");
    CHECK(mkdtemp(tmp) != NULL);
    char block[8192];
    memset(block, 'x', sizeof block);
    block[sizeof block - 1] = '\0';
    put("/a/b/file", block);
    SCOPED(mem_free) char *a = mem_fmt("%s/a", tmp), *from = mem_fmt("%s/a/b/file", tmp), *to = mem_fmt("%s/a/other-name", tmp);
    CHECK_INT(link(from, to), 0);
    SCOPED(str_done) Str in = {0}, out = {0};
    str_add_n(&in, a, strlen(a) + 1);
    str_fmt(&in, "%s/none", tmp);
    str_add_n(&in, "", 1);
    disk_usage_lines(in.p, in.n, &out);
    long long bytes[2] = {-2, -2}, inodes[2] = {-2, -2};
    CHECK_INT(sscanf(out.p, "%lld %lld\n%lld %lld\n", &bytes[0], &inodes[0], &bytes[1], &inodes[1]), 4);
    CHECK(bytes[0] >= 8192 && bytes[0] < 8192 + 5 * 8192); /* the file once, and what directories take here */
    CHECK_INT(inodes[0], 3);
    CHECK_INT(bytes[1], 0);
    CHECK_OK(fs_remove_tree(tmp));
}

TESTS(T(test_parser_is_strict), T(test_format), T(test_pods), T(test_resource_metrics_and_volumes), T(test_names_are_documented), T(test_summary),
      T(test_meter), T(test_cgroup_usage), T(test_disk_usage))
