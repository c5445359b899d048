/* Environment of a container: node/env*.c against what makeEnvironmentVariables of the kubelet does. */
#include "check.h"
#include "unit/volumes_fixture.h"

#include <unistd.h>

#include "node/volumes_priv.h"

static void test_expand(void)
{
    static const struct { const char *in, *want; } rows[] = {
        /* The kubelet's own cases: third_party/forked/golang/expansion. */
        {"$(VAR_A)", "A"},
        {"___$(VAR_B)___", "___B___"},
        {"___$(VAR_C)", "___C"},
        {"$(VAR_A)-$(VAR_A)", "A-A"},
        {"$(VAR_A)-1", "A-1"},
        {"f000-$VAR_A", "f000-$VAR_A"},
        {"foo\\$(VAR_C)bar", "foo\\Cbar"},
        {"foo\\\\$(VAR_C)bar", "foo\\\\Cbar"},
        {"foo$$$(VAR_C)", "foo$C"},
        {"$(VAR_MISSING)", "$(VAR_MISSING)"},
        {"$$", "$"},
        {"$$$$", "$$"},
        {"$", "$"},
        {"a$", "a$"},
        {"$(", "$("},
        {"$(VAR_A", "$(VAR_A"},
        {"$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"},
        {"$$(VAR_B)", "$(VAR_B)"},
        {"$$$(VAR_B)", "$B"},
        {"$($(VAR_A))", "$($(VAR_A))"},
        {"$()", "$()"},
        {"$(VAR_EMPTY)&", "&"},
        {"$(VAR_REF)", "$(VAR_A)"}, /* a value is not expanded again */
        {"", ""},
        {"\n$(VAR_A)\n", "\nA\n"},
        {"$(VAR_A )", "$(VAR_A )"},
    };
    SCOPED(strvec_done) StrVec env = {0};
    const char *const vars[] = {"VAR_A=old", "VAR_A=A", "VAR_B=B", "VAR_C=C", "VAR_REF=$(VAR_A)", "VAR_EMPTY="};
    for (size_t i = 0; i < ARRAY_LEN(vars); i++)
        strvec_add(&env, vars[i]);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = env_expand(rows[i].in, &env);
        CHECK_STR(got, rows[i].want);
    }
}

static void test_expand_is_bounded(void)
{
    SCOPED(strvec_done) StrVec env = {0};
    SCOPED(mem_free) char *big = mem_alloc((1 << 19) + 1);
    memset(big, 'x', 1 << 19);
    strvec_fmt(&env, "A=%s", big);
    SCOPED(mem_free) char *got = env_expand("$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)", &env);
    CHECK(strlen(got) <= ENV_VALUE_MAX);
    CHECK(strlen(got) >= (1 << 19));
}

static void test_expand_list(void)
{
    SCOPED(strvec_done) StrVec env = {0}, out = {0};
    strvec_add(&env, "A=1");
    char *words[] = {mem_dup_str("$(A)"), mem_dup_str("-$(B)"), mem_dup_str("$$(A)")};
    StrList in = {3, words};
    env_expand_list(&in, &env, &out);
    SCOPED(mem_free) char *got = joined(&out);
    CHECK_STR(got, "1|-$(B)|$(A)");
    for (size_t i = 0; i < 3; i++)
        free(words[i]);
}

#define POD(containers)                                                                                                \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u-1\",\"labels\":{\"app\":\"a\\\"b\",\"tier\":\"x\"},"  \
    "\"annotations\":{\"k8s.io/n\":\"v\\nw\"}},\"spec\":{\"nodeName\":\"node7\",\"serviceAccountName\":\"robot\","       \
    "\"containers\":[" containers "]}}"

/* The first container's environment as "A=1|B=2", or "error: ...". */
static char *resolve(Fixture *f)
{
    SCOPED(strvec_done) StrVec out = {0};
    char *ips[] = {mem_dup_str("10.0.0.2"), mem_dup_str("fd00::2")};
    StrList pod_ips = {2, ips};
    Err *e = env_resolve(&f->ctx, &f->pod->spec.containers.v[0], "10.0.0.2", &pod_ips, &out);
    free(ips[0]);
    free(ips[1]);
    if (!e)
        return joined(&out);
    CHECK_STR(e->reason, "CreateContainerConfigError");
    SCOPED(mem_free) char *text = error_text(e);
    return mem_fmt("error: %s", text);
}

