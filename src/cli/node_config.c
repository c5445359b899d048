#include "cli/node_config.h"

#include "api/quantity.h"
#include "base/clock.h"
#include "plan/eviction.h"
#include "wire/yaml.h"

#define API_VERSION "reprise.io/v1alpha1"
#define KIND "NodeConfig"

typedef enum { NC_STRING, NC_PATH, NC_DURATION, NC_QUANTITY, NC_COUNT, NC_INTEGER, NC_PERCENT, NC_BOOLS, NC_RESOURCES,
               /* a map of eviction signals to thresholds; to grace periods; to minimum reclaims */
               NC_THRESHOLDS, NC_GRACES, NC_MINIMUMS } NodeFieldKind;
static const struct NodeField {
    const char *json, *option;
    NodeFieldKind kind;
} fields[] = {
    {"root", "root", NC_PATH},
    {"runDir", "run-dir", NC_PATH},
    {"logDir", "log-dir", NC_PATH},
    {"nodeName", "node-name", NC_STRING},
    {"staticPodPath", "pod-manifest-path", NC_PATH},
    {"runtime", "runtime", NC_STRING},
    {"containerRuntimeEndpoint", "container-runtime-endpoint", NC_STRING},
    {"imageServiceEndpoint", "image-service-endpoint", NC_STRING},
    {"runtimeRequestTimeout", "runtime-request-timeout", NC_DURATION},
    {"criEvents", "cri-events", NC_STRING},
    {"ociRuntime", "oci-runtime", NC_STRING},
    {"cniConfDir", "cni-conf-dir", NC_PATH},
    {"cniBinDir", "cni-bin-dir", NC_STRING},
    {"prepare", "prepare", NC_STRING},
    {"prepareMemory", "prepare-memory", NC_QUANTITY},
    {"restartBackoff", "restart-backoff", NC_STRING},
    {"featureGates", "feature-gates", NC_BOOLS},
    {"maxPods", "max-pods", NC_COUNT},
    {"systemReserved", "system-reserved", NC_RESOURCES},
    {"evictionHard", "eviction-hard", NC_THRESHOLDS},
    {"evictionSoft", "eviction-soft", NC_THRESHOLDS},
    {"evictionSoftGracePeriod", "eviction-soft-grace-period", NC_GRACES},
    {"evictionMinimumReclaim", "eviction-minimum-reclaim", NC_MINIMUMS},
    {"evictionPressureTransitionPeriod", "eviction-pressure-transition-period", NC_DURATION},
    {"evictionMaxPodGracePeriod", "eviction-max-pod-grace-period", NC_INTEGER},
    {"imageGCHighThresholdPercent", "image-gc-high-threshold", NC_PERCENT},
    {"imageGCLowThresholdPercent", "image-gc-low-threshold", NC_PERCENT},
    {"imageMinimumGCAge", "minimum-image-ttl-duration", NC_DURATION},
    {"imageMaximumGCAge", "image-maximum-gc-age", NC_DURATION},
    {"containerLogMaxSize", "container-log-max-size", NC_QUANTITY},
    {"containerLogMaxFiles", "container-log-max-files", NC_COUNT},
    {"apiSocket", "api-socket", NC_PATH},
    {"bindAddress", "bind-address", NC_STRING},
    {"securePort", "secure-port", NC_INTEGER},
    {"tlsCertFile", "tls-cert-file", NC_PATH},
    {"tlsPrivateKeyFile", "tls-private-key-file", NC_PATH},
    {"clientCAFile", "client-ca-file", NC_PATH},
    {"tokenAuthFile", "token-auth-file", NC_PATH},
    {"maxConnections", "max-connections", NC_COUNT},
    {"maxWatches", "max-watches", NC_COUNT},
    {"maxStreams", "max-streams", NC_COUNT},
    {"logFormat", "log-format", NC_STRING},
    {"logLevel", "log-level", NC_STRING},
};

static const CliOption *option_of(const CliCommand *c, const char *name)
{
    for (size_t i = 0;; i++) {
        const CliOption *o = cli_option_at(c, i);
        if (!o)
            abort(); /* a field without an option */
        if (str_eq(o->name, name))
            return o;
    }
}

static void wrong_type(Report *r, const char *path, const char *want)
{
    report_add(r, CAUSE_TYPE, path, "Invalid value: must be %s", want);
}

