/* skeleton.c - what is still to come. */
#include "apiserver/keeper.h"
#include "apiserver/watch.h"

#define LATER(name) \
    void name(ApiCall *c) { api_reply_status(c, kube_internal(#name " is not served yet")); }
LATER(api_watch)
LATER(api_create)
LATER(api_update)
LATER(api_patch)
LATER(api_delete)
LATER(api_delete_collection)
LATER(pod_evict)
LATER(api_info)
void watches_init(ApiServer *s) { (void)s; }
void watches_stop(ApiServer *s) { (void)s; }
void watches_done(ApiServer *s) { (void)s; }
Err *keeper_new(ApiServer *s, ApiKeeper **ret) { (void)s; *ret = NULL; return NULL; }
void keeper_free(ApiKeeper *k) { (void)k; }
