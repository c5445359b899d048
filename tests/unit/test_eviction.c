/* test_eviction.c - thresholds as the kubelet reads them, one look after the other on a clock of the test's own, the order of Pods, and what
 * they are told. Expected orders and words are pkg/kubelet/eviction's (helpers_test.go, eviction_manager_test.go). */
#include "check.h"

#include "api/codec.h"
#include "api/objects.h"
#include "plan/eviction.h"
#include "plan/image_gc.h"

#define MI (INT64_C(1) << 20)
#define GI (INT64_C(1) << 30)

/* --- flags --------------------------------------------------------------------------------------------------------------------------- */

static char *config_text(const EvictConfig *c)
{
    Str s = {0};
    for (size_t i = 0; i < c->n; i++) {
        const EvictThreshold *t = &c->v[i];
        str_fmt(&s, "%s%s<", i ? " " : "", evict_signal_names[t->signal]);
        if (t->value.percent)
            str_fmt(&s, "%.3g%%", (double)t->value.fraction * 100);
        else
            str_add(&s, t->value.text);
        if (t->grace_ns)
            str_fmt(&s, "@%lld", (long long)(t->grace_ns / NS_PER_S));
        if (t->min_reclaim.set && t->min_reclaim.percent)
            str_fmt(&s, "+%.3g%%", (double)t->min_reclaim.fraction * 100);
        else if (t->min_reclaim.set)
            str_fmt(&s, "+%s", t->min_reclaim.text);
    }
    return str_take(&s);
}

static const struct {
    const char *hard, *soft, *grace, *minimum, *want, *error;
} parses[] = {
    {EVICTION_HARD_DEFAULT, NULL, NULL, NULL,
     "memory.available<100Mi nodefs.available<10% nodefs.inodesFree<5% imagefs.available<15% imagefs.inodesFree<5%", NULL},
    {"", "", "", "", "", NULL},
    {NULL, NULL, NULL, NULL, "", NULL},
    {"memory.available<0%", NULL, NULL, NULL, "", NULL},
    {"memory.available<100%", NULL, NULL, NULL, "", NULL},
    {"memory.available<150Mi", "memory.available<300Mi", "memory.available=30s", "memory.available=0",
     "memory.available<150Mi+0 memory.available<300Mi@30+0", NULL},
    {"pid.available<1k,imagefs.available<1024Mi", NULL, NULL, "imagefs.available=2Gi,pid.available=5%",
     "imagefs.available<1Gi+2Gi pid.available<1k+5%", NULL},
    {"memory.available<12.5%", NULL, NULL, NULL, "memory.available<12.5%", NULL},
    {"memory.available<1Gi,memory.available<2Gi", NULL, NULL, NULL, "memory.available<2Gi", NULL},
    {"containerfs.available<10%,nodefs.available<10%", NULL, NULL, NULL, "nodefs.available<10%", NULL},
    {"mem.available<150Mi", NULL, NULL, NULL, NULL, "unsupported eviction signal mem.available"},
    {"allocatableMemory.available<1", NULL, NULL, NULL, NULL, "unsupported eviction signal allocatableMemory.available"},
    {"memory.available=150Mi", NULL, NULL, NULL, NULL, "malformed pair, expect string<string: memory.available=150Mi"},
    {"memory.available<", NULL, NULL, NULL, NULL, "eviction threshold memory.available: \"\" is not a quantity"},
    {"memory.available<lots", NULL, NULL, NULL, NULL, "eviction threshold memory.available: \"lots\" is not a quantity"},
    {"memory.available<-150Mi", NULL, NULL, NULL, NULL, "eviction threshold memory.available must be positive: -150Mi"},
    {"memory.available<0", NULL, NULL, NULL, NULL, "eviction threshold memory.available must be positive: 0"},
    {"memory.available<-10%", NULL, NULL, NULL, NULL, "eviction percentage threshold memory.available must be >= 0%: -10%"},
    {"memory.available<110%", NULL, NULL, NULL, NULL, "eviction percentage threshold memory.available must be <= 100%: 110%"},
    {"memory.available<%", NULL, NULL, NULL, NULL, "eviction threshold memory.available: \"%\" is not a percentage"},
    {"memory.available<1.2.3%", NULL, NULL, NULL, NULL, "eviction threshold memory.available: \"1.2.3%\" is not a percentage"},
    {NULL, "memory.available<1Gi", NULL, NULL, NULL, "grace period must be specified for the soft eviction threshold memory.available"},
    {NULL, "memory.available<1Gi", "memory.available=soon", NULL, NULL, "time: invalid duration \"soon\""},
    {NULL, "memory.available<1Gi", "memory.available=-5s", NULL, NULL,
     "invalid eviction grace period specified: -5s, must be a positive value"},
    {NULL, NULL, NULL, "memory.available=-1", NULL, "negative eviction minimum reclaim specified for memory.available"},
    {NULL, NULL, NULL, "memory.available=0%", NULL, "eviction percentage minimum reclaim memory.available must be positive: 0%"},
};

