/* facts_json.c - PlanInput and Plan as JSON. Each kind of fact is a table of rows that drives both directions, so that a
 * dump can always be read back. */
#include "agent/facts_json.h"


#include "base/str.h"
#include "wire/json.h"

/* More would be no Pod of Kubernetes, and the core looks at each of them a few times. */
#define LIST_MAX 4096

typedef enum { V_STR, V_BOOL, V_I32, V_U32, V_TIME, V_SECONDS, V_ENUM, V_STRS } ValueKind;
typedef struct {
    const char *json;
    ValueKind kind;
    size_t off;
    const char *const *names; /* V_ENUM: by value, NULL at the end */
    bool required;
} Row;

/* A row whose kind does not fit the member's type does not compile. */
#define CHECK_V_STR(m) _Generic((m), char *: 0)
#define CHECK_V_BOOL(m) _Generic((m), bool: 0)
#define CHECK_V_I32(m) _Generic((m), int32_t: 0)
#define CHECK_V_U32(m) _Generic((m), uint32_t: 0)
#define CHECK_V_TIME(m) _Generic((m), int64_t: 0)
#define CHECK_V_SECONDS(m) _Generic((m), int64_t: 0)
#define CHECK_V_STRS(m) _Generic((m), StrList: 0)
#define CHECK_V_ENUM(m) (0 * sizeof(char[sizeof(m) == sizeof(int) ? 1 : -1]))
#define ROW(T, k, m, js, ...)                                                                                          \
    {.json = (js), .kind = (k), .off = offsetof(T, m) + 0 * (size_t)(CHECK_##k(((T *)0)->m)), __VA_ARGS__}

static const char *const sandbox_states[] = {[SANDBOX_READY] = "Ready", [SANDBOX_NOT_READY] = "NotReady", NULL};
static const char *const run_states[] = {
    [RUN_CREATED] = "Created", [RUN_RUNNING] = "Running", [RUN_EXITED] = "Exited", [RUN_UNKNOWN] = "Unknown", NULL};
static const char *const hook_states[] = {
    [HOOK_NONE] = "None", [HOOK_RUNNING] = "Running", [HOOK_DONE] = "Done", [HOOK_FAILED] = "Failed", NULL};
static const char *const start_states[] = {[START_IN_FLIGHT] = "InFlight", [START_FAILED] = "Failed", NULL};
static const char *const probe_results[] = {
    [PROBE_UNKNOWN] = "Unknown", [PROBE_SUCCESS] = "Success", [PROBE_FAILURE] = "Failure", NULL};

static const Row sandbox_rows[] = {
    ROW(SandboxFact, V_STR, id, "id", .required = true),
    ROW(SandboxFact, V_U32, attempt, "attempt"),
    ROW(SandboxFact, V_ENUM, state, "state", .names = sandbox_states),
    ROW(SandboxFact, V_STRS, ips, "ips"),
    ROW(SandboxFact, V_BOOL, host_network, "hostNetwork"),
    ROW(SandboxFact, V_TIME, created_at_ns, "createdAt"),
    ROW(SandboxFact, V_I32, pid, "pid"),
};
static const Row container_rows[] = {
    ROW(ContainerFact, V_STR, id, "id", .required = true),
    ROW(ContainerFact, V_STR, name, "name", .required = true),
    ROW(ContainerFact, V_STR, sandbox_id, "sandboxId"),
    ROW(ContainerFact, V_U32, attempt, "attempt"),
    ROW(ContainerFact, V_ENUM, state, "state", .names = run_states, .required = true),
    ROW(ContainerFact, V_BOOL, exit_known, "exitKnown"),
    ROW(ContainerFact, V_I32, exit_code, "exitCode"),
    ROW(ContainerFact, V_I32, signal, "signal"),
    ROW(ContainerFact, V_STR, reason, "reason"),
    ROW(ContainerFact, V_STR, message, "message"),
    ROW(ContainerFact, V_TIME, created_at_ns, "createdAt"),
    ROW(ContainerFact, V_TIME, started_at_ns, "startedAt"),
    ROW(ContainerFact, V_TIME, finished_at_ns, "finishedAt"),
    ROW(ContainerFact, V_STR, image, "image"),
    ROW(ContainerFact, V_STR, image_id, "imageId"),
    ROW(ContainerFact, V_STR, log_path, "logPath"),
    ROW(ContainerFact, V_STR, spec_hash, "specHash"),
    ROW(ContainerFact, V_I32, pid, "pid"),
    ROW(ContainerFact, V_ENUM, post_start, "postStart", .names = hook_states),
    ROW(ContainerFact, V_TIME, stop_since_ns, "stopSince"),
    ROW(ContainerFact, V_STR, stop_reason, "stopReason"),
    ROW(ContainerFact, V_SECONDS, stop_grace_ns, "stopGraceSeconds"),
    ROW(ContainerFact, V_ENUM, pre_stop, "preStop", .names = hook_states),
    ROW(ContainerFact, V_TIME, term_at_ns, "termAt"),
    ROW(ContainerFact, V_TIME, kill_at_ns, "killAt"),
};
static const Row standby_rows[] = {
    ROW(StandbyFact, V_STR, id, "id", .required = true),
    ROW(StandbyFact, V_STR, name, "name", .required = true),
    ROW(StandbyFact, V_STR, sandbox_id, "sandboxId"),
    ROW(StandbyFact, V_U32, attempt, "attempt"),
    ROW(StandbyFact, V_STR, key, "key"),
};
static const Row start_rows[] = {
    ROW(StartFact, V_ENUM, state, "state", .names = start_states, .required = true),
    ROW(StartFact, V_STR, reason, "reason"),
    ROW(StartFact, V_STR, message, "message"),
    ROW(StartFact, V_TIME, at_ns, "at"),
};
static const Row setup_rows[] = {
    ROW(SetupFact, V_BOOL, in_flight, "inFlight"),
    ROW(SetupFact, V_BOOL, failed, "failed"),
    ROW(SetupFact, V_STR, message, "message"),
    ROW(SetupFact, V_TIME, at_ns, "at"),
};
static const Row backoff_rows[] = {
    ROW(BackoffEntry, V_SECONDS, delay_ns, "delaySeconds"),
    ROW(BackoffEntry, V_TIME, last_update_ns, "lastUpdate"),
};
static const Row config_rows[] = {
    ROW(PlanConfig, V_SECONDS, backoff_initial_ns, "backoffInitialSeconds"),
    ROW(PlanConfig, V_SECONDS, backoff_max_ns, "backoffMaxSeconds"),
    ROW(PlanConfig, V_SECONDS, backoff_reset_ns, "backoffResetSeconds"),
    ROW(PlanConfig, V_BOOL, restart_all_backoff, "restartAllBackoff"),
    ROW(PlanConfig, V_SECONDS, restart_all_initial_ns, "restartAllInitialSeconds"),
    ROW(PlanConfig, V_SECONDS, restart_all_max_ns, "restartAllMaxSeconds"),
    ROW(PlanConfig, V_ENUM, prepare, "prepare", .names = prepare_mode_names),
    ROW(PlanConfig, V_SECONDS, retry_ns, "retrySeconds"),
};
typedef struct {
    int64_t since_ns, grace_ns;
    char *reason;
} Ending;
static const Row ending_rows[] = {
    ROW(Ending, V_TIME, since_ns, "since", .required = true),
    ROW(Ending, V_SECONDS, grace_ns, "graceSeconds"),
    ROW(Ending, V_STR, reason, "reason"),
};

/* --- encode ------------------------------------------------------------------------------------------------------ */

#define AT(T, obj, row) ((T *)(void *)((char *)(obj) + (row)->off))
#define AT_CONST(T, obj, row) ((T const *)(const void *)((const char *)(obj) + (row)->off))

static json_t *time_json(int64_t ns)
{
    char text[CLOCK_TEXT_MAX];
    return ns == NS_NONE ? NULL : json_string(clock_format(ns, ns % NS_PER_S ? 9 : 0, text));
}

static json_t *seconds_json(int64_t ns)
{
    return ns % NS_PER_S == 0 ? json_integer(ns / NS_PER_S) : json_real((double)ns / (double)NS_PER_S);
}

static json_t *strs_json(const StrList *l)
{
    json_t *a = json_array();
    LIST_EACH(s, l)
    {
        json_array_append_new(a, json_string(str_or(*s, "")));
    }
    return a;
}

static json_t *value_json(const Row *r, const void *obj)
{
    int e;
    switch (r->kind) {
    case V_STR:
        return *AT_CONST(char *, obj, r) ? json_string(*AT_CONST(char *, obj, r)) : NULL;
    case V_BOOL:
        return json_boolean(*AT_CONST(bool, obj, r));
    case V_I32:
        return json_integer(*AT_CONST(int32_t, obj, r));
    case V_U32:
        return json_integer(*AT_CONST(uint32_t, obj, r));
    case V_TIME:
        return time_json(*AT_CONST(int64_t, obj, r));
    case V_SECONDS:
        return seconds_json(*AT_CONST(int64_t, obj, r));
    case V_STRS:
        return AT_CONST(StrList, obj, r)->n ? strs_json(AT_CONST(StrList, obj, r)) : NULL;
    case V_ENUM:
        memcpy(&e, AT_CONST(char, obj, r), sizeof e);
        return json_string(r->names[e]);
    default:
        return NULL;
    }
}

static json_t *rows_json(const Row *rows, size_t n, const void *obj)
{
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *v = value_json(&rows[i], obj);
        if (v) /* a string that is not UTF-8 has no JSON and is left out too */
            json_object_set_new(o, rows[i].json, v);
    }
    return o;
}
#define ROWS_JSON(rows, obj) rows_json((rows), ARRAY_LEN(rows), (obj))

static json_t *container_json(const ContainerFact *c)
{
    json_t *o = ROWS_JSON(container_rows, c);
    if (c->state != RUN_EXITED || !c->exit_known)
        json_object_del(o, "exitCode");
    if (c->state != RUN_EXITED)
        json_object_del(o, "exitKnown");
    return o;
}

static json_t *probes_json(const PlanInput *in)
{
    static const char *const kinds[PROBE_KIND_N] = {"startup", "liveness", "readiness"};
    json_t *o = json_object();
    LIST_EACH(p, &in->probes)
    {
        json_t *r = json_object();
        for (int k = 0; k < PROBE_KIND_N; k++)
            json_object_set_new(r, kinds[k], json_string(probe_results[p->result[k]]));
        json_object_set_new(o, p->container, r);
    }
    return o;
}

static json_t *backoff_json(const BackoffTable *t)
{
    json_t *o = json_object();
    LIST_EACH(e, t)
    {
        json_object_set_new(o, e->key, ROWS_JSON(backoff_rows, e));
    }
    return o;
}

static json_t *starts_json(const StartFact *v, size_t n)
{
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, v[i].container, ROWS_JSON(start_rows, &v[i]));
    return o;
}

