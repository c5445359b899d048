/* intents.h - which in-place restarts are under way, durable for all Pods of one agent with one fsync.
 *
 *   <root>/intents/<boot id>.<pid>   lines that are appended:  begin UID N MESSAGE    the (N+1)th restart of that Pod begins
 *                                                             end UID N              it is over
 *
 * A line is with the kernel before the first kill, so it outlives the agent, whose record (record.h) is written a moment later; it is on
 * the disk before the first start. A loss of power between the two kills all containers, as the restart was about to do
 * (docs/decisions.md, D16). Lines of an agent that is gone, about restarts that did not end, are intents still to be carried out. */
#ifndef REPRISE_AGENT_INTENTS_H
#define REPRISE_AGENT_INTENTS_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

typedef struct Intents Intents;

/* <root> is copied; nothing is written yet. */
MUST_USE Intents *intents_open(const char *root, uv_loop_t *loop);
/* Removes this agent's file, unless <keep>: a restart is under way that another agent will go on with. <done> does not come any
 * more. */
void intents_close(Intents *x, bool keep);
/* Appends; the bytes are with the kernel when it returns. *ret_seq: to compare with intents_durable(). Err: a full disk, nothing was
 * written. */
MUST_USE Err *intents_begin(Intents *x, const char *uid, int64_t restarts, const char *message, uint64_t *ret_seq);
/* Never fails: a line that could not be written makes the restart be carried out once more after a loss of power. */
void intents_end(Intents *x, const char *uid, int64_t restarts);
/* Begins one fdatasync, off the loop, for all that was begun since the last one; when one is under way, after it. <done> comes once
 * for each, from the loop; err taken, NULL = on the disk. Nothing begun: nothing happens. */
typedef void IntentsDone(void *arg, Err *err);
void intents_commit(Intents *x, IntentsDone *done, void *arg);
/* All intents up to this one are on the disk, or could not be brought there. */
uint64_t intents_durable(const Intents *x);
/* Did a restart of <uid> begin, by any agent, that did not end? Then *ret_restarts is N and *ret_message (caller frees) the text. */
bool intents_pending(const char *root, const char *uid, int64_t *ret_restarts, char **ret_message);
/* Files of agents that are gone are removed when they hold no intent of a Pod for which <known> is true. */
void intents_sweep(const char *root, bool (*known)(void *arg, const char *uid), void *arg);

/* The pure half: what the last lines of <text> about <uid> say. */
bool intents_read(const char *text, const char *uid, int64_t *ret_restarts, char **ret_message);

#endif
