/* meta.c - metadata from create to deletion; see pod_update.c for what an update of each kind may change. */
#include "kube/meta.h"

#include "base/clock.h"

/* --- create ----------------------------------------------------------------------------------------------------- */

char *meta_generate_name(const char *base, const uint8_t random[META_RANDOM])
{
    /* apimachinery's util/rand: no vowels, and no 0, 1 and 3 that look like letters. */
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char suffix[META_RANDOM + 1] = "";
    for (size_t i = 0; i < META_RANDOM; i++)
        suffix[i] = alphabet[random[i] % (sizeof alphabet - 1)];
    size_t n = strlen(base), max = 63 - META_RANDOM;
    return mem_fmt("%.*s%s", (int)(n < max ? n : max), base, suffix);
}

static json_t *check_namespace(ObjectMeta *m, const char *namespace_)
{
    if (!str_empty(namespace_) && !str_empty(m->namespace_) && !str_eq(m->namespace_, namespace_))
        return kube_bad_request("the namespace of the provided object does not match the namespace sent on the request");
    mem_set_str(&m->namespace_, str_empty(namespace_) ? NULL : namespace_);
    return NULL;
}

json_t *meta_create(ObjectMeta *m, const KubeRequest *r, const MetaSource *s)
{
    json_t *bad = check_namespace(m, r->namespace_);
    if (bad)
        return bad;
    if (str_empty(m->name) && !str_empty(m->generate_name)) {
        free(m->name);
        m->name = meta_generate_name(m->generate_name, s->random);
    }
    if (str_empty(m->name)) {
        SCOPED(report_done) Report report = {0};
        report_add(&report, CAUSE_REQUIRED, "metadata.name", "Required value: name or generateName is required");
        return kube_invalid(&report, (KubeRef){r->kind->group, r->kind->kind, NULL});
    }
    if (!str_empty(m->resource_version))
        return kube_bad_request("resourceVersion should not be set on objects to be created");
    mem_set_str(&m->uid, s->uid);
    mem_set_str(&m->self_link, NULL);
    m->creation_timestamp = (OptTime){true, s->now_ns / NS_PER_S * NS_PER_S};
    m->deletion_timestamp = (OptTime){0};
    m->deletion_grace_period_seconds = (OptInt){0};
    m->generation = r->kind->id == KUBE_PODS ? (OptInt){true, 1} : (OptInt){0};
    return NULL;
}

void pod_reset_status(Pod *p)
{
    api_done(&type_PodStatus, &p->status);
    p->status.phase = mem_dup_str("Pending");
    p->status.qos_class = mem_dup_str(pod_qos_class(&p->spec));
}

/* --- update ----------------------------------------------------------------------------------------------------- */

json_t *meta_check_path(ObjectMeta *m, const KubeRequest *r)
{
    if (str_empty(m->name))
        return kube_bad_request("the name of the object (%s based on URL) was undeterminable: name must be provided", str_or(r->name, ""));
    if (!str_eq(m->name, r->name))
        return kube_bad_request("the name of the object (%s) does not match the name on the URL (%s)", m->name, str_or(r->name, ""));
    if (!str_empty(r->namespace_) && !str_empty(m->namespace_) && !str_eq(m->namespace_, r->namespace_))
        return kube_bad_request("the namespace of the object (%s) does not match the namespace on the request (%s)", m->namespace_,
                                r->namespace_);
    return check_namespace(m, r->namespace_);
}

json_t *meta_check_version(const ObjectMeta *next, const ObjectMeta *old, KubeRef what)
{
    return str_empty(next->resource_version) || str_eq(next->resource_version, old->resource_version) ? NULL : kube_conflict_version(what);
}

void meta_prepare_update(ObjectMeta *next, const ObjectMeta *old)
{
    next->generation = old->generation;
    if (str_empty(next->uid))
        mem_set_str(&next->uid, old->uid);
    if (str_empty(next->resource_version)) /* an unconditional update is one of what is stored */
        mem_set_str(&next->resource_version, old->resource_version);
    if (old->creation_timestamp.set)
        next->creation_timestamp = old->creation_timestamp;
    if (old->deletion_timestamp.set)
        next->deletion_timestamp = old->deletion_timestamp;
    if (old->deletion_grace_period_seconds.set && !next->deletion_grace_period_seconds.set)
        next->deletion_grace_period_seconds = old->deletion_grace_period_seconds;
}

