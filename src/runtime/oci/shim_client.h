/* shim_client.h - one connection to a Pod's reprise-shim (wire/shimwire.h), with a copy of its facts that its events keep
 * equal. Private to runtime/oci. */
#ifndef REPRISE_RUNTIME_OCI_SHIM_CLIENT_H
#define REPRISE_RUNTIME_OCI_SHIM_CLIENT_H

#include <uv.h>

#include "base/err.h"
#include "wire/json.h"

typedef struct ShimClient ShimClient;
typedef struct {
    void (*on_hello)(void *arg);  /* the facts are complete; requests may be sent */
    void (*on_change)(void *arg); /* after one or more changes of the facts */
    /* The connection broke or the shim ended (<err> taken); close it. Unanswered requests have been answered before. */
    void (*on_lost)(void *arg, Err *err);
} ShimClientEvents;
/* Connects to the socket at <path>. Err: nobody listens. <ev> is copied. Calls nothing before it returns. */
MUST_USE Err *shim_client_open(uv_loop_t *loop, const char *path, const ShimClientEvents *ev, void *arg, ShimClient **ret);
/* Blocks until the shim has said hello, at most <timeout_ms>; calls on_hello. Only at start-up. */
MUST_USE Err *shim_client_wait(ShimClient *c, int timeout_ms);
/* Answers what is open with ERR_UNAVAILABLE, never calls on_lost. NULL is fine. */
void shim_client_close(ShimClient *c);

/* <ok> borrowed, NULL on error; <err> taken. <request>: as it was given, borrowed, so that it can be sent again. */
typedef void ShimReply(void *arg, const json_t *ok, json_t *request, Err *err);
/* Sends {"op": ...} (taken); <reply> comes once, from the loop. */
void shim_client_call(ShimClient *c, json_t *request, ShimReply *reply, void *arg);

bool shim_client_ready(const ShimClient *c);      /* hello was heard and the connection stands */
const json_t *shim_client_facts(const ShimClient *c); /* {"sandboxes": {...}, "containers": {...}}; borrowed until the next event */
int shim_client_pid(const ShimClient *c);
const json_t *shim_client_strays(const ShimClient *c); /* as it said in its hello; NULL = none. Borrowed */

#endif
