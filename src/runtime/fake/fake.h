/* fake.h - a container runtime without containers, for injecting faults: never for claiming a feature.
 *
 * Sandboxes and containers are facts in memory; requests are answered in the next turn of the loop. A test ends containers
 * and sandboxes, and makes the nth request fail, hang, or be answered late. */
#ifndef REPRISE_RUNTIME_FAKE_FAKE_H
#define REPRISE_RUNTIME_FAKE_FAKE_H

#include <uv.h>

#include "runtime/runtime.h"

typedef enum { FAKE_FAIL, FAKE_FAIL_AFTER, FAKE_LATE } FakeFault;
typedef struct {
    unsigned requests;     /* accepted so far */
    unsigned fault_at;     /* the request, from 1, that the fault hits; 0 = none */
    FakeFault fault;       /* FAIL: not done, error. FAIL_AFTER: done, but the answer is an error. LATE: answered 50 ms later */
    unsigned max_live;     /* the most instances of one container that ever lived at once: must stay 1 */
    unsigned starts;       /* containers started */
    unsigned released;     /* of them, those that had been prepared ahead */
    bool kill_before_stored; /* a kill came while <stored> said no: see fake_watch_intent() */
} FakeStats;

Runtime *fake_runtime_new(uv_loop_t *loop);
FakeStats *fake_stats(Runtime *rt);
/* The running instance of <name> exits with <code>, as if by itself. false if there is none. */
bool fake_exit(Runtime *rt, const char *uid, const char *name, int32_t code);
/* Every instance of <name> (borrowed) exits 0 as soon as it is started: an init container. */
void fake_completes(Runtime *rt, const char *name);
void fake_kill_sandbox(Runtime *rt, const char *uid);
/* <stored> is asked at every SIGKILL request; false is recorded in the stats. */
void fake_watch_intent(Runtime *rt, bool (*stored)(void *arg), void *arg);
/* Keeps the containers over the life of the agent: the callbacks of outstanding requests are dropped. */
void fake_forget_requests(Runtime *rt);
/* Its streams, for any that asks: what is written comes back (fake_stream.c). */
RuntimeStream *fake_stream_new(uv_loop_t *loop, const RuntimeStreamConfig *c);

#endif
