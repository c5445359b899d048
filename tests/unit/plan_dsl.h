/* plan_dsl.h - one line for one turn of the core: a world in words in, a plan in words out.
 *
 * World, tokens split by blanks (times are seconds before now; instance ids are NAME.ATTEMPT):
 *   box[:ATTEMPT] deadbox[:ATTEMPT]             sandboxes, newest first (ids b0, b1, ...)
 *   NAME#ATTEMPT=created|running|unknown|exit:CODE|exit:?   instances, newest first, with ,fin=S ,stop=REASON ,since=S ,grace=S
 *                  ,term=S ,kill=S ,pre=none|running|done|failed ,post=... ,box=ID ,hash=TEXT ,reason=TEXT
 *   start:NAME=inflight  start:NAME=REASON,at=S
 *   probe:NAME=[s][S][l][L][r][R]               startup, liveness, readiness: capital = success, small = failure
 *   old:NAME=running|waiting:REASON|exit:CODE,n=COUNT[,id=ID][,last=CODE][,ready][,started]     the last status
 *   cond:TYPE  phase:PHASE  began=S  backoff:KEY=DELAY,at=S  term:REASON,at=S,grace=S  deleted=S(ahead)  deleted:now (grace 0)
 *   prepare:off|create|gate  annotate:VALUE (of reprise.io/prepare)  standby:NAME#ATTEMPT[,box=ID] (id NAME.ATTEMPT!)
 *   preparing:NAME=inflight  preparing:NAME=failed,at=S
 *   sandbox:inflight sandbox:failed,at=S volumes:inflight volumes:failed  gates:off  nobackoff
 *
 * Plan: "actions | PHASE | NAME=STATE[<LAST]#COUNT[r][s] ... | flags". */
#ifndef REPRISE_TESTS_PLAN_DSL_H
#define REPRISE_TESTS_PLAN_DSL_H

#include "api/codec.h"
#include "plan/plan.h"

#define DSL_NOW (100000 * NS_PER_S)
typedef struct {
    Pod *pod;
    PodFacts facts;
    PlanInput in;
} World;
/* <spec>: members of the spec, as JSON. Aborts on a token it does not know. */
void world_init(World *w, const char *spec, const char *world);
void world_done(World *w);
/* Caller frees. */
char *plan_words(const World *w, const Plan *p);

typedef struct {
    const char *name, *spec, *world, *want;
} PlanCase;

#endif