static void test_parse(void)
{
    for (size_t i = 0; i < ARRAY_LEN(parses); i++) {
        EvictConfig c = {0};
        Err *e = eviction_parse(parses[i].hard, parses[i].soft, parses[i].grace, parses[i].minimum, &c);
        SCOPED(mem_free) char *error = e ? err_text(e) : NULL, *text = e ? NULL : config_text(&c);
        err_free(e);
        CHECK_STR(error, parses[i].error);
        CHECK_STR(text, parses[i].want);
    }
}

/* --- looks --------------------------------------------------------------------------------------------------------------------------- */

static EvictObservations see(EvictSignal s, int64_t available, int64_t capacity)
{
    EvictObservations o = {0};
    o.of[s].known = true;
    o.of[s].available = available;
    o.of[s].capacity = capacity;
    return o;
}

typedef struct {
    int64_t at_s, available;
    bool pressure, evict; /* what is expected */
} Look;

static void look_all(const EvictConfig *c, EvictSignal signal, int64_t capacity, const Look *v, size_t n)
{
    EvictState s = {0};
    for (size_t i = 0; i < n; i++) {
        EvictObservations o = see(signal, v[i].available, capacity);
        EvictDecision d = eviction_look(c, &o, DISKS_ONE, (1000 + v[i].at_s) * NS_PER_S, &s);
        bool pressure = signal == EVICT_MEMORY ? s.pressure.memory : signal == EVICT_PID ? s.pressure.pid : s.pressure.disk;
        if (pressure != v[i].pressure || !d.reclaim == v[i].evict)
            printf("# at %lld\n", (long long)v[i].at_s);
        CHECK_INT(pressure, v[i].pressure);
        CHECK_INT(d.reclaim != NULL, v[i].evict);
    }
}

static void test_hard_with_minimum_and_transition(void)
{
    EvictConfig c = {.transition_ns = 300 * NS_PER_S};
    CHECK_OK(eviction_parse("memory.available<1Gi", NULL, NULL, "memory.available=512Mi", &c));
    static const Look looks[] = {
        {0, 2 * GI, false, false},
        {10, GI, false, false},               /* not less */
        {20, GI - 1, true, true},
        {30, GI + 400 * MI, true, true},      /* the minimum is not reclaimed */
        {40, GI + 512 * MI, true, false},
        {50, GI + 400 * MI, true, false},     /* resolved: the threshold alone counts again */
        {329, 2 * GI, true, false},           /* last met at 30 */
        {330, 2 * GI, false, false},
    };
    look_all(&c, EVICT_MEMORY, 8 * GI, looks, ARRAY_LEN(looks));
}

