/* cmd_delete.h - `reprise delete` is two: of objects of the node's API, as kubectl's, and of Pods that `reprise run` left here. */
#ifndef REPRISE_CLI_CMD_DELETE_H
#define REPRISE_CLI_CMD_DELETE_H

#include "cli/cli.h"

/* The Pods that the operands name, [NAMESPACE/]POD, by their records (cmd_run.c). The exit status. */
int delete_kept(const CliArgs *a);

#endif
