/* api_server.c - the API alone, without an agent, over a real store: for tests and for kubectl by hand.
 *
 *   api_server [--dir DIR] [--socket PATH] [--port N [--kubeconfig FILE]] [--token-file FILE] [--node NAME]
 *              [--log-dir DIR] [--objects FILE] [--pod UID=CONTAINER,...] [--embedded ROOT,RUN-DIR]
 *
 * A store in DIR (a temporary one, removed at the end, by default), a unix socket, and TLS on 127.0.0.1:N (0 = any) with certificates
 * made on the spot: FILE is a kubeconfig of an admin. --objects is a file of Pods, one a line, as they are stored, and read anew at
 * SIGHUP; --pod lets the fake runtime run containers for one (what is written to them comes back), --embedded takes the Pods that an
 * agent runs in these folders. Says "ready PORT" on stdout when it listens; ends with SIGTERM or SIGINT. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "apiserver/apiserver.h"
#include "os/fs.h"
#include "runtime/fake/fake.h"
#include "runtime/oci/oci.h"
#include "wire/json.h"
#include "unit/pki.h"

typedef struct {
    uv_loop_t loop;
    uv_signal_t signals[3];
    ApiServer *s;
    ObjStore *store;
    const char *objects;
    bool stopped;
} Program;

static void on_stopped(void *arg)
{
    Program *p = arg;
    p->stopped = true;
    uv_stop(&p->loop);
}

static void must(Err *e)
{
    if (!e)
        return;
    char *text = err_text(e);
    fprintf(stderr, "api_server: %s\n", text);
    free(text);
    exit(1);
}

static void objects_read(Program *p)
{
    Str text = {0};
    if (!p->objects)
        return;
    must(fs_read(p->objects, 16 << 20, &text));
    char *save = NULL;
    for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *o = NULL;
        must(json_parse(line, strlen(line), &o));
        Err *e = objstore_create(p->store, "pods", o, &(ObjWrite){0}, NULL);
        if (e) {
            err_free(e);
            must(objstore_update(p->store, "pods", o, &(ObjWrite){0}, NULL));
        }
        json_decref(o);
    }
    str_done(&text);
}

static void nothing(void *arg, const char *id, Err *err)
{
    (void)arg;
    (void)id;
    must(err);
}

static void started(void *arg, Err *err)
{
    (void)arg;
    must(err);
}

/* "UID=a,b": runs them. */
static void fake_pod(Runtime *rt, uv_loop_t *loop, char *what)
{
    char *names = strchr(what, '='), *save = NULL;
    if (!names)
        exit(2);
    *names++ = '\0';
    SandboxConfig sandbox = {.name = what, .namespace_ = "default", .uid = what, .hostname = "", .log_directory = ""};
    PodFacts facts;
    must(rt->ops->sandbox_run(rt, &sandbox, nothing, NULL));
    (void)uv_run(loop, UV_RUN_NOWAIT);
    rt->ops->pod_facts(rt, what, &facts);
    for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        ContainerConfig c = {.name = name, .image = "image", .image_id = "id", .log_path = ""};
        must(rt->ops->container_create(rt, what, facts.sandboxes.v[0].id, &c, nothing, NULL));
    }
    pod_facts_done(&facts);
    rt->ops->pod_facts(rt, what, &facts);
    for (size_t i = 0; i < facts.containers.n; i++)
        must(rt->ops->container_start(rt, what, facts.containers.v[i].id, started, NULL));
    pod_facts_done(&facts);
}

static Runtime *embedded(uv_loop_t *loop, char *what)
{
    char *run = strchr(what, ',');
    if (!run)
        exit(2);
    *run++ = '\0';
    Runtime *rt = NULL;
    SCOPED(mem_free) char *cache = mem_fmt("%s/cni", what);
    OciRuntimeConfig c = {.loop = loop, .root = what, .run_dir = run, .log_dir = "/var/log/pods", 
                          .cni = {.conf_dir = "/etc/cni/net.d", .bin_dirs = "/opt/cni/bin", .cache_dir = cache}};
    must(oci_runtime_open(&c, &rt));
    return rt;
}

static void on_signal(uv_signal_t *h, int n)
{
    Program *p = h->data;
    if (n == SIGHUP) {
        objects_read(p);
        return;
    }
    apiserver_stop(p->s, 500, on_stopped, p);
}

static char *base64(const char *text)
{
    gnutls_datum_t in = {(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)}, out;
    if (gnutls_base64_encode2(&in, &out) < 0)
        exit(1);
    char *s = mem_dup_strn((const char *)out.data, out.size);
    gnutls_free(out.data);
    return s;
}

