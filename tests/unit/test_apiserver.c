/* test_apiserver.c - the API over a real socket: every resource and verb, in Kubernetes' words. */
#include "api_world.h"

#include "store/store_priv.h"

static void test_every_resource_and_verb(void)
{
    static const struct { const char *plural, *kind, *body; } kinds[] = {
        {"pods", "Pod", POD("a")},
        {"configmaps", "ConfigMap", MAP("a")},
        {"secrets", "Secret", "{\"metadata\":{\"name\":\"a\"},\"stringData\":{\"k\":\"v\"}}"},
        {"persistentvolumeclaims", "PersistentVolumeClaim",
         "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}"},
        {"serviceaccounts", "ServiceAccount", "{\"metadata\":{\"name\":\"a\"}}"},
        {"events", "Event", "{\"metadata\":{\"name\":\"a\"},\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"x\"}}"},
    };
    World *w = world_new();
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *k = kinds[i].kind, *p = kinds[i].plural;
        bool account = str_eq(p, "serviceaccounts"), object = str_eq(p, "pods") || account || str_eq(p, "persistentvolumeclaims");
        SCOPED(mem_free) char *all = mem_fmt("/api/v1/namespaces/default/%s", p);
        SCOPED(mem_free) char *one = mem_fmt("%s/a", all);
        SCOPED(mem_free) char *everywhere = mem_fmt("/api/v1/%s", p);
        SCOPED(mem_free) char *created = mem_fmt("201 %s default/a", k);
        SCOPED(mem_free) char *got = mem_fmt("200 %s default/a", k);
        SCOPED(mem_free) char *exists = mem_fmt("409 AlreadyExists: %s \"a\" already exists", p);
        SCOPED(mem_free) char *listed = mem_fmt(account ? "200 %sList [a default]" : "200 %sList [a]", k);
        SCOPED(mem_free) char *gone = mem_fmt("404 NotFound: %s \"a\" not found", p);
        SCOPED(mem_free) char *success = object ? mem_dup_str(got) : mem_fmt("200 Success %s a", p);
        SCOPED(mem_free) char *none = mem_fmt("200 %sList []", k);
        CHECK_ASK(w, "GET", one, NULL, gone);
        CHECK_ASK(w, "POST", all, kinds[i].body, created);
        CHECK_ASK(w, "POST", all, kinds[i].body, exists);
        CHECK_ASK(w, "GET", one, NULL, got);
        CHECK_ASK(w, "GET", all, NULL, listed);
        if (!account)
            CHECK_ASK(w, "GET", everywhere, NULL, listed);
        json_t *o = fetch(w, one);
        json_object_set_new(json_object_get(o, "metadata"), "labels", json_pack("{s:s}", "x", "y"));
        SCOPED(mem_free) char *text = json_dumps(o, JSON_COMPACT);
        CHECK_ASK(w, "PUT", one, text, got);
        SCOPED(mem_free) char *stale = mem_fmt("409 Conflict: Operation cannot be fulfilled on %s \"a\": the object has been modified; "
                                               "please apply your changes to the latest version and try again", p);
        CHECK_ASK(w, "PUT", one, text, stale);
        CHECK_ASK(w, "PATCH", one, "{\"metadata\":{\"labels\":{\"p\":\"q\"}}}", got);
        CHECK_AT(w, one, "metadata/labels", str_eq(p, "pods") ? "{\"p\":\"q\",\"x\":\"y\"}" : "{\"p\":\"q\",\"x\":\"y\"}");
        CHECK_ASK(w, "DELETE", one, NULL, success);
        CHECK_ASK(w, "GET", one, NULL, gone);
        CHECK_ASK(w, "DELETE", one, NULL, gone);
        CHECK_ASK(w, "POST", all, kinds[i].body, created);
        CHECK_ASK(w, "DELETE", all, NULL, listed);
        world_turn(w, 4);
        CHECK_ASK(w, "GET", all, NULL, account ? "200 ServiceAccountList [default]" : none);
        json_decref(o);
    }
    world_done(w);
}

static void test_paths_that_are_none(void)
{
    static const struct { const char *method, *target, *body, *want; } table[] = {
        {"GET", "/api/v1/foos", NULL, "404 NotFound: the server could not find the requested resource"},
        {"GET", "/apis/apps/v1/deployments", NULL, "404 NotFound: the server could not find the requested resource"},
        {"POST", "/api/v1/pods", POD("a"), "405 MethodNotAllowed: the server does not allow this method on the requested resource"},
        {"POST", "/api/v1/nodes", "{}", "405 MethodNotAllowed: create is not supported on resources of kind \"nodes\""},
        {"DELETE", "/api/v1/nodes/x", NULL, "405 MethodNotAllowed: delete is not supported on resources of kind \"nodes\""},
        {"DELETE", "/api/v1/namespaces", NULL, "405 MethodNotAllowed: the server does not allow this method on the requested resource"},
        {"POST", PODS "/x/binding", "{}", "404 NotFound: the server could not find the requested resource"},
        {"GET", PODS "?labelSelector=a==", NULL, "200 PodList []"},
        {"GET", PODS "?fieldSelector=spec.foo=x", NULL, "400 BadRequest: field label not supported: spec.foo"},
        {"GET", PODS "/..", NULL, "400 BadRequest: Name parameter invalid: \"..\": may not be '..'"},
        {"GET", PODS "?limit=x", NULL, "400 BadRequest: strconv.ParseInt: parsing \"x\": invalid syntax"},
    };
    World *w = world_new();
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        CHECK_ASK(w, table[i].method, table[i].target, table[i].body, table[i].want);
    world_done(w);
}

