#include "agent/record.h"

#include <dirent.h>

#include "agent/intents.h"
#include "os/fs.h"
#include "wire/json.h"

#define RECORD_MAX ((size_t)16 << 20)
#define RECORD_VERSION 1

void pod_record_done(PodRecord *r)
{
    pod_free(r->pod);
    backoff_done(&r->backoff);
    free(r->terminating_reason);
    free(r->objects);
    *r = (PodRecord){0};
}

static json_t *time_json(int64_t ns)
{
    char buf[CLOCK_TEXT_MAX];
    return ns == NS_NONE ? json_null() : json_string(clock_format(ns, 9, buf));
}

static int64_t time_of(const json_t *o, const char *key)
{
    int64_t ns;
    const char *s = json_str(o, key);
    return s && clock_parse(s, &ns) ? ns : NS_NONE;
}

/* What changes: all but the Pod's metadata and spec, and the objects it came with. */
static json_t *changing_json(const PodRecord *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "version", json_integer(RECORD_VERSION));
    json_object_set_new(o, "seq", json_integer(r->seq));
    json_object_set_new(o, "bootID", json_string(os_boot_id()));
    json_object_set_new(o, "restarts", json_integer(r->restarts));
    /* metav1.Time has whole seconds; the core's clock arithmetic wants the moment itself. */
    json_t *list = json_array();
    LIST_EACH(b, &r->backoff) {
        json_t *e = json_object();
        json_object_set_new(e, "key", json_string(b->key));
        json_object_set_new(e, "delayNs", json_integer(b->delay_ns));
        json_object_set_new(e, "lastUpdate", time_json(b->last_update_ns));
        json_array_append_new(list, e);
    }
    json_object_set_new(o, "backoff", list);
    if (r->terminating) {
        json_t *t = json_object();
        json_object_set_new(t, "since", time_json(r->terminating_since_ns));
        json_object_set_new(t, "graceNs", json_integer(r->terminating_grace_ns));
        json_object_set_new(t, "reason", json_string(str_or(r->terminating_reason, "")));
        json_object_set_new(o, "terminating", t);
    }
    return o;
}

static json_t *record_json(const PodRecord *r)
{
    json_t *o = changing_json(r);
    if (r->objects)
        json_object_set_new(o, "objects", json_loads(r->objects, 0, NULL));
    json_object_set_new(o, "pod", api_encode(&type_Pod, r->pod));
    return o;
}

static char *record_path(const char *root, const char *uid, const char *file)
{
    return mem_fmt("%s/pods/%s/%s", root, uid, file);
}

static const char *const live_names[] = {"pod.live.0.json", "pod.live.1.json"};

/* Written over in place, the two in turn: no new inode, no rename, nothing that would make the file system begin to write (ext4
 * does at a rename over a file, 0.2 to 0.4 ms; its search for a free inode takes as long after many deletions). A half-written one
 * has another "seq" at its end than at its beginning, or is no JSON; then the other one counts. */
static Err *live_save(const char *root, const PodRecord *r)
{
    SCOPED(mem_free) char *path = record_path(root, r->pod->metadata.uid, live_names[r->seq & 1]);
    SCOPED(json_unref) json_t *o = changing_json(r);
    SCOPED(mem_free) char *head = json_text(o, false);
    SCOPED(str_done) Str text = {0};
    str_add_n(&text, head, strlen(head) - 1); /* without the last bracket */
    str_add(&text, ",\"status\":");
    api_write(&text, &type_PodStatus, &r->pod->status);
    str_fmt(&text, ",\"seqEnd\":%lld}", (long long)r->seq);
    return fs_overwrite(path, &text, ' ', 0600);
}

static Err *sure_save(const char *root, const PodRecord *r)
{
    const char *uid = r->pod->metadata.uid;
    SCOPED(mem_free) char *path = record_path(root, uid, "pod.json");
    SCOPED(json_unref) json_t *o = record_json(r);
    SCOPED(mem_free) char *text = json_text(o, false);
    return fs_write_atomic(path, text, strlen(text), 0600, true); /* the others are older now: their seq says so */
}

Err *pod_record_save(const char *root, PodRecord *r, bool durable)
{
    r->seq++;
    Err *e = durable ? sure_save(root, r) : live_save(root, r);
    return e ? err_wrap(e, "save record of pod %s/%s", r->pod->metadata.namespace_, r->pod->metadata.name) : NULL;
}

static Err *file_load(const char *root, const char *uid, const char *name, json_t **ret)
{
    SCOPED(mem_free) char *path = record_path(root, uid, name);
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, RECORD_MAX, &text);
    if (e)
        return e;
    SCOPED(json_unref) json_t *o = NULL;
    e = json_parse(text.p, text.n, &o);
    if (e)
        return err_wrap(e, "read %s", path);
    if (json_i64(o, "version", 0) != RECORD_VERSION)
        return err_new(ERR_INVALID, 0, "%s is not a version %d Pod record", path, RECORD_VERSION);
    *ret = MOVE(o, NULL);
    return NULL;
}

static bool of_this_boot(const json_t *o)
{
    return str_eq(json_str(o, "bootID"), os_boot_id());
}

/* What was written last, over what was made durable last. What was not fsynced may be torn by a loss of power: it is not looked at
 * after one. */
