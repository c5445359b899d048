/* test_node_api.c - Pods of the API on the node: what a scheduler and a kubelet do with them, and that a death at any moment loses
 * nothing and starts nothing twice. */
#include "node_world.h"

#include <fcntl.h>
#include <sys/mount.h>

#define ONE "terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'i:1'}]"

static void test_life(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "labels: {a: b}", ONE);
    REACH(&w, all_run(&w, "p"));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
    SCOPED(pod_free) Pod *p = stored_pod_of(&w, "p");
    CHECK_STR(p->spec.node_name, NODE);
    CHECK_CONDITION(&w, "p", "PodScheduled", "True : ");
    CHECK_CONDITION(&w, "p", "Ready", "True : ");
    CHECK(p->status.start_time.set);
    CHECK(strmap_get(&p->metadata.annotations, "kubernetes.io/config.source") == NULL);
    CHECK_EVENT(&w, "p", "Scheduled", "Successfully assigned default/p to " NODE);
    REACH(&w, has_event(&w, "p", "Started"));
    CHECK_EVENT(&w, "p", "Pulled", "Container image \"i:1\" already present on machine and can be accessed by the pod");
    CHECK_EVENT(&w, "p", "Created", "Container created");
    SCOPED(json_unref) json_t *e = event_of(&w, "p", "Started");
    CHECK_STR(json_str(json_object_get(e, "involvedObject"), "fieldPath"), "spec.containers{c}");
    CHECK_STR(json_str(json_object_get(e, "involvedObject"), "uid"), uid);
    CHECK_STR(json_str(json_object_get(e, "source"), "component"), "kubelet");
    CHECK_STR(json_str(json_object_get(e, "source"), "host"), NODE);
    CHECK_STR(json_str(e, "message"), "Container started");
    delete_pod(&w, "p", 1);
    REACH(&w, !is_stored(&w, "p") && !has_record(&w, uid));
    CHECK_EVENT(&w, "p", "Killing", "Stopping container c");
    CHECK_INT(fake_stats(w.rt)->starts, 1);
    world_down(&w);
}

/* --- where it may go ------------------------------------------------------------------------------------------------------- */

#define NONE_OF_ONE(why, preemption)                                                                                   \
    "False Unschedulable: 0/1 nodes are available: " why ". no new claims to deallocate, preemption: 0/1 nodes are available: 1 " preemption "."
#define NO_HELP "Preemption is not helpful for scheduling"
#define NO_VICTIMS "No preemption victims found for incoming pod"

