/* cri_call.h - CRI for commands: one connection, one call at a time, waited for. (The agent's own calls never wait: src/runtime/cri.) */
#ifndef REPRISE_CLI_CRI_CALL_H
#define REPRISE_CLI_CRI_CALL_H

#include "cli/cli.h"
#include "runtime/cri/methods.h"

#define CRI_ENDPOINT_DEFAULT "unix:///run/containerd/containerd.sock"

/* --container-runtime-endpoint, else $CONTAINER_RUNTIME_ENDPOINT, else containerd's; for images --image-service-endpoint, else
 * $IMAGE_SERVICE_ENDPOINT, else that of the runtime. Borrowed. */
const char *cri_endpoint(const CliArgs *a, bool images);
/* The path of "unix:///a/b" or "/a/b", borrowed; NULL when it is an address of another kind. */
const char *cri_endpoint_path(const char *endpoint);

typedef struct CriPeer CriPeer;
/* ERR_INVALID: no address of a kind that is known. Whether somebody is there, the first call says. */
MUST_USE Err *cri_peer_open(const char *endpoint, CriPeer **ret);
void cri_peer_close(CriPeer *p);
SCOPED_FN(cri_peer_close, CriPeer *, NULL)

/* One message of a stream, in the wire's form. false = enough. */
typedef bool CriPeerMessage(void *arg, const uint8_t *bytes, size_t n);
typedef struct {
    const char *path;
    const ProtobufCMessage *request; /* NULL = an empty one, whatever its type */
    int64_t timeout_ns;              /* told to the peer; 0 = none */
    int64_t enough_ns;               /* after so long it is enough, which the peer is not told; 0 = never */
    CriPeerMessage *message;         /* NULL = a unary call */
    void *arg;
} CriPeerCall;
typedef struct {
    int code;      /* grpc/status.h; GRPC_OK when it was enough */
    bool enough;   /* given up by us: the message wanted no more, or enough_ns have passed */
    char *message; /* never NULL */
    Str bytes;     /* of a unary call's answer */
} CriPeerAnswer;
void cri_peer_answer_done(CriPeerAnswer *a);
static inline UNUSED void cri_peer_answer_done_at(CriPeerAnswer *a) { cri_peer_answer_done(a); }
void cri_peer_call(CriPeer *p, const CriPeerCall *c, CriPeerAnswer *ret);

/* A unary method; *ret is the answer (pbjson_free()). */
MUST_USE Err *cri_peer_ask(CriPeer *p, const CriMethodInfo *m, const ProtobufCMessage *request, int64_t timeout_ns, ProtobufCMessage **ret);

/* `reprise debug cri` (cmd_debug_cri.c). */
int debug_cri(const CliArgs *a);

#endif
