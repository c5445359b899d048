#include "os/pidfd.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/fs.h"

/* Linux 6.13 (exit_code: 6.15) include/uapi/linux/pidfd.h; Debian 12's headers are older. */
struct exit_info {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define EXIT_INFO_GET _IOWR(0xFF, 11, struct exit_info)
#define EXIT_INFO_MASK (UINT64_C(1) << 3)

/* Fields of /proc/PID/stat after the command, which may hold any byte: state is field 3. */
static bool stat_fields(pid_t pid, char *ret_state, int64_t *ret_start, int *ret_exit)
{
    char path[64], buf[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    SCOPED(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, buf, sizeof buf - 1);
    if (n <= 0)
        return false;
    buf[n] = '\0';
    char *p = strrchr(buf, ')');
    if (!p)
        return false;
    int field = 2;
    for (char *word, *save = NULL; (word = strtok_r(field == 2 ? p + 1 : NULL, " \n", &save)) != NULL;) {
        field++;
        if (field == 3)
            *ret_state = word[0];
        else if (field == 22)
            *ret_start = strtoll(word, NULL, 10);
        else if (field == 52)
            *ret_exit = (int)strtol(word, NULL, 10);
    }
    return field >= 52;
}

int64_t proc_start_ticks(pid_t pid)
{
    char state;
    int64_t start = -1;
    int code;
    return stat_fields(pid, &state, &start, &code) ? start : -1;
}

Err *pidfd_of(pid_t pid, int64_t start_ticks, int *ret_fd)
{
    SCOPED(fd_close) int fd = fault_hit("pidfd") ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return err_new(errno == ESRCH ? ERR_NOT_FOUND : ERR_SYS, errno, "open pidfd of process %d", (int)pid);
    /* Read after opening: what the descriptor names can no longer change. */
    if (proc_start_ticks(pid) != start_ticks)
        return err_new(ERR_NOT_FOUND, 0, "process %d has ended", (int)pid);
    *ret_fd = MOVE(fd, -EBADF);
    return NULL;
}

bool pidfd_alive(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

bool pidfd_kill(int pidfd, int sig)
{
    return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) == 0 || errno == ESRCH;
}

bool pidfd_wait_status(int pidfd, pid_t pid, int64_t start_ticks, int *ret_status)
{
    char state = 0;
    int64_t start = -1;
    int code = 0;
    if (stat_fields(pid, &state, &start, &code) && state == 'Z' && start == start_ticks) {
        *ret_status = code;
        return true;
    }
    struct exit_info info = {.mask = EXIT_INFO_MASK};
    if (ioctl(pidfd, EXIT_INFO_GET, &info) < 0 || !(info.mask & EXIT_INFO_MASK))
        return false;
    *ret_status = info.exit_code;
    return true;
}
