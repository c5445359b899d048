/* cmd_completion.c - completion scripts for bash, zsh and fish, made from the table of commands (commands.c). */
#include "cli/complete.h"
#include "runtime/cri/methods.h"

int cmd_completion(int argc, char **argv);

static bool has_subs(const CliCommand *c)
{
    SCOPED(mem_free) char *prefix = mem_fmt("%s ", c->name);
    for (size_t i = 0; i < n_cli_commands; i++)
        if (str_starts(cli_commands[i].name, prefix))
            return true;
    return false;
}

/* "run validate ..." of the main commands (<parent> ""), or of the subcommands of "image ". */
static char *words_below(const char *parent)
{
    Str s = {0};
    for (size_t i = 0; i < n_cli_commands; i++) {
        const char *name = cli_commands[i].name;
        if (!str_starts(name, parent) || strchr(name + strlen(parent), ' ') || (cli_commands[i].flags & CLI_HIDDEN))
            continue;
        str_fmt(&s, "%s%s", s.n ? " " : "", name + strlen(parent));
    }
    return str_take(&s);
}

/* "--until= --keep -o ...": an option that takes a value ends with "=". */
static char *option_words(const CliCommand *c)
{
    Str s = {0};
    const CliOption *o;
    for (size_t i = 0; (o = cli_option_at(c, i)) != NULL; i++)
        str_fmt(&s, "%s--%s%s", s.n ? " " : "", o->name, o->arg ? "=" : "");
    return str_take(&s);
}

static bool takes_path(const CliOption *o)
{
    return o->arg && (str_starts(o->arg, "DIR") || str_eq(o->arg, "FILE"));
}

static bool takes_files(const CliOption *o)
{
    return o->arg && str_eq(o->arg, "FILE");
}

static char *method_words(void)
{
    Str s = {0};
    for (size_t i = 0; i < CRI_METHOD_N; i++)
        str_fmt(&s, "%s%s", i ? " " : "", cri_methods[i].name);
    return str_take(&s);
}

/* What may stand as operand: "bash zsh fish" of completion, names of commands of help, CRI's methods, files (NULL). */
static char *operand_words(const CliCommand *c)
{
    if (str_eq(c->name, "debug cri"))
        return method_words();
    if (str_eq(c->name, "completion"))
        return mem_dup_str("bash zsh fish");
    return str_eq(c->name, "help") ? words_below("") : NULL;
}

static void bash_values(const CliCommand *c)
{
    const CliOption *o;
    for (size_t i = 0; (o = cli_option_at(c, i)) != NULL; i++) {
        if (o->values)
            printf("        \"%s --%s\") words=\"%s\" ;;\n", c->name, o->name, o->values);
        else if (complete_option(o))
            printf("        \"%s --%s\") words=$(_reprise_api) ;;\n", c->name, o->name);
        else if (takes_path(o))
            printf("        \"%s --%s\") %s=1 ;;\n", c->name, o->name, takes_files(o) ? "files" : "dirs");
        if (o->letter && o->values)
            printf("        \"%s -%c\") words=\"%s\" ;;\n", c->name, o->letter, o->values);
        else if (o->letter && complete_option(o))
            printf("        \"%s -%c\") words=$(_reprise_api) ;;\n", c->name, o->letter);
        else if (o->letter && takes_files(o))
            printf("        \"%s -%c\") files=1 ;;\n", c->name, o->letter);
    }
}

