/* api_world.h - the API server over a real store and a real socket, and a client that says answers in a line. One loop, nothing waits
 * for the clock but a watch that was asked for seconds. */
#ifndef REPRISE_TESTS_API_WORLD_H
#define REPRISE_TESTS_API_WORLD_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apiserver/apiserver.h"
#include "check.h"
#include "os/fs.h"
#include "os/unixsock.h"

typedef struct {
    char dir[48], db[64], sock[64];
    uv_loop_t loop;
    ObjStore *store;
    ApiServer *api;
    ApiServerConfig config;
} World;

static inline UNUSED void world_serve(World *w)
{
    HttpListen l = {.path = w->sock, .mode = 0600};
    w->config.loop = &w->loop;
    w->config.store = w->store;
    w->config.node_name = "node-1";
    w->config.log_dir = w->dir;
    w->config.listen = &l;
    w->config.n_listen = 1;
    features_default(&w->config.gates);
    CHECK_OK(apiserver_new(&w->config, &w->api));
    if (!w->api)
        exit(1);
}

static inline UNUSED void world_turn(World *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        uv_run(&w->loop, UV_RUN_NOWAIT);
}

static inline UNUSED World *world_with(const ApiServerConfig *config, const ObjStoreOptions *options)
{
    World *w = NEW(World);
    char *note = NULL;
    signal(SIGPIPE, SIG_IGN);
    strcpy(w->dir, "/tmp/reprise-api-XXXXXX");
    CHECK(mkdtemp(w->dir) != NULL);
    (void)snprintf(w->db, sizeof w->db, "%s/api.db", w->dir);
    (void)snprintf(w->sock, sizeof w->sock, "%s/api.sock", w->dir);
    CHECK_OK(objstore_open(w->db, options, &w->store, &note));
    CHECK(note == NULL);
    free(note);
    uv_loop_init(&w->loop);
    if (config)
        w->config = *config;
    world_serve(w);
    world_turn(w, 4);
    return w;
}
static inline UNUSED World *world_new(void) { return world_with(NULL, NULL); }

static inline UNUSED void world_done(World *w)
{
    apiserver_free(w->api);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    objstore_close(w->store);
    CHECK_OK(fs_remove_tree(w->dir));
    free(w);
}

/* --- a client ----------------------------------------------------------------------------------------------------- */

typedef struct {
    int fd;
    Str in;  /* all that came */
    Str out; /* of it, the body, as far as its chunks are whole */
    size_t at; /* read of it by lines */
    bool eof;
} Client;

