/* cmd_disk_usage.c - `reprise disk-usage`: hidden; the agent's helper for counting what directories take. Nobody waits for it. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/cli.h"
#include "node/node_stats.h"

/* linux/ioprio.h */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_IDLE (3 << 13)

int cmd_disk_usage(int argc, char **argv);

int cmd_disk_usage(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("disk-usage", argc, argv, &a);
    if (code >= 0)
        return code;
    SCOPED(str_done) Str in = {0}, out = {0};
    Err *e = cli_read_file("-", &in);
    if (e)
        return cli_fail(e);
    (void)setpriority(PRIO_PROCESS, 0, 19);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE);
    disk_usage_lines(str_or(in.p, ""), in.n, &out);
    return fwrite(str_or(out.p, ""), 1, out.n, stdout) == out.n && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
