/* options.c - the options that queries carry: decoding as apimachinery's conversion does it, validation as
 * pkg/apis/meta/{internalversion,v1}/validation and pkg/apis/core/validation word it. */
#include "base/clock.h"
#include "kube/request.h"

/* strconv's error for <text>. */
static json_t *number_error(const char *func, const char *text, bool range, const char *prefix)
{
    SCOPED(str_done) Str s = {0};
    str_add_quoted(&s, text);
    return kube_bad_request("%sstrconv.%s: parsing %s: %s", prefix, func, s.p, range ? "value out of range" : "invalid syntax");
}

static bool all_digits(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == '\0';
}

static json_t *get_i64(const KubeRequest *r, const char *name, OptInt *ret)
{
    const char *v = kube_query(r, name);
    if (!v)
        return NULL;
    const char *digits = v + (*v == '+' || *v == '-');
    if (!all_digits(digits))
        return number_error("ParseInt", v, false, "");
    ret->set = true;
    return str_to_i64(*v == '+' ? v + 1 : v, &ret->v) ? NULL : number_error("ParseInt", v, true, "");
}

static OptBool get_flag(const KubeRequest *r, const char *name)
{
    return (OptBool){kube_query(r, name) != NULL, kube_query_flag(r, name)};
}

/* Every error is shown as an Invalid of <kind>; NULL when there are none. */
static json_t *invalid(const Report *r, const char *group, const char *kind, const char *name)
{
    return report_ok(r) ? NULL : kube_invalid(r, (KubeRef){group, kind, name});
}

static void not_supported(Report *r, const char *path, const char *shown, const char *supported)
{
    report_add(r, CAUSE_NOT_SUPPORTED, path, "Unsupported value: %s: supported values: %s", shown, supported);
}

static char *quoted(const char *s)
{
    Str out = {0};
    str_add_quoted(&out, s);
    return str_take(&out);
}

/* --- lists ------------------------------------------------------------------------------------------------------ */

#define MATCH_FIELD "resourceVersionMatch"
#define NOT_OLDER "NotOlderThan"

