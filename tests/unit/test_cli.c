#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/complete.h"

/* cli_parse() of a command line in one string; stdout and stderr are dropped. */
static int parse(const char *line, CliArgs *a)
{
    static char text[512], *argv[32];
    int argc = 0;
    snprintf(text, sizeof text, "%s", line);
    char *save = NULL;
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    fflush(stdout);
    int keep[2] = {dup(1), dup(2)}, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 1);
    dup2(null, 2);
    int code = cli_parse(argv[0], argc, argv, a);
    fflush(stdout);
    dup2(keep[0], 1);
    dup2(keep[1], 2);
    close(keep[0]);
    close(keep[1]);
    close(null);
    return code;
}

/* Switches may stand together; what takes a value may not stand among them, and begins with its own letter. */
static void test_switches(void)
{
    SCOPED(cli_args_done) CliArgs a = {0}, b = {0}, c = {0}, d = {0};
    CHECK_INT(parse("exec -itq p -cmain -- ls -l", &a), -1);
    CHECK(cli_flag(&a, "stdin") && cli_flag(&a, "tty") && cli_flag(&a, "quiet") && a.n == 3);
    CHECK_STR(cli_opt(&a, "container"), "main");
    CHECK_INT(parse("exec -ix p", &b), EXIT_USAGE);
    CHECK_INT(parse("exec -ic main p", &c), EXIT_USAGE);
    CHECK_INT(parse("exec -i=1 p", &d), EXIT_USAGE);
}

static void test_parse(void)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    CHECK_INT(parse("run --until=restarts=2 -ojson a.yaml --timeout 90 --keep - -- -x", &a), -1);
    CHECK_STR(cli_opt(&a, "until"), "restarts=2");
    CHECK_STR(cli_opt(&a, "output"), "json");
    CHECK_STR(cli_opt(&a, "root"), "/var/lib/reprise");
    CHECK(cli_opt(&a, "restart-backoff") == NULL);
    CHECK(cli_flag(&a, "keep") && !cli_flag(&a, "no-logs"));
    CHECK_INT(a.n, 3);
    CHECK_STR(a.operands[0], "a.yaml");
    CHECK_STR(a.operands[1], "-");
    CHECK_STR(a.operands[2], "-x");
    int64_t ns = 0;
    CHECK_OK(cli_duration(&a, "timeout", &ns));
    CHECK_INT(ns, 90 * NS_PER_S);
}

static void test_last_counts_and_repeat(void)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    CHECK_INT(parse("simulate f.yaml --exit main=0 --until=5s --exit=side=88@2s -o json -o timeline", &a), -1);
    CHECK_STR(cli_opt(&a, "output"), "timeline");
    SCOPED(strvec_done) StrVec exits = cli_opt_all(&a, "exit");
    CHECK_INT(exits.n, 2);
    CHECK_STR(exits.v[0], "main=0");
    CHECK_STR(exits.v[1], "side=88@2s");
}

static void test_refused(void)
{
    static const struct {
        const char *line;
        int code;
    } rows[] = {
        {"run", EXIT_USAGE},                   /* no file */
        {"run f --nope", EXIT_USAGE},          /* unknown */
        {"run f --keep=yes", EXIT_USAGE},      /* a switch is true or false */
        {"run f --timeout", EXIT_USAGE},       /* value missing */
        {"run f -o xml", EXIT_USAGE},          /* not one of the values */
        {"run f -z", EXIT_USAGE},
        {"version extra", EXIT_USAGE},
        {"run --help", EXIT_OK},
        {"validate f --lint --feature-gates=X", -1}, /* any value: features_parse() judges */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(cli_args_done) CliArgs a = {0};
        CHECK_INT(parse(rows[i].line, &a), rows[i].code);
    }
}

static void test_bad_duration(void)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    CHECK_INT(parse("run f --timeout=soon", &a), -1);
    int64_t ns = 7;
    SCOPED(err_free) Err *e = cli_duration(&a, "timeout", &ns);
    CHECK(e && e->kind == ERR_INVALID && ns == 7);
    SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
    CHECK_STR(text, "option --timeout: \"soon\" is no duration (90s, 2m, 1h30m)");
}

