/* plan_options.h - what options say to the core: --restart-backoff, --prepare, --prepare-memory. */
#ifndef REPRISE_CLI_PLAN_OPTIONS_H
#define REPRISE_CLI_PLAN_OPTIONS_H

#include "cli/cli.h"
#include "plan/plan.h"

MUST_USE Err *cli_plan_options(const CliArgs *a, PlanConfig *c, int64_t *ret_prepare_memory);

#endif
