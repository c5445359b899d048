#include "agent/agent.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent/trash.h"
#include "agent/worker.h"
#include "agent/facts_json.h"
#include "os/fs.h"
#include "wire/json.h"

/* Turns one worker may take in one turn of the loop before the others' handlers run again. */
#define TURN_BUDGET 8

static void on_again(uv_idle_t *h)
{
    (void)h;
}

/* Starts may have waited for this. One that cannot be made durable is carried out all the same: the record outlives us, and
 * only a loss of power could forget it. */
static void on_intents_durable(void *arg, Err *err)
{
    Agent *a = arg;
    SCOPED(mem_free) char *text = err ? err_text(err) : NULL;
    __typeof__(a->wait_for_intents) now = a->wait_for_intents;
    a->wait_for_intents.v = NULL;
    a->wait_for_intents.n = 0;
    for (size_t i = 0; i < now.n; i++) {
        if (text)
            worker_event(now.v[i], true, "FailedStatusSave", NULL, "%s", text);
        now.v[i]->waits_for_intent = false;
        worker_dirty(now.v[i]);
        worker_unref(now.v[i]);
    }
    free(now.v);
    err_free(err);
}

void agent_commit_intents(Agent *a)
{
    intents_commit(a->intents, on_intents_durable, a);
}

bool worker_may_start(Worker *w)
{
    if (w->intent_seq <= intents_durable(w->agent->intents))
        return true;
    if (!w->waits_for_intent)
        *LIST_ADD(&w->agent->wait_for_intents) = worker_ref(w);
    w->waits_for_intent = true;
    return false;
}

/* Only those that something happened to: what one Pod costs does not depend on how many others there are. */
static void agent_turn(Agent *a)
{
    __typeof__(a->dirty) now = a->dirty;
    a->dirty.v = NULL;
    a->dirty.n = 0;
    for (size_t i = 0; i < now.n; i++) {
        Worker *w = now.v[i];
        w->in_dirty_list = false;
        for (int n = 0; w->dirty && !w->closed && n < TURN_BUDGET; n++)
            worker_turn(w);
        if (w->dirty)
            worker_dirty(w);
        worker_unref(w);
    }
    free(now.v);
    agent_prepare_more(a);
    /* A plan that asked for another turn must get it even if nothing else happens. */
    if (notes_turn(a))
        (void)uv_idle_start(&a->again, on_again);
    else if (!a->dirty.n)
        (void)uv_idle_stop(&a->again);
}

static void on_prepare(uv_prepare_t *h)
{
    agent_turn(h->data);
}

static void on_check(uv_check_t *h)
{
    agent_turn(h->data);
}

static void on_change(void *arg, const char *uid)
{
    Worker *w = strindex_get(&((Agent *)arg)->by_uid, uid);
    if (w)
        worker_dirty(w);
}

/* status.hostIPs: the first global IPv4 and IPv6 addresses of this machine, loopback where there is none. */
static void find_host_ips(StrList *out)
{
    struct ifaddrs *list = NULL;
    char text[2][NI_MAXHOST] = {"", ""};
    if (getifaddrs(&list) == 0)
        for (struct ifaddrs *i = list; i; i = i->ifa_next) {
            if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
                continue;
            int family = i->ifa_addr->sa_family, v6 = family == AF_INET6;
            /* Bridges of Pod networks are not the host's own address. */
            if ((family != AF_INET && !v6) || text[v6][0] || str_starts(i->ifa_name, "cni") ||
                str_starts(i->ifa_name, "reprise") || str_starts(i->ifa_name, "docker"))
                continue;
            socklen_t len = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
            if (getnameinfo(i->ifa_addr, len, text[v6], sizeof text[v6], NULL, 0, NI_NUMERICHOST) != 0 ||
                strchr(text[v6], '%'))
                text[v6][0] = '\0'; /* link-local: no use to anybody else */
        }
    freeifaddrs(list);
    for (int i = 0; i < 2; i++)
        if (text[i][0])
            *LIST_ADD(out) = mem_dup_str(text[i]);
    if (!out->n)
        *LIST_ADD(out) = mem_dup_str("127.0.0.1");
}

