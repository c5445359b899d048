/* cmd_wait.c - `reprise wait`: until objects are there, gone, or as asked for. */
#include "cli/api_until.h"
#include "client/condition.h"
#include "client/fields.h"
#include "client/output.h"
#include "os/fs.h"

int cmd_wait(int argc, char **argv);

#define WEEK_S (7 * 24 * 3600)

typedef struct {
    ApiCmd c;
    Targets targets;
    Output output;
    WaitFor *v;
    size_t n, seen;
    int64_t end_ns; /* NS_NONE = look once */
    bool create, delete;
} Wait;

static bool is_met(void *arg, const json_t *object, Err **e)
{
    bool met = false;
    *e = wait_met(arg, object, &met);
    return met;
}

/* "pod/x condition met", or the object. */
static void report(Wait *s, const Target *t, const json_t *object)
{
    SCOPED(str_done) Str out = {0};
    SCOPED(mem_free) char *word = kind_word(t->kind);
    Err *e = NULL;
    if (s->output.form == OUT_TABLE)
        str_fmt(&out, "%s/%s condition met\n", word, t->name);
    else
        e = output_print(&s->output, object, &out);
    (void)api_put(&out);
    if (e)
        api_cmd_note(&s->c, e);
}

static void wait_one(Wait *s, const Target *t, const json_t *now)
{
    s->seen++;
    for (size_t i = 0; i < s->n; i++) {
        ApiUntil u = {.met = is_met,
                      .arg = &s->v[i],
                      .end_ns = s->end_ns,
                      .must_be = s->v[i].kind != WAIT_DELETE,
                      .last = json_incref((json_t *)(uintptr_t)now)};
        Err *e = api_until(&s->c, t, &u);
        if (!e)
            report(s, t, u.last);
        json_decref(u.last);
        if (e) {
            api_cmd_note(&s->c, e);
            return;
        }
    }
}

/* What a target is now: one object, or all that are selected. */
static void wait_target(Wait *s, const Target *t)
{
    SCOPED(json_unref) json_t *answer = NULL;
    SCOPED(mem_free) char *path = api_cmd_select(&s->c, t);
    Err *e = t->name ? client_get(s->c.api, path, NULL, &answer) : client_list(s->c.api, path, NULL, API_CHUNK, &answer);
    if (e && s->delete &&api_is(e, "NotFound")) {
        err_free(e);
        return;
    }
    if (e) {
        s->seen++;
        api_cmd_note(&s->c, e);
        return;
    }
    if (t->name) {
        wait_one(s, t, answer);
        return;
    }
    const json_t *items = at(answer, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *o = json_array_get(items, i);
        Target one = {.kind = t->kind,
                      .name = mem_dup_str(at_str(o, "metadata.name")),
                      .namespace_ = t->kind->namespaced ? mem_dup_str(at_str(o, "metadata.namespace")) : NULL};
        wait_one(s, &one, o);
        free(one.name);
        free(one.namespace_);
    }
}

static bool exists(void *arg, const json_t *object, Err **e)
{
    (void)arg;
    (void)e;
    return object != NULL;
}

static int run(Wait *s)
{
    bool selected = cli_flag(s->c.args, "all") || !str_empty(cli_opt(s->c.args, "selector")) ||
                    !str_empty(cli_opt(s->c.args, "field-selector"));
    Err *e = api_cmd_targets(&s->c, s->c.args->n, selected, &s->targets);
    for (size_t i = 0; !e && i < s->targets.n; i++)
        if (!s->targets.v[i].name && !selected)
            e = err_new(ERR_INVALID, 0, "resource(s) were provided, but no name was specified");
    for (size_t i = 0; !e && s->create && i < s->targets.n; i++) {
        ApiUntil u = {.met = exists, .end_ns = s->end_ns};
        e = api_until(&s->c, &s->targets.v[i], &u);
        json_decref(u.last);
    }
    if (e)
        return api_fail(e);
    for (size_t i = 0; i < s->targets.n; i++)
        wait_target(s, &s->targets.v[i]);
    if (!s->seen && !s->delete)
        api_cmd_note(&s->c, err_new(ERR_NOT_FOUND, 0, "no matching resources found"));
    return api_cmd_end(&s->c);
}

/* Negative durations are a week, as kubectl's. */
static Err *options(Wait *s, const CliArgs *a)
{
    SCOPED(strvec_done) StrVec wanted = cli_opt_all(a, "for");
    const char *timeout = cli_opt(a, "timeout");
    int64_t ns = 0;
    if (!wanted.n)
        return err_new(ERR_INVALID, 0,
                       "--for is needed: create, delete, condition=TYPE[=STATUS] or jsonpath=PATH[=VALUE]");
    if (!duration_parse(timeout, &ns) && !(timeout[0] == '-' && duration_parse(timeout + 1, &ns)))
        return err_new(ERR_INVALID, 0, "option --timeout: \"%s\" is no duration (90s, 2m, 1h30m)", timeout);
    if (timeout[0] == '-')
        ns = WEEK_S * NS_PER_S;
    s->end_ns = ns ? os_monotonic_ns() + ns : NS_NONE;
    s->v = mem_alloc_n(wanted.n, sizeof *s->v);
    Err *e = output_parse(cli_opt(a, "output"), &s->output);
    s->output.managed_fields = cli_flag(a, "show-managed-fields");
    for (size_t i = 0; !e && i < wanted.n; i++) {
        e = wait_parse(wanted.v[i], &s->v[s->n++]);
        s->create = s->create || s->v[i].kind == WAIT_CREATE;
        s->delete = s->delete || s->v[i].kind == WAIT_DELETE;
    }
    return e;
}

int cmd_wait(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("wait", argc, argv, &a);
    if (code >= 0)
        return code;
    if (!a.n && !cli_given(&a, "filename"))
        return cli_usage(&a, "say what to wait for: a type and a name, pod/NAME, or a type with --all or -l");
    Wait s = {0};
    Err *e = api_cmd_open(&a, &s.c);
    e = e ? e : options(&s, &a);
    code = e ? api_fail(e) : run(&s);
    for (size_t i = 0; i < s.n; i++)
        wait_done(&s.v[i]);
    free(s.v);
    targets_done(&s.targets);
    output_done(&s.output);
    api_cmd_done(&s.c);
    return code;
}
