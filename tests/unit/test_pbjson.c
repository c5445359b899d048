/* protobuf <-> JSON on CRI's messages: the canonical mapping's rules one by one, both ways, and what is refused where. */
#include "check.h"
#include "base/clock.h"
#include "runtime/cri/cri.pb-c.h"
#include "runtime/cri/methods.h"
#include "wire/pbjson.h"

/* JSON -> message -> bytes -> message -> JSON. NULL and *e when refused. */
static char *trip(const ProtobufCMessageDescriptor *d, const char *text, unsigned flags, Err **e)
{
    SCOPED(json_unref) json_t *in = NULL, *out = NULL;
    SCOPED(pbjson_free) ProtobufCMessage *m = NULL;
    *e = json_parse(text, strlen(text), &in);
    *e = *e ? *e : pbjson_read(d, in, &m);
    if (*e)
        return NULL;
    size_t n = protobuf_c_message_get_packed_size(m);
    SCOPED(mem_free) uint8_t *bytes = mem_alloc(n);
    CHECK(protobuf_c_message_pack(m, bytes) == n);
    SCOPED(pbjson_free) ProtobufCMessage *again = protobuf_c_message_unpack(d, NULL, n, bytes);
    CHECK(again != NULL);
    *e = again ? pbjson_write(again, flags, &out) : NULL;
    return out ? json_text(out, false) : NULL;
}

#define D(name) &cri__##name##__descriptor
typedef struct {
    const ProtobufCMessageDescriptor *d;
    const char *in, *out; /* out NULL: as in */
} Row;

static void check_rows(const Row *rows, size_t n, unsigned flags)
{
    for (size_t i = 0; i < n; i++) {
        Err *e;
        SCOPED(mem_free) char *got = trip(rows[i].d, rows[i].in, flags, &e);
        CHECK_OK(e);
        CHECK_STR(got, rows[i].out ? rows[i].out : rows[i].in);
    }
}

static void test_round_trips(void)
{
    static const Row rows[] = {
        {D(version_request), "{}", NULL},
        {D(version_request), "{\"version\":\"v1\"}", NULL},
        {D(version_request), "{\"version\":null}", "{}"},
        {D(version_request), "{\"version\":\"\"}", "{}"},
        /* names: camel out, both in; the _ of our .proto is nowhere; what protoc leaves alone we leave alone */
        {D(stop_pod_sandbox_request), "{\"pod_sandbox_id\":\"x\"}", "{\"podSandboxId\":\"x\"}"},
        {D(pod_sandbox_config), "{\"linux\":{\"cgroupParent\":\"/a\"}}", NULL},
        {D(exec_request), "{\"containerId\":\"c\",\"cmd\":[\"a\",\"\"],\"stdin\":true,\"stdout\":true}", NULL},
        {D(container_config), "{\"CDI_devices\":[{\"name\":\"a/b=c\"}]}", "{\"CDIDevices\":[{\"name\":\"a/b=c\"}]}"},
        {D(mount), "{\"uidMappings\":[{\"hostId\":1}]}", NULL},
        {D(psi_data), "{\"Total\":\"7\",\"Avg10\":0.5}", NULL},
        /* 64 bits are text, 32 are numbers, either is taken as either */
        {D(container_status), "{\"createdAt\":\"1700000000000000001\",\"exitCode\":137}", NULL},
        {D(container_status), "{\"createdAt\":5,\"exitCode\":\"137\"}", "{\"createdAt\":\"5\",\"exitCode\":137}"},
        {D(container_status), "{\"createdAt\":-9223372036854775808,\"exitCode\":-2147483648}",
         "{\"createdAt\":\"-9223372036854775808\",\"exitCode\":-2147483648}"},
        {D(image), "{\"size\":\"18446744073709551615\"}", NULL},
        {D(image), "{\"size\":1e3}", "{\"size\":\"1000\"}"},
        {D(image), "{\"size\":5.0,\"uid\":{}}", "{\"size\":\"5\",\"uid\":{}}"},
        {D(idmapping), "{\"hostId\":4294967295}", NULL},
        /* enums */
        {D(pod_sandbox), "{\"state\":\"SANDBOX_NOTREADY\"}", NULL},
        {D(pod_sandbox), "{\"state\":1}", "{\"state\":\"SANDBOX_NOTREADY\"}"},
        {D(pod_sandbox), "{\"state\":\"SANDBOX_READY\"}", "{}"},
        {D(pod_sandbox), "{\"state\":77}", NULL},
        {D(security_profile), "{\"profileType\":\"Localhost\",\"localhostRef\":\"/p\"}", NULL},
        /* maps: keys of any text; a list of {key, value} that is no map stays a list */
        {D(pod_sandbox_config), "{\"labels\":{\"a.b/c\":\"1\",\"d\":\"\",\"\":\"e\"}}", NULL},
        {D(container_filter), "{\"label_selector\":{\"a\":\"b\"}}", "{\"labelSelector\":{\"a\":\"b\"}}"},
        {D(container_config), "{\"envs\":[{\"key\":\"A\",\"value\":\"b\"},{\"key\":\"A\"}]}", NULL},
        {D(linux_container_resources), "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":\"1\"}],\"unified\":{\"memory.high\":\"1\"}}", NULL},
        {D(pod_sandbox_config), "{\"labels\":{},\"portMappings\":[],\"metadata\":{}}", "{\"metadata\":{}}"},
        /* bytes: both alphabets, padded or not */
        {D(exec_sync_response), "{\"stdout\":\"aGVsbG8K\",\"stderr\":\"+/8=\",\"exitCode\":3}", NULL},
        {D(exec_sync_response), "{\"stdout\":\"-_8\",\"stderr\":\"\"}", "{\"stdout\":\"+/8=\"}"},
        /* repeated numbers are packed on the wire */
        {D(linux_sandbox_security_context), "{\"runAsUser\":{\"value\":\"7\"},\"supplementalGroups\":[\"1\",\"0\",\"-3\"]}", NULL},
        {D(port_forward_request), "{\"port\":[80,443]}", NULL},
        {D(version_request), "{\"version\":\"\\u00e9\\n\\\"\"}", "{\"version\":\"\u00e9\\n\\\"\"}"},
    };
    check_rows(rows, ARRAY_LEN(rows), 0);
}

