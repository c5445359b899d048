/* Images: references, indexes, manifests, docker manifests and configs. The first byte picks the parser, the rest is
 * its input. */
#include "runtime/oci/image_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_ref(const char *text)
{
    SCOPED(mem_free) char *once = NULL;
    SCOPED(mem_free) char *twice = NULL;
    SCOPED(err_free) Err *e = image_ref_normalize(text, &once);
    if (e)
        return;
    e = image_ref_normalize(once, &twice);
    if (e || !str_eq(once, twice)) /* what is normal stays as it is */
        abort();
}

static Err *fuzz_docker(const char *text, size_t n)
{
    ImageManifest *v = NULL;
    size_t count = 0;
    Err *e = image_parse_docker(text, n, &v, &count);
    for (size_t i = 0; i < count; i++)
        image_manifest_done(&v[i]);
    free(v);
    return e;
}

static Err *fuzz_config(const char *text, size_t n)
{
    SCOPED(image_free) Image *img = NEW(Image);
    SCOPED(strvec_done) StrVec diff_ids = {0}, chains = {0};
    Err *e = image_parse_config(text, n, img, &diff_ids);
    if (e)
        return e;
    image_chain_ids(&diff_ids, &chains);
    for (size_t i = 0; i < chains.n; i++)
        if (strchr(chains.v[i], '/') || strchr(chains.v[i], '.')) /* they become directory names */
            abort();
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    SCOPED(mem_free) char *text = mem_alloc(size);
    memcpy(text, data + 1, size - 1); /* mem_alloc's last byte is the NUL */
    size_t n = size - 1;
    SCOPED(image_descriptors_done) ImageDescriptors list = {0};
    SCOPED(image_manifest_done) ImageManifest m = {0};
    SCOPED(err_free) Err *e = NULL;
    switch (data[0]) {
    case 'r':
        fuzz_ref(text);
        break;
    case 'i':
        e = image_parse_index(text, n, &list);
        break;
    case 'm':
        e = image_parse_manifest(text, n, &m);
        break;
    case 'd':
        e = fuzz_docker(text, n);
        break;
    default:
        e = fuzz_config(text, n);
        break;
    }
    return 0;
}