json_t *facts_to_json(const PlanInput *in)
{
    json_t *o = json_object();
    json_object_set_new(o, "now", time_json(in->now_ns));
    json_t *gates = json_object();
#define GATE_JSON(name, def, stage) json_object_set_new(gates, #name, json_boolean(in->gates.name));
    FEATURE_GATES(GATE_JSON)
#undef GATE_JSON
    json_object_set_new(o, "featureGates", gates);
    json_object_set_new(o, "config", ROWS_JSON(config_rows, &in->config));
    json_object_set_new(o, "pod", api_encode(&type_Pod, in->pod));
    json_t *sandboxes = json_array(), *containers = json_array(), *standbys = json_array(), *runtime = json_object();
    LIST_EACH(s, &in->runtime->sandboxes)
    {
        json_array_append_new(sandboxes, ROWS_JSON(sandbox_rows, s));
    }
    LIST_EACH(c, &in->runtime->containers)
    {
        json_array_append_new(containers, container_json(c));
    }
    json_object_set_new(runtime, "sandboxes", sandboxes);
    json_object_set_new(runtime, "containers", containers);
    LIST_EACH(s, &in->runtime->standbys)
    {
        json_array_append_new(standbys, ROWS_JSON(standby_rows, s));
    }
    json_object_set_new(runtime, "standbys", standbys);
    json_object_set_new(o, "runtime", runtime);
    json_object_set_new(o, "probes", probes_json(in));
    json_object_set_new(o, "backoff", backoff_json(&in->backoff));
    json_object_set_new(o, "starts", starts_json(in->starts.v, in->starts.n));
    json_object_set_new(o, "prepares", starts_json(in->prepares.v, in->prepares.n));
    json_object_set_new(o, "sandbox", ROWS_JSON(setup_rows, &in->sandbox));
    json_object_set_new(o, "volumes", ROWS_JSON(setup_rows, &in->volumes));
    if (in->terminating) {
        Ending e = {in->terminating_since_ns, in->terminating_grace_ns, in->terminating_reason};
        json_object_set_new(o, "terminating", ROWS_JSON(ending_rows, &e));
    }
    json_object_set_new(o, "hostIPs", strs_json(&in->host_ips));
    return o;
}

