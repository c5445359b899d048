/* pki.h - the certificates of this node's API: a CA of its own, the server's, and one for each kind of client. PEM files of a directory:
 *
 *   ca.crt ca.key          10 years; signs the others, and is what clients and server trust
 *   server.crt server.key  1 year; every name that the server is asked by
 *   admin.crt admin.key    1 year; group reprise:admin: everything
 *   view.crt view.key      1 year; group reprise:view: reads all but Secrets
 *
 * Keys are P-256, PKCS#8, 0600. What is there stays: only a certificate that expires within 30 days, or lacks a name, is made anew, for
 * the same key, so that file by file the pair fits whenever it is read. */
#ifndef REPRISE_DAEMON_PKI_H
#define REPRISE_DAEMON_PKI_H

#include "base/err.h"
#include "base/str.h"

enum { PKI_CA, PKI_SERVER, PKI_ADMIN, PKI_VIEW, PKI_N };
extern const char *const pki_names[PKI_N]; /* "ca", "server", ... : NAME.crt, NAME.key */

typedef struct {
    const char *dir;       /* made, 0700, when it is not there */
    const char *node_name; /* in the subjects */
    const char *const *names; /* NULL at the end: DNS names and IP addresses that the server's certificate must have */
    const char *const *more;  /* the same; put in when one is made, no reason to make one: addresses come and go */
    int64_t now_ns;
} PkiConfig;

typedef enum { PKI_KEPT, PKI_MADE, PKI_RENEWED } PkiChange;
typedef struct {
    PkiChange change;
    char *why;         /* PKI_RENEWED: "it expires on 2026-01-02", "it lacks web.example"; else NULL. Owned */
    int64_t until_ns;
    char *crt, *key;   /* PEM; owned */
    char *old_crt;     /* PKI_RENEWED: what was there; owned */
} PkiFile;
typedef struct {
    PkiFile f[PKI_N];
} Pki;
void pki_done(Pki *p);
static inline UNUSED void pki_done_at(Pki *p) { pki_done(p); }

/* Makes what is missing and renews what must be. ERR_INVALID: a file there is broken, does not belong to the others, or a key that others
 * may read: nothing is changed. Needs ca.key only to sign. */
MUST_USE Err *pki_ensure(const PkiConfig *c, Pki *ret);
/* Whether a server's certificate can have <name>: a DNS name, also one that begins with "*.", or an IP address. */
bool pki_is_san(const char *name);

#endif