static void write_kubeconfig(const char *path, unsigned port, const Pair *ca, const Pair *admin)
{
    SCOPED(mem_free) char *a = base64(ca->cert);
    SCOPED(mem_free) char *b = base64(admin->cert);
    SCOPED(mem_free) char *c = base64(admin->key);
    SCOPED(mem_free) char *text = mem_fmt(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
        "clusters: [{name: test, cluster: {server: \"https://127.0.0.1:%u\", tls-server-name: localhost, certificate-authority-data: %s}}]\n"
        "users: [{name: test, user: {client-certificate-data: %s, client-key-data: %s}}]\n"
        "contexts: [{name: test, context: {cluster: test, user: test}}]\n", port, a, b, c);
    must(fs_write_atomic(path, text, strlen(text), 0600, false));
}

static void on_request(void *arg, const HttpLog *l, const char *verb, const char *resource)
{
    (void)arg;
    fprintf(stderr, "%s %s%s%s %d %s %s %s %lldus\n", l->method, l->path, *l->query ? "?" : "", l->query, l->status, l->user, verb,
            resource, (long long)l->took_ns / 1000);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},        {"socket", required_argument, NULL, 's'}, {"port", required_argument, NULL, 'p'},
        {"kubeconfig", required_argument, NULL, 'k'}, {"token-file", required_argument, NULL, 't'},
        {"node", required_argument, NULL, 'n'},       {"verbose", no_argument, NULL, 'v'},
        {"log-dir", required_argument, NULL, 'l'},    {"objects", required_argument, NULL, 'o'}, {"pod", required_argument, NULL, 'P'},
        {"embedded", required_argument, NULL, 'e'},   {NULL, 0, NULL, 0},
    };
    char temporary[] = "/tmp/reprise-api-XXXXXX";
    const char *dir = NULL, *socket = NULL, *kubeconfig = NULL;
    char *pod = NULL, *folders = NULL;
    int port = -1, c;
    Program p = {0};
    ApiServerConfig config = {.loop = &p.loop, .node_name = "node-1", .log_dir = "/var/log/pods"};
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (c) {
        case 'd':
            dir = optarg;
            break;
        case 's':
            socket = optarg;
            break;
        case 'p':
            port = atoi(optarg);
            break;
        case 'k':
            kubeconfig = optarg;
            break;
        case 't':
            config.token_auth_file = optarg;
            break;
        case 'n':
            config.node_name = optarg;
            break;
        case 'l':
            config.log_dir = optarg;
            break;
        case 'o':
            p.objects = optarg;
            break;
        case 'P':
            pod = optarg;
            break;
        case 'e':
            folders = optarg;
            break;
        case 'v':
            config.node.on_request = on_request;
            break;
        default:
            return 2;
        }
    signal(SIGPIPE, SIG_IGN);
    if (!dir && !mkdtemp(temporary))
        return 1;
    SCOPED(mem_free) char *path = mem_fmt("%s/api.db", dir ? dir : temporary);
    char *note = NULL;
    must(objstore_open(path, NULL, &config.store, &note));
    if (note)
        fprintf(stderr, "api_server: %s\n", note);
    free(note);
    features_default(&config.gates);
    uv_loop_init(&p.loop);
    p.store = config.store;
    objects_read(&p);
    config.rt = folders ? embedded(&p.loop, folders) : fake_runtime_new(&p.loop);
    if (pod)
        fake_pod(config.rt, &p.loop, pod);
    Pair ca = named("test CA", NULL, NULL);
    Pair server = named("localhost", NULL, &ca);
    Pair admin = named("admin", (const char *const[]){"reprise:admin", NULL}, &ca);
    HttpTls tls = {.cert = server.cert, .key = server.key, .client_ca = ca.cert};
    HttpListen listen[2];
    if (socket)
        listen[config.n_listen++] = (HttpListen){.path = socket, .mode = 0600};
    if (port >= 0)
        listen[config.n_listen++] = (HttpListen){.address = "127.0.0.1", .port = (unsigned)port, .tls = &tls};
    config.listen = listen;
    must(apiserver_new(&config, &p.s));
    unsigned bound = port >= 0 ? apiserver_port(p.s, config.n_listen - 1) : 0;
    if (kubeconfig)
        write_kubeconfig(kubeconfig, bound, &ca, &admin);
    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&p.loop, &p.signals[i]);
        p.signals[i].data = &p;
        uv_signal_start(&p.signals[i], on_signal, i == 0 ? SIGTERM : i == 1 ? SIGINT : SIGHUP);
    }
    printf("ready %u\n", bound);
    fflush(stdout);
    uv_run(&p.loop, UV_RUN_DEFAULT);
    apiserver_free(p.s);
    config.rt->ops->close(config.rt);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&p.signals[i], NULL);
    uv_run(&p.loop, UV_RUN_DEFAULT);
    uv_loop_close(&p.loop);
    objstore_close(config.store);
    if (!dir)
        must(fs_remove_tree(temporary));
    pair_done(&ca);
    pair_done(&server);
    pair_done(&admin);
    return 0;
}
