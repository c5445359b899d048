/* cmd_debug.c - `reprise debug plan`: one turn of the core from a file; `reprise debug dump`: such a file of a running Pod;
 * `reprise debug cri` is in cmd_debug_cri.c. */
#include "agent/dump.h"
#include "agent/facts_json.h"
#include "agent/record.h"
#include "cli/cli.h"
#include "cli/cri_call.h"
#include "wire/json.h"

int cmd_debug(int argc, char **argv);

static Err *read_facts(const char *path, Facts *ret)
{
    SCOPED(str_done) Str text = {0};
    Err *e = cli_read_file(path, &text);
    if (e)
        return e;
    SCOPED(json_unref) json_t *j = NULL;
    e = json_parse(text.p ? text.p : "", text.n, &j);
    e = e ? e : facts_from_json(j, ret);
    return e ? err_wrap(e, "read facts from %s", path) : NULL;
}

static int debug_plan(const CliArgs *a)
{
    SCOPED(facts_done) Facts f = {0};
    Err *e = read_facts(a->operands[0], &f);
    if (e)
        return cli_fail(e);
    SCOPED(plan_done) Plan p;
    plan_pod(&f.in, &p);
    SCOPED(json_unref) json_t *j = plan_to_json(&p, f.in.now_ns);
    SCOPED(mem_free) char *text = json_text(j, true);
    puts(text);
    return EXIT_OK;
}

/* "[NAMESPACE/]POD", or a uid. */
static Err *find_uid(const char *root, const char *operand, char **ret)
{
    const char *slash = strchr(operand, '/');
    SCOPED(mem_free) char *ns = slash ? mem_dup_strn(operand, (size_t)(slash - operand)) : mem_dup_str("default");
    const char *name = slash ? slash + 1 : operand;
    *ret = pod_record_find(root, ns, name, NULL, NULL);
    return *ret ? NULL : err_new(ERR_NOT_FOUND, 0, "pods \"%s\" not found in namespace %s", name, ns);
}

static int debug_dump(const CliArgs *a)
{
    SCOPED(mem_free) char *uid = NULL;
    SCOPED(str_done) Str text = {0};
    Err *e = find_uid(cli_opt(a, "root"), a->operands[0], &uid);
    e = e ? e : dump_ask(cli_opt(a, "run-dir"), uid, &text);
    if (e)
        return cli_fail(e);
    (void)fwrite(text.p, 1, text.n, stdout);
    puts("");
    return EXIT_OK;
}

int cmd_debug(int argc, char **argv)
{
    int code = EXIT_USAGE;
    const CliCommand *sub = cli_sub(argc, argv, &code);
    if (!sub)
        return code;
    SCOPED(cli_args_done) CliArgs a = {0};
    code = cli_parse(sub->name, argc - 1, argv + 1, &a);
    if (code >= 0)
        return code;
    if (str_eq(sub->name, "debug cri"))
        return debug_cri(&a);
    return str_eq(sub->name, "debug plan") ? debug_plan(&a) : debug_dump(&a);
}
