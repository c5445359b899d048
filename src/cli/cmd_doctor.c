/* cmd_doctor.c - `reprise doctor`: what this machine has, what it lacks, what that costs, and how to get it.
 *
 * What can be tried is tried (an overlay is mounted, a cgroup made, a process watched to its end) rather than guessed
 * from a version; everything that a trial makes is gone when the command ends. "missing" means that no Pod can run;
 * "warning" that something works less well, or is not there for those who want it. */
#include <fcntl.h>
#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/cri_call.h"
#include "cli/doctor_cri.h"
#include "loop/process.h"
#include "os/cgroup.h"
#include "os/fs.h"
#include "os/pidfd.h"
#include "os/spawn.h"
#include "runtime/oci/cni.h"
#include "runtime/oci/spec.h"
#include "wire/yaml.h"

int cmd_doctor(int argc, char **argv);

#define NEED_MAJOR 5
#define NEED_MINOR 12 /* mount_setattr(2): volumes are bound read-only before anybody can see them */
#define FREE_WARN_BYTES (UINT64_C(1) << 30)

static const char *const level_names[] = {"ok", "warning", "missing"};
static const char *const level_colours[] = {"\033[32m", "\033[33m", "\033[31m"};

typedef struct {
    Level level;
    const char *area;
    char *what, *meaning;
    const char *fix; /* NULL = nothing to be done */
} Check;
typedef struct {
    LIST_OF(Check) checks;
    const char *root, *run_dir, *log_dir;
    OciHost host;
    CriFindings cri; /* the rows of area CRI borrow from it */
} Doctor;

static void PRINTF_LIKE(6, 7)
    add(Doctor *d, Level level, const char *area, const char *what, const char *fix, const char *fmt, ...)
{
    SCOPED(str_done) Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    *LIST_ADD(&d->checks) = (Check){level, area, mem_dup_str(what), str_take(&s), level == LEVEL_OK ? NULL : fix};
}

static void doctor_done(Doctor *d)
{
    for (size_t i = 0; i < d->checks.n; i++) {
        free(d->checks.v[i].what);
        free(d->checks.v[i].meaning);
    }
    free(d->checks.v);
    cri_findings_done(&d->cri);
}

/* --- trials in a child ------------------------------------------------------------------------------------------- */

/* Runs <fn> in a forked child and returns its exit status, -1 if it died. */
static int in_child(int (*fn)(void *), void *arg)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn(arg));
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

enum { OVERLAY_NONE, OVERLAY_PLAIN, OVERLAY_VOLATILE, OVERLAY_NO_DIR };

static int try_overlay(void *arg)
{
    const char *dir = arg;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || chdir(dir) < 0)
        return OVERLAY_NONE;
    static const char *const options[] = {"lowerdir=lower,upperdir=upper,workdir=work",
                                          "lowerdir=lower,upperdir=upper2,workdir=work2,volatile"};
    static const char *const dirs[] = {"lower", "upper", "work", "upper2", "work2", "merged"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        (void)mkdir(dirs[i], 0700);
    if (mount("overlay", "merged", "overlay", 0, options[0]) < 0)
        return OVERLAY_NONE;
    (void)umount2("merged", MNT_DETACH);
    return mount("overlay", "merged", "overlay", 0, options[1]) < 0 ? OVERLAY_PLAIN : OVERLAY_VOLATILE;
}

/* The nearest directory that exists, of <path> and those above it. Caller frees. */
static char *existing_parent(const char *path)
{
    char *p = mem_dup_str(path);
    while (*p && !fs_exists(p)) {
        char *slash = strrchr(p, '/');
        if (!slash)
            break;
        slash[slash == p ? 1 : 0] = '\0';
        if (slash == p)
            break;
    }
    return p;
}

