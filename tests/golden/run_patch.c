/* run_patch.c - what Kubernetes' own code made of a patch against what src/patch makes of it. The cases in tests/golden/patch
 * were written by a Go program around apimachinery, structured-merge-diff and evanphx/json-patch, whose versions each file
 * names; README.md there says how they were made. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "patch/patch.h"

static unsigned n_tests, n_failed;

/* <e> (taken), <got> against what the case says. */
static void judge(const char *file, const json_t *c, const char *step, Err *e, json_t *got, const char *want_error,
                  const json_t *want)
{
    SCOPED(mem_free) char *error = e ? err_text(e) : mem_dup_str("");
    bool ok = strcmp(error, str_or(want_error, "")) == 0 && (e || json_equal(got, want));
    if (!ok) {
        SCOPED(mem_free) char *g = got ? json_text(got, false) : NULL;
        SCOPED(mem_free) char *w = want ? json_text(want, false) : NULL;
        printf("# got:  %s%s\n# want: %s%s\n", error, str_or(g, ""), str_or(want_error, ""), str_or(w, ""));
        n_failed++;
    }
    SCOPED(mem_free) char *name = mem_dup_str(str_or(json_str(c, "name"), "?"));
    for (char *p = name; *p; p++)
        *p = *p == '#' ? '_' : *p;
    printf("%s %u - %s: %s%s\n", ok ? "ok" : "not ok", ++n_tests, file, name, step);
    err_free(e);
}

static void run_one(const char *file, const json_t *c, Err *(*fn)(const json_t *, const json_t *, json_t **))
{
    SCOPED(json_unref) json_t *got = NULL;
    SCOPED(json_unref) json_t *doc = json_deep_copy(json_object_get(c, "doc"));
    SCOPED(json_unref) json_t *patch = json_deep_copy(json_object_get(c, "patch"));
    Err *e = fn(doc, patch, &got);
    if (!json_equal(doc, json_object_get(c, "doc")) || !json_equal(patch, json_object_get(c, "patch"))) {
        printf("not ok %u - %s: arguments were changed\n", ++n_tests, file);
        n_failed++;
    }
    judge(file, c, "", e, got, json_str(c, "error"), json_object_get(c, "result"));
}
static void run_json(const char *file, const json_t *c) { run_one(file, c, patch_json); }
static void run_merge(const char *file, const json_t *c) { run_one(file, c, patch_merge); }

static void run_strategic(const char *file, const json_t *c)
{
    SCOPED(json_unref) json_t *got = NULL;
    SCOPED(json_unref) json_t *doc = json_deep_copy(json_object_get(c, "original"));
    Err *e = patch_strategic(patch_type("v1", json_str(c, "kind")), doc, json_object_get(c, "patch"), &got);
    if (!json_equal(doc, json_object_get(c, "original"))) {
        printf("not ok %u - %s: arguments were changed\n", ++n_tests, file);
        n_failed++;
    }
    judge(file, c, "", e, got, json_str(c, "error"), json_object_get(c, "result"));
}

/* Every time as "T": the cases were not made now. New reference. */
static json_t *without_times(const json_t *obj)
{
    json_t *out = json_deep_copy(obj), *entry;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(out, "metadata"), "managedFields"), i, entry)
        if (json_object_get(entry, "time"))
            (void)json_object_set_new(entry, "time", json_string("T"));
    return out;
}

static void run_apply(const char *file, const json_t *c)
{
    SCOPED(json_unref) json_t *live = json_incref(json_object_get(c, "live"));
    const PatchType *t = patch_type("v1", json_str(c, "kind"));
    size_t i, k;
    const json_t *s, *r;
    json_array_foreach(json_object_get(c, "steps"), i, s) {
        const char *reset[8] = {NULL};
        json_array_foreach(json_object_get(s, "reset"), k, r)
            reset[k] = json_string_value(r);
        PatchManager by = {json_str(s, "manager"), "v1", json_str(s, "subresource"), 1700000000 * NS_PER_S,
                           reset[0] ? reset : NULL};
        SCOPED(json_unref) json_t *got = NULL;
        SCOPED(json_unref) json_t *causes = NULL;
        const json_t *object = json_object_get(s, "object");
        Err *e = NULL;
        if (str_eq(json_str(s, "op"), "apply"))
            e = patch_apply(t, live, object, &by, json_flag(s, "force", false), &got, &causes);
        else
            got = patch_update(t, live, object, &by);
        SCOPED(mem_free) char *step = mem_fmt(", step %zu", i + 1);
        if (e && patch_err_code(e) != json_i64(s, "code", 0)) {
            printf("not ok %u - %s: %s: code %d\n", ++n_tests, file, step, patch_err_code(e));
            n_failed++;
        }
        if (json_object_get(s, "causes") && !json_equal(causes, json_object_get(s, "causes"))) {
            SCOPED(mem_free) char *text = causes ? json_text(causes, false) : NULL;
            printf("# causes %s\nnot ok %u - %s: %s\n", str_or(text, ""), ++n_tests, file, step);
            n_failed++;
        }
        if (got) {
            json_decref(live);
            live = json_incref(got);
        }
        SCOPED(json_unref) json_t *shown = got ? without_times(got) : NULL;
        judge(file, c, step, e, shown, json_str(s, "error"), json_object_get(s, "result"));
    }
}

static const struct {
    const char *file;
    void (*run)(const char *file, const json_t *c);
    size_t at_least;
} files[] = {
    {"jsonpatch", run_json, 100}, {"merge", run_merge, 40}, {"strategic", run_strategic, 60}, {"apply", run_apply, 40},
};

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/%s.json", argv[1], files[f].file);
        json_error_t why;
        SCOPED(json_unref) json_t *all = json_load_file(path, 0, &why);
        const json_t *cases = json_object_get(all, "cases"), *c;
        size_t i;
        if (json_array_size(cases) < files[f].at_least) {
            fprintf(stderr, "%s: %s\n", path, all ? "too few cases" : why.text);
            return 2;
        }
        json_array_foreach(cases, i, c)
            files[f].run(files[f].file, c);
    }
    printf("1..%u\n", n_tests);
    return n_failed ? 1 : 0;
}
