/* cli.c - parsing and help by the table, and what the commands share. */
#include "cli/cli.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/fs.h"

#define MANIFEST_MAX ((size_t)4 << 20) /* as objects_parse() */

/* --- the table --------------------------------------------------------------------------------------------------- */

const CliCommand *cli_command(const char *name)
{
    for (size_t i = 0; i < n_cli_commands; i++)
        if (str_eq(cli_commands[i].name, name))
            return &cli_commands[i];
    return NULL;
}

const CliOption *cli_option_at(const CliCommand *c, size_t i)
{
    const struct {
        const CliOption *v;
        size_t n;
    } groups[] = {
        {c->options, c->n_options},
        {cli_api_options, c->flags & CLI_API ? n_cli_api_options : 0},
        {cli_gates_options, c->flags & CLI_GATES ? n_cli_gates_options : 0},
        {cli_runtime_options, c->flags & CLI_RUNTIME ? n_cli_runtime_options : 0},
        {cli_node_options, c->flags & CLI_NODE ? n_cli_node_options : 0},
        {cli_common_options, n_cli_common_options},
    };
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        if (i < groups[g].n)
            return &groups[g].v[i];
        i -= groups[g].n;
    }
    return NULL;
}

static const CliOption *option_named(const CliCommand *c, const char *name, size_t n)
{
    for (size_t i = 0;; i++) {
        const CliOption *o = cli_option_at(c, i);
        if (!o || (strlen(o->name) == n && strncmp(o->name, name, n) == 0))
            return o;
    }
}

static const CliOption *option_lettered(const CliCommand *c, char letter)
{
    for (size_t i = 0;; i++) {
        const CliOption *o = cli_option_at(c, i);
        if (!o || o->letter == letter)
            return o;
    }
}

static bool is_sub_of(const char *name, const char *command)
{
    size_t n = strlen(command);
    return strncmp(name, command, n) == 0 && name[n] == ' ';
}

static void print_option(FILE *f, const CliOption *o)
{
    SCOPED(str_done) Str s = {0};
    str_add(&s, "  ");
    if (o->letter)
        str_fmt(&s, "-%c, ", o->letter);
    str_fmt(&s, "--%s", o->name);
    if (o->arg)
        str_fmt(&s, "=%s", o->arg);
    if (s.n < 28)
        fprintf(f, "%-28s", s.p);
    else
        fprintf(f, "%s\n%28s", s.p, "");
    fprintf(f, "%s", o->help);
    if (o->def)
        fprintf(f, " (%s)", o->def);
    fputc('\n', f);
}

void cli_print_help(FILE *f, const CliCommand *c)
{
    fprintf(f, "reprise %s: %s\n\nUsage: reprise %s %s\n", c->name, c->summary, c->name, c->usage);
    if (c->about)
        fprintf(f, "\n%s\n", c->about);
    bool first = true;
    for (size_t i = 0; i < n_cli_commands; i++) {
        if (!is_sub_of(cli_commands[i].name, c->name))
            continue;
        fputs(first ? "\nCommands:\n" : "", f);
        first = false;
        fprintf(f, "  %-8s %s\n", cli_commands[i].name + strlen(c->name) + 1, cli_commands[i].summary);
    }
    fputs("\nOptions:\n", f);
    for (size_t i = 0; cli_option_at(c, i); i++)
        print_option(f, cli_option_at(c, i));
}

/* Damerau-Levenshtein (adjacent swaps count one), for words of at most 31 bytes: "vaildate", "runn", "simulat". */
static unsigned distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t n = strlen(a), m = strlen(b);
    if (n >= MAX || m >= MAX)
        return MAX;
    unsigned d[MAX][MAX];
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

/* A word is near when at most a third of it is wrong, or when it begins a name. */
static bool is_near(const char *word, const char *name, unsigned *ret_distance)
{
    *ret_distance = strlen(word) >= 3 && str_starts(name, word) ? 0 : distance(word, name);
    return *ret_distance <= strlen(word) / 3 + (strlen(word) >= 3);
}

const char *cli_suggest(const char *prefix, const char *word)
{
    const char *best = NULL;
    unsigned best_distance = 0;
    for (size_t i = 0; i < n_cli_commands; i++) {
        const char *name = cli_commands[i].name;
        unsigned d;
        if (!str_starts(name, prefix) || strchr(name + strlen(prefix), ' ') || (cli_commands[i].flags & CLI_HIDDEN))
            continue;
        if (is_near(word, name + strlen(prefix), &d) && (!best || d < best_distance)) {
            best = name + strlen(prefix);
            best_distance = d;
        }
    }
    return best;
}

