/* apply.c - server-side apply, and what every other write does to metadata.managedFields.
 *
 * What upstream spreads over nine managers, each around the next (apimachinery's managedfields), and structured-merge-diff's
 * Updater, is one story here. An apply:
 *   1. lays the config over the live object,
 *   2. takes away what the applier owned before and does not list now, unless somebody else owns it too,
 *   3. compares with the live object: whoever else owns what changes is a conflict, or with force an owner no more,
 *   4. is the owner of all that it lists.
 * Any other write is the owner of what it changes. There is one version of each kind, so nothing is converted. */
#include "base/clock.h"
#include "patch/managed.h"
#include "patch/typed.h"

/* What nobody owns: the server sets it, or every object has it. Paths that end here; what is below them may be owned. */
static const char *const no_ones[] = {
    "apiVersion",          "kind",         "metadata",           "metadata.name",       "metadata.namespace",
    "metadata.creationTimestamp", "metadata.selfLink", "metadata.uid", "metadata.clusterName", "metadata.generation",
    "metadata.managedFields", "metadata.resourceVersion", NULL,
};

/* The set of such paths; they have fields only. */
static FieldSet *set_of(const char *const *paths)
{
    FieldSet *out = field_set_new();
    for (; paths && *paths; paths++) {
        PathElem pe[8];
        FieldPath path[8];
        size_t n = 0;
        const char *p = *paths;
        while (n < ARRAY_LEN(pe)) {
            size_t len = strcspn(p, ".");
            pe[n] = (PathElem){.kind = PE_FIELD, .name = mem_dup_strn(p, len)};
            path[n] = (FieldPath){n ? &path[n - 1] : NULL, &pe[n]};
            n++;
            if (!p[len])
                break;
            p += len + 1;
        }
        field_set_insert(out, &path[n - 1]);
        while (n > 0)
            path_elem_done(&pe[--n]);
    }
    return out;
}

static PatchPlace root(const PatchType *t)
{
    return (PatchPlace){t, SHAPE_ONE, NULL};
}

/* Without metadata.managedFields; what it changes is copied, the rest shared. */
static json_t *without_managed(const json_t *obj)
{
    json_t *out = json_copy((json_t *)(uintptr_t)obj);
    json_t *meta = json_object_get(out, "metadata");
    if (json_object_get(meta, "managedFields")) {
        meta = json_copy(meta);
        (void)json_object_del(meta, "managedFields");
        (void)json_object_set_new(out, "metadata", meta);
    }
    return out;
}

/* <obj> (which may share values) with <m>, as a value of its own. */
static json_t *with_managed(const json_t *obj, Managers *m)
{
    json_t *out = json_deep_copy(obj);
    SCOPED(json_unref) json_t *list = managers_encode(m);
    if (!list)
        return out;
    json_t *meta = json_object_get(out, "metadata");
    if (!json_is_object(meta)) {
        meta = json_object();
        (void)json_object_set_new(out, "metadata", meta);
    }
    (void)json_object_set(meta, "managedFields", list);
    return out;
}

static const json_t *managed_of(const json_t *obj)
{
    return json_object_get(json_object_get(obj, "metadata"), "managedFields");
}

static char *now_text(const PatchManager *by)
{
    char buf[CLOCK_TEXT_MAX];
    return by->now_ns == NS_NONE ? NULL : mem_dup_str(clock_format(by->now_ns, 0, buf));
}

static const char *name_of(const PatchManager *by)
{
    return str_empty(by->manager) ? "unknown" : by->manager;
}

/* A set, replaced by what <fn> makes of it and <other>. */
static void change(FieldSet **s, FieldSet *(*fn)(FieldSet *, FieldSet *), FieldSet *other)
{
    FieldSet *changed = fn(*s, other);
    field_set_free(*s);
    *s = changed;
}

/* --- conflicts -------------------------------------------------------------------------------------------------- */

typedef struct {
    const Manager *manager;
    StrVec paths;
} Conflict;
typedef struct {
    Conflict *v;
    size_t n, n_paths;
} Conflicts;

static void conflicts_done(Conflicts *c)
{
    for (size_t i = 0; i < c->n; i++)
        strvec_done(&c->v[i].paths);
    free(c->v);
}
static inline void conflicts_done_at(Conflicts *c) { conflicts_done(c); }

