/* cmd_validate.c - `reprise validate`: every error of every document, as kube-apiserver would say it. */
#include "cli/cli.h"
#include "wire/yaml.h"

int cmd_validate(int argc, char **argv);

static void print_status(const DocReport *d, bool yaml)
{
    SCOPED(json_unref) json_t *status = report_status_json(&d->report, d->kind, d->name);
    if (d->report.warnings.n) {
        /* metav1.Status has no place for warnings: an API server sends them as headers. They go beside it. */
        json_t *warnings = json_array();
        LIST_EACH(w, &d->report.warnings)
            json_array_append_new(warnings, json_string(*w));
        json_object_set_new(status, "warnings", warnings);
    }
    SCOPED(mem_free) char *text = yaml ? yaml_text(status) : json_text(status, true);
    printf(yaml ? "---\n%s" : "%s\n", text);
}

/* An input that is not YAML at all has no document to report on; it is one that cannot be decoded. */
static void add_unreadable(DocReports *reports, const char *source, Err *e)
{
    SCOPED(mem_free) char *text = err_text(e);
    err_free(e);
    DocReport *d = LIST_ADD(&reports->docs);
    d->source = mem_dup_str(source);
    /* The error begins with the source, which the printed line begins with too. */
    size_t n = strlen(source);
    const char *rest = str_starts(text, source) && str_starts(text + n, ": ") ? text + n + 2 : text;
    report_add(&d->report, CAUSE_TYPE, "", "%s", rest);
}

static void print_text(const DocReports *reports)
{
    (void)cli_print_reports(stdout, reports);
    LIST_EACH(d, &reports->docs)
        if (report_ok(&d->report))
            printf("%s: %s \"%s\": valid\n", d->source, str_or(d->kind, ""), str_or(d->name, ""));
}

int cmd_validate(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("validate", argc, argv, &a);
    if (code >= 0)
        return code;
    FeatureGates gates;
    Err *e = cli_gates(&a, &gates);
    if (e)
        return cli_fail(e);

    SCOPED(objects_done) Objects objs = {0};
    SCOPED(doc_reports_done) DocReports reports = {0};
    for (size_t i = 0; i < a.n; i++) {
        /* One by one, so that a file that cannot be read does not hide what is wrong with the others. */
        e = cli_read_manifests(&a.operands[i], 1, &gates, &objs, &reports);
        if (e)
            add_unreadable(&reports, a.operands[i], e);
    }
    if (!reports.docs.n)
        return cli_usage(&a, "nothing to validate: no document in the input");
    if (cli_flag(&a, "lint"))
        LIST_EACH(d, &reports.docs)
            if (d->pod)
                pod_lint(d->pod, &d->report);

    const char *output = cli_opt(&a, "output");
    if (strcmp(output, "text") == 0)
        print_text(&reports);
    else
        LIST_EACH(d, &reports.docs)
            print_status(d, strcmp(output, "yaml") == 0);
    return doc_reports_ok(&reports) ? EXIT_OK : EXIT_USAGE;
}
