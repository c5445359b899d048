/* intents.h - which in-place restarts are under way, durable for all Pods of one agent with one fsync.
 *
 *   <root>/intents/<boot id>.<pid>   lines that are appended:  begin UID N MESSAGE    the (N+1)th restart of that Pod begins
 *                                                             end UID N              it is over
 *
 * The death of a process is not what this is for: the Pod's record, written before the first kill, outlives that. It is for a loss
 * of power, after which the record may be older (record.h). It kills all containers, as the restart was about to do: so the line
 * need not be on the disk before the first kill, but before the first start (docs/decisions.md, D16). Lines of another boot
 * whose restart did not end are intents that are still to be carried out. */
#ifndef REPRISE_AGENT_INTENTS_H
#define REPRISE_AGENT_INTENTS_H

#include "base/err.h"
#include "base/str.h"

typedef struct Intents Intents;

/* <root> is copied. Files of this boot whose agent has gone are removed; nothing is written yet. */
MUST_USE Intents *intents_open(const char *root);
/* Removes this agent's file, unless <keep>: a restart is under way that another agent will go on with. */
void intents_close(Intents *x, bool keep);
/* Appends; the bytes are with the kernel when it returns. Err: a full disk, nothing was written. */
MUST_USE Err *intents_begin(Intents *x, const char *uid, int64_t restarts, const char *message);
/* Never fails: a line that could not be written makes the restart be carried out once more after a loss of power. */
void intents_end(Intents *x, const char *uid, int64_t restarts);
/* One fdatasync for all that was begun since the last call; none if nothing was. */
MUST_USE Err *intents_commit(Intents *x);
/* Was a restart of <uid> cut off by the end of an earlier boot? Then *ret_restarts is N and *ret_message (caller frees) the text. */
bool intents_pending(const char *root, const char *uid, int64_t *ret_restarts, char **ret_message);
/* Files of earlier boots that hold no intent of a Pod for which <known> is true are removed. */
void intents_sweep(const char *root, bool (*known)(void *arg, const char *uid), void *arg);

/* The pure half: what the last lines of <text> about <uid> say. */
bool intents_read(const char *text, const char *uid, int64_t *ret_restarts, char **ret_message);

#endif
