/* server.c - from HTTP to a handler and back: who asks, what for, may he; one table says who answers. */
#include "apiserver/api_priv.h"

#include <unistd.h>

#include "apiserver/keeper.h"
#include "apiserver/watch.h"

#define MAX_BODY ((size_t)3 << 20) /* http.h's default */

/* --- a call ------------------------------------------------------------------------------------------------------- */

void api_call_free(ApiCall *c)
{
    if (!c)
        return;
    if (c->in_handler) {
        c->freed = true;
        return;
    }
    kube_request_done(&c->kr);
    api_user_done(&c->user);
    strvec_done(&c->warnings);
    free(c);
}

/* The subresources that have a handler of their own; the others are objects, like what they belong to. */
static const struct { KubeKindId kind; const char *sub; ApiHandler *handler; bool object; } subs[] = {
    {KUBE_PODS, "log", pod_log, false},
    {KUBE_PODS, "exec", pod_exec, false},
    {KUBE_PODS, "attach", pod_attach, false},
    {KUBE_PODS, "portforward", pod_port_forward, false},
    {KUBE_PODS, "eviction", pod_evict, true},
};
static const struct { unsigned verb; ApiHandler *handler; } verbs[] = {
    {VERB_GET, api_get},     {VERB_LIST, api_list},     {VERB_WATCH, api_watch},   {VERB_CREATE, api_create},
    {VERB_UPDATE, api_update}, {VERB_PATCH, api_patch}, {VERB_DELETE, api_delete}, {VERB_DELETE_COLLECTION, api_delete_collection},
};

/* What is not an object (*ret_object = false) chooses the form of its answer itself. */
static ApiHandler *handler_of(const KubeRequest *r, bool *ret_object)
{
    *ret_object = false;
    if (r->path != PATH_RESOURCE)
        return api_info;
    for (size_t i = 0; r->sub && i < ARRAY_LEN(subs); i++)
        if (subs[i].kind == r->kind->id && str_eq(subs[i].sub, r->sub->name)) {
            *ret_object = subs[i].object;
            return subs[i].handler;
        }
    *ret_object = true;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (verbs[i].verb == r->verb)
            return verbs[i].handler;
    return NULL;
}

static bool authenticate(ApiServer *s, HttpRequest *r, ApiUser *ret)
{
    const char *authorization = http_header(r, "Authorization");
    if (authorization) /* what is shown counts, or is refused: never something else in its place */
        return token_file_user(&s->tokens, authorization, ret);
    return api_user_of_identity(http_identity(r), ret);
}

/* Somebody who asks for less than he may must not get all. */
static json_t *impersonation(const ApiCall *c)
{
    const char *user = http_header(c->req, "Impersonate-User");
    if (!user && !http_header(c->req, "Impersonate-Group") && !http_header(c->req, "Impersonate-Uid"))
        return NULL;
    return kube_forbidden_to((KubeRef){"", "users", str_or(user, "")}, c->user.name, "impersonate", NULL, NULL, NULL,
                             "reprise does not impersonate");
}

static void dispatch(ApiCall *c)
{
    const char *accept = http_header(c->req, "Accept"), *agent = http_header(c->req, "User-Agent"), *query = http_query(c->req);
    SCOPED(mem_free) char *target = mem_fmt("%s%s%s", http_path(c->req), *query ? "?" : "", query);
    json_t *bad = kube_request_parse(http_method(c->req), target, strlen(target), &c->kr);
    bool object = false;
    if (bad && c->kr.kind && c->kr.kind->id == KUBE_NODES && !c->kr.sub && kube_status_code(bad) == 405) {
        json_decref(bad); /* in clearer words: there is one node, this machine, and its agent makes it */
        bad = kube_method_not_allowed(kube_request_ref(&c->kr), kube_verb_name(c->kr.verb));
    }
    json_t *as = impersonation(c);
    if (as) {
        json_decref(bad);
        bad = as;
    }
    if (!as && api_review(c)) { /* they are no resources */
        json_decref(bad);
        return;
    }
    if (!bad) {
        ApiAction a = api_action_of(&c->kr);
        bad = api_authorize(&c->user, &a);
    }
    ApiHandler *h = bad ? NULL : handler_of(&c->kr, &object);
    if (!bad && object)
        bad = kube_accept(accept, c->kr.verb == VERB_WATCH ? ACCEPT_WATCH : ACCEPT_OBJECT, kube_query(&c->kr, "pretty"), agent, &c->accept);
    if (bad || !h)
        api_reply_status(c, bad ? bad : kube_method_unknown());
    else
        h(c);
}

static void on_request(void *arg, HttpRequest *r)
{
    ApiCall *c = NEW(ApiCall);
    *c = (ApiCall){.s = arg, .req = r, .in_handler = true};
    http_set_data(r, c);
    if (!authenticate(c->s, r, &c->user)) {
        api_reply_status(c, kube_unauthorized());
    } else {
        http_set_user(r, c->user.name);
        dispatch(c);
    }
    if (c->req && !c->kept)
        api_reply_status(c, kube_internal("the request was not answered"));
    c->in_handler = false;
    if (!c->kept || c->freed)
        api_call_free(c);
}

