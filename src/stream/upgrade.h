/* upgrade.h - the HTTP/1.1 with which a stream begins: a request with Upgrade, the head of its answer. Pure; the parser is strict and
 * bounded, and knows no more than an answer to such a request needs. */
#ifndef REPRISE_STREAM_UPGRADE_H
#define REPRISE_STREAM_UPGRADE_H

#include "base/err.h"
#include "base/str.h"

#define UPGRADE_MAX_HEAD ((size_t)16 << 10)

typedef struct {
    bool websocket;              /* else SPDY/3.1 */
    const char *host, *path;     /* "127.0.0.1:1234", "/exec/token" */
    const char *const *protocols;/* best first; the last is NULL */
    const char *key;             /* Sec-WebSocket-Key */
} UpgradeRequest;
void upgrade_request(const UpgradeRequest *r, Str *out);

/* Whether a list of protocols ("v5.channel.k8s.io, v4...") has <name>, letter for letter. */
bool upgrade_offers(const char *list, const char *name);

/* All owned. */
typedef struct {
    int status;           /* 101 */
    char *upgrade, *accept, *protocol; /* "" when not there */
    int64_t body;         /* Content-Length; -1 = up to the end */
    size_t n;             /* bytes of the head */
} UpgradeAnswer;
void upgrade_answer_done(UpgradeAnswer *a);
static inline UNUSED void upgrade_answer_done_at(UpgradeAnswer *a) { upgrade_answer_done(a); }
/* <bytes> are what has come so far. *ret_whole = false: the head has not come whole. Err: it is none, or too long. */
MUST_USE Err *upgrade_answer(const char *bytes, size_t n, bool *ret_whole, UpgradeAnswer *ret);
/* Whether the answer is what <r> asked for. The chosen protocol may be none ("") over SPDY. */
MUST_USE Err *upgrade_check(const UpgradeRequest *r, const UpgradeAnswer *a);

/* "http://127.0.0.1:1234/exec/token" in parts; *ret_host is without brackets and port. Caller frees. ERR_UNSUPPORTED: https, or a
 * host that is no address: names would have to be looked up, and CRI's servers say addresses. */
MUST_USE Err *upgrade_url(const char *url, char **ret_host, unsigned *ret_port, char **ret_authority, char **ret_path);

#endif
