/* cgroup_usage.c - what a cgroup uses: the files and the sums are runc's libcontainer/cgroups (fs, fs2) and cAdvisor's. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "os/cgroup.h"

#define FILE_MAX 16384 /* memory.stat has some 2 KB */
/* v1 writes the largest multiple of a page for "no limit". */
#define NO_LIMIT (INT64_MAX / 2)

static const char *dir_of(const CgroupHost *h, const char *controller, bool *ret_v2)
{
    for (size_t i = 0; i < h->n; i++) {
        const char *at = strstr(h->h[i].controllers, controller);
        if (!at || at[-1] != ',' || at[strlen(controller)] != ',')
            continue;
        *ret_v2 = h->h[i].v2;
        return h->h[i].dir;
    }
    return NULL;
}

/* No allocation: some hundreds of these are read every ten seconds. */
static bool read_file(const char *dir, const char *path, const char *name, char buf[FILE_MAX])
{
    char full[1024];
    if (snprintf(full, sizeof full, "%s%s/%s", dir, path, name) >= (int)sizeof full)
        return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, FILE_MAX - 1);
    if (fd >= 0)
        (void)close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

static int64_t read_number(const char *dir, const char *path, const char *name)
{
    char buf[FILE_MAX];
    if (!read_file(dir, path, name, buf) || !isdigit((unsigned char)*buf))
        return -1;
    return strtoll(buf, NULL, 10);
}

/* The number behind <key> at the beginning of a line; -1: there is none. */
static int64_t value_of(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        if (strncmp(p, key, n) == 0 && p[n] == ' ')
            return strtoll(p + n + 1, NULL, 10);
    return -1;
}

static void read_memory(const char *dir, bool v2, const char *path, CgroupUsage *u)
{
    char stat[FILE_MAX];
    if (!read_file(dir, path, "memory.stat", stat))
        return;
    u->memory = read_number(dir, path, v2 ? "memory.current" : "memory.usage_in_bytes");
    if (v2 && u->memory < 0 && !*path) { /* the root of all has no memory.current: fs2's rootStatsFromMeminfo */
        int64_t anon = value_of(stat, "anon"), file = value_of(stat, "file");
        u->memory = anon < 0 || file < 0 ? -1 : anon + file;
    }
    int64_t inactive = value_of(stat, v2 ? "inactive_file" : "total_inactive_file");
    if (u->memory >= 0)
        u->working_set = inactive < 0 ? u->memory : u->memory > inactive ? u->memory - inactive : 0;
    u->rss = value_of(stat, v2 ? "anon" : "total_rss");
    u->page_faults = value_of(stat, v2 ? "pgfault" : "total_pgfault");
    u->major_page_faults = value_of(stat, v2 ? "pgmajfault" : "total_pgmajfault");
    if (*path) {
        int64_t limit = read_number(dir, path, v2 ? "memory.max" : "memory.limit_in_bytes");
        u->memory_limit = limit > NO_LIMIT ? -1 : limit;
    }
}

static int64_t read_cpu(const char *dir, bool v2, const char *path)
{
    if (!v2)
        return read_number(dir, path, "cpuacct.usage");
    char stat[FILE_MAX];
    int64_t usec = read_file(dir, path, "cpu.stat", stat) ? value_of(stat, "usage_usec") : -1;
    return usec < 0 ? -1 : usec * 1000;
}

/* Version 2 counts processor time in every cgroup, whether the controller is on or not. */
static const char *cpu_dir(const CgroupHost *h, bool *ret_v2)
{
    const char *dir = dir_of(h, "cpuacct", ret_v2);
    for (size_t i = 0; !dir && i < h->n; i++)
        if (h->h[i].v2) {
            *ret_v2 = true;
            dir = h->h[i].dir;
        }
    return dir;
}

bool cgroup_usage(const CgroupHost *h, const char *path, CgroupUsage *ret)
{
    bool v2 = false;
    *ret = (CgroupUsage){-1, -1, -1, -1, -1, -1, -1};
    const char *memory = dir_of(h, "memory", &v2);
    if (memory)
        read_memory(memory, v2, path, ret);
    const char *cpu = cpu_dir(h, &v2);
    if (cpu)
        ret->cpu_ns = read_cpu(cpu, v2, path);
    return ret->memory >= 0 || ret->cpu_ns >= 0;
}

int64_t cgroup_pids(const CgroupHost *h, const char *path)
{
    bool v2 = false;
    const char *dir = dir_of(h, "pids", &v2);
    return dir ? read_number(dir, path, "pids.current") : -1;
}
