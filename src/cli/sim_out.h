/* sim_out.h - what `reprise simulate` prints: JSON lines, or a chart of the containers over time. */
#ifndef REPRISE_CLI_SIM_OUT_H
#define REPRISE_CLI_SIM_OUT_H

#include <stdio.h>

#include "plan/sim.h"
#include "wire/json.h"

/* {"t":1.5,"event":"exited","container":"main","attempt":0,"exitCode":88,...}; a new reference. */
MUST_USE json_t *sim_event_json(const SimEvent *e);

/* A chart is filled by events and printed at the end. */
typedef struct SimChart SimChart;
SimChart *sim_chart_new(const Pod *pod);
void sim_chart_free(SimChart *c);
SCOPED_FN(sim_chart_free, SimChart *, NULL)
void sim_chart_event(SimChart *c, const SimEvent *e);
/* <width>: columns of the terminal. <colour>: ANSI colours. */
void sim_chart_print(SimChart *c, FILE *f, const Pod *pod, int64_t end_ns, SimOutcome outcome, size_t width, bool colour);

#endif
