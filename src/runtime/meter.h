/* meter.h - counts and times what a runtime is asked for: put over any Runtime, which stays the same object. The names of the operations are
 * the kubelet's (pkg/kubelet/kuberuntime/instrumented_services.go) where it has such an operation. */
#ifndef REPRISE_RUNTIME_METER_H
#define REPRISE_RUNTIME_METER_H

#include "base/histogram.h"
#include "runtime/runtime.h"

/* X(identifier, operation_type): stop_container is every signal; prepare_container and ensure_image are our own. */
#define METER_OPS(X)                                                                                                   \
    X(RUN_SANDBOX, "run_podsandbox")                                                                                   \
    X(STOP_SANDBOX, "stop_podsandbox")                                                                                 \
    X(REMOVE_SANDBOX, "remove_podsandbox")                                                                             \
    X(CREATE, "create_container")                                                                                      \
    X(PREPARE, "prepare_container")                                                                                    \
    X(START, "start_container")                                                                                        \
    X(STOP, "stop_container")                                                                                          \
    X(REMOVE, "remove_container")                                                                                      \
    X(EXEC_SYNC, "exec_sync")                                                                                          \
    X(ENSURE_IMAGE, "ensure_image")                                                                                    \
    X(LIST_IMAGES, "list_images")                                                                                      \
    X(REMOVE_IMAGE, "remove_image")
#define METER_ID_(id, name) METER_##id,
typedef enum { METER_OPS(METER_ID_) METER_N } MeterOp;
extern const char *const meter_op_names[METER_N];

typedef struct {
    uint64_t errors;
    Histogram seconds; /* its count: all operations that have ended */
} MeterCount;
typedef struct RuntimeMeter RuntimeMeter;

/* From now on <rt> is counted; its close() takes the meter along. */
RuntimeMeter *runtime_meter(Runtime *rt);
const MeterCount *runtime_meter_counts(const RuntimeMeter *m); /* [METER_N] */

#endif
