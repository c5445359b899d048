#include "os/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fs.h"

#define PROCS_MAX (1u << 20)
#define KILL_ROUNDS 32 /* a fork bomb gains nothing after its pids limit; without one we give up here and try again later */

static bool has_controller(const char *list, const char *name)
{
    char word[64];
    (void)snprintf(word, sizeof word, ",%s,", name);
    return strstr(list, word) != NULL;
}

static char *read_text(const char *path)
{
    Str s = {0};
    Err *e = fs_read(path, PROCS_MAX, &s);
    err_free(e);
    return e ? NULL : str_take(&s);
}

/* "cpu memory\n" -> ",cpu,memory," */
static Err *controllers_v2(const char *dir, char **ret)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/cgroup.controllers", dir);
    SCOPED(str_done) Str text = {0};
    Err *e = fs_read(path, PROCS_MAX, &text);
    if (e)
        return e; /* taken for empty, it would send crun where it refuses to go */
    Str s = {0};
    for (char *save = NULL, *w = strtok_r(text.p, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
        str_fmt(&s, "%s%s,", s.n ? "" : ",", w);
    *ret = str_take(&s);
    return NULL;
}

static Err *host_add(CgroupHost *h, const char *root, const char *mount, const char *type, const char *options)
{
    if (h->n == CGROUP_MAX_HIERARCHIES || !str_starts(mount, "/sys/fs/cgroup"))
        return NULL;
    for (size_t i = 0; i < h->n; i++)
        if (str_eq(h->h[i].dir + strlen(root), mount)) /* mounted over: the first is as good */
            return NULL;
    bool v2 = str_eq(type, "cgroup2");
    SCOPED(mem_free) char *dir = mem_fmt("%s%s", root, mount), *controllers = NULL;
    Err *e = v2 ? controllers_v2(dir, &controllers) : NULL;
    if (e)
        return err_wrap(e, "look at the cgroup hierarchy %s", mount);
    h->h[h->n].dir = MOVE(dir, NULL);
    h->h[h->n].v2 = v2;
    h->h[h->n].controllers = v2 ? MOVE(controllers, NULL) : mem_fmt(",%s,", options);
    h->n++;
    return NULL;
}

Err *cgroup_probe_text(const char *mountinfo, const char *root, CgroupHost *ret)
{
    CgroupHost h = {0};
    Err *e = NULL;
    SCOPED(mem_free) char *text = mem_dup_str(mountinfo);
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line && !e; line = strtok_r(NULL, "\n", &save)) {
        char mount[256], type[32], options[512];
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %*s %255s", mount) != 1 ||
            sscanf(rest, " - %31s %*s %511s", type, options) != 2)
            continue;
        if (str_eq(type, "cgroup") || str_eq(type, "cgroup2"))
            e = host_add(&h, root, mount, type, options);
    }
    if (e) {
        cgroup_host_done(&h);
        return e;
    }
    if (h.n == 0)
        return err_new(ERR_UNSUPPORTED, 0, "no cgroup file system is mounted under /sys/fs/cgroup; mount one (systemd does "
                                           "at boot; else: mount -t cgroup2 none /sys/fs/cgroup)");
    size_t n_v2 = 0;
    for (size_t i = 0; i < h.n; i++)
        n_v2 += h.h[i].v2;
    h.mode = n_v2 == h.n ? CGROUP_V2 : n_v2 ? CGROUP_HYBRID : CGROUP_V1;
    for (size_t i = 0; i < h.n; i++)
        if (h.mode == CGROUP_HYBRID && h.h[i].v2 && h.h[i].controllers[0])
            h.unified_has_controllers = true;
    *ret = h;
    return NULL;
}

Err *cgroup_probe(CgroupHost *ret)
{
    SCOPED(str_done) Str s = {0};
    Err *e = fs_read("/proc/self/mountinfo", 16u << 20, &s);
    return e ? e : cgroup_probe_text(s.p, "", ret);
}

void cgroup_host_done(CgroupHost *h)
{
    for (size_t i = 0; i < h->n; i++) {
        mem_free(h->h[i].dir);
        mem_free(h->h[i].controllers);
    }
    *h = (CgroupHost){0};
}

