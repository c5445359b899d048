/* node_config.h - the file of `reprise node --config`: each field stands for an option of the command, which wins over it. */
#ifndef REPRISE_CLI_NODE_CONFIG_H
#define REPRISE_CLI_NODE_CONFIG_H

#include "cli/cli.h"

/* Reads <path> strictly; what it says is put behind the options of <a>, whose values point into *keep: the caller strvec_done()s that
 * after <a>. ERR_INVALID when it cannot be read at all; *ret_errors: how many errors were printed on stderr, a line each. */
MUST_USE Err *node_config_read(CliArgs *a, const char *path, StrVec *keep, size_t *ret_errors);

#endif
