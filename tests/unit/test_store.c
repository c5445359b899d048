/* test_store.c - the API's objects: what is said, listed, watched. The disk is test_store_disk.c's. */
#include "store_fixture.h"

static void test_create_get(void)
{
    Fixture f = fixture_new(NULL);
    CHECK_INT(objstore_rv(f.s), 1);
    SCOPED(objitem_unref) ObjItem *i = create(f.s, "default", "web", "q\"\\\n\t\x01 ü");
    CHECK_STR(i->text, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"default\",\"name\":\"web\",\"uid\":\"uid-web\","
                       "\"resourceVersion\":\"2\"},\"spec\":{\"text\":\"q\\\"\\\\\\n\\t\\u0001 ü\"}}");
    CHECK_INT(i->n, strlen(i->text));
    CHECK_STR(i->key, "default/web");
    CHECK_STR(i->name, "web");
    CHECK_STR(i->uid, "uid-web");
    CHECK(objstore_get(f.s, "pods", "default", "web") == i);
    CHECK(objstore_get(f.s, "pods", "default", "we") == NULL);
    CHECK(objstore_get(f.s, "pods", "", "web") == NULL);
    CHECK(objstore_get(f.s, "pods", "", "default/web") == NULL);
    CHECK(objstore_get(f.s, "configmaps", "default", "web") == NULL);
    CHECK_SAID(objstore_not_found("pods", "x"), "NotFound: pods \"x\" not found");

    SCOPED(json_unref) json_t *again = pod("default", "web", "");
    CHECK_SAID(objstore_create(f.s, "pods", again, NULL, NULL), "AlreadyExists: pods \"web\" already exists");
    SCOPED(json_unref) json_t *other = pod("other", "web", "");
    CHECK_OK(objstore_create(f.s, "pods", other, NULL, NULL));
    SCOPED(json_unref) json_t *odd = pod("a/b", "web", "");
    CHECK_SAID(objstore_create(f.s, "pods", odd, NULL, NULL), "BadRequest: pods: no object can be named \"web\"");
    SCOPED(json_unref) json_t *node = pod(NULL, "node", "");
    CHECK_OK(objstore_create(f.s, "nodes", node, NULL, NULL));
    CHECK_STR(objstore_get(f.s, "nodes", NULL, "node")->key, "node");
    CHECK_INT(objstore_count(f.s, NULL, NULL), 3);
    CHECK_INT(objstore_count(f.s, NULL, "default"), 1);
    CHECK_INT(objstore_count(f.s, "pods", NULL), 2);

    SCOPED(mem_free) char *long_text = mem_alloc(OBJSTORE_TEXT_MAX + 1);
    memset(long_text, 'x', OBJSTORE_TEXT_MAX);
    SCOPED(json_unref) json_t *large = pod("default", "large", long_text);
    CHECK_SAID(objstore_create(f.s, "pods", large, NULL, NULL),
               "RequestEntityTooLarge: pods \"large\": 1573005 bytes of JSON: must be at most 1572864");
    fixture_done(&f);
    CHECK_STR(i->name, "web"); /* it outlives the store */
}

static void test_values(void)
{
    static const char *const same[] = {"{\"metadata\":{\"name\":\"v\",\"resourceVersion\":\"2\",\"a\":[]},\"x\":[1,-5,1.5,true,false,null,{},[{}],\"\"]}",
                                       "{\"metadata\":{\"name\":\"v\",\"resourceVersion\":\"2\"},\"resourceVersion\":\"7\",\"data\":{\"resourceVersion\":\"9\"}}",
                                       "{\"x\":{\"metadata\":{}},\"metadata\":{\"name\":\"v\",\"resourceVersion\":\"2\"},\"d\":0.1}"};
    for (size_t k = 0; k < ARRAY_LEN(same); k++) {
        Fixture f = fixture_new(NULL);
        SCOPED(json_unref) json_t *j = NULL;
        SCOPED(objitem_unref) ObjItem *i = NULL;
        CHECK_OK(json_parse(same[k], strlen(same[k]), &j));
        CHECK_OK(objstore_create(f.s, "configmaps", j, NULL, &i));
        SCOPED(json_unref) json_t *back = objitem_json(i);
        CHECK(json_equal(j, back));
        CHECK(k == 2 || str_eq(i->text, same[k]));
        fixture_close(&f);
        fixture_open(&f, NULL);
        CHECK_STR(objstore_get(f.s, "configmaps", NULL, "v")->text, i->text);
        fixture_done(&f);
    }
}

