/* rules.c - restart policies and rules: which exit leads to what (pod-restart.md 3.1, 3.2). */
#include "plan/plan_priv.h"

#include <stdio.h>

#include "base/str.h"

int plan_match_rule(const Container *c, int32_t code)
{
    for (size_t i = 0; i < c->restart_policy_rules.n; i++) {
        const ContainerRestartRuleOnExitCodes *e = c->restart_policy_rules.v[i].exit_codes;
        if (!e)
            continue;
        bool in = str_eq(e->operator_, "In"), not_in = str_eq(e->operator_, "NotIn"), listed = false;
        for (size_t k = 0; k < e->values.n; k++)
            listed = listed || e->values.v[k] == code;
        if ((in && listed) || (not_in && !listed))
            return (int)i;
    }
    return -1;
}

static const char *matched_action(const Container *c, int32_t code)
{
    int i = plan_match_rule(c, code);
    return i < 0 ? NULL : c->restart_policy_rules.v[i].action;
}

static bool policy_restarts(const char *policy, int32_t code)
{
    if (str_eq(policy, "OnFailure"))
        return code != 0;
    return !str_eq(policy, "Never"); /* Always; unset or unknown: yes */
}

bool plan_restarts(const Container *c, const Pod *pod, int32_t code, const FeatureGates *g)
{
    /* With the gate off only sidecars have a policy of their own. */
    bool own = c->restart_policy && (g->ContainerRestartRules || str_eq(c->restart_policy, "Always"));
    if (!own)
        return policy_restarts(pod->spec.restart_policy, code);
    if (g->ContainerRestartRules) {
        const char *action = matched_action(c, code);
        if (str_eq(action, "Restart"))
            return true;
        /* With its gate off the match is consumed, and the policy decides: later rules are not tried. */
        if (str_eq(action, "RestartAllContainers") && g->RestartAllContainersOnContainerExits)
            return true;
    }
    return policy_restarts(c->restart_policy, code);
}

bool plan_triggers_restart_all(const Container *c, int32_t code, const FeatureGates *g)
{
    return g->ContainerRestartRules && g->RestartAllContainersOnContainerExits &&
           str_eq(matched_action(c, code), "RestartAllContainers");
}

static bool list_has_restart_all_rule(const ContainerList *l)
{
    LIST_EACH(c, l)
    {
        for (size_t i = 0; i < c->restart_policy_rules.n; i++)
            if (str_eq(c->restart_policy_rules.v[i].action, "RestartAllContainers"))
                return true;
    }
    return false;
}

bool plan_has_restart_all_rule(const Pod *pod)
{
    return list_has_restart_all_rule(&pod->spec.init_containers) || list_has_restart_all_rule(&pod->spec.containers);
}

const PodCondition *plan_condition(const PodStatus *s, const char *type)
{
    LIST_EACH(c, &s->conditions)
    {
        if (str_eq(c->type, type))
            return c;
    }
    return NULL;
}

/* Name and image only, as upstream hashes since 1.31 (pkg/kubelet/container/helpers.go, HashContainer): nothing else of
 * a container can change in a Pod that exists. FNV-1a. */
char *plan_container_hash(const Container *c)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    const char *parts[] = {str_or(c->name, ""), str_or(c->image, "")};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        for (const char *p = parts[i];; p++) {
            h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
            if (!*p)
                break;
        }
    return mem_fmt("%016llx", (unsigned long long)h);
}
