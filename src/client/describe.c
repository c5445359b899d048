#include "client/describe.h"

#include <ctype.h>
#include <stdarg.h>

#include "client/describe_priv.h"
#include "client/events.h"
#include "kube/table.h"

#define ANNOTATION_MAX 140 /* maxAnnotationLen */
#define LAST_APPLIED   "kubectl.kubernetes.io/last-applied-configuration"

/* --- writing ------------------------------------------------------------------------------------------------------ */

void w(Desc *d, int level, const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    for (int i = 0; i < level; i++)
        str_add(&d->raw, "  ");
    tabs_escape(&d->raw, str_or(s.p, ""));
}

void desc_flush(Desc *d)
{
    SCOPED(tabs_done) Tabs t = TABS_DESCRIBE;
    tabs_align(&t, str_or(d->raw.p, ""), &d->out);
    str_clear(&d->raw);
}

const char *or_none(const char *s)
{
    return str_empty(s) ? "<none>" : s;
}

const char *age_of(const Desc *d, const char *time, char *buf)
{
    return human_since(str_empty(time) ? NULL : time, d->with->now_ns, buf);
}

const json_t **sorted(const json_t *list, int (*compare)(const void *, const void *), size_t *ret_n)
{
    size_t n = json_array_size(list);
    const json_t **v = mem_alloc_n(n + 1, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = json_array_get(list, i);
    qsort(v, n, sizeof *v, compare);
    *ret_n = n;
    return v;
}

char *go_list(const json_t *list)
{
    Str s = {0};
    str_add_c(&s, '[');
    for (size_t i = 0; i < json_array_size(list); i++) {
        SCOPED(mem_free) char *text = value_text(json_array_get(list, i));
        str_fmt(&s, "%s%s", i ? " " : "", text);
    }
    str_add_c(&s, ']');
    return str_take(&s);
}

void desc_labels(Desc *d, const char *title, const json_t *labels)
{
    SCOPED(strvec_done) StrVec keys = keys_sorted(labels);
    w(d, 0, "%s:\t", title);
    if (!keys.n)
        w(d, 0, "<none>\n");
    for (size_t i = 0; i < keys.n; i++)
        w(d, 0, "%s%s=%s\n", i ? "\t" : "", keys.v[i], str_or(json_str(labels, keys.v[i]), ""));
}

static void annotation(Desc *d, const char *key, const char *value, bool first)
{
    size_t n = strlen(value);
    SCOPED(mem_free) char *text = mem_dup_strn(value, n && value[n - 1] == '\n' ? n - 1 : n);
    if (!first)
        w(d, 0, "\t");
    if (strlen(text) + strlen(key) + 2 <= ANNOTATION_MAX && !strchr(text, '\n')) {
        w(d, 0, "%s: %s\n", key, text);
        return;
    }
    w(d, 0, "%s:\n", key);
    for (const char *p = text;;) {
        size_t line = strcspn(p, "\n");
        bool cut = line > ANNOTATION_MAX - 2;
        w(d, 0, "\t  %.*s%s\n", (int)(cut ? ANNOTATION_MAX - 2 : line), p, cut ? "..." : "");
        if (!p[line])
            break;
        p += line + 1;
    }
}

void desc_meta(Desc *d, const json_t *o)
{
    const json_t *annotations = at(o, "metadata.annotations");
    SCOPED(strvec_done) StrVec keys = keys_sorted(annotations);
    bool first = true;
    desc_labels(d, "Labels", at(o, "metadata.labels"));
    w(d, 0, "Annotations:\t");
    for (size_t i = 0; i < keys.n; i++) {
        if (str_eq(keys.v[i], LAST_APPLIED))
            continue;
        annotation(d, keys.v[i], str_or(json_str(annotations, keys.v[i]), ""), first);
        first = false;
    }
    if (first)
        w(d, 0, "<none>\n");
}

void desc_resources(Desc *d, int level, const json_t *list)
{
    SCOPED(strvec_done) StrVec keys = keys_sorted(list);
    for (size_t i = 0; i < keys.n; i++) {
        SCOPED(mem_free) char *text = value_text(json_object_get(list, keys.v[i]));
        w(d, level, "%s:\t%s\n", keys.v[i], text);
    }
}

static void name_and_namespace(Desc *d, const json_t *o)
{
    w(d, 0, "Name:\t%s\nNamespace:\t%s\n", at_str(o, "metadata.name"), at_str(o, "metadata.namespace"));
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void event_line(Desc *d, const json_t *e)
{
    const char *field = at_str(e, "involvedObject.fieldPath"), *from = at_str(e, "source.component");
    SCOPED(mem_free) char *interval = event_interval(e, d->with->now_ns);
    SCOPED(mem_free) char *message = event_message(e);
    w(d, 1, "%s\t%s\t%s\t%s\t%s%s%s\n", at_str(e, "type"), at_str(e, "reason"), interval,
      *from ? from : at_str(e, "reportingComponent"), field, *field ? ": " : "", message);
}

void describe_events(Desc *d)
{
    const json_t *events = d->with->events;
    size_t n = json_array_size(events);
    if (!events)
        return;
    if (!n) {
        w(d, 0, "Events:\t<none>\n");
        return;
    }
    SCOPED(json_unref) json_t *sorted = events_sorted(events, event_last_time);
    desc_flush(d);
    w(d, 0, "Events:\n  Type\tReason\tAge\tFrom\tMessage\n");
    w(d, 1, "----\t------\t----\t----\t-------\n");
    for (size_t i = 0; i < n; i++)
        event_line(d, json_array_get(sorted, i));
}

/* --- kinds -------------------------------------------------------------------------------------------------------- */

/* Bytes behind base64 text. */
static size_t base64_bytes(const char *s)
{
    size_t n = 0, padding = 0;
    for (; *s; s++) {
        n += !isspace((unsigned char)*s);
        padding += *s == '=';
    }
    return n / 4 * 3 - (padding > n / 4 * 3 ? 0 : padding);
}

static void config_map(Desc *d, const json_t *o)
{
    const json_t *data = at(o, "data"), *binary = at(o, "binaryData");
    SCOPED(strvec_done) StrVec keys = keys_sorted(data);
    SCOPED(strvec_done) StrVec bytes = keys_sorted(binary);
    name_and_namespace(d, o);
    desc_meta(d, o);
    w(d, 0, "\nData\n====\n");
    for (size_t i = 0; i < keys.n; i++)
        w(d, 0, "%s:\n----\n%s\n\n", keys.v[i], str_or(json_str(data, keys.v[i]), ""));
    w(d, 0, "\nBinaryData\n====\n");
    for (size_t i = 0; i < bytes.n; i++)
        w(d, 0, "%s: %zu bytes\n", bytes.v[i], base64_bytes(str_or(json_str(binary, bytes.v[i]), "")));
    w(d, 0, "\n");
    describe_events(d);
}

/* Never what is in it. */
static void secret(Desc *d, const json_t *o)
{
    const json_t *data = at(o, "data");
    SCOPED(strvec_done) StrVec keys = keys_sorted(data);
    name_and_namespace(d, o);
    desc_meta(d, o);
    w(d, 0, "\nType:\t%s\n\nData\n====\n", at_str(o, "type"));
    for (size_t i = 0; i < keys.n; i++)
        w(d, 0, "%s:\t%zu bytes\n", keys.v[i], base64_bytes(str_or(json_str(data, keys.v[i]), "")));
}

/* <times>: the members of a condition that are times, with their columns. */
static void conditions(Desc *d, const json_t *list, const char *blank, bool probed)
{
    char a[RFC1123_MAX], b[RFC1123_MAX];
    if (!json_array_size(list))
        return;
    w(d, 0, "Conditions:\n");
    w(d, 1, "Type\tStatus\t%sLastTransitionTime\tReason\tMessage\n", probed ? "LastProbeTime\t" : "");
    w(d, 1, "----\t------\t%s------------------\t------\t-------\n", probed ? "-----------------\t" : "");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        w(d, 1, "%s%s\t%s%s\t", at_str(c, "type"), blank, at_str(c, "status"), blank);
        if (probed)
            w(d, 0, "%s%s\t", rfc1123(at_str(c, "lastProbeTime"), b), blank);
        w(d, 0, "%s%s\t%s%s\t%s\n", rfc1123(at_str(c, "lastTransitionTime"), a), blank, at_str(c, "reason"), blank,
          at_str(c, "message"));
    }
}

static void namespace_(Desc *d, const json_t *o)
{
    w(d, 0, "Name:\t%s\n", at_str(o, "metadata.name"));
    desc_meta(d, o);
    w(d, 0, "Status:\t%s\n", at_str(o, "status.phase"));
    conditions(d, at(o, "status.conditions"), "", false);
}

static void service_account(Desc *d, const json_t *o)
{
    const json_t *secrets = at(o, "imagePullSecrets");
    name_and_namespace(d, o);
    desc_meta(d, o);
    if (!json_array_size(secrets))
        w(d, 0, "Image pull secrets:\t<none>\n");
    for (size_t i = 0; i < json_array_size(secrets); i++)
        w(d, 0, "%s\t%s\n",
          i ? "                   " : "Image pull secrets:", at_str(json_array_get(secrets, i), "name"));
    describe_events(d);
}

static bool uses_claim(const json_t *pod, const json_t *claim)
{
    const json_t *volumes = at(pod, "spec.volumes"), *owners = at(claim, "metadata.ownerReferences");
    for (size_t i = 0; i < json_array_size(volumes); i++)
        if (str_eq(at_str(json_array_get(volumes, i), "persistentVolumeClaim.claimName"),
                   at_str(claim, "metadata.name")))
            return true;
    for (size_t i = 0; i < json_array_size(owners); i++)
        if (str_eq(at_str(json_array_get(owners, i), "kind"), "Pod") &&
            str_eq(at_str(json_array_get(owners, i), "uid"), at_str(pod, "metadata.uid")))
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static void used_by(Desc *d, const json_t *claim)
{
    SCOPED(strvec_done) StrVec names = {0};
    for (size_t i = 0; i < json_array_size(d->with->pods); i++)
        if (uses_claim(json_array_get(d->with->pods, i), claim))
            strvec_add(&names, at_str(json_array_get(d->with->pods, i), "metadata.name"));
    if (names.n)
        qsort(names.v, names.n, sizeof *names.v, compare_names);
    w(d, 0, "Used By:\t");
    if (!names.n)
        w(d, 0, "<none>\n");
    for (size_t i = 0; i < names.n; i++)
        w(d, 0, "%s%s\n", i ? "\t" : "", names.v[i]);
}

/* storageutil.GetAccessModesAsString(). */
static char *access_modes(const json_t *modes)
{
    static const char *const names[][2] = {
        {"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}};
    Str s = {0};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k < json_array_size(modes); k++)
            if (str_eq(json_string_value(json_array_get(modes, k)), names[i][0])) {
                str_fmt(&s, "%s%s", s.n ? "," : "", names[i][1]);
                break;
            }
    return str_take(&s);
}

static void claim(Desc *d, const json_t *o)
{
    char age[HUMAN_MAX];
    bool bound = *at_str(o, "spec.volumeName");
    SCOPED(mem_free) char *finalizers = go_list(at(o, "metadata.finalizers"));
    SCOPED(mem_free) char *modes = bound ? access_modes(at(o, "status.accessModes")) : mem_dup_str("");
    SCOPED(mem_free) char *capacity = bound ? value_text(at(o, "status.capacity.storage")) : mem_dup_str("");
    name_and_namespace(d, o);
    w(d, 0, "StorageClass:\t%s\n", at_str(o, "spec.storageClassName"));
    if (*at_str(o, "metadata.deletionTimestamp"))
        w(d, 0, "Status:\tTerminating (lasts %s)\n", age_of(d, at_str(o, "metadata.deletionTimestamp"), age));
    else
        w(d, 0, "Status:\t%s\n", at_str(o, "status.phase"));
    w(d, 0, "Volume:\t%s\n", at_str(o, "spec.volumeName"));
    desc_meta(d, o);
    w(d, 0, "Finalizers:\t%s\nCapacity:\t%s\nAccess Modes:\t%s\n", finalizers, capacity, modes);
    if (*at_str(o, "spec.volumeMode"))
        w(d, 0, "VolumeMode:\t%s\n", at_str(o, "spec.volumeMode"));
    used_by(d, o);
    conditions(d, at(o, "status.conditions"), " ", true);
    describe_events(d);
}

/* --- anything: the object as it is (the generic describer) -------------------------------------------------------- */

/* "involvedObject" -> "Involved Object", "uid" -> "UID". */
static void add_label(Str *s, const char *field)
{
    static const char *const acronyms[] = {"API", "URL", "UID", "GUID"};
    for (const char *p = field; *p; p++)
        if (!isalpha((unsigned char)*p) && *p != '-') {
            str_add(s, field);
            return;
        }
    while (*field) {
        size_t n = 1;
        bool upper = isupper((unsigned char)field[0]) && isupper((unsigned char)field[1]);
        while (field[n] && (upper ? isupper((unsigned char)field[n]) && !islower((unsigned char)field[n + 1])
                                  : !isupper((unsigned char)field[n])))
            n++;
        SCOPED(mem_free) char *word = mem_dup_strn(field, n);
        for (size_t i = 0; i < ARRAY_LEN(acronyms); i++)
            if (strcasecmp(acronyms[i], word) == 0)
                mem_set_str(&word, acronyms[i]);
        word[0] = (char)toupper((unsigned char)word[0]);
        str_fmt(s, "%s%s", s->n ? " " : "", word);
        field += n;
    }
}

static void content(Desc *d, int level, const json_t *o,
                    bool top) // NOLINT(misc-no-recursion): no deeper than the API's answers
{
    static const char *const shown_before[] = {"managedFields", "name", "namespace", "labels", "annotations"};
    SCOPED(strvec_done) StrVec keys = keys_sorted(o);
    for (size_t i = 0; i < keys.n; i++) {
        SCOPED(str_done) Str label = {0};
        const json_t *v = json_object_get(o, keys.v[i]);
        bool skip = false;
        for (size_t k = 0; top && k < ARRAY_LEN(shown_before); k++)
            skip = skip || str_eq(keys.v[i], shown_before[k]);
        if (skip)
            continue;
        add_label(&label, keys.v[i]);
        if (!json_is_object(v) && !json_is_array(v)) {
            SCOPED(mem_free) char *text = json_is_null(v) ? mem_dup_str("<nil>") : value_text(v);
            w(d, level, "%s:\t%s\n", label.p, text);
            continue;
        }
        w(d, level, "%s:\n", label.p);
        if (json_is_object(v))
            content(d, level + 1, v, level == 0 && str_eq(keys.v[i], "metadata"));
        for (size_t k = 0; k < json_array_size(v); k++) {
            const json_t *one = json_array_get(v, k);
            SCOPED(mem_free) char *text = value_text(one);
            if (json_is_object(one))
                content(d, level + 1, one, false);
            else
                w(d, level + 1, "%s\n", text);
        }
    }
}

static void generic(Desc *d, const json_t *o)
{
    name_and_namespace(d, o);
    desc_meta(d, o);
    content(d, 0, o, false);
    describe_events(d);
}

char *describe(const KubeKind *k, const json_t *object, const DescribeWith *with)
{
    static void (*const describers[KUBE_KIND_N])(Desc *d, const json_t *o) = {
        [KUBE_PODS] = describe_pod,
        [KUBE_CONFIG_MAPS] = config_map,
        [KUBE_SECRETS] = secret,
        [KUBE_PVCS] = claim,
        [KUBE_EVENTS] = generic,
        [KUBE_EVENTS_V1] = generic,
        [KUBE_NAMESPACES] = namespace_,
        [KUBE_NODES] = describe_node,
        [KUBE_SERVICE_ACCOUNTS] = service_account,
    };
    Desc d = {.with = with};
    describers[k->id](&d, object);
    desc_flush(&d);
    str_done(&d.raw);
    return str_take(&d.out);
}

bool describe_wants_pods(const KubeKind *k)
{
    return k->id == KUBE_NODES || k->id == KUBE_PVCS;
}
