/* features.h - feature gates, by their upstream names. */
#ifndef REPRISE_API_FEATURES_H
#define REPRISE_API_FEATURES_H

#include "base/err.h"

/* name, default, since. Both are on: pod-restart.md 2. */
#define FEATURE_GATES(X)                                                                                               \
    X(ContainerRestartRules, true, "beta")                                                                             \
    X(RestartAllContainersOnContainerExits, true, "beta")

typedef struct {
#define FEATURE_MEMBER(name, def, stage) bool name;
    FEATURE_GATES(FEATURE_MEMBER)
#undef FEATURE_MEMBER
} FeatureGates;

void features_default(FeatureGates *g);
/* "NAME=bool,NAME=bool". ERR_INVALID names an unknown gate (and lists the known) or a bad bool. A gate whose dependency
 * is off is an error (RestartAllContainersOnContainerExits needs ContainerRestartRules). */
MUST_USE Err *features_parse(FeatureGates *g, const char *text);
/* One gate by name, for facts files; false if unknown. */
bool features_set(FeatureGates *g, const char *name, bool on);

#endif
