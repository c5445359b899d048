/* dump.h - the facts of a Pod, asked of the agent that drives it: `reprise debug dump`.
 *
 * The agent listens on <run_dir>/agents/<uid>.sock (0600; not in the shim's own directory, which goes with the Pod): whoever connects is sent the JSON of docs/facts.md and the
 * connection is closed. Nothing is read from it, so there is nothing to attack. */
#ifndef REPRISE_AGENT_DUMP_H
#define REPRISE_AGENT_DUMP_H

#include "agent/agent.h"

typedef struct DumpServer DumpServer;
/* Listens for one Pod of <a>; to be closed before the Pod is forgotten. A socket that cannot be made is reported to stderr's log by the caller: not fatal. */
MUST_USE Err *dump_serve(Agent *a, uv_loop_t *loop, const char *run_dir, const char *uid, DumpServer **ret);
void dump_close(DumpServer *s);
/* Blocking: the text from the agent that drives <uid>. ERR_UNAVAILABLE when none does. */
MUST_USE Err *dump_ask(const char *run_dir, const char *uid, Str *ret);

#endif
