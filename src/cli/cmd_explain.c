/* cmd_explain.c - `reprise explain`: which rule an exit matches, and what follows. The rule is read from the manifest; what
 * follows is not retold here but seen: the decision core runs on a virtual clock (plan/sim.h) with that one exit. */
#include "cli/cli.h"
#include "plan/sim.h"
#include "wire/json.h"
#include "wire/yaml.h"

int cmd_explain(int argc, char **argv);

/* What was seen from the exit on. */
typedef struct {
    const Pod *pod;
    const char *name;
    bool exited, restart_all, again;
    int64_t exit_ns, again_ns;
    StrVec killed, ended; /* by SIGKILL of the restart; by the end of the Pod */
    StrVec started;       /* in order; those of one instant are one element, comma-separated */
    int64_t started_ns;
    bool last_regular;
    char *phase;          /* terminal one, or NULL */
} Seen;

static void seen_done(Seen *s)
{
    strvec_done(&s->killed);
    strvec_done(&s->ended);
    strvec_done(&s->started);
    free(s->phase);
}

static void on_started(Seen *s, const SimEvent *e)
{
    if (str_eq(e->container, s->name) && !s->again) {
        s->again = true;
        s->again_ns = e->t_ns;
    }
    /* In the simulation starts take no time; only regular containers really start side by side. */
    bool regular = false;
    LIST_EACH(c, &s->pod->spec.containers)
        regular = regular || str_eq(c->name, e->container);
    if (s->started.n && s->started_ns == e->t_ns && regular && s->last_regular) {
        char **last = &s->started.v[s->started.n - 1];
        char *both = mem_fmt("%s, %s", *last, e->container);
        free(*last);
        *last = both;
    } else {
        strvec_add(&s->started, e->container);
    }
    s->started_ns = e->t_ns;
    s->last_regular = regular;
}

static void on_event(void *arg, const SimEvent *e)
{
    Seen *s = arg;
    if (!s->exited) {
        s->exited = e->kind == SIM_EXITED && str_eq(e->container, s->name);
        s->exit_ns = e->t_ns;
        return;
    }
    if (e->kind == SIM_CONDITION && str_eq(e->type, "AllContainersRestarting") && str_eq(e->status, "True"))
        s->restart_all = true;
    else if (e->kind == SIM_KILLED)
        strvec_add(s->restart_all ? &s->killed : &s->ended, e->container);
    else if (e->kind == SIM_STARTED)
        on_started(s, e);
    else if (e->kind == SIM_PHASE && (str_eq(e->phase, "Failed") || str_eq(e->phase, "Succeeded")))
        mem_set_str(&s->phase, e->phase);
}

/* --- what the manifest says ---------------------------------------------------------------------------------------- */

typedef struct {
    const Container *c;
    const char *kind;
    bool sidecar, init;
    int32_t code;
    int rule; /* -1 = none */
    const Pod *pod;
} Question;

static bool find(const Pod *pod, const char *name, Question *q)
{
    const struct {
        const ContainerList *l;
        const char *kind;
    } lists[] = {{&pod->spec.init_containers, "init container"},
                 {&pod->spec.containers, "regular container"},
                 {&pod->spec.ephemeral_containers, "ephemeral container"}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i].l)
        {
            if (!str_eq(c->name, name))
                continue;
            q->c = c;
            q->sidecar = i == 0 && container_is_sidecar(c);
            q->init = i == 0 && !q->sidecar;
            q->kind = q->sidecar ? "sidecar" : lists[i].kind;
            return true;
        }
    return false;
}

static char *rule_text(const Question *q)
{
    const ContainerRestartRule *r = &q->c->restart_policy_rules.v[q->rule];
    Str s = {0};
    str_fmt(&s, "restartPolicyRules[%d] (%s [", q->rule, r->exit_codes->operator_);
    for (size_t i = 0; i < r->exit_codes->values.n; i++)
        str_fmt(&s, i ? " %lld" : "%lld", (long long)r->exit_codes->values.v[i]);
    str_fmt(&s, "]): %s", r->action);
    return str_take(&s);
}

static const char *policy(const Question *q, const char **ret_whose)
{
    *ret_whose = q->c->restart_policy ? "the container's" : "the Pod's";
    return q->c->restart_policy ? q->c->restart_policy : str_or(q->pod->spec.restart_policy, "Always");
}

static bool has_pre_stop(const Pod *pod, const char *name)
{
    const ContainerList *lists[] = {&pod->spec.init_containers, &pod->spec.containers};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
        {
            if (str_eq(c->name, name) && c->lifecycle && c->lifecycle->pre_stop)
                return true;
        }
    return false;
}

