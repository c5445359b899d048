/* making.h - private to src/agent: configurations of sandbox and container, and what they borrow from. */
#ifndef REPRISE_AGENT_MAKING_H
#define REPRISE_AGENT_MAKING_H

#include "agent/worker.h"

typedef struct {
    const char *sandbox_id, *image_id;
    uint32_t attempt;
    bool observe; /* make nothing: VolumesContext.observe */
    bool quiet;   /* no events about the container's environment: its start tells them */
} MakingFor;

typedef struct {
    SandboxConfig c;
    char *hostname, *log_directory;
} MakingSandbox;

typedef struct {
    StrVec env, arena;
    MountList mounts;
    ContainerConfig cc;
    char *log_path, *hash, *termination_log;
    PodFacts facts;
    MakingSandbox sandbox;
} Making;

/* *m is zeroed by the caller; it borrows from the Pod. */
void making_sandbox(const Worker *w, uint32_t attempt, MakingSandbox *m);
void making_sandbox_done(MakingSandbox *m);
static inline UNUSED void making_sandbox_done_at(MakingSandbox *m) { making_sandbox_done(m); }

/* *m is zeroed by the caller and making_done() in every case. Err reasons: CreateContainerConfigError or none. */
MUST_USE Err *making_config(Worker *w, const Container *c, const MakingFor *want, Making *m);
void making_done(Making *m);
static inline UNUSED void making_done_at(Making *m) { making_done(m); }

#endif