static int by_manager(const void *a, const void *b)
{
    const Manager *x = ((const Conflict *)a)->manager, *y = ((const Conflict *)b)->manager;
    int c = strcmp(x->name, y->name);
    if (c == 0)
        c = (int)y->applied - (int)x->applied;
    return c ? c : strcmp(x->subresource, y->subresource);
}

static Err *conflict_err(Conflicts *c, json_t **ret_causes)
{
    Str s = {0};
    json_t *causes = json_array();
    qsort(c->v, c->n, sizeof *c->v, by_manager);
    str_fmt(&s, "Apply failed with %zu conflict%s: ", c->n_paths, c->n_paths == 1 ? "" : "s");
    for (size_t i = 0; i < c->n; i++) {
        SCOPED(mem_free) char *who = manager_text(c->v[i].manager);
        SCOPED(mem_free) char *with = mem_fmt("conflict with %s", who);
        const StrVec *paths = &c->v[i].paths;
        if (c->n_paths == 1)
            str_fmt(&s, "%s: %s", with, paths->v[0]);
        else
            str_fmt(&s, "%sconflicts with %s:", i ? "\n" : "", who);
        for (size_t k = 0; k < paths->n; k++) {
            if (c->n_paths > 1)
                str_fmt(&s, "\n- %s", paths->v[k]);
            (void)json_array_append_new(causes, json_pack("{s:s, s:s, s:s}", "reason", "FieldManagerConflict", "message",
                                                          with, "field", paths->v[k]));
        }
    }
    if (ret_causes)
        *ret_causes = causes;
    else
        json_decref(causes);
    SCOPED(mem_free) char *text = str_take(&s);
    return err_reason(err_new(ERR_EXISTS, 0, "%s", text), "Conflict");
}

/* --- ownership -------------------------------------------------------------------------------------------------- */

/* <live> becomes <now>: everybody but <me> (NULL: everybody) loses what changed and what is gone. Without <force> the
 * first is a conflict, and then nothing has happened yet. */
static Err *change_owners(Managers *m, const TypedDiff *d, const Manager *me, bool force, json_t **ret_causes)
{
    SCOPED(conflicts_done) Conflicts c = {0};
    SCOPED(field_set_free) FieldSet *changed = field_set_union(d->modified, d->added);
    c.v = mem_alloc_n(m->n, sizeof *c.v);
    for (size_t i = 0; i < m->n && !force; i++) {
        if (&m->v[i] == me)
            continue;
        SCOPED(field_set_free) FieldSet *theirs = field_set_intersection(m->v[i].set, changed);
        if (field_set_empty(theirs))
            continue;
        Conflict *x = &c.v[c.n++];
        *x = (Conflict){.manager = &m->v[i]};
        field_set_paths(theirs, &x->paths);
        c.n_paths += x->paths.n;
    }
    if (c.n)
        return conflict_err(&c, ret_causes);
    for (size_t i = 0; i < m->n; i++) {
        if (&m->v[i] == me)
            continue;
        change(&m->v[i].set, field_set_difference, changed);
        change(&m->v[i].set, field_set_difference, d->removed);
    }
    return NULL;
}

static void reset_diff(TypedDiff *d, const PatchManager *by)
{
    if (!by->reset)
        return;
    SCOPED(field_set_free) FieldSet *reset = set_of(by->reset);
    change(&d->removed, field_set_recursive_difference, reset);
    change(&d->modified, field_set_recursive_difference, reset);
    change(&d->added, field_set_recursive_difference, reset);
}

/* The managers after <by>->manager, or <name>, has made <now> of <live>. */
static void record_update(const PatchType *t, const json_t *live, const json_t *now, const PatchManager *by,
                          const char *name, Managers *m)
{
    SCOPED(typed_diff_done) TypedDiff d = typed_compare(root(t), live, now);
    reset_diff(&d, by);
    Err *e = change_owners(m, &d, NULL, true, NULL);
    err_free(e); /* forced */
    SCOPED(field_set_free) FieldSet *mine = field_set_union(d.modified, d.added);
    SCOPED(field_set_free) FieldSet *strip = set_of(no_ones);
    change(&mine, field_set_difference, strip);
    if (!field_set_empty(mine)) {
        const char *sub = str_or(by->subresource, "");
        Manager *me = managers_get(m, name, false, by->api_version, sub);
        change(&me->set, field_set_union, mine);
        free(me->time);
        me->time = now_text(by);
    }
    managers_drop(m, NULL);
    managers_cap(m, by->api_version);
}

