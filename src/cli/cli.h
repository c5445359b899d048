/* cli.h - the command line as a table: one row a command, one row an option. The table drives dispatch, parsing, --help,
 * "did you mean", the completions and the check that every option has its place in the manual (tests/lint/options).
 *
 * A command is `int cmd_NAME(int argc, char **argv)` with argv[0] = its name; it returns the exit status. It starts with
 *
 *     SCOPED(cli_args_done) CliArgs a = {0};
 *     int code = cli_parse("validate", argc, argv, &a);
 *     if (code >= 0)
 *         return code; // --help was asked for, or the usage was wrong and said
 *
 * and its options are rows in commands.c (add rows of your own command there; nothing is parsed that has no row). */
#ifndef REPRISE_CLI_CLI_H
#define REPRISE_CLI_CLI_H

#include <stdio.h>

#include "api/objects.h"
#include "base/err.h"
#include "base/str.h"

/* Exit statuses of every command. */
enum {
    EXIT_OK = 0,          /* Pod Succeeded, --until met, nothing wrong */
    EXIT_FAILED = 1,      /* the Pod Failed, or the command could not do it */
    EXIT_USAGE = 2,       /* bad usage or manifest */
    EXIT_MACHINE = 3,     /* this machine lacks something; said what */
    EXIT_TIMEOUT = 124,   /* --timeout passed */
    EXIT_INTERRUPTED = 130,
};

/* --- tables ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *name;   /* "until": --until */
    char letter;        /* 'o': -o; 0 = none */
    const char *arg;    /* "DURATION"; NULL = a switch, on or off (--name, --name=true, --name=false) */
    const char *values; /* "json yaml": the only values allowed, and what completion offers; NULL = any */
    const char *def;    /* cli_opt() when not given; NULL = none */
    const char *help;   /* one line, lower case, no full stop */
    bool repeat;        /* may be given several times; else the last one counts */
    bool hint;          /* <values> are only suggestions for completion: any value is allowed */
} CliOption;

#define CLI_FILES 1u      /* operands are manifest files: completion offers files */
#define CLI_NODE 2u       /* has --root, --run-dir, --log-dir */
#define CLI_GATES 4u      /* has --feature-gates */
#define CLI_RUNTIME 8u    /* has --runtime and what belongs to it */
#define CLI_HIDDEN 16u    /* not listed in help */
#define CLI_API 32u       /* speaks to the node's API: has --api-socket and --namespace */

typedef struct {
    const char *name;    /* "run"; "image import" for a subcommand */
    int (*run)(int argc, char **argv); /* NULL = not in this build. For subcommands: the main command's function */
    const char *usage;   /* what follows the name: "[OPTIONS] FILE..." */
    const char *summary; /* one line */
    const char *about;   /* some lines more for --help; NULL = none */
    const CliOption *options;
    size_t n_options;
    int min_operands, max_operands; /* max -1 = any number */
    uint32_t flags;      /* CLI_* */
} CliCommand;

extern const CliCommand cli_commands[]; /* commands.c; subcommands follow their command */
extern const size_t n_cli_commands;
/* The options that a flag adds to a command: --root, ..., --oci-runtime, ..., --feature-gates, and --help of all. */
extern const CliOption cli_node_options[], cli_runtime_options[], cli_gates_options[], cli_common_options[], cli_api_options[];
extern const size_t n_cli_node_options, n_cli_runtime_options, n_cli_gates_options, n_cli_common_options, n_cli_api_options;

/* By full name ("image import"); NULL if there is none. */
const CliCommand *cli_command(const char *name);
/* The i-th option of <c>, its own first, then those of its flags; NULL after the last. */
const CliOption *cli_option_at(const CliCommand *c, size_t i);
/* "reprise COMMAND --help". */
void cli_print_help(FILE *f, const CliCommand *c);
/* The closest command or subcommand ("image " + word) to <word>, or NULL when nothing is near. Pure. */
const char *cli_suggest(const char *prefix, const char *word);

