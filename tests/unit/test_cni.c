/* The CNI client's pure parts: configurations, results, NAT leftovers, address ranges. Real plugins: test_cni_net.c. */
#include "check.h"
#include "runtime/oci/cni_priv.h"

static const char list_text[] = "{\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"plugins\":["
                                "{\"type\":\"bridge\",\"mtu\":1400,\"capabilities\":{\"ips\":true}},"
                                "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true,\"bandwidth\":false}}]}";

static void test_conf_refused(void)
{
    static const struct {
        const char *text;
        bool list;
        const char *want;
    } t[] = {
        {"", true, NULL},
        {"[]", true, "must be an object"},
        {"{\"name\":\"a\",\"plugins\":[]}", true, "plugins: must name at least one plugin"},
        {"{\"name\":\"../a\",\"plugins\":[{\"type\":\"b\"}]}", true, NULL},
        {"{\"name\":\"a\",\"plugins\":[{\"type\":\"../../bin/sh\"}]}", true,
         "plugins[0].type: must be the name of a program"},
        {"{\"name\":\"a\",\"plugins\":[{\"type\":\"b\"},7]}", true, "plugins[1].type: must be the name of a program"},
        {"{\"name\":\"a\",\"plugins\":[{\"type\":\"b\",\"capabilities\":[]}]}", true,
         "plugins[0].capabilities: must be an object"},
        {"{\"cniVersion\":\"9.0.0\",\"name\":\"a\",\"plugins\":[{\"type\":\"b\"}]}", true,
         "cniVersion: known are 0.1.0 to 1.1.0"},
        {"{\"cniVersion\":1,\"name\":\"a\",\"plugins\":[{\"type\":\"b\"}]}", true,
         "cniVersion: known are 0.1.0 to 1.1.0"},
        {"{\"name\":\"a\"}", false, "plugins[0].type: must be the name of a program"},
        {"{\"type\":\"a\"}", false, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        json_t *net = NULL;
        Err *e = cni_conf_parse(t[i].text, strlen(t[i].text), t[i].list, &net);
        CHECK(e != NULL && net == NULL);
        SCOPED(mem_free) char *text = err_text(e);
        if (t[i].want)
            CHECK_STR(text, t[i].want);
        err_free(e);
    }
}

static void test_conf_exec(void)
{
    SCOPED(json_unref) json_t *net = NULL, *prev = json_pack("{s:s}", "cniVersion", "0.4.0"), *runtime = NULL;
    CHECK_OK(cni_conf_parse(list_text, strlen(list_text), true, &net));
    char tcp[] = "TCP", udp[] = "UDP", ip[] = "127.0.0.1";
    PortMapping ports[] = {{80, 8080, tcp, NULL}, {81, 0, tcp, NULL}, {53, 5353, udp, ip}};
    CniPod pod = {.ports = ports, .n_ports = 3, .ingress_bandwidth = "10M"};
    CHECK_OK(cni_conf_runtime(&pod, &runtime));
    CHECK(cni_conf_can(net, "portMappings") && !cni_conf_can(net, "bandwidth"));
    CHECK(cni_conf_since(net, "0.4.0") && cni_conf_since(net, "0.3.1") && !cni_conf_since(net, "1.0.0"));

    SCOPED(json_unref)
    json_t *first = cni_conf_exec(net, 0, runtime, NULL), *second = cni_conf_exec(net, 1, runtime, prev);
    SCOPED(mem_free) char *a = json_dumps(first, JSON_COMPACT | JSON_SORT_KEYS);
    SCOPED(mem_free) char *b = json_dumps(second, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK_STR(a, "{\"cniVersion\":\"0.4.0\",\"mtu\":1400,\"name\":\"net\",\"type\":\"bridge\"}");
    CHECK_STR(b,
              "{\"cniVersion\":\"0.4.0\",\"name\":\"net\",\"prevResult\":{\"cniVersion\":\"0.4.0\"},\"runtimeConfig\":"
              "{\"portMappings\":[{\"containerPort\":80,\"hostPort\":8080,\"protocol\":\"tcp\"},"
              "{\"containerPort\":53,\"hostIP\":\"127.0.0.1\",\"hostPort\":5353,\"protocol\":\"udp\"}]},\"type\":"
              "\"portmap\"}");
    /* The checked configuration itself is not changed by that. */
    SCOPED(mem_free) char *whole = json_dumps(net, JSON_COMPACT);
    CHECK_STR(whole, list_text);
}

static void test_bandwidth(void)
{
    static const struct {
        const char *in, *out, *want;
        bool ok;
    } t[] = {
        {NULL, NULL, "{}", true},
        {"10M", NULL, "{\"bandwidth\":{\"ingressBurst\":10000000,\"ingressRate\":10000000}}", true},
        {NULL, "1k", "{\"bandwidth\":{\"egressBurst\":1000000,\"egressRate\":1000}}", true},
        {"1P", "10G",
         "{\"bandwidth\":{\"egressBurst\":4294967295,\"egressRate\":10000000000,\"ingressBurst\":4294967295,"
         "\"ingressRate\":1000000000000000}}",
         true},
        {"999", NULL, "annotation kubernetes.io/ingress-bandwidth: resource is unreasonably small (< 1kbit)", false},
        {NULL, "2P", "annotation kubernetes.io/egress-bandwidth: resource is unreasonably large (> 1Pbit)", false},
        {"fast", NULL, "annotation kubernetes.io/ingress-bandwidth: \"fast\" is not a quantity", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(json_unref) json_t *runtime = NULL;
        CniPod pod = {.ingress_bandwidth = t[i].in, .egress_bandwidth = t[i].out};
        SCOPED(err_free) Err *e = cni_conf_runtime(&pod, &runtime);
        CHECK(t[i].ok == !e);
        SCOPED(mem_free) char *text = e ? err_text(e) : json_dumps(runtime, JSON_COMPACT | JSON_SORT_KEYS);
        CHECK_STR(text, t[i].want);
    }
}

static void test_port_clash(void)
{
    static const struct {
        const char *a, *b;
        int64_t want; /* 0 = none */
    } t[] = {
        {"[]", "[]", 0},
        {"[{\"hostPort\":1,\"protocol\":\"tcp\"}]", "[{\"hostPort\":1,\"protocol\":\"tcp\"}]", 1},
        {"[{\"hostPort\":1,\"protocol\":\"tcp\"}]", "[{\"hostPort\":1,\"protocol\":\"udp\"}]", 0},
        {"[{\"hostPort\":1,\"protocol\":\"tcp\"}]", "[{\"hostPort\":2,\"protocol\":\"tcp\"}]", 0},
        {"[{\"hostPort\":1,\"protocol\":\"tcp\",\"hostIP\":\"127.0.0.1\"}]",
         "[{\"hostPort\":1,\"protocol\":\"tcp\",\"hostIP\":\"10.0.0.1\"}]", 0},
        {"[{\"hostPort\":9,\"protocol\":\"tcp\"},{\"hostPort\":1,\"protocol\":\"tcp\",\"hostIP\":\"127.0.0.1\"}]",
         "[{\"hostPort\":1,\"protocol\":\"tcp\",\"hostIP\":\"0.0.0.0\"}]", 1},
        {"{}", "7", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(json_unref) json_t *a = json_object(), *b = json_object();
        json_object_set_new(a, "portMappings", json_loads(t[i].a, JSON_DECODE_ANY, NULL));
        json_object_set_new(b, "portMappings", json_loads(t[i].b, JSON_DECODE_ANY, NULL));
        int64_t port = 0;
        CHECK(cni_conf_ports_clash(a, b, &port) == (t[i].want != 0));
        CHECK_INT(port, t[i].want);
    }
}

static void test_results(void)
{
    static const struct {
        const char *name, *text, *want;
    } t[] = {
        {"1.0.0",
         "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"br\"},{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
         "\"ips\":[{\"interface\":1,\"address\":\"10.1.2.3/24\"},{\"interface\":1,\"address\":\"fd00::2/64\"}]}",
         "10.1.2.3 fd00::2"},
        {"the host's own address is not the Pod's",
         "{\"interfaces\":[{\"name\":\"br\"},{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
         "\"ips\":[{\"interface\":0,\"address\":\"10.1.2.1/24\"},{\"interface\":1,\"address\":\"10.1.2.3/24\"}]}",
         "10.1.2.3"},
        {"no interface", "{\"ips\":[{\"address\":\"10.1.2.3/24\"}]}", "10.1.2.3"},
        {"0.2.0", "{\"ip4\":{\"ip\":\"10.1.2.3/24\"},\"ip6\":{\"ip\":\"fd00::3/64\"}}", "10.1.2.3 fd00::3"},
        {"none", "{}", ""},
        {"bad index", "{\"interfaces\":[],\"ips\":[{\"interface\":3,\"address\":\"1.2.3.4/5\"}]}",
         "E result: ips: interface is not an index of interfaces"},
        {"bad address", "{\"ips\":[{\"address\":\"10.1.2.999/24\"}]}",
         "E result: ips: \"10.1.2.999\" is not an address"},
        {"control characters", "{\"ips\":[{\"address\":\"a\\u001b[2J/24\"}]}",
         "E result: ips: \"a?[2J\" is not an address"},
        {"not a list", "{\"ips\":{}}", "E result: ips: must be a list"},
        {"not objects", "{\"ips\":[1]}", "E result: ips[0]: must be an object"},
        {"error", "{\"cniVersion\":\"1.0.0\",\"code\":7,\"msg\":\"bad subnet\",\"details\":\"10.0.0/8\\nline two\"}",
         "E bad subnet: 10.0.0/8 line two (code 7)"},
        {"try again", "{\"code\":11,\"msg\":\"busy\"}", "E busy (code 11, try again later)"},
        {"array", "[]", "E result: must be an object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(strvec_done) StrVec ips = {0};
        SCOPED(err_free) Err *e = cni_parse_result(t[i].text, strlen(t[i].text), &ips);
        SCOPED(mem_free) char *text = e ? err_text(e) : NULL;
        SCOPED(str_done) Str got = {0};
        if (e)
            str_fmt(&got, "E %s", text);
        for (size_t k = 0; k < ips.n; k++)
            str_fmt(&got, "%s%s", k ? " " : "", ips.v[k]);
        CHECK_STR(str_or(got.p, ""), t[i].want);
    }
    SCOPED(strvec_done) StrVec ips = {0};
    SCOPED(err_free) Err *e = cni_parse_result("Segmentation fault", 18, &ips);
    CHECK(e != NULL && e->kind == ERR_INVALID);
}

static void test_failures(void)
{
    static const struct {
        const char *out, *err, *want;
    } t[] = {
        {"{\"code\":100,\"msg\":\"no bridge\"}", "ignored", "no bridge (code 100)"},
        {"{\"code\":100}", "", "no message (code 100)"},
        {"", "panic: runtime error\n\tmain.go:1\n", "exited with 2: panic: runtime error  main.go:1"},
        {"garbage\x01\xff", "", "exited with 2: garbage??"},
        {"", "", "exited with 2 and said nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(err_free) Err *e = cni_result_failure(t[i].out, strlen(t[i].out), t[i].err, strlen(t[i].err), 2);
        SCOPED(mem_free) char *text = err_text(e);
        CHECK_STR(text, t[i].want);
    }
    SCOPED(mem_free) char *longer = mem_alloc(5001);
    memset(longer, 'x', 5000);
    SCOPED(err_free) Err *e = cni_result_failure("", 0, longer, 5000, 1);
    CHECK(strlen(e->what) < 1100);
}

static void test_sweep(void)
{
    static const char rules[] =
        "-P POSTROUTING ACCEPT\n-N CNI-aaa\n-N CNI-bbb\n"
        "-A POSTROUTING -s 10.1.0.2/32 -m comment --comment \"name: \\\"net\\\" id: \\\"one\\\"\" -j CNI-aaa\n"
        "-A POSTROUTING -s 10.1.0.3/32 -m comment --comment \"name: \\\"net\\\" id: \\\"one-more\\\"\" -j CNI-bbb\n"
        "-A CNI-aaa -d 10.1.0.0/24 -m comment --comment \"name: \\\"net\\\" id: \\\"one\\\"\" -j ACCEPT\n";
    SCOPED(str_done) Str script = {0};
    CHECK(cni_sweep_script(rules, strlen(rules), "one", &script));
    CHECK_STR(
        script.p,
        "*nat\n-D POSTROUTING -s 10.1.0.2/32 -m comment --comment \"name: \\\"net\\\" id: \\\"one\\\"\" -j CNI-aaa\n"
        "-F CNI-aaa\n-X CNI-aaa\nCOMMIT\n");
    CHECK(!cni_sweep_script(rules, strlen(rules), "none", &script));
    CHECK(!cni_sweep_script("", 0, "one", &script));
}

static void test_overlaps(void)
{
    static const char title[] = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
    static const struct {
        const char *route;
        bool want;
    } t[] = {
        {"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", false},     /* the default route */
        {"eth0\t00583A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", true},      /* 10.58.88.0/24 */
        {"eth0\t00593A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", false},     /* 10.58.89.0/24 */
        {"tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n", true},      /* 10.0.0.0/8 */
        {"tun0\t07583A0A\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n", true},      /* 10.58.88.7/32 */
        {"reprise0\t00583A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", false}, /* ours */
        {"reprise1\t00583A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(mem_free) char *table = mem_fmt("%s%s", title, t[i].route);
        CHECK(cni_default_overlaps(0, table) == t[i].want);
    }
    CHECK(!cni_default_overlaps(0, "") && !cni_default_overlaps(CNI_DEFAULT_CANDIDATES - 1, title));
}

static void test_names(void)
{
    CHECK(cni_name_ok("a") && cni_name_ok("0A._-z"));
    CHECK(!cni_name_ok(NULL) && !cni_name_ok("") && !cni_name_ok(".a") && !cni_name_ok("a/b") && !cni_name_ok("a b"));
    char longest[130];
    memset(longest, 'a', sizeof longest);
    longest[128] = '\0';
    CHECK(cni_name_ok(longest));
    longest[128] = 'a', longest[129] = '\0';
    CHECK(!cni_name_ok(longest));
}

TESTS(T(test_conf_refused), T(test_conf_exec), T(test_bandwidth), T(test_port_clash), T(test_results), T(test_failures),
      T(test_sweep), T(test_overlaps), T(test_names))
