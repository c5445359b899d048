/* facts.h - what was observed of a Pod on this machine: the runtime's half of the decision core's input.
 *
 * Made by runtime/ (from a shim's journal, or from CRI), read by plan/, written and read as JSON by `reprise debug`
 * (docs/facts.md). A fact replaces what was known before; nothing here is a wish. Owned strings throughout. */
#ifndef REPRISE_API_FACTS_H
#define REPRISE_API_FACTS_H

#include "api/types.h"
#include "base/clock.h"

typedef enum { SANDBOX_READY, SANDBOX_NOT_READY } SandboxState;
typedef struct {
    char *id;         /* 64 hex digits */
    uint32_t attempt; /* 0 for the first sandbox of a Pod */
    SandboxState state;
    StrList ips;      /* Pod addresses in podIPs order; empty with host network */
    bool host_network;
    int64_t created_at_ns;
    int32_t pid;      /* of the sandbox process; 0 = unknown */
} SandboxFact;

typedef enum { RUN_CREATED, RUN_RUNNING, RUN_EXITED, RUN_UNKNOWN } RunState;
typedef enum { HOOK_NONE, HOOK_RUNNING, HOOK_DONE, HOOK_FAILED } HookState;
typedef struct {
    char *id;
    char *name;           /* container name in the spec */
    char *sandbox_id;
    uint32_t attempt;
    RunState state;
    bool exit_known;      /* RUN_EXITED: false = the code could not be learnt; exit_code is then meaningless */
    int32_t exit_code;    /* 0..255; 128+signal for a death by signal */
    int32_t signal;       /* 0 = not by a signal */
    char *reason;         /* "Completed", "Error", "OOMKilled", "StartError", "ContainerCannotRun"; NULL while alive */
    char *message;        /* termination message, or the start error */
    int64_t created_at_ns, started_at_ns, finished_at_ns; /* NS_NONE = not yet */
    char *image, *image_id;
    char *log_path;
    char *spec_hash;      /* plan_container_hash() of the definition it was made from; NULL = unknown: never "changed" */
    int32_t pid;
    bool start_in_doubt;  /* RUN_EXITED by a failed start, but perhaps only since whoever asked for it went away: the agent knows better */
    /* Hooks and the stop in progress: kept by the agent, not by the runtime. */
    HookState post_start;
    int64_t stop_since_ns;      /* NS_NONE = nobody asked it to stop */
    char *stop_reason;          /* LivenessProbe, StartupProbe, FailedPostStartHook, PodDeleted, ... */
    int64_t stop_grace_ns;      /* granted at stop_since */
    HookState pre_stop;
    int64_t term_at_ns;         /* when the stop signal was sent; NS_NONE = not yet */
    int64_t kill_at_ns;         /* when SIGKILL was sent; NS_NONE = not yet */
} ContainerFact;

/* How far a container is made ahead of its time. */
typedef enum {
    PREPARE_OFF,
    PREPARE_CREATE, /* made, not started: what is left is the runtime's own start */
    PREPARE_GATE    /* everything but the exec of its command is done. A runtime that cannot do it for a container does CREATE */
} PrepareMode;
extern const char *const prepare_mode_names[]; /* "off", "create", "gate", NULL */
#define PREPARE_ANNOTATION "reprise.io/prepare" /* of a Pod: lowers the mode for it */
/* An instance that was prepared ahead: not a container yet. */
typedef struct {
    char *id, *name, *sandbox_id;
    uint32_t attempt; /* that it is meant for */
    char *key;        /* of everything that it was made from: the agent's */
    int64_t bytes;    /* memory that it holds; 0 = unknown */
} StandbyFact;

typedef struct {
    LIST_OF(SandboxFact) sandboxes;   /* newest first */
    LIST_OF(ContainerFact) containers; /* newest first */
    LIST_OF(StandbyFact) standbys;
} PodFacts;
void pod_facts_done(PodFacts *f);
void pod_facts_copy(PodFacts *dst, const PodFacts *src); /* dst is overwritten without being freed */
/* Newest first, as PodFacts has them. */
void pod_facts_sort(PodFacts *f);
void sandbox_fact_copy(SandboxFact *dst, const SandboxFact *src); /* dst is overwritten without being freed */
void sandbox_fact_done(SandboxFact *s);
void container_fact_done(ContainerFact *c);
void container_fact_copy(ContainerFact *dst, const ContainerFact *src);
/* Newest instance of <name>, or NULL. */
const ContainerFact *pod_facts_newest(const PodFacts *f, const char *name);

#endif
