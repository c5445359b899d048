/* keeper.h - what the API does by itself: the namespaces and ServiceAccounts that are always there, emptying a namespace that is
 * deleted, deleting what has lost its owner, and Events that have grown old. */
#ifndef REPRISE_APISERVER_KEEPER_H
#define REPRISE_APISERVER_KEEPER_H

#include "apiserver/api_priv.h"

MUST_USE Err *keeper_new(ApiServer *s, ApiKeeper **ret);
void keeper_free(ApiKeeper *k); /* NULL is fine */

#endif