/* --- decode ------------------------------------------------------------------------------------------------------ */

static Err *wrong(const char *path, const char *want)
{
    return err_new(ERR_INVALID, 0, "%s: must be %s", path, want);
}

static bool time_from(const json_t *j, int64_t *ret)
{
    if (json_is_string(j))
        return clock_parse(json_string_value(j), ret) && *ret != NS_NONE;
    if (!json_is_number(j))
        return false;
    double s = json_number_value(j);
    if (!(s > -9.0e9 && s < 9.0e9)) /* int64 nanoseconds end there */
        return false;
    *ret = json_is_integer(j) ? (int64_t)json_integer_value(j) * NS_PER_S : (int64_t)(s * (double)NS_PER_S);
    return true;
}

static Err *int_from(const json_t *j, const char *path, int64_t min, int64_t max, int64_t *ret)
{
    if (!json_is_integer(j) || json_integer_value(j) < min || json_integer_value(j) > max)
        return err_new(ERR_INVALID, 0, "%s: must be a whole number from %lld to %lld", path, (long long)min, (long long)max);
    *ret = json_integer_value(j);
    return NULL;
}

static Err *enum_from(const json_t *j, const char *path, const Row *r, int *ret)
{
    SCOPED(str_done) Str names = {0};
    const char *text = json_is_string(j) ? json_string_value(j) : "";
    for (int i = 0; r->names[i]; i++) {
        if (strcmp(r->names[i], text) == 0) {
            *ret = i;
            return NULL;
        }
        str_fmt(&names, "%s%s", i ? ", " : "", r->names[i]);
    }
    return err_new(ERR_INVALID, 0, "%s: must be one of %s", path, names.p);
}

