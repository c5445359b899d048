/* cmd_get.c - `reprise get`: objects of the node's API as tables, or whole. Flow, words and order are kubectl's. */
#include "cli/api_cmd.h"
#include "client/fields.h"
#include "client/output.h"
#include "client/table_text.h"

int cmd_get(int argc, char **argv);

typedef struct {
    ApiCmd c;
    Targets targets;
    Output output;
    TablePrinter table;
    Tabs tabs;
    StrVec label_columns;
    JsonPath *sort;
    int64_t chunk;
    bool watch_only;
    Str cells, out;
    size_t printed; /* lines of tables */
    const KubeKind *last;
} Get;

static bool is_table(const Get *g)
{
    return g->output.form == OUT_TABLE || g->output.form == OUT_WIDE;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

/* What was printed of one kind: one block of columns. */
static void flush_table(Get *g)
{
    if (g->cells.n) {
        tabs_align(&g->tabs, g->cells.p, &g->out);
        g->printed++;
    }
    str_clear(&g->cells);
    (void)api_put(&g->out);
}

static bool several_kinds(const Get *g)
{
    for (size_t i = 1; i < g->targets.n; i++)
        if (g->targets.v[i].kind != g->targets.v[0].kind)
            return true;
    return false;
}

static void new_printer(Get *g, const KubeKind *k, const char *word)
{
    table_printer_done(&g->table);
    tabs_done(&g->tabs);
    g->table = (TablePrinter){.no_headers = cli_flag(g->c.args, "no-headers"),
                              .wide = g->output.form == OUT_WIDE,
                              .show_labels = cli_flag(g->c.args, "show-labels"),
                              .with_namespace = g->c.all && k->namespaced,
                              .kind = word,
                              .label_columns = g->label_columns.n ? &g->label_columns : NULL};
    g->last = k;
}

static Err *fetch(Get *g, const Target *t, json_t **ret)
{
    SCOPED(mem_free) char *plain = api_cmd_select(&g->c, t);
    SCOPED(str_done) Str path = {0};
    const char *accept = is_table(g) ? API_AS_TABLE : NULL;
    str_add(&path, plain);
    if (g->sort && is_table(g))
        api_query(&path, "includeObject", "Object");
    return t->name ? client_get(g->c.api, path.p, accept, ret)
                   : client_list(g->c.api, path.p, accept, g->sort ? 0 : g->chunk, ret);
}

static void note(Get *g, Err *e)
{
    if (cli_flag(g->c.args, "ignore-not-found") && api_is(e, "NotFound"))
        err_free(e);
    else
        api_cmd_note(&g->c, e);
}

/* A group of tables of one kind begins; a blank line divides it from the one before. */
static void begin_table(Get *g, const KubeKind *k, const char *word, bool rows)
{
    flush_table(g);
    new_printer(g, k, word);
    if (g->printed && !g->table.no_headers && rows)
        str_add_c(&g->out, '\n');
}

static int print_tables(Get *g)
{
    SCOPED(json_unref) json_t *answers = json_array(); /* by target; null where it failed */
    SCOPED(mem_free) char *word = NULL;
    const KubeKind *first = NULL;
    bool mixed = false, namespaced = true;
    for (size_t i = 0; i < g->targets.n; i++) {
        const Target *t = &g->targets.v[i];
        json_t *answer = NULL;
        Err *e = fetch(g, t, &answer);
        if (!e && g->sort)
            e = items_sort(json_object_get(answer, "rows"), g->sort);
        namespaced = namespaced && t->kind->namespaced;
        if (e)
            note(g, e);
        else
            mixed = mixed || (first && t->kind != first);
        if (!e && !first)
            first = t->kind;
        if (e)
            json_decref(answer);
        json_array_append_new(answers, e ? json_null() : answer);
    }
    for (size_t i = 0; i < g->targets.n; i++) {
        const KubeKind *k = g->targets.v[i].kind;
        const json_t *answer = json_array_get(answers, i);
        if (json_is_null(answer))
            continue;
        if (k != g->last) {
            SCOPED(mem_free) char *next = mixed ? kind_word(k) : NULL;
            begin_table(g, k, next, json_array_size(at(answer, "rows")) > 0);
            free(word);
            word = MOVE(next, NULL);
        }
        table_print(&g->table, answer, NULL, &g->cells);
    }
    flush_table(g);
    if (!g->printed && !g->c.errors.n && !cli_flag(g->c.args, "ignore-not-found"))
        api_nothing(&g->c, namespaced);
    return api_cmd_end(&g->c);
}

/* --- whole objects ------------------------------------------------------------------------------------------------ */

/* The objects of a list do not say what they are: the list does. */
static void add_items(json_t *all, json_t *list, const KubeKind *k)
{
    json_t *items = json_object_get(list, "items");
    SCOPED(mem_free) char *version = *k->group ? mem_fmt("%s/v1", k->group) : mem_dup_str("v1");
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *one = json_array_get(items, i);
        json_object_set_new(one, "kind", json_string(k->kind));
        json_object_set_new(one, "apiVersion", json_string(version));
        json_array_append(all, one);
    }
}

