/* test_kube_request.c - paths, verbs, queries and the options in them. tests/golden/kube/options.json is what apimachinery's own
 * decoding and validation say of each query (see test_kube_golden.c). */
#include "base/clock.h"
#include "check.h"
#include "kube/request.h"

static json_t *parse(const char *method, const char *target, KubeRequest *r)
{
    return kube_request_parse(method, target, strlen(target), r);
}

/* A request as one line: "list pods ns/name sub", "api", or code and message. */
static char *shown(const char *method, const char *target)
{
    static const char *const paths[] = {[PATH_API] = "api", [PATH_APIS] = "apis", [PATH_GROUP] = "group", [PATH_GROUP_VERSION] = "version of",
                                        [PATH_VERSION] = "version", [PATH_HEALTH] = "health", [PATH_OPENAPI_V2] = "openapi v2",
                                        [PATH_OPENAPI_V3] = "openapi v3", [PATH_METRICS] = "metrics", [PATH_STATS] = "stats",
                                        [PATH_METRICS_RESOURCE] = "resource metrics"};
    SCOPED(kube_request_done) KubeRequest r;
    SCOPED(json_unref) json_t *bad = parse(method, target, &r);
    if (bad)
        return mem_fmt("%d %s", kube_status_code(bad), json_str(bad, "message"));
    if (r.path != PATH_RESOURCE)
        return mem_fmt("%s [%s] %s", paths[r.path], str_or(r.group, ""), str_or(r.name, ""));
    SCOPED(mem_free) char *gr = kube_group_resource(r.kind->group, r.kind->resource);
    return mem_fmt("%s %s %s/%s %s", kube_verb_name(r.verb), gr, str_or(r.namespace_, ""), str_or(r.name, ""), r.sub ? r.sub->name : "");
}