static void test_scheduling(void)
{
    static const struct {
        const char *name, *spec, *node_path, *node_value, *condition;
        bool runs;
    } cases[] = {
        {"plain", ONE, NULL, NULL, NULL, true},
        {"gated", ONE ", schedulingGates: [{name: x/y}]", NULL, NULL,
         "False SchedulingGated: Scheduling is blocked due to non-empty scheduling gates", false},
        {"another scheduler", ONE ", schedulerName: mine", NULL, NULL, "", false},
        {"another node", ONE ", nodeName: n2", NULL, NULL, "", false},
        {"cordoned", ONE, "spec.unschedulable", "true", NONE_OF_ONE("1 node(s) were unschedulable", NO_HELP), false},
        {"cordoned, tolerated", ONE ", tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists}]", "spec.unschedulable", "true",
         NULL, true},
        {"tainted", ONE, "spec.taints", "[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]",
         NONE_OF_ONE("1 node(s) had untolerated taint(s)", NO_HELP), false},
        {"tainted, another value", ONE ", tolerations: [{key: k, value: w}]", "spec.taints",
         "[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]", NONE_OF_ONE("1 node(s) had untolerated taint(s)", NO_HELP), false},
        {"tainted, tolerated", ONE ", tolerations: [{key: k, value: v, effect: NoSchedule}]", "spec.taints",
         "[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]", NULL, true},
        {"only preferred", ONE, "spec.taints", "[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]", NULL, true},
        {"selected", ONE ", nodeSelector: {disk: ssd}", "metadata.labels.disk", "\"ssd\"", NULL, true},
        {"not selected", ONE ", nodeSelector: {disk: ssd}", NULL, NULL,
         NONE_OF_ONE("1 node(s) didn't match Pod's node affinity/selector", NO_HELP), false},
        {"too large", "containers: [{name: c, image: 'i:1', resources: {requests: {cpu: 4000}}}]", NULL, NULL,
         NONE_OF_ONE("1 Insufficient cpu", NO_VICTIMS), false},
        {"no claim", ONE ", volumes: [{name: v, persistentVolumeClaim: {claimName: x}}]", NULL, NULL,
         NONE_OF_ONE("persistentvolumeclaim \"x\" not found", NO_HELP), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        World w;
        world_up(&w);
        if (cases[i].node_path)
            edit(&w, "nodes", "", NODE, cases[i].node_path, json_loads(cases[i].node_value, JSON_DECODE_ANY, NULL));
        make(&w, "p", "", cases[i].spec);
        for (int n = 0; n < 3; n++)
            turn(&w);
        if (cases[i].runs)
            REACH(&w, all_run(&w, "p"));
        SCOPED(mem_free) char *got = condition_text(&w, "p", "PodScheduled");
        if (cases[i].condition && !str_eq(got, cases[i].condition))
            printf("# %s\n", cases[i].name);
        if (cases[i].condition)
            CHECK_STR(got, cases[i].condition);
        CHECK_INT(fake_stats(w.rt)->starts, cases[i].runs);
        CHECK_INT(has_event(&w, "p", "FailedScheduling"), str_starts(str_or(cases[i].condition, ""), "False Unsched"));
        world_down(&w);
    }
}

/* What did not fit is tried again when the reason is gone. */
static void test_scheduled_later(void)
{
    World w;
    world_up(&w);
    edit(&w, "nodes", "", NODE, "spec.unschedulable", json_true());
    make(&w, "p", "", ONE);
    REACH(&w, has_event(&w, "p", "FailedScheduling"));
    REACH(&w, has_event(&w, NODE, "NodeNotSchedulable"));
    edit(&w, "nodes", "", NODE, "spec.unschedulable", NULL);
    REACH(&w, all_run(&w, "p"));
    make(&w, "claiming", "", ONE ", volumes: [{name: v, persistentVolumeClaim: {claimName: x}}]");
    REACH(&w, has_event(&w, "claiming", "FailedScheduling"));
    put_object(&w, "persistentvolumeclaims", "PersistentVolumeClaim", "x", "{\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}");
    REACH(&w, all_run(&w, "claiming"));
    make(&w, "gated", "", ONE ", schedulingGates: [{name: x/y}]");
    turn(&w);
    edit(&w, "pods", "default", "gated", "spec.schedulingGates", NULL);
    REACH(&w, all_run(&w, "gated"));
    make(&w, "big", "", "containers: [{name: c, image: 'i:1', resources: {requests: {cpu: 1m}}, ports: [{containerPort: 1, hostPort: 1}]}], terminationGracePeriodSeconds: 1");
    REACH(&w, all_run(&w, "big"));
    make(&w, "other", "", "containers: [{name: c, image: 'i:1', ports: [{containerPort: 1, hostPort: 1}]}]");
    REACH(&w, has_event(&w, "other", "FailedScheduling"));
    delete_pod(&w, "big", 0);
    REACH(&w, all_run(&w, "other"));
    world_down(&w);
}

/* Bound by hand: the node refuses as the kubelet does. */
static void test_refused(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "", "nodeName: " NODE ", nodeSelector: {disk: ssd}, containers: [{name: c, image: 'i:1'}]");
    REACH(&w, has_phase(&w, "p", "Failed"));
    SCOPED(pod_free) Pod *p = stored_pod_of(&w, "p");
    CHECK_STR(p->status.reason, "NodeAffinity");
    CHECK_STR(p->status.message, "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
    CHECK_EVENT(&w, "p", "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
    CHECK_INT(fake_stats(w.rt)->starts, 0);
    CHECK_OK(objstore_delete(w.store, "pods", "default", "p", NULL, NULL)); /* ended: the API deletes it at once */
    REACH(&w, !has_record(&w, p->metadata.uid));
    world_down(&w);
}

/* --- changes --------------------------------------------------------------------------------------------------------------- */

static bool waits_with(const World *w, const char *reason)
{
    SCOPED(pod_free) Pod *p = stored_pod_of(w, "p");
    const ContainerState *s = p->status.container_statuses.n ? p->status.container_statuses.v[0].state : NULL;
    return s && s->waiting && str_eq(s->waiting->reason, reason);
}

static void test_object_late(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "", "containers: [{name: c, image: 'i:1', env: [{name: A, valueFrom: {configMapKeyRef: {name: m, key: k}}}]}]");
    REACH(&w, waits_with(&w, "CreateContainerConfigError"));
    put_object(&w, "configmaps", "ConfigMap", "m", "{\"data\":{\"k\":\"v\"}}");
    REACH(&w, all_run(&w, "p"));
    make(&w, "v", "", "containers: [{name: c, image: 'i:1'}], volumes: [{name: v, secret: {secretName: s}}]");
    REACH(&w, has_event(&w, "v", "FailedMount"));
    put_object(&w, "secrets", "Secret", "s", "{\"data\":{\"k\":\"dg==\"},\"type\":\"Opaque\"}");
    REACH(&w, all_run(&w, "v"));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "v");
    SCOPED(mem_free) char *path = mem_fmt("%s/pods/%s/volumes/kubernetes.io~secret/v/k", w.root, uid);
    SCOPED(str_done) Str text = {0};
    CHECK_OK(fs_read(path, 100, &text));
    CHECK_STR(text.p, "v");
    CHECK_OK(objstore_delete(w.store, "pods", "default", "v", NULL, NULL));
    REACH(&w, !has_record(&w, uid));
    world_down(&w);
}