static Err *strs_from(const json_t *j, const char *path, StrList *ret)
{
    if (!json_is_array(j) || json_array_size(j) > LIST_MAX)
        return wrong(path, "a list of strings");
    for (size_t i = 0; i < json_array_size(j); i++) {
        const char *s = json_string_value(json_array_get(j, i));
        if (!s)
            return wrong(path, "a list of strings");
        *LIST_ADD(ret) = mem_dup_str(s);
    }
    return NULL;
}

static Err *value_from(const json_t *j, const char *path, const Row *r, void *obj)
{
    int64_t n = 0;
    int named = 0;
    Err *e = NULL;
    switch (r->kind) {
    case V_STR:
        if (!json_is_string(j))
            return wrong(path, "a string");
        mem_set_str(AT(char *, obj, r), json_string_value(j));
        return NULL;
    case V_BOOL:
        if (!json_is_boolean(j))
            return wrong(path, "true or false");
        *AT(bool, obj, r) = json_is_true(j);
        return NULL;
    case V_I32:
        if ((e = int_from(j, path, INT32_MIN, INT32_MAX, &n)) == NULL)
            *AT(int32_t, obj, r) = (int32_t)n;
        return e;
    case V_U32: /* a count that can still grow */
        if ((e = int_from(j, path, 0, INT32_MAX, &n)) == NULL)
            *AT(uint32_t, obj, r) = (uint32_t)n;
        return e;
    case V_TIME:
        if (!time_from(j, AT(int64_t, obj, r)))
            return wrong(path, "an RFC 3339 time or a number of seconds since 1970");
        return NULL;
    case V_SECONDS:
        if (!json_is_number(j) || !(json_number_value(j) >= 0 && json_number_value(j) < 9.0e9))
            return wrong(path, "a number of seconds, not negative");
        *AT(int64_t, obj, r) = json_is_integer(j) ? (int64_t)json_integer_value(j) * NS_PER_S
                                                  : (int64_t)(json_number_value(j) * (double)NS_PER_S);
        return NULL;
    case V_STRS:
        return strs_from(j, path, AT(StrList, obj, r));
    case V_ENUM:
        if ((e = enum_from(j, path, r, &named)) == NULL)
            memcpy(AT(char, obj, r), &named, sizeof named);
        return e;
    default:
        return err_new(ERR_BUG, 0, "%s: unknown kind", path);
    }
}