static int overlay_kind(const Doctor *d)
{
    SCOPED(mem_free) char *base = existing_parent(d->root), *dir = mem_fmt("%s/.reprise-doctor-XXXXXX", base);
    if (!mkdtemp(dir))
        return OVERLAY_NO_DIR;
    int kind = in_child(try_overlay, dir);
    err_free(fs_remove_tree(dir));
    return kind < 0 ? OVERLAY_NONE : kind;
}

/* Whether the end of a process that somebody else reaped can still be learnt. */
static bool exit_info_works(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    if (pid < 0)
        return false;
    int64_t start = proc_start_ticks(pid);
    SCOPED(fd_close) int fd = -EBADF;
    SCOPED(err_free) Err *e = pidfd_of(pid, start, &fd);
    int status = 0;
    (void)waitpid(pid, &status, 0);
    return !e && pidfd_wait_status(fd, pid, start, &status) && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

/* --- kernel ------------------------------------------------------------------------------------------------------ */

static void check_version(Doctor *d)
{
    struct utsname u;
    int major = 0, minor = 0;
    if (uname(&u) < 0)
        return;
    bool ok = sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
              (major > NEED_MAJOR || (major == NEED_MAJOR && minor >= NEED_MINOR));
    add(d, ok ? LEVEL_OK : LEVEL_MISSING, "kernel", "version",
        "install a newer kernel: apt-get install linux-image-amd64",
        ok ? "Linux %s on %s" : "Linux %s on %s is older than 5.12", u.release, u.machine);
}

static const struct { const char *name; long number; const char *since, *use; } needed_calls[] = {
    {"pidfd_open", SYS_pidfd_open, "5.3", "processes are watched by descriptor, never by number"},
    {"openat2", SYS_openat2, "5.6", "paths of images and volumes are opened without leaving their directory"},
    {"mount_setattr", SYS_mount_setattr, "5.12", "volumes are bound read-only before anybody sees them"},
    {"move_mount", SYS_move_mount, "5.2", "mounts are made by descriptor"},
    {"clone3", SYS_clone3, "5.3", "crun starts containers right in their cgroup"},
};

static void check_calls(Doctor *d)
{
    for (size_t i = 0; i < ARRAY_LEN(needed_calls); i++) {
        /* Arguments that no kernel takes: what counts is that the call is known. */
        long r = syscall(needed_calls[i].number, -1L, 0L, 0L, 0L, 0L);
        bool ok = !(r < 0 && errno == ENOSYS), must = needed_calls[i].number != SYS_clone3;
        add(d,
            ok     ? LEVEL_OK
            : must ? LEVEL_MISSING
                   : LEVEL_WARNING,
            "kernel", needed_calls[i].name,
            "run a newer kernel, or have the sandbox around this machine let the call through",
            ok ? "%s" : "not there (Linux %s): %s", ok ? needed_calls[i].use : needed_calls[i].since,
            needed_calls[i].use);
    }
}

static void check_namespaces(Doctor *d)
{
    static const char *const needed[] = {"mnt", "net", "ipc", "uts", "pid", "cgroup"};
    SCOPED(str_done) Str missing = {0};
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        SCOPED(mem_free) char *path = mem_fmt("/proc/self/ns/%s", needed[i]);
        if (!fs_exists(path))
            str_fmt(&missing, " %s", needed[i]);
    }
    add(d, missing.n ? LEVEL_MISSING : LEVEL_OK, "kernel", "namespaces",
        "run a kernel with CONFIG_NAMESPACES and its parts", missing.n ? "missing:%s" : "mnt net ipc uts pid cgroup%s",
        missing.n ? missing.p : "");
    bool user = fs_exists("/proc/self/ns/user");
    add(d, user ? LEVEL_OK : LEVEL_WARNING, "kernel", "user namespaces", "run a kernel with CONFIG_USER_NS",
        user ? "there, though Pods of reprise do not use them" : "not there; Pods of reprise do not use them");
}