static void test_update(void)
{
    Fixture f = fixture_new(NULL);
    CHECK_INT(put(f.s, "a", "1"), 2);
    CHECK_INT(put(f.s, "a", "2"), 3);
    CHECK_INT(put(f.s, "a", "2"), 3); /* nothing changed: nothing is written */
    SCOPED(json_unref) json_t *j = pod("default", "a", "3");
    CHECK_SAID(objstore_update(f.s, "pods", j, &(ObjWrite){.rv = 2}, NULL),
               "Conflict: Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to the "
               "latest version and try again");
    CHECK_SAID(objstore_update(f.s, "pods", j, &(ObjWrite){.uid = "other"}, NULL),
               "Conflict: Operation cannot be fulfilled on pods \"a\": StorageError: invalid object, Code: 4, Key: "
               "/registry/pods/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other, "
               "UID in object meta: uid-a");
    CHECK_OK(objstore_update(f.s, "pods", j, &(ObjWrite){.rv = 3, .uid = "uid-a", .durable = true}, NULL));
    CHECK_NOW(f.s, "a", "3");
    CHECK_INT(objstore_rv(f.s), 4);
    SCOPED(json_unref) json_t *none = pod("default", "none", "");
    CHECK_SAID(objstore_update(f.s, "pods", none, NULL, NULL), "NotFound: pods \"none\" not found");
    fixture_done(&f);
}

static void test_delete(void)
{
    Fixture f = fixture_new(NULL);
    CHECK_INT(put(f.s, "a", "1"), 2);
    CHECK_SAID(objstore_delete(f.s, "pods", "default", "a", &(ObjWrite){.uid = "old"}, NULL),
               "Conflict: Operation cannot be fulfilled on Pod \"a\": the UID in the precondition (old) does not match the UID in record "
               "(uid-a). The object might have been deleted and then recreated");
    CHECK_SAID(objstore_delete(f.s, "pods", "default", "a", &(ObjWrite){.rv = 9}, NULL),
               "Conflict: Operation cannot be fulfilled on Pod \"a\": the ResourceVersion in the precondition (9) does not match the "
               "ResourceVersion in record (2). The object might have been modified");
    SCOPED(objitem_unref) ObjItem *last = NULL;
    CHECK_OK(objstore_delete(f.s, "pods", "default", "a", &(ObjWrite){.rv = 2, .uid = "uid-a"}, &last));
    CHECK_INT(last->rv, 3);
    CHECK(strstr(last->text, "\"resourceVersion\":\"3\"") != NULL);
    CHECK_SAID(objstore_delete(f.s, "pods", "default", "a", NULL, NULL), "NotFound: pods \"a\" not found");
    CHECK_SAID(objstore_delete(f.s, "secrets", "default", "a", NULL, NULL), "NotFound: secrets \"a\" not found");
    CHECK_INT(put(f.s, "a", "again"), 4);
    fixture_close(&f);
    fixture_open(&f, NULL);
    CHECK_NOW(f.s, "a", "again");
    CHECK_INT(objstore_rv(f.s), 4); /* closed cleanly: nothing is skipped */
    CHECK(f.note == NULL);
    fixture_done(&f);
}

static bool odd_names(void *arg, const ObjItem *i)
{
    (void)arg;
    return i->name[strlen(i->name) - 1] % 2;
}

