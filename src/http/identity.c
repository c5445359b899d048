/* identity.c - who asks: a unix socket's peer, or a client certificate that our CA vouches for. */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>

#include "http/http_priv.h"

#define MAX_NAME   256
#define MAX_GROUPS 64u

static const char *const no_groups[] = {NULL};

void identity_remote(const struct sockaddr_storage *from, char *buf, size_t n)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)from;
        (void)inet_ntop(AF_INET, &a->sin_addr, text, sizeof text);
        (void)snprintf(buf, n, "%s:%u", text, ntohs(a->sin_port));
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)from;
        (void)inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof text);
        (void)snprintf(buf, n, "[%s]:%u", text, ntohs(a->sin6_port));
    } else {
        (void)snprintf(buf, n, "unix");
    }
}

bool identity_peer(int fd, HttpIdentity *ret)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return false;
    *ret = (HttpIdentity){.kind = HTTP_PEER, .uid = peer.uid, .gid = peer.gid, .pid = peer.pid};
    return true;
}

void identity_done(Conn *c)
{
    strvec_done(&c->groups);
    free(c->user);
    free(c->refusal);
}

/* The <index>th value of <oid> in the subject. false: there is none. What is no text, like a name with a NUL
 * in it, GnuTLS gives as '#' and hex digits: it is refused. */
static bool subject_part(gnutls_x509_crt_t crt, const char *oid, unsigned index, char *buf, bool *ret_bad)
{
    size_t n = MAX_NAME;
    int rc = gnutls_x509_crt_get_dn_by_oid(crt, oid, index, 0, buf, &n);
    if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return false;
    *ret_bad = *ret_bad || rc < 0 || strlen(buf) != n || n == 0 || buf[0] == '#';
    return rc >= 0;
}

static const char *take_names(Conn *c, gnutls_x509_crt_t crt)
{
    char name[MAX_NAME];
    bool bad = false;
    for (unsigned i = 0; subject_part(crt, GNUTLS_OID_X520_COMMON_NAME, i, name, &bad) && !bad; i++)
        mem_set_str(&c->user, name); /* of several the last, as Go's */
    for (unsigned i = 0; i < MAX_GROUPS && !bad && subject_part(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, i, name, &bad); i++)
        if (!bad)
            strvec_add(&c->groups, name);
    if (bad)
        return "its subject is not usable";
    return c->user ? NULL : "its subject has no common name";
}

static const char *verify(Conn *c, gnutls_session_t session, char **ret_detail)
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned status = 0, n = 0;
    int rc = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
    if (rc < 0)
        return gnutls_strerror(rc);
    if (status) {
        gnutls_datum_t text = {0};
        if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) == 0)
            *ret_detail = mem_dup_strn((const char *)text.data, text.size);
        gnutls_free(text.data);
        return *ret_detail ? *ret_detail : "it is not trusted";
    }
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
    gnutls_x509_crt_t crt;
    if (!chain || !n || gnutls_x509_crt_init(&crt) != 0)
        return "it cannot be read";
    const char *why = gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER) != 0 ? "it cannot be read" : take_names(c, crt);
    time_t expires = gnutls_x509_crt_get_expiration_time(crt), soon = time(NULL) + 60;
    c->cert_until = expires < soon ? expires : soon; /* a CA's end in the chain counts a minute later at most */
    gnutls_x509_crt_deinit(crt);
    return why;
}

/* A connection lives for days: what was verified counts for a minute. */
static void look_at_certificate(Conn *c)
{
    gnutls_session_t session = conn_session(c);
    unsigned n = 0;
    if (c->cert_seen && time(NULL) < c->cert_until)
        return;
    identity_done(c);
    c->groups = (StrVec){0};
    c->user = c->refusal = NULL;
    c->cert_seen = true;
    c->cert_until = time(NULL) + 60;
    c->identity = (HttpIdentity){.kind = HTTP_ANONYMOUS};
    if (!session || !gnutls_certificate_get_peers(session, &n) || !n)
        return;
    SCOPED(mem_free) char *detail = NULL;
    const char *why = c->listener->client_ca ? verify(c, session, &detail) : "no client certificates are wanted";
    if (why)
        c->refusal = mem_fmt("client certificate: %s", why);
    else
        c->identity.kind = HTTP_CERT;
}

const HttpIdentity *identity_of(Conn *c)
{
    if (c->listener->tls)
        look_at_certificate(c);
    bool cert = c->identity.kind == HTTP_CERT;
    c->identity.user = cert ? c->user : "";
    c->identity.groups = cert && c->groups.v ? (const char *const *)c->groups.v : no_groups;
    c->identity.refused = c->refusal;
    return &c->identity;
}
