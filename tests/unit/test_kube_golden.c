/* test_kube_golden.c - src/kube against what Kubernetes 1.35's own code says of the same input. The files in tests/golden/kube were
 * written by a Go program over k8s.io/kubernetes v1.35.0, k8s.io/apimachinery v0.35.0: pkg/printers/internalversion for table.json,
 * labels.Parse, fields.ParseSelector with each kind's conversion, duration.HumanDuration, api/errors. */
#include <stdio.h>

#include "base/clock.h"
#include "kube/selector.h"
#include "kube/status.h"
#include "kube/table.h"
#include "check.h"

static json_t *golden(const char *name)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/kube/%s.json", GOLDEN_DIR, name);
    json_t *j = json_load_file(path, JSON_ALLOW_NUL, NULL);
    if (!j)
        abort();
    return j;
}

static const KubeKind *kind_of(const char *group_resource)
{
    return str_eq(group_resource, "events.events.k8s.io") ? &kube_kinds[KUBE_EVENTS_V1] : kube_kind_find("", group_resource);
}

static void check_json(const json_t *got, const json_t *want)
{
    SCOPED(mem_free) char *a = json_dumps(got, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    SCOPED(mem_free) char *b = json_dumps(want, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    CHECK_STR(a, b);
}

static void test_labels(void)
{
    SCOPED(json_unref) json_t *j = golden("labels");
    const json_t *sets = json_object_get(j, "sets");
    size_t i, k;
    json_t *c, *set;
    json_array_foreach(json_object_get(j, "cases"), i, c)
    {
        SCOPED(label_selector_done) LabelSelector s;
        SCOPED(err_free) Err *e = label_selector_parse(json_str(c, "In"), &s);
        SCOPED(mem_free) char *text = e ? err_text(e) : label_selector_text(&s);
        CHECK_STR(e ? text : "", json_str(c, "Error"));
        CHECK_STR(e ? "" : text, json_str(c, "Out"));
        json_array_foreach(sets, k, set)
            if (!e)
                CHECK_INT(label_selector_matches(&s, set), json_is_true(json_array_get(json_object_get(c, "Match"), k)));
    }
}

static void test_fields(void)
{
    SCOPED(json_unref) json_t *j = golden("fields");
    size_t i;
    json_t *c;
    json_array_foreach(j, i, c)
    {
        SCOPED(field_selector_done) FieldSelector s;
        SCOPED(err_free) Err *e = field_selector_parse(json_str(c, "In"), kind_of(json_str(c, "Resource")), &s);
        SCOPED(mem_free) char *text = e ? err_text(e) : field_selector_text(&s);
        CHECK_STR(e ? text : "", json_str(c, "Error"));
        CHECK_STR(e ? "" : text, json_str(c, "Out"));
    }
}

static void test_human(void)
{
    SCOPED(json_unref) json_t *j = golden("human");
    size_t i;
    json_t *c;
    char buf[HUMAN_MAX];
    json_array_foreach(j, i, c)
        CHECK_STR(human_duration(json_integer_value(json_array_get(c, 0)) * NS_PER_MS, buf), json_string_value(json_array_get(c, 1)));
}

static void test_table(void)
{
    SCOPED(json_unref) json_t *j = golden("table");
    TableOptions o = {.include = INCLUDE_NONE};
    CHECK(clock_parse(json_str(j, "now"), &o.now_ns));
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(j, "cases"), i, c)
    {
        const KubeKind *k = kind_of(json_str(c, "resource"));
        SCOPED(json_unref) json_t *table = kube_table_one(k, json_object_get(c, "object"), &o);
        check_json(json_array_get(json_object_get(table, "rows"), 0), json_object_get(c, "table"));
    }
    const char *resource;
    json_object_foreach(json_object_get(j, "columns"), resource, c)
    {
        SCOPED(json_unref) json_t *table = kube_table(kind_of(resource), NULL, NULL, &o);
        check_json(json_object_get(table, "columnDefinitions"), c);
    }
}

/* --- Status ----------------------------------------------------------------------------------------------------- */

static const json_t *want_status;
static void status_is(const char *name, json_t *got) /* taken */
{
    const json_t *want = json_object_get(want_status, name);
    SCOPED(mem_free) char *a = json_dumps(got, JSON_COMPACT);
    SCOPED(json_unref) json_t *ordered = json_deep_copy(want);
    SCOPED(mem_free) char *b = json_dumps(ordered, JSON_COMPACT);
    CHECK_STR(a, b);
    json_decref(got);
}

static void test_status(void)
{
    SCOPED(json_unref) json_t *j = golden("status");
    KubeRef x = {NULL, "pods", "x"}, all = {NULL, "pods", NULL}, ev = {"events.k8s.io", "events", "x\"y"}, none = {0};
    SCOPED(report_done) Report r = {0}, list = {0};
    want_status = j;
    status_is("not found", kube_not_found(x));
    status_is("not found in group", kube_not_found(ev));
    status_is("exists", kube_already_exists(x));
    status_is("name conflict", kube_name_conflict(x));
    status_is("conflict", kube_conflict_version(x));
    status_is("bad request", kube_bad_request("no"));
    status_is("method", kube_method_not_allowed(ev, "delete"));
    status_is("expired", kube_expired_version(5, 10));
    status_is("gone", kube_gone("gone"));
    status_is("too many", kube_too_many_requests("later", 3));
    status_is("too large", kube_body_too_large(7));
    status_is("unauthorized", kube_unauthorized());
    status_is("forbidden", kube_forbidden(x, "no"));
    status_is("forbidden all", kube_forbidden(all, "no"));
    status_is("forbidden path", kube_forbidden(none, "no"));
    status_is("internal", kube_internal("boom"));
    status_is("unavailable", kube_unavailable("later"));
    status_is("timeout", kube_timeout("slow", 0));
    report_add(&r, CAUSE_REQUIRED, "spec.a", "Required value: must");
    report_add(&r, CAUSE_INVALID, "spec.b", "Invalid value: \"v\": bad");
    report_add(&list, CAUSE_FORBIDDEN, "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list");
    status_is("invalid", kube_invalid(&r, (KubeRef){NULL, "Pod", "x"}));
    status_is("invalid in group", kube_invalid(&list, (KubeRef){"meta.k8s.io", "ListOptions", NULL}));
}

static void status_of(ErrKind kind, const char *reason, KubeRef what, int code, const char *message)
{
    SCOPED(err_free) Err *e = err_reason(err_new(kind, 0, "why"), reason);
    SCOPED(json_unref) json_t *s = kube_status_of(e, what);
    CHECK_INT(kube_status_code(s), code);
    CHECK_STR(json_str(s, "message"), message);
}

static void test_status_of_err(void)
{
    KubeRef x = {NULL, "pods", "x"};
    status_of(ERR_INVALID, "", x, 400, "why");
    status_of(ERR_NOT_FOUND, "", x, 404, "pods \"x\" not found");
    status_of(ERR_EXISTS, "", x, 409, "pods \"x\" already exists");
    status_of(ERR_EXISTS, "Conflict", x, 409, "Operation cannot be fulfilled on pods \"x\": why");
    status_of(ERR_LIMIT, "", x, 413, "Request entity too large: why");
    status_of(ERR_UNAVAILABLE, "", x, 503, "why");
    status_of(ERR_TIMEOUT, "", x, 504, "Timeout: why");
    status_of(ERR_UNSUPPORTED, "", x, 405, "why");
    status_of(ERR_SYS, "", x, 500, "Internal error occurred: why");
    status_of(ERR_BUG, "", x, 500, "Internal error occurred: why");
    status_of(ERR_INVALID, "Expired", x, 410, "why");
    status_of(ERR_SYS, "ErrImagePull", x, 500, "Internal error occurred: why");
    SCOPED(json_unref) json_t *s = kube_forbidden_to(x, "joe<>", "list", "log", "ns", NULL, NULL);
    CHECK_STR(json_str(s, "message"),
              "pods \"x\" is forbidden: User \"joe&lt;&gt;\" cannot list resource \"pods/log\" in API group \"\" in the namespace \"ns\"");
    SCOPED(json_unref) json_t *p = kube_forbidden_to((KubeRef){0}, "joe", "get", NULL, NULL, "/metrics", "no role");
    CHECK_STR(json_str(p, "message"), "forbidden: User \"joe\" cannot get path \"/metrics\": no role");
}

TESTS(T(test_labels), T(test_fields), T(test_human), T(test_table), T(test_status), T(test_status_of_err))
