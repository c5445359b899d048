/* A Pod, an image's configuration and a runtime configuration, all hostile, to a config.json (tests/tools/specinput.h). What
 * comes out must be JSON that can be written. Paths that would be read are fixed: the fuzzer must not roam the host. */
#include <stdint.h>

#include "tools/specinput.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *doc = NULL, *config = NULL;
    SpecInput s = {0};
    Err *e = json_parse((const char *)data, n, &doc);
    if (!e)
        e = spec_input_load(doc, &s);
    if (!e) {
        s.in.rootfs = "/nonexistent-rootfs";
        s.in.seccomp_root = "/nonexistent-seccomp";
        s.in.cdi_dirs = "/nonexistent-cdi";
        s.in.volumes_dir = NULL;
        e = oci_spec_make(&s.in, &config);
    }
    if (config) {
        char *text = json_text(config, false);
        if (!text || strlen(text) < 2)
            abort();
        free(text);
    }
    json_decref(config);
    spec_input_done(&s);
    json_decref(doc);
    err_free(e);
    return 0;
}