static bool wants_intent(void *arg, const char *uid)
{
    return pod_record_wants_intent(((const Agent *)arg)->root, uid);
}

Err *agent_open(const AgentConfig *c, Agent **ret)
{
    SCOPED(mem_free) char *pods = mem_fmt("%s/pods", c->root);
    Err *e = fs_mkdirs(pods, 0755);
    if (e)
        return e;
    Agent *a = NEW(Agent);
    a->cfg = *c;
    if (c->rt->type)
        a->cfg.plan.runtime_name = c->rt->type;
    a->root = mem_dup_str(c->root);
    a->log_dir = mem_dup_str(c->log_dir);
    a->node_name = mem_dup_str(c->node_name);
    struct sysinfo info;
    if (sysinfo(&info) == 0)
        a->node_memory_bytes = (int64_t)info.totalram * (int64_t)info.mem_unit;
    find_host_ips(&a->host_ips);
    (void)uv_prepare_init(c->loop, &a->prepare);
    (void)uv_check_init(c->loop, &a->check);
    (void)uv_idle_init(c->loop, &a->again);
    (void)uv_timer_init(c->loop, &a->prepare_timer);
    a->prepare.data = a->check.data = a->again.data = a->prepare_timer.data = a;
    a->open_handles = 5;
    notes_init(a);
    a->intents = intents_open(c->root, c->loop);
    intents_sweep(c->root, wants_intent, a);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    a->prepare_max = cpus > 0 ? (unsigned)cpus : 1;
    (void)uv_prepare_start(&a->prepare, on_prepare);
    (void)uv_check_start(&a->check, on_check);
    /* The agent alone does not keep the loop alive: Pods and requests do. */
    uv_unref((uv_handle_t *)&a->prepare);
    uv_unref((uv_handle_t *)&a->check);
    c->rt->on_change = on_change;
    c->rt->on_change_arg = a;
    *ret = a;
    return NULL;
}

static void on_agent_handle_closed(uv_handle_t *h)
{
    Agent *a = h->data;
    if (--a->open_handles > 0)
        return;
    LIST_EACH(ip, &a->host_ips)
        free(*ip);
    free(a->host_ips.v);
    free(a->workers.v);
    free(a->dirty.v);
    free(a->prepare_queue.v);
    free(a->wait_for_intents.v);
    strindex_done(&a->by_uid);
    free(a->root);
    free(a->log_dir);
    free(a->node_name);
    free(a);
}

void agent_close(Agent *a)
{
    bool restarting = false;
    notes_tell_all(a);
    a->closed = true;
    a->cfg.rt->on_change = NULL;
    for (size_t i = 0; i < a->workers.n; i++) {
        restarting = restarting || a->workers.v[i]->intent_logged;
        worker_close(a->workers.v[i]);
    }
    a->workers.n = 0;
    LIST_EACH(w, &a->dirty)
        worker_unref(*w);
    LIST_EACH(w, &a->prepare_queue)
        worker_unref(*w);
    notes_tell_all(a);
    LIST_EACH(w, &a->wait_for_intents)
        worker_unref(*w);
    a->dirty.n = a->prepare_queue.n = a->wait_for_intents.n = 0;
    intents_close(MOVE(a->intents, NULL), restarting);
    uv_close((uv_handle_t *)&a->prepare_timer, on_agent_handle_closed);
    uv_close((uv_handle_t *)&a->notes_timer, on_agent_handle_closed);
    uv_close((uv_handle_t *)&a->prepare, on_agent_handle_closed);
    uv_close((uv_handle_t *)&a->check, on_agent_handle_closed);
    uv_close((uv_handle_t *)&a->again, on_agent_handle_closed);
}

