/* cmd_debug_cri.c - `reprise debug cri`: one call of the Container Runtime Interface, JSON in and JSON out, for machines without
 * crictl and for tests. What may be called is the table in runtime/cri/methods.h; nothing here knows a method. */
#include "base/clock.h"
#include "cli/cri_call.h"
#include "grpc/status.h"
#include "wire/pbjson.h"
#include "wire/yaml.h"

typedef struct {
    const CriMethodInfo *method;
    unsigned flags; /* PBJSON_* */
    bool yaml;
    size_t n; /* messages printed */
    Err *failed;
} Output;

/* A request with all of its fields: {"podSandboxId":"","timeout":"0"}. Caller frees. */
static char *skeleton(const ProtobufCMessageDescriptor *d)
{
    SCOPED(pbjson_free) ProtobufCMessage *m = mem_alloc(d->sizeof_message);
    SCOPED(json_unref) json_t *j = NULL;
    protobuf_c_message_init(d, m);
    SCOPED(err_free) Err *e = pbjson_write(m, PBJSON_DEFAULTS, &j);
    return e ? mem_dup_str("{}") : json_text(j, false);
}

static int list_methods(void)
{
    SCOPED(cli_table_done) CliTable t = {.n_cols = 4};
    cli_table_row(&t, (const char *const[]){"METHOD", "SERVICE", "TIMEOUT", "REQUEST"});
    for (size_t i = 0; i < CRI_METHOD_N; i++) {
        const CriMethodInfo *m = &cri_methods[i];
        SCOPED(mem_free) char *timeout = m->timeout_ns ? duration_format(m->timeout_ns) : mem_dup_str("none");
        SCOPED(mem_free) char *request = skeleton(m->request);
        cli_table_row(&t, (const char *const[]){m->name, m->image ? "image" : "runtime", timeout, request});
    }
    cli_table_print(stdout, &t);
    return EXIT_OK;
}

/* The first method with <word> in its name: "sandbox" -> RunPodSandbox. */
static const char *near_method(const char *word)
{
    for (size_t i = 0; i < CRI_METHOD_N; i++)
        if (strcasestr(cri_methods[i].name, word))
            return cri_methods[i].name;
    return NULL;
}

static Err *read_request(const CriMethodInfo *m, const char *operand, ProtobufCMessage **ret)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(json_unref) json_t *j = NULL;
    Err *e = NULL;
    if (str_eq(operand, "-"))
        e = cli_read_file("-", &text);
    else
        str_add(&text, str_or(operand, "{}"));
    e = e ? e : json_parse(str_or(text.p, ""), text.n, &j);
    e = e ? e : pbjson_read(m->request, j, ret);
    return e ? err_wrap(e, "%s", m->request->short_name) : NULL;
}

static Err *print_message(Output *o, const uint8_t *bytes, size_t n)
{
    const CriMethodInfo *m = o->method;
    SCOPED(json_unref) json_t *j = NULL;
    SCOPED(pbjson_free) ProtobufCMessage *answer = protobuf_c_message_unpack(m->response, NULL, n, bytes);
    if (!answer)
        return err_new(ERR_SYS, 0, "%s: the answer is no %s", m->name, m->response->short_name);
    Err *e = pbjson_write(answer, o->flags, &j);
    if (e)
        return e;
    SCOPED(mem_free) char *text = o->yaml ? yaml_text(j) : json_text(j, m->kind == CRI_UNARY);
    printf("%s%s%s", o->yaml && o->n++ ? "---\n" : "", text, str_ends(text, "\n") ? "" : "\n");
    return NULL;
}

static bool on_event(void *arg, const uint8_t *bytes, size_t n)
{
    Output *o = arg;
    o->failed = print_message(o, bytes, n);
    return !o->failed && fflush(stdout) == 0; /* now, not when a buffer is full; and nobody may be listening any more */
}

static Err *run_call(const CliArgs *a, Output *o, const char *endpoint)
{
    const CriMethodInfo *m = o->method;
    SCOPED(pbjson_free) ProtobufCMessage *request = NULL;
    SCOPED(cri_peer_close) CriPeer *peer = NULL;
    SCOPED(cri_peer_answer_done) CriPeerAnswer answer = {0};
    Err *e = read_request(m, a->n > 1 ? a->operands[1] : NULL, &request);
    if (e)
        return e;
    int64_t timeout_ns = cri_method_timeout_ns(m, request);
    e = cli_duration(a, "timeout", &timeout_ns);
    e = e ? e : cri_peer_open(endpoint, &peer);
    if (e)
        return e;
    CriPeerCall call = {.path = m->path, .request = request, .arg = o};
    if (m->kind == CRI_STREAM) { /* the peer is not told: it might end it just before we do, with whatever words it has */
        call.message = on_event;
        call.enough_ns = timeout_ns;
    } else {
        call.timeout_ns = timeout_ns;
    }
    cri_peer_call(peer, &call, &answer);
    e = grpc_status_err(answer.code, answer.message);
    if (e) {
        if (e->kind == ERR_INVALID && answer.code != GRPC_INVALID_ARGUMENT)
            e->kind = ERR_UNAVAILABLE; /* FailedPrecondition: the usage was right, the runtime's state was not */
        return err_wrap(e, "%s at %s", m->name, endpoint);
    }
    if (o->failed || ferror(stdout))
        return MOVE(o->failed, NULL);
    if (answer.enough)
        return err_new(ERR_TIMEOUT, 0, "%s at %s: given up after %s", m->name, endpoint, cli_opt(a, "timeout"));
    if (m->kind == CRI_STREAM)
        return NULL;
    return print_message(o, (const uint8_t *)str_or(answer.bytes.p, ""), answer.bytes.n);
}

int debug_cri(const CliArgs *a)
{
    if (a->n == 0)
        return list_methods();
    Output o = {.method = cri_method_named(a->operands[0]),
                .flags = (cli_flag(a, "defaults") ? PBJSON_DEFAULTS : 0u) | (cli_flag(a, "text") ? PBJSON_TEXT : 0u),
                .yaml = str_eq(cli_opt(a, "output"), "yaml")};
    if (!o.method) {
        const char *near = near_method(a->operands[0]);
        return near ? cli_usage(a, "unknown method \"%s\"; did you mean %s?", a->operands[0], near)
                    : cli_usage(a, "unknown method \"%s\": reprise debug cri lists them", a->operands[0]);
    }
    Err *e = run_call(a, &o, cri_endpoint(a, o.method->image));
    return e ? cli_fail(e) : EXIT_OK;
}