static Err *rows_from(const json_t *j, const char *path, const Row *rows, size_t n, void *obj)
{
    if (!json_is_object(j))
        return wrong(path, "an object");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(j, rows[i].json);
        SCOPED(mem_free) char *at = mem_fmt("%s.%s", path, rows[i].json);
        if (!v || json_is_null(v)) {
            if (rows[i].required)
                return err_new(ERR_INVALID, 0, "%s: is missing", at);
            continue;
        }
        Err *e = value_from(v, at, &rows[i], obj);
        if (e)
            return e;
    }
    return NULL;
}
#define ROWS_FROM(j, path, rows, obj) rows_from((j), (path), (rows), ARRAY_LEN(rows), (obj))

static Err *sandbox_from(const json_t *j, const char *path, PodFacts *out)
{
    SandboxFact *s = LIST_ADD(&out->sandboxes);
    s->created_at_ns = NS_NONE;
    Err *e = ROWS_FROM(j, path, sandbox_rows, s);
    const char *ip = json_str(j, "ip"); /* the short form for the one address that most have */
    if (!e && ip && *ip && !s->ips.n)
        *LIST_ADD(&s->ips) = mem_dup_str(ip);
    return e;
}

static Err *container_from(const json_t *j, const char *path, PodFacts *out)
{
    ContainerFact *c = LIST_ADD(&out->containers);
    c->created_at_ns = c->started_at_ns = c->finished_at_ns = NS_NONE;
    c->stop_since_ns = c->term_at_ns = c->kill_at_ns = NS_NONE;
    /* Who gives a code knows it; who gives none, for one that exited, does not. */
    c->exit_known = json_object_get(j, "exitCode") && !json_is_null(json_object_get(j, "exitCode"));
    Err *e = ROWS_FROM(j, path, container_rows, c);
    /* A running container whose hook is not spoken of has had it. */
    if (!e && c->state == RUN_RUNNING && !json_object_get(j, "postStart"))
        c->post_start = HOOK_DONE;
    return e;
}

static Err *standby_from(const json_t *j, const char *path, PodFacts *out)
{
    return ROWS_FROM(j, path, standby_rows, LIST_ADD(&out->standbys));
}

static Err *list_from(const json_t *runtime, const char *key, Err *(*one)(const json_t *, const char *, PodFacts *),
                      PodFacts *out)
{
    const json_t *l = json_object_get(runtime, key);
    if (!l || json_is_null(l))
        return NULL;
    if (!json_is_array(l) || json_array_size(l) > LIST_MAX)
        return err_new(ERR_INVALID, 0, "runtime.%s: must be a list of at most %d", key, LIST_MAX);
    for (size_t i = 0; i < json_array_size(l); i++) {
        SCOPED(mem_free) char *path = mem_fmt("runtime.%s[%zu]", key, i);
        Err *e = one(json_array_get(l, i), path, out);
        if (e)
            return e;
    }
    return NULL;
}

/* Object members by key: probes, backoff, starts. */
typedef Err *EntryFrom(const char *key, const json_t *j, const char *path, PlanInput *in);

static Err *probe_from(const char *key, const json_t *j, const char *path, PlanInput *in)
{
    static const Row kinds[PROBE_KIND_N] = {
        {.json = "startup", .kind = V_ENUM, .off = offsetof(ProbeFact, result[PROBE_STARTUP]), .names = probe_results},
        {.json = "liveness", .kind = V_ENUM, .off = offsetof(ProbeFact, result[PROBE_LIVENESS]), .names = probe_results},
        {.json = "readiness", .kind = V_ENUM, .off = offsetof(ProbeFact, result[PROBE_READINESS]), .names = probe_results},
    };
    ProbeFact *p = LIST_ADD(&in->probes);
    p->container = mem_dup_str(key);
    return ROWS_FROM(j, path, kinds, p);
}

static Err *backoff_from(const char *key, const json_t *j, const char *path, PlanInput *in)
{
    BackoffEntry *e = LIST_ADD(&in->backoff);
    e->key = mem_dup_str(key);
    e->last_update_ns = in->now_ns;
    return ROWS_FROM(j, path, backoff_rows, e);
}