static void test_a_new_pod(void)
{
    World *w = world_new();
    CHECK_ASK(w, "POST", PODS, POD("a"), "201 Pod default/a");
    CHECK_AT(w, PODS "/a", "spec/serviceAccountName", "\"default\"");
    CHECK_AT(w, PODS "/a", "spec/priority", "0");
    CHECK_AT(w, PODS "/a", "spec/preemptionPolicy", "\"PreemptLowerPriority\"");
    CHECK_AT(w, PODS "/a", "spec/enableServiceLinks", "true");
    CHECK_AT(w, PODS "/a", "spec/tolerations",
             "[{\"effect\":\"NoExecute\",\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\",\"tolerationSeconds\":300},"
             "{\"effect\":\"NoExecute\",\"key\":\"node.kubernetes.io/unreachable\",\"operator\":\"Exists\",\"tolerationSeconds\":300}]");
    CHECK_AT(w, PODS "/a", "status", "{\"phase\":\"Pending\",\"qosClass\":\"BestEffort\"}");
    CHECK_AT(w, PODS "/a", "metadata/generation", "1");
    /* What admission filled in is nobody's. */
    CHECK_AT(w, PODS "/a", "metadata/managedFields/0/fieldsV1/f:spec/f:tolerations", "none");
    CHECK_AT(w, PODS "/a", "metadata/managedFields/0/fieldsV1/f:spec/f:dnsPolicy", "{}");
    CHECK_AT(w, PODS "/a", "metadata/managedFields/0/manager", "\"unknown\"");
    static const struct { const char *body, *want; } bad[] = {
        {"{\"metadata\":{\"name\":\"b\"},\"spec\":{}}", "422 Invalid: Pod \"b\" is invalid: spec.containers: Required value"},
        {"{\"metadata\":{},\"spec\":{\"containers\":[{\"name\":\"m\",\"image\":\"i\"}]}}",
         "422 Invalid: Pod \"\" is invalid: metadata.name: Required value: name or generateName is required"},
        {"{\"metadata\":{\"name\":\"b\",\"namespace\":\"other\"},\"spec\":{\"containers\":[{\"name\":\"m\",\"image\":\"i\"}]}}",
         "400 BadRequest: the namespace of the provided object does not match the namespace sent on the request"},
        {"{\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"1\"},\"spec\":{\"containers\":[{\"name\":\"m\",\"image\":\"i\"}]}}",
         "400 BadRequest: resourceVersion should not be set on objects to be created"},
        {"{\"metadata\":{\"name\":\"b\"},\"spec\":{\"serviceAccountName\":\"robot\",\"containers\":[{\"name\":\"m\",\"image\":\"i\"}]}}",
         "403 Forbidden: pods \"b\" is forbidden: error looking up service account default/robot: serviceaccount \"robot\" not found"},
        {"{\"metadata\":{\"name\":\"b\"},\"spec\":{\"priorityClassName\":\"high\",\"containers\":[{\"name\":\"m\",\"image\":\"i\"}]}}",
         "403 Forbidden: pods \"b\" is forbidden: no PriorityClass with name high was found"},
        {"{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"b\"}}",
         "400 BadRequest: ConfigMap in version \"v1\" cannot be handled as a Pod: converting (ConfigMap) to (Pod): unknown conversion"},
        {"[]", "400 BadRequest: the body of the request is no object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ASK(w, "POST", PODS, bad[i].body, bad[i].want);
    world_done(w);
}

static void test_generated_names(void)
{
    World *w = world_new();
    json_t *o = NULL;
    for (unsigned i = 0; i < 3; i++) {
        free(ask_full(w, "POST", MAPS, JSON_BODY, "{\"metadata\":{\"generateName\":\"gen-\"}}", &o));
        CHECK(str_starts(meta_of(o, "name"), "gen-") && strlen(meta_of(o, "name")) == 9);
        json_decref(o);
    }
    CHECK_INT(objstore_count(w->store, "configmaps", "default"), 3);
    world_done(w);
}

static void test_dry_run_and_field_validation(void)
{
    static const char odd[] = "{\"metadata\":{\"name\":\"a\"},\"foo\":1,\"data\":{\"a\":\"1\",\"a\":\"2\"}}";
    World *w = world_new();
    CHECK_ASK(w, "POST", MAPS "?dryRun=All", MAP("a"), "201 ConfigMap default/a");
    CHECK_ASK(w, "GET", MAPS "/a", NULL, "404 NotFound: configmaps \"a\" not found");
    CHECK_ASK(w, "POST", MAPS "?dryRun=Some", MAP("a"),
              "422 Invalid: CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"");
    CHECK_ASK(w, "POST", MAPS "?fieldValidation=Strict", odd,
              "400 BadRequest: ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field "
              "\"data.a\", unknown field \"foo\"");
    Client c = client_open(w, "POST", MAPS "?dryRun=All", JSON_BODY, odd, strlen(odd));
    client_finish(w, &c);
    CHECK_INT(client_status(&c), 201);
    CHECK(strstr(c.in.p, "\r\nWarning: 299 - \"unknown field \\\"foo\\\"\"\r\n") != NULL);
    CHECK(strstr(c.in.p, "\r\nWarning: 299 - \"duplicate field \\\"data.a\\\"\"\r\n") != NULL);
    client_close(&c);
    c = client_open(w, "POST", MAPS "?fieldValidation=Ignore", JSON_BODY, odd, strlen(odd));
    client_finish(w, &c);
    CHECK_INT(client_status(&c), 201);
    CHECK(strstr(c.in.p, "Warning") == NULL);
    client_close(&c);
    CHECK_ASK(w, "PUT", MAPS "/a?dryRun=All", MAP("a"), "200 ConfigMap default/a");
    CHECK_ASK(w, "PATCH", MAPS "/a?dryRun=All", "{\"data\":{\"k\":\"z\"}}", "200 ConfigMap default/a");
    CHECK_ASK(w, "DELETE", MAPS "/a?dryRun=All", NULL, "200 Success configmaps a");
    CHECK_ASK(w, "DELETE", MAPS "?dryRun=All", NULL, "200 ConfigMapList [a]");
    CHECK_AT(w, MAPS "/a", "data", "{\"a\":\"2\"}");
    world_done(w);
}

static void test_lists(void)
{
    World *w = world_new();
    json_t *page = NULL;
    static const char *const names[] = {POD("a"), POD("b"), POD("c"), POD("d"), POD("e")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        free(ask(w, "POST", PODS, names[i]));
    bind_pod(w, "b", "Running");
    CHECK_ASK(w, "GET", PODS "?labelSelector=app+in+(a,c)", NULL, "200 PodList [a c]");
    CHECK_ASK(w, "GET", PODS "?labelSelector=app!%3Da,app", NULL, "200 PodList [b c d e]");
    CHECK_ASK(w, "GET", PODS "?fieldSelector=status.phase%3DRunning", NULL, "200 PodList [b]");
    CHECK_ASK(w, "GET", PODS "?fieldSelector=metadata.name%3Dc,spec.nodeName%3D", NULL, "200 PodList [c]");
    CHECK_ASK(w, "GET", PODS "?fieldSelector=metadata.name!%3Dc", NULL, "200 PodList [a b d e]");
    char *said = ask_full(w, "GET", PODS "?limit=2", "", NULL, &page);
    CHECK_STR(said, "200 PodList [a b]");
    CHECK_INT(json_i64(json_object_get(page, "metadata"), "remainingItemCount", -1), 3);
    SCOPED(mem_free) char *token = mem_dup_str(meta_of(page, "continue"));
    CHECK(token != NULL);
    free(said);
    json_decref(page);
    free(ask(w, "DELETE", PODS "/c", NULL));
    SCOPED(mem_free) char *next = mem_fmt(PODS "?limit=9&continue=%s", token);
    CHECK_ASK(w, "GET", next, NULL, "200 PodList [c d e]"); /* of the moment of the first page */
    SCOPED(mem_free) char *both = mem_fmt("%s&resourceVersion=3", next);
    CHECK_ASK(w, "GET", both, NULL, "400 BadRequest: specifying resource version is not allowed when using continue");
    CHECK_ASK(w, "GET", PODS "?continue=xyz", NULL, "400 BadRequest: continue key is not valid: JSON: line 1, column 0: unable to decode byte 0xc7");
    CHECK_ASK(w, "GET", PODS "?resourceVersion=99999999", NULL, "504 Timeout: Timeout: Too large resource version: 99999999, current: 16");
    CHECK_ASK_H(w, "GET", PODS, "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n", NULL, "200 Table [a b d e]");
    CHECK_ASK_H(w, "GET", PODS "/a", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n", NULL, "200 Table [a]");
    CHECK_ASK_H(w, "GET", PODS, "Accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io\r\n", NULL,
                "200 PartialObjectMetadataList [a b d e]");
    CHECK_ASK_H(w, "GET", PODS "/a", "Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io\r\n", NULL,
                "200 PartialObjectMetadata default/a");
    CHECK_ASK_H(w, "GET", PODS, "Accept: text/html\r\n", NULL,
                "406 NotAcceptable: only the following media types are accepted: application/json, application/yaml");
    Client c = client_open(w, "GET", PODS "/a", "Accept: application/yaml\r\n", NULL, 0);
    client_finish(w, &c);
    client_body(&c);
    CHECK(strstr(c.out.p, "\nkind: Pod\n") || str_starts(c.out.p, "kind: Pod\n"));
    CHECK(strstr(c.in.p, "Content-Type: application/yaml\r\n") != NULL);
    client_close(&c);
    world_done(w);
}

static void test_old_versions(void)
{
    World *w = world_with(NULL, &(ObjStoreOptions){.history_events = 4});
    json_t *page = NULL;
    free(ask(w, "POST", MAPS, MAP("a")));
    free(ask(w, "POST", MAPS, MAP("b")));
    free(ask_full(w, "GET", MAPS "?limit=1", "", NULL, &page));
    SCOPED(mem_free) char *next = mem_fmt(MAPS "?continue=%s", meta_of(page, "continue"));
    SCOPED(mem_free) char *exact = mem_fmt(MAPS "?resourceVersion=%s&resourceVersionMatch=Exact", meta_of(page, "resourceVersion"));
    json_decref(page);
    for (unsigned i = 0; i < 9; i++) {
        SCOPED(mem_free) char *patch = mem_fmt("{\"data\":{\"k\":\"%u\"}}", i);
        free(ask(w, "PATCH", MAPS "/a", patch));
    }
    char *said = ask_full(w, "GET", next, "", NULL, &page);
    CHECK(str_starts(said, "410 Expired: The provided continue parameter is too old to display a consistent list result."));
    CHECK(!str_empty(meta_of(page, "continue"))); /* the rest can be had, of now */
    SCOPED(mem_free) char *rest = mem_fmt(MAPS "?continue=%s", str_or(meta_of(page, "continue"), ""));
    free(said);
    json_decref(page);
    CHECK_ASK(w, "GET", rest, NULL, "200 ConfigMapList [b]");
    CHECK_ASK(w, "GET", exact, NULL, "410 Expired: The resourceVersion for the provided list is too old.");
    world_done(w);
}

static void test_updates_of_a_pod(void)
{
    static const struct { const char *target, *patch, *want; } table[] = {
        {PODS "/a", "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"nginx\"}]}}", NULL}, /* a merge patch replaces lists */
        {PODS "/a", "[{\"op\":\"replace\",\"path\":\"/spec/containers/0/image\",\"value\":\"nginx\"}]", "200 Pod default/a"},
        {PODS "/a", "[{\"op\":\"test\",\"path\":\"/spec/containers/0/image\",\"value\":\"x\"}]",
         "422 Invalid: the server rejected our request due to an error in our request"},
        {PODS "/a", "[{\"op\":\"remove\",\"path\":\"/spec/nope\"}]",
         "422 Invalid: the server rejected our request due to an error in our request"},
        {PODS "/a", "{\"spec\":{\"activeDeadlineSeconds\":10}}", "200 Pod default/a"},
        {PODS "/a", "{\"spec\":{\"activeDeadlineSeconds\":20}}",
         "422 Invalid: Pod \"a\" is invalid: spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"},
        {PODS "/a", "{\"metadata\":{\"name\":\"b\"}}", "400 BadRequest: the name of the object (b) does not match the name on the URL (a)"},
        {PODS "/a", "{\"metadata\":{\"uid\":\"b\"}}", NULL},
        {PODS "/a", "{\"metadata\":{\"resourceVersion\":\"1\"}}",
         "409 Conflict: Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to the latest "
         "version and try again"},
        {PODS "/a", "{\"status\":{\"phase\":\"Running\"}}", "200 Pod default/a"}, /* is put back */
        {PODS "/a/status", "{\"status\":{\"phase\":\"Running\"},\"spec\":{\"activeDeadlineSeconds\":1}}", "200 Pod default/a"},
        {PODS "/a/status", "{\"status\":{\"qosClass\":\"Guaranteed\"}}",
         "422 Invalid: Pod \"a\" is invalid: status.qosClass: Invalid value: \"Guaranteed\": field is immutable"},
        {PODS "/a/ephemeralcontainers", "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"dbg\",\"image\":\"busybox\"}]}}", "200 Pod default/a"},
        {PODS "/a/ephemeralcontainers", "{\"spec\":{\"ephemeralContainers\":[]}}",
         "422 Invalid: Pod \"a\" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers \"dbg\" may not be removed\n"},
        {PODS "/nope", "{}", "404 NotFound: pods \"nope\" not found"},
    };
    World *w = world_new();
    free(ask(w, "POST", PODS, POD("a")));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char *said = ask(w, "PATCH", table[i].target, table[i].patch);
        if (table[i].want)
            CHECK_STR(said, table[i].want);
        else
            CHECK(str_starts(said, "422 ") || str_starts(said, "409 ") || str_starts(said, "200 "));
        free(said);
        if (i == 9)
            CHECK_AT(w, PODS "/a", "status/phase", "\"Pending\"");
    }
    CHECK_AT(w, PODS "/a", "status/phase", "\"Running\"");
    CHECK_AT(w, PODS "/a", "spec/activeDeadlineSeconds", "10");
    char *said = ask(w, "PATCH", PODS "/a", "{\"spec\":{\"restartPolicy\":\"Never\"}}");
    CHECK(str_starts(said, "422 Invalid: Pod \"a\" is invalid: spec: Forbidden: pod updates may not change fields other than "
                           "`spec.containers[*].image`,"));
    free(said);
    CHECK_ASK_H(w, "PATCH", PODS "/a", "Content-Type: application/strategic-merge-patch+json\r\n",
                "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"other\"}]}}", "200 Pod default/a");
    CHECK_AT(w, PODS "/a", "spec/containers/0/image", "\"other\"");
    CHECK_ASK_H(w, "PATCH", PODS "/a", "Content-Type: text/plain\r\n", "{}",
                "415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: "
                "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
                "application/apply-patch+yaml");
    world_done(w);
}

#define APPLY "Content-Type: application/apply-patch+yaml\r\n"

static void test_server_side_apply(void)
{
    World *w = world_new();
    json_t *o = NULL;
    CHECK_ASK_H(w, "PATCH", MAPS "/a", APPLY, "apiVersion: v1\nkind: ConfigMap\ndata: {k: v}\n",
                "422 Invalid: PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch");
    CHECK_ASK_H(w, "PATCH", MAPS "/a?fieldManager=one", APPLY, "apiVersion: v1\nkind: ConfigMap\ndata: {k: v}\n", "201 ConfigMap default/a");
    CHECK_ASK_H(w, "PATCH", MAPS "/a?fieldManager=one", APPLY, "apiVersion: v1\nkind: ConfigMap\ndata: {k: v}\n", "200 ConfigMap default/a");
    CHECK_AT(w, MAPS "/a", "metadata/managedFields/0/manager", "\"one\"");
    CHECK_AT(w, MAPS "/a", "metadata/managedFields/0/fieldsV1", "{\"f:data\":{\"f:k\":{}}}");
    char *said = ask_full(w, "PATCH", MAPS "/a?fieldManager=two", APPLY, "apiVersion: v1\nkind: ConfigMap\ndata: {k: w, l: m}\n", &o);
    CHECK_STR(said, "409 Conflict: Apply failed with 1 conflict: conflict with \"one\": .data.k");
    char *causes = value_at(o, "details/causes");
    CHECK_STR(causes, "[{\"field\":\".data.k\",\"message\":\"conflict with \\\"one\\\"\",\"reason\":\"FieldManagerConflict\"}]");
    free(causes);
    free(said);
    json_decref(o);
    CHECK_ASK_H(w, "PATCH", MAPS "/a?fieldManager=two&force=true", APPLY, "apiVersion: v1\nkind: ConfigMap\ndata: {k: w, l: m}\n",
                "200 ConfigMap default/a");
    CHECK_AT(w, MAPS "/a", "data", "{\"k\":\"w\",\"l\":\"m\"}");
    CHECK_ASK_H(w, "PATCH", MAPS "/a?fieldManager=two", APPLY, "apiVersion: v1\nkind: ConfigMap\ndata: {k: w}\n", "200 ConfigMap default/a");
    CHECK_AT(w, MAPS "/a", "data", "{\"k\":\"w\"}"); /* what its only owner no longer names goes */
    CHECK_ASK(w, "PATCH", MAPS "/a?force=true", "{}",
              "422 Invalid: PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch");
    CHECK_ASK_H(w, "PATCH", MAPS "/b?fieldManager=one", APPLY, "apiVersion: v1\nkind: ConfigMap\nmetadata: {uid: x}\n",
                "409 Conflict: Operation cannot be fulfilled on configmaps \"b\": uid mismatch: the provided object specified uid x, and no "
                "existing object was found");
    CHECK_ASK_H(w, "PATCH", PODS "/p?fieldManager=one", APPLY,
                "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: main, image: busybox}]}\n", "201 Pod default/p");
    CHECK_AT(w, PODS "/p", "metadata/managedFields/0/fieldsV1",
             "{\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"main\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{}}}}}");
    CHECK_ASK_H(w, "PATCH", PODS "/p/status?fieldManager=x", APPLY, "apiVersion: v1\nkind: Pod\nstatus: {phase: Running}\n",
                "200 Pod default/p");
    CHECK_AT(w, PODS "/p", "status/phase", "\"Running\"");
    world_done(w);
}

static void test_deleting_pods(void)
{
    World *w = world_new();
    json_t *o = NULL;
    free(ask(w, "POST", PODS, POD("a")));
    bind_pod(w, "a", "Running");
    o = fetch(w, PODS "/a");
    SCOPED(mem_free) char *want = mem_fmt("409 Conflict: Operation cannot be fulfilled on pods \"a\": the UID in the precondition (x) does not "
                                          "match the UID in record (%s). The object might have been deleted and then recreated",
                                          meta_of(o, "uid"));
    json_decref(o);
    CHECK_ASK(w, "DELETE", PODS "/a", "{\"preconditions\":{\"uid\":\"x\"}}", want);
    free(ask_full(w, "DELETE", PODS "/a", JSON_BODY, "{\"gracePeriodSeconds\":20}", &o));
    CHECK_INT(json_i64(json_object_get(o, "metadata"), "deletionGracePeriodSeconds", -1), 20);
    CHECK(meta_of(o, "deletionTimestamp") != NULL);
    json_decref(o);
    CHECK_AT(w, PODS "/a", "metadata/deletionGracePeriodSeconds", "20");
    CHECK_AT(w, PODS "/a", "metadata/generation", "2");
    CHECK_ASK(w, "DELETE", PODS "/a?gracePeriodSeconds=5", NULL, "200 Pod default/a");
    CHECK_AT(w, PODS "/a", "metadata/deletionGracePeriodSeconds", "5");
    ObjWatch *node = NULL;
    ObjEvent ev = {0};
    CHECK_OK(objstore_watch(w->store, &(ObjWatching){.resource = "pods"}, &node));
    CHECK_ASK(w, "DELETE", PODS "/a?gracePeriodSeconds=0", NULL, "200 Pod default/a");
    while (objwatch_next(node, &ev) == OBJ_EVENT && ev.type != OBJ_DELETED)
        ;
    CHECK(ev.type == OBJ_DELETED && strstr(ev.item->text, "\"deletionGracePeriodSeconds\":0") != NULL); /* what the node goes by */
    objwatch_close(node);
    CHECK_ASK(w, "GET", PODS "/a", NULL, "404 NotFound: pods \"a\" not found");

    /* A finalizer holds it until it is taken away. */
    free(ask(w, "POST", MAPS, "{\"metadata\":{\"name\":\"f\",\"finalizers\":[\"x.io/y\"]}}"));
    CHECK_ASK(w, "DELETE", MAPS "/f", NULL, "200 ConfigMap default/f");
    CHECK_ASK(w, "DELETE", MAPS "/f", NULL, "200 ConfigMap default/f");
    CHECK_ASK(w, "PATCH", MAPS "/f", "{\"metadata\":{\"finalizers\":[\"x.io/y\",\"x.io/z\"]}}",
              "422 Invalid: ConfigMap \"f\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
              "deleted, found new finalizers []string{\"x.io/z\"}");
    CHECK_ASK(w, "PATCH", MAPS "/f", "{\"metadata\":{\"finalizers\":null}}", "200 ConfigMap default/f");
    CHECK_ASK(w, "GET", MAPS "/f", NULL, "404 NotFound: configmaps \"f\" not found");
    CHECK_ASK(w, "DELETE", MAPS "/f?propagationPolicy=Maybe", NULL,
              "422 Invalid: DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Maybe\": supported values: "
              "\"Foreground\", \"Background\", \"Orphan\", \"nil\"");

    free(ask(w, "POST", PODS, POD("a")));
    free(ask(w, "POST", PODS, POD("b")));
    free(ask(w, "POST", PODS, POD("c")));
    bind_pod(w, "b", "Running");
    CHECK_ASK(w, "DELETE", PODS "?labelSelector=app+in+(a,b)", NULL, "200 PodList [a b]");
    CHECK_ASK(w, "GET", PODS, NULL, "200 PodList [b c]"); /* b is bound: the node ends it */
    CHECK_AT(w, PODS "/b", "metadata/deletionGracePeriodSeconds", "30");
    world_done(w);
}

static void test_eviction(void)
{
    World *w = world_new();
    free(ask(w, "POST", PODS, POD("a")));
    bind_pod(w, "a", "Running");
    CHECK_ASK(w, "POST", PODS "/a/eviction", "{\"metadata\":{\"name\":\"b\"}}", "400 BadRequest: name in URL does not match name in Eviction object");
    CHECK_ASK(w, "POST", PODS "/a/eviction?dryRun=All", "{\"metadata\":{\"name\":\"a\"}}", "201 Success  ");
    CHECK_AT(w, PODS "/a", "metadata/deletionTimestamp", "none");
    CHECK_ASK(w, "POST", PODS "/a/eviction", "{\"metadata\":{\"name\":\"a\"},\"deleteOptions\":{\"gracePeriodSeconds\":7}}", "201 Success  ");
    CHECK_AT(w, PODS "/a", "metadata/deletionGracePeriodSeconds", "7");
    CHECK_AT(w, PODS "/a", "status/conditions/0/reason", "\"EvictionByEvictionAPI\"");
    CHECK_ASK(w, "POST", PODS "/b/eviction", "{\"metadata\":{\"name\":\"b\"}}", "404 NotFound: pods \"b\" not found");
    world_done(w);
}

static void test_namespaces(void)
{
    World *w = world_new();
    CHECK_ASK(w, "GET", "/api/v1/namespaces", NULL, "200 NamespaceList [default kube-node-lease kube-public kube-system]");
    CHECK_ASK(w, "POST", "/api/v1/namespaces/foo/configmaps", MAP("a"), "404 NotFound: namespaces \"foo\" not found");
    CHECK_ASK(w, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"Foo\"}}",
              "422 Invalid: Namespace \"Foo\" is invalid: metadata.name: Invalid value: \"Foo\": a lowercase RFC 1123 subdomain must consist of "
              "lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
              "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
    CHECK_ASK(w, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"foo\"}}", "201 Namespace foo");
    CHECK_AT(w, "/api/v1/namespaces/foo", "metadata/labels", "{\"kubernetes.io/metadata.name\":\"foo\"}");
    CHECK_AT(w, "/api/v1/namespaces/foo", "spec/finalizers", "[\"kubernetes\"]");
    CHECK_ASK(w, "GET", "/api/v1/namespaces/foo/serviceaccounts", NULL, "200 ServiceAccountList [default]");
    free(ask(w, "DELETE", "/api/v1/namespaces/foo/serviceaccounts/default", NULL));
    world_turn(w, 4);
    CHECK_ASK(w, "GET", "/api/v1/namespaces/foo/serviceaccounts", NULL, "200 ServiceAccountList [default]"); /* is made again */
    CHECK_ASK(w, "POST", "/api/v1/namespaces/foo/configmaps", MAP("a"), "201 ConfigMap foo/a");
    CHECK_ASK(w, "POST", "/api/v1/namespaces/foo/configmaps", "{\"metadata\":{\"name\":\"held\",\"finalizers\":[\"x.io/y\"]}}",
              "201 ConfigMap foo/held");
    CHECK_ASK(w, "DELETE", "/api/v1/namespaces/foo", NULL, "200 Namespace foo");
    world_turn(w, 8);
    CHECK_AT(w, "/api/v1/namespaces/foo", "status/phase", "\"Terminating\"");
    CHECK_ASK(w, "GET", "/api/v1/namespaces/foo/configmaps", NULL, "200 ConfigMapList [held]");
    CHECK_ASK(w, "POST", "/api/v1/namespaces/foo/configmaps", MAP("b"),
              "403 Forbidden: configmaps \"b\" is forbidden: unable to create new content in namespace foo because it is being terminated");
    CHECK_ASK(w, "PATCH", "/api/v1/namespaces/foo/configmaps/held", "{\"metadata\":{\"finalizers\":null}}", "200 ConfigMap foo/held");
    world_turn(w, 8);
    CHECK_ASK(w, "GET", "/api/v1/namespaces/foo", NULL, "404 NotFound: namespaces \"foo\" not found");
    CHECK_ASK(w, "DELETE", "/api/v1/namespaces/kube-system", NULL,
              "403 Forbidden: namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
    world_done(w);
}

static void test_owners(void)
{
    static const struct { const char *target, *left; } table[] = {
        {MAPS "/owner", "200 ConfigMapList []"},
        {MAPS "/owner?propagationPolicy=Foreground", "200 ConfigMapList []"},
        {MAPS "/owner?propagationPolicy=Orphan", "200 ConfigMapList [a b]"},
    };
    World *w = world_new();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_t *o = NULL;
        free(ask_full(w, "POST", MAPS, JSON_BODY, MAP("owner"), &o));
        SCOPED(mem_free) char *uid = mem_dup_str(meta_of(o, "uid"));
        json_decref(o);
        for (const char *const *n = (const char *const[]){"a", "b", NULL}; *n; n++) {
            SCOPED(str_done) Str body = {0};
            str_fmt(&body, "{\"metadata\":{\"name\":\"%s\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":"
                           "\"owner\",\"uid\":\"%s\",\"blockOwnerDeletion\":true}]}}", *n, uid);
            SCOPED(mem_free) char *want = mem_fmt("201 ConfigMap default/%s", *n);
            CHECK_ASK(w, "POST", MAPS, body.p, want);
        }
        free(ask(w, "DELETE", table[i].target, NULL));
        world_turn(w, 10);
        CHECK_ASK(w, "GET", MAPS, NULL, table[i].left);
    }
    CHECK_AT(w, MAPS "/a", "metadata/ownerReferences", "none");
    world_done(w);
}

static void test_secrets_and_maps(void)
{
    World *w = world_new();
    const char *secrets = "/api/v1/namespaces/default/secrets";
    CHECK_ASK(w, "POST", secrets, "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"a\":\"b\"},\"immutable\":true}", "201 Secret default/s");
    CHECK_AT(w, "/api/v1/namespaces/default/secrets/s", "data", "{\"a\":\"Yg==\"}");
    CHECK_AT(w, "/api/v1/namespaces/default/secrets/s", "stringData", "none");
    CHECK_AT(w, "/api/v1/namespaces/default/secrets/s", "type", "\"Opaque\"");
    CHECK_ASK(w, "PATCH", "/api/v1/namespaces/default/secrets/s", "{\"data\":{\"a\":\"Yw==\"}}",
              "422 Invalid: Secret \"s\" is invalid: data: Forbidden: field is immutable when `immutable` is set");
    CHECK_ASK(w, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"},\"immutable\":true}", "201 ConfigMap default/m");
    CHECK_ASK(w, "PATCH", MAPS "/m", "{\"immutable\":false}",
              "422 Invalid: ConfigMap \"m\" is invalid: immutable: Forbidden: field is immutable when `immutable` is set");
    CHECK_ASK(w, "PATCH", MAPS "/m", "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", "200 ConfigMap default/m");
    world_done(w);
}

static void test_events_in_both_forms(void)
{
    World *w = world_new();
    const char *v1 = "/apis/events.k8s.io/v1/namespaces/default/events";
    CHECK_ASK(w, "POST", v1, "{\"metadata\":{\"name\":\"e\"},\"regarding\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"p\"},\"note\":\"n\","
                             "\"reason\":\"R\",\"reportingController\":\"c\",\"eventTime\":\"2026-01-02T03:04:05.000006Z\"}", "201 Event default/e");
    CHECK_AT(w, "/api/v1/namespaces/default/events/e", "message", "\"n\"");
    CHECK_AT(w, "/api/v1/namespaces/default/events/e", "involvedObject/name", "\"p\"");
    CHECK_AT(w, "/api/v1/namespaces/default/events/e", "apiVersion", "\"v1\"");
    CHECK_AT(w, "/apis/events.k8s.io/v1/namespaces/default/events/e", "note", "\"n\"");
    CHECK_AT(w, "/apis/events.k8s.io/v1/namespaces/default/events/e", "apiVersion", "\"events.k8s.io/v1\"");
    CHECK_AT(w, "/apis/events.k8s.io/v1/events", "items/0/regarding/name", "\"p\"");
    CHECK_ASK(w, "PATCH", "/apis/events.k8s.io/v1/namespaces/default/events/e", "{\"note\":\"m\"}", "200 Event default/e");
    CHECK_AT(w, "/api/v1/namespaces/default/events/e", "message", "\"m\"");
    CHECK_AT(w, "/api/v1/events?fieldSelector=involvedObject.name%3Dp", "items/0/reason", "\"R\"");
    CHECK_AT(w, "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dq", "items", "[]");
    const ObjItem *i = objstore_get(w->store, "events", "default", "e");
    CHECK(i && i->expires_ns > os_now_ns() + OBJSTORE_EVENT_TTL_NS / 2);
    world_done(w);
}

static void test_nodes_and_claims(void)
{
    World *w = world_new();
    SCOPED(json_unref) json_t *node = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}, s:{}}", "apiVersion", "v1", "kind", "Node", "metadata",
                                                "name", "node-1", "uid", "u", "spec", "podCIDR", "10.0.0.0/24", "status");
    CHECK_OK(objstore_create(w->store, "nodes", node, NULL, NULL));
    CHECK_ASK(w, "PATCH", "/api/v1/nodes/node-1", "{\"spec\":{\"unschedulable\":true},\"metadata\":{\"labels\":{\"a\":\"b\"}}}", "200 Node node-1");
    CHECK_AT(w, "/api/v1/nodes/node-1", "spec", "{\"podCIDR\":\"10.0.0.0/24\",\"unschedulable\":true}");
    CHECK_ASK(w, "PATCH", "/api/v1/nodes/node-1", "{\"spec\":{\"unschedulable\":null,\"taints\":[{\"key\":\"a\",\"effect\":\"NoSchedule\"}]}}",
              "200 Node node-1");
    char *said = ask(w, "PATCH", "/api/v1/nodes/node-1", "{\"spec\":{\"podCIDR\":\"x\"}}");
    CHECK(str_starts(said, "422 Invalid: Node \"node-1\" is invalid: spec: Forbidden: node updates may only change labels, taints"));
    free(said);
    CHECK_ASK(w, "PATCH", "/api/v1/nodes/node-1/status", "{\"status\":{\"phase\":\"x\"},\"spec\":{\"podCIDR\":\"y\"}}", "200 Node node-1");
    CHECK_AT(w, "/api/v1/nodes/node-1", "status/phase", "\"x\"");
    const char *claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    free(ask(w, "POST", claims, "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":"
                                "{\"storage\":\"1Gi\"}}}}"));
    CHECK_AT(w, "/api/v1/namespaces/default/persistentvolumeclaims/c", "status/phase", "\"Pending\"");
    CHECK_ASK(w, "PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/c",
              "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}", "200 PersistentVolumeClaim default/c");
    said = ask(w, "PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/c", "{\"spec\":{\"volumeName\":\"x\"}}");
    CHECK(str_starts(said, "422 Invalid: PersistentVolumeClaim \"c\" is invalid: spec: Forbidden: spec is immutable after creation except "
                           "resources.requests and volumeAttributesClassName for bound claims\n"));
    free(said);
    world_done(w);
}

