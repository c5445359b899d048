/* allocatable.h - what this machine can give to Pods. Nothing is reserved for the system, so it is the capacity; the
 * kubelet subtracts its --system-reserved, --kube-reserved and eviction thresholds. */
#ifndef REPRISE_NODE_ALLOCATABLE_H
#define REPRISE_NODE_ALLOCATABLE_H

#include "base/mem.h"

int64_t node_cpu_milli(void);    /* CPUs online * 1000 */
int64_t node_memory_bytes(void); /* MemTotal */
/* Size of the file system that holds <root>; 0 if it cannot be told. */
int64_t node_storage_bytes(const char *root);

#endif
