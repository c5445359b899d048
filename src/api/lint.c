/* lint.c - what works until the Pod is restarted in place, and then does not. Warnings only: each says what to do. */
#include "api/facts.h"
#include "api/validate_priv.h"

static bool has_restart_all(const Container *c)
{
    LIST_EACH(rule, &c->restart_policy_rules)
        if (str_eq(rule->action, "RestartAllContainers"))
            return true;
    return false;
}

static bool pod_restarts_in_place(const PodSpec *s)
{
    const ContainerList *lists[] = {&s->init_containers, &s->containers};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
            if (has_restart_all(c))
                return true;
    return false;
}

/* --- a shell text that does not bear a second run --------------------------------------------------------------- */

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

/* The next place where <word> stands by itself, or NULL. A path before it (/bin/mkdir) is allowed. */
static const char *find_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; (p = strstr(p, word)) != NULL; p += n)
        if ((p == text || !word_char(p[-1])) && !word_char(p[n]))
            return p;
    return NULL;
}

/* End of the simple command that <p> is in. */
static const char *command_end(const char *p)
{
    return p + strcspn(p, ";&|\n");
}

static bool part_has(const char *from, const char *to, const char *word)
{
    SCOPED(mem_free) char *part = mem_dup_strn(from, (size_t)(to - from));
    return find_word(part, word) != NULL;
}

/* mkdir with -p in any spelling: -p, -pv, -m 755 -p, --parents. */
static bool mkdir_has_p(const char *from, const char *to)
{
    for (const char *p = from; p < to; p++) {
        if (*p != '-' || (p > from && p[-1] != ' ' && p[-1] != '\t'))
            continue;
        if (str_starts(p, "--parents"))
            return true;
        for (const char *q = p + 1; q < to && word_char(*q) && *q != '-'; q++)
            if (*q == 'p')
                return true;
    }
    return false;
}

/* A command whose failure is caught, or that runs only if something is not there: `[ -d x ] || git clone`, `if ! test -d`,
 * `mkdir x || true`, or one that first removes what it makes. */
static bool is_guarded(const char *text, const char *at)
{
    const char *end = command_end(at);
    if (end[0] == '|' && end[1] == '|')
        return true;
    const char *line = at;
    while (line > text && line[-1] != '\n' && line[-1] != ';')
        line--;
    SCOPED(mem_free) char *before_here = mem_dup_strn(text, (size_t)(at - text));
    return strstr(before_here, "if ") || strstr(before_here, "[ ") || find_word(before_here, "test") ||
           part_has(text, at, "rm") || strstr(before_here, "||");
}

static const char *not_reentrant(const char *text)
{
    for (const char *p = text; (p = find_word(p, "mkdir")) != NULL; p++)
        if (!mkdir_has_p(p, command_end(p)) && !is_guarded(text, p))
            return "mkdir without -p";
    for (const char *p = text; (p = find_word(p, "git")) != NULL; p++)
        if (part_has(p, command_end(p), "clone") && !is_guarded(text, p))
            return "git clone without a check that the directory is not there yet";
    return NULL;
}

static void lint_reentrant(Report *r, const Path *at, const Container *c)
{
    SCOPED(str_done) Str text = {0};
    const StrList *lists[] = {&c->command, &c->args};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(word, lists[i])
            str_fmt(&text, "%s%s", text.n ? " " : "", *word);
    const char *what = text.n ? not_reentrant(text.p) : NULL;
    if (!what)
        return;
    SCOPED(mem_free) char *path = path_text(at);
    report_warn(r, "%s: init container \"%s\" runs again after an in-place restart, with the volumes as they were, and "
                   "looks as if it cannot: %s",
                path, str_or(c->name, ""), what);
}

/* --- hooks, sidecars, loops ------------------------------------------------------------------------------------- */

static void lint_pre_stop(Report *r, const Path *at, const Container *c)
{
    if (!c->lifecycle || !c->lifecycle->pre_stop)
        return;
    SCOPED(mem_free) char *path = path_text(CHILD(CHILD(at, "lifecycle"), "preStop"));
    report_warn(r, "%s: this hook does not run when the Pod is restarted in place: containers are killed at once; it runs only "
                   "when the container is stopped by itself or the Pod is deleted",
                path);
}

static void lint_sidecar(Report *r, const Path *at, const Container *c)
{
    if (c->startup_probe)
        return;
    SCOPED(mem_free) char *path = path_text(at);
    report_warn(r, "%s: sidecar \"%s\" has no startupProbe, so it holds back nothing: what comes after it starts as soon as "
                   "its process exists, also after each in-place restart",
                path, str_or(c->name, ""));
}

static bool rule_matches(const ContainerRestartRule *rule, int64_t code)
{
    if (!rule->exit_codes)
        return false;
    bool in = false;
    LIST_EACH(v, &rule->exit_codes->values)
        in = in || *v == code;
    return (str_eq(rule->exit_codes->operator_, "In") && in) || (str_eq(rule->exit_codes->operator_, "NotIn") && !in);
}

/* A container that does its work well and ends with 0 restarts the Pod, which then does the same again: there is no
 * back-off while a Pod makes progress. A sidecar that ends with 0 is as much of a loop. */
static void lint_loop(Report *r, const Path *at, const Container *c)
{
    for (size_t i = 0; i < c->restart_policy_rules.n; i++) {
        const ContainerRestartRule *rule = &c->restart_policy_rules.v[i];
        if (!rule_matches(rule, 0))
            continue;
        if (str_eq(rule->action, "RestartAllContainers")) {
            SCOPED(mem_free) char *path = path_text(AT_INDEX(CHILD(at, "restartPolicyRules"), i));
            report_warn(r, "%s: the Pod is restarted in place each time container \"%s\" succeeds (exit code 0), and there is "
                           "no back-off while it makes progress: a loop without end",
                        path, str_or(c->name, ""));
        }
        return; /* the first match wins */
    }
}

static void lint_prepare(Report *r, const Pod *p)
{
    const char *value = strmap_get(&p->metadata.annotations, PREPARE_ANNOTATION);
    for (size_t i = 0; value && prepare_mode_names[i]; i++)
        if (str_eq(value, prepare_mode_names[i]))
            return;
    if (value)
        report_warn(r, "metadata.annotations[%s]: \"%s\" means nothing: give gate, create or off", PREPARE_ANNOTATION, value);
}

void pod_lint(const Pod *p, Report *r)
{
    lint_prepare(r, p);
    const PodSpec *s = &p->spec;
    const Path *spec = CHILD(NULL, "spec");
    bool in_place = pod_restarts_in_place(s);
    for (size_t i = 0; i < s->init_containers.n; i++) {
        const Container *c = &s->init_containers.v[i];
        const Path *at = AT_INDEX(CHILD(spec, "initContainers"), i);
        lint_loop(r, at, c);
        if (!in_place)
            continue;
        if (container_is_sidecar(c)) {
            lint_pre_stop(r, at, c);
            lint_sidecar(r, at, c);
        } else {
            lint_reentrant(r, at, c);
        }
    }
    for (size_t i = 0; i < s->containers.n; i++) {
        const Container *c = &s->containers.v[i];
        const Path *at = AT_INDEX(CHILD(spec, "containers"), i);
        lint_loop(r, at, c);
        if (in_place)
            lint_pre_stop(r, at, c);
    }
}
