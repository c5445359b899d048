/* test_kube_meta.c - objects from create to deletion, bodies, and the forms that answers take. */
#include "base/clock.h"
#include "check.h"
#include "kube/body.h"
#include "kube/diff.h"
#include "kube/meta.h"

static char *message(json_t *bad) /* taken */
{
    char *m = mem_dup_str(bad ? json_str(bad, "message") : "");
    json_decref(bad);
    return m;
}
#define CHECK_SAYS(status, want)                                                                                       \
    do {                                                                                                               \
        SCOPED(mem_free) char *m_ = message(status);                                                                   \
        CHECK_STR(m_, want);                                                                                           \
    } while (0)

/* All errors of a report as one line. */
static char *errors(const Report *r)
{
    Str s = {0};
    LIST_EACH(c, &r->errors)
        str_fmt(&s, "%s%s: %s", s.n ? " | " : "", c->path, c->message);
    return str_take(&s);
}
#define CHECK_ERRORS(r, want)                                                                                          \
    do {                                                                                                               \
        SCOPED(mem_free) char *e_ = errors(r);                                                                         \
        CHECK_STR(e_, want);                                                                                           \
    } while (0)

static Pod *pod_of(const char *text)
{
    Report r = {0};
    json_t *j = NULL;
    CHECK_OK(json_parse(text, strlen(text), &j));
    Pod *p = api_decode(&type_Pod, j, "", DECODE_STRICT, &r);
    pod_default(p);
    CHECK_ERRORS(&r, "");
    report_done(&r);
    json_decref(j);
    return p;
}

#define POD                                                                                                            \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"5\",\"generation\":3,"      \
    "\"creationTimestamp\":\"2026-01-02T03:04:05Z\"},\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"

static void parse(const char *method, const char *target, KubeRequest *r)
{
    CHECK_SAYS(kube_request_parse(method, target, strlen(target), r), "");
}

static void test_generate_name(void)
{
    const uint8_t random[META_RANDOM] = {0, 1, 26, 27, 255};
    SCOPED(mem_free) char *a = meta_generate_name("web-", random);
    CHECK_STR(a, "web-bc9bq");
    SCOPED(mem_free) char *b = meta_generate_name("0123456789012345678901234567890123456789012345678901234567890123456789", random);
    CHECK_INT(strlen(b), 63);
}

static void test_create(void)
{
    const uint8_t random[META_RANDOM] = {0};
    MetaSource s = {.now_ns = 1767323045 * NS_PER_S + 5, .uid = "uid-1", .random = random};
    SCOPED(kube_request_done) KubeRequest r;
    parse("POST", "/api/v1/namespaces/a/pods", &r);
    SCOPED(pod_free) Pod *p = pod_of("{\"metadata\":{\"generateName\":\"w-\",\"uid\":\"mine\",\"namespace\":\"a\",\"generation\":9,"
                                     "\"deletionGracePeriodSeconds\":3},\"spec\":{},\"status\":{\"phase\":\"Running\"}}");
    CHECK_SAYS(meta_create(&p->metadata, &r, &s), "");
    pod_reset_status(p);
    SCOPED(mem_free) char *text = api_encode_text(&type_ObjectMeta, &p->metadata);
    CHECK_STR(text, "{\"name\":\"w-bbbbb\",\"generateName\":\"w-\",\"namespace\":\"a\",\"uid\":\"uid-1\",\"generation\":1,"
                    "\"creationTimestamp\":\"2026-01-02T03:04:05Z\"}");
    CHECK_STR(p->status.phase, "Pending");
    CHECK_STR(p->status.qos_class, "BestEffort");
    SCOPED(pod_free) Pod *other = pod_of("{\"metadata\":{\"name\":\"x\",\"namespace\":\"b\"}}");
    CHECK_SAYS(meta_create(&other->metadata, &r, &s), "the namespace of the provided object does not match the namespace sent on the request");
    SCOPED(pod_free) Pod *none = pod_of("{\"metadata\":{\"namespace\":\"a\"}}");
    CHECK_SAYS(meta_create(&none->metadata, &r, &s), "Pod \"\" is invalid: metadata.name: Required value: name or generateName is required");
    SCOPED(pod_free) Pod *old = pod_of("{\"metadata\":{\"name\":\"x\",\"namespace\":\"a\",\"resourceVersion\":\"5\"}}");
    CHECK_SAYS(meta_create(&old->metadata, &r, &s), "resourceVersion should not be set on objects to be created");
}