static void test_list(void)
{
    Fixture f = fixture_new(NULL);
    static const char *const keys[][2] = {{"b", "x"}, {"a", "z"}, {"a-b", "y"}, {"a", "a"}, {"a.b", "c"}, {"a0", "d"}};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        SCOPED(objitem_unref) ObjItem *made = create(f.s, keys[i][0], keys[i][1], "");
    }
    static const struct {
        ObjQuery q;
        const char *want;
        int64_t remaining;
    } cases[] = {
        /* '-' and '.' come before '/', as in etcd */
        {{.resource = "pods"}, "a-b/y a.b/c a/a a/z a0/d b/x", -1},
        {{.resource = "pods", .namespace_ = "a"}, "a/a a/z", -1},
        {{.resource = "pods", .namespace_ = "a", .limit = 2}, "a/a a/z", -1},
        {{.resource = "pods", .namespace_ = "a", .limit = 1}, "a/a", 1},
        {{.resource = "pods", .namespace_ = "zz"}, "", -1},
        {{.resource = "nodes"}, "", -1},
        {{.resource = "pods", .limit = 4}, "a-b/y a.b/c a/a a/z", 2},
        {{.resource = "pods", .limit = 2, .match = odd_names}, "a-b/y a.b/c", -1},
        {{.resource = "pods", .rv = 3, .exact = true}, "a/z b/x", -1},
        {{.resource = "pods", .rv = 3}, "a-b/y a.b/c a/a a/z a0/d b/x", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED(objlist_done) ObjList l = {0};
        CHECK_OK(objstore_list(f.s, &cases[i].q, &l));
        SCOPED(mem_free) char *got = names_of(&l);
        CHECK_STR(got, cases[i].want);
        CHECK_INT(l.remaining, cases[i].remaining);
        CHECK_INT(l.rv, cases[i].q.exact ? cases[i].q.rv : 7);
    }
    SCOPED(objlist_done) ObjList l = {0};
    CHECK_SAID(objstore_list(f.s, &(ObjQuery){.resource = "pods", .rv = 8}, &l), "Timeout: Too large resource version: 8, current: 7");
    fixture_done(&f);
}

/* The pages of a list, with a change between any two of them, are the list of the first page's moment. */
static void test_pages(void)
{
    Fixture f = fixture_new(NULL);
    for (int i = 0; i < 20; i++) {
        SCOPED(mem_free) char *name = mem_fmt("p%02d", i * 2);
        (void)put(f.s, name, "old");
    }
    SCOPED(objlist_done) ObjList whole = {0};
    CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods", .namespace_ = "default"}, &whole));
    SCOPED(str_done) Str got = {0}, want = {0};
    for (size_t i = 0; i < whole.n; i++)
        str_fmt(&want, "%s@%lld ", whole.item[i]->name, (long long)whole.item[i]->rv);
    char *cont = NULL;
    srand(7);
    for (int page = 0; page == 0 || cont; page++) {
        ObjList l = {0};
        CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods", .namespace_ = "default", .limit = 3, .cont = cont}, &l));
        CHECK_INT(l.rv, whole.rv);
        CHECK_INT(l.remaining, l.cont ? (int)whole.n - 3 * (page + 1) : -1);
        for (size_t i = 0; i < l.n; i++)
            str_fmt(&got, "%s@%lld ", l.item[i]->name, (long long)l.item[i]->rv);
        free(cont);
        cont = mem_dup_str(l.cont);
        objlist_done(&l);
        for (int i = 0; i < 10; i++) { /* made, changed, deleted, made again */
            SCOPED(mem_free) char *name = mem_fmt("p%02d", rand() % 40);
            SCOPED(mem_free) char *text = mem_fmt("%d", rand());
            if (rand() % 3 == 0 && objstore_get(f.s, "pods", "default", name))
                drop(f.s, name);
            else
                (void)put(f.s, name, text);
        }
        CHECK(page < 10);
    }
    CHECK_STR(got.p, want.p);
    fixture_done(&f);
}

