#include "api/features.h"

#include "base/str.h"

static const struct Gate {
    const char *name;
    size_t off;
    bool on;
} gates[] = {
#define GATE_ROW(n, def, stage) {#n, offsetof(FeatureGates, n), def},
    FEATURE_GATES(GATE_ROW)
#undef GATE_ROW
};

static bool *gate_at(FeatureGates *g, const struct Gate *gate)
{
    return (bool *)(void *)((char *)g + gate->off);
}

void features_default(FeatureGates *g)
{
    for (size_t i = 0; i < ARRAY_LEN(gates); i++)
        *gate_at(g, &gates[i]) = gates[i].on;
}

bool features_set(FeatureGates *g, const char *name, bool on)
{
    for (size_t i = 0; i < ARRAY_LEN(gates); i++)
        if (strcmp(gates[i].name, name) == 0) {
            *gate_at(g, &gates[i]) = on;
            return true;
        }
    return false;
}

/* strconv.ParseBool, which Kubernetes' flag uses. */
static bool bool_parse(const char *s, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
            *ret = strcmp(s, yes[i]) == 0;
            return true;
        }
    return false;
}

static char *known_gates(void)
{
    Str s = {0};
    for (size_t i = 0; i < ARRAY_LEN(gates); i++)
        str_fmt(&s, "%s%s", i ? ", " : "", gates[i].name);
    return str_take(&s);
}

static char *trim(char *s)
{
    while (*s == ' ')
        s++;
    for (size_t n = strlen(s); n && s[n - 1] == ' '; n--)
        s[n - 1] = '\0';
    return s;
}

static Err *parse_one(FeatureGates *g, char *item)
{
    char *eq = strchr(item, '=');
    if (!eq)
        return err_new(ERR_INVALID, 0, "feature gates: missing bool value for %s", item);
    *eq = '\0';
    const char *name = trim(item), *value = trim(eq + 1);
    bool on;
    if (!bool_parse(value, &on))
        return err_new(ERR_INVALID, 0, "feature gates: invalid value of %s=%s: must be true or false", name, value);
    if (!features_set(g, name, on)) {
        SCOPED(mem_free) char *known = known_gates();
        return err_new(ERR_INVALID, 0, "feature gates: unrecognized feature gate: %s (known: %s)", name, known);
    }
    return NULL;
}

Err *features_parse(FeatureGates *g, const char *text)
{
    FeatureGates parsed = *g;
    SCOPED(mem_free) char *copy = mem_dup_str(text);
    char *rest = copy, *item;
    while ((item = strsep(&rest, ",")) != NULL) {
        item = trim(item);
        if (!*item)
            continue;
        Err *e = parse_one(&parsed, item);
        if (e)
            return e;
    }
    if (parsed.RestartAllContainersOnContainerExits && !parsed.ContainerRestartRules)
        return err_new(ERR_INVALID, 0,
                       "feature gates: RestartAllContainersOnContainerExits is enabled, but depends on features that are "
                       "disabled: [ContainerRestartRules]");
    *g = parsed;
    return NULL;
}
