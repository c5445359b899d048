/* reprise-gate: the first process of a container that was prepared ahead. The OCI runtime has done all of its work by the time
 * this runs: namespaces, mounts, cgroup, capabilities, seccomp filter, user and limits are the real program's. It waits for one
 * byte from the shim and then becomes that program, in the same pid.
 *
 *   argv = {"/proc/self/fd/3", COMMAND...}   descriptor 3 is this program, 4 a stream socket to the shim, 5 an eventfd
 *   to the shim:   "r" when it waits; then nothing (the socket closes with a successful exec), or the errno of a failed exec
 *   from the shim: the eventfd = go; end of stream = the shim is gone or gives the container up
 * The eventfd, because a write to a socket wakes its reader on the writer's CPU (WF_SYNC), where the shim and the agent go on
 * working; an eventfd lets the scheduler choose: 0.2 ms to the first instruction.
 *
 * Nothing of it may be left to see for the program, so it has no C library (which would touch signals, memory and more), does
 * not touch the environment, and its descriptors close on exec. It looks the command up as crun and runc do: a name with a
 * slash is taken as it is, another is searched in the PATH of the container's environment. System calls: close, fcntl, write,
 * ppoll, execve, exit_group; a seccomp profile that refuses one of them fails the preparation, never the container. */

#define GATE_SELF_FD 3
#define GATE_SOCKET_FD 4
#define GATE_EVENT_FD 5
#define GATE_EXIT 127 /* seen by the shim alone */

#define F_SETFD 2
#define FD_CLOEXEC 1
#define EINTR 4
#define E_NOENT 2
#define E_ACCES 13
#define E_NOTDIR 20
#define PATH_BYTES 4096

#if defined(__x86_64__)
#define NR_write 1
#define NR_close 3
#define NR_execve 59
#define NR_fcntl 72
#define NR_exit_group 231
#define NR_ppoll 271
static long call(long nr, long a, long b, long c) /* a fourth and fifth argument are 0 */
{
    long ret;
    register long d __asm__("r10") = 0;
    register long e __asm__("r8") = 0;
    __asm__ volatile("syscall" : "=a"(ret) : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(d), "r"(e) : "rcx", "r11", "memory");
    return ret;
}
__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call gate\n hlt\n");
#elif defined(__aarch64__)
#define NR_write 64
#define NR_close 57
#define NR_execve 221
#define NR_fcntl 25
#define NR_exit_group 94
#define NR_ppoll 73
static long call(long nr, long a, long b, long c)
{
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n mov x29, xzr\n mov x0, sp\n bl gate\n brk 0\n");
#else
#error "no system call convention for this machine: build without the gate"
#endif

static void leave(void)
{
    for (;;)
        (void)call(NR_exit_group, GATE_EXIT, 0, 0);
}

/* Returns the errno; only on failure. */
static int become(const char *path, char **argv, char **envp)
{
    return (int)-call(NR_execve, (long)path, (long)argv, (long)envp);
}

static const char *path_variable(char **envp)
{
    for (; *envp; envp++)
        if ((*envp)[0] == 'P' && (*envp)[1] == 'A' && (*envp)[2] == 'T' && (*envp)[3] == 'H' && (*envp)[4] == '=')
            return *envp + 5;
    return "";
}

static int has_slash(const char *s)
{
    while (*s && *s != '/')
        s++;
    return *s;
}

/* "<dir>/<name>" into <out>; 0 when it is too long. */
static int join(const char *dir, unsigned long n, const char *name, char out[PATH_BYTES])
{
    unsigned long at = 0;
    for (unsigned long i = 0; i < n && at < PATH_BYTES - 2; i++)
        out[at++] = dir[i];
    out[at++] = '/';
    while (*name && at < PATH_BYTES - 1)
        out[at++] = *name++;
    out[at] = '\0';
    return !*name;
}

static int search(char **argv, char **envp)
{
    int error = E_NOENT;
    for (const char *p = path_variable(envp); *p;) {
        char full[PATH_BYTES];
        unsigned long n = 0;
        while (p[n] && p[n] != ':')
            n++;
        if (n && join(p, n, argv[0], full)) {
            int e = become(full, argv, envp);
            if (e != E_NOENT && e != E_NOTDIR && e != E_ACCES)
                return e;
            if (e == E_ACCES)
                error = e;
        }
        p += n + (p[n] == ':');
    }
    return error;
}

/* struct pollfd */
typedef struct {
    int fd;
    short events, revents;
} Poll;
#define POLLIN 1

/* 1 = go, 0 = nobody is there any more. */
static int wait_for_go(void)
{
    Poll p[2] = {{GATE_EVENT_FD, POLLIN, 0}, {GATE_SOCKET_FD, 0, 0}};
    long n;
    do
        n = call(NR_ppoll, (long)p, 2, 0);
    while (n == -EINTR);
    return n > 0 && p[0].revents == POLLIN;
}

__attribute__((used, noreturn)) void gate(long *stack);
void gate(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
    char byte = 'r';
    (void)call(NR_close, GATE_SELF_FD, 0, 0);
    if (argc < 2 || call(NR_fcntl, GATE_SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0 || call(NR_fcntl, GATE_EVENT_FD, F_SETFD, FD_CLOEXEC) < 0 ||
        call(NR_write, GATE_SOCKET_FD, (long)&byte, 1) != 1)
        leave();
    if (wait_for_go()) {
        int error = has_slash(argv[1]) ? become(argv[1], argv + 1, envp) : search(argv + 1, envp);
        (void)call(NR_write, GATE_SOCKET_FD, (long)&error, sizeof error);
    }
    leave();
    __builtin_unreachable();
}