static void test_tokens(void)
{
    Fixture f = fixture_new(&(ObjStoreOptions){.history_events = 4});
    for (int i = 0; i < 6; i++)
        (void)put(f.s, (char[]){'a', (char)('0' + i), 0}, "");
    SCOPED(objlist_done) ObjList l = {0};
    CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods", .limit = 2}, &l));
    CHECK_STR(l.cont, "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJkZWZhdWx0L2ExIn0");
    static const struct {
        const char *token, *ns, *want;
    } bad[] = {
        {"%%", NULL, "BadRequest: continue key is not valid: illegal base64 data"},
        {"a", NULL, "BadRequest: continue key is not valid: illegal base64 data"},
        {"YWJj", NULL, "BadRequest: continue key is not valid: JSON: line 1, column 3: invalid token near 'abc'"},
        {"e30", NULL, "BadRequest: continue key is not valid: server does not recognize this encoded version"},
        /* {"v":"meta.k8s.io/v1","rv":0,"start":"a"} and 99 */
        {"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0", NULL,
         "BadRequest: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"},
        {"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6OTksInN0YXJ0IjoiYSJ9", NULL,
         "BadRequest: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"},
        {"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6Nywic3RhcnQiOiJkZWZhdWx0L2ExIn0", "other",
         "BadRequest: continue key is not valid: encoded start key is of another list"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        SCOPED(objlist_done) ObjList none = {0};
        CHECK_SAID(objstore_list(f.s, &(ObjQuery){.resource = "pods", .namespace_ = bad[i].ns, .cont = bad[i].token}, &none), bad[i].want);
    }
    /* Five changes leave nothing of that moment. */
    for (int i = 0; i < 5; i++)
        (void)put(f.s, "a3", (char[]){(char)('0' + i), 0});
    SCOPED(objlist_done) ObjList late = {0};
    SCOPED(err_free) Err *e = objstore_list(f.s, &(ObjQuery){.resource = "pods", .cont = l.cont}, &late);
    CHECK_STR(e->reason, "Expired");
    CHECK(str_starts(e->what, "The provided continue parameter is too old to display a consistent list result. You can start"));
    SCOPED(objlist_done) ObjList rest = {0};
    CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods", .cont = late.cont}, &rest));
    SCOPED(mem_free) char *names = names_of(&rest);
    CHECK_STR(names, "default/a2 default/a3 default/a4 default/a5");
    CHECK_INT(rest.rv, 12);
    SCOPED(objlist_done) ObjList old = {0};
    CHECK_SAID(objstore_list(f.s, &(ObjQuery){.resource = "pods", .rv = 5, .exact = true}, &old),
               "Expired: The resourceVersion for the provided list is too old.");
    fixture_done(&f);
}

static void on_ready(void *arg)
{
    (*(int *)arg)++;
}

static void test_watch(void)
{
    Fixture f = fixture_new(NULL);
    (void)put(f.s, "a", "1");                 /* 2 */
    (void)put(f.s, "b", "1");                 /* 3 */
    int woken = 0;
    ObjWatch *now = NULL, *from = NULL, *all = NULL, *one = NULL, *other = NULL;
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .ready = on_ready, .arg = &woken}, &now));
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .from = 2}, &from));
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .initial = true, .initial_end = true}, &all));
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .namespace_ = "default", .name = "b", .initial = true}, &one));
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .namespace_ = "other", .ready = on_ready, .arg = &woken}, &other));
    CHECK_EVENTS(from, "+b");
    CHECK_INT(objwatch_rv(all), 0);
    (void)put(f.s, "b", "2"); /* before the initial events were taken: they are of the moment of the call all the same */
    drop(f.s, "a");
    (void)put(f.s, "c", "1");
    CHECK_INT(woken, 1); /* once for three events */
    CHECK_EVENTS(all, "+a +b ! ~b -a +c");
    CHECK_EVENTS(one, "+b ~b");
    CHECK_EVENTS(now, "~b -a +c");
    CHECK_EVENTS(from, "~b -a +c");
    CHECK_EVENTS(other, "");
    CHECK_INT(objwatch_rv(now), 6);
    (void)put(f.s, "c", "2");
    CHECK_INT(woken, 2);
    ObjEvent e;
    CHECK(objwatch_next(now, &e) == OBJ_EVENT && e.type == OBJ_MODIFIED && e.rv == 7);
    CHECK(strstr(e.item->text, "\"2\"}") && strstr(e.prev->text, "\"1\"}"));
    drop(f.s, "c");
    CHECK(objwatch_next(now, &e) == OBJ_EVENT && e.type == OBJ_DELETED && e.rv == 8);
    CHECK(strstr(e.item->text, "\"resourceVersion\":\"8\"") && strstr(e.prev->text, "\"resourceVersion\":\"7\""));
    CHECK(objwatch_next(now, &e) == OBJ_NONE);
    ObjWatch *bad = NULL;
    CHECK_SAID(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .from = 9}, &bad), "Timeout: Too large resource version: 9, current: 8");
    ObjStoreState st;
    objstore_state(f.s, &st);
    CHECK_INT(st.watches, 5);
    CHECK_INT(st.history_events, 7);
    objwatch_close(from);
    objwatch_close(all);
    objwatch_close(one);
    objwatch_close(other);
    fixture_done(&f);
    CHECK(objwatch_next(now, &e) == OBJ_GONE); /* closed under it */
    CHECK_SAID(objwatch_gone(now), "ServiceUnavailable: the store was closed");
    objwatch_close(now);
}

