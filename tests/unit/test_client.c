/* test_client.c - the pure half of the commands for the API: aligned text, tables, JSONPath, what words name, errors, conditions, logs; and
 * `describe` by the files of tests/golden/describe (REPRISE_GOLDEN_UPDATE writes them). */
#include <dirent.h>

#include "check.h"
#include "client/api.h"
#include "client/condition.h"
#include "client/describe.h"
#include "client/fields.h"
#include "client/logs.h"
#include "client/output.h"
#include "client/pairs.h"
#include "client/table_text.h"
#include "client/target.h"

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!j) {
        printf("# no JSON: %s\n", text);
        abort();
    }
    return j;
}

/* --- text ------------------------------------------------------------------------------------------------------------ */

static void test_tabs(void)
{
    static const struct { const char *in, *table, *describe; } rows[] = {
        {"a\tb\n", "a     b\n", "a  b\n"},
        {"long name\tb\nx\ty\n", "long name   b\nx           y\n", "long name  b\nx          y\n"},
        {"a\tb\tc\nx\n1\t2\n", "a     b     c\nx\n1     2\n", "a  b  c\nx\n1  2\n"}, /* a line without the column ends it */
        {"a\t\nbb\t\n", "a     \nbb    \n", "a   \nbb  \n"},
        {"\xc3\xa4\xc3\xb6\tb\naaa\tb\n", "\xc3\xa4\xc3\xb6    b\naaa   b\n", "\xc3\xa4\xc3\xb6   b\naaa  b\n"},
        {"", "", ""},
        {"no end", "no end\n", "no end\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(tabs_done) Tabs t = TABS_TABLE, d = TABS_DESCRIBE;
        SCOPED(str_done) Str a = {0}, b = {0};
        tabs_align(&t, rows[i].in, &a);
        tabs_align(&d, rows[i].in, &b);
        CHECK_STR(str_or(a.p, ""), rows[i].table);
        CHECK_STR(str_or(b.p, ""), rows[i].describe);
        tabs_done(&d);
    }
    /* A watch: columns never get narrower. */
    SCOPED(tabs_done) Tabs t = TABS_TABLE;
    SCOPED(str_done) Str out = {0};
    tabs_align(&t, "a very long name\tx\n", &out);
    tabs_align(&t, "short\tx\n", &out);
    CHECK_STR(out.p, "a very long name   x\nshort              x\n");
}

static const char table[] =
    "{\"columnDefinitions\":[{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\"},{\"name\":\"Restarts\",\"type\":\"integer\"},"
    "{\"name\":\"Node\",\"type\":\"string\",\"priority\":1}],\"rows\":[{\"cells\":[\"p\",3,\"n\"],\"object\":{\"metadata\":{\"name\":\"p\","
    "\"namespace\":\"ns\",\"labels\":{\"b\":\"2\",\"a\":\"1\"}}}},{\"cells\":[\"two\\nlines\\u001b\",null,\"n\"]}]}";

static void test_table(void)
{
    SCOPED(json_unref) json_t *j = parse(table);
    SCOPED(json_unref) json_t *rest = parse("{\"columnDefinitions\":null,\"rows\":[{\"cells\":[\"q\",0,\"n\"]}]}");
    SCOPED(strvec_done) StrVec labels = {0};
    SCOPED(table_printer_done) TablePrinter plain = {0}, all = {.wide = true, .show_labels = true, .with_namespace = true, .kind = "pod", .label_columns = &labels};
    SCOPED(str_done) Str a = {0}, b = {0};
    strvec_add(&labels, "x/a");
    strvec_add(&labels, "a");
    table_print(&plain, j, NULL, &a);
    table_print(&plain, rest, NULL, &a);
    CHECK_STR(a.p, "NAME\tRESTARTS\np\t3\ntwo...\t\nq\t0\n");
    table_print(&all, j, "ADDED", &b);
    CHECK_STR(b.p, "EVENT\tNAMESPACE\tNAME\tRESTARTS\tNODE\tA\tA\tLABELS\n"
                   "ADDED   \tns\tpod/p\t3\tn\t\t1\ta=1,b=2\n"
                   "ADDED   \t\tpod/two...\t\tn\t\t\t<none>\n");
    table_printer_done(&all);
}

static void test_status(void)
{
    static const struct { const char *status, *text; } rows[] = {
        {"{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"pods \\\"x\\\" not found\"}", "Error from server (NotFound): pods \"x\" not found"},
        {"{\"kind\":\"Status\",\"message\":\"odd\"}", "Error from server: odd"},
        {"{\"kind\":\"Status\",\"reason\":\"Unauthorized\",\"message\":\"Unauthorized\"}", "error: You must be logged in to the server (Unauthorized)"},
        {"{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"m\",\"details\":{\"kind\":\"Pod\",\"name\":\"x\",\"causes\":["
         "{\"field\":\"a\",\"message\":\"Required value\"},{\"field\":\"a\",\"message\":\"Required value\"}]}}", "The Pod \"x\" is invalid: a: Required value"},
        {"{\"kind\":\"Status\",\"reason\":\"Invalid\",\"details\":{\"kind\":\"Pod\",\"name\":\"x\",\"causes\":["
         "{\"field\":\"a\",\"message\":\"1\"},{\"field\":\"b\",\"message\":\"2\"}]}}", "The Pod \"x\" is invalid: \n* a: 1\n* b: 2"},
        {"{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"m\"}", "The request is invalid: m"},
        {"[]", "Error from server: the server answered with HTTP status 500"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(json_unref) json_t *status = parse(rows[i].status);
        SCOPED(err_free) Err *e = api_status_error(status, 500);
        SCOPED(mem_free) char *text = api_error_text(e);
        CHECK_STR(text, rows[i].text);
    }
    SCOPED(err_free) Err *own = err_new(ERR_INVALID, 0, "no");
    SCOPED(mem_free) char *text = api_error_text(own);
    CHECK_STR(text, "error: no");
    CHECK(!api_is(own, "NotFound") && !api_is(NULL, "NotFound"));
}

/* --- JSONPath --------------------------------------------------------------------------------------------------------- */

static const char document[] = "{\"kind\":\"List\",\"items\":[{\"name\":\"a\",\"n\":1,\"ok\":true,\"l\":[1,2,3]},{\"name\":\"b\",\"n\":2.5,\"x.y\":\"dot\"}],"
                               "\"deep\":{\"name\":\"c\"}}";

static void test_jsonpath(void)
{
    static const struct { const char *path, *want; } rows[] = {
        {"plain", "plain"}, {"{.kind}", "List"}, {"{ .kind }!", "List!"}, {"{.items[*].name}", "a b"}, {"{.items[0].name}", "a"},
        {"{.items[-1].name}", "b"}, {"{.items[0:1].name}", "a"}, {"{.items[:].name}", "a b"}, {"{.items[0].l[::2]}", "1 3"},
        {"{.items[0,1].name}", "a b"}, {"{.items[*]['name','n']}", "a b 1 2.5"}, {"{['kind']}", "List"}, {"{$.kind}", "List"},
        {"{.items[?(@.name==\"b\")].n}", "2.5"}, {"{.items[?(@.n>1)].name}", "b"}, {"{.items[?(@.n <= 1)].name}", "a"},
        {"{.items[?(@.ok)].name}", "a"}, {"{.items[?(@.ok==true)].name}", "a"}, {"{.items[?(@.name!='a')].name}", "b"},
        {"{..name}", "a b c"}, {"{.nope}", ""}, {"{.items[*].x\\.y}", "dot"}, {"{.items[0].l}", "[1,2,3]"}, {"{.deep}", "{\"name\":\"c\"}"},
        {"{range .items[*]}{.name}={.n}{\"\\n\"}{end}.", "a=1\nb=2.5\n."}, {"{'quoted'}{\"\\t\"}", "quoted\t"}, {"{.deep.*}", "c"},
        {"{range .items[*]}{range .l[*]}<{@}>{end}{end}", "<1><2><3>"},
    };
    SCOPED(json_unref) json_t *j = parse(document);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(jsonpath_free) JsonPath *p = NULL;
        SCOPED(str_done) Str out = {0};
        CHECK_OK(jsonpath_parse(rows[i].path, &p));
        if (p)
            CHECK_OK(jsonpath_print(p, j, &out));
        CHECK_STR(str_or(out.p, ""), rows[i].want);
    }
}

static void test_jsonpath_refuses(void)
{
    static const char *const wrong[] = {"{", "{.a", "{.a[}", "{.a[0}", "{.a[?(}", "{.a[?(@.b==)]}", "{.a[?(@.b=1)]}", "{end}", "{range .a}", "{range .a}{.b}",
                                        "{'a}", "{#}", "{.a[99999999999999999999]}", "{.a[]}", "{.a[?(@.b", "{\"\\"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        SCOPED(jsonpath_free) JsonPath *p = NULL;
        SCOPED(err_free) Err *e = jsonpath_parse(wrong[i], &p);
        CHECK(e && e->kind == ERR_INVALID && !p);
        if (!e)
            printf("# %s\n", wrong[i]);
    }
    /* Depth has a bound, whatever is asked. */
    SCOPED(str_done) Str deep = {0};
    SCOPED(jsonpath_free) JsonPath *p = NULL;
    for (int i = 0; i < 1000; i++)
        str_add(&deep, "{range .a}");
    SCOPED(err_free) Err *e = jsonpath_parse(deep.p, &p);
    CHECK(e != NULL);
    SCOPED(json_unref) json_t *j = parse(document);
    SCOPED(jsonpath_free) JsonPath *far = NULL;
    SCOPED(str_done) Str out = {0};
    CHECK_OK(jsonpath_parse("{.items[5]}", &far));
    SCOPED(err_free) Err *bound = jsonpath_print(far, j, &out);
    SCOPED(mem_free) char *text = bound ? err_text(bound) : NULL;
    CHECK_STR(text, "jsonpath: array index out of bounds: index 5, length 2");
}

static void test_output(void)
{
    static const struct { const char *format, *want; } rows[] = {
        {"name", "pod/p\n"},
        {"json", "{\n    \"apiVersion\": \"v1\",\n    \"kind\": \"Pod\",\n    \"metadata\": {\n        \"name\": \"p\"\n    }\n}\n"},
        {"yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n"},
        {"jsonpath={.metadata.name}", "p"},
        {"custom-columns=NAME:.metadata.name,X:.nope,K:kind", "NAME   X        K\np      <none>   Pod\n"},
    };
    SCOPED(json_unref) json_t *pod = parse("{\"metadata\":{\"name\":\"p\",\"managedFields\":[{}]},\"kind\":\"Pod\",\"apiVersion\":\"v1\"}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(output_done) Output o = {0};
        SCOPED(str_done) Str out = {0};
        CHECK_OK(output_parse(rows[i].format, &o));
        CHECK_OK(output_print(&o, pod, &out));
        CHECK_STR(out.p, rows[i].want);
    }
    static const char *const wrong[] = {"xml", "jsonpath={", "custom-columns=", "custom-columns=A", "custom-columns=A:", "custom-columns=A:{"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        SCOPED(output_done) Output o = {0};
        SCOPED(err_free) Err *e = output_parse(wrong[i], &o);
        CHECK(e != NULL);
    }
}

static void test_sort(void)
{
    SCOPED(json_unref) json_t *items = parse("[{\"k\":\"b\"},{\"k\":\"a\",\"i\":1},{},{\"k\":\"a\",\"i\":2}]");
    SCOPED(json_unref) json_t *want = parse("[{},{\"k\":\"a\",\"i\":1},{\"k\":\"a\",\"i\":2},{\"k\":\"b\"}]");
    SCOPED(json_unref) json_t *sizes = parse("[{\"k\":\"1Gi\"},{\"k\":\"500M\"},{\"k\":\"2\"}]");
    SCOPED(jsonpath_free) JsonPath *p = NULL, *nope = NULL;
    CHECK_OK(jsonpath_parse_relaxed(".k", &p));
    CHECK_OK(jsonpath_parse_relaxed("nope", &nope));
    CHECK_OK(items_sort(items, p));
    CHECK(json_equal(items, want));
    CHECK_OK(items_sort(sizes, p));
    CHECK_STR(json_str(json_array_get(sizes, 0), "k"), "2");
    CHECK_STR(json_str(json_array_get(sizes, 2), "k"), "1Gi");
    SCOPED(err_free) Err *e = items_sort(items, nope);
    CHECK(e != NULL);
    jsonpath_free(MOVE(nope, NULL));
}

/* --- words ----------------------------------------------------------------------------------------------------------- */

/* "pods/x(one) ..." or the error. */
static char *targets_text(const char *line, bool selected)
{
    SCOPED(mem_free) char *copy = mem_dup_str(line);
    const char *words[16];
    size_t n = 0;
    char *save = NULL;
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    SCOPED(targets_done) Targets t = {0};
    SCOPED(err_free) Err *e = targets_parse(words, n, selected, &t);
    if (e)
        return err_text(e);
    Str s = {0};
    for (size_t i = 0; i < t.n; i++) {
        SCOPED(mem_free) char *path = kind_path(t.v[i].kind, "ns", t.v[i].name, NULL);
        str_fmt(&s, "%s%s", i ? " " : "", path);
    }
    str_add(&s, t.single ? " single" : "");
    return str_take(&s);
}

static void test_targets(void)
{
    static const struct { const char *line; bool selected; const char *want; } rows[] = {
        {"pods", false, "/api/v1/namespaces/ns/pods"},
        {"po,Pod,CM", false, "/api/v1/namespaces/ns/pods /api/v1/namespaces/ns/configmaps"},
        {"pod x", false, "/api/v1/namespaces/ns/pods/x single"},
        {"pod x y", false, "/api/v1/namespaces/ns/pods/x /api/v1/namespaces/ns/pods/y"},
        {"pods/x cm/y", false, "/api/v1/namespaces/ns/pods/x /api/v1/namespaces/ns/configmaps/y"},
        {"no/n", false, "/api/v1/nodes/n single"},
        {"po,cm x", false, "/api/v1/namespaces/ns/pods/x /api/v1/namespaces/ns/configmaps/x"},
        {"events.events.k8s.io", false, "/apis/events.k8s.io/v1/namespaces/ns/events"},
        {"ev", false, "/api/v1/namespaces/ns/events"},
        {"pods.v1", false, "/api/v1/namespaces/ns/pods"},
        {"all", false, "/api/v1/namespaces/ns/pods"},
        {"pod a:b", false, "/api/v1/namespaces/ns/pods/a%3Ab single"},
        {"pod a%2F..", false, "invalid resource name \"a%2F..\": [may not contain '%']"},
        {"pod/..", false, "invalid resource name \"..\": [may not be '..']"},
        {"deploy", false, "the server doesn't have a resource type \"deploy\""},
        {"pods/x/y", false, "arguments in resource/name form may not have more than one slash"},
        {"pods/", false, "arguments in resource/name form must have a single resource and name"},
        {"pod x", true, "name cannot be provided when a selector is specified"},
        {"pod/x", true, "selectors and the all flag cannot be used when passing resource/name arguments"},
        {"", false, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = targets_text(rows[i].line, rows[i].selected);
        CHECK_STR(got, rows[i].want);
    }
}

static void test_documents(void)
{
    SCOPED(json_unref) json_t *list = parse("{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}},"
                                            "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"b\"}}]}");
    SCOPED(targets_done) Targets t = {0};
    CHECK_OK(targets_add_document(&t, list, "f", "ns", true));
    CHECK_INT(t.n, 2);
    CHECK_STR(t.v[0].namespace_, "ns");
    CHECK_STR(at_str(t.v[0].object, "metadata.namespace"), "ns");
    CHECK_STR(t.v[1].namespace_, NULL);
    static const char *const wrong[] = {"1", "{}", "{\"kind\":\"Pod\"}", "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}", "{\"kind\":\"Pod\",\"apiVersion\":\"v2\",\"metadata\":{\"name\":\"a\"}}",
                                        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        SCOPED(json_unref) json_t *doc = parse(wrong[i]);
        SCOPED(err_free) Err *e = targets_add_document(&t, doc, "f", "ns", true);
        CHECK(e != NULL);
    }
    CHECK_INT(t.n, 2);
}

static void test_query(void)
{
    SCOPED(str_done) Str s = {0};
    str_add(&s, "/p");
    api_query(&s, "a", "x=y,z in (q)");
    api_query(&s, "b", "\xc3\xa4");
    CHECK_STR(s.p, "/p?a=x%3Dy%2Cz%20in%20%28q%29&b=%C3%A4");
}

/* --- wait, logs ------------------------------------------------------------------------------------------------------- */

static void test_conditions(void)
{
    static const char object[] = "{\"metadata\":{\"generation\":2},\"status\":{\"phase\":\"Running\",\"list\":[1,2],\"conditions\":["
                                 "{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":\"Old\",\"status\":\"True\",\"observedGeneration\":1}]}}";
    static const struct { const char *what; int there, gone; } rows[] = { /* 1 met, 0 not, -1 an error */
        {"create", 1, 0}, {"Delete", 0, 1}, {"condition=Ready", 1, 0}, {"condition=ready=TRUE", 1, 0}, {"condition=Ready=false", 0, 0},
        {"condition=Old", 0, 0}, {"condition=Nope", 0, 0}, {"jsonpath={.status.phase}=Running", 1, 0}, {"jsonpath=.status.phase", 1, 0},
        {"jsonpath='{.status.phase}'=x", -2, -2}, {"jsonpath={.status.phase}='Running'", 1, 0}, {"jsonpath={.status.nope}", 0, 0},
        {"jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", 1, 0}, {"jsonpath={.status.list[*]}", -1, 0},
        {"jsonpath={.status.list}=x", -1, 0}, {"sunshine", -2, -2}, {"condition=", -2, -2}, {"jsonpath=", -2, -2}, {"jsonpath={.a}=", -2, -2},
        {"jsonpath={.a}=b=c", -2, -2},
    };
    SCOPED(json_unref) json_t *j = parse(object);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        WaitFor f = {0};
        SCOPED(err_free) Err *e = wait_parse(rows[i].what, &f);
        int got[2] = {-2, -2};
        for (int gone = 0; !e && gone < 2; gone++) {
            bool met = false;
            SCOPED(err_free) Err *failed = wait_met(&f, gone ? NULL : j, &met);
            got[gone] = failed ? -1 : met;
        }
        if (got[0] != rows[i].there || got[1] != rows[i].gone)
            printf("# %s\n", rows[i].what);
        CHECK_INT(got[0], rows[i].there);
        CHECK_INT(got[1], rows[i].gone);
        wait_done(&f);
    }
}

static void test_log_containers(void)
{
    static const char pod[] = "{\"metadata\":{\"name\":\"p\"%s},\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"initContainers\":[{\"name\":\"i\"}],"
                              "\"ephemeralContainers\":[{\"name\":\"e\"}]}}";
    static const struct { const char *annotation, *container; bool all; const char *want, *note; } rows[] = {
        {NULL, NULL, false, "a", "Defaulted container \"a\" out of: a, b, e (ephem), i (init)\n"},
        {"b", NULL, false, "b", ""},
        {"zz", NULL, false, "a", "Default container name \"zz\" not found in pod p\nDefaulted container \"a\" out of: a, b, e (ephem), i (init)\n"},
        {"b", "i", false, "i", ""},
        {NULL, NULL, true, "i a b e", ""},
        {NULL, "x", false, "container x is not valid for pod p out of: a, b, e (ephem), i (init)", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *annotation = rows[i].annotation ? mem_fmt(",\"annotations\":{\"kubectl.kubernetes.io/default-container\":\"%s\"}", rows[i].annotation) : mem_dup_str("");
        SCOPED(str_done) Str text = {0}, note = {0}, got = {0};
        SCOPED(strvec_done) StrVec names = {0};
        const char *hole = strstr(pod, "%s");
        str_add_n(&text, pod, (size_t)(hole - pod));
        str_fmt(&text, "%s%s", annotation, hole + 2);
        SCOPED(json_unref) json_t *j = parse(text.p);
        SCOPED(err_free) Err *e = logs_containers(j, rows[i].container, rows[i].all, &note, &names);
        for (size_t k = 0; k < names.n; k++)
            str_fmt(&got, "%s%s", k ? " " : "", names.v[k]);
        SCOPED(mem_free) char *failed = e ? err_text(e) : NULL;
        CHECK_STR(failed ? failed : got.p, rows[i].want);
        CHECK_STR(str_or(note.p, ""), rows[i].note);
    }
}

static void test_log_lines(void)
{
    LogLines plain = {0}, prefixed = {.prefix = "[x] "};
    SCOPED(str_done) Str a = {0}, b = {0};
    static const char *const parts[] = {"on", "e\ntw", "o\n", "\nrest"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        log_lines_add(&plain, parts[i], strlen(parts[i]), &a);
        log_lines_add(&prefixed, parts[i], strlen(parts[i]), &b);
    }
    CHECK_STR(b.p, "[x] one\n[x] two\n[x] \n");
    log_lines_end(&plain, &a);
    log_lines_end(&prefixed, &b);
    CHECK_STR(a.p, "one\ntwo\n\nrest");
    CHECK_STR(b.p, "[x] one\n[x] two\n[x] \n[x] rest");
    str_done(&prefixed.rest);
}

/* --- pairs ----------------------------------------------------------------------------------------------------------- */

static void test_pairs(void)
{
    static const char *const words[] = {"pod", "a-b", "x=1", "y=", "z-", "x=2"};
    SCOPED(json_unref) json_t *got = NULL;
    SCOPED(json_unref) json_t *want = parse("{\"x\":\"2\",\"y\":\"\",\"z\":null}");
    SCOPED(json_unref) json_t *now = parse("{\"x\":\"0\",\"y\":\"\",\"z\":\"old\"}");
    CHECK_INT(pairs_begin(words, ARRAY_LEN(words)), 2);
    CHECK_INT(pairs_begin(words, 2), 2);
    CHECK_OK(pairs_parse(words + 2, 4, "label", &got));
    CHECK(json_equal(got, want));
    SCOPED(mem_free) char *clash = pairs_overwritten(got, now);
    CHECK_STR(clash, "'x' already has a value (0)");
    SCOPED(mem_free) char *none = pairs_overwritten(got, NULL);
    CHECK_STR(none, NULL);
    CHECK_STR(labels_changed(now, now), "not labeled");
    CHECK_STR(labels_changed(NULL, now), "labeled");
    CHECK_STR(labels_changed(now, NULL), "unlabeled");
    CHECK_STR(labels_changed(NULL, NULL), "not labeled");
    static const char *const wrong[][2] = {{"a=b", "word"}, {"=x", NULL}, {"-", NULL}, {"a=b", "a-"}, {"a-", "a=b"}, {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        SCOPED(json_unref) json_t *pairs = NULL;
        SCOPED(err_free) Err *e = pairs_parse(wrong[i], wrong[i][1] ? 2 : 1, "label", &pairs);
        CHECK(e && !pairs);
    }
}

/* --- describe --------------------------------------------------------------------------------------------------------- */

static void check_describe(const char *name)
{
    SCOPED(mem_free) char *in = mem_fmt("%s/describe/%s.json", GOLDEN_DIR, name);
    SCOPED(mem_free) char *out = mem_fmt("%s/describe/%s.txt", GOLDEN_DIR, name);
    SCOPED(json_unref) json_t *j = json_load_file(in, 0, NULL);
    DescribeWith with = {.events = at(j, "events"), .pods = at(j, "pods")};
    CHECK(j && clock_parse(at_str(j, "now"), &with.now_ns));
    SCOPED(mem_free) char *got = describe(kube_kind_find("", at_str(j, "resource")), at(j, "object"), &with);
    FILE *f = fopen(out, getenv("REPRISE_GOLDEN_UPDATE") ? "w+" : "r");
    CHECK(f != NULL);
    if (!f)
        return;
    if (getenv("REPRISE_GOLDEN_UPDATE"))
        fputs(got, f);
    rewind(f);
    SCOPED(mem_free) char *want = mem_alloc(1 << 16);
    want[fread(want, 1, (1 << 16) - 1, f)] = '\0';
    fclose(f);
    CHECK_STR(got, want);
}

static void test_describe(void)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/describe", GOLDEN_DIR);
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (str_ends(e->d_name, ".json")) {
            SCOPED(mem_free) char *name = mem_dup_strn(e->d_name, strlen(e->d_name) - 5);
            check_describe(name);
        }
    closedir(d);
    /* What is not an object at all is no reason to crash. */
    static const char *const odd[] = {"{}", "[]", "{\"metadata\":[],\"spec\":{\"containers\":[1,null],\"volumes\":{\"a\":1}},\"status\":{\"conditions\":[1]},\"data\":[1]}"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        for (size_t k = 0; k < KUBE_KIND_N; k++) {
            SCOPED(json_unref) json_t *j = parse(odd[i]);
            SCOPED(json_unref) json_t *list = json_pack("[O]", j);
            DescribeWith with = {.events = list, .pods = list};
            SCOPED(mem_free) char *text = describe(&kube_kinds[k], j, &with);
            CHECK(text != NULL);
        }
}

TESTS(T(test_tabs), T(test_table), T(test_status), T(test_jsonpath), T(test_jsonpath_refuses), T(test_output), T(test_sort), T(test_targets), T(test_documents),
      T(test_query), T(test_conditions), T(test_log_containers), T(test_log_lines), T(test_pairs), T(test_describe))
