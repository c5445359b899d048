/* fuzz_pod.c - any manifest: decoded, defaulted, validated and linted without harm; what came out is encoded and decoded
 * again to the same object, and a copy of it is equal. */
#include "api/objects.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void round_trip(const TypeDesc *t, const void *obj)
{
    void *copy = api_copy(t, obj), *again = NULL;
    require(api_equal(t, obj, copy));
    SCOPED(mem_free) char *text = api_encode_text(t, obj);
    Err *e = api_decode_text(t, text, strlen(text), &again);
    bool limit = e && e->kind == ERR_LIMIT; /* defaults made it longer than a text may be */
    err_free(e);
    require(limit || e == NULL);
    if (again) {
        require(api_equal(t, obj, again));
        SCOPED(mem_free) char *same = api_encode_text(t, again);
        require(strcmp(text, same) == 0);
    }
    api_free(t, again);
    api_free(t, copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const gate_texts[] = {"", "RestartAllContainersOnContainerExits=false",
                                             "RestartAllContainersOnContainerExits=false,ContainerRestartRules=false"};
    FeatureGates gates;
    features_default(&gates);
    Err *e = features_parse(&gates, gate_texts[n % ARRAY_LEN(gate_texts)]);
    require(e == NULL);
    SCOPED(objects_done) Objects objs = {0};
    SCOPED(doc_reports_done) DocReports reports = {0};
    e = objects_parse("fuzz", (const char *)data, n, &gates, &objs, &reports);
    err_free(e);
    LIST_EACH(d, &reports.docs) {
        if (d->pod)
            pod_lint(d->pod, &d->report);
        SCOPED(json_unref) json_t *status = report_status_json(&d->report, d->kind, d->name);
        require(status != NULL);
    }
    LIST_EACH(p, &objs.pods)
        round_trip(&type_Pod, *p);
    LIST_EACH(c, &objs.config_maps)
        round_trip(&type_ConfigMap, *c);
    LIST_EACH(s, &objs.secrets)
        round_trip(&type_Secret, *s);
    LIST_EACH(c, &objs.pvcs)
        round_trip(&type_PersistentVolumeClaim, *c);
    return 0;
}