static void test_watch_bounds(void)
{
    Fixture f = fixture_new(&(ObjStoreOptions){.history_events = 3});
    ObjWatch *slow = NULL, *quick = NULL, *elsewhere = NULL, *old = NULL, *initial = NULL, *maps = NULL;
    (void)put(f.s, "a", "0");
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods"}, &slow));
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .from = 1}, &quick));
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .namespace_ = "elsewhere"}, &elsewhere));
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .initial = true}, &initial));
    for (int i = 1; i < 9; i++) {
        CHECK_EVENTS(quick, i == 1 ? "+a" : "~a");
        (void)put(f.s, "a", (char[]){(char)('0' + i), 0});
    }
    CHECK_EVENTS(quick, "~a");
    CHECK_EVENTS(slow, "GONE");
    CHECK_SAID(objwatch_gone(slow), "Expired: too old resource version: 2 (7)");
    CHECK_EVENTS(initial, "GONE"); /* its list went with the history */
    SCOPED(objitem_unref) ObjItem *i = create(f.s, "elsewhere", "b", "");
    CHECK_EVENTS(elsewhere, "+b"); /* what others got did not make it too old */
    CHECK_SAID(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .from = 5}, &old), "Expired: too old resource version: 5 (8)");
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .from = 8}, &old));
    CHECK_EVENTS(old, "~a ~a +b");
    /* A quiet resource has a history of its own. */
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "configmaps", .from = 1}, &maps));
    ObjWatch *all[] = {slow, quick, elsewhere, old, initial, maps};
    for (size_t k = 0; k < ARRAY_LEN(all); k++)
        objwatch_close(all[k]);
    fixture_close(&f);

    fixture_open(&f, &(ObjStoreOptions){.history_bytes = 5000});
    SCOPED(mem_free) char *text = mem_alloc(1001);
    memset(text, 'x', 1000);
    for (int k = 0; k < 20; k++) {
        text[0] = (char)('a' + k);
        (void)put(f.s, "a", text);
    }
    ObjStoreState st;
    objstore_state(f.s, &st);
    CHECK(st.history_bytes <= 5000 && st.history_events >= 3);
    fixture_done(&f);
}

/* A clean close and open misses nothing; a watch from before is told so. */
static void test_watch_over_restart(void)
{
    Fixture f = fixture_new(NULL);
    (void)put(f.s, "a", "1");
    int64_t rv = put(f.s, "a", "2");
    fixture_close(&f);
    fixture_open(&f, NULL);
    SCOPED(objwatch_close) ObjWatch *w = NULL, *old = NULL;
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .from = rv}, &w));
    CHECK_SAID(objstore_watch(f.s, &(ObjWatching){.resource = "pods", .from = 2}, &old), "Expired: too old resource version: 2 (3)");
    CHECK_INT(put(f.s, "a", "3"), rv + 1);
    CHECK_EVENTS(w, "~a");
    objwatch_close(MOVE(w, NULL));
    fixture_done(&f);
}

