/* test_node_static.c - what the node keeps in the API beside its Pods: mirror Pods, its Node, claims and their data, Events. */
#include "node_world.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/daemon_priv.h"

static void put_file(const World *w, const char *name, const char *text)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->manifests, name);
    CHECK_OK(fs_write_atomic(path, text, strlen(text), 0644, false));
    struct timespec t[2] = {{.tv_sec = os_now_ns() / NS_PER_S - 100}, {.tv_sec = os_now_ns() / NS_PER_S - 100}};
    CHECK_INT(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void drop_file(const World *w, const char *name)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/%s", w->manifests, name);
    CHECK_INT(unlink(path), 0);
}

#define STATIC(image)                                                                                                  \
    "apiVersion: v1\nkind: Pod\nmetadata: {name: s, labels: {a: b}}\nspec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: '" image "'}]}\n"

static void test_mirror(void)
{
    World w;
    world_up(&w);
    put_file(&w, "s.yaml", STATIC("i:1"));
    REACH(&w, all_run(&w, "s-" NODE));
    SCOPED(mem_free) char *uid = uid_of_pod(&w, "s-" NODE);
    SCOPED(pod_free) Pod *p = stored_pod_of(&w, "s-" NODE);
    CHECK_STR(p->spec.node_name, NODE);
    CHECK_STR(strmap_get(&p->metadata.annotations, "kubernetes.io/config.mirror"), uid);
    CHECK_STR(strmap_get(&p->metadata.labels, "a"), "b");
    CHECK_INT(p->metadata.owner_references.n, 1);
    SCOPED(json_unref) json_t *node = stored(&w, "nodes", "", NODE);
    CHECK_STR(p->metadata.owner_references.v[0].kind, "Node");
    CHECK_STR(p->metadata.owner_references.v[0].uid, json_str(json_object_get(node, "metadata"), "uid"));
    /* Deleted, at once or with a grace: it comes again, and the Pod goes on. */
    CHECK_OK(objstore_delete(w.store, "pods", "default", "s-" NODE, NULL, NULL));
    REACH(&w, all_run(&w, "s-" NODE));
    int64_t rv = objstore_get(w.store, "pods", "default", "s-" NODE)->rv;
    delete_pod(&w, "s-" NODE, 30);
    REACH(&w, ({ SCOPED(pod_free) Pod *m_ = stored_pod_of(&w, "s-" NODE); m_ && !m_->metadata.deletion_timestamp.set; }));
    CHECK(objstore_get(w.store, "pods", "default", "s-" NODE)->rv > rv);
    CHECK_INT(fake_stats(w.rt)->starts, 1);
    /* Another file: another Pod, another mirror. */
    put_file(&w, "s.yaml", STATIC("i:2"));
    REACH(&w, ({ SCOPED(mem_free) char *u_ = uid_of_pod(&w, "s-" NODE); *u_ && !str_eq(u_, uid); }) && all_run(&w, "s-" NODE));
    daemon_down(&w);
    daemon_up(&w);
    REACH(&w, all_run(&w, "s-" NODE));
    drop_file(&w, "s.yaml");
    REACH(&w, !is_stored(&w, "s-" NODE));
    CHECK_INT(fake_stats(w.rt)->starts, 2);
    world_down(&w);
}

static void test_broken_manifest(void)
{
    World w;
    world_up(&w);
    put_file(&w, "s.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: s}\nspec: {containers: [{name: c, image: i, imagge: x}]}\n");
    REACH(&w, has_event(&w, NODE, "FailedToParseManifest"));
    SCOPED(json_unref) json_t *e = event_of(&w, NODE, "FailedToParseManifest");
    CHECK(strstr(json_str(e, "message"), "unknown field \"spec.containers[0].imagge\"") != NULL);
    CHECK_STR(json_str(e, "type"), "Warning");
    CHECK_STR(json_str(json_object_get(e, "metadata"), "namespace"), "default");
    CHECK_STR(json_str(json_object_get(e, "involvedObject"), "uid"), NODE); /* nodeRef() */
    world_down(&w);
}

/* --- the Node ---------------------------------------------------------------------------------------------------------------- */

