/* fuzz_kube.c - what a stranger may send to the local API before any object is read: the first byte says what the rest is. What is
 * accepted is printed and read again, and must stay what it was; what is refused must have words. */
#include "kube/body.h"
#include "kube/negotiate.h"
#include "kube/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok)
{
    if (!ok)
        abort();
}

/* true: it was refused, in words. */
static bool refused(json_t *bad) /* taken */
{
    if (!bad)
        return false;
    require(kube_status_code(bad) >= 400 && kube_status_code(bad) < 600);
    require(json_str(bad, "message") && *json_str(bad, "message"));
    json_decref(bad);
    return true;
}

static void labels(const char *text)
{
    LabelSelector s, again;
    Err *e = label_selector_parse(text, &s);
    if (e) {
        (void)refused(kube_status_of(e, (KubeRef){0}));
        err_free(e);
        return;
    }
    SCOPED(mem_free) char *a = label_selector_text(&s);
    SCOPED(json_unref) json_t *labels = json_pack("{s:s, s:s}", "a", "b", "c", "5");
    bool match = label_selector_matches(&s, labels);
    e = label_selector_parse(a, &again);
    require(e == NULL);
    SCOPED(mem_free) char *b = label_selector_text(&again);
    require(strcmp(a, b) == 0 && label_selector_matches(&again, labels) == match);
    label_selector_done(&s);
    label_selector_done(&again);
}

static void fields(const char *text)
{
    for (size_t i = 0; i < KUBE_KIND_N; i++) {
        FieldSelector s, again;
        SCOPED(err_free) Err *e = field_selector_parse(text, &kube_kinds[i], &s);
        if (e)
            continue;
        SCOPED(mem_free) char *a = field_selector_text(&s);
        SCOPED(json_unref) json_t *o = json_pack("{s:{s:s}}", "metadata", "name", "x");
        (void)field_selector_matches(&s, o);
        /* Events are renamed by the first reading, so only the others read the same again. */
        if (i != KUBE_EVENTS_V1) {
            require(field_selector_parse(a, &kube_kinds[i], &again) == NULL);
            SCOPED(mem_free) char *b = field_selector_text(&again);
            require(strcmp(a, b) == 0);
            field_selector_done(&again);
        }
        field_selector_done(&s);
    }
}

static void options(const KubeRequest *r)
{
    SCOPED(list_options_done) ListOptions list;
    SCOPED(delete_options_done) DeleteOptions del;
    SCOPED(exec_options_done) PodExecOptions exec;
    WriteOptions write;
    PodLogOptions log;
    PodPortForwardOptions ports;
    (void)refused(kube_list_options(r, &list));
    (void)refused(kube_delete_options(r, NULL, &del));
    (void)refused(kube_exec_options(r, &exec));
    if (!refused(kube_write_options(r, true, &write))) {
        SCOPED(mem_free) char *manager = kube_field_manager(&write, kube_query(r, "agent"));
        require(strlen(manager) <= 128);
    }
    (void)refused(kube_log_options(r, &log));
    (void)refused(kube_port_forward_options(r, &ports));
}

static void request(const char *method, const char *data, size_t n)
{
    KubeRequest r;
    if (!refused(kube_request_parse(method, data, n, &r)) && r.path == PATH_RESOURCE) {
        require(r.kind && r.verb);
        options(&r);
    }
    kube_request_done(&r);
}

static void accepted(const char *text)
{
    for (int what = ACCEPT_OBJECT; what <= ACCEPT_OPENAPI_V2; what++) {
        MediaChoice c;
        if (!refused(kube_accept(text, (AcceptWhat)what, text, text, &c)))
            require(*kube_content_type_of(&c, (AcceptWhat)what));
    }
    MediaType m;
    PatchForm p;
    (void)refused(kube_body_type(text, true, &m));
    (void)refused(kube_patch_type(text, &p));
}

static void body(MediaType type, const char *data, size_t n)
{
    SCOPED(report_done) Report r = {0};
    SCOPED(json_unref) json_t *j = NULL;
    if (!refused(kube_body_parse(type, data, n, &j, &r))) {
        require(json_is_object(j));
        (void)refused(kube_body_kind(j, "", "v1", "Pod"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n)
        return 0;
    const char *rest = (const char *)data + 1;
    SCOPED(mem_free) char *text = mem_dup_strn(rest, n - 1);
    switch (data[0]) {
    case 'l':
        labels(text);
        break;
    case 'f':
        fields(text);
        break;
    case 'G':
        request("GET", rest, n - 1);
        break;
    case 'P':
        request("POST", rest, n - 1);
        request("PATCH", rest, n - 1);
        break;
    case 'D':
        request("DELETE", rest, n - 1);
        break;
    case 'a':
        accepted(text);
        break;
    case 'y':
        body(MEDIA_YAML, rest, n - 1);
        break;
    default:
        body(MEDIA_JSON, rest, n - 1);
    }
    return 0;
}