static bool image_runs(const World *w, const char *image, int64_t restarts)
{
    SCOPED(pod_free) Pod *p = stored_pod_of(w, "p");
    const ContainerStatus *c = p && p->status.container_statuses.n ? &p->status.container_statuses.v[0] : NULL;
    return c && c->state && c->state->running && str_eq(c->image, image) && c->restart_count.v == restarts;
}

static void test_updates(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "labels: {a: b}", "restartPolicy: Never, " ONE
         ", volumes: [{name: d, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]"
         ", readinessGates: [{conditionType: x/ready}]");
    REACH(&w, image_runs(&w, "i:1", 0));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
    CHECK_CONDITION(&w, "p", "Ready", "False ReadinessGatesNotReady: corresponding condition of pod readiness gate \"x/ready\" does not exist.");
    edit(&w, "pods", "default", "p", "status.conditions",
         json_pack("[{s:s, s:s, s:s}]", "type", "x/ready", "status", "True", "lastTransitionTime", "2026-01-01T00:00:00Z"));
    REACH(&w, ({ SCOPED(mem_free) char *c_ = condition_text(&w, "p", "Ready"); str_eq(c_, "True : "); }));
    CHECK_CONDITION(&w, "p", "x/ready", "True : "); /* the other's own condition stays */
    edit(&w, "pods", "default", "p", "metadata.labels", json_pack("{s:s}", "a", "c"));
    SCOPED(mem_free) char *path = mem_fmt("%s/pods/%s/volumes/kubernetes.io~downward-api/d/labels", w.root, uid);
    REACH(&w, ({ SCOPED(str_done) Str t_ = {0}; err_free(fs_read(path, 100, &t_)); str_eq(t_.p, "a=\"c\""); }));
    edit(&w, "pods", "default", "p", "spec.containers",
         json_pack("[{s:s, s:s, s:s, s:s, s:s}]", "name", "c", "image", "i:2", "imagePullPolicy", "IfNotPresent", "terminationMessagePath",
                   "/dev/termination-log", "terminationMessagePolicy", "File"));
    REACH(&w, image_runs(&w, "i:2", 1));
    CHECK_EVENT(&w, "p", "Killing", "Container c definition changed, will be restarted");
    edit(&w, "pods", "default", "p", "spec.ephemeralContainers",
         json_pack("[{s:s, s:s, s:s, s:s, s:s}]", "name", "debug", "image", "i:3", "imagePullPolicy", "IfNotPresent", "terminationMessagePath",
                   "/dev/termination-log", "terminationMessagePolicy", "File"));
    REACH(&w, ({
        SCOPED(pod_free) Pod *p_ = stored_pod_of(&w, "p");
        p_->status.ephemeral_container_statuses.n == 1 && p_->status.ephemeral_container_statuses.v[0].state->running;
    }));
    REACH(&w, has_event(&w, "p", "Started"));
    CHECK_INT(fake_stats(w.rt)->starts, 3);
    delete_pod(&w, "p", 1);
    REACH(&w, !is_stored(&w, "p"));
    world_down(&w);
}

/* --- ends ------------------------------------------------------------------------------------------------------------------- */

