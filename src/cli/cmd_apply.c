/* cmd_apply.c - `reprise apply`: server-side apply of manifests, one request an object. */
#include "cli/api_cmd.h"
#include "client/fields.h"
#include "client/output.h"

int cmd_apply(int argc, char **argv);

typedef struct {
    ApiCmd c;
    Targets targets;
    Output output;
    Str query, out;
    bool dry_run;
} Apply;

/* What to do about fields of others, as kubectl says it. */
static const char conflict_help[] = "\nPlease review the fields above--they currently have other managers. Here\n"
                                    "are the ways you can resolve this warning:\n"
                                    "* If you intend to manage all of these fields, please re-run the apply\n"
                                    "  command with the `--force-conflicts` flag.\n"
                                    "* If you do not intend to manage all of the fields, please edit your\n"
                                    "  manifest to remove references to the fields that should keep their\n"
                                    "  current managers.\n"
                                    "* You may co-own fields by updating your manifest to match the existing\n"
                                    "  value; in this case, you'll become the manager if the other manager(s)\n"
                                    "  stop managing the field (remove it from their configuration).\n"
                                    "See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";

static Err *explained(Err *e)
{
    if (!api_is(e, "Conflict"))
        return e;
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    return err_new(ERR_EXISTS, 0, "%s%s", text, conflict_help);
}

/* What a manifest can say of the object: not what each write changes, and not what the node says of it meanwhile. */
static json_t *wanted(const json_t *object)
{
    static const char *const passing[] = {"managedFields", "resourceVersion", "generation"};
    json_t *copy = json_deep_copy(object), *meta = json_object_get(copy, "metadata");
    (void)json_object_del(copy, "status");
    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        (void)json_object_del(meta, passing[i]);
    return copy;
}

static const char *what_happened(const json_t *before, const json_t *after, long code)
{
    if (code == 201 || !before)
        return "created";
    SCOPED(json_unref) json_t *a = wanted(before);
    SCOPED(json_unref) json_t *b = wanted(after);
    return json_equal(a, b) ? "unchanged" : "configured";
}

static Err *report(Apply *s, const Target *t, const json_t *before, const json_t *after, long code)
{
    SCOPED(mem_free) char *word = kind_word(t->kind);
    Err *e = NULL;
    if (s->output.form == OUT_TABLE)
        str_fmt(&s->out, "%s/%s %s%s\n", word, t->name, what_happened(before, after, code),
                s->dry_run ? " (server dry run)" : "");
    else
        e = output_print(&s->output, after, &s->out);
    (void)api_put(&s->out);
    return e;
}

static Err *apply_one(Apply *s, const Target *t)
{
    SCOPED(json_unref) json_t *before = NULL;
    SCOPED(json_unref) json_t *after = NULL;
    SCOPED(mem_free) char *path = api_cmd_path(&s->c, t);
    SCOPED(mem_free) char *full = mem_fmt("%s%s", path, s->query.p);
    SCOPED(mem_free) char *body = json_text(t->object, false);
    long code = 0;
    Err *e = client_get(s->c.api, path, NULL, &before);
    if (e && !api_is(e, "NotFound"))
        return e;
    err_free(e);
    ApiCall call = {
        .method = "PATCH", .path = full, .type = "application/apply-patch+yaml", .body = body, .body_n = strlen(body)};
    e = client_call(s->c.api, &call, &code, &after);
    if (e)
        return explained(e);
    return report(s, t, before, after, code);
}

static int run(Apply *s)
{
    Err *e = api_cmd_targets(&s->c, s->c.args->n, false, &s->targets);
    if (e)
        return api_fail(e);
    for (size_t i = 0; i < s->targets.n; i++) {
        const Target *t = &s->targets.v[i];
        e = apply_one(s, t);
        if (e)
            api_cmd_note(&s->c, e);
    }
    return api_cmd_end(&s->c);
}

static Err *options(Apply *s, const CliArgs *a)
{
    static const char *const validation[][2] = {{"strict", "Strict"}, {"warn", "Warn"}, {"ignore", "Ignore"}};
    Err *e = output_parse(cli_opt(a, "output"), &s->output);
    s->output.managed_fields = cli_flag(a, "show-managed-fields");
    s->dry_run = str_eq(cli_opt(a, "dry-run"), "server");
    if (!e && s->output.form == OUT_WIDE)
        e = err_new(ERR_INVALID, 0, "--output=wide: there is no table of what is applied");
    api_query(&s->query, "fieldManager", cli_opt(a, "field-manager"));
    api_query(&s->query, "force", cli_flag(a, "force-conflicts") ? "true" : "false");
    for (size_t i = 0; i < ARRAY_LEN(validation); i++)
        if (str_eq(cli_opt(a, "validate"), validation[i][0]))
            api_query(&s->query, "fieldValidation", validation[i][1]);
    if (s->dry_run)
        api_query(&s->query, "dryRun", "All");
    return e;
}

int cmd_apply(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("apply", argc, argv, &a);
    if (code >= 0)
        return code;
    if (!cli_given(&a, "filename"))
        return cli_usage(&a, "give the manifests: -f FILE, a directory, or - for stdin");
    Apply s = {0};
    Err *e = api_cmd_open(&a, &s.c);
    e = e ? e : options(&s, &a);
    code = e ? api_fail(e) : run(&s);
    targets_done(&s.targets);
    output_done(&s.output);
    str_done(&s.query);
    str_done(&s.out);
    api_cmd_done(&s.c);
    return code;
}