static void test_resolve(void)
{
    static const struct { const char *container, *want; } rows[] = {
        /* order of declaration; a reference sees what came before, not what comes after */
        {"{\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"$(A)$(C)\"},{\"name\":\"C\",\"value\":\"3\"}]}",
         "A=1|B=1$(C)|C=3"},
        {"{\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"x\"},{\"name\":\"A\",\"value\":\"$(A)2\"}]}",
         "A=12|B=x"},
        {"{\"env\":[{\"name\":\"A\"},{\"name\":\"B\",\"value\":\"[$(A)]\"}]}", "A=|B=[]"},
        /* envFrom: prefix, several, later wins; env wins over it and may refer to it */
        {"{\"envFrom\":[{\"configMapRef\":{\"name\":\"cm\"}},{\"prefix\":\"S_\",\"secretRef\":{\"name\":\"sec\"}}],"
         "\"env\":[{\"name\":\"one\",\"value\":\"$(one)!\"}]}",
         "a.b=dotted|one=1!|two=2|S_pass=geheim"},
        {"{\"envFrom\":[{\"configMapRef\":{\"name\":\"cm\"}},{\"configMapRef\":{\"name\":\"cm2\"}}]}",
         "a.b=dotted|one=uno|two=2"},
        {"{\"envFrom\":[{\"configMapRef\":{\"name\":\"no\"}}]}", "error: configmap \"no\" not found"},
        {"{\"envFrom\":[{\"configMapRef\":{\"name\":\"no\",\"optional\":true}},{\"secretRef\":{\"name\":\"no\",\"optional\":true}}]}",
         ""},
        {"{\"envFrom\":[{\"secretRef\":{\"name\":\"no\"}}]}", "error: secret \"no\" not found"},
        /* keys */
        {"{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"two\"}}},"
         "{\"name\":\"B\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"sec\",\"key\":\"pass\"}}}]}",
         "A=2|B=geheim"},
        {"{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"zz\"}}}]}",
         "error: couldn't find key zz in ConfigMap ns/cm"},
        {"{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"sec\",\"key\":\"zz\"}}}]}",
         "error: couldn't find key zz in Secret ns/sec"},
        {"{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"no\",\"key\":\"k\"}}}]}",
         "error: configmap \"no\" not found"},
        {"{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"no\",\"key\":\"k\"}}}]}",
         "error: secret \"no\" not found"},
        /* optional and missing: not set at all; an earlier value stays */
        {"{\"env\":[{\"name\":\"A\",\"value\":\"1\"},"
         "{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"zz\",\"optional\":true}}},"
         "{\"name\":\"B\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"no\",\"key\":\"k\",\"optional\":true}}}]}",
         "A=1"},
        {"{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"sec\",\"key\":\"bin\"}}}]}",
         "error: key bin of secret \"sec\" is not text (a NUL or no UTF-8): mount the secret as a volume"},
        {"{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.zz\"}}}]}",
         "error: unsupported fieldPath: spec.zz"},
        /* a value from a source is taken as it is: no expansion */
        {"{\"env\":[{\"name\":\"A\",\"value\":\"1\"},"
         "{\"name\":\"B\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm2\",\"key\":\"ref\"}}}]}",
         "A=1|B=$(A)"},
        {"{\"env\":[{\"name\":\"A=B\",\"value\":\"1\"}]}", "error: \"A=B\" is no name for an environment variable"},
        /* expansion of what envFrom brought, by name */
        {"{\"envFrom\":[{\"configMapRef\":{\"name\":\"cm\"}}],\"env\":[{\"name\":\"X\",\"value\":\"$(a.b)\"}]}",
         "a.b=dotted|one=1|two=2|X=dotted"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *json = mem_fmt("{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u\"},\"spec\":"
                                              "{\"containers\":[%s]}}", rows[i].container);
        Fixture f;
        fixture_init(&f, "/nowhere", json);
        fixture_config_map(&f, "{\"metadata\":{\"name\":\"cm\",\"namespace\":\"ns\"},\"data\":{\"one\":\"1\",\"two\":\"2\","
                               "\"a.b\":\"dotted\"},\"binaryData\":{\"bin\":\"AAE=\"}}");
        fixture_config_map(&f, "{\"metadata\":{\"name\":\"cm2\",\"namespace\":\"ns\"},\"data\":{\"one\":\"uno\"}}");
        if (strstr(rows[i].container, "\"ref\"")) {
            fixture_config_map(&f, "{\"metadata\":{\"name\":\"cm2\",\"namespace\":\"ns\"},\"data\":{\"ref\":\"$(A)\"}}");
        }
        fixture_config_map(&f, "{\"metadata\":{\"name\":\"no\",\"namespace\":\"other\"},\"data\":{\"k\":\"v\"}}");
        fixture_secret(&f, "{\"metadata\":{\"name\":\"sec\",\"namespace\":\"ns\"},\"data\":{\"pass\":\"Z2VoZWlt\"}}");
        if (strstr(rows[i].container, "\"bin\""))
            fixture_secret(&f, "{\"metadata\":{\"name\":\"sec\",\"namespace\":\"ns\"},\"data\":{\"bin\":\"AP8=\"}}");
        SCOPED(mem_free) char *got = resolve(&f);
        CHECK_STR(got, rows[i].want);
        fixture_done(&f);
    }
}

static void test_invalid_names_are_told(void)
{
    Fixture f;
    fixture_init(&f, "/nowhere", POD("{\"envFrom\":[{\"configMapRef\":{\"name\":\"cm\"}}]}"));
    fixture_config_map(&f, "{\"metadata\":{\"name\":\"cm\",\"namespace\":\"ns\"},\"data\":{\"a=b\":\"1\",\"\\u00e9\":\"2\",\"ok\":\"3\"}}");
    SCOPED(mem_free) char *got = resolve(&f);
    CHECK_STR(got, "ok=3");
    SCOPED(mem_free) char *warned = joined(&f.warnings);
    CHECK_STR(warned, "Keys [a=b, \xc3\xa9] from the EnvFrom configMap ns/cm were skipped since they are considered invalid "
                      "environment variable names.");
    fixture_done(&f);
}

static void test_total_is_bounded(void)
{
    SCOPED(str_done) Str json = {0};
    str_add(&json, "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"env\":[{\"name\":\"A0\",\"value\":\"");
    for (int i = 0; i < 1000; i++)
        str_add(&json, "0123456789");
    str_add(&json, "\"}");
    for (int i = 1; i < 30; i++)
        str_fmt(&json, ",{\"name\":\"A%d\",\"value\":\"$(A%d)$(A%d)\"}", i, i - 1, i - 1);
    str_add(&json, "]}]}}");
    Fixture f;
    fixture_init(&f, "/nowhere", json.p);
    SCOPED(mem_free) char *got = resolve(&f);
    CHECK_STR(got, "error: environment variable A7 is longer than 1048576 bytes");
    fixture_done(&f);
}

static void test_many_names(void)
{
    SCOPED(env_map_done) EnvMap m = {0};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) {
            char name[16];
            int n = snprintf(name, sizeof name, "N%d", i);
            env_map_set(&m, name, (size_t)n, mem_fmt("%d", i + round));
        }
    }
    CHECK_INT(m.all.n, 20000);
    CHECK_STR(env_map_get(&m, "N0", 2), "1");
    CHECK_STR(env_map_get(&m, "N19999", 6), "20000");
    CHECK(env_map_get(&m, "N20000", 6) == NULL);
    CHECK_STR(m.all.v[7].name, "N7");
}

