/* /etc/hosts, hostname and resolv.conf: node/podfiles.c, node/pod_dns.c. */
#include "check.h"
#include "unit/volumes_fixture.h"

#include <unistd.h>

#include "node/podfiles.h"
#include "os/fs.h"

#define HEAD                                                                                                           \
    "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"               \
    "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
#define N63 "a23456789-123456789-123456789-123456789-123456789-123456789-123"

static void test_hosts(void)
{
    static const struct { const char *pod, *want; } rows[] = {
        {"{\"metadata\":{\"name\":\"web\"}}", HEAD "10.0.0.2\tweb\nfd00::2\tweb\n"},
        {"{\"metadata\":{\"name\":\"web\",\"namespace\":\"prod\"},\"spec\":{\"hostname\":\"h\",\"subdomain\":\"sub\"}}",
         HEAD "10.0.0.2\th.sub.prod.svc.cluster.local\th\nfd00::2\th.sub.prod.svc.cluster.local\th\n"},
        {"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"hostAliases\":[{\"ip\":\"1.2.3.4\",\"hostnames\":[\"foo\",\"foo.bar\"]},"
         "{\"ip\":\"::9\",\"hostnames\":[\"x\"]}]}}",
         HEAD "10.0.0.2\tweb\nfd00::2\tweb\n\n# Entries added by HostAliases.\n1.2.3.4\tfoo\tfoo.bar\n::9\tx\n"},
        {"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"hostnameOverride\":\"over.example\",\"subdomain\":\"sub\"}}",
         HEAD "10.0.0.2\tover.example\nfd00::2\tover.example\n"},
    };
    char a[] = "10.0.0.2", b[] = "fd00::2", *ips[] = {a, b};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(pod_free) Pod *p = decode(&type_Pod, rows[i].pod);
        SCOPED(mem_free) char *got = podfiles_hosts(p, ips, 2);
        CHECK_STR(got, rows[i].want);
    }
}

static void test_hosts_of_host_network(void)
{
    SCOPED(pod_free) Pod *p = decode(&type_Pod, "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"hostNetwork\":true,"
                                                "\"hostAliases\":[{\"ip\":\"1.2.3.4\",\"hostnames\":[\"foo\"]}]}}");
    SCOPED(str_done) Str host = {0};
    CHECK_OK(fs_read("/etc/hosts", 1 << 20, &host));
    SCOPED(mem_free) char *got = podfiles_hosts(p, NULL, 0);
    SCOPED(mem_free) char *want = mem_fmt("# Kubernetes-managed hosts file (host network).\n%s\n# Entries added by "
                                          "HostAliases.\n1.2.3.4\tfoo\n", host.p);
    CHECK_STR(got, want);
}