static void test_soft(void)
{
    EvictConfig c = {.transition_ns = 300 * NS_PER_S};
    CHECK_OK(eviction_parse("nodefs.available<10%", "nodefs.available<20%", "nodefs.available=60s", NULL, &c));
    static const Look looks[] = {
        {0, 15 * GI, true, false},  /* the condition at once, the eviction when the grace is over */
        {59, 15 * GI, true, false},
        {60, 15 * GI, true, true},
        {70, 25 * GI, true, false},
        {80, 15 * GI, true, false}, /* from the beginning */
        {90, 9 * GI, true, true},   /* the hard one */
        {100, 30 * GI, true, false},
        {400, 30 * GI, false, false},
    };
    look_all(&c, EVICT_NODEFS, 100 * GI, looks, ARRAY_LEN(looks));
    static const Look pids[] = {{0, 10, false, false}, {10, 9, true, true}, {20, 10, true, false}};
    CHECK_OK(eviction_parse("pid.available<10", NULL, NULL, NULL, &c));
    look_all(&c, EVICT_PID, 100, pids, ARRAY_LEN(pids));
}

static void test_memory_first_and_who_can_help(void)
{
    EvictConfig c = {.transition_ns = NS_PER_S};
    CHECK_OK(eviction_parse("nodefs.available<10%,memory.available<1Gi,imagefs.inodesFree<5%", NULL, NULL, NULL, &c));
    NodeStats stats;
    node_stats_init(&stats);
    stats.memory.available = GI / 2;
    stats.memory.working_set = 7 * GI;
    stats.fs.available = 1;
    stats.fs.capacity = 1000;
    EvictObservations o;
    eviction_observations(&stats, &o);
    CHECK(o.of[EVICT_MEMORY].known && o.of[EVICT_MEMORY].capacity == 7 * GI + GI / 2);
    CHECK(o.of[EVICT_NODEFS].known && !o.of[EVICT_IMAGEFS].known && !o.of[EVICT_NODEFS_INODES].known && !o.of[EVICT_PID].known);
    EvictState s = {0};
    EvictDecision d = eviction_look(&c, &o, DISKS_ONE, NS_PER_S, &s);
    CHECK(d.reclaim && d.reclaim->signal == EVICT_MEMORY && !d.reclaim_node);
    CHECK(s.pressure.memory && s.pressure.disk && !s.pressure.pid);
    CHECK(eviction_still_short(&c, &o));
    static const struct { EvictSignal signal; DiskLayout disks; bool node; } help[] = {
        {EVICT_NODEFS, DISKS_ONE, true}, {EVICT_NODEFS, DISKS_IMAGEFS, false}, {EVICT_NODEFS, DISKS_SPLIT, false},
        {EVICT_IMAGEFS_INODES, DISKS_IMAGEFS, true}, {EVICT_IMAGEFS_INODES, DISKS_SPLIT, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(help); i++) {
        s = (EvictState){0};
        o = see(help[i].signal, 1, 1000);
        d = eviction_look(&c, &o, help[i].disks, NS_PER_S, &s);
        CHECK(d.reclaim && d.reclaim->signal == help[i].signal);
        CHECK_INT(d.reclaim_node, help[i].node);
    }
    node_stats_done(&stats);
}

/* --- ranking ------------------------------------------------------------------------------------------------------------------------- */

static Pod *pod_of(const char *name, const char *spec)
{
    SCOPED(mem_free) char *text = mem_fmt("{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {%s}}", name, spec);
    SCOPED(objects_done) Objects o = {0};
    SCOPED(doc_reports_done) DocReports r = {0};
    FeatureGates g;
    features_default(&g);
    CHECK_OK(objects_parse("t", text, strlen(text), &g, &o, &r));
    CHECK_INT(o.pods.n, 1);
    return o.pods.n ? MOVE(o.pods.v[0], NULL) : NULL;
}

#define C(more) "containers: [{name: c, image: i, " more "}]"
#define MEM(n) C("resources: {requests: {memory: " n "}}")
#define DISK(n) C("resources: {requests: {ephemeral-storage: " n "}}")

typedef struct {
    const char *name, *spec;
    int64_t memory, layer, logs, volume, inodes, processes; /* memory < 0: not measured */
} Who;

static PodStats stats_of(const Who *w)
{
    PodStats s;
    pod_stats_init(&s);
    s.memory.working_set = w->memory;
    s.processes = w->processes;
    ContainerStats *c = LIST_ADD(&s.containers);
    container_stats_init(c);
    c->name = mem_dup_str("c");
    c->memory.working_set = w->memory;
    c->rootfs.used = w->layer;
    c->rootfs.inodes_used = w->inodes;
    c->logs.used = w->logs;
    VolumeStats *v = LIST_ADD(&s.volumes);
    *v = (VolumeStats){.name = mem_dup_str("v"), .local = true};
    fs_stats_clear(&v->fs);
    v->fs.used = w->volume;
    s.ephemeral.used = w->layer + w->logs + w->volume;
    return s;
}

static char *ranked(EvictSignal signal, DiskLayout disks, const Who *v, size_t n)
{
    Pod *pods[8];
    PodStats stats[8];
    EvictCandidate c[8];
    for (size_t i = 0; i < n; i++) {
        pods[i] = pod_of(v[i].name, v[i].spec);
        stats[i] = stats_of(&v[i]);
        c[i] = (EvictCandidate){pods[i], v[i].memory < 0 ? NULL : &stats[i]};
    }
    eviction_rank(signal, disks, c, n);
    Str s = {0};
    for (size_t i = 0; i < n; i++)
        str_fmt(&s, "%s%s", i ? " " : "", c[i].pod->metadata.name);
    for (size_t i = 0; i < n; i++) {
        pod_free(pods[i]);
        pod_stats_done(&stats[i]);
    }
    return str_take(&s);
}

static void test_rank(void)
{
    static const Who memory[] = {
        {.name = "below-high", .spec = MEM("500Mi") ", priority: 100", .memory = 100 * MI},
        {.name = "below-low", .spec = MEM("500Mi") ", priority: 1", .memory = 400 * MI},
        {.name = "above-high", .spec = MEM("50Mi") ", priority: 100", .memory = 900 * MI},
        {.name = "above-low", .spec = MEM("50Mi") ", priority: 1", .memory = 60 * MI},
        {.name = "best-effort-low", .spec = C("") ", priority: 1", .memory = 30 * MI},
        {.name = "unknown", .spec = C("") ", priority: 100", .memory = -1},
    };
    SCOPED(mem_free) char *m = ranked(EVICT_MEMORY, DISKS_ONE, memory, ARRAY_LEN(memory));
    CHECK_STR(m, "unknown best-effort-low above-low above-high below-low below-high");
    static const Who disk[] = {
        {.name = "layers", .spec = DISK("1Mi"), .layer = 50 * MI, .inodes = 1},
        {.name = "logs", .spec = DISK("1Mi"), .logs = 40 * MI, .inodes = 2},
        {.name = "volume", .spec = DISK("1Mi"), .volume = 45 * MI, .inodes = 3},
        {.name = "asked", .spec = DISK("1Gi"), .layer = 500 * MI, .inodes = 4},
        {.name = "precious", .spec = C("") ", priority: 7", .layer = 900 * MI, .inodes = 5},
    };
    static const struct { EvictSignal signal; DiskLayout disks; const char *want; } rows[] = {
        {EVICT_NODEFS, DISKS_ONE, "layers volume logs precious asked"},
        {EVICT_NODEFS, DISKS_IMAGEFS, "volume logs layers asked precious"},
        {EVICT_NODEFS, DISKS_SPLIT, "layers volume logs precious asked"},
        {EVICT_IMAGEFS, DISKS_ONE, "layers volume logs precious asked"},
        {EVICT_IMAGEFS, DISKS_IMAGEFS, "layers precious logs volume asked"},
        {EVICT_NODEFS_INODES, DISKS_ONE, "asked volume logs layers precious"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *d = ranked(rows[i].signal, rows[i].disks, disk, ARRAY_LEN(disk));
        CHECK_STR(d, rows[i].want);
    }
    static const Who pids[] = {
        {.name = "few", .spec = C(""), .processes = 3},
        {.name = "precious", .spec = C("") ", priority: 7", .processes = 3000},
        {.name = "many", .spec = C(""), .processes = 300},
    };
    SCOPED(mem_free) char *p = ranked(EVICT_PID, DISKS_ONE, pids, ARRAY_LEN(pids));
    CHECK_STR(p, "many few precious");
}

/* --- words --------------------------------------------------------------------------------------------------------------------------- */

static void test_messages(void)
{
    static const struct {
        const char *hard;
        EvictSignal signal;
        int64_t available, capacity;
        Who who;
        const char *want;
    } rows[] = {
        {"memory.available<100Mi", EVICT_MEMORY, 93480 * 1024, 8 * GI, {.name = "p", .spec = MEM("50Mi"), .memory = 2 * GI},
         "The node was low on resource: memory. Threshold quantity: 100Mi, available: 93480Ki. Container c was using 2Gi, request is 50Mi, has "
         "larger consumption of memory. "},
        {"memory.available<10%", EVICT_MEMORY, 1000, 10000, {.name = "p", .spec = C(""), .memory = 12345},
         "The node was low on resource: memory. Threshold quantity: 1k, available: 1k. Container c was using 12345, request is 0, has larger "
         "consumption of memory. "},
        {"memory.available<1Gi", EVICT_MEMORY, MI, 8 * GI, {.name = "p", .spec = MEM("3Gi"), .memory = 2 * GI},
         "The node was low on resource: memory. Threshold quantity: 1Gi, available: 1Mi. "},
        {"memory.available<1Gi", EVICT_MEMORY, MI, 8 * GI, {.name = "p", .spec = C("") ", resources: {requests: {memory: 1Mi}}", .memory = 2 * MI},
         "The node was low on resource: memory. Threshold quantity: 1Gi, available: 1Mi. Pod p was using 2Mi, request is 1Mi, has larger "
         "consumption of memory. Container c was using 2Mi, request is 0, has larger consumption of memory. "},
        {"nodefs.available<10%", EVICT_NODEFS, 5 * GI, 100 * GI, {.name = "p", .spec = DISK("10Mi"), .layer = 20 * MI, .logs = MI},
         "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418400, available: 5Gi. Container c was using 21Mi, request "
         "is 10Mi, has larger consumption of ephemeral-storage. "},
        {"nodefs.inodesFree<1k", EVICT_NODEFS_INODES, 200, 5000, {.name = "p", .spec = C(""), .inodes = 9},
         "The node was low on resource: inodes. Threshold quantity: 1k, available: 200. "},
        {"pid.available<100", EVICT_PID, 10, 32768, {.name = "p", .spec = C(""), .processes = 3000},
         "The node was low on resource: pids. Threshold quantity: 100, available: 10. "},
        {"memory.available<1Gi", EVICT_MEMORY, MI, 8 * GI, {.name = "p", .spec = C(""), .memory = -1},
         "The node was low on resource: memory. Threshold quantity: 1Gi, available: 1Mi. "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        EvictConfig c = {0};
        CHECK_OK(eviction_parse(rows[i].hard, NULL, NULL, NULL, &c));
        EvictObservations o = see(rows[i].signal, rows[i].available, rows[i].capacity);
        SCOPED(pod_free) Pod *p = pod_of("p", rows[i].who.spec);
        PodStats s = stats_of(&rows[i].who);
        EvictCandidate who = {p, rows[i].who.memory < 0 ? NULL : &s};
        SCOPED(mem_free) char *text = eviction_message(&c.v[0], &o, &who);
        CHECK_STR(text, rows[i].want);
        pod_stats_done(&s);
    }
}

static void test_storage_limits(void)
{
    static const struct { Who who; DiskLayout disks; const char *want, *signal; } rows[] = {
        {{.spec = C("resources: {limits: {ephemeral-storage: 2Mi}}"), .layer = MI, .logs = MI}, DISKS_ONE, NULL, NULL},
        {{.spec = C("resources: {limits: {ephemeral-storage: 2Mi}}"), .layer = MI, .logs = MI, .volume = 1}, DISKS_ONE,
         "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ", "ephemeralpodfs.limit"},
        {{.spec = "containers: [{name: c, image: i, resources: {limits: {ephemeral-storage: 2Mi}}}, {name: d, image: i, resources: {limits: "
                  "{ephemeral-storage: 20Mi}}}]",
          .layer = 2 * MI, .logs = 1}, DISKS_ONE, "Container c exceeded its local ephemeral storage limit \"2Mi\". ", "ephemeralcontainerfs.limit"},
        {{.spec = "containers: [{name: c, image: i, resources: {limits: {ephemeral-storage: 2Mi}}}, {name: d, image: i, resources: {limits: "
                  "{ephemeral-storage: 20Mi}}}]",
          .layer = 2 * MI, .logs = 1}, DISKS_IMAGEFS, NULL, NULL}, /* its layer is not on the node's file system */
        {{.spec = C(""), .layer = GI}, DISKS_ONE, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(pod_free) Pod *p = pod_of("p", rows[i].who.spec);
        PodStats s = stats_of(&rows[i].who);
        const char *signal = NULL;
        SCOPED(mem_free) char *text = eviction_storage_limit(&(EvictCandidate){p, &s}, rows[i].disks, &signal);
        CHECK_STR(text, rows[i].want);
        CHECK_STR(signal, rows[i].signal);
        pod_stats_done(&s);
    }
}

static void test_critical_and_grace(void)
{
    static const struct { const char *meta, *spec; bool critical; int64_t soft; } rows[] = {
        {"", C(""), false, 5},
        {", annotations: {kubernetes.io/config.source: file}", C(""), true, 5},
        {", annotations: {kubernetes.io/config.source: api}", C(""), false, 5},
        {", annotations: {kubernetes.io/config.mirror: x}", C(""), true, 5},
        {"", C("") ", priority: 2000000000", true, 5},
        {"", C("") ", priority: 1999999999", false, 5},
    };
    EvictConfig c = {.max_pod_grace_s = 5};
    CHECK_OK(eviction_parse("memory.available<1", "memory.available<2", "memory.available=1s", NULL, &c));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *name = mem_fmt("p%s", rows[i].meta);
        SCOPED(pod_free) Pod *p = pod_of(name, rows[i].spec);
        CHECK_INT(pod_is_critical(p), rows[i].critical);
        CHECK_INT(eviction_grace_s(&c, &c.v[0], p), 1);
        CHECK_INT(eviction_grace_s(&c, &c.v[1], p), rows[i].soft);
        EvictConfig other = c;
        other.max_pod_grace_s = -1;
        CHECK_INT(eviction_grace_s(&other, &c.v[1], p), p->spec.termination_grace_period_seconds.v);
        other.max_pod_grace_s = 0;
        CHECK_INT(eviction_grace_s(&other, &c.v[1], p), 1);
    }
}

static void test_admission(void)
{
    static const struct { NodePressure now; const char *spec, *want; } rows[] = {
        {{false, false, false}, C(""), NULL},
        {{.memory = true}, C(""), "The node had condition: [MemoryPressure]. "},
        {{.memory = true}, MEM("1Mi"), NULL},
        {{.memory = true}, C("") ", tolerations: [{key: node.kubernetes.io/memory-pressure, operator: Exists, effect: NoSchedule}]", NULL},
        {{.memory = true}, C("") ", tolerations: [{operator: Exists}]", NULL},
        {{.memory = true}, C("") ", tolerations: [{key: node.kubernetes.io/disk-pressure, operator: Exists}]",
         "The node had condition: [MemoryPressure]. "},
        {{.disk = true}, MEM("1Mi"), "The node had condition: [DiskPressure]. "},
        {{.disk = true}, C("") ", tolerations: [{operator: Exists}]", "The node had condition: [DiskPressure]. "},
        {{.memory = true, .pid = true}, MEM("1Mi"), "The node had condition: [MemoryPressure PIDPressure]. "},
        {{true, true, true}, C("") ", priority: 2000000000", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(pod_free) Pod *p = pod_of("p", rows[i].spec);
        SCOPED(mem_free) char *text = eviction_refuses(rows[i].now, p);
        CHECK_STR(text, rows[i].want);
    }
}

/* --- images -------------------------------------------------------------------------------------------------------------------------- */

static void test_image_gc_wanted(void)
{
    static const ImageGcPolicy policy = {85, 80, 0, 0};
    static const struct { int64_t available, capacity, want; } rows[] = {
        {16, 100, 0}, {15, 100, 5}, {0, 100, 20}, {150, 1000, 50}, {200, 100, 0}, {0, 0, 0}, {-1, 100, 0}, {1, INT64_MAX, 1844674407370955160},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_INT(image_gc_wanted(&policy, rows[i].available, rows[i].capacity), rows[i].want);
    static const ImageGcPolicy never = {100, 80, 0, 0};
    CHECK_INT(image_gc_wanted(&never, 0, 100), 0);
}

/* The ids of what goes, in order. */
static char *gone(ImageRecords *r, const ImageGcPolicy *p, ImageGcReason why, int64_t now)
{
    Str s = {0};
    for (ImageRecord *x; (x = image_gc_next(r, p, why, now)) != NULL;) {
        str_fmt(&s, "%s%s", s.n ? " " : "", x->id);
        x->failed = true; /* not again in this run */
    }
    return str_take(&s);
}

static void test_image_gc_order(void)
{
    const int64_t m = 60 * NS_PER_S;
    ImageGcPolicy policy = {85, 80, 2 * m, 0};
    ImageRecords r = {0};
    const ImageSeen first[] = {{"old", 1, false, false}, {"used", 1, true, false}, {"was", 1, true, false}, {"pinned", 1, false, true}};
    image_gc_see(&r, first, ARRAY_LEN(first), 100 * m);
    const ImageSeen second[] = {{"old", 1, false, false}, {"used", 1, true, false}, {"was", 1, false, false}, {"pinned", 1, false, true},
                                {"new", 1, false, false}, {"lost", 1, false, false}};
    image_gc_see(&r, second, ARRAY_LEN(second), 105 * m);
    SCOPED(mem_free) char *a = gone(&r, &policy, IMAGE_GC_SPACE, 105 * m);
    CHECK_STR(a, "old was"); /* never used first; the new one is too young */
    image_gc_see(&r, second, ARRAY_LEN(second) - 1, 107 * m);
    SCOPED(mem_free) char *b = gone(&r, &policy, IMAGE_GC_SPACE, 107 * m);
    CHECK_STR(b, "old new was"); /* and what vanished is not tried */
    image_gc_see(&r, second, ARRAY_LEN(second) - 1, 107 * m);
    image_gc_forget(&r, "old");
    image_gc_forget(&r, "nobody");
    SCOPED(mem_free) char *c = gone(&r, &policy, IMAGE_GC_SPACE, 107 * m);
    CHECK_STR(c, "new was");
    image_records_done(&r);
}

static void test_image_gc_age(void)
{
    const int64_t m = 60 * NS_PER_S;
    ImageGcPolicy policy = {85, 80, 0, 10 * m};
    ImageRecords r = {0};
    const ImageSeen seen[] = {{"old", 1, false, false}, {"used", 1, true, false}, {"pinned", 1, false, true}};
    image_gc_see(&r, seen, ARRAY_LEN(seen), 100 * m);
    SCOPED(mem_free) char *a = gone(&r, &policy, IMAGE_GC_AGE, 101 * m);
    CHECK_STR(a, ""); /* nobody knows yet for how long they were not used */
    image_gc_see(&r, seen, ARRAY_LEN(seen), 111 * m);
    SCOPED(mem_free) char *b = gone(&r, &policy, IMAGE_GC_AGE, 111 * m);
    CHECK_STR(b, "old");
    policy.max_age_ns = 0;
    image_gc_see(&r, seen, ARRAY_LEN(seen), 500 * m);
    SCOPED(mem_free) char *c = gone(&r, &policy, IMAGE_GC_AGE, 500 * m);
    CHECK_STR(c, "");
    image_records_done(&r);
}

TESTS(T(test_image_gc_wanted), T(test_image_gc_order), T(test_image_gc_age), T(test_parse), T(test_hard_with_minimum_and_transition), T(test_soft), T(test_memory_first_and_who_can_help), T(test_rank),
      T(test_messages), T(test_storage_limits), T(test_critical_and_grace), T(test_admission))
