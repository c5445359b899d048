/* The tables and what walks them; defaults; the restart-rule rows of pod-restart.md 1.3..1.5; metav1.Status. Whole
 * manifests are in tests/golden/validate. */
#include "api/facts.h"
#include "api/objects.h"
#include "check.h"
#include "wire/yaml.h"

typedef struct {
    Objects objs;
    DocReports reports;
} Parsed;

static void parsed_done(Parsed *p)
{
    objects_done(&p->objs);
    doc_reports_done(&p->reports);
}
static void parsed_done_at(Parsed *p) { parsed_done(p); }

static Parsed parse(const char *text, const char *gate_text)
{
    Parsed p = {0};
    FeatureGates gates;
    features_default(&gates);
    CHECK_OK(features_parse(&gates, gate_text));
    CHECK_OK(objects_parse("t", text, strlen(text), &gates, &p.objs, &p.reports));
    return p;
}

/* All errors and warnings, a line each. */
static char *said(const Parsed *p)
{
    Str s = {0};
    LIST_EACH(d, &p->reports.docs) {
        LIST_EACH(c, &d->report.errors)
            str_fmt(&s, "%s: %s\n", c->path, c->message);
        LIST_EACH(w, &d->report.warnings)
            str_fmt(&s, "W %s\n", *w);
    }
    return str_take(&s);
}

static char *pod_with(const char *spec)
{
    return mem_fmt("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {%s}}", spec);
}

/* --- restart rules ---------------------------------------------------------------------------------------------- */

#define MAIN "containers: [{name: m, image: i:1}]"
#define RULE_88 "restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}]"
#define ALL_OFF "RestartAllContainersOnContainerExits=false,ContainerRestartRules=false"
#define ACTION_OFF "RestartAllContainersOnContainerExits=false"

