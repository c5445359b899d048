/* cmd_edit.c - `reprise label`, `annotate` and `patch`: a patch each, with kubectl's words. */
#include "cli/api_cmd.h"
#include "client/fields.h"
#include "client/output.h"
#include "client/pairs.h"
#include "wire/yaml.h"

int cmd_label(int argc, char **argv);
int cmd_annotate(int argc, char **argv);
int cmd_patch(int argc, char **argv);

typedef struct Edit Edit;
struct Edit {
    ApiCmd c;
    Targets targets;
    Output output;
    Str query, out;
    bool dry_run;
    json_t *pairs;      /* of labels, annotations */
    const char *member; /* "labels", "annotations"; NULL = a patch of the user's own */
    const char *type;   /* of the body */
    char *body;
    const char *sub; /* subresource, or NULL */
    size_t done;
};

/* --- one object ----------------------------------------------------------------------------------------------------
 */

static Err *may_overwrite(const Edit *s, const json_t *before)
{
    if (!s->pairs || cli_flag(s->c.args, "overwrite"))
        return NULL;
    SCOPED(mem_free) char *clash = pairs_overwritten(s->pairs, json_object_get(at(before, "metadata"), s->member));
    if (!clash)
        return NULL;
    return str_eq(s->member, "labels")
               ? err_new(ERR_EXISTS, 0, "%s, and --overwrite is false", clash)
               : err_new(ERR_EXISTS, 0, "--overwrite is false but found the following declared annotation(s): %s",
                         clash);
}

static const char *what_happened(const Edit *s, const json_t *before, const json_t *after)
{
    if (!s->member) {
        const char *version = "metadata.resourceVersion";
        return s->dry_run || !str_eq(at_str(before, version), at_str(after, version)) ? "patched"
                                                                                      : "patched (no change)";
    }
    return str_eq(s->member, "labels") ? labels_changed(at(before, "metadata.labels"), at(after, "metadata.labels"))
                                       : "annotated";
}

static Err *edit_one(Edit *s, const Target *t)
{
    SCOPED(json_unref) json_t *before = NULL;
    SCOPED(json_unref) json_t *after = NULL;
    SCOPED(mem_free) char *path = api_cmd_path(&s->c, t);
    SCOPED(mem_free)
    char *full = mem_fmt("%s%s%s%s", path, s->sub ? "/" : "", s->sub ? s->sub : "", str_or(s->query.p, ""));
    SCOPED(mem_free) char *word = kind_word(t->kind);
    Err *e = client_get(s->c.api, path, NULL, &before);
    e = e ? e : may_overwrite(s, before);
    ApiCall call = {.method = "PATCH", .path = full, .type = s->type, .body = s->body, .body_n = strlen(s->body)};
    e = e ? e : client_call(s->c.api, &call, NULL, &after);
    if (e)
        return e;
    s->done++;
    if (s->output.form == OUT_TABLE)
        str_fmt(&s->out, "%s/%s %s%s\n", word, t->name, what_happened(s, before, after),
                s->dry_run ? " (server dry run)" : "");
    else
        e = output_print(&s->output, after, &s->out);
    (void)api_put(&s->out);
    return e;
}

static void edit_selected(Edit *s, const Target *t)
{
    SCOPED(json_unref) json_t *list = NULL;
    SCOPED(mem_free) char *path = api_cmd_select(&s->c, t);
    Err *e = client_list(s->c.api, path, NULL, API_CHUNK, &list);
    if (e)
        api_cmd_note(&s->c, e);
    for (size_t i = 0; i < json_array_size(at(list, "items")); i++) {
        const json_t *o = json_array_get(at(list, "items"), i);
        Target one = {.kind = t->kind,
                      .name = mem_dup_str(at_str(o, "metadata.name")),
                      .namespace_ = t->kind->namespaced ? mem_dup_str(at_str(o, "metadata.namespace")) : NULL};
        e = edit_one(s, &one);
        if (e)
            api_cmd_note(&s->c, e);
        free(one.name);
        free(one.namespace_);
    }
}