static void test_finalizers(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "finalizers: [x/y]", ONE);
    REACH(&w, all_run(&w, "p"));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
    delete_pod(&w, "p", 1);
    REACH(&w, ({
        SCOPED(pod_free) Pod *p_ = stored_pod_of(&w, "p");
        p_->metadata.deletion_grace_period_seconds.set && p_->metadata.deletion_grace_period_seconds.v == 0;
    }));
    CHECK(has_phase(&w, "p", "Failed") || has_phase(&w, "p", "Succeeded"));
    CHECK(has_record(&w, uid)); /* its logs can still be read */
    CHECK_OK(objstore_delete(w.store, "pods", "default", "p", NULL, NULL)); /* by the API, with the last finalizer */
    REACH(&w, !has_record(&w, uid));
    CHECK_INT(fake_stats(w.rt)->starts, 1);
    world_down(&w);
}

static void test_gone(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "", ONE);
    REACH(&w, all_run(&w, "p"));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
    CHECK_OK(objstore_delete(w.store, "pods", "default", "p", NULL, NULL)); /* --force --grace-period=0 */
    make(&w, "p", "", ONE);
    SCOPED(mem_free) char *next = uid_of_pod(&w, "p");
    REACH(&w, all_run(&w, "p"));
    CHECK(!has_record(&w, uid) && has_record(&w, next));
    CHECK_INT(fake_stats(w.rt)->starts, 2);
    CHECK_INT(fake_stats(w.rt)->max_live, 1);
    world_down(&w);
}

/* Deleted, and taken out, while nobody looked; and one whose record is lost. */
static void test_away(void)
{
    World w;
    world_up(&w);
    make(&w, "gone", "", ONE);
    make(&w, "lost", "", ONE);
    make(&w, "kept", "", ONE);
    REACH(&w, all_run(&w, "gone") && all_run(&w, "lost") && all_run(&w, "kept"));
    SCOPED(mem_free) char *gone = uid_of_pod(&w, "gone");
    SCOPED(mem_free) char *lost = uid_of_pod(&w, "lost");
    daemon_down(&w);
    ObjStore *s = NULL;
    SCOPED(mem_free) char *note = NULL;
    SCOPED(mem_free) char *db = mem_fmt("%s/state.db", w.root);
    SCOPED(mem_free) char *record = mem_fmt("%s/pods/%s/pod.json", w.root, lost);
    CHECK_OK(objstore_open(db, NULL, &s, &note));
    CHECK_OK(objstore_delete(s, "pods", "default", "gone", NULL, NULL));
    objstore_close(s);
    CHECK_INT(unlink(record), 0);
    daemon_up(&w);
    REACH(&w, !has_record(&w, gone) && all_run(&w, "lost") && all_run(&w, "kept") && has_record(&w, lost));
    SCOPED(pod_free) Pod *p = stored_pod_of(&w, "kept");
    CHECK_INT(p->status.container_statuses.v[0].restart_count.v, 0);
    world_down(&w);
}

/* The store was lost: what runs is put back, and goes on. */
static void test_store_lost(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "labels: {a: b}", ONE);
    REACH(&w, all_run(&w, "p"));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
    daemon_down(&w);
    static const char *const files[] = {"state.db", "state.db-wal", "state.db-shm", "state.db.rv"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/%s", w.root, files[i]);
        (void)unlink(path);
    }
    daemon_up(&w);
    REACH(&w, all_run(&w, "p"));
    SCOPED(mem_free) char *now = uid_of_pod(&w, "p");
    CHECK_STR(now, uid);
    SCOPED(pod_free) Pod *p = stored_pod_of(&w, "p");
    CHECK_STR(strmap_get(&p->metadata.labels, "a"), "b");
    CHECK(strmap_get(&p->metadata.annotations, "kubernetes.io/config.source") == NULL);
    CHECK_INT(fake_stats(w.rt)->starts, 1);
    world_down(&w);
}

/* The daemon dies after every turn of the loop, while a Pod comes and while it goes. */
static void test_death_at_every_turn(void)
{
    for (int n = 0; n < 40; n++) {
        World w;
        world_up(&w);
        make(&w, "p", "", ONE);
        SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
        for (int i = 0; i < n; i++)
            turn(&w);
        daemon_down(&w);
        daemon_up(&w);
        REACH(&w, all_run(&w, "p"));
        CHECK_INT(fake_stats(w.rt)->max_live, 1);
        delete_pod(&w, "p", 1);
        for (int i = 0; i < n; i++)
            turn(&w);
        daemon_down(&w);
        daemon_up(&w);
        REACH(&w, !is_stored(&w, "p") && !has_record(&w, uid));
        CHECK_INT(fake_stats(w.rt)->max_live, 1);
        world_down(&w);
    }
}