static Err *start_fact_from(const char *key, const json_t *j, const char *path, int64_t now_ns, StartFact *s)
{
    s->container = mem_dup_str(key);
    s->at_ns = now_ns;
    return ROWS_FROM(j, path, start_rows, s);
}

static Err *start_from(const char *key, const json_t *j, const char *path, PlanInput *in)
{
    return start_fact_from(key, j, path, in->now_ns, LIST_ADD(&in->starts));
}

static Err *prepare_from(const char *key, const json_t *j, const char *path, PlanInput *in)
{
    return start_fact_from(key, j, path, in->now_ns, LIST_ADD(&in->prepares));
}

static Err *map_from(const json_t *root, const char *key, EntryFrom *one, PlanInput *in)
{
    json_t *o = json_object_get(root, key);
    if (!o || json_is_null(o))
        return NULL;
    if (!json_is_object(o) || json_object_size(o) > LIST_MAX)
        return wrong(key, "an object");
    const char *name;
    json_t *v;
    json_object_foreach(o, name, v)
    {
        SCOPED(mem_free) char *path = mem_fmt("%s[\"%s\"]", key, name);
        Err *e = one(name, v, path, in);
        if (e)
            return e;
    }
    return NULL;
}

static Err *gates_from(const json_t *root, FeatureGates *g)
{
    json_t *o = json_object_get(root, "featureGates");
    features_default(g);
    if (!o || json_is_null(o))
        return NULL;
    if (!json_is_object(o))
        return wrong("featureGates", "an object");
    const char *name;
    json_t *v;
    json_object_foreach(o, name, v)
    {
        if (!json_is_boolean(v))
            return err_new(ERR_INVALID, 0, "featureGates.%s: must be true or false", name);
        if (!features_set(g, name, json_is_true(v)))
            return err_new(ERR_INVALID, 0, "featureGates.%s: there is no such gate", name);
    }
    return NULL;
}

/* The core goes by names: a Pod that is not valid otherwise may be looked at, one without them not. */
static Err *names_given(const Pod *pod)
{
    const struct {
        const ContainerList *l;
        const char *path;
    } lists[] = {{&pod->spec.init_containers, "initContainers"},
                 {&pod->spec.containers, "containers"},
                 {&pod->spec.ephemeral_containers, "ephemeralContainers"}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t k = 0; k < lists[i].l->n; k++)
            if (str_empty(lists[i].l->v[k].name))
                return err_new(ERR_INVALID, 0, "pod.spec.%s[%zu].name: is missing", lists[i].path, k);
    return NULL;
}

static Err *pod_from(const json_t *root, Facts *f)
{
    const json_t *j = json_object_get(root, "pod");
    if (!json_is_object(j))
        return err_new(ERR_INVALID, 0, "pod: is missing: the Pod object, with its last status");
    SCOPED(report_done) Report r = {0};
    f->pod = api_decode(&type_Pod, j, "pod", DECODE_LENIENT, &r);
    f->in.pod = f->pod;
    if (r.errors.n)
        return err_new(ERR_INVALID, 0, "%s: %s", r.errors.v[0].path, r.errors.v[0].message);
    return names_given(f->pod);
}

static Err *optional_rows(const json_t *root, const char *key, const Row *rows, size_t n, void *obj, bool *ret_there)
{
    const json_t *j = json_object_get(root, key);
    bool there = j && !json_is_null(j);
    if (ret_there)
        *ret_there = there;
    return there ? rows_from(j, key, rows, n, obj) : NULL;
}

static Err *ending_from(const json_t *root, PlanInput *in)
{
    Ending e = {.since_ns = in->now_ns, .grace_ns = 30 * NS_PER_S};
    Err *err = optional_rows(root, "terminating", ending_rows, ARRAY_LEN(ending_rows), &e, &in->terminating);
    in->terminating_since_ns = e.since_ns;
    in->terminating_grace_ns = e.grace_ns;
    in->terminating_reason = e.reason;
    return err;
}

void facts_done(Facts *f)
{
    plan_input_done(&f->in);
    pod_free(f->pod);
    pod_facts_done(&f->runtime);
    *f = (Facts){0};
}