static void check_kernel(Doctor *d)
{
    check_version(d);
    check_calls(d);
    check_namespaces(d);
    bool info = exit_info_works();
    add(d, info ? LEVEL_OK : LEVEL_WARNING, "kernel", "exit status by pidfd", "run Linux 6.15 or newer",
        info ? "an exit status is known whoever reaped the process"
             : "a container that ends while no shim watches it has an unknown exit code (Linux 6.15 keeps it)");
    bool seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 && fs_exists("/proc/sys/kernel/seccomp/actions_avail");
    add(d, seccomp ? LEVEL_OK : LEVEL_WARNING, "kernel", "seccomp", "run a kernel with CONFIG_SECCOMP_FILTER",
        seccomp ? "system call filters work"
                : "no filters: Pods with a seccompProfile other than Unconfined do not start");
    add(d, LEVEL_OK, "kernel", "AppArmor", NULL,
        d->host.apparmor ? "on" : "off: appArmorProfile of type Localhost is refused, others mean nothing");
    static const struct {
        Level level;
        const char *text, *fix;
    } overlay[] = {
        [OVERLAY_NONE] = {LEVEL_MISSING, "cannot be mounted in the state directory: images are layers of one",
                          "modprobe overlay; or give --root a directory that is not itself on an overlay or on NFS"},
        [OVERLAY_PLAIN] =
            {LEVEL_WARNING,
             "works, without volatile (Linux 5.10): each container's end waits for a sync of its file system",
             "run a newer kernel"},
        [OVERLAY_VOLATILE] = {LEVEL_OK, "works in the state directory, with volatile", NULL},
        [OVERLAY_NO_DIR] = {LEVEL_MISSING, "not tried: the state directory cannot be written",
                            "run as root, or give --root a directory of yours"},
    };
    int kind = overlay_kind(d);
    add(d, overlay[kind].level, "kernel", "overlay", overlay[kind].fix, "%s", overlay[kind].text);
}

/* --- cgroups ----------------------------------------------------------------------------------------------------- */

static bool has_controller(const CgroupHost *h, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < h->n; i++) {
        for (const char *p = h->h[i].controllers; (p = strstr(p, name)) != NULL; p += n) {
            bool starts = p == h->h[i].controllers || strchr(", ", p[-1]), ends = !p[n] || strchr(", \n", p[n]);
            if (starts && ends)
                return true;
        }
    }
    return false;
}

static void check_controllers(Doctor *d, const CgroupHost *h)
{
    static const struct { const char *name, *loss; bool v1_only; } rows[] = {
        {"cpu", "CPU requests and limits are refused", false},
        {"memory", "memory limits are refused, and OOM kills are not told from others", false},
        {"pids", "limits of processes are refused", false},
        {"devices", "containers can open every device that they can make a node of", true},
        {"hugetlb", "hugepages-* limits are refused", false},
    };
    SCOPED(str_done) Str there = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool ok = rows[i].v1_only && h->mode == CGROUP_V2 ? true : has_controller(h, rows[i].name);
        if (ok && str_eq(rows[i].name, "hugetlb"))
            ok = d->host.hugetlb;
        if (ok)
            str_fmt(&there, "%s%s", there.n ? " " : "", rows[i].name);
        else
            add(d, LEVEL_WARNING, "cgroups", rows[i].name,
                str_eq(rows[i].name, "hugetlb")
                    ? "only for Pods that ask for huge pages: boot with systemd.unified_cgroup_hierarchy=1"
                    : "boot with this controller on (cgroup_enable=..., or a kernel that has it)",
                "the controller is not where Pods can use it: %s", rows[i].loss);
    }
    if (there.n)
        add(d, LEVEL_OK, "cgroups", "controllers", NULL, "%s", there.p);
}

