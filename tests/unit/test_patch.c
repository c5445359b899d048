/* test_patch.c - what tests/golden/patch cannot say: limits, statuses, kinds that are not known, times, and the words by
 * which people know a conflict. */
#include "patch/patch.h"

#include "base/clock.h"
#include "check.h"

static json_t *parse(const char *text)
{
    json_t *j = NULL;
    CHECK_OK(json_parse(text, strlen(text), &j));
    return j;
}

/* Frees <e>; its words, owned by the caller. */
static char *words(Err *e)
{
    char *text = e ? err_text(e) : mem_dup_str("no error");
    err_free(e);
    return text;
}

static void check_json(json_t *got, const char *want)
{
    SCOPED(json_unref) json_t *w = parse(want);
    SCOPED(mem_free) char *text = got ? json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    SCOPED(mem_free) char *want_text = json_dumps(w, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK_STR(text, want_text);
}

typedef Err *PatchFn(const json_t *, const json_t *, json_t **);
static Err *strategic_pod(const json_t *doc, const json_t *patch, json_t **ret)
{
    return patch_strategic(patch_type("v1", "Pod"), doc, patch, ret);
}
static Err *strategic_node(const json_t *doc, const json_t *patch, json_t **ret)
{
    return patch_strategic(patch_type("v1", "Node"), doc, patch, ret);
}

static void test_errors(void)
{
    static const struct {
        PatchFn *fn;
        const char *doc, *patch, *want;
        int code;
    } rows[] = {
        {patch_json, "{}", "{}",
         "error decoding patch: json: cannot unmarshal map[string]interface {} into Go value of type []handlers.jsonPatchOp",
         400},
        {patch_json, "{}", "[1]",
         "error decoding patch: json: cannot unmarshal int64 into Go value of type handlers.jsonPatchOp", 400},
        {patch_json, "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", "testing value /a failed: test failed", 422},
        {patch_json, "{}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":1}]",
         "replace operation value must be object or array", 422},
        {patch_merge, "{}", "[]",
         "error decoding patch: json: cannot unmarshal []interface {} into Go value of type map[string]interface {}", 400},
        {patch_merge, "[]", "{}", "Invalid JSON Document", 400},
        {strategic_pod, "{}", "{\"metadata\":{\"$deleteFromPrimitiveList\":[]}}", "no error", 0},
        {strategic_pod, "{\"metadata\":{}}", "{\"metadata\":{\"$deleteFromPrimitiveList\":[]}}",
         "invalid patch format of primitive list", 400},
        {strategic_pod, "{\"metadata\":{}}", "{\"metadata\":{\"$setElementOrder\":[]}}",
         "invalid patch format of setElementOrder list", 400},
        {strategic_pod, "{\"metadata\":{\"finalizers\":[[]]}}", "{\"metadata\":{\"finalizers\":[[]]}}",
         "lists of lists are not supported", 422},
        {strategic_pod, "{\"spec\":{\"x\":{}}}", "{\"spec\":{\"x\":{}}}",
         "unable to find api field in struct PodSpec for the json field \"x\"", 500},
        {strategic_node, "{\"spec\":{\"x\":{}}}", "{\"spec\":{\"x\":{}}}", "no error", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(json_unref) json_t *doc = parse(rows[i].doc);
        SCOPED(json_unref) json_t *patch = parse(rows[i].patch);
        SCOPED(json_unref) json_t *got = NULL;
        Err *e = rows[i].fn(doc, patch, &got);
        CHECK_INT(e ? patch_err_code(e) : 0, rows[i].code);
        CHECK((got == NULL) == (e != NULL));
        SCOPED(mem_free) char *text = words(e);
        CHECK_STR(text, rows[i].want);
    }
}

static void test_status(void)
{
    Err *e = err_reason(err_wrap(err_new(ERR_INVALID, 0, "b"), "a"), "Invalid");
    SCOPED(json_unref) json_t *s = patch_err_status(e, NULL);
    check_json(s, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"a: b\","
                  "\"reason\":\"Invalid\",\"code\":422}");
    err_free(e);
    e = err_new(ERR_INVALID, 0, "c");
    SCOPED(json_unref) json_t *t = patch_err_status(e, NULL);
    check_json(t, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"c\","
                  "\"code\":500}");
    err_free(e);
}

