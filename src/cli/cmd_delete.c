/* cmd_delete.c - `reprise delete`: objects of the node's API, with kubectl's flow and words; or Pods that `reprise run`
 * left here. */
#include "cli/cmd_delete.h"

#include "cli/api_until.h"
#include "client/fields.h"
#include "os/fs.h"

int cmd_delete(int argc, char **argv);

#define WEEK_S (7 * 24 * 3600)

typedef struct {
    Target t;
    char *uid;
} Deleted;
typedef struct {
    ApiCmd c;
    Targets targets;
    Str body;
    int64_t grace_s, timeout_ns; /* -1 = the object's own; 0 = a week */
    bool name_only, dry_run, ignore, warned;
    Deleted *v;
    size_t n;
} Delete;

/* --- which of the two --------------------------------------------------------------------------------------------- */

/* Options that only objects of the API have. */
static const char *const api_options[] = {"filename",  "selector",         "field-selector", "all",    "all-namespaces",
                                          "namespace", "api-socket",       "force",          "now",    "wait",
                                          "timeout",   "ignore-not-found", "cascade",        "dry-run"};

/* TYPE NAME, TYPE/NAME, or an option of the API: what begins with no type is a Pod, or NAMESPACE/POD. */
static bool is_of_api(const CliArgs *a)
{
    const KubeKind *k;
    for (size_t i = 0; i < ARRAY_LEN(api_options); i++)
        if (cli_given(a, api_options[i]))
            return true;
    SCOPED(mem_free) char *type = mem_dup_strn(a->operands[0], strcspn(a->operands[0], "/,"));
    if (str_eq(type, "all"))
        return true;
    Err *e = kind_parse(type, &k);
    err_free(e);
    return !e;
}

/* --- deleting ----------------------------------------------------------------------------------------------------- */

static void report(const Delete *s, const Target *t)
{
    SCOPED(mem_free) char *word = kind_word(t->kind);
    const char *ns = t->namespace_ ? t->namespace_ : s->c.namespace_;
    if (s->name_only) {
        printf("%s/%s\n", word, t->name);
        return;
    }
    printf("%s \"%s\" %s", word, t->name, s->grace_s == 0 ? "force deleted" : "deleted");
    if (t->kind->namespaced)
        printf(" from %s namespace", ns);
    printf("%s\n", s->dry_run ? " (server dry run)" : "");
}

static Err *delete_one(Delete *s, const Target *t)
{
    SCOPED(json_unref) json_t *answer = NULL;
    SCOPED(mem_free) char *path = api_cmd_path(&s->c, t);
    SCOPED(mem_free) char *full = mem_fmt("%s%s", path, s->dry_run ? "?dryRun=All" : "");
    if (!t->kind->namespaced && cli_given(s->c.args, "namespace") && !s->warned) {
        s->warned = true;
        fputs("Warning: deleting cluster-scoped resources, not scoped to the provided namespace\n", stderr);
    }
    ApiCall call = {.method = "DELETE", .path = full, .body = s->body.p, .body_n = s->body.n};
    Err *e = client_call(s->c.api, &call, NULL, &answer);
    if (e)
        return t->source && !e->reason[0] ? err_wrap(e, "error when deleting \"%s\"", t->source) : e;
    report(s, t);
    const char *uid =
        str_eq(at_str(answer, "kind"), "Status") ? at_str(answer, "details.uid") : at_str(answer, "metadata.uid");
    s->v = mem_grow(s->v, s->n + 1, sizeof *s->v);
    s->v[s->n++] = (Deleted){{.kind = t->kind, .name = mem_dup_str(t->name), .namespace_ = mem_dup_str(t->namespace_)},
                             mem_dup_str(uid)};
    return NULL;
}

static void note(Delete *s, Err *e)
{
    if (s->ignore && api_is(e, "NotFound"))
        err_free(e);
    else if (e)
        api_cmd_note(&s->c, e);
}

/* One by one, as kubectl does: each is said. */
static void delete_all(Delete *s, const Target *t)
{
    SCOPED(json_unref) json_t *list = NULL;
    SCOPED(mem_free) char *path = api_cmd_select(&s->c, t);
    Err *e = client_list(s->c.api, path, NULL, API_CHUNK, &list);
    const json_t *items = at(list, "items");
    if (e)
        api_cmd_note(&s->c, e);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *o = json_array_get(items, i);
        Target one = {.kind = t->kind,
                      .name = mem_dup_str(at_str(o, "metadata.name")),
                      .namespace_ = t->kind->namespaced ? mem_dup_str(at_str(o, "metadata.namespace")) : NULL};
        note(s, delete_one(s, &one));
        free(one.name);
        free(one.namespace_);
    }
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

/* Gone, or another one of the same name. */
static bool is_gone(void *arg, const json_t *object, Err **e)
{
    const Deleted *d = arg;
    (void)e;
    return !object || (*d->uid && !str_eq(at_str(object, "metadata.uid"), d->uid));
}