static const char *suggest_option(const CliCommand *c, const char *word)
{
    const char *best = NULL;
    unsigned best_distance = 0, d;
    for (size_t i = 0; cli_option_at(c, i); i++) {
        const char *name = cli_option_at(c, i)->name;
        if (is_near(word, name, &d) && (!best || d < best_distance)) {
            best = name;
            best_distance = d;
        }
    }
    return best;
}

/* --- parsing ----------------------------------------------------------------------------------------------------- */

void cli_args_done(CliArgs *a)
{
    free(a->given);
    free(a->operands);
    *a = (CliArgs){0};
}

static void add_given(CliArgs *a, const CliOption *o, const char *value)
{
    a->given = mem_grow(a->given, a->n_given + 1, sizeof *a->given);
    a->given[a->n_given].option = o;
    a->given[a->n_given].value = value;
    a->n_given++;
}

void cli_default(CliArgs *a, const CliOption *o, const char *value)
{
    add_given(a, o, value);
    for (size_t i = a->n_given - 1; i > 0; i--) { /* the last one counts: this one comes first */
        __typeof__(*a->given) before = a->given[i - 1];
        a->given[i - 1] = a->given[i];
        a->given[i] = before;
    }
}

static bool value_allowed(const CliOption *o, const char *value)
{
    if (!o->values || o->hint)
        return true;
    size_t n = strlen(value);
    for (const char *p = o->values; *p;) {
        size_t len = strcspn(p, " ");
        if (len == n && strncmp(p, value, n) == 0)
            return true;
        p += len + (p[len] == ' ');
    }
    return false;
}

/* Takes the value of <o>: <attached> (NULL = none was), else the next word. -1 = done, else the exit status. */
static int take_option(CliArgs *a, const CliOption *o, const char *attached, char **argv, int argc, int *i)
{
    if (!o->arg) {
        if (attached && !str_eq(attached, "true") && !str_eq(attached, "false"))
            return cli_usage(a, "option --%s is a switch: give no value, true or false", o->name);
        add_given(a, o, str_or(attached, "true"));
        return -1;
    }
    if (!attached && *i + 1 >= argc)
        return cli_usage(a, "option --%s needs a value: %s", o->name, o->arg);
    const char *value = attached ? attached : argv[++*i];
    if (!value_allowed(o, value))
        return cli_usage(a, "option --%s: \"%s\" is none of: %s", o->name, value, o->values);
    add_given(a, o, value);
    return -1;
}

/* "it": -i -t. */
static int take_switches(CliArgs *a, const char *letters)
{
    for (; *letters; letters++) {
        const CliOption *o = option_lettered(a->command, *letters);
        if (!o)
            return cli_usage(a, "unknown option -%c", *letters);
        if (o->arg)
            return cli_usage(a, "option -%c needs a value: give it apart from the others", *letters);
        add_given(a, o, "true");
    }
    return -1;
}

static int take_word(CliArgs *a, char **argv, int argc, int *i)
{
    const char *word = argv[*i];
    const CliCommand *c = a->command;
    if (word[0] != '-' || word[1] == '\0') {
        a->operands[a->n++] = word;
        return -1;
    }
    if (word[1] != '-') {
        const CliOption *o = option_lettered(c, word[1]);
        if (!o)
            return cli_usage(a, "unknown option -%c", word[1]);
        const char *attached = word[2] == '=' ? word + 3 : word[2] ? word + 2 : NULL;
        if (o->arg || word[2] == '=')
            return take_option(a, o, attached, argv, argc, i);
        return take_switches(a, word + 1);
    }
    size_t n = strcspn(word + 2, "=");
    const CliOption *o = option_named(c, word + 2, n);
    if (!o) {
        SCOPED(mem_free) char *name = mem_dup_strn(word + 2, n);
        const char *near = suggest_option(c, name);
        if (near)
            return cli_usage(a, "unknown option --%s; did you mean --%s?", name, near);
        return cli_usage(a, "unknown option --%s", name);
    }
    return take_option(a, o, word[2 + n] == '=' ? word + 3 + n : NULL, argv, argc, i);
}

int cli_parse(const char *command, int argc, char **argv, CliArgs *a)
{
    a->command = cli_command(command);
    if (!a->command)
        abort(); /* a command without a row */
    a->operands = mem_alloc_n((size_t)argc + 1, sizeof *a->operands);
    for (int i = 1; i < argc; i++) {
        if (str_eq(argv[i], "--")) {
            while (++i < argc)
                a->operands[a->n++] = argv[i];
            break;
        }
        int code = take_word(a, argv, argc, &i);
        if (code >= 0)
            return code;
        if (cli_flag(a, "help")) {
            cli_print_help(stdout, a->command);
            return EXIT_OK;
        }
    }
    if (a->n < (size_t)a->command->min_operands)
        return cli_usage(a, "what to work on is missing: %s", a->command->usage);
    if (a->command->max_operands >= 0 && a->n > (size_t)a->command->max_operands)
        return cli_usage(a, "unexpected argument \"%s\"", a->operands[a->command->max_operands]);
    return -1;
}