static bool is_one_of(const char *values, const char *v)
{
    size_t n = strlen(v);
    for (const char *p = values; *p; p += strcspn(p, " "), p += *p == ' ')
        if (strcspn(p, " ") == n && strncmp(p, v, n) == 0)
            return true;
    return false;
}

static void not_one_of(Report *r, const char *path, const char *values, const char *v)
{
    SCOPED(str_done) Str s = {0};
    for (const char *p = values; *p; p += strcspn(p, " "), p += *p == ' ') {
        str_add(&s, s.n ? ", \"" : "\"");
        str_add_n(&s, p, strcspn(p, " "));
        str_add_c(&s, '"');
    }
    report_add(r, CAUSE_NOT_SUPPORTED, path, "Unsupported value: \"%s\": supported values: %s", v, str_or(s.p, ""));
}

/* The option's text for one eviction signal, checked as the kubelet does. */
static void signal_text(const struct NodeField *f, const char *path, const char *key, const char *text, Str *s, Report *r)
{
    SCOPED(mem_free) char *one = mem_fmt("%s%c%s", key, f->kind == NC_THRESHOLDS ? '<' : '=', str_or(text, ""));
    EvictConfig c = {0};
    Err *e = f->kind == NC_THRESHOLDS ? eviction_parse(one, NULL, NULL, NULL, &c)
             : f->kind == NC_GRACES   ? eviction_parse(NULL, NULL, one, NULL, &c)
                                      : eviction_parse(NULL, NULL, NULL, one, &c);
    if (e)
        report_add(r, CAUSE_INVALID, path, "Invalid value: \"%s\": %s", str_or(text, ""), e->what);
    err_free(e);
    str_fmt(s, "%s%s", s->n ? "," : "", one);
}

/* The option's text for a map of these values; errors have the key's path. */
static char *map_text(const struct NodeField *f, const json_t *v, Report *r)
{
    Str s = {0};
    const char *key;
    json_t *x;
    json_object_foreach((json_t *)(uintptr_t)v, key, x)
    {
        SCOPED(mem_free) char *path = mem_fmt("%s.%s", f->json, key);
        SCOPED(mem_free) char *number = json_is_integer(x) ? mem_fmt("%lld", (long long)json_integer_value(x))
                                        : json_is_real(x)  ? mem_fmt("%g", json_real_value(x))
                                                           : NULL;
        const char *text = number ? number : json_string_value(x);
        int64_t amount;
        if (f->kind == NC_BOOLS) {
            FeatureGates g;
            if (!json_is_boolean(x))
                wrong_type(r, path, "true or false");
            else if (!features_set(&g, key, true))
                report_add(r, CAUSE_UNKNOWN_FIELD, path, "unknown field \"%s\"", path);
            str_fmt(&s, "%s%s=%s", s.n ? "," : "", key, json_is_true(x) ? "true" : "false");
            continue;
        }
        if (f->kind != NC_RESOURCES) {
            signal_text(f, path, key, text, &s, r);
            continue;
        }
        if (!str_eq(key, "cpu") && !str_eq(key, "memory"))
            report_add(r, CAUSE_UNKNOWN_FIELD, path, "unknown field \"%s\"", path);
        else if (!text || !(str_eq(key, "cpu") ? quantity_milli(text, &amount) : quantity_value(text, &amount)) || amount < 0)
            report_add(r, CAUSE_INVALID, path, "Invalid value: \"%s\": must be a quantity, not negative", str_or(text, ""));
        str_fmt(&s, "%s%s=%s", s.n ? "," : "", key, str_or(text, ""));
    }
    return str_take(&s);
}

