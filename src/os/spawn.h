/* spawn.h - starts a program without fork's cost: clone(CLONE_VM|CLONE_VFORK|CLONE_PIDFD), as posix_spawn does, plus what
 * posix_spawn lacks: namespaces, a pidfd, and the reason of a failure. The caller sleeps until the child has exec'd
 * (0.2 ms from a 200 MB process, where fork takes 2.8 ms: ecosystem.md 1). */
#ifndef REPRISE_OS_SPAWN_H
#define REPRISE_OS_SPAWN_H

#include <sys/types.h>

#include "base/err.h"

#define SPAWN_MAX_FDS 16
#define SPAWN_MAX_NS 8

typedef struct {
    int child;  /* number in the child */
    int parent; /* ours; stays open here */
} SpawnFd;

typedef struct {
    const char *const *argv;  /* argv[0] is looked up in our PATH unless it has a slash */
    const char *program;      /* NULL = argv[0]; else what is executed, looked up the same way */
    const char *const *envp;  /* NULL = our environment */
    const SpawnFd *fds;       /* at most SPAWN_MAX_FDS, each child number once. All other descriptors are closed in the */
    size_t n_fds;             /* child; 0, 1 and 2 are /dev/null where the map does not name them */
    const char *cwd;          /* NULL = ours */
    bool new_session;         /* setsid(); implies a process group of its own */
    bool new_group;           /* setpgid(0, 0) */
    bool die_with_parent;     /* SIGKILL when the thread that spawned it ends (not inherited by its own children) */
    const int *ns_fds;        /* setns() to each, at most SPAWN_MAX_NS; entries < 0 are skipped. Done before the cwd */
    size_t n_ns_fds;
    unsigned new_ns;          /* CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNS for the child */
    /* In a mount namespace of its own, /sys/fs/cgroup/unified/cgroup.controllers reads as empty: crun 1.8.1 refuses
     * hybrid hosts that keep a controller on v2, and looks nowhere else (ecosystem.md 5). */
    bool hide_cgroup2_controllers;
} SpawnSpec;

/* Starts it. *ret_pid and *ret_pidfd (CLOEXEC, readable when it has ended; either may be NULL) are set on success; the
 * caller reaps it with waitid(P_PIDFD or P_PID). Signals: default actions, nothing blocked. Err: the child never ran the
 * program and has been reaped; ERR_NOT_FOUND when the program does not exist (`exec: "x": executable file not found in
 * $PATH`), else ERR_SYS with the step that failed. */
MUST_USE Err *spawn(const SpawnSpec *spec, pid_t *ret_pid, int *ret_pidfd);

/* Absolute path of <name> in our PATH, or <name> itself if it has a slash. ERR_NOT_FOUND. Caller frees. */
MUST_USE Err *spawn_find(const char *name, char **ret_path);

/* The first of <places>, relative to the directory of <program>, that can be executed; NULL = none. Caller frees. */
MUST_USE char *spawn_beside(const char *program, const char *const *places, size_t n);
/* The same, relative to our own executable. */
MUST_USE char *spawn_beside_self(const char *const *places, size_t n);

#endif
