/* cmd_volume_usage.c - `reprise volume-usage UID`: hidden; the agent's helper for counting what emptyDir volumes hold. */
#include <stdio.h>

#include "agent/record.h"
#include "cli/cli.h"
#include "node/volumes.h"

int cmd_volume_usage(int argc, char **argv);

int cmd_volume_usage(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("volume-usage", argc, argv, &a);
    if (code >= 0)
        return code;
    SCOPED(pod_record_done) PodRecord rec = {0};
    Err *e = pod_record_load(cli_opt(&a, "root"), a.operands[0], &rec);
    if (e)
        return cli_fail(e);
    static const Objects none;
    VolumesContext ctx = {.root = cli_opt(&a, "root"), .pod = rec.pod, .objects = &none};
    SCOPED(mem_free) char *text = volumes_over_limit(&ctx);
    if (text)
        (void)puts(text);
    return EXIT_OK;
}
