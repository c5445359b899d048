/* self.h - what this process itself uses. */
#ifndef REPRISE_OS_SELF_H
#define REPRISE_OS_SELF_H

#include "base/mem.h"

typedef struct {
    int64_t cpu_ns, resident, virtual_; /* bytes; -1 = unknown, as the next */
    int64_t open_fds, max_fds;
    int64_t started_ns;                 /* CLOCK_REALTIME */
} SelfUsage;
void self_usage(SelfUsage *ret);
/* Free memory that malloc keeps goes back to the kernel. Some ms for 100 MB: when there is time. */
void self_trim(void);

#endif
