#include "os/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"

/* One armed fault a process is enough: tests run the program once for each. */
static struct {
    bool ready; /* the environment was read */
    bool armed, hit;
    char call[24];
    unsigned left; /* fails when it reaches 0 */
    int err;
    char kill_step[64];
    char once[256]; /* "" or a file that says that the fault has been had */
} fault;

static const struct {
    const char *name;
    int err;
} errnos[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE}, {"EROFS", EROFS},
              {"EACCES", EACCES}, {"EAGAIN", EAGAIN}, {"ENOENT", ENOENT}, {"EPERM", EPERM},   {"EBUSY", EBUSY},
              {"ESRCH", ESRCH},   {"EPIPE", EPIPE},   {"ECONNREFUSED", ECONNREFUSED}};

static void fault_read_env(void)
{
    fault.ready = true;
    const char *env = getenv("REPRISE_FAULT");
    if (!env)
        return;
    char spec[sizeof fault.kill_step + sizeof fault.once];
    (void)snprintf(spec, sizeof spec, "%s", env);
    char *file = strstr(spec, "@/");
    if (file) {
        *file = '\0';
        (void)snprintf(fault.once, sizeof fault.once, "%.255s", file + 1);
    }
    if (str_starts(spec, "kill@")) {
        (void)snprintf(fault.kill_step, sizeof fault.kill_step, "%.63s", spec + 5);
        return;
    }
    char call[24], name[24];
    unsigned nth;
    if (sscanf(spec, "%23[^:]:%u:%23s", call, &nth, name) != 3)
        return;
    for (size_t i = 0; i < ARRAY_LEN(errnos); i++)
        if (strcmp(errnos[i].name, name) == 0)
            fault_arm(call, nth, errnos[i].err);
}

void fault_arm(const char *call, unsigned nth, int err)
{
    fault.ready = true;
    fault.armed = nth > 0;
    fault.hit = false;
    (void)snprintf(fault.call, sizeof fault.call, "%s", call);
    fault.left = nth;
    fault.err = err;
}

bool fault_disarm(void)
{
    fault.armed = false;
    return fault.hit;
}

/* Whether this process is the one that takes the fault: with a file, the first to make it. */
static bool fault_is_ours(void)
{
    if (!fault.once[0])
        return true;
    int fd = open(fault.once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

bool fault_hit(const char *call)
{
    if (!fault.ready)
        fault_read_env();
    if (!fault.armed || (fault.call[0] && strcmp(fault.call, call) != 0))
        return false;
    if (--fault.left > 0)
        return false;
    fault.armed = false; /* once: what is tested is the way out, not a broken machine */
    if (!fault_is_ours())
        return false;
    fault.hit = true;
    errno = fault.err;
    return true;
}

void fault_step(const char *step)
{
    if (!fault.ready)
        fault_read_env();
    if (fault.kill_step[0] && strcmp(fault.kill_step, step) == 0 && fault_is_ours())
        (void)kill(getpid(), SIGKILL);
}
