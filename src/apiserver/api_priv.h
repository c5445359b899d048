/* api_priv.h - what the files of this folder share: a server, a request on its way through it, and how it is answered.
 *
 * A request is an ApiCall. The server has authenticated, parsed and authorized it before a handler sees it. A handler answers with one of
 * api_reply*(), and is done. One that answers later, or streams, sets <kept>: then the call is its own until it says api_call_free().
 * Decisions are pure functions over src/kube and src/api; handlers only join them to the store. */
#ifndef REPRISE_APISERVER_API_PRIV_H
#define REPRISE_APISERVER_API_PRIV_H

#include "apiserver/apiserver.h"
#include "apiserver/auth.h"
#include "apiserver/select.h"
#include "apiserver/tokens.h"
#include "kube/meta.h"
#include "kube/negotiate.h"
#include "kube/request.h"
#include "kube/table.h"

typedef struct ApiCall ApiCall;
typedef struct ApiWatch ApiWatch;       /* watch.c */
typedef struct ApiKeeper ApiKeeper;     /* keeper.c */
typedef struct PodStreams PodStreams;   /* pod_streams.c: what it keeps of the streams that are open; NULL = nothing */

struct ApiServer {
    uv_loop_t *loop;
    ObjStore *store;
    Runtime *rt;
    char *node_name, *log_dir;
    FeatureGates gates;
    unsigned max_watches, max_streams;
    size_t max_body;
    ApiNodeOps node;
    HttpServer *http;
    HttpOps http_ops;
    TokenFile tokens;
    bool stopping;

    ApiWatch *watches, *ready; /* all, and those for which the store has something */
    ApiWatch *draining;        /* of those, the ones still to come in this turn */
    unsigned n_watches;
    uv_idle_t *turn;    /* runs while <ready> is not empty: the store may not be asked from within its own call */
    bool turn_active;
    ApiKeeper *keeper;
    unsigned n_streams; /* of max_streams: exec, attach, port-forward, followed logs */
    PodStreams *streams;
    struct InfoDoc *info; /* constant documents, made when first asked for: info.c */
};

struct ApiCall {
    ApiServer *s;
    HttpRequest *req; /* NULL: it was answered, or the client has gone away */
    KubeRequest kr;   /* parsed; its path is allowed to <user> */
    ApiUser user;
    MediaChoice accept; /* the form of an answer that is an object */
    StrVec warnings;    /* each becomes a Warning header of the answer */
    bool kept;          /* the handler still needs it after it has returned */
    bool in_handler, freed; /* the server's */
    /* Of a call that is kept and not answered: its client went away, <req> is NULL already. NULL = api_call_free(). */
    void (*on_gone)(ApiCall *c);
    void *data; /* the handler's */
};
void api_call_free(ApiCall *c);

/* --- answers (respond.c); each but the text and the stream ends the call's use of <req> ---------------------------- */

/* <j> is taken. The code of a Status is its own. */
void api_reply_json(ApiCall *c, int code, json_t *j);
void api_reply_status(ApiCall *c, json_t *status);
/* <e> is taken: what it is about is the request's object. */
void api_reply_err(ApiCall *c, Err *e);
void api_reply_text(ApiCall *c, int code, const char *content_type, const char *text, size_t n);
/* An object in the form that was asked for: as it is, a Table, its metadata. <o> is of the request's kind (events in their v1 form) and
 * borrowed. */
void api_reply_object(ApiCall *c, int code, const json_t *o);
void api_reply_item(ApiCall *c, int code, const ObjItem *i);
/* A list of such objects, with its metadata; both borrowed. */
void api_reply_items(ApiCall *c, const json_t *items, const json_t *meta);
MUST_USE json_t *api_list_meta(const ObjList *l);
/* Takes the text's memory. */
void api_reply_take(ApiCall *c, int code, const char *content_type, Str *text);
/* Warning headers, Cache-Control and the content type, for http_reply() and http_stream(). */
#define API_HEADERS 40
size_t api_headers(ApiCall *c, const char *content_type, HttpHeader h[API_HEADERS], StrVec *mem);
/* The options of a Table by ?includeObject. NULL, or the Status. */
MUST_USE json_t *api_table_options(const ApiCall *c, bool v1beta1, TableOptions *ret);
MUST_USE json_t *api_not_acceptable(void); /* 406: not in the form that was asked for */
void api_warn(ApiCall *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* --- handlers ----------------------------------------------------------------------------------------------------- */

typedef void ApiHandler(ApiCall *c);
ApiHandler api_get, api_list;                      /* read.c */
ApiHandler api_watch;                              /* watch.c */
ApiHandler api_create, api_update;                 /* write.c; the object, and the subresources that are objects */
ApiHandler api_patch;                              /* patching.c */
ApiHandler api_delete, api_delete_collection;      /* remove.c */
ApiHandler pod_evict;                              /* pods.c */
ApiHandler pod_log;                                /* pod_log.c */
ApiHandler pod_exec, pod_attach, pod_port_forward; /* pod_streams.c */
ApiHandler api_info;                               /* info.c: whatever is no resource */
/* review.c: kubectl auth can-i and whoami. true: it was one of these, and is answered. */
bool api_review(ApiCall *c);
void info_free(ApiServer *s);

/* The server stops, and is freed: ends what streams are left, and frees s->streams. */
void pod_streams_stop(ApiServer *s);
void pod_streams_free(ApiServer *s);

/* --- objects ------------------------------------------------------------------------------------------------------- */

/* The resource that the store keeps a kind under: both forms of events are kept as "events". */
const char *api_store_resource(const KubeKind *k);
/* The stored object of the request's path; NULL: there is none. Borrowed until the next write. */
const ObjItem *api_stored(const ApiCall *c);
/* What a list or a deletion of many is of. NULL, or the Status. */
MUST_USE json_t *api_list_of(const ApiCall *c, const ListOptions *o, ObjList *ret);
/* The answer to a list that failed (<e> is taken), with the token that goes on, if there is one. */
MUST_USE json_t *api_list_failed(const ApiCall *c, Err *e, const ObjList *l);
/* `pods "x" not found` in the request's words. */
MUST_USE json_t *api_not_found(const ApiCall *c);

#endif