const CliCommand *cli_sub(int argc, char **argv, int *code)
{
    const CliCommand *c = cli_command(argv[0]);
    if (argc < 2 || str_eq(argv[1], "--help") || str_eq(argv[1], "-h")) {
        cli_print_help(argc < 2 ? stderr : stdout, c);
        *code = argc < 2 ? EXIT_USAGE : EXIT_OK;
        return NULL;
    }
    SCOPED(mem_free) char *name = mem_fmt("%s %s", argv[0], argv[1]);
    const CliCommand *sub = cli_command(name);
    if (sub)
        return sub;
    SCOPED(mem_free) char *prefix = mem_fmt("%s ", argv[0]);
    const char *near = cli_suggest(prefix, argv[1]);
    fprintf(stderr, "reprise %s: unknown command \"%s\"", argv[0], argv[1]);
    if (near)
        fprintf(stderr, "; did you mean \"%s\"?", near);
    fprintf(stderr, "\nreprise %s --help lists the commands\n", argv[0]);
    *code = EXIT_USAGE;
    return NULL;
}

static const CliOption *must_option(const CliArgs *a, const char *name)
{
    const CliOption *o = option_named(a->command, name, strlen(name));
    if (!o)
        abort(); /* an option without a row */
    return o;
}

const char *cli_opt(const CliArgs *a, const char *name)
{
    const CliOption *o = must_option(a, name);
    for (size_t i = a->n_given; i > 0; i--)
        if (a->given[i - 1].option == o)
            return a->given[i - 1].value;
    return o->def;
}

bool cli_flag(const CliArgs *a, const char *name)
{
    const char *value = cli_opt(a, name);
    return value && !(must_option(a, name)->arg == NULL && str_eq(value, "false"));
}

bool cli_given(const CliArgs *a, const char *name)
{
    const CliOption *o = must_option(a, name);
    for (size_t i = 0; i < a->n_given; i++)
        if (a->given[i].option == o)
            return true;
    return false;
}

StrVec cli_opt_all(const CliArgs *a, const char *name)
{
    const CliOption *o = must_option(a, name);
    StrVec all = {0};
    for (size_t i = 0; i < a->n_given; i++)
        if (a->given[i].option == o)
            strvec_add(&all, a->given[i].value);
    return all;
}

Err *cli_duration(const CliArgs *a, const char *name, int64_t *ret_ns)
{
    const char *text = cli_opt(a, name);
    int64_t ns;
    if (!text)
        return NULL;
    if (!duration_parse(text, &ns) || ns < 0)
        return err_new(ERR_INVALID, 0, "option --%s: \"%s\" is no duration (90s, 2m, 1h30m)", name, text);
    *ret_ns = ns;
    return NULL;
}

Err *cli_gates(const CliArgs *a, FeatureGates *g)
{
    features_default(g);
    const char *text = cli_opt(a, "feature-gates");
    Err *e = text ? features_parse(g, text) : NULL;
    return e ? err_wrap(e, "option --feature-gates") : NULL;
}

/* --- input ------------------------------------------------------------------------------------------------------- */

static Err *read_stdin(Str *ret)
{
    char buf[65536];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_new(ERR_SYS, errno, "read stdin");
        if (n == 0)
            return NULL;
        if (ret->n + (size_t)n > MANIFEST_MAX)
            return err_new(ERR_LIMIT, 0, "stdin is larger than 4 MiB");
        str_add_n(ret, buf, (size_t)n);
    }
}

Err *cli_read_file(const char *path, Str *ret)
{
    return str_eq(path, "-") ? read_stdin(ret) : fs_read(path, MANIFEST_MAX, ret);
}

