#include "runtime/cri/methods.h"

#include <strings.h>

#include "base/clock.h"
#include "runtime/cri/cri.pb-c.h"

#define SERVICE_Runtime "/runtime.v1.RuntimeService/"
#define SERVICE_Image "/runtime.v1.ImageService/"
#define IMAGE_Runtime false
#define IMAGE_Image true
/* The one method whose messages are not named after it. */
#define cri__get_container_events_request__descriptor cri__get_events_request__descriptor
#define cri__get_container_events_response__descriptor cri__container_event_response__descriptor
#define ROW(id, service, method, messages, s, what)                            \
    [CRI_##id] = {.name = #method,                                             \
                  .path = SERVICE_##service #method,                           \
                  .request = &cri__##messages##_request__descriptor,           \
                  .response = &cri__##messages##_response__descriptor,         \
                  .timeout_ns = (s) * NS_PER_S,                                \
                  .kind = (what),                                              \
                  .image = IMAGE_##service},

const CriMethodInfo cri_methods[CRI_METHOD_N] = {CRI_METHODS(ROW)};

const CriMethodInfo *cri_method_named(const char *name)
{
    for (size_t i = 0; i < CRI_METHOD_N; i++)
        if (strcasecmp(cri_methods[i].name, name) == 0 || strcmp(cri_methods[i].path, name) == 0)
            return &cri_methods[i];
    return NULL;
}

int64_t cri_method_timeout_ns(const CriMethodInfo *m, const ProtobufCMessage *request)
{
    const int64_t max_s = (INT64_MAX - m->timeout_ns) / NS_PER_S;
    int64_t extra_s = 0;
    if (request && m == &cri_methods[CRI_EXEC_SYNC]) {
        extra_s = ((const Cri__ExecSyncRequest *)request)->timeout;
        if (extra_s <= 0)
            return 0;
    } else if (request && m == &cri_methods[CRI_STOP_CONTAINER]) {
        extra_s = ((const Cri__StopContainerRequest *)request)->timeout;
    }
    extra_s = extra_s < 0 ? 0 : extra_s > max_s ? max_s : extra_s;
    return m->timeout_ns + extra_s * NS_PER_S;
}
