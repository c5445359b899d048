/* owners.h - metadata.ownerReferences: what an object owns goes with it, or is let go. Cheap where nobody owns anything: an object is only
 * parsed when its text has references. */
#ifndef REPRISE_APISERVER_OWNERS_H
#define REPRISE_APISERVER_OWNERS_H

#include "store/store.h"

#define FOREGROUND_FINALIZER "foregroundDeletion"

/* Everything that one of <uids> owns; <uid> is which. Within the caller's batch, if there is one. */
typedef bool OwnedEach(void *arg, const char *resource, const json_t *o, const char *uid); /* false: enough */
void owners_each(ObjStore *s, const StrVec *uids, OwnedEach *each, void *arg);
/* Does anybody own the object of this text? A guess that is never wrong when it says no. */
bool owners_mentioned(const ObjItem *i);
/* Is there something that says it blocks the owner's deletion? */
bool owners_blocked(ObjStore *s, const char *uid);
/* Takes the reference to <uid> out of all that has it. */
MUST_USE Err *owners_orphan(ObjStore *s, const char *uid);
/* <o> without its reference to <uid>; *ret_left: how many others there are. */
MUST_USE json_t *owners_without(const json_t *o, const char *uid, size_t *ret_left);

#endif
