/* fault.h - makes the nth system call of a chosen kind fail, in tests.
 * Built in always (one predictable branch each), armed only by fault_arm() or by the environment:
 *   REPRISE_FAULT="write:3:ENOSPC"   the 3rd write of this process fails with ENOSPC
 *   REPRISE_FAULT="kill@restart.killed"  the process is SIGKILLed when it reaches that named step
 * With "@/a/file" behind, only the first process that makes the file takes the fault: the agent and the shims that it starts
 * share one environment, and what takes over must not die of the same fault.
 *
 * Steps of the agent: container.start container.create container.created container.started restart.intent restart.durable
 * restart.kill restart.killed restart.remove restart.removed status.store sandbox.stop sandbox.remove store.commit store.committed.
 * Steps of the daemon: api.bind api.bound api.add api.added api.status api.delete api.deleted mirror.make mirror.made mirror.delete
 * claim.delete claim.remove.
 * Steps of the shim: src/shim/shim.h. */
#ifndef REPRISE_OS_FAULT_H
#define REPRISE_OS_FAULT_H

#include "base/mem.h"

/* Call classes: open read write fsync rename mkdir unlink mount umount clone pidfd socket connect accept setns. */
/* true = the caller must act as if the call failed; errno is set. */
bool fault_hit(const char *call);
/* A named step of the program, see above; may not return. */
void fault_step(const char *step);
void fault_arm(const char *call, unsigned nth, int err); /* call "" = any */
bool fault_disarm(void); /* whether it had been hit */

#endif