static void check_cgroups(Doctor *d, bool have_crun)
{
    SCOPED(cgroup_host_done) CgroupHost h = {0};
    SCOPED(err_free) Err *e = cgroup_probe(&h);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        add(d, LEVEL_MISSING, "cgroups", "mode", "mount them: mount -t cgroup2 cgroup2 /sys/fs/cgroup", "%s", text);
        return;
    }
    static const char *const modes[] = {[CGROUP_V1] = "v1", [CGROUP_HYBRID] = "hybrid: v1 controllers beside a v2 tree",
                                        [CGROUP_V2] = "v2"};
    add(d, LEVEL_OK, "cgroups", "mode", NULL, "%s", modes[h.mode]);
    if (h.mode == CGROUP_HYBRID && h.unified_has_controllers)
        add(d, LEVEL_OK, "cgroups", "crun on hybrid", NULL,
            "crun refuses a host whose v2 tree keeps a controller; reprise starts %s in a mount namespace of its own "
            "in which that tree shows none. Nothing of the host is changed",
            have_crun ? "it" : "crun, once installed,");
    check_controllers(d, &h);
    SCOPED(mem_free) char *path = mem_fmt("/reprise-doctor-%d", (int)getpid());
    const CgroupLimits limits = {.cpu_shares = 2};
    SCOPED(err_free) Err *made = cgroup_make(&h, path, &limits);
    (void)cgroup_remove(&h, path);
    SCOPED(mem_free) char *why = made ? err_text(made) : NULL;
    add(d, made ? LEVEL_MISSING : LEVEL_OK, "cgroups", "making one",
        "run as root, with the cgroup file systems writable", made ? "%s" : "works%s", made ? why : "");
}

/* --- ourselves --------------------------------------------------------------------------------------------------- */

static void check_privileges(Doctor *d)
{
    add(d, geteuid() == 0 ? LEVEL_OK : LEVEL_MISSING, "privileges", "user", "run reprise with sudo",
        geteuid() == 0 ? "root" : "uid %u: Pods need root", (unsigned)geteuid());
    if (geteuid() != 0)
        return; /* root's capabilities are what counts */
    static const struct { int cap; const char *name; Level level; const char *loss; } rows[] = {
        {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", LEVEL_MISSING, "no namespaces and no mounts"},
        {CAP_NET_ADMIN, "CAP_NET_ADMIN", LEVEL_MISSING, "no Pod network"},
        {CAP_SETUID, "CAP_SETUID", LEVEL_MISSING, "containers cannot change their user"},
        {CAP_SETGID, "CAP_SETGID", LEVEL_MISSING, "containers cannot change their groups"},
        {CAP_SETPCAP, "CAP_SETPCAP", LEVEL_MISSING, "capabilities cannot be dropped"},
        {CAP_CHOWN, "CAP_CHOWN", LEVEL_MISSING, "images cannot be unpacked, fsGroup cannot be set"},
        {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE", LEVEL_MISSING, "files of other users cannot be prepared"},
        {CAP_FOWNER, "CAP_FOWNER", LEVEL_MISSING, "modes of other users' files cannot be set"},
        {CAP_KILL, "CAP_KILL", LEVEL_MISSING, "containers of other users cannot be stopped"},
        {CAP_SYS_CHROOT, "CAP_SYS_CHROOT", LEVEL_MISSING, "namespaces cannot be joined"},
        {CAP_MKNOD, "CAP_MKNOD", LEVEL_WARNING, "device nodes of images and of Pods cannot be made"},
        {CAP_SETFCAP, "CAP_SETFCAP", LEVEL_WARNING, "file capabilities of images are lost"},
        {CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE", LEVEL_WARNING,
         "oom_score_adj below our own is not written, so Guaranteed Pods are protected no better than this program"},
        {CAP_SYS_PTRACE, "CAP_SYS_PTRACE", LEVEL_WARNING, "namespaces of other users' processes cannot be opened"},
    };
    SCOPED(str_done) Str others = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!((d->host.caps >> rows[i].cap) & 1))
            add(d, rows[i].level, "privileges", rows[i].name,
                "start reprise with this capability (a container or VM took it away)", "not ours: %s", rows[i].loss);
    }
    for (int i = 0; i <= CAP_LAST_CAP; i++) {
        bool named = false;
        for (size_t k = 0; k < ARRAY_LEN(rows); k++)
            named = named || rows[k].cap == i;
        if (!named && !((d->host.caps >> i) & 1))
            str_fmt(&others, "%s%d", others.n ? ", " : "", i);
    }
    if (others.n)
        add(d, LEVEL_WARNING, "privileges", "capabilities", "start reprise with them, should a Pod need one",
            "numbers %s are not ours: containers cannot be given them, privileged ones neither", others.p);
    else if (d->host.caps == (UINT64_C(2) << CAP_LAST_CAP) - 1)
        add(d, LEVEL_OK, "privileges", "capabilities", NULL, "all of them");
}

