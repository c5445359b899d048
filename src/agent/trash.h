/* trash.h - what is left of Pods that are gone, removed without holding up the others: a volume may have a million files.
 *
 * What is small goes at once. What is not is renamed to <root>/deleted/<name>, which is done in no time and for good, and removed by a
 * helper process of our own executable (`reprise remove-deleted`). What a death leaves there goes at the next start. */
#ifndef REPRISE_AGENT_TRASH_H
#define REPRISE_AGENT_TRASH_H

#include "agent/agent.h"

/* Files and directories that are removed on the loop: some 10 ms of work. */
#define TRASH_SMALL 1000

/* <dir>: on <root>'s file system, nothing is mounted below it; absent is fine. */
MUST_USE Err *trash_remove(uv_loop_t *loop, const char *root, const char *dir);
/* Goes on with what is there from before. */
void trash_resume(uv_loop_t *loop, const char *root);
/* The helper: removes what lies in <root>/deleted. */
MUST_USE Err *trash_empty(const char *root);

#endif
