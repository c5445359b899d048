#include "cli/api_cmd.h"

#include <signal.h>

#include "client/fields.h"
#include "wire/yaml.h"

static void on_warning(void *arg, const char *text)
{
    (void)arg;
    bool colour = cli_colour(stderr);
    fprintf(stderr, "%sWarning:%s %s\n", colour ? "\x1b[33;1m" : "", colour ? "\x1b[0m" : "", text);
}

static bool has_option(const CliArgs *a, const char *name)
{
    const CliOption *o;
    for (size_t i = 0; (o = cli_option_at(a->command, i)) != NULL; i++)
        if (str_eq(o->name, name))
            return true;
    return false;
}

Err *api_cmd_open(const CliArgs *a, ApiCmd *c)
{
    const char *env = getenv("REPRISE_API_SOCKET"), *socket = cli_opt(a, "api-socket");
    ApiConfig config = {.socket = socket ? socket : str_empty(env) ? API_SOCKET : env, .warn = on_warning};
    /* There is nothing to clean up: a reader that goes away ends us as it ends any program, also while we wait. */
    (void)signal(SIGPIPE, SIG_DFL);
    *c = (ApiCmd){.args = a, .namespace_ = str_or(cli_opt(a, "namespace"), "default")};
    c->all = has_option(a, "all-namespaces") && cli_flag(a, "all-namespaces");
    if (!*c->namespace_)
        c->namespace_ = "default";
    return api_client_new(&config, &c->api);
}

void api_cmd_done(ApiCmd *c)
{
    api_client_free(c->api);
    strvec_done(&c->errors);
    *c = (ApiCmd){0};
}

static Err *read_file(const ApiCmd *c, const char *path, Targets *ret)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *docs = NULL;
    Err *e = cli_read_file(path, &text);
    if (e)
        return e;
    e = yaml_parse_all(str_or(text.p, ""), text.n, &docs);
    if (e)
        return err_wrap(e, "error parsing %s", path);
    for (size_t i = 0; !e && i < json_array_size(docs); i++)
        e = targets_add_document(ret, json_array_get(docs, i), str_eq(path, "-") ? "STDIN" : path, c->namespace_,
                                 cli_given(c->args, "namespace"));
    return e;
}

/* Of what files name, a selector takes a part. */
static Err *filter_files(const ApiCmd *c, Targets *ret)
{
    SCOPED(label_selector_done) LabelSelector s = {0};
    if (has_option(c->args, "field-selector") && !str_empty(cli_opt(c->args, "field-selector")))
        return err_new(ERR_INVALID, 0, "field selectors cannot be used with the objects of files");
    Err *e = has_option(c->args, "selector") ? label_selector_parse(cli_opt(c->args, "selector"), &s) : NULL;
    if (!e)
        targets_filter(ret, &s);
    return e;
}

Err *api_cmd_targets(const ApiCmd *c, size_t n, bool selected, Targets *ret)
{
    SCOPED(strvec_done) StrVec paths = {0};
    SCOPED(strvec_done) StrVec files = {0};
    if (has_option(c->args, "filename"))
        paths = cli_opt_all(c->args, "filename");
    if (!paths.n) {
        Err *e = targets_parse(c->args->operands, n, selected, ret);
        for (size_t i = 0; !e && c->all && i < ret->n; i++)
            if (ret->v[i].name && ret->v[i].kind->namespaced)
                e = err_new(ERR_INVALID, 0, "a resource cannot be retrieved by name across all namespaces");
        return e;
    }
    if (n)
        return err_new(
            ERR_INVALID, 0,
            "when paths, URLs, or stdin is provided as input, you may not specify a resource by arguments as well");
    Err *e = cli_manifest_files((const char *const *)(void *)paths.v, paths.n, &files);
    for (size_t i = 0; !e && i < files.n; i++)
        e = read_file(c, files.v[i], ret);
    e = e ? e : filter_files(c, ret);
    if (!e && !ret->n)
        e = err_new(ERR_INVALID, 0, "no objects passed to %s", c->args->command->name);
    ret->single = ret->n == 1 && files.n == 1 && !str_eq(files.v[0], "-");
    return e;
}

static const char *namespace_of(const ApiCmd *c, const Target *t)
{
    return t->namespace_ ? t->namespace_ : c->all && !t->name ? NULL : c->namespace_;
}

char *api_cmd_path(const ApiCmd *c, const Target *t)
{
    return kind_path(t->kind, namespace_of(c, t), t->name, NULL);
}

static void add_selectors(const ApiCmd *c, Str *path)
{
    static const char *const options[][2] = {{"selector", "labelSelector"}, {"field-selector", "fieldSelector"}};
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *value = has_option(c->args, options[i][0]) ? cli_opt(c->args, options[i][0]) : NULL;
        if (!str_empty(value))
            api_query(path, options[i][1], value);
    }
}

char *api_cmd_select(const ApiCmd *c, const Target *t)
{
    Str path = {0};
    SCOPED(mem_free) char *plain = api_cmd_path(c, t);
    str_add(&path, plain);
    if (!t->name)
        add_selectors(c, &path);
    return str_take(&path);
}

char *api_cmd_watch_path(const ApiCmd *c, const Target *t)
{
    if (!t->name)
        return api_cmd_select(c, t);
    Str path = {0};
    SCOPED(mem_free) char *plain = kind_path(t->kind, namespace_of(c, t), NULL, NULL);
    SCOPED(mem_free) char *only = mem_fmt("metadata.name=%s", t->name);
    str_add(&path, plain);
    api_query(&path, "fieldSelector", only);
    return str_take(&path);
}

Err *api_cmd_int(const CliArgs *a, const char *name, int64_t min, int64_t *ret)
{
    const char *text = cli_opt(a, name);
    if (text && (!str_to_i64(text, ret) || *ret < min))
        return err_new(ERR_INVALID, 0, "--%s=%s: give a whole number, %lld or more", name, text, (long long)min);
    return NULL;
}

void api_cmd_note(ApiCmd *c, Err *e)
{
    SCOPED(mem_free) char *text = api_error_text(e);
    if (!strvec_has(&c->errors, text))
        strvec_add(&c->errors, text);
    err_free(e);
}

int api_cmd_end(ApiCmd *c)
{
    /* Of several, kubectl's MultipleErrors() leaves out what says that they are errors. */
    for (size_t i = 0; i < c->errors.n; i++)
        fprintf(stderr, "%s\n",
                c->errors.v[i] + (c->errors.n > 1 && str_starts(c->errors.v[i], "error: ") ? strlen("error: ") : 0));
    return c->errors.n ? EXIT_FAILED : EXIT_OK;
}

int api_fail(Err *e)
{
    SCOPED(mem_free) char *text = api_error_text(e);
    fprintf(stderr, "%s\n", text);
    err_free(e);
    return EXIT_FAILED;
}

bool api_put(Str *s)
{
    if (s->n)
        (void)fwrite(s->p, 1, s->n, stdout);
    str_clear(s);
    return fflush(stdout) == 0 && !ferror(stdout);
}

void api_nothing(const ApiCmd *c, bool namespaced)
{
    if (namespaced && !c->all)
        fprintf(stderr, "No resources found in %s namespace.\n", c->namespace_);
    else
        fputs("No resources found\n", stderr);
}