/* NULL: the error is in <r>. */
static char *scalar_text(const struct NodeField *f, const CliOption *o, const json_t *v, Report *r)
{
    int64_t n;
    if (json_is_false(v) && o->values && is_one_of(o->values, "off"))
        return mem_dup_str("off"); /* YAML 1.1 takes a plain off for it */
    if (json_is_integer(v) && f->kind != NC_STRING && f->kind != NC_PATH) {
        if (f->kind == NC_COUNT && json_integer_value(v) < 1)
            report_add(r, CAUSE_INVALID, f->json, "Invalid value: %lld: must be greater than 0", (long long)json_integer_value(v));
        if (f->kind == NC_PERCENT && (json_integer_value(v) < 0 || json_integer_value(v) > 100))
            report_add(r, CAUSE_INVALID, f->json, "Invalid value: %lld: must be between 0 and 100", (long long)json_integer_value(v));
        if (f->kind == NC_DURATION) {
            wrong_type(r, f->json, "a duration, such as \"2m\"");
            return NULL;
        }
        return mem_fmt("%lld", (long long)json_integer_value(v));
    }
    bool number = f->kind == NC_COUNT || f->kind == NC_INTEGER || f->kind == NC_PERCENT;
    if (!json_is_string(v) || number) {
        wrong_type(r, f->json, number ? "an integer" : "a string");
        return NULL;
    }
    const char *text = json_string_value(v);
    if (str_empty(text) && str_eq(f->json, "apiSocket"))
        return mem_dup_str(""); /* no socket */
    if (str_empty(text))
        report_add(r, CAUSE_REQUIRED, f->json, "Required value: must not be empty");
    else if (f->kind == NC_PATH && text[0] != '/')
        report_add(r, CAUSE_INVALID, f->json, "Invalid value: \"%s\": must be an absolute path", text);
    else if (f->kind == NC_DURATION && (!duration_parse(text, &n) || n < 0))
        report_add(r, CAUSE_INVALID, f->json, "Invalid value: \"%s\": must be a duration, such as \"2m\"", text);
    else if (f->kind == NC_QUANTITY && (!quantity_value(text, &n) || n < 0))
        report_add(r, CAUSE_INVALID, f->json, "Invalid value: \"%s\": must be a quantity of bytes, such as \"256Mi\"", text);
    else if (o->values && !o->hint && !is_one_of(o->values, text))
        not_one_of(r, f->json, o->values, text);
    return mem_dup_str(text);
}

static void read_field(CliArgs *a, StrVec *keep, const char *key, const json_t *v, Report *r)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (!str_eq(fields[i].json, key))
            continue;
        bool map = fields[i].kind >= NC_BOOLS;
        const CliOption *o = option_of(a->command, fields[i].option);
        if (map && !json_is_object(v)) {
            wrong_type(r, key, "an object");
            return;
        }
        char *text = map ? map_text(&fields[i], v, r) : scalar_text(&fields[i], o, v, r);
        if (!text)
            return;
        strvec_add_take(keep, text);
        if (*text || !map)
            cli_default(a, o, text);
        return;
    }
    report_add(r, CAUSE_UNKNOWN_FIELD, key, "unknown field \"%s\"", key);
}

static void read_document(CliArgs *a, StrVec *keep, const json_t *doc, Report *r)
{
    const char *version = json_str(doc, "apiVersion"), *kind = json_str(doc, "kind"), *key;
    json_t *v;
    if (!json_is_object(doc)) {
        report_add(r, CAUSE_TYPE, "", "Invalid value: the document is not an object");
        return;
    }
    if (!str_eq(version, API_VERSION))
        report_add(r, CAUSE_NOT_SUPPORTED, "apiVersion", "Unsupported value: \"%s\": supported values: \"" API_VERSION "\"", str_or(version, ""));
    if (!str_eq(kind, KIND))
        report_add(r, CAUSE_NOT_SUPPORTED, "kind", "Unsupported value: \"%s\": supported values: \"" KIND "\"", str_or(kind, ""));
    json_object_foreach((json_t *)(uintptr_t)doc, key, v)
        if (!str_eq(key, "apiVersion") && !str_eq(key, "kind"))
            read_field(a, keep, key, v, r);
}

Err *node_config_read(CliArgs *a, const char *path, StrVec *keep, size_t *ret_errors)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *docs = NULL;
    *ret_errors = 0;
    Err *e = cli_read_file(path, &text);
    if (!e)
        e = yaml_parse_all(str_or(text.p, ""), text.n, &docs);
    if (!e && json_array_size(docs) != 1)
        e = err_new(ERR_INVALID, 0, "there must be one document, of kind " KIND ", not %zu", json_array_size(docs));
    if (e) {
        e->kind = ERR_INVALID;
        return err_wrap(e, "%s", path);
    }
    SCOPED(report_done) Report r = {0};
    read_document(a, keep, json_array_get(docs, 0), &r);
    LIST_EACH(c, &r.errors)
        fprintf(stderr, "%s: %s%s%s\n", path, c->kind == CAUSE_UNKNOWN_FIELD ? "" : c->path,
                c->kind == CAUSE_UNKNOWN_FIELD || str_empty(c->path) ? "" : ": ", c->message);
    *ret_errors = r.errors.n;
    return NULL;
}
