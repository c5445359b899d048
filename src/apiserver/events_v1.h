/* events_v1.h - one Event under two names: v1, in which it is kept, and events.k8s.io/v1. After pkg/apis/{core,events}/v1/conversion.go. */
#ifndef REPRISE_APISERVER_EVENTS_V1_H
#define REPRISE_APISERVER_EVENTS_V1_H

#include "wire/json.h"

/* A new value that shares members with <o>, which is not changed. Members that neither form knows stay as they are. */
MUST_USE json_t *event_to_events_v1(const json_t *o);
MUST_USE json_t *event_from_events_v1(const json_t *o);

#endif
