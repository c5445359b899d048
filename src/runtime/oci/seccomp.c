/* seccomp.c - the RuntimeDefault profile: containerd's allow list and its rules by capability, architecture and kernel
 * (contrib/seccomp/seccomp_default.go at 301026e, August 2026), as tables. crun and runc compile the filter with their
 * own libseccomp and pass over names that it does not know, so the list may be newer than they are. */
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "runtime/oci/seccomp_priv.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
/* CLONE_NEWTIME is not a flag of clone(2): its bit is part of the exit signal's byte there. */
#define CLONE_NEW_ANY                                                                                                  \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP)

#if defined(__x86_64__)
#define ARCH "amd64"
#define ARCHES "SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32"
#elif defined(__aarch64__)
#define ARCH "arm64"
#define ARCHES "SCMP_ARCH_ARM SCMP_ARCH_AARCH64"
#elif defined(__arm__)
#define ARCH "arm"
#define ARCHES ""
#elif defined(__i386__)
#define ARCH "386"
#define ARCHES ""
#elif defined(__riscv)
#define ARCH "riscv64"
#define ARCHES "SCMP_ARCH_RISCV64"
#elif defined(__s390x__)
#define ARCH "s390x"
#define ARCHES "SCMP_ARCH_S390 SCMP_ARCH_S390X"
#elif defined(__powerpc64__)
#define ARCH "ppc64le"
#define ARCHES ""
#elif defined(__loongarch__)
#define ARCH "loong64"
#define ARCHES "SCMP_ARCH_LOONGARCH64"
#else
#define ARCH "other"
#define ARCHES ""
#endif

static const char always[] =
    "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime "
    "clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep "
    "clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 "
    "epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit "
    "exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 "
    "fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat "
    "fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait "
    "futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid "
    "getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom "
    "getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt "
    "get_thread_area gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init "
    "inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 "
    "ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr "
    "_llseek lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules lsm_set_self_attr lstat lstat64 madvise "
    "map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall "
    "mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap "
    "name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe "
    "pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 "
    "process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv "
    "recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 "
    "restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam "
    "sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval "
    "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield "
    "seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto "
    "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority "
    "setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list "
    "setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget "
    "shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs "
    "statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create "
    "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
    "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit "
    "umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid "
    "write writev";

/* One argument compared: what is true, is allowed. */
typedef struct { const char *names; unsigned index; uint64_t value; const char *op; } ArgRule;
static const ArgRule arg_rules[] = {
    /* Every address family but AF_ALG and AF_VSOCK. Three rules of one range each, since runc makes two conditions on
     * one argument into two rules of which either lets a call through. */
    {"socket", 0, AF_ALG, "SCMP_CMP_LT"},       {"socket", 0, AF_ALG + 1, "SCMP_CMP_EQ"},
    {"socket", 0, AF_VSOCK, "SCMP_CMP_GT"},     {"personality", 0, 0x0, "SCMP_CMP_EQ"},
    {"personality", 0, 0x8, "SCMP_CMP_EQ"},     /* ADDR_NO_RANDOMIZE is not; PER_LINUX32 is */
    {"personality", 0, 0x20000, "SCMP_CMP_EQ"}, /* UNAME26 */
    {"personality", 0, 0x20008, "SCMP_CMP_EQ"}, {"personality", 0, 0xffffffff, "SCMP_CMP_EQ"}, /* asks only */
};
_Static_assert(AF_VSOCK == AF_ALG + 2, "the three socket rules leave out exactly these two");

static const struct { const char *arch, *names; } arch_rules[] = {
    {"ppc64le", "sync_file_range2 swapcontext"},
    {"arm", "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"},
    {"arm64", "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"},
    {"amd64", "arch_prctl modify_ldt"},
    {"386", "modify_ldt"},
    {"s390x", "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"},
    {"riscv64", "riscv_flush_icache riscv_hwprobe"},
};

static const struct { const char *cap, *names;
} cap_rules[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
     "move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog "
     "umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module init_module finit_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
    {"CAP_SYS_RAWIO", "iopl ioperm"},
    {"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

bool kernel_at_least(long major, long minor)
{
    struct utsname u;
    long have_major = 0, have_minor = 0;
    if (uname(&u) != 0 || sscanf(u.release, "%ld.%ld", &have_major, &have_minor) != 2)
        return false;
    return have_major > major || (have_major == major && have_minor >= minor);
}

const char *seccomp_arch(void) { return ARCH; }

static json_t *add_rule(json_t *list, json_t *names, const char *action)
{
    json_t *r = json_object();
    jset(r, "names", names);
    jset(r, "action", jstr(action));
    jadd(list, r);
    return r;
}

static void add_arg_rule(json_t *list, const ArgRule *a)
{
    json_t *arg = json_object();
    jset(arg, "index", json_integer(a->index));
    jset(arg, "value", json_integer((json_int_t)a->value));
    jset(arg, "valueTwo", json_integer(0));
    jset(arg, "op", jstr(a->op));
    jadd(jarray_at(add_rule(list, jwords(a->names), "SCMP_ACT_ALLOW"), "args"), arg);
}

Err *oci_seccomp_default(const StrVec *caps, json_t **ret)
{
    json_t *o = json_object();
    jset(o, "defaultAction", jstr("SCMP_ACT_ERRNO"));
    if (*ARCHES)
        jset(o, "architectures", jwords(ARCHES));
    json_t *list = jarray_at(o, "syscalls");
    (void)add_rule(list, jwords(always), "SCMP_ACT_ALLOW");
    for (size_t i = 0; i < ARRAY_LEN(arg_rules); i++)
        add_arg_rule(list, &arg_rules[i]);
    /* Before 4.8 a tracer could get round a seccomp filter. */
    if (kernel_at_least(4, 8))
        (void)add_rule(list, jwords("process_vm_readv process_vm_writev ptrace"), "SCMP_ACT_ALLOW");
    for (size_t i = 0; i < ARRAY_LEN(arch_rules); i++) {
        if (str_eq(arch_rules[i].arch, ARCH))
            (void)add_rule(list, jwords(arch_rules[i].names), "SCMP_ACT_ALLOW");
    }
    for (size_t i = 0; i < ARRAY_LEN(cap_rules); i++) {
        if (strvec_has(caps, cap_rules[i].cap))
            (void)add_rule(list, jwords(cap_rules[i].names), "SCMP_ACT_ALLOW");
    }
    if (!strvec_has(caps, "CAP_SYS_ADMIN")) {
        /* clone without any new namespace; the flags are the second argument on s390 only. clone3 hides its flags in
         * memory: ENOSYS sends libc back to clone. */
        const ArgRule clone_rule = {"clone", str_eq(ARCH, "s390x") ? 1 : 0, CLONE_NEW_ANY, "SCMP_CMP_MASKED_EQ"};
        add_arg_rule(list, &clone_rule);
        jset(add_rule(list, jwords("clone3"), "SCMP_ACT_ERRNO"), "errnoRet", json_integer(ENOSYS));
    }
    *ret = o;
    return NULL;
}
