/* house_options.h - the options of `reprise node` for eviction and image garbage collection, the kubelet's. */
#ifndef REPRISE_CLI_HOUSE_OPTIONS_H
#define REPRISE_CLI_HOUSE_OPTIONS_H

#include "cli/cli.h"
#include "daemon/housekeeping.h"

/* ERR_INVALID names the option. */
MUST_USE Err *cli_house_options(const CliArgs *a, HousekeepingOptions *ret);

#endif
