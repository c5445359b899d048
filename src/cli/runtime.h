/* runtime.h - the runtime that the options of a command ask for. */
#ifndef REPRISE_CLI_RUNTIME_H
#define REPRISE_CLI_RUNTIME_H

#include <uv.h>

#include "cli/cli.h"
#include "runtime/runtime.h"

/* --runtime and what belongs to it (cli_runtime_options). <warn> is told what the user should know and nothing fails of. Needs root. */
MUST_USE Err *cli_runtime_open(const CliArgs *a, uv_loop_t *loop, void (*warn)(void *arg, const char *text), void *arg, Runtime **ret);

#endif