Err *facts_from_json(const json_t *j, Facts *f)
{
    *f = (Facts){0};
    PlanInput *in = &f->in;
    in->runtime = &f->runtime;
    in->sandbox.at_ns = in->volumes.at_ns = NS_NONE;
    plan_config_default(&in->config);
    if (!json_is_object(j))
        return err_new(ERR_INVALID, 0, "facts must be a JSON object: see docs/facts.md");
    const json_t *now = json_object_get(j, "now");
    if (!now || !time_from(now, &in->now_ns))
        return err_new(ERR_INVALID, 0, "now: %s: the moment of the turn, an RFC 3339 time or a number of seconds since 1970",
                       now ? "cannot be read" : "is missing");
    const json_t *runtime = json_object_get(j, "runtime"), *ips = json_object_get(j, "hostIPs");
    if (runtime && !json_is_null(runtime) && !json_is_object(runtime))
        return wrong("runtime", "an object");
    Err *e = gates_from(j, &in->gates);
    e = e ? e : pod_from(j, f);
    e = e ? e : list_from(runtime, "sandboxes", sandbox_from, &f->runtime);
    e = e ? e : list_from(runtime, "containers", container_from, &f->runtime);
    e = e ? e : map_from(j, "probes", probe_from, in);
    e = e ? e : map_from(j, "backoff", backoff_from, in);
    e = e ? e : list_from(runtime, "standbys", standby_from, &f->runtime);
    e = e ? e : map_from(j, "starts", start_from, in);
    e = e ? e : map_from(j, "prepares", prepare_from, in);
    e = e ? e : optional_rows(j, "config", config_rows, ARRAY_LEN(config_rows), &in->config, NULL);
    e = e ? e : optional_rows(j, "sandbox", setup_rows, ARRAY_LEN(setup_rows), &in->sandbox, NULL);
    e = e ? e : optional_rows(j, "volumes", setup_rows, ARRAY_LEN(setup_rows), &in->volumes, NULL);
    e = e ? e : ending_from(j, in);
    if (!e && ips && !json_is_null(ips))
        e = strs_from(ips, "hostIPs", &in->host_ips);
    return e;
}

/* --- a plan ------------------------------------------------------------------------------------------------------- */

static void set_str(json_t *o, const char *key, const char *s)
{
    if (s)
        json_object_set_new(o, key, json_string(s));
}

static json_t *action_json(const Action *a)
{
    json_t *o = json_object();
    set_str(o, "do", action_names[a->kind]);
    set_str(o, "container", a->container);
    set_str(o, "id", a->id);
    if (a->kind != ACT_WAIT && a->kind != ACT_KILL_POD && !(a->kind == ACT_KILL && !a->id))
        json_object_set_new(o, "attempt", json_integer(a->attempt));
    if (a->kind == ACT_KILL || a->kind == ACT_KILL_POD)
        json_object_set_new(o, "graceSeconds", seconds_json(a->grace_ns));
    set_str(o, "reason", a->reason);
    return o;
}

static json_t *event_json(const PlanEvent *e)
{
    json_t *o = json_object();
    set_str(o, "type", e->warning ? "Warning" : "Normal");
    set_str(o, "reason", e->reason);
    set_str(o, "container", e->container);
    set_str(o, "message", e->message);
    return o;
}

/* Facts may hold moments that lie further apart than int64 can say. */
static int64_t ns_between(int64_t from, int64_t to)
{
    int64_t d;
    return __builtin_sub_overflow(to, from, &d) ? INT64_MAX : d;
}

json_t *plan_to_json(const Plan *p, int64_t now_ns)
{
    json_t *o = json_object(), *actions = json_array(), *events = json_array();
    LIST_EACH(a, &p->actions)
    {
        json_array_append_new(actions, action_json(a));
    }
    LIST_EACH(e, &p->events)
    {
        json_array_append_new(events, event_json(e));
    }
    json_object_set_new(o, "actions", actions);
    json_object_set_new(o, "status", api_encode(&type_PodStatus, &p->status));
    json_object_set_new(o, "requeueAfterSeconds", p->requeue_ns == NS_NONE ? json_null() : seconds_json(ns_between(now_ns, p->requeue_ns)));
    json_object_set_new(o, "persistFirst", json_boolean(p->persist_first));
    json_object_set_new(o, "events", events);
    json_object_set_new(o, "backoff", backoff_json(&p->backoff));
    json_object_set_new(o, "finished", json_boolean(p->finished));
    return o;
}
