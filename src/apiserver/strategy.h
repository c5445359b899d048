/* strategy.h - what differs between the kinds when they are created, updated and deleted: one row a kind. The functions are pure. */
#ifndef REPRISE_APISERVER_STRATEGY_H
#define REPRISE_APISERVER_STRATEGY_H

#include "apiserver/plain.h"
#include "kube/meta.h"

/* <next> is changed to what is to be stored; errors go to <r>, as upstream orders them. */
typedef void UpdateRule(void *next, const void *old, const FeatureGates *gates, Report *r);
typedef struct {
    const char *sub; /* NULL: the object itself */
    UpdateRule *update;
    const char *const *reset; /* patch.h, PatchManager */
} SubStrategy;
typedef struct {
    const TypeDesc *type;
    void (*defaults)(void *o);                                       /* NULL: none */
    void (*prepare)(void *o);                                        /* of a create: what only the server says; NULL: nothing */
    void (*validate)(const void *o, const FeatureGates *g, Report *r); /* of a create */
    const SubStrategy *subs;                                         /* the object itself is the first */
    size_t n_subs;
    bool returns_deleted; /* a deletion is answered with the object, not with a Status */
} Strategy;

const Strategy *strategy_of(const KubeKind *k);
/* NULL: no such subresource. */
const SubStrategy *strategy_sub(const Strategy *s, const KubeSub *sub);

#endif
