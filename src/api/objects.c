/* objects.c - manifests in, objects and a verdict on each document out. */
#include "api/objects.h"

#include "wire/yaml.h"

/* --- what belongs to a cluster, not to a manifest ---------------------------------------------------------------- */

/* Clears what kube-apiserver sets itself, whatever a manifest says (rest.FillObjectMetaSystemFields, PrepareForCreate). */
static void clear_system_fields(ObjectMeta *m)
{
    mem_set_str(&m->uid, NULL);
    mem_set_str(&m->self_link, NULL);
    mem_set_str(&m->managed_fields, NULL);
    m->creation_timestamp = m->deletion_timestamp = (OptTime){0};
    m->deletion_grace_period_seconds = (OptInt){0};
    m->generation = (OptInt){0};
}

static void check_create_meta(const ObjectMeta *m, Report *r)
{
    if (m->resource_version)
        report_add(r, CAUSE_INVALID, "metadata.resourceVersion",
                   "Invalid value: \"%s\": resourceVersion should not be set on objects to be created", m->resource_version);
}

/* --- stale spellings of exitCodes ------------------------------------------------------------------------------- */

/* KEP-5532's example has onExit, KEP-5307's has when; what shipped has exitCodes directly under the rule. */
static void move_exit_codes(json_t *rule, const char *path, Report *r)
{
    static const char *const stale[] = {"onExit", "when"};
    for (size_t i = 0; i < ARRAY_LEN(stale); i++) {
        json_t *outer = json_object_get(rule, stale[i]);
        json_t *codes = json_object_get(outer, "exitCodes");
        /* Anything else in it, or both forms at once, is left to be an unknown field. */
        if (!codes || json_object_size(outer) != 1 || json_object_get(rule, "exitCodes"))
            continue;
        json_object_set(rule, "exitCodes", codes);
        json_object_del(rule, stale[i]);
        report_warn(r, "%s.%s: this form never shipped; using it as exitCodes (write exitCodes directly under the rule)", path,
                    stale[i]);
    }
}

static void accept_stale_rules(json_t *doc, Report *r)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    json_t *spec = json_object_get(doc, "spec");
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        size_t i, k;
        json_t *ctr, *rule;
        json_array_foreach(json_object_get(spec, lists[l]), i, ctr)
            json_array_foreach(json_object_get(ctr, "restartPolicyRules"), k, rule)
            {
                SCOPED(mem_free) char *path = mem_fmt("spec.%s[%zu].restartPolicyRules[%zu]", lists[l], i, k);
                move_exit_codes(rule, path, r);
            }
    }
}

/* --- fields of gates that are off (pod-restart.md 1.5) ----------------------------------------------------------- */

static void drop_rules(Container *c, bool keep_policy, const char *list, size_t i, Report *r)
{
    if (!keep_policy && c->restart_policy) {
        report_warn(r, "spec.%s[%zu].restartPolicy: dropped: feature gate ContainerRestartRules is off", list, i);
        mem_set_str(&c->restart_policy, NULL);
    }
    if (!c->restart_policy_rules.n)
        return;
    report_warn(r, "spec.%s[%zu].restartPolicyRules: dropped: feature gate ContainerRestartRules is off", list, i);
    LIST_EACH(rule, &c->restart_policy_rules)
        api_done(&type_ContainerRestartRule, rule);
    free(c->restart_policy_rules.v);
    c->restart_policy_rules.v = NULL;
    c->restart_policy_rules.n = 0;
}

static void drop_disabled(PodSpec *s, const FeatureGates *gates, Report *r)
{
    if (gates->ContainerRestartRules)
        return;
    for (size_t i = 0; i < s->containers.n; i++)
        drop_rules(&s->containers.v[i], false, "containers", i, r);
    for (size_t i = 0; i < s->init_containers.n; i++)
        drop_rules(&s->init_containers.v[i], container_is_sidecar(&s->init_containers.v[i]), "initContainers", i, r);
    for (size_t i = 0; i < s->ephemeral_containers.n; i++)
        drop_rules(&s->ephemeral_containers.v[i], false, "ephemeralContainers", i, r);
}

/* --- one document ----------------------------------------------------------------------------------------------- */

static bool is_at_or_below(const char *path, const char *above)
{
    return str_starts(path, above) && strchr(".[", path[strlen(above)]);
}

/* An error in what a field of the wrong type should have said ("Required value") follows from that type error, and says
 * nothing new. <n>: errors of decoding, which come first. */
