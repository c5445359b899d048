/* making.h - private to src/agent: a ContainerConfig and what it borrows from. */
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
    StrVec env, arena;
    MountList mounts;
    ContainerConfig cc;
    char *log_path, *hash, *termination_log;
    PodFacts facts;
} Making;

/* *m is zeroed by the caller and making_done() in every case. Err reasons: CreateContainerConfigError or none. */
MUST_USE Err *making_config(Worker *w, const Container *c, const MakingFor *want, Making *m);
void making_done(Making *m);
static inline UNUSED void making_done_at(Making *m) { making_done(m); }

#endif
