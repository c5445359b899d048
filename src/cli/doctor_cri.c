/* doctor_cri.c - a CRI runtime, asked from the outside in: the socket's file, somebody behind it, the API's version, readiness, and then
 * what it can do. Each answer that is known to come from a cause that can be put right says how. */
#include "cli/doctor_cri.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cri_call.h"
#include "grpc/status.h"
#include "os/fs.h"
#include "os/spawn.h"
#include "os/unixsock.h"
#include "runtime/cri/cri.pb-c.h"
#include "wire/json.h"
#include "wire/pbjson.h"

#define ASK_NS (10 * NS_PER_S)      /* every question here is one that a healthy runtime answers in milliseconds */
#define STREAM_NS (300 * NS_PER_MS) /* a stream that is refused is refused at once; one still open after this is there */

/* By a word in the socket's path; the last row is for all others. */
static const struct {
    const char *mark, *program, *unit, *install, *path;
} known_runtimes[] = {
    {"crio", "crio", "crio", "install CRI-O from its own repository (cri-o.io)", "/run/crio/crio.sock"},
    {"cri-dockerd", "cri-dockerd", "cri-docker.socket", "install cri-dockerd", "/run/cri-dockerd.sock"},
    {"k3s", "k3s", "k3s", "install k3s", "/run/k3s/containerd/containerd.sock"},
    {"", "containerd", "containerd", "apt-get install containerd", "/run/containerd/containerd.sock"},
};

typedef struct {
    CriFindings *found;
    const char *endpoint, *path;
    const char *unit, *program, *install; /* of the runtime that the path speaks of */
    CriPeer *peer;
    char *name; /* "containerd 1.6.20", once known */
    json_t *config; /* containerd's, of its verbose status; NULL = it does not say */
    char *pause; /* sandbox image, NULL = not known */
} Cri;

void cri_findings_done(CriFindings *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->v[i].meaning);
        free(f->v[i].fix);
    }
    free(f->v);
    *f = (CriFindings){0};
}

/* Takes <fix>, which may be NULL. */
static void PRINTF_LIKE(5, 6) find(Cri *c, Level level, const char *what, char *fix, const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    c->found->v = mem_grow(c->found->v, c->found->n + 1, sizeof *c->found->v);
    c->found->v[c->found->n++] = (CriFinding){level, what, str_take(&s), fix};
}

/* --- the socket -------------------------------------------------------------------------------------------------- */