static void test_update_checks(void)
{
    SCOPED(kube_request_done) KubeRequest r;
    parse("PUT", "/api/v1/namespaces/a/pods/p", &r);
    SCOPED(pod_free) Pod *p = pod_of(POD);
    CHECK_SAYS(meta_check_path(&p->metadata, &r), "");
    CHECK_SAYS(meta_check_version(&p->metadata, &(ObjectMeta){.resource_version = (char[]){"6"}}, kube_request_ref(&r)),
               "Operation cannot be fulfilled on pods \"p\": the object has been modified; please apply your changes to the latest version "
               "and try again");
    mem_set_str(&p->metadata.name, "q");
    CHECK_SAYS(meta_check_path(&p->metadata, &r), "the name of the object (q) does not match the name on the URL (p)");
}

/* What comes of the change of <from> to <to> in POD, up to the diff. */
static char *updated(const char *from, const char *to)
{
    SCOPED(pod_free) Pod *old = pod_of(POD);
    SCOPED(report_done) Report r = {0};
    FeatureGates gates = {0};
    Str text = {0};
    const char *at = strstr(POD, from);
    str_add_n(&text, POD, (size_t)(at - POD));
    str_fmt(&text, "%s%s", to, at + strlen(from));
    SCOPED(pod_free) Pod *next = pod_of(text.p);
    str_done(&text);
    pod_update(next, old, &gates, &r);
    char *out = report_ok(&r) ? mem_fmt("generation %lld", (long long)next->metadata.generation.v) : errors(&r);
    return out;
}

