/* jsonpatch.c - RFC 6902, as evanphx/json-patch v4 does it, for that is what kube-apiserver runs: its words, and where it
 * is wider than the RFC (replace adds, negative indices, the text in front of a path's first slash is passed over), so is
 * this. A null in the document counts as absent, as there. */
#include <stdio.h>

#include "patch/patch_priv.h"

/* --apiserver's JSONPatchMaxCopyBytes: what all copies of one patch may add. */
#define MAX_COPY_BYTES (3 * 1024 * 1024)
/* Values looked at to know how deep a result is; a patch that moves a whole object of 4 MiB twenty times still fits. */
#define MAX_LOOKS (16u << 20)

typedef struct {
    json_t *doc;    /* owned */
    size_t copied;  /* bytes */
    size_t looks;   /* left of MAX_LOOKS */
} Doc;

/* A place in the document: a container, and the last part of the pointer. */
typedef struct {
    json_t *in; /* borrowed; NULL: there is no such container */
    char *key;  /* owned, unescaped */
    size_t depth; /* of <in>, 1 = the document itself */
} Place;
static void place_done(Place *p)
{
    free(p->key);
    *p = (Place){0};
}
static inline void place_done_at(Place *p) { place_done(p); }

/* ~1 is "/" and ~0 is "~"; other tildes stay. Caller frees. */
static char *unescape(const char *s, size_t n)
{
    Str out = {0};
    for (size_t i = 0; i < n; i++) {
        bool pair = s[i] == '~' && i + 1 < n && (s[i + 1] == '0' || s[i + 1] == '1');
        str_add_c(&out, !pair ? s[i] : s[i + 1] == '0' ? '~' : '/');
        i += pair;
    }
    return str_take(&out);
}

/* strconv.Atoi, with its error's words behind <what> (taken). */
static Err *to_index(const char *key, int64_t *ret)
{
    if (str_to_i64(key, ret))
        return NULL;
    Str quoted = {0};
    str_add_quoted(&quoted, key);
    SCOPED(mem_free) char *q = str_take(&quoted);
    return PATCH_INVALID("strconv.Atoi: parsing %s: invalid syntax", q);
}

static Err *bad_index(int64_t i)
{
    return PATCH_INVALID("Unable to access invalid index: %lld: invalid index referenced", (long long)i);
}

/* Turns an index as written into one of a list of <n>; one behind the end is too far. */
static Err *list_index(const char *key, size_t n, size_t *ret)
{
    int64_t i;
    Err *e = to_index(key, &i);
    if (e)
        return e;
    if (i >= (int64_t)n || i < -(int64_t)n)
        return bad_index(i);
    *ret = (size_t)(i < 0 ? i + (int64_t)n : i);
    return NULL;
}

/* *ret is borrowed, and NULL for what an object does not have, and for null. */
static Err *get(json_t *in, const char *key, json_t **ret)
{
    *ret = NULL;
    if (json_is_object(in)) {
        *ret = json_object_get(in, key);
    } else {
        size_t i;
        Err *e = list_index(key, json_array_size(in), &i);
        if (e)
            return e;
        *ret = json_array_get(in, i);
    }
    if (json_is_null(*ret))
        *ret = NULL;
    return NULL;
}

/* Err only for a pointer that is longer than any document is deep. */
static Err *find(const Doc *d, const char *path, Place *ret)
{
    *ret = (Place){.in = NULL};
    const char *p = strchr(path, '/');
    if (!p)
        return NULL;
    json_t *at = d->doc;
    size_t depth = 1;
    for (;; depth++) {
        const char *end = strchr(++p, '/');
        if (depth > PATCH_MAX_DEPTH)
            return PATCH_LIMIT("path of more than %d parts", PATCH_MAX_DEPTH);
        char *key = unescape(p, end ? (size_t)(end - p) : strlen(p));
        if (!end) {
            *ret = (Place){at, key, depth};
            return NULL;
        }
        Err *e = get(at, key, &at);
        free(key);
        err_free(e); /* an index that is none: there is nothing */
        if (!json_is_object(at) && !json_is_array(at))
            return NULL;
        p = end;
    }
}

static Err *check_depth(Doc *d, const Place *p, const json_t *value)
{
    size_t deep = patch_depth(value, PATCH_MAX_DEPTH, &d->looks);
    if (d->looks == 0)
        return PATCH_LIMIT("the patch moves too much");
    if (p->depth + deep > PATCH_MAX_DEPTH)
        return PATCH_LIMIT("the patched object is nested deeper than %d", PATCH_MAX_DEPTH);
    return NULL;
}