static int edit_all(Edit *s, size_t n, bool selected)
{
    Err *e = api_cmd_targets(&s->c, n, selected, &s->targets);
    for (size_t i = 0; !e && i < s->targets.n; i++)
        if (!s->targets.v[i].name && !selected)
            e = err_new(ERR_INVALID, 0, "resource(s) were provided, but no name was specified");
    if (!e && !s->targets.n)
        e = err_new(ERR_INVALID, 0,
                    "one or more resources must be specified as <resource> <name> or <resource>/<name>");
    if (e)
        return api_fail(e);
    for (size_t i = 0; i < s->targets.n; i++) {
        e = NULL;
        if (s->targets.v[i].name)
            e = edit_one(s, &s->targets.v[i]);
        else
            edit_selected(s, &s->targets.v[i]);
        if (e)
            api_cmd_note(&s->c, e);
    }
    if (!s->done && !s->c.errors.n)
        api_nothing(&s->c, true);
    return api_cmd_end(&s->c);
}

/* --- the commands --------------------------------------------------------------------------------------------------
 */

static Err *common_options(Edit *s, const CliArgs *a)
{
    Err *e = output_parse(cli_opt(a, "output"), &s->output);
    if (!e && s->output.form == OUT_WIDE)
        e = err_new(ERR_INVALID, 0, "--output=wide: there is no table of what is changed");
    s->output.managed_fields = cli_flag(a, "show-managed-fields");
    s->dry_run = str_eq(cli_opt(a, "dry-run"), "server");
    api_query(&s->query, "fieldManager", cli_opt(a, "field-manager"));
    if (s->dry_run)
        api_query(&s->query, "dryRun", "All");
    return e;
}

static void edit_done(Edit *s)
{
    targets_done(&s->targets);
    output_done(&s->output);
    str_done(&s->query);
    str_done(&s->out);
    json_decref(s->pairs);
    free(s->body);
    api_cmd_done(&s->c);
}

static int edit_metadata(const char *command, const char *member, const char *what, int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse(command, argc, argv, &a);
    if (code >= 0)
        return code;
    Edit s = {.member = member, .type = "application/merge-patch+json"};
    size_t n = pairs_begin(a.operands, a.n);
    bool selected =
        cli_flag(&a, "all") || !str_empty(cli_opt(&a, "selector")) || !str_empty(cli_opt(&a, "field-selector"));
    Err *e = api_cmd_open(&a, &s.c);
    e = e ? e : common_options(&s, &a);
    e = e ? e : pairs_parse(a.operands + n, a.n - n, what, &s.pairs);
    if (!e) {
        SCOPED(json_unref) json_t *patch = json_pack("{s:{s:O}}", "metadata", member, s.pairs);
        s.body = json_text(patch, false);
    }
    code = e ? api_fail(e) : edit_all(&s, n, selected);
    edit_done(&s);
    return code;
}

int cmd_label(int argc, char **argv)
{
    return edit_metadata("label", "labels", "label", argc, argv);
}

int cmd_annotate(int argc, char **argv)
{
    return edit_metadata("annotate", "annotations", "annotation", argc, argv);
}

/* JSON, or YAML as people write it. */
static Err *read_patch(Edit *s, const CliArgs *a)
{
    static const char *const types[][2] = {{"strategic", "application/strategic-merge-patch+json"},
                                           {"merge", "application/merge-patch+json"},
                                           {"json", "application/json-patch+json"}};
    const char *patch = cli_opt(a, "patch"), *file = cli_opt(a, "patch-file");
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *docs = NULL;
    if (!patch == !file)
        return err_new(ERR_INVALID, 0, "must specify exactly one of --patch or --patch-file");
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(cli_opt(a, "type"), types[i][0]))
            s->type = types[i][1];
    s->sub = cli_opt(a, "subresource");
    Err *e = file ? cli_read_file(file, &text) : NULL;
    if (patch)
        str_add(&text, patch);
    e = e ? e : yaml_parse_all(str_or(text.p, ""), text.n, &docs);
    if (e)
        return err_wrap(e, "unable to parse the patch");
    if (json_array_size(docs) != 1)
        return err_new(ERR_INVALID, 0, "unable to parse the patch: it has to be one document");
    s->body = json_text(json_array_get(docs, 0), false);
    return NULL;
}

int cmd_patch(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("patch", argc, argv, &a);
    if (code >= 0)
        return code;
    Edit s = {0};
    Err *e = api_cmd_open(&a, &s.c);
    e = e ? e : common_options(&s, &a);
    e = e ? e : read_patch(&s, &a);
    code = e ? api_fail(e) : edit_all(&s, a.n, false);
    edit_done(&s);
    return code;
}