/* --- apply ------------------------------------------------------------------------------------------------------ */

/* <merged> without what <last> had and nobody has now. New reference, shares values. */
static json_t *prune(const PatchType *t, const json_t *merged, const Managers *m, FieldSet *last)
{
    if (field_set_empty(last))
        return json_incref((json_t *)(uintptr_t)merged);
    PatchPlace at = root(t);
    SCOPED(field_set_free) FieldSet *last_named = typed_name_structs(at, last);
    SCOPED(json_unref) json_t *pruned = typed_remove(at, merged, last_named);
    SCOPED(field_set_free) FieldSet *merged_set = typed_field_set(at, merged);
    SCOPED(field_set_free) FieldSet *merged_named = typed_name_structs(at, merged_set);

    /* Back comes what somebody owns, the applier's new config too. */
    SCOPED(field_set_free) FieldSet *managed = field_set_new();
    for (size_t i = 0; i < m->n; i++)
        field_set_take(managed, field_set_copy(m->v[i].set));
    SCOPED(field_set_free) FieldSet *keep = typed_name_structs(at, managed);
    if (pruned) {
        SCOPED(field_set_free) FieldSet *set = typed_field_set(at, pruned);
        SCOPED(field_set_free) FieldSet *named = typed_name_structs(at, set);
        change(&keep, field_set_union, named);
    }
    SCOPED(field_set_free) FieldSet *doomed = field_set_difference(merged_named, keep);
    json_decref(pruned);
    pruned = typed_remove(at, merged, doomed);

    /* And what went with its parent though the applier never owned it. */
    FieldSet *set = pruned ? typed_field_set(at, pruned) : field_set_new();
    SCOPED(field_set_free) FieldSet *left = typed_name_structs(at, set);
    field_set_free(set);
    change(&merged_named, field_set_difference, left);
    change(&merged_named, field_set_intersection, last_named);
    return typed_remove(at, merged, merged_named);
}

/* "apps/v1, Kind=Deployment"; a core version has nothing in front of its slash. Caller frees. */
static char *gvk_text(const json_t *obj)
{
    const char *version = str_or(json_str(obj, "apiVersion"), "");
    return mem_fmt("%s%s, Kind=%s", strchr(version, '/') ? "" : "/", version, str_or(json_str(obj, "kind"), ""));
}

/* "default/web; /v1, Kind=Pod". Caller frees. */
static char *whole_name(const json_t *obj)
{
    const json_t *meta = json_object_get(obj, "metadata");
    SCOPED(mem_free) char *gvk = gvk_text(obj);
    return mem_fmt("%s/%s; %s", str_or(json_str(meta, "namespace"), ""), str_or(json_str(meta, "name"), ""), gvk);
}

static Err *check_typed(const PatchType *t, const json_t *obj, const char *what, bool stored)
{
    SCOPED(mem_free) char *why = typed_validate(root(t), obj, stored);
    if (!why)
        return NULL;
    SCOPED(mem_free) char *name = whole_name(obj);
    return err_new(ERR_INVALID, 0, "failed to create typed %s object (%s): %s", what, name, why);
}

static Err *check_config(const PatchType *t, const json_t *config, const PatchManager *by)
{
    if (!json_is_object(config))
        return PATCH_BAD("error decoding YAML: json: cannot unmarshal %s into Go value of type map[string]interface {}",
                         patch_go_type(config));
    const char *kind = json_str(config, "kind");
    bool known = !t->open;
    if (!str_eq(json_str(config, "apiVersion"), by->api_version) || !kind || (known && strcmp(kind, t->name) != 0)) {
        SCOPED(mem_free) char *gvk = gvk_text(config);
        return PATCH_BAD("invalid object type: %s", gvk);
    }
    const json_t *managed = managed_of(config);
    if (managed && !json_is_null(managed))
        return PATCH_BAD("metadata.managedFields must be nil");
    return NULL;
}

