/* cmd_simulate.c - `reprise simulate`: the decision core on a virtual clock, without containers. */
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/sim_out.h"

int cmd_simulate(int argc, char **argv);

#define UNTIL_DEFAULT_NS (10 * 60 * NS_PER_S)

typedef struct {
    bool json;
    SimChart *chart;
} Output;

static void on_event(void *arg, const SimEvent *e)
{
    Output *o = arg;
    if (!o->json) {
        sim_chart_event(o->chart, e);
        return;
    }
    SCOPED(json_unref) json_t *j = sim_event_json(e);
    SCOPED(mem_free) char *text = json_text(j, false);
    puts(text);
}

static size_t terminal_width(void)
{
    struct winsize w;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 40 ? w.ws_col : 100;
}

static Err *the_pod(const CliArgs *a, const Objects *objs, Pod **ret)
{
    if (objs->pods.n != 1)
        return err_new(ERR_INVALID, 0, "%s needs a manifest with exactly one Pod; there are %zu", a->command->name,
                       objs->pods.n);
    *ret = objs->pods.v[0];
    return NULL;
}

static Err *read_scripts(const CliArgs *a, const Pod *pod, SimScripts *scripts)
{
    SCOPED(strvec_done) StrVec exits = cli_opt_all(a, "exit");
    for (size_t i = 0; i < exits.n; i++) {
        Err *e = sim_script_add(scripts, pod, exits.v[i]);
        if (e)
            return e;
    }
    return NULL;
}

static void print_pod(const Pod *pod)
{
    SCOPED(mem_free) char *text = api_encode_text(&type_Pod, pod);
    puts(text);
}

static int simulate(SimConfig *c, bool json)
{
    SCOPED(pod_free) Pod *last = NULL;
    SCOPED(sim_chart_free) SimChart *chart = sim_chart_new(c->pod);
    Output out = {json, chart};
    c->event = on_event;
    c->arg = &out;
    int64_t end;
    SimOutcome outcome = sim_run(c, &last, &end);
    if (json)
        print_pod(last);
    else
        sim_chart_print(chart, stdout, last, end, outcome, terminal_width(), cli_colour(stdout));
    if (outcome != SIM_STUCK)
        return EXIT_OK;
    cli_error(err_new(ERR_LIMIT, 0, "more than %d turns at one instant: give the attempts a duration (CODE@1s)", SIM_TURNS_MAX));
    return EXIT_USAGE;
}

int cmd_simulate(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("simulate", argc, argv, &a);
    if (code >= 0)
        return code;
    SimConfig c = {.until_ns = UNTIL_DEFAULT_NS};
    plan_config_default(&c.config);
    SCOPED(objects_done) Objects objs = {0};
    SCOPED(doc_reports_done) DocReports reports = {0};
    Err *e = cli_gates(&a, &c.gates);
    e = e ? e : cli_duration(&a, "until", &c.until_ns);
    e = e ? e : cli_read_manifests(a.operands, a.n, &c.gates, &objs, &reports);
    if (e)
        return cli_fail(e);
    if (cli_print_reports(stderr, &reports))
        return EXIT_USAGE;
    Pod *pod = NULL;
    SCOPED(sim_scripts_done) SimScripts scripts = {0};
    e = the_pod(&a, &objs, &pod);
    e = e ? e : read_scripts(&a, pod, &scripts);
    if (e) {
        cli_error(e);
        return EXIT_USAGE;
    }
    c.pod = pod;
    c.scripts = &scripts;
    return simulate(&c, str_eq(cli_opt(&a, "output"), "json"));
}