static int print_objects(Get *g)
{
    SCOPED(json_unref) json_t *items = json_array();
    for (size_t i = 0; i < g->targets.n; i++) {
        SCOPED(json_unref) json_t *answer = NULL;
        Err *e = fetch(g, &g->targets.v[i], &answer);
        if (e)
            note(g, e);
        else if (g->targets.v[i].name)
            json_array_append(items, answer);
        else
            add_items(items, answer, g->targets.v[i].kind);
    }
    Err *e = g->sort ? items_sort(items, g->sort) : NULL;
    if (!e && g->targets.single) {
        if (json_array_size(items))
            e = output_print(&g->output, json_array_get(items, 0), &g->out);
    } else if (!e) {
        SCOPED(json_unref) json_t *list = list_of(json_incref(items));
        e = output_print(&g->output, list, &g->out);
    }
    (void)api_put(&g->out);
    if (e)
        api_cmd_note(&g->c, e);
    return api_cmd_end(&g->c);
}

/* --- --watch ------------------------------------------------------------------------------------------------------ */

static Err *print_any(Get *g, const json_t *object, const char *event)
{
    const char *shown = cli_flag(g->c.args, "output-watch-events") ? event : NULL;
    Err *e = NULL;
    if (is_table(g)) {
        table_print(&g->table, object, shown, &g->cells);
        flush_table(g);
    } else if (shown) {
        SCOPED(json_unref) json_t *whole = json_pack("{s:s, s:O}", "type", event, "object", object);
        e = output_print(&g->output, whole, &g->out);
    } else {
        e = output_print(&g->output, object, &g->out);
    }
    (void)api_put(&g->out);
    return e;
}

static bool on_event(void *arg, const char *type, const json_t *object)
{
    Get *g = arg;
    if (str_eq(type, "BOOKMARK"))
        return true;
    Err *e = print_any(g, object, type);
    if (e)
        api_cmd_note(&g->c, e);
    return !e && !ferror(stdout);
}

/* What is there now: a table at once, other forms an object each. */
static Err *print_now(Get *g, const KubeKind *k, json_t *list)
{
    if (is_table(g))
        return print_any(g, list, "ADDED");
    SCOPED(json_unref) json_t *items = json_array();
    add_items(items, list, k);
    Err *e = NULL;
    for (size_t i = 0; !e && i < json_array_size(items); i++)
        e = print_any(g, json_array_get(items, i), "ADDED");
    return e;
}

static Err *watch(Get *g)
{
    SCOPED(json_unref) json_t *list = NULL;
    SCOPED(json_unref) json_t *one = NULL;
    SCOPED(api_watch_done) ApiWatch w = {.event = on_event, .arg = g};
    SCOPED(str_done) Str path = {0};
    const Target *t = &g->targets.v[0];
    const char *accept = is_table(g) ? API_AS_TABLE : NULL;
    if (several_kinds(g) || (g->targets.n > 1))
        return err_new(ERR_INVALID, 0, "you may only specify a single resource type");
    SCOPED(mem_free) char *plain = api_cmd_watch_path(&g->c, t);
    SCOPED(mem_free) char *object = api_cmd_path(&g->c, t);
    new_printer(g, t->kind, NULL);
    Err *e = client_list(g->c.api, plain, accept, g->chunk, &list);
    if (!e && t->name && !json_array_size(at(list, is_table(g) ? "rows" : "items")))
        e = client_get(g->c.api, object, NULL, &one); /* it is not there: in the words for that */
    if (!e && !g->watch_only)
        e = print_now(g, t->kind, list);
    if (e)
        return e;
    str_add(&path, plain);
    api_query(&path, "watch", "true");
    api_query(&path, "resourceVersion", at_str(list, "metadata.resourceVersion"));
    return client_watch(g->c.api, path.p, accept, -1, &w);
}

