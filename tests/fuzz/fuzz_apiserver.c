/* fuzz_apiserver.c - whole requests at the API server, one behind another on one connection, as a client sends them: the store is a real
 * one on a tmpfs, and lives for one input, so that a find can be played again. The first byte says how the rest is cut. */
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "apiserver/api_priv.h"
#include "os/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(Err *e)
{
    if (!e)
        return;
    char *text = err_text(e);
    (void)fprintf(stderr, "%s\n", text);
    abort();
}

static void on_request(void *arg, const HttpLog *l, const char *verb, const char *resource)
{
    (void)arg;
    if (!l->method || !verb || !resource || l->status >= 600)
        abort();
}

static void turn(uv_loop_t *loop, int fd)
{
    char buf[65536];
    for (unsigned i = 0; i < 6; i++)
        uv_run(loop, UV_RUN_NOWAIT);
    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
        uv_run(loop, UV_RUN_NOWAIT);
}

/* What is stored can be read again. */
static void check_store(ObjStore *s)
{
    const char *resource;
    for (size_t i = 0; (resource = objstore_resource(s, i)); i++) {
        SCOPED(objlist_done) ObjList l = {0};
        must(objstore_list(s, &(ObjQuery){.resource = resource}, &l));
        for (size_t k = 0; k < l.n; k++) {
            SCOPED(json_unref) json_t *j = objitem_json(l.item[k]);
            if (!str_eq(json_str(json_object_get(j, "metadata"), "name"), l.item[k]->name))
                abort();
        }
    }
}

static void serve(uv_loop_t *loop, ObjStore *store, const uint8_t *data, size_t size)
{
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof(sa_family_t)) < 0 || listen(listener, 1) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    HttpListen l = {.use_fd = true, .fd = listener};
    ApiServerConfig c = {.loop = loop, .store = store, .node_name = "node-1", .log_dir = "/nowhere", .listen = &l, .n_listen = 1,
                         .max_watches = 4, .node = {.on_request = on_request}};
    ApiServer *s;
    features_default(&c.gates);
    must(apiserver_new(&c, &s));
    http_server_adopt(s->http, 0, pair[1]);
    size_t piece = data[0] & 0x7f ? (size_t)(data[0] & 0x7f) * 16 : size;
    for (size_t at = 1; at < size;) {
        size_t n = size - at < piece ? size - at : piece;
        ssize_t sent = send(pair[0], data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn(loop, pair[0]);
        if (sent <= 0)
            break;
        at += (size_t)sent;
    }
    turn(loop, pair[0]);
    if (data[0] & 0x80) { /* the client goes first */
        close(MOVE(pair[0], -1));
        for (unsigned i = 0; i < 6; i++)
            uv_run(loop, UV_RUN_NOWAIT);
    }
    check_store(store);
    apiserver_free(s);
    if (pair[0] >= 0)
        close(pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char dir[] = "/dev/shm/reprise-fuzz-XXXXXX";
    if (size < 2)
        return 0;
    if (!mkdtemp(dir))
        abort();
    SCOPED(mem_free) char *path = mem_fmt("%s/api.db", dir);
    uv_loop_t loop;
    ObjStore *store;
    char *note = NULL;
    must(objstore_open(path, NULL, &store, &note));
    free(note);
    if (uv_loop_init(&loop) != 0)
        abort();
    serve(&loop, store, data, size);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop) != 0)
        abort();
    objstore_close(store);
    must(fs_remove_tree(dir));
    return 0;
}
