/* keeper.h - what the API does by itself: the namespaces and ServiceAccounts that are always there, emptying a namespace that is
 * deleted, and deleting what has lost its owner. */
#ifndef REPRISE_APISERVER_KEEPER_H
#define REPRISE_APISERVER_KEEPER_H

#include "apiserver/api_priv.h"

/* Makes what is missing, and goes on with what was under way. */
MUST_USE Err *keeper_new(ApiServer *s, ApiKeeper **ret);
void keeper_free(ApiKeeper *k); /* NULL is fine; its handles go in a later turn */
/* The ServiceAccount "default" of a namespace, if it is not there. */
MUST_USE Err *keeper_make_account(ApiServer *s, const char *namespace_);

#endif