static void test_node(void)
{
    World w;
    world_up(&w);
    SCOPED(json_unref) json_t *n = stored(&w, "nodes", "", NODE);
    const json_t *status = json_object_get(n, "status"), *info = json_object_get(status, "nodeInfo");
    const json_t *labels = json_object_get(json_object_get(n, "metadata"), "labels");
    CHECK_STR(json_str(labels, "kubernetes.io/hostname"), NODE);
    CHECK_STR(json_str(labels, "kubernetes.io/os"), "linux");
    CHECK_STR(json_str(json_object_get(status, "capacity"), "pods"), "110");
    CHECK_STR(json_str(info, "bootID"), os_boot_id());
    CHECK(str_starts(json_str(info, "kubeletVersion"), "v1.35.0+reprise-"));
    CHECK_INT(json_array_size(json_object_get(status, "conditions")), 4);
    const json_t *ready = json_array_get(json_object_get(status, "conditions"), 3);
    CHECK_STR(json_str(ready, "type"), "Ready");
    CHECK_STR(json_str(ready, "status"), "True");
    CHECK_STR(json_str(ready, "message"), "kubelet is posting ready status");
    CHECK(has_event(&w, NODE, "Starting"));
    CHECK(!has_event(&w, NODE, "Rebooted"));
    /* What users wrote stays, over a death too; what is the node's own is put back. */
    edit(&w, "nodes", "", NODE, "metadata.labels", json_pack("{s:s}", "mine", "yes"));
    edit(&w, "nodes", "", NODE, "spec.unschedulable", json_true());
    REACH(&w, has_event(&w, NODE, "NodeNotSchedulable"));
    edit(&w, "nodes", "", NODE, "status.nodeInfo.bootID", json_string("another")); /* the machine went down, and came back */
    daemon_down(&w);
    daemon_up(&w);
    SCOPED(json_unref) json_t *again = stored(&w, "nodes", "", NODE);
    labels = json_object_get(json_object_get(again, "metadata"), "labels");
    CHECK_STR(json_str(labels, "mine"), "yes");
    CHECK_STR(json_str(labels, "kubernetes.io/hostname"), NODE);
    CHECK(json_flag(json_object_get(again, "spec"), "unschedulable", false));
    const json_t *taint = json_array_get(json_object_get(json_object_get(again, "spec"), "taints"), 0);
    CHECK_STR(json_str(taint, "key"), "node.kubernetes.io/unschedulable");
    CHECK_STR(json_str(json_object_get(again, "metadata"), "uid"), json_str(json_object_get(n, "metadata"), "uid"));
    world_down(&w);
}

/* --- a status ------------------------------------------------------------------------------------------------------------------ */

/* "A=True B=False n=x": conditions in their order, and what others own beside them. */
static char *merged(const char *mine, const char *old)
{
    SCOPED(json_unref) json_t *m = json_loads(mine, 0, NULL);
    SCOPED(json_unref) json_t *o = json_loads(old, 0, NULL);
    pod_status_merge(m, o);
    Str s = {0};
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(m, "conditions"), i, c)
        str_fmt(&s, "%s%s=%s", i ? " " : "", json_str(c, "type"), json_str(c, "status"));
    if (json_str(m, "nominatedNodeName"))
        str_fmt(&s, " n=%s", json_str(m, "nominatedNodeName"));
    return str_take(&s);
}

#define C(type, status) "{\"type\":\"" type "\",\"status\":\"" status "\"}"
#define CS(list) "{\"conditions\":[" list "]}"