/* --- programs ---------------------------------------------------------------------------------------------------- */

/* First line of `program --version`; "" when it does not say. NULL = not installed. Caller frees. */
static char *program_version(const char *program, char **ret_path)
{
    SCOPED(err_free) Err *e = spawn_find(program, ret_path);
    if (e)
        return NULL;
    const char *const args[] = {*ret_path, "--version", NULL};
    ProcessResult res = {0};
    SCOPED(err_free)
    Err *run = process_run(&(ProcessSpec){.argv = args, .max_output = 4096, .timeout_ns = INT64_C(5000000000)}, &res);
    char *line = NULL;
    if (!run && res.exited && res.code == 0 && res.out.p)
        line = mem_dup_strn(res.out.p, strcspn(res.out.p, "\n"));
    if (!run) {
        str_done(&res.out);
        str_done(&res.err);
    }
    return line ? line : mem_dup_str("");
}

static bool check_program(Doctor *d, const char *area, const char *program, Level absent, const char *loss,
                          const char *fix)
{
    SCOPED(mem_free) char *path = NULL, *version = program_version(program, &path);
    if (!version)
        add(d, absent, area, program, fix, "not installed: %s", loss);
    else if (!*version)
        add(d, LEVEL_WARNING, area, program, fix, "%s does not tell its version: it may be broken", path);
    else
        add(d, LEVEL_OK, area, program, NULL, "%s (%s)", version, path);
    return version != NULL;
}

static bool installed(const char *program)
{
    SCOPED(mem_free) char *path = NULL;
    SCOPED(err_free) Err *e = spawn_find(program, &path);
    return !e;
}

static void check_runtimes(Doctor *d)
{
    bool crun = installed("crun"), runc = installed("runc");
    if (!crun && !runc) {
        add(d, LEVEL_MISSING, "OCI runtime", "crun or runc", "apt-get install crun",
            "neither is installed: containers cannot be started");
        return;
    }
    if (crun)
        (void)check_program(d, "OCI runtime", "crun", LEVEL_OK, "", "apt-get install --reinstall crun");
    else
        add(d, LEVEL_WARNING, "OCI runtime", "crun", "apt-get install crun",
            "not installed: runc does the work, in more time (restart 8.6 against 5.1 ms, container 8 against 1 MB)");
    if (runc)
        (void)check_program(d, "OCI runtime", "runc", LEVEL_OK, "", "apt-get install --reinstall runc");
}

/* --- network ----------------------------------------------------------------------------------------------------- */

