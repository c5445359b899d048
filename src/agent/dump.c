#include "agent/dump.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "os/fs.h"
#include "wire/json.h"

#define DUMP_MAX ((size_t)16 << 20)

struct DumpServer {
    Agent *agent;
    char *uid, *path;
    uv_pipe_t pipe;
};

typedef struct {
    uv_pipe_t pipe;
    uv_write_t write;
    char *text;
} DumpClient;

static char *socket_path(const char *run_dir, const char *uid)
{
    return mem_fmt("%s/agents/%s.sock", run_dir, uid);
}

static void on_client_closed(uv_handle_t *h)
{
    DumpClient *c = h->data;
    free(c->text);
    free(c);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;
    DumpClient *c = w->data;
    uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

static void on_connection(uv_stream_t *server, int status)
{
    DumpServer *s = server->data;
    if (status < 0)
        return;
    DumpClient *c = NEW(DumpClient);
    (void)uv_pipe_init(server->loop, &c->pipe, 0);
    c->pipe.data = c->write.data = c;
    if (uv_accept(server, (uv_stream_t *)&c->pipe) < 0) {
        uv_close((uv_handle_t *)&c->pipe, on_client_closed);
        return;
    }
    SCOPED(json_unref) json_t *facts = agent_pod_facts(s->agent, s->uid);
    c->text = facts ? json_text(facts, true) : mem_dup_str("");
    uv_buf_t buf = uv_buf_init(c->text, (unsigned)strlen(c->text));
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0)
        uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

static void on_server_closed(uv_handle_t *h)
{
    DumpServer *s = h->data;
    free(s->path);
    free(s->uid);
    free(s);
}

Err *dump_serve(Agent *a, uv_loop_t *loop, const char *run_dir, const char *uid, DumpServer **ret)
{
    DumpServer *s = NEW(DumpServer);
    s->agent = a;
    s->uid = mem_dup_str(uid);
    s->path = socket_path(run_dir, uid);
    (void)uv_pipe_init(loop, &s->pipe, 0);
    s->pipe.data = s;
    SCOPED(mem_free) char *dir = mem_dup_strn(s->path, (size_t)(strrchr(s->path, '/') - s->path));
    Err *e = fs_mkdirs(dir, 0700);
    (void)unlink(s->path); /* a dead agent's; the Pod's lock says that we are the only one */
    mode_t mask = umask(0177);
    int r = e ? 0 : uv_pipe_bind(&s->pipe, s->path);
    (void)umask(mask);
    if (!e && (r < 0 || (r = uv_listen((uv_stream_t *)&s->pipe, 4, on_connection)) < 0))
        e = err_new(ERR_SYS, -r, "listen on %s", s->path);
    if (e) {
        uv_close((uv_handle_t *)&s->pipe, on_server_closed);
        return e;
    }
    uv_unref((uv_handle_t *)&s->pipe);
    *ret = s;
    return NULL;
}

void dump_close(DumpServer *s)
{
    if (!s)
        return;
    (void)unlink(s->path);
    uv_close((uv_handle_t *)&s->pipe, on_server_closed);
}

Err *dump_ask(const char *run_dir, const char *uid, Str *ret)
{
    SCOPED(mem_free) char *path = socket_path(run_dir, uid);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof addr.sun_path)
        return err_new(ERR_LIMIT, 0, "%s is too long for a socket address", path);
    memcpy(addr.sun_path, path, strlen(path));
    SCOPED(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
        return err_new(ERR_UNAVAILABLE, errno, "no agent drives the pod now (%s)", path);
    char buf[16384];
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_new(ERR_SYS, errno, "read %s", path);
        if (ret->n + (size_t)n > DUMP_MAX)
            return err_new(ERR_LIMIT, 0, "the facts are larger than %zu bytes", DUMP_MAX);
        str_add_n(ret, buf, (size_t)n);
    }
    return NULL;
}
