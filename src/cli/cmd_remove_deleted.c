/* cmd_remove_deleted.c - `reprise remove-deleted`: hidden; the agent's helper that removes what is left of Pods that are gone. */
#include "agent/trash.h"
#include "cli/cli.h"

int cmd_remove_deleted(int argc, char **argv);

int cmd_remove_deleted(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("remove-deleted", argc, argv, &a);
    if (code >= 0)
        return code;
    Err *e = trash_empty(cli_opt(&a, "root"));
    return e ? cli_fail(e) : EXIT_OK;
}