static Err *latest_load(const char *root, const char *uid, json_t **ret)
{
    SCOPED(json_unref) json_t *sure = NULL;
    Err *e = file_load(root, uid, "pod.json", &sure);
    if (e)
        return e;
    json_t *pod = json_object_get(sure, "pod");
    for (size_t i = 0; i < ARRAY_LEN(live_names); i++) {
        SCOPED(json_unref) json_t *live = NULL;
        err_free(file_load(root, uid, live_names[i], &live));
        if (!live || !of_this_boot(live) || json_i64(live, "seqEnd", -1) != json_i64(live, "seq", 0) || json_i64(live, "seq", 0) <= json_i64(sure, "seq", 0))
            continue;
        (void)json_object_del(sure, "terminating"); /* there is none while it says so */
        (void)json_object_set(pod, "status", json_object_get(live, "status"));
        (void)json_object_del(live, "status");
        (void)json_object_del(live, "seqEnd");
        (void)json_object_update(sure, live);
    }
    *ret = MOVE(sure, NULL);
    return NULL;
}

/* An agent or the machine ended in the middle of a restart: the record may not know yet, the list of intents does. */
static void intent_apply(const char *root, PodRecord *r)
{
    int64_t restarts;
    SCOPED(mem_free) char *message = NULL;
    if (!intents_pending(root, r->pod->metadata.uid, &restarts, &message) || restarts < r->restarts)
        return;
    r->restarts = restarts;
    PodStatus *s = &r->pod->status;
    PodCondition *c = NULL;
    LIST_EACH(x, &s->conditions)
        if (str_eq(x->type, "AllContainersRestarting"))
            c = x;
    if (!c) {
        c = LIST_ADD(&s->conditions);
        c->type = mem_dup_str("AllContainersRestarting");
    }
    mem_set_str(&c->status, "True");
    mem_set_str(&c->reason, "RestartAllContainersStarted");
    mem_set_str(&c->message, message);
}

Err *pod_record_load(const char *root, const char *uid, PodRecord *out)
{
    *out = (PodRecord){0};
    SCOPED(json_unref) json_t *o = NULL;
    Err *e = latest_load(root, uid, &o);
    if (e)
        return e;
    SCOPED(report_done) Report report = {0};
    out->pod = api_decode(&type_Pod, json_object_get(o, "pod"), "", DECODE_LENIENT, &report);
    if (!report_ok(&report) || !str_eq(out->pod->metadata.uid, uid)) {
        pod_record_done(out);
        return err_new(ERR_INVALID, 0, "the record of Pod %s does not hold that Pod", uid);
    }
    out->seq = json_i64(o, "seq", 0);
    out->restarts = json_i64(o, "restarts", 0);
    size_t i;
    json_t *b;
    json_array_foreach(json_object_get(o, "backoff"), i, b) {
        BackoffEntry *entry = LIST_ADD(&out->backoff);
        entry->key = mem_dup_str(str_or(json_str(b, "key"), ""));
        entry->delay_ns = json_i64(b, "delayNs", 0);
        entry->last_update_ns = time_of(b, "lastUpdate");
    }
    const json_t *t = json_object_get(o, "terminating");
    if (t) {
        out->terminating = true;
        out->terminating_since_ns = time_of(t, "since");
        out->terminating_grace_ns = json_i64(t, "graceNs", 0);
        out->terminating_reason = mem_dup_str(str_or(json_str(t, "reason"), ""));
    }
    const json_t *objects = json_object_get(o, "objects");
    if (objects)
        out->objects = json_text(objects, false);
    intent_apply(root, out);
    return NULL;
}

void pod_record_uids(const char *root, StrList *out)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/pods", root);
    DIR *d = opendir(path);
    if (!d)
        return;
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (ent->d_name[0] != '.')
            *LIST_ADD(out) = mem_dup_str(ent->d_name);
    (void)closedir(d);
}

char *pod_record_find(const char *root, const char *namespace_, const char *name, bool (*skip)(void *arg, const char *uid), void *arg)
{
    StrList uids = {0};
    pod_record_uids(root, &uids);
    char *found = NULL;
    LIST_EACH(uid, &uids) {
        SCOPED(pod_record_done) PodRecord r = {0};
        bool look = !found && !(skip && skip(arg, *uid));
        SCOPED(err_free) Err *e = look ? pod_record_load(root, *uid, &r) : NULL;
        if (look && !e && r.pod && str_eq(r.pod->metadata.namespace_, namespace_) && str_eq(r.pod->metadata.name, name))
            found = mem_dup_str(*uid);
        free(*uid);
    }
    free(uids.v);
    return found;
}

Err *pod_record_lock(const char *root, const char *uid, int *ret_fd)
{
    SCOPED(mem_free) char *path = record_path(root, uid, "lock");
    char holder[FS_LOCK_HOLDER];
    Err *e = fs_lock(path, ret_fd, holder);
    if (!e || e->kind != ERR_EXISTS)
        return e;
    err_free(e);
    return err_new(ERR_EXISTS, 0, "the pod is already driven by process %s", holder);
}

bool pod_record_wants_intent(const char *root, const char *uid)
{
    SCOPED(pod_record_done) PodRecord r = {0};
    SCOPED(err_free) Err *e = pod_record_load(root, uid, &r);
    const PodCondition *c = e ? NULL : plan_condition(&r.pod->status, "AllContainersRestarting");
    return c && str_eq(c->status, "True");
}
