/* field.c - field selectors: pkg/fields/selector.go, and for each kind the fields of pkg/apis/core/v1/conversion.go. */
#include "kube/selector.h"

static const char *const pod_fields[] = {
    "metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
    "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName", NULL,
};
static const char *const event_fields[] = {
    "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
    "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
    "metadata.namespace", "metadata.name", NULL,
};
static const char *const events_v1_fields[] = {
    "reason", "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "regarding.apiVersion",
    "regarding.resourceVersion", "regarding.fieldPath", "reportingController", "type", "metadata.namespace", "metadata.name", NULL,
};
static const char *const namespace_fields[] = {"status.phase", "metadata.name", NULL};
static const char *const node_fields[] = {"metadata.name", "spec.unschedulable", NULL};
static const char *const secret_fields[] = {"type", "metadata.namespace", "metadata.name", NULL};
static const char *const meta_fields[] = {"metadata.name", "metadata.namespace", NULL};

static const char *const *fields_of(const KubeKind *k)
{
    switch (k->id) {
    case KUBE_PODS:
        return pod_fields;
    case KUBE_EVENTS:
        return event_fields;
    case KUBE_EVENTS_V1:
        return events_v1_fields;
    case KUBE_NAMESPACES:
        return namespace_fields;
    case KUBE_NODES:
        return node_fields;
    case KUBE_SECRETS:
        return secret_fields;
    case KUBE_CONFIG_MAPS:
    case KUBE_PVCS:
    case KUBE_SERVICE_ACCOUNTS:
    case KUBE_KIND_N:
        break;
    }
    return meta_fields;
}

static Err *bad(Str *text) /* taken */
{
    Err *e = err_reason(err_new(ERR_INVALID, 0, "%s", text->p), "BadRequest");
    str_done(text);
    return e;
}

/* What a client may say and what objects are asked by are not always the same. */
static char *converted(const KubeKind *k, const char *field)
{
    if (k->id == KUBE_PODS && str_eq(field, "spec.host")) /* clients of before v1 */
        return mem_dup_str("spec.nodeName");
    const char *const *f = fields_of(k);
    while (*f && !str_eq(*f, field))
        f++;
    if (!*f)
        return NULL;
    if (k->id == KUBE_EVENTS_V1 && str_starts(field, "regarding."))
        return mem_fmt("involvedObject.%s", field + strlen("regarding."));
    if (k->id == KUBE_EVENTS_V1 && str_eq(field, "reportingController"))
        return mem_dup_str("reportingComponent");
    return mem_dup_str(field);
}