/* Writes say why not, and change nothing; who reads or watches sees no difference. */
static void test_the_disk_is_full(void)
{
    World *w = world_with(NULL, &(ObjStoreOptions){.retry_ns = 1});
    free(ask(w, "POST", MAPS, MAP("a")));
    Client c = client_open(w, "GET", MAPS "?watch=true", "", NULL, 0);
    CHECK_EVENT(w, &c, "ADDED ConfigMap default/a");
    SCOPED(mem_free) char *want = mem_fmt("503 ServiceUnavailable: the store %s cannot be written: No space left on device", w->db);
    objvfs_broken = ENOSPC;
    CHECK_ASK(w, "POST", MAPS, MAP("b"), want);
    CHECK_ASK(w, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"foo\"}}", want);
    CHECK_ASK(w, "PATCH", MAPS "/a", "{\"data\":{\"k\":\"w\"}}", want);
    CHECK_ASK(w, "DELETE", MAPS "/a", NULL, want);
    CHECK_ASK(w, "DELETE", MAPS, NULL, want);
    CHECK_ASK(w, "POST", MAPS "?dryRun=All", MAP("b"), "201 ConfigMap default/b");
    CHECK_ASK(w, "GET", MAPS, NULL, "200 ConfigMapList [a]");
    CHECK_ASK(w, "GET", "/livez", NULL, "200 ok");
    SCOPED(mem_free) char *ready = mem_fmt("500 [+]ping ok\n[-]store failed: the store %s cannot be written: No space left on device\n[+]node "
                                           "ok\nreadyz check failed\n", w->db);
    CHECK_ASK(w, "GET", "/readyz", NULL, ready);
    objvfs_broken = 0;
    CHECK_ASK(w, "PATCH", MAPS "/a", "{\"data\":{\"k\":\"w\"}}", "200 ConfigMap default/a");
    CHECK_EVENT(w, &c, "MODIFIED ConfigMap default/a");
    CHECK_ASK(w, "GET", "/readyz", NULL, "200 ok");
    client_close(&c);
    world_done(w);
}

