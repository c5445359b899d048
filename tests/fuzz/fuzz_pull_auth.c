/* A docker config and an image: the first byte chooses the form, the first line is the repository, the rest the config. */
#include <stdint.h>

#include "node/pull_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n)
        return 0;
    const char *text = (const char *)data + 1, *end = memchr(text, '\n', n - 1);
    size_t n_line = end ? (size_t)(end - text) : n - 1, skip = n_line + (end ? 1 : 0);
    SCOPED(mem_free) char *repository = mem_dup_strn(text, n_line);
    SCOPED(keyring_done) Keyring k = {0};
    SCOPED(image_auths_done) ImageAuthList found = {0};
    Err *e = keyring_add_config(&k, data[0] & 1 ? DOCKER_DOCKERCFG : DOCKER_CONFIG_JSON, text + skip, n - 1 - skip);
    keyring_lookup(&k, repository, &found);
    if (e && k.entries.n) /* all or nothing */
        abort();
    err_free(e);
    LIST_EACH(entry, &k.entries)
        (void)keyring_key_matches(repository, entry->key);
    return 0;
}