static bool is_socket(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void socket_missing(Cri *c)
{
    SCOPED(mem_free) char *program = NULL;
    SCOPED(err_free) Err *none = spawn_find(c->program, &program);
    const char *other = NULL;
    for (size_t i = 0; i < ARRAY_LEN(known_runtimes) && !other; i++)
        if (!str_eq(known_runtimes[i].path, c->path) && is_socket(known_runtimes[i].path))
            other = known_runtimes[i].path;
    Str fix = {0};
    if (other)
        str_fmt(&fix, "there is one at %s: --container-runtime-endpoint=unix://%s; or ", other, other);
    str_fmt(&fix, "%s%ssystemctl start %s", none ? c->install : "", none ? ", then " : "", c->unit);
    find(c, LEVEL_MISSING, "socket", str_take(&fix), "%s is not there: %s is %s", c->path, c->program,
         none ? "not installed" : "installed, but does not run");
}

static void socket_forbidden(Cri *c, const struct stat *st)
{
    const struct passwd *user = st ? getpwuid(st->st_uid) : NULL;
    const struct group *group = st ? getgrgid(st->st_gid) : NULL;
    find(c, LEVEL_MISSING, "socket", mem_dup_str("run reprise with sudo"), "%s: no permission for uid %u (it is %s:%s's, mode %04o)", c->path,
         (unsigned)geteuid(), user ? user->pw_name : "?", group ? group->gr_name : "?", st ? st->st_mode & 07777u : 0u);
}

/* Whether somebody listens there. */
static bool check_socket(Cri *c)
{
    struct stat st;
    c->path = cri_endpoint_path(c->endpoint);
    if (!c->path) {
        find(c, LEVEL_MISSING, "socket", mem_dup_str("name it as unix:///run/containerd/containerd.sock"),
             "%s is no address of a unix socket, and there is no other kind of CRI here", c->endpoint);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(known_runtimes) && !c->program; i++) {
        if (!strstr(c->path, known_runtimes[i].mark))
            continue;
        c->program = known_runtimes[i].program;
        c->unit = known_runtimes[i].unit;
        c->install = known_runtimes[i].install;
    }
    if (stat(c->path, &st) < 0) {
        int why = errno;
        if (why == ENOENT || why == ENOTDIR)
            socket_missing(c);
        else if (why == EACCES)
            find(c, LEVEL_MISSING, "socket", mem_dup_str("run reprise with sudo"), "%s: no permission for uid %u to look there", c->path,
                 (unsigned)geteuid());
        else
            find(c, LEVEL_MISSING, "socket", NULL, "%s: %s", c->path, strerror(why));
        return false;
    }
    if (!S_ISSOCK(st.st_mode)) {
        find(c, LEVEL_MISSING, "socket", mem_dup_str("name the runtime's socket with --container-runtime-endpoint"), "%s is %s, no socket", c->path,
             S_ISDIR(st.st_mode) ? "a directory" : S_ISREG(st.st_mode) ? "a file" : "something else");
        return false;
    }
    SCOPED(fd_close) int fd = -EBADF;
    SCOPED(err_free) Err *e = unix_connect(c->path, &fd);
    if (!e) {
        find(c, LEVEL_OK, "socket", NULL, "%s", c->path);
        return true;
    }
    SCOPED(mem_free) char *text = err_text(e);
    if (err_errno(e) == EACCES || err_errno(e) == EPERM)
        socket_forbidden(c, &st);
    else if (err_errno(e) == ECONNREFUSED || e->kind == ERR_UNAVAILABLE)
        find(c, LEVEL_MISSING, "socket", mem_fmt("systemctl restart %s; journalctl -u %s says why it ended", c->unit, c->unit),
             "%s: nobody listens there; it was left by a %s that has ended", c->path, c->program);
    else
        find(c, LEVEL_MISSING, "socket", NULL, "%s", text);
    return false;
}

/* --- the API ----------------------------------------------------------------------------------------------------- */

/* UNIMPLEMENTED of v1: an old runtime, or one whose CRI is off. The old API has the same messages for this. */
static void no_v1(Cri *c)
{
    SCOPED(cri_peer_answer_done) CriPeerAnswer old = {0};
    cri_peer_call(c->peer, &(CriPeerCall){.path = "/runtime.v1alpha2.RuntimeService/Version", .timeout_ns = ASK_NS}, &old);
    if (old.code != GRPC_OK) {
        find(c, LEVEL_MISSING, "version",
             mem_dup_str("take cri out of disabled_plugins in /etc/containerd/config.toml (Docker's package puts it there), then systemctl "
                         "restart containerd; if it is not there, ctr plugins ls and journalctl -u containerd say why CRI did not start"),
             "somebody answers, without CRI (unknown service runtime.v1.RuntimeService): containerd's CRI plugin is off");
        return;
    }
    SCOPED(pbjson_free) ProtobufCMessage *m = protobuf_c_message_unpack(cri_methods[CRI_VERSION].response, NULL, old.bytes.n,
                                                                        (const uint8_t *)str_or(old.bytes.p, ""));
    const Cri__VersionResponse *v = (const Cri__VersionResponse *)m;
    find(c, LEVEL_MISSING, "version", mem_dup_str("install a newer runtime: containerd 1.6 or CRI-O 1.20 have v1"),
         "%s %s speaks only CRI v1alpha2, which Kubernetes 1.26 took away", v ? v->runtime_name : "the runtime", v ? v->runtime_version : "");
}

static bool check_version(Cri *c)
{
    SCOPED(cri_peer_answer_done) CriPeerAnswer a = {0};
    const CriMethodInfo *m = &cri_methods[CRI_VERSION];
    cri_peer_call(c->peer, &(CriPeerCall){.path = m->path, .timeout_ns = ASK_NS}, &a);
    if (a.code == GRPC_UNIMPLEMENTED) {
        no_v1(c);
        return false;
    }
    SCOPED(pbjson_free) ProtobufCMessage *answer =
        a.code ? NULL : protobuf_c_message_unpack(m->response, NULL, a.bytes.n, (const uint8_t *)str_or(a.bytes.p, ""));
    if (!answer) {
        SCOPED(err_free) Err *e = grpc_status_err(a.code, a.message);
        SCOPED(mem_free) char *text = e ? err_text(e) : mem_dup_str("what it answers is no VersionResponse");
        find(c, LEVEL_MISSING, "version",
             mem_fmt("see that this is the socket of a CRI runtime (Docker's own is none); else journalctl -u %s", c->unit),
             a.code == GRPC_DEADLINE_EXCEEDED ? "it takes connections, but does not answer within 10 s: %s" : "the first call failed: %s", text);
        return false;
    }
    const Cri__VersionResponse *v = (const Cri__VersionResponse *)answer;
    c->name = mem_fmt("%s %s", v->runtime_name, v->runtime_version);
    find(c, LEVEL_OK, "version", NULL, "%s, CRI %s", c->name, v->runtime_api_version);
    return true;
}

/* --- ready? ------------------------------------------------------------------------------------------------------ */

/* containerd's verbose status has its configuration as JSON, CRI-O's as TOML, of which one line is of use. */
static void read_info(Cri *c, const Cri__StatusResponse *s)
{
    for (size_t i = 0; i < s->n_info; i++) {
        const char *text = s->info[i]->value;
        if (!str_eq(s->info[i]->key, "config"))
            continue;
        SCOPED(err_free) Err *e = json_parse(text, strlen(text), &c->config);
        const char *line = e ? strstr(text, "pause_image = \\\"") : NULL;
        line = line || !e ? line : strstr(text, "pause_image = \"");
        if (line) {
            line += strcspn(line, "\"") + 1;
            c->pause = mem_dup_strn(line, strcspn(line, "\\\""));
        } else if (!e) {
            mem_set_str(&c->pause, json_str(c->config, "sandboxImage"));
        }
    }
}

static void check_condition(Cri *c, const Cri__RuntimeCondition *k)
{
    const bool network = str_eq(k->type, "NetworkReady"), runtime = str_eq(k->type, "RuntimeReady");
    const char *what = network ? "network" : runtime ? "runtime" : "condition";
    if (k->status) {
        if (network || runtime)
            find(c, LEVEL_OK, what, NULL, "ready");
        return;
    }
    SCOPED(str_done) Str why = {0};
    str_fmt(&why, "%s%s%s", k->reason, *k->reason && *k->message ? ": " : "", k->message);
    if (!network) {
        find(c, runtime ? LEVEL_MISSING : LEVEL_WARNING, what, mem_fmt("journalctl -u %s says more", c->unit), "%s is false: %s", k->type,
             str_or(why.p, ""));
        return;
    }
    const json_t *cni = json_object_get(c->config, "cni");
    const char *conf = json_str(cni, "confDir"), *bin = json_str(cni, "binDir");
    if (str_empty(bin)) /* containerd 2.1: a list */
        bin = json_string_value(json_array_get(json_object_get(cni, "binDirs"), 0));
    find(c, LEVEL_MISSING, what,
         mem_fmt("put a network configuration into %s, and its plugins into %s (apt-get install containernetworking-plugins puts them into "
                 "/usr/lib/cni); or hostNetwork: true in the Pod",
                 str_or(conf, "/etc/cni/net.d"), str_or(bin, "/opt/cni/bin")),
         "Pods get no network: %s", str_or(why.p, "NetworkReady is false"));
}

static void check_status(Cri *c)
{
    Cri__StatusRequest request;
    SCOPED(pbjson_free) ProtobufCMessage *m = NULL;
    cri__status_request__init(&request);
    request.verbose = true;
    SCOPED(err_free) Err *e = cri_peer_ask(c->peer, &cri_methods[CRI_STATUS], &request.base, ASK_NS, &m);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        find(c, LEVEL_MISSING, "runtime", mem_fmt("journalctl -u %s says more", c->unit), "%s", text);
        return;
    }
    const Cri__StatusResponse *s = (const Cri__StatusResponse *)m;
    read_info(c, s);
    size_t before = c->found->n;
    for (size_t i = 0; s->status && i < s->status->n_conditions; i++)
        check_condition(c, s->status->conditions[i]);
    if (c->found->n == before)
        find(c, LEVEL_MISSING, "runtime", NULL, "its status names neither RuntimeReady nor NetworkReady, which the kubelet refuses");
}

