#include "os/self.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "os/fs.h"

static int64_t count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int64_t n = -1; /* one is the directory itself, opened */
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d)
        (void)closedir(d);
    return n;
}

static int64_t ns_of(struct timeval t)
{
    return (int64_t)t.tv_sec * NS_PER_S + (int64_t)t.tv_usec * 1000;
}

void self_usage(SelfUsage *ret)
{
    *ret = (SelfUsage){-1, -1, -1, count_fds(), -1, -1};
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) == 0)
        ret->cpu_ns = ns_of(u.ru_utime) + ns_of(u.ru_stime);
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0)
        ret->max_fds = (int64_t)l.rlim_cur;
    SCOPED(str_done) Str s = {0};
    SCOPED(err_free) Err *e = fs_read("/proc/self/stat", 4096, &s);
    const char *p = e || !s.p ? NULL : strrchr(s.p, ')'); /* the name may hold anything */
    unsigned long long start, size;
    long long pages;
    /* Fields 3 to 24 of proc(5): start in ticks since boot, size in bytes, resident pages. */
    if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %llu %lld", &start, &size,
                     &pages) != 3)
        return;
    ret->virtual_ = (int64_t)size;
    ret->resident = (int64_t)pages * sysconf(_SC_PAGESIZE);
    struct timespec up;
    long ticks = sysconf(_SC_CLK_TCK);
    if (ticks > 0 && clock_gettime(CLOCK_BOOTTIME, &up) == 0)
        ret->started_ns = os_now_ns() - ((int64_t)up.tv_sec * NS_PER_S + up.tv_nsec) + (int64_t)start * (NS_PER_S / ticks);
}

void self_trim(void)
{
    (void)malloc_trim(0);
}