static json_t *empty_object(const json_t *like)
{
    json_t *o = json_object();
    static const char *const keys[] = {"apiVersion", "kind"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (json_object_get(like, keys[i]))
            (void)json_object_set(o, keys[i], json_object_get(like, keys[i]));
    return o;
}

Err *patch_apply(const PatchType *t, const json_t *live, const json_t *config, const PatchManager *by, bool force,
                 json_t **ret, json_t **ret_causes)
{
    if (ret_causes)
        *ret_causes = NULL;
    Err *e = check_config(t, config, by);
    if (e)
        return e;
    SCOPED(json_unref) json_t *old = live ? without_managed(live) : empty_object(config);
    SCOPED(managers_done) Managers m = {0};
    e = managers_decode(managed_of(live), &m);
    if (e)
        return err_wrap(e, "failed to decode managed fields");
    if ((e = check_typed(t, config, "patch", false)) || (e = check_typed(t, old, "live", true)))
        return e;
    if (m.n == 0) { /* stored before anybody counted */
        SCOPED(json_unref) json_t *nothing = empty_object(old);
        record_update(t, nothing, old, by, "before-first-apply", &m);
    }
    managers_drop(&m, by->api_version);

    SCOPED(json_unref) json_t *merged = typed_merge(root(t), old, config);
    const char *sub = str_or(by->subresource, "");
    Manager *me = managers_get(&m, name_of(by), true, by->api_version, sub);
    SCOPED(field_set_free) FieldSet *last = field_set_copy(me->set);
    FieldSet *mine = typed_field_set(root(t), config);
    if (by->reset) {
        SCOPED(field_set_free) FieldSet *reset = set_of(by->reset);
        change(&mine, field_set_recursive_difference, reset);
    }
    manager_set(me, mine);
    SCOPED(json_unref) json_t *now = prune(t, merged, &m, last);

    SCOPED(typed_diff_done) TypedDiff d = typed_compare(root(t), old, now);
    reset_diff(&d, by);
    e = change_owners(&m, &d, me, force, ret_causes);
    if (e)
        return e;
    SCOPED(field_set_free) FieldSet *strip = set_of(no_ones);
    change(&me->set, field_set_difference, strip);
    if (!patch_equal(old, now)) {
        free(me->time);
        me->time = now_text(by);
    }
    managers_drop(&m, NULL);
    SCOPED(json_unref) json_t *out = with_managed(now, &m);
    if ((e = patch_check_depth(out)))
        return e;
    *ret = MOVE(out, NULL);
    return NULL;
}

/* --- other writes ----------------------------------------------------------------------------------------------- */

/* managedFields: [] or [{}], by which a client asks to forget them. */
static bool asks_reset(const json_t *list)
{
    return json_is_array(list) &&
           (json_array_size(list) == 0 || (json_array_size(list) == 1 && json_is_object(json_array_get(list, 0)) &&
                                           json_object_size(json_array_get(list, 0)) == 0));
}

/* What cannot be read is none. */
static Managers decode_or_none(const json_t *list)
{
    Managers m = {0};
    Err *e = managers_decode(list, &m);
    err_free(e);
    return m;
}

json_t *patch_update(const PatchType *t, const json_t *live, const json_t *now, const PatchManager *by)
{
    SCOPED(managers_done) Managers m = {0};
    SCOPED(json_unref) json_t *next = without_managed(now);
    const json_t *given = managed_of(now);
    if (!str_empty(by->subresource)) {
        m = decode_or_none(managed_of(live));
    } else if (!asks_reset(given)) {
        m = decode_or_none(given);
        if (m.n == 0)
            m = decode_or_none(managed_of(live));
    }
    /* An object that nobody counts for stays so until it is applied. */
    bool created = !json_object_get(json_object_get(live, "metadata"), "uid");
    if (m.n == 0 && !created)
        return json_deep_copy(next);
    SCOPED(json_unref) json_t *old = live ? without_managed(live) : empty_object(now);
    SCOPED(mem_free) char *bad_old = typed_validate(root(t), old, true);
    SCOPED(mem_free) char *bad_next = typed_validate(root(t), next, true);
    if (bad_old || bad_next)
        return json_deep_copy(next);
    managers_drop(&m, by->api_version);
    record_update(t, old, next, by, name_of(by), &m);
    return with_managed(next, &m);
}