static void check_list(const ListOptions *o, Report *r)
{
    const char *match = o->resource_version_match;
    if (*match) {
        if (!*o->resource_version)
            report_add(r, CAUSE_FORBIDDEN, MATCH_FIELD, "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
        if (*o->continue_)
            report_add(r, CAUSE_FORBIDDEN, MATCH_FIELD, "Forbidden: resourceVersionMatch is forbidden when continue is provided");
        if (!str_eq(match, "Exact") && !str_eq(match, NOT_OLDER)) {
            SCOPED(mem_free) char *q = quoted(match);
            not_supported(r, MATCH_FIELD, q, "\"Exact\", \"NotOlderThan\", \"\"");
        }
        if (str_eq(match, "Exact") && str_eq(o->resource_version, "0"))
            report_add(r, CAUSE_FORBIDDEN, MATCH_FIELD,
                       "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    }
    if (o->send_initial_events.set)
        report_add(r, CAUSE_FORBIDDEN, "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list");
}

static void check_watch(const ListOptions *o, Report *r)
{
    const char *match = o->resource_version_match;
    if (o->send_initial_events.set && !str_eq(match, NOT_OLDER))
        report_add(r, CAUSE_FORBIDDEN, MATCH_FIELD, "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!*match)
        return;
    if (!o->send_initial_events.set)
        report_add(r, CAUSE_FORBIDDEN, MATCH_FIELD,
                   "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (!str_eq(match, NOT_OLDER)) {
        SCOPED(mem_free) char *q = quoted(match);
        not_supported(r, MATCH_FIELD, q, "\"NotOlderThan\"");
    }
    if (*o->continue_)
        report_add(r, CAUSE_FORBIDDEN, MATCH_FIELD, "Forbidden: resourceVersionMatch is forbidden when continue is provided");
}

static json_t *selector_error(Err *e) /* taken */
{
    SCOPED(err_free) Err *mine = e;
    return kube_status_of(mine, (KubeRef){0});
}

/* A watch of one object by its path is one of its name; a selector may only say the same. */
static json_t *name_selector(const KubeRequest *r, ListOptions *o)
{
    if (!r->name || r->verb != VERB_WATCH)
        return NULL;
    if (o->fields.n)
        return str_eq(field_selector_exact(&o->fields, "metadata.name"), r->name)
                   ? NULL
                   : kube_bad_request("fieldSelector metadata.name doesn't match requested name");
    o->fields = (FieldSelector){.kind = r->kind, .n = 1, .v = NEW(FieldTerm)};
    o->fields.v[0] = (FieldTerm){mem_dup_str("metadata.name"), mem_dup_str(r->name), false};
    return NULL;
}

static json_t *list_options(const KubeRequest *r, ListOptions *o)
{
    SCOPED(report_done) Report report = {0};
    OptInt limit = {0};
    Err *e = label_selector_parse(kube_query(r, "labelSelector"), &o->labels);
    if (e)
        return selector_error(e);
    json_t *bad = get_i64(r, "timeoutSeconds", &o->timeout_seconds);
    if (!bad)
        bad = get_i64(r, "limit", &limit);
    if (bad)
        return bad;
    o->limit = limit.v > 0 ? limit.v : 0;
    o->watch = r->verb == VERB_WATCH;
    o->allow_bookmarks = kube_query_flag(r, "allowWatchBookmarks");
    o->resource_version = str_or(kube_query(r, "resourceVersion"), "");
    o->resource_version_match = str_or(kube_query(r, MATCH_FIELD), "");
    o->continue_ = str_or(kube_query(r, "continue"), "");
    o->send_initial_events = get_flag(r, "sendInitialEvents");
    /* SetListOptionsDefaults(), which looks at the query alone: a legacy path makes no difference. */
    if (kube_query_flag(r, "watch") && !o->send_initial_events.set && !*o->resource_version_match &&
        (!*o->resource_version || str_eq(o->resource_version, "0"))) {
        o->send_initial_events = (OptBool){true, true};
        o->resource_version_match = NOT_OLDER;
    }
    if (o->watch)
        check_watch(o, &report);
    else
        check_list(o, &report);
    if ((bad = invalid(&report, "meta.k8s.io", "ListOptions", NULL)))
        return bad;
    if ((e = field_selector_parse(kube_query(r, "fieldSelector"), r->kind, &o->fields)))
        return selector_error(e);
    return name_selector(r, o);
}

json_t *kube_list_options(const KubeRequest *r, ListOptions *ret)
{
    *ret = (ListOptions){.resource_version = "", .resource_version_match = "", .continue_ = ""};
    json_t *bad = list_options(r, ret);
    if (bad)
        list_options_done(ret);
    return bad;
}

void list_options_done(ListOptions *o)
{
    label_selector_done(&o->labels);
    field_selector_done(&o->fields);
    *o = (ListOptions){.resource_version = "", .resource_version_match = "", .continue_ = ""};
}

json_t *kube_version_parse(const char *text, int64_t *ret)
{
    *ret = 0;
    if (str_empty(text))
        return NULL;
    if (all_digits(text) && str_to_i64(text, ret))
        return NULL;
    SCOPED(mem_free) char *q = quoted(text);
    SCOPED(mem_free) char *prefix = mem_fmt("invalid resource version: resourceVersion: Invalid value: %s: ", q);
    return number_error("ParseUint", text, all_digits(text), prefix);
}

/* --- writes ----------------------------------------------------------------------------------------------------- */

/* Length and decoding of the UTF-8 character at s; a byte that is none is U+FFFD, as a range over a Go string has it. */
static size_t rune_at(const char *s, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc2 ? 2 : 0;
    *ret = n == 1 ? *p : n ? *p & (0x7fu >> n) : 0xfffd;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            *ret = 0xfffd;
            return 1;
        }
        *ret = *ret << 6 | (p[i] & 0x3f);
    }
    return n ? n : 1;
}

/* Control characters, and the blanks other than U+0020: what of unicode.IsPrint() there is without Unicode's tables. */
static bool printable(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c <= 0xa0) && c != 0xad && !(c >= 0x2000 && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202f) &&
           c != 0x3000 && c != 0xfeff && !(c >= 0xd800 && c <= 0xf8ff);
}

static void check_field_manager(Report *r, const char *manager)
{
    if (strlen(manager) > 128)
        report_add(r, CAUSE_TOO_LONG, "fieldManager", "Too long: may not be more than 128 bytes");
    SCOPED(mem_free) char *q = quoted(manager);
    uint32_t c;
    for (size_t i = 0; manager[i];) {
        size_t at = i;
        i += rune_at(manager + i, &c);
        if (!printable(c))
            report_add(r, CAUSE_INVALID, "fieldManager", "Invalid value: %s: invalid character U+%04X (at position %zu)", q, c, at);
    }
}

static void check_dry_run(Report *r, const json_t *list)
{
    size_t i;
    json_t *v;
    bool good = true;
    json_array_foreach(list, i, v)
        good = good && str_eq(json_string_value(v), "All");
    if (good)
        return;
    SCOPED(mem_free) char *text = json_dumps(list, JSON_COMPACT);
    not_supported(r, "dryRun", text, "\"All\"");
}

static json_t *query_list(const KubeRequest *r, const char *name)
{
    json_t *l = json_array();
    for (size_t i = 0; i < r->n_query; i++)
        if (str_eq(r->query[i].name, name)) {
            json_t *v = json_string(r->query[i].value);
            json_array_append_new(l, v ? v : json_string("?"));
        }
    return l;
}

json_t *kube_write_options(const KubeRequest *r, bool apply, WriteOptions *ret)
{
    static const struct { const char *word; FieldValidation v; } words[] = {
        {"", FIELDS_WARN}, {"Warn", FIELDS_WARN}, {"Ignore", FIELDS_IGNORE}, {"Strict", FIELDS_STRICT}};
    SCOPED(report_done) Report report = {0};
    SCOPED(json_unref) json_t *dry_run = query_list(r, "dryRun");
    const char *validation = str_or(kube_query(r, "fieldValidation"), "");
    bool patch = r->verb == VERB_PATCH, known = false;
    *ret = (WriteOptions){.field_manager = str_or(kube_query(r, "fieldManager"), ""), .dry_run = json_array_size(dry_run)};
    if (patch)
        ret->force = get_flag(r, "force");
    if (patch && apply && !*ret->field_manager)
        report_add(&report, CAUSE_REQUIRED, "fieldManager", "Required value: is required for apply patch");
    if (patch && !apply && ret->force.set)
        report_add(&report, CAUSE_FORBIDDEN, "force", "Forbidden: may not be specified for non-apply patch");
    check_field_manager(&report, ret->field_manager);
    check_dry_run(&report, dry_run);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(words[i].word, validation)) {
            ret->field_validation = words[i].v;
            known = true;
        }
    if (!known) {
        SCOPED(mem_free) char *q = quoted(validation);
        not_supported(&report, "fieldValidation", q, "\"\", \"Ignore\", \"Strict\", \"Warn\"");
    }
    return invalid(&report, "meta.k8s.io", patch ? "PatchOptions" : r->verb == VERB_UPDATE ? "UpdateOptions" : "CreateOptions", NULL);
}