static void print_bash(void)
{
    SCOPED(mem_free) char *commands = words_below("");
    /* "=" is in COMP_WORDBREAKS, so --name=value arrives as three words: --name, =, value. */
    fputs("# bash completion of reprise; made by: reprise completion bash\n"
          "_reprise_api() { reprise complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null; }\n"
          "_reprise() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=\"\" words=\"\" dirs=\"\" files=\"\" i\n"
          "    COMPREPLY=()\n"
          "    if [[ $cur == = ]]; then cur=\"\"\n"
          "    elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case \"${COMP_WORDS[i]}\" in\n"
          "        -*|=) ;;\n"
          "        *) case \"$cmd\" in \"\") cmd=${COMP_WORDS[i]} ;;", stdout);
    for (size_t i = 0; i < n_cli_commands; i++)
        if (!strchr(cli_commands[i].name, ' ') && has_subs(&cli_commands[i]))
            printf(" %s) cmd+=\" ${COMP_WORDS[i]}\" ;;", cli_commands[i].name);
    fputs(" esac ;;\n        esac\n    done\n    case \"$cmd $prev\" in\n", stdout);
    for (size_t i = 0; i < n_cli_commands; i++)
        bash_values(&cli_commands[i]);
    fputs("    esac\n    if [[ -z $words && -z $dirs && -z $files ]]; then\n        case \"$cmd\" in\n", stdout);
    printf("        \"\") words=\"%s --help --version\" ;;\n", commands);
    for (size_t i = 0; i < n_cli_commands; i++) {
        const CliCommand *c = &cli_commands[i];
        SCOPED(mem_free) char *prefix = mem_fmt("%s ", c->name);
        SCOPED(mem_free) char *subs = words_below(prefix);
        SCOPED(mem_free) char *options = option_words(c);
        SCOPED(mem_free) char *operands = operand_words(c);
        printf("        \"%s\") if [[ $cur == -* ]]; then words=\"%s\"; else words=\"%s\"; fi ;;\n", c->name, options,
               complete_operands(c) ? "$(_reprise_api)" : operands ? operands : str_or(subs, ""));
    }
    fputs("        esac\n    fi\n"
          "    if [[ -n $words ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
          "        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace\n"
          "    elif [[ -n $dirs ]]; then mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")\n"
          "    else mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); fi\n"
          "    return 0\n"
          "}\n"
          "complete -o filenames -F _reprise reprise\n", stdout);
}