/* Takes <value>. */
static Err *add(Doc *d, const Place *p, json_t *value)
{
    SCOPED(json_unref) json_t *v = value;
    Err *e = check_depth(d, p, v);
    if (e)
        return e;
    if (json_is_object(p->in)) {
        (void)json_object_set(p->in, p->key, v);
        return NULL;
    }
    size_t i = json_array_size(p->in);
    if (strcmp(p->key, "-") != 0) {
        int64_t ignored;
        e = to_index(p->key, &ignored);
        if (e) {
            SCOPED(mem_free) char *why = err_text(e);
            err_free(e);
            return PATCH_INVALID("value was not a proper array index: '%s': %s", p->key, why);
        }
        e = list_index(p->key, i + 1, &i);
        if (e)
            return e;
    }
    (void)json_array_insert(p->in, i, v);
    return NULL;
}

static Err *drop(const Place *p)
{
    if (json_is_object(p->in)) {
        if (json_object_del(p->in, p->key) == 0)
            return NULL;
        return PATCH_INVALID("Unable to remove nonexistent key: %s: missing value", p->key);
    }
    size_t i;
    Err *e = list_index(p->key, json_array_size(p->in), &i);
    if (!e)
        (void)json_array_remove(p->in, i);
    return e;
}

/* Puts what was tried in front of <e> (NULL stays NULL). */
static Err *in_path(Err *e, const char *what, const char *path)
{
    return e ? err_wrap(e, "error in %s for path: '%s'", what, path) : NULL;
}

/* A copy of the operation's value; a null where there is none. */
static json_t *value_of(const json_t *op)
{
    json_t *v = json_object_get(op, "value");
    return v ? json_deep_copy(v) : json_null();
}

static Err *op_add(Doc *d, const json_t *op, const char *path)
{
    SCOPED(place_done) Place p;
    Err *e = find(d, path, &p);
    if (e)
        return e;
    if (!p.in)
        return PATCH_INVALID("add operation does not apply: doc is missing path: \"%s\": missing value", path);
    return in_path(add(d, &p, value_of(op)), "add", path);
}

static Err *op_remove(Doc *d, const json_t *op UNUSED, const char *path)
{
    SCOPED(place_done) Place p;
    Err *e = find(d, path, &p);
    if (e)
        return e;
    if (!p.in)
        return PATCH_INVALID("remove operation does not apply: doc is missing path: \"%s\": missing value", path);
    return in_path(drop(&p), "remove", path);
}

static Err *op_replace(Doc *d, const json_t *op, const char *path)
{
    if (!*path) {
        SCOPED(json_unref) json_t *v = value_of(op);
        if (!json_is_object(v) && !json_is_array(v))
            return PATCH_INVALID("replace operation value must be object or array");
        json_decref(d->doc);
        d->doc = MOVE(v, NULL);
        return NULL;
    }
    SCOPED(place_done) Place p;
    Err *e = find(d, path, &p);
    if (e)
        return e;
    if (!p.in)
        return PATCH_INVALID("replace operation does not apply: doc is missing path: %s: missing value", path);
    json_t *old;
    e = get(p.in, p.key, &old);
    if (e) {
        err_free(e);
        return PATCH_INVALID("replace operation does not apply: doc is missing key: %s: missing value", path);
    }
    if (json_is_array(p.in)) {
        e = drop(&p);
        if (e)
            return in_path(e, "remove", path);
    }
    return in_path(add(d, &p, value_of(op)), "remove", path);
}

static Err *op_move(Doc *d, const json_t *op, const char *path)
{
    const char *from = json_str(op, "from");
    if (!from)
        return PATCH_INVALID("move operation failed to decode from: operation, missing from field: missing value");
    json_t *found = NULL;
    {
        SCOPED(place_done) Place p;
        Err *e = find(d, from, &p);
        if (e)
            return e;
        if (!p.in)
            return PATCH_INVALID("move operation does not apply: doc is missing from path: %s: missing value", from);
        e = get(p.in, p.key, &found);
        json_incref(found);
        if (!e)
            e = drop(&p);
        if (e) {
            json_decref(found);
            return in_path(e, "move", p.key);
        }
    }
    SCOPED(json_unref) json_t *moved = found ? found : json_null();
    SCOPED(place_done) Place p;
    Err *e = find(d, path, &p);
    if (e)
        return e;
    if (!p.in)
        return PATCH_INVALID("move operation does not apply: doc is missing destination path: %s: missing value", path);
    return in_path(add(d, &p, MOVE(moved, NULL)), "move", path);
}