char *kube_field_manager(const WriteOptions *o, const char *user_agent)
{
    if (*o->field_manager)
        return mem_dup_str(o->field_manager);
    Str s = {0};
    uint32_t c;
    for (const char *p = str_or(user_agent, ""); *p && *p != '/' && s.n < 128;) {
        size_t n = rune_at(p, &c);
        if (printable(c) && s.n + n <= 128)
            str_add_n(&s, p, n);
        p += n;
    }
    if (!s.n)
        str_add(&s, "unknown");
    return str_take(&s);
}

/* --- delete ----------------------------------------------------------------------------------------------------- */

static json_t *delete_from_query(const KubeRequest *r, DeleteOptions *o)
{
    const char *policy = kube_query(r, "propagationPolicy");
    o->orphan_dependents = get_flag(r, "orphanDependents");
    if (policy) /* given and empty is the empty policy, which is not supported */
        o->propagation_policy = mem_dup_str(policy);
    return get_i64(r, "gracePeriodSeconds", &o->grace_period_seconds);
}

static json_t *delete_from_body(const json_t *body, DeleteOptions *o)
{
    const json_t *grace = json_object_get(body, "gracePeriodSeconds"), *orphan = json_object_get(body, "orphanDependents");
    const json_t *when = json_object_get(body, "preconditions");
    const char *kind = json_str(body, "kind");
    if (!json_is_object(body) || (kind && !str_eq(kind, "DeleteOptions")))
        return kube_bad_request("decoded object cannot be converted to DeleteOptions");
    if ((grace && !json_is_integer(grace) && !json_is_null(grace)) || (orphan && !json_is_boolean(orphan) && !json_is_null(orphan)))
        return kube_bad_request("DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: a field has the wrong type");
    if (json_is_integer(grace))
        o->grace_period_seconds = (OptInt){true, json_integer_value(grace)};
    if (json_is_boolean(orphan))
        o->orphan_dependents = (OptBool){true, json_is_true(orphan)};
    mem_set_str(&o->propagation_policy, json_str(body, "propagationPolicy"));
    mem_set_str(&o->uid, json_str(when, "uid"));
    mem_set_str(&o->resource_version, json_str(when, "resourceVersion"));
    return NULL;
}