static void drop_consequences(Report *r, size_t n)
{
    size_t kept = n;
    for (size_t i = n; i < r->errors.n; i++) {
        Cause *c = &r->errors.v[i];
        bool follows = false;
        for (size_t k = 0; k < n && !follows; k++) {
            const Cause *d = &r->errors.v[k];
            follows = d->kind == CAUSE_TYPE && is_at_or_below(c->path, d->path);
        }
        if (follows) {
            free(c->path);
            free(c->message);
        } else {
            r->errors.v[kept++] = *c;
        }
    }
    r->errors.n = kept;
}

typedef struct {
    const FeatureGates *gates;
    Objects *objs;
} Reader;

static const char *read_pod(const Reader *rd, json_t *doc, DocReport *dr)
{
    Report *r = &dr->report;
    accept_stale_rules(doc, r);
    Pod *p = api_decode(&type_Pod, doc, "", DECODE_STRICT, r);
    size_t n = r->errors.n;
    *LIST_ADD(&rd->objs->pods) = p;
    dr->pod = p;
    check_create_meta(&p->metadata, r);
    clear_system_fields(&p->metadata);
    api_done(&type_PodStatus, &p->status);
    drop_disabled(&p->spec, rd->gates, r);
    pod_default(p);
    pod_validate(p, rd->gates, r);
    if (!str_empty(p->spec.scheduling_gates) && !str_eq(p->spec.scheduling_gates, "[]")) /* the API's Pods may have them */
        report_add(r, CAUSE_FORBIDDEN, "spec.schedulingGates",
                   "Forbidden: scheduling gates are not supported by reprise in a manifest, for nobody could remove them there: remove them to "
                   "start the Pod");
    drop_consequences(r, n);
    return p->metadata.name ? p->metadata.name : p->metadata.generate_name;
}

static void default_namespace(ObjectMeta *m)
{
    if (str_empty(m->namespace_))
        mem_set_str(&m->namespace_, "default");
}

static const char *read_config_map(const Reader *rd, json_t *doc, DocReport *dr)
{
    ConfigMap *c = api_decode(&type_ConfigMap, doc, "", DECODE_STRICT, &dr->report);
    size_t n = dr->report.errors.n;
    *LIST_ADD(&rd->objs->config_maps) = c;
    check_create_meta(&c->metadata, &dr->report);
    clear_system_fields(&c->metadata);
    default_namespace(&c->metadata);
    config_map_validate(c, &dr->report);
    drop_consequences(&dr->report, n);
    return c->metadata.name;
}

static const char *read_secret(const Reader *rd, json_t *doc, DocReport *dr)
{
    Secret *s = api_decode(&type_Secret, doc, "", DECODE_STRICT, &dr->report);
    size_t n = dr->report.errors.n;
    *LIST_ADD(&rd->objs->secrets) = s;
    check_create_meta(&s->metadata, &dr->report);
    clear_system_fields(&s->metadata);
    default_namespace(&s->metadata);
    secret_default(s);
    secret_validate(s, &dr->report);
    drop_consequences(&dr->report, n);
    return s->metadata.name;
}

static const char *read_pvc(const Reader *rd, json_t *doc, DocReport *dr)
{
    PersistentVolumeClaim *c = api_decode(&type_PersistentVolumeClaim, doc, "", DECODE_STRICT, &dr->report);
    size_t n = dr->report.errors.n;
    *LIST_ADD(&rd->objs->pvcs) = c;
    check_create_meta(&c->metadata, &dr->report);
    clear_system_fields(&c->metadata);
    default_namespace(&c->metadata);
    mem_set_str(&c->status, NULL);
    pvc_validate(c, &dr->report);
    drop_consequences(&dr->report, n);
    return c->metadata.name;
}

static const struct KindRow {
    const char *kind;
    const char *(*read)(const Reader *rd, json_t *doc, DocReport *dr); /* returns the object's name, borrowed */
} kinds[] = {
    {"Pod", read_pod},
    {"ConfigMap", read_config_map},
    {"Secret", read_secret},
    {"PersistentVolumeClaim", read_pvc},
};

static const struct KindRow *find_kind(const char *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(kinds[i].kind, kind))
            return &kinds[i];
    return NULL;
}

/* Only within one input: separate files may be versions of one thing. */
static void check_duplicate(const DocReports *reports, DocReport *dr)
{
    LIST_EACH(other, &reports->docs)
        if (other != dr && dr->name && str_eq(other->source, dr->source) && str_eq(other->kind, dr->kind) && str_eq(other->name, dr->name) &&
            str_eq(other->namespace_, dr->namespace_)) {
            report_add(&dr->report, CAUSE_DUPLICATE, "metadata.name", "Duplicate value: \"%s\"", dr->name);
            return;
        }
}