static void test_status_merge(void)
{
    static const struct {
        const char *mine, *old, *want;
    } cases[] = {
        {CS(C("Ready", "True")), "{}", "Ready=True"},
        {CS(C("Ready", "True")), CS(C("Ready", "False")), "Ready=True"},
        {CS(C("Ready", "True")), CS(C("x/y", "True") "," C("Ready", "False")), "x/y=True Ready=True"},
        {CS(C("x/y", "True") "," C("Ready", "True")), CS(C("x/y", "False")), "x/y=False Ready=True"}, /* theirs is newer */
        {CS(C("x/y", "True") "," C("Ready", "True")), CS(C("Ready", "False")), "Ready=True"},         /* they took it away */
        {CS(C("DisruptionTarget", "True")), "{}", "DisruptionTarget=True"},                           /* an eviction of ours */
        {CS(C("DisruptionTarget", "True")), CS(C("DisruptionTarget", "False")), "DisruptionTarget=False"},
        {CS(C("Ready", "True")), "{\"nominatedNodeName\":\"n2\"}", "Ready=True n=n2"},
        {"{}", CS(C("x/y", "True")), "x/y=True"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED(mem_free) char *got = merged(cases[i].mine, cases[i].old);
        CHECK_STR(got, cases[i].want);
    }
}

/* --- claims ------------------------------------------------------------------------------------------------------------------- */

#define CLAIM "{\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}"

static bool is_bound(const World *w, const char *name)
{
    SCOPED(json_unref) json_t *o = stored(w, "persistentvolumeclaims", "default", name);
    return str_eq(json_str(json_object_get(o, "status"), "phase"), "Bound");
}

static void delete_claim(World *w, const char *name) /* it is protected: the API only marks it */
{
    char at[CLOCK_TEXT_MAX];
    edit(w, "persistentvolumeclaims", "default", name, "metadata.deletionTimestamp", json_string(clock_format(os_now_ns(), 0, at)));
}

static void test_claim(void)
{
    World w;
    world_up(&w);
    put_object(&w, "persistentvolumeclaims", "PersistentVolumeClaim", "data", CLAIM);
    REACH(&w, is_bound(&w, "data"));
    SCOPED(json_unref) json_t *o = stored(&w, "persistentvolumeclaims", "default", "data");
    CHECK_STR(json_str(json_object_get(json_object_get(o, "status"), "capacity"), "storage"), "1Gi");
    CHECK_STR(json_string_value(json_array_get(json_object_get(json_object_get(o, "metadata"), "finalizers"), 0)), "kubernetes.io/pvc-protection");
    make(&w, "p", "", "terminationGracePeriodSeconds: 1, containers: [{name: c, image: 'i:1'}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]");
    REACH(&w, all_run(&w, "p"));
    SCOPED(mem_free) char *dir = mem_fmt("%s/pvc/default/data", w.root);
    SCOPED(mem_free) char *file = mem_fmt("%s/f", dir);
    CHECK(fs_exists(dir));
    CHECK_OK(fs_write_atomic(file, "x", 1, 0644, false));
    delete_claim(&w, "data");
    for (int i = 0; i < 5; i++)
        turn(&w);
    CHECK(objstore_get(w.store, "persistentvolumeclaims", "default", "data") != NULL); /* used */
    make(&w, "late", "", "containers: [{name: c, image: 'i:1'}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]");
    REACH(&w, has_event(&w, "late", "FailedScheduling"));
    delete_pod(&w, "p", 0);
    REACH(&w, !objstore_get(w.store, "persistentvolumeclaims", "default", "data") && !fs_exists(dir));
    put_object(&w, "persistentvolumeclaims", "PersistentVolumeClaim", "data", CLAIM); /* a new one, and empty */
    REACH(&w, all_run(&w, "late"));
    CHECK(fs_exists(dir) && !fs_exists(file));
    world_down(&w);
}

/* The daemon died when the claim had gone and its data had not. */
static void test_claim_after_death(void)
{
    World w;
    world_up(&w);
    put_object(&w, "persistentvolumeclaims", "PersistentVolumeClaim", "data", CLAIM);
    put_object(&w, "persistentvolumeclaims", "PersistentVolumeClaim", "shared", CLAIM);
    REACH(&w, is_bound(&w, "data") && is_bound(&w, "shared"));
    static const char *const names[] = {"data", "shared", "foreign"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        SCOPED(mem_free) char *dir = mem_fmt("%s/pvc/default/%s", w.root, names[i]);
        CHECK_OK(fs_mkdirs(dir, 0755));
    }
    put_file(&w, "shared.yaml", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: shared}\nspec: {accessModes: [ReadWriteOnce], resources: "
                                "{requests: {storage: 1Gi}}}\n");
    CHECK_OK(objstore_delete(w.store, "persistentvolumeclaims", "default", "data", NULL, NULL));
    CHECK_OK(objstore_delete(w.store, "persistentvolumeclaims", "default", "shared", NULL, NULL));
    daemon_down(&w);
    daemon_up(&w);
    for (int i = 0; i < 5; i++)
        turn(&w);
    SCOPED(mem_free) char *data = mem_fmt("%s/pvc/default/data", w.root);
    SCOPED(mem_free) char *shared = mem_fmt("%s/pvc/default/shared", w.root);
    SCOPED(mem_free) char *foreign = mem_fmt("%s/pvc/default/foreign", w.root);
    CHECK(!fs_exists(data));
    CHECK(fs_exists(shared));  /* a file has it */
    CHECK(fs_exists(foreign)); /* not of the API */
    world_down(&w);
}

TESTS(T(test_status_merge), T(test_mirror), T(test_broken_manifest), T(test_node), T(test_claim), T(test_claim_after_death))
