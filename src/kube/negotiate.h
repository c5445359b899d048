/* negotiate.h - which form an answer takes and which form a body has, by Accept, Content-Type, User-Agent and ?pretty. The rules are
 * those of apiserver's endpoints/handlers/negotiation and of goautoneg; this server writes JSON and YAML, and protobuf only where a
 * constant will do. NULL, or the 406 or 415 to answer. */
#ifndef REPRISE_KUBE_NEGOTIATE_H
#define REPRISE_KUBE_NEGOTIATE_H

#include "kube/status.h"

typedef enum { MEDIA_JSON, MEDIA_YAML, MEDIA_PROTOBUF } MediaType;
typedef enum { AS_IS, AS_TABLE, AS_PARTIAL, AS_PARTIAL_LIST, AS_DISCOVERY_V2, AS_DISCOVERY_V2BETA1 } MediaAs;
typedef struct {
    MediaType type;
    MediaAs as;
    bool v1beta1; /* AS_TABLE, AS_PARTIAL*: of meta.k8s.io/v1beta1 */
    bool pretty;
} MediaChoice;
typedef enum {
    ACCEPT_OBJECT,     /* an object or a list: Table and PartialObjectMetadata may be asked for */
    ACCEPT_WATCH,      /* a stream of events: JSON */
    ACCEPT_DISCOVERY,  /* /api and /apis: aggregated discovery in exactly the version that is asked for */
    ACCEPT_PLAIN,      /* anything else that is JSON or YAML */
    ACCEPT_OPENAPI_V2, /* JSON, or the protobuf constant that old kubectl asks for */
} AcceptWhat;

/* <accept> and <user_agent> NULL when not sent; <pretty> is ?pretty's value or NULL. */
MUST_USE json_t *kube_accept(const char *accept, AcceptWhat what, const char *pretty, const char *user_agent, MediaChoice *ret);
/* "application/json"; of AS_DISCOVERY_* with its parameters. Static. */
const char *kube_content_type_of(const MediaChoice *c, AcceptWhat what);

typedef enum { PATCH_NONE, PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY } PatchForm;
/* Of a body that is an object; no Content-Type is JSON. <protobuf>: it is read for this resource (kubectl creates ConfigMaps so). */
MUST_USE json_t *kube_body_type(const char *content_type, bool protobuf, MediaType *ret);
MUST_USE json_t *kube_patch_type(const char *content_type, PatchForm *ret);

/* The text of an answer, with the newline Go's encoder ends it with. Caller frees. */
MUST_USE char *kube_render(const json_t *j, const MediaChoice *c);

#endif
