/* cni.c - requests to attach and detach sandboxes, each a chain of plugin processes.
 *
 * A request waits in one list until no earlier one is about the same sandbox and few enough run. Then it goes through
 * stages:
 *
 *   ADD    CLEAR (an older attachment of the same id, if any) -> ADD plugin by plugin -> or, when one fails, UNDO ->
 * done CHECK  plugin by plugin -> done DEL    plugins from last to first -> SWEEP (NAT rules that no plugin removed:
 * cni_sweep.c) -> done
 *
 * CLEAR and UNDO are a DEL, with another end. Everything a stage needs to know is in the attachment, as it is on disk.
 */
#include "runtime/oci/cni_priv.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "loop/process.h"
#include "os/fs.h"

#define MAX_RUNNING        4u                 /* chains at once; most of their time is iptables waiting for its lock */
#define DEFAULT_TIMEOUT_NS (30 * NS_PER_S)    /* for a whole chain, and anew for its DEL */
#define MAX_RULES          ((size_t)16 << 20) /* bytes of `iptables -S`, on a host with very many rules */
#define PLUGINS_PACKAGE    "install the package containernetworking-plugins"

typedef enum { STAGE_QUEUED, STAGE_CLEAR, STAGE_ADD, STAGE_UNDO, STAGE_CHECK, STAGE_DEL } Stage;
typedef enum { OP_ADD, OP_CHECK, OP_DEL, OP_NOTHING } Op;

typedef struct {
    size_t left; /* requests that are not done */
    Err *err;    /* the first */
    CniDone *done;
    void *arg;
} Group;

typedef struct CniReq CniReq;
struct CniReq {
    CniReq *next;
    Cni *cni;
    Op op;
    Stage stage;
    char *id, *netns_path;
    char *netns; /* "<dev>:<inode>", "" = gone */
    bool gone;   /* the namespace of the attachment is gone: plugins get no path */
    char *args;
    json_t *runtime; /* ADD: of the request */
    bool want_ports, want_bandwidth;
    CniAttachment at; /* what the stage works with */
    json_t *prev;     /* ADD: result so far; else the cached result */
    size_t step;      /* plugins done in this stage */
    int64_t deadline_ns;
    Process *process;
    Err *err;        /* the first error; of ADD while it is undone */
    Err *del_err;    /* the first error of the running DEL chain */
    unsigned family; /* SWEEP: 0 = IPv4, 1 = IPv6, 2 = over */
    Group *group;    /* instead of done */
    CniDone *done;
    void *arg;
};

struct Cni {
    uv_loop_t *loop;
    char *conf_dir, *bin_dirs, *cache_dir, *search_path;
    void (*on_warning)(void *arg, const char *text);
    void *warning_arg;
    int64_t timeout_ns;
    StrVec warned;
    uv_timer_t kick; /* starts requests from the loop, never from the caller */
    CniReq *reqs;    /* oldest first */
    bool closing;
};

static void next_step(CniReq *r);

/* --- small things ------------------------------------------------------------------------------------------------- */

static void warn_once(Cni *c, const char *text)
{
    if (strvec_has(&c->warned, text))
        return;
    strvec_add(&c->warned, text);
    if (c->on_warning)
        c->on_warning(c->warning_arg, text);
}