static void immutable_text(Report *r, const char *path, const char *next, const char *old)
{
    if (str_eq(str_or(next, ""), str_or(old, "")))
        return;
    SCOPED(str_done) Str s = {0};
    str_add_quoted(&s, str_or(next, ""));
    report_add(r, CAUSE_INVALID, path, "Invalid value: %s: field is immutable", s.p);
}

static void immutable_time(Report *r, const char *path, OptTime next, OptTime old)
{
    char buf[CLOCK_TEXT_MAX];
    if (next.set == old.set && (!next.set || next.ns / NS_PER_S == old.ns / NS_PER_S))
        return;
    if (next.set)
        report_add(r, CAUSE_INVALID, path, "Invalid value: \"%s\": field is immutable", clock_format(next.ns, 0, buf));
    else
        report_add(r, CAUSE_INVALID, path, "Invalid value: null: field is immutable");
}

static bool has(const StrList *l, const char *s)
{
    LIST_EACH(e, l)
        if (str_eq(*e, s))
            return true;
    return false;
}

/* [ "a", "b" ] as Go's %v of a sorted set prints what was added. */
static void no_new_finalizers(Report *r, const StrList *next, const StrList *old)
{
    SCOPED(str_done) Str extra = {0};
    LIST_EACH(f, next)
        if (!has(old, *f)) {
            str_add(&extra, extra.n ? ", " : "");
            str_add_quoted(&extra, *f);
        }
    if (extra.n)
        report_add(r, CAUSE_FORBIDDEN, "metadata.finalizers",
                   "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{%s}", extra.p);
}

void meta_validate_update(const ObjectMeta *next, const ObjectMeta *old, Report *r)
{
    OptInt a = next->deletion_grace_period_seconds, b = old->deletion_grace_period_seconds;
    if (old->deletion_timestamp.set)
        no_new_finalizers(r, &next->finalizers, &old->finalizers);
    if (str_empty(next->resource_version))
        report_add(r, CAUSE_INVALID, "metadata.resourceVersion", "Invalid value: \"\": must be specified for an update");
    immutable_text(r, "metadata.name", next->name, old->name);
    immutable_text(r, "metadata.namespace", next->namespace_, old->namespace_);
    immutable_text(r, "metadata.uid", next->uid, old->uid);
    immutable_time(r, "metadata.creationTimestamp", next->creation_timestamp, old->creation_timestamp);
    immutable_time(r, "metadata.deletionTimestamp", next->deletion_timestamp, old->deletion_timestamp);
    if (a.set != b.set || (a.set && a.v != b.v)) {
        SCOPED(mem_free) char *shown = a.set ? mem_fmt("%lld", (long long)a.v) : mem_dup_str("null");
        report_add(r, CAUSE_INVALID, "metadata.deletionGracePeriodSeconds", "Invalid value: %s: field is immutable", shown);
    }
}

/* --- delete ----------------------------------------------------------------------------------------------------- */

json_t *meta_check_preconditions(const ObjectMeta *m, const DeleteOptions *o, KubeRef what)
{
    const char *uid = str_or(m->uid, ""), *version = str_or(m->resource_version, "");
    SCOPED(mem_free) char *why = NULL;
    if (o->uid && !str_eq(o->uid, uid))
        why = mem_fmt("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then "
                      "recreated", o->uid, uid);
    else if (o->resource_version && !str_eq(o->resource_version, version))
        why = mem_fmt("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might "
                      "have been modified", o->resource_version, version);
    return why ? kube_conflict(what, why) : NULL;
}