static void test_field_ref(void)
{
    static const struct { const char *path, *want; } rows[] = {
        {"metadata.name", "p"},
        {"metadata.namespace", "ns"},
        {"metadata.uid", "u-1"},
        {"metadata.labels", "app=\"a\\\"b\"\ntier=\"x\""},
        {"metadata.annotations", "k8s.io/n=\"v\\nw\""},
        {"metadata.labels['tier']", "x"},
        {"metadata.labels['none']", ""},
        {"metadata.annotations['k8s.io/n']", "v\nw"},
        {"spec.nodeName", "node7"},
        {"spec.serviceAccountName", "robot"},
        {"status.hostIP", "192.0.2.1"},
        {"status.hostIPs", "192.0.2.1,2001:db8::1"},
        {"status.podIP", "10.0.0.2"},
        {"status.podIPs", "10.0.0.2,fd00::2"},
        {"metadata.name['x']", "error: fieldPath \"metadata.name['x']\" does not support subscript"},
        {"metadata.labels[x]", "error: unsupported fieldPath: metadata.labels[x]"},
        {"metadata.labels['", "error: unsupported fieldPath: metadata.labels['"},
        {"metadata.labels['']", ""},
        {"['x']", "error: unsupported fieldPath: ['x']"},
        {"", "error: unsupported fieldPath: "},
    };
    Fixture f;
    fixture_init(&f, "/nowhere", POD("{\"name\":\"c\"}"));
    char *ips[] = {mem_dup_str("10.0.0.2"), mem_dup_str("fd00::2")};
    StrList pod_ips = {2, ips};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *got = NULL;
        Err *e = field_ref_value(&f.ctx, rows[i].path, "10.0.0.2", &pod_ips, &got);
        if (e) {
            SCOPED(mem_free) char *text = error_text(e);
            got = mem_fmt("error: %s", text);
        }
        CHECK_STR(got, rows[i].want);
    }
    free(ips[0]);
    free(ips[1]);
    fixture_done(&f);
}

