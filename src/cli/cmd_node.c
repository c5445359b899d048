/* cmd_node.c - `reprise node`: options and configuration file for the daemon (src/daemon). */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/quantity.h"
#include "cli/cli.h"
#include "cli/cmd_node_init.h"
#include "cli/house_options.h"
#include "cli/node_config.h"
#include "cli/plan_options.h"
#include "cli/runtime.h"
#include "cli/serve_options.h"
#include "daemon/daemon.h"
#include "daemon/lock.h"
#include "daemon/sdnotify.h"
#include "os/fs.h"

int cmd_node(int argc, char **argv);

static int index_of(const char *const names[], const char *text)
{
    int i = 0;
    while (names[i] && !str_eq(names[i], text))
        i++;
    return i;
}

/* "cpu=500m,memory=1Gi" */
static Err *reserved_option(const CliArgs *a, DaemonConfig *c)
{
    const char *text = cli_opt(a, "system-reserved");
    for (const char *p = text; p && *p;) {
        size_t n = strcspn(p, ",");
        SCOPED(mem_free) char *one = mem_dup_strn(p, n);
        bool ok = str_starts(one, "cpu=") ? quantity_milli(one + 4, &c->reserved_cpu_milli) && c->reserved_cpu_milli >= 0
                                          : str_starts(one, "memory=") && quantity_value(one + 7, &c->reserved_memory_bytes) &&
                                                c->reserved_memory_bytes >= 0;
        if (!ok)
            return err_new(ERR_INVALID, 0, "--system-reserved=%s: give cpu=QUANTITY,memory=QUANTITY", text);
        p += n + (p[n] == ',');
    }
    return NULL;
}

/* It becomes a part of Pods' names. */
static bool is_node_name(const char *s)
{
    size_t n = strlen(s);
    for (const char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.')
            return false;
    return n > 0 && n <= 253 && isalnum((unsigned char)s[0]) && isalnum((unsigned char)s[n - 1]);
}

static Err *check_node_name(const char *name)
{
    return is_node_name(name) ? NULL : err_new(ERR_INVALID, 0, "the node's name \"%s\" cannot be a part of a Pod's name: give another with --node-name", name);
}

static Err *node_options(const CliArgs *a, StrVec *keep, DaemonConfig *c, Log *log)
{
    log->format = (LogFormat)index_of(log_format_names, cli_opt(a, "log-format"));
    log->level = (LogLevel)index_of(log_level_names, cli_opt(a, "log-level"));
    if (!str_to_i64(cli_opt(a, "max-pods"), &c->max_pods) || c->max_pods < 1)
        return err_new(ERR_INVALID, 0, "--max-pods=%s: give a number greater than 0", cli_opt(a, "max-pods"));
    plan_config_default(&c->plan);
    Err *e = cli_gates(a, &c->gates);
    if (!e)
        e = cli_plan_options(a, &c->plan, &c->prepare_memory_bytes);
    if (!e)
        e = cli_house_options(a, &c->housekeeping);
    if (!e)
        e = cli_serve_options(a, keep, &c->api);
    return e ? e : reserved_option(a, c);
}

static void on_warning(void *arg, const char *text)
{
    LOG((const Log *)arg, LOG_WARN, text, {"source", "runtime"});
}

/* From the lock to the end of the loop. */
static Err *run_node(const CliArgs *a, DaemonConfig *c, Log *log)
{
    SCOPED(fd_close) int lock = -EBADF;
    uv_loop_t loop;
    if (geteuid() != 0)
        return err_new(ERR_UNSUPPORTED, 0, "containers, mounts and networks need root: run it with sudo");
    Err *e = daemon_lock(c->root, &lock);
    if (e)
        return e;
    (void)uv_loop_init(&loop);
    c->loop = &loop;
    c->log = log;
    e = cli_runtime_open(a, &loop, on_warning, log, &c->rt);
    if (!e)
        e = daemon_run(c);
    if (c->rt)
        c->rt->ops->close(c->rt);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    return e;
}

int cmd_node(int argc, char **argv)
{
    SCOPED(strvec_done) StrVec keep = {0};
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("node", argc, argv, &a);
    if (code >= 0)
        return code;
    bool init = cli_flag(&a, "init");
    if (!init && (a.n || cli_flag(&a, "san") || cli_flag(&a, "tokens")))
        return cli_usage(&a, "%s is only for --init", a.n ? "a directory" : cli_flag(&a, "san") ? "--san" : "--tokens");
    const char *file = cli_opt(&a, "config");
    if (!file && !init && fs_exists(NODE_CONFIG_FILE))
        file = NODE_CONFIG_FILE;
    size_t errors = 0;
    Err *e = file ? node_config_read(&a, file, &keep, &errors) : NULL;
    if (errors)
        return EXIT_USAGE;
    struct utsname u;
    Log log = {0};
    DaemonConfig c = {
        .root = cli_opt(&a, "root"),
        .run_dir = cli_opt(&a, "run-dir"),
        .log_dir = cli_opt(&a, "log-dir"),
        .manifest_dir = cli_opt(&a, "pod-manifest-path"),
        .node_name = str_or(cli_opt(&a, "node-name"), uname(&u) == 0 ? u.nodename : "localhost"),
        .notify_fd = -EBADF,
    };
    if (!e)
        e = check_node_name(c.node_name);
    if (!e) /* --init makes what the other options would ask for */
        e = init ? node_init(&a, c.node_name) : node_options(&a, &keep, &c, &log);
    if (e || init)
        return e ? cli_fail(e) : EXIT_OK;
    (void)signal(SIGPIPE, SIG_IGN);
    SCOPED(fd_close) int notify = sd_open();
    c.notify_fd = notify;
    c.watchdog_ns = sd_watchdog_ns();
    e = sd_listen_fd(&c.api.socket_fd);
    if (!e)
        e = run_node(&a, &c, &log);
    return e ? cli_fail(e) : EXIT_OK;
}