static Err *op_copy(Doc *d, const json_t *op, const char *path)
{
    const char *from = json_str(op, "from");
    if (!from)
        return PATCH_INVALID("copy operation failed to decode from: operation, missing from field: missing value");
    json_t *found;
    {
        SCOPED(place_done) Place p;
        Err *e = find(d, from, &p);
        if (e)
            return e;
        if (!p.in)
            return PATCH_INVALID("copy operation does not apply: doc is missing from path: %s: missing value", from);
        e = get(p.in, p.key, &found);
        if (e)
            return err_wrap(e, "error in copy for from: '%s'", from);
    }
    SCOPED(place_done) Place p;
    Err *e = find(d, path, &p);
    if (e)
        return e;
    if (!p.in)
        return PATCH_INVALID("copy operation does not apply: doc is missing destination path: %s: missing value", path);
    if (found)
        d->copied += json_dumpb(found, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    if (d->copied > MAX_COPY_BYTES)
        return PATCH_LIMIT("Unable to complete the copy, the accumulated size increase of copy is %zu, exceeding the limit %d",
                           d->copied, MAX_COPY_BYTES);
    e = add(d, &p, found ? json_deep_copy(found) : json_null());
    return e ? err_wrap(e, "error while adding value during copy") : NULL;
}

static Err *op_test(Doc *d, const json_t *op, const char *path)
{
    json_t *want = json_object_get(op, "value"), *got = d->doc;
    if (*path) {
        SCOPED(place_done) Place p;
        Err *e = find(d, path, &p);
        if (e)
            return e;
        if (!p.in)
            return PATCH_INVALID("test operation does not apply: is missing path: %s: missing value", path);
        e = get(p.in, p.key, &got);
        if (e)
            return in_path(e, "test", path);
    }
    bool same = got ? want && json_equal(got, want) : !want || json_is_null(want);
    return same ? NULL : PATCH_INVALID("testing value %s failed: test failed", path);
}

static const struct {
    const char *name;
    Err *(*run)(Doc *d, const json_t *op, const char *path);
    bool names_path; /* the error for a missing path says "operation missing path field" */
} ops[] = {
    {"add", op_add, false},   {"remove", op_remove, false}, {"replace", op_replace, true},
    {"move", op_move, true},  {"test", op_test, true},      {"copy", op_copy, false},
};

static Err *run_op(Doc *d, const json_t *op)
{
    const char *kind = str_or(json_str(op, "op"), "unknown"), *path = json_str(op, "path");
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (strcmp(ops[i].name, kind) != 0)
            continue;
        if (!path)
            return PATCH_INVALID("%s operation failed to decode path: %smissing value", kind,
                                 ops[i].names_path ? "operation missing path field: " : "");
        return ops[i].run(d, op, path);
    }
    return PATCH_INVALID("Unexpected kind: %s", kind);
}

Err *patch_json(const json_t *doc, const json_t *patch, json_t **ret)
{
    size_t i;
    const json_t *op;
    static const char into[] = "error decoding patch: json: cannot unmarshal";
    if (!json_is_array(patch))
        return PATCH_BAD("%s %s into Go value of type []handlers.jsonPatchOp", into, patch_go_type(patch));
    if (json_array_size(patch) > PATCH_MAX_OPS)
        return PATCH_LIMIT("The allowed maximum operations in a JSON patch is %d, got %zu", PATCH_MAX_OPS,
                           json_array_size(patch));
    json_array_foreach(patch, i, op)
        if (!json_is_object(op))
            return PATCH_BAD("%s %s into Go value of type handlers.jsonPatchOp", into, patch_go_type(op));
    Doc d = {.doc = json_deep_copy(doc), .looks = MAX_LOOKS};
    Err *e = NULL;
    for (i = 0; i < json_array_size(patch) && !e; i++)
        e = run_op(&d, json_array_get(patch, i));
    if (e)
        json_decref(d.doc);
    else
        *ret = d.doc;
    return e;
}