static void test_defaults(void)
{
    static const Row rows[] = {
        {D(exec_sync_response), "{}", "{\"stdout\":\"\",\"stderr\":\"\",\"exitCode\":0}"},
        {D(pod_sandbox), "{}",
         "{\"id\":\"\",\"metadata\":null,\"state\":\"SANDBOX_READY\",\"createdAt\":\"0\",\"labels\":{},\"annotations\":{},"
         "\"runtimeHandler\":\"\"}"},
        {D(list_images_response), "{}", "{\"images\":[]}"},
        {D(psi_data), "{}", "{\"Total\":\"0\",\"Avg10\":0.0,\"Avg60\":0.0,\"Avg300\":0.0}"},
        {D(exec_request), "{}", "{\"containerId\":\"\",\"cmd\":[],\"tty\":false,\"stdin\":false,\"stdout\":false,\"stderr\":false}"},
    };
    check_rows(rows, ARRAY_LEN(rows), PBJSON_DEFAULTS);
    /* What is written so is read again as nothing. */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Err *e;
        SCOPED(mem_free) char *got = trip(rows[i].d, rows[i].out, 0, &e);
        CHECK_OK(e);
        CHECK_STR(got, "{}");
    }
}

static void test_text(void)
{
    static const Row rows[] = {
        {D(exec_sync_response), "{\"stdout\":\"aGVsbG8K\"}", "{\"stdout\":\"hello\\n\"}"},
        {D(exec_sync_response), "{\"stdout\":\"YQD/Yg==\"}", "{\"stdout\":\"a\xEF\xBF\xBD\xEF\xBF\xBD" "b\"}"},
    };
    check_rows(rows, ARRAY_LEN(rows), PBJSON_TEXT);
}

