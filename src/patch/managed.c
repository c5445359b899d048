#include "patch/managed.h"

#include "base/clock.h"
#include "patch/patch_priv.h"

/* apimachinery's DefaultMaxUpdateManagers. */
#define MAX_UPDATE_MANAGERS 10
#define ANCIENT "ancient-changes"

static void manager_done(Manager *m)
{
    free(m->name);
    free(m->api_version);
    free(m->subresource);
    free(m->time);
    field_set_free(m->set);
    *m = (Manager){0};
}

void managers_done(Managers *m)
{
    for (size_t i = 0; i < m->n; i++)
        manager_done(&m->v[i]);
    free(m->v);
    *m = (Managers){0};
}

Manager *managers_find(const Managers *m, const char *name, bool applied, const char *api_version, const char *subresource)
{
    for (size_t i = 0; i < m->n; i++) {
        Manager *x = &m->v[i];
        if (x->applied == applied && strcmp(x->name, name) == 0 && strcmp(x->subresource, subresource) == 0 &&
            (applied || strcmp(x->api_version, api_version) == 0))
            return x;
    }
    return NULL;
}

Manager *managers_get(Managers *m, const char *name, bool applied, const char *api_version, const char *subresource)
{
    Manager *x = managers_find(m, name, applied, api_version, subresource);
    if (x)
        return x;
    m->v = mem_grow(m->v, m->n + 1, sizeof *m->v);
    x = &m->v[m->n++];
    *x = (Manager){mem_dup_str(name), mem_dup_str(api_version), mem_dup_str(subresource), applied, NULL, field_set_new()};
    return x;
}

void manager_set(Manager *m, FieldSet *set)
{
    field_set_free(m->set);
    m->set = set;
}

void managers_drop(Managers *m, const char *api_version)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (field_set_empty(m->v[i].set) || (api_version && strcmp(m->v[i].api_version, api_version) != 0))
            manager_done(&m->v[i]);
        else
            m->v[kept++] = m->v[i];
    }
    m->n = kept;
}

/* Whole seconds; 0 without a time. */
static int64_t seconds(const Manager *m)
{
    int64_t ns;
    return m->time && clock_parse(m->time, &ns) ? ns / NS_PER_S : 0;
}

static int by_age(const void *a, const void *b)
{
    const Manager *x = a, *y = b;
    int64_t s = seconds(x), t = seconds(y);
    if (s != t)
        return s < t ? -1 : 1;
    int c = strcmp(x->name, y->name);
    return c ? c : strcmp(x->subresource, y->subresource);
}

void managers_cap(Managers *m, const char *api_version)
{
    size_t updates = 0;
    for (size_t i = 0; i < m->n; i++)
        updates += !m->v[i].applied;
    if (updates <= MAX_UPDATE_MANAGERS)
        return;
    /* The oldest is the bucket; the next ones are emptied into it until there are ten. */
    qsort(m->v, m->n, sizeof *m->v, by_age);
    SCOPED(field_set_free) FieldSet *all = field_set_new();
    char *time = NULL;
    size_t merged = 0;
    for (size_t i = 0; i < m->n && updates + (merged > 0) > MAX_UPDATE_MANAGERS; i++) {
        Manager *x = &m->v[i];
        if (x->applied)
            continue;
        field_set_take(all, MOVE(x->set, field_set_new()));
        mem_set_str(&time, x->time);
        updates--;
        merged++;
    }
    managers_drop(m, NULL);
    Manager *bucket = managers_get(m, ANCIENT, false, api_version, "");
    manager_set(bucket, field_set_union(all, bucket->set));
    free(bucket->time);
    bucket->time = time;
}

static Err *decode_one(const json_t *j, size_t i, Managers *ret)
{
    const char *op = json_str(j, "operation"), *version = json_str(j, "apiVersion"), *type = json_str(j, "fieldsType");
    bool applied = str_eq(op, "Apply");
    if (!applied && !str_eq(op, "Update"))
        return err_new(ERR_INVALID, 0, "operation must be `Apply` or `Update`");
    if (str_empty(version))
        return err_new(ERR_INVALID, 0, "apiVersion must not be empty");
    if (str_empty(type))
        return err_new(ERR_INVALID, 0, "missing fieldsType in managed fields entry %zu", i);
    if (strcmp(type, "FieldsV1") != 0) {
        Str s = {0};
        str_add_quoted(&s, type);
        SCOPED(mem_free) char *quoted = str_take(&s);
        return err_new(ERR_INVALID, 0, "invalid fieldsType %s in managed fields entry %zu", quoted, i);
    }
    FieldSet *set;
    Err *e = field_set_from_json(json_object_get(j, "fieldsV1"), &set);
    if (e)
        return err_wrap(e, "error decoding set");
    Manager *m = managers_get(ret, str_or(json_str(j, "manager"), ""), applied, version,
                              str_or(json_str(j, "subresource"), ""));
    manager_set(m, set);
    mem_set_str(&m->api_version, version);
    mem_set_str(&m->time, json_str(j, "time"));
    return NULL;
}

Err *managers_decode(const json_t *list, Managers *ret)
{
    SCOPED(managers_done) Managers m = {0};
    size_t i;
    const json_t *j;
    if (list && !json_is_array(list) && !json_is_null(list))
        return err_new(ERR_INVALID, 0, "managedFields is no list");
    if (json_array_size(list) > PATCH_MAX_LIST) /* each is looked for among those before it */
        return PATCH_LIMIT("metadata.managedFields must have at most %d entries", PATCH_MAX_LIST);
    json_array_foreach(list, i, j) {
        Err *e = decode_one(j, i, &m);
        if (e)
            return e;
    }
    *ret = m;
    m = (Managers){0};
    return NULL;
}

static int by_operation(const void *a, const void *b)
{
    const Manager *x = a, *y = b;
    if (x->applied != y->applied)
        return x->applied ? -1 : 1;
    int64_t s = seconds(x), t = seconds(y);
    if (s != t)
        return s < t ? -1 : 1;
    int c = strcmp(x->name, y->name);
    if (c == 0)
        c = strcmp(x->api_version, y->api_version);
    return c ? c : strcmp(x->subresource, y->subresource);
}

json_t *managers_encode(Managers *m)
{
    if (m->n == 0)
        return NULL;
    qsort(m->v, m->n, sizeof *m->v, by_operation);
    json_t *out = json_array();
    for (size_t i = 0; i < m->n; i++) {
        const Manager *x = &m->v[i];
        json_t *j = json_object();
        if (*x->name)
            (void)json_object_set_new(j, "manager", json_string(x->name));
        (void)json_object_set_new(j, "operation", json_string(x->applied ? "Apply" : "Update"));
        (void)json_object_set_new(j, "apiVersion", json_string(x->api_version));
        if (x->time)
            (void)json_object_set_new(j, "time", json_string(x->time));
        (void)json_object_set_new(j, "fieldsType", json_string("FieldsV1"));
        (void)json_object_set_new(j, "fieldsV1", field_set_to_json(x->set));
        if (*x->subresource)
            (void)json_object_set_new(j, "subresource", json_string(x->subresource));
        (void)json_array_append_new(out, j);
    }
    return out;
}

char *manager_text(const Manager *m)
{
    Str s = {0};
    str_add_quoted(&s, m->name);
    if (*m->subresource) {
        str_add(&s, " with subresource ");
        str_add_quoted(&s, m->subresource);
    }
    if (!m->applied)
        str_fmt(&s, " using %s", m->api_version);
    return str_take(&s);
}