static void test_restart_rules(void)
{
    static const struct {
        const char *spec, *gates, *want;
    } rows[] = {
        {MAIN, "", ""},
        {"restartPolicy: X, " MAIN, "",
         "spec.restartPolicy: Unsupported value: \"X\": supported values: \"Always\", \"OnFailure\", \"Never\"\n"},
        {"containers: [{name: m, image: i:1, " RULE_88 "}]", "",
         "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used\n"},
        /* After that, the rules of a regular container are still looked at, those of an init container are not. */
        {"containers: [{name: m, image: i:1, restartPolicyRules: [{action: Restart}]}]", "",
         "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used\n"
         "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified\n"},
        {"initContainers: [{name: i, image: i:1, restartPolicyRules: [{action: Restart}]}], " MAIN, "",
         "spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used\n"},
        {"containers: [{name: m, image: i:1, restartPolicy: X}]", "",
         "spec.containers[0].restartPolicy: Unsupported value: \"X\": supported values: \"Always\", \"Never\", \"OnFailure\"\n"},
        {"containers: [{name: m, image: i:1, restartPolicy: Never, restartPolicyRules: [{action: X, exitCodes: {}}]}]", "",
         "spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"X\": supported values: \"Restart\", "
         "\"RestartAllContainers\"\n"
         "spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: \"\": supported values: \"In\", "
         "\"NotIn\"\n"},
        {"containers: [{name: m, image: i:1, restartPolicy: Never, " RULE_88 "}]", ACTION_OFF,
         "spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"RestartAllContainers\": supported values: "
         "\"Restart\"\n"},
        {"initContainers: [{name: i, image: i:1, restartPolicy: Always, " RULE_88 "}], " MAIN, ACTION_OFF,
         "spec.initContainers[0].restartPolicyRules: Forbidden: restartPolicyRules are not allowed for init containers with "
         "restart policy Always\n"},
        {"initContainers: [{name: i, image: i:1, restartPolicy: Always, " RULE_88 "}], " MAIN, "", ""},
        {"initContainers: [{name: i, image: i:1, restartPolicy: Never, " RULE_88 "}], " MAIN, "", ""},
        /* Gate off: the fields are dropped on create, before they are validated. */
        {"initContainers: [{name: i, image: i:1, restartPolicy: Never}], containers: [{name: m, image: i:1, restartPolicy: "
         "Never, " RULE_88 "}]",
         ALL_OFF,
         "W spec.containers[0].restartPolicy: dropped: feature gate ContainerRestartRules is off\n"
         "W spec.containers[0].restartPolicyRules: dropped: feature gate ContainerRestartRules is off\n"
         "W spec.initContainers[0].restartPolicy: dropped: feature gate ContainerRestartRules is off\n"},
        {"initContainers: [{name: i, image: i:1, restartPolicy: Always}], " MAIN, ALL_OFF, ""},
        /* The spellings that never shipped. */
        {"containers: [{name: m, image: i:1, restartPolicy: Never, restartPolicyRules: [{action: Restart, onExit: {exitCodes: "
         "{operator: In, values: [1]}}}, {action: Restart, when: {exitCodes: {operator: In, values: [2]}}}]}]",
         "",
         "W spec.containers[0].restartPolicyRules[0].onExit: this form never shipped; using it as exitCodes (write exitCodes "
         "directly under the rule)\n"
         "W spec.containers[0].restartPolicyRules[1].when: this form never shipped; using it as exitCodes (write exitCodes "
         "directly under the rule)\n"},
        {"containers: [{name: m, image: i:1, restartPolicy: Never, restartPolicyRules: [{action: Restart, onExit: {foo: 1}}]}]",
         "",
         "spec.containers[0].restartPolicyRules[0].onExit: unknown field \"spec.containers[0].restartPolicyRules[0].onExit\"\n"
         "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified\n"},
        /* Accepted by a cluster, and useless. */
        {"containers: [{name: m, image: i:1, restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: "
         "{operator: In, values: [256, -1, 7, 7]}}, {action: RestartAllContainers, exitCodes: {operator: In, values: [7]}}, "
         "{action: Restart, exitCodes: {operator: In}}]}]",
         "",
         "W spec.containers[0].restartPolicyRules[0].exitCodes.values[0]: 256 never occurs: an exit code is a number from 0 to "
         "255\n"
         "W spec.containers[0].restartPolicyRules[0].exitCodes.values[1]: -1 never occurs: an exit code is a number from 0 to "
         "255\n"
         "W spec.containers[0].restartPolicyRules[0].exitCodes.values[3]: 7 is given twice\n"
         "W spec.containers[0].restartPolicyRules[1]: this rule is never reached: restartPolicyRules[0] matches first\n"
         "W spec.containers[0].restartPolicyRules[2]: this rule matches no exit code\n"},
        {"ephemeralContainers: [{name: e, image: i:1, restartPolicy: Never, " RULE_88 "}], " MAIN, "",
         "spec.ephemeralContainers[0].restartPolicy: Forbidden: cannot be set for an Ephemeral Container\n"
         "spec.ephemeralContainers[0].restartPolicyRules: Forbidden: cannot be set for an Ephemeral Container\n"
         "spec.ephemeralContainers: Forbidden: cannot be set on create\n"},
        {"initContainers: [{name: i, image: i:1, livenessProbe: {exec: {command: [x]}}, lifecycle: {preStop: {sleep: {seconds: "
         "1}}}}], " MAIN,
         "",
         "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always\n"
         "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *text = pod_with(rows[i].spec);
        SCOPED(parsed_done) Parsed p = parse(text, rows[i].gates);
        SCOPED(mem_free) char *got = said(&p);
        CHECK_STR(got, rows[i].want);
    }
}

static void test_rule_limits(void)
{
    SCOPED(str_done) Str spec = {0};
    str_add(&spec, "containers: [{name: m, image: i:1, restartPolicy: Never, restartPolicyRules: [");
    for (int i = 0; i < 21; i++)
        str_fmt(&spec, "{action: Restart, exitCodes: {operator: In, values: [%d]}},", i);
    str_add(&spec, "]}, {name: o, image: i:1, restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: "
                   "In, values: [");
    for (int i = 0; i < 256; i++)
        str_fmt(&spec, "%d,", i);
    str_add(&spec, "]}}]}]");
    SCOPED(mem_free) char *text = pod_with(spec.p);
    SCOPED(parsed_done) Parsed p = parse(text, "");
    SCOPED(mem_free) char *got = said(&p);
    CHECK_STR(got, "spec.containers[0].restartPolicyRules: Too many: 21: must have at most 20 items\n"
                   "spec.containers[1].restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items\n");
}

/* Rows 1.4 of a gate that is off, for what was stored before and so not dropped. */
static void test_gate_off_direct(void)
{
    SCOPED(mem_free) char *text =
        pod_with("initContainers: [{name: i, image: i:1, restartPolicy: Never}], containers: [{name: m, image: i:1, "
                 "restartPolicy: Never}]");
    SCOPED(parsed_done) Parsed p = parse(text, "");
    FeatureGates off = {0};
    SCOPED(report_done) Report r = {0};
    pod_validate(p.objs.pods.v[0], &off, &r);
    CHECK_INT(r.errors.n, 2);
    if (r.errors.n != 2)
        return;
    CHECK_STR(r.errors.v[0].path, "spec.containers[0].restartPolicy");
    CHECK_STR(r.errors.v[0].message, "Forbidden: may not be set for non-init containers");
    CHECK_STR(r.errors.v[1].path, "spec.initContainers[0].restartPolicy");
    CHECK_STR(r.errors.v[1].message, "Unsupported value: \"Never\": supported values: \"Always\"");
}

/* --- codec ------------------------------------------------------------------------------------------------------ */

static void test_defaults(void)
{
    SCOPED(mem_free) char *text =
        pod_with("volumes: [{name: v}, {name: h, hostPath: {path: /x}}, {name: s, secret: {secretName: s}}], hostNetwork: true, "
                 "containers: [{name: m, image: busybox, ports: [{containerPort: 80}], resources: {limits: {cpu: 1000m}}, "
                 "livenessProbe: {httpGet: {port: 80}}}]");
    SCOPED(parsed_done) Parsed p = parse(text, "");
    CHECK(doc_reports_ok(&p.reports));
    SCOPED(mem_free) char *got = api_encode_text(&type_Pod, p.objs.pods.v[0]);
    CHECK_STR(got,
              "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"namespace\":\"default\"},\"spec\":{\"volumes\":["
              "{\"name\":\"v\",\"emptyDir\":{}},{\"name\":\"h\",\"hostPath\":{\"path\":\"/x\",\"type\":\"\"}},{\"name\":\"s\","
              "\"secret\":{\"secretName\":\"s\",\"defaultMode\":420}}],\"containers\":[{\"name\":\"m\",\"image\":\"busybox\","
              "\"ports\":[{\"hostPort\":80,\"containerPort\":80,\"protocol\":\"TCP\"}],\"resources\":{\"limits\":{\"cpu\":\"1\"},"
              "\"requests\":{\"cpu\":\"1\"}},\"livenessProbe\":{\"httpGet\":{\"path\":\"/\",\"port\":80,\"scheme\":\"HTTP\"},"
              "\"timeoutSeconds\":1,\"periodSeconds\":10,\"successThreshold\":1,\"failureThreshold\":3},"
              "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\","
              "\"imagePullPolicy\":\"Always\"}],\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,"
              "\"dnsPolicy\":\"ClusterFirst\",\"hostNetwork\":true,\"securityContext\":{},"
              "\"schedulerName\":\"default-scheduler\",\"enableServiceLinks\":true},\"status\":{}}");
}

static void test_pull_policy(void)
{
    static const struct {
        const char *image, *policy;
    } rows[] = {
        {"a", "Always"},           {"a:latest", "Always"}, {"a:1", "IfNotPresent"}, {"host:5000/a", "Always"},
        {"host:5000/a:1", "IfNotPresent"}, {"a@sha256:00", "IfNotPresent"}, {"a:latest@sha256:00", "Always"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Pod *p = NEW(Pod);
        Container *c = LIST_ADD(&p->spec.containers);
        c->image = mem_dup_str(rows[i].image);
        pod_default(p);
        CHECK_STR(p->spec.containers.v[0].image_pull_policy, rows[i].policy);
        pod_free(p);
    }
}

static void test_status_always_written(void)
{
    static const char in[] = "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],\"containerStatuses\":[{\"name\":"
                             "\"a\",\"lastState\":{\"terminated\":{\"exitCode\":0,\"finishedAt\":\"2026-01-02T03:04:05.9Z\"}}}]}}";
    static const char want[] =
        "{\"metadata\":{},\"spec\":{\"containers\":null},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
        "\"lastProbeTime\":null,\"lastTransitionTime\":null}],\"containerStatuses\":[{\"name\":\"a\",\"state\":{},\"lastState\":{"
        "\"terminated\":{\"exitCode\":0,\"startedAt\":null,\"finishedAt\":\"2026-01-02T03:04:05Z\"}},\"ready\":false,"
        "\"restartCount\":0,\"image\":\"\",\"imageID\":\"\"}]}}";
    void *pod = NULL;
    CHECK_OK(api_decode_text(&type_Pod, in, strlen(in), &pod));
    if (!pod)
        return;
    SCOPED(mem_free) char *got = api_encode_text(&type_Pod, pod);
    CHECK_STR(got, want);
    void *again = NULL;
    CHECK_OK(api_decode_text(&type_Pod, got, strlen(got), &again));
    CHECK(again && api_equal(&type_Pod, pod, again));
    Pod *copy = api_copy(&type_Pod, pod);
    CHECK(api_equal(&type_Pod, pod, copy));
    copy->status.container_statuses.v[0].restart_count = (OptInt){true, 1};
    CHECK(!api_equal(&type_Pod, pod, copy));
    pod_free(copy);
    pod_free(pod);
    pod_free(again);
}

static void test_lenient(void)
{
    static const char in[] = "{\"spec\":{\"newer\":1,\"containers\":[{\"name\":\"a\",\"alsoNew\":{}}]},\"other\":[]}";
    SCOPED(json_unref) json_t *j = NULL;
    CHECK_OK(json_parse(in, strlen(in), &j));
    SCOPED(report_done) Report r = {0};
    pod_free(api_decode(&type_Pod, j, "", DECODE_LENIENT, &r));
    CHECK(report_ok(&r));
    CHECK_INT(r.n_dropped, 3);
    void *pod = NULL;
    Err *e = api_decode_text(&type_Pod, "{\"spec\":[]}", 11, &pod);
    SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
    CHECK_STR(text, "decode Pod: spec: Invalid value: []: must be an object");
    err_free(e);
}

static void test_secret(void)
{
    SCOPED(parsed_done) Parsed p =
        parse("{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: YQ==, z: eg==}, stringData: {a: new, m: ''}}", "");
    CHECK(doc_reports_ok(&p.reports));
    SCOPED(mem_free) char *got = api_encode_text(&type_Secret, p.objs.secrets.v[0]);
    CHECK_STR(got, "{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"s\",\"namespace\":\"default\"},\"data\":{"
                   "\"a\":\"bmV3\",\"m\":\"\",\"z\":\"eg==\"},\"type\":\"Opaque\"}");
}

static void test_status_json(void)
{
    SCOPED(report_done) Report one = {0};
    report_add(&one, CAUSE_REQUIRED, "spec.containers", "Required value");
    SCOPED(json_unref) json_t *j = report_status_json(&one, "Pod", "x");
    SCOPED(mem_free) char *text = json_text(j, false);
    CHECK_STR(text, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"Pod \\\"x\\\" is "
                    "invalid: spec.containers: Required value\",\"reason\":\"Invalid\",\"details\":{\"name\":\"x\",\"kind\":\"Pod\","
                    "\"causes\":[{\"reason\":\"FieldValueRequired\",\"message\":\"Required value\",\"field\":\"spec.containers\"}]},"
                    "\"code\":422}");
    report_add(&one, CAUSE_FORBIDDEN, "spec.a", "Forbidden: no");
    SCOPED(json_unref) json_t *two = report_status_json(&one, "Pod", "x");
    CHECK_STR(json_str(two, "message"), "Pod \"x\" is invalid: [spec.containers: Required value, spec.a: Forbidden: no]");
    SCOPED(report_done) Report strict = {0};
    report_add(&strict, CAUSE_UNKNOWN_FIELD, "spec.foo", "unknown field \"spec.foo\"");
    report_add(&strict, CAUSE_UNKNOWN_FIELD, "spec.bar", "unknown field \"spec.bar\"");
    SCOPED(json_unref) json_t *bad = report_status_json(&strict, "Pod", "x");
    CHECK_STR(json_str(bad, "message"), "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field "
                                        "\"spec.foo\", unknown field \"spec.bar\"");
    CHECK_STR(json_str(bad, "reason"), "BadRequest");
    CHECK_INT(json_i64(bad, "code", 0), 400);
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

static void test_qos(void)
{
    static const struct {
        const char *resources, *want;
    } rows[] = {
        {"{}", "BestEffort"},
        {"{limits: {cpu: 1, memory: 1Gi}}", "Guaranteed"},
        {"{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}", "Burstable"},
        {"{requests: {memory: 1}}", "Burstable"},
        {"{limits: {ephemeral-storage: 1Gi}}", "BestEffort"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *spec = mem_fmt("containers: [{name: m, image: i:1, resources: %s}]", rows[i].resources);
        SCOPED(mem_free) char *text = pod_with(spec);
        SCOPED(parsed_done) Parsed p = parse(text, "");
        CHECK_STR(pod_qos_class(&p.objs.pods.v[0]->spec), rows[i].want);
    }
}

static void test_features(void)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", NULL},
        {"RestartAllContainersOnContainerExits=F", NULL},
        {"ContainerRestartRules=false",
         "feature gates: RestartAllContainersOnContainerExits is enabled, but depends on features that are disabled: "
         "[ContainerRestartRules]"},
        {"Nope=true", "feature gates: unrecognized feature gate: Nope (known: ContainerRestartRules, "
                      "RestartAllContainersOnContainerExits)"},
        {"ContainerRestartRules=maybe", "feature gates: invalid value of ContainerRestartRules=maybe: must be true or false"},
        {"ContainerRestartRules", "feature gates: missing bool value for ContainerRestartRules"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        FeatureGates g;
        features_default(&g);
        Err *e = features_parse(&g, rows[i].text);
        SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
        CHECK_STR(text, rows[i].error);
        CHECK(!e || (g.ContainerRestartRules && g.RestartAllContainersOnContainerExits)); /* untouched by an error */
        err_free(e);
    }
}

static void test_facts(void)
{
    PodFacts f = {0}, copy;
    for (uint32_t i = 0; i < 3; i++) {
        ContainerFact *c = LIST_ADD(&f.containers);
        c->name = mem_dup_str(i == 2 ? "b" : "a");
        c->id = mem_fmt("%u", i);
        c->attempt = i;
    }
    *LIST_ADD(&LIST_ADD(&f.sandboxes)->ips) = mem_dup_str("10.0.0.1");
    CHECK_STR(pod_facts_newest(&f, "a")->id, "1");
    CHECK(pod_facts_newest(&f, "c") == NULL);
    pod_facts_copy(&copy, &f);
    pod_facts_done(&f);
    CHECK_INT(copy.containers.n, 3);
    CHECK_STR(copy.containers.v[2].name, "b");
    CHECK_STR(copy.sandboxes.v[0].ips.v[0], "10.0.0.1");
    pod_facts_done(&copy);
}

/* The writer gives what the encoder and the library give, to the byte. */
static void test_writer(void)
{
    static const char *const pods[] = {
        "{}", "{\"metadata\":{\"name\":\"a\\\"b\\\\\\n\u00e4\",\"labels\":{\"x\":\"y\"},\"annotations\":{}},\"spec\":{\"containers\":[{\"name\":"
              "\"c\",\"image\":\"i\",\"args\":[\"a\",\"\"],\"ports\":[{\"containerPort\":80}],\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":"
              "\"1Gi\"}},\"livenessProbe\":{\"httpGet\":{\"port\":\"web\"}},\"restartPolicyRules\":[{\"action\":\"Restart\",\"exitCodes\":{"
              "\"operator\":\"In\",\"values\":[1,2]}}],\"tty\":false}],\"hostNetwork\":true,\"terminationGracePeriodSeconds\":0},"
              "\"status\":{\"phase\":\"Running\",\"startTime\":\"2026-01-02T03:04:05Z\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
              "\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"running\":{\"startedAt\":\"2026-01-02T03:04:05Z\"}},\"restartCount\":3}]}}"};
    for (size_t i = 0; i < ARRAY_LEN(pods); i++) {
        void *pod = NULL;
        CHECK_OK(api_decode_text(&type_Pod, pods[i], strlen(pods[i]), &pod));
        SCOPED(str_done) Str got = {0};
        api_write(&got, &type_Pod, pod);
        SCOPED(json_unref) json_t *tree = api_encode(&type_Pod, pod);
        SCOPED(mem_free) char *want = json_text(tree, false);
        CHECK_STR(got.p, want);
        api_free(&type_Pod, pod);
    }
}

TESTS(T(test_writer), T(test_restart_rules), T(test_rule_limits), T(test_gate_off_direct), T(test_defaults), T(test_pull_policy),
      T(test_status_always_written), T(test_lenient), T(test_secret), T(test_status_json), T(test_qos), T(test_features),
      T(test_facts))