/* <headers>: further lines, each with its \r\n. */
static inline UNUSED Client client_open(World *w, const char *method, const char *target, const char *headers, const char *body, size_t n)
{
    Client c = {.fd = -1};
    SCOPED(str_done) Str s = {0};
    CHECK_OK(unix_connect(w->sock, &c.fd));
    str_fmt(&s, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", method, target, str_or(headers, ""));
    if (body)
        str_fmt(&s, "Content-Length: %zu\r\n", n);
    str_add(&s, "\r\n");
    if (body)
        str_add_n(&s, body, n);
    for (size_t at = 0; at < s.n;) {
        ssize_t k = send(c.fd, s.p + at, s.n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k > 0)
            at += (size_t)k;
        else if (errno != EAGAIN)
            break;
        world_turn(w, 1);
    }
    return c;
}

static inline UNUSED void client_close(Client *c)
{
    fd_close(c->fd);
    str_done(&c->in);
    str_done(&c->out);
}

static inline UNUSED int client_status(const Client *c)
{
    return c->in.n > 12 && str_starts(c->in.p, "HTTP/1.1 ") ? atoi(c->in.p + 9) : 0;
}

/* The body: chunked, or all behind the head. */
static inline UNUSED void client_body(Client *c)
{
    const char *head = c->in.p ? strstr(c->in.p, "\r\n\r\n") : NULL;
    str_clear(&c->out);
    if (!head)
        return;
    const char *p = head + 4, *end = c->in.p + c->in.n, *te = strcasestr(c->in.p, "\r\nTransfer-Encoding: chunked");
    if (!te || te > head) {
        str_add_n(&c->out, p, (size_t)(end - p));
        return;
    }
    for (;;) {
        char *nl;
        size_t n = strtoul(p, &nl, 16);
        if (nl == p || nl + 2 > end || (size_t)(end - nl) < n + 4 || !n)
            return;
        str_add_n(&c->out, nl + 2, n);
        p = nl + 2 + n + 2;
    }
}

static inline UNUSED void client_read(World *w, Client *c)
{
    char buf[65536];
    ssize_t n;
    world_turn(w, 2);
    while ((n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
        str_add_n(&c->in, buf, (size_t)n);
    c->eof = c->eof || n == 0 || (n < 0 && errno != EAGAIN);
}

#define CLIENT_WAIT_NS (10 * INT64_C(1000000000))

/* Until the server closes. */
static inline UNUSED void client_finish(World *w, Client *c)
{
    int64_t until = os_monotonic_ns() + CLIENT_WAIT_NS;
    while (!c->eof && os_monotonic_ns() < until)
        client_read(w, c);
    CHECK(c->eof);
    client_body(c);
}

/* The next line of a watch; NULL: it is over. Caller frees. */
static inline UNUSED char *client_line(World *w, Client *c)
{
    int64_t until = os_monotonic_ns() + CLIENT_WAIT_NS;
    for (;;) {
        client_body(c);
        const char *nl = c->out.n > c->at ? memchr(c->out.p + c->at, '\n', c->out.n - c->at) : NULL;
        if (nl) {
            char *line = mem_dup_strn(c->out.p + c->at, (size_t)(nl - c->out.p) - c->at);
            c->at = (size_t)(nl - c->out.p) + 1;
            return line;
        }
        if (c->eof || os_monotonic_ns() > until)
            return NULL;
        client_read(w, c);
    }
}

/* --- what an answer says ------------------------------------------------------------------------------------------ */

static inline UNUSED const char *meta_of(const json_t *o, const char *key)
{
    return json_str(json_object_get(o, "metadata"), key);
}

/* "Pod default/web", "PodList [a b]", "NotFound: pods "x" not found". */
static inline UNUSED void say_object(Str *s, const json_t *o)
{
    const char *kind = str_or(json_str(o, "kind"), "?"), *ns = meta_of(o, "namespace");
    const json_t *items = json_object_get(o, "items"), *rows = json_object_get(o, "rows");
    size_t i;
    json_t *v;
    if (str_eq(kind, "Status")) {
        if (str_eq(json_str(o, "status"), "Success")) {
            const json_t *d = json_object_get(o, "details");
            str_fmt(s, "Success %s %s", str_or(json_str(d, "kind"), ""), str_or(json_str(d, "name"), ""));
        } else {
            str_fmt(s, "%s: %s", str_or(json_str(o, "reason"), ""), str_or(json_str(o, "message"), ""));
        }
    } else if (items || rows) {
        str_fmt(s, "%s [", kind);
        json_array_foreach(items ? items : rows, i, v)
        {
            const char *cell = rows ? json_string_value(json_array_get(json_object_get(v, "cells"), 0)) : meta_of(v, "name");
            str_fmt(s, "%s%s", i ? " " : "", str_or(cell, "?"));
        }
        str_add(s, "]");
    } else {
        str_fmt(s, "%s %s%s%s", kind, str_or(ns, ""), ns ? "/" : "", str_or(meta_of(o, "name"), ""));
    }
}

/* <code> and what it says; JSON is parsed, other text is given as it is. *ret (may be NULL): the JSON. Caller frees. */
static inline UNUSED char *ask_full(World *w, const char *method, const char *target, const char *headers, const char *body, json_t **ret)
{
    Client c = client_open(w, method, target, headers, body, body ? strlen(body) : 0);
    Str s = {0};
    client_finish(w, &c);
    str_fmt(&s, "%d ", client_status(&c));
    json_t *j = json_loadb(str_or(c.out.p, ""), c.out.n, 0, NULL);
    if (j)
        say_object(&s, j);
    else
        str_add(&s, str_or(c.out.p, ""));
    if (ret)
        *ret = j;
    else
        json_decref(j);
    client_close(&c);
    return str_take(&s);
}

#define JSON_BODY "Content-Type: application/json\r\n"
static inline UNUSED char *ask(World *w, const char *method, const char *target, const char *body)
{
    const char *h = !body                       ? ""
                    : !str_eq(method, "PATCH") ? JSON_BODY
                    : body[0] == '['            ? "Content-Type: application/json-patch+json\r\n"
                                                : "Content-Type: application/merge-patch+json\r\n";
    return ask_full(w, method, target, h, body, NULL);
}
#define CHECK_ASK(w, method, target, body, want)                                                                       \
    do {                                                                                                               \
        char *said_ = ask(w, method, target, body);                                                                    \
        CHECK_STR(said_, want);                                                                                        \
        free(said_);                                                                                                   \
    } while (0)
#define CHECK_ASK_H(w, method, target, headers, body, want)                                                            \
    do {                                                                                                               \
        char *said_ = ask_full(w, method, target, headers, body, NULL);                                                \
        CHECK_STR(said_, want);                                                                                        \
        free(said_);                                                                                                   \
    } while (0)
/* The object of a GET. Caller owns. */
static inline UNUSED json_t *fetch(World *w, const char *target)
{
    json_t *j = NULL;
    free(ask_full(w, "GET", target, "", NULL, &j));
    return j;
}
/* A value by its path, "spec.containers.0.image", as compact JSON. Caller frees. */
static inline UNUSED char *value_at(const json_t *o, const char *path)
{
    while (*path && o) {
        char key[128];
        size_t n = strcspn(path, "/");
        memcpy(key, path, n);
        key[n] = '\0';
        o = json_is_array(o) ? json_array_get(o, strtoul(key, NULL, 10)) : json_object_get(o, key);
        path += n + (path[n] == '/');
    }
    return o ? json_dumps(o, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : mem_dup_str("none");
}
#define CHECK_AT(w, target, path, want)                                                                                \
    do {                                                                                                               \
        json_t *at_ = fetch(w, target);                                                                                \
        char *value_ = value_at(at_, path);                                                                            \
        CHECK_STR(value_, want);                                                                                       \
        free(value_);                                                                                                  \
        json_decref(at_);                                                                                              \
    } while (0)

/* "ADDED Pod default/web"; "end" when it is over. Caller frees. */
static inline UNUSED char *next_event(World *w, Client *c, json_t **ret)
{
    char *line = client_line(w, c);
    if (ret)
        *ret = NULL;
    if (!line)
        return mem_dup_str(c->eof ? "end" : "nothing came");
    json_t *j = json_loads(line, 0, NULL);
    Str s = {0};
    str_fmt(&s, "%s ", str_or(json_str(j, "type"), "?"));
    say_object(&s, json_object_get(j, "object"));
    free(line);
    if (ret)
        *ret = j;
    else
        json_decref(j);
    return str_take(&s);
}
#define CHECK_EVENT(w, c, want)                                                                                        \
    do {                                                                                                               \
        char *said_ = next_event(w, c, NULL);                                                                          \
        CHECK_STR(said_, want);                                                                                        \
        free(said_);                                                                                                   \
    } while (0)
static inline UNUSED Client watch(World *w, const char *target)
{
    return client_open(w, "GET", target, "", NULL, 0);
}

#define PODS "/api/v1/namespaces/default/pods"
#define MAPS "/api/v1/namespaces/default/configmaps"
#define POD(name) "{\"metadata\":{\"name\":\"" name "\",\"labels\":{\"app\":\"" name "\"}},\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"busybox\"}]}}"
#define MAP(name) "{\"metadata\":{\"name\":\"" name "\"},\"data\":{\"k\":\"v\"}}"

/* As the node's agent: a Pod gets its node and its status. */
static inline UNUSED void bind_pod(World *w, const char *name, const char *phase)
{
    const ObjItem *i = objstore_get(w->store, "pods", "default", name);
    SCOPED(json_unref) json_t *j = objitem_json(i);
    json_object_set_new(json_object_get(j, "spec"), "nodeName", json_string("node-1"));
    json_object_set_new(json_object_get(j, "status"), "phase", json_string(phase));
    CHECK_OK(objstore_update(w->store, "pods", j, NULL, NULL));
}

#endif
