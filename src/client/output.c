#include "client/output.h"

#include "client/fields.h"
#include "api/quantity.h"
#include "wire/yaml.h"

static Err *parse_columns(const char *text, Output *o)
{
    if (!*text)
        return err_new(ERR_INVALID, 0, "custom-columns format specified but no custom columns given");
    while (*text) {
        size_t n = strcspn(text, ",");
        SCOPED(mem_free) char *one = mem_dup_strn(text, n);
        char *colon = strchr(one, ':');
        if (!colon || !colon[1])
            return err_new(ERR_INVALID, 0, "unexpected custom-columns spec: %s, expected <header>:<json-path-expr>",
                           one);
        *colon = '\0';
        o->columns = mem_grow(o->columns, o->headers.n + 1, sizeof *o->columns);
        Err *e = jsonpath_parse_relaxed(colon + 1, &o->columns[o->headers.n]);
        if (e)
            return e;
        strvec_add(&o->headers, one);
        text += n + (text[n] == ',');
    }
    return NULL;
}

Err *output_parse(const char *text, Output *ret)
{
    static const struct {
        const char *name;
        OutForm form;
    } forms[] = {{"wide", OUT_WIDE}, {"json", OUT_JSON}, {"yaml", OUT_YAML}, {"name", OUT_NAME}};
    *ret = (Output){.tabs = TABS_TABLE};
    if (str_empty(text))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (str_eq(text, forms[i].name)) {
            ret->form = forms[i].form;
            return NULL;
        }
    if (str_starts(text, "jsonpath=")) {
        ret->form = OUT_JSONPATH;
        return jsonpath_parse(text + 9, &ret->path);
    }
    if (str_starts(text, "custom-columns=")) {
        ret->form = OUT_COLUMNS;
        return parse_columns(text + 15, ret);
    }
    return err_new(ERR_INVALID, 0,
                   "unable to match a printer suitable for the output format \"%s\", allowed formats are: "
                   "custom-columns,json,jsonpath,name,wide,yaml",
                   text);
}

void output_done(Output *o)
{
    jsonpath_free(o->path);
    for (size_t i = 0; i < o->headers.n; i++)
        jsonpath_free(o->columns[i]);
    free(o->columns);
    strvec_done(&o->headers);
    tabs_done(&o->tabs);
    *o = (Output){0};
}

/* Borrowed by reference: what stands in it is not changed. */
static json_t *items_of(const json_t *object)
{
    json_t *items = json_object_get(object, "items");
    return json_is_array(items) ? items : NULL;
}

static void drop_managed(json_t *object)
{
    json_t *items = items_of(object);
    (void)json_object_del(json_object_get(object, "metadata"), "managedFields");
    for (size_t i = 0; i < json_array_size(items); i++)
        (void)json_object_del(json_object_get(json_array_get(items, i), "metadata"), "managedFields");
}

static void print_tree(Output *o, const json_t *object, Str *out)
{
    SCOPED(json_unref) json_t *copy = json_sorted(object);
    if (!o->managed_fields)
        drop_managed(copy);
    if (o->form == OUT_YAML) {
        SCOPED(mem_free) char *text = yaml_text(copy);
        str_fmt(out, "%s%s", o->printed ? "---\n" : "", text);
    } else {
        char *text = json_dumps(copy, JSON_INDENT(4) | JSON_REAL_PRECISION(15));
        str_fmt(out, "%s\n", str_or(text, ""));
        free(text);
    }
}

static void print_name(const json_t *object, Str *out)
{
    SCOPED(mem_free) char *kind = kind_lower(object);
    str_fmt(out, "%s/%s\n", kind, *at_str(object, "metadata.name") ? at_str(object, "metadata.name") : "<unknown>");
}