/* --- what it can do ---------------------------------------------------------------------------------------------- */

static void check_cgroup_driver(Cri *c)
{
    SCOPED(pbjson_free) ProtobufCMessage *m = NULL;
    SCOPED(err_free) Err *e = cri_peer_ask(c->peer, &cri_methods[CRI_RUNTIME_CONFIG], NULL, ASK_NS, &m);
    const Cri__RuntimeConfigResponse *r = (const Cri__RuntimeConfigResponse *)m;
    const char *from = "";
    bool systemd;
    if (r && r->linux_) {
        systemd = r->linux_->cgroup_driver == CRI__CGROUP_DRIVER__SYSTEMD;
    } else {
        const json_t *all = json_object_get(c->config, "containerd"), *handler = NULL;
        const char *name = json_str(all, "defaultRuntimeName");
        if (name)
            handler = json_object_get(json_object_get(all, "runtimes"), name);
        if (!handler) {
            find(c, LEVEL_OK, "cgroup driver", NULL, "not said: %s has no RuntimeConfig (containerd 2.0 and CRI-O 1.28 have it)", c->name);
            return;
        }
        systemd = json_flag(json_object_get(handler, "options"), "SystemdCgroup", false);
        from = ", by its configuration: it has no RuntimeConfig (containerd 2.0 has)";
    }
    const bool wrong = systemd && !fs_exists("/run/systemd/system");
    find(c, wrong ? LEVEL_WARNING : LEVEL_OK, "cgroup driver",
         wrong ? mem_dup_str("SystemdCgroup = false in the runtime's configuration, or boot with systemd") : NULL, "%s%s%s",
         systemd ? "systemd" : "cgroupfs", wrong ? ", but systemd does not run here" : "", from);
}