static void test_batch(void)
{
    Fixture f = fixture_new(NULL);
    (void)put(f.s, "gone", "1"); /* 2 */
    SCOPED(objwatch_close) ObjWatch *w = NULL;
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "pods"}, &w));
    objstore_begin(f.s);
    CHECK(objstore_in_batch(f.s));
    (void)put(f.s, "a", "1");
    (void)put(f.s, "a", "2");
    (void)put(f.s, "b", "1");
    drop(f.s, "gone");
    (void)put(f.s, "gone", "2");
    drop(f.s, "b");
    CHECK_NOW(f.s, "a", "2"); /* seen at once */
    CHECK_EVENTS(w, "");      /* but not told */
    CHECK_INT(objstore_rv(f.s), 2);
    ObjWatch *none = NULL;
    CHECK_SAID(objstore_watch(f.s, &(ObjWatching){.resource = "pods"}, &none), ": a watch of pods within a batch");
    SCOPED(objlist_done) ObjList l = {0}, before = {0};
    CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods"}, &l));
    CHECK_INT(l.rv, 8);
    CHECK_OK(objstore_list(f.s, &(ObjQuery){.resource = "pods", .rv = 2, .exact = true}, &before));
    CHECK(before.n == 1 && before.item[0]->rv == 2);
    CHECK_OK(objstore_end(f.s));
    CHECK_EVENTS(w, "+a ~a +b -gone +gone -b");
    CHECK_INT(objstore_rv(f.s), 8);

    objstore_begin(f.s);
    (void)put(f.s, "a", "3");
    (void)put(f.s, "new", "1");
    drop(f.s, "gone");
    objstore_abort(f.s);
    CHECK_NOW(f.s, "a", "2");
    CHECK_NOW(f.s, "gone", "2");
    CHECK_NOW(f.s, "new", NULL);
    CHECK_EVENTS(w, "");
    CHECK_INT(objstore_rv(f.s), 8);
    CHECK_INT(put(f.s, "new", "2"), 12); /* numbers that were given up are not given again */
    CHECK_EVENTS(w, "+new");
    objwatch_close(MOVE(w, NULL));
    fixture_close(&f);
    fixture_open(&f, NULL);
    CHECK_NOW(f.s, "a", "2");
    CHECK_NOW(f.s, "b", NULL);
    CHECK_NOW(f.s, "gone", "2");
    CHECK_INT(objstore_count(f.s, NULL, NULL), 3);
    fixture_done(&f);
}

static void test_collection(void)
{
    Fixture f = fixture_new(NULL);
    for (int i = 0; i < 6; i++)
        (void)put(f.s, (char[]){'a', (char)('0' + i), 0}, "");
    size_t n = 0;
    CHECK_OK(objstore_delete_collection(f.s, &(ObjQuery){.resource = "pods", .namespace_ = "default", .match = odd_names}, true, &n));
    CHECK_INT(n, 3);
    CHECK_INT(objstore_count(f.s, "pods", NULL), 3);
    CHECK_NOW(f.s, "a1", NULL);
    CHECK_OK(objstore_delete_collection(f.s, &(ObjQuery){.resource = "secrets"}, true, &n));
    CHECK_INT(n, 0);
    CHECK_STR(objstore_resource(f.s, 0), "pods");
    fixture_done(&f);
}