static Err *convert(FieldSelector *s)
{
    for (size_t i = 0; i < s->n; i++) {
        char *field = converted(s->kind, s->v[i].field);
        if (!field) {
            Str t = {0};
            if (fields_of(s->kind) == meta_fields) {
                str_add_quoted(&t, s->v[i].field);
                str_add(&t, " is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
            } else {
                str_fmt(&t, "field label not supported: %s", s->v[i].field);
            }
            return bad(&t);
        }
        free(s->v[i].field);
        s->v[i].field = field;
    }
    return NULL;
}

static void add_char(Str *s, const char **p)
{
    do
        str_add_c(s, *(*p)++);
    while (((unsigned char)**p & 0xc0) == 0x80); /* a whole UTF-8 character */
}

static Err *unescape(const char *p, char **ret)
{
    SCOPED(str_done) Str out = {0};
    while (*p) {
        if (*p == ',' || *p == '=') {
            Str t = {0};
            str_fmt(&t, "invalid field selector: unescaped character in value: %d", *p); /* Go prints a rune with %v */
            return bad(&t);
        }
        if (*p != '\\') {
            str_add_c(&out, *p++);
            continue;
        }
        p++;
        if (!*p || !strchr("\\,=", *p)) {
            Str t = {0};
            str_add(&t, "invalid field selector: invalid escape sequence: \\");
            if (*p)
                add_char(&t, &p);
            return bad(&t);
        }
        str_add_c(&out, *p++);
    }
    *ret = str_take(&out);
    return NULL;
}

static Err *parse_term(const char *all, const char *term, FieldTerm *ret)
{
    const char *op = term + strcspn(term, "=");
    if (op > term && op[-1] == '!' && *op)
        op--;
    /* The first of !=, == and =; a ! alone is part of the name. */
    if (!*op) {
        Str t = {0};
        str_fmt(&t, "invalid selector: '%s'; can't understand '%s'", all, term);
        return bad(&t);
    }
    size_t n = *op == '!' || op[1] == '=' ? 2 : 1;
    ret->field = mem_dup_strn(term, (size_t)(op - term));
    ret->differs = *op == '!';
    return unescape(op + n, &ret->value);
}

static void split(const char *text, StrVec *ret)
{
    const char *from = text;
    bool slash = false;
    for (const char *p = text;; p++) {
        if (!*p || (*p == ',' && !slash)) {
            if (p > from)
                strvec_add_take(ret, mem_dup_strn(from, (size_t)(p - from)));
            from = p + 1;
            if (!*p)
                return;
        }
        slash = !slash && *p == '\\';
    }
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

Err *field_selector_parse(const char *text, const KubeKind *kind, FieldSelector *ret)
{
    SCOPED(strvec_done) StrVec terms = {0};
    text = str_or(text, "");
    split(text, &terms);
    *ret = (FieldSelector){.kind = kind};
    if (!terms.n)
        return NULL;
    qsort(terms.v, terms.n, sizeof *terms.v, by_text);
    ret->v = mem_alloc_n(terms.n, sizeof *ret->v);
    Err *e = NULL;
    for (size_t i = 0; i < terms.n && !e; i++) {
        FieldTerm *t = &ret->v[ret->n++];
        e = parse_term(text, terms.v[i], t);
        if (!e && str_empty(t->field) && str_empty(t->value)) { /* "=": hasTerm.Transform() makes "everything" of it */
            free(t->field);
            free(t->value);
            *t = (FieldTerm){0};
            ret->n--;
        }
    }
    if (!e)
        e = convert(ret);
    if (e)
        field_selector_done(ret);
    return e;
}

/* --- match ------------------------------------------------------------------------------------------------------ */

static const char *at_path(const json_t *o, const char *path)
{
    char part[64];
    for (;;) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof part)
            return NULL;
        memcpy(part, path, n);
        part[n] = '\0';
        o = json_object_get(o, part);
        if (!path[n])
            break;
        path += n + 1;
    }
    return json_is_boolean(o) ? (json_is_true(o) ? "true" : "false") : json_string_value(o);
}

static const char *value_of(const FieldSelector *s, const json_t *o, const char *field)
{
    if (str_eq(field, "spec.hostNetwork") || str_eq(field, "spec.unschedulable"))
        return str_or(at_path(o, field), "false");
    if (str_eq(field, "status.podIPs")) /* taken, and never anybody's: ToSelectableFields() has no such entry */
        return "";
    if (str_eq(field, "status.podIP")) {
        const json_t *ips = json_object_get(json_object_get(o, "status"), "podIPs");
        if (json_array_size(ips))
            return str_or(json_str(json_array_get(ips, 0), "ip"), "");
    }
    if (str_eq(field, "source") && s->kind->id == KUBE_EVENTS) {
        const char *component = at_path(o, "source.component");
        return str_empty(component) ? str_or(at_path(o, "reportingComponent"), "") : component;
    }
    return str_or(at_path(o, field), "");
}

bool field_selector_matches(const FieldSelector *s, const json_t *object)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(value_of(s, object, s->v[i].field), s->v[i].value) == s->v[i].differs)
            return false;
    return true;
}

const char *field_selector_exact(const FieldSelector *s, const char *field)
{
    for (size_t i = 0; i < s->n; i++)
        if (!s->v[i].differs && str_eq(s->v[i].field, field))
            return s->v[i].value;
    return NULL;
}

char *field_selector_text(const FieldSelector *s)
{
    Str out = {0};
    for (size_t i = 0; i < s->n; i++) {
        str_fmt(&out, "%s%s%s", i ? "," : "", s->v[i].field, s->v[i].differs ? "!=" : "=");
        for (const char *p = s->v[i].value; *p; p++) {
            if (strchr("\\,=", *p))
                str_add_c(&out, '\\');
            str_add_c(&out, *p);
        }
    }
    return str_take(&out);
}

void field_selector_done(FieldSelector *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].field);
        free(s->v[i].value);
    }
    free(s->v);
    *s = (FieldSelector){0};
}
