#include "daemon/pki.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "os/fs.h"

#define DAY_S (24 * 3600)
#define CA_DAYS 3650
#define LEAF_DAYS 365
#define RENEW_DAYS 30
#define CLOCK_SKEW_S 300 /* of a client whose clock is behind; as kubeadm and cert-manager allow */
#define MAX_FILE (64 * 1024)

const char *const pki_names[PKI_N] = {"ca", "server", "admin", "view"};
static const struct {
    const char *cn; /* the node's name follows where there is no group */
    const char *organization, *purpose;
    int days;
} kinds[PKI_N] = {
    [PKI_CA] = {"reprise CA of ", NULL, NULL, CA_DAYS},
    [PKI_SERVER] = {"", NULL, GNUTLS_KP_TLS_WWW_SERVER, LEAF_DAYS},
    [PKI_ADMIN] = {"admin", "reprise:admin", GNUTLS_KP_TLS_WWW_CLIENT, LEAF_DAYS},
    [PKI_VIEW] = {"view", "reprise:view", GNUTLS_KP_TLS_WWW_CLIENT, LEAF_DAYS},
};

typedef struct {
    gnutls_x509_crt_t crt;     /* NULL: not there */
    gnutls_x509_privkey_t key; /* the same */
} Pair;
static void pairs_done(Pair p[PKI_N])
{
    for (int i = 0; i < PKI_N; i++) {
        gnutls_x509_crt_deinit(p[i].crt); /* NULL is fine for both */
        gnutls_x509_privkey_deinit(p[i].key);
    }
}

void pki_done(Pki *p)
{
    for (int i = 0; i < PKI_N; i++) {
        free(p->f[i].why);
        free(p->f[i].crt);
        free(p->f[i].key);
        free(p->f[i].old_crt);
    }
    *p = (Pki){0};
}

static Err *failed(int rc, const char *what)
{
    return rc < 0 ? err_new(ERR_SYS, 0, "%s: %s", what, gnutls_strerror(rc)) : NULL;
}

static gnutls_datum_t datum(const char *text)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
}

/* 4 or 16 bytes into buf; 0: it is no address. */
static unsigned ip_bytes(const char *name, unsigned char buf[16])
{
    return inet_pton(AF_INET, name, buf) == 1 ? 4 : inet_pton(AF_INET6, name, buf) == 1 ? 16 : 0;
}

