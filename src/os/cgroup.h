/* cgroup.h - control groups of whatever kind this host has: v1, v2, or hybrid (v1 controllers plus a v2 tree).
 * Paths are relative to the mounts: "/reprise/pod<uid>/<id>". A cgroup exists in every hierarchy or in none that matters;
 * missing controllers are tolerated until a limit needs one. */
#ifndef REPRISE_OS_CGROUP_H
#define REPRISE_OS_CGROUP_H

#include "base/err.h"

typedef enum { CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 } CgroupMode;
#define CGROUP_MAX_HIERARCHIES 24
typedef struct {
    CgroupMode mode;
    bool unified_has_controllers; /* hybrid and the v2 tree keeps some: crun 1.8.1 must not see them (os/spawn.h) */
    size_t n;
    struct {
        char *dir;         /* "/sys/fs/cgroup/memory" */
        char *controllers; /* ",cpu,cpuacct," as mounted; for v2 what cgroup.controllers lists; "" if none */
        bool v2;
    } h[CGROUP_MAX_HIERARCHIES];
} CgroupHost;
/* Reads /proc/self/mountinfo. ERR_UNSUPPORTED when no cgroup file system is mounted. cgroup_host_done() it. */
MUST_USE Err *cgroup_probe(CgroupHost *ret);
/* The same from a mountinfo text; <root> is put before every path (tests). */
MUST_USE Err *cgroup_probe_text(const char *mountinfo, const char *root, CgroupHost *ret);
void cgroup_host_done(CgroupHost *h);
static inline UNUSED void cgroup_host_done_at(CgroupHost *h) { cgroup_host_done(h); }

typedef struct {
    int64_t cpu_shares, cpu_quota_us, cpu_period_us, memory_limit_bytes, pids_limit; /* 0 = none */
} CgroupLimits;
/* Makes <path> and its parents where a limit is to be set (on v2 always, with every controller handed down), and sets the
 * limits. ERR_UNSUPPORTED names a controller that a limit needs and the host lacks. */
MUST_USE Err *cgroup_make(const CgroupHost *h, const char *path, const CgroupLimits *limits);
/* SIGKILLs every process in <path> and below. Returns how many were found; a process that forks meanwhile is found too. */
size_t cgroup_kill(const CgroupHost *h, const char *path);
bool cgroup_populated(const CgroupHost *h, const char *path);
/* Removes <path> and all below it in every hierarchy; false while processes keep one alive (try again later). */
bool cgroup_remove(const CgroupHost *h, const char *path);
/* Memory charged to <path>, with what the kernel holds for it (page tables, mounts, ...); 0 if unknown. */
int64_t cgroup_memory_bytes(const CgroupHost *h, const char *path);
/* What a cgroup uses, as cAdvisor reads it; -1 = this host does not tell. */
typedef struct {
    int64_t cpu_ns;             /* since it was made */
    int64_t memory, working_set /* memory less what the kernel could drop at once: inactive_file */, rss, page_faults, major_page_faults;
    int64_t memory_limit;       /* -1 also when there is none */
} CgroupUsage;
/* <path> "" is the root: this machine, or what its cgroup namespace shows. false: there is no such cgroup. Up to four small files. */
bool cgroup_usage(const CgroupHost *h, const char *path, CgroupUsage *ret);
/* Processes and threads in <path> and below; -1 = unknown. */
int64_t cgroup_pids(const CgroupHost *h, const char *path);
/* The file that counts the processes of this cgroup itself that the kernel's OOM killer ended: CLOEXEC, -1 = there is none. Caller
 * closes. */
int cgroup_oom_open(const CgroupHost *h, const char *path);
int64_t cgroup_oom_read(int fd); /* 0 if unknown; fd < 0 is fine */

#endif
