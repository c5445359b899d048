/* doctor_cri.h - what `reprise doctor` finds out about a CRI runtime: whether it is there, ready, and what it can do. */
#ifndef REPRISE_CLI_DOCTOR_CRI_H
#define REPRISE_CLI_DOCTOR_CRI_H

#include "base/mem.h"

typedef enum { LEVEL_OK, LEVEL_WARNING, LEVEL_MISSING } Level; /* missing: no Pod can run; warning: something works less well */

typedef struct {
    Level level;
    const char *what;
    char *meaning, *fix; /* fix NULL = nothing to be done */
} CriFinding;
typedef struct {
    size_t n;
    CriFinding *v;
} CriFindings;

/* Asks, changes nothing: no image is pulled, no sandbox made. What the later questions need and is missing ends it. */
void doctor_cri(const char *runtime_endpoint, const char *image_endpoint, CriFindings *ret);
void cri_findings_done(CriFindings *f);
static inline UNUSED void cri_findings_done_at(CriFindings *f) { cri_findings_done(f); }

#endif