static Err *wait_all(Delete *s)
{
    int64_t end_ns = os_monotonic_ns() + (s->timeout_ns ? s->timeout_ns : WEEK_S * NS_PER_S);
    Err *e = NULL;
    for (size_t i = 0; !e && i < s->n; i++) {
        SCOPED(mem_free) char *word = kind_word(s->v[i].t.kind);
        SCOPED(mem_free) char *notice =
            mem_fmt("waiting for %s/%s to be gone; Ctrl-C ends the waiting only", word, s->v[i].t.name);
        ApiUntil u = {.met = is_gone, .arg = &s->v[i], .end_ns = end_ns, .notice = notice};
        e = api_until(&s->c, &s->v[i].t, &u);
        json_decref(u.last);
        if (e && (api_is(e, "Forbidden") || api_is(e, "MethodNotAllowed"))) { /* who may not look need not wait */
            err_free(e);
            e = NULL;
        }
    }
    return e;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static Err *options(Delete *s, const CliArgs *a, bool selected)
{
    const char *output = cli_opt(a, "output");
    bool force = cli_flag(a, "force"), given = cli_given(a, "grace-period");
    int64_t grace_ns = 0;
    static const char *const cascade[][2] = {
        {"background", "Background"}, {"foreground", "Foreground"}, {"orphan", "Orphan"}};
    if (output && !str_eq(output, "name"))
        return err_new(ERR_INVALID, 0, "unexpected -o output mode: %s. We only support '-o name'", output);
    if (cli_flag(a, "now") && given)
        return err_new(ERR_INVALID, 0, "--now and --grace-period cannot be specified together");
    if (cli_flag(a, "all") && selected)
        return err_new(ERR_INVALID, 0, "cannot set --all and --selector at the same time");
    Err *e = cli_duration(a, "grace-period", &grace_ns);
    e = e ? e : cli_duration(a, "timeout", &s->timeout_ns);
    if (e)
        return e;
    s->grace_s = given ? (grace_ns + NS_PER_S - 1) / NS_PER_S : cli_flag(a, "now") ? 1 : force ? 0 : -1;
    if (force && s->grace_s > 0)
        return err_new(ERR_INVALID, 0, "--force and --grace-period greater than 0 cannot be specified together");
    if (s->grace_s == 0 && !force)
        s->grace_s = 1; /* as kubectl: nothing is taken away unseen but with --force */
    if (force)
        fputs("Warning: Immediate deletion does not wait for confirmation that the running resource has been "
              "terminated. The resource may "
              "continue to run on the cluster indefinitely.\n",
              stderr);
    s->name_only = output != NULL;
    s->dry_run = str_eq(cli_opt(a, "dry-run"), "server");
    s->ignore = cli_given(a, "ignore-not-found") ? cli_flag(a, "ignore-not-found") : selected || cli_flag(a, "all");
    str_add(&s->body, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"");
    if (s->grace_s >= 0)
        str_fmt(&s->body, ",\"gracePeriodSeconds\":%lld", (long long)s->grace_s);
    for (size_t i = 0; i < ARRAY_LEN(cascade); i++)
        if (str_eq(cli_opt(a, "cascade"), cascade[i][0]))
            str_fmt(&s->body, ",\"propagationPolicy\":\"%s\"", cascade[i][1]);
    str_add_c(&s->body, '}');
    return NULL;
}

static int run(Delete *s)
{
    const CliArgs *a = s->c.args;
    bool selected = !str_empty(cli_opt(a, "selector")) || !str_empty(cli_opt(a, "field-selector"));
    Err *e = options(s, a, selected);
    e = e ? e : api_cmd_targets(&s->c, s->c.args->n, selected || cli_flag(a, "all"), &s->targets);
    for (size_t i = 0; !e && i < s->targets.n; i++)
        if (!s->targets.v[i].name && !selected && !cli_flag(a, "all"))
            e = err_new(ERR_INVALID, 0, "resource(s) were provided, but no name was specified");
    if (e)
        return api_fail(e);
    for (size_t i = 0; i < s->targets.n; i++) {
        if (s->targets.v[i].name)
            note(s, delete_one(s, &s->targets.v[i]));
        else
            delete_all(s, &s->targets.v[i]);
    }
    (void)fflush(stdout);
    if (s->c.errors.n)
        return api_cmd_end(&s->c);
    if (!s->n)
        puts("No resources found");
    e = s->n && !s->dry_run && cli_flag(a, "wait") ? wait_all(s) : NULL;
    return e ? api_fail(e) : EXIT_OK;
}

static int delete_of_api(const CliArgs *a)
{
    Delete s = {0};
    Err *e = api_cmd_open(a, &s.c);
    int code = e ? api_fail(e) : run(&s);
    for (size_t i = 0; i < s.n; i++) {
        free(s.v[i].t.name);
        free(s.v[i].t.namespace_);
        free(s.v[i].uid);
    }
    free(s.v);
    targets_done(&s.targets);
    str_done(&s.body);
    api_cmd_done(&s.c);
    return code;
}

int cmd_delete(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("delete", argc, argv, &a);
    if (code >= 0)
        return code;
    if (!a.n && !cli_given(&a, "filename"))
        return cli_usage(&a, "say what to delete: TYPE NAME, TYPE/NAME, -f FILE, or a Pod that run left here");
    if (is_of_api(&a))
        return delete_of_api(&a);
    if (str_eq(cli_opt(&a, "output"), "name"))
        return cli_usage(&a, "-o name is for objects of the node's API: delete TYPE NAME");
    return delete_kept(&a);
}
