/* serve_options.h - where `reprise node` serves its API, and to whom. */
#ifndef REPRISE_CLI_SERVE_OPTIONS_H
#define REPRISE_CLI_SERVE_OPTIONS_H

#include "cli/cli.h"
#include "daemon/daemon.h"

/* Strings are borrowed from <a> or owned by *keep. ERR_INVALID: a port without certificate, or without anything that says who asks. */
MUST_USE Err *cli_serve_options(const CliArgs *a, StrVec *keep, DaemonApi *ret);

#endif