static void test_paths(void)
{
#define NOT_FOUND "404 the server could not find the requested resource"
#define NOT_ALLOWED "405 the server does not allow this method on the requested resource"
    static const struct { const char *method, *target, *want; } cases[] = {
        {"GET", "/api", "api [] "},
        {"GET", "/api/", "api [] "},
        {"GET", "/apis", "apis [] "},
        {"GET", "/api/v1", "version of [] "},
        {"GET", "/api/v2", NOT_FOUND},
        {"GET", "/apis/events.k8s.io", "group [events.k8s.io] "},
        {"GET", "/apis/events.k8s.io/v1", "version of [events.k8s.io] "},
        {"GET", "/apis/events.k8s.io/v1beta1", NOT_FOUND},
        {"GET", "/apis/apps/v1/deployments", NOT_FOUND},
        {"POST", "/api", NOT_ALLOWED},
        {"GET", "/version", "version [] "},
        {"GET", "/version/", "version [] "},
        {"GET", "/healthz", "health [healthz] "},
        {"GET", "/livez/ping", "health [livez] ping"},
        {"GET", "/openapi/v2", "openapi v2 [] "},
        {"GET", "/openapi/v3", "openapi v3 [] "},
        {"GET", "/openapi/v3/api/v1?hash=A", "openapi v3 [] api/v1"},
        {"GET", "/metrics", "metrics [] "},
        {"GET", "/metrics/resource", "resource metrics [] "},
        {"GET", "/stats/summary", "stats [] "},
        {"GET", "/", NOT_FOUND},
        {"GET", "", "400 the path of the request is not valid"},
        {"GET", "/a%zz", "400 the path of the request is not valid"},
        {"GET", "/a%00", "400 the path of the request is not valid"},
        {"GET", "/a%ff", "400 the path of the request is not valid"},
        {"DELETE", "/api/v1/namespaces/a/pods?labelSelector=a%zz", "400 the query of the request is not valid"},
        {"DELETE", "/api/v1/namespaces/a/pods?labelSelector=%ff", "400 the query of the request is not valid"},
        {"DELETE", "/api/v1/namespaces/a/pods?a;labelSelector=b", "400 the query of the request is not valid"},
        {"GET", "/api/v1/pods", "list pods / "},
        {"HEAD", "/api/v1/pods", "list pods / "},
        {"GET", "/api/v1/pods?watch=True", "watch pods / "},
        {"GET", "/api/v1/pods?watch=0", "list pods / "},
        {"GET", "/api/v1/pods?watch=FALSE", "list pods / "},
        {"GET", "/api/v1/pods?watch=", "watch pods / "},
        {"GET", "/api/v1/watch/pods", "watch pods / "},
        {"GET", "/api/v1/watch/namespaces/a/pods/b", "watch pods a/b "},
        {"GET", "/api/v1/watch", NOT_FOUND},
        {"POST", "/api/v1/watch/namespaces/a/pods/b", NOT_ALLOWED},
        {"GET", "/api/v1/namespaces/a/pods", "list pods a/ "},
        {"GET", "/api/v1/namespaces/a/pods/b", "get pods a/b "},
        {"GET", "/api/v1/namespaces/a/pods/b?watch=1", "get pods a/b "},
        {"GET", "/api/v1/namespaces/a/pods/b%2Flog", "get pods a/b log"},
        {"GET", "/api/v1/namespaces/a/pods/b/log", "get pods a/b log"},
        {"POST", "/api/v1/namespaces/a/pods/b/exec", "create pods a/b exec"},
        {"GET", "/api/v1/namespaces/a/pods/b/exec?command=ls", "get pods a/b exec"},
        {"POST", "/api/v1/namespaces/a/pods/b/eviction", "create pods a/b eviction"},
        {"PUT", "/api/v1/namespaces/a/pods/b/log", NOT_ALLOWED},
        {"PATCH", "/api/v1/namespaces/a/pods/b/status", "patch pods a/b status"},
        {"PUT", "/api/v1/namespaces/a/pods/b/ephemeralcontainers", "update pods a/b ephemeralcontainers"},
        {"GET", "/api/v1/namespaces/a/pods/b/nope", NOT_FOUND},
        {"GET", "/api/v1/namespaces/a/pods/b/log/x", NOT_FOUND},
        {"POST", "/api/v1/namespaces/a/pods", "create pods a/ "},
        {"POST", "/api/v1/pods", NOT_ALLOWED},
        {"DELETE", "/api/v1/pods", NOT_ALLOWED},
        {"POST", "/api/v1/namespaces/a/pods/b", NOT_ALLOWED},
        {"PUT", "/api/v1/namespaces/a/pods", NOT_ALLOWED},
        {"BREW", "/api/v1/namespaces/a/pods", NOT_ALLOWED},
        {"DELETE", "/api/v1/namespaces/a/pods/b", "delete pods a/b "},
        {"DELETE", "/api/v1/namespaces/a/pods", "deletecollection pods a/ "},
        {"GET", "/api/v1/pods/b", NOT_FOUND},
        {"GET", "/api/v1/namespaces", "list namespaces / "},
        {"GET", "/api/v1/namespaces/a", "get namespaces /a "},
        {"PUT", "/api/v1/namespaces/a/status", "update namespaces /a status"},
        {"DELETE", "/api/v1/namespaces", NOT_ALLOWED},
        {"GET", "/api/v1/nodes/n", "get nodes /n "},
        {"DELETE", "/api/v1/nodes/n", NOT_ALLOWED},
        {"GET", "/api/v1/namespaces/a/nodes/n", NOT_FOUND},
        {"GET", "/apis/events.k8s.io/v1/namespaces/a/events", "list events.events.k8s.io a/ "},
        {"GET", "/api/v1/namespaces//pods", NOT_FOUND},
        {"GET", "/api/v1/namespaces/a/pods/..", "400 Name parameter invalid: \"..\": may not be '..'"},
        {"GET", "/api/v1/namespaces/a/pods/x%25", "400 Name parameter invalid: \"x%\": may not contain '%'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED(mem_free) char *got = shown(cases[i].method, cases[i].target);
        CHECK_STR(got, cases[i].want);
    }
}

static char *message(json_t *bad) /* taken */
{
    char *m = mem_dup_str(bad ? json_str(bad, "message") : "");
    json_decref(bad);
    return m;
}

static char *said(const char *what, const char *query)
{
    SCOPED(kube_request_done) KubeRequest r;
    bool list = str_eq(what, "list"), one = str_eq(what, "patch") || str_eq(what, "apply") || str_eq(what, "delete");
    const char *method = list ? "GET" : str_eq(what, "delete") ? "DELETE" : one ? "PATCH" : str_eq(what, "log") ? "GET" : "POST";
    SCOPED(mem_free) char *target =
        mem_fmt("/api/v1/%s%s%s?%s", list ? "pods" : "namespaces/a/pods", list || str_eq(what, "create") ? "" : "/x",
                str_eq(what, "log") ? "/log" : str_eq(what, "ports") ? "/portforward" : "", query);
    json_t *bad = parse(method, target, &r);
    CHECK(!bad);
    if (bad)
        return message(bad);
    if (list) {
        SCOPED(list_options_done) ListOptions o;
        return message(kube_list_options(&r, &o));
    }
    if (str_eq(what, "delete")) {
        SCOPED(delete_options_done) DeleteOptions o;
        return message(kube_delete_options(&r, NULL, &o));
    }
    if (str_eq(what, "log")) {
        PodLogOptions o;
        return message(kube_log_options(&r, &o));
    }
    if (str_eq(what, "ports")) {
        PodPortForwardOptions o;
        Str s = {0};
        bad = kube_port_forward_options(&r, &o);
        if (bad)
            return message(bad);
        for (size_t i = 0; i < o.n; i++)
            str_fmt(&s, "%s%u", i ? " " : "[", o.v[i]);
        str_add(&s, "]");
        return str_take(&s);
    }
    WriteOptions o;
    return message(kube_write_options(&r, str_eq(what, "apply"), &o));
}

static void test_options(void)
{
    SCOPED(json_unref) json_t *j = json_load_file(GOLDEN_DIR "/kube/options.json", 0, NULL);
    size_t i;
    json_t *c;
    CHECK(json_array_size(j) > 60);
    json_array_foreach(j, i, c)
    {
        SCOPED(mem_free) char *got = said(json_string_value(json_array_get(c, 0)), json_string_value(json_array_get(c, 1)));
        CHECK_STR(got, json_string_value(json_array_get(c, 2)));
    }
}

static void test_list_options(void)
{
    SCOPED(kube_request_done) KubeRequest r;
    SCOPED(list_options_done) ListOptions o;
    CHECK(!parse("GET", "/api/v1/pods?watch=1&limit=5&labelSelector=a%3Db&timeoutSeconds=7&allowWatchBookmarks=true&resourceVersion=9", &r));
    CHECK(!kube_list_options(&r, &o));
    CHECK(o.watch && o.allow_bookmarks && !o.send_initial_events.set);
    CHECK_INT(o.limit, 5);
    CHECK_INT(o.timeout_seconds.v, 7);
    CHECK_INT(o.labels.n, 1);
    CHECK_STR(o.resource_version, "9");

    SCOPED(kube_request_done) KubeRequest w;
    SCOPED(list_options_done) ListOptions p;
    CHECK(!parse("GET", "/api/v1/watch/namespaces/a/pods/b", &w));
    CHECK(!kube_list_options(&w, &p));
    CHECK_STR(field_selector_exact(&p.fields, "metadata.name"), "b");

    int64_t v;
    CHECK(!kube_version_parse("12", &v));
    CHECK_INT(v, 12);
    SCOPED(mem_free) char *bad = message(kube_version_parse("1x", &v));
    CHECK_STR(bad, "invalid resource version: resourceVersion: Invalid value: \"1x\": strconv.ParseUint: parsing \"1x\": invalid syntax");
}

static void test_exec_options(void)
{
    SCOPED(kube_request_done) KubeRequest r, none;
    SCOPED(exec_options_done) PodExecOptions o, p;
    CHECK(!parse("GET", "/api/v1/namespaces/a/pods/b/exec?command=sh&command=-c&command=echo+a%2Bb&stdin=1&stdout=1&stderr=1&tty=True&container=c", &r));
    CHECK(!kube_exec_options(&r, &o));
    CHECK_INT(o.command.n, 3);
    CHECK_STR(o.command.v[2], "echo a+b");
    CHECK(o.in && o.out && !o.err && o.tty);
    CHECK_STR(o.container, "c");
    CHECK(!parse("POST", "/api/v1/namespaces/a/pods/b/exec?command=sh", &none));
    SCOPED(mem_free) char *bad = message(kube_exec_options(&none, &p));
    CHECK_STR(bad, "you must specify at least 1 of stdin, stdout, stderr");
}

static void test_write_and_delete_options(void)
{
    SCOPED(kube_request_done) KubeRequest r, d;
    WriteOptions o;
    CHECK(!parse("PATCH", "/api/v1/namespaces/a/pods/b?dryRun=All&fieldValidation=Strict", &r));
    CHECK(!kube_write_options(&r, false, &o));
    CHECK(o.dry_run && o.field_validation == FIELDS_STRICT && !o.force.set);
    SCOPED(mem_free) char *manager = kube_field_manager(&o, "kubectl/v1.33.0 (linux/amd64)");
    CHECK_STR(manager, "kubectl");

    SCOPED(delete_options_done) DeleteOptions q;
    SCOPED(json_unref) json_t *body = json_pack("{s:s, s:i, s:[s], s:{s:s}}", "kind", "DeleteOptions", "gracePeriodSeconds", -3, "dryRun", "All",
                                                "preconditions", "uid", "u");
    CHECK(!parse("DELETE", "/api/v1/namespaces/a/pods/b", &d));
    CHECK(!kube_delete_options(&d, body, &q));
    CHECK(q.dry_run && q.grace_period_seconds.set && q.grace_period_seconds.v == 1);
    CHECK_STR(q.uid, "u");
    SCOPED(json_unref) json_t *pod = json_pack("{s:s}", "kind", "Pod");
    SCOPED(delete_options_done) DeleteOptions x;
    SCOPED(mem_free) char *bad = message(kube_delete_options(&d, pod, &x));
    CHECK_STR(bad, "decoded object cannot be converted to DeleteOptions");
}

static void test_bounds(void)
{
    SCOPED(kube_request_done) KubeRequest r, many;
    SCOPED(str_done) Str s = {0};
    str_add(&s, "/version?");
    for (int i = 0; i <= KUBE_QUERY_MAX; i++)
        str_add(&s, "a&");
    SCOPED(mem_free) char *bad = message(parse("GET", s.p, &many));
    CHECK_STR(bad, "the query of the request has more than 1024 values");
    while (s.n <= KUBE_TARGET_MAX)
        str_add(&s, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    SCOPED(mem_free) char *big = message(parse("GET", s.p, &r));
    CHECK_STR(big, "the request target is longer than 65536 bytes");
}

TESTS(T(test_paths), T(test_options), T(test_list_options), T(test_exec_options), T(test_write_and_delete_options), T(test_bounds))
