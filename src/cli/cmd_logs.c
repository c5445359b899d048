/* cmd_logs.c - `reprise logs`: a container's log, or several, one after the other or followed side by side. */
#include "cli/api_cmd.h"
#include "client/fields.h"
#include "client/logs.h"

int cmd_logs(int argc, char **argv);

typedef struct Logs Logs;
typedef struct {
    Logs *logs;
    char *path, *prefix;
    LogLines lines;
} Source;
struct Logs {
    ApiCmd c;
    const char *container; /* NULL = the Pod's default one */
    Str query;             /* of all */
    bool follow, all, prefix, ignore;
    int64_t max_follow;
    Source **v;
    size_t n;
    Str out;
    bool over; /* one failed, or nobody reads: no more */
};

/* --- one log ------------------------------------------------------------------------------------------------------ */

static bool on_data(void *arg, const char *p, size_t n)
{
    Source *s = arg;
    log_lines_add(&s->lines, p, n, &s->logs->out);
    if (!api_put(&s->logs->out))
        s->logs->over = true;
    return !s->logs->over;
}

static void on_end(void *arg, Err *e)
{
    Source *s = arg;
    log_lines_end(&s->lines, &s->logs->out);
    (void)api_put(&s->logs->out);
    if (!e)
        return;
    if (s->logs->ignore) {
        SCOPED(mem_free) char *text = err_text(e);
        err_free(e);
        printf("error: %s\n", text);
        return;
    }
    s->logs->over = true;
    api_cmd_note(&s->logs->c, e);
    client_stop(s->logs->c.api);
}

static void add_source(Logs *l, const json_t *pod, const char *container)
{
    Source *s = NEW(Source);
    SCOPED(str_done) Str path = {0};
    SCOPED(mem_free)
    char *base =
        kind_path(&kube_kinds[KUBE_PODS], at_str(pod, "metadata.namespace"), at_str(pod, "metadata.name"), "log");
    str_add(&path, base);
    api_query(&path, "container", container);
    str_add(&path, str_or(l->query.p, ""));
    s->logs = l;
    s->path = str_take(&path);
    if (l->prefix)
        s->prefix = mem_fmt("[pod/%s/%s] ", at_str(pod, "metadata.name"), container);
    s->lines.prefix = s->prefix;
    l->v = mem_grow(l->v, l->n + 1, sizeof(Source *));
    l->v[l->n++] = s;
}

/* --- which logs --------------------------------------------------------------------------------------------------- */

static Err *add_pod(Logs *l, const json_t *pod)
{
    SCOPED(str_done) Str note = {0};
    SCOPED(strvec_done) StrVec names = {0};
    Err *e = logs_containers(pod, l->container, l->all, &note, &names);
    fputs(str_or(note.p, ""), stderr);
    for (size_t i = 0; i < names.n; i++)
        add_source(l, pod, names.v[i]);
    return e;
}

/* POD, pod/NAME, pods/NAME. */
static Err *pod_of(const char *word, Target *t)
{
    const char *slash = strchr(word, '/');
    t->kind = &kube_kinds[KUBE_PODS];
    t->name = mem_dup_str(slash ? slash + 1 : word);
    if (!slash)
        return NULL;
    const KubeKind *k;
    SCOPED(mem_free) char *type = mem_dup_strn(word, (size_t)(slash - word));
    Err *e = kind_parse(type, &k);
    return e || k->id == KUBE_PODS
               ? e
               : err_new(ERR_INVALID, 0, "cannot get the logs from %s: only Pods have some", k->kind);
}

