/* A CDI spec file: the first byte chooses .json or .yaml, the rest is its text. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/oci/spec_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char dir[64];

static void remove_dir(void)
{
    static const char *const names[] = {"x.json", "x.yaml"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!dir[0]) {
        memcpy(dir, "/tmp/fuzz-cdi-XXXXXX", sizeof "/tmp/fuzz-cdi-XXXXXX");
        if (!mkdtemp(dir))
            abort();
        (void)atexit(remove_dir);
    }
    if (!n)
        return 0;
    char path[80];
    snprintf(path, sizeof path, "%s/x.%s", dir, data[0] & 1 ? "json" : "yaml");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data + 1, n - 1) != (ssize_t)(n - 1))
        abort();
    (void)close(fd);
    json_t *spec = json_object();
    StrVec names = {0};
    strvec_add(&names, "v.com/c=one");
    strvec_add(&names, "v.com/c=two");
    Err *e = cdi_inject(dir, &names, spec);
    char *text = json_text(spec, false);
    if (!text)
        abort();
    free(text);
    strvec_done(&names);
    json_decref(spec);
    err_free(e);
    (void)unlink(path);
    return 0;
}
