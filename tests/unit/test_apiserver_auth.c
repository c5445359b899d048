/* test_apiserver_auth.c - who is known, what he may do, what is no resource, and what a hostile client gets. */
#include "api_world.h"
#include "apiserver/tokens.h"

static char *tokens_said(const char *text)
{
    SCOPED(tokens_done) Tokens t;
    SCOPED(err_free) Err *e = tokens_parse(text, strlen(text), &t);
    Str s = {0};
    if (e)
        return err_text(e);
    for (size_t i = 0; i < t.n; i++) {
        str_fmt(&s, "%s%s=%s/%s", i ? " " : "", t.v[i].token, t.v[i].user, t.v[i].uid);
        for (size_t k = 0; k < t.v[i].groups.n; k++)
            str_fmt(&s, "%c%s", k ? ',' : ':', t.v[i].groups.v[k]);
    }
    return str_take(&s);
}

static void test_token_files(void)
{
    static const struct { const char *text, *want; } table[] = {
        {"", ""},
        {"t,u,1\n", "t=u/1"},
        {"t,u,1\r\n\nx,y,2,\"a,b\"\n", "t=u/1 x=y/2:a,b"},
        {"\"t\"\"q\",u,,g", "t\"q=u/:g"},
        {"t,u,1,\"a,,b\",ignored", "t=u/1:a,b"},
        {"t,u", "line 1 must have at least 3 columns (token, user name, user uid), found 2"},
        {"a,b,c\n,u,1", "line 2: the token is empty"},
        {"t,,1", "line 1: the user name is empty"},
        {"\"t\"x,u,1", "line 1: what follows a quote is no comma"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char *said = tokens_said(table[i].text);
        CHECK_STR(said, table[i].want);
        free(said);
    }
    SCOPED(tokens_done) Tokens t;
    static const char three[] = "abc,u,1\nabc,v,2\nx,w,3";
    CHECK_OK(tokens_parse(three, sizeof three - 1, &t));
    CHECK_STR(tokens_find(&t, "abc")->user, "v"); /* the last one counts */
    CHECK(!tokens_find(&t, "ab") && !tokens_find(&t, "abcabc") && !tokens_find(&t, "") && !tokens_find(&t, "xx"));
}

static void test_roles(void)
{
    static const struct { ApiRole role; ApiAction a; bool want; } table[] = {
        {ROLE_ADMIN, {.verb = "delete", .group = "", .resource = "secrets"}, true},
        {ROLE_ADMIN, {.verb = "get", .path = "/metrics"}, true},
        {ROLE_VIEW, {.verb = "get", .group = "", .resource = "pods"}, true},
        {ROLE_VIEW, {.verb = "watch", .group = "", .resource = "nodes"}, true},
        {ROLE_VIEW, {.verb = "get", .group = "", .resource = "pods", .sub = "log"}, true},
        {ROLE_VIEW, {.verb = "get", .group = "", .resource = "pods", .sub = "status"}, true},
        {ROLE_VIEW, {.verb = "get", .path = "/metrics"}, true},
        {ROLE_VIEW, {.verb = "get", .group = "", .resource = "pods", .sub = "exec"}, false},
        {ROLE_VIEW, {.verb = "create", .group = "", .resource = "pods", .sub = "exec"}, false},
        {ROLE_VIEW, {.verb = "get", .group = "", .resource = "pods", .sub = "attach"}, false},
        {ROLE_VIEW, {.verb = "get", .group = "", .resource = "pods", .sub = "portforward"}, false},
        {ROLE_VIEW, {.verb = "list", .group = "", .resource = "secrets"}, false},
        {ROLE_VIEW, {.verb = "update", .group = "", .resource = "pods"}, false},
        {ROLE_VIEW, {.verb = "deletecollection", .group = "", .resource = "pods"}, false},
        {ROLE_NONE, {.verb = "get", .group = "", .resource = "pods"}, false},
        {ROLE_NONE, {.verb = "get", .path = "/version"}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        CHECK_INT(api_allowed(table[i].role, &table[i].a), table[i].want);
    CHECK_INT(api_role_of((const char *const[]){"x", "reprise:view", "system:masters", NULL}), ROLE_ADMIN);
    CHECK_INT(api_role_of((const char *const[]){"reprise:admins", NULL}), ROLE_NONE);
    CHECK_INT(api_role_of(NULL), ROLE_NONE);
    HttpIdentity nobody = {.kind = HTTP_ANONYMOUS, .user = "", .groups = (const char *const[]){NULL}};
    HttpIdentity nameless = {.kind = HTTP_CERT, .user = "", .groups = (const char *const[]){"system:masters", NULL}};
    SCOPED(api_user_done) ApiUser u = {0};
    CHECK(!api_user_of_identity(&nobody, &u) && !api_user_of_identity(&nameless, &u));
}

static void write_tokens(const char *path, const char *text)
{
    CHECK_OK(fs_write_atomic(path, text, strlen(text), 0600, false));
}

#define AS(token) "Authorization: Bearer " token "\r\n"

static void test_tokens_over_http(void)
{
    char file[] = "/tmp/reprise-tokens-XXXXXX";
    fd_close(mkstemp(file));
    write_tokens(file, "t1,alice,1,reprise:admin\nt2,bob,2,reprise:view\nt3,carol,3\n");
    World *w = world_with(&(ApiServerConfig){.token_auth_file = file}, NULL);
    static const struct { const char *method, *target, *headers, *body, *want; } table[] = {
        {"GET", PODS, AS("t1"), NULL, "200 PodList []"},
        {"GET", PODS, AS("t2"), NULL, "200 PodList []"},
        {"GET", PODS, AS("t3"), NULL,
         "403 Forbidden: pods is forbidden: User \"carol\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""},
        {"GET", PODS, AS("t4"), NULL, "401 Unauthorized: Unauthorized"},
        {"GET", PODS, "Authorization: Basic dDE6\r\n", NULL, "401 Unauthorized: Unauthorized"},
        {"GET", PODS, "Authorization: Bearer \r\n", NULL, "401 Unauthorized: Unauthorized"},
        {"GET", PODS, "authorization: bearer t1\r\n", NULL, "200 PodList []"},
        {"GET", PODS, NULL, NULL, "200 PodList []"}, /* the socket's peer */
        {"GET", "/api/v1/secrets", AS("t2"), NULL,
         "403 Forbidden: secrets is forbidden: User \"bob\" cannot list resource \"secrets\" in API group \"\" at the cluster scope"},
        {"POST", PODS, AS("t2") JSON_BODY, POD("a"),
         "403 Forbidden: pods is forbidden: User \"bob\" cannot create resource \"pods\" in API group \"\" in the namespace \"default\""},
        {"GET", PODS "/x/exec?command=ls", AS("t2"), NULL,
         "403 Forbidden: pods \"x\" is forbidden: User \"bob\" cannot get resource \"pods/exec\" in API group \"\" in the namespace "
         "\"default\""},
        {"GET", "/version", AS("t3"), NULL, "403 Forbidden: forbidden: User \"carol\" cannot get path \"/version\""},
        {"GET", PODS, AS("t1") "Impersonate-User: bob\r\n", NULL,
         "403 Forbidden: users \"bob\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API group \"\" at the cluster "
         "scope: reprise does not impersonate"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        CHECK_ASK_H(w, table[i].method, table[i].target, table[i].headers, table[i].body, table[i].want);
    /* The file is read again when it is another one; without it, nobody is in. */
    write_tokens(file, "t9,dave,9,reprise:view\n");
    CHECK_ASK_H(w, "GET", PODS, AS("t9"), NULL, "200 PodList []");
    CHECK_ASK_H(w, "GET", PODS, AS("t1"), NULL, "401 Unauthorized: Unauthorized");
    unlink(file);
    CHECK_ASK_H(w, "GET", PODS, AS("t9"), NULL, "401 Unauthorized: Unauthorized");
    world_done(w);
}

static void test_what_cannot_be_served(void)
{
    World *w = world_new();
    uv_loop_t loop;
    ApiServer *s = NULL;
    uv_loop_init(&loop);
    HttpListen plain = {.address = "127.0.0.1"}, nowhere = {.path = "/nowhere/at/all.sock"};
    ApiServerConfig c = {.loop = &loop, .store = w->store, .node_name = "n", .log_dir = w->dir, .listen = &plain, .n_listen = 1};
    Err *e = apiserver_new(&c, &s);
    SCOPED(mem_free) char *said = e ? err_text(e) : NULL;
    CHECK_STR(said, "the API cannot be served over TCP (127.0.0.1) without TLS");
    err_free(e);
    c.listen = &nowhere;
    CHECK((e = apiserver_new(&c, &s)) != NULL);
    err_free(e);
    c.token_auth_file = "/nowhere/tokens";
    CHECK((e = apiserver_new(&c, &s)) != NULL);
    err_free(e);
    CHECK(s == NULL);
    uv_run(&loop, UV_RUN_DEFAULT); /* nothing is left */
    CHECK_INT(uv_loop_close(&loop), 0);
    world_done(w);
}

static void test_reviews(void)
{
    World *w = world_new();
    json_t *j = NULL;
    free(ask_full(w, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", JSON_BODY, "{}", &j));
    char *said = value_at(j, "status/userInfo/groups");
    CHECK_STR(said, "[\"reprise:admin\",\"system:authenticated\"]");
    free(said);
    json_decref(j);
    free(ask_full(w, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", JSON_BODY,
                  "{\"spec\":{\"resourceAttributes\":{\"verb\":\"delete\",\"resource\":\"pods\"}}}", &j));
    said = value_at(j, "status");
    CHECK_STR(said, "{\"allowed\":true}");
    free(said);
    json_decref(j);
    CHECK_ASK(w, "GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", NULL,
              "404 NotFound: the server could not find the requested resource");
    world_done(w);
}

static void not_ready(void *arg, Str *why)
{
    str_add(why, arg);
}
static void metrics(void *arg, Str *out)
{
    str_fmt(out, "up 1 %s\n", (const char *)arg);
}
static json_t *summary(void *arg)
{
    (void)arg;
    return json_pack("{s:s}", "kind", "Summary");
}

static void test_what_is_no_resource(void)
{
    World *w = world_new();
    CHECK_ASK(w, "GET", "/healthz", NULL, "200 ok");
    CHECK_ASK(w, "GET", "/livez?verbose", NULL, "200 [+]ping ok\n[+]store ok\n[+]node ok\nlivez check passed\n");
    CHECK_ASK(w, "GET", "/readyz/ping", NULL, "200 ok");
    CHECK_ASK(w, "GET", "/readyz/nope", NULL, "404 NotFound: the server could not find the requested resource");
    CHECK_ASK(w, "GET", "/metrics", NULL, "404 NotFound: the server could not find the requested resource");
    CHECK_ASK(w, "GET", "/stats/summary", NULL, "404 NotFound: the server could not find the requested resource");
    CHECK_AT(w, "/version", "major", "\"1\"");
    CHECK_AT(w, "/api", "versions", "[\"v1\"]");
    CHECK_AT(w, "/apis", "groups/0/name", "\"events.k8s.io\"");
    CHECK_AT(w, "/api/v1", "resources/0/name", "\"configmaps\"");
    CHECK_AT(w, "/openapi/v2", "swagger", "\"2.0\"");
    CHECK_AT(w, "/openapi/v3/api/v1", "openapi", "\"3.0.0\"");
    CHECK_ASK(w, "GET", "/openapi/v3/api/v2", NULL, "404 NotFound: the server could not find the requested resource");
    CHECK_ASK(w, "POST", "/version", "{}", "405 MethodNotAllowed: the server does not allow this method on the requested resource");
    Client c = client_open(w, "GET", "/apis", "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n", NULL, 0);
    client_finish(w, &c);
    CHECK(strstr(c.in.p, "Content-Type: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n") != NULL);
    const char *at = strstr(c.in.p, "\r\nETag: ");
    CHECK(at != NULL);
    SCOPED(mem_free) char *same = at ? mem_fmt("If-None-Match: %.18s\r\nAccept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n",
                                               at + 8) : NULL;
    client_close(&c);
    CHECK_ASK_H(w, "GET", "/apis", same, NULL, "304 ");
    world_done(w);
    char why[] = "disk is full";
    w = world_with(&(ApiServerConfig){.node = {.ready = not_ready, .metrics = metrics, .stats_summary = summary, .arg = why}}, NULL);
    CHECK_ASK(w, "GET", "/readyz", NULL, "500 [+]ping ok\n[+]store ok\n[-]node failed: disk is full\nreadyz check failed\n");
    CHECK_ASK(w, "GET", "/livez", NULL, "200 ok");
    CHECK_ASK(w, "GET", "/metrics", NULL, "200 up 1 disk is full\n");
    CHECK_AT(w, "/stats/summary", "kind", "\"Summary\"");
    world_done(w);
}

static void test_bounds(void)
{
    World *w = world_with(&(ApiServerConfig){.limits = {.max_body = 1000, .max_header = 4096}}, NULL);
    SCOPED(mem_free) char *big = mem_alloc(3001);
    memset(big, 'x', 3000);
    CHECK_ASK(w, "POST", MAPS, big, "413 RequestEntityTooLarge: Request entity too large: limit is 1000");
    SCOPED(mem_free) char *header = mem_fmt("X: %s%s\r\n", big, big);
    char *said = ask_full(w, "GET", MAPS, header, NULL, NULL);
    CHECK(str_starts(said, "431 "));
    free(said);
    SCOPED(mem_free) char *target = mem_fmt(MAPS "?x=%s", big);
    said = ask_full(w, "GET", target, "", NULL, NULL);
    CHECK(str_starts(said, "414 "));
    free(said);
    CHECK_ASK(w, "GET", MAPS, NULL, "200 ConfigMapList []");
    world_done(w);
}

/* A Kubernetes protobuf: "k8s", NUL, Unknown{typeMeta{v1, ConfigMap}, raw{metadata{name: p}, data{k: v}}}. */
static void test_protobuf(void)
{
    static const char body[] = "k8s\0"
                               "\x0a\x0f\x0a\x02v1\x12\x09" "ConfigMap"
                               "\x12\x0d\x0a\x03\x0a\x01p\x12\x06\x0a\x01k\x12\x01v";
    World *w = world_new();
    Client c = client_open(w, "POST", MAPS, "Content-Type: application/vnd.kubernetes.protobuf\r\n", body, sizeof body - 1);
    client_finish(w, &c);
    CHECK_INT(client_status(&c), 201);
    client_close(&c);
    CHECK_AT(w, MAPS "/p", "data", "{\"k\":\"v\"}");
    for (size_t n = 0; n < sizeof body - 1; n++) { /* cut anywhere: an answer, never a crash */
        c = client_open(w, "POST", MAPS "?dryRun=All", "Content-Type: application/vnd.kubernetes.protobuf\r\n", body, n);
        client_finish(w, &c);
        CHECK(client_status(&c) >= 400 && client_status(&c) < 500);
        client_close(&c);
    }
    world_done(w);
}

TESTS(T(test_token_files), T(test_roles), T(test_tokens_over_http), T(test_what_cannot_be_served), T(test_reviews), T(test_what_is_no_resource), T(test_bounds),
      T(test_protobuf))