static void test_refused(void)
{
    static const Row rows[] = {
        {D(run_pod_sandbox_request), "{\"config\":{\"metadata\":{\"nmae\":\"x\"}}}", "config.metadata.nmae: unknown field"},
        {D(version_request), "{\"Version\":\"x\"}", "Version: unknown field"},
        {D(pod_sandbox_config), "{\"linux_\":{}}", "linux_: unknown field"},
        {D(stop_pod_sandbox_request), "{\"podSandboxId\":\"a\",\"pod_sandbox_id\":\"b\"}", "pod_sandbox_id: given twice"},
        {D(version_request), "[]", "must be an object, is a list"},
        {D(version_request), "{\"version\":1}", "version: must be a string, is a number"},
        {D(run_pod_sandbox_request), "{\"config\":{\"linux\":{\"securityContext\":{\"privileged\":\"true\"}}}}",
         "config.linux.securityContext.privileged: must be true or false, is a string"},
        {D(create_container_request), "{\"config\":{\"envs\":[{\"key\":\"A\"},{\"key\":true}]}}",
         "config.envs[1].key: must be a string, is a boolean"},
        {D(create_container_request), "{\"config\":{\"envs\":[{\"key\":\"A\"},null]}}", "config.envs[1]: must be an object, is null"},
        {D(create_container_request), "{\"config\":{\"envs\":{\"A\":\"b\"}}}", "config.envs: must be a list, is an object"},
        {D(pod_sandbox_config), "{\"labels\":[{\"key\":\"a\",\"value\":\"b\"}]}", "labels: must be an object, is a list"},
        {D(pod_sandbox_config), "{\"labels\":{\"a/b\":\"x\",\"c/d\":1}}", "labels[c/d]: must be a string, is a number"},
        {D(pod_sandbox_config), "{\"labels\":{\"a\":null}}", "labels[a]: must be a string, is null"},
        {D(container_status), "{\"exitCode\":2147483648}", "exitCode: must be a whole number of 32 bits"},
        {D(container_status), "{\"exitCode\":1.5}", "exitCode: must be a whole number of 32 bits"},
        {D(container_status), "{\"exitCode\":\" 1\"}", "exitCode: must be a whole number of 32 bits"},
        {D(container_status), "{\"exitCode\":\"\"}", "exitCode: must be a whole number of 32 bits"},
        {D(container_status), "{\"createdAt\":\"9223372036854775808\"}", "createdAt: must be a whole number of 64 bits"},
        {D(container_status), "{\"createdAt\":true}", "createdAt: must be a whole number, is a boolean"},
        {D(image), "{\"size\":-1}", "size: must be a whole number of 64 bits, not negative"},
        {D(image), "{\"size\":\"18446744073709551616\"}", "size: must be a whole number of 64 bits, not negative"},
        {D(idmapping), "{\"hostId\":4294967296}", "hostId: must be a whole number of 32 bits, not negative"},
        {D(pod_sandbox), "{\"state\":\"READY\"}", "state: \"READY\" is none of: SANDBOX_READY, SANDBOX_NOTREADY"},
        {D(pod_sandbox), "{\"state\":[]}", "state: must be a name of PodSandboxState, is a list"},
        {D(psi_data), "{\"Avg10\":\"0x10\"}", "Avg10: must be a number"},
        {D(exec_sync_response), "{\"stdout\":\"a\"}", "stdout: must be a string of base64"},
        {D(exec_sync_response), "{\"stdout\":\"a b=\"}", "stdout: must be a string of base64"},
        {D(exec_sync_response), "{\"stdout\":7}", "stdout: must be a string of base64, is a number"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Err *e;
        SCOPED(mem_free) char *got = trip(rows[i].d, rows[i].in, 0, &e);
        SCOPED(mem_free) char *why = e ? err_text(e) : NULL;
        CHECK_STR(got, NULL);
        CHECK_STR(why, rows[i].out);
        CHECK(e && e->kind == ERR_INVALID);
        err_free(e);
    }
}

static void test_reals(void)
{
    static const Row rows[] = {
        {D(psi_data), "{\"Avg10\":\"1.5\",\"Avg60\":\"NaN\",\"Avg300\":\"-Infinity\"}",
         "{\"Avg10\":1.5,\"Avg60\":\"NaN\",\"Avg300\":\"-Infinity\"}"},
        {D(psi_data), "{\"Avg10\":3,\"Avg60\":1e-7}", NULL},
    };
    Err *e;
    SCOPED(mem_free) char *got = trip(rows[0].d, rows[0].in, 0, &e);
    CHECK_OK(e);
    CHECK_STR(got, rows[0].out);
    SCOPED(mem_free) char *small = trip(rows[1].d, rows[1].in, 0, &e);
    CHECK_OK(e);
    CHECK_STR(small, "{\"Avg10\":3.0,\"Avg60\":1e-7}");
}

/* Bounds: as many values as a message may have, and one more. */
static void test_limits(void)
{
    SCOPED(json_unref) json_t *o = json_object(), *many = json_array(), *empty = json_object();
    json_object_set(o, "images", many);
    for (size_t i = 0; i < PBJSON_MAX_VALUES; i++)
        json_array_append(many, empty);
    ProtobufCMessage *m = NULL;
    CHECK_OK(pbjson_read(D(list_images_response), o, &m));
    json_t *out = NULL;
    if (m)
        CHECK_OK(pbjson_write(m, 0, &out));
    json_decref(out);
    if (m)
        pbjson_free(m);
    json_array_append(many, empty);
    SCOPED(err_free) Err *e = pbjson_read(D(list_images_response), o, &m);
    CHECK(e && e->kind == ERR_LIMIT);
}

/* What a newer runtime sends and we do not know is not in the JSON, and does not hurt. */
static void test_unknown_on_the_wire(void)
{
    static const uint8_t bytes[] = {0x0a, 2, 'v', '1', 0xfa, 0x01, 3, 'n', 'e', 'w', 0x10 | 0x80, 0x7d, 5};
    SCOPED(pbjson_free) ProtobufCMessage *m = protobuf_c_message_unpack(D(version_request), NULL, sizeof bytes, bytes);
    SCOPED(json_unref) json_t *j = NULL;
    CHECK(m != NULL);
    CHECK_OK(pbjson_write(m, 0, &j));
    SCOPED(mem_free) char *text = json_text(j, false);
    CHECK_STR(text, "{\"version\":\"v1\"}");
}

static void test_methods(void)
{
    for (size_t i = 0; i < CRI_METHOD_N; i++) {
        const CriMethodInfo *m = &cri_methods[i];
        CHECK(cri_method_named(m->name) == m && cri_method_named(m->path) == m);
        CHECK(str_starts(m->path, m->image ? "/runtime.v1.ImageService/" : "/runtime.v1.RuntimeService/"));
        CHECK(str_ends(m->request->short_name, "Request") && str_ends(m->response->short_name, "Response"));
    }
    CHECK(cri_method_named("runpodsandbox") == &cri_methods[CRI_RUN_POD_SANDBOX]);
    CHECK(cri_method_named("RunPod") == NULL);
    Cri__StopContainerRequest stop;
    Cri__ExecSyncRequest exec;
    cri__stop_container_request__init(&stop); /* not ..._INIT, which casts const away */
    cri__exec_sync_request__init(&exec);
    const CriMethodInfo *ms = &cri_methods[CRI_STOP_CONTAINER], *me = &cri_methods[CRI_EXEC_SYNC];
    CHECK_INT(cri_method_timeout_ns(&cri_methods[CRI_RUN_POD_SANDBOX], NULL), 240 * NS_PER_S);
    CHECK_INT(cri_method_timeout_ns(&cri_methods[CRI_PULL_IMAGE], NULL), 0);
    CHECK_INT(cri_method_timeout_ns(ms, &stop.base), 120 * NS_PER_S);
    stop.timeout = 30;
    CHECK_INT(cri_method_timeout_ns(ms, &stop.base), 150 * NS_PER_S);
    stop.timeout = INT64_MAX;
    CHECK(cri_method_timeout_ns(ms, &stop.base) > INT64_MAX - 2 * NS_PER_S);
    stop.timeout = -5;
    CHECK_INT(cri_method_timeout_ns(ms, &stop.base), 120 * NS_PER_S);
    CHECK_INT(cri_method_timeout_ns(me, &exec.base), 0);
    exec.timeout = 1;
    CHECK_INT(cri_method_timeout_ns(me, &exec.base), 121 * NS_PER_S);
}

TESTS(T(test_round_trips), T(test_defaults), T(test_text), T(test_refused), T(test_reals), T(test_limits),
      T(test_unknown_on_the_wire), T(test_methods))
