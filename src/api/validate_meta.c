/* validate_meta.c - metadata (k8s.io/apimachinery/pkg/api/validation/objectmeta.go). */
#include "api/validate_priv.h"

#define MAX_ANNOTATIONS (256u << 10)

void check_labels(Report *r, const Path *at, const StrMap *labels)
{
    LIST_EACH(l, labels) {
        v_qualified_name(r, at, l->key, l->key);
        v_label_value(r, at, l->value);
    }
}

static void check_annotations(Report *r, const Path *at, const StrMap *annotations)
{
    size_t total = 0;
    LIST_EACH(a, annotations) {
        SCOPED(mem_free) char *lower = mem_dup_str(a->key);
        for (char *p = lower; *p; p++)
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        v_qualified_name(r, at, a->key, lower);
        total += strlen(a->key) + strlen(a->value);
    }
    if (total > MAX_ANNOTATIONS)
        v_too_long(r, at, MAX_ANNOTATIONS);
}

static void check_owner(Report *r, const Path *at, const OwnerReference *o)
{
    if (str_empty(o->api_version))
        v_invalid(r, CHILD(at, "apiVersion"), "", "version must not be empty");
    if (str_empty(o->kind))
        v_invalid(r, CHILD(at, "kind"), "", "must not be empty");
    if (str_empty(o->name))
        v_invalid(r, CHILD(at, "name"), "", "must not be empty");
    if (str_empty(o->uid))
        v_invalid(r, CHILD(at, "uid"), "", "must not be empty");
}

static void check_owners(Report *r, const Path *at, const ObjectMeta *m)
{
    const OwnerReference *controller = NULL;
    for (size_t i = 0; i < m->owner_references.n; i++) {
        const OwnerReference *o = &m->owner_references.v[i];
        check_owner(r, AT_INDEX(at, i), o);
        if (!o->controller.set || !o->controller.v)
            continue;
        if (controller)
            v_invalid(r, at, o->name,
                      "Only one reference can have Controller set to true. Found \"true\" in references for %s and %s",
                      str_or(controller->name, ""), str_or(o->name, ""));
        controller = o;
    }
}

static void check_finalizers(Report *r, const Path *at, const StrList *finalizers)
{
    static const char *const standard[] = {"kubernetes", "orphan", "foregroundDeletion"};
    for (size_t i = 0; i < finalizers->n; i++) {
        const char *f = finalizers->v[i];
        v_qualified_name(r, at, f, f);
        if (!strchr(f, '/') && !v_is_one_of(f, standard, ARRAY_LEN(standard)))
            v_invalid(r, AT_INDEX(at, i), f, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

void check_meta(Report *r, const ObjectMeta *m, bool namespaced)
{
    const Path *at = CHILD(NULL, "metadata");
    if (m->generate_name)
        v_dns_subdomain_prefix(r, CHILD(at, "generateName"), m->generate_name);
    if (!m->name && !m->generate_name)
        v_required(r, CHILD(at, "name"), "name or generateName is required");
    else if (m->name)
        v_dns_subdomain(r, CHILD(at, "name"), m->name);
    if (namespaced && !m->namespace_)
        v_required(r, CHILD(at, "namespace"), NULL);
    else if (namespaced)
        v_dns_label(r, CHILD(at, "namespace"), m->namespace_);
    v_nonnegative(r, CHILD(at, "generation"), m->generation);
    check_labels(r, CHILD(at, "labels"), &m->labels);
    check_annotations(r, CHILD(at, "annotations"), &m->annotations);
    check_owners(r, CHILD(at, "ownerReferences"), m);
    check_finalizers(r, CHILD(at, "finalizers"), &m->finalizers);
}

void object_meta_validate(const ObjectMeta *m, bool namespaced, Report *r)
{
    check_meta(r, m, namespaced);
}

static bool has_container(const PodSpec *s, const char *name)
{
    const ContainerList *lists[] = {&s->init_containers, &s->containers, &s->ephemeral_containers};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        LIST_EACH(c, lists[i])
            if (str_eq(c->name, name))
                return true;
    return false;
}

static void check_apparmor_annotation(Checker *c, const Path *at, const StrPair *a)
{
    static const char prefix[] = "container.apparmor.security.beta.kubernetes.io/";
    if (!str_starts(a->key, prefix))
        return;
    const char *name = a->key + strlen(prefix);
    const Path *here = AT_KEY(at, a->key);
    if (!has_container(c->spec, name))
        v_invalid(c->r, here, name, "container not found");
    if (*a->value && strcmp(a->value, "runtime/default") != 0 && strcmp(a->value, "unconfined") != 0 &&
        !str_starts(a->value, "localhost/"))
        v_invalid(c->r, here, a->value, "invalid AppArmor profile name: \"%s\"", a->value);
}

static void check_seccomp_annotation(Checker *c, const Path *at, const StrPair *a)
{
    const char *v = a->value;
    if (strcmp(a->key, "seccomp.security.alpha.kubernetes.io/pod") != 0 &&
        !str_starts(a->key, "container.seccomp.security.alpha.kubernetes.io/"))
        return;
    const Path *here = CHILD(at, a->key);
    if (str_starts(v, "localhost/"))
        v_local_descending(c->r, here, v + strlen("localhost/"));
    else if (strcmp(v, "runtime/default") != 0 && strcmp(v, "docker/default") != 0 && strcmp(v, "unconfined") != 0)
        v_invalid(c->r, here, v, "must be a valid seccomp profile");
}

void check_pod_annotations(Checker *c)
{
    const Path *at = CHILD(CHILD(NULL, "metadata"), "annotations");
    const StrMap *annotations = &c->pod->metadata.annotations;
    const char *mirror = strmap_get(annotations, "kubernetes.io/config.mirror");
    if (mirror && str_empty(c->spec->node_name))
        v_invalid(c->r, AT_KEY(at, "kubernetes.io/config.mirror"), mirror,
                  "must set spec.nodeName if mirror pod annotation is set");
    const char *cost = strmap_get(annotations, "controller.kubernetes.io/pod-deletion-cost");
    int64_t value;
    if (cost && (!str_to_i64(cost, &value) || *cost == '+' || value > INT32_MAX || value < INT32_MIN))
        v_invalid(c->r, AT_KEY(at, "controller.kubernetes.io/pod-deletion-cost"), cost, "must be a 32bit integer");
    LIST_EACH(a, annotations)
        check_seccomp_annotation(c, at, a);
    LIST_EACH(a, annotations)
        check_apparmor_annotation(c, at, a);
}