/* --- words ----------------------------------------------------------------------------------------------------------- */

static char *joined(const StrVec *v, const char *between)
{
    Str s = {0};
    for (size_t i = 0; i < v->n; i++)
        str_fmt(&s, "%s%s", i ? between : "", v->v[i]);
    return str_take(&s);
}

static void add_rule_words(const Question *q, StrVec *out)
{
    const char *whose, *p = policy(q, &whose);
    if (q->rule >= 0) {
        SCOPED(mem_free) char *text = rule_text(q);
        strvec_fmt(out, "The first rule that matches is %s.", text);
        const char *action = q->c->restart_policy_rules.v[q->rule].action;
        if (str_eq(action, "Restart") && q->sidecar)
            strvec_add(out, "A sidecar is started again after every exit, so the rule changes nothing.");
        if (str_eq(action, "Restart") && q->init && q->code == 0)
            strvec_add(out, "Exit code 0 of an init container is completion, so the rule changes nothing.");
        return;
    }
    strvec_fmt(out, "%s, so %s restartPolicy %s decides.",
               q->c->restart_policy_rules.n ? "None of its rules matches" : "It has no rules", whose, p);
    if (q->init && str_eq(p, "Always") && !q->c->restart_policy)
        strvec_add(out, "For an init container Always means OnFailure: exit code 0 is completion.");
}

static void add_restart_words(const Seen *s, StrVec *out)
{
    strvec_add(out, "The whole Pod is restarted in place: condition AllContainersRestarting becomes True.");
    SCOPED(mem_free) char *killed = joined(&s->killed, ", ");
    SCOPED(mem_free) char *order = joined(&s->started, ", then ");
    if (s->killed.n)
        strvec_fmt(out, "Killed in the same instant (SIGKILL, no grace, no preStop): %s.", killed);
    for (size_t i = 0; i < s->killed.n; i++)
        if (has_pre_stop(s->pod, s->killed.v[i]))
            strvec_fmt(out, "The preStop hook of %s does not run.", s->killed.v[i]);
    strvec_add(out, "What stays: UID, IP, network namespace, sandbox, devices, and all volumes with their content.");
    if (s->started.n)
        strvec_fmt(out, "Then the condition becomes False and all starts anew: %s. Their restart counts go up by one.", order);
}

static void add_words(const Question *q, const Seen *s, StrVec *out)
{
    strvec_fmt(out, "%s is a%s %s; it exits with code %d.", q->c->name,
               str_starts(q->kind, "init") || str_starts(q->kind, "eph") ? "n" : "", q->kind, (int)q->code);
    add_rule_words(q, out);
    SCOPED(mem_free) char *ended = joined(&s->ended, ", ");
    if (s->restart_all) {
        add_restart_words(s, out);
    } else if (s->again) {
        strvec_fmt(out, "%s is started again%s; the other containers are left alone.", q->c->name,
                   s->again_ns == s->exit_ns ? " at once" : "");
        strvec_add(out, "Should it go on exiting, it waits 10s, 20s, 40s, up to 5m before each start (CrashLoopBackOff).");
    } else if (s->phase) {
        strvec_fmt(out, "It is not started again, and the Pod ends: phase %s.", s->phase);
        if (s->ended.n)
            strvec_fmt(out, "Terminated with the Pod, with grace and preStop: %s.", ended);
    } else if (q->init && q->code == 0) {
        SCOPED(mem_free) char *order = joined(&s->started, ", then ");
        strvec_fmt(out, "It is complete%s%s.", s->started.n ? "; next: " : "", order);
    } else {
        strvec_add(out, "It is not started again; the other containers run on, and the Pod stays Running until they end.");
    }
}

static const char *outcome(const Question *q, const Seen *s)
{
    if (s->restart_all)
        return "RestartAllContainers";
    if (s->again)
        return "RestartContainer";
    if (s->phase)
        return str_eq(s->phase, "Failed") ? "PodFails" : "PodSucceeds";
    return q->init && q->code == 0 ? "Completed" : "StaysEnded";
}

static json_t *strs_json(const StrVec *v)
{
    json_t *a = json_array();
    for (size_t i = 0; i < v->n; i++)
        json_array_append_new(a, json_string(v->v[i]));
    return a;
}

