/* remove.h - how an object goes: at once, or first marked as going. */
#ifndef REPRISE_APISERVER_REMOVE_H
#define REPRISE_APISERVER_REMOVE_H

#include "apiserver/api_priv.h"

/* Deletes <o> (a struct of the kind's type, as it is stored; changed), or marks it, as <o> says; the policy for what it owns is followed.
 * Within a batch: it may take two writes. *ret: what is, or was, stored. *ret_gone (may be NULL): it has left the store. */
MUST_USE Err *remove_object(ApiServer *s, const KubeKind *k, void *object, const DeleteOptions *o, json_t **ret, bool *ret_gone);

#endif