/* A deletionTimestamp is now plus the grace; whole seconds, as it is stored. No sum overflows: 292 years are what there is. */
static int64_t after(int64_t ns, int64_t seconds)
{
    int64_t span, end;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &span) || __builtin_add_overflow(ns, span, &end))
        return seconds < 0 ? 0 : INT64_MAX / NS_PER_S * NS_PER_S;
    return end / NS_PER_S * NS_PER_S;
}

/* A second request may only shorten what is under way. */
static DeleteVerdict shorten(ObjectMeta *m, const DeleteOptions *o, int64_t now_ns)
{
    int64_t had = m->deletion_grace_period_seconds.v, period = o->grace_period_seconds.v;
    if (!m->deletion_grace_period_seconds.set || had == 0)
        return m->finalizers.n ? DELETE_PENDING : DELETE_NOW; /* marked before; what is left are others' finalizers */
    if (!o->grace_period_seconds.set || period >= had)
        return DELETE_PENDING;
    int64_t at = after(after(m->deletion_timestamp.ns, -had), period);
    if (at < now_ns) {
        at = after(now_ns, 0);
        period = period ? 1 : 0; /* what is asked to end gracefully still gets a chance to be seen doing so */
    }
    m->deletion_timestamp = (OptTime){true, at};
    m->deletion_grace_period_seconds = (OptInt){true, period};
    return period ? DELETE_UPDATE : DELETE_NOW;
}

static DeleteVerdict unless_finalizers(ObjectMeta *m, int64_t now_ns, DeleteVerdict v)
{
    if (v != DELETE_NOW || !m->finalizers.n)
        return v;
    if (!m->deletion_timestamp.set) {
        if (m->generation.v > 0)
            m->generation.v++;
        m->deletion_timestamp = (OptTime){true, after(now_ns, 0)};
    }
    m->deletion_grace_period_seconds = (OptInt){true, 0};
    return DELETE_UPDATE;
}

DeleteVerdict pod_delete(Pod *p, const DeleteOptions *o, int64_t now_ns)
{
    ObjectMeta *m = &p->metadata;
    if (m->deletion_timestamp.set)
        return unless_finalizers(m, now_ns, shorten(m, o, now_ns));
    int64_t period = o->grace_period_seconds.set ? o->grace_period_seconds.v : p->spec.termination_grace_period_seconds.v;
    if (str_empty(p->spec.node_name) || str_eq(p->status.phase, "Failed") || str_eq(p->status.phase, "Succeeded"))
        period = 0;
    if (period < 0)
        period = 1;
    m->deletion_timestamp = (OptTime){true, after(now_ns, period)};
    m->deletion_grace_period_seconds = (OptInt){true, period};
    if (m->generation.v > 0)
        m->generation.v++;
    return unless_finalizers(m, now_ns, period ? DELETE_UPDATE : DELETE_NOW);
}

DeleteVerdict meta_delete(ObjectMeta *m, int64_t now_ns)
{
    if (m->deletion_timestamp.set && m->finalizers.n)
        return DELETE_PENDING;
    return unless_finalizers(m, now_ns, DELETE_NOW);
}

bool meta_delete_done(const ObjectMeta *m)
{
    return m->deletion_timestamp.set && !m->finalizers.n && m->deletion_grace_period_seconds.v == 0;
}

/* --- field validation ------------------------------------------------------------------------------------------- */

void meta_field_validation(Report *r, FieldValidation v)
{
    size_t n = 0;
    if (v == FIELDS_STRICT)
        return;
    for (size_t i = 0; i < r->errors.n; i++) {
        Cause *c = &r->errors.v[i];
        if (c->kind != CAUSE_UNKNOWN_FIELD) {
            r->errors.v[n++] = *c;
            continue;
        }
        if (v == FIELDS_WARN)
            report_warn(r, "%s", c->message);
        free(c->path);
        free(c->message);
    }
    r->errors.n = n;
}

char *kube_warning(const char *text)
{
    SCOPED(str_done) Str s = {0};
    str_add(&s, "299 - \"");
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return NULL;
        if (*p == '"' || *p == '\\')
            str_add_c(&s, '\\');
        str_add_c(&s, *p);
    }
    str_add_c(&s, '"');
    return str_take(&s);
}
