/* The sandbox process: it was born into the Pod's new namespaces, sets them up, and then only keeps them alive. As first
 * process of a shared pid namespace it is everybody's heir and reaps. It outlives the shim; only SIGKILL ends it. */
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fs.h"
#include "shim/shim.h"

#define REPORT_FD 3

static Err *loopback_up(void)
{
    SCOPED(fd_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {.ifr_name = "lo"};
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0)
        return err_new(ERR_SYS, errno, "look at interface lo");
    r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, &r) < 0 ? err_new(ERR_SYS, errno, "bring interface lo up") : NULL;
}

/* "net.ipv4.ip_local_port_range=1024 65535"; a name may use '/' where a part of it holds a dot. */
static Err *sysctl_set(const char *setting)
{
    const char *eq = strchr(setting, '=');
    SCOPED(mem_free) char *name = mem_dup_strn(setting, eq ? (size_t)(eq - setting) : 0);
    if (!eq || !*name || strstr(name, ".."))
        return err_new(ERR_INVALID, 0, "sysctl \"%s\"", setting);
    if (!strchr(name, '/'))
        for (char *p = name; *p; p++)
            *p = *p == '.' ? '/' : *p;
    SCOPED(mem_free) char *path = mem_fmt("/proc/sys/%s", name);
    Err *e = fs_write(path, eq + 1);
    return e ? err_wrap(e, "set sysctl %s", setting) : NULL;
}

static Err *setup(int argc, char **argv)
{
    const char *made = argv[2], *hostname = argv[3];
    Err *e = NULL;
    if (strstr(made, "uts,") && *hostname && sethostname(hostname, strlen(hostname)) < 0)
        return err_new(ERR_SYS, errno, "set hostname %s", hostname);
    if (strstr(made, "net,"))
        e = loopback_up();
    for (int i = 4; i < argc && !e; i++)
        e = sysctl_set(argv[i]);
    return e;
}

int pause_main(int argc, char **argv)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)prctl(PR_SET_NAME, "reprise-pause");
    if (argc < 4)
        return 2;
    Err *e = setup(argc, argv);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        err_free(e);
        (void)!write(REPORT_FD, text, strlen(text));
        return 1;
    }
    char go;
    if (write(REPORT_FD, "ok", 2) != 2 || read(REPORT_FD, &go, 1) != 1)
        return 1; /* the shim died before it had written us down: nobody would ever find us */
    (void)close(REPORT_FD);
    for (;;) {
        siginfo_t si;
        if (sigwaitinfo(&all, &si) == SIGCHLD)
            while (waitpid(-1, NULL, WNOHANG) > 0) {
            }
    }
}