static void test_expiry(void)
{
    Fixture f = fixture_new(NULL);
    int64_t next;
    size_t n;
    CHECK_OK(objstore_sweep(f.s, 1000, 10, &n, &next));
    CHECK(n == 0 && next == NS_NONE);
    for (int i = 0; i < 5; i++) {
        SCOPED(json_unref) json_t *j = pod("default", (char[]){'e', (char)('0' + i), 0}, "");
        CHECK_OK(objstore_create(f.s, "events", j, &(ObjWrite){.expires_ns = 100 * (i + 1)}, NULL));
    }
    (void)put(f.s, "stays", "");
    SCOPED(json_unref) json_t *renewed = pod("default", "e0", "twice"), *same = pod("default", "e1", "thrice");
    CHECK_OK(objstore_update(f.s, "events", renewed, &(ObjWrite){.expires_ns = 900}, NULL));
    CHECK_OK(objstore_update(f.s, "events", same, NULL, NULL)); /* keeps its 200 */
    fixture_close(&f);
    fixture_open(&f, NULL); /* the moments are kept */
    SCOPED(objwatch_close) ObjWatch *w = NULL;
    CHECK_OK(objstore_watch(f.s, &(ObjWatching){.resource = "events"}, &w));
    CHECK_OK(objstore_sweep(f.s, 150, 10, &n, &next));
    CHECK(n == 0 && next == 200);
    CHECK_OK(objstore_sweep(f.s, 450, 2, &n, &next));
    CHECK(n == 2 && next == 400); /* two at most: come again at once */
    CHECK_OK(objstore_sweep(f.s, 450, 2, &n, &next));
    CHECK(n == 1 && next == 500);
    CHECK_EVENTS(w, "-e1 -e2 -e3");
    CHECK_OK(objstore_sweep(f.s, 1000, 10, &n, &next));
    CHECK(n == 2 && next == NS_NONE);
    CHECK_INT(objstore_count(f.s, NULL, NULL), 1);
    objwatch_close(MOVE(w, NULL));
    fixture_done(&f);
}

static void test_restarts(void)
{
    Fixture f = fixture_new(NULL);
    ObjRestart r = {.attempt = 1, .container = mem_dup_str("watcher"), .rule = mem_dup_str("restartPolicyRules[1]"), .code = 88,
                    .begun_ns = 5, .done_ns = NS_NONE};
    CHECK_OK(objstore_restart_put(f.s, "u1", &r, false));
    CHECK_OK(objstore_restart_put(f.s, "u2", &r, false));
    r.done_ns = 9;
    r.code = OBJ_CODE_UNKNOWN;
    CHECK_OK(objstore_restart_put(f.s, "u1", &r, true));
    objstore_begin(f.s);
    for (r.attempt = 2; r.attempt <= 40; r.attempt++)
        CHECK_OK(objstore_restart_put(f.s, "u1", &r, false));
    CHECK_OK(objstore_end(f.s));
    fixture_close(&f);
    fixture_open(&f, NULL);
    SCOPED(objrestarts_done) ObjRestarts l = {0}, other = {0}, none = {0};
    CHECK_OK(objstore_restarts(f.s, "u1", &l));
    CHECK_INT(l.n, OBJSTORE_RESTARTS);
    CHECK_INT(l.v[0].attempt, 9);
    CHECK_INT(l.v[31].attempt, 40);
    CHECK(l.v[0].code == OBJ_CODE_UNKNOWN && l.v[0].done_ns == 9 && l.v[0].begun_ns == 5);
    CHECK_STR(l.v[0].container, "watcher");
    CHECK_OK(objstore_restarts(f.s, "u2", &other));
    CHECK(other.n == 1 && other.v[0].done_ns == NS_NONE && other.v[0].code == 88);
    CHECK_STR(other.v[0].rule, "restartPolicyRules[1]");
    CHECK_OK(objstore_restart_forget(f.s, "u1"));
    CHECK_OK(objstore_restarts(f.s, "u1", &none));
    CHECK_INT(none.n, 0);
    free(r.container);
    free(r.rule);
    fixture_done(&f);
}

TESTS(T(test_create_get), T(test_values), T(test_update), T(test_delete), T(test_list), T(test_pages), T(test_tokens), T(test_watch),
      T(test_watch_bounds), T(test_watch_over_restart), T(test_batch), T(test_collection), T(test_expiry), T(test_restarts))