bool pki_is_san(const char *name)
{
    unsigned char ip[16];
    if (ip_bytes(name, ip))
        return true;
    if (str_starts(name, "*."))
        name += 2;
    size_t n = strlen(name), label = 0;
    for (const char *c = name; *c; c++) {
        if (*c == '.' ? label == 0 || c[-1] == '-' : !isalnum((unsigned char)*c) && (*c != '-' || label == 0))
            return false;
        label = *c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return n > 0 && n <= 253 && label > 0 && name[n - 1] != '-';
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static char *path_of(const PkiConfig *c, int i, const char *ext)
{
    return mem_fmt("%s/%s.%s", c->dir, pki_names[i], ext);
}

/* *ret stays NULL when the file is not there. */
static Err *read_text(const char *path, char **ret)
{
    Str s = {0};
    Err *e = fs_read(path, MAX_FILE, &s);
    if (e && e->kind == ERR_NOT_FOUND) {
        err_free(e);
        return NULL;
    }
    if (!e)
        *ret = str_take(&s);
    str_done(&s);
    return e;
}

static Err *check_private(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return err_new(ERR_SYS, errno, "stat %s", path);
    if (st.st_mode & 077)
        return err_new(ERR_INVALID, 0, "%s: mode %04o lets others use the key: if nobody had it, chmod 600 it", path, st.st_mode & 07777);
    return NULL;
}

static Err *read_pair(const PkiConfig *c, int i, PkiFile *f, Pair *ret)
{
    SCOPED(mem_free) char *crt = path_of(c, i, "crt"), *key = path_of(c, i, "key");
    Err *e = read_text(crt, &f->crt);
    if (!e)
        e = read_text(key, &f->key);
    if (!e && f->key)
        e = check_private(key);
    if (e)
        return e;
    if (f->crt && !f->key && i != PKI_CA)
        return err_new(ERR_INVALID, 0, "%s has no key (%s): take it away, and it is made anew", crt, key);
    if (f->crt) {
        gnutls_datum_t d = datum(f->crt);
        int rc = gnutls_x509_crt_init(&ret->crt);
        if (rc >= 0)
            rc = gnutls_x509_crt_import(ret->crt, &d, GNUTLS_X509_FMT_PEM);
        if (rc < 0)
            return err_new(ERR_INVALID, 0, "%s: %s", crt, gnutls_strerror(rc));
    }
    if (f->key) {
        gnutls_datum_t d = datum(f->key);
        int rc = gnutls_x509_privkey_init(&ret->key);
        if (rc >= 0)
            rc = gnutls_x509_privkey_import2(ret->key, &d, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (rc < 0)
            return err_new(ERR_INVALID, 0, "%s: %s", key, gnutls_strerror(rc));
    }
    if (!ret->crt || !ret->key)
        return NULL;
    unsigned char of_crt[32], of_key[32];
    size_t n_crt = sizeof of_crt, n_key = sizeof of_key;
    if (gnutls_x509_crt_get_key_id(ret->crt, GNUTLS_KEYID_USE_SHA256, of_crt, &n_crt) < 0 ||
        gnutls_x509_privkey_get_key_id(ret->key, GNUTLS_KEYID_USE_SHA256, of_key, &n_key) < 0 || n_crt != n_key ||
        memcmp(of_crt, of_key, n_crt) != 0)
        return err_new(ERR_INVALID, 0, "%s is not the key of %s", key, crt);
    return NULL;
}

static Err *check_signed(const PkiConfig *c, int i, const Pair p[PKI_N])
{
    unsigned status = 0;
    int rc = p[PKI_CA].crt ? gnutls_x509_crt_verify(p[i].crt, &p[PKI_CA].crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status) : -1;
    if (rc >= 0 && status == 0)
        return NULL;
    return err_new(ERR_INVALID, 0, "%s/%s.crt is not signed by %s/ca.crt: take it away, and it is made anew", c->dir, pki_names[i], c->dir);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static void add_name(StrVec *l, const char *name)
{
    if (!strvec_has(l, name))
        strvec_add(l, name);
}

static void read_names(gnutls_x509_crt_t crt, StrVec *ret)
{
    for (unsigned i = 0;; i++) {
        char buf[256], text[INET6_ADDRSTRLEN];
        size_t n = sizeof buf - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, buf, &n, NULL);
        if (type < 0)
            return; /* also one that is longer than a DNS name can be */
        buf[n] = '\0';
        if (type == GNUTLS_SAN_DNSNAME)
            add_name(ret, buf);
        else if (type == GNUTLS_SAN_IPADDRESS && (n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, buf, text, sizeof text))
            add_name(ret, text);
    }
}

/* Why a certificate that is there must be made anew; NULL: it need not. */
static char *why_renew(const PkiConfig *c, int i, gnutls_x509_crt_t crt)
{
    time_t until = gnutls_x509_crt_get_expiration_time(crt);
    int64_t now_s = c->now_ns / NS_PER_S;
    if (until <= now_s + (int64_t)RENEW_DAYS * DAY_S) {
        char text[CLOCK_TEXT_MAX];
        return mem_fmt("%s on %.10s", until <= now_s ? "it expired" : "it expires", clock_format(until * NS_PER_S, 0, text));
    }
    SCOPED(strvec_done) StrVec has = {0};
    if (i == PKI_SERVER)
        read_names(crt, &has);
    for (const char *const *n = c->names; i == PKI_SERVER && *n; n++)
        if (!strvec_has(&has, *n))
            return mem_fmt("it lacks the name %s", *n);
    return NULL;
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static Err *make_key(gnutls_x509_privkey_t *ret)
{
    int rc = gnutls_x509_privkey_init(ret);
    if (rc >= 0)
        rc = gnutls_x509_privkey_generate(*ret, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    return failed(rc, "make a key");
}

static int set_names(gnutls_x509_crt_t crt, const StrVec *names)
{
    int rc = 0;
    for (size_t k = 0; k < names->n && rc >= 0; k++) {
        unsigned char ip[16];
        unsigned n = ip_bytes(names->v[k], ip);
        rc = n ? gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, n, GNUTLS_FSAN_APPEND)
               : gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, names->v[k], (unsigned)strlen(names->v[k]), GNUTLS_FSAN_APPEND);
    }
    return rc;
}

static int set_subject(gnutls_x509_crt_t crt, int i, const char *node_name)
{
    const char *o = kinds[i].organization;
    SCOPED(mem_free) char *cn = mem_fmt("%s%s", kinds[i].cn, o ? "" : node_name);
    if (strlen(cn) > 64) /* all that X.520 has for it; a node's name may have 253. Names that count stand in the SANs */
        cn[64] = '\0';
    int rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
    return rc < 0 || !o ? rc : gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, 0, o, (unsigned)strlen(o));
}

static int fill(gnutls_x509_crt_t crt, const PkiConfig *c, int i, const Pair p[PKI_N], const StrVec *names)
{
    unsigned char serial[16], id[64];
    size_t n = sizeof id;
    time_t now = (time_t)(c->now_ns / NS_PER_S), until = now + (time_t)kinds[i].days * DAY_S;
    if (i != PKI_CA && until > gnutls_x509_crt_get_expiration_time(p[PKI_CA].crt))
        until = gnutls_x509_crt_get_expiration_time(p[PKI_CA].crt); /* it is worth nothing after that */
    int rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive, and of full length */
#define STEP(call) rc = rc < 0 ? rc : (call)
    STEP(gnutls_x509_crt_set_version(crt, 3));
    STEP(gnutls_x509_crt_set_serial(crt, serial, sizeof serial));
    STEP(gnutls_x509_crt_set_activation_time(crt, now - CLOCK_SKEW_S));
    STEP(gnutls_x509_crt_set_expiration_time(crt, until));
    STEP(gnutls_x509_crt_set_key(crt, p[i].key));
    STEP(set_subject(crt, i, c->node_name));
    STEP(gnutls_x509_crt_set_basic_constraints(crt, i == PKI_CA, i == PKI_CA ? 0 : -1));
    STEP(gnutls_x509_crt_set_key_usage(crt, i == PKI_CA ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE));
    if (kinds[i].purpose)
        STEP(gnutls_x509_crt_set_key_purpose_oid(crt, kinds[i].purpose, 0));
    STEP(set_names(crt, names));
    STEP(gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &n));
    STEP(gnutls_x509_crt_set_subject_key_id(crt, id, n));
    n = sizeof id;
    STEP(gnutls_x509_privkey_get_key_id(p[PKI_CA].key, GNUTLS_KEYID_USE_SHA1, id, &n));
    STEP(gnutls_x509_crt_set_authority_key_id(crt, id, n));
    STEP(gnutls_x509_crt_sign2(crt, i == PKI_CA ? crt : p[PKI_CA].crt, p[PKI_CA].key, GNUTLS_DIG_SHA256, 0));
#undef STEP
    return rc;
}

static Err *make_crt(const PkiConfig *c, int i, Pair p[PKI_N])
{
    SCOPED(strvec_done) StrVec names = {0};
    if (i == PKI_SERVER) {
        for (const char *const *n = c->names; *n; n++)
            add_name(&names, *n);
        if (p[i].crt)
            read_names(p[i].crt, &names); /* what was asked for once stays */
        for (const char *const *n = c->more; *n; n++)
            add_name(&names, *n);
    }
    gnutls_x509_crt_t crt = NULL;
    int rc = gnutls_x509_crt_init(&crt);
    if (rc >= 0)
        rc = fill(crt, c, i, p, &names);
    if (rc < 0) {
        gnutls_x509_crt_deinit(crt);
        return failed(rc, "make a certificate");
    }
    gnutls_x509_crt_deinit(p[i].crt);
    p[i].crt = crt;
    return NULL;
}

static Err *write_pem(const PkiConfig *c, int i, const char *ext, mode_t mode, int rc, gnutls_datum_t *pem, char **ret)
{
    SCOPED(mem_free) char *path = path_of(c, i, ext);
    Err *e = failed(rc, path);
    if (e)
        return e;
    free(*ret);
    *ret = mem_dup_strn((const char *)pem->data, pem->size);
    gnutls_memset(pem->data, 0, pem->size);
    gnutls_free(pem->data);
    return fs_write_atomic(path, *ret, strlen(*ret), mode, true);
}

/* The key first: one without a certificate gets one, a certificate without a key is worth nothing. */
static Err *make(const PkiConfig *c, int i, Pair p[PKI_N], PkiFile *f)
{
    gnutls_datum_t pem = {0};
    if (!p[i].key) {
        Err *e = make_key(&p[i].key);
        if (e)
            return e;
        int rc = gnutls_x509_privkey_export2_pkcs8(p[i].key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem);
        e = write_pem(c, i, "key", 0600, rc, &pem, &f->key);
        if (e)
            return e;
    }
    f->change = f->crt ? PKI_RENEWED : PKI_MADE;
    f->old_crt = MOVE(f->crt, NULL);
    Err *e = make_crt(c, i, p);
    if (e)
        return e;
    int rc = gnutls_x509_crt_export2(p[i].crt, GNUTLS_X509_FMT_PEM, &pem);
    return write_pem(c, i, "crt", 0644, rc, &pem, &f->crt);
}

static Err *ensure(const PkiConfig *c, Pair p[PKI_N], Pki *ret)
{
    bool needed[PKI_N] = {0}, sign = false;
    Err *e = NULL;
    for (int i = 0; i < PKI_N && !e; i++)
        e = read_pair(c, i, &ret->f[i], &p[i]);
    for (int i = 0; i < PKI_N && !e; i++) {
        PkiFile *f = &ret->f[i];
        if (p[i].crt && i != PKI_CA) {
            e = check_signed(c, i, p);
            f->why = e ? NULL : why_renew(c, i, p[i].crt);
        }
        needed[i] = !p[i].crt || f->why;
        sign = sign || needed[i];
    }
    if (!e && sign && p[PKI_CA].crt) {
        if (!p[PKI_CA].key)
            e = err_new(ERR_INVALID, 0, "%s/ca.key is not there, and without it nothing can be signed", c->dir);
        else if (gnutls_x509_crt_get_expiration_time(p[PKI_CA].crt) <= c->now_ns / NS_PER_S)
            e = err_new(ERR_INVALID, 0, "%s/ca.crt has expired: take the directory away, and everything is made anew", c->dir);
    }
    for (int i = 0; i < PKI_N && !e; i++) {
        if (needed[i])
            e = make(c, i, p, &ret->f[i]);
        if (!e)
            ret->f[i].until_ns = gnutls_x509_crt_get_expiration_time(p[i].crt) * NS_PER_S;
    }
    return e;
}

Err *pki_ensure(const PkiConfig *c, Pki *ret)
{
    *ret = (Pki){0};
    Err *e = fs_mkdirs(c->dir, 0700);
    SCOPED(mem_free) char *lock = mem_fmt("%s/.lock", c->dir);
    SCOPED(fd_close) int fd = -EBADF;
    char holder[FS_LOCK_HOLDER];
    if (!e)
        e = fs_lock(lock, &fd, holder);
    if (e && e->kind == ERR_EXISTS) {
        err_free(e);
        return err_new(ERR_UNAVAILABLE, 0, "another process, %s, makes certificates in %s", holder, c->dir);
    }
    Pair p[PKI_N] = {0};
    if (!e)
        e = ensure(c, p, ret);
    pairs_done(p);
    if (e)
        pki_done(ret);
    return e;
}