void worker_dirty(Worker *w)
{
    if (w->closed)
        return;
    w->dirty = true;
    if (w->in_dirty_list)
        return;
    w->in_dirty_list = true;
    *LIST_ADD(&w->agent->dirty) = worker_ref(w);
    (void)uv_idle_start(&w->agent->again, on_again);
}

/* The documents a Pod came with, as text for its record. */
static Raw objects_text(const Objects *o)
{
    SCOPED(json_unref) json_t *list = json_array();
    LIST_EACH(c, &o->config_maps)
        json_array_append_new(list, api_encode(&type_ConfigMap, *c));
    LIST_EACH(s, &o->secrets)
        json_array_append_new(list, api_encode(&type_Secret, *s));
    LIST_EACH(p, &o->pvcs)
        json_array_append_new(list, api_encode(&type_PersistentVolumeClaim, *p));
    return json_text(list, false);
}

static bool pod_is_terminal(const Pod *p)
{
    return str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
}

/* <rec> and <objects> are taken. */
static Worker *add_worker(Agent *a, PodRecord *rec, Objects *objects, int lock_fd)
{
    Worker *w = worker_new(a, rec, objects, lock_fd);
    notes_tell_all(a);
    *LIST_ADD(&a->workers) = w;
    strindex_add(&a->by_uid, worker_uid(w), w);
    if (a->cfg.listener.pod)
        a->cfg.listener.pod(a->cfg.listener.arg, "ADDED", w->rec.pod, worker_now());
    if (!pod_is_terminal(w->rec.pod)) /* what has ended mounts nothing any more */
        worker_setup_volumes(w);
    worker_dirty(w);
    return w;
}

/* Adopted Pods go on with the objects of their record, unless the caller brought newer ones. */
static Err *add_recorded(Agent *a, PodRecord *rec, const Objects *objects, int lock_fd, Worker **ret)
{
    SCOPED(objects_done) Objects recorded = {0}, own = {0};
    if (!objects && rec->objects) {
        SCOPED(doc_reports_done) DocReports reports = {0};
        SCOPED(mem_free) char *list = mem_fmt("{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":%s}", rec->objects);
        Err *e = objects_parse("record", list, strlen(list), &a->cfg.gates, &recorded, &reports);
        if (e) {
            fd_close(lock_fd);
            return err_wrap(e, "read the objects of pod %s", rec->pod->metadata.name);
        }
    }
    objects_of_pod(rec->pod, objects ? objects : &recorded, &own);
    if (objects) {
        free(rec->objects);
        rec->objects = objects_text(&own);
    }
    *ret = add_worker(a, rec, &own, lock_fd);
    return NULL;
}

static Err *forget_pod(const Agent *a, const Pod *p)
{
    Err *e = volumes_detach(a->root, p->metadata.uid);
    if (e)
        return e;
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods/%s", a->root, p->metadata.uid);
    SCOPED(mem_free) char *logs =
        mem_fmt("%s/%s_%s_%s", a->log_dir, p->metadata.namespace_, p->metadata.name, p->metadata.uid);
    e = fs_remove_tree(logs);
    Err *e2 = trash_remove(a->cfg.loop, a->root, dir);
    if (e)
        err_free(e2);
    return e ? e : e2;
}