static void test_hostname(void)
{
    static const struct { const char *pod, *want, *error; } rows[] = {
        {"{\"metadata\":{\"name\":\"web\"}}", "web", ""},
        {"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"hostname\":\"h\",\"subdomain\":\"sub\"}}", "h", ""},
        {"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"subdomain\":\"sub\",\"setHostnameAsFQDN\":true}}",
         "web.sub.default.svc.cluster.local", ""},
        {"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"setHostnameAsFQDN\":true}}", "web", ""},
        {"{\"metadata\":{\"name\":\"" N63 "\"}}", N63, ""},
        {"{\"metadata\":{\"name\":\"" N63 "45\"}}", N63, ""},
        {"{\"metadata\":{\"name\":\"a23456789-123456789-123456789-123456789-123456789-123456789-1-.45\"}}",
         "a23456789-123456789-123456789-123456789-123456789-123456789-1", ""},
        {"{\"metadata\":{\"name\":\"" N63 "\"},\"spec\":{\"subdomain\":\"sub\",\"setHostnameAsFQDN\":true}}", N63,
         "Failed to construct FQDN from Pod hostname and cluster domain, FQDN " N63 ".sub.default.svc.cluster.local is too "
         "long (64 characters is the max, 93 characters requested)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(pod_free) Pod *p = decode(&type_Pod, rows[i].pod);
        SCOPED(mem_free) char *got = pod_hostname(p), *error = error_text(pod_hostname_check(p));
        CHECK_STR(got, rows[i].want);
        CHECK_STR(error, rows[i].error);
    }
}

#define HOST "# c\nnameserver 10.1.1.1\nsearch old.example\nsearch corp.example. sub.corp.example\noptions ndots:2 timeout:3\n; x\n"
#define NAME253 N63 "." N63 "." N63 "." N63 /* 255 */

static void test_resolv(void)
{
    static const struct { const char *spec, *host, *want; } rows[] = {
        {"{\"dnsPolicy\":\"Default\"}", HOST,
         "search corp.example sub.corp.example\nnameserver 10.1.1.1\noptions ndots:2 timeout:3\n"},
        {"{\"dnsPolicy\":\"ClusterFirst\"}", HOST,
         "search corp.example sub.corp.example\nnameserver 10.1.1.1\noptions ndots:2 timeout:3\n"},
        {"{\"dnsPolicy\":\"ClusterFirstWithHostNet\",\"hostNetwork\":true}", "nameserver 10.1.1.1\n", "nameserver 10.1.1.1\n"},
        {"{}", "nameserver 10.1.1.1\n", "nameserver 10.1.1.1\n"},
        {"{\"dnsPolicy\":\"None\",\"dnsConfig\":{\"nameservers\":[\"1.1.1.1\",\"1.1.1.1\",\"8.8.8.8\"],\"searches\":[\"a\",\"b\"],"
         "\"options\":[{\"name\":\"ndots\",\"value\":\"1\"},{\"name\":\"edns0\"}]}}", HOST,
         "search a b\nnameserver 1.1.1.1\nnameserver 8.8.8.8\noptions ndots:1 edns0\n"},
        {"{\"dnsPolicy\":\"Default\",\"dnsConfig\":{\"nameservers\":[\"10.1.1.1\",\"9.9.9.9\"],\"searches\":[\"corp.example\",\"z\"],"
         "\"options\":[{\"name\":\"ndots\",\"value\":\"7\"},{\"name\":\"use-vc\"}]}}", HOST,
         "search corp.example sub.corp.example z\nnameserver 10.1.1.1\nnameserver 9.9.9.9\noptions ndots:7 timeout:3 use-vc\n"},
        {"{\"dnsPolicy\":\"Default\"}", "nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4\n",
         "nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\n"},
        {"{\"dnsPolicy\":\"Default\"}", "search a " NAME253 " b\n", "search a b\n"},
        {"{\"dnsPolicy\":\"Default\"}", "search .\n", "search .\n"},
        {"{\"dnsPolicy\":\"Default\"}", "", ""},
        {"{\"dnsPolicy\":\"Default\"}", "nameserver\n", "error: nameserver list is empty in resolv.conf of the machine"},
        {"{\"dnsPolicy\":\"Odd\"}", "", "error: invalid DNSPolicy=Odd"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *json = mem_fmt("{\"metadata\":{\"name\":\"p\"},\"spec\":%s}", rows[i].spec);
        SCOPED(pod_free) Pod *p = decode(&type_Pod, json);
        SCOPED(mem_free) char *got = NULL;
        Err *e = podfiles_resolv(p, rows[i].host, &got);
        if (e) {
            SCOPED(mem_free) char *text = error_text(e);
            got = mem_fmt("error: %s", text);
        }
        CHECK_STR(got, rows[i].want);
    }
}

static void test_resolv_limits_and_warnings(void)
{
    SCOPED(str_done) Str host = {0};
    str_add(&host, "nameserver 127.0.0.1\nsearch");
    for (int i = 0; i < 40; i++)
        str_fmt(&host, " d%d." N63 "." N63, i); /* 131 characters each: 2048 come first */
    SCOPED(pod_free) Pod *p = decode(&type_Pod, "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{}}");
    SCOPED(strvec_done) StrVec warnings = {0};
    SCOPED(pod_dns_done) PodDns d = {0};
    CHECK_OK(pod_dns(p, host.p, &warnings, &d));
    size_t n = 0;
    for (size_t i = 0; i < d.searches.n; i++)
        n += strlen(d.searches.v[i]) + (i > 0);
    CHECK(n <= 2048 && n > 2048 - 132);
    CHECK_INT(warnings.n, 2); /* and none of ClusterFirst */
    CHECK(str_starts(warnings.v[0], "Search Line limits were exceeded, some search paths have been omitted, the applied "
                                    "search line is: d0."));
    CHECK(str_starts(warnings.v[1], "nameserver 127.0.0.1 is a loopback address"));

    SCOPED(str_done) Str many = {0};
    str_add(&many, "search");
    for (int i = 0; i < 40; i++)
        str_fmt(&many, " d%d", i);
    SCOPED(pod_dns_done) PodDns d2 = {0};
    CHECK_OK(pod_dns(p, many.p, NULL, &d2));
    CHECK_INT(d2.searches.n, 32);
}

static void test_write(void)
{
    char root[] = "/tmp/reprise-podfiles-XXXXXX";
    CHECK(mkdtemp(root) != NULL);
    Fixture f;
    fixture_init(&f, root, "{\"metadata\":{\"name\":\"web\",\"uid\":\"u1\"},\"spec\":{\"dnsPolicy\":\"None\",\"dnsConfig\":"
                           "{\"nameservers\":[\"1.1.1.1\"]}}}");
    char ip[] = "10.0.0.2", *ips[] = {ip};
    CHECK_OK(podfiles_write(&f.ctx, ips, 1));
    static const struct { const char *name, *want; } rows[] = {
        {"etc-hosts", HEAD "10.0.0.2\tweb\n"}, {"hostname", "web\n"}, {"resolv.conf", "nameserver 1.1.1.1\n"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/pods/u1/%s", root, rows[i].name);
        SCOPED(str_done) Str text = {0};
        CHECK_OK(fs_read(path, 1 << 20, &text));
        CHECK_STR(text.p, rows[i].want);
    }
    fixture_done(&f);

    fixture_init(&f, root, "{\"metadata\":{\"name\":\"web\",\"uid\":\"../u1\"}}");
    SCOPED(mem_free) char *error = error_text(podfiles_write(&f.ctx, ips, 1));
    CHECK_STR(error, "pod uid \"../u1\" is not a usable name");
    fixture_done(&f);
    CHECK_OK(volumes_teardown(root, "u1"));
    SCOPED(mem_free) char *dir = mem_fmt("%s/pods/u1", root);
    CHECK(!fs_exists(dir));
    CHECK_OK(fs_remove_tree(root));
}

TESTS(T(test_hosts), T(test_hosts_of_host_network), T(test_hostname), T(test_resolv), T(test_resolv_limits_and_warnings),
      T(test_write))