/* <text> inside single quotes of any of the three shells; zsh's _arguments also minds : [ ]. */
static void print_quoted(const char *text, bool zsh)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (zsh && strchr(":[]", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_option(const CliOption *o)
{
    if (o->letter && o->repeat) /* both spellings again and again: nothing is excluded */
        printf(" \\\n        '*'{-%c%s,--%s%s}'[", o->letter, o->arg ? "+" : "", o->name, o->arg ? "=" : "");
    else if (o->letter)
        printf(" \\\n        '(-%c --%s)'{-%c%s,--%s%s}'[", o->letter, o->name, o->letter, o->arg ? "+" : "", o->name,
               o->arg ? "=" : "");
    else
        printf(" \\\n        '%s--%s%s[", o->repeat ? "*" : "", o->name, o->arg ? "=" : "");
    print_quoted(o->help, true);
    putchar(']');
    if (o->arg) {
        putchar(':');
        print_quoted(o->arg, true);
        if (o->values)
            printf(":(%s)", o->values);
        else if (complete_option(o))
            fputs(":_reprise_api", stdout);
        else
            fputs(takes_files(o) ? ":_files" : takes_path(o) ? ":_files -/" : ": ", stdout);
    }
    putchar('\'');
}

static void zsh_list(const char *parent)
{
    fputs("        local -a c=(\n", stdout);
    for (size_t i = 0; i < n_cli_commands; i++) {
        const CliCommand *c = &cli_commands[i];
        if (!str_starts(c->name, parent) || strchr(c->name + strlen(parent), ' ') || (c->flags & CLI_HIDDEN))
            continue;
        printf("            '%s:", c->name + strlen(parent));
        print_quoted(c->summary, true);
        puts("'");
    }
    fputs("        )\n        _describe command c\n", stdout);
}

static void print_zsh(void)
{
    fputs("#compdef reprise\n# zsh completion of reprise; made by: reprise completion zsh\n"
          "_reprise_api() {\n"
          "    local -a c=(${(f)\"$(reprise complete -- $cmd \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
          "    compadd -a c\n}\n"
          "_reprise() {\n    local cmd=\"\"\n"
          "    if (( CURRENT == 2 )); then\n", stdout);
    zsh_list("");
    fputs("        return\n    fi\n    cmd=${words[2]}\n    shift words; (( CURRENT-- ))\n    case $cmd in\n", stdout);
    for (size_t i = 0; i < n_cli_commands; i++) {
        if (strchr(cli_commands[i].name, ' ') || !has_subs(&cli_commands[i]))
            continue;
        SCOPED(mem_free) char *prefix = mem_fmt("%s ", cli_commands[i].name);
        printf("    %s)\n        if (( CURRENT == 2 )); then\n", cli_commands[i].name);
        zsh_list(prefix);
        fputs("        return; fi\n        cmd+=\" ${words[2]}\"; shift words; (( CURRENT-- )) ;;\n", stdout);
    }
    fputs("    esac\n    case $cmd in\n", stdout);
    for (size_t i = 0; i < n_cli_commands; i++) {
        const CliCommand *c = &cli_commands[i];
        const CliOption *o;
        SCOPED(mem_free) char *operands = operand_words(c);
        if (has_subs(c))
            continue;
        printf("    '%s') _arguments -s", c->name);
        for (size_t k = 0; (o = cli_option_at(c, k)) != NULL; k++)
            zsh_option(o);
        if (complete_operands(c))
            fputs(" \\\n        '*:name:_reprise_api'", stdout);
        else if (operands)
            printf(" \\\n        '1: :(%s)'", operands);
        else if (c->flags & CLI_FILES)
            fputs(" \\\n        '*:file:_files'", stdout);
        fputs(" ;;\n", stdout);
    }
    fputs("    esac\n}\ncompdef _reprise reprise\n", stdout);
}

static void fish_option(const char *condition, const CliOption *o)
{
    printf("complete -c reprise -n '%s' -l %s", condition, o->name);
    if (o->letter)
        printf(" -s %c", o->letter);
    if (o->arg)
        fputs(takes_path(o) ? " -r -F" : " -x", stdout);
    if (o->values)
        printf(" -a '%s'", o->values);
    else if (complete_option(o))
        fputs(" -a '(__reprise_api)'", stdout);
    fputs(" -d '", stdout);
    print_quoted(o->help, false);
    puts("'");
}

static void print_fish(void)
{
    fputs("# fish completion of reprise; made by: reprise completion fish\ncomplete -c reprise -f\n"
          "function __reprise_api\n    set -l w (commandline -opc) (commandline -ct)\n"
          "    reprise complete -- $w[2..-1] 2>/dev/null\nend\n", stdout);
    for (size_t i = 0; i < n_cli_commands; i++) {
        const CliCommand *c = &cli_commands[i];
        const char *space = strchr(c->name, ' ');
        const CliOption *o;
        SCOPED(mem_free) char *main_name = mem_dup_strn(c->name, space ? (size_t)(space - c->name) : strlen(c->name));
        SCOPED(mem_free) char *subs = space ? mem_fmt("%s ", main_name) : NULL;
        SCOPED(mem_free) char *siblings = words_below(str_or(subs, ""));
        if (space)
            printf("complete -c reprise -n '__fish_seen_subcommand_from %s; and not __fish_seen_subcommand_from %s' -a %s -d '",
                   main_name, siblings, space + 1);
        else
            printf("complete -c reprise -n __fish_use_subcommand -a %s -d '", c->name);
        print_quoted(c->summary, false);
        puts("'");
        SCOPED(mem_free) char *condition =
            space ? mem_fmt("__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s", main_name, space + 1)
                  : mem_fmt("__fish_seen_subcommand_from %s", c->name);
        if (has_subs(c))
            continue;
        for (size_t k = 0; (o = cli_option_at(c, k)) != NULL; k++)
            fish_option(condition, o);
        SCOPED(mem_free) char *operands = operand_words(c);
        if (complete_operands(c))
            printf("complete -c reprise -n '%s' -a '(__reprise_api)'\n", condition);
        else if (operands)
            printf("complete -c reprise -n '%s' -a '%s'\n", condition, operands);
        else if (c->flags & CLI_FILES)
            printf("complete -c reprise -n '%s' -F\n", condition);
    }
}

int cmd_completion(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("completion", argc, argv, &a);
    if (code >= 0)
        return code;
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        if (str_eq(a.operands[0], shells[i].shell)) {
            shells[i].print();
            return EXIT_OK;
        }
    }
    return cli_usage(&a, "unknown shell \"%s\": bash, zsh or fish", a.operands[0]);
}
