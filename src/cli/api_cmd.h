/* api_cmd.h - what the commands for the node's API share: the connection, namespaces, files, errors. */
#ifndef REPRISE_CLI_API_CMD_H
#define REPRISE_CLI_API_CMD_H

#include "cli/cli.h"
#include "client/api.h"
#include "client/target.h"

#define API_CHUNK 500 /* kubectl's --chunk-size */

typedef struct {
    const CliArgs *args;
    ApiClient *api;
    const char *namespace_; /* of --namespace, or "default" */
    bool all;               /* --all-namespaces */
    StrVec errors;          /* as they will be printed */
} ApiCmd;
/* Reads the options of CLI_API (and --all-namespaces when the command has it). Nothing is sent yet. */
MUST_USE Err *api_cmd_open(const CliArgs *a, ApiCmd *c);
void api_cmd_done(ApiCmd *c);
static inline UNUSED void api_cmd_done_at(ApiCmd *c) { api_cmd_done(c); }

/* The objects that the first <n> operands, or --filename's files, name. */
MUST_USE Err *api_cmd_targets(const ApiCmd *c, size_t n, bool selected, Targets *ret);
/* The path of a target: its object, or its collection. Caller frees. */
MUST_USE char *api_cmd_path(const ApiCmd *c, const Target *t);
/* The same with --selector and --field-selector, where it is a collection. */
MUST_USE char *api_cmd_select(const ApiCmd *c, const Target *t);
/* The path to list and watch one object or all that are selected. Caller frees. */
MUST_USE char *api_cmd_watch_path(const ApiCmd *c, const Target *t);
/* A whole number, of an option that is given or has a default. ERR_INVALID. */
MUST_USE Err *api_cmd_int(const CliArgs *a, const char *name, int64_t min, int64_t *ret);

/* Keeps an error (taken) for the end; one text once. */
void api_cmd_note(ApiCmd *c, Err *e);
/* Prints what was kept: 1, or 0 if there was nothing. */
int api_cmd_end(ApiCmd *c);
/* Prints as kubectl does, frees; always 1. */
int api_fail(Err *e);
/* Writes to stdout, at once, and empties <s>. false: nobody reads it. */
bool api_put(Str *s);
/* "No resources found in NAMESPACE namespace." on stderr. */
void api_nothing(const ApiCmd *c, bool namespaced);

#endif