/* A namespace that was being emptied when the server ended goes on with the next one; what is kept is there again. */
static void test_the_next_server_goes_on(void)
{
    World *w = world_new();
    char *note = NULL;
    free(ask(w, "POST", MAPS, MAP("a")));
    free(ask(w, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"foo\"}}"));
    free(ask(w, "POST", "/api/v1/namespaces/foo/configmaps", MAP("a")));
    objstore_begin(w->store); /* what is deleted behind its back, in the last instant */
    const ObjItem *i = objstore_get(w->store, "namespaces", "", "foo");
    json_t *ns = objitem_json(i);
    json_object_set_new(json_object_get(ns, "metadata"), "deletionTimestamp", json_string("2026-01-01T00:00:00Z"));
    CHECK_OK(objstore_update(w->store, "namespaces", ns, NULL, NULL));
    CHECK_OK(objstore_end(w->store));
    json_decref(ns);
    apiserver_free(w->api);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    objstore_close(w->store);
    CHECK_OK(objstore_open(w->db, NULL, &w->store, &note));
    world_serve(w);
    world_turn(w, 10);
    CHECK_ASK(w, "GET", MAPS, NULL, "200 ConfigMapList [a]");
    CHECK_ASK(w, "GET", "/api/v1/namespaces/foo", NULL, "404 NotFound: namespaces \"foo\" not found");
    free(note);
    world_done(w);
}

TESTS(T(test_every_resource_and_verb), T(test_paths_that_are_none), T(test_a_new_pod), T(test_generated_names),
      T(test_dry_run_and_field_validation), T(test_lists), T(test_old_versions), T(test_updates_of_a_pod), T(test_server_side_apply),
      T(test_deleting_pods), T(test_eviction), T(test_namespaces), T(test_owners), T(test_secrets_and_maps),
      T(test_events_in_both_forms), T(test_nodes_and_claims), T(test_the_disk_is_full), T(test_the_next_server_goes_on))