static void check_cni_setup(Doctor *d, const char *conf_dir, const char *bin_dirs)
{
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0)
        return;
    /* It makes its cache directory when opened; nothing of ours shall be left behind. */
    SCOPED(mem_free) char *cache = mem_dup_str("/tmp/reprise-doctor-XXXXXX"), *text = NULL;
    Cni *cni = NULL;
    if (!mkdtemp(cache))
        cache[0] = '\0';
    const char *fix = "apt-get install containernetworking-plugins iptables; or hostNetwork: true in the Pod";
    SCOPED(err_free)
    Err *e = cni_open(&loop, &(CniConfig){.conf_dir = conf_dir, .bin_dirs = bin_dirs, .cache_dir = cache}, &cni);
    if (!e)
        e = cni_check_setup(cni, &text);
    if (e) {
        SCOPED(mem_free) char *why = err_text(e);
        add(d, LEVEL_MISSING, "network", "CNI",
            "correct the configuration, or take it away: reprise has one of its own", "%s", why);
    }
    bool complete = !e;
    for (char *save = NULL, *l = text ? strtok_r(text, "\n", &save) : NULL; l; l = strtok_r(NULL, "\n", &save)) {
        bool tables = str_starts(l, "iptables");
        complete = complete && tables;
        add(d, tables ? LEVEL_WARNING : LEVEL_MISSING, "network", tables ? "iptables" : "CNI",
            tables ? "apt-get install iptables" : fix, "%s", l);
    }
    if (complete)
        add(d, LEVEL_OK, "network", "CNI plugins", NULL, "all that the configuration names are in %s", bin_dirs);
    if (cni)
        cni_close(cni);
    uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    err_free(*cache ? fs_remove_tree(cache) : NULL);
}