static json_t *answer_json(const Question *q, const Seen *s, const StrVec *words)
{
    const char *whose, *p = policy(q, &whose);
    json_t *o = json_pack("{s:s, s:s, s:i}", "container", q->c->name, "kind", q->kind, "exitCode", (int)q->code);
    if (q->rule >= 0) {
        const ContainerRestartRule *r = &q->c->restart_policy_rules.v[q->rule];
        json_t *values = json_array();
        for (size_t i = 0; i < r->exit_codes->values.n; i++)
            json_array_append_new(values, json_integer(r->exit_codes->values.v[i]));
        json_object_set_new(o, "rule", json_pack("{s:i, s:s, s:s, s:o}", "index", q->rule, "action", r->action, "operator",
                                                 r->exit_codes->operator_, "values", values));
    } else {
        json_object_set_new(o, "rule", json_null());
    }
    json_object_set_new(o, "restartPolicy", json_string(p));
    json_object_set_new(o, "outcome", json_string(outcome(q, s)));
    json_object_set_new(o, "killed", strs_json(s->restart_all ? &s->killed : &s->ended));
    json_object_set_new(o, "started", strs_json(&s->started));
    json_object_set_new(o, "phase", s->phase ? json_string(s->phase) : json_null());
    json_object_set_new(o, "explanation", strs_json(words));
    return o;
}

/* --- the command ------------------------------------------------------------------------------------------------------- */

static Err *ask(const char *text, const FeatureGates *gates, const Pod *pod, json_t *answers, bool print)
{
    SCOPED(sim_scripts_done) SimScripts scripts = {0};
    Err *e = sim_script_add(&scripts, pod, text);
    if (e)
        return e;
    const SimScript *script = &scripts.v[0];
    if (script->exits.n != 1 || script->exits.v[0].runs_on)
        return err_new(ERR_INVALID, 0, "--exit %s: must be NAME=CODE with one exit code", text);
    Question q = {.code = script->exits.v[0].code, .pod = pod};
    (void)find(pod, script->container, &q);
    q.rule = gates->ContainerRestartRules ? plan_match_rule(q.c, q.code) : -1;

    Seen s = {.pod = pod, .name = script->container};
    SimConfig c = {.pod = pod, .gates = *gates, .scripts = &scripts, .until_ns = 600 * NS_PER_S, .event = on_event, .arg = &s};
    plan_config_default(&c.config);
    SCOPED(pod_free) Pod *last = NULL;
    int64_t end;
    (void)sim_run(&c, &last, &end);
    SCOPED(strvec_done) StrVec words = {0};
    if (s.exited)
        add_words(&q, &s, &words);
    else
        strvec_fmt(&words, "%s is not reached: a container before it does not get ready.", script->container);
    for (size_t i = 0; print && i < words.n; i++)
        printf("%s%s\n", i ? "  " : "", words.v[i]);
    json_array_append_new(answers, answer_json(&q, &s, &words));
    seen_done(&s);
    return NULL;
}

static void print_answers(const json_t *answers, const char *format)
{
    const json_t *j = json_array_size(answers) == 1 ? json_array_get(answers, 0) : answers;
    SCOPED(mem_free) char *text = str_eq(format, "json") ? json_text(j, true) : yaml_text(j);
    fputs(text, stdout);
    if (!str_ends(text, "\n"))
        fputs("\n", stdout);
}

int cmd_explain(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("explain", argc, argv, &a);
    if (code >= 0)
        return code;
    FeatureGates gates;
    SCOPED(objects_done) Objects objs = {0};
    SCOPED(doc_reports_done) DocReports reports = {0};
    Err *e = cli_gates(&a, &gates);
    e = e ? e : cli_read_manifests(a.operands, a.n, &gates, &objs, &reports);
    if (e)
        return cli_fail(e);
    if (cli_print_reports(stderr, &reports))
        return EXIT_USAGE;
    SCOPED(strvec_done) StrVec exits = cli_opt_all(&a, "exit");
    if (!exits.n)
        return cli_usage(&a, "--exit NAME=CODE is needed: the exit to explain");
    if (objs.pods.n != 1)
        return cli_usage(&a, "needs a manifest with exactly one Pod; there are %zu", objs.pods.n);
    const char *format = cli_opt(&a, "output");
    SCOPED(json_unref) json_t *answers = json_array();
    for (size_t i = 0; i < exits.n; i++) {
        if (i && !format)
            puts("");
        e = ask(exits.v[i], &gates, objs.pods.v[0], answers, !format);
        if (e)
            return cli_fail(e);
    }
    if (format)
        print_answers(answers, format);
    return EXIT_OK;
}
