/* cmd_complete.c - `reprise complete -- WORD...`: what the completion scripts ask for: names that the API knows. What
 * cannot be had is silence. */
#include "cli/complete.h"
#include "client/api.h"
#include "client/fields.h"
#include "client/target.h"

int cmd_complete(int argc, char **argv);

static void print_types(void)
{
    for (size_t i = 0; i < KUBE_KIND_N; i++)
        if (kube_kinds[i].id != KUBE_EVENTS_V1)
            puts(kube_kinds[i].resource);
    puts("all");
}

static const char *namespace_of(const Want *w)
{
    return str_or(w->namespace_, "default");
}

static Err *print_names(ApiClient *api, const Want *w)
{
    SCOPED(json_unref) json_t *list = NULL;
    const KubeKind *k = &kube_kinds[KUBE_NAMESPACES];
    Err *e = w->kind == WANT_NAMES ? kind_parse(w->type, &k) : NULL;
    if (e)
        return e;
    SCOPED(mem_free) char *path = kind_path(k, namespace_of(w), NULL, NULL);
    e = client_list(api, path, API_AS_TABLE, 0, &list);
    const json_t *rows = at(list, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++)
        printf("%s%s%s\n", w->pairs ? w->type : "", w->pairs ? "/" : "",
               at_str(json_array_get(rows, i), "object.metadata.name"));
    return e;
}

static Err *print_containers(ApiClient *api, const Want *w)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers", "spec.ephemeralContainers"};
    SCOPED(json_unref) json_t *pod = NULL;
    SCOPED(mem_free) char *path = kind_path(&kube_kinds[KUBE_PODS], namespace_of(w), w->pod, NULL);
    Err *e = client_get(api, path, NULL, &pod);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t k = 0; k < json_array_size(at(pod, lists[i])); k++)
            puts(at_str(json_array_get(at(pod, lists[i]), k), "name"));
    return e;
}

int cmd_complete(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    SCOPED(api_client_free) ApiClient *api = NULL;
    int code = cli_parse("complete", argc, argv, &a);
    if (code >= 0)
        return code;
    const char *env = getenv("REPRISE_API_SOCKET");
    Want w = complete_wants(a.operands, a.n);
    ApiConfig config = {.socket = w.socket ? w.socket : str_empty(env) ? API_SOCKET : env};
    Err *e = w.kind == WANT_NOTHING || w.kind == WANT_TYPES ? NULL : api_client_new(&config, &api);
    if (w.kind == WANT_TYPES)
        print_types();
    else if (!e && w.kind == WANT_CONTAINERS)
        e = print_containers(api, &w);
    else if (!e && w.kind != WANT_NOTHING)
        e = print_names(api, &w);
    err_free(e);
    want_done(&w);
    return EXIT_OK;
}
