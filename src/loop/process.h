/* process.h - child processes on the event loop: spawned without fork's cost, watched by pidfd, never by SIGCHLD.
 * os/spawn.h does the system calls (clone with CLONE_VM|CLONE_VFORK|CLONE_PIDFD); uv_spawn is never used (it forks:
 * 17 to 23 times slower from a big process, ecosystem.md). */
#ifndef REPRISE_LOOP_PROCESS_H
#define REPRISE_LOOP_PROCESS_H

#include <uv.h>

#include "base/err.h"
#include "base/str.h"

typedef struct Process Process;
typedef struct {
    const char *const *argv;     /* argv[0] is looked up in PATH unless it has a slash */
    const char *const *envp;     /* NULL = ours */
    const void *input;           /* given on stdin, then EOF; copied. NULL = /dev/null */
    size_t n_input;
    size_t max_output;           /* of stdout and of stderr each; more is read and dropped. 0 = inherit both */
    int64_t timeout_ns;          /* 0 = none; then SIGKILL to its process group */
    const char *cwd;             /* NULL = ours */
    int join_ns_fd;              /* -1 or 0 = none; else setns() to this namespace descriptor before exec */
    void (*on_output)(void *arg, bool is_stderr, const char *bytes, size_t n); /* NULL, or called as output comes */
} ProcessSpec;
typedef struct {
    bool exited;     /* else by signal */
    int code;        /* exit code, or the signal's number */
    bool timed_out;
    Str out, err;    /* borrowed during the callback; str_take() to keep */
} ProcessResult;
typedef void ProcessDone(void *arg, ProcessResult *res);

/* Starts a program in a process group of its own. <done> is called once from the loop when it has ended and its output is
 * read (or 100 ms after its end, if a grandchild keeps a pipe open). Err: the program could not be started (ERR_NOT_FOUND
 * when it does not exist). *ret (may be NULL) is valid until <done>. */
MUST_USE Err *process_start(uv_loop_t *loop, const ProcessSpec *spec, ProcessDone *done, void *arg, Process **ret);
void process_signal(Process *p, int sig); /* to its process group */
/* Kills it and never calls <done>. */
void process_abandon(Process *p);
/* Blocking convenience for one-shot commands before the loop runs (doctor, tests). Caller frees res->out, res->err. */
MUST_USE Err *process_run(const ProcessSpec *spec, ProcessResult *res);

#endif