static void check_network(Doctor *d, const char *conf_dir, const char *bin_dirs)
{
    SCOPED(str_done) Str found = {0};
    struct dirent **list = NULL;
    int n = scandir(conf_dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        if (!found.n && (str_ends(name, ".conflist") || str_ends(name, ".conf") || str_ends(name, ".json")))
            str_add(&found, name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    if (found.n)
        add(d, LEVEL_OK, "network", "CNI configuration", NULL, "%s/%s", conf_dir, found.p);
    else
        add(d, LEVEL_OK, "network", "CNI configuration", NULL, "none in %s: Pods get a bridge of reprise's own",
            conf_dir);
    check_cni_setup(d, conf_dir, bin_dirs);
    if (installed("iptables"))
        (void)check_program(d, "network", "iptables", LEVEL_OK, "", "apt-get install --reinstall iptables");
    SCOPED(str_done) Str forward = {0};
    SCOPED(err_free) Err *e = fs_read("/proc/sys/net/ipv4/ip_forward", 16, &forward);
    bool on = !e && forward.n && forward.p[0] == '1';
    add(d, on ? LEVEL_OK : LEVEL_WARNING, "network", "ip_forward",
        "sysctl -w net.ipv4.ip_forward=1 (the bridge plugin does it at the first Pod)",
        on ? "on" : "off: Pods reach this machine, and no other");
}

/* --- directories ------------------------------------------------------------------------------------------------- */

static void check_dir(Doctor *d, const char *what, const char *path, bool big)
{
    SCOPED(mem_free) char *there = existing_parent(path);
    bool exists = str_eq(there, path);
    struct statvfs v;
    if (access(there, W_OK | X_OK) < 0 || statvfs(there, &v) < 0) {
        add(d, LEVEL_MISSING, "directories", what, "run as root, or name another directory", "%s cannot be written: %s",
            there, strerror(errno));
        return;
    }
    uint64_t free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    double gib = (double)free_bytes / (1 << 30);
    bool tight = (big && free_bytes < FREE_WARN_BYTES) || (v.f_files && v.f_favail < 10000);
    add(d, tight ? LEVEL_WARNING : LEVEL_OK, "directories", what, "make room, or name a directory with more",
        tight ? "%s%s: %.1f GiB and %llu files free, which is little" : "%s%s: %.1f GiB and %llu files free", path,
        exists ? "" : " (made when needed)", gib, (unsigned long long)v.f_favail);
}

static bool pod_known(const Doctor *d, const char *uid)
{
    SCOPED(mem_free) char *a = mem_fmt("%s/pods/%s", d->root, uid), *b = mem_fmt("%s/pods/%s", d->run_dir, uid);
    return fs_exists(a) || fs_exists(b);
}

static size_t count_dir(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    if (dir)
        (void)closedir(dir);
    return n;
}

/* "/reprise/pod<uid>" cgroups of Pods that nothing is known of. */
static void check_stray_cgroups(Doctor *d)
{
    SCOPED(cgroup_host_done) CgroupHost h = {0};
    SCOPED(err_free) Err *e = cgroup_probe(&h);
    SCOPED(strvec_done) StrVec stray = {0};
    for (size_t i = 0; !e && i < h.n; i++) {
        SCOPED(mem_free) char *path = mem_fmt("%s/reprise", h.h[i].dir);
        DIR *dir = opendir(path);
        for (struct dirent *x; dir && (x = readdir(dir)) != NULL;) {
            if (str_starts(x->d_name, "pod") && !pod_known(d, x->d_name + 3) && !strvec_has(&stray, x->d_name + 3))
                strvec_add(&stray, x->d_name + 3);
        }
        if (dir)
            (void)closedir(dir);
    }
    if (stray.n)
        add(d, LEVEL_WARNING, "leftovers", "cgroups",
            "reprise removes them at its next start; or rmdir them when they are empty",
            "%zu of Pods that are not there any more, e.g. /reprise/pod%s", stray.n, stray.v[0]);
}

static void check_stray_mounts(Doctor *d)
{
    SCOPED(str_done) Str text = {0};
    SCOPED(err_free) Err *e = fs_read("/proc/self/mounts", 16u << 20, &text);
    size_t stray = 0;
    SCOPED(mem_free) char *a = mem_fmt(" %s/pods/", d->root), *b = mem_fmt(" %s/pods/", d->run_dir), *first = NULL;
    for (char *save = NULL, *l = e || !text.p ? NULL : strtok_r(text.p, "\n", &save); l;
         l = strtok_r(NULL, "\n", &save)) {
        const char *p = strstr(l, a) ? strstr(l, a) + strlen(a) : strstr(l, b) ? strstr(l, b) + strlen(b) : NULL;
        SCOPED(mem_free) char *uid = p ? mem_dup_strn(p, strcspn(p, "/ ")) : NULL;
        if (!uid || pod_known(d, uid))
            continue;
        stray++;
        if (!first)
            first = mem_dup_str(uid);
    }
    if (stray)
        add(d, LEVEL_WARNING, "leftovers", "mounts", "reprise takes them off at its next start; or umount them",
            "%zu of Pods that are not there any more, e.g. of %s", stray, first);
}

static void check_leftovers(Doctor *d)
{
    size_t before = d->checks.n;
    check_stray_cgroups(d);
    check_stray_mounts(d);
    SCOPED(mem_free) char *pods = mem_fmt("%s/pods", d->root);
    if (d->checks.n == before)
        add(d, LEVEL_OK, "leftovers", "Pods", NULL, "%zu on this machine, nothing left of others", count_dir(pods));
}

static void check_directories(Doctor *d)
{
    check_dir(d, "state", d->root, true);
    SCOPED(mem_free) char *images = mem_fmt("%s/images", d->root), *index = mem_fmt("%s/index.json", images);
    check_dir(d, "images", images, true);
    if (!fs_exists(index))
        add(d, LEVEL_OK, "directories", "image store", NULL, "empty: fill it with reprise image import or pull");
    check_dir(d, "run", d->run_dir, false);
    check_dir(d, "logs", d->log_dir, false);
}

/* --- another runtime --------------------------------------------------------------------------------------------- */

static void check_cri(Doctor *d, const CliArgs *a)
{
    doctor_cri(cri_endpoint(a, false), cri_endpoint(a, true), &d->cri);
    for (const CriFinding *f = d->cri.v; f < d->cri.v + d->cri.n; f++)
        add(d, f->level, "CRI", f->what, f->fix, "%s", f->meaning);
}

/* --- output ------------------------------------------------------------------------------------------------------ */

static size_t worst(const Doctor *d, Level level)
{
    size_t n = 0;
    for (size_t i = 0; i < d->checks.n; i++)
        n += d->checks.v[i].level == level;
    return n;
}

static void print_text(const Doctor *d)
{
    bool colour = cli_colour(stdout);
    size_t area_w = 0, what_w = 0;
    for (size_t i = 0; i < d->checks.n; i++) {
        size_t a = strlen(d->checks.v[i].area), w = strlen(d->checks.v[i].what);
        area_w = a > area_w ? a : area_w;
        what_w = w > what_w ? w : what_w;
    }
    for (size_t i = 0; i < d->checks.n; i++) {
        const Check *c = &d->checks.v[i];
        printf("%s%-7s%s   %-*s   %-*s   %s\n", colour ? level_colours[c->level] : "", level_names[c->level],
               colour ? "\033[0m" : "", (int)area_w, c->area, (int)what_w, c->what, c->meaning);
        if (c->fix)
            printf("%-*s   -> %s\n", (int)(7 + 3 + area_w + 3 + what_w), "", c->fix);
    }
    size_t missing = worst(d, LEVEL_MISSING), warnings = worst(d, LEVEL_WARNING);
    if (missing)
        printf("\nreprise cannot run Pods here: %zu missing, %zu warning%s\n", missing, warnings,
               warnings == 1 ? "" : "s");
    else
        printf("\nreprise can run Pods here: %zu warning%s\n", warnings, warnings == 1 ? "" : "s");
}

static void print_data(const Doctor *d, bool yaml)
{
    SCOPED(json_unref) json_t *o = json_pack("{s:b, s:[]}", "ready", worst(d, LEVEL_MISSING) == 0, "checks");
    for (size_t i = 0; i < d->checks.n; i++) {
        const Check *c = &d->checks.v[i];
        json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "status", level_names[c->level], "area", c->area, "check",
                              c->what, "meaning", c->meaning);
        if (!j) /* a program's version line need not be UTF-8 */
            j = json_pack("{s:s, s:s, s:s}", "status", level_names[c->level], "area", c->area, "check", c->what);
        if (c->fix)
            json_object_set_new(j, "fix", json_string(c->fix));
        json_array_append_new(json_object_get(o, "checks"), j);
    }
    SCOPED(mem_free) char *text = yaml ? yaml_text(o) : json_text(o, true);
    printf("%s%s", text, str_ends(text, "\n") ? "" : "\n");
}

int cmd_doctor(int argc, char **argv)
{
    SCOPED(cli_args_done) CliArgs a = {0};
    int code = cli_parse("doctor", argc, argv, &a);
    if (code >= 0)
        return code;

    Doctor d = {.root = cli_opt(&a, "root"), .run_dir = cli_opt(&a, "run-dir"), .log_dir = cli_opt(&a, "log-dir")};
    const char *runtime = cli_opt(&a, "runtime");
    const bool cri = str_eq(runtime, "cri") || cli_opt(&a, "container-runtime-endpoint");
    oci_host_probe(&d.host);
    check_kernel(&d);
    check_cgroups(&d, installed("crun"));
    check_privileges(&d);
    if (cri)
        check_cri(&d, &a);
    if (!cri || str_eq(runtime, "oci")) { /* a CRI runtime has its own of all these */
        check_runtimes(&d);
        check_network(&d, cli_opt(&a, "cni-conf-dir"), cli_opt(&a, "cni-bin-dir"));
        (void)check_program(&d, "images", "skopeo", LEVEL_WARNING, "images are imported from files, not pulled",
                            "apt-get install skopeo");
    }
    check_directories(&d);
    check_leftovers(&d);

    const char *output = str_or(cli_opt(&a, "output"), "text");
    if (str_eq(output, "text"))
        print_text(&d);
    else
        print_data(&d, str_eq(output, "yaml"));
    code = worst(&d, LEVEL_MISSING) ? EXIT_MACHINE : EXIT_OK;
    doctor_done(&d);
    return code;
}
