/* Digests of blobs, by GnuTLS. */
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "runtime/oci/image_priv.h"

struct Digester {
    const DigestAlg *alg;
    gnutls_hash_hd_t hash;
};

/* The registered algorithms of the OCI image-spec that anybody uses. */
static const DigestAlg algs[] = {
    {"sha256", 64, GNUTLS_DIG_SHA256},
    {"sha512", 128, GNUTLS_DIG_SHA512},
};

const DigestAlg *digest_alg(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(algs); i++)
        if (strlen(algs[i].name) == n && memcmp(algs[i].name, name, n) == 0)
            return &algs[i];
    return NULL;
}

Err *digest_check(const char *digest)
{
    const char *colon = strchr(digest, ':');
    const DigestAlg *alg = colon ? digest_alg(digest, (size_t)(colon - digest)) : NULL;
    if (!alg)
        return err_new(ERR_INVALID, 0, "digest \"%.100s\": neither sha256 nor sha512", digest);
    if (strlen(colon + 1) != alg->n_hex || !image_is_hex(colon + 1, alg->n_hex))
        return err_new(ERR_INVALID, 0, "digest \"%.200s\": not %zu hexadecimal digits", digest, alg->n_hex);
    return NULL;
}

Digester *digester_new(const DigestAlg *alg)
{
    Digester *d = NEW(Digester);
    d->alg = alg ? alg : &algs[0];
    /* Fails only without memory, or where a policy forbids SHA-2: then nothing here can be right. */
    if (gnutls_hash_init(&d->hash, (gnutls_digest_algorithm_t)d->alg->gnutls) < 0)
        abort();
    return d;
}

void digester_add(Digester *d, const void *bytes, size_t n)
{
    if (n && gnutls_hash(d->hash, bytes, n) < 0)
        abort();
}

char *digester_end(Digester *d)
{
    unsigned char sum[64]; /* sha512 */
    gnutls_hash_deinit(d->hash, sum);
    SCOPED(str_done) Str s = {0};
    str_fmt(&s, "%s:", d->alg->name);
    for (size_t i = 0; i < d->alg->n_hex / 2; i++)
        str_fmt(&s, "%02x", sum[i]);
    free(d);
    return str_take(&s);
}

void digester_free(Digester *d)
{
    if (!d)
        return;
    gnutls_hash_deinit(d->hash, NULL);
    free(d);
}

char *digest_of(const void *bytes, size_t n)
{
    Digester *d = digester_new(NULL);
    digester_add(d, bytes, n);
    return digester_end(d);
}

void image_chain_ids(const StrVec *diff_ids, StrVec *ret)
{
    SCOPED(mem_free) char *chain = NULL;
    for (size_t i = 0; i < diff_ids->n; i++) {
        if (i == 0) {
            chain = mem_dup_str(diff_ids->v[0]);
        } else {
            SCOPED(mem_free) char *both = mem_fmt("%s %s", chain, diff_ids->v[i]);
            free(chain);
            chain = digest_of(both, strlen(both));
        }
        strvec_add(ret, strchr(chain, ':') + 1);
    }
}