/* A Pod of that name that is recorded already. *ret: nothing is left to do for the new one, this one was taken over. */
static Err *meet_recorded(Agent *a, const char *uid, const Pod *pod, const Objects *objects, Worker **ret)
{
    SCOPED(fd_close) int lock = -EBADF;
    Err *e = pod_record_lock(a->root, uid, &lock);
    if (e)
        return err_wrap(e, "pods \"%s\" already exists", pod->metadata.name);
    SCOPED(pod_record_done) PodRecord rec = {0};
    e = pod_record_load(a->root, uid, &rec);
    if (e)
        return e;
    if (pod_is_terminal(rec.pod))
        return forget_pod(a, rec.pod);
    /* nodeName is ours, not the manifest's. */
    Pod *asked = api_copy(&type_Pod, pod);
    mem_set_str(&asked->spec.node_name, rec.pod->spec.node_name);
    bool same = api_equal(&type_PodSpec, &asked->spec, &rec.pod->spec);
    pod_free(asked);
    if (!same)
        return err_new(ERR_EXISTS, 0,
                       "pods \"%s\" already exists, with another spec; delete it first: reprise delete %s/%s",
                       pod->metadata.name, pod->metadata.namespace_, pod->metadata.name);
    return add_recorded(a, &rec, objects, MOVE(lock, -EBADF), ret);
}

static void fill_server_fields(const Agent *a, Pod *pod)
{
    if (!pod->metadata.uid)
        pod->metadata.uid = os_uuid();
    if (!pod->metadata.creation_timestamp.set)
        pod->metadata.creation_timestamp = (OptTime){true, worker_now()};
    if (!pod->metadata.name && pod->metadata.generate_name) {
        /* apiserver's names.SimpleNameGenerator: five characters after at most 58. */
        char suffix[7];
        os_random_hex(suffix, 3);
        pod->metadata.name = mem_fmt("%.58s%.5s", pod->metadata.generate_name, suffix);
    }
    mem_set_str(&pod->spec.node_name, a->node_name);
}

static Worker *worker_of(const Agent *a, const char *uid)
{
    return strindex_get(&a->by_uid, uid);
}

static bool is_ours(void *arg, const char *uid)
{
    return worker_of(arg, uid) != NULL;
}

/* The record of a Pod that is not here yet. */
static Err *record_new(const Agent *a, const Pod *pod, int *ret_lock)
{
    if (worker_of(a, pod->metadata.uid))
        return err_new(ERR_EXISTS, 0, "pods \"%s\" already exists: uid %s", pod->metadata.name, pod->metadata.uid);
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods/%s", a->root, pod->metadata.uid);
    Err *e = fs_mkdirs(dir, 0755);
    return e ? e : pod_record_lock(a->root, pod->metadata.uid, ret_lock);
}

Err *agent_pod_add(Agent *a, Pod *pod, const Objects *objects, const Pod **ret, bool *ret_adopted)
{
    SCOPED(pod_free) Pod *mine = pod;
    Worker *w = NULL;
    *ret_adopted = false;
    if (mine->metadata.name) {
        if (agent_pod_find(a, mine->metadata.namespace_, mine->metadata.name))
            return err_new(ERR_EXISTS, 0, "pods \"%s\" already exists", mine->metadata.name);
        SCOPED(mem_free) char *uid = pod_record_find(a->root, mine->metadata.namespace_, mine->metadata.name, is_ours, a);
        Err *e = uid ? meet_recorded(a, uid, mine, objects, &w) : NULL;
        if (e)
            return e;
        if (w) {
            *ret_adopted = true;
            *ret = w->rec.pod;
            return NULL;
        }
    }
    fill_server_fields(a, mine);
    SCOPED(fd_close) int lock = -EBADF;
    Err *e = record_new(a, mine, &lock);
    if (e)
        return e;
    SCOPED(objects_done) Objects own = {0};
    objects_of_pod(mine, objects, &own);
    SCOPED(pod_record_done) PodRecord rec = {.objects = objects_text(&own), .pod = MOVE(mine, NULL)};
    /* Before anything exists on the machine there is a record of it: a crash can leave nothing that nobody knows of. */
    e = pod_record_save(a->root, &rec, true);
    if (e) {
        SCOPED(mem_free) char *dir = mem_fmt("%s/pods/%s", a->root, rec.pod->metadata.uid);
        err_free(fs_remove_tree(dir));
        return e;
    }
    w = add_worker(a, &rec, &own, MOVE(lock, -EBADF));
    *ret = w->rec.pod;
    return NULL;
}