static Err *print_columns(const Output *o, const json_t *object, Str *cells)
{
    for (size_t i = 0; i < o->headers.n; i++) {
        SCOPED(json_unref) json_t *found = NULL;
        Err *e = jsonpath_find(o->columns[i], object, &found);
        if (e)
            return e;
        if (i)
            str_add_c(cells, '\t');
        for (size_t k = 0; k < json_array_size(found); k++) {
            SCOPED(mem_free) char *text = value_text(json_array_get(found, k));
            if (k)
                str_add_c(cells, ',');
            tabs_escape(cells, text);
        }
        if (!json_array_size(found))
            str_add(cells, "<none>");
    }
    str_add_c(cells, '\n');
    return NULL;
}

static Err *print_one(Output *o, const json_t *object, Str *out)
{
    if (o->form == OUT_COLUMNS)
        return print_columns(o, object, out);
    print_name(object, out);
    return NULL;
}

/* Lines, one an object. */
static Err *print_lines(Output *o, const json_t *object, Str *out)
{
    SCOPED(str_done) Str cells = {0};
    const json_t *items = items_of(object);
    Err *e = NULL;
    if (o->form == OUT_COLUMNS && !o->printed && !o->no_headers)
        for (size_t i = 0; i < o->headers.n; i++)
            str_fmt(&cells, "%s%s", o->headers.v[i], i + 1 < o->headers.n ? "\t" : "\n");
    if (!items)
        e = print_one(o, object, &cells);
    for (size_t i = 0; !e && i < json_array_size(items); i++)
        e = print_one(o, json_array_get(items, i), &cells);
    tabs_align(&o->tabs, str_or(cells.p, ""), out);
    return e;
}

Err *output_print(Output *o, const json_t *object, Str *out)
{
    Err *e = NULL;
    if (o->form == OUT_JSON || o->form == OUT_YAML)
        print_tree(o, object, out);
    else if (o->form == OUT_JSONPATH)
        e = jsonpath_print(o->path, object, out);
    else
        e = print_lines(o, object, out);
    o->printed++;
    return e;
}

json_t *list_of(json_t *items)
{
    return json_pack("{s:s, s:o, s:s, s:{s:s}}", "apiVersion", "v1", "items", items, "kind", "List", "metadata",
                     "resourceVersion", "");
}

/* --- --sort-by ---------------------------------------------------------------------------------------------------- */

typedef struct {
    json_t *item, *key; /* key NULL: it has none */
    size_t place;
} Sortable;

static int compare_keys(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) < json_number_value(b) ? -1 : json_number_value(a) > json_number_value(b);
    const char *x = json_string_value(a), *y = json_string_value(b);
    int64_t p, q;
    if (!x || !y)
        return 0;
    if (quantity_milli(x, &p) && quantity_milli(y, &q))
        return quantity_cmp(x, y);
    return strcmp(x, y);
}

static int compare_items(const void *a, const void *b)
{
    const Sortable *x = a, *y = b;
    int c = !x->key || !y->key ? (x->key != NULL) - (y->key != NULL) : compare_keys(x->key, y->key);
    return c ? c : x->place < y->place ? -1 : 1;
}

Err *items_sort(json_t *items, const JsonPath *path)
{
    size_t n = json_array_size(items);
    if (!n)
        return NULL;
    Err *e = NULL;
    Sortable *v = mem_alloc_n(n, sizeof *v);
    bool any = false;
    for (size_t i = 0; i < n && !e; i++) {
        SCOPED(json_unref) json_t *found = NULL;
        json_t *item = json_array_get(items, i);
        const json_t *object =
            json_object_get(item, "cells") ? json_object_get(item, "object") : item; /* a Table's row */
        e = jsonpath_find(path, object, &found);
        v[i] = (Sortable){json_incref(item), json_incref(json_array_get(found, 0)), i};
        any = any || v[i].key;
    }
    if (!e && !any)
        e = err_new(ERR_INVALID, 0, "couldn't find any field with the path of --sort-by in the list of objects");
    if (!e)
        qsort(v, n, sizeof *v, compare_items);
    for (size_t i = 0; i < n; i++) {
        if (!e)
            json_array_set(items, i, v[i].item);
        json_decref(v[i].item);
        json_decref(v[i].key);
    }
    free(v);
    return e;
}
