#include "daemon/events.h"

#include "api/codec.h"
#include "base/clock.h"
#include "daemon/correlate.h"
#include "os/fs.h"

struct Recorder {
    ObjStore *store;
    Correlator *correlator;
    char *host;
};

Recorder *recorder_new(ObjStore *store, const char *host)
{
    Recorder *r = NEW(Recorder);
    *r = (Recorder){.store = store, .correlator = correlator_new(), .host = mem_dup_str(host)};
    return r;
}

void recorder_free(Recorder *r)
{
    if (!r)
        return;
    correlator_free(r->correlator);
    free(r->host);
    free(r);
}

static bool namespace_takes(const Recorder *r, const char *namespace_)
{
    const ObjItem *i = objstore_get(r->store, "namespaces", "", namespace_);
    if (!i)
        return false;
    SCOPED(json_unref) json_t *ns = objitem_json(i);
    return !json_str(json_object_get(ns, "metadata"), "deletionTimestamp");
}

static void set_text(json_t *o, const char *key, const char *value)
{
    if (!str_empty(value))
        json_object_set_new(o, key, json_string(value));
}

static void set_time(json_t *o, const char *key, int64_t ns)
{
    char text[CLOCK_TEXT_MAX];
    json_object_set_new(o, key, json_string(clock_format(ns, 0, text)));
}

static json_t *event_new(const Recorder *r, const EventObject *o, const char *namespace_, const char *component, const Correlated *c,
                         int64_t now_ns)
{
    SCOPED(mem_free) char *uid = os_uuid();
    json_t *e = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "kind", "Event", "apiVersion", "v1", "metadata", "name", c->name, "namespace",
                          namespace_, "uid", uid);
    set_time(json_object_get(e, "metadata"), "creationTimestamp", now_ns);
    json_t *about = json_object();
    set_text(about, "kind", o->kind);
    set_text(about, "namespace", o->namespace_);
    set_text(about, "name", o->name);
    set_text(about, "uid", o->uid);
    set_text(about, "apiVersion", "v1");
    set_text(about, "resourceVersion", o->resource_version);
    set_text(about, "fieldPath", o->field_path);
    json_object_set_new(e, "involvedObject", about);
    bool kubelet = str_eq(component, EVENTS_KUBELET);
    json_t *source = json_pack("{s:s}", "component", component);
    if (kubelet) /* the scheduler names none */
        set_text(source, "host", r->host);
    json_object_set_new(e, "source", source);
    json_object_set_new(e, "eventTime", json_null());
    json_object_set_new(e, "reportingComponent", json_string(component));
    json_object_set_new(e, "reportingInstance", json_string(kubelet ? r->host : ""));
    return e;
}

/* One of that name that is there is changed; else it is made, with the count that it has by now. */
static json_t *event_there(const Recorder *r, const char *namespace_, const Correlated *c)
{
    const ObjItem *i = c->count > 1 ? objstore_get(r->store, "events", namespace_, c->name) : NULL;
    return i ? objitem_json(i) : NULL;
}

void recorder_event(Recorder *r, const EventObject *o, const char *component, bool warning, const char *reason, const char *message,
                    int64_t now_ns)
{
    const char *namespace_ = str_empty(o->namespace_) ? "default" : o->namespace_;
    EventFacts facts = {
        .component = component,
        .host = r->host,
        .kind = o->kind,
        .namespace_ = o->namespace_,
        .name = o->name,
        .uid = o->uid,
        .field_path = o->field_path,
        .type = warning ? "Warning" : "Normal",
        .reason = reason,
        .message = message,
    };
    SCOPED(correlated_done) Correlated c;
    correlate(r->correlator, &facts, now_ns, &c);
    if (c.skip || !namespace_takes(r, namespace_))
        return;
    SCOPED(json_unref) json_t *there = event_there(r, namespace_, &c);
    SCOPED(json_unref) json_t *e = there ? json_incref(there) : event_new(r, o, namespace_, component, &c, now_ns);
    json_t *text = json_string(c.message); /* NULL: bytes that are no UTF-8, of a program's own output */
    json_object_set_new(e, "reason", json_string(reason));
    json_object_set_new(e, "message", text ? text : json_string("(not text)"));
    json_object_set_new(e, "type", json_string(facts.type));
    set_time(e, "firstTimestamp", c.first_ns);
    set_time(e, "lastTimestamp", now_ns);
    json_object_set_new(e, "count", json_integer(c.count));
    const ObjWrite w = {.expires_ns = now_ns + OBJSTORE_EVENT_TTL_NS};
    err_free(there ? objstore_update(r->store, "events", e, &w, NULL) : objstore_create(r->store, "events", e, &w, NULL));
}

char *event_field_path(const Pod *p, const char *container)
{
    const struct {
        const char *field;
        const ContainerList *list;
    } lists[] = {{"containers", &p->spec.containers},
                 {"initContainers", &p->spec.init_containers},
                 {"ephemeralContainers", &p->spec.ephemeral_containers}};
    for (size_t i = 0; container && i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i].list)
            if (str_eq(c->name, container))
                return mem_fmt("spec.%s{%s}", lists[i].field, container);
    return NULL;
}

void recorder_pod_event(Recorder *r, const Pod *p, const char *component, bool warning, const char *reason, const char *message,
                        const char *container, int64_t now_ns)
{
    const ObjectMeta *m = &p->metadata;
    const ObjItem *i = objstore_get(r->store, "pods", m->namespace_, m->name);
    SCOPED(mem_free) char *version = i ? mem_fmt("%lld", (long long)i->rv) : NULL;
    SCOPED(mem_free) char *path = event_field_path(p, container);
    EventObject o = {.kind = "Pod", .namespace_ = m->namespace_, .name = m->name, .uid = m->uid, .resource_version = version, .field_path = path};
    recorder_event(r, &o, component, warning, reason, message, now_ns);
}