/* --- HTTP's side -------------------------------------------------------------------------------------------------- */

static const char *error_body(void *arg, int status, const char *message, Str *out)
{
    ApiServer *s = arg;
    json_t *j;
    switch (status) {
    case 401:
        j = kube_unauthorized();
        break;
    case 408:
        j = kube_timeout(message, 0);
        break;
    case 413:
        j = kube_body_too_large((int64_t)s->max_body);
        break;
    case 503:
        j = kube_unavailable(message);
        break;
    default:
        j = kube_bad_request("%s", message);
    }
    json_object_set_new(j, "code", json_integer(status));
    char *text = json_text(j, false);
    str_fmt(out, "%s\n", text);
    free(text);
    json_decref(j);
    return "application/json";
}

/* Nobody who is not known may send a body. */
static size_t on_head(void *arg, HttpRequest *r)
{
    ApiServer *s = arg;
    SCOPED(api_user_done) ApiUser u = {0};
    if (!authenticate(s, r, &u))
        http_reply_error(r, 401, "Unauthorized");
    return s->max_body;
}

static void on_gone(void *arg, HttpRequest *r)
{
    ApiCall *c = http_data(r);
    (void)arg;
    if (!c)
        return;
    c->req = NULL;
    if (c->on_gone)
        c->on_gone(c);
    else
        api_call_free(c);
}

static void on_log(void *arg, const HttpLog *l)
{
    ApiServer *s = arg;
    if (!s->node.on_request)
        return;
    KubeRequest r;
    SCOPED(mem_free) char *target = mem_fmt("%s%s%s", l->path, *l->query ? "?" : "", l->query);
    json_t *bad = kube_request_parse(l->method, target, strlen(target), &r);
    const char *resource = !bad && r.kind ? r.kind->resource : "";
    SCOPED(mem_free) char *full = !bad && r.sub ? mem_fmt("%s/%s", resource, r.sub->name) : mem_dup_str(resource);
    bool streams = !bad && r.sub && (str_eq(r.sub->name, "exec") || str_eq(r.sub->name, "attach") || str_eq(r.sub->name, "portforward"));
    const char *verb = bad ? "" : streams ? "connect" : r.kind ? kube_verb_name(r.verb) : "get";
    s->node.on_request(s->node.arg, l, verb, full);
    json_decref(bad);
    kube_request_done(&r);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

unsigned apiserver_port(const ApiServer *s, size_t listener)
{
    return http_server_port(s->http, listener);
}

/* Tokens are not for everybody's eyes, and certificates are TLS'. */
static Err *check_listeners(const ApiServerConfig *c)
{
    for (size_t i = 0; i < c->n_listen; i++) {
        const HttpListen *l = &c->listen[i];
        if (!l->path && !l->use_fd && !l->tls)
            return err_new(ERR_INVALID, 0, "the API cannot be served over TCP (%s) without TLS", str_or(l->address, ""));
    }
    return NULL;
}

Err *apiserver_new(const ApiServerConfig *c, ApiServer **ret)
{
    Err *refused = check_listeners(c);
    if (refused)
        return refused;
    ApiServer *s = NEW(ApiServer);
    *s = (ApiServer){.loop = c->loop, .store = c->store, .rt = c->rt, .node_name = mem_dup_str(c->node_name),
                     .log_dir = mem_dup_str(c->log_dir), .gates = c->gates, .max_watches = c->max_watches ? c->max_watches : 1000,
                     .max_streams = c->max_streams ? c->max_streams : 200, .node = c->node,
                     .max_body = c->limits.max_body ? c->limits.max_body : MAX_BODY};
    s->http_ops = (HttpOps){.handler = on_request, .on_head = on_head, .on_gone = on_gone, .error_body = error_body, .on_log = on_log};
    watches_init(s);
    Err *e = token_file_open(&s->tokens, c->token_auth_file);
    if (!e)
        e = keeper_new(s, &s->keeper);
    if (!e) {
        HttpServerConfig h = {.loop = c->loop, .listen = c->listen, .n_listen = c->n_listen, .ops = &s->http_ops, .arg = s,
                              .limits = c->limits};
        h.limits.max_body = s->max_body;
        e = http_server_new(&h, &s->http);
    }
    if (e) {
        apiserver_free(s);
        return e;
    }
    *ret = s;
    return NULL;
}

void apiserver_stop(ApiServer *s, unsigned grace_ms, void (*on_stopped)(void *arg), void *arg)
{
    s->stopping = true;
    watches_stop(s);
    pod_streams_stop(s);
    http_server_stop(s->http, grace_ms, on_stopped, arg);
}

void apiserver_free(ApiServer *s)
{
    if (!s)
        return;
    s->stopping = true;
    if (s->http) {
        watches_stop(s);
        pod_streams_stop(s);
        http_server_free(s->http);
    }
    keeper_free(s->keeper);
    pod_streams_free(s);
    watches_done(s);
    token_file_done(&s->tokens);
    info_free(s);
    free(s->node_name);
    free(s->log_dir);
    free(s);
}