json_t *kube_delete_options(const KubeRequest *r, const json_t *body, DeleteOptions *ret)
{
    SCOPED(report_done) Report report = {0};
    *ret = (DeleteOptions){0};
    SCOPED(json_unref) json_t *dry_run = body ? json_incref(json_object_get(body, "dryRun")) : query_list(r, "dryRun");
    json_t *bad = body ? delete_from_body(body, ret) : delete_from_query(r, ret);
    if (!bad) {
        const char *policy = ret->propagation_policy;
        SCOPED(mem_free) char *q = quoted(str_or(policy, ""));
        if (ret->orphan_dependents.set && policy)
            report_add(&report, CAUSE_INVALID, "propagationPolicy",
                       "Invalid value: %s: orphanDependents and deletionPropagation cannot be both set", q);
        if (policy && !str_eq(policy, "Foreground") && !str_eq(policy, "Background") && !str_eq(policy, "Orphan"))
            not_supported(&report, "propagationPolicy", q, "\"Foreground\", \"Background\", \"Orphan\", \"nil\"");
        check_dry_run(&report, dry_run);
        ret->dry_run = json_array_size(dry_run) > 0;
        if (ret->grace_period_seconds.set && ret->grace_period_seconds.v < 0)
            ret->grace_period_seconds.v = 1; /* rest.BeforeDelete(): a negative value is one second */
        bad = invalid(&report, "meta.k8s.io", "DeleteOptions", NULL);
    }
    if (bad)
        delete_options_done(ret);
    return bad;
}

void delete_options_done(DeleteOptions *o)
{
    free(o->propagation_policy);
    free(o->uid);
    free(o->resource_version);
    *o = (DeleteOptions){0};
}

/* --- a Pod's subresources --------------------------------------------------------------------------------------- */

static json_t *since_time(const KubeRequest *r, OptTime *ret)
{
    const char *v = kube_query(r, "sinceTime");
    if (!v)
        return NULL;
    ret->set = true;
    if (!*v || str_eq(v, "null")) { /* old clients sent JSON; Go's zero time */
        ret->ns = NS_NONE + 1;
        return NULL;
    }
    if (clock_parse(v, &ret->ns))
        return NULL;
    SCOPED(mem_free) char *q = quoted(v);
    return kube_bad_request("parsing time %s as \"2006-01-02T15:04:05Z07:00\": cannot parse %s as \"2006\"", q, q);
}

static void positive(Report *r, const char *path, OptInt v)
{
    if (v.set && v.v < 1)
        report_add(r, CAUSE_INVALID, path, "Invalid value: %lld: must be greater than 0", (long long)v.v);
}

