/* node_world.h - `reprise node` over a runtime without containers and a real store, which the test writes to as the API server would. */
#ifndef REPRISE_TESTS_NODE_WORLD_H
#define REPRISE_TESTS_NODE_WORLD_H

#include "check.h"

#include <unistd.h>

#include "agent/record.h"
#include "api/objects.h"
#include "base/clock.h"
#include "daemon/daemon.h"
#include "node/volumes.h"
#include "os/fs.h"
#include "runtime/fake/fake.h"
#include "wire/yaml.h"

#define NODE "n1"

typedef struct {
    uv_loop_t loop;
    char dir[40], *root, *run, *logs, *manifests;
    Runtime *rt;
    Daemon *d;
    ObjStore *store; /* the daemon's */
    Log log;
    FeatureGates gates;
    uv_timer_t watchdog;
    bool timed_out;
    const char *name; /* what the predicates are about */
} World;

static inline UNUSED void on_world_timeout(uv_timer_t *t)
{
    ((World *)t->data)->timed_out = true;
}

static inline UNUSED void daemon_up(World *w)
{
    DaemonConfig c = {.loop = &w->loop, .rt = w->rt, .log = &w->log, .root = w->root, .run_dir = w->run, .log_dir = w->logs,
                      .node_name = NODE, .manifest_dir = w->manifests, .gates = w->gates, .max_pods = 110, .notify_fd = -EBADF,
                      .prepare_memory_bytes = 1 << 20};
    plan_config_default(&c.plan);
    c.plan.retry_ns = 5 * NS_PER_MS;
    c.plan.backoff_initial_ns = 2 * NS_PER_MS;
    c.plan.backoff_max_ns = 8 * NS_PER_MS;
    CHECK_OK(daemon_open(&c, &w->d));
    w->store = daemon_store(w->d);
}

static inline UNUSED void daemon_down(World *w)
{
    fake_forget_requests(w->rt);
    daemon_close(w->d);
    w->d = NULL;
}

static inline UNUSED void namespace_up(World *w, const char *name)
{
    SCOPED(json_unref) json_t *o = json_pack("{s:s, s:s, s:{s:s, s:s}}", "kind", "Namespace", "apiVersion", "v1", "metadata", "name", name, "uid", name);
    err_free(objstore_create(w->store, "namespaces", o, NULL, NULL));
}

static inline UNUSED void world_up(World *w)
{
    *w = (World){.dir = "/tmp/reprise-node-XXXXXX", .log = {.level = getenv("TEST_LOG") ? LOG_DEBUG : (LogLevel)(LOG_ERROR + 1)}};
    CHECK(mkdtemp(w->dir) != NULL);
    w->root = mem_fmt("%s/root", w->dir);
    w->run = mem_fmt("%s/run", w->dir);
    w->logs = mem_fmt("%s/logs", w->dir);
    w->manifests = mem_fmt("%s/manifests", w->dir);
    CHECK_OK(fs_mkdirs(w->root, 0755));
    CHECK_OK(fs_mkdirs(w->manifests, 0755));
    (void)uv_loop_init(&w->loop);
    (void)uv_timer_init(&w->loop, &w->watchdog);
    w->watchdog.data = w;
    (void)uv_timer_start(&w->watchdog, on_world_timeout, 20000, 0);
    features_default(&w->gates);
    w->rt = fake_runtime_new(&w->loop);
    daemon_up(w);
}