static void test_limits(void)
{
    SCOPED(json_unref) json_t *doc = parse("{\"a\":[1]}");
    SCOPED(json_unref) json_t *many = json_array();
    SCOPED(json_unref) json_t *op = parse("{\"op\":\"test\",\"path\":\"/a/0\",\"value\":1}");
    json_t *got = NULL;
    for (int i = 0; i < PATCH_MAX_OPS; i++)
        (void)json_array_append(many, op);
    CHECK_OK(patch_json(doc, many, &got));
    json_decref(got);
    (void)json_array_append(many, op);
    Err *e = patch_json(doc, many, &got);
    CHECK_INT(e ? patch_err_code(e) : 0, 413);
    SCOPED(mem_free) char *text = words(e);
    CHECK_STR(text, "The allowed maximum operations in a JSON patch is 10000, got 10001");

    /* Each copy doubles: 3 MiB are soon there, and so would be any depth. */
    SCOPED(json_unref) json_t *copies = json_array();
    SCOPED(json_unref) json_t *copy = parse("{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/-\"}");
    for (int i = 0; i < 40; i++)
        (void)json_array_append(copies, copy);
    e = patch_json(doc, copies, &got);
    CHECK_INT(e ? patch_err_code(e) : 0, 413);
    SCOPED(mem_free) char *copied = words(e);
    CHECK(str_starts(copied, "Unable to complete the copy, the accumulated size increase of copy is "));

    /* One is put into the other, and that into the next: 40 of 100 levels. */
    SCOPED(json_unref) json_t *deep = json_object();
    SCOPED(json_unref) json_t *moves = json_array();
    Str path = {0};
    for (int i = 0; i < 100; i++)
        str_add(&path, "/0");
    for (int k = 0; k < 40; k++) {
        json_t *chain = json_array();
        for (int i = 0; i < 100; i++)
            chain = json_pack("[o]", chain);
        SCOPED(mem_free) char *name = mem_fmt("c%d", k);
        (void)json_object_set_new(deep, name, chain);
        SCOPED(mem_free) char *from = mem_fmt("/c%d", k);
        SCOPED(mem_free) char *to = mem_fmt("/c%d%s/-", k + 1, path.p);
        if (k < 39)
            (void)json_array_append_new(moves, json_pack("{s:s, s:s, s:s}", "op", "move", "from", from, "path", to));
    }
    str_done(&path);
    e = patch_json(deep, moves, &got);
    CHECK_INT(e ? patch_err_code(e) : 0, 413);
    SCOPED(mem_free) char *nested = words(e);
    CHECK(str_ends(nested, "the patched object is nested deeper than 256"));

    SCOPED(json_unref) json_t *list = parse("{\"metadata\":{\"finalizers\":[]}}");
    for (int i = 0; i < 5000; i++)
        (void)json_array_append_new(json_object_get(json_object_get(list, "metadata"), "finalizers"), json_integer(i));
    e = patch_strategic(patch_type("v1", "Pod"), list, list, &got);
    CHECK_INT(e ? patch_err_code(e) : 0, 413);
    err_free(e);
}

static void test_merge_diff(void)
{
    SCOPED(json_unref) json_t *from = parse("{\"a\":1,\"b\":{\"c\":[1],\"d\":2},\"e\":{\"x\":1}}");
    SCOPED(json_unref) json_t *to = parse("{\"b\":{\"c\":[2],\"d\":2},\"e\":5,\"f\":{}}");
    SCOPED(json_unref) json_t *diff = patch_merge_diff(from, to);
    check_json(diff, "{\"a\":null,\"b\":{\"c\":[2]},\"e\":5,\"f\":{}}");
    SCOPED(json_unref) json_t *got = NULL;
    CHECK_OK(patch_merge(from, diff, &got));
    CHECK(json_equal(got, to));
}

#define POD(meta, image)                                                                                               \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"" meta "},\"spec\":{"   \
    "\"containers\":[{\"name\":\"main\",\"image\":\"" image "\"}]}}"

static void test_conflict(void)
{
    const PatchType *t = patch_type("v1", "Pod");
    SCOPED(json_unref) json_t *pod = parse(POD("", "a"));
    SCOPED(json_unref) json_t *config = parse(POD("", "b"));
    PatchManager kubectl = {.manager = "kubectl-client-side-apply", .api_version = "v1", .now_ns = NS_PER_S};
    PatchManager me = {.manager = "me", .api_version = "v1", .now_ns = 2 * NS_PER_S};
    SCOPED(json_unref) json_t *live = patch_update(t, NULL, pod, &kubectl);
    check_json(json_object_get(json_object_get(live, "metadata"), "managedFields"),
               "[{\"manager\":\"kubectl-client-side-apply\",\"operation\":\"Update\",\"apiVersion\":\"v1\","
               "\"time\":\"1970-01-01T00:00:01Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{\".\":{},"
               "\"f:containers\":{\".\":{},\"k:{\\\"name\\\":\\\"main\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{}}}}}}]");
    SCOPED(json_unref) json_t *causes = NULL;
    json_t *got = NULL;
    Err *e = patch_apply(t, live, config, &me, false, &got, &causes);
    CHECK(e && str_eq(e->reason, "Conflict"));
    SCOPED(json_unref) json_t *status = e ? patch_err_status(e, causes) : NULL;
    SCOPED(mem_free) char *text = words(e);
    CHECK_STR(text, "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: "
                    ".spec.containers[name=\"main\"].image");
    check_json(json_object_get(status, "details"),
               "{\"causes\":[{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with "
               "\\\"kubectl-client-side-apply\\\" using v1\",\"field\":\".spec.containers[name=\\\"main\\\"].image\"}]}");
    CHECK_INT(json_i64(status, "code", 0), 409);

    /* Forced: mine; and again without force, by now: nothing changes, not even the time. */
    SCOPED(json_unref) json_t *forced = NULL;
    CHECK_OK(patch_apply(t, live, config, &me, true, &forced, NULL));
    me.now_ns = 9 * NS_PER_S;
    SCOPED(json_unref) json_t *again = NULL;
    CHECK_OK(patch_apply(t, forced, config, &me, false, &again, NULL));
    CHECK(json_equal(forced, again));
}

