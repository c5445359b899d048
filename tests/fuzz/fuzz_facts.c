/* Facts of `reprise debug plan`: whatever can be read is planned, encoded, and read again to the same plan. */
#include <stdint.h>

#include "agent/facts_json.h"
#include "base/str.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char *planned(const Facts *f)
{
    SCOPED(plan_done) Plan p;
    plan_pod(&f->in, &p);
    SCOPED(json_unref) json_t *j = plan_to_json(&p, f->in.now_ns);
    return json_text(j, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SCOPED(json_unref) json_t *j = NULL;
    SCOPED(err_free) Err *e = json_parse((const char *)data, n, &j);
    if (e)
        return 0;
    SCOPED(facts_done) Facts f;
    e = facts_from_json(j, &f);
    if (e)
        return 0;
    SCOPED(mem_free) char *first = planned(&f);
    SCOPED(json_unref) json_t *again = facts_to_json(&f.in);
    SCOPED(facts_done) Facts g;
    SCOPED(err_free) Err *e2 = facts_from_json(again, &g);
    /* What cannot be written back (a number with more digits than a double has) may differ in the plan, but is read. */
    if (e2)
        abort();
    SCOPED(mem_free) char *second = planned(&g);
    return str_empty(first) || str_empty(second);
}
