/* test_kube_discovery.c - what there is. tests/golden/kube/discovery.json is Kubernetes 1.35's own api/discovery, without the resources
 * and subresources that are not served here, and with the verbs that a node has here. */
#include "check.h"
#include "kube/discovery.h"
#include "kube/request.h"

static void check_json(const json_t *got, const json_t *want)
{
    SCOPED(mem_free) char *a = json_dumps(got, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    SCOPED(mem_free) char *b = json_dumps(want, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    CHECK_STR(a, b);
}

static void test_legacy(void)
{
    SCOPED(json_unref) json_t *want = json_load_file(GOLDEN_DIR "/kube/discovery.json", 0, NULL);
    static const char *const groups[] = {"", "events.k8s.io"};
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        SCOPED(json_unref) json_t *got = kube_api_resources(groups[i]);
        check_json(got, json_object_get(want, groups[i]));
    }
    SCOPED(json_unref) json_t *all = kube_api_groups();
    check_json(json_object_get(all, "groups"), json_object_get(want, "groups"));
    SCOPED(json_unref) json_t *one = kube_api_group("events.k8s.io");
    CHECK_STR(json_str(one, "kind"), "APIGroup");
    CHECK(kube_api_group("apps") == NULL);
    CHECK(kube_api_resources("apps") == NULL);
    SCOPED(json_unref) json_t *versions = kube_api_versions("127.0.0.1:1");
    CHECK_STR(json_string_value(json_array_get(json_object_get(versions, "versions"), 0)), "v1");
}

static void test_aggregated(void)
{
    SCOPED(json_unref) json_t *want = json_load_file(GOLDEN_DIR "/kube/discovery.json", 0, NULL);
    SCOPED(json_unref) json_t *groups = kube_discovery_list(false, false);
    check_json(json_array_get(json_object_get(groups, "items"), 0), json_object_get(want, "aggregated"));
    CHECK_STR(json_str(groups, "apiVersion"), "apidiscovery.k8s.io/v2");
    SCOPED(json_unref) json_t *core = kube_discovery_list(true, true);
    CHECK_STR(json_str(core, "apiVersion"), "apidiscovery.k8s.io/v2beta1");
    SCOPED(json_unref) json_t *version = kube_version_info("", "");
    CHECK(str_starts(json_str(version, "gitVersion"), "v1.35.0+reprise-"));
}

/* Every $ref leads somewhere. */
static void check_refs(const json_t *j, const json_t *schemas, const char *prefix)
{
    const char *key;
    json_t *v;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        if (str_eq(key, "$ref")) {
            const char *to = json_string_value(v);
            CHECK(str_starts(to, prefix) && json_object_get(schemas, to + strlen(prefix)));
        }
        check_refs(v, schemas, prefix);
    }
    json_array_foreach(j, i, v)
        check_refs(v, schemas, prefix);
}

static const json_t *at(const json_t *j, const char *a, const char *b)
{
    return json_object_get(json_object_get(j, a), b);
}

static void test_openapi_v3(void)
{
    static const char *const names[] = {"api/v1", "apis/events.k8s.io/v1"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        SCOPED(json_unref) json_t *doc = kube_openapi_v3(names[i]);
        check_refs(doc, at(doc, "components", "schemas"), "#/components/schemas/");
        CHECK(json_object_size(json_object_get(doc, "paths")) > 1);
    }
    SCOPED(json_unref) json_t *doc = kube_openapi_v3("api/v1");
    const json_t *schemas = at(doc, "components", "schemas");
    const json_t *containers = at(json_object_get(schemas, "io.k8s.api.core.v1.PodSpec"), "properties", "containers");
    CHECK_STR(json_str(containers, "x-kubernetes-patch-merge-key"), "name");
    CHECK_STR(json_string_value(json_array_get(json_object_get(containers, "x-kubernetes-list-map-keys"), 0)), "name");
    CHECK_STR(json_str(json_object_get(containers, "items"), "$ref"), "#/components/schemas/io.k8s.api.core.v1.Container");
    CHECK_STR(json_str(json_array_get(json_object_get(json_object_get(schemas, "io.k8s.api.core.v1.Pod"), "x-kubernetes-group-version-kind"), 0), "kind"), "Pod");
    const json_t *patch = json_object_get(at(doc, "paths", "/api/v1/namespaces/{namespace}/pods/{name}"), "patch");
    CHECK_STR(json_str(json_array_get(json_object_get(patch, "parameters"), 2), "name"), "fieldValidation");
    CHECK(kube_openapi_v3("apis/apps/v1") == NULL);
    SCOPED(json_unref) json_t *index = kube_openapi_v3_index();
    CHECK(str_starts(json_str(at(index, "paths", "api/v1"), "serverRelativeURL"), "/openapi/v3/api/v1?hash="));
}

static void test_openapi_v2(void)
{
    SCOPED(json_unref) json_t *doc = kube_openapi_v2();
    const json_t *defs = json_object_get(doc, "definitions");
    size_t n;
    check_refs(doc, defs, "#/definitions/");
    CHECK(json_object_get(defs, "io.k8s.api.events.v1.Event") && json_object_get(defs, "io.k8s.api.core.v1.Event"));
    CHECK(kube_openapi_v2_protobuf(&n)[0] == 0x0a);
    CHECK_INT(n, 26);
}

TESTS(T(test_legacy), T(test_aggregated), T(test_openapi_v3), T(test_openapi_v2))