/* --- a disk that is full -------------------------------------------------------------------------------------------------------- */

static bool is_writable(const World *w)
{
    ObjStoreState s;
    objstore_state(w->store, &s);
    return s.writable;
}

/* What could not be stored is, when there is room again; what runs goes on meanwhile. */
static void test_disk_full(void)
{
    World w;
    world_up(&w);
    daemon_down(&w);
    CHECK_INT(mount("tmpfs", w.root, "tmpfs", 0, "size=4m"), 0);
    daemon_up(&w);
    make(&w, "p", "", "restartPolicy: Never, containers: [{name: c, image: 'i:1'}]");
    make(&w, "q", "", ONE);
    REACH(&w, all_run(&w, "p") && all_run(&w, "q"));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
    SCOPED(mem_free) char *filler = mem_fmt("%s/filler", w.root);
    SCOPED(mem_free) char *block = mem_alloc(65536);
    int fd = open(filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    for (size_t n = 65536; n; n /= 2)
        while (write(fd, block, n) == (ssize_t)n)
            ;
    fd_close(fd);
    for (int i = 0; is_writable(&w) && i < 10000; i++) { /* what room SQLite still has */
        SCOPED(json_unref) json_t *o = json_pack("{s:s, s:{s:s, s:s, s:s}, s:i}", "kind", "ConfigMap", "metadata", "name", "m", "namespace", "x",
                                                 "uid", "m", "i", i);
        err_free(i ? objstore_update(w.store, "configmaps", o, NULL, NULL) : objstore_create(w.store, "configmaps", o, NULL, NULL));
    }
    CHECK(!is_writable(&w));
    CHECK(fake_exit(w.rt, uid, "c", 3));
    for (int i = 0; i < 20; i++)
        turn(&w);
    CHECK(has_phase(&w, "p", "Running"));
    CHECK(all_run(&w, "q"));
    CHECK_INT(unlink(filler), 0);
    REACH(&w, has_phase(&w, "p", "Failed"));
    SCOPED(pod_free) Pod *p = stored_pod_of(&w, "p");
    CHECK_INT(p->status.container_statuses.v[0].state->terminated->exit_code.v, 3);
    CHECK(is_writable(&w));
    delete_pod(&w, "q", 0);
    REACH(&w, !is_stored(&w, "q"));
    CHECK_OK(objstore_delete(w.store, "pods", "default", "p", NULL, NULL));
    REACH(&w, !has_record(&w, uid));
    daemon_down(&w);
    CHECK_INT(umount(w.root), 0);
    daemon_up(&w);
    world_down(&w);
}

/* --- restarts in place -------------------------------------------------------------------------------------------------------- */

static void test_restart_in_place(void)
{
    World w;
    world_up(&w);
    make(&w, "p", "", "restartPolicy: Never, containers: [{name: m, image: 'i:1'}, {name: s, image: 'i:1', restartPolicy: Never, "
                      "restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}]}]");
    REACH(&w, all_run(&w, "p"));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "p");
    CHECK(fake_exit(w.rt, uid, "s", 88));
    REACH(&w, has_event(&w, "p", "InPlaceRestartCompleted") && all_run(&w, "p"));
    CHECK_EVENT(&w, "p", "InPlaceRestartStarted", "Restarting all containers in place: container s exited with code 88");
    CHECK_CONDITION(&w, "p", "AllContainersRestarting", "False : ");
    SCOPED(objrestarts_done) ObjRestarts l = {0};
    CHECK_OK(objstore_restarts(w.store, uid, &l));
    CHECK_INT(l.n, 1);
    CHECK_STR(l.v[0].container, "s");
    CHECK_STR(l.v[0].rule, "restartPolicyRules[0]");
    CHECK_INT(l.v[0].code, 88);
    CHECK(l.v[0].done_ns != NS_NONE && l.v[0].done_ns >= l.v[0].begun_ns);
    SCOPED(pod_free) Pod *p = stored_pod_of(&w, "p");
    CHECK_INT(p->status.container_statuses.v[0].restart_count.v, 1);
    world_down(&w);
}

TESTS(T(test_updates), T(test_life), T(test_scheduling), T(test_scheduled_later), T(test_refused), T(test_object_late), T(test_finalizers),
      T(test_gone), T(test_away), T(test_store_lost), T(test_death_at_every_turn), T(test_disk_full), T(test_restart_in_place))
