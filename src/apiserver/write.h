/* write.h - what create, update and the patches share: a body becomes an object, an object goes into the store and is the answer. */
#ifndef REPRISE_APISERVER_WRITE_H
#define REPRISE_APISERVER_WRITE_H

#include "apiserver/api_priv.h"
#include "apiserver/strategy.h"
#include "patch/patch.h"

typedef struct {
    WriteOptions options;
    char *manager; /* owned: who is recorded */
    const Strategy *strategy;
    const SubStrategy *sub;
    const PatchType *type;
    bool applied; /* metadata.managedFields is as it shall be */
} Writing;
void writing_done(Writing *w);
static inline UNUSED void writing_done_at(Writing *w) { writing_done(w); }
/* NULL, or the Status. */
MUST_USE json_t *writing_begin(ApiCall *c, bool apply, Writing *ret);
/* Who is recorded for what is changed now. */
PatchManager writing_by(const ApiCall *c, const Writing *w);

/* The request's body as JSON; repeated keys go to <r>. */
MUST_USE json_t *write_body(ApiCall *c, json_t **ret, Report *r);
/* <j> (of the request's version, changed) as an object with its defaults. What strict decoding finds, and what <r> has already, is refused
 * or becomes warnings, by fieldValidation. */
MUST_USE json_t *write_decode(ApiCall *c, const Writing *w, json_t *j, Report *r, void **ret);

/* Both take <o>, and answer. */
void write_create(ApiCall *c, const Writing *w, void *o);
void write_update(ApiCall *c, const Writing *w, void *next, const ObjItem *live);

/* The namespace is there and takes new objects: NULL, or the 404 or 403. */
MUST_USE json_t *namespace_check(const ApiCall *c, const char *name);

/* Whether what is written of this kind must survive a loss of power: all but Events. */
bool write_durable(const KubeKind *k);

/* Ends the batch, or gives it up for <e>, and returns what failed. */
MUST_USE Err *write_end(ApiServer *s, Err *e /* taken, and returned */);

/* pods.c: what admission would say; may change <p>. */
MUST_USE json_t *pod_admit(ApiCall *c, Pod *p);

#endif
