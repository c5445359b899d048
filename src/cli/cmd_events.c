/* cmd_events.c - `reprise events`: what happened, oldest first. */
#include "cli/api_cmd.h"
#include "client/events.h"
#include "client/fields.h"
#include "client/output.h"
#include "os/fs.h"

int cmd_events(int argc, char **argv);

typedef struct {
    ApiCmd c;
    Output output;
    Tabs tabs;
    StrVec types;
    int64_t chunk;
    bool header_printed;
    Str path, cells, out;
} Events;

static bool wanted(const Events *s, const json_t *event)
{
    for (size_t i = 0; i < s->types.n; i++)
        if (strcasecmp(s->types.v[i], at_str(event, "type")) == 0)
            return true;
    return s->types.n == 0;
}

static void add_row(Events *s, const json_t *event)
{
    if (!s->header_printed && !cli_flag(s->c.args, "no-headers"))
        events_header(s->c.all, &s->cells);
    s->header_printed = true;
    event_row(event, s->c.all, os_now_ns(), &s->cells);
}

static void flush_rows(Events *s)
{
    tabs_align(&s->tabs, str_or(s->cells.p, ""), &s->out);
    str_clear(&s->cells);
    (void)api_put(&s->out);
}

static Err *print_list(Events *s, const json_t *events)
{
    SCOPED(json_unref) json_t *sorted = events_sorted(events, event_time);
    SCOPED(json_unref) json_t *kept = json_array();
    for (size_t i = 0; i < json_array_size(sorted); i++) {
        json_t *one = json_array_get(sorted, i);
        if (!wanted(s, one))
            continue;
        json_object_set_new(one, "kind", json_string("Event"));
        json_object_set_new(one, "apiVersion", json_string("v1"));
        json_array_append(kept, one);
        if (s->output.form == OUT_TABLE)
            add_row(s, one);
    }
    if (!json_array_size(kept)) {
        if (s->c.all)
            fputs("No events found.\n", stderr);
        else
            fprintf(stderr, "No events found in %s namespace.\n", s->c.namespace_);
        return NULL;
    }
    if (s->output.form == OUT_TABLE) {
        flush_rows(s);
        return NULL;
    }
    SCOPED(json_unref) json_t *list = list_of(json_incref(kept));
    Err *e = output_print(&s->output, list, &s->out);
    (void)api_put(&s->out);
    return e;
}

static bool on_event(void *arg, const char *type, const json_t *event)
{
    Events *s = arg;
    Err *e = NULL;
    if (str_eq(type, "DELETED") || str_eq(type, "BOOKMARK") ||
        !wanted(s, event)) /* they go after an hour: that is no news */
        return true;
    if (s->output.form == OUT_TABLE) {
        add_row(s, event);
        flush_rows(s);
    } else {
        e = output_print(&s->output, event, &s->out);
        (void)api_put(&s->out);
    }
    if (e)
        api_cmd_note(&s->c, e);
    return !e && !ferror(stdout);
}

/* A watch without a version begins with what there is. */
static Err *watch(Events *s)
{
    SCOPED(api_watch_done) ApiWatch w = {.event = on_event, .arg = s};
    api_query(&s->path, "watch", "true");
    return client_watch(s->c.api, s->path.p, NULL, -1, &w);
}

static Err *options(Events *s, const CliArgs *a)
{
    const char *object = cli_opt(a, "for");
    SCOPED(strvec_done) StrVec types = cli_opt_all(a, "types");
    SCOPED(targets_done) Targets t = {0};
    SCOPED(mem_free) char *base = kind_path(&kube_kinds[KUBE_EVENTS], s->c.all ? NULL : s->c.namespace_, NULL, NULL);
    str_add(&s->path, base);
    Err *e = output_parse(cli_opt(a, "output"), &s->output);
    s->output.managed_fields = cli_flag(a, "show-managed-fields");
    e = e ? e : api_cmd_int(a, "chunk-size", 0, &s->chunk);
    if (!e && s->output.form == OUT_WIDE)
        e = err_new(ERR_INVALID, 0, "--output=wide: events have no wider table");
    for (size_t i = 0; !e && i < types.n; i++)
        for (const char *p = types.v[i]; *p;) {
            size_t n = strcspn(p, ",");
            strvec_add_take(&s->types, mem_dup_strn(p, n));
            p += n + (p[n] == ',');
        }
    for (size_t i = 0; !e && i < s->types.n; i++)
        if (strcasecmp(s->types.v[i], "Normal") != 0 && strcasecmp(s->types.v[i], "Warning") != 0)
            e = err_new(ERR_INVALID, 0, "valid --types are Normal or Warning");
    if (!e && object && !strchr(object, '/'))
        e = err_new(ERR_INVALID, 0, "--for must be in resource/name form");
    if (!e && object)
        e = targets_parse(&object, 1, false, &t);
    if (e || !object)
        return e;
    const KubeKind *k = t.v[0].kind;
    SCOPED(mem_free)
    char *fields = mem_fmt("involvedObject.kind=%s,involvedObject.apiVersion=%s%sv1,involvedObject.name=%s", k->kind,
                           k->group, *k->group ? "/" : "", t.v[0].name);
    api_query(&s->path, "fieldSelector", fields);
    return NULL;
}

int cmd_events(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("events", argc, argv, &a);
    if (code >= 0)
        return code;
    Events s = {.tabs = TABS_TABLE};
    SCOPED(json_unref) json_t *list = NULL;
    Err *e = api_cmd_open(&a, &s.c);
    e = e ? e : options(&s, &a);
    if (!e && cli_flag(&a, "watch")) {
        e = watch(&s);
    } else if (!e) {
        e = client_list(s.c.api, s.path.p, NULL, s.chunk, &list);
        e = e ? e : print_list(&s, at(list, "items"));
    }
    code = e ? api_fail(e) : api_cmd_end(&s.c);
    output_done(&s.output);
    tabs_done(&s.tabs);
    strvec_done(&s.types);
    str_done(&s.path);
    str_done(&s.cells);
    str_done(&s.out);
    api_cmd_done(&s.c);
    return code;
}