static Err *find(Logs *l)
{
    Target t = {.kind = &kube_kinds[KUBE_PODS]};
    SCOPED(json_unref) json_t *answer = NULL;
    Err *e = l->c.args->n ? pod_of(l->c.args->operands[0], &t) : NULL;
    if (!e) {
        SCOPED(mem_free) char *path = api_cmd_select(&l->c, &t);
        e = t.name ? client_get(l->c.api, path, NULL, &answer) : client_list(l->c.api, path, NULL, API_CHUNK, &answer);
    }
    if (!e && t.name)
        e = add_pod(l, answer);
    const json_t *items = at(answer, "items");
    for (size_t i = 0; !e && !t.name && i < json_array_size(items); i++)
        e = add_pod(l, json_array_get(items, i));
    if (!e && !l->n)
        api_nothing(&l->c, true);
    free(t.name);
    return e;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void query_int(Str *q, const char *key, int64_t v)
{
    str_fmt(q, "&%s=%lld", key, (long long)v);
}

static Err *query(Logs *l, const CliArgs *a)
{
    static const char *const switches[] = {"follow", "previous", "timestamps"};
    int64_t tail = -1, limit = 0, since_ns = 0, moment;
    const char *since_time = cli_opt(a, "since-time");
    Err *e = api_cmd_int(a, "tail", -1, &tail);
    e = e ? e : api_cmd_int(a, "limit-bytes", 1, &limit);
    e = e ? e : cli_duration(a, "since", &since_ns);
    if (!e && since_time && since_ns)
        e = err_new(ERR_INVALID, 0, "at most one of `sinceTime` or `sinceSeconds` may be specified");
    if (!e && since_time && !clock_parse(since_time, &moment))
        e = err_new(ERR_INVALID, 0, "--since-time=%s: give a time as 2026-01-02T15:04:05Z", since_time);
    if (e)
        return e;
    for (size_t i = 0; i < ARRAY_LEN(switches); i++)
        if (cli_flag(a, switches[i]))
            str_fmt(&l->query, "&%s=true", switches[i]);
    if (since_time) {
        str_add(&l->query, "&sinceTime=");
        api_escape(&l->query, since_time);
    }
    if (since_ns) /* to the nearest second, but never all */
        query_int(&l->query, "sinceSeconds", since_ns < NS_PER_S ? 1 : (since_ns + NS_PER_S / 2) / NS_PER_S);
    if (!cli_given(a, "tail") && !str_empty(cli_opt(a, "selector")))
        tail = 10; /* kubectl's selectorTail */
    if (tail >= 0)
        query_int(&l->query, "tailLines", tail);
    if (limit)
        query_int(&l->query, "limitBytes", limit);
    return NULL;
}

static Err *options(Logs *l, const CliArgs *a)
{
    l->follow = cli_flag(a, "follow");
    l->all = cli_flag(a, "all-containers");
    l->prefix = cli_flag(a, "prefix");
    l->ignore = cli_flag(a, "ignore-errors");
    l->container = a->n == 2 ? a->operands[1] : cli_opt(a, "container");
    if (a->n == 2 && cli_given(a, "container"))
        return err_new(ERR_INVALID, 0, "only one of -c or an inline [CONTAINER] arg is allowed");
    if (l->all && l->container)
        return err_new(ERR_INVALID, 0, "--all-containers=true should not be specified with container name %s",
                       l->container);
    Err *e = api_cmd_int(a, "max-log-requests", 1, &l->max_follow);
    return e ? e : query(l, a);
}

/* Followed ones run side by side, their lines whole; others one after the other, so that none is mixed with another. */
static Err *read_all(Logs *l)
{
    bool together = l->follow && l->n > 1;
    Err *e = NULL;
    if (together && (int64_t)l->n > l->max_follow)
        return err_new(ERR_LIMIT, 0,
                       "you are attempting to follow %zu log streams, but maximum allowed concurrency is %lld, use "
                       "--max-log-requests to "
                       "increase the limit",
                       l->n, (long long)l->max_follow);
    for (size_t i = 0; !e && i < l->n && !l->over; i++) {
        l->v[i]->lines.whole = together;
        e = client_stream(l->c.api, &(ApiCall){.path = l->v[i]->path, .accept = "*/*"},
                       &(ApiStreamOps){on_data, on_end, l->v[i]});
        if (!e && !together)
            e = client_run(l->c.api, -1);
    }
    return e || !together ? e : client_run(l->c.api, -1);
}

int cmd_logs(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("logs", argc, argv, &a);
    if (code >= 0)
        return code;
    bool selected = !str_empty(cli_opt(&a, "selector"));
    if (!a.n && !selected)
        return cli_usage(&a, "POD or TYPE/NAME is a required argument for the logs command");
    if (a.n && selected)
        return cli_usage(&a, "only a selector (-l) or a POD name is allowed");
    Logs l = {0};
    Err *e = api_cmd_open(&a, &l.c);
    e = e ? e : options(&l, &a);
    e = e ? e : find(&l);
    e = e ? e : read_all(&l);
    code = e ? api_fail(e) : api_cmd_end(&l.c);
    for (size_t i = 0; i < l.n; i++) {
        free(l.v[i]->path);
        free(l.v[i]->prefix);
        str_done(&l.v[i]->lines.rest);
        free(l.v[i]);
    }
    free(l.v);
    str_done(&l.query);
    str_done(&l.out);
    api_cmd_done(&l.c);
    return code;
}
