#include "cli/runtime.h"

#include <unistd.h>

#include "api/quantity.h"
#include "base/clock.h"
#include "cli/cri_call.h"
#include "runtime/cri/cri.h"
#include "runtime/oci/oci.h"

typedef struct { int64_t bytes; int files; } LogLimits;

/* Bounds as the kubelet's (apis/config/validation, logs/container_log_manager.go). */
static Err *log_options(const CliArgs *a, LogLimits *ret)
{
    const char *size = cli_opt(a, "container-log-max-size"), *files = cli_opt(a, "container-log-max-files");
    int64_t n;
    if (!quantity_value(size, &ret->bytes) || ret->bytes <= 0)
        return err_new(ERR_INVALID, 0, "--container-log-max-size=%s: give a quantity of bytes, such as 10Mi", size);
    if (!str_to_i64(files, &n) || n <= 1 || n > 10000)
        return err_new(ERR_INVALID, 0, "--container-log-max-files=%s: give a number greater than 1", files);
    ret->files = (int)n;
    return NULL;
}

static Err *open_oci(const CliArgs *a, const LogLimits *logs, uv_loop_t *loop, void (*warn)(void *arg, const char *text), void *arg, Runtime **ret)
{
    SCOPED(mem_free) char *cache = mem_fmt("%s/cni", cli_opt(a, "root"));
    OciRuntimeConfig c = {
        .loop = loop,
        .root = cli_opt(a, "root"),
        .run_dir = cli_opt(a, "run-dir"),
        .log_dir = cli_opt(a, "log-dir"),
        .oci_runtime = cli_opt(a, "oci-runtime"),
        .cni = {.conf_dir = cli_opt(a, "cni-conf-dir"), .bin_dirs = cli_opt(a, "cni-bin-dir"), .cache_dir = cache,
                .on_warning = warn, .warning_arg = arg},
        .log_max_bytes = logs->bytes,
        .log_max_files = logs->files,
    };
    return oci_runtime_open(&c, ret);
}

static Err *events_option(const CliArgs *a, CriEvents *ret)
{
    const char *text = cli_opt(a, "cri-events");
    for (int i = 0; cri_events_names[i]; i++)
        if (str_eq(text, cri_events_names[i])) {
            *ret = (CriEvents)i;
            return NULL;
        }
    return err_new(ERR_INVALID, 0, "--cri-events=%s: give auto, cri, containerd or relist", text);
}

static Err *open_cri(const CliArgs *a, const LogLimits *logs, uv_loop_t *loop, void (*warn)(void *arg, const char *text), void *arg, Runtime **ret)
{
    CriRuntimeConfig c = {
        .loop = loop,
        .endpoint = cri_endpoint(a, false),
        .image_endpoint = cri_endpoint(a, true),
        .root = cli_opt(a, "root"),
        .log_max_bytes = logs->bytes,
        .log_max_files = logs->files,
        .on_warning = warn,
        .warning_arg = arg,
    };
    Err *e = events_option(a, &c.events);
    if (!e)
        e = cli_duration(a, "runtime-request-timeout", &c.request_timeout_ns);
    return e ? e : cri_runtime_open(&c, ret);
}

Err *cli_runtime_open(const CliArgs *a, uv_loop_t *loop, void (*warn)(void *arg, const char *text), void *arg, Runtime **ret)
{
    const char *name = cli_opt(a, "runtime");
    if (geteuid() != 0)
        return err_new(ERR_UNSUPPORTED, 0, "containers, mounts and networks need root: run it with sudo");
    LogLimits logs;
    Err *e = log_options(a, &logs);
    if (e)
        return e;
    if (!name) /* who names a socket means it */
        name = cli_opt(a, "container-runtime-endpoint") ? "cri" : "oci";
    if (str_eq(name, "oci"))
        return open_oci(a, &logs, loop, warn, arg, ret);
    if (str_eq(name, "cri"))
        return open_cri(a, &logs, loop, warn, arg, ret);
    return err_new(ERR_INVALID, 0, "--runtime=%s: give oci or cri", name);
}
