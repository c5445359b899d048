#include "cli/plan_options.h"

#include "api/quantity.h"
#include "base/clock.h"

static Err *backoff_option(const CliArgs *a, PlanConfig *c)
{
    const char *text = cli_opt(a, "restart-backoff");
    if (!text)
        return NULL;
    if (str_eq(text, "off")) {
        c->restart_all_backoff = false;
        return NULL;
    }
    SCOPED(mem_free) char *first = mem_dup_str(text);
    char *comma = strchr(first, ',');
    if (comma)
        *comma++ = '\0';
    bool ok = duration_parse(first, &c->restart_all_initial_ns) && c->restart_all_initial_ns > 0 &&
              (!comma || duration_parse(comma, &c->restart_all_max_ns)) &&
              c->restart_all_max_ns >= c->restart_all_initial_ns;
    return ok ? NULL
              : err_new(ERR_INVALID, 0, "--restart-backoff=%s: give off, INITIAL or INITIAL,MAX (10s,5m)", text);
}

static Err *prepare_option(const CliArgs *a, PlanConfig *c, int64_t *ret_memory)
{
    const char *text = cli_opt(a, "prepare"), *memory = cli_opt(a, "prepare-memory");
    int mode = PREPARE_OFF;
    while (prepare_mode_names[mode] && !str_eq(prepare_mode_names[mode], text))
        mode++;
    if (!prepare_mode_names[mode])
        return err_new(ERR_INVALID, 0, "--prepare=%s: give gate, create or off", text);
    c->prepare = (PrepareMode)mode;
    if (!quantity_value(memory, ret_memory) || *ret_memory < 0)
        return err_new(ERR_INVALID, 0, "--prepare-memory=%s: give a quantity of bytes, such as 256Mi", memory);
    return NULL;
}

Err *cli_plan_options(const CliArgs *a, PlanConfig *c, int64_t *ret_prepare_memory)
{
    Err *e = backoff_option(a, c);
    return e ? e : prepare_option(a, c, ret_prepare_memory);
}
