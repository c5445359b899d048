/* pki.h - certificates for tests, made on the spot. */
#ifndef REPRISE_TESTS_PKI_H
#define REPRISE_TESTS_PKI_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>

#include "base/mem.h"

typedef struct { char *cert, *key; } Pair; /* PEM */
static inline void pair_done(Pair *p)
{
    free(p->cert);
    free(p->key);
    *p = (Pair){0};
}

static inline gnutls_x509_privkey_t key_new(char **ret_pem)
{
    gnutls_x509_privkey_t k;
    gnutls_datum_t out;
    gnutls_x509_privkey_init(&k);
    gnutls_x509_privkey_generate(k, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    gnutls_x509_privkey_export2(k, GNUTLS_X509_FMT_PEM, &out);
    *ret_pem = mem_dup_strn((const char *)out.data, out.size);
    gnutls_free(out.data);
    return k;
}

static inline void name_add(gnutls_x509_crt_t c, const char *oid, const char *v, size_t n)
{
    gnutls_x509_crt_set_dn_by_oid(c, oid, 0, v, (unsigned)n);
}

/* <signer> NULL: itself, a CA. */
static inline Pair cert_new(const char *cn, size_t n_cn, const char *const *orgs, const Pair *signer, int64_t ends_in)
{
    static unsigned char serial = 1;
    Pair p = {0};
    gnutls_x509_privkey_t key = key_new(&p.key), ca_key = key;
    gnutls_x509_crt_t c, ca;
    gnutls_x509_crt_init(&c);
    gnutls_x509_crt_init(&ca);
    gnutls_x509_crt_set_version(c, 3);
    serial++;
    gnutls_x509_crt_set_serial(c, &serial, 1);
    gnutls_x509_crt_set_activation_time(c, time(NULL) - 86400);
    gnutls_x509_crt_set_expiration_time(c, time(NULL) + ends_in);
    for (size_t i = 0; orgs && orgs[i]; i++)
        name_add(c, GNUTLS_OID_X520_ORGANIZATION_NAME, orgs[i], strlen(orgs[i]));
    name_add(c, GNUTLS_OID_X520_COMMON_NAME, cn, n_cn);
    gnutls_x509_crt_set_key(c, key);
    if (signer && strlen(cn) == n_cn)
        gnutls_x509_crt_set_subject_alt_name(c, GNUTLS_SAN_DNSNAME, cn, (unsigned)n_cn, GNUTLS_FSAN_SET);
    if (signer) {
        gnutls_datum_t d = {(unsigned char *)signer->cert, (unsigned)strlen(signer->cert)};
        gnutls_datum_t k = {(unsigned char *)signer->key, (unsigned)strlen(signer->key)};
        gnutls_x509_crt_import(ca, &d, GNUTLS_X509_FMT_PEM);
        gnutls_x509_privkey_init(&ca_key);
        gnutls_x509_privkey_import(ca_key, &k, GNUTLS_X509_FMT_PEM);
        gnutls_x509_crt_set_basic_constraints(c, 0, -1);
        gnutls_x509_crt_set_key_usage(c, GNUTLS_KEY_DIGITAL_SIGNATURE);
    } else {
        gnutls_x509_crt_set_basic_constraints(c, 1, -1);
        gnutls_x509_crt_set_key_usage(c, GNUTLS_KEY_KEY_CERT_SIGN);
    }
    gnutls_x509_crt_sign2(c, signer ? ca : c, ca_key, GNUTLS_DIG_SHA256, 0);
    gnutls_datum_t out;
    gnutls_x509_crt_export2(c, GNUTLS_X509_FMT_PEM, &out);
    p.cert = mem_dup_strn((const char *)out.data, out.size);
    gnutls_free(out.data);
    gnutls_x509_crt_deinit(c);
    gnutls_x509_crt_deinit(ca);
    if (ca_key != key)
        gnutls_x509_privkey_deinit(ca_key);
    gnutls_x509_privkey_deinit(key);
    return p;
}

static inline Pair named(const char *cn, const char *const *orgs, const Pair *signer)
{
    return cert_new(cn, strlen(cn), orgs, signer, 86400);
}

#endif
