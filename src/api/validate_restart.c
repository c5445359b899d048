/* validate_restart.c - restartPolicy and restartPolicyRules of a container (pod-restart.md 1.3, 1.4). */
#include "api/validate_priv.h"

#define MAX_RULES 20   /* KEP-5307 */
#define MAX_VALUES 255 /* KEP-5307 */

static const char *const policies[] = {"Always", "Never", "OnFailure"};
static const char *const actions[] = {"Restart", "RestartAllContainers"};
static const char *const operators[] = {"In", "NotIn"};

static void check_rule(const Checker *c, const Path *at, const ContainerRestartRule *rule)
{
    size_t n_actions = c->gates->RestartAllContainersOnContainerExits ? 2 : 1;
    v_one_of(c->r, CHILD(at, "action"), rule->action, actions, n_actions);
    const Path *codes = CHILD(at, "exitCodes");
    if (!rule->exit_codes) {
        v_required(c->r, codes, "must be specified");
        return;
    }
    v_one_of(c->r, CHILD(codes, "operator"), rule->exit_codes->operator_, operators, ARRAY_LEN(operators));
    if (rule->exit_codes->values.n > MAX_VALUES)
        v_too_many(c->r, CHILD(codes, "values"), rule->exit_codes->values.n, MAX_VALUES);
}

static void check_rules(const Checker *c, const Path *at, const Container *ctr)
{
    const Path *rules = CHILD(at, "restartPolicyRules");
    size_t n = ctr->restart_policy_rules.n;
    if (n > MAX_RULES)
        v_too_many(c->r, rules, n, MAX_RULES);
    for (size_t i = 0; i < n; i++)
        check_rule(c, AT_INDEX(rules, i), &ctr->restart_policy_rules.v[i]);
}

static void policy_required(const Checker *c, const Path *at)
{
    v_required(c->r, CHILD(at, "restartPolicy"), "must specify restartPolicy when restart rules are used");
}

void check_restart_regular(Checker *c, const Path *at, const Container *ctr)
{
    const Path *policy = CHILD(at, "restartPolicy");
    if (!c->gates->ContainerRestartRules) {
        if (ctr->restart_policy || ctr->restart_policy_rules.n)
            v_forbidden(c->r, policy, "may not be set for non-init containers");
        return;
    }
    if (ctr->restart_policy)
        v_one_of(c->r, policy, ctr->restart_policy, policies, ARRAY_LEN(policies));
    else if (ctr->restart_policy_rules.n)
        policy_required(c, at);
    check_rules(c, at, ctr);
}

void check_restart_init(Checker *c, const Path *at, const Container *ctr)
{
    const Path *policy = CHILD(at, "restartPolicy");
    bool rules = c->gates->ContainerRestartRules;
    bool rules_on_sidecars = rules && c->gates->RestartAllContainersOnContainerExits;
    if (!ctr->restart_policy) {
        if (ctr->restart_policy_rules.n)
            policy_required(c, at);
        return;
    }
    if (rules)
        v_one_of(c->r, policy, ctr->restart_policy, policies, ARRAY_LEN(policies));
    else
        v_one_of(c->r, policy, ctr->restart_policy, policies, 1);
    if (container_is_sidecar(ctr) && !rules_on_sidecars) {
        if (ctr->restart_policy_rules.n)
            v_forbidden(c->r, CHILD(at, "restartPolicyRules"),
                        "restartPolicyRules are not allowed for init containers with restart policy Always");
        return;
    }
    if (rules)
        check_rules(c, at, ctr);
}

/* --- warnings --------------------------------------------------------------------------------------------------- */

static bool has_value(const IntList *l, int64_t v, size_t before)
{
    for (size_t i = 0; i < before; i++)
        if (l->v[i] == v)
            return true;
    return false;
}

/* The exit codes that each rule matches: set[rule][code]. */
typedef bool RuleSets[MAX_RULES][256];

static void rule_set(const ContainerRestartRule *rule, bool set[256])
{
    const ContainerRestartRuleOnExitCodes *x = rule->exit_codes;
    bool in = x && str_eq(x->operator_, "In"), not_in = x && str_eq(x->operator_, "NotIn");
    for (size_t code = 0; code < 256; code++)
        set[code] = not_in;
    for (size_t i = 0; x && i < x->values.n; i++)
        if (x->values.v[i] >= 0 && x->values.v[i] <= 255)
            set[x->values.v[i]] = in;
}

static void warn_values(const Checker *c, const Path *at, const IntList *values)
{
    SCOPED(mem_free) char *path = path_text(at);
    for (size_t i = 0; i < values->n; i++) {
        long long v = values->v[i];
        if (v < 0 || v > 255)
            report_warn(c->r, "%s[%zu]: %lld never occurs: an exit code is a number from 0 to 255", path, i, v);
        else if (has_value(values, v, i))
            report_warn(c->r, "%s[%zu]: %lld is given twice", path, i, v);
    }
}

/* The earlier rule that takes every exit this one matches, SIZE_MAX if some exit reaches it or it matches none at all. */
static size_t shadowed_by(RuleSets sets, size_t rule)
{
    size_t by = SIZE_MAX;
    for (size_t code = 0; code < 256; code++) {
        if (!sets[rule][code])
            continue;
        size_t i = 0;
        while (!sets[i][code])
            i++;
        if (i == rule)
            return SIZE_MAX;
        by = i;
    }
    return by;
}

static bool matches_nothing(const ContainerRestartRule *rule, const bool set[256])
{
    return rule->exit_codes && v_is_one_of(rule->exit_codes->operator_, operators, ARRAY_LEN(operators)) &&
           !memchr(set, true, 256);
}

void warn_restart_rules(Checker *c, const Path *at, const Container *ctr)
{
    const Path *rules = CHILD(at, "restartPolicyRules");
    RuleSets sets;
    /* More rules are an error already, and need no second opinion on each. */
    for (size_t i = 0; i < ctr->restart_policy_rules.n && i < MAX_RULES; i++) {
        const ContainerRestartRule *rule = &ctr->restart_policy_rules.v[i];
        const Path *here = AT_INDEX(rules, i);
        SCOPED(mem_free) char *path = path_text(here);
        if (rule->exit_codes && rule->exit_codes->values.n <= MAX_VALUES)
            warn_values(c, CHILD(CHILD(here, "exitCodes"), "values"), &rule->exit_codes->values);
        rule_set(rule, sets[i]);
        size_t by = shadowed_by(sets, i);
        if (matches_nothing(rule, sets[i]))
            report_warn(c->r, "%s: this rule matches no exit code", path);
        else if (by != SIZE_MAX)
            report_warn(c->r, "%s: this rule is never reached: restartPolicyRules[%zu] matches first", path, by);
        if (str_eq(rule->action, "Restart") && container_is_sidecar(ctr))
            report_warn(c->r, "%s: Restart has no effect here: a container with restartPolicy Always is restarted anyway",
                        path);
    }
}
