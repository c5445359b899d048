/* cmd_node_init.h - `reprise node --init [DIR]`: certificates, kubeconfigs and a NodeConfig, so that `reprise node` serves its API over TLS. */
#ifndef REPRISE_CLI_CMD_NODE_INIT_H
#define REPRISE_CLI_CMD_NODE_INIT_H

#include "cli/cli.h"

#define NODE_CONFIG_DIR "/etc/reprise"
#define NODE_CONFIG_FILE NODE_CONFIG_DIR "/node.yaml"

/* <a>: the parsed command line of `reprise node`. Prints what it did, a line a file. */
MUST_USE Err *node_init(const CliArgs *a, const char *node_name);

#endif