/* On v2 each level hands the controllers down to the next; one that cannot be handed down is told by the limit's file. */
static void hand_down(const char *dir, const char *controllers)
{
    SCOPED(mem_free) char *path = mem_fmt("%s/cgroup.subtree_control", dir);
    SCOPED(mem_free) char *list = mem_dup_str(controllers);
    for (char *save = NULL, *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        char word[80];
        (void)snprintf(word, sizeof word, "+%s", w);
        err_free(fs_write(path, word));
    }
}

static Err *make_dir(const CgroupHost *h, size_t i, const char *path)
{
    SCOPED(str_done) Str dir = {0};
    str_add(&dir, h->h[i].dir);
    for (const char *p = path; *p;) {
        if (h->h[i].v2)
            hand_down(dir.p, h->h[i].controllers);
        size_t n = strcspn(p + 1, "/") + 1;
        str_add_n(&dir, p, n);
        if (mkdir(dir.p, 0755) < 0 && errno != EEXIST)
            return err_new(ERR_SYS, errno, "make cgroup %s", dir.p);
        p += n;
    }
    return NULL;
}

static int64_t cpu_weight(int64_t shares) /* crun's and runc's map of [2, 262144] to [1, 10000] */
{
    int64_t s = shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
    return 1 + (s - 2) * 9999 / 262142;
}

typedef struct { const char *controller, *v1, *v2; char text1[48], text2[48]; } LimitFile;

static Err *limit_set(const CgroupHost *h, const char *path, const LimitFile *l)
{
    for (size_t i = 0; i < h->n; i++) {
        if (!has_controller(h->h[i].controllers, l->controller))
            continue;
        Err *e = make_dir(h, i, path);
        if (e)
            return e;
        SCOPED(mem_free) char *file = mem_fmt("%s%s/%s", h->h[i].dir, path, h->h[i].v2 ? l->v2 : l->v1);
        e = fs_write(file, h->h[i].v2 ? l->text2 : l->text1);
        return e ? err_wrap(e, "set limit of cgroup %s", path) : NULL;
    }
    return err_new(ERR_UNSUPPORTED, 0, "cgroup %s needs the \"%s\" controller, which this host does not offer", path,
                   l->controller);
}

Err *cgroup_make(const CgroupHost *h, const char *path, const CgroupLimits *limits)
{
    if (h->mode == CGROUP_V2) {
        Err *e = make_dir(h, 0, path);
        if (e)
            return e;
    }
    long long period = limits->cpu_period_us > 0 ? limits->cpu_period_us : 100000;
    LimitFile files[5];
    size_t n = 0;
#define LIMIT(ctl, f1, f2, ...) files[n] = (LimitFile){.controller = (ctl), .v1 = (f1), .v2 = (f2)}, __VA_ARGS__, n++
    if (limits->cpu_shares > 0)
        LIMIT("cpu", "cpu.shares", "cpu.weight", (void)sprintf(files[n].text1, "%lld", (long long)limits->cpu_shares),
              (void)sprintf(files[n].text2, "%lld", (long long)cpu_weight(limits->cpu_shares)));
    if (limits->cpu_quota_us > 0) {
        LIMIT("cpu", "cpu.cfs_period_us", "cpu.max", (void)sprintf(files[n].text1, "%lld", period),
              (void)sprintf(files[n].text2, "%lld %lld", (long long)limits->cpu_quota_us, period));
        LIMIT("cpu", "cpu.cfs_quota_us", "cpu.max", (void)sprintf(files[n].text1, "%lld", (long long)limits->cpu_quota_us),
              (void)sprintf(files[n].text2, "%lld %lld", (long long)limits->cpu_quota_us, period));
    }
    if (limits->memory_limit_bytes > 0)
        LIMIT("memory", "memory.limit_in_bytes", "memory.max",
              (void)sprintf(files[n].text1, "%lld", (long long)limits->memory_limit_bytes),
              (void)strcpy(files[n].text2, files[n].text1));
    if (limits->pids_limit > 0)
        LIMIT("pids", "pids.max", "pids.max", (void)sprintf(files[n].text1, "%lld", (long long)limits->pids_limit),
              (void)strcpy(files[n].text2, files[n].text1));
#undef LIMIT
    for (size_t i = 0; i < n; i++) {
        Err *e = limit_set(h, path, &files[i]);
        if (e)
            return e;
    }
    return NULL;
}

/* Calls fn for <dir> and every cgroup below it, deepest first. */
static void walk(const char *dir, void (*fn)(const char *dir, void *arg), void *arg)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_type == DT_DIR && e->d_name[0] != '.') {
            SCOPED(mem_free) char *sub = mem_fmt("%s/%s", dir, e->d_name);
            walk(sub, fn, arg);
        }
    (void)closedir(d);
    fn(dir, arg);
}

