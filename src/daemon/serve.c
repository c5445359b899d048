/* serve.c - the API server in this daemon: where it listens, who may connect, what of it is logged. */
#include <grp.h>
#include <stdio.h>

#include "apiserver/apiserver.h"
#include "daemon/daemon_priv.h"
#include "os/fs.h"

#define GROUP "reprise"   /* whose members may use the socket, where it exists */
#define STOP_MS 1000      /* what a client has to notice that it ends */

static void on_metrics(void *arg, Str *out)
{
    Daemon *d = arg;
    ObjStoreState s;
    objstore_state(d->store, &s);
    housekeeping_metrics(d->house, d->files.files.n, static_files_broken(&d->files), &s, out);
}

static void on_resource_metrics(void *arg, Str *out)
{
    housekeeping_resource_metrics(((Daemon *)arg)->house, out);
}

static json_t *on_summary(void *arg)
{
    return housekeeping_summary(((Daemon *)arg)->house);
}

static void on_ready(void *arg, Str *why)
{
    const Daemon *d = arg;
    ObjStoreState s;
    objstore_state(d->store, &s);
    if (!s.writable)
        str_add(why, s.error);
}

/* Who changed what, or looked into a container, is always to be found in the log; who reads, only at level debug. */
static void on_request(void *arg, const HttpLog *l, const char *verb, const char *resource)
{
    static const char *const reads[] = {"get", "list", "watch", ""};
    const Daemon *d = arg;
    bool read = false;
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        read = read || str_eq(str_or(verb, ""), reads[i]);
    metrics_request(housekeeping_counts(d->house), l, verb, resource);
    SCOPED(mem_free) char *code = mem_fmt("%d", l->status);
    SCOPED(mem_free) char *took = duration_format(l->took_ns / 1000 * 1000);
    LogField f[] = {{"verb", verb}, {"resource", resource}, {"path", l->path}, {"user", l->user}, {"remote", l->remote},
                    {"code", code},  {"took", took},         {"userAgent", l->user_agent}};
    log_line(d->c.log, read ? LOG_DEBUG : LOG_INFO, os_now_ns(), "request", f, ARRAY_LEN(f));
}

static Err *make_dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    SCOPED(mem_free) char *dir = slash && slash != path ? mem_dup_strn(path, (size_t)(slash - path)) : NULL;
    return dir ? fs_mkdirs(dir, 0755) : NULL;
}

Err *serve_open(Daemon *d)
{
    const DaemonApi *a = &d->c.api;
    HttpListen listen[2] = {0};
    HttpTls tls = {.cert_file = a->cert_file, .key_file = a->key_file, .client_ca_file = a->client_ca_file};
    size_t n = 0;
    if (a->socket_fd > 0) {
        listen[n++] = (HttpListen){.use_fd = true, .fd = a->socket_fd};
    } else if (!str_empty(a->socket)) {
        Err *e = make_dir_of(a->socket);
        if (e)
            return e;
        const struct group *g = getgrnam(GROUP);
        listen[n++] = (HttpListen){.path = a->socket, .mode = g ? 0660 : 0600, .set_group = g != NULL, .group = g ? g->gr_gid : 0};
    }
    if (a->secure_port)
        listen[n++] = (HttpListen){.address = a->bind_address, .port = a->secure_port, .tls = &tls};
    if (!n)
        return NULL;
    ApiServerConfig c = {
        .loop = d->c.loop,
        .store = d->store,
        .rt = d->c.rt,
        .node_name = d->c.node_name,
        .log_dir = d->c.log_dir,
        .gates = d->c.gates,
        .listen = listen,
        .n_listen = n,
        .limits = {.max_connections = a->max_connections},
        .max_watches = a->max_watches,
        .max_streams = a->max_streams,
        .token_auth_file = a->token_auth_file,
        .node = {.metrics = on_metrics, .resource_metrics = on_resource_metrics, .stats_summary = on_summary, .ready = on_ready, .on_request = on_request, .arg = d},
    };
    Err *e = apiserver_new(&c, &d->api);
    if (e)
        return err_wrap(e, "serve the API");
    SCOPED(mem_free) char *port = a->secure_port ? mem_fmt("%u", a->secure_port) : NULL;
    LOG(d->c.log, LOG_INFO, "serving the API", {"socket", str_empty(a->socket) ? NULL : a->socket}, {"address", port ? a->bind_address : NULL},
        {"port", port});
    return NULL;
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

void serve_close(Daemon *d)
{
    bool stopped = false;
    if (!d->api)
        return;
    apiserver_stop(d->api, STOP_MS, on_stopped, &stopped);
    while (!stopped)
        (void)uv_run(d->c.loop, UV_RUN_ONCE);
    apiserver_free(MOVE(d->api, NULL));
}