static Err *adopt_uid(Agent *a, const char *uid, const Objects *objects, Worker **ret)
{
    SCOPED(fd_close) int lock = -EBADF;
    Err *e = pod_record_lock(a->root, uid, &lock);
    if (e)
        return e;
    SCOPED(pod_record_done) PodRecord rec = {0};
    e = pod_record_load(a->root, uid, &rec);
    return e ? e : add_recorded(a, &rec, objects, MOVE(lock, -EBADF), ret);
}

Err *agent_pod_adopt(Agent *a, const char *namespace_, const char *name, const Objects *objects, const Pod **ret)
{
    SCOPED(mem_free) char *uid = pod_record_find(a->root, namespace_, name, is_ours, a);
    if (!uid)
        return err_new(ERR_NOT_FOUND, 0, "pods \"%s\" not found", name);
    Worker *w = NULL;
    Err *e = adopt_uid(a, uid, objects, &w);
    if (e)
        return err_wrap(e, "pod %s/%s", namespace_, name);
    *ret = w->rec.pod;
    return NULL;
}

/* A Pod that was being forgotten, or had no record yet, when the last agent ended: what is left in its directory is nobody's. */
static bool is_rest(const Agent *a, const char *uid)
{
    SCOPED(mem_free) char *record = mem_fmt("%s/pods/%s/pod.json", a->root, uid);
    return !fs_exists(record);
}

static void drop_rest(const Agent *a, const char *uid, StrVec *problems)
{
    SCOPED(fd_close) int lock = -EBADF;
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods/%s", a->root, uid);
    Err *e = pod_record_lock(a->root, uid, &lock); /* another process that is just making it has the lock */
    if (!e && is_rest(a, uid))
        e = volumes_detach(a->root, uid);
    if (!e)
        e = trash_remove(a->cfg.loop, a->root, dir);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        strvec_fmt(problems, "rest of pod %s: %s", uid, text);
        err_free(e);
    }
}

void agent_pod_adopt_all(Agent *a, StrVec *problems)
{
    StrList uids = {0};
    trash_resume(a->cfg.loop, a->root);
    pod_record_uids(a->root, &uids);
    LIST_EACH(uid, &uids) {
        Worker *w = NULL;
        if (!worker_of(a, *uid) && is_rest(a, *uid)) {
            drop_rest(a, *uid, problems);
        } else if (!worker_of(a, *uid)) {
            SCOPED(err_free) Err *e = adopt_uid(a, *uid, NULL, &w);
            SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
            if (e)
                strvec_fmt(problems, "pod %s: %s", *uid, text);
        }
        free(*uid);
    }
    free(uids.v);
}

static Err *not_here(const char *uid)
{
    return err_new(ERR_NOT_FOUND, 0, "pod %s not found", uid);
}

Err *agent_pod_objects(Agent *a, const char *uid, const Objects *objects)
{
    Worker *w = worker_of(a, uid);
    if (!w)
        return not_here(uid);
    Objects own = {0};
    objects_of_pod(w->rec.pod, objects, &own);
    char *text = objects_text(&own);
    if (str_eq(text, w->rec.objects)) {
        free(text);
        objects_done(&own);
        return NULL;
    }
    free(w->rec.objects);
    w->rec.objects = text;
    objects_done(&w->objects);
    w->objects = own;
    prepares_doubt(w);
    for (size_t i = w->starts.n; i-- > 0;) /* what failed for want of an object may go on now */
        if (w->starts.v[i].state == START_FAILED && str_eq(w->starts.v[i].reason, "CreateContainerConfigError"))
            worker_start_fact_clear(w, w->starts.v[i].container);
    (void)worker_save(w, true); /* not saved: said by an event, and tried again */
    if (!worker_has_ended(w))
        worker_setup_volumes(w);
    return NULL;
}

