/* fuzz_patch.c - a document (the first line) and a patch (the rest), by all four kinds: nothing that is passed in changes,
 * what comes out can be read again and is no deeper than what may come in, an error has a code. The merge patch of a
 * difference gives the target; a strategic merge with itself gives itself where no list has two elements; a create by apply, done
 * again, changes nothing. */
#include "base/clock.h"
#include "base/str.h"
#include "patch/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* No null, no directive, no list of more than one element: where merging with oneself can change nothing. */
static bool is_plain(json_t *j)
{
    const char *key;
    json_t *v;
    size_t i;
    if (json_is_null(j) || json_array_size(j) > 1)
        return false;
    json_object_foreach(j, key, v)
        if (*key == '$' || !is_plain(v))
            return false;
    json_array_foreach(j, i, v)
        if (!is_plain(v))
            return false;
    return true;
}

static bool has_null(json_t *j)
{
    const char *key;
    json_t *v;
    size_t i;
    if (json_is_null(j))
        return true;
    json_object_foreach(j, key, v)
        if (has_null(v))
            return true;
    json_array_foreach(j, i, v)
        if (has_null(v))
            return true;
    return false;
}

/* Takes <e> and <got>. */
static void judge(Err *e, json_t *got, const json_t *causes)
{
    require((e != NULL) == (got == NULL));
    if (e) {
        SCOPED(json_unref) json_t *status = patch_err_status(e, causes);
        require(json_i64(status, "code", 0) >= 400);
        err_free(e);
        return;
    }
    SCOPED(mem_free) char *text = json_text(got, false);
    size_t n = strlen(text);
    require(!json_too_deep(text, n));
    json_t *again = NULL;
    e = json_parse(text, n, &again);
    require(e == NULL || e->kind == ERR_LIMIT);
    err_free(e);
    json_decref(again);
    json_decref(got);
}

static void try_apply(const PatchType *t, const json_t *live, const json_t *config, bool force, bool plain)
{
    static const char *const reset[] = {"status", "metadata.ownerReferences", NULL};
    PatchManager by = {"fuzz", "v1", force ? "status" : NULL, 1700000000 * NS_PER_S, force ? reset : NULL};
    json_t *got = NULL, *causes = NULL, *again = NULL;
    Err *e = patch_apply(t, live, config, &by, force, &got, &causes);
    /* An apply that owns nothing leaves nobody, and then the next one finds an object that nobody ever counted for. */
    if (!e && plain && json_object_get(json_object_get(got, "metadata"), "managedFields")) {
        Err *e2 = patch_apply(t, got, config, &by, false, &again, NULL);
        require(e2 == NULL && json_equal(got, again));
        json_decref(again);
    }
    judge(e, got, causes);
    json_decref(causes);
    if (json_is_object(config) && (!live || json_is_object(live)))
        judge(NULL, patch_update(t, live, config, &by), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    const char *end = n ? memchr(text, '\n', n) : NULL;
    if (!end || n > 1 << 16)
        return 0;
    SCOPED(json_unref) json_t *doc = NULL;
    SCOPED(json_unref) json_t *patch = NULL;
    Err *e = json_parse(text, (size_t)(end - text), &doc);
    if (!e)
        e = json_parse(end + 1, n - (size_t)(end - text) - 1, &patch);
    if (e) {
        err_free(e);
        return 0;
    }
    SCOPED(json_unref) json_t *doc_was = json_deep_copy(doc);
    SCOPED(json_unref) json_t *patch_was = json_deep_copy(patch);
    const PatchType *t = patch_type(str_or(json_str(patch, "apiVersion"), "v1"),
                                    str_or(json_str(patch, "kind"), str_or(json_str(doc, "kind"), "Pod")));
    json_t *got = NULL;
    e = patch_json(doc, patch, &got);
    judge(e, got, NULL);
    got = NULL;
    e = patch_merge(doc, patch, &got);
    judge(e, got, NULL);
    got = NULL;
    e = patch_strategic(t, doc, patch, &got);
    judge(e, got, NULL);
    bool objects = json_is_object(doc) && json_is_object(patch);
    if (objects && !has_null(patch)) {
        SCOPED(json_unref) json_t *diff = patch_merge_diff(doc, patch);
        got = NULL;
        e = patch_merge(doc, diff, &got);
        require(e == NULL && json_equal(got, patch));
        json_decref(got);
    }
    if (objects && is_plain(doc)) {
        got = NULL;
        e = patch_strategic(t, doc, doc, &got);
        require(e != NULL || json_equal(got, doc));
        judge(e, got, NULL);
    }
    if (json_is_object(doc)) {
        try_apply(t, doc, patch, n % 2, false); /* upstream prunes once more what nobody owns: tests/golden/patch */
        try_apply(t, NULL, patch, n % 2, !has_null(patch));
    }
    require(json_equal(doc, doc_was) && json_equal(patch, patch_was));
    return 0;
}
