/* What kubectl 1.20, 1.27 and 1.32 make of YAML (ecosystem.md 2.4), and what is refused. */
#include "check.h"
#include "wire/yaml.h"

static char *read_text(const char *text, Err **e)
{
    SCOPED(json_unref) json_t *docs = NULL;
    *e = yaml_parse_all(text, strlen(text), &docs);
    return *e ? NULL : json_text(docs, false);
}

static void test_scalars(void)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"y", "true"},        {"n", "false"},         {"yes", "true"},        {"No", "false"},       {"ON", "true"},
        {"off", "false"},     {"True", "true"},       {"FALSE", "false"},     {"tRue", "\"tRue\""},  {"yEs", "\"yEs\""},
        {"0644", "420"},      {"0o644", "420"},       {"0899", "899"},        {"0x1F", "31"},        {"0b101", "5"},
        {"1_000", "1000"},    {"+12", "12"},          {"-12", "-12"},         {"1e3", "1000"},       {".5", "0.5"},
        {"1.30", "1.3"},      {"1:20", "\"1:20\""},   {"2001-01-01", "\"2001-01-01\""},
        {"2001-01-01T00:00:00Z", "\"2001-01-01T00:00:00Z\""},                 {"=", "\"=\""},        {"~", "null"},
        {"null", "null"},     {"Null", "null"},       {"''", "\"\""},         {"'1'", "\"1\""},      {"\"true\"", "\"true\""},
        {"!!str 123", "\"123\""},                     {"!!binary aGVsbG8=", "\"hello\""},            {"!!int 7", "7"},
        {"9223372036854775807", "9223372036854775807"}, {"1.2.3", "\"1.2.3\""}, {"0x", "\"0x\""},
        {"1e", "\"1e\""},     {".", "\".\""},         {"12e03", "12000"},     {"0.0", "0"},          {"abc", "\"abc\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *text = mem_fmt("k: %s\n", rows[i].yaml);
        SCOPED(mem_free) char *want = mem_fmt("[{\"k\":%s}]", rows[i].json);
        Err *e;
        SCOPED(mem_free) char *got = read_text(text, &e);
        CHECK_OK(e);
        CHECK_STR(got, want);
    }
}

static void test_documents(void)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"", "[]"},
        {"# nothing\n---\n---\n", "[]"},
        {"a: 1\n---\nb: 2\n...\n", "[{\"a\":1},{\"b\":2}]"},
        {"{\"a\":1}\n{\"b\":[2]}", "[{\"a\":1},{\"b\":[2]}]"},
        {"{\"a\":\t1}", "[{\"a\":1}]"}, /* a tab is fine in JSON */
        {"{a: 1, b: [x]}", "[{\"a\":1,\"b\":[\"x\"]}]"},
        {"1: a\ntrue: b\n1.5: c\n", "[{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\"}]"},
        {"a: &x {p: 1}\nb: *x\n", "[{\"a\":{\"p\":1},\"b\":{\"p\":1}}]"},
        {"a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  p: 3\n", "[{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":3,\"q\":2}}]"},
        {"a: |\n  x\n   y\n", "[{\"a\":\"x\\n y\\n\"}]"},
        {"a: >-\n  x\n  y\n", "[{\"a\":\"x y\"}]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Err *e;
        SCOPED(mem_free) char *got = read_text(rows[i].yaml, &e);
        CHECK_OK(e);
        CHECK_STR(got, rows[i].json);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *yaml, *error;
    } rows[] = {
        {"a: 1\na: 2\n", "YAML: line 2, column 1: key \"a\" already set in map"},
        {"{\"a\":1,\"a\":2}", "YAML: line 1, column 8: key \"a\" already set in map"},
        {"a: .inf", "YAML: line 1, column 4: infinity and not-a-number have no JSON form: quote the value to mean text"},
        {"a: -.INF", "YAML: line 1, column 4: infinity and not-a-number have no JSON form: quote the value to mean text"},
        {"a: .nan", "YAML: line 1, column 4: infinity and not-a-number have no JSON form: quote the value to mean text"},
        {"a: *x", "YAML: line 1, column 4: unknown anchor 'x' referenced"},
        {"a: &x [*x]", "YAML: line 1, column 8: anchor 'x' value contains itself"},
        {"a: \"\\0\"", "YAML: line 1, column 4: a string may not contain a NUL character"},
        {"? [1]\n: 2", "YAML: line 1, column 3: a key must be a string, a number or a boolean"},
        {"<<: 1", "YAML: line 1, column 1: map merge requires map or sequence of maps as the value"},
        {"a: !!int x", "YAML: line 1, column 4: cannot decode the value as tag:yaml.org,2002:int"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Err *e;
        SCOPED(mem_free) char *got = read_text(rows[i].yaml, &e);
        CHECK_STR(got, NULL);
        SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
        CHECK_STR(text, rows[i].error);
        err_free(e);
    }
    Err *e;
    SCOPED(mem_free) char *tab = read_text("a:\n\tb: 1\n", &e);
    CHECK(tab == NULL && e && e->kind == ERR_INVALID);
    err_free(e);
}

