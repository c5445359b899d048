/* facts_json.h - one turn of the decision core as JSON: what `reprise debug plan` reads and `reprise debug dump` writes.
 * The format, with every optional member, is docs/facts.md. Decoding is lenient about what is missing (no runtime: there
 * is nothing; no probes: none) and strict about what is there but of the wrong type: the error names its path. */
#ifndef REPRISE_AGENT_FACTS_JSON_H
#define REPRISE_AGENT_FACTS_JSON_H

#include "plan/plan.h"

/* A new reference. */
MUST_USE json_t *facts_to_json(const PlanInput *in);

/* An input that owns what it points to. */
typedef struct {
    PlanInput in;
    Pod *pod;
    PodFacts runtime;
} Facts;
void facts_done(Facts *f);
static inline UNUSED void facts_done_at(Facts *f) { facts_done(f); }
/* *ret is overwritten, on failure too; facts_done() it either way. ERR_INVALID names the path: "runtime.containers[0].state". */
MUST_USE Err *facts_from_json(const json_t *j, Facts *ret);

/* A plan as `reprise debug plan` prints it; a new reference. <now_ns>: requeueAfterSeconds counts from it. */
MUST_USE json_t *plan_to_json(const Plan *p, int64_t now_ns);

#endif