static inline UNUSED void world_down(World *w)
{
    daemon_close(w->d);
    w->rt->ops->close(w->rt);
    uv_close((uv_handle_t *)&w->watchdog, NULL);
    CHECK_INT(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    StrList uids = {0};
    pod_record_uids(w->root, &uids);
    LIST_EACH(uid, &uids) {
        CHECK_OK(volumes_teardown(w->root, *uid));
        free(*uid);
    }
    free(uids.v);
    CHECK_OK(fs_remove_tree(w->dir));
    free(w->root);
    free(w->run);
    free(w->logs);
    free(w->manifests);
}

static inline UNUSED void turn(World *w)
{
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

#define REACH(w, cond)                                                                                                 \
    do {                                                                                                               \
        while (!(cond) && !(w)->timed_out)                                                                             \
            (void)uv_run(&(w)->loop, UV_RUN_ONCE);                                                                     \
        CHECK(cond);                                                                                                   \
    } while (0)

/* A Pod as the API server makes one. <spec> and <meta>: YAML flow. */
static inline UNUSED void make(World *w, const char *name, const char *meta, const char *spec)
{
    char now[CLOCK_TEXT_MAX];
    SCOPED(mem_free) char *text = mem_fmt("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: default%s%s}\nspec: {%s}\n", name,
                                          *meta ? ", " : "", meta, spec);
    SCOPED(json_unref) json_t *docs = NULL;
    SCOPED(report_done) Report r = {0};
    CHECK_OK(yaml_parse_all(text, strlen(text), &docs));
    SCOPED(pod_free) Pod *p = api_decode(&type_Pod, json_array_get(docs, 0), "", DECODE_STRICT, &r);
    LIST_EACH(cause, &r.errors)
        printf("# %s: %s\n", cause->path, cause->message);
    CHECK(report_ok(&r));
    pod_default(p);
    SCOPED(json_unref) json_t *pod = api_encode(&type_Pod, p);
    json_t *m = json_object_get(pod, "metadata");
    SCOPED(mem_free) char *uid = os_uuid();
    json_object_set_new(m, "uid", json_string(uid));
    json_object_set_new(m, "generation", json_integer(1));
    json_object_set_new(m, "creationTimestamp", json_string(clock_format(os_now_ns(), 0, now)));
    json_object_set_new(pod, "status", json_pack("{s:s, s:s}", "phase", "Pending", "qosClass", "BestEffort"));
    CHECK_OK(objstore_create(w->store, "pods", pod, NULL, NULL));
}

static inline UNUSED void put_object(World *w, const char *resource, const char *kind, const char *name, const char *fields)
{
    SCOPED(mem_free) char *uid = os_uuid();
    SCOPED(json_unref) json_t *o = json_loads(fields, 0, NULL);
    json_object_set_new(o, "apiVersion", json_string("v1"));
    json_object_set_new(o, "kind", json_string(kind));
    json_object_set_new(o, "metadata", json_pack("{s:s, s:s, s:s}", "name", name, "namespace", "default", "uid", uid));
    CHECK_OK(objstore_create(w->store, resource, o, NULL, NULL));
}

static inline UNUSED json_t *stored(const World *w, const char *resource, const char *namespace_, const char *name)
{
    const ObjItem *i = objstore_get(w->store, resource, namespace_, name);
    return i ? objitem_json(i) : NULL;
}

static inline UNUSED Pod *stored_pod_of(const World *w, const char *name)
{
    SCOPED(json_unref) json_t *j = stored(w, "pods", "default", name);
    SCOPED(report_done) Report r = {0};
    return j ? api_decode(&type_Pod, j, "", DECODE_LENIENT, &r) : NULL;
}

static inline UNUSED bool is_stored(const World *w, const char *name)
{
    return objstore_get(w->store, "pods", "default", name) != NULL;
}

/* Changes a stored object as a user does. <path>: "spec.nodeName"; <value> is taken, NULL removes. */
static inline UNUSED void edit(World *w, const char *resource, const char *namespace_, const char *name, const char *path, json_t *value)
{
    SCOPED(json_unref) json_t *o = stored(w, resource, namespace_, name);
    json_t *at = o;
    const char *p = path, *dot;
    CHECK(o != NULL);
    for (; (dot = strchr(p, '.')) != NULL; p = dot + 1) {
        SCOPED(mem_free) char *key = mem_dup_strn(p, (size_t)(dot - p));
        json_t *next = json_object_get(at, key);
        if (!next) {
            next = json_object();
            json_object_set_new(at, key, next);
        }
        at = next;
    }
    if (value)
        json_object_set_new(at, p, value);
    else
        (void)json_object_del(at, p);
    CHECK_OK(objstore_update(w->store, resource, o, NULL, NULL));
}

/* DELETE of a Pod that is bound: the moment its grace is over. */
static inline UNUSED void delete_pod(World *w, const char *name, int grace)
{
    char at[CLOCK_TEXT_MAX];
    SCOPED(json_unref) json_t *o = stored(w, "pods", "default", name);
    json_t *m = json_object_get(o, "metadata");
    json_object_set_new(m, "deletionTimestamp", json_string(clock_format(os_now_ns() + grace * NS_PER_S, 0, at)));
    json_object_set_new(m, "deletionGracePeriodSeconds", json_integer(grace));
    CHECK_OK(objstore_update(w->store, "pods", o, NULL, NULL));
}

static inline UNUSED bool has_phase(const World *w, const char *name, const char *phase)
{
    SCOPED(pod_free) Pod *p = stored_pod_of(w, name);
    return p && str_eq(p->status.phase, phase);
}

static inline UNUSED bool all_run(const World *w, const char *name)
{
    SCOPED(pod_free) Pod *p = stored_pod_of(w, name);
    bool ok = p && str_eq(p->status.phase, "Running") && p->status.container_statuses.n == p->spec.containers.n;
    for (size_t i = 0; ok && i < p->status.container_statuses.n; i++)
        ok = p->status.container_statuses.v[i].state && p->status.container_statuses.v[i].state->running;
    return ok;
}

/* "True Reason: message", "" if there is none; caller frees. */
static inline UNUSED char *condition_text(const World *w, const char *name, const char *type)
{
    SCOPED(pod_free) Pod *p = stored_pod_of(w, name);
    const PodCondition *c = p ? plan_condition(&p->status, type) : NULL;
    return c ? mem_fmt("%s %s: %s", c->status, str_or(c->reason, ""), str_or(c->message, "")) : mem_dup_str("");
}
#define CHECK_CONDITION(w, name, type, want)                                                                           \
    do {                                                                                                               \
        char *c_ = condition_text(w, name, type);                                                                      \
        CHECK_STR(c_, want);                                                                                           \
        free(c_);                                                                                                      \
    } while (0)

/* The Event of that reason about <name>; NULL: there is none. New reference. */
static inline UNUSED json_t *event_of(const World *w, const char *name, const char *reason)
{
    SCOPED(objlist_done) ObjList l = {0};
    json_t *found = NULL;
    CHECK_OK(objstore_list(w->store, &(ObjQuery){.resource = "events"}, &l));
    for (size_t i = 0; i < l.n && !found; i++) {
        SCOPED(json_unref) json_t *e = objitem_json(l.item[i]);
        if (str_eq(json_str(json_object_get(e, "involvedObject"), "name"), name) && str_eq(json_str(e, "reason"), reason))
            found = json_incref(e);
    }
    return found;
}
static inline UNUSED bool has_event(const World *w, const char *name, const char *reason)
{
    SCOPED(json_unref) json_t *e = event_of(w, name, reason);
    return e != NULL;
}
#define CHECK_EVENT(w, name, reason, want)                                                                             \
    do {                                                                                                               \
        json_t *e_ = event_of(w, name, reason);                                                                        \
        CHECK_STR(json_str(e_, "message"), want);                                                                      \
        json_decref(e_);                                                                                               \
    } while (0)

static inline UNUSED bool has_record(const World *w, const char *uid)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/pods/%s/pod.json", w->root, uid);
    return fs_exists(path);
}

static inline UNUSED char *uid_of_pod(const World *w, const char *name)
{
    const ObjItem *i = objstore_get(w->store, "pods", "default", name);
    return mem_dup_str(i ? i->uid : "");
}

#endif
