/* api.h - HTTP to the node's API, over its unix socket: requests, and streams (watches, followed logs) side by side. HTTP is libcurl's.
 *
 * What the server refuses is an Err: its text is the Status's message, its reason the Status's; api_error_text() makes of it what
 * kubectl prints. */
#ifndef REPRISE_CLIENT_API_H
#define REPRISE_CLIENT_API_H

#include "base/clock.h"
#include "base/str.h"
#include "wire/json.h"

#define API_SOCKET "/run/reprise/api.sock"
/* What get and watch ask for when they print a table (kubectl's GetOptions.transformRequests). */
#define API_AS_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

typedef struct ApiClient ApiClient;
typedef struct {
    const char *socket;                        /* borrowed for the call */
    void (*warn)(void *arg, const char *text); /* a Warning header of an answer, each text once; may be NULL */
    void *warn_arg;
} ApiConfig;
MUST_USE Err *api_client_new(const ApiConfig *c, ApiClient **ret);
void api_client_free(ApiClient *a);
SCOPED_FN(api_client_free, ApiClient *, NULL)

typedef struct {
    const char *method; /* NULL = GET */
    const char *path;   /* with its query: api_query() */
    const char *accept; /* NULL = application/json */
    const char *type;   /* of the body; NULL = application/json */
    const char *body;   /* NULL = none */
    size_t body_n;
} ApiCall;

/* *ret is the answer, a new reference; *ret_code (may be NULL) its HTTP status, below 300. ERR_UNAVAILABLE: there is no API, said what to
 * do. */
MUST_USE Err *client_call(ApiClient *a, const ApiCall *c, long *ret_code, json_t **ret);
MUST_USE Err *client_get(ApiClient *a, const char *path, const char *accept, json_t **ret);
/* All pages of a list, <chunk> objects each (0 = one page), as one: "items", or "rows" of a Table. */
MUST_USE Err *client_list(ApiClient *a, const char *path, const char *accept, int64_t chunk, json_t **ret);

typedef struct {
    bool (*data)(void *arg, const char *p, size_t n); /* false = enough: the stream ends, without an error */
    void (*end)(void *arg, Err *e);                   /* called once, in client_run(); <e> is taken; NULL = ended well */
    void *arg;
} ApiStreamOps;
/* Begins when client_run() is called. */
MUST_USE Err *client_stream(ApiClient *a, const ApiCall *c, const ApiStreamOps *ops);
/* Until all streams have ended. ERR_TIMEOUT after <timeout_ns> (negative = never): what still runs is dropped, without its end(). */
MUST_USE Err *client_run(ApiClient *a, int64_t timeout_ns);
/* Drops the streams that run, without their end(): client_run() is over then. */
void client_stop(ApiClient *a);

/* A watch: lines of {"type", "object"}. <event> as ApiStreamOps.data; a type ERROR ends the watch with its Status as the error. */
typedef struct {
    bool (*event)(void *arg, const char *type, const json_t *object);
    void *arg;
    Str line;
    Err *failed; /* of the watch itself; owned */
} ApiWatch;
void api_watch_done(ApiWatch *w);
static inline UNUSED void api_watch_done_at(ApiWatch *w) { api_watch_done(w); }
/* Watches until <event> says that it is enough, the server ends it, or the time is over (as client_run()). */
MUST_USE Err *client_watch(ApiClient *a, const char *path, const char *accept, int64_t timeout_ns, ApiWatch *w);

/* --- pure ---------------------------------------------------------------------------------------------------------- */

/* The Err of a Status of kind Failure; <code> when the answer is no Status. */
MUST_USE Err *api_status_error(const json_t *status, long code);
/* What kubectl prints for it (cmd/util's checkErr), without the last line end: "Error from server (NotFound): pods \"x\" not found". */
MUST_USE char *api_error_text(const Err *e);
/* Is it an answer of the server with this reason? */
bool api_is(const Err *e, const char *reason);
/* Appends key=value to a path, behind its ? or &; percent-encoded. */
void api_query(Str *path, const char *key, const char *value);
void api_escape(Str *out, const char *text);

#endif