static void test_pod_update(void)
{
#define ONLY                                                                                                           \
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`," \
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"                        \
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
    static const struct { const char *from, *to, *want; } cases[] = {
        {"\"image\":\"i\"", "\"image\":\"i\"", "generation 3"},
        {"\"image\":\"i\"", "\"image\":\"j:1\",\"imagePullPolicy\":\"Always\"", "generation 4"},
        {"\"generation\":3", "\"generation\":7", "generation 3"},
        {"\"uid\":\"u\"", "\"uid\":\"v\"", "metadata.uid: Invalid value: \"v\": field is immutable"},
        {"\"name\":\"p\"", "\"name\":\"q\"", "metadata.name: Invalid value: \"q\": field is immutable"},
        {"\"nodeName\":\"n\"", "\"nodeName\":\"n\",\"activeDeadlineSeconds\":5", "generation 4"},
        {"\"containers\":[", "\"containers\":[{\"name\":\"d\",\"image\":\"i\"},", "spec.containers: Forbidden: pod updates may not add or remove containers"},
        {"\"nodeName\":\"n\"", "\"nodeName\":\"n\",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}]", "generation 4"},
        {"\"nodeName\":\"n\"", "\"nodeName\":\"m\"",
         ONLY "@@ -18,7 +18,7 @@\n  \"dnsPolicy\": \"ClusterFirst\",\n  \"serviceAccountName\": \"default\",\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED(mem_free) char *got = updated(cases[i].from, cases[i].to);
        if (str_starts(cases[i].want, "spec: ")) {
            CHECK(str_starts(got, ONLY "@@ "));
            CHECK(strstr(got, "\n- \"nodeName\": \"n\",\n+ \"nodeName\": \"m\",\n") != NULL);
        } else {
            CHECK_STR(got, cases[i].want);
        }
    }
}

static void test_status_update(void)
{
    SCOPED(pod_free) Pod *old = pod_of(POD), *next = pod_of(POD);
    SCOPED(report_done) Report r = {0};
    mem_set_str(&next->spec.node_name, "other");
    mem_set_str(&next->status.phase, "Running");
    pod_update_status(next, old, &r);
    CHECK_ERRORS(&r, "");
    CHECK_STR(next->spec.node_name, "n");
    CHECK_STR(next->status.phase, "Running");
    CHECK_INT(next->metadata.generation.v, 3);
}

static void test_ephemeral_update(void)
{
    FeatureGates gates = {0};
    SCOPED(report_done) Report added = {0}, removed = {0}, changed = {0};
#define EPHEMERAL(image) "{\"metadata\":{\"name\":\"p\",\"namespace\":\"a\",\"resourceVersion\":\"5\",\"labels\":{\"x\":\"y\"}},\"spec\":" \
    "{\"nodeName\":\"z\",\"containers\":[],\"ephemeralContainers\":[{\"name\":\"e\",\"image\":\"" image "\"}]}}"
    SCOPED(pod_free) Pod *old = pod_of(POD), *one = pod_of(EPHEMERAL("i")), *none = pod_of(POD), *other = pod_of(EPHEMERAL("j"));
    pod_update_ephemeral(one, old, &gates, &added);
    CHECK_ERRORS(&added, "");
    CHECK_INT(one->metadata.generation.v, 4);
    CHECK_INT(one->spec.containers.n, 1);
    CHECK_INT(one->metadata.labels.n, 0);
    pod_update_ephemeral(none, one, &gates, &removed);
    CHECK_ERRORS(&removed, "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n");
    pod_update_ephemeral(other, one, &gates, &changed);
    SCOPED(mem_free) char *text = errors(&changed);
    CHECK(str_starts(text, "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be changed\n@@ "));
}

static void test_config_map_and_secret(void)
{
    SCOPED(report_done) Report a = {0}, b = {0};
    ObjectMeta m = {.name = (char[]){"x"}, .namespace_ = (char[]){"a"}, .resource_version = (char[]){"1"}};
    StrPair one = {(char[]){"k"}, (char[]){"v"}};
    ConfigMap old = {.metadata = m, .immutable = {true, true}, .data = {1, &one}}, next = {.metadata = m};
    config_map_update(&next, &old, &a);
    CHECK_ERRORS(&a, "immutable: Forbidden: field is immutable when `immutable` is set | data: Forbidden: field is immutable when "
                     "`immutable` is set");
    Secret s = {.metadata = m, .type = (char[]){"Opaque"}}, t = {.metadata = m, .type = (char[]){"x/y"}};
    secret_update(&t, &s, &b);
    CHECK_ERRORS(&b, "type: Invalid value: \"x/y\": field is immutable");
}

static char *deletion(const Pod *p)
{
    char buf[CLOCK_TEXT_MAX];
    return mem_fmt("%s grace %lld generation %lld",
                   p->metadata.deletion_timestamp.set ? clock_format(p->metadata.deletion_timestamp.ns, 0, buf) : "none",
                   (long long)p->metadata.deletion_grace_period_seconds.v, (long long)p->metadata.generation.v);
}

static void deletes(Pod *p, OptInt grace, int64_t now_s, DeleteVerdict want, const char *state)
{
    DeleteVerdict v = pod_delete(p, &(DeleteOptions){.grace_period_seconds = grace}, now_s * NS_PER_S);
    SCOPED(mem_free) char *text = deletion(p);
    CHECK_INT(v, want);
    CHECK_STR(text, state);
}

static void test_delete(void)
{
    SCOPED(pod_free) Pod *p = pod_of(POD), *unbound = pod_of(POD), *kept = pod_of(POD);
    deletes(p, (OptInt){0}, 0, DELETE_UPDATE, "1970-01-01T00:00:30Z grace 30 generation 4");
    deletes(p, (OptInt){0}, 5, DELETE_PENDING, "1970-01-01T00:00:30Z grace 30 generation 4");
    deletes(p, (OptInt){true, 40}, 5, DELETE_PENDING, "1970-01-01T00:00:30Z grace 30 generation 4");
    deletes(p, (OptInt){true, 10}, 5, DELETE_UPDATE, "1970-01-01T00:00:10Z grace 10 generation 4");
    deletes(p, (OptInt){true, 2}, 8, DELETE_UPDATE, "1970-01-01T00:00:08Z grace 1 generation 4");
    deletes(p, (OptInt){true, 0}, 9, DELETE_NOW, "1970-01-01T00:00:09Z grace 0 generation 4");
    mem_set_str(&unbound->spec.node_name, NULL);
    deletes(unbound, (OptInt){true, 10}, 1, DELETE_NOW, "1970-01-01T00:00:01Z grace 0 generation 4");
    *LIST_ADD(&kept->metadata.finalizers) = mem_dup_str("a/b");
    deletes(kept, (OptInt){true, 0}, 1, DELETE_UPDATE, "1970-01-01T00:00:01Z grace 0 generation 4");
    deletes(kept, (OptInt){true, 0}, 5, DELETE_PENDING, "1970-01-01T00:00:01Z grace 0 generation 4");
    CHECK(!meta_delete_done(&kept->metadata));
    ObjectMeta plain = {.finalizers = kept->metadata.finalizers}, bare = {0};
    CHECK_INT(meta_delete(&plain, 7 * NS_PER_S), DELETE_UPDATE);
    CHECK_INT(meta_delete(&plain, 8 * NS_PER_S), DELETE_PENDING);
    CHECK_INT(plain.deletion_timestamp.ns, 7 * NS_PER_S);
    CHECK_INT(meta_delete(&bare, 7 * NS_PER_S), DELETE_NOW);
    free(kept->metadata.finalizers.v[0]);
    kept->metadata.finalizers.n = 0;
    CHECK(meta_delete_done(&kept->metadata));
    CHECK_SAYS(meta_check_preconditions(&p->metadata, &(DeleteOptions){.uid = (char[]){"w"}}, (KubeRef){NULL, "pods", "p"}),
               "Operation cannot be fulfilled on pods \"p\": the UID in the precondition (w) does not match the UID in record (u). The object "
               "might have been deleted and then recreated");
}

static void test_field_validation(void)
{
    static const char text[] = "{\"spec\":{\"a\":1,\"b\":[{\"x\":1,\"x\":{}}],\"a\":2},\"kind\":\"Pod\"}";
    SCOPED(report_done) Report r = {0};
    SCOPED(json_unref) json_t *j = NULL;
    CHECK_SAYS(kube_body_parse(MEDIA_JSON, text, strlen(text), &j, &r), "");
    CHECK_INT(json_i64(json_object_get(j, "spec"), "a", 0), 2);
    CHECK_INT(r.errors.n, 2);
    CHECK_STR(r.errors.v[0].message, "duplicate field \"spec.b[0].x\"");
    CHECK_STR(r.errors.v[1].message, "duplicate field \"spec.a\"");
    CHECK_SAYS(kube_invalid(&r, (KubeRef){NULL, "Pod", NULL}),
               "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: duplicate field \"spec.b[0].x\", duplicate field \"spec.a\"");
    meta_field_validation(&r, FIELDS_WARN);
    CHECK(report_ok(&r));
    CHECK_INT(r.warnings.n, 2);
    SCOPED(mem_free) char *warning = kube_warning(r.warnings.v[1]);
    CHECK_STR(warning, "299 - \"duplicate field \\\"spec.a\\\"\"");
    SCOPED(json_unref) json_t *none = NULL;
    CHECK_SAYS(kube_body_parse(MEDIA_JSON, "[]", 2, &none, &r), "the body of the request is no object");
    CHECK_SAYS(kube_body_parse(MEDIA_YAML, "a: 1\n---\nb: 2\n", 14, &none, &r), "the body of the request has 2 YAML documents, there must be one");
    CHECK_SAYS(kube_body_kind(j, "", "v1", "ConfigMap"),
               "Pod in version \"v1\" cannot be handled as a ConfigMap: converting (Pod) to (ConfigMap): unknown conversion");
    CHECK_SAYS(kube_body_kind(j, "", "v1", "Pod"), "");
    CHECK_STR(json_str(j, "apiVersion"), "v1");
}

static void test_diff(void)
{
    SCOPED(json_unref) json_t *a = json_pack("{s:[i,i,i,i,i,i,i,i,i,i,i,i]}", "l", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    SCOPED(json_unref) json_t *b = json_pack("{s:[i,i,i,i,i,i,i,i,i,i,i,i]}", "l", 1, 0, 3, 4, 5, 6, 7, 8, 9, 10, 0, 12);
    SCOPED(mem_free) char *d = json_diff(a, b);
    CHECK_STR(d, "@@ -1,7 +1,7 @@\n {\n  \"l\": [\n   1,\n-  2,\n+  0,\n   3,\n   4,\n   5,\n"
                 "@@ -10,7 +10,7 @@\n   8,\n   9,\n   10,\n-  11,\n+  0,\n   12\n  ]\n }\n");
    SCOPED(mem_free) char *same = json_diff(a, a);
    CHECK_STR(same, "");
}

static void accepts(const char *header, AcceptWhat what, const char *want)
{
    static const char *const type[] = {"json", "yaml", "protobuf"}, *const as[] = {"", " Table", " Partial", " PartialList", " v2", " v2beta1"};
    MediaChoice c;
    SCOPED(json_unref) json_t *bad = kube_accept(header, what, NULL, NULL, &c);
    SCOPED(mem_free) char *got =
        bad ? mem_fmt("%d %s", kube_status_code(bad), json_str(bad, "message")) : mem_fmt("%s%s%s", type[c.type], as[c.as], c.v1beta1 ? " v1beta1" : "");
    CHECK_STR(got, want);
}

static void test_accept(void)
{
#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io"
    accepts(NULL, ACCEPT_OBJECT, "json");
    accepts("*/*", ACCEPT_OBJECT, "json");
    accepts("application/*", ACCEPT_OBJECT, "json");
    accepts("application/yaml", ACCEPT_OBJECT, "yaml");
    accepts("application/json;q=0.5, application/yaml", ACCEPT_OBJECT, "yaml");
    accepts("application/vnd.kubernetes.protobuf,application/json", ACCEPT_OBJECT, "json");
    accepts("application/vnd.kubernetes.protobuf", ACCEPT_OBJECT, "406 only the following media types are accepted: application/json, application/yaml");
    accepts("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ACCEPT_OBJECT, "json");
    accepts(TABLE "," "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", ACCEPT_OBJECT, "json Table");
    accepts("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", ACCEPT_OBJECT, "json Table v1beta1");
    accepts("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", ACCEPT_OBJECT, "json");
    accepts("application/json;as=Table;v=v2;g=meta.k8s.io", ACCEPT_OBJECT, "406 only the following media types are accepted: application/json, application/yaml");
    accepts("application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            ACCEPT_OBJECT, "json PartialList");
    accepts(TABLE, ACCEPT_WATCH, "json Table");
    accepts("application/json;stream=watch", ACCEPT_WATCH, "json");
    accepts("application/yaml", ACCEPT_WATCH, "406 only the following media types are accepted: application/json;stream=watch");
    accepts("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
            ACCEPT_DISCOVERY, "json v2");
    accepts("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", ACCEPT_DISCOVERY, "json v2beta1");
    accepts("application/json", ACCEPT_DISCOVERY, "json");
    accepts("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", ACCEPT_OPENAPI_V2, "protobuf");
    MediaChoice c;
    CHECK_SAYS(kube_accept(NULL, ACCEPT_OBJECT, NULL, "curl/7.88", &c), "");
    CHECK(c.pretty);
    CHECK_SAYS(kube_accept(NULL, ACCEPT_OBJECT, "0", "curl/7.88", &c), "");
    CHECK(!c.pretty);
    MediaType m;
    PatchForm t;
    CHECK_SAYS(kube_body_type("application/json; charset=utf-8", false, &m), "");
    CHECK_SAYS(kube_body_type("text/plain", false, &m),
               "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml");
    CHECK_SAYS(kube_patch_type("application/strategic-merge-patch+json", &t), "");
    CHECK_INT(t, PATCH_STRATEGIC);
    CHECK_SAYS(kube_patch_type("", &t), "the body of the request was in an unknown format - accepted media types include: "
                                        "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
                                        "application/apply-patch+yaml");
}

TESTS(T(test_generate_name), T(test_create), T(test_update_checks), T(test_pod_update), T(test_status_update), T(test_ephemeral_update),
      T(test_config_map_and_secret), T(test_delete), T(test_field_validation), T(test_diff), T(test_accept))