static void test_suggest(void)
{
    static const struct {
        const char *prefix, *word, *want;
    } rows[] = {
        {"", "vaildate", "validate"}, {"", "rnu", "run"},      {"", "sim", "simulate"}, {"", "docter", "doctor"},
        {"", "xyzzy", NULL},          {"image ", "list", "ls"}, {"image ", "imprt", "import"}, {"", "image import", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_STR(cli_suggest(rows[i].prefix, rows[i].word), rows[i].want);
}

/* Each row can be found, no name or letter stands twice in a command, and every text is there. */
static void test_table(void)
{
    for (size_t i = 0; i < n_cli_commands; i++) {
        const CliCommand *c = &cli_commands[i];
        CHECK(cli_command(c->name) == c);
        CHECK(c->usage && c->summary && c->max_operands >= -1);
        for (size_t k = 0; cli_option_at(c, k); k++) {
            const CliOption *o = cli_option_at(c, k);
            CHECK(o->name && o->help && !str_ends(o->help, "."));
            CHECK(!o->values || o->arg);
            for (size_t m = 0; m < k; m++) {
                const CliOption *p = cli_option_at(c, m);
                CHECK(!str_eq(o->name, p->name) && (!o->letter || o->letter != p->letter));
            }
        }
    }
}

static void test_help_text(void)
{
    static const CliOption options[] = {
        {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json", .help = "print JSON"},
        {.name = "lint", .help = "warn of more"},
        {.name = "speed", .arg = "KM", .def = "7", .help = "how fast"},
    };
    static const CliCommand command = {.name = "walk", .usage = "[OPTIONS] FILE...", .summary = "go by foot",
                                       .about = "Slowly.", .options = options, .n_options = ARRAY_LEN(options),
                                       .max_operands = -1, .flags = CLI_GATES};
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    cli_print_help(f, &command);
    fclose(f);
    CHECK_STR(text, "reprise walk: go by foot\n\nUsage: reprise walk [OPTIONS] FILE...\n\nSlowly.\n\nOptions:\n"
                    "  -o, --output=FORMAT       print JSON\n"
                    "  --lint                    warn of more\n"
                    "  --speed=KM                how fast (7)\n"
                    "  --feature-gates=NAME=BOOL,...\n"
                    "                            switch Kubernetes feature gates (both are on)\n"
                    "  -h, --help                show this help\n");
    free(text);
}

static void test_table_output(void)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    SCOPED(cli_table_done) CliTable t = {.n_cols = 3};
    cli_table_row(&t, (const char *const[]){"NAME", "SIZE", "ID"});
    cli_table_row(&t, (const char *const[]){"localhost/a:1", NULL, "sha256:1"});
    cli_table_print(f, &t);
    fclose(f);
    CHECK_STR(text, "NAME            SIZE   ID\nlocalhost/a:1          sha256:1\n");
    free(text);
}

static void write_text(const char *dir, const char *name, const char *content)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    fputs(content, f);
    fclose(f);
}

static void test_manifests(void)
{
    char dir[] = "/tmp/reprise-test-cli.XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    FeatureGates gates;
    features_default(&gates);
    const char *const paths[] = {dir};
    SCOPED(objects_done) Objects none = {0};
    SCOPED(doc_reports_done) DocReports no_reports = {0};
    SCOPED(err_free) Err *e = cli_read_manifests(paths, 1, &gates, &none, &no_reports);
    CHECK(e && e->kind == ERR_INVALID);

    static const char pod[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {containers: [{name: c, image: i}]}\n";
    SCOPED(mem_free) char *b = mem_fmt(pod, "b"), *a = mem_fmt(pod, "a");
    write_text(dir, "2.yaml", b);
    write_text(dir, "1.yml", a);
    write_text(dir, "notes.txt", ": : :");
    write_text(dir, ".hidden.yaml", ": : :");
    SCOPED(objects_done) Objects objs = {0};
    SCOPED(doc_reports_done) DocReports reports = {0};
    CHECK_OK(cli_read_manifests(paths, 1, &gates, &objs, &reports));
    CHECK_INT(objs.pods.n, 2);
    if (objs.pods.n == 2) {
        CHECK_STR(objs.pods.v[0]->metadata.name, "a");
        CHECK_STR(objs.pods.v[1]->metadata.name, "b");
    }
    SCOPED(mem_free) char *command = mem_fmt("rm -rf %s", dir);
    CHECK_INT(system(command), 0);
}

static void test_reports(void)
{
    DocReports r = {0};
    DocReport *d = LIST_ADD(&r.docs);
    d->source = mem_dup_str("pod.yaml");
    d->kind = mem_dup_str("Pod");
    d->name = mem_dup_str("web");
    report_warn(&d->report, "spec.x: old spelling");
    report_add(&d->report, CAUSE_REQUIRED, "spec.containers", "Required value");
    report_add(&d->report, CAUSE_UNKNOWN_FIELD, "spec.foo", "unknown field \"spec.foo\"");
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    CHECK_INT(cli_print_reports(f, &r), 2);
    fclose(f);
    CHECK_STR(text, "pod.yaml: Pod \"web\": warning: spec.x: old spelling\n"
                    "pod.yaml: Pod \"web\": spec.containers: Required value\n"
                    "pod.yaml: Pod \"web\": unknown field \"spec.foo\"\n");
    free(text);
    doc_reports_done(&r);
}

/* A switch may be said to be off; the last one counts; some are on. */
static void test_switch_values(void)
{
    static const struct { const char *line; bool wait, all; } rows[] = {
        {"delete pod x", true, false}, {"delete pod x --wait=false --all=true", false, true}, {"delete pod x --wait=false --wait", true, false},
        {"delete pod x --all --all=false", true, false}, {"delete pod x --wait=true", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(cli_args_done) CliArgs a = {0};
        CHECK_INT(parse(rows[i].line, &a), -1);
        CHECK_INT(cli_flag(&a, "wait"), rows[i].wait);
        CHECK_INT(cli_flag(&a, "all"), rows[i].all);
        CHECK(!cli_given(&a, "force"));
    }
}

/* What is at the cursor (the last word; _ is empty): types, TYPE's names, names as pairs, a Pod's containers, namespaces; +ns. */
static void test_complete(void)
{
    static const struct { const char *line, *want; } rows[] = {
        {"get _", "types"}, {"get po", "types"}, {"get pods _", "names pods"}, {"get pods a _", "names pods"}, {"get cm/x", "pairs cm"},
        {"get cm/x _", ""}, {"get -n kube _", "types +kube"}, {"get pods --namespace = kube _", "names pods +kube"},
        {"get pods --namespace=kube _", "names pods +kube"}, {"get pods -n ku", "namespaces"}, {"get pods --namespace=ku", "namespaces"},
        {"get pods --namespace = ku", "namespaces"}, {"get pods --namespace =", "namespaces"}, {"get pods -o js", ""}, {"get -w -A pods _", "names pods"},
        {"logs _", "names pods"}, {"logs a _", "containers a"}, {"logs pod/a -c _", "containers a"}, {"logs -c _", ""}, {"logs -f a -c _", "containers a"},
        {"exec a _", ""}, {"exec _", "names pods"}, {"exec a -c m", "containers a"}, {"exec a -- sh _", ""}, {"apply _", ""}, {"nope _", ""}, {"get", ""},
        {"delete pod _", "names pod"}, {"wait pods/", "pairs pods"}, {"get -owide pods _", "names pods"},
    };
    static const char *const names[] = {"", "types", "names", "containers", "namespaces"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *copy = mem_dup_str(rows[i].line);
        SCOPED(str_done) Str got = {0};
        const char *words[16];
        size_t n = 0;
        char *save = NULL;
        for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
            words[n++] = str_eq(w, "_") ? "" : w;
        Want w = complete_wants(words, n);
        str_add(&got, w.pairs ? "pairs" : names[w.kind]);
        if (w.type || w.pod)
            str_fmt(&got, " %s", w.type ? w.type : w.pod);
        if (w.namespace_)
            str_fmt(&got, " +%s", w.namespace_);
        if (!str_eq(str_or(got.p, ""), rows[i].want))
            printf("# %s\n", rows[i].line);
        CHECK_STR(str_or(got.p, ""), rows[i].want);
        want_done(&w);
    }
}

TESTS(T(test_parse), T(test_switch_values), T(test_complete), T(test_switches), T(test_last_counts_and_repeat), T(test_refused), T(test_bad_duration), T(test_suggest), T(test_table),
      T(test_help_text), T(test_table_output), T(test_manifests), T(test_reports))