static void delete_worker(Worker *w, int64_t grace_s)
{
    ObjectMeta *m = &w->rec.pod->metadata;
    int64_t own = w->rec.pod->spec.termination_grace_period_seconds.v;
    int64_t grace = grace_s < 0 ? own : grace_s;
    if (m->deletion_timestamp.set && m->deletion_grace_period_seconds.v <= grace)
        return;
    /* The moment at which the grace is over, as the API server writes it. */
    m->deletion_timestamp = (OptTime){true, worker_now() + grace * NS_PER_S};
    m->deletion_grace_period_seconds = (OptInt){true, grace};
    w->done_told = false;
    (void)worker_save(w, true); /* not saved: deleted all the same while we live */
    worker_tell_status(w);
    worker_dirty(w);
}

Err *agent_pod_delete(Agent *a, const char *uid, int64_t grace_s)
{
    Worker *w = worker_of(a, uid);
    if (!w)
        return not_here(uid);
    delete_worker(w, grace_s);
    return NULL;
}

void agent_delete_all(Agent *a, int64_t grace_s)
{
    LIST_EACH(w, &a->workers)
        delete_worker(*w, grace_s);
}

bool agent_pod_evict(Agent *a, const char *uid, const char *message, bool disruption, int64_t grace_s)
{
    Worker *w = worker_of(a, uid);
    return w && worker_evict(w, message, disruption, grace_s);
}

size_t agent_pod_count(const Agent *a)
{
    return a->workers.n;
}

const Pod *agent_pod_at(const Agent *a, size_t i)
{
    return a->workers.v[i]->rec.pod;
}

const Pod *agent_pod_get(const Agent *a, const char *uid)
{
    const Worker *w = worker_of(a, uid);
    return w ? w->rec.pod : NULL;
}

const Pod *agent_pod_find(const Agent *a, const char *namespace_, const char *name)
{
    LIST_EACH(w, &a->workers) {
        const ObjectMeta *m = &(*w)->rec.pod->metadata;
        if (str_eq(m->namespace_, namespace_) && str_eq(m->name, name))
            return (*w)->rec.pod;
    }
    return NULL;
}

bool agent_pod_is_done(const Agent *a, const char *uid)
{
    const Worker *w = worker_of(a, uid);
    return w && w->done_told;
}

int64_t agent_pod_restarts(const Agent *a, const char *uid)
{
    const Worker *w = worker_of(a, uid);
    return w ? w->rec.restarts : 0;
}

bool agent_is_busy(const Agent *a)
{
    return a->starting || a->n_restarting;
}

json_t *agent_pod_facts(const Agent *a, const char *uid)
{
    PodFacts facts;
    PlanInput in;
    Worker *w = worker_of(a, uid);
    if (!w)
        return NULL;
    worker_input(w, &facts, &in);
    json_t *j = facts_to_json(&in);
    plan_input_done(&in);
    pod_facts_done(&facts);
    return j;
}

static void drop_worker(Agent *a, Worker *w)
{
    strindex_remove(&a->by_uid, worker_uid(w));
    size_t i = 0;
    while (a->workers.v[i] != w)
        i++;
    a->workers.v[i] = a->workers.v[--a->workers.n];
    w->unsaved = w->dirty = false; /* there is no record any more to write to */
    worker_close(w);
}

Err *agent_pod_forget(Agent *a, const char *uid)
{
    Worker *w = worker_of(a, uid);
    if (!w)
        return not_here(uid);
    notes_tell_all(a);
    w->unsaved = w->undurable = w->dirty = false;
    (void)uv_timer_stop(&w->save_timer);
    Err *e = forget_pod(a, w->rec.pod);
    if (e)
        return e;
    if (a->cfg.listener.pod)
        a->cfg.listener.pod(a->cfg.listener.arg, "DELETED", w->rec.pod, worker_now());
    drop_worker(a, w);
    return NULL;
}