typedef struct { bool kill; size_t found; } Procs;

static void procs_of(const char *dir, void *arg)
{
    Procs *p = arg;
    SCOPED(mem_free) char *path = mem_fmt("%s/cgroup.procs", dir);
    SCOPED(mem_free) char *text = read_text(path);
    for (char *save = NULL, *w = text ? strtok_r(text, "\n", &save) : NULL; w; w = strtok_r(NULL, "\n", &save)) {
        pid_t pid = (pid_t)strtol(w, NULL, 10);
        if (pid <= 1 || pid == getpid())
            continue;
        p->found++;
        if (p->kill)
            (void)kill(pid, SIGKILL);
    }
}

static size_t hierarchy_procs(const char *dir, bool v2, bool kill_them)
{
    SCOPED(mem_free) char *killer = mem_fmt("%s/cgroup.kill", dir); /* v2, Linux 5.14 */
    Procs p = {.kill = kill_them};
    if (kill_them && v2 && fs_exists(killer)) {
        p.kill = false;
        walk(dir, procs_of, &p);
        Err *e = p.found ? fs_write(killer, "1") : NULL;
        p.kill = e != NULL;
        err_free(e);
        if (!p.kill)
            return p.found;
    }
    size_t total = 0;
    for (int i = 0; i < KILL_ROUNDS; i++) {
        p.found = 0;
        walk(dir, procs_of, &p);
        total = p.found > total ? p.found : total;
        if (!kill_them || p.found == 0)
            break;
    }
    return total;
}

/* A process is in one cgroup of every hierarchy, but a runtime killed half-way has moved it in some only: look at all. */
static size_t all_procs(const CgroupHost *h, const char *path, bool kill_them)
{
    size_t most = 0;
    for (size_t i = 0; i < h->n; i++) {
        SCOPED(mem_free) char *dir = mem_fmt("%s%s", h->h[i].dir, path);
        size_t n = fs_exists(dir) ? hierarchy_procs(dir, h->h[i].v2, kill_them) : 0;
        most = n > most ? n : most;
    }
    return most;
}

size_t cgroup_kill(const CgroupHost *h, const char *path)
{
    return all_procs(h, path, true);
}

bool cgroup_populated(const CgroupHost *h, const char *path)
{
    return all_procs(h, path, false) > 0;
}

static void remove_one(const char *dir, void *arg)
{
    bool *ok = arg;
    if (rmdir(dir) < 0 && errno != ENOENT)
        *ok = false;
}

bool cgroup_remove(const CgroupHost *h, const char *path)
{
    bool ok = true;
    for (size_t i = 0; i < h->n; i++) {
        SCOPED(mem_free) char *dir = mem_fmt("%s%s", h->h[i].dir, path);
        if (rmdir(dir) < 0 && errno != ENOENT) /* it has others below it, or processes */
            walk(dir, remove_one, &ok);
    }
    return ok;
}

/* Path of the memory controller's file for <path>: <v1> or <v2> by the kind of hierarchy. NULL: there is none. Caller frees. */
static char *memory_file(const CgroupHost *h, const char *path, const char *v1, const char *v2)
{
    for (size_t i = 0; i < h->n; i++)
        if (has_controller(h->h[i].controllers, "memory"))
            return mem_fmt("%s%s/%s", h->h[i].dir, path, h->h[i].v2 ? v2 : v1);
    return NULL;
}

int64_t cgroup_memory_bytes(const CgroupHost *h, const char *path)
{
    SCOPED(mem_free) char *file = memory_file(h, path, "memory.usage_in_bytes", "memory.current");
    SCOPED(mem_free) char *text = file ? read_text(file) : NULL;
    return text ? strtoll(text, NULL, 10) : 0;
}

int cgroup_oom_open(const CgroupHost *h, const char *path)
{
    SCOPED(mem_free) char *file = memory_file(h, path, "memory.oom_control", "memory.events");
    return file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
}

int64_t cgroup_oom_read(int fd)
{
    char text[512];
    ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    const char *p = strstr(text, "oom_kill "); /* "oom_kill_disable 0" has no blank there */
    return p ? strtoll(p + strlen("oom_kill "), NULL, 10) : 0;
}