/* --- parsing ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const CliCommand *command;
    struct { const CliOption *option; const char *value; } *given; /* in order; "true" or "false" for a switch */
    size_t n_given;
    const char **operands; /* borrowed from argv; operands[n] == NULL */
    size_t n;
} CliArgs;
void cli_args_done(CliArgs *a);
static inline UNUSED void cli_args_done_at(CliArgs *a) { cli_args_done(a); }

/* Parses argv[1..] by the table of <command>: --name=value, --name value, -ovalue, -o value, options after operands, "--".
 * -1 = go on. Otherwise the exit status to return: help was printed (0), or an error on stderr (EXIT_USAGE). */
MUST_USE int cli_parse(const char *command, int argc, char **argv, CliArgs *a);
/* Subcommands: argv[1] names one of "<argv[0]> ...". NULL = unknown or missing, help asked: *code is the exit status, all is
 * said. Then call cli_parse(sub->name, argc - 1, argv + 1, &a). */
const CliCommand *cli_sub(int argc, char **argv, int *code);
/* Value of --name: the last one given, else the table's default, else NULL. Aborts on a name without a row. */
const char *cli_opt(const CliArgs *a, const char *name);
bool cli_flag(const CliArgs *a, const char *name); /* a switch is on; another option has a value */
bool cli_given(const CliArgs *a, const char *name); /* on the command line, whatever its value */
/* The values of a repeatable option, in order. Caller strvec_done()s. */
StrVec cli_opt_all(const CliArgs *a, const char *name);
/* --name as a duration ("90s", "2m", plain seconds; not negative); *ret_ns is left alone when it is not given. */
MUST_USE Err *cli_duration(const CliArgs *a, const char *name, int64_t *ret_ns);
/* A value for an option that was not given: it stands behind those of the command line. Borrowed. */
void cli_default(CliArgs *a, const CliOption *o, const char *value);
/* --feature-gates over the defaults. */
MUST_USE Err *cli_gates(const CliArgs *a, FeatureGates *g);

/* --- input and output -------------------------------------------------------------------------------------------- */

/* Reads one file ("-" = stdin), at most 4 MiB. */
MUST_USE Err *cli_read_file(const char *path, Str *ret);
/* The files behind paths of manifests: a directory's *.yaml, *.yml and *.json in name order, not below. */
MUST_USE Err *cli_manifest_files(const char *const *paths, size_t n, StrVec *files);
/* Reads manifests: files, "-", and directories (their *.yaml, *.yml, *.json in name order, not below). Adds to <objs>, one
 * report a document. ERR_INVALID: a file cannot be read, or is not YAML or JSON at all. */
MUST_USE Err *cli_read_manifests(const char *const *paths, size_t n, const FeatureGates *gates, Objects *objs,
                                 DocReports *reports);
/* Prints what the reports hold, a line each: FILE: Pod "name": error. Warnings have "warning: " in front. Returns the number of
 * errors. */
size_t cli_print_reports(FILE *f, const DocReports *r);

/* Prints "reprise: <text>" on stderr and frees <e>. */
void cli_error(Err *e);
/* The exit status that fits: ERR_INVALID 2, ERR_UNSUPPORTED 3, ERR_TIMEOUT 124, else 1. */
int cli_status(const Err *e);
/* Both: prints, frees, returns the status. */
int cli_fail(Err *e);
/* A usage error: "reprise run: <text>" and where to look; returns EXIT_USAGE. */
int cli_usage(const CliArgs *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Whether to colour what goes to <f>: a terminal, NO_COLOR unset or empty, TERM not dumb. */
bool cli_colour(FILE *f);
/* A table with columns as wide as they need to be, three blanks apart, as kubectl prints: add cells row by row. */
typedef struct { StrVec cells; size_t n_cols; } CliTable;
void cli_table_row(CliTable *t, const char *const *cells /* n_cols of them; NULL = "" */);
void cli_table_print(FILE *f, const CliTable *t);
static inline UNUSED void cli_table_done(CliTable *t) { strvec_done(&t->cells); }
static inline UNUSED void cli_table_done_at(CliTable *t) { cli_table_done(t); }

#endif
