/* cmd_describe.c - `reprise describe`: asks for objects, their events, and what else is told of them; the words are
 * client/describe.h's. */
#include "cli/api_cmd.h"
#include "client/describe.h"
#include "client/fields.h"
#include "os/fs.h"

int cmd_describe(int argc, char **argv);

typedef struct {
    ApiCmd c;
    Targets targets;
    int64_t chunk;
    bool events;
    size_t shown;
} Describe;

/* The events about <o>, by name, namespace and uid, as client-go's EventInterface.Search() asks. */
static json_t *events_of(Describe *s, const KubeKind *k, const json_t *o)
{
    SCOPED(json_unref) json_t *list = NULL;
    SCOPED(str_done) Str path = {0};
    SCOPED(str_done) Str fields = {0};
    const char *ns = k->namespaced ? at_str(o, "metadata.namespace") : NULL,
               *mirror = json_str(at(o, "metadata.annotations"), "kubernetes.io/config.mirror");
    SCOPED(mem_free) char *base = kind_path(&kube_kinds[KUBE_EVENTS], ns, NULL, NULL);
    str_add(&path, base);
    str_fmt(&fields, "involvedObject.name=%s", at_str(o, "metadata.name"));
    if (ns)
        str_fmt(&fields, ",involvedObject.namespace=%s", ns);
    if (k->id == KUBE_NODES) /* the kubelet names it by its name, others by its uid */
        str_fmt(&fields, ",involvedObject.kind=Node");
    else
        str_fmt(&fields, ",involvedObject.uid=%s", mirror ? mirror : at_str(o, "metadata.uid"));
    api_query(&path, "fieldSelector", fields.p);
    Err *e = client_list(s->c.api, path.p, NULL, s->chunk, &list);
    err_free(e); /* as kubectl: without them then */
    return json_incref(json_object_get(list, "items"));
}

static json_t *pods_for(Describe *s, const KubeKind *k, const json_t *o)
{
    SCOPED(json_unref) json_t *list = NULL;
    SCOPED(str_done) Str path = {0};
    SCOPED(mem_free)
    char *base =
        kind_path(&kube_kinds[KUBE_PODS], k->id == KUBE_NODES ? NULL : at_str(o, "metadata.namespace"), NULL, NULL);
    str_add(&path, base);
    if (k->id == KUBE_NODES) {
        SCOPED(mem_free)
        char *fields =
            mem_fmt("spec.nodeName=%s,status.phase!=Succeeded,status.phase!=Failed", at_str(o, "metadata.name"));
        api_query(&path, "fieldSelector", fields);
    }
    Err *e = client_list(s->c.api, path.p, NULL, s->chunk, &list);
    err_free(e);
    return json_incref(json_object_get(list, "items"));
}

static void show(Describe *s, const KubeKind *k, const json_t *o, const char *between)
{
    SCOPED(json_unref) json_t *events = s->events ? events_of(s, k, o) : NULL;
    SCOPED(json_unref) json_t *pods = describe_wants_pods(k) ? pods_for(s, k, o) : NULL;
    DescribeWith with = {.events = events, .pods = pods, .now_ns = os_now_ns()};
    SCOPED(mem_free) char *text = describe(k, o, &with);
    SCOPED(str_done) Str out = {0};
    str_fmt(&out, "%s%s", s->shown++ ? between : "", text);
    (void)api_put(&out);
}

/* All whose name begins with what was given, when none has just this name. */
static bool show_prefix(Describe *s, const Target *t)
{
    Target all = {.kind = t->kind};
    SCOPED(json_unref) json_t *list = NULL;
    SCOPED(mem_free) char *path = api_cmd_path(&s->c, &all);
    Err *e = client_list(s->c.api, path, NULL, s->chunk, &list);
    const json_t *items = at(list, "items");
    size_t before = s->shown;
    err_free(e);
    s->events = s->events && cli_given(s->c.args, "show-events");
    for (size_t i = 0; i < json_array_size(items); i++)
        if (str_starts(at_str(json_array_get(items, i), "metadata.name"), t->name))
            show(s, t->kind, json_array_get(items, i), "\n");
    return s->shown > before;
}

static void fetch(Describe *s, const Target *t, json_t *objects)
{
    SCOPED(json_unref) json_t *answer = NULL;
    SCOPED(mem_free) char *path = api_cmd_select(&s->c, t);
    Err *e = t->name ? client_get(s->c.api, path, NULL, &answer) : client_list(s->c.api, path, NULL, s->chunk, &answer);
    if (e && api_is(e, "NotFound") && t->name && s->c.args->n == 2 && !strchr(s->c.args->operands[0], '/') &&
        show_prefix(s, t)) {
        err_free(e);
        return;
    }
    if (e)
        api_cmd_note(&s->c, e);
    else if (t->name)
        json_array_append_new(objects, json_pack("{s:i, s:O}", "kind", (int)t->kind->id, "object", answer));
    for (size_t i = 0; !t->name && i < json_array_size(at(answer, "items")); i++)
        json_array_append_new(objects, json_pack("{s:i, s:O}", "kind", (int)t->kind->id, "object",
                                                 json_array_get(at(answer, "items"), i)));
}

static int run(Describe *s)
{
    SCOPED(json_unref) json_t *objects = json_array();
    Err *e = api_cmd_targets(&s->c, s->c.args->n, !str_empty(cli_opt(s->c.args, "selector")), &s->targets);
    if (e)
        return api_fail(e);
    s->events = cli_flag(s->c.args, "show-events");
    for (size_t i = 0; i < s->targets.n; i++)
        fetch(s, &s->targets.v[i], objects);
    if (json_array_size(objects) > 1 && !cli_given(s->c.args, "show-events"))
        s->events = false;
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *one = json_array_get(objects, i);
        show(s, &kube_kinds[at_i64(one, "kind")], at(one, "object"), "\n\n");
    }
    if (!s->shown && !s->c.errors.n)
        api_nothing(&s->c, true);
    return api_cmd_end(&s->c);
}

int cmd_describe(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("describe", argc, argv, &a);
    if (code >= 0)
        return code;
    if (!a.n && !cli_given(&a, "filename"))
        return cli_usage(&a,
                         "you must specify the type of resource to describe: pods, configmaps, secrets, nodes, ...");
    Describe s = {0};
    Err *e = api_cmd_open(&a, &s.c);
    e = e ? e : api_cmd_int(&a, "chunk-size", 0, &s.chunk);
    code = e ? api_fail(e) : run(&s);
    targets_done(&s.targets);
    api_cmd_done(&s.c);
    return code;
}
