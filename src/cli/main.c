/* main.c - finds the command in the table (commands.c) and calls it. */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"

int cmd_help(int argc, char **argv);

static void print_overview(FILE *f)
{
    fputs("reprise runs Kubernetes Pods on this machine, and restarts them in place.\n\n"
          "Usage: reprise COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n", f);
    for (size_t i = 0; i < n_cli_commands; i++) {
        const CliCommand *c = &cli_commands[i];
        if (!strchr(c->name, ' ') && !(c->flags & CLI_HIDDEN))
            fprintf(f, "  %-12s %s\n", c->name, c->summary);
    }
    fputs("\nreprise COMMAND --help says more; man reprise says all.\n", f);
}

static int unknown_command(const char *word)
{
    const char *near = cli_suggest("", word);
    fprintf(stderr, "reprise: unknown command \"%s\"", word);
    if (near)
        fprintf(stderr, "; did you mean \"%s\"?", near);
    fputs("\nreprise help lists the commands\n", stderr);
    return EXIT_USAGE;
}

int cmd_help(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("help", argc, argv, &a);
    if (code >= 0)
        return code;
    if (a.n == 0) {
        print_overview(stdout);
        return EXIT_OK;
    }
    SCOPED(mem_free) char *name = a.n == 2 ? mem_fmt("%s %s", a.operands[0], a.operands[1]) : mem_dup_str(a.operands[0]);
    const CliCommand *c = cli_command(name);
    if (!c)
        return unknown_command(name);
    cli_print_help(stdout, c);
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    /* A reader that goes away (`reprise run | head -1`) must not kill us before the Pod is deleted: writes then fail. */
    signal(SIGPIPE, SIG_IGN);
    /* The standard descriptors are always ours: a file opened as 1 would receive what is printed. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return EXIT_FAILED;

    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (str_eq(word, "--help") || str_eq(word, "-h"))
        word = "help";
    else if (str_eq(word, "--version"))
        word = "version";
    const CliCommand *c = strchr(word, ' ') ? NULL : cli_command(word);
    if (!c)
        return unknown_command(word);
    if (!c->run) {
        fprintf(stderr, "reprise: command \"%s\" is not in this build\n", word);
        return EXIT_FAILED;
    }
    int code = c->run(argc - 1, argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (code == EXIT_OK)
            code = EXIT_FAILED;
    }
    return code;
}
