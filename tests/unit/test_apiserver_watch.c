/* test_apiserver_watch.c - watches over a real socket: what they tell, when they end, and that a slow one is alone with it. */
#include "api_world.h"

static void test_what_happens(void)
{
    World *w = world_new();
    SCOPED(mem_free) char *from = mem_fmt(PODS "?watch=true&resourceVersion=%lld", (long long)objstore_rv(w->store));
    Client c = watch(w, from), all = watch(w, "/api/v1/pods?watch=1&resourceVersion=0&sendInitialEvents=false&resourceVersionMatch=NotOlderThan");
    world_turn(w, 8);
    free(ask(w, "POST", PODS, POD("a")));
    free(ask(w, "PATCH", PODS "/a", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"));
    free(ask(w, "PATCH", PODS "/a", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}")); /* changes nothing */
    free(ask(w, "POST", MAPS, MAP("a")));
    free(ask(w, "DELETE", PODS "/a", NULL));
    CHECK_EVENT(w, &c, "ADDED Pod default/a");
    CHECK_EVENT(w, &c, "MODIFIED Pod default/a");
    json_t *j;
    char *said = next_event(w, &c, &j);
    CHECK_STR(said, "DELETED Pod default/a");
    SCOPED(mem_free) char *rv = mem_fmt("%lld", (long long)objstore_rv(w->store));
    CHECK_STR(meta_of(json_object_get(j, "object"), "resourceVersion"), rv);
    free(said);
    json_decref(j);
    CHECK_EVENT(w, &all, "ADDED Pod default/a");
    CHECK(strstr(c.in.p, "Content-Type: application/json\r\n") != NULL);
    client_close(&c);
    client_close(&all);
    world_done(w);
}

static void test_initial_events(void)
{
    World *w = world_new();
    free(ask(w, "POST", PODS, POD("a")));
    free(ask(w, "POST", PODS, POD("b")));
    Client plain = watch(w, PODS "?watch=true");
    Client marked = watch(w, PODS "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    Client one = watch(w, PODS "?watch=true&fieldSelector=metadata.name%3Db"), path = watch(w, "/api/v1/watch/namespaces/default/pods/b");
    CHECK_EVENT(w, &plain, "ADDED Pod default/a");
    CHECK_EVENT(w, &plain, "ADDED Pod default/b");
    CHECK_EVENT(w, &marked, "ADDED Pod default/a");
    CHECK_EVENT(w, &marked, "ADDED Pod default/b");
    json_t *j;
    free(next_event(w, &marked, &j));
    char *mark = value_at(j, "object/metadata");
    SCOPED(mem_free) char *want = mem_fmt("{\"annotations\":{\"k8s.io/initial-events-end\":\"true\"},\"resourceVersion\":\"%lld\"}",
                                          (long long)objstore_rv(w->store));
    CHECK_STR(json_str(j, "type"), "BOOKMARK");
    CHECK_STR(mark, want);
    free(mark);
    json_decref(j);
    CHECK_EVENT(w, &one, "ADDED Pod default/b");
    CHECK_EVENT(w, &path, "ADDED Pod default/b");
    free(ask(w, "DELETE", PODS "/a", NULL));
    free(ask(w, "DELETE", PODS "/b", NULL));
    CHECK_EVENT(w, &plain, "DELETED Pod default/a");
    CHECK_EVENT(w, &one, "DELETED Pod default/b");
    CHECK_EVENT(w, &path, "DELETED Pod default/b");
    CHECK_ASK(w, "GET", PODS "?watch=true&sendInitialEvents=true", NULL,
              "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
              "resourceVersionMatch to NotOlderThan");
    client_close(&plain);
    client_close(&marked);
    client_close(&one);
    client_close(&path);
    world_done(w);
}

static void test_selectors_make_arrivals(void)
{
    World *w = world_new();
    Client c = watch(w, PODS "?watch=true&labelSelector=on"), running = watch(w, PODS "?watch=true&fieldSelector=status.phase%3DRunning");
    world_turn(w, 8);
    free(ask(w, "POST", PODS, POD("a")));
    free(ask(w, "PATCH", PODS "/a", "{\"metadata\":{\"labels\":{\"on\":\"1\"}}}"));
    free(ask(w, "PATCH", PODS "/a", "{\"metadata\":{\"labels\":{\"on\":\"2\"}}}"));
    free(ask(w, "PATCH", PODS "/a", "{\"metadata\":{\"labels\":{\"on\":null}}}"));
    CHECK_EVENT(w, &c, "ADDED Pod default/a");
    CHECK_EVENT(w, &c, "MODIFIED Pod default/a");
    json_t *j;
    char *said = next_event(w, &c, &j);
    char *on = value_at(j, "object/metadata/labels/on");
    SCOPED(mem_free) char *rv = mem_fmt("%lld", (long long)objstore_rv(w->store));
    CHECK_STR(said, "DELETED Pod default/a");
    CHECK_STR(on, "\"2\""); /* as it was, under the number of what took it away */
    CHECK_STR(meta_of(json_object_get(j, "object"), "resourceVersion"), rv);
    free(said);
    free(on);
    json_decref(j);
    bind_pod(w, "a", "Running");
    CHECK_EVENT(w, &running, "ADDED Pod default/a");
    bind_pod(w, "a", "Succeeded");
    CHECK_EVENT(w, &running, "DELETED Pod default/a");
    client_close(&c);
    client_close(&running);
    world_done(w);
}

static void test_forms(void)
{
    World *w = world_new();
    free(ask(w, "POST", PODS, POD("a")));
    Client t = client_open(w, "GET", PODS "?watch=true", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n", NULL, 0);
    Client p = client_open(w, "GET", PODS "?watch=true", "Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io\r\n", NULL, 0);
    Client e = watch(w, "/apis/events.k8s.io/v1/events?watch=true");
    json_t *j;
    char *said = next_event(w, &t, &j);
    CHECK_STR(said, "ADDED Table [a]");
    CHECK_INT(json_array_size(json_object_get(json_object_get(j, "object"), "columnDefinitions")) > 5, 1);
    free(said);
    json_decref(j);
    free(ask(w, "PATCH", PODS "/a", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"));
    said = next_event(w, &t, &j);
    CHECK_STR(said, "MODIFIED Table [a]");
    CHECK(json_is_null(json_object_get(json_object_get(j, "object"), "columnDefinitions"))); /* said once */
    free(said);
    json_decref(j);
    CHECK_EVENT(w, &p, "ADDED PartialObjectMetadata default/a");
    CHECK_EVENT(w, &p, "MODIFIED PartialObjectMetadata default/a");
    free(ask(w, "POST", "/api/v1/namespaces/default/events",
             "{\"metadata\":{\"name\":\"e\"},\"message\":\"m\",\"involvedObject\":{\"namespace\":\"default\"}}"));
    free(next_event(w, &e, &j));
    CHECK_STR(json_str(json_object_get(j, "object"), "note"), "m");
    json_decref(j);
    CHECK_ASK_H(w, "GET", PODS "?watch=true", "Accept: application/yaml\r\n", NULL,
                "406 NotAcceptable: only the following media types are accepted: application/json;stream=watch");
    client_close(&t);
    client_close(&p);
    client_close(&e);
    world_done(w);
}

static void test_ends(void)
{
    World *w = world_with(NULL, &(ObjStoreOptions){.history_events = 4});
    free(ask(w, "POST", MAPS, MAP("a")));
    SCOPED(mem_free) char *old = mem_fmt(MAPS "?watch=true&resourceVersion=%lld", (long long)objstore_rv(w->store));
    for (unsigned i = 0; i < 9; i++) {
        SCOPED(mem_free) char *patch = mem_fmt("{\"data\":{\"k\":\"%u\"}}", i);
        free(ask(w, "PATCH", MAPS "/a", patch));
    }
    Client c = watch(w, old);
    char *said = next_event(w, &c, NULL);
    CHECK(str_starts(said, "ERROR Expired: too old resource version: "));
    free(said);
    CHECK_EVENT(w, &c, "end");
    CHECK_INT(client_status(&c), 200);
    client_close(&c);
    CHECK_ASK(w, "GET", MAPS "?watch=true&resourceVersion=x", NULL,
              "400 BadRequest: invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid "
              "syntax");
    c = watch(w, MAPS "?watch=true&timeoutSeconds=1&allowWatchBookmarks=true");
    CHECK_EVENT(w, &c, "ADDED ConfigMap default/a");
    CHECK_EVENT(w, &c, "BOOKMARK ConfigMap ");
    CHECK_EVENT(w, &c, "end"); /* in whole chunks */
    CHECK(str_ends(c.in.p, "\r\n0\r\n\r\n"));
    client_close(&c);
    world_done(w);
}

static void test_bounds(void)
{
    World *w = world_with(&(ApiServerConfig){.max_watches = 3}, NULL);
    Client c[3];
    for (size_t i = 0; i < 3; i++) {
        c[i] = watch(w, MAPS "?watch=true");
        world_turn(w, 6);
    }
    CHECK_ASK(w, "GET", MAPS "?watch=true", NULL, "429 TooManyRequests: too many watches, please try again later");
    client_close(&c[0]);
    world_turn(w, 6);
    c[0] = watch(w, MAPS "?watch=true");
    free(ask(w, "POST", MAPS, MAP("a")));
    for (size_t i = 0; i < 3; i++) {
        CHECK_EVENT(w, &c[i], "ADDED ConfigMap default/a");
        client_close(&c[i]);
    }
    world_done(w);
}

/* It takes nothing while more happens than the history keeps; the other one sees all. */
static void test_a_slow_client_is_alone_with_it(void)
{
    World *w = world_with(NULL, &(ObjStoreOptions){.history_events = 16});
    Client slow = watch(w, MAPS "?watch=true"), quick = watch(w, MAPS "?watch=true");
    SCOPED(mem_free) char *big = mem_alloc(200001);
    memset(big, 'x', 200000);
    world_turn(w, 8);
    free(ask(w, "POST", MAPS, MAP("a")));
    CHECK_EVENT(w, &quick, "ADDED ConfigMap default/a");
    for (unsigned i = 0; i < 60; i++) {
        SCOPED(mem_free) char *patch = mem_fmt("{\"data\":{\"k\":\"%u%s\"}}", i, big);
        free(ask(w, "PATCH", MAPS "/a", patch));
        CHECK_EVENT(w, &quick, "MODIFIED ConfigMap default/a");
        str_clear(&quick.in); /* keep what is parsed short */
        str_add(&quick.in, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        quick.at = 0;
    }
    client_finish(w, &slow);
    size_t n = 0;
    char *last = NULL, *line;
    while ((line = client_line(w, &slow))) {
        free(last);
        last = line;
        n++;
    }
    CHECK(n > 2 && n < 60);
    CHECK(last && str_starts(last, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\"") && strstr(last, "\"reason\":\"Expired\"") != NULL);
    free(last);
    client_close(&slow);
    client_close(&quick);
    world_done(w);
}

/* Each sees all, in order, whoever else watches, and in whatever form. */
static void test_a_crowd(void)
{
    enum { N = 150, EVENTS = 100 };
    World *w = world_new();
    Client *c = mem_alloc_n(N, sizeof *c);
    for (size_t i = 0; i < N; i++)
        c[i] = client_open(w, "GET", i % 3 ? MAPS "?watch=true" : MAPS "?watch=true&labelSelector=x", "", NULL, 0);
    world_turn(w, 8);
    for (unsigned i = 0; i < EVENTS; i++) {
        SCOPED(json_unref) json_t *j = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:{s:s++}}", "apiVersion", "v1", "kind", "ConfigMap",
                                                 "metadata", "name", "a", "namespace", "default", "uid", "u", "labels", "x", "y", "data", "k",
                                                 "v", i % 2 ? "odd" : "even", i % 4 ? "" : "4");
        CHECK_OK(i ? objstore_update(w->store, "configmaps", j, NULL, NULL) : objstore_create(w->store, "configmaps", j, NULL, NULL));
    }
    int64_t last = objstore_rv(w->store);
    for (size_t i = 0; i < N; i++) {
        int64_t rv = last - EVENTS;
        for (unsigned k = 0; k < EVENTS; k++) {
            json_t *j;
            char *said = next_event(w, &c[i], &j);
            int64_t now = 0;
            bool good = str_eq(said, k ? "MODIFIED ConfigMap default/a" : "ADDED ConfigMap default/a") &&
                        str_to_i64(meta_of(json_object_get(j, "object"), "resourceVersion"), &now) && now == rv + 1;
            if (!good || k + 1 == EVENTS)
                CHECK(good);
            rv = now;
            free(said);
            json_decref(j);
            if (!good)
                break;
        }
        client_close(&c[i]);
    }
    free(c);
    world_done(w);
}

static void on_stopped(void *arg) { *(bool *)arg = true; }

static void test_the_server_stops(void)
{
    World *w = world_new();
    bool stopped = false;
    Client c = watch(w, MAPS "?watch=true");
    world_turn(w, 8);
    CHECK_INT(client_status(&c), 0);
    client_read(w, &c);
    CHECK_INT(client_status(&c), 200);
    apiserver_stop(w->api, 1000, on_stopped, &stopped);
    CHECK_EVENT(w, &c, "end");
    for (unsigned i = 0; i < 100 && !stopped; i++)
        uv_run(&w->loop, UV_RUN_ONCE);
    CHECK(stopped);
    client_close(&c);
    world_done(w);
}

/* Freed while clients are in the middle of something. */
static void test_the_server_is_gone(void)
{
    World *w = world_new();
    Client c[3] = {watch(w, MAPS "?watch=true"), watch(w, PODS "?watch=true"), client_open(w, "POST", MAPS, JSON_BODY, "{", 1)};
    world_turn(w, 3);
    free(ask(w, "POST", MAPS, MAP("a")));
    world_done(w);
    CHECK(true);
    for (size_t i = 0; i < 3; i++)
        client_close(&c[i]);
}

TESTS(T(test_what_happens), T(test_initial_events), T(test_selectors_make_arrivals), T(test_forms), T(test_ends), T(test_bounds),
      T(test_a_slow_client_is_alone_with_it), T(test_a_crowd), T(test_the_server_stops), T(test_the_server_is_gone))