static void test_resource_ref(void)
{
    static const struct { const char *container, *resource, *divisor, *want; } rows[] = {
        {"a", "limits.cpu", "", "2"}, /* 1500m, rounded up */
        {"a", "limits.cpu", "1m", "1500"},
        {"a", "limits.cpu", "0", "2"},
        {"a", "requests.cpu", "1m", "250"},
        {"a", "requests.cpu", "1", "1"},
        {"a", "limits.memory", "", "67108864"},
        {"a", "limits.memory", "1Mi", "64"},
        {"a", "limits.memory", "1Gi", "1"},
        {"a", "requests.memory", "1Mi", "32"},
        {"a", "limits.ephemeral-storage", "1Gi", "2"},
        {"a", "limits.hugepages-2Mi", "1Mi", "8"},
        {"b", "requests.cpu", "1m", "0"}, /* a request has no fallback */
        {"b", "limits.hugepages-2Mi", "1", "0"},
        {"zz", "limits.cpu", "1", "error: container zz not found"},
        {"a", "limits.gpu", "1", "error: unsupported container resource : limits.gpu"},
        {"a", "cpu", "1", "error: unsupported container resource : cpu"},
        {"a", "limits.memory", "x", "error: divisor x of limits.memory is not a quantity"},
        {"i", "limits.cpu", "1m", "100"},
    };
    Fixture f;
    fixture_init(&f, "/",
                 "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"initContainers\":[{\"name\":\"i\",\"resources\":{\"limits\":"
                 "{\"cpu\":\"100m\"}}}],\"containers\":[{\"name\":\"a\",\"resources\":{\"limits\":{\"cpu\":\"1500m\","
                 "\"memory\":\"64Mi\",\"ephemeral-storage\":\"1500Mi\",\"hugepages-2Mi\":\"8Mi\"},\"requests\":"
                 "{\"cpu\":\"250m\",\"memory\":\"32Mi\"}}},{\"name\":\"b\"}]}}");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char name[8], resource[40], divisor[8];
        (void)snprintf(name, sizeof name, "%s", rows[i].container);
        (void)snprintf(resource, sizeof resource, "%s", rows[i].resource);
        (void)snprintf(divisor, sizeof divisor, "%s", rows[i].divisor);
        ResourceFieldSelector r = {name, resource, divisor};
        SCOPED(mem_free) char *got = NULL;
        Err *e = resource_ref_value(&f.ctx, &r, NULL, &got);
        if (e) {
            SCOPED(mem_free) char *text = error_text(e);
            got = mem_fmt("error: %s", text);
        }
        CHECK_STR(got, rows[i].want);
    }
    /* No limit: the node's. */
    char name[] = "", cpu[] = "limits.cpu", memory[] = "limits.memory";
    ResourceFieldSelector r = {name, cpu, NULL};
    SCOPED(mem_free) char *got = NULL, *bytes = NULL, *want = mem_fmt("%ld", sysconf(_SC_NPROCESSORS_ONLN));
    CHECK_OK(resource_ref_value(&f.ctx, &r, &f.pod->spec.containers.v[1], &got));
    CHECK_STR(got, want);
    r.resource = memory;
    CHECK_OK(resource_ref_value(&f.ctx, &r, &f.pod->spec.containers.v[1], &bytes));
    SCOPED(mem_free) char *all =
        mem_fmt("%lld", (long long)sysconf(_SC_PHYS_PAGES) * (long long)sysconf(_SC_PAGESIZE));
    CHECK_STR(bytes, all);
    fixture_done(&f);
}

TESTS(T(test_expand), T(test_expand_is_bounded), T(test_expand_list), T(test_resolve), T(test_invalid_names_are_told),
      T(test_total_is_bounded), T(test_many_names), T(test_field_ref), T(test_resource_ref))
