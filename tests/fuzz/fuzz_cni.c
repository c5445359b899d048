/* CNI: whatever plugins print and administrators write. The first byte picks the parser, the rest is its input. */
#include "runtime/oci/cni_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_conf(const char *text, size_t n, bool is_list)
{
    SCOPED(json_unref) json_t *net = NULL, *runtime = json_pack("{s:[], s:{}}", "portMappings", "bandwidth");
    SCOPED(err_free) Err *e = cni_conf_parse(text, n, is_list, &net);
    for (size_t i = 0; !e && i < cni_conf_n(net); i++)
        json_decref(cni_conf_exec(net, i, runtime, runtime));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    SCOPED(mem_free) char *text = mem_dup_strn((const char *)data + 1, 0);
    text = mem_grow(text, size, 1);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    size_t n = size - 1;
    SCOPED(strvec_done) StrVec ips = {0};
    SCOPED(str_done) Str script = {0};
    SCOPED(err_free) Err *e = NULL;
    switch (data[0]) {
    case 'r':
        e = cni_parse_result(text, n, &ips);
        break;
    case 'f':
        e = cni_result_failure(text, n, text, n, 1);
        break;
    case 's':
        (void)cni_sweep_script(text, n, "id", &script);
        break;
    case 'o':
        (void)cni_default_overlaps(3, text);
        break;
    default:
        fuzz_conf(text, n, data[0] == 'l');
        break;
    }
    return 0;
}