json_t *kube_log_options(const KubeRequest *r, PodLogOptions *ret)
{
    SCOPED(report_done) Report report = {0};
    *ret = (PodLogOptions){.container = str_or(kube_query(r, "container"), ""), .stream = kube_query(r, "stream")};
    ret->follow = kube_query_flag(r, "follow");
    ret->previous = kube_query_flag(r, "previous");
    ret->timestamps = kube_query_flag(r, "timestamps");
    ret->insecure_skip_tls = kube_query_flag(r, "insecureSkipTLSVerifyBackend");
    json_t *bad = get_i64(r, "sinceSeconds", &ret->since_seconds);
    if (!bad)
        bad = since_time(r, &ret->since_time);
    if (!bad)
        bad = get_i64(r, "tailLines", &ret->tail_lines);
    if (!bad)
        bad = get_i64(r, "limitBytes", &ret->limit_bytes);
    if (bad)
        return bad;
    if (ret->tail_lines.set && ret->tail_lines.v < 0)
        report_add(&report, CAUSE_INVALID, "tailLines", "Invalid value: %lld: must be greater than or equal to 0",
                   (long long)ret->tail_lines.v);
    positive(&report, "limitBytes", ret->limit_bytes);
    if (ret->since_seconds.set && ret->since_time.set)
        report_add(&report, CAUSE_FORBIDDEN, "[]", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified");
    else
        positive(&report, "sinceSeconds", ret->since_seconds);
    if (ret->stream)
        report_add(&report, CAUSE_FORBIDDEN, "stream", "Forbidden: may not be specified");
    return invalid(&report, NULL, "PodLogOptions", r->name);
}

json_t *kube_exec_options(const KubeRequest *r, PodExecOptions *ret)
{
    *ret = (PodExecOptions){.container = str_or(kube_query(r, "container"), "")};
    ret->in = kube_query_flag(r, "stdin");
    ret->tty = kube_query_flag(r, "tty");
    ret->out = kube_query_flag(r, "stdout");
    ret->err = kube_query_flag(r, "stderr");
    if (r->sub && str_eq(r->sub->name, "exec"))
        for (size_t i = 0; i < r->n_query; i++)
            if (str_eq(r->query[i].name, "command"))
                strvec_add(&ret->command, r->query[i].value);
    json_t *bad = NULL;
    if (!ret->in && !ret->out && !ret->err)
        bad = kube_bad_request("you must specify at least 1 of stdin, stdout, stderr");
    else if (ret->tty && ret->err) /* a terminal has one output: kubelet/pkg/cri/streaming/remotecommand/httpstream.go */
        ret->err = false;
    if (!bad && r->sub && str_eq(r->sub->name, "exec") && !ret->command.n)
        bad = kube_bad_request("you must specify a command to execute");
    if (bad)
        exec_options_done(ret);
    return bad;
}

void exec_options_done(PodExecOptions *o)
{
    strvec_done(&o->command);
    *o = (PodExecOptions){.container = ""};
}

static json_t *add_ports(PodPortForwardOptions *o, const char *p)
{
    for (;;) {
        size_t n = strcspn(p, ",");
        SCOPED(mem_free) char *word = mem_dup_strn(p, n);
        int64_t port;
        bool digits = all_digits(word);
        if (!digits || !str_to_i64(word, &port) || port > UINT16_MAX)
            return number_error("ParseUint", word, digits, "cannot convert to []int32: ");
        if (o->n == ARRAY_LEN(o->v))
            return kube_bad_request("at most %zu ports can be forwarded by one request", ARRAY_LEN(o->v));
        o->v[o->n++] = (uint16_t)port;
        if (!p[n])
            return NULL;
        p += n + 1;
    }
}

json_t *kube_port_forward_options(const KubeRequest *r, PodPortForwardOptions *ret)
{
    json_t *bad = NULL;
    *ret = (PodPortForwardOptions){0};
    for (size_t i = 0; i < r->n_query && !bad; i++)
        if (str_eq(r->query[i].name, "ports"))
            bad = add_ports(ret, r->query[i].value);
    return bad;
}
