/* A Localhost seccomp profile. What is accepted must be accepted again in the form that it was written in. */
#include <stdint.h>

#include "runtime/oci/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    StrVec caps = {0};
    strvec_add(&caps, "CAP_CHOWN");
    json_t *once = NULL, *twice = NULL;
    Err *e = oci_seccomp_parse((const char *)data, n, &caps, &once);
    if (!e) {
        char *text = json_text(once, false);
        e = oci_seccomp_parse(text, strlen(text), &caps, &twice);
        if (e || !json_equal(once, twice))
            abort();
        free(text);
    }
    json_decref(once);
    json_decref(twice);
    strvec_done(&caps);
    err_free(e);
    return 0;
}
