#include "node/allocatable.h"

#include <sys/statvfs.h>
#include <sys/sysinfo.h>

int64_t node_cpu_milli(void)
{
    return (int64_t)get_nprocs() * 1000;
}

int64_t node_memory_bytes(void)
{
    struct sysinfo si;
    if (sysinfo(&si) < 0)
        return 0;
    return (int64_t)si.totalram * (int64_t)si.mem_unit;
}

int64_t node_storage_bytes(const char *root)
{
    struct statvfs st;
    if (statvfs(root, &st) < 0)
        return 0;
    return (int64_t)st.f_blocks * (int64_t)st.f_frsize;
}