static bool any_event(void *arg, const uint8_t *bytes, size_t n)
{
    (void)arg, (void)bytes, (void)n;
    return false;
}

/* Whether such a stream can be had; *ret_code is how it ended if not. One that ends at once without an error is a "no", too. */
static bool try_stream(Cri *c, const char *path, int *ret_code)
{
    SCOPED(cri_peer_answer_done) CriPeerAnswer a = {0};
    cri_peer_call(c->peer, &(CriPeerCall){.path = path, .enough_ns = STREAM_NS, .message = any_event}, &a);
    *ret_code = a.code;
    return a.enough;
}

static void check_events(Cri *c)
{
    int code, ignored;
    if (try_stream(c, cri_methods[CRI_GET_CONTAINER_EVENTS].path, &code)) {
        find(c, LEVEL_OK, "events", NULL, "GetContainerEvents: the end of a container is told at once");
        return;
    }
    if (try_stream(c, "/containerd.services.events.v1.Events/Subscribe", &ignored)) {
        find(c, LEVEL_OK, "events", NULL, "containerd's own stream, since %s has no GetContainerEvents (1.7 has): the end of a container is told at once",
             c->name);
        return;
    }
    char buf[24];
    find(c, LEVEL_WARNING, "events",
         mem_dup_str(strstr(c->name, "cri-o") ? "enable_pod_events = true in crio.conf"
                                              : "run a runtime that has them: containerd 1.7, CRI-O 1.27 (with enable_pod_events)"),
         "none (%s): the end of a container is found by listing, up to a second later",
         code == GRPC_OK ? "the stream ends at once" : grpc_code_name(code, buf));
}

/* --- images ------------------------------------------------------------------------------------------------------ */

static void check_pause(Cri *c, CriPeer *images, const char *endpoint)
{
    Cri__ImageStatusRequest request;
    Cri__ImageSpec spec;
    SCOPED(pbjson_free) ProtobufCMessage *m = NULL;
    if (str_empty(c->pause))
        return;
    cri__image_status_request__init(&request);
    cri__image_spec__init(&spec);
    spec.image = c->pause;
    request.image = &spec;
    SCOPED(err_free) Err *e = cri_peer_ask(images, &cri_methods[CRI_IMAGE_STATUS], &request.base, ASK_NS, &m);
    if (m && ((const Cri__ImageStatusResponse *)m)->image)
        find(c, LEVEL_OK, "sandbox image", NULL, "%s", c->pause);
    else if (!e)
        find(c, LEVEL_WARNING, "sandbox image",
             mem_fmt("pull it: reprise debug cri --image-service-endpoint=%s PullImage '{\"image\":{\"image\":\"%s\"}}'; or import it (ctr -n "
                     "k8s.io images import FILE); or set sandbox_image to an image that is there",
                     endpoint, c->pause),
             "%s is not there: the first Pod pulls it, and does not start when that fails", c->pause);
}

static void check_images(Cri *c, const char *endpoint)
{
    SCOPED(cri_peer_close) CriPeer *own = NULL;
    SCOPED(pbjson_free) ProtobufCMessage *m = NULL;
    SCOPED(err_free) Err *e = str_eq(endpoint, c->endpoint) ? NULL : cri_peer_open(endpoint, &own);
    CriPeer *images = own ? own : c->peer;
    e = e ? e : cri_peer_ask(images, &cri_methods[CRI_IMAGE_FS_INFO], NULL, ASK_NS, &m);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        find(c, LEVEL_MISSING, "images", mem_dup_str("name the socket of the image service with --image-service-endpoint, if it is another one"),
             "the image service at %s: %s", endpoint, text);
        return;
    }
    const Cri__ImageFsInfoResponse *r = (const Cri__ImageFsInfoResponse *)m;
    const bool said = r->n_image_filesystems && r->image_filesystems[0]->fs_id;
    find(c, LEVEL_OK, "images", NULL, "%s", said ? r->image_filesystems[0]->fs_id->mountpoint : "the image service answers");
    check_pause(c, images, endpoint);
}

void doctor_cri(const char *runtime_endpoint, const char *image_endpoint, CriFindings *ret)
{
    Cri c = {.found = ret, .endpoint = runtime_endpoint};
    if (!check_socket(&c))
        return;
    SCOPED(err_free) Err *e = cri_peer_open(runtime_endpoint, &c.peer);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        find(&c, LEVEL_MISSING, "version", NULL, "%s", text);
    } else if (check_version(&c)) {
        check_status(&c);
        check_cgroup_driver(&c);
        check_events(&c);
        check_images(&c, image_endpoint);
    }
    cri_peer_close(c.peer);
    json_decref(c.config);
    free(c.name);
    free(c.pause);
}