/* --- --raw -------------------------------------------------------------------------------------------------------- */

static bool on_raw(void *arg, const char *p, size_t n)
{
    (void)arg;
    return fwrite(p, 1, n, stdout) == n && fflush(stdout) == 0;
}

static void on_raw_end(void *arg, Err *e)
{
    Get *g = arg;
    if (e)
        api_cmd_note(&g->c, e);
}

static int raw(Get *g, const char *path)
{
    if (path[0] != '/' || g->c.args->n)
        return api_fail(err_new(ERR_INVALID, 0, "--raw takes the place of types and names, and must be a path: /version"));
    Err *e = client_stream(g->c.api, &(ApiCall){.path = path, .accept = "application/json, */*"},
                        &(ApiStreamOps){on_raw, on_raw_end, g});
    e = e ? e : client_run(g->c.api, -1);
    return e ? api_fail(e) : api_cmd_end(&g->c);
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static Err *options(Get *g, const CliArgs *a)
{
    const char *format = cli_opt(a, "output"), *sort = cli_opt(a, "sort-by");
    SCOPED(strvec_done) StrVec columns = cli_opt_all(a, "label-columns");
    Err *e = output_parse(format, &g->output);
    g->output.managed_fields = cli_flag(a, "show-managed-fields");
    g->output.no_headers = cli_flag(a, "no-headers");
    g->watch_only = cli_flag(a, "watch-only");
    for (size_t i = 0; i < columns.n; i++)
        for (const char *p = columns.v[i]; *p;) {
            size_t n = strcspn(p, ",");
            strvec_add_take(&g->label_columns, mem_dup_strn(p, n));
            p += n + (p[n] == ',');
        }
    if (!e && cli_flag(a, "show-labels") && !is_table(g))
        e = err_new(ERR_INVALID, 0, "--show-labels option cannot be used with %s printer", format);
    if (!e && cli_flag(a, "output-watch-events") && !cli_flag(a, "watch") && !g->watch_only)
        e = err_new(ERR_INVALID, 0, "--output-watch-events option can only be used with --watch or --watch-only");
    if (!e && sort)
        e = jsonpath_parse_relaxed(sort, &g->sort);
    return e ? e : api_cmd_int(a, "chunk-size", 0, &g->chunk);
}

static int run(Get *g)
{
    bool selected = !str_empty(cli_opt(g->c.args, "selector")) || !str_empty(cli_opt(g->c.args, "field-selector"));
    Err *e = api_cmd_targets(&g->c, g->c.args->n, selected, &g->targets);
    if (e)
        return api_fail(e);
    if (cli_flag(g->c.args, "watch") || g->watch_only) {
        e = watch(g);
        if (e)
            note(g, e);
        return api_cmd_end(&g->c);
    }
    return is_table(g) ? print_tables(g) : print_objects(g);
}

int cmd_get(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("get", argc, argv, &a);
    if (code >= 0)
        return code;
    if (!a.n && !cli_given(&a, "filename") && !cli_given(&a, "raw"))
        return cli_usage(&a, "you must specify the type of resource to get: pods, configmaps, secrets, nodes, ...");
    Get g = {.tabs = TABS_TABLE};
    Err *e = api_cmd_open(&a, &g.c);
    e = e ? e : options(&g, &a);
    const char *path = cli_opt(&a, "raw");
    code = e ? api_fail(e) : path ? raw(&g, path) : run(&g);
    targets_done(&g.targets);
    output_done(&g.output);
    table_printer_done(&g.table);
    tabs_done(&g.tabs);
    strvec_done(&g.label_columns);
    jsonpath_free(g.sort);
    str_done(&g.cells);
    str_done(&g.out);
    api_cmd_done(&g.c);
    return code;
}
