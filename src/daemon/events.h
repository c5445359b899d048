/* events.h - writes Events to the object store, as a kubelet's recorder does to an API server: with what others said of the same, see
 * correlate.h. They live one hour (OBJSTORE_EVENT_TTL_NS). One that cannot be stored is lost: it was logged. */
#ifndef REPRISE_DAEMON_EVENTS_H
#define REPRISE_DAEMON_EVENTS_H

#include "api/types.h"
#include "store/store.h"

#define EVENTS_KUBELET "kubelet"
#define EVENTS_SCHEDULER "default-scheduler"

typedef struct Recorder Recorder;
Recorder *recorder_new(ObjStore *store /* borrowed */, const char *host);
void recorder_free(Recorder *r);

typedef struct {
    const char *kind, *namespace_, *name, *uid, *resource_version, *field_path; /* NULL = none; namespace NULL: the event is in default */
} EventObject;
/* Nothing is written in a namespace that is not there, or is being deleted. */
void recorder_event(Recorder *r, const EventObject *o, const char *component, bool warning, const char *reason, const char *message,
                    int64_t now_ns);
/* <container> NULL: of the Pod itself. */
void recorder_pod_event(Recorder *r, const Pod *p, const char *component, bool warning, const char *reason, const char *message,
                        const char *container, int64_t now_ns);
/* "spec.initContainers{x}"; NULL if the Pod has no such container. Caller frees. */
MUST_USE char *event_field_path(const Pod *p, const char *container);

#endif