static bool is_manifest_name(const char *name)
{
    return name[0] != '.' && (str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json"));
}

static int compare_strings(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static void dir_close(DIR *d)
{
    if (d)
        closedir(d);
}
SCOPED_FN(dir_close, DIR *, NULL)

/* Adds the manifests of directory <path> to <files>. ERR_NOT_FOUND when it has none: most likely not what was meant. */
static Err *list_directory(DIR *d, const char *path, StrVec *files)
{
    size_t first = files->n;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (is_manifest_name(e->d_name))
            strvec_fmt(files, "%s%s%s", path, str_ends(path, "/") ? "" : "/", e->d_name);
    if (files->n == first)
        return err_new(ERR_NOT_FOUND, 0, "directory %s has no *.yaml, *.yml or *.json", path);
    qsort(files->v + first, files->n - first, sizeof *files->v, compare_strings);
    return NULL;
}

Err *cli_manifest_files(const char *const *paths, size_t n, StrVec *files)
{
    for (size_t i = 0; i < n; i++) {
        SCOPED(dir_close) DIR *d = str_eq(paths[i], "-") ? NULL : opendir(paths[i]);
        if (!d) {
            strvec_add(files, paths[i]);
            continue;
        }
        Err *e = list_directory(d, paths[i], files);
        if (e)
            return e;
    }
    return NULL;
}

static Err *read_manifests(const char *const *paths, size_t n, const FeatureGates *gates, Objects *objs, DocReports *reports)
{
    SCOPED(strvec_done) StrVec files = {0};
    Err *none = cli_manifest_files(paths, n, &files);
    if (none)
        return none;
    for (size_t i = 0; i < files.n; i++) {
        SCOPED(str_done) Str text = {0};
        Err *e = cli_read_file(files.v[i], &text);
        if (!e)
            e = objects_parse(files.v[i], str_or(text.p, ""), text.n, gates, objs, reports);
        if (e)
            return e;
    }
    return NULL;
}

Err *cli_read_manifests(const char *const *paths, size_t n, const FeatureGates *gates, Objects *objs, DocReports *reports)
{
    Err *e = read_manifests(paths, n, gates, objs, reports);
    if (e && e->kind != ERR_BUG)
        e->kind = ERR_INVALID; /* not there, not readable, too large, no YAML: what was named is no manifest, status 2 */
    return e;
}

/* --- output ------------------------------------------------------------------------------------------------------ */

static void print_report_line(FILE *f, const DocReport *d, const char *kind, const char *path, const char *message)
{
    fprintf(f, "%s: %s \"%s\": %s", d->source, str_empty(d->kind) ? "document" : d->kind, str_or(d->name, ""), kind);
    if (!str_empty(path))
        fprintf(f, "%s: ", path);
    fprintf(f, "%s\n", message);
}

size_t cli_print_reports(FILE *f, const DocReports *r)
{
    size_t errors = 0;
    for (const DocReport *d = r->docs.v; d < r->docs.v + r->docs.n; d++) {
        for (size_t i = 0; i < d->report.warnings.n; i++)
            print_report_line(f, d, "warning: ", NULL, d->report.warnings.v[i]);
        for (const Cause *c = d->report.errors.v; c < d->report.errors.v + d->report.errors.n; c++)
            print_report_line(f, d, "", c->kind == CAUSE_UNKNOWN_FIELD ? NULL : c->path, c->message);
        errors += d->report.errors.n;
    }
    return errors;
}

void cli_error(Err *e)
{
    SCOPED(mem_free) char *text = err_text(e);
    fprintf(stderr, "reprise: %s\n", text);
    err_free(e);
}

int cli_status(const Err *e)
{
    switch (e->kind) {
    case ERR_INVALID:
        return EXIT_USAGE;
    case ERR_UNSUPPORTED:
        return EXIT_MACHINE;
    case ERR_TIMEOUT:
        return EXIT_TIMEOUT;
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
    case ERR_LIMIT:
    case ERR_UNAVAILABLE:
    case ERR_SYS:
    case ERR_BUG:
        break;
    }
    return EXIT_FAILED;
}

int cli_fail(Err *e)
{
    int code = cli_status(e);
    cli_error(e);
    return code;
}

int cli_usage(const CliArgs *a, const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    fprintf(stderr, "reprise %s: %s\nreprise %s --help says more\n", a->command->name, s.p, a->command->name);
    return EXIT_USAGE;
}

bool cli_colour(FILE *f)
{
    const char *term = getenv("TERM");
    return isatty(fileno(f)) && str_empty(getenv("NO_COLOR")) && !str_empty(term) && !str_eq(term, "dumb");
}

void cli_table_row(CliTable *t, const char *const *cells)
{
    for (size_t i = 0; i < t->n_cols; i++)
        strvec_add(&t->cells, str_or(cells[i], ""));
}

void cli_table_print(FILE *f, const CliTable *t)
{
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t column = i % t->n_cols, width = 0;
        if (column + 1 == t->n_cols) {
            fprintf(f, "%s\n", t->cells.v[i]);
            continue;
        }
        for (size_t k = column; k < t->cells.n; k += t->n_cols)
            if (strlen(t->cells.v[k]) > width)
                width = strlen(t->cells.v[k]);
        fprintf(f, "%-*s", (int)width + 3, t->cells.v[i]);
    }
}