static void check_limit(const char *text, size_t n)
{
    SCOPED(json_unref) json_t *docs = NULL;
    Err *e = yaml_parse_all(text, n, &docs);
    CHECK(e && e->kind == ERR_LIMIT);
    err_free(e);
}

static void test_bounds(void)
{
    SCOPED(str_done) Str bomb = {0};
    str_add(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++)
        str_fmt(&bomb, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1,
                i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    check_limit(bomb.p, bomb.n);

    SCOPED(str_done) Str deep = {0};
    for (int i = 0; i < 300; i++)
        str_add_c(&deep, '[');
    check_limit(deep.p, deep.n);

    SCOPED(str_done) Str deep_json = {0};
    for (int i = 0; i < 300; i++)
        str_add(&deep_json, "{\"a\":");
    check_limit(deep_json.p, deep_json.n);

    SCOPED(str_done) Str many = {0};
    str_add(&many, "{\"a\":[");
    for (int i = 0; i < 100001; i++)
        str_add(&many, i ? ",0" : "0");
    str_add(&many, "]}");
    check_limit(many.p, many.n);

    SCOPED(mem_free) char *large = mem_alloc((4u << 20) + 2);
    memset(large, 'a', (4u << 20) + 1);
    check_limit(large, (4u << 20) + 1);
}

static void test_print(void)
{
    static const char json[] =
        "{\"name\":\"x\",\"n\":\"1\",\"t\":\"true\",\"date\":\"2001-01-01\",\"oct\":\"0644\",\"e\":\"\",\"i\":7,\"b\":false,\"z\":null,"
        "\"list\":[\"a\",{\"k\":\"v\",\"l\":[1]},[\"n\"]],\"none\":[],\"empty\":{},\"text\":\"one\\n two\\n\",\"chomp\":\"a\\nb\","
        "\"colon\":\"a: b\",\"hash\":\"a #b\",\"url\":\"http://x:80/y\",\"star\":\"*x\",\"quote\":\"it's\",\"q2\":\"'x\","
        "\"tab\":\"a\\tb\",\"dash\":\"- a\",\"sub\":{\"deep\":{\"k\":1}}}";
    static const char want[] = "name: x\n"
                               "\"n\": \"1\"\n"
                               "t: \"true\"\n"
                               "date: \"2001-01-01\"\n"
                               "oct: \"0644\"\n"
                               "e: \"\"\n"
                               "i: 7\n"
                               "b: false\n"
                               "z: null\n"
                               "list:\n"
                               "- a\n"
                               "- k: v\n"
                               "  l:\n"
                               "  - 1\n"
                               "- - \"n\"\n"
                               "none: []\n"
                               "empty: {}\n"
                               "text: |\n"
                               "  one\n"
                               "   two\n"
                               "chomp: |-\n"
                               "  a\n"
                               "  b\n"
                               "colon: 'a: b'\n"
                               "hash: 'a #b'\n"
                               "url: http://x:80/y\n"
                               "star: '*x'\n"
                               "quote: it's\n"
                               "q2: '''x'\n"
                               "tab: \"a\\tb\"\n"
                               "dash: '- a'\n"
                               "sub:\n"
                               "  deep:\n"
                               "    k: 1\n";
    SCOPED(json_unref) json_t *j = NULL;
    CHECK_OK(json_parse(json, strlen(json), &j));
    SCOPED(mem_free) char *got = yaml_text(j);
    CHECK_STR(got, want);
    SCOPED(json_unref) json_t *again = NULL;
    CHECK_OK(yaml_parse_all(got, strlen(got), &again));
    CHECK(json_equal(json_array_get(again, 0), j));
}

static void test_json(void)
{
    static const char *const bad[] = {"", "{", "{\"a\":1,\"a\":2}", "{} x", "\"\xff\"", "{'a':1}", "[NaN]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *j = NULL;
        Err *e = json_parse(bad[i], strlen(bad[i]), &j);
        CHECK(e && e->kind == ERR_INVALID && !j);
        err_free(e);
    }
    SCOPED(json_unref) json_t *j = NULL;
    static const char text[] = "{\"s\":\"t\",\"i\":9007199254740993,\"f\":true}";
    CHECK_OK(json_parse(text, strlen(text), &j));
    CHECK_STR(json_str(j, "s"), "t");
    CHECK(json_str(j, "i") == NULL);
    CHECK_INT(json_i64(j, "i", 0), INT64_C(9007199254740993));
    CHECK_INT(json_i64(j, "s", 5), 5);
    CHECK(json_flag(j, "f", false));
    CHECK(json_flag(j, "none", true));
}

TESTS(T(test_scalars), T(test_documents), T(test_refused), T(test_bounds), T(test_print), T(test_json))