static DocReport *new_report(DocReports *reports, const char *source, size_t index)
{
    DocReport *dr = LIST_ADD(&reports->docs);
    dr->source = mem_dup_str(source);
    dr->index = index;
    return dr;
}

static void check_kind(const json_t *doc, DocReport *dr)
{
    const char *kind = json_str(doc, "kind"), *version = json_str(doc, "apiVersion");
    Report *r = &dr->report;
    dr->kind = mem_dup_str(kind);
    dr->name = mem_dup_str(json_str(json_object_get(doc, "metadata"), "name"));
    if (!json_is_object(doc))
        report_add(r, CAUSE_TYPE, "", "Invalid value: the document is not an object");
    else if (str_empty(kind))
        report_add(r, CAUSE_REQUIRED, "kind", "Required value: Object 'Kind' is missing");
    else if (str_empty(version))
        report_add(r, CAUSE_REQUIRED, "apiVersion", "Required value: Object 'apiVersion' is missing");
    else if (!find_kind(kind) || strcmp(version, "v1") != 0)
        report_add(r, CAUSE_NOT_SUPPORTED, "kind",
                   "Unsupported value: \"%s\": no matches for kind \"%s\" in version \"%s\" (reprise takes v1 Pod, ConfigMap, "
                   "Secret, PersistentVolumeClaim and List)",
                   kind, kind, version);
}

static void read_one(const Reader *rd, DocReports *reports, const char *source, size_t index, json_t *doc)
{
    DocReport *dr = new_report(reports, source, index);
    check_kind(doc, dr);
    if (!report_ok(&dr->report))
        return;
    const char *ns = json_str(json_object_get(doc, "metadata"), "namespace");
    dr->namespace_ = mem_dup_str(str_empty(ns) ? "default" : ns);
    const char *name = find_kind(dr->kind)->read(rd, doc, dr);
    mem_set_str(&dr->name, name);
    check_duplicate(reports, dr);
}

static bool is_list(const json_t *doc)
{
    const char *kind = json_str(doc, "kind");
    /* List, PodList, ConfigMapList ...; what an item lacks in kind follows from the list's. */
    return kind && str_ends(kind, "List") && json_is_array(json_object_get(doc, "items"));
}

static void read_list(const Reader *rd, DocReports *reports, const char *source, size_t index, json_t *doc)
{
    const char *list_kind = json_str(doc, "kind");
    SCOPED(mem_free) char *kind = mem_dup_strn(list_kind, strlen(list_kind) - strlen("List"));
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(doc, "items"), i, item)
    {
        if (*kind && json_is_object(item)) {
            if (!json_object_get(item, "kind"))
                json_object_set_new(item, "kind", json_string(kind));
            if (!json_object_get(item, "apiVersion"))
                json_object_set(item, "apiVersion", json_object_get(doc, "apiVersion"));
        }
        read_one(rd, reports, source, index, item);
    }
}

Err *objects_parse(const char *source, const char *text, size_t n, const FeatureGates *gates, Objects *objs,
                   DocReports *reports)
{
    SCOPED(json_unref) json_t *docs = NULL;
    Err *e = yaml_parse_all(text, n, &docs);
    if (e)
        return err_wrap(e, "%s", source);
    Reader rd = {gates, objs};
    size_t i;
    json_t *doc;
    json_array_foreach(docs, i, doc)
    {
        if (is_list(doc))
            read_list(&rd, reports, source, i, doc);
        else
            read_one(&rd, reports, source, i, doc);
    }
    return NULL;
}

/* --- owners ----------------------------------------------------------------------------------------------------- */

void objects_done(Objects *o)
{
    LIST_EACH(p, &o->pods)
        api_free(&type_Pod, *p);
    LIST_EACH(c, &o->config_maps)
        api_free(&type_ConfigMap, *c);
    LIST_EACH(s, &o->secrets)
        api_free(&type_Secret, *s);
    LIST_EACH(c, &o->pvcs)
        api_free(&type_PersistentVolumeClaim, *c);
    free(o->pods.v);
    free(o->config_maps.v);
    free(o->secrets.v);
    free(o->pvcs.v);
    *o = (Objects){0};
}

void doc_reports_done(DocReports *r)
{
    LIST_EACH(d, &r->docs) {
        free(d->source);
        free(d->kind);
        free(d->name);
        free(d->namespace_);
        report_done(&d->report);
    }
    free(r->docs.v);
    *r = (DocReports){0};
}

bool doc_reports_ok(const DocReports *r)
{
    LIST_EACH(d, &r->docs)
        if (!report_ok(&d->report))
            return false;
    return true;
}