static void test_other_kinds(void)
{
    const PatchType *t = patch_type("v1", "Node");
    CHECK(t == patch_type("apps/v1", "Pod"));
    SCOPED(json_unref) json_t *live = parse("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\",\"labels\":"
                                            "{\"a\":\"1\"}},\"spec\":{\"taints\":[{\"key\":\"k\"}],\"x\":{\"y\":1}}}");
    SCOPED(json_unref) json_t *patch = parse("{\"metadata\":{\"labels\":{\"b\":\"2\"},\"finalizers\":[\"f\"]},\"spec\":"
                                             "{\"taints\":[{\"key\":\"q\"}],\"x\":{\"z\":2}}}");
    SCOPED(json_unref) json_t *got = NULL;
    CHECK_OK(patch_strategic(t, live, patch, &got));
    check_json(got, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\",\"labels\":{\"a\":\"1\",\"b\":"
                    "\"2\"},\"finalizers\":[\"f\"]},\"spec\":{\"taints\":[{\"key\":\"q\"}],\"x\":{\"y\":1,\"z\":2}}}");
    PatchManager by = {.manager = "m", .api_version = "v1", .now_ns = NS_NONE};
    SCOPED(json_unref) json_t *config =
        parse("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"},\"spec\":{\"x\":{\"y\":3}}}");
    SCOPED(json_unref) json_t *causes = NULL;
    json_t *none = NULL;
    SCOPED(mem_free) char *text = words(patch_apply(t, live, config, &by, false, &none, &causes));
    CHECK_STR(text, "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .spec.x.y");
}

static void test_itself(void)
{
    SCOPED(json_unref) json_t *pod = parse(POD(",\"finalizers\":[\"a\",\"b\"],\"labels\":{\"x\":\"y\"}", "i"));
    SCOPED(json_unref) json_t *got = NULL;
    CHECK_OK(patch_strategic(patch_type("v1", "Pod"), pod, pod, &got));
    CHECK(json_equal(pod, got));
}

static void test_managed_fields_that_cannot_be_read(void)
{
    const PatchType *t = patch_type("v1", "Pod");
    PatchManager by = {.manager = "m", .api_version = "v1", .now_ns = NS_NONE};
    static const char *const bad[] = {
        "[{\"manager\":\"x\",\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"x\":{}}}]",
        "[{\"manager\":\"x\",\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"fx\":{}}}]",
        "[{\"manager\":\"x\",\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV2\"}]",
        "[{\"manager\":\"x\",\"operation\":\"Apply\",\"fieldsType\":\"FieldsV1\"}]",
        "[1]",
        "\"x\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        SCOPED(json_unref) json_t *live = parse(POD(",\"uid\":\"u\"", "a"));
        SCOPED(json_unref) json_t *plain = json_deep_copy(live);
        SCOPED(json_unref) json_t *config = parse(POD("", "b"));
        (void)json_object_set_new(json_object_get(live, "metadata"), "managedFields", parse(bad[i]));
        SCOPED(json_unref) json_t *got = NULL;
        Err *e = patch_apply(t, live, config, &by, true, &got, NULL);
        CHECK_INT(e ? patch_err_code(e) : 0, 500);
        SCOPED(mem_free) char *text = words(e);
        CHECK(str_starts(text, "failed to decode managed fields: "));
        SCOPED(json_unref) json_t *updated = patch_update(t, live, live, &by);
        CHECK(json_equal(updated, plain));
    }
}

TESTS(T(test_errors), T(test_status), T(test_limits), T(test_merge_diff), T(test_conflict), T(test_other_kinds),
      T(test_itself), T(test_managed_fields_that_cannot_be_read))