/* "<dev>:<inode>" of a namespace file, "" if there is none. Caller frees. */
static char *netns_identity(const char *path)
{
    struct stat st;
    if (str_empty(path) || stat(path, &st))
        return mem_dup_str("");
    return mem_fmt("%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
}

static bool has_iptables(const Cni *c)
{
    SCOPED(mem_free) char *path = cni_find_program(c->search_path, "iptables");
    return path != NULL;
}

static bool has_plugin(const Cni *c, const char *type)
{
    SCOPED(mem_free) char *path = cni_find_program(c->bin_dirs, type);
    return path != NULL;
}

static Err *err_first(Err *first, Err *e)
{
    if (!first)
        return e;
    err_free(e);
    return first;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void req_free(CniReq *r)
{
    free(r->id);
    free(r->netns_path);
    free(r->netns);
    free(r->args);
    json_decref(r->runtime);
    json_decref(r->prev);
    cni_attachment_done(&r->at);
    err_free(r->err);
    err_free(r->del_err);
    free(r);
}

static void unlink_req(CniReq *r)
{
    for (CniReq **p = &r->cni->reqs; *p; p = &(*p)->next)
        if (*p == r) {
            *p = r->next;
            return;
        }
}

/* Ends the request: <ips> (may be NULL) and r->err go to its owner. Last thing that touches <r> and the Cni. */
static void finish(CniReq *r, const StrVec *ips)
{
    unlink_req(r);
    (void)uv_timer_start(&r->cni->kick, r->cni->kick.timer_cb, 0, 0);
    Err *e = MOVE(r->err, NULL);
    CniDone *done = r->done;
    void *arg = r->arg;
    Group *g = r->group;
    req_free(r);
    if (g) {
        g->err = err_first(g->err, e);
        if (--g->left)
            return;
        done = g->done, arg = g->arg, e = g->err;
        free(g);
    }
    done(arg, e || !ips ? NULL : ips->v, e || !ips ? 0 : ips->n, e);
}

static void fail(CniReq *r, Err *e)
{
    r->err = err_first(r->err, e);
    finish(r, NULL);
}

static void finish_with_result(CniReq *r, const json_t *result)
{
    SCOPED(strvec_done) StrVec ips = {0};
    Err *e = cni_result_ips(result, &ips);
    if (!e && !ips.n)
        e = err_new(ERR_INVALID, 0, "network %s gave the Pod no address", cni_conf_name(r->at.net));
    if (e)
        fail(r, e);
    else
        finish(r, &ips);
}

static void begin(CniReq *r, Stage stage)
{
    r->stage = stage;
    r->step = 0;
    r->family = 0;
    r->deadline_ns = os_monotonic_ns() + r->cni->timeout_ns;
    json_decref(r->prev);
    r->prev = NULL;
    if (stage != STAGE_ADD && cni_conf_since(r->at.net, "0.4.0"))
        r->prev = json_incref(r->at.result);
    next_step(r);
}

/* --- one plugin --------------------------------------------------------------------------------------------------- */

static const char *const stage_command[] = {[STAGE_QUEUED] = "",  [STAGE_CLEAR] = "DEL",   [STAGE_ADD] = "ADD",
                                            [STAGE_UNDO] = "DEL", [STAGE_CHECK] = "CHECK", [STAGE_DEL] = "DEL"};

static bool is_del(const CniReq *r)
{
    return str_eq(stage_command[r->stage], "DEL");
}

/* Index in the conflist of the plugin that is due. */
static size_t plugin_of(const CniReq *r)
{
    return is_del(r) ? cni_conf_n(r->at.net) - 1 - r->step : r->step;
}

extern char **environ;

static StrVec plugin_env(const CniReq *r)
{
    StrVec env = {0};
    for (char **e = environ; *e; e++)
        if (!str_starts(*e, "CNI_") && !str_starts(*e, "PATH="))
            strvec_add(&env, *e);
    strvec_fmt(&env, "PATH=%s", r->cni->search_path);
    strvec_fmt(&env, "CNI_COMMAND=%s", stage_command[r->stage]);
    strvec_fmt(&env, "CNI_CONTAINERID=%s", r->id);
    strvec_fmt(&env, "CNI_NETNS=%s", r->gone ? "" : r->netns_path);
    strvec_fmt(&env, "CNI_IFNAME=%s", CNI_IFNAME);
    strvec_fmt(&env, "CNI_ARGS=%s", r->at.args);
    strvec_fmt(&env, "CNI_PATH=%s", r->cni->bin_dirs);
    return env;
}

static int64_t time_left(const CniReq *r)
{
    int64_t left = r->deadline_ns - os_monotonic_ns();
    return left > NS_PER_MS ? left : NS_PER_MS;
}

static bool has_ipv6(const CniReq *r)
{
    SCOPED(strvec_done) StrVec ips = {0};
    err_free(cni_result_ips(r->at.result, &ips));
    bool found = false;
    for (size_t i = 0; i < ips.n; i++)
        found = found || strchr(ips.v[i], ':');
    return found;
}

/* Takes the plugin's output for ADD as the result so far. */
static Err *take_result(CniReq *r, const ProcessResult *res)
{
    SCOPED(strvec_done) StrVec ips = {0};
    SCOPED(json_unref) json_t *result = NULL;
    if (res->out.n >= CNI_MAX_OUTPUT)
        return err_new(ERR_LIMIT, 0, "result: more than %zu bytes", CNI_MAX_OUTPUT);
    Err *e = cni_parse_result(str_or(res->out.p, ""), res->out.n, &ips);
    if (!e)
        e = json_parse(res->out.p, res->out.n, &result);
    if (e)
        return e;
    json_decref(r->prev);
    r->prev = MOVE(result, NULL);
    return NULL;
}

/* portmap of the plugins 1.1.1 (Debian 12) looks for its IPv6 chain whenever ip6tables works, and so finds fault with
 * every Pod that has IPv4 only. */
static bool portmap_defect(const CniReq *r, const ProcessResult *res)
{
    static const char text[] = "could not check ipv6 dnat";
    return r->stage == STAGE_CHECK && !has_ipv6(r) && str_eq(cni_conf_type(r->at.net, plugin_of(r)), "portmap") &&
           res->out.n && memmem(res->out.p, res->out.n, text, sizeof text - 1);
}

static Err *plugin_outcome(CniReq *r, const ProcessResult *res)
{
    if (res->timed_out)
        return err_new(ERR_TIMEOUT, 0, "killed: no answer within %lld ms", (long long)(r->cni->timeout_ns / NS_PER_MS));
    if (!res->exited)
        return err_new(ERR_UNAVAILABLE, 0, "killed by signal %d", res->code);
    if (res->code && portmap_defect(r, res))
        return NULL;
    if (res->code)
        return cni_result_failure(str_or(res->out.p, ""), res->out.n, str_or(res->err.p, ""), res->err.n, res->code);
    return r->stage == STAGE_ADD ? take_result(r, res) : NULL;
}

/* What follows from a plugin's outcome: DEL goes on and tells at the end, the others stop at the first error. */
static void plugin_ended(CniReq *r, Err *e)
{
    if (e)
        e = err_wrap(e, "plugin %s of network %s: %s", cni_conf_type(r->at.net, plugin_of(r)), cni_conf_name(r->at.net),
                     stage_command[r->stage]);
    if (is_del(r)) {
        r->del_err = e ? err_first(r->del_err, e) : r->del_err;
    } else if (e) {
        r->err = e;
        if (r->stage == STAGE_ADD)
            begin(r, STAGE_UNDO);
        else
            finish(r, NULL);
        return;
    }
    r->step++;
    next_step(r);
}

static void on_plugin_exit(void *arg, ProcessResult *res)
{
    CniReq *r = arg;
    r->process = NULL;
    plugin_ended(r, plugin_outcome(r, res));
}

static void run_plugin(CniReq *r)
{
    size_t i = plugin_of(r);
    const char *type = cni_conf_type(r->at.net, i);
    SCOPED(mem_free) char *path = cni_find_program(r->cni->bin_dirs, type);
    if (!path) {
        plugin_ended(r, err_new(ERR_NOT_FOUND, 0, "not found in %s: " PLUGINS_PACKAGE, r->cni->bin_dirs));
        return;
    }
    SCOPED(json_unref) json_t *conf = cni_conf_exec(r->at.net, i, r->at.runtime, r->prev);
    SCOPED(mem_free) char *input = json_text(conf, false);
    SCOPED(strvec_done) StrVec env = plugin_env(r);
    const char *const argv[] = {path, NULL};
    ProcessSpec spec = {.argv = argv,
                        .envp = (const char *const *)env.v,
                        .input = input,
                        .n_input = strlen(input),
                        .max_output = CNI_MAX_OUTPUT,
                        .timeout_ns = time_left(r)};
    Err *e = process_start(r->cni->loop, &spec, on_plugin_exit, r, &r->process);
    if (e)
        plugin_ended(r, e);
}

/* --- SWEEP -------------------------------------------------------------------------------------------------------- */

static const char *const list_tool[] = {"iptables", "ip6tables"}, *const load_tool[] = {"iptables-restore",
                                                                                        "ip6tables-restore"};

static void on_sweep_loaded(void *arg, ProcessResult *res)
{
    CniReq *r = arg;
    r->process = NULL;
    if (!res->exited || res->code)
        r->del_err =
            err_first(r->del_err, err_wrap(cni_result_failure("", 0, str_or(res->err.p, ""), res->err.n, res->code),
                                           "remove NAT rules of sandbox %s: %s", r->id, load_tool[r->family]));
    r->family++;
    next_step(r);
}

/* A host without the tool, or without NAT in its kernel, has no rules to remove. */
static void sweep_next_family(CniReq *r)
{
    r->family++;
    next_step(r);
}

static bool run_tool(CniReq *r, const char *const *argv, const char *input, ProcessDone *done)
{
    SCOPED(strvec_done) StrVec env = plugin_env(r);
    SCOPED(mem_free) char *path = cni_find_program(r->cni->search_path, argv[0]);
    const char *full[8] = {path};
    for (size_t i = 1; argv[i] && i < ARRAY_LEN(full) - 1; i++)
        full[i] = argv[i];
    ProcessSpec spec = {.argv = full,
                        .envp = (const char *const *)env.v,
                        .input = input,
                        .n_input = input ? strlen(input) : 0,
                        .max_output = MAX_RULES,
                        .timeout_ns = time_left(r)};
    Err *e = path ? process_start(r->cni->loop, &spec, done, r, &r->process) : NULL;
    bool started = path && !e;
    err_free(e);
    return started;
}

static void on_sweep_listed(void *arg, ProcessResult *res)
{
    CniReq *r = arg;
    r->process = NULL;
    SCOPED(str_done) Str script = {0};
    const char *const argv[] = {load_tool[r->family], "--wait", "5", "--noflush", NULL};
    bool some = res->exited && !res->code && cni_sweep_script(str_or(res->out.p, ""), res->out.n, r->id, &script);
    if (!some || !run_tool(r, argv, script.p, on_sweep_loaded))
        sweep_next_family(r);
}

static void run_sweep(CniReq *r)
{
    const char *const argv[] = {list_tool[r->family], "--wait", "5", "-t", "nat", "-S", NULL};
    if (!run_tool(r, argv, NULL, on_sweep_listed))
        sweep_next_family(r);
}

/* Rules of a family can be there only if the Pod had, or while ADD was cut short may have got, an address of it. */
static bool sweep_due(const CniReq *r)
{
    return r->family == 0 || (r->family == 1 && (!r->at.result || has_ipv6(r)));
}

/* --- stages ------------------------------------------------------------------------------------------------------- */

static Err *with_want(const CniReq *r, json_t **ret)
{
    Cni *c = r->cni;
    bool iptables = has_iptables(c);
    if (!iptables && r->want_ports)
        return err_new(ERR_UNSUPPORTED, 0,
                       "hostPort needs iptables, which is not installed: install the package iptables");
    if (!iptables)
        warn_once(c,
                  "iptables is not installed: Pods reach this machine and each other, but nothing beyond (no address "
                  "translation); install the package iptables");
    CniDefaultWant want = {.masquerade = iptables,
                           .firewall = iptables && has_plugin(c, "firewall"),
                           .ports = r->want_ports,
                           .bandwidth = r->want_bandwidth};
    return cni_default_network(c->cache_dir, want, ret);
}

static Err *network_for(const CniReq *r, json_t **ret)
{
    SCOPED(json_unref) json_t *net = NULL;
    Err *e = cni_conf_load(r->cni->conf_dir, &net);
    if (!e && !net)
        e = with_want(r, &net);
    if (e)
        return e;
    if (r->want_ports && !cni_conf_can(net, "portMappings"))
        return err_new(ERR_UNSUPPORTED, 0, "network %s has no plugin for hostPort (capability portMappings)",
                       cni_conf_name(net));
    for (size_t i = 0; i < cni_conf_n(net); i++)
        if (!has_plugin(r->cni, cni_conf_type(net, i)))
            return err_new(ERR_NOT_FOUND, 0, "plugin %s of network %s is not in %s: " PLUGINS_PACKAGE,
                           cni_conf_type(net, i), cni_conf_name(net), r->cni->bin_dirs);
    *ret = MOVE(net, NULL);
    return NULL;
}

/* portmap maps one port twice without a word, and the first Pod keeps it. Err: another sandbox has a port of <r>'s. */
static Err *check_host_ports(const CniReq *r)
{
    SCOPED(strvec_done) StrVec ids = {0};
    Err *e = r->want_ports ? cni_cache_ids(r->cni->cache_dir, &ids) : NULL;
    for (size_t i = 0; !e && i < ids.n; i++) {
        CniAttachment other = {0};
        int64_t port = 0;
        if (!str_eq(ids.v[i], r->id))
            err_free(cni_cache_load(r->cni->cache_dir, ids.v[i], &other)); /* broken: it holds nothing any more */
        if (other.net && cni_conf_ports_clash(r->runtime, other.runtime, &port))
            e = err_new(ERR_EXISTS, 0, "hostPort %lld is in use by sandbox %s", (long long)port, ids.v[i]);
        cni_attachment_done(&other);
    }
    return e;
}

static void start_add(CniReq *r)
{
    json_t *net = NULL;
    Err *e = check_host_ports(r);
    if (!e)
        e = network_for(r, &net);
    if (e) {
        fail(r, e);
        return;
    }
    cni_attachment_done(&r->at);
    r->gone = false;
    r->at = (CniAttachment){.id = mem_dup_str(r->id),
                            .netns = mem_dup_str(r->netns),
                            .args = mem_dup_str(r->args),
                            .net = net,
                            .runtime = json_incref(r->runtime)};
    e = cni_cache_save(r->cni->cache_dir, &r->at);
    if (e)
        fail(r, e);
    else
        begin(r, STAGE_ADD);
}

static void add_done(CniReq *r)
{
    r->at.result = json_incref(r->prev);
    Err *e = cni_cache_save(r->cni->cache_dir, &r->at);
    if (e) {
        r->err = e;
        begin(r, STAGE_UNDO);
        return;
    }
    finish_with_result(r, r->at.result);
}

static void del_done(CniReq *r)
{
    Err *e = MOVE(r->del_err, NULL);
    if (!e)
        e = cni_cache_drop(r->cni->cache_dir, r->id);
    if (r->stage == STAGE_CLEAR && !e) {
        start_add(r);
    } else if (r->stage == STAGE_UNDO) {
        err_free(e); /* what cannot be undone stays cached: cni_collect tries again */
        finish(r, NULL);
    } else {
        fail(r, e);
    }
}

static void next_step(CniReq *r)
{
    if (r->step < cni_conf_n(r->at.net))
        run_plugin(r);
    else if (r->stage == STAGE_ADD)
        add_done(r);
    else if (r->stage == STAGE_CHECK)
        finish_with_result(r, r->at.result);
    else if (sweep_due(r))
        run_sweep(r);
    else
        del_done(r);
}

/* A path made of a pid may by now name another process's namespace, even the host's: then the sandbox's is gone, and to
 * run DEL there would take away somebody else's eth0. */
static bool same_netns(const CniReq *r)
{
    return r->netns[0] && str_eq(r->netns, r->at.netns);
}

static void start_check(CniReq *r)
{
    bool off = json_is_true(json_object_get(r->at.net, "disableCheck"));
    if (!r->at.result)
        fail(r, err_new(ERR_NOT_FOUND, 0, "sandbox %s is attached to no network", r->id));
    else if (!same_netns(r))
        fail(r, err_new(ERR_NOT_FOUND, 0, "the network namespace of sandbox %s is gone", r->id));
    else if (off || !cni_conf_since(r->at.net, "0.4.0")) /* the verb came with 0.4.0 */
        finish_with_result(r, r->at.result);
    else
        begin(r, STAGE_CHECK);
}

static void start_del(CniReq *r)
{
    if (!r->at.net) {
        finish(r, NULL);
        return;
    }
    r->gone = !same_netns(r);
    begin(r, STAGE_DEL);
}

static void start_or_repeat_add(CniReq *r)
{
    if (!r->at.net) {
        start_add(r);
    } else if (r->at.result && same_netns(r)) {
        finish_with_result(r, r->at.result);
    } else {
        r->gone = !same_netns(r);
        begin(r, STAGE_CLEAR); /* an ADD that was cut short, or a namespace that is gone */
    }
}

static void start(CniReq *r)
{
    r->stage = STAGE_CHECK; /* no longer queued; begin() says what it really is */
    if (r->op == OP_NOTHING) {
        finish(r, NULL);
        return;
    }
    Err *e = cni_cache_load(r->cni->cache_dir, r->id, &r->at);
    if (e)
        fail(r, e);
    else if (r->op == OP_ADD)
        start_or_repeat_add(r);
    else if (r->op == OP_CHECK)
        start_check(r);
    else
        start_del(r);
}

/* --- queue -------------------------------------------------------------------------------------------------------- */

static CniReq *next_startable(const Cni *c)
{
    unsigned running = 0;
    for (const CniReq *r = c->reqs; r; r = r->next)
        running += r->stage != STAGE_QUEUED;
    for (CniReq *r = c->reqs; r && running < MAX_RUNNING; r = r->next) {
        bool first = true;
        for (const CniReq *q = c->reqs; q != r; q = q->next)
            first = first && !str_eq(q->id, r->id);
        if (first && r->stage == STAGE_QUEUED)
            return r;
    }
    return NULL;
}

/* One request a turn: a callback may close the Cni, and then nothing of it may be touched any more. */
static void on_kick(uv_timer_t *t)
{
    Cni *c = t->data;
    CniReq *r = next_startable(c);
    if (!r)
        return;
    (void)uv_timer_start(&c->kick, on_kick, 0, 0);
    start(r);
}

static void enqueue(Cni *c, CniReq *r)
{
    CniReq **p = &c->reqs;
    while (*p)
        p = &(*p)->next;
    *p = r;
    (void)uv_timer_start(&c->kick, on_kick, 0, 0);
}

static Err *req_new(Cni *c, Op op, const CniPod *pod, CniDone *done, void *arg, CniReq **ret)
{
    if (!cni_name_ok(pod->sandbox_id))
        return err_new(ERR_INVALID, 0, "sandbox id \"%s\": CNI allows letters, digits, '_', '.', '-'",
                       str_or(pod->sandbox_id, ""));
    SCOPED(mem_free) char *netns = netns_identity(pod->netns_path), *own = netns_identity("/proc/self/ns/net");
    bool enters = op == OP_ADD || op == OP_CHECK;
    if (enters && !netns[0])
        return err_new(ERR_NOT_FOUND, 0, "network namespace %s of sandbox %s does not exist",
                       str_or(pod->netns_path, ""), pod->sandbox_id);
    if (enters && str_eq(netns, own))
        return err_new(ERR_INVALID, 0, "%s is the host's network namespace, not one of sandbox %s", pod->netns_path,
                       pod->sandbox_id);
    CniReq *r = NEW(CniReq);
    r->cni = c;
    r->op = op;
    r->id = mem_dup_str(pod->sandbox_id);
    r->netns_path = mem_dup_str(netns[0] ? pod->netns_path : "");
    r->netns = MOVE(netns, NULL);
    /* The names that dockershim, CRI-O and containerd pass; IgnoreUnknown lets plugins that know none of them go on. */
    r->args =
        mem_fmt("IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s",
                str_or(pod->pod_namespace, ""), str_or(pod->pod_name, ""), r->id, str_or(pod->pod_uid, ""));
    r->done = done;
    r->arg = arg;
    *ret = r;
    return NULL;
}

/* --- public ------------------------------------------------------------------------------------------------------- */

Err *cni_open(uv_loop_t *loop, const CniConfig *conf, Cni **ret)
{
    SCOPED(json_unref) json_t *net = NULL;
    Err *e = cni_conf_load(conf->conf_dir, &net);
    if (!e)
        e = fs_mkdirs(conf->cache_dir, 0700);
    if (e)
        return e;
    Cni *c = NEW(Cni);
    c->loop = loop;
    c->conf_dir = mem_dup_str(conf->conf_dir);
    c->bin_dirs = mem_dup_str(conf->bin_dirs);
    c->cache_dir = mem_dup_str(conf->cache_dir);
    c->search_path = cni_search_path();
    c->on_warning = conf->on_warning;
    c->warning_arg = conf->warning_arg;
    c->timeout_ns = conf->timeout_ns ? conf->timeout_ns : DEFAULT_TIMEOUT_NS;
    (void)uv_timer_init(loop, &c->kick);
    c->kick.data = c;
    *ret = c;
    return NULL;
}

static void on_closed(uv_handle_t *h)
{
    Cni *c = h->data;
    free(c->conf_dir);
    free(c->bin_dirs);
    free(c->cache_dir);
    free(c->search_path);
    strvec_done(&c->warned);
    free(c);
}

void cni_close(Cni *c)
{
    if (!c || c->closing)
        return;
    c->closing = true;
    while (c->reqs) {
        CniReq *r = c->reqs;
        c->reqs = r->next;
        if (r->process)
            process_abandon(r->process);
        if (r->group && !--r->group->left) {
            err_free(r->group->err);
            free(r->group);
        }
        req_free(r);
    }
    uv_close((uv_handle_t *)&c->kick, on_closed);
}

Err *cni_check_setup(Cni *c, char **ret_description)
{
    SCOPED(json_unref) json_t *net = NULL;
    SCOPED(str_done) Str s = {0};
    Err *e = cni_conf_load(c->conf_dir, &net);
    if (e)
        return e;
    static const char *const builtin[] = {"bridge", "host-local", "portmap", "firewall"};
    size_t n = net ? cni_conf_n(net) : ARRAY_LEN(builtin);
    for (size_t i = 0; i < n; i++) {
        const char *type = net ? cni_conf_type(net, i) : builtin[i];
        if (!has_plugin(c, type))
            str_fmt(&s, "CNI plugin %s is not in %s: " PLUGINS_PACKAGE "\n", type, c->bin_dirs);
    }
    if (!has_iptables(c))
        str_add(&s, "iptables is missing, which hostPort and Pods' access to other machines need: install the package "
                    "iptables\n");
    *ret_description = str_take(&s);
    return NULL;
}

Err *cni_add(Cni *c, const CniPod *pod, CniDone *done, void *arg)
{
    json_t *runtime = NULL;
    Err *e = cni_conf_runtime(pod, &runtime);
    CniReq *r = NULL;
    if (!e)
        e = req_new(c, OP_ADD, pod, done, arg, &r);
    if (e) {
        json_decref(runtime);
        return e;
    }
    r->runtime = runtime;
    r->want_ports = json_object_get(runtime, "portMappings") != NULL;
    r->want_bandwidth = json_object_get(runtime, "bandwidth") != NULL;
    enqueue(c, r);
    return NULL;
}

static Err *simple(Cni *c, Op op, const CniPod *pod, CniDone *done, void *arg)
{
    CniReq *r = NULL;
    Err *e = req_new(c, op, pod, done, arg, &r);
    if (!e)
        enqueue(c, r);
    return e;
}

Err *cni_check(Cni *c, const CniPod *pod, CniDone *done, void *arg)
{
    return simple(c, OP_CHECK, pod, done, arg);
}
Err *cni_del(Cni *c, const CniPod *pod, CniDone *done, void *arg)
{
    return simple(c, OP_DEL, pod, done, arg);
}

static bool has_request(const Cni *c, const char *id)
{
    for (const CniReq *r = c->reqs; r; r = r->next)
        if (str_eq(r->id, id))
            return true;
    return false;
}

Err *cni_collect(Cni *c, const StrVec *live_ids, CniDone *done, void *arg)
{
    SCOPED(strvec_done) StrVec ids = {0};
    Err *e = cni_cache_ids(c->cache_dir, &ids);
    if (e)
        return e;
    Group *g = NEW(Group);
    g->done = done;
    g->arg = arg;
    for (size_t i = 0; i <= ids.n; i++) {
        /* One that does nothing comes last, so that there is always an answer. */
        CniReq *r = NULL;
        CniPod dead = {.sandbox_id = i < ids.n ? ids.v[i] : "none", .netns_path = ""};
        if (i < ids.n && ((live_ids && strvec_has(live_ids, ids.v[i])) || has_request(c, ids.v[i])))
            continue; /* what is being attached at this moment lives, too */
        err_free(req_new(c, i < ids.n ? OP_DEL : OP_NOTHING, &dead, NULL, NULL, &r));
        if (!r)
            continue;
        r->group = g;
        g->left++;
        enqueue(c, r);
    }
    return NULL;
}
